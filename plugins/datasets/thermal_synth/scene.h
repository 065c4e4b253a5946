/* scene.h - a place with its weather: where things stand, and how it is painted. */
#ifndef THERMAL_SCENE_H
#define THERMAL_SCENE_H

#include "things.h"

#define SCENE_THINGS    80
#define SCENE_BUILDINGS 12
#define SCENE_PATCHES   128

/* What all scenes of a dataset share. */
typedef struct scene_knobs {
    uint64_t seed;
    hour when;
    double air[2];  /* degrees Celsius */
    double clutter; /* 1: usual; 0: nothing warm or cold that has no class of its own */
    band table;
} scene_knobs;

/* A block of houses: a front towards the camera and a side along the road. */
typedef struct building {
    double front[2][2], side[2][2]; /* ends (x, z) of the walls */
    double height, floor, window;   /* m: of a floor, from window to window */
    double pane;                    /* of a window's field that is glass */
    float wall[2], glass, lit;      /* K: of front and side; of panes, of those of warm rooms */
    double far;                     /* m: the distance of its far end */
    uint32_t salt;
} building;

/* A spot of the ground that is warmer or colder: shadows, puddles, manholes. */
typedef struct patch {
    double x, z, rx, rz; /* m */
    float kelvin;        /* to be added in its middle */
    bool sharp;
} patch;

/* A strip of ground for wheels: x = at + slope z + bend z^2 is its middle. */
typedef struct road {
    bool present;
    double at, slope, bend, half, walk; /* m; walk: of the pavement at its sides */
} road;

typedef struct scene {
    weather w;
    double focal, horizon, eye;                   /* image widths; image heights from the top; m */
    double meadow;                                /* 0: soil .. 1: grass */
    float grass, soil, asphalt, pavement, forest; /* K */
    road lane;
    double crossing[2];       /* z of a road across, from .. to; 0, 0: none */
    double edge, edge_height; /* m: of trees at the horizon; 0: none */
    double grain;             /* K: of the ground's texture */
    uint32_t salt;
    int thing_count, building_count, patch_count;
    thing things[SCENE_THINGS]; /* far ones first */
    building buildings[SCENE_BUILDINGS];
    patch patches[SCENE_PATCHES];
} scene;

/* The scene of a number; the picture's shape decides only where the near end is. */
void scene_draw(scene *s, const scene_knobs *knobs, uint64_t number, double aspect);
/* Paints it on a canvas that has its size; its camera becomes the canvas's. */
void scene_paint(const scene *s, const scene_knobs *knobs, canvas *c);
/* ground.c: sky, ground, and the trees at the horizon. */
void scene_ground(const scene *s, canvas *c);
/* buildings.c */
void building_draw(building *b, const weather *w, double from, double to, double x, double depth,
                   assay_chance *chance);
void building_paint(canvas *c, const building *b);

#endif
