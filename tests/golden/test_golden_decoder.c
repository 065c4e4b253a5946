/* test_golden_decoder.c - the decoder under every kind of bias, its next-token loss and all its
 * gradients, against values computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/blocks.h>

#define REFERENCE "users/decoder.safetensors"

static const char *const qwen_files[] = {"users/config.json", "users/model.safetensors", REFERENCE,
                                         NULL};
static const char *const llama_files[] = {"users/llama_config.json",
                                          "users/llama_model.safetensors", REFERENCE, NULL};

typedef struct stack {
    const assay_device *device;
    assay_params *params;
    assay_decoder *decoder;
    assay_tape *tape;
    assay_weights *reference;
    assay_tensor *ids, *lengths;
} stack;

/* files: configuration, weights, reference. */
static stack stack_open(const char *const files[], const assay_device *device)
{
    char path[4096];
    assay_error error = {0};
    assay_decoder_config config;
    stack s = {.device = device, .tape = golden_tape(device)};
    golden_path(files[0], path, sizeof path);
    golden_must(assay_decoder_config_read(path, &config, &error), &error);
    s.params = assay_params_new(0, &error);
    golden_must(s.params != NULL, &error);
    s.decoder = assay_decoder_new(s.params, NULL, &config, &error);
    golden_must(s.decoder != NULL, &error);
    golden_load(s.params, files[1]);
    s.reference = golden_open(files[2]);
    s.ids = golden_tensor(s.reference, "ids", ASSAY_I32);
    s.lengths = golden_tensor(s.reference, "lengths", ASSAY_I32);
    return s;
}

static void stack_close(stack *s)
{
    assay_tensor_free(s->ids);
    assay_tensor_free(s->lengths);
    assay_weights_close(s->reference);
    assay_tape_free(s->tape);
    assay_decoder_free(s->decoder);
    assay_params_free(s->params);
}

static assay_tensor *forward(stack *s, const assay_attention_bias *bias)
{
    assay_tensor *x = assay_decoder_embed(s->tape, s->decoder, s->ids);
    return assay_decoder_forward(s->tape, s->decoder, x, s->lengths, bias);
}

/* ---- states ---- */

/* (T, T) log-weights as the (1, 1, T, T) that every layer, head and row shares. */
static assay_attention_bias dense_bias(assay_tape *tape, assay_tensor *log_weights)
{
    const int64_t *shape = log_weights->shape;
    return (assay_attention_bias){
        .future = ASSAY_FUTURE_OPEN,
        .log_weight = assay_reshape(tape, log_weights, 4, (int64_t[]){1, 1, shape[0], shape[1]})};
}

static void check_states(stack *s)
{
    assay_tensor *span = golden_tensor(s->reference, "span", ASSAY_I32);
    assay_tensor *log_weights = golden_tensor(s->reference, "log_weights", ASSAY_F32);
    golden_group group = golden_begin("decoder states", s->reference, s->device);
    static const char *const names[] = {"hidden.causal", "hidden.full", "hidden.prefix",
                                        "hidden.scalar", "hidden.dense"};
    for (int i = 0; i < 5; i++) {
        assay_tape_begin(s->tape, (assay_step){.no_gradient = true});
        const assay_attention_bias biases[] = {
            assay_bias_causal(), assay_bias_full(), (assay_attention_bias){.span = span},
            assay_bias_future(s->tape, 0.3f), dense_bias(s->tape, log_weights)};
        assay_tensor *hidden = forward(s, &biases[i]);
        golden_tape_must(s->tape, hidden != NULL);
        golden_check_value(&group, names[i], hidden);
    }
    golden_end(&group);
    assay_tensor_free(span);
    assay_tensor_free(log_weights);
}

static void states_agree_under_every_bias(void **state)
{
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        stack s = stack_open(qwen_files, golden_device(d));
        check_states(&s);
        stack_close(&s);
    }
}

/* ---- gradients ---- */

static void check_next_token(stack *s, double tolerance)
{
    golden_group group = golden_begin("next token", s->reference, s->device);
    group.tolerance = tolerance;
    assay_attention_bias causal = assay_bias_causal();
    assay_tape_begin(s->tape, (assay_step){0});
    assay_tensor *hidden = forward(s, &causal);
    assay_tensor *loss =
        assay_next_token_loss(s->tape, s->decoder, hidden, s->ids, s->lengths, ASSAY_MEAN);
    golden_tape_must(s->tape, loss && assay_tape_backward(s->tape, loss, 1.0f));
    golden_check_value(&group, "next_token.loss", loss);
    golden_check_gradients(&group, "next_token.grad.", s->params);
    golden_end(&group);
}

static void next_token_loss_and_gradients_agree(void **state)
{
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        stack s = stack_open(qwen_files, golden_device(d));
        check_next_token(&s, GOLDEN_AGREEMENT);
        stack_close(&s);
    }
}

static void check_dense(stack *s)
{
    assay_error error = {0};
    assay_tensor *log_weights = golden_tensor(s->reference, "log_weights", ASSAY_F32);
    assay_tensor *cotangent = golden_tensor(s->reference, "dense.cotangent", ASSAY_F32);
    golden_group group = golden_begin("dense bias", s->reference, s->device);
    golden_must(assay_tensor_want_grad(log_weights, &error), &error);
    assay_tape_begin(s->tape, (assay_step){0});
    assay_attention_bias bias = dense_bias(s->tape, log_weights);
    assay_tensor *hidden = forward(s, &bias);
    assay_tensor *loss = assay_sum(s->tape, assay_mul(s->tape, hidden, cotangent));
    golden_tape_must(s->tape, loss && assay_tape_backward(s->tape, loss, 1.0f));
    golden_check_gradient(&group, "dense.grad.log_weights", log_weights);
    golden_check_gradients(&group, "dense.grad.", s->params);
    golden_end(&group);
    assay_tensor_free(log_weights);
    assay_tensor_free(cotangent);
}

static void gradients_of_a_dense_bias_agree(void **state)
{
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        stack s = stack_open(qwen_files, golden_device(d));
        check_dense(&s);
        stack_close(&s);
    }
}

/* ---- bf16 ---- */

static stack stack_open_bf16(const assay_device *device)
{
    stack s = stack_open(qwen_files, device);
    assay_error error = {0};
    assay_tape_free(s.tape);
    s.tape = assay_tape_new(s.device, ASSAY_PRECISION_BF16, &error);
    golden_must(s.tape != NULL, &error);
    return s;
}

/* Eight significant bits in every factor and activation of three layers. A device may fuse
 * attention here: causal and open without costs, with lengths, two query heads to a key head. */
static void a_bf16_stack_agrees_with_fp32_numbers(void **state)
{
    static const char *const names[] = {"hidden.causal", "hidden.full"};
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        stack s = stack_open_bf16(golden_device(d));
        golden_group group = golden_begin("bf16 states", s.reference, s.device);
        group.tolerance = 2e-2;
        for (int i = 0; i < 2; i++) {
            const assay_attention_bias bias = i ? assay_bias_full() : assay_bias_causal();
            assay_tape_begin(s.tape, (assay_step){.no_gradient = true});
            assay_tensor *hidden = forward(&s, &bias);
            golden_tape_must(s.tape, hidden != NULL);
            golden_check_value(&group, names[i], assay_cast(s.tape, hidden, ASSAY_F32));
        }
        golden_end(&group);
        stack_close(&s);
    }
}

static void gradients_of_a_bf16_stack_agree_with_fp32_ones(void **state)
{
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        stack s = stack_open_bf16(golden_device(d));
        check_next_token(&s, 5e-2);
        stack_close(&s);
    }
}

/* ---- the same stack without biases, with a head of its own ---- */

static void check_llama(stack *s)
{
    golden_group group = golden_begin("llama logits", s->reference, s->device);
    assay_attention_bias causal = assay_bias_causal();
    assay_tape_begin(s->tape, (assay_step){.no_gradient = true});
    assay_tensor *logits = assay_linear(s->tape, forward(s, &causal),
                                        assay_decoder_head(s->decoder), NULL, ASSAY_IDENTITY);
    golden_tape_must(s->tape, logits != NULL);
    golden_check_value(&group, "llama.logits", logits);
    golden_end(&group);
}

static void llama_logits_agree(void **state)
{
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        stack s = stack_open(llama_files, golden_device(d));
        check_llama(&s);
        stack_close(&s);
    }
}

int main(void)
{
    const golden_test tests[] = {
        {cmocka_unit_test(states_agree_under_every_bias), qwen_files},
        {cmocka_unit_test(next_token_loss_and_gradients_agree), qwen_files},
        {cmocka_unit_test(gradients_of_a_dense_bias_agree), qwen_files},
        {cmocka_unit_test(a_bf16_stack_agrees_with_fp32_numbers), qwen_files},
        {cmocka_unit_test(gradients_of_a_bf16_stack_agree_with_fp32_ones), qwen_files},
        {cmocka_unit_test(llama_logits_agree), llama_files},
    };
    return golden_run("golden decoder", sizeof tests / sizeof tests[0], tests);
}
