/* patch_scale.c - adapter `patch_scale`: PAD's patchwise-scale adapter beside the MLP of every
 * block of a frozen vision transformer (infrared spec 3.4).
 *
 *   a = up(drop(relu(down(norm(u)))))          u: the stream after the attention
 *   s = sigmoid(w . [m ; a])                   m: the MLP's output; one scale per token, no bias
 *   x = u + s a + m                            gamma_2 and drop path act on m alone
 *
 * up, its bias, and w start at zero: a fresh adapter changes nothing. Parameters are called
 * "PREFIXblocks.0.adapter.norm.weight" ..., down, up, scale. */
#include <assay/adapter.h>
#include <assay/blocks.h>
#include <assay/memory.h>
#include <assay/ops.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WHERE "adapter patch_scale"

enum { FUSE_CONCAT, FUSE_SUM, FUSE_SIDE, FUSE_GSIDE };
enum { SCALE_PATCH, SCALE_SCALAR, SCALE_FIXED, SCALE_GEOMETRIC, SCALE_LINEAR };

typedef struct settings {
    int64_t rank;
    int fusion, scale;
    double dropout, freeze_fraction, lr_scale;
    bool freeze;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, rank, "", 64, 1, 16384, "numbers a token inside the adapter"),
    ASSAY_CHOICE(
        settings, fusion, "concat", "concat|sum|side|gside",
        "what a patch's scale is computed from: MLP and adapter side by side, their sum, the "
        "adapter, the MLP"),
    ASSAY_CHOICE(settings, scale, "patch", "patch|scalar|fixed|geometric|linear",
                 "one for every token; one learned number a block, from 0.5; 0.5; 0.5 at the last "
                 "block and 0.8 of it for each block before; 0.1 to 0.5 over the blocks"),
    ASSAY_NUMBER(settings, dropout, "", 0.1, 0, 0.999, "inside the adapter, in training"),
    ASSAY_NUMBER(settings, freeze_fraction, "fraction", 0.6, 0, 1,
                 "of the steps, in which the patches' scales stay at 0.5; they learn from then on"),
    ASSAY_BOOL(settings, freeze, true, "the model's own parameters do not learn"),
    ASSAY_POSITIVE(settings, lr_scale, "", 1.0, 1e6,
                   "of the learning rate, for the adapter's parameters"),
};

/* Of one block. Parameters are borrowed from the run's. */
typedef struct branch {
    assay_tensor *norm, *norm_bias; /* (D) */
    assay_tensor *down, *down_bias; /* (rank, D), (rank) */
    assay_tensor *up, *up_bias;     /* (D, rank), (D) */
    assay_tensor *scale;            /* (1, 2 D) or (1, D); (1) when one a block; NULL: fixed */
    float fixed;
    assay_tensor *pending; /* s a of the pass under way, until the block adds its branch */
} branch;

typedef struct patch_scale {
    settings settings;
    char *prefix; /* of the stack's places, owned */
    int64_t width, layers;
    bool waiting;     /* the scales may not learn yet: the "later study" */
    branch *branches; /* (layers), owned */
} patch_scale;

/* ---- opening ---- */

static void scale_close(void *opened)
{
    patch_scale *p = opened;
    if (!p)
        return;
    assay_free(p->prefix);
    assay_free(p->branches);
    assay_free(p);
}

static const assay_stack *stack_of(const assay_params *params, assay_error *error)
{
    for (int64_t i = 0; i < assay_stacks(params); i++) {
        const assay_stack *stack = assay_stack_at(params, i);
        if (stack->kind == ASSAY_STACK_VIT && !stack->config.vit.blocks_only)
            return stack;
    }
    ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
               .what = "the model has no vision transformer to stand in",
               .hint = "model.vit and model.segmenter have one");
    return NULL;
}

/* The scale of a block that nobody learns. */
static float fixed_scale(const patch_scale *p, int64_t layer)
{
    double last = (double)(p->layers - 1);
    switch (p->settings.scale) {
    case SCALE_GEOMETRIC:
        return (float)(0.5 * pow(0.8, last - (double)layer));
    case SCALE_LINEAR:
        return (float)(last > 0 ? 0.1 + 0.4 * (double)layer / last : 0.5);
    default:
        return 0.5f;
    }
}

static assay_tensor *add(const patch_scale *p, const assay_adapter_setup *setup, int64_t layer,
                         const char *name, int rank, const int64_t *shape, assay_init init,
                         assay_error *error)
{
    return assay_params_add(
        setup->params,
        assay_text("%s%sblocks.%lld.adapter.%s", setup->prefix, p->prefix, (long long)layer, name),
        rank, shape, init, error);
}

static bool add_branch(patch_scale *p, const assay_adapter_setup *setup, int64_t layer,
                       assay_error *error)
{
    static const assay_init zeros = {.kind = ASSAY_INIT_ZEROS}, ones = {.kind = ASSAY_INIT_ONES};
    static const assay_init kaiming = {ASSAY_INIT_KAIMING_UNIFORM, 2.2360679775f, 0};
    const assay_init half = {ASSAY_INIT_CONSTANT, 0.5f, 0};
    const settings *s = &p->settings;
    branch *b = &p->branches[layer];
    int64_t width = p->width, one = 1;
    int64_t scale[] = {1, s->fusion == FUSE_CONCAT ? 2 * width : width};
    b->fixed = fixed_scale(p, layer);
    b->norm = add(p, setup, layer, "norm.weight", 1, &width, ones, error);
    b->norm_bias = add(p, setup, layer, "norm.bias", 1, &width, zeros, error);
    b->down = add(p, setup, layer, "down.weight", 2, (int64_t[]){s->rank, width}, kaiming, error);
    b->down_bias = add(p, setup, layer, "down.bias", 1, &s->rank, zeros, error);
    b->up = add(p, setup, layer, "up.weight", 2, (int64_t[]){width, s->rank}, zeros, error);
    b->up_bias = add(p, setup, layer, "up.bias", 1, &width, zeros, error);
    if (s->scale == SCALE_PATCH)
        b->scale = add(p, setup, layer, "scale.weight", 2, scale, zeros, error);
    else if (s->scale == SCALE_SCALAR)
        b->scale = add(p, setup, layer, "scale", 1, &one, half, error);
    return b->norm && b->norm_bias && b->down && b->down_bias && b->up && b->up_bias &&
           (b->scale || s->scale > SCALE_SCALAR);
}

static bool build(patch_scale *p, const assay_adapter_setup *setup, assay_error *error)
{
    const assay_stack *stack = stack_of(setup->params, error);
    if (!stack)
        return false;
    p->width = stack->config.vit.width;
    p->layers = stack->config.vit.layers;
    p->prefix = assay_strdup(stack->prefix, error);
    p->branches = assay_zalloc(p->layers * (int64_t)sizeof *p->branches, error);
    if (!p->prefix || !p->branches)
        return false;
    if (p->settings.freeze && assay_params_train(setup->params, NULL, false, error) < 0)
        return false;
    for (int64_t i = 0; i < p->layers; i++)
        if (!add_branch(p, setup, i, error))
            return false;
    return true;
}

static void *scale_open(const void *chosen, const assay_adapter_setup *setup, assay_error *error)
{
    patch_scale *p = assay_zalloc((int64_t)sizeof *p, error);
    if (!p)
        return NULL;
    p->settings = *(const settings *)chosen;
    if (!build(p, setup, error)) {
        scale_close(p);
        return NULL;
    }
    return p;
}

/* ---- acting ---- */

/* The block whose branch ends in `ending` ("mlp" or "mlp.scaled") at this place; NULL: another
 * place. */
static branch *branch_at(const patch_scale *p, const char *place, const char *ending)
{
    size_t length = strlen(p->prefix);
    char *end = NULL;
    if (strncmp(place, p->prefix, length) != 0 || strncmp(place + length, "blocks.", 7) != 0)
        return NULL;
    long long layer = strtoll(place + length + 7, &end, 10);
    bool there = *end == '.' && strcmp(end + 1, ending) == 0 && layer >= 0 && layer < p->layers;
    return there ? &p->branches[layer] : NULL;
}

static bool scale_attaches(void *opened, const char *place)
{
    return branch_at(opened, place, "mlp") || branch_at(opened, place, "mlp.scaled");
}

static void scale_begin(void *opened, const assay_clock *clock)
{
    patch_scale *p = opened;
    p->waiting = clock->phase == ASSAY_TRAINING &&
                 (double)clock->step < p->settings.freeze_fraction * (double)clock->total;
}

/* w, or its value alone while it may not learn yet. */
static assay_tensor *weight_now(const patch_scale *p, assay_tape *tape, assay_tensor *weight)
{
    if (!p->waiting)
        return weight;
    return assay_tape_copy(tape, weight);
}

/* s (..., 1) of every token, from m and a (..., D). */
static assay_tensor *token_scales(const patch_scale *p, assay_tape *tape, const branch *b,
                                  assay_tensor *m, assay_tensor *a)
{
    assay_tensor *both[] = {m, a}, *x = NULL;
    switch (p->settings.fusion) {
    case FUSE_CONCAT:
        x = m && a ? assay_concat(tape, 2, both, m->rank - 1) : NULL;
        break;
    case FUSE_SUM:
        x = assay_add(tape, m, a);
        break;
    case FUSE_SIDE:
        x = a;
        break;
    default:
        x = m;
        break;
    }
    return assay_linear(tape, x, weight_now(p, tape, b->scale), NULL, ASSAY_SIGMOID);
}

/* x times each token's own scale: a product with a column of ones spreads it over the token. */
static assay_tensor *scale_tokens(assay_tape *tape, assay_tensor *x, assay_tensor *scales)
{
    if (!x || !scales)
        return NULL;
    int64_t width = x->shape[x->rank - 1];
    assay_tensor *ones = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){width, 1});
    for (int64_t i = 0; ones && i < width; i++)
        assay_f32(ones)[i] = 1.0f;
    return assay_mul(tape, x, assay_linear(tape, scales, ones, NULL, ASSAY_IDENTITY));
}

/* s a, (B, T, D). */
static assay_tensor *adapted(const patch_scale *p, assay_tape *tape, const branch *b,
                             const char *place, assay_tensor *u, assay_tensor *m)
{
    assay_tensor *a = assay_layer_norm(tape, u, b->norm, b->norm_bias, 1e-5f);
    a = assay_linear(tape, a, b->down, b->down_bias, ASSAY_RELU);
    if (p->settings.dropout > 0)
        a = assay_dropout(tape, a, (float)p->settings.dropout,
                          assay_text("%s/patch_scale/%s", assay_tape_scope_get(tape), place));
    a = assay_linear(tape, a, b->up, b->up_bias, ASSAY_IDENTITY);
    if (p->settings.scale == SCALE_PATCH)
        return scale_tokens(tape, a, token_scales(p, tape, b, m, a));
    if (!b->scale)
        return assay_scale(tape, a, b->fixed);
    return assay_mul(tape, a, assay_reshape(tape, b->scale, 0, NULL));
}

static assay_tensor *scale_apply(void *opened, assay_tape *tape, const char *place,
                                 assay_tensor *input, assay_tensor *output)
{
    const patch_scale *p = opened;
    branch *b = branch_at(p, place, "mlp");
    if (b) {
        b->pending = adapted(p, tape, b, place, input, output);
        return b->pending ? output : NULL;
    }
    b = branch_at(p, place, "mlp.scaled");
    if (!b)
        return output;
    return assay_add(tape, output, b->pending);
}

static const assay_adapter_functions functions = {
    .size = sizeof functions,
    .open = scale_open,
    .close = scale_close,
    .attaches = scale_attaches,
    .apply = scale_apply,
    .begin = scale_begin,
};

ASSAY_PLUGIN(ASSAY_KIND_ADAPTER, "patch_scale", 1,
             "PAD: a small branch beside each block's MLP, scaled for every patch by itself",
             settings, options, functions);
