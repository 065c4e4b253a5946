/* assay/ahead.h - batches that are on their way to the device before the step that reads them.
 *
 * A batch's numbers travel when a kernel first reads them, and the device stands idle meanwhile.
 * Sent ahead, they travel while it computes the step before, into one of two places that are used
 * in turn. Where the host computes there is nothing to send. */
#ifndef ASSAY_AHEAD_H
#define ASSAY_AHEAD_H

#include <assay/device.h>
#include <assay/memory.h>

typedef struct assay_ahead assay_ahead;

/* The caller owns the result. The device must outlive it. */
assay_ahead *assay_ahead_new(const assay_device *device, assay_error *error);
/* What was sent must not be read any more. Accepts NULL. */
void assay_ahead_free(assay_ahead *ahead);
/* Sends the tensors that were made in the arena since its reset (assay_tensor_in), and does not
 * wait. Called when all work on what was sent before has been asked for; what was sent before that
 * is forgotten. Without memory for it the rest travels when it is read. */
void assay_ahead_send(assay_ahead *ahead, assay_arena *arena);

#endif
