/* assay/tape.h - one step's tensors, and the record of how they were computed.
 *
 * Operations (assay/ops.h, assay/attention.h) compute at once and note themselves on the tape;
 * assay_tape_backward walks the notes in reverse. Everything of a step (activations, gradients of
 * activations, scratch) lives in the tape's arena and is gone at the next assay_tape_begin; leaves
 * (parameters, inputs made by assay_tensor_new) live outside and keep their gradients, which
 * accumulate over backward passes until they are cleared.
 *
 * Errors. The tape keeps the first failure. From then on every operation returns NULL, and an
 * operation that is given NULL returns NULL, so a model's forward pass reads without checks and its
 * caller asks once: `if (!loss) return assay_tape_failed(tape, error);`
 *
 * A tape belongs to one thread at a time; kernels use the device's threads. */
#ifndef ASSAY_TAPE_H
#define ASSAY_TAPE_H

#include <assay/device.h>
#include <assay/memory.h>
#include <assay/random.h>
#include <assay/tensor.h>

/* What products multiply and activations are stored in. Under ASSAY_PRECISION_BF16 linear layers
 * round both factors to bf16 and accumulate in fp32; linear, norm and attention outputs are stored
 * as bf16. Norms, softmax and losses compute in fp32, and every gradient is fp32. */
typedef enum assay_precision {
    ASSAY_PRECISION_FP32,
    ASSAY_PRECISION_BF16,
    /* fp32 whose products may round their factors to 11 significant bits, where the device has
     * that */
    ASSAY_PRECISION_TF32
} assay_precision;

typedef struct assay_tape assay_tape;

/* The caller owns the result. The device must outlive it. */
assay_tape *assay_tape_new(const assay_device *device, assay_precision precision,
                           assay_error *error);
void assay_tape_free(assay_tape *tape);
/* Another tape of the same device, precision, scope and attachments, with nothing tapped: for a
 * part of a pass that is done piece by piece, each piece in the memory of the one before. The
 * caller owns it. */
assay_tape *assay_tape_sibling(const assay_tape *tape, assay_error *error);

/* What one forward and backward pass is. */
typedef struct assay_step {
    uint64_t seed;    /* of the run: with `clock`, the address of dropout */
    uint64_t clock;   /* which pass this is; no two training passes of a run share it */
    bool training;    /* dropout and drop path act */
    bool no_gradient; /* nothing is recorded; backward is an error */
} assay_step;

/* Starts a pass: every tensor of the last one, the record and the error are gone. */
void assay_tape_begin(assay_tape *tape, assay_step step);
assay_step assay_tape_step(const assay_tape *tape);
assay_precision assay_tape_precision(const assay_tape *tape);
const assay_device *assay_tape_device(const assay_tape *tape);

/* Recording can be switched off for a part of the pass (a frozen teacher); returns what it was. */
bool assay_tape_pause(assay_tape *tape, bool paused);

/* The first failure of this pass; code ASSAY_OK if there is none. Borrowed. */
const assay_error *assay_tape_error(const assay_tape *tape);
/* Copies the failure into *error (first failure wins there too). Returns true if there was none. */
bool assay_tape_ok(const assay_tape *tape, assay_error *error);
/* The same, returning false: `return assay_tape_failed(tape, error);` */
bool assay_tape_failed(const assay_tape *tape, assay_error *error);

/* ---- step tensors (borrowed: valid until assay_tape_begin or assay_tape_free) ---- */

/* Uninitialised. */
assay_tensor *assay_tape_tensor(assay_tape *tape, assay_dtype dtype, int rank,
                                const int64_t *shape);
/* A copy of `data` (count elements of dtype); wants no gradient. */
assay_tensor *assay_tape_constant(assay_tape *tape, assay_dtype dtype, int rank,
                                  const int64_t *shape, const void *data);
/* A copy of another tape's tensor, as it is now; wants no gradient. */
assay_tensor *assay_tape_copy(assay_tape *tape, const assay_tensor *from);
/* Rows first .. of `to`, an f32 leaf, become those of `from` (f32 or bf16) where the tape computes.
 * The rows come in order: those that begin at 0 forget what was there. */
bool assay_tape_keep(assay_tape *tape, assay_tensor *to, int64_t first, const assay_tensor *from);
/* A scalar's or any f32/bf16 tensor's first value as double; NaN for NULL. */
double assay_value(const assay_tensor *tensor);

/* ---- backward ---- */

/* Gradients of scale * loss for every tensor that wants one. `loss` is a scalar (one element) that
 * this pass computed. One backward pass per record; a second one is an error. After a failure the
 * leaves' gradients are unfinished: clear them. */
bool assay_tape_backward(assay_tape *tape, assay_tensor *loss, float scale);

/* The same from given gradients of n outputs (fp32, each of its output's count, on the host). */
bool assay_tape_backward_from(assay_tape *tape, int n, assay_tensor *const outputs[],
                              const float *const d_outputs[]);

/* The same from the gradients of other tensors of this device: of kept[i] from element first[i] on,
 * or ones where that is NULL. So a contrastive batch larger than memory goes back through its
 * towers in pieces. */
bool assay_tape_backward_across(assay_tape *tape, int n, assay_tensor *const outputs[],
                                const assay_tensor *const kept[], const int64_t first[]);

/* ---- taps: named states ----
 * A model names its states ("embeddings", "layers.3", "final_norm") with assay_state as it computes
 * them; whoever wants one asks for it by name beforehand and finds it, with its gradient after the
 * backward pass, under that name. Asking lasts for the tape's life.
 *
 * Two towers of one pass compute states of the same name: a scope sets them apart. While it is
 * "user", the state "final_norm" is found as "user/final_norm". NULL ends it, and so does
 * assay_tape_begin. The text is copied. */
#define ASSAY_SCOPE_LIMIT 63 /* bytes */
bool assay_tape_scope(assay_tape *tape, const char *scope);
/* The scope under way, "" without one. Borrowed until it changes. */
const char *assay_tape_scope_get(const assay_tape *tape);
bool assay_tape_tap(assay_tape *tape, const char *name);
/* Marks x as the state `name` and returns x. Costs nothing unless the name was asked for. */
assay_tensor *assay_state(assay_tape *tape, const char *name, assay_tensor *x);
/* The tapped state of this pass, NULL if the model did not produce it. Borrowed from the step. */
assay_tensor *assay_tape_tapped(const assay_tape *tape, const char *name);

/* ---- places: where adapters act ----
 * A model marks the branches that may be adapted ("layers.3.self_attn.q_proj", "layers.3.mlp") by
 * assay_place, whatever the scope. An attachment that says it acts there sees the branch's input
 * and output and returns what takes the output's place, of the same shape; several act in the order
 * in which they were attached, each on the result of the one before. Attachments last for the
 * tape's life, and cost nothing where there are none. */
typedef struct assay_attachment {
    void *user;
    bool (*attaches)(void *user, const char *place);
    assay_tensor *(*apply)(void *user, assay_tape *tape, const char *place, assay_tensor *input,
                           assay_tensor *output);
} assay_attachment;
bool assay_tape_attach(assay_tape *tape, assay_attachment attachment);
/* Whether anything is attached at all: names of places need not be made when not. */
bool assay_tape_attached(const assay_tape *tape);
/* Whether somebody acts at this place: a fused operation that hides it must be taken apart. */
bool assay_place_taken(const assay_tape *tape, const char *place);
/* `output`, or what attachments make of it; NULL after a failure. */
assay_tensor *assay_place(assay_tape *tape, const char *place, assay_tensor *input,
                          assay_tensor *output);

/* ---- operations of one's own ----
 * An operation computes its outputs into step tensors and records itself with what its backward
 * pass needs. The engine's operations do just this. */
typedef struct assay_node {
    const struct assay_op *op;
    int input_count, output_count;
    assay_tensor **inputs; /* NULL entries stand for absent optional inputs */
    assay_tensor **outputs;
    const void *saved;
} assay_node;

typedef struct assay_op {
    uint32_t size;    /* sizeof(assay_op) */
    const char *name; /* for messages; static */
    /* Adds to the gradients of the inputs from those of the outputs. Called once, with at least one
     * output whose has_grad is true; an output without it contributes nothing. */
    bool (*backward)(assay_tape *tape, const assay_node *node);
} assay_op;

/* Whether an operation with these inputs has to be recorded. */
bool assay_tape_records(const assay_tape *tape, int n, assay_tensor *const inputs[]);
/* Records an operation if recording is on and an input wants a gradient: the outputs then want one
 * too. `op` must be static; `saved` lives in the step (assay_tape_scratch, never released) or is
 * static. Returns false only when memory is short. */
bool assay_tape_record(assay_tape *tape, const assay_op *op, int input_count,
                       assay_tensor *const inputs[], int output_count,
                       assay_tensor *const outputs[], const void *saved);

/* Where a backward function puts the gradient of `input`. */
typedef struct assay_grad_target { /* in the memory of the tape's device */
    float *data;                   /* NULL: not wanted, compute nothing */
    bool add; /* true: add to what is there; false: overwrite, nothing is there yet */
} assay_grad_target;
/* Must be called exactly once per input and backward call, and the result must be filled whole. */
assay_grad_target assay_tape_grad(assay_tape *tape, assay_tensor *input);

/* For an operation that computes on the host: adds its n = count numbers, read at once, to the
 * gradient of `input`, in place of assay_tape_grad. Nothing happens where none is wanted. */
bool assay_tape_add_grad(assay_tape *tape, assay_tensor *input, const float *gradient);

/* Step memory, on the host, for an operation's own use; NULL with the tape's error set when memory
 * is short. Release gives it back early; without it, it lasts to the end of the step. */
void *assay_tape_scratch(assay_tape *tape, int64_t bytes);
void assay_tape_release(assay_tape *tape, void *scratch, int64_t bytes);
/* Records a failure of operation `op` on the tape, and returns NULL for the operation to return. */
assay_tensor *assay_tape_fail(assay_tape *tape, assay_code code, assay_failure failure);

/* ---- figures ---- */
typedef struct assay_tape_stats {
    assay_arena_stats arena;
    int64_t nodes; /* operations recorded in this pass */
} assay_tape_stats;
assay_tape_stats assay_tape_stats_get(const assay_tape *tape);

/* For profiles: called after every operation with the wall time of its backward function, or,
 * forward, the time since the operation before it ended. NULL switches it off. */
typedef void (*assay_profile_sink)(const char *op, bool backward, double seconds, void *user);
void assay_tape_profile(assay_tape *tape, assay_profile_sink sink, void *user);

#endif
