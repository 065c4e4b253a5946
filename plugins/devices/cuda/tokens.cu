/* tokens.cu - moving rows of tokens: rotary positions, masks, strided copies and patches (tables
 * are in tables.cu).
 *
 * A thread takes four neighbouring numbers, or one. Bound by memory. Not measured. */
#include "columns.h"
#include "kernels.h"

/* ---- rotary positions ---- */

/* The pairs of all heads of all tokens, in order: pack p of them is at k of some head's half. */
template <int V>
static __global__ void rotary_packs(int64_t pairs, int64_t tokens, int64_t heads,
                                    int64_t head_width, int64_t start, const float *cosine,
                                    const float *sine, const float *x, float *y, float sign,
                                    bool add)
{
    int64_t half = head_width / 2;
    CUDA_EACH(p, pairs / V)
    {
        cuda_quotient head = cuda_divide(p * V, half); /* (token, head), and k */
        int64_t t = start + cuda_divide(cuda_divide(head.whole, heads).whole, tokens).rest;
        cuda_pack<float, V> c = cuda_load<V>(cosine + t * half + head.rest);
        cuda_pack<float, V> s = cuda_load<V>(sine + t * half + head.rest);
        int64_t i = head.whole * head_width + head.rest;
        cuda_pack<float, V> a = cuda_load<V>(x + i), b = cuda_load<V>(x + i + half);
        for (int k = 0; k < V; k++) {
            float first = a.at[k] * c.at[k] - b.at[k] * (sign * s.at[k]);
            b.at[k] = b.at[k] * c.at[k] + a.at[k] * (sign * s.at[k]);
            a.at[k] = first;
        }
        cuda_put(y + i, a, add);
        cuda_put(y + i + half, b, add);
    }
}

extern "C" void cuda_rotary(int64_t batch, int64_t tokens, int64_t heads, int64_t head_width,
                            int64_t start, const float *cosine, const float *sine, const float *x,
                            float *y, bool backward, bool add)
{
    int64_t half = head_width / 2, pairs = batch * tokens * heads * half;
    bool packed = half % 4 == 0 && head_width % 4 == 0 && cuda_aligned(cosine, sine, x, y);
    CUDA_LAUNCH_PACKS(rotary, packed, pairs, pairs, tokens, heads, head_width, start, cosine, sine,
                      x, y, backward ? -1.0f : 1.0f, add);
}

/* ---- masks by length ---- */

/* Valid tokens of batch item b, at most `tokens`. */
static __device__ inline int64_t length_of(const int32_t *lengths, int64_t b, int64_t tokens)
{
    int64_t length = lengths != NULL ? lengths[b] : tokens;
    return length < tokens ? length : tokens;
}

/* A block takes some columns of one batch item after another. */
template <int V>
static __global__ void masked_mean_columns(int64_t batch, int64_t tokens, int64_t width, int span,
                                           int64_t column_blocks, const float *x,
                                           const int32_t *lengths, float *y)
{
    for (int64_t task = blockIdx.x; task < batch * column_blocks; task += gridDim.x) {
        int64_t b = task / column_blocks, length = length_of(lengths, b, tokens);
        cuda_column_place at = cuda_column_of<V>(task % column_blocks, span);
        const float *rows = x + b * tokens * width + at.column;
        cuda_pack<float, V> sum = cuda_same<V>(0.0f);
        if (at.column < width)
            for (int64_t t = at.row; t < length; t += at.step) {
                cuda_pack<float, V> from = cuda_load<V>(rows + t * width);
                for (int k = 0; k < V; k++)
                    sum.at[k] += from.at[k];
            }
        sum = cuda_add_rows(sum, span);
        for (int k = 0; k < V; k++)
            sum.at[k] = length > 0 ? sum.at[k] / (float)length : 0.0f;
        if (at.column < width && (int)threadIdx.x < span)
            cuda_store(y + b * width + at.column, sum);
    }
}

extern "C" void cuda_masked_mean(int64_t batch, int64_t tokens, int64_t width, const float *x,
                                 const int32_t *lengths, float *y)
{
    bool packed = width % 4 == 0 && cuda_aligned(x, y);
    int64_t column_blocks = cuda_column_blocks(width, packed);
    auto masked_mean = packed ? masked_mean_columns<4> : masked_mean_columns<1>;
    CUDA_LAUNCH(masked_mean, cuda_blocks(batch * column_blocks, 1), CUDA_COLUMN_THREADS, 0, batch,
                tokens, width, cuda_column_span(width, packed), column_blocks, x, lengths, y);
}

template <int V>
static __global__ void d_masked_mean_packs(int64_t n, int64_t tokens, int64_t width,
                                           const float *d_y, const int32_t *lengths, float *d_x,
                                           bool add)
{
    CUDA_EACH(p, n / V)
    {
        cuda_quotient row = cuda_divide(p * V, width), item = cuda_divide(row.whole, tokens);
        int64_t length = length_of(lengths, item.whole, tokens);
        cuda_pack<float, V> g = cuda_same<V>(0.0f);
        if (item.rest < length)
            g = cuda_load<V>(d_y + item.whole * width + row.rest);
        else if (add)
            continue;
        for (int k = 0; k < V; k++)
            g.at[k] = item.rest < length ? g.at[k] / (float)length : 0.0f;
        cuda_put(d_x + p * V, g, add);
    }
}

extern "C" void cuda_d_masked_mean(int64_t batch, int64_t tokens, int64_t width, const float *d_y,
                                   const int32_t *lengths, float *d_x, bool add)
{
    int64_t n = batch * tokens * width;
    bool packed = width % 4 == 0 && cuda_aligned(d_y, d_x);
    CUDA_LAUNCH_PACKS(d_masked_mean, packed, n, n, tokens, width, d_y, lengths, d_x, add);
}

/* What stands at a masked token is never read. */
template <int V>
static __global__ void mask_rows_packs(int64_t n, int64_t tokens, int64_t width, const float *x,
                                       const int32_t *lengths, float *y, bool add)
{
    CUDA_EACH(p, n / V)
    {
        cuda_quotient item = cuda_divide(cuda_divide(p * V, width).whole, tokens);
        if (item.rest < length_of(lengths, item.whole, tokens))
            cuda_put(y + p * V, cuda_load<V>(x + p * V), add);
        else if (!add)
            cuda_store(y + p * V, cuda_same<V>(0.0f));
    }
}

extern "C" void cuda_mask_rows(int64_t batch, int64_t tokens, int64_t width, const float *x,
                               const int32_t *lengths, float *y, bool add)
{
    int64_t n = batch * tokens * width;
    bool packed = width % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_PACKS(mask_rows, packed, n, n, tokens, width, x, lengths, y, add);
}

/* ---- strided copies and patches ---- */

template <int V>
static __global__ void copy_rows_packs(int64_t n, int64_t width, const float *src,
                                       int64_t src_stride, float *dst, int64_t dst_stride, bool add)
{
    CUDA_EACH(p, n / V)
    {
        cuda_quotient at = cuda_divide(p * V, width); /* row and column */
        cuda_put(dst + at.whole * dst_stride + at.rest,
                 cuda_load<V>(src + at.whole * src_stride + at.rest), add);
    }
}

extern "C" void cuda_copy_rows(int64_t rows, int64_t width, const float *src, int64_t src_stride,
                               float *dst, int64_t dst_stride, bool add)
{
    int64_t n = rows * width;
    bool packed =
        width % 4 == 0 && src_stride % 4 == 0 && dst_stride % 4 == 0 && cuda_aligned(src, dst);
    CUDA_LAUNCH_PACKS(copy_rows, packed, n, n, width, src, src_stride, dst, dst_stride, add);
}

/* Where element e of the patches (B, gy, gx, C, P, P) stands in the image (B, C, gy P, gx P). */
static __device__ inline int64_t pixel_of(int64_t e, int64_t channels, int64_t grid_y,
                                          int64_t grid_x, int64_t side)
{
    cuda_quotient j = cuda_divide(e, side), i = cuda_divide(j.whole, side);
    cuda_quotient c = cuda_divide(i.whole, channels), x = cuda_divide(c.whole, grid_x);
    cuda_quotient y = cuda_divide(x.whole, grid_y); /* and the batch item */
    int64_t line = ((y.whole * channels + c.rest) * grid_y + y.rest) * side + i.rest;
    return (line * grid_x + x.rest) * side + j.rest;
}

template <int V>
static __global__ void cut_patches_packs(int64_t n, int64_t channels, int64_t grid_y,
                                         int64_t grid_x, int64_t side, const float *image,
                                         float *patches)
{
    CUDA_EACH(p, n / V)
    {
        int64_t pixel = pixel_of(p * V, channels, grid_y, grid_x, side);
        cuda_store(patches + p * V, cuda_load<V>(image + pixel));
    }
}

extern "C" void cuda_patches(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x,
                             int64_t side, const float *image, float *patches)
{
    int64_t n = batch * grid_y * grid_x * channels * side * side;
    bool packed = side % 4 == 0 && cuda_aligned(image, patches);
    CUDA_LAUNCH_PACKS(cut_patches, packed, n, n, channels, grid_y, grid_x, side, image, patches);
}

template <int V>
static __global__ void put_patches_packs(int64_t n, int64_t channels, int64_t grid_y,
                                         int64_t grid_x, int64_t side, const float *d_patches,
                                         float *d_image, bool add)
{
    CUDA_EACH(p, n / V)
    {
        int64_t pixel = pixel_of(p * V, channels, grid_y, grid_x, side);
        cuda_put(d_image + pixel, cuda_load<V>(d_patches + p * V), add);
    }
}

extern "C" void cuda_d_patches(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x,
                               int64_t side, const float *d_patches, float *d_image, bool add)
{
    int64_t n = batch * grid_y * grid_x * channels * side * side;
    bool packed = side % 4 == 0 && cuda_aligned(d_patches, d_image);
    CUDA_LAUNCH_PACKS(put_patches, packed, n, n, channels, grid_y, grid_x, side, d_patches, d_image,
                      add);
}
