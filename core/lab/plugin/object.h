/* lab/plugin/object.h - the look at a shared object before it is loaded. Private to this room. */
#ifndef LAB_PLUGIN_OBJECT_H
#define LAB_PLUGIN_OBJECT_H

#include <assay/error.h>

#include <stdint.h>

/* Whether everything that the object's headers name lies within its bytes. What is no object of
 * this machine passes: the loader says what it is. The error's `what` completes "PATH: ...". */
bool object_is_whole(const uint8_t *data, int64_t bytes, assay_error *error);

#endif
