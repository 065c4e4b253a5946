/* assay/mask.h - the functions of a mask plugin: who sees whom, as training goes on.
 *
 * For each tower and pass a mask gives an attention bias (assay/attention.h), which is data, not a
 * matrix. Padding is the host's business, never the mask's. A mask says itself what a run is
 * evaluated with: its `bias` is called with phase ASSAY_EVALUATION then, and nothing is assumed.
 *
 * The hardest masks, and what they use: hybrid_mlp, a bias computed from `x` with a gradient to the
 * mask's own parameters; hybrid_query, `needs.extra.front` = 1 with `front`; ggsm, a gradient tap
 * at "user/final_norm" read in `observe`, with importance and frozen weights as state; ggsm_plus,
 * the same with a tap at "user/embeddings" or "user/layers.L"; the published code's clock,
 * clock.micro. */
#ifndef ASSAY_MASK_H
#define ASSAY_MASK_H

#include <assay/model.h>

#define ASSAY_MAX_TAPS 8

/* What a mask (or an adapter) asks for before the model is opened. All zero: nothing. */
typedef struct assay_needs {
    assay_extra_tokens extra;
    int tap_count;
    const char
        *taps[ASSAY_MAX_TAPS]; /* states whose values and gradients `observe` reads; static */
    bool freezes;              /* of an adapter: the mask's own parameters do not learn either */
} assay_needs;

typedef struct assay_mask_setup {
    uint32_t size;
    const assay_model_facts *facts;
    assay_params *params; /* the run's; names of the mask's own begin with "mask." */
    const assay_device *device;
    const assay_host *host; /* series() records the mask's curves */
    int64_t total, total_micro;
    bool counting;
} assay_mask_setup;

typedef struct assay_mask_functions {
    uint32_t size;
    /* Optional: NULL asks for nothing. */
    bool (*needs)(const void *options, assay_needs *out, assay_error *error);
    void *(*open)(const void *options, const assay_mask_setup *setup, assay_error *error);
    void (*close)(void *mask);
    /* The bias of one tower in this pass; `x` (B, T, D) are its input embeddings. Step tensors come
     * from `tape`. False after a failure, which is on the tape. */
    bool (*bias)(void *mask, assay_tape *tape, const assay_clock *clock, const assay_tower *tower,
                 assay_tensor *x, assay_attention_bias *out);
    /* Optional: the vectors (extra.front, D) of the tokens asked for, of this pass. */
    assay_tensor *(*front)(void *mask, assay_tape *tape);
    /* Optional: after a training pass's backward walk, once per tower of the micro-batch (or of
     * each of its pieces): tapped states of the tape have their gradients. */
    bool (*observe)(void *mask, assay_tape *tape, const assay_clock *clock,
                    const assay_tower *tower, assay_error *error);
    /* Optional: once per micro-batch, after all of its towers were observed. */
    bool (*advance)(void *mask, const assay_clock *clock, assay_error *error);
    /* Optional, both or none. */
    bool (*save)(void *mask, const assay_state_writer *out, assay_error *error);
    bool (*load)(void *mask, const assay_state_reader *in, assay_error *error);
    /* The bias of equal towers is the same in every pass, whatever the clock, while the mask's own
     * parameters stay as they are: what a frozen model makes of a history may be kept. */
    bool steady;
} assay_mask_functions;

#endif
