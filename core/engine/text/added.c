/* added.c - added tokens: found in a text as they stand, before anything divides it. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

void added_clear(added_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        assay_free(list->items[i].content);
    assay_free(list->items);
    *list = (added_list){0};
}

/* The longest token that stands at `at`, or NULL. */
static const added_token *token_at(const added_list *list, const char *text, int64_t bytes,
                                   int64_t at)
{
    unsigned char first = (unsigned char)text[at];
    for (int32_t i = list->first[first]; i < list->first[first + 1]; i++) {
        const added_token *token = &list->items[i];
        if (token->bytes <= bytes - at &&
            memcmp(token->content, text + at, (size_t)token->bytes) == 0)
            return token;
    }
    return NULL;
}

static bool stands_alone(const char *text, int64_t bytes, int64_t begin, int64_t end)
{
    return (begin == 0 || !unicode_is_word(unicode_before(text, begin))) &&
           (end == bytes || !unicode_is_word(unicode_next(text, &(int64_t){end})));
}

static int64_t reach_left(const char *text, int64_t begin, int64_t floor)
{
    while (begin > floor && unicode_is_white(unicode_before(text, begin)))
        do
            begin--;
        while (((unsigned char)text[begin] & 0xC0) == 0x80);
    return begin;
}

static int64_t reach_right(const char *text, int64_t bytes, int64_t end)
{
    int64_t next = end;
    while (next < bytes && unicode_is_white(unicode_next(text, &next)))
        end = next;
    return end;
}

int32_t added_find(const added_list *list, const char *text, int64_t bytes, int64_t from,
                   int64_t floor, int64_t *begin, int64_t *end, int64_t *next)
{
    for (int64_t at = from; list->count > 0 && at < bytes; at++) {
        unsigned char first = (unsigned char)text[at];
        if (list->first[first] == list->first[first + 1])
            continue;
        const added_token *token = token_at(list, text, bytes, at);
        if (token == NULL)
            continue;
        int64_t behind = at + token->bytes;
        if (token->single_word && !stands_alone(text, bytes, at, behind)) {
            at = behind - 1; /* it was met, and is no token: nothing inside it is one either */
            continue;
        }
        *begin = token->left ? reach_left(text, at, floor) : at;
        *end = token->right ? reach_right(text, bytes, behind) : behind;
        *next = behind;
        return token->id;
    }
    return -1;
}
