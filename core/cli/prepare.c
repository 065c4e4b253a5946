/* prepare.c - what has to be right before anything is computed (prepare.h). */
#include "cli/prepare.h"
#include "cli/places.h"

#include <assay/hash.h>
#include <assay/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the plan ---- */

static bool find_fingerprint(void *user, const settings *dataset, char out[65], assay_error *error)
{
    dataset_pool *pool = user;
    const assay_data *data = dataset_pool_get(pool, dataset, error);
    if (data == NULL)
        return false;
    const char *fingerprint = data->functions->fingerprint(data->dataset);
    size_t length = fingerprint == NULL ? 0 : strlen(fingerprint);
    if (length < 1 || length > 64)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = data->name,
                          .what = "the dataset gives no fingerprint of its content",
                          .expected = "1 to 64 characters");
    memcpy(out, fingerprint, length + 1);
    return true;
}

/* Splits each --set at its first '='. The paths are copies that the caller frees; values borrow. */
static bool read_overrides(const arguments *args, int n, plan_override *out, assay_error *error)
{
    for (int i = 0; i < n; i++) {
        const char *text = args_value_at(args, "set", i);
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text || equals[1] == '\0')
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--set",
                              .what = "an option's path and value are due",
                              .expected = "PATH=VALUE, as in train.steps=100",
                              .got = assay_text("'%s'", text));
        char *path = assay_strdup(text, error);
        if (path == NULL)
            return false;
        path[equals - text] = '\0';
        out[i] = (plan_override){.path = path, .value = equals + 1};
    }
    return true;
}

static bool read_script(const arguments *args, const char *script, preparation *out,
                        assay_error *error)
{
    int n = args_values(args, "set");
    plan_override *overrides = assay_zalloc((n + 1) * (int64_t)sizeof *overrides, error);
    bool ok = overrides != NULL && read_overrides(args, n, overrides, error);
    if (ok) {
        plan_request request = {
            .script = script,
            .registry = out->registry,
            .override_count = n,
            .overrides = overrides,
            .device = out->device.word,
            .fingerprint = find_fingerprint,
            .user = out->pool,
        };
        out->plan = plan_new(&request, error);
        ok = out->plan != NULL;
    }
    for (int i = 0; overrides != NULL && i < n; i++)
        assay_free((char *)overrides[i].path);
    assay_free(overrides);
    return ok;
}

/* ---- inspection: each different recipe once ---- */

/* Options of `train` that change neither shapes nor amounts; the plan has checked their values. */
static bool is_only_a_rate(const char *name)
{
    static const char *const rates[] = {
        "lr",   "schedule", "warmup",           "floor", "eps", "beta1", "beta2", "weight_decay",
        "clip", "shuffle",  "checkpoint_every", "keep"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (strcmp(name, rates[i]) == 0)
            return true;
    return false;
}

static void add_text(assay_sha256 *hash, const char *text)
{
    assay_sha256_add(hash, text == NULL ? "" : text, text == NULL ? 1 : strlen(text) + 1);
}

static void add_setting(assay_sha256 *hash, const setting *value)
{
    int64_t plain[] = {value->given, value->stage, value->score_run, value->count};
    assay_sha256_add(hash, plain, sizeof plain);
    assay_sha256_add(hash, &value->number, sizeof value->number);
    add_text(hash, value->text);
    add_text(hash, value->sha256);
    if (value->numbers != NULL)
        assay_sha256_add(hash, value->numbers, (size_t)value->count * sizeof *value->numbers);
    for (int64_t i = 0; value->texts != NULL && i < value->count; i++)
        add_text(hash, value->texts[i]);
}

static void add_settings(assay_sha256 *hash, int n, const settings *list, bool without_rates)
{
    assay_sha256_add(hash, &n, sizeof n);
    for (int i = 0; i < n; i++) {
        add_text(hash, list[i].label);
        for (int k = 0; k < list[i].count; k++)
            if (!without_rates || !is_only_a_rate(list[i].options[k].name))
                add_setting(hash, &list[i].values[k]);
    }
}

/* What recipe_inspect can tell apart. */
static void recipe_key(const recipe *of, uint8_t key[32])
{
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    add_settings(&hash, 1, &of->dataset, false);
    add_settings(&hash, 1, &of->model, false);
    add_settings(&hash, of->mask.plugin != NULL, &of->mask, false);
    add_settings(&hash, of->adapter_count, of->adapters, false);
    add_settings(&hash, of->loss_count, of->losses, false);
    add_settings(&hash, of->evaluator_count, of->evaluators, false);
    add_settings(&hash, 1, &of->train, true);
    add_setting(&hash, &of->init);
    assay_sha256_end(&hash, key);
}

/* The place of a key among n slots of a table with open addressing; empty slots hold -1. */
static int find_slot(const int *table, int slots, const uint8_t (*keys)[32], const uint8_t key[32])
{
    uint32_t at = 0;
    memcpy(&at, key, sizeof at);
    at %= (uint32_t)slots;
    while (table[at] >= 0 && memcmp(keys[table[at]], key, 32) != 0)
        at = (at + 1) % (uint32_t)slots;
    return (int)at;
}

/* The recipe of a stage that a loss wants the model of. */
static const recipe *find_stage(void *user, const setting *value)
{
    const plan *of = user;
    return value->stage >= 0 && value->stage < of->run_count ? &of->runs[value->stage].recipe
                                                             : NULL;
}

/* A recipe's failure is about a cell of the plan; a message without a place gets that. */
static bool inspect(const plan_run *run, preparation *out, assay_error *error)
{
    assay_error found = {0};
    train_sources sources = {.user = out->plan, .stage = find_stage};
    if (recipe_inspect_with(&run->recipe, out->pool, &sources, &out->facts[out->facts_count],
                            &found)) {
        out->facts_count++;
        return true;
    }
    if (found.where[0] == '\0')
        snprintf(found.where, sizeof found.where, "cell %.200s", run->label);
    return ASSAY_FAIL(error, found.code, .where = found.where, .what = found.what,
                      .expected = found.expected, .got = found.got, .hint = found.hint);
}

/* Whether run i differs from the one before in its seed only. An input's place in the plan follows
 * the seed, so runs with inputs are looked at themselves. */
static bool is_as_before(const plan *of, int i)
{
    return i > 0 && of->runs[i].input_count == 0 &&
           strcmp(of->runs[i].cell_hash, of->runs[i - 1].cell_hash) == 0;
}

static bool inspect_all(const preparing *how, preparation *out, assay_error *error)
{
    int n = out->plan->run_count, slots = 2 * n + 1;
    bool ok = false;
    int *table = assay_alloc(slots * (int64_t)sizeof *table, error);
    uint8_t(*keys)[32] = assay_alloc((n + 1) * (int64_t)sizeof *keys, error);
    out->facts = assay_zalloc((n + 1) * (int64_t)sizeof *out->facts, error);
    out->facts_of = assay_zalloc((n + 1) * (int64_t)sizeof *out->facts_of, error);
    if (table == NULL || keys == NULL || out->facts == NULL || out->facts_of == NULL)
        goto done;
    memset(table, -1, (size_t)slots * sizeof *table);
    for (int i = 0; i < n; i++) {
        uint8_t key[32];
        if (is_as_before(out->plan, i)) {
            out->facts_of[i] = out->facts_of[i - 1];
            continue;
        }
        if (how->stop != NULL && *how->stop) {
            ASSAY_FAIL(error, ASSAY_STOPPED, .what = "asked to stop before the first run");
            goto done;
        }
        recipe_key(&out->plan->runs[i].recipe, key);
        int slot = find_slot(table, slots, (const uint8_t(*)[32])keys, key);
        if (table[slot] < 0) {
            memcpy(keys[out->facts_count], key, sizeof key);
            table[slot] = out->facts_count;
            if (!inspect(&out->plan->runs[i], out, error))
                goto done;
        }
        out->facts_of[i] = table[slot];
    }
    ok = true;
done:
    assay_free(table);
    assay_free(keys);
    return ok;
}

/* ---- all of it ---- */

/* Indexing data the first time takes its time: somebody who watches a terminal is told, and the
 * line is gone when it is done. */
static void tell_watcher(const arguments *args, const preparing *how, bool begins)
{
    if (how->without_inspection || args_has(args, "quiet") || isatty(STDERR_FILENO) != 1)
        return;
    fputs(begins ? "reading the script and its data ..." : "\r\033[K", stderr);
}

bool prepare(const arguments *args, const char *script, const preparing *how, preparation *out,
             assay_error *error)
{
    *out = (preparation){0};
    if (!device_choose(args, &out->device, error))
        return false;
    out->registry = place_open_registry(args, error);
    if (out->registry != NULL)
        out->pool = dataset_pool_new(NULL, error);
    if (out->pool != NULL && how->stop != NULL)
        dataset_pool_stop(out->pool, how->stop);
    tell_watcher(args, how, true);
    bool ok = out->pool != NULL && read_script(args, script, out, error) &&
              (how->without_inspection || inspect_all(how, out, error));
    tell_watcher(args, how, false);
    if (ok)
        return true;
    prepared_clear(out);
    return false;
}

void prepared_clear(preparation *prepared)
{
    assay_free(prepared->facts);
    assay_free(prepared->facts_of);
    plan_free(prepared->plan);
    dataset_pool_free(prepared->pool);
    registry_free(prepared->registry);
    memset(prepared, 0, sizeof *prepared);
}
