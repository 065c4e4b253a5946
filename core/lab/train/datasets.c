/* datasets.c - the datasets of this process: each opened once, at first use, for all its runs. */
#include "lab/train/datasets.h"
#include "lab/train/host.h"

#include <assay/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char *key; /* the plugin's name and every option, paths as found */
    void *options;
    assay_data data;
    struct entry *next;
} entry;

struct dataset_pool {
    char *cache;
    train_host host;
    entry *entries;
};

dataset_pool *dataset_pool_new(const char *cache, assay_error *error)
{
    const char *home = getenv("HOME");
    char path[4096];
    if (!cache)
        cache = getenv("ASSAY_CACHE");
    if (!cache || cache[0] == '\0') {
        snprintf(path, sizeof path, "%s/.cache/assay", home && home[0] ? home : "/tmp");
        cache = path;
    }
    dataset_pool *pool = assay_zalloc((int64_t)sizeof *pool, error);
    if (!pool)
        return NULL;
    pool->cache = assay_strdup(cache, error);
    if (!pool->cache) {
        assay_free(pool);
        return NULL;
    }
    train_host_init(&pool->host, pool->cache, NULL, NULL);
    return pool;
}

void dataset_pool_stop(dataset_pool *pool, const volatile sig_atomic_t *stop)
{
    pool->host.stop = stop;
}

static void entry_free(entry *e)
{
    if (e->data.dataset)
        e->data.functions->close(e->data.dataset);
    assay_free(e->options);
    assay_free(e->key);
    assay_free(e);
}

void dataset_pool_free(dataset_pool *pool)
{
    if (!pool)
        return;
    while (pool->entries) {
        entry *next = pool->entries->next;
        entry_free(pool->entries);
        pool->entries = next;
    }
    assay_free(pool->cache);
    assay_free(pool);
}

const char *dataset_pool_cache(const dataset_pool *pool)
{
    return pool->cache;
}

/* "toy\nsize=96\n...": equal exactly for settings that open the same dataset. Owned. */
static char *key_of(const settings *dataset, assay_error *error)
{
    int64_t length = (int64_t)strlen(dataset->plugin->name) + 1, used = 0;
    bool ok = true;
    char *key = NULL;
    char **texts = assay_zalloc((dataset->count + 1) * (int64_t)sizeof *texts, error);
    if (!texts)
        return NULL;
    for (int i = 0; i < dataset->count && ok; i++) {
        const setting *value = &dataset->values[i];
        texts[i] = value->resolved ? assay_strdup(value->resolved, error)
                                   : setting_text(&dataset->options[i], value, error);
        ok = texts[i] != NULL;
        if (ok)
            length += (int64_t)(strlen(dataset->options[i].name) + strlen(texts[i])) + 2;
    }
    if (ok)
        key = assay_alloc(length + 1, error);
    if (key)
        used = snprintf(key, (size_t)length + 1, "%s\n", dataset->plugin->name);
    for (int i = 0; i < dataset->count; i++) {
        if (key)
            used += snprintf(key + used, (size_t)(length + 1 - used), "%s=%s\n",
                             dataset->options[i].name, texts[i]);
        assay_free(texts[i]);
    }
    assay_free(texts);
    return key;
}

static entry *open_entry(dataset_pool *pool, const settings *dataset, char *key, assay_error *error)
{
    entry *e = assay_zalloc((int64_t)sizeof *e, error);
    if (!e) {
        assay_free(key);
        return NULL;
    }
    e->key = key;
    e->options = settings_fill(dataset, NULL, NULL, error);
    e->data = (assay_data){.size = sizeof e->data,
                           .name = dataset->plugin->name,
                           .functions = &dataset->plugin->dataset};
    if (e->options)
        e->data.dataset = e->data.functions->open(e->options, &pool->host.host, error);
    if (e->data.dataset)
        return e;
    if (e->options && error && error->code == ASSAY_OK)
        ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = assay_text("dataset.%s", e->data.name),
                   .what = "the plugin failed to open and said no reason");
    entry_free(e);
    return NULL;
}

const assay_data *dataset_pool_get(dataset_pool *pool, const settings *dataset, assay_error *error)
{
    char *key = key_of(dataset, error);
    if (!key)
        return NULL;
    for (entry *e = pool->entries; e; e = e->next)
        if (strcmp(e->key, key) == 0) {
            assay_free(key);
            return &e->data;
        }
    entry *e = open_entry(pool, dataset, key, error);
    if (!e)
        return NULL;
    e->next = pool->entries;
    pool->entries = e;
    return &e->data;
}

/* ---- sets ---- */

int64_t data_count(const assay_data *data, assay_data_split split, int benchmark)
{
    return data->functions->count(data->dataset, split, benchmark);
}

assay_data_split data_training_split(const assay_data *data, const train_options *options)
{
    if (options->split != 0)
        return options->split == 1 ? ASSAY_PRETRAIN : ASSAY_TRAIN;
    if (data->functions->training)
        return data->functions->training(data->dataset);
    return data_count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK) > 0 ? ASSAY_PRETRAIN : ASSAY_TRAIN;
}
