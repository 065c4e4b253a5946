/* image_place.h - a folder with images and labels in it, for the tests of the plugin
 * `image_seg`. */
#ifndef TEST_IMAGE_PLACE_H
#define TEST_IMAGE_PLACE_H

#include <assay/dataset.h>
#include <assay/image.h>

#include "seg.h"

typedef struct image_place {
    char folder[64];
    char cache[96]; /* a folder for the host to offer */
    assay_host host;
    seg_options options; /* defaults of the table, with `folder` as path */
    assay_arena *arena;
    bool stops;        /* what the host says of stopping */
    char warned[2048]; /* the warnings logged since it was emptied */
} image_place;

int image_place_make(void **state);
int image_place_remove(void **state);

const assay_dataset_functions *image_functions(void);

/* A folder below the place's, with those above it. */
void must_make_folder(const image_place *place, const char *name);
void must_put(const image_place *place, const char *name, const void *data, size_t bytes);
void must_put_text(const image_place *place, const char *name, const char *text);
/* A gray PNG of width x height bytes. */
void must_put_gray(const image_place *place, const char *name, int64_t width, int64_t height,
                   const uint8_t *pixels);
/* One value everywhere. */
void must_put_flat(const image_place *place, const char *name, int64_t width, int64_t height,
                   uint8_t value);
/* A PNG of red, green, blue and alpha. */
void must_put_rgba(const image_place *place, const char *name, int64_t width, int64_t height,
                   const uint8_t *pixels);
/* A palette PNG with these indices; the palette's colours are those of no index. */
void must_put_palette(const image_place *place, const char *name, int64_t width, int64_t height,
                      const uint8_t *indices);

/* images/S.png (24 x 16, gray S-dependent) and labels/S.png with classes 0, 1, 2 in columns, for
 * the stems a to f; train.txt a-d, valid.txt e, test.txt f; classes.txt with three. */
void write_small_set(const image_place *place);

void *must_open(image_place *place);
/* What opening fails with. */
assay_error must_refuse(image_place *place, assay_code code);
assay_sample must_sample(image_place *place, void *data, assay_data_split split, int64_t number,
                         const assay_draw *draw);

#endif
