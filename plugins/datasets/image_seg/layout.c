/* layout.c - where a set keeps its images, labels and lists, and what its labels mean.
 *
 * The presets are the published sets as their owners lay them out (UNIP's configurations; the
 * original MFNet archive; MCNet's remapping of SCUT-Seg): infrared spec 2.8. */
#include "seg.h"

#include <assay/file.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_CLASSES     255
#define CLASSES_FILE     "classes.txt"
#define CLASSES_BYTES    65536
#define DATASET          "dataset.image_seg"
#define OF_PRESET(array) (array), (int)(sizeof(array) / sizeof *(array))

static const char *const soda_classes[] = {
    "background",  "person",    "building", "tree",  "road",    "pole",  "grass",
    "door",        "table",     "chair",    "car",   "bicycle", "lamp",  "monitor",
    "trafficCone", "trash can", "animal",   "fence", "sky",     "river", "sidewalk"};
static const char *const mfnet_classes[] = {
    "background", "car", "person", "bike", "curve", "car_stop", "guardrail", "color_cone", "bump"};
static const char *const scut_classes[] = {"background", "road",  "person", "rider", "car",
                                           "truck",      "fence", "tree",   "bus",   "pole"};
/* Stored value, class. */
static const double scut_remap[] = {0,  0, 7,  1, 24, 2, 25, 3, 26, 4,
                                    27, 5, 13, 6, 21, 7, 28, 8, 17, 9};

/* A folder that may hold the images or the labels, and files of which suffix tell. */
typedef struct place {
    const char *folder, *suffix;
    int channel; /* of images */
    bool raw;    /* labels that the preset's remapping is for */
} place;

typedef struct preset {
    const char *name, *inside;  /* a folder below `path` that may hold everything */
    place images[3], labels[3]; /* the first that is there is taken */
    const char *lists[3];
    const char *const *classes;
    int class_count;
    const double *remap;
    int64_t remap_count;
} preset;

static const preset presets[] = {
    {.name = "image_seg",
     .images = {{"images", "", ASSAY_LUMA, false}},
     .labels = {{"labels", ".png", 0, false}},
     .lists = {"train.txt", "valid.txt", "test.txt"}},
    /* FTNet takes its masks from SegmentationClassOne. */
    {.name = "soda",
     .inside = "InfraredSemanticLabel",
     .images = {{"JPEGImages", ".jpg", ASSAY_LUMA, false}},
     .labels = {{"SegmentationClassPNG", ".png", 0, false},
                {"SegmentationClassOne", ".png", 0, false}},
     .lists = {"train_infrared.txt", "test_infrared.txt", "test_infrared.txt"},
     .classes = OF_PRESET(soda_classes)},
    /* The archive's pictures hold red, green, blue and thermal; UNIP's copies only the last. */
    {.name = "mfnet_t",
     .images = {{"thermal_imgs", ".png", ASSAY_LUMA, false}, {"images", ".png", 3, false}},
     .labels = {{"labels", ".png", 0, false}},
     .lists = {"train.txt", "val.txt", "test.txt"},
     .classes = OF_PRESET(mfnet_classes)},
    {.name = "scut_seg",
     .images = {{"images", ".jpg", ASSAY_LUMA, false}},
     .labels = {{"labels", "_labelIds.png", 0, true}, {"labels", ".png", 0, false}},
     .lists = {"train.txt", "val.txt", "val.txt"},
     .classes = OF_PRESET(scut_classes),
     .remap = scut_remap,
     .remap_count = sizeof scut_remap / sizeof *scut_remap},
};

static bool has_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* ---- folders ---- */

static bool find_base(seg_layout *out, const preset *from, const char *path, assay_error *error)
{
    if (strlen(path) > sizeof out->base - 64)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
    if (!is_folder(path))
        return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "there is no such folder",
                          .hint = "`path` is the folder that holds images and labels");
    snprintf(out->base, sizeof out->base, "%s", path);
    if (from->inside != NULL) {
        size_t length = strlen(out->base);
        snprintf(out->base + length, sizeof out->base - length, "/%s", from->inside);
        if (!is_folder(out->base))
            out->base[length] = '\0';
    }
    return true;
}

/* Whether the folder of a place holds a file of its suffix. */
static bool holds(const seg_layout *layout, const place *at)
{
    char path[SEG_LONGEST_PATH + 64];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s", layout->base, at->folder);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (struct dirent *entry = readdir(folder); entry != NULL && !found; entry = readdir(folder))
        found = at->suffix[0] == '\0' || seg_ends_with(entry->d_name, at->suffix);
    closedir(folder);
    return found;
}

/* The first place that is there; the first of all when none is, so that an error names it. */
static const place *choose(const seg_layout *layout, const place *places)
{
    for (const place *at = places; at->folder != NULL; at++)
        if (holds(layout, at))
            return at;
    return places;
}

static bool must_be_folder(const seg_layout *layout, const char *folder, const char *what,
                           assay_error *error)
{
    char path[SEG_LONGEST_PATH + SEG_LONGEST_STEM];
    if (strlen(folder) >= SEG_LONGEST_STEM)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET, .what = "the path is too long");
    snprintf(path, sizeof path, "%s/%s", layout->base, folder);
    return is_folder(path) ||
           ASSAY_FAIL(error, ASSAY_IO, .where = path,
                      .what = assay_text("the folder of the %s is missing", what),
                      .hint = assay_text("option `%s` names another", what));
}

static bool find_folders(seg_layout *out, const preset *from, const seg_options *options, bool *raw,
                         assay_error *error)
{
    bool labelled = options->task == SEG_TASK_SEGMENTATION;
    const place *images = has_text(options->images) ? &from->images[0] : choose(out, from->images);
    const place *labels = has_text(options->labels) ? &from->labels[0] : choose(out, from->labels);
    out->images = has_text(options->images) ? options->images : images->folder;
    out->image_suffix = has_text(options->image_suffix) ? options->image_suffix : images->suffix;
    out->channel = options->channel >= 0 ? (int)options->channel : images->channel;
    out->labels = !labelled ? NULL : has_text(options->labels) ? options->labels : labels->folder;
    out->label_suffix = has_text(options->label_suffix) ? options->label_suffix : labels->suffix;
    *raw = has_text(options->label_suffix)
               ? strcmp(options->label_suffix, labels->suffix) == 0 && labels->raw
               : labels->raw;
    if (strlen(out->image_suffix) > 64 || strlen(out->label_suffix) > 64)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET, .what = "a suffix is too long",
                          .expected = "at most 64 bytes");
    return must_be_folder(out, out->images, "images", error) &&
           (!labelled || must_be_folder(out, out->labels, "labels", error));
}

/* ---- lists ---- */

bool seg_list_path(const seg_layout *layout, const char *name, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s/%s", layout->path, name);
    if (is_file(out))
        return true;
    snprintf(out, (size_t)size, "%s/%s", layout->base, name);
    return is_file(out);
}

static bool list_is_there(const seg_layout *layout, const char *name)
{
    char path[SEG_LONGEST_PATH];
    return seg_list_path(layout, name, path, sizeof path);
}

/* The lists that are named must be there (find.c says so when they are not); those of a set without
 * preset are taken where they are there. */
static bool find_lists(seg_layout *out, const preset *from, const seg_options *options,
                       assay_error *error)
{
    const assay_texts *named[3] = {&options->train, &options->valid, &options->test};
    bool any_named = false;
    for (int i = 0; i < 3; i++)
        any_named = any_named || named[i]->count > 0;
    for (int i = 0; i < 3; i++) {
        if (named[i]->count > SEG_MOST_LISTS - 1)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET,
                              .what = "too many lists of one split",
                              .expected = assay_text("at most %d", SEG_MOST_LISTS - 1));
        for (int64_t k = 0; k < named[i]->count; k++) {
            if (strlen(named[i]->items[k]) >= SEG_LONGEST_STEM)
                return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET,
                                  .what = "the path is too long");
            out->lists[i][k] = named[i]->items[k];
        }
        if (named[i]->count == 0 &&
            (from != presets
                 ? options->task == SEG_TASK_SEGMENTATION || list_is_there(out, from->lists[i])
                 : !any_named && list_is_there(out, from->lists[i])))
            out->lists[i][0] = from->lists[i];
        out->listed = out->listed || out->lists[i][0] != NULL;
    }
    return true;
}

/* ---- classes ---- */

/* One name a line. */
static bool read_classes(seg_layout *out, assay_error *error)
{
    char path[SEG_LONGEST_PATH + 64];
    int64_t bytes = 0;
    snprintf(path, sizeof path, "%s/%s", out->base, CLASSES_FILE);
    if (!is_file(path))
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .where = DATASET, .what = "the classes have no names",
            .expected = "option `classes`, or a file " CLASSES_FILE " with a name a line",
            .got = path);
    char *text = assay_read_file(path, CLASSES_BYTES, &bytes, error);
    out->owned_classes = text != NULL ? assay_zalloc(MOST_CLASSES * sizeof(char *), error) : NULL;
    bool good = out->owned_classes != NULL;
    char *rest = NULL;
    for (char *line = good ? strtok_r(text, "\r\n", &rest) : NULL; line != NULL && good;
         line = strtok_r(NULL, "\r\n", &rest)) {
        if (out->class_count == MOST_CLASSES) {
            good = ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "too many classes",
                              .expected = assay_text("at most %d", MOST_CLASSES));
            break;
        }
        out->owned_classes[out->class_count] = assay_strdup(line, error);
        good = out->owned_classes[out->class_count] != NULL;
        out->class_count += good;
    }
    out->classes = (const char *const *)out->owned_classes;
    assay_free(text);
    return good;
}

static bool find_classes(seg_layout *out, const preset *from, const seg_options *options,
                         assay_error *error)
{
    if (options->task == SEG_TASK_PRETRAINING)
        return true;
    if (options->classes.count > MOST_CLASSES)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": classes",
                          .what = "too many classes",
                          .expected = assay_text("at most %d", MOST_CLASSES));
    if (options->classes.count > 0) {
        out->classes = options->classes.items;
        out->class_count = (int)options->classes.count;
    } else if (from->classes != NULL) {
        out->classes = from->classes;
        out->class_count = from->class_count;
    } else if (!read_classes(out, error)) {
        return false;
    }
    if (out->class_count < 2)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": classes",
                          .what = "there is nothing to tell apart", .expected = "2 classes or more",
                          .got = assay_text("%d", out->class_count));
    for (int i = 0; i < out->class_count; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(out->classes[i], out->classes[k]) == 0)
                return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": classes",
                                  .what = "a class is named twice", .got = out->classes[i]);
    return true;
}

/* What stored values mean: themselves, or what the remapping says of them and nothing else. */
static bool find_meanings(seg_layout *out, const double *remap, int64_t count, int64_t ignore,
                          assay_error *error)
{
    for (int v = 0; v < 256; v++)
        out->class_of[v] = (int16_t)(count == 0 && v < out->class_count ? v : -1);
    if (count % 2 != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": remap",
                          .what = "a remapping is pairs: stored value, class",
                          .got = assay_text("%lld numbers", (long long)count));
    if (ignore >= 0)
        out->class_of[ignore] = SEG_IGNORED;
    for (int64_t i = 0; i < count; i += 2) {
        int from = (int)remap[i], to = (int)remap[i + 1];
        if (from != remap[i] || to != remap[i + 1])
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": remap",
                              .what = "labels are whole numbers");
        if (to >= out->class_count && to != ignore)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": remap",
                              .what = assay_text("%d becomes %d, which is no class", from, to),
                              .expected = assay_text("0 to %d, or `ignore`", out->class_count - 1));
        out->class_of[from] = (int16_t)(to == ignore ? SEG_IGNORED : to);
    }
    return true;
}

/* ---- all of it ---- */

bool seg_layout_make(seg_layout *out, const seg_options *options, assay_error *error)
{
    const preset *from = &presets[options->preset];
    bool raw = false;
    *out = (seg_layout){.name = has_text(options->name) ? options->name : from->name,
                        .path = options->path};
    if (strchr(out->name, '/') != NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = DATASET ": name",
                          .what = "a suite's name has no '/'", .got = out->name);
    if (!find_base(out, from, options->path, error) ||
        !find_folders(out, from, options, &raw, error) || !find_lists(out, from, options, error) ||
        !find_classes(out, from, options, error))
        return false;
    if (options->task == SEG_TASK_PRETRAINING)
        return true;
    if (options->remap.count > 0)
        return find_meanings(out, options->remap.items, options->remap.count, options->ignore,
                             error);
    return find_meanings(out, from->remap, raw ? from->remap_count : 0, options->ignore, error);
}

void seg_layout_clear(seg_layout *layout)
{
    for (int i = 0; layout->owned_classes != NULL && i < layout->class_count; i++)
        assay_free(layout->owned_classes[i]);
    assay_free(layout->owned_classes);
    layout->owned_classes = NULL;
}
