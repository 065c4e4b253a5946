/* scratch.h - a test's own folder, which goes when its process ends: also when a case failed before
 * it could remove it. */
#ifndef ASSAY_TESTS_SCRATCH_H
#define ASSAY_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCRATCH_MOST = 256, SCRATCH_BYTES = 64 };

static struct {
    char path[SCRATCH_MOST][SCRATCH_BYTES];
    int count;
    pid_t owner; /* children that exit leave them alone */
} scratch;

static inline void scratch_remove_all(void)
{
    char command[SCRATCH_BYTES + 16];
    const int count = scratch.count < SCRATCH_MOST ? scratch.count : SCRATCH_MOST;
    for (int i = 0; i < count && scratch.owner == getpid(); i++) {
        if (access(scratch.path[i], F_OK) != 0)
            continue;
        snprintf(command, sizeof command, "rm -rf '%s'", scratch.path[i]);
        if (system(command) != 0)
            fprintf(stderr, "%s stays behind\n", scratch.path[i]);
    }
}

/* Makes the folder of a mkdtemp template under /tmp. */
static inline bool scratch_make(char *folder)
{
    if (mkdtemp(folder) == NULL || strlen(folder) >= SCRATCH_BYTES)
        return false;
    if (scratch.owner == 0)
        atexit(scratch_remove_all);
    if (scratch.owner != getpid())
        scratch.count = 0;
    scratch.owner = getpid();
    snprintf(scratch.path[scratch.count++ % SCRATCH_MOST], SCRATCH_BYTES, "%s", folder);
    return true;
}

#endif
