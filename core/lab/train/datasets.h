/* datasets.h - the pool's inside, for the files of this room. */
#ifndef TRAIN_DATASETS_H
#define TRAIN_DATASETS_H

#include "lab/train/train.h"

/* The folder for what can be made again. Borrowed. */
const char *dataset_pool_cache(const dataset_pool *pool);

/* Samples of a set; 0 for one that does not exist. */
int64_t data_count(const assay_data *data, assay_data_split split, int benchmark);

/* The split that a run with this option is trained on: pretrain where there is one, else train. */
assay_data_split data_training_split(const assay_data *data, const train_options *options);

#endif
