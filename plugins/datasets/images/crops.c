/* crops.c - see crops.h. */
#include "crops.h"

#include <assay/regions.h>

#include <string.h>

bool images_choose_box(const assay_image *image, const images_crop *how, assay_chance *chance,
                       assay_box *out, assay_error *error)
{
    assay_roi_crop crop = assay_roi_crop_of(how->path != NULL ? how->unit : 1);
    assay_rois rois = {NULL, 0};
    assay_arena *arena = NULL;
    crop.p = how->p;
    memcpy(crop.scale, how->scale, sizeof crop.scale);
    memcpy(crop.ratio, how->ratio, sizeof crop.ratio);
    if (how->path != NULL) {
        arena = assay_arena_new(65536, error);
        if (arena == NULL || !assay_rois_of(how->path, &rois, arena, error)) {
            assay_arena_free(arena);
            return false;
        }
    }
    *out = assay_roi_box(image->width, image->height, &rois, &crop, chance);
    assay_arena_free(arena);
    return true;
}

bool images_cut_middle(assay_image *out, const assay_image *in, int64_t side, assay_error *error)
{
    assay_image cut = {0};
    int64_t edge = in->width < in->height ? in->width : in->height;
    assay_box box = {(in->width - edge) / 2, (in->height - edge) / 2, edge, edge};
    bool good = assay_image_cut(&cut, in, box, NULL, error) &&
                assay_image_resize(out, &cut, side, side, ASSAY_BICUBIC, NULL, error);
    assay_image_free(&cut);
    return good;
}
