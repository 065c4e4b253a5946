/* test_linear_probe.c - the evaluator gives the values that the engine's own probe and ranking
 * give, chooses on valid, never looks at test before the end, and says which benchmark and split is
 * wrong. Vectors come from the test instead of a model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/people.h"
#include "models/use.h"
#include "scratch.h"
#include "under_test.h"

#include <assay/metrics.h>

enum { SCORES = 64, WIDTH = 3 };

/* An evaluation whose network is a table of vectors. */
typedef struct stage {
    people people;
    recorder host;
    use used;
    float *vector[ASSAY_SPLITS]; /* (count, WIDTH) */
    int count;
    assay_score scores[SCORES];
    char metrics[SCORES][40];
    bool asked[ASSAY_SPLITS];
    int64_t samples_made;
    assay_evaluation evaluation;
} stage;

static bool each(void *user, assay_data_split split, int benchmark, const assay_wanted *wanted,
                 assay_visitor visit, void *visitor, assay_error *error)
{
    enum { BATCH = 7 };
    stage *s = user;
    const assay_device *device = device_under_test(error);
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, error);
    int32_t *label = test_malloc((size_t)s->people.count * sizeof *label);
    bool ok = true;
    assert_non_null(tape);
    s->asked[split] = true;
    assert_true(
        s->people.functions.labels(&s->people, split, benchmark, 0, s->people.count, label, error));
    for (int64_t first = 0; ok && first < s->people.count; first += BATCH) {
        int64_t n = s->people.count - first < BATCH ? s->people.count - first : BATCH;
        assay_tape_begin(tape, (assay_step){.no_gradient = true});
        assay_outputs outputs = {
            .count = 1,
            .names = {wanted->names[0]},
            .tensors = {assay_tape_constant(tape, ASSAY_F32, 2, (int64_t[]){n, WIDTH},
                                            s->vector[split] + first * WIDTH)}};
        const assay_batch batch = {
            .samples = n, .labels = assay_tape_constant(tape, ASSAY_I32, 1, &n, label + first)};
        ok = visit(visitor, first, &batch, &outputs, error);
    }
    test_free(label);
    assay_tape_free(tape);
    return ok;
}

static bool take_score(void *user, const assay_score *score, assay_error *error)
{
    stage *s = user;
    (void)error;
    assert_true(s->count < SCORES);
    snprintf(s->metrics[s->count], sizeof s->metrics[0], "%s", score->metric);
    s->scores[s->count] = *score;
    s->scores[s->count].metric = s->metrics[s->count];
    s->count++;
    return true;
}

static stage *watched; /* whose samples are counted */
static bool (*plain_sample)(void *, assay_data_split, int, int64_t, const assay_draw *,
                            assay_arena *, assay_sample *, assay_error *);

static bool counting_sample(void *user, assay_data_split split, int benchmark, int64_t index,
                            const assay_draw *draw, assay_arena *arena, assay_sample *out,
                            assay_error *error)
{
    watched->samples_made++;
    return plain_sample(user, split, benchmark, index, draw, arena, out, error);
}

static void stage_open(stage *s, int64_t count, bool final)
{
    memset(s, 0, sizeof *s);
    people_open(&s->people, count, 8);
    plain_sample = s->people.functions.sample;
    s->people.functions.sample = counting_sample;
    watched = s;
    recorder_begin(&s->host);
    s->used = use_open("evaluator_linear_probe");
    use_text(&s->used, "suite", "health");
    for (int split = 0; split < ASSAY_SPLITS; split++) {
        s->vector[split] = test_calloc((size_t)count * WIDTH, sizeof(float));
        assay_random_fill_normal(assay_stream_of(4, "vectors", (uint64_t)split), 0, count * WIDTH,
                                 s->vector[split]);
        for (int64_t i = 0; i < count; i++)
            s->vector[split][i * WIDTH] += s->people.persons[i].label ? 0.7f : -0.7f;
    }
    s->evaluation = (assay_evaluation){.size = sizeof s->evaluation,
                                       .user = s,
                                       .data = &s->people.data,
                                       .host = &s->host.host,
                                       .seed = 3,
                                       .step = 10,
                                       .final = final,
                                       .each = each,
                                       .score = take_score};
}

static void stage_close(stage *s)
{
    for (int split = 0; split < ASSAY_SPLITS; split++)
        test_free(s->vector[split]);
    use_close(&s->used);
    people_close(&s->people);
}

/* The second benchmark has one class: only the first one is left in. */
static const assay_benchmark *one_benchmark(void *user, int *count)
{
    static const assay_benchmark only = {"health", "sick", "", "is the person sick?", 2};
    (void)user;
    *count = 1;
    return &only;
}

static void evaluate(stage *s)
{
    assay_error error = {0};
    s->count = 0;
    s->samples_made = 0;
    must(use_evaluator(&s->used)->evaluate(s->used.options, &s->evaluation, &error), &error);
}

static const assay_score *find(const stage *s, const char *metric, assay_data_split split)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->scores[i].metric, metric) == 0 && s->scores[i].split == split)
            return &s->scores[i];
    fail_msg("no score %s on %s", metric, assay_split_name(split));
    return NULL;
}

/* ---- values ---- */

static void the_spec_s_golden_ranking_comes_out(void **state)
{
    static const float score[] = {.9f, .8f, .7f, .7f, .6f, .5f, .4f, .3f};
    static const int32_t label[] = {1, 1, 0, 1, 0, 1, 0, 0};
    (void)state;
    stage s;
    stage_open(&s, 8, true);
    s.people.functions.benchmarks = one_benchmark;
    for (int i = 0; i < 8; i++) {
        s.people.persons[i].label = label[i];
        for (int split = 0; split < ASSAY_SPLITS; split++) {
            memset(s.vector[split] + i * WIDTH, 0, WIDTH * sizeof(float));
            s.vector[split][i * WIDTH] = score[i];
        }
    }
    evaluate(&s);
    assert_int_equal(s.count, 4);
    for (int i = 0; i < s.count; i++) {
        assert_string_equal(s.scores[i].suite, "health");
        assert_string_equal(s.scores[i].benchmark, "sick");
        assert_int_equal(s.scores[i].n, 8);
    }
    for (assay_data_split split = ASSAY_VALID; split <= ASSAY_TEST; split++) {
        assert_true(fabs(find(&s, "auc", split)->value - 0.84375) < 1e-12);
        assert_true(fabs(find(&s, "ks", split)->value - 0.5) < 1e-12);
    }
    stage_close(&s);
}

static void widen(const stage *s, assay_data_split split, double *x, int32_t *label)
{
    for (int64_t i = 0; i < s->people.count; i++) {
        label[i] = s->people.persons[i].label;
        for (int k = 0; k < WIDTH; k++)
            x[i * WIDTH + k] = (double)s->vector[split][i * WIDTH + k];
    }
}

static void l2_is_chosen_on_valid_and_test_follows(void **state)
{
    enum { N = 60 };
    static const double choices[] = {0.001, 0.1, 10};
    double x[N * WIDTH], score[N], best = 0, expected = 0;
    int32_t label[N];
    assay_ranking ranking;
    (void)state;
    stage s;
    stage_open(&s, N, true);
    s.people.functions.benchmarks = one_benchmark;
    use_list(&s.used, "l2", "0.001,0.1,10");
    for (int i = 0; i < 3; i++) {
        assay_error error = {0};
        widen(&s, ASSAY_TRAIN, x, label);
        assay_probe *probe =
            assay_probe_fit(x, label, N, WIDTH, &(assay_probe_options){.l2 = choices[i]}, &error);
        must(probe != NULL, &error);
        widen(&s, ASSAY_VALID, x, label);
        assay_probe_score(probe, x, N, score);
        must(assay_rank(score, label, N, &ranking, &error), &error);
        double on_valid = ranking.auc;
        widen(&s, ASSAY_TEST, x, label);
        assay_probe_score(probe, x, N, score);
        must(assay_rank(score, label, N, &ranking, &error), &error);
        if (on_valid >= best) {
            best = on_valid;
            expected = ranking.auc;
        }
        assay_probe_free(probe);
    }
    evaluate(&s);
    assert_true(find(&s, "auc", ASSAY_VALID)->value == best);
    assert_true(find(&s, "auc", ASSAY_TEST)->value == expected);
    stage_close(&s);
}

static void intervals_hold_the_value_and_follow_the_seed(void **state)
{
    (void)state;
    stage s;
    stage_open(&s, 60, true);
    s.people.functions.benchmarks = one_benchmark;
    evaluate(&s);
    const assay_score first = *find(&s, "auc", ASSAY_TEST);
    assert_true(first.low < first.value && first.value < first.high);
    assert_true(first.low > 0.5 && first.high <= 1);
    evaluate(&s);
    assert_true(find(&s, "auc", ASSAY_TEST)->low == first.low);
    s.evaluation.seed = 4;
    evaluate(&s);
    assert_true(find(&s, "auc", ASSAY_TEST)->low != first.low);
    assert_true(find(&s, "auc", ASSAY_TEST)->value == first.value);
    use_number(&s.used, "level", 0.5);
    evaluate(&s);
    assert_true(find(&s, "auc", ASSAY_TEST)->low > first.low);
    use_number(&s.used, "resamples", 0);
    evaluate(&s);
    assert_true(isnan(find(&s, "auc", ASSAY_TEST)->low));
    stage_close(&s);
}

static void test_is_not_looked_at_before_the_end(void **state)
{
    (void)state;
    stage s;
    stage_open(&s, 40, false);
    s.people.functions.benchmarks = one_benchmark;
    use_number(&s.used, "baselines", 1);
    use_list(&s.used, "metrics", "ks");
    evaluate(&s);
    assert_false(s.asked[ASSAY_TEST] || s.asked[ASSAY_PRETRAIN]);
    assert_int_equal(s.samples_made, 0);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.scores[0].split, ASSAY_VALID);
    assert_string_equal(s.scores[0].metric, "ks");
    assert_true(isnan(s.scores[0].low));
    stage_close(&s);
}

static void length_is_taken_away_when_asked(void **state)
{
    (void)state;
    stage s;
    stage_open(&s, 60, true);
    s.people.functions.benchmarks = one_benchmark;
    use_number(&s.used, "normalize", 1);
    evaluate(&s);
    double plain = find(&s, "auc", ASSAY_TEST)->value;
    for (int split = 0; split < ASSAY_SPLITS; split++)
        for (int64_t i = 0; i < s.people.count * WIDTH; i++)
            s.vector[split][i] *= (float)(1 << (i / WIDTH % 3));
    evaluate(&s);
    assert_true(find(&s, "auc", ASSAY_TEST)->value == plain);
    stage_close(&s);
}

/* ---- baselines ---- */

/* Counts find what places hide: the sick buy medicine more often, anywhere in their history. */
static void pooled_counts_are_a_baseline_of_their_own(void **state)
{
    (void)state;
    stage s;
    stage_open(&s, 200, true);
    s.people.functions.benchmarks = one_benchmark;
    use_number(&s.used, "pooled", 1);
    evaluate(&s);
    assert_int_equal(s.count, 12); /* the model's, counts, columns and counts; auc and ks, twice */
    assert_true(find(&s, "auc:counts", ASSAY_TEST)->value > 0.9);
    assert_true(find(&s, "auc:columns+counts", ASSAY_VALID)->value > 0.9);
    use_number(&s.used, "baselines", 1);
    evaluate(&s);
    assert_int_equal(s.count, 24);
    stage_close(&s);
}

static void baselines_are_measured_once_and_kept(void **state)
{
    char folder[] = "/tmp/assay_probe_XXXXXX", command[64];
    (void)state;
    stage s;
    stage_open(&s, 200, true);
    s.people.functions.benchmarks = one_benchmark;
    assert_true(scratch_make(folder));
    snprintf(s.host.cache, sizeof s.host.cache, "%s", folder);
    use_number(&s.used, "baselines", 1);
    evaluate(&s);
    assert_int_equal(s.count, 16);
    assert_true(s.samples_made > 0);
    /* Features are noise; medicine among the bills is not. */
    double columns = find(&s, "auc:columns", ASSAY_TEST)->value;
    double onehot = find(&s, "auc:onehot", ASSAY_TEST)->value;
    assert_true(columns > 0.4 && columns < 0.7);
    assert_true(onehot > 0.75 && onehot > columns);
    assert_true(find(&s, "ks:columns+onehot", ASSAY_VALID)->value > 0.3);
    const assay_score first = *find(&s, "auc:onehot", ASSAY_TEST);
    evaluate(&s);
    assert_int_equal(s.samples_made, 0);
    assert_int_equal(s.count, 16);
    assert_true(find(&s, "auc:onehot", ASSAY_TEST)->value == first.value &&
                find(&s, "auc:onehot", ASSAY_TEST)->low == first.low);
    /* Other data under the same name is not taken for it. */
    s.people.persons[0].label ^= 1;
    evaluate(&s);
    assert_true(s.samples_made > 0);
    s.people.persons[0].label ^= 1;
    /* A broken file is measured again, to the same numbers. */
    snprintf(command, sizeof command, "for f in %s/*; do echo x >> $f; done", folder);
    assert_int_equal(system(command), 0);
    evaluate(&s);
    assert_true(s.samples_made > 0);
    assert_true(find(&s, "auc:onehot", ASSAY_TEST)->value == first.value);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    stage_close(&s);
}

/* ---- wrong input ---- */

static const char *const model_outputs[] = {"user.embedding"};

static void check_fails(stage *s, const char *what, const char *got)
{
    assay_error error = {0};
    char text[1200];
    const assay_model_facts facts = {
        .size = sizeof facts, .output_count = 1, .outputs = model_outputs};
    assert_false(use_evaluator(&s->used)->check(s->used.options, &s->people.data, &facts, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assay_error_format(&error, text, sizeof text);
    if (!strstr(text, what) || !strstr(text, got))
        fail_msg("%s; expected '%s' and '%s'", text, what, got);
}

static int64_t no_test(void *user, assay_data_split split, int benchmark)
{
    (void)benchmark;
    return split == ASSAY_TEST ? 0 : ((const people *)user)->count;
}

static void wrong_input_is_named(void **state)
{
    (void)state;
    stage s;
    stage_open(&s, 8, true);
    check_fails(&s, "benchmark health/rich has one class only in its train split", "8 positive");
    s.people.functions.benchmarks = one_benchmark;
    s.people.functions.count = no_test;
    check_fails(&s, "benchmark health/sick has no samples in its test split", "0 positive");
    use_text(&s.used, "suite", "wealth");
    check_fails(&s, "unknown suite 'wealth'", "'health'");
    use_text(&s.used, "suite", "heatlh");
    check_fails(&s, "unknown suite 'heatlh'", "did you mean 'health'?");
    use_text(&s.used, "suite", "health");
    use_text(&s.used, "output", "user.embeding");
    check_fails(&s, "the model has no output 'user.embeding'", "did you mean 'user.embedding'?");
    use_text(&s.used, "output", "user.embedding");
    use_list(&s.used, "l2", "");
    check_fails(&s, "empty list", "at least one metric");
    stage_close(&s);
}

static void what_fits_is_accepted(void **state)
{
    (void)state;
    stage s;
    assay_error error = {0};
    const assay_model_facts facts = {
        .size = sizeof facts, .output_count = 1, .outputs = model_outputs};
    stage_open(&s, 8, true);
    s.people.functions.benchmarks = one_benchmark;
    must(use_evaluator(&s.used)->check(s.used.options, &s.people.data, &facts, &error), &error);
    use_text(&s.used, "suite", "");
    must(use_evaluator(&s.used)->check(s.used.options, &s.people.data, &facts, &error), &error);
    stage_close(&s);
}

static void one_class_in_evaluation_names_benchmark_and_split(void **state)
{
    (void)state;
    stage s;
    assay_error error = {0};
    stage_open(&s, 8, true);
    assert_false(use_evaluator(&s.used)->evaluate(s.used.options, &s.evaluation, &error));
    assert_non_null(strstr(error.what, "health/rich has one class only in its train split"));
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_spec_s_golden_ranking_comes_out),
        cmocka_unit_test(l2_is_chosen_on_valid_and_test_follows),
        cmocka_unit_test(intervals_hold_the_value_and_follow_the_seed),
        cmocka_unit_test(test_is_not_looked_at_before_the_end),
        cmocka_unit_test(length_is_taken_away_when_asked),
        cmocka_unit_test(pooled_counts_are_a_baseline_of_their_own),
        cmocka_unit_test(baselines_are_measured_once_and_kept),
        cmocka_unit_test(wrong_input_is_named),
        cmocka_unit_test(what_fits_is_accepted),
        cmocka_unit_test(one_class_in_evaluation_names_benchmark_and_split),
    };
    return cmocka_run_group_tests_name("linear_probe", tests, NULL, NULL);
}
