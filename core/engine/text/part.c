/* part.c - reading the parts of a tokenizer.json: every key is known, every value of its type. */
#include "engine/text/part.h"

#include <stdio.h>
#include <string.h>

const char *part_kind(const json_t *value)
{
    if (value == NULL)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return assay_text("the text '%.80s'", json_string_value(value));
    case JSON_INTEGER:
        return assay_text("the number %" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return assay_text("the number %g", json_real_value(value));
    case JSON_NULL:
        return "null";
    default:
        return json_is_true(value) ? "true" : "false";
    }
}

bool part_bad(const file_part *part, const char *what, const char *expected, const char *got,
              assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = part->place, .what = what,
                      .expected = expected, .got = got);
}

bool part_unsupported(const file_part *part, const char *what, const char *expected,
                      const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = part->place, .what = what,
                      .expected = expected, .got = got);
}

/* "x.json: model" below the file, "x.json: model.vocab" deeper. A place that does not fit is cut,
 * which a message can bear. */
static void set_place(file_part *out, const file_part *of, const char *key, const char *index)
{
    const char *joint = strstr(of->place, ": ") != NULL ? "." : ": ";
    const char *place = assay_text("%.100s%s%.60s%s", of->place, joint, key, index);
    snprintf(out->place, sizeof out->place, "%.191s", place);
}

file_part part_member(const file_part *part, const char *key)
{
    file_part out = {.value = json_object_get(part->value, key)};
    if (json_is_null(out.value))
        out.value = NULL;
    set_place(&out, part, key, "");
    return out;
}

file_part part_item(const file_part *part, const char *key, int64_t i)
{
    file_part out = {.value = json_array_get(json_object_get(part->value, key), (size_t)i)};
    set_place(&out, part, key, assay_text("[%lld]", (long long)i));
    return out;
}

bool part_check_keys(const file_part *part, const char *const *keys, assay_error *error)
{
    if (!json_is_object(part->value))
        return part_bad(part, "this is not an object", "an object", part_kind(part->value), error);
    int known = 0;
    while (keys[known] != NULL)
        known++;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)part->value, key, value)
    {
        bool found = strcmp(key, "type") == 0;
        for (int i = 0; i < known && !found; i++)
            found = strcmp(key, keys[i]) == 0;
        const char *near = found ? NULL : assay_nearest(key, known, keys);
        if (!found)
            return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = part->place,
                              .what = assay_text("unknown key '%.100s'", key),
                              .hint = near != NULL ? assay_text("did you mean '%s'?", near) : NULL);
    }
    return true;
}

bool part_type(const file_part *part, const char **out, assay_error *error)
{
    if (!json_is_object(part->value))
        return part_bad(part, "this is not an object", "an object with a type",
                        part_kind(part->value), error);
    return part_text(part, "type", NULL, out, error);
}

bool part_flag(const file_part *part, const char *key, const bool *usual, bool *out,
               assay_error *error)
{
    const json_t *value = json_object_get(part->value, key);
    if (value == NULL && usual != NULL) {
        *out = *usual;
        return true;
    }
    if (!json_is_boolean(value))
        return part_bad(part, assay_text("'%s' is not a flag", key), "true or false",
                        part_kind(value), error);
    *out = json_is_true(value);
    return true;
}

bool part_text(const file_part *part, const char *key, const char *usual, const char **out,
               assay_error *error)
{
    const json_t *value = json_object_get(part->value, key);
    if (value == NULL && usual != NULL) {
        *out = usual;
        return true;
    }
    if (!json_is_string(value))
        return part_bad(part, assay_text("'%s' is not a text", key), "a text", part_kind(value),
                        error);
    *out = json_string_value(value);
    return true;
}

bool part_whole(const file_part *part, const char *key, int64_t low, int64_t high, int64_t *out,
                assay_error *error)
{
    const json_t *value = json_object_get(part->value, key);
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high)
        return part_bad(part, assay_text("'%s' is not a whole number in range", key),
                        assay_text("%lld .. %lld", (long long)low, (long long)high),
                        part_kind(value), error);
    *out = json_integer_value(value);
    return true;
}

bool part_list(const file_part *part, const char *key, int64_t *count, assay_error *error)
{
    const json_t *value = json_object_get(part->value, key);
    if (!json_is_array(value))
        return part_bad(part, assay_text("'%s' is not a list", key), "a list", part_kind(value),
                        error);
    *count = (int64_t)json_array_size(value);
    return true;
}
