/* collate.c - images of one size, side by side. */
#include "vit.h"

#include <assay/image.h>

#include <string.h>

static const char *size_text(const assay_field_value *image)
{
    return assay_text("%lld x %lld", (long long)image->shape[0], (long long)image->shape[1]);
}

/* Image b of the batch into out (S, S). */
static bool place_image(const model *m, const assay_collation *in, int64_t b, float *out,
                        assay_error *error)
{
    const assay_sample *sample = &in->samples[b];
    const assay_field_value *image = &sample->values[m->image];
    int64_t side = m->config.image;
    const char *where = assay_text("image of sample %lld", (long long)sample->index);
    if (!image->present || image->shape[0] < 1 || image->shape[1] < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where, .what = "there is no image");
    if (image->shape[0] == side && image->shape[1] == side) {
        memcpy(out, image->data, (size_t)(side * side) * sizeof *out);
        return true;
    }
    if (in->phase == ASSAY_TRAINING || !m->settings.resize)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = where,
                          .what = "its size is not the model's",
                          .expected = assay_text("%lld x %lld", (long long)side, (long long)side),
                          .got = size_text(image),
                          .hint = "the dataset's side and the model's image are one number");
    assay_resize_planes(image->data, 1, image->shape[0], image->shape[1], out, side, side,
                        ASSAY_BICUBIC);
    return true;
}

bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error)
{
    const model *m = opened;
    int64_t side = m->config.image;
    content *c = assay_arena_alloc(in->arena, (int64_t)sizeof *c, error);
    if (!c)
        return false;
    out->content = c;
    out->tokens = 0;
    out->tower_count = 0;
    if (!assay_wants_tower(in->wanted, "image"))
        return true;
    *c = (content){.masked =
                       m->settings.mask_ratio > 0 && (assay_wants(in->wanted, "image.visible") ||
                                                      assay_wants(in->wanted, "image.order"))};
    c->images =
        assay_tensor_in(in->arena, ASSAY_F32, 4, (int64_t[]){in->count, 1, side, side}, error);
    if (!c->images)
        return false;
    for (int64_t b = 0; b < in->count; b++)
        if (!place_image(m, in, b, assay_f32(c->images) + b * side * side, error))
            return false;
    out->towers[out->tower_count++] = (assay_tower){
        .name = "image", .rows = in->count, .tokens = 1 + (c->masked ? m->visible : m->patches)};
    out->tokens = in->count * out->towers[0].tokens;
    return true;
}
