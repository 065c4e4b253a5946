/* files.h - whole folders: copied, removed. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include <assay/error.h>

/* Copies a folder of files and folders to `to`, which must not exist; a folder that is not there is
 * copied as none. Every file is synced. A failed copy leaves a part, for files_remove. */
bool files_copy(const char *from, const char *to, assay_error *error);

/* Removes a file or folder and all in it, as far as possible; what is not there is fine. */
void files_remove(const char *path);

#endif
