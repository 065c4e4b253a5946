/* exchange.c - loads a published folder into a stack, computes on it, and saves it again: our side
 * of scripts/reference/hf_exchange.py, and of test_published.c.
 *
 *     exchange IN IDS OUT [DTYPE [SHARD_BYTES [ADAPTER]]]
 *
 * IDS holds "ids" (B, T) i32 and "lengths" (B) i32. OUT gets config.json, the weights in DTYPE
 * (F32, F16, BF16) and values.safetensors with "hidden" and, of a decoder with a head, "logits";
 * with ADAPTER, a PEFT folder, "hidden" is of the adapted stack, OUT/adapter holds the adapter
 * again, and the weights are merged. */
#include "weights/exchanging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    assay_error error = {0};
    char text[1200];
    exchange_request request = {.dtype = ASSAY_STORED_F32};
    if (argc < 4 || argc > 7) {
        fprintf(stderr, "usage: exchange IN IDS OUT [DTYPE [SHARD_BYTES [ADAPTER]]]\n");
        return 2;
    }
    request.in = argv[1];
    request.ids = argv[2];
    request.out = argv[3];
    for (int i = ASSAY_STORED_F32; argc > 4 && i <= ASSAY_STORED_BF16; i++)
        if (strcmp(argv[4], assay_stored_dtype_name((assay_stored_dtype)i)) == 0)
            request.dtype = (assay_stored_dtype)i;
    request.shard_bytes = argc > 5 ? strtoll(argv[5], NULL, 10) : 0;
    request.adapter = argc > 6 ? argv[6] : NULL;
    if (exchange(&request, &error))
        return 0;
    fprintf(stderr, "exchange: %s\n", assay_error_format(&error, text, sizeof text));
    return 1;
}
