/* test_show.c - one run with all that is known of it, and two runs with what differs. */
#include "ablation.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const test_cell cells[] = {
    {"mask=causal", 1, {{"mask", "causal"}}},
    {"mask=ggsm", 1, {{"mask", "ggsm"}}},
};

static void make_two_runs(const test_place *place)
{
    plan_cells(place, "e", 2, cells, 1);
    put_score(place, 1, "default", "auc", "test", 100, 0.5);
    put_score(place, 2, "default", "auc", "test", 100, 0.75);
    put_score(place, 2, "default", "ks", "test", 100, 0.25);
    must_do(
        place,
        "INSERT INTO param VALUES(1, 'mask', NULL, 'causal', 'axis'), (2, 'mask', NULL, 'ggsm', "
        "'axis'), (1, 'train.lr', 0.001, NULL, 'default'), (2, 'train.lr', 0.001, NULL, 'script'),"
        "(2, 'mask.warmup', 0.1, NULL, 'script');"
        "INSERT INTO run_input VALUES(2, 'init', 1);"
        "INSERT INTO plugin_used VALUES(1, 'mask', 'causal', '1', '3', 'aa'), "
        "(1, 'model', 'toy', '1', '3', 'bb'), (2, 'model', 'toy', '2', '3', 'cc');"
        "INSERT INTO series_key VALUES(1, 'loss', 'min');"
        "INSERT INTO series VALUES(1, 1, 50, 0.5, NULL, 1, 0), (1, 1, 75, NULL, 'nan', 1, 0),"
        "(1, 1, 100, 0.25, NULL, 1, 0), (2, 1, 100, 0.25, NULL, 1, 0);"
        "INSERT INTO attempt(run_id, n, host, boot_id, pid, pid_start, job, start_ms, beat_ms, "
        "end_ms, end_reason, from_step, exact, threads, cpu, build_sig, git_commit, git_dirty) "
        "VALUES(1, 1, 'alpha', 'b', 41, 1, 'slurm-7', 1700000000000, 1700000090000, 1700000100000,"
        " 'done', 0, 1, 2, 'avx2', 'b1', 'c0ffee', 1),"
        "(2, 1, 'alpha', 'b', 42, 1, NULL, 1700000000000, 1700000090000, NULL,"
        " NULL, 0, 0, 4, 'avx2', 'b1', 'c0ffee', NULL);"
        "INSERT INTO source VALUES('s1', 'return experiment'), ('s2', 'return  experiment');"
        "INSERT INTO attempt_source VALUES(1, 1, 'script', 'a.lua', 's1'), (2, 1, 'script', "
        "'a.lua', 's2'), (1, 1, 'module', 'm.lua', 's1'), (2, 1, 'module', 'm.lua', 's1');"
        "INSERT INTO checkpoint VALUES(1, 100, 'x/100', 64, 'dd');"
        "INSERT INTO artifact VALUES(1, 'map', 'x/map.png', 65, 'ee');");
}

static void everything_about_one_run(void **state)
{
    const test_place *place = *state;
    make_two_runs(place);
    report *made = report_show(place->path, "1", NULL, NULL);
    assert_non_null(made);
    char *text = print_report(made, TABLE_TEXT, NULL);
    assert_string_equal(text, "run\n"
                              "name         value\n"
                              "-----------  ----------------\n"
                              "run_id       1\n"
                              "run_hash     01mask=causal\n"
                              "cell_hash    cell-mask=causal\n"
                              "experiment   e, stage main\n"
                              "cell         mask=causal\n"
                              "seed         1\n"
                              "status       done\n"
                              "total_steps  100\n"
                              "last_step    100\n"
                              "device       cpu\n"
                              "dataset      synth\n"
                              "\n"
                              "parameters\n"
                              "key       value   origin\n"
                              "--------  ------  -------\n"
                              "mask      causal  axis\n"
                              "train.lr  0.001   default\n"
                              "\n"
                              "attempts\n"
                              "n  host   pid  job      started_utc          seconds  end_reason  "
                              "from_step  exact  threads  cpu   build  git_commit  git_dirty\n"
                              "-  -----  ---  -------  -------------------  -------  ----------  "
                              "---------  -----  -------  ----  -----  ----------  ---------\n"
                              "1  alpha   41  slurm-7  2023-11-14 22:13:20      100  done          "
                              "      0  yes          2  avx2  b1     c0ffee      yes\n"
                              "\n"
                              "series\n"
                              "series  goal  points  step  last  lowest  highest  nonfinite\n"
                              "------  ----  ------  ----  ----  ------  -------  ---------\n"
                              "loss    min        3   100  0.25    0.25      0.5          1\n"
                              "\n"
                              "scores\n"
                              "suite   benchmark  metric  split  step  value  low  high  n\n"
                              "------  ---------  ------  -----  ----  -----  ---  ----  -\n"
                              "credit  default    auc     test    100    0.5\n"
                              "\n"
                              "checkpoints\n"
                              "step  path   bytes  sha256\n"
                              "----  -----  -----  ------\n"
                              " 100  x/100     64  dd\n"
                              "\n"
                              "artifacts\n"
                              "name  path       bytes  sha256\n"
                              "----  ---------  -----  ------\n"
                              "map   x/map.png     65  ee\n"
                              "\n"
                              "plugins\n"
                              "kind   name    version  abi  sha256\n"
                              "-----  ------  -------  ---  ------\n"
                              "mask   causal  1        3    aa\n"
                              "model  toy     1        3    bb\n"
                              "\n"
                              "sources\n"
                              "attempt  kind    name   characters  sha256\n"
                              "-------  ------  -----  ----------  ------\n"
                              "      1  module  m.lua          17  s1\n"
                              "      1  script  a.lua          17  s1\n");
    free(text);
    report_free(made);
    made = report_show(place->path, "2", NULL, NULL);
    assert_non_null(made);
    text = print_report(made, TABLE_CSV, NULL);
    assert_non_null(strstr(text, "\r\n\r\ninputs\r\nname,run_id,run_hash,seed,status\r\n"
                                 "init,1,01mask=causal,1,done\r\n"));
    assert_non_null(strstr(text, ",no,4,avx2,b1,c0ffee,\r\n"));
    free(text);
    report_free(made);
}

static void of_two_runs_only_what_differs(void **state)
{
    const test_place *place = *state;
    make_two_runs(place);
    report *made = report_show(place->path, "1", "2", NULL);
    assert_non_null(made);
    char *text = print_report(made, TABLE_TEXT, NULL);
    assert_string_equal(
        text,
        "run\n"
        "name    first  second\n"
        "------  -----  ------\n"
        "run_id      1       2\n"
        "\n"
        "parameters\n"
        "key          first   second\n"
        "-----------  ------  ------\n"
        "mask         causal  ggsm\n"
        "mask.warmup          0.1\n"
        "\n"
        "inputs\n"
        "name  first  second\n"
        "----  -----  ------\n"
        "init              1\n"
        "\n"
        "plugins\n"
        "kind   name    first  second\n"
        "-----  ------  -----  ------\n"
        "mask   causal  1 aa\n"
        "model  toy     1 bb   2 cc\n"
        "\n"
        "newest attempt\n"
        "name       first  second\n"
        "---------  -----  ------\n"
        "threads    2           4\n"
        "git_dirty  yes\n"
        "\n"
        "sources\n"
        "kind    name   first  second\n"
        "------  -----  -----  ------\n"
        "script  a.lua  s1     s2\n"
        "\n"
        "scores\n"
        "suite   benchmark  metric  split  first_step  first  second_step  second  difference\n"
        "------  ---------  ------  -----  ----------  -----  -----------  ------  ----------\n"
        "credit  default    auc     test          100    0.5          100    0.75        0.25\n"
        "credit  default    ks      test                              100    0.25\n"
        "\n"
        "Only what differs is shown, and the last scores side by side, the same or not; "
        "difference: second less first.\n"
        "Two runs say nothing about chance; assay compare does.\n");
    free(text);
    report_free(made);
}

static void sections_are_an_object_in_json(void **state)
{
    const test_place *place = *state;
    make_two_runs(place);
    report *made = report_show(place->path, "1", NULL, NULL);
    char *text = print_report(made, TABLE_JSON, NULL);
    json_t *read = json_loads(text, 0, NULL);
    assert_non_null(read);
    assert_int_equal(json_object_size(read), report_sections(made));
    assert_int_equal(json_array_size(json_object_get(read, "plugins")), 2);
    json_decref(read);
    free(text);
    text = print_report(made, TABLE_MARKDOWN, NULL);
    assert_non_null(strstr(text, "### run\n\n| name | value |\n"));
    free(text);
    report_free(made);
}

/* Hashes: 01mask=causal, 01mask=ggsm, 02mask=..., and one that begins with a run_id. */
static void a_run_is_named_by_number_or_prefix(void **state)
{
    const test_place *place = *state;
    int64_t id = 0;
    assay_error error = {0};
    plan_cells(place, "e", 2, cells, 2);
    must_do(place, "UPDATE run SET run_hash = '1abc' WHERE run_id = 4;"
                   "UPDATE run SET run_hash = '77ab' WHERE run_id = 3;");
    assert_true(report_find_run(place->path, "1", &id, NULL)); /* the number goes before */
    assert_int_equal(id, 1);
    assert_true(report_find_run(place->path, "1a", &id, NULL));
    assert_int_equal(id, 4);
    assert_true(report_find_run(place->path, "77", &id, NULL)); /* no run has this number */
    assert_int_equal(id, 3);
    assert_true(report_find_run(place->path, "02mask=causal", &id, NULL));
    assert_int_equal(id, 2);
    assert_false(report_find_run(place->path, "0", &id, &error));
    assert_string_equal(error.what, "'0' begins several runs");
    assert_string_equal(error.got, "1 (01mask=causa), 2 (02mask=causa)");
    static const char *const wrong[] = {"", "99", "zz", "' OR 1 --", "-1", "1 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assay_error_clear(&error);
        assert_false(report_find_run(place->path, wrong[i], &id, &error));
        assert_string_equal(error.expected, "a run_id or a prefix of a run_hash");
    }
    assert_null(report_show(place->path, "1", "99", NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_about_one_run),
        TEST(of_two_runs_only_what_differs),
        TEST(sections_are_an_object_in_json),
        TEST(a_run_is_named_by_number_or_prefix),
    };
    return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
