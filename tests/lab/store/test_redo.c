/* test_redo.c - runs started over with all that depend on them, and what runs hand to each
 * other. */
#include "fixture.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a chain: a -> b -> c, and d alone; c belongs to another experiment ---- */

static const char *const hashes[] = {"aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb",
                                     "cccccccccccccccccccc", "dddddddddddddddddddd"};

static store_planned_run planned(int i, const store_input *input)
{
    return (store_planned_run){.run_hash = hashes[i],
                               .cell_hash = hashes[i],
                               .total_steps = 10,
                               .device = "cpu",
                               .dataset = "toy",
                               .stage = "main",
                               .label = "-",
                               .n_inputs = input != NULL,
                               .inputs = input};
}

static void must_chain(store_handle *store, int64_t ids[4])
{
    static const store_input a = {"init", "aaaaaaaaaaaaaaaaaaaa"},
                             b = {"init", "bbbbbbbbbbbbbbbbbbbb"};
    store_planned_run first[] = {planned(0, NULL), planned(1, &a), planned(3, NULL)};
    store_planned_run second[] = {planned(2, &b)};
    int64_t got[3];
    assert_true(store_put_plan(store, "one", 3, first, got, NULL));
    assert_true(store_put_plan(store, "two", 1, second, &ids[2], NULL));
    ids[0] = got[0], ids[1] = got[1], ids[3] = got[2];
}

static void path_of(const test_place *place, int run, const char *file, char *out, size_t size)
{
    snprintf(out, size, "%s.files/%.16s%s", place->path, hashes[run], file);
}

/* Gives the run a row in every table and a file, and ends it. */
static void must_finish(const test_place *place, store_handle *store, int64_t id, int run,
                        const char *status)
{
    char path[200];
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    store_score score = {"s", "", "auc", "valid", 10, 0.5, NAN, NAN, -1};
    assert_true(store_series(writer, store_series_key(writer, "loss", "min", NULL), 10, 1.0));
    assert_true(store_put_score(writer, &score, NULL));
    assert_true(store_writer_free(writer, NULL));
    store_file file = {"x", "00", 1};
    assert_true(store_put_checkpoint(store, &lease, 10, &file, NULL));
    assert_true(store_put_artifact(store, &lease, "roc", &file, NULL));
    assert_true(store_end(store, &lease, status, status, NULL, NULL));
    snprintf(path, sizeof path, "%s.files", place->path);
    mkdir(path, 0755);
    path_of(place, run, "", path, sizeof path);
    assert_int_equal(mkdir(path, 0755), 0);
    path_of(place, run, "/weights", path, sizeof path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fclose(out);
}

static bool has_files(const test_place *place, int run)
{
    char path[200];
    path_of(place, run, "", path, sizeof path);
    return access(path, F_OK) == 0;
}

#define ROWS                                                                                       \
    "SELECT (SELECT count(*) FROM series) + (SELECT count(*) FROM score) + "                       \
    "(SELECT count(*) FROM checkpoint) + (SELECT count(*) FROM artifact)"

static void a_run_is_cleared_with_all_that_depend_on_it_and_nothing_else(void **state)
{
    const test_place *place = *state;
    int64_t ids[4], cleared = 0;
    store_handle *store = must_open(place);
    must_chain(store, ids);
    for (int i = 0; i < 4; i++)
        must_finish(place, store, ids[i], i, i == 1 ? "failed" : "done");
    assert_true(store_redo(store, 1, &ids[0], &cleared, NULL));
    assert_int_equal(cleared, 3);
    assert_int_equal(ask(place, "SELECT count(*) FROM run WHERE status = 'pending'"), 3);
    assert_int_equal(ask(place, ROWS), 4);
    assert_int_equal(ask(place, "SELECT count(*) FROM run_input"), 2);
    assert_int_equal(ask(place, "SELECT count(*) FROM attempt WHERE end_reason <> 'cleared'"), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(has_files(place, i), i == 3);
    assert_int_equal(must_claim(store, ids[0]).attempt, 3);
    assert_true(store_redo(store, 1, &ids[1], &cleared, NULL)); /* again, in the same process */
    assert_int_equal(cleared, 2);
    store_free(store);
    assert_intact(place);
}

static void a_run_of_a_living_process_is_not_cleared_and_nor_are_the_others(void **state)
{
    const test_place *place = *state;
    int64_t ids[4];
    assay_error error = {0};
    store_handle *store = must_open(place);
    must_chain(store, ids);
    for (int i = 0; i < 2; i++)
        must_finish(place, store, ids[i], i, "done");
    must_claim(store, ids[2]); /* far down the chain */
    assert_false(store_redo(store, 1, &ids[0], NULL, &error));
    assert_int_equal(error.code, ASSAY_STOPPED);
    assert_non_null(strstr(error.got, "process"));
    assert_int_equal(ask(place, "SELECT count(*) FROM run WHERE status = 'done'"), 2);
    assert_int_equal(ask(place, ROWS), 8);
    assert_true(has_files(place, 0));
    store_free(store);
}

static void a_run_of_a_dead_process_is_cleared(void **state)
{
    const test_place *place = *state;
    int64_t ids[4];
    int status = 1;
    store_handle *store = must_open(place);
    must_chain(store, ids);
    store_free(store);
    if (fork() == 0) {
        store_lease lease;
        store = store_open(place->path, STORE_READ_WRITE, NULL);
        _exit(store_claim(store, ids[0], &worker, &lease, NULL, 0, NULL) != STORE_CLAIMED);
    }
    wait(&status);
    assert_int_equal(status, 0);
    store = must_open(place);
    assert_true(store_redo(store, 1, &ids[0], NULL, NULL));
    assert_int_equal(ask(place, "SELECT count(*) FROM run WHERE status = 'pending'"), 4);
    store_free(store);
}

static void a_process_that_wakes_after_its_run_was_cleared_writes_nothing(void **state)
{
    const test_place *place = *state;
    int64_t ids[4];
    store_handle *store = must_open(place);
    must_chain(store, ids);
    store_lease late = must_claim(store, ids[0]);
    assert_true(store_end(store, &late, "lost", "lost", NULL, NULL)); /* as the reaper would */
    assert_true(store_redo(store, 1, &ids[0], NULL, NULL));
    assert_false(store_put_artifact(store, &late, "roc", &(store_file){"x", "00", 1}, NULL));
    assert_true(late.lost);
    assert_false(store_end(store, &late, "done", "done", NULL, NULL));
    assert_int_equal(ask(place, ROWS), 0);
    store_free(store);
}

/* ---- what is handed over ---- */

static void the_last_score_of_a_name_is_read_whatever_it_is(void **state)
{
    const test_place *place = *state;
    static const double values[] = {0.25, NAN, -INFINITY, INFINITY};
    const store_score_name name = {"s", "b", "auc", "valid"};
    int64_t id;
    bool found = true;
    double value = 0;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    assert_true(store_last_score(store, id, &name, &value, &found, NULL));
    assert_false(found);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    for (int i = 0; i < 4; i++) {
        store_score score = {"s", "b", "auc", "valid", 100 * i, values[i], NAN, NAN, -1};
        store_score other = {"s", "b", "auc", "test", 900, 0.9, NAN, NAN, -1};
        assert_true(store_put_score(writer, &score, NULL) &&
                    store_put_score(writer, &other, NULL) && store_flush(writer, NULL));
        assert_true(store_last_score(store, id, &name, &value, &found, NULL));
        assert_true(found);
        assert_true(isnan(values[i]) ? isnan(value) : value == values[i]);
    }
    store_writer_free(writer, NULL);
    store_free(store);
}

static void a_resume_is_exact_among_equal_attempts_since_the_run_was_cleared(void **state)
{
    const test_place *place = *state;
    static const struct {
        int threads;
        const char *cpu, *build;
        bool redo, same;
    } cases[] = {
        {2, "a", "x", false, true},  {2, "a", "x", false, true},  {1, "a", "x", false, false},
        {2, "a", "x", false, false}, {2, "a", "x", true, true},   {2, "b", "x", false, false},
        {2, "b", "x", true, true},   {2, "b", "y", false, false},
    };
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store_worker who = {.threads = cases[i].threads,
                            .cpu = cases[i].cpu,
                            .build_sig = cases[i].build,
                            .git_dirty = -1};
        store_lease lease;
        bool same = !cases[i].same;
        if (cases[i].redo)
            assert_true(store_redo(store, 1, &id, NULL, NULL));
        assert_int_equal(store_claim(store, id, &who, &lease, NULL, 0, NULL), STORE_CLAIMED);
        assert_true(store_same_build(store, &lease, &same, NULL));
        assert_int_equal(same, cases[i].same);
        assert_true(store_end(store, &lease, "preempted", "preempted", NULL, NULL));
    }
    store_free(store);
}

static void checkpoints_and_parameters_are_handed_over(void **state)
{
    const test_place *place = *state;
    int64_t id, step = 0;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    assert_true(store_newest_checkpoint(store, id, &step, NULL));
    assert_int_equal(step, -1);
    store_lease lease = must_claim(store, id);
    store_file file = {"x", "00", 1};
    assert_true(store_put_checkpoint(store, &lease, 7, &file, NULL));
    assert_true(store_put_checkpoint(store, &lease, 3, &file, NULL));
    assert_true(store_newest_checkpoint(store, id, &step, NULL));
    assert_int_equal(step, 7);
    store_param param = {"mask.weight", NULL, 0.5, "stage"};
    assert_true(store_put_param(store, &lease, &param, NULL));
    assert_true(ask_real(place, "SELECT num FROM param WHERE origin = 'stage'") == 0.5);
    assert_true(store_end(store, &lease, "lost", "lost", NULL, NULL));
    must_claim(store, id);
    assert_false(store_put_param(store, &lease, &param, NULL));
    store_free(store);
}

static void runs_of_dead_processes_are_lost_at_once_when_asked(void **state)
{
    const test_place *place = *state;
    int64_t id;
    int status = 1;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_free(store);
    if (fork() == 0) {
        store_lease lease;
        store = store_open(place->path, STORE_READ_WRITE, NULL);
        _exit(store_claim(store, id, &worker, &lease, NULL, 0, NULL) != STORE_CLAIMED);
    }
    wait(&status);
    store = must_open(place);
    assert_string_equal(ask_text(place, "SELECT status FROM run"), "running");
    assert_true(store_reap(store, NULL));
    assert_string_equal(ask_text(place, "SELECT status FROM run"), "lost");
    store_free(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_is_cleared_with_all_that_depend_on_it_and_nothing_else),
        TEST(a_run_of_a_living_process_is_not_cleared_and_nor_are_the_others),
        TEST(a_run_of_a_dead_process_is_cleared),
        TEST(a_process_that_wakes_after_its_run_was_cleared_writes_nothing),
        TEST(the_last_score_of_a_name_is_read_whatever_it_is),
        TEST(a_resume_is_exact_among_equal_attempts_since_the_run_was_cleared),
        TEST(checkpoints_and_parameters_are_handed_over),
        TEST(runs_of_dead_processes_are_lost_at_once_when_asked),
    };
    return cmocka_run_group_tests_name("redo", tests, NULL, NULL);
}
