/* cases_losses.c - cross-entropy from logits and from hidden states, and the contrastive losses. */
#include "cases.h"

/* Targets of 130 rows: every class of a few, every third row ignored. */
#define MOST_ROWS 130
static int32_t targets[3][MOST_ROWS];

enum { TARGETS_ALL, TARGETS_SOME, TARGETS_NONE };

/* ---- cross-entropy ---- */

static assay_tensor *targets_of(assay_tape *tape, const op_case *c, int64_t classes)
{
    assay_tensor *t = case_ints(tape, 1, c->size, c->ints);
    for (int64_t r = 0; t && r < c->size[0]; r++)
        if (assay_i32(t)[r] != ASSAY_IGNORE)
            assay_i32(t)[r] %= (int32_t)classes;
    return t;
}

static assay_tensor *cross_entropy(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_cross_entropy(tape, in[0], targets_of(tape, c, in[0]->shape[in[0]->rank - 1]),
                               (assay_reduction)c->option);
}

/* With one input, the hidden states are the head. */
static assay_tensor *head(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    assay_tensor *weight = in[n - 1];
    return assay_cross_entropy_head(tape, in[0], weight, targets_of(tape, c, weight->shape[0]),
                                    (assay_reduction)c->option);
}

static const char *const reduction_names[] = {"mean", "sum"};
static const char *const counted_names[] = {"all rows", "some rows ignored", "all rows ignored"};

static void add_cross_entropies(case_list *list)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 65}, {65, 3}, {5, 64}, {0, 3}};
    for (int s = 0; s < 5; s++)
        for (int reduction = 0; reduction < 2; reduction++)
            for (int counted = 0; counted < 3; counted++) {
                op_case *c = case_add(list, cross_entropy, "cross_entropy %s of %lld x %lld, %s",
                                      reduction_names[reduction], (long long)sizes[s][0],
                                      (long long)sizes[s][1], counted_names[counted]);
                c->option = reduction;
                c->ints = targets[counted];
                c->size[0] = sizes[s][0];
                c->entries = 16;
                INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1]);
            }
    op_case *c = case_add(list, cross_entropy, "cross_entropy of rank 3");
    c->ints = targets[TARGETS_SOME];
    c->size[0] = 6;
    INPUT(c, FILL_NORMAL, 2, 3, 5);
}

static void add_heads(case_list *list)
{
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 65, 4}, {65, 3, 5}, {130, 4, 70}, {0, 3, 5}};
    op_case *c = NULL;
    for (int s = 0; s < 5; s++)
        for (int reduction = 0; reduction < 2; reduction++)
            for (int counted = 0; counted < 3; counted++) {
                c = case_add(list, head, "cross_entropy_head %s of %lld x %lld in %lld, %s",
                             reduction_names[reduction], (long long)sizes[s][0],
                             (long long)sizes[s][1], (long long)sizes[s][2],
                             counted_names[counted]);
                c->option = reduction;
                c->ints = targets[counted];
                c->size[0] = sizes[s][0];
                INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1]);
                INPUT(c, FILL_NORMAL, sizes[s][2], sizes[s][1]);
            }
    for (int fixed = 0; fixed < 2; fixed++) {
        c = case_add(list, head, "cross_entropy_head, %s fixed", fixed ? "weight" : "hidden");
        c->ints = targets[TARGETS_SOME];
        c->size[0] = 6;
        INPUT(c, FILL_NORMAL, 2, 3, 4);
        INPUT(c, FILL_NORMAL, 5, 4);
        c->inputs[fixed].fixed = true;
    }
    c = case_add(list, head, "cross_entropy_head of x by x");
    c->ints = targets[TARGETS_SOME];
    c->size[0] = 5;
    INPUT(c, FILL_NORMAL, 5, 3);
}

/* ---- a student's softmax against a teacher's ---- */

static assay_tensor *divergence(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    (void)n;
    return assay_softmax_divergence(tape, in[0], in[1], (assay_divergence)c->option);
}

static void add_divergences(case_list *list)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 65}, {65, 3}, {2, 64}};
    op_case *c = NULL;
    for (int kind = 0; kind < 2; kind++) {
        for (int s = 0; s < 4; s++) {
            c = case_add(list, divergence, "softmax_divergence %d of %lld x %lld", kind,
                         (long long)sizes[s][0], (long long)sizes[s][1]);
            c->option = kind;
            c->entries = 16;
            INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1]);
            INPUT(c, FILL_NORMAL, sizes[s][0], sizes[s][1])->fixed = true;
        }
        c = case_add(list, divergence, "softmax_divergence %d of maps", kind);
        c->option = kind;
        INPUT(c, FILL_NORMAL, 2, 3, 4, 4);
        INPUT(c, FILL_NORMAL, 2, 3, 4, 4)->fixed = true;
    }
}

/* ---- contrastive ---- */

static assay_tensor *contrastive(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    const op_case *c = user;
    const assay_contrastive_options options = {.variant = (assay_contrastive_variant)c->option,
                                               .temperature = 0.5f,
                                               .margin = (float)c->number};
    return assay_contrastive(tape, in[0], in[n - 1], &options, NULL);
}

/* Margin 2 leaves nothing out. With margin 0.1 about half of the negatives of random pairs are left
 * out; the rows are long compared with a perturbation, and none of their similarities lies so near
 * its limit that one crosses it. */
static void add_contrastives(case_list *list)
{
    static const char *const names[] = {"QA code", "QA paper", "GG paper", "GG code"};
    static const int64_t sizes[][2] = {{1, 3}, {3, 65}, {5, 8}, {17, 3}};
    op_case *c = NULL;
    for (int variant = 0; variant < 4; variant++) {
        for (int s = 0; s < 4; s++) {
            c = case_add(list, contrastive, "contrastive %s of %lld x %lld", names[variant],
                         (long long)sizes[s][0], (long long)sizes[s][1]);
            c->option = variant;
            c->number = 2.0;
            INPUT(c, FILL_AWAY, sizes[s][0], sizes[s][1]);
            INPUT(c, FILL_AWAY, sizes[s][0], sizes[s][1]);
        }
        c = case_add(list, contrastive, "contrastive %s with a mask", names[variant]);
        c->option = variant;
        c->number = 0.1;
        INPUT(c, FILL_FAR, 4, 33);
        INPUT(c, FILL_FAR, 4, 33);
        for (int fixed = 0; fixed < 2; fixed++) {
            c = case_add(list, contrastive, "contrastive %s, side %d fixed", names[variant], fixed);
            c->option = variant;
            c->number = 2.0;
            INPUT(c, FILL_AWAY, 3, 4);
            INPUT(c, FILL_AWAY, 3, 4);
            c->inputs[fixed].fixed = true;
        }
        c = case_add(list, contrastive, "contrastive %s of x and x", names[variant]);
        c->option = variant;
        c->number = 2.0;
        INPUT(c, FILL_AWAY, 3, 4);
    }
}

void family_cases(case_list *list)
{
    for (int r = 0; r < MOST_ROWS; r++) {
        targets[TARGETS_ALL][r] = (int32_t)(7 * r + r / 3);
        targets[TARGETS_SOME][r] = r % 3 == 1 ? ASSAY_IGNORE : targets[TARGETS_ALL][r];
        targets[TARGETS_NONE][r] = ASSAY_IGNORE;
    }
    add_cross_entropies(list);
    add_heads(list);
    add_divergences(list);
    add_contrastives(list);
}
