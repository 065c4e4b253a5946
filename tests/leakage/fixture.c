/* fixture.c - random tensors, the small decoder, and comparisons for the tests of this room. */
#include "leakage/fixture.h"
#include "under_test.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fail_with(const assay_error *error)
{
    char text[1024];
    fail_msg("%s", assay_error_format(error, text, sizeof text));
}

const assay_device *fixture_device(int index)
{
    assay_error error = {0};
    const assay_device *device = index == 0 ? device_under_test(&error) : assay_device_plain();
    if (!device)
        fail_with(&error);
    return device;
}

assay_tape *fixture_tape(const assay_device *device)
{
    assay_error error = {0};
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    if (!tape)
        fail_with(&error);
    return tape;
}

void fixture_begin(assay_tape *tape, bool training)
{
    assay_tape_begin(tape, (assay_step){.seed = 7, .clock = 1, .training = training});
}

void fixture_sound(const assay_tape *tape)
{
    if (!assay_tape_ok(tape, NULL))
        fail_with(assay_tape_error(tape));
}

static assay_tensor *leaf(assay_dtype dtype, int rank, const int64_t *shape)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_tensor_new(dtype, rank, shape, &error);
    if (!tensor)
        fail_with(&error);
    return tensor;
}

assay_tensor *fixture_normal(const char *name, int rank, const int64_t *shape)
{
    assay_tensor *tensor = leaf(ASSAY_F32, rank, shape);
    assay_random_fill_normal(assay_stream_of(11, name, 0), 0, assay_tensor_count(tensor),
                             assay_f32(tensor));
    assert_true(assay_tensor_want_grad(tensor, NULL));
    return tensor;
}

assay_tensor *fixture_ints(int64_t n, const int32_t *values)
{
    assay_tensor *tensor = leaf(ASSAY_I32, 1, &n);
    for (int64_t i = 0; i < n; i++)
        assay_i32(tensor)[i] = values[i];
    return tensor;
}

assay_tensor *fixture_ids(const char *name, int64_t batch, int64_t tokens)
{
    assay_tensor *ids = leaf(ASSAY_I32, 2, (int64_t[]){batch, tokens});
    assay_stream stream = assay_stream_of(11, name, 0);
    for (int64_t i = 0; i < batch * tokens; i++)
        assay_i32(ids)[i] = (int32_t)assay_random_below(stream, (uint64_t)i, VOCABULARY);
    return ids;
}

/* Biases start at 0 and norms at 1, where a mistake in either could hide: move them away. */
static void disturb_vectors(assay_params *params, uint64_t seed)
{
    for (int64_t p = 0; p < assay_params_count(params); p++) {
        const assay_parameter *parameter = assay_params_at(params, p);
        assay_stream stream = assay_stream_of(seed, parameter->name, 0);
        if (parameter->value->rank == 1)
            for (int64_t i = 0; i < assay_tensor_count(parameter->value); i++)
                assay_f32(parameter->value)[i] += 0.2f * assay_random_normal(stream, (uint64_t)i);
    }
}

fixture_model fixture_model_new(int64_t layers, uint64_t seed)
{
    const assay_decoder_config config = {.vocabulary = VOCABULARY,
                                         .width = WIDTH,
                                         .layers = layers,
                                         .heads = HEADS,
                                         .kv_heads = KV_HEADS,
                                         .head_width = HEAD_WIDTH,
                                         .mlp_width = 24,
                                         .positions = POSITIONS,
                                         .rope_base = 10000.0,
                                         .norm_eps = 1e-6f,
                                         .qkv_bias = true,
                                         .tied_head = true,
                                         .init_sd = 0.3f};
    assay_error error = {0};
    fixture_model model = {NULL, NULL};
    model.params = assay_params_new(seed, &error);
    if (model.params)
        model.decoder = assay_decoder_new(model.params, NULL, &config, &error);
    if (!model.decoder)
        fail_with(&error);
    disturb_vectors(model.params, seed);
    return model;
}

void fixture_model_free(fixture_model *model)
{
    assay_decoder_free(model->decoder);
    assay_params_free(model->params);
}

void fixture_close(const float *a, const float *b, int64_t n, double tolerance, const char *what)
{
    double apart = 0.0, size = 1e-60;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        if (!isfinite(a[i]) || !isfinite(b[i]))
            fail_msg("%s: number %" PRId64 " is not finite", what, i);
        apart += d * d;
        size += (double)b[i] * (double)b[i];
    }
    if (!(sqrt(apart / size) <= tolerance))
        fail_msg("%s: %g apart, allowed %g", what, sqrt(apart / size), tolerance);
}

void fixture_equal(const float *a, const float *b, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(a[i] == b[i]))
            fail_msg("%s: number %" PRId64 " is %a, expected %a", what, i, (double)a[i],
                     (double)b[i]);
}

void fixture_zero(const float *a, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(a[i] == 0.0f))
            fail_msg("%s: number %" PRId64 " is %a, expected 0", what, i, (double)a[i]);
}
