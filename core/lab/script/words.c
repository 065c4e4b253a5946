/* words.c - the words of the script language: KIND.NAME, any, zip, none, seeds, uniform,
 * log_uniform, choice (design section 4); stages.c has the others. Each checks its arguments
 * where it stands. */
#include "lab/script/script.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#define MOST_SEEDS    100000
#define MOST_COMPARED 1000 /* alternatives that are compared with each other */

/* ---- tables of named values ---- */

/* The table at `index` as a node with keys, sorted, for a plugin's options, train, a stage. nil
 * is never among them. Values are read in the order of the keys, so that the first wrong one is
 * the same in every start. */
node *words_table(script *s, int index, node_type type, const char *owner, const char *where)
{
    lua_State *lua = s->lua;
    int n = 0;
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1), n++)
        if (lua_type(lua, -2) != LUA_TSTRING)
            sandbox_fail(s, (assay_failure){.where = where,
                                            .what = assay_text("%s takes options by name", owner),
                                            .expected = "{ name = value, ... }",
                                            .got = "a value without a name"});
    node *table = node_new(s, type, where);
    if (table == NULL || !node_reserve(s, table, n, true))
        sandbox_raise(s);
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
        const char *key = script_text(s, lua_tostring(lua, -2));
        if (key == NULL)
            sandbox_raise(s);
        int at = table->count++;
        for (; at > 0 && strcmp(table->keys[at - 1], key) > 0; at--)
            table->keys[at] = table->keys[at - 1];
        table->keys[at] = key;
    }
    for (int i = 0; i < n; i++) {
        lua_getfield(lua, index, table->keys[i]);
        table->items[i] = node_of(s, lua_gettop(lua), where);
        lua_pop(lua, 1);
        if (table->items[i] == NULL)
            sandbox_raise(s);
    }
    return table;
}

/* The one argument of a word, a table. */
void words_take_table(script *s, const char *word, const char *where)
{
    if (lua_gettop(s->lua) != 1 || !lua_istable(s->lua, 1))
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = assay_text("%s takes one table", word),
                                        .expected = assay_text("%s { ... }", word),
                                        .got = lua_gettop(s->lua) == 0 ? "nothing"
                                                                       : luaL_typename(s->lua, 1)});
}

/* ---- KIND.NAME { ... } ---- */

static bool check_options(script *s, node *use)
{
    settings shape = {0};
    const plugin *of = use->plugin;
    const char *owner = script_text(s, node_describe(use));
    bool ok = owner != NULL && settings_defaults(&shape, of, &s->error);
    for (int i = 0; i < use->count && ok; i++) {
        int at = settings_find(&shape, use->keys[i], use->where, &s->error);
        ok = at >= 0 && check_value(s, &of->options[at], use->items[i], owner);
    }
    for (int i = 0; i < of->option_count && ok; i++)
        if ((of->options[i].flags & ASSAY_OPTION_REQUIRED) != 0 &&
            node_get(use, of->options[i].name) == NULL)
            ok = ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = use->where,
                            .what =
                                assay_text("%s needs the option '%s'", owner, of->options[i].name),
                            .expected = assay_text("%s: %s", option_type_name(of->options[i].type),
                                                   of->options[i].meaning));
    settings_clear(&shape);
    return ok;
}

/* Upvalues: the kind, the plugin's name. */
static int construct(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    assay_kind kind = (assay_kind)lua_tointeger(lua, lua_upvalueindex(1));
    const char *name = lua_tostring(lua, lua_upvalueindex(2));
    const plugin *found = registry_find(s->request->registry, kind, name);
    char word[80];
    snprintf(word, sizeof word, "%s.%s", plugin_kind_name(kind), name);
    words_take_table(s, word, where);
    node *use = words_table(s, 1, NODE_PLUGIN, word, where);
    use->plugin = found;
    use->kind = kind;
    s->stands = where;
    if (!check_options(s, use))
        sandbox_raise(s);
    s->stands = NULL;
    node_push(s, use);
    return 1;
}

/* mask.ggsm: the constructor of that plugin. Upvalue: the kind. */
static int find_constructor(lua_State *lua)
{
    script *s = sandbox_script(lua);
    assay_kind kind = (assay_kind)lua_tointeger(lua, lua_upvalueindex(1));
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    if (registry_get(s->request->registry, kind, name, &s->error) == NULL) {
        const char *where = sandbox_where(s);
        snprintf(s->error.where, sizeof s->error.where, "%s", where);
        return sandbox_raise(s);
    }
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_pushvalue(lua, 2);
    lua_pushcclosure(lua, construct, 2);
    return 1;
}

static int refuse_write(lua_State *lua)
{
    script *s = sandbox_script(lua);
    return sandbox_fail(s, (assay_failure){.where = sandbox_where(s),
                                           .what = "this table belongs to the language"});
}

/* A table that finds constructors, as the environment's field of the kind's name. */
static void add_kind(lua_State *lua, assay_kind kind)
{
    lua_newtable(lua);
    lua_newtable(lua);
    lua_pushinteger(lua, kind);
    lua_pushcclosure(lua, find_constructor, 1);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_write);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, -2);
    lua_setfield(lua, -2, plugin_kind_name(kind));
}

/* ---- axes ---- */

static choice *new_choice(script *s, int count)
{
    choice *made = script_alloc(s, (int64_t)sizeof *made);
    if (made == NULL)
        sandbox_raise(s);
    *made = (choice){.count = count, .chosen = -1};
    return made;
}

/* The list of alternatives as an axis; `shared` is a zip's choice or NULL. */
static node *axis_of(script *s, node *list, choice *shared)
{
    list->type = NODE_ANY;
    list->choice = shared != NULL ? shared : new_choice(s, list->count);
    return list;
}

/* Whether an axis stands somewhere in a value. `deep` false: only as the value or an item of it. */
static bool holds_axis(const node *value, bool deep)
{
    if (value->type == NODE_ANY || value->type == NODE_SAMPLE)
        return true;
    bool enter = value->type == NODE_LIST ||
                 (deep && (value->type == NODE_PLUGIN || value->type == NODE_STAGE ||
                           value->type == NODE_TABLE || value->type == NODE_SCORE));
    for (int i = 0; enter && i < value->count; i++)
        if (holds_axis(value->items[i], deep))
            return true;
    return false;
}

/* The alternatives of an axis. An axis that was an alternative itself would have the same name. */
static node *take_alternatives(script *s, const char *word, const char *where)
{
    words_take_table(s, word, where);
    node *list = node_of(s, 1, where);
    if (list == NULL)
        sandbox_raise(s);
    if (list->count == 0)
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = assay_text("%s { } has no alternatives", word)});
    for (int i = 0; i < list->count; i++)
        if (list->items[i]->type == NODE_ANY || list->items[i]->type == NODE_SAMPLE)
            sandbox_fail(s, (assay_failure){
                                .where = where,
                                .what = assay_text("an alternative of %s is itself an axis", word),
                                .hint = "all its values stand in one list"});
    return list;
}

static int any_of(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    node *list = take_alternatives(s, "any", where);
    for (int i = 0; i < list->count; i++)
        for (int k = 0; k < i && list->count <= MOST_COMPARED; k++)
            if (!node_differs(list->items[k], list->items[i]))
                sandbox_fail(s, (assay_failure){.where = where,
                                                .what = "any { } has an alternative twice",
                                                .expected = "values that differ",
                                                .got = assay_text("%s, numbers %d and %d",
                                                                  node_describe(list->items[i]),
                                                                  k + 1, i + 1)});
    node_push(s, axis_of(s, list, NULL));
    return 1;
}

/* A field that a zip does not have. */
static int read_zip(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *names[64], *field = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    int n = 0;
    for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1))
        if (n < 64)
            names[n++] = lua_tostring(lua, -2);
    const char *near = assay_nearest(field, n, names);
    return sandbox_fail(
        s, (assay_failure){.where = sandbox_where(s),
                           .what = assay_text("this zip has no field '%s'", field),
                           .hint = near != NULL ? assay_text("did you mean '%s'?", near) : NULL});
}

static int zip_of(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    words_take_table(s, "zip", where);
    node *fields = words_table(s, 1, NODE_TABLE, "zip", where);
    choice *shared = NULL;
    if (fields->count == 0)
        sandbox_fail(s, (assay_failure){.where = where, .what = "zip { } has no fields"});
    lua_newtable(lua);
    for (int i = 0; i < fields->count; i++) {
        node *list = fields->items[i];
        if (list->type != NODE_LIST || list->count == 0)
            sandbox_fail(s,
                         (assay_failure){.where = where,
                                         .what = assay_text("zip.%s is no list", fields->keys[i]),
                                         .expected = "values that move together",
                                         .got = node_describe(list)});
        if (shared != NULL && list->count != shared->count)
            sandbox_fail(
                s, (assay_failure){.where = where,
                                   .what = "the lists of a zip differ in length",
                                   .expected = assay_text("%d values, as in '%s'", shared->count,
                                                          fields->keys[0]),
                                   .got = assay_text("%d in '%s'", list->count, fields->keys[i])});
        if (shared == NULL)
            shared = new_choice(s, list->count);
        if (holds_axis(list, false))
            sandbox_fail(s,
                         (assay_failure){.where = where,
                                         .what = assay_text("a value of zip.%s is itself an axis",
                                                            fields->keys[i])});
        node_push(s, axis_of(s, list, shared));
        lua_setfield(lua, -2, fields->keys[i]);
    }
    lua_newtable(lua);
    lua_pushcfunction(lua, read_zip);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_write);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, -2);
    return 1;
}

/* ---- sampled axes ---- */

static int draw_between(lua_State *lua, const char *word, distribution how)
{
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    bool numbers =
        lua_gettop(lua) == 2 && lua_type(lua, 1) == LUA_TNUMBER && lua_type(lua, 2) == LUA_TNUMBER;
    double low = lua_tonumber(lua, 1), high = lua_tonumber(lua, 2);
    if (!numbers || !isfinite(low) || !isfinite(high) || low >= high ||
        (how == DRAW_LOG_UNIFORM && low <= 0))
        sandbox_fail(s,
                     (assay_failure){.where = where,
                                     .what = assay_text("%s has a bad range", word),
                                     .expected = how == DRAW_UNIFORM
                                                     ? "two numbers, the smaller first"
                                                     : "two numbers above 0, the smaller first"});
    node *made = node_new(s, NODE_SAMPLE, where);
    if (made == NULL)
        sandbox_raise(s);
    made->draw = how;
    made->low = low;
    made->high = high;
    node_push(s, made);
    return 1;
}

static int uniform(lua_State *lua)
{
    return draw_between(lua, "uniform", DRAW_UNIFORM);
}

static int log_uniform(lua_State *lua)
{
    return draw_between(lua, "log_uniform", DRAW_LOG_UNIFORM);
}

static int choice_of(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    node *list = take_alternatives(s, "choice", where);
    for (int i = 0; i < list->count; i++)
        if (holds_axis(list->items[i], true))
            sandbox_fail(s, (assay_failure){.where = where,
                                            .what = "an axis inside an alternative of choice",
                                            .hint = "which trials have it would be drawn, too; "
                                                    "any { } can hold axes"});
    list->type = NODE_SAMPLE;
    list->draw = DRAW_CHOICE;
    node_push(s, list);
    return 1;
}

/* ---- seeds ---- */

static int seeds(lua_State *lua)
{
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    int whole = 0;
    lua_Integer n = lua_tointegerx(lua, 1, &whole);
    if (lua_gettop(lua) != 1 || lua_type(lua, 1) != LUA_TNUMBER || !whole || n < 1 ||
        n > MOST_SEEDS)
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = "seeds takes one whole number",
                                        .expected = assay_text("1 .. %d", MOST_SEEDS)});
    node *made = node_new(s, NODE_SEEDS, where);
    if (made == NULL || !node_reserve(s, made, (int)n, false))
        sandbox_raise(s);
    for (int i = 0; i < n; i++) {
        made->items[i] = node_new(s, NODE_NUMBER, where);
        if (made->items[i] == NULL)
            sandbox_raise(s);
        made->items[i]->number = i + 1;
        made->count++;
    }
    node_push(s, made);
    return 1;
}

/* ---- the whole ---- */

/* What cannot be done with a word: it has no value while the script is read. */
static int refuse_operation(lua_State *lua)
{
    script *s = sandbox_script(lua);
    node *word = node_at(lua, 1);
    if (word == NULL)
        word = node_at(lua, 2);
    return sandbox_fail(
        s, (assay_failure){.where = sandbox_where(s),
                           .what = assay_text("%s cannot be computed with",
                                              word != NULL ? node_describe(word) : "this"),
                           .hint = "it has no value yet; compute what goes into it"});
}

void words_fill(script *s)
{
    static const char *const operations[] = {"__add", "__sub",    "__mul",  "__div", "__mod",
                                             "__pow", "__unm",    "__idiv", "__lt",  "__le",
                                             "__len", "__concat", "__call"};
    static const luaL_Reg words[] = {
        {"any", any_of},
        {"zip", zip_of},
        {"choice", choice_of},
        {"uniform", uniform},
        {"log_uniform", log_uniform},
        {"seeds", seeds},
        {"run", stages_run},
        {"experiment", stages_experiment},
    };
    lua_State *lua = s->lua;
    luaL_newmetatable(lua, WORD_TYPE);
    lua_pushcfunction(lua, stages_ask);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_write);
    lua_setfield(lua, -2, "__newindex");
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        lua_pushcfunction(lua, refuse_operation);
        lua_setfield(lua, -2, operations[i]);
    }
    lua_pop(lua, 1);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        lua_pushcfunction(lua, words[i].func);
        lua_setfield(lua, -2, words[i].name);
    }
    for (int kind = 0; kind < ASSAY_KINDS; kind++)
        add_kind(lua, (assay_kind)kind);
    s->none = node_new(s, NODE_NONE, s->file);
    if (s->none == NULL)
        sandbox_raise(s);
    node_push(s, s->none);
    lua_setfield(lua, -2, "none");
}
