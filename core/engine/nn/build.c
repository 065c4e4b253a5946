/* build.c - layers under their published names, added to a set all or nothing. */
#include "engine/nn/build.h"

#include "engine/nn/params.h"

#include <assay/memory.h>

#include <stdarg.h>
#include <stdio.h>

void nn_build_begin(nn_builder *builder, assay_params *params, const char *prefix,
                    assay_init matrix, assay_error *error)
{
    *builder = (nn_builder){
        .params = params,
        .prefix = prefix ? prefix : "",
        .matrix = matrix,
        .first = assay_params_count(params),
    };
    builder->error = error ? error : &builder->own;
}

bool nn_build_end(nn_builder *builder)
{
    if (builder->error->code == ASSAY_OK)
        return true;
    nn_params_truncate(builder->params, builder->first);
    return false;
}

void nn_build_stack(nn_builder *builder, assay_stack stack)
{
    if (builder->error->code != ASSAY_OK)
        return;
    stack.prefix = builder->prefix;
    stack.first = builder->first;
    stack.count = assay_params_count(builder->params) - builder->first;
    assay_stack_note(builder->params, &stack, builder->error);
}

void nn_build_path(nn_builder *builder, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(builder->path, sizeof builder->path, format, arguments);
    va_end(arguments);
}

assay_tensor *nn_build_tensor(nn_builder *builder, const char *name, int rank, const int64_t *shape,
                              assay_init init)
{
    return assay_params_add(builder->params,
                            assay_text("%s%s%s", builder->prefix, builder->path, name), rank, shape,
                            init, builder->error);
}

assay_tensor *nn_build_vector(nn_builder *builder, const char *name, int64_t width,
                              assay_init_kind kind)
{
    return nn_build_tensor(builder, name, 1, &width, (assay_init){.kind = kind});
}

assay_tensor *nn_build_matrix(nn_builder *builder, const char *name, int64_t rows, int64_t columns)
{
    return nn_build_tensor(builder, name, 2, (int64_t[]){rows, columns}, builder->matrix);
}

nn_linear nn_build_linear(nn_builder *builder, const char *name, int64_t out, int64_t in, bool bias)
{
    nn_linear linear = {0};
    linear.weight = nn_build_matrix(builder, assay_text("%s.weight", name), out, in);
    if (bias)
        linear.bias = nn_build_vector(builder, assay_text("%s.bias", name), out, ASSAY_INIT_ZEROS);
    return linear;
}

nn_norm nn_build_norm(nn_builder *builder, const char *name, int64_t width)
{
    nn_norm norm = {0};
    norm.weight = nn_build_vector(builder, assay_text("%s.weight", name), width, ASSAY_INIT_ONES);
    norm.bias = nn_build_vector(builder, assay_text("%s.bias", name), width, ASSAY_INIT_ZEROS);
    return norm;
}

assay_tensor *nn_apply(assay_tape *tape, assay_tensor *x, const nn_linear *linear,
                       assay_activation activation)
{
    return assay_linear(tape, x, linear->weight, linear->bias, activation);
}

void *nn_build_layers(int64_t layers, size_t size, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, layers, (int64_t)size)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "layers", .what = "too many");
        return NULL;
    }
    return assay_zalloc(bytes, error);
}
