/* standin/memory.c - memory of a GPU that is not there, and pinned memory.
 *
 * Each piece has pages of its own. It ends where its last page ends, but for what rounding to 256
 * leaves, and pages that nobody may touch stand on both sides. What is left over in the piece's own
 * pages holds a pattern that is looked at after each piece of work, or is poisoned for ASan. Freed
 * pages stay closed, so that a late touch finds them, until MOST_FREED pieces have been freed after
 * them.
 *
 * Device memory is opened chunk by chunk as queued work touches it, and closed when the work is
 * done: most work touches little of it, and opening costs the kernel a visit of every page. */
#include "inside.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
    ALIGNMENT = 256,
    PAGE = 4096,
    EDGE = 0xa5,  /* beyond a piece */
    FRESH = 0xff, /* in a new one: NaNs */
    MOST_FREED = 4096,
    MOST_EDGE = 256, /* bytes of an edge that are looked at */
    CHUNK = 32 * PAGE,
};

static const int64_t most_filled = (int64_t)32 << 20; /* larger pieces begin as zeros */

typedef struct piece {
    char *map, *start; /* map: a closed page, the piece's pages, a closed page */
    int64_t map_bytes, bytes;
    int number, device;
    piece_kind kind;
    bool freed;
    bool *open; /* of device memory, a flag for each chunk: queued work has touched it */
} piece;

static const char *const kinds[] = {"device memory", "pinned memory", "managed memory"};

typedef struct opened_chunk {
    piece *piece;
    int64_t chunk;
} opened_chunk;

/* Pieces by address; none comes or goes while memory.open. */
static struct {
    piece *piece;
    int count, room, freed, last_number;
    bool open;            /* work runs */
    opened_chunk *opened; /* a place for each chunk of device memory */
    int64_t opened_count, chunks, opened_room;
} memory;

/* ---- faults ---- */

const char *standin_running(void)
{
    const char *kernel = standin_works() ? standin_kernel_text() : NULL;
    return kernel ? kernel : standin_works() ? standin_work_name() : "the host";
}

void standin_fault(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "standin: fault: %s: %s\n", standin_running(), line);
    fflush(stderr);
    abort();
}

/* ---- looking up ---- */

/* Index of the first piece whose map ends beyond p. */
static int piece_after(const void *p)
{
    int low = 0, high = memory.count;
    while (low < high) {
        int middle = (low + high) / 2;
        const piece *m = &memory.piece[middle];
        if ((const char *)p < m->map + m->map_bytes)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The piece, living or freed, whose map p lies in, or NULL. */
static piece *piece_at(const void *p)
{
    int i = piece_after(p);
    return i < memory.count && (const char *)p >= memory.piece[i].map ? &memory.piece[i] : NULL;
}

static const piece *living_around(const void *p, int64_t bytes)
{
    const piece *m = piece_at(p);
    bool inside = m && !m->freed && bytes >= 0 && (const char *)p >= m->start &&
                  (const char *)p - m->start <= m->bytes - bytes;
    return inside ? m : NULL;
}

bool standin_is_kind(const void *p, int64_t bytes, piece_kind kind)
{
    standin_lock();
    const piece *m = living_around(p, bytes);
    bool is = m && m->kind == kind;
    standin_unlock();
    return is;
}

bool standin_is_device(const void *p, int64_t bytes)
{
    return standin_is_kind(p, bytes, PIECE_DEVICE) || standin_is_kind(p, bytes, PIECE_MANAGED);
}

bool standin_may_touch(const void *p, int64_t bytes)
{
    return standin_is_device(p, bytes) || standin_is_kind(p, bytes, PIECE_PINNED) ||
           (standin_blocking() && !piece_at(p));
}

const char *standin_where(const void *p)
{
    static char texts[4][160];
    static int turn;
    char *text = texts[turn++ % 4];
    const piece *m = piece_at(p);
    if (!m) {
        snprintf(text, sizeof texts[0], "%s", p ? "memory of the host" : "NULL");
        return text;
    }
    long long at = (const char *)p - m->start;
    const char *side = "byte %lld of";
    if (at >= m->bytes)
        at -= m->bytes, side = "%lld bytes beyond";
    else if (at < 0)
        at = -at, side = "%lld bytes before";
    int used = snprintf(text, sizeof texts[0], side, at);
    snprintf(text + used, sizeof texts[0] - (size_t)used, " %sallocation %d (%s, %lld bytes)",
             m->freed ? "freed " : "", m->number, kinds[m->kind], (long long)m->bytes);
    return text;
}

void standin_check_argument(const char *name, int index, const void *p)
{
    if (p && !standin_may_touch(p, 0))
        standin_fault("argument %d of kernel %s points to %s", index, name, standin_where(p));
}

/* Addresses of programs, heaps and stacks begin here; no size or pair of sizes is as large. */
static const uintptr_t least_address = (uintptr_t)1 << 45;

static bool is_mapped(const void *p)
{
    unsigned char in_core;
    return mincore((void *)((uintptr_t)p / PAGE * PAGE), 1, &in_core) == 0;
}

void standin_check_word(const char *name, int index, size_t at, const void *word)
{
    if ((uintptr_t)word < least_address || standin_may_touch(word, 0))
        return;
    if (piece_at(word) || is_mapped(word))
        standin_fault("byte %zu of argument %d of kernel %s points to %s", at, index, name,
                      standin_where(word));
}

/* ---- opening ---- */

static char *pages(const piece *m)
{
    return m->map + PAGE;
}

static int64_t pages_bytes(const piece *m)
{
    return m->map_bytes - 2 * PAGE;
}

static void set_access_of(char *from, int64_t bytes, int access)
{
    if (mprotect(from, (size_t)bytes, access) != 0)
        standin_fault("cannot open or close memory: %s", strerror(errno));
}

static void set_access(const piece *m, int access)
{
    set_access_of(pages(m), pages_bytes(m), access);
}

static int64_t chunks_of(const piece *m)
{
    return (pages_bytes(m) + CHUNK - 1) / CHUNK;
}

static void set_access_of_chunk(const piece *m, int64_t chunk, int access)
{
    int64_t left = pages_bytes(m) - chunk * CHUNK;
    set_access_of(pages(m) + chunk * CHUNK, left < CHUNK ? left : CHUNK, access);
}

/* Opens what is touched at p, or about to be. False when work may not touch it. */
static bool open_at(piece *m, const char *p)
{
    if (!memory.open || !m || !m->open || p < pages(m) || p >= pages(m) + pages_bytes(m))
        return false;
    const int64_t chunk = (p - pages(m)) / CHUNK;
    if (!m->open[chunk]) {
        set_access_of_chunk(m, chunk, PROT_READ | PROT_WRITE);
        m->open[chunk] = true;
        memory.opened[memory.opened_count++] = (opened_chunk){m, chunk};
    }
    return true;
}

void standin_share(const void *p, int64_t bytes)
{
    piece *m = piece_at(p);
    const char *from = p;
    for (int64_t at = 0; at < bytes; at += CHUNK)
        open_at(m, from + at);
    if (bytes > 0)
        open_at(m, from + bytes - 1);
}

/* ---- touches that the pages refuse ---- */

static struct sigaction older;

static void refused(int signal_number, siginfo_t *info, void *context)
{
    const void *p = info->si_addr;
    piece *m = piece_at(p);
    if (standin_works() && open_at(m, p))
        return;
    if (m && !m->freed && m->kind == PIECE_DEVICE && living_around(p, 1) && !standin_works())
        standin_fault("host touched device memory: %s", standin_where(p));
    if (m && m->freed)
        standin_fault("touched freed memory: %s", standin_where(p));
    if (standin_works() && standin_beyond_shared(p))
        standin_fault("touched memory beyond the shared memory that the launch gives");
    if (m || standin_works())
        standin_fault("touched %s", standin_where(p));
    if (older.sa_flags & SA_SIGINFO)
        older.sa_sigaction(signal_number, info, context);
    else
        sigaction(signal_number, &older, NULL); /* the touch is repeated, and ends as it used to */
}

/* Others, such as a test's framework, may have taken the signal since. */
static void watch(void)
{
    struct sigaction now, action = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, NULL, &now) != 0)
        standin_fault("cannot watch for touches: %s", strerror(errno));
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == refused)
        return;
    older = now;
    sigaction(SIGSEGV, &action, NULL);
}

/* ---- edges ---- */

static void set_edge(char *p, int64_t bytes)
{
#ifdef WITH_ASAN
    ASAN_POISON_MEMORY_REGION(p, (size_t)bytes);
#else
    memset(p, EDGE, (size_t)bytes);
#endif
}

static int64_t bytes_after(const piece *m)
{
    return pages(m) + pages_bytes(m) - (m->start + m->bytes);
}

/* The edge before a piece is at most a page, of which the part next to the piece is looked at. */
static int64_t bytes_before(const piece *m)
{
    int64_t before = m->start - pages(m);
    return before < MOST_EDGE ? before : MOST_EDGE;
}

static bool edge_intact(const char *p, int64_t bytes)
{
#ifdef WITH_ASAN
    (void)p, (void)bytes;
    return true;
#else
    return bytes == 0 || ((unsigned char)*p == EDGE && memcmp(p, p + 1, (size_t)bytes - 1) == 0);
#endif
}

static void check_edge_after(const piece *m)
{
    if (!edge_intact(m->start + m->bytes, bytes_after(m)))
        standin_fault("written beyond allocation %d (%lld bytes)", m->number, (long long)m->bytes);
}

static void check_edge_before(const piece *m)
{
    if (!edge_intact(m->start - bytes_before(m), bytes_before(m)))
        standin_fault("written before allocation %d (%lld bytes)", m->number, (long long)m->bytes);
}

/* The edges lie in the first and the last page. */
void standin_check_edges(void)
{
    for (int64_t i = 0; i < memory.opened_count; i++) {
        const opened_chunk *o = &memory.opened[i];
        if (o->chunk == 0)
            check_edge_before(o->piece);
        if (o->chunk == chunks_of(o->piece) - 1)
            check_edge_after(o->piece);
    }
}

/* ---- from the first piece of work to the last ---- */

void standin_open_memory(void)
{
    watch();
    memory.open = true;
}

void standin_close_memory(void)
{
    memory.open = false;
    for (int64_t i = 0; i < memory.opened_count; i++) {
        const opened_chunk *o = &memory.opened[i];
        o->piece->open[o->chunk] = false;
        set_access_of_chunk(o->piece, o->chunk, PROT_NONE);
    }
    memory.opened_count = 0;
}

/* ---- taking and giving ---- */

int64_t standin_limit(void)
{
    const char *text = getenv("ASSAY_STANDIN_MEMORY");
    return text ? strtoll(text, NULL, 10) : (int64_t)8 << 30;
}

int64_t standin_held(int device)
{
    int64_t held = 0;
    for (int i = 0; i < memory.count; i++) {
        const piece *m = &memory.piece[i];
        held += !m->freed && m->kind != PIECE_PINNED && m->device == device ? m->bytes : 0;
    }
    return held;
}

/* A flag for each chunk of a piece of device memory, and room to list them all. */
static bool have_chunks(piece *m)
{
    const int64_t chunks = memory.chunks + chunks_of(m);
    if (m->kind != PIECE_DEVICE)
        return true;
    if (chunks > memory.opened_room) {
        opened_chunk *grown = realloc(memory.opened, (size_t)chunks * 2 * sizeof *grown);
        if (!grown)
            return false;
        memory.opened = grown;
        memory.opened_room = 2 * chunks;
    }
    m->open = calloc((size_t)chunks_of(m), sizeof *m->open);
    memory.chunks += m->open ? chunks_of(m) : 0;
    return m->open != NULL;
}

static void lose_chunks(piece *m)
{
    memory.chunks -= m->open ? chunks_of(m) : 0;
    free(m->open);
    m->open = NULL;
}

static bool insert(piece m)
{
    if (memory.count == memory.room) {
        int room = memory.room ? 2 * memory.room : 64;
        piece *grown = realloc(memory.piece, (size_t)room * sizeof *grown);
        if (!grown)
            return false;
        memory.piece = grown;
        memory.room = room;
    }
    int at = piece_after(m.map);
    memmove(&memory.piece[at + 1], &memory.piece[at],
            (size_t)(memory.count - at) * sizeof *memory.piece);
    memory.piece[at] = m;
    memory.count++;
    return true;
}

void *standin_take(piece_kind kind, int device, int64_t bytes)
{
    if (memory.open)
        standin_fault("memory is taken by queued work");
    if (bytes > INT64_MAX / 2 ||
        (kind != PIECE_PINNED && bytes > standin_limit() - standin_held(device)))
        return NULL;
    watch();
    int64_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    int64_t inner = (whole + PAGE - 1) / PAGE * PAGE;
    char *map = mmap(NULL, (size_t)inner + 2 * PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    piece m = {.map = map,
               .start = map + PAGE + inner - whole,
               .map_bytes = inner + 2 * PAGE,
               .bytes = bytes,
               .number = memory.last_number + 1,
               .device = device,
               .kind = kind};
    if (!have_chunks(&m) || !insert(m)) {
        lose_chunks(&m);
        munmap(map, (size_t)m.map_bytes);
        return NULL;
    }
    memory.last_number++;
    set_access(&m, PROT_READ | PROT_WRITE);
    if (bytes <= most_filled)
        memset(m.start, FRESH, (size_t)bytes);
    set_edge(m.start + bytes, bytes_after(&m));
    set_edge(m.start - bytes_before(&m), bytes_before(&m));
    if (kind == PIECE_DEVICE)
        set_access(&m, PROT_NONE);
    return m.start;
}

/* The oldest freed piece goes back to the system. */
static void forget_oldest(void)
{
    int oldest = -1;
    for (int i = 0; i < memory.count; i++)
        if (memory.piece[i].freed &&
            (oldest < 0 || memory.piece[i].number < memory.piece[oldest].number))
            oldest = i;
    munmap(memory.piece[oldest].map, (size_t)memory.piece[oldest].map_bytes);
    memory.count--;
    memory.freed--;
    memmove(&memory.piece[oldest], &memory.piece[oldest + 1],
            (size_t)(memory.count - oldest) * sizeof *memory.piece);
}

bool standin_give(void *p, piece_kind kind, piece_kind or_kind)
{
    piece *m = piece_at(p);
    if (!m || m->start != p || m->freed || (m->kind != kind && m->kind != or_kind))
        return false;
    if (m->kind == PIECE_DEVICE)
        set_access(m, PROT_READ | PROT_WRITE);
    check_edge_after(m);
    check_edge_before(m);
#ifdef WITH_ASAN
    ASAN_UNPOISON_MEMORY_REGION(pages(m), (size_t)pages_bytes(m));
#endif
    m->freed = true;
    lose_chunks(m);
    set_access(m, PROT_NONE);
    madvise(pages(m), (size_t)pages_bytes(m), MADV_DONTNEED);
    if (++memory.freed > MOST_FREED)
        forget_oldest();
    return true;
}

int standin_report_memory(void)
{
    int living = 0;
    for (int i = 0; i < memory.count; i++)
        if (!memory.piece[i].freed) {
            living++;
            fprintf(stderr, "standin: leak: allocation %d (%s, %lld bytes)\n",
                    memory.piece[i].number, kinds[memory.piece[i].kind],
                    (long long)memory.piece[i].bytes);
        }
    return living;
}
