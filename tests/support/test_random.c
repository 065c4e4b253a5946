/* test_random.c - the generator matches its published vectors, an address always gives the same
 * number, and filling equals single calls. The golden addresses come from an independent program
 * that follows the description in core/support/random.c. */
#include <assay/random.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static assay_stream golden_stream(void)
{
    return assay_stream_of(UINT64_C(0x0123456789abcdef), "dropout/layers.3",
                           (UINT64_C(7) << 32) | 5);
}

static void philox_matches_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        assay_philox(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].out, sizeof out);
    }
}

static void an_address_gives_the_golden_number(void **state)
{
    (void)state;
    static const struct {
        uint64_t index;
        uint32_t bits;
        float uniform, normal;
        int64_t below_1000;
    } golden[] = {
        {0, 0xcdb697c3, 0xcdb697p-24f, -0.492773347f, 616},
        {1, 0x9dbf5de5, 0x9dbf5dp-24f, -0.441092812f, 124},
        {2, 0xe664b6b0, 0xe664b6p-24f, 0.325307581f, 997},
        {3, 0x1fea6dba, 0x1fea6dp-24f, 0.3239648f, 592},
        {6, 0xb268cb48, 0xb268cbp-24f, -0.711171015f, 842},
        {UINT64_C(17179869185), 0x383c7f17, 0x383c7fp-24f, 0.694714212f, 265},
        {UINT64_MAX, 0x87944250, 0x879442p-24f, -0.159498238f, 4},
    };
    assay_stream stream = golden_stream();
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        uint64_t index = golden[i].index;
        assert_int_equal(assay_random_bits(stream, index), golden[i].bits);
        assert_true(assay_random_uniform(stream, index) == golden[i].uniform);
        assert_float_equal(assay_random_normal(stream, index), golden[i].normal, 1e-7f);
        assert_int_equal(assay_random_below(stream, index, 1000), golden[i].below_1000);
    }
}

/* Block 877195785 of this stream starts with a word of 0, whose logarithm would be infinite. */
static void a_word_of_zero_gives_a_finite_normal(void **state)
{
    (void)state;
    const uint64_t index = UINT64_C(4) * 877195785;
    assert_int_equal(assay_random_bits(golden_stream(), index), 0);
    assert_float_equal(assay_random_normal(golden_stream(), index), -4.69426728f, 1e-6f);
    assert_float_equal(assay_random_normal(golden_stream(), index + 1), 4.72496289f, 1e-6f);
}

static void seed_name_and_step_each_select_a_stream(void **state)
{
    (void)state;
    const assay_stream streams[] = {
        assay_stream_of(1, "a", 0),
        assay_stream_of(2, "a", 0),
        assay_stream_of(1, "b", 0),
        assay_stream_of(1, "", 0),
        assay_stream_of(1, "a", 1),
        assay_stream_of(1, "a", UINT64_C(1) << 32),
        assay_stream_of(UINT64_C(1) << 63, "a", 0),
    };
    const size_t count = sizeof streams / sizeof *streams;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(assay_random_bits(streams[i], 0),
                                 assay_random_bits(streams[j], 0));
    assay_stream again = assay_stream_of(1, "a", 0);
    assert_memory_equal(&again, &streams[0], sizeof again);
}

/* Every alignment of the first index and of the end within a block of four. */
static void filling_equals_single_calls(void **state)
{
    (void)state;
    enum { LONGEST = 21 };
    assay_stream stream = golden_stream();
    const uint64_t starts[] = {0, (UINT64_C(1) << 34) - 6};
    for (int variant = 0; variant < 8; variant++)
        for (int64_t n = 0; n <= LONGEST; n++) {
            uint64_t first = starts[variant / 4] + (uint64_t)(variant % 4);
            float uniforms[LONGEST + 1], normals[LONGEST + 1];
            uniforms[n] = normals[n] = 99.0f;
            assay_random_fill_uniform(stream, first, n, uniforms);
            assay_random_fill_normal(stream, first, n, normals);
            for (int64_t i = 0; i < n; i++) {
                assert_true(uniforms[i] == assay_random_uniform(stream, first + (uint64_t)i));
                assert_true(normals[i] == assay_random_normal(stream, first + (uint64_t)i));
            }
            assert_true(uniforms[n] == 99.0f && normals[n] == 99.0f);
        }
}

/* Bounds of about five standard errors for 200 000 numbers. */
static void uniforms_and_normals_have_their_moments(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    static float x[COUNT];
    double sum = 0, squares = 0, neighbours = 0;
    assay_random_fill_uniform(assay_stream_of(3, "moments/uniform", 0), 0, COUNT, x);
    for (int i = 0; i < COUNT; i++) {
        assert_true(x[i] >= 0.0f && x[i] < 1.0f);
        sum += x[i];
        squares += (x[i] - 0.5) * (x[i] - 0.5);
    }
    assert_true(fabs(sum / COUNT - 0.5) < 0.0033);
    assert_true(fabs(squares / COUNT - 1.0 / 12) < 0.0009);

    double fourth = 0;
    sum = squares = 0;
    assay_random_fill_normal(assay_stream_of(3, "moments/normal", 0), 0, COUNT, x);
    for (int i = 0; i < COUNT; i++) {
        double square = (double)x[i] * x[i];
        sum += x[i];
        squares += square;
        fourth += square * square;
        neighbours += i > 0 ? (double)x[i] * x[i - 1] : 0;
    }
    assert_true(fabs(sum / COUNT) < 0.0112);
    assert_true(fabs(squares / COUNT - 1) < 0.0158);
    assert_true(fabs(fourth / COUNT - 3) < 0.11);
    assert_true(fabs(neighbours / COUNT) < 0.0112);
}

static void integers_stay_below_n_and_are_even(void **state)
{
    (void)state;
    assay_stream stream = assay_stream_of(5, "below", 0);
    int64_t counts[7] = {0};
    for (uint64_t i = 0; i < 70000; i++)
        counts[assay_random_below(stream, i, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_true(llabs(counts[i] - 10000) < 470); /* five standard deviations */
    bool upper_half = false;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(assay_random_below(stream, i, 1), 0);
        int64_t large = assay_random_below(stream, i, INT64_MAX);
        assert_true(large >= 0 && large < INT64_MAX);
        upper_half = upper_half || large > INT64_MAX / 2;
    }
    assert_true(upper_half);
}

static void a_permutation_holds_every_number_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static int64_t order[COUNT];
    static bool seen[COUNT];
    int64_t fixed = 0;
    assay_random_permutation(assay_stream_of(1, "data/order", 4), COUNT, order);
    for (int64_t i = 0; i < COUNT; i++) {
        assert_in_range(order[i], 0, COUNT - 1);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
        fixed += order[i] == i;
    }
    assert_true(fixed < 10); /* one is expected */
    int64_t untouched = 42;
    assay_random_permutation(assay_stream_of(1, "data/order", 4), 0, &untouched);
    assert_int_equal(untouched, 42);
}

static void every_permutation_is_equally_likely(void **state)
{
    (void)state;
    int counts[27] = {0};
    for (uint64_t step = 0; step < 6000; step++) {
        int64_t order[3];
        assay_random_permutation(assay_stream_of(1, "data/order", step), 3, order);
        counts[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    int kinds = 0;
    for (int i = 0; i < 27; i++)
        if (counts[i] > 0) {
            kinds++;
            assert_true(abs(counts[i] - 1000) < 145); /* five standard deviations */
        }
    assert_int_equal(kinds, 6);
}

/* Every number of 0 .. n-1 once, for sizes around powers of two; not in order, and another order of
 * another stream. */
static void a_permutation_without_a_table_holds_every_number_once(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 5, 64, 65, 1000, 4095, 4096, 4097};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        int64_t n = sizes[k], in_place = 0, same = 0;
        bool seen[4097] = {false};
        assay_stream a = assay_stream_of(1, "order", 0), b = assay_stream_of(1, "order", 1);
        for (int64_t i = 0; i < n; i++) {
            int64_t x = assay_random_permuted(a, n, i);
            assert_true(x >= 0 && x < n);
            assert_false(seen[x]);
            seen[x] = true;
            in_place += x == i;
            same += x == assay_random_permuted(b, n, i);
        }
        if (n >= 64)
            assert_true(in_place < 10 && same < 10);
    }
}

/* Where element 0 lands is uniform over streams: chi-squared with 15 degrees of freedom. */
static void places_in_it_are_even(void **state)
{
    (void)state;
    int64_t hits[16] = {0};
    double chi = 0;
    for (uint64_t s = 0; s < 3200; s++)
        hits[assay_random_permuted(assay_stream_of(7, "even", s), 16, 0)]++;
    for (int i = 0; i < 16; i++)
        chi += ((double)hits[i] - 200) * ((double)hits[i] - 200) / 200;
    assert_true(chi < 37.7); /* one in a thousand */
}

/* Far beyond any table. */
static void huge_sets_have_one_too(void **state)
{
    (void)state;
    assay_stream stream = assay_stream_of(3, "huge", 0);
    int64_t n = INT64_C(1) << 61, low = 0;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t x = assay_random_permuted(stream, n - 3, i);
        assert_true(x >= 0 && x < n - 3);
        low += x < n / 2;
    }
    assert_true(low > 400 && low < 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_the_published_vectors),
        cmocka_unit_test(an_address_gives_the_golden_number),
        cmocka_unit_test(a_word_of_zero_gives_a_finite_normal),
        cmocka_unit_test(seed_name_and_step_each_select_a_stream),
        cmocka_unit_test(filling_equals_single_calls),
        cmocka_unit_test(uniforms_and_normals_have_their_moments),
        cmocka_unit_test(integers_stay_below_n_and_are_even),
        cmocka_unit_test(a_permutation_holds_every_number_once),
        cmocka_unit_test(every_permutation_is_equally_likely),
        cmocka_unit_test(a_permutation_without_a_table_holds_every_number_once),
        cmocka_unit_test(places_in_it_are_even),
        cmocka_unit_test(huge_sets_have_one_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
