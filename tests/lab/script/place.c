/* place.c - scripts in a folder of their own, and plans as text (place.h). */
#include "place.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[256];
static plugin_registry *registries[3]; /* by version of mask.slope */
static int prints;

/* ---- the folder ---- */

static plugin_registry *open_registry(const char *slope)
{
    char second[1024];
    const char *plugins = getenv("ASSAY_PLANNED_PLUGINS");
    assay_error error = {0};
    if (plugins == NULL)
        fail_msg("ASSAY_PLANNED_PLUGINS names no folder");
    snprintf(second, sizeof second, "%s/%s", plugins, slope);
    plugin_registry *made = registry_new(2, (const char *[]){plugins, second}, &error);
    if (made == NULL || registry_count(made) != 8)
        fail_msg("the plugins of the tests are not all there: %s", error.what);
    return made;
}

void place_enter(const char *of)
{
    snprintf(folder, sizeof folder, "%s", of);
    registries[1] = open_registry("first");
    registries[2] = open_registry("second");
}

int place_make(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char made[256];
    (void)state;
    snprintf(made, sizeof made, "%s/assay_script_XXXXXX", temporary == NULL ? "/tmp" : temporary);
    if (mkdtemp(made) == NULL)
        return -1;
    place_enter(made);
    place_write("data/users", "nothing\n");
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

int place_remove(void **state)
{
    (void)state;
    registry_free(registries[1]);
    registry_free(registries[2]);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *place_folder(void)
{
    return folder;
}

void place_write_bytes(const char *name, const char *bytes, size_t count)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *c = path + strlen(folder) + 1; (c = strchr(c, '/')) != NULL; c++) {
        *c = '\0';
        mkdir(path, 0700);
        *c = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void place_write(const char *name, const char *text)
{
    place_write_bytes(name, text, strlen(text));
}

/* ---- reading ---- */

static bool print_of(void *user, const settings *dataset, char out[65], assay_error *error)
{
    (void)dataset;
    (void)error;
    prints++;
    snprintf(out, 65, "%s", (const char *)user);
    return true;
}

int place_prints(void)
{
    return prints;
}

plan *place_read(const char *script, const place_request *how, assay_error *error)
{
    static const place_request usual = {0};
    char path[1024], paths[16][256];
    plan_override overrides[16];
    int count = 0;
    how = how != NULL ? how : &usual;
    for (; how->set != NULL && how->set[count] != NULL; count++) {
        const char *equals = strchr(how->set[count], '=');
        assert_true(count < 16 && equals != NULL);
        snprintf(paths[count], sizeof paths[count], "%.*s", (int)(equals - how->set[count]),
                 how->set[count]);
        overrides[count] = (plan_override){paths[count], equals + 1};
    }
    snprintf(path, sizeof path, "%s/%s", folder, how->file != NULL ? how->file : "s.lua");
    if (script != NULL)
        place_write(how->file != NULL ? how->file : "s.lua", script);
    plan_request request = {
        .script = path,
        .registry = registries[how->slope == 2 ? 2 : 1],
        .override_count = count,
        .overrides = overrides,
        .device = how->device != NULL ? how->device : "cpu",
        .memory_limit = how->memory,
        .instruction_limit = how->instructions,
        .fingerprint = print_of,
        .user = (void *)(how->print != NULL ? how->print : "print"),
    };
    prints = 0;
    return plan_new(&request, error);
}

plan *place_plan(const char *script, const place_request *how)
{
    char text[1200];
    assay_error error = {0};
    plan *made = place_read(script, how, &error);
    if (made == NULL)
        fail_msg("%s\n%s", assay_error_format(&error, text, sizeof text), script);
    return made;
}

const char *place_wrong(const char *script, const place_request *how)
{
    static char text[1200];
    assay_error error = {0};
    plan *made = place_read(script, how, &error);
    if (made != NULL) {
        plan_free(made);
        return "a plan, which it must not become";
    }
    if (error.code == ASSAY_OK)
        return "no plan, and no reason";
    return assay_error_format(&error, text, sizeof text);
}

/* ---- plans as text ---- */

const char *place_table(const plan *of)
{
    static char text[1 << 20];
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < of->run_count; i++) {
        const plan_run *run = &of->runs[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s | %s | %lld |", run->stage,
                                 run->label, (long long)run->recipe.seed);
        for (int k = 0; k < run->input_count && used < sizeof text; k++)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, " %s%s%d", run->inputs[k].name,
                                 run->inputs[k].is_score ? ":" : "=", run->inputs[k].run);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n",
                                 run->input_count == 0 ? " -" : "");
        assert_true(used < sizeof text);
    }
    return text;
}

/* ---- tables of cases ---- */

void place_check_wrong(int n, const place_case *cases)
{
    int bad = 0;
    for (int i = 0; i < n; i++) {
        const char *got = place_wrong(
            cases[i].script, &(place_request){.set = cases[i].set, .instructions = 10000000});
        if (strcmp(got, cases[i].message) == 0)
            continue;
        print_message("# %s %s\n#   got:      %s\n#   expected: %s\n", cases[i].script,
                      cases[i].set[0] != NULL ? cases[i].set[0] : "", got, cases[i].message);
        bad++;
    }
    assert_int_equal(bad, 0);
}

void place_check_runs(int n, const place_rule *rules)
{
    int bad = 0;
    for (int i = 0; i < n; i++) {
        assay_error error = {0};
        char text[1200];
        plan *made = place_read(rules[i].script, &(place_request){.set = rules[i].set}, &error);
        const char *got =
            made != NULL ? place_table(made) : assay_error_format(&error, text, sizeof text);
        if (strcmp(got, rules[i].table) != 0) {
            print_message("# %s\n#   got:\n%s#   expected:\n%s#   end\n", rules[i].says, got,
                          rules[i].table);
            bad++;
        }
        plan_free(made);
    }
    assert_int_equal(bad, 0);
}

const char *place_param(const plan *of, int run, const char *key)
{
    assert_true(run < of->run_count);
    for (int i = 0; i < of->runs[run].param_count; i++) {
        const plan_param *param = &of->runs[run].params[i];
        if (strcmp(param->key, key) != 0)
            continue;
        const char *origin = setting_origin_name(param->origin);
        return param->text != NULL ? assay_text("%s (%s)", param->text, origin)
                                   : assay_text("%.9g (%s)", param->number, origin);
    }
    return "-";
}
