/* probe.h - the leakage probe: seed some numbers of one output row, go back, and look which rows of
 * the input received a gradient. */
#ifndef LEAKAGE_PROBE_H
#define LEAKAGE_PROBE_H

#include "leakage/masks.h"

/* One situation: a mask on a batch, with or without padding. */
typedef struct probe {
    assay_tape *tape; /* borrowed */
    mask m;
    int64_t batch, tokens;
    bool training;
    assay_tensor *x;       /* (B, T, width): the input whose gradient is looked at */
    assay_tensor *lengths; /* (B), or NULL: no padding */
    float *cotangent;      /* of the output, all 0 between two probings */
    char text[160];        /* the situation, for messages */
} probe;

/* Padded, there are four rows, of full, half, one and no length; otherwise two. `out_width` is that
 * of the output that will be seeded. */
probe probe_new(assay_tape *tape, const mask_kind *kind, int64_t tokens, bool padded, bool training,
                int64_t width, int64_t out_width);
void probe_free(probe *p);
const int32_t *probe_lengths(const probe *p);

/* Begins a pass and forgets the gradient of x. */
void probe_begin(probe *p);
/* Goes back from numbers [first, first + count) of row (b, i) of y. */
void probe_go_back(probe *p, assay_tensor *y, int64_t b, int64_t i, int64_t first, int64_t count);
/* Whether any of numbers [first, first + count) of input row (b, j) has a gradient other than 0. */
bool probe_reaches(const probe *p, int64_t b, int64_t j, int64_t first, int64_t count);

/* Whether row (b, i) is worth seeding: every row of a short sequence; of a long one both ends, one
 * between, and the two sides of where the valid tokens end. */
bool probe_seeds(const probe *p, int64_t b, int64_t i);

#endif
