/* test_synth_export.c - synthetic users written to files are read back by dataset.users as the same
 * samples. Both plugins are loaded as the host loads them. */
#include "synth.h"
#include "users.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct place {
    char folder[64];
    void *handles[2];
    const assay_dataset_functions *synth, *users;
    assay_arena *arena;
} place;

static const assay_dataset_functions *load(const char *name, void **handle)
{
    char path[512];
    const char *folder = getenv("ASSAY_TEST_MORE_PLUGINS");
    snprintf(path, sizeof path, "%s/%s.so", folder != NULL ? folder : "plugins", name);
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*handle == NULL)
        return NULL;
    const assay_plugin *plugin = dlsym(*handle, ASSAY_PLUGIN_SYMBOL);
    return plugin->functions;
}

static int make_place(void **state)
{
    assay_error error = {0};
    place *p = calloc(1, sizeof *p);
    strcpy(p->folder, "/tmp/assay_export_XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    p->synth = load("dataset_user_synth", &p->handles[0]);
    p->users = load("dataset_users", &p->handles[1]);
    p->arena = assay_arena_new(0, &error);
    *state = p;
    return p->synth != NULL && p->users != NULL && p->arena != NULL ? 0 : -1;
}

static int remove_place(void **state)
{
    place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = system(command);
    assay_arena_free(p->arena);
    dlclose(p->handles[0]);
    dlclose(p->handles[1]);
    free(p);
    return status;
}

static const char *const sources[] = {"spm", "bill", "sousuo", "tabular"};
static const char *const all_pairs[] = {"labels", "uqa", "future"};
static const char *const given[] = {"given"};

static const synth_options small = {.users = 25,
                                    .probe_users = 12,
                                    .valid_users = 5,
                                    .test_users = 8,
                                    .seed = 3,
                                    .sources = {4, sources},
                                    .pairs = {3, all_pairs},
                                    .features = 70,
                                    .activity = 2,
                                    .noise = 0.2,
                                    .future_question = "What \"next\"?\tSay.",
                                    .task = "",
                                    .uqa_pairs = 3,
                                    .draft_errors = 0.3,
                                    .reflection = false};

static void *must_open(const assay_dataset_functions *functions, const void *options)
{
    assay_error error = {0};
    char line[1400];
    void *data = functions->open(options, NULL, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return data;
}

static void *write_and_read(place *p, void *data)
{
    assay_error error = {0};
    static users_options options;
    options = (users_options){
        .path = p->folder, .pairs = {1, given}, .future_question = "?", .task = "", .uqa_pairs = 1};
    if (!p->synth->write(data, p->folder, &error))
        fail_msg("%s %s", error.what, error.got);
    return must_open(p->users, &options);
}

static void compare_value(const assay_field *field, const assay_field_value *a,
                          const assay_field_value *b)
{
    int64_t elements = a->shape[0];
    assert_int_equal(a->present, b->present);
    if (!a->present)
        return;
    assert_int_equal(a->shape[0], b->shape[0]);
    if (a->offsets != NULL) {
        for (int64_t i = 0; i <= a->shape[0]; i++)
            assert_int_equal(a->offsets[i], b->offsets[i]);
        elements = a->offsets[elements];
    }
    if (strcmp(field->name, "features") == 0) {
        for (int64_t i = 0; i < elements; i++)
            assert_true(fabsf(((const float *)a->data)[i] - ((const float *)b->data)[i]) < 1e-5F);
        return;
    }
    if (elements > 0)
        assert_memory_equal(a->data, b->data, (size_t)(elements * assay_dtype_size(field->dtype)));
}

/* The benchmark of the same suite and name. */
static int find_benchmark(const assay_benchmark *all, int count, const assay_benchmark *wanted)
{
    for (int b = 0; b < count; b++)
        if (strcmp(all[b].suite, wanted->suite) == 0 && strcmp(all[b].name, wanted->name) == 0)
            return b;
    fail_msg("%s/%s is missing", wanted->suite, wanted->name);
    return -1;
}

static void compare_set(place *p, void *synth, void *users, assay_data_split split, int mine,
                        int theirs)
{
    assay_error error = {0};
    int count = 0;
    const assay_field *fields = p->synth->fields(synth, &count);
    int64_t samples = p->synth->count(synth, split, mine);
    assert_int_equal(samples, p->users->count(users, split, theirs));
    for (int64_t i = 0; i < samples; i++) {
        assay_sample a, b;
        assay_arena_reset(p->arena);
        assert_true(p->synth->sample(synth, split, mine, i, NULL, p->arena, &a, &error));
        assert_true(p->users->sample(users, split, theirs, i, NULL, p->arena, &b, &error));
        assert_int_equal(a.label, b.label);
        for (int f = 0; f < count; f++)
            compare_value(&fields[f], &a.values[f], &b.values[f]);
    }
}

static void files_give_the_same_samples(void **state)
{
    place *p = *state;
    int mine = 0, theirs = 0, fields = 0, read_fields = 0;
    void *synth = must_open(p->synth, &small), *users = write_and_read(p, synth);
    const assay_field *a = p->synth->fields(synth, &fields);
    const assay_field *b = p->users->fields(users, &read_fields);
    assert_int_equal(fields, read_fields);
    for (int f = 0; f < fields; f++)
        assert_string_equal(a[f].name, b[f].name);
    const assay_benchmark *tasks = p->synth->benchmarks(synth, &mine);
    const assay_benchmark *read = p->users->benchmarks(users, &theirs);
    assert_int_equal(mine, theirs);
    for (int split = 0; split < ASSAY_SPLITS; split++) {
        compare_set(p, synth, users, (assay_data_split)split, ASSAY_NO_BENCHMARK,
                    ASSAY_NO_BENCHMARK);
        for (int t = 0; t < mine; t++) {
            int other = find_benchmark(read, theirs, &tasks[t]);
            assert_string_equal(tasks[t].question, read[other].question);
            assert_string_equal(tasks[t].domain, read[other].domain);
            compare_set(p, synth, users, (assay_data_split)split, t, other);
        }
    }
    assert_int_equal(p->synth->count(synth, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 25 * (19 + 3 + 1));
    p->users->close(users);
    p->synth->close(synth);
}

/* The history in the file is whole: with more slots there are more events. */
static void nothing_is_cut_in_the_file(void **state)
{
    place *p = *state;
    synth_options options = small;
    options.activity = 20;
    options.users = 3;
    void *synth = must_open(p->synth, &options);
    users_data *users = write_and_read(p, synth);
    assert_true(users->index.counts.cut.over_slots > 100);
    assert_int_equal(users->index.counts.cut.texts_cut, 0);
    p->users->close(users);
    p->synth->close(synth);
}

static void an_unwritable_folder_is_an_error(void **state)
{
    place *p = *state;
    assay_error error = {0};
    void *synth = must_open(p->synth, &small);
    assert_false(p->synth->write(synth, "/proc/nowhere/at/all", &error));
    assert_int_equal(error.code, ASSAY_IO);
    p->synth->close(synth);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_give_the_same_samples),
        TEST(nothing_is_cut_in_the_file),
        TEST(an_unwritable_folder_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
