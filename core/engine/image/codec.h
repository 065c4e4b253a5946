/* codec.h - what the readers of file formats offer to files.c. */
#ifndef ENGINE_IMAGE_CODEC_H
#define ENGINE_IMAGE_CODEC_H

#include <assay/image.h>

/* A file in memory; `name` is for errors. */
typedef struct image_source {
    const uint8_t *data;
    int64_t bytes;
    const char *name;
} image_source;

/* Decoded pixels: rows of interleaved channels, uint8_t or uint16_t. Owned (assay_free). */
typedef struct image_pixels {
    int64_t width, height;
    int channels, bits;
    void *data;
} image_pixels;

/* Fails, in one voice. */
bool image_fail(const image_source *source, const char *what, const char *why, assay_error *error);

bool is_png(const image_source *source);
bool look_png(assay_image_header *out, const image_source *source, assay_error *error);
/* `stored`: numbers as they are (palette indices, gray of few bits) instead of 8 bits of a
 * colour. */
bool read_png(image_pixels *out, const image_source *source, bool stored, assay_error *error);

/* JPEG and BMP. */
bool look_stb(assay_image_header *out, const image_source *source, assay_error *error);
bool read_stb(image_pixels *out, const image_source *source, assay_error *error);

#endif
