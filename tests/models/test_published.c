/* test_published.c - published weights, tokenizers and sizes in user_decoder: what is loaded is
 * what the files hold, ids are the published ones, counts are the papers', and what does not fit is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/rig.h"
#include "models/six.h"
#include "user_decoder/user_decoder.h"

#include <assay/weights.h>

static const char *const wanted_names[] = {"user.embedding", "user.targets"};
static const assay_wanted wanted = {2, wanted_names};

static const char *golden(const char *name)
{
    const char *folder = getenv("ASSAY_GOLDEN_HF");
    assert_non_null(folder);
    return assay_text("%s/%s", folder, name);
}

static const char *tokenizer(const char *name)
{
    const char *folder = getenv("ASSAY_TEST_TOKENIZERS");
    assert_non_null(folder);
    return assay_text("%s/%s.json", folder, name);
}

/* Opens the model with what was set; NULL with the error set. */
static void *try_open(use *used, six *d, assay_params *params, bool counting, assay_error *error)
{
    const assay_model_setup setup = {
        .size = sizeof setup, .data = &d->data, .params = params, .seed = 5, .counting = counting};
    return use_model(used)->open(used->options, &setup, error);
}

/* ---- weights ---- */

static void same_tensor(const assay_params *params, const char *parameter,
                        const assay_weights *weights, const char *stored)
{
    assay_error error = {0};
    const assay_parameter *found = assay_params_find(params, parameter);
    const assay_stored *from = assay_weights_get(weights, stored, &error);
    must(found && from, &error);
    assay_tensor *value = assay_stored_tensor(from, ASSAY_F32, &error);
    must(value != NULL, &error);
    assert_true(assay_tensor_same_shape(value, found->value));
    same_bits(assay_f32(found->value), assay_f32(value), assay_tensor_count(value), parameter);
    assay_tensor_free(value);
}

static void a_decoder_starts_from_published_weights(void **state)
{
    static const char *const folders[] = {"qwen2", "llama"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        six d;
        rig r;
        assay_batch batch;
        assay_outputs outputs;
        assay_error error = {0};
        char path[1024];
        snprintf(path, sizeof path, "%s", golden(folders[i]));
        six_open(&d, 3);
        rig_begin_on(&r, &d.data, "causal");
        use_text(&r.model, "decoder", path);
        use_number(&r.model, "words", 24);
        rig_open(&r, 5);
        assay_weights *weights = assay_weights_open(path, &error);
        must(weights != NULL, &error);
        same_tensor(r.params, "model.layers.1.self_attn.k_proj.weight", weights,
                    "model.layers.1.self_attn.k_proj.weight");
        same_tensor(r.params, "model.embed_tokens.weight", weights, "model.embed_tokens.weight");
        if (i == 1)
            same_tensor(r.params, "lm_head.weight", weights, "lm_head.weight");
        assay_weights_close(weights);
        assert_int_equal(r.facts.width, 16);
        assert_int_equal(r.facts.layers, 2);
        const assay_clock clock = rig_training(&r, 0);
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &wanted, &batch, &outputs);
        assert_int_equal(rig_output(&outputs, "user.embedding")->shape[1], 64);
        rig_close(&r);
    }
}

static void every_event_encoder_starts_from_the_same_weights(void **state)
{
    static const char *const folders[] = {"bert", "bert_bare"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        six d;
        rig r;
        assay_error error = {0};
        char path[1024];
        snprintf(path, sizeof path, "%s", golden(folders[i]));
        six_open(&d, 3);
        rig_begin_on(&r, &d.data, "causal");
        use_text(&r.model, "encoder", "bert");
        use_text(&r.model, "encoder_weights", path);
        use_number(&r.model, "words", 24);
        rig_open(&r, 5);
        assay_weights *weights = assay_weights_open(path, &error);
        must(weights != NULL, &error);
        for (int s = 0; s < SIX_SOURCES; s++)
            same_tensor(r.params,
                        assay_text("bert.%s.encoder.layer.1.output.dense.weight", six_names[s]),
                        weights,
                        i == 0 ? "bert.encoder.layer.1.output.dense.weight"
                               : "encoder.layer.1.output.dense.weight");
        assay_weights_close(weights);
        assert_int_equal(assay_params_find(r.params, "encoder.bill.fc2.weight")->value->shape[1],
                         16);
        rig_close(&r);
    }
}

static void weights_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *decoder, *encoder_weights, *option;
        double value;
        const char *what;
    } rows[] = {
        {"qwen2", NULL, "width", 64, "'width' differs from the published"},
        {"qwen2", NULL, "words", 4096, "more ids than rows"},
        {"nowhere", NULL, "words", 24, ""},
        {"bert", NULL, "words", 24, "model_type"},
        {NULL, "bert", "words", 24, "those of a BERT"},
        {NULL, "bert", "encoder", ENCODER_BAG, "those of a BERT"},
        {NULL, "bert", "encoder_layers", 3, "'encoder_layers' differs"},
        {NULL, "bert", "event_words", 31, "more than a BERT's positions"},
        {NULL, "qwen2", "words", 24, "model_type"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        six d;
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_params *params = assay_params_new(1, &error);
        char first[1024], second[1024];
        must(params != NULL, &error);
        six_open(&d, 3);
        for (int b = 0; b < SIX_USERS; b++)
            d.events[b][0] = SIX_EVENTS; /* more than 32 words in all */
        use_number(&used, "min_count", 1);
        if (strcmp(rows[i].option, "words") != 0)
            use_number(&used, "words", 24);
        if (rows[i].decoder) {
            snprintf(first, sizeof first, "%s", golden(rows[i].decoder));
            use_text(&used, "decoder", first);
        }
        if (rows[i].encoder_weights) {
            snprintf(second, sizeof second, "%s", golden(rows[i].encoder_weights));
            use_text(&used, "encoder_weights", second);
            if (i != 4)
                use_text(&used, "encoder", rows[i].value == ENCODER_BAG ? "bag" : "bert");
        }
        if (strcmp(rows[i].option, "encoder") != 0)
            use_number(&used, rows[i].option, rows[i].value);
        if (try_open(&used, &d, params, false, &error))
            fail_msg("row %d is taken", (int)i);
        assert_int_not_equal(error.code, ASSAY_OK);
        if (!strstr(error.what, rows[i].what) && !strstr(error.where, rows[i].what))
            fail_msg("row %d: '%s' (%s), expected '%s'", (int)i, error.what, error.where,
                     rows[i].what);
        assay_params_free(params);
        use_close(&used);
    }
}

/* ---- tokenizers ---- */

static void begin_chat(rig *r, six *d, const char *path)
{
    six_open(d, 3);
    rig_begin_on(r, &d->data, "causal");
    use_text(&r->model, "layout", "chat");
    use_text(&r->model, "tokenizer", path);
}

/* The markers take the ids behind the tokenizer's own, in the published code's order (spec 2.2). */
static void check_markers(const model *m, int32_t first)
{
    static const char *const names[] = {
        "<|bill_pad|>",      "<|minipro_pad|>", "<|spm_pad|>",    "<|sousuo_pad|>",
        "<|app_pad|>",       "<|tabular_pad|>", "<|bill_start|>", "<|bill_end|>",
        "<|minipro_start|>", "<|minipro_end|>", "<|spm_start|>",  "<|spm_end|>",
        "<|sousuo_start|>",  "<|sousuo_end|>",  "<|app_start|>",  "<|app_end|>",
        "<|tabular_start|>", "<|tabular_end|>", "<|user_emb|>"};
    for (int i = 0; i < 19; i++)
        assert_int_equal(lexicon_marker(m->words, names[i], NULL), first + i);
    assert_int_equal(lexicon_size(m->words), first + 19);
}

static void append(const assay_tokenizer *t, const char *text, assay_ids *ids)
{
    assay_error error = {0};
    must(assay_tokenizer_encode(t, text, (int64_t)strlen(text), false, ids, &error), &error);
}

static void check_ids(const content *c, int64_t from, const assay_ids *ids, int64_t at)
{
    for (int64_t i = at; i < ids->count; i++)
        assert_int_equal(assay_i32(c->words)[assay_i32(c->index)[from + i - at]], ids->items[i]);
}

static void a_tokenizers_chat_is_token_by_token_its_own(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_error error = {0};
    assay_ids ids = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s", tokenizer("bpe"));
    begin_chat(&r, &d, path);
    rig_open(&r, 5);
    const model *m = r.opened;
    assay_tokenizer *t = assay_tokenizer_open(path, &error);
    must(t != NULL, &error);
    check_markers(m, (int32_t)assay_tokenizer_size(t));
    assert_int_equal(assay_params_find(r.params, "model.embed_tokens.weight")->value->shape[0],
                     assay_tokenizer_size(t) + 19);
    rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 1, &wanted, &batch);
    const content *c = batch.content;
    const int32_t *span = assay_i32(batch.towers[0].span);
    append(t,
           "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWhat "
           "follows is the record of one user, taken from several sources: payment bills, "
           "installed apps, mini program visits, search queries, page paths and a table of "
           "features.\n",
           &ids);
    assert_int_equal(ids.count, span[0]);
    check_ids(c, 0, &ids, 0);
    int64_t before = ids.count;
    append(t, "\nQuery: What comes next?", &ids);
    check_ids(c, span[1], &ids, before);
    int64_t read = span[1] + ids.count - before;
    assert_int_equal(assay_i32(batch.towers[0].readout)[0], read);
    before = ids.count;
    append(t, "<|im_end|>\n<|im_start|>assistant\nMuch rain comes", &ids);
    check_ids(c, read + 1, &ids, before);
    assert_int_equal(assay_i32(c->lengths)[0], read + 1 + ids.count - before);
    /* The last word predicts the end of the turn. */
    assert_int_equal(assay_i32(c->targets)[assay_i32(c->lengths)[0] - 1],
                     assay_tokenizer_id(t, "<|im_end|>"));
    assay_ids_free(&ids);
    assay_tokenizer_free(t);
    rig_close(&r);
}

static void a_berts_events_stand_between_its_tokens(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_error error = {0};
    assay_ids ids = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s", tokenizer("wordpiece"));
    six_open(&d, 3);
    rig_begin_on(&r, &d.data, "causal");
    use_text(&r.model, "encoder", "bert");
    use_text(&r.model, "encoder_tokenizer", path);
    use_list(&r.model, "event_limits", "4,16,16,16,16");
    rig_open(&r, 5);
    assay_tokenizer *t = assay_tokenizer_open(path, &error);
    must(t != NULL, &error);
    rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 1, &wanted, &batch);
    const content *c = batch.content;
    append(t, "[CLS]app item0x0[SEP]", &ids);
    assert_int_equal(assay_i32(c->texts[1].lengths)[0], ids.count);
    for (int64_t i = 0; i < ids.count; i++)
        assert_int_equal(assay_i32(c->texts[1].ids)[i], ids.items[i]);
    assert_int_equal(assay_i32(c->texts[0].lengths)[0], 6); /* cut, and closed all the same */
    assert_int_equal(assay_i32(c->texts[0].ids)[5], assay_tokenizer_id(t, "[SEP]"));
    assay_ids_free(&ids);
    assay_tokenizer_free(t);
    rig_close(&r);
}

/* A published table without a spare row, as SmolLM2's: the markers get a table of their own. */
static void markers_beyond_the_table_are_the_models_own(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    assay_error error = {0};
    char path[1024], folder[1024], config[1100];
    snprintf(path, sizeof path, "%s", tokenizer("bpe"));
    assay_tokenizer *t = assay_tokenizer_open(path, &error);
    must(t != NULL, &error);
    const int64_t rows = assay_tokenizer_size(t) + 4;
    /* A random decoder of that many rows, saved as a folder. */
    assay_params *params = assay_params_new(3, &error);
    const assay_decoder_config shape = {.vocabulary = rows,
                                        .width = 16,
                                        .layers = 1,
                                        .heads = 2,
                                        .kv_heads = 1,
                                        .head_width = 8,
                                        .mlp_width = 24,
                                        .positions = 64,
                                        .rope_base = 1e4,
                                        .norm_eps = 1e-6f,
                                        .qkv_bias = true,
                                        .tied_head = true,
                                        .init_sd = 0.1f};
    assay_decoder *decoder = assay_decoder_new(params, NULL, &shape, &error);
    must(decoder != NULL, &error);
    snprintf(folder, sizeof folder, "/tmp/assay-published-%d", (int)getpid());
    must(assay_stack_save(params, assay_stack_find(params, ASSAY_STACK_DECODER, NULL), folder, NULL,
                          &error),
         &error);
    assay_decoder_free(decoder);
    assay_params_free(params);
    begin_chat(&r, &d, path);
    use_text(&r.model, "decoder", folder);
    use_number(&r.model, "age", 0);
    use_number(&r.model, "rank", 0);
    rig_open(&r, 5);
    assert_int_equal(assay_params_find(r.params, "model.embed_tokens.weight")->value->shape[0],
                     rows);
    const assay_tensor *markers = assay_params_find(r.params, "markers.weight")->value;
    assert_int_equal(markers->shape[0], 19 - 4);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &wanted, &batch, &outputs);
    /* <|user_emb|> is the last of them, and the token that is read. */
    int64_t read = assay_i32(batch.towers[0].readout)[0];
    same_bits(assay_f32(r.embedded[0]) + read * 16, assay_f32(markers) + 14 * 16, 16, "marker");
    assay_tokenizer_free(t);
    rig_close(&r);
    snprintf(config, sizeof config, "%s/config.json", folder);
    unlink(config);
    snprintf(config, sizeof config, "%s/model.safetensors", folder);
    unlink(config);
    rmdir(folder);
}

static void tokenizers_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *decoder, *tokenizer, *encoder_tokenizer, *layout, *what;
    } rows[] = {{NULL, "gpt2", NULL, "chat", "no token <|im_start|>"},
                {"qwen2", "bpe", NULL, "plain", "more ids than rows"},
                {NULL, NULL, "bpe", "plain", "no token [CLS]"},
                {NULL, "nowhere", NULL, "plain", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        six d;
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_params *params = assay_params_new(1, &error);
        char first[1024], second[1024], third[1024];
        must(params != NULL, &error);
        six_open(&d, 3);
        use_text(&used, "layout", rows[i].layout);
        if (rows[i].decoder) {
            snprintf(third, sizeof third, "%s", golden(rows[i].decoder));
            use_text(&used, "decoder", third);
        }
        if (rows[i].tokenizer) {
            snprintf(first, sizeof first, "%s", tokenizer(rows[i].tokenizer));
            use_text(&used, "tokenizer", first);
        }
        if (rows[i].encoder_tokenizer) {
            snprintf(second, sizeof second, "%s", tokenizer(rows[i].encoder_tokenizer));
            use_text(&used, "encoder_tokenizer", second);
            use_text(&used, "encoder", "bert");
        }
        assert_null(try_open(&used, &d, params, true, &error));
        if (!strstr(error.what, rows[i].what))
            fail_msg("row %d: '%s', expected '%s'", (int)i, error.what, rows[i].what);
        assay_params_free(params);
        use_close(&used);
    }
}

/* ---- the papers' sizes ---- */

/* Q-Anchor as published, on data of its shape; only counted. */
static void set_paper(use *used)
{
    use_text(used, "size", "qwen2.5-0.5b");
    use_text(used, "encoder", "bert");
    use_text(used, "layout", "chat");
    use_text(used, "slots", "fixed");
    use_list(used, "slot_counts", "250,100,150,10,150");
    use_list(used, "event_limits", "50,15,17,12,20");
    use_text(used, "head", "relu");
    use_text(used, "features", "copied");
    use_number(used, "feature_tokens", 50);
    use_number(used, "user_summary", 1);
    use_number(used, "source_summary", 1);
    use_number(used, "age", 0);
    use_number(used, "rank", 0);
    use_number(used, "tokens", 1057);
    use_number(used, "answer_words", 200);
}

static int64_t lora_count(assay_params *params, const assay_model_facts *facts, bool encoders)
{
    assay_error error = {0};
    use used = use_open("adapter_lora");
    const char *prefix = encoders ? "adapter.lora#2." : "adapter.lora.";
    use_number(&used, "rank", 64);
    if (encoders) {
        use_list(&used, "targets", "query,key,value,output.dense");
        use_list(&used, "within", "bert.");
    }
    const assay_adapter_setup setup = {.size = sizeof setup,
                                       .facts = facts,
                                       .params = params,
                                       .prefix = prefix,
                                       .seed = 5,
                                       .counting = true};
    void *opened = use_adapter(&used)->open(used.options, &setup, &error);
    must(opened != NULL, &error);
    int64_t count = assay_params_size(params, prefix, true);
    use_adapter(&used)->close(opened);
    use_close(&used);
    return count;
}

static void counts_are_the_papers(void **state)
{
    (void)state;
    six d;
    use used = use_open("model_user_decoder");
    assay_error error = {0};
    assay_model_facts facts = {0};
    assay_params *params = assay_params_new_counting(&error);
    must(params != NULL, &error);
    six_open(&d, 1711);
    set_paper(&used);
    void *opened = try_open(&used, &d, params, true, &error);
    must(opened != NULL, &error);
    use_model(&used)->facts(opened, &facts);
    assert_int_equal(assay_params_size(params, "encoder.", false) +
                         assay_params_size(params, "summary.", false),
                     7 * 1281152);
    assert_int_equal(assay_params_size(params, "encoder.bill.", false), 1281152);
    assert_int_equal(assay_params_size(params, "features.", false), 2848768);
    assert_int_equal(assay_params_size(params, "projector.", false), 524928);
    /* Qwen2.5-0.5B: 494,032,768 with its tied table; BERT-base with 21128 words: no pooler. */
    assert_int_equal(assay_params_size(params, "model.", false), 494032768);
    assert_int_equal(assay_params_size(params, "bert.", false), 5 * (int64_t)101677056);
    int64_t in_parts = 0;
    for (int i = 0; i < facts.part_count; i++)
        in_parts += assay_params_size(params, facts.parts[i].prefix, false);
    assert_int_equal(in_parts, assay_params_size(params, NULL, false));
    assert_int_equal(lora_count(params, &facts, false), 35192832);
    assert_int_equal(lora_count(params, &facts, true), 38338560);
    /* What still learns is the branches and what is nobody's published weight. */
    assert_int_equal(assay_params_size(params, NULL, true),
                     35192832 + 38338560 + 7 * 1281152 + 2848768 + 524928);
    use_model(&used)->close(opened);
    assay_params_free(params);
    use_close(&used);
}

/* The estimate of memory knows of the event encoders. */
static void events_cost_memory(void **state)
{
    (void)state;
    double bytes[3] = {0};
    for (int i = 0; i < 3; i++) {
        six d;
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_model_facts facts = {0};
        assay_params *params = assay_params_new_counting(&error);
        must(params != NULL, &error);
        six_open(&d, 1711);
        set_paper(&used);
        for (int b = 0; b < SIX_USERS; b++)
            d.events[b][0] = i == 2 ? 8 : 1;
        if (i == 0)
            use_text(&used, "encoder", "bag");
        void *opened = try_open(&used, &d, params, true, &error);
        must(opened != NULL, &error);
        use_model(&used)->facts(opened, &facts);
        bytes[i] = facts.activation_bytes;
        assert_true(facts.flops > 1e11);
        use_model(&used)->close(opened);
        assay_params_free(params);
        use_close(&used);
    }
    assert_true(bytes[0] < bytes[1] && bytes[1] < bytes[2]);
}

static void sizes_are_the_published_ones(void **state)
{
    static const struct {
        const char *size;
        int64_t numbers; /* of the decoder, tied table included */
    } rows[] = {{"qwen2.5-0.5b", 494032768},
                {"qwen2.5-1.5b", 1543714304},
                {"qwen2.5-3b", 3085938688},
                {"smollm2-135m", 134515008}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        six d;
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_params *params = assay_params_new_counting(&error);
        must(params != NULL, &error);
        six_open(&d, 3);
        use_text(&used, "size", rows[i].size);
        void *opened = try_open(&used, &d, params, true, &error);
        must(opened != NULL, &error);
        assert_int_equal(assay_params_size(params, "model.", false), rows[i].numbers);
        use_model(&used)->close(opened);
        assay_params_free(params);
        use_close(&used);
    }
}

/* With the published tokenizer in the folder that ASSAY_TOKENIZERS names. */
static void the_published_ids(void **state)
{
    (void)state;
    six d;
    assay_error error = {0};
    char path[1024];
    const char *folder = getenv("ASSAY_TOKENIZERS");
    snprintf(path, sizeof path, "%s/qwen2_5.json", folder ? folder : "");
    if (!folder || access(path, R_OK) != 0) {
        print_message("# skipped: ASSAY_TOKENIZERS names no folder with qwen2_5.json\n");
        return;
    }
    use used = use_open("model_user_decoder");
    assay_params *params = assay_params_new_counting(&error);
    must(params != NULL, &error);
    six_open(&d, 1711);
    set_paper(&used);
    use_text(&used, "tokenizer", path);
    void *opened = try_open(&used, &d, params, true, &error);
    must(opened != NULL, &error);
    const model *m = opened;
    check_markers(m, 151665);
    assert_int_equal(m->layout.answer_ends[1], 151643);
    assert_int_equal(m->layout.tail.items[m->layout.tail.count - 2], 77091);
    assert_int_equal(m->layout.tail.items[m->layout.tail.count - 1], 198);
    use_model(&used)->close(opened);
    assay_params_free(params);
    use_close(&used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoder_starts_from_published_weights),
        cmocka_unit_test(every_event_encoder_starts_from_the_same_weights),
        cmocka_unit_test(weights_that_do_not_fit_are_refused),
        cmocka_unit_test(a_tokenizers_chat_is_token_by_token_its_own),
        cmocka_unit_test(a_berts_events_stand_between_its_tokens),
        cmocka_unit_test(markers_beyond_the_table_are_the_models_own),
        cmocka_unit_test(tokenizers_that_do_not_fit_are_refused),
        cmocka_unit_test(counts_are_the_papers),
        cmocka_unit_test(events_cost_memory),
        cmocka_unit_test(sizes_are_the_published_ones),
        cmocka_unit_test(the_published_ids),
    };
    return cmocka_run_group_tests_name("published", tests, NULL, NULL);
}
