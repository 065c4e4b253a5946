/* cpu/reduce.c - sums over whole arrays and over rows, and the search for numbers that are none.
 *
 * Everything is cut into DEVICE_PARTITIONS fixed pieces whose results are combined in order. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

static inline bool is_finite(float x)
{
    return (float_bits(x) & 0x7F800000) != 0x7F800000;
}

#if ASSAY_PLAIN

void KERNEL(sum)(int64_t n, const float *x, double factor, float *y)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    *y = (float)(factor * sum);
}

void KERNEL(sum_squares)(int64_t n, const float *x, double *y, bool add)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    *y = (add ? *y : 0.0) + sum;
}

void KERNEL(sum_rows)(int64_t rows, int64_t width, const float *x, const float *w, float *y,
                      bool add)
{
    for (int64_t c = 0; c < width; c++) {
        double sum = add ? y[c] : 0.0;
        for (int64_t r = 0; r < rows; r++)
            sum += x[r * width + c] * (w != NULL ? (double)w[r * width + c] : 1.0);
        y[c] = (float)sum;
    }
}

void KERNEL(first_nonfinite)(int64_t n, const float *x, int64_t *index)
{
    int64_t i = 0;
    while (i < n && is_finite(x[i]))
        i++;
    *index = i < n ? i : -1;
}

void KERNEL(clip)(int64_t count, const double *squares, float limit, float *factor)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += squares[i];
    double norm = sqrt(sum);
    *factor = !isfinite(norm) ? NAN : limit > 0.0f && norm > limit ? (float)(limit / norm) : 1.0f;
}

#else

static double add_in_order(const double partial[DEVICE_PARTITIONS])
{
    double sum = 0.0;
    for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
        sum += partial[piece];
    return sum;
}

void KERNEL(sum)(int64_t n, const float *x, double factor, float *y)
{
    double partial[DEVICE_PARTITIONS];
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int piece = 0; piece < DEVICE_PARTITIONS; piece++) {
        int64_t end = partition_start(n, piece + 1);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = partition_start(n, piece); i < end; i++)
            sum += x[i];
        partial[piece] = sum;
    }
    *y = (float)(factor * add_in_order(partial));
}

void KERNEL(sum_squares)(int64_t n, const float *x, double *y, bool add)
{
    double partial[DEVICE_PARTITIONS];
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int piece = 0; piece < DEVICE_PARTITIONS; piece++) {
        int64_t end = partition_start(n, piece + 1);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = partition_start(n, piece); i < end; i++)
            sum += (double)x[i] * x[i];
        partial[piece] = sum;
    }
    *y = (add ? *y : 0.0) + add_in_order(partial);
}

enum {
    PANEL = 512, /* columns summed at a time: a panel of every piece fits the stack and L1 */
};

/* sum[c] += x[r][c] (times w[r][c] when w is given) for `count` rows. Called with constant counts:
 * four rows at once read four streams of memory and touch the sums once. */
static inline __attribute__((always_inline)) void add_rows(const int count, int64_t width,
                                                           int64_t columns, const float *x,
                                                           const float *w, float *sum)
{
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) {
        float total = sum[c];
        for (int r = 0; r < count; r++)
            total += w != NULL ? x[r * width + c] * w[r * width + c] : x[r * width + c];
        sum[c] = total;
    }
}

/* Sums of rows first .. end-1 over `columns` columns; x and w point at the panel's first column. */
static void sum_piece(int64_t first, int64_t end, int64_t width, int64_t columns, const float *x,
                      const float *w, float sum[PANEL])
{
    memset(sum, 0, PANEL * sizeof *sum);
    int64_t r = first;
    for (; r + 4 <= end; r += 4)
        add_rows(4, width, columns, x + r * width, w != NULL ? w + r * width : NULL, sum);
    for (; r < end; r++)
        add_rows(1, width, columns, x + r * width, w != NULL ? w + r * width : NULL, sum);
}

void KERNEL(sum_rows)(int64_t rows, int64_t width, const float *x, const float *w, float *y,
                      bool add)
{
    float pieces[DEVICE_PARTITIONS][PANEL];
    for (int64_t at = 0; at < width; at += PANEL) {
        int64_t columns = width - at < PANEL ? width - at : PANEL;
#pragma omp parallel for schedule(static) if (rows * columns >= KERNEL_PARALLEL_MIN)
        for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
            sum_piece(partition_start(rows, piece), partition_start(rows, piece + 1), width,
                      columns, x + at, w != NULL ? w + at : NULL, pieces[piece]);
        for (int64_t c = 0; c < columns; c++) {
            double sum = add ? y[at + c] : 0.0;
            for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
                sum += pieces[piece][c];
            y[at + c] = (float)sum;
        }
    }
}

/* Whether anything in the block is not finite, without a branch per element. */
static bool has_nonfinite(int64_t n, const float *x)
{
    uint32_t found = 0;
#pragma omp simd reduction(| : found)
    for (int64_t i = 0; i < n; i++)
        found |= !is_finite(x[i]);
    return found != 0;
}

static int64_t first_in_piece(int64_t first, int64_t end, const float *x)
{
    for (int64_t start = first; start < end; start += KERNEL_BLOCK) {
        int64_t stop = block_end(start, end);
        if (!has_nonfinite(stop - start, x + start))
            continue;
        for (int64_t i = start; i < stop; i++)
            if (!is_finite(x[i]))
                return i;
    }
    return -1;
}

void KERNEL(first_nonfinite)(int64_t n, const float *x, int64_t *index)
{
    int64_t found[DEVICE_PARTITIONS];
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
        found[piece] = first_in_piece(partition_start(n, piece), partition_start(n, piece + 1), x);
    *index = -1;
    for (int piece = DEVICE_PARTITIONS - 1; piece >= 0; piece--)
        if (found[piece] >= 0)
            *index = found[piece];
}

void KERNEL(clip)(int64_t count, const double *squares, float limit, float *factor)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += squares[i];
    double norm = sqrt(sum);
    *factor = !isfinite(norm) ? NAN : limit > 0.0f && norm > limit ? (float)(limit / norm) : 1.0f;
}

#endif
