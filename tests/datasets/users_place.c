/* users_place.c - see users_place.h. */
#include "users_place.h"

#include <assay/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

const assay_dataset_functions *users_functions(void)
{
    return assay_plugin_entry.functions;
}

static bool cache_path(void *user, const char *name, char *out, int64_t size, assay_error *error)
{
    const users_place *place = user;
    if (mkdir(place->cache, 0777) != 0 && access(place->cache, W_OK) != 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = place->cache, .what = "no cache folder");
    return snprintf(out, (size_t)size, "%s/%s", place->cache, name) < size;
}

int users_place_make(void **state)
{
    static const char *const makers[] = {"given", "labels", "future"};
    assay_error error = {0};
    users_place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/assay_users_XXXXXX");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    snprintf(place->cache, sizeof place->cache, "%s/cache", place->folder);
    place->host = (assay_host){.size = sizeof place->host, .user = place, .cache_path = cache_path};
    place->options = (users_options){.path = place->folder,
                                     .pairs = {3, makers},
                                     .future_question = "What next?",
                                     .task = "",
                                     .uqa_pairs = 1,
                                     .reflection = true};
    place->arena = assay_arena_new(0, &error);
    *state = place;
    return place->arena != NULL ? 0 : -1;
}

int users_place_remove(void **state)
{
    users_place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", place->folder);
    int status = system(command);
    assay_arena_free(place->arena);
    free(place);
    return status;
}

void must_write(const users_place *place, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

void write_description(const users_place *place)
{
    must_write(place, "dataset.json",
               "{\"name\":\"small\",\"time_unit\":\"day\",\"sources\":{"
               "\"bill\":{\"slots\":3,\"tokens\":4},\"app\":{\"slots\":2,\"tokens\":2}},"
               "\"features\":[\"limit\",\"age\"],"
               "\"suites\":{\"risk\":{"
               "\"default\":{\"domain\":\"credit\",\"question\":\"Default?\","
               "\"positive\":\"defaults\",\"negative\":\"repays\"},"
               "\"fraud\":{\"question\":\"Fraud?\",\"positive\":\"steals\","
               "\"negative\":\"honest\"}}}}");
}

void *must_open(users_place *place)
{
    assay_error error = {0};
    char line[1400];
    void *data = users_functions()->open(&place->options, &place->host, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    assert_int_equal(error.code, ASSAY_OK);
    return data;
}

assay_error must_refuse(users_place *place, assay_code code)
{
    assay_error error = {0};
    char line[1400];
    void *data = users_functions()->open(&place->options, &place->host, &error);
    if (data != NULL)
        fail_msg("this was opened");
    if (error.code != code)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    assert_true(error.what[0] != '\0');
    assert_true(error.where[0] != '\0');
    return error;
}

assay_sample must_sample(users_place *place, void *data, assay_data_split split, int benchmark,
                         int64_t number)
{
    assay_error error = {0};
    assay_sample sample = {0};
    if (!users_functions()->sample(data, split, benchmark, number, NULL, place->arena, &sample,
                                   &error))
        fail_msg("%s %s", error.what, error.got);
    assert_int_equal(sample.index, number);
    return sample;
}

/* ---- telling ---- */

typedef struct teller {
    char *out;
    size_t size, at;
} teller;

static void say(teller *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(teller *to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    to->at += (size_t)vsnprintf(to->out + to->at, to->size - to->at, format, arguments);
    va_end(arguments);
    assert_true(to->at < to->size);
}

static void tell_events(teller *to, const char *name, const assay_field_value *texts,
                        const assay_field_value *times)
{
    assert_int_equal(texts->shape[0], times->shape[0]);
    assert_int_equal(texts->shape[1], ASSAY_RAGGED);
    say(to, "%s[", name);
    for (int64_t i = 0; i < texts->shape[0]; i++)
        say(to, "%s%g %.*s", i > 0 ? "|" : "", (double)((const float *)times->data)[i],
            (int)(texts->offsets[i + 1] - texts->offsets[i]),
            (const char *)texts->data + texts->offsets[i]);
    say(to, "] ");
}

const char *tell(users_place *place, void *data, assay_data_split split, int benchmark,
                 int64_t number, char *out, size_t size)
{
    int count = 0;
    teller to = {out, size, 0};
    const assay_field *fields = users_functions()->fields(data, &count);
    assay_sample sample = must_sample(place, data, split, benchmark, number);
    for (int f = 0; f < count; f++) {
        const assay_field_value *value = &sample.values[f];
        if (fields[f].rank == 2) {
            tell_events(&to, fields[f].name, value, value + 1);
            f++;
        } else if (strcmp(fields[f].name, "id") == 0) {
            assert_true(value->present && value->shape[0] > 0);
        } else if (!value->present) {
            say(&to, "no %s ", fields[f].name);
        } else if (fields[f].dtype == ASSAY_F32) {
            say(&to, "f[");
            for (int64_t i = 0; i < value->shape[0]; i++)
                say(&to, "%s%.2f", i > 0 ? " " : "", (double)((const float *)value->data)[i]);
            say(&to, "] ");
        } else {
            say(&to, "%c[%.*s] ", fields[f].name[0], (int)value->shape[0],
                (const char *)value->data);
        }
    }
    say(&to, "%d", sample.label);
    return out;
}

/* ---- digests ---- */

static void add_value(assay_sha256 *hash, const assay_field *field, const assay_field_value *value)
{
    int64_t elements = value->shape[0];
    assay_sha256_add(hash, &value->present, sizeof value->present);
    if (!value->present)
        return;
    assay_sha256_add(hash, &value->shape[0], sizeof value->shape[0]);
    if (value->offsets != NULL) {
        assay_sha256_add(hash, value->offsets, (size_t)(elements + 1) * sizeof *value->offsets);
        elements = value->offsets[elements];
    }
    assay_sha256_add(hash, value->data, (size_t)(elements * assay_dtype_size(field->dtype)));
}

void digest(users_place *place, void *data, int leave_out, char hex[65])
{
    const assay_dataset_functions *functions = users_functions();
    int field_count = 0, tasks = 0;
    uint8_t sum[32];
    assay_sha256 hash;
    const assay_field *fields = functions->fields(data, &field_count);
    functions->benchmarks(data, &tasks);
    assay_sha256_begin(&hash);
    for (int split = 0; split < ASSAY_SPLITS; split++) {
        for (int b = ASSAY_NO_BENCHMARK; b < tasks && split != leave_out; b++) {
            int64_t count = functions->count(data, (assay_data_split)split, b);
            assay_sha256_add(&hash, &count, sizeof count);
            for (int64_t i = 0; i < count; i++) {
                assay_arena_reset(place->arena);
                assay_sample sample = must_sample(place, data, (assay_data_split)split, b, i);
                assay_sha256_add(&hash, &sample.label, sizeof sample.label);
                for (int f = 0; f < field_count; f++)
                    add_value(&hash, &fields[f], &sample.values[f]);
            }
        }
    }
    assay_sha256_end(&hash, sum);
    assay_sha256_hex(sum, hex);
}
