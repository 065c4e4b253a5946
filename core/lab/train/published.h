/* published.h - how others name the parameters of a vision transformer. */
#ifndef TRAIN_PUBLISHED_H
#define TRAIN_PUBLISHED_H

#include <assay/weights.h>

/* For assay_load_options.find: the tensor of a ViT's parameter in published weights, whose names are
 * timm's behind any prefix ("module.", "backbone.", "teacher.backbone." ...) and whose layer scales may
 * be called ls1.gamma and ls2.gamma (DeiT III). Of a student and a teacher in one file (DINO, iBOT) the
 * teacher is meant. Other parameters of the model may stand behind the same prefix. NULL: there is
 * none. */
const assay_stored *published_find(const assay_params *params, const assay_weights *weights,
                                   const char *name);
/* Whether a ViT of the set can take what the file holds: layer scales of the file are not left out in
 * silence, which would make it another network. */
bool published_check(const assay_params *params, const assay_weights *weights, assay_error *error);

#endif
