/* segmenter.h - what the files of the model share: its options, its parts, and what a batch holds.
 *
 * Letters: B images (or windows of images), T = 1 + N tokens of width D, g = side of the patches'
 * grid (N = g^2), S side of the image that the model takes, C classes, c channels of the head, maps
 * (B, channels, height, width). Spec: infrared 1.1 and 2.9 to 2.12. */
#ifndef SEGMENTER_H
#define SEGMENTER_H

#include <assay/blocks.h>
#include <assay/maps.h>
#include <assay/model.h>

#include "windows.h"

#define MODEL_WHERE   "model segmenter"
#define MODEL_BLOCKS  8 /* outputs of blocks that a head reads, at most */
#define MODEL_IGNORE  255
#define MODEL_SCALES  4 /* of the pooling pyramid: 1, 2, 3, 6 */
#define MODEL_LEVELS  4 /* of the feature pyramid */
#define MODEL_CLASSES 255

#define MODEL_CHANNELS 3 /* gray three times over: published weights take RGB */

enum { SIZE_TINY, SIZE_SMALL, SIZE_BASE, SIZE_LARGE, SIZE_CUSTOM };
enum { NECK_AUTO, NECK_FPN, NECK_LAST, NECK_NONE };
enum { HEAD_UPERNET, HEAD_LINEAR };
enum { FEATURE_BLOCK, FEATURE_NORM };

typedef struct settings {
    int size, neck, head, feature;
    int64_t width, layers, heads, mlp, last_heads, patch, image;
    int64_t channels, auxiliary_channels, stride, fit_long, fit_short;
    bool layer_scale, relative_bias, auxiliary, freeze;
    double drop_path, dropout;
    assay_numbers blocks;
} settings;

/* ---- parts ---- */

typedef struct map_norm { /* a batch norm */
    assay_tensor *weight, *bias;
    assay_batch_stats stats;
} map_norm;

typedef struct map_block { /* convolution without bias, batch norm, ReLU */
    assay_tensor *weight;
    map_norm norm;
} map_block;

typedef struct map_linear { /* convolution or transposed convolution with bias */
    assay_tensor *weight, *bias;
} map_linear;

typedef struct neck { /* ViT outputs to strides 4, 8, 16, 32 */
    map_linear up4, up4_again, up8;
    map_norm norm;
} neck;

typedef struct upernet {
    map_block psp[MODEL_SCALES], bottleneck;
    map_block lateral[MODEL_LEVELS - 1], fpn[MODEL_LEVELS - 1], fpn_bottleneck;
} upernet;

typedef struct model {
    settings settings;
    int64_t classes, channels;   /* C and c */
    int64_t taken[MODEL_BLOCKS]; /* the blocks whose outputs the head reads, from 0 */
    int taken_count;
    int image, truth; /* fields; truth -1: without */
    assay_vit *vit;
    const assay_vit_config *config; /* the ViT's own */
    neck neck;                      /* NULLs without one */
    upernet upernet;                /* NULLs with the linear head */
    map_linear seg;                 /* the last convolution, to C */
    map_block auxiliary;            /* NULLs without the head */
    map_linear auxiliary_seg;
    char **outputs; /* owned, output_count of them */
    int output_count;
} model;

/* One batch's tower. All in the batch's arena. */
typedef struct content {
    assay_tensor *images;        /* (n, 3, S, S): windows in evaluation, else samples */
    assay_tensor *truth;         /* u8 (B, S, S) or NULL */
    const frame *frames;         /* (B) where the images are windows; else NULL */
    int64_t frame_count, pixels; /* pixels: of all predictions */
} content;

/* What one image costs, by the rule of the published table (spec 2.12). */
typedef struct cost {
    double counted;   /* multiply-adds of convolutions and linear layers, elements of norms,
                         ReLU and pools */
    double attention; /* multiply-adds of the attention products, which the rule leaves out */
    double elements;  /* numbers that a tape keeps: estimate */
} cost;

/* head.c: parameters of neck and heads, and their passes. Under the names of mmsegmentation without
 * "backbone.": fpn1, fpn2, decode_head, auxiliary_head. */
void head_build(model *m, assay_params *params, assay_error *error);
/* Logits (B, C, h, w) of the outputs of the taken blocks (B, T, D); `auxiliary` (or NULL) receives
 * those of the auxiliary head. */
assay_tensor *head_forward(assay_tape *tape, const model *m, assay_tensor *const *features,
                           assay_tensor **auxiliary);

/* collate.c: samples to images or windows. Any thread. */
bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error);

/* Whether the dataset cuts training images to the model's size, by its first one. */
bool model_check_crops(const model *m, const assay_data *data, uint64_t seed, assay_error *error);

/* network.c: tokens and outputs. */
assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert);
bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out);

/* The logits of tokens x (B, T, D) alone. */
assay_tensor *network_logits(const model *m, assay_tape *tape, assay_tensor *x,
                             const assay_attention_bias *bias);

/* predict.c: whether the pass wants predictions and nothing else; then the logits (n, C, h, w) of
 * all windows' tokens x (n, T, D), `piece` windows at a time. */
bool predicts_alone(const assay_tape *tape, const assay_attention_bias *bias,
                    const assay_wanted *wanted);
assay_tensor *predict_logits(const model *m, assay_tape *tape, const assay_tensor *x,
                             const assay_attention_bias *bias, int64_t piece);
/* i32 (pixels): the classes of all samples' pixels, sample after sample. */
assay_tensor *predict_classes(const model *m, assay_tape *tape, const content *c,
                              const assay_tensor *logits);

/* cost.c */
cost model_cost(const model *m);

#endif
