/* test_synth_samples.c - a synthetic user is a pure function of its address; what a model is given
 * is the newest of the history, and nothing of the window. */
#include "synth_place.h"

#include "deed.h"
#include "tabular.h"
#include "telling.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- purity ---- */

enum { THREADS = 4, SAMPLES = 40 };

typedef struct worker {
    const synth_data *data;
    int first; /* each thread asks in an order of its own */
    char hex[SAMPLES][65];
} worker;

static void *ask_all(void *user)
{
    worker *w = user;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    for (int k = 0; k < SAMPLES; k++) {
        int i = (w->first + 7 * k) % SAMPLES;
        assay_arena_reset(arena);
        assay_sample s = {0};
        if (!synth_sample(w->data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, i, NULL, arena, &s, &error))
            break;
        digest_sample(w->data, &s, w->hex[i]);
    }
    assay_arena_free(arena);
    return NULL;
}

static void threads_and_orders_give_the_same_samples(void **state)
{
    synth_place *place = *state;
    synth_data *data = must_open(place);
    static worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        workers[t] = (worker){.data = data, .first = 11 * t};
        assert_int_equal(pthread_create(&threads[t], NULL, ask_all, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (int t = 1; t < THREADS; t++)
        assert_memory_equal(workers[0].hex, workers[t].hex, sizeof workers[0].hex);
    assert_string_not_equal(workers[0].hex[0], workers[0].hex[1]);
    synth_functions()->close(data);
}

static void sizes_of_splits_change_no_user(void **state)
{
    synth_place *place = *state;
    char before[65], after[65];
    place->options.features = 0;
    synth_data *data = must_open(place);
    assay_sample s = must_sample(data, ASSAY_TEST, 0, 3, 0, place->arena);
    digest_sample(data, &s, before);
    synth_functions()->close(data);
    place->options.users = 7;
    place->options.test_users = 1000000;
    data = must_open(place);
    s = must_sample(data, ASSAY_TEST, 0, 3, 0, place->arena);
    digest_sample(data, &s, after);
    assert_string_equal(before, after);
    synth_functions()->close(data);
    place->options.seed = 2;
    data = must_open(place);
    s = must_sample(data, ASSAY_TEST, 0, 3, 0, place->arena);
    digest_sample(data, &s, after);
    assert_string_not_equal(before, after);
    synth_functions()->close(data);
}

static void no_user_stands_in_two_splits(void **state)
{
    synth_place *place = *state;
    char hex[ASSAY_SPLITS * 5][65];
    int n = 0;
    synth_data *data = must_open(place);
    for (int split = 0; split < ASSAY_SPLITS; split++)
        for (int i = 0; i < 5; i++, n++) {
            assay_sample s =
                must_sample(data, (assay_data_split)split, ASSAY_NO_BENCHMARK, i, 0, place->arena);
            digest_sample(data, &s, hex[n]);
            for (int k = 0; k < n; k++)
                assert_string_not_equal(hex[k], hex[n]);
        }
    synth_functions()->close(data);
}

/* ---- what is given ---- */

/* A user's whole life as the generator tells it. */
static life must_live(const synth_data *data, uint64_t number, int days, assay_arena *arena)
{
    assay_error error = {0};
    person p;
    life l = {0};
    person_make(&p, data->world, &data->streams, number);
    assert_true(person_live(&p, data->world, &data->streams, days, arena, &l, &error));
    return l;
}

static void a_longer_life_begins_with_the_shorter(void **state)
{
    synth_place *place = *state;
    synth_data *data = must_open(place);
    for (uint64_t u = 0; u < 20; u++) {
        life history = must_live(data, u, HISTORY, place->arena);
        life all = must_live(data, u, DAYS, place->arena);
        assert_int_equal(life_from(&all, HISTORY), history.count);
        if (history.count > 0)
            assert_memory_equal(all.events, history.events,
                                (size_t)history.count * sizeof *all.events);
        for (int64_t i = 1; i < all.count; i++)
            assert_true(all.events[i - 1].time <= all.events[i].time);
    }
    synth_functions()->close(data);
}

/* Every source gives the newest of its events, told word for word, at times before the cut-off. */
static void the_newest_events_before_the_cut_off_are_given(void **state)
{
    synth_place *place = *state;
    int64_t cut = 0;
    synth_data *data = must_open(place);
    for (int64_t u = 0; u < 30; u++) {
        assay_arena_reset(place->arena);
        assay_sample s = must_sample(data, ASSAY_TRAIN, 4, u, 0, place->arena);
        life l = must_live(data, synth_number(ASSAY_TRAIN, u), HISTORY, place->arena);
        for (int k = 0; k < SOURCES; k++) {
            const assay_field_value *texts = &s.values[2 * k], *times = texts + 1;
            int64_t row = texts->shape[0], of_source = 0;
            for (int64_t i = l.count - 1; i >= 0; i--) {
                char text[LONGEST_TEXT];
                if (l.events[i].source != k)
                    continue;
                of_source++;
                if (row == 0)
                    continue;
                row--;
                int64_t bytes = tell_event(&l.events[i], data->world, text);
                assert_int_equal(texts->offsets[row + 1] - texts->offsets[row], bytes);
                assert_memory_equal((const char *)texts->data + texts->offsets[row], text,
                                    (size_t)bytes);
                float time = ((const float *)times->data)[row];
                assert_true(time < 0 && time >= -HISTORY);
                assert_true(time == (float)l.events[i].time / TICKS - HISTORY);
            }
            assert_int_equal(row, 0);
            int64_t slots = data->slots[k];
            assert_int_equal(texts->shape[0], of_source < slots ? of_source : slots);
            cut += of_source > slots;
        }
        assert_false(s.values[data->field_count - 2].present);
        assert_true(s.label == 0 || s.label == 1);
    }
    assert_true(cut > 10); /* there was something to leave out */
    synth_functions()->close(data);
}

/* What is left out is counted: events of the training users beyond the slots. */
static void what_the_slots_leave_out_is_counted(void **state)
{
    synth_place *place = *state;
    int64_t events = 0, over = 0;
    synth_data *data = must_open(place);
    for (uint64_t u = 0; u < 40; u++) {
        life l = must_live(data, u, HISTORY, place->arena);
        int64_t of[SOURCES] = {0};
        for (int64_t i = 0; i < l.count; i++)
            of[l.events[i].source]++;
        for (int s = 0; s < SOURCES; s++)
            over += of[s] > data->slots[s] ? of[s] - data->slots[s] : 0;
        events += l.count;
    }
    assert_int_equal(data->seen.users, 40);
    assert_int_equal(data->seen.events, events);
    assert_int_equal(data->seen.over_slots, over);
    assert_true(over > 0);
    synth_functions()->close(data);
}

/* A thousand thousand million users take what 5,000 take, and the last is as quickly there. */
static void memory_does_not_grow_with_users(void **state)
{
    synth_place *place = *state;
    int64_t live[2];
    for (int k = 0; k < 2; k++) {
        place->options.users = k == 0 ? 5000 : INT64_C(1000000000000);
        synth_data *data = must_open(place);
        int64_t count = synth_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK);
        assert_int_equal(count, place->options.users);
        for (int i = 1; i <= 100; i++) {
            assay_arena_reset(place->arena);
            must_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, count - i, 0, place->arena);
        }
        live[k] =
            assay_memory_stats_get().live_bytes - assay_arena_stats_get(place->arena).chunk_bytes;
        synth_functions()->close(data);
    }
    assert_int_equal(live[0], live[1]);
}

/* What pair makers take from an event without telling it is what they would find in its text. */
static void deeds_are_those_of_the_texts(void **state)
{
    synth_place *place = *state;
    synth_data *data = must_open(place);
    life l = must_live(data, 5, DAYS, place->arena);
    assert_true(l.count > 50);
    for (int64_t i = 0; i < l.count; i++) {
        const life_event *e = &l.events[i];
        char text[LONGEST_TEXT];
        deed d = deed_of(text, tell_event(e, data->world, text));
        assert_int_equal(d.word_bytes, strlen(topic_table[e->topic].name));
        assert_memory_equal(d.word, topic_table[e->topic].name, (size_t)d.word_bytes);
        if (e->source == BILL)
            assert_true(d.amount == (double)told_amount(e->amount));
        else
            assert_true(isnan(d.amount));
    }
    synth_functions()->close(data);
}

static void a_user_without_events_is_an_empty_history(void **state)
{
    synth_place *place = *state;
    place->options.activity = 1e-6;
    synth_data *data = must_open(place);
    assay_sample s = must_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, 0, 0, place->arena);
    for (int k = 0; k < SOURCES; k++) {
        assert_int_equal(s.values[2 * k].shape[0], 0);
        assert_int_equal(s.values[2 * k].offsets[0], 0);
    }
    const assay_field_value *features = &s.values[2 * SOURCES];
    for (int64_t f = 0; f < features->shape[0]; f++)
        assert_true(isfinite(((const float *)features->data)[f]));
    assert_true(is_text(&s.values[data->field_count - 2], "nothing"));
    synth_functions()->close(data);
}

static void features_are_standardised_on_pretrain(void **state)
{
    synth_place *place = *state;
    place->options.users = 500;
    synth_data *data = must_open(place);
    assert_int_equal(data->feature_count, 80);
    double *sum = calloc(80, sizeof *sum), *squares = calloc(80, sizeof *squares);
    for (int64_t u = 0; u < 500; u++) {
        assay_arena_reset(place->arena);
        assay_sample s = must_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, u, 0, place->arena);
        const float *x = s.values[2 * SOURCES].data;
        for (int f = 0; f < 80; f++) {
            sum[f] += (double)x[f];
            squares[f] += (double)x[f] * (double)x[f];
        }
    }
    for (int f = 0; f < 80; f++) {
        assert_true(fabs(sum[f] / 500) < 1e-4);
        assert_true(fabs(squares[f] / 500 - 1) < 1e-3);
    }
    free(sum);
    free(squares);
    synth_functions()->close(data);
}

static void presets_hold_their_slots(void **state)
{
    static const int64_t all[3] = {42, 70, 660}; /* and 2, 4, 50 of tabular */
    synth_place *place = *state;
    for (int preset = 0; preset < 3; preset++) {
        int64_t sum = 0;
        place->options.slots = preset;
        synth_data *data = must_open(place);
        for (int s = 0; s < SOURCES; s++)
            sum += data->slots[s];
        assert_int_equal(sum, all[preset]);
        for (int f = 0; f < data->field_count; f++)
            assert_int_equal(synth_functions()->slots(data, f),
                             f < 2 * SOURCES && f % 2 == 0 ? data->slots[f / 2] : 0);
        assert_int_equal(data->feature_count, preset == 2 ? 1711 : 80);
        synth_functions()->close(data);
    }
}

/* ---- pairs ---- */

static void a_future_is_told_of_the_window(void **state)
{
    synth_place *place = *state;
    synth_data *data = must_open(place);
    assert_int_equal(synth_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 40);
    int told = 0;
    for (int64_t u = 0; u < 40; u++) {
        assay_arena_reset(place->arena);
        assay_sample s = must_sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, u, 0, place->arena);
        const assay_field_value *answer = &s.values[data->field_count - 2];
        life l = must_live(data, (uint64_t)u, DAYS, place->arena);
        bool gone = life_from(&l, HISTORY) == l.count;
        assert_true(is_text(&s.values[data->field_count - 3], "What next?"));
        assert_int_equal(is_text(answer, "nothing"), gone);
        told += !gone && memcmp(answer->data, "week ", 5) == 0;
        assert_int_equal(s.label, -1);
    }
    assert_true(told > 25);
    synth_functions()->close(data);
}

static void wrong_options_are_refused(void **state)
{
    synth_place *place = *state;
    static const char *const twice[] = {"bill", "bill"};
    place->options.task = "frraud";
    assert_non_null(strstr(must_refuse(place).hint, "fraud"));
    place->options.task = "";
    place->options.sources = (assay_texts){2, twice};
    assert_non_null(strstr(must_refuse(place).what, "twice"));
    place->options.sources = (assay_texts){0, NULL};
    must_refuse(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, synth_place_make, synth_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(threads_and_orders_give_the_same_samples),
        TEST(sizes_of_splits_change_no_user),
        TEST(no_user_stands_in_two_splits),
        TEST(a_longer_life_begins_with_the_shorter),
        TEST(the_newest_events_before_the_cut_off_are_given),
        TEST(what_the_slots_leave_out_is_counted),
        TEST(memory_does_not_grow_with_users),
        TEST(deeds_are_those_of_the_texts),
        TEST(a_user_without_events_is_an_empty_history),
        TEST(features_are_standardised_on_pretrain),
        TEST(presets_hold_their_slots),
        TEST(a_future_is_told_of_the_window),
        TEST(wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
