/* sha256.c - SHA-256 as FIPS 180-4 states it (assay/hash.h); section numbers are of that
 * standard. */
#include <assay/hash.h>

#include <string.h>

/* Section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64
 * primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static uint32_t load_big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_big_endian(uint8_t *bytes, uint64_t value, int width)
{
    for (int i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

/* Section 6.2.2, step 1. */
static void expand_schedule(uint32_t schedule[64], const uint8_t block[64])
{
    for (int t = 0; t < 16; t++)
        schedule[t] = load_big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t x = schedule[t - 15], y = schedule[t - 2];
        uint32_t sigma0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3;
        uint32_t sigma1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10;
        schedule[t] = sigma1 + schedule[t - 7] + sigma0 + schedule[t - 16];
    }
}

/* Section 6.2.2, steps 2 to 4. */
static void compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t schedule[64];
    expand_schedule(schedule, block);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t choice = (e & f) ^ (~e & g);
        uint32_t t1 = h + sum1 + choice + round_constants[t] + schedule[t];
        uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + sum0 + majority;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void assay_sha256_begin(assay_sha256 *hash)
{
    /* Section 5.3.3: fractional parts of the square roots of the first eight primes. */
    *hash = (assay_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                     0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void assay_sha256_add(assay_sha256 *hash, const void *data, size_t bytes)
{
    const uint8_t *next = data;
    size_t held = hash->bytes % 64;
    hash->bytes += bytes;
    while (bytes > 0) {
        if (held == 0 && bytes >= 64) {
            compress(hash->state, next);
            next += 64;
            bytes -= 64;
            continue;
        }
        size_t taken = bytes < 64 - held ? bytes : 64 - held;
        memcpy(hash->block + held, next, taken);
        next += taken;
        bytes -= taken;
        held = (held + taken) % 64;
        if (held == 0)
            compress(hash->state, hash->block);
    }
}

void assay_sha256_end(assay_sha256 *hash, uint8_t digest[32])
{
    /* Section 5.1.1: a one bit, zeros up to 8 bytes before a block's end, the length in bits. */
    uint64_t bits = 8 * hash->bytes;
    size_t held = hash->bytes % 64;
    uint8_t padding[72] = {0x80};
    size_t zeros_end = held < 56 ? 56 - held : 120 - held;
    store_big_endian(padding + zeros_end, bits, 8);
    assay_sha256_add(hash, padding, zeros_end + 8);
    for (int i = 0; i < 8; i++)
        store_big_endian(digest + 4 * i, hash->state[i], 4);
}

void assay_sha256_hex(const uint8_t digest[32], char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

void assay_sha256_of(const void *data, size_t bytes, char hex[65])
{
    assay_sha256 hash;
    uint8_t digest[32];
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, data, bytes);
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
}
