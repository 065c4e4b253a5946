/* vocabulary.c - the words of the samples that a model is trained on, counted once and kept in the
 * host's cache. A cache file is three kinds of lines,
 *     assay words 1
 *     IDS SAMPLES EVENTS QUESTION_WORDS ANSWER_WORDS
 *     WORD ...
 * and the SHA-256 of all before it; one that is broken is made again. */
#include "vocabulary.h"

#include "words.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/random.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE      "assay words 1\n"
#define FILE_LIMIT ((int64_t)1 << 30)
#define HEX        64
#define PROBES     8      /* samples whose bytes are part of the cache's name */
#define MOST_READ  100000 /* of more samples, so many are read */
#define STOP_EVERY 256    /* samples between two looks at the host's wish to end */

struct vocabulary {
    word_table table; /* of the words that are kept; id = place + WORDS_SPECIAL */
    int64_t samples, events, question_words, answer_words;
};

int64_t vocabulary_size(const vocabulary *words)
{
    return words->table.count + WORDS_SPECIAL;
}

vocabulary_means vocabulary_means_get(const vocabulary *words)
{
    double n = words->samples > 0 ? (double)words->samples : 1;
    return (vocabulary_means){.events = (double)words->events / n,
                              .question_words = (double)words->question_words / n,
                              .answer_words = (double)words->answer_words / n};
}

const char *vocabulary_word(const vocabulary *words, int64_t id, int64_t *bytes)
{
    const word_entry *entry = &words->table.entries[id - WORDS_SPECIAL];
    *bytes = entry->length;
    return (const char *)words->table.bytes + entry->start;
}

int32_t vocabulary_id(const vocabulary *words, const uint8_t *text, int64_t bytes)
{
    int64_t place = word_table_find(&words->table, (word){text, bytes});
    return place < 0 ? -1 : (int32_t)(place + WORDS_SPECIAL);
}

int64_t vocabulary_read(const vocabulary *words, const uint8_t *text, int64_t bytes, int64_t most,
                        int32_t *out)
{
    int64_t at = 0, n = 0;
    word w;
    while (n < most && word_next(text, bytes, &at, &w)) {
        int64_t place = word_table_find(&words->table, w);
        out[n++] = place < 0 ? WORD_UNKNOWN : (int32_t)(place + WORDS_SPECIAL);
    }
    return n;
}

void vocabulary_free(vocabulary *words)
{
    if (words)
        word_table_close(&words->table);
    assay_free(words);
}

/* ---- walking the samples ---- */

typedef struct walk {
    const assay_data *data;
    const assay_field *fields;
    int field_count, question, answer;
    assay_data_split split;
    int64_t samples;
    assay_arena *arena;
} walk;

static bool walk_open(walk *w, const vocabulary_recipe *recipe, assay_error *error)
{
    const assay_data *data = recipe->data;
    const assay_dataset_functions *f = data->functions;
    *w = (walk){.data = data,
                .question = assay_data_field(data, "query"),
                .answer = assay_data_field(data, "answer")};
    w->fields = f->fields(data->dataset, &w->field_count);
    w->split = ASSAY_PRETRAIN;
    w->samples = f->count(data->dataset, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK);
    if (w->samples == 0) {
        w->split = ASSAY_TRAIN;
        w->samples = f->count(data->dataset, ASSAY_TRAIN, ASSAY_NO_BENCHMARK);
    }
    if (w->samples == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = recipe->where,
                          .what = "the dataset has no samples to take words from",
                          .expected = "samples in its pretrain or train split", .got = "none");
    w->arena = assay_arena_new(0, error);
    return w->arena != NULL;
}

static bool walk_sample(const walk *w, int64_t index, assay_sample *out, assay_error *error)
{
    assay_arena_reset(w->arena);
    return w->data->functions->sample(w->data->dataset, w->split, ASSAY_NO_BENCHMARK, index,
                                      &(assay_draw){0}, w->arena, out, error);
}

static int64_t rows_of(const assay_field_value *value)
{
    return value->offsets ? value->shape[0] : 1;
}

/* Row r of a text field, or the whole of one without rows. */
static const uint8_t *row_of(const assay_field_value *value, int64_t r, int64_t *bytes)
{
    const uint8_t *text = value->data;
    *bytes = value->offsets ? value->offsets[r + 1] - value->offsets[r] : value->shape[0];
    return value->offsets ? text + value->offsets[r] : text;
}

static bool count_text(word_table *table, const uint8_t *text, int64_t bytes, int64_t *words,
                       assay_error *error)
{
    int64_t at = 0;
    word w;
    while (word_next(text, bytes, &at, &w)) {
        int64_t place = word_table_add(table, w, error);
        if (place < 0)
            return false;
        table->entries[place].count++;
        ++*words;
    }
    return true;
}

static bool count_sample(vocabulary *words, const walk *w, const assay_sample *sample,
                         assay_error *error)
{
    for (int f = 0; f < w->field_count; f++) {
        const assay_field_value *value = &sample->values[f];
        int64_t of_events = 0, *into = &of_events;
        if (w->fields[f].dtype != ASSAY_U8 || !value->present)
            continue;
        if (f == w->question)
            into = &words->question_words;
        else if (f == w->answer)
            into = &words->answer_words;
        else
            words->events += rows_of(value);
        for (int64_t r = 0; r < rows_of(value); r++) {
            int64_t bytes = 0;
            const uint8_t *text = row_of(value, r, &bytes);
            if (!count_text(&words->table, text, bytes, into, error))
                return false;
        }
    }
    return true;
}

static bool count_all(vocabulary *words, const walk *w, const vocabulary_recipe *recipe,
                      assay_error *error)
{
    const assay_host *host = recipe->host;
    bool all = w->samples <= MOST_READ;
    assay_stream some = assay_stream_of(0, "user_decoder/words", 0);
    for (int64_t i = 0; i < (all ? w->samples : MOST_READ); i++) {
        int64_t index = all ? i : assay_random_permuted(some, w->samples, i);
        assay_sample sample = {0};
        if (i % STOP_EVERY == 0 && host && host->stopping && host->stopping(host->user))
            return ASSAY_FAIL(error, ASSAY_STOPPED, .where = recipe->where,
                              .what = "asked to end while counting words");
        if (!walk_sample(w, index, &sample, error) || !count_sample(words, w, &sample, error))
            return false;
    }
    words->samples = all ? w->samples : MOST_READ;
    return true;
}

/* ---- choosing the words ---- */

typedef struct ranked {
    const uint8_t *bytes;
    int64_t length, count;
} ranked;

/* The more frequent first; equal counts by bytes, the shorter first. */
static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    int order = memcmp(x->bytes, y->bytes, (size_t)(x->length < y->length ? x->length : y->length));
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* Replaces the table of all words by that of the ones that are kept, in their order. */
static bool keep_best(vocabulary *words, const vocabulary_recipe *recipe, assay_error *error)
{
    word_table all = words->table, kept = {0};
    bool ok = false;
    ranked *order = assay_alloc(all.count * (int64_t)sizeof *order, error);
    if (!order || !word_table_open(&kept, error))
        goto out;
    for (int64_t i = 0; i < all.count; i++)
        order[i] =
            (ranked){all.bytes + all.entries[i].start, all.entries[i].length, all.entries[i].count};
    qsort(order, (size_t)all.count, sizeof *order, by_rank);
    for (int64_t i = 0; i < all.count && order[i].count >= recipe->min_count &&
                        kept.count + WORDS_SPECIAL < recipe->most;
         i++)
        if (word_table_add(&kept, (word){order[i].bytes, order[i].length}, error) < 0)
            goto out;
    words->table = kept;
    kept = all;
    ok = true;
out:
    word_table_close(&kept);
    assay_free(order);
    return ok;
}

/* ---- the cache ---- */

static void add_text(assay_sha256 *hash, const char *text)
{
    assay_sha256_add(hash, text, strlen(text) + 1);
}

static void add_numbers(assay_sha256 *hash, int64_t a, int64_t b)
{
    add_text(hash, assay_text("%" PRId64 " %" PRId64, a, b));
}

/* What a sample says, so that another choice of pairs is another vocabulary even where the
 * dataset's fingerprint is that of its files. */
static bool add_probe(assay_sha256 *hash, const walk *w, int64_t index, assay_error *error)
{
    assay_sample sample = {0};
    if (!walk_sample(w, index, &sample, error))
        return false;
    for (int f = 0; f < w->field_count; f++)
        for (int64_t r = 0; w->fields[f].dtype == ASSAY_U8 && sample.values[f].present &&
                            r < rows_of(&sample.values[f]);
             r++) {
            int64_t bytes = 0;
            const uint8_t *text = row_of(&sample.values[f], r, &bytes);
            add_numbers(hash, f, bytes);
            assay_sha256_add(hash, text, (size_t)bytes);
        }
    return true;
}

/* The cache's file name: everything that the words depend on, hashed. It and the stream that picks
 * samples are named after the first model that counted, so that ids stay what they are. */
static bool name_cache(const vocabulary_recipe *recipe, const walk *w, char *name, size_t size,
                       assay_error *error)
{
    assay_sha256 hash;
    uint8_t digest[32];
    char hex[HEX + 1];
    assay_sha256_begin(&hash);
    add_text(&hash, TITLE);
    add_text(&hash, recipe->data->name);
    add_text(&hash, recipe->data->functions->fingerprint(recipe->data->dataset));
    add_numbers(&hash, recipe->min_count, recipe->most);
    add_numbers(&hash, w->split, w->samples);
    for (int f = 0; f < w->field_count; f++)
        add_text(&hash, w->fields[f].name);
    for (int64_t i = 0; i < PROBES; i++)
        if (!add_probe(&hash, w, i * (w->samples - 1) / (PROBES - 1), error))
            return false;
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
    snprintf(name, size, "user_decoder-words-%.32s.txt", hex);
    return true;
}

/* Reads the lines behind the title; false when they are not what was written. */
static bool parse(vocabulary *words, const char *text, int64_t bytes)
{
    int64_t ids = 0;
    int used = 0;
    if (sscanf(text, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 "%n", &ids,
               &words->samples, &words->events, &words->question_words, &words->answer_words,
               &used) != 5 ||
        text[used] != '\n')
        return false;
    for (const char *at = text + used + 1; at < text + bytes;) {
        const char *end = memchr(at, '\n', (size_t)(text + bytes - at));
        if (!end || word_table_add(&words->table, (word){(const uint8_t *)at, end - at}, NULL) < 0)
            return false;
        at = end + 1;
    }
    return vocabulary_size(words) == ids;
}

/* Fills an empty vocabulary from the file; false, with it closed, when there is none or it is
 * broken. */
static bool read_cache(vocabulary *words, const char *path)
{
    int64_t bytes = 0, title = (int64_t)strlen(TITLE);
    char hex[HEX + 1];
    bool ok = false;
    char *text = assay_read_file(path, FILE_LIMIT, &bytes, NULL);
    if (text && bytes >= title + HEX && memcmp(text, TITLE, (size_t)title) == 0) {
        assay_sha256_of(text, (size_t)(bytes - HEX), hex);
        ok = memcmp(hex, text + bytes - HEX, HEX) == 0;
        text[bytes - HEX] = '\0';
        ok = ok && parse(words, text + title, bytes - HEX - title);
    }
    assay_free(text);
    if (!ok) {
        word_table_close(&words->table);
        *words = (vocabulary){0};
    }
    return ok;
}

/* The cache saves time and nothing else: when it can't be written, the next start counts again. */
static void write_cache(const vocabulary *words, const char *path)
{
    char line[256], hex[HEX + 1];
    assay_sha256 hash;
    uint8_t digest[32];
    assay_publisher *file = assay_publish_begin(path, NULL);
    if (!file)
        return;
    snprintf(line, sizeof line, "%s%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
             TITLE, vocabulary_size(words), words->samples, words->events, words->question_words,
             words->answer_words);
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, line, strlen(line));
    bool ok = assay_publish_write(file, line, (int64_t)strlen(line), NULL);
    for (int64_t i = 0; ok && i < words->table.count; i++) {
        const word_entry *entry = &words->table.entries[i];
        const uint8_t *bytes = words->table.bytes + entry->start;
        assay_sha256_add(&hash, bytes, (size_t)entry->length);
        assay_sha256_add(&hash, "\n", 1);
        ok = assay_publish_write(file, bytes, entry->length, NULL) &&
             assay_publish_write(file, "\n", 1, NULL);
    }
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
    if (ok && assay_publish_write(file, hex, HEX, NULL))
        assay_publish_commit(file, NULL);
    else
        assay_publish_abandon(file);
}

/* ---- opening ---- */

static bool fill(vocabulary *words, const vocabulary_recipe *recipe, assay_error *error)
{
    char name[96], path[4096] = "";
    const assay_host *host = recipe->host;
    walk w;
    bool ok = walk_open(&w, recipe, error) && name_cache(recipe, &w, name, sizeof name, error) &&
              word_table_open(&words->table, error);
    if (ok && host && host->cache_path &&
        !host->cache_path(host->user, name, path, sizeof path, NULL))
        path[0] = '\0';
    if (ok && path[0] != '\0' && read_cache(words, path))
        goto out;
    if (ok && !words->table.entries)
        ok = word_table_open(&words->table, error);
    ok = ok && count_all(words, &w, recipe, error) && keep_best(words, recipe, error);
    if (ok && path[0] != '\0')
        write_cache(words, path);
out:
    assay_arena_free(w.arena);
    return ok;
}

vocabulary *vocabulary_new(const vocabulary_recipe *recipe, assay_error *error)
{
    vocabulary *words = assay_zalloc(sizeof *words, error);
    if (words && !fill(words, recipe, error)) {
        vocabulary_free(words);
        words = NULL;
    }
    return words;
}

vocabulary *vocabulary_new_empty(assay_error *error)
{
    vocabulary *words = assay_zalloc(sizeof *words, error);
    if (words && !word_table_open(&words->table, error)) {
        assay_free(words);
        words = NULL;
    }
    return words;
}
