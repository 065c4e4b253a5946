/* ids.c - a hash table in a file: open addressing, a window of slots read at a time.
 *
 * A slot holds the first 16 bytes of the id's SHA-256, which stand for the id: two ids of a billion
 * share them with a chance below 1e-20. */
#include "ids.h"

#include "scratch.h"

#include <assay/hash.h>
#include <assay/memory.h>

#include <string.h>
#include <unistd.h>

#define FIRST_SLOTS 4096
#define WINDOW      64 /* slots read at once; divides FIRST_SLOTS */

typedef struct id_slot {
    uint64_t key[2];
    int64_t line; /* 0: empty, as the bytes of a new file are */
} id_slot;

struct id_set {
    char *folder;
    int fd;
    int64_t slots, used; /* slots: a power of two */
};

/* A table of empty slots. */
static int open_table(const char *folder, int64_t slots, assay_error *error)
{
    int fd = scratch_open(folder, error);
    if (fd >= 0 && ftruncate(fd, slots * (int64_t)sizeof(id_slot)) != 0) {
        ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot grow a temporary file",
                   .got = assay_text("%m"));
        close(fd);
        fd = -1;
    }
    return fd;
}

id_set *id_set_new(const char *folder, assay_error *error)
{
    id_set *set = assay_zalloc(sizeof *set, error);
    if (set == NULL)
        return NULL;
    set->fd = -1;
    set->slots = FIRST_SLOTS;
    set->folder = assay_strdup(folder, error);
    if (set->folder != NULL)
        set->fd = open_table(folder, set->slots, error);
    if (set->fd >= 0)
        return set;
    id_set_free(set);
    return NULL;
}

void id_set_free(id_set *set)
{
    if (set == NULL)
        return;
    if (set->fd >= 0)
        close(set->fd);
    assay_free(set->folder);
    assay_free(set);
}

/* Puts `new` into the table unless its key is there; *first as in id_set_add. */
static bool insert(int fd, int64_t slots, const id_slot *new, int64_t *first, const char *where,
                   assay_error *error)
{
    id_slot window[WINDOW];
    int64_t at = (int64_t)(new->key[0] & (uint64_t)(slots - 1));
    int64_t loaded = -1;
    for (;; at = (at + 1) & (slots - 1)) {
        int64_t base = at / WINDOW * WINDOW;
        if (base != loaded &&
            !scratch_read(fd, window, sizeof window, base * (int64_t)sizeof(id_slot), where, error))
            return false;
        loaded = base;
        const id_slot *here = &window[at - base];
        if (here->line == 0)
            break;
        if (memcmp(here->key, new->key, sizeof new->key) == 0) {
            *first = here->line;
            return true;
        }
    }
    *first = 0;
    return scratch_write(fd, new, sizeof *new, at * (int64_t)sizeof(id_slot), where, error);
}

/* Moves everything into a table twice as large. */
static bool grow(id_set *set, assay_error *error)
{
    id_slot window[WINDOW];
    int64_t first = 0;
    int fd = open_table(set->folder, 2 * set->slots, error);
    if (fd < 0)
        return false;
    for (int64_t base = 0; base < set->slots; base += WINDOW) {
        bool good = scratch_read(set->fd, window, sizeof window, base * (int64_t)sizeof(id_slot),
                                 set->folder, error);
        for (int i = 0; good && i < WINDOW; i++)
            if (window[i].line != 0)
                good = insert(fd, 2 * set->slots, &window[i], &first, set->folder, error);
        if (!good) {
            close(fd);
            return false;
        }
    }
    close(set->fd);
    set->fd = fd;
    set->slots *= 2;
    return true;
}

bool id_set_add(id_set *set, const char *id, int64_t bytes, int64_t line, int64_t *first,
                assay_error *error)
{
    assay_sha256 hash;
    uint8_t digest[32];
    id_slot new = {.line = line};
    if (set->used >= set->slots / 2 && !grow(set, error))
        return false;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, id, (size_t)bytes);
    assay_sha256_end(&hash, digest);
    memcpy(new.key, digest, sizeof new.key);
    if (!insert(set->fd, set->slots, &new, first, set->folder, error))
        return false;
    set->used += *first == 0;
    return true;
}
