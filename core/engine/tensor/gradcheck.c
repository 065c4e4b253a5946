/* gradcheck.c - the tape's gradient against 4-point central differences of the forward pass.
 *
 * With f(h) = L(x + h), the 4-point difference (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h errs by
 * O(h^4) of curvature and O(eps / h) of fp32 rounding. Taken at h and at h / 2, the two agree
 * unless one of them is in trouble; what they differ by is allowed on top of the tolerance, but
 * never more than NOISE_SHARE of the tolerance, so that a noisy function fails instead of passing
 * unseen. */
#include <assay/gradcheck.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define DEFAULT_STEP      0x1p-6
#define DEFAULT_TOLERANCE 1e-3
#define DEFAULT_ENTRIES   4096
#define NOISE_SHARE       4.0

typedef struct check {
    assay_tape *tape;
    assay_forward forward;
    void *user;
    assay_tensor *const *inputs;
    int n;
    assay_step step;
    assay_stream cotangent;
    assay_error *error;
} check;

static bool run_forward(check *c, bool no_gradient, assay_tensor **y)
{
    assay_step step = c->step;
    step.no_gradient = no_gradient;
    assay_tape_begin(c->tape, step);
    *y = c->forward(c->tape, c->inputs, c->n, c->user);
    if (!*y)
        return assay_tape_failed(c->tape, c->error);
    if ((*y)->dtype != ASSAY_F32)
        return ASSAY_FAIL(c->error, ASSAY_BAD_INPUT, .where = "gradcheck",
                          .what = "the output is not f32", .got = assay_tensor_text(*y));
    return true;
}

/* L = sum(cotangent * output), in double; the cotangent's entries are uniform in -1 .. 1. */
static bool value_of(check *c, double *value)
{
    assay_tensor *y = NULL;
    if (!run_forward(c, true, &y))
        return false;
    *value = 0.0;
    for (int64_t i = 0; i < assay_tensor_count(y); i++)
        *value += (2.0 * assay_random_uniform(c->cotangent, (uint64_t)i) - 1.0) * assay_f32(y)[i];
    return true;
}

static bool analytic_pass(check *c)
{
    assay_tensor *y = NULL;
    float *cotangent = NULL;
    int64_t count;
    for (int i = 0; i < c->n; i++)
        c->inputs[i]->has_grad = false;
    if (!run_forward(c, false, &y))
        return false;
    count = assay_tensor_count(y);
    cotangent = assay_tape_scratch(c->tape, count * (int64_t)sizeof(float));
    if (!cotangent)
        return assay_tape_failed(c->tape, c->error);
    for (int64_t i = 0; i < count; i++)
        cotangent[i] = 2.0f * assay_random_uniform(c->cotangent, (uint64_t)i) - 1.0f;
    if (!assay_tape_backward_from(c->tape, 1, &y, (const float *const[]){cotangent}))
        return assay_tape_failed(c->tape, c->error);
    return true;
}

/* The tape's gradients of every input, copied; a gradient that did not flow is zero. */
static bool analytic_grads(check *c, float **grads)
{
    if (!analytic_pass(c))
        return false;
    for (int i = 0; i < c->n; i++) {
        const assay_tensor *x = c->inputs[i];
        if (!x->needs_grad)
            continue;
        if (x->has_grad)
            memcpy(grads[i], assay_gradient(x), (size_t)assay_tensor_count(x) * sizeof(float));
        else
            memset(grads[i], 0, (size_t)assay_tensor_count(x) * sizeof(float));
    }
    return true;
}

/* A second backward pass must give the same bits. */
static bool same_again(check *c, float **grads, bool *same)
{
    *same = true;
    if (!analytic_pass(c))
        return false;
    for (int i = 0; i < c->n; i++) {
        const assay_tensor *x = c->inputs[i];
        if (x->needs_grad && x->has_grad)
            *same = *same && memcmp(grads[i], assay_gradient(x),
                                    (size_t)assay_tensor_count(x) * sizeof(float)) == 0;
    }
    return true;
}

/* The 4-point difference at step h, with the perturbations that fp32 really made. */
static bool difference(check *c, assay_tensor *input, int64_t entry, double h, double *slope)
{
    static const double at[4] = {1.0, -1.0, 2.0, -2.0};
    double value[4] = {0}, moved[4] = {0};
    const float x = assay_f32(input)[entry];
    bool ok = true;
    for (int i = 0; i < 4 && ok; i++) {
        float *number =
            assay_f32(input) + entry; /* asked for anew: a device sees what was written */
        *number = (float)((double)x + at[i] * h);
        moved[i] = (double)*number - (double)x;
        ok = value_of(c, &value[i]);
    }
    assay_f32(input)[entry] = x;
    if (ok) {
        double near = (value[0] - value[1]) / (moved[0] - moved[1]);
        double far = (value[2] - value[3]) / (moved[2] - moved[3]);
        *slope = (4.0 * near - far) / 3.0;
    }
    return ok;
}

static bool check_entry(check *c, const assay_gradcheck_options *o, int input, int64_t entry,
                        double analytic, double floor, assay_gradcheck_report *report)
{
    assay_tensor *x = c->inputs[input];
    double h = o->step * fmax(1.0, fabs((double)assay_f32(x)[entry])), coarse = 0.0, fine = 0.0,
           size, wrong, noise;
    if (!difference(c, x, entry, h, &coarse) || !difference(c, x, entry, h / 2.0, &fine))
        return false;
    size = fmax(fmax(fabs(analytic), fabs(fine)), floor);
    noise = fmin(fabs(coarse - fine), NOISE_SHARE * o->tolerance * size);
    wrong = fmax(0.0, fmin(fabs(analytic - fine), fabs(analytic - coarse)) - noise) / size;
    if (!isfinite(analytic) || !isfinite(coarse) || !isfinite(fine))
        wrong = (double)INFINITY; /* fmin and fmax pass over a NaN */
    report->compared++;
    if (!(wrong <= report->worst)) {
        report->worst = wrong;
        report->input = input;
        report->entry = entry;
        report->analytic = analytic;
        report->numeric = fine;
    }
    return true;
}

/* Gradients far below the input's typical one are compared on its scale: their own digits drown in
 * the rounding of the whole sum. */
static double typical(const float *grad, int64_t n)
{
    double squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        squares += (double)grad[i] * grad[i];
    return fmax(n > 0 ? sqrt(squares / (double)n) : 0.0, 1e-3);
}

static bool check_inputs(check *c, const assay_gradcheck_options *o, float **grads,
                         assay_gradcheck_report *report)
{
    for (int i = 0; i < c->n; i++) {
        int64_t count = assay_tensor_count(c->inputs[i]), stride, limit = o->max_entries;
        if (!c->inputs[i]->needs_grad)
            continue;
        stride = count > limit ? (count + limit - 1) / limit : 1;
        for (int64_t e = 0; e < count; e += stride)
            if (!check_entry(c, o, i, e, grads[i][e], typical(grads[i], count), report))
                return false;
    }
    return true;
}

bool assay_gradcheck(assay_tape *tape, assay_forward forward, void *user,
                     assay_tensor *const inputs[], int n, const assay_gradcheck_options *options,
                     assay_gradcheck_report *report, assay_error *error)
{
    assay_gradcheck_options o = options ? *options : (assay_gradcheck_options){0};
    float *grads[16] = {NULL};
    bool ok = false;
    check c = {.tape = tape,
               .forward = forward,
               .user = user,
               .inputs = inputs,
               .n = n,
               .step = {.seed = o.seed, .training = o.training},
               .cotangent = assay_stream_of(o.seed, "gradcheck/cotangent", 0),
               .error = error};
    *report = (assay_gradcheck_report){.worst = 0.0};
    o.step = o.step > 0.0 ? o.step : DEFAULT_STEP;
    o.tolerance = o.tolerance > 0.0 ? o.tolerance : DEFAULT_TOLERANCE;
    o.max_entries = o.max_entries > 0 ? o.max_entries : DEFAULT_ENTRIES;
    if (n < 1 || n > 16)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "gradcheck",
                          .what = "number of inputs out of range", .expected = "1 to 16",
                          .got = assay_text("%d", n));
    for (int i = 0; i < n; i++) {
        if (!inputs[i]->needs_grad)
            continue;
        if (inputs[i]->dtype != ASSAY_F32 || !inputs[i]->is_leaf) {
            ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("gradcheck, input %d", i),
                       .what = "only f32 leaves can be perturbed",
                       .got = assay_tensor_text(inputs[i]));
            goto done;
        }
        grads[i] = assay_alloc(assay_tensor_count(inputs[i]) * (int64_t)sizeof(float), error);
        if (!grads[i])
            goto done;
    }
    ok = analytic_grads(&c, grads) && same_again(&c, grads, &report->repeatable) &&
         check_inputs(&c, &o, grads, report);
    report->passed =
        ok && report->compared > 0 && report->worst <= o.tolerance && report->repeatable;
done:
    for (int i = 0; i < n && i < 16; i++)
        assay_free(grads[i]);
    return ok;
}
