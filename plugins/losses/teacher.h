/* teacher.h - what distilling losses share: a frozen network that answers for the student's batch.
 *
 * The teacher is a stage (its own model, whatever its size) or published weights (in a model of the
 * run's own options). The host runs it in evaluation on a tape of its own, up to what is wanted of
 * it and no further, and hands its output over as a constant: nothing of the student's pass reaches
 * it. */
#ifndef LOSSES_TEACHER_H
#define LOSSES_TEACHER_H

#include <assay/blocks.h>
#include <assay/loss.h>

/* "image.scores.0" to "image.scores.63" from "image.scores.": an output of every layer that can be
 * asked for, as static texts. */
#define LAYER_TEN(what, ten)                                                                       \
    what ten "0", what ten "1", what ten "2", what ten "3", what ten "4", what ten "5",            \
        what ten "6", what ten "7", what ten "8", what ten "9"
#define LAYER_NAMES(what)                                                                          \
    LAYER_TEN(what, ""), LAYER_TEN(what, "1"), LAYER_TEN(what, "2"), LAYER_TEN(what, "3"),         \
        LAYER_TEN(what, "4"), LAYER_TEN(what, "5"), what "60", what "61", what "62", what "63"

/* Of those names the student's: `layer` counts from 1; 0: `last`, the name of the last layer's. */
static inline const char *student_output(int64_t layer, const char *const outputs[],
                                         const char *last)
{
    return layer > 0 ? outputs[layer - 1] : last;
}

typedef struct teacher {
    const assay_network *network; /* borrowed from the host */
    assay_arena *arena;           /* of its batches */
    const char *output;           /* static */
    int64_t layer;                /* from 0 */
} teacher;

/* Fails when the teacher has no such layer (counted from 1; 0: its last) or sees other tokens than
 * the student. `outputs` are ASSAY_VIT_LAYERS names (LAYER_NAMES), one per layer. */
bool teacher_open(teacher *t, const assay_loss_setup *setup, const assay_weights_source *source,
                  int64_t layer, const char *const outputs[], const char *where,
                  assay_error *error);
void teacher_close(teacher *t);
/* The output of the batch's samples on `tape`; NULL after a failure, which is on the tape. */
assay_tensor *teacher_ask(teacher *t, assay_tape *tape, const assay_batch *batch);

/* Heads of block `layer` (from 0; -1: the last) of the ViT in a set; 0 when there is none to look
 * at. */
int64_t teacher_heads(const assay_params *params, int64_t layer);

/* The tokens of x (B, T, D) behind the class token. */
assay_tensor *teacher_patches(assay_tape *tape, assay_tensor *x);

#endif
