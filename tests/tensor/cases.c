/* cases.c - building, filling and running the cases of cases.h. */
#include "cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A gradient of this root mean square or less is a sum whose terms cancel. */
#define CANCELLED 1e-6

op_case *case_add(case_list *list, assay_forward forward, const char *format, ...)
{
    va_list arguments;
    op_case *c = NULL;
    assert_true(list->count < CASE_MOST);
    c = &list->cases[list->count++];
    *c = (op_case){.forward = forward};
    va_start(arguments, format);
    vsnprintf(c->name, sizeof c->name, format, arguments);
    va_end(arguments);
    return c;
}

case_input *case_input_add(op_case *c, case_fill fill, int rank, const int64_t *shape)
{
    case_input *input = NULL;
    assert_true(c->input_count < CASE_INPUTS && rank <= ASSAY_MAX_RANK);
    input = &c->inputs[c->input_count++];
    *input = (case_input){.rank = rank, .fill = fill};
    for (int i = 0; i < rank; i++)
        input->shape[i] = shape[i];
    return input;
}

assay_tensor *case_ints(assay_tape *tape, int rank, const int64_t *shape, const int32_t *values)
{
    return assay_tape_constant(tape, ASSAY_I32, rank, shape, values);
}

static float filled(case_fill fill, assay_stream stream, int64_t i, int64_t width)
{
    float uniform = assay_random_uniform(stream, (uint64_t)i);
    float sign = assay_random_bits(stream, (uint64_t)i) & 1 ? 1.0f : -1.0f;
    switch (fill) {
    case FILL_NORMAL:
        return assay_random_normal(stream, (uint64_t)i);
    case FILL_SMALL:
        return assay_random_normal(stream, (uint64_t)i) / 16.0f;
    case FILL_AWAY:
        return sign * (0.25f + uniform);
    case FILL_POSITIVE:
        return 0.25f + uniform;
    case FILL_SIGNED_ROWS:
        return ((i / width) % 2 ? -1.0f : 1.0f) * (0.25f + uniform);
    case FILL_FAR:
        return sign * (2.0f + uniform);
    }
    return NAN;
}

void case_fill_tensor(assay_tensor *tensor, case_fill fill, const char *name)
{
    assay_stream stream = assay_stream_of(7, name, 0);
    int64_t width = tensor->rank ? tensor->shape[tensor->rank - 1] : 1;
    for (int64_t i = 0; i < assay_tensor_count(tensor); i++)
        assay_f32(tensor)[i] = filled(fill, stream, i, width);
}

void case_inputs_new(const op_case *c, assay_tensor *inputs[])
{
    assay_error error = {0};
    for (int i = 0; i < c->input_count; i++) {
        const case_input *input = &c->inputs[i];
        inputs[i] = assay_tensor_new(ASSAY_F32, input->rank, input->shape, &error);
        assert_non_null(inputs[i]);
        case_fill_tensor(inputs[i], input->fill, assay_text("input %d of %s", i, c->name));
        if (!input->fixed)
            assert_true(assay_tensor_want_grad(inputs[i], &error));
    }
}

void case_inputs_free(const op_case *c, assay_tensor *inputs[])
{
    for (int i = 0; i < c->input_count; i++)
        assay_tensor_free(inputs[i]);
}

assay_tensor *case_pass(assay_tape *tape, const op_case *c, assay_tensor *inputs[])
{
    assay_stream stream = assay_stream_of(8, "cotangent", 0);
    bool narrow = assay_tape_precision(tape) == ASSAY_PRECISION_BF16;
    assay_tensor *taken[CASE_INPUTS] = {NULL}, *y = NULL;
    float *cotangent = NULL;
    assay_tape_begin(tape, (assay_step){.seed = 9, .training = c->training});
    for (int i = 0; i < c->input_count; i++)
        taken[i] =
            narrow && !c->inputs[i].wide ? assay_cast(tape, inputs[i], ASSAY_BF16) : inputs[i];
    y = c->forward(tape, taken, c->input_count, (void *)(uintptr_t)c);
    if (!y)
        return NULL;
    cotangent = assay_tape_scratch(tape, assay_tensor_count(y) * (int64_t)sizeof *cotangent);
    if (!cotangent)
        return NULL;
    assay_random_fill_normal(stream, 0, assay_tensor_count(y), cotangent);
    if (!assay_tape_backward_from(tape, 1, &y, (const float *const[]){cotangent}))
        return NULL;
    return y;
}

double relative_distance(const float *a, const float *b, int64_t n)
{
    double apart = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        apart += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    if (n == 0)
        return 0.0;
    return sqrt(apart / (size > (double)n * CANCELLED * CANCELLED ? size : (double)n));
}
