/* probe.h - what the files of evaluator `layer_probe` share. B images, T tokens with the class
 * token first, D width, C classes, g patches along a side. */
#ifndef LAYER_PROBE_H
#define LAYER_PROBE_H

#include <assay/evaluator.h>
#include <assay/memory.h>
#include <assay/metrics.h>

#define WHERE        "evaluator layer_probe"
#define IGNORED      255
#define MOST_LAYERS  64
#define MOST_CLASSES 255

/* What a classifier sees of a layer (spec 2.6.5). */
enum { FEATURES_BLOCK, FEATURES_ATTN, FEATURES_NORM, FEATURES_PLAIN_NORM, FEATURES_NEXT_NORM };

typedef struct settings {
    assay_numbers layers;
    int64_t steps, batch, images, stride;
    double lr, weight_decay, warmup;
    int features;
} settings;

/* The classifier of one layer: a 1x1 convolution on its patch tokens. */
typedef struct layer_probe {
    int64_t layer;               /* from 0 */
    char output[40], place[200]; /* of the layer; of the end of its attention branch */
    assay_tensor *weight, *bias; /* (C, D), (C), of prober.params */
    /* What makes features of tokens, (D), of the network's; NULL where there is nothing to do. */
    assay_tensor *gamma, *norm_weight, *norm_bias;
    assay_tensor *branch; /* (B, T, D): the attention branch of the last pass, if it is wanted */
    assay_confusion *confusion; /* of the split that is judged */
    assay_segmentation figures; /* of it */
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
    bool attached;                  /* the tape shows attention branches */
    assay_params *params;
    assay_tape *tape;
    assay_arena *samples, *batches;
} prober;

/* features.c: what every probe needs of the network. */
bool features_open(prober *p, assay_error *error);
/* The samples through the network on p->tape, which has begun, recording off: for each probe its
 * features (B, T, D) into `out`, one set of tokens a sample. */
bool features_of(prober *p, const assay_sample *samples, int64_t count, assay_tensor **out,
                 assay_error *error);

/* Logits (B, C, g, g) of one probe from its features; NULL after a failure of the tape. */
assay_tensor *probe_logits(prober *p, const layer_probe *probe, assay_tensor *features);
bool probe_stopped(const prober *p, assay_error *error);

/* fit.c: trains every probe on the training split, all in the same passes. */
bool probe_fit(prober *p, assay_error *error);

/* judge.c: the predictions for a split against its truth, into each probe's figures. *any: whether
 * the split has samples. */
bool probe_judge(prober *p, assay_data_split split, bool *any, assay_error *error);

#endif
