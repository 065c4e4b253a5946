/* tokenizer.c - opens a tokenizer, and takes texts through its parts. */
#include "engine/text/tokenizer.h"

#include "engine/text/workspace.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_FILE ((int64_t)1 << 30)

/* ---- ids ---- */

bool ids_reserve(assay_ids *ids, int64_t more, assay_error *error)
{
    int64_t wanted, bytes;
    if (more <= ids->room - ids->count)
        return true;
    if (!assay_size_add(&wanted, ids->count, more) || !assay_size_mul(&wanted, wanted, 2) ||
        !assay_size_mul(&bytes, wanted, sizeof *ids->items))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "tokenizer", .what = "too many ids");
    int32_t *items = assay_alloc(bytes, error);
    if (items == NULL)
        return false;
    if (ids->count > 0)
        memcpy(items, ids->items, (size_t)ids->count * sizeof *items);
    assay_free(ids->items);
    ids->items = items;
    ids->room = wanted;
    return true;
}

void assay_ids_free(assay_ids *ids)
{
    assay_free(ids->items);
    *ids = (assay_ids){0};
}

/* ---- opening ---- */

/* The file, or the one in the folder; both must be there. */
static bool find_file(const char *path, char *out, size_t size, assay_error *error)
{
    struct stat status;
    int length = snprintf(out, size, "%s", path);
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        length = snprintf(out, size, "%s/tokenizer.json", path);
    if (length < 0 || (size_t)length >= size)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
    if (stat(out, &status) == 0)
        return true;
    return ASSAY_FAIL(error, errno == ENOENT || errno == ENOTDIR ? ASSAY_BAD_INPUT : ASSAY_IO,
                      .where = out, .what = "the tokenizer cannot be read",
                      .expected = "a tokenizer.json, or a folder with one", .got = strerror(errno));
}

static json_t *parse(const char *path, assay_error *error)
{
    int64_t bytes = 0;
    json_error_t wrong;
    char *text = assay_read_file(path, MOST_FILE, &bytes, error);
    if (text == NULL)
        return NULL;
    json_t *file = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &wrong);
    assay_free(text);
    if (file == NULL)
        ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("%.200s:%d", path, wrong.line),
                   .what = "the file is not valid JSON", .got = wrong.text);
    return file;
}

assay_tokenizer *assay_tokenizer_open(const char *path, assay_error *error)
{
    char file[4096];
    assay_tokenizer *of = NULL;
    if (!find_file(path, file, sizeof file, error))
        return NULL;
    file_part whole = {.value = parse(file, error)};
    if (whole.value == NULL)
        return NULL;
    snprintf(whole.place, sizeof whole.place, "%s", assay_text("%.180s", file));
    of = assay_zalloc(sizeof *of, error);
    if (of != NULL) {
        pthread_mutex_init(&of->lock, NULL);
        if (!tokenizer_read(of, &whole, error)) {
            assay_tokenizer_free(of);
            of = NULL;
        }
    }
    json_decref((json_t *)whole.value);
    return of;
}

void assay_tokenizer_free(assay_tokenizer *of)
{
    if (of == NULL)
        return;
    while (of->idle != NULL) {
        workspace *space = of->idle;
        of->idle = space->next;
        workspace_free(space);
    }
    vocabulary_clear(&of->tokens);
    added_clear(&of->raw);
    added_clear(&of->normalized);
    normalizer_clear(&of->normalizer);
    splitter_clear(&of->splitter);
    bpe_clear(&of->bpe);
    wordpiece_clear(&of->wordpiece);
    surround_clear(&of->surround);
    decoder_clear(&of->decoder);
    pthread_mutex_destroy(&of->lock);
    assay_free(of);
}

int64_t assay_tokenizer_size(const assay_tokenizer *tokenizer)
{
    return tokenizer->tokens.size;
}

int32_t assay_tokenizer_id(const assay_tokenizer *tokenizer, const char *token)
{
    return vocabulary_find_any(&tokenizer->tokens, token, (int64_t)strlen(token));
}

const char *assay_tokenizer_token(const assay_tokenizer *tokenizer, int32_t id)
{
    return vocabulary_token(&tokenizer->tokens, id, NULL);
}

bool assay_tokenizer_is_special(const assay_tokenizer *tokenizer, int32_t id)
{
    return vocabulary_token(&tokenizer->tokens, id, NULL) != NULL &&
           tokenizer->tokens.entries[id].special;
}

/* ---- encoding ---- */

typedef struct encoding {
    const assay_tokenizer *of;
    workspace *space;
    assay_ids *out;
    assay_error *error;
} encoding;

static bool encode_new_word(const encoding *e, const char *word, int64_t bytes)
{
    const assay_tokenizer *of = e->of;
    if (of->is_bpe)
        return bpe_encode(&of->bpe, &of->tokens, &e->space->bpe, word, bytes, e->out, e->error);
    return wordpiece_encode(&of->wordpiece, &of->tokens, word, bytes, e->out, e->error);
}

/* A piece_taker: the ids of one word, remembered when it is short. */
static bool encode_word(void *user, const char *word, int64_t bytes)
{
    encoding *e = user;
    if (bytes > CACHED_BYTES)
        return encode_new_word(e, word, bytes);
    cached_word *slot = workspace_slot(e->space, word, bytes);
    if (slot->bytes == bytes && memcmp(slot->word, word, (size_t)bytes) == 0) {
        if (!ids_reserve(e->out, CACHED_IDS, e->error))
            return false;
        memcpy(e->out->items + e->out->count, slot->ids, sizeof slot->ids);
        e->out->count += slot->count;
        return true;
    }
    int64_t before = e->out->count;
    if (!encode_new_word(e, word, bytes))
        return false;
    int64_t count = e->out->count - before;
    if (count <= CACHED_IDS) {
        slot->bytes = (uint8_t)bytes;
        slot->count = (uint8_t)count;
        memcpy(slot->word, word, (size_t)bytes);
        if (count > 0)
            memcpy(slot->ids, e->out->items + before, (size_t)count * sizeof *slot->ids);
    }
    return true;
}

static bool add_id(const encoding *e, int32_t id)
{
    if (!ids_reserve(e->out, 1, e->error))
        return false;
    e->out->items[e->out->count++] = id;
    return true;
}

/* What is done with the text between two added tokens. */
typedef bool between(encoding *e, const char *text, int64_t bytes);

static bool divide_text(encoding *e, const char *text, int64_t bytes)
{
    return splitter_apply(&e->of->splitter, e->space->match, e->space->pieces, text, bytes,
                          encode_word, e, e->error);
}

/* The added tokens of the list as their ids, and the rest by `rest`. */
static bool find_added(encoding *e, const added_list *list, const char *text, int64_t bytes,
                       between *rest)
{
    int64_t done = 0, from = 0, begin = 0, end = 0;
    int32_t id;
    while ((id = added_find(list, text, bytes, from, done, &begin, &end, &from)) >= 0) {
        if ((done < begin && !rest(e, text + done, begin - done)) || !add_id(e, id))
            return false;
        done = end;
    }
    return done >= bytes || rest(e, text + done, bytes - done);
}

static bool normalize_text(encoding *e, const char *text, int64_t bytes)
{
    const char *normal = text;
    if (!normalizer_apply(&e->of->normalizer, e->space->match, text, bytes, e->space->normalized,
                          &normal, &bytes, e->error))
        return false;
    return find_added(e, &e->of->normalized, normal, bytes, divide_text);
}

bool assay_tokenizer_encode(const assay_tokenizer *tokenizer, const char *text, int64_t bytes,
                            bool with_special, assay_ids *out, assay_error *error)
{
    int64_t before = out->count, wrong = unicode_check(text, bytes);
    if (wrong >= 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "tokenizer",
                          .what = "the text is not UTF-8",
                          .got = assay_text("byte 0x%02X at offset %lld",
                                            (unsigned char)text[wrong], (long long)wrong));
    workspace *space = workspace_take(tokenizer, error);
    if (space == NULL)
        return false;
    encoding e = {tokenizer, space, out, error};
    const surround *around = &tokenizer->surround;
    bool ok = true;
    for (int64_t i = 0; ok && with_special && i < around->before.count; i++)
        ok = add_id(&e, around->before.items[i]);
    ok = ok && find_added(&e, &tokenizer->raw, text, bytes, normalize_text);
    for (int64_t i = 0; ok && with_special && i < around->after.count; i++)
        ok = add_id(&e, around->after.items[i]);
    workspace_give(tokenizer, space);
    if (!ok)
        out->count = before;
    return ok;
}
