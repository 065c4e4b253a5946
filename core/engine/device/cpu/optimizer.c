/* cpu/optimizer.c - one step of AdamW (Loshchilov & Hutter, "Decoupled weight decay
 * regularization", ICLR 2019) in one pass over parameter, moments and gradient. */
#include "engine/device/cpu/kernels.h"

#include <math.h>

#if ASSAY_PLAIN

void KERNEL(adamw)(const device_adamw *step)
{
    const double scale = factor_of(1.0f, step->grad_scale);
    if (isnan(scale))
        return;
    for (int64_t i = 0; i < step->n; i++) {
        double g = scale * step->grad[i];
        double m = step->beta1 * (double)step->first[i] + (1.0 - step->beta1) * g;
        double v = step->beta2 * (double)step->second[i] + (1.0 - step->beta2) * g * g;
        double p = step->value[i];
        p -= (double)step->lr * step->weight_decay * p;
        p -= step->lr * (m / step->correction1) / (sqrt(v / step->correction2) + step->eps);
        step->first[i] = (float)m;
        step->second[i] = (float)v;
        step->value[i] = (float)p;
    }
}

#else

void KERNEL(adamw)(const device_adamw *step)
{
    const device_adamw s = *step;
    const float scale = factor_of(1.0f, s.grad_scale);
    if (isnan(scale))
        return;
    const float *grad = s.grad;
    float *value = s.value, *first_moment = s.first, *second_moment = s.second;
    /* Rounded once from double: 1 - beta2 alone would lose four digits in fp32. */
    const float fresh1 = (float)(1.0 - s.beta1), fresh2 = (float)(1.0 - s.beta2);
    const float decay = (float)((double)s.lr * s.weight_decay);
    const float rate = (float)((double)s.lr / s.correction1);
    const float inverse2 = (float)(1.0 / s.correction2);
#pragma omp parallel for schedule(static) if (s.n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < s.n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, s.n);
#pragma omp simd
        for (int64_t i = first; i < end; i++) {
            float g = grad[i] * scale;
            float m = s.beta1 * first_moment[i] + fresh1 * g;
            float v = s.beta2 * second_moment[i] + fresh2 * (g * g);
            float p = value[i];
            p -= decay * p;
            p -= rate * m / (sqrtf(v * inverse2) + s.eps);
            first_moment[i] = m;
            second_moment[i] = v;
            value[i] = p;
        }
    }
}

#endif
