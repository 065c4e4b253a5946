/* tensor/suffix.h - attention on a prefix cache, for the file of the other attention. */
#ifndef ASSAY_TENSOR_SUFFIX_H
#define ASSAY_TENSOR_SUFFIX_H

#include <assay/attention.h>

/* assay_attention with args->prefix. */
assay_tensor *suffix_attention(assay_tape *tape, const assay_attention_args *args);

#endif
