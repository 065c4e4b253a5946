/* bench/store_views.c - the seconds that each view takes over a large store.
 *
 * Makes a store of `runs` runs (cells of three seeds) with 50 curves of `points` points and 20 last
 * scores each (10 benchmarks on valid and on test, two steps of each), then reads every row of each
 * view. Prints one JSON line per view.
 *
 * usage: store_views FOLDER [runs] [points] */
#include "lab/store/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SEEDS = 3, CURVES = 50, BENCHMARKS = 10, PARAMS = 40 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void fail(const assay_error *error)
{
    char line[1024];
    fprintf(stderr, "store_views: %s\n", assay_error_format(error, line, sizeof line));
    exit(1);
}

typedef struct texts {
    char run_hash[72], cell_hash[72], label[64];
} texts;

static void plan(store_handle *store, int n)
{
    assay_error error = {0};
    store_planned_run *runs = calloc((size_t)n, sizeof *runs);
    texts *names = calloc((size_t)n, sizeof *names);
    if (runs == NULL || names == NULL)
        exit(1);
    for (int i = 0; i < n; i++) {
        snprintf(names[i].run_hash, sizeof names->run_hash, "%064x", i);
        snprintf(names[i].cell_hash, sizeof names->cell_hash, "%064x", i / SEEDS);
        snprintf(names[i].label, sizeof names->label, "mask=ggsm train.lr=%d", i / SEEDS);
        runs[i] = (store_planned_run){.run_hash = names[i].run_hash,
                                      .cell_hash = names[i].cell_hash,
                                      .seed = i % SEEDS,
                                      .total_steps = 1000,
                                      .device = "cpu",
                                      .dataset = "none",
                                      .stage = "main",
                                      .label = names[i].label};
    }
    if (!store_put_plan(store, "bench", n, runs, NULL, &error))
        fail(&error);
    free(names);
    free(runs);
}

/* Rows by SQL: what is measured is reading. */
static void fill(const char *path, int points)
{
    char *message = NULL;
    sqlite3 *db = NULL;
    char *sql = sqlite3_mprintf(
        "PRAGMA synchronous = OFF; BEGIN; UPDATE run SET status = 'done';"
        "CREATE TEMP TABLE n(i INTEGER PRIMARY KEY);"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)"
        " INSERT INTO n SELECT i FROM c;"
        "INSERT INTO series_key(name, goal) SELECT 'loss/' || i, 'min' FROM n WHERE i <= %d;"
        "INSERT INTO series SELECT run_id, key_id, i * 10, run_id %% 7 + key_id, NULL, 1, 0"
        " FROM run CROSS JOIN series_key CROSS JOIN n WHERE i <= %d;"
        "INSERT INTO score SELECT run_id, 'suite', 'benchmark ' || i, 'auc', split, step,"
        " run_id %% 11 + i + step, NULL, NULL, NULL, NULL FROM run CROSS JOIN n"
        " CROSS JOIN (SELECT 'test' AS split UNION SELECT 'valid')"
        " CROSS JOIN (SELECT 500 AS step UNION SELECT 1000) WHERE i <= %d;"
        "INSERT INTO param SELECT run_id, 'option.' || i, iif(i = 1, cell_id, i), NULL, 'default'"
        " FROM run CROSS JOIN n WHERE i <= %d; COMMIT;",
        CURVES, points, BENCHMARKS, PARAMS);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fprintf(stderr, "store_views: %s\n", message);
        exit(1);
    }
    sqlite3_free(sql);
    sqlite3_close(db);
}

static bool count(void *user, int columns, const char *const *names, const store_cell *cells)
{
    int64_t *rows = user;
    (void)columns;
    (void)names;
    *rows += cells != NULL;
    return true;
}

int main(int argc, char **argv)
{
    static const char *const views[] = {"v_cell", "v_last", "v_run", "v_best", "v_score", "v_diff"};
    char path[4096], sql[64];
    if (argc < 2) {
        fprintf(stderr, "usage: store_views FOLDER [runs] [points]\n");
        return 2;
    }
    int runs = argc > 2 ? atoi(argv[2]) : 10000, points = argc > 3 ? atoi(argv[3]) : 4;
    assay_error error = {0};
    snprintf(path, sizeof path, "%s/views.%ld.db", argv[1], (long)getpid());
    store_handle *store = store_open(path, STORE_READ_WRITE, &error);
    if (store == NULL)
        fail(&error);
    plan(store, runs);
    store_free(store);
    fill(path, points);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        int64_t rows = 0;
        snprintf(sql, sizeof sql, "SELECT * FROM %s", views[i]);
        double start = seconds();
        if (!store_query(path, sql, (store_query_limits){0}, count, &rows, &error))
            fail(&error);
        printf("{\"view\": \"%s\", \"runs\": %d, \"rows\": %lld, \"seconds\": %.3f}\n", views[i],
               runs, (long long)rows, seconds() - start);
    }
    unlink(path);
    return 0;
}
