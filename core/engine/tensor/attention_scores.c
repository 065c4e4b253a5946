/* attention_scores.c - the products of queries and keys themselves, for losses and analysis that
 * look at attention before its softmax. B batch, T tokens, H heads, d head width, D = H d. */
#include <assay/attention.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>
#include <math.h>

typedef struct scores_saved {
    int64_t batch, tokens, heads, width; /* width of a head */
    float scale;
} scores_saved;

/* A head of the first image: its queries (part 0) or keys (1) in qkv. */
static float *head_of(const scores_saved *s, float *qkv, int64_t part, int64_t h)
{
    return qkv + (part * s->heads + h) * s->width;
}

/* From an image to the next, in qkv and in the scores, and from a row of qkv to the next. */
static int64_t row_step(const scores_saved *s)
{
    return 3 * s->heads * s->width;
}

static int64_t image_step(const scores_saved *s)
{
    return s->tokens * row_step(s);
}

static int64_t scores_step(const scores_saved *s)
{
    return s->heads * s->tokens * s->tokens;
}

/* d_q = scale d_s k, d_k = scale d_s' q, of a head in all images, through `part` (B, T, d): the
 * scaled products are added to a gradient that may hold others. */
static void scores_back(assay_tape *tape, const scores_saved *s, float *qkv, float *d_scores,
                        float *part, float *d_qkv)
{
    const assay_kernels *k = op_kernels(tape);
    int64_t rows = s->batch * s->tokens;
    for (int64_t h = 0; h < s->heads; h++)
        for (int64_t of_keys = 0; of_keys < 2; of_keys++) {
            k->gemm(&(device_gemm){.a = d_scores + h * s->tokens * s->tokens,
                                   .b = head_of(s, qkv, 1 - of_keys, h),
                                   .c = part,
                                   .m = s->tokens,
                                   .n = s->width,
                                   .k = s->tokens,
                                   .lda = s->tokens,
                                   .ldb = row_step(s),
                                   .ldc = s->width,
                                   .transpose_a = of_keys,
                                   .items = s->batch,
                                   .step_a = scores_step(s),
                                   .step_b = image_step(s),
                                   .step_c = s->tokens * s->width});
            k->scale(rows * s->width, s->scale, NULL, part, part, false);
            k->copy_rows(rows, s->width, part, s->width, head_of(s, d_qkv, of_keys, h), row_step(s),
                         true);
        }
}

static bool scores_backward(assay_tape *tape, const assay_node *node)
{
    const scores_saved *s = node->saved;
    assay_tensor *qkv = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, qkv);
    if (!to.data)
        return op_sound(tape);
    operand in = operand_read(tape, qkv);
    operand part = operand_scratch(tape, s->batch * s->tokens * s->width);
    if (!op_sound(tape))
        return false;
    if (!to.add)
        op_kernels(tape)->fill(assay_tensor_count(qkv), 0.0f, NULL, to.data, false);
    if (s->batch > 0)
        scores_back(tape, s, in.data, node->outputs[0]->grad, part.data, to.data);
    operand_end(tape, &part);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op scores_op = {sizeof(assay_op), "attention_scores", scores_backward};

assay_tensor *assay_attention_scores(assay_tape *tape, assay_tensor *qkv, int64_t heads)
{
    if (!op_takes(tape, "attention_scores", 1, (const assay_tensor *[]){qkv}))
        return NULL;
    if (qkv->rank != 3 || heads < 1 || qkv->shape[2] == 0 || qkv->shape[2] % (3 * heads) != 0)
        return op_mismatch(tape, "attention_scores", "qkv does not divide into heads",
                           assay_text("(B, T, multiple of %" PRId64 ")", 3 * heads), qkv);
    int64_t batch = qkv->shape[0], tokens = qkv->shape[1];
    scores_saved *s = assay_tape_scratch(tape, (int64_t)sizeof *s);
    assay_tensor *y =
        assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){batch, heads, tokens, tokens});
    if (!s || !y)
        return NULL;
    int64_t width = qkv->shape[2] / 3 / heads;
    *s = (scores_saved){batch, tokens, heads, width, 1.0f / sqrtf((float)width)};
    operand in = operand_read(tape, qkv);
    if (!op_sound(tape))
        return NULL;
    float *scores = op_out(tape, y);
    for (int64_t h = 0; h < heads && batch > 0; h++)
        op_kernels(tape)->gemm(&(device_gemm){.a = head_of(s, in.data, 0, h),
                                              .b = head_of(s, in.data, 1, h),
                                              .c = scores + h * tokens * tokens,
                                              .m = tokens,
                                              .n = tokens,
                                              .k = width,
                                              .lda = row_step(s),
                                              .ldb = row_step(s),
                                              .ldc = tokens,
                                              .transpose_b = true,
                                              .items = batch,
                                              .step_a = image_step(s),
                                              .step_b = image_step(s),
                                              .step_c = scores_step(s)});
    op_kernels(tape)->scale(assay_tensor_count(y), s->scale, NULL, scores, scores, false);
    operand_end(tape, &in);
    return assay_tape_record(tape, &scores_op, 1, &qkv, 1, &y, s) ? y : NULL;
}
