/* assay/assay.h - everything a plugin may include, in one line. */
#ifndef ASSAY_ASSAY_H
#define ASSAY_ASSAY_H

#include <assay/adapter.h>
#include <assay/ahead.h>
#include <assay/attention.h>
#include <assay/blocks.h>
#include <assay/dataset.h>
#include <assay/device.h>
#include <assay/error.h>
#include <assay/evaluator.h>
#include <assay/file.h>
#include <assay/gradcheck.h>
#include <assay/hash.h>
#include <assay/importance.h>
#include <assay/late.h>
#include <assay/log.h>
#include <assay/loss.h>
#include <assay/maps.h>
#include <assay/mask.h>
#include <assay/memory.h>
#include <assay/metrics.h>
#include <assay/model.h>
#include <assay/nn.h>
#include <assay/ops.h>
#include <assay/optim.h>
#include <assay/option.h>
#include <assay/plugin.h>
#include <assay/random.h>
#include <assay/stats.h>
#include <assay/tape.h>
#include <assay/tensor.h>
#include <assay/text.h>
#include <assay/weights.h>

#endif
