/* tensor/operand.h - what the operations share: checking inputs, fp32 views of bf16 tensors, and
 * gradients that pass through unchanged. */
#ifndef ASSAY_TENSOR_OPERAND_H
#define ASSAY_TENSOR_OPERAND_H

#include <assay/tape.h>

#include "engine/device/device.h"
#include "engine/tensor/residence.h"

/* True when the tape is sound and every tensor is there and f32 or bf16; a missing or mistyped one
 * is a failure of operation `op`. */
bool op_takes(assay_tape *tape, const char *op, int n, const assay_tensor *const tensors[]);
/* The same for one i32 tensor. */
bool op_takes_ints(assay_tape *tape, const char *op, const assay_tensor *tensor);
/* `activation` is one of assay_activation's. */
bool op_takes_activation(assay_tape *tape, const char *op, int activation);
/* A shape failure of `op` that shows both tensors; returns NULL. */
assay_tensor *op_mismatch(assay_tape *tape, const char *op, const char *what, const char *expected,
                          const assay_tensor *got);
/* lengths is NULL, or i32 (batch) with every entry in 0 .. tokens. */
bool op_takes_lengths(assay_tape *tape, const char *op, const assay_tensor *lengths, int64_t batch,
                      int64_t tokens);

/* The product of all extents but the last, and the last (1 for a scalar). */
int64_t op_rows(const assay_tensor *x);
int64_t op_width(const assay_tensor *x);

/* No failure so far: step memory that was asked for is there. */
bool op_sound(const assay_tape *tape);
/* f32, or bf16 on a bf16 tape. */
assay_dtype op_activation_dtype(const assay_tape *tape);
const assay_kernels *op_kernels(const assay_tape *tape);

/* An fp32 view of a tensor for kernels: the numbers themselves, or step memory that is given back
 * at the end. */
typedef struct operand {
    float *data;
    int64_t bytes; /* of step memory; 0: the tensor's own */
} operand;

/* To read x. `data` is NULL after a failure. */
operand operand_read(assay_tape *tape, const assay_tensor *x);
/* How exact the products of two factors must be that lie in memory as fp32. */
device_precision op_factor_precision(const assay_tape *tape);
/* To compute y; operand_store rounds it into a bf16 tensor. */
operand operand_for(assay_tape *tape, assay_tensor *y);
/* Step memory of n floats. */
operand operand_scratch(assay_tape *tape, int64_t n);
void operand_store(assay_tape *tape, operand *o, assay_tensor *y);
void operand_end(assay_tape *tape, operand *o);

/* A factor of a product: numbers, on a bf16 tape rounded to bf16, stored as `precision` says. The
 * tensor's own memory where that holds them so, step memory otherwise. */
typedef struct op_factor {
    const void *data; /* NULL after a failure */
    int64_t bytes;    /* of step memory; 0: another's */
} op_factor;

/* How the factors of this tape's products are stored, unless an operation has its reasons. */
device_precision factor_precision(const assay_tape *tape);
op_factor factor_of(assay_tape *tape, device_precision precision, const assay_tensor *x);
/* The same for n plain numbers (a gradient). */
op_factor factor_of_numbers(assay_tape *tape, device_precision precision, const float *x,
                            int64_t n);
void factor_end(assay_tape *tape, op_factor *f);

/* A step tensor with the shape of x. */
assay_tensor *op_like(assay_tape *tape, const assay_tensor *x, assay_dtype dtype);
/* Rows of table (V, D) by ids (...), as `dtype`: the embedding and the row gather. */
assay_tensor *op_rows_by_index(assay_tape *tape, const char *op, assay_tensor *table,
                               const assay_tensor *ids, assay_dtype dtype);

/* Adds the gradient of `output` to that of `input`, of the same count; hands the array over where
 * nothing else needs it. The output's gradient is gone afterwards: call it last. */
void tape_pass_grad(assay_tape *tape, assay_tensor *output, assay_tensor *input);

/* The backward function of an operation whose one output is its input under another name. */
bool tape_pass_back(assay_tape *tape, const assay_node *node);

#endif
