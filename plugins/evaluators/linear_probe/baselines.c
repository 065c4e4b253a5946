/* baselines.c - the probe on the data itself: its standardised columns, its events' words one-hot,
 * and both; with `pooled` also its events' counts, alone and with the columns. Every run of an
 * experiment asks for the same numbers, so they are kept in the host's cache: a title, one line per
 * measurement, and the SHA-256 of all before it. */
#include "raw.h"

#include <assay/file.h>
#include <assay/hash.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TITLE "assay baselines 1\n"
#define HEX   64
#define ROOM  8192

static const struct {
    int choice;
    const char *suffix;
} kinds[] = {{RAW_COLUMNS, ":columns"},
             {RAW_ONEHOT, ":onehot"},
             {RAW_COLUMNS | RAW_ONEHOT, ":columns+onehot"},
             {RAW_COUNTS, ":counts"},
             {RAW_COLUMNS | RAW_COUNTS, ":columns+counts"}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Everything that the script asks for. */
static int asked_of(const settings *s)
{
    return RAW_COLUMNS | (s->baselines ? RAW_ONEHOT : 0) | (s->pooled ? RAW_COUNTS : 0);
}

/* ---- the cache ---- */

static void add_text(assay_sha256 *hash, const char *text)
{
    assay_sha256_add(hash, text, strlen(text) + 1);
}

static bool add_labels(assay_sha256 *hash, const probing *p, assay_data_split split,
                       assay_error *error)
{
    const assay_data *data = p->evaluation->data;
    int64_t n = data->functions->count(data->dataset, split, p->index);
    int32_t *label = assay_zalloc(n * (int64_t)sizeof *label, error);
    bool ok =
        label && (!data->functions->labels ||
                  data->functions->labels(data->dataset, split, p->index, 0, n, label, error));
    if (ok)
        assay_sha256_add(hash, label, (size_t)n * sizeof *label);
    assay_free(label);
    return ok;
}

/* Everything that the numbers depend on, hashed. */
static bool name_cache(const probing *p, char *name, size_t size, assay_error *error)
{
    const settings *s = p->settings;
    const assay_data *data = p->evaluation->data;
    assay_sha256 hash;
    uint8_t digest[32];
    char hex[HEX + 1];
    int count = 0;
    assay_sha256_begin(&hash);
    add_text(&hash, TITLE);
    add_text(&hash, data->name);
    add_text(&hash, data->functions->fingerprint(data->dataset));
    add_text(&hash, p->benchmark->suite);
    add_text(&hash, p->benchmark->name);
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    for (int i = 0; i < count; i++)
        add_text(&hash, fields[i].name);
    for (int64_t i = 0; i < s->metrics.count; i++)
        add_text(&hash, s->metrics.items[i]);
    assay_sha256_add(&hash, s->l2.items, (size_t)s->l2.count * sizeof *s->l2.items);
    add_text(&hash, assay_text("%" PRId64 " %a", s->resamples, s->level));
    add_text(&hash, assay_text("%d %d %d %d %d", asked_of(s), RAW_LEAST, RAW_MOST, RAW_MOST_COUNTS,
                               RAW_PLACES));
    for (assay_data_split split = ASSAY_TRAIN; split <= ASSAY_TEST; split++)
        if (!add_labels(&hash, p, split, error))
            return false;
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
    snprintf(name, size, "linear_probe-baselines-%.32s.txt", hex);
    return true;
}

static bool parse(const char *text, measurements *out)
{
    while (*text != '\0') {
        measured m = {.n = 0};
        int split = 0, used = 0;
        if (sscanf(text, "%39s %d %la %la %la %" SCNd64 "%n", m.metric, &split, &m.value, &m.low,
                   &m.high, &m.n, &used) != 6 ||
            text[used] != '\n' || out->count == MEASURED_MOST)
            return false;
        m.split = (assay_data_split)split;
        out->items[out->count++] = m;
        text += used + 1;
    }
    return out->count > 0;
}

static bool read_cache(const char *path, measurements *out)
{
    int64_t bytes = 0, title = (int64_t)strlen(TITLE);
    char hex[HEX + 1], *text = assay_read_file(path, ROOM, &bytes, NULL);
    bool ok = false;
    if (text && bytes >= title + HEX && memcmp(text, TITLE, (size_t)title) == 0) {
        assay_sha256_of(text, (size_t)(bytes - HEX), hex);
        ok = memcmp(hex, text + bytes - HEX, HEX) == 0;
        text[bytes - HEX] = '\0';
        ok = ok && parse(text + title, out);
    }
    assay_free(text);
    if (!ok)
        out->count = 0;
    return ok;
}

/* The cache saves time and nothing else: when it can't be written, the next run measures again. */
static void write_cache(const char *path, const measurements *all)
{
    char text[ROOM], hex[HEX + 1];
    int used = snprintf(text, sizeof text, "%s", TITLE);
    for (int i = 0; i < all->count; i++) {
        const measured *m = &all->items[i];
        used += snprintf(text + used, sizeof text - (size_t)used, "%s %d %a %a %a %" PRId64 "\n",
                         m->metric, (int)m->split, m->value, m->low, m->high, m->n);
    }
    assay_sha256_of(text, (size_t)used, hex);
    used += snprintf(text + used, sizeof text - (size_t)used, "%s", hex);
    assay_publish(path, text, used, NULL);
}

/* ---- measuring ---- */

static bool measure_kind(const raw *columns, const probing *p, int kind, measurements *out,
                         assay_error *error)
{
    benchmark_sets sets = {0};
    int choice = kinds[kind].choice;
    bool ok = raw_set(columns, p, choice, ASSAY_TRAIN, &sets.train, error) &&
              raw_set(columns, p, choice, ASSAY_VALID, &sets.valid, error) &&
              raw_set(columns, p, choice, ASSAY_TEST, &sets.test, error) &&
              probe_measure(p, &sets, kinds[kind].suffix, 0, true, out, error);
    labelled_free(&sets.train);
    labelled_free(&sets.valid);
    labelled_free(&sets.test);
    return ok;
}

/* A kind is measured when everything in it is asked for and the dataset has it; columns by
 * themselves belong to `baselines`. */
static bool measure_all(const probing *p, measurements *out, assay_error *error)
{
    int asked = asked_of(p->settings);
    raw *columns = raw_new(p, asked, error);
    bool ok = columns != NULL;
    for (int k = 0; ok && k < KINDS; k++) {
        bool there = kinds[k].choice != RAW_COLUMNS || p->settings->baselines;
        for (int part = RAW_COLUMNS; part <= RAW_COUNTS; part *= 2)
            if (kinds[k].choice & part)
                there = there && asked & part && raw_width(columns, part) > 0;
        ok = !there || measure_kind(columns, p, k, out, error);
    }
    raw_free(columns);
    return ok;
}

bool baselines_measure(const probing *p, measurements *out, assay_error *error)
{
    const assay_host *host = p->evaluation->host;
    char name[96], path[4096] = "";
    if (!name_cache(p, name, sizeof name, error))
        return false;
    if (host && host->cache_path && !host->cache_path(host->user, name, path, sizeof path, NULL))
        path[0] = '\0';
    if (path[0] != '\0' && read_cache(path, out))
        return true;
    if (!measure_all(p, out, error))
        return false;
    if (path[0] != '\0' && out->count > 0)
        write_cache(path, out);
    return true;
}
