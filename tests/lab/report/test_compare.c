/* test_compare.c - the ablation table: its numbers by hand, its words, and what it refuses. */
#include "ablation.h"

#include <assay/stats.h>

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const test_cell masks[] = {
    {"mask=causal", 1, {{"mask", "causal"}}},
    {"mask=hybrid", 1, {{"mask", "hybrid"}}},
    {"mask=ggsm", 1, {{"mask", "ggsm"}}},
};

static report *must_compare(const test_place *place, report_comparison asked)
{
    assay_error error = {0};
    if (asked.experiment == NULL)
        asked.experiment = "e";
    report *made = report_compare(place->path, &asked, &error);
    if (made == NULL)
        fail_msg("%s (%s); %s; %s", error.what, error.where, error.got, error.hint);
    return made;
}

/* A number of the table, read back from its JSON; NaN for null. */
static double number(report *made, int row, const char *column)
{
    char *text = print_report(made, TABLE_JSON, NULL);
    json_t *rows = json_loads(text, 0, NULL);
    assert_non_null(rows);
    json_t *cell = json_object_get(json_array_get(rows, (size_t)row), column);
    assert_non_null(cell);
    double value = json_is_null(cell) ? NAN : json_number_value(cell);
    json_decref(rows);
    free(text);
    return value;
}

static void assert_number(report *made, int row, const char *column, double expected)
{
    double got = number(made, row, column);
    if (!(fabs(got - expected) < 1e-12) && !(isnan(got) && isnan(expected)))
        fail_msg("%s of row %d: %.15g, not %.15g", column, row, got, expected);
}

/* Four seeds. Differences to causal: hybrid .05 .03 .02 -.01; ggsm .02 .04 .02 .04. */
static void make_three_masks(const test_place *place)
{
    static const double causal[] = {0.70, 0.72, 0.74, 0.76}, hybrid[] = {0.75, 0.75, 0.76, 0.75},
                        ggsm[] = {0.72, 0.76, 0.76, 0.80};
    plan_cells(place, "e", 3, masks, 4);
    put_scores(place, 1, 4, causal);
    put_scores(place, 5, 4, hybrid);
    put_scores(place, 9, 4, ggsm);
}

static void the_numbers_are_those_of_pen_and_paper(void **state)
{
    make_three_masks(*state);
    report *made = must_compare(*state, (report_comparison){0});
    assert_int_equal(table_rows(report_table(made, 0)), 3);
    assert_number(made, 0, "n", 4);
    assert_number(made, 0, "mean", 0.73);
    assert_number(made, 0, "sd", sqrt(0.002 / 3)); /* .03^2 + .01^2 + .01^2 + .03^2 = .002 */
    assert_number(made, 0, "difference", NAN);
    assert_number(made, 1, "mean", 0.7525);
    assert_number(made, 1, "sd", 0.005);
    assert_number(made, 1, "difference", 0.0225);
    /* Squares about .0225: .0275^2 + .0075^2 + .0025^2 + .0325^2 = .001875. */
    assert_number(made, 1, "diff_sd", sqrt(0.001875 / 3));
    assert_number(made, 1, "effect", 0.0225 / sqrt(0.001875 / 3));
    assert_number(made, 1, "pairs", 4);
    /* |sum| >= .09 in: all as they are, .01 turned, and both mirrored: 4 of 16. */
    assert_number(made, 1, "p", 4.0 / 16);
    assert_number(made, 2, "difference", 0.03);
    assert_number(made, 2, "diff_sd", sqrt(4e-4 / 3));
    assert_number(made, 2, "p", 2.0 / 16);
    /* Holm over two: 2 x .125 = .25, then the larger of that and .25. */
    assert_number(made, 1, "p_holm", 0.25);
    assert_number(made, 2, "p_holm", 0.25);
    double low = number(made, 2, "low"), high = number(made, 2, "high");
    assert_true(low >= 0.02 - 1e-12 && low < 0.03 && high > 0.03 && high <= 0.04 + 1e-12);
    assert_noted(made, "4 seeds: smallest possible p 0.12, after Holm over 2 comparisons 0.25: no "
                       "difference can reach 0.05 (it takes 7 seeds).");
    report_free(made);
}

static void the_table_reads_like_this(void **state)
{
    make_three_masks(*state);
    report *made = must_compare(*state, (report_comparison){.baseline = "causal"});
    char *text = print_report(made, TABLE_TEXT, NULL);
    assert_string_equal(
        text,
        "mask    n    mean      sd  difference  diff_sd     low    high  effect  pairs       p  "
        "p_holm\n"
        "------  -  ------  ------  ----------  -------  ------  ------  ------  -----  ------  "
        "------\n"
        "causal  4  0.7300  0.0258\n"
        "hybrid  4  0.7525  0.0050      0.0225   0.0250  0.0000  0.0425    0.90      4  0.2500  "
        "0.2500\n"
        "ggsm    4  0.7600  0.0327      0.0300   0.0115  0.0200  0.0400    2.60      4  0.1250  "
        "0.2500\n"
        "\n"
        "auc of credit/default on the test split: the last score of each run that is done; mean "
        "and sample sd over n seeds.\n"
        "Baseline: mask=causal.\n"
        "Against the baseline, paired by seed: mean difference, sd of the differences, 95 % "
        "bootstrap interval of their mean (10000 resamples; too narrow for few seeds), effect = "
        "difference / diff_sd, exact two-sided sign-flip p, and p after Holm over all 2 "
        "comparisons of this table.\n"
        "4 seeds: smallest possible p 0.12, after Holm over 2 comparisons 0.25: no difference can "
        "reach 0.05 (it takes 7 seeds).\n");
    free(text);
    char *again = print_report(made, TABLE_LATEX, NULL);
    assert_non_null(strstr(again, "\\begin{tabular}{lrrrrrrrrrrr}\n"));
    assert_non_null(strstr(again, "\n% Baseline: mask=causal.\n"));
    free(again);
    report_free(made);
}

static void enough_seeds_can_reach_the_level_and_the_sentence_says_so(void **state)
{
    double values[12];
    plan_cells(*state, "e", 2, masks, 6);
    for (int i = 0; i < 12; i++)
        values[i] = 0.5 + 0.01 * (i % 6) + 0.1 * (i / 6);
    put_scores(*state, 1, 12, values);
    report *made = must_compare(*state, (report_comparison){0});
    assert_number(made, 1, "p", 2.0 / 64);
    assert_number(made, 1, "p_holm", 2.0 / 64);
    assert_noted(made, "6 seeds: smallest possible p 0.031: a difference can reach 0.05.");
    report_free(made);
}

static void equal_scores_are_no_effect(void **state)
{
    static const double same[] = {0.5, 0.6, 0.7};
    plan_cells(*state, "e", 2, masks, 3);
    put_scores(*state, 1, 3, same);
    put_scores(*state, 4, 3, same);
    report *made = must_compare(*state, (report_comparison){0});
    assert_number(made, 1, "difference", 0);
    assert_number(made, 1, "diff_sd", 0);
    assert_number(made, 1, "effect", NAN);
    assert_number(made, 1, "p", 1);
    assert_number(made, 1, "low", 0);
    report_free(made);
}

/* Seed 2 of causal is missing, seed 3 of hybrid is a nan, seed 4 of hybrid is not done: seeds 1 and
 * 5 make pairs. ggsm has not begun. */
static void what_is_missing_is_left_out_and_said(void **state)
{
    const test_place *place = *state;
    plan_cells(place, "e", 3, masks, 5);
    for (int seed = 1; seed <= 5; seed++) {
        if (seed != 2)
            put_score(place, seed, "default", "auc", "test", 100, 0.1 * seed);
        if (seed != 4)
            put_score(place, 5 + seed, "default", "auc", "test", 100,
                      seed == 3 ? NAN : 0.1 * seed + 0.02 * seed);
    }
    must_do(place, "UPDATE run SET status = 'failed' WHERE run_id = 9;"
                   "UPDATE run SET status = 'done' WHERE run_id = 2;"
                   "UPDATE run SET status = 'running' WHERE run_id = 11;"
                   "INSERT INTO score VALUES(9, 'credit', 'default', 'auc', 'test', 50, 9, NULL, "
                   "NULL, NULL, NULL)");
    report *made = must_compare(place, (report_comparison){0});
    assert_number(made, 0, "n", 4);
    assert_number(made, 1, "n", 3);
    assert_number(made, 1, "mean", 0.32); /* seeds 1, 2 and 5: .12, .24, .60 */
    assert_number(made, 1, "pairs", 2);
    assert_number(made, 1, "difference", 0.06); /* .02 and .10 */
    assert_number(made, 1, "p", 2.0 / 4);
    assert_number(made, 2, "n", 0);
    assert_number(made, 2, "mean", NAN);
    assert_number(made, 2, "pairs", 0);
    assert_noted(made, "9 of 15 runs are done");
    assert_noted(made, "mask=hybrid: 4 of 5 seeds are done (1 failed).");
    assert_noted(made, "mask=ggsm: 0 of 5 seeds are done (1 running, 4 pending).");
    assert_noted(made, "mask=hybrid: 1 score is not finite and left out.");
    assert_noted(made, "mask=causal: 1 run is done and without this score.");
    assert_noted(made, "mask=hybrid: 2 of its 3 seeds have a partner in the baseline.");
    report_free(made);
}

static void one_seed_has_no_spread_and_no_test(void **state)
{
    static const double values[] = {0.5, 0.6};
    plan_cells(*state, "e", 2, masks, 1);
    put_scores(*state, 1, 2, values);
    report *made = must_compare(*state, (report_comparison){0});
    assert_number(made, 1, "difference", 0.1);
    assert_number(made, 1, "sd", NAN);
    assert_number(made, 1, "p", NAN);
    assert_number(made, 1, "low", NAN);
    char *text = print_report(made, TABLE_TEXT, NULL);
    assert_non_null(strstr(text, "causal  1  0.5000  n/a\n"));
    free(text);
    assert_noted(made, "nothing can be said about chance");
    report_free(made);
}

static const test_cell crossed[] = {
    {"mask=causal size=tiny", 2, {{"mask", "causal"}, {"size", "tiny"}}},
    {"mask=causal size=small", 2, {{"mask", "causal"}, {"size", "small"}}},
    {"mask=hybrid size=tiny", 2, {{"mask", "hybrid"}, {"size", "tiny"}}},
    {"mask=hybrid size=small", 2, {{"mask", "hybrid"}, {"size", "small"}}},
};

static void make_crossed(const test_place *place)
{
    static const double values[] = {0.1, 0.2, 0.5, 0.6, 0.2, 0.4, 0.5, 0.5};
    plan_cells(place, "e", 4, crossed, 2);
    put_scores(place, 1, 8, values);
}

/* tiny: hybrid is better by .1 and .2; small: by 0 and -.1. Never tiny against small. */
static void by_one_axis_the_others_are_held_equal(void **state)
{
    static const char *const by[] = {"mask"};
    make_crossed(*state);
    report *made = must_compare(*state, (report_comparison){.by_count = 1, .by = by});
    char *text = print_report(made, TABLE_MARKDOWN, NULL);
    assert_non_null(strstr(text, "| tiny | causal | 2 | 0.1500 |"));
    assert_non_null(strstr(text, "| tiny | hybrid | 2 | 0.3000 |"));
    assert_true(strstr(text, "| small | causal |") > strstr(text, "| tiny | hybrid |"));
    free(text);
    assert_number(made, 1, "difference", 0.15);
    assert_number(made, 3, "difference", -0.05);
    assert_noted(made, "each of their 2 combinations");
    assert_noted(made, "Baseline: mask=causal size=small.");
    report_free(made);

    made = must_compare(*state, (report_comparison){.by_count = 1, .by = by, .baseline = "hybrid"});
    assert_number(made, 0, "difference", -0.15);
    report_free(made);

    /* Without axes every cell is compared with the first. */
    made = must_compare(*state, (report_comparison){0});
    assert_number(made, 3, "difference", 0.35);
    assert_noted(made, "Baseline: mask=causal size=tiny.");
    report_free(made);
    made = must_compare(*state, (report_comparison){.baseline = "mask=hybrid size=tiny"});
    assert_number(made, 0, "difference", -0.15);
    report_free(made);
}

/* One comparison of the two that there are, so Holm has one to correct. */
static void a_condition_leaves_the_cells_that_meet_it(void **state)
{
    static const char *const small[] = {"size=small"};
    make_crossed(*state);
    report *made = must_compare(*state, (report_comparison){.where_count = 1, .where = small});
    assert_int_equal(table_rows(report_table(made, 0)), 2);
    assert_number(made, 1, "difference", -0.05);
    assert_number(made, 1, "p_holm", number(made, 1, "p"));
    assert_noted(made, "Baseline: mask=causal size=small.");
    report_free(made);
}

/* mask.warmup exists only for ggsm, so it cannot be held equal against causal. */
static void an_axis_inside_a_compared_one_is_compared_along(void **state)
{
    static const test_cell cells[] = {
        {"mask=causal", 1, {{"mask", "causal"}}},
        {"mask=ggsm mask.warmup=0.1", 2, {{"mask", "ggsm"}, {"mask.warmup", "0.1"}}},
        {"mask=ggsm mask.warmup=0.2", 2, {{"mask", "ggsm"}, {"mask.warmup", "0.2"}}},
    };
    static const char *const by[] = {"mask"};
    static const double values[] = {0.1, 0.1, 0.2, 0.2, 0.3, 0.3};
    plan_cells(*state, "e", 3, cells, 2);
    put_scores(*state, 1, 6, values);
    report *made = must_compare(*state, (report_comparison){.by_count = 1, .by = by});
    assert_number(made, 2, "difference", 0.2);
    report_free(made);
}

static void a_combination_without_the_baseline_is_not_compared(void **state)
{
    static const char *const by[] = {"mask"};
    static const double values[] = {0.1, 0.2, 0.5, 0.6, 0.2, 0.4};
    plan_cells(*state, "e", 3, crossed, 2); /* hybrid is there for tiny alone */
    put_scores(*state, 1, 6, values);
    report *made =
        must_compare(*state, (report_comparison){.by_count = 1, .by = by, .baseline = "hybrid"});
    assert_noted(made, "No baseline beside mask=causal size=small: not compared.");
    assert_number(made, 2, "difference", NAN);
    assert_number(made, 0, "difference", -0.15);
    report_free(made);
}

static void several_benchmarks_are_rows_and_one_family(void **state)
{
    const test_place *place = *state;
    plan_cells(place, "e", 2, masks, 3);
    for (int run = 1; run <= 6; run++) {
        put_score(place, run, "churn", "auc", "test", 100, 0.1 * run);
        put_score(place, run, "default", "auc", "test", 50, 9);
        put_score(place, run, "default", "auc", "test", 100, 0.01 * run);
        put_score(place, run, "default", "ks", "test", 100, 0.5);
    }
    report *made = must_compare(place, (report_comparison){.each = true});
    assert_int_equal(table_rows(report_table(made, 0)), 4);
    assert_number(made, 1, "difference", 0.3);
    assert_number(made, 3, "difference", 0.03); /* the last scores, not those at 50 */
    assert_number(made, 3, "p", 0.25);
    assert_number(made, 3, "p_holm", 0.5);
    assert_noted(made, "Also measured: ks");
    report_free(made);
    made = must_compare(place, (report_comparison){.metric = "ks"});
    assert_int_equal(table_rows(report_table(made, 0)), 2);
    assert_noted(made, "ks of credit/default on the test split");
    report_free(made);
}

static void valid_stands_in_where_there_is_no_test_and_single_classes_come_last(void **state)
{
    const test_place *place = *state;
    plan_cells(place, "e", 1, masks, 2);
    for (int run = 1; run <= 2; run++) {
        put_score(place, run, "b", "iou:car", "valid", 100, 0.1);
        put_score(place, run, "b", "miou", "valid", 100, 0.2);
        put_score(place, run, "b", "iou:car", "test", 100, 0.3);
    }
    report *made = must_compare(place, (report_comparison){0});
    assert_noted(made, "miou of credit/b on the valid split");
    assert_noted(made, "There are no scores on test");
    assert_noted(made, "nothing to compare it with");
    assert_number(made, 0, "mean", 0.2);
    report_free(made);
    made = must_compare(place, (report_comparison){.metric = "iou:car"});
    assert_number(made, 0, "mean", 0.3);
    assert_not_noted(made, "There are no scores on test");
    report_free(made);
}

static void cells_of_older_plans_are_not_shown(void **state)
{
    make_three_masks(*state);
    plan_cells(*state, "e", 2, masks + 1, 4);
    report *made = must_compare(*state, (report_comparison){0});
    assert_int_equal(table_rows(report_table(made, 0)), 2);
    assert_noted(made, "Baseline: mask=hybrid."); /* the first of the newest plan */
    report_free(made);
}

static void nothing_done_yet_is_a_table_of_nothing(void **state)
{
    plan_cells(*state, "e", 2, masks, 3);
    report *made = must_compare(*state, (report_comparison){0});
    assert_int_equal(table_rows(report_table(made, 0)), 2);
    assert_number(made, 0, "n", 0);
    assert_number(made, 0, "mean", NAN);
    assert_noted(made, "There are no scores yet.");
    assert_noted(made, "0 of 6 runs are done");
    report_free(made);
}

/* The exact test takes 24 pairs; more are said to be too many, and the rest stands. */
static void more_pairs_than_the_exact_test_takes_are_said(void **state)
{
    double values[50];
    plan_cells(*state, "e", 2, masks, 25);
    for (int i = 0; i < 50; i++)
        values[i] = 0.01 * (i % 25) + 0.1 * (i / 25);
    put_scores(*state, 1, 50, values);
    report *made = must_compare(*state, (report_comparison){0});
    assert_number(made, 1, "p", NAN);
    assert_number(made, 1, "difference", 0.1);
    assert_noted(made, "25 pairs are too many for the exact test (24).");
    report_free(made);
}

static void wrong_requests_name_what_was_meant(void **state)
{
    static const char *const axis[] = {"maks"}, *const nowhere[] = {"size=smal"};
    static const struct {
        report_comparison asked;
        const char *what, *hint;
    } cases[] = {
        {{.experiment = "ee"}, "unknown experiment 'ee'", "did you mean 'e'?"},
        {{.by_count = 1, .by = axis}, "unknown axis 'maks'", "did you mean 'mask'?"},
        {{.where_count = 1, .where = nowhere},
         "no cell has size=smal",
         "did you mean 'size=small'?"},
        {{.metric = "acu"}, "unknown metric 'acu'", "did you mean 'auc'?"},
        {{.suite = "credti"}, "unknown suite 'credti'", "did you mean 'credit'?"},
        {{.split = "tset"}, "unknown split 'tset'", "did you mean 'test'?"},
        {{.stage = "mian"}, "unknown stage 'mian'", "did you mean 'main'?"},
        {{.baseline = "casual"}, "no cell is meant by baseline 'casual'", "did you mean 'causal'?"},
        {{.baseline = "causal"}, "baseline 'causal' means several cells", "give the whole label"},
    };
    make_crossed(*state);
    const test_place *place = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assay_error error = {0};
        report_comparison asked = cases[i].asked;
        if (asked.experiment == NULL)
            asked.experiment = "e";
        report *made = report_compare(place->path, &asked, &error);
        assert_null(made);
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_string_equal(error.what, cases[i].what);
        if (strstr(error.hint, cases[i].hint) == NULL)
            fail_msg("%s: hint '%s', not '%s'", error.what, error.hint, cases[i].hint);
    }
}

static void what_could_have_been_meant_is_named_once(void **state)
{
    make_crossed(*state);
    const test_place *place = *state;
    assay_error error = {0};
    put_score(place, 1, "default", "auc", "valid", 100, 0.5); /* the suite's second measure */
    assert_null(report_compare(place->path,
                               &(report_comparison){.experiment = "e", .suite = "credti"}, &error));
    assert_string_equal(error.expected, "credit");
}

static void stores_that_are_none_or_empty_say_so(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    report_comparison asked = {.experiment = "e"};
    assert_null(report_compare("/nowhere/a.db", &asked, &error));
    assert_int_equal(error.code, ASSAY_IO);
    assay_error_clear(&error);
    store_free(must_open(place));
    assert_null(report_compare(place->path, &asked, &error));
    assert_string_equal(error.what, "the store has no experiments");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_numbers_are_those_of_pen_and_paper),
        TEST(the_table_reads_like_this),
        TEST(enough_seeds_can_reach_the_level_and_the_sentence_says_so),
        TEST(equal_scores_are_no_effect),
        TEST(what_is_missing_is_left_out_and_said),
        TEST(one_seed_has_no_spread_and_no_test),
        TEST(by_one_axis_the_others_are_held_equal),
        TEST(an_axis_inside_a_compared_one_is_compared_along),
        TEST(a_condition_leaves_the_cells_that_meet_it),
        TEST(a_combination_without_the_baseline_is_not_compared),
        TEST(several_benchmarks_are_rows_and_one_family),
        TEST(valid_stands_in_where_there_is_no_test_and_single_classes_come_last),
        TEST(cells_of_older_plans_are_not_shown),
        TEST(nothing_done_yet_is_a_table_of_nothing),
        TEST(more_pairs_than_the_exact_test_takes_are_said),
        TEST(wrong_requests_name_what_was_meant),
        TEST(what_could_have_been_meant_is_named_once),
        TEST(stores_that_are_none_or_empty_say_so),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
