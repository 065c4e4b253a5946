/* texts.c - what a store is told by the program: the views, and the numbers that papers print. */
#include "lab/store/connection.h"

#include <assay/hash.h>

#include <string.h>

typedef struct program_text {
    const char *name;
    store_sql id;
} program_text;

static const program_text texts[] = {
    {"views.sql", SQL_VIEWS},
    {"published.sql", SQL_PUBLISHED},
};
#define TEXTS ((int)(sizeof texts / sizeof *texts))

/* Whether the store has the text as this program has it. */
static bool is_known(store_connection *db, const program_text *text, char hex[65], bool *known,
                     assay_error *error)
{
    int64_t n = 0;
    const char *sql = store_sql_text[text->id];
    assay_sha256_of(sql, strlen(sql), hex);
    bool ok = connection_number(db, SQL_COUNT_TEXT, &n, error, "tt", text->name, hex);
    *known = n > 0;
    return ok;
}

/* Reads in the texts that are not known. Inside a transaction: another process may have done it. */
static bool read_in(store_connection *db, assay_error *error)
{
    bool ok = true;
    for (int i = 0; i < TEXTS && ok; i++) {
        char hex[65];
        bool known = false;
        ok = is_known(db, &texts[i], hex, &known, error);
        if (ok && !known)
            ok = connection_exec(db, store_sql_text[texts[i].id], error) &&
                 connection_do(db, SQL_PUT_TEXT, error, "tt", texts[i].name, hex);
    }
    return ok;
}

bool texts_refresh(store_handle *store, assay_error *error)
{
    bool all = true;
    for (int i = 0; i < TEXTS && all; i++) {
        char hex[65];
        if (!is_known(&store->main, &texts[i], hex, &all, error))
            return false;
    }
    if (all)
        return true;
    bool ok = store_begin(store, false, error);
    return ok && store_commit(store, read_in(&store->main, error), error);
}
