/* positions.h - position tables of ViTs for images of another size than they were trained on. */
#ifndef TRAIN_POSITIONS_H
#define TRAIN_POSITIONS_H

#include <assay/weights.h>

/* For assay_load_options.fit: whether `stored` is the position table "PREFIXpos_embed" (1, 1 + h h,
 * D), or (1, h h, D) without a class token's row, of a ViT of the set, of another shape than the
 * parameter's; its class row is copied into `out` (zeros stand for none) and its patches are
 * resized (infrared spec 1.3: bicubic, half-pixel centres). `out` NULL: only whether. */
bool positions_fit(const assay_params *params, const assay_parameter *parameter,
                   const assay_stored *stored, float *out, assay_error *error);

#endif
