/* test_baselines.c - model event_sequence with the losses of the baselines: events stand in the
 * order of time, CPC's states see nothing of what they predict under any mask, a masked event is
 * out of sight, and each recipe learns what it is for and beats its untrained self on other
 * persons. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/rig.h"

#include <assay/ops.h>
#include <assay/optim.h>

enum { PERSONS = 96, TRAINED = 64, WIDTH = 64 };

/* Everybody goes round the same goods, from a place of their own, at a way of their own; the answer
 * names what would come next. */
static void make_people(people *p)
{
    static const char *const goods[] = {"bread", "apples", "books", "medicine", "tea", "shoes"};
    static const char *const ways[] = {"card", "cash"};
    people_open(p, PERSONS, 5);
    for (int i = 0; i < PERSONS; i++) {
        person *q = &p->persons[i];
        int first = i * 7 % 6, n = 4 + i % 5;
        q->events[0] = n;
        q->events[1] = i % 3;
        for (int e = 0; e < n; e++) {
            snprintf(q->text[0][e], PEOPLE_TEXT, "%s by %s", goods[(first + e) % 6], ways[i % 2]);
            q->time[e] = 10 * (n - e);
        }
        snprintf(q->answer, PEOPLE_TEXT, "buys %s by %s", goods[(first + n) % 6], ways[i % 2]);
    }
}

static void begin(rig *r, const people *p, const char *mask)
{
    rig_begin_model(r, p, mask, "event_sequence");
}

/* ---- events ---- */

static const char *const all_names[] = {
    "user.event_past",   "user.states",      "user.event_ids", "user.event_classes",
    "user.event_masked", "user.event_texts", "user.embedding"};
static const assay_wanted all = {7, all_names};
static const assay_wanted unmasked = {4, all_names};

static void events_stand_in_the_order_of_time(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    make_people(&p);
    person *q = &p.persons[0];
    q->events[0] = 3;
    q->events[1] = 1;
    for (int e = 0; e < 3; e++) {
        static const int32_t ages[] = {5, 30, 20}; /* 1, 2, 0 is their order */
        q->time[e] = ages[e];
        snprintf(q->text[0][e], PEOPLE_TEXT, e == 2 ? "tea again" : e ? "bread" : "tea");
    }
    snprintf(q->text[1][0], PEOPLE_TEXT, "tea"); /* of another source, without a time: oldest */
    begin(&r, &p, "causal");
    rig_open(&r, 3);
    const assay_clock clock = rig_evaluation(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &unmasked, &batch, &outputs);
    const int32_t *ids = assay_i32(rig_output(&outputs, "user.event_ids"));
    const int32_t *classes = assay_i32(rig_output(&outputs, "user.event_classes"));
    assert_int_equal(assay_i32(batch.towers[0].lengths)[0], 5); /* features in front */
    static const int order[] = {0, 1, 2, 3};
    assert_int_equal(ids[0], ASSAY_IGNORE);
    for (int e = 0; e < 4; e++)
        assert_int_equal(ids[1 + e], order[e]); /* four different texts, numbered as they come */
    for (int64_t t = 5; t < batch.towers[0].tokens; t++)
        assert_int_equal(ids[t], ASSAY_IGNORE);
    /* app's tea, bread, tea again, tea: one category three times. */
    assert_int_equal(classes[1], classes[3]);
    assert_int_equal(classes[3], classes[4]);
    assert_int_not_equal(classes[1], classes[2]);
    rig_close(&r);
    people_close(&p);
}

/* The newest stay when there are more than the model takes. */
static void the_oldest_events_fall_off(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    float kept[WIDTH];
    make_people(&p);
    begin(&r, &p, "causal");
    use_number(&r.model, "events", 3);
    p.persons[4].events[1] = 0;
    rig_open(&r, 3);
    for (int cut = 0; cut < 2; cut++) {
        if (cut) /* what falls off changes nothing */
            snprintf(p.persons[4].text[0][0], PEOPLE_TEXT, "shoes by cash");
        const assay_clock clock = rig_evaluation(&r, 0);
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 4, 1, &all, &batch, &outputs);
        assert_int_equal(assay_i32(batch.towers[0].lengths)[0], 4);
        const float *x = assay_f32(rig_output(&outputs, "user.embedding"));
        if (cut)
            same_bits(x, kept, WIDTH, "embedding");
        memcpy(kept, x, sizeof kept);
    }
    rig_close(&r);
    people_close(&p);
}

static void a_client_without_events_has_a_finite_vector(void **state)
{
    (void)state;
    for (int features = 0; features < 2; features++) {
        people p;
        rig r;
        assay_batch batch;
        assay_outputs outputs;
        make_people(&p);
        p.persons[1].events[0] = p.persons[1].events[1] = 0;
        begin(&r, &p, "bidirectional");
        use_number(&r.model, "features", features);
        rig_open(&r, 3);
        const assay_clock clock = rig_evaluation(&r, 0);
        for (int64_t first = 0; first < 2; first++) { /* with others, and alone */
            rig_pass(&r, &clock, 0, first, first ? 1 : 3, &all, &batch, &outputs);
            const assay_tensor *x = rig_output(&outputs, "user.embedding");
            for (int64_t i = 0; i < assay_tensor_count(x); i++)
                assert_true(isfinite(assay_f32(x)[i]));
        }
        rig_close(&r);
        people_close(&p);
    }
}

/* ---- leakage ---- */

/* The gradient of sample 0's state `name` at position i reaches input position j. */
static bool reaches(rig *r, const assay_clock *clock, const char *name, int64_t i, int64_t j)
{
    assay_batch batch;
    assay_outputs outputs;
    rig_pass(r, clock, ASSAY_NO_BENCHMARK, 0, 3, &all, &batch, &outputs);
    assay_tensor *states = rig_output(&outputs, name);
    float *d = test_calloc((size_t)assay_tensor_count(states), sizeof *d);
    assay_random_fill_normal(assay_stream_of(3, "mix", 0), 0, WIDTH, d + i * WIDTH);
    const float *const from[] = {d};
    tape_must(r->tape, assay_tape_backward_from(r->tape, 1, &states, from));
    test_free(d);
    const assay_tensor *x = assay_tape_tapped(r->tape, "user/embeddings");
    assert_true(x && x->has_grad);
    return any_nonzero(assay_gradient(x) + j * WIDTH, WIDTH);
}

/* cpc and distribution read user.event_past: no state of it has seen what it predicts. */
static void past_states_see_nothing_later_under_any_mask(void **state)
{
    static const char *const masks[] = {"causal", "bidirectional", "hybrid", "future", "ggsm_plus"};
    (void)state;
    for (int m = 0; m < 5; m++) {
        people p;
        rig r;
        make_people(&p);
        begin(&r, &p, masks[m]);
        rig_open(&r, 3);
        tape_must(r.tape, assay_tape_tap(r.tape, "user/embeddings"));
        const assay_clock clock = rig_training(&r, 0);
        for (int64_t i = 0; i < 4; i++)
            for (int64_t j = 0; j < 5; j++) {
                assert_int_equal(reaches(&r, &clock, "user.event_past", i, j), j <= i);
                if (m > 0 && i > 0 && j > 0)
                    assert_true(reaches(&r, &clock, "user.states", i, j));
            }
        rig_close(&r);
        people_close(&p);
    }
}

/* Another text in the place of a masked event changes no state. */
static void masked_events_are_out_of_sight(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    int64_t found = 0;
    make_people(&p);
    begin(&r, &p, "bidirectional");
    use_number(&r.model, "masked", 0.4);
    rig_open(&r, 3);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 8, &all, &batch, &outputs);
    const assay_tensor *states = rig_output(&outputs, "user.states");
    int64_t n = assay_tensor_count(states), tokens = batch.towers[0].tokens;
    float *kept = test_malloc((size_t)n * sizeof *kept);
    memcpy(kept, assay_elements(states), (size_t)n * sizeof *kept);
    int32_t flags[256];
    memcpy(flags, assay_elements(rig_output(&outputs, "user.event_masked")),
           (size_t)(8 * tokens) * 4);
    for (int b = 0; b < 8; b++) /* bills stand behind the features and the events of app */
        for (int e = 0; e < p.persons[b].events[0]; e++)
            if (flags[b * tokens + 1 + p.persons[b].events[1] + e]) {
                snprintf(p.persons[b].text[0][e], PEOPLE_TEXT, "doctor");
                found++;
            }
    assert_true(found > 5);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 8, &all, &batch, &outputs);
    /* Up to rounding, for the batch has another number of different texts. */
    for (int64_t i = 0; i < n; i++)
        assert_true(fabsf(assay_f32(rig_output(&outputs, "user.states"))[i] - kept[i]) < 1e-5f);
    /* Evaluation masks nothing. */
    const assay_clock after = rig_evaluation(&r, 1);
    rig_pass(&r, &after, ASSAY_NO_BENCHMARK, 0, 8, &all, &batch, &outputs);
    const assay_tensor *none = rig_output(&outputs, "user.event_masked");
    for (int64_t i = 0; i < assay_tensor_count(none); i++)
        assert_int_equal(assay_i32(none)[i], 0);
    test_free(kept);
    rig_close(&r);
    people_close(&p);
}

/* ---- learning ---- */

typedef struct task {
    use used;
    void *loss;
    const char *names[8];
    assay_wanted wanted;
} task;

static double loss_over(rig *r, task *t, const assay_clock *clock, int64_t first, int64_t count,
                        assay_tensor **value)
{
    assay_batch batch;
    assay_outputs outputs;
    rig_pass(r, clock, ASSAY_NO_BENCHMARK, first, count, &t->wanted, &batch, &outputs);
    *value = use_loss(&t->used)->compute(t->loss, r->tape, clock, &batch, &outputs);
    tape_must(r->tape, *value != NULL);
    return assay_value(*value);
}

static void learn(const char *name, const char *mask, double rate, double *before, double *after)
{
    people p;
    rig r;
    task t = {.used = use_open(assay_text("loss_%s", name))};
    assay_error error = {0};
    assay_tensor *value;
    make_people(&p);
    begin(&r, &p, mask);
    use_number(&r.model, "features", 0); /* noise here, by which one learns persons by heart */
    rig_open(&r, 3);
    const assay_loss_setup setup = {.size = sizeof setup,
                                    .facts = &r.facts,
                                    .params = r.params,
                                    .prefix = "loss.it.",
                                    .host = &r.host.host};
    t.loss = use_loss(&t.used)->open(t.used.options, &setup, &error);
    must(t.loss && use_loss(&t.used)->wants(t.used.options, t.names, &t.wanted.count, &error),
         &error);
    t.wanted.names = t.names;
    assay_adamw *adamw =
        assay_adamw_new(r.params, assay_tape_device(r.tape),
                        (assay_adamw_options){.beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-6f}, &error);
    must(adamw != NULL, &error);
    /* The other persons, in a training pass, for masked_event masks in those alone. */
    const assay_clock clock = rig_training(&r, 0);
    *before = loss_over(&r, &t, &clock, TRAINED, PERSONS - TRAINED, &value);
    for (int step = 0; step < 80; step++) {
        assay_params_clear_grads(r.params);
        r.pass = (uint64_t)step + 1;
        loss_over(&r, &t, &clock, 16 * (step % 4), 16, &value);
        tape_must(r.tape, assay_tape_backward(r.tape, value, 1));
        must(assay_adamw_step(adamw, (float)rate, 0, NULL, &error), &error);
    }
    r.pass = 0;
    *after = loss_over(&r, &t, &clock, TRAINED, PERSONS - TRAINED, &value);
    assay_adamw_free(adamw);
    use_loss(&t.used)->close(t.loss);
    use_close(&t.used);
    rig_close(&r);
    people_close(&p);
}

static void each_baseline_beats_its_untrained_self_on_others(void **state)
{
    static const struct {
        const char *loss, *mask;
    } rows[] = {{"cpc", "causal"},
                {"masked_event", "bidirectional"},
                {"future_alignment", "bidirectional"},
                {"distribution", "causal"}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        double before, after;
        learn(rows[i].loss, rows[i].mask, 3e-3, &before, &after);
        print_message("# %s: %.4f untrained, %.4f trained, on other persons\n", rows[i].loss,
                      before, after);
        assert_true(isfinite(after) && after < 0.8 * before);
    }
}

static void extra_tokens_are_refused(void **state)
{
    (void)state;
    people p;
    assay_error error = {0};
    make_people(&p);
    use used = use_open("model_event_sequence");
    recorder host;
    recorder_begin(&host);
    assay_params *params = assay_params_new(1, &error);
    must(params != NULL, &error);
    const assay_extra_tokens extra[] = {{.front = 1}, {.readout = 1}, {.history = 1}};
    for (int i = 0; i < 3; i++) {
        const assay_model_setup setup = {.size = sizeof setup,
                                         .data = &p.data,
                                         .params = params,
                                         .extra = extra[i],
                                         .host = &host.host};
        assert_null(use_model(&used)->open(used.options, &setup, &error));
        assert_int_equal(error.code, ASSAY_UNSUPPORTED);
        assay_error_clear(&error);
    }
    assay_params_free(params);
    use_close(&used);
    people_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_stand_in_the_order_of_time),
        cmocka_unit_test(the_oldest_events_fall_off),
        cmocka_unit_test(a_client_without_events_has_a_finite_vector),
        cmocka_unit_test(past_states_see_nothing_later_under_any_mask),
        cmocka_unit_test(masked_events_are_out_of_sight),
        cmocka_unit_test(each_baseline_beats_its_untrained_self_on_others),
        cmocka_unit_test(extra_tokens_are_refused),
    };
    return cmocka_run_group_tests_name("baselines", tests, NULL, NULL);
}
