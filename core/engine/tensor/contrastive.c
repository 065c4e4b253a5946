/* contrastive.c - the contrastive loss with a false-negative mask (user-modelling spec 1.6). N
 * pairs, D width; a and b are the normalised rows of x and y. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>

#define NORM_EPS 1e-12f /* F.normalize's, as the published code has it */

typedef struct contrastive_saved {
    float *a, *b;              /* (N, D) */
    float *a_norm, *b_norm;    /* (N) */
    float *g_ab, *g_aa, *g_bb; /* (N, N) d loss / d similarity; unused ones are NULL */
} contrastive_saved;

/* s (N, N) = a b^T */
static void similarity(const assay_kernels *k, int64_t n, int64_t d, const float *a, const float *b,
                       float *s)
{
    k->gemm(&(device_gemm){.a = a,
                           .b = b,
                           .c = s,
                           .m = n,
                           .n = n,
                           .k = d,
                           .lda = d,
                           .ldb = d,
                           .ldc = n,
                           .transpose_b = true});
}

/* d_rows (N, D) = [d_rows +] g (N, N), or its transpose, times rows (N, D) */
static void pull(const assay_kernels *k, int64_t n, int64_t d, const float *g, bool transpose,
                 const float *rows, float *d_rows, bool add)
{
    k->gemm(&(device_gemm){.a = g,
                           .b = rows,
                           .c = d_rows,
                           .m = n,
                           .n = d,
                           .k = n,
                           .lda = n,
                           .ldb = d,
                           .ldc = d,
                           .transpose_a = transpose,
                           .add = add});
}

/* da = G b + (Q + Q^T) a; db = G^T a + (D + D^T) b; then through the norms. */
static bool contrastive_backward(assay_tape *tape, const assay_node *node)
{
    const contrastive_saved *saved = node->saved;
    const assay_kernels *k = op_kernels(tape);
    int64_t n = node->inputs[0]->shape[0], d = node->inputs[0]->shape[1];
    operand d_unit = operand_scratch(tape, n * d);
    for (int side = 0; side < 2 && op_sound(tape); side++) {
        const float *own = side ? saved->b : saved->a, *other = side ? saved->a : saved->b;
        const float *g_own = side ? saved->g_bb : saved->g_aa;
        assay_grad_target to = assay_tape_grad(tape, node->inputs[side]);
        if (!to.data)
            continue;
        pull(k, n, d, saved->g_ab, side == 1, other, d_unit.data, false);
        if (g_own) {
            pull(k, n, d, g_own, false, own, d_unit.data, true);
            pull(k, n, d, g_own, true, own, d_unit.data, true);
        }
        k->scale(n * d, 1.0f, node->outputs[0]->grad, d_unit.data, d_unit.data, false);
        k->d_normalize_rows(n, d, own, side ? saved->b_norm : saved->a_norm, NORM_EPS, d_unit.data,
                            to.data, to.add);
    }
    operand_end(tape, &d_unit);
    return op_sound(tape);
}

static const assay_op contrastive_op = {sizeof(assay_op), "contrastive", contrastive_backward};

static bool options_hold(assay_tape *tape, const assay_contrastive_options *o)
{
    bool known = o->variant >= ASSAY_QA_CODE && o->variant <= ASSAY_GG_CODE;
    if (known && o->temperature > 0.0f && o->margin >= 0.0f)
        return true;
    assay_tape_fail(
        tape, ASSAY_BAD_INPUT,
        (assay_failure){.where = "contrastive",
                        .what = "an option is out of range",
                        .expected = "a known variant, temperature > 0, margin >= 0",
                        .got = assay_text("variant %d, temperature %g, margin %g", (int)o->variant,
                                          (double)o->temperature, (double)o->margin)});
    return false;
}

/* Similarities, row losses and, when a backward pass may come, their gradients. */
static bool contrast(assay_tape *tape, int64_t n, int64_t d,
                     const assay_contrastive_options *options, contrastive_saved *saved,
                     bool record, assay_tensor *mean, assay_tensor *masked)
{
    const assay_kernels *k = op_kernels(tape);
    bool own_a = options->variant != ASSAY_GG_CODE;
    bool own_b = options->variant == ASSAY_QA_PAPER || options->variant == ASSAY_GG_PAPER;
    operand ab = operand_scratch(tape, n * n), aa = {NULL, 0}, bb = {NULL, 0};
    operand row_loss = operand_scratch(tape, n), row_masked = operand_scratch(tape, n);
    if (own_a)
        aa = operand_scratch(tape, n * n);
    if (own_b)
        bb = operand_scratch(tape, n * n);
    if (record) {
        saved->g_ab = operand_scratch(tape, n * n).data;
        saved->g_aa = own_a ? operand_scratch(tape, n * n).data : NULL;
        saved->g_bb = own_b ? operand_scratch(tape, n * n).data : NULL;
    }
    if (!op_sound(tape))
        return false;
    similarity(k, n, d, saved->a, saved->b, ab.data);
    if (own_a)
        similarity(k, n, d, saved->a, saved->a, aa.data);
    if (own_b)
        similarity(k, n, d, saved->b, saved->b, bb.data);
    k->contrastive(&(device_contrastive){.n = n,
                                         .ab = ab.data,
                                         .aa = aa.data,
                                         .bb = bb.data,
                                         .variant = (device_contrastive_variant)options->variant,
                                         .temperature = options->temperature,
                                         .margin = options->margin,
                                         .row_loss = row_loss.data,
                                         .d_ab = saved->g_ab,
                                         .d_aa = saved->g_aa,
                                         .d_bb = saved->g_bb,
                                         .row_masked = row_masked.data});
    k->sum(n, row_loss.data, 1.0 / (double)n, op_out(tape, mean));
    if (masked)
        k->sum(n, row_masked.data, 1.0, op_out(tape, masked));
    operand_end(tape, &bb);
    operand_end(tape, &aa);
    operand_end(tape, &row_masked);
    operand_end(tape, &row_loss);
    operand_end(tape, &ab);
    return true;
}

assay_tensor *assay_contrastive(assay_tape *tape, assay_tensor *x, assay_tensor *y,
                                const assay_contrastive_options *options, assay_tensor **masked)
{
    assay_tensor *const inputs[] = {x, y};
    assay_tensor *loss = NULL;
    contrastive_saved *saved = NULL;
    int64_t n, d;
    if (!op_takes(tape, "contrastive", 2, (const assay_tensor *[]){x, y}) ||
        !options_hold(tape, options))
        return NULL;
    if (x->rank != 2 || !assay_tensor_same_shape(x, y) || x->shape[0] < 1)
        return op_mismatch(tape, "contrastive", "row i of x and y are a pair",
                           assay_text("(N, D) twice, N >= 1; x is %s", assay_tensor_text(x)), y);
    n = x->shape[0], d = x->shape[1];
    loss = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    if (masked)
        *masked = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!loss || !saved)
        return NULL;
    *saved = (contrastive_saved){.a = operand_scratch(tape, n * d).data,
                                 .b = operand_scratch(tape, n * d).data,
                                 .a_norm = operand_scratch(tape, n).data,
                                 .b_norm = operand_scratch(tape, n).data};
    for (int side = 0; side < 2; side++) {
        operand in = operand_read(tape, inputs[side]);
        if (!op_sound(tape))
            return NULL;
        op_kernels(tape)->normalize_rows(n, d, in.data, NORM_EPS, side ? saved->b : saved->a,
                                         side ? saved->b_norm : saved->a_norm);
        operand_end(tape, &in);
    }
    if (!contrast(tape, n, d, options, saved, assay_tape_records(tape, 2, inputs), loss,
                  masked ? *masked : NULL))
        return NULL;
    return assay_tape_record(tape, &contrastive_op, 2, inputs, 1, &loss, saved) ? loss : NULL;
}
