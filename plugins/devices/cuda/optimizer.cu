/* optimizer.cu - one step of AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization",
 * ICLR 2019) in one pass over parameter, moments and gradient.
 *
 * Bound by memory: 16 bytes read and 12 written per parameter. Not measured. */
#include "kernels.h"
#include "pack.h"

#include <math.h>

/* The numbers of the step as the kernel uses them. */
typedef struct adamw_numbers {
    float beta1, fresh1, beta2, fresh2, decay, rate, inverse2, eps;
} adamw_numbers;

template <int V> static __global__ void adamw_packs(device_adamw step, adamw_numbers s)
{
    float scale = step.grad_scale != NULL ? *step.grad_scale : 1.0f;
    if (isnan(scale))
        return;
    CUDA_EACH(p, step.n / V)
    {
        int64_t i = p * V;
        cuda_pack<float, V> grad = cuda_load<V>(step.grad + i),
                            value = cuda_load<V>(step.value + i);
        cuda_pack<float, V> first = cuda_load<V>(step.first + i);
        cuda_pack<float, V> second = cuda_load<V>(step.second + i);
        for (int k = 0; k < V; k++) {
            float g = grad.at[k] * scale, x = value.at[k];
            float m = s.beta1 * first.at[k] + s.fresh1 * g;
            float v = s.beta2 * second.at[k] + s.fresh2 * (g * g);
            x -= s.decay * x;
            x -= s.rate * m / (sqrtf(v * s.inverse2) + s.eps);
            first.at[k] = m;
            second.at[k] = v;
            value.at[k] = x;
        }
        cuda_store(step.first + i, first);
        cuda_store(step.second + i, second);
        cuda_store(step.value + i, value);
    }
}

extern "C" void cuda_adamw(const device_adamw *step)
{
    /* Rounded once from double: 1 - beta2 alone would lose four digits in fp32. */
    adamw_numbers numbers = {step->beta1,
                             (float)(1.0 - step->beta1),
                             step->beta2,
                             (float)(1.0 - step->beta2),
                             (float)((double)step->lr * step->weight_decay),
                             (float)((double)step->lr / step->correction1),
                             (float)(1.0 / step->correction2),
                             step->eps};
    bool packed =
        step->n % 4 == 0 && cuda_aligned(step->value, step->first, step->second, step->grad);
    CUDA_LAUNCH_PACKS(adamw, packed, step->n, *step, numbers);
}
