/* read.c - a whole tokenizer.json: vocabulary, added tokens, and the parts around the model. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <stdlib.h>
#include <string.h>

/* ---- vocabulary ---- */

/* One more than the largest id of the file. */
static bool count_ids(const file_part *file, const file_part *vocab, int64_t *out,
                      assay_error *error)
{
    const char *token;
    json_t *id;
    *out = 0;
    json_object_foreach((json_t *)vocab->value, token, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= VOCABULARY_MOST)
            return part_bad(vocab, assay_text("the id of token '%.80s' is none", token),
                            "a whole number, 0 .. 16777215", part_kind(id), error);
        if (json_integer_value(id) >= *out)
            *out = json_integer_value(id) + 1;
    }
    size_t added = json_array_size(json_object_get(file->value, "added_tokens"));
    for (size_t i = 0; i < added; i++) {
        file_part item = part_item(file, "added_tokens", (int64_t)i);
        int64_t number = 0;
        if (!part_whole(&item, "id", 0, VOCABULARY_MOST - 1, &number, error))
            return false;
        if (number >= *out)
            *out = number + 1;
    }
    return true;
}

static bool read_vocabulary(assay_tokenizer *of, const file_part *file, const file_part *model,
                            assay_error *error)
{
    file_part vocab = part_member(model, "vocab");
    int64_t size = 0;
    if (!json_is_object(vocab.value))
        return part_bad(&vocab, "there is no vocabulary", "an object of tokens and ids",
                        part_kind(vocab.value), error);
    if (!count_ids(file, &vocab, &size, error) || !vocabulary_init(&of->tokens, size, error))
        return false;
    const char *token;
    json_t *id;
    json_object_foreach((json_t *)vocab.value, token, id)
    {
        bool taken = false;
        if (vocabulary_put(&of->tokens, (int32_t)json_integer_value(id), token,
                           (int64_t)strlen(token), false, &taken, error))
            continue;
        return taken &&
               part_bad(&vocab, "two tokens have one id",
                        assay_text("an id of its own for '%.80s'", token), part_kind(id), error);
    }
    return true;
}

/* ---- added tokens ---- */

/* The content as it is looked for in normalized text. */
static bool normalize_content(const assay_tokenizer *of, const char *content, char **out,
                              int64_t *bytes, assay_error *error)
{
    text_buffer two[2] = {{0}, {0}};
    const char *text = content;
    pattern_match *match = pattern_match_new(error);
    *bytes = (int64_t)strlen(content);
    bool ok = match != NULL &&
              normalizer_apply(&of->normalizer, match, content, *bytes, two, &text, bytes, error);
    *out = ok ? assay_alloc(*bytes + 1, error) : NULL;
    if (*out != NULL) {
        memcpy(*out, text, (size_t)*bytes);
        (*out)[*bytes] = '\0';
    }
    text_buffer_free(&two[0]);
    text_buffer_free(&two[1]);
    pattern_match_free(match);
    return *out != NULL;
}

/* The token's id is the vocabulary's, or new to it. */
static bool place_added(assay_tokenizer *of, const file_part *part, const char *content, int32_t id,
                        bool special, assay_error *error)
{
    int64_t bytes = (int64_t)strlen(content);
    int32_t known = vocabulary_find_any(&of->tokens, content, bytes);
    bool taken = false;
    if (known >= 0 && known != id)
        return part_bad(part, assay_text("the added token '%.80s' has another id", content),
                        assay_text("%d, as in the vocabulary", known), assay_text("%d", id), error);
    if (known < 0 && !vocabulary_put(&of->tokens, id, content, bytes, true, &taken, error))
        return taken &&
               part_bad(
                   part, assay_text("the added token '%.80s' takes another's id", content),
                   "an id of its own",
                   assay_text("%d, which is '%.80s'", id, vocabulary_token(&of->tokens, id, NULL)),
                   error);
    of->tokens.entries[id].special = of->tokens.entries[id].special || special;
    return true;
}

static bool read_added_token(assay_tokenizer *of, const file_part *part, assay_error *error)
{
    const char *content;
    int64_t id = 0;
    bool normalized, special;
    added_token token = {0};
    if (!PART_KEYS(part, error, "id", "content", "single_word", "lstrip", "rstrip", "normalized",
                   "special") ||
        !part_whole(part, "id", 0, VOCABULARY_MOST - 1, &id, error) ||
        !part_text(part, "content", NULL, &content, error) ||
        !part_flag(part, "single_word", NULL, &token.single_word, error) ||
        !part_flag(part, "lstrip", NULL, &token.left, error) ||
        !part_flag(part, "rstrip", NULL, &token.right, error) ||
        !part_flag(part, "normalized", NULL, &normalized, error) ||
        !part_flag(part, "special", NULL, &special, error))
        return false;
    if (content[0] == '\0')
        return part_bad(part, "the added token is empty", "at least one character", NULL, error);
    token.id = (int32_t)id;
    added_list *list = normalized ? &of->normalized : &of->raw;
    if (!place_added(of, part, content, token.id, special, error))
        return false;
    if (normalized) {
        if (!normalize_content(of, content, &token.content, &token.bytes, error))
            return false;
        of->tokens.entries[id].renamed = strcmp(content, token.content) != 0;
    } else {
        token.content = assay_strdup(content, error);
        token.bytes = (int64_t)strlen(content);
        if (token.content == NULL)
            return false;
    }
    list->items[list->count++] = token;
    return true;
}

/* By first byte, the longest first; of equal ones the first of the file. */
static int by_place(const void *left, const void *right)
{
    const added_token *a = left, *b = right;
    unsigned char first = (unsigned char)a->content[0], other = (unsigned char)b->content[0];
    if (first != other)
        return first < other ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void order_added(added_list *list)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i].bytes > 0) /* nothing is left of some after the normalizer */
            list->items[kept++] = list->items[i];
        else
            assay_free(list->items[i].content);
    list->count = kept;
    if (kept > 1)
        qsort(list->items, (size_t)kept, sizeof *list->items, by_place);
    int64_t i = 0;
    for (int byte = 0; byte <= 256; byte++) {
        while (i < kept && (unsigned char)list->items[i].content[0] < byte)
            i++;
        list->first[byte] = (int32_t)i;
    }
}

static bool read_added(assay_tokenizer *of, const file_part *file, assay_error *error)
{
    int64_t count = 0;
    if (json_object_get(file->value, "added_tokens") != NULL &&
        !part_list(file, "added_tokens", &count, error))
        return false;
    of->raw.items = assay_zalloc(count * (int64_t)sizeof(added_token), error);
    of->normalized.items = assay_zalloc(count * (int64_t)sizeof(added_token), error);
    if (of->raw.items == NULL || of->normalized.items == NULL)
        return false;
    for (int64_t i = 0; i < count; i++) {
        file_part item = part_item(file, "added_tokens", i);
        if (!read_added_token(of, &item, error))
            return false;
    }
    order_added(&of->raw);
    order_added(&of->normalized);
    return true;
}

/* ---- model and file ---- */

static bool read_model(assay_tokenizer *of, const file_part *model, assay_error *error)
{
    const char *type = NULL;
    splitter *s = &of->splitter;
    bool letters = s->count > 0 && s->steps[s->count - 1].kind == SPLIT_MAP;
    if (!part_type(model, &type, error))
        return false;
    of->is_bpe = strcmp(type, "BPE") == 0;
    if (!of->is_bpe)
        return wordpiece_read(&of->wordpiece, model, &of->tokens, error);
    if (!bpe_read(&of->bpe, model, &of->tokens, letters, error))
        return false;
    if (of->bpe.letters)
        s->count--; /* the model reads bytes as their letters by itself */
    return true;
}

/* Before its vocabulary is read: a model of another kind has none, or another shape of it. */
static bool check_model(const file_part *model, assay_error *error)
{
    const char *type = NULL;
    if (!part_type(model, &type, error))
        return false;
    return strcmp(type, "BPE") == 0 || strcmp(type, "WordPiece") == 0 ||
           part_unsupported(model, "unknown model", "BPE or WordPiece",
                            assay_text("'%.100s'", type), error);
}

/* null, or an object: how much of a text is kept is not decided here. */
static bool check_limits(const file_part *file, assay_error *error)
{
    static const char *const names[] = {"truncation", "padding"};
    for (int i = 0; i < 2; i++) {
        file_part limit = part_member(file, names[i]);
        if (limit.value != NULL && !json_is_object(limit.value))
            return part_bad(&limit, "this is not an object", "null or an object",
                            part_kind(limit.value), error);
    }
    return true;
}

bool tokenizer_read(assay_tokenizer *of, const file_part *file, assay_error *error)
{
    file_part model = part_member(file, "model");
    file_part normal = part_member(file, "normalizer");
    file_part split = part_member(file, "pre_tokenizer");
    file_part around = part_member(file, "post_processor");
    file_part back = part_member(file, "decoder");
    const char *version;
    if (!PART_KEYS(file, error, "version", "truncation", "padding", "added_tokens", "normalizer",
                   "pre_tokenizer", "post_processor", "decoder", "model") ||
        !part_text(file, "version", "1.0", &version, error))
        return false;
    if (strcmp(version, "1.0") != 0)
        return part_unsupported(file, "unknown version of tokenizer.json", "1.0",
                                assay_text("'%.100s'", version), error);
    return check_limits(file, error) && check_model(&model, error) &&
           read_vocabulary(of, file, &model, error) &&
           (normal.value == NULL || normalizer_read(&of->normalizer, &normal, error)) &&
           (split.value == NULL || splitter_read(&of->splitter, &split, error)) &&
           read_added(of, file, error) && read_model(of, &model, error) &&
           (around.value == NULL || surround_read(&of->surround, &around, &of->tokens, error)) &&
           (back.value == NULL || decoder_read(&of->decoder, &back, error));
}
