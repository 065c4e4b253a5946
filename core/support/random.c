/* random.c - numbers addressed by (seed, name, step, index), by Philox4x32-10 (assay/random.h).
 *
 * How an address becomes words, so that another program can draw the same numbers:
 *
 *   key      the first 8 bytes of SHA-256(seed as 8 little-endian bytes, then the bytes of the
 *            name), read as two little-endian words
 *   counter  (block low, block high, step low, step high): one block gives four words w[0..3]
 *   bits     index i is w[i % 4] of block i / 4
 *   uniform  (bits >> 8) * 2^-24
 *   normal   indices i and i + 1, i even, share the words w[i % 4] and w[i % 4 + 1] of block i / 4
 *            as u and v: the radius sqrt(-2 ln((u + 1) 2^-32)) times the cosine (i) and the sine
 *            (i + 1) of 2 pi v 2^-32, in double, then rounded to float; u + 1 keeps the logarithm
 *            finite
 *   below    index i takes the words 2 (i % 2) (low) and 2 (i % 2) + 1 (high) of block i / 2 as one
 *            64-bit number x; the result is x n / 2^64, rounded down.
 *
 * The kinds share the words, so a stream should serve one kind of number only. */
#include <assay/hash.h>
#include <assay/random.h>

#include <math.h>
#include <string.h>

__extension__ typedef unsigned __int128 uint128;

static const double two_pi = 6.283185307179586476925286766559;

static uint32_t load_little_endian(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

assay_stream assay_stream_of(uint64_t seed, const char *name, uint64_t step)
{
    uint8_t seed_bytes[8], digest[32];
    for (int i = 0; i < 8; i++)
        seed_bytes[i] = (uint8_t)(seed >> 8 * i);
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, seed_bytes, sizeof seed_bytes);
    assay_sha256_add(&hash, name, strlen(name));
    assay_sha256_end(&hash, digest);
    return (assay_stream){
        .key = {load_little_endian(digest), load_little_endian(digest + 4)},
        .step = {(uint32_t)step, (uint32_t)(step >> 32)},
    };
}

void assay_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        /* The paper's multipliers and key increments for four words of 32 bits. */
        uint64_t p0 = UINT64_C(0xD2511F53) * c0, p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void draw_block(assay_stream stream, uint64_t block, uint32_t words[4])
{
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), stream.step[0],
                                 stream.step[1]};
    assay_philox(counter, stream.key, words);
}

static float uniform_of(uint32_t bits)
{
    return (float)(bits >> 8) * 0x1p-24f;
}

static void normals_of(uint32_t u, uint32_t v, float out[2])
{
    double radius = sqrt(-2.0 * log(((double)u + 1.0) * 0x1p-32));
    double angle = two_pi * ((double)v * 0x1p-32);
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

uint32_t assay_random_bits(assay_stream stream, uint64_t index)
{
    uint32_t words[4];
    draw_block(stream, index / 4, words);
    return words[index % 4];
}

float assay_random_uniform(assay_stream stream, uint64_t index)
{
    return uniform_of(assay_random_bits(stream, index));
}

float assay_random_normal(assay_stream stream, uint64_t index)
{
    uint32_t words[4];
    float pair[2];
    draw_block(stream, index / 4, words);
    uint64_t first = index % 4 / 2 * 2;
    normals_of(words[first], words[first + 1], pair);
    return pair[index % 2];
}

int64_t assay_random_below(assay_stream stream, uint64_t index, int64_t n)
{
    uint32_t words[4];
    draw_block(stream, index / 2, words);
    uint64_t low = words[2 * (index % 2)], high = words[2 * (index % 2) + 1];
    return (int64_t)((uint128)(high << 32 | low) * (uint64_t)n >> 64);
}

void assay_random_permutation(assay_stream stream, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = assay_random_below(stream, (uint64_t)i, i + 1);
        int64_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

/* A Feistel network of eight rounds over the numbers of `low` + `high` bits, whose round function
 * is a word of the stream at (round, half): a permutation whatever that function is. */
static uint64_t scramble(assay_stream stream, int low, int high, uint64_t x)
{
    uint64_t low_mask = (UINT64_C(1) << low) - 1, high_mask = (UINT64_C(1) << high) - 1;
    uint64_t a = x & low_mask, b = x >> low;
    for (uint64_t round = 0; round < 8; round += 2) {
        b ^= assay_random_bits(stream, round << 32 | a) & high_mask;
        a ^= assay_random_bits(stream, (round + 1) << 32 | b) & low_mask;
    }
    return b << low | a;
}

/* The network permutes a power of two that is less than twice n; numbers from n on are walked
 * through, which takes fewer than two walks on average and always ends, since the walk is a
 * cycle. */
int64_t assay_random_permuted(assay_stream stream, int64_t n, int64_t index)
{
    int bits = 0;
    uint64_t x = (uint64_t)index;
    while (bits < 62 && INT64_C(1) << bits < n)
        bits++;
    do
        x = scramble(stream, bits / 2, bits - bits / 2, x);
    while (x >= (uint64_t)n);
    return (int64_t)x;
}

/* The four numbers that one block of words gives. */
typedef void (*block_reader)(const uint32_t words[4], float out[4]);

static void read_uniforms(const uint32_t words[4], float out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = uniform_of(words[i]);
}

static void read_normals(const uint32_t words[4], float out[4])
{
    normals_of(words[0], words[1], out);
    normals_of(words[2], words[3], out + 2);
}

/* Whole blocks go straight to `out`; a part of a block at either end goes through a copy. Inlined,
 * so that each reader gets its own loop. */
static inline __attribute__((always_inline)) void fill(assay_stream stream, uint64_t first,
                                                       int64_t n, float *out, block_reader read)
{
    uint32_t words[4];
    float part[4];
    int64_t done = 0;
    while (done < n) {
        uint64_t index = first + (uint64_t)done, skipped = index % 4;
        draw_block(stream, index / 4, words);
        if (skipped == 0 && n - done >= 4) {
            read(words, out + done);
            done += 4;
            continue;
        }
        read(words, part);
        int64_t taken = 4 - (int64_t)skipped < n - done ? 4 - (int64_t)skipped : n - done;
        memcpy(out + done, part + skipped, (size_t)taken * sizeof *out);
        done += taken;
    }
}

void assay_random_fill_uniform(assay_stream stream, uint64_t first, int64_t n, float *out)
{
    fill(stream, first, n, out, read_uniforms);
}

void assay_random_fill_normal(assay_stream stream, uint64_t first, int64_t n, float *out)
{
    fill(stream, first, n, out, read_normals);
}
