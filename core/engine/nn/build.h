/* build.h - what the three stacks share: adding named layers to a parameter set, all or nothing,
 * and configurations that fit together. */
#ifndef ASSAY_NN_BUILD_H
#define ASSAY_NN_BUILD_H

#include <assay/blocks.h>

/* Names are PREFIX PATH NAME; `path` is the layer under construction ("model.layers.3."). */
typedef struct nn_builder {
    assay_params *params;
    const char *prefix; /* never NULL */
    char path[64];
    assay_init matrix; /* how the weights of linear layers start */
    int64_t first;     /* parameters in the set before */
    assay_error own;   /* for a caller who gave none */
    assay_error *error;
} nn_builder;

typedef struct nn_linear {
    assay_tensor *weight, *bias; /* bias NULL: none */
} nn_linear;

typedef struct nn_norm {
    assay_tensor *weight, *bias;
} nn_norm;

void nn_build_begin(nn_builder *builder, assay_params *params, const char *prefix,
                    assay_init matrix, assay_error *error);
/* Takes back everything added since nn_build_begin if any of it failed; then returns false. */
bool nn_build_end(nn_builder *builder);
/* Remembers what was built since nn_build_begin as a stack of this kind and configuration; the
 * other members are filled here. */
void nn_build_stack(nn_builder *builder, assay_stack stack);
/* printf into builder->path. */
void nn_build_path(nn_builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* All of these do nothing and give NULL after a failure. */
assay_tensor *nn_build_tensor(nn_builder *builder, const char *name, int rank, const int64_t *shape,
                              assay_init init);
assay_tensor *nn_build_vector(nn_builder *builder, const char *name, int64_t width,
                              assay_init_kind kind);
assay_tensor *nn_build_matrix(nn_builder *builder, const char *name, int64_t rows, int64_t columns);
/* NAME.weight (out, in) and, with `bias`, NAME.bias (out), zeros. */
nn_linear nn_build_linear(nn_builder *builder, const char *name, int64_t out, int64_t in,
                          bool bias);
/* NAME.weight, ones, and NAME.bias, zeros. */
nn_norm nn_build_norm(nn_builder *builder, const char *name, int64_t width);

/* activation(linear(x)). */
assay_tensor *nn_apply(assay_tape *tape, assay_tensor *x, const nn_linear *linear,
                       assay_activation activation);

/* A zeroed block of `layers` items of `size` bytes, owned by the caller. */
void *nn_build_layers(int64_t layers, size_t size, assay_error *error);

/* Whether a configuration describes a stack at all; `where` is for the message. */
bool nn_decoder_config_check(const assay_decoder_config *config, const char *where,
                             assay_error *error);
bool nn_bert_config_check(const assay_bert_config *config, const char *where, assay_error *error);
bool nn_vit_config_check(const assay_vit_config *config, const char *where, assay_error *error);

#endif
