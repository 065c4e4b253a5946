/* change.c - the random changes of training images. */
#include <assay/image.h>

#include <math.h>
#include <string.h>

#define NUMBERS_OF_A_SAMPLE 256

assay_chance assay_chance_of(uint64_t seed, const char *name, int64_t epoch, int64_t index)
{
    return (assay_chance){assay_stream_of(seed, name, (uint64_t)epoch),
                          (uint64_t)index * NUMBERS_OF_A_SAMPLE};
}

double assay_chance_between(assay_chance *chance, double low, double high)
{
    return low + (high - low) * (double)assay_random_uniform(chance->stream, chance->index++);
}

int64_t assay_chance_below(assay_chance *chance, int64_t n)
{
    return assay_random_below(chance->stream, chance->index++, n);
}

static bool toss(assay_chance *chance)
{
    return assay_chance_between(chance, 0, 1) < 0.5;
}

/* ---- pre-training ---- */

assay_box assay_random_box(int64_t width, int64_t height, const double scale[2],
                           const double ratio[2], assay_chance *chance)
{
    double area = (double)width * (double)height;
    for (int attempt = 0; attempt < 10; attempt++) {
        double target = area * assay_chance_between(chance, scale[0], scale[1]);
        double aspect = exp(assay_chance_between(chance, log(ratio[0]), log(ratio[1])));
        int64_t w = (int64_t)nearbyint(sqrt(target * aspect));
        int64_t h = (int64_t)nearbyint(sqrt(target / aspect));
        if (w < 1 || h < 1 || w > width || h > height)
            continue;
        int64_t y = assay_chance_below(chance, height - h + 1);
        int64_t x = assay_chance_below(chance, width - w + 1);
        return (assay_box){x, y, w, h};
    }
    int64_t w = width, h = height;
    double aspect = (double)width / (double)height;
    if (aspect < ratio[0])
        h = (int64_t)nearbyint((double)w / ratio[0]);
    else if (aspect > ratio[1])
        w = (int64_t)nearbyint((double)h * ratio[1]);
    w = w < 1 ? 1 : w > width ? width : w;
    h = h < 1 ? 1 : h > height ? height : h;
    return (assay_box){(width - w) / 2, (height - h) / 2, w, h};
}

bool assay_image_change_box(assay_image *out, const assay_image *in, assay_box box,
                            const assay_pretrain_change *change, assay_chance *chance,
                            assay_arena *arena, assay_error *error)
{
    assay_image cut = {0}, made = {0};
    bool flips = toss(chance) && change->flip;
    bool ok =
        assay_image_cut(&cut, in, box, NULL, error) &&
        assay_image_resize(&made, &cut, change->side, change->side, ASSAY_BICUBIC, arena, error);
    assay_image_free(&cut);
    if (!ok)
        return false;
    if (flips)
        assay_image_flip(&made);
    *out = made;
    return true;
}

bool assay_image_change(assay_image *out, const assay_image *in,
                        const assay_pretrain_change *change, assay_chance *chance,
                        assay_arena *arena, assay_error *error)
{
    assay_box box = assay_random_box(in->width, in->height, change->scale, change->ratio, chance);
    return assay_image_change_box(out, in, box, change, chance, arena, error);
}

/* ---- segmentation ---- */

static void adjust(assay_image *image, double factor, double more)
{
    uint8_t table[256], *data = image->data;
    for (int v = 0; v < 256; v++) {
        double value = v * factor + more;
        table[v] = value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
    }
    for (int64_t i = 0; i < image->width * image->height; i++)
        data[i] = table[data[i]];
}

void assay_image_distort(assay_image *image, assay_chance *chance)
{
    bool brightens = toss(chance);
    double more = assay_chance_between(chance, -32, 32);
    bool contrasts = toss(chance);
    double factor = assay_chance_between(chance, 0.5, 1.5);
    if (brightens)
        adjust(image, 1, more);
    if (contrasts)
        adjust(image, factor, 0);
}

/* Whether the window holds two classes or more, none of them nearly all of it. */
static bool is_mixed(const assay_image *truth, assay_box box, double most, uint8_t ignore)
{
    int64_t counts[256] = {0}, counted = 0, largest = 0;
    const uint8_t *data = truth->data;
    int classes = 0;
    for (int64_t y = box.y; y < box.y + box.height; y++)
        for (int64_t x = box.x; x < box.x + box.width; x++)
            counts[data[y * truth->width + x]]++;
    for (int c = 0; c < 256; c++) {
        if (c == ignore || counts[c] == 0)
            continue;
        classes++;
        counted += counts[c];
        largest = counts[c] > largest ? counts[c] : largest;
    }
    return classes > 1 && (double)largest < most * (double)counted;
}

static assay_box draw_window(const assay_image *truth, const assay_segment_change *change,
                             assay_chance *chance)
{
    assay_box box = {0};
    box.width = truth->width < change->side ? truth->width : change->side;
    box.height = truth->height < change->side ? truth->height : change->side;
    for (int attempt = 0; attempt < 11; attempt++) {
        box.y = assay_chance_below(chance, truth->height - box.height + 1);
        box.x = assay_chance_below(chance, truth->width - box.width + 1);
        if (change->most >= 1 || is_mixed(truth, box, change->most, change->ignore))
            break;
    }
    return box;
}

/* *image becomes what `made` holds. */
static void replace(assay_image *image, assay_image *made)
{
    assay_image_free(image);
    *image = *made;
    *made = (assay_image){0};
}

bool assay_segment_change_apply(assay_image *image, assay_image *truth,
                                const assay_segment_change *change, assay_chance *chance,
                                assay_arena *arena, assay_error *error)
{
    assay_image made = {0};
    int64_t width = 0, height = 0;
    double ratio = assay_chance_between(chance, change->ratio[0], change->ratio[1]);
    int64_t longer = (int64_t)((double)change->long_side * ratio);
    int64_t shorter = (int64_t)((double)change->short_side * ratio);
    if (image->width != truth->width || image->height != truth->height)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = "image",
                          .what = "image and labels differ in size");
    assay_image_fit(image->width, image->height, longer > 0 ? longer : 1, shorter > 0 ? shorter : 1,
                    &width, &height);
    if (!assay_image_resize(&made, image, width, height, ASSAY_BILINEAR, arena, error))
        return false;
    replace(image, &made);
    if (!assay_image_resize(&made, truth, width, height, ASSAY_NEAREST, arena, error))
        return false;
    replace(truth, &made);
    assay_box box = draw_window(truth, change, chance);
    if (!assay_image_cut(&made, image, box, arena, error))
        return false;
    replace(image, &made);
    if (!assay_image_cut(&made, truth, box, arena, error))
        return false;
    replace(truth, &made);
    if (toss(chance) && change->flip) {
        assay_image_flip(image);
        assay_image_flip(truth);
    }
    if (change->photometric)
        assay_image_distort(image, chance);
    if (!assay_labels_pad(&made, truth, change->side, change->side, change->ignore, arena, error))
        return false;
    replace(truth, &made);
    return true;
}
