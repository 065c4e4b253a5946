/* test_suites.c - suites of several benchmarks: their mean seed by seed, a column each, and a
 * paper's numbers beside ours. */
#include "ablation.h"

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
    {"mask=ggsm{warmup=0.1}", 1, {{"mask", "ggsm{warmup=0.1}"}}},
    {"mask=mine", 1, {{"mask", "mine"}}},
};

static void put(const test_place *place, int64_t run_id, const char *suite, const char *benchmark,
                const char *metric, double value)
{
    char sql[512], number[32] = "NULL, 'nan'";
    if (!isnan(value))
        snprintf(number, sizeof number, "%.17g, NULL", value);
    snprintf(sql, sizeof sql,
             "UPDATE run SET status = 'done' WHERE run_id = %lld; INSERT INTO score VALUES(%lld, "
             "'%s', '%s', '%s', 'test', 7, %s, NULL, NULL, NULL)",
             (long long)run_id, (long long)run_id, suite, benchmark, metric, number);
    must_do(place, sql);
}

/* Two benchmarks, three cells, three seeds. food: .1 x cell + .01 x seed; mau .2 more. ks: all
 * .5. */
static void make_masks(const test_place *place)
{
    plan_cells(place, "e", 3, masks, 3);
    for (int run = 1; run <= 9; run++) {
        double food = 0.1 * ((run - 1) / 3) + 0.01 * ((run - 1) % 3);
        put(place, run, "cognition9", "food", "auc", food);
        put(place, run, "cognition9", "mau", "auc", food + 0.2);
        put(place, run, "cognition9", "mau", "ks", 0.5);
    }
}

static report *must_compare(const test_place *place, report_comparison asked)
{
    assay_error error = {0};
    asked.experiment = "e";
    report *made = report_compare(place->path, &asked, &error);
    if (made == NULL)
        fail_msg("%s (%s); %s; %s", error.what, error.where, error.got, error.hint);
    return made;
}

static void must_refuse(const test_place *place, report_comparison asked, const char *what,
                        const char *part)
{
    assay_error error = {0};
    char line[2048];
    asked.experiment = "e";
    assert_null(report_compare(place->path, &asked, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_string_equal(error.what, what);
    if (strstr(assay_error_format(&error, line, sizeof line), part) == NULL)
        fail_msg("%s", line);
}

/* The cell of the table as JSON has it; the caller drops it. */
static json_t *cell_of(report *made, int row, const char *column)
{
    char *text = print_report(made, TABLE_JSON, NULL);
    json_t *rows = json_loads(text, 0, NULL);
    free(text);
    assert_non_null(rows);
    json_t *cell = json_object_get(json_array_get(rows, (size_t)row), column);
    assert_non_null(cell);
    json_incref(cell);
    json_decref(rows);
    return cell;
}

static void assert_number(report *made, int row, const char *column, double expected)
{
    json_t *cell = cell_of(made, row, column);
    double got = json_is_null(cell) ? NAN : json_number_value(cell);
    json_decref(cell);
    if (!(fabs(got - expected) < 1e-12) && !(isnan(got) && isnan(expected)))
        fail_msg("%s of row %d: %.15g, not %.15g", column, row, got, expected);
}

static void assert_text(report *made, int row, const char *column, const char *expected)
{
    json_t *cell = cell_of(made, row, column);
    if (expected == NULL)
        assert_true(json_is_null(cell));
    else
        assert_string_equal(json_string_value(cell), expected);
    json_decref(cell);
}

static void a_suite_is_compared_by_its_mean_seed_by_seed(void **state)
{
    make_masks(*state);
    report *made = must_compare(*state, (report_comparison){0});
    assert_int_equal(table_rows(report_table(made, 0)), 3);
    assert_number(made, 0, "mean", 0.11);
    assert_number(made, 0, "sd", 0.01);
    assert_number(made, 2, "difference", 0.2);
    assert_number(made, 2, "p", 0.25);
    assert_number(made, 2, "p_holm", 0.5); /* two comparisons, not four */
    assert_noted(made, "auc of cognition9 (mean of its 2 benchmarks)");
    report_free(made);
    made = must_compare(*state, (report_comparison){.benchmark = "mau"});
    assert_int_equal(table_rows(report_table(made, 0)), 3);
    assert_number(made, 0, "mean", 0.21);
    report_free(made);
    made = must_compare(*state, (report_comparison){.each = true});
    assert_int_equal(table_rows(report_table(made, 0)), 6);
    assert_text(made, 3, "benchmark", "mau");
    report_free(made);
    made = must_compare(*state, (report_comparison){.metric = "ks"}); /* one benchmark has it */
    assert_noted(made, "ks of cognition9/mau");
    report_free(made);
    must_refuse(*state, (report_comparison){.benchmark = "muu"}, "unknown benchmark 'muu'",
                "did you mean 'mau'?");
}

/* Seed 1 of ggsm lacks mau, seed 2's is not finite. */
static void a_seed_without_all_benchmarks_has_no_mean(void **state)
{
    make_masks(*state);
    must_do(*state, "DELETE FROM score WHERE run_id = 4 AND benchmark = 'mau';"
                    "UPDATE score SET value = NULL, nonfinite = 'nan' WHERE run_id = 5 AND "
                    "benchmark = 'food'");
    report *made = must_compare(*state, (report_comparison){0});
    assert_number(made, 1, "n", 1);
    assert_number(made, 1, "mean", 0.22); /* seed 3 */
    assert_number(made, 1, "pairs", 1);
    assert_noted(made, "mask=ggsm{warmup=0.1}: 1 run is done and without all of these scores.");
    assert_noted(made, "mask=ggsm{warmup=0.1}: 1 score is not finite and left out.");
    report_free(made);
}

static void wide_is_a_row_a_cell_and_a_column_a_benchmark(void **state)
{
    make_masks(*state);
    report *made = must_compare(*state, (report_comparison){.wide = true});
    char *text = print_report(made, TABLE_TEXT, NULL);
    const char *expected =
        "mask              n    food     mau     avg      sd  difference  p_holm\n"
        "----------------  -  ------  ------  ------  ------  ----------  ------\n"
        "causal            3  0.0100  0.2100  0.1100  0.0100\n"
        "ggsm{warmup=0.1}  3  0.1100  0.3100  0.2100  0.0100      0.1000  0.5000\n"
        "mine              3  0.2100  0.4100  0.3100  0.0100      0.2000  0.5000\n";
    if (strncmp(text, expected, strlen(expected)) != 0)
        fail_msg("%s", text);
    free(text);
    report_free(made);
}

static void a_wide_table_a_suite(void **state)
{
    make_masks(*state);
    for (int run = 1; run <= 9; run++)
        put(*state, run, "other", "", "auc", 0.3);
    report *made = must_compare(*state, (report_comparison){.wide = true});
    assert_int_equal(report_sections(made), 2);
    assert_string_equal(report_title(made, 1), "other");
    char *text = print_report(made, TABLE_CSV, NULL);
    assert_non_null(strstr(text, "mask,n,auc,sd,difference,p_holm"));
    free(text);
    report_free(made);
}

/* ggsm is put to GG-SM by what is known of that row, causal by name; mine by nothing. */
static void published_rows_stand_beside_the_cells_they_belong_to(void **state)
{
    make_masks(*state);
    must_do(*state,
            "INSERT INTO param SELECT run_id, 'model.size', NULL, 'tiny', 'default' FROM "
            "run WHERE true ON CONFLICT DO UPDATE SET txt = 'tiny';"
            "INSERT INTO param SELECT run_id, 'train.batch', 2048, NULL, 'default' FROM run");
    report *made = must_compare(*state, (report_comparison){.published = "gg-sm/2"});
    assert_int_equal(table_rows(report_table(made, 0)), 3 + 14);
    assert_text(made, 0, "method", "Causal");
    assert_number(made, 0, "published", 0.7709);
    assert_text(made, 1, "method", "GG-SM");
    assert_number(made, 1, "published", 0.7745);
    assert_number(made, 1, "published_difference", 0.0036);
    assert_number(made, 1, "difference", 0.1);
    assert_text(made, 1, "comparable", "no");
    assert_text(made, 2, "method", NULL);
    assert_text(made, 3, "method", "Scheduler"); /* the best of those that are left */
    assert_noted(made, "model.size tiny, theirs qwen2.5-0.5b");
    assert_noted(made, "train.steps none, theirs 70000");
    assert_not_noted(made, "train.batch");
    report_free(made);
    made = must_compare(*state, (report_comparison){.published = "GG-SM", .benchmark = "mau"});
    assert_text(made, 1, "method", "GG-SM (Table 2)");
    assert_number(made, 1, "published", 0.9674);
    report_free(made);
}

static void the_user_says_what_belongs_together(void **state)
{
    static const char *const match[] = {"mine=ggsm", "mask=causal=hybrid_gq"};
    static const char *const no_method[] = {"mine=hybrid_qq"}, *const no_cell[] = {"min=ggsm"},
                             *const no_sign[] = {"ggsm"};
    make_masks(*state);
    report_comparison asked = {.published = "ggsm/table 2", .match_count = 2, .match = match};
    report *made = must_compare(*state, asked);
    assert_text(made, 0, "method", "Hybrid_gq");
    assert_text(made, 1, "method", "GG-SM"); /* as ever */
    assert_text(made, 2, "method", "GG-SM");
    assert_number(made, 2, "published_difference", 0.7745 - 0.7706);
    report_free(made);
    asked.match_count = 1;
    asked.match = no_method;
    must_refuse(*state, asked, "unknown published method 'hybrid_qq'", "Hybrid_gq");
    asked.match = no_cell;
    must_refuse(*state, asked, "no cell is meant by 'min'", "--match");
    asked.match = no_sign;
    must_refuse(*state, asked, "'ggsm' matches nothing", "CELL=METHOD");
    must_refuse(*state, (report_comparison){.published = "gg-sm/3"},
                "unknown published table 'gg-sm/3'", "GG-SM/Table 2");
    must_refuse(*state, (report_comparison){.published = "q-anchor/2"},
                "q-anchor/2 has no numbers for what the experiment measures", "auc of alipay10");
}

/* Values of plugin axes tell their options in braces. */
static void rows_of_an_ablation_find_their_options(void **state)
{
    static const test_cell rows[] = {
        {"a",
         2,
         {{"loss", "contrastive{margin=0.1}+next_token"},
          {"model", "user_decoder{user_summary=true,source_summary=true}"}}},
        {"b",
         2,
         {{"loss", "contrastive{margin=0.1}+next_token"},
          {"model", "user_decoder{user_summary=false,source_summary=true}"}}},
        {"c",
         2,
         {{"loss", "contrastive{margin=2.0}+next_token"},
          {"model", "user_decoder{user_summary=true,source_summary=true}"}}},
        {"d",
         2,
         {{"loss", "contrastive{margin=0.1}"},
          {"model", "user_decoder{user_summary=true,source_summary=true}"}}},
        {"e",
         2,
         {{"loss", "next_token"},
          {"model", "user_decoder{user_summary=true,source_summary=true}"}}},
    };
    static const char *const methods[] = {"Base", "w/o user token", "w/o filter", "w/o NTP",
                                          "w/o contrastive"};
    plan_cells(*state, "e", 5, rows, 1);
    for (int run = 1; run <= 5; run++) {
        put(*state, run, "alipay10", "login", "auc", 0.1 * run);
        put(*state, run, "alipay10", "brand", "auc", 0.1 * run);
    }
    report *made = must_compare(*state, (report_comparison){.published = "q-anchor/3"});
    assert_int_equal(table_rows(report_table(made, 0)), 9);
    for (int row = 0; row < 5; row++)
        assert_text(made, row, "method", methods[row]);
    assert_number(made, 3, "published_difference", 0.8061 - 0.8104);
    report_free(made);
}

static void the_control_is_not_the_paper_s_method(void **state)
{
    static const test_cell rows[] = {
        {"a", 1, {{"mask", "ggsm{guidance=gradient}"}}},
        {"b", 1, {{"mask", "ggsm{guidance=constant}"}}},
    };
    plan_cells(*state, "e", 2, rows, 1);
    for (int run = 1; run <= 2; run++)
        put(*state, run, "cognition9", "mau", "auc", 0.1 * run);
    report *made = must_compare(*state, (report_comparison){.published = "gg-sm/2"});
    assert_text(made, 0, "method", "GG-SM");
    assert_text(made, 1, "method", NULL);
    report_free(made);
}

/* Generated scenes have no published numbers: UNIP's stand beside them, protocol by protocol, and
 * are said to be of other data. */
static void a_paper_s_suite_stands_beside_another_of_ours(void **state)
{
    static const test_cell rows[] = {
        {"a", 2, {{"init", "none"}, {"model.head", "upernet"}}},
        {"b", 2, {{"init", "mae"}, {"model.head", "upernet"}}},
        {"c", 2, {{"init", "unip"}, {"model.head", "upernet"}}},
        {"d", 2, {{"init", "unip"}, {"model.head", "linear"}}},
    };
    plan_cells(*state, "e", 4, rows, 1);
    for (int run = 1; run <= 4; run++)
        put(*state, run, "thermal_synth", "segmentation", "miou", 0.1 * run);
    report *made = must_compare(*state, (report_comparison){.published = "unip/fine-tuning"});
    assert_int_equal(table_rows(report_table(made, 0)), 4 + 22);
    assert_text(made, 0, "method", NULL);
    assert_text(made, 1, "method", "MAE-S");
    assert_number(made, 1, "published", 0.5539);
    assert_text(made, 2, "method", "UNIP-S (MAE-L)");
    assert_number(made, 2, "published", 0.6436);
    assert_number(made, 2, "ours", 0.3);
    assert_text(made, 2, "comparable", "no");
    assert_text(made, 3, "method", NULL); /* another protocol */
    assert_noted(made, "Ours are of the suite thermal_synth, theirs of infrared3: other data.");
    report_free(made);
    made = must_compare(*state, (report_comparison){.published = "unip/linear probing"});
    assert_text(made, 3, "method", "UNIP-S (MAE-L)");
    assert_number(made, 3, "published", 0.4404);
    report_free(made);
    made = must_compare(*state, (report_comparison){.published = "pad/soda"});
    assert_int_equal(table_rows(report_table(made, 0)), 4 + 3);
    assert_text(made, 4, "method", "PAD"); /* the best of those that are left */
    assert_number(made, 4, "published", 0.684);
    report_free(made);
    must_refuse(*state, (report_comparison){.published = "pad/flir"},
                "pad/flir has no numbers for what the experiment measures", "ap of flir");
}

/* A paper of the user's own, whose conditions are the run's. */
static void numbers_under_the_same_conditions_are_comparable(void **state)
{
    make_masks(*state);
    must_do(*state,
            "INSERT INTO published VALUES('Mine', 'T', 'causal', 'cognition9', 'mau', 'auc', 0.5, "
            "'printed');"
            "INSERT INTO published_fact VALUES('Mine', '', '', 'condition', 'train.steps', '100'), "
            "('Mine', '', '', 'condition', 'seeds', '3');"
            "INSERT OR REPLACE INTO param SELECT run_id, 'train.steps', 100.0, NULL, 'script' FROM "
            "run");
    report *made =
        must_compare(*state, (report_comparison){.published = "mine", .benchmark = "mau"});
    assert_text(made, 0, "comparable", "yes");
    assert_not_noted(made, "Not comparable");
    report_free(made);
}

/* A model for each benchmark: of two cells each has one. Axes that move together are joined
 * together. */
static void cells_are_joined_that_have_benchmarks_of_their_own(void **state)
{
    static const test_cell tasks[] = {
        {"init=no task=food", 3, {{"init", "no"}, {"task", "food"}, {"only", "[food]"}}},
        {"init=no task=mau", 3, {{"init", "no"}, {"task", "mau"}, {"only", "[mau]"}}},
        {"init=yes task=food", 3, {{"init", "yes"}, {"task", "food"}, {"only", "[food]"}}},
        {"init=yes task=mau", 3, {{"init", "yes"}, {"task", "mau"}, {"only", "[mau]"}}},
    };
    static const char *const join[] = {"task"}, *const both[] = {"task", "init"};
    plan_cells(*state, "e", 4, tasks, 3);
    for (int run = 1; run <= 12; run++)
        put(*state, run, "cognition9", (run - 1) / 3 % 2 == 0 ? "food" : "mau", "auc", 0.05 * run);
    report *made =
        must_compare(*state, (report_comparison){.join_count = 1, .join = join, .wide = true});
    assert_int_equal(table_rows(report_table(made, 0)), 2);
    char *text = print_report(made, TABLE_CSV, NULL);
    assert_int_equal(strncmp(text, "init,n,food,mau,avg,sd,difference,p_holm\r\n", 42), 0);
    free(text);
    assert_number(made, 0, "food", 0.1); /* runs 1 .. 3 */
    assert_number(made, 0, "mau", 0.25); /* runs 4 .. 6 */
    assert_number(made, 0, "avg", 0.175);
    assert_number(made, 1, "difference", 0.3);
    assert_noted(made, "Joined: 4 cells are 2 rows");
    assert_noted(made, "Baseline: init=no.");
    report_free(made);
    must_refuse(*state, (report_comparison){.join_count = 2, .join = both},
                "several cells of all have benchmark 'food'", "--join");
    must_do(*state, "DELETE FROM score WHERE run_id = 12;"
                    "UPDATE run SET status = 'failed' WHERE run_id = 12");
    made = must_compare(*state, (report_comparison){.join_count = 1, .join = join});
    assert_number(made, 1, "n", 2);
    assert_noted(made, "11 of 12 runs are done");
    assert_noted(made, "init=yes task=mau: 2 of 3 seeds are done (1 failed).");
    assert_not_noted(made, "without all of these scores");
    report_free(made);
}

static void the_list_of_runs_shows_the_suite_s_mean(void **state)
{
    make_masks(*state);
    report *made = report_runs(((const test_place *)*state)->path, "e", 0, NULL);
    assert_non_null(made);
    assert_text(made, 4, "score", "cognition9/avg/auc");
    assert_number(made, 4, "test", 0.21);
    report_free(made);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_suite_is_compared_by_its_mean_seed_by_seed),
        TEST(a_seed_without_all_benchmarks_has_no_mean),
        TEST(wide_is_a_row_a_cell_and_a_column_a_benchmark),
        TEST(a_wide_table_a_suite),
        TEST(published_rows_stand_beside_the_cells_they_belong_to),
        TEST(a_paper_s_suite_stands_beside_another_of_ours),
        TEST(rows_of_an_ablation_find_their_options),
        TEST(the_control_is_not_the_paper_s_method),
        TEST(the_user_says_what_belongs_together),
        TEST(cells_are_joined_that_have_benchmarks_of_their_own),
        TEST(the_list_of_runs_shows_the_suite_s_mean),
        TEST(numbers_under_the_same_conditions_are_comparable),
    };
    return cmocka_run_group_tests_name("suites", tests, NULL, NULL);
}
