/* driver.c - libcuda.so.1 for a machine without a GPU: as much of the driver as cuDNN asks for
 * while it prepares a plan for a GPU that is only described to it.
 *
 * cuDNN compiles a fused kernel to machine code and hands it to the driver. Here the code is looked
 * at (is it a whole ELF image, and for which architecture) and kept in mind; nothing can be run,
 * and there is no device: every other call says so. */
#include "driver.h"

#include <cuda.h>

#include <stdio.h>
#include <string.h>

/* ---- what has been handed over ---- */

static driver_code seen;

driver_code driver_seen(void)
{
    return seen;
}

/* The ELF header of an image for a GPU: magic, then at byte 48 the flags, whose second byte is the
 * architecture (90 for sm_90). */
static bool look_at(const void *image)
{
    unsigned char head[52];
    memcpy(head, image, sizeof head);
    if (memcmp(head, "\177ELF", 4) != 0)
        return false;
    if (seen.images++ == 0)
        seen.lowest = seen.highest = head[49];
    seen.lowest = head[49] < seen.lowest ? head[49] : seen.lowest;
    seen.highest = head[49] > seen.highest ? head[49] : seen.highest;
    return true;
}

CUresult CUDAAPI cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *jit,
                                   void **jit_values, unsigned jit_count, CUlibraryOption *options,
                                   void **option_values, unsigned option_count)
{
    (void)jit, (void)jit_values, (void)jit_count;
    (void)options, (void)option_values, (void)option_count;
    if (!look_at(code))
        return CUDA_ERROR_INVALID_IMAGE;
    *library = (CUlibrary)(void *)&seen;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name)
{
    if ((void *)library != (void *)&seen)
        return CUDA_ERROR_INVALID_HANDLE;
    snprintf(seen.kernel, sizeof seen.kernel, "%s", name);
    *kernel = (CUkernel)(void *)&seen;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuLibraryUnload(CUlibrary library)
{
    return (void *)library == (void *)&seen ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* A kernel that may take more shared memory: there is nothing to set. */
CUresult CUDAAPI cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                                      CUdevice device)
{
    (void)attribute, (void)value, (void)device;
    return (void *)kernel == (void *)&seen ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult CUDAAPI cuDriverGetVersion(int *version)
{
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorString(CUresult error, const char **text)
{
    *text = error == CUDA_SUCCESS ? "no error" : "no GPU is here";
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorName(CUresult error, const char **text)
{
    return cuGetErrorString(error, text);
}

/* ---- what takes a device ---- */

/* Looked up by name and never called with success in mind: the arguments do not matter. cuda.h
 * declares some of these names as macros of a later version. */
#define NO_DEVICE(name)                                                                            \
    __attribute__((visibility("default"))) int name##_refused(void) __asm__(#name);                \
    int name##_refused(void)                                                                       \
    {                                                                                              \
        return CUDA_ERROR_NO_DEVICE;                                                               \
    }
#define NAMES(X)                                                                                   \
    X(cuCtxGetCurrent)                                                                             \
    X(cuCtxGetDevice)                                                                              \
    X(cuCtxGetLimit)                                                                               \
    X(cuCtxPopCurrent)                                                                             \
    X(cuCtxPushCurrent)                                                                            \
    X(cuDeviceGet)                                                                                 \
    X(cuDeviceGetAttribute)                                                                        \
    X(cuDeviceGetCount)                                                                            \
    X(cuDevicePrimaryCtxRelease)                                                                   \
    X(cuDevicePrimaryCtxReset)                                                                     \
    X(cuDevicePrimaryCtxRetain)                                                                    \
    X(cuFuncGetAttribute)                                                                          \
    X(cuFuncSetAttribute)                                                                          \
    X(cuInit)                                                                                      \
    X(cuKernelGetAttribute)                                                                        \
    X(cuLaunchCooperativeKernel)                                                                   \
    X(cuLaunchKernel)                                                                              \
    X(cuLaunchKernelEx)                                                                            \
    X(cuLibraryLoadFromFile)                                                                       \
    X(cuLinkAddData)                                                                               \
    X(cuLinkAddData_v2)                                                                            \
    X(cuLinkAddFile_v2)                                                                            \
    X(cuLinkComplete)                                                                              \
    X(cuLinkCreate)                                                                                \
    X(cuLinkCreate_v2)                                                                             \
    X(cuLinkDestroy)                                                                               \
    X(cuMemcpyDtoH_v2)                                                                             \
    X(cuModuleGetFunction)                                                                         \
    X(cuModuleGetGlobal_v2)                                                                        \
    X(cuModuleLoadData)                                                                            \
    X(cuModuleLoadDataEx)                                                                          \
    X(cuModuleLoadFatBinary)                                                                       \
    X(cuModuleUnload)                                                                              \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor)                                                 \
    X(cuOccupancyMaxPotentialClusterSize)                                                          \
    X(cuStreamGetCtx)                                                                              \
    X(cuStreamSynchronize)                                                                         \
    X(cuTensorMapEncodeTiled)
NAMES(NO_DEVICE)
