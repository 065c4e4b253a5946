/* test_prompt.c - cluster-based soft prompt tuning in whole runs: a model that was trained before
 * is frozen, a prompt and prototypes learn one task, and the probe looks at that task's
 * benchmark. */
#include "lab/train/fixture.h"
#include "scratch.h"

#include <assay/memory.h>
#include <assay/weights.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- data ---- */

enum { USERS = 120, UNTIL = 100 };

static void write_user(FILE *file, int user)
{
    static const char *const splits[] = {"pretrain", "train", "train", "valid", "test"};
    static const char *const goods[] = {"bread", "apples", "books", "medicine"};
    /* One user in four is sick, one in three is rich. */
    int sick = user / 5 % 4 == 0, rich = user / 5 % 3 == 0;
    fprintf(file, "{\"id\":\"u%d\",\"split\":\"%s\",\"events\":[", user, splits[user % 5]);
    for (int e = 0; e < 3 + user % 3; e++)
        fprintf(file, "%s{\"time\":%d,\"source\":\"bill\",\"text\":\"%s %s\"}", e ? "," : "",
                10 + 12 * e, goods[sick && e % 2 ? 3 : (user + e * e) % 3],
                rich && e % 2 == 0 ? "dear" : "cheap");
    fprintf(file,
            "],\"labels\":{\"sick\":{\"value\":%d,\"until\":%d},\"rich\":{\"value\":%d,"
            "\"until\":%d}},\"pairs\":[{\"query\":\"What does the user buy?\",\"answer\":\"%s "
            "things\",\"until\":%d}]}\n",
            sick, UNTIL, rich, UNTIL, rich ? "dear" : "cheap", UNTIL - 30);
}

static void write_users(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "%s/users.jsonl", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int user = 0; user < USERS; user++)
        write_user(file, user);
    fclose(file);
    snprintf(path, sizeof path, "%s/dataset.json", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"name\":\"people\",\"time_unit\":\"day\",\"sources\":{\"bill\":{\"slots\":6,"
            "\"tokens\":4}},\"suites\":{\"people\":{\"sick\":{\"question\":\"Is the user "
            "sick?\",\"positive\":\"sick\",\"negative\":\"well\"},\"rich\":{\"question\":\"Is "
            "the user rich?\",\"positive\":\"rich\",\"negative\":\"poor\"}}}}\n");
    fclose(file);
}

/* ---- runs ---- */

typedef struct rig {
    bench bench;
    char data[64];
} rig;

static void rig_make(rig *r)
{
    bench *b = &r->bench;
    bench_make(b);
    strcpy(r->data, "/tmp/assay_prompt_XXXXXX");
    assert_true(scratch_make(r->data));
    write_users(r->data);
    set_plugin(&b->recipe.dataset, ASSAY_KIND_DATASET, "users");
    set_text(&b->recipe.dataset, "path", r->data);
    set_plugin(&b->recipe.model, ASSAY_KIND_MODEL, "user_decoder");
    set_number(&b->recipe.model, "layers", 1);
    set_number(&b->recipe.model, "width", 32);
    set_number(&b->recipe.model, "mlp", 32);
    set_plugin(&b->recipe.mask, ASSAY_KIND_MASK, "causal");
    set_plugin(&b->recipe.evaluators[0], ASSAY_KIND_EVALUATOR, "linear_probe");
    set_number(&b->recipe.evaluators[0], "resamples", 20);
    set_number(&b->recipe.train, "batch", 16);
    set_number(&b->recipe.train, "steps", 12);
}

/* The model that prompts are tuned on: pairs of questions and answers. */
static void rig_pretrain(rig *r)
{
    static const char *const losses[] = {"contrastive", "next_token"};
    rig_make(r);
    set_losses(&r->bench, 2, losses);
}

static void start_from(setting *init, const char *weights)
{
    *init = SETTING_NONE;
    init->given = true;
    init->text = assay_strdup(weights, NULL);
    init->resolved = assay_strdup(weights, NULL);
}

/* The tuning of one task from the file of weights; NULL: from the seed. */
static void rig_tune(rig *r, const char *task, const char *weights)
{
    static const char *const losses[] = {"prototype"};
    bench *b = &r->bench;
    rig_make(r);
    set_losses(b, 1, losses);
    set_adapter(b, "soft_prompt");
    set_text(&b->recipe.dataset, "task", task);
    set_number(&b->recipe.train, "balance", 1);
    if (weights)
        start_from(&b->recipe.init, weights);
}

static void rig_remove(rig *r)
{
    char command[128];
    bench_remove(&r->bench);
    snprintf(command, sizeof command, "rm -rf '%s'", r->data);
    assert_int_equal(system(command), 0);
}

static assay_weights *rig_weights(const rig *r)
{
    char path[512];
    assay_error error = {0};
    assert_true(train_weights_path(r->bench.files, path, sizeof path, &error));
    assay_weights *weights = assay_weights_open(path, &error);
    assert_non_null(weights);
    return weights;
}

/* The numbers of an f32 tensor, which may lie unaligned in the file. Owned by the caller (free). */
static float *numbers_of(const assay_stored *stored)
{
    assert_non_null(stored);
    float *copy = malloc((size_t)stored->bytes);
    assert_non_null(copy);
    memcpy(copy, stored->data, (size_t)stored->bytes);
    return copy;
}

static bool same_stored(const assay_stored *a, const assay_stored *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, (size_t)a->bytes) == 0;
}

/* ---- tests ---- */

static void a_tuned_prompt_leaves_all_else_as_it_was(void **state)
{
    char path[512];
    rig before, after;
    assay_error error = {0};
    (void)state;
    rig_pretrain(&before);
    must_run(&before.bench);
    assert_true(train_weights_path(before.bench.files, path, sizeof path, &error));
    rig_tune(&after, "rich", path);
    must_run(&after.bench);
    assay_weights *old = rig_weights(&before), *new = rig_weights(&after);
    for (int64_t i = 0; i < assay_weights_count(old); i++) {
        const assay_stored *was = assay_weights_at(old, i);
        const assay_stored *is = assay_weights_find(new, was->name);
        assert_true(is && same_stored(was, is));
    }
    assert_int_equal(assay_weights_count(new), assay_weights_count(old) + 2);
    const assay_stored *prompts = assay_weights_find(new, "adapter.soft_prompt.prompts");
    const assay_stored *points = assay_weights_find(new, "loss.prototype.prototypes");
    assert_true(prompts && prompts->shape[0] == 6 && prompts->shape[1] == 32);
    assert_true(points && points->shape[0] == 2 && points->shape[1] == 64);
    assert_true(series_at(&after.bench, "loss", 12) < series_at(&after.bench, "loss", 1));
    assay_weights_close(old);
    assay_weights_close(new);
    rig_remove(&before);
    rig_remove(&after);
}

static void a_broken_off_tuning_goes_on_with_the_same_bits(void **state)
{
    static const char *const places[] = {"readout", "after_history"};
    (void)state;
    for (int p = 0; p < 2; p++) {
        outcome whole = {0};
        for (int64_t stop = -1; stop < 6; stop += 6) {
            rig r;
            rig_tune(&r, "sick", NULL);
            set_text(&r.bench.recipe.adapters[0], "place", places[p]);
            if (stop >= 0) {
                r.bench.stop_at = stop;
                assert_int_equal(bench_run(&r.bench), TRAIN_STOPPED);
                r.bench.stop_at = -1;
            }
            must_run(&r.bench);
            outcome got = bench_outcome(&r.bench);
            if (stop < 0)
                whole = got;
            else
                assert_same_outcome(&got, &whole);
            rig_remove(&r);
        }
    }
}

/* The vectors of the question's words, around again when there are more prompts than words. */
static void prompts_start_as_the_question(void **state)
{
    (void)state;
    rig r;
    rig_tune(&r, "sick", NULL);
    set_number(&r.bench.recipe.adapters[0], "tokens", 8);
    set_number(&r.bench.recipe.train, "lr", 1e-12);
    set_number(&r.bench.recipe.train, "steps", 1);
    must_run(&r.bench);
    assay_weights *weights = rig_weights(&r);
    const assay_stored *prompts = assay_weights_find(weights, "adapter.soft_prompt.prompts");
    const assay_stored *words = assay_weights_find(weights, "model.embed_tokens.weight");
    float *rows = numbers_of(prompts), *table = numbers_of(words);
    int found = 0;
    for (int64_t k = 0; k < 5; k++) /* is the user sick ? */
        for (int64_t w = 0; w < words->shape[0]; w++) {
            float most = 0;
            for (int64_t i = 0; i < 32; i++)
                most = fmaxf(most, fabsf(rows[k * 32 + i] - table[w * 32 + i]));
            found += most < 1e-6f;
        }
    assert_true(found >= 5);
    for (int64_t i = 0; i < 3 * 32; i++)
        assert_true(fabsf(rows[5 * 32 + i] - rows[i]) < 1e-6f);
    free(rows);
    free(table);
    assay_weights_close(weights);
    rig_remove(&r);
}

/* One AdamW step moves a number by the rate: prototypes ten times as far as prompts. */
static void prompts_and_prototypes_have_rates_of_their_own(void **state)
{
    (void)state;
    double moved[2] = {0};
    for (int k = 0; k < 2; k++) {
        rig r[2];
        for (int steps = 1; steps <= 2; steps++) {
            rig_tune(&r[steps - 1], "sick", NULL);
            set_number(&r[steps - 1].bench.recipe.train, "steps", steps);
            set_number(&r[steps - 1].bench.recipe.train, "lr", 1e-3);
            set_text(&r[steps - 1].bench.recipe.train, "schedule", "constant");
            must_run(&r[steps - 1].bench);
        }
        assay_weights *a = rig_weights(&r[0]), *b = rig_weights(&r[1]);
        const char *name = k ? "loss.prototype.prototypes" : "adapter.soft_prompt.prompts";
        const assay_stored *x = assay_weights_find(a, name), *y = assay_weights_find(b, name);
        float *from = numbers_of(x), *to = numbers_of(y);
        for (int64_t i = 0; i < x->count; i++)
            moved[k] = fmax(moved[k], fabs((double)from[i] - (double)to[i]));
        free(from);
        free(to);
        assay_weights_close(a);
        assay_weights_close(b);
        rig_remove(&r[0]);
        rig_remove(&r[1]);
    }
    assert_true(moved[0] > 5e-4 && moved[0] < 1.2e-3);
    assert_true(moved[1] > 5e-3 && moved[1] < 1.2e-2);
}

/* Histories that are run once, in every step, and in pieces: the same curve within rounding. AdamW
 * enlarges rounding as it steps, so the steps here are short and the classes not pressed apart. */
static void kept_histories_change_nothing(void **state)
{
    static const struct {
        const char *cache, *place;
        double pieces, most;
    } rows[] = {{"off", "readout", 1, 1024},       {"auto", "readout", 1, 1024},
                {"on", "readout", 2, 1024},        {"on", "readout", 1, 0},
                {"off", "after_history", 1, 1024}, {"on", "after_history", 1, 1024}};
    enum { STEPS = 12 };
    double curve[STEPS];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig r;
        bool whole = strcmp(rows[i].cache, "off") == 0;
        rig_tune(&r, "sick", NULL);
        set_number(&r.bench.recipe.train, "steps", STEPS);
        set_text(&r.bench.recipe.train, "cache_prefix", rows[i].cache);
        set_number(&r.bench.recipe.train, "cache_mb", rows[i].most);
        set_number(&r.bench.recipe.train, "pieces", rows[i].pieces);
        set_number(&r.bench.recipe.train, "lr", 1e-4);
        set_number(&r.bench.recipe.losses[0], "temperature", 0.5);
        set_text(&r.bench.recipe.adapters[0], "place", rows[i].place);
        must_run(&r.bench);
        for (int step = 1; step <= STEPS; step++) {
            double loss = series_at(&r.bench, "loss", step);
            if (whole)
                curve[step - 1] = loss;
            if (!(fabs(loss - curve[step - 1]) <= 1e-5 * fmax(1, fabs(loss))))
                fail_msg("row %d, step %d: %.9g, not %.9g", (int)i, step, loss, curve[step - 1]);
        }
        double kept = ask(&r.bench, "SELECT count(*) FROM series_key WHERE name = "
                                    "'memory/prefixes_mb'");
        assert_int_equal(kept, !whole);
        if (!whole)
            assert_true((series_at(&r.bench, "memory/prefixes_mb", STEPS) > 0) ==
                        (rows[i].most > 0));
        rig_remove(&r);
    }
}

/* Histories that are gone with a broken-off run are made again, with the same bits. */
static void a_run_on_kept_histories_goes_on_with_the_same_bits(void **state)
{
    outcome whole = {0};
    (void)state;
    for (int64_t stop = -1; stop < 9; stop += 5) {
        rig r;
        rig_tune(&r, "rich", NULL);
        set_text(&r.bench.recipe.train, "cache_prefix", "on");
        if (stop >= 0) {
            r.bench.stop_at = stop;
            assert_int_equal(bench_run(&r.bench), TRAIN_STOPPED);
            r.bench.stop_at = -1;
        }
        must_run(&r.bench);
        outcome got = bench_outcome(&r.bench);
        if (stop < 0)
            whole = got;
        else
            assert_same_outcome(&got, &whole);
        rig_remove(&r);
    }
}

static void histories_that_change_cannot_be_kept(void **state)
{
    static const struct {
        const char *mask, *freeze, *why;
    } rows[] = {{"causal", "0", "learns, and histories may depend on it"},
                {"ggsm", "1", "mask.ggsm changes in training"},
                {"bidirectional", "1", "mask.bidirectional changes in training"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig r;
        recipe_facts facts;
        assay_error error = {0};
        rig_tune(&r, "sick", NULL);
        set_plugin(&r.bench.recipe.mask, ASSAY_KIND_MASK, rows[i].mask);
        set_number(&r.bench.recipe.adapters[0], "freeze", atof(rows[i].freeze));
        set_text(&r.bench.recipe.train, "cache_prefix", "on");
        assert_false(recipe_inspect(&r.bench.recipe, toy_pool(&r.bench), &facts, &error));
        assert_non_null(strstr(error.what, "cannot be kept"));
        if (!strstr(error.got, rows[i].why))
            fail_msg("row %d says '%s'", (int)i, error.got);
        /* Left to itself, the run does without. */
        set_text(&r.bench.recipe.train, "cache_prefix", "auto");
        set_number(&r.bench.recipe.train, "steps", 2);
        must_run(&r.bench);
        assert_true(isnan(series_at(&r.bench, "memory/prefixes_mb", 2)));
        rig_remove(&r);
    }
}

static void a_scenario_is_probed_on_its_own_benchmark(void **state)
{
    (void)state;
    rig r;
    rig_tune(&r, "people/rich", NULL);
    setting *benchmarks = settings_get(&r.bench.recipe.evaluators[0], "benchmarks");
    benchmarks->count = 1;
    assay_free(benchmarks->texts);
    benchmarks->texts = assay_alloc(sizeof *benchmarks->texts, NULL);
    benchmarks->texts[0] = assay_strdup("rich", NULL);
    must_run(&r.bench);
    assert_int_equal(ask(&r.bench, "SELECT count(*) FROM score WHERE benchmark = 'rich'"), 4);
    assert_int_equal(ask(&r.bench, "SELECT count(*) FROM score"), 4);
    rig_remove(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tuned_prompt_leaves_all_else_as_it_was),
        cmocka_unit_test(a_broken_off_tuning_goes_on_with_the_same_bits),
        cmocka_unit_test(prompts_start_as_the_question),
        cmocka_unit_test(prompts_and_prototypes_have_rates_of_their_own),
        cmocka_unit_test(kept_histories_change_nothing),
        cmocka_unit_test(a_run_on_kept_histories_goes_on_with_the_same_bits),
        cmocka_unit_test(histories_that_change_cannot_be_kept),
        cmocka_unit_test(a_scenario_is_probed_on_its_own_benchmark),
    };
    return cmocka_run_group_tests_name("prompt tuning", tests, NULL, NULL);
}
