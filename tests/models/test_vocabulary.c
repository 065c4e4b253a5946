/* test_vocabulary.c - words of a text, the order of a vocabulary, and its cache: the same data
 * gives the same ids, from the cache or counted again, and nothing broken is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/people.h"
#include "models/use.h"
#include "scratch.h"
#include "words/vocabulary.h"
#include "words/words.h"

/* ---- words ---- */

static void texts_are_split_as_documented(void **state)
{
    static const struct {
        const char *text;
        const char *words; /* joined by '|' */
    } rows[] = {
        {"", ""},
        {" \t\n ", ""},
        {"one", "one"},
        {"Will it rain?", "Will|it|rain|?"},
        {"  groceries   35.20 ", "groceries|35.20"},
        {"a,b c, d.", "a,b|c|,|d|."},
        {"...", ".|.|."},
        {"-12% 3:4 x!?", "-12%|3:4|x|!|?"},
        {"\xc3\xa9t\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87",
         "\xc3\xa9t\xc3\xa9|\xe4\xb8\xad\xe6\x96\x87"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char joined[256] = "";
        int64_t at = 0;
        word w;
        while (word_next((const uint8_t *)rows[i].text, (int64_t)strlen(rows[i].text), &at, &w)) {
            if (joined[0] != '\0')
                strcat(joined, "|");
            strncat(joined, (const char *)w.bytes, (size_t)w.length);
        }
        assert_string_equal(joined, rows[i].words);
    }
}

static void a_table_finds_what_it_was_given(void **state)
{
    enum { WORDS = 20000 };
    (void)state;
    word_table table;
    assay_error error = {0};
    must(word_table_open(&table, &error), &error);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < WORDS; i++) {
            char text[16];
            snprintf(text, sizeof text, round ? "W%d" : "w%d", i); /* letters are folded */
            word w = {(const uint8_t *)text, (int64_t)strlen(text)};
            assert_int_equal(word_table_add(&table, w, &error), i);
        }
    assert_int_equal(table.count, WORDS);
    assert_int_equal(word_table_find(&table, (word){(const uint8_t *)"w20000", 6}), -1);
    assert_int_equal(word_table_find(&table, (word){(const uint8_t *)"w1", 2}), 1);
    word_table_close(&table);
}

/* ---- vocabularies ---- */

static vocabulary *open_words(people *p, const assay_host *host, int64_t min_count, int64_t most)
{
    assay_error error = {0};
    vocabulary *words = vocabulary_new(
        &(vocabulary_recipe){
            .where = "test", .data = &p->data, .host = host, .min_count = min_count, .most = most},
        &error);
    must(words != NULL, &error);
    return words;
}

static void clear_texts(people *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        person *who = &p->persons[i];
        who->events[0] = who->events[1] = 0;
        who->question[0] = who->answer[0] = '\0';
    }
}

static void order_is_by_count_and_then_by_bytes(void **state)
{
    static const char *const expected[] = {"c", "ab", "b", "?", "a"};
    (void)state;
    people p;
    people_open(&p, 2, 1);
    clear_texts(&p);
    strcpy(p.persons[0].question, "c B ab C?");
    strcpy(p.persons[1].answer, "a c b AB");
    vocabulary *words = open_words(&p, NULL, 1, 100);
    assert_int_equal(vocabulary_size(words), WORDS_SPECIAL + 5);
    for (int64_t i = 0; i < 5; i++) {
        int64_t bytes = 0;
        const char *text = vocabulary_word(words, WORDS_SPECIAL + i, &bytes);
        assert_int_equal(bytes, strlen(expected[i]));
        assert_memory_equal(text, expected[i], (size_t)bytes);
    }
    int32_t ids[8];
    assert_int_equal(vocabulary_read(words, (const uint8_t *)"AB zebra c?", 11, 8, ids), 4);
    assert_int_equal(ids[0], WORDS_SPECIAL + 1);
    assert_int_equal(ids[1], WORD_UNKNOWN);
    assert_int_equal(ids[2], WORDS_SPECIAL);
    assert_int_equal(ids[3], WORDS_SPECIAL + 3);
    assert_int_equal(vocabulary_read(words, (const uint8_t *)"a b c", 5, 2, ids), 2);
    vocabulary_free(words);
    words = open_words(&p, NULL, 2, 100); /* c, ab, b */
    assert_int_equal(vocabulary_size(words), WORDS_SPECIAL + 3);
    vocabulary_free(words);
    words = open_words(&p, NULL, 1, WORDS_SPECIAL + 2);
    assert_int_equal(vocabulary_size(words), WORDS_SPECIAL + 2);
    vocabulary_free(words);
    people_close(&p);
}

static void assert_same_words(const vocabulary *a, const vocabulary *b)
{
    assert_int_equal(vocabulary_size(a), vocabulary_size(b));
    for (int64_t id = WORDS_SPECIAL; id < vocabulary_size(a); id++) {
        int64_t n = 0, m = 0;
        const char *x = vocabulary_word(a, id, &n), *y = vocabulary_word(b, id, &m);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, (size_t)n);
    }
    assert_true(vocabulary_means_get(a).events == vocabulary_means_get(b).events);
    assert_true(vocabulary_means_get(a).answer_words == vocabulary_means_get(b).answer_words);
}

static int64_t samples_made;
static bool (*plain_sample)(void *, assay_data_split, int, int64_t, const assay_draw *,
                            assay_arena *, assay_sample *, assay_error *);

static bool counting_sample(void *user, assay_data_split split, int benchmark, int64_t index,
                            const assay_draw *draw, assay_arena *arena, assay_sample *out,
                            assay_error *error)
{
    samples_made++;
    return plain_sample(user, split, benchmark, index, draw, arena, out, error);
}

static void run_shell(const char *format, const char *folder)
{
    char command[256];
    assert_true((size_t)snprintf(command, sizeof command, format, folder) < sizeof command);
    assert_int_equal(system(command), 0);
}

/* Opens and says whether all samples were walked. */
static bool counts_again(people *p, const assay_host *host, const vocabulary *expected)
{
    samples_made = 0;
    vocabulary *words = open_words(p, host, 1, 100);
    if (expected)
        assert_same_words(words, expected);
    vocabulary_free(words);
    return samples_made >= p->count;
}

static void the_cache_gives_the_same_words_or_is_made_again(void **state)
{
    static const char *const damage[] = {"for f in %s/*; do : > $f; done",
                                         "for f in %s/*; do echo more >> $f; done",
                                         "for f in %s/*; do head -c 40 $f > x$$; mv x$$ $f; done",
                                         "for f in %s/*; do tr a b < $f > $f.b; mv $f.b $f; done"};
    char folder[] = "/tmp/assay_words_XXXXXX";
    (void)state;
    people p;
    recorder host;
    recorder_begin(&host);
    assert_true(scratch_make(folder));
    snprintf(host.cache, sizeof host.cache, "%s", folder);
    people_open(&p, 50, 1);
    plain_sample = p.functions.sample;
    p.functions.sample = counting_sample;
    vocabulary *counted = open_words(&p, NULL, 1, 100);
    assert_true(counts_again(&p, &host.host, counted));
    assert_false(counts_again(&p, &host.host, counted));
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        run_shell(damage[i], folder);
        assert_true(counts_again(&p, &host.host, counted));
        assert_false(counts_again(&p, &host.host, counted));
    }
    /* Other data, though it calls itself the same. */
    strcpy(p.persons[0].answer, "something else");
    assert_true(counts_again(&p, &host.host, NULL));
    /* A cache that can't be written is no failure. */
    snprintf(host.cache, sizeof host.cache, "%s/absent", folder);
    assert_true(counts_again(&p, &host.host, NULL));
    vocabulary_free(counted);
    run_shell("rm -r %s", folder);
    people_close(&p);
}

static bool wants_to_end(void *user)
{
    (void)user;
    return true;
}

static void counting_ends_when_the_host_wants(void **state)
{
    (void)state;
    people p;
    recorder host;
    assay_error error = {0};
    recorder_begin(&host);
    host.host.stopping = wants_to_end;
    people_open(&p, 4, 1);
    assert_null(vocabulary_new(
        &(vocabulary_recipe){
            .where = "test", .data = &p.data, .host = &host.host, .min_count = 1, .most = 100},
        &error));
    assert_int_equal(error.code, ASSAY_STOPPED);
    people_close(&p);
}

/* A set as large as one likes: the people again and again. */
static int64_t count_of_many(void *user, assay_data_split split, int benchmark)
{
    (void)user;
    return split == ASSAY_PRETRAIN && benchmark == ASSAY_NO_BENCHMARK ? INT64_C(1) << 40 : 0;
}

static bool sample_of_many(void *user, assay_data_split split, int benchmark, int64_t index,
                           const assay_draw *draw, assay_arena *arena, assay_sample *out,
                           assay_error *error)
{
    (void)split;
    samples_made++;
    return plain_sample(user, ASSAY_PRETRAIN, benchmark, index % ((const people *)user)->count,
                        draw, arena, out, error);
}

static void of_very_many_samples_some_are_read(void **state)
{
    (void)state;
    people p;
    people_open(&p, 8, 1);
    vocabulary *all = open_words(&p, NULL, 1, 100);
    plain_sample = p.functions.sample;
    p.functions.count = count_of_many;
    p.functions.sample = sample_of_many;
    samples_made = 0;
    vocabulary *some = open_words(&p, NULL, 1, 100);
    assert_in_range(samples_made, 100000, 100100);
    assert_int_equal(vocabulary_size(some), vocabulary_size(all));
    vocabulary_free(some);
    vocabulary_free(all);
    people_close(&p);
}

/* ---- what a plan reads ---- */

/* Numbers of a counted model of published size, with a vocabulary of at most `words`. */
static int64_t count_published(const people *p, double words, assay_model_facts *facts)
{
    assay_error error = {0};
    use model = use_open("model_user_decoder");
    use_text(&model, "size", "qwen2.5-0.5b");
    use_text(&model, "layout", "chat");
    use_text(&model, "encoder", "bag");
    use_number(&model, "words", words);
    assay_params *counted = assay_params_new_counting(&error);
    must(counted != NULL, &error);
    const assay_model_setup setup = {
        .size = sizeof setup, .data = &p->data, .params = counted, .counting = true};
    samples_made = 0;
    void *opened = use_model(&model)->open(model.options, &setup, &error);
    must(opened != NULL, &error);
    use_model(&model)->facts(opened, facts);
    int64_t numbers = assay_params_size(counted, NULL, false);
    use_model(&model)->close(opened);
    assay_params_free(counted);
    use_close(&model);
    return numbers;
}

static void a_plan_of_published_sizes_reads_few_samples_and_counts_the_same(void **state)
{
    enum { PEOPLE = 500 };
    (void)state;
    people p;
    assay_model_facts few, many;
    people_open(&p, PEOPLE, 4);
    plain_sample = p.functions.sample;
    p.functions.sample = counting_sample;
    int64_t numbers = count_published(&p, 4096, &few);
    assert_in_range(samples_made, 1, PEOPLE / 4);
    /* So many words might not fit into the encoder's table: they are counted. */
    assert_int_equal(count_published(&p, 21128, &many), numbers);
    assert_true(samples_made > PEOPLE);
    assert_true(few.flops == many.flops && few.activation_bytes == many.activation_bytes);
    people_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_split_as_documented),
        cmocka_unit_test(a_table_finds_what_it_was_given),
        cmocka_unit_test(order_is_by_count_and_then_by_bytes),
        cmocka_unit_test(the_cache_gives_the_same_words_or_is_made_again),
        cmocka_unit_test(counting_ends_when_the_host_wants),
        cmocka_unit_test(of_very_many_samples_some_are_read),
        cmocka_unit_test(a_plan_of_published_sizes_reads_few_samples_and_counts_the_same),
    };
    return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}
