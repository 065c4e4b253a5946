/* test_thermal_scene.c - what the generator claims about physics, labels and camera: Planck's law
 * in the band, labels that are of what is seen, warm bodies by night and dark ones on a hot road,
 * noise as asked for. */
#include "thermal_place.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Planck ---- */

static void the_band_has_its_share_of_all_radiation(void **state)
{
    (void)state;
    /* Tables of black-body functions: the share below l T (um K) is 0.140256 at 2400, 0.516014 at
     * 4200, 0.318102 at 3200, 0.701046 at 5600. */
    const double sigma = 5.670374e-8, pi = 3.14159265358979;
    static const double cases[2][2] = {{300, 0.516014 - 0.140256}, {400, 0.701046 - 0.318102}};
    band table;
    band_fill(&table);
    for (int i = 0; i < 2; i++) {
        double t = cases[i][0], expected = cases[i][1] * sigma * t * t * t * t / pi;
        assert_true(fabs(band_exact(t) / expected - 1) < 1e-4);
        assert_true(fabs((double)band_of(&table, (float)t) / expected - 1) < 1e-4);
    }
    for (float t = 200; t < 400; t += 7.3F)
        assert_true(fabs((double)band_of(&table, t) / band_exact((double)t) - 1) < 1e-4);
    assert_true(band_of(&table, 100) > 0 && band_of(&table, 1000) == table.radiance[BAND_ROWS - 1]);
}

/* ---- labels ---- */

typedef struct picture {
    canvas c;
    scene s;
    float *radiance;
    uint8_t *truth;
} picture;

static const uint8_t class_of[THINGS] = {
    [PERSON] = CLASS_PERSON,   [CAR_SIDE] = CLASS_CAR,    [CAR_END] = CLASS_CAR,
    [BICYCLE] = CLASS_BICYCLE, [ANIMAL] = CLASS_ANIMAL,   [LAMP] = CLASS_LAMP,
    [TREE] = CLASS_VEGETATION, [BUSH] = CLASS_VEGETATION, [BOX] = CLASS_BACKGROUND};

enum { WIDTH = 96, HEIGHT = 72, ALL_SAMPLES = WIDTH * HEIGHT * SAMPLES * SAMPLES };

static picture *new_picture(assay_arena *arena)
{
    assay_error error = {0};
    picture *p = assay_arena_alloc(arena, (int64_t)sizeof *p, &error);
    p->radiance = assay_arena_alloc(arena, WIDTH * HEIGHT * (int64_t)sizeof(float), &error);
    p->truth = assay_arena_alloc(arena, WIDTH * HEIGHT, &error);
    assert_true(canvas_make(&p->c, WIDTH, HEIGHT, arena, &error));
    return p;
}

static void paint(picture *p, const scene_knobs *knobs)
{
    scene_paint(&p->s, knobs, &p->c);
    canvas_resolve(&p->c, p->radiance, p->truth);
}

/* Taking one thing away changes radiances only at samples that were labelled as its class, and no
 * label elsewhere. */
static int64_t check_thing(const picture *with, const picture *without, const thing *t)
{
    int64_t changed = 0;
    for (int64_t i = 0; i < ALL_SAMPLES; i++) {
        float a = with->c.radiance[i], b = without->c.radiance[i];
        bool same = !(a < b) && !(a > b);
        uint8_t kind = with->c.kind[i];
        if (same) {
            /* Equal radiance by chance of two things one behind the other is as good as no
             * change. */
            if (kind != without->c.kind[i])
                assert_true(kind == class_of[t->kind]);
            continue;
        }
        /* Through the spokes of a bicycle in front of it the thing is seen, and is not labelled. */
        if (kind == CLASS_BICYCLE && (double)with->c.distance[i] < 0.99999 * t->z)
            continue;
        changed++;
        assert_true(kind == class_of[t->kind] || (t->kind == BICYCLE && kind == CLASS_PERSON));
        assert_true((double)fabsf(with->c.distance[i] - (float)t->z) < 1e-5 * t->z);
    }
    return changed;
}

static void every_thing_is_labelled_where_it_is_seen(void **state)
{
    thermal_place *place = *state;
    int64_t visible[THINGS] = {0};
    scene_knobs knobs = {.seed = 4, .air = {-5, 32}, .clutter = 1};
    band_fill(&knobs.table);
    picture *with = new_picture(place->arena), *without = new_picture(place->arena);
    for (uint64_t number = 0; number < 24; number++) {
        scene_draw(&with->s, &knobs, number, (double)WIDTH / HEIGHT);
        paint(with, &knobs);
        for (int t = 0; t < with->s.thing_count; t += 3) {
            const thing taken = with->s.things[t];
            without->s = with->s;
            without->s.thing_count--;
            memmove(&without->s.things[t], &without->s.things[t + 1],
                    (size_t)(without->s.thing_count - t) * sizeof taken);
            paint(without, &knobs);
            visible[taken.kind] += check_thing(with, without, &taken);
        }
    }
    for (int k = 0; k < THINGS; k++)
        assert_true(visible[k] > 0);
}

static void a_pixel_has_the_class_of_most_of_it(void **state)
{
    thermal_place *place = *state;
    picture *p = new_picture(place->arena);
    scene_knobs knobs = {.seed = 5, .air = {0, 20}, .clutter = 1};
    band_fill(&knobs.table);
    scene_draw(&p->s, &knobs, 3, (double)WIDTH / HEIGHT);
    paint(p, &knobs);
    for (int64_t y = 0; y < HEIGHT; y++)
        for (int64_t x = 0; x < WIDTH; x++) {
            int counts[CLASSES] = {0};
            for (int i = 0; i < SAMPLES * SAMPLES; i++)
                counts[p->c.kind[(y * SAMPLES + i / SAMPLES) * WIDTH * SAMPLES + x * SAMPLES +
                                 i % SAMPLES]]++;
            for (int k = 0; k < CLASSES; k++)
                assert_true(counts[k] <= counts[p->truth[y * WIDTH + x]]);
        }
}

/* ---- what is warm ---- */

/* Mean radiance of a class; false: hardly any of it is seen. */
static bool mean_of(const picture *p, int kind, double *mean)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < WIDTH * HEIGHT; i++)
        if (p->truth[i] == kind) {
            sum += (double)p->radiance[i];
            n++;
        }
    *mean = n > 0 ? sum / (double)n : 0;
    return n >= 20;
}

static void people_are_warm_by_night_and_dark_on_a_hot_road(void **state)
{
    thermal_place *place = *state;
    picture *p = new_picture(place->arena);
    int64_t nights = 0, days = 0;
    for (int hot = 0; hot < 2; hot++) {
        scene_knobs knobs = {.seed = 6,
                             .when = hot ? HOUR_DAY : HOUR_NIGHT,
                             .air = {hot ? 28 : -5, hot ? 33 : 20},
                             .clutter = 1};
        band_fill(&knobs.table);
        for (uint64_t number = 0; number < 60; number++) {
            double person = 0, lane = 0;
            scene_draw(&p->s, &knobs, number, (double)WIDTH / HEIGHT);
            assert_int_equal(p->s.w.day, hot);
            if (hot && p->s.w.sun < 0.6)
                continue;
            paint(p, &knobs);
            if (!mean_of(p, CLASS_PERSON, &person) || !mean_of(p, CLASS_ROAD, &lane))
                continue;
            if (hot)
                assert_true(person < lane);
            else
                assert_true(person > lane);
            nights += !hot;
            days += hot;
        }
    }
    assert_true(nights >= 10 && days >= 3);
}

/* ---- the camera ---- */

static void spread_of(const uint16_t *counts, int64_t n, double *mean, double *sd)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += counts[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (counts[i] - *mean) * (counts[i] - *mean);
    *sd = sqrt(squares / (double)n);
}

static void expose(const sensor *s, const band *table, uint64_t frame, assay_arena *arena,
                   uint16_t *counts)
{
    assay_error error = {0};
    static float radiance[WIDTH * HEIGHT];
    for (int64_t i = 0; i < WIDTH * HEIGHT; i++)
        radiance[i] = band_of(table, 300);
    assert_true(sensor_expose(s, table, frame, WIDTH, HEIGHT, radiance, counts, arena, &error));
}

static void noise_is_as_large_as_asked_for(void **state)
{
    thermal_place *place = *state;
    static uint16_t a[WIDTH * HEIGHT], b[WIDTH * HEIGHT];
    double mean = 0, sd = 0;
    band table;
    band_fill(&table);
    for (int i = 0; i < 2; i++) {
        double netd = i == 0 ? 0.05 : 0.4;
        sensor s = {.seed = 1, .netd = netd, .blur = 0.6};
        expose(&s, &table, 0, place->arena, a);
        expose(&s, &table, 1, place->arena, b);
        spread_of(a, WIDTH * HEIGHT, &mean, &sd);
        assert_true(fabs(mean - 8192) < 2);
        assert_true(fabs(sd / (SENSOR_KELVIN * netd) - 1) < 0.03);
        assert_memory_not_equal(a, b, sizeof a);
    }
    sensor quiet = {.seed = 1};
    expose(&quiet, &table, 0, place->arena, a);
    spread_of(a, WIDTH * HEIGHT, &mean, &sd);
    assert_true(mean >= 8192 && mean <= 8192 && sd <= 0);
}

static void the_pattern_of_a_camera_stays(void **state)
{
    thermal_place *place = *state;
    static uint16_t a[WIDTH * HEIGHT], b[WIDTH * HEIGHT];
    double mean = 0, sd = 0;
    band table;
    band_fill(&table);
    sensor s = {.seed = 1, .nonuniformity = 0.5, .model = 2};
    expose(&s, &table, 0, place->arena, a);
    expose(&s, &table, 99, place->arena, b);
    assert_memory_equal(a, b, sizeof a);
    spread_of(a, WIDTH * HEIGHT, &mean, &sd);
    assert_true(sd > 0.8 * 50 && sd < 1.3 * 50);
    s.model = 3;
    expose(&s, &table, 0, place->arena, b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void blur_keeps_what_it_spreads(void **state)
{
    thermal_place *place = *state;
    assay_error error = {0};
    static float radiance[WIDTH * HEIGHT];
    static uint16_t counts[WIDTH * HEIGHT];
    band table;
    band_fill(&table);
    double sum = 0, spread = 0;
    sensor s = {.seed = 1, .blur = 1.2};
    for (int64_t i = 0; i < WIDTH * HEIGHT; i++)
        radiance[i] = 0;
    radiance[36 * WIDTH + 48] = 1;
    assert_true(
        sensor_expose(&s, &table, 0, WIDTH, HEIGHT, radiance, counts, place->arena, &error));
    for (int64_t i = 0; i < WIDTH * HEIGHT; i++) {
        double dx = (double)(i % WIDTH) - 48;
        sum += (double)radiance[i];
        spread += (double)radiance[i] * dx * dx;
    }
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(fabs(sqrt(spread) - 1.2) < 0.05);
}

static void gain_uses_the_grays_and_keeps_the_order(void **state)
{
    (void)state;
    enum { N = 4000 };
    static uint16_t counts[N];
    static uint8_t gray[N];
    for (int model = 0; model < 2; model++) {
        sensor s = {.equalise = model == 1};
        for (int i = 0; i < N; i++)
            counts[i] = (uint16_t)(7000 + i / 2);
        sensor_gain(&s, counts, N, gray);
        for (int i = 1; i < N; i++)
            assert_true(gray[i] >= gray[i - 1]);
        assert_true(gray[0] < 20 && gray[N - 1] > 220);
        /* An even picture is not stretched into noise. */
        for (int i = 0; i < N; i++)
            counts[i] = (uint16_t)(8000 + i % 3);
        s.equalise = false;
        sensor_gain(&s, counts, N, gray);
        for (int i = 0; i < N; i++)
            assert_true(gray[i] >= gray[0] - 3 && gray[i] <= gray[0] + 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_band_has_its_share_of_all_radiation),
        cmocka_unit_test_setup_teardown(every_thing_is_labelled_where_it_is_seen,
                                        thermal_place_make, thermal_place_remove),
        cmocka_unit_test_setup_teardown(a_pixel_has_the_class_of_most_of_it, thermal_place_make,
                                        thermal_place_remove),
        cmocka_unit_test_setup_teardown(people_are_warm_by_night_and_dark_on_a_hot_road,
                                        thermal_place_make, thermal_place_remove),
        cmocka_unit_test_setup_teardown(noise_is_as_large_as_asked_for, thermal_place_make,
                                        thermal_place_remove),
        cmocka_unit_test_setup_teardown(the_pattern_of_a_camera_stays, thermal_place_make,
                                        thermal_place_remove),
        cmocka_unit_test_setup_teardown(blur_keeps_what_it_spreads, thermal_place_make,
                                        thermal_place_remove),
        cmocka_unit_test(gain_uses_the_grays_and_keeps_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
