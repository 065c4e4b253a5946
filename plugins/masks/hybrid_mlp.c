/* hybrid_mlp.c - mask `hybrid_mlp`: a small network decides how much of the history's future a
 * token of the history sees; what follows the history is causal (user-modelling spec 3.4 B;
 * architecture and start are the spec's proposals).
 *
 *     g_i = logistic(w2 . gelu(W1 x_i + b1) + b2)    x_i: the input embedding of query i
 *     M_ij = log g_i for j > i, i and j in the history
 * One scalar per query, shared by heads and layers, learned with the rest; b2 = -4 starts near
 * causal (g = 0.018). Parameters: mask.fc1.weight, mask.fc1.bias, mask.fc2.weight, mask.fc2.bias.
 * Series, while training: mask/weight_mean and mask/weight_sd of g over the history's tokens, and
 * mask/gradient_norm, that of the mask's parameters so far in the step. */
#include "history.h"

#include <assay/ops.h>

#include <math.h>

typedef struct settings {
    int64_t width;
    double start;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, width, "", 128, 1, 65536, "of the hidden layer"),
    ASSAY_NUMBER(settings, start, "", -4.0, -30, 30, "b2 at the start"),
};

typedef struct hybrid_mlp {
    const assay_host *host;
    history_gradient gradient;
    assay_tensor *w1, *b1, *w2, *b2;
} hybrid_mlp;

static void *mlp_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    const settings *s = chosen;
    const assay_init weights = {.kind = ASSAY_INIT_KAIMING_UNIFORM, .a = sqrtf(5)};
    int64_t width = s->width;
    hybrid_mlp *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    mask->host = mask->gradient.host = setup->host;
    mask->w1 = assay_params_add(setup->params, "mask.fc1.weight", 2,
                                (int64_t[]){width, setup->facts->width}, weights, error);
    mask->b1 = assay_params_add(setup->params, "mask.fc1.bias", 1, &width,
                                (assay_init){.kind = ASSAY_INIT_ZEROS}, error);
    mask->w2 = assay_params_add(setup->params, "mask.fc2.weight", 2, (int64_t[]){1, width}, weights,
                                error);
    mask->b2 = assay_params_add(setup->params, "mask.fc2.bias", 1, (int64_t[]){1},
                                (assay_init){ASSAY_INIT_CONSTANT, .a = (float)s->start}, error);
    if (!mask->w1 || !mask->b1 || !mask->w2 || !mask->b2) {
        assay_free(mask);
        return NULL;
    }
    return mask;
}

/* log g, (B, 1, T, 1). */
static assay_tensor *log_gates(const hybrid_mlp *mask, assay_tape *tape, const assay_tower *tower,
                               assay_tensor *x)
{
    x = assay_linear(tape, x, mask->w1, mask->b1, ASSAY_GELU);
    x = assay_linear(tape, x, mask->w2, mask->b2, ASSAY_IDENTITY);
    x = assay_activate(tape, assay_cast(tape, x, ASSAY_F32), ASSAY_LOG_SIGMOID);
    return assay_reshape(tape, x, 4, (int64_t[]){tower->rows, 1, tower->tokens, 1});
}

/* What the rows' histories were when the gates were asked for. */
typedef struct gate_note {
    int64_t rows, tokens;
    history at[];
} gate_note;

static void record_gates(void *opened, const void *noted, const void *numbers, int64_t count)
{
    const hybrid_mlp *mask = opened;
    const gate_note *note = noted;
    const float *gates = numbers;
    double sum = 0, squares = 0, n = 0;
    for (int64_t b = 0; count > 0 && b < note->rows; b++)
        for (int64_t i = note->at[b].first; i + 1 < note->at[b].end; i++, n++) {
            double g = exp((double)gates[b * note->tokens + i]);
            sum += g;
            squares += g * g;
        }
    if (n == 0)
        return;
    mask->host->series(mask->host->user, "mask/weight_mean", sum / n);
    mask->host->series(mask->host->user, "mask/weight_sd",
                       sqrt(fmax(squares / n - sum / n * sum / n, 0)));
}

static bool record(hybrid_mlp *mask, assay_tape *tape, const assay_tower *tower,
                   const assay_tensor *gates)
{
    if (!mask->host || !mask->host->series)
        return true;
    int64_t bytes = (int64_t)sizeof(gate_note) + tower->rows * (int64_t)sizeof(history);
    gate_note *note = assay_tape_scratch(tape, bytes);
    if (!note)
        return false;
    note->rows = tower->rows;
    note->tokens = tower->tokens;
    for (int64_t b = 0; b < tower->rows; b++)
        note->at[b] = history_at(tower, b);
    assay_read_later(mask->host, &(assay_reading){.tensor = gates,
                                                  .read = record_gates,
                                                  .user = mask,
                                                  .note = note,
                                                  .note_bytes = bytes});
    assay_tape_release(tape, note, bytes);
    return true;
}

static bool mlp_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                     const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    hybrid_mlp *mask = opened;
    *out = assay_bias_causal();
    if (!tower->span)
        return true;
    assay_tensor *gates = log_gates(mask, tape, tower, x);
    if (!gates)
        return false;
    if (clock->phase == ASSAY_TRAINING && !record(mask, tape, tower, gates))
        return false;
    return history_prices(tape, tower, gates, out);
}

static bool mlp_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    hybrid_mlp *mask = opened;
    (void)error;
    if (clock->phase == ASSAY_TRAINING)
        history_record_gradient(&mask->gradient, 4,
                                (assay_tensor *[]){mask->w1, mask->b1, mask->w2, mask->b2});
    return true;
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = mlp_open,
    .close = assay_free,
    .bias = mlp_bias,
    .advance = mlp_advance,
    .steady = true,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "hybrid_mlp", 1,
             "in the history a small network weighs the future, what follows is causal", settings,
             options, functions);
