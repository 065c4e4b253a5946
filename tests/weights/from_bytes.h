/* from_bytes.h - for tests of the reader: files made of bytes in memory, and what must hold for
 * every file that opens. */
#ifndef ASSAY_TESTS_WEIGHTS_FROM_BYTES_H
#define ASSAY_TESTS_WEIGHTS_FROM_BYTES_H

#include <assay/memory.h>
#include <assay/weights.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Puts HEADER, padded to a multiple of 8, and `data_bytes` of DATA into out[capacity] as a file;
 * returns its length, or 0 when it does not fit. */
static inline size_t file_bytes(const char *header, const void *data, size_t data_bytes,
                                uint8_t *out, size_t capacity)
{
    uint64_t length = (strlen(header) + 7) / 8 * 8;
    if (8 + length + data_bytes > capacity)
        return 0;
    memcpy(out, &length, 8);
    memset(out + 8, ' ', (size_t)length);
    memcpy(out + 8, header, strlen(header));
    if (data_bytes > 0)
        memcpy(out + 8 + length, data, data_bytes);
    return 8 + (size_t)length + data_bytes;
}

/* Opens the bytes as a file that has no name on any disk. */
static inline assay_weights *open_bytes(const uint8_t *bytes, size_t count, assay_error *error)
{
    char path[64];
    assay_weights *weights = NULL;
    int fd = memfd_create("weights", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, bytes, count) == (ssize_t)count)
        weights = assay_weights_open(path, error);
    close(fd);
    return weights;
}

/* Opens HEADER and DATA as file_bytes puts them together; at most 256 KiB. */
static inline assay_weights *open_made(const char *header, const void *data, size_t data_bytes,
                                       assay_error *error)
{
    static uint8_t file[1 << 18];
    size_t count = file_bytes(header, data, data_bytes, file, sizeof file);
    return count > 0 ? open_bytes(file, count, error) : NULL;
}

/* Whether an open file keeps its promises: tensors that tile the data, counts that follow from
 * shapes, names that are found, and values that can be read. Reading them is the point: a wrong
 * offset is a fault that a sanitizer sees. */
static inline bool is_consistent(const assay_weights *weights)
{
    static const int64_t size_of[] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1};
    const uint8_t *end = NULL;
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        int64_t count = 1;
        for (int axis = 0; axis < stored->rank; axis++)
            count *= stored->shape[axis];
        if (count != stored->count || stored->bytes != count * size_of[stored->dtype] ||
            (end != NULL && stored->data != end) ||
            assay_weights_find(weights, stored->name) != stored)
            return false;
        end = (const uint8_t *)stored->data + stored->bytes;
        double *values = assay_alloc(count * (int64_t)sizeof(double), NULL);
        if (values == NULL)
            return false;
        assay_stored_doubles(stored, values);
        assay_free(values);
    }
    return true;
}

#endif
