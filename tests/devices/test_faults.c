/* devices/test_faults.c - the stand-in of a GPU computes what CUDA promises, and catches what CUDA
 * leaves undefined: each fault is planted in a child process, which must die and name it. */
#include "faults.h"
#include "standin/standin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1000 };

/* ---- what the launches of faults.cu need ---- */

static cudaStream_t compute;

cudaStream_t cuda_compute_stream(void);
cudaStream_t cuda_compute_stream(void)
{
    return compute;
}

void cuda_launched(const char *kernel);
void cuda_launched(const char *kernel)
{
    (void)kernel;
}

static void expect_ok(cudaError_t status)
{
    if (status != cudaSuccess) {
        fprintf(stderr, "%s\n", cudaGetErrorName(status));
        abort();
    }
}

static cudaStream_t stream_new(void)
{
    cudaStream_t stream = NULL;
    expect_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static void *device_new(int64_t bytes)
{
    void *p = NULL;
    expect_ok(cudaMalloc(&p, (size_t)bytes));
    return p;
}

static float *pinned_new(int64_t n)
{
    void *p = NULL;
    expect_ok(cudaMallocHost(&p, (size_t)n * sizeof(float)));
    return p;
}

static void read_floats(float *to, const float *from, int64_t n)
{
    expect_ok(cudaMemcpyAsync(to, from, (size_t)n * sizeof *to, cudaMemcpyDeviceToHost, compute));
    expect_ok(cudaStreamSynchronize(compute));
}

static int set_up(void **state)
{
    (void)state;
    compute = stream_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    expect_ok(cudaStreamDestroy(compute));
    return standin_report();
}

/* ---- children ---- */

/* Runs `play` in a child with a compute stream, and fails unless it ends as `clean` says (with
 * status 0, or otherwise) and has written each of the NULL-terminated words to stderr. */
static void expect_child(void (*play)(void), bool clean, const char *const words[])
{
    FILE *file = tmpfile();
    char text[16384];
    int status = 0;
    assert_non_null(file);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fileno(file), STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        compute = stream_new();
        play();
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
    for (int i = 0; words[i]; i++)
        if (!strstr(text, words[i]))
            fail_msg("'%s' is not in '%s'", words[i], text);
    if (clean != (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fail_msg("the child ended with %x: %s", (unsigned)status, text);
}

#define EXPECT_FAULT(play, ...) expect_child(play, false, (const char *const[]){__VA_ARGS__, NULL})
#define EXPECT_CLEAN(play)      expect_child(play, true, (const char *const[]){NULL})

/* ---- what is right ---- */

static void blocks_threads_and_shared_memory_compute(void **state)
{
    enum { BLOCKS = 3, THREADS = 96 };
    float got[BLOCKS * THREADS];
    (void)state;
    float *x = device_new(THREADS * sizeof *x), *y = device_new(sizeof got);
    fault_iota(THREADS, x);
    for (int backward = 0; backward < 2; backward++) {
        setenv("ASSAY_STANDIN_ORDER", backward ? "backward" : "forward", 1);
        expect_ok(cudaMemsetAsync(y, 0xff, sizeof got, compute));
        fault_block_sums(BLOCKS, THREADS, THREADS * sizeof(float), x, y);
        read_floats(got, y, BLOCKS * THREADS);
        for (int i = 0; i < BLOCKS * THREADS; i++)
            assert_true(got[i] == THREADS * (THREADS - 1) / 2);
    }
    unsetenv("ASSAY_STANDIN_ORDER");
    expect_ok(cudaFree(x));
    expect_ok(cudaFree(y));
}

static void lanes_get_what_the_shuffle_says(void **state)
{
    double got[128];
    (void)state;
    double *y = device_new(sizeof got);
    fault_shuffles(y);
    expect_ok(cudaMemcpyAsync(got, y, sizeof got, cudaMemcpyDeviceToHost, compute));
    for (int lane = 0; lane < 32; lane++) {
        assert_true(got[lane] == 105.0);
        assert_true(got[32 + lane] == 100.0 + (lane ^ 3));
        assert_true(got[64 + lane] == 100.0 + (lane % 8 < 4 ? lane + 4 : lane));
        assert_true(got[96 + lane] == (double)0x49249249u);
    }
    expect_ok(cudaFree(y));
}

/* y = 2 x, x uploaded on a stream of its own: with the event that makes `compute` wait for it, or
 * without. */
static float doubled_upload(bool waits)
{
    float got[N];
    cudaStream_t copies = stream_new();
    cudaEvent_t uploaded = NULL;
    float *host = pinned_new(N), *x = device_new(sizeof got), *y = device_new(sizeof got);
    expect_ok(cudaEventCreateWithFlags(&uploaded, cudaEventDisableTiming));
    for (int i = 0; i < N; i++)
        host[i] = 3.0f;
    expect_ok(cudaMemcpyAsync(x, host, sizeof got, cudaMemcpyHostToDevice, copies));
    expect_ok(cudaEventRecord(uploaded, copies));
    if (waits)
        expect_ok(cudaStreamWaitEvent(compute, uploaded, 0));
    fault_twice(N, x, y);
    read_floats(got, y, N);
    expect_ok(cudaStreamDestroy(copies));
    expect_ok(cudaEventDestroy(uploaded));
    expect_ok(cudaFreeHost(host));
    expect_ok(cudaFree(x));
    expect_ok(cudaFree(y));
    return got[N - 1];
}

static void a_missing_stream_wait_shows(void **state)
{
    (void)state;
    for (int times = 0; times < 3; times++) {
        assert_true(doubled_upload(true) == 6.0f);
        assert_true(isnan(doubled_upload(false)));
    }
}

static void results_come_when_they_are_waited_for_and_no_sooner(void **state)
{
    (void)state;
    float *back = pinned_new(N), *x = device_new(N * sizeof *x);
    back[7] = 1.0f;
    fault_iota(N, x);
    expect_ok(cudaMemcpyAsync(back, x, N * sizeof *x, cudaMemcpyDeviceToHost, compute));
    assert_true(isnan(back[7]));
    expect_ok(cudaStreamSynchronize(compute));
    assert_true(back[7] == 7.0f);
    expect_ok(cudaFree(x));
    expect_ok(cudaFreeHost(back));
}

/* Pinned memory is read when the copy's turn comes, pageable memory at the call. */
static void a_source_that_changes_too_early_shows(void **state)
{
    float pageable[4] = {1.0f, 1.0f, 1.0f, 1.0f}, got[8];
    (void)state;
    float *pinned = pinned_new(4), *x = device_new(sizeof got);
    memcpy(pinned, pageable, sizeof pageable);
    expect_ok(cudaMemcpyAsync(x, pinned, sizeof pageable, cudaMemcpyHostToDevice, compute));
    expect_ok(cudaMemcpyAsync(x + 4, pageable, sizeof pageable, cudaMemcpyHostToDevice, compute));
    pinned[2] = pageable[2] = 2.0f;
    read_floats(got, x, 8);
    assert_true(got[1] == 1.0f && got[2] == 2.0f && got[6] == 1.0f);
    expect_ok(cudaFree(x));
    expect_ok(cudaFreeHost(pinned));
}

static void an_event_has_happened_when_its_stream_got_there(void **state)
{
    (void)state;
    cudaEvent_t event = NULL;
    float got = 0.0f, *x = device_new(sizeof *x);
    expect_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    expect_ok(cudaEventQuery(event)); /* never recorded */
    fault_iota(1, x);
    expect_ok(cudaEventRecord(event, compute));
    assert_int_equal(cudaEventQuery(event), cudaErrorNotReady);
    expect_ok(cudaEventSynchronize(event));
    expect_ok(cudaEventQuery(event));
    read_floats(&got, x, 1);
    assert_true(got == 0.0f);
    expect_ok(cudaEventDestroy(event));
    expect_ok(cudaFree(x));
}

static void memory_has_a_limit(void **state)
{
    void *p = NULL, *q = NULL;
    size_t left = 0, whole = 0;
    (void)state;
    setenv("ASSAY_STANDIN_MEMORY", "1000000", 1);
    expect_ok(cudaMalloc(&p, 600000));
    expect_ok(cudaMemGetInfo(&left, &whole));
    assert_true(left == 400000 && whole == 1000000);
    assert_int_equal(cudaMalloc(&q, 400001), cudaErrorMemoryAllocation);
    assert_null(q);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    expect_ok(cudaFree(p));
    unsetenv("ASSAY_STANDIN_MEMORY");
}

static void launches_beyond_the_limits_are_errors(void **state)
{
    (void)state;
    float *x = device_new(sizeof *x);
    fault_block_sums(1, 1025, 16, x, x);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    fault_block_sums(1, 32, 48 * 1024 + 4, x, x);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    expect_ok(cudaFree(x));
}

/* ---- memory ---- */

static void host_reads(void)
{
    float *x = device_new(N * sizeof *x);
    fault_iota(N, x);
    expect_ok(cudaStreamSynchronize(compute));
    printf("%g\n", (double)*(volatile float *)&x[5]);
}

static void host_writes(void)
{
    volatile float *x = device_new(N * sizeof *x);
    x[N - 1] = 1.0f;
}

static void host_memory_is_launched(void)
{
    static float x[N];
    fault_iota(N, x);
}

static void host_memory_is_in_a_struct(void)
{
    static float x[N];
    fault_write_of((fault_struct){.count = N, .x = x});
}

static void device_memory_is_in_a_struct(void)
{
    float *x = device_new(sizeof *x);
    fault_write_of((fault_struct){.count = 1, .x = x});
    expect_ok(cudaStreamSynchronize(compute));
}

static void freed_is_launched(void)
{
    float *x = device_new(N * sizeof *x);
    expect_ok(cudaFree(x));
    fault_iota(N, x);
}

static void freed_is_read_by_host(void)
{
    float *x = device_new(N * sizeof *x);
    expect_ok(cudaFree(x));
    printf("%g\n", (double)*(volatile float *)&x[5]);
}

static void freed_twice(void)
{
    float *x = device_new(N * sizeof *x);
    expect_ok(cudaFree(x));
    expect_ok(cudaFree(x));
}

static void one_step_beyond(void)
{
    float *x = device_new(N * sizeof *x);
    fault_write_at(N, x);
    expect_ok(cudaStreamSynchronize(compute));
}

static void many_steps_beyond(void)
{
    float *x = device_new(N * sizeof *x);
    fault_write_at(N + 600, x);
    expect_ok(cudaStreamSynchronize(compute));
}

static void one_step_before(void)
{
    float *x = device_new(N * sizeof *x);
    fault_write_at(-1, x);
    expect_ok(cudaStreamSynchronize(compute));
}

static void copy_beyond(void)
{
    float host[4] = {0};
    float *x = device_new(3 * sizeof *x);
    expect_ok(cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, compute));
}

static void copy_the_wrong_way(void)
{
    float host[4] = {0};
    float *x = device_new(sizeof host);
    expect_ok(cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyHostToDevice, compute));
}

static void pinned_is_freed_too_early(void)
{
    float *pinned = pinned_new(N), *x = device_new(N * sizeof *x);
    expect_ok(cudaMemcpyAsync(x, pinned, N * sizeof *x, cudaMemcpyHostToDevice, compute));
    expect_ok(cudaFreeHost(pinned));
}

static void memory_leaks(void)
{
    setenv("ASSAY_STANDIN_REPORT", "1", 1);
    (void)device_new(N);
    (void)pinned_new(N);
    expect_ok(cudaStreamDestroy(compute));
}

static void a_stream_leaks(void)
{
    setenv("ASSAY_STANDIN_REPORT", "1", 1);
    fault_some_meet(64);
}

static void nothing_leaks(void)
{
    setenv("ASSAY_STANDIN_REPORT", "1", 1);
    expect_ok(cudaFree(device_new(N)));
    expect_ok(cudaStreamDestroy(compute));
}

static void a_host_that_touches_device_memory_dies(void **state)
{
    (void)state;
    EXPECT_FAULT(host_reads, "the host", "host touched device memory",
                 "byte 20 of allocation 1 (device memory, 4000 bytes)");
    EXPECT_FAULT(host_writes, "host touched device memory", "byte 3996 of allocation 1");
}

static void kernels_are_not_given_host_memory(void **state)
{
    (void)state;
    EXPECT_FAULT(host_memory_is_launched, "argument 2 of kernel iota", "memory of the host");
    EXPECT_FAULT(host_memory_is_in_a_struct, "byte 8 of argument 1 of kernel write_of",
                 "memory of the host");
    EXPECT_CLEAN(device_memory_is_in_a_struct);
}

static void freed_memory_is_not_touched(void **state)
{
    (void)state;
    EXPECT_FAULT(freed_is_launched, "argument 2 of kernel iota", "byte 0 of freed allocation 1");
    EXPECT_FAULT(freed_is_read_by_host, "touched freed memory", "byte 20 of freed allocation 1");
    EXPECT_FAULT(freed_twice, "cudaFree", "freed allocation 1");
}

/* The nearest steps are found by what is written there, or by ASan at once. */
static void nothing_is_touched_beyond_an_allocation(void **state)
{
    (void)state;
    EXPECT_FAULT(one_step_beyond, "write");
    EXPECT_FAULT(one_step_before, "write");
    EXPECT_FAULT(many_steps_beyond, "kernel write_at, block (0, 0, 0), thread (0, 0, 0)",
                 "bytes beyond allocation 1");
    EXPECT_FAULT(copy_beyond, "cudaMemcpyAsync to the device of 16 bytes", "allocation 1");
}

static void copies_know_their_direction(void **state)
{
    (void)state;
    EXPECT_FAULT(copy_the_wrong_way, "the destination is memory of the host");
    EXPECT_FAULT(pinned_is_freed_too_early, "cudaFreeHost of byte 0 of allocation 1",
                 "queued cudaMemcpyAsync");
}

static void leaks_are_reported(void **state)
{
    (void)state;
    EXPECT_FAULT(memory_leaks, "leak: allocation 1 (device memory, 1000 bytes)",
                 "leak: allocation 2 (pinned memory, 4000 bytes)");
    EXPECT_FAULT(a_stream_leaks, "leak: stream 1, 1 jobs not done");
    EXPECT_CLEAN(nothing_leaks);
}

/* ---- threads ---- */

static void wait_for_compute(void)
{
    expect_ok(cudaStreamSynchronize(compute));
}

static void half_a_block_meets(void)
{
    fault_some_meet(32);
    wait_for_compute();
}

static void half_a_warp_meets(void)
{
    fault_some_meet(16);
    wait_for_compute();
}

static void whole_blocks_meet(void)
{
    fault_some_meet(64);
    wait_for_compute();
}

static void lanes_are_missing(void)
{
    fault_some_shuffle(64, 20, device_new(64 * sizeof(float)));
    wait_for_compute();
}

static void the_warp_is_short(void)
{
    fault_some_shuffle(40, 32, device_new(40 * sizeof(float)));
    wait_for_compute();
}

static void shuffles_are_mixed(void)
{
    fault_mixed_shuffles(device_new(32 * sizeof(float)));
    wait_for_compute();
}

static void the_mask_is_half(void)
{
    fault_half_mask(device_new(32 * sizeof(float)));
    wait_for_compute();
}

static void beyond_shared_memory(void)
{
    fault_write_shared(3, 3 * sizeof(float));
    wait_for_compute();
}

static void far_beyond_shared_memory(void)
{
    fault_write_shared(8, 3 * sizeof(float));
    wait_for_compute();
}

static void a_barrier_is_met_by_all(void **state)
{
    (void)state;
    EXPECT_CLEAN(whole_blocks_meet);
    EXPECT_FAULT(half_a_block_meets, "kernel some_meet, block (0, 0, 0), thread (31, 0, 0)",
                 "__syncthreads is not met by all", "thread (32, 0, 0) is at its end");
    EXPECT_FAULT(half_a_warp_meets, "__syncthreads is not met by all",
                 "thread (16, 0, 0) is at its end");
}

static void all_lanes_shuffle(void **state)
{
    (void)state;
    EXPECT_FAULT(lanes_are_missing, "kernel some_shuffle", "__shfl_xor_sync is not met by all",
                 "thread (20, 0, 0) is at its end");
    EXPECT_FAULT(the_warp_is_short, "__shfl_xor_sync in a warp of 8 threads");
    EXPECT_FAULT(shuffles_are_mixed, "__shfl_down_sync meets __shfl_xor_sync of another lane");
    EXPECT_FAULT(the_mask_is_half, "__shfl_xor_sync with the mask 0000ffff");
}

static void nothing_is_touched_beyond_shared_memory(void **state)
{
    (void)state;
    EXPECT_FAULT(beyond_shared_memory, "write");
    EXPECT_FAULT(far_beyond_shared_memory, "write");
}

/* ---- streams ---- */

static void work_on_no_stream(void)
{
    compute = NULL;
    fault_some_meet(64);
}

static void work_on_a_dead_stream(void)
{
    expect_ok(cudaStreamDestroy(compute));
    fault_some_meet(64);
}

static void work_on_another_device(void)
{
    setenv("ASSAY_STANDIN_DEVICES", "2", 1);
    expect_ok(cudaSetDevice(1));
    fault_some_meet(64);
}

static void wait_for_a_dead_event(void)
{
    cudaEvent_t event = NULL;
    expect_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    expect_ok(cudaEventDestroy(event));
    expect_ok(cudaStreamWaitEvent(compute, event, 0));
}

static void work_goes_to_a_living_stream(void **state)
{
    (void)state;
    EXPECT_FAULT(work_on_no_stream, "some_meet on the default stream");
    EXPECT_FAULT(work_on_a_dead_stream, "some_meet on a stream that does not exist");
    EXPECT_FAULT(work_on_another_device, "a stream of device 0", "a thread that uses device 1");
    EXPECT_FAULT(wait_for_a_dead_event, "cudaStreamWaitEvent of an event that does not exist");
}

/* In this process, on a stream of its own; nothing may be left afterwards. */
#define HERE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    /* The children first: the numbers of their allocations begin at 1. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_touches_device_memory_dies),
        cmocka_unit_test(kernels_are_not_given_host_memory),
        cmocka_unit_test(freed_memory_is_not_touched),
        cmocka_unit_test(nothing_is_touched_beyond_an_allocation),
        cmocka_unit_test(copies_know_their_direction),
        cmocka_unit_test(leaks_are_reported),
        cmocka_unit_test(a_barrier_is_met_by_all),
        cmocka_unit_test(all_lanes_shuffle),
        cmocka_unit_test(nothing_is_touched_beyond_shared_memory),
        cmocka_unit_test(work_goes_to_a_living_stream),
        HERE(blocks_threads_and_shared_memory_compute),
        HERE(lanes_get_what_the_shuffle_says),
        HERE(a_missing_stream_wait_shows),
        HERE(results_come_when_they_are_waited_for_and_no_sooner),
        HERE(a_source_that_changes_too_early_shows),
        HERE(an_event_has_happened_when_its_stream_got_there),
        HERE(memory_has_a_limit),
        HERE(launches_beyond_the_limits_are_errors),
    };
    return cmocka_run_group_tests_name("stand-in", tests, NULL, NULL);
}
