/* json.h - what reading dataset.json and reading a user's line share. */
#ifndef USERS_JSON_H
#define USERS_JSON_H

#include <assay/error.h>

#include <jansson.h>
#include <stdint.h>

/* Whether every key of `object` is one of the n known ones; else an error at `where` with the
 * nearest. `what` names the object for people ("event", "task"). */
bool json_only_keys(json_t *object, const char *what, int n, const char *const *keys,
                    const char *where, assay_error *error);

/* A required text of at least one character; borrowed from the object, NULL after a failure. */
const char *json_text_of(json_t *object, const char *key, const char *what, const char *where,
                         assay_error *error);

/* "an object", "a text", "the number 3" ...: what a value is, for messages. Borrowed like
 * assay_text. */
const char *json_kind(const json_t *value);

/* "FILE:LINE"; a long path loses its front, never the line. Borrowed like assay_text. */
const char *json_place(const char *path, int64_t line);

#endif
