/* predict.c - windows to the classes of their images' pixels, in the memory of a training batch.
 *
 * Images in evaluation have several windows each. Where nothing but predictions is wanted, the
 * windows run a few at a time on a tape of their own, whose memory serves the next few; only the
 * logits of all are kept. */
#include "segmenter.h"

#include <string.h>

bool predicts_alone(const assay_tape *tape, const assay_attention_bias *bias,
                    const assay_wanted *wanted)
{
    /* A span has a row for every window: pieces would have to take theirs. */
    return assay_tape_step(tape).no_gradient && wanted->count == 1 &&
           assay_wants(wanted, "image.prediction") && !(bias && bias->span);
}

/* Rows first .. first + n - 1 of x (N, T, D) on another tape. */
static assay_tensor *take_rows(assay_tape *tape, const assay_tensor *x, int64_t first, int64_t n)
{
    const int64_t bytes = assay_tensor_bytes(x) / x->shape[0];
    return assay_tape_constant(tape, x->dtype, 3, (int64_t[]){n, x->shape[1], x->shape[2]},
                               (const char *)assay_elements(x) + first * bytes);
}

/* The failure of the piece's tape is the pass's. */
static assay_tensor *fail_like(assay_tape *tape, const assay_error *of)
{
    return assay_tape_fail(tape, of->code,
                           (assay_failure){.where = of->where,
                                           .what = of->what,
                                           .expected = of->expected,
                                           .got = of->got,
                                           .hint = of->hint});
}

assay_tensor *predict_logits(const model *m, assay_tape *tape, const assay_tensor *x,
                             const assay_attention_bias *bias, int64_t piece)
{
    const int64_t windows = x->shape[0];
    assay_tensor *all = NULL;
    assay_error error = {0};
    assay_tape *own = assay_tape_sibling(tape, &error);
    if (!own)
        return fail_like(tape, &error);
    for (int64_t first = 0; first < windows; first += piece) {
        const int64_t n = windows - first < piece ? windows - first : piece;
        assay_tape_begin(own, assay_tape_step(tape));
        const assay_tensor *logits = network_logits(m, own, take_rows(own, x, first, n), bias);
        if (!logits) {
            all = fail_like(tape, assay_tape_error(own));
            break;
        }
        if (!all)
            all = assay_tape_tensor(
                tape, ASSAY_F32, 4,
                (int64_t[]){windows, logits->shape[1], logits->shape[2], logits->shape[3]});
        if (!all)
            break;
        memcpy(assay_f32(all) + first * (assay_tensor_count(all) / windows), assay_f32(logits),
               (size_t)assay_tensor_bytes(logits));
    }
    assay_tape_free(own);
    return all;
}

assay_tensor *predict_classes(const model *m, assay_tape *tape, const content *c,
                              const assay_tensor *logits)
{
    const grid g = {m->config->image, m->settings.stride};
    int64_t numbers = 0;
    for (int64_t b = 0; b < c->frame_count; b++) {
        int64_t own = frame_scratch(&c->frames[b], &g);
        numbers = own > numbers ? own : numbers;
    }
    assay_tensor *out = logits ? assay_tape_tensor(tape, ASSAY_I32, 1, &c->pixels) : NULL;
    float *scratch = out ? assay_tape_scratch(tape, numbers * (int64_t)sizeof *scratch) : NULL;
    if (!scratch)
        return NULL;
    for (int64_t b = 0; b < c->frame_count; b++)
        frame_classes(&c->frames[b], &g, assay_f32(logits), m->classes, logits->shape[2],
                      logits->shape[3], scratch, assay_i32(out) + c->frames[b].offset);
    assay_tape_release(tape, scratch, numbers * (int64_t)sizeof *scratch);
    return out;
}
