/* checkpoint.c - the state of a run, written so that it is there whole or not at all. */
#include "lab/train/checkpoint.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/memory.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- state.safetensors ---- */

typedef struct state_list {
    char prefix[128]; /* of what is put */
    int64_t count, capacity;
    assay_weights_item *items; /* names owned */
    assay_tensor **copies;     /* owned; NULL: the tensor is another's */
} state_list;

static void state_clear(state_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        assay_free((char *)list->items[i].name);
        assay_tensor_free(list->copies[i]);
    }
    assay_free(list->items);
    assay_free(list->copies);
}

static bool grow(state_list *list, assay_error *error)
{
    int64_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
    if (list->count < list->capacity)
        return true;
    assay_weights_item *items = assay_zalloc(capacity * (int64_t)sizeof *items, error);
    assay_tensor **copies = assay_zalloc(capacity * (int64_t)sizeof *copies, error);
    if (!items || !copies) {
        assay_free(items);
        assay_free(copies);
        return false;
    }
    if (list->count > 0) {
        memcpy(items, list->items, (size_t)list->count * sizeof *items);
        memcpy(copies, list->copies, (size_t)list->count * sizeof(assay_tensor *));
    }
    assay_free(list->items);
    assay_free(list->copies);
    list->items = items;
    list->copies = copies;
    list->capacity = capacity;
    return true;
}

static bool state_add(state_list *list, const char *name, const assay_tensor *tensor,
                      assay_tensor *copy, assay_error *error)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", list->prefix, name);
    if (!grow(list, error))
        return false;
    char *owned = assay_strdup(full, error);
    if (!owned)
        return false;
    list->items[list->count] = (assay_weights_item){owned, tensor};
    list->copies[list->count++] = copy;
    return true;
}

/* assay_state_writer.put: the plugin's tensor may be gone when the file is written. */
static bool put_copy(void *user, const char *name, const assay_tensor *tensor, assay_error *error)
{
    assay_tensor *copy = assay_tensor_new(tensor->dtype, tensor->rank, tensor->shape, error);
    if (!copy)
        return false;
    if (assay_tensor_bytes(copy) > 0)
        memcpy(copy->data, assay_elements(tensor), (size_t)assay_tensor_bytes(copy));
    if (state_add(user, name, copy, copy, error))
        return true;
    assay_tensor_free(copy);
    return false;
}

static bool gather_moments(const checkpoint_setup *setup, state_list *list, assay_error *error)
{
    const assay_params *params = setup->assembly->params;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const char *name = assay_params_at(params, i)->name;
        const assay_tensor *first = assay_adamw_first(setup->adamw, name);
        if (!first)
            continue;
        snprintf(list->prefix, sizeof list->prefix, "moments/first");
        if (!state_add(list, name, first, NULL, error))
            return false;
        snprintf(list->prefix, sizeof list->prefix, "moments/second");
        if (!state_add(list, name, assay_adamw_second(setup->adamw, name), NULL, error))
            return false;
    }
    return true;
}

static bool gather_plugins(const assembly *a, state_list *list, assay_error *error)
{
    const assay_state_writer out = {.user = list, .put = put_copy};
    snprintf(list->prefix, sizeof list->prefix, "mask");
    if (a->mask.plugin && a->mask.plugin->mask.save &&
        !a->mask.plugin->mask.save(a->mask.state, &out, error))
        return false;
    for (int i = 0; i < a->loss_count; i++) {
        const assembly_part *part = &a->losses[i].part;
        snprintf(list->prefix, sizeof list->prefix, "loss/%s", part->use->label);
        if (part->plugin->loss.save && !part->plugin->loss.save(part->state, &out, error))
            return false;
    }
    return true;
}

static bool write_state(const checkpoint_setup *setup, const char *path, assay_error *error)
{
    state_list list = {0};
    bool ok = (!setup->adamw || gather_moments(setup, &list, error)) &&
              gather_plugins(setup->assembly, &list, error) &&
              assay_weights_write(path, list.count, list.items, 0, NULL, error);
    state_clear(&list);
    return ok;
}

/* ---- run.json ---- */

typedef struct section_list {
    json_t *sections;
    const assay_weights *state;
} section_list;

static bool add_section(void *user, const char *section, assay_error *error)
{
    section_list *list = user;
    char sha256[65];
    int64_t tensors = 0;
    checkpoint_hash_section(list->state, assay_text("%s/", section), sha256, &tensors);
    json_t *entry = json_pack("{s:I, s:s}", "tensors", (json_int_t)tensors, "sha256", sha256);
    return json_object_set_new(list->sections, section, entry) == 0 ||
           ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "checkpoint", .what = "no memory for JSON");
}

/* {"bytes", "sha256"} of one written file, read back; adds its size to *total. */
static json_t *describe_file(const char *path, int64_t *total, assay_error *error)
{
    char sha256[65];
    int64_t bytes = 0;
    if (!checkpoint_hash_file(path, sha256, &bytes, error))
        return NULL;
    *total += bytes;
    return json_pack("{s:I, s:s}", "bytes", (json_int_t)bytes, "sha256", sha256);
}

static json_t *describe_sections(const checkpoint_setup *setup, const char *weights_path,
                                 const char *state_path, assay_error *error)
{
    assay_weights *weights = assay_weights_open(weights_path, error);
    assay_weights *state = weights ? assay_weights_open(state_path, error) : NULL;
    section_list list = {json_object(), state};
    bool ok = state && checkpoint_sections(setup, add_section, &list, error);
    if (ok) {
        char sha256[65];
        int64_t tensors = 0;
        checkpoint_hash_section(weights, "", sha256, &tensors);
        json_object_set_new(
            list.sections, "weights",
            json_pack("{s:I, s:s}", "tensors", (json_int_t)tensors, "sha256", sha256));
    }
    assay_weights_close(weights);
    assay_weights_close(state);
    if (ok)
        return list.sections;
    json_decref(list.sections);
    return NULL;
}

static json_t *describe_counts(const checkpoint_setup *setup)
{
    const assay_params *params = setup->assembly->params;
    json_t *counts = json_object();
    for (int64_t i = 0; i < assay_params_count(params) && setup->adamw; i++) {
        const char *name = assay_params_at(params, i)->name;
        if (assay_adamw_first(setup->adamw, name))
            json_object_set_new(counts, name, json_integer(assay_adamw_count(setup->adamw, name)));
    }
    return counts;
}

static json_t *describe_loop(const loop_state *state)
{
    json_t *loop = json_pack("{s:I, s:I, s:b}", "evaluated", (json_int_t)state->evaluated, "waited",
                             (json_int_t)state->waited, "stopped", (int)state->stopped);
    if (loop && state->has_best) {
        json_object_set_new(loop, "best", json_real(state->best));
        json_object_set_new(loop, "best_step", json_integer(state->best_step));
    }
    return loop;
}

/* Writes run.json beside the two files; gives the checkpoint's size and run.json's sha256. */
static bool write_description(const checkpoint_setup *setup, const loop_state *state,
                              const char *folder, int64_t *bytes, char sha256[65],
                              assay_error *error)
{
    char weights_path[4352], state_path[4352], path[4352];
    bool ok = false;
    char *text = NULL;
    snprintf(weights_path, sizeof weights_path, "%s/weights.safetensors", folder);
    snprintf(state_path, sizeof state_path, "%s/state.safetensors", folder);
    snprintf(path, sizeof path, "%s/run.json", folder);
    json_t *weights = describe_file(weights_path, bytes, error);
    json_t *rest = weights ? describe_file(state_path, bytes, error) : NULL;
    json_t *sections = rest ? describe_sections(setup, weights_path, state_path, error) : NULL;
    json_t *all = NULL;
    if (!sections)
        goto done;
    all = json_pack("{s:i, s:s, s:I, s:{s:s, s:I, s:I}, s:{s:O, s:O}, s:O, s:o, s:o}", "format",
                    CHECKPOINT_FORMAT, "run_hash", setup->job->run_hash, "step",
                    (json_int_t)state->step, "data", "stream", "data/order", "seed",
                    (json_int_t)setup->assembly->recipe->seed, "position",
                    (json_int_t)(state->step * setup->options->batch), "files",
                    "weights.safetensors", weights, "state.safetensors", rest, "sections", sections,
                    "adamw", describe_counts(setup), "loop", describe_loop(state));
    text = all ? json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    if (!text) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path, .what = "no memory for JSON");
        goto done;
    }
    assay_sha256_of(text, strlen(text), sha256);
    *bytes += (int64_t)strlen(text);
    ok = assay_publish(path, text, (int64_t)strlen(text), error);
done:
    free(text);
    json_decref(all);
    json_decref(weights);
    json_decref(rest);
    json_decref(sections);
    return ok;
}

/* ---- all of it ---- */

static bool prune(const checkpoint_setup *setup, assay_error *error)
{
    const train_job *job = setup->job;
    int64_t keep = setup->options->keep > 0 ? setup->options->keep : 1, n = 0;
    char path[4352];
    bool ok = true;
    store_checkpoint *rows = checkpoint_rows(job, &n, error);
    if (!rows)
        return false;
    for (int64_t i = keep; i < n && ok; i++) {
        checkpoint_path(job->folder, rows[i].step, NULL, path, sizeof path);
        ok = store_drop_checkpoint(job->store, job->lease, rows[i].step, error) &&
             checkpoint_remove(path, error);
    }
    assay_free(rows);
    return ok;
}

static bool write_files(const checkpoint_setup *setup, const loop_state *state, const char *folder,
                        int64_t *bytes, char sha256[65], assay_error *error)
{
    char path[4352];
    if (!checkpoint_make_folder(setup->job->folder, error) || !checkpoint_remove(folder, error) ||
        !checkpoint_make_folder(folder, error))
        return false;
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    if (!assay_params_save(setup->assembly->params, path, error))
        return false;
    snprintf(path, sizeof path, "%s/state.safetensors", folder);
    return write_state(setup, path, error) &&
           write_description(setup, state, folder, bytes, sha256, error);
}

/* The series up to this step are in the store before the checkpoint is: after a crash a resume
 * deletes what lies beyond its step, and can't make what lies before. */
static bool publish(const checkpoint_setup *setup, const loop_state *state, const char *from,
                    int64_t bytes, const char *sha256, assay_error *error)
{
    const train_job *job = setup->job;
    char to[4200], relative[512];
    checkpoint_path(job->folder, state->step, NULL, to, sizeof to);
    checkpoint_path(job->relative, state->step, NULL, relative, sizeof relative);
    const store_file file = {.path = relative, .sha256 = sha256, .bytes = bytes};
    return store_flush(setup->writer, error) && store_beat(job->store, job->lease, error) &&
           checkpoint_publish(job->folder, from, to, error) &&
           store_put_checkpoint(job->store, job->lease, state->step, &file, error);
}

bool checkpoint_save(const checkpoint_setup *setup, const loop_state *state, assay_error *error)
{
    char folder[4200], name[4096], sha256[65] = "";
    int64_t bytes = 0;
    assay_error own = {0};
    checkpoint_path(setup->job->folder, state->step, NULL, name, sizeof name);
    snprintf(folder, sizeof folder, "%s.tmp.%ld", name, (long)getpid());
    if (write_files(setup, state, folder, &bytes, sha256, &own) &&
        publish(setup, state, folder, bytes, sha256, &own))
        return prune(setup, error);
    checkpoint_remove(folder, NULL);
    return ASSAY_FAIL(error, own.code, .where = own.where,
                      .what = assay_text("the checkpoint of step %" PRId64 " was not saved: %.160s",
                                         state->step, own.what),
                      .expected = own.expected, .got = own.got,
                      .hint = own.hint[0] ? own.hint : "the checkpoint before it is as it was");
}
