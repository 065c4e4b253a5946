/* fuzz_safetensors.c - libFuzzer's entry point for the safetensors reader.
 *
 * Any bytes either fail to open with a reason, or open as a file that keeps every promise; all else
 * ends the process, which the fuzzer reports with the input that did it. */
#include "weights/from_bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    assay_error error = {0};
    assay_weights *weights = open_bytes(bytes, count, &error);
    bool ok = weights != NULL ? is_consistent(weights) : error.what[0] != '\0';
    assay_weights_close(weights);
    if (!ok)
        abort();
    return 0;
}
