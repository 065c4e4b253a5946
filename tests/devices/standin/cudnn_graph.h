/* standin/cudnn_graph.h - what cuDNN's backend descriptors hold here; see cudnn_graph.c. */
#ifndef ASSAY_TESTS_STANDIN_CUDNN_GRAPH_H
#define ASSAY_TESTS_STANDIN_CUDNN_GRAPH_H

#include "cudnn_objects.h"

enum { GRAPH_MOST = 64 }; /* nodes of a graph, tensors of a pack */

/* Any descriptor; `type` says what is used. */
typedef struct graph_part {
    standin_object object;
    cudnnBackendDescriptorType_t type;
    bool finished;
    uint32_t set; /* a bit for each attribute of the type, in the order of the table */
    union {
        struct {
            int64_t size[4], stride[4], id, alignment;
            cudnnDataType_t type;
            bool between, number;
        } tensor;
        struct {
            int mode; /* of its own enumeration */
            cudnnDataType_t compute;
            int64_t axis;
        } what;
        struct {
            const struct graph_part *what, *x, *b, *t,
                *y; /* a product's A, B and C are x, b and y */
            const struct graph_part *rows, *columns, *inner;
        } node;
        struct {
            const struct graph_part **node; /* owned */
            int64_t nodes;
            cudnnHandle_t handle;
        } graph;
        struct {
            const struct graph_part *graph; /* also of a configuration and an engine */
            cudnnBackendHeurMode_t mode;
        } asked;
        struct {
            const struct graph_part *config;
            cudnnHandle_t handle;
            int64_t workspace;
        } plan;
        struct {
            int64_t *id;    /* owned */
            void **pointer; /* owned */
            int64_t ids, pointers;
            void *workspace;
        } pack;
    } is;
} graph_part;

/* What execution takes with it: where each tensor of memory is, and each number. */
typedef struct graph_binding {
    const graph_part *tensor;
    void *memory;
    float number;
} graph_binding;

typedef struct graph_job {
    const graph_part *graph;
    void *workspace;
    int64_t workspace_bytes;
    int count;
    graph_binding at[GRAPH_MOST];
} graph_job;

/* Elements from the first of a tensor to its last. */
int64_t graph_extent(const graph_part *tensor);
int64_t graph_element_bytes(cudnnDataType_t type);
/* Computes node after node: a job for standin_enqueue (cudnn_graph_run.c). */
void graph_run(void *job);

#endif
