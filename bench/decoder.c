/* bench/decoder.c - the decoder benchmark: the training step that bench/peers/torch_decoder.py
 * defines.
 *
 * A Qwen2-shaped decoder (width 512, 8 layers, 8 heads over 2 key/value heads, gated MLP 1408,
 * vocabulary 8192, tied head) takes a batch of 8 x 512 random tokens, causal. The loss is the mean
 * next-token cross-entropy plus InfoNCE (temperature 0.05) between the last-token states of rows
 * 0-3 and rows 4-7; AdamW at 1e-4. One step to warm up, then the median of the rest. Prints one
 * JSON line.
 *
 * usage: decoder [fp32|bf16] [threads] [steps] [--profile] */
#include "timing.h"

enum { BATCH = 8, TOKENS = BENCH_TINY ? 16 : 512 };

static const assay_decoder_config config = {.vocabulary = BENCH_TINY ? 512 : 8192,
                                            .width = 512,
                                            .layers = BENCH_TINY ? 1 : 8,
                                            .heads = 8,
                                            .kv_heads = 2,
                                            .head_width = 64,
                                            .mlp_width = 1408,
                                            .positions = 512,
                                            .rope_base = 10000.0,
                                            .norm_eps = 1e-6f,
                                            .qkv_bias = true,
                                            .tied_head = true,
                                            .has_head = true,
                                            .init_sd = 0.02f};

typedef struct bench {
    assay_params *params;
    assay_decoder *decoder;
    assay_adamw *adamw;
    assay_tape *tape;
    assay_tensor *ids;
} bench;

static bool set_up(void *user, assay_precision precision, assay_error *error)
{
    bench *b = user;
    const assay_device *device = bench_device(error);
    assay_stream stream = assay_stream_of(0, "bench/ids", 0);
    if (!device || !(b->params = assay_params_new(0, error)) ||
        !(b->decoder = assay_decoder_new(b->params, NULL, &config, error)) ||
        !(b->adamw = assay_adamw_new(b->params, device, assay_adamw_defaults(), error)) ||
        !(b->tape = assay_tape_new(device, precision, error)) ||
        !(b->ids = assay_tensor_new(ASSAY_I32, 2, (int64_t[]){BATCH, TOKENS}, error)))
        return false;
    for (int64_t i = 0; i < BATCH * TOKENS; i++)
        assay_i32(b->ids)[i] = (int32_t)assay_random_below(stream, (uint64_t)i, config.vocabulary);
    return true;
}

/* InfoNCE between the first and the second half of the batch: cross-entropy over cosines / 0.05. */
static assay_tensor *info_nce(assay_tape *tape, assay_tensor *last)
{
    int32_t target[BATCH / 2];
    assay_tensor *left = assay_slice(tape, last, 0, 0, BATCH / 2);
    assay_tensor *right = assay_slice(tape, last, 0, BATCH / 2, BATCH / 2), *rows = NULL;
    for (int32_t i = 0; i < BATCH / 2; i++)
        target[i] = i;
    rows = assay_tape_constant(tape, ASSAY_I32, 1, (int64_t[]){BATCH / 2}, target);
    return assay_cross_entropy(
        tape, assay_scale(tape, assay_cosine_matrix(tape, left, right), 1.0f / 0.05f), rows,
        ASSAY_MEAN);
}

static bool train_step(void *user, uint64_t clock, double *loss_value, assay_error *error)
{
    bench *b = user;
    assay_attention_bias bias = assay_bias_causal();
    assay_tensor *hidden = NULL, *loss = NULL;
    assay_tape_begin(b->tape, (assay_step){.clock = clock, .training = true});
    hidden = assay_decoder_forward(b->tape, b->decoder,
                                   assay_decoder_embed(b->tape, b->decoder, b->ids), NULL, &bias);
    loss = assay_add(b->tape,
                     assay_next_token_loss(b->tape, b->decoder, hidden, b->ids, NULL, ASSAY_MEAN),
                     info_nce(b->tape, assay_last_token(b->tape, hidden, NULL)));
    *loss_value = assay_value(loss);
    if (!loss || !assay_tape_backward(b->tape, loss, 1.0f))
        return assay_tape_failed(b->tape, error);
    if (!assay_adamw_step(b->adamw, 1e-4f, 0.0f, NULL, error))
        return false;
    assay_params_clear_grads(b->params);
    return true;
}

/* 6 n per token, and causal attention counted once, as the peer does. */
static double work(const void *user)
{
    double n = (double)assay_params_size(((const bench *)user)->params, NULL, false);
    double tokens = BATCH * TOKENS;
    return 6.0 * n * tokens + 12.0 * (double)(config.layers * config.width) * TOKENS * tokens / 2.0;
}

static assay_tape *tape_of(void *user)
{
    return ((bench *)user)->tape;
}

int main(int argc, char **argv)
{
    static const timed what = {.name = "decoder",
                               .unit = "tokens",
                               .units = BATCH * TOKENS,
                               .set_up = set_up,
                               .step = train_step,
                               .work = work,
                               .tape = tape_of};
    bench b = {.params = NULL};
    int status = timing_main(argc, argv, &what, &b);
    assay_tensor_free(b.ids);
    assay_tape_free(b.tape);
    assay_adamw_free(b.adamw);
    assay_decoder_free(b.decoder);
    assay_params_free(b.params);
    return status;
}
