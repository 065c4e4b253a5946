/* assay/model.h - the functions of a model plugin.
 *
 * A model owns its layout, the host its parameters and its loop. A sample becomes one or more
 * towers: sequences that run through the model one after another (user and answer; an image). For
 * each tower the host calls `embed`, asks the mask for an attention bias, and calls `forward`,
 * which names its outputs; losses and evaluators take them by name.
 *
 * Why it is cut so (each on paper before this header was fixed):
 * - embed and forward are two calls, since hybrid_mlp computes its bias from the input embeddings.
 * - Extra tokens are asked for before the model is opened (assay_model_setup.extra), since
 *   hybrid_query's global token and soft_prompt's tokens change lengths, positions and spans, which
 *   `collate` must know; their vectors come with each pass, for they are somebody else's
 *   parameters.
 * - Outputs are produced only when wanted: the first pass of a two-pass contrastive batch wants the
 *   embeddings alone, a distillation wants one layer's attention, nobody else pays for it.
 * - States are marked by assay_state under the tower's scope ("user/embeddings", "user/layers.3",
 *   "user/final_norm"), so that ggsm and ggsm_plus tap gradients anywhere in the stack.
 * - A prefix cache needs no call of the training path: `prefill` keeps what a tower's first tokens
 *   (the history) leave in every layer, `resume` runs what follows them (the question) on that. The
 *   two parts are batches of their own, made by `collate` with a part: a history is collated once,
 *   its questions without it, and `embed` is the same for both. */
#ifndef ASSAY_MODEL_H
#define ASSAY_MODEL_H

#include <assay/attention.h>
#include <assay/dataset.h>
#include <assay/nn.h>

/* ---- batches and towers ---- */

/* Tokens that others put into every sequence of the tower they name. */
typedef struct assay_extra_tokens {
    int64_t front;   /* before everything: a mask's global query */
    int64_t readout; /* just before the token that is read: a soft prompt */
    int64_t history; /* just behind the history, before the question: the same, beside the events */
} assay_extra_tokens;

/* One sequence per sample through the model. Tensors live as long as the batch. */
typedef struct assay_tower {
    const char *name;            /* "user", "answer", "image"; static */
    int64_t rows, tokens;        /* B and T, padding and extra tokens included */
    const assay_tensor *lengths; /* i32 (B), valid tokens, padding on the right; NULL: all */
    /* i32 (B, 2): first and end of the tokens that are the history, which hybrid masks open; NULL:
     * the tower has none. */
    const assay_tensor *span;
    /* i32 (B): the position that is read; -1: the mean of the valid ones. NULL: no readout. */
    const assay_tensor *readout;
} assay_tower;

#define ASSAY_MAX_TOWERS 4

/* Which tokens of the towers a batch holds. */
typedef enum assay_part_of {
    ASSAY_WHOLE,
    ASSAY_HISTORY, /* what stands before the question: a prefix for any number of questions */
    ASSAY_QUESTION /* the question, readout tokens and the token that is read, on a prefix: sample
                      b's fields but "query" are not looked at; positions count from 0 */
} assay_part_of;

/* Samples made ready for the model, on the loader's thread. Everything lives in the batch's arena.
 */
typedef struct assay_batch {
    int64_t samples;            /* B */
    const assay_sample *sample; /* (B), as the dataset gave them */
    const assay_tensor *labels; /* i32 (B), -1: none; the host fills it */
    int tower_count;
    assay_tower towers[ASSAY_MAX_TOWERS];
    int64_t tokens;     /* valid tokens of all towers, for tokens/s */
    void *content;      /* the model's own: ids, images ... */
    assay_part_of part; /* which the model was asked for */
} assay_batch;

/* ---- outputs ----
 * Names are TOWER.WHAT; these have a fixed meaning, a model may add its own:
 *   TOWER.embedding   (B, E) f32   what is compared and probed, not normalised
 *   TOWER.states      (B, T, D)    after the final norm
 *   TOWER.targets     (B, T) i32   next-token targets, ASSAY_IGNORE where none is due
 *   TOWER.head        (V, D)       the matrix whose product with states gives the logits
 *   TOWER.layers.L    (B, T, D)    after block L
 *   TOWER.attention.L (B, H, T, T) probabilities of block L
 *   TOWER.sources     (B, T) i32   which source's event a token is (facts.sources); -1: none */
#define ASSAY_MAX_OUTPUTS 64

typedef struct assay_wanted {
    int count;
    const char *const *names;
} assay_wanted;

static inline bool assay_wants(const assay_wanted *wanted, const char *name)
{
    for (int i = 0; i < wanted->count; i++)
        if (assay_same_text(wanted->names[i], name))
            return true;
    return false;
}

/* Whether anything of this tower is wanted. */
static inline bool assay_wants_tower(const assay_wanted *wanted, const char *tower)
{
    for (int i = 0; i < wanted->count; i++) {
        int64_t k = 0;
        while (tower[k] != '\0' && tower[k] == wanted->names[i][k])
            k++;
        if (tower[k] == '\0' && wanted->names[i][k] == '.')
            return true;
    }
    return false;
}

typedef struct assay_outputs {
    int count;
    const char *names[ASSAY_MAX_OUTPUTS]; /* borrowed from the wanted names */
    assay_tensor *tensors[ASSAY_MAX_OUTPUTS];
} assay_outputs;

static inline assay_tensor *assay_outputs_get(const assay_outputs *outputs, const char *name)
{
    for (int i = 0; i < outputs->count; i++)
        if (assay_same_text(outputs->names[i], name))
            return outputs->tensors[i];
    return NULL;
}

/* Adds an output if its name is wanted; the name is taken from there, so it may be a passing
 * text. */
static inline void assay_outputs_put(assay_outputs *outputs, const assay_wanted *wanted,
                                     const char *name, assay_tensor *tensor)
{
    for (int i = 0; i < wanted->count && outputs->count < ASSAY_MAX_OUTPUTS; i++)
        if (assay_same_text(wanted->names[i], name)) {
            outputs->names[outputs->count] = wanted->names[i];
            outputs->tensors[outputs->count++] = tensor;
            return;
        }
}

/* Receives one batch's outputs (in the order of `wanted`), rows first .. first + samples - 1 of the
 * set. False ends the walk with *error. */
typedef bool (*assay_visitor)(void *user, int64_t first, const assay_batch *batch,
                              const assay_outputs *outputs, assay_error *error);

/* ---- the model ---- */

typedef struct assay_model_setup {
    uint32_t size;
    const assay_data *data;   /* open; its fields and, for a vocabulary, its pretrain samples */
    assay_params *params;     /* empty; the model adds its own under their published names */
    assay_extra_tokens extra; /* a model that has no place for them fails with a message */
    const assay_host *host;
    uint64_t seed;
    /* The parameters are only counted (assay plan): they have shapes and no values. */
    bool counting;
} assay_model_setup;

/* For a model that has no place for extra tokens: false, with the error set, when any is asked for.
 * `where` is "model NAME". */
static inline bool assay_refuse_extra(const assay_model_setup *setup, const char *where,
                                      assay_error *error)
{
    const assay_extra_tokens *extra = &setup->extra;
    return (extra->front == 0 && extra->readout == 0 && extra->history == 0) ||
           ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = where,
                      .what = "the model has no place for extra tokens",
                      .hint = "hybrid_query and soft_prompt need model.user_decoder");
}

/* A group of parameters that `assay plan` counts by itself: names that begin with the prefix. */
typedef struct assay_part {
    const char *name, *prefix; /* "event encoder of bill", "encoder.bill." */
} assay_part;

/* What others need to know of an open model. Borrowed texts live as long as the model. */
typedef struct assay_model_facts {
    uint32_t size;
    int64_t width, layers, heads; /* of the stack that masks act in */
    int64_t tokens;               /* the longest sequence of a tower */
    double flops;                 /* of one sample's forward pass, at its usual length: estimate */
    double activation_bytes;      /* that a tape keeps for one sample, fp32: estimate */
    int output_count, part_count;
    const char *const *outputs; /* every output that can be wanted */
    const assay_part *parts;
    /* The tower that `prefill` and `resume` run; NULL: the model has no prefix cache. */
    const char *prefix;
    const char *no_prefix; /* why not, with these options; NULL: it never has */
    int64_t embedding;     /* E of the towers' embeddings; 0: not said */
    /* Names of the sources of events that TOWER.sources numbers. */
    int source_count;
    const char *const *sources;
    /* What published tables of this kind of model count for a sample, by their rule, which the
     * model says: multiply-adds; 0: not said. */
    double counted;
} assay_model_facts;

typedef struct assay_collation {
    const assay_sample *samples; /* (B) */
    int64_t count;
    assay_phase phase;
    const assay_wanted *wanted; /* towers of which nothing is wanted are left out */
    assay_arena *arena;
    /* Other than ASSAY_WHOLE only for a model with assay_model_facts.prefix, and then only the
     * tower that has a question is made, without next-token targets. */
    assay_part_of part;
} assay_collation;

/* Vectors of the extra tokens, (front, D), (readout, D), (history, D); NULL where there are
 * none. */
typedef struct assay_insert {
    assay_tensor *front, *readout, *history;
} assay_insert;

typedef struct assay_model_functions {
    uint32_t size;
    /* What a script that names none gets; NULL-terminated lists of plugin names, or NULL. */
    const char *const *default_losses;
    const char *const *default_evaluators;
    void *(*open)(const void *options, const assay_model_setup *setup, assay_error *error);
    void (*close)(void *model);
    void (*facts)(void *model, assay_model_facts *out);
    /* Raw samples to a batch: ids, padding, towers. The host has set samples, sample, labels.
     * Called on the loader's thread while the model computes: reads what `open` made, writes
     * nothing. */
    bool (*collate)(void *model, const assay_collation *in, assay_batch *out, assay_error *error);
    /* Input embeddings (B, T, D) of tower number `tower`; NULL after a failure of the tape. */
    assay_tensor *(*embed)(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                           const assay_insert *insert);
    /* The stack on x, and the tower's wanted outputs. `bias` NULL: the model's own attention. */
    bool (*forward)(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                    assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                    assay_outputs *out);
    /* Optional, both or none. The prefix cache of a batch of histories (part ASSAY_HISTORY), one
     * per row, owned by the caller. `bias` NULL: the model's own attention; one that lets the
     * history see what follows is an error. Nothing is recorded. */
    bool (*prefill)(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                    assay_tensor *x, const assay_attention_bias *bias, assay_prefix **out);
    /* The wanted outputs of a batch of questions (part ASSAY_QUESTION), one prefix per row; rows
     * that share one should be neighbours. Gradients flow through the question's tokens. */
    bool (*resume)(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias,
                   const assay_prefix *const *prefix, const assay_wanted *wanted,
                   assay_outputs *out);
    /* Optional: the input vectors of a text's first words, at most `most` of them, as they are now:
     * out (most, D). How many there were; -1 with the error set. */
    int64_t (*text_vectors)(void *model, const char *text, int64_t bytes, int64_t most, float *out,
                            assay_error *error);
    /* Optional, for train.layer_decay: how deep the parameter of this name stands: 0 input
     * embeddings, i block i - 1, facts.layers + 1 whatever follows the blocks or is none of the
     * model's. An adapter's parameters are asked for without their prefix
     * ("blocks.3.down.weight"). */
    int64_t (*depth)(void *model, const char *parameter);
} assay_model_functions;

/* ---- a network: a model with its mask, adapters and parameters, ready to run ----
 * What evaluators and distilling losses get. Borrowed. */
typedef struct assay_network {
    uint32_t size;
    void *user; /* first argument of the functions */
    const assay_model_facts *facts;
    assay_params *params;
    /* Makes a batch in `arena`. Any thread. */
    bool (*collate)(void *user, const assay_collation *in, assay_batch *out, assay_error *error);
    /* All towers of the batch of which something is wanted, as in evaluation, on `tape`, which has
     * begun. False after a failure, which is on the tape. */
    bool (*run)(void *user, assay_tape *tape, const assay_batch *batch, const assay_wanted *wanted,
                assay_outputs *out);
    /* In two parts, as in evaluation, with the mask, adapters and extra tokens in place. A model
     * without a prefix cache (facts->prefix NULL), or a mask under which the history sees the
     * question, is an error of the tape that names it. `out` receives one prefix per row of a batch
     * of part ASSAY_HISTORY; the caller owns them (assay_prefix_free). */
    bool (*prefill)(void *user, assay_tape *tape, const assay_batch *batch, assay_prefix **out);
    /* A batch of part ASSAY_QUESTION, one prefix per row (borrowed until the step ends). */
    bool (*resume)(void *user, assay_tape *tape, const assay_batch *batch,
                   const assay_prefix *const *prefix, const assay_wanted *wanted,
                   assay_outputs *out);
} assay_network;

#endif
