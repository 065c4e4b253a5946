/* devices/test_gpu_code.c - what the real CUDA module holds for a GPU: every kernel file as code
 * for sm_80 and for sm_90, and as PTX that a driver compiles for what comes later. The module is
 * named by ASSAY_TEST_MODULE.
 *
 * nvcc leaves one "fat binary" per file in the module: a header (magic number, version, its own
 * length, the length of what follows) and entries with headers of their own (kind: 1 PTX, 2 code;
 * length of the header; length of the content; at byte 28 the architecture). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 4, HEADER = 16, ENTRY_HEADER = 32, PTX = 1, CODE = 2 };

typedef struct found {
    int files, code_80, code_90, ptx_90, others;
} found;

static uint64_t number_at(const unsigned char *p, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

static void count_entry(found *f, uint64_t kind, uint64_t architecture)
{
    if (kind == CODE && architecture == 80)
        f->code_80++;
    else if (kind == CODE && architecture == 90)
        f->code_90++;
    else if (kind == PTX && architecture == 90)
        f->ptx_90++;
    else
        f->others++;
}

/* The entries of the fat binary at p, or false when what stands there is none. */
static bool count_entries(found *f, const unsigned char *p, size_t bytes)
{
    if (bytes < HEADER || number_at(p + 6, 2) != HEADER)
        return false;
    uint64_t left = number_at(p + 8, 8);
    if (left > bytes - HEADER)
        return false;
    for (p += HEADER; left >= ENTRY_HEADER;) {
        uint64_t header = number_at(p + 4, 4), content = number_at(p + 8, 8);
        if (header < ENTRY_HEADER || header > left || content > left - header)
            return false;
        count_entry(f, number_at(p, 2), number_at(p + 28, 4));
        p += header + content;
        left -= header + content;
    }
    f->files++;
    return left == 0;
}

static unsigned char *read_module(size_t *bytes)
{
    const char *path = getenv("ASSAY_TEST_MODULE");
    assert_non_null(path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size > 0);
    rewind(file);
    unsigned char *all = malloc((size_t)size);
    assert_non_null(all);
    assert_int_equal(fread(all, 1, (size_t)size, file), (size_t)size);
    assert_int_equal(fclose(file), 0);
    *bytes = (size_t)size;
    return all;
}

static void every_file_is_there_for_both_gpus_and_as_ptx(void **state)
{
    static const unsigned char magic[MAGIC_BYTES] = {0x50, 0xed, 0x55, 0xba};
    size_t bytes = 0;
    found f = {0};
    (void)state;
    unsigned char *all = read_module(&bytes);
    for (size_t at = 0; at + MAGIC_BYTES <= bytes; at++)
        if (memcmp(all + at, magic, MAGIC_BYTES) == 0)
            (void)count_entries(&f, all + at, bytes - at);
    free(all);
    print_message("# %d files of kernels\n", f.files);
    assert_int_equal(f.files, KERNEL_FILES);
    assert_int_equal(f.code_80, KERNEL_FILES);
    assert_int_equal(f.code_90, KERNEL_FILES);
    assert_int_equal(f.ptx_90, KERNEL_FILES);
    assert_int_equal(f.others, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_there_for_both_gpus_and_as_ptx),
    };
    return cmocka_run_group_tests_name("gpu code", tests, NULL, NULL);
}
