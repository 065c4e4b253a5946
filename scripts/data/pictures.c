/* pictures.c - numbers pictures into a folder, as scripts/data/msip needs it.
 *
 *     pictures FOLDER FIRST CUT ABOVE <LIST
 *
 * LIST has a path a line. Pictures of which no pixel is brighter than ABOVE (0..255; -1: none) are
 * left out; the others become FOLDER/NNNNNNN, counting from FIRST. With CUT above 0 so many pixels
 * are cut off each side and a gray PNG is written; else the file is copied as it is. Prints the
 * next number. */
#include <assay/file.h>
#include <assay/image.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct wish {
    const char *folder;
    int64_t next, cut, above;
} wish;

static int brightest(const assay_image *image)
{
    const uint8_t *data = image->data;
    int most = 0;
    for (int64_t i = 0; i < image->width * image->height; i++)
        most = data[i] > most ? data[i] : most;
    return most;
}

/* The folder is given its name when all of it is there, so no file needs to be synced by itself. */
static bool copy(const char *path, const char *to, assay_error *error)
{
    assay_mapping mapping = {0};
    if (!assay_map(path, &mapping, error))
        return false;
    FILE *file = fopen(to, "wb");
    bool good = file != NULL &&
                fwrite(mapping.data, 1, (size_t)mapping.bytes, file) == (size_t)mapping.bytes;
    if (file != NULL)
        good = fclose(file) == 0 && good;
    assay_unmap(&mapping);
    return good || ASSAY_FAIL(error, ASSAY_IO, .where = to, .what = "cannot write the file",
                              .got = assay_text("%m"));
}

static bool write_cut(const assay_image *image, const wish *of, const char *path, const char *to,
                      assay_error *error)
{
    assay_image cut = {0};
    assay_box box = {of->cut, of->cut, image->width - 2 * of->cut, image->height - 2 * of->cut};
    if (box.width < 1 || box.height < 1)
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = path,
            .what =
                assay_text("nothing is left inside a margin of %lld pixels", (long long)of->cut),
            .got = assay_text("%lld x %lld", (long long)image->width, (long long)image->height));
    bool good =
        assay_image_cut(&cut, image, box, NULL, error) && assay_image_write(&cut, to, error);
    assay_image_free(&cut);
    return good;
}

/* The ending of a file's name, with its dot; "" without one. */
static const char *ending(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL && strchr(dot, '/') == NULL ? dot : "";
}

static bool take(wish *of, const char *path, assay_error *error)
{
    assay_image image = {0};
    char to[4096];
    bool reads = of->cut > 0 || of->above >= 0;
    if (reads && !assay_image_read(&image, path, ASSAY_LUMA, NULL, error))
        return false;
    if (reads)
        assay_image_narrow(&image);
    bool good = true;
    if (of->above < 0 || brightest(&image) > of->above) {
        int length = snprintf(to, sizeof to, "%s/%07lld%.16s", of->folder, (long long)of->next,
                              of->cut > 0 ? ".png" : ending(path));
        good = length < (int)sizeof to ||
               ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
        good =
            good && (of->cut > 0 ? write_cut(&image, of, path, to, error) : copy(path, to, error));
        of->next += good;
    }
    assay_image_free(&image);
    return good;
}

int main(int count, char **given)
{
    char line[4096], text[1400];
    assay_error error = {0};
    if (count != 5) {
        fprintf(stderr, "usage: pictures FOLDER FIRST CUT ABOVE <LIST\n");
        return 2;
    }
    wish of = {given[1], atoll(given[2]), atoll(given[3]), atoll(given[4])};
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0' && !take(&of, line, &error)) {
            fprintf(stderr, "pictures: %s\n", assay_error_format(&error, text, sizeof text));
            return 1;
        }
    }
    printf("%lld\n", (long long)of.next);
    return ferror(stdin) || fflush(stdout) != 0;
}
