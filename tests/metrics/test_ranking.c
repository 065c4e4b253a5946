/* test_ranking.c - AUC and KS: known values, a count over all pairs, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/memory.h>
#include <assay/metrics.h>
#include <assay/random.h>

#include <math.h>
#include <string.h>

#define ROWS 400

/* Scores on a coarse grid, so that ties are frequent within and between the classes. */
static void random_rows(uint64_t seed, int64_t levels, double *score, int32_t *label)
{
    assay_stream stream = assay_stream_of(seed, "ranking", 0);
    for (int i = 0; i < ROWS; i++) {
        label[i] = assay_random_uniform(stream, (uint64_t)(2 * i)) < 0.3f;
        score[i] = (double)(assay_random_below(stream, (uint64_t)(2 * i + 1), levels) + label[i]);
    }
}

static void the_specification_s_golden_rows_are_reproduced_exactly(void **state)
{
    (void)state;
    const double score[] = {.9, .8, .7, .7, .6, .5, .4, .3};
    const int32_t label[] = {1, 1, 0, 1, 0, 1, 0, 0};
    assay_ranking ranking;
    assert_true(assay_rank(score, label, 8, &ranking, NULL));
    assert_true(ranking.auc == 0.84375);
    assert_true(ranking.ks == 0.5);
    assert_int_equal(ranking.positives, 4);
    assert_int_equal(ranking.negatives, 4);
}

static void auc_is_the_share_of_pairs_won_with_ties_as_half(void **state)
{
    (void)state;
    double score[ROWS];
    int32_t label[ROWS];
    for (uint64_t seed = 0; seed < 5; seed++) {
        random_rows(seed, 3 + (int64_t)seed * 5, score, label);
        double won = 0, pairs = 0;
        for (int i = 0; i < ROWS; i++) {
            for (int j = 0; j < ROWS; j++) {
                if (label[i] != 1 || label[j] != 0)
                    continue;
                pairs++;
                won += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
            }
        }
        assay_ranking ranking;
        assert_true(assay_rank(score, label, ROWS, &ranking, NULL));
        assert_true(fabs(ranking.auc - won / pairs) < 1e-15);
    }
}

static void ks_is_the_widest_gap_over_all_thresholds(void **state)
{
    (void)state;
    double score[ROWS];
    int32_t label[ROWS];
    for (uint64_t seed = 0; seed < 5; seed++) {
        random_rows(seed, 3 + (int64_t)seed * 5, score, label);
        assay_ranking ranking;
        assert_true(assay_rank(score, label, ROWS, &ranking, NULL));
        double widest = 0;
        for (int t = 0; t < ROWS; t++) {
            double tp = 0, fp = 0;
            for (int i = 0; i < ROWS; i++) {
                tp += score[i] >= score[t] && label[i] == 1;
                fp += score[i] >= score[t] && label[i] == 0;
            }
            widest =
                fmax(widest, fabs(tp / (double)ranking.positives - fp / (double)ranking.negatives));
        }
        assert_true(fabs(ranking.ks - widest) < 1e-15);
    }
}

static void the_order_of_the_rows_does_not_matter_to_the_last_bit(void **state)
{
    (void)state;
    double score[ROWS], shuffled_score[ROWS];
    int32_t label[ROWS], shuffled_label[ROWS];
    int64_t order[ROWS];
    random_rows(7, 20, score, label);
    assay_random_permutation(assay_stream_of(7, "order", 0), ROWS, order);
    for (int i = 0; i < ROWS; i++) {
        shuffled_score[i] = score[order[i]];
        shuffled_label[i] = label[order[i]];
    }
    assay_ranking a, b;
    assert_true(assay_rank(score, label, ROWS, &a, NULL));
    assert_true(assay_rank(shuffled_score, shuffled_label, ROWS, &b, NULL));
    assert_true(a.auc == b.auc);
    assert_true(a.ks == b.ks);
}

static void extremes_are_exact(void **state)
{
    (void)state;
    const int32_t label[] = {0, 0, 1, 1};
    const double right[] = {-1, 0, 1, 2}, wrong[] = {2, 1, 0, -1}, equal[] = {0.0, -0.0, 0.0, -0.0};
    assay_ranking ranking;
    assert_true(assay_rank(right, label, 4, &ranking, NULL));
    assert_true(ranking.auc == 1 && ranking.ks == 1);
    assert_true(assay_rank(wrong, label, 4, &ranking, NULL));
    assert_true(ranking.auc == 0 && ranking.ks == 1);
    assert_true(assay_rank(equal, label, 4, &ranking, NULL));
    assert_true(ranking.auc == 0.5 && ranking.ks == 0);
}

static void refused(const double *score, const int32_t *label, int64_t n, assay_code code)
{
    assay_error error = {0};
    assay_ranking ranking = {.auc = 42};
    assert_false(assay_rank(score, label, n, &ranking, &error));
    assert_int_equal(error.code, code);
    assert_true(ranking.auc == 42);
}

static void what_has_no_ranking_is_an_error_and_not_a_number(void **state)
{
    (void)state;
    const double fine[] = {1, 2, 3}, nan_score[] = {1, NAN, 3}, infinite[] = {1, INFINITY, 3};
    const int32_t both[] = {0, 1, 0}, ones[] = {1, 1, 1}, zeros[] = {0, 0, 0}, three[] = {0, 2, 1};
    const int32_t negative[] = {0, -1, 1};
    refused(nan_score, both, 3, ASSAY_NOT_FINITE);
    refused(infinite, both, 3, ASSAY_NOT_FINITE);
    refused(fine, ones, 3, ASSAY_BAD_INPUT);
    refused(fine, zeros, 3, ASSAY_BAD_INPUT);
    refused(fine, three, 3, ASSAY_BAD_INPUT);
    refused(fine, negative, 3, ASSAY_BAD_INPUT);
    refused(fine, both, 0, ASSAY_BAD_INPUT);
}

static void a_message_names_the_row(void **state)
{
    (void)state;
    const double score[] = {1, NAN, 3};
    const int32_t label[] = {0, 1, 0};
    assay_error error = {0};
    assay_ranking ranking;
    assert_false(assay_rank(score, label, 3, &ranking, &error));
    assert_non_null(strstr(error.got, "row 1"));
}

static void a_failed_allocation_is_reported(void **state)
{
    (void)state;
    const double score[] = {1, 2};
    const int32_t label[] = {0, 1};
    assay_memory_fail_after(0);
    refused(score, label, 2, ASSAY_NO_MEMORY);
    assay_memory_fail_after(-1);
}

static void nothing_stays_allocated(void **state)
{
    (void)state;
    double score[ROWS];
    int32_t label[ROWS];
    random_rows(1, 10, score, label);
    int64_t live = assay_memory_stats_get().live_blocks;
    assay_ranking ranking;
    assert_true(assay_rank(score, label, ROWS, &ranking, NULL));
    assert_int_equal(assay_memory_stats_get().live_blocks, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specification_s_golden_rows_are_reproduced_exactly),
        cmocka_unit_test(auc_is_the_share_of_pairs_won_with_ties_as_half),
        cmocka_unit_test(ks_is_the_widest_gap_over_all_thresholds),
        cmocka_unit_test(the_order_of_the_rows_does_not_matter_to_the_last_bit),
        cmocka_unit_test(extremes_are_exact),
        cmocka_unit_test(what_has_no_ranking_is_an_error_and_not_a_number),
        cmocka_unit_test(a_message_names_the_row),
        cmocka_unit_test(a_failed_allocation_is_reported),
        cmocka_unit_test(nothing_stays_allocated),
    };
    return cmocka_run_group_tests_name("metrics/ranking", tests, NULL, NULL);
}
