/* trial.h - attention once forward and back on a fixed random batch: the output and the gradients
 * of q, k and v, laid end to end, so that two ways of asking for the same thing can be compared. */
#ifndef LEAKAGE_TRIAL_H
#define LEAKAGE_TRIAL_H

#include <assay/attention.h>

/* The inputs: q (B, T, H d), k and v (B, T, KV d), and a cotangent like the output. */
typedef struct trial {
    int64_t batch, tokens;
    assay_tensor *q, *k, *v, *cotangent;
    assay_rotary *rotary;
} trial;

trial trial_new(int64_t batch, int64_t tokens);
void trial_free(trial *t);

/* The numbers in out, d_q, d_k and d_v together. */
int64_t trial_size(const trial *t);
/* Runs on a tape that is in a pass. The caller frees the result (assay_free). */
float *trial_run(const trial *t, assay_tape *tape, const assay_tensor *lengths,
                 assay_attention_bias bias);

#endif
