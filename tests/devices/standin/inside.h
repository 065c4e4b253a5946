/* standin/inside.h - what memory.c, queue.c, runtime.c and launch.c tell each other. All of it is
 * called with the lock held, but standin_where and what reads the environment. */
#ifndef ASSAY_TESTS_STANDIN_INSIDE_H
#define ASSAY_TESTS_STANDIN_INSIDE_H

#include "standin.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#endif

/* ---- queue.c ---- */

/* One lock for everything: taken by each call of the runtime, by a thread that may have it
 * already. */
void standin_lock(void);
void standin_unlock(void);

/* Does all work of all streams. */
void standin_finish(void);
/* True while this thread does queued work; its name. */
bool standin_works(void);
const char *standin_work_name(void);
/* Names a queued copy from or to pinned host memory that touches [p, p + bytes), or is NULL. */
const char *standin_queued_on(const void *p, int64_t bytes);
/* Queues a copy: like standin_enqueue, and standin_queued_on knows the host's side of it. `host`
 * may be NULL. */
void standin_enqueue_copy(cudaStream_t stream, const char *name, void (*run)(void *data),
                          const void *data, size_t size, const void *host, int64_t bytes);

/* ---- memory.c ---- */

typedef enum piece_kind { PIECE_DEVICE, PIECE_PINNED, PIECE_MANAGED } piece_kind;

/* NULL when it would pass the limit of the device, or there is no memory. `bytes` > 0. */
void *standin_take(piece_kind kind, int device, int64_t bytes);
/* False when p isn't the beginning of a living piece of one of the two kinds. */
bool standin_give(void *p, piece_kind kind, piece_kind or_kind);
/* True when all of it lies in one living piece of that kind. */
bool standin_is_kind(const void *p, int64_t bytes, piece_kind kind);
/* Bytes of living device memory, and the limit. */
int64_t standin_held(int device);
int64_t standin_limit(void);
/* Device memory may be touched from the first of these to the second; none may be taken or
 * freed. */
void standin_open_memory(void);
void standin_close_memory(void);
/* A fault when something beyond a piece that work has touched has been written. */
void standin_check_edges(void);
int standin_report_memory(void);

/* ---- launch.c ---- */

/* "kernel NAME, block (0, 0, 0), thread (5, 0, 0)" while one runs, or NULL. */
const char *standin_kernel_text(void);
/* True when p lies behind the shared memory of the running block. */
bool standin_beyond_shared(const void *p);

#endif
