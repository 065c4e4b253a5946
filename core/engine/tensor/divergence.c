/* divergence.c - what a student's softmax costs against a teacher's, from the logits of both. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

typedef struct divergence_saved {
    const assay_tensor *teacher;
    int64_t rows;
    float *lse; /* (R, 2): of the teacher's rows and the student's */
} divergence_saved;

static bool divergence_backward(assay_tape *tape, const assay_node *node)
{
    const divergence_saved *saved = node->saved;
    assay_tensor *student = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, student);
    operand s = operand_read(tape, student), t = operand_read(tape, saved->teacher);
    if (to.data && op_sound(tape))
        op_kernels(tape)->d_divergence_rows(saved->rows, op_width(student), t.data, s.data,
                                            saved->lse, 1.0f / (float)saved->rows,
                                            node->outputs[0]->grad, to.data, to.add);
    operand_end(tape, &t);
    operand_end(tape, &s);
    return op_sound(tape);
}

static const assay_op divergence_op = {sizeof(assay_op), "softmax_divergence", divergence_backward};

static bool takes_rows(assay_tape *tape, const assay_tensor *student, const assay_tensor *teacher,
                       assay_divergence kind)
{
    static const char op[] = "softmax_divergence";
    if (!op_takes(tape, op, 2, (const assay_tensor *[]){student, teacher}))
        return false;
    if (kind != ASSAY_KL && kind != ASSAY_SOFT_CROSS_ENTROPY) {
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = op,
                                        .what = "no such divergence",
                                        .expected = "KL or cross-entropy",
                                        .got = assay_text("%d", (int)kind)});
        return false;
    }
    if (student->rank < 1 || assay_tensor_count(student) == 0) {
        op_mismatch(tape, op, "the student has no logits", "(..., D)", student);
        return false;
    }
    if (!assay_tensor_same_shape(student, teacher)) {
        op_mismatch(tape, op, "the teacher's logits do not fit the student's",
                    assay_shape_text(student->rank, student->shape), teacher);
        return false;
    }
    return true;
}

assay_tensor *assay_softmax_divergence(assay_tape *tape, assay_tensor *student,
                                       const assay_tensor *teacher, assay_divergence kind)
{
    assay_tensor *loss = NULL;
    divergence_saved *saved = NULL;
    operand s, t, each;
    if (!takes_rows(tape, student, teacher, kind))
        return NULL;
    const int64_t rows = op_rows(student);
    loss = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!loss || !saved)
        return NULL;
    *saved = (divergence_saved){teacher, rows, operand_scratch(tape, 2 * rows).data};
    s = operand_read(tape, student);
    t = operand_read(tape, teacher);
    each = operand_scratch(tape, rows);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->divergence_rows(rows, op_width(student), t.data, s.data,
                                      kind == ASSAY_SOFT_CROSS_ENTROPY, each.data, saved->lse);
    op_kernels(tape)->sum(rows, each.data, 1.0 / (double)rows, op_out(tape, loss));
    operand_end(tape, &each);
    operand_end(tape, &t);
    operand_end(tape, &s);
    return assay_tape_record(tape, &divergence_op, 1, &student, 1, &loss, saved) ? loss : NULL;
}
