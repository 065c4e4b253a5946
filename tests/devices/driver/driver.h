/* driver.h - what the driver's stand-in (driver.c) has been handed. Looked up by dlsym: the real
 * driver has no such function. */
#ifndef ASSAY_TESTS_DRIVER_H
#define ASSAY_TESTS_DRIVER_H

#include <stdbool.h>

typedef struct driver_code {
    int images;          /* compiled for a GPU */
    int lowest, highest; /* their architectures: 90 for sm_90 */
    char kernel[256];    /* the last one that was asked for */
} driver_code;

driver_code driver_seen(void);

#endif
