/* ggsm_run.h - a whole GG-SM training run as the golden files hold it: two towers with shared
 * weights, a mask that follows the gradients of the steps before (user-modelling spec 3.5, the
 * code's variant), and AdamW. Who computes the mask is the test's choice: written out in the test,
 * or the plugin. Include after golden.h. */
#ifndef ASSAY_TESTS_GGSM_RUN_H
#define ASSAY_TESTS_GGSM_RUN_H

#include <assay/blocks.h>
#include <assay/optim.h>

#define CONFIG   "users/config.json"
#define INITIAL  "users/ggsm_init.safetensors"
#define FORGETS  "users/ggsm.safetensors"
#define AVERAGES "users/ggsm_ema.safetensors"

#define SERIES_STEP 2e-3 /* relative agreement of one step of a series */
#define FINAL       1e-3 /* of a parameter after the run */

/* What a mask does in a run. */
typedef struct guide {
    void *user;
    /* Of the query's tower ("user") or the answer's at `step`. */
    assay_attention_bias (*bias)(void *user, assay_tape *tape, int64_t step, const char *tower,
                                 int64_t tokens, const assay_tensor *lengths);
    /* After the step's backward pass, with the query's lengths. */
    void (*learn)(void *user, assay_tape *tape, int64_t step, const assay_tensor *lengths);
    /* Mean weight over the future pairs of `tokens` positions, as `step` used it. */
    double (*mean_weight)(void *user, int64_t step, int64_t tokens);
    /* The importance of the first `tokens` positions, (tokens, tokens). */
    void (*importance)(void *user, int64_t tokens, double *square);
} guide;

/* ---- the model ---- */

typedef struct model {
    assay_params *params;
    assay_decoder *decoder;
    assay_tensor *w0, *b0, *w2, *b2; /* the projector, borrowed */
} model;

/* A parameter of the shape that the file holds. */
static inline assay_tensor *add_like(assay_params *params, const assay_weights *file,
                                     const char *name)
{
    assay_error error = {0};
    const assay_stored *stored = golden_get(file, name);
    assay_tensor *tensor = assay_params_add(params, name, stored->rank, stored->shape,
                                            (assay_init){.kind = ASSAY_INIT_ZEROS}, &error);
    golden_must(tensor != NULL, &error);
    return tensor;
}

/* AdamW decays every parameter of these runs, norms and biases too. */
static inline model model_open(void)
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

static inline void model_close(model *m)
{
    assay_decoder_free(m->decoder);
    assay_params_free(m->params);
}

/* One tower: mean over valid states, then the projector. */
static inline assay_tensor *tower(assay_tape *tape, const model *m, const char *name,
                                  const assay_tensor *ids, const assay_tensor *lengths,
                                  const assay_attention_bias *bias)
{
    assay_tape_scope(tape, name);
    assay_tensor *x = assay_decoder_embed(tape, m->decoder, ids);
    x = assay_decoder_forward(tape, m->decoder, x, lengths, bias);
    assay_tape_scope(tape, NULL);
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

static inline run run_open(const assay_weights *file)
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

static inline void run_close(run *r)
{
    assay_tensor_free(r->query_ids);
    assay_tensor_free(r->query_lengths);
    assay_tensor_free(r->answer_ids);
    assay_tensor_free(r->answer_lengths);
    test_free(r->losses);
    test_free(r->weights);
}

/* Step `step` of a stored series (steps, ...), as a tensor of the step. */
static inline assay_tensor *slice_at(assay_tape *tape, const assay_tensor *series, int64_t step)
{
    int64_t count = assay_tensor_count(series) / series->shape[0];
    assay_tensor *slice = assay_tape_constant(tape, ASSAY_I32, series->rank - 1, series->shape + 1,
                                              assay_i32(series) + step * count);
    golden_tape_must(tape, slice != NULL);
    return slice;
}

static inline void train_step(run *r, const model *m, const guide *g, assay_tape *tape,
                              assay_adamw *adamw, int64_t step)
{
    assay_error error = {0};
    int64_t query_tokens = r->query_ids->shape[2], answer_tokens = r->answer_ids->shape[2];
    assay_tape_begin(tape, (assay_step){.clock = (uint64_t)step, .training = true});
    assay_params_clear_grads(m->params);
    assay_tensor *query_lengths = slice_at(tape, r->query_lengths, step);
    assay_tensor *answer_lengths = slice_at(tape, r->answer_lengths, step);
    assay_attention_bias query_bias =
        g->bias(g->user, tape, step, "user", query_tokens, query_lengths);
    assay_attention_bias answer_bias =
        g->bias(g->user, tape, step, "answer", answer_tokens, answer_lengths);
    r->weights[step] = g->mean_weight(g->user, step, query_tokens);
    assay_tensor *x =
        tower(tape, m, "user", slice_at(tape, r->query_ids, step), query_lengths, &query_bias);
    assay_tensor *y =
        tower(tape, m, "answer", slice_at(tape, r->answer_ids, step), answer_lengths, &answer_bias);
    assay_tensor *loss = assay_contrastive(tape, x, y, &r->loss, NULL);
    golden_tape_must(tape, loss && assay_tape_backward(tape, loss, 1.0f));
    r->losses[step] = assay_value(loss);
    g->learn(g->user, tape, step, query_lengths);
    golden_must(assay_adamw_step(adamw, r->lr, 0, NULL, &error), &error);
}

static inline void check_steps(golden_group *group, const char *name, int64_t n, const double *got)
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
static inline void check_importance(golden_group *group, const guide *g, int64_t tokens)
{
    double *square = test_malloc((size_t)(tokens * tokens) * sizeof *square);
    g->importance(g->user, tokens, square);
    golden_check(group, "importance", tokens * tokens, square);
    test_free(square);
}

static inline void check_finals(golden_group *group, const model *m)
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

/* Trains `r` with the mask `g` and holds everything to the file. */
static inline void train_and_compare(run *r, const guide *g, const char *name,
                                     const assay_device *device)
{
    assay_error error = {0};
    model m = model_open();
    assay_tape *tape = golden_tape(device);
    golden_tape_must(tape, assay_tape_tap(tape, "user/final_norm"));
    assay_adamw *adamw = assay_adamw_new(
        m.params, device,
        (assay_adamw_options){.beta1 = (float)golden_scalar(r->file, "beta1"),
                              .beta2 = (float)golden_scalar(r->file, "beta2"),
                              .eps = (float)golden_scalar(r->file, "eps"),
                              .weight_decay = (float)golden_scalar(r->file, "weight_decay")},
        &error);
    golden_must(adamw != NULL, &error);
    for (int64_t step = 0; step < r->steps; step++)
        train_step(r, &m, g, tape, adamw, step);

    golden_group group = golden_begin(name, r->file, device);
    check_steps(&group, "loss", r->steps, r->losses);
    check_steps(&group, "mean_weight", r->steps, r->weights);
    check_importance(&group, g, r->query_ids->shape[2]);
    check_finals(&group, &m);
    golden_end(&group);

    assay_adamw_free(adamw);
    assay_tape_free(tape);
    model_close(&m);
}

#endif
