/* test_event_encoders.c - event encoders, adapters, summaries, heads and slots: every parameter
 * learns, the sums are those of the formulas, padding is invisible where it should be, and users
 * without events have vectors (user-modelling spec 2.3, 6.4). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/rig.h"
#include "models/six.h"

#include <assay/ops.h>

static const char *const all_names[] = {"user.embedding", "answer.embedding", "user.states",
                                        "user.targets", "user.head"};
static const assay_wanted all = {5, all_names};
static const assay_wanted embedding = {1, all_names};

typedef struct variant {
    const char *encoder, *layout, *head, *readout, *mask, *slots, *padding;
    bool shared, summaries;
    double dropout;
} variant;

static const variant variants[] = {
    {"bag", "chat", "relu", "user_token", "causal", "fixed", "masked", false, true, 0},
    {"bert", "chat", "relu", "user_token", "causal", "fixed", "seen", false, true, 0.1},
    {"bert", "tagged", "none", "last", "bidirectional", "compact", "masked", true, false, 0},
    {"bag", "tagged", "mlp", "mean", "ggsm", "fixed", "masked", true, true, 0},
    {"words", "plain", "linear", "mean", "hybrid", "fixed", "seen", false, true, 0},
    {"bert", "chat", "mlp", "mean", "future", "fixed", "masked", false, true, 0},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static void open_variant(rig *r, six *d, const variant *v)
{
    six_open(d, 3);
    rig_begin_on(r, &d->data, v->mask);
    use_text(&r->model, "encoder", v->encoder);
    use_text(&r->model, "layout", v->layout);
    use_text(&r->model, "head", v->head);
    use_text(&r->model, "readout", v->readout);
    use_text(&r->model, "slots", v->slots);
    use_text(&r->model, "slot_padding", v->padding);
    use_number(&r->model, "encoder_shared", v->shared);
    use_number(&r->model, "user_summary", v->summaries);
    use_number(&r->model, "source_summary", v->summaries);
    use_number(&r->model, "dropout", v->dropout);
    use_number(&r->model, "encoder_width", 24);
    use_number(&r->model, "encoder_heads", 2);
    rig_open(r, 5);
}

static assay_tensor *total_loss(assay_tape *tape, const assay_outputs *outputs)
{
    /* A margin that filters nothing: the filter would make the loss jump. */
    const assay_contrastive_options chosen = {ASSAY_QA_CODE, 0.07f, 3.0f};
    assay_tensor *states = rig_output(outputs, "user.states");
    const assay_tensor *targets = rig_output(outputs, "user.targets");
    int64_t rows = states->shape[0] * states->shape[1];
    assay_tensor *flat = assay_reshape(tape, states, 2, (int64_t[]){rows, states->shape[2]});
    assay_tensor *goal = assay_tape_constant(tape, ASSAY_I32, 1, &rows, targets->data);
    assay_tensor *words =
        assay_cross_entropy_head(tape, flat, rig_output(outputs, "user.head"), goal, ASSAY_MEAN);
    assay_tensor *pairs = assay_contrastive(tape, rig_output(outputs, "user.embedding"),
                                            rig_output(outputs, "answer.embedding"), &chosen, NULL);
    return assay_add(tape, words, pairs);
}

static void every_parameter_learns(void **state)
{
    (void)state;
    for (int i = 0; i < VARIANTS; i++) {
        six d;
        rig r;
        assay_batch batch;
        assay_outputs outputs;
        open_variant(&r, &d, &variants[i]);
        const assay_clock clock = rig_training(&r, 0);
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, SIX_USERS, &all, &batch, &outputs);
        assay_tensor *loss = total_loss(r.tape, &outputs);
        tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 1.0f));
        assert_true(isfinite(assay_value(loss)));
        for (int64_t k = 0; k < assay_params_count(r.params); k++) {
            const assay_parameter *parameter = assay_params_at(r.params, k);
            const assay_tensor *value = parameter->value;
            if (!value->has_grad)
                fail_msg("variant %d: nothing reaches %s", i, parameter->name);
            /* A key's bias shifts all scores alike and moves nothing. */
            if (!strstr(parameter->name, "key.bias") && !strstr(parameter->name, "k_proj.bias") &&
                !any_nonzero(assay_gradient(value), assay_tensor_count(value)))
                fail_msg("variant %d: %s has no slope", i, parameter->name);
        }
        rig_close(&r);
    }
}

/* ---- slopes ---- */

/* The loss is the same function whose gradient the tape gives, padding and encoders included. */
static double loss_of(rig *r)
{
    assay_batch batch;
    assay_outputs outputs;
    const assay_clock clock = rig_training(r, 0);
    rig_pass(r, &clock, ASSAY_NO_BENCHMARK, 0, SIX_USERS, &all, &batch, &outputs);
    assay_tensor *loss = total_loss(r->tape, &outputs);
    tape_must(r->tape, loss && assay_tape_backward(r->tape, loss, 1.0f));
    return assay_value(loss);
}

static void slopes_are_those_of_the_loss(void **state)
{
    static const int chosen[] = {0, 3, 5};
    (void)state;
    for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
        six d;
        rig r;
        const float step = 1e-3f;
        double slope = 0, square = 0;
        open_variant(&r, &d, &variants[chosen[i]]);
        loss_of(&r);
        for (int way = 0; way < 2; way++) /* along the gradient, then measured */
            for (int64_t k = 0; k < assay_params_count(r.params); k++) {
                const assay_tensor *value = assay_params_at(r.params, k)->value;
                for (int64_t n = 0; n < assay_tensor_count(value); n++) {
                    double g = (double)assay_gradient(value)[n];
                    if (way == 0)
                        square += g * g;
                    else
                        assay_f32(value)[n] += step * (float)(g / sqrt(square));
                }
            }
        slope = sqrt(square);
        assay_params_clear_grads(r.params);
        double up = loss_of(&r), back = 0;
        /* The gradient there is nearly parallel: the mean of both slopes is the difference. */
        for (int64_t k = 0; k < assay_params_count(r.params); k++) {
            const assay_tensor *value = assay_params_at(r.params, k)->value;
            for (int64_t n = 0; n < assay_tensor_count(value); n++)
                back += (double)assay_gradient(value)[n] * (double)assay_gradient(value)[n];
        }
        rig_close(&r);
        open_variant(&r, &d, &variants[chosen[i]]);
        double here = loss_of(&r), difference = (up - here) / (double)step;
        if (!(fabs(difference - (slope + sqrt(back)) / 2) < 0.05 * fabs(difference)))
            fail_msg("variant %d: slope %g and %g, difference %g", chosen[i], slope, sqrt(back),
                     difference);
        rig_close(&r);
    }
}

/* ---- padding ---- */

/* Whatever stands in the padding slots, moved about as well, the embedding is the same where they
 * are masked, and another where they are seen. */
static void masked_padding_is_invisible(void **state)
{
    static const char *const masks[] = {"causal", "bidirectional", "hybrid", "future", "ggsm"};
    static const char *const readouts[] = {"user_token", "mean"};
    (void)state;
    for (int i = 0; i < 20; i++) {
        six d;
        rig r;
        assay_batch batch;
        assay_outputs outputs[2];
        const bool seen = i % 4 == 3;
        const variant v = {"words",
                           "plain",
                           "mlp",
                           readouts[i % 2],
                           masks[i / 4],
                           "fixed",
                           seen ? "seen" : "masked",
                           false,
                           true,
                           0};
        const assay_wanted *wanted = i % 4 == 2 ? &all : &embedding;
        open_variant(&r, &d, &v);
        const assay_clock clock = rig_training(&r, 3);
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, wanted, &batch, &outputs[0]);
        assay_tensor *x = r.embedded[0];
        /* User 0: +7 summaries, bill 1 of 4 slots: positions 8, 9, 10 are padding. */
        for (int k = 0; k < 64; k++) {
            assay_f32(x)[8 * 64 + k] = (float)k;
            assay_f32(x)[9 * 64 + k] = -3.0f;
        }
        assay_attention_bias bias;
        outputs[1].count = 0;
        tape_must(r.tape, assay_tape_scope(r.tape, "user"));
        tape_must(r.tape, use_mask(&r.mask)->bias(r.opened_mask, r.tape, &clock, &batch.towers[0],
                                                  x, &bias));
        tape_must(r.tape, use_model(&r.model)->forward(r.opened, r.tape, &batch, 0, x, &bias,
                                                       wanted, &outputs[1]));
        const float *a = assay_f32(rig_output(&outputs[0], "user.embedding"));
        const float *b = assay_f32(rig_output(&outputs[1], "user.embedding"));
        double change = 0;
        for (int k = 0; k < 64; k++)
            change += fabs((double)(a[k] - b[k]));
        if ((change > 0) != seen)
            fail_msg("mask %s, %s: the embedding changes by %g", v.mask, v.padding, change);
        rig_close(&r);
    }
}

/* With padding masked a neighbour with more events changes nothing; nor do answers. */
static void neighbours_and_answers_change_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < VARIANTS; i++) {
        six d;
        rig r;
        assay_batch batch;
        assay_outputs outputs;
        float together[2][64];
        if (variants[i].dropout > 0)
            continue;
        open_variant(&r, &d, &variants[i]);
        const assay_clock clock = rig_training(&r, 0);
        for (int answered = 0; answered < 2; answered++) {
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, SIX_USERS, answered ? &all : &embedding,
                     &batch, &outputs);
            memcpy(together[answered], assay_f32(rig_output(&outputs, "user.embedding")) + 64,
                   sizeof together[0]);
        }
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 1, 1, &embedding, &batch, &outputs);
        const float *alone = assay_f32(rig_output(&outputs, "user.embedding"));
        for (int k = 0; k < 64; k++)
            if (!(fabsf(alone[k] - together[0][k]) < 3e-5f &&
                  fabsf(alone[k] - together[1][k]) < 3e-5f))
                fail_msg("variant %d, number %d: %g alone, %g with others, %g with answers", i, k,
                         (double)alone[k], (double)together[0][k], (double)together[1][k]);
        rig_close(&r);
    }
}

static void users_without_events_have_vectors(void **state)
{
    (void)state;
    for (int i = 0; i < VARIANTS; i++)
        for (int alone = 0; alone < 2; alone++) {
            six d;
            rig r;
            assay_batch batch;
            assay_outputs outputs;
            open_variant(&r, &d, &variants[i]);
            memset(d.events[0], 0, sizeof d.events[0]); /* none at all */
            d.events[1][0] = 0;                         /* none of one source */
            const assay_clock clock = rig_training(&r, 0);
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, alone ? 1 : SIX_USERS, &all, &batch,
                     &outputs);
            const assay_tensor *x = rig_output(&outputs, "user.embedding");
            for (int64_t k = 0; k < assay_tensor_count(x); k++)
                assert_true(isfinite(assay_f32(x)[k]));
            assay_tensor *loss = total_loss(r.tape, &outputs);
            tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 1.0f));
            assert_null(assay_params_nonfinite(r.params, assay_tape_device(r.tape), false));
            rig_close(&r);
        }
}

/* ---- the formulas of 2.3.1, in plain code ---- */

static const float *numbers(const rig *r, const char *name)
{
    const assay_parameter *found = assay_params_find(r->params, name);
    if (!found)
        fail_msg("there is no parameter %s", name);
    return assay_f32(found->value);
}

/* W2 gelu(W1 LN(x) + b1) + b2: E = 64 in, 64 out. */
static void plain_adapter(const rig *r, const char *prefix, const double x[64], double out[64])
{
    double mean = 0, variance = 0, h[64], n[64];
    for (int k = 0; k < 64; k++)
        mean += x[k] / 64;
    for (int k = 0; k < 64; k++)
        variance += (x[k] - mean) * (x[k] - mean) / 64;
    const float *w = numbers(r, assay_text("%snorm.weight", prefix));
    const float *b = numbers(r, assay_text("%snorm.bias", prefix));
    for (int k = 0; k < 64; k++)
        n[k] = (double)w[k] * (x[k] - mean) / sqrt(variance + 1e-6) + (double)b[k];
    w = numbers(r, assay_text("%sfc1.weight", prefix));
    b = numbers(r, assay_text("%sfc1.bias", prefix));
    for (int o = 0; o < 64; o++) {
        double sum = (double)b[o];
        for (int k = 0; k < 64; k++)
            sum += (double)w[o * 64 + k] * n[k];
        h[o] = 0.5 * sum * (1 + erf(sum / sqrt(2)));
    }
    w = numbers(r, assay_text("%sfc2.weight", prefix));
    b = numbers(r, assay_text("%sfc2.bias", prefix));
    for (int o = 0; o < 64; o++) {
        out[o] = (double)b[o];
        for (int k = 0; k < 64; k++)
            out[o] += (double)w[o * 64 + k] * h[k];
    }
}

static void near_row(const float *row, const double *expected, const char *what)
{
    for (int k = 0; k < 64; k++)
        if (!(fabs((double)row[k] - expected[k]) < 1e-5))
            fail_msg("%s, number %d: %g, expected %g", what, k, (double)row[k], expected[k]);
}

/* By the paper's equation 2 they are means of what stands in the history: of the events' tokens,
 * and of the features'. */
static void summaries_of_the_paper_are_means_of_tokens(void **state)
{
    (void)state;
    static const int bases[6] = {7, 11, 14, 17, 19, 22}, counts[6] = {1, 1, 2, 0, 1, 2};
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    double means[6][64] = {{0}}, user[64] = {0}, expected[64];
    six_open(&d, 3);
    rig_begin_on(&r, &d.data, "causal");
    use_number(&r.model, "user_summary", 1);
    use_number(&r.model, "source_summary", 1);
    use_text(&r.model, "summaries", "paper");
    use_text(&r.model, "encoder", "bag");
    use_number(&r.model, "encoder_width", 24); /* not the decoder's */
    use_number(&r.model, "feature_tokens", 2);
    use_number(&r.model, "age", 0);
    use_number(&r.model, "rank", 0);
    use_text(&r.model, "slots", "fixed");
    rig_open(&r, 5);
    assert_null(assay_params_find(r.params, "features.mean.weight"));
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 1, &embedding, &batch, &outputs);
    const float *x = assay_f32(r.embedded[0]);
    for (int s = 0; s < 6; s++) {
        for (int e = 0; e < counts[s]; e++)
            for (int k = 0; k < 64; k++)
                means[s][k] += (double)x[(bases[s] + e) * 64 + k] / counts[s];
        for (int k = 0; k < 64; k++)
            user[k] += means[s][k] / 6;
        plain_adapter(&r, "summary.source.", means[s], expected);
        near_row(x + (1 + s) * 64, expected, "summary of a source");
    }
    plain_adapter(&r, "summary.user.", user, expected);
    near_row(x, expected, "summary of the user");
    rig_close(&r);
}

static void summaries_are_means_of_raw_vectors(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    double means[6][64] = {{0}}, user[64] = {0}, expected[64], raw[64];
    const variant v = {"words", "plain",  "mlp", "user_token", "causal",
                       "fixed", "masked", false, true,         0};
    open_variant(&r, &d, &v);
    rig_close(&r);
    rig_begin_on(&r, &d.data, "causal"); /* the same without age and place */
    use_number(&r.model, "user_summary", 1);
    use_number(&r.model, "source_summary", 1);
    use_number(&r.model, "age", 0);
    use_number(&r.model, "rank", 0);
    use_text(&r.model, "slots", "fixed");
    rig_open(&r, 5);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 1, &embedding, &batch, &outputs);
    const float *x = assay_f32(r.embedded[0]);
    /* Each event is the mean of its two words' vectors: find them through the words' own tower. */
    const float *table = numbers(&r, "model.embed_tokens.weight");
    int64_t at = 0;
    static const int bases[5] = {7, 11, 14, 17, 19}, counts[5] = {1, 1, 2, 0, 1};
    for (int s = 0; s < 5; s++)
        for (int e = 0; e < counts[s]; e++, at++) {
            const int64_t rows =
                assay_params_find(r.params, "model.embed_tokens.weight")->value->shape[0];
            bool found = false;
            for (int64_t a = 5; a < rows && !found; a++)
                for (int64_t b = a + 1; b < rows && !found; b++) {
                    for (int k = 0; k < 64; k++)
                        raw[k] = ((double)table[a * 64 + k] + (double)table[b * 64 + k]) / 2;
                    plain_adapter(&r, assay_text("encoder.%s.", six_names[s]), raw, expected);
                    found = fabs(expected[0] - (double)x[(bases[s] + e) * 64]) < 1e-5 &&
                            fabs(expected[9] - (double)x[(bases[s] + e) * 64 + 9]) < 1e-5;
                }
            assert_true(found);
            near_row(x + (bases[s] + e) * 64, expected, "event token");
            for (int k = 0; k < 64; k++)
                means[s][k] += raw[k] / counts[s];
        }
    const float *w = numbers(&r, "features.mean.weight"), *b = numbers(&r, "features.mean.bias");
    for (int o = 0; o < 64; o++) {
        means[5][o] = (double)b[o];
        for (int k = 0; k < 3; k++)
            means[5][o] += (double)w[o * 3 + k] * ((2 * (k + 1) % 7) / 7.0 - 0.4);
    }
    for (int s = 0; s < 6; s++) {
        for (int k = 0; k < 64; k++)
            user[k] += means[s][k] / 6; /* sousuo has none and counts as zero */
        plain_adapter(&r, "summary.source.", means[s], expected);
        near_row(x + (1 + s) * 64, expected, "summary of a source");
    }
    plain_adapter(&r, "summary.user.", user, expected);
    near_row(x, expected, "summary of the user");
    memset(raw, 0, sizeof raw);
    plain_adapter(&r, "encoder.bill.", raw, expected);
    near_row(x + 8 * 64, expected, "padding slot");
    rig_close(&r);
}

/* ---- encoders ---- */

static void a_bert_is_read_at_its_first_token(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    const variant v = {"bert",    "plain",  "mlp", "user_token", "causal",
                       "compact", "masked", true,  false,        0};
    open_variant(&r, &d, &v);
    assert_null(assay_params_find(r.params, "bert.bill.embeddings.word_embeddings.weight"));
    assert_non_null(
        assay_params_find(r.params, "bert.shared.encoder.layer.0.attention.self.query.weight"));
    assert_int_equal(assay_params_find(r.params, "encoder.bill.fc2.weight")->value->shape[0], 64);
    assert_int_equal(assay_params_find(r.params, "encoder.bill.fc2.weight")->value->shape[1], 24);
    /* The same text of two users is one row of the BERT's batch: only different texts run. */
    tape_must(r.tape, assay_tape_tap(r.tape, "user/bert.shared.embeddings"));
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 1, &embedding, &batch, &outputs);
    const assay_tensor *last = assay_tape_tapped(r.tape, "user/bert.shared.embeddings");
    assert_non_null(last);
    assert_int_equal(last->shape[1], 4); /* [CLS] spm item0x0 [SEP] */
    assert_int_equal(last->shape[2], 24);
    rig_close(&r);
}

/* ---- the decoder's inside ---- */

static void layers_and_maps_come_when_wanted(void **state)
{
    static const char *const names[] = {"user.embedding", "user.layers.0", "user.attention.1",
                                        "user.layers.1", "answer.attention.0"};
    static const assay_wanted wanted = {5, names};
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    const variant v = {"words", "plain",  "mlp", "user_token", "future",
                       "fixed", "masked", false, false,        0};
    open_variant(&r, &d, &v);
    const assay_clock clock = rig_training(&r, 3);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &wanted, &batch, &outputs);
    const assay_tensor *map = rig_output(&outputs, "user.attention.1");
    const int64_t tokens = batch.towers[0].tokens;
    assert_int_equal(map->shape[1], 4);
    for (int64_t q = 0; q < assay_i32(batch.towers[0].lengths)[0]; q++) {
        double sum = 0;
        for (int64_t t = 0; t < tokens; t++)
            sum += (double)assay_f32(map)[q * tokens + t];
        assert_true(fabs(sum - 1) < 1e-5);
        assert_true(assay_f32(map)[q * tokens + 2] == 0); /* a padding slot of bill */
    }
    assert_int_equal(rig_output(&outputs, "user.layers.0")->shape[1], tokens);
    rig_output(&outputs, "user.layers.1");
    rig_output(&outputs, "answer.attention.0");
    rig_close(&r);
}

/* ---- wrong options ---- */

static void options_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *option, *value, *what;
        bool is_list;
    } rows[] = {{"slot_counts", "1,2", "another number of items", true},
                {"event_limits", "1,2,3", "another number of items", true},
                {"encoder_tokenizer", "nowhere.json", "event encoders of their own", false},
                {"slots", "fixed", "slots of source bill are not known", false},
                {"summaries", "paper", "the features' tokens", false},
                {"tokenizer", "nowhere.json", "", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        six d;
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_params *params = assay_params_new(1, &error);
        must(params != NULL, &error);
        six_open(&d, 3);
        memset(d.slots, 0, sizeof d.slots);
        (rows[i].is_list ? use_list : use_text)(&used, rows[i].option, rows[i].value);
        use_number(&used, "user_summary", 1);
        use_number(&used, "feature_tokens", 0);
        const assay_model_setup setup = {.size = sizeof setup, .data = &d.data, .params = params};
        assert_null(use_model(&used)->open(used.options, &setup, &error));
        if (!strstr(error.what, rows[i].what))
            fail_msg("%s: '%s', expected '%s'", rows[i].option, error.what, rows[i].what);
        assay_params_free(params);
        use_close(&used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_learns),
        cmocka_unit_test(slopes_are_those_of_the_loss),
        cmocka_unit_test(masked_padding_is_invisible),
        cmocka_unit_test(neighbours_and_answers_change_nothing),
        cmocka_unit_test(users_without_events_have_vectors),
        cmocka_unit_test(summaries_are_means_of_raw_vectors),
        cmocka_unit_test(summaries_of_the_paper_are_means_of_tokens),
        cmocka_unit_test(a_bert_is_read_at_its_first_token),
        cmocka_unit_test(layers_and_maps_come_when_wanted),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("event_encoders", tests, NULL, NULL);
}
