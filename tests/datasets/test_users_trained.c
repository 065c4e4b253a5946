/* test_users_trained.c - nothing leaks into a trained model: whole runs of user_decoder on users
 * data that was changed where it must not matter end with the same parameters, bit for bit. */
#include "../lab/train/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { USERS = 160, UNTIL = 50 };

typedef struct difference {
    bool after;  /* what happens from `until` on */
    int flipped; /* the split of which every third user's label is turned; -1: none */
} difference;

static void write_description(const char *folder)
{
    char path[160];
    snprintf(path, sizeof path, "%s/dataset.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("{\"sources\":{\"bill\":{\"slots\":6,\"tokens\":4},\"app\":{\"slots\":3,\"tokens\":2}},"
          "\"features\":[\"x\"],\"suites\":{\"risk\":{\"default\":{\"question\":\"default ?\","
          "\"positive\":\"defaults\",\"negative\":\"repays\"}}}}",
          file);
    assert_int_equal(fclose(file), 0);
}

static void write_user(FILE *file, int user, const difference *change)
{
    int split = user % ASSAY_SPLITS, signal = user * 7 % 11 < 5;
    /* Not all of a split: that would only give the two answers each other's words. */
    int turned = split == change->flipped && user % 3 == 0;
    int value = signal ^ (user % 9 == 0) ^ turned;
    fprintf(file, "{\"id\":\"u%d\",\"split\":\"%s\",\"features\":[%d],\"events\":[", user,
            assay_split_name((assay_data_split)split), user % 13);
    for (int e = 0; e < 12; e++) {
        bool later = 5 * e >= UNTIL;
        fprintf(file, "%s{\"time\":%d,\"source\":\"%s\",\"text\":\"%s word%d\"}", e > 0 ? "," : "",
                later && change->after ? 7 * e : 5 * e, e % 3 == 0 ? "app" : "bill",
                later && change->after ? "never before"
                : signal               ? "late"
                                       : "paid",
                (user + e) % 6);
    }
    fprintf(file, "],\"labels\":{\"default\":{\"value\":%d,\"until\":%d}}}\n", value, UNTIL);
}

/* A folder of the bench with the data in it. */
static void write_data(const bench *b, const difference *change, char folder[128])
{
    char path[160];
    snprintf(folder, 128, "%s/data", b->folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    write_description(folder);
    snprintf(path, sizeof path, "%s/users.jsonl", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int user = 0; user < USERS; user++)
        write_user(file, user, change);
    assert_int_equal(fclose(file), 0);
}

/* A run on data that differs so: what it ends with, and its AUC on valid and test. */
static outcome train_on(const difference *change, double auc[2])
{
    static const char *const losses[] = {"contrastive", "next_token"};
    char folder[128];
    bench b;
    bench_make(&b);
    write_data(&b, change, folder);
    set_plugin(&b.recipe.dataset, ASSAY_KIND_DATASET, "users");
    set_text(&b.recipe.dataset, "path", folder);
    set_number(&b.recipe.dataset, "future", 20);
    set_plugin(&b.recipe.model, ASSAY_KIND_MODEL, "user_decoder");
    set_plugin(&b.recipe.mask, ASSAY_KIND_MASK, "causal");
    set_losses(&b, 2, losses);
    set_plugin(&b.recipe.evaluators[0], ASSAY_KIND_EVALUATOR, "linear_probe");
    set_number(&b.recipe.evaluators[0], "resamples", 20);
    must_run(&b);
    outcome out = bench_outcome(&b);
    auc[0] = ask(&b, "SELECT value FROM score WHERE metric = 'auc' AND split = 'valid'");
    auc[1] = ask(&b, "SELECT value FROM score WHERE metric = 'auc' AND split = 'test'");
    bench_remove(&b);
    return out;
}

/* The unchanged data's, trained on once. */
static outcome before;
static double auc_before[2];

static int train_once(void **state)
{
    const difference none = {false, -1};
    (void)state;
    before = train_on(&none, auc_before);
    return 0;
}

static void what_happens_after_until_changes_nothing(void **state)
{
    const difference after = {true, -1};
    double auc[2];
    (void)state;
    outcome changed = train_on(&after, auc);
    assert_same_outcome(&before, &changed);
    assert_true(auc[0] > 0 && auc[1] > 0);
}

/* The parameters and the curves stay, and so does what is reported on the other split. */
static void labels_of_valid_and_test_change_no_parameter(void **state)
{
    (void)state;
    for (int split = ASSAY_VALID; split <= ASSAY_TEST; split++) {
        const difference flipped = {false, split};
        double auc[2];
        outcome changed = train_on(&flipped, auc);
        assert_string_equal(before.weights, changed.weights);
        assert_string_equal(before.series, changed.series);
        assert_string_not_equal(before.scores, changed.scores);
        if (split == ASSAY_TEST) {
            assert_true(auc[0] == auc_before[0]);
            assert_true(auc[1] != auc_before[1]);
        }
    }
}

/* What is trained on does change the parameters: the tests above can fail. */
static void labels_of_pretrain_are_trained_on(void **state)
{
    const difference flipped = {false, ASSAY_PRETRAIN};
    double auc[2];
    (void)state;
    outcome changed = train_on(&flipped, auc);
    assert_string_not_equal(before.weights, changed.weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_happens_after_until_changes_nothing),
        cmocka_unit_test(labels_of_valid_and_test_change_no_parameter),
        cmocka_unit_test(labels_of_pretrain_are_trained_on),
    };
    return cmocka_run_group_tests_name("users trained", tests, train_once, NULL);
}
