/* standin/launch.c - runs a kernel on the host: block after block, warp after warp, lane after
 * lane.
 *
 * A thread runs until it ends or until it must meet others; then the next one runs. A fiber takes
 * the next thread when its own has ended, so a kernel whose threads never meet runs on one stack
 * and costs a call per thread. When the lanes of a warp have met, they go on in their order; when
 * all warps stand at __syncthreads, the first goes on. Threads that cannot meet (some have ended,
 * or stand elsewhere) are a fault, where a real GPU hangs or goes on with garbage.
 *
 * One launch at a time: the caller holds the stand-in's lock. */
#include "fiber.h"
#include "inside.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WARP = 32, MOST_THREADS = 1024, MOST_WARPS = MOST_THREADS / WARP, POISON = 0xff };

uint3 standin_thread, standin_block;
dim3 standin_threads, standin_blocks;

typedef enum thread_state { FRESH, READY, RUNNING, AT_WARP, AT_BLOCK, ENDED } thread_state;

static struct {
    const standin_kernel *kernel; /* NULL: nothing runs */
    unsigned char *shared;
    int threads;           /* of a block */
    int64_t block, blocks; /* the running one, and how many */
    bool backward;         /* blocks, warps and lanes in the other order */
    int warp;              /* position in that order */
    int next, step, left;  /* lanes of the warp: thread to be looked at next, +1 or -1, how many */
    int waiting;           /* threads of the block at __syncthreads */
    int meeting;           /* lanes of the warp that have come to it */
    const char *what;      /* what they have come for */
    fiber host, *current, *idle;
    pthread_t thread; /* the fibers' stacks are its */
    bool started;
    uint3 place[MOST_THREADS]; /* threadIdx of each thread */
    unsigned char state[MOST_THREADS];
    fiber *fiber[MOST_THREADS];
    uint64_t slot[2][MOST_THREADS]; /* what lanes bring, by turns */
    unsigned char turn[MOST_WARPS];
} run;

void *standin_shared(void)
{
    if (!run.shared)
        standin_fault("no shared memory was given at the launch");
    return run.shared;
}

const char *standin_kernel_text(void)
{
    static char text[256];
    if (!run.kernel)
        return NULL;
    snprintf(text, sizeof text, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u)",
             run.kernel->name, standin_block.x, standin_block.y, standin_block.z, standin_thread.x,
             standin_thread.y, standin_thread.z);
    return text;
}

/* ---- order ---- */

static int warps(void)
{
    return (run.threads + WARP - 1) / WARP;
}

static int warp_at(int position)
{
    return run.backward ? warps() - 1 - position : position;
}

static int lanes_of(int warp)
{
    return run.threads - warp * WARP < WARP ? run.threads - warp * WARP : WARP;
}

static void begin_warp(int position)
{
    const int warp = warp_at(position), lanes = lanes_of(warp);
    run.warp = position, run.left = lanes, run.meeting = 0;
    run.step = run.backward ? -1 : 1;
    run.next = warp * WARP + (run.backward ? lanes - 1 : 0);
}

static void begin_block(void)
{
    const dim3 *grid = &run.kernel->blocks;
    uint64_t at = (uint64_t)(run.backward ? run.blocks - 1 - run.block : run.block);
    standin_block.x = (unsigned)(at % grid->x);
    standin_block.y = (unsigned)(at / grid->x % grid->y);
    standin_block.z = (unsigned)(at / grid->x / grid->y);
    memset(run.state, FRESH, sizeof run.state);
    if (run.shared)
        memset(run.shared, POISON, run.kernel->shared_bytes);
    run.waiting = 0;
    begin_warp(0);
}

/* ---- threads that do not meet ---- */

static const char *state_text(int thread)
{
    static const char *const texts[] = {"not begun",        "ready",
                                        "running",          "at a meeting of its warp",
                                        "at __syncthreads", "at its end"};
    return texts[run.state[thread]];
}

/* One of `count` threads from `first` on isn't in `wanted`: names it. */
static void fault_of_missing(const char *what, int first, int count, thread_state wanted)
{
    for (int t = first; t < first + count; t++)
        if (run.state[t] != wanted) {
            const uint3 *at = &run.place[t];
            const char *state = state_text(t);
            for (int other = first; other < first + count; other++)
                if (run.state[other] == wanted)
                    standin_thread = run.place[other];
            standin_fault("%s is not met by all: thread (%u, %u, %u) is %s", what, at->x, at->y,
                          at->z, state);
        }
}

static void check_meeting(int warp)
{
    int lanes = lanes_of(warp);
    if (run.meeting != lanes)
        fault_of_missing(run.what, warp * WARP, lanes, AT_WARP);
    if (lanes != WARP)
        standin_fault("%s in a warp of %d threads", run.what, lanes);
}

/* ---- who goes on ---- */

static void fiber_loop(void);

static fiber *take_idle(void)
{
    fiber *f = run.idle;
    if (!f)
        return fiber_new(fiber_loop);
    run.idle = f->next;
    return f;
}

/* The next lane of the running warp that can go on, or NULL. A thread that has not begun is given
 * to `ended`, the fiber that asks because its own thread has ended, or to an idle one. */
static inline fiber *next_lane(fiber *ended)
{
    while (run.left > 0) {
        const int thread = run.next;
        const thread_state state = run.state[thread];
        run.next += run.step;
        run.left--;
        if (state != FRESH && state != READY)
            continue;
        run.state[thread] = RUNNING;
        if (state == READY)
            return run.fiber[thread];
        fiber *f = ended ? ended : take_idle();
        f->thread = thread;
        run.fiber[thread] = f;
        return f;
    }
    return NULL;
}

/* All lanes of the warp have stopped: releases a meeting or goes to the next warp or block. False
 * when the launch is done. */
static bool next_round(void)
{
    const int warp = warp_at(run.warp);
    if (run.meeting > 0) {
        check_meeting(warp);
        memset(&run.state[warp * WARP], READY, WARP);
        run.turn[warp] ^= 1;
        begin_warp(run.warp);
    } else if (run.warp + 1 < warps()) {
        begin_warp(run.warp + 1);
    } else if (run.waiting > 0) {
        if (run.waiting != run.threads)
            fault_of_missing("__syncthreads", 0, run.threads, AT_BLOCK);
        memset(run.state, READY, sizeof run.state);
        run.waiting = 0;
        begin_warp(0);
    } else {
        if (++run.block == run.blocks)
            return false;
        begin_block();
    }
    return true;
}

static inline void change(fiber *from, fiber *to)
{
    if (to != &run.host)
        standin_thread = run.place[to->thread];
    run.current = to;
    fiber_change(from, to);
}

/* Changes to the fiber that goes on now: the host's own when all is done. `ended`: the calling
 * fiber, if its thread has ended; when another goes on, it is idle. */
static __attribute__((noinline)) void go_on(fiber *ended)
{
    fiber *from = run.current, *to = next_lane(ended);
    while (!to)
        to = next_round() ? next_lane(ended) : &run.host;
    if (to == from) {
        standin_thread = run.place[to->thread];
        return;
    }
    if (ended) {
        ended->next = run.idle;
        run.idle = ended;
    }
    change(from, to);
}

/* The usual way: the next lane of a warp that has met before. */
static inline bool go_on_in_warp(void)
{
    if (run.left == 0 || run.state[run.next] != READY)
        return false;
    fiber *to = run.fiber[run.next];
    run.state[run.next] = RUNNING;
    run.next += run.step;
    run.left--;
    change(run.current, to);
    return true;
}

/* The usual way of threads that never meet: the next lane begins on the fiber of one that has
 * ended. */
static inline bool begin_next(fiber *ended)
{
    if (run.left == 0 || run.state[run.next] != FRESH)
        return false;
    ended->thread = run.next;
    run.fiber[run.next] = ended;
    run.state[run.next] = RUNNING;
    standin_thread = run.place[run.next];
    run.next += run.step;
    run.left--;
    return true;
}

static void fiber_loop(void)
{
    fiber *self = run.current;
    for (;;) {
        run.kernel->closure.call(run.kernel->closure.data);
        run.state[self->thread] = ENDED;
        if (!begin_next(self))
            go_on(self);
    }
}

/* ---- what threads call ---- */

void standin_meet_block(void);
void standin_meet_block(void)
{
    run.state[run.current->thread] = AT_BLOCK;
    run.waiting++;
    if (!go_on_in_warp())
        go_on(NULL);
}

const uint64_t *standin_meet_warp(const char *what, unsigned mask, uint64_t mine);
const uint64_t *standin_meet_warp(const char *what, unsigned mask, uint64_t mine)
{
    const int thread = run.current->thread, warp = thread / WARP;
    if (mask != 0xffffffffu)
        standin_fault("%s with the mask %08x, which does not name all lanes", what, mask);
    if (run.meeting > 0 && run.what != what && strcmp(run.what, what) != 0)
        standin_fault("%s meets %s of another lane", what, run.what);
    uint64_t *slots = &run.slot[run.turn[warp]][warp * WARP];
    slots[thread % WARP] = mine;
    run.what = what;
    run.meeting++;
    run.state[thread] = AT_WARP;
    if (!go_on_in_warp())
        go_on(NULL);
    return slots;
}

/* ---- shared memory ---- */

/* The exact size: behind it stands a page that nobody may touch, or ASan's red zone. */
#ifdef WITH_ASAN

static void *take_shared(size_t bytes)
{
    void *shared = malloc(bytes);
    if (!shared)
        standin_fault("no memory for %zu bytes of shared memory", bytes);
    return shared;
}

static void give_shared(void)
{
    free(run.shared);
    run.shared = NULL;
}

bool standin_beyond_shared(const void *p)
{
    (void)p;
    return false;
}

#else

enum { SHARED_ROOM = 256 * 1024, SHARED_GUARD = 64 * 1024, SHARED_EDGE = 0xa5 };

static unsigned char *shared_room; /* SHARED_ROOM bytes, then the guard */

static void *take_shared(size_t bytes)
{
    if (!shared_room) {
        void *map = mmap(NULL, SHARED_ROOM + SHARED_GUARD, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED || mprotect(map, SHARED_ROOM, PROT_READ | PROT_WRITE) != 0)
            standin_fault("no room for shared memory");
        shared_room = map;
    }
    size_t whole = (bytes + 15) / 16 * 16;
    unsigned char *shared = shared_room + SHARED_ROOM - whole;
    memset(shared + bytes, SHARED_EDGE, whole - bytes);
    return shared;
}

static void give_shared(void)
{
    const unsigned char *end = shared_room + SHARED_ROOM;
    for (size_t i = run.kernel->shared_bytes; run.shared && run.shared + i < end; i++)
        if (run.shared[i] != SHARED_EDGE)
            standin_fault("written beyond the shared memory that the launch gives");
    run.shared = NULL;
}

bool standin_beyond_shared(const void *p)
{
    const unsigned char *end = shared_room + SHARED_ROOM;
    return run.shared && (const unsigned char *)p >= end &&
           (const unsigned char *)p < end + SHARED_GUARD;
}

#endif

/* ---- a launch ---- */

/* Stacks of another host thread are begun anew: ASan knows them as that thread's. */
static void adopt_fibers(void)
{
    if (run.started && !pthread_equal(run.thread, pthread_self()))
        for (fiber *f = run.idle; f; f = f->next)
            fiber_restart(f);
    run.started = true;
    run.thread = pthread_self();
}

void standin_run_kernel(const standin_kernel *kernel)
{
    const char *order = getenv("ASSAY_STANDIN_ORDER");
    run.backward = order && strcmp(order, "backward") == 0;
    run.kernel = kernel;
    run.threads = (int)(kernel->threads.x * kernel->threads.y * kernel->threads.z);
    run.blocks = (int64_t)kernel->blocks.x * kernel->blocks.y * kernel->blocks.z;
    run.block = 0;
    run.shared = kernel->shared_bytes > 0 ? take_shared(kernel->shared_bytes) : NULL;
    standin_threads = kernel->threads, standin_blocks = kernel->blocks;
    for (int t = 0; t < run.threads; t++) {
        const unsigned x = kernel->threads.x, y = kernel->threads.y, i = (unsigned)t;
        run.place[t] = (uint3){i % x, i / x % y, i / x / y};
    }
    adopt_fibers();
    memset(&run.host, 0, sizeof run.host);
    run.current = &run.host;
    begin_block();
    go_on(NULL);
    give_shared();
    run.kernel = NULL;
}
