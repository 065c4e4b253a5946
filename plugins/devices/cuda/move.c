/* move.c - numbers on their way between the host and the GPU.
 *
 * What goes there is copied into a ring of pinned memory and leaves it on a stream of its own: the host
 * goes on at once, and may change what it sent. The ring is two halves; the host waits only when it comes
 * round to a half whose copies are still under way. Two events keep the order: the copy waits for what was
 * launched before it (the memory may be in use still), and what is launched after it waits for the copy.
 *
 * What comes back is waited for. */
#include "memory.h"

#include <string.h>

enum {
    HALF = 16 << 20, /* bytes of each half of the ring */
    BACK = 4 << 20,  /* bytes that come back at a time */
    RING_STEP = 256,
};

typedef struct mover {
    cudaStream_t copies;
    cudaEvent_t computed, copied; /* of the last upload */
    cudaEvent_t half_done[2];     /* the last copy out of each half */
    bool half_busy[2];
    char *ring, *back; /* pinned */
    int64_t at;        /* in the ring */
    void *workspace, *small;
    int64_t workspace_bytes, small_bytes;
} mover;

static mover m;

static bool make_event(cudaEvent_t *event)
{
    return cuda_ok(cudaEventCreateWithFlags(event, cudaEventDisableTiming),
                   "cudaEventCreateWithFlags");
}

bool memory_open(void)
{
    void *ring = NULL, *back = NULL;
    bool ok = cuda_ok(cudaStreamCreateWithFlags(&m.copies, cudaStreamNonBlocking),
                      "cudaStreamCreateWithFlags") &&
              make_event(&m.computed) && make_event(&m.copied) && make_event(&m.half_done[0]) &&
              make_event(&m.half_done[1]) &&
              cuda_ok(cudaMallocHost(&ring, 2 * HALF), "cudaMallocHost") &&
              cuda_ok(cudaMallocHost(&back, BACK), "cudaMallocHost");
    m.ring = ring;
    m.back = back;
    return ok;
}

/* ---- there ---- */

/* Room in the ring for `bytes` (at most a half), which must lie in one half. */
static char *ring_room(int64_t bytes, int *half)
{
    int64_t first = m.at, end = first + bytes;
    if (first / HALF != (end - 1) / HALF) { /* it would cross: the next half's start */
        first = first < HALF ? HALF : 0;
        end = first + bytes;
    }
    *half = first < HALF ? 0 : 1;
    if (first % HALF == 0 && m.half_busy[*half]) {
        (void)cuda_ok(cudaEventSynchronize(m.half_done[*half]), "cudaEventSynchronize");
        m.half_busy[*half] = false;
    }
    m.at = (end + RING_STEP - 1) / RING_STEP * RING_STEP % (2 * HALF);
    return m.ring + first;
}

static void upload_part(char *to, const char *from, int64_t bytes)
{
    int half = 0;
    char *room = ring_room(bytes, &half);
    memcpy(room, from, (size_t)bytes);
    (void)(cuda_ok(cudaMemcpyAsync(to, room, (size_t)bytes, cudaMemcpyHostToDevice, m.copies),
                   "cudaMemcpyAsync to the GPU") &&
           cuda_ok(cudaEventRecord(m.half_done[half], m.copies), "cudaEventRecord"));
    m.half_busy[half] = true;
}

static void upload(void *to, const void *from, int64_t bytes)
{
    if (bytes == 0)
        return;
    if (!cuda_ok(cudaEventRecord(m.computed, cuda_compute_stream()), "cudaEventRecord") ||
        !cuda_ok(cudaStreamWaitEvent(m.copies, m.computed, 0), "cudaStreamWaitEvent"))
        return;
    for (int64_t first = 0; first < bytes; first += HALF)
        upload_part((char *)to + first, (const char *)from + first,
                    bytes - first < HALF ? bytes - first : HALF);
    (void)(cuda_ok(cudaEventRecord(m.copied, m.copies), "cudaEventRecord") &&
           cuda_ok(cudaStreamWaitEvent(cuda_compute_stream(), m.copied, 0), "cudaStreamWaitEvent"));
}

/* ---- and back ---- */

static void wait_for_all(void)
{
    (void)cuda_ok(cudaStreamSynchronize(cuda_compute_stream()), "cudaStreamSynchronize");
}

static void download(void *to, const void *from, int64_t bytes)
{
    for (int64_t first = 0; first < bytes; first += BACK) {
        int64_t n = bytes - first < BACK ? bytes - first : BACK;
        if (!cuda_ok(cudaMemcpyAsync(m.back, (const char *)from + first, (size_t)n,
                                     cudaMemcpyDeviceToHost, cuda_compute_stream()),
                     "cudaMemcpyAsync from the GPU"))
            return;
        wait_for_all();
        memcpy((char *)to + first, m.back, (size_t)n);
    }
}

/* ---- staying there ---- */

static void copy(void *to, const void *from, int64_t bytes)
{
    if (bytes > 0)
        (void)cuda_ok(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToDevice,
                                      cuda_compute_stream()),
                      "cudaMemcpyAsync on the GPU");
}

static void clear(void *to, int64_t bytes)
{
    if (bytes > 0)
        (void)cuda_ok(cudaMemsetAsync(to, 0, (size_t)bytes, cuda_compute_stream()),
                      "cudaMemsetAsync");
}

/* ---- for one call ---- */

/* The memory at *room, exchanged for more when it is less than `bytes`. */
static void *grown(void **room, int64_t *held, int64_t bytes)
{
    assay_error error = {0};
    if (*held >= bytes && *room)
        return *room;
    pool_give(*room);
    *held = 0;
    *room = pool_take(bytes, &error);
    if (!*room)
        cuda_note_error(&error);
    else
        *held = bytes;
    return *room;
}

void *cuda_workspace(int64_t bytes)
{
    return grown(&m.workspace, &m.workspace_bytes, bytes);
}

const void *cuda_small(const void *bytes, int64_t n)
{
    void *room = grown(&m.small, &m.small_bytes, n);
    if (room)
        upload(room, bytes, n);
    return room;
}

const device_memory cuda_memory = {
    .take = pool_take,
    .give = pool_give,
    .upload = upload,
    .download = download,
    .copy = copy,
    .clear = clear,
    .wait = wait_for_all,
    .failed = cuda_failed,
    .held = pool_held,
    .peak = pool_peak,
};
