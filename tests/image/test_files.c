/* test_files.c - pictures from files: formats, gray, labels, and files that are wrong or
 * hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <zlib.h>

#include <assay/file.h>
#include <assay/image.h>

#define MOST 65536

static char folder[64];

static const char *in_folder(const char *name)
{
    return assay_text("%s/%s", folder, name);
}

/* A file in memory that grows. */
typedef struct bytes {
    uint8_t data[MOST];
    int64_t count;
} bytes;

static void add(bytes *to, const void *data, size_t count)
{
    assert_true((size_t)to->count + count <= MOST);
    memcpy(to->data + to->count, data, count);
    to->count += (int64_t)count;
}

static void add_u32(bytes *to, uint32_t value)
{
    uint8_t data[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                       (uint8_t)value};
    add(to, data, 4);
}

static void add_chunk(bytes *to, const char *kind, const void *data, size_t count)
{
    add_u32(to, (uint32_t)count);
    int64_t from = to->count;
    add(to, kind, 4);
    add(to, data, count);
    add_u32(to, (uint32_t)crc32(0, to->data + from, (uInt)(to->count - from)));
}

/* A PNG of `kind` (0 gray, 2 RGB, 3 palette, 6 RGBA) with rows as given, each behind a filter
 * byte. */
static void make_png(bytes *out, uint32_t width, uint32_t height, int bits, int kind,
                     const uint8_t *rows, size_t count)
{
    static const uint8_t palette[12] = {9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200};
    uint8_t header[13] = {0}, packed[MOST];
    uLongf packed_bytes = sizeof packed;
    out->count = 0;
    add(out, "\x89PNG\r\n\x1a\n", 8);
    for (int i = 0; i < 4; i++) {
        header[i] = (uint8_t)(width >> (24 - 8 * i));
        header[4 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    header[8] = (uint8_t)bits;
    header[9] = (uint8_t)kind;
    add_chunk(out, "IHDR", header, 13);
    if (kind == 3)
        add_chunk(out, "PLTE", palette, 12);
    assert_int_equal(compress2(packed, &packed_bytes, rows, count, 9), Z_OK);
    add_chunk(out, "IDAT", packed, packed_bytes);
    add_chunk(out, "IEND", "", 0);
}

static assay_image must_decode(const bytes *file, int channel)
{
    assay_error error = {0};
    assay_image out = {0};
    if (!assay_image_decode(&out, file->data, file->count, "test", channel, NULL, &error))
        fail_msg("%s %s", error.what, error.got);
    return out;
}

/* What decoding fails with; nothing is made, nothing is left behind. */
static assay_error must_refuse(const bytes *file, int64_t count)
{
    assay_error error = {0};
    assay_image out = {0};
    int64_t before = assay_memory_stats_get().live_blocks;
    assert_false(assay_image_decode(&out, file->data, count, "that.png", ASSAY_LUMA, NULL, &error));
    assert_int_equal(error.code, ASSAY_BAD_FILE);
    assert_string_equal(error.where, "that.png");
    assert_null(out.data);
    assert_int_equal(assay_memory_stats_get().live_blocks, before);
    return error;
}

static void colours_become_gray_as_pillow_rounds(void **state)
{
    (void)state;
    static bytes file;
    const uint8_t rows[7] = {0, 255, 0, 0, 10, 20, 30};
    make_png(&file, 2, 1, 8, 2, rows, sizeof rows);
    assay_image out = must_decode(&file, ASSAY_LUMA);
    const uint8_t expected[2] = {76, 18}; /* 76.245, 18.15 */
    assert_int_equal(out.bits, 8);
    assert_memory_equal(out.data, expected, 2);
    assay_image_free(&out);
    out = must_decode(&file, 2);
    const uint8_t blue[2] = {0, 30};
    assert_memory_equal(out.data, blue, 2);
    assay_image_free(&out);
}

static void the_fourth_channel_is_given_as_stored(void **state)
{
    (void)state;
    static bytes file;
    const uint8_t rows[9] = {0, 1, 2, 3, 40, 5, 6, 7, 80};
    make_png(&file, 2, 1, 8, 6, rows, sizeof rows);
    assay_image out = must_decode(&file, 3);
    const uint8_t expected[2] = {40, 80};
    assert_memory_equal(out.data, expected, 2);
    assay_image_free(&out);
    assay_error error = {0};
    assert_false(assay_image_decode(&out, file.data, file.count, "that.png", 4, NULL, &error));
    assert_string_equal(error.what, "the picture has no channel 4");
}

static void labels_are_the_numbers_of_the_file(void **state)
{
    (void)state;
    static bytes file;
    assay_error error = {0};
    assay_image out = {0};
    assay_image_header header = {0};
    /* Four palette indices of two bits, and the same as gray of two bits. */
    for (int kind = 0; kind <= 3; kind += 3) {
        const uint8_t rows[2] = {0, 0x1b}, expected[4] = {0, 1, 2, 3};
        make_png(&file, 4, 1, 2, kind, rows, sizeof rows);
        assert_true(assay_publish(in_folder("label.png"), file.data, file.count, &error));
        assert_true(assay_image_look(&header, in_folder("label.png"), &error));
        assert_int_equal(header.channels, 1);
        assert_int_equal(header.palette, kind == 3);
        assert_true(assay_image_read_labels(&out, in_folder("label.png"), NULL, &error));
        assert_memory_equal(out.data, expected, 4);
        assay_image_free(&out);
    }
    const uint8_t rows[4] = {0, 1, 2, 3};
    make_png(&file, 1, 1, 8, 2, rows, sizeof rows);
    assert_true(assay_publish(in_folder("label.png"), file.data, file.count, &error));
    assert_false(assay_image_read_labels(&out, in_folder("label.png"), NULL, &error));
    assert_string_equal(error.what, "a label image has one channel of up to 8 bits");
    assert_non_null(strstr(error.where, "label.png"));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    assay_error error = {0};
    for (int bits = 8; bits <= 16; bits += 8) {
        assay_image in = {0}, out = {0};
        assert_true(assay_image_new(&in, 5, 3, bits, NULL, &error));
        for (int i = 0; i < 15 * bits / 8; i++)
            ((uint8_t *)in.data)[i] = (uint8_t)(i * 83);
        assert_true(assay_image_write(&in, in_folder("out.png"), &error));
        assert_true(assay_image_read(&out, in_folder("out.png"), ASSAY_LUMA, NULL, &error));
        assert_int_equal(out.bits, bits);
        assert_memory_equal(in.data, out.data, (size_t)(15 * bits / 8));
        void *png = NULL;
        int64_t count = 0;
        assay_image_free(&out);
        assert_true(assay_image_encode(&in, &png, &count, &error));
        assert_true(assay_image_decode(&out, png, count, "png", ASSAY_LUMA, NULL, &error));
        assert_memory_equal(in.data, out.data, (size_t)(15 * bits / 8));
        assay_free(png);
        assay_image_free(&in);
        assay_image_free(&out);
    }
    assay_image in = {1, 1, 8, (uint8_t[]){3}, false};
    assert_false(assay_image_write(&in, in_folder("no/out.png"), &error));
    assert_int_equal(error.code, ASSAY_IO);
}

/* Two blocks of one gray: DC 576 = 8 (200 - 128), quantisers 1, an end of block each. */
static void make_jpeg(bytes *out)
{
    static const uint8_t start[] = {0xff, 0xd8, 0xff, 0xdb, 0, 67, 0};
    static const uint8_t rest[] = {
        0xff, 0xc0, 0,    11,  8,    0,    8, 0,    16,   1, 1, 0x11, 0, /* 16 x 8, one component */
        0xff, 0xc4, 0,    21,  0,    1,    1, 0,    0,    0, 0, 0,    0, 0, 0, 0,  0, 0, 0,
        0,    0,    10,   0,   0xff, 0xc4, 0, 20,   0x10, 1, 0, 0,    0, 0, 0, 0,  0, 0, 0,
        0,    0,    0,    0,   0,    0,    0, 0xff, 0xda, 0, 8, 1,    1, 0, 0, 63, 0, /* the scan */
        0x48, 0x09, 0xff, 0xd9};
    uint8_t ones[64];
    memset(ones, 1, sizeof ones);
    out->count = 0;
    add(out, start, sizeof start);
    add(out, ones, sizeof ones);
    add(out, rest, sizeof rest);
}

static void a_jpeg_is_read_when_it_is_whole(void **state)
{
    (void)state;
    static bytes file;
    make_jpeg(&file);
    assay_image out = must_decode(&file, ASSAY_LUMA);
    assert_int_equal(out.width, 16);
    assert_int_equal(out.height, 8);
    for (int i = 0; i < 128; i++)
        assert_int_equal(((uint8_t *)out.data)[i], 200);
    assay_image_free(&out);
    for (int64_t count = 0; count < file.count; count++)
        must_refuse(&file, count);
}

static void a_bmp_is_read_when_it_is_whole(void **state)
{
    (void)state;
    static bytes file;
    uint8_t data[54 + 16] = {'B', 'M', 70};
    data[10] = 54;
    data[14] = 40;
    data[18] = 2; /* 2 x 2, 24 bits, rows from the bottom, padded to 8 bytes */
    data[22] = 2;
    data[26] = 1;
    data[28] = 24;
    for (int i = 0; i < 3; i++)
        data[54 + i] = data[65 + i] = 90;
    file.count = 0;
    add(&file, data, sizeof data);
    assay_image out = must_decode(&file, ASSAY_LUMA);
    const uint8_t expected[4] = {0, 90, 90, 0};
    assert_memory_equal(out.data, expected, 4);
    assay_image_free(&out);
    for (int64_t count = 0; count < file.count; count++)
        must_refuse(&file, count);
}

static void a_png_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static bytes file;
    uint8_t rows[17 * 16];
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = i % 17 == 0 ? 0 : (uint8_t)(i * i * 31);
    make_png(&file, 16, 16, 8, 0, rows, sizeof rows);
    for (int64_t count = 0; count < file.count; count++)
        must_refuse(&file, count);
    file.data[60] ^= 0x40; /* in the pixels: the checksum says so */
    must_refuse(&file, file.count);
}

static void a_bomb_takes_no_memory(void **state)
{
    (void)state;
    static bytes file;
    static uint8_t rows[4 << 20];
    uint8_t small[2] = {0, 7};
    const uint32_t sides[][2] = {{200000, 1}, {30000, 30000}, {0, 5}, {0xffffffff, 0xffffffff}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        make_png(&file, sides[i][0], sides[i][1], 8, 0, small, sizeof small);
        must_refuse(&file, file.count);
    }
    /* Within the limits, but far more than the file can hold. */
    int64_t before = assay_memory_stats_get().peak_bytes;
    make_png(&file, 5000, 5000, 8, 6, small, sizeof small);
    assert_string_equal(must_refuse(&file, file.count).what, "the picture is truncated");
    /* Four megabytes behind a header of one pixel: what is not promised is not unpacked. */
    make_png(&file, 1, 1, 8, 0, rows, sizeof rows);
    assay_error error = {0};
    assay_image out = {0};
    if (assay_image_decode(&out, file.data, file.count, "that.png", ASSAY_LUMA, NULL, &error))
        assert_int_equal(out.width * out.height, 1);
    else
        assert_int_equal(error.code, ASSAY_BAD_FILE);
    assay_image_free(&out);
    assert_true(assay_memory_stats_get().peak_bytes <= before + MOST);
}

static void what_is_no_picture_is_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_image out = {0};
    static bytes file;
    static const char *const wrong[] = {"",   "hello",   "GIF89a", "\x89PNG\r\n\x1a\n",
                                        "BM", "\xff\xd8"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        file.count = 0;
        add(&file, wrong[i], strlen(wrong[i]));
        must_refuse(&file, file.count);
    }
    assert_false(assay_image_read(&out, in_folder("absent.png"), ASSAY_LUMA, NULL, &error));
    assert_non_null(strstr(error.where, "absent.png"));
    assay_error_clear(&error);
    assert_false(assay_image_read(&out, folder, ASSAY_LUMA, NULL, &error));
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/assay_image_XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(in_folder("label.png"));
    unlink(in_folder("out.png"));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_become_gray_as_pillow_rounds),
        cmocka_unit_test(the_fourth_channel_is_given_as_stored),
        cmocka_unit_test(labels_are_the_numbers_of_the_file),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_jpeg_is_read_when_it_is_whole),
        cmocka_unit_test(a_bmp_is_read_when_it_is_whole),
        cmocka_unit_test(a_png_cut_anywhere_is_refused),
        cmocka_unit_test(a_bomb_takes_no_memory),
        cmocka_unit_test(what_is_no_picture_is_refused),
    };
    return cmocka_run_group_tests_name("image_files", tests, make_folder, remove_folder);
}
