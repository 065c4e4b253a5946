/* bench/store_writer.c - how many rows of curves a second go into the store, and what handing one
 * over costs the training loop.
 *
 * One writer, CURVES curves, every step one value of each, as fast as the ring takes them, until
 * the last is committed. Then the cost of a call: bursts that fit into the ring, so that nobody
 * waits. Prints one JSON line per round.
 *
 * usage: store_writer FOLDER [rows] [rounds] */
#include "lab/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CURVES = 50, BURST = 4000, BURSTS = 20 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void fail(const assay_error *error)
{
    char line[1024];
    fprintf(stderr, "store_writer: %s\n", assay_error_format(error, line, sizeof line));
    exit(1);
}

/* A store with one run that is ours. */
static store_handle *open_run(const char *path, store_lease *lease)
{
    static const store_planned_run run = {.run_hash = "bench",
                                          .cell_hash = "bench",
                                          .total_steps = 1,
                                          .device = "cpu",
                                          .dataset = "none",
                                          .stage = "main",
                                          .label = "-"};
    static const store_worker worker = {
        .cpu = "any", .build_sig = "bench", .threads = 1, .git_dirty = -1};
    assay_error error = {0};
    int64_t id = 0;
    store_handle *store = store_open(path, STORE_READ_WRITE, &error);
    if (store == NULL || !store_put_plan(store, "bench", 1, &run, &id, &error) ||
        store_claim(store, id, &worker, lease, NULL, 0, &error) != STORE_CLAIMED)
        fail(&error);
    return store;
}

static void run_round(const char *path, int64_t rows)
{
    assay_error error = {0};
    store_lease lease;
    int keys[CURVES];
    store_handle *store = open_run(path, &lease);
    store_writer *writer = store_writer_new(store, &lease, NULL, &error);
    if (writer == NULL)
        fail(&error);
    for (int i = 0; i < CURVES; i++) {
        char name[32];
        snprintf(name, sizeof name, "loss/%d", i);
        keys[i] = store_series_key(writer, name, "min", NULL);
    }
    double start = seconds();
    for (int64_t i = 0; i < rows; i++)
        store_series(writer, keys[i % CURVES], i / CURVES, (double)i);
    if (!store_flush(writer, &error))
        fail(&error);
    double rate = (double)rows / (seconds() - start), least = 1;
    for (int burst = 0; burst < BURSTS; burst++) {
        start = seconds();
        for (int64_t i = 0; i < BURST; i++)
            store_series(writer, keys[i % CURVES], rows + i, (double)i);
        double took = (seconds() - start) / BURST;
        least = took < least ? took : least;
        if (!store_flush(writer, &error))
            fail(&error);
    }
    store_writer_stats stats = store_writer_stats_get(writer);
    printf("{\"rows\": %lld, \"rows_per_s\": %.0f, \"batches\": %lld, \"stalls\": %lld, "
           "\"ns_per_call\": %.0f}\n",
           (long long)rows, rate, (long long)stats.batches, (long long)stats.stalls, least * 1e9);
    if (!store_writer_free(writer, &error))
        fail(&error);
    store_free(store);
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc < 2) {
        fprintf(stderr, "usage: store_writer FOLDER [rows] [rounds]\n");
        return 2;
    }
    int64_t rows = argc > 2 ? atoll(argv[2]) : 1000000;
    int rounds = argc > 3 ? atoi(argv[3]) : 3;
    for (int i = 0; i < rounds; i++) {
        snprintf(path, sizeof path, "%s/bench.%ld.%d.db", argv[1], (long)getpid(), i);
        run_round(path, rows);
        unlink(path);
    }
    return 0;
}
