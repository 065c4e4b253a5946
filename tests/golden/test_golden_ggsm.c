/* test_golden_ggsm.c - whole GG-SM training runs (ggsm_run.h) with the mask written out pair by
 * pair, against runs computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include "ggsm_run.h"

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

/* log w over (1, 1, tokens, tokens), shared by layers, heads and rows; the answer's tower too. */
static assay_attention_bias bias_at(void *user, assay_tape *tape, int64_t step,
                                    const char *tower_name, int64_t tokens,
                                    const assay_tensor *lengths)
{
    const guidance *g = user;
    (void)tower_name;
    (void)lengths;
    assay_tensor *log_weight =
        assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, 1, tokens, tokens});
    golden_tape_must(tape, log_weight != NULL);
    float *out = assay_f32(log_weight);
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t j = 0; j < tokens; j++)
            out[i * tokens + j] = j > i ? (float)log(future_weight(g, step, i, j)) : 0.0f;
    return (assay_attention_bias){.future = ASSAY_FUTURE_OPEN, .log_weight = log_weight};
}

static double mean_weight(void *user, int64_t step, int64_t tokens)
{
    double sum = 0;
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t j = i + 1; j < tokens; j++)
            sum += future_weight(user, step, i, j);
    return sum / (0.5 * (double)tokens * (double)(tokens - 1));
}

static void importance_of(void *user, int64_t tokens, double *square)
{
    const guidance *g = user;
    for (int64_t i = 0; i < tokens * tokens; i++)
        square[i] = g->importance[i / tokens * g->length + i % tokens];
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
            double norm = row_norm(assay_gradient(state) + (b * tokens + j) * width, width);
            for (int64_t i = 0; i < j; i++)
                delta[i * side + j] += norm;
        }
}

/* After the backward pass of `step`, while it is still warming up. */
static void learn(void *user, assay_tape *tape, int64_t step, const assay_tensor *lengths)
{
    guidance *g = user;
    int64_t n = g->length * g->length;
    if (step >= g->warmup)
        return;
    const assay_tensor *state = assay_tape_tapped(tape, "user/final_norm");
    assert_true(state && state->has_grad);
    double *delta = test_calloc((size_t)n, sizeof *delta);
    add_importance(state, assay_i32(lengths), g->length, delta);
    if (golden_norm(delta, n) > 0)
        for (int64_t i = 0; i < n; i++)
            g->importance[i] = g->rho * g->importance[i] + (1 - g->rho) * delta[i];
    if (step == g->warmup - 1)
        for (int64_t i = 0; i < n; i++)
            g->frozen[i] = 1 / (1 + exp(-g->importance[i]));
    test_free(delta);
}

/* ---- the runs ---- */

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

/* On the fast device only: the plain twin is held to single passes by the other golden tests. */
static void compare_run(const char *name)
{
    assay_weights *file = golden_open(name);
    run r = run_open(file);
    guidance g = guidance_open(&r);
    const guide written = {&g, bias_at, learn, mean_weight, importance_of};
    train_and_compare(&r, &written, name, golden_device(0));
    test_free(g.importance);
    test_free(g.frozen);
    run_close(&r);
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
