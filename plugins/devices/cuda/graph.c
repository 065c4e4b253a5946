/* graph.c - see graph.h. What is set on which descriptor: cuDNN's backend API reference. */
#include "graph.h"
#include "cuda.h"

#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 16 };

/* The first id of what lies between nodes. */
enum { FIRST_BETWEEN = CUDA_GRAPH_GIVEN + 1 };

/* ---- descriptors ---- */

cuda_graph *cuda_graph_new(void)
{
    cuda_graph *graph = calloc(1, sizeof *graph);
    if (graph == NULL)
        cuda_note_failure("cuda_graph_new", "no memory for a graph");
    return graph;
}

void cuda_graph_free(cuda_graph *graph)
{
    if (graph == NULL)
        return;
    while (graph->objects > 0)
        cuda_dnn_ok(cudnnBackendDestroyDescriptor(graph->object[--graph->objects]),
                    "cudnnBackendDestroyDescriptor");
    free(graph);
}

static void expect(cuda_graph *graph, cudnnStatus_t status, const char *call)
{
    if (!cuda_dnn_ok(status, call))
        graph->failed = true;
}

static graph_object make(cuda_graph *graph, cudnnBackendDescriptorType_t type)
{
    graph_object object = NULL;
    if (graph->failed)
        return NULL;
    if (graph->objects == CUDA_GRAPH_OBJECTS) {
        cuda_note_failure("cudnnBackendCreateDescriptor", "too many of a graph");
        graph->failed = true;
        return NULL;
    }
    expect(graph, cudnnBackendCreateDescriptor(type, &object), "cudnnBackendCreateDescriptor");
    if (!graph->failed)
        graph->object[graph->objects++] = object;
    return object;
}

static void set_many(cuda_graph *graph, graph_object object, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (!graph->failed)
        expect(graph, cudnnBackendSetAttribute(object, name, type, count, values),
               "cudnnBackendSetAttribute");
}

static void set(cuda_graph *graph, graph_object object, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, const void *value)
{
    set_many(graph, object, name, type, 1, value);
}

/* Sets another descriptor, unless it is NULL. */
static void set_object(cuda_graph *graph, graph_object object, cudnnBackendAttributeName_t name,
                       graph_object value)
{
    if (value != NULL)
        set(graph, object, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &value);
}

static void finish(cuda_graph *graph, graph_object object)
{
    if (!graph->failed)
        expect(graph, cudnnBackendFinalize(object), "cudnnBackendFinalize");
}

/* ---- tensors ---- */

static graph_object tensor(cuda_graph *graph, int64_t id, cudnnDataType_t type,
                           const graph_shape *shape, bool between, bool number)
{
    const int64_t alignment = CUDA_GRAPH_ALIGNMENT;
    graph_object object = make(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(graph, object, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, &type);
    set_many(graph, object, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, shape->size);
    set_many(graph, object, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, shape->stride);
    set(graph, object, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, &id);
    set(graph, object, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, &alignment);
    set(graph, object, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, &between);
    set(graph, object, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, &number);
    finish(graph, object);
    return object;
}

graph_object cuda_graph_given(cuda_graph *graph, int64_t id, cudnnDataType_t type,
                              const graph_shape *shape)
{
    return tensor(graph, id, type, shape, false, false);
}

graph_object cuda_graph_number(cuda_graph *graph, int64_t id)
{
    return tensor(graph, id, CUDNN_DATA_FLOAT, &(graph_shape){{1, 1, 1, 1}, {1, 1, 1, 1}}, false,
                  true);
}

/* The count of objects so far is a number that no other tensor of the graph has. */
graph_object cuda_graph_between(cuda_graph *graph, cudnnDataType_t type, const graph_shape *shape)
{
    return tensor(graph, FIRST_BETWEEN + graph->objects, type, shape, true, false);
}

/* ---- nodes ---- */

static graph_object node(cuda_graph *graph, cudnnBackendDescriptorType_t type)
{
    graph_object object = make(graph, type);
    if (graph->failed)
        return NULL;
    if (graph->nodes == CUDA_GRAPH_NODES) {
        cuda_note_failure("cudnnBackendCreateDescriptor", "too many nodes of a graph");
        graph->failed = true;
        return NULL;
    }
    graph->node[graph->nodes++] = object;
    return object;
}

static void pointwise(cuda_graph *graph, cudnnPointwiseMode_t mode, cudnnDataType_t type,
                      const int64_t *axis, graph_object x, graph_object b, graph_object t,
                      graph_object y)
{
    graph_object what = make(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), at;
    set(graph, what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, &mode);
    set(graph, what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, &type);
    if (axis != NULL)
        set(graph, what, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, axis);
    finish(graph, what);
    at = node(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_object(graph, at, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    set_object(graph, at, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_object(graph, at, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_object(graph, at, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
    set_object(graph, at, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finish(graph, at);
}

void cuda_graph_pointwise(cuda_graph *graph, cudnnPointwiseMode_t mode, cudnnDataType_t type,
                          graph_object x, graph_object b, graph_object y)
{
    pointwise(graph, mode, type, NULL, x, b, NULL, y);
}

void cuda_graph_index(cuda_graph *graph, int64_t axis, cudnnDataType_t type, graph_object x,
                      graph_object y)
{
    pointwise(graph, CUDNN_POINTWISE_GEN_INDEX, type, &axis, x, NULL, NULL, y);
}

void cuda_graph_select(cuda_graph *graph, graph_object x, graph_object b, graph_object where,
                       graph_object y)
{
    pointwise(graph, CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, NULL, x, b, where, y);
}

void cuda_graph_product(cuda_graph *graph, graph_object a, graph_object b, graph_object c,
                        graph_object rows, graph_object columns, graph_object inner)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    graph_object what = make(graph, CUDNN_BACKEND_MATMUL_DESCRIPTOR), at;
    set(graph, what, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &type);
    finish(graph, what);
    at = node(graph, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_DESC, what);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, rows);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, columns);
    set_object(graph, at, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, inner);
    finish(graph, at);
}

void cuda_graph_reduce(cuda_graph *graph, cudnnReduceTensorOp_t operation, graph_object x,
                       graph_object y)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    graph_object what = make(graph, CUDNN_BACKEND_REDUCTION_DESCRIPTOR), at;
    set(graph, what, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, &operation);
    set(graph, what, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &type);
    finish(graph, what);
    at = node(graph, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    set_object(graph, at, CUDNN_ATTR_OPERATION_REDUCTION_DESC, what);
    set_object(graph, at, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    set_object(graph, at, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    finish(graph, at);
}

void cuda_graph_reshape(cuda_graph *graph, graph_object x, graph_object y)
{
    graph_object at = node(graph, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    set_object(graph, at, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    set_object(graph, at, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
    finish(graph, at);
}

/* ---- the plan ---- */

/* How many engine configurations cuDNN proposes, best first; 0 where it knows none. */
static int proposals(cuda_graph *graph, const graph_target *target, graph_object whole,
                     graph_object proposal[CANDIDATES])
{
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    graph_object asked = make(graph, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    int64_t count = 0;
    set_object(graph, asked, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, whole);
    set(graph, asked, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, &mode);
    if (target->handle == NULL)
        set_object(graph, asked, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, target->properties);
    for (int i = 0; i < CANDIDATES; i++)
        proposal[i] = make(graph, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (graph->failed || cudnnBackendFinalize(asked) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendGetAttribute(asked, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, CANDIDATES, &count,
                                 proposal) != CUDNN_STATUS_SUCCESS)
        return 0;
    return count < CANDIDATES ? (int)count : CANDIDATES;
}

/* Whether the engine of a configuration gives the same bits at every run. A configuration that this
 * GPU cannot use has no engine. */
static bool is_deterministic(cuda_graph *graph, graph_object proposal)
{
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    graph_object engine = make(graph, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t count = 0;
    if (graph->failed ||
        cudnnBackendGetAttribute(proposal, CUDNN_ATTR_ENGINECFG_ENGINE,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                 &engine) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                 CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count,
                                 note) != CUDNN_STATUS_SUCCESS)
        return false;
    for (int64_t i = 0; i < count; i++)
        if (note[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
            return false;
    return true;
}

/* graph->plan by one configuration. False when it cannot be used. */
static bool take(cuda_graph *graph, const graph_target *target, graph_object proposal,
                 int64_t workspace)
{
    graph_object plan = make(graph, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    int64_t bytes = 0, count = 0;
    set_object(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
    if (target->handle != NULL)
        set(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, &target->handle);
    else
        set_object(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, target->properties);
    if (graph->failed || cudnnBackendFinalize(plan) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                 1, &count, &bytes) != CUDNN_STATUS_SUCCESS ||
        bytes > workspace)
        return false;
    graph->plan = plan;
    graph->workspace = bytes;
    return true;
}

bool cuda_graph_plan(cuda_graph *graph, const graph_target *target, int64_t workspace)
{
    graph_object whole = make(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph_object proposal[CANDIDATES];
    set_many(graph, whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
             graph->nodes, graph->node);
    if (target->handle != NULL)
        set(graph, whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, &target->handle);
    finish(graph, whole);
    int count = graph->failed ? 0 : proposals(graph, target, whole, proposal);
    for (int i = 0; i < count && graph->plan == NULL && !graph->failed; i++)
        if (is_deterministic(graph, proposal[i]))
            take(graph, target, proposal[i], workspace);
    return !graph->failed;
}

/* ---- running ---- */

bool cuda_graph_run(const cuda_graph *graph, cudnnHandle_t handle, int count, const int64_t id[],
                    void *const pointer[], void *workspace)
{
    cuda_graph pack = {.objects = 0};
    graph_object given = make(&pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set_many(&pack, given, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, id);
    set_many(&pack, given, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count,
             pointer);
    set(&pack, given, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, &workspace);
    finish(&pack, given);
    if (!pack.failed)
        expect(&pack, cudnnBackendExecute(handle, graph->plan, given), "cudnnBackendExecute");
    if (pack.objects > 0)
        cuda_dnn_ok(cudnnBackendDestroyDescriptor(given), "cudnnBackendDestroyDescriptor");
    return !pack.failed;
}
