/* cases_attention.c - attention, its map and rotation: every bias, layout and way of sharing heads.
 */
#include "cases.h"

#include <stdint.h>

typedef enum weight_kind { WEIGHT_NONE, WEIGHT_LEARNED, WEIGHT_FIXED, WEIGHT_SCALAR } weight_kind;
typedef enum layout { SEPARATE, FUSED, ALL_THE_SAME, KEYS_ARE_VALUES } layout;
typedef enum span_kind { SPAN_NONE, SPAN_SHARED, SPAN_PER_ITEM } span_kind;

typedef struct form {
    int64_t batch, queries, keys, heads, kv_heads, width;
    layout layout;
    assay_future future;
    assay_bias_scope scope;
    span_kind span;
    weight_kind weight;
    unsigned full_axes; /* of the log-weight: bit i set, axis i has its full extent */
    bool lengths, rotary, map;
    float scale;
} form;

static form forms[CASE_MOST];
static int form_count;

/* Kept for the life of the process. */
static assay_rotary *rotary;
#define ROTARY_WIDTH     4
#define ROTARY_POSITIONS 130

static const int32_t valid_tokens[] = {5, 0, 3};
static const int32_t spans[] = {1, 4, 0, 3, 2, 5};

/* The fast backward pass takes the row sums of P dP from the stored output, which bf16 has rounded;
 * the plain one computes them again. Where a shared log-weight's gradient nearly cancels, that
 * shows. */
#define STORED_OUTPUT_TOLERANCE 2e-2

static assay_attention_bias bias_of(assay_tape *tape, const form *f, assay_tensor *weight)
{
    assay_attention_bias bias = {.future = f->future, .scope = f->scope, .log_weight = weight};
    if (f->weight == WEIGHT_SCALAR)
        bias = assay_bias_future(tape, 0.3f);
    if (f->span == SPAN_SHARED)
        bias.span = case_ints(tape, 1, SHAPE(2), spans);
    if (f->span == SPAN_PER_ITEM)
        bias.span = case_ints(tape, 2, SHAPE(f->batch, 2), spans);
    return bias;
}

static assay_tensor *attend(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    const form *f = c->settings;
    bool weighted = f->weight == WEIGHT_LEARNED || f->weight == WEIGHT_FIXED;
    int last = n - 1 - (weighted ? 1 : 0);
    assay_attention_args args = {.heads = f->heads,
                                 .kv_heads = f->kv_heads,
                                 .scale = f->scale,
                                 .rotary = f->rotary ? rotary : NULL,
                                 .bias = bias_of(tape, f, weighted ? in[n - 1] : NULL)};
    if (f->layout == FUSED) {
        args.qkv = in[0];
    } else {
        args.q = in[0];
        args.k = in[f->layout == ALL_THE_SAME ? 0 : 1];
        args.v = f->map ? NULL : in[last];
    }
    if (f->lengths)
        args.lengths = case_ints(tape, 1, SHAPE(f->batch), valid_tokens);
    return f->map ? assay_attention_map(tape, &args) : assay_attention(tape, &args);
}

static void add_attention_inputs(op_case *c, const form *f)
{
    int64_t kv = f->kv_heads ? f->kv_heads : f->heads, shape[4];
    int64_t full[] = {f->batch, f->heads, f->queries, f->keys};
    if (f->layout == FUSED) {
        INPUT(c, FILL_NORMAL, f->batch, f->keys, (f->heads + 2 * kv) * f->width);
    } else {
        INPUT(c, FILL_NORMAL, f->batch, f->queries, f->heads * f->width);
        for (int i = 0; i < 2; i++)
            if (f->layout == SEPARATE ? i == 0 || !f->map : f->layout == KEYS_ARE_VALUES && i == 0)
                INPUT(c, FILL_NORMAL, f->batch, f->keys, kv * f->width);
    }
    if (f->weight != WEIGHT_LEARNED && f->weight != WEIGHT_FIXED)
        return;
    for (int i = 0; i < 4; i++)
        shape[i] = f->full_axes >> i & 1 ? full[i] : 1;
    case_input *weight = case_input_add(c, FILL_NORMAL, 4, shape);
    weight->fixed = f->weight == WEIGHT_FIXED;
    weight->wide = true;
}

/* One case of a form, and one of its map. */
static void add_form(case_list *list, form f, const char *name)
{
    for (int map = 0; map < 2; map++) {
        op_case *c = case_add(list, attend, "%s: %s", map ? "attention_map" : "attention", name);
        f.map = map == 1;
        forms[form_count] = f;
        c->settings = &forms[form_count++];
        c->entries = f.keys > 100 ? 1 : f.keys > 32 ? 2 : 4; /* for the time it takes */
        c->bf16_tolerance = STORED_OUTPUT_TOLERANCE;
        add_attention_inputs(c, &f);
    }
}

static form small_form(void)
{
    return (form){.batch = 3, .queries = 5, .keys = 5, .heads = 2, .width = 4};
}

static void add_masks(case_list *list)
{
    static const char *const span_names[] = {"", ", shared span", ", span per item"};
    for (int open = 0; open < 2; open++)
        for (int span = 0; span < 3; span++)
            for (int lengths = 0; lengths < 2; lengths++) {
                form f = small_form();
                f.future = open ? ASSAY_FUTURE_OPEN : ASSAY_FUTURE_HIDDEN;
                f.span = (span_kind)span;
                f.lengths = lengths;
                f.rotary = span == 1;
                f.heads = span == 2 ? 4 : 2;
                f.kv_heads = span == 2 ? 2 : 0;
                add_form(list, f,
                         assay_text("%s%s%s", open ? "open" : "causal", span_names[span],
                                    lengths ? ", lengths" : ""));
            }
    form f = small_form();
    f.weight = WEIGHT_SCALAR;
    add_form(list, f, "future at the constant weight 0.3");
}

static void add_learned_weights(case_list *list)
{
    for (unsigned axes = 0; axes < 16; axes++)
        for (int scope = 0; scope < 2; scope++) {
            form f = small_form();
            f.future = ASSAY_FUTURE_OPEN;
            f.scope = scope ? ASSAY_BIAS_EVERYWHERE : ASSAY_BIAS_FUTURE;
            f.weight = WEIGHT_LEARNED;
            f.full_axes = axes;
            f.lengths = axes % 2 == 1;
            f.span = (span_kind)(axes % 3);
            add_form(list, f,
                     assay_text("learned log-weight %s, full axes%s%s%s%s",
                                scope ? "everywhere" : "of the future", axes & 1 ? " B" : "",
                                axes & 2 ? " H" : "", axes & 4 ? " Tq" : "",
                                axes & 8 ? " Tk" : ""));
        }
    for (int scope = 0; scope < 2; scope++) {
        form f = small_form();
        f.scope = scope ? ASSAY_BIAS_EVERYWHERE : ASSAY_BIAS_FUTURE;
        f.weight = WEIGHT_LEARNED;
        f.full_axes = 12;
        add_form(list, f,
                 assay_text("learned log-weight %s, future hidden",
                            scope ? "everywhere" : "of the future"));
        f.weight = WEIGHT_FIXED;
        f.future = ASSAY_FUTURE_OPEN;
        add_form(list, f,
                 assay_text("fixed log-weight %s", scope ? "everywhere" : "of the future"));
    }
}

static void add_layouts(case_list *list)
{
    static const char *const layout_names[] = {"separate", "fused", "q, k and v the same",
                                               "k and v the same"};
    for (int which = 0; which < 4; which++)
        for (int shared = 0; shared < (which == ALL_THE_SAME ? 1 : 2); shared++)
            for (int turned = 0; turned < 2; turned++) {
                form f = small_form();
                f.layout = (layout)which;
                f.heads = shared ? 4 : 2;
                f.kv_heads = shared ? 2 : 0;
                f.rotary = turned;
                f.lengths = turned;
                add_form(list, f,
                         assay_text("%s%s%s", layout_names[which],
                                    shared ? ", key heads shared by two" : "",
                                    turned ? ", rotary" : ""));
            }
    form f = small_form();
    f.heads = 6, f.kv_heads = 1;
    add_form(list, f, "one key head for six");
    f = small_form();
    f.layout = FUSED;
    f.future = ASSAY_FUTURE_OPEN, f.weight = WEIGHT_LEARNED, f.full_axes = 2;
    add_form(list, f, "fused with a learned log-weight");
    f = small_form();
    f.scale = 0.3f;
    add_form(list, f, "a scale of its own");
}

static void add_sizes(case_list *list)
{
    static const int64_t tokens[][2] = {{1, 1},   {63, 63}, {64, 64}, {65, 65}, {1, 65},   {3, 5},
                                        {64, 65}, {0, 0},   {65, 66}, {0, 3},   {130, 130}};
    static const int64_t widths[] = {1, 3, 17, 64, 65};
    for (int t = 0; t < 11; t++) {
        form f = {.batch = 1, .queries = tokens[t][0], .keys = tokens[t][1], .heads = 2};
        f.kv_heads = 1;
        f.width = ROTARY_WIDTH;
        f.rotary = true;
        add_form(list, f,
                 assay_text("%lld queries, %lld keys", (long long)f.queries, (long long)f.keys));
        f.future = ASSAY_FUTURE_OPEN;
        f.weight = WEIGHT_LEARNED;
        f.full_axes = 8;
        f.span = SPAN_SHARED;
        add_form(list, f,
                 assay_text("%lld queries, %lld keys, a learned cost per key", (long long)f.queries,
                            (long long)f.keys));
    }
    for (int w = 0; w < 5; w++) {
        form f = {.batch = 2, .queries = 3, .keys = 4, .heads = 2, .width = widths[w]};
        add_form(list, f, assay_text("heads of width %lld", (long long)f.width));
    }
    form f = small_form();
    f.batch = 0;
    add_form(list, f, "an empty batch");
}

/* What a device may fuse and round on a bf16 tape: heads a multiple of 8 wide, and no costs. The
 * rounding of the scores, the probabilities and their gradients adds to that of the results. */
#define FUSED_TOLERANCE 2e-2

static void add_fusable(case_list *list)
{
    for (int which = 0; which < 2; which++)
        for (int open = 0; open < 2; open++)
            for (int lengths = 0; lengths < 2; lengths++) {
                form f = {.batch = 3, .queries = 6, .keys = 6, .heads = 4, .width = 8};
                const int first = list->count;
                f.layout = which ? FUSED : SEPARATE;
                f.future = open ? ASSAY_FUTURE_OPEN : ASSAY_FUTURE_HIDDEN;
                f.lengths = lengths;
                f.kv_heads = open ? 2 : 4;
                f.width = lengths ? 16 : 8;
                add_form(list, f,
                         assay_text("%s, heads of width %lld, %s%s", which ? "fused" : "separate",
                                    (long long)f.width, open ? "open" : "causal",
                                    lengths ? ", lengths" : ""));
                list->cases[first].bf16_tolerance = FUSED_TOLERANCE;
            }
}

static void add_fixed(case_list *list)
{
    for (int fixed = 0; fixed < 3; fixed++) {
        form f = small_form();
        int first = list->count;
        add_form(list, f, assay_text("input %d fixed", fixed));
        for (int map = 0; map < 2; map++)
            list->cases[first + map].inputs[fixed % (map ? 2 : 3)].fixed = true;
    }
}

/* ---- rotation ---- */

static assay_tensor *rotate(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_rotate(tape, in[0], c->option, rotary, c->size[0]);
}

static void add_rotations(case_list *list)
{
    static const int64_t sizes[][4] = {{2, 5, 3, 0}, {1, 1, 1, 7}, {1, 65, 2, 65}, {2, 0, 2, 0}};
    for (int s = 0; s < 4; s++) {
        op_case *c =
            case_add(list, rotate, "rotate %lld heads of %lld tokens from %lld",
                     (long long)sizes[s][2], (long long)sizes[s][1], (long long)sizes[s][3]);
        c->option = (int)sizes[s][2];
        c->size[0] = sizes[s][3];
        INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1], sizes[s][2] * ROTARY_WIDTH);
    }
}

/* ---- scores, and biases by displacement ---- */

static assay_tensor *scores(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_attention_scores(tape, in[0], c->option);
}

static void add_scores(case_list *list)
{
    static const int64_t sizes[][4] = {{2, 5, 3, 4}, {1, 1, 1, 1}, {1, 65, 2, 3}, {0, 3, 2, 4}};
    for (int s = 0; s < 4; s++) {
        op_case *c =
            case_add(list, scores, "scores of %lld tokens, %lld heads of width %lld",
                     (long long)sizes[s][1], (long long)sizes[s][2], (long long)sizes[s][3]);
        c->option = (int)sizes[s][2];
        INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1], 3 * sizes[s][2] * sizes[s][3]);
    }
}

static assay_tensor *relative(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_relative_bias(tape, in[0], c->size[0]);
}

static void add_relative(case_list *list)
{
    for (int64_t grid = 1; grid < 4; grid++) {
        op_case *c = case_add(list, relative, "relative bias of a grid of %lld", (long long)grid);
        c->size[0] = grid;
        INPUT(c, FILL_NORMAL, (2 * grid - 1) * (2 * grid - 1) + 3, 2)->wide = true;
    }
}

void family_cases(case_list *list)
{
    rotary = assay_rotary_new(ROTARY_POSITIONS, ROTARY_WIDTH, 100.0, NULL);
    add_masks(list);
    add_learned_weights(list);
    add_layouts(list);
    add_sizes(list);
    add_fusable(list);
    add_fixed(list);
    add_rotations(list);
    add_scores(list);
    add_relative(list);
}
