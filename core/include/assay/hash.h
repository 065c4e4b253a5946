/* assay/hash.h - SHA-256 (FIPS 180-4), for the identity of runs, plugins and files. */
#ifndef ASSAY_HASH_H
#define ASSAY_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct assay_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} assay_sha256;

void assay_sha256_begin(assay_sha256 *hash);
void assay_sha256_add(assay_sha256 *hash, const void *data, size_t bytes);
/* Writes the digest; the value must be begun again before another use. */
void assay_sha256_end(assay_sha256 *hash, uint8_t digest[32]);
/* 64 lower-case hex digits and a NUL. */
void assay_sha256_hex(const uint8_t digest[32], char hex[65]);
/* begin, add, end and hex in one call. */
void assay_sha256_of(const void *data, size_t bytes, char hex[65]);

#endif
