/* common.h - what the tests of the plugin room share. A helper that cannot do its work fails the
 * running test. */
#ifndef TESTS_LAB_PLUGIN_COMMON_H
#define TESTS_LAB_PLUGIN_COMMON_H

#include "lab/plugin/registry.h"
#include "lab/plugin/settings.h"

/* Fails with the error's text unless ok. */
void must(bool ok, const assay_error *error);
/* The failure as assay_error_format writes it, borrowed until the next call; fails the test when
 * there is none. */
const char *text_of(const assay_error *error);
/* The folder of an environment variable that the build sets. */
const char *folder_of(const char *variable);
/* A fresh folder under TMPDIR or /tmp, its path in out. */
void make_folder(char out[256]);
/* Removes it with its files (no folders inside). */
void remove_folder(const char *path);
void write_file(const char *folder, const char *name, const char *content);

#endif
