/* widening.c - mask `widening`: the span-growth scheduler (user-modelling spec 3.4 C, from GG-SM's
 * appendix): row i may attend up to min(i + Delta, L), and Delta grows from 0 to L.
 *
 * Delta is a share r of L, rounded down: r = t / until for linear growth, (1 - cos(pi t / until))
 * / 2 for cosine, 1 from t = until on; t counts optimizer steps, and with `stages` = n only the
 * end of every n-th part of the growth changes anything, as epochs do. L is each sequence's own
 * length, so that a row never depends on its neighbours, or the option `tokens`. The constants are
 * the papers' to know: none was published. Series, while training: mask/weight_mean, the share of
 * future pairs that is open, and mask/span, the mean Delta in tokens. */
#include "towers.h"

#include <math.h>

enum { LINEAR, COSINE };

typedef struct settings {
    int growth, evaluate, towers;
    double until;
    int64_t stages, tokens;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, growth, "linear", "linear|cosine", "how the span grows"),
    ASSAY_POSITIVE(settings, until, "fraction", 1.0, 1,
                   "part of the steps after which all is open"),
    ASSAY_INTEGER(settings, stages, "", 0, 0, 1 << 20,
                  "the span grows in so many jumps, as by epochs; 0: every step"),
    ASSAY_INTEGER(settings, tokens, "tokens", 0, 0, 1 << 20,
                  "the widest span; 0: each sequence's own length"),
    MASK_EVALUATE_OPTION(settings, "full"),
    MASK_TOWERS_OPTION(settings),
};

typedef struct widening {
    settings settings;
    const assay_host *host;
    int64_t total;
} widening;

static void *widening_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    widening *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    mask->settings = *(const settings *)chosen;
    mask->host = setup->host;
    mask->total = setup->total;
    return mask;
}

/* The share r of the pass at `step`. */
static double share_at(const widening *mask, int64_t step)
{
    const settings *s = &mask->settings;
    double end = s->until * (double)mask->total;
    double t = end > 0 ? fmin((double)step / end, 1) : 1;
    if (s->stages > 0)
        t = floor(t * (double)s->stages + 1e-9) / (double)s->stages;
    return s->growth == COSINE ? (1 - cos(3.14159265358979323846 * t)) / 2 : t;
}

static int64_t valid_of(const assay_tower *tower, int64_t b)
{
    return tower->lengths ? assay_i32(tower->lengths)[b] : tower->tokens;
}

/* Delta of a sequence of `length` tokens; a hair is added lest 0.3 of 10 be 2. */
static int64_t delta_of(const widening *mask, double share, int64_t length)
{
    int64_t widest = mask->settings.tokens > 0 ? mask->settings.tokens : length;
    return (int64_t)floor(share * (double)widest + 1e-6);
}

/* (B, 1, T, T): 0 up to i + Delta, hidden beyond. */
static assay_tensor *band(const widening *mask, assay_tape *tape, const assay_tower *tower,
                          double share)
{
    int64_t tokens = tower->tokens;
    assay_tensor *window =
        assay_tape_tensor(tape, ASSAY_I32, 3, (int64_t[]){tower->rows, tokens, 2});
    for (int64_t b = 0; window && b < tower->rows; b++) {
        int64_t delta = delta_of(mask, share, valid_of(tower, b));
        int32_t *row = assay_i32(window) + 2 * b * tokens;
        for (int64_t i = 0; i < tokens; i++) {
            row[2 * i] = 0;
            row[2 * i + 1] = (int32_t)(delta < tokens - i ? i + delta + 1 : tokens);
        }
    }
    return assay_window_prices(tape, window);
}

static void record(const widening *mask, const assay_tower *tower, double share)
{
    double open = 0, pairs = 0, deltas = 0;
    if (!mask->host || !mask->host->series || tower->rows == 0)
        return;
    for (int64_t b = 0; b < tower->rows; b++) {
        int64_t n = valid_of(tower, b), delta = delta_of(mask, share, n);
        double closed = (double)(n - 1 - delta); /* the first row's; the rows after have less */
        pairs += 0.5 * (double)n * (double)(n - 1);
        open += 0.5 * (double)n * (double)(n - 1) - (closed > 0 ? 0.5 * closed * (closed + 1) : 0);
        deltas += (double)delta;
    }
    if (pairs > 0)
        mask->host->series(mask->host->user, "mask/weight_mean", open / pairs);
    mask->host->series(mask->host->user, "mask/span", deltas / (double)tower->rows);
}

static bool widening_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                          const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    const widening *mask = opened;
    bool training = clock->phase == ASSAY_TRAINING;
    int64_t step = training || clock->step < 1 ? clock->step : clock->step - 1;
    double share = share_at(mask, step);
    (void)x;
    *out = assay_bias_causal();
    if (!mask_acts(mask->settings.towers, tower))
        return true;
    *out = assay_bias_full();
    if (!training && mask->settings.evaluate == MASK_EVALUATE_FULL)
        return true;
    if (share < 1 || mask->settings.tokens > 0)
        out->log_weight = band(mask, tape, tower, share);
    if (training && assay_same_text(tower->name, "user"))
        record(mask, tower, share);
    return assay_tape_ok(tape, NULL);
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = widening_open,
    .close = assay_free,
    .bias = widening_bias,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "widening", 1,
             "every token sees so many future ones, more and more of them", settings, options,
             functions);
