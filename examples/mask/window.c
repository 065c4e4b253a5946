/* window.c - an attention mask of one's own: every token sees the past and the next few tokens.
 *
 * Everything that a mask needs is in <assay/mask.h>; `make` here builds window.so with nothing but
 * an installed assay, and a script uses it as `mask = mask.window { ahead = 4 }`. */
#include <assay/mask.h>

#include <math.h>

/* What a script can say. The host checks a script's values against the table and fills the struct;
 * the table is also what `assay plugins mask.window` prints. */
typedef struct settings {
    int64_t ahead;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, ahead, "tokens", 4, 0, 1 << 20, "of the future that each token sees"),
};

/* A mask's state is whatever it has to know between passes; here only what was chosen. The struct
 * that `chosen` points at lives from open to close, but a copy is as easy. */
static void *window_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    settings *mask = assay_alloc(sizeof *mask, error); /* on failure *error is set: return NULL */
    (void)setup;
    if (mask != NULL)
        *mask = *(const settings *)chosen;
    return mask;
}

/* Called for every tower of every pass. A bias is data: "the future is open, at this price". The
 * price here is a matrix (1, 1, T, T) that all samples and heads share: 0 within the window and
 * -infinity, which hides a key, beyond it. The past is free whatever stands there, and padding is
 * the host's. */
static bool window_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                        const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    const settings *mask = opened;
    int64_t n = tower->tokens;
    (void)clock, (void)x; /* the mask is the same in every step and for every input */
    *out = assay_bias_causal();
    if (tower->span == NULL) /* no history in it: an answer is read from left to right */
        return true;
    assay_tensor *price = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, 1, n, n});
    if (price == NULL) /* the failure is on the tape */
        return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            assay_f32(price)[i * n + j] = j <= i + mask->ahead ? 0.0f : -INFINITY;
    *out = assay_bias_full();
    out->log_weight = price;
    return true;
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = window_open,
    .close = assay_free,
    .bias = window_bias,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "window", 1, "every token sees the past and the next few tokens",
             settings, options, functions);
