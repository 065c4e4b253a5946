/* test_segmenter.c - model `segmenter`: its size and cost beside the published table, how images
 * become windows and windows predictions, what is trained, and what is refused. Its numbers are
 * compared with another framework's by test_segmenter_golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/labelled.h"

#include "segmenter/windows.h"

#include <assay/memory.h>
#include <assay/metrics.h>
#include <assay/optim.h>
#include <assay/random.h>

static const char *const prediction[] = {"image.prediction"};
static const assay_wanted predictions = {1, prediction};

/* ---- size and cost ---- */

static void open_published(segmenting *s, const labelled *images, const char *size)
{
    assay_error error = {0};
    memset(s, 0, sizeof *s);
    s->dataset = images;
    s->model = use_open("model_segmenter");
    use_text(&s->model, "size", size);
    (void)error;
}

static double millions(const segmenting *s, const char *prefix)
{
    return (double)assay_params_size(s->params, prefix, false) / 1e6;
}

static void sizes_and_costs_are_the_published_ones(void **state)
{
    /* Infrared spec 2.12: 512 pixels, 21 classes; M parameters with the auxiliary head, and G
     * multiply-adds with and without the products of attention. */
    static const struct {
        const char *size;
        double parameters, vit, counted, with_attention;
    } table[] = {{"tiny", 10.83, 5.69, 36.7, 41.5},
                 {"small", 41.63, 21.99, 146.3, 156.0},
                 {"base", 163.17, 86.45, 584.1, 603.5},
                 {"large", 439.78, 304.20, 1192.8, 1244.4}};
    (void)state;
    labelled images;
    labelled_open(&images, 21);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assay_error error = {0};
        segmenting s;
        open_published(&s, &images, table[i].size);
        must(segmenting_try(&s, 1, true, &error), &error);
        const double vit = millions(&s, "blocks.") + millions(&s, "patch_embed.") +
                           millions(&s, "cls_token") + millions(&s, "pos_embed");
        /* Running statistics are kept as parameters and never trained: the paper does not count
         * them. */
        const double trained = (double)assay_params_size(s.params, NULL, true) / 1e6;
        assert_true(fabs(trained - table[i].parameters) <= 0.0051);
        assert_true(fabs(vit - table[i].vit) <= 0.0051);
        assert_true(fabs(s.facts.flops / 2e9 - table[i].with_attention) <= 0.051);
        assert_true(fabs(s.facts.counted / 1e9 - table[i].counted) <= 0.051);
        segmenting_close(&s);
    }
    labelled_close(&images);
}

static void the_last_block_alone_costs_the_same(void **state)
{
    (void)state;
    labelled images;
    segmenting several, last;
    assay_error error = {0};
    labelled_open(&images, 9);
    open_published(&several, &images, "small");
    open_published(&last, &images, "small");
    use_text(&several.model, "neck", "fpn");
    use_text(&last.model, "neck", "ll_fpn");
    must(segmenting_try(&several, 1, true, &error) && segmenting_try(&last, 1, true, &error),
         &error);
    assert_int_equal(assay_params_size(several.params, NULL, false),
                     assay_params_size(last.params, NULL, false));
    assert_true(several.facts.flops == last.facts.flops);
    segmenting_close(&several);
    segmenting_close(&last);
}

static void a_linear_probe_trains_what_the_paper_counts(void **state)
{
    /* 4 D C + C of SODA's 21 classes (spec 2.10). */
    static const struct {
        const char *size;
        int64_t trained;
    } table[] = {{"tiny", 16149}, {"small", 32277}, {"base", 64533}, {"large", 86037}};
    (void)state;
    labelled images;
    labelled_open(&images, 21);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assay_error error = {0};
        segmenting s;
        open_published(&s, &images, table[i].size);
        use_text(&s.model, "head", "linear");
        use_number(&s.model, "freeze", 1);
        must(segmenting_try(&s, 1, true, &error), &error);
        assert_int_equal(assay_params_size(s.params, NULL, true), table[i].trained);
        segmenting_close(&s);
    }
}

/* ---- windows ---- */

static void windows_lie_where_the_paper_has_them(void **state)
{
    const grid g = {512, 341};
    (void)state;
    assert_int_equal(grid_count(&g, 683), 2); /* 640 x 480, fitted */
    assert_int_equal(grid_at(&g, 683, 0), 0);
    assert_int_equal(grid_at(&g, 683, 1), 171);
    assert_int_equal(grid_count(&g, 640), 2); /* 720 x 576 */
    assert_int_equal(grid_at(&g, 640, 1), 128);
    assert_int_equal(grid_count(&g, 512), 1);
    assert_int_equal(grid_at(&g, 512, 0), 0);
    assert_int_equal(grid_count(&g, 512 + 341), 2);
    assert_int_equal(grid_count(&g, 512 + 342), 3);
    assert_int_equal(grid_at(&g, 512 + 342, 2), 342);
    assert_int_equal(grid_count(&g, 2048), 6);
}

/* Bilinear with half-pixel centres, from its definition. */
static double bilinear(const double *in, int64_t height, int64_t width, int64_t out_height,
                       int64_t out_width, int64_t y, int64_t x)
{
    double at_y = fmax((y + 0.5) * (double)height / (double)out_height - 0.5, 0);
    double at_x = fmax((x + 0.5) * (double)width / (double)out_width - 0.5, 0);
    int64_t top = (int64_t)at_y, left = (int64_t)at_x;
    int64_t below = top + 1 < height ? top + 1 : top, right = left + 1 < width ? left + 1 : left;
    double down = at_y - (double)top, along = at_x - (double)left;
    return (1 - down) * ((1 - along) * in[top * width + left] + along * in[top * width + right]) +
           down * ((1 - along) * in[below * width + left] + along * in[below * width + right]);
}

enum { WINDOW = 12, FINE = 6, TALL = 17, WIDE = 23, OUT_TALL = 9, OUT_WIDE = 31, NAMES = 3 };

/* The prediction of one frame, pixel by pixel in double; `clear`: how far the best is from the
 * next. */
static int slow_class(const frame *f, const grid *g, const float *logits, int64_t y, int64_t x,
                      double *clear)
{
    static double joined[NAMES][TALL * WIDE];
    static double window[FINE * FINE];
    int best = 0;
    double values[NAMES];
    for (int c = 0; c < NAMES; c++) {
        static double counts[TALL * WIDE];
        memset(joined[c], 0, sizeof joined[c]);
        memset(counts, 0, sizeof counts);
        for (int64_t i = 0; i < f->rows * f->columns; i++) {
            for (int k = 0; k < FINE * FINE; k++)
                window[k] = (double)logits[((f->first + i) * NAMES + c) * FINE * FINE + k];
            for (int64_t v = 0; v < WINDOW; v++)
                for (int64_t u = 0; u < WINDOW; u++) {
                    int64_t at = (grid_at(g, TALL, i / f->columns) + v) * WIDE +
                                 grid_at(g, WIDE, i % f->columns) + u;
                    joined[c][at] += bilinear(window, FINE, FINE, WINDOW, WINDOW, v, u);
                    counts[at] += 1;
                }
        }
        for (int k = 0; k < TALL * WIDE; k++)
            joined[c][k] /= counts[k];
        values[c] = bilinear(joined[c], TALL, WIDE, OUT_TALL, OUT_WIDE, y, x);
        best = values[c] > values[best] ? c : best;
    }
    *clear = INFINITY;
    for (int c = 0; c < NAMES; c++)
        if (c != best)
            *clear = fmin(*clear, values[best] - values[c]);
    return best;
}

static void overlapping_windows_are_averaged(void **state)
{
    const grid g = {WINDOW, 8};
    frame f = {.height = TALL,
               .width = WIDE,
               .tall = TALL,
               .wide = WIDE,
               .rows = grid_count(&g, TALL),
               .columns = grid_count(&g, WIDE),
               .out_height = OUT_TALL,
               .out_width = OUT_WIDE,
               .first = 2};
    static float logits[16 * NAMES * FINE * FINE];
    static int32_t classes[OUT_TALL * OUT_WIDE];
    int seen[NAMES] = {0};
    (void)state;
    assert_int_equal(f.rows * f.columns, 2 * 3);
    assay_random_fill_normal(assay_stream_of(5, "test/logits", 0), 0, 8 * NAMES * FINE * FINE,
                             logits);
    float *scratch = malloc((size_t)frame_scratch(&f, &g) * sizeof *scratch);
    assert_non_null(scratch);
    frame_classes(&f, &g, logits, NAMES, FINE, FINE, scratch, classes);
    for (int64_t y = 0; y < OUT_TALL; y++)
        for (int64_t x = 0; x < OUT_WIDE; x++) {
            double clear = 0;
            int expected = slow_class(&f, &g, logits, y, x, &clear);
            seen[expected]++;
            if (clear > 1e-5)
                assert_int_equal(classes[y * OUT_WIDE + x], expected);
        }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    free(scratch);
}

/* ---- predictions ---- */

static int32_t *predict(segmenting *s, int64_t batch, int64_t *count)
{
    int32_t *all = NULL;
    *count = 0;
    for (int64_t first = 0; first < s->dataset->count; first += batch) {
        int64_t n = s->dataset->count - first < batch ? s->dataset->count - first : batch;
        segmenting_pass(s, first, n, ASSAY_EVALUATION, &predictions);
        const assay_tensor *made = segmenting_output(s, prediction[0]);
        all = realloc(all, (size_t)(*count + assay_tensor_count(made)) * sizeof *all);
        assert_non_null(all);
        memcpy(all + *count, assay_i32(made), (size_t)assay_tensor_bytes(made));
        *count += assay_tensor_count(made);
    }
    return all;
}

static void predictions_depend_on_no_batch_and_no_threads(void **state)
{
    /* Wide, tall, smaller than a window, exactly one, and thin: fitted and padded. */
    static const int64_t sizes[][2] = {{48, 64}, {80, 56}, {20, 24}, {32, 32}, {8, 200}};
    static const struct {
        int64_t batch;
        int threads;
    } ways[] = {{1, 1}, {5, 1}, {2, 2}, {5, 2}};
    (void)state;
    assay_error error = {0};
    const int threads = assay_threads();
    labelled images;
    segmenting s;
    int64_t pixels = 0, count = 0, flipped = 0, classes[3] = {0};
    labelled_open(&images, 3);
    for (int i = 0; i < 5; i++) {
        labelled_draw(&images, sizes[i][0], sizes[i][1], (uint64_t)i);
        pixels += sizes[i][0] * sizes[i][1];
    }
    segmenting_begin(&s, &images, 32);
    segmenting_open(&s, 4);
    /* At the start all logits are nearly 0: with larger weights every class is somewhere. */
    assay_tensor *seg = assay_params_find(s.params, "decode_head.conv_seg.weight")->value;
    for (int64_t i = 0; i < assay_tensor_count(seg); i++)
        assay_f32(seg)[i] *= 100;
    int32_t *first = NULL;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        must(assay_threads_set(ways[w].threads, &error), &error);
        int32_t *got = predict(&s, ways[w].batch, &count);
        assert_int_equal(count, pixels);
        for (int64_t i = 0; i < count; i++) {
            assert_in_range(got[i], 0, 2);
            classes[got[i]]++;
            flipped += first && got[i] != first[i];
        }
        if (first)
            free(got);
        else
            first = got;
    }
    assert_true((double)flipped <= 1e-5 * (double)pixels);
    assert_true((classes[0] > 0) + (classes[1] > 0) + (classes[2] > 0) >= 2);
    must(assay_threads_set(threads, &error), &error);
    free(first);
    segmenting_close(&s);
    labelled_close(&images);
}

static void windows_take_the_memory_of_a_few(void **state)
{
    static const char *const both[] = {"image.prediction", "image.logits"};
    (void)state;
    labelled images;
    segmenting s;
    labelled_open(&images, 3);
    labelled_draw(&images, 32, 300, 1); /* 14 windows */
    segmenting_begin(&s, &images, 32);
    use_number(&s.model, "fit_long", 512);
    segmenting_open(&s, 4);
    segmenting_pass(&s, 0, 1, ASSAY_EVALUATION, &predictions);
    const int64_t few = assay_tape_stats_get(s.tape).arena.peak_bytes;
    const assay_tensor *made = segmenting_output(&s, prediction[0]);
    int32_t *alone = malloc((size_t)assay_tensor_bytes(made));
    assert_non_null(alone);
    memcpy(alone, assay_elements(made), (size_t)assay_tensor_bytes(made));
    segmenting_pass(&s, 0, 1, ASSAY_EVALUATION, &(assay_wanted){2, both});
    const assay_tensor *logits = segmenting_output(&s, both[1]);
    int64_t flipped = 0;
    assert_int_equal(logits->shape[0], 14);
    for (int64_t i = 0; i < 32 * 300; i++)
        flipped += assay_i32(segmenting_output(&s, prediction[0]))[i] != alone[i];
    assert_true(flipped == 0);
    /* What is kept are tokens and logits, and not what is between. */
    assert_true(few < assay_tape_stats_get(s.tape).arena.peak_bytes / 4);
    free(alone);
    segmenting_close(&s);
    labelled_close(&images);
}

/* ---- training ---- */

typedef struct training {
    use of;
    void *loss;
    assay_adamw *adamw;
    const char *names[ASSAY_MAX_OUTPUTS];
    int count;
} training;

static void training_open(training *t, segmenting *s)
{
    assay_error error = {0};
    memset(t, 0, sizeof *t);
    t->of = use_open("loss_segmentation");
    const assay_loss_functions *loss = use_loss(&t->of);
    const assay_loss_setup setup = {.size = sizeof setup, .facts = &s->facts, .params = s->params};
    const assay_adamw_options options = {
        .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .weight_decay = 0.01f};
    must(loss->wants(t->of.options, t->names, &t->count, &error), &error);
    t->loss = loss->open(t->of.options, &setup, &error);
    t->adamw = assay_adamw_new(s->params, s->device, options, &error);
    must(t->loss && t->adamw, &error);
}

static void training_close(training *t)
{
    use_loss(&t->of)->close(t->loss);
    assay_adamw_free(t->adamw);
    use_close(&t->of);
}

static double training_step(training *t, segmenting *s, float lr)
{
    assay_error error = {0};
    segmenting_pass(s, 0, s->dataset->count, ASSAY_TRAINING, &(assay_wanted){t->count, t->names});
    assay_tensor *loss =
        use_loss(&t->of)->compute(t->loss, s->tape, &(assay_clock){0}, &s->batch, &s->outputs);
    tape_must(s->tape, loss != NULL);
    const double value = assay_value(loss);
    assay_params_clear_grads(s->params);
    tape_must(s->tape, assay_tape_backward(s->tape, loss, 1));
    must(assay_adamw_step(t->adamw, lr, 0, NULL, &error), &error);
    return value;
}

/* Mean IoU of the predictions over all images: a class that is never hit costs its whole share,
 * however few its pixels. */
static double mean_iou(segmenting *s)
{
    assay_error error = {0};
    assay_segmentation summary = {0};
    int64_t count = 0, at = 0;
    int32_t *got = predict(s, s->dataset->count, &count);
    assay_confusion *confusion = assay_confusion_new(s->dataset->classes, 255, &error);
    must(confusion != NULL, &error);
    for (int64_t i = 0; i < s->dataset->count; i++) {
        const labelled_image *image = &s->dataset->images[i];
        for (int64_t k = 0; k < image->height * image->width; k++) {
            const uint8_t said = (uint8_t)got[at++];
            must(assay_confusion_add(confusion, &image->truth[k], &said, 1, &error), &error);
        }
    }
    must(assay_confusion_summary(confusion, &summary, NULL, &error), &error);
    assert_int_equal(summary.pixels, count);
    assay_confusion_free(confusion);
    free(got);
    return summary.miou;
}

/* What `assay plan` says of memory is what a step takes. */
static void a_step_takes_the_memory_that_is_estimated(void **state)
{
    (void)state;
    labelled images;
    segmenting s;
    training t;
    labelled_open(&images, 3);
    for (int i = 0; i < 2; i++)
        labelled_draw(&images, 64, 64, (uint64_t)i);
    segmenting_begin(&s, &images, 64);
    use_number(&s.model, "channels", 0);
    segmenting_open(&s, 4);
    training_open(&t, &s);
    training_step(&t, &s, 1e-3f);
    const double peak = (double)assay_tape_stats_get(s.tape).arena.peak_bytes;
    const double estimate = 2 * s.facts.activation_bytes;
    if (!(peak > 0.8 * estimate && peak < 1.25 * estimate))
        fail_msg("a step takes %g bytes, %g are estimated", peak, estimate);
    training_close(&t);
    segmenting_close(&s);
    labelled_close(&images);
}

static void a_frozen_vit_keeps_its_bits(void **state)
{
    (void)state;
    labelled images;
    segmenting s;
    training t;
    labelled_open(&images, 3);
    for (int i = 0; i < 4; i++)
        labelled_draw(&images, 32, 32, (uint64_t)i);
    segmenting_begin(&s, &images, 32);
    use_text(&s.model, "head", "linear");
    use_number(&s.model, "freeze", 1);
    use_number(&s.model, "drop_path", 0.5); /* does not act */
    use_text(&s.model, "feature", "norm");
    segmenting_open(&s, 4);
    training_open(&t, &s);
    float **before = calloc((size_t)assay_params_count(s.params), sizeof *before);
    assert_non_null(before);
    for (int64_t i = 0; i < assay_params_count(s.params); i++) {
        const assay_tensor *value = assay_params_at(s.params, i)->value;
        before[i] = malloc((size_t)assay_tensor_bytes(value));
        assert_non_null(before[i]);
        memcpy(before[i], assay_elements(value), (size_t)assay_tensor_bytes(value));
    }
    double first = training_step(&t, &s, 0.01f), last = first;
    for (int i = 0; i < 30; i++)
        last = training_step(&t, &s, 0.01f);
    assert_true(last < 0.8 * first);
    for (int64_t i = 0; i < assay_params_count(s.params); i++) {
        const assay_parameter *p = assay_params_at(s.params, i);
        bool same =
            memcmp(before[i], assay_elements(p->value), (size_t)assay_tensor_bytes(p->value)) == 0;
        assert_true(same == (strncmp(p->name, "decode_head.", 12) != 0));
        free(before[i]);
    }
    free(before);
    training_close(&t);
    segmenting_close(&s);
    labelled_close(&images);
}

static void a_few_images_are_learned_by_heart(void **state)
{
    static const char *const necks[] = {"fpn", "ll_fpn"};
    (void)state;
    for (int n = 0; n < 2; n++) {
        labelled images;
        segmenting s;
        training t;
        labelled_open(&images, 3);
        for (int i = 0; i < 4; i++)
            labelled_draw(&images, 32, 32, (uint64_t)i);
        segmenting_begin(&s, &images, 32);
        use_text(&s.model, "neck", necks[n]);
        /* In narrow heads all channels of a rare class can die in the first steps. */
        use_number(&s.model, "channels", 64);
        use_number(&s.model, "auxiliary_channels", 64);
        segmenting_open(&s, 4);
        training_open(&t, &s);
        assert_true(mean_iou(&s) < 0.5);
        double first = training_step(&t, &s, 4e-3f), last = first;
        for (int i = 0; i < 40; i++)
            last = training_step(&t, &s, 4e-3f);
        assert_true(last < 0.3 * first);
        const double miou = mean_iou(&s);
        if (!(miou > 0.9))
            fail_msg("%s: mIoU %g", necks[n], miou);
        training_close(&t);
        segmenting_close(&s);
        labelled_close(&images);
    }
}

/* ---- outputs ---- */

static void layers_and_maps_stop_where_nobody_wants_more(void **state)
{
    static const char *const names[] = {"image.layers.0", "image.attention.1"};
    static const char *const all[] = {"image.layers.0", "image.attention.1", "image.layers.2",
                                      "image.logits", "image.truth"};
    (void)state;
    labelled images;
    segmenting s;
    labelled_open(&images, 3);
    labelled_draw(&images, 40, 64, 1);
    segmenting_begin(&s, &images, 32);
    segmenting_open(&s, 4);
    segmenting_pass(&s, 0, 1, ASSAY_EVALUATION, &(assay_wanted){2, names});
    const assay_tensor *x = segmenting_output(&s, names[0]);
    const assay_tensor *map = segmenting_output(&s, names[1]);
    assert_true(x->shape[0] == 1 && x->shape[1] == 65 && x->shape[2] == 32);
    assert_true(map->shape[1] == 2 && map->shape[2] == 65 && map->shape[3] == 65);
    const float kept = assay_f32(x)[70];
    /* The middle window of the image, which is fitted to 51 x 32. */
    segmenting_pass(&s, 0, 1, ASSAY_EVALUATION, &(assay_wanted){5, all});
    assert_true(assay_f32(segmenting_output(&s, names[0]))[70] == kept);
    const assay_tensor *truth = segmenting_output(&s, "image.truth");
    const labelled_image *image = &images.images[0];
    for (int64_t y = 0; y < 32; y++)
        for (int64_t c = 0; c < 32; c++)
            assert_int_equal(assay_u8(truth)[y * 32 + c],
                             image->truth[y * 40 / 32 * 64 + (9 + c) * 64 / 51]);
    segmenting_close(&s);
    labelled_close(&images);
}

/* ---- what is refused ---- */

static void refuse(const labelled *images, const char *name, const char *value, double number,
                   const char *what)
{
    segmenting s;
    assay_error error = {0};
    segmenting_begin(&s, images, 32);
    if (name && value && strcmp(name, "blocks") == 0)
        use_list(&s.model, name, value);
    else if (name && value)
        use_text(&s.model, name, value);
    else if (name)
        use_number(&s.model, name, number);
    assert_false(segmenting_try(&s, 1, false, &error));
    if (!strstr(error.what, what))
        fail_msg("'%s' was said, '%s' expected", error.what, what);
    s.opened = NULL;
    segmenting_close(&s);
}

static void what_does_not_go_together_is_named(void **state)
{
    (void)state;
    labelled images, nameless;
    labelled_open(&images, 3);
    labelled_open(&nameless, 0);
    refuse(&nameless, NULL, NULL, 0, "does not name classes");
    refuse(&images, "neck", "none", 0, "head and neck");
    refuse(&images, "patch", NULL, 5, "whole number of patches");
    refuse(&images, "patch", NULL, 32, "patches to pool");
    refuse(&images, "stride", NULL, 33, "leave pixels out");
    refuse(&images, "blocks", "0,1", 0, "that many blocks");
    refuse(&images, "blocks", "0,1,2,3", 0, "no block 3");
    refuse(&images, "width", NULL, 0, "custom size");
}

static void wrong_crops_are_named(void **state)
{
    static const char *const names[] = {"image.logits", "image.truth"};
    (void)state;
    labelled images;
    segmenting s;
    assay_error error = {0};
    labelled_open(&images, 3);
    labelled_draw(&images, 32, 40, 1);
    labelled_draw(&images, 32, 32, 1);
    segmenting_begin(&s, &images, 32);
    segmenting_open(&s, 4);
    assert_false(segmenting_collate(&s, 0, 1, ASSAY_TRAINING, &(assay_wanted){2, names}, &error));
    assert_string_equal(error.expected, "32 x 32");
    assert_non_null(strstr(error.got, "40 x 32"));
    free(images.images[1].truth);
    images.images[1].truth = NULL;
    assay_error_clear(&error);
    assert_false(segmenting_collate(&s, 1, 1, ASSAY_TRAINING, &(assay_wanted){2, names}, &error));
    assert_non_null(strstr(error.what, "no truth"));
    segmenting_close(&s);
    /* Before any run, when the plan is made. */
    segmenting_begin(&s, &images, 32);
    assay_error_clear(&error);
    assert_false(segmenting_try(&s, 1, true, &error));
    assert_non_null(strstr(error.got, "40 x 32"));
    segmenting_close(&s);
    labelled_close(&images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_costs_are_the_published_ones),
        cmocka_unit_test(the_last_block_alone_costs_the_same),
        cmocka_unit_test(a_linear_probe_trains_what_the_paper_counts),
        cmocka_unit_test(windows_lie_where_the_paper_has_them),
        cmocka_unit_test(overlapping_windows_are_averaged),
        cmocka_unit_test(predictions_depend_on_no_batch_and_no_threads),
        cmocka_unit_test(windows_take_the_memory_of_a_few),
        cmocka_unit_test(a_step_takes_the_memory_that_is_estimated),
        cmocka_unit_test(a_frozen_vit_keeps_its_bits),
        cmocka_unit_test(a_few_images_are_learned_by_heart),
        cmocka_unit_test(layers_and_maps_stop_where_nobody_wants_more),
        cmocka_unit_test(what_does_not_go_together_is_named),
        cmocka_unit_test(wrong_crops_are_named),
    };
    return cmocka_run_group_tests_name("segmenter", tests, NULL, NULL);
}
