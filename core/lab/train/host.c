/* host.c - the services that plugins get from a run. */
#include "lab/train/host.h"

#include <assay/memory.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- curves ---- */

void recorder_clear(recorder *r)
{
    for (int i = 0; i < r->count; i++)
        assay_free(r->series[i].name);
    assay_late_free(r->late);
    *r = (recorder){0};
}

static recorder_series *series_named(recorder *r, const char *name, const char *goal)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->series[i].name, name) == 0)
            return &r->series[i];
    if (r->count == RECORDER_SERIES) {
        ASSAY_FAIL(&r->error, ASSAY_BAD_INPUT, .where = assay_text("series '%.80s'", name),
                   .what = "a run has too many series",
                   .expected = assay_text("at most %d", RECORDER_SERIES));
        return NULL;
    }
    recorder_series *series = &r->series[r->count];
    *series = (recorder_series){.key = store_series_key(r->writer, name, goal, &r->error)};
    if (series->key >= 0)
        series->name = assay_strdup(name, &r->error);
    if (!series->name)
        return NULL;
    r->count++;
    return series;
}

void recorder_add(recorder *r, const char *name, const char *goal, double value)
{
    recorder_series *series = series_named(r, name, goal);
    if (!series)
        return;
    series->sum[r->turn] += value;
    series->count[r->turn]++;
}

void recorder_turn(recorder *r, int64_t step)
{
    r->turn = (int)(step % 2);
}

void recorder_close(recorder *r)
{
    if (r->late)
        assay_late_close(r->late);
}

void recorder_read(recorder *r)
{
    if (r->late)
        assay_late_read(r->late);
}

static void forget_values(recorder *r, int turn)
{
    for (int i = 0; i < r->count; i++) {
        r->series[i].sum[turn] = 0;
        r->series[i].count[turn] = 0;
    }
}

void recorder_drop(recorder *r)
{
    forget_values(r, 0);
    forget_values(r, 1);
    if (r->late)
        assay_late_drop(r->late);
}

bool recorder_end_step(recorder *r, int64_t step, assay_error *error)
{
    bool ok = r->error.code == ASSAY_OK;
    for (int i = 0; i < r->count && ok; i++) {
        const recorder_series *series = &r->series[i];
        double sum = series->sum[r->turn];
        int64_t count = series->count[r->turn];
        if (count == 0)
            continue;
        if (!store_series(r->writer, series->key, step, sum / (double)count))
            ok = store_flush(r->writer, &r->error); /* which says why */
    }
    forget_values(r, r->turn);
    if (!ok && error && error->code == ASSAY_OK)
        *error = r->error;
    return ok;
}

/* ---- services ---- */

static void host_series(void *user, const char *name, double value)
{
    recorder *r = ((train_host *)user)->recorder;
    if (!r->muted)
        recorder_add(r, name, NULL, value);
}

static void host_later(void *user, const assay_reading *reading)
{
    recorder *r = ((train_host *)user)->recorder;
    if (r->muted)
        return;
    if (r->late)
        assay_late_add(r->late, reading, &r->error);
    else
        assay_read_now(reading);
}

bool train_stopping(const volatile sig_atomic_t *stop)
{
    return stop && *stop;
}

static bool host_stopping(void *user)
{
    return train_stopping(((train_host *)user)->stop);
}

/* Makes the folder of `path` and those above it. */
static bool make_folders(char *path, assay_error *error)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        int code = errno;
        if (!made)
            ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot make the cache folder",
                       .got = strerror(code), .hint = "ASSAY_CACHE names another one");
        *at = '/';
        if (!made)
            return false;
    }
    return true;
}

static bool host_cache_path(void *user, const char *name, char *out, int64_t size,
                            assay_error *error)
{
    const train_host *host = user;
    int64_t length = snprintf(out, (size_t)size, "%s/%s", host->cache, name);
    if (length >= size)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = name,
                          .what = "the path in the cache folder is too long",
                          .expected = assay_text("less than %lld bytes", (long long)size));
    return make_folders(out, error);
}

static const assay_network *host_network(void *user, const assay_weights_source *source,
                                         assay_error *error)
{
    train_host *host = user;
    if (host->network)
        return host->network(host->networks, source, error);
    ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = source->path ? source->path : "network",
               .what = "there are no other models here", .hint = "losses ask for them when opened");
    return NULL;
}

void train_host_init(train_host *host, const char *cache, const volatile sig_atomic_t *stop,
                     recorder *curves)
{
    *host = (train_host){
        .host = {.size = sizeof host->host,
                 .user = host,
                 .series = curves ? host_series : NULL,
                 .cache_path = host_cache_path,
                 .stopping = host_stopping,
                 .network = host_network,
                 .later = curves ? host_later : NULL},
        .cache = cache,
        .stop = stop,
        .recorder = curves,
    };
}
