/* cross_entropy.cu - cross-entropy of rows of logits with integer targets, by log-sum-exp.
 *
 * Bound by memory: the forward reads the logits once, largest and sum together, and the gradient
 * reads and writes them once. A row of a large vocabulary is a block's, a short one a warp's. Not
 * measured. */
#include "teams.h"

#include "kernels.h"

template <bool WHOLE>
static __global__ void cross_entropy(int64_t rows, int64_t classes, const float *x,
                                     const int32_t *target, int32_t ignore, bool fours, float *loss,
                                     float *lse)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *row = x + r * classes;
        int32_t class_of_row = target[r];
        float largest;
        double sum, log_sum;
        if (class_of_row == ignore) { /* the whole team alike */
            if (cuda_team_lane<WHOLE>() == 0)
                loss[r] = lse[r] = 0.0f;
            continue;
        }
        sum = cuda_exp_sum_team<WHOLE>(cuda_exp_sum_share<WHOLE>(classes, row, fours), &largest);
        if (cuda_team_lane<WHOLE>() != 0)
            continue;
        log_sum = log(sum);
        lse[r] = (float)(largest + log_sum);
        loss[r] = (float)((double)largest - row[class_of_row] + log_sum);
    }
}

extern "C" void cuda_cross_entropy_rows(int64_t rows, int64_t classes, const float *x,
                                        const int32_t *target, int32_t ignore, float *loss,
                                        float *lse)
{
    CUDA_TEAM_LAUNCH(cross_entropy, rows, classes, rows, classes, x, target, ignore,
                     cuda_by_fours(x, classes), loss, lse);
}

/* d_x may be x: every number is read and written by one thread. */
template <bool WHOLE>
static __global__ void d_cross_entropy(int64_t rows, int64_t classes, const float *x,
                                       const int32_t *target, int32_t ignore, const float *lse,
                                       float factor, const float *times, bool fours, float *d_x,
                                       bool add)
{
    const float k = times != NULL ? factor * times[0] : factor;
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *row = x + r * classes, shift = lse[r];
        float *to = d_x + r * classes;
        const int64_t one = target[r];
        const bool ignored = one == ignore;
        if (ignored && add)
            continue;
        if (fours) {
            const float4 *from4 = (const float4 *)row;
            float4 *to4 = (float4 *)to;
            for (int64_t j = cuda_team_lane<WHOLE>(); j < classes / 4;
                 j += cuda_team_size<WHOLE>()) {
                float4 d = {0.0f, 0.0f, 0.0f, 0.0f};
                if (!ignored) {
                    float4 v = from4[j];
                    d.x = k * (expf(v.x - shift) - (one == 4 * j ? 1.0f : 0.0f));
                    d.y = k * (expf(v.y - shift) - (one == 4 * j + 1 ? 1.0f : 0.0f));
                    d.z = k * (expf(v.z - shift) - (one == 4 * j + 2 ? 1.0f : 0.0f));
                    d.w = k * (expf(v.w - shift) - (one == 4 * j + 3 ? 1.0f : 0.0f));
                }
                if (add) {
                    float4 was = to4[j];
                    d.x += was.x;
                    d.y += was.y;
                    d.z += was.z;
                    d.w += was.w;
                }
                to4[j] = d;
            }
            continue;
        }
        for (int64_t j = cuda_team_lane<WHOLE>(); j < classes; j += cuda_team_size<WHOLE>()) {
            float d = ignored ? 0.0f : k * (expf(row[j] - shift) - (one == j ? 1.0f : 0.0f));
            to[j] = add ? to[j] + d : d;
        }
    }
}

extern "C" void cuda_d_cross_entropy_rows(int64_t rows, int64_t classes, const float *x,
                                          const int32_t *target, int32_t ignore, const float *lse,
                                          float factor, const float *times, float *d_x, bool add)
{
    CUDA_TEAM_LAUNCH(d_cross_entropy, rows, classes, rows, classes, x, target, ignore, lse, factor,
                     times, cuda_by_fours(x, classes) && cuda_by_fours(d_x, classes), d_x, add);
}
