/* model_toy_encoder.c - a decoder of a few thousand parameters with two towers, for the lab's
 * tests.
 *
 * Tower "user": [front tokens] history [readout tokens] READ; tower "answer": answer READ. The
 * state at READ is the embedding. Tokens of others stand as READ in the ids; embed puts their
 * vectors there. */
#include <assay/blocks.h>
#include <assay/model.h>

#include <stdio.h>
#include <string.h>

#define READ 0

typedef struct options {
    int64_t vocabulary, width, layers, heads, positions;
    double dropout;
    const char *forgets;
} options;

static const assay_option table[] = {
    ASSAY_INTEGER(options, vocabulary, "tokens", 16, 4, 1 << 20, "of the dataset"),
    ASSAY_INTEGER(options, width, "", 16, 4, 4096, "of the states; a multiple of 2 heads"),
    ASSAY_INTEGER(options, layers, "", 1, 1, 64, "blocks"),
    ASSAY_INTEGER(options, heads, "", 2, 1, 64, "attention heads"),
    ASSAY_INTEGER(options, positions, "tokens", 32, 4, 4096, "longest sequence"),
    ASSAY_NUMBER(options, dropout, "fraction", 0.0, 0.0, 0.9, "of the input embeddings"),
    ASSAY_TEXT(options, forgets, "", "an output that is promised and not given"),
};

typedef struct toy {
    options o;
    assay_extra_tokens extra;
    assay_decoder *decoder;
    int ids, answer; /* fields of the dataset */
} toy;

/* What collate makes, by tower. */
typedef struct content {
    assay_tensor *ids[2];     /* i32 (B, T) */
    assay_tensor *targets[2]; /* i32 (B, T) */
    assay_tensor *read[2];    /* i32 (B): rows of (B T, D) that are read */
    assay_tensor *insert;     /* i32 (B T): rows of [states; front; readout]; NULL: none */
} content;

static const char *const towers[] = {"user", "answer"};

static void toy_close(void *model)
{
    toy *t = model;
    assay_decoder_free(t->decoder);
    assay_free(t);
}

static void *toy_open(const void *settings, const assay_model_setup *setup, assay_error *error)
{
    toy *t = assay_zalloc((int64_t)sizeof *t, error);
    if (!t)
        return NULL;
    t->o = *(const options *)settings;
    t->extra = setup->extra;
    t->ids = assay_data_field(setup->data, "ids");
    t->answer = assay_data_field(setup->data, "answer");
    if (t->ids < 0 || t->answer < 0) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "model.toy_encoder",
                   .what = "the dataset has no ids and answers",
                   .expected = "fields 'ids' and 'answer'", .got = setup->data->name);
        toy_close(t);
        return NULL;
    }
    assay_decoder_config config = {
        .vocabulary = t->o.vocabulary,
        .width = t->o.width,
        .layers = t->o.layers,
        .heads = t->o.heads,
        .kv_heads = t->o.heads,
        .head_width = t->o.width / t->o.heads,
        .mlp_width = 2 * t->o.width,
        .positions = t->o.positions,
        .rope_base = 10000,
        .norm_eps = 1e-6f,
        .qkv_bias = true,
        .tied_head = true,
        .has_head = true,
        .init_sd = 0.1f,
    };
    t->decoder = assay_decoder_new(setup->params, NULL, &config, error);
    if (!t->decoder) {
        toy_close(t);
        return NULL;
    }
    return t;
}

static void toy_facts(void *model, assay_model_facts *out)
{
    static const char *const outputs[] = {"user.embedding", "user.states",      "user.targets",
                                          "user.head",      "answer.embedding", "answer.states",
                                          "answer.targets", "answer.head"};
    static const assay_part parts[] = {{"embeddings", "model.embed_tokens."},
                                       {"blocks", "model.layers."}};
    const options *o = &((toy *)model)->o;
    double per_token = (double)o->layers * 2.0 * (4.0 + 6.0) * (double)(o->width * o->width);
    *out = (assay_model_facts){
        .size = sizeof *out,
        .width = o->width,
        .layers = o->layers,
        .heads = o->heads,
        .tokens = o->positions,
        .flops = per_token * (double)o->positions,
        .activation_bytes = 4.0 * 12.0 * (double)(o->positions * o->width * o->layers),
        .output_count = 8,
        .part_count = 2,
        .outputs = outputs,
        .parts = parts,
    };
}

/* ---- collate ---- */

typedef struct layout { /* of one tower of one batch */
    int64_t rows, tokens, front, readout;
    int32_t *ids, *targets, *read, *lengths, *span, *position;
} layout;

static void lay_row(const layout *l, int64_t b, const int32_t *ids, int64_t n)
{
    int64_t begin = l->front, end = begin + n, last = end + l->readout;
    int32_t *row = l->ids + b * l->tokens, *target = l->targets + b * l->tokens;
    for (int64_t i = 0; i < l->tokens; i++) {
        row[i] = i >= begin && i < end ? ids[i - begin] : READ;
        target[i] = i >= begin && i + 1 < end ? ids[i + 1 - begin] : ASSAY_IGNORE;
    }
    l->lengths[b] = (int32_t)(last + 1);
    l->span[2 * b] = (int32_t)begin;
    l->span[2 * b + 1] = (int32_t)end;
    l->position[b] = (int32_t)last;
    l->read[b] = (int32_t)(b * l->tokens + last);
}

/* Where each row of the embeddings comes from: itself, or the vectors behind them. */
static assay_tensor *lay_inserts(const assay_collation *in, const layout *l, assay_error *error)
{
    int64_t count = l->rows * l->tokens;
    assay_tensor *index = assay_tensor_in(in->arena, ASSAY_I32, 1, &count, error);
    for (int64_t i = 0; index && i < count; i++) {
        int64_t at = i % l->tokens, first_readout = l->position[i / l->tokens] - l->readout;
        int64_t from = i;
        if (at < l->front)
            from = count + at;
        else if (at >= first_readout && at < first_readout + l->readout)
            from = count + l->front + at - first_readout;
        assay_i32(index)[i] = (int32_t)from;
    }
    return index;
}

static bool collate_tower(const toy *t, const assay_collation *in, int which, assay_batch *out,
                          assay_error *error)
{
    int field = which == 0 ? t->ids : t->answer;
    content *c = out->content;
    layout l = {.rows = in->count};
    if (which == 0) {
        l.front = t->extra.front;
        l.readout = t->extra.readout;
    }
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = &in->samples[b].values[field];
        if (value->present && value->shape[0] > l.tokens)
            l.tokens = value->shape[0];
    }
    l.tokens += l.front + l.readout + 1;
    assay_tensor *lengths = assay_tensor_in(in->arena, ASSAY_I32, 1, &l.rows, error);
    assay_tensor *span = assay_tensor_in(in->arena, ASSAY_I32, 2, (int64_t[]){l.rows, 2}, error);
    assay_tensor *position = assay_tensor_in(in->arena, ASSAY_I32, 1, &l.rows, error);
    c->read[which] = assay_tensor_in(in->arena, ASSAY_I32, 1, &l.rows, error);
    int64_t shape[] = {l.rows, l.tokens};
    c->ids[which] = assay_tensor_in(in->arena, ASSAY_I32, 2, shape, error);
    c->targets[which] = assay_tensor_in(in->arena, ASSAY_I32, 2, shape, error);
    if (!lengths || !span || !position || !c->read[which] || !c->ids[which] || !c->targets[which])
        return false;
    l.ids = assay_i32(c->ids[which]);
    l.targets = assay_i32(c->targets[which]);
    l.read = assay_i32(c->read[which]);
    l.lengths = assay_i32(lengths);
    l.span = assay_i32(span);
    l.position = assay_i32(position);
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = &in->samples[b].values[field];
        lay_row(&l, b, value->data, value->present ? value->shape[0] : 0);
        out->tokens += l.lengths[b];
    }
    if (which == 0 && l.front + l.readout > 0) {
        c->insert = lay_inserts(in, &l, error);
        if (!c->insert)
            return false;
    }
    out->towers[out->tower_count++] = (assay_tower){
        .name = towers[which],
        .rows = l.rows,
        .tokens = l.tokens,
        .lengths = lengths,
        .span = which == 0 ? span : NULL,
        .readout = position,
    };
    return true;
}

static bool toy_collate(void *model, const assay_collation *in, assay_batch *out,
                        assay_error *error)
{
    content *c = assay_arena_alloc(in->arena, (int64_t)sizeof *c, error);
    if (!c)
        return false;
    memset(c, 0, sizeof *c);
    out->content = c;
    for (int which = 0; which < 2; which++)
        if (assay_wants_tower(in->wanted, towers[which]) &&
            !collate_tower(model, in, which, out, error))
            return false;
    return true;
}

/* ---- passes ---- */

static int tower_of(const assay_batch *batch, int tower)
{
    return assay_same_text(batch->towers[tower].name, towers[0]) ? 0 : 1;
}

static assay_tensor *toy_embed(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                               const assay_insert *insert)
{
    const toy *t = model;
    const content *c = batch->content;
    int which = tower_of(batch, tower);
    assay_tensor *x = assay_decoder_embed(tape, t->decoder, c->ids[which]);
    if (which == 0 && c->insert) {
        int64_t rows = batch->towers[tower].rows * batch->towers[tower].tokens, d = t->o.width;
        assay_tensor *all[3] = {assay_reshape(tape, x, 2, (int64_t[]){rows, d})};
        int n = 1;
        if (t->extra.front > 0)
            all[n++] = insert->front;
        if (t->extra.readout > 0)
            all[n++] = insert->readout;
        x = assay_gather(tape, assay_concat(tape, n, all, 0), c->insert);
        x = assay_reshape(tape, x, 3,
                          (int64_t[]){batch->towers[tower].rows, batch->towers[tower].tokens, d});
    }
    return assay_dropout(tape, x, (float)t->o.dropout,
                         which == 0 ? "dropout/user" : "dropout/answer");
}

static void put(const toy *t, assay_outputs *out, const assay_wanted *wanted, int which,
                const char *what, assay_tensor *tensor)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", towers[which], what);
    if (strcmp(name, t->o.forgets) != 0)
        assay_outputs_put(out, wanted, name, tensor);
}

static bool toy_forward(void *model, assay_tape *tape, const assay_batch *batch, int tower,
                        assay_tensor *x, const assay_attention_bias *bias,
                        const assay_wanted *wanted, assay_outputs *out)
{
    const toy *t = model;
    const content *c = batch->content;
    const assay_tower *at = &batch->towers[tower];
    int which = tower_of(batch, tower);
    assay_tensor *states = assay_decoder_forward(tape, t->decoder, x, at->lengths, bias);
    assay_tensor *flat =
        assay_reshape(tape, states, 2, (int64_t[]){at->rows * at->tokens, t->o.width});
    assay_tensor *embedding = assay_cast(tape, assay_gather(tape, flat, c->read[which]), ASSAY_F32);
    if (!embedding)
        return false;
    put(t, out, wanted, which, "embedding", embedding);
    put(t, out, wanted, which, "states", states);
    put(t, out, wanted, which, "targets", c->targets[which]);
    put(t, out, wanted, which, "head", assay_decoder_head(t->decoder));
    return true;
}

/* Embeddings 0, blocks from 1, the rest behind them. */
static int64_t toy_depth(void *model, const char *parameter)
{
    const toy *t = model;
    long long layer = 0;
    if (strncmp(parameter, "model.embed_tokens.", 19) == 0)
        return 0;
    if (sscanf(parameter, "model.layers.%lld.", &layer) == 1)
        return layer + 1;
    return t->o.layers + 1;
}

static const char *const losses[] = {"toy_contrast", NULL};
static const char *const evaluators[] = {"toy_probe", NULL};

static const assay_model_functions functions = {
    .size = sizeof functions,
    .default_losses = losses,
    .default_evaluators = evaluators,
    .open = toy_open,
    .close = toy_close,
    .facts = toy_facts,
    .collate = toy_collate,
    .embed = toy_embed,
    .forward = toy_forward,
    .depth = toy_depth,
};

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "toy_encoder", 1, "a decoder of a few thousand parameters", options,
             table, functions);
