/* test_checkpoint.c - checkpoints that are damaged are passed over and named, those that are not
 * are never lost, and a process that lost its run writes nothing. */
#include "fixture.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/log.h>
#include <assay/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what is logged ---- */

static char logged[4096];

static void keep_log(assay_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static int listen_to_log(void **state)
{
    (void)state;
    logged[0] = '\0';
    assay_log_to(keep_log, NULL, ASSAY_LOG_WARNING);
    return 0;
}

/* ---- damage ---- */

static void path_of(const bench *b, int64_t step, const char *file, char *out, size_t size)
{
    snprintf(out, size, "%s/step_%08lld%s%s", b->files, (long long)step, file[0] ? "/" : "", file);
}

static int64_t size_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (int64_t)status.st_size : -1;
}

/* Cuts the file at a share of its length. */
static void cut(const char *path, double share)
{
    assert_int_equal(truncate(path, (off_t)((double)size_of(path) * share)), 0);
}

static void flip(const char *path, double share)
{
    int fd = open(path, O_RDWR);
    off_t at = (off_t)((double)(size_of(path) - 1) * share);
    unsigned char byte = 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Broken off after step 10, with checkpoints at 8 and 10. */
static void make_broken_off(bench *b)
{
    bench_make(b);
    b->stop_at = 10;
    assert_int_equal(bench_run(b), TRAIN_STOPPED);
    b->stop_at = -1;
    assert_int_equal(ask(b, "SELECT max(step) FROM checkpoint"), 10);
    assert_int_equal(ask(b, "SELECT min(step) FROM checkpoint"), 8);
}

static outcome whole_outcome(void)
{
    static outcome out;
    bench b;
    if (out.rows == 0) {
        bench_make(&b);
        must_run(&b);
        out = bench_outcome(&b);
        bench_remove(&b);
    }
    return out;
}

/* The step that the last attempt went on from. */
static double went_on_from(const bench *b)
{
    return ask(b, "SELECT from_step FROM attempt ORDER BY n DESC LIMIT 1");
}

static void goes_on_from(bench *b, double step)
{
    outcome whole = whole_outcome();
    must_run(b);
    assert_true(went_on_from(b) == step);
    outcome out = bench_outcome(b);
    assert_same_outcome(&whole, &out);
}

static void a_damaged_checkpoint_is_passed_over(void **state)
{
    (void)state;
    static const char *const files[] = {"weights.safetensors", "state.safetensors", "run.json"};
    static const double shares[] = {0.0, 0.4, 0.999};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            for (int how = 0; how < 2; how++) {
                bench b;
                char path[512];
                make_broken_off(&b);
                listen_to_log(NULL);
                path_of(&b, 10, files[i], path, sizeof path);
                if (how == 0)
                    cut(path, shares[k]);
                else
                    flip(path, shares[k]);
                goes_on_from(&b, 8);
                assert_non_null(strstr(logged, "checkpoint of step 10 is skipped"));
                bench_remove(&b);
            }
}

static void a_missing_file_is_passed_over(void **state)
{
    (void)state;
    static const char *const files[] = {"weights.safetensors", "state.safetensors", "run.json"};
    for (int i = 0; i < 3; i++) {
        bench b;
        char path[512];
        make_broken_off(&b);
        path_of(&b, 10, files[i], path, sizeof path);
        assert_int_equal(unlink(path), 0);
        goes_on_from(&b, 8);
        bench_remove(&b);
    }
}

static void without_any_good_one_it_starts_again(void **state)
{
    (void)state;
    bench b;
    char path[512];
    make_broken_off(&b);
    path_of(&b, 10, "run.json", path, sizeof path);
    cut(path, 0.5);
    path_of(&b, 8, "state.safetensors", path, sizeof path);
    flip(path, 0.7);
    goes_on_from(&b, 0);
    assert_non_null(strstr(logged, "checkpoint of step 8 is skipped"));
    bench_remove(&b);
}

/* run.json is rewritten without one section, and the store's row made to fit: everything agrees,
 * and something that the run needs is not there. */
static void a_missing_section_is_no_checkpoint(void **state)
{
    (void)state;
    static const char *const sections[] = {"\"mask\"", "\"moments\"", "\"loss/toy_contrast\""};
    for (int i = 0; i < 3; i++) {
        bench b;
        char path[512], sha256[65];
        assay_error error = {0};
        int64_t bytes = 0;
        make_broken_off(&b);
        path_of(&b, 10, "run.json", path, sizeof path);
        char *text = assay_read_file(path, 1 << 20, &bytes, &error);
        char *name = strstr(strstr(text, "\"sections\""), sections[i]);
        assert_non_null(name);
        name[1] = '-';
        assert_true(assay_publish(path, text, bytes, &error));
        assay_sha256_of(text, (size_t)bytes, sha256);
        assay_free(text);
        store_handle *store = bench_open(&b);
        store_lease lease = bench_claim(&b, store);
        const store_file file = {"0123456789abcdef/step_00000010", sha256, bytes};
        assert_true(store_put_checkpoint(store, &lease, 10, &file, &error));
        assert_true(store_end(store, &lease, "preempted", "preempted", NULL, &error));
        store_free(store);
        listen_to_log(NULL);
        goes_on_from(&b, 8);
        assert_non_null(strstr(logged, "is missing"));
        bench_remove(&b);
    }
}

static void another_runs_checkpoint_is_no_checkpoint(void **state)
{
    (void)state;
    bench b;
    char path[512];
    make_broken_off(&b);
    path_of(&b, 10, "run.json", path, sizeof path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    close(fd);
    /* The folder of step 8 under the name of step 10: whole, and of another step. */
    char from[512], to[512], command[2048];
    path_of(&b, 8, "", from, sizeof from);
    path_of(&b, 10, "", to, sizeof to);
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
    goes_on_from(&b, 8);
    bench_remove(&b);
}

/* ---- relics ---- */

static void what_crashes_leave_is_cleared_away(void **state)
{
    (void)state;
    bench b;
    char dead[512], alive[512], orphan[512], command[4096];
    make_broken_off(&b);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    snprintf(dead, sizeof dead, "%s/step_00000099.tmp.%ld", b.files, (long)child);
    snprintf(alive, sizeof alive, "%s/step_00000099.tmp.%ld", b.files, (long)getppid());
    path_of(&b, 11, "", orphan, sizeof orphan);
    snprintf(command, sizeof command, "mkdir '%s' '%s' '%s' && touch '%s/run.json' '%s/run.json'",
             dead, alive, orphan, dead, orphan);
    assert_int_equal(system(command), 0);
    goes_on_from(&b, 10);
    assert_int_equal(size_of(dead), -1);
    assert_int_equal(size_of(orphan), -1);
    assert_true(size_of(alive) >= 0);
    bench_remove(&b);
}

static void only_the_newest_are_kept(void **state)
{
    (void)state;
    bench b;
    char path[512];
    bench_make(&b);
    set_number(&b.recipe.train, "checkpoint_every", 2);
    set_number(&b.recipe.train, "keep", 3);
    must_run(&b);
    for (int64_t step = 2; step <= 12; step += 2) {
        path_of(&b, step, "run.json", path, sizeof path);
        assert_int_equal(size_of(path) > 0, step >= 8);
    }
    assert_int_equal(ask(&b, "SELECT count(*) FROM checkpoint"), 3);
    bench_remove(&b);
}

/* ---- a disk that is full ---- */

/* The limit on file sizes stands in for a full disk: the store and the parameters (0.5 MB) are
 * below it, the moments are not. It counts in a child alone. */
static int run_with_full_disk(bench *b)
{
    const struct rlimit limit = {800000, 800000};
    store_handle *store = bench_open(b);
    store_lease lease = bench_claim(b, store);
    train_job job = bench_job(b, store, &lease);
    assay_error error = {0};
    signal(SIGXFSZ, SIG_IGN);
    assay_threads_set(1, NULL); /* the parent's threads are not in this process */
    setrlimit(RLIMIT_FSIZE, &limit);
    train_result result = train_run(&job, &error);
    return result == TRAIN_FAILED && error.code == ASSAY_IO &&
           strstr(error.what, "was not saved") && strstr(error.hint, "the checkpoint before it");
}

static void a_full_disk_leaves_the_checkpoint_before(void **state)
{
    (void)state;
    bench b;
    char path[512];
    int status = 0;
    bench_make(&b);
    set_number(&b.recipe.model, "width", 120);
    b.stop_at = 10;
    assert_int_equal(bench_run(&b), TRAIN_STOPPED);
    b.stop_at = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(run_with_full_disk(&b) ? 0 : 1);
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    path_of(&b, 10, "run.json", path, sizeof path);
    assert_true(size_of(path) > 0);
    must_run(&b);
    assert_true(went_on_from(&b) == 10);
    bench_remove(&b);
}

/* ---- a lost lease ---- */

static int64_t rows_of(const bench *b)
{
    return (int64_t)(ask(b, "SELECT count(*) FROM series") + ask(b, "SELECT count(*) FROM score") +
                     ask(b, "SELECT count(*) FROM checkpoint") +
                     ask(b, "SELECT count(*) FROM artifact"));
}

typedef struct thief {
    bench *bench;
    int64_t step;
    store_handle *store;
    store_lease lease;
    int64_t rows;
} thief;

/* At a step of its choice another process takes the run: the holder was made to look dead. */
static void steal(void *user, const train_progress *progress)
{
    thief *t = user;
    sqlite3 *db = NULL;
    if (progress->step < t->step || t->lease.attempt > 0)
        return;
    assert_int_equal(sqlite3_open(t->bench->store, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE attempt SET pid = 999999999, pid_start = 1", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    t->lease = bench_claim(t->bench, t->store);
    t->rows = rows_of(t->bench);
}

static void a_lost_run_writes_nothing(void **state)
{
    (void)state;
    static const int64_t steps[] = {2, 5, 12};
    for (int i = 0; i < 3; i++) {
        bench b;
        bench_make(&b);
        store_handle *store = bench_open(&b), *other = bench_open(&b);
        store_lease lease = bench_claim(&b, store);
        thief t = {.bench = &b, .step = steps[i], .store = other};
        train_job job = bench_job(&b, store, &lease);
        assay_error error = {0};
        job.progress = steal;
        job.user = &t;
        assert_int_equal(train_run(&job, &error), TRAIN_LOST);
        assert_true(t.lease.attempt > lease.attempt);
        assert_int_equal(rows_of(&b), t.rows);
        for (int64_t step = steps[i] + 1; step <= 12; step++) {
            char path[512];
            path_of(&b, step, "", path, sizeof path);
            assert_int_equal(size_of(path), -1);
        }
        assert_true(store_end(other, &t.lease, "preempted", "preempted", NULL, &error));
        store_free(store);
        store_free(other);
        outcome whole = whole_outcome();
        must_run(&b);
        outcome out = bench_outcome(&b);
        assert_same_outcome(&whole, &out);
        bench_remove(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_damaged_checkpoint_is_passed_over, listen_to_log),
        cmocka_unit_test_setup(a_missing_file_is_passed_over, listen_to_log),
        cmocka_unit_test_setup(without_any_good_one_it_starts_again, listen_to_log),
        cmocka_unit_test_setup(a_missing_section_is_no_checkpoint, listen_to_log),
        cmocka_unit_test_setup(another_runs_checkpoint_is_no_checkpoint, listen_to_log),
        cmocka_unit_test(what_crashes_leave_is_cleared_away),
        cmocka_unit_test(only_the_newest_are_kept),
        cmocka_unit_test(a_full_disk_leaves_the_checkpoint_before),
        cmocka_unit_test(a_lost_run_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
