/* library.c - what of Lua's libraries a script has: the parts whose answers depend on their
 * arguments alone, and whose time and memory the sandbox can bound.
 *
 * Texts show no addresses, pairs goes in sorted order, and a pattern that could backtrack for years
 * is refused: matching does not count as instructions. */
#include "lab/script/script.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_COST 1e9 /* steps that a match may take at the worst */

static int refuse(lua_State *lua, const char *what, const char *hint)
{
    script *s = sandbox_script(lua);
    return sandbox_fail(s, (assay_failure){.where = sandbox_where(s), .what = what, .hint = hint});
}

/* ---- pairs, in order ---- */

/* Integers, floats among them by value, then texts by bytes, then false and true. */
static int rank_of(lua_State *lua, int index)
{
    switch (lua_type(lua, index)) {
    case LUA_TNUMBER:
        return 0;
    case LUA_TSTRING:
        return 1;
    case LUA_TBOOLEAN:
        return 2;
    default:
        return 3;
    }
}

static bool comes_before(lua_State *lua, int a, int b)
{
    int rank_a = rank_of(lua, a), rank_b = rank_of(lua, b);
    if (rank_a != rank_b)
        return rank_a < rank_b;
    if (rank_a == 2)
        return !lua_toboolean(lua, a) && lua_toboolean(lua, b);
    if (rank_a == 0)
        return lua_compare(lua, a, b, LUA_OPLT);
    size_t n = 0, m = 0;
    const char *x = lua_tolstring(lua, a, &n), *y = lua_tolstring(lua, b, &m);
    int order = memcmp(x, y, n < m ? n : m);
    return order != 0 ? order < 0 : n < m;
}

/* The keys at index `keys`, 1 .. n, sorted by merging runs through `spare`. */
static void sort_keys(lua_State *lua, int keys, int spare, lua_Integer n)
{
    for (lua_Integer width = 1; width < n; width *= 2) {
        for (lua_Integer first = 1; first <= n; first += 2 * width) {
            lua_Integer a = first, end_a = first + width < n + 1 ? first + width : n + 1;
            lua_Integer b = end_a, end_b = first + 2 * width < n + 1 ? first + 2 * width : n + 1;
            for (lua_Integer k = first; k < end_b; k++) {
                bool left = a < end_a;
                if (left && b < end_b) {
                    lua_rawgeti(lua, keys, b);
                    lua_rawgeti(lua, keys, a);
                    left = !comes_before(lua, -2, -1);
                    lua_pop(lua, 2);
                }
                lua_rawgeti(lua, keys, left ? a++ : b++);
                lua_rawseti(lua, spare, k);
            }
        }
        for (lua_Integer k = 1; k <= n; k++) {
            lua_rawgeti(lua, spare, k);
            lua_rawseti(lua, keys, k);
        }
    }
}

/* Upvalues: the table, its sorted keys, the place. */
static int next_pair(lua_State *lua)
{
    for (;;) {
        lua_Integer at = lua_tointeger(lua, lua_upvalueindex(3)) + 1;
        lua_pushinteger(lua, at);
        lua_replace(lua, lua_upvalueindex(3));
        if (lua_rawgeti(lua, lua_upvalueindex(2), at) == LUA_TNIL)
            return 1;
        lua_pushvalue(lua, -1);
        if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL)
            return 2;
        lua_pop(lua, 2); /* removed on the way */
    }
}

static int sorted_pairs(lua_State *lua)
{
    lua_Integer n = 0;
    luaL_checktype(lua, 1, LUA_TTABLE);
    sandbox_check_time(lua);
    lua_settop(lua, 1);
    lua_newtable(lua);
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1)) {
        if (rank_of(lua, -2) == 3)
            return refuse(
                lua, assay_text("pairs cannot order a key that is a %s", luaL_typename(lua, -2)),
                "keys that are numbers or texts have an order");
        lua_pushvalue(lua, -2);
        lua_rawseti(lua, 2, ++n);
    }
    lua_newtable(lua);
    sort_keys(lua, 2, 3, n);
    lua_settop(lua, 2);
    lua_pushinteger(lua, 0);
    lua_pushcclosure(lua, next_pair, 3);
    return 1;
}

/* ---- wrappers ---- */

/* Calls the library's function that the wrapper has as its upvalue, with the wrapper's
 * arguments. */
static int call_wrapped(lua_State *lua)
{
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, LUA_MULTRET);
    return lua_gettop(lua);
}

/* ---- texts without addresses ---- */

static bool has_text(lua_State *lua, int index)
{
    int type = lua_type(lua, index);
    return type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TBOOLEAN || type == LUA_TNIL;
}

static int to_text(lua_State *lua)
{
    luaL_checkany(lua, 1);
    if (has_text(lua, 1))
        luaL_tolstring(lua, 1, NULL);
    else
        lua_pushstring(lua, node_at(lua, 1) != NULL ? node_describe(node_at(lua, 1))
                                                    : luaL_typename(lua, 1));
    return 1;
}

/* Upvalue: Lua's string.format. */
static int format_text(lua_State *lua)
{
    size_t bytes = 0;
    const char *format = luaL_checklstring(lua, 1, &bytes), *end = format + bytes;
    for (const char *c = format; (c = memchr(c, '%', (size_t)(end - c))) != NULL;) {
        size_t flags = strspn(c + 1, "-+ #0123456789.");
        if (c[1 + flags] == 'p')
            return refuse(lua, "'%p' is not there in a script", "addresses differ every time");
        c += 1 + flags + (c + 1 + flags < end);
    }
    for (int i = 2; i <= lua_gettop(lua); i++)
        if (!has_text(lua, i))
            return refuse(lua, assay_text("string.format takes no %s", luaL_typename(lua, i)),
                          NULL);
    return call_wrapped(lua);
}

/* ---- patterns that end ---- */

/* Past a set "[^]%w]" whose '[' is at `i`. */
static size_t end_of_set(const char *pattern, size_t length, size_t i)
{
    i++;
    if (i < length && pattern[i] == '^')
        i++;
    do {
        i += i < length && pattern[i] == '%' ? 2 : 1;
    } while (i < length && pattern[i] != ']');
    return i + 1;
}

/* The most steps that one call can take. With k quantifiers a match of n bytes is tried in up to
 * n^k ways from each of n places (from one, when anchored), each over the length of the pattern;
 * %b and back references look over the text once more. */
static double cost_of(const char *pattern, size_t length, size_t bytes, bool everywhere)
{
    double n = (double)bytes + 1, ways = (double)length + 1;
    bool looks_on = false;
    if (everywhere || length == 0 || pattern[0] != '^')
        ways *= n;
    for (size_t i = 0; i < length;) {
        char c = pattern[i];
        if (c == '%' && i + 1 < length) {
            looks_on = looks_on || pattern[i + 1] == 'b' ||
                       (pattern[i + 1] >= '0' && pattern[i + 1] <= '9');
            i += pattern[i + 1] == 'b' ? 4 : 2;
        } else if (c == '[') {
            i = end_of_set(pattern, length, i);
        } else {
            ways *= c == '*' || c == '+' || c == '-' ? n : c == '?' ? 2 : 1;
            i++;
        }
    }
    return looks_on ? ways * n : ways;
}

/* Upvalues: find, match, gmatch or gsub; whether '^' is no anchor to it. */
static int bounded_pattern(lua_State *lua)
{
    size_t bytes = 0, length = 0;
    luaL_checklstring(lua, 1, &bytes);
    const char *pattern = luaL_checklstring(lua, 2, &length);
    bool everywhere = lua_toboolean(lua, lua_upvalueindex(2));
    if (cost_of(pattern, length, bytes, everywhere) > PATTERN_COST)
        return refuse(lua, "this pattern could take too long on so long a text",
                      "fewer of * + - in the pattern, '^' at its start, or a shorter text");
    sandbox_check_time(lua);
    return call_wrapped(lua);
}

/* Upvalue: Lua's string.rep, which counts to any number when the text is empty. */
static int bounded_repeat(lua_State *lua)
{
    size_t bytes = 0, between = 0;
    luaL_checklstring(lua, 1, &bytes);
    double times = (double)luaL_checkinteger(lua, 2);
    luaL_optlstring(lua, 3, "", &between);
    if (times * (double)(bytes + between + 1) > (double)sandbox_script(lua)->bytes_limit)
        return refuse(lua, "string.rep makes too long a text", NULL);
    return call_wrapped(lua);
}

/* Upvalue: table.concat or table.sort, which walk their table in C. */
static int counted_walk(lua_State *lua)
{
    sandbox_check_time(lua);
    if (lua_istable(lua, 1))
        sandbox_charge(lua, (double)lua_rawlen(lua, 1));
    return call_wrapped(lua);
}

/* Upvalue: table.insert or table.remove, which move what lies behind a place that is given. */
static int counted_shift(lua_State *lua)
{
    double length = lua_istable(lua, 1) ? (double)lua_rawlen(lua, 1) : 0;
    if (lua_gettop(lua) > 1 && lua_isinteger(lua, 2) && length > (double)lua_tointeger(lua, 2))
        sandbox_charge(lua, length - (double)lua_tointeger(lua, 2));
    return call_wrapped(lua);
}

/* Upvalue: table.unpack, whose range is its arguments'. */
static int counted_unpack(lua_State *lua)
{
    lua_Integer first = luaL_optinteger(lua, 2, 1);
    lua_Integer last =
        lua_isnoneornil(lua, 3) ? (lua_Integer)lua_rawlen(lua, 1) : luaL_checkinteger(lua, 3);
    if (last >= first)
        sandbox_charge(lua, (double)last - (double)first);
    return call_wrapped(lua);
}

/* Wraps fields of the library on top of the stack. */
static void wrap(lua_State *lua, const char *name, lua_CFunction with)
{
    lua_getfield(lua, -1, name);
    lua_pushcclosure(lua, with, 1);
    lua_setfield(lua, -2, name);
}

static void drop(lua_State *lua, const char *name)
{
    lua_pushnil(lua);
    lua_setfield(lua, -2, name);
}

/* ---- env ---- */

/* env(name, default): a variable of the environment as text; without it, the default. */
static int read_environment(lua_State *lua)
{
    const char *value = getenv(luaL_checkstring(lua, 1));
    if (value != NULL)
        lua_pushstring(lua, value);
    else if (lua_gettop(lua) >= 2)
        lua_settop(lua, 2);
    else
        return refuse(lua, assay_text("%s is not set in the environment", lua_tostring(lua, 1)),
                      "env(name, default) gives a default");
    return 1;
}

/* ---- the whole ---- */

/* Opens one of Lua's libraries into the field of the environment, which is on top. */
static void open_library(lua_State *lua, const char *name, lua_CFunction open)
{
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 1);
}

/* A library whose unknown fields are errors, as unknown globals are. Upvalue: its name. */
static int read_field(lua_State *lua)
{
    const char *library = lua_tostring(lua, lua_upvalueindex(1));
    const char *field = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    return refuse(lua, assay_text("'%s.%s' is not there in a script", library, field), NULL);
}

static void close_library(lua_State *lua, const char *name)
{
    lua_newtable(lua);
    lua_pushstring(lua, name);
    lua_pushcclosure(lua, read_field, 1);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    lua_setfield(lua, -2, name);
}

static void fill_basic(lua_State *lua)
{
    static const char *const kept[] = {"assert", "error", "ipairs", "select", "tonumber", "type"};
    open_library(lua, "_G", luaopen_base);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        lua_getfield(lua, -1, kept[i]);
        lua_setfield(lua, -3, kept[i]);
    }
    lua_pop(lua, 1);
    lua_pushcfunction(lua, sorted_pairs);
    lua_setfield(lua, -2, "pairs");
    lua_pushcfunction(lua, to_text);
    lua_setfield(lua, -2, "tostring");
    lua_pushcfunction(lua, read_environment);
    lua_setfield(lua, -2, "env");
}

static void fill_string(lua_State *lua)
{
    static const char *const matching[] = {"find", "match", "gmatch", "gsub"};
    open_library(lua, LUA_STRLIBNAME, luaopen_string);
    drop(lua, "dump");
    wrap(lua, "format", format_text);
    wrap(lua, "rep", bounded_repeat);
    for (size_t i = 0; i < sizeof matching / sizeof *matching; i++) {
        lua_getfield(lua, -1, matching[i]);
        lua_pushboolean(lua, strcmp(matching[i], "gmatch") == 0);
        lua_pushcclosure(lua, bounded_pattern, 2);
        lua_setfield(lua, -2, matching[i]);
    }
    close_library(lua, LUA_STRLIBNAME);
}

void library_fill(lua_State *lua)
{
    static const char *const walking[] = {"concat", "sort"}, *const shifting[] = {"insert",
                                                                                  "remove"};
    fill_basic(lua);
    fill_string(lua);
    open_library(lua, LUA_MATHLIBNAME, luaopen_math);
    drop(lua, "random");
    drop(lua, "randomseed");
    close_library(lua, LUA_MATHLIBNAME);
    open_library(lua, LUA_TABLIBNAME, luaopen_table);
    drop(lua, "move"); /* counts through any range */
    for (int i = 0; i < 2; i++) {
        wrap(lua, walking[i], counted_walk);
        wrap(lua, shifting[i], counted_shift);
    }
    wrap(lua, "unpack", counted_unpack);
    close_library(lua, LUA_TABLIBNAME);
    open_library(lua, LUA_UTF8LIBNAME, luaopen_utf8);
    close_library(lua, LUA_UTF8LIBNAME);
}
