/* bench/vit.c - the ViT benchmark: the training step that bench/peers/torch_vit.py defines.
 *
 * A ViT-S/16 (width 384, 12 blocks, 6 heads) takes 16 images of 224 pixels of three random
 * channels; the class token's state goes through a linear layer to 1000 classes; mean cross-entropy
 * with random classes; AdamW at 1e-4. One step to warm up, then the median of the rest. Prints one
 * JSON line.
 *
 * usage: vit [fp32|bf16] [threads] [steps] [--profile] */
#include "timing.h"

enum { IMAGES = 16, SIDE = BENCH_TINY ? 32 : 224, CLASSES = 1000 };

typedef struct bench {
    assay_params *params;
    assay_vit *vit;
    assay_tensor *head, *head_bias; /* (CLASSES, D), (CLASSES), borrowed from the set */
    assay_adamw *adamw;
    assay_tape *tape;
    assay_tensor *images, *classes;
} bench;

static bool set_up(void *user, assay_precision precision, assay_error *error)
{
    bench *b = user;
    static const assay_init xavier = {.kind = ASSAY_INIT_XAVIER_UNIFORM};
    static const assay_init zeros = {.kind = ASSAY_INIT_ZEROS};
    const assay_device *device = bench_device(error);
    const int64_t images[] = {IMAGES, 3, SIDE, SIDE}, rows = IMAGES, classes = CLASSES;
    assay_vit_config config;
    if (!device || !assay_vit_config_named("small", SIDE, &config, error) ||
        !(b->params = assay_params_new(0, error)) ||
        !(b->vit = assay_vit_new(b->params, NULL, &config, error)) ||
        !(b->head = assay_params_add(b->params, "head.weight", 2,
                                     (int64_t[]){classes, config.width}, xavier, error)) ||
        !(b->head_bias = assay_params_add(b->params, "head.bias", 1, &classes, zeros, error)) ||
        !(b->adamw = assay_adamw_new(b->params, device, assay_adamw_defaults(), error)) ||
        !(b->tape = assay_tape_new(device, precision, error)) ||
        !(b->images = assay_tensor_new(ASSAY_F32, 4, images, error)) ||
        !(b->classes = assay_tensor_new(ASSAY_I32, 1, &rows, error)))
        return false;
    assay_random_fill_normal(assay_stream_of(0, "bench/images", 0), 0,
                             assay_tensor_count(b->images), assay_f32(b->images));
    for (int64_t i = 0; i < IMAGES; i++)
        assay_i32(b->classes)[i] = (int32_t)assay_random_below(
            assay_stream_of(0, "bench/classes", 0), (uint64_t)i, CLASSES);
    return true;
}

static bool train_step(void *user, uint64_t clock, double *loss_value, assay_error *error)
{
    bench *b = user;
    assay_tape_begin(b->tape, (assay_step){.clock = clock, .training = true});
    assay_tensor *x = assay_vit_forward(b->tape, b->vit, b->images, NULL, NULL);
    x = assay_slice(b->tape, x, 1, 0, 1);
    x = assay_reshape(b->tape, x, 2, (int64_t[]){IMAGES, assay_vit_config_get(b->vit)->width});
    x = assay_linear(b->tape, x, b->head, b->head_bias, ASSAY_IDENTITY);
    assay_tensor *loss =
        assay_cross_entropy(b->tape, assay_cast(b->tape, x, ASSAY_F32), b->classes, ASSAY_MEAN);
    *loss_value = assay_value(loss);
    if (!loss || !assay_tape_backward(b->tape, loss, 1.0f))
        return assay_tape_failed(b->tape, error);
    if (!assay_adamw_step(b->adamw, 1e-4f, 0.0f, NULL, error))
        return false;
    assay_params_clear_grads(b->params);
    return true;
}

/* 6 n per token and 12 L D T for attention, without positions, class token and head, as the peer
 * does. */
static double work(const void *user)
{
    const bench *b = user;
    const assay_vit_config *c = assay_vit_config_get(b->vit);
    double n = (double)assay_params_size(b->params, NULL, false) -
               (double)assay_params_size(b->params, "head.", false) -
               (double)assay_params_size(b->params, "pos_embed", false) - (double)c->width;
    double tokens = 1 + (double)(SIDE / c->patch) * (double)(SIDE / c->patch);
    return 6 * n * IMAGES * tokens + 12 * (double)(c->layers * c->width) * tokens * IMAGES * tokens;
}

static assay_tape *tape_of(void *user)
{
    return ((bench *)user)->tape;
}

int main(int argc, char **argv)
{
    static const timed what = {.name = "vit",
                               .unit = "images",
                               .units = IMAGES,
                               .set_up = set_up,
                               .step = train_step,
                               .work = work,
                               .tape = tape_of};
    bench b = {.params = NULL};
    int status = timing_main(argc, argv, &what, &b);
    assay_tensor_free(b.images);
    assay_tensor_free(b.classes);
    assay_tape_free(b.tape);
    assay_adamw_free(b.adamw);
    assay_vit_free(b.vit);
    assay_params_free(b.params);
    return status;
}
