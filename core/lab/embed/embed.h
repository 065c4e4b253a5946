/* lab/embed/embed.h - vectors of users and queries, from a finished run or published weights
 * (user-modelling spec 2.7).
 *
 * A user's history runs once and leaves its prefix; every query then runs its few tokens on that,
 * many users and queries a pass. Where a model or mask has no prefix cache, whole sequences run. */
#ifndef LAB_EMBED_EMBED_H
#define LAB_EMBED_EMBED_H

#include "lab/plugin/recipe.h"
#include "lab/train/train.h"

/* ---- a run of a store as a recipe (stored.c) ---- */
typedef struct stored_run {
    recipe recipe; /* losses, evaluators and init are left out: weights come whole */
    int64_t run_id;
    char run_hash[65];
    char weights[4096]; /* of its newest checkpoint */
} stored_run;

/* Reads the run back from what the store recorded of it. Paths are looked for beside `folder`, then
 * in the current one. What a store does not hold whole (a schedule's function, a stage's weights in
 * an option) is an error whose hint names the script. stored_run_clear ends it, also after a
 * failure. */
bool stored_run_read(const char *store, int64_t run_id, const plugin_registry *registry,
                     const char *folder, stored_run *out, assay_error *error);
/* Only run_id, run_hash and weights: for a recipe that comes from a script. */
bool stored_run_find(const char *store, int64_t run_id, stored_run *out, assay_error *error);
void stored_run_clear(stored_run *run); /* accepts a zeroed value */

/* ---- what is asked (queries.c) ---- */
typedef struct embed_queries {
    int64_t count, room;
    char **texts;
} embed_queries;
bool queries_add(embed_queries *to, const char *text, assay_error *error);
/* One query a line of the file; empty lines are passed over. */
bool queries_read(embed_queries *to, const char *path, assay_error *error);
/* The different questions of the data's benchmarks, in order; of one suite, or NULL for all. */
bool queries_of_suites(embed_queries *to, const assay_data *data, const char *suite,
                       assay_error *error);
void queries_clear(embed_queries *queries); /* accepts a zeroed value */

/* ---- where vectors go (vectors.c) ---- */
typedef enum vectors_format { VECTORS_JSONL, VECTORS_NPY, VECTORS_SAFETENSORS } vectors_format;
/* By the ending of the path; false: none of them. */
bool vectors_format_of(const char *path, vectors_format *out);

/* One file of (users, queries, width) numbers. JSONL: a line per vector, {"user", "query",
 * "embedding"}. NPY: float32, and safetensors: "embedding" F32; beside these two is
 * PATH.rows.jsonl: in its first line {"queries": [...]}, then a line per user, {"user": ID}. The
 * files appear whole or not at all. */
typedef struct vectors_writer vectors_writer;
vectors_writer *vectors_open(const char *path, vectors_format format, int64_t users,
                             const embed_queries *queries, int64_t width, assay_error *error);
/* The next user's id (bytes of it, any) and vectors (queries, width). */
bool vectors_put(vectors_writer *to, const char *id, int64_t bytes, const float *x,
                 assay_error *error);
/* Publishes and frees; without all users it fails. */
bool vectors_commit(vectors_writer *to, assay_error *error);
void vectors_abandon(vectors_writer *to); /* accepts NULL */

/* ---- the work (embed.c) ---- */
typedef struct embed_request {
    const assay_network *network;
    assay_tape *tape;
    const assay_data *model_data; /* what the model was opened with: the order of its fields */
    const assay_data *data;       /* whose users: the same, or another with the fields by name */
    assay_data_split split;
    int benchmark; /* whose users and cut-offs; ASSAY_NO_BENCHMARK: training samples */
    int64_t limit; /* users at most; 0: all */
    const embed_queries *queries;
    int64_t batch; /* users a pass */
    bool normalize, without_cache;
    uint64_t seed;
    const volatile sig_atomic_t *stop;                       /* NULL: nobody asks */
    void (*progress)(void *user, int64_t done, int64_t all); /* or NULL */
    void *user;
} embed_request;

typedef struct embed_report {
    int64_t users, vectors, width;
    bool cached;
    double seconds; /* of the work, opening aside */
} embed_report;

/* Users that the request is about. */
int64_t embed_users(const embed_request *request);
/* Opens the file at the first vector, when their width is known. `path` NULL: vectors are made and
 * dropped (a measurement). */
bool embed_run(const embed_request *request, const char *path, vectors_format format,
               embed_report *report, assay_error *error);

#endif
