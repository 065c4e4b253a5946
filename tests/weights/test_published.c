/* test_published.c - folders that transformers and PEFT saved (scripts/reference/hf_exchange.py):
 * their numbers come out of our stacks, also after our own saving; and what does not fit is refused
 * by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/support.h"
#include "weights/exchanging.h"

#include <ftw.h>
#include <math.h>
#include <sys/stat.h>

#define CLOSE 2e-6f /* of numbers about 1; both sides compute in fp32 */

static const char *golden(const char *name)
{
    static char paths[4][4096];
    static int next;
    const char *data = getenv("ASSAY_TEST_DATA");
    assert_non_null(data);
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/golden/hf/%s", data, name);
    return path;
}

/* A path in the scratch folder that stays valid. */
static const char *scratch(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s", path_in_folder(name));
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    return where->level > 0 ? remove(path) : 0;
}

static void remove_all(void)
{
    nftw(scratch(""), remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* The tensor `name` of one file is that of another. */
static void compare(const char *file, const char *name, const char *reference, const char *as)
{
    assay_error error = {0};
    assay_weights *a = assay_weights_open(file, &error), *b = assay_weights_open(reference, &error);
    must(a && b, &error);
    const assay_stored *x = assay_weights_get(a, name, &error);
    const assay_stored *y = assay_weights_get(b, as, &error);
    must(x && y, &error);
    assert_int_equal(x->count, y->count);
    for (int64_t i = 0; i < x->count; i++) {
        float got = ((const float *)x->data)[i], want = ((const float *)y->data)[i];
        if (!(fabsf(got - want) < CLOSE))
            fail_msg("%s, element %lld: %g against %g", reference, (long long)i, (double)got,
                     (double)want);
    }
    assay_weights_close(a);
    assay_weights_close(b);
}

static void pass(const char *in, const char *ids, const char *out, const char *adapter)
{
    assay_error error = {0};
    exchange_request request = {.in = in,
                                .ids = ids,
                                .out = out,
                                .adapter = adapter,
                                .dtype = ASSAY_STORED_F32,
                                .shard_bytes = 5000};
    must(exchange(&request, &error), &error);
}

static void published_folders_compute_what_was_published(void **state)
{
    static const struct {
        const char *name;
        bool logits;
    } cases[] = {{"qwen2", true}, {"llama", true}, {"bert", false}, {"bert_bare", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char values[4096];
        const char *reference = golden(assay_text("%s.safetensors", cases[i].name));
        const char *once = scratch("once"), *twice = scratch("twice");
        /* As published, and as we saved it, in shards. */
        pass(golden(cases[i].name), reference, once, NULL);
        pass(once, reference, twice, NULL);
        const char *places[] = {once, twice};
        for (int k = 0; k < 2; k++) {
            snprintf(values, sizeof values, "%s/values.safetensors", places[k]);
            compare(values, "hidden", reference, "hidden");
            if (cases[i].logits)
                compare(values, "logits", reference, "logits");
        }
        remove_all();
    }
}

static void adapters_of_peft_compute_what_peft_does(void **state)
{
    static const char *const names[] = {"qwen2", "bert"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *reference = golden(assay_text("%s.safetensors", names[i]));
        const char *adapter = golden(assay_text("%s_adapter", names[i]));
        char ours[4096];
        pass(golden(names[i]), reference, scratch("once"), adapter);
        compare(scratch("once/values.safetensors"), "hidden", reference, "adapted");
        /* The adapter that we saved is the one that we read. */
        snprintf(ours, sizeof ours, "%s", scratch("once/adapter"));
        pass(golden(names[i]), reference, scratch("twice"), ours);
        compare(scratch("twice/values.safetensors"), "hidden", reference, "adapted");
        remove_all();
    }
}

/* ---- what a folder may hold, and what not ---- */

static const assay_bert_config tiny_bert = {.vocabulary = 5,
                                            .width = 4,
                                            .layers = 1,
                                            .heads = 2,
                                            .mlp_width = 6,
                                            .positions = 8,
                                            .types = 2,
                                            .norm_eps = 1e-12f,
                                            .init_sd = 0.1f};
static const assay_decoder_config tiny_decoder = {.vocabulary = 5,
                                                  .width = 4,
                                                  .layers = 1,
                                                  .heads = 2,
                                                  .kv_heads = 1,
                                                  .head_width = 2,
                                                  .mlp_width = 6,
                                                  .positions = 8,
                                                  .rope_base = 10000,
                                                  .norm_eps = 1e-6f,
                                                  .tied_head = true,
                                                  .has_head = true,
                                                  .init_sd = 0.1f};

static assay_params *tiny(assay_stack_kind kind, const char *prefix, uint64_t seed)
{
    assay_error error = {0};
    assay_params *params = new_params(seed);
    if (kind == ASSAY_STACK_BERT)
        assay_bert_free(assay_bert_new(params, prefix, &tiny_bert, &error));
    else
        assay_decoder_free(assay_decoder_new(params, prefix, &tiny_decoder, &error));
    must(error.code == ASSAY_OK, &error);
    return params;
}

/* Writes the stack's parameters as others name them: `rename` makes a name, or NULL to leave it
 * out. */
static void write_as(const assay_params *params, const char *(*rename)(const char *), int extra,
                     const char *const *names)
{
    assay_error error = {0};
    assay_weights_item items[64];
    static char kept[64][256];
    int64_t n = 0;
    assay_tensor *more = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){2}, &error);
    must(more != NULL, &error);
    memset(more->data, 0, 8);
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const char *name = rename(assay_params_at(params, i)->name);
        if (!name)
            continue;
        snprintf(kept[n], sizeof kept[0], "%s", name);
        items[n] = (assay_weights_item){kept[n], assay_params_at(params, i)->value};
        n++;
    }
    for (int i = 0; i < extra; i++)
        items[n++] = (assay_weights_item){names[i], more};
    must(assay_weights_write(scratch("model.safetensors"), n, items, 0, NULL, &error), &error);
    assay_tensor_free(more);
}

static const char *as_it_is(const char *name)
{
    return name;
}

/* bert. before everything, LayerNorm.gamma and .beta: how the first BERTs were saved. */
static const char *as_old_bert(const char *name)
{
    static char text[256];
    size_t length = strlen(name);
    bool norm = strstr(name, "LayerNorm") != NULL;
    if (norm && strcmp(name + length - 6, "weight") == 0)
        snprintf(text, sizeof text, "bert.%.*sgamma", (int)length - 6, name);
    else if (norm)
        snprintf(text, sizeof text, "bert.%.*sbeta", (int)length - 4, name);
    else
        snprintf(text, sizeof text, "bert.%s", name);
    return text;
}

static const char *without_model(const char *name)
{
    return strncmp(name, "model.", 6) == 0 ? name + 6 : name;
}

static const char *without_value_weight(const char *name)
{
    return strstr(name, "value.weight") ? NULL : name;
}

static void other_names_and_other_purposes_are_understood(void **state)
{
    static const char *const heads[] = {"bert.pooler.dense.weight", "cls.predictions.bias",
                                        "bert.embeddings.position_ids"};
    static const char *const tied[] = {"lm_head.weight", "layers.0.self_attn.rotary_emb.inv_freq"};
    static const struct {
        assay_stack_kind kind;
        const char *(*rename)(const char *);
        int extra;
        const char *const *names;
        const char *first;
    } cases[] = {
        {ASSAY_STACK_BERT, as_it_is, 0, NULL, ""},
        {ASSAY_STACK_BERT, as_old_bert, 3, heads, "bert.pooler.dense.weight"},
        {ASSAY_STACK_DECODER, as_it_is, 1, tied, "lm_head.weight"},
        {ASSAY_STACK_DECODER, without_model, 2, tied, "lm_head.weight"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_stack_report report;
        assay_params *from = tiny(cases[i].kind, NULL, 1);
        assay_params *to = tiny(cases[i].kind, "encoder.spm.", 2);
        write_as(from, cases[i].rename, cases[i].extra, cases[i].names);
        must(assay_stack_load(to, assay_stack_find(to, cases[i].kind, "encoder.spm."),
                              scratch("model.safetensors"), &report, &error),
             &error);
        assert_int_equal(report.loaded, assay_params_count(to));
        assert_int_equal(report.ignored, cases[i].extra);
        assert_string_equal(report.first_ignored, cases[i].first);
        for (int64_t k = 0; k < assay_params_count(to); k++)
            assert_memory_equal(assay_params_at(to, k)->value->data,
                                assay_params_at(from, k)->value->data,
                                (size_t)assay_tensor_bytes(assay_params_at(to, k)->value));
        assay_params_free(from);
        assay_params_free(to);
        remove_all();
    }
}

static void what_does_not_fit_is_refused_and_changes_nothing(void **state)
{
    static const char *const layer[] = {"encoder.layer.1.output.dense.bias"};
    static const struct {
        const char *(*rename)(const char *);
        int extra;
        const char *config, *word;
    } cases[] = {
        {without_value_weight, 0, NULL, "no tensor encoder.layer.0.attention.self.value.weight"},
        {as_it_is, 1, NULL, "encoder.layer.1.output.dense.bias"},
        {as_it_is, 0, "{\"model_type\": \"qwen2\"}", "model_type"},
        {as_it_is, 0, "5", "config.json"},
        {as_it_is, 0,
         "{\"model_type\": \"bert\", \"vocab_size\": 5, \"hidden_size\": 4, \"num_hidden_layers\": "
         "1, "
         "\"num_attention_heads\": 1, \"intermediate_size\": 6, \"max_position_embeddings\": 8}",
         "num_attention_heads differs"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int counting = 0; counting < 2; counting++) {
            assay_error error = {0};
            char text[1200];
            assay_params *from = tiny(ASSAY_STACK_BERT, NULL, 1);
            assay_params *to =
                counting ? assay_params_new_counting(&error) : tiny(ASSAY_STACK_BERT, "e.", 2);
            assay_params *untouched = tiny(ASSAY_STACK_BERT, "e.", 2);
            if (counting)
                assay_bert_free(assay_bert_new(to, "e.", &tiny_bert, &error));
            write_as(from, cases[i].rename, cases[i].extra, layer);
            if (cases[i].config)
                write_text(scratch("config.json"), cases[i].config);
            assert_false(assay_stack_load(to, assay_stack_at(to, 0), scratch(""), NULL, &error));
            assay_error_format(&error, text, sizeof text);
            if (!strstr(text, cases[i].word))
                fail_msg("expected \"%s\", got: %s", cases[i].word, text);
            for (int64_t k = 0; !counting && k < assay_params_count(to); k++)
                assert_memory_equal(assay_params_at(to, k)->value->data,
                                    assay_params_at(untouched, k)->value->data,
                                    (size_t)assay_tensor_bytes(assay_params_at(to, k)->value));
            assay_params_free(from);
            assay_params_free(to);
            assay_params_free(untouched);
            remove_all();
        }
    }
}

/* Another width is a shape, named with the file and the tensor. */
static void another_size_is_refused_by_shape(void **state)
{
    (void)state;
    assay_error error = {0};
    char text[1200];
    assay_params *params = new_params(1);
    assay_bert_config wide = tiny_bert;
    wide.width = 8;
    assay_bert_free(assay_bert_new(params, NULL, &wide, &error));
    assay_params *from = tiny(ASSAY_STACK_BERT, NULL, 1);
    write_as(from, as_it_is, 0, NULL);
    assert_false(assay_stack_load(params, assay_stack_at(params, 0), scratch("model.safetensors"),
                                  NULL, &error));
    assay_error_format(&error, text, sizeof text);
    assert_non_null(strstr(text, "model.safetensors"));
    assert_non_null(strstr(text, "embeddings.word_embeddings.weight"));
    assert_non_null(strstr(text, "expected (5, 8), got (5, 4)"));
    assay_params_free(from);
    assay_params_free(params);
    remove_all();
}

/* ---- adapters that do not fit ---- */

/* A set of a decoder with rank-3 branches beside its q_proj and down_proj, as in the fixture. */
static assay_params *adapted(int64_t rank, double alpha, bool query_only, assay_lora *lora)
{
    static const char *const modules[] = {"self_attn.q_proj", "mlp.down_proj"};
    static const int64_t shapes[][2] = {{16, 16}, {16, 24}}; /* (O, I) */
    assay_error error = {0};
    assay_decoder_config config;
    must(assay_decoder_config_read(golden("qwen2/config.json"), &config, &error), &error);
    assay_params *params = new_params(3);
    assay_decoder_free(assay_decoder_new(params, NULL, &config, &error));
    for (int l = 0; l < 2; l++)
        for (int m = 0; m < (query_only ? 1 : 2); m++) {
            char name[256];
            snprintf(name, sizeof name, "adapter.lora.model.layers.%d.%s.lora_A.weight", l,
                     modules[m]);
            assay_params_add(params, name, 2, (int64_t[]){rank, shapes[m][1]},
                             (assay_init){ASSAY_INIT_UNIFORM, 1, 0}, &error);
            snprintf(name, sizeof name, "adapter.lora.model.layers.%d.%s.lora_B.weight", l,
                     modules[m]);
            assay_params_add(params, name, 2, (int64_t[]){shapes[m][0], rank},
                             (assay_init){ASSAY_INIT_UNIFORM, 1, 0}, &error);
        }
    *lora = (assay_lora){.prefix = "adapter.lora.", .rank = rank, .alpha = alpha};
    must(error.code == ASSAY_OK && assay_lora_note(params, lora, &error), &error);
    return params;
}

static void adapters_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        int64_t rank;
        double alpha;
        bool stable, query_only;
        const char *word;
    } cases[] = {
        {3, 5, false, false, NULL},
        {4, 5, false, false, "adapter_config.json: r"},
        {3, 6, false, false, "set the adapter's option 'alpha'"},
        {3, 5, true, false, "use_rslora"},
        {3, 5, false, true, "no branch of the adapter takes it"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        char text[1200];
        assay_lora lora;
        assay_params *params = adapted(cases[i].rank, cases[i].alpha, cases[i].query_only, &lora);
        lora.rank_stable = cases[i].stable;
        bool ok = assay_lora_load(params, &lora, golden("qwen2_adapter"), &error);
        assay_error_format(&error, text, sizeof text);
        if (ok != (cases[i].word == NULL) || (cases[i].word && !strstr(text, cases[i].word)))
            fail_msg("expected \"%s\", got: %s", cases[i].word ? cases[i].word : "", text);
        assay_params_free(params);
    }
    assay_error error = {0};
    assay_lora lora;
    assay_params *params = adapted(3, 5, false, &lora);
    assert_false(assay_lora_load(params, &lora, golden("bert_adapter"), &error));
    assert_failed(&error, ASSAY_BAD_FILE, "has no lora_A.weight of model.layers.0");
    assay_params_free(params);
}

/* ---- a set without its model ---- */

static void a_saved_set_is_opened_with_its_stacks_and_adapters(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_lora lora;
    assay_params *saved = adapted(3, 5, false, &lora);
    assay_bert_free(assay_bert_new(saved, "encoder.bill.", &tiny_bert, &error));
    must(assay_params_save(saved, scratch("weights.safetensors"), &error), &error);
    assay_params *opened = assay_params_open(scratch("weights.safetensors"), &error);
    must(opened != NULL, &error);
    assert_int_equal(assay_params_count(opened), assay_params_count(saved));
    assert_int_equal(assay_params_size(opened, NULL, true), 0);
    assert_int_equal(assay_stacks(opened), 2);
    for (int i = 0; i < 2; i++) {
        const assay_stack *a = assay_stack_at(saved, i), *b = assay_stack_at(opened, i);
        assert_true(a->kind == b->kind && a->first == b->first && a->count == b->count);
        assert_string_equal(a->prefix, b->prefix);
    }
    assert_int_equal(assay_stack_at(opened, 0)->config.decoder.kv_heads, 2);
    assert_int_equal(assay_stack_at(opened, 1)->config.bert.mlp_width, 6);
    assert_int_equal(assay_loras(opened), 1);
    assert_int_equal(assay_lora_at(opened, 0)->rank, 3);
    assert_true(assay_lora_at(opened, 0)->alpha == 5);
    assert_string_equal(assay_lora_at(opened, 0)->prefix, "adapter.lora.");
    assay_params_free(saved);
    assay_params_free(opened);
    remove_all();
}

static void metadata_that_lie_are_refused(void **state)
{
    static const char *const texts[] = {
        "5",
        "[{}]",
        "[{\"kind\": \"vit\", \"prefix\": \"\", \"first\": 0, \"count\": 1, \"config\": {}}]",
        "[{\"kind\": \"bert\", \"prefix\": \"\", \"first\": 0, \"count\": 9, \"config\": {}}]",
        "[{\"kind\": \"bert\", \"prefix\": \"\", \"first\": 4611686018427387904, \"count\": 2}]",
        "[{\"kind\": \"bert\", \"prefix\": \"x.\", \"first\": 0, \"count\": 1, \"config\": {}}]",
        "[{\"kind\": \"bert\", \"prefix\": \"\", \"first\": 0, \"count\": 1, \"config\": {}}]",
        "[{\"kind\": \"bert\", \"prefix\": \"\", \"first\": 0, \"count\": 1}]",
    };
    (void)state;
    assay_params *set = small_set(1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assay_error error = {0};
        const char *metadata[][2] = {{"assay.stacks", texts[i]}};
        assay_weights_item item = {"tower.w", assay_params_at(set, 0)->value};
        must(assay_weights_write(scratch("weights.safetensors"), 1, &item, 1,
                                 (const char *const(*)[2])metadata, &error),
             &error);
        if (assay_params_open(scratch("weights.safetensors"), &error))
            fail_msg("taken: %s", texts[i]);
        assert_int_not_equal(error.code, ASSAY_OK);
    }
    assay_params_free(set);
    remove_all();
}

static int end(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_folders_compute_what_was_published),
        cmocka_unit_test(adapters_of_peft_compute_what_peft_does),
        cmocka_unit_test(other_names_and_other_purposes_are_understood),
        cmocka_unit_test(what_does_not_fit_is_refused_and_changes_nothing),
        cmocka_unit_test(another_size_is_refused_by_shape),
        cmocka_unit_test(adapters_that_do_not_fit_are_refused),
        cmocka_unit_test(a_saved_set_is_opened_with_its_stacks_and_adapters),
        cmocka_unit_test(metadata_that_lie_are_refused),
    };
    return cmocka_run_group_tests_name("published weights", tests, NULL, end);
}
