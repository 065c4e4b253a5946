/* thermal.h - what the files of the dataset plugin `thermal_synth` share.
 *
 * A picture is made in four steps: scene.c says what stands where and how warm it is; ground.c,
 * buildings.c and things.c paint it on a canvas of radiances (canvas.c); sensor.c takes the frame;
 * sample.c makes it a sample. physics.c has Planck's law and the weather. */
#ifndef THERMAL_SYNTH_H
#define THERMAL_SYNTH_H

#include "scene.h"
#include "sensor.h"

#include <assay/dataset.h>
#include <assay/regions.h>

#define THERMAL_IGNORED 255

enum { THERMAL_SEGMENTATION, THERMAL_PRETRAINING };
enum { THERMAL_CROP_RANDOM, THERMAL_CROP_ROI };

typedef struct thermal_options {
    int task;
    int64_t images, train_images, valid_images, test_images;
    int64_t width, height, seed;
    int hours;
    assay_numbers air;
    double clutter, netd, nonuniformity, blur;
    double mean, sd;
    int64_t side;
    assay_numbers fit, resize, crop_scale, crop_ratio;
    int crop;
    double roi_p;
    double most;
    bool flip, photometric;
} thermal_options;

typedef struct thermal_data {
    const thermal_options *options;
    scene_knobs knobs;
    int64_t count[ASSAY_SPLITS];
    assay_field fields[2];
    int field_count;
    int64_t side, long_side, short_side;
    double sd;
    double roi_unit; /* PAD's rule for pictures of 640 x 480 is scaled down by it */
    char fingerprint[65];
} thermal_data;

extern const char *const thermal_classes[CLASSES];

/* The number of a picture: no two of all splits have the same. */
uint64_t thermal_number(assay_data_split split, int64_t index);
/* The picture of a number and its labels, of 8 bits, owned by the caller. */
bool thermal_picture(const thermal_data *data, uint64_t number, assay_image *image,
                     assay_image *truth, assay_error *error);

bool thermal_sample(const thermal_data *data, assay_data_split split, int64_t index,
                    const assay_draw *draw, assay_arena *arena, assay_sample *out,
                    assay_error *error);
bool thermal_write(const thermal_data *data, const char *folder, assay_error *error);

#endif
