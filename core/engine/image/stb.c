/* stb.c - JPEG and BMP by stb_image, compiled here and nowhere else.
 *
 * stb_image takes a file that ends too early for one that goes on with zeros. A JPEG therefore has
 * to have its end marker behind its last scan, and a BMP all its rows. PNG is libpng's: stb_image's
 * inflater has no limit on what a file unpacks to. */
#include "engine/image/codec.h"

#include <limits.h>
#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 32768
/* Functions of the formats that are left out. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>

static bool is_jpeg(const image_source *source)
{
    return source->bytes > 3 && source->data[0] == 0xff && source->data[1] == 0xd8;
}

/* The place of the last marker 0xff `code`, -1 without one: inside of a scan there is none. */
static int64_t find_last(const image_source *source, uint8_t code)
{
    for (int64_t at = source->bytes - 2; at >= 0; at--)
        if (source->data[at] == 0xff && source->data[at + 1] == code)
            return at;
    return -1;
}

static int64_t get_u32(const uint8_t *at)
{
    return (int64_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                     (uint32_t)at[3] << 24);
}

/* Whether the rows that a BMP's header promises are there. */
static bool holds_rows(const image_source *source, const assay_image_header *header)
{
    if (source->bytes < 30)
        return false;
    bool old = get_u32(source->data + 14) == 12;
    const uint8_t *depth = source->data + (old ? 24 : 28);
    int64_t bits = depth[0] | depth[1] << 8;
    int64_t row = (header->width * bits + 31) / 32 * 4;
    return get_u32(source->data + 10) + row * header->height <= source->bytes;
}

bool look_stb(assay_image_header *out, const image_source *source, assay_error *error)
{
    int width = 0, height = 0, channels = 0;
    if (source->bytes > INT_MAX ||
        !stbi_info_from_memory(source->data, (int)source->bytes, &width, &height, &channels))
        return image_fail(source, "this is no picture that can be read", "PNG, JPEG or BMP", error);
    *out = (assay_image_header){
        .width = width, .height = height, .channels = channels, .bits = 8, .palette = false};
    return true;
}

static bool is_whole(const image_source *source, assay_error *error)
{
    assay_image_header header = {0};
    if (!look_stb(&header, source, error))
        return false;
    bool whole = is_jpeg(source) ? find_last(source, 0xd9) > find_last(source, 0xda)
                                 : holds_rows(source, &header);
    return whole || image_fail(source, "the picture is truncated", NULL, error);
}

bool read_stb(image_pixels *out, const image_source *source, assay_error *error)
{
    int width = 0, height = 0, channels = 0;
    if (!is_whole(source, error))
        return false;
    stbi_uc *data =
        stbi_load_from_memory(source->data, (int)source->bytes, &width, &height, &channels, 0);
    if (data == NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = source->name,
                          .what = "the picture cannot be decoded", .got = stbi_failure_reason());
    int64_t bytes = (int64_t)width * height * channels;
    void *copy = assay_alloc(bytes, error);
    if (copy != NULL) {
        memcpy(copy, data, (size_t)bytes);
        *out = (image_pixels){width, height, channels, 8, copy};
    }
    stbi_image_free(data);
    return copy != NULL;
}
