/* test_file.c - a published file appears whole or not at all, whatever fails on the way. */
#include <assay/file.h>
#include <assay/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A new folder for one test; paths in it by at(). */
static char folder[256];

static const char *at(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *temporary_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s.tmp.%ld", at(name), (long)getpid());
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/assay-file-XXXXXX", parent != NULL ? parent : "/tmp");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

/* Fails the test when the folder holds more than the files that the tests leave under their own
 * names: a forgotten temporary file keeps it from being removed. */
static int remove_folder(void **state)
{
    (void)state;
    unlink(at("file"));
    unlink(at("other"));
    rmdir(at("folder"));
    return rmdir(folder);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void assert_content(const char *path, const char *expected)
{
    int64_t bytes = -1;
    char *text = assay_read_file(path, 1 << 20, &bytes, NULL);
    assert_non_null(text);
    assert_int_equal(bytes, strlen(expected));
    assert_string_equal(text, expected);
    assay_free(text);
}

static void put(const char *path, const char *text)
{
    assert_true(assay_publish(path, text, (int64_t)strlen(text), NULL));
}

/* ---- publishing ---- */

static void a_file_appears_only_on_commit(void **state)
{
    (void)state;
    put(at("file"), "old");
    assay_publisher *publisher = assay_publish_begin(at("file"), NULL);
    assert_non_null(publisher);
    assert_true(assay_publish_write(publisher, "ne", 2, NULL));
    assert_true(assay_publish_write(publisher, NULL, 0, NULL));
    assert_true(assay_publish_write(publisher, "wer", 3, NULL));
    assert_content(at("file"), "old");
    assert_true(exists(temporary_of("file")));
    assert_true(assay_publish_commit(publisher, NULL));
    assert_content(at("file"), "newer");
    assert_false(exists(temporary_of("file")));
}

static void an_abandoned_file_leaves_no_trace(void **state)
{
    (void)state;
    int64_t blocks = assay_memory_stats_get().live_blocks;
    assay_publisher *publisher = assay_publish_begin(at("file"), NULL);
    assert_true(assay_publish_write(publisher, "part", 4, NULL));
    assay_publish_abandon(publisher);
    assay_publish_abandon(NULL);
    assert_false(exists(at("file")));
    assert_false(exists(temporary_of("file")));
    assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
}

static void a_name_without_a_folder_lies_in_the_current_one(void **state)
{
    (void)state;
    int back = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(folder), 0);
    bool ok = assay_publish("file", "here", 4, NULL);
    assert_int_equal(fchdir(back), 0);
    close(back);
    assert_true(ok);
    assert_content(at("file"), "here");
}

static void publish_leaves_the_old_file_when_the_disk_is_full(void **state)
{
    (void)state;
    /* A limit on the file size stands for the full disk: the first 4096 bytes go through. */
    enum { TOO_MANY = 10000 };
    put(at("file"), "old");
    char *data = assay_zalloc(TOO_MANY, NULL);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    assay_error error = {0}, later = {0};
    bool whole = assay_publish(at("file"), data, TOO_MANY, &error);
    assay_publisher *publisher = assay_publish_begin(at("file"), NULL);
    bool written = assay_publish_write(publisher, data, TOO_MANY, NULL);
    bool committed = assay_publish_commit(publisher, &later);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assay_free(data);
    assert_false(whole || written || committed);
    assert_int_equal(error.code, ASSAY_IO);
    assert_string_equal(error.got, strerror(EFBIG));
    assert_int_equal(later.code, ASSAY_IO);
    assert_content(at("file"), "old");
    assert_false(exists(temporary_of("file")));
}

static void a_failed_rename_removes_the_temporary_file(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_int_equal(mkdir(at("folder"), 0777), 0);
    assert_false(assay_publish(at("folder"), "x", 1, &error));
    assert_int_equal(error.code, ASSAY_IO);
    assert_string_equal(error.where, at("folder"));
    assert_false(exists(temporary_of("folder")));
}

static void a_missing_folder_is_reported_at_the_beginning(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_null(assay_publish_begin(at("missing/file"), &error));
    assert_int_equal(error.code, ASSAY_IO);
    assert_string_equal(error.where, at("missing"));
    assert_string_equal(error.got, strerror(ENOENT));
}

/* Root may write everywhere, so root becomes somebody else for the attempt; where the system does
 * not let it, there is nothing to see. */
static void a_folder_that_may_not_be_written_is_reported(void **state)
{
    (void)state;
    const uid_t self = geteuid(), nobody = 65534;
    assay_error error = {0};
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(mkdir(at("folder"), 0555), 0);
    if (self == 0 && seteuid(nobody) != 0)
        return;
    assay_publisher *publisher = assay_publish_begin(at("folder/file"), &error);
    assert_int_equal(seteuid(self), 0);
    assert_null(publisher);
    assert_int_equal(error.code, ASSAY_IO);
    assert_string_equal(error.got, strerror(EACCES));
}

static void a_relic_of_a_crash_is_overwritten(void **state)
{
    (void)state;
    int fd = open(temporary_of("file"), O_WRONLY | O_CREAT, 0666);
    assert_int_equal(write(fd, "a long relic of a crash", 23), 23);
    close(fd);
    put(at("file"), "new");
    assert_content(at("file"), "new");
    assert_false(exists(temporary_of("file")));
}

static void a_link_in_the_temporary_files_place_is_not_followed(void **state)
{
    (void)state;
    put(at("other"), "precious");
    assert_int_equal(symlink(at("other"), temporary_of("file")), 0);
    assert_false(assay_publish(at("file"), "new", 3, NULL));
    assert_content(at("other"), "precious");
    unlink(temporary_of("file"));
}

static void two_publishers_of_one_path_do_not_mix(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_publisher *first = assay_publish_begin(at("file"), NULL);
    assert_true(assay_publish_write(first, "first", 5, NULL));
    assert_null(assay_publish_begin(at("file"), &error));
    assert_int_equal(error.code, ASSAY_IO);
    assert_true(assay_publish_commit(first, NULL));
    assert_content(at("file"), "first");
    put(at("file"), "second");
    assert_content(at("file"), "second");
}

static void space_that_does_not_exist_cannot_be_reserved(void **state)
{
    (void)state;
    assay_error error = {0};
    put(at("file"), "old");
    assay_publisher *publisher = assay_publish_begin(at("file"), NULL);
    assert_false(assay_publish_reserve(publisher, INT64_C(1) << 60, &error));
    assert_int_equal(error.code, ASSAY_IO);
    assay_publish_abandon(publisher);
    assert_content(at("file"), "old");
}

static void reserved_space_that_is_not_used_is_given_back(void **state)
{
    (void)state;
    struct stat status;
    assay_publisher *publisher = assay_publish_begin(at("file"), NULL);
    assert_true(assay_publish_reserve(publisher, 0, NULL));
    assert_true(assay_publish_reserve(publisher, 1 << 20, NULL));
    assert_true(assay_publish_write(publisher, "short", 5, NULL));
    assert_true(assay_publish_commit(publisher, NULL));
    assert_content(at("file"), "short");
    assert_int_equal(stat(at("file"), &status), 0);
    assert_true(status.st_blocks * 512 < 1 << 19);
}

static void beginning_without_memory_leaves_no_trace(void **state)
{
    (void)state;
    int64_t blocks = assay_memory_stats_get().live_blocks;
    for (int n = 0; n < 4; n++) {
        assay_error error = {0};
        assay_memory_fail_after(n);
        assert_null(assay_publish_begin(at("file"), &error));
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
        assert_false(exists(temporary_of("file")));
    }
    assay_memory_fail_after(-1);
    assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
}

static void a_negative_length_is_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_false(assay_publish(at("file"), "x", -1, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_false(exists(at("file")));
}

/* ---- reading ---- */

static void a_mapping_shows_the_bytes(void **state)
{
    (void)state;
    assay_mapping mapping;
    put(at("file"), "bytes");
    assert_true(assay_map(at("file"), &mapping, NULL));
    assert_int_equal(mapping.bytes, 5);
    assert_memory_equal(mapping.data, "bytes", 5);
    put(at("file"), "other bytes"); /* the old content stays until it is unmapped */
    assert_memory_equal(mapping.data, "bytes", 5);
    assay_unmap(&mapping);
    assert_null(mapping.data);
    assay_unmap(&mapping);
}

static void an_empty_file_maps_and_reads_to_nothing(void **state)
{
    (void)state;
    assay_mapping mapping = {.data = (const uint8_t *)"", .bytes = 9};
    put(at("file"), "");
    assert_true(assay_map(at("file"), &mapping, NULL));
    assert_null(mapping.data);
    assert_int_equal(mapping.bytes, 0);
    assay_unmap(&mapping);
    assert_content(at("file"), "");
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(at("other"), 0666), 0);
    const char *paths[] = {folder, "/dev/null", at("other")};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assay_error error = {0};
        assay_mapping mapping = {.data = (const uint8_t *)"", .bytes = 9};
        int64_t bytes;
        assert_false(assay_map(paths[i], &mapping, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_null(mapping.data);
        assay_error_clear(&error);
        assert_null(assay_read_file(paths[i], 100, &bytes, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
    }
}

static void a_missing_file_is_an_io_failure_with_its_path(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_mapping mapping;
    assert_false(assay_map(at("missing"), &mapping, &error));
    assert_int_equal(error.code, ASSAY_IO);
    assert_string_equal(error.where, at("missing"));
    assert_string_equal(error.got, strerror(ENOENT));
}

static void files_above_the_limit_are_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    int64_t bytes = -1;
    put(at("file"), "12345");
    assert_null(assay_read_file(at("file"), 4, &bytes, &error));
    assert_int_equal(error.code, ASSAY_BAD_FILE);
    assert_int_equal(bytes, -1);
    char *text = assay_read_file(at("file"), 5, &bytes, NULL);
    assert_non_null(text);
    assert_int_equal(bytes, 5);
    assay_free(text);
}

static void reading_without_memory_leaks_nothing(void **state)
{
    (void)state;
    assay_error error = {0};
    int64_t bytes;
    put(at("file"), "12345");
    int64_t blocks = assay_memory_stats_get().live_blocks;
    assay_memory_fail_after(0);
    assert_null(assay_read_file(at("file"), 100, &bytes, &error));
    assert_int_equal(error.code, ASSAY_NO_MEMORY);
    assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
}

#define IN_A_NEW_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_NEW_FOLDER(a_file_appears_only_on_commit),
        IN_A_NEW_FOLDER(an_abandoned_file_leaves_no_trace),
        IN_A_NEW_FOLDER(a_name_without_a_folder_lies_in_the_current_one),
        IN_A_NEW_FOLDER(publish_leaves_the_old_file_when_the_disk_is_full),
        IN_A_NEW_FOLDER(a_failed_rename_removes_the_temporary_file),
        IN_A_NEW_FOLDER(a_missing_folder_is_reported_at_the_beginning),
        IN_A_NEW_FOLDER(a_folder_that_may_not_be_written_is_reported),
        IN_A_NEW_FOLDER(a_relic_of_a_crash_is_overwritten),
        IN_A_NEW_FOLDER(a_link_in_the_temporary_files_place_is_not_followed),
        IN_A_NEW_FOLDER(two_publishers_of_one_path_do_not_mix),
        IN_A_NEW_FOLDER(space_that_does_not_exist_cannot_be_reserved),
        IN_A_NEW_FOLDER(reserved_space_that_is_not_used_is_given_back),
        IN_A_NEW_FOLDER(beginning_without_memory_leaves_no_trace),
        IN_A_NEW_FOLDER(a_negative_length_is_refused),
        IN_A_NEW_FOLDER(a_mapping_shows_the_bytes),
        IN_A_NEW_FOLDER(an_empty_file_maps_and_reads_to_nothing),
        IN_A_NEW_FOLDER(only_regular_files_are_read),
        IN_A_NEW_FOLDER(a_missing_file_is_an_io_failure_with_its_path),
        IN_A_NEW_FOLDER(files_above_the_limit_are_refused),
        IN_A_NEW_FOLDER(reading_without_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
