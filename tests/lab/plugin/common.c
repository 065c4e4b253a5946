/* common.c - helpers of the plugin room's tests. */
#include "common.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void must(bool ok, const assay_error *error)
{
    char text[1200];
    if (!ok)
        fail_msg("%s", assay_error_format(error, text, sizeof text));
}

const char *text_of(const assay_error *error)
{
    static char text[1200];
    assert_int_not_equal(error->code, ASSAY_OK);
    return assay_error_format(error, text, sizeof text);
}

const char *folder_of(const char *variable)
{
    const char *folder = getenv(variable);
    if (folder == NULL)
        fail_msg("%s names no folder", variable);
    return folder;
}

void make_folder(char out[256])
{
    const char *temporary = getenv("TMPDIR");
    snprintf(out, 256, "%s/assay_plugin_XXXXXX", temporary == NULL ? "/tmp" : temporary);
    assert_non_null(mkdtemp(out));
}

void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            assert_int_equal(unlink(file), 0);
    }
    closedir(folder);
    assert_int_equal(rmdir(path), 0);
}

void write_file(const char *folder, const char *name, const char *content)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}
