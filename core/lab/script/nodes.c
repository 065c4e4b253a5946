/* nodes.c - values of a script as nodes, and nodes as opaque values of Lua. */
#include "lab/script/script.h"

#include <lauxlib.h>
#include <string.h>

#define DEEPEST 16 /* lists within lists: more than any option has; a table may hold itself */

/* ---- memory ---- */

/* Words made by the script count as its memory, for they stay to the end. */
void *script_alloc(script *s, int64_t bytes)
{
    bytes = bytes > 0 ? bytes : 1;
    if (bytes > s->bytes_limit - s->bytes) {
        sandbox_full(s);
        return NULL;
    }
    void *block = assay_arena_alloc(s->arena, bytes, &s->error);
    if (block != NULL) {
        memset(block, 0, (size_t)bytes);
        s->bytes += bytes;
    }
    return block;
}

const char *script_text(script *s, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = script_alloc(s, (int64_t)bytes);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

node *node_new(script *s, node_type type, const char *where)
{
    node *made = script_alloc(s, (int64_t)sizeof *made);
    if (made != NULL) {
        made->type = type;
        made->where = where;
    }
    return made;
}

bool node_reserve(script *s, node *of, int count, bool with_keys)
{
    of->items = script_alloc(s, (int64_t)count * (int64_t)sizeof *of->items);
    of->keys = with_keys ? script_alloc(s, (int64_t)count * (int64_t)sizeof *of->keys) : NULL;
    return of->items != NULL && (!with_keys || of->keys != NULL);
}

node *node_get(const node *of, const char *key)
{
    for (int i = 0; i < of->count; i++)
        if (strcmp(of->keys[i], key) == 0)
            return of->items[i];
    return NULL;
}

/* ---- between Lua and C ---- */

void node_push(script *s, node *value)
{
    node **held = lua_newuserdatauv(s->lua, sizeof *held, 0);
    *held = value;
    luaL_setmetatable(s->lua, WORD_TYPE);
}

node *node_at(lua_State *lua, int index)
{
    node **held = luaL_testudata(lua, index, WORD_TYPE);
    return held != NULL ? *held : NULL;
}

static node *fail(script *s, const char *where, const char *what, const char *hint)
{
    ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = where, .what = what, .hint = hint);
    return NULL;
}

static node *value_of(script *s, int index, const char *where, int depth);

/* A name among the keys of a table that is to be a list, the first in order; NULL without one. */
static const char *name_in(lua_State *lua, int index)
{
    const char *first = NULL;
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
        const char *key = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : NULL;
        if (key != NULL && (first == NULL || strcmp(key, first) < 0))
            first = key;
    }
    return first;
}

/* A sequence 1 .. n and nothing else. */
static node *list_of(script *s, int index, const char *where, int depth)
{
    lua_State *lua = s->lua;
    lua_Integer n = (lua_Integer)lua_rawlen(lua, index), keys = 0;
    const char *name = name_in(lua, index);
    if (name != NULL)
        return fail(s, where, assay_text("a table with the name '%s' where a value is due", name),
                    "a list is { a, b, c }; a plugin's options come after its name");
    if (depth == DEEPEST)
        return fail(s, where, "lists are nested too deeply",
                    "a table that holds itself is no value");
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1))
        keys++;
    if (keys != n)
        return fail(s, where, "a list with holes", "a nil ends a list in Lua; 'none' is absence");
    node *list = node_new(s, NODE_LIST, where);
    if (list == NULL || !node_reserve(s, list, (int)n, false))
        return NULL;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(lua, index, i);
        list->items[list->count] = value_of(s, lua_gettop(lua), where, depth + 1);
        lua_pop(lua, 1);
        if (list->items[list->count++] == NULL)
            return NULL;
    }
    return list;
}

static node *text_of(script *s, int index, const char *where)
{
    size_t bytes = 0;
    const char *text = lua_tolstring(s->lua, index, &bytes);
    if (strlen(text) != bytes)
        return fail(s, where, "a text with a zero byte in it", NULL);
    node *made = node_new(s, NODE_TEXT, where);
    if (made == NULL || (made->text = script_text(s, text)) == NULL)
        return NULL;
    return made;
}

static node *number_of(script *s, int index, const char *where)
{
    node *made = node_new(s, NODE_NUMBER, where);
    if (made == NULL)
        return NULL;
    made->number = lua_tonumber(s->lua, index);
    if (lua_isinteger(s->lua, index) && (made->number >= 9223372036854775808.0 ||
                                         (lua_Integer)made->number != lua_tointeger(s->lua, index)))
        return fail(s, where, "a whole number so large that it is not exact",
                    "up to 2^53 every one is");
    return made;
}

static node *function_of(script *s, int index, const char *where)
{
    const char *defined = sandbox_defined(s, index);
    node *made = s->error.code == ASSAY_OK
                     ? node_new(s, NODE_FUNCTION, defined != NULL ? defined : where)
                     : NULL;
    if (made != NULL) {
        made->identity = lua_topointer(s->lua, index);
        lua_pushvalue(s->lua, index);
        made->reference = luaL_ref(s->lua, LUA_REGISTRYINDEX);
    }
    return made;
}

static node *value_of(script *s, int index, const char *where, int depth)
{
    node *made = NULL;
    lua_State *lua = s->lua;
    luaL_checkstack(lua, 8, "values nested too deeply");
    switch (lua_type(lua, index)) {
    case LUA_TBOOLEAN:
        if ((made = node_new(s, NODE_BOOL, where)) != NULL)
            made->number = lua_toboolean(lua, index);
        return made;
    case LUA_TNUMBER:
        return number_of(s, index, where);
    case LUA_TSTRING:
        return text_of(s, index, where);
    case LUA_TTABLE:
        return list_of(s, index, where, depth);
    case LUA_TFUNCTION:
        return function_of(s, index, where);
    default:
        made = node_at(lua, index);
        if (made == NULL)
            return fail(s, where, assay_text("a value cannot be a %s", luaL_typename(lua, index)),
                        NULL);
        /* The one `none` of the language stands in a place of its own every time. */
        return made->type == NODE_NONE ? node_new(s, NODE_NONE, where) : made;
    }
}

node *node_of(script *s, int index, const char *where)
{
    return value_of(s, index, where, 0);
}

/* The same of an option, where NULL is its default. */
static bool option_differs(const assay_option *option, const node *a, const node *b)
{
    if ((a == NULL) == (b == NULL))
        return node_differs(a, b);
    const node *given = a != NULL ? a : b;
    if (given->option != option)
        return given->type != NODE_NONE;
    char *text = setting_text(option, given->checked, NULL);
    bool equal = text != NULL && strcmp(text, option_default_text(option)) == 0;
    assay_free(text);
    return !equal;
}

bool node_differs(const node *a, const node *b)
{
    if (a == b)
        return false;
    if (a == NULL || b == NULL || a->type != b->type)
        return true;
    switch (a->type) {
    case NODE_NONE:
        return false;
    case NODE_BOOL:
    case NODE_NUMBER:
        return a->number != b->number;
    case NODE_TEXT:
        return strcmp(a->text, b->text) != 0;
    case NODE_FUNCTION:
        return a->identity != b->identity;
    case NODE_LIST:
        if (a->count != b->count)
            return true;
        for (int i = 0; i < a->count; i++)
            if (node_differs(a->items[i], b->items[i]))
                return true;
        return false;
    case NODE_PLUGIN:
        if (a->plugin != b->plugin)
            return true;
        for (int i = 0; i < a->plugin->option_count; i++) {
            const assay_option *option = &a->plugin->options[i];
            if (option_differs(option, node_get(a, option->name), node_get(b, option->name)))
                return true;
        }
        return false;
    default:
        return true; /* axes, stages, scores: each is itself */
    }
}

const char *node_describe(const node *value)
{
    switch (value->type) {
    case NODE_NONE:
        return "none";
    case NODE_BOOL:
        return value->number != 0 ? "true" : "false";
    case NODE_NUMBER:
        return assay_text("%.12g", value->number);
    case NODE_TEXT:
        return assay_text("'%s'", value->text);
    case NODE_LIST:
        return "a list";
    case NODE_FUNCTION:
        return "a function";
    case NODE_TABLE:
        return "a table";
    case NODE_PLUGIN:
        return assay_text("%s.%s", plugin_kind_name(value->kind), value->plugin->name);
    case NODE_ANY:
        return "an axis";
    case NODE_SAMPLE:
        return "a sampled axis";
    case NODE_SEEDS:
        return "seeds";
    case NODE_STAGE:
        return assay_text(value->split != NULL ? "the experiment '%s'" : "stage '%s'", value->text);
    case NODE_SCORE:
        return "a score";
    }
    return "a value";
}
