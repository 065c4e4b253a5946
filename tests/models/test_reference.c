/* test_reference.c - the plugins beside a reference that shares no code with them: whole two-tower
 * steps with every gradient, of a plain layout and of the published chat over six sources, and ten
 * steps of prompt tuning (scripts/reference/two_tower.py, chat_step.py and prompt_tuning.py, in
 * double precision). The texts are in the files, so words and layout are part of
 * what is compared. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/rig.h"
#include "models/six.h"
#include "under_test.h"

#include <assay/adapter.h>
#include <assay/ops.h>
#include <assay/optim.h>

enum { PERSONS = 4, TOKENS = 6, STEPS = 10 };

/* ---- the persons and the model of the files ---- */

static const char *text_of(const assay_weights *file, int number, const char *field)
{
    return golden_get(file, assay_text("person.%d.%s", number, field))->data;
}

/* Events parted by newlines. */
static int take_events(const char *text, char out[PEOPLE_EVENTS][PEOPLE_TEXT])
{
    int n = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        assert_true(n < PEOPLE_EVENTS && length < PEOPLE_TEXT);
        memcpy(out[n], text, length);
        out[n++][length] = '\0';
        text += length + (text[length] == '\n');
    }
    return n;
}

static void take_persons(const assay_weights *file, people *to)
{
    assay_tensor *labels = golden_tensor(file, "labels", ASSAY_I32);
    assay_tensor *features = golden_tensor(file, "features", ASSAY_F32);
    people_open(to, PERSONS, 1);
    for (int i = 0; i < PERSONS; i++) {
        person *p = &to->persons[i];
        memset(p, 0, sizeof *p);
        p->events[0] = take_events(text_of(file, i, "bill"), p->text[0]);
        p->events[1] = take_events(text_of(file, i, "app"), p->text[1]);
        snprintf(p->question, sizeof p->question, "%s", text_of(file, i, "query"));
        snprintf(p->answer, sizeof p->answer, "%s", text_of(file, i, "answer"));
        memcpy(p->features, assay_f32(features) + PEOPLE_FEATURES * i, sizeof p->features);
        p->label = assay_i32(labels)[i];
    }
    assay_tensor_free(labels);
    assay_tensor_free(features);
}

/* The sizes of all files; `prompts` extra tokens before what is read. */
static void choose_sizes(rig *r, int64_t prompts)
{
    static const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"width", 8},          {"layers", 2},        {"heads", 2},        {"kv_heads", 1},
        {"mlp", 12},           {"embedding", 6},     {"head_width", 10},  {"encoder_width", 8},
        {"encoder_layers", 1}, {"encoder_heads", 2}, {"encoder_mlp", 12}, {"user_summary", 1},
        {"source_summary", 1}, {"age", 0},           {"rank", 0},         {"min_count", 1}};
    r->extra.readout = prompts;
    use_text(&r->model, "encoder", "bert");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        use_number(&r->model, numbers[i].name, numbers[i].value);
}

static void open_with(rig *r, const assay_weights *file)
{
    const assay_load_options lenient = {.allow_unused = true};
    assay_error error = {0};
    rig_open(r, 1);
    must(assay_params_load(r->params, file, &lenient, NULL, &error), &error);
}

static void open_model(rig *r, people *persons, int64_t prompts, const assay_weights *file)
{
    rig_begin(r, persons, "causal");
    choose_sizes(r, prompts);
    open_with(r, file);
}

/* ---- the two-tower step ---- */

static void *open_loss(const rig *r, const use *used, const char *prefix)
{
    assay_error error = {0};
    const assay_loss_setup setup = {.size = sizeof setup,
                                    .facts = &r->facts,
                                    .data = r->data,
                                    .params = r->params,
                                    .prefix = prefix,
                                    .host = &r->host.host,
                                    .total = 1,
                                    .split = ASSAY_TRAIN};
    void *loss = use_loss(used)->open(used->options, &setup, &error);
    must(loss != NULL, &error);
    return loss;
}

static double distance(const float *a, const assay_tensor *b, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t i = 0; i < assay_tensor_count(b); i++) {
        double d = (double)a[i] - (double)assay_f32(b)[i];
        sum += d * d;
        *size += (double)assay_f32(b)[i] * (double)assay_f32(b)[i];
    }
    *size = sqrt(*size);
    return sqrt(sum);
}

/* Every gradient that the file has, relative to its own size or to rounding of the largest. */
static void check_gradients(const rig *r, const assay_weights *file, const char *variant)
{
    int compared = 0;
    double size, largest = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < assay_params_count(r->params); i++) {
            const assay_parameter *p = assay_params_at(r->params, i);
            const char *name = assay_text("%s.grad.%s", variant, p->name);
            if (!assay_weights_find(file, name))
                continue;
            assay_tensor *want = golden_tensor(file, name, ASSAY_F32);
            assert_true(p->value->has_grad);
            double off = distance(assay_gradient(p->value), want, &size);
            largest = fmax(largest, size);
            if (pass == 1 && !(off <= 1e-4 * size + 1e-6 * largest))
                fail_msg("%s: the gradient of %s is %g off, of %g", variant, p->name, off, size);
            compared += pass;
            assay_tensor_free(want);
        }
    assert_true(compared > 80);
}

/* How a file's step is made: the names of its numbers begin with `name`. */
typedef struct step_of {
    const char *name, *contrast, *reduction;
    double margin;
} step_of;

static void check_output(const assay_outputs *outputs, const assay_weights *file,
                         const char *output, const char *name)
{
    double size = 0;
    const assay_tensor *got = rig_output(outputs, output);
    assay_tensor *want = golden_tensor(file, name, ASSAY_F32);
    assert_int_equal(assay_tensor_count(got), assay_tensor_count(want));
    double off = distance(assay_f32(got), want, &size);
    if (!(off <= 1e-4 * size))
        fail_msg("%s is %g off, of %g", name, off, size);
    assay_tensor_free(want);
}

/* One training step of the open model: both losses and every gradient; of a file that has them, the
 * embeddings. */
static void check_step(rig *r, const assay_weights *file, const step_of *of)
{
    static const char *const names[] = {"user.embedding", "answer.embedding", "user.states",
                                        "user.targets", "user.head"};
    const assay_wanted wanted = {5, names};
    assay_batch batch;
    assay_outputs outputs;
    use contrast = use_open("loss_contrastive"), next = use_open("loss_next_token");
    use_text(&contrast, "variant", of->contrast);
    use_number(&contrast, "margin", of->margin);
    use_text(&next, "reduction", of->reduction);
    void *first = open_loss(r, &contrast, "loss.contrastive.");
    void *second = open_loss(r, &next, "loss.next_token.");
    const assay_clock clock = rig_training(r, 0);
    assay_params_clear_grads(r->params);
    rig_pass(r, &clock, ASSAY_NO_BENCHMARK, 0, PERSONS, &wanted, &batch, &outputs);
    for (int i = 0; i < 2; i++) {
        const char *name = assay_text("%s.%s", of->name, i ? "answer" : "user");
        if (assay_weights_find(file, name))
            check_output(&outputs, file, names[i], name);
    }
    assay_tensor *a = use_loss(&contrast)->compute(first, r->tape, &clock, &batch, &outputs);
    assay_tensor *b = use_loss(&next)->compute(second, r->tape, &clock, &batch, &outputs);
    assay_tensor *sum = a && b ? assay_add(r->tape, a, b) : NULL;
    tape_must(r->tape, sum && assay_tape_backward(r->tape, sum, 1));
    double want[2] = {golden_scalar(file, assay_text("%s.contrastive", of->name)),
                      golden_scalar(file, assay_text("%s.next_token", of->name))};
    if (!(fabs(assay_value(a) - want[0]) < 1e-4 * fabs(want[0]) &&
          fabs(assay_value(b) - want[1]) < 1e-4 * fabs(want[1])))
        fail_msg("%s: %g and %g, not %g and %g", of->name, assay_value(a), assay_value(b), want[0],
                 want[1]);
    check_gradients(r, file, of->name);
    use_loss(&contrast)->close(first);
    use_loss(&next)->close(second);
    use_close(&contrast);
    use_close(&next);
}

static void the_two_tower_step_agrees(void **state)
{
    static const step_of steps[] = {{"qa_code", "qa_code", "mean", 0.1},
                                    {"qa_paper", "qa_paper", "mean", 2}};
    (void)state;
    for (int v = 0; v < 2; v++) {
        assay_weights *file = golden_open("users_own/two_tower.safetensors");
        people persons;
        rig r;
        take_persons(file, &persons);
        open_model(&r, &persons, 0, file);
        check_step(&r, file, &steps[v]);
        rig_close(&r);
        people_close(&persons);
        assay_weights_close(file);
    }
}

/* ---- the published chat over six sources ---- */

static int lines_of(const char *text)
{
    int n = text[0] != '\0';
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Texts and features stay the file's and `features`'. */
static void take_six(const assay_weights *file, const assay_tensor *features, six *to)
{
    six_open(to, features->shape[1]);
    for (int b = 0; b < SIX_USERS; b++) {
        for (int s = 0; s < SIX_SOURCES; s++) {
            to->texts[b][s] = text_of(file, b, six_names[s]);
            to->events[b][s] = lines_of(to->texts[b][s]);
        }
        to->question[b] = text_of(file, b, "query");
        to->answer[b] = text_of(file, b, "answer");
        to->numbers[b] = assay_f32(features) + b * features->shape[1];
    }
}

static void the_chat_step_over_six_sources_agrees(void **state)
{
    static const struct {
        step_of step;
        const char *slots, *padding, *head, *summaries;
    } rows[] = {{{"published", "qa_code", "mean", 0.1}, "fixed", "seen", "relu", "code"},
                {{"masked", "qa_code", "mean", 0.1}, "fixed", "masked", "mlp", "code"},
                {{"paper", "qa_paper", "sum", 2}, "compact", "masked", "relu", "code"},
                {{"tokens", "qa_code", "sum", 0.1}, "fixed", "seen", "relu", "paper"}};
    assay_weights *file = golden_open("users_own/chat_step.safetensors");
    assay_tensor *features = golden_tensor(file, "features", ASSAY_F32);
    (void)state;
    assert_int_equal((int)SIX_USERS, (int)PERSONS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        six dataset;
        rig r;
        take_six(file, features, &dataset);
        rig_begin_on(&r, &dataset.data, "causal");
        choose_sizes(&r, 0);
        use_text(&r.model, "layout", "chat");
        use_text(&r.model, "features", "copied");
        use_number(&r.model, "feature_tokens", 3);
        use_text(&r.model, "slots", rows[i].slots);
        use_text(&r.model, "slot_padding", rows[i].padding);
        use_text(&r.model, "head", rows[i].head);
        use_text(&r.model, "summaries", rows[i].summaries);
        open_with(&r, file);
        check_step(&r, file, &rows[i].step);
        rig_close(&r);
    }
    assay_tensor_free(features);
    assay_weights_close(file);
}

/* ---- prompt tuning ---- */

static assay_tensor *start_at(const rig *r, const char *name, const assay_weights *file,
                              const char *stored)
{
    assay_tensor *value = assay_params_find(r->params, name)->value;
    assay_tensor *from = golden_tensor(file, stored, ASSAY_F32);
    assert_true(assay_tensor_same_shape(value, from));
    memcpy(assay_elements(value), assay_elements(from), (size_t)assay_tensor_bytes(from));
    assay_tensor_free(from);
    return value;
}

static void *open_prompt(const rig *r, const use *used)
{
    assay_error error = {0};
    const assay_adapter_functions *functions = used->plugin->functions;
    const assay_adapter_setup setup = {.size = sizeof setup,
                                       .facts = &r->facts,
                                       .params = r->params,
                                       .prefix = "adapter.soft_prompt.",
                                       .host = &r->host.host,
                                       .seed = 1,
                                       .data = r->data,
                                       .model = use_model(&r->model),
                                       .opened_model = r->opened};
    void *prompt = functions->open(used->options, &setup, &error);
    must(prompt != NULL, &error);
    return prompt;
}

static void check_final(const assay_tensor *got, const assay_weights *file, const char *name)
{
    double size = 0;
    assay_tensor *want = golden_tensor(file, name, ASSAY_F32);
    double off = distance(assay_f32(got), want, &size);
    if (!(off <= 1e-3 * size))
        fail_msg("%s is %g off, of %g", name, off, size);
    assay_tensor_free(want);
}

static void ten_steps_of_prompt_tuning_agree(void **state)
{
    static const char *const names[] = {"user.embedding"};
    const assay_wanted wanted = {1, names};
    const assay_adamw_options plain = {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f};
    assay_weights *file = golden_open("users_own/two_tower.safetensors");
    assay_weights *own = golden_open("users_own/prompt_tuning.safetensors");
    assay_tensor *series = golden_tensor(own, "loss", ASSAY_F32);
    people persons;
    rig r;
    assay_error error = {0};
    (void)state;
    take_persons(file, &persons);
    open_model(&r, &persons, TOKENS, file);
    use prompt = use_open("adapter_soft_prompt"), loss = use_open("loss_prototype");
    use_text(&prompt, "init", "random");
    use_number(&loss, "classes", 2);
    const assay_adapter_functions *adapter = prompt.plugin->functions;
    void *opened = open_prompt(&r, &prompt), *points = open_loss(&r, &loss, "loss.prototype.");
    assay_tensor *p = start_at(&r, "adapter.soft_prompt.prompts", own, "start.prompts");
    assay_tensor *k = start_at(&r, "loss.prototype.prototypes", own, "start.prototypes");
    assay_adamw *adamw = assay_adamw_new(r.params, device_under_test(&error), plain, &error);
    must(adamw != NULL, &error);
    assert_int_equal(assay_adamw_set_factor(adamw, "loss.prototype.", 10), 1);
    for (int step = 0; step < STEPS; step++) {
        assay_batch batch;
        assay_outputs outputs;
        const assay_clock clock = rig_training(&r, 0);
        assay_params_clear_grads(r.params);
        rig_tape(&r, true);
        r.insert.readout = adapter->readout(opened, r.tape);
        rig_batch(&r, 0, 0, PERSONS, &wanted, &batch);
        int32_t labels[PERSONS];
        for (int i = 0; i < PERSONS; i++)
            labels[i] = persons.persons[i].label;
        batch.labels = assay_tape_constant(r.tape, ASSAY_I32, 1, (int64_t[]){PERSONS}, labels);
        rig_run(&r, &clock, &batch, &wanted, &outputs);
        assay_tensor *value = use_loss(&loss)->compute(points, r.tape, &clock, &batch, &outputs);
        tape_must(r.tape, value && assay_tape_backward(r.tape, value, 1));
        double want = (double)assay_f32(series)[step];
        if (!(fabs(assay_value(value) - want) < 1e-3 * fabs(want)))
            fail_msg("step %d: %.9g, not %.9g", step + 1, assay_value(value), want);
        must(assay_adamw_step(adamw, 1e-2f, 0, NULL, &error), &error);
    }
    check_final(p, own, "final.prompts");
    check_final(k, own, "final.prototypes");
    assay_adamw_free(adamw);
    use_loss(&loss)->close(points);
    adapter->close(opened);
    use_close(&prompt);
    use_close(&loss);
    rig_close(&r);
    people_close(&persons);
    assay_tensor_free(series);
    assay_weights_close(file);
    assay_weights_close(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_tower_step_agrees),
        cmocka_unit_test(the_chat_step_over_six_sources_agrees),
        cmocka_unit_test(ten_steps_of_prompt_tuning_agree),
    };
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
