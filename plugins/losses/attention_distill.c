/* attention_distill.c - loss `attention_distill`: the student's attention against that of one layer
 * of a frozen teacher (UNIP's NMI-HAD, infrared spec 2.4, 2.5).
 *
 *   L = mean over images, heads, queries of sum over keys of A_t (log A_t - log A_s)
 *
 * with A the softmax of the scaled logits of both, class token included, heads matched one to one.
 * The layer is UNIP's choice by NMI: evaluator `attention_pattern` of the teacher's stage says
 * which. */
#include "teacher.h"

#include <assay/memory.h>
#include <assay/ops.h>

#include <inttypes.h>

#define WHERE "loss attention_distill"

enum { KIND_KL, KIND_CE };

typedef struct settings {
    assay_weights_source teacher;
    int64_t teacher_layer, student_layer;
    bool include_class;
    double temperature, weight;
    int kind;
} settings;

static const assay_option options[] = {
    ASSAY_WEIGHTS(settings, teacher, ASSAY_OPTION_REQUIRED,
                  "a stage with a model of any size, or weights that fit a model of the run's own "
                  "options"),
    ASSAY_INTEGER(settings, teacher_layer, "block", 0, 0, ASSAY_VIT_LAYERS,
                  "of the teacher, from 1; 0: its last. stage:score(\"attention_pattern/layer\") "
                  "is the choice by NMI"),
    ASSAY_INTEGER(settings, student_layer, "block", 0, 0, ASSAY_VIT_LAYERS,
                  "of the student, from 1; 0: its last"),
    ASSAY_BOOL(settings, include_class, true, "the class token counts as query and key"),
    ASSAY_POSITIVE(settings, temperature, "", 1.0, 100, "divides the logits of both"),
    ASSAY_CHOICE(settings, kind, "kl", "kl|ce",
                 "divergence, or cross-entropy, which is more by the teacher's entropy"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
};

static const char *const scores[ASSAY_VIT_LAYERS] = {LAYER_NAMES("image.scores.")};

typedef struct distill {
    settings settings;
    const char *output; /* of the student, static */
    teacher teacher;
} distill;

static bool distill_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    names[(*count)++] = student_output(s->student_layer, scores, "image.scores.last");
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

/* Whether the heads match, as far as the two ViTs can be looked at before the first step. */
static bool check_heads(const distill *loss, const assay_loss_setup *setup, assay_error *error)
{
    const int64_t theirs = teacher_heads(loss->teacher.network->params, loss->teacher.layer);
    const int64_t ours = teacher_heads(setup->params, loss->settings.student_layer - 1);
    return theirs == 0 || ours == 0 || theirs == ours ||
           ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = WHERE,
                      .what = "the student's layer has another number of heads than the teacher's",
                      .expected = assay_text("%" PRId64 " heads, as the teacher", theirs),
                      .got = assay_text("%" PRId64, ours),
                      .hint = assay_text("model.vit { last_heads = %" PRId64
                                         " } gives the last block as many",
                                         theirs));
}

static void *distill_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    distill *loss = assay_zalloc((int64_t)sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->settings = *(const settings *)chosen;
    loss->output = student_output(loss->settings.student_layer, scores, "image.scores.last");
    if (teacher_open(&loss->teacher, setup, &loss->settings.teacher, loss->settings.teacher_layer,
                     scores, WHERE, error) &&
        check_heads(loss, setup, error))
        return loss;
    distill_close(loss);
    return NULL;
}

/* Scores (B, H, T, T) as they are compared: without the class token, at the temperature. */
static assay_tensor *prepared(const settings *s, assay_tape *tape, assay_tensor *x)
{
    if (!s->include_class) {
        x = assay_slice(tape, x, 2, 1, x->shape[2] - 1);
        x = x ? assay_slice(tape, x, 3, 1, x->shape[3] - 1) : NULL;
    }
    return s->temperature == 1.0 ? x : assay_scale(tape, x, (float)(1 / s->temperature));
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
    if (!theirs)
        return NULL;
    if (!assay_tensor_same_shape(ours, theirs))
        return assay_tape_fail(
            tape, ASSAY_BAD_SHAPE,
            (assay_failure){.where = WHERE,
                            .what = "the student's scores do not fit the teacher's",
                            .expected = assay_shape_text(theirs->rank, theirs->shape),
                            .got = assay_tensor_text(ours),
                            .hint =
                                "heads and tokens match: model.vit's last_heads, image, patch"});
    return assay_softmax_divergence(tape, prepared(s, tape, ours), prepared(s, tape, theirs),
                                    s->kind == KIND_CE ? ASSAY_SOFT_CROSS_ENTROPY : ASSAY_KL);
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = distill_wants,
    .open = distill_open,
    .close = distill_close,
    .compute = distill_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "attention_distill", 1,
             "a student's attention against that of a teacher's layer", settings, options,
             functions);
