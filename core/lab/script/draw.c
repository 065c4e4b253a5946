/* draw.c - values that a script leaves to the program: seeds, samples of trials, and the curves of
 * its functions. */
#include "lab/script/script.h"

#include <assay/random.h>

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_STEPS 10000000 /* that a function is called for */

/* ---- seeds and trials ---- */

static bool take_seeds(resolver *r, const node *value, int64_t **out, int *count)
{
    int n = value->type == NODE_NUMBER ? 1 : value->count;
    *out = script_alloc(r->script, n * (int64_t)sizeof **out);
    if (*out == NULL)
        return false;
    for (int i = 0; i < n; i++)
        (*out)[i] = (int64_t)(value->type == NODE_NUMBER ? value->number : value->items[i]->number);
    *count = n;
    return true;
}

bool resolve_seeds(resolver *r)
{
    script *s = r->script;
    enum { STANDARD = 6 }; /* the fewest with which a two-sided sign-flip test can reach 0.05 */
    bool overridden = false;
    node *value = choose_written(s, "seed", node_get(s->experiment, "seed"), &overridden);
    if (value != NULL) {
        r->seed_origin = overridden ? SETTING_COMMAND_LINE : SETTING_SCRIPT;
        return take_seeds(r, value, &r->seeds, &r->seed_count);
    }
    r->seed_origin = SETTING_DEFAULT;
    r->seeds = script_alloc(s, STANDARD * (int64_t)sizeof *r->seeds);
    for (int i = 0; i < STANDARD && r->seeds != NULL; i++)
        r->seeds[i] = i + 1;
    r->seed_count = STANDARD;
    return r->seeds != NULL;
}

bool resolve_stage_seed(resolver *r, const node *stage, const run_seed *consumer, run_seed *out)
{
    char path[PATH_LIMIT];
    int64_t *own = NULL;
    int count = 0;
    bool overridden = false;
    *out = *consumer;
    out->own = false;
    if (stage->split != NULL)
        return true;
    choose_path(stage, "seed", path);
    node *value = choose_written(r->script, path, node_get(stage, "seed"), &overridden);
    if (value == NULL)
        return true;
    out->origin = overridden ? SETTING_COMMAND_LINE : SETTING_SCRIPT;
    if (value->type == NODE_NUMBER) {
        *out = (run_seed){.number = (int64_t)value->number, .own = true, .origin = out->origin};
        return true;
    }
    if (!take_seeds(r, value, &own, &count))
        return false;
    bool equal = consumer->paired && count == r->seed_count;
    for (int i = 0; i < count && equal; i++)
        equal = own[i] == r->seeds[i];
    return equal || ASSAY_FAIL(&r->script->error, ASSAY_BAD_INPUT, .where = value->where,
                               .what = assay_text("the seeds of stage '%s' are not its consumer's",
                                                  stage->text),
                               .expected = "the same seeds, one seed, or none",
                               .got = assay_text("%d of its own against %d", count,
                                                 consumer->paired ? r->seed_count : 1));
}

bool resolve_trials(resolver *r, int64_t *trials)
{
    script *s = r->script;
    node *value = choose_written(s, "trials", node_get(s->experiment, "trials"), NULL);
    bool samples = choose_has_samples(s, s->experiment);
    *trials = value != NULL ? (int64_t)value->number : 0;
    if (samples && value == NULL)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = s->experiment->where,
                          .what = "sampled axes need a number of trials",
                          .expected = "trials = n in the experiment");
    if (!samples && value != NULL)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = value->where,
                          .what = "there are trials and nothing is sampled",
                          .expected = "uniform, log_uniform or choice somewhere");
    return true;
}

/* A drawn number to six significant digits: enough to draw from, and short to read. */
static double rounded(double value, double low, double high)
{
    char text[32];
    snprintf(text, sizeof text, "%.5e", value);
    value = strtod(text, NULL);
    return value < low ? low : value > high ? high : value;
}

/* low * (high / low)^u, by square roots over the bits of u: their last bit is the same on every
 * machine, which that of exp and log is not, and samples are part of a run's identity. */
static double between_logs(double low, double high, double u)
{
    double x = low, power = sqrt(high) / sqrt(low);
    for (int bit = 0; bit < 53; bit++) {
        u *= 2;
        if (u >= 1) {
            x *= power;
            u -= 1;
        }
        power = sqrt(power);
    }
    return x;
}

double resolve_sample(const resolver *r, const node *sample, node **picked)
{
    char name[2 * PATH_LIMIT];
    snprintf(name, sizeof name, "trial/%s/%s", r->script->experiment->text, sample->axis);
    assay_stream stream = assay_stream_of(0, name, (uint64_t)r->trial);
    if (sample->draw == DRAW_CHOICE) {
        *picked = sample->items[assay_random_below(stream, 0, sample->count)];
        return 0;
    }
    double u = assay_random_uniform(stream, 0);
    double x = sample->draw == DRAW_LOG_UNIFORM ? between_logs(sample->low, sample->high, u)
                                                : sample->low * (1 - u) + sample->high * u;
    return rounded(x, sample->low, sample->high);
}

/* ---- curves ---- */

static bool call_curve(script *s, node *function, int64_t total, int64_t count, double *out)
{
    for (int64_t step = 0; step < count; step++) {
        lua_rawgeti(s->lua, LUA_REGISTRYINDEX, function->reference);
        lua_pushinteger(s->lua, step);
        lua_pushinteger(s->lua, total);
        if (!sandbox_call(s, 2, &s->error))
            return false;
        bool number = lua_type(s->lua, -1) == LUA_TNUMBER;
        const char *got = luaL_typename(s->lua, -1);
        out[step] = lua_tonumber(s->lua, -1);
        lua_pop(s->lua, 1);
        if (!number || !isfinite((float)out[step]))
            return ASSAY_FAIL(
                &s->error, ASSAY_BAD_INPUT, .where = function->where,
                .what = assay_text("a schedule gave no number at step %lld", (long long)step),
                .expected = "a finite number",
                .got = !number            ? got
                       : isnan(out[step]) ? "nan" /* without the sign that machines differ in */
                                          : assay_text("%g", out[step]));
    }
    return true;
}

/* The function's values over so many steps; they are kept for the next run. */
static curve *curve_of(script *s, node *function, int64_t total)
{
    int64_t count = total > 0 ? total : 1;
    for (curve *known = function->curves; known != NULL; known = known->next)
        if (known->count == count)
            return known;
    if (count > MOST_STEPS) {
        ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = function->where,
                   .what = "a schedule by a function has a value for every step, and they are too "
                           "many",
                   .expected = assay_text("at most %d steps", MOST_STEPS),
                   .got = assay_text("%lld", (long long)total));
        return NULL;
    }
    curve *made = script_alloc(s, (int64_t)sizeof *made);
    double *values = script_alloc(s, count * (int64_t)sizeof *values);
    if (made == NULL || values == NULL || !call_curve(s, function, total, count, values))
        return NULL;
    *made = (curve){count, values, function->curves};
    function->curves = made;
    return made;
}

bool resolve_curve(resolver *r, const recipe *of, const assay_option *option, node *function,
                   const char *owner, setting *out)
{
    script *s = r->script;
    const setting *steps = settings_get(&of->train, "steps");
    const curve *values = curve_of(s, function, (int64_t)steps->number);
    setting_clear(out);
    if (values == NULL)
        return false;
    out->given = true;
    out->numbers = assay_alloc(values->count * (int64_t)sizeof(double), &s->error);
    if (out->numbers == NULL)
        return false;
    memcpy(out->numbers, values->values, (size_t)values->count * sizeof(double));
    out->count = values->count;
    return setting_check(option, out, owner, s->folder, function->where, &s->error);
}
