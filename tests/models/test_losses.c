/* test_losses.c - the loss plugins give the spec's golden values and the engine's own, and ask for
 * what they read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/use.h"
#include "under_test.h"

#include <assay/ops.h>

static assay_tape *new_tape(void)
{
    assay_error error = {0};
    const assay_device *device = device_under_test(&error);
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

/* ---- the golden file, through the plugins ---- */

static assay_tensor *golden_leaf(const assay_weights *file, const char *name)
{
    assay_error error = {0};
    assay_tensor *tensor = golden_tensor(file, name, ASSAY_F32);
    must(assay_tensor_want_grad(tensor, &error), &error);
    return tensor;
}

static void assert_near(const assay_weights *file, const char *name, const float *got, double most)
{
    double difference = 0, size = 0;
    assay_tensor *want = golden_tensor(file, name, ASSAY_F32);
    for (int64_t i = 0; i < assay_tensor_count(want); i++) {
        double d = (double)got[i] - (double)assay_f32(want)[i];
        difference += d * d;
        size += (double)assay_f32(want)[i] * (double)assay_f32(want)[i];
    }
    if (!(sqrt(difference) <= most * sqrt(size) + 1e-7))
        fail_msg("%s is %g off, of %g", name, sqrt(difference), sqrt(size));
    assay_tensor_free(want);
}

/* Temperature 0.02 makes e^(1/tau) 5e21: only a log-sum-exp stays finite. Margin 2 filters
 * nothing. */
static void every_variant_agrees_with_the_reference(void **state)
{
    static const char *const variants[] = {"qa_code", "qa_paper", "gg_paper", "gg_code"};
    static const struct {
        const char *name;
        double temperature, margin;
    } rows[] = {{"tau0.07.margin0.1", 0.07, 0.1},
                {"tau0.02.margin0.1", 0.02, 0.1},
                {"tau0.07.margin2", 0.07, 2}};
    (void)state;
    assay_weights *file = golden_open("users/losses.safetensors");
    assay_tensor *x = golden_leaf(file, "X"), *y = golden_leaf(file, "Y");
    assay_tape *tape = new_tape();
    for (int k = 0; k < 12; k++) {
        const char *stem = assay_text("%s.%s", variants[k / 3], rows[k % 3].name);
        char name[64];
        snprintf(name, sizeof name, "%s", stem);
        use used = use_open("loss_contrastive");
        recorder host;
        recorder_begin(&host);
        use_text(&used, "variant", variants[k / 3]);
        use_number(&used, "temperature", rows[k % 3].temperature);
        use_number(&used, "margin", rows[k % 3].margin);
        void *loss = open_loss(&used, &host);
        x->has_grad = y->has_grad = false;
        assay_tape_begin(tape, (assay_step){.training = true});
        const assay_outputs outputs = {
            .count = 2, .names = {"user.embedding", "answer.embedding"}, .tensors = {x, y}};
        const assay_batch batch = {.samples = x->shape[0]};
        const assay_clock clock = {.phase = ASSAY_TRAINING};
        assay_tensor *value = use_loss(&used)->compute(loss, tape, &clock, &batch, &outputs);
        tape_must(tape, value && assay_tape_backward(tape, value, 1));
        const float got = (float)assay_value(value);
        assert_near(file, assay_text("%s.loss", name), &got, 1e-5);
        assert_near(file, assay_text("%s.dX", name), assay_gradient(x), 1e-4);
        assert_near(file, assay_text("%s.dY", name), assay_gradient(y), 1e-4);
        if (rows[k % 3].margin == 2)
            assert_true(recorder_value(&host, "loss/contrastive#2/masked") == 0);
        use_loss(&used)->close(loss);
        use_close(&used);
    }
    assay_tape_free(tape);
    assay_tensor_free(x);
    assay_tensor_free(y);
    assay_weights_close(file);
}

/* ---- prototype ---- */

/* A dataset of nothing but the labels of its train split. */
typedef struct labels {
    const int32_t *items;
    int64_t count;
} labels;

static int64_t labels_count(void *dataset, assay_data_split split, int benchmark)
{
    (void)benchmark;
    return split == ASSAY_TRAIN ? ((const labels *)dataset)->count : 0;
}

static bool labels_copy(void *dataset, assay_data_split split, int benchmark, int64_t first,
                        int64_t n, int32_t *out, assay_error *error)
{
    const labels *all = dataset;
    (void)split;
    (void)benchmark;
    (void)error;
    memcpy(out, all->items + first, (size_t)n * sizeof *out);
    return true;
}

/* A prototype loss being tested: its parameters, and what it is opened with. */
typedef struct prototypes {
    use used;
    labels labels;
    assay_dataset_functions functions;
    assay_data data;
    assay_model_facts facts;
    assay_params *params;
    void *loss;
    assay_error error;
} prototypes;

static void prototypes_begin(prototypes *p, int64_t width, int64_t n, const int32_t *label)
{
    *p = (prototypes){
        .used = use_open("loss_prototype"),
        .labels = {label, n},
        .functions = {.size = sizeof p->functions, .count = labels_count, .labels = labels_copy},
        .facts = {.size = sizeof p->facts, .embedding = width}};
    p->data = (assay_data){.size = sizeof p->data,
                           .name = "of_labels",
                           .functions = &p->functions,
                           .dataset = &p->labels};
    p->params = assay_params_new(1, &p->error);
    must(p->params != NULL, &p->error);
}

static bool prototypes_open(prototypes *p)
{
    const assay_loss_setup setup = {.size = sizeof setup,
                                    .facts = &p->facts,
                                    .data = &p->data,
                                    .params = p->params,
                                    .prefix = "loss.prototype.",
                                    .split = ASSAY_TRAIN};
    p->loss = use_loss(&p->used)->open(p->used.options, &setup, &p->error);
    return p->loss != NULL;
}

static float *prototypes_points(prototypes *p)
{
    return assay_f32(assay_params_find(p->params, "loss.prototype.prototypes")->value);
}

static void prototypes_end(prototypes *p)
{
    if (p->loss)
        use_loss(&p->used)->close(p->loss);
    assay_params_free(p->params);
    use_close(&p->used);
}

/* The loss of x with these labels, on `tape`; NULL after a failure. */
static assay_tensor *prototypes_compute(prototypes *p, assay_tape *tape, assay_tensor *x,
                                        const int32_t *label)
{
    const assay_clock clock = {.phase = ASSAY_TRAINING};
    assay_batch batch = {.samples = x->shape[0]};
    const assay_outputs outputs = {.count = 1, .names = {"user.embedding"}, .tensors = {x}};
    batch.labels = assay_tape_constant(tape, ASSAY_I32, 1, &batch.samples, label);
    return use_loss(&p->used)->compute(p->loss, tape, &clock, &batch, &outputs);
}

/* User-modelling spec 2.6: both with cosines and with products, for all four vectors have length
 * 1. */
static void prototype_gives_the_golden_value(void **state)
{
    static const float u[] = {.6f, .8f, 1, 0}, points[] = {.8f, .6f, -.6f, .8f};
    static const int32_t y[] = {0, 1};
    (void)state;
    for (int normalize = 0; normalize < 2; normalize++) {
        prototypes p;
        prototypes_begin(&p, 2, 2, y);
        use_number(&p.used, "normalize", normalize);
        must(prototypes_open(&p), &p.error);
        memcpy(prototypes_points(&p), points, sizeof points);
        assay_tape *tape = new_tape();
        assay_tensor *value = prototypes_compute(&p, tape, numbers(tape, 2, 2, u), y);
        tape_must(tape, value != NULL);
        assert_true(fabs(assay_value(value) - 10.000030) < 1e-5);
        assay_tape_free(tape);
        prototypes_end(&p);
    }
}

static void prototype_agrees_with_the_reference(void **state)
{
    (void)state;
    assay_weights *file = golden_open("users/losses.safetensors");
    assay_tensor *x = golden_leaf(file, "X");
    assay_tensor *points = golden_tensor(file, "prototype.p", ASSAY_F32);
    assay_tensor *y = golden_tensor(file, "prototype.y", ASSAY_I32);
    prototypes p;
    prototypes_begin(&p, x->shape[1], assay_tensor_count(y), assay_i32(y));
    use_number(&p.used, "temperature", golden_scalar(file, "prototype.tau"));
    must(prototypes_open(&p), &p.error);
    const assay_parameter *own = assay_params_find(p.params, "loss.prototype.prototypes");
    assert_true(assay_tensor_same_shape(own->value, points) && !own->decays && own->trainable);
    memcpy(assay_elements(own->value), assay_elements(points), (size_t)assay_tensor_bytes(points));
    assay_tape *tape = new_tape();
    assay_tensor *value = prototypes_compute(&p, tape, x, assay_i32(y));
    tape_must(tape, value && assay_tape_backward(tape, value, 1));
    const float got = (float)assay_value(value);
    assert_near(file, "prototype.loss", &got, 1e-5);
    assert_near(file, "prototype.dX", assay_gradient(x), 1e-4);
    assert_near(file, "prototype.dp", assay_gradient(own->value), 1e-4);
    assay_tape_free(tape);
    prototypes_end(&p);
    assay_tensor_free(x);
    assay_tensor_free(y);
    assay_tensor_free(points);
    assay_weights_close(file);
}

/* Four samples in two batches of the training set, as the host shows them. */
static bool show_samples(void *user, int64_t most, const assay_wanted *wanted, assay_visitor visit,
                         void *visitor, assay_error *error)
{
    static const float rows[] = {3, 4, 1, 0, 0, 2, 0, 1};
    assay_tape *tape = user;
    assert_int_equal(wanted->count, 1);
    for (int64_t at = 0; at < (most > 0 ? most : 4); at += 2) {
        assay_batch batch = {.samples = 2};
        const assay_outputs outputs = {.count = 1,
                                       .names = {wanted->names[0]},
                                       .tensors = {numbers(tape, 2, 2, rows + 2 * at)}};
        batch.labels = assay_tape_constant(tape, ASSAY_I32, 1, &batch.samples,
                                           (int32_t[]){0, at == 0 ? 0 : 1});
        if (!visit(visitor, at, &batch, &outputs, error))
            return false;
    }
    return true;
}

static void prototypes_start_as_class_means(void **state)
{
    static const int32_t y[] = {0, 0, 0, 1};
    static const float expected[2][4] = {{4.0f / 3, 2, 0, 1}, {1.6f / 3, 1.8f / 3, 0, 1}};
    (void)state;
    for (int normalize = 0; normalize < 2; normalize++) {
        prototypes p;
        assay_tape *tape = new_tape();
        assay_loss_start start = {
            .size = sizeof start, .user = tape, .samples = 4, .each = show_samples};
        prototypes_begin(&p, 2, 4, y);
        use_number(&p.used, "normalize", normalize);
        must(prototypes_open(&p), &p.error);
        must(use_loss(&p.used)->prepare(p.loss, &start, &p.error), &p.error);
        for (int i = 0; i < 4; i++)
            assert_true(fabsf(prototypes_points(&p)[i] - expected[normalize][i]) < 1e-6f);
        prototypes_end(&p);
        /* The second class is not among the first two samples. */
        prototypes_begin(&p, 2, 4, y);
        use_number(&p.used, "init_samples", 2);
        must(prototypes_open(&p), &p.error);
        assert_false(use_loss(&p.used)->prepare(p.loss, &start, &p.error));
        assert_non_null(strstr(p.error.what, "class 1 has no training sample"));
        prototypes_end(&p);
        assay_tape_free(tape);
    }
}

static void labels_that_are_no_classes_are_refused(void **state)
{
    static const struct {
        int32_t label[3];
        int64_t count;
        double classes, width;
        const char *what;
    } rows[] = {{{-1, -1, -1}, 3, 0, 4, "no training sample has a label"},
                {{0, 0, -1}, 3, 0, 4, "no classes to tell apart"},
                {{1, 1, 1}, 3, 0, 4, "no classes to tell apart"},
                {{0, 1, 0}, 3, 1, 4, "one class is none"},
                {{0}, 0, 0, 4, "no training sample has a label"},
                {{0, 1, 0}, 3, 0, 0, "does not say how wide"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        prototypes p;
        prototypes_begin(&p, (int64_t)rows[i].width, rows[i].count, rows[i].label);
        use_number(&p.used, "classes", rows[i].classes);
        assert_false(prototypes_open(&p));
        if (!strstr(p.error.what, rows[i].what))
            fail_msg("row %d says '%s'", (int)i, p.error.what);
        prototypes_end(&p);
    }
}

/* A batch of one class is a batch; a sample without label, or of a class without prototype, is
 * none. */
static void labels_of_a_batch_are_checked(void **state)
{
    static const float u[] = {.6f, .8f, 1, 0};
    static const int32_t y[] = {0, 1};
    static const struct {
        int32_t label[2];
        const char *what; /* NULL: it is well */
    } rows[] = {{{1, 1}, NULL},
                {{0, -1}, "sample 1 has no label"},
                {{2, 0}, "sample 0 has a label without prototype"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        prototypes p;
        prototypes_begin(&p, 2, 2, y);
        must(prototypes_open(&p), &p.error);
        assay_tape *tape = new_tape();
        assay_tensor *value = prototypes_compute(&p, tape, numbers(tape, 2, 2, u), rows[i].label);
        if (rows[i].what) {
            assert_null(value);
            assert_non_null(strstr(assay_tape_error(tape)->what, rows[i].what));
        } else {
            tape_must(tape, value && isfinite(assay_value(value)));
        }
        assay_tape_free(tape);
        prototypes_end(&p);
    }
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
        cmocka_unit_test(every_variant_agrees_with_the_reference),
        cmocka_unit_test(prototype_gives_the_golden_value),
        cmocka_unit_test(prototype_agrees_with_the_reference),
        cmocka_unit_test(prototypes_start_as_class_means),
        cmocka_unit_test(labels_that_are_no_classes_are_refused),
        cmocka_unit_test(labels_of_a_batch_are_checked),
        cmocka_unit_test(next_token_means_over_targets_or_sums_per_sample),
        cmocka_unit_test(a_missing_output_is_no_crash),
    };
    return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
