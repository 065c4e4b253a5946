/* test_event_losses.c - the losses of the baselines against plain loops, and their gradients
 * against differences: cpc, masked_event, distribution, future_alignment. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/use.h"
#include "under_test.h"

#include <assay/gradcheck.h>
#include <assay/nn.h>
#include <assay/ops.h>

/* Two samples: a feature token and four events; two events and padding. Three different texts. */
enum { B = 2, T = 5, D = 6, U = 3, V = 7 };
static const int32_t ids[B * T] = {ASSAY_IGNORE, 0,           1, 2, 1, 2, 0, ASSAY_IGNORE,
                                   ASSAY_IGNORE, ASSAY_IGNORE};
static const int32_t classes[B * T] = {ASSAY_IGNORE, 5,           6, 1, 6, 1, 5, ASSAY_IGNORE,
                                       ASSAY_IGNORE, ASSAY_IGNORE};
static const int32_t masked[B * T] = {0, 0, 1, 0, 1, 1, 0, 0, 0, 0};

/* A loss, open, with leaves in the place of a model's outputs. */
typedef struct bench {
    use used;
    recorder host;
    assay_tape *tape;
    assay_params *params;
    void *loss;
    int count;
    const char *names[8];
    assay_tensor *leaves[8]; /* f32; NULL for the integer outputs */
} bench;

static assay_tensor *leaf(const char *name, int rank, const int64_t *shape)
{
    assay_error error = {0};
    assay_tensor *t = assay_tensor_new(ASSAY_F32, rank, shape, &error);
    must(t && assay_tensor_want_grad(t, &error), &error);
    assay_random_fill_normal(assay_stream_of(8, name, 0), 0, assay_tensor_count(t), assay_f32(t));
    return t;
}

static assay_tensor *leaf_for(const char *name)
{
    if (strcmp(name, "user.event_past") == 0 || strcmp(name, "user.states") == 0)
        return leaf(name, 3, (int64_t[]){B, T, D});
    if (strcmp(name, "user.event_texts") == 0)
        return leaf(name, 2, (int64_t[]){U, D});
    if (strcmp(name, "user.head") == 0)
        return leaf(name, 2, (int64_t[]){V, D});
    if (strstr(name, "embedding"))
        return leaf(name, 2, (int64_t[]){4, D});
    return NULL;
}

static void bench_open(bench *b, const char *loss)
{
    assay_error error = {0};
    const assay_model_facts facts = {.size = sizeof facts, .width = D};
    const assay_device *device = device_under_test(&error);
    b->tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    b->params = assay_params_new(3, &error);
    must(b->tape && b->params, &error);
    recorder_begin(&b->host);
    const assay_loss_setup setup = {.size = sizeof setup,
                                    .facts = &facts,
                                    .params = b->params,
                                    .prefix = assay_text("loss.%s.", loss),
                                    .host = &b->host.host,
                                    .total = 10};
    must(use_loss(&b->used)->wants(b->used.options, b->names, &b->count, &error), &error);
    b->loss = use_loss(&b->used)->open(b->used.options, &setup, &error);
    must(b->loss != NULL, &error);
    for (int i = 0; i < b->count; i++)
        b->leaves[i] = leaf_for(b->names[i]);
}

static void bench_begin(bench *b, const char *loss)
{
    *b = (bench){.used = use_open(assay_text("loss_%s", loss))};
}

static void bench_close(bench *b)
{
    use_loss(&b->used)->close(b->loss);
    use_close(&b->used);
    for (int i = 0; i < b->count; i++)
        assay_tensor_free(b->leaves[i]);
    assay_params_free(b->params);
    assay_tape_free(b->tape);
}

/* The loss on the tape's pass. */
static assay_tensor *value_of(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    bench *b = user;
    const assay_batch batch = {.samples = B};
    const assay_clock clock = {.phase = ASSAY_TRAINING};
    assay_outputs outputs = {.count = b->count};
    (void)inputs;
    (void)n;
    for (int i = 0; i < b->count; i++) {
        const char *name = b->names[i];
        const int32_t *whole = strcmp(name, "user.event_ids") == 0       ? ids
                               : strcmp(name, "user.event_classes") == 0 ? classes
                                                                         : masked;
        outputs.names[i] = name;
        outputs.tensors[i] =
            b->leaves[i] ? b->leaves[i]
                         : assay_tape_constant(tape, ASSAY_I32, 2, (int64_t[]){B, T}, whole);
    }
    return use_loss(&b->used)->compute(b->loss, tape, &clock, &batch, &outputs);
}

static double value_once(bench *b)
{
    assay_tape_begin(b->tape, (assay_step){.seed = 5, .clock = 3, .training = true});
    assay_tensor *value = value_of(b->tape, NULL, 0, b);
    tape_must(b->tape, value != NULL);
    return assay_value(value);
}

/* Every output and parameter of the loss; that there are gradients at all is asserted. */
static void check_gradients(bench *b)
{
    assay_error error = {0};
    assay_tensor *inputs[16];
    int n = 0;
    assay_gradcheck_report report;
    for (int i = 0; i < b->count; i++)
        if (b->leaves[i])
            inputs[n++] = b->leaves[i];
    for (int64_t i = 0; i < assay_params_count(b->params); i++)
        inputs[n++] = assay_params_at(b->params, i)->value;
    const assay_gradcheck_options options = {.training = true};
    must(assay_gradcheck(b->tape, value_of, b, inputs, n, &options, &report, &error), &error);
    if (!report.passed)
        fail_msg("input %d, number %lld: %g, by differences %g", report.input,
                 (long long)report.entry, report.analytic, report.numeric);
    value_once(b);
    assay_tape_begin(b->tape, (assay_step){.seed = 5, .clock = 3, .training = true});
    assay_tensor *value = value_of(b->tape, NULL, 0, b);
    tape_must(b->tape, value && assay_tape_backward(b->tape, value, 1));
    for (int i = 0; i < n; i++)
        assert_true(inputs[i]->has_grad);
}

/* -log softmax of row . map . state against the n rows of a table. */
static double surprise(const float *state, const float *map, const float *table, int n, int target)
{
    double scores[16], guess[D] = {0}, sum = 0;
    for (int o = 0; o < D; o++)
        for (int k = 0; k < D; k++)
            guess[o] += (double)map[o * D + k] * (double)state[k];
    for (int j = 0; j < n; j++) {
        scores[j] = 0;
        for (int k = 0; k < D; k++)
            scores[j] += guess[k] * (double)table[j * D + k];
        sum += exp(scores[j]);
    }
    return log(sum) - scores[target];
}

static const float *numbers_of(const bench *b, const char *name)
{
    const assay_parameter *parameter = assay_params_find(b->params, name);
    for (int i = 0; i < b->count; i++)
        if (strcmp(b->names[i], name) == 0)
            return assay_f32(b->leaves[i]);
    if (!parameter)
        fail_msg("there is no %s", name);
    return assay_f32(parameter->value);
}

static void cpc_is_its_formula(void **state)
{
    (void)state;
    bench b;
    double expected = 0;
    bench_begin(&b, "cpc");
    use_number(&b.used, "steps", 3);
    bench_open(&b, "cpc");
    for (int k = 1; k <= 3; k++) {
        double sum = 0, pairs = 0;
        const float *map = numbers_of(&b, assay_text("loss.cpc.%d.weight", k));
        for (int s = 0; s < B; s++)
            for (int t = 0; t + k < T; t++)
                if (ids[s * T + t] >= 0 && ids[s * T + t + k] >= 0) {
                    sum += surprise(numbers_of(&b, "user.event_past") + (s * T + t) * D, map,
                                    numbers_of(&b, "user.event_texts"), U, ids[s * T + t + k]);
                    pairs++;
                }
        expected += pairs > 0 ? sum / pairs / 3 : 0;
    }
    assert_true(fabs(value_once(&b) - expected) < 1e-5);
    check_gradients(&b);
    bench_close(&b);
}

static void masked_event_is_its_formula(void **state)
{
    (void)state;
    for (int event = 0; event < 2; event++) {
        bench b;
        double sum = 0, places = 0;
        bench_begin(&b, "masked_event");
        use_text(&b.used, "target", event ? "event" : "category");
        bench_open(&b, "masked_event");
        for (int i = 0; i < B * T; i++)
            if (masked[i]) {
                sum += surprise(numbers_of(&b, "user.states") + i * D,
                                numbers_of(&b, "loss.masked_event.weight"),
                                numbers_of(&b, event ? "user.event_texts" : "user.head"),
                                event ? U : V, event ? ids[i] : classes[i]);
                places++;
            }
        assert_true(fabs(value_once(&b) - sum / places) < 1e-5);
        check_gradients(&b);
        bench_close(&b);
    }
}

/* With windows longer than any sequence all later events count; the moment drawn is one of those
 * that have any, so the value is one of the mixtures. */
static void distribution_is_the_mean_over_what_follows(void **state)
{
    (void)state;
    bench b;
    bool found = false;
    bench_begin(&b, "distribution");
    use_list(&b.used, "windows", "9");
    bench_open(&b, "distribution");
    double got = value_once(&b);
    for (int first = 1; first < 4; first++) { /* sample 0 at 1, 2 or 3; sample 1 has 0 alone */
        double sum = 0, events = 0;
        for (int s = 0; s < B; s++)
            for (int t = (s ? 0 : first) + 1; t < (s ? 2 : T); t++, events++)
                sum += surprise(numbers_of(&b, "user.event_past") + (s * T + (s ? 0 : first)) * D,
                                numbers_of(&b, "loss.distribution.1.weight"),
                                numbers_of(&b, "user.head"), V, classes[s * T + t]);
        found = found || fabs(got - sum / events) < 1e-5;
    }
    assert_true(found);
    check_gradients(&b);
    bench_close(&b);
}

static void distribution_wants_a_list_of_windows(void **state)
{
    (void)state;
    bench b;
    assay_error error = {0};
    bench_begin(&b, "distribution");
    use_list(&b.used, "windows", "1,2,3,4,5,6,7,8,9");
    assert_null(use_loss(&b.used)->open(b.used.options, &(assay_loss_setup){0}, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    use_close(&b.used);
}

static double cosine(const float *x, const float *y)
{
    double xy = 0, xx = 0, yy = 0;
    for (int k = 0; k < D; k++) {
        xy += (double)x[k] * (double)y[k];
        xx += (double)x[k] * (double)x[k];
        yy += (double)y[k] * (double)y[k];
    }
    return xy / sqrt(xx * yy);
}

static void future_alignment_is_its_formula(void **state)
{
    (void)state;
    for (int symmetric = 0; symmetric < 2; symmetric++) {
        bench b;
        double there = 0, back = 0;
        bench_begin(&b, "future_alignment");
        use_number(&b.used, "temperature", 0.5);
        use_number(&b.used, "symmetric", symmetric);
        bench_open(&b, "future_alignment");
        const float *x = numbers_of(&b, "user.embedding"), *y = numbers_of(&b, "answer.embedding");
        for (int i = 0; i < 4; i++) {
            double row = 0, column = 0;
            for (int j = 0; j < 4; j++) {
                row += exp(cosine(x + i * D, y + j * D) / 0.5);
                column += exp(cosine(x + j * D, y + i * D) / 0.5);
            }
            there += (log(row) - cosine(x + i * D, y + i * D) / 0.5) / 4;
            back += (log(column) - cosine(x + i * D, y + i * D) / 0.5) / 4;
        }
        assert_true(fabs(value_once(&b) - (symmetric ? (there + back) / 2 : there)) < 1e-5);
        assert_true(fabs(recorder_value(&b.host, "loss/future_alignment/temperature") - 0.5) <
                    1e-6);
        check_gradients(&b);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpc_is_its_formula),
        cmocka_unit_test(masked_event_is_its_formula),
        cmocka_unit_test(distribution_is_the_mean_over_what_follows),
        cmocka_unit_test(distribution_wants_a_list_of_windows),
        cmocka_unit_test(future_alignment_is_its_formula),
    };
    return cmocka_run_group_tests_name("losses over events", tests, NULL, NULL);
}
