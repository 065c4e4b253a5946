/* bench/images.c - how fast dataset.image_seg makes the samples of training, on one thread.
 *
 * Writes a set of its own into FOLDER: sixteen gray PNG of 640 x 480 (slow waves and sensor noise,
 * which a PNG packs as badly as it does thermal pictures) with labels of nine classes in blobs.
 * Measures in processor time of one thread: opening the set the first time (every file is decoded
 * and hashed), opening it again from its index, and samples a second of segmentation's training
 * (512 x 512), its evaluation, and pre-training (224 x 224). Prints one JSON line.
 *
 * usage: images FOLDER [samples] */
#include "seg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WIDTH = 640, HEIGHT = 480, IMAGES = 16, CLASSES = 9 };

extern const assay_plugin assay_plugin_entry;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void fail(const assay_error *error)
{
    char line[1400];
    fprintf(stderr, "bench: %s\n", assay_error_format(error, line, sizeof line));
    exit(1);
}

/* ---- the set ---- */

static void paint(int number, uint8_t *gray, uint8_t *labels)
{
    assay_stream noise = assay_stream_of(1, "bench/images", (uint64_t)number);
    for (int64_t i = 0; i < WIDTH * HEIGHT; i++) {
        double x = (double)(i % WIDTH), y = (double)(i / WIDTH);
        double wave = sin(x / 71 + number) + sin(y / 53 - number) + sin((x + y) / 97);
        double value = 100 + 25 * wave + 3 * (double)assay_random_normal(noise, (uint64_t)i);
        int class = (int)((wave + 3) / 6 * CLASSES);
        gray[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        labels[i] = (uint8_t)(class < 0 ? 0 : class >= CLASSES ? CLASSES - 1 : class);
    }
}

static bool write_list(const char *folder, const char *name, int first, int last)
{
    FILE *file = fopen(assay_text("%s/%s", folder, name), "w");
    if (file == NULL)
        return false;
    for (int i = first; i < last; i++)
        fprintf(file, "%02d\n", i);
    return fclose(file) == 0;
}

static bool write_set(const char *folder, assay_error *error)
{
    assay_image gray = {0}, labels = {0};
    mkdir(folder, 0777);
    mkdir(assay_text("%s/images", folder), 0777);
    mkdir(assay_text("%s/labels", folder), 0777);
    bool good = assay_image_new(&gray, WIDTH, HEIGHT, 8, NULL, error) &&
                assay_image_new(&labels, WIDTH, HEIGHT, 8, NULL, error);
    for (int i = 0; i < IMAGES && good; i++) {
        paint(i, gray.data, labels.data);
        good = assay_image_write(&gray, assay_text("%s/images/%02d.png", folder, i), error) &&
               assay_image_write(&labels, assay_text("%s/labels/%02d.png", folder, i), error);
    }
    good = good && (write_list(folder, "train.txt", 0, IMAGES - 2) &&
                    write_list(folder, "valid.txt", IMAGES - 2, IMAGES - 1) &&
                    write_list(folder, "test.txt", IMAGES - 1, IMAGES));
    assay_image_free(&gray);
    assay_image_free(&labels);
    return good || ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot write the set");
}

/* ---- measuring ---- */

static bool cache_path(void *user, const char *name, char *out, int64_t size, assay_error *error)
{
    (void)error;
    return snprintf(out, (size_t)size, "%s/%s", (const char *)user, name) < size;
}

static void *must_open(const seg_options *options, const assay_host *host, double *seconds)
{
    const assay_dataset_functions *functions = assay_plugin_entry.functions;
    assay_error error = {0};
    double start = now();
    void *data = functions->open(options, host, &error);
    if (data == NULL)
        fail(&error);
    *seconds = now() - start;
    return data;
}

static double samples_a_second(void *data, assay_data_split split, bool augment, int64_t samples)
{
    const assay_dataset_functions *functions = assay_plugin_entry.functions;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    int64_t count = functions->count(data, split, ASSAY_NO_BENCHMARK);
    double start = now();
    for (int64_t i = 0; i < samples; i++) {
        const assay_draw draw = {.seed = 1, .epoch = i / count, .augment = augment};
        assay_sample sample;
        if (arena == NULL)
            fail(&error);
        assay_arena_reset(arena);
        if (!functions->sample(data, split, ASSAY_NO_BENCHMARK, i % count, &draw, arena, &sample,
                               &error))
            fail(&error);
    }
    double seconds = now() - start;
    assay_arena_free(arena);
    return (double)samples / seconds;
}

int main(int count, char **given)
{
    static const char *const classes[CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8"};
    static const double resize[2] = {0.5, 2}, scale[2] = {0.2, 1}, ratio[2] = {0.75, 4.0 / 3};
    assay_error error = {0};
    double first = 0, second = 0, third = 0;
    if (count < 2) {
        fprintf(stderr, "usage: images FOLDER [samples]\n");
        return 2;
    }
    int64_t samples = count > 2 ? atoll(given[2]) : 100;
    assay_host host = {.size = sizeof host, .user = given[1], .cache_path = cache_path};
    seg_options options = {.path = given[1],
                           .classes = {CLASSES, classes},
                           .ignore = 255,
                           .channel = -1,
                           .mean = 0.3801,
                           .resize = {2, resize},
                           .crop_scale = {2, scale},
                           .crop_ratio = {2, ratio},
                           .most = 0.75,
                           .flip = true,
                           .photometric = true,
                           .data_ratio = 1};
    const assay_dataset_functions *functions = assay_plugin_entry.functions;
    if (!write_set(given[1], &error))
        fail(&error);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* file times tick */
    functions->close(must_open(&options, &host, &first));
    void *data = must_open(&options, &host, &second);
    double training = samples_a_second(data, ASSAY_TRAIN, true, samples);
    double evaluation = samples_a_second(data, ASSAY_TRAIN, false, samples);
    functions->close(data);
    options.task = SEG_TASK_PRETRAINING;
    data = must_open(&options, &host, &third);
    double pretraining = samples_a_second(data, ASSAY_PRETRAIN, true, samples);
    functions->close(data);
    printf("{\"bench\": \"images\", \"samples\": %lld, \"index_ms_per_image\": %.2f, "
           "\"open_again_ms\": %.2f, \"training_per_s\": %.1f, \"evaluation_per_s\": %.1f, "
           "\"pretraining_per_s\": %.1f}\n",
           (long long)samples, 1e3 * first / IMAGES, 1e3 * second, training, evaluation,
           pretraining);
    return 0;
}
