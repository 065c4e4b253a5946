/* test_layouts.c - what stands where in the user's tower, token by token, in all three layouts and
 * with both kinds of slots; what is predicted, what is read, and what is cut. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/rig.h"
#include "models/six.h"
#include "user_decoder/user_decoder.h"

static const char *const trained_names[] = {"user.embedding", "user.targets"};
static const assay_wanted trained = {2, trained_names};
static const assay_wanted asked = {1, trained_names};

/* ---- tokens by name ---- */

/* The row of network.c's table in which the vectors of a part begin. */
static int64_t base_of(const content *c, int sources)
{
    int64_t at = assay_tensor_count(c->words);
    for (int s = 0; s < sources; s++)
        at += c->texts[s].rows + c->padded[s];
    return at;
}

static int64_t row_of_id(const content *c, int32_t id)
{
    for (int64_t i = 0; i < assay_tensor_count(c->words); i++)
        if (assay_i32(c->words)[i] == id)
            return i;
    fail_msg("id %d is not in the batch", (int)id);
    return -1;
}

/* "+user" and "+bill" are summaries, "bill#2" is an event, "bill#" a padding slot, "tabular#1" a
 * token of the features, "front#0", "extra#0" other people's, "<...>" a marker, anything else a
 * word. */
static int64_t row_named(const model *m, const content *c, int64_t rows, int64_t b,
                         const char *name)
{
    const char *number = strchr(name, '#');
    const bool copied = m->settings.features == FEATURES_COPIED;
    int64_t tokens = m->settings.feature_tokens, k = number ? strtol(number + 1, NULL, 10) : 0;
    int64_t features = base_of(c, m->source_count);
    int64_t summaries = features + (copied ? 1 : tokens) * rows;
    int64_t others = summaries + rows * (m->settings.user_summary +
                                         (m->settings.source_summary ? m->source_count + 1 : 0));
    for (int s = 0; s < m->source_count; s++) {
        size_t length = strlen(m->sources[s].name);
        if (number == name + length && strncmp(name, m->sources[s].name, length) == 0)
            return base_of(c, s) + (number[1] == '\0' ? c->texts[s].rows : k);
        if (name[0] == '+' && strcmp(name + 1, m->sources[s].name) == 0)
            return summaries + (m->settings.user_summary + s) * rows + b;
    }
    if (strcmp(name, "+user") == 0)
        return summaries + b;
    if (strcmp(name, "+tabular") == 0)
        return summaries + (m->settings.user_summary + m->source_count) * rows + b;
    if (strncmp(name, "tabular#", 8) == 0)
        return features + (copied ? b : b * tokens + k);
    if (strncmp(name, "front#", 6) == 0)
        return others + k;
    if (strncmp(name, "extra#", 6) == 0)
        return others + m->extra.front + k;
    if (name[0] != '<') {
        int32_t id = -1;
        assert_int_equal(lexicon_read(m->words, (const uint8_t *)name, (int64_t)strlen(name), 1,
                                      &id, NULL, NULL),
                         1);
        return row_of_id(c, id);
    }
    if (m->settings.layout == LAYOUT_PLAIN)
        return row_of_id(c, strcmp(name, "<USER>") == 0 ? WORD_USER : WORD_QUESTION);
    return row_of_id(c, lexicon_marker(m->words, name, NULL));
}

/* `expected` is names with spaces between; they fill row b as far as it is valid. */
static void check_row(const rig *r, const assay_batch *batch, int64_t b, const char *expected)
{
    const model *m = r->opened;
    const content *c = batch->content;
    const assay_tower *tower = &batch->towers[0];
    char copy[2048], *rest = NULL;
    int64_t t = 0;
    assert_true(strlen(expected) < sizeof copy);
    strcpy(copy, expected);
    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest), t++) {
        assert_true(t < tower->tokens);
        int64_t row = row_named(m, c, tower->rows, b, name);
        if (assay_i32(c->index)[b * tower->tokens + t] != row)
            fail_msg("row %d, token %d is %d, expected %s (%d)", (int)b, (int)t,
                     (int)assay_i32(c->index)[b * tower->tokens + t], name, (int)row);
    }
    assert_int_equal(assay_i32(c->lengths)[b], t);
}

static int64_t words_in(const char *text)
{
    int64_t n = text[0] != '\0';
    for (; *text; text++)
        n += *text == ' ';
    return n;
}

/* ---- the tables ---- */

#define CHAT_HEAD                                                                                  \
    "<|im_start|> system you are a helpful assistant . <|im_end|> <|im_start|> user what follows " \
    "is the record of one user , taken from several sources : payment bills , installed apps , "   \
    "mini program visits , search queries , page paths and a table of features . "
#define SUMMARIES "+user +bill +app +minipro +sousuo +spm +tabular "

typedef struct layout_case {
    const char *layout, *slots;
    bool summaries;
    const char *before, *history, *question, *answer; /* of user 0 */
} layout_case;

/* User 0 has 1, 1, 2, 0, 1 events; bill numbers count over the batch of users 0 and 1. */
static const layout_case cases[] = {
    {"plain", "compact", false, "front#0 ",
     "bill#0 app#0 minipro#0 minipro#1 spm#0 tabular#0 tabular#1 ",
     "<?> what comes next ? extra#0 <USER>", "much rain comes"},
    {"plain", "fixed", true, "front#0 ",
     SUMMARIES "bill#0 bill# bill# bill# app#0 app# app# minipro#0 minipro#1 minipro# sousuo# "
               "sousuo# spm#0 spm# spm# tabular#0 tabular#1 ",
     "<?> what comes next ? extra#0 <USER>", "much rain comes"},
    {"chat", "compact", true, "front#0 " CHAT_HEAD,
     SUMMARIES "<|bill_start|> bill#0 <|bill_end|> <|app_start|> app#0 <|app_end|> "
               "<|minipro_start|> minipro#0 minipro#1 <|minipro_end|> <|sousuo_start|> "
               "<|sousuo_end|> <|spm_start|> spm#0 <|spm_end|> <|tabular_start|> tabular#0 "
               "tabular#1 <|tabular_end|> ",
     "query : what comes next ? extra#0 <|user_emb|>",
     "<|im_end|> <|im_start|> assistant much rain comes"},
    {"chat", "fixed", false, "front#0 " CHAT_HEAD,
     "<|bill_start|> bill#0 bill# bill# bill# <|bill_end|> <|app_start|> app#0 app# app# "
     "<|app_end|> <|minipro_start|> minipro#0 minipro#1 minipro# <|minipro_end|> "
     "<|sousuo_start|> sousuo# sousuo# <|sousuo_end|> <|spm_start|> spm#0 spm# spm# <|spm_end|> "
     "<|tabular_start|> tabular#0 tabular#1 <|tabular_end|> ",
     "query : what comes next ? extra#0 <|user_emb|>",
     "<|im_end|> <|im_start|> assistant much rain comes"},
    {"tagged", "compact", false, "front#0 ",
     "<bill> bill#0 </bill> <app> app#0 </app> <minipro> minipro#0 minipro#1 </minipro> <sousuo> "
     "</sousuo> <spm> spm#0 </spm> <tabular> tabular#0 tabular#1 </tabular> ",
     "instruction : what comes next ? extra#0 <USER>", "much rain comes"},
    {"tagged", "fixed", true, "front#0 ",
     SUMMARIES "<bill> bill#0 bill# bill# bill# </bill> <app> app#0 app# app# </app> <minipro> "
               "minipro#0 minipro#1 minipro# </minipro> <sousuo> sousuo# sousuo# </sousuo> <spm> "
               "spm#0 spm# spm# </spm> <tabular> tabular#0 tabular#1 </tabular> ",
     "instruction : what comes next ? extra#0 <USER>", "much rain comes"},
};

static void open_case(rig *r, six *d, const layout_case *one)
{
    six_open(d, 3);
    rig_begin_on(r, &d->data, "causal");
    use_text(&r->model, "layout", one->layout);
    use_text(&r->model, "slots", one->slots);
    use_number(&r->model, "user_summary", one->summaries);
    use_number(&r->model, "source_summary", one->summaries);
    use_number(&r->model, "feature_tokens", 2);
    r->extra = (assay_extra_tokens){.front = 1, .readout = 1};
    rig_open(r, 5);
}

static void every_token_has_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int answered = 0; answered < 2; answered++) {
            const layout_case *one = &cases[i];
            six d;
            rig r;
            assay_batch batch;
            char row[2048];
            open_case(&r, &d, one);
            rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 2, answered ? &trained : &asked, &batch);
            snprintf(row, sizeof row, "%s%s%s%s%s", one->before, one->history, one->question,
                     answered ? " " : "", answered ? one->answer : "");
            check_row(&r, &batch, 0, row);
            const assay_tower *tower = &batch.towers[0];
            int64_t begin = words_in(one->before) - 1;
            int64_t end = begin + words_in(one->history) - 1;
            int64_t read = end + words_in(one->question) - 1;
            assert_int_equal(assay_i32(tower->span)[0], begin);
            assert_int_equal(assay_i32(tower->span)[1], end);
            assert_int_equal(assay_i32(tower->readout)[0], read);
            assert_int_equal(assay_i32(tower->lengths)[0], read + 1);
            rig_close(&r);
        }
}

/* The words of the answer and its end, from the token before the first word on; nothing else. */
static void targets_are_the_assistants_words_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        six d;
        rig r;
        assay_batch batch;
        open_case(&r, &d, &cases[i]);
        rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 2, &trained, &batch);
        const model *m = r.opened;
        const content *c = batch.content;
        bool chat = m->settings.layout == LAYOUT_CHAT;
        int32_t words[8], end = chat ? lexicon_marker(m->words, "<|im_end|>", NULL) : WORD_END;
        int64_t n =
            lexicon_read(m->words, (const uint8_t *)"much rain comes", 15, 8, words, NULL, NULL);
        int64_t first = assay_i32(c->lengths)[0] - n - 1;
        assert_int_equal(n, 3);
        assert_int_equal(first, assay_i32(batch.towers[0].lengths)[0] - 1 + (chat ? 3 : 0));
        for (int64_t t = 0; t < batch.towers[0].tokens; t++) {
            int32_t due = t >= first && t < first + n ? words[t - first]
                          : t == first + n            ? end
                                                      : ASSAY_IGNORE;
            assert_int_equal(assay_i32(c->targets)[t], due);
            /* What follows the read token is closed to what stands before. */
            bool after = t >= assay_i32(batch.towers[0].lengths)[0] && t < assay_i32(c->lengths)[0];
            assert_true((assay_f32(c->closed)[t] < 0) == after);
        }
        rig_close(&r);
    }
}

/* ---- limits ---- */

static void newest_events_are_kept_and_the_rest_counted(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    six_open(&d, 3);
    d.events[0][0] = 5;
    d.events[1][0] = 2;
    rig_begin_on(&r, &d.data, "causal");
    use_list(&r.model, "slot_counts", "2,3,3,2,3");
    rig_open(&r, 5);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &asked, &batch, &outputs);
    const content *c = batch.content;
    assert_int_equal(c->texts[0].rows, 4); /* two of each user */
    int32_t words[2], kept = assay_i32(c->texts[0].ids)[1];
    lexicon_read(((const model *)r.opened)->words, (const uint8_t *)"bill item0x3", 12, 2, words,
                 NULL, NULL);
    assert_int_equal(kept, words[1]);
    check_row(&r, &batch, 0,
              "bill#0 bill#1 app#0 minipro#0 minipro#1 spm#0 tabular#0 <?> what comes next ? "
              "<USER>");
    assert_true(recorder_value(&r.host, "model/cut_events") == 3);
    rig_close(&r);
}

static void long_questions_and_answers_are_cut_and_counted(void **state)
{
    static const struct {
        const char *layout, *option;
        double value;
        const char *row;
    } rows[] = {
        {"tagged", "question_words", 2, "instruction : what comes <USER> much rain comes"},
        {"plain", "question_words", 2, "<?> what comes <USER> much rain comes"},
        {"plain", "answer_words", 1, "<?> what comes next ? <USER> much"},
        /* 6 tokens of history: an answer gives way before a question does. */
        {"plain", "tokens", 14, "<?> what comes next ? <USER> much rain"},
        {"plain", "tokens", 11, "<?> what comes next <USER>"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        six d;
        rig r;
        assay_batch batch;
        assay_outputs outputs;
        char row[512];
        bool plain = strcmp(rows[i].layout, "plain") == 0;
        six_open(&d, 3);
        rig_begin_on(&r, &d.data, "causal");
        use_text(&r.model, "layout", rows[i].layout);
        use_number(&r.model, rows[i].option, rows[i].value);
        rig_open(&r, 5);
        const assay_clock clock = rig_training(&r, 0);
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 1, &trained, &batch, &outputs);
        snprintf(row, sizeof row, "%s%s",
                 plain ? "bill#0 app#0 minipro#0 minipro#1 spm#0 tabular#0 "
                       : "<bill> bill#0 </bill> <app> app#0 </app> <minipro> minipro#0 minipro#1 "
                         "</minipro> <sousuo> </sousuo> <spm> spm#0 </spm> <tabular> tabular#0 "
                         "</tabular> ",
                 rows[i].row);
        check_row(&r, &batch, 0, row);
        bool question = strstr(rows[i].row, "next ?") == NULL;
        assert_true(
            recorder_value(&r.host, question ? "model/cut_questions" : "model/cut_answers") == 1);
        rig_close(&r);
    }
}

/* A sample without a question keeps the lead of its layout; nothing at all is no crash. */
static void samples_without_questions_or_events(void **state)
{
    static const struct {
        const char *layout, *row;
    } rows[] = {{"plain", "tabular#0 <USER>"},
                {"tagged", "<bill> </bill> <app> </app> <minipro> </minipro> <sousuo> </sousuo> "
                           "<spm> </spm> <tabular> tabular#0 </tabular> instruction : <USER>"}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        six d;
        rig r;
        assay_batch batch;
        six_open(&d, 3);
        memset(d.events[0], 0, sizeof d.events[0]);
        d.question[0] = NULL;
        rig_begin_on(&r, &d.data, "causal");
        use_text(&r.model, "layout", rows[i].layout);
        rig_open(&r, 5);
        rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 2, &asked, &batch);
        check_row(&r, &batch, 0, rows[i].row);
        rig_close(&r);
    }
}

static void features_are_copies_where_they_are_asked_to_be(void **state)
{
    (void)state;
    six d;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    six_open(&d, 3);
    rig_begin_on(&r, &d.data, "causal");
    use_text(&r.model, "features", "copied");
    use_number(&r.model, "feature_tokens", 3);
    use_number(&r.model, "age", 0);
    use_number(&r.model, "rank", 0);
    rig_open(&r, 5);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &asked, &batch, &outputs);
    check_row(&r, &batch, 0,
              "bill#0 app#0 minipro#0 minipro#1 spm#0 tabular#0 tabular#0 tabular#0 <?> what "
              "comes next ? <USER>");
    const float *x = assay_f32(r.embedded[0]) + 5 * 64;
    same_bits(x, x + 64, 64, "copy");
    same_bits(x, x + 128, 64, "copy");
    assert_int_equal(assay_params_find(r.params, "features.weight")->value->shape[0], 64);
    assert_null(assay_params_find(r.params, "when.rank.weight"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_has_its_place),
        cmocka_unit_test(targets_are_the_assistants_words_alone),
        cmocka_unit_test(newest_events_are_kept_and_the_rest_counted),
        cmocka_unit_test(long_questions_and_answers_are_cut_and_counted),
        cmocka_unit_test(samples_without_questions_or_events),
        cmocka_unit_test(features_are_copies_where_they_are_asked_to_be),
    };
    return cmocka_run_group_tests_name("layouts", tests, NULL, NULL);
}
