/* selective.c - selective search: regions that arise when most similar neighbours become one
 * (Uijlings et al., "Selective search for object recognition", IJCV 2013), as the Python package
 * selectivesearch 0.4 does it, quirks included unless `corrected`.
 *
 * A gray image of three equal channels has hue 0 and saturation 0 everywhere, so of the three
 * colour histograms only that of the value differs between regions, and the three of texture are
 * equal; what the others add is kept, so that sums round as they do there. */
#include <assay/regions.h>

#include <math.h>
#include <string.h>

#define MOST_SEGMENTS 16384
#define GRAY_BINS     25
#define PATTERN_BINS  10

typedef struct area {
    int32_t left, top, right, bottom; /* first and last column and row */
    int64_t pixels;
    double gray[GRAY_BINS], pattern[PATTERN_BINS]; /* shares of its pixels */
} area;

typedef struct pair {
    double alike;
    int32_t a, b;
} pair;

typedef struct search {
    const assay_image *image;
    const assay_search *how;
    double all; /* pixels of the image */
    area *areas;
    int64_t area_count;
    pair *pairs;
    int64_t pair_count, pair_room;
    assay_arena *arena;
} search;

/* ---- texture ---- */

static double gray_at(const assay_image *image, int64_t y, int64_t x)
{
    bool inside = y >= 0 && y < image->height && x >= 0 && x < image->width;
    return inside ? ((const uint8_t *)image->data)[y * image->width + x] : 0;
}

static double interpolated(const assay_image *image, double y, double x)
{
    int64_t top = (int64_t)floor(y), bottom = (int64_t)ceil(y);
    int64_t left = (int64_t)floor(x), right = (int64_t)ceil(x);
    double down = y - (double)top, across = x - (double)left;
    double upper = (1 - across) * gray_at(image, top, left) + across * gray_at(image, top, right);
    double lower =
        (1 - across) * gray_at(image, bottom, left) + across * gray_at(image, bottom, right);
    return (1 - down) * upper + down * lower;
}

/* Local binary pattern: bit p is set if the neighbour at angle p / 8 of a turn, one pixel away, is
 * as bright or brighter. Offsets have five digits, as scikit-image's. */
static int pattern_at(const assay_image *image, int64_t y, int64_t x)
{
    static const double rows[8] = {0, -0.70711, -1, -0.70711, 0, 0.70711, 1, 0.70711};
    static const double columns[8] = {1, 0.70711, 0, -0.70711, -1, -0.70711, 0, 0.70711};
    double middle = gray_at(image, y, x);
    int pattern = 0;
    for (int p = 0; p < 8; p++) {
        double there = interpolated(image, (double)y + rows[p], (double)x + columns[p]);
        pattern |= (there - middle >= 0) << p;
    }
    return pattern;
}

/* Ten bins over [0, 1], which codes above 1 do not meet; corrected: over [0, 256). -1: none. */
static int pattern_bin(int pattern, bool corrected)
{
    if (corrected)
        return pattern * PATTERN_BINS / 256;
    return pattern == 0 ? 0 : pattern == 1 ? PATTERN_BINS - 1 : -1;
}

/* ---- areas ---- */

static int gray_bin(int gray)
{
    int bin = gray * GRAY_BINS / 255; /* 255 belongs to the last one */
    return bin < GRAY_BINS ? bin : GRAY_BINS - 1;
}

static void describe_areas(search *s, const int32_t *labels)
{
    const assay_image *image = s->image;
    for (int64_t i = 0; i < s->area_count; i++)
        s->areas[i] = (area){.left = INT32_MAX, .top = INT32_MAX};
    for (int64_t y = 0; y < image->height; y++)
        for (int64_t x = 0; x < image->width; x++) {
            area *a = &s->areas[labels[y * image->width + x]];
            int bin = pattern_bin(pattern_at(image, y, x), s->how->corrected);
            a->left = x < a->left ? (int32_t)x : a->left;
            a->top = y < a->top ? (int32_t)y : a->top;
            a->right = x > a->right ? (int32_t)x : a->right;
            a->bottom = y > a->bottom ? (int32_t)y : a->bottom;
            a->pixels++;
            a->gray[gray_bin((int)gray_at(image, y, x))]++;
            if (bin >= 0)
                a->pattern[bin]++;
        }
    for (int64_t i = 0; i < s->area_count; i++) {
        area *a = &s->areas[i];
        for (int k = 0; k < GRAY_BINS; k++)
            a->gray[k] /= (double)a->pixels;
        for (int k = 0; k < PATTERN_BINS; k++)
            a->pattern[k] /= (double)a->pixels;
    }
}

static int32_t lower(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t higher(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static area united(const area *a, const area *b)
{
    area u = {.left = lower(a->left, b->left),
              .top = lower(a->top, b->top),
              .right = higher(a->right, b->right),
              .bottom = higher(a->bottom, b->bottom),
              .pixels = a->pixels + b->pixels};
    double of_a = (double)a->pixels, of_b = (double)b->pixels, all = (double)u.pixels;
    for (int k = 0; k < GRAY_BINS; k++)
        u.gray[k] = (a->gray[k] * of_a + b->gray[k] * of_b) / all;
    for (int k = 0; k < PATTERN_BINS; k++)
        u.pattern[k] = (a->pattern[k] * of_a + b->pattern[k] * of_b) / all;
    return u;
}

static double likeness(const search *s, const area *a, const area *b)
{
    int32_t last = s->how->corrected;
    double colour = 2, texture = 0; /* hue and saturation are equal */
    for (int k = 0; k < GRAY_BINS; k++)
        colour += fmin(a->gray[k], b->gray[k]);
    for (int channel = 0; channel < 3; channel++)
        for (int k = 0; k < PATTERN_BINS; k++)
            texture += fmin(a->pattern[k], b->pattern[k]);
    int64_t wide = higher(a->right, b->right) - lower(a->left, b->left) + last;
    int64_t tall = higher(a->bottom, b->bottom) - lower(a->top, b->top) + last;
    double size = 1 - (double)(a->pixels + b->pixels) / s->all;
    double fill = 1 - (double)(wide * tall - a->pixels - b->pixels) / s->all;
    return colour + texture + size + fill;
}

/* ---- pairs ---- */

static bool add_pair(search *s, int32_t a, int32_t b, assay_error *error)
{
    if (s->pair_count == s->pair_room) {
        int64_t room = s->pair_room > 0 ? 2 * s->pair_room : 1024;
        pair *more = assay_arena_alloc(s->arena, room * (int64_t)sizeof *more, error);
        if (more == NULL)
            return false;
        if (s->pair_count > 0)
            memcpy(more, s->pairs, (size_t)s->pair_count * sizeof *more);
        assay_arena_release(s->arena, s->pairs, s->pair_room * (int64_t)sizeof *more);
        s->pairs = more;
        s->pair_room = room;
    }
    s->pairs[s->pair_count++] = (pair){likeness(s, &s->areas[a], &s->areas[b]), a, b};
    return true;
}

static bool within(int32_t low, int32_t at, int32_t high)
{
    return low < at && at < high;
}

/* A corner of b's box lies inside a's: the published test, in this direction only. */
static bool overlaps(const area *a, const area *b)
{
    bool beside = within(a->left, b->left, a->right) || within(a->left, b->right, a->right);
    bool above = within(a->top, b->top, a->bottom) || within(a->top, b->bottom, a->bottom);
    return beside && above;
}

static bool pair_boxes(search *s, assay_error *error)
{
    for (int32_t a = 0; a + 1 < s->area_count; a++)
        for (int32_t b = a + 1; b < s->area_count; b++)
            if (overlaps(&s->areas[a], &s->areas[b]) && !add_pair(s, a, b, error))
                return false;
    return true;
}

/* Segments that touch, each pair once. */
static bool pair_neighbours(search *s, const int32_t *labels, assay_error *error)
{
    int64_t width = s->image->width, height = s->image->height, bits = s->area_count;
    int64_t bytes = (bits * bits + 7) / 8;
    uint8_t *met = assay_arena_alloc(s->arena, bytes, error);
    bool good = met != NULL;
    if (good)
        memset(met, 0, (size_t)bytes);
    for (int64_t i = 0; good && i < width * height; i++)
        for (int step = 0; good && step < 2; step++) {
            bool ends = step == 0 ? (i + 1) % width == 0 : i + width >= width * height;
            int32_t a = labels[i], b = ends ? a : labels[step == 0 ? i + 1 : i + width];
            int64_t bit = (int64_t)lower(a, b) * bits + higher(a, b);
            if (a == b || (met[bit >> 3] >> (bit & 7) & 1) != 0)
                continue;
            met[bit >> 3] |= (uint8_t)(1 << (bit & 7));
            good = add_pair(s, lower(a, b), higher(a, b), error);
        }
    assay_arena_release(s->arena, met, bytes);
    return good;
}

/* ---- merging ---- */

/* Of equal ones the newest. */
static pair most_alike(const search *s)
{
    int64_t best = 0;
    for (int64_t i = 1; i < s->pair_count; i++)
        if (s->pairs[i].alike >= s->pairs[best].alike)
            best = i;
    return s->pairs[best];
}

/* The two become one; whatever was a neighbour of either is one of it. `met` (areas) holds the
 * newest area that an area was paired with. */
static bool merge(search *s, int32_t *met, assay_error *error)
{
    pair chosen = most_alike(s);
    int32_t made = (int32_t)s->area_count++;
    int64_t kept = 0, count = s->pair_count, former = 0;
    s->areas[made] = united(&s->areas[chosen.a], &s->areas[chosen.b]);
    /* Pairs with either go to the end of the list of partners, in their order. */
    int32_t *partners = assay_arena_alloc(s->arena, count * (int64_t)sizeof *partners, error);
    if (partners == NULL)
        return false;
    for (int64_t i = 0; i < count; i++) {
        pair p = s->pairs[i];
        bool first = p.a == chosen.a || p.a == chosen.b,
             second = p.b == chosen.a || p.b == chosen.b;
        if (!first && !second)
            s->pairs[kept++] = p;
        else if (!(first && second))
            partners[former++] = first ? p.b : p.a;
    }
    s->pair_count = kept;
    bool good = true;
    for (int64_t i = 0; good && i < former; i++) {
        if (met[partners[i]] == made)
            continue;
        met[partners[i]] = made;
        good = add_pair(s, made, partners[i], error);
    }
    assay_arena_release(s->arena, partners, count * (int64_t)sizeof *partners);
    return good;
}

bool assay_regions_find(const assay_image *image, const assay_search *how, assay_region **out,
                        int64_t *count, assay_arena *arena, assay_error *error)
{
    int64_t pixels = image->width * image->height, segments = 0;
    search s = {.image = image, .how = how, .all = (double)pixels, .arena = arena};
    int32_t *labels = assay_arena_alloc(arena, pixels * (int64_t)sizeof *labels, error);
    if (labels == NULL || !assay_segments(image, how, labels, &segments, arena, error))
        return false;
    if (segments > MOST_SEGMENTS)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "selective search",
                          .what = "the image has too many segments", .expected = "at most 16384",
                          .got = assay_text("%lld", (long long)segments),
                          .hint = "a larger scale or least size gives fewer");
    /* n areas need at most n - 1 unions. */
    s.areas = assay_arena_alloc(arena, 2 * segments * (int64_t)sizeof *s.areas, error);
    int32_t *met = assay_arena_alloc(arena, 2 * segments * (int64_t)sizeof *met, error);
    if (s.areas == NULL || met == NULL)
        return false;
    memset(met, 0xff, (size_t)(2 * segments) * sizeof *met);
    s.area_count = segments;
    describe_areas(&s, labels);
    if (!(how->corrected ? pair_neighbours(&s, labels, error) : pair_boxes(&s, error)))
        return false;
    while (s.pair_count > 0)
        if (!merge(&s, met, error))
            return false;
    assay_region *found = assay_arena_alloc(arena, s.area_count * (int64_t)sizeof *found, error);
    if (found == NULL)
        return false;
    for (int64_t i = 0; i < s.area_count; i++) {
        const area *a = &s.areas[i];
        int64_t last = how->corrected;
        found[i] = (assay_region){
            {a->left, a->top, a->right - a->left + last, a->bottom - a->top + last}, a->pixels};
    }
    *out = found;
    *count = s.area_count;
    return true;
}
