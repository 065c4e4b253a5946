/* assay/image.h - gray images: reading, writing, resizing, and the random changes of training.
 *
 * An image is a plain struct of rows of gray values. It is owned (assay_image_free) or lies in the
 * arena that it was made in. Functions that make one leave *out alone when they fail. Whoever reads
 * a file that is not his own can trust the limits: a header that promises more is refused before
 * anything is decoded, and what a file unpacks to never exceeds what its header promises. */
#ifndef ASSAY_IMAGE_H
#define ASSAY_IMAGE_H

#include <assay/error.h>
#include <assay/memory.h>
#include <assay/random.h>

typedef struct assay_image {
    int64_t width, height;
    int bits;   /* 8 or 16: of one pixel */
    void *data; /* uint8_t or uint16_t, height rows of width */
    bool owned; /* false: in an arena */
} assay_image;

/* An uninitialised image; `arena` NULL: owned by the caller. Sides are at least 1. */
bool assay_image_new(assay_image *out, int64_t width, int64_t height, int bits, assay_arena *arena,
                     assay_error *error);
/* Frees what is owned and empties the struct. Accepts NULL and an empty one. */
void assay_image_free(assay_image *image);

/* ---- files ---- */

/* What is accepted: sides and pixels; more is a malformed file. */
#define ASSAY_IMAGE_SIDE   INT64_C(32768)
#define ASSAY_IMAGE_PIXELS (INT64_C(1) << 25)
#define ASSAY_IMAGE_BYTES  (INT64_C(1) << 29) /* of a file */

/* What the header says, which is all that is read. */
typedef struct assay_image_header {
    int64_t width, height;
    int channels; /* 1 to 4, as stored; a palette is 1 */
    int bits;     /* of a channel: 1 to 16 */
    bool palette;
} assay_image_header;

/* PNG, JPEG or BMP. Fails with the file's name on what is none of them or exceeds the limits. */
bool assay_image_look(assay_image_header *out, const char *path, assay_error *error);

/* Channel ASSAY_LUMA of colours is 0.299 R + 0.587 G + 0.114 B, rounded as Pillow's convert("L");
 * alpha is not looked at. A channel from 0 is taken as stored; the file has to have it. */
#define ASSAY_LUMA (-1)

/* The whole picture as gray of 8 bits, or of 16 when the file has 16. Truncated files and broken
 * checksums are errors. */
bool assay_image_read(assay_image *out, const char *path, int channel, assay_arena *arena,
                      assay_error *error);
/* The same from memory; `name` is for errors. */
bool assay_image_decode(assay_image *out, const void *data, int64_t bytes, const char *name,
                        int channel, assay_arena *arena, assay_error *error);
/* A label image: PNG of one channel, gray of up to 8 bits or palette, whose stored numbers are the
 * classes: never scaled, never looked up in the palette. */
bool assay_image_read_labels(assay_image *out, const char *path, assay_arena *arena,
                             assay_error *error);
/* Publishes an image of 8 or 16 bits as a gray PNG. */
bool assay_image_write(const assay_image *image, const char *path, assay_error *error);
/* The bytes of that PNG; the caller owns them (assay_free). */
bool assay_image_encode(const assay_image *image, void **data, int64_t *bytes, assay_error *error);
/* 8 bits of 16, in place: the upper byte. */
void assay_image_narrow(assay_image *image);

/* ---- sizes ----
 * Half-pixel centres everywhere (align_corners = false). Output pixel i of n from m lies at
 * (i + 0.5) m / n - 0.5 of the input. */
typedef enum assay_resize {
    ASSAY_NEAREST,  /* the pixel at floor(i m / n) */
    ASSAY_BILINEAR, /* without antialiasing, as PyTorch and OpenCV */
    ASSAY_BICUBIC   /* planes: a = -0.75 without antialiasing, as PyTorch; 8-bit images: a = -0.5
                       with antialiasing, as Pillow */
} assay_resize;

/* `planes` planes of in_height x in_width floats to as many of height x width. Every side is at
 * least 1; `out` may not overlap `in`. */
void assay_resize_planes(const float *in, int64_t planes, int64_t in_height, int64_t in_width,
                         float *out, int64_t height, int64_t width, assay_resize how);
/* An image of 8 bits, rounded to 8 bits. */
bool assay_image_resize(assay_image *out, const assay_image *in, int64_t width, int64_t height,
                        assay_resize how, assay_arena *arena, assay_error *error);

/* A rectangle of an image, in pixels. */
typedef struct assay_box {
    int64_t x, y, width, height;
} assay_box;

/* A copy of the rectangle, which lies in the image; 8 bits or 16. */
bool assay_image_cut(assay_image *out, const assay_image *in, assay_box box, assay_arena *arena,
                     assay_error *error);
/* Left becomes right, in place. */
void assay_image_flip(assay_image *image);
/* The size that keeps the aspect and fits into long_side x short_side, either way round. */
void assay_image_fit(int64_t width, int64_t height, int64_t long_side, int64_t short_side,
                     int64_t *out_width, int64_t *out_height);
/* (v / 255 - mean) / sd of an 8-bit image. */
void assay_image_normalise(const assay_image *image, double mean, double sd, float *out);

/* ---- random changes ----
 * The numbers of a sample are those of (seed, NAME, epoch, index), so that a sample of an epoch is
 * the same whoever asks for it. */
typedef struct assay_chance {
    assay_stream stream;
    uint64_t index; /* of the next number */
} assay_chance;

/* Every sample has 256 numbers. */
assay_chance assay_chance_of(uint64_t seed, const char *name, int64_t epoch, int64_t index);
/* Uniform in [low, high). */
double assay_chance_between(assay_chance *chance, double low, double high);
/* Uniform in 0 .. n-1. */
int64_t assay_chance_below(assay_chance *chance, int64_t n);

/* RandomResizedCrop's rectangle: area U(scale) of the image, aspect exp(U(ln ratio)), ten tries,
 * then the largest centred rectangle of an allowed aspect. */
assay_box assay_random_box(int64_t width, int64_t height, const double scale[2],
                           const double ratio[2], assay_chance *chance);

/* The changes of pre-training: a random box resized (Pillow's bicubic) to side x side, and a
 * horizontal flip with probability 1/2. */
typedef struct assay_pretrain_change {
    int64_t side;
    double scale[2], ratio[2];
    bool flip;
} assay_pretrain_change;
bool assay_image_change(assay_image *out, const assay_image *in,
                        const assay_pretrain_change *change, assay_chance *chance,
                        assay_arena *arena, assay_error *error);
/* The same with a box that is given; `scale` and `ratio` are not looked at. */
bool assay_image_change_box(assay_image *out, const assay_image *in, assay_box box,
                            const assay_pretrain_change *change, assay_chance *chance,
                            assay_arena *arena, assay_error *error);

/* The changes of segmentation, in this order: resize to fit (long, short) * U(ratio), bilinear and
 * nearest; a window of at most side x side with, if 10 redraws can find one, two classes or more
 * and no class of `most` of the counted pixels or more; flip; brightness and contrast; padding at
 * the right and the bottom with `ignore`. The image is padded after it is normalised, with 0, so
 * its part that holds something is given back. */
typedef struct assay_segment_change {
    int64_t long_side, short_side, side;
    double ratio[2];
    double most; /* 0.75; 1: every window is as good */
    bool flip, photometric;
    uint8_t ignore;
} assay_segment_change;
bool assay_segment_change_apply(assay_image *image, assay_image *truth,
                                const assay_segment_change *change, assay_chance *chance,
                                assay_arena *arena, assay_error *error);

/* Brightness + U(-32, 32) with probability 1/2, then contrast * U(0.5, 1.5) with probability 1/2,
 * on 8 bits; each clips to 0..255 and cuts to whole numbers. */
void assay_image_distort(assay_image *image, assay_chance *chance);
/* The normalised image in the upper left of side x side floats that are 0 elsewhere. */
void assay_image_pad(const assay_image *image, double mean, double sd, int64_t height,
                     int64_t width, float *out);
/* The labels in the upper left of height x width that are `ignore` elsewhere. */
bool assay_labels_pad(assay_image *out, const assay_image *labels, int64_t width, int64_t height,
                      uint8_t ignore, assay_arena *arena, assay_error *error);

#endif
