/* test_golden_bert.c - the BERT encoder, and a low-rank branch beside a linear layer, against
 * values computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/blocks.h>

#define CONFIG    "users/bert_config.json"
#define WEIGHTS   "users/bert_model.safetensors"
#define DECODER   "users/model.safetensors"
#define REFERENCE "users/bert.safetensors"

static void check_states(const assay_bert *bert, const assay_weights *reference,
                         const assay_device *device)
{
    assay_tensor *ids = golden_tensor(reference, "ids", ASSAY_I32);
    assay_tensor *lengths = golden_tensor(reference, "lengths", ASSAY_I32);
    assay_tape *tape = golden_tape(device);
    golden_group group = golden_begin("bert states", reference, device);
    assay_tape_begin(tape, (assay_step){.no_gradient = true});
    assay_tensor *hidden = assay_bert_forward(tape, bert, ids, lengths);
    assay_tensor *cls = assay_slice(tape, hidden, 1, 0, 1);
    golden_tape_must(tape, cls != NULL);
    golden_check_value(&group, "hidden", hidden);
    golden_check_value(&group, "cls", cls);
    golden_end(&group);
    assay_tape_free(tape);
    assay_tensor_free(ids);
    assay_tensor_free(lengths);
}

static void states_agree(void **state)
{
    (void)state;
    char path[4096];
    assay_error error = {0};
    assay_bert_config config;
    golden_path(CONFIG, path, sizeof path);
    golden_must(assay_bert_config_read(path, &config, &error), &error);
    assay_params *params = assay_params_new(0, &error);
    golden_must(params != NULL, &error);
    assay_bert *bert = assay_bert_new(params, NULL, &config, &error);
    golden_must(bert != NULL, &error);
    golden_load(params, WEIGHTS);
    assay_weights *reference = golden_open(REFERENCE);
    for (int d = 0; d < GOLDEN_DEVICES; d++)
        check_states(bert, reference, golden_device(d));
    assay_weights_close(reference);
    assay_bert_free(bert);
    assay_params_free(params);
}

/* y = W x + b + (alpha / rank) B A x */
static void check_lora(const assay_weights *model, const assay_weights *reference,
                       const assay_device *device)
{
    assay_tensor *w = golden_tensor(model, "model.layers.0.self_attn.q_proj.weight", ASSAY_F32);
    assay_tensor *b = golden_tensor(model, "model.layers.0.self_attn.q_proj.bias", ASSAY_F32);
    assay_tensor *down = golden_tensor(reference, "lora.A", ASSAY_F32);
    assay_tensor *up = golden_tensor(reference, "lora.B", ASSAY_F32);
    assay_tensor *x = golden_tensor(reference, "lora.x", ASSAY_F32);
    double scale = golden_scalar(reference, "lora.alpha") / golden_scalar(reference, "lora.rank");
    assay_tape *tape = golden_tape(device);
    golden_group group = golden_begin("lora", reference, device);
    assay_tape_begin(tape, (assay_step){.no_gradient = true});
    assay_tensor *base = assay_linear(tape, x, w, b, ASSAY_IDENTITY);
    assay_tensor *branch = assay_linear(tape, x, down, NULL, ASSAY_IDENTITY);
    branch = assay_linear(tape, branch, up, NULL, ASSAY_IDENTITY);
    assay_tensor *y = assay_add(tape, base, assay_scale(tape, branch, (float)scale));
    golden_tape_must(tape, y != NULL);
    golden_check_value(&group, "lora.y_layer0_q_proj", y);
    golden_end(&group);
    assay_tape_free(tape);
    assay_tensor *const leaves[] = {w, b, down, up, x};
    for (int i = 0; i < 5; i++)
        assay_tensor_free(leaves[i]);
}

static void a_low_rank_branch_agrees(void **state)
{
    (void)state;
    assay_weights *model = golden_open(DECODER), *reference = golden_open(REFERENCE);
    for (int d = 0; d < GOLDEN_DEVICES; d++)
        check_lora(model, reference, golden_device(d));
    assay_weights_close(model);
    assay_weights_close(reference);
}

int main(void)
{
    static const char *const bert_files[] = {CONFIG, WEIGHTS, REFERENCE, NULL};
    static const char *const lora_files[] = {DECODER, REFERENCE, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(states_agree), bert_files},
        {cmocka_unit_test(a_low_rank_branch_agrees), lora_files},
    };
    return golden_run("golden bert", sizeof tests / sizeof tests[0], tests);
}
