/* fields.c - which of the dataset's fields the model reads, and how much stands in them. */
#include "user_decoder.h"

#include <string.h>

#define PROBES 64 /* samples that are measured */

static bool is_text_rows(const assay_field *field)
{
    return field->dtype == ASSAY_U8 && field->rank == 2 && field->shape[0] == ASSAY_RAGGED &&
           field->shape[1] == ASSAY_RAGGED;
}

static int text_field(const assay_data *data, const assay_field *fields, const char *name)
{
    int i = assay_data_field(data, name);
    return i >= 0 && fields[i].dtype == ASSAY_U8 && fields[i].rank == 1 ? i : -1;
}

/* ---- sources ---- */

/* Events that the source shows at most: the option's number, else the dataset's; 0: unknown. */
static int64_t slots_of(const model *m, const assay_data *data, int number, int field)
{
    if (number < m->settings.slot_counts.count)
        return (int64_t)m->settings.slot_counts.items[number];
    return data->functions->slots ? data->functions->slots(data->dataset, field) : 0;
}

static bool add_source(model *m, const assay_data *data, const assay_field *fields, int i,
                       assay_error *error)
{
    int number = m->source_count;
    if (number == MODEL_SOURCES || strlen(fields[i].name) > 64)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                          .what = "the dataset has too many sources, or one with too long a name",
                          .expected = "at most 32 sources with names of at most 64 bytes",
                          .got = fields[i].name);
    m->source_names[number] = fields[i].name;
    source *s = &m->sources[m->source_count++];
    int times = assay_data_field(data, assay_text("%s.time", fields[i].name));
    *s = (source){.name = fields[i].name,
                  .texts = i,
                  .times = -1,
                  .slots = slots_of(m, data, number, i),
                  .words = number < m->settings.event_limits.count
                               ? (int64_t)m->settings.event_limits.items[number]
                               : m->settings.event_words};
    if (s->slots == 0 && m->settings.slots == SLOTS_FIXED)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = assay_text("the slots of source %.64s are not known", s->name),
                          .hint = "slot_counts = { 16, 8, ... } gives them, one number per source");
    if (times >= 0 && fields[times].rank == 1 && fields[times].dtype != ASSAY_U8) {
        s->times = times;
        s->time_type = fields[times].dtype;
    }
    return true;
}

static bool lists_fit(const model *m, assay_error *error)
{
    int64_t slots = m->settings.slot_counts.count, limits = m->settings.event_limits.count;
    int64_t wrong = slots > 0 && slots != m->source_count     ? slots
                    : limits > 0 && limits != m->source_count ? limits
                                                              : 0;
    return wrong == 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                      .what = "a list has another number of items than the dataset has sources",
                      .expected = assay_text("%d, one per source", m->source_count),
                      .got = assay_text("%lld", (long long)wrong));
}

/* A mean of the features' tokens needs one. */
static bool summaries_fit(const model *m, assay_error *error)
{
    const settings *s = &m->settings;
    bool paper = s->summaries == SUMMARIES_PAPER && (s->user_summary || s->source_summary);
    return !paper || m->features < 0 || s->feature_tokens > 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                      .what = "summaries = \"paper\" means the features' tokens, and there is none",
                      .expected = "feature_tokens of at least 1", .got = "0",
                      .hint = "summaries = \"code\" has a layer of its own for them");
}

bool fields_find(model *m, const assay_data *data, assay_error *error)
{
    int count = 0;
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    for (int i = 0; i < count; i++)
        if (is_text_rows(&fields[i]) && !add_source(m, data, fields, i, error))
            return false;
    m->question = text_field(data, fields, "query");
    m->answer = text_field(data, fields, "answer");
    m->features = assay_data_field(data, "features");
    if (m->features >= 0 && (fields[m->features].dtype != ASSAY_F32 ||
                             fields[m->features].rank != 1 || fields[m->features].shape[0] < 1))
        m->features = -1;
    if (m->features >= 0)
        m->feature_count = fields[m->features].shape[0];
    if (m->source_count == 0 && m->features < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "the dataset has neither events nor features",
                          .expected = "a field of texts (events, bytes) or 'features' (F)",
                          .got = assay_text("dataset.%s", data->name));
    return lists_fit(m, error) && summaries_fit(m, error);
}

/* ---- measuring ---- */

static bool add_text(const lexicon *words, const uint8_t *text, int64_t bytes, double *sum,
                     assay_error *error)
{
    int64_t all = 0;
    int32_t none;
    if (lexicon_read(words, text, bytes, 0, &none, &all, error) < 0)
        return false;
    *sum += (double)all;
    return true;
}

static bool add_sample(const model *m, const assay_sample *sample, struct usual *sum,
                       assay_error *error)
{
    for (int s = 0; s < m->source_count; s++) {
        const assay_field_value *value = &sample->values[m->sources[s].texts];
        for (int64_t e = 0; value->present && e < value->shape[0]; e++)
            if (!add_text(m->event_words, (const uint8_t *)value->data + value->offsets[e],
                          value->offsets[e + 1] - value->offsets[e], &sum->event_words, error))
                return false;
        sum->events += value->present ? (double)value->shape[0] : 0;
    }
    const struct {
        int field;
        double *into;
    } texts[] = {{m->question, &sum->question}, {m->answer, &sum->answer}};
    for (int i = 0; i < 2; i++) {
        const assay_field_value *value =
            texts[i].field < 0 ? NULL : &sample->values[texts[i].field];
        if (value && value->present &&
            !add_text(m->words, value->data, value->shape[0], texts[i].into, error))
            return false;
    }
    return true;
}

bool fields_measure(model *m, const assay_data *data, assay_error *error)
{
    const assay_dataset_functions *f = data->functions;
    assay_data_split split = ASSAY_PRETRAIN;
    int64_t samples = f->count(data->dataset, split, ASSAY_NO_BENCHMARK);
    if (samples == 0) {
        split = ASSAY_TRAIN;
        samples = f->count(data->dataset, split, ASSAY_NO_BENCHMARK);
    }
    if (samples == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "the dataset has no samples that a model could be trained on",
                          .expected = "samples in its pretrain or train split", .got = "none");
    assay_arena *arena = assay_arena_new(0, error);
    int64_t probes = samples < PROBES ? samples : PROBES;
    struct usual sum = {0};
    bool ok = arena != NULL;
    for (int64_t i = 0; ok && i < probes; i++) {
        assay_sample sample = {0};
        assay_arena_reset(arena);
        ok = f->sample(data->dataset, split, ASSAY_NO_BENCHMARK, i * samples / probes,
                       &(assay_draw){0}, arena, &sample, error) &&
             add_sample(m, &sample, &sum, error);
    }
    assay_arena_free(arena);
    double events = sum.events > 0 ? sum.events : 1, n = (double)probes;
    m->usual = (struct usual){.events = sum.events / n,
                              .event_words = sum.event_words / events,
                              .question = sum.question / n,
                              .answer = sum.answer / n};
    return ok;
}
