/* test_schedule.c - learning-rate schedules against the numbers of the specifications. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/optim.h>

#include <math.h>

typedef struct point {
    double step, rate;
} point;

static void assert_points(const assay_schedule *schedule, double peak, int n, const point *points)
{
    assay_error error = {0};
    must(assay_schedule_check(schedule, &error), &error);
    for (int i = 0; i < n; i++) {
        double rate = peak * assay_schedule_factor(schedule, points[i].step);
        if (!(fabs(rate - points[i].rate) <= 1e-6 * fabs(points[i].rate)))
            fail_msg("at %g: %.9g, expected %.9g", points[i].step, rate, points[i].rate);
    }
}

/* Infrared spec section 4, item 5; steps are epochs there. */
static void pre_training_schedules_have_the_published_rates(void **state)
{
    (void)state;
    const assay_schedule unip = {.kind = ASSAY_COSINE, .warmup = 5, .total = 100};
    const point unip_points[] = {
        {0, 0}, {2.5, 1.2e-3}, {5, 2.4e-3}, {52.5, 1.2e-3}, {99, 6.560912e-7}};
    assert_points(&unip, 2.4e-3, 5, unip_points);
    const assay_schedule pad = {.kind = ASSAY_COSINE, .warmup = 30, .total = 100};
    const point pad_points[] = {{0, 0}, {15, 8e-4}, {30, 1.6e-3}, {65, 8e-4}, {99, 8.055468e-7}};
    assert_points(&pad, 1.6e-3, 5, pad_points);
}

/* Infrared spec section 4, item 6. */
static void the_segmentation_schedule_has_the_published_rates(void **state)
{
    (void)state;
    const assay_schedule poly = {.kind = ASSAY_POLY,
                                 .warmup_kind = ASSAY_WARMUP_SCALED,
                                 .warmup = 1500,
                                 .total = 14400,
                                 .ratio = 1e-6,
                                 .power = 1};
    const point points[] = {
        {0, 1e-10}, {750, 4.739588e-5}, {1500, 8.958333e-5}, {7200, 5e-5}, {14399, 6.944444e-9}};
    assert_points(&poly, 1e-4, 5, points);
}

/* User-modelling spec, appendix A: linear to the peak over W steps, then half a cosine. */
static void cosine_after_linear_warmup(void **state)
{
    (void)state;
    const assay_schedule s = {.kind = ASSAY_COSINE, .warmup = 10, .total = 110};
    const double pi = 3.14159265358979323846;
    for (int step = 0; step < 110; step++) {
        double want = step < 10 ? step / 10.0 : 0.5 * (1 + cos(pi * (step - 10) / 100.0));
        assert_points(&s, 2e-4, 1, &(point){step, 2e-4 * want});
    }
}

static void a_warmup_may_begin_above_zero(void **state)
{
    (void)state;
    const assay_schedule s = {.kind = ASSAY_CONSTANT, .warmup = 4, .total = 8, .start = 1};
    const point points[] = {{0, 0.25}, {1, 0.5}, {3, 1}, {3.5, 1}, {4, 1}, {7, 1}};
    assert_points(&s, 1, 6, points);
}

static void schedules_end_at_their_floor(void **state)
{
    (void)state;
    const assay_schedule_kind kinds[] = {ASSAY_LINEAR, ASSAY_COSINE, ASSAY_POLY};
    for (int i = 0; i < 3; i++) {
        const assay_schedule s = {
            .kind = kinds[i], .warmup = 2, .total = 10, .floor = 0.1, .power = 2};
        const point points[] = {{2, 1}, {10, 0.1}, {1000, 0.1}};
        assert_points(&s, 1, 3, points);
        assert_true(assay_schedule_factor(&s, 9.999999) < 0.1 + 1e-6);
    }
    const assay_schedule constant = {.kind = ASSAY_CONSTANT, .total = 10};
    assert_points(&constant, 1, 2, (const point[]){{0, 1}, {1000, 1}});
}

static void halfway_values_follow_the_formulas(void **state)
{
    (void)state;
    const assay_schedule linear = {.kind = ASSAY_LINEAR, .total = 8, .floor = 0.2};
    const assay_schedule poly = {.kind = ASSAY_POLY, .total = 8, .floor = 0.2, .power = 2};
    assert_points(&linear, 1, 2, (const point[]){{2, 0.8}, {4, 0.6}});
    assert_points(&poly, 1, 2, (const point[]){{4, 0.4}, {6, 0.25}});
}

/* A run that is all warm-up has no step at which to divide by nothing. */
static void warmup_may_fill_the_whole_run(void **state)
{
    (void)state;
    const assay_schedule s = {.kind = ASSAY_COSINE, .warmup = 5, .total = 5};
    assert_points(&s, 1, 3, (const point[]){{4, 0.8}, {5, 0}, {6, 0}});
}

static void ranges_are_checked(void **state)
{
    (void)state;
    const assay_schedule good = {.kind = ASSAY_POLY, .total = 10, .power = 1};
    assay_schedule wrong[9];
    for (int i = 0; i < 9; i++)
        wrong[i] = good;
    wrong[0].total = 0;
    wrong[1].total = NAN;
    wrong[2].warmup = -1;
    wrong[3].warmup = 11;
    wrong[4].floor = 1.5;
    wrong[5].power = 0;
    wrong[6].start = 2;
    wrong[7].warmup_kind = ASSAY_WARMUP_SCALED;
    wrong[7].ratio = -0.1;
    wrong[8].warmup = NAN;
    assert_true(assay_schedule_check(&good, NULL));
    for (int i = 0; i < 9; i++) {
        assay_error error = {0};
        assert_false(assay_schedule_check(&wrong[i], &error));
        assert_failed(&error, ASSAY_BAD_INPUT, "out of range");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pre_training_schedules_have_the_published_rates),
        cmocka_unit_test(the_segmentation_schedule_has_the_published_rates),
        cmocka_unit_test(cosine_after_linear_warmup),
        cmocka_unit_test(a_warmup_may_begin_above_zero),
        cmocka_unit_test(schedules_end_at_their_floor),
        cmocka_unit_test(halfway_values_follow_the_formulas),
        cmocka_unit_test(warmup_may_fill_the_whole_run),
        cmocka_unit_test(ranges_are_checked),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
