/* mix.h - what the files of the dataset plugin `image_mix` share.
 *
 * list.c lists the images of every part in their order; check.c reads each once (with
 * ../images/index.h) and makes the fingerprint; sample.c makes samples; image_mix.c is the
 * plugin. */
#ifndef IMAGE_MIX_H
#define IMAGE_MIX_H

#include <assay/dataset.h>
#include <assay/image.h>

#define MIX_LONGEST_PATH 4096
#define MIX_WHERE        "dataset.image_mix"

enum { MIX_CROP_RANDOM, MIX_CROP_ROI };

typedef struct mix_options {
    const char *path;
    assay_texts parts;
    int64_t per_class;
    double data_ratio;
    int64_t limit;
    double mean, sd;
    int64_t side;
    assay_numbers crop_scale, crop_ratio;
    bool flip;
    int crop;
    double roi_p, roi_unit;
    int on_error;
} mix_options;

/* A folder of images that is counted by itself: an infrared set, all of ImageNet, COCO. */
typedef struct mix_source {
    char name[128];
    int64_t listed; /* images, before the ratio */
    int64_t kept;
} mix_source;

typedef struct mix_item {
    int64_t path; /* offset in mix_data.text, of the path below the data's folder */
    int32_t source;
    uint8_t content[32]; /* SHA-256 of the file */
} mix_item;

typedef struct mix_data {
    const mix_options *options;
    char *text;
    int64_t text_bytes, text_room;
    mix_item *items;
    int64_t count, room;
    mix_source *sources;
    int64_t source_count, source_room;
    int64_t broken; /* images that were left out */
    assay_field field;
    char fingerprint[65];
} mix_data;

/* Every image of every part, then every floor(1 / data_ratio)-th of them, then `limit`. */
bool mix_list(mix_data *data, assay_error *error);
/* The path of an item, in out[MIX_LONGEST_PATH]. */
void mix_path(const mix_data *data, const mix_item *item, char *out);

/* Reads, or knows from last time, every image; fills the items and the fingerprint. */
bool mix_check(mix_data *data, const assay_host *host, assay_error *error);

bool mix_sample(const mix_data *data, int64_t number, const assay_draw *draw, assay_arena *arena,
                assay_sample *out, assay_error *error);

#endif
