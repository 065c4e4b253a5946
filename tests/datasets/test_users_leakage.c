/* test_users_leakage.c - nothing of an answer reaches a question: samples are compared byte for
 * byte after the file was changed where it must not matter. */
#include "users_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { USERS = 60, UNTIL = 50 };

/* What differs between two files that must give the same samples. */
typedef struct file_change {
    bool after;        /* the events at and after the label's until */
    int flipped_split; /* the labels of this split; -1: none */
    bool order;        /* the order of events with different times within a line */
} file_change;

static const char *event_text(int user, int event, bool changed)
{
    static char text[64];
    snprintf(text, sizeof text, "%s%d word%d", changed ? "other" : "thing", (user + event) % 7,
             event % 5);
    return text;
}

static void put_events(FILE *file, int user, const file_change *change)
{
    for (int k = 0; k < 12; k++) {
        int e = change->order ? 11 - k : k;
        int time = 5 * e + user % 5; /* 0 .. 59; at 50 and after: e 10 and 11 */
        bool later = time >= UNTIL;
        fprintf(file, "%s{\"time\":%d,\"source\":\"%s\",\"text\":\"%s\"}", k > 0 ? "," : "",
                later && change->after ? time + 100 + 3 * e : time, e % 3 == 0 ? "app" : "bill",
                event_text(user, e, later && change->after));
    }
    /* More events, fewer, or at the moment itself. */
    if (change->after)
        fprintf(file, ",{\"time\":%d,\"source\":\"bill\",\"text\":\"added\"}", UNTIL);
}

static void write_users(const users_place *place, const file_change *change)
{
    char path[128];
    snprintf(path, sizeof path, "%s/users.jsonl", place->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int user = 0; user < USERS; user++) {
        int split = user % ASSAY_SPLITS;
        int value = (user / 4) % 2 ^ (split == change->flipped_split);
        fprintf(file, "{\"id\":\"u%d\",\"split\":\"%s\",\"features\":[%d,%d],\"events\":[", user,
                assay_split_name((assay_data_split)split), user, user * user % 11);
        put_events(file, user, change);
        fprintf(file,
                "],\"labels\":{\"default\":{\"value\":%d,\"until\":%d}},"
                "\"pairs\":[{\"query\":\"q\",\"answer\":\"a%d\",\"until\":30}]}\n",
                value, UNTIL, user);
    }
    assert_int_equal(fclose(file), 0);
}

/* The samples' digest with these files, without those of one split. */
static void digest_of(users_place *place, const file_change *change, int leave_out, char hex[65])
{
    write_users(place, change);
    void *data = must_open(place);
    digest(place, data, leave_out, hex);
    users_functions()->close(data);
}

static const file_change nothing = {false, -1, false};

static void events_after_until_change_nothing(void **state)
{
    users_place *place = *state;
    const file_change after = {true, -1, false};
    char before[65], now[65];
    static const char *const makers[] = {"given", "labels", "future", "uqa"};
    write_description(place);
    place->options.pairs = (assay_texts){4, makers};
    place->options.future = 15;
    digest_of(place, &nothing, -1, before);
    digest_of(place, &after, -1, now);
    assert_string_equal(before, now);
    /* The future pairs were there to be compared. */
    void *data = must_open(place);
    assert_int_equal(users_functions()->count(data, ASSAY_VALID, ASSAY_NO_BENCHMARK),
                     3 * USERS / 4);
    users_functions()->close(data);
}

static void labels_of_valid_and_test_change_no_sample_of_others(void **state)
{
    users_place *place = *state;
    char before[65], now[65], whole_before[65], whole_now[65];
    write_description(place);
    for (int split = ASSAY_TRAIN; split <= ASSAY_TEST; split++) {
        const file_change flipped = {false, split, false};
        digest_of(place, &nothing, split, before);
        digest_of(place, &flipped, split, now);
        assert_string_equal(before, now);
        /* Of the split itself only the labels changed: this test can fail. */
        digest_of(place, &nothing, -1, whole_before);
        digest_of(place, &flipped, -1, whole_now);
        assert_string_not_equal(whole_before, whole_now);
    }
}

/* Training samples of valid and test users are the same whatever their labels are. */
static void labels_of_valid_and_test_are_no_training_texts(void **state)
{
    users_place *place = *state;
    char text[2][1024];
    write_description(place);
    for (int split = ASSAY_TRAIN; split <= ASSAY_TEST; split++) {
        const file_change flipped = {false, split, false};
        write_users(place, &nothing);
        void *data = must_open(place);
        write_users(place, &flipped);
        void *other = must_open(place);
        int64_t count = users_functions()->count(data, (assay_data_split)split, -1);
        assert_int_equal(users_functions()->count(other, (assay_data_split)split, -1), count);
        for (int64_t i = 0; i < count; i++) {
            tell(place, data, (assay_data_split)split, -1, i, text[0], sizeof text[0]);
            tell(place, other, (assay_data_split)split, -1, i, text[1], sizeof text[1]);
            assert_string_equal(text[0], text[1]);
            assert_null(strstr(text[0], "defaults"));
            assert_null(strstr(text[0], "repays"));
        }
        users_functions()->close(data);
        users_functions()->close(other);
    }
}

static void the_order_of_a_lines_events_changes_nothing(void **state)
{
    users_place *place = *state;
    const file_change reversed = {false, -1, true};
    char before[65], now[65];
    write_description(place);
    digest_of(place, &nothing, -1, before);
    digest_of(place, &reversed, -1, now);
    assert_string_equal(before, now);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, users_place_make, users_place_remove)
    const struct CMUnitTest tests[] = {
        TEST(events_after_until_change_nothing),
        TEST(labels_of_valid_and_test_change_no_sample_of_others),
        TEST(labels_of_valid_and_test_are_no_training_texts),
        TEST(the_order_of_a_lines_events_changes_nothing),
    };
    return cmocka_run_group_tests_name("users leakage", tests, NULL, NULL);
}
