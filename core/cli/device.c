/* device.c - choosing where runs compute (cli/device.h). */
#include "cli/device.h"
#include "cli/places.h"

#include <assay/device.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool device_find(const arguments *args, const char *name, char *out, int64_t size)
{
    plugin_folders folders = {0};
    bool found = false;
    if (!places_of_plugins(args, &folders, NULL))
        return false;
    for (int i = 0; i < folders.count && !found; i++) {
        int length = snprintf(out, (size_t)size, "%s/device_%s.so", folders.paths[i], name);
        found = length < size && access(out, R_OK) == 0;
    }
    plugin_folders_clear(&folders);
    return found;
}

static bool unknown_word(const char *word, assay_error *error)
{
    static const char *const known[] = {"cpu", "cuda"};
    const char *near = assay_nearest(word, 2, known);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--device",
                      .what = assay_text("unknown device '%s'", word),
                      .expected = "cpu or cuda[:N]",
                      .hint = near != NULL ? assay_text("did you mean '%s'?", near) : NULL);
}

/* "", the first, or ":N" with N below 1,000. The only place where the number is read: the lab is
 * told it. */
static bool take_number(const char *rest, int *number)
{
    size_t digits = rest[0] == ':' ? strspn(rest + 1, "0123456789") : 0;
    *number = digits > 0 ? atoi(rest + 1) : 0;
    return rest[0] == '\0' || (digits >= 1 && digits <= 3 && rest[1 + digits] == '\0');
}

bool device_choose(const arguments *args, device_choice *out, assay_error *error)
{
    const char *word = args_value(args, "device");
    *out = (device_choice){.word = word == NULL ? "cpu" : word};
    if (strcmp(out->word, "cpu") == 0)
        return true;
    if (strncmp(word, "cuda", 4) != 0 || !take_number(word + 4, &out->number))
        return unknown_word(word, error);
    if (!device_find(args, "cuda", out->plugin, sizeof out->plugin))
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "--device",
                          .what = assay_text("this build has no device '%s'", word),
                          .expected = "a device_cuda.so among the plugins",
                          .hint = "it is built where CUDA, cuBLAS and cuDNN are found; 'assay "
                                  "doctor' lists devices");
    int count = assay_device_count(out->plugin, error);
    if (count == 0)
        return false;
    if (out->number >= count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--device", .what = "no such GPU",
                          .expected =
                              count == 1 ? "cuda:0" : assay_text("cuda:0 to cuda:%d", count - 1),
                          .got = word);
    out->count = word[4] == ':' ? 1 : count;
    return true;
}
