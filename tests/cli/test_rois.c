/* test_rois.c - `assay rois`: files of regions beside a folder of images. */
#include "program.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <assay/regions.h>

enum { WIDTH = 160, HEIGHT = 120 };

/* Gray with a bright block of 70 x 60. */
static void put_image(const char *path)
{
    static uint8_t gray[WIDTH * HEIGHT];
    assay_error error = {0};
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            bool block = x >= 40 && x < 110 && y >= 30 && y < 90;
            gray[y * WIDTH + x] = (uint8_t)((block ? 180 : 60) + (x * 7 + y * 13) % 5);
        }
    const assay_image image = {WIDTH, HEIGHT, 8, gray, false};
    if (!assay_image_write(&image, path, &error))
        fail_msg("%s", error.what);
}

static void put_folder(char folder[64])
{
    char path[128];
    strcpy(folder, "/tmp/assay_rois_XXXXXX");
    assert_true(scratch_make(folder));
    snprintf(path, sizeof path, "mkdir %s/thermal", folder);
    outcome made = shell(path);
    assert_status(&made, 0);
    outcome_free(&made);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/thermal/%07d.png", folder, i);
        put_image(path);
    }
}

static void remove_folder(const char *folder)
{
    char line[128];
    snprintf(line, sizeof line, "rm -r %s", folder);
    outcome gone = shell(line);
    assert_status(&gone, 0);
    outcome_free(&gone);
}

/* The command on the folder, with what it prints. */
static outcome rois(const char *folder, const char *more)
{
    char line[192];
    snprintf(line, sizeof line, "cd %s && assay rois thermal %s", folder, more);
    return shell(line);
}

static void files_lie_beside_the_folder(void **state)
{
    (void)state;
    char folder[64], path[128];
    assay_error error = {0};
    put_folder(folder);
    outcome result = rois(folder, "");
    assert_status(&result, 0);
    assert_contains(result.out, "3 images: 3 files made");
    outcome_free(&result);
    assay_arena *arena = assay_arena_new(0, &error);
    assay_rois found = {0};
    snprintf(path, sizeof path, "%s/roi/0000001.txt", folder);
    assert_true(assay_rois_read(path, &found, arena, &error));
    bool block = false;
    for (int64_t i = 0; i < found.count; i++) {
        const assay_box *b = &found.items[i];
        block = block || (labs((long)b->x - 40) < 3 && labs((long)b->y - 30) < 3 &&
                          labs((long)b->width - 70) < 5 && labs((long)b->height - 60) < 5);
    }
    assert_true(block);
    assay_arena_free(arena);
    /* What is there stays, unless it is asked for again. */
    snprintf(path, sizeof path, "rm %s/roi/0000001.txt", folder);
    result = shell(path);
    outcome_free(&result);
    result = rois(folder, "");
    assert_contains(result.out, "1 files made");
    assert_contains(result.out, "2 were there");
    outcome_free(&result);
    result = rois(folder, "--again --corrected");
    assert_contains(result.out, "3 files made");
    outcome_free(&result);
    /* Ten times the unit: no region is large enough. */
    result = rois(folder, "--again --unit 10");
    assert_contains(result.out, "(0.0 candidates each, 3 without)");
    outcome_free(&result);
    remove_folder(folder);
}

static void wrong_folders_and_images_are_named(void **state)
{
    (void)state;
    char folder[64], line[192];
    put_folder(folder);
    static const struct {
        const char *line, *part;
    } wrong[] = {{"assay rois nowhere", "nowhere"},
                 {"assay rois", "FOLDER"},
                 {"mkdir -p empty && assay rois empty", "no image in this folder"},
                 {"mkdir -p empty && assay rois empty --unit 0", "this is no unit"},
                 {"mkdir -p bad && printf x > bad/x.png && assay rois bad", "x.png"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(line, sizeof line, "cd %s && %s", folder, wrong[i].line);
        outcome result = shell(line);
        assert_true(result.status != 0);
        assert_one_message(&result);
        assert_contains(result.err, wrong[i].part);
        outcome_free(&result);
    }
    remove_folder(folder);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        program_is_at(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_lie_beside_the_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(wrong_folders_and_images_are_named, folder_make,
                                        folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
