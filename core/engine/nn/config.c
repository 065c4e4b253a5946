/* config.c - configurations of the stacks: which ones describe a model at all, and how a published
 * config.json is read. A field that would change the model and is not implemented is an error. */
#include "engine/nn/build.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <jansson.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- checks ---- */

typedef struct size_rule {
    const char *field;
    int64_t value;
} size_rule;

static bool check_sizes(const char *where, int n, const size_rule *rules, assay_error *error)
{
    for (int i = 0; i < n; i++)
        if (rules[i].value < 1 || rules[i].value > INT32_MAX)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                              .what = assay_text("%s is out of range", rules[i].field),
                              .expected = assay_text("1 to %d", INT32_MAX),
                              .got = assay_text("%" PRId64, rules[i].value));
    return true;
}

static bool check_divides(const char *where, const char *whole, int64_t n, const char *part,
                          int64_t d, assay_error *error)
{
    if (n % d == 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                      .what = assay_text("%s does not divide %s", part, whole),
                      .got = assay_text("%s %" PRId64 ", %s %" PRId64, whole, n, part, d));
}

/* A range is left out by a NaN too. */
static bool check_range(const char *where, const char *field, double value, double low, double high,
                        assay_error *error)
{
    if (value >= low && value <= high)
        return true;
    return ASSAY_FAIL(
        error, ASSAY_BAD_INPUT, .where = where, .what = assay_text("%s is out of range", field),
        .expected = assay_text("%g to %g", low, high), .got = assay_text("%g", value));
}

bool nn_decoder_config_check(const assay_decoder_config *c, const char *where, assay_error *error)
{
    const size_rule sizes[] = {
        {"vocabulary", c->vocabulary}, {"width", c->width},         {"layers", c->layers},
        {"heads", c->heads},           {"kv_heads", c->kv_heads},   {"head_width", c->head_width},
        {"mlp_width", c->mlp_width},   {"positions", c->positions},
    };
    return check_sizes(where, sizeof sizes / sizeof sizes[0], sizes, error) &&
           check_divides(where, "heads", c->heads, "kv_heads", c->kv_heads, error) &&
           check_divides(where, "head_width", c->head_width, "2", 2, error) &&
           check_range(where, "rope_base", c->rope_base, 1, 1e30, error) &&
           check_range(where, "norm_eps", (double)c->norm_eps, 0, 1, error) &&
           check_range(where, "init_sd", (double)c->init_sd, 0, 1e3, error);
}

bool nn_bert_config_check(const assay_bert_config *c, const char *where, assay_error *error)
{
    const size_rule sizes[] = {
        {"vocabulary", c->vocabulary}, {"width", c->width},         {"layers", c->layers},
        {"heads", c->heads},           {"mlp_width", c->mlp_width}, {"positions", c->positions},
        {"types", c->types},
    };
    return check_sizes(where, sizeof sizes / sizeof sizes[0], sizes, error) &&
           check_divides(where, "width", c->width, "heads", c->heads, error) &&
           check_range(where, "norm_eps", (double)c->norm_eps, 0, 1, error) &&
           check_range(where, "dropout", (double)c->dropout, 0, 0.999, error) &&
           check_range(where, "init_sd", (double)c->init_sd, 0, 1e3, error);
}

bool nn_vit_config_check(const assay_vit_config *c, const char *where, assay_error *error)
{
    const size_rule sizes[] = {
        {"width", c->width},         {"layers", c->layers}, {"heads", c->heads},
        {"mlp_width", c->mlp_width}, {"patch", c->patch},   {"image", c->image},
        {"channels", c->channels},
    };
    int count = (int)(sizeof sizes / sizeof sizes[0]) - (c->blocks_only ? 3 : 0);
    if (!check_sizes(where, count, sizes, error) ||
        !check_divides(where, "width", c->width, "heads", c->heads, error) ||
        !check_range(where, "last_heads", (double)c->last_heads, 0, (double)c->width, error) ||
        (c->last_heads > 0 &&
         !check_divides(where, "width", c->width, "last_heads", c->last_heads, error)) ||
        !check_range(where, "norm_eps", (double)c->norm_eps, 0, 1, error) ||
        !check_range(where, "drop_path", (double)c->drop_path, 0, 0.999, error))
        return false;
    if (c->blocks_only && c->relative_bias)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "a relative bias needs the grid of patches",
                          .hint = "relative_bias and blocks_only exclude each other");
    return c->blocks_only || (check_divides(where, "width", c->width, "4", 4, error) &&
                              check_divides(where, "image", c->image, "patch", c->patch, error));
}

/* ---- reading fields ---- */

/* A document being read. The first failure is kept in *error; later reads give their fallback. */
typedef struct reader {
    const char *path;
    const json_t *root;
    assay_error *error;
    bool failed;
} reader;

static void fail(reader *r, assay_code code, const char *field, const char *what,
                 const char *expected, const json_t *got)
{
    char *text = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    ASSAY_FAIL(r->error, code, .where = assay_text("%.180s: %s", r->path, field), .what = what,
               .expected = expected, .got = text ? text : "nothing");
    free(text);
    r->failed = true;
}

/* The field's value; NULL when it is absent or null. */
static const json_t *find(const reader *r, const char *field)
{
    const json_t *value = json_object_get(r->root, field);
    return json_is_null(value) ? NULL : value;
}

static int64_t read_size(reader *r, const char *field)
{
    const json_t *value = find(r, field);
    if (json_is_integer(value) && json_integer_value(value) >= 1 &&
        json_integer_value(value) <= INT32_MAX)
        return json_integer_value(value);
    fail(r, ASSAY_BAD_FILE, field, value ? "no size" : "a size is missing",
         assay_text("a whole number, 1 to %d", INT32_MAX), value);
    return 1;
}

static int64_t read_size_or(reader *r, const char *field, int64_t fallback)
{
    return find(r, field) ? read_size(r, field) : fallback;
}

static double read_number_or(reader *r, const char *field, double fallback)
{
    const json_t *value = find(r, field);
    if (!value)
        return fallback;
    if (!json_is_number(value)) {
        fail(r, ASSAY_BAD_FILE, field, "no number", "a number", value);
        return fallback;
    }
    return json_number_value(value);
}

static bool read_bool_or(reader *r, const char *field, bool fallback)
{
    const json_t *value = find(r, field);
    if (!value)
        return fallback;
    if (!json_is_boolean(value)) {
        fail(r, ASSAY_BAD_FILE, field, "neither true nor false", "true or false", value);
        return fallback;
    }
    return json_is_true(value);
}

/* Whether the field is the string `wanted`. */
static bool is_text(const reader *r, const char *field, const char *wanted)
{
    const char *text = json_string_value(find(r, field));
    return text && strcmp(text, wanted) == 0;
}

/* ---- refusing what would change the model ---- */

static void require_text(reader *r, const char *field, const char *only)
{
    if (!is_text(r, field, only))
        fail(r, ASSAY_UNSUPPORTED, field, "this stack does not implement it", only, find(r, field));
}

static void require_false(reader *r, const char *field)
{
    if (read_bool_or(r, field, false))
        fail(r, ASSAY_UNSUPPORTED, field, "this stack does not implement it", "false or absent",
             find(r, field));
}

/* ---- files ---- */

/* The document, owned (json_decref); NULL with *error set. */
static json_t *parse_json(const char *text, int64_t bytes, const char *path, assay_error *error)
{
    json_error_t why;
    json_t *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(root))
        return root;
    ASSAY_FAIL(error, ASSAY_BAD_FILE,
               .where = root ? path : assay_text("%.200s:%d", path, why.line),
               .what = root ? "the document is no object" : why.text,
               .expected = "a JSON object of configuration fields");
    json_decref(root);
    return NULL;
}

/* Rotary positions: rope_theta by itself or, newer, in rope_parameters (which transformers writes
 * since its version 5); any other way of scaling them is not implemented. */
static double read_rope_base(reader *r)
{
    static const char *const places[] = {"rope_parameters", "rope_scaling"};
    double base = read_number_or(r, "rope_theta", 10000);
    for (int i = 0; i < 2; i++) {
        const json_t *rope = find(r, places[i]);
        if (!rope)
            continue;
        const char *type = json_string_value(json_object_get(rope, "rope_type"));
        const json_t *theta = json_object_get(rope, "rope_theta");
        type = type ? type : json_string_value(json_object_get(rope, "type"));
        if (!json_is_object(rope) || (type && strcmp(type, "default") != 0))
            fail(r, ASSAY_UNSUPPORTED, places[i], "this stack does not implement it",
                 "rope_type \"default\", null or absent", rope);
        else if (json_is_number(theta))
            base = json_number_value(theta);
    }
    return base;
}

/* A model that was saved without its head: architectures is ["Qwen2Model"]. */
static bool names_bare_model(const reader *r)
{
    const char *name = json_string_value(json_array_get(find(r, "architectures"), 0));
    size_t length = name ? strlen(name) : 0;
    return length > 5 && strcmp(name + length - 5, "Model") == 0;
}

/* "sliding_attention" in a layer's type. */
static void require_full_layers(reader *r)
{
    const json_t *types = find(r, "layer_types");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, "full_attention") != 0)
            fail(r, ASSAY_UNSUPPORTED, "layer_types", "this stack does not implement it",
                 "\"full_attention\" in every layer", json_array_get(types, i));
    }
}

static void read_decoder(reader *r, assay_decoder_config *c)
{
    bool qwen = is_text(r, "model_type", "qwen2");
    if (!qwen && !is_text(r, "model_type", "llama"))
        fail(r, ASSAY_UNSUPPORTED, "model_type", "this stack does not implement it",
             "\"qwen2\" or \"llama\"", find(r, "model_type"));
    if (find(r, "hidden_act"))
        require_text(r, "hidden_act", "silu");
    require_full_layers(r);
    require_false(r, "use_sliding_window");
    require_false(r, "attention_bias");
    require_false(r, "mlp_bias");
    c->vocabulary = read_size(r, "vocab_size");
    c->width = read_size(r, "hidden_size");
    c->layers = read_size(r, "num_hidden_layers");
    c->heads = read_size(r, "num_attention_heads");
    /* Absent, it is 32 in transformers' Qwen2; null there and in every other way it is `heads`. */
    c->kv_heads =
        read_size_or(r, "num_key_value_heads",
                     qwen && !json_object_get(r->root, "num_key_value_heads") ? 32 : c->heads);
    if (!find(r, "head_dim") && c->width % c->heads != 0)
        fail(r, ASSAY_BAD_FILE, "head_dim", "missing, and hidden_size is no multiple of the heads",
             "a whole number", NULL);
    c->head_width = read_size_or(r, "head_dim", c->width / c->heads);
    c->mlp_width = read_size(r, "intermediate_size");
    c->positions = read_size_or(r, "max_position_embeddings", qwen ? 32768 : 2048);
    c->rope_base = read_rope_base(r);
    c->norm_eps = (float)read_number_or(r, "rms_norm_eps", 1e-6);
    c->init_sd = (float)read_number_or(r, "initializer_range", 0.02);
    c->tied_head = read_bool_or(r, "tie_word_embeddings", false);
    c->qkv_bias = qwen;
    c->has_head = c->tied_head || !names_bare_model(r);
}

static void read_bert(reader *r, assay_bert_config *c)
{
    require_text(r, "model_type", "bert");
    if (find(r, "hidden_act"))
        require_text(r, "hidden_act", "gelu");
    require_false(r, "is_decoder");
    require_false(r, "add_cross_attention");
    if (find(r, "position_embedding_type"))
        require_text(r, "position_embedding_type", "absolute");
    c->vocabulary = read_size(r, "vocab_size");
    c->width = read_size(r, "hidden_size");
    c->layers = read_size(r, "num_hidden_layers");
    c->heads = read_size(r, "num_attention_heads");
    c->mlp_width = read_size(r, "intermediate_size");
    c->positions = read_size(r, "max_position_embeddings");
    c->types = read_size_or(r, "type_vocab_size", 2);
    c->norm_eps = (float)read_number_or(r, "layer_norm_eps", 1e-12);
    c->dropout = (float)read_number_or(r, "hidden_dropout_prob", 0.1);
    c->init_sd = (float)read_number_or(r, "initializer_range", 0.02);
}

/* ---- whole documents ---- */

bool assay_stack_config_parse(assay_stack *stack, const char *text, const char *where,
                              assay_error *error)
{
    assay_stack read = *stack;
    assay_error own = {0};
    error = error ? error : &own;
    json_t *root = parse_json(text, (int64_t)strlen(text), where, error);
    if (!root)
        return false;
    reader r = {.path = where, .root = root, .error = error};
    if (stack->kind == ASSAY_STACK_DECODER)
        read_decoder(&r, &read.config.decoder);
    else if (stack->kind == ASSAY_STACK_BERT)
        read_bert(&r, &read.config.bert);
    else
        r.failed = !ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = where,
                               .what = "a config.json of this kind of stack is not read");
    json_decref(root);
    if (r.failed || (stack->kind == ASSAY_STACK_DECODER
                         ? !nn_decoder_config_check(&read.config.decoder, where, error)
                         : !nn_bert_config_check(&read.config.bert, where, error)))
        return false;
    *stack = read;
    return true;
}

static bool read_file(assay_stack *stack, const char *path, assay_error *error)
{
    int64_t bytes = 0;
    char *text = assay_read_file(path, 1 << 20, &bytes, error);
    bool ok = text && ((int64_t)strlen(text) == bytes ||
                       ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                                  .what = "the document holds a NUL byte"));
    ok = ok && assay_stack_config_parse(stack, text, path, error);
    assay_free(text);
    return ok;
}

bool assay_decoder_config_read(const char *path, assay_decoder_config *out, assay_error *error)
{
    assay_stack stack = {.kind = ASSAY_STACK_DECODER};
    if (!read_file(&stack, path, error))
        return false;
    *out = stack.config.decoder;
    return true;
}

bool assay_bert_config_read(const char *path, assay_bert_config *out, assay_error *error)
{
    assay_stack stack = {.kind = ASSAY_STACK_BERT};
    if (!read_file(&stack, path, error))
        return false;
    *out = stack.config.bert;
    return true;
}
