/* labelled.c - the labelled images of the tests, and a segmenter's passes over them. */
#include "models/labelled.h"
#include "under_test.h"

#include <assay/memory.h>
#include <assay/random.h>
#include <assay/tape.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the dataset ---- */

enum { IMAGE, TRUTH, FIELDS };

static const assay_field fields[FIELDS] = {
    {"image", ASSAY_F32, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
    {"truth", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
};

static const assay_benchmark benchmark = {"plates", "segmentation", "", "", 0};

static const char *fingerprint(void *user)
{
    (void)user;
    return "labelled";
}

static const assay_field *all_fields(void *user, int *count)
{
    (void)user;
    *count = FIELDS;
    return fields;
}

static const assay_benchmark *all_benchmarks(void *user, int *count)
{
    (void)user;
    *count = 1;
    return &benchmark;
}

static int64_t count_of(void *user, assay_data_split split, int number)
{
    const labelled *dataset = user;
    (void)number;
    return dataset->empty[split] ? 0 : dataset->count;
}

static bool sample_of(void *user, assay_data_split split, int number, int64_t index,
                      const assay_draw *draw, assay_arena *arena, assay_sample *out,
                      assay_error *error)
{
    const labelled_image *image = &((const labelled *)user)->images[index];
    (void)split;
    (void)number;
    (void)draw;
    assay_field_value *values = assay_arena_alloc(arena, FIELDS * (int64_t)sizeof *values, error);
    if (!values)
        return false;
    values[IMAGE] = (assay_field_value){
        .data = image->pixels, .shape = {image->height, image->width}, .present = true};
    values[TRUTH] = (assay_field_value){.data = image->truth,
                                        .shape = {image->height, image->width},
                                        .present = image->truth != NULL};
    *out = (assay_sample){.values = values, .index = index, .label = -1};
    return true;
}

static const char *const *classes_of(void *user, int *count)
{
    const labelled *dataset = user;
    *count = dataset->classes;
    return dataset->classes > 0 ? dataset->name_list : NULL;
}

void labelled_open(labelled *out, int classes)
{
    memset(out, 0, sizeof *out);
    assert_true(classes <= LABELLED_CLASSES);
    out->classes = classes;
    for (int c = 0; c < classes; c++) {
        snprintf(out->names[c], sizeof out->names[c], "c%d", c);
        out->name_list[c] = out->names[c];
    }
    out->functions = (assay_dataset_functions){.size = sizeof out->functions,
                                               .fingerprint = fingerprint,
                                               .fields = all_fields,
                                               .benchmarks = all_benchmarks,
                                               .count = count_of,
                                               .sample = sample_of,
                                               .classes = classes_of};
    out->data = (assay_data){
        .size = sizeof out->data, .name = "plates", .functions = &out->functions, .dataset = out};
}

void labelled_close(labelled *dataset)
{
    for (int64_t i = 0; i < dataset->count; i++) {
        free(dataset->images[i].pixels);
        free(dataset->images[i].truth);
    }
}

labelled_image *labelled_add(labelled *dataset, int64_t height, int64_t width)
{
    assert_true(dataset->count < LABELLED_MOST);
    labelled_image *image = &dataset->images[dataset->count++];
    *image = (labelled_image){.height = height, .width = width};
    image->pixels = calloc((size_t)(height * width), sizeof *image->pixels);
    image->truth = calloc((size_t)(height * width), 1);
    assert_true(image->pixels && image->truth);
    return image;
}

labelled_image *labelled_draw(labelled *dataset, int64_t height, int64_t width, uint64_t seed)
{
    labelled_image *image = labelled_add(dataset, height, width);
    const assay_stream places = assay_stream_of(seed, "test/places", 0);
    const assay_stream noise = assay_stream_of(seed, "test/noise", 0);
    for (int64_t i = 0; i < height * width; i++)
        image->pixels[i] = 0.1f * assay_random_normal(noise, (uint64_t)i);
    for (int c = 1; c < dataset->classes; c++) {
        const uint64_t at = 8 * (uint64_t)c;
        int64_t tall = height / 4 + assay_random_below(places, at, height / 4);
        int64_t wide = width / 4 + assay_random_below(places, at + 1, width / 4);
        int64_t top = assay_random_below(places, at + 2, height - tall);
        int64_t left = assay_random_below(places, at + 3, width - wide);
        for (int64_t y = top; y < top + tall; y++)
            for (int64_t x = left; x < left + wide; x++) {
                image->pixels[y * width + x] += (c % 2 ? 1.5f : -1.5f) * (float)(1 + c / 2);
                image->truth[y * width + x] = (uint8_t)c;
            }
    }
    return image;
}

/* ---- the segmenter ---- */

void segmenting_begin(segmenting *s, const labelled *dataset, int64_t side)
{
    memset(s, 0, sizeof *s);
    s->dataset = dataset;
    s->model = use_open("model_segmenter");
    use_text(&s->model, "size", "custom");
    use_number(&s->model, "width", 32);
    use_number(&s->model, "layers", 3);
    use_number(&s->model, "heads", 2);
    use_number(&s->model, "patch", 4);
    use_number(&s->model, "image", (double)side);
    use_number(&s->model, "dropout", 0);
    use_number(&s->model, "drop_path", 0);
    use_number(&s->model, "channels", 16);
    use_number(&s->model, "auxiliary_channels", 8);
}

bool segmenting_try(segmenting *s, uint64_t seed, bool counting, assay_error *error)
{
    s->device = s->device ? s->device : device_under_test(error);
    must(s->device != NULL, error);
    s->tape = assay_tape_new(s->device, ASSAY_PRECISION_FP32, error);
    s->params = counting ? assay_params_new_counting(error) : assay_params_new(seed, error);
    s->arena = assay_arena_new(0, error);
    must(s->tape && s->params && s->arena, error);
    const assay_model_setup setup = {.size = sizeof setup,
                                     .data = &s->dataset->data,
                                     .params = s->params,
                                     .seed = seed,
                                     .counting = counting};
    s->opened = use_model(&s->model)->open(s->model.options, &setup, error);
    if (s->opened)
        use_model(&s->model)->facts(s->opened, &s->facts);
    return s->opened != NULL;
}

void segmenting_open(segmenting *s, uint64_t seed)
{
    assay_error error = {0};
    must(segmenting_try(s, seed, false, &error), &error);
}

void segmenting_close(segmenting *s)
{
    use_model(&s->model)->close(s->opened);
    use_close(&s->model);
    assay_params_free(s->params);
    assay_tape_free(s->tape);
    assay_arena_free(s->arena);
}

bool segmenting_collate(segmenting *s, int64_t first, int64_t count, assay_phase phase,
                        const assay_wanted *wanted, assay_error *error)
{
    const assay_data *data = &s->dataset->data;
    assay_arena_reset(s->arena);
    assay_sample *samples = assay_arena_alloc(s->arena, count * (int64_t)sizeof *samples, error);
    must(samples != NULL, error);
    for (int64_t i = 0; i < count; i++)
        must(data->functions->sample(data->dataset, ASSAY_TRAIN, 0, first + i, &(assay_draw){0},
                                     s->arena, &samples[i], error),
             error);
    s->batch = (assay_batch){.samples = count, .sample = samples};
    const assay_collation in = {
        .samples = samples, .count = count, .phase = phase, .wanted = wanted, .arena = s->arena};
    return use_model(&s->model)->collate(s->opened, &in, &s->batch, error);
}

void segmenting_pass(segmenting *s, int64_t first, int64_t count, assay_phase phase,
                     const assay_wanted *wanted)
{
    assay_error error = {0};
    const assay_model_functions *model = use_model(&s->model);
    const bool training = phase == ASSAY_TRAINING;
    must(segmenting_collate(s, first, count, phase, wanted, &error), &error);
    assay_tape_begin(s->tape, (assay_step){.seed = 1,
                                           .clock = ++s->pass,
                                           .training = training,
                                           .no_gradient = !training});
    s->outputs.count = 0;
    assert_int_equal(s->batch.tower_count, 1);
    assay_tensor *x = model->embed(s->opened, s->tape, &s->batch, 0, &(assay_insert){0});
    tape_must(s->tape, x != NULL);
    tape_must(s->tape,
              model->forward(s->opened, s->tape, &s->batch, 0, x, NULL, wanted, &s->outputs));
    assert_int_equal(s->outputs.count, wanted->count);
}

assay_tensor *segmenting_output(const segmenting *s, const char *name)
{
    assay_tensor *tensor = assay_outputs_get(&s->outputs, name);
    if (!tensor)
        fail_msg("there is no output %s", name);
    return tensor;
}
