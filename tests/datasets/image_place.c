/* image_place.c - see image_place.h. */
#include "image_place.h"

#include <assay/log.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>

extern const assay_plugin assay_plugin_entry;

const assay_dataset_functions *image_functions(void)
{
    return assay_plugin_entry.functions;
}

static bool cache_path(void *user, const char *name, char *out, int64_t size, assay_error *error)
{
    const image_place *place = user;
    (void)error;
    mkdir(place->cache, 0755);
    return snprintf(out, (size_t)size, "%s/%s", place->cache, name) < size;
}

static bool stopping(void *user)
{
    return ((image_place *)user)->stops;
}

static void keep_warning(assay_log_level level, const char *line, void *user)
{
    image_place *place = user;
    size_t at = strlen(place->warned);
    (void)level;
    snprintf(place->warned + at, sizeof place->warned - at, "%s\n", line);
}

int image_place_make(void **state)
{
    static const double resize[2] = {0.5, 2}, scale[2] = {0.2, 1}, ratio[2] = {0.75, 4.0 / 3};
    assay_error error = {0};
    image_place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/assay_images_XXXXXX");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    snprintf(place->cache, sizeof place->cache, "%s/cache", place->folder);
    place->host = (assay_host){
        .size = sizeof place->host, .user = place, .cache_path = cache_path, .stopping = stopping};
    place->options = (seg_options){.path = place->folder,
                                   .name = "",
                                   .images = "",
                                   .labels = "",
                                   .image_suffix = "",
                                   .label_suffix = "",
                                   .ignore = 255,
                                   .channel = -1,
                                   .mean = 0.3801,
                                   .resize = {2, resize},
                                   .crop_scale = {2, scale},
                                   .crop_ratio = {2, ratio},
                                   .most = 0.75,
                                   .flip = true,
                                   .photometric = true,
                                   .data_ratio = 1,
                                   .roi_p = 0.85,
                                   .roi_unit = 1};
    place->arena = assay_arena_new(0, &error);
    assay_log_to(keep_warning, place, ASSAY_LOG_WARNING);
    *state = place;
    return place->arena != NULL ? 0 : -1;
}

int image_place_remove(void **state)
{
    image_place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", place->folder);
    int status = system(command);
    assay_log_to(NULL, NULL, ASSAY_LOG_ERROR);
    assay_arena_free(place->arena);
    free(place);
    return status;
}

/* ---- files ---- */

static void path_of(const image_place *place, const char *name, char out[512])
{
    assert_true(snprintf(out, 512, "%s/%s", place->folder, name) < 512);
}

void must_make_folder(const image_place *place, const char *name)
{
    char command[600], path[512];
    path_of(place, name, path);
    snprintf(command, sizeof command, "mkdir -p '%s'", path);
    assert_int_equal(system(command), 0);
}

void must_put(const image_place *place, const char *name, const void *data, size_t bytes)
{
    char path[512];
    path_of(place, name, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

void must_put_text(const image_place *place, const char *name, const char *text)
{
    must_put(place, name, text, strlen(text));
}

static void put_png(const image_place *place, const char *name, int64_t width, int64_t height,
                    png_uint_32 format, const uint8_t *pixels, const void *colours)
{
    char path[512];
    path_of(place, name, path);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = format,
                       .colormap_entries = colours != NULL ? 256 : 0};
    assert_true(png_image_write_to_file(&image, path, 0, pixels, 0, colours));
}

void must_put_gray(const image_place *place, const char *name, int64_t width, int64_t height,
                   const uint8_t *pixels)
{
    put_png(place, name, width, height, PNG_FORMAT_GRAY, pixels, NULL);
}

void must_put_flat(const image_place *place, const char *name, int64_t width, int64_t height,
                   uint8_t value)
{
    uint8_t pixels[4096];
    assert_true(width * height <= (int64_t)sizeof pixels);
    memset(pixels, value, sizeof pixels);
    must_put_gray(place, name, width, height, pixels);
}

void must_put_rgba(const image_place *place, const char *name, int64_t width, int64_t height,
                   const uint8_t *pixels)
{
    put_png(place, name, width, height, PNG_FORMAT_RGBA, pixels, NULL);
}

void must_put_palette(const image_place *place, const char *name, int64_t width, int64_t height,
                      const uint8_t *indices)
{
    uint8_t colours[256 * 3];
    for (int i = 0; i < 256; i++) {
        colours[3 * i] = (uint8_t)(i * 37 + 11);
        colours[3 * i + 1] = (uint8_t)(i * 91 + 7);
        colours[3 * i + 2] = (uint8_t)(i * 53 + 3);
    }
    put_png(place, name, width, height, PNG_FORMAT_RGB_COLORMAP, indices, colours);
}

void write_small_set(const image_place *place)
{
    uint8_t gray[24 * 16], labels[24 * 16];
    char name[64];
    must_make_folder(place, "images");
    must_make_folder(place, "labels");
    for (int s = 0; s < 6; s++) {
        for (int i = 0; i < 24 * 16; i++) {
            gray[i] = (uint8_t)(10 * s + 8 * (i % 24) + i / 24);
            labels[i] = (uint8_t)(i % 24 / 8);
        }
        snprintf(name, sizeof name, "images/%c.png", 'a' + s);
        must_put_gray(place, name, 24, 16, gray);
        snprintf(name, sizeof name, "labels/%c.png", 'a' + s);
        must_put_gray(place, name, 24, 16, labels);
    }
    must_put_text(place, "train.txt", "a\nb\nc\nd\n");
    must_put_text(place, "valid.txt", "e\n");
    must_put_text(place, "test.txt", "f");
    must_put_text(place, "classes.txt", "ground\nhouse\nman\n");
}

/* ---- the dataset ---- */

void *must_open(image_place *place)
{
    assay_error error = {0};
    char line[1400];
    void *data = image_functions()->open(&place->options, &place->host, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    assert_int_equal(error.code, ASSAY_OK);
    return data;
}

assay_error must_refuse(image_place *place, assay_code code)
{
    assay_error error = {0};
    char line[1400];
    void *data = image_functions()->open(&place->options, &place->host, &error);
    if (data != NULL)
        fail_msg("this was opened");
    if (error.code != code)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    assert_true(error.what[0] != '\0');
    assert_true(error.where[0] != '\0');
    return error;
}

assay_sample must_sample(image_place *place, void *data, assay_data_split split, int64_t number,
                         const assay_draw *draw)
{
    assay_error error = {0};
    assay_sample sample = {0};
    if (!image_functions()->sample(data, split, ASSAY_NO_BENCHMARK, number, draw, place->arena,
                                   &sample, &error))
        fail_msg("%s %s %s", error.where, error.what, error.got);
    assert_int_equal(sample.index, number);
    assert_int_equal(sample.label, -1);
    return sample;
}
