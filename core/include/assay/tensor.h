/* assay/tensor.h - contiguous row-major arrays.
 *
 * A tensor is a plain struct: read its fields freely, but its numbers through assay_f32() and its
 * kin and assay_gradient(), which fetch them from the device that computed them. Data is
 * contiguous, row-major, aligned to ASSAY_ALIGNMENT. Who owns it depends on where it came from:
 * assay_tensor_new (the caller), a tape (the step: valid until assay_tape_begin), or a parameter
 * set (the run). */
#ifndef ASSAY_TENSOR_H
#define ASSAY_TENSOR_H

#include <assay/error.h>

#include <stdint.h>

#define ASSAY_MAX_RANK 4

struct assay_arena;

typedef enum assay_dtype {
    ASSAY_F32,  /* IEEE 754 binary32: masters, norms, softmax, losses, every gradient */
    ASSAY_BF16, /* bfloat16, for stored activations and inputs of products */
    ASSAY_I32,  /* token ids, lengths, indices */
    ASSAY_U8    /* labels of pixels, raw images, flags */
} assay_dtype;

/* On which side a tensor's numbers are, for tensors that a device other than the host's has to do
 * with. The engine's own. */
typedef struct assay_residence {
    const struct assay_device *device; /* whose memory `there` and `grad` are in; NULL: none yet */
    struct assay_arena *room;          /* of the step, for the host's copies; NULL: assay_alloc */
    void *there;                       /* the numbers in the device's memory, or NULL */
    float *grad_here;                  /* the host's copy of the gradient, or NULL */
    struct assay_tensor *next;         /* the one made before it in the same arena, or NULL */
    uint64_t pass;                     /* whose memory `there` is; 0: the tensor's own */
    bool old_here, old_there;          /* the other side has newer numbers */
    bool borrowed;                     /* made by assay_tensor_in: the arena's, not its own */
    bool blank;                        /* nobody has written numbers yet */
    bool grad_there;                   /* `grad` is in the device's memory */
    bool grad_old;                     /* it has changed since `grad_here` was copied */
} assay_residence;

typedef struct assay_tensor {
    /* shape's product of dtype, on the host; NULL only for what a device computed and the host has
     * not asked for */
    void *data;
    /* fp32 gradient of the same shape, see has_grad; or NULL. In the memory of the device that
     * computed it: assay_gradient() reads it */
    float *grad;
    int64_t shape[ASSAY_MAX_RANK]; /* the first `rank` entries; the rest are 1 */
    int rank;                      /* 0 .. ASSAY_MAX_RANK; 0 is a scalar */
    assay_dtype dtype;
    bool needs_grad; /* the tape records what is computed from it */
    bool has_grad;   /* grad holds a value; false: no gradient has flowed since it was cleared */
    bool is_leaf;    /* a parameter or an input: grad outlives the backward pass and accumulates */
    bool
        keeps_grad; /* tapped: the tape keeps this step tensor's gradient after the backward pass */
    assay_residence side;
} assay_tensor;

/* Bytes of one element: 4, 2, 4, 1. */
int64_t assay_dtype_size(assay_dtype dtype);
/* "f32", "bf16", "i32", "u8". Static storage. */
const char *assay_dtype_name(assay_dtype dtype);

/* A leaf with uninitialised data and no gradient. The caller owns it (assay_tensor_free). Fails on
 * a rank above ASSAY_MAX_RANK, a negative extent, or a size that does not fit. */
assay_tensor *assay_tensor_new(assay_dtype dtype, int rank, const int64_t *shape,
                               assay_error *error);
/* The same in an arena, struct and data: borrowed, valid until the arena is reset (a batch). */
assay_tensor *assay_tensor_in(struct assay_arena *arena, assay_dtype dtype, int rank,
                              const int64_t *shape, assay_error *error);
/* Frees data, gradient and struct of a tensor made by assay_tensor_new. Accepts NULL. */
void assay_tensor_free(assay_tensor *tensor);
/* Makes the leaf want a gradient: allocates `grad` (uninitialised, has_grad false). */
bool assay_tensor_want_grad(assay_tensor *tensor, assay_error *error);

/* Number of elements; the shape was checked when the tensor was made. */
int64_t assay_tensor_count(const assay_tensor *tensor);
int64_t assay_tensor_bytes(const assay_tensor *tensor);
bool assay_tensor_same_shape(const assay_tensor *a, const assay_tensor *b);
/* Typed views of the numbers on the host; NULL when the dtype is another. Borrowed. What a device
 * computed is waited for and copied (NULL, too, when that fails: the tape's next operation says
 * why), and what is written here reaches the device with the next operation. */
float *assay_f32(const assay_tensor *tensor);
uint16_t *assay_bf16(const assay_tensor *tensor);
int32_t *assay_i32(const assay_tensor *tensor);
uint8_t *assay_u8(const assay_tensor *tensor);
void *assay_elements(const assay_tensor *tensor); /* the same whatever the dtype */
/* The gradient on the host, NULL when has_grad is false; to read. Borrowed: fetched from a
 * device by the first call after it changed. */
const float *assay_gradient(const assay_tensor *tensor);

/* "(3, 17, 64) f32", for messages. Borrowed like assay_text. */
const char *assay_tensor_text(const assay_tensor *tensor);
/* "(3, 17, 64)". Borrowed like assay_text. */
const char *assay_shape_text(int rank, const int64_t *shape);

/* ---- bfloat16: the upper half of an fp32 ---- */

static inline float assay_from_bf16(uint16_t value)
{
    union {
        uint32_t bits;
        float number;
    } u = {(uint32_t)value << 16};
    return u.number;
}

/* Round to nearest, ties to even; a NaN stays a (quiet) NaN. */
static inline uint16_t assay_to_bf16(float value)
{
    union {
        float number;
        uint32_t bits;
    } u = {value};
    if ((u.bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u.bits >> 16) | 0x0040u);
    return (uint16_t)((u.bits + 0x7fffu + ((u.bits >> 16) & 1u)) >> 16);
}

#endif
