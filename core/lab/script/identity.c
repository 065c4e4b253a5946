/* identity.c - what makes a run that run: its hashes, its params, and its axes as text.
 *
 * run_hash is the SHA-256 of a text with one line per fact, in this order (design section 3):
 *     assay run 1
 *     device cpu
 *     dataset NAME VERSION FINGERPRINT     then its options
 *     model NAME VERSION                   then its options
 *     mask NAME VERSION | mask -           then its options
 *     adapter, loss, evaluate NAME VERSION then the options, one after another in the list's order
 *     init -| weights SHA256 | run HASH
 *     train                                then its options, without those of the attempt
 *     seed N                               in run_hash only
 * An option is "NAME=BYTES:TEXT" with the resolved value and how long it is, so that no text
 * passes for the next line, and a default that is written out changes nothing. A path stands as
 * its content's hash (a dataset's is in the fingerprint); weights of a stage as "run HASH", a
 * score as "score HASH PATH". In cell_hash such a HASH is the input's cell_hash with " same"
 * when the input goes with the run's seed, and " SEED" when its stage has a seed of its own: of six
 * runs that share a stage with seed 1, the run with seed 1 is in no other cell than the rest. */
#include "lab/script/script.h"

#include <assay/hash.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the text of facts, hashed as it is written ---- */

typedef struct facts {
    assay_sha256 run, cell;
} facts;

static void add(facts *to, const char *text)
{
    assay_sha256_add(&to->run, text, strlen(text));
    assay_sha256_add(&to->cell, text, strlen(text));
}

static void add_line(facts *to, const char *format, const char *a, const char *b, const char *c)
{
    const char *parts[] = {format, a, b, c};
    for (int i = 0; i < 4; i++) {
        if (parts[i] == NULL)
            continue;
        if (i > 0)
            add(to, " ");
        add(to, parts[i]);
    }
    add(to, "\n");
}

/* Another run of the plan, as both hashes name it. */
static void add_run(const resolver *r, facts *to, const plan_run *of, int index)
{
    const plan_run *input = &r->plan->runs[index];
    bool own = false;
    for (int i = 0; i < of->input_count; i++)
        own = own || (of->inputs[i].run == index && of->inputs[i].own_seed);
    const char *same = own ? assay_text(" %lld", (long long)input->recipe.seed) : " same";
    assay_sha256_add(&to->run, input->run_hash, strlen(input->run_hash));
    assay_sha256_add(&to->cell, input->cell_hash, strlen(input->cell_hash));
    assay_sha256_add(&to->cell, same, strlen(same));
}

static bool add_value(const resolver *r, facts *to, const assay_option *option,
                      const setting *value, const plan_run *of, assay_error *error)
{
    if (value->score_run >= 0) {
        add(to, "score ");
        add_run(r, to, of, value->score_run);
        add(to, " ");
        add(to, value->score_path);
    } else if (option->type == ASSAY_OPTION_WEIGHTS && value->given && value->stage >= 0) {
        add(to, "run ");
        add_run(r, to, of, value->stage);
    } else if (option->type == ASSAY_OPTION_WEIGHTS || option->type == ASSAY_OPTION_PATH) {
        add(to, value->given && value->sha256 != NULL ? value->sha256 : "-");
    } else {
        char *text = setting_text(option, value, error);
        if (text == NULL)
            return false;
        if (value->given)
            add(to, assay_text("%lld:", (long long)strlen(text)));
        add(to, value->given ? text : "-");
        assay_free(text);
    }
    add(to, "\n");
    return true;
}

/* `fingerprint` replaces the paths of a dataset, whose content it stands for. */
static bool add_settings(const resolver *r, facts *to, const settings *use, const char *fingerprint,
                         const plan_run *of, assay_error *error)
{
    for (int i = 0; i < use->count; i++) {
        const assay_option *option = &use->options[i];
        if (use->plugin == NULL && train_option_is_attempt(option->name))
            continue;
        if (fingerprint != NULL && option->type == ASSAY_OPTION_PATH)
            continue;
        add(to, option->name);
        add(to, "=");
        if (!add_value(r, to, option, &use->values[i], of, error))
            return false;
    }
    return true;
}

static bool add_use(const resolver *r, facts *to, const char *key, const settings *use,
                    const char *fingerprint, const plan_run *of, assay_error *error)
{
    if (use->plugin == NULL) {
        add_line(to, key, "-", NULL, NULL);
        return true;
    }
    add_line(to, key, use->plugin->name, assay_text("%d", (int)use->plugin->version), fingerprint);
    return add_settings(r, to, use, fingerprint, of, error);
}

static bool add_list(const resolver *r, facts *to, const char *key, int count, const settings *uses,
                     const plan_run *of, assay_error *error)
{
    for (int i = 0; i < count; i++)
        if (!add_use(r, to, key, &uses[i], NULL, of, error))
            return false;
    return true;
}

static bool hash_run(const resolver *r, draft *of, assay_error *error)
{
    const recipe *from = &of->run.recipe;
    const plan_run *run = &of->run;
    uint8_t digest[32];
    facts to;
    assay_sha256_begin(&to.run);
    assay_sha256_begin(&to.cell);
    add(&to, "assay run 1\n");
    char device[32]; /* its kind: "cuda" of "cuda:1" */
    snprintf(device, sizeof device, "%.*s", (int)strcspn(r->script->request->device, ":"),
             r->script->request->device);
    add_line(&to, "device", device, NULL, NULL);
    bool ok = add_use(r, &to, "dataset", &from->dataset, of->fingerprint, run, error) &&
              add_use(r, &to, "model", &from->model, NULL, run, error) &&
              add_use(r, &to, "mask", &from->mask, NULL, run, error) &&
              add_list(r, &to, "adapter", from->adapter_count, from->adapters, run, error) &&
              add_list(r, &to, "loss", from->loss_count, from->losses, run, error) &&
              add_list(r, &to, "evaluate", from->evaluator_count, from->evaluators, run, error);
    add(&to, "init ");
    ok = ok && add_value(r, &to, &init_option, &from->init, run, error);
    add(&to, "train\n");
    ok = ok && add_settings(r, &to, &from->train, NULL, run, error);
    assay_sha256_end(&to.cell, digest);
    assay_sha256_hex(digest, of->run.cell_hash);
    const char *last = assay_text("seed %lld\n", (long long)from->seed);
    assay_sha256_add(&to.run, last, strlen(last));
    assay_sha256_end(&to.run, digest);
    assay_sha256_hex(digest, of->run.run_hash);
    return ok;
}

/* ---- params ---- */

static plan_param *add_param(plan_run *run, const char *key, setting_origin origin,
                             assay_error *error)
{
    plan_param *grown = resolve_grow(run->params, run->param_count, (int64_t)sizeof *grown, error);
    if (grown == NULL)
        return NULL;
    run->params = grown;
    plan_param *made = &grown[run->param_count];
    *made = (plan_param){.key = assay_strdup(key, error), .origin = origin};
    if (made->key == NULL)
        return NULL;
    run->param_count++;
    return made;
}

static bool add_text_param(plan_run *run, const char *key, setting_origin origin, const char *text,
                           assay_error *error)
{
    plan_param *made = add_param(run, key, origin, error);
    return made != NULL && (made->text = assay_strdup(text, error)) != NULL;
}

static bool is_plain_number(const assay_option *option, const setting *value)
{
    return value->given && value->score_run < 0 &&
           (option->type == ASSAY_OPTION_INTEGER || option->type == ASSAY_OPTION_NUMBER ||
            (option->type == ASSAY_OPTION_SCHEDULE && value->count == 1));
}

static bool add_value_param(const resolver *r, plan_run *run, const char *key,
                            const assay_option *option, const setting *value, assay_error *error)
{
    plan_param *made = add_param(run, key, value->origin, error);
    if (made == NULL)
        return false;
    if (is_plain_number(option, value)) {
        made->number = option->type == ASSAY_OPTION_SCHEDULE ? value->numbers[0] : value->number;
        return true;
    }
    if (value->given && value->stage >= 0 && option->type == ASSAY_OPTION_WEIGHTS)
        made->text = assay_strdup(assay_text("%s seed %lld", r->plan->runs[value->stage].stage,
                                             (long long)r->plan->runs[value->stage].recipe.seed),
                                  error);
    else
        made->text = setting_text(option, value, error);
    return made->text != NULL;
}

static bool add_options(const resolver *r, plan_run *run, const char *key, const settings *of,
                        assay_error *error)
{
    for (int i = 0; i < of->count; i++) {
        char name[PATH_LIMIT];
        choose_join(name, key, '.', of->options[i].name);
        if (!add_value_param(r, run, name, &of->options[i], &of->values[i], error))
            return false;
    }
    return true;
}

static bool add_single(const resolver *r, draft *of, const char *key, int which,
                       const settings *use, assay_error *error)
{
    const char *name = use->plugin != NULL ? use->plugin->name : "the model's own";
    return add_text_param(&of->run, key, of->origins[which], name, error) &&
           (use->plugin == NULL || add_options(r, &of->run, key, use, error));
}

static bool add_several(const resolver *r, draft *of, const char *key, int which, int count,
                        const settings *uses, assay_error *error)
{
    char names[PATH_LIMIT] = "none", below[PATH_LIMIT];
    size_t used = 0;
    for (int i = 0; i < count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? "+" : "",
                                 uses[i].label);
    bool ok = add_text_param(&of->run, key, of->origins[which], names, error);
    for (int i = 0; i < count && ok; i++) {
        choose_join(below, key, '.', uses[i].label);
        ok = add_options(r, &of->run, below, &uses[i], error);
    }
    return ok;
}

static bool list_params(const resolver *r, draft *of, assay_error *error)
{
    const recipe *from = &of->run.recipe;
    bool ok =
        add_single(r, of, "dataset", KEY_DATASET, &from->dataset, error) &&
        add_single(r, of, "model", KEY_MODEL, &from->model, error) &&
        add_single(r, of, "mask", KEY_MASK, &from->mask, error) &&
        add_several(r, of, "adapter", KEY_ADAPTER, from->adapter_count, from->adapters, error) &&
        add_several(r, of, "loss", KEY_LOSS, from->loss_count, from->losses, error) &&
        add_several(r, of, "evaluate", KEY_EVALUATE, from->evaluator_count, from->evaluators,
                    error) &&
        add_options(r, &of->run, "train", &from->train, error) &&
        add_value_param(r, &of->run, "init", &init_option, &from->init, error);
    plan_param *seed = ok ? add_param(&of->run, "seed", of->seed.origin, error) : NULL;
    if (seed == NULL)
        return false;
    seed->number = (double)from->seed;
    return true;
}

bool identity_fill(const resolver *r, draft *of, assay_error *error)
{
    return hash_run(r, of, error) && list_params(r, of, error);
}

/* ---- axes ---- */

/* Room for a value's text. */
typedef struct value_text {
    char text[1024];
    size_t used;
} value_text;

static void put(value_text *to, const char *text)
{
    if (to->used < sizeof to->text)
        to->used += (size_t)snprintf(to->text + to->used, sizeof to->text - to->used, "%s", text);
}

static void put_value(value_text *to, const node *value, const node *alternatives);

/* Whether some use of the same plugin among the alternatives has another value of this option. */
static bool tells(const node *use, const char *option, const node *alternatives)
{
    for (int i = 0; alternatives != NULL && i < alternatives->count; i++) {
        const node *other = alternatives->items[i];
        if (other->type == NODE_LIST && tells(use, option, other))
            return true;
        if (other->type == NODE_PLUGIN && other->plugin == use->plugin &&
            node_differs(node_get(use, option), node_get(other, option)))
            return true;
    }
    return false;
}

static void put_plugin(value_text *to, const node *use, const node *alternatives)
{
    int told = 0;
    put(to, use->plugin->name);
    for (int i = 0; i < use->plugin->option_count; i++) {
        const assay_option *option = &use->plugin->options[i];
        const node *value = node_get(use, option->name);
        if ((value != NULL && (value->type == NODE_ANY || value->type == NODE_SAMPLE)) ||
            !tells(use, option->name, alternatives))
            continue;
        put(to, told++ == 0 ? "{" : ",");
        put(to, option->name);
        put(to, "=");
        if (value != NULL)
            put_value(to, value, NULL);
        else
            put(to, option_default_text(option));
    }
    if (told > 0)
        put(to, "}");
}

static void put_value(value_text *to, const node *value, const node *alternatives)
{
    switch (value->type) {
    case NODE_NONE:
        put(to, "none");
        break;
    case NODE_BOOL:
        put(to, value->number != 0 ? "true" : "false");
        break;
    case NODE_NUMBER: {
        static const assay_option number = {
            .name = "value", .type = ASSAY_OPTION_NUMBER, .unit = ""};
        char *text = setting_text(
            &number,
            &(setting){.given = true, .number = value->number, .stage = -1, .score_run = -1}, NULL);
        put(to, text != NULL ? text : "?");
        assay_free(text);
        break;
    }
    case NODE_TEXT:
        put(to, value->text);
        break;
    case NODE_LIST:
        if (value->count == 0)
            put(to, "{}");
        for (int i = 0; i < value->count; i++) {
            put(to, i == 0 ? "" : value->items[i]->type == NODE_PLUGIN ? "+" : ",");
            put_value(to, value->items[i], alternatives);
        }
        break;
    case NODE_PLUGIN:
        put_plugin(to, value, alternatives);
        break;
    case NODE_STAGE:
        put(to, value->text);
        break;
    case NODE_SCORE:
        put(to, value->items[0]->text);
        put(to, ":");
        put(to, value->text);
        break;
    case NODE_ANY:
    case NODE_SAMPLE:
        put(to, "any"); /* in a list; which one is told by that axis */
        break;
    default:
        put(to, "function");
        put(to, strrchr(value->where, ':') != NULL ? strrchr(value->where, ':') : "");
        break;
    }
}

/* The text of alternative `i` of an axis: different alternatives that read alike, as functions
 * of one line do, are told apart by "#2". Equal ones, as in the fields of a zip, are one value. */
static const char *alternative_text(script *s, node *axis, int i)
{
    value_text text = {.used = 0};
    int before = 0;
    put_value(&text, axis->items[i], axis);
    for (int k = 0; k < i; k++) {
        value_text other = {.used = 0};
        if (axis->items[k]->type != axis->items[i]->type ||
            !node_differs(axis->items[k], axis->items[i])) /* a zip repeats values on purpose */
            continue;
        put_value(&other, axis->items[k], axis);
        before += strcmp(other.text, text.text) == 0;
    }
    if (before > 0) {
        size_t longest = sizeof text.text - 16;
        text.used = text.used < longest ? text.used : longest;
        put(&text, assay_text("#%d", before + 1));
    }
    return script_text(s, text.text);
}

/* The same, kept. */
static const char *kept_text(script *s, node *axis, int i)
{
    if (axis->texts == NULL)
        axis->texts = script_alloc(s, axis->count * (int64_t)sizeof *axis->texts);
    if (axis->texts != NULL && axis->texts[i] == NULL)
        axis->texts[i] = alternative_text(s, axis, i);
    return axis->texts != NULL ? axis->texts[i] : NULL;
}

bool identity_axis(const resolver *r, node *axis, plan_axis *out, assay_error *error)
{
    node *value = NULL, drawn = {.type = NODE_NUMBER};
    value_text text = {.used = 0};
    const char *shown = text.text;
    int place = 0;
    if (axis->type == NODE_ANY)
        value = axis->items[axis->choice->chosen];
    else
        drawn.number = resolve_sample(r, axis, &value);
    while (place < axis->count && axis->items[place] != value)
        place++;
    if (value != NULL) {
        shown = kept_text(r->script, axis, place);
    } else {
        value = &drawn;
        put_value(&text, value, axis);
    }
    *out = (plan_axis){.name = assay_strdup(axis->axis, error),
                       .value = shown != NULL ? assay_strdup(shown, error) : NULL,
                       .is_number = value->type == NODE_NUMBER,
                       .number = value->number};
    if (out->name != NULL && out->value != NULL)
        return true;
    assay_free(out->name);
    assay_free(out->value);
    return false;
}
