/* object.c - a shared object that is cut off is found out before the loader maps what is not there,
 * which would end the process. */
#include "lab/plugin/object.h"

#include <link.h>
#include <string.h>

/* Whether `count` pieces of `size` bytes at `offset` lie within the file. */
static bool lies_within(uint64_t offset, uint64_t count, uint64_t size, int64_t bytes)
{
    uint64_t all = (uint64_t)bytes;
    return offset <= all && (size == 0 || count <= (all - offset) / size);
}

bool object_is_whole(const uint8_t *data, int64_t bytes, assay_error *error)
{
    ElfW(Ehdr) head;
    const unsigned char own_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    if (bytes < (int64_t)sizeof head)
        return true;
    memcpy(&head, data, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != own_class)
        return true;
    bool whole = lies_within(head.e_shoff, head.e_shnum, head.e_shentsize, bytes) &&
                 head.e_phentsize == sizeof(ElfW(Phdr)) &&
                 lies_within(head.e_phoff, head.e_phnum, head.e_phentsize, bytes);
    for (int i = 0; whole && i < head.e_phnum; i++) {
        ElfW(Phdr) part;
        memcpy(&part, data + head.e_phoff + (uint64_t)i * sizeof part, sizeof part);
        whole = part.p_type != PT_LOAD || lies_within(part.p_offset, 1, part.p_filesz, bytes);
    }
    return whole || ASSAY_FAIL(error, ASSAY_BAD_FILE, .what = "is cut off",
                               .got = assay_text("%lld bytes of it", (long long)bytes),
                               .hint = "copy or build it again");
}
