/* balance.h - an order of labelled samples in which classes take turns (train.balance). */
#ifndef TRAIN_BALANCE_H
#define TRAIN_BALANCE_H

#include <assay/dataset.h>

typedef struct balance balance;

/* Of the set (split, no benchmark). Samples without a label are left out; fewer than two classes
 * are an error. `shuffle`: another order of a class's samples in each of its epochs, addressed by
 * the seed. The caller owns the result. */
balance *balance_new(const assay_data *data, assay_data_split split, uint64_t seed, bool shuffle,
                     assay_error *error);
void balance_free(balance *balance); /* accepts NULL */
/* Whether balance_new would find its two classes; labels are read until they were seen. */
bool balance_check(const assay_data *data, assay_data_split split, assay_error *error);

/* The sample at a position from 0 on, without end; `epoch`: how often its class came round. */
int64_t balance_at(balance *balance, int64_t position, int64_t *epoch);

#endif
