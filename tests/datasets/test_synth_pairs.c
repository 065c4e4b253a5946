/* test_synth_pairs.c - question-and-answer pairs: every fact that an answer states holds, errors of
 * drafts are found and revised, turns, hard pairs. */
#include "synth_place.h"

#include "telling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const uqa_only[] = {"uqa"}, *const both[] = {"future", "uqa"};

/* The user's history as uqa.h reads it, through the door of calibration. */
static uqa_history must_read(synth_data *data, int64_t which, uint64_t *number, assay_arena *arena)
{
    assay_error error = {0};
    uqa_history history = {0};
    assert_true(synth_read_calibration(data, which, arena, &history, number, &error));
    return history;
}

static uqa_pair must_write_pair(const uqa_history *history, int topic, const uqa_rules *rules,
                                assay_arena *arena)
{
    assay_error error = {0};
    uqa_pair pair = {0};
    assert_true(uqa_write(history, topic, rules, arena, &pair, &error));
    return pair;
}

/* ---- facts, worked out again from the events themselves ---- */

typedef struct truth {
    int64_t count, all, before, lately, favourite_count;
    double amount, last;
    char favourite[64]; /* "word in source" */
} truth;

static bool in_area(int area, const char *word, const char *source)
{
    char wanted[2][32];
    snprintf(wanted[0], sizeof wanted[0], " %s ", word);
    snprintf(wanted[1], sizeof wanted[1], " %s ", source);
    return area == GENERAL_AREA || strstr(uqa_areas[area].words, wanted[0]) != NULL ||
           strstr(uqa_areas[area].words, wanted[1]) != NULL;
}

static truth truth_of(const life *l, int area)
{
    truth out = {.last = -1};
    int64_t of[SOURCES][TOPICS] = {{0}};
    for (int64_t i = 0; i < l->count && l->events[i].time < HISTORY * TICKS; i++) {
        const life_event *e = &l->events[i];
        double day = (double)e->time / TICKS;
        out.all++;
        if (!in_area(area, topic_table[e->topic].name, source_names[e->source]))
            continue;
        out.count++;
        out.before += day >= 30 && day < 60;
        out.lately += day >= 60;
        out.amount += e->source == BILL ? (double)told_amount(e->amount) : 0;
        out.last = day;
        of[e->source][e->topic]++;
    }
    /* The most frequent category; of equal ones the first by source, then word. */
    const char *best_word = "";
    int best_source = 0;
    for (int s = 0; s < SOURCES; s++)
        for (int t = 0; t < TOPICS; t++) {
            const char *word = topic_table[t].name;
            bool better = of[s][t] > out.favourite_count ||
                          (of[s][t] == out.favourite_count && of[s][t] > 0 && s == best_source &&
                           strcmp(word, best_word) < 0);
            if (!better)
                continue;
            out.favourite_count = of[s][t];
            best_word = word;
            best_source = s;
            snprintf(out.favourite, sizeof out.favourite, "%s in %s", word, source_names[s]);
        }
    return out;
}

static void expect_clause(const char *clause, fact_kind kind, const truth *t)
{
    char wanted[128];
    const char *trend = "steady";
    if (4 * t->lately > 5 * t->before && t->lately > t->before + 1)
        trend = "rising";
    if (4 * t->before > 5 * t->lately && t->before > t->lately + 1)
        trend = "falling";
    int64_t sum = (int64_t)(t->amount + 0.5), unit = 1, days = (int64_t)floor(HISTORY - t->last);
    while (sum / unit >= 100)
        unit *= 10;
    switch (kind) {
    case FACT_COUNT:
        snprintf(wanted, sizeof wanted, "%d in all", (int)t->count);
        break;
    case FACT_TREND:
        snprintf(wanted, sizeof wanted, "%s", trend);
        break;
    case FACT_SHARE:
        snprintf(wanted, sizeof wanted, "about %d percent of everything",
                 5 * (int)floor(20.0 * (double)t->count / (double)t->all + 0.5));
        break;
    case FACT_RECENCY:
        snprintf(wanted, sizeof wanted, "last %d day%s ago", (int)days, days == 1 ? "" : "s");
        break;
    case FACT_FAVOURITE:
        snprintf(wanted, sizeof wanted, "mostly %s", t->favourite);
        break;
    case FACT_AMOUNT:
        snprintf(wanted, sizeof wanted, "about %d in amounts",
                 (int)((sum + unit / 2) / unit * unit));
        break;
    case FACT_LATELY:
        snprintf(wanted, sizeof wanted, "%d lately", (int)t->lately);
        break;
    }
    assert_string_equal(clause, wanted);
}

/* Splits "AREA: a, b, c" and compares each clause; returns how many there were. */
static int expect_answer(const uqa_pair *pair, const life *l)
{
    char text[512], *at = NULL, *rest = NULL;
    int area = pair->topic / TOPICS_OF_AREA, clauses = 0;
    const uqa_topic *topic = &uqa_areas[area].topics[pair->topic % TOPICS_OF_AREA];
    truth t = truth_of(l, area);
    snprintf(text, sizeof text, "%.*s", (int)pair->answer_bytes, pair->answer);
    at = strstr(text, ": ");
    assert_non_null(at);
    *at = '\0';
    assert_string_equal(text, uqa_areas[area].name);
    at += 2;
    if (t.count == 0) {
        assert_string_equal(at, "no sign of it");
        return 0;
    }
    bool paid = t.amount > 0;
    for (int k = 0; k < TOPIC_FACTS; k++) {
        if (topic->facts[k] == FACT_AMOUNT && !paid)
            continue;
        assert_non_null(at);
        rest = strstr(at, ", ");
        if (rest != NULL)
            *rest = '\0';
        expect_clause(at, topic->facts[k], &t);
        at = rest != NULL ? rest + 2 : NULL;
        clauses++;
    }
    assert_null(at);
    return clauses;
}

static void every_fact_of_an_answer_holds(void **state)
{
    synth_place *place = *state;
    int clauses = 0;
    place->options.pairs = (assay_texts){1, uqa_only};
    synth_data *data = must_open(place);
    for (int64_t u = 0; u < 40; u++) {
        uint64_t number = 0;
        person p;
        life l;
        assay_error error = {0};
        assay_arena_reset(place->arena);
        uqa_history history = must_read(data, u, &number, place->arena);
        person_make(&p, data->world, &data->streams, number);
        assert_true(person_live(&p, data->world, &data->streams, DAYS, place->arena, &l, &error));
        for (int topic = 0; topic < UQA_TOPICS; topic++) {
            const uqa_rules rules = {
                .draft_errors = 0.5, .reflection = true, .stream = data->uqa.errors};
            uqa_pair pair = must_write_pair(&history, topic, &rules, place->arena);
            clauses += expect_answer(&pair, &l);
        }
    }
    assert_true(clauses > 3000);
    synth_functions()->close(data);
}

/* ---- reflection ---- */

static bool same_text(const uqa_pair *a, const uqa_pair *b)
{
    return a->answer_bytes == b->answer_bytes &&
           memcmp(a->answer, b->answer, (size_t)a->answer_bytes) == 0;
}

/* A draft's errors, counted by its difference from the draft without any, are what reflection finds
 * and revises; without reflection they stay. */
static void reflection_finds_and_revises_what_is_wrong(void **state)
{
    synth_place *place = *state;
    int64_t wrong = 0, stated = 0;
    place->options.pairs = (assay_texts){1, uqa_only};
    synth_data *data = must_open(place);
    for (int64_t u = 0; u < 30; u++) {
        uint64_t number = 0;
        assay_arena_reset(place->arena);
        uqa_history history = must_read(data, u, &number, place->arena);
        uqa_rules rules = {.stream = data->uqa.errors};
        rules.stream.step[0] = (uint32_t)u;
        for (int topic = 0; topic < UQA_TOPICS; topic++) {
            int differ = 0;
            rules.draft_errors = 0;
            uqa_pair right = must_write_pair(&history, topic, &rules, place->arena);
            rules.draft_errors = 0.2;
            uqa_pair draft = must_write_pair(&history, topic, &rules, place->arena);
            rules.reflection = true;
            uqa_pair revised = must_write_pair(&history, topic, &rules, place->arena);
            rules.reflection = false;
            for (int k = 0; k < right.fact_count; k++)
                differ += right.facts[k].value != draft.facts[k].value;
            assert_int_equal(right.contradicted, 0);
            assert_int_equal(draft.contradicted, differ);
            assert_int_equal(draft.revised, 0);
            assert_int_equal(revised.contradicted, differ);
            assert_int_equal(revised.revised, differ);
            assert_true(same_text(&right, &revised));
            assert_int_equal(same_text(&right, &draft), differ == 0);
            wrong += differ;
            stated += right.fact_count;
        }
    }
    assert_true(wrong > stated * 15 / 100 && wrong < stated * 25 / 100);
    synth_functions()->close(data);
}

/* The counts that a dataset tells of are those of its calibration pairs, one by one. */
static void the_dataset_counts_its_revisions(void **state)
{
    synth_place *place = *state;
    int64_t stated = 0, revised = 0;
    place->options.pairs = (assay_texts){1, uqa_only};
    synth_data *data = must_open(place);
    for (int64_t u = 0; u < UQA_CALIBRATION_USERS; u++) {
        uint64_t number = 0;
        int topics[UQA_ASKED];
        assay_arena_reset(place->arena);
        uqa_history history = must_read(data, u, &number, place->arena);
        uqa_choose(&history, topics);
        uqa_rules rules = {.draft_errors = 0.1, .reflection = true, .stream = data->uqa.errors};
        rules.stream.step[0] = (uint32_t)number;
        rules.stream.step[1] = (uint32_t)(number >> 32);
        for (int k = 0; k < UQA_ASKED; k++) {
            uqa_pair pair = must_write_pair(&history, topics[k], &rules, place->arena);
            stated += pair.fact_count;
            revised += pair.revised;
        }
    }
    assert_int_equal(data->uqa.pairs, 1000);
    assert_int_equal(data->uqa.stated, stated);
    assert_int_equal(data->uqa.revised, revised);
    assert_int_equal(data->uqa.contradicted, revised);
    assert_true(revised > 100);
    synth_functions()->close(data);
}

/* ---- which pairs ---- */

static void a_user_is_asked_ten_different_topics_in_turn(void **state)
{
    synth_place *place = *state;
    place->options.pairs = (assay_texts){1, uqa_only};
    place->options.uqa_pairs = 2;
    synth_data *data = must_open(place);
    assert_int_equal(synth_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 80);
    char hex[11][65];
    for (int n = 0; n < 11; n++) {
        assay_sample s =
            must_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 6 + n % 2, n / 2, place->arena);
        digest_sample(data, &s, hex[n]);
        for (int k = 0; k < n && n < 10; k++)
            assert_string_not_equal(hex[k], hex[n]);
    }
    assert_string_equal(hex[0], hex[10]);
    synth_functions()->close(data);
}

static void half_of_the_samples_are_futures_and_half_questions(void **state)
{
    synth_place *place = *state;
    int futures = 0;
    place->options.pairs = (assay_texts){2, both};
    synth_data *data = must_open(place);
    int64_t count = synth_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK);
    assert_int_equal(count, 80);
    for (int64_t i = 0; i < count; i++) {
        assay_sample s = must_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, i, 0, place->arena);
        futures += is_text(&s.values[data->field_count - 3], "What next?");
    }
    assert_int_equal(futures, 40);
    synth_functions()->close(data);
}

static void hard_pairs_are_those_above_the_threshold(void **state)
{
    synth_place *place = *state;
    int hard = 0, with_any = 0, users = 30;
    place->options.pairs = (assay_texts){1, uqa_only};
    place->options.hard = 1;
    synth_data *data = must_open(place);
    assert_true(data->uqa.threshold > 0 && data->uqa.threshold < 1);
    for (int64_t u = 0; u < users; u++) {
        assay_error error = {0};
        uint64_t number = 0;
        int topics[UQA_ASKED];
        uqa_pair pair;
        bool any = false;
        assay_arena_reset(place->arena);
        uqa_history history = must_read(data, u, &number, place->arena);
        uqa_choose(&history, topics);
        for (int k = 0; k < UQA_ASKED; k++) {
            const uqa_rules right = {.reflection = true};
            uqa_pair each = must_write_pair(&history, topics[k], &right, place->arena);
            any = any || uqa_difficulty(&data->uqa, &history, &each) >= data->uqa.threshold;
        }
        assert_true(uqa_maker_ask(&data->uqa, &history, number, 0, 0, place->arena, &pair, &error));
        bool is = uqa_difficulty(&data->uqa, &history, &pair) >= data->uqa.threshold;
        assert_int_equal(is, any);
        hard += is;
        with_any += any;
    }
    assert_int_equal(hard, with_any);
    assert_true(with_any > users / 2);
    synth_functions()->close(data);
}

static void scores_of_a_file_decide_instead(void **state)
{
    synth_place *place = *state;
    char path[] = "/tmp/assay_scores_XXXXXX", before[65];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    for (int t = 0; t < UQA_TOPICS; t++)
        fprintf(file, "%g\n", t / 100.0);
    fclose(file);
    place->options.pairs = (assay_texts){1, uqa_only};
    synth_data *data = must_open(place);
    strcpy(before, synth_functions()->fingerprint(data));
    synth_functions()->close(data);
    place->options.hard_scores = path;
    data = must_open(place);
    assert_string_not_equal(before, synth_functions()->fingerprint(data));
    assert_true(data->uqa.scored);
    assert_true(data->uqa.threshold * 100 < UQA_TOPICS);
    synth_functions()->close(data);
    file = fopen(path, "w");
    fprintf(file, "0.5 0.6 x");
    fclose(file);
    assay_error error = {0};
    assert_null(synth_functions()->open(&place->options, NULL, &error));
    assert_int_equal(error.code, ASSAY_BAD_FILE);
    assert_non_null(strstr(error.got, "2 numbers"));
    unlink(path);
}

/* Each random future names items of the window, and not those that the diverse choice names. */
static void a_random_future_is_another_choice(void **state)
{
    synth_place *place = *state;
    int differ = 0;
    place->options.pairs = (assay_texts){1, both};
    synth_data *diverse = must_open(place);
    synth_options random_options = place->options;
    random_options.future_choice = 1;
    assay_error error = {0};
    synth_data *random = synth_functions()->open(&random_options, NULL, &error);
    assert_non_null(random);
    for (int64_t u = 0; u < 20; u++) {
        assay_sample a =
            must_sample(diverse, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, u, 0, place->arena);
        assay_sample b =
            must_sample(random, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, u, 0, place->arena);
        const assay_field_value *x = &a.values[diverse->field_count - 2];
        const assay_field_value *y = &b.values[diverse->field_count - 2];
        differ += x->shape[0] != y->shape[0] || memcmp(x->data, y->data, (size_t)x->shape[0]) != 0;
    }
    assert_true(differ > 10);
    synth_functions()->close(random);
    synth_functions()->close(diverse);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, synth_place_make, synth_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_fact_of_an_answer_holds),
        TEST(reflection_finds_and_revises_what_is_wrong),
        TEST(the_dataset_counts_its_revisions),
        TEST(a_user_is_asked_ten_different_topics_in_turn),
        TEST(half_of_the_samples_are_futures_and_half_questions),
        TEST(hard_pairs_are_those_above_the_threshold),
        TEST(scores_of_a_file_decide_instead),
        TEST(a_random_future_is_another_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
