/* test_resume.c - a run that is broken off and gone on with ends with the same bits as one that is
 * not, wherever it is broken off and whatever it trains. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- what is trained ---- */

static void plain(bench *b)
{
    (void)b;
}

static void accumulated(bench *b)
{
    set_number(&b->recipe.train, "accumulate", 2);
    set_text(&b->recipe.mask, "clock", "micro");
}

static void in_pieces(bench *b)
{
    set_number(&b->recipe.train, "pieces", 4);
    set_number(&b->recipe.model, "dropout", 0.2);
}

static void evaluated(bench *b)
{
    set_number(&b->recipe.train, "evaluate_every", 3);
    set_number(&b->recipe.dataset, "crop", 1);
    set_number(&b->recipe.model, "dropout", 0.1);
}

static void early(bench *b)
{
    set_number(&b->recipe.train, "evaluate_every", 1);
    set_number(&b->recipe.train, "early_stop", 3);
    set_number(&b->recipe.train, "lr", 2.0);
    set_text(&b->recipe.train, "schedule", "constant");
}

static void learned(bench *b)
{
    set_number(&b->recipe.mask, "learned", 1);
    set_number(&b->recipe.mask, "query", 1);
    set_number(&b->recipe.losses[1], "learned", 1);
    set_text(&b->recipe.train, "precision", "bf16");
}

static void adapted(bench *b)
{
    set_adapter(b, "toy_scale");
    set_number(&b->recipe.adapters[0], "tokens", 2);
    set_number(&b->recipe.train, "evaluate_every", 5);
    set_number(&b->recipe.train, "warmup", 0.25);
}

typedef struct subject {
    const char *name;
    void (*change)(bench *bench);
} subject;

static const subject subjects[] = {
    {"plain", plain},         {"accumulated", accumulated}, {"in pieces", in_pieces},
    {"evaluated", evaluated}, {"early stop", early},        {"learned parts in bf16", learned},
    {"adapted", adapted},
};
#define SUBJECTS (int)(sizeof subjects / sizeof *subjects)

static void make(bench *b, const subject *s)
{
    bench_make(b);
    s->change(b);
}

/* Broken off at each of these steps in turn, in the same store, then run to its end. */
static outcome run_broken(const subject *s, int n, const int64_t *steps, const char *doing)
{
    bench b;
    make(&b, s);
    b.stop_doing = doing;
    for (int i = 0; i < n; i++) {
        b.stop_at = steps[i];
        train_result result = bench_run(&b);
        if (result != TRAIN_STOPPED && result != TRAIN_DONE)
            fail_msg("%s at step %d: %d %s", s->name, (int)steps[i], (int)result, b.error.what);
        if (result == TRAIN_DONE) {
            b.stop_at = -1;
            break;
        }
    }
    if (b.stop_at >= 0) {
        b.stop_at = -1;
        must_run(&b);
    }
    outcome out = bench_outcome(&b);
    bench_remove(&b);
    return out;
}

static outcome run_whole(const subject *s)
{
    bench b;
    make(&b, s);
    must_run(&b);
    outcome out = bench_outcome(&b);
    bench_remove(&b);
    return out;
}

static void broken_off_runs_end_alike(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        const subject *s = &subjects[i];
        outcome whole = run_whole(s), again = run_whole(s);
        print_message("# %s: %lld series rows, %lld scores\n", s->name, (long long)whole.rows,
                      (long long)whole.score_rows);
        assert_same_outcome(&whole, &again);
        outcome one = run_broken(s, 1, (const int64_t[]){7}, NULL);
        assert_same_outcome(&whole, &one);
        outcome many = run_broken(s, 4, (const int64_t[]){1, 3, 6, 11}, NULL);
        assert_same_outcome(&whole, &many);
    }
}

static void broken_off_evaluations_are_done_again(void **state)
{
    (void)state;
    for (int i = 3; i < SUBJECTS; i++) {
        const subject *s = &subjects[i];
        outcome whole = run_whole(s);
        outcome broken = run_broken(s, 3, (const int64_t[]){1, 5, 12}, "evaluating");
        assert_same_outcome(&whole, &broken);
    }
}

/* A checkpoint that comes after an evaluation remembers it: going on does not count it twice. */
static void saved_evaluations_are_not_done_again(void **state)
{
    (void)state;
    for (int i = 3; i < 5; i++) {
        outcome whole = run_whole(&subjects[i]);
        outcome broken = run_broken(&subjects[i], 2, (const int64_t[]){4, 8}, "saving");
        assert_same_outcome(&whole, &broken);
    }
}

/* Not all runs are alike: what the comparison compares does depend on the recipe. */
static void other_runs_end_otherwise(void **state)
{
    (void)state;
    outcome whole = run_whole(&subjects[0]);
    outcome other = run_whole(&subjects[1]);
    assert_string_not_equal(whole.weights, other.weights);
    assert_string_not_equal(whole.series, other.series);
    assert_string_not_equal(whole.scores, other.scores);
}

/* checkpoint_every and keep belong to the attempt: they change nothing of what is computed. */
static void how_often_it_is_saved_changes_nothing(void **state)
{
    (void)state;
    bench b;
    outcome whole = run_whole(&subjects[3]);
    make(&b, &subjects[3]);
    set_number(&b.recipe.train, "checkpoint_every", 1);
    set_number(&b.recipe.train, "keep", 5);
    must_run(&b);
    outcome often = bench_outcome(&b);
    assert_int_equal(ask(&b, "SELECT count(*) FROM checkpoint"), 5);
    bench_remove(&b);
    assert_same_outcome(&whole, &often);
}

static void early_stop_ends_before_the_last_step(void **state)
{
    (void)state;
    bench b;
    make(&b, &subjects[4]);
    must_run(&b);
    double last = ask(&b, "SELECT max(step) FROM series");
    assert_true(last < 12);
    assert_true(series_at(&b, "early_stop", (int64_t)last) == 3);
    assert_true(ask(&b, "SELECT step FROM score WHERE split = 'test'") == last);
    bench_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_off_runs_end_alike),
        cmocka_unit_test(broken_off_evaluations_are_done_again),
        cmocka_unit_test(saved_evaluations_are_not_done_again),
        cmocka_unit_test(other_runs_end_otherwise),
        cmocka_unit_test(how_often_it_is_saved_changes_nothing),
        cmocka_unit_test(early_stop_ends_before_the_last_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
