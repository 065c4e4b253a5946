/* network.h - the frozen models of other stages that a run's plugins ask for
 * (assay_host.network). */
#ifndef TRAIN_NETWORK_H
#define TRAIN_NETWORK_H

#include "lab/train/assembly.h"

typedef struct networks {
    assembly_setup setup; /* of the run itself */
    assay_precision precision;
    struct teacher *teachers;
} networks;

/* Lets `host->network` give networks built beside a run of this setup, all of which is borrowed. */
void networks_init(networks *networks, train_host *host, const assembly_setup *setup,
                   assay_precision precision);
void networks_clear(networks *networks);

#endif
