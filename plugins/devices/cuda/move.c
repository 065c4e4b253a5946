/* move.c - numbers on their way between the host and the GPU.
 *
 * What goes there is copied into a ring of pinned memory and leaves it on a stream of its own: the
 * host goes on at once, and may change what it sent. The ring is two halves; the host waits only
 * when it comes round to a half whose copies are still under way. Two events keep the order: the
 * copy waits for what was launched before it (the memory may be in use still), and what is launched
 * after it waits for the copy.
 *
 * A batch that is sent ahead of its step goes by a second lane, ring and stream, for it does not
 * wait for the step under way: it goes where only an earlier one was, up to a mark that the host
 * has set (an event in the order of the work).
 *
 * What comes back is waited for, or fetched into pinned memory, where it is once a later mark is
 * reached. */
#include "memory.h"

#include <string.h>

enum {
    HALF = 16 << 20, /* bytes of each half of the ring */
    BACK = 4 << 20,  /* bytes that come back at a time */
    RING_STEP = 256,
    MARKS = 16, /* that can be told apart; for an older one a later one is waited for */
};

typedef struct lane {
    cudaStream_t stream;
    cudaEvent_t copied;       /* the last upload */
    cudaEvent_t half_done[2]; /* the last copy out of each half */
    bool half_busy[2];
    char *ring; /* pinned */
    int64_t at; /* in the ring */
} lane;

typedef struct mover {
    lane now, ahead;
    cudaEvent_t computed; /* before the last upload */
    char *back;           /* pinned */
    cudaEvent_t marks[MARKS];
    int64_t last_mark;
    int64_t takes; /* of the pool, when an upload ahead last waited for all work */
    void *workspace, *small;
    int64_t workspace_bytes, small_bytes;
} mover;

static mover m;

static bool make_event(cudaEvent_t *event)
{
    return cuda_ok(cudaEventCreateWithFlags(event, cudaEventDisableTiming),
                   "cudaEventCreateWithFlags");
}

static bool make_lane(lane *l)
{
    void *ring = NULL;
    bool ok = cuda_ok(cudaStreamCreateWithFlags(&l->stream, cudaStreamNonBlocking),
                      "cudaStreamCreateWithFlags") &&
              make_event(&l->copied) && make_event(&l->half_done[0]) &&
              make_event(&l->half_done[1]) &&
              cuda_ok(cudaMallocHost(&ring, 2 * HALF), "cudaMallocHost");
    l->ring = ring;
    return ok;
}

bool memory_open(void)
{
    void *back = NULL;
    bool ok = make_lane(&m.now) && make_lane(&m.ahead) && make_event(&m.computed);
    for (int i = 0; i < MARKS && ok; i++)
        ok = make_event(&m.marks[i]);
    ok = ok && cuda_ok(cudaMallocHost(&back, BACK), "cudaMallocHost");
    m.back = back;
    return ok;
}

/* ---- there ---- */

/* Room in the ring for `bytes` (at most a half), which must lie in one half. */
static char *ring_room(lane *l, int64_t bytes, int *half)
{
    int64_t first = l->at, end = first + bytes;
    if (first / HALF != (end - 1) / HALF) { /* it would cross: the next half's start */
        first = first < HALF ? HALF : 0;
        end = first + bytes;
    }
    *half = first < HALF ? 0 : 1;
    if (first % HALF == 0 && l->half_busy[*half]) {
        (void)cuda_ok(cudaEventSynchronize(l->half_done[*half]), "cudaEventSynchronize");
        l->half_busy[*half] = false;
    }
    l->at = (end + RING_STEP - 1) / RING_STEP * RING_STEP % (2 * HALF);
    return l->ring + first;
}

static void send_part(lane *l, char *to, const char *from, int64_t bytes)
{
    int half = 0;
    char *room = ring_room(l, bytes, &half);
    memcpy(room, from, (size_t)bytes);
    (void)(cuda_ok(cudaMemcpyAsync(to, room, (size_t)bytes, cudaMemcpyHostToDevice, l->stream),
                   "cudaMemcpyAsync to the GPU") &&
           cuda_ok(cudaEventRecord(l->half_done[half], l->stream), "cudaEventRecord"));
    l->half_busy[half] = true;
}

/* The lane's next copies wait for all work so far. */
static bool wait_for_work(const lane *l)
{
    return cuda_ok(cudaEventRecord(m.computed, cuda_compute_stream()), "cudaEventRecord") &&
           cuda_ok(cudaStreamWaitEvent(l->stream, m.computed, 0), "cudaStreamWaitEvent");
}

/* Through the ring; the work that follows waits for it. */
static void send(lane *l, void *to, const void *from, int64_t bytes)
{
    for (int64_t first = 0; first < bytes; first += HALF)
        send_part(l, (char *)to + first, (const char *)from + first,
                  bytes - first < HALF ? bytes - first : HALF);
    (void)(cuda_ok(cudaEventRecord(l->copied, l->stream), "cudaEventRecord") &&
           cuda_ok(cudaStreamWaitEvent(cuda_compute_stream(), l->copied, 0),
                   "cudaStreamWaitEvent"));
}

static void upload(void *to, const void *from, int64_t bytes)
{
    if (bytes > 0 && wait_for_work(&m.now))
        send(&m.now, to, from, bytes);
}

/* ---- marks ---- */

static int64_t mark(void)
{
    int64_t next = m.last_mark + 1;
    if (cuda_ok(cudaEventRecord(m.marks[next % MARKS], cuda_compute_stream()), "cudaEventRecord"))
        m.last_mark = next;
    return m.last_mark;
}

static cudaEvent_t event_of(int64_t number)
{
    int64_t oldest = m.last_mark - MARKS + 1;
    return m.marks[(number < oldest ? oldest : number) % MARKS];
}

static void wait_for(int64_t number)
{
    if (number > 0)
        (void)cuda_ok(cudaEventSynchronize(event_of(number)), "cudaEventSynchronize");
}

/* A piece that the pool has handed out since may have had another user: then the copies wait for
 * all. */
static bool wait_until(int64_t number)
{
    if (m.takes != pool_takes()) {
        m.takes = pool_takes();
        return wait_for_work(&m.ahead);
    }
    return number <= 0 ||
           cuda_ok(cudaStreamWaitEvent(m.ahead.stream, event_of(number), 0), "cudaStreamWaitEvent");
}

static void upload_after(int64_t number, void *to, const void *from, int64_t bytes)
{
    if (bytes > 0 && wait_until(number))
        send(&m.ahead, to, from, bytes);
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

static void *take_host(int64_t bytes, assay_error *error)
{
    void *piece = NULL;
    cudaError_t status = cudaMallocHost(&piece, bytes > 0 ? (size_t)bytes : 1);
    if (status == cudaSuccess)
        return piece;
    (void)cudaGetLastError(); /* told here */
    ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "cuda", .what = "no pinned memory of the host",
               .expected = assay_text("%lld bytes", (long long)bytes),
               .got = cudaGetErrorString(status));
    return NULL;
}

static void give_host(void *piece)
{
    if (piece)
        (void)cuda_ok(cudaFreeHost(piece), "cudaFreeHost");
}

static void fetch(void *to, const void *from, int64_t bytes)
{
    if (bytes > 0)
        (void)cuda_ok(
            cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToHost, cuda_compute_stream()),
            "cudaMemcpyAsync from the GPU");
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
    .mark = mark,
    .wait_for = wait_for,
    .upload_after = upload_after,
    .take_host = take_host,
    .give_host = give_host,
    .fetch = fetch,
    .copy = copy,
    .clear = clear,
    .wait = wait_for_all,
    .failed = cuda_failed,
    .held = pool_held,
    .peak = pool_peak,
};
