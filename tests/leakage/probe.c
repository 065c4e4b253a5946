/* probe.c - seeding one output row and reading which input rows it depends on. */
#include "leakage/probe.h"

#include "leakage/fixture.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PADDED_BATCH = 4, DENSE_BATCH = 2 };

probe probe_new(assay_tape *tape, const mask_kind *kind, int64_t tokens, bool padded, bool training,
                int64_t width, int64_t out_width)
{
    const int32_t t = (int32_t)tokens, lengths[PADDED_BATCH] = {t, (t + 1) / 2, 1, 0};
    int64_t batch = padded ? PADDED_BATCH : DENSE_BATCH;
    probe p = {.tape = tape, .batch = batch, .tokens = tokens, .training = training};
    p.m = mask_new(kind, batch, HEADS, tokens);
    p.x = fixture_normal("x", 3, (int64_t[]){batch, tokens, width});
    p.lengths = padded ? fixture_ints(batch, lengths) : NULL;
    p.cotangent = assay_zalloc(batch * tokens * out_width * (int64_t)sizeof(float), NULL);
    assert_non_null(p.cotangent);
    snprintf(p.text, sizeof p.text, "%s, %s, T %" PRId64 ", %s, %s",
             assay_device_name(assay_tape_device(tape)), kind->name, tokens,
             padded ? "padded" : "not padded", training ? "training" : "evaluation");
    return p;
}

void probe_free(probe *p)
{
    mask_free(&p->m);
    assay_tensor_free(p->x);
    assay_tensor_free(p->lengths);
    assay_free(p->cotangent);
}

const int32_t *probe_lengths(const probe *p)
{
    return p->lengths ? assay_i32(p->lengths) : NULL;
}

void probe_begin(probe *p)
{
    fixture_begin(p->tape, p->training);
    p->x->has_grad = false;
}

void probe_go_back(probe *p, assay_tensor *y, int64_t b, int64_t i, int64_t first, int64_t count)
{
    float *row = NULL;
    fixture_sound(p->tape);
    assert_non_null(y);
    row = p->cotangent + (b * p->tokens + i) * y->shape[2] + first;
    assay_random_fill_normal(assay_stream_of(3, "cotangent", (uint64_t)i), 0, count, row);
    assay_tape_backward_from(p->tape, 1, &y, (const float *const[]){p->cotangent});
    fixture_sound(p->tape);
    assert_true(p->x->has_grad);
    memset(row, 0, (size_t)count * sizeof *row);
}

bool probe_reaches(const probe *p, int64_t b, int64_t j, int64_t first, int64_t count)
{
    const float *row = assay_gradient(p->x) + (b * p->tokens + j) * p->x->shape[2] + first;
    for (int64_t k = 0; k < count; k++)
        if (row[k] != 0.0f)
            return true;
    return false;
}

bool probe_seeds(const probe *p, int64_t b, int64_t i)
{
    int64_t end = p->lengths ? assay_i32(p->lengths)[b] : p->tokens;
    return p->tokens <= 7 || i == end || i == end - 1 || (b == 0 && (i == 0 || i == 31));
}
