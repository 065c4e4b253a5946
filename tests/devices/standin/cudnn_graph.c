/* cudnn_graph.c - cuDNN's backend: descriptors of graphs of operations, taken apart as strictly as
 * the real library does it, and more. Which graphs have an engine only the real library knows
 * (test_real_attention): here every graph has one, whose operations are done one after the other
 * (cudnn_graph_run.c).
 *
 * ASSAY_STANDIN_NO_ENGINES, when set, leaves every graph without one. */
#include "cudnn_graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "cudnn backend descriptor";

/* ---- the attributes of each type ---- */

typedef struct attribute {
    cudnnBackendDescriptorType_t of;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int count;     /* of elements; 0: a list, which is allocated */
    bool optional; /* may be left out */
    size_t at;     /* its place in a graph_part */
    size_t count_at;
} attribute;

#define PLACE(member) offsetof(graph_part, is.member)
#define ONE(of, name, type, optional, member)                                                      \
    {                                                                                              \
        CUDNN_BACKEND_##of##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_##type, 1, optional,        \
            PLACE(member), 0                                                                       \
    }
#define PART(of, name, optional, member) ONE(of, name, BACKEND_DESCRIPTOR, optional, member)

static const attribute attributes[] = {
    ONE(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, false, tensor.type),
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, false,
     PLACE(tensor.size), 0},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, false,
     PLACE(tensor.stride), 0},
    ONE(TENSOR, TENSOR_UNIQUE_ID, INT64, false, tensor.id),
    ONE(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, false, tensor.alignment),
    ONE(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, true, tensor.between),
    ONE(TENSOR, TENSOR_IS_BY_VALUE, BOOLEAN, true, tensor.number),
    ONE(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, false, what.mode),
    ONE(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, false, what.compute),
    ONE(POINTWISE, POINTWISE_AXIS, INT64, true, what.axis),
    ONE(MATMUL, MATMUL_COMP_TYPE, DATA_TYPE, false, what.compute),
    ONE(REDUCTION, REDUCTION_OPERATOR, REDUCTION_OPERATOR_TYPE, false, what.mode),
    ONE(REDUCTION, REDUCTION_COMP_TYPE, DATA_TYPE, false, what.compute),
    PART(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, false, node.what),
    PART(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, false, node.x),
    PART(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, true, node.b),
    PART(OPERATION_POINTWISE, OPERATION_POINTWISE_TDESC, true, node.t),
    PART(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, false, node.y),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_DESC, false, node.what),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_ADESC, false, node.x),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_BDESC, false, node.b),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_CDESC, false, node.y),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, true, node.rows),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, true, node.columns),
    PART(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, true, node.inner),
    PART(OPERATION_REDUCTION, OPERATION_REDUCTION_DESC, false, node.what),
    PART(OPERATION_REDUCTION, OPERATION_REDUCTION_XDESC, false, node.x),
    PART(OPERATION_REDUCTION, OPERATION_REDUCTION_YDESC, false, node.y),
    PART(OPERATION_RESHAPE, OPERATION_RESHAPE_XDESC, false, node.x),
    PART(OPERATION_RESHAPE, OPERATION_RESHAPE_YDESC, false, node.y),
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, false, PLACE(graph.node), PLACE(graph.nodes)},
    ONE(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, false, graph.handle),
    PART(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, false, asked.graph),
    ONE(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, false, asked.mode),
    PART(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, false, plan.config),
    ONE(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, false, plan.handle),
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 0,
     false, PLACE(pack.id), PLACE(pack.ids)},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
     CUDNN_TYPE_VOID_PTR, 0, false, PLACE(pack.pointer), PLACE(pack.pointers)},
    ONE(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, false, pack.workspace),
};

enum { ATTRIBUTES = sizeof attributes / sizeof *attributes };

/* Which attribute of its type it is, from 0 on; -1 for one that the type does not have. */
static int number_of(cudnnBackendDescriptorType_t of, cudnnBackendAttributeName_t name)
{
    for (int i = 0, number = 0; i < ATTRIBUTES; i++) {
        if (attributes[i].of != of)
            continue;
        if (attributes[i].name == name)
            return number;
        number++;
    }
    return -1;
}

static const attribute *attribute_of(cudnnBackendDescriptorType_t of,
                                     cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < ATTRIBUTES; i++)
        if (attributes[i].of == of && attributes[i].name == name)
            return &attributes[i];
    return NULL;
}

static size_t bytes_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_INT64:
        return sizeof(int64_t);
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
        return sizeof(void *);
    default: /* the enumerations */
        return sizeof(int);
    }
}

/* ---- making, setting, destroying ---- */

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *descriptor)
{
    graph_part *part = standin_object_new(kind, sizeof *part);
    part->type = type;
    *descriptor = part;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    graph_part *part = descriptor;
    if (!standin_object_alive(__func__, kind, part))
        return CUDNN_STATUS_BAD_PARAM;
    if (part->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
        free(part->is.pack.id);
        free(part->is.pack.pointer);
    }
    standin_object_destroy(part);
    return CUDNN_STATUS_SUCCESS;
}

/* True when each element is a finished descriptor that lives. */
static bool are_finished(const char *function, int64_t count, const void *elements)
{
    const graph_part *const *part = elements;
    for (int64_t i = 0; i < count; i++)
        if (!standin_object_alive(function, kind, part[i]) ||
            !standin_require(part[i]->finished, function, "a descriptor that is finalized", 1, 0))
            return false;
    return true;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void *elements)
{
    graph_part *part = descriptor;
    if (!standin_object_alive(__func__, kind, part) ||
        !standin_require(!part->finished, __func__, "set before it is finalized", 1, 0))
        return CUDNN_STATUS_BAD_PARAM;
    const attribute *is = attribute_of(part->type, name);
    if (!standin_require(is != NULL, __func__, "an attribute of descriptors of type", part->type,
                         name) ||
        !standin_require(is->type == type, __func__, "type of the attribute", is->type, type) ||
        !standin_require(is->count == 0 ? count > 0 && count <= GRAPH_MOST : count == is->count,
                         __func__, "number of elements", is->count, count) ||
        (type == CUDNN_TYPE_BACKEND_DESCRIPTOR && !are_finished(__func__, count, elements)))
        return CUDNN_STATUS_BAD_PARAM;
    const size_t bytes = bytes_of(type) * (size_t)count;
    void *to = (char *)part + is->at;
    if (is->count == 0) {
        void *list = standin_memory((int64_t)bytes, "a descriptor's list");
        memcpy(to, &list, sizeof list);
        memcpy((char *)part + is->count_at, &count, sizeof count);
        to = list;
    }
    memcpy(to, elements, bytes);
    part->set |= 1u << number_of(part->type, name);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- tensors ---- */

int64_t graph_element_bytes(cudnnDataType_t type)
{
    return type == CUDNN_DATA_BFLOAT16 ? 2 : type == CUDNN_DATA_BOOLEAN ? 1 : 4;
}

int64_t graph_extent(const graph_part *tensor)
{
    int64_t last = 0;
    for (int d = 0; d < 4; d++)
        last += (tensor->is.tensor.size[d] - 1) * tensor->is.tensor.stride[d];
    return last + 1;
}

static bool is_whole_tensor(const char *function, const graph_part *part)
{
    int64_t count = 1, alignment = part->is.tensor.alignment;
    for (int d = 0; d < 4; d++) {
        if (!standin_require(part->is.tensor.size[d] > 0, function, "a size, at least", 1,
                             part->is.tensor.size[d]) ||
            !standin_require(part->is.tensor.stride[d] > 0, function, "a stride, at least", 1,
                             part->is.tensor.stride[d]))
            return false;
        count *= part->is.tensor.size[d];
    }
    switch (part->is.tensor.type) {
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_BFLOAT16:
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_BOOLEAN:
        break;
    default:
        return standin_require(false, function, "type", CUDNN_DATA_FLOAT, part->is.tensor.type);
    }
    /* Without gaps and without one element at two places: so are all of ours. */
    return standin_require(graph_extent(part) == count, function,
                           "strides that reach as many elements", count, graph_extent(part)) &&
           standin_require(alignment >= 16 && (alignment & (alignment - 1)) == 0, function,
                           "alignment, a power of two from", 16, alignment) &&
           standin_require(!part->is.tensor.number ||
                               (count == 1 && part->is.tensor.type == CUDNN_DATA_FLOAT &&
                                !part->is.tensor.between),
                           function, "elements of a number", 1, count);
}

/* ---- nodes ---- */

static bool is_tensor(const char *function, const graph_part *part)
{
    return standin_require(part->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR, function,
                           "type of a tensor", CUDNN_BACKEND_TENSOR_DESCRIPTOR, part->type);
}

static bool is_operation(const char *function, const graph_part *part,
                         cudnnBackendDescriptorType_t type)
{
    return standin_require(part->type == type, function, "type of an operation", type, part->type);
}

/* b has y's size in every dimension, or 1. */
static bool reaches(const char *function, const graph_part *b, const graph_part *y)
{
    for (int d = 0; b != NULL && d < 4; d++)
        if (!standin_require(
                b->is.tensor.size[d] == 1 || b->is.tensor.size[d] == y->is.tensor.size[d], function,
                "a size, 1 or that of the result", y->is.tensor.size[d], b->is.tensor.size[d]))
            return false;
    return true;
}

static int operands_of(cudnnPointwiseMode_t mode)
{
    switch (mode) {
    case CUDNN_POINTWISE_EXP:
    case CUDNN_POINTWISE_LOG:
    case CUDNN_POINTWISE_IDENTITY:
    case CUDNN_POINTWISE_GEN_INDEX:
        return 1;
    case CUDNN_POINTWISE_ADD:
    case CUDNN_POINTWISE_SUB:
    case CUDNN_POINTWISE_MUL:
    case CUDNN_POINTWISE_DIV:
    case CUDNN_POINTWISE_CMP_LT:
    case CUDNN_POINTWISE_CMP_GE:
    case CUDNN_POINTWISE_LOGICAL_AND:
        return 2;
    case CUDNN_POINTWISE_BINARY_SELECT:
        return 3;
    default:
        return 0;
    }
}

static bool is_whole_pointwise(const char *function, const graph_part *part)
{
    if (!is_operation(function, part->is.node.what, CUDNN_BACKEND_POINTWISE_DESCRIPTOR))
        return false;
    const cudnnPointwiseMode_t mode = (cudnnPointwiseMode_t)part->is.node.what->is.what.mode;
    const int given = 1 + (part->is.node.b != NULL) + (part->is.node.t != NULL);
    return standin_require(operands_of(mode) > 0, function, "a mode that is stood in for",
                           CUDNN_POINTWISE_ADD, mode) &&
           standin_require(given == operands_of(mode), function, "operands", operands_of(mode),
                           given) &&
           is_tensor(function, part->is.node.x) && is_tensor(function, part->is.node.y) &&
           (part->is.node.b == NULL || is_tensor(function, part->is.node.b)) &&
           (part->is.node.t == NULL || is_tensor(function, part->is.node.t)) &&
           reaches(function, part->is.node.x, part->is.node.y) &&
           reaches(function, part->is.node.b, part->is.node.y) &&
           reaches(function, part->is.node.t, part->is.node.y);
}

/* int32 (B, 1, 1, 1), or missing. */
static bool is_limit(const char *function, const graph_part *limit, const graph_part *of)
{
    if (limit == NULL)
        return true;
    return is_tensor(function, limit) &&
           standin_require(limit->is.tensor.type == CUDNN_DATA_INT32, function, "type of a limit",
                           CUDNN_DATA_INT32, limit->is.tensor.type) &&
           standin_require(limit->is.tensor.size[0] == of->is.tensor.size[0], function,
                           "numbers of a limit", of->is.tensor.size[0], limit->is.tensor.size[0]) &&
           standin_require(graph_extent(limit) == limit->is.tensor.size[0], function,
                           "numbers of a limit", limit->is.tensor.size[0], graph_extent(limit));
}

static bool is_whole_product(const char *function, const graph_part *part)
{
    const graph_part *a = part->is.node.x, *b = part->is.node.b, *c = part->is.node.y;
    if (!is_operation(function, part->is.node.what, CUDNN_BACKEND_MATMUL_DESCRIPTOR) ||
        !is_tensor(function, a) || !is_tensor(function, b) || !is_tensor(function, c))
        return false;
    const int64_t *sa = a->is.tensor.size, *sb = b->is.tensor.size, *sc = c->is.tensor.size;
    for (int i = 0; i < 3; i++) {
        const graph_part *tensor = (const graph_part *[]){a, b, c}[i];
        if (!standin_require(tensor->is.tensor.stride[2] == 1 || tensor->is.tensor.stride[3] == 1,
                             function, "a stride of a factor", 1, tensor->is.tensor.stride[3]))
            return false;
    }
    return standin_require(sa[3] == sb[2], function, "rows of B, columns of A", sa[3], sb[2]) &&
           standin_require(sa[2] == sc[2], function, "rows of C, rows of A", sa[2], sc[2]) &&
           standin_require(sb[3] == sc[3], function, "columns of C, columns of B", sb[3], sc[3]) &&
           standin_require(sa[0] == sc[0] && sb[0] == sc[0], function, "batch", sc[0], sb[0]) &&
           standin_require(sa[1] == sc[1] && sc[1] % sb[1] == 0, function,
                           "heads of C, those of A and a multiple of B's", sa[1], sc[1]) &&
           is_limit(function, part->is.node.rows, c) &&
           is_limit(function, part->is.node.columns, c) &&
           is_limit(function, part->is.node.inner, c);
}

static bool is_whole_reduction(const char *function, const graph_part *part)
{
    const graph_part *x = part->is.node.x, *y = part->is.node.y;
    if (!is_operation(function, part->is.node.what, CUDNN_BACKEND_REDUCTION_DESCRIPTOR) ||
        !is_tensor(function, x) || !is_tensor(function, y))
        return false;
    const int mode = part->is.node.what->is.what.mode;
    for (int d = 0; d < 4; d++)
        if (!standin_require(x->is.tensor.size[d] % y->is.tensor.size[d] == 0, function,
                             "a size that divides", x->is.tensor.size[d], y->is.tensor.size[d]))
            return false;
    return standin_require(mode == CUDNN_REDUCE_TENSOR_ADD || mode == CUDNN_REDUCE_TENSOR_MAX,
                           function, "a reduction that is stood in for", CUDNN_REDUCE_TENSOR_ADD,
                           mode);
}

/* The same elements at the same places, under other sizes. */
static bool is_whole_reshape(const char *function, const graph_part *part)
{
    return is_tensor(function, part->is.node.x) && is_tensor(function, part->is.node.y) &&
           standin_require(graph_extent(part->is.node.x) == graph_extent(part->is.node.y), function,
                           "elements", graph_extent(part->is.node.x),
                           graph_extent(part->is.node.y));
}

/* ---- graphs ---- */

static bool is_written_before(const graph_part *graph, int64_t node, const graph_part *tensor)
{
    for (int64_t i = 0; i < node; i++)
        if (graph->is.graph.node[i]->is.node.y == tensor)
            return true;
    return false;
}

/* What lies between nodes is written by one that comes before all that read it, and only once; what
 * has one id is one tensor. */
static bool is_whole_graph(const char *function, const graph_part *part)
{
    for (int64_t i = 0; i < part->is.graph.nodes; i++) {
        const graph_part *node = part->is.graph.node[i];
        const graph_part *reads[] = {node->is.node.x,       node->is.node.b,
                                     node->is.node.t,       node->is.node.rows,
                                     node->is.node.columns, node->is.node.inner};
        switch (node->type) {
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
        case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
            break;
        default:
            return standin_refuse(function, "a node", "an operation", "another descriptor");
        }
        for (size_t r = 0; r < sizeof reads / sizeof *reads; r++)
            if (reads[r] != NULL && reads[r]->is.tensor.between &&
                !standin_require(is_written_before(part, i, reads[r]), function,
                                 "a node that writes first the tensor", reads[r]->is.tensor.id, 0))
                return false;
        if (!standin_require(!is_written_before(part, i, node->is.node.y), function,
                             "nodes that write tensor", node->is.node.y->is.tensor.id, 2) ||
            !standin_require(!node->is.node.y->is.tensor.number, function, "a result in memory", 1,
                             0))
            return false;
    }
    return dnn_handle_of(function, part->is.graph.handle) != NULL;
}

/* As much as a real engine takes: nearly nothing, or with a reshape the largest tensor in bf16. */
static int64_t workspace_of(const graph_part *graph)
{
    int64_t largest = 0;
    for (int64_t i = 0; i < graph->is.graph.nodes; i++) {
        const graph_part *node = graph->is.graph.node[i];
        if (node->type == CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR &&
            graph_extent(node->is.node.y) > largest)
            largest = graph_extent(node->is.node.y);
    }
    return 256 + 2 * largest;
}

static bool is_whole_plan(const char *function, graph_part *part)
{
    const graph_part *config = part->is.plan.config;
    if (!is_operation(function, config, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) ||
        dnn_handle_of(function, part->is.plan.handle) == NULL ||
        !standin_require(part->is.plan.handle == config->is.asked.graph->is.graph.handle, function,
                         "the graph's own handle", 1, 0))
        return false;
    part->is.plan.workspace = workspace_of(config->is.asked.graph);
    return true;
}

static bool is_whole(const char *function, graph_part *part)
{
    switch (part->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return is_whole_tensor(function, part);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return is_whole_pointwise(function, part);
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
        return is_whole_product(function, part);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        return is_whole_reduction(function, part);
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
        return is_whole_reshape(function, part);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return is_whole_graph(function, part);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return is_whole_plan(function, part);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        return standin_require(part->is.pack.ids == part->is.pack.pointers, function, "pointers",
                               part->is.pack.ids, part->is.pack.pointers);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
    case CUDNN_BACKEND_MATMUL_DESCRIPTOR:
    case CUDNN_BACKEND_REDUCTION_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return true;
    default:
        return standin_require(false, function, "a type that is stood in for",
                               CUDNN_BACKEND_TENSOR_DESCRIPTOR, part->type);
    }
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    graph_part *part = descriptor;
    if (!standin_object_alive(__func__, kind, part) ||
        !standin_require(!part->finished, __func__, "finalized once", 1, 2))
        return CUDNN_STATUS_BAD_PARAM;
    for (int i = 0; i < ATTRIBUTES; i++)
        if (attributes[i].of == part->type && !attributes[i].optional &&
            !standin_require(part->set >> number_of(part->type, attributes[i].name) & 1, __func__,
                             "that attribute is set", attributes[i].name, 0))
            return CUDNN_STATUS_BAD_PARAM;
    if (!is_whole(__func__, part))
        return CUDNN_STATUS_BAD_PARAM;
    part->finished = true;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- what is read ---- */

/* Makes one of the caller's own descriptors a configuration, or an engine, of a graph. */
static bool give(const char *function, void *elements, cudnnBackendDescriptorType_t type,
                 const graph_part *graph)
{
    graph_part *part = *(graph_part **)elements;
    if (!standin_object_alive(function, kind, part) || !is_operation(function, part, type))
        return false;
    part->is.asked.graph = graph;
    part->finished = true;
    return true;
}

static bool read_attribute(const char *function, const graph_part *part,
                           cudnnBackendAttributeName_t name, int64_t room, int64_t *count,
                           void *elements)
{
    const cudnnBackendNumericalNote_t note = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    *count = 1;
    if (!standin_require(part->finished, function, "a descriptor that is finalized", 1, 0) ||
        !standin_require(room > 0, function, "room for elements", 1, room))
        return false;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        *count = getenv("ASSAY_STANDIN_NO_ENGINES") == NULL;
        return *count == 0 ||
               give(function, elements, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, part->is.asked.graph);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        return give(function, elements, CUDNN_BACKEND_ENGINE_DESCRIPTOR, part->is.asked.graph);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        memcpy(elements, &note, sizeof note);
        return true;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        memcpy(elements, &part->is.plan.workspace, sizeof part->is.plan.workspace);
        return true;
    default:
        return standin_require(false, function, "an attribute that can be read",
                               CUDNN_ATTR_ENGINEHEUR_RESULTS, name);
    }
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room,
                                       int64_t *count, void *elements)
{
    (void)type;
    if (!standin_object_alive(__func__, kind, descriptor) ||
        !read_attribute(__func__, descriptor, name, room, count, elements))
        return CUDNN_STATUS_BAD_PARAM;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- execution ---- */

/* Adds the tensor with what the pack has for it, unless it is there or lies between nodes. */
static bool bind(const char *function, const graph_part *tensor, const graph_part *pack,
                 graph_job *job)
{
    char what[48];
    void *memory = NULL;
    if (tensor == NULL || tensor->is.tensor.between)
        return true;
    for (int i = 0; i < job->count; i++)
        if (job->at[i].tensor->is.tensor.id == tensor->is.tensor.id)
            return standin_require(
                job->at[i].tensor == tensor ||
                    (job->at[i].tensor->is.tensor.number && tensor->is.tensor.number),
                function, "one tensor with id", tensor->is.tensor.id, 2);
    for (int64_t i = 0; i < pack->is.pack.ids; i++)
        if (pack->is.pack.id[i] == tensor->is.tensor.id)
            memory = pack->is.pack.pointer[i];
    if (!standin_require(job->count < GRAPH_MOST, function, "tensors, at most", GRAPH_MOST,
                         job->count + 1))
        return false;
    snprintf(what, sizeof what, "tensor %" PRId64, tensor->is.tensor.id);
    graph_binding *at = &job->at[job->count++];
    at->tensor = tensor;
    at->memory = memory;
    if (!tensor->is.tensor.number)
        return standin_require_array(function, what, memory,
                                     graph_extent(tensor) *
                                         graph_element_bytes(tensor->is.tensor.type),
                                     tensor->is.tensor.alignment);
    if (memory == NULL || standin_is_device(memory, sizeof(float)))
        return standin_refuse(function, what, "a number of the host's", standin_where(memory));
    memcpy(&at->number, memory, sizeof at->number);
    return true;
}

static bool bind_all(const char *function, const graph_part *pack, graph_job *job)
{
    const graph_part *graph = job->graph;
    for (int64_t i = 0; i < graph->is.graph.nodes; i++) {
        const graph_part *n = graph->is.graph.node[i];
        const graph_part *all[] = {n->is.node.x,    n->is.node.b,    n->is.node.t,
                                   n->is.node.y,    n->is.node.rows, n->is.node.columns,
                                   n->is.node.inner};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (!bind(function, all[k], pack, job))
                return false;
    }
    return standin_require(job->count == pack->is.pack.ids, function, "tensors of the graph",
                           job->count, pack->is.pack.ids);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_descriptor,
                                  cudnnBackendDescriptor_t pack_descriptor)
{
    const graph_part *plan = plan_descriptor, *pack = pack_descriptor;
    const dnn_handle *dnn = dnn_handle_of(__func__, handle);
    if (dnn == NULL || !are_finished(__func__, 2, (const graph_part *[]){plan, pack}) ||
        !is_operation(__func__, plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) ||
        !is_operation(__func__, pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) ||
        !standin_require(handle == plan->is.plan.handle, __func__, "the plan's own handle", 1, 0))
        return CUDNN_STATUS_BAD_PARAM;
    graph_job job = {.graph = plan->is.plan.config->is.asked.graph,
                     .workspace = pack->is.pack.workspace,
                     .workspace_bytes = plan->is.plan.workspace};
    if (!bind_all(__func__, pack, &job) ||
        !standin_require_array(__func__, "workspace", job.workspace, job.workspace_bytes, 256))
        return CUDNN_STATUS_BAD_PARAM;
    standin_enqueue(dnn->stream, __func__, graph_run, &job, sizeof job);
    return CUDNN_STATUS_SUCCESS;
}
