/* uqa.c - see uqa.h. */
#include "uqa.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading a history ---- */

static int by_category(const void *a, const void *b)
{
    const uqa_category *x = a, *y = b;
    return deed_compare(&x->what, &y->what);
}

/* FNV-1a of source and word. */
static uint32_t hash_of(const deed *d)
{
    uint32_t hash = 2166136261U ^ (uint32_t)d->source;
    for (int32_t i = 0; i < d->word_bytes; i++)
        hash = (hash ^ (uint8_t)d->word[i]) * 16777619U;
    return hash;
}

/* Categories in the order of their first events, found by an open table of places + 1. */
typedef struct category_list {
    uqa_category *items;
    int32_t *slots;
    int64_t mask; /* slots - 1, a power of two less one */
    int count;
} category_list;

static bool open_list(category_list *out, int64_t events, assay_arena *arena, assay_error *error)
{
    int64_t slots = 64, bytes = 0;
    while (slots < 2 * events)
        slots *= 2;
    bytes = slots * (int64_t)sizeof *out->slots;
    *out = (category_list){.mask = slots - 1};
    out->items = assay_arena_alloc(arena, events * (int64_t)sizeof *out->items, error);
    out->slots = assay_arena_alloc(arena, bytes, error);
    if (out->slots != NULL)
        memset(out->slots, 0, (size_t)bytes);
    return out->items != NULL && out->slots != NULL;
}

static uqa_category *category_of(category_list *list, const deed *d)
{
    int64_t slot = hash_of(d) & list->mask;
    for (; list->slots[slot] != 0; slot = (slot + 1) & list->mask)
        if (deed_compare(&list->items[list->slots[slot] - 1].what, d) == 0)
            return &list->items[list->slots[slot] - 1];
    list->items[list->count] = (uqa_category){.what = *d};
    list->slots[slot] = ++list->count;
    return &list->items[list->count - 1];
}

static void add_deed(uqa_sum *to, const deed *d, int third)
{
    to->last = to->count == 0 || d->time > to->last ? d->time : to->last;
    to->count++;
    to->of_third[third]++;
    if (!isnan(d->amount)) {
        to->amount += d->amount;
        to->amounts++;
    }
}

static void add_category(uqa_sum *to, const uqa_category *categories, int which)
{
    const uqa_sum *from = &categories[which].sum;
    to->last = to->count == 0 || from->last > to->last ? from->last : to->last;
    to->count += from->count;
    for (int k = 0; k < 3; k++)
        to->of_third[k] += from->of_third[k];
    to->amount += from->amount;
    to->amounts += from->amounts;
    if (to->favourite < 0 || from->count > categories[to->favourite].sum.count)
        to->favourite = which;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether `word` stands between blanks in `words`, ASCII letters of either case. */
static bool has_word(const char *words, const char *word, int64_t bytes)
{
    for (const char *at = words + 1; bytes > 0 && *at != '\0'; at++) {
        int64_t same = 0;
        while (same < bytes && *at == lower(word[same])) {
            at++;
            same++;
        }
        if (same == bytes && *at == ' ')
            return true;
        while (*at != ' ')
            at++;
    }
    return false;
}

/* Bit a: area a has the word. */
static uint32_t areas_of(const char *word, int64_t bytes)
{
    uint32_t areas = 1U << GENERAL_AREA;
    for (int a = 0; a < GENERAL_AREA; a++)
        if (has_word(uqa_areas[a].words, word, bytes))
            areas |= 1U << a;
    return areas;
}

static void sum_areas(uqa_history *out)
{
    uint32_t of_source = 0;
    for (int a = 0; a < AREAS; a++)
        out->areas[a] = (uqa_sum){.favourite = -1};
    for (int c = 0; c < out->category_count; c++) {
        const deed *what = &out->categories[c].what;
        const char *source = out->sources[what->source];
        if (c == 0 || what->source != out->categories[c - 1].what.source)
            of_source = areas_of(source, (int64_t)strlen(source));
        uint32_t areas = of_source | areas_of(what->word, what->word_bytes);
        for (int a = 0; a < AREAS; a++)
            if ((areas >> a & 1) != 0)
                add_category(&out->areas[a], out->categories, c);
    }
}

bool uqa_read(const deeds *done, double from, double until, const char *unit, assay_arena *arena,
              uqa_history *out, assay_error *error)
{
    category_list list;
    if (!open_list(&list, done->count, arena, error))
        return false;
    for (int64_t i = 0; i < done->count; i++) { /* each source's by time, so each category's too */
        const deed *d = &done->items[i];
        int third = until > from ? (int)((d->time - from) / (until - from) * 3) : 2;
        add_deed(&category_of(&list, d)->sum, d, third > 2 ? 2 : third);
    }
    qsort(list.items, (size_t)list.count, sizeof *list.items, by_category);
    *out = (uqa_history){.until = until,
                         .category_count = list.count,
                         .categories = list.items,
                         .sources = done->sources,
                         .unit = unit};
    sum_areas(out);
    return true;
}

void uqa_choose(const uqa_history *history, int out[UQA_ASKED])
{
    int picked[AREAS] = {0};
    double score[AREAS];
    for (int a = 0; a < AREAS; a++)
        score[a] = (a == GENERAL_AREA ? 0.5 : 1.0) * log1p((double)history->areas[a].count);
    for (int k = 0; k < UQA_ASKED; k++) {
        int best = -1;
        for (int a = 0; a < AREAS; a++)
            if (picked[a] < TOPICS_OF_AREA &&
                (best < 0 || score[a] - 0.5 * picked[a] > score[best] - 0.5 * picked[best]))
                best = a;
        out[k] = best * TOPICS_OF_AREA + picked[best]++;
    }
}

/* ---- facts ---- */

enum { FALLING, STEADY, RISING, TRENDS };

/* Rising: more than a quarter above the third before, and falling the same below; a difference of
 * one event is none. */
static int64_t trend_of(const uqa_sum *sum)
{
    int64_t before = sum->of_third[1], now = sum->of_third[2];
    if (4 * now > 5 * before && now > before + 1)
        return RISING;
    if (4 * before > 5 * now && before > now + 1)
        return FALLING;
    return STEADY;
}

static int64_t two_digits(double amount)
{
    int64_t whole = (int64_t)(amount + 0.5), unit = 1;
    while (whole / unit >= 100)
        unit *= 10;
    return (whole + unit / 2) / unit * unit;
}

uqa_fact uqa_fact_of(const uqa_history *history, int area, fact_kind kind)
{
    const uqa_sum *sum = &history->areas[area], *all = &history->areas[GENERAL_AREA];
    uqa_fact fact = {.kind = kind};
    switch (kind) {
    case FACT_COUNT:
        fact.value = sum->count;
        break;
    case FACT_TREND:
        fact.value = trend_of(sum);
        break;
    case FACT_SHARE:
        fact.value = (40 * sum->count + all->count) / (2 * all->count) * 5;
        break;
    case FACT_RECENCY:
        fact.value = (int64_t)floor(history->until - sum->last);
        break;
    case FACT_FAVOURITE:
        fact.value = sum->favourite;
        break;
    case FACT_AMOUNT:
        fact.value = two_digits(sum->amount);
        break;
    case FACT_LATELY:
        fact.value = sum->of_third[2];
        break;
    }
    return fact;
}

/* Another value than the true one; a lone category has no other. */
static int64_t wrong_value(const uqa_history *history, uqa_fact fact, uint32_t word)
{
    switch (fact.kind) {
    case FACT_TREND:
        return (fact.value + 1 + word % (TRENDS - 1)) % TRENDS;
    case FACT_SHARE:
        return (fact.value + 5 * (1 + word % 20)) % 105;
    case FACT_FAVOURITE:
        if (history->category_count > 1)
            return (fact.value + 1 + word % (uint32_t)(history->category_count - 1)) %
                   history->category_count;
        return fact.value;
    case FACT_AMOUNT:
        return two_digits(2 * (double)fact.value + 10 * (1 + word % 9));
    case FACT_COUNT:
    case FACT_RECENCY:
    case FACT_LATELY:
        break;
    }
    return fact.value + 1 + word % 9;
}

/* ---- words ---- */

enum { ROOM_OF_CLAUSE = 64 }; /* bytes, beside a category's names */

static int64_t category_room(const uqa_history *history, int64_t which)
{
    const deed *what = &history->categories[which].what;
    return what->word_bytes + (int64_t)strlen(history->sources[what->source]);
}

static int64_t say_category(const uqa_history *history, int64_t which, char *out, int64_t room)
{
    const deed *what = &history->categories[which].what;
    return snprintf(out, (size_t)room, "%.*s in %s", (int)what->word_bytes, what->word,
                    history->sources[what->source]);
}

static int64_t say_fact(const uqa_history *history, uqa_fact fact, char *out, int64_t room)
{
    static const char *const trends[TRENDS] = {"falling", "steady", "rising"};
    long long value = fact.value;
    int64_t at = 0;
    switch (fact.kind) {
    case FACT_COUNT:
        return snprintf(out, (size_t)room, "%lld in all", value);
    case FACT_TREND:
        return snprintf(out, (size_t)room, "%s", trends[value]);
    case FACT_SHARE:
        return snprintf(out, (size_t)room, "about %lld percent of everything", value);
    case FACT_RECENCY:
        return snprintf(out, (size_t)room, "last %lld %s%s ago", value, history->unit,
                        value == 1 ? "" : "s");
    case FACT_FAVOURITE:
        at = snprintf(out, (size_t)room, "mostly ");
        return at + say_category(history, value, out + at, room - at);
    case FACT_AMOUNT:
        return snprintf(out, (size_t)room, "about %lld in amounts", value);
    case FACT_LATELY:
        return snprintf(out, (size_t)room, "%lld lately", value);
    }
    return 0;
}

/* "AREA: clause, clause, clause". */
static bool say_answer(const uqa_history *history, const uqa_area *area, assay_arena *arena,
                       uqa_pair *out, assay_error *error)
{
    int64_t room = 32 + (int64_t)strlen(area->name), at = 0;
    for (int k = 0; k < out->fact_count; k++) {
        room += ROOM_OF_CLAUSE;
        if (out->facts[k].kind == FACT_FAVOURITE)
            room += category_room(history, out->facts[k].value);
    }
    char *text = assay_arena_alloc(arena, room, error);
    if (text == NULL)
        return false;
    if (out->fact_count == 0)
        at = snprintf(text, (size_t)room, "%s: no sign of it", area->name);
    for (int k = 0; k < out->fact_count; k++) {
        at += k == 0 ? snprintf(text, (size_t)room, "%s: ", area->name)
                     : snprintf(text + at, (size_t)(room - at), ", ");
        at += say_fact(history, out->facts[k], text + at, room - at);
    }
    out->answer = text;
    out->answer_bytes = at;
    return true;
}

/* The question, with what the user does most in the area, or the area's name. */
static bool say_query(const uqa_history *history, int area, const char *question,
                      assay_arena *arena, uqa_pair *out, assay_error *error)
{
    int favourite = history->areas[area].favourite;
    const char *hole = strstr(question, "%s");
    int64_t front = hole - question, tail = (int64_t)strlen(hole + 2);
    int64_t room = front + tail + 8 + (int64_t)strlen(uqa_areas[area].name) +
                   (favourite >= 0 ? category_room(history, favourite) : 0);
    char *text = assay_arena_alloc(arena, room, error);
    if (text == NULL)
        return false;
    memcpy(text, question, (size_t)front);
    int64_t at = front;
    at += favourite >= 0 ? say_category(history, favourite, text + at, room - at)
                         : snprintf(text + at, (size_t)(room - at), "%s", uqa_areas[area].name);
    memcpy(text + at, hole + 2, (size_t)tail);
    out->query = text;
    out->query_bytes = at + tail;
    return true;
}

/* ---- drafting and reflecting ---- */

static void draft(const uqa_history *history, const uqa_rules *rules, uqa_pair *out)
{
    int area = out->topic / TOPICS_OF_AREA;
    for (int k = 0; k < out->fact_count; k++) {
        uint64_t at = 2 * ((uint64_t)out->topic * TOPIC_FACTS + (uint64_t)k);
        float u = (float)(assay_random_bits(rules->stream, at) >> 8) * 0x1p-24F;
        if ((double)u < rules->draft_errors)
            out->facts[k].value =
                wrong_value(history, uqa_fact_of(history, area, out->facts[k].kind),
                            assay_random_bits(rules->stream, at + 1));
    }
}

static void reflect(const uqa_history *history, bool revise, uqa_pair *out)
{
    int area = out->topic / TOPICS_OF_AREA;
    for (int k = 0; k < out->fact_count; k++) {
        uqa_fact holds = uqa_fact_of(history, area, out->facts[k].kind);
        if (holds.value == out->facts[k].value)
            continue;
        out->contradicted++;
        if (revise) {
            out->facts[k] = holds;
            out->revised++;
        }
    }
}

bool uqa_write(const uqa_history *history, int topic, const uqa_rules *rules, assay_arena *arena,
               uqa_pair *out, assay_error *error)
{
    int area = topic / TOPICS_OF_AREA;
    const uqa_topic *asked = &uqa_areas[area].topics[topic % TOPICS_OF_AREA];
    const uqa_sum *sum = &history->areas[area];
    *out = (uqa_pair){.topic = topic};
    for (int k = 0; sum->count > 0 && k < TOPIC_FACTS; k++)
        if (asked->facts[k] != FACT_AMOUNT || sum->amounts > 0) /* none: nothing to say of them */
            out->facts[out->fact_count++] = uqa_fact_of(history, area, asked->facts[k]);
    draft(history, rules, out);
    reflect(history, rules->reflection, out);
    return say_query(history, area, asked->question, arena, out, error) &&
           say_answer(history, &uqa_areas[area], arena, out, error);
}
