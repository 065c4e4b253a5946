/* program.c - sh, pipes and a folder (program.h). */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char bin[4096]; /* the program's folder */
static char start[4096];
static char folder[64];

void program_is_at(const char *path)
{
    char full[4096];
    if (path == NULL || realpath(path, full) == NULL || getcwd(start, sizeof start) == NULL) {
        fprintf(stderr, "the program's path is the test's first argument\n");
        exit(99);
    }
    *strrchr(full, '/') = '\0';
    snprintf(bin, sizeof bin, "%s", full);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void set_variables(void)
{
    char text[9000];
    const char *data = getenv("ASSAY_TEST_DATA"), *toys = getenv("ASSAY_TEST_PLUGINS");
    const char *fixtures = getenv("ASSAY_TEST_FIXTURES"), *path = getenv("PATH");
    assert_non_null(data);
    assert_non_null(toys);
    assert_non_null(fixtures);
    if (strncmp(path, bin, strlen(bin)) != 0 || path[strlen(bin)] != ':') {
        snprintf(text, sizeof text, "%s:%s", bin, path);
        setenv("PATH", text, 1);
    }
    snprintf(text, sizeof text, "%s/cli/scripts", data);
    setenv("S", text, 1);
    setenv("T", toys, 1);
    setenv("F", fixtures, 1);
    setenv("HERE", folder, 1);
    setenv("ASSAY_PLUGINS", toys, 1);
    snprintf(text, sizeof text, "%s/cache", folder);
    setenv("ASSAY_CACHE", text, 1);
    unsetenv("ASSAY_DB");
}

int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/assay_cli_XXXXXX");
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return -1;
    set_variables();
    return 0;
}

int folder_remove(void **state)
{
    (void)state;
    if (chdir(start) != 0)
        return -1;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The file's text, owned by the caller. */
static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    text[size] = '\0';
    fclose(file);
    return text;
}

static double seconds_now(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

outcome shell(const char *line)
{
    outcome result = {.status = -1};
    double from = seconds_now();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen(".out", "w", stdout) == NULL || freopen(".err", "w", stderr) == NULL ||
            freopen("/dev/null", "r", stdin) == NULL)
            _exit(99);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(99);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.seconds = seconds_now() - from;
    result.out = read_all(".out");
    result.err = read_all(".err");
    return result;
}

void outcome_free(outcome *of)
{
    free(of->out);
    free(of->err);
    *of = (outcome){0};
}

bool there_is(const char *path)
{
    return access(path, F_OK) == 0;
}

void assert_status(const outcome *of, int status)
{
    if (of->status != status)
        fail_msg("status %d, not %d\nstdout: %s\nstderr: %s", of->status, status, of->out, of->err);
}

void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

void assert_one_message(const outcome *of)
{
    const char *end = strchr(of->err, '\n');
    if (strncmp(of->err, "assay: ", 7) != 0 || end == NULL || end[1] != '\0')
        fail_msg("not one message: %s", of->err);
}
