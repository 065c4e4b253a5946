/* test_heads.c - attention alone, head by head and from a fused projection: each head sees exactly
 * what its own mask allows, and a learned price hears only of the pairs it was charged for. */
#include "leakage/fixture.h"
#include "leakage/probe.h"
#include "under_test.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Where q, k and v of a head stand in a fused row, and how wide the rows are. */
enum {
    KEYS = HEADS * HEAD_WIDTH,
    VALUES = KEYS + KV_HEADS * HEAD_WIDTH,
    FUSED = VALUES + KV_HEADS * HEAD_WIDTH,
    OUT = HEADS * HEAD_WIDTH
};

static assay_tensor *attend(probe *p)
{
    return assay_attention(p->tape, &(assay_attention_args){.qkv = p->x,
                                                            .heads = HEADS,
                                                            .kv_heads = KV_HEADS,
                                                            .lengths = p->lengths,
                                                            .bias = mask_bias(&p->m, p->tape)});
}

/* Seeds head h of output row (b, i). The value of key j has a gradient if and only if h sees j. The
 * key itself may have one only then (a lone visible key has probability 1 whatever it is), and a
 * query only when it is that of row i. */
static void probe_head(probe *p, int64_t b, int64_t i, int64_t h)
{
    const int64_t value = VALUES + h / (HEADS / KV_HEADS) * HEAD_WIDTH;
    probe_begin(p);
    probe_go_back(p, attend(p), b, i, h * HEAD_WIDTH, HEAD_WIDTH);
    for (int64_t other = 0; other < p->batch; other++)
        for (int64_t j = 0; j < p->tokens; j++) {
            bool sees = other == b && mask_allows(&p->m, probe_lengths(p), b, h, i, j);
            bool wrong = probe_reaches(p, other, j, value, HEAD_WIDTH) != sees;
            if (!(other == b && j == i))
                wrong = wrong || probe_reaches(p, other, j, 0, KEYS);
            if (!sees)
                wrong = wrong || probe_reaches(p, other, j, KEYS, FUSED - KEYS);
            if (wrong)
                fail_msg("%s: head %" PRId64 " of output (%" PRId64 ", %" PRId64
                         ") %s input (%" PRId64 ", %" PRId64 ")",
                         p->text, h, b, i, sees ? "misses" : "leaks from", other, j);
        }
}

static void probe_heads(const assay_device *device, const int64_t *tokens)
{
    assay_tape *tape = fixture_tape(device);
    for (; *tokens; tokens++)
        for (int run = 0; run < 2 * mask_kind_count(); run++) {
            probe p = probe_new(tape, mask_kind_at(run / 2), *tokens, run % 2, true, FUSED, OUT);
            for (int64_t b = 0; b < p.batch; b++)
                for (int64_t i = 0; i < *tokens; i++)
                    if (probe_seeds(&p, b, i))
                        probe_head(&p, b, i, (b + i) % HEADS);
            probe_free(&p);
        }
    assay_tape_free(tape);
}

static void each_head_sees_what_its_own_mask_allows(void **state)
{
    (void)state;
    static const int64_t all[] = {1, 2, 7, 64, 65, 130, 0}, few[] = {2, 65, 0};
    probe_heads(fixture_device(0), test_short() == 2 ? few : all);
}

static void each_head_of_the_plain_device_does_too(void **state)
{
    (void)state;
    probe_heads(fixture_device(1), (const int64_t[]){1, 2, 7, 0});
}

/* ---- the price ---- */

static bool is_charged(const probe *p, int64_t i, int64_t j)
{
    if (j <= i && p->m.kind->scope != ASSAY_BIAS_EVERYWHERE)
        return false;
    for (int64_t b = 0; b < p->batch; b++)
        if (mask_allows(&p->m, probe_lengths(p), b, 0, i, j))
            return true;
    return false;
}

/* Row 0 is not asked: where it sees only itself its probability is 1 at any price, and the gradient
 * a rounding error. */
static void check_price_gradient(const probe *p)
{
    assert_true(p->m.log_weight->has_grad);
    for (int64_t i = 1; i < p->tokens; i++)
        for (int64_t j = 0; j < p->tokens; j++)
            if ((assay_gradient(p->m.log_weight)[i * p->tokens + j] != 0.0f) != is_charged(p, i, j))
                fail_msg("%s: gradient of the price at (%" PRId64 ", %" PRId64 ")", p->text, i, j);
}

static void a_learned_price_has_a_gradient_only_at_pairs_it_was_charged_for(void **state)
{
    const mask_kind learned[] = {
        {"future", .future = ASSAY_FUTURE_OPEN},
        {"future, some at weight 0", .future = ASSAY_FUTURE_OPEN, .hidden = 0.5f},
        {"everywhere, closed", .scope = ASSAY_BIAS_EVERYWHERE},
    };
    (void)state;
    for (int run = 0; run < 12; run++) {
        assay_tape *tape = fixture_tape(fixture_device(run % 2));
        mask_kind kind = learned[run / 4];
        kind.priced = kind.learned = kind.full[2] = kind.full[3] = true;
        probe p = probe_new(tape, &kind, 65, run / 2 % 2, true, FUSED, OUT);
        probe_begin(&p);
        assay_random_fill_normal(assay_stream_of(3, "all", 0), 0, p.batch * p.tokens * OUT,
                                 p.cotangent);
        probe_go_back(&p, attend(&p), 0, 0, 0, OUT);
        check_price_gradient(&p);
        probe_free(&p);
        assay_tape_free(tape);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_head_sees_what_its_own_mask_allows),
        cmocka_unit_test(each_head_of_the_plain_device_does_too),
        cmocka_unit_test(a_learned_price_has_a_gradient_only_at_pairs_it_was_charged_for),
    };
    return cmocka_run_group_tests_name("heads", tests, NULL, NULL);
}
