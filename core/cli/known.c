/* known.c - one query over the store's runs, matched with the plan's by hash (known.h). */
#include "cli/known.h"
#include "cli/places.h"
#include "lab/store/store.h"

#include <assay/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Time counts where it is known: the sum over a done run's attempts, all of which have ended. */
static const char sql[] =
    "SELECT r.run_hash, c.cell_hash, r.run_id, r.status, "
    "CASE WHEN r.status = 'done' THEN (SELECT sum(a.end_ms - a.start_ms) FROM attempt a "
    "WHERE a.run_id = r.run_id AND a.end_ms IS NOT NULL) END FROM run r JOIN cell c USING(cell_id)";

typedef struct place { /* a run of the plan under one of its two hashes */
    const char *hash;
    int run;
} place;

typedef struct matcher {
    int n;
    place *runs, *cells; /* (n), sorted by hash */
    double *sums;        /* (n) ms of the cell's done runs */
    int *counts;
    known_run *out;
} matcher;

static int by_hash(const void *a, const void *b)
{
    return strcmp(((const place *)a)->hash, ((const place *)b)->hash);
}

/* The first place with this hash; NULL without one. */
static const place *first_of(const place *list, int n, const char *hash)
{
    int low = 0, high = n;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(list[middle].hash, hash) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && strcmp(list[low].hash, hash) == 0 ? &list[low] : NULL;
}

static bool take_row(void *user, int columns, const char *const *names, const store_cell *cells)
{
    matcher *m = user;
    (void)columns;
    (void)names;
    if (cells == NULL || cells[0].text == NULL || cells[1].text == NULL || cells[3].text == NULL)
        return true;
    const place *own = first_of(m->runs, m->n, cells[0].text);
    double ms = cells[4].type == STORE_INTEGER ? (double)cells[4].integer : 0;
    if (own != NULL) {
        known_run *out = &m->out[own->run];
        out->run_id = cells[2].integer;
        out->own_seconds = ms / 1000;
        snprintf(out->status, sizeof out->status, "%s", cells[3].text);
    }
    const place *end = m->cells + m->n;
    const place *cell = ms > 0 ? first_of(m->cells, m->n, cells[1].text) : NULL;
    for (; cell != NULL && cell < end && strcmp(cell->hash, cells[1].text) == 0; cell++) {
        m->sums[cell->run] += ms;
        m->counts[cell->run]++;
    }
    return true;
}

bool known_read(const char *path, const plan *of, known_run *out, assay_error *error)
{
    struct stat status;
    int n = of->run_count;
    bool ok = false;
    memset(out, 0, (size_t)n * sizeof *out);
    if (stat(path, &status) != 0)
        return true;
    if (!place_check_existing_store(path, error))
        return false;
    matcher m = {.n = n, .out = out};
    m.runs = assay_alloc(n * (int64_t)sizeof *m.runs, error);
    m.cells = assay_alloc(n * (int64_t)sizeof *m.cells, error);
    m.sums = assay_zalloc(n * (int64_t)sizeof *m.sums, error);
    m.counts = assay_zalloc(n * (int64_t)sizeof *m.counts, error);
    if (m.runs == NULL || m.cells == NULL || m.sums == NULL || m.counts == NULL)
        goto done;
    for (int i = 0; i < n; i++) {
        m.runs[i] = (place){.hash = of->runs[i].run_hash, .run = i};
        m.cells[i] = (place){.hash = of->runs[i].cell_hash, .run = i};
    }
    qsort(m.runs, (size_t)n, sizeof *m.runs, by_hash);
    qsort(m.cells, (size_t)n, sizeof *m.cells, by_hash);
    ok = store_query(path, sql, (store_query_limits){0}, take_row, &m, error);
    for (int i = 0; i < n; i++)
        if (m.counts[i] > 0)
            out[i].cell_seconds = m.sums[i] / m.counts[i] / 1000;
done:
    assay_free(m.runs);
    assay_free(m.cells);
    assay_free(m.sums);
    assay_free(m.counts);
    return ok;
}
