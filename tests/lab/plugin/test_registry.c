/* test_registry.c - real shared objects, taken or refused with a reason that names both sides. */
#include "common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static plugin_registry *load(int n, const char *const *folders)
{
    assay_error error = {0};
    plugin_registry *registry = registry_new(n, folders, &error);
    must(registry != NULL, &error);
    return registry;
}

/* A folder with one file: a link to a fixture. */
static void link_fixture(const char *folder, const char *fixture, const char *name)
{
    char from[1024], to[1024];
    snprintf(from, sizeof from, "%s/%s.so", folder_of("ASSAY_TEST_FIXTURES"), fixture);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    assert_int_equal(symlink(from, to), 0);
}

static void copy_fixture(const char *folder, const char *fixture, const char *name)
{
    char from[1024], to[1024], bytes[4096];
    snprintf(from, sizeof from, "%s/%s.so", folder_of("ASSAY_TEST_FIXTURES"), fixture);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* ---- refusals ---- */

typedef struct refused {
    const char *fixture; /* NULL: a text file */
    const char *parts[3];
} refused;

static const refused table[] = {
    {"other_abi", {"was built for another plugin ABI", "expected 1.x", "got 2.0"}},
    {"newer", {"needs a newer program", "expected plugin ABI 1.0 or older", "got 1.1"}},
    {"other_build", {"is of another build", ASSAY_BUILD, "got pointer 4, long 4, le"}},
    {"claims_more", {"descriptor that is too small", "expected", "got"}},
    {"not_a_descriptor", {"descriptor that is too small", "expected", "got"}},
    {"no_entry", {"is no plugin", "assay_plugin_entry", "got none"}},
    {"unresolved", {"is no shared object that can be loaded", "assay_of_the_future", "undefined"}},
    {NULL, {"is no shared object that can be loaded", "got", ""}},
};

static void wrong_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char folder[256];
        make_folder(folder);
        if (table[i].fixture == NULL)
            write_file(folder, "wrong.so", "this is a text and no program at all\n");
        else
            link_fixture(folder, table[i].fixture, "wrong.so");
        plugin_registry *registry = load(1, (const char *[]){folder});
        assert_int_equal(registry_count(registry), 0);
        assert_int_equal(registry_refusal_count(registry), 1);
        const plugin_refusal *refusal = registry_refusal_at(registry, 0);
        assert_non_null(strstr(refusal->path, "/wrong.so"));
        for (int k = 0; k < 3; k++)
            if (strstr(refusal->reason, table[i].parts[k]) == NULL)
                fail_msg("%s: '%s' lacks '%s'", table[i].fixture, refusal->reason,
                         table[i].parts[k]);
        registry_free(registry);
        remove_folder(folder);
    }
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    char folder[256], path[300];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/a.so", folder);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening it would wait for ever */
    snprintf(path, sizeof path, "%s/b.so", folder);
    assert_int_equal(symlink("/nowhere/at/all", path), 0);
    write_file(folder, "c.so", "");
    write_file(folder, "notes.txt", "not looked at");
    plugin_registry *registry = load(1, (const char *[]){folder});
    assert_int_equal(registry_refusal_count(registry), 3);
    assert_string_equal(registry_refusal_at(registry, 0)->reason, "is not a regular file");
    assert_non_null(strstr(registry_refusal_at(registry, 1)->reason, "cannot be read"));
    assert_non_null(strstr(registry_refusal_at(registry, 2)->reason, "no shared object"));
    registry_free(registry);
    remove_folder(folder);
}

static void a_file_for_a_folder_is_refused(void **state)
{
    (void)state;
    plugin_registry *registry = load(2, (const char *[]){"/dev/null", "/nowhere/at/all"});
    assert_int_equal(registry_refusal_count(registry), 1);
    assert_string_equal(registry_refusal_at(registry, 0)->path, "/dev/null");
    assert_non_null(strstr(registry_refusal_at(registry, 0)->reason, "folder cannot be read"));
    registry_free(registry);
}

/* ---- two of one name ---- */

static void the_first_of_two_names_wins(void **state)
{
    (void)state;
    char first[256], second[256];
    make_folder(first);
    make_folder(second);
    copy_fixture(first, "good", "z.so");
    copy_fixture(second, "twin", "a.so");
    plugin_registry *registry = load(2, (const char *[]){first, second});
    assert_int_equal(registry_count(registry), 1);
    assert_string_equal(registry_at(registry, 0)->summary, "a mask for the tests of the registry");
    assert_int_equal(registry_refusal_count(registry), 1);
    const plugin_refusal *refusal = registry_refusal_at(registry, 0);
    assert_non_null(strstr(refusal->path, second));
    assert_non_null(strstr(refusal->reason, "mask 'good'"));
    assert_non_null(strstr(refusal->reason, registry_at(registry, 0)->path));
    registry_free(registry);
    remove_folder(first);
    remove_folder(second);
}

static void links_to_one_file_are_one_plugin(void **state)
{
    (void)state;
    char folder[256], again[256];
    make_folder(folder);
    make_folder(again);
    link_fixture(folder, "good", "a.so");
    link_fixture(folder, "good", "b.so");
    link_fixture(again, "good", "c.so");
    plugin_registry *registry = load(3, (const char *[]){folder, again, folder});
    assert_int_equal(registry_count(registry), 1);
    assert_int_equal(registry_refusal_count(registry), 0);
    registry_free(registry);
    remove_folder(folder);
    remove_folder(again);
}

/* ---- what is taken ---- */

static void an_old_plugin_keeps_working(void **state)
{
    (void)state;
    char folder[256];
    make_folder(folder);
    link_fixture(folder, "old", "old.so");
    plugin_registry *registry = load(1, (const char *[]){folder});
    const plugin *old = registry_find(registry, ASSAY_KIND_MASK, "old");
    assert_non_null(old);
    assert_true(old->mask.open != NULL && old->mask.close != NULL && old->mask.bias != NULL);
    assert_true(old->mask.front == NULL && old->mask.observe == NULL);
    assert_true(old->mask.advance == NULL && old->mask.save == NULL && old->mask.load == NULL);
    registry_free(registry);
    remove_folder(folder);
}

/* The plugin's allocations are counted where the host counts: there is one engine in the
 * process. */
static void plugin_and_host_share_one_engine(void **state)
{
    (void)state;
    char folder[256];
    assay_error error = {0};
    settings chosen = {0};
    make_folder(folder);
    link_fixture(folder, "good", "good.so");
    plugin_registry *registry = load(1, (const char *[]){folder});
    const plugin *good = registry_get(registry, ASSAY_KIND_MASK, "good", &error);
    must(good != NULL, &error);
    assert_int_equal(good->version, 3);
    assert_int_equal(good->abi, ASSAY_ABI);
    must(settings_defaults(&chosen, good, &error), &error);
    void *options = settings_fill(&chosen, NULL, NULL, &error);
    must(options != NULL, &error);
    int64_t before = assay_memory_stats_get().live_blocks;
    void *mask = good->mask.open(options, NULL, &error);
    must(mask != NULL, &error);
    assert_int_equal(assay_memory_stats_get().live_blocks, before + 1);
    good->mask.close(mask);
    assert_int_equal(assay_memory_stats_get().live_blocks, before);
    assay_free(options);
    settings_clear(&chosen);
    registry_free(registry);
    remove_folder(folder);
}

static void the_hash_is_of_the_bytes(void **state)
{
    (void)state;
    char first[256], second[256];
    make_folder(first);
    make_folder(second);
    copy_fixture(first, "good", "good.so");
    copy_fixture(second, "twin", "good.so");
    plugin_registry *one = load(1, (const char *[]){first});
    plugin_registry *again = load(1, (const char *[]){first});
    plugin_registry *other = load(1, (const char *[]){second});
    assert_string_equal(registry_at(one, 0)->sha256, registry_at(again, 0)->sha256);
    assert_string_not_equal(registry_at(one, 0)->sha256, registry_at(other, 0)->sha256);
    registry_free(one);
    registry_free(again);
    registry_free(other);
    remove_folder(first);
    remove_folder(second);
}

/* ---- what is not there ---- */

static void absence_names_what_may_be_meant(void **state)
{
    (void)state;
    char folder[256];
    make_folder(folder);
    link_fixture(folder, "good", "mask_good.so");
    link_fixture(folder, "newer", "mask_newer.so");
    plugin_registry *registry = load(1, (const char *[]){folder});
    assay_error error = {0};
    assert_null(registry_get(registry, ASSAY_KIND_MASK, "godo", &error));
    assert_string_equal(text_of(&error),
                        "unknown mask 'godo'; expected good; hint: did you mean 'good'?");
    assay_error_clear(&error);
    assert_null(registry_get(registry, ASSAY_KIND_MASK, "newer", &error));
    assert_non_null(strstr(text_of(&error), "mask_newer.so: needs a newer program"));
    assay_error_clear(&error);
    assert_null(registry_get(registry, ASSAY_KIND_LOSS, "contrastive", &error));
    assert_non_null(strstr(text_of(&error), "got no loss is installed; hint: 1 file was "
                                            "refused; 'assay plugins' says why"));
    registry_free(registry);
    remove_folder(folder);
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    const char *folders[] = {folder_of("ASSAY_TEST_FIXTURES")};
    int64_t before = assay_memory_stats_get().live_blocks;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        assay_error error = {0};
        assay_memory_fail_after(n);
        plugin_registry *registry = registry_new(1, folders, &error);
        assay_memory_fail_after(-1);
        done = registry != NULL;
        if (!done)
            assert_int_equal(error.code, ASSAY_NO_MEMORY);
        registry_free(registry);
        assert_int_equal(assay_memory_stats_get().live_blocks, before);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_file_for_a_folder_is_refused),
        cmocka_unit_test(the_first_of_two_names_wins),
        cmocka_unit_test(links_to_one_file_are_one_plugin),
        cmocka_unit_test(an_old_plugin_keeps_working),
        cmocka_unit_test(plugin_and_host_share_one_engine),
        cmocka_unit_test(the_hash_is_of_the_bytes),
        cmocka_unit_test(absence_names_what_may_be_meant),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
