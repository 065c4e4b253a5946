/* divergence.cu - how far rows of student logits are from rows of teacher logits, softmax to
 * softmax (infrared spec 2.5).
 *
 * Bound by memory: the forward walks over the rows twice (the second time through the cache when
 * they are short), the gradient once. Not measured. */
#include "teams.h"

#include "kernels.h"

/* sum p (log p - log q) = sum p (t - s) - lse t + lse s: where the rows are equal, exactly 0. Both
 * are taken from their largest first, so that a common shift costs no digits. */
template <bool WHOLE>
static __global__ void divergence(int64_t rows, int64_t width, const float *teacher,
                                  const float *student, bool cross, float *loss, float *lse)
{
    const float keep = cross ? 0.0f : 1.0f;
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *t = teacher + r * width, *s = student + r * width;
        float top_t = -INFINITY, top_s = -INFINITY;
        float sum_t = 0.0f, sum_s = 0.0f, gap = 0.0f;
        for (int64_t j = cuda_team_lane<WHOLE>(); j < width; j += cuda_team_size<WHOLE>()) {
            top_t = t[j] > top_t ? t[j] : top_t;
            top_s = s[j] > top_s ? s[j] : top_s;
        }
        top_t = cuda_team_max<WHOLE>(top_t);
        top_s = cuda_team_max<WHOLE>(top_s);
        for (int64_t j = cuda_team_lane<WHOLE>(); j < width; j += cuda_team_size<WHOLE>()) {
            float below_t = t[j] - top_t, below_s = s[j] - top_s, e = expf(below_t);
            sum_t += e;
            sum_s += expf(below_s);
            gap += e > 0.0f ? e * (keep * below_t - below_s) : 0.0f;
        }
        double of_t = cuda_team_sum<WHOLE>((double)sum_t);
        double of_s = cuda_team_sum<WHOLE>((double)sum_s);
        double between = cuda_team_sum<WHOLE>((double)gap);
        if (cuda_team_lane<WHOLE>() != 0)
            continue;
        double log_t = log(of_t), log_s = log(of_s);
        loss[r] = width > 0 ? (float)(between / of_t - (cross ? 0.0 : log_t) + log_s) : 0.0f;
        lse[2 * r] = (float)(top_t + log_t);
        lse[2 * r + 1] = (float)(top_s + log_s);
    }
}

extern "C" void cuda_divergence_rows(int64_t rows, int64_t width, const float *teacher,
                                     const float *student, bool cross, float *loss, float *lse)
{
    CUDA_TEAM_LAUNCH(divergence, rows, width, rows, width, teacher, student, cross, loss, lse);
}

template <bool WHOLE>
static __global__ void d_divergence(int64_t rows, int64_t width, const float *teacher,
                                    const float *student, const float *lse, float factor,
                                    const float *times, float *d_student, bool add)
{
    const float k = times != NULL ? factor * times[0] : factor;
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *t = teacher + r * width, *s = student + r * width;
        float *to = d_student + r * width;
        const float lse_t = lse[2 * r], lse_s = lse[2 * r + 1];
        for (int64_t j = cuda_team_lane<WHOLE>(); j < width; j += cuda_team_size<WHOLE>()) {
            float d = k * (expf(s[j] - lse_s) - expf(t[j] - lse_t));
            to[j] = add ? to[j] + d : d;
        }
    }
}

extern "C" void cuda_d_divergence_rows(int64_t rows, int64_t width, const float *teacher,
                                       const float *student, const float *lse, float factor,
                                       const float *times, float *d_student, bool add)
{
    CUDA_TEAM_LAUNCH(d_divergence, rows, width, rows, width, teacher, student, lse, factor, times,
                     d_student, add);
}
