/* seg.h - what the files of the dataset plugin `image_seg` share: options, layout, sets, facts.
 *
 * layout.c says where a published set keeps what; find.c lists the images of the splits; index.c
 * reads and checks every file once and remembers what it found; sample.c makes samples; image_seg.c
 * is the plugin. */
#ifndef IMAGE_SEG_H
#define IMAGE_SEG_H

#include <assay/dataset.h>
#include <assay/image.h>

#define SEG_LONGEST_PATH 4096
#define SEG_LONGEST_STEM 512
#define SEG_IGNORED      255 /* in the field `truth`, whatever the files say */

enum { SEG_TASK_SEGMENTATION, SEG_TASK_PRETRAINING };
enum { SEG_CROP_RANDOM, SEG_CROP_ROI };

typedef struct seg_options {
    const char *path, *name;
    int preset, task;
    const char *images, *labels, *image_suffix, *label_suffix;
    assay_texts train, valid, test, classes;
    assay_numbers remap;
    int64_t ignore, channel;
    double mean, sd;
    int64_t side;
    assay_numbers fit, resize, crop_scale, crop_ratio;
    int crop;
    double roi_p, roi_unit;
    double most;
    bool flip, photometric;
    double data_ratio;
    int64_t limit;
    int copies, on_error;
} seg_options;

/* ---- layout ---- */

#define SEG_MOST_LISTS 8

/* Where the set lies and how its files are to be read: the preset's word, the options' where they
 * say something. Texts are borrowed from options and presets, except where said. */
typedef struct seg_layout {
    const char *name;                     /* of the suite */
    const char *path;                     /* as the options have it */
    char base[2048];                      /* `path`, or the folder in it that holds everything */
    const char *images, *image_suffix;    /* suffix "": any known picture's */
    const char *labels, *label_suffix;    /* labels NULL: there are none */
    const char *lists[3][SEG_MOST_LISTS]; /* files of train, valid, test; NULL ends them */
    bool listed;                          /* false: by hash of the stem */
    int channel;                          /* of the image, or ASSAY_LUMA */
    int16_t class_of[256]; /* of a stored label: 0 .. classes - 1, SEG_IGNORED, or -1: none */
    const char *const *classes;
    int class_count;
    char **owned_classes; /* when they come from classes.txt; freed with the layout */
} seg_layout;

bool seg_layout_make(seg_layout *out, const seg_options *options, assay_error *error);
/* Where a list lies: in `path`, or failing that in the base. False: in neither; `out` is in the
 * base. */
bool seg_list_path(const seg_layout *layout, const char *name, char *out, int64_t size);
void seg_layout_clear(seg_layout *layout);

/* ---- images of a split ---- */

typedef struct seg_item {
    int64_t stem;      /* offset in seg_sets.text */
    int32_t line;      /* of its list; 0: there is none */
    uint8_t list;      /* of the split's lists */
    uint8_t suffix;    /* of the image, in seg_suffixes, when the layout names none */
    uint8_t image[32]; /* SHA-256 of the file */
    uint8_t truth[32]; /* of the label file; zeros without one */
    int32_t width, height;
} seg_item;

typedef struct seg_set {
    seg_item *items;
    int64_t count, room;
} seg_set;

typedef struct seg_sets {
    char *text; /* every stem, closed by NUL */
    int64_t text_bytes, text_room;
    seg_set of[ASSAY_SPLITS];
    int64_t copies;  /* stems that look like copies: "(1)", "~temp" */
    int64_t dropped; /* of them, by the options */
    int64_t shared;  /* images that valid and test have in common */
} seg_sets;

/* Lists the images of every split, before any is opened. */
bool seg_find(seg_sets *out, const seg_layout *layout, const seg_options *options,
              assay_error *error);
void seg_sets_clear(seg_sets *sets);

/* Paths of an item, in out[SEG_LONGEST_PATH]. */
void seg_image_path(const seg_layout *layout, const seg_sets *sets, const seg_item *item,
                    char *out);
void seg_label_path(const seg_layout *layout, const seg_sets *sets, const seg_item *item,
                    char *out);

/* Whether a name ends so, and has something before it. */
bool seg_ends_with(const char *name, const char *suffix);
/* The place in the known suffixes of pictures that a name ends with; -1. */
int seg_suffix_of(const char *name);

/* ---- the dataset ---- */

typedef struct seg_data {
    const seg_options *options;
    seg_layout layout;
    seg_sets sets;
    assay_field fields[2];
    int field_count;
    assay_benchmark benchmark;
    int64_t side, fit[2];
    double sd;
    char fingerprint[65];
} seg_data;

/* Reads, or knows from last time, every file of every set; fills the items and the fingerprint. */
bool seg_check(seg_data *data, const assay_host *host, assay_error *error);

bool seg_sample(const seg_data *data, assay_data_split split, int64_t number,
                const assay_draw *draw, assay_arena *arena, assay_sample *out, assay_error *error);

#endif
