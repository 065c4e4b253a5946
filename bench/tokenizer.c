/* bench/tokenizer.c - the tokenizer benchmark: lines of a file to ids, one text a line, on one
 * core.
 *
 * usage: tokenizer TOKENIZER TEXT [passes]      times passes over the file, after one to warm up
 *        tokenizer --random LINES               writes lines of words that hardly ever come again
 *
 * Prints one JSON line: megabytes a second of processor time in the fastest pass, as
 * bench/peers/hf_tokenizer.py does for the same files, and a sum over the ids that both must agree
 * on. */
#include <assay/assay.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { USUAL_PASSES = 5 };

/* Processor time, so that other programs on the machine do not count. */
static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- a text without repetition ---- */

static void put_code(uint32_t code)
{
    if (code < 0x80) {
        putchar((int)code);
    } else if (code < 0x800) {
        putchar((int)(0xC0 | code >> 6));
        putchar((int)(0x80 | (code & 0x3F)));
    } else {
        putchar((int)(0xE0 | code >> 12));
        putchar((int)(0x80 | (code >> 6 & 0x3F)));
        putchar((int)(0x80 | (code & 0x3F)));
    }
}

static int write_random(int64_t lines)
{
    static const struct {
        uint32_t first;
        int64_t count;
    } alphabets[] = {{'a', 26},  {'a', 26},   {'A', 26},      {'0', 10},
                     {0xE0, 23}, {0x430, 32}, {0x4E00, 5000}, {0xAC00, 2000}};
    for (int64_t line = 0; line < lines; line++) {
        assay_stream stream = assay_stream_of(1, "bench/text", (uint64_t)line);
        uint64_t drawn = 0;
        int64_t words = 4 + assay_random_below(stream, drawn++, 16);
        for (int64_t word = 0; word < words; word++) {
            int64_t alphabet = assay_random_below(stream, drawn++, 8);
            int64_t letters = 1 + assay_random_below(stream, drawn++, 11);
            if (word > 0)
                putchar(' ');
            for (int64_t i = 0; i < letters; i++)
                put_code(alphabets[alphabet].first +
                         (uint32_t)assay_random_below(stream, drawn++, alphabets[alphabet].count));
        }
        putchar('\n');
    }
    return 0;
}

/* ---- timing ---- */

typedef struct pass {
    double seconds;
    int64_t ids;
    uint64_t sum; /* of id times place, modulo 2^32 */
} pass;

static bool encode_all(const assay_tokenizer *of, const char *text, int64_t bytes, pass *out,
                       assay_error *error)
{
    assay_ids ids = {0};
    bool ok = true;
    *out = (pass){0};
    double begun = seconds_now();
    for (int64_t at = 0; ok && at < bytes;) {
        const char *end = memchr(text + at, '\n', (size_t)(bytes - at));
        int64_t length = (end != NULL ? end - text : bytes) - at;
        ids.count = 0;
        ok = assay_tokenizer_encode(of, text + at, length, false, &ids, error);
        for (int64_t i = 0; ok && i < ids.count; i++)
            out->sum += (uint64_t)ids.items[i] * (uint64_t)(i + 1);
        out->ids += ids.count;
        at += length + 1;
    }
    out->seconds = seconds_now() - begun;
    out->sum &= UINT32_MAX;
    assay_ids_free(&ids);
    return ok;
}

static int fail(const assay_error *error)
{
    char line[1200];
    fprintf(stderr, "tokenizer: %s\n", assay_error_format(error, line, sizeof line));
    return 1;
}

int main(int argc, char **argv)
{
    assay_error error = {0};
    if (argc == 3 && strcmp(argv[1], "--random") == 0)
        return write_random(atoll(argv[2]));
    if (argc < 3)
        return 2;
    int passes = argc > 3 ? atoi(argv[3]) : USUAL_PASSES;
    int64_t bytes = 0;
    assay_tokenizer *of = assay_tokenizer_open(argv[1], &error);
    char *text = of != NULL ? assay_read_file(argv[2], (int64_t)1 << 30, &bytes, &error) : NULL;
    pass best = {0}, now;
    bool ok = text != NULL;
    for (int i = 0; ok && i <= passes; i++) { /* the first one warms up */
        ok = encode_all(of, text, bytes, &now, &error);
        if (ok && (i == 1 || (i > 1 && now.seconds < best.seconds)))
            best = now;
    }
    if (ok)
        printf("{\"peer\": \"assay\", \"mb_per_s\": %.3f, \"ids\": %" PRId64 ", \"sum\": %" PRIu64
               "}\n",
               (double)bytes / best.seconds / 1e6, best.ids, best.sum);
    assay_free(text);
    assay_tokenizer_free(of);
    return ok ? 0 : fail(&error);
}
