/* feature_distill.c - loss `feature_distill`: the student's tokens after a layer, through a linear
 * projector, against a frozen teacher's (the ablation of infrared spec 2.13.3: attention against
 * features of the same layers).
 *
 * UNIP's form of it is not known. Taken is the common one: the teacher's tokens are whitened one by
 * one (a layer norm without weights), so that no channel of large magnitude rules, and the
 * projected student is compared by smooth L1, squared error or cosine. The projector belongs to the
 * loss. */
#include "teacher.h"

#include <assay/memory.h>
#include <assay/ops.h>

#define WHERE    "loss feature_distill"
#define NORM_EPS 1e-6f

enum { SMOOTH_L1, SQUARED, COSINE };

typedef struct settings {
    assay_weights_source teacher;
    int64_t teacher_layer, student_layer;
    int distance;
    double beta, weight, lr_scale;
    bool include_class, normalize;
} settings;

static const assay_option options[] = {
    ASSAY_WEIGHTS(settings, teacher, ASSAY_OPTION_REQUIRED,
                  "a stage with a model of any size, or weights that fit a model of the run's own "
                  "options"),
    ASSAY_INTEGER(settings, teacher_layer, "block", 0, 0, ASSAY_VIT_LAYERS,
                  "of the teacher, from 1; 0: its last"),
    ASSAY_INTEGER(settings, student_layer, "block", 0, 0, ASSAY_VIT_LAYERS,
                  "of the student, from 1; 0: its last"),
    ASSAY_CHOICE(settings, distance, "smooth_l1", "smooth_l1|mse|cosine",
                 "mean over tokens and channels, or 1 - cosine of tokens"),
    ASSAY_POSITIVE(settings, beta, "", 1.0, 100,
                   "where smooth L1 turns from (x^2 / 2) / beta to |x| - beta / 2"),
    ASSAY_BOOL(settings, include_class, true, "the class token counts"),
    ASSAY_BOOL(settings, normalize, true, "the teacher's tokens get mean 0 and deviation 1"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
    ASSAY_POSITIVE(settings, lr_scale, "", 1.0, 1e6, "of the learning rate, for the projector"),
};

static const char *const layers[ASSAY_VIT_LAYERS] = {LAYER_NAMES("image.layers.")};

typedef struct distill {
    settings settings;
    const char *output; /* of the student, static */
    teacher teacher;
    assay_tensor *weight, *bias; /* (D of the teacher, D of the student), (D); borrowed */
} distill;

static bool distill_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    names[(*count)++] = student_output(s->student_layer, layers, "image.layers.last");
    return true;
}

static void distill_close(void *opened)
{
    distill *loss = opened;
    if (!loss)
        return;
    teacher_close(&loss->teacher);
    assay_free(loss);
}

static bool build_projector(distill *loss, const assay_loss_setup *setup, assay_error *error)
{
    const int64_t ours = setup->facts->width, theirs = loss->teacher.network->facts->width;
    loss->weight = assay_params_add(setup->params, assay_text("%sprojector.weight", setup->prefix),
                                    2, (int64_t[]){theirs, ours},
                                    (assay_init){.kind = ASSAY_INIT_XAVIER_UNIFORM}, error);
    loss->bias = assay_params_add(setup->params, assay_text("%sprojector.bias", setup->prefix), 1,
                                  &theirs, (assay_init){.kind = ASSAY_INIT_ZEROS}, error);
    return loss->weight && loss->bias;
}

static void *distill_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    distill *loss = assay_zalloc((int64_t)sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->settings = *(const settings *)chosen;
    loss->output = student_output(loss->settings.student_layer, layers, "image.layers.last");
    if (teacher_open(&loss->teacher, setup, &loss->settings.teacher, loss->settings.teacher_layer,
                     layers, WHERE, error) &&
        build_projector(loss, setup, error))
        return loss;
    distill_close(loss);
    return NULL;
}

/* ---- distances of x from y, (B, T, D) ---- */

/* With e = relu(|x| - beta) and h = |x| - e: h^2 / (2 beta) + e. */
static assay_tensor *smooth_l1(assay_tape *tape, assay_tensor *difference, float beta)
{
    assay_tensor *edge = assay_tape_constant(tape, ASSAY_F32, 0, NULL, &beta);
    assay_tensor *size =
        assay_add(tape, assay_activate(tape, difference, ASSAY_RELU),
                  assay_activate(tape, assay_scale(tape, difference, -1.0f), ASSAY_RELU));
    assay_tensor *beyond = assay_activate(tape, assay_sub(tape, size, edge), ASSAY_RELU);
    assay_tensor *within = assay_sub(tape, size, beyond);
    assay_tensor *square = assay_scale(tape, assay_mul(tape, within, within), 0.5f / beta);
    return assay_mean(tape, assay_add(tape, square, beyond));
}

/* 1 - cosine, the mean over tokens. */
static assay_tensor *turned_away(assay_tape *tape, assay_tensor *x, assay_tensor *y)
{
    static const float one = 1.0f;
    if (!x || !y)
        return NULL;
    const int64_t rows = x->shape[0] * x->shape[1], shape[] = {rows, x->shape[2]};
    assay_tensor *cosines =
        assay_cosine(tape, assay_reshape(tape, x, 2, shape), assay_reshape(tape, y, 2, shape));
    assay_tensor *whole = assay_tape_constant(tape, ASSAY_F32, 0, NULL, &one);
    return assay_sub(tape, whole, assay_mean(tape, cosines));
}

static assay_tensor *distance(const settings *s, assay_tape *tape, assay_tensor *x, assay_tensor *y)
{
    if (s->distance == COSINE)
        return turned_away(tape, x, y);
    assay_tensor *difference = assay_sub(tape, x, y);
    if (s->distance == SMOOTH_L1)
        return smooth_l1(tape, difference, (float)s->beta);
    return assay_mean(tape, assay_mul(tape, difference, difference));
}

static assay_tensor *distill_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                     const assay_batch *batch, const assay_outputs *outputs)
{
    distill *loss = opened;
    const settings *s = &loss->settings;
    assay_tensor *ours = assay_outputs_get(outputs, loss->output);
    (void)clock;
    if (!ours)
        return NULL;
    assay_tensor *theirs = teacher_ask(&loss->teacher, tape, batch);
    if (!s->include_class) {
        ours = teacher_patches(tape, ours);
        theirs = teacher_patches(tape, theirs);
    }
    theirs = assay_cast(tape, theirs, ASSAY_F32);
    if (s->normalize)
        theirs = assay_layer_norm(tape, theirs, NULL, NULL, NORM_EPS);
    assay_tensor *projected = assay_linear(tape, ours, loss->weight, loss->bias, ASSAY_IDENTITY);
    return distance(s, tape, assay_cast(tape, projected, ASSAY_F32),
                    assay_cast(tape, theirs, ASSAY_F32));
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = distill_wants,
    .open = distill_open,
    .close = distill_close,
    .compute = distill_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "feature_distill", 1,
             "a student's projected features against those of a teacher's layer", settings, options,
             functions);
