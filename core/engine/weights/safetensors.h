/* engine/weights/safetensors.h - what the reader and the writer of safetensors files share. */
#ifndef ASSAY_ENGINE_WEIGHTS_SAFETENSORS_H
#define ASSAY_ENGINE_WEIGHTS_SAFETENSORS_H

#include <assay/file.h>
#include <assay/weights.h>

#include <jansson.h>

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

/* Elements first .. first + n - 1 of an f32 or bf16 tensor as F32, F16 or BF16 into `out`; false
 * when a finite value is too large for the type. */
bool stored_convert(const assay_tensor *tensor, int64_t first, int64_t n, assay_stored_dtype type,
                    void *out);

/* Whether a stored tensor can fill a parameter: its shape, and a floating type. */
bool stored_fits(const assay_stored *stored, const assay_tensor *value, assay_error *error);

/* Makes a folder in an existing one unless it is there. */
bool stored_make_folder(const char *folder, assay_error *error);

/* ---- one file ---- */

typedef struct stored_file {
    char *path;
    assay_mapping mapping;
    json_t *header;      /* owns the names and the metadata */
    const uint8_t *data; /* in the mapping, behind the header */
    int64_t data_bytes;
    int64_t count;
    assay_stored *tensors; /* in the order of the header; by_data points into it */
    const assay_stored **by_data;
} stored_file;

/* A whole file, checked as assay_weights_open says. The caller owns the result. */
stored_file *stored_file_open(const char *path, assay_error *error);
void stored_file_close(stored_file *file); /* accepts NULL */

/* assay_weights_write with floating tensors (f32, bf16) converted to `dtype`; -1: as they are. */
bool stored_write(const char *path, int64_t n, const assay_weights_item *items, int dtype,
                  int64_t n_metadata, const char *const (*metadata)[2], assay_error *error);

#endif
