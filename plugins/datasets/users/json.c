/* json.c - see json.h. */
#include "json.h"

#include <string.h>

bool json_only_keys(json_t *object, const char *what, int n, const char *const *keys,
                    const char *where, assay_error *error)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        int i = 0;
        while (i < n && strcmp(keys[i], key) != 0)
            i++;
        if (i < n)
            continue;
        const char *nearest = assay_nearest(key, n, keys);
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where,
                          .what = assay_text("unknown key '%s' in %s", key, what),
                          .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
    }
    return true;
}

const char *json_text_of(json_t *object, const char *key, const char *what, const char *where,
                         assay_error *error)
{
    json_t *value = json_object_get(object, key);
    if (json_is_string(value) && json_string_length(value) > 0)
        return json_string_value(value);
    ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where,
               .what = assay_text("%s has no '%s'", what, key),
               .expected = "a text of at least one character", .got = json_kind(value));
    return NULL;
}

const char *json_kind(const json_t *value)
{
    if (value == NULL)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return assay_text("a list of %zu", json_array_size(value));
    case JSON_STRING:
        return assay_text("the text '%.60s'", json_string_value(value));
    case JSON_INTEGER:
    case JSON_REAL:
        return assay_text("the number %g", json_number_value(value));
    case JSON_NULL:
        return "null";
    default:
        return json_is_true(value) ? "true" : "false";
    }
}

const char *json_place(const char *path, int64_t line)
{
    size_t length = strlen(path), most = 200;
    if (length <= most)
        return assay_text("%s:%lld", path, (long long)line);
    return assay_text("...%s:%lld", path + length - most, (long long)line);
}
