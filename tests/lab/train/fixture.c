/* fixture.c - see fixture.h. */
#include "fixture.h"
#include "scratch.h"
#include "under_test.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/memory.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void must(bool ok, const assay_error *error)
{
    char line[1024];
    if (!ok)
        fail_msg("%s", assay_error_format(error, line, sizeof line));
}

const plugin_registry *toy_registry(void)
{
    static plugin_registry *registry;
    assay_error error = {0};
    /* The toys' folder, and for tests of real plugins theirs. */
    const char *const folders[] = {getenv("ASSAY_TEST_PLUGINS"), getenv("ASSAY_TEST_MORE_PLUGINS")};
    if (registry == NULL) {
        assert_non_null(folders[0]);
        registry = registry_new(folders[1] ? 2 : 1, folders, &error);
        must(registry != NULL, &error);
    }
    return registry;
}

/* One pool for the process; its cache is never written by the toy dataset. */
dataset_pool *toy_pool(const bench *b)
{
    static dataset_pool *pool;
    assay_error error = {0};
    if (pool == NULL) {
        pool = dataset_pool_new(b->folder, &error);
        must(pool != NULL, &error);
    }
    return pool;
}

/* ---- recipes ---- */

void set_plugin(settings *use, assay_kind kind, const char *name)
{
    assay_error error = {0};
    const plugin *found = registry_get(toy_registry(), kind, name, &error);
    must(found != NULL, &error);
    settings_clear(use);
    must(settings_defaults(use, found, &error), &error);
}

void set_number(settings *use, const char *name, double value)
{
    assay_error error = {0};
    int at = settings_find(use, name, "test", &error);
    must(at >= 0, &error);
    setting *to = &use->values[at];
    to->given = true;
    to->number = value;
    if (use->options[at].type == ASSAY_OPTION_SCHEDULE)
        to->numbers[0] = value;
    must(setting_check(&use->options[at], to, settings_owner(use), "/", "test", &error), &error);
}

void set_text(settings *use, const char *name, const char *value)
{
    assay_error error = {0};
    int at = settings_find(use, name, "test", &error);
    must(at >= 0, &error);
    setting *to = &use->values[at];
    assay_free(to->text);
    to->given = true;
    to->text = assay_strdup(value, &error);
    must(setting_check(&use->options[at], to, settings_owner(use), "/", "test", &error), &error);
}

static void clear_list(int *count, settings **list)
{
    for (int i = 0; i < *count; i++)
        settings_clear(&(*list)[i]);
    assay_free(*list);
    *list = NULL;
    *count = 0;
}

static void set_list(int *count, settings **list, assay_kind kind, int n, const char *const *names)
{
    clear_list(count, list);
    *list = assay_zalloc((n + 1) * (int64_t)sizeof **list, NULL);
    *count = n;
    for (int i = 0; i < n; i++)
        set_plugin(&(*list)[i], kind, names[i]);
}

void set_losses(bench *b, int n, const char *const *names)
{
    set_list(&b->recipe.loss_count, &b->recipe.losses, ASSAY_KIND_LOSS, n, names);
}

void set_adapter(bench *b, const char *name)
{
    set_list(&b->recipe.adapter_count, &b->recipe.adapters, ASSAY_KIND_ADAPTER, 1, &name);
}

void no_mask(bench *b)
{
    settings_clear(&b->recipe.mask);
    b->recipe.mask = (settings){0};
}

static void make_recipe(bench *b)
{
    static const char *const losses[] = {"toy_contrast", "toy_next"};
    static const char *const evaluators[] = {"toy_probe"};
    assay_error error = {0};
    recipe *r = &b->recipe;
    r->seed = 7;
    r->init = SETTING_NONE;
    set_plugin(&r->dataset, ASSAY_KIND_DATASET, "toy");
    set_plugin(&r->model, ASSAY_KIND_MODEL, "toy_encoder");
    set_plugin(&r->mask, ASSAY_KIND_MASK, "toy_ramp");
    set_losses(b, 2, losses);
    set_list(&r->evaluator_count, &r->evaluators, ASSAY_KIND_EVALUATOR, 1, evaluators);
    must(settings_defaults_of(&r->train, "train", train_table_count, train_table, &error), &error);
    set_number(&r->evaluators[0], "table", 1);
    set_number(&r->train, "steps", 12);
    set_number(&r->train, "batch", 16);
    set_number(&r->train, "checkpoint_every", 4);
    set_number(&r->train, "lr", 0.01);
    set_number(&r->dataset, "size", 72); /* 4.5 batches: epochs end inside one */
}

void bench_make(bench *b)
{
    *b = (bench){.stop_at = -1};
    strcpy(b->folder, "/tmp/assay_train_XXXXXX");
    assert_true(scratch_make(b->folder));
    snprintf(b->store, sizeof b->store, "%s/a.db", b->folder);
    snprintf(b->files, sizeof b->files, "%s.files/%.16s", b->store, HASH);
    make_recipe(b);
}

void bench_remove(bench *b)
{
    char command[160];
    recipe_clear(&b->recipe);
    snprintf(command, sizeof command, "rm -rf '%s'", b->folder);
    assert_int_equal(system(command), 0);
}

/* ---- runs ---- */

void bench_plan(bench *b, store_handle *store)
{
    assay_error error = {0};
    const setting *steps = settings_get(&b->recipe.train, "steps");
    const store_planned_run run = {
        .run_hash = HASH,
        .cell_hash = HASH,
        .seed = b->recipe.seed,
        .total_steps = (int64_t)steps->number,
        .device = "cpu",
        .dataset = "toy",
        .stage = "main",
        .label = "toy",
    };
    must(store_put_plan(store, "toy", 1, &run, &b->run_id, &error), &error);
}

store_handle *bench_open(bench *b)
{
    assay_error error = {0};
    char folder[160];
    store_handle *store = store_open(b->store, STORE_READ_WRITE, &error);
    must(store != NULL, &error);
    bench_plan(b, store);
    snprintf(folder, sizeof folder, "mkdir -p '%s.files'", b->store);
    assert_int_equal(system(folder), 0);
    return store;
}

store_lease bench_claim(bench *b, store_handle *store)
{
    static const store_worker worker = {
        .cpu = "test", .build_sig = "build", .threads = 1, .git_dirty = -1};
    assay_error error = {0};
    store_lease lease = {0};
    char holder[128] = "";
    int result = store_claim(store, b->run_id, &worker, &lease, holder, sizeof holder, &error);
    if (result != STORE_CLAIMED)
        fail_msg("claim gave %d: %s %s %s", result, error.what, error.got, holder);
    return lease;
}

static void watch(void *user, const train_progress *progress)
{
    bench *b = user;
    if (b->stop_at >= 0 && progress->step >= b->stop_at &&
        (!b->stop_doing || strncmp(progress->doing, b->stop_doing, strlen(b->stop_doing)) == 0))
        b->stop = 1;
}

train_job bench_job(bench *b, store_handle *store, store_lease *lease)
{
    b->stop = 0;
    return (train_job){
        .recipe = &b->recipe,
        .run_hash = HASH,
        .pool = toy_pool(b),
        .device = device_under_test(NULL),
        .store = store,
        .lease = lease,
        .folder = b->files,
        .relative = "0123456789abcdef",
        .same_build = true,
        .sources = b->sources,
        .stop = &b->stop,
        .progress = watch,
        .progress_ms = -1,
        .user = b,
    };
}

train_result bench_run_as(bench *b, store_handle *store, store_lease *lease)
{
    const train_job job = bench_job(b, store, lease);
    assay_error_clear(&b->error);
    return train_run(&job, &b->error);
}

train_result bench_run(bench *b)
{
    static const char *const status[] = {"done", "preempted", "lost", "failed"};
    assay_error error = {0};
    store_handle *store = bench_open(b);
    if (ask(b, "SELECT count(*) FROM run WHERE status = 'done'") > 0) {
        store_free(store);
        return TRAIN_DONE;
    }
    store_lease lease = bench_claim(b, store);
    train_result result = bench_run_as(b, store, &lease);
    if (result != TRAIN_LOST)
        must(store_end(store, &lease, status[result], status[result], b->error.what, &error),
             &error);
    store_free(store);
    return result;
}

train_result must_run(bench *b)
{
    train_result result = bench_run(b);
    char line[1024];
    if (result != TRAIN_DONE)
        fail_msg("the run gave %d: %s", (int)result,
                 assay_error_format(&b->error, line, sizeof line));
    return result;
}

/* ---- outcomes ---- */

typedef struct digest {
    assay_sha256 hash;
    int64_t rows;
    double first;
} digest;

static bool add_row(void *user, int columns, const char *const *names, const store_cell *cells)
{
    digest *d = user;
    char text[64];
    (void)names;
    if (!cells)
        return true;
    for (int i = 0; i < columns; i++) {
        const store_cell *c = &cells[i];
        if (d->rows == 0 && i == 0)
            d->first = c->type == STORE_REAL      ? c->real
                       : c->type == STORE_INTEGER ? (double)c->integer
                                                  : (double)NAN;
        snprintf(text, sizeof text, "%d %lld %a ", (int)c->type, (long long)c->integer,
                 c->type == STORE_REAL ? c->real : 0.0);
        assay_sha256_add(&d->hash, text, strlen(text));
        if (c->type == STORE_TEXT)
            assay_sha256_add(&d->hash, c->text, strlen(c->text));
    }
    d->rows++;
    return true;
}

static digest query(const bench *b, const char *sql)
{
    digest d = {.first = (double)NAN};
    assay_error error = {0};
    assay_sha256_begin(&d.hash);
    must(store_query(b->store, sql, (store_query_limits){0}, add_row, &d, &error), &error);
    return d;
}

static int64_t finish(digest d, char hex[65])
{
    uint8_t bytes[32];
    assay_sha256_end(&d.hash, bytes);
    assay_sha256_hex(bytes, hex);
    return d.rows;
}

double ask(const bench *b, const char *sql)
{
    return query(b, sql).first;
}

double series_at(const bench *b, const char *name, int64_t step)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT value FROM series JOIN series_key USING(key_id) WHERE name = '%s' AND step = "
             "%lld",
             name, (long long)step);
    return ask(b, sql);
}

outcome bench_outcome(const bench *b)
{
    outcome out = {0};
    assay_error error = {0};
    char path[4352];
    assay_mapping weights = {0};
    must(train_weights_path(b->files, path, sizeof path, &error), &error);
    must(assay_map(path, &weights, &error), &error);
    assay_sha256_of(weights.data, (size_t)weights.bytes, out.weights);
    assay_unmap(&weights);
    out.rows = finish(query(b, "SELECT name, step, value, nonfinite FROM series JOIN series_key "
                               "USING(key_id) WHERE name NOT LIKE 'time/%' AND name NOT LIKE "
                               "'memory/%' ORDER BY name, step"),
                      out.series);
    out.score_rows = finish(
        query(b, "SELECT suite, benchmark, metric, split, step, value, nonfinite, low, high, n "
                 "FROM score UNION ALL SELECT name, sha256, path, '', bytes, 0, 0, 0, 0, 0 "
                 "FROM artifact ORDER BY 1, 2, 3, 4, 5"),
        out.scores);
    return out;
}

void assert_same_outcome(const outcome *a, const outcome *b)
{
    assert_string_equal(a->weights, b->weights);
    assert_int_equal(a->rows, b->rows);
    assert_string_equal(a->series, b->series);
    assert_int_equal(a->score_rows, b->score_rows);
    assert_string_equal(a->scores, b->scores);
}
