/* run/provenance.h - what a result came from, beyond its configuration: machine, build, code under
 * version control, environment. Looked up once per process, at its first attempt. */
#ifndef LAB_RUN_PROVENANCE_H
#define LAB_RUN_PROVENANCE_H

#include "lab/plugin/recipe.h"
#include "lab/store/store.h"

typedef struct run_provenance {
    char cpu[320];     /* "AMD EPYC 9B45, avx512": processor and the kernels chosen for it; "; " and
                          the GPU that computes, if one does */
    char program[65];  /* sha256 over the program, the engine, the device's plugin and the product
                          library's version */
    char commit[65];   /* of the repository that holds the script; "" for none */
    int dirty;         /* 1: differs from the commit; -1: unknown */
    char *diff;        /* against the commit; NULL for none */
    char *environment; /* "NAME=value" lines of a white list, and "library: version" lines */
    const char *job;   /* the scheduler's id of this job; NULL: none */
} run_provenance;

/* `folder` is the script's; device_plugin is the file of the device that computes and `number`
 * which of its devices, or NULL: the CPU. A missing git, or no repository, is no failure: it is
 * what is recorded. */
bool provenance_look(run_provenance *out, const char *folder, const char *device_plugin, int number,
                     assay_error *error);
void provenance_clear(run_provenance *provenance); /* accepts a zeroed value */

/* Whether two attempts compute alike, as a short text: program and plugins that the recipe
 * names. */
void provenance_build(const run_provenance *provenance, const recipe *recipe, char out[33]);

/* ---- git (git.c) ---- */

/* Fills commit, dirty and diff. */
bool git_look(run_provenance *out, const char *folder, assay_error *error);

#endif
