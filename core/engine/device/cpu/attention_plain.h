/* cpu/attention_plain.h - attention as it is written down, in double: what the plain twins share.
 *
 *   S_ij = scale (R_p q_i) . (R_j k_j) + cost_ij,  p = query_start + i
 *   P_i  = softmax(S_i),  O_i = sum_j P_ij v_j
 *   dP_ij = dO_i . v_j,  dS_ij = P_ij (dP_ij - sum_j P_ij dP_ij)
 *   dq_i = scale R_p' sum_j dS_ij R_j k_j,  dk_j = scale R_j' sum_i dS_ij R_p q_i,  dv_j = sum_i
 * P_ij dO_i
 *
 * R is the rotation of the rotary tables, R' its inverse, and cost_ij is -infinity at hidden
 * pairs. */
#ifndef ASSAY_DEVICE_CPU_ATTENTION_PLAIN_H
#define ASSAY_DEVICE_CPU_ATTENTION_PLAIN_H

#include "engine/device/device.h"

#include <math.h>

static inline bool plain_inside_span(const device_attention *call, int64_t b, int64_t position)
{
    if (!call->span)
        return false;
    const int32_t *span = call->span + b * call->span_stride;
    return span[0] <= position && position < span[1];
}

/* Where the cost of a pair stands, counted from the start of log_weight. */
static inline int64_t plain_cost_index(const device_attention *call, int64_t b, int64_t h,
                                       int64_t i, int64_t j)
{
    const int64_t *stride = call->bias_stride;
    return b * stride[0] + h * stride[1] + i * stride[2] + j * stride[3];
}

/* Whether log_weight is added at a pair that is seen. */
static inline bool plain_is_charged(const device_attention *call, int64_t b, int64_t i, int64_t j)
{
    int64_t p = call->query_start + i;
    bool together = plain_inside_span(call, b, p) && plain_inside_span(call, b, j);
    return call->log_weight && (call->bias_everywhere || (j > p && !together));
}

static inline double plain_cost(const device_attention *call, int64_t b, int64_t h, int64_t i,
                                int64_t j)
{
    int64_t p = call->query_start + i;
    int64_t length = call->lengths ? call->lengths[b] : call->keys;
    bool together = plain_inside_span(call, b, p) && plain_inside_span(call, b, j);
    bool visible = j < length && p < length && (j <= p || call->future_open || together);
    if (!visible)
        return -(double)INFINITY;
    return plain_is_charged(call, b, i, j) ? call->log_weight[plain_cost_index(call, b, h, i, j)]
                                           : 0.0;
}

/* y = R x, or R' x when `back`. */
static inline void plain_rotate(const device_attention *call, int64_t position, bool back,
                                const double *x, double *y)
{
    const int64_t half = call->head_width / 2;
    for (int64_t t = 0; t < call->head_width; t++)
        y[t] = x[t];
    for (int64_t t = 0; call->cosine && t < half; t++) {
        double c = call->cosine[position * half + t], s = call->sine[position * half + t];
        if (back)
            s = -s;
        y[t] = x[t] * c - x[half + t] * s;
        y[half + t] = x[half + t] * c + x[t] * s;
    }
}

static inline void plain_rotate_floats(const device_attention *call, int64_t position,
                                       const float *x, double *raw, double *y)
{
    for (int64_t t = 0; t < call->head_width; t++)
        raw[t] = x[t];
    plain_rotate(call, position, false, raw, y);
}

static inline const float *plain_query(const device_attention *call, int64_t b, int64_t h,
                                       int64_t i)
{
    return call->q + (b * call->queries + i) * call->q_stride + h * call->head_width;
}

static inline int64_t plain_kv_head(const device_attention *call, int64_t h)
{
    return h / (call->heads / call->kv_heads);
}

/* Rows of key j, value j for kv head g. */
static inline const float *plain_key(const device_attention *call, int64_t b, int64_t g, int64_t j)
{
    return call->k + (b * call->keys + j) * call->k_stride + g * call->head_width;
}

static inline const float *plain_value(const device_attention *call, int64_t b, int64_t g,
                                       int64_t j)
{
    return call->v + (b * call->keys + j) * call->v_stride + g * call->head_width;
}

/* Three vectors of the head width, in scratch. */
typedef struct plain_vectors {
    double *raw, *q, *k;
} plain_vectors;

/* P_i into p (keys), all 0 for a row that sees nothing, and R q_i into vectors.q. Returns the log
 * of the row's sum of exp, +infinity for a row that sees nothing. */
static inline double plain_probabilities(const device_attention *call, int64_t b, int64_t h,
                                         int64_t i, plain_vectors vectors, double *p)
{
    plain_rotate_floats(call, call->query_start + i, plain_query(call, b, h, i), vectors.raw,
                        vectors.q);
    double top = -(double)INFINITY, sum = 0.0;
    for (int64_t j = 0; j < call->keys; j++) {
        p[j] = plain_cost(call, b, h, i, j);
        if (p[j] == -(double)INFINITY)
            continue;
        plain_rotate_floats(call, j, plain_key(call, b, plain_kv_head(call, h), j), vectors.raw,
                            vectors.k);
        double dot = 0.0;
        for (int64_t t = 0; t < call->head_width; t++)
            dot += vectors.q[t] * vectors.k[t];
        p[j] += call->scale * dot;
        top = p[j] > top || isnan(p[j]) ? p[j] : top;
    }
    for (int64_t j = 0; j < call->keys; j++) {
        p[j] = p[j] == -(double)INFINITY ? 0.0 : exp(p[j] - top);
        sum += p[j];
    }
    if (sum == 0.0)
        return (double)INFINITY;
    for (int64_t j = 0; j < call->keys; j++)
        p[j] /= sum;
    return top + log(sum);
}

#endif
