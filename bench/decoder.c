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
#include <assay/assay.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 8, TOKENS = 512, MAX_STEPS = 1000, MAX_OPS = 64 };

static const assay_decoder_config config = {.vocabulary = 8192,
                                            .width = 512,
                                            .layers = 8,
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

/* Seconds by operation and direction, for --profile. */
typedef struct profile {
    const char *name[MAX_OPS];
    bool backward[MAX_OPS];
    double seconds[MAX_OPS];
    int count;
} profile;

static void profile_add(const char *op, bool backward, double seconds, void *user)
{
    profile *p = user;
    int i = 0;
    while (i < p->count && !(p->backward[i] == backward && strcmp(p->name[i], op) == 0))
        i++;
    if (i == MAX_OPS)
        return;
    if (i == p->count) {
        p->name[p->count] = op;
        p->backward[p->count++] = backward;
    }
    p->seconds[i] += seconds;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool set_up(bench *b, assay_precision precision, assay_error *error)
{
    const assay_device *device = assay_device_cpu(error);
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

static bool train_step(bench *b, uint64_t clock, double *loss_value, assay_error *error)
{
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

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const bench *b, const char *mode, double *seconds, int steps, double loss)
{
    double n = (double)assay_params_size(b->params, NULL, false), tokens = BATCH * TOKENS;
    /* 6 n per token, and causal attention counted once, as the peer does */
    double work =
        6.0 * n * tokens + 12.0 * (double)(config.layers * config.width) * TOKENS * tokens / 2.0;
    struct rusage usage;
    double median;
    getrusage(RUSAGE_SELF, &usage);
    qsort(seconds, (size_t)steps, sizeof *seconds, by_value);
    median = seconds[steps / 2];
    printf("{\"peer\": \"assay\", \"mode\": \"%s\", \"threads\": %d, \"median_s\": %.6f, "
           "\"min_s\": %.6f, \"tokens_per_s\": %.1f, \"gflops\": %.2f, \"peak_mb\": %.1f, "
           "\"loss\": %.6f, \"device\": \"%s %s, %s\"}\n",
           mode, assay_threads(), median, seconds[0], tokens / median, work / median / 1e9,
           (double)usage.ru_maxrss / 1024.0, loss, assay_device_name(assay_tape_device(b->tape)),
           assay_device_variant(assay_tape_device(b->tape)), assay_products_version());
}

static void print_profile(const profile *p, int steps, double total)
{
    double known = 0.0;
    for (int i = 0; i < p->count; i++) {
        printf("%-20s %-8s %8.1f ms %5.1f %%\n", p->name[i],
               p->backward[i] ? "backward" : "forward", 1e3 * p->seconds[i] / steps,
               100.0 * p->seconds[i] / total);
        known += p->seconds[i];
    }
    printf("%-20s %-8s %8.1f ms %5.1f %%\n", "optimizer and rest", "",
           1e3 * (total - known) / steps, 100.0 * (total - known) / total);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "fp32";
    int threads = argc > 2 ? atoi(argv[2]) : 2, steps = argc > 3 ? atoi(argv[3]) : 5, status = 1;
    bool profiled = argc > 4 && strcmp(argv[4], "--profile") == 0, bf16 = strcmp(mode, "bf16") == 0;
    static double seconds[MAX_STEPS];
    profile times = {.count = 0};
    bench b = {.params = NULL};
    assay_error error = {0};
    double loss = 0.0, total = 0.0;
    char line[1024];
    if ((!bf16 && strcmp(mode, "fp32") != 0) || steps < 1 || steps > MAX_STEPS) {
        fprintf(stderr, "usage: decoder [fp32|bf16] [threads] [steps 1-%d] [--profile]\n",
                MAX_STEPS);
        return 2;
    }
    if (!assay_threads_set(threads, &error) ||
        !set_up(&b, bf16 ? ASSAY_PRECISION_BF16 : ASSAY_PRECISION_FP32, &error) ||
        !train_step(&b, 0, &loss, &error))
        goto done;
    if (profiled)
        assay_tape_profile(b.tape, profile_add, &times);
    for (int i = 0; i < steps; i++) {
        double begun = seconds_now();
        if (!train_step(&b, (uint64_t)i + 1, &loss, &error))
            goto done;
        seconds[i] = seconds_now() - begun;
        total += seconds[i];
    }
    print_result(&b, mode, seconds, steps, loss);
    if (profiled)
        print_profile(&times, steps, total);
    status = 0;
done:
    if (status)
        fprintf(stderr, "decoder: %s\n", assay_error_format(&error, line, sizeof line));
    assay_tensor_free(b.ids);
    assay_tape_free(b.tape);
    assay_adamw_free(b.adamw);
    assay_decoder_free(b.decoder);
    assay_params_free(b.params);
    return status;
}
