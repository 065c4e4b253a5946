/* room.c - see room.h. */
#include "room.h"

#include <string.h>

bool images_make_room(void **block, int64_t count, int64_t more, int64_t size, int64_t *room,
                      const char *where, assay_error *error)
{
    int64_t wanted = 0, bytes = 0;
    if (!assay_size_add(&wanted, count, more))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = where);
    if (wanted <= *room)
        return true;
    if (wanted < 2 * *room)
        wanted = 2 * *room;
    if (!assay_size_mul(&bytes, wanted, size))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = where);
    void *grown = assay_alloc(bytes, error);
    if (grown == NULL)
        return false;
    if (count > 0)
        memcpy(grown, *block, (size_t)(count * size));
    assay_free(*block);
    *block = grown;
    *room = wanted;
    return true;
}
