/* test_segmentation.c - evaluator `segmentation`: hits are counted over a whole split whatever the
 * batches, classes that are nowhere have no number, the test split is left alone before the end,
 * and pictures and the confusion are kept as files. Predictions come from the test instead of a
 * model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/labelled.h"
#include "scratch.h"
#include "under_test.h"

#include <assay/image.h>
#include <assay/memory.h>
#include <assay/tape.h>

enum { SCORES = 64, FILES = 16, MOST_PIXELS = 64 };

typedef struct stage {
    labelled images;
    recorder host;
    use used;
    int32_t guess[LABELLED_MOST][MOST_PIXELS]; /* of every image */
    int64_t batch;
    int score_count, file_count;
    assay_score scores[SCORES];
    char metrics[SCORES][40];
    bool asked[ASSAY_SPLITS];
    struct {
        char name[64];
        unsigned char *data;
        int64_t bytes;
    } files[FILES];
    assay_evaluation evaluation;
} stage;

static bool each(void *user, assay_data_split split, int benchmark, const assay_wanted *wanted,
                 assay_visitor visit, void *visitor, assay_error *error)
{
    stage *s = user;
    const assay_data *data = &s->images.data;
    assay_tape *tape = assay_tape_new(device_under_test(error), ASSAY_PRECISION_FP32, error);
    assay_arena *arena = assay_arena_new(0, error);
    bool ok = true;
    assert_true(tape && arena);
    assert_int_equal(wanted->count, 1);
    assert_string_equal(wanted->names[0], "image.prediction");
    s->asked[split] = true;
    for (int64_t first = 0; ok && first < s->images.count; first += s->batch) {
        assay_sample samples[LABELLED_MOST];
        int32_t flat[LABELLED_MOST * MOST_PIXELS];
        int64_t n = 0, pixels = 0;
        for (; n < s->batch && first + n < s->images.count; n++) {
            const labelled_image *image = &s->images.images[first + n];
            must(data->functions->sample(data->dataset, split, benchmark, first + n,
                                         &(assay_draw){0}, arena, &samples[n], error),
                 error);
            for (int64_t i = 0; i < image->height * image->width; i++)
                flat[pixels++] = s->guess[first + n][i];
        }
        assay_tape_begin(tape, (assay_step){.no_gradient = true});
        const assay_outputs outputs = {
            .count = 1,
            .names = {wanted->names[0]},
            .tensors = {assay_tape_constant(tape, ASSAY_I32, 1, &pixels, flat)}};
        const assay_batch batch = {.samples = n, .sample = samples};
        ok = visit(visitor, first, &batch, &outputs, error);
    }
    assay_arena_free(arena);
    assay_tape_free(tape);
    return ok;
}

static bool score(void *user, const assay_score *given, assay_error *error)
{
    stage *s = user;
    (void)error;
    assert_true(s->score_count < SCORES);
    snprintf(s->metrics[s->score_count], sizeof s->metrics[0], "%s", given->metric);
    assert_string_equal(given->suite, "plates");
    assert_string_equal(given->benchmark, "segmentation");
    s->scores[s->score_count++] = *given;
    return true;
}

static bool artifact(void *user, const char *name, const void *data, int64_t bytes,
                     assay_error *error)
{
    stage *s = user;
    (void)error;
    assert_true(s->file_count < FILES);
    snprintf(s->files[s->file_count].name, sizeof s->files[0].name, "%s", name);
    s->files[s->file_count].data = malloc((size_t)bytes + 1);
    assert_non_null(s->files[s->file_count].data);
    memcpy(s->files[s->file_count].data, data, (size_t)bytes);
    s->files[s->file_count].data[bytes] = '\0';
    s->files[s->file_count++].bytes = bytes;
    return true;
}

/* Two images of 2 x 3 and 2 x 2 pixels, of four classes, of which the last is nowhere. */
static void begin(stage *s)
{
    static const uint8_t truths[2][6] = {{0, 0, 1, 1, 255, 2}, {0, 1, 1, 255}};
    static const int32_t guesses[2][6] = {{0, 1, 1, 1, 2, 2}, {0, 1, 2, 0}};
    memset(s, 0, sizeof *s);
    labelled_open(&s->images, 4);
    for (int i = 0; i < 2; i++) {
        const int64_t width = i == 0 ? 3 : 2;
        labelled_image *image = labelled_add(&s->images, 2, width);
        memcpy(image->truth, truths[i], (size_t)(2 * width));
        memcpy(s->guess[i], guesses[i], (size_t)(2 * width) * sizeof(int32_t));
    }
    recorder_begin(&s->host);
    strcpy(s->host.cache, "/tmp/assay_segmentation_XXXXXX");
    assert_true(scratch_make(s->host.cache));
    s->used = use_open("evaluator_segmentation");
    s->batch = 1;
    s->evaluation = (assay_evaluation){.size = sizeof s->evaluation,
                                       .user = s,
                                       .data = &s->images.data,
                                       .host = &s->host.host,
                                       .seed = 1,
                                       .each = each,
                                       .score = score,
                                       .artifact = artifact};
}

static void end(stage *s)
{
    for (int i = 0; i < s->file_count; i++)
        free(s->files[i].data);
    assert_int_equal(remove(s->host.cache), 0); /* nothing was left in it */
    use_close(&s->used);
    labelled_close(&s->images);
}

static void evaluate(stage *s)
{
    assay_error error = {0};
    must(use_evaluator(&s->used)->evaluate(s->used.options, &s->evaluation, &error), &error);
}

static const assay_score *find(const stage *s, assay_data_split split, const char *metric)
{
    for (int i = 0; i < s->score_count; i++)
        if (s->scores[i].split == split && strcmp(s->metrics[i], metric) == 0)
            return &s->scores[i];
    return NULL;
}

static void expect(const stage *s, assay_data_split split, const char *metric, double value)
{
    const assay_score *found = find(s, split, metric);
    if (!found)
        fail_msg("there is no score %s", metric);
    if (!(fabs(found->value - value) < 1e-12))
        fail_msg("%s is %g, expected %g", metric, found->value, value);
    assert_int_equal(found->n, 8);
    assert_true(isnan(found->low) && isnan(found->high));
}

static void scores_are_those_of_the_whole_split(void **state)
{
    (void)state;
    for (int64_t batch = 1; batch <= 2; batch++) {
        stage s;
        begin(&s);
        s.batch = batch;
        evaluate(&s);
        /* Truth 0, 0, 0: hits 2, predicted 2. Truth 1 x 4: hits 3, predicted 4. Truth 2: hit,
         * predicted 2. */
        expect(&s, ASSAY_VALID, "iou/c0", 2.0 / 3);
        expect(&s, ASSAY_VALID, "iou/c1", 3.0 / 5);
        expect(&s, ASSAY_VALID, "iou/c2", 1.0 / 2);
        assert_null(find(&s, ASSAY_VALID, "iou/c3"));
        expect(&s, ASSAY_VALID, "miou", (2.0 / 3 + 3.0 / 5 + 1.0 / 2) / 3);
        expect(&s, ASSAY_VALID, "macc", (2.0 / 3 + 3.0 / 4 + 1) / 3);
        expect(&s, ASSAY_VALID, "aacc", 6.0 / 8);
        assert_int_equal(s.score_count, 6);
        end(&s);
    }
}

static void only_the_end_looks_at_test(void **state)
{
    (void)state;
    stage s;
    begin(&s);
    use_number(&s.used, "train", 1);
    evaluate(&s);
    assert_true(s.asked[ASSAY_VALID] && !s.asked[ASSAY_TEST] && !s.asked[ASSAY_TRAIN]);
    assert_int_equal(s.file_count, 0);
    s.evaluation.final = true;
    s.images.empty[ASSAY_VALID] = true; /* a set without one has no scores there */
    s.score_count = 0;
    s.asked[ASSAY_VALID] = false;
    evaluate(&s);
    assert_true(s.asked[ASSAY_TEST] && s.asked[ASSAY_TRAIN] && !s.asked[ASSAY_VALID]);
    assert_int_equal(s.score_count, 12);
    end(&s);
}

static void the_confusion_and_pictures_are_kept(void **state)
{
    static const char table[] = "truth,c0,c1,c2,c3\n"
                                "c0,2,1,0,0\n"
                                "c1,0,3,1,0\n"
                                "c2,0,0,1,0\n"
                                "c3,0,0,0,0\n";
    (void)state;
    stage s;
    assay_error error = {0};
    assay_image picture = {0};
    begin(&s);
    s.evaluation.final = true;
    s.images.empty[ASSAY_VALID] = true;
    s.images.images[0].pixels[2] = 4; /* the brightest; all others 0 */
    use_number(&s.used, "pictures", 1);
    evaluate(&s);
    assert_int_equal(s.file_count, 2);
    assert_string_equal(s.files[0].name, "picture.test.00.png");
    assert_string_equal(s.files[1].name, "confusion.test.csv");
    assert_string_equal((const char *)s.files[1].data, table);
    must(
        assay_image_decode(&picture, s.files[0].data, s.files[0].bytes, "picture", 0, NULL, &error),
        &error);
    /* Nine pixels are shown in 594. */
    assert_int_equal(picture.width, 9 * 66);
    assert_int_equal(picture.height, 2 * 66);
    /* Image, truth (the last pixel but one is not counted), prediction. */
    static const uint8_t expected[2][9] = {{0, 0, 255, 0, 0, 74, 0, 74, 74},
                                           {0, 0, 0, 74, 255, 149, 74, 149, 149}};
    for (int64_t y = 0; y < picture.height; y++)
        for (int64_t x = 0; x < picture.width; x++)
            assert_int_equal(((uint8_t *)picture.data)[y * picture.width + x],
                             expected[y / 66][x / 66]);
    assay_image_free(&picture);
    end(&s);
}

static void wrong_models_data_and_outputs_are_named(void **state)
{
    static const char *const right[] = {"image.prediction"}, *const wrong[] = {"image.states"};
    (void)state;
    stage s;
    assay_error error = {0};
    assay_model_facts facts = {.size = sizeof facts, .output_count = 1, .outputs = right};
    begin(&s);
    const assay_evaluator_functions *f = use_evaluator(&s.used);
    must(f->check(s.used.options, &s.images.data, &facts, &error), &error);
    facts.outputs = wrong;
    assert_false(f->check(s.used.options, &s.images.data, &facts, &error));
    assert_non_null(strstr(error.expected, "image.prediction"));
    facts.outputs = right;
    s.images.classes = 0;
    assay_error_clear(&error);
    assert_false(f->check(s.used.options, &s.images.data, &facts, &error));
    assert_non_null(strstr(error.what, "classes of pixels"));
    s.images.classes = 4;
    /* A sample without truth, a class that is none, and too few predictions. */
    free(s.images.images[1].truth);
    s.images.images[1].truth = NULL;
    assay_error_clear(&error);
    assert_false(f->evaluate(s.used.options, &s.evaluation, &error));
    assert_non_null(strstr(error.what, "valid sample 1 has no truth"));
    s.images.images[1].truth = calloc(4, 1);
    s.guess[1][0] = 4;
    assay_error_clear(&error);
    assert_false(f->evaluate(s.used.options, &s.evaluation, &error));
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_whole_split),
        cmocka_unit_test(only_the_end_looks_at_test),
        cmocka_unit_test(the_confusion_and_pictures_are_kept),
        cmocka_unit_test(wrong_models_data_and_outputs_are_named),
    };
    return cmocka_run_group_tests_name("segmentation", tests, NULL, NULL);
}
