/* cpu/contrastive.c - contrastive loss with a false-negative mask (user-modelling spec 1.6).
 *
 * Row i has the positive s_ii = a_i.b_i, the limit T_i = s_ii + margin and the loss
 *
 *   log Z_i - s_ii / tau,  Z_i = exp(s_ii / tau) + sum over its kept negatives of exp(s / tau).
 *
 * The negatives of row i, for every j other than i, and what keeps them:
 *
 *   QA code    a_i.b_j, a_i.a_j, b_i.a_j   each if it is itself at most T_i
 *   QA paper   a_i.b_j, a_i.a_j, b_i.b_j   all three if a_i.b_j and a_i.a_j are at most T_i
 *   GG paper   a_i.b_j, a_i.a_j, b_i.b_j   each if it is itself at most T_i
 *   GG code    a_i.b_j                     if it is itself at most T_i
 *
 * With rows averaged, the gradient of a kept negative s of row i is exp(s / tau) / Z_i / (n tau),
 * and of the positive (exp(s_ii / tau) / Z_i - 1) / (n tau); the mask is a constant. b_i.a_j is
 * entry (j, i) of ab, so that entry gets gradients from row j and from row i. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

#if ASSAY_PLAIN

typedef struct negative {
    double similarity;
    bool kept;
    float *gradient;
} negative;

static negative negative_of(const float *matrix, float *gradients, int64_t at, bool kept)
{
    return (negative){matrix[at], kept, gradients != NULL ? &gradients[at] : NULL};
}

/* The negatives of row i against j; returns how many there are. */
static int negatives_of(const device_contrastive *c, int64_t i, int64_t j, negative out[3])
{
    int64_t ij = i * c->n + j, ji = j * c->n + i;
    float limit = c->ab[i * c->n + i] + c->margin;
    bool joint = c->variant == DEVICE_QA_PAPER;
    bool both = joint && c->ab[ij] <= limit && c->aa[ij] <= limit;
    out[0] = negative_of(c->ab, c->d_ab, ij, joint ? both : c->ab[ij] <= limit);
    if (c->variant == DEVICE_GG_CODE)
        return 1;
    out[1] = negative_of(c->aa, c->d_aa, ij, joint ? both : c->aa[ij] <= limit);
    if (c->variant == DEVICE_QA_CODE)
        out[2] = negative_of(c->ab, c->d_ab, ji, c->ab[ji] <= limit);
    else
        out[2] = negative_of(c->bb, c->d_bb, ij, joint ? both : c->bb[ij] <= limit);
    return 3;
}

/* log Z_i, by the largest exponent; counts the negatives left out. */
static double log_sum_of_row(const device_contrastive *c, int64_t i, int64_t *left_out)
{
    negative all[3];
    double positive = c->ab[i * c->n + i], largest = positive, sum = 0.0;
    *left_out = 0;
    for (int64_t j = 0; j < c->n; j++)
        for (int k = j == i ? 0 : negatives_of(c, i, j, all); k-- > 0;) {
            *left_out += !all[k].kept;
            largest = all[k].kept && all[k].similarity > largest ? all[k].similarity : largest;
        }
    for (int64_t j = 0; j < c->n; j++)
        for (int k = j == i ? 0 : negatives_of(c, i, j, all); k-- > 0;)
            sum += all[k].kept ? exp((all[k].similarity - largest) / c->temperature) : 0.0;
    return largest / c->temperature + log(sum + exp((positive - largest) / c->temperature));
}

static void add_gradients_of_row(const device_contrastive *c, int64_t i, double log_sum)
{
    negative all[3];
    double share = 1.0 / ((double)c->n * c->temperature);
    int64_t diagonal = i * c->n + i;
    c->d_ab[diagonal] += (float)(share * expm1(c->ab[diagonal] / (double)c->temperature - log_sum));
    for (int64_t j = 0; j < c->n; j++)
        for (int k = j == i ? 0 : negatives_of(c, i, j, all); k-- > 0;)
            if (all[k].kept)
                *all[k].gradient +=
                    (float)(share * exp(all[k].similarity / c->temperature - log_sum));
}

void KERNEL(contrastive)(const device_contrastive *c)
{
    float *gradients[3] = {c->d_ab, c->d_aa, c->d_bb};
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; gradients[k] != NULL && i < c->n * c->n; i++)
            gradients[k][i] = 0.0f;
    for (int64_t i = 0; i < c->n; i++) {
        int64_t masked = 0;
        double log_sum = log_sum_of_row(c, i, &masked);
        c->row_masked[i] = (float)masked;
        c->row_loss[i] = (float)(log_sum - c->ab[i * c->n + i] / (double)c->temperature);
        if (c->d_ab != NULL)
            add_gradients_of_row(c, i, log_sum);
    }
}

#else

/* Negatives that lie along row i of a matrix: s[j], kept if u[j] and v[j] are at most the limit. */
typedef struct row_term {
    const float *s, *u, *v;
    float *d; /* row of the gradient, or NULL */
} row_term;

static row_term term_of(const device_contrastive *c, const float *matrix, float *gradients,
                        int64_t i)
{
    int64_t at = i * c->n;
    bool joint = c->variant == DEVICE_QA_PAPER;
    return (row_term){matrix + at, (joint ? c->ab : matrix) + at, (joint ? c->aa : matrix) + at,
                      gradients != NULL ? gradients + at : NULL};
}

/* The row terms of row i; returns how many there are. The third of QA code runs down a column and
 * is dealt with apart. */
static int terms_of_row(const device_contrastive *c, int64_t i, row_term out[3])
{
    int count = 0;
    out[count++] = term_of(c, c->ab, c->d_ab, i);
    if (c->variant != DEVICE_GG_CODE)
        out[count++] = term_of(c, c->aa, c->d_aa, i);
    if (c->variant == DEVICE_QA_PAPER || c->variant == DEVICE_GG_PAPER)
        out[count++] = term_of(c, c->bb, c->d_bb, i);
    return count;
}

enum {
    LANES = 16, /* rows taken together: walking down their columns reads whole cache lines */
};

typedef struct row_block {
    int64_t first, rows;
    float positive[LANES], limit[LANES], largest[LANES], sum[LANES];
    int32_t kept[LANES]; /* below 2^31: at most 3 n, and n^2 floats fit in memory */
} row_block;

/* Largest kept similarity and number of kept ones among s[first .. end-1]. */
static void look_along(const row_term *t, int64_t first, int64_t end, float limit, float *largest,
                       int32_t *kept)
{
    const float *s = t->s, *u = t->u, *v = t->v;
    float top = *largest;
    int32_t count = 0;
#pragma omp simd reduction(max : top) reduction(+ : count)
    for (int64_t j = first; j < end; j++) {
        bool keep = (u[j] <= limit) & (v[j] <= limit);
        float candidate = keep ? s[j] : -INFINITY;
        top = candidate > top ? candidate : top;
        count += keep;
    }
    *largest = top;
    *kept += count;
}

static float sum_along(const row_term *t, int64_t first, int64_t end, float limit, float largest,
                       float inverse)
{
    const float *s = t->s, *u = t->u, *v = t->v;
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = first; j < end; j++) {
        float e = fast_exp((s[j] - largest) * inverse);
        sum += ((u[j] <= limit) & (v[j] <= limit)) ? e : 0.0f;
    }
    return sum;
}

/* The same two for the column terms b_i.a_j of QA code, for the rows of a block side by side. */
static void look_down(const device_contrastive *c, row_block *block)
{
    for (int64_t j = 0; j < c->n; j++) {
        const float *s = c->ab + j * c->n + block->first;
        int64_t own = j - block->first;
#pragma omp simd
        for (int64_t lane = 0; lane < block->rows; lane++) {
            bool keep = (s[lane] <= block->limit[lane]) & (lane != own);
            float candidate = keep ? s[lane] : -INFINITY;
            float top = block->largest[lane];
            block->largest[lane] = candidate > top ? candidate : top;
            block->kept[lane] += keep;
        }
    }
}

static void sum_down(const device_contrastive *c, row_block *block, float inverse)
{
    for (int64_t j = 0; j < c->n; j++) {
        const float *s = c->ab + j * c->n + block->first;
        int64_t own = j - block->first;
#pragma omp simd
        for (int64_t lane = 0; lane < block->rows; lane++) {
            float e = fast_exp((s[lane] - block->largest[lane]) * inverse);
            bool keep = (s[lane] <= block->limit[lane]) & (lane != own);
            block->sum[lane] += keep ? e : 0.0f;
        }
    }
}

/* row_loss and row_masked of a block of rows. */
static void losses_of_block(const device_contrastive *c, row_block *block)
{
    const float inverse = 1.0f / c->temperature;
    row_term terms[3];
    for (int64_t lane = 0; lane < block->rows; lane++) {
        int64_t i = block->first + lane;
        block->positive[lane] = block->largest[lane] = c->ab[i * c->n + i];
        block->limit[lane] = block->positive[lane] + c->margin;
        block->sum[lane] = 0.0f;
        block->kept[lane] = 0;
        for (int k = terms_of_row(c, i, terms); k-- > 0;) {
            look_along(&terms[k], 0, i, block->limit[lane], &block->largest[lane],
                       &block->kept[lane]);
            look_along(&terms[k], i + 1, c->n, block->limit[lane], &block->largest[lane],
                       &block->kept[lane]);
        }
    }
    if (c->variant == DEVICE_QA_CODE)
        look_down(c, block);
    for (int64_t lane = 0; lane < block->rows; lane++) {
        int64_t i = block->first + lane;
        float limit = block->limit[lane], largest = block->largest[lane];
        for (int k = terms_of_row(c, i, terms); k-- > 0;)
            block->sum[lane] += sum_along(&terms[k], 0, i, limit, largest, inverse) +
                                sum_along(&terms[k], i + 1, c->n, limit, largest, inverse);
    }
    if (c->variant == DEVICE_QA_CODE)
        sum_down(c, block, inverse);
    int64_t negatives = (c->n - 1) * (c->variant == DEVICE_GG_CODE ? 1 : 3);
    for (int64_t lane = 0; lane < block->rows; lane++) {
        double above = (double)block->largest[lane] - block->positive[lane];
        above /= c->temperature;
        c->row_loss[block->first + lane] = (float)(above + log(block->sum[lane] + exp(-above)));
        c->row_masked[block->first + lane] = (float)(negatives - block->kept[lane]);
    }
}

/* d[first .. end-1] of one row term; exp((s - s_ii) / tau - loss) is a negative's share of Z_i. */
static void slope_along(const row_term *t, int64_t first, int64_t end, float positive, float limit,
                        float loss, float inverse, float share)
{
    const float *s = t->s, *u = t->u, *v = t->v;
    float *d = t->d;
#pragma omp simd
    for (int64_t j = first; j < end; j++) {
        float e = share * fast_exp((s[j] - positive) * inverse - loss);
        d[j] = ((u[j] <= limit) & (v[j] <= limit)) ? e : 0.0f;
    }
}

/* Adds to row i of d_ab what its entries are as the terms b_j.a_i of the other rows j. */
static void slope_of_columns(const device_contrastive *c, int64_t i, int64_t first, int64_t end,
                             float inverse, float share)
{
    const float *s = c->ab + i * c->n, *ab = c->ab, *loss = c->row_loss;
    float *d = c->d_ab + i * c->n;
    int64_t step = c->n + 1;
    float margin = c->margin;
#pragma omp simd
    for (int64_t j = first; j < end; j++) {
        float positive = ab[j * step];
        float e = share * fast_exp((s[j] - positive) * inverse - loss[j]);
        d[j] += s[j] <= positive + margin ? e : 0.0f;
    }
}

static void gradients_of_row(const device_contrastive *c, int64_t i)
{
    const float inverse = 1.0f / c->temperature, share = inverse / (float)c->n;
    const float positive = c->ab[i * c->n + i], limit = positive + c->margin;
    const float loss = c->row_loss[i];
    row_term terms[3];
    for (int k = terms_of_row(c, i, terms); k-- > 0;) {
        slope_along(&terms[k], 0, i, positive, limit, loss, inverse, share);
        slope_along(&terms[k], i + 1, c->n, positive, limit, loss, inverse, share);
        terms[k].d[i] = 0.0f;
    }
    if (c->variant == DEVICE_QA_CODE) {
        slope_of_columns(c, i, 0, i, inverse, share);
        slope_of_columns(c, i, i + 1, c->n, inverse, share);
    }
    c->d_ab[i * c->n + i] = (float)(share * expm1(-(double)loss));
}

void KERNEL(contrastive)(const device_contrastive *c)
{
#pragma omp parallel for schedule(static) if (c->n * c->n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < c->n; first += LANES) {
        row_block block = {.first = first, .rows = c->n - first < LANES ? c->n - first : LANES};
        losses_of_block(c, &block);
    }
    if (c->d_ab == NULL)
        return;
#pragma omp parallel for schedule(static) if (c->n * c->n >= KERNEL_PARALLEL_MIN)
    for (int64_t i = 0; i < c->n; i++)
        gradients_of_row(c, i);
}

#endif
