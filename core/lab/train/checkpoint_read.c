/* checkpoint_read.c - the newest checkpoint that is whole: verified first, then applied. */
#include "lab/train/checkpoint.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/log.h>
#include <assay/memory.h>

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define RUN_JSON_LIMIT (64 << 20)

typedef struct opened {
    char folder[4200];
    json_t *description;
    assay_weights *weights, *state;
} opened;

static void opened_clear(opened *o)
{
    assay_weights_close(o->weights);
    assay_weights_close(o->state);
    json_decref(o->description);
    o->weights = o->state = NULL;
    o->description = NULL;
}

static bool fail(const opened *o, const char *what, const char *expected, const char *got,
                 assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = o->folder, .what = what, .expected = expected,
                      .got = got);
}

/* ---- verifying ---- */

/* run.json, read and parsed; `sha256` NULL: not known. */
static bool read_description(opened *o, const char *sha256, assay_error *error)
{
    char path[4352], found[65];
    int64_t bytes = 0;
    snprintf(path, sizeof path, "%s/run.json", o->folder);
    char *text = assay_read_file(path, RUN_JSON_LIMIT, &bytes, error);
    if (!text)
        return false;
    assay_sha256_of(text, (size_t)bytes, found);
    o->description = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
    assay_free(text);
    if (sha256 && strcmp(sha256, found) != 0)
        return fail(o, "run.json is not the one that the store records", sha256, found, error);
    if (!o->description)
        return fail(o, "run.json is not JSON", NULL, NULL, error);
    int64_t format = json_integer_value(json_object_get(o->description, "format"));
    return format == CHECKPOINT_FORMAT ||
           fail(o, "the checkpoint has another format", assay_text("%d", CHECKPOINT_FORMAT),
                assay_text("%" PRId64, format), error);
}

static bool verify_file(const opened *o, const char *name, assay_error *error)
{
    char path[4352], sha256[65];
    int64_t bytes = 0;
    const json_t *entry = json_object_get(json_object_get(o->description, "files"), name);
    const char *expected = json_string_value(json_object_get(entry, "sha256"));
    snprintf(path, sizeof path, "%s/%s", o->folder, name);
    if (!expected)
        return fail(o, assay_text("run.json does not name %s", name), NULL, NULL, error);
    if (!checkpoint_hash_file(path, sha256, &bytes, error))
        return false;
    int64_t due = json_integer_value(json_object_get(entry, "bytes"));
    if (bytes != due)
        return fail(o, assay_text("%s has another size", name),
                    assay_text("%" PRId64 " bytes", due), assay_text("%" PRId64, bytes), error);
    return strcmp(sha256, expected) == 0 ||
           fail(o, assay_text("%s has another sha256", name), expected, sha256, error);
}

static bool verify_one_section(const opened *o, const assay_weights *weights, const char *section,
                               const char *prefix, assay_error *error)
{
    char sha256[65];
    int64_t tensors = 0;
    const json_t *entry = json_object_get(json_object_get(o->description, "sections"), section);
    const char *expected = json_string_value(json_object_get(entry, "sha256"));
    if (!expected)
        return fail(o, assay_text("the section '%s' is missing", section), NULL, NULL, error);
    checkpoint_hash_section(weights, prefix, sha256, &tensors);
    return strcmp(sha256, expected) == 0 ||
           fail(o, assay_text("the section '%s' has another sha256", section), expected, sha256,
                error);
}

static bool verify_section(void *user, const char *section, assay_error *error)
{
    const opened *o = user;
    return verify_one_section(o, o->state, section, assay_text("%s/", section), error);
}

/* Both files; leaves them open. */
static bool open_files(opened *o, assay_error *error)
{
    char path[4352];
    if (!verify_file(o, "weights.safetensors", error) ||
        !verify_file(o, "state.safetensors", error))
        return false;
    snprintf(path, sizeof path, "%s/weights.safetensors", o->folder);
    o->weights = assay_weights_open(path, error);
    snprintf(path, sizeof path, "%s/state.safetensors", o->folder);
    o->state = o->weights ? assay_weights_open(path, error) : NULL;
    return o->state != NULL;
}

static bool verify(const checkpoint_setup *setup, const store_checkpoint *row, opened *o,
                   assay_error *error)
{
    checkpoint_path(setup->job->folder, row->step, NULL, o->folder, sizeof o->folder);
    if (!read_description(o, row->sha256, error))
        return false;
    const char *hash = json_string_value(json_object_get(o->description, "run_hash"));
    if (!hash || strcmp(hash, setup->job->run_hash) != 0)
        return fail(o, "the checkpoint is another run's", setup->job->run_hash, hash, error);
    int64_t step = json_integer_value(json_object_get(o->description, "step"));
    if (step != row->step)
        return fail(o, "the checkpoint is of another step", assay_text("%" PRId64, row->step),
                    assay_text("%" PRId64, step), error);
    return open_files(o, error) && verify_one_section(o, o->weights, "weights", "", error) &&
           checkpoint_sections(setup, verify_section, o, error);
}

/* ---- applying ---- */

static bool apply_moments(const checkpoint_setup *setup, const opened *o, assay_error *error)
{
    const json_t *counts = json_object_get(o->description, "adamw");
    const assay_params *params = setup->assembly->params;
    bool ok = true;
    for (int64_t i = 0; i < assay_params_count(params) && ok; i++) {
        const char *name = assay_params_at(params, i)->name;
        const json_t *count = json_object_get(counts, name);
        if (!count)
            continue;
        const assay_stored *first =
            assay_weights_get(o->state, assay_text("moments/first/%s", name), error);
        const assay_stored *second =
            first ? assay_weights_get(o->state, assay_text("moments/second/%s", name), error)
                  : NULL;
        assay_tensor *m = second ? assay_stored_tensor(first, ASSAY_F32, error) : NULL;
        assay_tensor *v = m ? assay_stored_tensor(second, ASSAY_F32, error) : NULL;
        ok = v && assay_adamw_restore(setup->adamw, name, m, v, json_integer_value(count), error);
        assay_tensor_free(m);
        assay_tensor_free(v);
    }
    return ok;
}

typedef struct state_view {
    const assay_weights *state;
    char prefix[128];
} state_view;

static const assay_stored *get_state(void *user, const char *name, assay_error *error)
{
    const state_view *view = user;
    return assay_weights_get(view->state, assay_text("%s/%s", view->prefix, name), error);
}

static bool apply_mask(const assembly *a, const assay_weights *state, assay_error *error)
{
    state_view view = {.state = state, .prefix = "mask"};
    const assay_state_reader in = {.user = &view, .get = get_state};
    return !a->mask.plugin || !a->mask.plugin->mask.load ||
           a->mask.plugin->mask.load(a->mask.state, &in, error);
}

static bool apply_plugins(const assembly *a, const opened *o, assay_error *error)
{
    state_view view = {.state = o->state};
    const assay_state_reader in = {.user = &view, .get = get_state};
    if (!apply_mask(a, o->state, error))
        return false;
    for (int i = 0; i < a->loss_count; i++) {
        const assembly_part *part = &a->losses[i].part;
        snprintf(view.prefix, sizeof view.prefix, "loss/%s", part->use->label);
        if (part->plugin->loss.load && !part->plugin->loss.load(part->state, &in, error))
            return false;
    }
    return true;
}

static void apply_loop(const opened *o, int64_t step, loop_state *state)
{
    const json_t *loop = json_object_get(o->description, "loop");
    const json_t *best = json_object_get(loop, "best");
    *state = (loop_state){
        .step = step,
        .evaluated = json_integer_value(json_object_get(loop, "evaluated")),
        .has_best = best != NULL,
        .best = json_number_value(best),
        .best_step = json_integer_value(json_object_get(loop, "best_step")),
        .waited = json_integer_value(json_object_get(loop, "waited")),
        .stopped = json_is_true(json_object_get(loop, "stopped")),
    };
}

static bool apply(const checkpoint_setup *setup, const opened *o, int64_t step, loop_state *state,
                  assay_error *error)
{
    if (!assay_params_load(setup->assembly->params, o->weights, NULL, NULL, error) ||
        (setup->adamw && !apply_moments(setup, o, error)) ||
        !apply_plugins(setup->assembly, o, error))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = o->folder,
                          .what = "the checkpoint could not be applied");
    apply_loop(o, step, state);
    return true;
}

bool checkpoint_load(const checkpoint_setup *setup, loop_state *state, bool *found,
                     assay_error *error)
{
    int64_t n = 0;
    bool ok = true;
    *found = false;
    store_checkpoint *rows = checkpoint_rows(setup->job, &n, error);
    if (!rows)
        return false;
    for (int64_t i = 0; i < n && ok && !*found; i++) {
        opened o = {0};
        char line[1024];
        assay_error why = {0};
        *found = verify(setup, &rows[i], &o, &why);
        if (*found)
            ok = apply(setup, &o, rows[i].step, state, error);
        else
            assay_log(ASSAY_LOG_WARNING, "checkpoint of step %" PRId64 " is skipped: %s",
                      rows[i].step, assay_error_format(&why, line, sizeof line));
        opened_clear(&o);
    }
    assay_free(rows);
    return ok;
}

/* ---- for others: the weights of a finished run ---- */

/* The folder of a path, without the closing '/'. */
static void folder_of(const char *path, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s", path);
    char *end = strrchr(out, '/');
    if (end)
        *end = '\0';
}

int64_t checkpoint_step_at(const char *weights_path)
{
    char folder[4096];
    folder_of(weights_path, folder, sizeof folder);
    const char *name = strrchr(folder, '/');
    return checkpoint_step_of(name ? name + 1 : folder);
}

bool checkpoint_load_mask(assembly *a, const char *weights_path, assay_error *error)
{
    char path[4200], folder[4096];
    if (!a->mask.plugin || !a->mask.plugin->mask.load)
        return true;
    folder_of(weights_path, folder, sizeof folder);
    snprintf(path, sizeof path, "%s/state.safetensors", folder);
    assay_weights *state = assay_weights_open(path, error);
    bool ok = state && apply_mask(a, state, error);
    assay_weights_close(state);
    return ok;
}

/* The largest step below `below` among the folder's checkpoints; -1: none. */
static int64_t newest_below(const char *folder, int64_t below)
{
    struct dirent *entry = NULL;
    int64_t newest = -1;
    DIR *entries = opendir(folder);
    while (entries && (entry = readdir(entries)) != NULL) {
        int64_t step = checkpoint_step_of(entry->d_name);
        if (step < below && step > newest)
            newest = step;
    }
    if (entries)
        closedir(entries);
    return newest;
}

bool train_weights_path(const char *folder, char *path, int64_t size, assay_error *error)
{
    for (int64_t step = newest_below(folder, INT64_MAX); step >= 0;
         step = newest_below(folder, step)) {
        opened o = {0};
        char line[1024];
        assay_error why = {0};
        checkpoint_path(folder, step, NULL, o.folder, sizeof o.folder);
        bool good =
            read_description(&o, NULL, &why) && verify_file(&o, "weights.safetensors", &why);
        opened_clear(&o);
        if (good) {
            checkpoint_path(folder, step, "weights.safetensors", path, size);
            return true;
        }
        assay_log(ASSAY_LOG_WARNING, "checkpoint of step %" PRId64 " is skipped: %s", step,
                  assay_error_format(&why, line, sizeof line));
    }
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = folder,
                      .what = "the run's folder holds no checkpoint that is whole");
}
