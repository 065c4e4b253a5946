/* windows.h - an image in windows of the model's size, and the windows' logits as classes of the
 * image's pixels (infrared spec 2.11). */
#ifndef SEGMENTER_WINDOWS_H
#define SEGMENTER_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

/* One image on its way through the model. */
typedef struct frame {
    int64_t height, width;         /* after it was fitted */
    int64_t tall, wide;            /* after padding to a window at least */
    int64_t rows, columns;         /* of windows */
    int64_t out_height, out_width; /* of the prediction */
    int64_t first;                 /* its first window of the batch */
    int64_t offset;                /* of its prediction */
} frame;

/* How windows lie: side x side, one every `stride` pixels, the last against the border. */
typedef struct grid {
    int64_t side, stride;
} grid;

/* Windows along an extent, and where the i-th begins. */
int64_t grid_count(const grid *g, int64_t extent);
int64_t grid_at(const grid *g, int64_t extent, int64_t i);

/* Rows of floats, `step` apart. */
typedef struct plane {
    float *data;
    int64_t height, width, step;
} plane;

typedef struct view {
    const float *data;
    int64_t height, width, step;
} view;

/* Bilinear with half-pixel centres and without antialiasing, to out; `add`: on what is there.
 * `scratch` holds 2 out.width numbers. */
void plane_resize(view in, plane out, bool add, float *scratch);

/* Numbers of scratch that frame_classes needs. */
int64_t frame_scratch(const frame *f, const grid *g);
/* The class of every pixel of the frame's prediction into out (out_height, out_width): logits
 * (windows, classes, height, width) of the batch are brought to the windows' size, averaged where
 * windows overlap, brought to the prediction's size, and the largest is taken, the first of
 * equals. */
void frame_classes(const frame *f, const grid *g, const float *logits, int64_t classes,
                   int64_t height, int64_t width, float *scratch, int32_t *out);

#endif
