/* nodes.c - values of a script as nodes, and nodes as opaque values of Lua. */
#include "lab/script/script.h"

#include <lauxlib.h>
#include <string.h>

#define DEEPEST 16 /* lists within lists: more than any option has; a table may hold itself */

static const char word_type[] = "assay word";

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
    luaL_setmetatable(s->lua, word_type);
}

node *node_at(lua_State *lua, int index)
{
    node **held = luaL_testudata(lua, index, word_type);
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

static node *value_of(script *s, int index, const char *where, int depth)
{
    lua_State *lua = s->lua;
    node *made = NULL;
    luaL_checkstack(lua, 8, "values nested too deeply");
    switch (lua_type(lua, index)) {
    case LUA_TBOOLEAN:
        if ((made = node_new(s, NODE_BOOL, where)) != NULL)
            made->number = lua_toboolean(lua, index);
        return made;
    case LUA_TNUMBER:
        if ((made = node_new(s, NODE_NUMBER, where)) != NULL)
            made->number = lua_tonumber(lua, index);
        return made;
    case LUA_TSTRING:
        return text_of(s, index, where);
    case LUA_TTABLE:
        return list_of(s, index, where, depth);
    case LUA_TFUNCTION:
        if ((made = node_new(s, NODE_FUNCTION, where)) != NULL) {
            lua_pushvalue(lua, index);
            made->reference = luaL_ref(lua, LUA_REGISTRYINDEX);
        }
        return made;
    default:
        if (node_at(lua, index) != NULL)
            return node_at(lua, index);
        return fail(s, where, assay_text("a value cannot be a %s", luaL_typename(lua, index)),
                    NULL);
    }
}

node *node_of(script *s, int index, const char *where)
{
    return value_of(s, index, where, 0);
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
        return assay_text("stage '%s'", value->text);
    case NODE_SCORE:
        return "a score";
    }
    return "a value";
}
