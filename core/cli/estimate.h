/* cli/estimate.h - how long training will take here, before it has been tried. */
#ifndef CLI_ESTIMATE_H
#define CLI_ESTIMATE_H

#include <assay/error.h>

/* Floating-point operations per second that training reaches on this machine: a matrix product of
 * the shape that small models have is timed for some milliseconds, and a training step is taken to
 * reach a fixed share of its speed. An order of magnitude, no promise. 0 on failure. */
double estimate_speed(assay_error *error);

#endif
