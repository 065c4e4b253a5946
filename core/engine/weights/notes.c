/* notes.c - a set's stacks and low-rank adapters to and from a file's metadata (notes.h). */
#include "engine/weights/notes.h"

#include <assay/memory.h>

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {[ASSAY_STACK_DECODER] = "decoder", [ASSAY_STACK_BERT] = "bert"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- writing ---- */

/* Takes the list; its text, owned, into *out, or NULL there for an empty one. */
static bool take_list(json_t *list, char **out, assay_error *error)
{
    bool ok = true;
    if (json_array_size(list) > 0) {
        char *text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(17));
        *out = text ? assay_strdup(text, error) : NULL;
        ok = *out != NULL ||
             ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "metadata", .what = "no memory");
        free(text);
    }
    json_decref(list);
    return ok;
}

static bool add_stack(json_t *list, const assay_stack *stack, assay_error *error)
{
    char *text = assay_stack_config_text(stack, "float32", error);
    if (!text)
        return false;
    json_t *entry = json_pack("{s:s, s:s, s:I, s:I, s:o}", "kind", kinds[stack->kind], "prefix",
                              stack->prefix, "first", (json_int_t)stack->first, "count",
                              (json_int_t)stack->count, "config", json_loads(text, 0, NULL));
    assay_free(text);
    return json_array_append_new(list, entry) == 0 ||
           ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "metadata", .what = "no memory");
}

bool notes_text(const assay_params *params, char **stacks, char **loras, assay_error *error)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < assay_stacks(params); i++) {
        const assay_stack *stack = assay_stack_at(params, i);
        if ((int)stack->kind < KINDS && !add_stack(list, stack, error)) {
            json_decref(list);
            return false;
        }
    }
    if (!take_list(list, stacks, error))
        return false;
    list = json_array();
    for (int64_t i = 0; i < assay_loras(params); i++) {
        const assay_lora *lora = assay_lora_at(params, i);
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:f, s:f, s:b}", "prefix", lora->prefix, "rank",
                                        (json_int_t)lora->rank, "alpha", lora->alpha, "dropout",
                                        lora->dropout, "rank_stable", lora->rank_stable));
    }
    if ((int64_t)json_array_size(list) == assay_loras(params))
        return take_list(list, loras, error);
    json_decref(list);
    return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "metadata", .what = "no memory");
}

/* ---- reading ---- */

static bool bad_note(const assay_weights *weights, const char *key, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                      .where = assay_text("%.200s: %s", assay_weights_path(weights), key),
                      .what = "the metadata do not describe the file's parameters");
}

static bool read_stack(assay_params *params, const json_t *entry, const assay_weights *weights,
                       assay_error *error)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    const char *prefix = json_string_value(json_object_get(entry, "prefix"));
    assay_stack stack = {.prefix = prefix,
                         .first = json_integer_value(json_object_get(entry, "first")),
                         .count = json_integer_value(json_object_get(entry, "count"))};
    int k = 0;
    while (kind && k < KINDS && strcmp(kind, kinds[k]) != 0)
        k++;
    stack.kind = (assay_stack_kind)k;
    int64_t all = assay_params_count(params);
    if (!kind || !prefix || k == KINDS || stack.first < 0 || stack.count < 1 || stack.first > all ||
        stack.count > all - stack.first)
        return bad_note(weights, NOTES_STACKS, error);
    for (int64_t i = stack.first; i < stack.first + stack.count; i++)
        if (strncmp(assay_params_at(params, i)->name, prefix, strlen(prefix)) != 0)
            return bad_note(weights, NOTES_STACKS, error);
    char *text = json_dumps(json_object_get(entry, "config"), 0);
    bool ok = text ? assay_stack_config_parse(&stack, text, NOTES_STACKS, error)
                   : bad_note(weights, NOTES_STACKS, error);
    free(text);
    return ok && assay_stack_note(params, &stack, error);
}

static bool read_lora(assay_params *params, const json_t *entry, const assay_weights *weights,
                      assay_error *error)
{
    assay_lora lora = {.prefix = json_string_value(json_object_get(entry, "prefix")),
                       .rank = json_integer_value(json_object_get(entry, "rank")),
                       .alpha = json_number_value(json_object_get(entry, "alpha")),
                       .dropout = json_number_value(json_object_get(entry, "dropout")),
                       .rank_stable = json_is_true(json_object_get(entry, "rank_stable"))};
    if (!lora.prefix || lora.rank < 1)
        return bad_note(weights, NOTES_LORAS, error);
    return assay_lora_note(params, &lora, error);
}

bool notes_read(assay_params *params, const assay_weights *weights, assay_error *error)
{
    static const char *const keys[] = {NOTES_STACKS, NOTES_LORAS};
    for (int k = 0; k < 2; k++) {
        const char *text = assay_weights_metadata(weights, keys[k]);
        if (!text)
            continue;
        json_t *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        bool ok = json_is_array(list) || bad_note(weights, keys[k], error);
        for (size_t i = 0; ok && i < json_array_size(list); i++)
            ok = (k == 0 ? read_stack : read_lora)(params, json_array_get(list, i), weights, error);
        json_decref(list);
        if (!ok)
            return false;
    }
    return true;
}
