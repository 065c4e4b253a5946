/* losses.c - softmax cross-entropy, from logits and from hidden states without holding the logits.
 * R rows, N rows that count, D width, C classes. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>

/* Logits of one block: at most 32 MB, unless 64 rows need more. */
#define BLOCK_FLOATS (8 * 1024 * 1024)
#define BLOCK_ROWS   64

/* A known reduction, and targets in 0 .. classes-1 or ASSAY_IGNORE, one per row; counts those that
 * are not ignored. */
static bool takes_targets(assay_tape *tape, const char *op, assay_reduction reduction,
                          const assay_tensor *target, int64_t rows, int64_t classes,
                          int64_t *counted)
{
    const int32_t *t = NULL;
    if (!op_takes_ints(tape, op, target))
        return false;
    if (reduction != ASSAY_MEAN && reduction != ASSAY_SUM) {
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = op,
                                        .what = "no such reduction",
                                        .expected = "mean or sum",
                                        .got = assay_text("%d", (int)reduction)});
        return false;
    }
    if (assay_tensor_count(target) != rows) {
        op_mismatch(tape, op, "one target a row is needed", assay_text("(%" PRId64 ") i32", rows),
                    target);
        return false;
    }
    *counted = 0;
    t = op_ints(target);
    for (int64_t r = 0; r < rows; r++) {
        if (t[r] == ASSAY_IGNORE)
            continue;
        if (t[r] < 0 || t[r] >= classes) {
            assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){.where = op,
                                .what = assay_text("target %" PRId64 " is out of range", r),
                                .expected = assay_text("0 to %" PRId64 ", or %d to ignore the row",
                                                       classes - 1, ASSAY_IGNORE),
                                .got = assay_text("%" PRId32, t[r])});
            return false;
        }
        ++*counted;
    }
    return true;
}

/* What the sum over the rows is multiplied by, and so is a row's gradient. */
static double row_factor(assay_reduction reduction, int64_t counted)
{
    if (reduction == ASSAY_SUM)
        return 1.0;
    return counted > 0 ? 1.0 / (double)counted : 0.0;
}

typedef struct cross_entropy_saved {
    assay_reduction reduction;
    int64_t counted; /* N */
    const int32_t *target;
    const int32_t *row; /* (N) the rows that count, for the head; target is then (N) too */
    float *lse;
} cross_entropy_saved;

/* ---- from logits ---- */

static bool cross_entropy_backward(assay_tape *tape, const assay_node *node)
{
    const cross_entropy_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, x);
    operand in = operand_read(tape, x);
    if (to.data && op_sound(tape))
        op_kernels(tape)->d_cross_entropy_rows(op_rows(x), op_width(x), in.data, saved->target,
                                               ASSAY_IGNORE, saved->lse,
                                               (float)row_factor(saved->reduction, saved->counted),
                                               node->outputs[0]->grad, to.data, to.add);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op cross_entropy_op = {sizeof(assay_op), "cross_entropy",
                                          cross_entropy_backward};

assay_tensor *assay_cross_entropy(assay_tape *tape, assay_tensor *x, const assay_tensor *target,
                                  assay_reduction reduction)
{
    assay_tensor *loss = NULL;
    cross_entropy_saved *saved = NULL;
    operand in, each;
    int64_t rows, counted = 0;
    if (!op_takes(tape, "cross_entropy", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (x->rank < 1)
        return op_mismatch(tape, "cross_entropy", "logits have no class axis", "(..., C)", x);
    rows = op_rows(x);
    if (!takes_targets(tape, "cross_entropy", reduction, target, rows, op_width(x), &counted))
        return NULL;
    loss = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!loss || !saved)
        return NULL;
    *saved = (cross_entropy_saved){reduction, counted, op_in(tape, target), NULL,
                                   operand_scratch(tape, rows).data};
    in = operand_read(tape, x);
    each = operand_scratch(tape, rows);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->cross_entropy_rows(rows, op_width(x), in.data, saved->target, ASSAY_IGNORE,
                                         each.data, saved->lse);
    op_kernels(tape)->sum(rows, each.data, row_factor(reduction, counted), op_out(tape, loss));
    operand_end(tape, &each);
    operand_end(tape, &in);
    return assay_tape_record(tape, &cross_entropy_op, 1, &x, 1, &loss, saved) ? loss : NULL;
}

/* ---- from hidden states, block by block ---- */

static int64_t block_rows(int64_t counted, int64_t classes)
{
    int64_t rows = BLOCK_FLOATS / (classes > 0 ? classes : 1);
    if (rows < BLOCK_ROWS)
        rows = BLOCK_ROWS;
    return rows < counted ? rows : counted;
}

/* The two factors of the logits, and room for a block: its rows (n, D) and their logits (n, C). Two
 * numbers that are stored as bf16 travel as one float: gathering copies. */
typedef struct head {
    device_precision precision;
    int64_t width, classes, row_floats;
    op_factor hidden, weight;
    operand part, logits;
} head;

static head head_open(assay_tape *tape, const assay_tensor *hidden, const assay_tensor *weight,
                      int64_t most)
{
    head h = {.precision = factor_precision(tape),
              .width = op_width(hidden),
              .classes = weight->shape[0]};
    if (h.precision == DEVICE_BF16_STORED && h.width % 2 != 0)
        h.precision = DEVICE_BF16;
    h.row_floats = h.precision == DEVICE_BF16_STORED ? h.width / 2 : h.width;
    h.hidden = factor_of(tape, h.precision, hidden);
    h.weight = factor_of(tape, h.precision, weight);
    h.part = operand_scratch(tape, most * h.row_floats);
    h.logits = operand_scratch(tape, most * h.classes);
    return h;
}

static void head_close(assay_tape *tape, head *h)
{
    operand_end(tape, &h->logits);
    operand_end(tape, &h->part);
    factor_end(tape, &h->weight);
    factor_end(tape, &h->hidden);
}

/* The n rows into part, and their logits. */
static void head_logits(const assay_kernels *k, const head *h, int64_t n, const int32_t *row)
{
    k->gather_rows(n, h->row_floats, h->hidden.data, row, h->part.data);
    k->gemm(&(device_gemm){.a = h->part.data,
                           .b = h->weight.data,
                           .c = h->logits.data,
                           .m = n,
                           .n = h->classes,
                           .k = h->width,
                           .lda = h->width,
                           .ldb = h->width,
                           .ldc = h->classes,
                           .precision = h->precision,
                           .transpose_b = true});
}

/* One block's share of the backward pass: logits again, d_logits in their place, two products. */
static void head_block_back(assay_tape *tape, const cross_entropy_saved *saved, const head *h,
                            int64_t first, int64_t n, const float *d_loss, float *d_hidden,
                            assay_grad_target d_weight)
{
    const assay_kernels *k = op_kernels(tape);
    int64_t d = h->width, c = h->classes;
    float *logits = h->logits.data;
    op_factor f;
    head_logits(k, h, n, saved->row + first);
    k->d_cross_entropy_rows(n, c, logits, saved->target + first, ASSAY_IGNORE, saved->lse + first,
                            (float)row_factor(saved->reduction, saved->counted), d_loss, logits,
                            false);
    f = factor_of_numbers(tape, h->precision, logits, n * c);
    if (!op_sound(tape))
        return;
    if (d_hidden)
        k->gemm(&(device_gemm){.a = f.data,
                               .b = h->weight.data,
                               .c = d_hidden,
                               .m = n,
                               .n = d,
                               .k = c,
                               .lda = c,
                               .ldb = d,
                               .ldc = d,
                               .precision = h->precision});
    if (d_weight.data)
        k->gemm(&(device_gemm){.a = f.data,
                               .b = h->part.data,
                               .c = d_weight.data,
                               .m = c,
                               .n = d,
                               .k = n,
                               .lda = c,
                               .ldb = d,
                               .ldc = d,
                               .precision = h->precision,
                               .transpose_a = true,
                               .add = d_weight.add});
    factor_end(tape, &f);
}

static bool cross_entropy_head_backward(assay_tape *tape, const assay_node *node)
{
    const cross_entropy_saved *saved = node->saved;
    const assay_kernels *k = op_kernels(tape);
    assay_tensor *hidden = node->inputs[0], *weight = node->inputs[1];
    int64_t d = op_width(hidden), c = weight->shape[0], rows = op_rows(hidden);
    int64_t most = block_rows(saved->counted, c);
    assay_grad_target to_hidden = assay_tape_grad(tape, hidden);
    assay_grad_target to_weight = assay_tape_grad(tape, weight);
    head h = head_open(tape, hidden, weight, most);
    operand d_part = operand_scratch(tape, most * d);
    if (!op_sound(tape))
        return false;
    if (to_hidden.data && !to_hidden.add)
        k->fill(rows * d, 0.0f, NULL, to_hidden.data, false);
    if (to_weight.data && !to_weight.add)
        k->fill(c * d, 0.0f, NULL, to_weight.data, false);
    to_weight.add = true;
    for (int64_t first = 0; first < saved->counted && op_sound(tape); first += most) {
        int64_t n = saved->counted - first < most ? saved->counted - first : most;
        head_block_back(tape, saved, &h, first, n, node->outputs[0]->grad,
                        to_hidden.data ? d_part.data : NULL, to_weight);
        if (to_hidden.data)
            k->scatter_rows(n, d, rows, d_part.data, saved->row + first, to_hidden.data, true);
    }
    operand_end(tape, &d_part);
    head_close(tape, &h);
    return op_sound(tape);
}

static const assay_op cross_entropy_head_op = {sizeof(assay_op), "cross_entropy_head",
                                               cross_entropy_head_backward};

/* The rows that count, with their targets, as step memory. */
static bool counted_rows(assay_tape *tape, const assay_tensor *target, cross_entropy_saved *saved)
{
    int64_t rows = assay_tensor_count(target), n = 0;
    int64_t bytes = (saved->counted ? saved->counted : 1) * (int64_t)sizeof(int32_t);
    const int32_t *t = op_ints(target);
    int32_t *row = assay_tape_scratch(tape, bytes), *kept = assay_tape_scratch(tape, bytes);
    if (!row || !kept)
        return false;
    for (int64_t r = 0; r < rows; r++)
        if (t[r] != ASSAY_IGNORE) {
            row[n] = (int32_t)r;
            kept[n++] = t[r];
        }
    saved->row = op_sent(tape, row, bytes);
    saved->target = op_sent(tape, kept, bytes);
    return op_sound(tape);
}

assay_tensor *assay_cross_entropy_head(assay_tape *tape, assay_tensor *hidden, assay_tensor *weight,
                                       const assay_tensor *target, assay_reduction reduction)
{
    static const char op[] = "cross_entropy_head";
    assay_tensor *const inputs[] = {hidden, weight};
    const assay_kernels *k = op_kernels(tape);
    assay_tensor *loss = NULL;
    cross_entropy_saved *saved = NULL;
    head h;
    operand each;
    int64_t counted = 0, most;
    if (!op_takes(tape, op, 2, (const assay_tensor *[]){hidden, weight}))
        return NULL;
    if (hidden->rank < 1 || weight->rank != 2 || weight->shape[1] != op_width(hidden))
        return op_mismatch(tape, op, "the head does not fit the hidden states",
                           assay_text("(C, %" PRId64 ")", op_width(hidden)), weight);
    if (op_rows(hidden) > INT32_MAX)
        return op_mismatch(tape, op, "too many rows", "at most 2^31 - 1", hidden);
    if (!takes_targets(tape, op, reduction, target, op_rows(hidden), weight->shape[0], &counted))
        return NULL;
    most = block_rows(counted, weight->shape[0]);
    loss = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!loss || !saved)
        return NULL;
    *saved = (cross_entropy_saved){
        .reduction = reduction, .counted = counted, .lse = operand_scratch(tape, counted).data};
    if (!counted_rows(tape, target, saved))
        return NULL;
    h = head_open(tape, hidden, weight, most);
    each = operand_scratch(tape, counted);
    if (!op_sound(tape))
        return NULL;
    for (int64_t first = 0; first < counted; first += most) {
        int64_t n = counted - first < most ? counted - first : most;
        head_logits(k, &h, n, saved->row + first);
        k->cross_entropy_rows(n, h.classes, h.logits.data, saved->target + first, ASSAY_IGNORE,
                              each.data + first, saved->lse + first);
    }
    k->sum(counted, each.data, row_factor(reduction, counted), op_out(tape, loss));
    operand_end(tape, &each);
    head_close(tape, &h);
    return assay_tape_record(tape, &cross_entropy_head_op, 2, inputs, 1, &loss, saved) ? loss
                                                                                       : NULL;
}
