/* test_distill.c - UNIP's analysis by the real program: a teacher, a scan that chooses a layer by
 * NMI, and students of that layer; what does not fit is said by `plan`; probes of every layer. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void must_contain(const char *line, int status, const char *part)
{
    outcome result = shell(line);
    assert_status(&result, status);
    assert_contains(status == 2 ? result.err : result.out, part);
    outcome_free(&result);
}

/* The number `n` of the only row that a query gives. */
static double number_of(const char *line)
{
    outcome result = shell(line);
    assert_status(&result, 0);
    json_t *rows = json_loads(result.out, 0, NULL);
    json_t *n = json_object_get(json_array_get(rows, 0), "n");
    if (json_array_size(rows) != 1 || !json_is_number(n))
        fail_msg("%s gives no number:\n%s", line, result.out);
    const double value = json_number_value(n);
    json_decref(rows);
    outcome_free(&result);
    return value;
}

static void the_chosen_layer_is_the_one_that_is_taught(void **state)
{
    (void)state;
    must_contain("assay plan $S/distilled.lua", 0, "distilled: 6 runs in 4 cells; 0 done, 6 to do");
    must_contain("assay run $S/distilled.lua", 0, "distilled: 6 runs, 6 done\n");
    const double chosen =
        number_of("assay query --format json \"SELECT value AS n FROM v_score WHERE suite = "
                  "'attention_pattern' AND metric = 'layer'\"");
    assert_true(chosen >= 1 && chosen <= 4);
    assert_true(chosen == number_of("assay query --format json \"SELECT DISTINCT num AS n FROM "
                                    "param WHERE key LIKE '%.teacher_layer' AND origin = "
                                    "'stage'\""));
    /* It is the layer whose NMI is nearest to the target. */
    assert_true(chosen ==
                number_of("assay query --format json \"SELECT CAST(substr(benchmark, 7) AS INT) AS "
                          "n FROM v_score WHERE benchmark LIKE 'layer.%' AND metric = 'nmi' ORDER "
                          "BY abs(value - 0.09) LIMIT 1\""));
    assert_true(number_of("assay query --format json \"SELECT count(*) AS n FROM artifact\"") >= 3);
    must_contain("assay run $S/distilled.lua", 0, "distilled: 6 runs, 6 done before\n");
}

/* Two layers of two models, three metrics on valid and test, and the best layer with its mIoU. */
static void layers_are_probed_in_every_model_that_shows_them(void **state)
{
    (void)state;
    must_contain("assay run $S/probed.lua", 0, "probed: 2 runs, 2 done\n");
    assert_true(
        number_of("assay query --format json \"SELECT count(*) AS n FROM v_score WHERE suite "
                  "= 'layer_probe'\"") == 2 * (2 * 3 * 2 + 2));
    assert_true(number_of("assay query --format json \"SELECT count(DISTINCT value) AS n FROM "
                          "v_score WHERE metric = 'miou' AND benchmark LIKE 'layer.%' AND split = "
                          "'valid' AND value BETWEEN 0.001 AND 0.999\"") == 4);
    must_contain("assay plan $S/probed.lua --set evaluate.layer_probe.layers='{4}'", 2,
                 "expected 1 to 3");
}

static void what_does_not_fit_is_said_before_anything_runs(void **state)
{
    (void)state;
    must_contain("assay plan $S/distilled.lua --set model.last_heads=2", 2, "last_heads = 4");
    must_contain("assay plan $S/distilled.lua --set model.patch=16", 2, "got 17");
    must_contain("assay plan $S/distilled.lua --set loss.attention_distill.teacher_layer=9", 2,
                 "expected 1 to 4");
    assert_false(there_is("results"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_chosen_layer_is_the_one_that_is_taught, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(layers_are_probed_in_every_model_that_shows_them,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_said_before_anything_runs, folder_make,
                                        folder_remove),
    };
    if (argc < 2)
        return 1;
    program_is_at(argv[1]);
    return cmocka_run_group_tests_name("distill", tests, NULL, NULL);
}
