/* assay/late.h - numbers that are read when nobody waits for them any more.
 *
 * A host that reads what a device computes waits for it, and the device stands idle until it is
 * asked for more. What nobody needs before a step's end (a loss, the value of a curve) sets out as
 * it is now and is read when the whole step has been asked for, or the next one too. Where the host
 * computes there is nothing to wait for, and it is read at once. */
#ifndef ASSAY_LATE_H
#define ASSAY_LATE_H

#include <assay/device.h>
#include <assay/tensor.h>

/* What is read, and who gets it. The tensor may change or go at once. */
typedef struct assay_reading {
    const assay_tensor *tensor;
    bool gradient; /* its gradient and not its elements; without one `count` is 0 */
    /* `numbers` are the tensor's elements, or f32, borrowed for the call. */
    void (*read)(void *user, const void *note, const void *numbers, int64_t count);
    void *user; /* must live until then */
    const void *note;
    int64_t note_bytes; /* of `note`, which is copied */
} assay_reading;

/* Reads now, and waits where it must. */
void assay_read_now(const assay_reading *reading);

typedef struct assay_late assay_late;
/* The caller owns the result. The device must outlive it. */
assay_late *assay_late_new(const assay_device *device, assay_error *error);
void assay_late_free(assay_late *late); /* accepts NULL; what was not read is forgotten */
/* Keeps what the tensor holds now for assay_late_read; where the host computes it is read at
 * once. */
bool assay_late_add(assay_late *late, const assay_reading *reading, assay_error *error);
/* Ends a group, whose numbers are waited for apart: what is added from now on is not among them. At
 * most two groups are closed and not read. */
void assay_late_close(assay_late *late);
/* Waits for the numbers of the oldest closed group, or of all there are, and has them read in the
 * order in which they were added. */
void assay_late_read(assay_late *late);
/* Forgets what was added. */
void assay_late_drop(assay_late *late);

#endif
