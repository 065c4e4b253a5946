/* pattern.h - what the files of evaluator `attention_pattern` share: which maps are looked at, and
 * what was measured. B images, H heads, N patches, T tokens with the class token first. */
#ifndef ATTENTION_PATTERN_H
#define ATTENTION_PATTERN_H

#include <assay/evaluator.h>
#include <assay/memory.h>

#define WHERE       "evaluator attention_pattern"
#define MOST_LAYERS 63 /* with the picture itself as many as can be wanted at once */

typedef struct settings {
    int split;
    int64_t images, batch, maps;
    double target, local_above, global_below;
} settings;

/* One head of one layer: sums over images until pattern_finish, then means. */
typedef struct head_figures {
    double nmi, distance; /* distance in pixels */
} head_figures;

typedef struct pattern {
    const settings *options;
    const assay_evaluation *evaluation;
    assay_tape *tape;
    assay_arena *arena; /* of batches */
    assay_data_split split;
    int64_t layers, grid, patch; /* patches along a side, pixels of one; 0 grid: nothing seen yet */
    int count;                   /* of wanted outputs: the layers' maps */
    const char *names[MOST_LAYERS + 1];
    char texts[MOST_LAYERS + 1][48];
    int64_t heads[MOST_LAYERS];
    head_figures *figures[MOST_LAYERS]; /* (heads of the layer), owned */
    head_figures mean[MOST_LAYERS];     /* over the layer's heads */
    int64_t images;                     /* seen */
    int64_t chosen;                     /* layer whose NMI is nearest the target, from 0 */
} pattern;

/* A batch of samples first .. first + count - 1 through the network: what `wanted` says. */
bool pattern_pass(pattern *p, int64_t first, int64_t count, const assay_wanted *wanted,
                  assay_outputs *outputs, assay_error *error);

/* pictures.c: for each of the first options->maps images two sheets as artifacts. */
bool pattern_pictures(pattern *p, assay_error *error);

#endif
