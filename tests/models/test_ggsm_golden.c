/* test_ggsm_golden.c - the mask plugin `ggsm` in whole training runs, against runs computed
 * independently in another framework: losses, mean weights, importance and final parameters. Also
 * that a run whose mask is closed, opened again and loaded in the middle of its warm-up agrees as
 * well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden/golden.h"

#include "golden/ggsm_run.h"
#include "models/use.h"

typedef struct plugged {
    use used;
    const assay_mask_functions *mask;
    void *opened;
    recorder host;
    assay_model_facts facts;
    int64_t total;
    double mean_weight; /* of the future pairs, in the bias of the last query tower */
    int64_t
        reopen_at; /* before this step the mask is saved, closed, opened and loaded; -1: never */
    assay_stored stored; /* the state in between */
    float kept[512];
} plugged;

static void open_mask(plugged *p)
{
    assay_error error = {0};
    const assay_mask_setup setup = {.size = sizeof setup,
                                    .facts = &p->facts,
                                    .host = &p->host.host,
                                    .total = p->total,
                                    .total_micro = p->total};
    p->opened = p->mask->open(p->used.options, &setup, &error);
    must(p->opened != NULL, &error);
}

static bool put(void *user, const char *name, const assay_tensor *tensor, assay_error *error)
{
    plugged *p = user;
    (void)error;
    assert_string_equal(name, "importance");
    assert_true(assay_tensor_bytes(tensor) <= (int64_t)sizeof p->kept);
    memcpy(p->kept, assay_elements(tensor), (size_t)assay_tensor_bytes(tensor));
    p->stored = (assay_stored){.name = name,
                               .data = p->kept,
                               .bytes = assay_tensor_bytes(tensor),
                               .count = assay_tensor_count(tensor),
                               .shape = {assay_tensor_count(tensor)},
                               .rank = 1,
                               .dtype = ASSAY_STORED_F32};
    return true;
}

static const assay_stored *get(void *user, const char *name, assay_error *error)
{
    plugged *p = user;
    (void)error;
    assert_string_equal(name, "importance");
    return &p->stored;
}

static void save_and_load(plugged *p)
{
    assay_error error = {0};
    must(p->mask->save(p->opened, &(assay_state_writer){p, put}, &error), &error);
    p->mask->close(p->opened);
    open_mask(p);
    must(p->mask->load(p->opened, &(assay_state_reader){p, get}, &error), &error);
}

static assay_clock clock_at(const plugged *p, int64_t step)
{
    return (assay_clock){.step = step, .total = p->total, .micro = step, .total_micro = p->total};
}

/* Over the future pairs of `tokens` positions; no log-weight is weight 1. */
static double mean_of(const assay_attention_bias *bias, int64_t tokens)
{
    double sum = 0;
    assert_int_equal(bias->future, ASSAY_FUTURE_OPEN);
    for (int64_t j = 1; j < tokens; j++)
        sum += (double)j * (bias->log_weight ? exp((double)assay_f32(bias->log_weight)[j]) : 1);
    return sum / (0.5 * (double)tokens * (double)(tokens - 1));
}

static assay_attention_bias bias_at(void *user, assay_tape *tape, int64_t step,
                                    const char *tower_name, int64_t tokens,
                                    const assay_tensor *lengths)
{
    plugged *p = user;
    assay_attention_bias bias = assay_bias_causal();
    const assay_clock clock = clock_at(p, step);
    const assay_tower tower = {
        .name = tower_name, .rows = lengths->shape[0], .tokens = tokens, .lengths = lengths};
    if (step == p->reopen_at && strcmp(tower_name, "user") == 0)
        save_and_load(p);
    tape_must(tape, p->mask->bias(p->opened, tape, &clock, &tower, NULL, &bias));
    if (strcmp(tower_name, "user") == 0)
        p->mean_weight = mean_of(&bias, tokens);
    return bias;
}

static void learn(void *user, assay_tape *tape, int64_t step, const assay_tensor *lengths)
{
    plugged *p = user;
    assay_error error = {0};
    const assay_clock clock = clock_at(p, step);
    const assay_tower user_tower = {.name = "user", .rows = lengths->shape[0], .lengths = lengths};
    const assay_tower answer_tower = {.name = "answer", .rows = lengths->shape[0]};
    must(p->mask->observe(p->opened, tape, &clock, &user_tower, &error), &error);
    must(p->mask->observe(p->opened, tape, &clock, &answer_tower, &error), &error);
    must(p->mask->advance(p->opened, &clock, &error), &error);
}

static double mean_weight(void *user, int64_t step, int64_t tokens)
{
    const plugged *p = user;
    (void)step;
    (void)tokens;
    return p->mean_weight;
}

/* What the plugin holds per key, as the published code's matrix. */
static void importance_of(void *user, int64_t tokens, double *square)
{
    plugged *p = user;
    assay_error error = {0};
    must(p->mask->save(p->opened, &(assay_state_writer){p, put}, &error), &error);
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t j = 0; j < tokens; j++)
            square[i * tokens + j] = j > i ? (double)p->kept[j] : 0.0;
}

static void compare(const char *name, int64_t reopen_at)
{
    assay_weights *file = golden_open(name);
    run r = run_open(file);
    int64_t query = r.query_ids->shape[2], answer = r.answer_ids->shape[2];
    plugged *p = test_calloc(1, sizeof *p);
    p->used = use_open("mask_ggsm");
    p->mask = use_mask(&p->used);
    p->total = (int64_t)golden_scalar(file, "total_steps");
    p->reopen_at = reopen_at;
    p->facts = (assay_model_facts){.size = sizeof(assay_model_facts),
                                   .tokens = query > answer ? query : answer};
    recorder_begin(&p->host);
    use_number(&p->used, "warmup_steps", golden_scalar(file, "warmup_steps"));
    use_number(&p->used, "rho", golden_scalar(file, "rho"));
    use_text(&p->used, "clock", "micro");
    open_mask(p);
    const guide plugin = {p, bias_at, learn, mean_weight, importance_of};
    train_and_compare(&r, &plugin, name, golden_device(0));
    p->mask->close(p->opened);
    use_close(&p->used);
    test_free(p);
    run_close(&r);
    assay_weights_close(file);
}

static void a_run_that_forgets_importance_agrees(void **state)
{
    (void)state;
    compare(FORGETS, -1);
}

static void a_run_that_averages_importance_agrees(void **state)
{
    (void)state;
    compare(AVERAGES, -1);
}

static void a_run_whose_mask_is_loaded_mid_way_agrees(void **state)
{
    (void)state;
    for (int64_t step = 1; step < 6; step += 2)
        compare(AVERAGES, step);
}

int main(void)
{
    static const char *const forgets[] = {CONFIG, INITIAL, FORGETS, NULL};
    static const char *const averages[] = {CONFIG, INITIAL, AVERAGES, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(a_run_that_forgets_importance_agrees), forgets},
        {cmocka_unit_test(a_run_that_averages_importance_agrees), averages},
        {cmocka_unit_test(a_run_whose_mask_is_loaded_mid_way_agrees), averages},
    };
    return golden_run("ggsm plugin", sizeof tests / sizeof tests[0], tests);
}
