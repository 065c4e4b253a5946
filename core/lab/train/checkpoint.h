/* checkpoint.h - a run's state on the disk, and back.
 *
 * FOLDER/step_00000400/ holds
 *   weights.safetensors  the parameters under their names, and nothing else: usable by anyone
 *   state.safetensors    "moments/first/NAME", "moments/second/NAME", "mask/NAME",
 *                        "loss/LABEL/NAME"
 *   run.json             step, run_hash, sizes and sha256 of both files and of every section in
 *                        them, the optimizer's counts, where the data goes on, what the loop
 *                        remembers
 * Everything is written under a temporary name, synced, and renamed; the store's row, which holds
 * run.json's sha256, comes last. A folder without a row does not count. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "lab/train/step.h"

#define CHECKPOINT_FORMAT 1

/* What the loop remembers between steps. */
typedef struct loop_state {
    int64_t step;      /* optimizer steps taken */
    int64_t evaluated; /* the step of the last evaluation that was finished; -1: none */
    bool has_best;
    double best; /* valid loss */
    int64_t best_step;
    int64_t waited; /* evaluations since */
    bool stopped;   /* early: training is over */
} loop_state;

typedef struct checkpoint_setup {
    const train_job *job;
    assembly *assembly;
    assay_adamw *adamw; /* NULL: there are no moments */
    const train_options *options;
    store_writer *writer;
} checkpoint_setup;

/* Saves and records the state, then removes checkpoints beyond train.keep. Series up to this step
 * are in the store before. Fails, leaving the checkpoints that exist, when the lease is lost. */
bool checkpoint_save(const checkpoint_setup *setup, const loop_state *state, assay_error *error);

/* Restores the newest recorded checkpoint that is whole; what is skipped is logged with the reason.
 * *found is false, and nothing changed, when there is none. Every section is verified before the
 * first is applied. */
bool checkpoint_load(const checkpoint_setup *setup, loop_state *state, bool *found,
                     assay_error *error);

/* The state of the mask, from the checkpoint whose parameters lie at `weights_path`. */
bool checkpoint_load_mask(assembly *assembly, const char *weights_path, assay_error *error);
/* The step of the checkpoint whose parameters lie there; -1 when it is in none. */
int64_t checkpoint_step_at(const char *weights_path);

/* Removes what crashed processes left in the run's folder: temporary names whose process is gone,
 * and checkpoints that the store does not record. */
bool checkpoint_sweep(const train_job *job, assay_error *error);

/* ---- names and files (checkpoint_files.c) ---- */

/* The store's rows of the run's checkpoints, the newest first. Owned by the caller (assay_free). */
store_checkpoint *checkpoint_rows(const train_job *job, int64_t *count, assay_error *error);

/* FOLDER/step_00000400, and the same with /FILE. */
void checkpoint_path(const char *folder, int64_t step, const char *file, char *out, int64_t size);
/* The step of "step_00000400"; -1 for another name. */
int64_t checkpoint_step_of(const char *name);
bool checkpoint_make_folder(const char *path, assay_error *error);
/* Removes a folder with its files, or a file; what is not there is no failure. */
bool checkpoint_remove(const char *path, assay_error *error);
/* Renames `from` to `to` and syncs the folder that holds both. What is at `to` is replaced. */
bool checkpoint_publish(const char *folder, const char *from, const char *to, assay_error *error);
/* sha256 and size of a file. */
bool checkpoint_hash_file(const char *path, char sha256[65], int64_t *bytes, assay_error *error);
/* sha256 over the tensors whose names begin with `prefix`: names, types, shapes, data, in order. */
void checkpoint_hash_section(const assay_weights *weights, const char *prefix, char sha256[65],
                             int64_t *tensors);

/* The sections of state.safetensors that this assembly has: calls `each` with its name ("moments",
 * "mask", "loss/toy_next"). */
bool checkpoint_sections(const checkpoint_setup *setup,
                         bool (*each)(void *user, const char *section, assay_error *error),
                         void *user, assay_error *error);

#endif
