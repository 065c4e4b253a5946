/* products.c - matrix products: oneDNN's for the fast variants, the triple loop for `plain`. */
#include "engine/device/cpu/variants.h"

#include <oneapi/dnnl/dnnl.h>

#include <string.h>

/* A number of bf16 is the upper half of one of fp32. */
static float widened(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Element (row, column) of a transposed or straight factor. */
static float element(const device_gemm *g, const void *x, int64_t stride, bool transpose,
                     int64_t row, int64_t column)
{
    int64_t at = transpose ? column * stride + row : row * stride + column;
    if (g->precision == DEVICE_BF16_STORED)
        return widened(((const uint16_t *)x)[at]);
    return ((const float *)x)[at];
}

static int64_t items_of(const device_gemm *g)
{
    return g->items > 1 ? g->items : 1;
}

/* One product of a batch. */
static device_gemm item_of(const device_gemm *g, int64_t item)
{
    int64_t size = g->precision == DEVICE_BF16_STORED ? sizeof(uint16_t) : sizeof(float);
    device_gemm one = *g;
    one.a = (const char *)g->a + item * g->step_a * size;
    one.b = (const char *)g->b + item * g->step_b * size;
    one.c = g->c + item * g->step_c;
    one.items = 1;
    return one;
}

static void multiply_plain(const device_gemm *g)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            double sum = g->add ? g->c[i * g->ldc + j] : g->bias != NULL ? g->bias[j] : 0.0;
            for (int64_t k = 0; k < g->k; k++)
                sum += (double)element(g, g->a, g->lda, g->transpose_a, i, k) *
                       element(g, g->b, g->ldb, g->transpose_b, k, j);
            g->c[i * g->ldc + j] = (float)(g->activation == DEVICE_RELU && sum < 0.0 ? 0.0 : sum);
        }
}

void cpu_gemm_plain(const device_gemm *g)
{
    for (int64_t item = 0; item < items_of(g); item++) {
        device_gemm one = item_of(g, item);
        multiply_plain(&one);
    }
}

static void finish_row(const device_gemm *g, float *row)
{
    if (g->bias != NULL) {
#pragma omp simd
        for (int64_t j = 0; j < g->n; j++)
            row[j] += g->bias[j];
    }
    if (g->activation == DEVICE_RELU) {
#pragma omp simd
        for (int64_t j = 0; j < g->n; j++)
            row[j] = row[j] < 0.0f ? 0.0f : row[j];
    }
}

/* C = activation(C + bias), in one pass. */
static void finish(const device_gemm *g)
{
    if (g->bias == NULL && g->activation == DEVICE_IDENTITY)
        return;
#pragma omp parallel for schedule(static) if (g->m * g->n >= 1 << 15)
    for (int64_t i = 0; i < g->m; i++)
        finish_row(g, g->c + i * g->ldc);
}

static void multiply(const device_gemm *g)
{
    /* A sum over nothing is left to the plain product, which clears C or keeps it. So are factors
     * stored as bf16, which the CPU does not ask for, and a product that oneDNN refuses, for want
     * of scratch memory say: kernels have no way to fail. */
    bool done =
        g->k > 0 && g->precision != DEVICE_BF16_STORED &&
        dnnl_sgemm(g->transpose_a ? 'T' : 'N', g->transpose_b ? 'T' : 'N', g->m, g->n, g->k, 1.0f,
                   g->a, g->lda, g->b, g->ldb, g->add ? 1.0f : 0.0f, g->c, g->ldc) == dnnl_success;
    if (done)
        finish(g);
    else
        multiply_plain(g);
}

void cpu_gemm(const device_gemm *g)
{
    for (int64_t item = 0; item < items_of(g); item++) {
        device_gemm one = item_of(g, item);
        multiply(&one);
    }
}
