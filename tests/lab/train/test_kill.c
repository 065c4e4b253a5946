/* test_kill.c - killed at any moment and run again, a run ends with the same bits; the store stays
 * whole. The seed is printed; ASSAY_KILLS asks for more than the usual 12. */
#include "fixture.h"

#include <assay/random.h>

#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void make(bench *b)
{
    bench_make(b);
    set_number(&b->recipe.train, "steps", 40);
    set_number(&b->recipe.train, "checkpoint_every", 5);
    set_number(&b->recipe.train, "evaluate_every", 4);
    set_number(&b->recipe.train, "accumulate", 2);
    set_number(&b->recipe.model, "dropout", 0.1);
}

static void sleep_us(int64_t us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* The store's own check of its pages. */
static void assert_intact(const bench *b)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_open(b->store, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(row, 0), "ok");
    sqlite3_finalize(row);
    sqlite3_close(db);
}

/* Every run is a child's: this process has no threads that a child would miss. */
static void run_to_its_end(bench *b)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(bench_run(b) == TRAIN_DONE ? 0 : 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

/* Runs in a child that is killed after `us`; whether it was done before. */
static bool run_and_kill(bench *b, int64_t us)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(bench_run(b) == TRAIN_DONE ? 0 : 1);
    sleep_us(us);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail_msg("the run failed by itself");
    return WIFEXITED(status);
}

static outcome run_whole(int64_t *us)
{
    bench b;
    struct timespec begun, ended;
    make(&b);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    run_to_its_end(&b);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    *us = (ended.tv_sec - begun.tv_sec) * 1000000 + (ended.tv_nsec - begun.tv_nsec) / 1000;
    outcome out = bench_outcome(&b);
    bench_remove(&b);
    return out;
}

static void a_killed_run_ends_alike(void **state)
{
    (void)state;
    const char *asked = getenv("ASSAY_KILLS");
    int kills = asked ? atoi(asked) : 12, killed = 0;
    uint64_t seed = (uint64_t)time(NULL);
    int64_t us = 0;
    outcome whole = run_whole(&us);
    print_message("# seed %llu, a run takes %lld ms\n", (unsigned long long)seed,
                  (long long)us / 1000);
    for (int run = 0; killed < kills; run++) {
        bench b;
        bool done = false;
        make(&b);
        /* Some kills come early, then the run is left alone. */
        for (int i = 0; i < 6 && !done; i++) {
            assay_stream stream = assay_stream_of(seed, "kill", (uint64_t)(run * 6 + i));
            done = run_and_kill(&b, 1000 + assay_random_below(stream, 0, us));
            killed += !done;
            assert_intact(&b);
        }
        if (!done)
            run_to_its_end(&b);
        outcome out = bench_outcome(&b);
        assert_same_outcome(&whole, &out);
        assert_int_equal(ask(&b, "SELECT count(*) FROM run WHERE status <> 'done'"), 0);
        bench_remove(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_run_ends_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
