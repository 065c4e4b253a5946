/* test_attention_stats.c - NMI and distance of synthetic maps whose values are known.
 *
 * The numbers are the self-check vectors of the infrared spec: section 4 item 2, and the Gaussian
 * maps on a grid of 14 by 14 patches of section 2.6.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/memory.h>
#include <assay/metrics.h>

#include <math.h>
#include <string.h>

#define SIDE    14
#define PATCHES (SIDE * SIDE)

/* A map whose every entry is 0; test_free ends it. */
static float *new_map(int64_t tokens)
{
    float *map = test_calloc((size_t)(tokens * tokens), sizeof(float));
    assert_non_null(map);
    return map;
}

/* Row i: a Gaussian of `sigma` patches around patch i, on the grid, summing to 1. */
static float *new_gaussian(double sigma)
{
    float *map = new_map(PATCHES);
    for (int i = 0; i < PATCHES; i++) {
        double row[PATCHES], total = 0;
        for (int j = 0; j < PATCHES; j++) {
            double dy = i / SIDE - j / SIDE, dx = i % SIDE - j % SIDE;
            row[j] = exp(-(dy * dy + dx * dx) / (2 * sigma * sigma));
            total += row[j];
        }
        for (int j = 0; j < PATCHES; j++)
            map[i * PATCHES + j] = (float)(row[j] / total);
    }
    return map;
}

static double nmi_of(const float *map, int64_t tokens, int64_t skip)
{
    double nmi = NAN;
    assert_true(assay_attention_nmi(map, tokens, skip, &nmi, NULL));
    return nmi;
}

static double distance_of(const float *map, int64_t tokens, int64_t skip, int64_t width)
{
    double distance = NAN;
    assert_true(assay_attention_distance(map, tokens, skip, width, 16, &distance, NULL));
    return distance;
}

static void a_uniform_map_carries_no_information(void **state)
{
    (void)state;
    float *map = new_map(PATCHES);
    for (int i = 0; i < PATCHES * PATCHES; i++)
        map[i] = 1.0f / PATCHES;
    double nmi = nmi_of(map, PATCHES, 0);
    assert_true(nmi >= 0 && nmi < 1e-12);
    test_free(map);
}

static void an_identity_map_carries_all_information(void **state)
{
    (void)state;
    float *map = new_map(PATCHES);
    for (int i = 0; i < PATCHES; i++)
        map[i * PATCHES + i] = 1;
    assert_true(fabs(nmi_of(map, PATCHES, 0) - 0.9999928) < 1e-7);
    assert_true(distance_of(map, PATCHES, 0, SIDE) < 1e-20); /* the smoothing's share */
    test_free(map);
}

static void one_key_for_all_queries_gives_zero(void **state)
{
    (void)state;
    float *map = new_map(PATCHES);
    for (int i = 0; i < PATCHES; i++)
        map[i * PATCHES + 5] = 1;
    double nmi = nmi_of(map, PATCHES, 0);
    assert_true(nmi >= 0 && nmi < 1e-9);
    /* Entries so large that the smoothing vanishes beside them: the key entropy vanishes. */
    for (int i = 0; i < PATCHES; i++)
        map[i * PATCHES + 5] = 1e30f;
    assert_true(nmi_of(map, PATCHES, 0) == 0);
    test_free(map);
}

static void three_written_rows_give_the_known_value(void **state)
{
    (void)state;
    const float map[] = {.7f, .2f, .1f, .1f, .8f, .1f, .25f, .25f, .5f};
    assert_true(fabs(nmi_of(map, 3, 0) - 0.225714656) < 2e-7); /* the smoothing moves it by 1e-7 */
}

static void gaussian_maps_have_the_calibrated_nmi(void **state)
{
    (void)state;
    const double known[][2] = {{1, 0.4993}, {2, 0.2752}, {3, 0.1597}, {4, 0.0905},
                               {5, 0.0506}, {6, 0.0288}, {8, 0.0106}};
    for (int i = 0; i < 7; i++) {
        float *map = new_gaussian(known[i][0]);
        assert_true(fabs(nmi_of(map, PATCHES, 0) - known[i][1]) < 6e-5);
        test_free(map);
    }
}

static void gaussian_maps_have_the_calibrated_distance(void **state)
{
    (void)state;
    const double known[][2] = {{1, 18.4314}, {2, 36.6797}, {4, 67.1561}};
    for (int i = 0; i < 3; i++) {
        float *map = new_gaussian(known[i][0]);
        assert_true(fabs(distance_of(map, PATCHES, 0, SIDE) - known[i][1]) < 6e-5);
        test_free(map);
    }
}

/* Section 2.6.2: 20% local and 80% on 40 shared tokens is the hybrid pattern of about 0.09. */
static void mixtures_of_local_and_shared_attention_have_the_calibrated_nmi(void **state)
{
    (void)state;
    const double known[][2] = {{0.1, 0.046}, {0.2, 0.091}, {0.3, 0.135}, {0.4, 0.179}};
    for (int k = 0; k < 4; k++) {
        float *map = new_gaussian(1);
        for (int i = 0; i < PATCHES * PATCHES; i++) {
            double shared = i % PATCHES < 40 ? 1.0 / 40 : 0;
            map[i] = (float)(known[k][0] * (double)map[i] + (1 - known[k][0]) * shared);
        }
        /* Which 40 tokens were taken is not written down; it matters in the third digit. */
        assert_true(fabs(nmi_of(map, PATCHES, 0) - known[k][1]) < 4e-3);
        test_free(map);
    }
}

static void skipped_tokens_take_no_part(void **state)
{
    (void)state;
    float *inner = new_gaussian(2);
    int64_t skip = 2, tokens = PATCHES + skip;
    float *outer = new_map(tokens);
    for (int64_t i = 0; i < tokens; i++) {
        for (int64_t j = 0; j < tokens; j++) {
            bool patch = i >= skip && j >= skip;
            /* Rows are halved, and the class token takes the rest. */
            outer[i * tokens + j] = patch ? 0.5f * inner[(i - skip) * PATCHES + j - skip] : 0.25f;
        }
    }
    assert_true(fabs(nmi_of(outer, tokens, skip) - nmi_of(inner, PATCHES, 0)) < 1e-5);
    assert_true(
        fabs(distance_of(outer, tokens, skip, SIDE) - distance_of(inner, PATCHES, 0, SIDE)) < 1e-9);
    test_free(outer);
    test_free(inner);
}

static void the_grid_width_sets_the_geometry(void **state)
{
    (void)state;
    /* Every query attends to the last of four patches. In one row: 3, 2, 1, 0 patches away; in a
     * square: sqrt 2, 1, 1, 0. */
    float map[16] = {0};
    for (int i = 0; i < 4; i++)
        map[i * 4 + 3] = 1;
    assert_true(fabs(distance_of(map, 4, 0, 4) - 16 * 6.0 / 4) < 1e-12);
    assert_true(fabs(distance_of(map, 4, 0, 2) - 16 * (sqrt(2) + 2) / 4) < 1e-12);
}

static void a_row_of_zeros_counts_as_uniform(void **state)
{
    (void)state;
    const float map[4] = {0};
    assert_true(fabs(distance_of(map, 2, 0, 2) - 8) < 1e-12);
    assert_true(nmi_of(map, 2, 0) < 1e-12);
}

static void maps_that_are_no_softmax_are_refused(void **state)
{
    (void)state;
    const struct {
        float entry;
        assay_code code;
    } bad[] = {{NAN, ASSAY_NOT_FINITE}, {INFINITY, ASSAY_NOT_FINITE}, {-0.1f, ASSAY_BAD_INPUT}};
    for (int i = 0; i < 3; i++) {
        float map[9] = {.5f, .25f, .25f, .5f, .25f, .25f, .5f, .25f, .25f};
        double out = 42;
        assay_error error = {0};
        map[5] = bad[i].entry;
        assert_false(assay_attention_nmi(map, 3, 1, &out, &error));
        assert_int_equal(error.code, bad[i].code);
        assert_non_null(strstr(error.got, "from patch 0 to patch 1"));
        assay_error_clear(&error);
        assert_false(assay_attention_distance(map, 3, 1, 2, 16, &out, &error));
        assert_int_equal(error.code, bad[i].code);
        assert_true(out == 42);
    }
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const float map[16] = {0};
    double out = 42;
    assert_false(assay_attention_nmi(map, 1, 0, &out, NULL));
    assert_false(assay_attention_nmi(map, 3, 2, &out, NULL));
    assert_false(assay_attention_nmi(map, 3, -1, &out, NULL));
    assert_false(assay_attention_distance(map, 2, 2, 1, 16, &out, NULL));
    assert_false(assay_attention_distance(map, 4, 0, 3, 16, &out, NULL));
    assert_false(assay_attention_distance(map, 4, 0, 0, 16, &out, NULL));
    assert_false(assay_attention_distance(map, 4, 0, 2, 0, &out, NULL));
    assert_false(assay_attention_distance(map, 4, 0, 2, NAN, &out, NULL));
    assert_true(out == 42);
}

static void a_failed_allocation_is_reported(void **state)
{
    (void)state;
    const float map[4] = {.5f, .5f, .5f, .5f};
    double nmi = 42;
    assay_error error = {0};
    int64_t live = assay_memory_stats_get().live_blocks;
    assay_memory_fail_after(0);
    assert_false(assay_attention_nmi(map, 2, 0, &nmi, &error));
    assay_memory_fail_after(-1);
    assert_int_equal(error.code, ASSAY_NO_MEMORY);
    assert_true(assay_attention_nmi(map, 2, 0, &nmi, NULL));
    assert_int_equal(assay_memory_stats_get().live_blocks, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uniform_map_carries_no_information),
        cmocka_unit_test(an_identity_map_carries_all_information),
        cmocka_unit_test(one_key_for_all_queries_gives_zero),
        cmocka_unit_test(three_written_rows_give_the_known_value),
        cmocka_unit_test(gaussian_maps_have_the_calibrated_nmi),
        cmocka_unit_test(gaussian_maps_have_the_calibrated_distance),
        cmocka_unit_test(mixtures_of_local_and_shared_attention_have_the_calibrated_nmi),
        cmocka_unit_test(skipped_tokens_take_no_part),
        cmocka_unit_test(the_grid_width_sets_the_geometry),
        cmocka_unit_test(a_row_of_zeros_counts_as_uniform),
        cmocka_unit_test(maps_that_are_no_softmax_are_refused),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("metrics/attention_stats", tests, NULL, NULL);
}
