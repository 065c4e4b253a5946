/* exchanging.h - a published folder through our stack and out again (exchange.c,
 * test_published.c). */
#ifndef TESTS_WEIGHTS_EXCHANGING_H
#define TESTS_WEIGHTS_EXCHANGING_H

#include <assay/weights.h>

typedef struct exchange_request {
    const char *in, *ids, *out;
    const char *adapter; /* a PEFT folder, or NULL */
    assay_stored_dtype dtype;
    int64_t shard_bytes;
} exchange_request;

bool exchange(const exchange_request *request, assay_error *error);

#endif
