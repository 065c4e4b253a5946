/* test_prefix.c - user_decoder in two parts: a history's prefix and questions on it give the
 * embeddings of whole sequences (user-modelling spec 6.4, 4), and nothing of one question or user
 * reaches another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/rig.h"

#include <assay/attention.h>
#include <assay/device.h>
#include <assay/memory.h>
#include <assay/ops.h>

#include <math.h>
#include <string.h>

enum { USERS = 3, QUESTIONS = 4, ROWS = USERS * QUESTIONS };

static const char *const asked[QUESTIONS] = {"Will the user repay ?", "sick", "",
                                             "What does the user buy on Mondays , and why ?"};
static const char *const names[] = {"user.embedding"};
static const assay_wanted wanted = {1, names};

/* Every user with every question, user after user: samples of their own in the rig's arena. */
static assay_sample *ask_all(rig *r, const int *order)
{
    assay_error error = {0};
    const int query = assay_data_field(r->data, "query");
    int fields = 0;
    r->data->functions->fields(r->data->dataset, &fields);
    assay_sample *samples = assay_arena_alloc(r->arena, ROWS * (int64_t)sizeof *samples, &error);
    must(samples != NULL, &error);
    for (int i = 0; i < ROWS; i++) {
        must(r->data->functions->sample(r->data->dataset, ASSAY_TRAIN, ASSAY_NO_BENCHMARK,
                                        i / QUESTIONS, &(assay_draw){0}, r->arena, &samples[i],
                                        &error),
             &error);
        assay_field_value *values =
            assay_arena_alloc(r->arena, fields * (int64_t)sizeof *values, &error);
        must(values != NULL, &error);
        memcpy(values, samples[i].values, (size_t)fields * sizeof *values);
        const char *text = asked[order[i % QUESTIONS]];
        values[query] =
            (assay_field_value){.data = text, .shape = {(int64_t)strlen(text)}, .present = true};
        samples[i].values = values;
    }
    return samples;
}

static void collate(rig *r, assay_sample *samples, int64_t count, assay_part_of part,
                    assay_batch *out)
{
    assay_error error = {0};
    const assay_collation in = {.samples = samples,
                                .count = count,
                                .phase = ASSAY_EVALUATION,
                                .wanted = &wanted,
                                .arena = r->arena,
                                .part = part};
    *out = (assay_batch){.samples = count, .sample = samples, .part = part};
    must(use_model(&r->model)->collate(r->opened, &in, out, &error), &error);
}

/* Copies the embeddings (ROWS, E) of a pass out; d_readout receives the gradient of the sum of
 * their squares with respect to the extra tokens before what is read (NULL: it is not asked
 * for). */
static void take(rig *r, const assay_outputs *outputs, float *out, float *d_readout)
{
    assay_tensor *e = rig_output(outputs, names[0]);
    memcpy(out, assay_elements(e), (size_t)assay_tensor_bytes(e));
    if (!d_readout || !r->insert.readout)
        return;
    assay_params_clear_grads(r->params);
    assay_tensor *squares = assay_sum(r->tape, assay_mul(r->tape, e, e));
    tape_must(r->tape, squares && assay_tape_backward(r->tape, squares, 1));
    assert_true(r->insert.readout->has_grad);
    memcpy(d_readout, assay_gradient(r->insert.readout),
           (size_t)assay_tensor_bytes(r->insert.readout));
}

/* Embeddings (ROWS, E) of the whole sequences. */
static void embed_whole(rig *r, const int *order, float *out, float *d_readout)
{
    assay_batch batch;
    assay_outputs outputs = {0};
    const assay_clock clock = rig_evaluation(r, 0);
    rig_tape(r, false);
    assay_arena_reset(r->arena);
    collate(r, ask_all(r, order), ROWS, ASSAY_WHOLE, &batch);
    rig_run(r, &clock, &batch, &wanted, &outputs);
    take(r, &outputs, out, d_readout);
}

/* Input embeddings and bias of a part. */
static assay_tensor *enter(rig *r, const assay_batch *batch, assay_attention_bias *bias)
{
    const assay_clock clock = rig_evaluation(r, 0);
    if (r->mask_front > 0)
        r->insert.front = use_mask(&r->mask)->front(r->opened_mask, r->tape);
    assay_tensor *x = use_model(&r->model)->embed(r->opened, r->tape, batch, 0, &r->insert);
    tape_must(r->tape, x != NULL);
    tape_must(r->tape, use_mask(&r->mask)->bias(r->opened_mask, r->tape, &clock, &batch->towers[0],
                                                x, bias));
    return x;
}

/* The same in two parts; histories and questions of different passes. */
static void embed_in_parts(rig *r, const int *order, float *out, float *d_readout)
{
    assay_batch batch;
    assay_outputs outputs = {0};
    assay_attention_bias bias;
    assay_prefix *prefix[USERS];
    const assay_prefix *rows[ROWS];
    const assay_model_functions *model = use_model(&r->model);
    rig_tape(r, false);
    assay_arena_reset(r->arena);
    assay_sample *all = ask_all(r, order), users[USERS];
    for (int u = 0; u < USERS; u++)
        users[u] = all[u * QUESTIONS];
    collate(r, users, USERS, ASSAY_HISTORY, &batch);
    assert_int_equal(batch.tower_count, 1);
    assay_tensor *x = enter(r, &batch, &bias);
    tape_must(r->tape, model->prefill(r->opened, r->tape, &batch, 0, x, &bias, prefix));
    rig_tape(r, false);
    collate(r, all, ROWS, ASSAY_QUESTION, &batch);
    for (int i = 0; i < ROWS; i++)
        rows[i] = prefix[i / QUESTIONS];
    x = enter(r, &batch, &bias);
    tape_must(r->tape,
              model->resume(r->opened, r->tape, &batch, 0, x, &bias, rows, &wanted, &outputs));
    take(r, &outputs, out, d_readout);
    for (int u = 0; u < USERS; u++)
        assay_prefix_free(prefix[u]);
}

static const int in_order[QUESTIONS] = {0, 1, 2, 3}, reversed[QUESTIONS] = {3, 2, 1, 0};

/* One configuration of the model. */
typedef struct setting_of {
    const char *name, *value;
} setting_of;

typedef struct form {
    const char *mask;
    setting_of text[3];
    const char *number[2]; /* set to 1 */
    assay_extra_tokens extra;
} form;

static const form forms[] = {
    {.mask = "causal"},
    {.mask = "hybrid"},
    {.mask = "hybrid", .text = {{"layout", "tagged"}, {"encoder", "bag"}}},
    {.mask = "hybrid_mask"},
    {.mask = "hybrid_mlp"},
    {.mask = "hybrid_query"},
    {.mask = "hybrid_query", .text = {{"layout", "tagged"}}, .extra = {.readout = 2}},
    {.mask = "hybrid_mlp", .text = {{"layout", "tagged"}}},
    {.mask = "causal", .number = {"user_summary", "source_summary"}},
    {.mask = "hybrid_mask"},
    {.mask = "hybrid_mlp"},
    {.mask = "hybrid_query"},
    {.mask = "causal", .text = {{"readout", "last"}}, .extra = {.readout = 3}},
    {.mask = "hybrid", .text = {{"layout", "tagged"}}, .extra = {.front = 1, .readout = 2}},
    {.mask = "causal", .text = {{"slots", "fixed"}, {"slot_padding", "seen"}}},
    {.mask = "causal", .text = {{"layout", "chat"}}, .extra = {.readout = 2}},
    {.mask = "causal", .text = {{"encoder", "bert"}}, .extra = {.readout = 2}},
    {.mask = "hybrid",
     .text = {{"layout", "chat"}, {"encoder", "bert"}},
     .number = {"user_summary", "source_summary"},
     .extra = {.front = 1, .readout = 2}},
    {.mask = "hybrid_query", .text = {{"layout", "chat"}, {"encoder", "bert"}}},
    {.mask = "causal",
     .text = {{"layout", "chat"}, {"encoder", "bert"}, {"summaries", "paper"}},
     .number = {"user_summary", "source_summary"}},
    {.mask = "causal",
     .text = {{"layout", "chat"}, {"encoder", "bert"}, {"readout", "last"}},
     .extra = {.readout = 3}},
    {.mask = "causal",
     .text = {{"slots", "fixed"}, {"slot_padding", "seen"}, {"layout", "chat"}},
     .extra = {.readout = 1}},
};
enum { FORMS = sizeof forms / sizeof *forms };

static void open_form(rig *r, people *dataset, const form *of)
{
    people_open(dataset, USERS, 5);
    dataset->persons[1].events[0] = dataset->persons[1].events[1] = 0; /* a user without events */
    rig_begin(r, dataset, of->mask);
    for (int i = 0; i < 3; i++)
        if (of->text[i].name)
            use_text(&r->model, of->text[i].name, of->text[i].value);
    for (int i = 0; i < 2; i++)
        if (of->number[i])
            use_number(&r->model, of->number[i], 1);
    if (of->text[0].name && strcmp(of->text[0].name, "slots") == 0)
        use_list(&r->model, "slot_counts", "12,12");
    r->extra = of->extra;
    rig_open(r, 3);
}

/* Vectors of the extra tokens, for all passes: parameters, so that they have gradients. */
static void fill_extra(rig *r, const form *of)
{
    static const char *const kinds[2] = {"extra.front", "extra.readout"};
    assay_error error = {0};
    const int64_t counts[2] = {of->extra.front, of->extra.readout};
    assay_tensor *vectors[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        if (counts[i] == 0)
            continue;
        vectors[i] =
            assay_params_add(r->params, kinds[i], 2, (int64_t[]){counts[i], r->facts.width},
                             (assay_init){0}, &error);
        must(vectors[i] != NULL, &error);
        assay_random_fill_normal(assay_stream_of(2, "extra", (uint64_t)i), 0,
                                 counts[i] * r->facts.width, assay_f32(vectors[i]));
    }
    r->insert = (assay_insert){.front = vectors[0], .readout = vectors[1]};
}

/* Each of n numbers within `tolerance` of its own size, or of `floor`. */
static void close_to(const float *got, const float *want, int n, float tolerance, float floor,
                     int f, const char *what)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= tolerance * (floor + fabsf(want[i]))))
            fail_msg("form %d: number %d of %s is %g, not %g", f, i, what, (double)got[i],
                     (double)want[i]);
}

static void parts_give_the_embeddings_of_the_whole(void **state)
{
    int learned = 0;
    (void)state;
    for (int f = 0; f < FORMS; f++) {
        rig r;
        people dataset;
        float whole[ROWS * 64], parts[ROWS * 64], d_whole[3 * 64], d_parts[3 * 64], largest = 0;
        open_form(&r, &dataset, &forms[f]);
        fill_extra(&r, &forms[f]);
        assert_string_equal(r.facts.prefix, "user");
        embed_whole(&r, in_order, whole, d_whole);
        embed_in_parts(&r, in_order, parts, d_parts);
        close_to(parts, whole, ROWS * 64, 2e-5f, 1, f, "the embeddings");
        if (r.insert.readout) {
            int n = (int)assay_tensor_count(r.insert.readout);
            for (int i = 0; i < n; i++)
                largest = fmaxf(largest, fabsf(d_whole[i]));
            assert_true(largest > 0);
            close_to(d_parts, d_whole, n, 1e-4f, largest, f, "the gradient of the extra tokens");
            learned++;
        }
        rig_close(&r);
        people_close(&dataset);
    }
    assert_true(learned >= 6);
}

static void the_order_of_questions_changes_no_bit(void **state)
{
    (void)state;
    rig r;
    people dataset;
    float ahead[ROWS * 64], back[ROWS * 64];
    open_form(&r, &dataset, &forms[1]);
    embed_in_parts(&r, in_order, ahead, NULL);
    embed_in_parts(&r, reversed, back, NULL);
    for (int u = 0; u < USERS; u++)
        for (int q = 0; q < QUESTIONS; q++)
            same_bits(ahead + (u * QUESTIONS + q) * 64,
                      back + (u * QUESTIONS + QUESTIONS - 1 - q) * 64, 64, "an embedding");
    rig_close(&r);
    people_close(&dataset);
}

/* Other questions, and another user's history, change nothing of a user's answer to a question. */
static void questions_and_users_do_not_mix(void **state)
{
    (void)state;
    static const int others[QUESTIONS] = {0, 3, 3, 3};
    rig r;
    people dataset;
    float before[ROWS * 64], after[ROWS * 64];
    open_form(&r, &dataset, &forms[1]);
    embed_in_parts(&r, in_order, before, NULL);
    embed_in_parts(&r, others, after, NULL);
    for (int u = 0; u < USERS; u++)
        same_bits(before + u * QUESTIONS * 64, after + u * QUESTIONS * 64, 64,
                  "the first question");
    dataset.persons[2].time[0] -= 300; /* the shapes of all products stay what they are */
    dataset.persons[2].features[0] += 1;
    embed_in_parts(&r, in_order, after, NULL);
    same_bits(before, after, 2 * QUESTIONS * 64, "the other users");
    assert_memory_not_equal(before + 2 * QUESTIONS * 64, after + 2 * QUESTIONS * 64, 64 * 4);
    rig_close(&r);
    people_close(&dataset);
}

static void what_cannot_be_cached_says_why(void **state)
{
    (void)state;
    static const form without[] = {
        {.mask = "causal", .text = {{"readout", "mean"}}},
        {.mask = "causal", .text = {{"slots", "fixed"}}},
        {.mask = "causal", .text = {{"readout", "mean"}, {"layout", "chat"}, {"encoder", "bert"}}},
        {.mask = "causal", .text = {{"slots", "fixed"}, {"layout", "chat"}, {"encoder", "bert"}}}};
    static const char *const words[] = {"mean", "padding", "mean", "padding"};
    for (int f = 0; f < 4; f++) {
        rig r;
        people dataset;
        open_form(&r, &dataset, &without[f]);
        assert_null(r.facts.prefix);
        assert_non_null(strstr(r.facts.no_prefix, words[f]));
        rig_close(&r);
        people_close(&dataset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_give_the_embeddings_of_the_whole),
        cmocka_unit_test(the_order_of_questions_changes_no_bit),
        cmocka_unit_test(questions_and_users_do_not_mix),
        cmocka_unit_test(what_cannot_be_cached_says_why),
    };
    return assay_threads_set(1, NULL) ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
