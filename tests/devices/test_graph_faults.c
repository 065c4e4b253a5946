/* What the stand-in of cuDNN's graphs catches: each case is a right attention but for one planted
 * fault, which must come back as the library's error, with a line on stderr that names it. */
#include "captured.h"
#include "cuda.h"
#include "sdpa_graph.h"
#include "standin/standin.h"

#include <math.h>
#include <stdlib.h>

/* ---- the rest of the device ---- */

static cudaStream_t stream;
static int failures;

void cuda_note_failure(const char *call, const char *status)
{
    (void)call;
    (void)status;
    failures++;
}

cudaStream_t cuda_compute_stream(void)
{
    return stream;
}

/* ---- an attention of one head, 8 wide: the values of all 64 keys are one row ---- */

enum { TOKENS = SDPA_TILE, WIDTH = 8, COUNT = TOKENS * WIDTH, GIVEN = 6 };

static const sdpa_shape shape = {
    .batch = 1, .heads = 1, .kv_heads = 1, .width = WIDTH, .tokens = TOKENS};

typedef struct attention {
    cuda_graph *graph;
    int count;
    int64_t id[GIVEN];
    void *pointer[GIVEN];
    float scale;
    void *workspace;
} attention;

static void *device_bytes(int64_t bytes, const void *host)
{
    void *device = NULL;
    assert_int_equal(cudaMalloc(&device, (size_t)bytes), cudaSuccess);
    if (host != NULL)
        assert_int_equal(cudaMemcpy(device, host, (size_t)bytes, cudaMemcpyHostToDevice),
                         cudaSuccess);
    return device;
}

static uint16_t narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static void attention_start(attention *a)
{
    uint16_t q[COUNT], v[COUNT];
    const graph_target target = {.handle = cuda_dnn()};
    for (int i = 0; i < COUNT; i++) {
        q[i] = narrow((float)(i % 7) * 0.125f);
        v[i] = narrow((float)(i % WIDTH));
    }
    *a = (attention){.graph = sdpa_graph_new(&shape, &target), .count = GIVEN, .scale = 0.5f};
    assert_non_null(a->graph);
    assert_non_null(a->graph->plan);
    memcpy(a->id, (int64_t[]){SDPA_Q, SDPA_K, SDPA_V, SDPA_OUT, SDPA_LSE, SDPA_SCALE},
           sizeof a->id);
    a->pointer[0] = device_bytes(sizeof q, q);
    a->pointer[1] = device_bytes(sizeof q, q);
    a->pointer[2] = device_bytes(sizeof v, v);
    a->pointer[3] = device_bytes(sizeof v, NULL);
    a->pointer[4] = device_bytes(TOKENS * sizeof(float), NULL);
    a->pointer[5] = &a->scale;
    a->workspace = device_bytes(a->graph->workspace, NULL);
    failures = 0;
}

static void attention_end(attention *a)
{
    assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
    for (int i = 0; i < 5; i++)
        assert_int_equal(cudaFree(a->pointer[i]), cudaSuccess);
    assert_int_equal(cudaFree(a->workspace), cudaSuccess);
    cuda_graph_free(a->graph);
}

static bool run(const attention *a)
{
    return cuda_graph_run(a->graph, cuda_dnn(), a->count, a->id, a->pointer, a->workspace);
}

/* The one call of a case that is wrong, and what must be said of it. */
static void expect_refused(const attention *a, const char *const words[])
{
    captured c = capture();
    const bool ran = run(a);
    expect_words(&c, words);
    assert_false(ran);
    assert_true(failures > 0);
}

static void a_right_graph_is_computed_and_nothing_is_said(void **state)
{
    uint16_t out[COUNT];
    attention a;
    (void)state;
    attention_start(&a);
    captured c = capture();
    const bool ran = run(&a);
    expect_words(&c, WORDS(""));
    assert_true(ran);
    assert_string_equal(c.text, "");
    assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
    assert_int_equal(cudaMemcpy(out, a.pointer[3], sizeof out, cudaMemcpyDeviceToHost),
                     cudaSuccess);
    for (int i = 0; i < COUNT; i++) { /* the weights of a row are bf16, and sum to nearly 1 */
        float x;
        const uint32_t bits = (uint32_t)out[i] << 16;
        memcpy(&x, &bits, sizeof x);
        assert_true(fabsf(x - (float)(i % WIDTH)) <= 0.01f * (float)(i % WIDTH));
    }
    attention_end(&a);
}

static void a_workspace_that_is_too_small_is_refused(void **state)
{
    attention a;
    (void)state;
    attention_start(&a);
    void *right = a.workspace;
    a.workspace = device_bytes(a.graph->workspace - 1, NULL);
    expect_refused(&a, WORDS("cudnnBackendExecute", "workspace"));
    assert_int_equal(cudaFree(a.workspace), cudaSuccess);
    a.workspace = right;
    attention_end(&a);
}

static void an_array_that_is_too_small_is_refused(void **state)
{
    attention a;
    (void)state;
    attention_start(&a);
    void *right = a.pointer[1];
    a.pointer[1] = device_bytes(COUNT * sizeof(uint16_t) - 1, NULL);
    expect_refused(&a, WORDS("cudnnBackendExecute", "tensor 2", "1024 bytes"));
    assert_int_equal(cudaFree(a.pointer[1]), cudaSuccess);
    a.pointer[1] = right;
    attention_end(&a);
}

static void an_array_of_the_host_is_refused(void **state)
{
    static uint16_t host[COUNT];
    attention a;
    (void)state;
    attention_start(&a);
    void *right = a.pointer[2];
    a.pointer[2] = host;
    expect_refused(&a, WORDS("tensor 3", "device memory", "memory of the host"));
    a.pointer[2] = right;
    attention_end(&a);
}

static void a_number_in_device_memory_is_refused(void **state)
{
    attention a;
    (void)state;
    attention_start(&a);
    a.pointer[5] = a.pointer[4];
    expect_refused(&a, WORDS("tensor 13", "number of the host"));
    attention_end(&a);
}

static void a_pointer_less_aligned_than_was_said_is_refused(void **state)
{
    attention a;
    (void)state;
    attention_start(&a);
    void *right = a.pointer[0];
    void *wide = device_bytes(COUNT * sizeof(uint16_t) + 8, NULL);
    a.pointer[0] = (char *)wide + 8;
    expect_refused(&a, WORDS("tensor 1", "aligned to 16"));
    assert_int_equal(cudaFree(wide), cudaSuccess);
    a.pointer[0] = right;
    attention_end(&a);
}

static void a_tensor_that_is_missing_or_unknown_is_refused(void **state)
{
    attention a;
    (void)state;
    attention_start(&a);
    a.count--;
    expect_refused(&a, WORDS("tensor 13"));
    a.count++;
    a.id[4] = SDPA_DELTA;
    expect_refused(&a, WORDS("tensor 9"));
    attention_end(&a);
}

/* Keys whose stride leaves a gap, or lets rows run into each other. */
static void wrong_strides_are_refused(void **state)
{
    static const int64_t strides[] = {WIDTH + 1, WIDTH - 1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        const graph_shape rows = {{1, 1, TOKENS, WIDTH}, {COUNT, COUNT, strides[i], 1}};
        cuda_graph *graph = cuda_graph_new();
        captured c = capture();
        cuda_graph_given(graph, SDPA_K, CUDNN_DATA_BFLOAT16, &rows);
        expect_words(&c, WORDS("cudnnBackendFinalize", "strides"));
        assert_true(graph->failed);
        cuda_graph_free(graph);
    }
}

/* Keys that were not turned: (T, D) where (D, T) belongs. */
static void factors_that_do_not_fit_are_refused(void **state)
{
    const graph_shape rows = {{1, 1, TOKENS, WIDTH}, {COUNT, COUNT, WIDTH, 1}};
    const graph_shape pairs = {{1, 1, TOKENS, TOKENS}, {4096, 4096, TOKENS, 1}};
    (void)state;
    cuda_graph *graph = cuda_graph_new();
    graph_object q = cuda_graph_given(graph, SDPA_Q, CUDNN_DATA_BFLOAT16, &rows);
    graph_object k = cuda_graph_given(graph, SDPA_K, CUDNN_DATA_BFLOAT16, &rows);
    graph_object s = cuda_graph_between(graph, CUDNN_DATA_FLOAT, &pairs);
    captured c = capture();
    cuda_graph_product(graph, q, k, s, NULL, NULL, NULL);
    expect_words(&c,
                 WORDS("cudnnBackendFinalize", "rows of B, columns of A", "expected 8, got 64"));
    assert_true(graph->failed);
    cuda_graph_free(graph);
}

static void a_tensor_that_is_read_before_it_is_written_is_refused(void **state)
{
    const graph_shape rows = {{1, 1, TOKENS, WIDTH}, {COUNT, COUNT, WIDTH, 1}};
    const graph_target target = {.handle = cuda_dnn()};
    (void)state;
    cuda_graph *graph = cuda_graph_new();
    graph_object x = cuda_graph_between(graph, CUDNN_DATA_FLOAT, &rows);
    graph_object y = cuda_graph_given(graph, SDPA_OUT, CUDNN_DATA_BFLOAT16, &rows);
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_EXP, CUDNN_DATA_FLOAT, x, NULL, y);
    captured c = capture();
    cuda_graph_plan(graph, &target, SDPA_MOST_WORKSPACE);
    expect_words(&c, WORDS("cudnnBackendFinalize", "writes first"));
    assert_true(graph->failed);
    cuda_graph_free(graph);
}

/* ---- which calls get there ---- */

static void what_fits_is_fused_and_nothing_else(void **state)
{
    static const float cost = 0.0f;
    static const int32_t numbers[2] = {1, 2};
    const device_attention right = {.batch = 2,
                                    .heads = 12,
                                    .kv_heads = 4,
                                    .head_width = 64,
                                    .queries = 100,
                                    .keys = 100,
                                    .precision = DEVICE_BF16};
    device_attention call = right;
    (void)state;
    assert_true(sdpa_fits(&call, false) && sdpa_fits(&call, true));
    call.lengths = numbers, call.future_open = true;
    assert_true(sdpa_fits(&call, false) && sdpa_fits(&call, true));
    call = right, call.precision = DEVICE_FP32;
    assert_false(sdpa_fits(&call, false));
    call = right, call.precision = DEVICE_TF32;
    assert_false(sdpa_fits(&call, false));
    call = right, call.head_width = 60;
    assert_false(sdpa_fits(&call, false));
    call = right, call.head_width = 136;
    assert_false(sdpa_fits(&call, false));
    call = right, call.queries = 99, call.query_start = 1;
    assert_false(sdpa_fits(&call, false));
    call = right, call.span = numbers;
    assert_false(sdpa_fits(&call, false));
    call = right, call.log_weight = &cost, call.future_open = true;
    assert_false(sdpa_fits(&call, false));
    call = right, call.batch = 0;
    assert_false(sdpa_fits(&call, false));
    call = right, call.queries = call.keys = 6400; /* 24 heads of 6400^2 numbers in bf16: 2 GB */
    assert_true(sdpa_fits(&call, false) && sdpa_fits(&call, true));
    call.queries = call.keys = 6528;
    assert_true(sdpa_fits(&call, false) && !sdpa_fits(&call, true));
    call.queries = call.keys = INT64_MAX / 2;
    assert_false(sdpa_fits(&call, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_graph_is_computed_and_nothing_is_said),
        cmocka_unit_test(a_workspace_that_is_too_small_is_refused),
        cmocka_unit_test(an_array_that_is_too_small_is_refused),
        cmocka_unit_test(an_array_of_the_host_is_refused),
        cmocka_unit_test(a_number_in_device_memory_is_refused),
        cmocka_unit_test(a_pointer_less_aligned_than_was_said_is_refused),
        cmocka_unit_test(a_tensor_that_is_missing_or_unknown_is_refused),
        cmocka_unit_test(wrong_strides_are_refused),
        cmocka_unit_test(factors_that_do_not_fit_are_refused),
        cmocka_unit_test(a_tensor_that_is_read_before_it_is_written_is_refused),
        cmocka_unit_test(what_fits_is_fused_and_nothing_else),
    };
    if (unsetenv("CUDA_LAUNCH_BLOCKING") != 0 ||
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
        return 1;
    return cmocka_run_group_tests_name("graph_faults", tests, NULL, NULL);
}
