/* queries.c - the questions that are asked of every user (embed.h). */
#include "lab/embed/embed.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <string.h>

#define LONGEST_FILE (INT64_C(64) << 20)

static bool has_room(embed_queries *to, assay_error *error)
{
    if (to->count < to->room)
        return true;
    int64_t room = to->room ? 2 * to->room : 16;
    char **grown = assay_alloc(room * (int64_t)sizeof *grown, error);
    if (!grown)
        return false;
    if (to->count > 0)
        memcpy(grown, to->texts, (size_t)to->count * sizeof *grown);
    assay_free(to->texts);
    to->texts = grown;
    to->room = room;
    return true;
}

bool queries_add(embed_queries *to, const char *text, assay_error *error)
{
    if (!has_room(to, error))
        return false;
    to->texts[to->count] = assay_strdup(text, error);
    return to->texts[to->count] && ++to->count;
}

bool queries_read(embed_queries *to, const char *path, assay_error *error)
{
    int64_t bytes = 0, before = to->count;
    char *text = assay_read_file(path, LONGEST_FILE, &bytes, error);
    bool ok = text != NULL;
    for (char *line = text; ok && line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r')
            line[length - 1] = '\0';
        if (line[0] != '\0')
            ok = queries_add(to, line, error);
        line = end ? end + 1 : NULL;
    }
    assay_free(text);
    if (ok && to->count == before)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the file has no queries",
                          .expected = "one a line");
    return ok;
}

static bool is_there(const embed_queries *to, const char *text)
{
    for (int64_t i = 0; i < to->count; i++)
        if (strcmp(to->texts[i], text) == 0)
            return true;
    return false;
}

bool queries_of_suites(embed_queries *to, const assay_data *data, const char *suite,
                       assay_error *error)
{
    int count = 0;
    const assay_benchmark *all =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    for (int i = 0; i < count; i++) {
        if ((suite && strcmp(suite, all[i].suite) != 0) || all[i].question[0] == '\0' ||
            is_there(to, all[i].question))
            continue;
        if (!queries_add(to, all[i].question, error))
            return false;
    }
    return true;
}

void queries_clear(embed_queries *queries)
{
    for (int64_t i = 0; i < queries->count; i++)
        assay_free(queries->texts[i]);
    assay_free(queries->texts);
    *queries = (embed_queries){0};
}
