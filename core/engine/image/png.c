/* png.c - PNG by libpng: pictures, label images whose numbers stay as they are, and writing.
 *
 * The image's memory is taken only when the file is large enough to hold what its header promises:
 * deflate makes at most 1032 bytes of one. libpng reports by longjmp; everything that outlives a
 * jump is in one struct, and each jump ends in the function that set its mark. */
#include "engine/image/codec.h"

#include <assay/file.h>

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#define DEFLATE_MOST 1032

static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

bool is_png(const image_source *source)
{
    return source->bytes >= 8 && memcmp(source->data, signature, sizeof signature) == 0;
}

static int64_t get_u32(const uint8_t *at)
{
    return (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

bool look_png(assay_image_header *out, const image_source *source, assay_error *error)
{
    static const int channels[7] = {1, 0, 3, 1, 2, 0, 4};
    const uint8_t *data = source->data;
    if (source->bytes < 33 || memcmp(data + 12, "IHDR", 4) != 0)
        return image_fail(source, "the PNG has no header", NULL, error);
    int kind = data[25], bits = data[24];
    if (kind > 6 || channels[kind] == 0 || bits < 1 || bits > 16)
        return image_fail(source, "the PNG's header is malformed", NULL, error);
    *out = (assay_image_header){.width = get_u32(data + 16),
                                .height = get_u32(data + 20),
                                .channels = channels[kind],
                                .bits = bits,
                                .palette = kind == 3};
    return true;
}

/* ---- reading ---- */

typedef struct reader {
    const image_source *source;
    int64_t at;
    bool stored;
    png_structp png;
    png_infop info;
    uint8_t *pixels;
    png_bytep *rows;
    int64_t height, row_bytes;
    char why[96];
    assay_error *error;
} reader;

static void take_bytes(png_structp png, png_bytep out, size_t bytes)
{
    reader *r = png_get_io_ptr(png);
    if ((int64_t)bytes > r->source->bytes - r->at)
        png_error(png, "the file ends too early");
    memcpy(out, r->source->data + r->at, bytes);
    r->at += (int64_t)bytes;
}

static void note_error(png_structp png, png_const_charp why)
{
    char *out = png_get_error_ptr(png);
    snprintf(out, 96, "%s", why);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void choose_form(reader *r)
{
    png_set_user_limits(r->png, (png_uint_32)ASSAY_IMAGE_SIDE, (png_uint_32)ASSAY_IMAGE_SIDE);
    png_read_info(r->png, r->info);
    if (r->stored)
        png_set_packing(r->png);
    else
        png_set_expand(r->png);
    if (png_get_bit_depth(r->png, r->info) == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        png_set_swap(r->png);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->height = (int64_t)png_get_image_height(r->png, r->info);
    r->row_bytes = (int64_t)png_get_rowbytes(r->png, r->info);
}

static bool take_memory(reader *r)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, r->row_bytes, r->height))
        return ASSAY_FAIL(r->error, ASSAY_NO_MEMORY, .where = r->source->name,
                          .what = "the picture is too large");
    r->pixels = assay_alloc(bytes, r->error);
    r->rows = assay_alloc(r->height * (int64_t)sizeof *r->rows, r->error);
    if (r->pixels == NULL || r->rows == NULL)
        return false;
    for (int64_t y = 0; y < r->height; y++)
        r->rows[y] = r->pixels + y * r->row_bytes;
    return true;
}

static bool read_all(reader *r)
{
    if (setjmp(png_jmpbuf(r->png)))
        return false;
    png_set_read_fn(r->png, r, take_bytes);
    choose_form(r);
    if (!take_memory(r))
        return false;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return true;
}

static bool is_large_enough(const image_source *source, assay_error *error)
{
    assay_image_header h = {0};
    if (!look_png(&h, source, error))
        return false;
    int64_t raw = h.height * ((h.width * h.channels * h.bits + 7) / 8);
    return raw / DEFLATE_MOST <= source->bytes ||
           image_fail(source, "the picture is truncated", "a file as large as its header promises",
                      error);
}

bool read_png(image_pixels *out, const image_source *source, bool stored, assay_error *error)
{
    reader r = {.source = source, .stored = stored, .error = error};
    bool ok = false;
    if (!is_large_enough(source, error))
        return false;
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r.why, note_error, ignore_warning);
    if (r.png != NULL)
        r.info = png_create_info_struct(r.png);
    if (r.info == NULL)
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = source->name, .what = "no memory for libpng");
    else
        ok = read_all(&r);
    if (ok)
        *out = (image_pixels){.width = png_get_image_width(r.png, r.info),
                              .height = r.height,
                              .channels = png_get_channels(r.png, r.info),
                              .bits = png_get_bit_depth(r.png, r.info) == 16 ? 16 : 8,
                              .data = r.pixels};
    else if (r.why[0] != '\0')
        ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = source->name,
                   .what = "the PNG is truncated or damaged", .got = r.why);
    if (!ok)
        assay_free(r.pixels);
    assay_free(r.rows);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return ok;
}

/* ---- writing ---- */

/* To a file, or to memory when there is none. */
typedef struct writer {
    assay_publisher *file;
    uint8_t *data; /* owned */
    int64_t bytes, room;
    png_structp png;
    png_infop info;
    char why[96];
    assay_error *error;
} writer;

static bool keep_bytes(writer *w, const uint8_t *data, int64_t bytes)
{
    if (bytes > w->room - w->bytes) {
        const int64_t room = 2 * (w->bytes + bytes) + 4096;
        uint8_t *larger = assay_alloc(room, w->error);
        if (larger == NULL)
            return false;
        if (w->bytes > 0)
            memcpy(larger, w->data, (size_t)w->bytes);
        assay_free(w->data);
        w->data = larger;
        w->room = room;
    }
    memcpy(w->data + w->bytes, data, (size_t)bytes);
    w->bytes += bytes;
    return true;
}

static void give_bytes(png_structp png, png_bytep data, size_t bytes)
{
    writer *w = png_get_io_ptr(png);
    if (w->file == NULL ? !keep_bytes(w, data, (int64_t)bytes)
                        : !assay_publish_write(w->file, data, (int64_t)bytes, w->error))
        png_error(png, "writing failed");
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static bool write_all(writer *w, const assay_image *image)
{
    if (setjmp(png_jmpbuf(w->png)))
        return false;
    png_set_write_fn(w->png, w, give_bytes, flush_nothing);
    png_set_IHDR(w->png, w->info, (png_uint_32)image->width, (png_uint_32)image->height,
                 image->bits, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    if (image->bits == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        png_set_swap(w->png);
    for (int64_t y = 0; y < image->height; y++)
        png_write_row(w->png, (png_const_bytep)image->data + y * image->width * (image->bits / 8));
    png_write_end(w->png, NULL);
    return true;
}

/* The whole of it, to where the writer says. `where` is for messages. */
static bool write_png(writer *w, const assay_image *image, const char *where)
{
    bool ok = false;
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w->why, note_error, ignore_warning);
    if (w->png != NULL)
        w->info = png_create_info_struct(w->png);
    if (w->info == NULL)
        ASSAY_FAIL(w->error, ASSAY_NO_MEMORY, .where = where, .what = "no memory for libpng");
    else
        ok = write_all(w, image);
    if (!ok && w->why[0] != '\0')
        ASSAY_FAIL(w->error, ASSAY_IO, .where = where, .what = "the PNG cannot be written",
                   .got = w->why);
    png_destroy_write_struct(&w->png, &w->info);
    return ok;
}

bool assay_image_write(const assay_image *image, const char *path, assay_error *error)
{
    writer w = {.error = error};
    w.file = assay_publish_begin(path, error);
    if (w.file == NULL)
        return false;
    if (write_png(&w, image, path))
        return assay_publish_commit(w.file, error);
    assay_publish_abandon(w.file);
    return false;
}

bool assay_image_encode(const assay_image *image, void **data, int64_t *bytes, assay_error *error)
{
    writer w = {.error = error};
    if (!write_png(&w, image, "image")) {
        assay_free(w.data);
        return false;
    }
    *data = w.data;
    *bytes = w.bytes;
    return true;
}
