/* things.c - see things.h. */
#include "things.h"

static const struct {
    void (*draw)(thing *t, const weather *w, assay_chance *chance);
    seen_at *look;
} of[THINGS] = {
    [PERSON] = {person_draw, person_look}, [CAR_SIDE] = {car_draw, car_side_look},
    [CAR_END] = {car_draw, car_end_look},  [BICYCLE] = {bicycle_draw, bicycle_look},
    [ANIMAL] = {animal_draw, animal_look}, [LAMP] = {lamp_draw, lamp_look},
    [TREE] = {tree_draw, plant_look},      [BUSH] = {bush_draw, plant_look},
    [BOX] = {box_draw, box_look},
};

double figure_segment(double u, double v, const double from[2], const double to[2])
{
    double dx = to[0] - from[0], dy = to[1] - from[1];
    double along = ((u - from[0]) * dx + (v - from[1]) * dy) / (dx * dx + dy * dy);
    along = along < 0 ? 0 : along > 1 ? 1 : along;
    return figure_distance(u, v, from[0] + along * dx, from[1] + along * dy);
}

void thing_draw(thing *t, thing_kind kind, double x, double z, const weather *w,
                assay_chance *chance)
{
    *t = (thing){.kind = kind, .x = x, .z = z, .size = 1};
    t->salt = (uint32_t)assay_chance_below(chance, INT64_C(1) << 32);
    t->side = assay_chance_between(chance, 0, 1) < 0.5 ? -1 : 1;
    of[kind].draw(t, w, chance);
}

void thing_paint(canvas *c, const thing *t)
{
    canvas_board(c, t->x, t->z, t->half, t->height, of[t->kind].look, t);
}
