/* test_users_index.c - the index: found again, made again when it must be, never half believed; and
 * what it costs. */
#include "users_place.h"

#include "ids.h"
#include "index_file.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>
#include <zlib.h>

#include <cmocka.h>

/* `count` users with six events, a label, and a pair each. */
static void write_many(const users_place *place, int count)
{
    char path[128];
    snprintf(path, sizeof path, "%s/users.jsonl", place->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < count; i++) {
        fprintf(file, "{\"id\":\"user-%d\",\"features\":[%d,%d],\"events\":[", i, i % 97, i % 13);
        for (int e = 0; e < 6; e++)
            fprintf(file, "%s{\"time\":%d,\"source\":\"%s\",\"text\":\"word%d paid %d\"}",
                    e > 0 ? "," : "", 10 * e + i % 7, e % 2 == 0 ? "bill" : "app", i % 50,
                    i * e % 31);
        fprintf(file,
                "],\"labels\":{\"default\":{\"value\":%d,\"until\":45}},"
                "\"pairs\":[{\"query\":\"q%d\",\"answer\":\"a\"}]}\n",
                i % 3 == 0, i);
    }
    assert_int_equal(fclose(file), 0);
}

static void path_of(const users_place *place, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", place->folder, name);
}

/* Opens, takes the digest, and says whether the index was made for it. */
static bool open_and_digest(users_place *place, char hex[65], char fingerprint[65])
{
    users_data *data = must_open(place);
    bool made = data->index.made;
    digest(place, data, -1, hex);
    snprintf(fingerprint, 65, "%s", users_functions()->fingerprint(data));
    users_functions()->close(data);
    return made;
}

static void an_index_is_made_once(void **state)
{
    users_place *place = *state;
    char first[65], again[65], fingerprint[65], other[65], path[128];
    struct stat before, after;
    write_description(place);
    write_many(place, 200);
    assert_true(open_and_digest(place, first, fingerprint));
    path_of(place, "users.jsonl.index", path);
    assert_int_equal(stat(path, &before), 0);
    assert_false(open_and_digest(place, again, other));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_string_equal(first, again);
    assert_string_equal(fingerprint, other);
    assert_int_equal(strlen(fingerprint), 64);
    /* The file itself as path is the same dataset. */
    path_of(place, "users.jsonl", path);
    place->options.path = path;
    assert_false(open_and_digest(place, again, other));
    assert_string_equal(fingerprint, other);
}

static void a_changed_file_is_indexed_again(void **state)
{
    users_place *place = *state;
    char first[65], now[65], fingerprint[65], other[65], path[128];
    write_description(place);
    write_many(place, 50);
    open_and_digest(place, first, fingerprint);

    /* One byte, with size and modification time as they were. */
    struct stat status;
    path_of(place, "users.jsonl", path);
    assert_int_equal(stat(path, &status), 0);
    FILE *file = fopen(path, "r+");
    char line[64];
    assert_non_null(fgets(line, sizeof line, file));
    char *digit = strstr(line, "user-0");
    assert_non_null(digit);
    assert_int_equal(fseek(file, digit - line, SEEK_SET), 0);
    assert_int_equal(fputc('U', file), 'U');
    assert_int_equal(fclose(file), 0);
    struct timespec times[2] = {status.st_atim, status.st_mtim};
    assert_int_equal(utimensat(0, path, times, 0), 0);
    assert_true(open_and_digest(place, now, other));
    assert_string_not_equal(fingerprint, other);

    /* Touched only: read again, and the same dataset. */
    write_many(place, 50);
    assert_true(open_and_digest(place, now, other));
    assert_string_equal(first, now);
    assert_string_equal(fingerprint, other);

    /* Another description is another dataset. */
    must_write(place, "dataset.json",
               "{\"sources\":{\"bill\":{},\"app\":{}},\"features\":[\"a\",\"b\"],"
               "\"suites\":{\"s\":{\"default\":{\"question\":\"q\",\"positive\":\"p\","
               "\"negative\":\"n\"}}}}");
    assert_true(open_and_digest(place, now, other));
    assert_string_not_equal(fingerprint, other);
}

/* Content is what identifies a dataset: packed, under another name, in another folder. */
static void the_fingerprint_is_of_the_content(void **state)
{
    users_place *place = *state, *second = NULL;
    char first[65], now[65], fingerprint[65], other[65], path[128];
    void *made = NULL;
    write_description(place);
    write_many(place, 300);
    open_and_digest(place, first, fingerprint);
    assert_int_equal(users_place_make(&made), 0);
    second = made;
    write_description(second);
    path_of(place, "users.jsonl", path);
    FILE *from = fopen(path, "r");
    path_of(second, "users.jsonl.gz", path);
    gzFile to = gzopen(path, "wb6");
    char block[4096];
    size_t got = 0;
    while ((got = fread(block, 1, sizeof block, from)) > 0)
        assert_int_equal(gzwrite(to, block, (unsigned)got), got);
    fclose(from);
    assert_int_equal(gzclose(to), Z_OK);
    assert_true(open_and_digest(second, now, other));
    assert_string_equal(first, now);
    assert_string_equal(fingerprint, other);

    /* Cut short, the gzip stream is an error, and no index is left. */
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size / 2), 0);
    assert_non_null(strstr(must_refuse(second, ASSAY_BAD_FILE).what, "gzip"));
    assert_int_equal(users_place_remove(&made), 0);
}

/* Bytes changed and ends cut at many places: the index is made again, or reading the damaged record
 * says so; what is given out is right. */
static void a_damaged_index_is_never_believed(void **state)
{
    users_place *place = *state;
    char first[65], fingerprint[65], path[128];
    write_description(place);
    write_many(place, 40);
    open_and_digest(place, first, fingerprint);
    path_of(place, "users.jsonl.index", path);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    uint8_t *whole = malloc((size_t)status.st_size);
    FILE *file = fopen(path, "r");
    assert_int_equal(fread(whole, 1, (size_t)status.st_size, file), status.st_size);
    fclose(file);
    int made = 0, refused = 0;
    for (int i = 0; i < 400; i++) {
        int64_t at = i % 4 == 0 ? (int64_t)i * 21 /* in the records */
                                : status.st_size - 1 - (int64_t)i * 7;
        bool cut = i % 10 == 9;
        whole[at] ^= 0x41;
        file = fopen(path, "w");
        fwrite(whole, 1, (size_t)(cut ? at : status.st_size), file);
        fclose(file);
        whole[at] ^= 0x41;
        users_data *data = must_open(place);
        made += data->index.made;
        for (int64_t u = 0; u < 40; u++) {
            assay_error error = {0};
            user_history user;
            assay_arena_reset(place->arena);
            bool good = index_read(&data->index, u, place->arena, &user, &error);
            assert_true(good || error.code == ASSAY_BAD_FILE);
            refused += !good;
            if (good)
                assert_int_equal(user.label_count, 1);
        }
        users_functions()->close(data);
    }
    free(whole);
    assert_true(made > 200);
    assert_true(refused > 10);
    assert_int_equal(remove(path), 0);
    char now[65], other[65];
    assert_true(open_and_digest(place, now, other));
    assert_string_equal(first, now);
}

/* Killed while indexing: nothing is left that the next opening believes. */
static void an_interrupted_index_is_made_again(void **state)
{
    users_place *place = *state;
    char first[65], fingerprint[65], path[128];
    write_description(place);
    write_many(place, 4000);
    for (int wait = 1; wait <= 9; wait += 2) {
        pid_t child = fork();
        if (child == 0) {
            users_functions()->open(&place->options, &place->host, NULL);
            pause();
        }
        struct timespec pause_for = {.tv_nsec = wait * 4000000};
        nanosleep(&pause_for, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        open_and_digest(place, first, fingerprint);
        path_of(place, "users.jsonl.index", path);
        remove(path);
    }
}

static bool stop_now(void *user)
{
    return ++*(int *)user > 3;
}

static void indexing_ends_when_asked_to(void **state)
{
    users_place *place = *state;
    char path[128];
    struct stat status;
    int asked = 0;
    assay_error error = {0};
    const assay_host host = {.size = sizeof host, .user = &asked, .stopping = stop_now};
    write_description(place);
    write_many(place, 4000);
    assert_null(users_functions()->open(&place->options, &host, &error));
    assert_int_equal(error.code, ASSAY_STOPPED);
    path_of(place, "users.jsonl.index", path);
    assert_int_not_equal(stat(path, &status), 0);
}

static void several_processes_index_at_once(void **state)
{
    users_place *place = *state;
    enum { CHILDREN = 4 };
    char first[65], now[65], fingerprint[65], other[65];
    pid_t children[CHILDREN];
    write_description(place);
    write_many(place, 1500);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            void *data = users_functions()->open(&place->options, &place->host, NULL);
            _exit(data != NULL ? 0 : 1);
        }
    }
    open_and_digest(place, first, fingerprint);
    for (int i = 0; i < CHILDREN; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_false(open_and_digest(place, now, other));
    assert_string_equal(first, now);
}

/* As a user who may not write beside the data: the index goes to the cache, and is found there. */
static void an_unwritable_folder_has_its_index_in_the_cache(void **state)
{
    users_place *place = *state;
    write_description(place);
    write_many(place, 20);
    assert_int_equal(mkdir(place->cache, 0777), 0);
    assert_int_equal(chmod(place->cache, 0777), 0);
    assert_int_equal(chmod(place->folder, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(9);
        users_data *data = users_functions()->open(&place->options, &place->host, NULL);
        if (data == NULL || !data->index.made || strstr(data->index.path, "/cache/users-") == NULL)
            _exit(1);
        users_functions()->close(data);
        data = users_functions()->open(&place->options, &place->host, NULL);
        if (data == NULL || data->index.made)
            _exit(2);
        users_functions()->close(data);
        /* Without a cache there is a message, not an index. */
        assay_error error = {0};
        assay_host host = place->host;
        host.cache_path = NULL;
        data = users_functions()->open(&place->options, &host, &error);
        if (data != NULL || error.code != ASSAY_IO || strstr(error.hint, "ASSAY_CACHE") == NULL)
            _exit(3);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(chmod(place->folder, 0755), 0);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void every_id_is_found_again(void **state)
{
    users_place *place = *state;
    enum { IDS = 20000 };
    char id[32];
    assay_error error = {0};
    id_set *set = id_set_new(place->folder, &error);
    assert_non_null(set);
    for (int i = 1; i <= IDS; i++) {
        int64_t first = -1;
        int bytes = snprintf(id, sizeof id, "%d", i * 17);
        assert_true(id_set_add(set, id, bytes, i, &first, &error));
        assert_int_equal(first, 0);
    }
    for (int i = 1; i <= IDS; i += 7) {
        int64_t first = -1;
        int bytes = snprintf(id, sizeof id, "%d", i * 17);
        assert_true(id_set_add(set, id, bytes, IDS + i, &first, &error));
        assert_int_equal(first, i);
    }
    id_set_free(set);
}

/* ---- threads and memory ---- */

typedef struct reader {
    void *data;
    int64_t from, count;
    bool good;
} reader;

static void *read_all(void *argument)
{
    reader *job = argument;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    job->good = arena != NULL;
    for (int64_t i = 0; job->good && i < job->count; i++) {
        assay_sample sample;
        char query[16];
        int64_t number = (job->from + i) % job->count;
        assay_arena_reset(arena);
        job->good = users_functions()->sample(job->data, ASSAY_TEST, 0, number, NULL, arena,
                                              &sample, &error) &&
                    sample.label >= 0 && sample.values[0].shape[0] <= 3;
        snprintf(query, sizeof query, "Default?");
        job->good = job->good && sample.values[5].shape[0] == 8 &&
                    memcmp(sample.values[5].data, query, 8) == 0;
    }
    assay_arena_free(arena);
    return NULL;
}

static void samples_may_be_asked_for_by_several_threads(void **state)
{
    users_place *place = *state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    reader jobs[THREADS];
    write_description(place);
    write_many(place, 2000);
    void *data = must_open(place);
    int64_t count = users_functions()->count(data, ASSAY_TEST, 0);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (reader){data, i * 100, count, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(jobs[i].good);
    }
    users_functions()->close(data);
}

/* The address sanitizer keeps what is freed: there the most memory held says nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_CAN_BE_MEASURED 0
#elif defined(__has_feature)
#define MEMORY_CAN_BE_MEASURED !__has_feature(address_sanitizer)
#else
#define MEMORY_CAN_BE_MEASURED 1
#endif

#if MEMORY_CAN_BE_MEASURED
/* The most memory a child of ours held while it indexed and read `users` users, in KiB. */
static int64_t peak_of(users_place *place, int users)
{
    struct rusage usage;
    write_many(place, users);
    pid_t child = fork();
    if (child == 0) {
        users_data *data = users_functions()->open(&place->options, &place->host, NULL);
        if (data == NULL || data->index.counts.users != users)
            _exit(1);
        reader job = {data, 0, users_functions()->count(data, ASSAY_TEST, 0), false};
        read_all(&job);
        _exit(!job.good);
    }
    int status = 0;
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_int_equal(status, 0);
    return usage.ru_maxrss;
}

/* Ten times the users, and the same memory but for the mapped table (56 bytes a user, which the
 * system may take back). ASSAY_TEST_USERS makes it as long as one likes. */
static void memory_does_not_grow_with_the_file(void **state)
{
    users_place *place = *state;
    const char *wanted = getenv("ASSAY_TEST_USERS");
    int users = wanted != NULL ? atoi(wanted) : 20000;
    write_description(place);
    int64_t few = peak_of(place, users / 10), many = peak_of(place, users);
    print_message("# %d users: %lld KiB, %d users: %lld KiB\n", users / 10, (long long)few, users,
                  (long long)many);
    assert_true(many - few < 1024 + (int64_t)users * 56 / 1024);
}

#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, users_place_make, users_place_remove)
    const struct CMUnitTest tests[] = {
        TEST(an_index_is_made_once),
        TEST(a_changed_file_is_indexed_again),
        TEST(the_fingerprint_is_of_the_content),
        TEST(a_damaged_index_is_never_believed),
        TEST(an_interrupted_index_is_made_again),
        TEST(indexing_ends_when_asked_to),
        TEST(several_processes_index_at_once),
        TEST(an_unwritable_folder_has_its_index_in_the_cache),
        TEST(every_id_is_found_again),
        TEST(samples_may_be_asked_for_by_several_threads),
#if MEMORY_CAN_BE_MEASURED
        TEST(memory_does_not_grow_with_the_file),
#endif
    };
    return cmocka_run_group_tests_name("users index", tests, NULL, NULL);
}
