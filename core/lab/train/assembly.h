/* assembly.h - what a recipe names, opened around one parameter set: model, adapters, mask, losses.
 *
 * They are opened in this order, for each needs what came before: the mask's and adapters' needs,
 * the model (which gets their extra tokens), its facts, the adapters (which may freeze), the mask,
 * the initial weights, the losses. */
#ifndef TRAIN_ASSEMBLY_H
#define TRAIN_ASSEMBLY_H

#include "lab/train/host.h"
#include "lab/train/train.h"

typedef struct assembly assembly;

/* One plugin in use. */
typedef struct assembly_part {
    const settings *use; /* borrowed from the recipe */
    const plugin *plugin;
    void *options; /* the filled struct, owned */
    void *state;   /* what open returned; NULL before */
} assembly_part;

typedef struct assembly_adapter {
    assembly_part part;
    assembly *owner;
    char prefix[96];   /* "adapter.lora." */
    double lr_scale;   /* on the learning rate of its parameters */
    int64_t tokens;    /* extra ones that are its own */
    bool at_history;   /* they stand behind the history, not at the readout */
    bool freezes_mask; /* the mask's parameters do not learn beside it */
} assembly_adapter;

typedef struct assembly_loss {
    assembly_part part;
    char prefix[96]; /* "loss.toy_next." */
    char series[96]; /* "loss/toy_next" */
    char valid[96];  /* "valid/loss/toy_next" */
    double weight, lr_scale;
    int count; /* of the outputs that it reads */
    const char *names[ASSAY_MAX_OUTPUTS];
} assembly_loss;

typedef struct assembly_wanted { /* a set of outputs that owns no texts */
    int count;
    const char *names[ASSAY_MAX_OUTPUTS];
} assembly_wanted;

typedef struct assembly_text { /* kept for somebody who borrows it */
    char *text;
    struct assembly_text *next;
} assembly_text;

struct assembly {
    const recipe *recipe;
    const assay_data *data;
    const assay_device *device;
    const assay_host *host;
    const train_sources *sources; /* NULL: stages have no weights (counting) */
    int64_t total, total_micro;
    int64_t trained; /* see assembly_setup */
    bool counting;
    assay_params *params;
    assembly_part model, mask; /* mask.plugin NULL: the model's own attention */
    assay_model_facts facts;
    assay_needs mask_needs;
    assay_extra_tokens extra;
    int adapter_count, loss_count;
    assembly_adapter *adapters;
    assembly_loss *losses;
    assembly_wanted wanted;  /* by any loss */
    assembly_wanted coupled; /* by a loss that couples samples */
    bool running;            /* its own forward pass is under way: adapters act */
    char probe;              /* its address stands for the assembly on tapes, see pass.c */
    assay_clock evaluation;  /* of `network` */
    assay_network network;
    assembly_text *texts;
};

typedef struct assembly_setup {
    const recipe *recipe;
    const assay_data *data;
    const assay_device *device; /* NULL when counting */
    const assay_host *host;
    const train_sources *sources;
    int64_t total, total_micro;
    /* A stage that is only evaluated (steps = 0) is what it was: `total` is then its own, and these
     * are the steps that its weights have seen; evaluations count from there. 0 otherwise. */
    int64_t trained;
    bool counting;
    bool bare; /* model, adapters and mask only, from the seed: another's weights will come */
} assembly_setup;

/* The caller owns the result; what the setup points at must outlive it. */
assembly *assembly_open(const assembly_setup *setup, assay_error *error);
void assembly_close(assembly *assembly); /* accepts NULL */

/* The filled struct of one more plugin's options. Owned by the caller (assay_free). */
void *assembly_options(assembly *assembly, const settings *use, assay_error *error);

/* The struct of train options of a recipe. Owned by the caller (assay_free). */
train_options *assembly_train_options(const recipe *recipe, assay_error *error);

/* The file of weights that lie at `path`: itself, or the one in a folder. */
bool weights_file_of(const char *path, char *out, int64_t size, assay_error *error);

/* The weights that a setting names. `sources` may be NULL when it is a path. */
bool weights_of_setting(const train_sources *sources, const setting *value, char *path,
                        int64_t size, assay_error *error);

/* ---- the pass (pass.c) ---- */

/* The wanted outputs of the batch's towers on `tape`, which has begun: embed, the mask's bias,
 * forward, tower by tower. False after a failure, which is on the tape. */
bool assembly_forward(assembly *assembly, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, const assay_wanted *wanted, assay_outputs *out);

/* The two parts of a pass (assay/model.h): prefix caches of a batch of histories, which the caller
 * owns, and the wanted outputs of a batch of questions on them. In training the question's part is
 * recorded. */
bool assembly_prefill(assembly *assembly, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, assay_prefix **out);
bool assembly_resume(assembly *assembly, assay_tape *tape, const assay_batch *batch,
                     const assay_clock *clock, const assay_prefix *const *prefix,
                     const assay_wanted *wanted, assay_outputs *out);

/* After a training pass's backward walk: the mask looks at the gradients that it tapped. */
bool assembly_observe(assembly *assembly, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, assay_error *error);
/* After a micro-batch. */
bool assembly_advance(assembly *assembly, const assay_clock *clock, assay_error *error);

/* What train.precision means for tapes. */
assay_precision assembly_precision(const train_options *options);

/* A tape for this assembly's passes: taps and attachments are on it. Owned by the caller. */
assay_tape *assembly_tape(assembly *assembly, assay_precision precision, assay_error *error);

/* Fills `assembly->network`, whose passes are evaluations after `step` steps of this run. */
void assembly_network(assembly *assembly, int64_t step);

#endif
