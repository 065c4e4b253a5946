/* reading.c - see reading.h. */
#include "reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static plugin_registry *registry;

static plugin_registry *toys(void)
{
    const char *folder = getenv("ASSAY_TEST_PLUGINS");
    assert_non_null(folder);
    if (registry == NULL)
        registry = registry_new(1, &folder, NULL);
    assert_non_null(registry);
    assert_int_equal(registry_refusal_count(registry), 0);
    return registry;
}

static bool fingerprint(void *user, const settings *dataset, char out[65], assay_error *error)
{
    (void)user;
    (void)error;
    snprintf(out, 65, "%064lld", (long long)settings_get(dataset, "seed")->number);
    return true;
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
    assert_int_equal(fclose(out), 0);
}

static void remove_text(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

plan *read_plan(const char *text, const reading *how, assay_error *error)
{
    static const reading plain = {0};
    const char *tmp = getenv("TMPDIR");
    char folder[256], script[512];
    how = how != NULL ? how : &plain;
    snprintf(folder, sizeof folder, "%s/assay-script-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    write_text(folder, "sweep.lua", text);
    if (how->module != NULL)
        write_text(folder, "module.lua", how->module);
    snprintf(script, sizeof script, "%s/sweep.lua", folder);
    plan_request request = {.script = script,
                            .registry = toys(),
                            .override_count = how->set_count,
                            .overrides = how->sets,
                            .device = how->device != NULL ? how->device : "cpu",
                            .memory_limit = how->memory_limit,
                            .instruction_limit = how->instruction_limit,
                            .fingerprint = fingerprint};
    plan *made = plan_new(&request, error);
    remove_text(folder, "sweep.lua");
    if (how->module != NULL)
        remove_text(folder, "module.lua");
    assert_int_equal(rmdir(folder), 0);
    return made;
}

char *read_table(const char *text, const reading *how)
{
    assay_error error = {0};
    char *out = NULL;
    size_t size = 0;
    plan *made = read_plan(text, how, &error);
    FILE *to = open_memstream(&out, &size);
    assert_non_null(to);
    if (made == NULL) {
        char line[2048];
        assert_int_not_equal(error.code, ASSAY_OK);
        fprintf(to, "%s\n", assay_error_format(&error, line, sizeof line));
    }
    for (int i = 0; made != NULL && i < made->run_count; i++) {
        const plan_run *run = &made->runs[i];
        fprintf(to, "%d %s %s seed=%lld", i, run->stage, run->label, (long long)run->recipe.seed);
        for (int k = 0; k < run->input_count; k++) {
            assert_true(run->inputs[k].run < i);
            fprintf(to, " %s<-%d", run->inputs[k].name, run->inputs[k].run);
        }
        fprintf(to, "\n");
    }
    assert_int_equal(fclose(to), 0);
    plan_free(made);
    return out;
}

void expect_table(const char *text, const reading *how, const char *expected)
{
    char *got = read_table(text, how);
    assert_string_equal(got, expected);
    free(got);
}
