/* test_leakage.c - whole stacks under every mask: the gradient of one row of the last states is
 * exactly 0 at every input row that the mask forbids, and not 0 at every one it allows.
 *
 * Through L layers information moves along paths of at most L allowed steps (the residual path adds
 * the step from a position to itself), so what is allowed there is the closure of the mask. */
#include "leakage/fixture.h"
#include "leakage/probe.h"
#include "under_test.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* How many steps of the mask, at most `layers`, position j is away from position i of item b, into
 * steps[T]; -1: it does not reach i. */
static void find_steps(const probe *p, int64_t b, int64_t i, int64_t layers, int *steps)
{
    for (int64_t j = 0; j < p->tokens; j++)
        steps[j] = -1;
    if (p->lengths && i >= assay_i32(p->lengths)[b])
        return;
    steps[i] = 0;
    for (int layer = 0; layer < layers; layer++)
        for (int64_t k = 0; k < p->tokens; k++)
            for (int64_t j = 0; j < p->tokens && steps[k] == layer; j++)
                for (int64_t h = 0; h < HEADS && steps[j] < 0; h++)
                    if (mask_allows(&p->m, probe_lengths(p), b, h, k, j))
                        steps[j] = layer + 1;
}

static void probe_row(probe *p, const assay_decoder *decoder, int64_t b, int64_t i)
{
    int64_t layers = assay_decoder_config_get(decoder)->layers;
    int steps[POSITIONS] = {0};
    assay_attention_bias bias;
    probe_begin(p);
    bias = mask_bias(&p->m, p->tape);
    probe_go_back(p, assay_decoder_forward(p->tape, decoder, p->x, p->lengths, &bias), b, i, 0,
                  WIDTH);
    find_steps(p, b, i, layers, steps);
    for (int64_t other = 0; other < p->batch; other++)
        for (int64_t j = 0; j < p->tokens; j++) {
            bool expected = other == b && steps[j] >= 0;
            if (probe_reaches(p, other, j, 0, WIDTH) != expected)
                fail_msg("%s, %" PRId64 " layers: output (%" PRId64 ", %" PRId64
                         ") %s input (%" PRId64 ", %" PRId64 ")",
                         p->text, layers, b, i, expected ? "misses" : "leaks from", other, j);
        }
}

/* In evaluation the weights are frozen, as in a finished model. The short form pads in evaluation
 * only. */
static void probe_tokens(assay_tape *tape, const fixture_model *model, int64_t tokens)
{
    for (int kind = 0; kind < mask_kind_count(); kind++)
        for (int variant = 0; variant < 4; variant++) {
            bool padded = variant & 1, training = variant & 2;
            if (test_short() && padded == training)
                continue;
            probe p = probe_new(tape, mask_kind_at(kind), tokens, padded, training, WIDTH, WIDTH);
            assay_params_train(model->params, NULL, training, NULL);
            for (int64_t b = 0; b < p.batch; b++)
                for (int64_t i = 0; i < tokens; i++)
                    if (probe_seeds(&p, b, i))
                        probe_row(&p, model->decoder, b, i);
            probe_free(&p);
        }
}

static void probe_stack(const assay_device *device, int64_t layers, const int64_t *tokens)
{
    assay_tape *tape = fixture_tape(device);
    fixture_model model = fixture_model_new(layers, 1);
    for (; *tokens; tokens++)
        probe_tokens(tape, &model, *tokens);
    fixture_model_free(&model);
    assay_tape_free(tape);
}

static void one_layer_sees_what_its_mask_allows_and_nothing_else(void **state)
{
    (void)state;
    static const int64_t all[] = {1, 2, 7, 64, 65, 0}, few[] = {2, 7, 0};
    probe_stack(fixture_device(0), 1, test_short() ? few : all);
}

static void a_stack_sees_the_closure_of_its_mask_and_nothing_else(void **state)
{
    (void)state;
    static const int64_t all[] = {1, 2, 7, 65, 0}, few[] = {7, 0};
    probe_stack(fixture_device(0), 3, test_short() ? few : all);
}

static void the_plain_device_leaks_nothing_either(void **state)
{
    (void)state;
    probe_stack(fixture_device(1), 1, (const int64_t[]){1, 2, 7, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_layer_sees_what_its_mask_allows_and_nothing_else),
        cmocka_unit_test(a_stack_sees_the_closure_of_its_mask_and_nothing_else),
        cmocka_unit_test(the_plain_device_leaks_nothing_either),
    };
    return cmocka_run_group_tests_name("leakage", tests, NULL, NULL);
}
