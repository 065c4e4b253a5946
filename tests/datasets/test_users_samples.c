/* test_users_samples.c - what a user of the file becomes: which samples, and every byte of them. */
#include "users_place.h"

#include "future.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_two(const users_place *place)
{
    write_description(place);
    must_write(
        place, "users.jsonl",
        "{\"id\":\"u1\",\"split\":\"pretrain\",\"features\":[1,null],"
        "\"events\":[{\"time\":30,\"source\":\"bill\",\"text\":\"rent 700\"},"
        "{\"time\":10,\"source\":\"bill\",\"text\":\"one two three four five\"},"
        "{\"time\":20,\"source\":\"bill\",\"text\":\"food 12\"},"
        "{\"time\":20,\"source\":\"bill\",\"text\":\"food 13\"},"
        "{\"time\":25.5,\"source\":\"app\",\"text\":\"chess\"},"
        "{\"time\":40,\"source\":\"bill\",\"text\":\"late fee\"}],"
        "\"labels\":{\"fraud\":{\"value\":0,\"until\":35},\"default\":{\"value\":1,\"until\":40}},"
        "\"pairs\":[{\"query\":\"Likes?\",\"answer\":\"food\",\"until\":20},"
        "{\"query\":\"Pays?\",\"answer\":\"late\"}]}\n"
        "{\"id\":\"u2\",\"split\":\"pretrain\",\"features\":[3,50],\"labels\":{\"default\":0}}\n"
        "{\"id\":\"u3\",\"split\":\"test\",\"features\":[2,50],\"events\":[{\"time\":1,"
        "\"source\":\"app\",\"text\":\"a b c\"}],\"labels\":{\"default\":{\"value\":1}}}");
}

static void a_benchmark_sample_is_the_history_before_its_until(void **state)
{
    users_place *place = *state;
    char text[512];
    write_two(place);
    void *data = must_open(place);
    /* Sorted by time with ties in the line's order, the newest three of four, cut to four words,
     * none at or after 40; features (x - 2) / 1 and null; app's time is relative to 40. */
    assert_string_equal(tell(place, data, ASSAY_PRETRAIN, 0, 0, text, sizeof text),
                        "bill[-20 food 12|-20 food 13|-10 rent 700] app[-14.5 chess] "
                        "f[-1.00 0.00] q[Default?] no answer 1");
    assert_string_equal(tell(place, data, ASSAY_PRETRAIN, 1, 0, text, sizeof text),
                        "bill[-15 food 12|-15 food 13|-5 rent 700] app[-9.5 chess] "
                        "f[-1.00 0.00] q[Fraud?] no answer 0");
    /* No events; the second feature is constant where it is known. */
    assert_string_equal(tell(place, data, ASSAY_PRETRAIN, 0, 1, text, sizeof text),
                        "bill[] app[] f[1.00 0.00] q[Default?] no answer 0");
    /* No until: all events, told relative to the newest; two words of three. */
    assert_string_equal(tell(place, data, ASSAY_TEST, 0, 0, text, sizeof text),
                        "bill[] app[0 a b] f[0.00 0.00] q[Default?] no answer 1");
    users_functions()->close(data);
}

static void training_samples_come_user_by_user_in_the_makers_order(void **state)
{
    users_place *place = *state;
    static const char *const expected[] = {
        "bill[-10 one two three four] app[] f[-1.00 0.00] q[Likes?] a[food] -1",
        "bill[-20 food 13|-10 rent 700|0 late fee] app[-14.5 chess] f[-1.00 0.00] "
        "q[Pays?] a[late] -1",
        "bill[-20 food 12|-20 food 13|-10 rent 700] app[-14.5 chess] f[-1.00 0.00] q[Default?] "
        "a[defaults] -1",
        "bill[-15 food 12|-15 food 13|-5 rent 700] app[-9.5 chess] f[-1.00 0.00] q[Fraud?] "
        "a[honest] -1",
        /* Before the earliest until, 35, the last event is at 30; a window of 10 days before it
         * ends the history with 20. */
        "bill[-10 one two three four|0 food 12|0 food 13] app[] f[-1.00 0.00] q[What next?] "
        "a[part 3: app chess x1; part 4: bill rent x1] -1",
        "bill[] app[] f[1.00 0.00] q[Default?] a[repays] -1"};
    char text[512];
    write_two(place);
    place->options.future = 10;
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(
            tell(place, data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, i, text, sizeof text),
            expected[i]);
    /* A test user's label is no training text. */
    assert_int_equal(users_functions()->count(data, ASSAY_TEST, ASSAY_NO_BENCHMARK), 0);
    users_functions()->close(data);
}

static void makers_sources_and_task_are_the_scripts_choice(void **state)
{
    users_place *place = *state;
    static const char *const makers[] = {"future", "given"}, *const sources[] = {"app"};
    char text[512];
    write_two(place);
    place->options.pairs = (assay_texts){2, makers};
    place->options.sources = (assay_texts){1, sources};
    place->options.future = 10;
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 3);
    /* The answer tells of all sources, the input is of the chosen one. */
    assert_string_equal(
        tell(place, data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 0, text, sizeof text),
        "app[] f[-1.00 0.00] q[What next?] a[part 3: app chess x1; part 4: bill rent x1] -1");
    assert_string_equal(tell(place, data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 1, text, sizeof text),
                        "app[] f[-1.00 0.00] q[Likes?] a[food] -1");
    users_functions()->close(data);

    place->options.task = "risk/default";
    data = must_open(place);
    /* Pretrain stays what it was: the words of a model that is tuned come from there. */
    assert_int_equal(users_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 3);
    assert_int_equal(users_functions()->training(data), ASSAY_TRAIN);
    assert_int_equal(users_functions()->count(data, ASSAY_TEST, ASSAY_NO_BENCHMARK), 1);
    assert_string_equal(tell(place, data, ASSAY_TEST, ASSAY_NO_BENCHMARK, 0, text, sizeof text),
                        "app[0 a b] f[0.00 0.00] q[Default?] a[defaults] 1");
    int32_t labels[2];
    assert_true(
        users_functions()->labels(data, ASSAY_TEST, ASSAY_NO_BENCHMARK, 0, 1, labels, NULL));
    assert_int_equal(labels[0], 1);
    assay_error error = {0};
    assert_false(
        users_functions()->labels(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 0, 1, labels, &error));
    assert_non_null(strstr(error.what, "training pairs have no labels"));
    users_functions()->close(data);
}

static void fields_and_benchmarks_say_what_the_description_says(void **state)
{
    users_place *place = *state;
    int count = 0;
    static const char *const names[] = {"bill",     "bill.time", "app",    "app.time",
                                        "features", "query",     "answer", "id"};
    write_two(place);
    void *data = must_open(place);
    const assay_field *fields = users_functions()->fields(data, &count);
    assert_int_equal(count, 8);
    for (int i = 0; i < count; i++)
        assert_string_equal(fields[i].name, names[i]);
    assert_int_equal(fields[0].dtype, ASSAY_U8);
    assert_int_equal(fields[0].shape[1], ASSAY_RAGGED);
    assert_int_equal(fields[1].dtype, ASSAY_F32);
    assert_int_equal(fields[4].shape[0], 2);
    const assay_benchmark *tasks = users_functions()->benchmarks(data, &count);
    assert_int_equal(count, 2);
    assert_string_equal(tasks[1].suite, "risk");
    assert_string_equal(tasks[1].name, "fraud");
    assert_string_equal(tasks[1].question, "Fraud?");
    assert_string_equal(tasks[0].domain, "credit");
    assert_string_equal(tasks[1].domain, "");
    assert_int_equal(tasks[1].classes, 2);
    assert_false(users_functions()->labels(data, ASSAY_TEST, ASSAY_NO_BENCHMARK, 0, 1, NULL, NULL));
    users_functions()->close(data);
}

/* Ids without a split, pinned: the rule is part of what a dataset is. */
static void the_split_of_an_id_is_its_hash(void **state)
{
    (void)state;
    int64_t in[ASSAY_SPLITS] = {0};
    char id[32];
    for (int i = 0; i < 20000; i++) {
        int bytes = snprintf(id, sizeof id, "user-%d", i);
        in[user_split_of_id(id, bytes)]++;
    }
    assert_in_range(in[ASSAY_PRETRAIN], 9700, 10300);
    assert_in_range(in[ASSAY_TRAIN], 4750, 5250);
    assert_in_range(in[ASSAY_VALID], 870, 1130);
    assert_in_range(in[ASSAY_TEST], 3750, 4250);
    /* The first 8 bytes of sha256sum of "0" .. "9" modulo 100 are 40 13 46 43 54 83 59 30 95 40. */
    static const int expected[10] = {0, 0, 0, 0, 1, 3, 1, 0, 3, 0};
    for (int i = 0; i < 10; i++)
        assert_int_equal(user_split_of_id(&"0123456789"[i], 1), expected[i]);
}

/* Thousands of users with 0 to 3 samples each, so that blocks hold several: every number must give
 * what a walk through the file gives. */
static void every_number_finds_its_sample(void **state)
{
    users_place *place = *state;
    enum { USERS = 5000 };
    char *lines = malloc(USERS * 200), *at = lines;
    write_description(place);
    for (int i = 0; i < USERS; i++) {
        at += sprintf(at, "{\"id\":\"%d\",\"split\":\"%s\",\"pairs\":[", i,
                      i % 3 == 0 ? "pretrain" : "train");
        for (int k = 0; k < i % 4; k++)
            at += sprintf(at, "%s{\"query\":\"q\",\"answer\":\"%d.%d\"}", k > 0 ? "," : "", i, k);
        at += sprintf(at, "]%s}\n", i % 5 == 0 ? ",\"labels\":{\"fraud\":1}" : "");
    }
    must_write(place, "users.jsonl", lines);
    free(lines);
    void *data = must_open(place);
    int64_t number = 0, labelled = 0;
    char text[256], expected[64];
    for (int i = 0; i < USERS; i++) {
        if (i % 3 == 0)
            continue;
        labelled += i % 5 == 0;
        for (int k = 0; k < i % 4; k++, number++) {
            assay_arena_reset(place->arena);
            snprintf(expected, sizeof expected, "bill[] app[] f[0.00 0.00] q[q] a[%d.%d] -1", i, k);
            assert_string_equal(
                tell(place, data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, number, text, sizeof text),
                expected);
        }
    }
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), number);
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, 1), labelled);
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, 0), 0);
    assay_error error = {0};
    assay_sample sample;
    assert_false(users_functions()->sample(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, number, NULL,
                                           place->arena, &sample, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    users_functions()->close(data);

    place->options.limit = 10;
    data = must_open(place);
    /* The first ten train users are 1 2 4 5 7 8 10 11 13 14, with 1 2 0 1 3 0 2 3 1 2 pairs; 5 and
     * 10 have the label. */
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), 15);
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, 1), 2);
    int32_t labels[3] = {7, 7, 7};
    assert_true(users_functions()->labels(data, ASSAY_TRAIN, 1, 0, 2, labels, &error));
    assert_int_equal(labels[1], 1);
    assert_int_equal(labels[2], 7);
    /* The second one alone. */
    labels[0] = 7;
    assert_true(users_functions()->labels(data, ASSAY_TRAIN, 1, 1, 1, labels, &error));
    assert_int_equal(labels[0], 1);
    users_functions()->close(data);
}

static void without_pretrain_the_train_split_is_trained_on(void **state)
{
    users_place *place = *state;
    char text[256];
    write_description(place);
    must_write(place, "users.jsonl",
               "{\"id\":\"a\",\"split\":\"train\",\"features\":[1,1],\"labels\":{\"fraud\":1}}\n"
               "{\"id\":\"b\",\"split\":\"train\",\"features\":[3,1]}\n"
               "{\"id\":\"c\",\"split\":\"valid\",\"features\":[9,1],\"labels\":{\"fraud\":1}}\n");
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), 1);
    assert_int_equal(users_functions()->count(data, ASSAY_VALID, ASSAY_NO_BENCHMARK), 0);
    /* Mean 2 and sd 1 of the train split, whatever valid says. */
    assert_string_equal(tell(place, data, ASSAY_VALID, 1, 0, text, sizeof text),
                        "bill[] app[] f[7.00 0.00] q[Fraud?] no answer 1");
    users_functions()->close(data);
}

/* "auto" asks what the data can answer: its pairs and labels, or else what users did next. */
static void without_pairs_and_labels_the_future_is_asked_for(void **state)
{
    static const char *const automatic[] = {"auto"}, *const wrong[] = {"auto", "given"};
    users_place *place = *state;
    char text[512];
    write_two(place);
    place->options.pairs = (assay_texts){1, automatic};
    place->options.future = 10;
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 5);
    users_functions()->close(data);
    must_write(place, "users.jsonl",
               "{\"id\":\"u1\",\"split\":\"pretrain\",\"events\":["
               "{\"time\":30,\"source\":\"bill\",\"text\":\"rent\"},"
               "{\"time\":5,\"source\":\"bill\",\"text\":\"food\"}]}\n"
               "{\"id\":\"u2\",\"split\":\"train\",\"labels\":{\"fraud\":1}}\n");
    data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 1);
    assert_string_equal(
        tell(place, data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 0, text, sizeof text),
        "bill[-15 food] app[] f[0.00 0.00] q[What next?] a[part 4: bill rent x1] -1");
    users_functions()->close(data);
    place->options.pairs = (assay_texts){2, wrong};
    must_refuse(place, ASSAY_BAD_INPUT);
}

/* 12 categories, of which "often" has most events: what is picked is frequent, then new, then in a
 * new part; and told by part. */
static void a_future_is_frequent_and_diverse(void **state)
{
    users_place *place = *state;
    char *lines = malloc(1 << 16), *at = lines;
    char text[1024];
    write_description(place);
    at += sprintf(at, "{\"id\":\"a\",\"split\":\"train\",\"events\":["
                      "{\"time\":0,\"source\":\"bill\",\"text\":\"before\"}");
    for (int i = 0; i < 6; i++) /* the first at 20, the last at 60 */
        at +=
            sprintf(at, ",{\"time\":%d,\"source\":\"bill\",\"text\":\"often %d\"}", 20 + 8 * i, i);
    for (int i = 0; i < 10; i++)
        at +=
            sprintf(at, ",{\"time\":%d,\"source\":\"app\",\"text\":\"%c once\"}", 31 + i, 'a' + i);
    sprintf(at, "]}\n");
    must_write(place, "users.jsonl", lines);
    free(lines);
    place->options.future = 40;
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), 1);
    assert_string_equal(
        tell(place, data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, 0, text, sizeof text),
        "bill[-20 before|0 often 0] app[] f[0.00 0.00] q[What next?] "
        "a[part 1: bill often x1; part 2: bill often x1, app a x1, app b x1, app c x1, app d x1; "
        "part 3: bill often x1; part 4: bill often x2] -1");
    users_functions()->close(data);
}

/* Ten questions about what the user did before the earliest `until`, the most relevant area first:
 * all three bills are of "credit and repayment", two of them of "eating out". */
static void questions_are_answered_from_the_history(void **state)
{
    static const char *const makers[] = {"uqa"};
    users_place *place = *state;
    char text[512];
    write_description(place);
    must_write(place, "users.jsonl",
               "{\"id\":\"a\",\"split\":\"pretrain\",\"events\":["
               "{\"time\":1,\"source\":\"bill\",\"text\":\"food 10\"},"
               "{\"time\":50,\"source\":\"bill\",\"text\":\"food 20\"},"
               "{\"time\":60,\"source\":\"bill\",\"text\":\"rent 300\"},"
               "{\"time\":88,\"source\":\"app\",\"text\":\"chess\"},"
               "{\"time\":91,\"source\":\"app\",\"text\":\"food\"}],"
               "\"labels\":{\"fraud\":{\"value\":0,\"until\":90}}}\n"
               "{\"id\":\"b\",\"split\":\"pretrain\"}\n");
    place->options.pairs = (assay_texts){1, makers};
    place->options.uqa_pairs = 2;
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 2);
    assert_string_equal(tell(place, data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 0, text, sizeof text),
                        "bill[-89 food 10|-40 food 20|-30 rent 300] app[-2 chess] f[0.00 0.00] "
                        "q[How does the user repay, given food in bill?] "
                        "a[credit and repayment: 3 in all, mostly food in bill, falling] -1");
    assert_string_equal(tell(place, data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 1, text, sizeof text),
                        "bill[-89 food 10|-40 food 20|-30 rent 300] app[-2 chess] f[0.00 0.00] "
                        "q[How does the user eat out, given the visits for food in bill?] "
                        "a[eating out: 2 in all, mostly food in bill, steady] -1");
    users_functions()->close(data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, users_place_make, users_place_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_benchmark_sample_is_the_history_before_its_until),
        TEST(training_samples_come_user_by_user_in_the_makers_order),
        TEST(makers_sources_and_task_are_the_scripts_choice),
        TEST(fields_and_benchmarks_say_what_the_description_says),
        cmocka_unit_test(the_split_of_an_id_is_its_hash),
        TEST(every_number_finds_its_sample),
        TEST(without_pretrain_the_train_split_is_trained_on),
        TEST(without_pairs_and_labels_the_future_is_asked_for),
        TEST(a_future_is_frequent_and_diverse),
        TEST(questions_are_answered_from_the_history),
    };
    return cmocka_run_group_tests_name("users samples", tests, NULL, NULL);
}
