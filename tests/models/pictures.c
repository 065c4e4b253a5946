/* pictures.c - images of normal numbers. */
#include "models/pictures.h"

#include <assay/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const assay_field fields[] = {
    {"image", ASSAY_F32, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
};

static const char *fingerprint(void *user)
{
    (void)user;
    return "pictures";
}

static const assay_field *all_fields(void *user, int *count)
{
    (void)user;
    *count = 1;
    return fields;
}

static int64_t count_of(void *user, assay_data_split split, int benchmark)
{
    (void)split;
    (void)benchmark;
    return ((const pictures *)user)->count;
}

static bool sample_of(void *user, assay_data_split split, int benchmark, int64_t index,
                      const assay_draw *draw, assay_arena *arena, assay_sample *out,
                      assay_error *error)
{
    const pictures *p = user;
    assay_field_value *value = assay_arena_alloc(arena, (int64_t)sizeof *value, error);
    (void)split;
    (void)benchmark;
    (void)draw;
    if (!value)
        return false;
    *value = (assay_field_value){
        .data = p->pixels[index], .shape = {p->height[index], p->width[index]}, .present = true};
    *out = (assay_sample){.values = value, .index = index, .label = -1};
    return true;
}

void pictures_open(pictures *out, int64_t count, int64_t side, uint64_t seed)
{
    assert_true(count <= PICTURES_MOST && side <= PICTURES_SIDE);
    *out = (pictures){.count = count,
                      .functions = {.size = sizeof(assay_dataset_functions),
                                    .fingerprint = fingerprint,
                                    .fields = all_fields,
                                    .count = count_of,
                                    .sample = sample_of}};
    out->data = (assay_data){
        .size = sizeof out->data, .name = "pictures", .functions = &out->functions, .dataset = out};
    for (int64_t i = 0; i < count; i++) {
        out->height[i] = out->width[i] = side;
        assay_random_fill_normal(assay_stream_of(seed, "picture", (uint64_t)i), 0, side * side,
                                 out->pixels[i]);
    }
}
