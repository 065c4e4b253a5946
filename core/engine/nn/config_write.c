/* config_write.c - a stack's configuration as the config.json that others read. */
#include "engine/nn/build.h"

#include <assay/memory.h>

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>

/* The shortest decimal number that is this float: 1e-06, not 9.99999997e-07. */
static json_t *short_number(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

/* Sets fields of an object; the object is NULL once any of it failed for want of memory. */
typedef struct writer {
    json_t *object;
} writer;

static void put(writer *w, const char *field, json_t *value)
{
    if (w->object && json_object_set_new(w->object, field, value) == 0)
        return;
    if (!w->object)
        json_decref(value);
    json_decref(w->object);
    w->object = NULL;
}

static void put_size(writer *w, const char *field, int64_t value)
{
    put(w, field, json_integer(value));
}

static void put_decoder(writer *w, const assay_decoder_config *c)
{
    bool head = c->tied_head || c->has_head;
    const char *architecture = c->qkv_bias ? head ? "Qwen2ForCausalLM" : "Qwen2Model"
                               : head      ? "LlamaForCausalLM"
                                           : "LlamaModel";
    put(w, "architectures", json_pack("[s]", architecture));
    put(w, "model_type", json_string(c->qkv_bias ? "qwen2" : "llama"));
    put_size(w, "vocab_size", c->vocabulary);
    put_size(w, "hidden_size", c->width);
    put_size(w, "intermediate_size", c->mlp_width);
    put_size(w, "num_hidden_layers", c->layers);
    put_size(w, "num_attention_heads", c->heads);
    put_size(w, "num_key_value_heads", c->kv_heads);
    put_size(w, "head_dim", c->head_width);
    put_size(w, "max_position_embeddings", c->positions);
    put(w, "hidden_act", json_string("silu"));
    put(w, "rms_norm_eps", short_number(c->norm_eps));
    put(w, "rope_theta", json_real(c->rope_base));
    put(w, "rope_scaling", json_null());
    put(w, "initializer_range", short_number(c->init_sd));
    put(w, "tie_word_embeddings", json_boolean(c->tied_head));
    put(w, "attention_dropout", json_real(0));
    if (c->qkv_bias) {
        put(w, "use_sliding_window", json_false());
    } else {
        put(w, "attention_bias", json_false());
        put(w, "mlp_bias", json_false());
    }
}

/* Attention probabilities are not dropped here, and the file says so. */
static void put_bert(writer *w, const assay_bert_config *c)
{
    put(w, "architectures", json_pack("[s]", "BertModel"));
    put(w, "model_type", json_string("bert"));
    put_size(w, "vocab_size", c->vocabulary);
    put_size(w, "hidden_size", c->width);
    put_size(w, "intermediate_size", c->mlp_width);
    put_size(w, "num_hidden_layers", c->layers);
    put_size(w, "num_attention_heads", c->heads);
    put_size(w, "max_position_embeddings", c->positions);
    put_size(w, "type_vocab_size", c->types);
    put(w, "hidden_act", json_string("gelu"));
    put(w, "layer_norm_eps", short_number(c->norm_eps));
    put(w, "hidden_dropout_prob", short_number(c->dropout));
    put(w, "attention_probs_dropout_prob", json_real(0));
    put(w, "initializer_range", short_number(c->init_sd));
    put(w, "position_embedding_type", json_string("absolute"));
}

char *assay_stack_config_text(const assay_stack *stack, const char *dtype, assay_error *error)
{
    writer w = {.object = json_object()};
    char *text = NULL, *copy = NULL;
    if (stack->kind == ASSAY_STACK_DECODER) {
        put_decoder(&w, &stack->config.decoder);
    } else if (stack->kind == ASSAY_STACK_BERT) {
        put_bert(&w, &stack->config.bert);
    } else {
        ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "config.json",
                   .what = "this kind of stack has no config.json");
        goto done;
    }
    put(&w, "torch_dtype", json_string(dtype));
    text = w.object ? json_dumps(w.object, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    if (text)
        copy = assay_strdup(text, error);
    else
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "config.json", .what = "no memory for it");
done:
    free(text);
    json_decref(w.object);
    return copy;
}
