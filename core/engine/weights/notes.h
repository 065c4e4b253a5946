/* engine/weights/notes.h - what a parameter set remembers, as metadata of its file. */
#ifndef ASSAY_ENGINE_WEIGHTS_NOTES_H
#define ASSAY_ENGINE_WEIGHTS_NOTES_H

#include <assay/weights.h>

#define NOTES_STACKS "assay.stacks" /* [{kind, prefix, first, count, config}] */
#define NOTES_LORAS  "assay.loras"  /* [{prefix, rank, alpha, dropout, rank_stable}] */

/* Both as JSON texts, owned by the caller (assay_free); NULL where there are none. Stacks without a
 * config.json (ViT) are left out. */
bool notes_text(const assay_params *params, char **stacks, char **loras, assay_error *error);

/* Notes in `params` what the file's metadata say, which have to fit its parameters. */
bool notes_read(assay_params *params, const assay_weights *weights, assay_error *error);

#endif
