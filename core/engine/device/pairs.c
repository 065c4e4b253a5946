/* pairs.c - prices of pairs of a query and a key: the body of all CPUs. Bound by writing them. */
#include "engine/device/cpu/variants.h"

#include <math.h>

/* ---- inside a history ---- */

void cpu_history_prices(const device_history *d)
{
    const int64_t *s = d->stride;
#pragma omp parallel for schedule(static) if (d->batch * d->tokens * d->tokens >= 1 << 15)
    for (int64_t r = 0; r < d->batch * d->tokens; r++) {
        int64_t b = r / d->tokens, i = r % d->tokens;
        int64_t first = d->span[2 * b], end = d->span[2 * b + 1];
        for (int64_t j = 0; j < d->tokens; j++) {
            bool priced = i >= first && j > i && j < end;
            d->y[r * d->tokens + j] = priced ? d->price[b * s[0] + i * s[1] + j * s[2]] : -INFINITY;
        }
    }
}

/* The indices that share a price's place `at` along an axis: one of them, or all. */
typedef struct range {
    int64_t first, end;
} range;

static range sharing(int64_t extent, int64_t all, int64_t at)
{
    return extent == all ? (range){at, at + 1} : (range){0, all};
}

static float d_history_price(const device_history *d, range bs, range is, range js)
{
    double sum = 0;
    for (int64_t b = bs.first; b < bs.end; b++) {
        int64_t first = d->span[2 * b], end = d->span[2 * b + 1];
        for (int64_t i = is.first > first ? is.first : first; i < is.end && i < end; i++)
            for (int64_t j = js.first > i ? js.first : i + 1; j < js.end && j < end; j++)
                sum += (double)d->d_y[(b * d->tokens + i) * d->tokens + j];
    }
    return (float)sum;
}

void cpu_d_history_prices(const device_history *d)
{
    int64_t n = d->extent[0] * d->extent[1] * d->extent[2];
#pragma omp parallel for schedule(static) if (d->batch * d->tokens * d->tokens >= 1 << 15)
    for (int64_t p = 0; p < n; p++) {
        int64_t b = p / (d->extent[1] * d->extent[2]);
        float sum =
            d_history_price(d, sharing(d->extent[0], d->batch, b),
                            sharing(d->extent[1], d->tokens, p / d->extent[2] % d->extent[1]),
                            sharing(d->extent[2], d->tokens, p % d->extent[2]));
        d->d_price[p] = d->add ? d->d_price[p] + sum : sum;
    }
}

/* ---- windows ---- */

void cpu_window_prices(int64_t batch, int64_t tokens, const int32_t *window, float *y)
{
#pragma omp parallel for schedule(static) if (batch * tokens * tokens >= 1 << 15)
    for (int64_t r = 0; r < batch * tokens; r++)
        for (int64_t j = 0; j < tokens; j++)
            y[r * tokens + j] = j >= window[2 * r] && j < window[2 * r + 1] ? 0 : -INFINITY;
}

/* ---- closed keys ---- */

/* Whether the pair pays the price that is given. */
static bool is_priced(const device_closing *d, int64_t b, int64_t i, int64_t j)
{
    const int32_t *span = d->span != NULL ? d->span + 2 * b : NULL;
    if (!d->whole)
        return true;
    if (j <= i)
        return false;
    return span == NULL || i < span[0] || j < span[0] || i >= span[1] || j >= span[1];
}

/* What the pair pays because its key is closed. */
static float closed_price(const device_closing *d, int64_t b, int64_t i, int64_t j)
{
    float price = d->always != NULL ? d->always[b * d->keys + j] : 0.0f;
    if (d->future != NULL && (!d->whole || j > i))
        price += d->future[b * d->keys + j];
    return price;
}

void cpu_close_keys(const device_closing *d)
{
    int64_t rows = d->batch * d->heads * d->queries;
#pragma omp parallel for schedule(static) if (rows * d->keys >= 1 << 15)
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = r % d->queries, h = r / d->queries % d->heads;
        int64_t b = r / (d->queries * d->heads);
        const float *price = d->price + b * d->stride[0] + h * d->stride[1] + i * d->stride[2];
        for (int64_t j = 0; j < d->keys; j++)
            d->y[r * d->keys + j] =
                closed_price(d, b, i, j) + (is_priced(d, b, i, j) ? price[j * d->stride[3]] : 0.0f);
    }
}

static float d_closed_price(const device_closing *d, range bs, range hs, range is, range js)
{
    float sum = 0.0f;
    for (int64_t b = bs.first; b < bs.end; b++)
        for (int64_t h = hs.first; h < hs.end; h++)
            for (int64_t i = is.first; i < is.end; i++) {
                const float *row = d->d_y + ((b * d->heads + h) * d->queries + i) * d->keys;
                for (int64_t j = js.first; j < js.end; j++)
                    if (is_priced(d, b, i, j) && closed_price(d, b, i, j) == 0.0f)
                        sum += row[j];
            }
    return sum;
}

void cpu_d_close_keys(const device_closing *d)
{
    const int64_t *e = d->extent;
    int64_t n = e[0] * e[1] * e[2] * e[3];
#pragma omp parallel for schedule(static) if (d->batch * d->queries * d->keys >= 1 << 15)
    for (int64_t p = 0; p < n; p++) {
        float sum = d_closed_price(d, sharing(e[0], d->batch, p / (e[1] * e[2] * e[3])),
                                   sharing(e[1], d->heads, p / (e[2] * e[3]) % e[1]),
                                   sharing(e[2], d->queries, p / e[3] % e[2]),
                                   sharing(e[3], d->keys, p % e[3]));
        d->d_price[p] = d->add ? d->d_price[p] + sum : sum;
    }
}
