/* softmax.c - softmax of rows by cuDNN: a row is an image of one pixel, its numbers the channels.
 *
 * A stable softmax (the row's maximum is subtracted), both ways one call. Rows are taken in parts
 * whose number of elements is an int. Bound by memory. Not measured. */
#include "cuda.h"
#include "dnn.h"
#include "kernels.h"
#include "plans.h"

static void destroy_rows(void *rows)
{
    cuda_dnn_map_destroy(rows);
}

static cuda_plans plans = {.destroy = destroy_rows};

/* The descriptor of (rows, width); NULL after a noted failure. */
static cudnnTensorDescriptor_t rows_of(int64_t rows, int64_t width)
{
    cuda_plan_key key = {{rows, width}};
    cudnnTensorDescriptor_t map = cuda_plans_find(&plans, &key);
    if (map != NULL)
        return map;
    if (!cuda_dnn_map(&map, rows, width, 1, 1)) {
        cuda_dnn_map_destroy(map);
        return NULL;
    }
    cuda_plans_keep(&plans, &key, map);
    return map;
}

/* Rows of a part. A row that is too long for cuDNN is left to it to refuse. */
static int64_t part_of(int64_t rows, int64_t width)
{
    int64_t most = width < CUDA_DNN_MOST ? CUDA_DNN_MOST / width : 1;
    return rows < most ? rows : most;
}

void cuda_softmax_rows(int64_t rows, int64_t width, const float *x, float *y)
{
    const float one = 1.0f, zero = 0.0f;
    for (int64_t r = 0, part; r < rows && width > 0; r += part) {
        part = part_of(rows - r, width);
        cudnnTensorDescriptor_t map = rows_of(part, width);
        if (map == NULL || cuda_dnn() == NULL)
            return;
        cuda_dnn_ok(cudnnSoftmaxForward(cuda_dnn(), CUDNN_SOFTMAX_ACCURATE,
                                        CUDNN_SOFTMAX_MODE_INSTANCE, &one, map, x + r * width,
                                        &zero, map, y + r * width),
                    "cudnnSoftmaxForward");
    }
}

void cuda_d_softmax_rows(int64_t rows, int64_t width, const float *y, const float *d_y, float *d_x,
                         bool add)
{
    const float one = 1.0f, before = add ? 1.0f : 0.0f;
    for (int64_t r = 0, part; r < rows && width > 0; r += part) {
        part = part_of(rows - r, width);
        cudnnTensorDescriptor_t map = rows_of(part, width);
        if (map == NULL || cuda_dnn() == NULL)
            return;
        cuda_dnn_ok(cudnnSoftmaxBackward(cuda_dnn(), CUDNN_SOFTMAX_ACCURATE,
                                         CUDNN_SOFTMAX_MODE_INSTANCE, &one, map, y + r * width, map,
                                         d_y + r * width, &before, map, d_x + r * width),
                    "cudnnSoftmaxBackward");
    }
}
