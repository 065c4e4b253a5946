/* surround.c - post-processors: the special tokens around one text.
 *
 * A file may describe pairs of texts too; only the part for a single one is used and checked. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

static bool check_id(const file_part *part, int64_t id, const vocabulary *tokens,
                     assay_error *error)
{
    if (vocabulary_token(tokens, (int32_t)id, NULL) != NULL)
        return true;
    return part_bad(part, "a special token's id has no token", "an id of 'vocab' or 'added_tokens'",
                    assay_text("%lld", (long long)id), error);
}

static bool push(assay_ids *ids, int32_t id, assay_error *error)
{
    if (!ids_reserve(ids, 1, error))
        return false;
    ids->items[ids->count++] = id;
    return true;
}

/* What this processor adds goes around what those before it added. */
static bool wrap(surround *of, const assay_ids *before, const assay_ids *after, assay_error *error)
{
    assay_ids whole = {0};
    bool ok = ids_reserve(&whole, before->count + of->before.count + 1, error);
    for (int64_t i = 0; ok && i < before->count; i++)
        whole.items[whole.count++] = before->items[i];
    for (int64_t i = 0; ok && i < of->before.count; i++)
        whole.items[whole.count++] = of->before.items[i];
    for (int64_t i = 0; ok && i < after->count; i++)
        ok = push(&of->after, after->items[i], error);
    if (ok) {
        assay_ids_free(&of->before);
        of->before = whole;
    } else {
        assay_ids_free(&whole);
    }
    return ok;
}

/* ["[SEP]", 102]: the token must be the one with this id. */
static bool read_named_id(const file_part *part, const char *key, const vocabulary *tokens,
                          assay_ids *out, assay_error *error)
{
    const json_t *pair = json_object_get(part->value, key);
    const json_t *name = json_array_get(pair, 0), *id = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_string(name) || !json_is_integer(id) ||
        json_integer_value(id) < 0 || json_integer_value(id) >= VOCABULARY_MOST)
        return part_bad(part, assay_text("'%s' is not a token with its id", key), "[\"TOKEN\", ID]",
                        part_kind(pair), error);
    const char *token = vocabulary_token(tokens, (int32_t)json_integer_value(id), NULL);
    if (token == NULL || strcmp(token, json_string_value(name)) != 0)
        return part_bad(part, assay_text("unknown special token '%.80s'", json_string_value(name)),
                        assay_text("the token of id %lld", (long long)json_integer_value(id)),
                        token != NULL ? assay_text("'%.80s'", token) : "an id without a token",
                        error);
    return push(out, (int32_t)json_integer_value(id), error);
}

static bool read_pair(surround *of, const file_part *part, const vocabulary *tokens,
                      assay_error *error)
{
    assay_ids before = {0}, after = {0};
    bool ok = PART_KEYS(part, error, "sep", "cls", "trim_offsets", "add_prefix_space") &&
              read_named_id(part, "cls", tokens, &before, error) &&
              read_named_id(part, "sep", tokens, &after, error) && wrap(of, &before, &after, error);
    assay_ids_free(&before);
    assay_ids_free(&after);
    return ok;
}

static bool read_byte_level(surround *of, const file_part *part, const vocabulary *tokens,
                            assay_error *error)
{
    (void)of; /* it trims offsets, which are not asked for */
    (void)tokens;
    return PART_KEYS(part, error, "add_prefix_space", "trim_offsets", "use_regex");
}

/* The ids of a template's special token, by its entry under "special_tokens". */
static bool add_special(const file_part *part, const char *name, const vocabulary *tokens,
                        assay_ids *out, assay_error *error)
{
    const json_t *entry = json_object_get(json_object_get(part->value, "special_tokens"), name);
    const json_t *ids = json_object_get(entry, "ids");
    if (json_array_size(ids) == 0)
        return part_bad(part, assay_text("unknown special token '%.80s'", name),
                        "an entry with ids under 'special_tokens'", part_kind(entry), error);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= VOCABULARY_MOST)
            return part_bad(part, assay_text("an id of special token '%.80s' is none", name),
                            "a whole number", part_kind(id), error);
        if (!check_id(part, json_integer_value(id), tokens, error) ||
            !push(out, (int32_t)json_integer_value(id), error))
            return false;
    }
    return true;
}

static bool read_template(surround *of, const file_part *part, const vocabulary *tokens,
                          assay_error *error)
{
    int64_t count = 0;
    if (!PART_KEYS(part, error, "single", "pair", "special_tokens") ||
        !part_list(part, "single", &count, error))
        return false;
    assay_ids sides[2] = {{0}, {0}};
    int side = 0;
    bool ok = true;
    for (int64_t i = 0; ok && i < count; i++) {
        file_part item = part_item(part, "single", i);
        const json_t *sequence = json_object_get(item.value, "Sequence");
        const json_t *special = json_object_get(item.value, "SpecialToken");
        const char *id = json_string_value(json_object_get(sequence ? sequence : special, "id"));
        if (id == NULL || (sequence != NULL && (strcmp(id, "A") != 0 || side == 1)))
            ok = part_bad(
                &item, "a piece of the template is not for one text",
                "one {\"Sequence\": {\"id\": \"A\"}} and {\"SpecialToken\": ...} around it",
                part_kind(item.value), error);
        else if (sequence != NULL)
            side = 1;
        else
            ok = add_special(part, id, tokens, &sides[side], error);
    }
    if (ok && side == 0)
        ok = part_bad(part, "the template has no place for the text",
                      "{\"Sequence\": {\"id\": \"A\"}}", NULL, error);
    ok = ok && wrap(of, &sides[0], &sides[1], error);
    assay_ids_free(&sides[0]);
    assay_ids_free(&sides[1]);
    return ok;
}

static bool read_sequence(surround *of, const file_part *part, const vocabulary *tokens,
                          assay_error *error)
{
    int64_t count = 0;
    if (!PART_KEYS(part, error, "processors") || !part_list(part, "processors", &count, error))
        return false;
    for (int64_t i = 0; i < count; i++) {
        file_part item = part_item(part, "processors", i);
        if (!surround_read(of, &item, tokens, error))
            return false;
    }
    return true;
}

bool surround_read(surround *of, const file_part *part, const vocabulary *tokens,
                   assay_error *error)
{
    static const struct {
        const char *type;
        bool (*read)(surround *, const file_part *, const vocabulary *, assay_error *);
    } known[] = {
        {"TemplateProcessing", read_template}, {"BertProcessing", read_pair},
        {"RobertaProcessing", read_pair},      {"ByteLevel", read_byte_level},
        {"Sequence", read_sequence},
    };
    const char *type;
    if (!part_type(part, &type, error))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0)
            return known[i].read(of, part, tokens, error);
    return part_unsupported(part, "unknown post-processor",
                            "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel or "
                            "Sequence",
                            assay_text("'%.100s'", type), error);
}

void surround_clear(surround *of)
{
    assay_ids_free(&of->before);
    assay_ids_free(&of->after);
}
