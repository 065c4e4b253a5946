/* labelled.h - images with the classes of their pixels, in memory, and a segmenter on them: a
 * batch, a pass, a loss and a step as the training loop makes them. Failures fail the running
 * test. */
#ifndef TESTS_MODELS_LABELLED_H
#define TESTS_MODELS_LABELLED_H

#include "models/use.h"

#include <assay/device.h>

enum { LABELLED_MOST = 64, LABELLED_CLASSES = 255 };

/* Owned by the dataset. */
typedef struct labelled_image {
    int64_t height, width;
    float *pixels;  /* (height, width) */
    uint8_t *truth; /* likewise; NULL: the sample has none */
} labelled_image;

typedef struct labelled {
    assay_data data;
    assay_dataset_functions functions;
    int classes; /* named "c0", "c1" ... */
    char names[LABELLED_CLASSES][8];
    const char *name_list[LABELLED_CLASSES];
    int64_t count; /* of every split but an empty one */
    labelled_image images[LABELLED_MOST];
    bool empty[ASSAY_SPLITS];
} labelled;

/* No images yet. Must not move afterwards. */
void labelled_open(labelled *out, int classes);
void labelled_close(labelled *dataset);
/* One more image, its pixels 0 and its truth class 0. */
labelled_image *labelled_add(labelled *dataset, int64_t height, int64_t width);
/* One with bright, middle and dark boxes on a gray ground, of classes 1, 2 .. and 0. */
labelled_image *labelled_draw(labelled *dataset, int64_t height, int64_t width, uint64_t seed);

/* A segmenter on a dataset. */
typedef struct segmenting {
    use model;
    const labelled *dataset;
    const assay_device *device; /* set before it is opened; else the fast one */
    assay_params *params;
    assay_tape *tape;
    assay_arena *arena;
    void *opened;
    assay_model_facts facts;
    assay_batch batch;
    assay_outputs outputs;
    uint64_t pass;
} segmenting;

/* Options at their defaults but: custom, 32 wide, 3 blocks of 2 heads, patches of 4 pixels, `side`
 * pixels; no dropout and no drop path; 16 channels, 8 in the auxiliary head. */
void segmenting_begin(segmenting *s, const labelled *dataset, int64_t side);
bool segmenting_try(segmenting *s, uint64_t seed, bool counting, assay_error *error);
void segmenting_open(segmenting *s, uint64_t seed);
void segmenting_close(segmenting *s);
/* Samples first .. first + count - 1 as a batch. */
bool segmenting_collate(segmenting *s, int64_t first, int64_t count, assay_phase phase,
                        const assay_wanted *wanted, assay_error *error);
/* Collates and runs; outputs and batch are the rig's until the next pass. */
void segmenting_pass(segmenting *s, int64_t first, int64_t count, assay_phase phase,
                     const assay_wanted *wanted);
assay_tensor *segmenting_output(const segmenting *s, const char *name);

#endif
