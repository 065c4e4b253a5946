/* stages.c - the words that make stages: run { ... }, experiment { ... }, and stage:score (design
 * section 4). */
#include "lab/script/script.h"

#include <lauxlib.h>
#include <string.h>

/* `train = { ... }` is a table of names where every other table is a list: it is made a word before
 * the stage is read. */
static void convert_train(script *s, const char *where)
{
    lua_State *lua = s->lua;
    if (lua_getfield(lua, 1, "train") == LUA_TTABLE) {
        int at = lua_gettop(lua);
        node_push(s, words_table(s, at, NODE_TABLE, "train", where));
        lua_setfield(lua, 1, "train");
    }
    lua_pop(lua, 1);
}

/* A point would make paths ambiguous that begin with a stage's name. */
static bool is_name(const char *text, bool points)
{
    size_t n = strlen(text);
    return n > 0 && n <= 100 && (points || strchr(text, '.') == NULL) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

static node *stage_of(script *s, const char *word, const char *where)
{
    words_take_table(s, word, where);
    /* The script's own table stays as it is. */
    lua_newtable(s->lua);
    for (lua_pushnil(s->lua); lua_next(s->lua, 1) != 0; lua_pop(s->lua, 1)) {
        lua_pushvalue(s->lua, -2);
        lua_pushvalue(s->lua, -2);
        lua_rawset(s->lua, 2);
    }
    lua_replace(s->lua, 1);
    convert_train(s, where);
    node *stage = words_table(s, 1, NODE_STAGE, word, where);
    node *name = node_get(stage, "name");
    bool points = strcmp(word, "experiment") == 0;
    if (name == NULL || name->type != NODE_TEXT || !is_name(name->text, points)) {
        /* A key that is not known may be the name that is missing. */
        for (int i = 0; i < stage->count; i++)
            if (!check_key(s, stage->keys[i], stage->items[i], word, where))
                sandbox_raise(s);
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = assay_text("%s needs a name", word),
                                        .expected = points ? "letters, digits, '_', '-' and '.'"
                                                           : "letters, digits, '_' and '-'",
                                        .got = name != NULL ? node_describe(name) : NULL});
    }
    stage->text = name->text;
    stage->order = s->stage_count++;
    if (strcmp(word, "run") == 0 && strcmp(stage->text, "main") == 0)
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = "a stage cannot be called 'main'",
                                        .hint = "that is the experiment's own stage"});
    s->stands = where;
    if (!check_stage(s, stage, word))
        sandbox_raise(s);
    s->stands = NULL;
    return stage;
}

int stages_run(lua_State *lua)
{
    script *s = sandbox_script(lua);
    node_push(s, stage_of(s, "run", sandbox_where(s)));
    return 1;
}

int stages_experiment(lua_State *lua)
{
    script *s = sandbox_script(lua);
    node *stage = stage_of(s, "experiment", sandbox_where(s));
    stage->split = "main";
    node_push(s, stage);
    return 1;
}

/* ---- stage:score ---- */

static int parts_of(const char *path)
{
    int parts = 1;
    if (path[0] == '\0' || path[0] == '/' || path[strlen(path) - 1] == '/' ||
        strstr(path, "//") != NULL || strchr(path, '@') != NULL || strlen(path) > 200)
        return 0;
    for (const char *c = path; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ')
            return 0;
        parts += *c == '/';
    }
    return parts;
}

static int score_of(lua_State *lua)
{
    static const char *const splits[] = {"pretrain", "train", "valid", "test"};
    script *s = sandbox_script(lua);
    const char *where = sandbox_where(s);
    node *stage = node_at(lua, 1);
    const char *path = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "";
    const char *split = lua_isnoneornil(lua, 3)           ? "valid"
                        : lua_type(lua, 3) == LUA_TSTRING ? lua_tostring(lua, 3)
                                                          : "";
    int known = 0;
    if (stage == NULL || stage->type != NODE_STAGE || stage->split != NULL)
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = "only a stage has a score",
                                        .expected = "STAGE:score(\"SUITE/METRIC\")"});
    if (parts_of(path) < 2 || parts_of(path) > 3)
        sandbox_fail(s,
                     (assay_failure){.where = where,
                                     .what = "bad path of a score",
                                     .expected = "\"SUITE/METRIC\" or \"SUITE/BENCHMARK/METRIC\"",
                                     .got = assay_text("'%s'", path)});
    for (int i = 0; i < 4; i++)
        known |= strcmp(split, splits[i]) == 0;
    if (!known)
        sandbox_fail(s, (assay_failure){.where = where,
                                        .what = "no such split",
                                        .expected = "pretrain, train, valid or test",
                                        .got = assay_text("'%s'", split)});
    node *made = node_new(s, NODE_SCORE, where);
    if (made == NULL || !node_reserve(s, made, 1, false) ||
        (made->text = script_text(s, path)) == NULL ||
        (made->split = script_text(s, split)) == NULL)
        sandbox_raise(s);
    made->items[made->count++] = stage;
    node_push(s, made);
    return 1;
}

int stages_ask(lua_State *lua)
{
    script *s = sandbox_script(lua);
    node *asked = node_at(lua, 1);
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    if (asked != NULL && asked->type == NODE_STAGE && strcmp(name, "score") == 0) {
        lua_pushcfunction(lua, score_of);
        return 1;
    }
    return sandbox_fail(
        s, (assay_failure){.where = sandbox_where(s),
                           .what = assay_text("%s has no field '%s'",
                                              asked != NULL ? node_describe(asked) : "this", name),
                           .hint = asked != NULL && asked->type == NODE_STAGE
                                       ? "a stage has score: stage:score(\"SUITE/METRIC\")"
                                       : NULL});
}
