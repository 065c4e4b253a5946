/* bpe.c - byte-pair encoding: a word's symbols, joined pair by pair in the order of the merges.
 *
 * The pair of the lowest rank is joined first, of equal ones the leftmost, until no pair is a
 * merge. Short words search for it; in long ones a heap knows it. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

#define NO_PAIR UINT64_MAX
enum { NO_RANK = INT32_MAX, SHORT_WORD = 40 /* symbols */ };

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static uint64_t pair_slot(const bpe_model *of, uint64_t pair)
{
    uint64_t mixed = pair * UINT64_C(0x9E3779B97F4A7C15);
    return (mixed ^ mixed >> 29) & of->mask;
}

static const bpe_merge *find_merge(const bpe_model *of, int32_t left, int32_t right)
{
    uint64_t pair = pair_of(left, right);
    for (uint64_t slot = pair_slot(of, pair);; slot = (slot + 1) & of->mask) {
        const bpe_merge *merge = &of->merges[slot];
        if (merge->pair == pair)
            return merge;
        if (merge->pair == NO_PAIR)
            return NULL;
    }
}

static int32_t rank_of(const bpe_model *of, int32_t left, int32_t right)
{
    const bpe_merge *merge = find_merge(of, left, right);
    return merge != NULL ? merge->rank : NO_RANK;
}

/* ---- reading ---- */

/* A merge as "a b" or as ["a", "b"]: both texts with their lengths. */
static bool read_pair(const file_part *part, const json_t *merge, const char *text[2],
                      int64_t bytes[2], assay_error *error)
{
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        for (size_t i = 0; i < 2; i++) {
            const json_t *half = json_array_get(merge, i);
            if (!json_is_string(half))
                return part_bad(part, "half a merge is not a text", "a text", part_kind(half),
                                error);
            text[i] = json_string_value(half);
            bytes[i] = (int64_t)json_string_length(half);
        }
        return true;
    }
    const char *whole = json_string_value(merge);
    const char *space = whole != NULL ? strchr(whole, ' ') : NULL;
    if (space == NULL || strchr(space + 1, ' ') != NULL)
        return part_bad(part, "a merge is not a pair", "\"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"]",
                        part_kind(merge), error);
    text[0] = whole;
    bytes[0] = space - whole;
    text[1] = space + 1;
    bytes[1] = (int64_t)strlen(space + 1);
    return true;
}

static bool put_merge(bpe_model *of, const file_part *part, const json_t *merge, int64_t rank,
                      const vocabulary *tokens, assay_error *error)
{
    const char *text[2] = {NULL, NULL};
    int64_t bytes[2] = {0, 0};
    if (!read_pair(part, merge, text, bytes, error))
        return false;
    int64_t skip = of->prefix != NULL ? (int64_t)strlen(of->prefix) : 0;
    skip = skip < bytes[1] ? skip : bytes[1];
    uint64_t hash = vocabulary_hash(VOCABULARY_HASH, text[0], bytes[0]);
    hash = vocabulary_hash(hash, text[1] + skip, bytes[1] - skip);
    int32_t left = vocabulary_find(tokens, text[0], bytes[0]);
    int32_t right = vocabulary_find(tokens, text[1], bytes[1]);
    int32_t id =
        vocabulary_find_hashed(tokens, hash, text[0], bytes[0], text[1] + skip, bytes[1] - skip);
    if (left < 0 || right < 0 || id < 0)
        return part_bad(part, "a merge of tokens that are not in the vocabulary",
                        "both halves and the whole in 'vocab'",
                        assay_text("'%.*s' and '%.*s'", (int)(bytes[0] < 80 ? bytes[0] : 80),
                                   text[0], (int)(bytes[1] < 80 ? bytes[1] : 80), text[1]),
                        error);
    uint64_t pair = pair_of(left, right);
    uint64_t slot = pair_slot(of, pair);
    while (of->merges[slot].pair != NO_PAIR && of->merges[slot].pair != pair)
        slot = (slot + 1) & of->mask;
    of->merges[slot] =
        (bpe_merge){pair, (int32_t)rank, id}; /* of two equal ones the later counts */
    return true;
}

static bool read_merges(bpe_model *of, const file_part *part, const vocabulary *tokens,
                        assay_error *error)
{
    int64_t count = 0, slots = 16;
    if (!part_list(part, "merges", &count, error))
        return false;
    if (count >= VOCABULARY_MOST)
        return part_bad(part, "too many merges", "fewer than 16777216",
                        assay_text("%lld", (long long)count), error);
    while (slots < 2 * count)
        slots *= 2;
    of->mask = (uint64_t)slots - 1;
    of->merges = assay_alloc(slots * (int64_t)sizeof *of->merges, error);
    if (of->merges == NULL)
        return false;
    for (int64_t i = 0; i < slots; i++)
        of->merges[i] = (bpe_merge){.pair = NO_PAIR};
    const json_t *merges = json_object_get(part->value, "merges");
    for (int64_t i = 0; i < count; i++) {
        const json_t *merge = json_array_get(merges, (size_t)i);
        if (!put_merge(of, part, merge, i, tokens, error))
            return false;
    }
    return true;
}

/* The tokens as bytes, those of letters that all stand for bytes. */
static bool read_words(bpe_model *of, const vocabulary *tokens, assay_error *error)
{
    if (!vocabulary_init(&of->words, tokens->size, error))
        return false;
    text_buffer word = {0};
    bool ok = true;
    for (int64_t id = 0; ok && id < tokens->size; id++) {
        int64_t bytes = 0, at = 0;
        const char *token = vocabulary_token(tokens, (int32_t)id, &bytes);
        if (token == NULL || tokens->entries[id].outside)
            continue;
        word.bytes = 0;
        ok = text_buffer_reserve(&word, bytes + 1, error);
        while (ok && at < bytes) {
            int byte = byte_of_letter(unicode_next(token, &at));
            if (byte < 0)
                break;
            word.data[word.bytes++] = (char)byte;
        }
        bool taken = false, whole = ok && at == bytes;
        if (whole &&
            !vocabulary_put(&of->words, (int32_t)id, word.data, word.bytes, false, &taken, error))
            ok = taken; /* a token that no text reaches may say the same */
    }
    text_buffer_free(&word);
    return ok;
}

static bool read_unknown(bpe_model *of, const file_part *part, const vocabulary *tokens,
                         assay_error *error)
{
    const json_t *value = json_object_get(part->value, "unk_token");
    const char *token;
    of->unknown = -1;
    if (value == NULL || json_is_null(value))
        return true;
    if (!part_text(part, "unk_token", NULL, &token, error))
        return false;
    of->unknown = vocabulary_find(tokens, token, (int64_t)strlen(token));
    if (of->unknown < 0)
        return part_bad(part, "the unknown token is not in the vocabulary", "a token of 'vocab'",
                        assay_text("'%.100s'", token), error);
    return true;
}

static bool read_affix(const file_part *part, const char *key, char **out, assay_error *error)
{
    const json_t *value = json_object_get(part->value, key);
    const char *text;
    if (value == NULL || json_is_null(value))
        return true;
    if (!part_text(part, key, NULL, &text, error))
        return false;
    return text[0] == '\0' || (*out = assay_strdup(text, error)) != NULL;
}

bool bpe_read(bpe_model *of, const file_part *part, const vocabulary *tokens, bool letters,
              assay_error *error)
{
    bool byte_fallback = false;
    const bool usual = false;
    of->letters = letters;
    if (!PART_KEYS(part, error, "dropout", "unk_token", "continuing_subword_prefix",
                   "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                   "merges") ||
        !part_flag(part, "byte_fallback", &usual, &byte_fallback, error) ||
        !part_flag(part, "fuse_unk", &usual, &of->fuse_unknown, error) ||
        !part_flag(part, "ignore_merges", &usual, &of->whole_words, error) ||
        !read_affix(part, "continuing_subword_prefix", &of->prefix, error) ||
        !read_affix(part, "end_of_word_suffix", &of->suffix, error) ||
        !read_unknown(of, part, tokens, error))
        return false;
    if (byte_fallback)
        return part_unsupported(part, "byte_fallback is not here", "false", "true", error);
    const json_t *dropout = json_object_get(part->value, "dropout");
    if (dropout != NULL && !json_is_null(dropout) && !json_is_number(dropout))
        return part_bad(part, "'dropout' is not a number", "null or 0", part_kind(dropout), error);
    if (json_number_value(dropout) != 0)
        return part_unsupported(part, "dropout of merges is not here", "null", part_kind(dropout),
                                error);
    of->letters = letters && of->prefix == NULL && of->suffix == NULL;
    for (int byte = 0; byte < 256; byte++) {
        char letter[4];
        int bytes = unicode_put(letter_of_byte((unsigned char)byte), letter);
        of->symbols[byte] = vocabulary_find(tokens, letter, bytes);
    }
    return read_merges(of, part, tokens, error) &&
           (!(of->whole_words && of->letters) || read_words(of, tokens, error));
}

void bpe_clear(bpe_model *of)
{
    assay_free(of->merges);
    assay_free(of->prefix);
    assay_free(of->suffix);
    vocabulary_clear(&of->words);
    *of = (bpe_model){0};
}

/* ---- symbols ---- */

/* One word in work. The arrays lie in the scratch and have room for one symbol per byte. */
typedef struct word {
    int32_t *ids, *ranks; /* ranks[i]: of symbols i and i + 1 (or the next one) */
    int32_t *previous, *next;
    uint64_t *heap;
    int64_t count, heap_count;
    bool unknown_last;
} word;

static bool word_begin(bpe_scratch *scratch, int64_t room, word *out, assay_error *error)
{
    if (scratch->room < room) {
        int64_t wanted, bytes;
        if (!assay_size_mul(&wanted, room, 2) || wanted >= INT32_MAX ||
            !assay_size_mul(&bytes, wanted, 4 * sizeof(int32_t) + 3 * sizeof(uint64_t)))
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "tokenizer",
                              .what = "a word is too long", .expected = "less than 1 GiB");
        assay_free(scratch->block);
        scratch->room = 0;
        scratch->block = assay_alloc(bytes, error);
        if (scratch->block == NULL)
            return false;
        scratch->room = wanted;
    }
    *out = (word){.heap = scratch->block};
    out->ids = (int32_t *)(out->heap + 3 * scratch->room);
    out->ranks = out->ids + scratch->room;
    out->previous = out->ranks + scratch->room;
    out->next = out->previous + scratch->room;
    return true;
}

static void add_symbol(const bpe_model *of, word *w, int32_t id)
{
    if (id >= 0) {
        w->unknown_last = false;
        w->ids[w->count++] = id;
        return;
    }
    if (of->unknown < 0 || (of->fuse_unknown && w->unknown_last))
        return;
    w->unknown_last = true;
    w->ids[w->count++] = of->unknown;
}

/* The id of a character, with the affixes that its place asks for. */
static int32_t symbol_of(const bpe_model *of, const vocabulary *tokens, const char *text,
                         int64_t bytes, bool first, bool last)
{
    if (of->prefix == NULL && of->suffix == NULL)
        return vocabulary_find(tokens, text, bytes);
    const char *prefix = !first && of->prefix != NULL ? of->prefix : "";
    const char *suffix = last && of->suffix != NULL ? of->suffix : "";
    char whole[256];
    int64_t head = (int64_t)strlen(prefix), tail = (int64_t)strlen(suffix);
    if (head + bytes + tail > (int64_t)sizeof whole)
        return -1;
    memcpy(whole, prefix, (size_t)head);
    memcpy(whole + head, text, (size_t)bytes);
    memcpy(whole + head + bytes, suffix, (size_t)tail);
    return vocabulary_find(tokens, whole, head + bytes + tail);
}

static void add_symbols(const bpe_model *of, const vocabulary *tokens, const char *text,
                        int64_t bytes, word *w)
{
    if (of->letters) {
        for (int64_t i = 0; i < bytes; i++)
            add_symbol(of, w, of->symbols[(unsigned char)text[i]]);
        return;
    }
    for (int64_t at = 0; at < bytes;) {
        int64_t here = at;
        unicode_next(text, &at);
        add_symbol(of, w, symbol_of(of, tokens, text + here, at - here, here == 0, at == bytes));
    }
}

/* ---- joining ---- */

static void join_short(const bpe_model *of, word *w)
{
    int64_t n = w->count;
    for (int64_t i = 0; i + 1 < n; i++)
        w->ranks[i] = rank_of(of, w->ids[i], w->ids[i + 1]);
    while (n > 1) {
        int64_t best = 0;
        for (int64_t i = 1; i + 1 < n; i++)
            if (w->ranks[i] < w->ranks[best])
                best = i;
        if (w->ranks[best] == NO_RANK)
            break;
        w->ids[best] = find_merge(of, w->ids[best], w->ids[best + 1])->id;
        n--;
        for (int64_t i = best + 1; i < n; i++) {
            w->ids[i] = w->ids[i + 1];
            w->ranks[i] = w->ranks[i + 1];
        }
        if (best + 1 < n)
            w->ranks[best] = rank_of(of, w->ids[best], w->ids[best + 1]);
        if (best > 0)
            w->ranks[best - 1] = rank_of(of, w->ids[best - 1], w->ids[best]);
    }
    w->count = n;
}

/* The heap holds (rank, place), the least on top; entries whose rank is no longer their place's are
 * stale. A join adds two entries, so three for each symbol suffice. */
static void heap_push(word *w, int32_t rank, int32_t place)
{
    if (rank == NO_RANK)
        return;
    uint64_t entry = (uint64_t)(uint32_t)rank << 32 | (uint32_t)place;
    int64_t at = w->heap_count++;
    for (; at > 0 && w->heap[(at - 1) / 2] > entry; at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = entry;
}

static uint64_t heap_pop(word *w)
{
    uint64_t top = w->heap[0], last = w->heap[--w->heap_count];
    int64_t at = 0, n = w->heap_count;
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= last)
            break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return top;
}

static void set_rank(const bpe_model *of, word *w, int32_t place)
{
    int32_t next = w->next[place];
    w->ranks[place] = next < 0 ? NO_RANK : rank_of(of, w->ids[place], w->ids[next]);
    heap_push(w, w->ranks[place], place);
}

static void join_long(const bpe_model *of, word *w)
{
    for (int64_t i = 0; i < w->count; i++) {
        w->previous[i] = (int32_t)i - 1;
        w->next[i] = i + 1 < w->count ? (int32_t)i + 1 : -1;
    }
    for (int64_t i = 0; i < w->count; i++)
        set_rank(of, w, (int32_t)i);
    while (w->heap_count > 0) {
        uint64_t top = heap_pop(w);
        int32_t place = (int32_t)(top & UINT32_MAX), rank = (int32_t)(top >> 32);
        if (w->ranks[place] != rank)
            continue;
        int32_t gone = w->next[place];
        w->ids[place] = find_merge(of, w->ids[place], w->ids[gone])->id;
        w->ranks[gone] = NO_RANK;
        w->next[place] = w->next[gone];
        if (w->next[place] >= 0)
            w->previous[w->next[place]] = place;
        set_rank(of, w, place);
        if (w->previous[place] >= 0)
            set_rank(of, w, w->previous[place]);
    }
    int64_t n = 0;
    for (int32_t at = 0; at >= 0 && w->count > 0; at = w->next[at])
        w->ids[n++] = w->ids[at]; /* n never overtakes at */
    w->count = n;
}

bool bpe_encode(const bpe_model *of, const vocabulary *tokens, bpe_scratch *scratch,
                const char *text, int64_t bytes, assay_ids *out, assay_error *error)
{
    word w;
    if (of->whole_words) {
        int32_t id = vocabulary_find(of->letters ? &of->words : tokens, text, bytes);
        if (id >= 0) {
            if (!ids_reserve(out, 1, error))
                return false;
            out->items[out->count++] = id;
            return true;
        }
    }
    if (!word_begin(scratch, bytes, &w, error) || !ids_reserve(out, bytes, error))
        return false;
    add_symbols(of, tokens, text, bytes, &w);
    if (w.count <= SHORT_WORD)
        join_short(of, &w);
    else
        join_long(of, &w);
    memcpy(out->items + out->count, w.ids, (size_t)w.count * sizeof *w.ids);
    out->count += w.count;
    return true;
}
