/* bench/synth.c - how fast dataset.user_synth makes users, and what an epoch of a million takes.
 *
 * One thread, in processor time. Events: lives of 120 days as labels and futures need them, with
 * nothing told as text. Users: whole lives, counted after start-up. Samples: as a model is given
 * them, texts, features, question and answer included. Epoch: every training sample of a million
 * users, the peak of resident memory after the first thousand users and at the end. Prints one JSON
 * line.
 *
 * usage: synth [users of the epoch] */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

extern const assay_plugin assay_plugin_entry;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static _Noreturn void fail(const assay_error *error)
{
    char line[1400];
    fprintf(stderr, "bench: %s\n", assay_error_format(error, line, sizeof line));
    exit(1);
}

/* Events per second over the lives of users that nothing else asks for. */
static double time_events(const synth_data *data, int64_t users, double *per_user)
{
    assay_error error = {0};
    int64_t events = 0;
    assay_arena *arena = assay_arena_new(0, &error);
    if (arena == NULL)
        fail(&error);
    double start = now();
    for (int64_t u = 0; u < users; u++) {
        person p;
        life l;
        assay_arena_reset(arena);
        person_make(&p, data->world, &data->streams, synth_number(ASSAY_TEST, u));
        if (!person_live(&p, data->world, &data->streams, DAYS, arena, &l, &error))
            fail(&error);
        events += l.count;
    }
    double seconds = now() - start;
    assay_arena_free(arena);
    *per_user = (double)events / (double)users;
    return (double)events / seconds;
}

/* Samples per second; *first_mb is the peak of memory after `first` of them. */
static double time_samples(const synth_data *data, int64_t samples, int64_t first, double *first_mb)
{
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    if (arena == NULL)
        fail(&error);
    double start = now();
    for (int64_t i = 0; i < samples; i++) {
        assay_sample sample;
        assay_arena_reset(arena);
        if (!synth_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, i, NULL, arena, &sample,
                          &error))
            fail(&error);
        if (i == first)
            *first_mb = peak_mb();
    }
    double seconds = now() - start;
    assay_arena_free(arena);
    return (double)samples / seconds;
}

int main(int argc, char **argv)
{
    static const char *const sources[] = {"bill", "app", "minipro", "sousuo", "spm", "tabular"};
    static const char *const pairs[] = {"future", "uqa"};
    const assay_dataset_functions *plugin = assay_plugin_entry.functions;
    int64_t users = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    const synth_options options = {.users = users,
                                   .seed = 1,
                                   .sources = {6, sources},
                                   .pairs = {2, pairs},
                                   .features = -1,
                                   .activity = 3,
                                   .noise = 0.1,
                                   .future_question = "What next?",
                                   .task = "",
                                   .uqa_pairs = 1,
                                   .draft_errors = 0.1,
                                   .reflection = true};
    assay_error error = {0};
    double start = now(), per_user = 0, first_mb = 0;
    synth_data *data = plugin->open(&options, NULL, &error);
    if (data == NULL)
        fail(&error);
    double opened = now() - start;
    double events = time_events(data, 20000, &per_user);
    double samples = time_samples(data, 2 * users, 2000, &first_mb);
    printf("{\"peer\": \"assay\", \"bench\": \"user_synth\", \"open_s\": %.2f, "
           "\"events_per_s\": %.0f, \"events_per_user\": %.1f, \"epoch_users\": %" PRId64
           ", \"samples_per_s\": %.0f, \"peak_mb_after_1000_users\": %.1f, \"peak_mb\": %.1f}\n",
           opened, events, per_user, users, samples, first_mb, peak_mb());
    plugin->close(data);
    return 0;
}
