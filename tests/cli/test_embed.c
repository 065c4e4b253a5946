/* test_embed.c - `assay embed` on the real program: what is written, that the prefix cache changes
 * no vector, and what is refused. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Twelve users of each split, some without events, in the folder $1. */
static const char make_users[] =
    "make_users() { mkdir -p $1; awk -v n=$2 'BEGIN { "
    "split(\"train valid test\", s, \" \"); "
    "for (i = 0; i < 36; i++) { "
    "printf \"{\\\"id\\\":\\\"%s%d\\\",\\\"split\\\":\\\"%s\\\",\\\"events\\\":[\", n, i, s[i % 3 "
    "+ 1]; "
    "for (e = 0; e < i % 7; e++) printf "
    "\"%s{\\\"time\\\":%d,\\\"source\\\":\\\"bill\\\",\\\"text\\\":\\\"shop "
    "%d\\\"}\", e ? \",\" : \"\", e, (i * 5 + e) % 4; "
    "printf \"],\\\"labels\\\":{\\\"buys\\\":%d}}\\n\", i % 2 } }' > $1/users.jsonl; "
    "echo "
    "'{\"name\":\"few\",\"sources\":{\"bill\":{\"slots\":8,\"tokens\":8}},\"suites\":{\"shop\":{"
    "\"buys\":"
    "{\"question\":\"Will she buy ?\",\"positive\":\"yes\",\"negative\":\"no\"}}}}' > "
    "$1/dataset.json; }; ";

static char *must(const char *line, int status)
{
    char whole[4096];
    snprintf(whole, sizeof whole, "%s%s", make_users, line);
    outcome result = shell(whole);
    assert_status(&result, status);
    char *out = strdup(status == 0 ? result.out : result.err);
    outcome_free(&result);
    return out;
}

static void just(const char *line)
{
    free(must(line, 0));
}

/* Numbers of a jsonl of vectors, row after row; *rows counts. */
static int read_vectors(const char *line, double *out, int room, int *rows)
{
    int n = 0;
    char *text = must(line, 0), *save = NULL;
    *rows = 0;
    for (char *row = strtok_r(text, "\n", &save); row; row = strtok_r(NULL, "\n", &save)) {
        json_t *root = json_loads(row, 0, NULL), *x = json_object_get(root, "embedding");
        assert_true(json_is_string(json_object_get(root, "user")));
        for (size_t i = 0; i < json_array_size(x) && n < room; i++)
            out[n++] = json_number_value(json_array_get(x, i));
        json_decref(root);
        ++*rows;
    }
    free(text);
    return n;
}

static int prepare(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    just("make_users users u && assay run $S/embedded.lua -q");
    return 0;
}

static void users_and_queries_become_rows(void **state)
{
    double x[1000];
    int rows = 0;
    (void)state;
    int n = read_vectors("assay embed 1 -o v.jsonl -q --query 'Will she buy ?' --query else && cat "
                         "v.jsonl",
                         x, 1000, &rows);
    assert_int_equal(rows, 12 * 2);
    assert_int_equal(n, 12 * 2 * 6);
    char *text = must("head -n 2 v.jsonl; assay embed 1 -o v.npy; cat v.npy.rows.jsonl", 0);
    assert_contains(text, "{\"user\":\"u2\",\"query\":\"Will she buy ?\",\"embedding\":[");
    assert_contains(text, "{\"user\":\"u2\",\"query\":\"else\",");
    assert_contains(text,
                    "{\"queries\":[\"Will she buy ?\"]}\n{\"user\":\"u2\"}\n{\"user\":\"u5\"}");
    free(text);
    text = must("head -c 128 v.npy | tr -d '\\n' | cut -c 11-; wc -c < v.npy", 0);
    assert_contains(text, "'descr': '<f4', 'fortran_order': False, 'shape': (12, 1, 6)");
    assert_contains(text, "416"); /* 128 and 12 x 6 numbers */
    free(text);
    text = must("assay embed 1 -o v.safetensors -q && head -c 200 v.safetensors | tail -c 192", 0);
    assert_contains(
        text, "\"embedding\":{\"dtype\":\"F32\",\"shape\":[12,1,6],\"data_offsets\":[0,288]}");
    free(text);
}

/* A mask that shuts the question off from the history, and one that cannot: the same vectors with
 * and without the cache, from the store and from the script, in batches of any size. */
static void the_cache_changes_no_vector(void **state)
{
    static const char *const lines[] = {
        "assay embed 1 -q -o a.jsonl --no-cache && cat a.jsonl",
        "assay embed 1 -q -o a.jsonl && cat a.jsonl",
        "assay embed 1 -q -o a.jsonl --batch 5 && cat a.jsonl",
        "assay embed 1 -q -o a.jsonl --script $S/embedded.lua && cat a.jsonl",
    };
    double want[100], got[100];
    int rows = 0;
    (void)state;
    assert_int_equal(read_vectors(lines[0], want, 100, &rows), 72);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(read_vectors(lines[i], got, 100, &rows), 72);
        for (int k = 0; k < 72; k++)
            assert_true(fabs(got[k] - want[k]) < 1e-5);
    }
}

static void a_function_needs_the_script_and_runs_whole_sequences(void **state)
{
    (void)state;
    char *text = must("assay embed 2 -o f.npy", 2);
    assert_contains(text, "mask.weight");
    assert_contains(text, "--script");
    free(text);
    text = must("assay embed 2 -o f.npy --script $S/embedded.lua 2>&1", 0);
    assert_contains(text, "without prefix cache");
    free(text);
}

static void other_users_are_embedded_too(void **state)
{
    double mine[100], theirs[100];
    int rows = 0;
    (void)state;
    read_vectors("assay embed 1 -q -o a.jsonl && cat a.jsonl", mine, 100, &rows);
    read_vectors("make_users more w && assay embed 1 -q -o b.jsonl --data more && cat b.jsonl",
                 theirs, 100, &rows);
    assert_int_equal(rows, 12);
    for (int k = 0; k < 72; k++)
        assert_true(fabs(mine[k] - theirs[k]) < 1e-6);
    char *text = must("grep -c '\"user\":\"w' b.jsonl", 0);
    assert_contains(text, "12");
    free(text);
    double length = 0;
    read_vectors("assay embed 1 -q -o n.jsonl --normalize --limit 1 && cat n.jsonl", mine, 100,
                 &rows);
    assert_int_equal(rows, 1);
    for (int k = 0; k < 6; k++)
        length += mine[k] * mine[k];
    assert_true(fabs(length - 1) < 1e-5);
}

/* The value of one score of the store `c.db`. */
static double score_of(const char *benchmark, const char *metric)
{
    char line[600];
    snprintf(
        line, sizeof line,
        "assay query --db c.db --format csv \"SELECT value FROM v_score WHERE benchmark = '%s' "
        "AND metric = '%s'\" | tail -n 1",
        benchmark, metric);
    char *text = must(line, 0);
    double value = strtod(text, NULL);
    free(text);
    return value;
}

static void what_the_cache_saves_and_where_attention_goes_are_scores(void **state)
{
    (void)state;
    just("assay run $S/cached.lua --db c.db -q");
    assert_true(score_of("", "largest_difference") < 1e-5);
    assert_true(score_of("", "prefix_ms") > 0 && score_of("", "added_query_ms") != 0);
    /* Two layers of keys and values, one head of 8, fp32. */
    assert_true(score_of("", "prefix_bytes") == score_of("", "prefix_tokens") * 2 * 2 * 8 * 4);
    assert_true(
        fabs(score_of("", "speedup:5") * score_of("", "cached_ms:5") / score_of("", "full_ms:5") -
             1) < 1e-6);
    double share = score_of("buys", "share:bill"), base = score_of("buys", "base_share:bill");
    assert_true(share > 0 && share < 1 && base > 0 && base < 1 && share != base);
    assert_true(fabs(score_of("buys", "shift:bill") - (share / base - 1)) < 1e-6);
}

static void evaluators_refuse_what_they_cannot_measure(void **state)
{
    static const char *const rows[][2] = {
        {"READOUT=mean assay run $S/cached.lua --db r.db", "reads every state of the history"},
        {"assay run $S/cached.lua --db r.db --set 'evaluate=evaluator.query_cache { counts = { 2, "
         "4 } "
         "}'",
         "1 first"},
        {"assay run $S/cached.lua --db r.db --set 'evaluate=evaluator.attention_shift { suite = "
         "\"none\" }'",
         "no suite 'none'"},
        {"assay run $S/cached.lua --db r.db --set 'mask=mask.future { weight = 0.5 }'",
         "mask.future"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        outcome result = shell(rows[i][0]);
        assert_int_equal(result.status, i < 3 ? 2 : 1);
        assert_contains(result.err, rows[i][1]);
        outcome_free(&result);
    }
}

static void wrong_input_is_named_and_leaves_nothing(void **state)
{
    static const char *const rows[][2] = {
        {"assay embed 7", "no run '7'"},
        {"assay embed 1 -o v.txt", "no format"},
        {"assay embed 1 --split tets", "did you mean 'test'"},
        {"assay embed 1 --of shop/sells", "shop/buys"},
        {"assay embed 1 --queries none.txt", "none.txt"},
        {"assay embed 1 --split pretrain", "no users"},
        {"assay embed 1 --data nowhere", "nowhere"},
        {"assay embed users", "--script"},
        {"assay embed 1 --batch 0", "--batch"},
        {"assay embed 1 -o nowhere/v.npy", "nowhere"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        outcome result = shell(rows[i][0]);
        if (result.status != 2 && result.status != 1)
            fail_msg("%s ended with %d", rows[i][0], result.status);
        assert_contains(result.err, rows[i][1]);
        outcome_free(&result);
    }
    assert_false(there_is("embeddings.safetensors"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_and_queries_become_rows),
        cmocka_unit_test(the_cache_changes_no_vector),
        cmocka_unit_test(a_function_needs_the_script_and_runs_whole_sequences),
        cmocka_unit_test(other_users_are_embedded_too),
        cmocka_unit_test(what_the_cache_saves_and_where_attention_goes_are_scores),
        cmocka_unit_test(evaluators_refuse_what_they_cannot_measure),
        cmocka_unit_test(wrong_input_is_named_and_leaves_nothing),
    };
    if (argc != 2)
        return 2;
    program_is_at(argv[1]);
    return cmocka_run_group_tests(tests, prepare, folder_remove);
}
