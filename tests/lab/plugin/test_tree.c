/* test_tree.c - every plugin of the tree is taken, and its defaults fill its struct. */
#include "common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static plugin_registry *load(void)
{
    assay_error error = {0};
    const char *folders[] = {"/nowhere/at/all", folder_of("ASSAY_TREE_PLUGINS"),
                             folder_of("ASSAY_TEST_PLUGINS")};
    plugin_registry *registry = registry_new(3, folders, &error);
    must(registry != NULL, &error);
    return registry;
}

static void every_plugin_is_taken(void **state)
{
    (void)state;
    plugin_registry *registry = load();
    for (int i = 0; i < registry_refusal_count(registry); i++)
        fail_msg("%s %s", registry_refusal_at(registry, i)->path,
                 registry_refusal_at(registry, i)->reason);
    assert_true(registry_count(registry) > 8);
    for (int i = 1; i < registry_count(registry); i++) {
        const plugin *a = registry_at(registry, i - 1), *b = registry_at(registry, i);
        assert_true(a->kind < b->kind || (a->kind == b->kind && strcmp(a->name, b->name) < 0));
    }
    registry_free(registry);
}

static void every_plugin_is_found(void **state)
{
    (void)state;
    assay_error error = {0};
    plugin_registry *registry = load();
    for (int i = 0; i < registry_count(registry); i++) {
        const plugin *each = registry_at(registry, i);
        assert_ptr_equal(registry_find(registry, each->kind, each->name), each);
        assert_ptr_equal(registry_get(registry, each->kind, each->name, &error), each);
        assert_int_equal(strlen(each->sha256), 64);
        assay_kind kind;
        assert_true(plugin_kind_of(plugin_kind_name(each->kind), &kind));
        assert_int_equal(kind, each->kind);
    }
    assert_null(registry_find(registry, ASSAY_KIND_MASK, "user_decoder"));
    registry_free(registry);
}

/* Required options have no default: one is made up for the test. */
static void give(const assay_option *option, setting *value)
{
    assay_error error = {0};
    value->given = true;
    if (option->type == ASSAY_OPTION_PATH || option->type == ASSAY_OPTION_WEIGHTS)
        /* Any file: it is hashed, not read as what it should be. */
        value->text = assay_strdup(assay_text("%s/meson.build", getenv("ASSAY_TEST_DATA")), &error);
    else if (option->type == ASSAY_OPTION_TEXT)
        value->text = assay_strdup("x", &error);
    else
        value->number = option->high;
}

static void defaults_fill_every_struct(void **state)
{
    (void)state;
    plugin_registry *registry = load();
    for (int i = 0; i < registry_count(registry); i++) {
        const plugin *each = registry_at(registry, i);
        assay_error error = {0};
        settings chosen = {0};
        must(settings_defaults(&chosen, each, &error), &error);
        for (int k = 0; k < chosen.count; k++)
            if ((each->options[k].flags & ASSAY_OPTION_REQUIRED) != 0)
                give(&each->options[k], &chosen.values[k]);
        for (int k = 0; k < chosen.count; k++) {
            setting *value = &chosen.values[k];
            if (value->given)
                must(setting_check(&each->options[k], value, each->name, NULL, NULL, &error),
                     &error);
            char *text = setting_text(&each->options[k], value, &error);
            must(text != NULL, &error);
            if ((each->options[k].flags & ASSAY_OPTION_REQUIRED) == 0)
                assert_string_equal(text, option_default_text(&each->options[k]));
            assay_free(text);
        }
        void *filled = settings_fill(&chosen, NULL, NULL, &error);
        must(filled != NULL, &error);
        assay_free(filled);
        settings_clear(&chosen);
    }
    registry_free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plugin_is_taken),
        cmocka_unit_test(every_plugin_is_found),
        cmocka_unit_test(defaults_fill_every_struct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
