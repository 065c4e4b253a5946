/* lora.c - low-rank adapters: merged into their matrices, and exchanged with PEFT. */
#include "engine/weights/safetensors.h"

#include <assay/memory.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PEFT_PREFIX "base_model.model."

static const char ending_a[] = ".lora_A.weight", ending_b[] = ".lora_B.weight";

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && strcmp(text + length - tail, ending) == 0;
}

/* One branch: MODULE and its parameters. */
typedef struct branch {
    char module[ASSAY_NAME_LIMIT + 1];
    const assay_parameter *matrix, *a, *b;
} branch;

/* The branch whose A is parameter i; 0: it is no A of this adapter, -1: it is broken. */
static int branch_at(const assay_params *params, const assay_lora *lora, int64_t i, branch *out,
                     assay_error *error)
{
    const char *name = assay_params_at(params, i)->name;
    size_t prefix = strlen(lora->prefix);
    if (strncmp(name, lora->prefix, prefix) != 0 || !ends_with(name + prefix, ending_a))
        return 0;
    snprintf(out->module, sizeof out->module, "%.*s",
             (int)(strlen(name + prefix) - (sizeof ending_a - 1)), name + prefix);
    out->a = assay_params_at(params, i);
    out->b = assay_params_find(params, assay_text("%s%s%s", lora->prefix, out->module, ending_b));
    out->matrix = assay_params_find(params, assay_text("%s.weight", out->module));
    const int64_t *a = out->a->value->shape;
    if (out->b && out->matrix && out->matrix->value->rank == 2 && a[0] == lora->rank &&
        a[1] == out->matrix->value->shape[1] && out->b->value->shape[1] == lora->rank &&
        out->b->value->shape[0] == out->matrix->value->shape[0])
        return 1;
    ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = name,
               .what = "the adapter's parameters do not fit a matrix of the set");
    return -1;
}

/* ---- merging ---- */

/* W (O, I) += scale B (O, R) A (R, I), row by row. */
static void merge_matrix(const branch *at, float scale)
{
    int64_t outputs = at->matrix->value->shape[0], inputs = at->matrix->value->shape[1];
    int64_t rank = at->a->value->shape[0];
    const float *a = assay_f32(at->a->value);
    float *b = assay_f32(at->b->value);
    float *w = assay_f32(at->matrix->value); /* here: one thread fetches it from a device */
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < outputs; o++) {
        float *row = w + o * inputs;
        for (int64_t r = 0; r < rank; r++) {
            float factor = scale * b[o * rank + r];
            for (int64_t i = 0; i < inputs; i++)
                row[i] += factor * a[r * inputs + i];
        }
    }
    memset(b, 0, (size_t)(outputs * rank) * sizeof *b);
}

bool assay_lora_merge(assay_params *params, const assay_lora *lora, assay_error *error)
{
    branch at;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        int found = branch_at(params, lora, i, &at, error);
        if (found < 0)
            return false;
        if (found > 0 && !assay_params_counting(params))
            merge_matrix(&at, (float)assay_lora_scale(lora));
    }
    return true;
}

/* ---- PEFT's configuration ---- */

static bool bad_config(const char *path, const char *field, const char *expected, const json_t *got,
                       const char *hint, assay_error *error)
{
    char *text = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("%.200s: %s", path, field),
               .what = "the adapter is not the one that is asked for", .expected = expected,
               .got = text ? text : "nothing", .hint = hint);
    free(text);
    return false;
}

/* A field that changes what the adapter is, and that is not implemented. */
static bool is_off(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_string(value) && strcmp(json_string_value(value), "none") == 0);
}

static bool check_config(const json_t *root, const assay_lora *lora, const char *path,
                         assay_error *error)
{
    static const char *const off[] = {"bias",       "rank_pattern",    "alpha_pattern",
                                      "use_dora",   "modules_to_save", "layer_replication",
                                      "use_qalora", "lora_bias"};
    const json_t *type = json_object_get(root, "peft_type");
    const json_t *rank = json_object_get(root, "r"), *alpha = json_object_get(root, "lora_alpha");
    if (!json_is_string(type) || strcmp(json_string_value(type), "LORA") != 0)
        return bad_config(path, "peft_type", "\"LORA\"", type, NULL, error);
    if (json_integer_value(rank) != lora->rank)
        return bad_config(path, "r", assay_text("%lld", (long long)lora->rank), rank,
                          "set the adapter's option 'rank' to the file's", error);
    if (json_number_value(alpha) != lora->alpha)
        return bad_config(path, "lora_alpha", assay_text("%g", lora->alpha), alpha,
                          "set the adapter's option 'alpha' to the file's", error);
    if (json_is_true(json_object_get(root, "use_rslora")) != lora->rank_stable)
        return bad_config(path, "use_rslora", lora->rank_stable ? "true" : "false",
                          json_object_get(root, "use_rslora"),
                          "set the adapter's option 'rslora' to the file's", error);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        if (!is_off(json_object_get(root, off[i])))
            return bad_config(path, off[i], "none: it is not implemented",
                              json_object_get(root, off[i]), NULL, error);
    return true;
}

/* The adapter_config.json beside the weights, if there is one. */
static bool read_config(const assay_weights *weights, const assay_lora *lora, assay_error *error)
{
    char path[PATH_MAX];
    struct stat info;
    json_error_t why = {0};
    int64_t bytes = 0;
    const char *file = assay_weights_path(weights), *slash = strrchr(file, '/');
    int folder = slash ? (int)(slash - file + 1) : 0;
    if (snprintf(path, sizeof path, "%.*sadapter_config.json", folder, file) >= PATH_MAX ||
        stat(path, &info) != 0)
        return true;
    char *text = assay_read_file(path, 1 << 20, &bytes, error);
    if (!text)
        return false;
    json_t *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    assay_free(text);
    bool ok = json_is_object(root)
                  ? check_config(root, lora, path, error)
                  : ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                               .what = "the document is no JSON object", .got = why.text);
    json_decref(root);
    return ok;
}

/* ---- loading ---- */

/* Whether one name is the other or its end behind a dot: prefixes of stacks, and "model." of
 * decoders that were wrapped otherwise, may stand before either. */
static bool same_end(const char *a, size_t a_length, const char *b, size_t b_length)
{
    if (a_length < b_length)
        return same_end(b, b_length, a, a_length);
    return memcmp(a + a_length - b_length, b, b_length) == 0 &&
           (a_length == b_length || a[a_length - b_length - 1] == '.');
}

/* The file's tensor for MODULE's A or B; NULL with the error. */
static const assay_stored *find_stored(const assay_weights *weights, const char *module,
                                       const char *ending, bool *used, assay_error *error)
{
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        const char *name = stored->name;
        if (!ends_with(name, ending))
            continue;
        if (strncmp(name, PEFT_PREFIX, strlen(PEFT_PREFIX)) == 0)
            name += strlen(PEFT_PREFIX);
        if (same_end(name, strlen(name) - strlen(ending), module, strlen(module))) {
            used[i] = true;
            return stored;
        }
    }
    ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_weights_path(weights),
               .what = assay_text("the adapter's file has no %s of %.150s", ending + 1, module),
               .hint = "the option 'targets' names other layers than the file's");
    return NULL;
}

static bool fill(const assay_stored *stored, const assay_parameter *parameter, bool counting,
                 const assay_weights *weights, assay_error *error)
{
    assay_error own = {0};
    if (stored_fits(stored, parameter->value, &own))
        return counting || assay_stored_read(stored, parameter->value, error);
    return ASSAY_FAIL(error, own.code,
                      .where = assay_text("%.120s: %.120s", assay_weights_path(weights), own.where),
                      .what = own.what, .expected = own.expected, .got = own.got,
                      .hint = "the adapter is of another model, size or rank");
}

/* A run's own file holds what the adapter stands in as well. */
static bool is_adapters(const char *name)
{
    return strncmp(name, PEFT_PREFIX, strlen(PEFT_PREFIX)) == 0 || ends_with(name, ending_a) ||
           ends_with(name, ending_b);
}

bool assay_lora_load(assay_params *params, const assay_lora *lora, const char *path,
                     assay_error *error)
{
    bool ok = false, counting = assay_params_counting(params);
    branch at;
    bool *used = NULL;
    assay_weights *weights = assay_weights_open(path, error);
    if (!weights || !read_config(weights, lora, error))
        goto done;
    used = assay_zalloc(assay_weights_count(weights) + 1, error);
    if (!used)
        goto done;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        int found = branch_at(params, lora, i, &at, error);
        if (found == 0)
            continue;
        const assay_stored *a = NULL, *b = NULL;
        if (found > 0)
            a = find_stored(weights, at.module, ending_a, used, error);
        if (a)
            b = find_stored(weights, at.module, ending_b, used, error);
        if (!b || !fill(a, at.a, counting, weights, error) ||
            !fill(b, at.b, counting, weights, error))
            goto done;
    }
    for (int64_t i = 0; i < assay_weights_count(weights); i++)
        if (!used[i] && is_adapters(assay_weights_at(weights, i)->name)) {
            ASSAY_FAIL(error, ASSAY_BAD_FILE,
                       .where = assay_text("%.120s: tensor %.120s", assay_weights_path(weights),
                                           assay_weights_at(weights, i)->name),
                       .what = "no branch of the adapter takes it",
                       .hint = "the option 'targets' leaves out layers of the file");
            goto done;
        }
    ok = true;
done:
    assay_free(used);
    assay_weights_close(weights);
    return ok;
}

/* ---- saving ---- */

static bool write_config(const assay_lora *lora, const assay_stack *stack, json_t *targets,
                         const char *folder, assay_error *error)
{
    char path[PATH_MAX];
    bool decoder = stack->kind == ASSAY_STACK_DECODER;
    json_t *root =
        json_pack("{s:s, s:s?, s:n, s:I, s:f, s:f, s:b, s:O, s:s, s:b, s:b, s:b, s:n, s:{}, s:{}}",
                  "peft_type", "LORA", "task_type", decoder ? "CAUSAL_LM" : NULL,
                  "base_model_name_or_path", "r", (json_int_t)lora->rank, "lora_alpha", lora->alpha,
                  "lora_dropout", lora->dropout, "use_rslora", lora->rank_stable, "target_modules",
                  targets, "bias", "none", "fan_in_fan_out", 0, "init_lora_weights", 1,
                  "inference_mode", 1, "modules_to_save", "rank_pattern", "alpha_pattern");
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    bool ok = text ? assay_publish(path, text, (int64_t)strlen(text), error)
                   : ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path, .what = "no memory");
    free(text);
    json_decref(root);
    return ok;
}

/* Names of the items, which the writer only borrows. */
typedef struct export
{
    assay_weights_item *items;
    char(*names)[ASSAY_NAME_LIMIT + 64];
    int64_t count;
    json_t *targets;
}
export;

static void add_item(export *to, const char *module, const char *ending,
                     const assay_parameter *parameter)
{
    char *name = to->names[to->count];
    snprintf(name, sizeof to->names[0], PEFT_PREFIX "%s%s", module, ending);
    to->items[to->count++] = (assay_weights_item){name, parameter->value};
}

/* The branches whose matrix is a parameter of the stack. */
static bool collect(const assay_params *params, const assay_lora *lora, const assay_stack *stack,
                    export *to, assay_error *error)
{
    const assay_decoder_config *decoder = &stack->config.decoder;
    bool bare = stack->kind == ASSAY_STACK_DECODER && !decoder->tied_head && !decoder->has_head;
    branch at;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        int found = branch_at(params, lora, i, &at, error);
        if (found < 0)
            return false;
        bool inside = false;
        for (int64_t k = stack->first; found > 0 && k < stack->first + stack->count; k++)
            inside |= assay_params_at(params, k) == at.matrix;
        if (!inside)
            continue;
        const char *module = at.module + strlen(stack->prefix);
        if (bare && strncmp(module, "model.", 6) == 0)
            module += 6;
        add_item(to, module, ending_a, at.a);
        add_item(to, module, ending_b, at.b);
        if (json_array_append_new(to->targets, json_string(module)) != 0)
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = module, .what = "no memory");
    }
    return true;
}

bool assay_lora_save(const assay_params *params, const assay_lora *lora, const assay_stack *stack,
                     const char *folder, int64_t *saved, assay_error *error)
{
    static const char *const format[][2] = {{"format", "pt"}};
    export to = {.targets = json_array()};
    char path[PATH_MAX];
    bool ok = false;
    int64_t most = assay_params_count(params), items = 0, names = 0;
    if (!assay_size_mul(&items, most, (int64_t)sizeof *to.items) ||
        !assay_size_mul(&names, most, (int64_t)sizeof *to.names))
        goto done;
    to.items = assay_alloc(items, error);
    to.names = assay_alloc(names, error);
    if (!to.items || !to.names || !collect(params, lora, stack, &to, error))
        goto done;
    *saved = to.count / 2;
    ok = to.count == 0;
    if (ok || snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder) >= PATH_MAX)
        goto done;
    ok = stored_make_folder(folder, error) &&
         assay_weights_write(path, to.count, to.items, 1, format, error) &&
         write_config(lora, stack, to.targets, folder, error);
done:
    assay_free(to.items);
    assay_free(to.names);
    json_decref(to.targets);
    return ok;
}
