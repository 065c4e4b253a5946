/* environment.c - what a script's text sees: globals that are read and never written, require of
 * files beside the script, and a pcall that hides no limit. */
#include "lab/script/script.h"

#include <assay/file.h>

#include <lauxlib.h>
#include <string.h>

#define MODULE_BYTES (4LL << 20)

static const char environment_key = 0, modules_key = 0;

/* ---- globals ---- */

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

void sandbox_run_text(script *s, const char *file, const char *text, int64_t bytes)
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
    sandbox_run_text(s, of->name, of->text, (int64_t)strlen(of->text));
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
    if (sandbox_enter(lua, 1, 1) != LUA_OK) { /* it may be required again */
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

int sandbox_fill(lua_State *lua)
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
