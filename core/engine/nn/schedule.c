/* schedule.c - learning-rate schedules, functions of the step alone. */
#include <assay/optim.h>

#include <math.h>

/* The schedule without its warm-up at r in 0..1 of its way. */
static double shape_at(const assay_schedule *schedule, double r)
{
    double floor = schedule->floor;
    switch (schedule->kind) {
    case ASSAY_CONSTANT:
        return 1;
    case ASSAY_LINEAR:
        return floor + (1 - floor) * (1 - r);
    case ASSAY_COSINE:
        return floor + (1 - floor) * 0.5 * (1 + cos(3.14159265358979323846 * r));
    case ASSAY_POLY:
        return floor + (1 - floor) * pow(1 - r, schedule->power);
    }
    return 1;
}

double assay_schedule_factor(const assay_schedule *schedule, double step)
{
    double warmup = schedule->warmup, total = schedule->total;
    step = fmax(step, 0);
    if (step >= total)
        return schedule->kind == ASSAY_CONSTANT ? 1 : schedule->floor;
    if (schedule->warmup_kind == ASSAY_WARMUP_SCALED) {
        double scale = step < warmup ? 1 - (1 - step / warmup) * (1 - schedule->ratio) : 1;
        return shape_at(schedule, step / total) * scale;
    }
    if (step < warmup)
        return fmin((step + schedule->start) / warmup, 1);
    return shape_at(schedule, (step - warmup) / (total - warmup));
}

static bool fail(assay_error *error, const char *what, const char *expected, double got)
{
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "schedule", .what = what,
                      .expected = expected, .got = assay_text("%g", got));
}

/* Conditions are written so that a NaN fails them. */
bool assay_schedule_check(const assay_schedule *schedule, assay_error *error)
{
    if (!(schedule->total > 0 && isfinite(schedule->total)))
        return fail(error, "the total number of steps is out of range", "> 0", schedule->total);
    if (!(schedule->warmup >= 0 && schedule->warmup <= schedule->total))
        return fail(error, "the warm-up is out of range", assay_text("0 to %g", schedule->total),
                    schedule->warmup);
    if (!(schedule->floor >= 0 && schedule->floor <= 1))
        return fail(error, "the floor is out of range", "0 to 1", schedule->floor);
    if (schedule->warmup_kind == ASSAY_WARMUP_LINEAR &&
        !(schedule->start >= 0 && schedule->start <= 1))
        return fail(error, "the warm-up's start is out of range", "0 to 1", schedule->start);
    if (schedule->warmup_kind == ASSAY_WARMUP_SCALED &&
        !(schedule->ratio >= 0 && schedule->ratio <= 1))
        return fail(error, "the warm-up's ratio is out of range", "0 to 1", schedule->ratio);
    if (schedule->kind == ASSAY_POLY && !(schedule->power > 0 && isfinite(schedule->power)))
        return fail(error, "the power is out of range", "> 0", schedule->power);
    return true;
}
