/* vit.h - what the files of model `vit` share.
 *
 * One tower, "image": a batch of gray images, normalised, side x side, replicated to the three
 * channels that published weights take (infrared spec 1.1). With a mask ratio the tower runs on the
 * class token and the visible patches alone when somebody wants image.visible or image.order (a
 * masked-image loss, spec 3.5), and on every patch otherwise (analysis, fine-tuning). B images, N
 * patches, T tokens. */
#ifndef VIT_H
#define VIT_H

#include <assay/blocks.h>
#include <assay/model.h>

#define MODEL_WHERE  "model vit"
#define VIT_CHANNELS 3

enum { SIZE_TINY, SIZE_SMALL, SIZE_BASE, SIZE_LARGE, SIZE_CUSTOM };
enum { INIT_PRETRAINING, INIT_SEGMENTATION };

typedef struct settings {
    int size, init;
    int64_t width, layers, heads, mlp, image, patch, last_heads;
    double drop_path, mask_ratio;
    bool drop_path_grows, layer_scale, relative_bias, train_positions, resize;
} settings;

typedef struct model {
    settings settings;
    assay_vit_config config;
    assay_vit *vit;
    int image;                /* the dataset's field */
    int64_t patches, visible; /* N, and how many of them a masked pass sees */
    int output_count;
    const char **outputs; /* owned, with their texts */
} model;

/* A batch. All in its arena. */
typedef struct content {
    assay_tensor *images; /* (B, 1, S, S) f32 */
    bool masked;
} content;

/* collate.c: samples to a batch. Any thread. */
bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error);

/* network.c: tokens, states and outputs. */
assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert);
bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out);

/* facts.c. */
bool facts_outputs(model *m, assay_error *error);
void facts_free(model *m);
void model_facts(void *opened, assay_model_facts *out);

#endif
