/* test_runs.c - the list of runs and the table of any query. */
#include "ablation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1700000000000)

static const test_cell cells[] = {
    {"mask=causal", 1, {{"mask", "causal"}}},
    {"mask=ggsm", 1, {{"mask", "ggsm"}}},
};

/* Done, running for five minutes without a beat, failed at once, not begun. */
static void make_four_runs(const test_place *place)
{
    plan_cells(place, "e", 2, cells, 2);
    put_score(place, 1, "default", "auc", "valid", 50, 0.8);
    put_score(place, 1, "default", "auc", "valid", 100, 0.7);
    put_score(place, 1, "default", "auc", "test", 100, 0.6);
    must_do(place,
            "UPDATE run SET status = 'running' WHERE run_id = 2;"
            "UPDATE run SET status = 'failed', error = 'the loss is nan' WHERE run_id = 3;"
            "INSERT INTO series_key VALUES(1, 'loss', 'min'), (2, 'lr', NULL);"
            "INSERT INTO series VALUES(1, 1, 100, 0.25, NULL, 2, 0), (1, 1, 50, 0.5, NULL, 1, 0),"
            "(1, 2, 101, 0.001, NULL, 2, 0), (3, 1, 7, NULL, 'nan', 1, 0);"
            "INSERT INTO attempt(run_id, n, host, boot_id, pid, pid_start, start_ms, beat_ms, "
            "end_ms, from_step, threads, cpu, build_sig) VALUES"
            "(1, 1, 'h', 'b', 1, 1, 0, 1699990000000, 1699990000000, 0, 2, 'c', 's'),"
            "(1, 2, 'h', 'b', 1, 1, 0, 1699996400000, 1699996400000, 50, 2, 'c', 's'),"
            "(2, 1, 'h', 'b', 1, 1, 0, 1699999700000, NULL, 0, 2, 'c', 's'),"
            "(3, 1, 'h', 'b', 1, 1, 0, 1699999999000, 1699999999000, 0, 2, 'c', 's');");
}

static void runs_stand_in_the_plans_order_with_what_they_have_shown(void **state)
{
    const test_place *place = *state;
    make_four_runs(place);
    report *made = report_runs(place->path, "e", NOW, NULL);
    assert_non_null(made);
    char *text = print_report(made, TABLE_TEXT, NULL);
    assert_string_equal(
        text,
        "run_id  stage  cell         seed  state    step  total  loss    score                "
        "valid    best    test  attempts  age     error\n"
        "------  -----  -----------  ----  -------  ----  -----  ------  ------------------  "
        "------  ------  ------  --------  ------  ---------------\n"
        "     1  main   mask=causal     1  done      101    100  0.2500  credit/default/auc  "
        "0.7000  0.8000  0.6000         2  60 min\n"
        "     2  main   mask=causal     2  running          100                                    "
        "                         1  5 min\n"
        "     3  main   mask=ggsm       1  failed      7    100  nan                               "
        "                         1  1 s     the loss is nan\n"
        "     4  main   mask=ggsm       2  pending          100                                    "
        "                         0\n"
        "\n"
        "4 runs: 1 done, 1 running, 1 pending, 1 failed\n"
        "run 2 is marked running and has not been heard of for 5 min; the next assay run finds "
        "out whether its process is alive\n");
    free(text);
    report_free(made);
}

/* The alphabet would begin with the accuracy of all pixels, and classes' own numbers are no
 * summary. */
static void the_score_is_what_papers_lead_with(void **state)
{
    static const char *const metrics[] = {"aacc", "iou/car", "macc", "miou"};
    const test_place *place = *state;
    plan_cells(place, "e", 1, cells, 1);
    for (int i = 0; i < 4; i++)
        put_score(place, 1, "b", metrics[i], "test", 100, 0.1 * (i + 1));
    report *made = report_runs(place->path, "e", NOW, NULL);
    assert_non_null(made);
    char *text = print_report(made, TABLE_CSV, NULL);
    assert_non_null(strstr(text, ",credit/b/miou,,,0.4,"));
    free(text);
    report_free(made);
    made = report_compare(place->path, &(report_comparison){.experiment = "e"}, NULL);
    assert_non_null(made);
    assert_noted(made, "miou of credit/b on the test split");
    report_free(made);
}

static void all_experiments_are_listed_by_name_and_an_unknown_one_is_refused(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    make_four_runs(place);
    plan_cells(place, "again", 1, cells, 1); /* a run that serves both */
    report *made = report_runs(place->path, NULL, NOW, NULL);
    assert_non_null(made);
    char *text = print_report(made, TABLE_CSV, NULL);
    assert_non_null(strstr(text, "experiment,run_id,stage"));
    assert_non_null(strstr(text, "\r\nagain,1,main,mask=causal,1,done,101,100,0.25,"));
    assert_int_equal(table_rows(report_table(made, 0)), 5);
    free(text);
    report_free(made);
    assert_null(report_runs(place->path, "agian", NOW, &error));
    assert_string_equal(error.what, "unknown experiment 'agian'");
    assert_string_equal(error.hint, "did you mean 'again'?");
}

static void an_empty_store_has_no_runs(void **state)
{
    const test_place *place = *state;
    store_free(must_open(place));
    report *made = report_runs(place->path, NULL, NOW, NULL);
    assert_non_null(made);
    assert_int_equal(table_rows(report_table(made, 0)), 0);
    assert_noted(made, "0 runs");
    report_free(made);
    assert_null(report_runs(place->path, "e", NOW, NULL));
}

static void a_query_is_a_table_and_its_views_explain_themselves(void **state)
{
    const test_place *place = *state;
    make_four_runs(place);
    report *made = report_query(place->path,
                                "SELECT cell, n, mean, sd, 1 AS n FROM v_cell WHERE split = 'test'",
                                (store_query_limits){0}, NULL);
    assert_non_null(made);
    char *notes = NULL;
    char *text = print_report(made, TABLE_JSON, &notes);
    assert_string_equal(text, "[\n  {\"cell\": \"mask=causal\", \"n\": 1, \"mean\": 0.6, \"sd\": "
                              "null, \"n:2\": 1}\n]\n");
    assert_non_null(strstr(notes, "v_cell: one row per cell and score"));
    assert_null(strstr(notes, "v_score:"));
    free(text);
    free(notes);
    report_free(made);
    made = report_query(place->path, "SELECT x'00ff' AS b, 'it''s' AS t, NULL AS e",
                        (store_query_limits){0}, NULL);
    text = print_report(made, TABLE_TEXT, NULL);
    assert_string_equal(text, "b        t     e\n-------  ----  -\nx'00ff'  it's\n");
    free(text);
    report_free(made);
}

static void a_query_that_is_refused_gives_the_reason(void **state)
{
    const test_place *place = *state;
    static const struct {
        const char *sql, *what;
        store_query_limits limits;
    } cases[] = {
        {"DELETE FROM run", "a query may only read", {0, 0}},
        {"SELECT * FROM nothing", "the query is not understood", {0, 0}},
        {"SELECT * FROM run", "the query gives too many rows", {2, 0}},
    };
    make_four_runs(place);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assay_error error = {0};
        assert_null(report_query(place->path, cases[i].sql, cases[i].limits, &error));
        assert_string_equal(error.what, cases[i].what);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_stand_in_the_plans_order_with_what_they_have_shown),
        TEST(the_score_is_what_papers_lead_with),
        TEST(all_experiments_are_listed_by_name_and_an_unknown_one_is_refused),
        TEST(an_empty_store_has_no_runs),
        TEST(a_query_is_a_table_and_its_views_explain_themselves),
        TEST(a_query_that_is_refused_gives_the_reason),
    };
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
