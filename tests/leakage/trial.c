/* trial.c - attention forward and back on a fixed batch, as one row of numbers. */
#include "leakage/trial.h"

#include "leakage/fixture.h"

#include <assay/memory.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

trial trial_new(int64_t batch, int64_t tokens)
{
    const int64_t wide[] = {batch, tokens, HEADS * HEAD_WIDTH};
    const int64_t narrow[] = {batch, tokens, KV_HEADS * HEAD_WIDTH};
    trial t = {.batch = batch, .tokens = tokens};
    t.q = fixture_normal("q", 3, wide);
    t.k = fixture_normal("k", 3, narrow);
    t.v = fixture_normal("v", 3, narrow);
    t.cotangent = fixture_normal("d_out", 3, wide);
    t.rotary = assay_rotary_new(POSITIONS, HEAD_WIDTH, 10000.0, NULL);
    assert_non_null(t.rotary);
    return t;
}

void trial_free(trial *t)
{
    assay_tensor_free(t->q);
    assay_tensor_free(t->k);
    assay_tensor_free(t->v);
    assay_tensor_free(t->cotangent);
    assay_rotary_free(t->rotary);
}

int64_t trial_size(const trial *t)
{
    return 2 * assay_tensor_count(t->q) + 2 * assay_tensor_count(t->k);
}

static float *put(float *to, const float *from, const assay_tensor *like)
{
    int64_t count = assay_tensor_count(like);
    assert_non_null(from);
    memcpy(to, from, (size_t)count * sizeof *to);
    return to + count;
}

float *trial_run(const trial *t, assay_tape *tape, const assay_tensor *lengths,
                 assay_attention_bias bias)
{
    float *all = assay_alloc(trial_size(t) * (int64_t)sizeof *all, NULL), *at = all;
    assay_tensor *out = assay_attention(tape, &(assay_attention_args){.q = t->q,
                                                                      .k = t->k,
                                                                      .v = t->v,
                                                                      .heads = HEADS,
                                                                      .kv_heads = KV_HEADS,
                                                                      .rotary = t->rotary,
                                                                      .lengths = lengths,
                                                                      .bias = bias});
    assert_non_null(all);
    fixture_sound(tape);
    t->q->has_grad = t->k->has_grad = t->v->has_grad = false;
    at = put(at, assay_f32(out), out);
    assay_tape_backward_from(tape, 1, &out, (const float *const[]){assay_f32(t->cotangent)});
    fixture_sound(tape);
    assert_true(t->q->has_grad && t->k->has_grad && t->v->has_grad);
    at = put(at, assay_gradient(t->q), t->q);
    at = put(at, assay_gradient(t->k), t->k);
    put(at, assay_gradient(t->v), t->v);
    return all;
}
