/* pictures.h - a dataset of gray images that a test holds in its hands: drawn from a seed, every
 * split the same, sizes free to change. */
#ifndef TESTS_MODELS_PICTURES_H
#define TESTS_MODELS_PICTURES_H

#include <assay/dataset.h>

enum { PICTURES_MOST = 8, PICTURES_SIDE = 48 };

typedef struct pictures {
    assay_data data;
    assay_dataset_functions functions;
    int64_t count;
    int64_t height[PICTURES_MOST], width[PICTURES_MOST];
    float pixels[PICTURES_MOST][PICTURES_SIDE * PICTURES_SIDE]; /* (height, width) */
} pictures;

/* `count` images of side x side of normal numbers. Must not move afterwards. */
void pictures_open(pictures *out, int64_t count, int64_t side, uint64_t seed);

#endif
