/* assay/adapter.h - the functions of an adapter plugin: small trainable parts in a frozen model.
 *
 * A model's places have names, marked in its forward pass by assay_place (assay/tape.h), the same
 * in every tower: "layers.3.self_attn.q_proj" (a linear layer), "layers.3.mlp" (a block's
 * branch), "embeddings". At a place the adapter sees the branch's input and its output and returns
 * what takes the output's place: LoRA adds B A input, patch_scale adds s adapter(input). A soft
 * prompt asks for extra tokens instead and gives their vectors. An option `lr_scale` is read by the
 * host: a factor on the learning rate of the adapter's own parameters. */
#ifndef ASSAY_ADAPTER_H
#define ASSAY_ADAPTER_H

#include <assay/mask.h>

typedef struct assay_adapter_setup {
    uint32_t size;
    const assay_model_facts *facts;
    /* The run's, the model's parameters in place. The adapter freezes by assay_params_train, and
     * adds its own under `prefix`. */
    assay_params *params;
    const char *prefix; /* "adapter.lora." */
    const assay_host *host;
    uint64_t seed;
    bool counting;
    const assay_data *data;
    /* The open model, for its text_vectors. */
    const assay_model_functions *model;
    void *opened_model;
} assay_adapter_setup;

typedef struct assay_adapter_functions {
    uint32_t size;
    /* Optional: extra tokens, at the readout or behind the history (taps are a mask's). */
    bool (*needs)(const void *options, assay_needs *out, assay_error *error);
    void *(*open)(const void *options, const assay_adapter_setup *setup, assay_error *error);
    void (*close)(void *adapter);
    /* Optional: whether the adapter acts at this place. Asked in every pass: a comparison of
     * texts, no more. */
    bool (*attaches)(void *adapter, const char *place);
    /* Optional: what replaces `output` (its shape stays); NULL after a failure of the tape. */
    assay_tensor *(*apply)(void *adapter, assay_tape *tape, const char *place, assay_tensor *input,
                           assay_tensor *output);
    /* Optional: the vectors asked for, (extra.readout, D) or (extra.history, D). */
    assay_tensor *(*readout)(void *adapter, assay_tape *tape);
    /* Optional: which pass of a tower begins, before anything of it is computed. */
    void (*begin)(void *adapter, const assay_clock *clock);
} assay_adapter_functions;

#endif
