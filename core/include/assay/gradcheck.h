/* assay/gradcheck.h - does a backward pass compute the gradient of its forward pass?
 *
 * The check perturbs inputs and compares 4-point central differences of L = sum(cotangent *
 * output), summed in double, with the tape's gradient. Differences are taken at two step sizes;
 * their disagreement estimates what fp32 rounding and curvature leave uncertain, and the tolerance
 * grows with it, never beyond `tolerance` times a bound, so a wrong gradient cannot hide. */
#ifndef ASSAY_GRADCHECK_H
#define ASSAY_GRADCHECK_H

#include <assay/tape.h>

/* Computes one output from the inputs on the tape; NULL after a failure. Must be deterministic. */
typedef assay_tensor *(*assay_forward)(assay_tape *tape, assay_tensor *const inputs[], int n,
                                       void *user);

typedef struct assay_gradcheck_options {
    double step;         /* h relative to max(1, |x|); 0: 2^-6 */
    double tolerance;    /* on |analytic - numeric| / max(|analytic|, |numeric|, scale); 0: 1e-3 */
    int64_t max_entries; /* entries checked per input, evenly spread; 0: 4096 */
    uint64_t seed;       /* of the cotangent */
    bool training;       /* dropout acts (its addresses make it the same function each time) */
} assay_gradcheck_options;

typedef struct assay_gradcheck_report {
    bool passed;
    int64_t compared; /* entries checked */
    double worst;     /* largest relative error, as the tolerance counts it */
    int input;        /* where it was */
    int64_t entry;
    double analytic, numeric;
    bool repeatable; /* two backward passes gave the same bits */
} assay_gradcheck_report;

/* Checks every input that needs a gradient (f32 leaves). False with *error set when the forward
 * fails; the verdict itself is in the report: passed needs compared > 0, every entry within
 * tolerance, repeatable bits. Inputs are left as they were; their gradients are overwritten. */
bool assay_gradcheck(assay_tape *tape, assay_forward forward, void *user,
                     assay_tensor *const inputs[], int n, const assay_gradcheck_options *options,
                     assay_gradcheck_report *report, assay_error *error);

#endif
