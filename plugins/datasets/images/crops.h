/* crops.h - which part of a picture pre-training sees (infrared spec 2.3, 3.3.3). */
#ifndef IMAGES_CROPS_H
#define IMAGES_CROPS_H

#include <assay/image.h>

/* What a script may say of it. */
typedef struct images_crop {
    const double *scale, *ratio; /* two each, of a random box */
    double p, unit;              /* of a crop around a region */
    const char *path; /* of the image whose regions `assay rois` found; NULL: a random box */
} images_crop;

/* The box that is cut out: anywhere, or around a region. */
bool images_choose_box(const assay_image *image, const images_crop *how, assay_chance *chance,
                       assay_box *out, assay_error *error);
/* Outside training: the largest square in the middle, side x side; owned by the caller. */
bool images_cut_middle(assay_image *out, const assay_image *in, int64_t side, assay_error *error);

#endif
