/* image.c - images in memory: making, cutting, flipping, fitting, normalising. */
#include <assay/image.h>

#include <math.h>
#include <string.h>

bool assay_image_new(assay_image *out, int64_t width, int64_t height, int bits, assay_arena *arena,
                     assay_error *error)
{
    int64_t bytes = 0;
    if (width < 1 || height < 1 || (bits != 8 && bits != 16))
        return ASSAY_FAIL(
            error, ASSAY_BAD_SHAPE, .where = "image",
            .what = "an image has sides of at least 1 and 8 or 16 bits",
            .got = assay_text("%lld x %lld, %d bits", (long long)width, (long long)height, bits));
    if (!assay_size_mul(&bytes, width, height) || !assay_size_mul(&bytes, bytes, bits / 8))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "image",
                          .what = "the image is too large");
    void *data = arena != NULL ? assay_arena_alloc(arena, bytes, error) : assay_alloc(bytes, error);
    if (data == NULL)
        return false;
    *out = (assay_image){width, height, bits, data, arena == NULL};
    return true;
}

void assay_image_free(assay_image *image)
{
    if (image == NULL)
        return;
    if (image->owned)
        assay_free(image->data);
    *image = (assay_image){0};
}

void assay_image_narrow(assay_image *image)
{
    if (image->bits != 16)
        return;
    const uint16_t *wide = image->data;
    uint8_t *narrow = image->data;
    for (int64_t i = 0; i < image->width * image->height; i++)
        narrow[i] = (uint8_t)(wide[i] >> 8);
    image->bits = 8;
}

bool assay_image_cut(assay_image *out, const assay_image *in, assay_box box, assay_arena *arena,
                     assay_error *error)
{
    assay_image cut = {0};
    int64_t size = in->bits / 8;
    if (box.x < 0 || box.y < 0 || box.width > in->width - box.x || box.height > in->height - box.y)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = "image",
                          .what = "the rectangle leaves the image");
    if (!assay_image_new(&cut, box.width, box.height, in->bits, arena, error))
        return false;
    for (int64_t y = 0; y < box.height; y++)
        memcpy((uint8_t *)cut.data + y * box.width * size,
               (const uint8_t *)in->data + ((box.y + y) * in->width + box.x) * size,
               (size_t)(box.width * size));
    *out = cut;
    return true;
}

void assay_image_flip(assay_image *image)
{
    for (int64_t y = 0; y < image->height; y++)
        for (int64_t left = 0, right = image->width - 1; left < right; left++, right--) {
            int64_t a = y * image->width + left, b = y * image->width + right;
            if (image->bits == 8) {
                uint8_t *data = image->data, kept = data[a];
                data[a] = data[b];
                data[b] = kept;
            } else {
                uint16_t *data = image->data, kept = data[a];
                data[a] = data[b];
                data[b] = kept;
            }
        }
}

void assay_image_fit(int64_t width, int64_t height, int64_t long_side, int64_t short_side,
                     int64_t *out_width, int64_t *out_height)
{
    double longer = (double)(width > height ? width : height);
    double shorter = (double)(width > height ? height : width);
    double factor = fmin((double)long_side / longer, (double)short_side / shorter);
    int64_t w = (int64_t)((double)width * factor + 0.5);
    int64_t h = (int64_t)((double)height * factor + 0.5);
    *out_width = w > 1 ? w : 1;
    *out_height = h > 1 ? h : 1;
}

/* There are only 256 values: each is worked out once, in double. */
static void make_table(double mean, double sd, float table[256])
{
    for (int v = 0; v < 256; v++)
        table[v] = (float)((v / 255.0 - mean) / sd);
}

void assay_image_normalise(const assay_image *image, double mean, double sd, float *out)
{
    float table[256];
    const uint8_t *in = image->data;
    make_table(mean, sd, table);
    for (int64_t i = 0; i < image->width * image->height; i++)
        out[i] = table[in[i]];
}

void assay_image_pad(const assay_image *image, double mean, double sd, int64_t height,
                     int64_t width, float *out)
{
    float table[256];
    const uint8_t *in = image->data;
    make_table(mean, sd, table);
    memset(out, 0, (size_t)(height * width) * sizeof *out);
    for (int64_t y = 0; y < image->height && y < height; y++)
        for (int64_t x = 0; x < image->width && x < width; x++)
            out[y * width + x] = table[in[y * image->width + x]];
}

bool assay_labels_pad(assay_image *out, const assay_image *labels, int64_t width, int64_t height,
                      uint8_t ignore, assay_arena *arena, assay_error *error)
{
    assay_image padded = {0};
    const uint8_t *in = labels->data;
    if (!assay_image_new(&padded, width, height, 8, arena, error))
        return false;
    memset(padded.data, ignore, (size_t)(width * height));
    for (int64_t y = 0; y < labels->height && y < height; y++)
        memcpy((uint8_t *)padded.data + y * width, in + y * labels->width,
               (size_t)(labels->width < width ? labels->width : width));
    *out = padded;
    return true;
}
