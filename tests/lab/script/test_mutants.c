/* test_mutants.c - a script with bytes deleted, doubled, swapped or changed: always a plan or a
 * message with its place, never a crash. ASSAY_MUTANTS: how many; the seed is the number of the
 * mutant. */
#include "place.h"
#include "rich.h"

#include <assay/memory.h>
#include <assay/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct mutant {
    char text[4096];
    size_t length;
    assay_stream stream;
    uint64_t next; /* address in the stream */
} mutant;

static size_t draw(mutant *of, size_t below)
{
    return (size_t)assay_random_below(of->stream, of->next++, (int64_t)below);
}

/* Bytes of words and signs that scripts are made of; any byte now and then. */
static char draw_byte(mutant *of)
{
    static const char usual[] = "{}(),.='\"[]#:;-+*/0123456789eanrst \n\\";
    return draw(of, 8) == 0 ? (char)(1 + draw(of, 255)) : usual[draw(of, sizeof usual - 1)];
}

static void change(mutant *of)
{
    if (of->length < 2)
        return;
    size_t at = draw(of, of->length - 1), count = 1 + draw(of, draw(of, 4) == 0 ? 40 : 3);
    if (count > of->length - at)
        count = of->length - at;
    switch (draw(of, 5)) {
    case 0: /* deleted */
        memmove(of->text + at, of->text + at + count, of->length - at - count);
        of->length -= count;
        break;
    case 1: /* doubled */
        if (of->length + count >= sizeof of->text)
            break;
        memmove(of->text + at + count, of->text + at, of->length - at);
        of->length += count;
        break;
    case 2: { /* swapped with what stands elsewhere */
        size_t other = draw(of, of->length);
        char kept = of->text[at];
        of->text[at] = of->text[other];
        of->text[other] = kept;
        break;
    }
    case 3: /* copied over what stands elsewhere */
        memmove(of->text + draw(of, of->length - count + 1), of->text + at, count);
        break;
    default:
        of->text[at] = draw_byte(of);
    }
}

static void mutants_become_plans_or_messages(void **state)
{
    const char *wanted = getenv("ASSAY_MUTANTS");
    int64_t count = wanted != NULL ? atoll(wanted) : 600, plans = 0;
    int64_t before = assay_memory_stats_get().live_blocks;
    (void)state;
    place_write("soft.lua", RICH_MODULE);
    for (int64_t i = 0; i < count; i++) {
        mutant of = {.stream = assay_stream_of((uint64_t)i, "mutant", 0)};
        assay_error error = {0};
        of.length = strlen(RICH_SCRIPT);
        memcpy(of.text, RICH_SCRIPT, of.length);
        for (size_t k = 1 + draw(&of, 4); k > 0; k--)
            change(&of);
        place_write_bytes("m.lua", of.text, of.length);
        plan *made = place_read(
            NULL, &(place_request){.file = "m.lua", .memory = 32 << 20, .instructions = 5000000},
            &error);
        bool told = error.code != ASSAY_OK && error.what[0] != '\0' && error.where[0] != '\0';
        if ((made == NULL) != told)
            fail_msg("mutant %lld: '%s' (%s)", (long long)i, error.what, error.where);
        plans += made != NULL;
        plan_free(made);
        if (assay_memory_stats_get().live_blocks != before)
            fail_msg("mutant %lld: blocks are lost", (long long)i);
    }
    assert_true(plans > 0 && plans < count); /* or nothing was tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutants_become_plans_or_messages),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
