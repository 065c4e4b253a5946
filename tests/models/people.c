/* people.c - the persons of the tests, and their samples. */
#include "models/people.h"

#include "models/use.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BILL, BILL_TIME, APP, FEATURES, QUERY, ANSWER, FIELDS };

static const assay_field fields[FIELDS] = {
    {"bill", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
    {"bill.time", ASSAY_I32, 1, {ASSAY_RAGGED}},
    {"app", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}},
    {"features", ASSAY_F32, 1, {PEOPLE_FEATURES}},
    {"query", ASSAY_U8, 1, {ASSAY_RAGGED}},
    {"answer", ASSAY_U8, 1, {ASSAY_RAGGED}},
};

static const assay_benchmark benchmarks[] = {
    {"health", "sick", "", "is the person sick?", 2},
    {"health", "rich", "", "is the person rich?", 2},
};

static const char *fingerprint(void *user)
{
    return ((const people *)user)->fingerprint;
}

static const assay_field *all_fields(void *user, int *count)
{
    (void)user;
    *count = FIELDS;
    return fields;
}

static const assay_benchmark *all_benchmarks(void *user, int *count)
{
    (void)user;
    *count = 2;
    return benchmarks;
}

static int64_t slots_of(void *user, int field)
{
    (void)user;
    return field == BILL || field == APP ? PEOPLE_EVENTS : 0;
}

static int64_t count_of(void *user, assay_data_split split, int benchmark)
{
    (void)split;
    (void)benchmark;
    return ((const people *)user)->count;
}

static assay_field_value text_value(const char *text)
{
    return (assay_field_value){.data = text, .shape = {(int64_t)strlen(text)}, .present = true};
}

static assay_field_value rows_value(const person *p, int source, assay_arena *arena)
{
    int64_t n = p->events[source];
    int64_t *offsets = assay_arena_alloc(arena, (n + 1) * (int64_t)sizeof *offsets, NULL);
    char *bytes = assay_arena_alloc(arena, PEOPLE_EVENTS * PEOPLE_TEXT, NULL);
    assert_true(offsets && bytes);
    offsets[0] = 0;
    for (int64_t e = 0; e < n; e++) {
        int64_t length = (int64_t)strlen(p->text[source][e]);
        memcpy(bytes + offsets[e], p->text[source][e], (size_t)length);
        offsets[e + 1] = offsets[e] + length;
    }
    return (assay_field_value){
        .data = bytes, .offsets = offsets, .shape = {n, ASSAY_RAGGED}, .present = true};
}

static bool sample_of(void *user, assay_data_split split, int benchmark, int64_t index,
                      const assay_draw *draw, assay_arena *arena, assay_sample *out,
                      assay_error *error)
{
    const people *dataset = user;
    const person *p = &dataset->persons[index];
    (void)split;
    (void)draw;
    assay_field_value *values = assay_arena_alloc(arena, FIELDS * (int64_t)sizeof *values, error);
    if (!values)
        return false;
    memset(values, 0, FIELDS * sizeof *values);
    values[BILL] = rows_value(p, 0, arena);
    values[BILL_TIME] =
        (assay_field_value){.data = p->time, .shape = {p->events[0]}, .present = true};
    values[APP] = rows_value(p, 1, arena);
    values[FEATURES] =
        (assay_field_value){.data = p->features, .shape = {PEOPLE_FEATURES}, .present = true};
    values[QUERY] = text_value(benchmark < 0 ? p->question : benchmarks[benchmark].question);
    if (benchmark < 0 && !dataset->no_answers)
        values[ANSWER] = text_value(p->answer);
    *out = (assay_sample){.values = values,
                          .index = index,
                          .label = benchmark < 0 ? -1
                                   : benchmark   ? 1
                                                 : p->label};
    return true;
}

static bool labels_of(void *user, assay_data_split split, int benchmark, int64_t first, int64_t n,
                      int32_t *out, assay_error *error)
{
    const people *dataset = user;
    (void)split, (void)error;
    for (int64_t i = 0; i < n; i++)
        out[i] = benchmark ? 1 : dataset->persons[first + i].label;
    return true;
}

/* ---- drawing ---- */

static void draw(person *p, uint64_t seed, int64_t index)
{
    static const char *const goods[] = {"bread", "apples", "Medicine", "books", "35.20"};
    static const char *const apps[] = {"music", "maps", "doctor", "bank"};
    static const char *const ways[] = {"card", "cash"};
    assay_stream stream = assay_stream_of(seed, "person", (uint64_t)index);
    uint64_t at = 0;
    p->label = (int32_t)(index % 2);
    p->events[0] = (int)(3 + assay_random_below(stream, at++, PEOPLE_EVENTS - 3));
    p->events[1] = (int)assay_random_below(stream, at++, PEOPLE_EVENTS);
    for (int e = 0; e < p->events[0]; e++) {
        /* The sick buy medicine more often: what a probe can find. */
        int64_t sick = p->label && assay_random_below(stream, at++, 2);
        int64_t good = assay_random_below(stream, at++, 5),
                way = assay_random_below(stream, at++, 2);
        snprintf(p->text[0][e], PEOPLE_TEXT, "%s by %s", goods[sick ? 2 : good], ways[way]);
        p->time[e] = (int32_t)(30 * (p->events[0] - e));
    }
    for (int e = 0; e < p->events[1]; e++)
        snprintf(p->text[1][e], PEOPLE_TEXT, "%s", apps[assay_random_below(stream, at++, 4)]);
    for (int k = 0; k < PEOPLE_FEATURES; k++)
        p->features[k] = assay_random_normal(stream, 1000 + (uint64_t)k);
    snprintf(p->question, PEOPLE_TEXT, "%s",
             assay_random_below(stream, at++, 2) ? "Is the person sick?" : "What comes next?");
    snprintf(p->answer, PEOPLE_TEXT, "%s", p->label ? "sick, and buys medicine" : "well");
}

void people_open(people *out, int64_t count, uint64_t seed)
{
    *out = (people){.count = count,
                    .persons = calloc((size_t)count, sizeof(person)),
                    .functions = {.size = sizeof(assay_dataset_functions),
                                  .fingerprint = fingerprint,
                                  .fields = all_fields,
                                  .benchmarks = all_benchmarks,
                                  .count = count_of,
                                  .sample = sample_of,
                                  .labels = labels_of,
                                  .slots = slots_of}};
    assert_non_null(out->persons);
    snprintf(out->fingerprint, sizeof out->fingerprint, "people %llu", (unsigned long long)seed);
    for (int64_t i = 0; i < count; i++)
        draw(&out->persons[i], seed, i);
    out->data = (assay_data){
        .size = sizeof out->data, .name = "people", .functions = &out->functions, .dataset = out};
}

void people_close(people *dataset)
{
    free(dataset->persons);
}
