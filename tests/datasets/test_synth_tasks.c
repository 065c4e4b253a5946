/* test_synth_tasks.c - the nineteen tasks: their rates, their labels, and that history tells of
 * them without giving them away. */
#include "synth_place.h"

#include <assay/metrics.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void suites_have_ten_and_nine_tasks(void **state)
{
    synth_place *place = *state;
    synth_data *data = must_open(place);
    int count = 0, alipay = 0;
    const assay_benchmark *all = synth_functions()->benchmarks(data, &count);
    assert_int_equal(count, 19);
    for (int b = 0; b < count; b++) {
        alipay += strcmp(all[b].suite, "alipay10") == 0;
        assert_int_equal(all[b].classes, 2);
        assert_true(all[b].question[0] != '\0' && all[b].domain[0] != '\0');
        assert_int_equal(synth_functions()->count(data, ASSAY_PRETRAIN, b), 0);
        assert_int_equal(synth_functions()->count(data, ASSAY_TRAIN, b), 30);
        assert_int_equal(synth_functions()->count(data, ASSAY_VALID, b), 20);
        assert_int_equal(synth_functions()->count(data, ASSAY_TEST, b), 10);
    }
    assert_int_equal(alipay, 10);
    synth_functions()->close(data);
}

static void between_5_and_40_of_100_are_positive(void **state)
{
    synth_place *place = *state;
    enum { USERS = 3000 };
    int positive[TASKS] = {0};
    synth_data *data = must_open(place);
    for (int64_t u = 0; u < USERS; u++) {
        assay_error error = {0};
        person p;
        life l;
        assay_arena_reset(place->arena);
        person_make(&p, data->world, &data->streams, synth_number(ASSAY_TEST, u));
        assert_true(person_live(&p, data->world, &data->streams, DAYS, place->arena, &l, &error));
        uint32_t answers = tasks_answer(&data->limits, data->world, &data->streams, &p, &l);
        for (int t = 0; t < TASKS; t++)
            positive[t] += answers >> t & 1;
    }
    for (int t = 0; t < TASKS; t++)
        if (positive[t] < USERS * 5 / 100 || positive[t] > USERS * 40 / 100)
            fail_msg("%s/%s: %d of %d", synth_tasks[t].suite, synth_tasks[t].name, positive[t],
                     USERS);
    synth_functions()->close(data);
}

static void labels_are_those_of_the_samples(void **state)
{
    synth_place *place = *state;
    int32_t labels[30];
    synth_data *data = must_open(place);
    for (int b = 0; b < TASKS; b++) {
        assay_error error = {0};
        assert_true(synth_functions()->labels(data, ASSAY_TRAIN, b, 0, 30, labels, &error));
        for (int i = 0; i < 30; i++) {
            assay_arena_reset(place->arena);
            assay_sample s = must_sample(data, ASSAY_TRAIN, b, i, 0, place->arena);
            assert_int_equal(s.label, labels[i]);
            assert_true(is_text(&s.values[data->field_count - 3], synth_tasks[b].question));
        }
    }
    synth_functions()->close(data);
}

/* Tasks that both papers have are one task. */
static void shared_tasks_agree(void **state)
{
    synth_place *place = *state;
    assay_error error = {0};
    int32_t a[30], b[30];
    synth_data *data = must_open(place);
    const int pairs[2][2] = {{1, 10}, {2, 11}};
    for (int k = 0; k < 2; k++) {
        assert_true(synth_functions()->labels(data, ASSAY_TRAIN, pairs[k][0], 0, 30, a, &error));
        assert_true(synth_functions()->labels(data, ASSAY_TRAIN, pairs[k][1], 0, 30, b, &error));
        assert_memory_equal(a, b, sizeof a);
        assert_true(synth_functions()->labels(data, ASSAY_TRAIN, pairs[k][0], 7, 5, b, &error));
        assert_memory_equal(a + 7, b, 5 * sizeof *b);
    }
    synth_functions()->close(data);
}

static void a_task_gives_training_samples_with_its_words(void **state)
{
    synth_place *place = *state;
    int32_t labels[30];
    assay_error error = {0};
    place->options.task = "alipay10/forest";
    synth_data *data = must_open(place);
    /* Pretrain keeps its pairs: the words of a model that is tuned come from there. */
    assert_true(synth_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK) > 0);
    assert_int_equal(synth_functions()->training(data), ASSAY_TRAIN);
    assert_int_equal(synth_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), 30);
    assert_true(
        synth_functions()->labels(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, 0, 30, labels, &error));
    for (int i = 0; i < 30; i++) {
        assay_sample s = must_sample(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, i, 0, place->arena);
        assert_int_equal(s.label, labels[i]);
        assert_true(is_text(&s.values[data->field_count - 2], labels[i]
                                                                  ? "takes part in the forest"
                                                                  : "takes no part in the forest"));
    }
    synth_functions()->close(data);
}

/* The area under the curve of one standardised feature. */
static double auc_of(const synth_data *data, synth_place *place, int benchmark, int feature,
                     int64_t users)
{
    assay_error error = {0};
    assay_ranking ranking;
    double *x = calloc((size_t)users, sizeof *x);
    int32_t *labels = calloc((size_t)users, sizeof *labels);
    assert_true(
        synth_functions()->labels((void *)data, ASSAY_TEST, benchmark, 0, users, labels, &error));
    for (int64_t i = 0; i < users; i++) {
        assay_arena_reset(place->arena);
        assay_sample s = must_sample(data, ASSAY_TEST, benchmark, i, 0, place->arena);
        x[i] = (double)((const float *)s.values[2 * SOURCES].data)[feature];
    }
    assert_true(assay_rank(x, labels, users, &ranking, &error));
    free(x);
    free(labels);
    return ranking.auc;
}

/* One count of the history says something about each task, and not everything. */
static void history_tells_but_does_not_tell_all(void **state)
{
    synth_place *place = *state;
    static const struct {
        int task, topic;
    } cases[] = {{0, GAMES},    {1, CONCERT},  {3, FOREST},  {6, TAKEOUT}, {7, BRAND},
                 {8, DISCOUNT}, {13, TRANSIT}, {15, DINING}, {16, MOVIE}};
    place->options.test_users = 600;
    synth_data *data = must_open(place);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        double auc = auc_of(data, place, cases[k].task, 3 * cases[k].topic + 2, 600);
        if (!(auc > 0.6 && auc < 0.95))
            fail_msg("%s: %.3f", synth_tasks[cases[k].task].name, auc);
    }
    synth_functions()->close(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, synth_place_make, synth_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(suites_have_ten_and_nine_tasks),
        TEST(between_5_and_40_of_100_are_positive),
        TEST(labels_are_those_of_the_samples),
        TEST(shared_tasks_agree),
        TEST(a_task_gives_training_samples_with_its_words),
        TEST(history_tells_but_does_not_tell_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
