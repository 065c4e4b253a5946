/* test_determinism.c - a training run is a function of its seed: repeated in the same process, on a
 * fresh tape and on a used one, it ends in the same bits, and from its third step on it asks for no
 * memory. */
#include "leakage/fixture.h"
#include "under_test.h"

#include <assay/memory.h>
#include <assay/optim.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 20, STEADY_FROM = 3 };

/* The batch of each device. That of the cpu is large enough for its kernels to share the work among
 * threads; the plain loops have no threads, and are slow, as the stand-in of a GPU is. */
static struct {
    int64_t batch, tokens;
} sizes[DEVICES] = {{8, 128}, {6, 20}};

/* What one run leaves behind. */
typedef struct outcome {
    fixture_model model;
    assay_adamw *adamw;
    double losses[STEPS];
    int64_t allocations[STEPS]; /* asked for within each step */
} outcome;

/* One view of the batch: dropped-out embeddings through the stack. */
static assay_tensor *view_of(assay_tape *tape, const assay_decoder *decoder,
                             const assay_tensor *ids, const assay_tensor *lengths, const char *name)
{
    assay_attention_bias bias = assay_bias_future(tape, 0.25f);
    assay_tensor *x = assay_decoder_embed(tape, decoder, ids);
    x = assay_dropout(tape, x, 0.2f, name);
    return assay_decoder_forward(tape, decoder, x, lengths, &bias);
}

/* Next-token loss of one view, and a contrastive loss between the last tokens of two. */
static assay_tensor *loss_of(assay_tape *tape, const assay_decoder *decoder,
                             const assay_tensor *ids, const assay_tensor *lengths)
{
    const assay_contrastive_options options = {ASSAY_GG_PAPER, 0.1f, 0.1f};
    assay_tensor *a = view_of(tape, decoder, ids, lengths, "dropout/first");
    assay_tensor *b = view_of(tape, decoder, ids, lengths, "dropout/second");
    assay_tensor *words = assay_next_token_loss(tape, decoder, a, ids, lengths, ASSAY_MEAN);
    assay_tensor *pairs = assay_contrastive(tape, assay_last_token(tape, a, lengths),
                                            assay_last_token(tape, b, lengths), &options, NULL);
    return assay_add(tape, words, pairs);
}

/* Rows of all kinds of lengths, the first full, none empty. */
static assay_tensor *make_lengths(int64_t batch, int64_t tokens)
{
    int32_t lengths[16];
    for (int64_t b = 0; b < batch; b++)
        lengths[b] = (int32_t)(tokens - b * (tokens - 1) / (batch - 1));
    return fixture_ints(batch, lengths);
}

static outcome train(int device, assay_tape *tape, uint64_t seed)
{
    const int64_t batch = sizes[device].batch, tokens = sizes[device].tokens;
    outcome run = {.model = fixture_model_new(2, 1)};
    assay_tensor *lengths = make_lengths(batch, tokens);
    assay_error error = {0};
    run.adamw =
        assay_adamw_new(run.model.params, assay_tape_device(tape), assay_adamw_defaults(), &error);
    assert_non_null(run.adamw);
    for (int step = 0; step < STEPS; step++) {
        assay_tensor *ids = fixture_ids(assay_text("ids/%d", step % 4), batch, tokens);
        int64_t before = assay_memory_stats_get().allocations;
        assay_tensor *loss = NULL;
        assay_params_clear_grads(run.model.params);
        assay_tape_begin(tape,
                         (assay_step){.seed = seed, .clock = (uint64_t)step, .training = true});
        loss = loss_of(tape, run.model.decoder, ids, lengths);
        assay_tape_backward(tape, loss, 1.0f);
        fixture_sound(tape);
        run.losses[step] = assay_value(loss);
        assert_true(assay_adamw_step(run.adamw, 0.01f, 1.0f, NULL, &error));
        run.allocations[step] = assay_memory_stats_get().allocations - before;
        assay_tensor_free(ids);
    }
    assay_tensor_free(lengths);
    return run;
}

static void outcome_free(outcome *run)
{
    assay_adamw_free(run->adamw);
    fixture_model_free(&run->model);
}

static bool same_bits(const assay_tensor *a, const assay_tensor *b)
{
    return memcmp(assay_elements(a), assay_elements(b), (size_t)assay_tensor_bytes(a)) == 0;
}

static void expect_same_run(const outcome *a, const outcome *b)
{
    assert_memory_equal(a->losses, b->losses, sizeof a->losses);
    for (int64_t i = 0; i < assay_params_count(a->model.params); i++) {
        const assay_parameter *p = assay_params_at(a->model.params, i);
        if (!same_bits(p->value, assay_params_at(b->model.params, i)->value) ||
            !same_bits(assay_adamw_first(a->adamw, p->name),
                       assay_adamw_first(b->adamw, p->name)) ||
            !same_bits(assay_adamw_second(a->adamw, p->name),
                       assay_adamw_second(b->adamw, p->name)))
            fail_msg("%s ended differently", p->name);
    }
}

static void a_repeated_run_ends_in_the_same_bits(void **state)
{
    (void)state;
    for (int device = 0; device < DEVICES; device++)
        for (int threads = 1; threads <= 2; threads++) {
            assay_tape *tape = fixture_tape(fixture_device(device));
            assay_tape *fresh = fixture_tape(fixture_device(device));
            outcome runs[3];
            assert_true(assay_threads_set(threads, NULL));
            runs[0] = train(device, tape, 5);
            runs[1] = train(device, tape, 5);
            runs[2] = train(device, fresh, 5);
            expect_same_run(&runs[0], &runs[1]);
            expect_same_run(&runs[0], &runs[2]);
            for (int i = 0; i < 3; i++)
                outcome_free(&runs[i]);
            assay_tape_free(tape);
            assay_tape_free(fresh);
        }
}

/* Otherwise the same bits would prove nothing: the seed reaches dropout, and the steps learn. */
static void another_seed_ends_elsewhere_and_the_loss_falls(void **state)
{
    assay_tape *tape = fixture_tape(fixture_device(0));
    outcome one = train(0, tape, 5), other = train(0, tape, 6);
    (void)state;
    assert_true(one.losses[0] != other.losses[0]);
    assert_true(one.losses[STEPS - 1] < 0.8 * one.losses[0]);
    outcome_free(&one);
    outcome_free(&other);
    assay_tape_free(tape);
}

static void a_steady_step_asks_for_no_memory(void **state)
{
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        outcome run = train(device, tape, 5);
        assert_true(run.allocations[0] > 0);
        for (int step = STEADY_FROM; step < STEPS; step++)
            assert_int_equal(run.allocations[step], 0);
        outcome_free(&run);
        assay_tape_free(tape);
    }
}

int main(void)
{
    if (test_short())
        sizes[0] = sizes[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeated_run_ends_in_the_same_bits),
        cmocka_unit_test(another_seed_ends_elsewhere_and_the_loss_falls),
        cmocka_unit_test(a_steady_step_asks_for_no_memory),
    };
    return cmocka_run_group_tests_name("determinism", tests, NULL, NULL);
}
