/* value.c - numbers that are none: what the store writes beside a NULL. */
#include "lab/store/store.h"

#include <math.h>

const char *store_nonfinite(double value)
{
    if (isfinite(value))
        return NULL;
    if (isnan(value))
        return "nan";
    return value > 0 ? "+inf" : "-inf";
}
