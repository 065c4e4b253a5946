/* sdpa_graph.h - the graphs of attention and of its gradient as cuDNN knows them. */
#ifndef ASSAY_CUDA_SDPA_GRAPH_H
#define ASSAY_CUDA_SDPA_GRAPH_H

#include "graph.h"
#include "sdpa.h"

/* What a graph reads and writes: bf16 rows as in sdpa.h, then fp32 (B, H, tokens, 1), int32 (B, 1,
 * 1, 1), and numbers of the host's. */
typedef enum sdpa_id {
    SDPA_Q = 1,
    SDPA_K,
    SDPA_V,
    SDPA_OUT,
    SDPA_D_OUT,
    SDPA_D_Q,
    SDPA_D_K,
    SDPA_D_V,
    SDPA_LSE,   /* log of the row's sum of exp */
    SDPA_DELTA, /* the row's sum of output times gradient: memory for the gradient's graph */
    SDPA_ROWS,  /* valid queries; the same numbers as SDPA_COLUMNS */
    SDPA_COLUMNS,
    SDPA_SCALE,
    SDPA_HIDDEN, /* -infinity, of the lengths */
    SDPA_FUTURE, /* -infinity, of the causal mask */
    SDPA_ONE,    /* 1 */
    SDPA_IDS = SDPA_ONE
} sdpa_id;

enum { SDPA_MOST_WORKSPACE = 2000000000 }; /* bytes of a plan */

/* The graph with its plan, which is NULL where cuDNN has no engine; owned by the caller. NULL after
 * a noted failure. */
cuda_graph *sdpa_graph_new(const sdpa_shape *shape, const graph_target *target);
/* Whether the graph of that shape reads or writes the tensor. */
bool sdpa_graph_has(const sdpa_shape *shape, sdpa_id id);

#endif
