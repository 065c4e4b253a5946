/* test_thermal_export.c - thermal pictures written to files are read back by dataset.image_seg and
 * dataset.image_mix as the same samples. The plugins are loaded as the host loads them. */
#include "mix.h"
#include "seg.h"
#include "thermal.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct place {
    char folder[64];
    void *handles[3];
    const assay_dataset_functions *thermal, *seg, *mix;
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
    strcpy(p->folder, "/tmp/assay_thermal_XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    p->thermal = load("dataset_thermal_synth", &p->handles[0]);
    p->seg = load("dataset_image_seg", &p->handles[1]);
    p->mix = load("dataset_image_mix", &p->handles[2]);
    p->arena = assay_arena_new(0, &error);
    *state = p;
    return p->thermal && p->seg && p->mix && p->arena ? 0 : -1;
}

static int remove_place(void **state)
{
    place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = system(command);
    assay_arena_free(p->arena);
    for (int i = 0; i < 3; i++)
        dlclose(p->handles[i]);
    free(p);
    return status;
}

static const double air[] = {-5, 32}, resize[] = {0.5, 2}, scale[] = {0.2, 1};
static const double ratio[] = {0.75, 4.0 / 3}, fit[] = {192, 48};

static thermal_options options_of(int task)
{
    return (thermal_options){.task = task,
                             .images = 5,
                             .train_images = 4,
                             .valid_images = 2,
                             .test_images = 3,
                             .width = 96,
                             .height = 64,
                             .seed = 9,
                             .air = {2, air},
                             .clutter = 1,
                             .netd = 0.08,
                             .nonuniformity = 0.05,
                             .blur = 0.6,
                             .mean = 0.3801,
                             .side = 48,
                             .resize = {2, resize},
                             .crop_scale = {2, scale},
                             .crop_ratio = {2, ratio},
                             .roi_p = 0.85,
                             .most = 0.75,
                             .flip = true,
                             .photometric = true};
}

static void *must_open(const assay_dataset_functions *functions, const void *options)
{
    assay_error error = {0};
    char line[1400];
    void *data = functions->open(options, NULL, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return data;
}

static assay_sample must_sample(const place *p, const assay_dataset_functions *functions,
                                void *data, assay_data_split split, int64_t index)
{
    assay_error error = {0};
    assay_sample sample = {0};
    if (!functions->sample(data, split, ASSAY_NO_BENCHMARK, index, NULL, p->arena, &sample, &error))
        fail_msg("%s %s", error.where, error.what);
    return sample;
}

static void compare(const assay_field_value *a, const assay_field_value *b, int64_t size)
{
    assert_true(a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1]);
    assert_memory_equal(a->data, b->data, (size_t)(a->shape[0] * a->shape[1] * size));
}

static void image_seg_reads_the_same_samples(void **state)
{
    place *p = *state;
    assay_error error = {0};
    const thermal_options written = options_of(THERMAL_SEGMENTATION);
    const seg_options read = {.path = p->folder,
                              .name = "",
                              .images = "",
                              .labels = "",
                              .image_suffix = "",
                              .label_suffix = "",
                              .ignore = 255,
                              .channel = -1,
                              .mean = 0.3801,
                              .fit = {2, fit},
                              .resize = {2, resize},
                              .crop_scale = {2, scale},
                              .crop_ratio = {2, ratio},
                              .most = 0.75,
                              .data_ratio = 1,
                              .roi_p = 0.85,
                              .roi_unit = 1};
    void *mine = must_open(p->thermal, &written);
    if (!p->thermal->write(mine, p->folder, &error))
        fail_msg("%s %s", error.where, error.what);
    void *theirs = must_open(p->seg, &read);
    int names = 0, others = 0;
    const char *const *of_mine = p->thermal->classes(mine, &names);
    const char *const *of_theirs = p->seg->classes(theirs, &others);
    assert_int_equal(names, others);
    for (int c = 0; c < names; c++)
        assert_string_equal(of_mine[c], of_theirs[c]);
    for (int split = ASSAY_TRAIN; split < ASSAY_SPLITS; split++) {
        int64_t count = p->thermal->count(mine, (assay_data_split)split, ASSAY_NO_BENCHMARK);
        assert_int_equal(count, p->seg->count(theirs, (assay_data_split)split, ASSAY_NO_BENCHMARK));
        for (int64_t i = 0; i < count; i++) {
            assay_sample a = must_sample(p, p->thermal, mine, (assay_data_split)split, i);
            assay_sample b = must_sample(p, p->seg, theirs, (assay_data_split)split, i);
            compare(&a.values[0], &b.values[0], sizeof(float));
            compare(&a.values[1], &b.values[1], 1);
        }
    }
    p->seg->close(theirs);
    p->thermal->close(mine);
}

static void image_mix_reads_the_same_samples(void **state)
{
    place *p = *state;
    assay_error error = {0};
    static const char *const infpre[] = {"infpre"};
    const thermal_options written = options_of(THERMAL_PRETRAINING);
    const mix_options read = {.path = p->folder,
                              .parts = {1, infpre},
                              .data_ratio = 1,
                              .mean = 0.3801,
                              .sd = 0.1871,
                              .side = 48,
                              .crop_scale = {2, scale},
                              .crop_ratio = {2, ratio},
                              .roi_p = 0.85,
                              .roi_unit = 1};
    void *mine = must_open(p->thermal, &written);
    if (!p->thermal->write(mine, p->folder, &error))
        fail_msg("%s %s", error.where, error.what);
    void *theirs = must_open(p->mix, &read);
    assert_int_equal(p->mix->count(theirs, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 5);
    for (int64_t i = 0; i < 5; i++) {
        assay_sample a = must_sample(p, p->thermal, mine, ASSAY_PRETRAIN, i);
        assay_sample b = must_sample(p, p->mix, theirs, ASSAY_PRETRAIN, i);
        compare(&a.values[0], &b.values[0], sizeof(float));
    }
    p->mix->close(theirs);
    p->thermal->close(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(image_seg_reads_the_same_samples, make_place, remove_place),
        cmocka_unit_test_setup_teardown(image_mix_reads_the_same_samples, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
