/* test_lora.c - adapter `lora` at the stacks' places: what it adds, counts, freezes and
 * refuses, its gradients, and that a fresh one changes no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/use.h"
#include "under_test.h"

#include <assay/blocks.h>
#include <assay/gradcheck.h>
#include <assay/weights.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, TOKENS = 6, VOCABULARY = 11 };

static const assay_decoder_config small_decoder = {.vocabulary = VOCABULARY,
                                                   .width = 16,
                                                   .layers = 2,
                                                   .heads = 4,
                                                   .kv_heads = 2,
                                                   .head_width = 4,
                                                   .mlp_width = 24,
                                                   .positions = 8,
                                                   .rope_base = 10000,
                                                   .norm_eps = 1e-6f,
                                                   .qkv_bias = true,
                                                   .tied_head = true,
                                                   .init_sd = 0.3f};
static const assay_bert_config small_bert = {.vocabulary = VOCABULARY,
                                             .width = 16,
                                             .layers = 2,
                                             .heads = 4,
                                             .mlp_width = 24,
                                             .positions = 8,
                                             .types = 2,
                                             .norm_eps = 1e-12f,
                                             .init_sd = 0.3f};

/* A decoder, two encoders and a head of the model's own in one set, and adapters on a tape. */
typedef struct bench {
    assay_params *params;
    assay_decoder *decoder;
    assay_bert *bert[2];
    assay_tape *tape;
    assay_tensor *ids;
    use used[2];
    void *opened[2];
    int count;
} bench;

static void bench_open(bench *b, bool counting, const assay_decoder_config *decoder)
{
    assay_error error = {0};
    *b = (bench){0};
    b->params = counting ? assay_params_new_counting(&error) : assay_params_new(5, &error);
    must(b->params != NULL, &error);
    b->decoder = assay_decoder_new(b->params, NULL, decoder, &error);
    b->bert[0] = assay_bert_new(b->params, "encoder.bill.", &small_bert, &error);
    b->bert[1] = assay_bert_new(b->params, "encoder.spm.", &small_bert, &error);
    assay_params_add(b->params, "head.weight", 2, (int64_t[]){4, 16},
                     (assay_init){ASSAY_INIT_NORMAL, 0.1f, 0}, &error);
    must(error.code == ASSAY_OK, &error);
    if (counting)
        return;
    b->tape = assay_tape_new(device_under_test(&error), ASSAY_PRECISION_FP32, &error);
    b->ids = assay_tensor_new(ASSAY_I32, 2, (int64_t[]){BATCH, TOKENS}, &error);
    must(b->tape && b->ids, &error);
    for (int i = 0; i < BATCH * TOKENS; i++)
        assay_i32(b->ids)[i] = (i * 7 + 3) % VOCABULARY;
}

static void bench_close(bench *b)
{
    for (int i = 0; i < b->count; i++) {
        if (b->opened[i])
            use_adapter(&b->used[i])->close(b->opened[i]);
        use_close(&b->used[i]);
    }
    assay_tensor_free(b->ids);
    assay_tape_free(b->tape);
    assay_decoder_free(b->decoder);
    assay_bert_free(b->bert[0]);
    assay_bert_free(b->bert[1]);
    assay_params_free(b->params);
}

/* One more adapter, to be told and opened. */
static use *bench_use(bench *b)
{
    b->used[b->count] = use_open("adapter_lora");
    return &b->used[b->count++];
}

static bool bench_try(bench *b, assay_error *error)
{
    int i = b->count - 1;
    assay_model_facts facts = {.size = sizeof facts};
    assay_adapter_setup setup = {.size = sizeof setup,
                                 .facts = &facts,
                                 .params = b->params,
                                 .prefix = i == 0 ? "adapter.lora." : "adapter.lora#2.",
                                 .seed = 5,
                                 .counting = assay_params_counting(b->params)};
    const assay_adapter_functions *f = use_adapter(&b->used[i]);
    b->opened[i] = f->open(b->used[i].options, &setup, error);
    if (b->opened[i] && b->tape)
        assert_true(
            assay_tape_attach(b->tape, (assay_attachment){b->opened[i], f->attaches, f->apply}));
    return b->opened[i] != NULL;
}

static void bench_adapt(bench *b, const char *targets, int64_t rank)
{
    assay_error error = {0};
    use *u = bench_use(b);
    use_list(u, "targets", targets);
    use_number(u, "rank", (double)rank);
    use_number(u, "dropout", 0);
    must(bench_try(b, &error), &error);
}

static assay_tensor *run_decoder(bench *b)
{
    assay_tensor *x = assay_decoder_embed(b->tape, b->decoder, b->ids);
    x = assay_decoder_forward(b->tape, b->decoder, x, NULL, NULL);
    tape_must(b->tape, x != NULL);
    return x;
}

static assay_tensor *run_bert(bench *b, int which)
{
    assay_tensor *x = assay_bert_forward(b->tape, b->bert[which], b->ids, NULL);
    tape_must(b->tape, x != NULL);
    return x;
}

/* A copy of a step tensor's bytes, owned by the caller (free). */
static void *copy_of(const assay_tensor *x, size_t *bytes)
{
    *bytes = (size_t)assay_tensor_bytes(x);
    void *copy = malloc(*bytes);
    assert_non_null(copy);
    memcpy(copy, assay_elements(x), *bytes);
    return copy;
}

static float *values_of(const bench *b, const char *name)
{
    assay_parameter *parameter = assay_params_find(b->params, name);
    if (!parameter)
        fail_msg("there is no parameter %s", name);
    return assay_f32(parameter->value);
}

static bool trains(const bench *b, const char *name)
{
    const assay_parameter *parameter = assay_params_find(b->params, name);
    if (!parameter)
        fail_msg("there is no parameter %s", name);
    return parameter->trainable;
}

/* Numbers of every B, so that the branches do something. */
static void fill_b(bench *b)
{
    for (int64_t i = 0; i < assay_params_count(b->params); i++) {
        const assay_parameter *parameter = assay_params_at(b->params, i);
        if (!strstr(parameter->name, ".lora_B."))
            continue;
        float *value = assay_f32(parameter->value);
        for (int64_t k = 0; k < assay_tensor_count(parameter->value); k++)
            value[k] = 0.05f * (float)((k * 13 + i) % 7 - 3);
    }
}

/* ---- a fresh adapter ---- */

static void same_bytes(const void *a, const void *b, size_t bytes)
{
    if (memcmp(a, b, bytes) != 0)
        fail_msg("an adapter whose B is zero changes the output");
}

static void a_fresh_adapter_changes_no_bit(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        bench b;
        size_t bytes[3];
        void *before[3];
        assay_error error = {0};
        bench_open(&b, false, &small_decoder);
        if (bf16) {
            assay_tape_free(b.tape);
            b.tape = assay_tape_new(device_under_test(&error), ASSAY_PRECISION_BF16, &error);
            must(b.tape != NULL, &error);
        }
        assay_tape_begin(b.tape, (assay_step){.seed = 1, .training = true});
        before[0] = copy_of(run_decoder(&b), &bytes[0]);
        before[1] = copy_of(run_bert(&b, 0), &bytes[1]);
        before[2] = copy_of(run_bert(&b, 1), &bytes[2]);
        bench_adapt(&b, "q_proj,v_proj,o_proj", 4);
        bench_adapt(&b, "query,key,value,output.dense", 4);
        assay_tape_begin(b.tape, (assay_step){.seed = 1, .training = true});
        same_bytes(assay_elements(run_decoder(&b)), before[0], bytes[0]);
        same_bytes(assay_elements(run_bert(&b, 0)), before[1], bytes[1]);
        same_bytes(assay_elements(run_bert(&b, 1)), before[2], bytes[2]);
        for (int i = 0; i < 3; i++)
            free(before[i]);
        bench_close(&b);
    }
}

/* Fused operations that hide a place are taken apart: their parts round alike in fp32. */
static void fused_places_are_reached(void **state)
{
    (void)state;
    bench b;
    size_t bytes;
    bench_open(&b, false, &small_decoder);
    assay_tape_begin(b.tape, (assay_step){0});
    void *decoder = copy_of(run_decoder(&b), &bytes);
    void *bert = copy_of(run_bert(&b, 0), &bytes);
    bench_adapt(&b, "gate_proj,up_proj,down_proj,intermediate.dense", 4);
    assay_tape_begin(b.tape, (assay_step){0});
    same_bytes(assay_elements(run_decoder(&b)), decoder, bytes);
    same_bytes(assay_elements(run_bert(&b, 0)), bert, bytes);
    fill_b(&b);
    assay_tape_begin(b.tape, (assay_step){0});
    assert_int_not_equal(memcmp(assay_elements(run_decoder(&b)), decoder, bytes), 0);
    assert_int_not_equal(memcmp(assay_elements(run_bert(&b, 0)), bert, bytes), 0);
    free(decoder);
    free(bert);
    bench_close(&b);
}

static void a_starts_kaiming_uniform_and_b_zero(void **state)
{
    (void)state;
    bench b;
    double square = 0;
    bench_open(&b, false, &small_decoder);
    bench_adapt(&b, "q_proj", 64);
    const float *a = values_of(&b, "adapter.lora.model.layers.0.self_attn.q_proj.lora_A.weight");
    const float *zero = values_of(&b, "adapter.lora.model.layers.0.self_attn.q_proj.lora_B.weight");
    double bound = 1 / sqrt(16.0); /* sqrt(6 / ((1 + 5) fan_in)) */
    for (int i = 0; i < 64 * 16; i++) {
        assert_true(fabs((double)a[i]) <= bound);
        square += (double)a[i] * (double)a[i];
        assert_true(zero[i] == 0);
    }
    /* Variance of a uniform number: bound^2 / 3; 1024 draws are within 10 %. */
    assert_true(fabs(square / (64 * 16) / (bound * bound / 3) - 1) < 0.1);
    bench_close(&b);
}

/* ---- what it computes ---- */

/* Adds scale B A to the matrix of a branch, in double. */
static void merge_by_hand(bench *b, const char *module, int64_t rank, double scale)
{
    char name[256];
    snprintf(name, sizeof name, "%s.weight", module);
    const assay_tensor *w = assay_params_find(b->params, name)->value;
    float *to = values_of(b, name);
    snprintf(name, sizeof name, "adapter.lora.%s.lora_A.weight", module);
    const float *a = values_of(b, name);
    snprintf(name, sizeof name, "adapter.lora.%s.lora_B.weight", module);
    const float *up = values_of(b, name);
    for (int64_t o = 0; o < w->shape[0]; o++)
        for (int64_t i = 0; i < w->shape[1]; i++) {
            double sum = 0;
            for (int64_t r = 0; r < rank; r++)
                sum += (double)up[o * rank + r] * (double)a[r * w->shape[1] + i];
            to[o * w->shape[1] + i] += (float)(scale * sum);
        }
}

static void a_branch_is_a_change_of_its_matrix(void **state)
{
    static const char *const modules[] = {
        "model.layers.0.self_attn.k_proj", "model.layers.1.self_attn.k_proj",
        "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"};
    (void)state;
    for (int stable = 0; stable < 2; stable++) {
        bench b;
        size_t bytes;
        assay_error error = {0};
        bench_open(&b, false, &small_decoder);
        use *u = bench_use(&b);
        use_list(u, "targets", "k_proj,mlp.down_proj");
        use_number(u, "rank", 4);
        use_number(u, "alpha", 6);
        use_number(u, "rslora", stable);
        must(bench_try(&b, &error), &error);
        fill_b(&b);
        assay_tape_begin(b.tape, (assay_step){0}); /* evaluation: no dropout */
        float *with = copy_of(run_decoder(&b), &bytes);
        for (int i = 0; i < 4; i++)
            merge_by_hand(&b, modules[i], 4, stable ? 6 / sqrt(4.0) : 6 / 4.0);
        assay_tape *bare = assay_tape_new(device_under_test(&error), ASSAY_PRECISION_FP32, &error);
        must(bare != NULL, &error);
        assay_tape *attached = b.tape;
        b.tape = bare;
        assay_tape_begin(bare, (assay_step){0});
        const float *merged = assay_f32(run_decoder(&b));
        for (size_t i = 0; i < bytes / sizeof(float); i++)
            assert_true(fabsf(merged[i] - with[i]) < 2e-5f);
        b.tape = attached;
        assay_tape_free(bare);
        free(with);
        bench_close(&b);
    }
}

static assay_tensor *run_vit(bench *b, const assay_vit *vit, assay_tensor *images)
{
    assay_tape_begin(b->tape, (assay_step){0});
    assay_tensor *x = assay_vit_forward(b->tape, vit, images, NULL, NULL);
    tape_must(b->tape, x != NULL);
    return x;
}

/* The same at a vision transformer's places, which carry its prefix: fused qkv, and fc1 with its
 * GELU. */
static void a_vision_transformer_takes_branches(void **state)
{
    static const char *const modules[] = {"sight.blocks.0.attn.qkv", "sight.blocks.1.attn.qkv",
                                          "sight.blocks.0.mlp.fc1", "sight.blocks.1.mlp.fc1"};
    const assay_vit_config config = {.width = 16,
                                     .layers = 2,
                                     .heads = 2,
                                     .mlp_width = 24,
                                     .patch = 2,
                                     .image = 4,
                                     .channels = 3,
                                     .norm_eps = 1e-6f,
                                     .final_norm = true};
    (void)state;
    bench b = {0};
    size_t bytes;
    assay_error error = {0};
    b.params = assay_params_new(5, &error);
    b.tape = assay_tape_new(device_under_test(&error), ASSAY_PRECISION_FP32, &error);
    assay_tensor *images = assay_tensor_new(ASSAY_F32, 4, (int64_t[]){BATCH, 3, 4, 4}, &error);
    must(b.params && b.tape && images, &error);
    assay_random_fill_normal(assay_stream_of(1, "images", 0), 0, BATCH * 3 * 16, assay_f32(images));
    assay_vit *vit = assay_vit_new(b.params, "sight.", &config, &error);
    must(vit != NULL, &error);
    float *before = copy_of(run_vit(&b, vit, images), &bytes);
    bench_adapt(&b, "qkv,mlp.fc1", 4);
    same_bytes(assay_elements(run_vit(&b, vit, images)), before, bytes);
    assert_false(trains(&b, "sight.blocks.1.norm2.weight"));
    fill_b(&b);
    float *with = copy_of(run_vit(&b, vit, images), &bytes);
    for (int i = 0; i < 4; i++)
        merge_by_hand(&b, modules[i], 4, 16 / 4.0);
    assay_tape *attached = b.tape;
    b.tape = assay_tape_new(device_under_test(&error), ASSAY_PRECISION_FP32, &error);
    must(b.tape != NULL, &error);
    const float *merged = assay_f32(run_vit(&b, vit, images));
    double apart = 0;
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        assert_true(fabsf(merged[i] - with[i]) < 2e-5f);
        apart = fmax(apart, fabs((double)(with[i] - before[i])));
    }
    assert_true(apart > 1e-2);
    assay_tape_free(attached);
    assay_tensor_free(images);
    assay_vit_free(vit);
    free(before);
    free(with);
    bench_close(&b);
}

static assay_tensor *forward(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    bench *b = user;
    (void)inputs;
    (void)n;
    assay_tensor *x = assay_decoder_embed(tape, b->decoder, b->ids);
    assay_tensor *y = assay_decoder_forward(tape, b->decoder, x, NULL, NULL);
    return assay_add(tape, y, assay_bert_forward(tape, b->bert[0], b->ids, NULL));
}

static void gradients_agree_with_differences(void **state)
{
    static const char *const names[] = {
        "adapter.lora.model.layers.0.self_attn.q_proj.lora_A.weight",
        "adapter.lora.model.layers.0.self_attn.q_proj.lora_B.weight",
        "adapter.lora.model.layers.1.mlp.gate_proj.lora_A.weight",
        "adapter.lora.model.layers.1.mlp.gate_proj.lora_B.weight",
        "adapter.lora.encoder.bill.encoder.layer.0.output.dense.lora_A.weight",
        "adapter.lora.encoder.bill.encoder.layer.0.intermediate.dense.lora_B.weight"};
    (void)state;
    bench b;
    assay_tensor *inputs[6];
    assay_error error = {0};
    assay_gradcheck_report report;
    bench_open(&b, false, &small_decoder);
    use *u = bench_use(&b);
    use_list(u, "targets", "q_proj,gate_proj,output.dense,intermediate.dense");
    use_number(u, "rank", 3);
    use_number(u, "dropout", 0.2);
    must(bench_try(&b, &error), &error);
    fill_b(&b);
    for (int i = 0; i < 6; i++)
        inputs[i] = assay_params_find(b.params, names[i])->value;
    assay_gradcheck_options o = {.training = true, .max_entries = 64, .seed = 2};
    must(assay_gradcheck(b.tape, forward, &b, inputs, 6, &o, &report, &error), &error);
    if (!report.passed || !report.repeatable)
        fail_msg("%s, entry %lld: %g against %g", names[report.input], (long long)report.entry,
                 report.analytic, report.numeric);
    bench_close(&b);
}

/* Two towers of a pass drop different elements, and the same pass again the same ones. */
static void towers_drop_their_own(void **state)
{
    (void)state;
    bench b;
    size_t bytes;
    assay_error error = {0};
    bench_open(&b, false, &small_decoder);
    use *u = bench_use(&b);
    use_list(u, "targets", "q_proj,v_proj");
    use_number(u, "dropout", 0.5);
    must(bench_try(&b, &error), &error);
    fill_b(&b);
    assay_tape_begin(b.tape, (assay_step){.seed = 3, .clock = 9, .training = true});
    assert_true(assay_tape_scope(b.tape, "user"));
    void *user = copy_of(run_decoder(&b), &bytes);
    assert_true(assay_tape_scope(b.tape, "answer"));
    assert_int_not_equal(memcmp(assay_elements(run_decoder(&b)), user, bytes), 0);
    assay_tape_begin(b.tape, (assay_step){.seed = 3, .clock = 9, .training = true});
    assert_true(assay_tape_scope(b.tape, "user"));
    assert_memory_equal(assay_elements(run_decoder(&b)), user, bytes);
    free(user);
    bench_close(&b);
}

/* ---- from PEFT ---- */

static const char *golden(const char *name)
{
    static char path[4096];
    const char *data = getenv("ASSAY_TEST_DATA");
    assert_non_null(data);
    snprintf(path, sizeof path, "%s/golden/hf/%s", data, name);
    return path;
}

/* A Qwen2 and an adapter that transformers and PEFT saved, and what PEFT computed with them. */
static void an_adapter_of_peft_is_read(void **state)
{
    (void)state;
    bench b = {0};
    assay_error error = {0};
    assay_decoder_config config;
    must(assay_decoder_config_read(golden("qwen2/config.json"), &config, &error), &error);
    b.params = assay_params_new(1, &error);
    b.decoder = assay_decoder_new(b.params, NULL, &config, &error);
    must(b.decoder &&
             assay_stack_load(b.params, assay_stack_at(b.params, 0), golden("qwen2"), NULL, &error),
         &error);
    b.tape = assay_tape_new(device_under_test(&error), ASSAY_PRECISION_FP32, &error);
    assay_weights *reference = assay_weights_open(golden("qwen2.safetensors"), &error);
    must(b.tape && reference, &error);
    assay_tensor *lengths =
        assay_stored_tensor(assay_weights_find(reference, "lengths"), ASSAY_I32, &error);
    b.ids = assay_stored_tensor(assay_weights_find(reference, "ids"), ASSAY_I32, &error);
    must(b.ids && lengths, &error);
    char adapter[4096];
    snprintf(adapter, sizeof adapter, "%s", golden("qwen2_adapter"));
    use *u = bench_use(&b);
    use_number(u, "rank", 3);
    use_number(u, "alpha", 5);
    use_list(u, "targets", "q_proj,down_proj");
    use_text(u, "weights", adapter); /* the path is the first member of a source of weights */
    must(bench_try(&b, &error), &error);
    assay_tape_begin(b.tape, (assay_step){0});
    assay_tensor *x = assay_decoder_embed(b.tape, b.decoder, b.ids);
    x = assay_decoder_forward(b.tape, b.decoder, x, lengths, NULL);
    tape_must(b.tape, x != NULL);
    const float *want = assay_weights_find(reference, "adapted")->data;
    for (int64_t i = 0; i < assay_tensor_count(x); i++)
        assert_true(fabsf(assay_f32(x)[i] - want[i]) < 2e-6f);
    assay_tensor_free(lengths);
    assay_weights_close(reference);
    bench_close(&b);
}

/* ---- counts ---- */

static const assay_decoder_config half_billion = {.vocabulary = 151936,
                                                  .width = 896,
                                                  .layers = 24,
                                                  .heads = 14,
                                                  .kv_heads = 2,
                                                  .head_width = 64,
                                                  .mlp_width = 4864,
                                                  .positions = 32768,
                                                  .rope_base = 1e6,
                                                  .norm_eps = 1e-6f,
                                                  .qkv_bias = true,
                                                  .tied_head = true,
                                                  .init_sd = 0.02f};
static const assay_bert_config bert_base = {.vocabulary = 21128,
                                            .width = 768,
                                            .layers = 12,
                                            .heads = 12,
                                            .mlp_width = 3072,
                                            .positions = 512,
                                            .types = 2,
                                            .norm_eps = 1e-12f,
                                            .dropout = 0.1f,
                                            .init_sd = 0.02f};

static void the_papers_counts(void **state)
{
    (void)state;
    bench b;
    assay_error error = {0};
    assay_bert *more[5];
    bench_open(&b, true, &half_billion);
    for (int i = 0; i < 5; i++) {
        char prefix[] = "gte.0.";
        prefix[4] = (char)('0' + i);
        more[i] = assay_bert_new(b.params, prefix, &bert_base, &error);
        must(more[i] != NULL, &error);
    }
    use *u = bench_use(&b);
    use_number(u, "rank", 64);
    must(bench_try(&b, &error), &error);
    assert_int_equal(assay_params_size(b.params, "adapter.lora.", true), 35192832);
    u = bench_use(&b);
    use_number(u, "rank", 64);
    use_list(u, "targets", "query,key,value,output.dense");
    use_list(u, "within", "gte.");
    must(bench_try(&b, &error), &error);
    assert_int_equal(assay_params_size(b.params, "adapter.lora#2.", true), 38338560);
    assert_int_equal(assay_params_size(b.params, "gte.", true), 0);
    for (int i = 0; i < 5; i++)
        assay_bert_free(more[i]);
    bench_close(&b);
}

/* ---- freezing ---- */

static void the_stacks_it_acts_in_are_frozen(void **state)
{
    static const struct {
        const char *freeze, *train, *within;
        bool embedding, norm, bill, spm, head;
    } cases[] = {
        {"stacks", "", "", false, false, false, false, true},
        {"stacks", "", "model.", false, false, true, true, true},
        {"stacks", "", "encoder.bill.", true, true, false, true, true},
        {"stacks", "model.norm.,encoder.spm.", "", false, true, false, true, true},
        {"all", "", "model.", false, false, false, false, false},
        {"all", "head.", "model.", false, false, false, false, true},
        {"nothing", "", "", true, true, true, true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b;
        assay_error error = {0};
        bool decoder = strstr(cases[i].within, "encoder") == NULL;
        bool bert = strstr(cases[i].within, "model.") == NULL;
        bench_open(&b, false, &small_decoder);
        use *u = bench_use(&b);
        use_list(u, "targets", decoder && bert ? "q_proj,query" : decoder ? "q_proj" : "query");
        use_list(u, "within", cases[i].within);
        use_list(u, "train", cases[i].train);
        use_text(u, "freeze", cases[i].freeze);
        must(bench_try(&b, &error), &error);
        assert_int_equal(trains(&b, "model.embed_tokens.weight"), cases[i].embedding);
        assert_int_equal(trains(&b, "model.norm.weight"), cases[i].norm);
        assert_int_equal(trains(&b, "encoder.bill.encoder.layer.1.output.dense.weight"),
                         cases[i].bill);
        assert_int_equal(trains(&b, "encoder.spm.encoder.layer.1.output.dense.weight"),
                         cases[i].spm);
        assert_int_equal(trains(&b, "head.weight"), cases[i].head);
        for (int64_t k = 0; k < assay_params_count(b.params); k++)
            if (strncmp(assay_params_at(b.params, k)->name, "adapter.", 8) == 0)
                assert_true(assay_params_at(b.params, k)->trainable);
        bench_close(&b);
    }
}

/* The second of two adapters that freezes everything leaves the first one's branches learning. */
static void two_adapters_stand_in_one_list(void **state)
{
    (void)state;
    bench b;
    assay_error error = {0};
    bench_open(&b, false, &small_decoder);
    bench_adapt(&b, "q_proj", 2);
    use *u = bench_use(&b);
    use_list(u, "targets", "query");
    use_text(u, "freeze", "all");
    must(bench_try(&b, &error), &error);
    assert_true(trains(&b, "adapter.lora.model.layers.0.self_attn.q_proj.lora_A.weight"));
    assert_true(trains(
        &b, "adapter.lora#2.encoder.bill.encoder.layer.0.attention.self.query.lora_A.weight"));
    assert_int_equal(assay_loras(b.params), 2);
    assert_string_equal(assay_lora_at(b.params, 1)->prefix, "adapter.lora#2.");
    assert_int_equal(assay_lora_at(b.params, 0)->rank, 2);
    bench_close(&b);
}

/* ---- wrong input ---- */

static void wrong_targets_are_errors(void **state)
{
    static const struct {
        const char *targets, *within, *train;
        const char *word; /* in the message */
    } cases[] = {
        {"q_prog", "", "", "did you mean 'q_proj'?"},
        {"q_proj,nothing_like_it", "", "", "no layer of the model is called 'nothing_like_it'"},
        {"", "", "", "no layer is named"},
        {"proj", "", "", "no layer of the model is called 'proj'"}, /* not behind a dot */
        {"embed_tokens", "", "", "no layer of the model is called 'embed_tokens'"},
        {"q_proj", "encoder.", "", "'within' may keep the layer out"},
        {"q_proj", "", "modle.", "no parameter's name begins so"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b;
        char text[1200];
        assay_error error = {0};
        bench_open(&b, false, &small_decoder);
        use *u = bench_use(&b);
        use_list(u, "targets", cases[i].targets);
        use_list(u, "within", cases[i].within);
        use_list(u, "train", cases[i].train);
        assert_false(bench_try(&b, &error));
        assay_error_format(&error, text, sizeof text);
        if (error.code != ASSAY_BAD_INPUT || !strstr(text, cases[i].word))
            fail_msg("expected \"%s\", got: %s", cases[i].word, text);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_adapter_changes_no_bit),
        cmocka_unit_test(fused_places_are_reached),
        cmocka_unit_test(a_starts_kaiming_uniform_and_b_zero),
        cmocka_unit_test(a_branch_is_a_change_of_its_matrix),
        cmocka_unit_test(a_vision_transformer_takes_branches),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(towers_drop_their_own),
        cmocka_unit_test(an_adapter_of_peft_is_read),
        cmocka_unit_test(the_papers_counts),
        cmocka_unit_test(the_stacks_it_acts_in_are_frozen),
        cmocka_unit_test(two_adapters_stand_in_one_list),
        cmocka_unit_test(wrong_targets_are_errors),
    };
    return cmocka_run_group_tests_name("adapter lora", tests, NULL, NULL);
}
