/* cli/device.h - the word behind --device, and what it stands for on this machine. */
#ifndef CLI_DEVICE_H
#define CLI_DEVICE_H

#include "cli/args.h"

typedef struct device_choice {
    const char *word;  /* "cpu", "cuda" or "cuda:N"; borrowed from the command line or static */
    char plugin[4096]; /* the file of its plugin; "" for the cpu */
    int number;        /* of the GPU: N, or 0 */
    int count;         /* GPUs to spread jobs over; 1 where the word names one, 0 for the cpu */
} device_choice;

/* A word that is none, a device that is not in this build or finds no GPU: an error that says what
 * is missing. */
bool device_choose(const arguments *args, device_choice *out, assay_error *error);

/* The file of a device's plugin ("cuda") in the folders of plugins; false when there is none. */
bool device_find(const arguments *args, const char *name, char *out, int64_t size);

#endif
