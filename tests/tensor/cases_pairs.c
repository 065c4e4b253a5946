/* cases_pairs.c - prices of pairs of a query and a key: inside a history, and of closed keys. What
 * comes out is infinite where a pair is hidden: cases look at its exponential. */
#include "cases.h"

#include <math.h>
#include <stdint.h>

enum { BATCH = 3, TOKENS = 7 };

static const int32_t spans[] = {1, 5, 0, 7, 3, 3};

/* Axis i of the prices is full where bit i of `option` is set. */
static void add_prices(op_case *c, int64_t heads)
{
    const int64_t full[] = {BATCH, heads, TOKENS, TOKENS};
    int64_t shape[4];
    for (int i = 0; i < 4; i++)
        shape[i] = c->option >> i & 1 ? full[i] : 1;
    case_input_add(c, FILL_NORMAL, 4, shape)->wide = true;
}

static assay_tensor *in_history(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n;
    (void)user;
    const assay_tensor *span = case_ints(tape, 2, SHAPE(BATCH, 2), spans);
    return assay_activate(tape, assay_history_prices(tape, in[0], span, TOKENS), ASSAY_EXP);
}

static void add_histories(case_list *list)
{
    for (int axes = 0; axes < 16; axes++) {
        if (axes & 2)
            continue; /* heads share it */
        op_case *c = case_add(list, in_history, "history prices by axes %d", axes);
        c->option = axes;
        add_prices(c, 1);
    }
}

/* (B, T): infinity at every third key of a row, else nothing. */
static const assay_tensor *costs(assay_tape *tape, int first)
{
    float cost[BATCH * TOKENS];
    for (int i = 0; i < BATCH * TOKENS; i++)
        cost[i] = (i + first) % 3 == 0 ? -INFINITY : 0.0f;
    return assay_tape_constant(tape, ASSAY_F32, 2, SHAPE(BATCH, TOKENS), cost);
}

/* size[0]: bit 0 the future, bit 1 always, bit 2 whole, bit 3 with spans. */
static assay_tensor *closed(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    int64_t with = c->size[0];
    (void)n;
    const assay_closed_keys keys = {
        .future = with & 1 ? costs(tape, 0) : NULL,
        .always = with & 2 ? costs(tape, 1) : NULL,
        .whole = with & 4,
        .span = with & 8 ? case_ints(tape, 2, SHAPE(BATCH, 2), spans) : NULL,
    };
    return assay_activate(tape, assay_close_keys(tape, in[0], BATCH, TOKENS, &keys), ASSAY_EXP);
}

static void add_closed(case_list *list)
{
    static const int64_t with[] = {0, 1, 2, 3, 4, 5, 7, 12, 15};
    for (int w = 0; w < (int)(sizeof with / sizeof with[0]); w++)
        for (int axes = 0; axes < 16; axes += axes < 4 ? 1 : 3) {
            op_case *c = case_add(list, closed, "closed keys %d by axes %d", (int)with[w], axes);
            c->option = axes;
            c->size[0] = with[w];
            c->entries = 4;
            add_prices(c, 2);
        }
}

void family_cases(case_list *list)
{
    add_histories(list);
    add_closed(list);
}
