/* buildings.c - houses: walls of floors and windows. */
#include "noise.h"
#include "scene.h"

typedef struct wall {
    const building *of;
    float kelvin;
    uint32_t salt;
} wall;

void building_draw(building *b, const weather *w, double from, double to, double x, double depth,
                   assay_chance *chance)
{
    double outer = x < 0 ? x - depth : x + depth;
    *b = (building){.front = {{x, from}, {outer, from}}, .side = {{x, from}, {x, to}}, .far = to};
    b->salt = (uint32_t)assay_chance_below(chance, INT64_C(1) << 32);
    b->floor = assay_chance_between(chance, 2.8, 3.6);
    b->height = b->floor * (double)(1 + assay_chance_below(chance, 6)) + 0.6;
    b->window = assay_chance_between(chance, 2, 4);
    b->pane =
        assay_chance_between(chance, 0, 1) < 0.15 ? 0 : assay_chance_between(chance, 0.3, 0.75);
    double mean = weather_surface(w, WALL, chance);
    bool front_lit = assay_chance_between(chance, 0, 1) < 0.5;
    double shade = 7 * w->sun;
    b->wall[0] = (float)(mean - (front_lit ? 0 : shade));
    b->wall[1] = (float)(mean - ((w->light > 0) == (x < 0) ? 0 : shade));
    b->glass = (float)(w->air + 4 * w->sun + assay_chance_between(chance, 0, 2));
    double heated = w->air < 291 ? 0.12 * (294 - w->air) : 0.3;
    b->lit = b->glass + (float)(heated + assay_chance_between(chance, 0, 1.5));
}

/* `u` along the wall from its near corner. */
static bool wall_look(const void *what, const weather *w, double u, double v, seen *out)
{
    const wall *face = what;
    const building *b = face->of;
    double column = u / b->window, row = v / b->floor;
    double inner = fabs(column - floor(column) - 0.5) * 2, up = row - floor(row);
    bool base = v < b->floor;
    bool pane =
        b->pane > 0 && v < b->height - 0.6 &&
        (base ? inner < 0.55 && up > 0.05 && up < 0.7 : inner < b->pane && up > 0.3 && up < 0.8);
    if (pane) {
        uint32_t bits = noise_bits((int32_t)floor(column), (int32_t)floor(row), face->salt);
        bool warm = bits % 3 == 0;
        *out = (seen){warm ? b->lit : b->glass, 0.85F, 0.5F, 1, CLASS_BUILDING};
        return true;
    }
    /* Ceilings and radiators below windows leak heat when it is cold. */
    double leak = w->air < 288 ? (288 - w->air) * 0.05 : 0;
    double slab = fabs(up) < 0.07 || up > 0.96 ? leak + 0.3 : 0;
    double heater = b->pane > 0 && inner < 0.4 && up > 0.08 && up < 0.28 ? leak : 0;
    double eaves = v > b->height - 0.4 ? -1.5 * (w->day ? 0.3 : 1) : 0;
    double stain = 0.7 * (double)noise_fractal(u / 2.5, v / 2.5, face->salt, 3);
    *out = (seen){face->kelvin + (float)(slab + heater + eaves + stain), 0.93F, 0.35F, 1,
                  CLASS_BUILDING};
    return true;
}

void building_paint(canvas *c, const building *b)
{
    wall front = {b, b->wall[0], b->salt}, side = {b, b->wall[1], b->salt + 1};
    canvas_wall(c, b->side[0], b->side[1], b->height, wall_look, &side);
    canvas_wall(c, b->front[0], b->front[1], b->height, wall_look, &front);
}
