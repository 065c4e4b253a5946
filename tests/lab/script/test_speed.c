/* test_speed.c - a plan of a thousand runs is there in 0.2 s, its data once known. Under a
 * sanitizer, or where ASSAY_NO_TIMES is set, only that it comes about. */
#include "place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MOST_SECONDS 0.2

static double processor_seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The quickest of three, in processor seconds: the machine may be busy. */
static double seconds_of(const char *script, int runs)
{
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double began = processor_seconds();
        plan *of = place_plan(script, NULL);
        double took = processor_seconds() - began;
        assert_int_equal(of->run_count, runs);
        plan_free(of);
        best = took < best ? took : best;
    }
    print_message("# %d runs: %.3f s\n", runs, best);
    return best;
}

static void a_thousand_runs_are_planned_in_time(void **state)
{
    (void)state;
    double flat =
        seconds_of("local lr = {}\nfor i = 1, 50 do lr[i] = i / 1000 end\n" EXPERIMENT
                   "seed = seeds(5), train = { lr = any(lr) }, mask = any { none, mask.still {}, "
                   "mask.slope {}, mask.slope { weight = function(s, n) return s / n end } } }",
                   1000);
    double staged = seconds_of(
        "local w = {}\nfor i = 1, 20 do w[i] = i / 100 end\n"
        "local pre = run { name = 'pre', dataset = dataset.files { path = 'data' }, "
        "model = model.coder {}, mask = mask.slope { warmup = any(w) } }\n" EXPERIMENT
        "seed = seeds(5), init = pre, loss = { loss.match { teacher = pre }, loss.guess {} }, "
        "train = { lr = any { 1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 7e-3, 8e-3, 9e-3 } } }",
        1000);
    if (SANITIZED || getenv("ASSAY_NO_TIMES") != NULL)
        return;
    assert_true(flat < MOST_SECONDS);
    assert_true(staged < MOST_SECONDS);
}

/* Every run that reads a stage asks for its run; stages of stages must not multiply that. */
static void stages_that_share_stages_stay_few(void **state)
{
    char script[16384];
    (void)state;
    size_t used = 0;
    for (int i = 0; i < 30; i++)
        used += (size_t)snprintf(
            script + used, sizeof script - used,
            "local s%d = run { name = 's%d', dataset = dataset.files { path = 'data' }, "
            "model = model.coder { width = %d }, init = %s, loss = loss.match { teacher = %s } }\n",
            i, i, 8 + i, i > 0 ? assay_text("s%d", i - 1) : "none",
            i > 0 ? assay_text("s%d", i - 1) : "none");
    snprintf(script + used, sizeof script - used, EXPERIMENT "init = s29, seed = 1 }");
    seconds_of(script, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_runs_are_planned_in_time),
        cmocka_unit_test(stages_that_share_stages_stay_few),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
