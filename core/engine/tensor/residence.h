/* tensor/residence.h - on which side a tensor's numbers are: here, on the host, or there, in the
 * memory of the device that computes.
 *
 * On the host's own devices both are one, and everything here returns what it is given. Elsewhere a
 * tensor's numbers travel when the other side asks: a kernel that reads numbers the host wrote last
 * has them sent, a host that reads what a kernel computed (assay_f32 and its kin) waits and gets a
 * copy. After such a call the host may have written, so the next kernel gets them again. */
#ifndef ASSAY_TENSOR_RESIDENCE_H
#define ASSAY_TENSOR_RESIDENCE_H

#include <assay/tape.h>

/* Where kernels read x's numbers. NULL with the tape's error after a failure. */
void *op_in(assay_tape *tape, const assay_tensor *x);
/* Where kernels write y's numbers; what was there or here before is forgotten. */
void *op_out(assay_tape *tape, assay_tensor *y);
/* Where kernels change x's numbers: op_in, and the host's copy is old from now on. */
void *op_change(assay_tape *tape, assay_tensor *x);
/* The host's numbers of a tensor that no kernel writes (ids, lengths), to look at: nothing
 * travels. */
const int32_t *op_ints(const assay_tensor *x);
const uint8_t *op_bytes(const assay_tensor *x);
/* The tensor's numbers on the host, of any dtype, only to be read: the device's stay as good. NULL
 * when they cannot be fetched. */
const void *tensor_look(const assay_tensor *t);
/* Where kernels read n bytes of the host's: those themselves, or step memory that holds a copy.
 * NULL for NULL. Lasts to the end of the step. */
const void *op_sent(assay_tape *tape, const void *bytes, int64_t n);

/* The host's step memory. */
assay_arena *tape_room(assay_tape *tape);
/* Step memory that kernels use, as assay_tape_scratch is the host's. */
void *tape_numbers(assay_tape *tape, int64_t bytes);
void tape_numbers_release(assay_tape *tape, void *numbers, int64_t bytes);

/* The same for a leaf without a tape (parameters, moments). `device` is where it will be used; NULL
 * with *error after a failure. */
void *leaf_in(const assay_device *device, assay_tensor *leaf, assay_error *error);
void *leaf_change(const assay_device *device, assay_tensor *leaf, assay_error *error);
/* A leaf of zeros where `device` computes; the caller owns it (assay_tensor_free). */
assay_tensor *leaf_zeros(const assay_device *device, int rank, const int64_t *shape,
                         assay_error *error);
/* Gives the memory of the leaf's gradient back. */
void leaf_drop_grad(assay_tensor *leaf);
/* Memory for it where `device` computes (NULL: the host), if there is none. A gradient on another
 * device is forgotten: no pass adds up over two. */
bool leaf_take_grad(const assay_device *device, assay_tensor *leaf, assay_error *error);

#endif
