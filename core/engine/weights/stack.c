/* stack.c - stacks from and to folders as published: names, config.json, and what a folder may hold
 * beside the stack. */
#include "engine/weights/safetensors.h"

#include <assay/memory.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* How a file names a stack's parameters. */
typedef struct naming {
    bool bare;        /* a decoder without "model.": saved without a head */
    const char *base; /* BERT: "bert." or "" */
    bool old_norms;   /* BERT: LayerNorm.gamma and .beta */
} naming;

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static naming naming_of(const assay_stack *stack, const assay_weights *weights)
{
    naming how = {.base = ""};
    how.bare = stack->kind == ASSAY_STACK_DECODER &&
               !assay_weights_find(weights, "model.embed_tokens.weight") &&
               assay_weights_find(weights, "embed_tokens.weight");
    if (stack->kind == ASSAY_STACK_BERT &&
        assay_weights_find(weights, "bert.embeddings.word_embeddings.weight"))
        how.base = "bert.";
    how.old_norms =
        assay_weights_find(weights, assay_text("%sembeddings.LayerNorm.gamma", how.base)) != NULL;
    return how;
}

/* The file's name of the parameter called `own` in the stack. Borrowed (assay_text). */
static const char *stored_name(const naming *how, const char *own)
{
    if (how->bare && begins_with(own, "model."))
        own += strlen("model.");
    if (how->old_norms && ends_with(own, "LayerNorm.weight"))
        return assay_text("%s%.*sgamma", how->base, (int)(strlen(own) - 6), own);
    if (how->old_norms && ends_with(own, "LayerNorm.bias"))
        return assay_text("%s%.*sbeta", how->base, (int)(strlen(own) - 4), own);
    return assay_text("%s%s", how->base, own);
}

static const char *own_name(const assay_params *params, const assay_stack *stack, int64_t i)
{
    return assay_params_at(params, i)->name + strlen(stack->prefix);
}

/* ---- config.json ---- */

typedef struct agreement {
    const char *field;
    double ours, theirs;
} agreement;

static bool check_agreement(const char *path, int n, const agreement *fields, assay_error *error)
{
    for (int i = 0; i < n; i++)
        if (fields[i].ours != fields[i].theirs)
            return ASSAY_FAIL(
                error, ASSAY_BAD_FILE, .where = path,
                .what = assay_text("the weights are of another model: %s differs", fields[i].field),
                .expected = assay_text("%.9g", fields[i].ours),
                .got = assay_text("%.9g", fields[i].theirs));
    return true;
}

static bool check_decoder(const char *path, const assay_decoder_config *a,
                          const assay_decoder_config *b, assay_error *error)
{
    const agreement fields[] = {
        {"vocab_size", (double)a->vocabulary, (double)b->vocabulary},
        {"hidden_size", (double)a->width, (double)b->width},
        {"num_hidden_layers", (double)a->layers, (double)b->layers},
        {"num_attention_heads", (double)a->heads, (double)b->heads},
        {"num_key_value_heads", (double)a->kv_heads, (double)b->kv_heads},
        {"head_dim", (double)a->head_width, (double)b->head_width},
        {"intermediate_size", (double)a->mlp_width, (double)b->mlp_width},
        {"rope_theta", a->rope_base, b->rope_base},
        {"rms_norm_eps", (double)a->norm_eps, (double)b->norm_eps},
        {"whether q, k and v have biases", a->qkv_bias, b->qkv_bias},
    };
    return check_agreement(path, sizeof fields / sizeof fields[0], fields, error);
}

static bool check_bert(const char *path, const assay_bert_config *a, const assay_bert_config *b,
                       assay_error *error)
{
    const agreement fields[] = {
        {"vocab_size", (double)a->vocabulary, (double)b->vocabulary},
        {"hidden_size", (double)a->width, (double)b->width},
        {"num_hidden_layers", (double)a->layers, (double)b->layers},
        {"num_attention_heads", (double)a->heads, (double)b->heads},
        {"intermediate_size", (double)a->mlp_width, (double)b->mlp_width},
        {"max_position_embeddings", (double)a->positions, (double)b->positions},
        {"type_vocab_size", (double)a->types, (double)b->types},
        {"layer_norm_eps", (double)a->norm_eps, (double)b->norm_eps},
    };
    return check_agreement(path, sizeof fields / sizeof fields[0], fields, error);
}

/* What shapes do not show (heads, the rotary base) is compared with the config.json beside the
 * weights, if there is one. */
static bool check_config(const assay_stack *stack, const assay_weights *weights, assay_error *error)
{
    char path[PATH_MAX];
    struct stat info;
    assay_stack theirs = {.kind = stack->kind};
    const char *file = assay_weights_path(weights), *slash = strrchr(file, '/');
    int folder = slash ? (int)(slash - file + 1) : 0;
    if (snprintf(path, sizeof path, "%.*sconfig.json", folder, file) >= PATH_MAX ||
        stat(path, &info) != 0)
        return true;
    if (stack->kind == ASSAY_STACK_DECODER)
        return assay_decoder_config_read(path, &theirs.config.decoder, error) &&
               check_decoder(path, &stack->config.decoder, &theirs.config.decoder, error);
    return assay_bert_config_read(path, &theirs.config.bert, error) &&
           check_bert(path, &stack->config.bert, &theirs.config.bert, error);
}

/* ---- loading ---- */

/* Whether a tensor that the stack does not take is a part of some stack of its kind: of more
 * layers, say; what else there is serves another purpose. */
static bool belongs_to_stack(const assay_stack *stack, const naming *how, const char *name)
{
    if (stack->kind == ASSAY_STACK_BERT)
        return begins_with(name, assay_text("%sencoder.", how->base)) ||
               (begins_with(name, assay_text("%sembeddings.", how->base)) &&
                !ends_with(name, ".position_ids"));
    return begins_with(name, how->bare ? "layers." : "model.layers.") &&
           !ends_with(name, ".inv_freq");
}

static bool is_taken(const assay_stored *const *taken, int64_t count, const assay_stored *stored)
{
    for (int64_t i = 0; i < count; i++)
        if (taken[i] == stored)
            return true;
    return false;
}

static bool check_rest(const assay_stack *stack, const naming *how, const assay_weights *weights,
                       const assay_stored *const *taken, assay_stack_report *report,
                       assay_error *error)
{
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        if (is_taken(taken, stack->count, stored))
            continue;
        if (belongs_to_stack(stack, how, stored->name))
            return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                              .where = assay_text("%.120s: tensor %.120s",
                                                  assay_weights_path(weights), stored->name),
                              .what = "the stack has no parameter for it",
                              .hint = "the weights are of a larger model or of another family");
        if (report->ignored++ == 0)
            snprintf(report->first_ignored, sizeof report->first_ignored, "%s", stored->name);
    }
    return true;
}

/* Finds every parameter's tensor and checks that it fits. */
static bool find_tensors(const assay_params *params, const assay_stack *stack, const naming *how,
                         const assay_weights *weights, const assay_stored **taken,
                         assay_error *error)
{
    for (int64_t i = 0; i < stack->count; i++) {
        assay_error own = {0};
        const char *name = stored_name(how, own_name(params, stack, stack->first + i));
        taken[i] = assay_weights_get(weights, name, error);
        if (!taken[i])
            return false;
        if (!stored_fits(taken[i], assay_params_at(params, stack->first + i)->value, &own))
            return ASSAY_FAIL(
                error, own.code,
                .where = assay_text("%.120s: %.120s", assay_weights_path(weights), own.where),
                .what = own.what, .expected = own.expected, .got = own.got,
                .hint = "the weights are of another model or size");
    }
    return true;
}

bool assay_stack_load(assay_params *params, const assay_stack *stack, const char *path,
                      assay_stack_report *report, assay_error *error)
{
    bool ok = false;
    int64_t bytes = 0;
    assay_stack_report own = {0};
    const assay_stored **taken = NULL;
    assay_weights *weights = NULL;
    if (stack->kind != ASSAY_STACK_DECODER && stack->kind != ASSAY_STACK_BERT)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = path,
                          .what = "published weights of this kind of stack are not read");
    weights = assay_weights_open(path, error);
    if (!weights || !assay_size_mul(&bytes, stack->count, (int64_t)sizeof *taken))
        goto done;
    taken = assay_alloc(bytes, error);
    naming how = naming_of(stack, weights);
    if (!taken || !check_config(stack, weights, error) ||
        !find_tensors(params, stack, &how, weights, taken, error) ||
        !check_rest(stack, &how, weights, taken, &own, error))
        goto done;
    for (int64_t i = 0; i < stack->count && !assay_params_counting(params); i++)
        if (!assay_stored_read(taken[i], assay_params_at(params, stack->first + i)->value, error))
            goto done;
    own.loaded = stack->count;
    if (report)
        *report = own;
    ok = true;
done:
    assay_free(taken);
    assay_weights_close(weights);
    return ok;
}

/* ---- saving ---- */

bool stored_make_folder(const char *folder, assay_error *error)
{
    return mkdir(folder, 0777) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot make the folder",
                      .got = assay_text("%m"));
}

static bool save_config(const assay_stack *stack, const char *folder, assay_stored_dtype dtype,
                        assay_error *error)
{
    static const char *const names[] = {[ASSAY_STORED_F32] = "float32",
                                        [ASSAY_STORED_F16] = "float16",
                                        [ASSAY_STORED_BF16] = "bfloat16"};
    char path[PATH_MAX];
    char *text = assay_stack_config_text(stack, names[dtype], error);
    if (!text)
        return false;
    snprintf(path, sizeof path, "%s/config.json", folder);
    bool ok = assay_publish(path, text, (int64_t)strlen(text), error);
    assay_free(text);
    return ok;
}

bool assay_stack_save(const assay_params *params, const assay_stack *stack, const char *folder,
                      const assay_weights_options *options, assay_error *error)
{
    static const assay_weights_options standard = {.dtype = ASSAY_STORED_F32};
    options = options ? options : &standard;
    const assay_decoder_config *decoder = &stack->config.decoder;
    int64_t bytes = 0;
    bool bare = stack->kind == ASSAY_STACK_DECODER && !decoder->tied_head && !decoder->has_head;
    if (strlen(folder) > PATH_MAX - 64)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
    if (!assay_size_mul(&bytes, stack->count, (int64_t)sizeof(assay_weights_item)) ||
        !stored_make_folder(folder, error))
        return false;
    assay_weights_item *items = assay_alloc(bytes, error);
    if (!items)
        return false;
    for (int64_t i = 0; i < stack->count; i++) {
        const char *name = own_name(params, stack, stack->first + i);
        items[i] = (assay_weights_item){bare && begins_with(name, "model.") ? name + 6 : name,
                                        assay_params_at(params, stack->first + i)->value};
    }
    bool ok = assay_weights_write_folder(folder, stack->count, items, options, error) &&
              save_config(stack, folder, options->dtype, error);
    assay_free(items);
    return ok;
}
