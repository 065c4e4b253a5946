/* six.c - users of six sources for the tests of the model. */
#include "models/six.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char *const six_names[SIX_SOURCES] = {"bill", "app", "minipro", "sousuo", "spm"};
static const char *const time_names[SIX_SOURCES] = {"bill.time", "app.time", "minipro.time",
                                                    "sousuo.time", "spm.time"};

static const char *fingerprint(void *user)
{
    (void)user;
    return "six";
}

static const assay_field *all_fields(void *user, int *count)
{
    *count = 2 * SIX_SOURCES + 3;
    return ((const six *)user)->fields;
}

static int64_t count_of(void *user, assay_data_split split, int benchmark)
{
    (void)user;
    (void)split;
    (void)benchmark;
    return SIX_USERS;
}

static int64_t slots_of(void *user, int field)
{
    return field < 2 * SIX_SOURCES && field % 2 == 0 ? ((const six *)user)->slots[field / 2] : 0;
}

static void *room(assay_arena *arena, int64_t bytes)
{
    void *block = assay_arena_alloc(arena, bytes, NULL);
    assert_non_null(block);
    memset(block, 0, (size_t)bytes);
    return block;
}

/* The next line of *text, which moves behind it; its length. */
static int64_t next_line(const char **text, const char **line)
{
    size_t length = strcspn(*text, "\n");
    *line = *text;
    *text += length + ((*text)[length] == '\n');
    return (int64_t)length;
}

static void put_source(const six *from, int64_t b, int s, assay_arena *arena,
                       assay_field_value *values)
{
    const char *own = from->texts[b][s], *line = NULL;
    int64_t n = from->events[b][s];
    int64_t *offsets = room(arena, (n + 1) * (int64_t)sizeof *offsets);
    char *bytes = room(arena, 64 * (n + 1));
    float *times = room(arena, (n + 1) * (int64_t)sizeof *times);
    for (int64_t e = 0; e < n; e++) {
        int64_t length = 0;
        if (own) {
            length = next_line(&own, &line);
            assert_true(length < 64);
            memcpy(bytes + offsets[e], line, (size_t)length);
        } else {
            length = snprintf(bytes + offsets[e], 64, "%s item%dx%d", six_names[s], (int)b, (int)e);
        }
        offsets[e + 1] = offsets[e] + length;
        times[e] = (float)(n - e);
    }
    values[2 * s] = (assay_field_value){
        .data = bytes, .offsets = offsets, .shape = {n, ASSAY_RAGGED}, .present = true};
    values[2 * s + 1] = (assay_field_value){.data = times, .shape = {n}, .present = true};
}

static void put_text(const char *text, assay_field_value *value)
{
    if (text)
        *value =
            (assay_field_value){.data = text, .shape = {(int64_t)strlen(text)}, .present = true};
}

static bool sample_of(void *user, assay_data_split split, int benchmark, int64_t index,
                      const assay_draw *draw, assay_arena *arena, assay_sample *out,
                      assay_error *error)
{
    const six *from = user;
    (void)split;
    (void)benchmark;
    (void)draw;
    (void)error;
    assay_field_value *values = room(arena, (2 * SIX_SOURCES + 3) * (int64_t)sizeof *values);
    float *features = room(arena, from->features * (int64_t)sizeof *features);
    for (int s = 0; s < SIX_SOURCES; s++)
        put_source(from, index, s, arena, values);
    for (int64_t k = 0; k < from->features; k++)
        features[k] = from->numbers[index] ? from->numbers[index][k]
                                           : (float)((index + 2) * (k + 1) % 7) / 7.0f - 0.4f;
    values[2 * SIX_SOURCES] =
        (assay_field_value){.data = features, .shape = {from->features}, .present = true};
    put_text(from->question[index], &values[2 * SIX_SOURCES + 1]);
    put_text(from->answer[index], &values[2 * SIX_SOURCES + 2]);
    *out = (assay_sample){.values = values, .index = index, .label = -1};
    return true;
}

void six_open(six *out, int64_t features)
{
    static const int64_t slots[SIX_SOURCES] = {4, 3, 3, 2, 3};
    *out = (six){.features = features,
                 .functions = {.size = sizeof(assay_dataset_functions),
                               .fingerprint = fingerprint,
                               .fields = all_fields,
                               .count = count_of,
                               .sample = sample_of,
                               .slots = slots_of}};
    for (int s = 0; s < SIX_SOURCES; s++) {
        out->slots[s] = slots[s];
        out->fields[2 * s] = (assay_field){six_names[s], ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
        out->fields[2 * s + 1] = (assay_field){time_names[s], ASSAY_F32, 1, {ASSAY_RAGGED}};
    }
    out->fields[2 * SIX_SOURCES] = (assay_field){"features", ASSAY_F32, 1, {features}};
    out->fields[2 * SIX_SOURCES + 1] = (assay_field){"query", ASSAY_U8, 1, {ASSAY_RAGGED}};
    out->fields[2 * SIX_SOURCES + 2] = (assay_field){"answer", ASSAY_U8, 1, {ASSAY_RAGGED}};
    for (int b = 0; b < SIX_USERS; b++) {
        for (int s = 0; s < SIX_SOURCES; s++)
            out->events[b][s] = (b + s) % 3 + (s == 0);
        out->question[b] = b % 2 ? "Will it rain?" : "What comes next?";
        out->answer[b] = b % 2 ? "No rain" : "Much rain comes";
    }
    out->data = (assay_data){
        .size = sizeof out->data, .name = "six", .functions = &out->functions, .dataset = out};
}
