/* sdpa.h - fused attention by cuDNN's graphs: which calls it takes, its graph, and the kernels that
 * bring the call's arrays into its form (sdpa.c has the whole). */
#ifndef ASSAY_CUDA_SDPA_H
#define ASSAY_CUDA_SDPA_H

#ifdef __cplusplus
extern "C" {
#endif

#include "engine/device/device.h"

enum {
    SDPA_TILE = 64,        /* tokens: lengths are rounded up to it, so that there are few shapes */
    SDPA_MOST_WIDTH = 128, /* of a head */
    SDPA_FIRST_CUDNN = 91100 /* its frontend knows of wrong gradients by 9.10 */
};

/* ---- what it takes (sdpa_graph.c) ---- */

/* True for attention in bf16 whose mask is causal or open, with or without lengths, and costs
 * nothing, of all tokens on all tokens. Everything else is computed by our own kernels, and so are
 * the gradients of very long sequences, for which cuDNN's reproducible way takes B H T^2 numbers of
 * memory. */
bool sdpa_fits(const device_attention *call, bool backward);

typedef struct sdpa_shape {
    int64_t batch, heads, kv_heads, width, tokens; /* tokens: rounded up */
    bool causal, padded, backward;
} sdpa_shape;

sdpa_shape sdpa_shape_of(const device_attention *call, bool backward);

/* ---- arrays of a call in its form (sdpa_pack.cu) ----
 * Rows of q, k, v, the output and gradients are bf16 (B, tokens, H, width). What stands at a token
 * that `lengths` hides is neither read nor anything but zero. */

/* Rows (batch, rows) of `heads` heads with a stride, and whose they are. */
typedef struct sdpa_rows {
    int64_t batch, rows, tokens, heads, width, stride;
    const float *cosine, *sine; /* to be turned by, or NULL */
    const int32_t *lengths;     /* (batch) or NULL */
} sdpa_rows;

/* packed = bf16 of the turned rows, zero from a row's length on */
void sdpa_pack(const sdpa_rows *at, const float *rows, uint16_t *packed);
void sdpa_pack_narrow(const sdpa_rows *at, const uint16_t *rows, uint16_t *packed);
/* rows = [rows +] packed, turned back where there are tables; zero from the length on */
void sdpa_unpack(const sdpa_rows *at, const uint16_t *packed, float *rows, bool add);
void sdpa_unpack_narrow(const sdpa_rows *at, const uint16_t *packed, uint16_t *rows);
/* (batch) valid tokens, within 0 .. rows */
void sdpa_lengths(int64_t batch, int64_t rows, const int32_t *lengths, int32_t *valid);
/* to (batch, heads, to_rows) = from (batch, heads, from_rows), +infinity at and beyond `valid`. */
void sdpa_sums(int64_t batch, int64_t heads, int64_t from_rows, int64_t to_rows,
               const int32_t *valid, const float *from, float *to);

/* ---- the whole (sdpa.c) ---- */

/* What sdpa_fits and cuDNN has a plan for. */
bool sdpa_fuses(const device_attention *call, bool backward);

/* ---- our own kernels (attention.cu, attention_backward.cu) ---- */

int64_t own_attention_scratch(const device_attention *call, bool backward);
void own_attention(const device_attention *call);
void own_d_attention(const device_attention *call);

#ifdef __cplusplus
}
#endif

#endif
