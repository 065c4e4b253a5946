/* standin/queue.c - streams and events: work that waits for somebody who must wait for it.
 *
 * Each stream is a queue. An event that is recorded is a place in one; waiting for it first does
 * the work up to there, in its own stream, whatever else is queued. */
#include "inside.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef enum job_kind { JOB_WORK, JOB_RECORD, JOB_WAIT } job_kind;

typedef struct job {
    struct job *next;
    const char *name;
    job_kind kind;
    void (*run)(void *data);
    /* of JOB_RECORD and JOB_WAIT: the event, the number of the recording, and where it is
     * recorded */
    cudaEvent_t event;
    int64_t version;
    cudaStream_t stream;
    int64_t place;
    const char *host; /* the host's side of a copy, or NULL */
    int64_t host_bytes;
    _Alignas(16) unsigned char data[];
} job;

struct CUstream_st {
    struct CUstream_st *next;
    job *first, **end;
    int64_t queued, done; /* jobs so far */
    int device, number;
};

struct CUevent_st {
    struct CUevent_st *next;
    int64_t recorded, happened; /* recordings so far */
    int64_t asked;              /* the recording that cudaEventQuery has called not ready */
    cudaStream_t stream;        /* of the last recording, and its place there */
    int64_t place;
    int users, device, number; /* users: queued jobs that name it */
    bool destroyed;
};

static struct CUstream_st *streams;
static struct CUevent_st *events;
static int made; /* streams and events so far */
static __thread int depth;
static const char *work_name;

static struct {
    const char *kind;
    int count;
} counted[32];

/* How often the host has waited: for all work of a stream, or for an event. */
static int64_t waited_for_all, waited_for_event;

/* ---- the lock ---- */

static pthread_mutex_t lock;
static pthread_once_t lock_once = PTHREAD_ONCE_INIT;

/* A line for each process, which may have no more than this to tell. */
static void count_at_exit(const char *path)
{
    FILE *file = fopen(path, "a");
    if (!file ||
        fprintf(file, "%lld %lld\n", (long long)waited_for_all, (long long)waited_for_event) < 0 ||
        fclose(file) != 0)
        fprintf(stderr, "standin: cannot write %s\n", path);
}

static void report_at_exit(void)
{
    if (getenv("ASSAY_STANDIN_WAITS"))
        count_at_exit(getenv("ASSAY_STANDIN_WAITS"));
    if (getenv("ASSAY_STANDIN_REPORT") && standin_report() > 0) {
        fflush(NULL);
        _Exit(3);
    }
}

static void lock_make(void)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &kind);
    atexit(report_at_exit);
}

void standin_lock(void)
{
    pthread_once(&lock_once, lock_make);
    pthread_mutex_lock(&lock);
}

void standin_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

bool standin_blocking(void)
{
    const char *text = getenv("CUDA_LAUNCH_BLOCKING");
    return text && strcmp(text, "1") == 0;
}

/* ---- doing ---- */

bool standin_works(void)
{
    return depth > 0;
}

const char *standin_work_name(void)
{
    return work_name ? work_name : "queued work";
}

/* A kernel that runs out of stack must find another to say so on. */
static void have_signal_stack(void)
{
    static __thread bool had;
    enum { BYTES = 64 * 1024 };
    stack_t old;
    if (had || sigaltstack(NULL, &old) != 0 || !(old.ss_flags & SS_DISABLE))
        return;
    had = true;
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t own = {.ss_sp = memory, .ss_size = BYTES};
    if (memory != MAP_FAILED)
        sigaltstack(&own, NULL);
}

static void leave_event(cudaEvent_t event)
{
    if (event && --event->users == 0 && event->destroyed)
        free(event);
}

static void finish_until(cudaStream_t stream, int64_t place);

static void do_job(job *j)
{
    if (j->kind == JOB_RECORD && j->version > j->event->happened)
        j->event->happened = j->version;
    if (j->kind == JOB_WAIT && j->event->happened < j->version)
        finish_until(j->stream, j->place);
    if (j->kind != JOB_WORK)
        return;
    work_name = j->name;
    j->run(j->data);
    standin_check_edges();
    work_name = NULL;
}

/* Does the first `place` jobs of a stream. The stream of a recording may be gone, but then the
 * recording has happened. */
static void finish_until(cudaStream_t stream, int64_t place)
{
    if (stream->done >= place)
        return;
    if (depth++ == 0) {
        have_signal_stack();
        standin_open_memory();
    }
    while (stream->done < place) {
        job *j = stream->first;
        stream->first = j->next;
        if (!stream->first)
            stream->end = &stream->first;
        do_job(j);
        stream->done++;
        leave_event(j->event);
        free(j);
    }
    if (--depth == 0)
        standin_close_memory();
}

static bool is_idle(const struct CUstream_st *stream)
{
    return stream->done >= stream->queued;
}

void standin_finish(void)
{
    bool idle = true;
    for (cudaStream_t s = streams; s; s = s->next)
        idle = idle && is_idle(s);
    waited_for_all += !idle;
    for (cudaStream_t s = streams; s; s = s->next)
        finish_until(s, s->queued);
}

/* ---- queueing ---- */

bool standin_is_stream(cudaStream_t stream)
{
    standin_lock();
    cudaStream_t s = streams;
    while (s && s != stream)
        s = s->next;
    standin_unlock();
    return s != NULL;
}

static void check_stream(cudaStream_t stream, const char *name)
{
    if (!stream)
        standin_fault("%s on the default stream, which waits for others by rules of its own", name);
    if (!standin_is_stream(stream))
        standin_fault("%s on a stream that does not exist or was destroyed", name);
    int device = 0;
    cudaGetDevice(&device);
    if (stream->device != device)
        standin_fault("%s on a stream of device %d from a thread that uses device %d", name,
                      stream->device, device);
    if (standin_works())
        standin_fault("%s from queued work", name);
}

static void append(cudaStream_t stream, job *j)
{
    *stream->end = j;
    stream->end = &j->next;
    stream->queued++;
    if (standin_blocking())
        finish_until(stream, stream->queued);
}

void standin_enqueue_copy(cudaStream_t stream, const char *name, void (*run)(void *data),
                          const void *data, size_t size, const void *host, int64_t bytes)
{
    standin_lock();
    check_stream(stream, name);
    job *j = aligned_alloc(16, (sizeof *j + size + 15) / 16 * 16);
    if (!j)
        standin_fault("no memory to queue %s", name);
    *j = (job){.name = name, .run = run, .host = host, .host_bytes = bytes};
    if (size > 0)
        memcpy(j->data, data, size);
    append(stream, j);
    standin_unlock();
}

void standin_enqueue(cudaStream_t stream, const char *name, void (*run)(void *data),
                     const void *data, size_t bytes)
{
    standin_enqueue_copy(stream, name, run, data, bytes, NULL, 0);
}

const char *standin_queued_on(const void *p, int64_t bytes)
{
    const char *begin = p;
    for (cudaStream_t s = streams; s; s = s->next)
        for (const job *j = s->first; j; j = j->next)
            if (j->host && j->host < begin + bytes && begin < j->host + j->host_bytes)
                return j->name;
    return NULL;
}

/* ---- streams ---- */

static cudaError_t stream_create(cudaStream_t *stream)
{
    cudaStream_t s = calloc(1, sizeof *s);
    if (!s)
        return cudaErrorMemoryAllocation;
    s->end = &s->first;
    s->number = ++made;
    cudaGetDevice(&s->device);
    cudaStream_t *last = &streams;
    while (*last)
        last = &(*last)->next;
    *last = s;
    *stream = s;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    if (!stream || flags != cudaStreamNonBlocking)
        standin_fault("a stream is made with cudaStreamNonBlocking, or waits for the default one");
    standin_lock();
    cudaError_t status = stream_create(stream);
    standin_unlock();
    return status;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    standin_lock();
    check_stream(stream, "cudaStreamSynchronize");
    waited_for_all += !is_idle(stream);
    finish_until(stream, stream->queued);
    standin_unlock();
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    standin_lock();
    check_stream(stream, "cudaStreamDestroy");
    waited_for_all += !is_idle(stream);
    finish_until(stream, stream->queued);
    cudaStream_t *at = &streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    free(stream);
    standin_unlock();
    return cudaSuccess;
}

/* ---- events ---- */

static void check_event(cudaEvent_t event, const char *name)
{
    cudaEvent_t e = events;
    while (e && e != event)
        e = e->next;
    if (!e)
        standin_fault("%s of an event that does not exist or was destroyed", name);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    if (!event || (flags & ~(unsigned)(cudaEventBlockingSync | cudaEventDisableTiming)))
        standin_fault("cudaEventCreateWithFlags with flags %u", flags);
    standin_lock();
    cudaEvent_t e = calloc(1, sizeof *e);
    if (e) {
        e->number = ++made;
        cudaGetDevice(&e->device);
        e->next = events;
        events = e;
        *event = e;
    }
    standin_unlock();
    return e ? cudaSuccess : cudaErrorMemoryAllocation;
}

static void queue_event(cudaStream_t stream, const char *name, job_kind kind, cudaEvent_t event)
{
    job *j = aligned_alloc(16, (sizeof *j + 15) / 16 * 16);
    if (!j)
        standin_fault("no memory to queue %s", name);
    *j = (job){.name = name,
               .kind = kind,
               .event = event,
               .version = event->recorded,
               .stream = event->stream,
               .place = event->place};
    event->users++;
    append(stream, j);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    standin_lock();
    check_event(event, "cudaEventRecord");
    check_stream(stream, "cudaEventRecord");
    event->recorded++;
    event->stream = stream;
    event->place = stream->queued + 1;
    queue_event(stream, "cudaEventRecord", JOB_RECORD, event);
    standin_unlock();
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    standin_lock();
    check_event(event, "cudaStreamWaitEvent");
    check_stream(stream, "cudaStreamWaitEvent");
    if (flags != 0)
        standin_fault("cudaStreamWaitEvent with flags %u", flags);
    queue_event(stream, "cudaStreamWaitEvent", JOB_WAIT, event);
    standin_unlock();
    return cudaSuccess;
}

/* Has all that was recorded happened? */
static bool happened(cudaEvent_t event)
{
    return event->happened >= event->recorded;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    standin_lock();
    check_event(event, "cudaEventSynchronize");
    if (!happened(event)) {
        waited_for_event++;
        finish_until(event->stream, event->place);
    }
    standin_unlock();
    return cudaSuccess;
}

/* Not ready at first, as on a busy GPU; whoever asks again has waited. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    standin_lock();
    check_event(event, "cudaEventQuery");
    if (!happened(event) && event->asked == event->recorded) {
        waited_for_event++;
        finish_until(event->stream, event->place);
    }
    event->asked = event->recorded;
    cudaError_t status = happened(event) ? cudaSuccess : cudaErrorNotReady;
    standin_unlock();
    return status;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    standin_lock();
    check_event(event, "cudaEventDestroy");
    cudaEvent_t *at = &events;
    while (*at != event)
        at = &(*at)->next;
    *at = event->next;
    event->destroyed = true;
    if (event->users == 0)
        free(event);
    standin_unlock();
    return cudaSuccess;
}

/* ---- what is alive ---- */

void standin_count(const char *kind, int change)
{
    standin_lock();
    size_t i = 0, n = sizeof counted / sizeof *counted;
    while (i < n && counted[i].kind && strcmp(counted[i].kind, kind) != 0)
        i++;
    if (i == n)
        standin_fault("too many kinds of objects: %s", kind);
    counted[i].kind = kind;
    counted[i].count += change;
    if (counted[i].count < 0)
        standin_fault("more of %s destroyed than made", kind);
    standin_unlock();
}

int standin_report(void)
{
    int living = 0;
    standin_lock();
    for (cudaStream_t s = streams; s; s = s->next, living++)
        fprintf(stderr, "standin: leak: stream %d, %lld jobs not done\n", s->number,
                (long long)(s->queued - s->done));
    for (cudaEvent_t e = events; e; e = e->next, living++)
        fprintf(stderr, "standin: leak: event %d\n", e->number);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        if (counted[i].count > 0) {
            fprintf(stderr, "standin: leak: %d of %s\n", counted[i].count, counted[i].kind);
            living += counted[i].count;
        }
    living += standin_report_memory();
    standin_unlock();
    return living;
}
