/* cases_shape.c - element-wise arithmetic, rearrangements, pooling, similarity, reductions. */
#include "cases.h"

/* ---- arithmetic ---- */

typedef assay_tensor *(*binary_function)(assay_tape *tape, assay_tensor *a, assay_tensor *b);

static const binary_function binary_functions[] = {assay_add, assay_sub, assay_mul};
static const char *const binary_names[] = {"add", "sub", "mul"};

/* With one input, a and b are the same tensor. */
static assay_tensor *binary(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    return binary_functions[c->option](tape, in[0], in[n - 1]);
}

static op_case *add_binary(case_list *list, int op, int rank_a, const int64_t *a, int rank_b,
                           const int64_t *b)
{
    op_case *c = case_add(list, binary, "%s of %s and %s", binary_names[op],
                          assay_shape_text(rank_a, a), assay_shape_text(rank_b, b));
    c->option = op;
    case_input_add(c, FILL_NORMAL, rank_a, a);
    case_input_add(c, FILL_NORMAL, rank_b, b);
    return c;
}

static void add_binaries(case_list *list)
{
    static const struct {
        int rank_a;
        int64_t a[4];
        int rank_b;
        int64_t b[4];
    } forms[] = {
        {0, {1}, 0, {1}},             /* two scalars */
        {1, {65}, 1, {65}},           /* the same shape */
        {2, {3, 65}, 1, {65}},        /* a suffix: a bias */
        {3, {2, 3, 5}, 2, {3, 5}},    /* a suffix: a position table */
        {2, {63, 3}, 0, {1}},         /* a scalar */
        {3, {2, 3, 5}, 3, {1, 1, 5}}, /* leading extents of 1 */
        {2, {3, 64}, 2, {1, 1}},      /* a scalar in a matrix's clothes */
        {1, {5}, 3, {1, 1, 5}},       /* more leading extents of 1 than a has axes */
        {4, {2, 1, 3, 2}, 2, {3, 2}}, /* an extent of 1 in a */
        {2, {0, 3}, 1, {3}},          /* no rows */
        {2, {3, 0}, 1, {0}},          /* no columns */
    };
    for (int op = 0; op < 3; op++) {
        for (int f = 0; f < (int)(sizeof forms / sizeof forms[0]); f++)
            add_binary(list, op, forms[f].rank_a, forms[f].a, forms[f].rank_b, forms[f].b);
        for (int fixed = 0; fixed < 2; fixed++)
            add_binary(list, op, 2, SHAPE(4, 3), 1, SHAPE(3))->inputs[fixed].fixed = true;
        op_case *c = case_add(list, binary, "%s of x and x", binary_names[op]);
        c->option = op;
        INPUT(c, FILL_NORMAL, 3, 5);
    }
}

static assay_tensor *scale(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_scale(tape, in[0], (float)c->number);
}

static void add_scales(case_list *list)
{
    for (int64_t n = 0; n <= 65; n += 13) {
        op_case *c = case_add(list, scale, "scale of %lld", (long long)n);
        c->number = -1.7;
        INPUT(c, FILL_NORMAL, n);
    }
}

/* ---- rearrangements ---- */

static assay_tensor *reshape(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_reshape(tape, in[0], c->option, c->size);
}

/* The gradient that a reshape hands on meets one that is there already. */
static assay_tensor *reshape_and_use(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    assay_tensor *twice = assay_scale(tape, in[0], 2.0f);
    assay_tensor *flat = assay_reshape(tape, twice, 1, SHAPE(6));
    assay_tensor *back = assay_reshape(tape, flat, 2, SHAPE(2, 3));
    (void)n, (void)user;
    return assay_add(tape, assay_mul(tape, twice, back), back);
}

static assay_tensor *cast_to_itself(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_scale(tape, assay_cast(tape, in[0], ASSAY_F32), 2.0f);
}

static void add_reshapes(case_list *list)
{
    op_case *c = case_add(list, reshape, "reshape (2, 3, 5) to (5, 6)");
    c->option = 2, c->size[0] = 5, c->size[1] = 6;
    INPUT(c, FILL_NORMAL, 2, 3, 5);
    c = case_add(list, reshape, "reshape (1) to a scalar");
    INPUT(c, FILL_NORMAL, 1);
    c = case_add(list, reshape, "reshape (0, 3) to (2, 0)");
    c->option = 2, c->size[0] = 2;
    INPUT(c, FILL_NORMAL, 0, 3);
    c = case_add(list, reshape_and_use, "reshapes of a tensor that is used besides");
    INPUT(c, FILL_NORMAL, 2, 3);
    c = case_add(list, cast_to_itself, "cast of f32 to f32");
    INPUT(c, FILL_NORMAL, 5);
}

static assay_tensor *concat(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    return assay_concat(tape, n, in, c->option);
}

static assay_tensor *concat_twice(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_concat(tape, 3, (assay_tensor *const[]){in[0], in[1], in[0]}, c->option);
}

static void add_concats(case_list *list)
{
    static const int64_t extents[] = {3, 0, 65};
    for (int axis = 0; axis < 3; axis++)
        for (int parts = 1; parts <= 3; parts++) {
            op_case *c = case_add(list, concat, "concat of %d along axis %d", parts, axis);
            c->option = axis;
            for (int i = 0; i < parts; i++) {
                case_input *input = INPUT(c, FILL_NORMAL, 2, 3, 1);
                input->shape[axis] = extents[i];
            }
            if (parts == 3)
                c->inputs[2].fixed = axis == 1;
        }
    op_case *c = case_add(list, concat_twice, "concat of x, y, x");
    c->option = 1;
    INPUT(c, FILL_NORMAL, 2, 3);
    INPUT(c, FILL_NORMAL, 2, 4);
}

static assay_tensor *slice(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_slice(tape, in[0], c->option, c->size[0], c->size[1]);
}

/* Of three parts the first is used twice and the second not at all. */
static assay_tensor *split(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    assay_tensor *parts[3] = {NULL, NULL, NULL};
    (void)n, (void)user;
    if (!assay_split(tape, in[0], 1, 3, SHAPE(2, 3, 2), parts))
        return NULL;
    return assay_add(tape, assay_mul(tape, parts[0], parts[2]), parts[0]);
}

static void add_slices(case_list *list)
{
    static const int64_t cuts[][2] = {{0, 5}, {1, 3}, {4, 1}, {2, 0}, {5, 0}};
    for (int axis = 0; axis < 3; axis++)
        for (int s = 0; s < 5; s++) {
            op_case *c = case_add(list, slice, "slice of %lld from %lld along axis %d",
                                  (long long)cuts[s][1], (long long)cuts[s][0], axis);
            c->option = axis;
            c->size[0] = cuts[s][0], c->size[1] = cuts[s][1];
            case_input *input = INPUT(c, FILL_NORMAL, 2, 3, 4);
            input->shape[axis] = 5;
        }
    op_case *c = case_add(list, slice, "slice of a tensor without elements");
    c->size[0] = 1, c->size[1] = 2;
    INPUT(c, FILL_NORMAL, 4, 0);
    c = case_add(list, split, "split, a part used twice and a part not at all");
    INPUT(c, FILL_NORMAL, 3, 7);
}

static const int32_t rows[] = {4, 1, 1, 6, 4, 4, 0};

static assay_tensor *gather(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_gather(tape, in[0], case_ints(tape, 1, c->size, rows));
}

static assay_tensor *mask_rows(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_mask_rows(tape, in[0], case_ints(tape, 1, in[0]->shape, c->ints));
}

static assay_tensor *patches(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_patches(tape, in[0], c->size[0]);
}

static const int32_t lengths[] = {2, 5, 0, 1};

static void add_rows(case_list *list)
{
    static const int64_t images[][5] = {
        {2, 3, 4, 6, 2}, {1, 1, 3, 3, 3}, {2, 2, 3, 5, 1}, {0, 3, 4, 4, 2}, {1, 0, 4, 4, 2}};
    static const int64_t counts[] = {0, 1, 7};
    op_case *c = NULL;
    for (int s = 0; s < 3; s++)
        for (int64_t width = 1; width <= 65; width += 32) {
            c = case_add(list, gather, "gather of %lld rows of %lld", (long long)counts[s],
                         (long long)width);
            c->size[0] = counts[s];
            INPUT(c, FILL_NORMAL, 7, width);
        }
    for (int64_t width = 1; width <= 65; width += 64) {
        c = case_add(list, mask_rows, "mask_rows of width %lld", (long long)width);
        c->ints = lengths;
        c->entries = 40;
        INPUT(c, FILL_NORMAL, 4, 5, width);
    }
    for (int s = 0; s < 5; s++) {
        c = case_add(list, patches, "patches of side %lld in %s", (long long)images[s][4],
                     assay_shape_text(4, images[s]));
        c->size[0] = images[s][4];
        case_input_add(c, FILL_NORMAL, 4, images[s])->wide = true;
    }
}

/* ---- pooling ---- */

static assay_tensor *pooled(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    assay_tensor *valid = c->ints ? case_ints(tape, 1, in[0]->shape, c->ints) : NULL;
    (void)n;
    return c->option ? assay_last_token(tape, in[0], valid) : assay_masked_mean(tape, in[0], valid);
}

static void add_pooled(case_list *list)
{
    static const int32_t none_empty[] = {2, 5, 3, 1};
    for (int last = 0; last < 2; last++)
        for (int given = 0; given < 2; given++)
            for (int64_t width = 1; width <= 65; width += 32) {
                op_case *c = case_add(list, pooled, "%s%s of width %lld",
                                      last ? "last_token" : "masked_mean",
                                      given ? " by lengths" : "", (long long)width);
                c->option = last;
                c->ints = !given ? NULL : last ? none_empty : lengths;
                c->entries = 30;
                INPUT(c, FILL_NORMAL, 4, 5, width);
            }
    op_case *c = case_add(list, pooled, "masked_mean of no tokens");
    INPUT(c, FILL_NORMAL, 2, 0, 3);
}

/* ---- similarity and reductions ---- */

static assay_tensor *normalize(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_normalize(tape, in[0], (float)c->number);
}

enum { PAIR_COSINE, PAIR_MATRIX, PAIR_DOT };

static assay_tensor *paired(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    if (c->option == PAIR_COSINE)
        return assay_cosine(tape, in[0], in[n - 1]);
    return c->option == PAIR_MATRIX ? assay_cosine_matrix(tape, in[0], in[n - 1])
                                    : assay_dot(tape, in[0], in[n - 1]);
}

static void add_similarities(case_list *list)
{
    static const char *const names[] = {"cosine", "cosine_matrix", "dot"};
    static const int64_t sizes[][2] = {{1, 2}, {3, 65}, {64, 3}, {0, 3}};
    op_case *c = NULL;
    for (int s = 0; s < 4; s++) {
        c = case_add(list, normalize, "normalize %lld x %lld", (long long)sizes[s][0],
                     (long long)sizes[s][1]);
        c->number = 1e-12;
        INPUT(c, FILL_AWAY, sizes[s][0], sizes[s][1]);
        for (int op = 0; op < 3; op++) {
            c = case_add(list, paired, "%s %lld x %lld", names[op], (long long)sizes[s][0],
                         (long long)sizes[s][1]);
            c->option = op;
            INPUT(c, FILL_AWAY, sizes[s][0] + (op == PAIR_MATRIX ? 2 : 0), sizes[s][1]);
            INPUT(c, FILL_AWAY, sizes[s][0], sizes[s][1]);
        }
    }
    c = case_add(list, normalize, "normalize of rows shorter than eps");
    c->number = 50.0;
    INPUT(c, FILL_NORMAL, 2, 3, 5);
    for (int op = PAIR_MATRIX; op <= PAIR_DOT; op++) {
        c = case_add(list, paired, "%s of x and x", names[op]);
        c->option = op;
        INPUT(c, FILL_AWAY, 3, 5);
        for (int fixed = 0; fixed < 2; fixed++) {
            c = case_add(list, paired, "%s, input %d fixed", names[op], fixed);
            c->option = op;
            INPUT(c, FILL_AWAY, 3, 5);
            INPUT(c, FILL_AWAY, 3, 5);
            c->inputs[fixed].fixed = true;
        }
    }
    c = case_add(list, paired, "dot of two vectors");
    c->option = PAIR_DOT;
    INPUT(c, FILL_NORMAL, 63);
    INPUT(c, FILL_NORMAL, 63);
}

static assay_tensor *reduced(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return c->option ? assay_mean(tape, in[0]) : assay_sum(tape, in[0]);
}

static assay_tensor *softmax(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_softmax(tape, in[0]);
}

static void add_reductions(case_list *list)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 65}, {65, 3}, {63, 64}, {0, 3}};
    for (int s = 0; s < 5; s++) {
        op_case *c = case_add(list, softmax, "softmax %lld x %lld", (long long)sizes[s][0],
                              (long long)sizes[s][1]);
        INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1]);
        for (int mean = 0; mean < (sizes[s][0] ? 2 : 1); mean++) {
            c = case_add(list, reduced, "%s of %lld x %lld", mean ? "mean" : "sum",
                         (long long)sizes[s][0], (long long)sizes[s][1]);
            c->option = mean;
            INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1]);
        }
    }
}

void family_cases(case_list *list)
{
    add_binaries(list);
    add_scales(list);
    add_reshapes(list);
    add_concats(list);
    add_slices(list);
    add_rows(list);
    add_pooled(list);
    add_similarities(list);
    add_reductions(list);
}
