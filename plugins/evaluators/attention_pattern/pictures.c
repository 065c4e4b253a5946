/* pictures.c - attention maps as gray sheets: a row per query patch, the picture with the query
 * framed first, then what the query attends to, brightest where it attends most.
 *
 * attention_I_layers.png has a column per layer (the mean over its heads), attention_I_layerL.png a
 * column per head of the chosen layer. Every tile is scaled by its own largest value. */
#include "pattern.h"

#include <assay/image.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { QUERIES = 4, GAP = 2, GROUND = 64, TILE_LEAST = 64 };

typedef struct sheet {
    assay_image image;
    int64_t grid, cell, tile; /* patches, pixels of a patch, pixels of a tile */
} sheet;

/* The middles of the four quarters. */
static int64_t query_patch(int64_t grid, int query)
{
    const int64_t y = query < 2 ? grid / 4 : grid - 1 - grid / 4;
    const int64_t x = query % 2 == 0 ? grid / 4 : grid - 1 - grid / 4;
    return y * grid + x;
}

static bool open_sheet(sheet *s, int64_t grid, int64_t columns, assay_error *error)
{
    s->grid = grid;
    s->cell = (TILE_LEAST + grid - 1) / grid;
    s->tile = s->cell * grid;
    if (!assay_image_new(&s->image, columns * (s->tile + GAP) - GAP,
                         QUERIES * (s->tile + GAP) - GAP, 8, NULL, error))
        return false;
    memset(s->image.data, GROUND, (size_t)(s->image.width * s->image.height));
    return true;
}

static uint8_t *pixel(const sheet *s, int64_t row, int64_t column, int64_t y, int64_t x)
{
    const int64_t top = row * (s->tile + GAP), left = column * (s->tile + GAP);
    return (uint8_t *)s->image.data + (top + y) * s->image.width + left + x;
}

static uint8_t gray(float value, float low, float high)
{
    if (!(high > low))
        return 0;
    const float share = (value - low) / (high - low);
    return (uint8_t)(255.0f * (share < 0 ? 0 : share > 1 ? 1 : share) + 0.5f);
}

/* values (grid, grid), from 0 to the largest. */
static void draw_map(const sheet *s, int64_t row, int64_t column, const float *values)
{
    float most = 0;
    for (int64_t i = 0; i < s->grid * s->grid; i++)
        most = values[i] > most ? values[i] : most;
    for (int64_t y = 0; y < s->tile; y++)
        for (int64_t x = 0; x < s->tile; x++)
            *pixel(s, row, column, y, x) =
                gray(values[y / s->cell * s->grid + x / s->cell], 0, most);
}

/* The picture from its patches (grid^2, side^2), with the query's patch framed. */
static void draw_picture(const sheet *s, int64_t row, const float *patches, int64_t side,
                         int64_t query)
{
    float low = patches[0], high = patches[0];
    for (int64_t i = 0; i < s->grid * s->grid * side * side; i++) {
        low = patches[i] < low ? patches[i] : low;
        high = patches[i] > high ? patches[i] : high;
    }
    for (int64_t y = 0; y < s->tile; y++)
        for (int64_t x = 0; x < s->tile; x++) {
            const int64_t patch = y / s->cell * s->grid + x / s->cell;
            const int64_t in_y = y % s->cell, in_x = x % s->cell, end = s->cell - 1;
            const int64_t at = in_y * side / s->cell * side + in_x * side / s->cell;
            const bool framed =
                patch == query && (in_y == 0 || in_x == 0 || in_y == end || in_x == end);
            *pixel(s, row, 0, y, x) =
                framed ? 255 : gray(patches[patch * side * side + at], low, high);
        }
}

static bool publish(const pattern *p, const sheet *s, const char *name, assay_error *error)
{
    void *data = NULL;
    int64_t bytes = 0;
    bool ok = assay_image_encode(&s->image, &data, &bytes, error) &&
              p->evaluation->artifact(p->evaluation->user, name, data, bytes, error);
    assay_free(data);
    return ok;
}

/* What query patch `query` of the first image attends to in heads first .. first + count - 1 of a
 * map (1, H, T, T): their mean over the patches, into out (N). */
static void mean_of_heads(const assay_tensor *map, int64_t first, int64_t count, int64_t query,
                          float *out)
{
    const int64_t tokens = map->shape[3], patches = tokens - 1;
    memset(out, 0, (size_t)patches * sizeof *out);
    for (int64_t h = first; h < first + count; h++) {
        const float *row = assay_f32(map) + (h * tokens + query + 1) * tokens + 1;
        for (int64_t i = 0; i < patches; i++)
            out[i] += row[i] / (float)count;
    }
}

/* One sheet of columns first the picture, then maps[i] by layer, or the heads of one map. */
static bool draw_sheet(pattern *p, const assay_tensor *patches, int64_t columns,
                       const assay_tensor *const maps[], bool by_head, const char *name,
                       assay_error *error)
{
    sheet s = {0};
    float *values = assay_arena_alloc(p->arena, p->grid * p->grid * (int64_t)sizeof *values, error);
    bool ok = values && open_sheet(&s, p->grid, 1 + columns, error);
    for (int q = 0; q < QUERIES && ok; q++) {
        const int64_t query = query_patch(p->grid, q);
        draw_picture(&s, q, assay_f32(patches), p->patch, query);
        for (int64_t c = 0; c < columns; c++) {
            const assay_tensor *map = by_head ? maps[0] : maps[c];
            mean_of_heads(map, by_head ? c : 0, by_head ? 1 : map->shape[1], query, values);
            draw_map(&s, q, 1 + c, values);
        }
    }
    ok = ok && publish(p, &s, name, error);
    assay_image_free(&s.image);
    return ok;
}

static bool draw_image(pattern *p, int64_t image, assay_error *error)
{
    const char *names[MOST_LAYERS + 1];
    const assay_tensor *maps[MOST_LAYERS];
    assay_outputs outputs = {0};
    char name[64];
    memcpy(names, p->names, sizeof names);
    names[p->layers] = "image.patches";
    const assay_wanted wanted = {(int)p->layers + 1, names};
    if (!pattern_pass(p, image, 1, &wanted, &outputs, error))
        return false;
    const assay_tensor *patches = assay_outputs_get(&outputs, "image.patches");
    for (int64_t i = 0; i < p->layers; i++)
        maps[i] = assay_outputs_get(&outputs, names[i]);
    snprintf(name, sizeof name, "attention_%" PRId64 "_layers.png", image + 1);
    if (!draw_sheet(p, patches, p->layers, maps, false, name, error))
        return false;
    snprintf(name, sizeof name, "attention_%" PRId64 "_layer%" PRId64 ".png", image + 1,
             p->chosen + 1);
    return draw_sheet(p, patches, p->heads[p->chosen], &maps[p->chosen], true, name, error);
}

bool pattern_pictures(pattern *p, assay_error *error)
{
    const int64_t images = p->options->maps < p->images ? p->options->maps : p->images;
    for (int64_t i = 0; i < images; i++)
        if (!draw_image(p, i, error))
            return false;
    return true;
}
