/* probe.h - what the files of evaluator `layer_probe` share. B images, T tokens with the class token
 * first, D width, C classes, g patches along a side. */
#ifndef LAYER_PROBE_H
#define LAYER_PROBE_H

#include <assay/evaluator.h>
#include <assay/memory.h>
#include <assay/metrics.h>

#define WHERE        "evaluator layer_probe"
#define IGNORED      255
#define MOST_LAYERS  64
#define MOST_CLASSES 255

enum { FEATURES_BLOCK, FEATURES_NORM };

typedef struct settings {
    assay_numbers layers;
    int64_t steps, batch, images, stride;
    double lr, weight_decay, warmup;
    int features;
} settings;

/* The classifier of one layer: a 1x1 convolution on its patch tokens. */
typedef struct layer_probe {
    int64_t layer;               /* from 0 */
    const char *output;          /* in prober.texts */
    assay_tensor *weight, *bias; /* (C, D), (C), of prober.params */
    assay_confusion *confusion;  /* of the split that is judged */
    assay_segmentation figures;  /* of it */
    double iou[MOST_CLASSES];
} layer_probe;

typedef struct prober {
    const settings *options;
    const assay_evaluation *evaluation;
    int image, truth, field_count; /* places of the dataset's fields */
    int benchmark;                 /* the one whose labels are pixels, or none */
    int64_t classes, side;         /* side: of the model's images */
    int64_t count;                 /* of probes */
    layer_probe probes[MOST_LAYERS];
    const char *names[MOST_LAYERS]; /* wanted outputs, one a probe */
    char texts[MOST_LAYERS][40];
    assay_params *params;
    assay_tape *tape;
    assay_arena *samples, *batches;
} prober;

/* The samples through the network on p->tape, which has begun, recording off: the layers that are
 * probed, one set of tokens a sample. */
bool probe_features(prober *p, const assay_sample *samples, int64_t count, assay_outputs *out,
                    assay_error *error);
/* Logits (B, C, g, g) of one probe from its layer's tokens; NULL after a failure of the tape. */
assay_tensor *probe_logits(prober *p, const layer_probe *probe, assay_tensor *tokens);
bool probe_stopped(const prober *p, assay_error *error);

/* fit.c: trains every probe on the training split, all in the same passes. */
bool probe_fit(prober *p, assay_error *error);

/* judge.c: the predictions for a split against its truth, into each probe's figures. *any: whether
 * the split has samples. */
bool probe_judge(prober *p, assay_data_split split, bool *any, assay_error *error);

#endif
