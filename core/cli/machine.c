/* machine.c - processor, features, cores and memory from /proc and the scheduler. */
#include "cli/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What matters for speed, in the order of its coming. */
static const char *const telling[] = {
    "avx2",        "fma",         "f16c",     "avx512f",  "avx512bw", "avx512dq",
    "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd",    "sve",
};

/* Whether `word` stands in the list `words`, separated by spaces. */
static int stands_in(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word))
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return 1;
    return 0;
}

static void pick_features(const char *words, machine *out)
{
    size_t used = 0;
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++)
        if (stands_in(words, telling[i]) && used + 16 < sizeof out->features)
            used += (size_t)snprintf(out->features + used, sizeof out->features - used, "%s%s",
                                     used > 0 ? " " : "", telling[i]);
}

/* The value of a line "key : value" of /proc/cpuinfo; NULL for another key. */
static char *value_of(char *line, const char *key)
{
    size_t length = strlen(key);
    char *colon = strchr(line, ':');
    if (strncmp(line, key, length) != 0 || colon == NULL)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return colon + 1 + strspn(colon + 1, " ");
}

void machine_look(machine *out)
{
    char line[8192];
    *out = (machine){.processor = "unknown"};
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL && line[0] != '\n') {
        const char *name = value_of(line, "model name");
        const char *words = value_of(line, "flags");
        if (words == NULL)
            words = value_of(line, "Features");
        if (name != NULL)
            snprintf(out->processor, sizeof out->processor, "%s", name);
        if (words != NULL)
            pick_features(words, out);
    }
    if (file != NULL)
        fclose(file);
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0)
        out->cores = CPU_COUNT(&cores);
    else
        out->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    out->memory = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
}
