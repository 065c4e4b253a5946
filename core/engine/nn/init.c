/* init.c - how parameters start: every number is addressed by (seed, name, position), so that the
 * order of building and the parameters of others change nothing. */
#include <assay/nn.h>
#include <assay/random.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fans as PyTorch counts them: shape (out, in, receptive field...). */
static double fan_in(const assay_tensor *tensor)
{
    if (tensor->rank < 2)
        return (double)tensor->shape[0];
    return (double)tensor->shape[1] * (double)tensor->shape[2] * (double)tensor->shape[3];
}

static double fan_out(const assay_tensor *tensor)
{
    return (double)tensor->shape[0] * (double)tensor->shape[2] * (double)tensor->shape[3];
}

static void fill_constant(int64_t n, float *out, float value)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = value;
}

/* Uniform in [-bound, bound); 2u - 1 is exact. */
static void fill_uniform(assay_stream stream, int64_t n, float *out, double bound)
{
    assay_random_fill_uniform(stream, 0, n, out);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)bound * (2.0f * out[i] - 1.0f);
}

static void fill_normal(assay_stream stream, int64_t n, float *out, double sd)
{
    assay_random_fill_normal(stream, 0, n, out);
    for (int64_t i = 0; i < n; i++)
        out[i] *= (float)sd;
}

/* The k-th try for number i stands at address i + k n, so one rejection moves no other number. */
static void fill_truncated_normal(assay_stream stream, int64_t n, float *out, float sd, float bound)
{
    fill_normal(stream, n, out, sd);
    for (int64_t i = 0; i < n; i++) {
        uint64_t address = (uint64_t)i;
        while (fabsf(out[i]) > bound) {
            address += (uint64_t)n;
            out[i] = sd * assay_random_normal(stream, address);
        }
    }
}

static bool check(assay_init init, const char *where, assay_error *error)
{
    if (!isfinite(init.a) || !isfinite(init.b))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "an initialiser's number is not finite");
    if (init.kind == ASSAY_INIT_TRUNCATED_NORMAL && (init.a < 0 || init.b < init.a / 100))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "a truncated normal needs a bound that draws can fall into",
                          .expected = "sd >= 0 and bound >= sd / 100",
                          .got = assay_text("sd %g, bound %g", (double)init.a, (double)init.b));
    return true;
}

bool assay_init_fill(assay_tensor *tensor, assay_init init, uint64_t seed, const char *name,
                     assay_error *error)
{
    char address[256];
    float *out = assay_f32(tensor);
    int64_t n = assay_tensor_count(tensor);
    const char *where = assay_text("parameter %.100s", name);
    if (tensor->dtype != ASSAY_F32)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where, .what = "parameters start in f32",
                          .got = assay_dtype_name(tensor->dtype));
    if (name[0] == '\0' || strlen(name) > ASSAY_NAME_LIMIT)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "a parameter's name is empty or too long",
                          .expected = assay_text("1 to %d bytes", ASSAY_NAME_LIMIT));
    if (!check(init, where, error))
        return false;
    if (n == 0)
        return true;
    snprintf(address, sizeof address, "init/%s", name);
    assay_stream stream = assay_stream_of(seed, address, 0);
    double a = init.a;
    switch (init.kind) {
    case ASSAY_INIT_ZEROS:
        fill_constant(n, out, 0.0f);
        return true;
    case ASSAY_INIT_ONES:
        fill_constant(n, out, 1.0f);
        return true;
    case ASSAY_INIT_CONSTANT:
        fill_constant(n, out, init.a);
        return true;
    case ASSAY_INIT_NORMAL:
        fill_normal(stream, n, out, a);
        return true;
    case ASSAY_INIT_TRUNCATED_NORMAL:
        fill_truncated_normal(stream, n, out, init.a, init.b);
        return true;
    case ASSAY_INIT_UNIFORM:
        fill_uniform(stream, n, out, a);
        return true;
    case ASSAY_INIT_XAVIER_UNIFORM:
        fill_uniform(stream, n, out, sqrt(6 / (fan_in(tensor) + fan_out(tensor))));
        return true;
    case ASSAY_INIT_KAIMING_UNIFORM:
        fill_uniform(stream, n, out, sqrt(6 / ((1 + a * a) * fan_in(tensor))));
        return true;
    case ASSAY_INIT_KAIMING_NORMAL:
        fill_normal(stream, n, out, sqrt(2 / fan_out(tensor)));
        return true;
    }
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where, .what = "unknown initialiser",
                      .got = assay_text("%d", (int)init.kind));
}
