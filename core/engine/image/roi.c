/* roi.c - PAD's candidates: what is kept of the regions, files of them, crops around them (infrared
 * spec 3.3.1, 3.3.3). */
#include <assay/file.h>
#include <assay/regions.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIES         20
#define LONGEST_PATH  4096
#define LARGEST_FILE  (INT64_C(1) << 26)
#define MOST_OF_IMAGE 1000000

/* ---- finding ---- */

static int64_t rounded(double v, int64_t least)
{
    int64_t n = (int64_t)nearbyint(v);
    return n > least ? n : least;
}

assay_roi_rule assay_roi_rule_of(double unit)
{
    double square = unit * unit;
    return (assay_roi_rule){.search = {600 * square, 0.9, rounded(30 * square, 1), false},
                            .pixels = rounded(600 * square, 1),
                            .side = rounded(40 * unit, 1),
                            .aspect = 3};
}

static bool is_kept(const assay_region *r, const assay_roi_rule *rule)
{
    double wide = (double)r->box.width, tall = (double)r->box.height;
    return r->pixels >= rule->pixels && r->box.width >= rule->side && r->box.height >= rule->side &&
           wide <= rule->aspect * tall && tall <= rule->aspect * wide;
}

static bool is_same(const assay_box *a, const assay_box *b)
{
    return a->x == b->x && a->y == b->y && a->width == b->width && a->height == b->height;
}

bool assay_rois_find(const assay_image *image, const assay_roi_rule *rule, assay_rois *out,
                     assay_arena *arena, assay_error *error)
{
    assay_region *regions = NULL;
    int64_t count = 0, kept = 0;
    if (!assay_regions_find(image, &rule->search, &regions, &count, arena, error))
        return false;
    assay_box *boxes = assay_arena_alloc(arena, count * (int64_t)sizeof *boxes, error);
    if (boxes == NULL)
        return false;
    for (int64_t i = 0; i < count; i++) {
        bool again = !is_kept(&regions[i], rule);
        for (int64_t k = 0; !again && k < kept; k++)
            again = is_same(&boxes[k], &regions[i].box);
        if (!again)
            boxes[kept++] = regions[i].box;
    }
    *out = (assay_rois){boxes, kept};
    return true;
}

/* ---- files ---- */

bool assay_rois_path(const char *image, char *out, int64_t size)
{
    const char *name = strrchr(image, '/');
    name = name != NULL ? name + 1 : image;
    const char *end = strrchr(name, '.');
    int stem = end != NULL && end > name ? (int)(end - name) : (int)strlen(name);
    /* DIR is the folder that holds the image's folder: "a/thermal" -> "a", "thermal" -> ".". */
    int64_t folder = name - image; /* with its slash */
    const char *parent = ".", *slash = NULL;
    for (const char *c = image; c + 1 < image + folder; c++)
        slash = *c == '/' ? c : slash;
    int length = 1;
    if (slash != NULL) {
        parent = slash == image ? "/" : image;
        length = slash == image ? 1 : (int)(slash - image);
    } else if (folder == 0) {
        parent = "..";
        length = 2;
    }
    return snprintf(out, (size_t)size, "%.*s/roi/%.*s.txt", length, parent, stem, name) < (int)size;
}

/* A number of at most nine digits; *at moves behind it and the character that ends it. */
static bool take_number(const char **at, const char *ends, int64_t *out)
{
    int digits = 0;
    *out = 0;
    while (**at >= '0' && **at <= '9' && digits++ < 9)
        *out = *out * 10 + (*(*at)++ - '0');
    if (digits == 0 || digits > 9 || strchr(ends, **at) == NULL)
        return false;
    *at += **at != '\0';
    return true;
}

static bool take_box(const char **at, assay_box *out)
{
    return take_number(at, ",", &out->x) && take_number(at, ",", &out->y) &&
           take_number(at, ",", &out->width) && take_number(at, "\n", &out->height);
}

static bool read_boxes(const char *path, const char *text, assay_rois *out, assay_arena *arena,
                       assay_error *error)
{
    int64_t lines = 0, count = 0;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n' || c[1] == '\0';
    if (lines > MOST_OF_IMAGE)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "too many candidates");
    assay_box *boxes = assay_arena_alloc(arena, lines * (int64_t)sizeof *boxes, error);
    if (boxes == NULL)
        return false;
    for (const char *at = text; *at != '\0'; count++) {
        if (!take_box(&at, &boxes[count]))
            return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                              .where = assay_text("%s:%lld", path, (long long)count + 1),
                              .what = "this line is no candidate", .expected = "x,y,w,h");
    }
    *out = (assay_rois){boxes, count};
    return true;
}

bool assay_rois_read(const char *path, assay_rois *out, assay_arena *arena, assay_error *error)
{
    int64_t bytes = 0;
    char *text = assay_read_file(path, LARGEST_FILE, &bytes, error);
    if (text == NULL)
        return false;
    bool good = (int64_t)strlen(text) == bytes ||
                ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "this is no text");
    good = good && read_boxes(path, text, out, arena, error);
    assay_free(text);
    return good;
}

static bool read_if_there(const char *image, assay_rois *out, bool *there, assay_arena *arena,
                          assay_error *error)
{
    char path[LONGEST_PATH];
    *out = (assay_rois){NULL, 0};
    if (!assay_rois_path(image, path, sizeof path))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = image, .what = "the path is too long");
    *there = access(path, F_OK) == 0;
    return !*there || assay_rois_read(path, out, arena, error);
}

bool assay_rois_of(const char *image, assay_rois *out, assay_arena *arena, assay_error *error)
{
    bool there = false;
    return read_if_there(image, out, &there, arena, error);
}

bool assay_rois_check(const char *image, assay_sha256 *hash, int64_t *found, assay_arena *arena,
                      assay_error *error)
{
    bool there = false;
    assay_rois rois = {NULL, 0};
    if (!read_if_there(image, &rois, &there, arena, error))
        return false;
    *found += there;
    assay_sha256_add(hash, &rois.count, sizeof rois.count);
    if (rois.count > 0)
        assay_sha256_add(hash, rois.items, (size_t)rois.count * sizeof *rois.items);
    return true;
}

bool assay_rois_write(const char *path, const assay_rois *rois, assay_error *error)
{
    char line[96];
    assay_publisher *file = assay_publish_begin(path, error);
    if (file == NULL)
        return false;
    bool good = true;
    for (int64_t i = 0; good && i < rois->count; i++) {
        const assay_box *b = &rois->items[i];
        int bytes = snprintf(line, sizeof line, "%lld,%lld,%lld,%lld\n", (long long)b->x,
                             (long long)b->y, (long long)b->width, (long long)b->height);
        good = assay_publish_write(file, line, bytes, error);
    }
    if (good)
        return assay_publish_commit(file, error);
    assay_publish_abandon(file);
    return false;
}

/* ---- crops ---- */

assay_roi_crop assay_roi_crop_of(double unit)
{
    return (assay_roi_crop){.p = 0.85,
                            .large = 0.15,
                            .side = rounded(40 * unit, 1),
                            .least = rounded(60 * unit, 1),
                            .scale = {0.2, 1},
                            .ratio = {3.0 / 4, 4.0 / 3}};
}

/* One side of a crop: first and last place, drawn around `from`, `length`. */
typedef struct span {
    int64_t first, last;
} span;

static int64_t move(int64_t from, int64_t length, double by)
{
    return (int64_t)(nearbyint((double)from + (double)length / 2) + nearbyint((double)length * by));
}

static span span_of(int64_t middle, double length, int64_t whole)
{
    int64_t first = (int64_t)nearbyint((double)middle - length / 2);
    int64_t last = (int64_t)nearbyint((double)middle + length / 2);
    return (span){first > 0 ? first : 0, last < whole - 1 ? last : whole - 1};
}

/* A crop around the candidate; false: it is too small, or lies outside. */
static bool draw_crop(int64_t width, int64_t height, const assay_box *roi,
                      const assay_roi_crop *crop, bool large, assay_chance *chance, assay_box *out)
{
    double off_x = assay_chance_between(chance, -0.4, 0.4);
    double off_y = assay_chance_between(chance, -0.4, 0.4);
    double wide = (double)roi->width * assay_chance_between(chance, 0.7, 1.5);
    double tall = (double)roi->height * assay_chance_between(chance, 0.7, 1.5);
    span x = span_of(move(roi->x, roi->width, off_x), fmax(wide, (double)crop->least), width);
    span y = span_of(move(roi->y, roi->height, off_y), fmax(tall, (double)crop->least), height);
    *out = (assay_box){x.first, y.first, x.last - x.first, y.last - y.first};
    if (out->width < 1 || out->height < 1 || out->width < crop->least || out->height < crop->least)
        return false;
    double share = (double)(out->width * out->height) / ((double)width * (double)height);
    return !large || share >= crop->large;
}

assay_box assay_roi_box(int64_t width, int64_t height, const assay_rois *rois,
                        const assay_roi_crop *crop, assay_chance *chance)
{
    if (rois == NULL || rois->count == 0)
        return assay_random_box(width, height, crop->scale, crop->ratio, chance);
    bool large = assay_chance_between(chance, 0, 1) > crop->p;
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const assay_box *roi = &rois->items[assay_chance_below(chance, rois->count)];
        assay_box box = {0};
        bool inside = roi->x >= 0 && roi->y >= 0 && roi->x <= width && roi->y <= height &&
                      roi->width <= width - roi->x && roi->height <= height - roi->y;
        if (!inside || roi->width < crop->side || roi->height < crop->side)
            continue;
        if (crop->as_it_is)
            return *roi;
        if (draw_crop(width, height, roi, crop, large, chance, &box))
            return box;
    }
    return assay_random_box(width, height, crop->scale, crop->ratio, chance);
}
