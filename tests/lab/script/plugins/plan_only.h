/* plan_only.h - functions of plugins that only describe options: plans are made of them, nothing is
 * ever opened. */
#ifndef TESTS_PLAN_ONLY_H
#define TESTS_PLAN_ONLY_H

#include <assay/plugin.h>

/* What every function of such a plugin does, should it be called after all. */
#define PLAN_ONLY(error)                                                                           \
    ASSAY_FAIL((error), ASSAY_UNSUPPORTED, .where = "plan_only.h",                                 \
               .what = "a plugin of the script room's tests is only planned with")

#endif
