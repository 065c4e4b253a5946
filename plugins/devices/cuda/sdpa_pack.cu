/* sdpa_pack.cu - a call's rows into cuDNN's form for attention and back: bf16, rotated, without the
 * tokens that the lengths hide (sdpa.h).
 *
 * A thread takes four neighbouring numbers of each half of a head, or one. Bound by memory. Not
 * measured. */
#include "pack.h"
#include "sdpa.h"

/* ---- bf16: the upper half of an fp32 number, rounded to even ---- */

static __device__ inline uint16_t sdpa_narrow(float x)
{
    const unsigned bits = __float_as_uint(x);
    if (isnan(x))
        return (uint16_t)(bits >> 16 | 0x40u); /* rounding could make an infinity of it */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static __device__ inline float sdpa_wide(uint16_t x)
{
    return __uint_as_float((unsigned)x << 16);
}

/* Valid tokens of item b, from nothing to all. */
static __device__ inline int64_t sdpa_valid(const int32_t *lengths, int64_t b, int64_t rows)
{
    const int64_t length = lengths != NULL ? lengths[b] : rows;
    return length < 0 ? 0 : length < rows ? length : rows;
}

/* Where a thread's pair of packs stands: at `k` of the first half of head `h`, token t of item
 * b. */
typedef struct sdpa_place {
    int64_t k, h, t, b;
} sdpa_place;

static __device__ inline sdpa_place sdpa_place_of(int64_t i, int64_t half, int64_t heads,
                                                  int64_t tokens)
{
    const cuda_quotient head = cuda_divide(i, half), row = cuda_divide(head.whole, heads);
    const cuda_quotient item = cuda_divide(row.whole, tokens);
    sdpa_place place = {head.rest, row.rest, item.rest, item.whole};
    return place;
}

/* Both halves of a pair of packs, turned by the token's angle: by +1 forwards, by -1 back. */
template <int V>
static __device__ inline void sdpa_turn(const sdpa_rows &at, const sdpa_place &place, float sign,
                                        cuda_pack<float, V> *a, cuda_pack<float, V> *b)
{
    if (at.cosine == NULL)
        return;
    const int64_t angle = place.t * (at.width / 2) + place.k;
    const cuda_pack<float, V> c = cuda_load<V>(at.cosine + angle),
                              s = cuda_load<V>(at.sine + angle);
    for (int i = 0; i < V; i++) {
        const float first = a->at[i] * c.at[i] - b->at[i] * (sign * s.at[i]);
        b->at[i] = b->at[i] * c.at[i] + a->at[i] * (sign * s.at[i]);
        a->at[i] = first;
    }
}

static __device__ inline float sdpa_number(float x)
{
    return x;
}

static __device__ inline float sdpa_number(uint16_t x)
{
    return sdpa_wide(x);
}

template <int V, typename T> static __device__ inline cuda_pack<float, V> sdpa_load(const T *x)
{
    const cuda_pack<T, V> from = cuda_load<V>(x);
    cuda_pack<float, V> to;
    for (int i = 0; i < V; i++)
        to.at[i] = sdpa_number(from.at[i]);
    return to;
}

template <int V> static __device__ inline void sdpa_put(float *x, cuda_pack<float, V> y, bool add)
{
    cuda_put(x, y, add);
}

template <int V> static __device__ inline void sdpa_put(uint16_t *x, cuda_pack<float, V> y, bool)
{
    cuda_pack<uint16_t, V> narrow;
    for (int i = 0; i < V; i++)
        narrow.at[i] = sdpa_narrow(y.at[i]);
    cuda_store(x, narrow);
}

template <int V, typename T>
static __global__ void sdpa_pack_rows(int64_t n, const sdpa_rows at, const T *rows,
                                      uint16_t *packed)
{
    const int64_t half = at.width / 2;
    CUDA_EACH(p, n / V)
    {
        const sdpa_place place = sdpa_place_of(p * V, half, at.heads, at.tokens);
        cuda_pack<float, V> a = cuda_same<V>(0.0f), b = cuda_same<V>(0.0f);
        if (place.t < sdpa_valid(at.lengths, place.b, at.rows)) {
            const T *from =
                rows + (place.b * at.rows + place.t) * at.stride + place.h * at.width + place.k;
            a = sdpa_load<V>(from);
            b = sdpa_load<V>(from + half);
            sdpa_turn<V>(at, place, 1.0f, &a, &b);
        }
        uint16_t *to =
            packed + ((place.b * at.tokens + place.t) * at.heads + place.h) * at.width + place.k;
        sdpa_put<V>(to, a, false);
        sdpa_put<V>(to + half, b, false);
    }
}

template <int V, typename T>
static __global__ void sdpa_unpack_rows(int64_t n, const sdpa_rows at, const uint16_t *packed,
                                        T *rows, bool add)
{
    const int64_t half = at.width / 2;
    CUDA_EACH(p, n / V)
    {
        const sdpa_place place = sdpa_place_of(p * V, half, at.heads, at.rows);
        cuda_pack<float, V> a = cuda_same<V>(0.0f), b = cuda_same<V>(0.0f);
        if (place.t < sdpa_valid(at.lengths, place.b, at.rows)) {
            const uint16_t *from =
                packed + ((place.b * at.tokens + place.t) * at.heads + place.h) * at.width +
                place.k;
            a = sdpa_load<V>(from);
            b = sdpa_load<V>(from + half);
            sdpa_turn<V>(at, place, -1.0f, &a, &b);
        } else if (add) {
            continue;
        }
        T *to = rows + (place.b * at.rows + place.t) * at.stride + place.h * at.width + place.k;
        sdpa_put<V>(to, a, add);
        sdpa_put<V>(to + half, b, add);
    }
}

/* Heads are multiples of 8 wide, so that packed rows and tables divide into packs of four. */
static bool sdpa_divides(const sdpa_rows *at, const void *rows)
{
    return at->stride % 4 == 0 && cuda_aligned(rows, at->cosine, at->sine);
}

/* Launches kernel<4, T> or kernel<1, T> over the pairs of `tokens` tokens of each item. */
#define SDPA_LAUNCH(name, T, tokens, rows, ...)                                                    \
    do {                                                                                           \
        const int64_t n = at->batch * (tokens)*at->heads * (at->width / 2);                        \
        const bool packs = sdpa_divides(at, rows);                                                 \
        auto kernel = packs ? name<4, T> : name<1, T>;                                             \
        CUDA_LAUNCH(kernel, cuda_blocks(packs ? n / 4 : n, CUDA_BLOCK), CUDA_BLOCK, 0, n, *at,     \
                    __VA_ARGS__);                                                                  \
    } while (0)

extern "C" void sdpa_pack(const sdpa_rows *at, const float *rows, uint16_t *packed)
{
    SDPA_LAUNCH(sdpa_pack_rows, float, at->tokens, rows, rows, packed);
}

extern "C" void sdpa_pack_narrow(const sdpa_rows *at, const uint16_t *rows, uint16_t *packed)
{
    SDPA_LAUNCH(sdpa_pack_rows, uint16_t, at->tokens, rows, rows, packed);
}

extern "C" void sdpa_unpack(const sdpa_rows *at, const uint16_t *packed, float *rows, bool add)
{
    SDPA_LAUNCH(sdpa_unpack_rows, float, at->rows, rows, packed, rows, add);
}

extern "C" void sdpa_unpack_narrow(const sdpa_rows *at, const uint16_t *packed, uint16_t *rows)
{
    SDPA_LAUNCH(sdpa_unpack_rows, uint16_t, at->rows, rows, packed, rows, false);
}

/* ---- lengths and rows' sums ---- */

static __global__ void sdpa_valid_rows(int64_t batch, int64_t rows, const int32_t *lengths,
                                       int32_t *valid)
{
    CUDA_EACH(b, batch)
    {
        valid[b] = (int32_t)sdpa_valid(lengths, b, rows);
    }
}

extern "C" void sdpa_lengths(int64_t batch, int64_t rows, const int32_t *lengths, int32_t *valid)
{
    CUDA_LAUNCH(sdpa_valid_rows, cuda_blocks(batch, CUDA_BLOCK), CUDA_BLOCK, 0, batch, rows,
                lengths, valid);
}

static __global__ void sdpa_copy_sums(int64_t n, int64_t heads, int64_t from_rows, int64_t to_rows,
                                      const int32_t *valid, const float *from, float *to)
{
    CUDA_EACH(i, n)
    {
        const cuda_quotient row = cuda_divide(i, to_rows);
        const int64_t b = cuda_divide(row.whole, heads).whole;
        to[i] = row.rest < valid[b] ? from[row.whole * from_rows + row.rest] : INFINITY;
    }
}

extern "C" void sdpa_sums(int64_t batch, int64_t heads, int64_t from_rows, int64_t to_rows,
                          const int32_t *valid, const float *from, float *to)
{
    const int64_t n = batch * heads * to_rows;
    CUDA_LAUNCH(sdpa_copy_sums, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, heads, from_rows,
                to_rows, valid, from, to);
}
