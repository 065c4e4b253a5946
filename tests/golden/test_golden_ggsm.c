/* test_golden_ggsm.c - whole GG-SM training runs: two towers with shared weights, a mask that
 * follows the gradients of the steps before (user-modelling spec 3.5, the code's variant), and
 * AdamW, against runs computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/blocks.h>
#include <assay/optim.h>

#define CONFIG   "users/config.json"
#define INITIAL  "users/ggsm_init.safetensors"
#define FORGETS  "users/ggsm.safetensors"
#define AVERAGES "users/ggsm_ema.safetensors"

#define SERIES_STEP 2e-3 /* relative agreement of one step of a series */
#define FINAL       1e-3 /* of a parameter after the run */
#define QUERY_STATE "query.final_norm"

/* ---- the mask ---- */

typedef struct guidance {
    int64_t length, warmup, total;
    double rho;
    double *importance, *frozen; /* (length, length) */
} guidance;

/* The weight of the future key j for the query i < j at `step`. */
static double future_weight(const guidance *g, int64_t step, int64_t i, int64_t j)
{
    if (step < g->warmup)
        return 1 / (1 + exp(-g->importance[i * g->length + j])) + 1e-8;
    double alpha = fmin((double)(step - g->warmup) / (double)(g->total - g->warmup), 1);
    if (g->warmup == 0)
        return alpha;
    return (1 - alpha) * g->frozen[i * g->length + j] + alpha;
}

/* log w over (1, 1, tokens, tokens), shared by layers, heads and rows. */
static assay_attention_bias bias_at(assay_tape *tape, const guidance *g, int64_t step,
                                    int64_t tokens)
{
    assay_tensor *log_weight =
        assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, 1, tokens, tokens});
    golden_tape_must(tape, log_weight != NULL);
    float *out = assay_f32(log_weight);
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t j = 0; j < tokens; j++)
            out[i * tokens + j] = j > i ? (float)log(future_weight(g, step, i, j)) : 0.0f;
    return (assay_attention_bias){.future = ASSAY_FUTURE_OPEN, .log_weight = log_weight};
}

static double mean_weight(const guidance *g, int64_t step, int64_t tokens)
{
    double sum = 0;
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t j = i + 1; j < tokens; j++)
            sum += future_weight(g, step, i, j);
    return sum / (0.5 * (double)tokens * (double)(tokens - 1));
}

static double row_norm(const float *row, int64_t width)
{
    double sum = 0;
    for (int64_t k = 0; k < width; k++)
        sum += (double)row[k] * (double)row[k];
    return sqrt(sum);
}

/* delta_ij: the gradient's norm at key j, summed over the rows in which i and j are valid. */
static void add_importance(const assay_tensor *state, const int32_t *lengths, int64_t side,
                           double *delta)
{
    int64_t tokens = state->shape[1], width = state->shape[2];
    for (int64_t b = 0; b < state->shape[0]; b++)
        for (int64_t j = 1; j < lengths[b]; j++) {
            double norm = row_norm(state->grad + (b * tokens + j) * width, width);
            for (int64_t i = 0; i < j; i++)
                delta[i * side + j] += norm;
        }
}

/* After the backward pass of `step`, while it is still warming up. */
static void learn(guidance *g, int64_t step, const assay_tensor *state, const int32_t *lengths)
{
    int64_t n = g->length * g->length;
    double *delta = test_calloc((size_t)n, sizeof *delta);
    add_importance(state, lengths, g->length, delta);
    if (golden_norm(delta, n) > 0)
        for (int64_t i = 0; i < n; i++)
            g->importance[i] = g->rho * g->importance[i] + (1 - g->rho) * delta[i];
    if (step == g->warmup - 1)
        for (int64_t i = 0; i < n; i++)
            g->frozen[i] = 1 / (1 + exp(-g->importance[i]));
    test_free(delta);
}

/* ---- the model ---- */

typedef struct model {
    assay_params *params;
    assay_decoder *decoder;
    assay_tensor *w0, *b0, *w2, *b2; /* the projector, borrowed */
} model;

/* A parameter of the shape that the file holds. */
static assay_tensor *add_like(assay_params *params, const assay_weights *file, const char *name)
{
    assay_error error = {0};
    const assay_stored *stored = golden_get(file, name);
    assay_tensor *tensor = assay_params_add(params, name, stored->rank, stored->shape,
                                            (assay_init){.kind = ASSAY_INIT_ZEROS}, &error);
    golden_must(tensor != NULL, &error);
    return tensor;
}

/* AdamW decays every parameter of these runs, norms and biases too. */
static model model_open(void)
{
    char path[4096];
    assay_error error = {0};
    assay_decoder_config config;
    golden_path(CONFIG, path, sizeof path);
    golden_must(assay_decoder_config_read(path, &config, &error), &error);
    model m = {.params = assay_params_new(0, &error)};
    golden_must(m.params != NULL, &error);
    m.decoder = assay_decoder_new(m.params, NULL, &config, &error);
    golden_must(m.decoder != NULL, &error);
    assay_weights *file = golden_open(INITIAL);
    m.w0 = add_like(m.params, file, "projector.0.weight");
    m.b0 = add_like(m.params, file, "projector.0.bias");
    m.w2 = add_like(m.params, file, "projector.2.weight");
    m.b2 = add_like(m.params, file, "projector.2.bias");
    assay_weights_close(file);
    golden_load(m.params, INITIAL);
    for (int64_t i = 0; i < assay_params_count(m.params); i++)
        assay_params_at(m.params, i)->decays = true;
    return m;
}

static void model_close(model *m)
{
    assay_decoder_free(m->decoder);
    assay_params_free(m->params);
}

/* One tower: mean over valid states, then the projector. `name` (or NULL) marks the states. */
static assay_tensor *tower(assay_tape *tape, const model *m, const assay_tensor *ids,
                           const assay_tensor *lengths, const assay_attention_bias *bias,
                           const char *name)
{
    assay_tensor *x = assay_decoder_embed(tape, m->decoder, ids);
    x = assay_decoder_forward(tape, m->decoder, x, lengths, bias);
    if (name)
        x = assay_state(tape, name, x);
    x = assay_masked_mean(tape, x, lengths);
    x = assay_linear(tape, x, m->w0, m->b0, ASSAY_GELU);
    return assay_linear(tape, x, m->w2, m->b2, ASSAY_IDENTITY);
}

/* ---- a run ---- */

typedef struct run {
    const assay_weights *file;
    assay_tensor *query_ids, *query_lengths, *answer_ids, *answer_lengths; /* (steps, B[, T]) */
    assay_contrastive_options loss;
    float lr;
    int64_t steps;
    double *losses, *weights; /* (steps) */
} run;

static run run_open(const assay_weights *file)
{
    run r = {
        .file = file,
        .query_ids = golden_tensor(file, "ids_q", ASSAY_I32),
        .query_lengths = golden_tensor(file, "len_q", ASSAY_I32),
        .answer_ids = golden_tensor(file, "ids_a", ASSAY_I32),
        .answer_lengths = golden_tensor(file, "len_a", ASSAY_I32),
        .loss = {.variant = ASSAY_GG_CODE,
                 .temperature = (float)golden_scalar(file, "tau"),
                 .margin = (float)golden_scalar(file, "margin")},
        .lr = (float)golden_scalar(file, "lr"),
    };
    r.steps = r.query_ids->shape[0];
    assert_true(r.steps > 0);
    r.losses = test_calloc((size_t)r.steps, sizeof *r.losses);
    r.weights = test_calloc((size_t)r.steps, sizeof *r.weights);
    return r;
}

static void run_close(run *r)
{
    assay_tensor_free(r->query_ids);
    assay_tensor_free(r->query_lengths);
    assay_tensor_free(r->answer_ids);
    assay_tensor_free(r->answer_lengths);
    test_free(r->losses);
    test_free(r->weights);
}

static guidance guidance_open(const run *r)
{
    int64_t query = r->query_ids->shape[2], answer = r->answer_ids->shape[2];
    guidance g = {
        .length = query > answer ? query : answer,
        .warmup = (int64_t)golden_scalar(r->file, "warmup_steps"),
        .total = (int64_t)golden_scalar(r->file, "total_steps"),
        .rho = golden_scalar(r->file, "rho"),
    };
    g.importance = test_calloc((size_t)(g.length * g.length), sizeof *g.importance);
    g.frozen = test_calloc((size_t)(g.length * g.length), sizeof *g.frozen);
    return g;
}

/* Step `step` of a stored series (steps, ...), as a tensor of the step. */
static assay_tensor *slice_at(assay_tape *tape, const assay_tensor *series, int64_t step)
{
    int64_t count = assay_tensor_count(series) / series->shape[0];
    assay_tensor *slice = assay_tape_constant(tape, ASSAY_I32, series->rank - 1, series->shape + 1,
                                              assay_i32(series) + step * count);
    golden_tape_must(tape, slice != NULL);
    return slice;
}

static void train_step(run *r, const model *m, guidance *g, assay_tape *tape, assay_adamw *adamw,
                       int64_t step)
{
    assay_error error = {0};
    int64_t query_tokens = r->query_ids->shape[2], answer_tokens = r->answer_ids->shape[2];
    assay_tape_begin(tape, (assay_step){.clock = (uint64_t)step, .training = true});
    assay_params_clear_grads(m->params);
    assay_tensor *query_lengths = slice_at(tape, r->query_lengths, step);
    assay_tensor *answer_lengths = slice_at(tape, r->answer_lengths, step);
    assay_attention_bias query_bias = bias_at(tape, g, step, query_tokens);
    assay_attention_bias answer_bias = bias_at(tape, g, step, answer_tokens);
    assay_tensor *x =
        tower(tape, m, slice_at(tape, r->query_ids, step), query_lengths, &query_bias, QUERY_STATE);
    assay_tensor *y =
        tower(tape, m, slice_at(tape, r->answer_ids, step), answer_lengths, &answer_bias, NULL);
    assay_tensor *loss = assay_contrastive(tape, x, y, &r->loss, NULL);
    golden_tape_must(tape, loss && assay_tape_backward(tape, loss, 1.0f));
    r->losses[step] = assay_value(loss);
    r->weights[step] = mean_weight(g, step, query_tokens);
    if (step < g->warmup) {
        const assay_tensor *state = assay_tape_tapped(tape, QUERY_STATE);
        assert_true(state && state->has_grad);
        learn(g, step, state, assay_i32(query_lengths));
    }
    golden_must(assay_adamw_step(adamw, r->lr, 0, NULL, &error), &error);
}

static void check_steps(golden_group *group, const char *name, int64_t n, const double *got)
{
    golden_check(group, name, n, got);
    double *expected = golden_doubles(golden_get(group->file, name));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - expected[i]) <= SERIES_STEP * fabs(expected[i])))
            fail_msg("%s at step %lld: %.9g, expected %.9g", name, (long long)i, got[i],
                     expected[i]);
    test_free(expected);
}

/* The part of the importance that the query's positions have. */
static void check_importance(golden_group *group, const guidance *g, int64_t tokens)
{
    double *square = test_malloc((size_t)(tokens * tokens) * sizeof *square);
    for (int64_t i = 0; i < tokens * tokens; i++)
        square[i] = g->importance[i / tokens * g->length + i % tokens];
    golden_check(group, "importance", tokens * tokens, square);
    test_free(square);
}

static void check_finals(golden_group *group, const model *m)
{
    static const char prefix[] = "final.";
    int64_t found = 0;
    group->tolerance = FINAL;
    for (int64_t i = 0; i < assay_weights_count(group->file); i++) {
        const char *name = assay_weights_at(group->file, i)->name;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0)
            continue;
        const assay_parameter *parameter = assay_params_find(m->params, name + sizeof prefix - 1);
        if (!parameter)
            fail_msg("%s names no parameter", name);
        golden_check_value(group, name, parameter->value);
        found++;
    }
    assert_true(found > 0);
}

static void train_and_compare(const assay_weights *file, const char *name,
                              const assay_device *device)
{
    assay_error error = {0};
    run r = run_open(file);
    guidance g = guidance_open(&r);
    model m = model_open();
    assay_tape *tape = golden_tape(device);
    golden_tape_must(tape, assay_tape_tap(tape, QUERY_STATE));
    assay_adamw *adamw = assay_adamw_new(
        m.params, device,
        (assay_adamw_options){.beta1 = (float)golden_scalar(file, "beta1"),
                              .beta2 = (float)golden_scalar(file, "beta2"),
                              .eps = (float)golden_scalar(file, "eps"),
                              .weight_decay = (float)golden_scalar(file, "weight_decay")},
        &error);
    golden_must(adamw != NULL, &error);
    for (int64_t step = 0; step < r.steps; step++)
        train_step(&r, &m, &g, tape, adamw, step);

    golden_group group = golden_begin(name, file, device);
    check_steps(&group, "loss", r.steps, r.losses);
    check_steps(&group, "mean_weight", r.steps, r.weights);
    check_importance(&group, &g, r.query_ids->shape[2]);
    check_finals(&group, &m);
    golden_end(&group);

    assay_adamw_free(adamw);
    assay_tape_free(tape);
    model_close(&m);
    test_free(g.importance);
    test_free(g.frozen);
    run_close(&r);
}

/* On the fast device only: the plain twin is held to single passes by the other golden tests. */
static void compare_run(const char *name)
{
    assay_weights *file = golden_open(name);
    train_and_compare(file, name, golden_device(0));
    assay_weights_close(file);
}

static void a_run_that_forgets_importance_agrees(void **state)
{
    (void)state;
    compare_run(FORGETS);
}

static void a_run_that_averages_importance_agrees(void **state)
{
    (void)state;
    compare_run(AVERAGES);
}

int main(void)
{
    static const char *const forgets[] = {CONFIG, INITIAL, FORGETS, NULL};
    static const char *const averages[] = {CONFIG, INITIAL, AVERAGES, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(a_run_that_forgets_importance_agrees), forgets},
        {cmocka_unit_test(a_run_that_averages_importance_agrees), averages},
    };
    return golden_run("golden ggsm", sizeof tests / sizeof tests[0], tests);
}
