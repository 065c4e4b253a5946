/* sandbox.c - the Lua state of a script: bounded in memory and instructions, without a way out.
 *
 * Every entry goes through one protected call. C functions called from Lua own nothing outside the
 * script's arena, so that an error may jump over them. */
#include "lab/script/script.h"

#include <assay/file.h>

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMORY_LIMIT      (256LL << 20)
#define INSTRUCTION_LIMIT 500000000LL
#define HOOK_EVERY        250
#define BYTES_PER_STEP    256 /* filled or copied in about the time of an instruction */
#define MODULE_BYTES      (4LL << 20)
#define SECONDS_LIMIT     30 /* of processor time: what a C function does is no instruction */

static const char environment_key = 0, modules_key = 0;

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

/* lua_pcall, by which the script's code is entered. */
static int enter(lua_State *lua, int arguments, int results)
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
    int status = enter(s->lua, arguments, 1);
    return status == LUA_OK || take_failure(s, status, error);
}

/* ---- the environment ---- */

/* Names of the environment nearest to an unknown one. Not on Lua's stack: it may not raise. */
static const char *nearest_global(lua_State *lua, const char *name)
{
    const char *names[256];
    int n = 0;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &environment_key);
    for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1))
        if (n < 256 && lua_type(lua, -2) == LUA_TSTRING)
            names[n++] = lua_tostring(lua, -2);
    lua_pop(lua, 1);
    return assay_nearest(name, n, names);
}

static int read_global(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    static const char *const closed[] = {"io",    "os",           "load",      "loadfile",
                                         "debug", "dofile",       "coroutine", "package",
                                         "print", "setmetatable", "next",      "collectgarbage"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (strcmp(name, closed[i]) == 0)
            return sandbox_fail(
                s, (assay_failure){.where = sandbox_where(s),
                                   .what = assay_text("'%s' is not there in a script", name),
                                   .hint = "a script only describes an experiment: math, string, "
                                           "table, utf8, require and env are there"});
    const char *near = nearest_global(lua, name);
    return sandbox_fail(
        s, (assay_failure){.where = sandbox_where(s),
                           .what = assay_text("undeclared global '%s'", name),
                           .hint = near != NULL ? assay_text("did you mean '%s'?", near)
                                                : "a variable of the script begins with 'local'"});
}

static int write_global(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    return sandbox_fail(
        s, (assay_failure){.where = sandbox_where(s),
                           .what = assay_text("assignment to undeclared global '%s'", name),
                           .hint = assay_text("write 'local %s = ...'", name)});
}

/* Pushes what a chunk sees as its globals: empty, reading the environment, refusing the rest. */
static void push_globals(lua_State *lua)
{
    lua_newtable(lua);
    lua_newtable(lua);
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &environment_key);
    lua_newtable(lua);
    lua_pushcfunction(lua, read_global);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, write_global);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, -2);
}

/* Runs a text of `file`, with one result. */
static void run_text(script *s, const char *file, const char *text, int64_t bytes)
{
    bool compiled = text[0] == LUA_SIGNATURE[0];
    if (compiled || strlen(text) != (size_t)bytes)
        sandbox_fail(s, (assay_failure){.where = file,
                                        .what = compiled ? "this is compiled Lua, which is not run"
                                                         : "there is a zero byte in the text",
                                        .expected = "the text of a script"});
    if (luaL_loadbufferx(s->lua, text, (size_t)bytes, assay_text("@%s", file), "t") != LUA_OK)
        lua_error(s->lua);
    push_globals(s->lua);
    lua_setupvalue(s->lua, -2, 1);
    lua_call(s->lua, 0, 1);
}

/* ---- require ---- */

static plan_source *find_source(const script *s, const char *name)
{
    for (int i = 0; i < s->source_count; i++)
        if (strcmp(s->sources[i].name, name) == 0)
            return &s->sources[i];
    return NULL;
}

bool sandbox_keep(script *s, const char *name, char *text, bool is_script)
{
    if (find_source(s, name) != NULL) { /* it failed before, and the script went on */
        assay_free(text);
        return true;
    }

    plan_source *grown = assay_zalloc((s->source_count + 1) * (int64_t)sizeof *grown, &s->error);
    char *copy = grown != NULL ? assay_strdup(name, &s->error) : NULL;
    if (copy == NULL) {
        assay_free(grown);
        assay_free(text);
        return false;
    }
    if (s->source_count > 0)
        memcpy(grown, s->sources, (size_t)s->source_count * sizeof *grown);
    grown[s->source_count++] = (plan_source){.name = copy, .text = text, .is_script = is_script};
    assay_free(s->sources);
    s->sources = grown;
    return true;
}

/* "masks.soft" to "masks/soft.lua"; false for a name that could leave the folder. */
static bool module_file(const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (n == 0 || n + 5 > size || name[0] == '.' || name[n - 1] == '.' ||
        strstr(name, "..") != NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!word && c != '.')
            return false;
        out[i] = c == '.' ? '/' : c;
    }
    memcpy(out + n, ".lua", 5);
    return true;
}

static int run_module(lua_State *lua)
{
    script *s = sandbox_script(lua);
    plan_source *of = lua_touserdata(lua, 1);
    run_text(s, of->name, of->text, (int64_t)strlen(of->text));
    return 1;
}

static int require_module(lua_State *lua)
{
    script *s = sandbox_script(lua);
    size_t length = 0;
    const char *where = sandbox_where(s), *name = luaL_checklstring(lua, 1, &length);
    char file[256], path[sizeof s->folder + sizeof file];
    int64_t bytes = 0;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &modules_key);
    lua_pushvalue(lua, 1);
    if (lua_rawget(lua, -2) != LUA_TNIL) {
        if (lua_islightuserdata(lua, -1))
            return sandbox_fail(
                s, (assay_failure){.where = where,
                                   .what = assay_text("module '%s' requires itself", name)});
        return 1;
    }
    lua_pop(lua, 1);
    if (strlen(name) != length || !module_file(name, file, sizeof file))
        return sandbox_fail(s,
                            (assay_failure){.where = where,
                                            .what = assay_text("bad module name '%.60s'", name),
                                            .expected = "a Lua file beside the script: 'name' or "
                                                        "'folder.name'"});
    assay_error failed = {0};
    snprintf(path, sizeof path, "%s/%s", s->folder, file);
    char *text = assay_read_file(path, MODULE_BYTES, &bytes, &failed);
    if (failed.code == ASSAY_NO_MEMORY) {
        s->error = failed;
        return sandbox_raise(s);
    }
    if (text == NULL)
        return sandbox_fail(
            s, (assay_failure){.where = where,
                               .what = assay_text("module '%s' cannot be read", name),
                               .expected = assay_text("%s beside the script", file),
                               .got = failed.got[0] != '\0' ? failed.got : failed.what});
    if (strlen(text) != (size_t)bytes) {
        assay_free(text);
        return sandbox_fail(s, (assay_failure){.where = file,
                                               .what = "there is a zero byte in the text",
                                               .expected = "the text of a script"});
    }
    if (!sandbox_keep(s, file, text, false))
        return sandbox_raise(s);
    lua_pushlightuserdata(lua, s); /* under way */
    lua_setfield(lua, -2, name);
    lua_pushcfunction(lua, run_module);
    lua_pushlightuserdata(lua, find_source(s, file));
    if (enter(lua, 1, 1) != LUA_OK) { /* it may be required again */
        lua_pushnil(lua);
        lua_setfield(lua, -3, name);
        return lua_error(lua);
    }
    if (lua_isnil(lua, -1)) {
        lua_pop(lua, 1);
        lua_pushboolean(lua, true);
    }
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -3, name);
    return 1;
}

/* ---- pcall, error ---- */

/* Lua's pcall, but for the limits, which end the script. */
static int protected_call(lua_State *lua)
{
    script *s = sandbox_script(lua);
    luaL_checkany(lua, 1);
    int status = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);
    if (status == LUA_ERRMEM && !s->spent)
        sandbox_full(s);
    if (s->spent)
        return lua_error(lua);
    if (status != LUA_OK)
        assay_error_clear(&s->error);
    s->stands = NULL;
    lua_pushboolean(lua, status == LUA_OK);
    lua_insert(lua, 1);
    return lua_gettop(lua);
}

static int fill_environment(lua_State *lua)
{
    script *s = sandbox_script(lua);
    lua_newtable(lua);
    lua_pushvalue(lua, -1);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &environment_key);
    library_fill(lua);
    lua_pushcfunction(lua, require_module);
    lua_setfield(lua, -2, "require");
    lua_pushcfunction(lua, protected_call);
    lua_setfield(lua, -2, "pcall");
    words_fill(s);
    lua_pop(lua, 1);
    lua_newtable(lua);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &modules_key);
    return 0;
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
    lua_pushcfunction(s->lua, fill_environment);
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
    run_text(s, of->file, of->text, of->bytes);
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
    int status = enter(s->lua, 1, 0);
    *out = of.value;
    return status == LUA_OK || take_failure(s, status, error);
}
