/* cases_layers.c - linear, activations, gated MLP, norms, embedding, dropout. */
#include "cases.h"

static const char *const activation_names[] = {"identity", "relu", "gelu",        "sigmoid",
                                               "silu",     "tanh", "log_sigmoid", "exp"};
#define ACTIVATIONS 8

/* ---- products ---- */

static assay_tensor *linear(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    return assay_linear(tape, in[0], in[1], n > 2 ? in[2] : NULL, (assay_activation)c->option);
}

/* Weights are small and biases large, so that no sum comes near the kink of ReLU; without a bias
 * the rows of the weight have a sign each. */
static op_case *add_linear(case_list *list, const int64_t *size, int activation, bool bias)
{
    op_case *c = case_add(list, linear, "linear %s, %lld x %lld to %lld%s",
                          activation_names[activation], (long long)size[0], (long long)size[1],
                          (long long)size[2], bias ? " with bias" : "");
    c->option = activation;
    INPUT(c, bias ? FILL_NORMAL : FILL_POSITIVE, size[0], size[1]);
    INPUT(c, bias ? FILL_SMALL : FILL_SIGNED_ROWS, size[2], size[1]);
    if (bias)
        INPUT(c, FILL_FAR, size[2]);
    return c;
}

static void add_linears(case_list *list)
{
    static const int64_t sizes[][3] = {{1, 1, 1},  {3, 64, 65}, {65, 3, 63}, {64, 65, 1},
                                       {0, 3, 65}, {3, 0, 2},   {3, 2, 0}};
    op_case *c = NULL;
    for (int s = 0; s < 7; s++)
        for (int bias = 0; bias < 2; bias++)
            add_linear(list, sizes[s], ASSAY_IDENTITY, bias);
    for (int activation = 1; activation < ACTIVATIONS; activation++)
        for (int bias = 0; bias < 2; bias++)
            add_linear(list, (const int64_t[]){5, 3, 65}, activation, bias);
    add_linear(list, sizes[1], ASSAY_GELU, true);
    add_linear(list, sizes[4], ASSAY_RELU, true);
    for (int fixed = 0; fixed < 3; fixed++) {
        c = add_linear(list, (const int64_t[]){4, 3, 5}, ASSAY_TANH, true);
        c->inputs[fixed].fixed = true;
    }
    c = case_add(list, linear, "linear of a vector");
    INPUT(c, FILL_NORMAL, 7);
    INPUT(c, FILL_NORMAL, 3, 7);
    c = case_add(list, linear, "linear of rank 4");
    INPUT(c, FILL_NORMAL, 2, 1, 3, 4);
    INPUT(c, FILL_NORMAL, 5, 4);
}

static assay_tensor *linear_of_itself(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_linear(tape, in[0], in[0], NULL, ASSAY_IDENTITY);
}

static assay_tensor *gated_mlp(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_gated_mlp(tape, in[0], in[1], in[2], in[3]);
}

static assay_tensor *gated_mlp_tied(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_gated_mlp(tape, in[0], in[1], in[1], in[1]);
}

static op_case *add_gated_mlp(case_list *list, int64_t rows, int64_t width, int64_t inner)
{
    op_case *c = case_add(list, gated_mlp, "gated_mlp %lld x %lld through %lld", (long long)rows,
                          (long long)width, (long long)inner);
    INPUT(c, FILL_NORMAL, 1, rows, width);
    INPUT(c, FILL_AWAY, inner, width);
    INPUT(c, FILL_NORMAL, inner, width);
    INPUT(c, FILL_NORMAL, width, inner);
    return c;
}

static void add_gated_mlps(case_list *list)
{
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 65}, {65, 4, 3}, {3, 63, 2}, {0, 3, 5}};
    op_case *c = NULL;
    for (int s = 0; s < 5; s++)
        add_gated_mlp(list, sizes[s][0], sizes[s][1], sizes[s][2]);
    for (int fixed = 0; fixed < 4; fixed++) {
        c = add_gated_mlp(list, 2, 3, 4);
        c->inputs[fixed].fixed = true;
    }
    c = case_add(list, gated_mlp_tied, "gated_mlp with one weight for all three");
    INPUT(c, FILL_NORMAL, 3, 4);
    INPUT(c, FILL_NORMAL, 4, 4);
    c = case_add(list, linear_of_itself, "linear of x by x");
    INPUT(c, FILL_NORMAL, 3, 4);
}

/* ---- activations ---- */

static assay_tensor *activate(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_activate(tape, in[0], (assay_activation)c->option);
}

static assay_tensor *silu_product(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)user;
    return assay_silu_product(tape, in[0], in[n - 1]);
}

static void add_activations(case_list *list)
{
    static const int64_t sizes[] = {0, 1, 63, 65};
    op_case *c = NULL;
    for (int activation = 0; activation < ACTIVATIONS; activation++)
        for (int s = 0; s < 4; s++) {
            c = case_add(list, activate, "activate %s of %lld", activation_names[activation],
                         (long long)sizes[s]);
            c->option = activation;
            INPUT(c, FILL_AWAY, sizes[s]);
        }
    for (int s = 0; s < 4; s++) {
        c = case_add(list, silu_product, "silu_product of %lld", (long long)sizes[s]);
        INPUT(c, FILL_NORMAL, 1, sizes[s]);
        INPUT(c, FILL_NORMAL, 1, sizes[s]);
    }
    c = case_add(list, silu_product, "silu_product of x and x");
    INPUT(c, FILL_NORMAL, 65);
    for (int fixed = 0; fixed < 2; fixed++) {
        c = case_add(list, silu_product, "silu_product, %s fixed", fixed ? "up" : "gate");
        INPUT(c, FILL_NORMAL, 3, 5);
        INPUT(c, FILL_NORMAL, 3, 5);
        c->inputs[fixed].fixed = true;
    }
}

/* ---- norms ---- */

static assay_tensor *rms_norm(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_rms_norm(tape, in[0], in[1], (float)c->number);
}

enum { WITH_WEIGHT = 1, WITH_BIAS = 2 };

static assay_tensor *layer_norm(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    assay_tensor *weight = c->option & WITH_WEIGHT ? in[1] : NULL;
    assay_tensor *bias = c->option & WITH_BIAS ? in[n - 1] : NULL;
    return assay_layer_norm(tape, in[0], weight, bias, (float)c->number);
}

static op_case *add_layer_norm(case_list *list, int64_t rows, int64_t width, int with)
{
    op_case *c =
        case_add(list, layer_norm, "layer_norm %lld x %lld%s%s", (long long)rows, (long long)width,
                 with & WITH_WEIGHT ? " with weight" : "", with & WITH_BIAS ? " with bias" : "");
    c->option = with;
    c->number = 1e-2;
    INPUT(c, FILL_NORMAL, 1, rows, width);
    if (with & WITH_WEIGHT)
        INPUT(c, FILL_NORMAL, width);
    if (with & WITH_BIAS)
        INPUT(c, FILL_NORMAL, width);
    return c;
}

static void add_norms(case_list *list)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 65}, {65, 3}, {63, 64}, {64, 1}, {0, 3}, {3, 0}};
    op_case *c = NULL;
    for (int s = 0; s < 7; s++) {
        c = case_add(list, rms_norm, "rms_norm %lld x %lld", (long long)sizes[s][0],
                     (long long)sizes[s][1]);
        c->number = 1e-2;
        INPUT(c, FILL_AWAY, sizes[s][0], sizes[s][1]);
        INPUT(c, FILL_NORMAL, sizes[s][1]);
        for (int with = 0; with < 4; with++)
            add_layer_norm(list, sizes[s][0], sizes[s][1], with);
    }
    for (int fixed = 0; fixed < 3; fixed++) {
        c = add_layer_norm(list, 2, 5, WITH_WEIGHT | WITH_BIAS);
        c->inputs[fixed].fixed = true;
    }
    for (int fixed = 0; fixed < 2; fixed++) {
        c = case_add(list, rms_norm, "rms_norm, %s fixed", fixed ? "weight" : "x");
        c->number = 1e-2;
        INPUT(c, FILL_NORMAL, 2, 5);
        INPUT(c, FILL_NORMAL, 5);
        c->inputs[fixed].fixed = true;
    }
}

/* ---- embedding, dropout ---- */

static const int32_t ids[] = {2, 0, 2, 2, 6, 1, 0, 2, 6, 5, 3, 2};

static assay_tensor *embedding(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_embedding(tape, in[0], case_ints(tape, c->option, c->size, ids));
}

static assay_tensor *dropout(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return c->option ? assay_drop_path(tape, in[0], (float)c->number, "here")
                     : assay_dropout(tape, in[0], (float)c->number, "here");
}

static void add_embeddings(case_list *list)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {12, 1, 1}, {3, 4, 1}, {2, 3, 2}, {0, 1, 1}};
    static const int ranks[] = {0, 1, 2, 3, 1};
    for (int s = 0; s < 5; s++)
        for (int64_t width = 1; width <= 65; width += 64) {
            op_case *c = case_add(list, embedding, "embedding of width %lld by ids %s",
                                  (long long)width, assay_shape_text(ranks[s], shapes[s]));
            c->option = ranks[s];
            for (int i = 0; i < 3; i++)
                c->size[i] = shapes[s][i];
            INPUT(c, FILL_NORMAL, 7, width);
        }
}

static void add_dropouts(case_list *list)
{
    for (int path = 0; path < 2; path++)
        for (int training = 0; training < 2; training++)
            for (int64_t batch = 0; batch <= 65; batch += 65) {
                op_case *c = case_add(list, dropout, "%s in %s, batch of %lld",
                                      path ? "drop_path" : "dropout",
                                      training ? "training" : "evaluation", (long long)batch);
                c->option = path;
                c->number = 0.3;
                c->training = training;
                c->entries = 24;
                INPUT(c, FILL_NORMAL, batch, 3);
            }
}

void family_cases(case_list *list)
{
    add_linears(list);
    add_gated_mlps(list);
    add_activations(list);
    add_norms(list);
    add_embeddings(list);
    add_dropouts(list);
}
