/* net.h - a small decoder for the tests of tapes and precision: two layers of attention and gated
 * MLP, and a head that shares the embedding's table. */
#ifndef ASSAY_TESTS_TENSOR_NET_H
#define ASSAY_TESTS_TENSOR_NET_H

#include <assay/attention.h>
#include <assay/ops.h>

#define NET_LAYERS     2
#define NET_PER_LAYER  7
#define NET_PARAMETERS (2 + NET_LAYERS * NET_PER_LAYER)
#define NET_BATCH      4
#define NET_TOKENS     64
#define NET_WIDTH      32
#define NET_CLASSES    50

typedef struct net {
    assay_tensor *parameters[NET_PARAMETERS]; /* table, final norm, then layer by layer */
    assay_rotary *rotary;
    assay_tensor *ids, *targets, *lengths; /* i32: (B, T), (B T), (B) */
} net;

/* The same numbers every time. The caller owns the result; NULL with *error set when memory is
 * short. */
net *net_new(assay_error *error);
void net_free(net *n);
/* The mean loss of predicting `targets`, with the states "embeddings", "layers.0" ... named. */
assay_tensor *net_loss(assay_tape *tape, const net *n);
/* Forgets the gradients of all parameters. */
void net_clear(net *n);

#endif
