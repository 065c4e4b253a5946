/* standin/bare.c - the least device that can run the kernels and library calls of plugins/devices/cuda on
 * the stand-in: one stream, a workspace, and a table of what there is. Linked into the stand-in's module
 * while the plugin has no device.c of its own. */
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define KERNELS(X) \
    X(gemm) X(to_bf16) X(from_bf16) X(scale) X(fill) X(binary) X(bias_activation) \
    X(activation) X(d_activation) X(silu_product) X(d_silu_product) X(dropout) \
    X(scale_rows) X(sum_rows) X(dot_rows) X(normalize_rows) X(d_normalize_rows) \
    X(softmax_rows) X(d_softmax_rows) X(cross_entropy_rows) X(d_cross_entropy_rows) \
    X(divergence_rows) X(d_divergence_rows) X(rms_norm) X(d_rms_norm) X(layer_norm) \
    X(d_layer_norm) X(rotary) X(gather_rows) X(scatter_rows) X(masked_mean) \
    X(d_masked_mean) X(mask_rows) X(copy_rows) X(patches) X(d_patches) X(attention_scratch) \
    X(attention) X(d_attention) X(attention_map) X(d_attention_map) X(suffix_scratch) \
    X(suffix_attention) X(d_suffix_attention) X(conv) X(d_conv) X(sum_channels) \
    X(channel_moments) X(batch_norm) X(d_batch_norm) X(max_pool) X(d_max_pool) \
    X(average_pool) X(d_average_pool) X(resize) X(d_resize) X(depth_to_space) \
    X(space_to_depth) X(transpose) X(pixel_cross_entropy) X(d_pixel_cross_entropy) \
    X(contrastive) X(sum) X(sum_squares) X(first_nonfinite) X(clip) X(adamw)
/* clang-format on */

/* Entries that nobody has written are NULL. */
#define DECLARE(name)                                                                              \
    extern __typeof__(*((assay_kernels *)0)->name) cuda_##name __attribute__((weak));
#define ENTER(name) .name = cuda_##name,
KERNELS(DECLARE)
static const assay_kernels kernels = {KERNELS(ENTER)};

static cudaStream_t stream;
static char failure[256];

cudaStream_t cuda_compute_stream(void)
{
    return stream;
}

void cuda_note_failure(const char *call, const char *status)
{
    if (!failure[0])
        snprintf(failure, sizeof failure, "%s: %s", call, status);
    fprintf(stderr, "device: %s: %s\n", call, status);
}

bool cuda_failed(assay_error *error)
{
    return failure[0] && !ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "device", .what = failure);
}

bool cuda_ok(cudaError_t status, const char *call)
{
    if (status != cudaSuccess)
        cuda_note_failure(call, cudaGetErrorString(status));
    return status == cudaSuccess;
}

void cuda_launched(const char *kernel)
{
    cuda_ok(cudaGetLastError(), kernel);
}

/* `bytes` of *held, which grows. */
static void *grown(void **held, int64_t *size, int64_t bytes)
{
    if (bytes > *size) {
        cuda_ok(cudaFree(*held), "cudaFree");
        *size = cuda_ok(cudaMalloc(held, (size_t)bytes), "cudaMalloc") ? bytes : 0;
    }
    return bytes <= *size ? *held : NULL;
}

void *cuda_workspace(int64_t bytes)
{
    static void *held;
    static int64_t size;
    return grown(&held, &size, bytes > 0 ? bytes : 1);
}

const void *cuda_small(const void *bytes, int64_t n)
{
    static void *held;
    static int64_t size;
    void *to = grown(&held, &size, n > 0 ? n : 1);
    if (to && !cuda_ok(cudaMemcpyAsync(to, bytes, (size_t)n, cudaMemcpyHostToDevice, stream),
                       "cudaMemcpyAsync"))
        to = NULL;
    return to;
}

static int count(assay_error *why)
{
    int n = 0;
    (void)why;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

static const char *describe(int number)
{
    (void)number;
    return "a stand-in";
}

static const assay_device device = {.name = "cuda", .variant = "stand-in", .kernels = &kernels};

static const assay_device *open_device(int number, assay_error *error)
{
    (void)error;
    if (!stream && (!cuda_ok(cudaSetDevice(number), "cudaSetDevice") ||
                    !cuda_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                             "cudaStreamCreateWithFlags")))
        return NULL;
    return &device;
}

extern const device_plugin assay_device_plugin;
__attribute__((visibility("default"))) const device_plugin assay_device_plugin = {
    .size = sizeof(device_plugin),
    .kernels_size = sizeof(assay_kernels),
    .name = "cuda",
    .count = count,
    .describe = describe,
    .open = open_device,
};
