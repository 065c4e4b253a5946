/* export_runs.c - runs as files that other programs read: weights as Hugging Face folders, scores
 * and series as CSV (export.h). */
#include "cli/export.h"

#include "lab/run/run.h"
#include "lab/train/train.h"

#include <assay/memory.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

/* ---- which runs ---- */

typedef struct collection {
    export_run *runs;
    int count, room;
    assay_error *error;
    bool failed;
} collection;

/* Rows of run_id, run_hash, whether it is done. */
static bool take_run(void *user, int columns, const char *const *names, const store_cell *cells)
{
    collection *to = user;
    (void)columns;
    (void)names;
    if (cells == NULL)
        return true;
    if (to->count == to->room) {
        int room = to->room > 0 ? 2 * to->room : 16;
        export_run *runs = assay_alloc(room * (int64_t)sizeof *runs, to->error);
        to->failed = runs == NULL;
        if (to->failed)
            return false;
        if (to->count > 0)
            memcpy(runs, to->runs, (size_t)to->count * sizeof *runs);
        assay_free(to->runs);
        to->runs = runs;
        to->room = room;
    }
    export_run *run = &to->runs[to->count++];
    *run = (export_run){.run_id = cells[0].integer, .done = cells[2].integer != 0};
    snprintf(run->hash, sizeof run->hash, "%s", cells[1].text);
    return true;
}

/* The word as an SQL text: quotes doubled. */
static void quote(const char *word, char *out, size_t size)
{
    size_t at = 0;
    out[at++] = '\'';
    for (; *word != '\0' && at + 3 < size; word++) {
        if (*word == '\'')
            out[at++] = '\'';
        out[at++] = *word;
    }
    out[at++] = '\'';
    out[at] = '\0';
}

static bool collect(const char *store, const char *condition, collection *to, assay_error *error)
{
    char sql[1024];
    to->error = error;
    snprintf(sql, sizeof sql,
             "SELECT r.run_id, r.run_hash, r.status = 'done' FROM run r WHERE %s ORDER BY r.run_id",
             condition);
    return store_query(store, sql, (store_query_limits){0}, take_run, to, error) && !to->failed;
}

export_run *export_find(const char *store, const char *word, int *count, bool *each,
                        assay_error *error)
{
    char name[256], condition[512];
    collection found = {0};
    int64_t run_id = 0;
    quote(word, name, sizeof name);
    snprintf(condition, sizeof condition,
             "r.run_id IN (SELECT x.run_id FROM experiment_run x JOIN experiment e "
             "USING(experiment_id) WHERE x.current AND e.name = %s)",
             name);
    bool ok = collect(store, condition, &found, error);
    *each = ok && found.count > 0;
    if (ok && found.count == 0) {
        assay_error why = {0};
        ok = report_find_run(store, word, &run_id, &why);
        if (!ok)
            ASSAY_FAIL(error, why.code, .where = why.where,
                       .what = assay_text("'%s' is neither an experiment nor a run", word),
                       .expected = "an experiment's name, a run_id or a prefix of a run_hash",
                       .got = why.got,
                       .hint = why.hint[0] != '\0' ? why.hint : "assay runs lists them");
        snprintf(condition, sizeof condition, "r.run_id = %" PRId64, run_id);
        ok = ok && collect(store, condition, &found, error);
    }
    *count = found.count;
    if (ok)
        return found.runs;
    assay_free(found.runs);
    return NULL;
}

/* ---- weights ---- */

static bool join(char out[PATH_SIZE], const char *folder, const char *name, assay_error *error)
{
    return snprintf(out, PATH_SIZE, "%s/%s", folder, name) < PATH_SIZE ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
}

static bool make_folder(const char *path, assay_error *error)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot make the folder",
                      .got = assay_text("%m"));
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A stack's folder: "decoder", and after a BERT's prefix, "bert.bill." or "encoder.bill.",
 * "encoder.bill". */
static void name_stack(const assay_stack *stack, char out[128])
{
    const char *own = stack->prefix;
    const char *kind = stack->kind == ASSAY_STACK_DECODER ? "decoder" : "encoder";
    if (stack->kind == ASSAY_STACK_BERT &&
        (begins_with(own, "bert.") || begins_with(own, "encoder.")))
        own = strchr(own, '.') + 1;
    snprintf(out, 128, "%s%s%s", kind, own[0] != '\0' ? "." : "", own);
    size_t length = strlen(out);
    if (out[length - 1] == '.')
        out[length - 1] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (*c == '/' || (unsigned char)*c < 0x20)
            *c = '_';
}

/* "adapter.lora#2." is "adapter" beside one other and "adapter.lora#2" among several. */
static void name_adapter(const assay_params *params, const assay_lora *lora, char out[128])
{
    snprintf(out, 128, "%s", assay_loras(params) == 1 ? "adapter." : lora->prefix);
    size_t length = strlen(out);
    if (length > 1 && out[length - 1] == '.')
        out[length - 1] = '\0';
}

static bool save_adapters(const assay_params *params, const assay_stack *stack, const char *folder,
                          assay_error *error)
{
    char name[128], path[PATH_SIZE];
    int64_t saved = 0;
    for (int64_t i = 0; i < assay_loras(params); i++) {
        name_adapter(params, assay_lora_at(params, i), name);
        if (!join(path, folder, name, error) ||
            !assay_lora_save(params, assay_lora_at(params, i), stack, path, &saved, error))
            return false;
    }
    return true;
}

/* Whether assay.safetensors keeps it: what is in no stack's folder. A merged adapter is in them. */
static bool is_own(const assay_params *params, int64_t i, bool merge)
{
    const char *name = assay_params_at(params, i)->name;
    for (int64_t k = 0; k < assay_stacks(params); k++) {
        const assay_stack *stack = assay_stack_at(params, k);
        if (i >= stack->first && i < stack->first + stack->count && stack->kind != ASSAY_STACK_VIT)
            return false;
    }
    for (int64_t k = 0; merge && k < assay_loras(params); k++) {
        const char *prefix = assay_lora_at(params, k)->prefix;
        if (strncmp(name, prefix, strlen(prefix)) == 0 && strstr(name, ".lora_") != NULL)
            return false;
    }
    return true;
}

/* What is the model's own: heads, encoders without a published form, masks, losses; fp32. */
static bool save_own(const assay_params *params, bool merge, const char *folder, assay_error *error)
{
    char path[PATH_SIZE];
    int64_t n = 0, all = assay_params_count(params);
    assay_weights_item *items = assay_alloc((all + 1) * (int64_t)sizeof *items, error);
    if (items == NULL)
        return false;
    for (int64_t i = 0; i < all; i++)
        if (is_own(params, i, merge))
            items[n++] = (assay_weights_item){assay_params_at(params, i)->name,
                                              assay_params_at(params, i)->value};
    bool ok = n == 0 || (join(path, folder, "assay.safetensors", error) &&
                         assay_weights_write(path, n, items, 0, NULL, error));
    assay_free(items);
    return ok;
}

static bool save_stacks(const export_request *request, const assay_params *params,
                        const char *folder, assay_error *error)
{
    assay_weights_options options = {.dtype = request->dtype, .shard_bytes = request->shard_bytes};
    for (int64_t i = 0; i < assay_stacks(params); i++) {
        char name[128], path[PATH_SIZE];
        const assay_stack *stack = assay_stack_at(params, i);
        if (stack->kind == ASSAY_STACK_VIT)
            continue;
        name_stack(stack, name);
        if (!join(path, folder, name, error) ||
            !assay_stack_save(params, stack, path, &options, error) ||
            (!request->merge && !save_adapters(params, stack, path, error)))
            return false;
    }
    return save_own(params, request->merge, folder, error);
}

static bool save_weights(const export_request *request, const export_run *run, const char *folder,
                         assay_error *error)
{
    char files[PATH_SIZE], path[PATH_SIZE];
    run_folder(request->store, run->hash, files, sizeof files);
    if (!run->done)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("run %" PRId64, run->run_id),
                          .what = "the run is not done, so its weights are not final",
                          .hint = "assay run goes on with it; --what scores,series needs none");
    if (!train_weights_path(files, path, sizeof path, error))
        return false;
    assay_params *params = assay_params_open(path, error);
    bool ok = params != NULL;
    for (int64_t i = 0; ok && request->merge && i < assay_loras(params); i++)
        ok = assay_lora_merge(params, assay_lora_at(params, i), error);
    ok = ok && save_stacks(request, params, folder, error);
    assay_params_free(params);
    return ok;
}

static bool save_all_weights(const export_request *request, const char *folder, assay_error *error)
{
    for (int i = 0; i < request->count; i++) {
        char name[32], path[PATH_SIZE];
        const char *to = folder;
        if (request->each) {
            snprintf(name, sizeof name, "run_%" PRId64, request->runs[i].run_id);
            if (!join(path, folder, name, error) || !make_folder(path, error))
                return false;
            to = path;
        }
        if (!save_weights(request, &request->runs[i], to, error))
            return false;
    }
    return true;
}

/* ---- tables ---- */

/* SQL that names the runs: "IN (1,2)". Owned by the caller (assay_free). */
static char *list_of(const export_request *request, assay_error *error)
{
    char *out = assay_alloc(request->count * (int64_t)24 + 16, error);
    if (out == NULL)
        return NULL;
    int length = sprintf(out, "IN (");
    for (int i = 0; i < request->count; i++)
        length += sprintf(out + length, "%s%" PRId64, i > 0 ? "," : "", request->runs[i].run_id);
    sprintf(out + length, ")");
    return out;
}

/* The rows of SELECT ... WHERE run_id IN (...) as FOLDER/NAME, RFC 4180. */
static bool save_table(const export_request *request, const char *folder, const char *name,
                       const char *select, const char *order, assay_error *error)
{
    char path[PATH_SIZE];
    bool ok = false;
    FILE *file = NULL;
    report *rows = NULL;
    char *sql = NULL, *list = list_of(request, error);
    int64_t size = list != NULL ? (int64_t)(strlen(list) + strlen(select) + strlen(order)) + 64 : 0;
    if (list != NULL)
        sql = assay_alloc(size, error);
    if (sql == NULL || !join(path, folder, name, error))
        goto done;
    snprintf(sql, (size_t)size, "%s WHERE r.run_id %s ORDER BY %s", select, list, order);
    rows = report_query(request->store, sql, (store_query_limits){0}, error);
    if (rows == NULL)
        goto done;
    file = fopen(path, "w");
    if (file == NULL) {
        ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot make the file",
                   .got = assay_text("%m"));
        goto done;
    }
    ok = report_print(rows, TABLE_CSV, file, NULL, error);
done:
    if (file != NULL && fclose(file) != 0 && ok)
        ok = ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot write the file",
                        .got = assay_text("%m"));
    report_free(rows);
    assay_free(sql);
    assay_free(list);
    return ok;
}

static bool save_scores(const export_request *request, const char *folder, assay_error *error)
{
    static const char select[] =
        "SELECT r.run_id, r.run_hash, r.seed, s.suite, s.benchmark, s.metric, s.split, s.step, "
        "s.value, s.nonfinite, s.low, s.high, s.n FROM score s JOIN run r USING(run_id)";
    return save_table(request, folder, "scores.csv", select,
                      "r.run_id, s.suite, s.benchmark, s.metric, s.split, s.step", error);
}

static bool save_series(const export_request *request, const char *folder, assay_error *error)
{
    static const char select[] =
        "SELECT r.run_id, r.run_hash, r.seed, k.name AS series, s.step, s.value, s.nonfinite "
        "FROM series s JOIN series_key k USING(key_id) JOIN run r USING(run_id)";
    return save_table(request, folder, "series.csv", select, "r.run_id, k.name, s.step", error);
}

bool export_write(const export_request *request, const char *folder, assay_error *error)
{
    return (!request->weights || save_all_weights(request, folder, error)) &&
           (!request->scores || save_scores(request, folder, error)) &&
           (!request->series || save_series(request, folder, error));
}
