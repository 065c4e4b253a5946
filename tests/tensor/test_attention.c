/* test_attention.c - who sees whom at what cost: the rules of assay/attention.h written out once
 * more and compared with the operations, and what the header promises to the bit. */
#include "under_test.h"

#include <assay/attention.h>
#include <assay/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 3, QUERIES = 4, KEYS = 6, HEADS = 4, KV_HEADS = 2, HEAD = 4 };
enum { PAIRS = BATCH * HEADS * QUERIES * KEYS };

static assay_tape *tape;
static assay_rotary *rotary;
static assay_attention_args args; /* q, k, v, heads and lengths; tests change the rest */

static assay_tensor *normals(int rank, const int64_t *shape, const char *name)
{
    assay_tensor *x = assay_tape_tensor(tape, ASSAY_F32, rank, shape);
    assert_non_null(x);
    assay_random_fill_normal(assay_stream_of(1, name, 0), 0, assay_tensor_count(x), assay_f32(x));
    return x;
}

static int set_up(void **state)
{
    (void)state;
    tape = assay_tape_new(device_under_test(NULL), ASSAY_PRECISION_FP32, NULL);
    rotary = assay_rotary_new(KEYS, HEAD, 10.0, NULL);
    if (!tape || !rotary)
        return -1;
    assay_tape_begin(tape, (assay_step){.seed = 1});
    args = (assay_attention_args){
        .q = normals(3, (const int64_t[]){BATCH, QUERIES, HEADS * HEAD}, "q"),
        .k = normals(3, (const int64_t[]){BATCH, KEYS, KV_HEADS * HEAD}, "k"),
        .v = normals(3, (const int64_t[]){BATCH, KEYS, KV_HEADS * HEAD}, "v"),
        .heads = HEADS,
        .kv_heads = KV_HEADS};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assay_rotary_free(rotary);
    assay_tape_free(tape);
    return 0;
}

/* ---- the rules once more ---- */

static bool in_span(const assay_tensor *span, int b, int position)
{
    if (!span)
        return false;
    const int32_t *ends = assay_i32(span) + (span->rank == 2 ? 2 * b : 0);
    return ends[0] <= position && position < ends[1];
}

static double weight_at(const assay_tensor *w, int b, int h, int i, int j)
{
    const int at[] = {b, h, i, j};
    int64_t index = 0;
    for (int axis = 0; w && axis < 4; axis++)
        index = index * w->shape[axis] + (w->shape[axis] == 1 ? 0 : at[axis]);
    return w ? assay_f32(w)[index] : 0.0;
}

/* M_ij; query i stands at position p. */
static double cost(int b, int h, int i, int j)
{
    const assay_attention_bias *bias = &args.bias;
    int p = KEYS - QUERIES + i, length = args.lengths ? assay_i32(args.lengths)[b] : KEYS;
    double weight = weight_at(bias->log_weight, b, h, i, j);
    if (p >= length || j >= length)
        return -(double)INFINITY;
    if (j <= p || (in_span(bias->span, b, p) && in_span(bias->span, b, j)))
        return bias->scope == ASSAY_BIAS_EVERYWHERE ? weight : 0.0;
    return bias->future == ASSAY_FUTURE_HIDDEN ? -(double)INFINITY : weight;
}

/* Entry d of a head at a position, rotated if there is a table. */
static double turned(const float *x, int position, int d)
{
    const int half = HEAD / 2, k = d % half;
    double angle = (double)position * pow(10.0, -2.0 * k / HEAD);
    if (!args.rotary)
        return x[d];
    return d < half ? x[k] * cos(angle) - x[half + k] * sin(angle)
                    : x[half + k] * cos(angle) + x[k] * sin(angle);
}

static double score(int b, int h, int i, int j)
{
    const float *q = assay_f32(args.q) + ((b * QUERIES + i) * HEADS + h) * HEAD;
    const float *k =
        assay_f32(args.k) + ((b * KEYS + j) * KV_HEADS + h / (HEADS / KV_HEADS)) * HEAD;
    double dot = 0.0;
    for (int d = 0; d < HEAD; d++)
        dot += turned(q, KEYS - QUERIES + i, d) * turned(k, j, d);
    return dot * (args.scale != 0.0f ? (double)args.scale : 1.0 / sqrt(HEAD)) + cost(b, h, i, j);
}

static void expected_map(double *map)
{
    for (int row = 0; row < BATCH * HEADS * QUERIES; row++) {
        int b = row / (HEADS * QUERIES), h = row / QUERIES % HEADS, i = row % QUERIES;
        double sum = 0.0;
        for (int j = 0; j < KEYS; j++)
            sum += exp(score(b, h, i, j));
        for (int j = 0; j < KEYS; j++)
            map[row * KEYS + j] = sum > 0.0 ? exp(score(b, h, i, j)) / sum : 0.0;
    }
}

static void assert_rules_hold(void)
{
    static double map[PAIRS];
    const float *got = assay_f32(assay_attention_map(tape, &args));
    const float *out = assay_f32(assay_attention(tape, &args)), *v = assay_f32(args.v);
    assert_true(got && out);
    expected_map(map);
    for (int n = 0; n < PAIRS; n++) {
        assert_true(fabs(got[n] - map[n]) < 1e-6);
        assert_true(map[n] > 0.0 || got[n] == 0.0f);
    }
    for (int n = 0; n < BATCH * QUERIES * HEADS * HEAD; n++) {
        int d = n % HEAD, h = n / HEAD % HEADS, i = n / (HEAD * HEADS) % QUERIES;
        int b = n / (HEAD * HEADS * QUERIES), g = h / (HEADS / KV_HEADS);
        double sum = 0.0;
        for (int j = 0; j < KEYS; j++)
            sum += map[((b * HEADS + h) * QUERIES + i) * KEYS + j] *
                   v[((b * KEYS + j) * KV_HEADS + g) * HEAD + d];
        assert_true(fabs(out[n] - sum) < 3e-6);
    }
}

static const int32_t some_lengths[] = {6, 0, 4}, some_spans[] = {1, 5, 3, 6, 2, 4};

static void every_mask_follows_the_rules(void **state)
{
    (void)state;
    const int64_t spans_shape[] = {BATCH, 2}, batch[] = {BATCH}, two[] = {2};
    for (int form = 0; form < 2 * 2 * 3 * 2 * 2; form++) {
        int span = form / 4 % 3;
        args.bias.future = form % 2 ? ASSAY_FUTURE_OPEN : ASSAY_FUTURE_HIDDEN;
        args.bias.scope = form / 2 % 2 ? ASSAY_BIAS_EVERYWHERE : ASSAY_BIAS_FUTURE;
        args.bias.span = span ? assay_tape_constant(tape, ASSAY_I32, span,
                                                    span == 1 ? two : spans_shape, some_spans)
                              : NULL;
        args.lengths =
            form / 12 % 2 ? assay_tape_constant(tape, ASSAY_I32, 1, batch, some_lengths) : NULL;
        args.rotary = form / 24 % 2 ? rotary : NULL;
        args.scale = form % 5 ? 0.0f : 0.7f;
        for (int axes = 0; axes < 17; axes++) { /* the last: no log-weight */
            const int64_t shape[] = {axes & 1 ? BATCH : 1, axes & 2 ? HEADS : 1,
                                     axes & 4 ? QUERIES : 1, axes & 8 ? KEYS : 1};
            args.bias.log_weight = axes < 16 ? normals(4, shape, "log-weight") : NULL;
            assert_rules_hold();
        }
    }
}

/* ---- to the bit ---- */

static assay_tensor *copy_of_output(void)
{
    assay_tensor *y = assay_attention(tape, &args);
    assert_non_null(y);
    return y;
}

static void assert_same_bits(const assay_tensor *a, const assay_tensor *b)
{
    assert_memory_equal(assay_elements(a), assay_elements(b), (size_t)assay_tensor_bytes(a));
}

static assay_tensor *constant_weight(float value, int64_t queries, int64_t keys)
{
    assay_tensor *w = assay_tape_tensor(tape, ASSAY_F32, 4, (const int64_t[]){1, 1, queries, keys});
    assert_non_null(w);
    for (int64_t i = 0; i < queries * keys; i++)
        assay_f32(w)[i] = value;
    return w;
}

static void a_weight_of_zero_hides_and_of_one_opens_to_the_bit(void **state)
{
    (void)state;
    args.bias = assay_bias_causal();
    assay_tensor *causal = copy_of_output();
    args.bias = assay_bias_full();
    assay_tensor *full = copy_of_output();
    assert_memory_not_equal(assay_elements(causal), assay_elements(full),
                            (size_t)assay_tensor_bytes(full));
    args.bias = assay_bias_future(tape, 0.0f);
    assert_same_bits(causal, copy_of_output());
    args.bias = assay_bias_future(tape, 1.0f);
    assert_same_bits(full, copy_of_output());
    for (int64_t each = 0; each < 2; each++) { /* one shared number, or one per pair */
        int64_t queries = each ? QUERIES : 1, keys = each ? KEYS : 1;
        args.bias = assay_bias_full();
        args.bias.log_weight = constant_weight(-INFINITY, queries, keys);
        assert_same_bits(causal, copy_of_output());
        args.bias.log_weight = constant_weight(0.0f, queries, keys);
        assert_same_bits(full, copy_of_output());
    }
}

static void a_constant_weight_multiplies_the_future(void **state)
{
    (void)state;
    args.bias = assay_bias_full();
    const float *full = assay_f32(assay_attention_map(tape, &args));
    args.bias = assay_bias_future(tape, 0.25f);
    const float *some = assay_f32(assay_attention_map(tape, &args));
    /* Query 0 stands at position 2 and sees key 3 as future: its odds against key 2 fall to 1/4. */
    assert_float_equal(some[3] / some[2], 0.25f * full[3] / full[2], 1e-6);
}

static void a_query_that_sees_nothing_gives_zeros(void **state)
{
    (void)state;
    const int64_t batch[] = {BATCH};
    args.lengths = assay_tape_constant(tape, ASSAY_I32, 1, batch, some_lengths);
    const float *y = assay_f32(copy_of_output());
    for (int n = 0; n < QUERIES * HEADS * HEAD; n++)
        assert_true(y[QUERIES * HEADS * HEAD + n] == 0.0f);
}

static void nothing_that_stands_in_the_padding_is_read(void **state)
{
    (void)state;
    const int64_t batch[] = {BATCH};
    const float garbage[] = {NAN, INFINITY};
    args.bias = assay_bias_full();
    args.lengths = assay_tape_constant(tape, ASSAY_I32, 1, batch, some_lengths);
    assay_tensor *clean = copy_of_output();
    for (int b = 0; b < BATCH; b++)
        for (int n = some_lengths[b] * KV_HEADS * HEAD; n < KEYS * KV_HEADS * HEAD; n++) {
            assay_f32(args.k)[b * KEYS * KV_HEADS * HEAD + n] = garbage[n % 2];
            assay_f32(args.v)[b * KEYS * KV_HEADS * HEAD + n] = garbage[n % 2];
        }
    assert_same_bits(clean, copy_of_output());
}

static void a_fused_projection_gives_the_same_bits(void **state)
{
    (void)state;
    args.q = normals(3, (const int64_t[]){BATCH, KEYS, HEADS * HEAD}, "long q");
    args.rotary = rotary;
    assay_tensor *apart = copy_of_output();
    args.qkv = assay_concat(tape, 3, (assay_tensor *const[]){args.q, args.k, args.v}, 2);
    args.q = args.k = args.v = NULL;
    assert_same_bits(apart, copy_of_output());
}

static void rotating_first_equals_rotating_inside(void **state)
{
    (void)state;
    args.rotary = rotary;
    const float *inside = assay_f32(copy_of_output());
    args.q = assay_rotate(tape, args.q, HEADS, rotary, KEYS - QUERIES);
    args.k = assay_rotate(tape, args.k, KV_HEADS, rotary, 0);
    args.rotary = NULL;
    const float *first = assay_f32(copy_of_output());
    for (int n = 0; n < BATCH * QUERIES * HEADS * HEAD; n++)
        assert_float_equal(inside[n], first[n], 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_mask_follows_the_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_weight_of_zero_hides_and_of_one_opens_to_the_bit, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_constant_weight_multiplies_the_future, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_query_that_sees_nothing_gives_zeros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_that_stands_in_the_padding_is_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_fused_projection_gives_the_same_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rotating_first_equals_rotating_inside, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
