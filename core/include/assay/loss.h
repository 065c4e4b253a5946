/* assay/loss.h - the functions of a loss plugin: named outputs and a batch to a scalar.
 *
 * A script lists losses; the host adds them, each times its option `weight` if it has one (the host
 * reads it: a loss does not multiply by it itself), records "loss" and "loss/NAME", and walks back
 * once. An option `lr_scale` is the host's, too: a factor on the learning rate of the loss's own
 * parameters.
 *
 * Batches larger than memory (train.pieces). A loss that `couples` samples (contrastive) needs the
 * whole batch's embeddings but nothing else: the host runs the pieces without a tape and keeps the
 * wanted outputs, computes the loss and the gradients of those outputs, and runs each piece again
 * with a tape to carry the gradients back. A loss that does not couple is computed piece by piece
 * in the second pass, weighted by `targets`, so that the sum is the loss of the whole. A coupling
 * loss can't want states or maps then: they are as large as what was to be saved. */
#ifndef ASSAY_LOSS_H
#define ASSAY_LOSS_H

#include <assay/model.h>

typedef struct assay_loss_setup {
    uint32_t size;
    const assay_model_facts *facts;
    const assay_data *data;
    assay_params *params; /* the run's; names of the loss's own begin with `prefix` */
    const char *prefix;   /* "loss.prototype.": what evaluation never reads */
    const assay_device *device;
    const assay_host *host; /* network() gives a teacher */
    int64_t total;
    bool counting;
    assay_data_split split; /* that is trained on */
} assay_loss_setup;

/* What a loss may look at before the first step: the training set, through the network as it
 * starts. */
typedef struct assay_loss_start {
    uint32_t size;
    void *user;      /* first argument of `each` */
    int64_t samples; /* of the training set */
    /* Its first `most` samples (0: all), in order, as in evaluation. */
    bool (*each)(void *user, int64_t most, const assay_wanted *wanted, assay_visitor visit,
                 void *visitor, assay_error *error);
} assay_loss_start;

typedef struct assay_loss_functions {
    uint32_t size;
    bool couples; /* a sample's loss depends on the other samples of the batch */
    /* The outputs that `compute` reads, at most ASSAY_MAX_OUTPUTS; texts static or in options. */
    bool (*wants)(const void *options, const char **names, int *count, assay_error *error);
    void *(*open)(const void *options, const assay_loss_setup *setup, assay_error *error);
    void (*close)(void *loss);
    /* A scalar of the tape, the mean over its targets; NULL after a failure, which is on the tape.
     * A coupling loss over pieces gets a batch that holds samples and labels of all, and no
     * towers. */
    assay_tensor *(*compute)(void *loss, assay_tape *tape, const assay_clock *clock,
                             const assay_batch *batch, const assay_outputs *outputs);
    /* Optional: how many targets the mean of this batch is over; NULL: its samples. */
    double (*targets)(void *loss, const assay_batch *batch, const assay_outputs *outputs);
    /* Optional, both or none: queues and the like. */
    bool (*save)(void *loss, const assay_state_writer *out, assay_error *error);
    bool (*load)(void *loss, const assay_state_reader *in, assay_error *error);
    /* Optional: once, before a run's first step (never when a run goes on): a start for the loss's
     * own parameters that depends on the data. The same data gives the same bits. */
    bool (*prepare)(void *loss, const assay_loss_start *start, assay_error *error);
} assay_loss_functions;

#endif
