/* git.c - what version control says of the folder that the script lies in (provenance.h).
 *
 * The program `git` is asked, with a time limit; nothing of what goes wrong there is a failure. */
#include "lab/run/provenance.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS   5000
#define DIFF_BYTES (1 << 20) /* a longer diff is cut, and says so */

static const char cut_note[] = "\n[cut here: the diff is longer than a MiB]\n";

static int64_t up_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Starts `git -C folder words...`; its output comes from *output. -1: it cannot be started. */
static pid_t start(const char *folder, const char *const *words, int *output)
{
    const char *line[12] = {"git", "--no-optional-locks", "-C", folder};
    int n = 4, pipes[2];
    pid_t pid = -1;
    posix_spawn_file_actions_t actions;
    for (int i = 0; words[i] != NULL && n < 11; i++)
        line[n++] = words[i];
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return -1;
    bool ok = posix_spawn_file_actions_init(&actions) == 0;
    if (ok) {
        ok = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
             posix_spawn_file_actions_adddup2(&actions, pipes[1], 1) == 0 &&
             posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) == 0 &&
             posix_spawnp(&pid, "git", &actions, NULL, (char *const *)line, environ) == 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    close(pipes[1]);
    if (ok) {
        *output = pipes[0];
        return pid;
    }
    close(pipes[0]);
    return -1;
}

/* Reads up to size - 1 bytes until the end, the limit or the time limit; the rest stays unread.
 * False when time ran out. */
static bool collect(int from, char *out, int64_t size, int64_t *bytes)
{
    int64_t until = up_ms() + LIMIT_MS;
    *bytes = 0;
    while (*bytes < size - 1) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        int64_t left = until - up_ms();
        int found = left <= 0 ? 0 : poll(&ready, 1, (int)left);
        if (found == 0)
            return false;
        if (found < 0 && errno == EINTR)
            continue;
        ssize_t n = read(from, out + *bytes, (size_t)(size - 1 - *bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *bytes += n;
    }
    out[*bytes] = '\0';
    return true;
}

/* Runs git to its end. False when there is no answer: no git, no repository, too slow. `cut` (may
 * be NULL) tells that there was more than fits. */
static bool ask(const char *folder, const char *const *words, char *out, int64_t size, bool *cut)
{
    int output = -1, status = -1;
    int64_t bytes = 0;
    pid_t pid = start(folder, words, &output);
    if (pid < 0)
        return false;
    bool in_time = collect(output, out, size, &bytes);
    bool full = bytes == size - 1;
    if (!in_time)
        kill(pid, SIGKILL);
    close(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!in_time)
        assay_log(ASSAY_LOG_WARNING, "git does not answer within %d s in %s", LIMIT_MS / 1000,
                  folder);
    if (cut != NULL)
        *cut = full;
    return in_time && (full || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* UTF-8 is what the store holds: bytes of another encoding become question marks. */
static void keep_utf8(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0';) {
        int more = *c < 0x80 ? 0 : *c >= 0xF0 && *c < 0xF5 ? 3 : *c >= 0xE0 ? 2 : 1;
        bool ok = *c < 0x80 || (*c >= 0xC2 && *c < 0xF5);
        for (int i = 1; i <= more && ok; i++)
            ok = (c[i] & 0xC0) == 0x80;
        if (!ok)
            *c = '?';
        c += ok ? 1 + more : 1;
    }
}

static bool read_diff(run_provenance *out, const char *folder, assay_error *error)
{
    static const char *const words[] = {"diff", "--no-ext-diff", "--no-color", "HEAD", NULL};
    bool cut = false;
    char *text = assay_alloc(DIFF_BYTES + (int64_t)sizeof cut_note, error);
    if (text == NULL)
        return false;
    if (!ask(folder, words, text, DIFF_BYTES, &cut) || text[0] == '\0') {
        assay_free(text);
        return true;
    }
    if (cut)
        strcat(text, cut_note);
    keep_utf8(text);
    out->diff = text;
    return true;
}

bool git_look(run_provenance *out, const char *folder, assay_error *error)
{
    static const char *const head[] = {"rev-parse", "--verify", "HEAD", NULL};
    static const char *const status[] = {"status", "--porcelain", "--untracked-files=no", NULL};
    char line[128];
    if (!ask(folder, head, out->commit, sizeof out->commit, NULL)) {
        out->commit[0] = '\0';
        return true;
    }
    out->commit[strcspn(out->commit, "\n")] = '\0';
    if (!ask(folder, status, line, sizeof line, NULL))
        return true;
    out->dirty = line[0] != '\0';
    return !out->dirty || read_diff(out, folder, error);
}
