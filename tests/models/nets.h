/* nets.h - a vit on images that a test holds, as losses and evaluators see it: a dataset, a
 * network, a host that knows the teacher, an evaluation that remembers scores and artifacts. */
#ifndef TESTS_MODELS_NETS_H
#define TESTS_MODELS_NETS_H

#include "models/use.h"

/* Images side x side, every split the same; with truth (255: ignored) of as many pixels a
 * benchmark. */
typedef struct photos {
    assay_data data;
    assay_dataset_functions functions;
    int64_t count, side;
    const float *pixels;  /* (count, side, side), borrowed */
    const uint8_t *truth; /* the same, or NULL */
    struct photos *valid; /* what the valid split holds instead; NULL: the same */
} photos;
/* Must not move afterwards. */
void photos_open(photos *out, int64_t count, int64_t side, const float *pixels,
                 const uint8_t *truth);
/* Samples first .. first + count - 1 in the arena. */
assay_sample *photos_samples(photos *from, int64_t first, int64_t count, assay_arena *arena);

/* A model `vit` by itself. */
typedef struct net {
    use model; /* options: set between net_begin and net_open */
    const assay_data *data;
    assay_params *params;
    void *opened;
    assay_model_facts facts;
    assay_network network; /* runs on the tape it is given, recording off */
} net;
/* Custom size: width, layers, heads, side of the images. Patch 16 unless set. */
void net_begin(net *out, const assay_data *data, int64_t width, int64_t layers, int64_t heads,
               int64_t image);
/* Must not move afterwards. */
void net_open(net *out, uint64_t seed);
void net_close(net *out);
/* The wanted outputs of samples, recorded on the tape, which has begun. */
void net_run(net *of, assay_tape *tape, assay_arena *arena, const assay_sample *samples,
             int64_t count, assay_phase phase, const assay_wanted *wanted, assay_batch *batch,
             assay_outputs *out);

/* A host whose network() is `teacher`, whatever the source. */
assay_host nets_host(net *teacher);

/* ---- an evaluation that remembers ---- */
enum { JURY_SCORES = 64, JURY_FILES = 8 };
typedef struct jury {
    assay_evaluation evaluation;
    int count, files;
    char names[JURY_SCORES][96]; /* "SUITE/BENCHMARK/METRIC@SPLIT" */
    double values[JURY_SCORES];
    char file_names[JURY_FILES][64];
    void *file_data[JURY_FILES]; /* owned; closed by NUL */
    int64_t file_bytes[JURY_FILES];
} jury;
void jury_begin(jury *out, net *judged, const assay_data *data, assay_host *host);
void jury_end(jury *of);
/* The score of a name; fails the test without one. */
double jury_value(const jury *of, const char *name);
/* The place of an artifact; fails the test without one. */
int jury_file(const jury *of, const char *name);

#endif
