/* net.c - the small decoder of net.h. */
#include "net.h"

#include <math.h>

enum { TABLE, FINAL_NORM, FIRST_LAYER };
enum { NORM_1, QKV, OUT, NORM_2, GATE, UP, DOWN };

#define HEADS    4
#define KV_HEADS 2
#define HEAD     (NET_WIDTH / HEADS)
#define INNER    (2 * NET_WIDTH)

static assay_tensor *parameter(int index, assay_error *error)
{
    static const int64_t shapes[NET_PER_LAYER][2] = {
        [NORM_1] = {NET_WIDTH, 0},      [QKV] = {(HEADS + 2 * KV_HEADS) * HEAD, NET_WIDTH},
        [OUT] = {NET_WIDTH, NET_WIDTH}, [NORM_2] = {NET_WIDTH, 0},
        [GATE] = {INNER, NET_WIDTH},    [UP] = {INNER, NET_WIDTH},
        [DOWN] = {NET_WIDTH, INNER},
    };
    static const int64_t table[] = {NET_CLASSES, NET_WIDTH};
    int kind = (index - FIRST_LAYER) % NET_PER_LAYER;
    const int64_t *shape = index == TABLE        ? table
                           : index == FINAL_NORM ? shapes[NORM_1]
                                                 : shapes[kind];
    assay_tensor *p = assay_tensor_new(ASSAY_F32, shape[1] ? 2 : 1, shape, error);
    assay_stream stream = assay_stream_of(1, "net", (uint64_t)index);
    float deviation = 1.0f / sqrtf((float)NET_WIDTH);
    if (!p)
        return NULL;
    for (int64_t i = 0; i < assay_tensor_count(p); i++)
        assay_f32(p)[i] =
            (shape[1] ? 0.0f : 1.0f) + deviation * assay_random_normal(stream, (uint64_t)i);
    if (!assay_tensor_want_grad(p, error)) {
        assay_tensor_free(p);
        return NULL;
    }
    return p;
}

static assay_tensor *integers(int rank, const int64_t *shape, uint64_t purpose, int64_t below,
                              assay_error *error)
{
    assay_tensor *t = assay_tensor_new(ASSAY_I32, rank, shape, error);
    assay_stream stream = assay_stream_of(2, "net integers", purpose);
    for (int64_t i = 0; t && i < assay_tensor_count(t); i++)
        assay_i32(t)[i] = (int32_t)assay_random_below(stream, (uint64_t)i, below);
    return t;
}

net *net_new(assay_error *error)
{
    net *n = assay_zalloc((int64_t)sizeof *n, error);
    if (!n)
        return NULL;
    for (int i = 0; i < NET_PARAMETERS; i++)
        if (!(n->parameters[i] = parameter(i, error)))
            goto fail;
    n->rotary = assay_rotary_new(NET_TOKENS, HEAD, 10000.0, error);
    n->ids = integers(2, (const int64_t[]){NET_BATCH, NET_TOKENS}, 0, NET_CLASSES, error);
    n->targets = integers(1, (const int64_t[]){NET_BATCH * NET_TOKENS}, 1, NET_CLASSES, error);
    n->lengths = integers(1, (const int64_t[]){NET_BATCH}, 2, NET_TOKENS, error);
    if (!n->rotary || !n->ids || !n->targets || !n->lengths)
        goto fail;
    for (int i = 0; i < NET_BATCH * NET_TOKENS; i++)
        if (i % NET_TOKENS >= assay_i32(n->lengths)[i / NET_TOKENS])
            assay_i32(n->targets)[i] = ASSAY_IGNORE;
    return n;
fail:
    net_free(n);
    return NULL;
}

void net_free(net *n)
{
    if (!n)
        return;
    for (int i = 0; i < NET_PARAMETERS; i++)
        assay_tensor_free(n->parameters[i]);
    assay_rotary_free(n->rotary);
    assay_tensor_free(n->ids);
    assay_tensor_free(n->targets);
    assay_tensor_free(n->lengths);
    assay_free(n);
}

static assay_tensor *layer(assay_tape *tape, const net *n, int index, assay_tensor *x)
{
    assay_tensor *const *w = n->parameters + FIRST_LAYER + index * NET_PER_LAYER;
    assay_tensor *h = assay_rms_norm(tape, x, w[NORM_1], 1e-6f);
    assay_attention_args args = {.qkv = assay_linear(tape, h, w[QKV], NULL, ASSAY_IDENTITY),
                                 .heads = HEADS,
                                 .kv_heads = KV_HEADS,
                                 .rotary = n->rotary,
                                 .lengths = n->lengths,
                                 .bias = assay_bias_causal()};
    h = assay_linear(tape, assay_attention(tape, &args), w[OUT], NULL, ASSAY_IDENTITY);
    x = assay_add(tape, x, assay_dropout(tape, h, 0.1f, index ? "layers.1" : "layers.0"));
    h = assay_rms_norm(tape, x, w[NORM_2], 1e-6f);
    x = assay_add(tape, x, assay_gated_mlp(tape, h, w[GATE], w[UP], w[DOWN]));
    return assay_state(tape, index ? "layers.1" : "layers.0", x);
}

assay_tensor *net_loss(assay_tape *tape, const net *n)
{
    assay_tensor *x = assay_embedding(tape, n->parameters[TABLE], n->ids);
    x = assay_state(tape, "embeddings", x);
    for (int i = 0; i < NET_LAYERS; i++)
        x = layer(tape, n, i, x);
    x = assay_rms_norm(tape, x, n->parameters[FINAL_NORM], 1e-6f);
    return assay_cross_entropy_head(tape, x, n->parameters[TABLE], n->targets, ASSAY_MEAN);
}

void net_clear(net *n)
{
    for (int i = 0; i < NET_PARAMETERS; i++)
        n->parameters[i]->has_grad = false;
}
