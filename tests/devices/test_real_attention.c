/* The graphs of fused attention, planned by the real cuDNN for a GPU that is not here.
 *
 * cuDNN plans for a GPU that is described to it. It recognises the graph, chooses an engine, and
 * compiles the fused kernel to the GPU's machine code; a driver of ours (driver/driver.c) takes
 * that in. So this proves that the real library knows each graph that the device asks it for, and
 * that its engines give the same bits at every run. Argument: the architecture, 90 or 80. */
#include "cuda.h"
#include "driver/driver.h"
#include "sdpa_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the rest of the device ---- */

static char failure[128];

void cuda_note_failure(const char *call, const char *status)
{
    if (failure[0] == '\0')
        snprintf(failure, sizeof failure, "%s: %s", call, status);
}

cudaStream_t cuda_compute_stream(void)
{
    return NULL;
}

/* ---- the GPU that is described ---- */

static int architecture;
static graph_object gpu;

/* The fields that cuDNN 9 reads, of an H100 or an A100 with 80 GB: NVIDIA's data sheets and the
 * CUDA programming guide's table of compute capabilities. */
static const char format[] =
    "{\"cudaDeviceId\":0,\"deviceName\":\"described\",\"deviceVer\":%d,\"driverVer\":13000,"
    "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"pciDeviceId\":0,\"warpSize\":32,"
    "\"maxBlockSize\":[1024,1024,64],\"maxGridSize\":[2147483647,65535,65535],"
    "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"maxCtasPerSM\":32,"
    "\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,\"maxSharedMemoryPerBlock\":49152,"
    "\"reservedSharedMemoryPerBlock\":1024,\"maxSharedMemoryPerBlockOptin\":%d,"
    "\"multiProcessorCount\":%d,\"l2CacheSize\":%d,\"smClockRateKHz\":%d,"
    "\"memClockRateKHz\":%d,\"totalGlobalMem\":85899345920}";

static int describe(void **state)
{
    char text[1024];
    const bool hopper = architecture >= 90;
    (void)state;
    int length = snprintf(text, sizeof text, format, architecture * 10, hopper ? 232448 : 166912,
                          hopper ? 132 : 108, hopper ? 52428800 : 41943040,
                          hopper ? 1980000 : 1410000, hopper ? 2619000 : 1593000);
    return cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &gpu) !=
               CUDNN_STATUS_SUCCESS ||
           cudnnBackendSetAttribute(gpu, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                    length, text) != CUDNN_STATUS_SUCCESS ||
           cudnnBackendFinalize(gpu) != CUDNN_STATUS_SUCCESS;
}

static int forget(void **state)
{
    (void)state;
    return cudnnBackendDestroyDescriptor(gpu) != CUDNN_STATUS_SUCCESS;
}

static driver_code handed_over(void)
{
    driver_code (*seen)(void) = NULL;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    assert_non_null(driver);
    *(void **)&seen = dlsym(driver, "driver_seen");
    if (seen == NULL)
        fail_msg("libcuda.so.1 is not the test's own");
    return seen();
}

/* ---- the graphs ---- */

/* True when cuDNN has a plan, whose code was compiled for the architecture. */
static bool is_planned(const sdpa_shape *shape)
{
    const graph_target target = {.properties = gpu};
    const int before = handed_over().images;
    failure[0] = '\0';
    cuda_graph *graph = sdpa_graph_new(shape, &target);
    const bool planned = graph != NULL && graph->plan != NULL;
    assert_string_equal(failure, "");
    if (planned) {
        const driver_code code = handed_over();
        assert_true(code.images > before);
        assert_int_equal(code.lowest, architecture);
        assert_int_equal(code.highest, architecture);
        assert_non_null(strstr(code.kernel, "sdpa"));
        assert_non_null(strstr(code.kernel, shape->backward ? "bprop" : "fprop"));
        if (shape->backward) /* dS is kept, and not added to as blocks finish */
            assert_true(graph->workspace >= shape->batch * shape->heads * shape->tokens *
                                                shape->tokens * (int64_t)sizeof(uint16_t));
    }
    cuda_graph_free(graph);
    return planned;
}

static void require_plans(sdpa_shape shape)
{
    for (int backward = 0; backward < 2; backward++) {
        shape.backward = backward;
        if (!is_planned(&shape))
            fail_msg("no plan for sm_%d: heads %d of %d, width %d, tokens %d, %s%s%s", architecture,
                     (int)shape.kv_heads, (int)shape.heads, (int)shape.width, (int)shape.tokens,
                     shape.causal ? "causal" : "open", shape.padded ? ", padded" : "",
                     shape.backward ? ", backward" : "");
    }
}

static void every_mask_has_a_plan_both_ways(void **state)
{
    (void)state;
    for (int mask = 0; mask < 4; mask++)
        require_plans((sdpa_shape){.batch = 3,
                                   .heads = 4,
                                   .kv_heads = mask < 2 ? 4 : 2,
                                   .width = 64,
                                   .tokens = 320,
                                   .causal = mask & 1,
                                   .padded = mask & 2});
}

static void narrow_and_wide_heads_have_plans(void **state)
{
    static const int64_t widths[] = {8, 72, 128};
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        require_plans((sdpa_shape){.batch = 1,
                                   .heads = 6,
                                   .kv_heads = 2,
                                   .width = widths[i],
                                   .tokens = SDPA_TILE,
                                   .causal = true,
                                   .padded = true});
}

/* So a plan is no matter of course. */
static void a_width_that_no_engine_takes_has_no_plan(void **state)
{
    (void)state;
    const sdpa_shape shape = {
        .batch = 1, .heads = 2, .kv_heads = 2, .width = 12, .tokens = 128, .causal = true};
    assert_false(is_planned(&shape));
}

/* cuDNN takes fp32 numbers for nothing of this kind, and a graph that it does not know for
 * nothing. */
static void a_graph_in_another_order_has_no_plan(void **state)
{
    const graph_shape rows = {{1, 1, 64, 64}, {4096, 4096, 64, 1}};
    const graph_target target = {.properties = gpu};
    (void)state;
    cuda_graph *graph = cuda_graph_new();
    assert_non_null(graph);
    graph_object q = cuda_graph_given(graph, SDPA_Q, CUDNN_DATA_BFLOAT16, &rows);
    graph_object out = cuda_graph_given(graph, SDPA_OUT, CUDNN_DATA_BFLOAT16, &rows);
    graph_object e = cuda_graph_between(graph, CUDNN_DATA_FLOAT, &rows);
    graph_object p = cuda_graph_between(graph, CUDNN_DATA_BFLOAT16, &rows);
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_EXP, CUDNN_DATA_FLOAT, q, NULL, e);
    cuda_graph_product(graph, e, q, p, NULL, NULL, NULL);
    cuda_graph_product(graph, p, q, out, NULL, NULL, NULL);
    cuda_graph_plan(graph, &target, SDPA_MOST_WORKSPACE);
    assert_null(graph->plan);
    cuda_graph_free(graph);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mask_has_a_plan_both_ways),
        cmocka_unit_test(narrow_and_wide_heads_have_plans),
        cmocka_unit_test(a_width_that_no_engine_takes_has_no_plan),
        cmocka_unit_test(a_graph_in_another_order_has_no_plan),
    };
    architecture = argc > 1 ? atoi(argv[1]) : 90;
    return cmocka_run_group_tests_name("real_attention", tests, describe, forget);
}
