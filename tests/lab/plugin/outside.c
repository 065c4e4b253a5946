/* outside.c - the examples that outside.sh has built, loaded and used as the host would. */
#include "common.h"

#include <assay/device.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static plugin_registry *load(void)
{
    assay_error error = {0};
    const char *folder = folder_of("ASSAY_OUTSIDE");
    plugin_registry *registry = registry_new(1, &folder, &error);
    must(registry != NULL, &error);
    for (int i = 0; i < registry_refusal_count(registry); i++)
        fail_msg("%s %s", registry_refusal_at(registry, i)->path,
                 registry_refusal_at(registry, i)->reason);
    assert_int_equal(registry_count(registry), 2);
    return registry;
}

/* The options with one of them changed. */
static void *fill(const plugin *source, const char *name, double number)
{
    assay_error error = {0};
    settings chosen = {0};
    must(settings_defaults(&chosen, source, &error), &error);
    int at = settings_find(&chosen, name, NULL, &error);
    must(at >= 0, &error);
    chosen.values[at].number = number;
    must(setting_check(&chosen.options[at], &chosen.values[at], source->name, NULL, NULL, &error),
         &error);
    void *filled = settings_fill(&chosen, NULL, NULL, &error);
    must(filled != NULL, &error);
    settings_clear(&chosen);
    return filled;
}

static void the_mask_opens_its_window(void **state)
{
    (void)state;
    assay_error error = {0};
    plugin_registry *registry = load();
    const plugin *window = registry_get(registry, ASSAY_KIND_MASK, "window", &error);
    must(window != NULL, &error);
    void *options = fill(window, "ahead", 2);
    void *mask = window->mask.open(options, NULL, &error);
    must(mask != NULL, &error);
    assay_tape *tape = assay_tape_new(assay_device_cpu(&error), ASSAY_PRECISION_FP32, &error);
    must(tape != NULL, &error);
    assay_tape_begin(tape, (assay_step){.training = true});
    assay_tensor *span =
        assay_tape_constant(tape, ASSAY_I32, 2, (int64_t[]){1, 2}, (int32_t[]){0, 6});
    assay_tower tower = {.name = "user", .rows = 1, .tokens = 6, .span = span};
    assay_attention_bias bias;
    assert_true(window->mask.bias(mask, tape, &(assay_clock){.total = 1}, &tower, NULL, &bias));
    assert_int_equal(bias.future, ASSAY_FUTURE_OPEN);
    for (int i = 0; i < 6; i++)
        for (int j = i + 1; j < 6; j++)
            assert_true(assay_f32(bias.log_weight)[i * 6 + j] == (j <= i + 2 ? 0 : -INFINITY));
    tower.span = NULL;
    assert_true(window->mask.bias(mask, tape, &(assay_clock){.total = 1}, &tower, NULL, &bias));
    assert_int_equal(bias.future, ASSAY_FUTURE_HIDDEN);
    window->mask.close(mask);
    assay_tape_free(tape);
    assay_free(options);
    registry_free(registry);
}

static void the_dataset_labels_what_it_shows(void **state)
{
    (void)state;
    assay_error error = {0};
    plugin_registry *registry = load();
    const plugin *parity = registry_get(registry, ASSAY_KIND_DATASET, "parity", &error);
    must(parity != NULL, &error);
    void *options = fill(parity, "coins", 5);
    const assay_dataset_functions *f = &parity->dataset;
    void *data = f->open(options, NULL, &error);
    must(data != NULL, &error);
    int32_t labels[256];
    assay_arena *arena = assay_arena_new(0, &error);
    assert_int_equal(f->count(data, ASSAY_TEST, 0), 256);
    must(f->labels(data, ASSAY_TEST, 0, 0, 256, labels, &error), &error);
    for (int64_t i = 0; i < 256; i++) {
        assay_sample sample;
        must(f->sample(data, ASSAY_TEST, 0, i, &(assay_draw){0}, arena, &sample, &error), &error);
        int heads = 0;
        for (int64_t k = 0; k < sample.values[0].shape[0]; k++)
            heads += memcmp((const char *)sample.values[0].data + sample.values[0].offsets[k],
                            "head", 4) == 0;
        assert_int_equal(labels[i], heads % 2 == 0);
        assert_int_equal(sample.label, labels[i]);
        assert_false(sample.values[2].present);
    }
    assay_arena_free(arena);
    f->close(data);
    assay_free(options);
    registry_free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mask_opens_its_window),
        cmocka_unit_test(the_dataset_labels_what_it_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
