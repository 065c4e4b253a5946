/* probe.c - logistic regression by Newton's method, carried to convergence.
 *
 * With z a standardised row extended by a constant 1, t = z . beta and p = 1 / (1 + exp(-t)), the
 * mean log-loss has gradient mean((p - y) z) and Hessian mean(p (1 - p) z z'); the ridge adds to
 * both, except for the bias. Rows are standardised block by block as they are read, so that the
 * only large array besides x is the Hessian.
 *
 * Threads work on the sum of the Hessian only, the one part that costs n d^2. They share out its
 * entries, never the terms of one: every entry is added up by one thread in the order of the rows,
 * and the result does not depend on how many threads there are. */
#include <assay/memory.h>
#include <assay/metrics.h>

#include <float.h>
#include <math.h>
#include <string.h>

/* Columns are kept in panels of four, which is the side of a tile of the Hessian that stays in
 * registers; two panels of a block of rows stay in the first-level cache. */
enum { PANEL = 4, BLOCK = 256 };

#define DEFAULT_TOLERANCE  1e-10
#define DEFAULT_ITERATIONS 100
/* Without ridge, a small gradient is a minimum only if the last step was small too: along a
 * direction that separates some rows the gradient fades while every step keeps its length. */
#define SETTLED_STEP        1e-4
#define SUFFICIENT_DECREASE 1e-4 /* Armijo's constant */
#define SMALLEST_STEP       0x1p-40
#define LOSS_ROUNDING       1e-12 /* relative rise of the loss that rounding alone may cause */

struct assay_probe {
    int64_t d;
    int64_t iterations;
    double bias;
    double *weight; /* (d), in the standardised space */
    double *mean;   /* (d) */
    double *sd;     /* (d), positive */
};

/* One fit in progress: the objective, its value at the last point asked for, and scratch. Column d
 * is the bias; columns above it are zero and fill the last panel. */
typedef struct objective {
    const double *x;      /* (n, d) */
    const int32_t *label; /* (n) */
    int64_t n, d;
    int64_t stride; /* d + 1, rounded up to whole panels */
    const double *mean, *sd;
    double l2;

    double loss;
    double least_margin; /* the smallest t of a positive or -t of a negative row */
    double *gradient;    /* (stride) */
    double *hessian;     /* (stride, stride), lower triangle */
    int64_t rank;        /* of the Hessian at the first step, where all rows weigh the same */

    double *panels;   /* (stride / PANEL, BLOCK, PANEL): the rows of one block */
    double *logit;    /* (BLOCK) */
    double *residual; /* (BLOCK): p - y */
    double *root;     /* (BLOCK): sqrt(p (1 - p)) */
} objective;

/* Standardises rows first .. first + rows - 1 into panels and multiplies them by beta. */
static void pack_block(objective *o, const double *beta, int64_t first, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        const double *x = o->x + (first + r) * o->d;
        double logit = beta[o->d];
        for (int64_t j = 0; j < o->d; j++) {
            double z = (x[j] - o->mean[j]) / o->sd[j];
            o->panels[(j / PANEL * BLOCK + r) * PANEL + j % PANEL] = z;
            logit += beta[j] * z;
        }
        o->panels[(o->d / PANEL * BLOCK + r) * PANEL + o->d % PANEL] = 1;
        o->logit[r] = logit;
    }
}

/* Log-loss of the block's rows, and the factors of their gradient and Hessian. Only exp(-|t|) is
 * ever taken, which cannot overflow. */
static void weigh_block(objective *o, int64_t first, int64_t rows)
{
    double loss = 0;
    for (int64_t r = 0; r < rows; r++) {
        double sign = o->label[first + r] ? 1 : -1;
        double margin = sign * o->logit[r];
        double e = exp(-fabs(margin));
        loss += fmax(-margin, 0) + log1p(e);
        o->residual[r] = -sign * (margin >= 0 ? e : 1) / (1 + e);
        o->root[r] = sqrt(e) / (1 + e);
        o->least_margin = fmin(o->least_margin, margin);
    }
    o->loss += loss;
}

/* Adds the block's rows to the gradient, then scales them by the roots of their weights, so that
 * the Hessian is the plain product of the block with itself. */
static void add_gradient(objective *o, int64_t rows)
{
    for (int64_t p = 0; p < o->stride / PANEL; p++) {
        double *panel = o->panels + p * BLOCK * PANEL;
        double sum[PANEL] = {0};
        for (int64_t r = 0; r < rows; r++) {
            for (int c = 0; c < PANEL; c++) {
                sum[c] += o->residual[r] * panel[r * PANEL + c];
                panel[r * PANEL + c] *= o->root[r];
            }
        }
        for (int c = 0; c < PANEL; c++)
            o->gradient[p * PANEL + c] += sum[c];
    }
}

/* out (PANEL, PANEL) += a' b for two panels of `rows` rows. */
static void add_tile(const double *restrict a, const double *restrict b, int64_t rows,
                     double *restrict out, int64_t stride)
{
    double sum[PANEL][PANEL] = {{0}};
    for (int64_t r = 0; r < rows; r++) {
        for (int i = 0; i < PANEL; i++) {
            for (int j = 0; j < PANEL; j++)
                sum[i][j] += a[r * PANEL + i] * b[r * PANEL + j];
        }
    }
    for (int i = 0; i < PANEL; i++) {
        for (int j = 0; j < PANEL; j++)
            out[i * stride + j] += sum[i][j];
    }
}

static void add_hessian(objective *o, int64_t rows)
{
#pragma omp parallel for schedule(dynamic) if (o->d >= 64)
    for (int64_t p = 0; p < o->stride / PANEL; p++) {
        for (int64_t q = 0; q <= p; q++)
            add_tile(o->panels + p * BLOCK * PANEL, o->panels + q * BLOCK * PANEL, rows,
                     o->hessian + p * PANEL * o->stride + q * PANEL, o->stride);
    }
}

/* Loss, least margin and gradient at beta (d + 1 values); with `curved`, the Hessian too. */
static void evaluate(objective *o, const double *beta, bool curved)
{
    int64_t entries = o->stride * o->stride;
    o->loss = 0;
    o->least_margin = INFINITY;
    memset(o->gradient, 0, (size_t)o->stride * sizeof(double));
    if (curved)
        memset(o->hessian, 0, (size_t)entries * sizeof(double));
    for (int64_t first = 0; first < o->n; first += BLOCK) {
        int64_t rows = o->n - first < BLOCK ? o->n - first : BLOCK;
        pack_block(o, beta, first, rows);
        weigh_block(o, first, rows);
        add_gradient(o, rows);
        if (curved)
            add_hessian(o, rows);
    }
    o->loss /= (double)o->n;
    for (int64_t j = 0; j < o->stride; j++)
        o->gradient[j] /= (double)o->n;
    for (int64_t i = 0; curved && i < entries; i++)
        o->hessian[i] /= (double)o->n;
    for (int64_t j = 0; j < o->d; j++) {
        o->loss += o->l2 / 2 * beta[j] * beta[j];
        o->gradient[j] += o->l2 * beta[j];
        if (curved)
            o->hessian[j * o->stride + j] += o->l2;
    }
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

/* Replaces the lower triangle of a (n, n), rows `stride` apart, by its Cholesky factor L, a = L L'.
 * A pivot that is zero up to rounding belongs to a column that the earlier ones determine (a
 * constant one, a copy): its pivot and the column below become 0. Returns the rank, which counts
 * the other pivots. */
static int64_t factor(double *a, int64_t n, int64_t stride)
{
    int64_t rank = n;
    for (int64_t j = 0; j < n; j++) {
        double *row = a + j * stride;
        double diagonal = row[j];
        double pivot = diagonal - dot(row, row, j);
        bool dependent = !(pivot > 8 * (double)n * DBL_EPSILON * diagonal);
        row[j] = dependent ? 0 : sqrt(pivot);
        rank -= dependent;
        for (int64_t i = j + 1; i < n; i++) {
            double *below = a + i * stride;
            below[j] = dependent ? 0 : (below[j] - dot(below, row, j)) / row[j];
        }
    }
    return rank;
}

/* Solves L L' x = x in place; unknowns of dependent columns stay 0. */
static void solve(const double *factored, int64_t n, int64_t stride, double *x)
{
    for (int64_t i = 0; i < n; i++) {
        const double *row = factored + i * stride;
        x[i] = row[i] > 0 ? (x[i] - dot(row, x, i)) / row[i] : 0;
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        const double *row = factored + i * stride;
        x[i] = row[i] > 0 ? x[i] / row[i] : 0;
        for (int64_t k = 0; k < i; k++)
            x[k] -= row[k] * x[i];
    }
}

/* Moves beta by one Newton step, halved until the loss falls enough, and leaves the objective
 * evaluated there. `direction` and `candidate` are scratch (stride). Returns the largest change of
 * a coefficient, or -1 when there is no step to take: none lowers the loss, or, without ridge, the
 * Hessian has lost a direction that the columns span, because the rows that curve it have been
 * pushed to where they weigh nothing. */
static double take_step(objective *o, double *beta, double *direction, double *candidate)
{
    int64_t unknowns = o->d + 1;
    evaluate(o, beta, true);
    double loss = o->loss;
    memcpy(direction, o->gradient, (size_t)o->stride * sizeof(double));
    int64_t rank = factor(o->hessian, unknowns, o->stride);
    if (o->rank == 0)
        o->rank = rank;
    if (o->l2 == 0 && rank < o->rank)
        return -1;
    solve(o->hessian, unknowns, o->stride, direction);
    double slope = -dot(o->gradient, direction, unknowns);
    for (double step = 1; step >= SMALLEST_STEP; step /= 2) {
        for (int64_t j = 0; j < unknowns; j++)
            candidate[j] = beta[j] - step * direction[j];
        evaluate(o, candidate, false);
        if (o->loss <= loss + SUFFICIENT_DECREASE * step * slope + LOSS_ROUNDING * loss) {
            memcpy(beta, candidate, (size_t)unknowns * sizeof(double));
            return step * largest(direction, unknowns);
        }
    }
    return -1;
}

/* Iterates from beta to the minimum. `scratch` holds 2 * stride values. */
static bool minimise(objective *o, double tolerance, int64_t max_iterations, double *beta,
                     double *scratch, int64_t *iterations, assay_error *error)
{
    const char *hint = o->l2 > 0 ? "raise max_iterations or tolerance"
                                 : "set l2 > 0: a group of rows may be separable";
    double moved = INFINITY, slope = INFINITY;
    int64_t steps = 0;
    for (evaluate(o, beta, false);; steps++) {
        slope = largest(o->gradient, o->d + 1);
        if (o->l2 == 0 && o->least_margin > 0)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "linear probe",
                              .what = "the labels are separable: no finite weights are best",
                              .expected = "overlapping classes, or l2 above 0", .got = "l2 = 0",
                              .hint = "set l2 > 0");
        if (moved < 0)
            break;
        if (slope <= tolerance && (o->l2 > 0 || moved <= SETTLED_STEP)) {
            *iterations = steps;
            return true;
        }
        if (steps == max_iterations)
            break;
        moved = take_step(o, beta, scratch, scratch + o->stride);
    }
    return ASSAY_FAIL(
        error, ASSAY_BAD_INPUT, .where = "linear probe", .what = "the fit did not converge",
        .expected = assay_text("a gradient of at most %g, and steps that shrink", tolerance),
        .got = assay_text("a gradient of %g and a step of %g after %lld steps", slope,
                          fmax(moved, 0), (long long)steps),
        .hint = hint);
}

/* Mean and population standard deviation of every column of x (n, d), in two passes. */
static bool standardise(const double *x, int64_t n, int64_t d, assay_probe *probe,
                        assay_error *error)
{
    double *mean = probe->mean, *sd = probe->sd;
    double share = 1 / (double)n;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++)
            mean[j] += x[i * d + j] * share;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++)
            sd[j] += (x[i * d + j] - mean[j]) * (x[i * d + j] - mean[j]);
    }
    for (int64_t j = 0; j < d; j++) {
        bool constant = true;
        for (int64_t i = 1; constant && i < n; i++)
            constant = x[i * d + j] == x[j];
        if (constant) /* the mean's rounding would pass for a spread */
            mean[j] = x[j];
        sd[j] = sqrt(sd[j] * share);
        if (constant || sd[j] == 0)
            sd[j] = 1;
        if (!isfinite(sd[j]))
            return ASSAY_FAIL(error, ASSAY_NOT_FINITE, .where = "linear probe",
                              .what = "the spread of a column overflows",
                              .got = assay_text("column %lld", (long long)j),
                              .hint = "scale the column");
    }
    return true;
}

static bool check_options(const assay_probe_options *options, int64_t n, int64_t d,
                          assay_error *error)
{
    const char *where = "linear probe";
    if (n < 1 || d < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = where, .what = "there is nothing to fit",
                          .expected = "at least one row and one column",
                          .got = assay_text("(%lld, %lld)", (long long)n, (long long)d));
    if (!isfinite(options->l2) || options->l2 < 0 || !isfinite(options->tolerance) ||
        options->tolerance < 0 || options->max_iterations < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "an option of the probe is out of range",
                          .expected = "finite l2, tolerance and max_iterations of at least 0",
                          .got =
                              assay_text("l2 %g, tolerance %g, max_iterations %lld", options->l2,
                                         options->tolerance, (long long)options->max_iterations));
    return true;
}

/* Checks every value and label, and gives the number of positive rows. */
static bool check_rows(const double *x, const int32_t *label, int64_t n, int64_t d,
                       int64_t *positives, assay_error *error)
{
    const char *where = "linear probe";
    int64_t ones = 0;
    for (int64_t i = 0; i < n; i++) {
        if (label[i] != 0 && label[i] != 1)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                              .what = "a label is not binary", .expected = "0 or 1",
                              .got = assay_text("%d in row %lld", (int)label[i], (long long)i));
        ones += label[i];
        for (int64_t j = 0; j < d; j++) {
            if (!isfinite(x[i * d + j]))
                return ASSAY_FAIL(error, ASSAY_NOT_FINITE, .where = where,
                                  .what = "a value is not finite",
                                  .got = assay_text("%g in row %lld, column %lld", x[i * d + j],
                                                    (long long)i, (long long)j));
        }
    }
    if (ones == 0 || ones == n)
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .where = where, .what = "one class is absent from the labels",
            .expected = "rows of both labels",
            .got = assay_text("%lld of %lld rows are positive", (long long)ones, (long long)n));
    *positives = ones;
    return true;
}

/* `count` doubles, cleared. */
static double *new_doubles(int64_t count, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, count, (int64_t)sizeof(double))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "linear probe",
                   .what = "a size does not fit in 63 bits",
                   .got = assay_text("%lld numbers", (long long)count));
        return NULL;
    }
    return assay_zalloc(bytes, error);
}

static assay_probe *new_probe(int64_t d, assay_error *error)
{
    assay_probe *probe = assay_zalloc((int64_t)sizeof *probe, error);
    if (!probe)
        return NULL;
    probe->d = d;
    if (!(probe->weight = new_doubles(d, error)) || !(probe->mean = new_doubles(d, error)) ||
        !(probe->sd = new_doubles(d, error))) {
        assay_probe_free(probe);
        return NULL;
    }
    return probe;
}

/* Gives the objective its arrays; on failure free_arrays still has to be called. */
static bool new_arrays(objective *o, assay_error *error)
{
    int64_t entries = 0;
    if (!assay_size_mul(&entries, o->stride, o->stride))
        entries = INT64_MAX;
    return (o->gradient = new_doubles(o->stride, error)) &&
           (o->hessian = new_doubles(entries, error)) &&
           (o->panels = new_doubles(o->stride * BLOCK, error)) &&
           (o->logit = new_doubles(BLOCK, error)) && (o->residual = new_doubles(BLOCK, error)) &&
           (o->root = new_doubles(BLOCK, error));
}

static void free_arrays(objective *o)
{
    assay_free(o->gradient);
    assay_free(o->hessian);
    assay_free(o->panels);
    assay_free(o->logit);
    assay_free(o->residual);
    assay_free(o->root);
}

assay_probe *assay_probe_fit(const double *x, const int32_t *label, int64_t n, int64_t d,
                             const assay_probe_options *options, assay_error *error)
{
    int64_t positives = 0;
    if (!check_options(options, n, d, error) || !check_rows(x, label, n, d, &positives, error))
        return NULL;

    bool ok = false;
    double tolerance = options->tolerance > 0 ? options->tolerance : DEFAULT_TOLERANCE;
    int64_t limit = options->max_iterations > 0 ? options->max_iterations : DEFAULT_ITERATIONS;
    double *beta = NULL, *scratch = NULL;
    objective o = {.x = x, .label = label, .n = n, .d = d, .l2 = options->l2};
    o.stride = (d / PANEL + 1) * PANEL;
    assay_probe *probe = new_probe(d, error);
    if (!probe || !new_arrays(&o, error) || !(beta = new_doubles(o.stride, error)) ||
        !(scratch = new_doubles(2 * o.stride, error)) || !standardise(x, n, d, probe, error))
        goto done;
    o.mean = probe->mean;
    o.sd = probe->sd;
    beta[d] = log((double)positives / (double)(n - positives)); /* the best bias of zero weights */
    if (!minimise(&o, tolerance, limit, beta, scratch, &probe->iterations, error))
        goto done;
    memcpy(probe->weight, beta, (size_t)d * sizeof(double));
    probe->bias = beta[d];
    ok = true;
done:
    assay_free(beta);
    assay_free(scratch);
    free_arrays(&o);
    if (!ok) {
        assay_probe_free(probe);
        probe = NULL;
    }
    return probe;
}

void assay_probe_free(assay_probe *probe)
{
    if (!probe)
        return;
    assay_free(probe->weight);
    assay_free(probe->mean);
    assay_free(probe->sd);
    assay_free(probe);
}

int64_t assay_probe_width(const assay_probe *probe)
{
    return probe->d;
}

const double *assay_probe_weights(const assay_probe *probe)
{
    return probe->weight;
}

double assay_probe_bias(const assay_probe *probe)
{
    return probe->bias;
}

int64_t assay_probe_iterations(const assay_probe *probe)
{
    return probe->iterations;
}

void assay_probe_score(const assay_probe *probe, const double *x, int64_t n, double *score)
{
    for (int64_t i = 0; i < n; i++) {
        double logit = probe->bias;
        for (int64_t j = 0; j < probe->d; j++)
            logit += probe->weight[j] * ((x[i * probe->d + j] - probe->mean[j]) / probe->sd[j]);
        score[i] = logit;
    }
}
