/* activation.cu - activation functions and the gated product, forward and backward.
 *
 * Bound by memory: which function it is, is the same for all threads, and an exponential costs less
 * than the 8 to 20 bytes that it is computed for. Not measured. */
#include "kernels.h"
#include "pack.h"

#include <math.h>

static __device__ inline float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* sigmoid(x) sigmoid(-x), without the cancellation of 1 - sigmoid. */
static __device__ inline float sigmoid_slope(float x)
{
    float e = expf(-fabsf(x));
    return e / ((1.0f + e) * (1.0f + e));
}

/* Phi(x): the complementary error function keeps the digits of the lower tail. */
static __device__ inline float normal_cumulative(float x)
{
    return 0.5f * erfcf(-0.707106781f * x);
}

static __device__ inline float value_of(device_activation f, float x)
{
    switch (f) {
    case DEVICE_IDENTITY:
        return x;
    case DEVICE_RELU:
        return x < 0.0f ? 0.0f : x;
    case DEVICE_GELU:
        return x * normal_cumulative(x);
    case DEVICE_SIGMOID:
        return sigmoid(x);
    case DEVICE_SILU:
        return x * sigmoid(x);
    case DEVICE_TANH:
        return tanhf(x);
    case DEVICE_LOG_SIGMOID:
        return (x < 0.0f ? x : 0.0f) - log1pf(expf(-fabsf(x)));
    case DEVICE_EXP:
        return expf(x);
    }
    return x;
}

static __device__ inline float slope_of(device_activation f, float x)
{
    switch (f) {
    case DEVICE_IDENTITY:
        return 1.0f;
    case DEVICE_RELU:
        return x > 0.0f ? 1.0f : 0.0f;
    case DEVICE_GELU:
        return normal_cumulative(x) + x * (0.398942280f * expf(-0.5f * (x * x)));
    case DEVICE_SIGMOID:
        return sigmoid_slope(x);
    case DEVICE_SILU:
        return sigmoid(x) + x * sigmoid_slope(x);
    case DEVICE_TANH:
        return 4.0f * sigmoid_slope(2.0f * x);
    case DEVICE_LOG_SIGMOID:
        return sigmoid(-x);
    case DEVICE_EXP:
        return expf(x);
    }
    return 1.0f;
}

/* z is written where it gains a bias and y is another array; y may be z. */
template <int V>
static __global__ void bias_activation_packs(device_activation f, int64_t n, int64_t width,
                                             float *z, const float *bias, float *y)
{
    CUDA_EACH(p, n / V)
    {
        int64_t i = p * V;
        cuda_pack<float, V> pack = cuda_load<V>(z + i);
        if (bias != NULL) {
            cuda_pack<float, V> shift = cuda_load<V>(bias + cuda_divide(i, width).rest);
            for (int k = 0; k < V; k++)
                pack.at[k] += shift.at[k];
            if (y != z)
                cuda_store(z + i, pack);
        }
        for (int k = 0; k < V; k++)
            pack.at[k] = value_of(f, pack.at[k]);
        cuda_store(y + i, pack);
    }
}

extern "C" void cuda_bias_activation(device_activation f, int64_t rows, int64_t width, float *z,
                                     const float *bias, float *y)
{
    int64_t n = rows * width;
    bool packed = width % 4 == 0 && cuda_aligned(z, bias, y);
    CUDA_LAUNCH_PACKS(bias_activation, packed, n, f, n, width, z, bias, y);
}

template <int V>
static __global__ void activation_packs(device_activation f, int64_t n, const float *x, float *y)
{
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> pack = cuda_load<V>(x + p * V);
        for (int k = 0; k < V; k++)
            pack.at[k] = value_of(f, pack.at[k]);
        cuda_store(y + p * V, pack);
    }
}

extern "C" void cuda_activation(device_activation f, int64_t n, const float *x, float *y)
{
    bool packed = n % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_PACKS(activation, packed, n, f, n, x, y);
}

template <int V>
static __global__ void d_activation_packs(device_activation f, int64_t n, const float *x,
                                          const float *d_y, float *d_x, bool add)
{
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> pack = cuda_load<V>(x + p * V), g = cuda_load<V>(d_y + p * V);
        for (int k = 0; k < V; k++)
            pack.at[k] = g.at[k] * slope_of(f, pack.at[k]);
        cuda_put(d_x + p * V, pack, add);
    }
}

extern "C" void cuda_d_activation(device_activation f, int64_t n, const float *x, const float *d_y,
                                  float *d_x, bool add)
{
    bool packed = n % 4 == 0 && cuda_aligned(x, d_y, d_x);
    CUDA_LAUNCH_PACKS(d_activation, packed, n, f, n, x, d_y, d_x, add);
}

/* ---- h = silu(g) u ---- */

template <int V>
static __global__ void silu_product_packs(int64_t n, const float *g, const float *u, float *h)
{
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> gate = cuda_load<V>(g + p * V), up = cuda_load<V>(u + p * V);
        for (int k = 0; k < V; k++)
            up.at[k] *= gate.at[k] * sigmoid(gate.at[k]);
        cuda_store(h + p * V, up);
    }
}

extern "C" void cuda_silu_product(int64_t n, const float *g, const float *u, float *h)
{
    bool packed = n % 4 == 0 && cuda_aligned(g, u, h);
    CUDA_LAUNCH_PACKS(silu_product, packed, n, n, g, u, h);
}

/* d_g = d_h u silu'(g), d_u = d_h silu(g); both read before either is written. */
template <int V>
static __global__ void d_silu_product_packs(int64_t n, const float *g, const float *u,
                                            const float *d_h, float *d_g, bool add_g, float *d_u,
                                            bool add_u)
{
    CUDA_EACH(p, n / V)
    {
        int64_t i = p * V;
        cuda_pack<float, V> gate = cuda_load<V>(g + i), up = cuda_load<V>(u + i);
        cuda_pack<float, V> d = cuda_load<V>(d_h + i);
        for (int k = 0; k < V; k++) {
            float x = gate.at[k];
            float by_gate = d.at[k] * up.at[k] * slope_of(DEVICE_SILU, x);
            up.at[k] = d.at[k] * (x * sigmoid(x));
            gate.at[k] = by_gate;
        }
        cuda_put(d_g + i, gate, add_g);
        cuda_put(d_u + i, up, add_u);
    }
}

extern "C" void cuda_d_silu_product(int64_t n, const float *g, const float *u, const float *d_h,
                                    float *d_g, bool add_g, float *d_u, bool add_u)
{
    bool packed = n % 4 == 0 && cuda_aligned(g, u, d_h, d_g, d_u);
    CUDA_LAUNCH_PACKS(d_silu_product, packed, n, n, g, u, d_h, d_g, add_g, d_u, add_u);
}
