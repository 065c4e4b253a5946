/* test_bf16.c - bfloat16: how numbers are rounded, what a bf16 tape rounds and stores, and how far
 * its gradients are from fp32's. */
#include "net.h"
#include "under_test.h"

#include "engine/device/cpu/variants.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- rounding ---- */

static float float_of(uint32_t bits)
{
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void rounding_is_to_nearest_and_ties_to_even(void **state)
{
    (void)state;
    static const struct {
        uint32_t exact;
        uint16_t rounded;
    } cases[] = {
        {0x3f800000, 0x3f80}, /* 1 is itself */
        {0x3f807fff, 0x3f80}, /* below the middle */
        {0x3f808000, 0x3f80}, /* the middle, to even */
        {0x3f808001, 0x3f81}, /* above the middle */
        {0x3f818000, 0x3f82}, /* the middle, to even, upwards */
        {0xbf808000, 0xbf80}, /* the same below 0 */
        {0xbf818000, 0xbf82}, /* ... */
        {0x3fffffff, 0x4000}, /* into the next power of two */
        {0x7f7f7fff, 0x7f7f}, /* the largest that stays finite */
        {0x7f7f8000, 0x7f80}, /* overflow */
        {0x7f7fffff, 0x7f80}, /* FLT_MAX */
        {0xff7fffff, 0xff80}, /* -FLT_MAX */
        {0x7f800000, 0x7f80}, /* infinity */
        {0xff800000, 0xff80}, /* -infinity */
        {0x00000000, 0x0000}, /* 0 */
        {0x80000000, 0x8000}, /* -0 */
        {0x00008000, 0x0000}, /* subnormals: a tie to 0 */
        {0x00018000, 0x0002}, /* a tie away from 0 */
        {0x007fffff, 0x0080}, /* up to the smallest normal */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(assay_to_bf16(float_of(cases[i].exact)), cases[i].rounded);
}

static void a_nan_stays_a_quiet_nan_of_its_sign(void **state)
{
    (void)state;
    static const uint32_t nans[] = {0x7f800001, 0x7f80ffff, 0x7fc00000,
                                    0x7fffffff, 0xff800001, 0xffffffff};
    for (int i = 0; i < 6; i++) {
        uint16_t rounded = assay_to_bf16(float_of(nans[i]));
        assert_true(isnan(assay_from_bf16(rounded)));
        assert_int_equal(rounded & 0x0040, 0x0040);
        assert_int_equal(rounded >> 15, nans[i] >> 31);
    }
}

static void every_bf16_survives_the_way_to_fp32_and_back(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float wide = assay_from_bf16((uint16_t)bits);
        uint16_t back = assay_to_bf16(wide);
        assert_int_equal(back, isnan(wide) ? bits | 0x0040 : bits);
    }
}

/* Every sign and exponent with mantissas around each kind of rounding. */
static int64_t telling_floats(float *out)
{
    static const uint32_t mantissas[] = {
        0x000000, 0x000001, 0x007fff, 0x008000, 0x008001, 0x00ffff, 0x010000, 0x017fff, 0x018000,
        0x018001, 0x3f8000, 0x400000, 0x408000, 0x555555, 0x7e8000, 0x7f7fff, 0x7f8000, 0x7fffff};
    int64_t n = 0;
    for (uint32_t top = 0; top < 0x200; top++)
        for (size_t m = 0; m < sizeof mantissas / sizeof mantissas[0]; m++)
            out[n++] = float_of(top << 23 | mantissas[m]);
    return n;
}

static void assert_kernels_convert_alike(const assay_kernels *k)
{
    enum { MOST = 0x200 * 18 };
    static float numbers[MOST], wide[0x10000];
    static uint16_t narrow[MOST], all[0x10000];
    int64_t n = telling_floats(numbers);
    for (int64_t length = n; length > 0; length = length > 70 ? 70 : length - 1) {
        memset(narrow, 0xa5, sizeof narrow);
        k->to_bf16(length, numbers + n - length, narrow);
        for (int64_t i = 0; i < length; i++)
            assert_int_equal(narrow[i], assay_to_bf16(numbers[n - length + i]));
        assert_true(length == n || narrow[length] == 0xa5a5);
    }
    for (uint32_t bits = 0; bits < 0x10000; bits++)
        all[bits] = (uint16_t)bits;
    k->from_bf16(0x10000, all, wide);
    for (uint32_t bits = 0; bits < 0x10000; bits++)
        assert_int_equal(assay_to_bf16(wide[bits]), assay_to_bf16(assay_from_bf16(all[bits])));
}

static void every_device_converts_to_the_same_bits(void **state)
{
    (void)state;
    assert_kernels_convert_alike(assay_device_plain()->kernels);
    for (int v = 0; cpu_variant_at(v); v++)
        assert_kernels_convert_alike(cpu_variant_at(v)->kernels);
}

/* ---- what a bf16 tape computes ---- */

static assay_tape *new_tape(assay_precision precision)
{
    assay_tape *tape = assay_tape_new(device_under_test(NULL), precision, NULL);
    assert_non_null(tape);
    assay_tape_begin(tape, (assay_step){.seed = 1});
    return tape;
}

/* Normal numbers, rounded to bf16 or not. */
static assay_tensor *normals(int64_t rows, int64_t width, const char *name, bool rounded)
{
    assay_tensor *x = assay_tensor_new(ASSAY_F32, 2, (int64_t[]){rows, width}, NULL);
    assert_non_null(x);
    assay_random_fill_normal(assay_stream_of(1, name, 0), 0, rows * width, assay_f32(x));
    for (int64_t i = 0; rounded && i < rows * width; i++)
        assay_f32(x)[i] = assay_from_bf16(assay_to_bf16(assay_f32(x)[i]));
    return x;
}

static void a_linear_layer_rounds_its_factors_and_its_result_once(void **state)
{
    (void)state;
    enum { ROWS = 5, IN = 65, OUT = 33 };
    assay_tape *narrow = new_tape(ASSAY_PRECISION_BF16), *wide = new_tape(ASSAY_PRECISION_FP32);
    assay_tensor *x = normals(ROWS, IN, "x", false), *w = normals(OUT, IN, "w", false);
    assay_tensor *x_rounded = normals(ROWS, IN, "x", true);
    assay_tensor *w_rounded = normals(OUT, IN, "w", true);
    assay_tensor *bias = normals(1, OUT, "b", false);
    bias->rank = 1, bias->shape[0] = OUT, bias->shape[1] = 1;
    for (int activation = ASSAY_IDENTITY; activation <= ASSAY_EXP; activation++) {
        assay_tensor *y = assay_linear(narrow, x, w, bias, (assay_activation)activation);
        assay_tensor *exact =
            assay_linear(wide, x_rounded, w_rounded, bias, (assay_activation)activation);
        assert_true(y && exact);
        assert_int_equal(y->dtype, ASSAY_BF16);
        for (int64_t i = 0; i < ROWS * OUT; i++)
            assert_int_equal(assay_bf16(y)[i], assay_to_bf16(assay_f32(exact)[i]));
    }
    assay_tensor_free(x);
    assay_tensor_free(w);
    assay_tensor_free(x_rounded);
    assay_tensor_free(w_rounded);
    assay_tensor_free(bias);
    assay_tape_free(narrow);
    assay_tape_free(wide);
}

static void activations_are_bf16_and_readouts_are_f32(void **state)
{
    (void)state;
    assay_tape *tape = new_tape(ASSAY_PRECISION_BF16);
    assay_tensor *x = normals(6, 8, "x", false), *w = normals(8, 8, "w", false);
    assay_tensor *gain = normals(1, 8, "g", false);
    gain->rank = 1, gain->shape[0] = 8, gain->shape[1] = 1;
    assay_tensor *y = assay_linear(tape, x, w, NULL, ASSAY_IDENTITY);
    assay_tensor *sequence = assay_reshape(tape, y, 3, (int64_t[]){2, 3, 8});
    assay_attention_args args = {.q = sequence, .k = sequence, .v = sequence, .heads = 2};
    const assay_tensor *narrow[] = {y,
                                    sequence,
                                    assay_rms_norm(tape, x, gain, 1e-6f),
                                    assay_layer_norm(tape, x, gain, NULL, 1e-6f),
                                    assay_gated_mlp(tape, x, w, w, w),
                                    assay_attention(tape, &args),
                                    assay_activate(tape, y, ASSAY_GELU),
                                    assay_add(tape, y, y),
                                    assay_cast(tape, x, ASSAY_BF16)};
    const assay_tensor *wide[] = {assay_add(tape, y, x),
                                  assay_activate(tape, x, ASSAY_GELU),
                                  assay_masked_mean(tape, sequence, NULL),
                                  assay_last_token(tape, sequence, NULL),
                                  assay_softmax(tape, y),
                                  assay_normalize(tape, y, 1e-12f),
                                  assay_sum(tape, y),
                                  assay_attention_map(tape, &args),
                                  assay_cast(tape, y, ASSAY_F32)};
    for (int i = 0; i < 9; i++) {
        assert_true(narrow[i] && narrow[i]->dtype == ASSAY_BF16);
        assert_true(wide[i] && wide[i]->dtype == ASSAY_F32);
    }
    assay_tensor_free(x);
    assay_tensor_free(w);
    assay_tensor_free(gain);
    assay_tape_free(tape);
}

/* ---- attention ---- */

enum { ITEMS = 2, HEADS = 4, SHARED = 2, HEAD = 8 };

typedef struct attended {
    uint16_t *out;
    float *grad; /* of q, k and v, one after the other */
    int64_t out_count, grad_count;
} attended;

/* Attention of q, k and v that hold bf16 values, as bf16 tensors or as fp32 ones, and its
 * gradients. */
static attended attend(int64_t tokens, bool open, const assay_rotary *rotary, bool lengths,
                       bool narrow)
{
    static const char *const names[] = {"q", "k", "v"};
    static const int32_t valid[ITEMS] = {5, 0};
    assay_tape *tape = new_tape(ASSAY_PRECISION_BF16);
    assay_tensor *leaf[3], *in[3];
    attended a = {.out_count = ITEMS * tokens * HEADS * HEAD};
    for (int i = 0; i < 3; i++) {
        const int64_t width = (i ? HEADS / SHARED : HEADS) * HEAD;
        leaf[i] = normals(ITEMS * tokens, width, names[i], true);
        assert_true(assay_tensor_want_grad(leaf[i], NULL));
        in[i] = narrow ? assay_cast(tape, leaf[i], ASSAY_BF16) : leaf[i];
        in[i] = assay_reshape(tape, in[i], 3, (int64_t[]){ITEMS, tokens, width});
        a.grad_count += ITEMS * tokens * width;
    }
    assay_attention_args args = {.q = in[0],
                                 .k = in[1],
                                 .v = in[2],
                                 .heads = HEADS,
                                 .kv_heads = HEADS / SHARED,
                                 .rotary = rotary,
                                 .bias = open ? assay_bias_full() : assay_bias_causal()};
    if (lengths) {
        assay_tensor *counts = assay_tape_tensor(tape, ASSAY_I32, 1, (int64_t[]){ITEMS});
        assert_non_null(counts);
        memcpy(assay_i32(counts), valid, sizeof valid);
        args.lengths = counts;
    }
    assay_tensor *y = assay_attention(tape, &args);
    assert_non_null(y);
    assay_tensor *loss =
        assay_sum(tape, assay_activate(tape, assay_cast(tape, y, ASSAY_F32), ASSAY_TANH));
    assert_true(loss && assay_tape_backward(tape, loss, 1.0f));
    a.out = test_malloc((size_t)a.out_count * sizeof *a.out);
    a.grad = test_malloc((size_t)a.grad_count * sizeof *a.grad);
    memcpy(a.out, assay_bf16(y), (size_t)a.out_count * sizeof *a.out);
    for (int64_t i = 0, at = 0; i < 3; at += assay_tensor_count(leaf[i++]))
        memcpy(a.grad + at, assay_gradient(leaf[i]),
               (size_t)assay_tensor_count(leaf[i]) * sizeof(float));
    for (int i = 0; i < 3; i++)
        assay_tensor_free(leaf[i]);
    assay_tape_free(tape);
    return a;
}

/* To the bit, also where a device fuses them and reads them where they lie: whole tiles of 64
 * tokens, and fewer. */
static void attention_of_bf16_tensors_is_that_of_their_numbers(void **state)
{
    (void)state;
    assay_rotary *rotary = assay_rotary_new(64, HEAD, 100.0, NULL);
    assert_non_null(rotary);
    for (int way = 0; way < 16; way++) {
        const int64_t tokens = way & 1 ? 64 : 6;
        const assay_rotary *turn = way & 4 ? rotary : NULL;
        attended narrow = attend(tokens, way & 2, turn, way & 8, true);
        attended wide = attend(tokens, way & 2, turn, way & 8, false);
        assert_memory_equal(narrow.out, wide.out, (size_t)wide.out_count * sizeof *wide.out);
        assert_memory_equal(narrow.grad, wide.grad, (size_t)wide.grad_count * sizeof *wide.grad);
        test_free(narrow.out);
        test_free(narrow.grad);
        test_free(wide.out);
        test_free(wide.grad);
    }
    assay_rotary_free(rotary);
}

static int64_t bytes_of_a_forward_pass(assay_precision precision)
{
    assay_tape *tape = new_tape(precision);
    assay_tensor *x = normals(256, 64, "x", false), *w = normals(64, 64, "w", false);
    int64_t before, bytes;
    assert_true(assay_tensor_want_grad(w, NULL));
    assay_tensor *y = assay_linear(tape, x, w, NULL, ASSAY_IDENTITY);
    before = assay_tape_stats_get(tape).arena.used_bytes;
    for (int layer = 0; layer < 6; layer++)
        y = assay_linear(tape, y, w, NULL, ASSAY_GELU);
    assert_non_null(y);
    bytes = assay_tape_stats_get(tape).arena.used_bytes - before;
    assay_tensor_free(x);
    assay_tensor_free(w);
    assay_tape_free(tape);
    return bytes;
}

static void activations_take_half_the_memory(void **state)
{
    (void)state;
    int64_t narrow = bytes_of_a_forward_pass(ASSAY_PRECISION_BF16);
    int64_t wide = bytes_of_a_forward_pass(ASSAY_PRECISION_FP32);
    assert_true(narrow * 100 < wide * 52);
}

/* ---- gradients ---- */

static void a_gradient_passes_a_cast_unrounded(void **state)
{
    (void)state;
    assay_tape *tape = new_tape(ASSAY_PRECISION_BF16);
    assay_tensor *x = normals(3, 5, "x", false), *weight = normals(3, 5, "w", false);
    assert_true(assay_tensor_want_grad(x, NULL));
    assay_tensor *y = assay_cast(tape, assay_cast(tape, x, ASSAY_BF16), ASSAY_F32);
    assert_true(assay_tape_backward(tape, assay_sum(tape, assay_mul(tape, y, weight)), 1.0f));
    assert_memory_equal(assay_gradient(x), assay_elements(weight), 15 * sizeof(float));
    assay_tensor_free(x);
    assay_tensor_free(weight);
    assay_tape_free(tape);
}

/* The gradients of the small decoder, joined into one vector. */
static float *decoder_gradients(assay_precision precision, int64_t *count)
{
    assay_tape *tape = new_tape(precision);
    net *n = net_new(NULL);
    float *all = NULL;
    int64_t used = 0;
    assert_non_null(n);
    assert_true(assay_tape_backward(tape, net_loss(tape, n), 1.0f));
    *count = 0;
    for (int i = 0; i < NET_PARAMETERS; i++)
        *count += assay_tensor_count(n->parameters[i]);
    all = assay_alloc(*count * (int64_t)sizeof *all, NULL);
    assert_non_null(all);
    for (int i = 0; i < NET_PARAMETERS; i++) {
        const assay_tensor *p = n->parameters[i];
        assert_true(p->has_grad);
        memcpy(all + used, assay_gradient(p), (size_t)assay_tensor_count(p) * sizeof *all);
        used += assay_tensor_count(p);
    }
    net_free(n);
    assay_tape_free(tape);
    return all;
}

static void gradients_of_a_decoder_are_within_two_percent_of_fp32(void **state)
{
    (void)state;
    int64_t count = 0;
    float *narrow = decoder_gradients(ASSAY_PRECISION_BF16, &count);
    float *again = decoder_gradients(ASSAY_PRECISION_BF16, &count);
    float *wide = decoder_gradients(ASSAY_PRECISION_FP32, &count);
    double apart = 0.0, size = 0.0;
    for (int64_t i = 0; i < count; i++) {
        apart += pow((double)narrow[i] - (double)wide[i], 2.0);
        size += pow((double)wide[i], 2.0);
    }
    assert_true(sqrt(apart / size) < 0.02);
    assert_true(sqrt(apart / size) > 1e-5); /* bf16 was really used */
    assert_memory_equal(narrow, again, (size_t)count * sizeof *narrow);
    assay_free(narrow);
    assay_free(again);
    assay_free(wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_to_nearest_and_ties_to_even),
        cmocka_unit_test(a_nan_stays_a_quiet_nan_of_its_sign),
        cmocka_unit_test(every_bf16_survives_the_way_to_fp32_and_back),
        cmocka_unit_test(every_device_converts_to_the_same_bits),
        cmocka_unit_test(a_linear_layer_rounds_its_factors_and_its_result_once),
        cmocka_unit_test(activations_are_bf16_and_readouts_are_f32),
        cmocka_unit_test(attention_of_bf16_tensors_is_that_of_their_numbers),
        cmocka_unit_test(activations_take_half_the_memory),
        cmocka_unit_test(a_gradient_passes_a_cast_unrounded),
        cmocka_unit_test(gradients_of_a_decoder_are_within_two_percent_of_fp32),
    };
    return cmocka_run_group_tests_name("bf16", tests, NULL, NULL);
}
