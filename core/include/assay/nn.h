/* assay/nn.h - parameters by their published names, and how they start.
 *
 * A parameter set owns the parameters of a model: fp32 masters with gradients. Names are those of
 * the published weights ("model.layers.0.self_attn.q_proj.weight"), so files are exchanged without
 * maps. */
#ifndef ASSAY_NN_H
#define ASSAY_NN_H

#include <assay/device.h>
#include <assay/tensor.h>

/* ---- initialisers ---- */

typedef enum assay_init_kind {
    ASSAY_INIT_ZEROS,
    ASSAY_INIT_ONES,
    ASSAY_INIT_CONSTANT,         /* a */
    ASSAY_INIT_NORMAL,           /* mean 0, sd a */
    ASSAY_INIT_TRUNCATED_NORMAL, /* mean 0, sd a, drawn again outside +-b (absolute) */
    ASSAY_INIT_UNIFORM,          /* [-a, a) */
    ASSAY_INIT_XAVIER_UNIFORM,   /* +-sqrt(6 / (fan_in + fan_out)) */
    ASSAY_INIT_KAIMING_UNIFORM,  /* +-sqrt(6 / ((1 + a^2) fan_in)); a = sqrt 5: PyTorch's Linear
                                    default */
    ASSAY_INIT_KAIMING_NORMAL    /* sd sqrt(2 / fan_out), for ReLU */
} assay_init_kind;

/* fan_in = product of shape[1..], fan_out = shape[0] * product of shape[2..], as PyTorch counts;
 * rank 1 has fan_in = fan_out = shape[0]. */
typedef struct assay_init {
    assay_init_kind kind;
    float a, b;
} assay_init;

/* Fills an f32 tensor from the stream (seed, "init/" + name, 0), number i from index i; a truncated
 * normal's k-th try for it stands at i + k count, and its bound must be at least a / 100. */
bool assay_init_fill(assay_tensor *tensor, assay_init init, uint64_t seed, const char *name,
                     assay_error *error);

/* ---- parameter sets ---- */

typedef struct assay_parameter {
    char *name;          /* owned by the set */
    assay_tensor *value; /* f32 leaf, owned by the set */
    bool trainable;      /* value->needs_grad; change it by assay_params_train */
    bool decays; /* weight decay applies: by default rank >= 2 (matrices, not norms or biases) */
} assay_parameter;

typedef struct assay_params assay_params;

/* `seed` addresses the initialisers. The caller owns the result. */
assay_params *assay_params_new(uint64_t seed, assay_error *error);
/* A set for counting: parameters have names, shapes and flags, and no values or gradients (their
 * data is one shared place that must not be touched), so a model of any size is built at once. */
assay_params *assay_params_new_counting(assay_error *error);
bool assay_params_counting(const assay_params *params);
void assay_params_free(assay_params *params); /* accepts NULL */

/* Adds a trainable parameter filled by `init`; a name that exists already is an error. Borrowed:
 * valid until assay_params_free. Given a set with an error already recorded in *error it returns
 * NULL at once, so that a model's constructor can check once at its end. A name has 1 to
 * ASSAY_NAME_LIMIT bytes. */
#define ASSAY_NAME_LIMIT 200
assay_tensor *assay_params_add(assay_params *params, const char *name, int rank,
                               const int64_t *shape, assay_init init, assay_error *error);

int64_t assay_params_count(const assay_params *params);                  /* parameters */
assay_parameter *assay_params_at(const assay_params *params, int64_t i); /* in order of adding */
assay_parameter *assay_params_find(const assay_params *params, const char *name); /* or NULL */
/* Numbers in parameters whose name begins with `prefix` (NULL or "": all). */
int64_t assay_params_size(const assay_params *params, const char *prefix, bool trainable_only);

/* Makes every parameter whose name begins with `prefix` (NULL or "": all) trainable or frozen;
 * returns how many there were, -1 when memory for their gradients is short. Freezing forgets the
 * gradient and gives its memory back; it is not for the middle of a pass. */
int64_t assay_params_train(assay_params *params, const char *prefix, bool trainable,
                           assay_error *error);
/* Forgets every gradient: has_grad becomes false. */
void assay_params_clear_grads(assay_params *params);
/* Global L2 norm of all gradients that exist, summed in double over fixed partitions. */
double assay_params_grad_norm(const assay_params *params, const assay_device *device);
/* The first parameter whose gradient (or value, if `values`) holds a NaN or an infinity; NULL:
 * none. */
const assay_parameter *assay_params_nonfinite(const assay_params *params,
                                              const assay_device *device, bool values);

#endif
