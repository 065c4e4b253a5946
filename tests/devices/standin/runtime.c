/* standin/runtime.c - the CUDA runtime's devices, memory, copies, launches and errors, as far as
 * the device plugin calls them. */
#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread cudaError_t last_error;
static __thread int current_device; /* each thread begins with 0 */

static cudaError_t done(cudaError_t status)
{
    if (status != cudaSuccess && status != cudaErrorNotReady)
        last_error = status;
    return status;
}

/* ---- errors ---- */

cudaError_t cudaGetLastError(void)
{
    cudaError_t status = last_error;
    last_error = cudaSuccess;
    return status;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
};

static size_t error_at(cudaError_t error)
{
    size_t i = 0, n = sizeof errors / sizeof *errors;
    while (i < n && errors[i].error != error)
        i++;
    if (i == n)
        standin_fault("error %d is none of ours", (int)error);
    return i;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return errors[error_at(error)].name;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return errors[error_at(error)].text;
}

/* ---- devices ---- */

static int device_count(void)
{
    const char *text = getenv("ASSAY_STANDIN_DEVICES");
    return text ? atoi(text) : 1;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = device_count();
    return done(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= device_count())
        return done(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cudaSuccess;
}

enum { SHARED_BYTES = 48 * 1024, SHARED_BYTES_ASKED = 227 * 1024, PROCESSORS = 132 };

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    if (device < 0 || device >= device_count())
        return done(cudaErrorInvalidDevice);
    *properties = (struct cudaDeviceProp){
        .totalGlobalMem = (size_t)standin_limit(),
        .sharedMemPerBlock = SHARED_BYTES,
        .sharedMemPerBlockOptin = SHARED_BYTES_ASKED,
        .regsPerBlock = 65536,
        .warpSize = 32,
        .maxThreadsPerBlock = 1024,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {2147483647, 65535, 65535},
        .major = 9,
        .multiProcessorCount = PROCESSORS,
        .maxThreadsPerMultiProcessor = 2048,
        .pciBusID = device + 1,
        .unifiedAddressing = 1,
        .asyncEngineCount = 3,
    };
    snprintf(properties->name, sizeof properties->name, "Stand-in %d", device);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    struct cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, device) != cudaSuccess)
        return cudaErrorInvalidDevice;
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
        *value = p.multiProcessorCount;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = SHARED_BYTES_ASKED;
        return cudaSuccess;
    default:
        return done(cudaErrorInvalidValue);
    }
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = device_count() > 0 ? CUDART_VERSION : 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    standin_lock();
    standin_finish();
    standin_unlock();
    return cudaSuccess;
}

/* ---- memory ---- */

static cudaError_t take(void **p, size_t bytes, piece_kind kind)
{
    if (!p)
        return done(cudaErrorInvalidValue);
    *p = NULL;
    if (bytes == 0)
        return cudaSuccess;
    standin_lock();
    *p = bytes <= INT64_MAX / 4 ? standin_take(kind, current_device, (int64_t)bytes) : NULL;
    standin_unlock();
    return done(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    return take(p, bytes, PIECE_DEVICE);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return take(p, bytes, PIECE_PINNED);
}

cudaError_t cudaMallocManaged(void **p, size_t bytes, unsigned flags)
{
    if (flags != cudaMemAttachGlobal)
        return done(cudaErrorInvalidValue);
    return take(p, bytes, PIECE_MANAGED);
}

/* As the real one, it waits for all work first. */
cudaError_t cudaFree(void *p)
{
    if (!p)
        return cudaSuccess;
    standin_lock();
    standin_finish();
    if (!standin_give(p, PIECE_DEVICE, PIECE_MANAGED))
        standin_fault("cudaFree of %s", standin_where(p));
    standin_unlock();
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    if (!p)
        return cudaSuccess;
    standin_lock();
    const char *user = standin_queued_on(p, 1);
    if (user)
        standin_fault("cudaFreeHost of %s, which a queued %s uses", standin_where(p), user);
    if (!standin_give(p, PIECE_PINNED, PIECE_PINNED))
        standin_fault("cudaFreeHost of %s", standin_where(p));
    standin_unlock();
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    standin_lock();
    *total = (size_t)standin_limit();
    *free_bytes = (size_t)(standin_limit() - standin_held(current_device));
    standin_unlock();
    return cudaSuccess;
}

/* ---- copies ---- */

typedef struct copy {
    void *to;
    const void *from; /* NULL: what follows this struct */
    size_t bytes;
} copy;

static void do_copy(void *data)
{
    const copy *c = data;
    memcpy(c->to, c->from ? c->from : c + 1, c->bytes);
}

static void expect_device(const char *name, const char *side, const void *p, size_t bytes)
{
    if (!standin_is_device(p, (int64_t)bytes))
        standin_fault("%s of %zu bytes: the %s is %s", name, bytes, side, standin_where(p));
}

static void expect_host(const char *name, const char *side, const void *p, size_t bytes)
{
    if (standin_is_device(p, 0) ||
        (!standin_is_kind(p, (int64_t)bytes, PIECE_PINNED) && standin_is_kind(p, 0, PIECE_PINNED)))
        standin_fault("%s of %zu bytes: the %s is %s", name, bytes, side, standin_where(p));
}

/* From pageable memory: staged at once. From pinned memory: read when the copy's turn comes. */
static void upload(void *to, const void *from, size_t bytes, cudaStream_t stream)
{
    static const char name[] = "cudaMemcpyAsync to the device";
    expect_device(name, "destination", to, bytes);
    expect_host(name, "source", from, bytes);
    copy whole = {.to = to, .from = from, .bytes = bytes};
    if (standin_is_kind(from, (int64_t)bytes, PIECE_PINNED)) {
        standin_enqueue_copy(stream, name, do_copy, &whole, sizeof whole, from, (int64_t)bytes);
        return;
    }
    copy *staged = malloc(sizeof *staged + bytes);
    if (!staged)
        standin_fault("no memory to stage %zu bytes", bytes);
    *staged = (copy){.to = to, .bytes = bytes};
    memcpy(staged + 1, from, bytes);
    standin_enqueue(stream, name, do_copy, staged, sizeof *staged + bytes);
    free(staged);
}

/* To pinned memory: written when its turn comes, and no numbers until then. To pageable memory:
 * waits. */
static void download(void *to, const void *from, size_t bytes, cudaStream_t stream)
{
    static const char name[] = "cudaMemcpyAsync to the host";
    expect_device(name, "source", from, bytes);
    expect_host(name, "destination", to, bytes);
    bool pinned = standin_is_kind(to, (int64_t)bytes, PIECE_PINNED);
    if (pinned && !standin_queued_on(to, (int64_t)bytes))
        memset(to, 0xff, bytes);
    copy c = {.to = to, .from = from, .bytes = bytes};
    standin_enqueue_copy(stream, name, do_copy, &c, sizeof c, pinned ? to : NULL, (int64_t)bytes);
    if (!pinned)
        cudaStreamSynchronize(stream);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if (bytes == 0)
        return cudaSuccess;
    standin_lock();
    const copy c = {.to = to, .from = from, .bytes = bytes};
    if (kind == cudaMemcpyHostToDevice) {
        upload(to, from, bytes, stream);
    } else if (kind == cudaMemcpyDeviceToHost) {
        download(to, from, bytes, stream);
    } else if (kind == cudaMemcpyDeviceToDevice) {
        static const char name[] = "cudaMemcpyAsync on the device";
        expect_device(name, "destination", to, bytes);
        expect_device(name, "source", from, bytes);
        if ((char *)to < (const char *)from + bytes && (const char *)from < (char *)to + bytes)
            standin_fault("%s of %zu bytes onto itself: %s", name, bytes, standin_where(to));
        standin_enqueue(stream, name, do_copy, &c, sizeof c);
    } else {
        standin_fault("cudaMemcpyAsync of kind %d: say from where to where", (int)kind);
    }
    standin_unlock();
    return cudaSuccess;
}

/* Does not wait for streams that are made with cudaStreamNonBlocking, and there are no others. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaStream_t alone = NULL;
    standin_lock();
    cudaError_t status = cudaStreamCreateWithFlags(&alone, cudaStreamNonBlocking);
    if (status == cudaSuccess) {
        cudaMemcpyAsync(to, from, bytes, kind, alone);
        cudaStreamDestroy(alone);
    }
    standin_unlock();
    return done(status);
}

typedef struct filling {
    void *to;
    int value;
    size_t bytes;
} filling;

static void do_fill(void *data)
{
    const filling *f = data;
    memset(f->to, f->value, f->bytes);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    static const char name[] = "cudaMemsetAsync";
    if (bytes == 0)
        return cudaSuccess;
    standin_lock();
    expect_device(name, "destination", to, bytes);
    const filling f = {.to = to, .value = value, .bytes = bytes};
    standin_enqueue(stream, name, do_fill, &f, sizeof f);
    standin_unlock();
    return cudaSuccess;
}

/* ---- launches ---- */

/* Kernels that may be given more shared memory than any may. */
static struct {
    const void *kernel;
    int bytes;
} asked[64];

static int shared_limit(const void *kernel)
{
    for (size_t i = 0; i < sizeof asked / sizeof *asked && asked[i].kernel; i++)
        if (asked[i].kernel == kernel && asked[i].bytes > SHARED_BYTES)
            return asked[i].bytes;
    return SHARED_BYTES;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    if (!kernel || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > SHARED_BYTES_ASKED)
        return done(cudaErrorInvalidValue);
    standin_lock();
    size_t i = 0, n = sizeof asked / sizeof *asked;
    while (i < n && asked[i].kernel && asked[i].kernel != kernel)
        i++;
    if (i == n)
        standin_fault("too many kernels ask for shared memory");
    asked[i].kernel = kernel;
    asked[i].bytes = value;
    standin_unlock();
    return cudaSuccess;
}

static void run_launch(void *data)
{
    standin_kernel *kernel = data;
    standin_run_kernel(kernel);
    free(kernel->closure.data);
}

static bool launch_fits(const standin_kernel *k)
{
    uint64_t threads = (uint64_t)k->threads.x * k->threads.y * k->threads.z;
    return threads >= 1 && threads <= 1024 && k->threads.z <= 64 && k->blocks.x >= 1 &&
           k->blocks.x <= 2147483647u && k->blocks.y >= 1 && k->blocks.y <= 65535 &&
           k->blocks.z >= 1 && k->blocks.z <= 65535 && k->threads.x <= 1024 && k->threads.y <= 1024;
}

void standin_launch(const char *name, dim3 blocks, dim3 threads, size_t shared_bytes,
                    cudaStream_t stream, standin_closure closure)
{
    const standin_kernel kernel = {.name = name,
                                   .blocks = blocks,
                                   .threads = threads,
                                   .shared_bytes = shared_bytes,
                                   .closure = closure};
    bool fits = launch_fits(&kernel);
    bool shared_fits = shared_bytes <= (size_t)shared_limit(closure.kernel);
    if (fits && shared_fits) {
        standin_lock();
        closure.check(name, closure.data);
        standin_enqueue(stream, name, run_launch, &kernel, sizeof kernel);
        standin_unlock();
        return;
    }
    fprintf(stderr,
            "standin: kernel %s cannot be launched: (%u, %u, %u) blocks of (%u, %u, %u) threads "
            "with %zu bytes of shared memory\n",
            name, blocks.x, blocks.y, blocks.z, threads.x, threads.y, threads.z, shared_bytes);
    free(closure.data);
    done(fits ? cudaErrorInvalidValue : cudaErrorInvalidConfiguration);
}
