/* graph.h - graphs of cuDNN's operations: described node by node, planned for a GPU, run.
 *
 * cuDNN looks for an engine that computes a whole graph in one go and keeps what lies between the
 * nodes on the chip; which graphs have one is the library's to know, so a graph may have no plan.
 * The tensors have four dimensions. Those in memory and the numbers of the host's are named by an
 * id that the caller chooses, from 1 to CUDA_GRAPH_GIVEN. */
#ifndef ASSAY_CUDA_GRAPH_H
#define ASSAY_CUDA_GRAPH_H

#include "dnn.h"

enum {
    CUDA_GRAPH_GIVEN = 31,    /* the highest id */
    CUDA_GRAPH_NODES = 32,    /* of a graph */
    CUDA_GRAPH_OBJECTS = 192, /* descriptors of a graph and its plan */
    CUDA_GRAPH_ALIGNMENT = 16 /* bytes, of what is in memory */
};

typedef cudnnBackendDescriptor_t graph_object;

typedef struct cuda_graph {
    graph_object object[CUDA_GRAPH_OBJECTS]; /* all that is to be destroyed */
    graph_object node[CUDA_GRAPH_NODES];
    int objects, nodes;
    bool failed;       /* a failure is noted; what follows does nothing */
    graph_object plan; /* NULL: no engine computes the graph */
    int64_t workspace; /* bytes that the plan takes */
} cuda_graph;

typedef struct graph_shape {
    int64_t size[4], stride[4]; /* in elements */
} graph_shape;

/* Zeros, to be freed by cuda_graph_free; NULL after a noted failure. */
cuda_graph *cuda_graph_new(void);
void cuda_graph_free(cuda_graph *graph); /* NULL is accepted */

/* ---- tensors: of memory, of one fp32 number of the host's, between nodes ---- */

graph_object cuda_graph_given(cuda_graph *graph, int64_t id, cudnnDataType_t type,
                              const graph_shape *shape);
graph_object cuda_graph_number(cuda_graph *graph, int64_t id);
graph_object cuda_graph_between(cuda_graph *graph, cudnnDataType_t type, const graph_shape *shape);

/* ---- nodes, in the order in which they are computed ---- */

/* y = mode(x, b), computed in `type`; b may be NULL */
void cuda_graph_pointwise(cuda_graph *graph, cudnnPointwiseMode_t mode, cudnnDataType_t type,
                          graph_object x, graph_object b, graph_object y);
/* y = the place along the axis; x gives the shape */
void cuda_graph_index(cuda_graph *graph, int64_t axis, cudnnDataType_t type, graph_object x,
                      graph_object y);
/* y = where ? x : b */
void cuda_graph_select(cuda_graph *graph, graph_object x, graph_object b, graph_object where,
                       graph_object y);
/* C = A B over the last two dimensions, summed in fp32. rows, columns, inner: int32 (B, 1, 1, 1) of
 * memory that say how much of each batch item counts, or NULL for all of it. */
void cuda_graph_product(cuda_graph *graph, graph_object a, graph_object b, graph_object c,
                        graph_object rows, graph_object columns, graph_object inner);
/* What y has 1 of where x has more is reduced, in fp32. */
void cuda_graph_reduce(cuda_graph *graph, cudnnReduceTensorOp_t operation, graph_object x,
                       graph_object y);
/* The same numbers at y's sizes and strides. */
void cuda_graph_reshape(cuda_graph *graph, graph_object x, graph_object y);

/* ---- the plan ---- */

/* For whom a plan is made: the GPU of a handle, or, with the handle NULL, one that is described by
 * a finished CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR and need not be there. */
typedef struct graph_target {
    cudnnHandle_t handle;
    graph_object properties;
} graph_target;

/* Makes graph->plan by the first proposal of cuDNN's that is deterministic and takes at most
 * `workspace` bytes; without one plan stays NULL. False after a noted failure. */
bool cuda_graph_plan(cuda_graph *graph, const graph_target *target, int64_t workspace);
/* Runs the plan on the handle's stream: pointer[i] is of the tensor id[i]. Numbers of the host's
 * are read before it returns. */
bool cuda_graph_run(const cuda_graph *graph, cudnnHandle_t handle, int count, const int64_t id[],
                    void *const pointer[], void *workspace);

#endif
