/* test_losses.c - the loss plugins give the spec's golden values and the engine's own, and ask for
 * what they read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/use.h"

#include <assay/ops.h>

static assay_tape *new_tape(void)
{
    assay_error error = {0};
    const assay_device *device = assay_device_cpu(&error);
    must(device != NULL, &error);
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    must(tape != NULL, &error);
    assay_tape_begin(tape, (assay_step){.training = true});
    return tape;
}

static assay_tensor *numbers(assay_tape *tape, int64_t rows, int64_t width, const float *values)
{
    assay_tensor *t = assay_tape_constant(tape, ASSAY_F32, 2, (int64_t[]){rows, width}, values);
    tape_must(tape, t != NULL);
    return t;
}

static void *open_loss(const use *used, recorder *host)
{
    assay_error error = {0};
    const assay_loss_setup setup = {
        .size = sizeof setup, .prefix = "loss.contrastive#2.", .host = &host->host, .total = 10};
    void *loss = use_loss(used)->open(used->options, &setup, &error);
    must(loss != NULL, &error);
    return loss;
}

/* ---- contrastive ---- */

/* The golden vectors of user-modelling spec 1.6: margin .1, temperature .07. */
static const float left[] = {1, 0, .2f, .6f, .8f, 0, -.3f, 1, .5f, .9f, .1f, .1f};
static const float right[] = {.9f, .3f, .1f, .5f, .9f, .2f, .1f, .8f, .9f, .2f, -.7f, .6f};

static void contrastive_gives_the_golden_values(void **state)
{
    static const struct {
        const char *variant;
        double value;
    } rows[] = {{"qa_code", 0.699240},
                {"qa_paper", 0.635402},
                {"gg_paper", 0.643789},
                {"gg_code", 0.298942}};
    (void)state;
    assay_tape *tape = new_tape();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        use used = use_open("loss_contrastive");
        recorder host;
        recorder_begin(&host);
        use_text(&used, "variant", rows[i].variant);
        void *loss = open_loss(&used, &host);
        assay_outputs outputs = {
            .count = 2,
            .names = {"user.embedding", "answer.embedding"},
            .tensors = {numbers(tape, 4, 3, left), numbers(tape, 4, 3, right)}};
        const assay_batch batch = {.samples = 4};
        const assay_clock clock = {.phase = ASSAY_TRAINING};
        assay_tensor *value = use_loss(&used)->compute(loss, tape, &clock, &batch, &outputs);
        tape_must(tape, value != NULL);
        assert_true(fabs(assay_value(value) - rows[i].value) < 2e-6);
        /* Row 4 alone leaves out negatives. */
        assert_true(recorder_value(&host, "loss/contrastive#2/masked") >= 2);
        use_loss(&used)->close(loss);
        use_close(&used);
    }
    assay_tape_free(tape);
}

static void one_pair_alone_costs_nothing(void **state)
{
    static const char *const variants[] = {"qa_code", "qa_paper", "gg_paper", "gg_code"};
    (void)state;
    assay_tape *tape = new_tape();
    for (int i = 0; i < 4; i++) {
        use used = use_open("loss_contrastive");
        recorder host;
        recorder_begin(&host);
        use_text(&used, "variant", variants[i]);
        void *loss = open_loss(&used, &host);
        assay_outputs outputs = {
            .count = 2,
            .names = {"user.embedding", "answer.embedding"},
            .tensors = {numbers(tape, 1, 3, left), numbers(tape, 1, 3, right)}};
        const assay_batch batch = {.samples = 1};
        const assay_clock clock = {.phase = ASSAY_TRAINING};
        assay_tensor *value = use_loss(&used)->compute(loss, tape, &clock, &batch, &outputs);
        tape_must(tape, value != NULL);
        assert_true(fabs(assay_value(value)) < 1e-6);
        use_loss(&used)->close(loss);
        use_close(&used);
    }
    assay_tape_free(tape);
}

static void contrastive_reads_the_outputs_it_is_told(void **state)
{
    (void)state;
    use used = use_open("loss_contrastive");
    const char *names[8];
    int count = 0;
    assay_error error = {0};
    use_text(&used, "left", "image.a");
    use_text(&used, "right", "image.b");
    must(use_loss(&used)->wants(used.options, names, &count, &error), &error);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "image.a");
    assert_string_equal(names[1], "image.b");
    assert_true(use_loss(&used)->couples);
    use_close(&used);
}

/* ---- next_token ---- */

enum { ROWS = 2, TOKENS = 3, WIDTH = 4, WORDS = 5 };

static void next_token_means_over_targets_or_sums_per_sample(void **state)
{
    static const int32_t targets[ROWS * TOKENS] = {2, ASSAY_IGNORE, 4, ASSAY_IGNORE, ASSAY_IGNORE,
                                                   0};
    float states[ROWS * TOKENS * WIDTH], head[WORDS * WIDTH];
    double by_hand = 0;
    (void)state;
    assay_random_fill_normal(assay_stream_of(1, "states", 0), 0, ROWS * TOKENS * WIDTH, states);
    assay_random_fill_normal(assay_stream_of(1, "head", 0), 0, WORDS * WIDTH, head);
    for (int r = 0; r < ROWS * TOKENS; r++) {
        double logits[WORDS], sum = 0;
        for (int v = 0; v < WORDS; v++) {
            logits[v] = 0;
            for (int k = 0; k < WIDTH; k++)
                logits[v] += (double)states[r * WIDTH + k] * (double)head[v * WIDTH + k];
            sum += exp(logits[v]);
        }
        if (targets[r] != ASSAY_IGNORE)
            by_hand += log(sum) - logits[targets[r]];
    }
    assay_tape *tape = new_tape();
    for (int summed = 0; summed < 2; summed++) {
        use used = use_open("loss_next_token");
        recorder host;
        recorder_begin(&host);
        use_text(&used, "reduction", summed ? "sum" : "mean");
        void *loss = open_loss(&used, &host);
        assay_outputs outputs = {
            .count = 3,
            .names = {"user.states", "user.targets", "user.head"},
            .tensors = {
                assay_tape_constant(tape, ASSAY_F32, 3, (int64_t[]){ROWS, TOKENS, WIDTH}, states),
                assay_tape_constant(tape, ASSAY_I32, 2, (int64_t[]){ROWS, TOKENS}, targets),
                numbers(tape, WORDS, WIDTH, head)}};
        const assay_batch batch = {.samples = ROWS};
        const assay_clock clock = {.phase = ASSAY_TRAINING};
        assay_tensor *value = use_loss(&used)->compute(loss, tape, &clock, &batch, &outputs);
        tape_must(tape, value != NULL);
        assert_true(fabs(assay_value(value) - by_hand / (summed ? ROWS : 3)) < 1e-5);
        assert_true(use_loss(&used)->targets(loss, &batch, &outputs) == (summed ? ROWS : 3));
        use_loss(&used)->close(loss);
        use_close(&used);
    }
    assay_tape_free(tape);
}

static void a_missing_output_is_no_crash(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    use used = use_open("loss_next_token");
    recorder host;
    recorder_begin(&host);
    void *loss = open_loss(&used, &host);
    const assay_outputs none = {.count = 0};
    const assay_batch batch = {.samples = ROWS};
    const assay_clock clock = {.phase = ASSAY_TRAINING};
    assert_null(use_loss(&used)->compute(loss, tape, &clock, &batch, &none));
    use_loss(&used)->close(loss);
    use_close(&used);
    assay_tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contrastive_gives_the_golden_values),
        cmocka_unit_test(one_pair_alone_costs_nothing),
        cmocka_unit_test(contrastive_reads_the_outputs_it_is_told),
        cmocka_unit_test(next_token_means_over_targets_or_sums_per_sample),
        cmocka_unit_test(a_missing_output_is_no_crash),
    };
    return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
