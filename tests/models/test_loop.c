/* test_loop.c - the plugins in whole runs: dataset users, user_decoder, every mask, both losses and
 * the probe, through the training room and a real store. A run that is broken off goes on with the
 * same bits whatever the mask; what must not matter to training changes no parameter. */
#include "lab/train/fixture.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- data ---- */

/* What differs between two versions of the data. */
typedef struct version {
    bool later_events; /* other events at and after `until` */
    bool other_labels; /* other labels of valid and test users */
    bool other_past;   /* other events before `until`: what training has to notice */
} version;

enum { USERS = 120, UNTIL = 100 };

static void write_events(FILE *file, int user, int sick, const version *v)
{
    static const char *const goods[] = {"bread", "apples", "books", "medicine"};
    int bills = 3 + user % 5;
    fprintf(file, "\"events\":[");
    for (int e = 0; e < bills; e++)
        fprintf(file, "%s{\"time\":%d,\"source\":\"bill\",\"text\":\"%s %d\"}", e ? "," : "",
                10 + 12 * e, goods[(user * 7 + e * e) % 3 + (sick && e % 2)],
                (v->other_past ? user * 3 + e * e : user + e) % 4);
    for (int e = 0; e < user % 3; e++)
        fprintf(file, ",{\"time\":%d,\"source\":\"visit\",\"text\":\"%s\"}", 20 + 30 * e,
                sick ? "doctor" : "bank");
    for (int e = 0; e < 2; e++)
        fprintf(file, ",{\"time\":%d,\"source\":\"visit\",\"text\":\"%s\"}", UNTIL + e,
                v->later_events ? "somewhere else" : "doctor");
    fprintf(file, "],");
}

static void write_users(const char *folder, version v)
{
    static const char *const splits[] = {"pretrain", "pretrain", "train", "valid", "test"};
    char path[256];
    snprintf(path, sizeof path, "%s/users.jsonl", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int user = 0; user < USERS; user++) {
        int sick = user / 5 % 2;
        const char *split = splits[user % 5];
        bool held_out = user % 5 > 2;
        /* Exchanged between the classes, so that both stay. */
        int label = v.other_labels && held_out && user % 3 == 0 ? !sick : sick;
        fprintf(file, "{\"id\":\"u%d\",\"split\":\"%s\",", user, split);
        write_events(file, user, sick, &v);
        fprintf(file, "\"features\":[%d,%d],", user % 11, (user * 13) % 7);
        fprintf(file, "\"labels\":{\"sick\":{\"value\":%d,\"until\":%d}},", label, UNTIL);
        fprintf(file,
                "\"pairs\":[{\"query\":\"What does the user buy?\",\"answer\":\"%s things\","
                "\"until\":%d}]}\n",
                user % 2 ? "cheap" : "dear", UNTIL - 30);
    }
    fclose(file);
    snprintf(path, sizeof path, "%s/dataset.json", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"name\":\"health\",\"time_unit\":\"day\",\"sources\":{\"bill\":{\"slots\":6,"
            "\"tokens\":4},\"visit\":{\"slots\":4,\"tokens\":4}},\"features\":[\"a\",\"b\"],"
            "\"suites\":{\"health\":{\"sick\":{\"domain\":\"risk\",\"question\":\"Is the user "
            "sick?\",\"positive\":\"sick\",\"negative\":\"well\"}}}}\n");
    fclose(file);
}

/* ---- runs ---- */

typedef struct rig {
    bench bench;
    char data[64];
} rig;

static void rig_make(rig *r, const char *mask, version v)
{
    static const char *const losses[] = {"contrastive", "next_token"};
    bench *b = &r->bench;
    bench_make(b);
    strcpy(r->data, "/tmp/assay_users_XXXXXX");
    assert_true(scratch_make(r->data));
    write_users(r->data, v);
    set_plugin(&b->recipe.dataset, ASSAY_KIND_DATASET, "users");
    set_text(&b->recipe.dataset, "path", r->data);
    set_plugin(&b->recipe.model, ASSAY_KIND_MODEL, "user_decoder");
    set_number(&b->recipe.model, "layers", 1);
    set_number(&b->recipe.model, "width", 32);
    set_number(&b->recipe.model, "mlp", 32);
    set_plugin(&b->recipe.mask, ASSAY_KIND_MASK, mask);
    set_losses(b, 2, losses);
    set_plugin(&b->recipe.evaluators[0], ASSAY_KIND_EVALUATOR, "linear_probe");
    set_number(&b->recipe.evaluators[0], "resamples", 20);
    set_number(&b->recipe.train, "steps", 9);
    set_number(&b->recipe.train, "batch", 16);
    set_number(&b->recipe.train, "checkpoint_every", 3);
}

static void rig_remove(rig *r)
{
    char command[128];
    bench_remove(&r->bench);
    snprintf(command, sizeof command, "rm -rf '%s'", r->data);
    assert_int_equal(system(command), 0);
}

/* ---- tests ---- */

static void broken_off_runs_go_on_with_the_same_bits(void **state)
{
    static const char *const masks[] = {"causal",     "bidirectional", "hybrid",      "future",
                                        "ggsm",       "ggsm",          "ggsm_plus",   "hybrid_mask",
                                        "hybrid_mlp", "widening",      "hybrid_query"};
    (void)state;
    for (int m = 0; m < 11; m++) {
        outcome whole;
        /* Inside ggsm's warm-up of 4 steps, and on its ramp. */
        for (int64_t stop = -1; stop < 8; stop += stop < 0 ? 3 : 5) {
            rig r;
            rig_make(&r, masks[m], (version){0});
            if (strncmp(masks[m], "ggsm", 4) == 0)
                set_number(&r.bench.recipe.mask, "warmup_steps", 4);
            if (m == 5) { /* the published clock, and a moving average */
                set_text(&r.bench.recipe.mask, "clock", "micro");
                set_number(&r.bench.recipe.mask, "rho", 0.9);
                set_number(&r.bench.recipe.train, "accumulate", 2);
            }
            if (stop >= 0) {
                r.bench.stop_at = stop;
                assert_int_equal(bench_run(&r.bench), TRAIN_STOPPED);
                r.bench.stop_at = -1;
            }
            must_run(&r.bench);
            outcome got = bench_outcome(&r.bench);
            if (stop < 0)
                whole = got;
            else
                assert_same_outcome(&got, &whole);
            assert_true(got.rows > 9 * 4 && got.score_rows == 4);
            rig_remove(&r);
        }
    }
}

/* The baselines: one model, a loss each, and a probe of what it made. */
static void baselines_run_and_go_on_with_the_same_bits(void **state)
{
    static const char *const losses[] = {"cpc", "masked_event", "distribution", "future_alignment"};
    (void)state;
    for (int l = 0; l < 4; l++) {
        outcome whole;
        for (int64_t stop = -1; stop < 4; stop += 5) {
            rig r;
            rig_make(&r, "causal", (version){0});
            set_plugin(&r.bench.recipe.model, ASSAY_KIND_MODEL, "event_sequence");
            set_losses(&r.bench, 1, &losses[l]);
            if (l == 1)
                no_mask(&r.bench); /* the model's own attention */
            if (stop >= 0) {
                r.bench.stop_at = stop;
                assert_int_equal(bench_run(&r.bench), TRAIN_STOPPED);
                r.bench.stop_at = -1;
            }
            must_run(&r.bench);
            outcome got = bench_outcome(&r.bench);
            if (stop < 0)
                whole = got;
            else
                assert_same_outcome(&got, &whole);
            assert_true(got.score_rows == 4);
            assert_true(series_at(&r.bench, "loss", 9) < series_at(&r.bench, "loss", 1));
            rig_remove(&r);
        }
    }
}

/* What happens later and what only evaluation may know is nothing to training. */
static void later_events_and_held_out_labels_change_no_parameter(void **state)
{
    static const char *const masks[] = {"causal", "bidirectional"};
    static const version versions[] = {
        {0}, {.later_events = true}, {.other_labels = true}, {.other_past = true}};
    (void)state;
    for (int m = 0; m < 2; m++) {
        outcome first = {0};
        for (int v = 0; v < 4; v++) {
            rig r;
            rig_make(&r, masks[m], versions[v]);
            must_run(&r.bench);
            outcome got = bench_outcome(&r.bench);
            if (v == 0)
                first = got;
            else if (v < 3) {
                assert_string_equal(got.weights, first.weights);
                assert_string_equal(got.series, first.series);
            } else
                assert_string_not_equal(got.weights, first.weights);
            if (v == 1) /* the embeddings of valid and test, too */
                assert_string_equal(got.scores, first.scores);
            if (v == 2)
                assert_string_not_equal(got.scores, first.scores);
            rig_remove(&r);
        }
    }
}

static void scores_and_series_are_there(void **state)
{
    (void)state;
    rig r;
    rig_make(&r, "ggsm", (version){0});
    set_number(&r.bench.recipe.evaluators[0], "baselines", 1);
    set_number(&r.bench.recipe.train, "steps", 40);
    must_run(&r.bench);
    assert_int_equal(ask(&r.bench, "SELECT count(*) FROM score"), 16);
    assert_true(ask(&r.bench, "SELECT value FROM score WHERE metric = 'auc' AND split = 'test'") >
                0.6);
    assert_true(ask(&r.bench, "SELECT value FROM score WHERE metric = 'auc:onehot' AND split = "
                              "'test'") > 0.6);
    assert_int_equal(ask(&r.bench, "SELECT count(*) FROM score WHERE split = 'train'"), 0);
    assert_true(series_at(&r.bench, "loss", 40) < series_at(&r.bench, "loss", 1) - 1);
    assert_true(series_at(&r.bench, "loss/next_token", 40) <
                series_at(&r.bench, "loss/next_token", 1) - 1);
    assert_true(series_at(&r.bench, "mask/weight_mean", 1) == 0.5 + 1e-8);
    assert_true(series_at(&r.bench, "mask/weight_mean", 40) > 0.95);
    assert_true(series_at(&r.bench, "loss/contrastive/masked", 1) >= 0);
    rig_remove(&r);
}

/* A batch in two pieces is the same batch. */
static void pieces_add_up(void **state)
{
    double loss[2];
    (void)state;
    for (int pieces = 1; pieces <= 2; pieces++) {
        rig r;
        rig_make(&r, "ggsm", (version){0});
        set_number(&r.bench.recipe.train, "pieces", pieces);
        must_run(&r.bench);
        loss[pieces - 1] = series_at(&r.bench, "loss", 9);
        rig_remove(&r);
    }
    assert_true(fabs(loss[1] - loss[0]) < 1e-4 * fabs(loss[0]));
}

/* 2048 pairs contrasted at once, 64 at a time: memory is that of 64 and of what the contrast itself
 * holds of 2048, far from the whole batch's, and the loss is the whole batch's. */
static void a_large_batch_runs_in_the_memory_of_a_piece(void **state)
{
    static const double batches[][2] = {{64, 1}, {2048, 32}, {2048, 1}};
    static const char *const losses[] = {"contrastive"};
    /* Cosines of all pairs and their gradients, in MiB. */
    const double contrast = 2.5 * 2048 * 2048 * 4 / 1048576;
    double loss[3], memory[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig r;
        rig_make(&r, "causal", (version){0});
        set_losses(&r.bench, 1, losses);
        set_number(&r.bench.recipe.train, "steps", 1);
        set_number(&r.bench.recipe.train, "batch", batches[i][0]);
        set_number(&r.bench.recipe.train, "pieces", batches[i][1]);
        must_run(&r.bench);
        loss[i] = series_at(&r.bench, "loss", 1);
        memory[i] = series_at(&r.bench, "memory/step_mb", 1);
        rig_remove(&r);
    }
    print_message("# memory of a step: %.1f MiB of 64, %.1f of 2048 in pieces, %.1f whole\n",
                  memory[0], memory[1], memory[2]);
    assert_true(fabs(loss[1] - loss[2]) < 1e-4 * fabs(loss[2]));
    assert_true(memory[1] < 1.5 * memory[0] + contrast && memory[1] < memory[2]);
}

static void no_steps_evaluate_the_untrained_model(void **state)
{
    (void)state;
    rig r;
    rig_make(&r, "future", (version){0});
    set_number(&r.bench.recipe.train, "steps", 0);
    must_run(&r.bench);
    assert_int_equal(ask(&r.bench, "SELECT count(*) FROM score"), 4);
    rig_remove(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_off_runs_go_on_with_the_same_bits),
        cmocka_unit_test(baselines_run_and_go_on_with_the_same_bits),
        cmocka_unit_test(later_events_and_held_out_labels_change_no_parameter),
        cmocka_unit_test(scores_and_series_are_there),
        cmocka_unit_test(pieces_add_up),
        cmocka_unit_test(a_large_batch_runs_in_the_memory_of_a_piece),
        cmocka_unit_test(no_steps_evaluate_the_untrained_model),
    };
    return cmocka_run_group_tests_name("whole runs", tests, NULL, NULL);
}
