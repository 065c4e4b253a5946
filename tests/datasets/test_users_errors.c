/* test_users_errors.c - broken data: each kind gives one message with file and line, or is left out
 * and counted when the script says so. */
#include "users_place.h"

#include "lines.h"

#include <assay/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define GOOD "{\"id\":\"good\",\"split\":\"train\",\"features\":[1,2]}\n"

typedef struct broken_line {
    const char *line;
    const char *what; /* the message holds this */
    const char *hint; /* and its hint this; NULL: anything */
} broken_line;

static const broken_line broken_lines[] = {
    {"{\"id\":\"x\"", "no JSON", NULL},
    {"{\"id\":\"x\"} x", "no JSON", NULL},
    {"nonsense", "no JSON", NULL},
    {"\"text\"", "no JSON", NULL},
    {"[1]", "no object", NULL},
    {"{\"id\":\"x\",\"id\":\"y\"}", "no JSON", NULL},
    {"{\"id\":\"\xff\xfe\"}", "no JSON", NULL},
    {"{\"id\":\"x\",\"events\":[{\"time\":1,\"source\":\"bill\",\"text\":\"\xc3(\"}]}", "no JSON",
     NULL},
    {"{}", "no id", NULL},
    {"{\"id\":7}", "no id", NULL},
    {"{\"id\":\"\"}", "no id", NULL},
    {"{\"id\":\"good\"}", "'good' is not new", "line 1"},
    {"{\"id\":\"x\",\"evnts\":[]}", "unknown key 'evnts'", "'events'"},
    {"{\"id\":\"x\",\"split\":\"trian\"}", "unknown split", NULL},
    {"{\"id\":\"x\",\"split\":2}", "unknown split", NULL},
    {"{\"id\":\"x\",\"features\":[1]}", "features do not fit", NULL},
    {"{\"id\":\"x\",\"features\":[1,2,3]}", "features do not fit", NULL},
    {"{\"id\":\"x\",\"features\":{}}", "features do not fit", NULL},
    {"{\"id\":\"x\",\"features\":[1,\"2\"]}", "feature 2", NULL},
    {"{\"id\":\"x\",\"features\":[1,true]}", "feature 2", NULL},
    {"{\"id\":\"x\",\"features\":[NaN,1]}", "no JSON", NULL},
    {"{\"id\":\"x\",\"features\":[Infinity,1]}", "no JSON", NULL},
    {"{\"id\":\"x\",\"features\":[1e999,1]}", "no JSON", NULL},
    {"{\"id\":\"x\",\"labels\":[]}", "'labels'", NULL},
    {"{\"id\":\"x\",\"labels\":{\"defualt\":1}}", "unknown label 'defualt'", "'default'"},
    {"{\"id\":\"x\",\"labels\":{\"default\":2}}", "no such value", NULL},
    {"{\"id\":\"x\",\"labels\":{\"default\":0.5}}", "no such value", NULL},
    {"{\"id\":\"x\",\"labels\":{\"default\":true}}", "no such value", NULL},
    {"{\"id\":\"x\",\"labels\":{\"default\":{\"until\":3}}}", "no such value", NULL},
    {"{\"id\":\"x\",\"labels\":{\"default\":{\"value\":1,\"unti\":3}}}", "unknown key 'unti'",
     "'until'"},
    {"{\"id\":\"x\",\"labels\":{\"default\":{\"value\":1,\"until\":\"3\"}}}", "until of label",
     NULL},
    {"{\"id\":\"x\",\"pairs\":{}}", "'pairs'", NULL},
    {"{\"id\":\"x\",\"pairs\":[1]}", "pair 1", NULL},
    {"{\"id\":\"x\",\"pairs\":[{\"query\":\"q\"}]}", "pair 1 has no 'answer'", NULL},
    {"{\"id\":\"x\",\"pairs\":[{\"query\":\"\",\"answer\":\"a\"}]}", "pair 1 has no 'query'", NULL},
    {"{\"id\":\"x\",\"pairs\":[{\"query\":\"q\",\"answer\":\"a\",\"until\":[]}]}",
     "until of pair 1", NULL},
    {"{\"id\":\"x\",\"events\":{}}", "'events'", NULL},
    {"{\"id\":\"x\",\"events\":[7]}", "event 1", NULL},
    {"{\"id\":\"x\",\"events\":[{\"source\":\"bill\",\"text\":\"t\"}]}", "time of event 1", NULL},
    {"{\"id\":\"x\",\"events\":[{\"time\":\"1\",\"source\":\"bill\",\"text\":\"t\"}]}",
     "time of event 1", NULL},
    {"{\"id\":\"x\",\"events\":[{\"time\":1,\"source\":\"bil\",\"text\":\"t\"}]}",
     "unknown source 'bil' in event 1", "'bill'"},
    {"{\"id\":\"x\",\"events\":[{\"time\":1,\"text\":\"t\"}]}", "source of event 1", NULL},
    {"{\"id\":\"x\",\"events\":[{\"time\":1,\"source\":\"bill\",\"text\":7}]}", "text of event 1",
     NULL},
    {"{\"id\":\"x\",\"events\":[{\"time\":1,\"source\":\"bill\",\"text\":\"t\",\"amount\":1}]}",
     "unknown key 'amount'", NULL},
    {"{\"id\":\"x\",\"events\":[{\"time\":1,\"source\":\"bill\",\"text\":\"a\\u0000b\"}]}",
     "no JSON", NULL},
};
enum { BROKEN_LINES = sizeof broken_lines / sizeof *broken_lines };

static void write_lines(const users_place *place, const char *line)
{
    char *text = malloc(strlen(line) + 2 * sizeof GOOD + 80);
    sprintf(text, "%s\n%s\n{\"id\":\"last\",\"split\":\"test\"}\n", GOOD, line);
    must_write(place, "users.jsonl", text);
    free(text);
}

static void a_broken_line_is_named_by_file_and_line(void **state)
{
    users_place *place = *state;
    char where[128];
    write_description(place);
    snprintf(where, sizeof where, "%s/users.jsonl:3", place->folder);
    for (int i = 0; i < BROKEN_LINES; i++) {
        write_lines(place, broken_lines[i].line);
        assay_error error = must_refuse(place, ASSAY_BAD_FILE);
        if (strcmp(error.where, where) != 0 || strstr(error.what, broken_lines[i].what) == NULL ||
            (broken_lines[i].hint != NULL && strstr(error.hint, broken_lines[i].hint) == NULL))
            fail_msg("%s gave '%s' at '%s', hint '%s'", broken_lines[i].line, error.what,
                     error.where, error.hint);
    }
}

static void a_broken_line_can_be_left_out_and_is_counted(void **state)
{
    users_place *place = *state;
    write_description(place);
    for (int i = 0; i < BROKEN_LINES; i++) {
        write_lines(place, broken_lines[i].line);
        place->options.on_error = 1;
        users_data *data = must_open(place);
        assert_int_equal(data->index.counts.skipped, 1);
        assert_int_equal(data->index.counts.users, 2);
        users_functions()->close(data);
        /* The index is there now; who does not skip hears of the line all the same. */
        place->options.on_error = 0;
        assay_error error = must_refuse(place, ASSAY_BAD_FILE);
        assert_non_null(strstr(error.where, "users.jsonl:3"));
        assert_non_null(strstr(error.what, broken_lines[i].what));
        assert_non_null(strstr(error.hint, "skip"));
    }
}

/* Nested so deep that a parser without a limit would leave its stack. */
static void a_bomb_of_brackets_is_an_error(void **state)
{
    users_place *place = *state;
    enum { DEPTH = 1 << 20 };
    char *line = malloc(DEPTH + 1);
    memset(line, '[', DEPTH);
    line[DEPTH] = '\0';
    write_description(place);
    write_lines(place, line);
    free(line);
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    assert_non_null(strstr(error.where, "users.jsonl:3"));
}

static void a_line_without_end_is_an_error_or_passed_over(void **state)
{
    users_place *place = *state;
    char *line = malloc(LINES_LONGEST + 2);
    memset(line, ' ', LINES_LONGEST + 1);
    line[LINES_LONGEST + 1] = '\0';
    write_description(place);
    write_lines(place, line);
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    assert_non_null(strstr(error.where, "users.jsonl:3"));
    assert_non_null(strstr(error.what, "too long"));
    place->options.on_error = 1;
    users_data *data = must_open(place);
    assert_int_equal(data->index.counts.users, 2);
    users_functions()->close(data);
    /* One byte less is a line, of white space. */
    place->options.on_error = 0;
    line[LINES_LONGEST] = '\0';
    write_lines(place, line);
    users_functions()->close(must_open(place));
    free(line);
}

/* An event of a megabyte: of many words the allowed ones stay; of one word without end, as many
 * bytes as the words might have; counted either way. */
static void a_huge_event_is_cut_and_counted(void **state)
{
    users_place *place = *state;
    enum { BYTES = 1 << 20 };
    char *line = malloc(2 * BYTES + 256), *at = line;
    at += sprintf(at, "{\"id\":\"x\",\"split\":\"test\",\"labels\":{\"fraud\":1},\"events\":["
                      "{\"time\":1,\"source\":\"bill\",\"text\":\"");
    for (int i = 0; i < BYTES / 4; i++)
        at += sprintf(at, "abc ");
    at += sprintf(at, "\"},{\"time\":1,\"source\":\"app\",\"text\":\"");
    for (int i = 0; i < BYTES / 2; i++)
        at += sprintf(at, "\xc3\xa4"); /* two bytes a character */
    sprintf(at, "\"}]}");
    write_description(place);
    write_lines(place, line);
    free(line);
    users_data *data = must_open(place);
    assert_int_equal(data->index.counts.cut.texts_cut, 2);
    assay_sample sample = must_sample(place, data, ASSAY_TEST, 1, 0);
    assert_int_equal(sample.values[0].offsets[1], 15); /* "abc abc abc abc" */
    assert_memory_equal(sample.values[0].data, "abc abc abc abc", 15);
    assert_int_equal(sample.values[2].offsets[1], 2 * USER_WORD_BYTES);
    users_functions()->close(data);
}

typedef struct broken_description {
    const char *text, *what;
} broken_description;

static void a_broken_description_is_named(void **state)
{
    static const broken_description cases[] = {
        {"{", "no JSON"},
        {"[]", "no object"},
        {"{}", "'sources'"},
        {"{\"sources\":{}}", "'sources'"},
        {"{\"sources\":[]}", "'sources'"},
        {"{\"source\":{\"a\":{}}}", "unknown key 'source'"},
        {"{\"sources\":{\"a\":{}},\"time_unit\":\"fortnight\"}", "time_unit"},
        {"{\"sources\":{\"a\":7}}", "a source is an object"},
        {"{\"sources\":{\"a\":{\"slot\":1}}}", "unknown key 'slot'"},
        {"{\"sources\":{\"a\":{\"slots\":0}}}", "'slots'"},
        {"{\"sources\":{\"a\":{\"tokens\":1.5}}}", "'tokens'"},
        {"{\"sources\":{\"query\":{}}}", "no name for a source"},
        {"{\"sources\":{\"a.time\":{}}}", "no name for a source"},
        {"{\"sources\":{\"a\":{}},\"features\":{}}", "'features'"},
        {"{\"sources\":{\"a\":{}},\"features\":[1]}", "feature 1"},
        {"{\"sources\":{\"a\":{}},\"suites\":[]}", "'suites'"},
        {"{\"sources\":{\"a\":{}},\"suites\":{\"s\":{}}}", "a suite"},
        {"{\"sources\":{\"a\":{}},\"suites\":{\"s\":{\"t\":1}}}", "a task"},
        {"{\"sources\":{\"a\":{}},\"suites\":{\"s\":{\"t\":{\"question\":\"q\"}}}}",
         "no 'positive'"},
        {"{\"sources\":{\"a\":{}},\"suites\":{\"s\":{\"t\":{\"question\":\"q\",\"positive\":\"p\","
         "\"negative\":\"n\",\"domains\":\"d\"}}}}",
         "unknown key 'domains'"},
        {"{\"sources\":{\"a\":{}},\"name\":7}", "'name'"},
    };
    users_place *place = *state;
    must_write(place, "users.jsonl", GOOD);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        must_write(place, "dataset.json", cases[i].text);
        assay_error error = must_refuse(place, ASSAY_BAD_FILE);
        if (strstr(error.what, cases[i].what) == NULL ||
            strstr(error.where, "dataset.json") == NULL)
            fail_msg("%s gave '%s' at '%s'", cases[i].text, error.what, error.where);
    }
}

static void missing_and_empty_files_are_named(void **state)
{
    users_place *place = *state;
    char path[128];
    assert_non_null(strstr(must_refuse(place, ASSAY_IO).expected, "users.jsonl"));
    must_write(place, "users.jsonl", GOOD);
    assert_non_null(strstr(must_refuse(place, ASSAY_IO).where, "dataset.json"));
    write_description(place);
    must_write(place, "users.jsonl", "");
    assert_non_null(strstr(must_refuse(place, ASSAY_BAD_FILE).what, "no user"));
    must_write(place, "users.jsonl", "\n  \r\n\n");
    must_refuse(place, ASSAY_BAD_FILE);
    must_write(place, "users.jsonl", "{\n");
    place->options.on_error = 1;
    assert_non_null(strstr(must_refuse(place, ASSAY_BAD_FILE).got, "1 broken lines"));
    /* A folder in the file's place, and a path of nothing. */
    snprintf(path, sizeof path, "%s/users.jsonl", place->folder);
    assert_int_equal(remove(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    must_refuse(place, ASSAY_IO);
    snprintf(path, sizeof path, "%s/nowhere", place->folder);
    place->options.path = path;
    must_refuse(place, ASSAY_IO);
}

static void options_that_name_nothing_are_errors(void **state)
{
    static const char *const wrong_sources[] = {"app", "bil"}, *const twice[] = {"app", "app"};
    static const char *const makers[] = {"given", "given"};
    users_place *place = *state;
    const users_options options = place->options;
    write_description(place);
    must_write(place, "users.jsonl", GOOD);
    place->options.sources = (assay_texts){2, wrong_sources};
    assert_string_equal(must_refuse(place, ASSAY_BAD_INPUT).hint, "did you mean 'bill'?");
    place->options.sources = (assay_texts){2, twice};
    assert_non_null(strstr(must_refuse(place, ASSAY_BAD_INPUT).what, "twice"));
    place->options = options;
    place->options.pairs = (assay_texts){2, makers};
    assert_non_null(strstr(must_refuse(place, ASSAY_BAD_INPUT).what, "twice"));
    place->options = options;
    place->options.task = "risk/defualt";
    must_refuse(place, ASSAY_BAD_INPUT);
    place->options.task = "fruad";
    assert_string_equal(must_refuse(place, ASSAY_BAD_INPUT).hint, "did you mean 'fraud'?");
}

/* What is documented as no error: an empty history, a task of one class, no test users, blank
 * lines, Windows line ends, no newline at the end. */
static void what_is_allowed_is_counted(void **state)
{
    users_place *place = *state;
    write_description(place);
    must_write(place, "users.jsonl",
               "{\"id\":\"a\",\"split\":\"train\",\"labels\":{\"fraud\":1}}\r\n\r\n"
               "{\"id\":\"b\",\"split\":\"train\",\"labels\":{\"fraud\":1},\"events\":["
               "{\"time\":1,\"source\":\"app\",\"text\":\"\"},"
               "{\"time\":1,\"source\":\"app\",\"text\":\" a  b \"},"
               "{\"time\":1,\"source\":\"app\",\"text\":\"a b c\"}]}");
    users_data *data = must_open(place);
    assert_int_equal(data->index.counts.users, 2);
    assert_int_equal(data->index.counts.cut.events, 3);
    assert_int_equal(data->index.counts.cut.without_events, 1);
    assert_int_equal(data->index.counts.cut.texts_cut, 1);
    assert_int_equal(data->index.counts.cut.over_slots, 1);
    assert_int_equal(users_functions()->count(data, ASSAY_TRAIN, 1), 2);
    assert_int_equal(users_functions()->count(data, ASSAY_TEST, 1), 0);
    users_functions()->close(data);
}

/* Thousands of lines with a few bytes changed, put in or taken out, at addressed places: each is
 * read or refused, and every sample of what was read can be made. */
static void mutated_lines_are_read_or_refused(void **state)
{
    static const char good[] =
        "{\"id\":\"00000\",\"split\":\"train\",\"features\":[1.5,null],\"events\":[{\"time\":3,"
        "\"source\":"
        "\"bill\",\"text\":\"rent 7\"},{\"time\":-2e1,\"source\":\"app\",\"text\":\"\xc3\xa4\"}],"
        "\"labels\":{\"default\":{\"value\":1,\"until\":4},\"fraud\":0},"
        "\"pairs\":[{\"query\":\"q\",\"answer\":\"a\",\"until\":3}]}";
    enum { LINES = 6000 };
    users_place *place = *state;
    char *text = malloc(LINES * (sizeof good + 8)), *at = text;
    for (int i = 0; i < LINES; i++) {
        assay_stream stream = assay_stream_of(1, "mutation", (uint64_t)i);
        memcpy(at, good, sizeof good);
        for (int digit = 4, left = i; digit >= 0; digit--, left /= 10)
            at[7 + digit] = (char)('0' + left % 10);
        int64_t bytes = (int64_t)sizeof good - 1, changes = assay_random_below(stream, 0, 3) + 1;
        for (int64_t k = 1; k <= 3 * changes; k += 3) {
            int64_t place_of = assay_random_below(stream, (uint64_t)k, bytes);
            char byte = (char)assay_random_below(stream, (uint64_t)k + 1, 256);
            int64_t kind = assay_random_below(stream, (uint64_t)k + 2, 3);
            byte = byte == '\0' ? '0' : byte; /* must_write takes a text */
            if (kind == 0) {
                memmove(at + place_of, at + place_of + 1, (size_t)(bytes - place_of));
                bytes--;
            } else if (kind == 1) {
                memmove(at + place_of + 1, at + place_of, (size_t)(bytes - place_of));
                bytes++;
            }
            if (kind > 0)
                at[place_of] = byte;
        }
        at += bytes;
        *at++ = '\n';
    }
    *at = '\0';
    write_description(place);
    must_write(place, "users.jsonl", text);
    free(text);
    place->options.on_error = 1;
    users_data *data = must_open(place);
    char hex[65];
    assert_true(data->index.counts.users > 10);
    assert_true(data->index.counts.skipped > 1000);
    digest(place, data, -1, hex);
    users_functions()->close(data);
}

/* Every allocation of an opening fails once: an error, and nothing left behind. */
static void memory_that_runs_out_is_an_error(void **state)
{
    users_place *place = *state;
    write_description(place);
    write_lines(place, "{\"id\":\"x\",\"labels\":{\"fraud\":1}}");
    place->options.on_error = 1;
    int64_t live = assay_memory_stats_get().live_blocks;
    int failures = 0;
    for (int n = 0; n < 200; n++) {
        char command[160];
        snprintf(command, sizeof command, "rm -f %s/*.index", place->folder);
        assert_int_equal(system(command), 0);
        assay_error error = {0};
        assay_memory_fail_after(n);
        void *data = users_functions()->open(&place->options, &place->host, &error);
        assay_memory_fail_after(-1);
        assert_int_equal(error.code, data == NULL ? ASSAY_NO_MEMORY : ASSAY_OK);
        failures += data == NULL;
        users_functions()->close(data);
        assert_int_equal(assay_memory_stats_get().live_blocks, live);
    }
    assert_in_range(failures, 20, 199);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, users_place_make, users_place_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_broken_line_is_named_by_file_and_line),
        TEST(a_broken_line_can_be_left_out_and_is_counted),
        TEST(a_bomb_of_brackets_is_an_error),
        TEST(a_line_without_end_is_an_error_or_passed_over),
        TEST(a_huge_event_is_cut_and_counted),
        TEST(a_broken_description_is_named),
        TEST(missing_and_empty_files_are_named),
        TEST(options_that_name_nothing_are_errors),
        TEST(what_is_allowed_is_counted),
        TEST(mutated_lines_are_read_or_refused),
        TEST(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests_name("users errors", tests, NULL, NULL);
}
