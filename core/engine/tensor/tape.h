/* tensor/tape.h - what a tape is made of, for the two files that keep it: tape.c (the record and
 * the walk back) and places.c (the names under which others reach into a model's pass). */
#ifndef ASSAY_TENSOR_TAPE_H
#define ASSAY_TENSOR_TAPE_H

#include "engine/device/arena.h"

#include <assay/tape.h>

#define TAPE_TAPS        256
#define TAPE_ATTACHMENTS 16

typedef struct tape_entry {
    assay_node node;
    struct tape_entry *previous;
} tape_entry;

typedef struct tape_tap {
    char *name;
    assay_tensor *state; /* of this pass, or NULL */
} tape_tap;

struct assay_tape {
    const assay_device *device;
    assay_precision precision;
    assay_arena *arena; /* the host's: records, what operations save, numbers where it computes */
    device_arena *numbers; /* the device's; NULL where that is the host */
    uint64_t pass;         /* no two passes of a process share it */
    assay_step step;
    assay_error error;
    bool paused;
    bool walked; /* the record has been used up by a backward pass */
    tape_entry *last;
    int64_t nodes;
    char scope[ASSAY_SCOPE_LIMIT + 1]; /* of states; "" for none */
    tape_tap taps[TAPE_TAPS];
    int tap_count;
    assay_attachment attachments[TAPE_ATTACHMENTS];
    int attachment_count;
    assay_profile_sink profile;
    void *profile_user;
    double mark; /* when the last operation ended, for the profile */
};

#endif
