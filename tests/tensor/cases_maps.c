/* cases_maps.c - operations on maps: convolutions, batch norm, pooling, resizing, pixel losses. */
#include "cases.h"

#include <assay/maps.h>

/* ---- convolutions: batch, channels, height, width, filters, side, stride, pad ---- */

static assay_tensor *conv2d(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    return assay_conv2d(tape, in[0], in[1], n > 2 ? in[2] : NULL, c->size[0], c->size[1]);
}

static op_case *add_conv(case_list *list, const int64_t s[8], bool bias)
{
    op_case *c = case_add(list, conv2d,
                          "conv2d %lld x %lld x %lld x %lld to %lld, %lld wide, stride %lld, pad "
                          "%lld%s",
                          (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
                          (long long)s[4], (long long)s[5], (long long)s[6], (long long)s[7],
                          bias ? ", with bias" : "");
    c->size[0] = s[6];
    c->size[1] = s[7];
    INPUT(c, FILL_NORMAL, s[0], s[1], s[2], s[3]);
    INPUT(c, FILL_NORMAL, s[4], s[1], s[5], s[5]);
    if (bias)
        INPUT(c, FILL_NORMAL, s[4]);
    return c;
}

static void add_convs(case_list *list)
{
    static const int64_t sizes[][8] = {
        {1, 1, 1, 1, 1, 1, 1, 0},   {2, 3, 5, 7, 4, 3, 1, 1}, {1, 17, 6, 5, 19, 3, 1, 1},
        {2, 16, 8, 8, 32, 3, 1, 1}, {2, 3, 9, 8, 5, 3, 2, 1}, {1, 4, 7, 7, 3, 2, 2, 0},
        {2, 5, 6, 4, 7, 1, 1, 0},   {1, 3, 5, 5, 2, 1, 2, 0}, {2, 2, 4, 4, 3, 5, 1, 2},
        {0, 3, 4, 4, 2, 3, 1, 1},   {0, 3, 4, 4, 2, 1, 1, 0}, {1, 2, 3, 3, 2, 3, 1, 0}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int bias = 0; bias < 2; bias++)
            add_conv(list, sizes[s], bias);
    for (int fixed = 0; fixed < 3; fixed++)
        for (int s = 1; s < 7; s += 5)
            add_conv(list, sizes[s], true)->inputs[fixed].fixed = true;
}

static assay_tensor *conv_transpose2d(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)user;
    return assay_conv_transpose2d(tape, in[0], in[1], n > 2 ? in[2] : NULL);
}

static op_case *add_transposed(case_list *list, const int64_t s[6], bool bias)
{
    op_case *c = case_add(list, conv_transpose2d,
                          "conv_transpose2d %lld x %lld x %lld x %lld to %lld, %lld wide%s",
                          (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
                          (long long)s[4], (long long)s[5], bias ? ", with bias" : "");
    INPUT(c, FILL_NORMAL, s[0], s[1], s[2], s[3]);
    INPUT(c, FILL_NORMAL, s[1], s[4], s[5], s[5]);
    if (bias)
        INPUT(c, FILL_NORMAL, s[4]);
    return c;
}

static void add_transposeds(case_list *list)
{
    static const int64_t sizes[][6] = {{1, 1, 1, 1, 1, 1}, {2, 3, 5, 7, 4, 2}, {1, 17, 4, 3, 5, 2},
                                       {2, 3, 2, 3, 2, 3}, {0, 3, 4, 4, 2, 2}, {2, 8, 8, 8, 8, 2}};
    for (int s = 0; s < 6; s++)
        for (int bias = 0; bias < 2; bias++)
            add_transposed(list, sizes[s], bias);
    for (int fixed = 0; fixed < 3; fixed++)
        add_transposed(list, sizes[1], true)->inputs[fixed].fixed = true;
}

/* x convolved twice with one weight: both gradients add up. */
static assay_tensor *conv_twice(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    assay_tensor *once = assay_conv2d(tape, in[0], in[1], NULL, 1, 1);
    assay_tensor *twice = assay_conv2d(tape, once, in[1], NULL, 1, 1);
    return assay_add(tape, twice, assay_conv2d(tape, in[0], in[1], NULL, 1, 1));
}

/* ---- batch norm ---- */

enum { PLAIN_NORM, WITH_RELU };

static assay_tensor *batch_norm(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    int64_t channels = in[0]->shape[1];
    assay_batch_stats stats = {.mean = assay_tape_tensor(tape, ASSAY_F32, 1, &channels),
                               .variance = assay_tape_tensor(tape, ASSAY_F32, 1, &channels),
                               .momentum = 0.1f};
    (void)n;
    for (int64_t k = 0; stats.mean && stats.variance && k < channels; k++) {
        assay_f32(stats.mean)[k] = 0.25f * (float)(k % 3) - 0.25f;
        assay_f32(stats.variance)[k] = 1.0f + 0.5f * (float)(k % 4);
    }
    return c->option == WITH_RELU
               ? assay_batch_norm_relu(tape, in[0], in[1], in[2], &stats, (float)c->number)
               : assay_batch_norm(tape, in[0], in[1], in[2], &stats, (float)c->number);
}

/* With a ReLU, x is so far from its mean and the weight so large that nothing comes near the
 * kink. */
static op_case *add_norm(case_list *list, const int64_t s[4], int option, bool training)
{
    op_case *c = case_add(list, batch_norm, "batch_norm%s %lld x %lld x %lld x %lld in %s",
                          option == WITH_RELU ? "_relu" : "", (long long)s[0], (long long)s[1],
                          (long long)s[2], (long long)s[3], training ? "training" : "evaluation");
    c->option = option;
    c->number = 1e-3;
    c->training = training;
    INPUT(c, option == WITH_RELU ? FILL_FAR : FILL_NORMAL, s[0], s[1], s[2], s[3]);
    INPUT(c, option == WITH_RELU ? FILL_FAR : FILL_NORMAL, s[1]);
    INPUT(c, option == WITH_RELU ? FILL_SMALL : FILL_NORMAL, s[1]);
    return c;
}

static void add_norms(case_list *list)
{
    static const int64_t sizes[][4] = {
        {2, 3, 5, 7}, {1, 3, 16, 16}, {3, 17, 1, 9}, {8, 4, 1, 1}, {2, 2, 65, 63}};
    for (int s = 0; s < 5; s++)
        for (int training = 0; training < 2; training++) {
            add_norm(list, sizes[s], PLAIN_NORM, training);
            if (s != 3)
                add_norm(list, sizes[s], WITH_RELU, training);
        }
    for (int fixed = 0; fixed < 3; fixed++)
        for (int training = 0; training < 2; training++)
            add_norm(list, sizes[0], WITH_RELU, training)->inputs[fixed].fixed = true;
    add_norm(list, (const int64_t[]){0, 3, 4, 4}, PLAIN_NORM, false);
}

/* ---- pooling and resizing ---- */

/* x plus steps of 16 that differ within a window, so that no perturbation changes its maximum. */
static assay_tensor *max_pool2d(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    assay_tensor *steps = assay_tape_tensor(tape, ASSAY_F32, 2, in[0]->shape + 2);
    int64_t width = in[0]->shape[3];
    (void)n;
    for (int64_t i = 0; steps && i < assay_tensor_count(steps); i++)
        assay_f32(steps)[i] = 16.0f * (float)((i / width * 3 + i % width) % 11);
    return assay_max_pool2d(tape, assay_add(tape, in[0], steps), c->size[0]);
}

static assay_tensor *average(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_adaptive_average_pool2d(tape, in[0], c->size[0], c->size[1]);
}

static assay_tensor *bilinear(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_resize_bilinear(tape, in[0], c->size[0], c->size[1]);
}

static assay_tensor *join_maps(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)user;
    return assay_join_maps(tape, n, in);
}

static assay_tensor *add_resized(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_add_resized(tape, in[0], in[1]);
}

/* The same map as itself and as another's neighbour: both gradients add up. */
static assay_tensor *join_twice(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_join_maps(tape, 3, (assay_tensor *[]){in[0], in[1], in[1]});
}

static assay_tensor *tokens_to_map(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_tokens_to_map(tape, in[0], c->size[0], c->size[1], c->size[2]);
}

static assay_tensor *dropout2d(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_dropout2d(tape, in[0], (float)c->number, "here");
}

static void add_to_size(case_list *list, assay_forward forward, const char *name,
                        const int64_t s[4], int64_t height, int64_t width)
{
    op_case *c = case_add(list, forward, "%s %lld x %lld x %lld x %lld to %lld x %lld", name,
                          (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
                          (long long)height, (long long)width);
    c->size[0] = height;
    c->size[1] = width;
    INPUT(c, FILL_NORMAL, s[0], s[1], s[2], s[3]);
}

static void add_meetings(case_list *list)
{
    static const int64_t maps[][4] = {{2, 3, 5, 7}, {2, 1, 5, 7}, {2, 2, 3, 2}, {2, 4, 1, 1}};
    op_case *c = NULL;
    for (int m = 1; m <= 4; m++) {
        c = case_add(list, join_maps, "join_maps of %d", m);
        for (int i = 0; i < m; i++)
            INPUT(c, FILL_NORMAL, maps[i][0], maps[i][1], maps[i][2], maps[i][3]);
    }
    c->inputs[0].fixed = c->inputs[2].fixed = true;
    c = case_add(list, join_twice, "join_maps of one map twice");
    INPUT(c, FILL_NORMAL, 2, 3, 4, 4);
    INPUT(c, FILL_NORMAL, 2, 2, 2, 2);
    for (int m = 0; m < 4; m++)
        for (int fixed = -1; fixed < 2; fixed++) {
            c = case_add(list, add_resized, "add_resized of %lld x %lld, fixed %d",
                         (long long)maps[m][2], (long long)maps[m][3], fixed);
            INPUT(c, FILL_NORMAL, 2, 3, 5, 7);
            INPUT(c, FILL_NORMAL, 2, 3, maps[m][2], maps[m][3]);
            if (fixed >= 0)
                c->inputs[fixed].fixed = true;
        }
}

static void add_shapes(case_list *list)
{
    static const int64_t maps[][4] = {{1, 1, 1, 1}, {2, 3, 5, 7}, {1, 2, 16, 9}, {0, 2, 4, 4}};
    static const int64_t sizes[][2] = {{1, 1}, {2, 3}, {6, 6}, {10, 14}, {33, 5}, {3, 301}};
    op_case *c = NULL;
    for (int m = 0; m < 4; m++) {
        for (int s = 0; s < 6; s++) {
            if (s < 3)
                add_to_size(list, average, "average", maps[m], sizes[s][0], sizes[s][1]);
            if (m > 0 || s < 5)
                add_to_size(list, bilinear, "bilinear", maps[m], sizes[s][0], sizes[s][1]);
        }
        for (int64_t k = 1; k <= 3 && (k == 1 || m > 0); k++)
            add_to_size(list, max_pool2d, "max_pool2d", maps[m], k, 0);
    }
    for (int64_t skip = 0; skip < 3; skip++) {
        c = case_add(list, tokens_to_map, "tokens_to_map from %lld on", (long long)skip);
        c->size[0] = skip;
        c->size[1] = 5;
        c->size[2] = 7;
        INPUT(c, FILL_NORMAL, 2, skip + 35, 19);
    }
    for (int training = 0; training < 2; training++) {
        c = case_add(list, dropout2d, "dropout2d in %s", training ? "training" : "evaluation");
        c->training = training;
        c->number = 0.4;
        INPUT(c, FILL_NORMAL, 2, 5, 3, 4);
    }
}

/* ---- pixel losses ---- */

enum { TRUTH_ALL, TRUTH_SOME, TRUTH_NONE, COUNT_IGNORED = 4 };

static assay_tensor *pixel_loss(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    const int64_t *s = in[0]->shape;
    assay_tensor *truth = assay_tape_tensor(tape, ASSAY_U8, 3, SHAPE(s[0], s[2], s[3]));
    int which = c->option % COUNT_IGNORED;
    (void)n;
    for (int64_t i = 0; truth && i < assay_tensor_count(truth); i++)
        assay_u8(truth)[i] = which == TRUTH_NONE || (which == TRUTH_SOME && i % 3 == 1)
                                 ? (uint8_t)c->size[0]
                                 : (uint8_t)((7 * i + i / 3) % s[1]);
    return assay_pixel_cross_entropy(tape, in[0], truth, c->size[0], c->option >= COUNT_IGNORED);
}

static void add_pixel_losses(case_list *list)
{
    static const int64_t maps[][4] = {
        {1, 1, 1, 1}, {2, 3, 5, 7}, {1, 21, 1, 3}, {2, 4, 24, 24}, {0, 3, 4, 4}};
    for (int m = 0; m < 5; m++)
        for (int option = 0; option < 8; option++) {
            op_case *c = NULL;
            if (option % COUNT_IGNORED > TRUTH_NONE)
                continue;
            c = case_add(list, pixel_loss,
                         "pixel_cross_entropy %lld x %lld x %lld x %lld, truth %d",
                         (long long)maps[m][0], (long long)maps[m][1], (long long)maps[m][2],
                         (long long)maps[m][3], option);
            c->option = option;
            c->size[0] = m == 3 ? 2 : 255;
            c->entries = 16;
            /* A mean over a thousand pixels, in fp32, hardly moves with one of them. */
            c->tolerance = m == 3 ? 1e-2 : 0.0;
            INPUT(c, FILL_NORMAL, maps[m][0], maps[m][1], maps[m][2], maps[m][3]);
        }
}

void family_cases(case_list *list)
{
    add_convs(list);
    add_transposeds(list);
    op_case *c = case_add(list, conv_twice, "conv2d of x and of its result");
    INPUT(c, FILL_NORMAL, 2, 3, 4, 5);
    INPUT(c, FILL_NORMAL, 3, 3, 3, 3);
    add_norms(list);
    add_shapes(list);
    add_meetings(list);
    add_pixel_losses(list);
}
