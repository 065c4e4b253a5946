/* sandbox.c - the Lua state of a script: bounded in memory and instructions, without a way out.
 *
 * Every entry goes through one protected call. C functions called from Lua own nothing outside the
 * script's arena, so that an error may jump over them. */
#include "lab/script/script.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMORY_LIMIT      (256LL << 20)
#define INSTRUCTION_LIMIT 500000000LL
#define HOOK_EVERY        250
#define BYTES_PER_STEP    256 /* filled or copied in about the time of an instruction */
#define SECONDS_LIMIT     30  /* of processor time: what a C function does is no instruction */

script *sandbox_script(lua_State *lua)
{
    return *(script **)lua_getextraspace(lua);
}

/* ---- places ---- */

/* The line of Lua code that runs, from a level of the stack on; the file when none does. Pushes
 * nothing, so that it serves when memory is out. Borrowed like assay_text. */
static const char *place_of(const script *s, int level)
{
    lua_Debug about;
    if (s->chunk_where != NULL)
        return s->chunk_where;
    for (; lua_getstack(s->lua, level, &about) != 0; level++) {
        lua_getinfo(s->lua, "Sl", &about);
        if (about.currentline > 0)
            return assay_text("%s:%d", about.short_src, about.currentline);
    }
    return s->file;
}

const char *sandbox_where(script *s)
{
    const char *kept = script_text(s, place_of(s, 1));
    if (kept == NULL)
        sandbox_raise(s);
    return kept;
}

const char *sandbox_defined(script *s, int index)
{
    lua_Debug about;
    lua_pushvalue(s->lua, index);
    lua_getinfo(s->lua, ">S", &about);
    if (s->chunk_where != NULL || about.linedefined <= 0)
        return NULL;
    return script_text(s, assay_text("%s:%d", about.short_src, about.linedefined));
}

/* ---- limits ---- */

static void *allocate(void *user, void *block, size_t old_size, size_t new_size)
{
    script *s = user;
    int64_t before = block != NULL ? (int64_t)old_size : 0;
    if (new_size == 0) {
        free(block);
        s->bytes -= before;
        return NULL;
    }
    if ((int64_t)new_size > before && s->bytes + (int64_t)new_size - before > s->bytes_limit) {
        if (s->lua != NULL)
            snprintf(s->memory_where, sizeof s->memory_where, "%s", place_of(s, 0));
        return NULL;
    }
    void *grown = realloc(block, new_size);
    if (grown != NULL) {
        s->bytes += (int64_t)new_size - before;
        s->steps_left -= (int64_t)new_size / BYTES_PER_STEP; /* the next hook sees it */
    }
    return grown;
}

/* Ends the script from within Lua, for good: pcall does not hide it. */
static int end_script(lua_State *lua, const char *expected)
{
    script *s = sandbox_script(lua);
    s->spent = true;
    assay_error_clear(&s->error);
    return sandbox_fail(s, (assay_failure){.where = place_of(s, 0),
                                           .what = "the script does not come to its end",
                                           .expected = expected,
                                           .hint = "is there a loop without an end?"});
}

static double processor_seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void sandbox_check_time(lua_State *lua)
{
    if (processor_seconds() - sandbox_script(lua)->began > SECONDS_LIMIT)
        end_script(lua, assay_text("at most %d seconds", SECONDS_LIMIT));
}

void sandbox_charge(lua_State *lua, double steps)
{
    script *s = sandbox_script(lua);
    int64_t limit = s->request->instruction_limit;
    s->steps_left = steps < (double)s->steps_left ? s->steps_left - (int64_t)steps : 0;
    if (s->steps_left <= 0)
        end_script(lua, assay_text("at most %lld instructions",
                                   (long long)(limit > 0 ? limit : INSTRUCTION_LIMIT)));
}

static void count_instructions(lua_State *lua, lua_Debug *debug)
{
    (void)debug;
    sandbox_charge(lua, HOOK_EVERY);
    sandbox_check_time(lua);
}

bool sandbox_full(script *s)
{
    const char *where = s->memory_where[0] != '\0' ? s->memory_where : place_of(s, 0);
    s->spent = true;
    assay_error_clear(&s->error);
    return ASSAY_FAIL(
        &s->error, ASSAY_BAD_INPUT, .where = where, .what = "the script needs too much memory",
        .expected = assay_text("at most %lld MiB", (long long)(s->bytes_limit >> 20)));
}

/* ---- failures ---- */

int sandbox_raise(script *s)
{
    char line[1400];
    lua_pushstring(s->lua, assay_error_format(&s->error, line, sizeof line));
    return lua_error(s->lua);
}

int sandbox_fail(script *s, assay_failure failure)
{
    assay_fail(&s->error, ASSAY_BAD_INPUT, failure);
    return sandbox_raise(s);
}

/* A message of Lua's own, "sweep.lua:12: what"; chunks are named by their files. */
static void take_message(script *s, const char *message, assay_error *error)
{
    const char *end = strstr(message, ": ");
    const char *colon = end;
    while (colon != NULL && colon > message && colon[-1] >= '0' && colon[-1] <= '9')
        colon--;
    if (end != NULL && colon != end && colon > message && colon[-1] == ':')
        ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                   .where = s->chunk_where != NULL
                                ? s->chunk_where
                                : assay_text("%.*s", (int)(end - message), message),
                   .what = end + 2);
    else
        ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                   .where = s->chunk_where != NULL ? s->chunk_where : s->file, .what = message);
}

/* What a protected call that failed left on the stack, moved to *error. */
static bool take_failure(script *s, int status, assay_error *error)
{
    assay_error failed = {0};
    if (status == LUA_ERRMEM && !s->spent)
        sandbox_full(s);
    if (s->error.code != ASSAY_OK)
        failed = s->error;
    else if (lua_type(s->lua, -1) == LUA_TSTRING)
        take_message(s, lua_tostring(s->lua, -1), &failed);
    else
        ASSAY_FAIL(&failed, ASSAY_BAD_INPUT, .where = s->file,
                   .what = "the script raised an error that is no text",
                   .got = luaL_typename(s->lua, -1));
    assay_error_clear(&s->error);
    lua_pop(s->lua, 1);
    if (error != NULL && error->code == ASSAY_OK)
        *error = failed;
    return false;
}

/* Handler of errors that have no place of their own: one that is no text, or a text alone. */
static int note_place(lua_State *lua)
{
    script *s = sandbox_script(lua);
    if (s->error.code != ASSAY_OK)
        return 1;
    if (lua_type(lua, 1) != LUA_TSTRING)
        ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = place_of(s, 1),
                   .what = "the script raised an error that is no text",
                   .got = luaL_typename(lua, 1));
    else if (strstr(lua_tostring(lua, 1), ": ") == NULL)
        ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = place_of(s, 1),
                   .what = lua_tostring(lua, 1));
    return 1;
}

int sandbox_enter(lua_State *lua, int arguments, int results)
{
    int at = lua_gettop(lua) - arguments;
    lua_pushcfunction(lua, note_place); /* a light C function: takes no memory */
    lua_insert(lua, at);
    int status = lua_pcall(lua, arguments, results, at);
    lua_remove(lua, at);
    return status;
}

bool sandbox_call(script *s, int arguments, assay_error *error)
{
    int status = sandbox_enter(s->lua, arguments, 1);
    return status == LUA_OK || take_failure(s, status, error);
}

/* ---- the state's life ---- */

bool sandbox_open(script *s, assay_error *error)
{
    const plan_request *request = s->request;
    s->bytes_limit = request->memory_limit > 0 ? request->memory_limit : MEMORY_LIMIT;
    s->steps_left = request->instruction_limit > 0 ? request->instruction_limit : INSTRUCTION_LIMIT;
    s->lua = lua_newstate(allocate, s);
    if (s->lua == NULL)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = s->file, .what = "no memory for Lua");
    *(script **)lua_getextraspace(s->lua) = s;
    lua_pushcfunction(s->lua, sandbox_fill);
    int status = lua_pcall(s->lua, 0, 0, 0);
    if (status != LUA_OK)
        return take_failure(s, status, error);
    s->began = processor_seconds();
    lua_sethook(s->lua, count_instructions, LUA_MASKCOUNT, HOOK_EVERY);
    return true;
}

void sandbox_close(script *s)
{
    if (s->lua != NULL)
        lua_close(s->lua);
    s->lua = NULL;
}

/* A text to be run, and the value that it gave. */
typedef struct errand {
    const char *file, *text;
    int64_t bytes;
    bool literal; /* any value, not a word of the language only */
    node *value;
} errand;

static int do_errand(lua_State *lua)
{
    script *s = sandbox_script(lua);
    errand *of = lua_touserdata(lua, 1);
    sandbox_run_text(s, of->file, of->text, of->bytes);
    if (!of->literal)
        of->value = node_at(lua, -1);
    else if (!lua_isnil(lua, -1) && (of->value = node_of(s, lua_gettop(lua), of->file)) == NULL)
        return sandbox_raise(s);
    return 0;
}

bool sandbox_run(script *s, const char *file, const char *text, int64_t bytes, bool literal,
                 node **out, assay_error *error)
{
    errand of = {.file = file, .text = text, .bytes = bytes, .literal = literal};
    lua_pushcfunction(s->lua, do_errand);
    lua_pushlightuserdata(s->lua, &of);
    int status = sandbox_enter(s->lua, 1, 0);
    *out = of.value;
    return status == LUA_OK || take_failure(s, status, error);
}
