/* device.c - the plugin's entry: which GPUs there are, and opening one of them.
 *
 * Everything that a call of the runtime can refuse after that is noted here (cuda_note_failure):
 * kernels have no way to fail, so the first failure waits for whoever asks next. */
#include "cuda.h"
#include "memory.h"
#include "sdpa.h"
#include "table.h"

#include <cudnn.h>
#include <stdio.h>
#include <string.h>

typedef struct opened {
    bool is_open;
    cudaStream_t compute;
    char variant[32]; /* "sm_90" */
    assay_error failure;
} opened;

static opened state;

/* ---- failures ---- */

void cuda_note_failure(const char *call, const char *status)
{
    ASSAY_FAIL(&state.failure, ASSAY_UNSUPPORTED, .where = assay_text("cuda: %s", call),
               .what = "the GPU or its library refused a call", .got = status,
               .hint = "CUDA_LAUNCH_BLOCKING=1 names the kernel that failed first");
}

void cuda_note_error(const assay_error *failure)
{
    if (state.failure.code == ASSAY_OK)
        state.failure = *failure;
}

bool cuda_failed(assay_error *error)
{
    if (state.failure.code == ASSAY_OK)
        (void)cuda_ok(cudaPeekAtLastError(), "earlier work");
    if (state.failure.code == ASSAY_OK)
        return false;
    if (!error || error->code != ASSAY_OK)
        return true;
    *error = state.failure;
    if (error->code == ASSAY_NO_MEMORY)
        state.failure = (assay_error){0};
    return true;
}

bool cuda_ok(cudaError_t status, const char *call)
{
    if (status == cudaSuccess)
        return true;
    cuda_note_failure(call, cudaGetErrorString(status));
    return false;
}

void cuda_launched(const char *kernel)
{
    (void)cuda_ok(cudaPeekAtLastError(), kernel);
}

/* ---- the GPUs of this machine ---- */

static int count_gpus(assay_error *why)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0)
        return count;
    (void)cudaGetLastError(); /* it is told here, and is no failure of what follows */
    ASSAY_FAIL(why, ASSAY_UNSUPPORTED, .where = "cuda", .what = "no GPU can be used",
               .got = status == cudaSuccess ? "none found" : cudaGetErrorString(status),
               .hint = "nvidia-smi lists the GPUs that the driver sees");
    return 0;
}

static const char *describe_gpu(int number)
{
    static char text[224];
    struct cudaDeviceProp gpu;
    const int dnn = (int)cudnnGetVersion();
    int runtime = 0;
    if (cudaGetDeviceProperties(&gpu, number) != cudaSuccess ||
        cudaRuntimeGetVersion(&runtime) != cudaSuccess)
        return "unknown";
    snprintf(text, sizeof text, "%.100s, %.1f GiB, sm_%d%d, CUDA %d.%d, cuDNN %d.%d%s", gpu.name,
             (double)gpu.totalGlobalMem / (double)(1 << 30), gpu.major, gpu.minor, runtime / 1000,
             runtime % 1000 / 10, dnn / 10000, dnn % 10000 / 100,
             dnn >= SDPA_FIRST_CUDNN ? ", fused attention under bf16" : ", no fused attention");
    return text;
}

/* ---- opening ---- */

cudaStream_t cuda_compute_stream(void)
{
    return state.compute;
}

static assay_device device = {.name = "cuda",
                              .variant = state.variant,
                              .kernels = &cuda_kernels,
                              .memory = &cuda_memory,
                              .gemm_adds_bias = true,
                              .gemm_takes_bf16 = true,
                              .fuses_attention = sdpa_fuses};

/* The kernels are compiled for sm_80 and later. */
static bool check_gpu(int number, assay_error *error)
{
    struct cudaDeviceProp gpu;
    if (!cuda_ok(cudaGetDeviceProperties(&gpu, number), "cudaGetDeviceProperties"))
        return !cuda_failed(error);
    if (gpu.major < 8)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = assay_text("cuda:%d", number),
                          .what = "the GPU is older than the kernels",
                          .expected = "compute capability 8.0 or later",
                          .got = assay_text("%.100s, %d.%d", gpu.name, gpu.major, gpu.minor));
    snprintf(state.variant, sizeof state.variant, "sm_%d%d", gpu.major, gpu.minor);
    return true;
}

static const assay_device *open_gpu(int number, assay_error *error)
{
    int count = 0;
    if (state.is_open)
        return &device;
    count = count_gpus(error);
    if (count == 0)
        return NULL;
    if (number < 0 || number >= count) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("cuda:%d", number),
                   .what = "no such GPU",
                   .expected = count == 1 ? "cuda:0" : assay_text("cuda:0 to cuda:%d", count - 1));
        return NULL;
    }
    if (!table_is_whole(error) || !check_gpu(number, error))
        return NULL;
    if (!cuda_ok(cudaSetDevice(number), "cudaSetDevice") ||
        !cuda_ok(cudaStreamCreateWithFlags(&state.compute, cudaStreamNonBlocking),
                 "cudaStreamCreateWithFlags") ||
        !memory_open()) {
        (void)cuda_failed(error);
        return NULL;
    }
    state.is_open = true;
    return &device;
}

__attribute__((visibility("default"))) const device_plugin assay_device_plugin = {
    .size = sizeof(device_plugin),
    .kernels_size = sizeof(assay_kernels),
    .name = "cuda",
    .count = count_gpus,
    .describe = describe_gpu,
    .open = open_gpu,
};
