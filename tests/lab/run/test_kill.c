/* test_kill.c - killed at random moments, again and again, and started again each time, a plan ends
 * with the same bits as one that was never interrupted.
 *
 * A plan with a stage trains, checkpoints and evaluates in a process of its own, which is killed
 * with SIGKILL: at a time drawn from its whole life, or shortly after it said that it trains, saves
 * or evaluates; every third store is worked on by two jobs, of which one or the first process is
 * killed. The program `assay` itself, with a script, is killed at times drawn from its whole life.
 * After each kill the store must be intact; in the end parameters, series and scores are compared.
 * ASSAY_KILLS sets how many of the first kind (52; 12 where every access is checked), a quarter of
 * which are made of the second; ASSAY_KILL_SEED which (1). */
#include "place.h"

#include <assay/random.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
#define KILLS 12
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KILLS 12
#endif
#endif
#ifndef KILLS
#define KILLS 52
#endif
#define MOST_IN_A_ROUND 14  /* kills of one store, then it may finish */
#define LONGEST_S       60. /* of one process */

static const plan_shape shape = {"stages", 1, 20, 4, 6, 72};
static const char *const one_thread[] = {"--threads", "1", NULL};
static const char *const two_jobs[] = {"--threads", "1", "--jobs", "2", NULL};

static const char *const phases[] = {"starting", "training", "saving", "evaluating"};
enum { STARTING, TRAINING, PHASES = 4 };

typedef struct soak {
    const test_place *place;
    int64_t seed, draws;
    double whole_s; /* of an uninterrupted life */
    char store[128];
    bool jobs, real; /* the program with a script, which tells little of what it does */
    int kills, in_round;
    int during[PHASES]; /* what was going on when the kill came */
} soak;

static int64_t setting_of(const char *name, int64_t standard)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? standard : atoll(text);
}

static int64_t draw(soak *s, int64_t n)
{
    return assay_random_below(assay_stream_of((uint64_t)s->seed, "kill", 0), (uint64_t)s->draws++,
                              n);
}

static double now_s(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void nap_us(int64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

/* ---- what the process says ---- */

/* How often the log says that it does this. */
static int count_doing(const test_place *place, const char *phase)
{
    char *log = program_log(place, "log");
    char line[64];
    int n = 0;
    snprintf(line, sizeof line, "doing %s", phase);
    for (const char *at = log; (at = strstr(at, line)) != NULL; at++)
        n++;
    free(log);
    return n;
}

/* The phase that the log's last line of progress tells of. */
static int last_phase(const test_place *place)
{
    char *log = program_log(place, "log");
    const char *last = NULL;
    int found = STARTING;
    for (const char *at = log; (at = strstr(at, "doing ")) != NULL; at++)
        last = at + 6;
    for (int i = 1; last != NULL && i < PHASES; i++)
        if (strncmp(last, phases[i], strlen(phases[i])) == 0)
            found = i;
    free(log);
    return found;
}

/* ---- killing ---- */

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Waits for a moment that is worth a kill; false when the process ended before. */
static bool await_moment(soak *s, pid_t pid)
{
    double until = now_s() + LONGEST_S;
    int phase = s->real ? STARTING : (int)draw(s, PHASES);
    int times = (int)draw(s, 8) + 1;
    int64_t delay_us = draw(s, phase == TRAINING ? 300 : 3000);
    if (phase == STARTING) /* half of these in the first tenth */
        delay_us = draw(s, (int64_t)(s->whole_s * (draw(s, 2) == 0 ? 1e6 : 1e5)));
    while (phase != STARTING && !has_ended(pid) && count_doing(s->place, phases[phase]) < times) {
        if (now_s() > until)
            fail_msg("a process takes more than %.0f s", LONGEST_S);
        nap_us(300);
    }
    nap_us(delay_us);
    return !has_ended(pid);
}

/* A job of `parent` that works on a run, or `parent` itself. */
static pid_t choose_victim(soak *s, pid_t parent)
{
    char path[64], line[512] = "";
    long long pid = ask_store(s->store, "SELECT pid FROM attempt JOIN run USING(run_id) WHERE "
                                        "status = 'running' AND end_ms IS NULL LIMIT 1");
    int mother = -1;
    if (!s->jobs || draw(s, 2) == 0 || pid <= 1)
        return parent;
    snprintf(path, sizeof path, "/proc/%lld/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return parent;
    const char *behind = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
    fclose(file);
    if (behind == NULL || sscanf(behind, ") %*c %d", &mother) != 1 || mother != (int)parent)
        return parent;
    return (pid_t)pid;
}

static const char script[] =
    "local walks = dataset.toy { size = 72 }\n"
    "local train = { steps = 20, batch = 16, lr = 0.01, checkpoint_every = 4, evaluate_every = 6 "
    "}\n"
    "local base = run { name = 'base', dataset = walks, model = model.toy_encoder {}, seed = 0,\n"
    "  mask = mask.toy_ramp {}, loss = { loss.toy_contrast {}, loss.toy_next {} },\n"
    "  evaluate = evaluator.toy_probe {}, train = train }\n"
    "return experiment { name = 'soak', dataset = walks, model = model.toy_encoder {},\n"
    "  init = base, mask = any { mask.toy_ramp { to = 0.5 }, mask.toy_ramp { to = 0.8 } },\n"
    "  loss = { loss.toy_contrast { margin = base:score('toy/sign/auc') }, loss.toy_next {} },\n"
    "  evaluate = evaluator.toy_probe { table = true }, train = train, seed = 1 }\n";

/* `assay run` of the script above. */
static pid_t start_real(const soak *s)
{
    char path[128];
    snprintf(path, sizeof path, "%s/soak.lua", s->place->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(script, file) >= 0);
    assert_int_equal(fclose(file), 0);
    const char *line[] = {
        getenv("ASSAY_PROGRAM"), "run", path, "--db", s->store, "--threads", "1", "--jobs",
        s->jobs ? "2" : "1",     NULL};
    return line_start(s->place, line, "log");
}

static pid_t start(const soak *s)
{
    if (s->real)
        return start_real(s);
    return program_start(s->place, s->store, &shape, s->jobs ? two_jobs : one_thread, "log");
}

/* One life of the program: how it ended. */
static int live(soak *s)
{
    pid_t pid = start(s);
    if (s->in_round < MOST_IN_A_ROUND && await_moment(s, pid)) {
        int phase = last_phase(s->place);
        if (kill(choose_victim(s, pid), SIGKILL) == 0) {
            s->during[phase]++;
            s->kills++;
            s->in_round++;
        }
    }
    return program_wait(pid);
}

/* ---- comparing ---- */

static int64_t must_count(const soak *s, const char *sql, int64_t expected)
{
    int64_t got = ask_store(s->store, sql);
    if (got != expected)
        fail_msg("%s gives %lld after kill %d of seed %lld", sql, (long long)got, s->kills,
                 (long long)s->seed);
    return got;
}

/* From an empty store to the end of all runs, however often that takes. */
static void finish_a_store(soak *s, const char *reference)
{
    char outcome[65];
    int status = -1;
    s->in_round = 0;
    for (int lives = 0; status != 0; lives++) {
        status = live(s);
        assert_store_intact(s->store);
        /* Killed; a job of it was; or the jobs of the one before were not gone yet. */
        if (status != 0 && status != -SIGKILL && !(s->jobs && (status == 1 || status == 75)))
            fail_msg("status %d: %s", status, program_log(s->place, "log"));
        assert_true(lives < 10 * MOST_IN_A_ROUND);
    }
    must_count(s, "SELECT count(*) FROM run WHERE status = 'done'", 3);
    must_count(s, "SELECT count(*) FROM run WHERE status = 'running'", 0);
    must_count(s, "SELECT count(*) FROM attempt WHERE end_ms IS NULL", 0);
    must_count(s, "SELECT count(*) FROM attempt WHERE exact = 0", 0);
    store_outcome(s->store, outcome);
    if (strcmp(outcome, reference) != 0)
        fail_msg("other bits after %d kills of seed %lld (%s)", s->kills, (long long)s->seed,
                 s->jobs ? "jobs" : "one process");
}

/* A plan without interruption, and then with at least `wanted` of them. */
static void compare(soak *s, int wanted)
{
    char reference[65];
    snprintf(s->store, sizeof s->store, "%s/whole.db", s->place->folder);
    double begun = now_s();
    assert_int_equal(program_wait(start(s)), 0);
    s->whole_s = now_s() - begun;
    assert_true(store_outcome(s->store, reference) > 100);
    for (int round = 0; s->kills < wanted; round++) {
        snprintf(s->store, sizeof s->store, "%s/round%d.db", s->place->folder, round);
        s->jobs = round % 3 == 2;
        finish_a_store(s, reference);
    }
}

static void interrupted_anywhere_it_ends_with_the_same_bits(void **state)
{
    soak s = {.place = *state, .seed = setting_of("ASSAY_KILL_SEED", 1)};
    setenv("TOY_PROGRESS", "1", 1);
    compare(&s, (int)setting_of("ASSAY_KILLS", KILLS));
    print_message("# %d kills of seed %lld:", s.kills, (long long)s.seed);
    for (int i = 0; i < PHASES; i++)
        print_message(" %d %s%s", s.during[i], phases[i], i + 1 < PHASES ? "," : "\n");
    for (int i = 1; i < PHASES && s.kills >= 50; i++)
        assert_true(s.during[i] > 0); /* so many that each has its share */
}

static void so_does_the_program_itself(void **state)
{
    soak s = {.place = *state, .seed = setting_of("ASSAY_KILL_SEED", 1) + 1000, .real = true};
    compare(&s, (int)setting_of("ASSAY_KILLS", KILLS) / 4);
    must_count(&s, "SELECT count(*) FROM artifact WHERE name = 'probe.csv'", 2);
    print_message("# %d kills of the program\n", s.kills);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(interrupted_anywhere_it_ends_with_the_same_bits, place_make,
                                        place_remove),
        cmocka_unit_test_setup_teardown(so_does_the_program_itself, place_make, place_remove),
    };
    return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
