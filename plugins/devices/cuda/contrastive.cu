/* contrastive.cu - contrastive loss with a false-negative mask (user-modelling spec 1.6).
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
 * b_i.a_j is entry (j, i) of ab: the third term of QA code runs down a column. Columns are looked
 * at by a kernel of its own, neighbouring ones side by side, whose sums the rows then take over.
 *
 * Bound by memory: each matrix is read once for the losses and once for the gradients, ab twice for
 * the losses of QA code. Not measured. */
#include "launch.h"

#include "kernels.h"

/* What has been met of a row's negatives: sum of exp((s - largest) / tau) over the kept ones. */
typedef struct kept_terms {
    float largest, sum;
    int32_t kept; /* below 2^31: at most 3 n, and n^2 floats fit in memory */
} kept_terms;

/* The columns' part of each row's sum (QA code), and every row's positive: (n) each. */
typedef struct row_notes {
    float *largest, *sum, *positive;
    int32_t *kept;
} row_notes;

static __device__ inline void meet(kept_terms *t, float s, bool keep, float inverse)
{
    if (!keep)
        return;
    t->kept++;
    if (s > t->largest) {
        t->sum = t->sum * expf((t->largest - s) * inverse) + 1.0f;
        t->largest = s;
    } else {
        t->sum += expf((s - t->largest) * inverse);
    }
}

enum {
    SIDE_BY_SIDE = CUDA_WARP,            /* columns of a block */
    WALKERS = CUDA_BLOCK / SIDE_BY_SIDE, /* threads that share a column */
};

/* Column i's entries other than (i, i), for the columns of one block. The walkers of a column take
 * every WALKERS-th row, and are put together in their order. */
static __global__ void look_down(int64_t n, const float *ab, float margin, float inverse,
                                 row_notes notes)
{
    static __shared__ kept_terms found[WALKERS][SIDE_BY_SIDE];
    const int lane = (int)threadIdx.x % SIDE_BY_SIDE, walker = (int)threadIdx.x / SIDE_BY_SIDE;
    const int64_t i = (int64_t)blockIdx.x * SIDE_BY_SIDE + lane;
    kept_terms mine = {0.0f, 0.0f, 0};
    if (i < n) {
        const float positive = ab[i * (n + 1)], limit = positive + margin;
        mine.largest = positive;
        for (int64_t j = walker; j < n; j += WALKERS) {
            const float s = ab[j * n + i];
            meet(&mine, s, j != i && s <= limit, inverse);
        }
    }
    found[walker][lane] = mine;
    __syncthreads();
    if (walker > 0 || i >= n)
        return;
    for (int w = 1; w < WALKERS; w++)
        mine.largest = fmaxf(mine.largest, found[w][lane].largest);
    double sum = 0.0;
    int32_t kept = 0;
    for (int w = 0; w < WALKERS; w++) {
        const kept_terms part = found[w][lane];
        sum += (double)part.sum * expf((part.largest - mine.largest) * inverse);
        kept += part.kept;
    }
    notes.largest[i] = mine.largest;
    notes.sum[i] = (float)sum;
    notes.kept[i] = kept;
}

/* row_loss and row_masked, a block a row. With `columns` the notes hold the column terms. */
static __global__ void losses_of_rows(device_contrastive c, float inverse, row_notes notes,
                                      bool columns)
{
    const int64_t n = c.n;
    const bool joint = c.variant == DEVICE_QA_PAPER;
    for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
        const float positive = c.ab[i * (n + 1)], limit = positive + c.margin;
        kept_terms mine = {positive, 0.0f, 0};
        for (int64_t j = threadIdx.x; j < n; j += blockDim.x) {
            const int64_t at = i * n + j;
            if (j == i)
                continue;
            const float ab = c.ab[at];
            bool keep = ab <= limit;
            if (c.aa != NULL) {
                const float aa = c.aa[at];
                const bool keep_aa = aa <= limit;
                keep = joint ? keep && keep_aa : keep;
                meet(&mine, aa, joint ? keep : keep_aa, inverse);
            }
            if (c.bb != NULL) {
                const float bb = c.bb[at];
                meet(&mine, bb, joint ? keep : bb <= limit, inverse);
            }
            meet(&mine, ab, keep, inverse);
        }
        if (columns && threadIdx.x == 0) {
            const float top = fmaxf(mine.largest, notes.largest[i]);
            mine.sum = mine.sum * expf((mine.largest - top) * inverse) +
                       notes.sum[i] * expf((notes.largest[i] - top) * inverse);
            mine.largest = top;
            mine.kept += notes.kept[i];
        }
        const float largest = cuda_block_max(mine.largest);
        const double sum =
            cuda_block_sum((double)mine.sum * expf((mine.largest - largest) * inverse));
        const int32_t kept = cuda_block_sum(mine.kept);
        if (threadIdx.x != 0)
            continue;
        const double above = ((double)largest - positive) / c.temperature;
        c.row_loss[i] = (float)(above + log(sum + exp(-above)));
        c.row_masked[i] = (n - 1) * (c.variant == DEVICE_GG_CODE ? 1 : 3) - kept;
        notes.positive[i] = positive;
    }
}

/* With rows averaged, the gradient of a kept negative s of row i is exp(s / tau) / Z_i / (n tau),
 * and of the positive (exp(s_ii / tau) / Z_i - 1) / (n tau); the mask is a constant. exp((s - s_ii)
 * / tau
 * - loss) is a negative's share of Z_i. Entry (i, j) of ab counts in row i and, in QA code, as
 * b_j.a_i in row j. */
static __global__ void gradients_of_rows(device_contrastive c, float inverse, row_notes notes)
{
    const int64_t n = c.n;
    const bool joint = c.variant == DEVICE_QA_PAPER, columns = c.variant == DEVICE_QA_CODE;
    const float share = inverse / (float)n;
    for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
        const float positive = notes.positive[i], limit = positive + c.margin;
        const float loss = c.row_loss[i];
        for (int64_t j = threadIdx.x; j < n; j += blockDim.x) {
            const int64_t at = i * n + j;
            const float ab = c.ab[at];
            bool keep = j != i && ab <= limit;
            if (c.aa != NULL) {
                const float aa = c.aa[at];
                const bool keep_aa = j != i && aa <= limit;
                keep = joint ? keep && keep_aa : keep;
                c.d_aa[at] = (joint ? keep : keep_aa)
                                 ? share * expf((aa - positive) * inverse - loss)
                                 : 0.0f;
            }
            if (c.bb != NULL) {
                const float bb = c.bb[at];
                c.d_bb[at] = (joint ? keep : j != i && bb <= limit)
                                 ? share * expf((bb - positive) * inverse - loss)
                                 : 0.0f;
            }
            float d = keep ? share * expf((ab - positive) * inverse - loss) : 0.0f;
            if (columns && j != i && ab <= notes.positive[j] + c.margin)
                d += share * expf((ab - notes.positive[j]) * inverse - c.row_loss[j]);
            c.d_ab[at] = j == i ? (float)(share * expm1(-(double)loss)) : d;
        }
    }
}

extern "C" void cuda_contrastive(const device_contrastive *contrastive)
{
    device_contrastive c = *contrastive;
    const bool columns = c.variant == DEVICE_QA_CODE;
    const float inverse = 1.0f / c.temperature;
    const int64_t blocks = cuda_blocks(c.n, 1), threads = c.n > 512 ? CUDA_BLOCK : CUDA_ROW_BLOCK;
    row_notes notes = {NULL, NULL, NULL, NULL};
    float *space = c.n > 0 ? (float *)cuda_workspace(c.n * 4 * (int64_t)sizeof(float)) : NULL;
    if (space == NULL)
        return;
    notes.largest = space;
    notes.sum = space + c.n;
    notes.positive = space + 2 * c.n;
    notes.kept = (int32_t *)(space + 3 * c.n);
    /* A matrix that the variant does not use is not read, whatever was given. */
    if (c.variant == DEVICE_GG_CODE)
        c.aa = NULL;
    if (c.variant == DEVICE_GG_CODE || columns)
        c.bb = NULL;
    if (columns)
        CUDA_LAUNCH(look_down, (c.n + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE, CUDA_BLOCK, 0, c.n, c.ab,
                    c.margin, inverse, notes);
    CUDA_LAUNCH(losses_of_rows, blocks, threads, 0, c, inverse, notes, columns);
    if (c.d_ab != NULL)
        CUDA_LAUNCH(gradients_of_rows, blocks, threads, 0, c, inverse, notes);
}
