/* importance.c - what positions weigh for their gradients: the body of all CPUs.
 *
 * A few numbers per position, in double and in one order, so that a mask's state is the same bits
 * on every instruction set. Bound by reading the gradients. */
#include "engine/device/cpu/variants.h"

#include <math.h>

static double norm_of(const float *row, int64_t width)
{
    double sum = 0;
    for (int64_t k = 0; k < width; k++)
        sum += (double)row[k] * (double)row[k];
    return sqrt(sum);
}

void cpu_position_norms(int64_t batch, int64_t tokens, int64_t seen, int64_t width, const float *x,
                        const int32_t *lengths, double *norms)
{
#pragma omp parallel for schedule(static) if (batch * seen * width >= 1 << 15)
    for (int64_t t = 0; t < seen; t++)
        for (int64_t b = 0; b < batch; b++)
            if (lengths == NULL || t < lengths[b])
                norms[t] += norm_of(x + (b * tokens + t) * width, width);
}

/* The first position is nobody's future: it neither moves nor makes a pass count. */
static void learn_absolute(const device_importance *d)
{
    bool any = false;
    for (int64_t j = 1; j < d->tokens; j++)
        any = any || d->norms[j] > 0;
    for (int64_t j = 1; any && j < d->tokens; j++) {
        double now = d->norms[j];
        if (d->mean && d->samples[j] > 0)
            now /= d->samples[j];
        d->importance[j] = (float)(d->rho * (double)d->importance[j] + (1 - d->rho) * now);
    }
}

static void learn_relative(const device_importance *d)
{
    double sum = 0, positions = 0;
    for (int64_t j = 0; j < d->tokens; j++)
        if (d->samples[j] > 0) {
            sum += d->norms[j] / d->samples[j];
            positions++;
        }
    for (int64_t j = 0; sum > 0 && j < d->tokens; j++)
        if (d->samples[j] > 0) {
            double z = d->norms[j] / d->samples[j] * positions / sum;
            d->importance[j] = (float)(d->rho * (double)d->importance[j] + (1 - d->rho) * z);
            d->updates[j]++;
        }
}

void cpu_learn_importance(const device_importance *d)
{
    if (d->relative)
        learn_relative(d);
    else
        learn_absolute(d);
}

void cpu_key_prices(const device_key_prices *d)
{
    for (int64_t j = 0; j < d->keys; j++) {
        double importance = (double)d->importance[j];
        if (d->updates != NULL)
            importance =
                d->updates[j] > 0 ? importance / (1 - pow(d->rho, (double)d->updates[j])) : 1;
        double guided = 1 / (1 + exp(-(d->gain * (importance - d->centre) + d->offset)));
        d->price[j] = (float)log((1 - d->rise) * guided + d->rise + d->floor);
    }
}
