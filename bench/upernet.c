/* bench/upernet.c - the segmenter benchmark: the fine-tuning step that bench/peers/torch_upernet.py
 * defines, through the plugins model.segmenter and loss.segmentation as a run opens them.
 *
 * A ViT-S/16 (width 384, 12 blocks, 6 heads, layer scale, no drop path) takes 2 images of 512
 * random pixels a side; a pyramid of blocks 4, 6, 8 and 12, UPerNet of 384 channels and the
 * auxiliary head (infrared spec 2.9), no dropout; both cross-entropies with 21 random classes a
 * pixel; AdamW at 1e-4. One step to warm up, then the median of the rest. Prints one JSON line. In
 * bf16 the ViT's products and states are; operations on maps compute in fp32 and give fp32 on every
 * tape.
 *
 * usage: upernet [fp32|bf16] [threads] [steps] [--profile] */
#include "timing.h"

#include <assay/model.h>

#include "lab/plugin/settings.h"

enum { IMAGES = 2, SIDE = BENCH_TINY ? 64 : 512, CLASSES = 21, FIELDS = 2 };

typedef struct bench {
    plugin_registry *registry;
    const plugin *model, *loss;
    void *model_options, *loss_options; /* owned */
    void *opened, *opened_loss;
    assay_dataset_functions functions;
    assay_data data;
    assay_tensor *image, *truth; /* (SIDE, SIDE) f32, u8: every sample's */
    assay_params *params;
    assay_adamw *adamw;
    assay_tape *tape;
    assay_arena *arena;
    assay_model_facts facts;
    assay_batch batch;
    const char *names[ASSAY_MAX_OUTPUTS];
    assay_wanted wanted;
} bench;

/* ---- a dataset of one image ---- */

static const assay_field *all_fields(void *user, int *count)
{
    static const assay_field fields[FIELDS] = {{"image", ASSAY_F32, 2, {SIDE, SIDE}},
                                               {"truth", ASSAY_U8, 2, {SIDE, SIDE}}};
    (void)user;
    *count = FIELDS;
    return fields;
}

static int64_t count_of(void *user, assay_data_split split, int benchmark)
{
    (void)user;
    (void)split;
    (void)benchmark;
    return IMAGES;
}

static bool sample_of(void *user, assay_data_split split, int benchmark, int64_t index,
                      const assay_draw *draw, assay_arena *arena, assay_sample *out,
                      assay_error *error)
{
    const bench *b = user;
    (void)split;
    (void)benchmark;
    (void)draw;
    assay_field_value *values = assay_arena_alloc(arena, FIELDS * (int64_t)sizeof *values, error);
    if (!values)
        return false;
    values[0] =
        (assay_field_value){.data = assay_f32(b->image), .shape = {SIDE, SIDE}, .present = true};
    values[1] =
        (assay_field_value){.data = assay_u8(b->truth), .shape = {SIDE, SIDE}, .present = true};
    *out = (assay_sample){.values = values, .index = index, .label = -1};
    return true;
}

static const char *const *classes_of(void *user, int *count)
{
    static const char *const names[CLASSES] = {"a", "b", "c", "d", "e", "f", "g",
                                               "h", "i", "j", "k", "l", "m", "n",
                                               "o", "p", "q", "r", "s", "t", "u"};
    (void)user;
    *count = CLASSES;
    return names;
}

static bool draw_image(bench *b, assay_error *error)
{
    const int64_t shape[] = {SIDE, SIDE};
    const assay_stream classes = assay_stream_of(0, "bench/classes", 0);
    if (!(b->image = assay_tensor_new(ASSAY_F32, 2, shape, error)) ||
        !(b->truth = assay_tensor_new(ASSAY_U8, 2, shape, error)))
        return false;
    assay_random_fill_normal(assay_stream_of(0, "bench/images", 0), 0, assay_tensor_count(b->image),
                             assay_f32(b->image));
    for (int64_t i = 0; i < assay_tensor_count(b->truth); i++)
        assay_u8(b->truth)[i] = (uint8_t)assay_random_below(classes, (uint64_t)i, CLASSES);
    b->functions = (assay_dataset_functions){.size = sizeof b->functions,
                                             .fields = all_fields,
                                             .count = count_of,
                                             .sample = sample_of,
                                             .classes = classes_of};
    b->data = (assay_data){
        .size = sizeof b->data, .name = "bench", .functions = &b->functions, .dataset = b};
    return true;
}

/* ---- the plugins ---- */

static void *model_settings(const plugin *model, assay_error *error)
{
    settings chosen = {.plugin = NULL};
    if (!settings_defaults(&chosen, model, error))
        return NULL;
    settings_get(&chosen, "image")->number = SIDE;
    settings_get(&chosen, "drop_path")->number = 0;
    settings_get(&chosen, "dropout")->number = 0;
    void *filled = settings_fill(&chosen, NULL, NULL, error);
    settings_clear(&chosen);
    return filled;
}

static void *loss_settings(const plugin *loss, assay_error *error)
{
    settings chosen = {.plugin = NULL};
    if (!settings_defaults(&chosen, loss, error))
        return NULL;
    void *filled = settings_fill(&chosen, NULL, NULL, error);
    settings_clear(&chosen);
    return filled;
}

static bool open_plugins(bench *b, const assay_device *device, assay_error *error)
{
    const char *const folder = BENCH_PLUGINS;
    if (!(b->registry = registry_new(1, &folder, error)) ||
        !(b->model = registry_get(b->registry, ASSAY_KIND_MODEL, "segmenter", error)) ||
        !(b->loss = registry_get(b->registry, ASSAY_KIND_LOSS, "segmentation", error)) ||
        !(b->model_options = model_settings(b->model, error)) ||
        !(b->loss_options = loss_settings(b->loss, error)))
        return false;
    const assay_model_setup setup = {
        .size = sizeof setup, .data = &b->data, .params = b->params, .seed = 0};
    if (!(b->opened = b->model->model.open(b->model_options, &setup, error)))
        return false;
    b->model->model.facts(b->opened, &b->facts);
    const assay_loss_setup of_loss = {.size = sizeof of_loss,
                                      .facts = &b->facts,
                                      .data = &b->data,
                                      .params = b->params,
                                      .prefix = "loss.segmentation.",
                                      .device = device};
    b->wanted.names = b->names;
    return b->loss->loss.wants(b->loss_options, b->names, &b->wanted.count, error) &&
           (b->opened_loss = b->loss->loss.open(b->loss_options, &of_loss, error));
}

static bool collate(bench *b, assay_error *error)
{
    assay_sample *samples = assay_arena_alloc(b->arena, IMAGES * (int64_t)sizeof *samples, error);
    if (!samples)
        return false;
    for (int64_t i = 0; i < IMAGES; i++)
        if (!sample_of(b, ASSAY_TRAIN, 0, i, NULL, b->arena, &samples[i], error))
            return false;
    b->batch = (assay_batch){.samples = IMAGES, .sample = samples};
    const assay_collation in = {.samples = samples,
                                .count = IMAGES,
                                .phase = ASSAY_TRAINING,
                                .wanted = &b->wanted,
                                .arena = b->arena};
    return b->model->model.collate(b->opened, &in, &b->batch, error);
}

/* ---- what is timed ---- */

static bool set_up(void *user, assay_precision precision, assay_error *error)
{
    bench *b = user;
    const assay_device *device = bench_device(error);
    return device && draw_image(b, error) && (b->params = assay_params_new(0, error)) &&
           open_plugins(b, device, error) &&
           (b->adamw = assay_adamw_new(b->params, device, assay_adamw_defaults(), error)) &&
           (b->tape = assay_tape_new(device, precision, error)) &&
           (b->arena = assay_arena_new(0, error)) && collate(b, error);
}

static bool train_step(void *user, uint64_t clock, double *loss_value, assay_error *error)
{
    bench *b = user;
    const assay_model_functions *model = &b->model->model;
    const assay_clock now = {.phase = ASSAY_TRAINING, .step = (int64_t)clock};
    assay_outputs outputs = {.count = 0};
    assay_tape_begin(b->tape, (assay_step){.clock = clock, .training = true});
    assay_tensor *x =
        model->embed(b->opened, b->tape, &b->batch, 0, &(assay_insert){.front = NULL});
    if (!x || !model->forward(b->opened, b->tape, &b->batch, 0, x, NULL, &b->wanted, &outputs))
        return assay_tape_failed(b->tape, error);
    assay_tensor *loss = b->loss->loss.compute(b->opened_loss, b->tape, &now, &b->batch, &outputs);
    if (!loss || !assay_tape_backward(b->tape, loss, 1.0f))
        return assay_tape_failed(b->tape, error);
    *loss_value = assay_value(loss);
    if (!assay_adamw_step(b->adamw, 1e-4f, 0.0f, NULL, error))
        return false;
    assay_params_clear_grads(b->params);
    return true;
}

/* The published count of a forward pass with attention's products (spec 2.12), as the peer's. */
static double work(const void *user)
{
    return 3 * IMAGES * ((const bench *)user)->facts.flops;
}

static assay_tape *tape_of(void *user)
{
    return ((bench *)user)->tape;
}

int main(int argc, char **argv)
{
    static const timed what = {.name = "upernet",
                               .unit = "images",
                               .units = IMAGES,
                               .set_up = set_up,
                               .step = train_step,
                               .work = work,
                               .tape = tape_of};
    bench b = {.registry = NULL};
    int status = timing_main(argc, argv, &what, &b);
    if (b.opened_loss)
        b.loss->loss.close(b.opened_loss);
    if (b.opened)
        b.model->model.close(b.opened);
    assay_free(b.loss_options);
    assay_free(b.model_options);
    assay_arena_free(b.arena);
    assay_tape_free(b.tape);
    assay_adamw_free(b.adamw);
    assay_params_free(b.params);
    assay_tensor_free(b.image);
    assay_tensor_free(b.truth);
    registry_free(b.registry);
    return status;
}
