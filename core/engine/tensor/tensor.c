/* tensor.c - tensors that outlive a step, and what every tensor can say of itself. */
#include "engine/device/device.h"
#include "engine/tensor/residence.h"

#include <assay/memory.h>
#include <assay/tensor.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int64_t assay_dtype_size(assay_dtype dtype)
{
    static const int64_t size[] = {4, 2, 4, 1};
    return size[dtype];
}

const char *assay_dtype_name(assay_dtype dtype)
{
    static const char *const name[] = {"f32", "bf16", "i32", "u8"};
    return name[dtype];
}

int64_t assay_tensor_count(const assay_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    return count;
}

int64_t assay_tensor_bytes(const assay_tensor *tensor)
{
    return assay_tensor_count(tensor) * assay_dtype_size(tensor->dtype);
}

bool assay_tensor_same_shape(const assay_tensor *a, const assay_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

const char *assay_shape_text(int rank, const int64_t *shape)
{
    char text[128] = "(";
    size_t used = 1;
    for (int i = 0; i < rank && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId64, i ? ", " : "",
                                 shape[i]);
    return assay_text("%s)", text);
}

const char *assay_tensor_text(const assay_tensor *tensor)
{
    if (!tensor)
        return "no tensor";
    return assay_text("%s %s", assay_shape_text(tensor->rank, tensor->shape),
                      assay_dtype_name(tensor->dtype));
}

/* Whether there is such a tensor, and the bytes of its data. */
static bool check_shape(assay_dtype dtype, int rank, const int64_t *shape, int64_t *bytes,
                        assay_error *error)
{
    int64_t count = 0;
    if (rank < 0 || rank > ASSAY_MAX_RANK)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = "tensor", .what = "rank out of range",
                          .expected = assay_text("0 to %d", ASSAY_MAX_RANK),
                          .got = assay_text("%d", rank));
    if (!assay_size_count(&count, rank, shape) ||
        !assay_size_mul(bytes, count, assay_dtype_size(dtype)))
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = "tensor",
                          .what = "an extent is negative, or the size does not fit in 63 bits",
                          .got = assay_shape_text(rank, shape));
    return true;
}

static void fill_leaf(assay_tensor *tensor, void *data, assay_dtype dtype, int rank,
                      const int64_t *shape)
{
    *tensor = (assay_tensor){.data = data, .dtype = dtype, .rank = rank, .is_leaf = true};
    for (int i = 0; i < ASSAY_MAX_RANK; i++)
        tensor->shape[i] = i < rank ? shape[i] : 1;
}

assay_tensor *assay_tensor_new(assay_dtype dtype, int rank, const int64_t *shape,
                               assay_error *error)
{
    int64_t bytes = 0;
    if (!check_shape(dtype, rank, shape, &bytes, error))
        return NULL;
    assay_tensor *tensor = assay_alloc((int64_t)sizeof *tensor, error);
    void *data = tensor ? assay_alloc(bytes, error) : NULL;
    if (!data) {
        assay_free(tensor);
        return NULL;
    }
    fill_leaf(tensor, data, dtype, rank, shape);
    return tensor;
}

assay_tensor *assay_tensor_in(assay_arena *arena, assay_dtype dtype, int rank, const int64_t *shape,
                              assay_error *error)
{
    int64_t bytes = 0;
    if (!check_shape(dtype, rank, shape, &bytes, error))
        return NULL;
    assay_tensor *tensor = assay_arena_alloc(arena, (int64_t)sizeof *tensor, error);
    void *data = tensor ? assay_arena_alloc(arena, bytes, error) : NULL;
    if (!data)
        return NULL;
    fill_leaf(tensor, data, dtype, rank, shape);
    tensor->side.borrowed = true;
    void **last = assay_arena_note(arena);
    tensor->side.next = *last;
    *last = tensor;
    return tensor;
}

void assay_tensor_free(assay_tensor *tensor)
{
    if (!tensor)
        return;
    leaf_drop_grad(tensor);
    if (tensor->side.device)
        tensor->side.device->memory->give(tensor->side.there);
    assay_free(tensor->data);
    assay_free(tensor);
}

bool assay_tensor_want_grad(assay_tensor *tensor, assay_error *error)
{
    if (!leaf_take_grad(tensor->side.device, tensor, error))
        return false;
    tensor->needs_grad = true;
    return true;
}
