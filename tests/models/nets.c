/* nets.c - a vit on images that a test holds (nets.h). */
#include "models/nets.h"
#include "under_test.h"

#include <assay/memory.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- images ---- */

static const assay_field fields[] = {
    {"image", ASSAY_F32, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
    {"truth", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
};
static const assay_benchmark benchmark = {"photos", "segmentation", "", "", 0};
static const char *const class_names[] = {"cold", "warm", "hot"};

static const char *photos_fingerprint(void *user)
{
    (void)user;
    return "photos";
}

static const assay_field *photos_fields(void *user, int *count)
{
    *count = ((const photos *)user)->truth ? 2 : 1;
    return fields;
}

static const assay_benchmark *photos_benchmarks(void *user, int *count)
{
    *count = ((const photos *)user)->truth ? 1 : 0;
    return &benchmark;
}

static const char *const *photos_classes(void *user, int *count)
{
    *count = ((const photos *)user)->truth ? 3 : 0;
    return class_names;
}

static const photos *photos_of(const photos *all, assay_data_split split)
{
    return split == ASSAY_VALID && all->valid ? all->valid : all;
}

static int64_t photos_count(void *user, assay_data_split split, int of)
{
    (void)of;
    return photos_of(user, split)->count;
}

static bool photos_sample(void *user, assay_data_split split, int of, int64_t index,
                          const assay_draw *draw, assay_arena *arena, assay_sample *out,
                          assay_error *error)
{
    const photos *p = photos_of(user, split);
    const int64_t pixels = p->side * p->side;
    assay_field_value *values = assay_arena_alloc(arena, 2 * (int64_t)sizeof *values, error);
    (void)of;
    (void)draw;
    if (!values)
        return false;
    values[0] = (assay_field_value){
        .data = p->pixels + index * pixels, .shape = {p->side, p->side}, .present = true};
    values[1] = (assay_field_value){.shape = {p->side, p->side}, .present = p->truth != NULL};
    if (p->truth)
        values[1].data = p->truth + index * pixels;
    *out = (assay_sample){.values = values, .index = index, .label = -1};
    return true;
}

void photos_open(photos *out, int64_t count, int64_t side, const float *pixels,
                 const uint8_t *truth)
{
    *out = (photos){.count = count,
                    .side = side,
                    .pixels = pixels,
                    .truth = truth,
                    .functions = {.size = sizeof(assay_dataset_functions),
                                  .fingerprint = photos_fingerprint,
                                  .fields = photos_fields,
                                  .benchmarks = photos_benchmarks,
                                  .classes = photos_classes,
                                  .count = photos_count,
                                  .sample = photos_sample}};
    out->data = (assay_data){
        .size = sizeof out->data, .name = "photos", .functions = &out->functions, .dataset = out};
}

assay_sample *photos_samples(photos *from, int64_t first, int64_t count, assay_arena *arena)
{
    assay_error error = {0};
    assay_sample *samples = assay_arena_alloc(arena, count * (int64_t)sizeof *samples, &error);
    must(samples != NULL, &error);
    for (int64_t i = 0; i < count; i++)
        must(photos_sample(from, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, first + i, &(assay_draw){0},
                           arena, &samples[i], &error),
             &error);
    return samples;
}

/* ---- a network ---- */

static bool net_collate(void *user, const assay_collation *in, assay_batch *out, assay_error *error)
{
    net *n = user;
    return use_model(&n->model)->collate(n->opened, in, out, error);
}

static bool net_forward(net *n, assay_tape *tape, const assay_batch *batch,
                        const assay_wanted *wanted, assay_outputs *out)
{
    const assay_model_functions *f = use_model(&n->model);
    assay_tensor *x = f->embed(n->opened, tape, batch, 0, &(assay_insert){0});
    out->count = 0;
    return x && f->forward(n->opened, tape, batch, 0, x, NULL, wanted, out);
}

static bool net_network_run(void *user, assay_tape *tape, const assay_batch *batch,
                            const assay_wanted *wanted, assay_outputs *out)
{
    bool before = assay_tape_pause(tape, true);
    bool ok = net_forward(user, tape, batch, wanted, out);
    assay_tape_pause(tape, before);
    return ok;
}

void net_begin(net *out, const assay_data *data, int64_t width, int64_t layers, int64_t heads,
               int64_t image)
{
    *out = (net){.model = use_open("model_vit"), .data = data};
    use_text(&out->model, "size", "custom");
    use_number(&out->model, "width", (double)width);
    use_number(&out->model, "layers", (double)layers);
    use_number(&out->model, "heads", (double)heads);
    use_number(&out->model, "image", (double)image);
}

void net_open(net *out, uint64_t seed)
{
    assay_error error = {0};
    out->params = assay_params_new(seed, &error);
    must(out->params != NULL, &error);
    const assay_model_setup setup = {
        .size = sizeof setup, .data = out->data, .params = out->params, .seed = seed};
    out->opened = use_model(&out->model)->open(out->model.options, &setup, &error);
    must(out->opened != NULL, &error);
    use_model(&out->model)->facts(out->opened, &out->facts);
    out->network = (assay_network){.size = sizeof out->network,
                                   .user = out,
                                   .facts = &out->facts,
                                   .params = out->params,
                                   .collate = net_collate,
                                   .run = net_network_run};
}

void net_close(net *out)
{
    use_model(&out->model)->close(out->opened);
    assay_params_free(out->params);
    use_close(&out->model);
}

void net_run(net *of, assay_tape *tape, assay_arena *arena, const assay_sample *samples,
             int64_t count, assay_phase phase, const assay_wanted *wanted, assay_batch *batch,
             assay_outputs *out)
{
    assay_error error = {0};
    const assay_collation in = {
        .samples = samples, .count = count, .phase = phase, .wanted = wanted, .arena = arena};
    *batch = (assay_batch){.samples = count, .sample = samples};
    must(net_collate(of, &in, batch, &error), &error);
    tape_must(tape, net_forward(of, tape, batch, wanted, out));
}

static const assay_network *host_network(void *user, const assay_weights_source *source,
                                         assay_error *error)
{
    (void)source;
    (void)error;
    return &((net *)user)->network;
}

assay_host nets_host(net *teacher)
{
    return (assay_host){.size = sizeof(assay_host), .user = teacher, .network = host_network};
}

/* ---- an evaluation ---- */

static bool jury_score(void *user, const assay_score *score, assay_error *error)
{
    jury *j = user;
    (void)error;
    assert_true(j->count < JURY_SCORES);
    snprintf(j->names[j->count], sizeof j->names[0], "%s/%s/%s@%s", score->suite, score->benchmark,
             score->metric, assay_split_name(score->split));
    j->values[j->count++] = score->value;
    return true;
}

static bool jury_artifact(void *user, const char *name, const void *data, int64_t bytes,
                          assay_error *error)
{
    jury *j = user;
    char *copy = assay_zalloc(bytes + 1, error);
    assert_true(copy != NULL && j->files < JURY_FILES);
    memcpy(copy, data, (size_t)bytes);
    snprintf(j->file_names[j->files], sizeof j->file_names[0], "%s", name);
    j->file_data[j->files] = copy;
    j->file_bytes[j->files++] = bytes;
    return true;
}

void jury_begin(jury *out, net *judged, const assay_data *data, assay_host *host)
{
    assay_error error = {0};
    *out = (jury){.evaluation = {.size = sizeof out->evaluation,
                                 .user = out,
                                 .network = &judged->network,
                                 .data = data,
                                 .device = device_under_test(&error),
                                 .host = host,
                                 .seed = 5,
                                 .final = true,
                                 .score = jury_score,
                                 .artifact = jury_artifact}};
    must(out->evaluation.device != NULL, &error);
}

void jury_end(jury *of)
{
    for (int i = 0; i < of->files; i++)
        assay_free(of->file_data[i]);
}

double jury_value(const jury *of, const char *name)
{
    for (int i = 0; i < of->count; i++)
        if (strcmp(of->names[i], name) == 0)
            return of->values[i];
    fail_msg("there is no score %s", name);
    return 0;
}

int jury_file(const jury *of, const char *name)
{
    for (int i = 0; i < of->files; i++)
        if (strcmp(of->file_names[i], name) == 0)
            return i;
    fail_msg("there is no file %s", name);
    return 0;
}
