/* test_published.c - the papers' numbers in every store: complete, as printed, kept up to date, and
 * beside ours. argv[1] is the schema of version 1, from which old stores are upgraded. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *old_schema;

static void open_and_close(const test_place *place)
{
    store_free(must_open(place));
}

/* Rows x (benchmarks + average), for each table and metric of the papers. */
static void every_table_is_whole(void **state)
{
    static const struct {
        const char *paper, *place, *metric;
        int methods, columns;
    } tables[] = {
        {"Q-Anchor", "Table 2", "auc", 10, 11},
        {"Q-Anchor", "Table 5", "ks", 10, 11},
        {"Q-Anchor", "Table 3", "auc", 9, 11},
        {"Q-Anchor", "Table 6", "ks", 7, 11},
        {"Q-Anchor", "Table 7", "auc", 5, 11},
        {"Q-Anchor", "Table 7", "ks", 5, 11},
        {"Q-Anchor", "Table 8", "auc", 3, 11},
        {"Q-Anchor", "Table 8", "ks", 3, 11},
        {"Q-Anchor", "Table 9", "auc", 6, 11},
        {"Q-Anchor", "Table 9", "ks", 6, 11},
        {"Q-Anchor", "Table 10", "auc", 5, 11},
        {"Q-Anchor", "Table 10", "ks", 5, 11},
        {"GG-SM", "Table 2", "auc", 16, 10},
        {"UNIP", "Fine-tuning", "miou", 24, 1},
        {"UNIP", "Linear probing", "miou", 24, 1},
        {"UNIP", "ImageNet", "accuracy", 18, 1},
        {"UNIP", "Teacher layer", "layer", 5, 1},
        {"UNIP", "Sizes", "counted_flops", 4, 1},
        {"MCNet", "README", "miou", 10, 1},
        {"PAD", "SODA", "miou", 3, 1},
        {"PAD", "MFNet val", "miou", 3, 1},
        {"PAD", "MFNet test", "miou", 3, 1},
        {"PAD", "FLIR", "ap75", 3, 1},
        {"PAD", "Data", "images", 8, 1},
    };
    open_and_close(*state);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char sql[512];
        snprintf(sql, sizeof sql,
                 "SELECT count(DISTINCT method) * 100 + count(DISTINCT benchmark) + 10000 * "
                 "count(*) FROM published WHERE (paper, place, metric) = ('%s', '%s', '%s')",
                 tables[i].paper, tables[i].place, tables[i].metric);
        int n = tables[i].methods, m = tables[i].columns;
        if (ask(*state, sql) != n * 100 + m + 10000 * n * m)
            fail_msg("%s, %s: %lld", tables[i].paper, tables[i].place, (long long)ask(*state, sql));
    }
    assert_int_equal(ask(*state, "SELECT count(*) FROM published WHERE place = 'Table 11'"), 9);
}

/* The papers round each number, and the average, to four digits. */
static void printed_averages_are_the_averages_of_what_is_printed(void **state)
{
    open_and_close(*state);
    const char *off =
        "SELECT count(*) FROM (SELECT a.value AS printed, avg(b.value) AS computed FROM published "
        "a JOIN published b USING(paper, place, method, suite, metric) WHERE a.benchmark = 'avg' "
        "AND b.benchmark <> 'avg' GROUP BY paper, place, method, metric) WHERE abs(printed - "
        "computed) > %s";
    char sql[1024];
    snprintf(sql, sizeof sql, off, "1.0001e-4");
    assert_int_equal(ask(*state, sql), 0);
    snprintf(sql, sizeof sql, off, "-1");
    assert_int_equal(ask(*state, sql), 90);
}

/* Single numbers, read in the papers once more. */
static void some_numbers_are_those_of_the_papers(void **state)
{
    static const struct {
        const char *place, *method, *benchmark, *metric;
        double value;
    } numbers[] = {
        {"Table 2", "MSDP", "login", "auc", .9504},
        {"Table 5", "One4all", "fraud", "ks", .7160},
        {"Table 6", "w/o contrastive", "value", "ks", .4702},
        {"Table 7", "10k steps", "avg", "auc", .8029},
        {"Table 8", "Qwen2.5-3B", "concert", "ks", .0875},
        {"Table 9", "16 prompt tokens", "forest", "auc", .9740},
        {"Table 10", "100 steps", "money", "ks", .7425},
        {"Table 11", "Q-Anchor (Prompt Tuned)", "credit_delinquency", "ks", .1700},
        {"Table 2", "GG-SM", "physical", "auc", .6615},
        {"Fine-tuning", "UNIP-S (iBOT-L)", "segmentation", "miou", .6469},
        {"Fine-tuning", "MAE-T", "segmentation", "miou", .4670},
        {"Linear probing", "iBOT-L", "segmentation", "miou", .4951},
        {"Linear probing", "UNIP-S (MAE-L)", "segmentation", "miou_over_mae_s", .129},
        {"ImageNet", "DINO-B", "classification", "accuracy", .836},
        {"Sizes", "ViT-S", "segmentation", "counted_flops", 146.3e9},
        {"Teacher layer", "UNIP-S (iBOT-L)", "", "layer", 21},
        {"MFNet val", "Continual pre-training", "segmentation", "miou", .465},
        {"FLIR", "PAD", "detection", "ap50", .854},
        {"README", "DeepLabV3+", "segmentation", "miou", .68},
    };
    open_and_close(*state);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char sql[512];
        snprintf(sql, sizeof sql,
                 "SELECT value FROM published WHERE (place, method, benchmark, metric) = ('%s', "
                 "'%s', '%s', '%s')",
                 numbers[i].place, numbers[i].method, numbers[i].benchmark, numbers[i].metric);
        assert_true(ask_real(*state, sql) == numbers[i].value);
    }
}

/* What figures print is what was measured in them, and sums are those of their parts. */
static void the_infrared_numbers_agree_among_each_other(void **state)
{
    static const struct {
        const char *family, *a, *b;
    } families[] = {
        {"ViT-S, supervised", "DeiT-S", "DeiT III-S"},
        {"ViT-S, contrastive", "DINO-S", "iBOT-S"},
        {"ViT-S, masked image modelling", "MAE-S", "CrossMAE-S"},
    };
    static const struct {
        const char *place, *method, *than, *metric;
    } gains[] = {
        {"Fine-tuning", "UNIP-T (MAE-L)", "MAE-T", "miou_over_mae_t"},
        {"Fine-tuning", "UNIP-S (MAE-L)", "MAE-S", "miou_over_mae_s"},
        {"Fine-tuning", "UNIP-S (iBOT-L)", "iBOT-S", "miou_over_best_other_s"},
        {"Fine-tuning", "UNIP-B (MAE-L)", "MAE-B", "miou_over_mae_b"},
        {"Linear probing", "UNIP-T (MAE-L)", "MAE-T", "miou_over_mae_t"},
        {"Linear probing", "UNIP-S (MAE-L)", "MAE-S", "miou_over_mae_s"},
        {"Linear probing", "UNIP-S (iBOT-L)", "iBOT-S", "miou_over_ibot_s"},
        {"Linear probing", "UNIP-B (MAE-L)", "MAE-B", "miou_over_mae_b"},
        {"Linear probing", "UNIP-B (iBOT-L)", "iBOT-B", "miou_over_ibot_b"},
    };
    char sql[1024];
    open_and_close(*state);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        snprintf(sql, sizeof sql,
                 "SELECT abs(value - (SELECT avg(value) FROM published WHERE place = 'Fine-tuning' "
                 "AND metric = 'miou' AND method IN('%s', '%s'))) FROM published WHERE method = "
                 "'%s'",
                 families[i].a, families[i].b, families[i].family);
        assert_true(ask_real(*state, sql) < 1e-4);
    }
    for (size_t i = 0; i < sizeof gains / sizeof *gains; i++) {
        snprintf(sql, sizeof sql,
                 "SELECT iif(count(*) = 1, max(abs(g.value - a.value + b.value)), 9) FROM "
                 "published g JOIN published a "
                 "USING(paper, place, method) JOIN published b USING(paper, place) WHERE "
                 "(g.place, g.method, g.metric) = ('%s', '%s', '%s') AND a.metric = 'miou' AND "
                 "b.metric = 'miou' AND b.method = '%s'",
                 gains[i].place, gains[i].method, gains[i].metric, gains[i].than);
        assert_true(ask_real(*state, sql) < 1e-3);
    }
    assert_int_equal(ask(*state, "SELECT sum(iif(place = 'Data', value, -value)) FROM published "
                                 "WHERE paper = 'PAD' AND metric = 'images'"),
                     0);
    assert_int_equal(ask(*state, "SELECT sum(iif(method = 'InfMix', -value, value)) FROM published "
                                 "WHERE paper = 'UNIP' AND metric = 'images'"),
                     0);
}

static void every_infrared_number_says_where_it_is_from(void **state)
{
    open_and_close(*state);
    assert_int_equal(ask(*state, "SELECT count(*) FROM published WHERE paper IN('UNIP', 'PAD', "
                                 "'MCNet') AND note NOT LIKE 'printed%' AND note NOT LIKE "
                                 "'measured in the figure, within %' AND note NOT LIKE "
                                 "'computed%' AND note NOT LIKE 'second-hand:%' AND note NOT LIKE "
                                 "'from the %' AND note NOT LIKE 'general knowledge%'"),
                     0);
    assert_int_equal(ask(*state, "SELECT count(*) FROM v_condition WHERE value IS NULL"), 0);
    assert_string_equal(ask_text(*state, "SELECT value FROM v_condition WHERE (place, method, key) "
                                         "= ('Linear probing', 'MAE-L', 'model.head')"),
                        "linear");
    /* A suite that stands beside one of ours has numbers. */
    assert_int_equal(ask(*state, "SELECT count(*) FROM published_fact f WHERE role = 'cell' AND "
                                 "key LIKE 'suite %' AND NOT EXISTS(SELECT 1 FROM published p "
                                 "WHERE p.paper = f.paper AND p.suite = f.value AND f.place IN('', "
                                 "p.place))"),
                     0);
}

static void a_method_s_own_condition_counts_before_its_paper_s(void **state)
{
    open_and_close(*state);
    assert_string_equal(ask_text(*state, "SELECT value FROM v_condition WHERE (place, method, key) "
                                         "= ('Table 7', '20k steps', 'train.steps')"),
                        "20000");
    assert_string_equal(ask_text(*state, "SELECT value FROM v_condition WHERE (place, method, key) "
                                         "= ('Table 7', '20k steps', 'train.batch')"),
                        "2048");
    /* Whatever a fact is said of has numbers. */
    assert_int_equal(ask(*state, "SELECT count(*) FROM published_fact f WHERE method <> '' AND NOT "
                                 "EXISTS(SELECT 1 FROM published p WHERE (p.paper, p.place, "
                                 "p.method) = (f.paper, f.place, f.method))"),
                     0);
}

/* What the program knows is put right; what a user has added stays. */
static void numbers_are_read_again_when_the_program_s_have_changed(void **state)
{
    const test_place *place = *state;
    open_and_close(place);
    int64_t n = ask(place, "SELECT count(*) FROM published");
    must_do(place, "UPDATE published SET value = 2 WHERE paper = 'GG-SM';"
                   "INSERT INTO published VALUES('Mine', 'Table 1', 'ours', 'alipay10', 'login', "
                   "'auc', 0.5, 'printed');"
                   "DROP VIEW v_best;");
    open_and_close(place);
    assert_int_equal(ask(place, "SELECT count(*) FROM published WHERE value = 2"), 160 + 5);
    must_do(place, "UPDATE program_text SET sha256 = 'older'");
    open_and_close(place);
    assert_int_equal(ask(place, "SELECT count(*) FROM published WHERE value = 2"), 0);
    assert_int_equal(ask(place, "SELECT count(*) FROM published"), n + 1);
    assert_int_equal(ask(place, "SELECT count(*) FROM v_best"), 0);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static void an_old_store_becomes_what_a_new_one_is(void **state)
{
    const test_place *place = *state;
    test_place old = *place;
    snprintf(old.path, sizeof old.path, "%s/old.db", place->folder);
    open_and_close(place);
    char *sql = read_text(old_schema);
    must_do(&old, sql);
    must_do(&old, "INSERT INTO experiment VALUES(1, 'kept', 0)");
    free(sql);
    open_and_close(&old);
    assert_int_equal(ask(&old, "SELECT count(*) FROM experiment"), 1);
    assert_int_equal(ask(&old, "SELECT count(*) FROM published"),
                     ask(place, "SELECT count(*) FROM published"));
    char both[1024];
    snprintf(both, sizeof both,
             "ATTACH '%s' AS old; CREATE TABLE only AS SELECT * FROM (SELECT type, name, sql FROM "
             "old.sqlite_schema EXCEPT SELECT type, name, sql FROM main.sqlite_schema) UNION ALL "
             "SELECT * FROM (SELECT type, name, sql FROM main.sqlite_schema EXCEPT SELECT type, "
             "name, sql FROM old.sqlite_schema)",
             old.path);
    must_do(place, both);
    assert_int_equal(ask(place, "SELECT count(*) FROM only WHERE name <> 'only'"), 0);
    store_handle *read = store_open(old.path, STORE_READ_ONLY, NULL); /* it is of this version */
    assert_non_null(read);
    store_free(read);
}

static void the_leaderboard_says_why_ours_are_not_theirs(void **state)
{
    const test_place *place = *state;
    store_handle *store = must_open(place);
    int64_t ids[3];
    must_plan(store, "e", 3, ids);
    store_free(store);
    char sql[2048];
    for (int i = 0; i < 3; i++) {
        snprintf(sql, sizeof sql,
                 "UPDATE run SET status = 'done' WHERE run_id = %lld; INSERT INTO score VALUES"
                 "(%lld, 'cognition9', 'mau', 'auc', 'test', 5, %g, NULL, NULL, NULL, NULL),"
                 "(%lld, 'cognition9', 'food', 'auc', 'test', 5, %g, NULL, NULL, NULL, NULL);"
                 "INSERT OR REPLACE INTO param VALUES(%lld, 'train.steps', 70000, NULL, 'script'),"
                 "(%lld, 'dataset', NULL, 'user_synth', 'script')",
                 (long long)ids[i], (long long)ids[i], 0.1 * (i + 1), (long long)ids[i],
                 0.1 * (i + 2), (long long)ids[i], (long long)ids[i]);
        must_do(place, sql);
    }
    assert_int_equal(ask(place, "SELECT n FROM v_leaderboard WHERE benchmark = 'avg' AND origin "
                                "LIKE 'ours%'"),
                     3);
    /* Averages .15, .25, .35: sd .1. */
    assert_true(ask_real(place, "SELECT abs(value - 0.25) + abs(sd - 0.1) FROM v_leaderboard WHERE "
                                "benchmark = 'avg' AND origin LIKE 'ours%'") < 1e-12);
    const char *why = ask_text(place, "SELECT not_comparable FROM v_leaderboard WHERE benchmark = "
                                      "'avg' AND origin LIKE 'ours%'");
    assert_non_null(strstr(why, "GG-SM: dataset user_synth, theirs Alipay users (not public)"));
    assert_null(strstr(why, "train.steps")); /* which agree */
    assert_null(strstr(why, "Q-Anchor"));    /* it has no numbers on the suite */
    assert_int_equal(ask(place, "SELECT count(*) FROM v_leaderboard WHERE suite = 'cognition9' AND "
                                "benchmark = 'mau'"),
                     17);
}

/* Nothing is published on generated scenes; what stands beside them is said to be something
 * else. */
static void the_leaderboard_knows_what_stands_beside_a_suite(void **state)
{
    const test_place *place = *state;
    store_handle *store = must_open(place);
    int64_t ids[1];
    must_plan(store, "unip_main", 1, ids);
    store_free(store);
    char sql[1024];
    snprintf(sql, sizeof sql,
             "UPDATE run SET status = 'done' WHERE run_id = %lld; INSERT INTO score VALUES"
             "(%lld, 'thermal_synth', 'segmentation', 'miou', 'test', 5, 0.5, NULL, NULL, NULL, "
             "NULL); INSERT OR REPLACE INTO param VALUES(%lld, 'dataset', NULL, 'thermal_synth', "
             "'script')",
             (long long)ids[0], (long long)ids[0], (long long)ids[0]);
    must_do(place, sql);
    const char *why = ask_text(place, "SELECT not_comparable FROM v_leaderboard WHERE metric = "
                                      "'miou' AND origin LIKE 'ours: unip_main%'");
    assert_non_null(strstr(why, "UNIP: dataset thermal_synth, theirs SODA, MFNet-T and SCUT-Seg"));
    assert_non_null(strstr(why, "PAD: dataset thermal_synth, theirs SODA (not here)"));
    assert_null(strstr(why, "GG-SM"));
    assert_null(strstr(why, "MCNet"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(every_table_is_whole),
        TEST(printed_averages_are_the_averages_of_what_is_printed),
        TEST(some_numbers_are_those_of_the_papers),
        TEST(the_infrared_numbers_agree_among_each_other),
        TEST(every_infrared_number_says_where_it_is_from),
        TEST(a_method_s_own_condition_counts_before_its_paper_s),
        TEST(numbers_are_read_again_when_the_program_s_have_changed),
        TEST(an_old_store_becomes_what_a_new_one_is),
        TEST(the_leaderboard_says_why_ours_are_not_theirs),
        TEST(the_leaderboard_knows_what_stands_beside_a_suite),
    };
    old_schema = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("published", tests, NULL, NULL);
}
