/* room.h - blocks that grow, for lists of images whose length nobody knows before. */
#ifndef IMAGES_ROOM_H
#define IMAGES_ROOM_H

#include <assay/memory.h>

/* Room for `more` elements of `size` bytes behind the `count` that *block holds, which may move and
 * is owned by the caller (assay_free); *room is what it has room for. `where` is for the error. */
bool images_make_room(void **block, int64_t count, int64_t more, int64_t size, int64_t *room,
                      const char *where, assay_error *error);

#endif
