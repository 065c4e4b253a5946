/* files.c - pictures from files: the header first, then the limits, then the pixels made gray. */
#include "engine/image/codec.h"

#include <assay/file.h>

#include <string.h>

bool image_fail(const image_source *source, const char *what, const char *why, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = source->name, .what = what, .expected = why);
}

static bool look(assay_image_header *out, const image_source *source, assay_error *error)
{
    assay_image_header header = {0};
    if (source->bytes == 0)
        return image_fail(source, "the file is empty", "PNG, JPEG or BMP", error);
    if (!(is_png(source) ? look_png(&header, source, error) : look_stb(&header, source, error)))
        return false;
    if (header.width < 1 || header.height < 1)
        return image_fail(source, "the picture has no pixels", NULL, error);
    if (header.width > ASSAY_IMAGE_SIDE || header.height > ASSAY_IMAGE_SIDE ||
        header.width * header.height > ASSAY_IMAGE_PIXELS)
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = source->name, .what = "the picture is too large",
            .expected = assay_text("sides up to %lld and up to %lld pixels",
                                   (long long)ASSAY_IMAGE_SIDE, (long long)ASSAY_IMAGE_PIXELS),
            .got = assay_text("%lld x %lld", (long long)header.width, (long long)header.height));
    *out = header;
    return true;
}

/* Maps a file of at most ASSAY_IMAGE_BYTES. */
static bool map_source(const char *path, assay_mapping *mapping, image_source *out,
                       assay_error *error)
{
    if (!assay_map(path, mapping, error))
        return false;
    *out = (image_source){mapping->data, mapping->bytes, path};
    if (mapping->bytes <= ASSAY_IMAGE_BYTES)
        return true;
    assay_unmap(mapping);
    return image_fail(out, "the file is too large for a picture", NULL, error);
}

bool assay_image_look(assay_image_header *out, const char *path, assay_error *error)
{
    assay_mapping mapping = {0};
    image_source source = {0};
    if (!map_source(path, &mapping, &source, error))
        return false;
    bool ok = look(out, &source, error);
    assay_unmap(&mapping);
    return ok;
}

/* ---- gray ---- */

static uint64_t luma_of(uint64_t r, uint64_t g, uint64_t b)
{
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}

static void make_gray(const assay_image *out, const image_pixels *in, int channel)
{
    int64_t count = in->width * in->height, step = in->channels;
    bool mixes = channel == ASSAY_LUMA && step >= 3;
    int64_t which = channel == ASSAY_LUMA ? 0 : channel;
    if (in->bits == 8) {
        const uint8_t *from = in->data;
        uint8_t *to = out->data;
        for (int64_t i = 0; i < count; i++, from += step)
            to[i] = mixes ? (uint8_t)luma_of(from[0], from[1], from[2]) : from[which];
    } else {
        const uint16_t *from = in->data;
        uint16_t *to = out->data;
        for (int64_t i = 0; i < count; i++, from += step)
            to[i] = mixes ? (uint16_t)luma_of(from[0], from[1], from[2]) : from[which];
    }
}

static bool check_channel(const assay_image_header *header, int channel, const image_source *source,
                          assay_error *error)
{
    if (channel >= ASSAY_LUMA && channel < header->channels)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = source->name,
                      .what = assay_text("the picture has no channel %d", channel),
                      .got = assay_text("%d channels", header->channels));
}

static bool decode(assay_image *out, const image_source *source, int channel, bool stored,
                   assay_arena *arena, assay_error *error)
{
    assay_image_header header = {0};
    image_pixels pixels = {0};
    assay_image made = {0};
    if (!look(&header, source, error) || !check_channel(&header, channel, source, error))
        return false;
    stored = stored || (header.palette && channel != ASSAY_LUMA);
    bool ok = is_png(source) ? read_png(&pixels, source, stored, error)
                             : read_stb(&pixels, source, error);
    if (ok && (pixels.width != header.width || pixels.height != header.height))
        ok = image_fail(source, "the picture's header is malformed", NULL, error);
    ok = ok && assay_image_new(&made, pixels.width, pixels.height, pixels.bits, arena, error);
    if (ok) {
        make_gray(&made, &pixels, channel);
        *out = made;
    }
    assay_free(pixels.data);
    return ok;
}

bool assay_image_decode(assay_image *out, const void *data, int64_t bytes, const char *name,
                        int channel, assay_arena *arena, assay_error *error)
{
    image_source source = {data, bytes, name};
    return decode(out, &source, channel, false, arena, error);
}

bool assay_image_read(assay_image *out, const char *path, int channel, assay_arena *arena,
                      assay_error *error)
{
    assay_mapping mapping = {0};
    image_source source = {0};
    if (!map_source(path, &mapping, &source, error))
        return false;
    bool ok = decode(out, &source, channel, false, arena, error);
    assay_unmap(&mapping);
    return ok;
}

static bool check_labels(const image_source *source, assay_error *error)
{
    assay_image_header header = {0};
    if (!look(&header, source, error))
        return false;
    if (!is_png(source))
        return image_fail(source, "a label image is a PNG", "palette indices or gray", error);
    if (header.channels == 1 && header.bits <= 8)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = source->name,
                      .what = "a label image has one channel of up to 8 bits",
                      .got = assay_text("%d channels of %d bits", header.channels, header.bits));
}

bool assay_image_read_labels(assay_image *out, const char *path, assay_arena *arena,
                             assay_error *error)
{
    assay_mapping mapping = {0};
    image_source source = {0};
    if (!map_source(path, &mapping, &source, error))
        return false;
    bool ok = check_labels(&source, error) && decode(out, &source, 0, true, arena, error);
    assay_unmap(&mapping);
    return ok;
}
