/* scene.c - see scene.h: four sorts of places, and what stands there. */
#include "scene.h"

#include <stdlib.h>

typedef enum place { STREET, JUNCTION, PARK, COUNTRY } place;

static double between(assay_chance *chance, double low, double high)
{
    return assay_chance_between(chance, low, high);
}

static bool toss(assay_chance *chance, double p)
{
    return between(chance, 0, 1) < p;
}

/* ---- where things may stand ---- */

/* The nearest ground that the picture shows. */
static double near_end(const scene *s, double aspect)
{
    double below = (1 - s->horizon) / aspect; /* of the picture, in widths */
    double z = s->focal * s->eye / below;
    double tall = s->focal * 1.8 * aspect / 0.7; /* a person takes at most 0.7 of the height */
    return z > tall ? z : tall;
}

static bool is_built(const scene *s, double x, double z)
{
    for (int i = 0; i < s->building_count; i++) {
        const building *b = &s->buildings[i];
        double left = fmin(b->front[0][0], b->front[1][0]),
               right = fmax(b->front[0][0], b->front[1][0]);
        if (x > left - 0.5 && x < right + 0.5 && z > b->front[0][1] - 1 && z < b->far + 1)
            return true;
    }
    return false;
}

static void add_patch(scene *s, patch p)
{
    if (s->patch_count < SCENE_PATCHES)
        s->patches[s->patch_count++] = p;
}

static double lane_middle(const scene *s, double z)
{
    return s->lane.at + s->lane.slope * z + s->lane.bend * z * z;
}

/* What a thing does to the ground: its shadow, and an engine's warmth beneath it. */
static void touch_ground(scene *s, const thing *t, assay_chance *chance)
{
    double reach = t->half + fabs(s->w.light) * t->height * 0.6;
    if (s->w.sun > 0.1)
        add_patch(s, (patch){t->x - s->w.light * t->height * 0.5, t->z + 0.3, reach,
                             0.5 * t->half + 0.4, (float)(-6 * s->w.sun), false});
    bool car = t->kind == CAR_SIDE || t->kind == CAR_END;
    if (car && t->running)
        add_patch(
            s, (patch){t->x, t->z + 0.4, t->half + 0.2, 1.5, (float)between(chance, 2, 7), false});
}

static bool stand(scene *s, thing_kind kind, double x, double z, assay_chance *chance)
{
    /* Numbers are drawn whether the thing finds a place or not. */
    thing t;
    thing_draw(&t, kind, x, z, &s->w, chance);
    if (s->thing_count == SCENE_THINGS || is_built(s, x, z))
        return false;
    s->things[s->thing_count++] = t;
    touch_ground(s, &t, chance);
    return true;
}

/* A distance between the ends, near ones more often: even on a logarithmic scale. */
static double far_away(double near, double far, assay_chance *chance)
{
    return near * exp(between(chance, 0, log(far / near)));
}

/* Somewhere in the picture, `count` of a kind. */
static void scatter(scene *s, thing_kind kind, int64_t count, double near, double far,
                    assay_chance *chance)
{
    for (int64_t i = 0; i < count; i++) {
        double z = far_away(near, far, chance), half = 0.5 * z / s->focal;
        stand(s, kind, between(chance, -1, 1) * half, z, chance);
    }
}

/* `count` on the pavements or the lane's edge. */
static void line_up(scene *s, thing_kind kind, int64_t count, double near, double far, double inner,
                    double outer, assay_chance *chance)
{
    for (int64_t i = 0; i < count; i++) {
        double z = far_away(near, far, chance), side = toss(chance, 0.5) ? 1 : -1;
        double off = s->lane.half + between(chance, inner, outer);
        stand(s, kind, lane_middle(s, z) + side * off, z, chance);
    }
}

/* A few people side by side. */
static void gather(scene *s, double near, double far, assay_chance *chance)
{
    double z = far_away(near, far, chance), x = between(chance, -0.4, 0.4) * z / s->focal;
    int64_t count = 2 + assay_chance_below(chance, 3);
    for (int64_t i = 0; i < count; i++)
        stand(s, PERSON, x + between(chance, -1.2, 1.2), z + between(chance, -0.8, 0.8), chance);
}

/* ---- places ---- */

static void build_rows(scene *s, double near, double depth_left, assay_chance *chance)
{
    for (int side = -1; side <= 1; side += 2) {
        double z = near * between(chance, 0.6, 2);
        while (z < 90 && s->building_count < SCENE_BUILDINGS) {
            double length = between(chance, 8, 25);
            double x =
                lane_middle(s, z) + side * (s->lane.half + s->lane.walk + between(chance, 0, 3));
            bool crosses =
                s->crossing[1] > 0 && z < s->crossing[1] + 2 && z + length > s->crossing[0] - 2;
            building b;
            building_draw(&b, &s->w, z, z + length, x, depth_left, chance);
            if (!crosses && x * side > 1 && toss(chance, 0.8))
                s->buildings[s->building_count++] = b;
            z += length + (toss(chance, 0.4) ? between(chance, 2, 14) : 0.1);
        }
    }
}

/* A row of houses across the view, behind everything of interest. */
static void build_back(scene *s, double z, assay_chance *chance)
{
    double x = -0.7 * z / s->focal, end = -x;
    while (x < end && s->building_count < SCENE_BUILDINGS) {
        double width = between(chance, 8, 24);
        building b;
        building_draw(&b, &s->w, z, z + 10, x + width, width, chance);
        b.front[0][0] = x;
        b.front[1][0] = x + width;
        b.side[0][0] = b.side[1][0] = x > 0 ? x : x + width;
        if (toss(chance, 0.75))
            s->buildings[s->building_count++] = b;
        x += width + (toss(chance, 0.5) ? between(chance, 1, 12) : 0);
    }
}

static void make_street(scene *s, double near, assay_chance *chance)
{
    s->lane = (road){true,
                     between(chance, -3.5, 3.5),
                     between(chance, -0.12, 0.12),
                     between(chance, -0.0012, 0.0012),
                     between(chance, 3, 5.5),
                     between(chance, 1.5, 4)};
    build_rows(s, near, 14, chance);
    line_up(s, CAR_END, assay_chance_below(chance, 6), near * 1.4, 55, -1.2, -1, chance);
    line_up(s, CAR_END, assay_chance_below(chance, 3), near * 2, 60, -0.75 * s->lane.half,
            -0.6 * s->lane.half, chance);
    line_up(s, LAMP, 1 + assay_chance_below(chance, 5), near * 1.5, 50, 0.3, 0.8, chance);
    line_up(s, TREE, assay_chance_below(chance, 6), near * 1.5, 50, 0.8, s->lane.walk + 2, chance);
    line_up(s, PERSON, 1 + assay_chance_below(chance, 6), near * 1.2, 40, 0.4, s->lane.walk + 0.2,
            chance);
    line_up(s, BICYCLE, assay_chance_below(chance, 4), near * 1.2, 25, -1.4, 1.5, chance);

    if (toss(chance, 0.3))
        line_up(s, ANIMAL, 1, near * 1.2, 20, -2, 2, chance);
}

static void make_junction(scene *s, double near, assay_chance *chance)
{
    double from = near * between(chance, 1.2, 2.4), width = between(chance, 6, 10);
    s->crossing[0] = from;
    s->crossing[1] = from + width;
    s->lane = (road){toss(chance, 0.5),       between(chance, -4, 4), between(chance, -0.1, 0.1), 0,
                     between(chance, 2.5, 4), between(chance, 1.5, 3)};
    if (toss(chance, 0.75))
        build_back(s, s->crossing[1] + between(chance, 6, 30), chance);
    double lane_z[2] = {from + 0.28 * width, from + 0.72 * width};
    int64_t cars = 1 + assay_chance_below(chance, 4);
    for (int64_t i = 0; i < cars; i++) {
        double z = lane_z[assay_chance_below(chance, 2)];
        stand(s, CAR_SIDE, between(chance, -0.55, 0.55) * z / s->focal, z, chance);
    }
    int64_t cyclists = assay_chance_below(chance, 4);
    for (int64_t i = 0; i < cyclists; i++) {
        double z = toss(chance, 0.5) ? from - 0.7 : from + between(chance, 0.4, width);
        stand(s, BICYCLE, between(chance, -0.5, 0.5) * z / s->focal, z, chance);
    }
    scatter(s, PERSON, 1 + assay_chance_below(chance, 5), near * 1.1, s->crossing[1] + 12, chance);
    scatter(s, LAMP, assay_chance_below(chance, 3), s->crossing[1] + 0.5, s->crossing[1] + 4,
            chance);
    scatter(s, TREE, assay_chance_below(chance, 5), s->crossing[1] + 2, s->crossing[1] + 30,
            chance);
    scatter(s, BUSH, assay_chance_below(chance, 4), s->crossing[1] + 1, s->crossing[1] + 12,
            chance);
    if (toss(chance, 0.25))
        scatter(s, ANIMAL, 1, near * 1.1, s->crossing[1] + 6, chance);
}

static void make_park(scene *s, double near, assay_chance *chance)
{
    if (toss(chance, 0.7))
        s->lane = (road){true,
                         between(chance, -4, 4),
                         between(chance, -0.35, 0.35),
                         between(chance, -0.004, 0.004),
                         between(chance, 1, 2),
                         0};
    if (toss(chance, 0.3))
        build_back(s, between(chance, 45, 90), chance);
    scatter(s, TREE, 2 + assay_chance_below(chance, 9), near * 2, 60, chance);
    scatter(s, BUSH, 1 + assay_chance_below(chance, 7), near * 1.5, 40, chance);
    scatter(s, PERSON, assay_chance_below(chance, 5), near * 1.2, 35, chance);
    scatter(s, ANIMAL, 1 + assay_chance_below(chance, 3), near * 1.1, 20, chance);
    scatter(s, BICYCLE, assay_chance_below(chance, 3), near * 1.2, 18, chance);
    scatter(s, LAMP, assay_chance_below(chance, 3), near * 1.8, 35, chance);
    if (toss(chance, 0.4))
        gather(s, near * 1.3, 25, chance);
}

static void make_country(scene *s, double near, assay_chance *chance)
{
    if (toss(chance, 0.6))
        s->lane = (road){true,
                         between(chance, -6, 6),
                         between(chance, -0.2, 0.2),
                         between(chance, -0.002, 0.002),
                         between(chance, 1.8, 3.2),
                         0};
    scatter(s, TREE, assay_chance_below(chance, 5), near * 3, 80, chance);
    scatter(s, BUSH, assay_chance_below(chance, 9), near * 2, 60, chance);
    scatter(s, ANIMAL, 1 + assay_chance_below(chance, 6), near * 1.2, 30, chance);
    scatter(s, PERSON, assay_chance_below(chance, 4), near * 1.3, 40, chance);
    scatter(s, CAR_SIDE, assay_chance_below(chance, 2), near * 2, 30, chance);
    if (s->lane.present)
        line_up(s, CAR_END, assay_chance_below(chance, 3), near * 2, 50, -s->lane.half,
                -0.4 * s->lane.half, chance);
    if (toss(chance, 0.3))
        build_back(s, between(chance, 50, 110), chance);
}

/* Warm and cold things that have no class: on the ground and above it. */
static void add_clutter(scene *s, double amount, double near, assay_chance *chance)
{
    int64_t spots = (int64_t)(amount * between(chance, 2, 9));
    for (int64_t i = 0; i < spots; i++) {
        double z = far_away(near, 35, chance), x = between(chance, -0.5, 0.5) * z / s->focal;
        double size = between(chance, 0.25, 1);
        bool sharp = toss(chance, 0.5); /* manholes, puddles; worn and wet places */
        double kelvin = between(chance, -1, 1);
        add_patch(s, (patch){x, z, sharp ? 0.5 * size : 2 * size, sharp ? 0.5 * size : 1.5 * size,
                             (float)(kelvin * (sharp ? 5 : 3)), sharp});
    }
    scatter(s, BOX, (int64_t)(amount * between(chance, 0, 4.5)), near * 1.1, 30, chance);
}

/* ---- the scene ---- */

static int is_nearer(const void *a, const void *b)
{
    const thing *p = a, *q = b;
    return p->z > q->z ? -1 : p->z < q->z ? 1 : 0;
}

static int is_nearer_building(const void *a, const void *b)
{
    const building *p = a, *q = b;
    return p->far > q->far ? -1 : p->far < q->far ? 1 : 0;
}

static void draw_camera(scene *s, place where, assay_chance *chance)
{
    bool high = toss(chance, where == JUNCTION ? 0.6 : 0.25); /* on a mast, looking down */
    s->focal = between(chance, 0.75, 1.5);
    s->eye = high ? between(chance, 3.5, 8) : between(chance, 1.3, 2.3);
    s->horizon = high ? between(chance, -0.05, 0.25) : between(chance, 0.32, 0.52);
}

void scene_draw(scene *s, const scene_knobs *knobs, uint64_t number, double aspect)
{
    assay_chance chance = {assay_stream_of(knobs->seed, "thermal_synth/scene", number), 0};
    *s = (scene){.salt = (uint32_t)assay_chance_below(&chance, INT64_C(1) << 32)};
    double sort = between(&chance, 0, 1);
    place where = sort < 0.35 ? STREET : sort < 0.6 ? JUNCTION : sort < 0.82 ? PARK : COUNTRY;
    weather_draw(&s->w, knobs->when, knobs->air[0], knobs->air[1], &chance);
    draw_camera(s, where, &chance);
    s->meadow = where == PARK ? 0.75 : between(&chance, 0, 1);
    s->grain = between(&chance, 0.25, 0.7) + 0.8 * s->w.sun;
    s->grass = (float)weather_surface(&s->w, GRASS, &chance);
    s->soil = (float)weather_surface(&s->w, SOIL, &chance);
    s->asphalt = (float)weather_surface(&s->w, ASPHALT, &chance);
    s->pavement = (float)weather_surface(&s->w, PAVEMENT, &chance);
    s->forest = (float)weather_surface(&s->w, FOLIAGE, &chance);
    if (toss(&chance, where >= PARK ? 0.9 : 0.5)) {
        s->edge = between(&chance, 90, 250);
        s->edge_height = between(&chance, 5, 14);
    }
    double near = near_end(s, aspect);
    if (where == STREET)
        make_street(s, near, &chance);
    else if (where == JUNCTION)
        make_junction(s, near, &chance);
    else if (where == PARK)
        make_park(s, near, &chance);
    else
        make_country(s, near, &chance);
    add_clutter(s, knobs->clutter, near, &chance);
    qsort(s->things, (size_t)s->thing_count, sizeof *s->things, is_nearer);
    qsort(s->buildings, (size_t)s->building_count, sizeof *s->buildings, is_nearer_building);
}

void scene_paint(const scene *s, const scene_knobs *knobs, canvas *c)
{
    int b = 0;
    c->focal = s->focal * (double)(c->width * SAMPLES);
    c->horizon = s->horizon * (double)(c->height * SAMPLES);
    c->eye = s->eye;
    c->table = &knobs->table;
    c->w = &s->w;
    scene_ground(s, c);
    for (int t = 0; t < s->thing_count; t++) {
        for (; b < s->building_count && s->buildings[b].far > s->things[t].z; b++)
            building_paint(c, &s->buildings[b]);
        thing_paint(c, &s->things[t]);
    }
    for (; b < s->building_count; b++)
        building_paint(c, &s->buildings[b]);
}
