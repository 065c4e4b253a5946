/* decode.c - decoders: tokens back to a text. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

/* ---- reading ---- */

static decode_step *add_step(decoder *of, decode_kind kind, assay_error *error)
{
    decode_step *steps = assay_zalloc((of->count + 1) * (int64_t)sizeof *steps, error);
    if (steps == NULL)
        return NULL;
    if (of->count > 0)
        memcpy(steps, of->steps, (size_t)of->count * sizeof *steps);
    assay_free(of->steps);
    of->steps = steps;
    steps[of->count].kind = kind;
    return &steps[of->count++];
}

static bool read_byte_level(decoder *of, const file_part *part, assay_error *error)
{
    return PART_KEYS(part, error, "add_prefix_space", "trim_offsets", "use_regex") &&
           add_step(of, DECODE_LETTERS, error) != NULL;
}

static bool read_wordpiece(decoder *of, const file_part *part, assay_error *error)
{
    const char *prefix;
    bool cleanup;
    if (!PART_KEYS(part, error, "prefix", "cleanup") ||
        !part_text(part, "prefix", NULL, &prefix, error) ||
        !part_flag(part, "cleanup", NULL, &cleanup, error))
        return false;
    decode_step *step = add_step(of, DECODE_WORDPIECE, error);
    if (step == NULL)
        return false;
    step->cleanup = cleanup;
    step->prefix = assay_strdup(prefix, error);
    return step->prefix != NULL;
}

static bool read_sequence(decoder *of, const file_part *part, assay_error *error)
{
    int64_t count = 0;
    if (!PART_KEYS(part, error, "decoders") || !part_list(part, "decoders", &count, error))
        return false;
    for (int64_t i = 0; i < count; i++) {
        file_part item = part_item(part, "decoders", i);
        if (!decoder_read(of, &item, error))
            return false;
    }
    return true;
}

bool decoder_read(decoder *of, const file_part *part, assay_error *error)
{
    const char *type;
    of->given = true;
    if (!part_type(part, &type, error))
        return false;
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(of, part, error);
    if (strcmp(type, "WordPiece") == 0)
        return read_wordpiece(of, part, error);
    if (strcmp(type, "Sequence") == 0)
        return read_sequence(of, part, error);
    return part_unsupported(part, "unknown decoder", "ByteLevel, WordPiece or Sequence",
                            assay_text("'%.100s'", type), error);
}

void decoder_clear(decoder *of)
{
    for (int i = 0; i < of->count; i++)
        assay_free(of->steps[i].prefix);
    assay_free(of->steps);
    *of = (decoder){0};
}

/* ---- decoding ---- */

/* Texts one after the other, with the end of each. */
typedef struct chain {
    text_buffer texts;
    int64_t *ends;
    int64_t count, room;
} chain;

static void chain_free(chain *of)
{
    text_buffer_free(&of->texts);
    assay_free(of->ends);
    *of = (chain){0};
}

/* The texts added since the last one are one more. */
static void chain_end(chain *of)
{
    of->ends[of->count++] = of->texts.bytes;
}

static bool chain_begin(chain *of, int64_t room, assay_error *error)
{
    int64_t bytes;
    if (!assay_size_mul(&bytes, room + 1, sizeof *of->ends))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "too many ids");
    of->ends = assay_alloc(bytes, error);
    of->room = room;
    return of->ends != NULL;
}

/* Bytes as text: what is no UTF-8 becomes U+FFFD, one for the longest beginning of a character. */
static bool add_lossy(const char *text, int64_t bytes, text_buffer *out, assay_error *error)
{
    for (int64_t at = 0; at < bytes;) {
        int64_t bad = unicode_check(text + at, bytes - at);
        int64_t good = bad < 0 ? bytes - at : bad;
        if (!text_buffer_add(out, text + at, good, error))
            return false;
        at += good;
        if (bad < 0)
            break;
        at += unicode_broken(text + at, bytes - at);
        if (!text_buffer_add(out, "\xEF\xBF\xBD", 3, error))
            return false;
    }
    return true;
}

/* All tokens as the bytes of their letters; a token with another character is taken as it is. */
static bool decode_letters(const chain *from, chain *to, assay_error *error)
{
    text_buffer bytes = {0};
    bool ok = text_buffer_reserve(&bytes, from->texts.bytes + 1, error);
    int64_t begin = 0;
    for (int64_t i = 0; ok && i < from->count; begin = from->ends[i++]) {
        int64_t start = bytes.bytes, at = begin;
        while (at < from->ends[i]) {
            int byte = byte_of_letter(unicode_next(from->texts.data, &at));
            if (byte < 0) {
                bytes.bytes = start;
                ok =
                    text_buffer_add(&bytes, from->texts.data + begin, from->ends[i] - begin, error);
                break;
            }
            bytes.data[bytes.bytes++] = (char)byte;
        }
    }
    ok = ok && chain_begin(to, 1, error) && add_lossy(bytes.data, bytes.bytes, &to->texts, error);
    if (ok)
        chain_end(to);
    text_buffer_free(&bytes);
    return ok;
}

/* Replaces every `what` of the text from `begin` on, in place: `by` is no longer than it. */
static void replace_shorter(text_buffer *text, int64_t begin, const char *what, const char *by)
{
    int64_t bytes = (int64_t)strlen(what), less = (int64_t)strlen(by), to = begin;
    for (int64_t at = begin; at < text->bytes;) {
        if (text->bytes - at >= bytes && memcmp(text->data + at, what, (size_t)bytes) == 0) {
            memcpy(text->data + to, by, (size_t)less);
            to += less;
            at += bytes;
        } else {
            text->data[to++] = text->data[at++];
        }
    }
    text->bytes = to;
}

/* The spaces that English does not write, in the order in which Hugging Face takes them out. */
static void clean_up(text_buffer *text, int64_t begin)
{
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        replace_shorter(text, begin, rules[i][0], rules[i][1]);
}

/* A token that goes on loses its prefix, any other but the first gets a space. */
static bool decode_wordpiece(const decode_step *step, const chain *from, chain *to,
                             assay_error *error)
{
    int64_t prefix = (int64_t)strlen(step->prefix), begin = 0;
    if (!chain_begin(to, from->count, error))
        return false;
    for (int64_t i = 0; i < from->count; begin = from->ends[i++]) {
        const char *token = from->texts.data + begin;
        int64_t bytes = from->ends[i] - begin, start = to->texts.bytes;
        bool goes_on = i > 0 && bytes >= prefix && memcmp(token, step->prefix, (size_t)prefix) == 0;
        int64_t skip = goes_on ? prefix : 0;
        if ((i > 0 && !goes_on && !text_buffer_add(&to->texts, " ", 1, error)) ||
            !text_buffer_add(&to->texts, token + skip, bytes - skip, error))
            return false;
        if (step->cleanup)
            clean_up(&to->texts, start);
        chain_end(to);
    }
    return true;
}

/* A token as decoders see it: an added one that is looked for in normalized text, in that form. */
static const char *shown_token(const assay_tokenizer *of, int32_t id, int64_t *bytes)
{
    const char *token = vocabulary_token(&of->tokens, id, bytes);
    const added_list *list = &of->normalized;
    for (int64_t i = 0; token != NULL && of->tokens.entries[id].renamed && i < list->count; i++)
        if (list->items[i].id == id) {
            *bytes = list->items[i].bytes;
            return list->items[i].content;
        }
    return token;
}

/* The tokens of the ids, of special ones only those asked for. */
static bool take_tokens(const assay_tokenizer *of, const int32_t *ids, int64_t count,
                        bool skip_special, chain *out, assay_error *error)
{
    if (!chain_begin(out, count, error) || !text_buffer_reserve(&out->texts, 1, error))
        return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t bytes = 0;
        const char *token = shown_token(of, ids[i], &bytes);
        if (token == NULL)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "tokenizer",
                              .what = "an id has no token",
                              .expected = assay_text("0 .. %lld", (long long)of->tokens.size - 1),
                              .got = assay_text("%d", ids[i]));
        if (skip_special && of->tokens.entries[ids[i]].special)
            continue;
        if (!of->decoder.given && out->count > 0 && !text_buffer_add(&out->texts, " ", 1, error))
            return false;
        if (!text_buffer_add(&out->texts, token, bytes, error))
            return false;
        chain_end(out);
    }
    return true;
}

bool assay_tokenizer_decode(const assay_tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            bool skip_special, char **text, int64_t *bytes, assay_error *error)
{
    chain now = {0};
    bool ok = take_tokens(tokenizer, ids, count, skip_special, &now, error);
    for (int i = 0; ok && i < tokenizer->decoder.count; i++) {
        const decode_step *step = &tokenizer->decoder.steps[i];
        chain next = {0};
        ok = step->kind == DECODE_LETTERS ? decode_letters(&now, &next, error)
                                          : decode_wordpiece(step, &now, &next, error);
        chain_free(&now);
        now = next;
    }
    ok = ok && text_buffer_add(&now.texts, "", 1, error);
    if (ok) {
        *text = now.texts.data;
        *bytes = now.texts.bytes - 1;
        now.texts = (text_buffer){0};
    }
    chain_free(&now);
    return ok;
}
