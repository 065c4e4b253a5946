/* lab/plugin/content.h - what a path in a script names: found, and identified by its content.
 * Private to this room. */
#ifndef LAB_PLUGIN_CONTENT_H
#define LAB_PLUGIN_CONTENT_H

#include "lab/plugin/settings.h"

/* Fills `resolved` with the absolute path of what `text` names: as written when it is absolute,
 * else beside `folder` (NULL: not looked for there), else in the current folder. It exists. `name`
 * and `where` are for the message. */
bool content_resolve(setting *value, const char *name, const char *folder, const char *where,
                     assay_error *error);

/* After content_resolve: `resolved` becomes the file behind a folder (assay_weights_locate), and
 * `sha256` is of what would be loaded: the file's bytes or, where it has shards or config.json,
 * adapter_config.json or tokenizer.json beside it, all of theirs with their names. A file is read
 * once as long as its size and times stay. */
bool content_weights(setting *value, const char *name, const char *where, assay_error *error);

/* After content_resolve: `sha256` is of the bytes of the file, or of the names and bytes of all
 * files in the folder and those below it. */
bool content_identify(setting *value, const char *name, const char *where, assay_error *error);

#endif
