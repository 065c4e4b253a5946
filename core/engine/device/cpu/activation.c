/* cpu/activation.c - activation functions and the gated product, forward and backward. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

#if ASSAY_PLAIN

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double normal_cumulative(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double value_of(device_activation f, double x)
{
    switch (f) {
    case DEVICE_IDENTITY:
        return x;
    case DEVICE_RELU:
        return x < 0.0 ? 0.0 : x;
    case DEVICE_GELU:
        return x * normal_cumulative(x);
    case DEVICE_SIGMOID:
        return sigmoid(x);
    case DEVICE_SILU:
        return x * sigmoid(x);
    case DEVICE_TANH:
        return tanh(x);
    case DEVICE_LOG_SIGMOID:
        return fmin(x, 0.0) - log1p(exp(-fabs(x)));
    case DEVICE_EXP:
        return exp(x);
    }
    return x;
}

static double slope_of(device_activation f, double x)
{
    switch (f) {
    case DEVICE_IDENTITY:
        return 1.0;
    case DEVICE_RELU:
        return x > 0.0;
    case DEVICE_GELU:
        return normal_cumulative(x) + x * exp(-0.5 * x * x) / sqrt(2.0 * M_PI);
    case DEVICE_SIGMOID:
        return sigmoid(x) * sigmoid(-x);
    case DEVICE_SILU:
        return sigmoid(x) + x * sigmoid(x) * sigmoid(-x);
    case DEVICE_TANH:
        return 4.0 * sigmoid(2.0 * x) * sigmoid(-2.0 * x);
    case DEVICE_LOG_SIGMOID:
        return sigmoid(-x);
    case DEVICE_EXP:
        return exp(x);
    }
    return 1.0;
}

void KERNEL(bias_activation)(device_activation f, int64_t rows, int64_t width, float *z,
                             const float *bias, float *y)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            int64_t i = r * width + c;
            z[i] = bias != NULL ? z[i] + bias[c] : z[i];
            y[i] = (float)value_of(f, z[i]);
        }
}

void KERNEL(activation)(device_activation f, int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)value_of(f, x[i]);
}

void KERNEL(d_activation)(device_activation f, int64_t n, const float *x, const float *d_y,
                          float *d_x, bool add)
{
    for (int64_t i = 0; i < n; i++)
        d_x[i] = (float)((add ? d_x[i] : 0.0) + d_y[i] * slope_of(f, x[i]));
}

void KERNEL(silu_product)(int64_t n, const float *g, const float *u, float *h)
{
    for (int64_t i = 0; i < n; i++)
        h[i] = (float)(value_of(DEVICE_SILU, g[i]) * u[i]);
}

void KERNEL(d_silu_product)(int64_t n, const float *g, const float *u, const float *d_h, float *d_g,
                            bool add_g, float *d_u, bool add_u)
{
    for (int64_t i = 0; i < n; i++) {
        double by_g = d_h[i] * u[i] * slope_of(DEVICE_SILU, g[i]);
        double by_u = d_h[i] * value_of(DEVICE_SILU, g[i]);
        d_g[i] = (float)((add_g ? d_g[i] : 0.0) + by_g);
        d_u[i] = (float)((add_u ? d_u[i] : 0.0) + by_u);
    }
}

#else

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* sigmoid(x) sigmoid(-x), without the cancellation of 1 - sigmoid. */
static inline float sigmoid_slope(float x)
{
    float e = fast_exp(-fabsf(x));
    return e / ((1.0f + e) * (1.0f + e));
}

/* What follows is inlined with constant `f` and flags, so that every case gets a loop of its own:
 * gcc vectorises no loop that keeps such a choice inside and is too long to be split by itself. */
static ALWAYS_INLINE float value_of(const device_activation f, float x)
{
    switch (f) {
    case DEVICE_IDENTITY:
        return x;
    case DEVICE_RELU:
        return x < 0.0f ? 0.0f : x;
    case DEVICE_GELU:
        return x * fast_normal(x).cumulative;
    case DEVICE_SIGMOID:
        return fast_sigmoid(x);
    case DEVICE_SILU:
        return x * fast_sigmoid(x);
    case DEVICE_TANH:
        return fast_tanh(x);
    case DEVICE_LOG_SIGMOID:
        return fast_log_sigmoid(x);
    case DEVICE_EXP:
        return fast_exp(x);
    }
    return x;
}

static ALWAYS_INLINE float slope_of(const device_activation f, float x)
{
    switch (f) {
    case DEVICE_IDENTITY:
        return 1.0f;
    case DEVICE_RELU:
        return x > 0.0f ? 1.0f : 0.0f;
    case DEVICE_GELU: {
        fast_gauss gauss = fast_normal(x);
        return gauss.cumulative + x * gauss.density;
    }
    case DEVICE_SIGMOID:
        return sigmoid_slope(x);
    case DEVICE_SILU:
        return fast_sigmoid(x) + x * sigmoid_slope(x);
    case DEVICE_TANH:
        return 4.0f * sigmoid_slope(2.0f * x);
    case DEVICE_LOG_SIGMOID:
        return fast_sigmoid(-x);
    case DEVICE_EXP:
        return fast_exp(x);
    }
    return 1.0f;
}

#define EVERY_ACTIVATION(X)                                                                        \
    X(DEVICE_IDENTITY)                                                                             \
    X(DEVICE_RELU)                                                                                 \
    X(DEVICE_GELU)                                                                                 \
    X(DEVICE_SIGMOID)                                                                              \
    X(DEVICE_SILU)                                                                                 \
    X(DEVICE_TANH)                                                                                 \
    X(DEVICE_LOG_SIGMOID)                                                                          \
    X(DEVICE_EXP)

static ALWAYS_INLINE void forward_as(const device_activation f, int64_t n, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = value_of(f, x[i]);
}

static ALWAYS_INLINE void backward_as(const device_activation f, const bool add, int64_t n,
                                      const float *x, const float *d_y, float *d_x)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = d_y[i] * slope_of(f, x[i]);
        d_x[i] = add ? d_x[i] + g : g;
    }
}

static void forward(device_activation f, int64_t n, const float *x, float *y)
{
#define FORWARD_CASE(name)                                                                         \
    case name:                                                                                     \
        forward_as(name, n, x, y);                                                                 \
        break;
    switch (f) {
        EVERY_ACTIVATION(FORWARD_CASE)
    }
}

static void backward(device_activation f, int64_t n, const float *x, const float *d_y, float *d_x,
                     bool add)
{
#define BACKWARD_CASE(name)                                                                        \
    case name:                                                                                     \
        if (add)                                                                                   \
            backward_as(name, true, n, x, d_y, d_x);                                               \
        else                                                                                       \
            backward_as(name, false, n, x, d_y, d_x);                                              \
        break;
    switch (f) {
        EVERY_ACTIVATION(BACKWARD_CASE)
    }
}

void KERNEL(bias_activation)(device_activation f, int64_t rows, int64_t width, float *z,
                             const float *bias, float *y)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        float *row = z + r * width;
        if (bias != NULL) {
#pragma omp simd
            for (int64_t c = 0; c < width; c++)
                row[c] += bias[c];
        }
        forward(f, width, row, y + r * width);
    }
}

void KERNEL(activation)(device_activation f, int64_t n, const float *x, float *y)
{
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK)
        forward(f, block_end(first, n) - first, x + first, y + first);
}

void KERNEL(d_activation)(device_activation f, int64_t n, const float *x, const float *d_y,
                          float *d_x, bool add)
{
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK)
        backward(f, block_end(first, n) - first, x + first, d_y + first, d_x + first, add);
}

void KERNEL(silu_product)(int64_t n, const float *g, const float *u, float *h)
{
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
#pragma omp simd
        for (int64_t i = first; i < end; i++)
            h[i] = g[i] * fast_sigmoid(g[i]) * u[i];
    }
}

static ALWAYS_INLINE void d_silu_as(const bool add_g, const bool add_u, int64_t n, const float *g,
                                    const float *u, const float *d_h, float *d_g, float *d_u)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float e = fast_exp(-fabsf(g[i]));
        float inverse = 1.0f / (1.0f + e);
        float gate = g[i] < 0.0f ? e * inverse : inverse;
        float by_g = d_h[i] * u[i] * (gate + g[i] * (e * inverse * inverse));
        float by_u = d_h[i] * (g[i] * gate);
        d_g[i] = add_g ? d_g[i] + by_g : by_g;
        d_u[i] = add_u ? d_u[i] + by_u : by_u;
    }
}

static void d_silu(int64_t n, const float *g, const float *u, const float *d_h, float *d_g,
                   bool add_g, float *d_u, bool add_u)
{
    if (add_g && add_u)
        d_silu_as(true, true, n, g, u, d_h, d_g, d_u);
    else if (add_g)
        d_silu_as(true, false, n, g, u, d_h, d_g, d_u);
    else if (add_u)
        d_silu_as(false, true, n, g, u, d_h, d_g, d_u);
    else
        d_silu_as(false, false, n, g, u, d_h, d_g, d_u);
}

void KERNEL(d_silu_product)(int64_t n, const float *g, const float *u, const float *d_h, float *d_g,
                            bool add_g, float *d_u, bool add_u)
{
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t i = 0; i < n; i += KERNEL_BLOCK)
        d_silu(block_end(i, n) - i, g + i, u + i, d_h + i, d_g + i, add_g, d_u + i, add_u);
}

#endif
