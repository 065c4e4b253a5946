/* assay/regions.h - regions of an image that may hold an object, and random crops around them.
 *
 * Selective search (Uijlings et al., IJCV 2013) over the segments of Felzenszwalb and Huttenlocher
 * (IJCV 2004), region for region as the Python packages selectivesearch 0.4 and scikit-image give
 * them for a gray image of three equal channels; what PAD (infrared spec 3.3) keeps of them, the
 * files that hold it, and the crops of pre-training that are drawn around it. */
#ifndef ASSAY_REGIONS_H
#define ASSAY_REGIONS_H

#include <assay/hash.h>
#include <assay/image.h>

/* ---- segments and regions ---- */

typedef struct assay_search {
    double scale;   /* larger: larger segments */
    double sigma;   /* pixels, of the blur before; 0: none */
    int64_t least;  /* pixels of a segment */
    bool corrected; /* false: as published. true: boxes include their last row and column, texture
                       counts all 256 patterns, and neighbours are segments that touch */
} assay_search;

/* labels (height, width) becomes 0 .. count-1, numbered by their first pixel. An image of 8
 * bits. */
bool assay_segments(const assay_image *image, const assay_search *how, int32_t *labels,
                    int64_t *count, assay_arena *arena, assay_error *error);

typedef struct assay_region {
    assay_box box;
    int64_t pixels;
} assay_region;

/* Every segment and every union of two most similar neighbours on the way to one region, in the
 * order they arise. *out lies in the arena. An image of more than 16384 segments is refused. */
bool assay_regions_find(const assay_image *image, const assay_search *how, assay_region **out,
                        int64_t *count, assay_arena *arena, assay_error *error);

/* ---- candidates for crops ---- */

typedef struct assay_rois {
    const assay_box *items;
    int64_t count;
} assay_rois;

/* Which regions are kept: each box once, of at least so many pixels of its region and such
 * sides. */
typedef struct assay_roi_rule {
    assay_search search;
    int64_t pixels, side;
    double aspect; /* longer side / shorter at most */
} assay_roi_rule;

/* PAD's rule: scale 600, sigma 0.9, 30 pixels; 600 pixels, side 40, aspect 3. It is made for images
 * of about 640 x 480; `unit` multiplies its sides, and by its square its areas and scale. */
assay_roi_rule assay_roi_rule_of(double unit);

/* The candidates of an image of 8 bits, in the arena. */
bool assay_rois_find(const assay_image *image, const assay_roi_rule *rule, assay_rois *out,
                     assay_arena *arena, assay_error *error);

/* A file of candidates has a line "x,y,w,h" for each. Reading fails with file and line on anything
 * else; whether boxes lie in their image is the crop's business, as published. */
bool assay_rois_read(const char *path, assay_rois *out, assay_arena *arena, assay_error *error);
bool assay_rois_write(const char *path, const assay_rois *rois, assay_error *error);
/* Where an image's file is: DIR/thermal/NAME.png has DIR/roi/NAME.txt, whatever its folder is
 * called. False: too long. */
bool assay_rois_path(const char *image, char *out, int64_t size);
/* The candidates of an image by its path; none when there is no such file. */
bool assay_rois_of(const char *image, assay_rois *out, assay_arena *arena, assay_error *error);
/* Checks an image's file when a data set is opened: its candidates go into `hash`, and *found grows
 * by one if there is a file. */
bool assay_rois_check(const char *image, assay_sha256 *hash, int64_t *found, assay_arena *arena,
                      assay_error *error);

/* ---- crops ---- */

typedef struct assay_roi_crop {
    double p;        /* 0.85: crops may be small with this probability */
    double large;    /* 0.15: else they have this share of the image at least */
    int64_t side;    /* 40: candidates with less are passed over */
    int64_t least;   /* 60: sides of a crop */
    bool as_it_is;   /* the candidate's box is the crop */
    double scale[2]; /* of the random box when no candidate gives a crop in 20 tries */
    double ratio[2];
} assay_roi_crop;

/* PAD's numbers, sides multiplied with `unit`. */
assay_roi_crop assay_roi_crop_of(double unit);

/* A crop around a candidate that is drawn, moved by up to 0.4 and resized by 0.7 to 1.5 of its
 * sides (infrared spec 3.3.3, halves rounded to even); without candidates assay_random_box. Takes
 * at most 141 numbers. */
assay_box assay_roi_box(int64_t width, int64_t height, const assay_rois *rois,
                        const assay_roi_crop *crop, assay_chance *chance);

#endif
