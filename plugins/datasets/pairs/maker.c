/* maker.c - see maker.h. */
#include "maker.h"

#include <assay/file.h>
#include <assay/log.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- difficulty ---- */

enum { BAG = 512 };

/* FNV-1a of a word, ASCII letters in lower case. */
static uint32_t hash_word(const char *word, int64_t bytes)
{
    uint32_t hash = 2166136261U;
    for (int64_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)word[i];
        hash = (hash ^ (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c)) * 16777619U;
    }
    return hash;
}

static bool parts_words(char c)
{
    return c == ' ' || c == ',' || c == ':' || c == '?' || c == '.';
}

static void add_text(double bag[BAG], const char *text, int64_t bytes)
{
    for (int64_t at = 0; at < bytes;) {
        int64_t from = at;
        while (at < bytes && !parts_words(text[at]))
            at++;
        if (at > from)
            bag[hash_word(text + from, at - from) % BAG] += 1;
        at++;
    }
}

/* A history as words: those of its categories, each as often as log(1 + its events). */
static void add_history(double bag[BAG], const uqa_history *history)
{
    for (int c = 0; c < history->category_count; c++) {
        const uqa_category *category = &history->categories[c];
        const char *source = history->sources[category->what.source];
        double weight = log1p((double)category->sum.count);
        bag[hash_word(category->what.word, category->what.word_bytes) % BAG] += weight;
        bag[hash_word(source, (int64_t)strlen(source)) % BAG] += weight;
    }
}

double uqa_difficulty(const uqa_maker *maker, const uqa_history *history, const uqa_pair *pair)
{
    double asked[BAG] = {0}, answer[BAG] = {0}, dot = 0, a = 0, b = 0;
    if (maker->scored)
        return maker->scores[pair->topic];
    add_history(asked, history);
    add_text(asked, pair->query, pair->query_bytes);
    add_text(answer, pair->answer, pair->answer_bytes);
    for (int i = 0; i < BAG; i++) {
        dot += asked[i] * answer[i];
        a += asked[i] * asked[i];
        b += answer[i] * answer[i];
    }
    return a > 0 && b > 0 ? 1 - dot / sqrt(a * b) : 1;
}

static bool read_scores(uqa_maker *out, const char *path, assay_error *error)
{
    int64_t bytes = 0;
    char *text = assay_read_file(path, 1 << 20, &bytes, error), *at = text;
    int count = 0;
    if (text == NULL)
        return false;
    for (; count < UQA_TOPICS; count++) {
        char *end = at;
        out->scores[count] = strtod(at, &end);
        if (end == at || !isfinite(out->scores[count]))
            break;
        at = end;
    }
    at += strspn(at, " \t\r\n");
    bool good = count == UQA_TOPICS && *at == '\0';
    assay_free(text);
    out->scored = good;
    return good ||
           ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                      .what = "these are no scores of the topics",
                      .expected = assay_text("%d numbers, in the topics' order", UQA_TOPICS),
                      .got = count < UQA_TOPICS ? assay_text("%d numbers", count)
                                                : "something behind them");
}

/* ---- asking ---- */

static assay_stream at_step(assay_stream stream, uint64_t step)
{
    stream.step[0] = (uint32_t)step;
    stream.step[1] = (uint32_t)(step >> 32);
    return stream;
}

static bool write_topic(const uqa_maker *maker, const uqa_history *history, uint64_t number,
                        int topic, assay_arena *arena, uqa_pair *out, assay_error *error)
{
    uqa_rules rules = {.draft_errors = maker->settings.draft_errors,
                       .reflection = maker->settings.reflection,
                       .stream = at_step(maker->errors, number)};
    return uqa_write(history, topic, &rules, arena, out, error);
}

/* One of the user's hard pairs, or topic -1 without any. */
static bool ask_hard(const uqa_maker *maker, const uqa_history *history, uint64_t number,
                     const int topics[UQA_ASKED], uint32_t word, assay_arena *arena, uqa_pair *out,
                     assay_error *error)
{
    uqa_pair hard[UQA_ASKED];
    uint32_t count = 0;
    for (int k = 0; k < UQA_ASKED; k++) {
        if (!write_topic(maker, history, number, topics[k], arena, &hard[count], error))
            return false;
        count += uqa_difficulty(maker, history, &hard[count]) >= maker->threshold;
    }
    out->topic = -1;
    if (count > 0)
        *out = hard[word % count];
    return true;
}

bool uqa_maker_ask(const uqa_maker *maker, const uqa_history *history, uint64_t number,
                   int64_t slot, int64_t epoch, assay_arena *arena, uqa_pair *out,
                   assay_error *error)
{
    int topics[UQA_ASKED];
    int64_t turn = epoch * maker->settings.pairs + slot;
    uqa_choose(history, topics);
    if (maker->settings.hard > 0) {
        assay_stream luck = at_step(maker->luck, number);
        uint32_t word = assay_random_bits(luck, 2 * (uint64_t)turn);
        if ((double)word * 0x1p-32 < maker->settings.hard) {
            word = assay_random_bits(luck, 2 * (uint64_t)turn + 1);
            if (!ask_hard(maker, history, number, topics, word, arena, out, error))
                return false;
            if (out->topic >= 0)
                return true;
        }
    }
    return write_topic(maker, history, number, topics[turn % UQA_ASKED], arena, out, error);
}

/* ---- calibration ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The ten pairs of one user. */
static bool calibrate_user(uqa_maker *out, int64_t which, uqa_reader reader, void *user,
                           assay_arena *arena, double *difficulty, assay_error *error)
{
    uqa_history history;
    uint64_t number = 0;
    int topics[UQA_ASKED];
    if (!reader(user, which, arena, &history, &number, error))
        return false;
    uqa_choose(&history, topics);
    for (int k = 0; k < UQA_ASKED; k++) {
        uqa_pair pair;
        if (!write_topic(out, &history, number, topics[k], arena, &pair, error))
            return false;
        difficulty[out->pairs++] = uqa_difficulty(out, &history, &pair);
        out->stated += pair.fact_count;
        out->contradicted += pair.contradicted;
        out->revised += pair.revised;
    }
    return true;
}

bool uqa_maker_make(uqa_maker *out, const uqa_settings *settings, uint64_t seed, const char *where,
                    int64_t users, uqa_reader reader, void *user, assay_error *error)
{
    double difficulty[UQA_CALIBRATION_USERS * UQA_ASKED];
    bool done = true;
    *out = (uqa_maker){.settings = *settings,
                       .errors = assay_stream_of(seed, "pairs/draft", 0),
                       .luck = assay_stream_of(seed, "pairs/hard", 0)};
    if (settings->scores != NULL && !read_scores(out, settings->scores, error))
        return false;
    assay_arena *arena = assay_arena_new(0, error);
    if (arena == NULL)
        return false;
    for (int64_t i = 0; done && i < users && i < UQA_CALIBRATION_USERS; i++) {
        assay_arena_reset(arena);
        done = calibrate_user(out, i, reader, user, arena, difficulty, error);
    }
    assay_arena_free(arena);
    if (!done || out->pairs == 0)
        return done;
    qsort(difficulty, (size_t)out->pairs, sizeof *difficulty, by_value);
    out->threshold = difficulty[out->pairs * 7 / 10];
    assay_log(ASSAY_LOG_INFO,
              "%s: %lld facts in %lld drafted answers; the history contradicts %lld, %lld revised; "
              "pairs are hard from %.3f on",
              where, (long long)out->stated, (long long)out->pairs, (long long)out->contradicted,
              (long long)out->revised, out->threshold);
    return true;
}
