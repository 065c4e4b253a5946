/* standin/standin.h - a GPU that is not there, for tests: the CUDA runtime, cuBLASLt and cuDNN
 * under their own names, done by the host.
 *
 * It is strict where a real GPU forgives and late where one may be late:
 * - Device memory can be touched by device code only, that is while queued work runs. A host that
 *   reads or writes it dies with a message that names the allocation; so does a touch of freed
 *   memory, and a step beyond an allocation.
 * - Work waits in its stream until somebody must wait for it (a synchronise, a copy to pageable
 *   memory, an event of another stream), and is then done in the order of its stream, by the thread
 *   that waits. A missing synchronisation gives numbers that are wrong, each time.
 *   CUDA_LAUNCH_BLOCKING=1 does all work when it is asked for, as the real runtime does.
 * - What the real libraries leave undefined is a fault: one line on stderr, then abort().
 *
 * Environment: ASSAY_STANDIN_DEVICES (default 1), ASSAY_STANDIN_MEMORY (bytes of each, default 8
 * GiB), ASSAY_STANDIN_REPORT (when set, what has not been freed is listed as the process ends, and
 * makes it end with status 3), ASSAY_STANDIN_WAITS (a file that gets a line as the process ends:
 * how often the host has waited for all work of a stream, and for an event),
 * ASSAY_STANDIN_ORDER=backward (blocks, warps and lanes run in the other order).
 *
 * This header is what the parts share: launch.c (kernels), runtime.c and memory.c (the runtime),
 * cublaslt.c, cudnn.c. */
#ifndef ASSAY_TESTS_STANDIN_H
#define ASSAY_TESTS_STANDIN_H

#include <cuda_runtime_api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- for the library stand-ins ---- */

/* Queues work on a stream: when its turn comes, run(data) is called, with a copy of the `bytes` at
 * `data` that was made here, while device memory may be touched. The copy is aligned to 16 and is
 * freed afterwards. `name` is static. */
void standin_enqueue(cudaStream_t stream, const char *name, void (*run)(void *data),
                     const void *data, size_t bytes);

/* Queued work calls it before threads of its own, a library's, touch device memory: otherwise only
 * the thread that does the work may touch it. */
void standin_share(const void *p, int64_t bytes);

/* True when all of the `bytes` from p on lie in one living allocation of device (or managed)
 * memory. With 0 bytes its end counts as well. */
bool standin_is_device(const void *p, int64_t bytes);

/* True when device code may be given p: standin_is_device, or pinned host memory, or anything at
 * all with CUDA_LAUNCH_BLOCKING=1, under which tests of single kernels hand over arrays of the
 * host. */
bool standin_may_touch(const void *p, int64_t bytes);

/* True when this is the handle of a living stream. */
bool standin_is_stream(cudaStream_t stream);

/* CUDA_LAUNCH_BLOCKING=1 */
bool standin_blocking(void);

/* "byte 128 of allocation 7 (device memory, 4096 bytes)", "memory of the host"; for messages.
 * Overwritten by the fourth call from here. */
const char *standin_where(const void *p);

/* One line on stderr, naming the kernel, block and thread if one is running; then abort(). */
void standin_fault(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* One more (1) or one less (-1) of a kind of object that must be destroyed, "cublasLt handle"; for
 * the report. `kind` is static. */
void standin_count(const char *kind, int change);

/* Lists on stderr what is alive: allocations, pinned memory, streams, events, what standin_count
 * knows. Returns how many. */
int standin_report(void);

/* ---- between launch.c and the runtime ---- */

/* A kernel and its arguments: call(data) runs one thread of it, check(name, data) looks at the
 * arguments. */
typedef struct standin_closure {
    void (*call)(const void *data);
    void (*check)(const char *name, const void *data);
    const void *kernel; /* the function, for its attributes */
    void *data;         /* malloc'ed; the launch takes it over */
} standin_closure;

/* Checks the launch as the runtime does (an invalid one is the last error) and queues it. */
void standin_launch(const char *name, dim3 blocks, dim3 threads, size_t shared_bytes,
                    cudaStream_t stream, standin_closure closure);
/* The dynamic shared memory of the running block. */
void *standin_shared(void);
/* Argument `index` (from 1) of a kernel is a pointer: a fault unless it is NULL or device code may
 * follow it. */
void standin_check_argument(const char *name, int index, const void *p);
/* The word at byte `at` of a struct that is an argument: a fault when it is the address of mapped
 * memory of the host, or of freed memory. */
void standin_check_word(const char *name, int index, size_t at, const void *word);

/* Runs all threads of all blocks of a kernel. */
typedef struct standin_kernel {
    const char *name;
    dim3 blocks, threads;
    size_t shared_bytes;
    standin_closure closure;
} standin_kernel;
void standin_run_kernel(const standin_kernel *kernel);

/* What is being run, for messages: "kernel NAME, block (0, 0, 0), thread (5, 0, 0)", "NAME" of
 * queued work, or "the host". */
const char *standin_running(void);

#ifdef __cplusplus
}
#endif

#endif
