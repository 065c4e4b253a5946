/* cpu/windows.c - pooling and resizing of maps, plane by plane: (planes, H, W).
 *
 * One thread takes a whole plane and meets its pixels in their order. */
#include "engine/device/cpu/kernels.h"

#include <string.h>

/* Cells [first, end) of `from` that window i of `to` covers; neighbouring windows may share
 * some. */
static inline int64_t window_first(int64_t i, int64_t from, int64_t to)
{
    return i * from / to;
}

static inline int64_t window_end(int64_t i, int64_t from, int64_t to)
{
    return ((i + 1) * from + to - 1) / to;
}

/* Where cell i of `to` lies between two cells of `from`: (1 - part) of `low`, `part` of `high`.
 * Cells are 1 / count wide and compared by their centres; beyond the outer centres the outer cell
 * counts alone. */
typedef struct between {
    int64_t low, high;
    float part;
} between;

static inline between between_of(int64_t i, int64_t from, int64_t to)
{
    double at = ((double)i + 0.5) * (double)from / (double)to - 0.5;
    at = at < 0.0 ? 0.0 : at;
    int64_t low = (int64_t)at;
    low = low < from - 1 ? low : from - 1;
    return (between){low, low + (low < from - 1),
                     low < from - 1 ? (float)(at - (double)low) : 0.0f};
}

/* The first largest cell of a window; a NaN counts as larger than any number. */
static inline int64_t largest_of(const float *x, int64_t width, int64_t side)
{
    int64_t best = 0;
    for (int64_t i = 0; i < side; i++)
        for (int64_t j = 0; j < side; j++) {
            float here = x[i * width + j], there = x[best];
            if (here > there || (here != here && there == there))
                best = i * width + j;
        }
    return best;
}

#if ASSAY_PLAIN

void KERNEL(max_pool)(int64_t planes, int64_t height, int64_t width, int64_t side, const float *x,
                      float *y)
{
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < height / side; i++)
            for (int64_t j = 0; j < width / side; j++) {
                const float *window = x + (p * height + i * side) * width + j * side;
                *y++ = window[largest_of(window, width, side)];
            }
}

void KERNEL(d_max_pool)(int64_t planes, int64_t height, int64_t width, int64_t side, const float *x,
                        const float *d_y, float *d_x, bool add)
{
    for (int64_t at = 0; at < planes * height * width && !add; at++)
        d_x[at] = 0.0f;
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < height / side; i++)
            for (int64_t j = 0; j < width / side; j++) {
                int64_t at = (p * height + i * side) * width + j * side;
                d_x[at + largest_of(x + at, width, side)] += *d_y++;
            }
}

void KERNEL(average_pool)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                          int64_t to_width, const float *x, float *y)
{
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < to_height; i++)
            for (int64_t j = 0; j < to_width; j++) {
                double sum = 0.0;
                int64_t count = 0;
                for (int64_t r = window_first(i, height, to_height);
                     r < window_end(i, height, to_height); r++)
                    for (int64_t c = window_first(j, width, to_width);
                         c < window_end(j, width, to_width); c++, count++)
                        sum += x[(p * height + r) * width + c];
                *y++ = (float)(sum / (double)count);
            }
}

/* What cell `from_at` weighs in window i. */
static double window_share(int64_t from_at, int64_t i, int64_t from, int64_t to)
{
    int64_t first = window_first(i, from, to), end = window_end(i, from, to);
    return from_at >= first && from_at < end ? 1.0 / (double)(end - first) : 0.0;
}

/* What cell `from_at` weighs in cell i of the resized axis. */
static double resize_share(int64_t from_at, int64_t i, int64_t from, int64_t to)
{
    between b = between_of(i, from, to);
    return (from_at == b.low ? 1.0 - b.part : 0.0) + (from_at == b.high ? b.part : 0.0);
}

/* d_x of y = sum over rows and columns of share x: every cell asks every result. */
static void d_shares(double (*share)(int64_t, int64_t, int64_t, int64_t), int64_t planes,
                     int64_t height, int64_t width, int64_t to_height, int64_t to_width,
                     const float *d_y, float *d_x, bool add)
{
    for (int64_t at = 0; at < planes * height * width; at++) {
        int64_t p = at / (height * width), r = at / width % height, c = at % width;
        double sum = add ? d_x[at] : 0.0;
        for (int64_t i = 0; i < to_height; i++) {
            double of_row = share(r, i, height, to_height);
            for (int64_t j = 0; j < to_width && of_row != 0.0; j++)
                sum +=
                    of_row * share(c, j, width, to_width) * d_y[(p * to_height + i) * to_width + j];
        }
        d_x[at] = (float)sum;
    }
}

void KERNEL(d_average_pool)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                            int64_t to_width, const float *d_y, float *d_x, bool add)
{
    d_shares(window_share, planes, height, width, to_height, to_width, d_y, d_x, add);
}

void KERNEL(resize)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                    int64_t to_width, const float *x, float *y)
{
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < to_height; i++)
            for (int64_t j = 0; j < to_width; j++) {
                between r = between_of(i, height, to_height), c = between_of(j, width, to_width);
                const float *low = x + (p * height + r.low) * width;
                const float *high = x + (p * height + r.high) * width;
                double left = (1.0 - r.part) * low[c.low] + (double)r.part * high[c.low];
                double right = (1.0 - r.part) * low[c.high] + (double)r.part * high[c.high];
                *y++ = (float)((1.0 - c.part) * left + c.part * right);
            }
}

void KERNEL(d_resize)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                      int64_t to_width, const float *d_y, float *d_x, bool add)
{
    d_shares(resize_share, planes, height, width, to_height, to_width, d_y, d_x, add);
}

#else

/* ---- pooling ---- */

static void max_pool_row(int64_t count, int64_t width, int64_t side, const float *x, float *y)
{
    if (side == 2) {
#pragma omp simd
        for (int64_t j = 0; j < count; j++) {
            float a = x[2 * j], b = x[2 * j + 1], c = x[width + 2 * j], d = x[width + 2 * j + 1];
            a = b > a || b != b ? b : a;
            a = c > a || c != c ? c : a;
            y[j] = d > a || d != d ? d : a;
        }
        return;
    }
    for (int64_t j = 0; j < count; j++)
        y[j] = x[j * side + largest_of(x + j * side, width, side)];
}

void KERNEL(max_pool)(int64_t planes, int64_t height, int64_t width, int64_t side, const float *x,
                      float *y)
{
    int64_t rows = height / side, columns = width / side;
#pragma omp parallel for schedule(static) if (planes * height * width >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < rows; i++)
            max_pool_row(columns, width, side, x + (p * height + i * side) * width,
                         y + (p * rows + i) * columns);
}

void KERNEL(d_max_pool)(int64_t planes, int64_t height, int64_t width, int64_t side, const float *x,
                        const float *d_y, float *d_x, bool add)
{
    int64_t rows = height / side, columns = width / side, plane = height * width;
#pragma omp parallel for schedule(static) if (planes * plane >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < planes; p++) {
        if (!add)
            memset(d_x + p * plane, 0, (size_t)plane * sizeof *d_x);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) {
                int64_t at = p * plane + i * side * width + j * side;
                d_x[at + largest_of(x + at, width, side)] += d_y[(p * rows + i) * columns + j];
            }
    }
}

/* y (count) = sum of `rows` runs of x */
static inline float sum_window(int64_t rows, int64_t columns, int64_t width, const float *x)
{
    float sum = 0.0f;
    for (int64_t r = 0; r < rows; r++) {
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < columns; c++)
            sum += x[r * width + c];
    }
    return sum;
}

void KERNEL(average_pool)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                          int64_t to_width, const float *x, float *y)
{
    int64_t windows = to_height * to_width;
#pragma omp parallel for schedule(static) if (planes * height * width >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < planes; p++)
        for (int64_t at = 0; at < windows; at++) {
            int64_t i = at / to_width, j = at % to_width;
            int64_t top = window_first(i, height, to_height);
            int64_t left = window_first(j, width, to_width);
            int64_t rows = window_end(i, height, to_height) - top;
            int64_t columns = window_end(j, width, to_width) - left;
            y[p * windows + at] =
                sum_window(rows, columns, width, x + (p * height + top) * width + left) /
                (float)(rows * columns);
        }
}

void KERNEL(d_average_pool)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                            int64_t to_width, const float *d_y, float *d_x, bool add)
{
    int64_t windows = to_height * to_width, plane = height * width;
#pragma omp parallel for schedule(static) if (planes * plane >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < planes; p++) {
        if (!add)
            memset(d_x + p * plane, 0, (size_t)plane * sizeof *d_x);
        for (int64_t at = 0; at < windows; at++) {
            int64_t i = at / to_width, j = at % to_width;
            int64_t top = window_first(i, height, to_height);
            int64_t left = window_first(j, width, to_width);
            int64_t bottom = window_end(i, height, to_height);
            int64_t right = window_end(j, width, to_width);
            float each = d_y[p * windows + at] / (float)((bottom - top) * (right - left));
            for (int64_t r = top; r < bottom; r++)
                for (int64_t c = left; c < right; c++)
                    d_x[p * plane + r * width + c] += each;
        }
    }
}

/* ---- resizing ---- */

enum {
    COLUMNS = 256, /* results of a row taken together: their places and sums fit the stack */
};

/* The places of columns first .. first + count - 1. */
typedef struct column_places {
    int32_t low[COLUMNS], high[COLUMNS];
    float part[COLUMNS];
} column_places;

static void place_columns(int64_t first, int64_t count, int64_t width, int64_t to_width,
                          column_places *places)
{
    for (int64_t j = 0; j < count; j++) {
        between b = between_of(first + j, width, to_width);
        places->low[j] = (int32_t)b.low;
        places->high[j] = (int32_t)b.high;
        places->part[j] = b.part;
    }
}

static void resize_run(int64_t count, const column_places *places, float part, const float *low,
                       const float *high, float *y)
{
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        int32_t l = places->low[j], h = places->high[j];
        float left = low[l] + part * (high[l] - low[l]);
        float right = low[h] + part * (high[h] - low[h]);
        y[j] = left + places->part[j] * (right - left);
    }
}

static void resize_plane(int64_t height, int64_t width, int64_t to_height, int64_t to_width,
                         const float *x, float *y)
{
    column_places places;
    for (int64_t first = 0; first < to_width; first += COLUMNS) {
        int64_t count = to_width - first < COLUMNS ? to_width - first : COLUMNS;
        place_columns(first, count, width, to_width, &places);
        for (int64_t i = 0; i < to_height; i++) {
            between r = between_of(i, height, to_height);
            resize_run(count, &places, r.part, x + r.low * width, x + r.high * width,
                       y + i * to_width + first);
        }
    }
}

void KERNEL(resize)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                    int64_t to_width, const float *x, float *y)
{
    int64_t from = height * width, to = to_height * to_width;
#pragma omp parallel for schedule(static) if (planes * to >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < planes; p++)
        resize_plane(height, width, to_height, to_width, x + p * from, y + p * to);
}

/* Gives the sums of one row of x to its cells, and clears them. */
static void spread_run(int64_t count, const column_places *places, float *sums, float *d_x)
{
    for (int64_t j = 0; j < count; j++) {
        d_x[places->low[j]] += (1.0f - places->part[j]) * sums[j];
        d_x[places->high[j]] += places->part[j] * sums[j];
        sums[j] = 0.0f;
    }
}

static void add_run(int64_t count, float factor, const float *d_y, float *sums)
{
#pragma omp simd
    for (int64_t j = 0; j < count; j++)
        sums[j] += factor * d_y[j];
}

/* Results walk down the rows of x: the sums of the row that they stand on and of the one below are
 * kept until they have passed. */
static void d_resize_columns(int64_t height, int64_t width, int64_t to_height, int64_t to_width,
                             int64_t first, int64_t count, const float *d_y, float *d_x)
{
    column_places places;
    float sums[2][COLUMNS] = {{0}};
    int64_t row = 0; /* sums[row % 2] are those of `row` */
    place_columns(first, count, width, to_width, &places);
    for (int64_t i = 0; i < to_height; i++) {
        between r = between_of(i, height, to_height);
        const float *from = d_y + i * to_width + first;
        for (; row < r.low; row++)
            spread_run(count, &places, sums[row % 2], d_x + row * width);
        add_run(count, 1.0f - r.part, from, sums[r.low % 2]);
        add_run(count, r.part, from, sums[r.high % 2]);
    }
    for (int64_t end = row + 2 < height ? row + 2 : height; row < end; row++)
        spread_run(count, &places, sums[row % 2], d_x + row * width);
}

void KERNEL(d_resize)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                      int64_t to_width, const float *d_y, float *d_x, bool add)
{
    int64_t from = height * width, to = to_height * to_width;
#pragma omp parallel for schedule(static) if (planes * to >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < planes; p++) {
        if (!add)
            memset(d_x + p * from, 0, (size_t)from * sizeof *d_x);
        for (int64_t first = 0; first < to_width; first += COLUMNS)
            d_resize_columns(height, width, to_height, to_width, first,
                             to_width - first < COLUMNS ? to_width - first : COLUMNS, d_y + p * to,
                             d_x + p * from);
    }
}

#endif
