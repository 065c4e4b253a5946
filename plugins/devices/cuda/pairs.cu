/* pairs.cu - prices of pairs of a query and a key: inside a history, and of keys that are closed.
 *
 * A block takes a row of keys forwards and a price backwards, whose pairs it adds up in double.
 * Bound by memory. Not measured. */
#include "kernels.h"
#include "launch.h"

#include <math.h>

/* The indices that share a price's place `at` along an axis: one of them, or all. */
typedef struct pair_range {
    int64_t first, end;
} pair_range;

static __device__ inline pair_range sharing(int64_t extent, int64_t all, int64_t at)
{
    pair_range range = {extent == all ? at : 0, extent == all ? at + 1 : all};
    return range;
}

/* ---- inside a history ---- */

static __device__ inline bool in_history(const device_history &d, int64_t b, int64_t i, int64_t j)
{
    return i >= d.span[2 * b] && j > i && j < d.span[2 * b + 1];
}

static __global__ void history_prices(device_history d)
{
    for (int64_t r = blockIdx.x; r < d.batch * d.tokens; r += gridDim.x) {
        int64_t b = r / d.tokens, i = r % d.tokens;
        const float *price = d.price + b * d.stride[0] + i * d.stride[1];
        for (int64_t j = threadIdx.x; j < d.tokens; j += blockDim.x)
            d.y[r * d.tokens + j] = in_history(d, b, i, j) ? price[j * d.stride[2]] : -INFINITY;
    }
}

extern "C" void cuda_history_prices(const device_history *history)
{
    CUDA_LAUNCH(history_prices, cuda_blocks(history->batch * history->tokens, 1), CUDA_ROW_BLOCK, 0,
                *history);
}

static __global__ void d_history_prices(device_history d)
{
    int64_t n = d.extent[0] * d.extent[1] * d.extent[2];
    for (int64_t p = blockIdx.x; p < n; p += gridDim.x) {
        pair_range bs = sharing(d.extent[0], d.batch, p / (d.extent[1] * d.extent[2]));
        pair_range is = sharing(d.extent[1], d.tokens, p / d.extent[2] % d.extent[1]);
        pair_range js = sharing(d.extent[2], d.tokens, p % d.extent[2]);
        double sum = 0.0;
        for (int64_t b = bs.first; b < bs.end; b++)
            for (int64_t i = is.first; i < is.end; i++)
                for (int64_t j = js.first + threadIdx.x; j < js.end; j += blockDim.x)
                    if (in_history(d, b, i, j))
                        sum += d.d_y[(b * d.tokens + i) * d.tokens + j];
        sum = cuda_block_sum(sum);
        if (threadIdx.x == 0)
            d.d_price[p] = (float)(d.add ? d.d_price[p] + sum : sum);
    }
}

extern "C" void cuda_d_history_prices(const device_history *history)
{
    int64_t n = history->extent[0] * history->extent[1] * history->extent[2];
    CUDA_LAUNCH(d_history_prices, cuda_blocks(n, 1), CUDA_ROW_BLOCK, 0, *history);
}

/* ---- windows ---- */

static __global__ void window_prices(int64_t rows, int64_t tokens, const int32_t *window, float *y)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        int64_t first = window[2 * r], end = window[2 * r + 1];
        for (int64_t j = threadIdx.x; j < tokens; j += blockDim.x)
            y[r * tokens + j] = j >= first && j < end ? 0.0f : -INFINITY;
    }
}

extern "C" void cuda_window_prices(int64_t batch, int64_t tokens, const int32_t *window, float *y)
{
    CUDA_LAUNCH(window_prices, cuda_blocks(batch * tokens, 1), CUDA_ROW_BLOCK, 0, batch * tokens,
                tokens, window, y);
}

/* ---- closed keys ---- */

/* Whether the pair pays the price that is given. */
static __device__ inline bool is_priced(const device_closing &d, int64_t b, int64_t i, int64_t j)
{
    if (!d.whole)
        return true;
    if (j <= i)
        return false;
    if (d.span == NULL)
        return true;
    int64_t first = d.span[2 * b], end = d.span[2 * b + 1];
    return i < first || j < first || i >= end || j >= end;
}

/* What the pair pays because its key is closed. */
static __device__ inline float closed_price(const device_closing &d, int64_t b, int64_t i,
                                            int64_t j)
{
    float price = d.always != NULL ? d.always[b * d.keys + j] : 0.0f;
    if (d.future != NULL && (!d.whole || j > i))
        price += d.future[b * d.keys + j];
    return price;
}

static __global__ void close_keys(device_closing d)
{
    for (int64_t r = blockIdx.x; r < d.batch * d.heads * d.queries; r += gridDim.x) {
        int64_t i = r % d.queries, h = r / d.queries % d.heads, b = r / (d.queries * d.heads);
        const float *price = d.price + b * d.stride[0] + h * d.stride[1] + i * d.stride[2];
        for (int64_t j = threadIdx.x; j < d.keys; j += blockDim.x)
            d.y[r * d.keys + j] =
                closed_price(d, b, i, j) + (is_priced(d, b, i, j) ? price[j * d.stride[3]] : 0.0f);
    }
}

extern "C" void cuda_close_keys(const device_closing *closing)
{
    int64_t rows = closing->batch * closing->heads * closing->queries;
    CUDA_LAUNCH(close_keys, cuda_blocks(rows, 1), CUDA_ROW_BLOCK, 0, *closing);
}

static __global__ void d_close_keys(device_closing d)
{
    const int64_t *e = d.extent;
    int64_t n = e[0] * e[1] * e[2] * e[3];
    for (int64_t p = blockIdx.x; p < n; p += gridDim.x) {
        pair_range bs = sharing(e[0], d.batch, p / (e[1] * e[2] * e[3]));
        pair_range hs = sharing(e[1], d.heads, p / (e[2] * e[3]) % e[1]);
        pair_range is = sharing(e[2], d.queries, p / e[3] % e[2]);
        pair_range js = sharing(e[3], d.keys, p % e[3]);
        double sum = 0.0;
        for (int64_t b = bs.first; b < bs.end; b++)
            for (int64_t h = hs.first; h < hs.end; h++)
                for (int64_t i = is.first; i < is.end; i++)
                    for (int64_t j = js.first + threadIdx.x; j < js.end; j += blockDim.x)
                        if (is_priced(d, b, i, j) && closed_price(d, b, i, j) == 0.0f)
                            sum += d.d_y[((b * d.heads + h) * d.queries + i) * d.keys + j];
        sum = cuda_block_sum(sum);
        if (threadIdx.x == 0)
            d.d_price[p] = (float)(d.add ? d.d_price[p] + sum : sum);
    }
}

extern "C" void cuda_d_close_keys(const device_closing *closing)
{
    const int64_t *e = closing->extent;
    CUDA_LAUNCH(d_close_keys, cuda_blocks(e[0] * e[1] * e[2] * e[3], 1), CUDA_ROW_BLOCK, 0,
                *closing);
}
