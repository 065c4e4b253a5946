/* test_identity.c - a run's hashes: pinned, so that they cannot drift; unchanged by what makes
 * no other run, changed by what does. */
#include "place.h"

#include <assay/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PARTS "dataset = dataset.files { path = 'data' }, model = model.coder {"
/* A script with a bit of everything: a stage, its score, a function, a list, numbers, texts. */
#define RICH                                                                                       \
    "local pre = run { name = 'pre', " PARTS " size = 'small' }, train = { steps = 3 } }\n"        \
    "return experiment { name = 'rich', " PARTS " rates = { 0.1, 1 / 3 }, note = 'a,b\\\\c' },\n"  \
    "mask = mask.slope { weight = function(step, total) return step / total / 3 end },\n"          \
    "loss = { loss.match { teacher = pre, margin = 0.3 }, loss.guess { weight = pre:score('s/k') " \
    "} },\n"                                                                                       \
    "adapter = adapter.low {}, seed = { 3 }, train = { steps = 4, lr = 1e-3 } }"

/* The first 16 digits of both hashes of every run. */
static const char *hashes_of(const char *script, const place_request *how)
{
    static char texts[4][4096];
    static int next;
    char *text = texts[next++ % 4];
    size_t used = 0;
    plan *of = place_plan(script, how);
    for (int i = 0; i < of->run_count; i++)
        used += (size_t)snprintf(text + used, sizeof texts[0] - used, "%.16s %.16s\n",
                                 of->runs[i].run_hash, of->runs[i].cell_hash);
    plan_free(of);
    return text;
}

static const char *set_of(const char *what)
{
    return hashes_of(RICH, &(place_request){.set = (const char *const[]){what, NULL}});
}

static void hashes_are_pinned(void **state)
{
    (void)state;
    assert_string_equal(hashes_of(EXPERIMENT "seed = 1 }", NULL),
                        "3b1cf174384492ea f4504ac566b5124d\n");
    assert_string_equal(hashes_of(RICH, NULL), "cc01f9c62bc29cbe 6f0d2355cd0ff74f\n"
                                               "e04807bd4de41303 ab998a2961210bb7\n");
}

static void what_makes_no_other_run_changes_nothing(void **state)
{
    (void)state;
    const char *plain = hashes_of(RICH, NULL);
    assert_string_equal(hashes_of("-- a comment\n\n" RICH " -- and another", NULL), plain);
    assert_string_equal(set_of("train.checkpoint_every=7"), plain);
    assert_string_equal(set_of("train.keep=9"), plain);
    assert_string_equal(set_of("train.lr=0.001"), plain);
    assert_string_equal(set_of("train.warmup=-0.0"), plain);
    assert_string_equal(set_of("model.width=64.0"), plain);
    assert_string_equal(set_of("loss.match.temperature=0.07"), plain);
    assert_string_equal(set_of("adapter={ adapter.low { rank = 4, freeze = true } }"), plain);
    assert_string_equal(set_of("train.lr=any { 0.001 }"), plain);
    const char *head =
        "return experiment { seed = 1, model = model.coder { tied = true, width = 64, "
        "size = 'tiny' }, dataset = dataset.files { limit = 0, path = 'data' }, "
        "evaluate = evaluator.probe {}, loss = { loss.guess { weight = 1 } }, "
        "name = 'another' }";
    assert_string_equal(hashes_of(head, NULL), hashes_of(EXPERIMENT "seed = 1 }", NULL));
}

static void a_script_elsewhere_gives_the_same(void **state)
{
    (void)state;
    const char *plain = hashes_of(RICH, NULL);
    place_write("far/away/data/users", "other bytes, the same fingerprint\n");
    assert_string_equal(hashes_of(RICH, &(place_request){.file = "far/away/r.lua"}), plain);
}

static void what_makes_another_run_changes_both_hashes(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "train.steps=5",         "train.lr=0.002",      "model.width=65",
        "model.note='a'",        "model.rates={ 0.1 }", "mask.weight=0.5",
        "mask=mask.still {}",    "mask=none",           "loss.match.margin=0.4",
        "loss={ loss.guess{} }", "adapter=none",        "evaluate=none",
        "pre.train.steps=4",     "dataset.limit=5",     "dataset.sources={ 'a' }",
        "pre.model.size='base'", "loss.guess.weight=1",
    };
    const char *plain = hashes_of(RICH, NULL);
    char last[64], cell[64];
    snprintf(last, sizeof last, "%s", strrchr(plain, ' ') - 16);
    snprintf(cell, sizeof cell, "%s", strrchr(plain, ' ') + 1);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *other = set_of(changes[i]);
        if (strstr(other, last) != NULL)
            fail_msg("%s changed no run_hash", changes[i]);
        if (strstr(other, cell) != NULL)
            fail_msg("%s changed no cell_hash", changes[i]);
    }
    const place_request others[] = {{.device = "cuda"}, {.print = "another"}, {.slope = 2}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *other = hashes_of(RICH, &others[i]);
        assert_null(strstr(other, last));
        assert_null(strstr(other, cell));
    }
}

static void cells_are_runs_without_their_seeds(void **state)
{
    (void)state;
    const char *const scripts[] = {
        EXPERIMENT "seed = { 1, 2 } }",
        /* A stage with the consumer's seed, and one with a seed of its own. */
        "local pre = run { name = 'pre', " PARTS
        "} }\nlocal one = run { name = 'one', seed = 9, " PARTS
        "} }\nreturn experiment { name = 'x', " PARTS "}, init = pre, "
        "loss = loss.match { teacher = one }, seed = { 1, 2 } }",
    };
    for (int i = 0; i < 2; i++) {
        plan *of = place_plan(scripts[i], NULL);
        const plan_run *a = &of->runs[of->run_count - 2], *b = &of->runs[of->run_count - 1];
        assert_string_equal(a->stage, "main");
        assert_string_not_equal(a->run_hash, b->run_hash);
        assert_string_equal(a->cell_hash, b->cell_hash);
        plan_free(of);
    }
    /* One stage for all: its seed equals that of the first run by chance. */
    plan *shared = place_plan("local pre = run { name = 'pre', seed = 1, " PARTS "} }\n" EXPERIMENT
                              "init = pre, seed = { 1, 2 } }",
                              NULL);
    assert_int_equal(shared->run_count, 3);
    assert_string_equal(shared->runs[1].cell_hash, shared->runs[2].cell_hash);
    plan_free(shared);
    /* An input with the run's own seed is another cell than one with a seed that is equal once. */
    plan *own = place_plan(
        "local pre = run { name = 'pre', " PARTS "} }\n" EXPERIMENT "init = pre, seed = 2 }", NULL);
    plan *fixed = place_plan("local pre = run { name = 'pre', seed = 1, " PARTS "} }\n" EXPERIMENT
                             "init = pre, seed = 2 }",
                             NULL);
    assert_string_not_equal(own->runs[1].cell_hash, fixed->runs[1].cell_hash);
    plan_free(own);
    plan_free(fixed);
}

/* Files of weights and tables are known by their bytes. */
static void paths_are_known_by_content(void **state)
{
    (void)state;
    static const char script[] = EXPERIMENT "mask = mask.slope { table = 'table' }, seed = 1 }";
    static const char moved[] = EXPERIMENT "mask = mask.slope { table = 'other' }, seed = 1 }";
    char first[64];
    place_write("table", "1 2 3");
    place_write("other", "1 2 3");
    snprintf(first, sizeof first, "%s", hashes_of(script, NULL));
    assert_string_equal(hashes_of(moved, NULL), first);
    place_write("table", "1 2 4");
    assert_string_not_equal(hashes_of(script, NULL), first);
}

/* Everything of a plan that a user sees, as one hash. */
static void digest_of(const plan *of, char out[65])
{
    assay_sha256 hash;
    uint8_t digest[32];
    assay_sha256_begin(&hash);
    for (int i = 0; i < of->run_count; i++) {
        const plan_run *run = &of->runs[i];
        assay_sha256_add(&hash, run->run_hash, strlen(run->run_hash));
        assay_sha256_add(&hash, run->cell_hash, strlen(run->cell_hash));
        assay_sha256_add(&hash, run->label, strlen(run->label) + 1);
        for (int k = 0; k < run->param_count; k++) {
            const char *text = place_param(of, i, run->params[k].key);
            assay_sha256_add(&hash, text, strlen(text) + 1);
        }
    }
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, out);
}

#define MANY                                                                                       \
    "local t = {}\nfor k, v in pairs({ z = 0.1, a = 0.2, m = 0.3, [3] = 0.4, [1] = 0.5 }) do "     \
    "t[#t + 1] = v end\n"                                                                          \
    "local pre = run { name = 'pre', " PARTS "}, mask = mask.slope { warmup = any(t) } }\n"        \
    "local x = env('ASSAY_THAT_NOBODY_SETS', 'few')\n"                                             \
    "return experiment { name = 'many', trials = 3, init = any { none, pre }, " PARTS              \
    " note = x, dropout = uniform(0, 0.5) }, train = { lr = log_uniform(1e-5, 1) }, "              \
    "loss = { loss.match {}, any { none, loss.guess {} } }, seed = seeds(2) }"

/* The other process: the digest of many.lua in this folder, on its standard output. */
static int print_digest(const char *folder)
{
    char digest[65];
    assay_error error = {0};
    place_enter(folder);
    plan *of = place_read(NULL, &(place_request){.file = "many.lua"}, &error);
    if (of == NULL)
        return 1;
    digest_of(of, digest);
    plan_free(of);
    return write(STDOUT_FILENO, digest, sizeof digest) != sizeof digest;
}

/* The digest by this program started again, in another environment. */
static void digest_elsewhere(int start, char out[65])
{
    static const char *const locales[] = {"C", "de_DE.UTF-8", "tr_TR.UTF-8", "C.UTF-8"};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("LC_ALL", locales[start % 4], 1);
        setenv("TZ", start % 2 ? "Asia/Tokyo" : "UTC", 1);
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "again", "digest", place_folder(), (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], out, 65), 65);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ASSAY_STARTS: how many; the long form is a thousand. */
static void every_start_gives_the_same_plan(void **state)
{
    const char *wanted = getenv("ASSAY_STARTS");
    int starts = wanted != NULL ? atoi(wanted) : 30;
    char first[65], other[65];
    (void)state;
    place_write("many.lua", MANY);
    plan *of = place_read(NULL, &(place_request){.file = "many.lua"}, &(assay_error){0});
    assert_non_null(of);
    assert_int_equal(of->run_count, 5 * 2 + (1 + 5) * 2 * 3 * 2);
    digest_of(of, first);
    plan_free(of);
    for (int i = 0; i < starts; i++) {
        digest_elsewhere(i, other);
        assert_string_equal(first, other);
    }
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[1], "digest") == 0)
        return print_digest(words[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_pinned),
        cmocka_unit_test(what_makes_no_other_run_changes_nothing),
        cmocka_unit_test(a_script_elsewhere_gives_the_same),
        cmocka_unit_test(what_makes_another_run_changes_both_hashes),
        cmocka_unit_test(cells_are_runs_without_their_seeds),
        cmocka_unit_test(paths_are_known_by_content),
        cmocka_unit_test(every_start_gives_the_same_plan),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
