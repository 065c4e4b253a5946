/* engine/weights/safetensors.h - what the reader and the writer of safetensors files share. */
#ifndef ASSAY_ENGINE_WEIGHTS_SAFETENSORS_H
#define ASSAY_ENGINE_WEIGHTS_SAFETENSORS_H

#include <assay/weights.h>

#include <stdbool.h>
#include <stdint.h>

/* Lengths, offsets and values are little endian in the file and are copied as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors needs a little-endian host");

/* Bytes of the header length that opens a file. */
#define ASSAY_SAFETENSORS_PREFIX 8
/* The limit of the reference implementation; the writer keeps it so that its files can be read. */
#define ASSAY_SAFETENSORS_MAX_HEADER 100000000
/* The one name of the header that is no tensor: an object of strings. */
#define ASSAY_SAFETENSORS_METADATA "__metadata__"

/* Bytes of one stored element: 1 .. 8. */
int64_t stored_dtype_size(assay_stored_dtype dtype);
/* The dtype of that name in a header; false when there is none. */
bool stored_dtype_parse(const char *name, assay_stored_dtype *out);

#endif
