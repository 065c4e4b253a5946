/* test_users_credit.c - the credit data as scripts/credit makes it: its splits, a client's events
 * word for word, and that the events carry what is known to be in the table. */
#include "users_place.h"

#include <assay/metrics.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Converts into the place's folder. */
static void convert(const users_place *place)
{
    char command[4500];
    const char *tests = getenv("ASSAY_TEST_DATA");
    assert_non_null(tests);
    snprintf(command, sizeof command, "'%s/../scripts/credit' '%s' >/dev/null", tests,
             place->folder);
    assert_int_equal(system(command), 0);
}

static void splits_and_labels_are_those_of_the_table(void **state)
{
    static const int64_t users[ASSAY_SPLITS] = {15000, 7500, 1500, 6000};
    users_place *place = *state;
    users_data *data = must_open(place);
    int64_t positives = 0;
    assert_int_equal(data->index.counts.cut.events, 30000 * 18);
    assert_int_equal(data->index.counts.cut.texts_cut, 0);
    assert_int_equal(data->index.counts.cut.over_slots, 0);
    for (int split = 0; split < ASSAY_SPLITS; split++) {
        int32_t labels[15000];
        int64_t count = users_functions()->count(data, (assay_data_split)split, 0);
        assert_int_equal(count, users[split]);
        assert_true(
            users_functions()->labels(data, (assay_data_split)split, 0, 0, count, labels, NULL));
        for (int64_t i = 0; i < count; i++)
            positives += labels[i];
        if (split == ASSAY_TEST) {
            int64_t in_test = 0;
            for (int64_t i = 0; i < count; i++)
                in_test += labels[i];
            assert_int_equal(in_test, 1349);
        }
    }
    assert_int_equal(positives, 6636);
    users_functions()->close(data);
}

/* Row 2 of the table: limit 120000, status -1 2 0 0 0 2, bills 2682 1725 2682 3272 3455 3261, paid
 * 0 1000 1000 1000 0 2000, from September back. */
static void a_client_is_told_in_words(void **state)
{
    users_place *place = *state;
    char text[1024];
    void *data = must_open(place);
    tell(place, data, ASSAY_PRETRAIN, 0, 1, text, sizeof text);
    const char *features = strstr(text, "f[");
    assert_non_null(features);
    assert_int_equal(
        strncmp(text,
                "status[-6 late2|-5 revolving|-4 revolving|-3 revolving|-2 late2|-1 paid] "
                "bill[-6 owes 3k uses 2pct|-5 owes 3k uses 2pct|-4 owes 3k uses 2pct|"
                "-3 owes 2k uses 2pct|-2 owes 1k uses 1pct|-1 owes 2k uses 2pct] "
                "payment[-6 pays 2k covers unknown|-5 pays 0 covers 0pct|"
                "-4 pays 1k covers 20pct|-3 pays 1k covers 30pct|-2 pays 1k covers 30pct|"
                "-1 pays 0 covers 0pct] ",
                (size_t)(features - text)),
        0);
    assert_non_null(strstr(text, "q[Will the client default next month?] no answer 1"));
    users_functions()->close(data);
}

static void features_are_standardised_on_pretrain(void **state)
{
    users_place *place = *state;
    enum { FEATURES = 9, USERS = 15000 };
    double sum[FEATURES] = {0}, squares[FEATURES] = {0};
    void *data = must_open(place);
    for (int64_t i = 0; i < USERS; i++) {
        assay_arena_reset(place->arena);
        assay_sample sample = must_sample(place, data, ASSAY_PRETRAIN, 0, i);
        const float *x = sample.values[6].data;
        for (int f = 0; f < FEATURES; f++) {
            sum[f] += (double)x[f];
            squares[f] += (double)x[f] * (double)x[f];
        }
    }
    for (int f = 0; f < FEATURES; f++) {
        assert_true(fabs(sum[f] / USERS) < 1e-5);
        assert_true(fabs(squares[f] / USERS - 1) < 1e-4);
    }
    users_functions()->close(data);
}

/* ---- what is in the events ---- */

enum { MONTHS = 6, WORDS = 16, WIDTH = MONTHS * WORDS };

/* One-hot columns of the six repayment words of a client. */
static void one_hot(const assay_field_value *texts, char words[WORDS][16], double *row)
{
    for (int64_t month = 0; month < texts->shape[0]; month++) {
        int64_t from = texts->offsets[month], bytes = texts->offsets[month + 1] - from;
        int w = 0;
        while (w < WORDS && words[w][0] != '\0' &&
               (strlen(words[w]) != (size_t)bytes ||
                memcmp(words[w], (const char *)texts->data + from, (size_t)bytes) != 0))
            w++;
        assert_true(w < WORDS && bytes < 16);
        memcpy(words[w], (const char *)texts->data + from, (size_t)bytes);
        row[month * WORDS + w] = 1;
    }
}

/* Logistic regression on one-hot repayment words, fitted on train, ranks the test clients as well
 * as on the table's own columns (AUC .752 there, with three times the clients to fit on). */
static void the_status_events_carry_the_repayment_columns(void **state)
{
    users_place *place = *state;
    static const char *const sources[] = {"status"};
    static const assay_data_split splits[2] = {ASSAY_TRAIN, ASSAY_TEST};
    char words[WORDS][16] = {{0}};
    double *x[2];
    int32_t *labels[2];
    int64_t count[2];
    place->options.sources = (assay_texts){1, sources};
    void *data = must_open(place);
    for (int s = 0; s < 2; s++) {
        count[s] = users_functions()->count(data, splits[s], 0);
        x[s] = calloc((size_t)count[s] * WIDTH, sizeof(double));
        labels[s] = calloc((size_t)count[s], sizeof(int32_t));
        assert_true(users_functions()->labels(data, splits[s], 0, 0, count[s], labels[s], NULL));
        for (int64_t i = 0; i < count[s]; i++) {
            assay_arena_reset(place->arena);
            assay_sample sample = must_sample(place, data, splits[s], 0, i);
            assert_int_equal(sample.label, labels[s][i]);
            one_hot(&sample.values[0], words, x[s] + i * WIDTH);
        }
    }
    assay_error error = {0};
    const assay_probe_options options = {.l2 = 0.1, .tolerance = 1e-6};
    assay_ranking ranking = {0};
    double *score = calloc((size_t)count[1], sizeof *score);
    assay_probe *probe = assay_probe_fit(x[0], labels[0], count[0], WIDTH, &options, &error);
    assert_non_null(probe);
    assay_probe_score(probe, x[1], count[1], score);
    assert_true(assay_rank(score, labels[1], count[1], &ranking, &error));
    print_message("# AUC %.4f, KS %.4f\n", ranking.auc, ranking.ks);
    assert_true(ranking.auc > 0.75);
    assay_probe_free(probe);
    free(score);
    for (int s = 0; s < 2; s++) {
        free(x[s]);
        free(labels[s]);
    }
    users_functions()->close(data);
}

/* One conversion serves all tests. */
static int convert_once(void **state)
{
    if (users_place_make(state) != 0)
        return -1;
    convert(*state);
    return 0;
}

static int all_sources(void **state)
{
    users_place *place = *state;
    place->options.sources = (assay_texts){0, NULL};
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, all_sources)
    const struct CMUnitTest tests[] = {
        TEST(splits_and_labels_are_those_of_the_table),
        TEST(a_client_is_told_in_words),
        TEST(features_are_standardised_on_pretrain),
        TEST(the_status_events_carry_the_repayment_columns),
    };
    return cmocka_run_group_tests_name("users credit", tests, convert_once, users_place_remove);
}
