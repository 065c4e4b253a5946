/* files.h - whole folders: copied, removed. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include <assay/error.h>

/* Copies a folder of files and folders to `to`, which must not exist; a folder that is not there is
 * copied as none. Every file and folder is synced. A failed copy leaves a part, for
 * files_remove. */
bool files_copy(const char *from, const char *to, assay_error *error);

/* What a folder lists is on the disk. */
bool files_sync(const char *path, assay_error *error);

/* Removes a file or folder and all in it, as far as possible; what is not there is fine. */
void files_remove(const char *path);

/* The same for what is in `folder` and has a name with this ending. */
void files_remove_ending(const char *folder, const char *ending);

#endif
