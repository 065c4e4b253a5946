/* test_reference.c - ids and texts are those of Hugging Face's tokenizers, for whole tokenizers.
 *
 * A folder holds NAME.json, one for each tokenizer, and reference.json with texts and their ids by
 * name (given.json too, where there is one). Besides the committed folder, ASSAY_TOKENIZERS names
 * another; without it that test says that it
 * was skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/open.h"

#include <pthread.h>

enum { MOST_NAMES = 16 };

/* What was compared, so that a folder that says nothing is no success. */
typedef struct tally {
    int tokenizers, absent;
    int64_t texts, ids, decoded;
} tally;

static const char *text_of(const json_t *value, int64_t *bytes)
{
    *bytes = (int64_t)json_string_length(value);
    return json_string_value(value);
}

static void check_ids(const assay_tokenizer *of, const char *name, const json_t *text,
                      const json_t *expected, bool special)
{
    assay_error error = {0};
    assay_ids ids = {0};
    int64_t bytes;
    const char *data = text_of(text, &bytes);
    if (!assay_tokenizer_encode(of, data, bytes, special, &ids, &error))
        fail_msg("%s: '%s': %s, got %s", name, data, error.what, error.got);
    if (!same_ids(&ids, expected)) {
        char *wanted = json_dumps(expected, 0);
        print_error("%s%s: '%s'\n  wanted %s\n  got ", name, special ? ", special" : "", data,
                    wanted);
        for (int64_t i = 0; i < ids.count; i++)
            print_error(" %d", ids.items[i]);
        print_error("\n");
        free(wanted);
        fail();
    }
    assay_ids_free(&ids);
}

/* Whether the ids of `list` decode to `expected`, special tokens included. */
static void check_text(const assay_tokenizer *of, const char *name, const json_t *list,
                       const json_t *expected)
{
    assay_error error = {0};
    int64_t count = (int64_t)json_array_size(list), bytes = 0, wanted_bytes;
    const char *wanted = text_of(expected, &wanted_bytes);
    int32_t *ids = assay_alloc(count * 4, NULL);
    char *text = NULL;
    assert_non_null(ids);
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    if (!assay_tokenizer_decode(of, ids, count, false, &text, &bytes, &error))
        fail_msg("%s: %s, got %s", name, error.what, error.got);
    if (bytes != wanted_bytes || memcmp(text, wanted, (size_t)bytes) != 0)
        fail_msg("%s: decoded '%s', wanted '%s'", name, text, wanted);
    assay_free(text);
    assay_free(ids);
}

static void check_cases(const assay_tokenizer *of, const char *name, const json_t *cases,
                        tally *seen)
{
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *entry = json_array_get(cases, i), *text = json_object_get(entry, "text");
        const json_t *ids = json_object_get(entry, name);
        char key[300];
        snprintf(key, sizeof key, "%s_special", name);
        const json_t *special = json_object_get(entry, key);
        snprintf(key, sizeof key, "%s_text", name);
        const json_t *decoded = json_object_get(entry, key);
        if (ids == NULL)
            continue;
        check_ids(of, name, text, ids, false);
        if (special != NULL)
            check_ids(of, name, text, special, true);
        if (decoded != NULL)
            check_text(of, name, ids, json_is_null(decoded) ? text : decoded);
        seen->texts++;
        seen->ids += (int64_t)json_array_size(ids);
        seen->decoded += decoded != NULL;
    }
}

/* The names that the cases have ids for. */
static int names_of(const json_t *cases, const char *names[MOST_NAMES])
{
    int count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json_array_get(cases, 0), key, value)
    {
        if (json_is_array(value) && strstr(key, "_special") == NULL && count < MOST_NAMES)
            names[count++] = key;
    }
    return count;
}

static bool is_there(const char *path)
{
    return access(path, R_OK) == 0;
}

static void check_folder(const char *folder, const char *reference, tally *seen)
{
    json_t *file = load_json(tokenizer_path(folder, reference));
    if (file == NULL)
        fail_msg("%s is not there or not valid", tokenizer_path(folder, reference));
    const json_t *cases = json_object_get(file, "cases");
    const char *names[MOST_NAMES];
    int count = names_of(cases, names);
    for (int i = 0; i < count; i++) {
        assay_error error = {0};
        char name[300];
        snprintf(name, sizeof name, "%s.json", names[i]);
        if (!is_there(tokenizer_path(folder, name))) {
            print_message("# %s: %s is not there, skipped\n", reference, name);
            seen->absent++;
            continue;
        }
        assay_tokenizer *of = assay_tokenizer_open(tokenizer_path(folder, name), &error);
        if (of == NULL)
            fail_msg("%s: %s (%s), got %s", name, error.what, error.where, error.got);
        check_cases(of, names[i], cases, seen);
        seen->tokenizers++;
        assay_tokenizer_free(of);
    }
    json_decref(file);
}

static void committed_tokenizers_agree(void **state)
{
    (void)state;
    tally seen = {0};
    check_folder(NULL, "reference.json", &seen);
    assert_int_equal(seen.tokenizers, 3);
    assert_true(seen.texts >= 3 * 150 && seen.ids > 10000 && seen.decoded == seen.texts);
}

static void given_ids_of_gpt2_agree(void **state)
{
    (void)state;
    tally seen = {0};
    check_folder(NULL, "given.json", &seen);
    assert_int_equal(seen.tokenizers, 1);
    assert_int_equal(seen.absent, 1);
    assert_true(seen.texts >= 20);
}

static void further_tokenizers_agree(void **state)
{
    (void)state;
    const char *folder = getenv("ASSAY_TOKENIZERS");
    tally seen = {0};
    if (folder == NULL || folder[0] == '\0') {
        print_message("# skipped: ASSAY_TOKENIZERS names no folder of further tokenizers\n");
        return;
    }
    check_folder(folder, "reference.json", &seen);
    print_message("# %s: %d tokenizers, %lld texts, %lld ids, %d absent\n", folder, seen.tokenizers,
                  (long long)seen.texts, (long long)seen.ids, seen.absent);
    assert_true(seen.tokenizers > 0 && seen.texts > 0);
}

/* ---- many threads, one tokenizer ---- */

enum { THREADS = 4, ROUNDS = 20 };

typedef struct crowd {
    const assay_tokenizer *of;
    const json_t *cases;
    bool same; /* whether all was as the reference says */
} crowd;

static void *encode_all(void *user)
{
    crowd *c = user;
    assay_ids ids = {0};
    c->same = true;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < json_array_size(c->cases); i++) {
            const json_t *entry = json_array_get(c->cases, i);
            int64_t bytes;
            const char *text = text_of(json_object_get(entry, "text"), &bytes);
            ids.count = 0;
            c->same = c->same && assay_tokenizer_encode(c->of, text, bytes, false, &ids, NULL) &&
                      same_ids(&ids, json_object_get(entry, "bpe"));
        }
    assay_ids_free(&ids);
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    crowd crowds[THREADS];
    json_t *file = load_json(tokenizer_path(NULL, "reference.json"));
    assay_tokenizer *of = assay_tokenizer_open(tokenizer_path(NULL, "bpe.json"), NULL);
    assert_non_null(of);
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){of, json_object_get(file, "cases"), false};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_all, &crowds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(crowds[i].same);
    }
    assay_tokenizer_free(of);
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_tokenizers_agree),
        cmocka_unit_test(given_ids_of_gpt2_agree),
        cmocka_unit_test(further_tokenizers_agree),
        cmocka_unit_test(threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
