/* test_masked_image.c - loss `masked_image` and adapter `patch_scale`: the published numbers of MAE
 * and PAD (golden values computed in another framework), what a fresh adapter changes, what learns,
 * and how many parameters there are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/use.h"

#include <assay/blocks.h>
#include <assay/ops.h>
#include <assay/optim.h>

#define REFERENCE "infrared/mae_reference.safetensors"
#define IMAGES    "infrared/vit_reference.safetensors"

/* One encoder, the loss with its decoder and, if asked for, the adapter, all at golden values. */
typedef struct rig {
    use loss, adapter;
    bool adapted;
    const char *fusion;
    assay_params *params;
    assay_vit *vit;
    assay_tape *tape;
    void *opened, *opened_adapter;
    assay_weights *reference, *images;
} rig;

static const assay_vit_config small = {.width = 48,
                                       .layers = 3,
                                       .heads = 3,
                                       .mlp_width = 192,
                                       .patch = 16,
                                       .image = 64,
                                       .channels = 3,
                                       .norm_eps = 1e-6f,
                                       .final_norm = true};

static void begin(rig *r)
{
    memset(r, 0, sizeof *r);
    r->loss = use_open("loss_masked_image");
    use_number(&r->loss, "width", 32);
    use_number(&r->loss, "layers", 2);
    r->adapter = use_open("adapter_patch_scale");
    use_number(&r->adapter, "rank", 8);
    use_number(&r->adapter, "dropout", 0);
    use_number(&r->adapter, "freeze", 0);
    use_number(&r->adapter, "freeze_fraction", 0);
    r->fusion = "concat";
}

/* Every parameter that the file has, under its own name. */
static void load(rig *r, const char *name)
{
    static const assay_load_options some = {.allow_missing = true, .allow_unused = true};
    assay_error error = {0};
    int64_t loaded = 0;
    assay_weights *file = golden_open(name);
    must(assay_params_load(r->params, file, &some, &loaded, &error), &error);
    assert_true(loaded > 0);
    assay_weights_close(file);
}

static void open_rig(rig *r, const assay_device *device)
{
    assay_error error = {0};
    r->reference = golden_open(REFERENCE);
    r->images = golden_open(IMAGES);
    r->params = assay_params_new(5, &error);
    must(r->params != NULL, &error);
    r->tape = golden_tape(device);
    r->vit = assay_vit_new(r->params, NULL, &small, &error);
    must(r->vit != NULL, &error);
    const assay_model_facts facts = {.width = 48, .layers = 3, .heads = 3, .tokens = 17};
    if (r->adapted) {
        const assay_adapter_setup setup = {
            .size = sizeof setup, .facts = &facts, .params = r->params, .prefix = "", .seed = 5};
        use_text(&r->adapter, "fusion", r->fusion);
        r->opened_adapter = use_adapter(&r->adapter)->open(r->adapter.options, &setup, &error);
        must(r->opened_adapter != NULL, &error);
        const assay_adapter_functions *f = use_adapter(&r->adapter);
        assert_true(assay_tape_attach(
            r->tape, (assay_attachment){r->opened_adapter, f->attaches, f->apply}));
    }
    use_number(&r->loss, "heads", golden_scalar(r->reference, "decoder_heads"));
    const assay_loss_setup setup = {
        .size = sizeof setup, .facts = &facts, .params = r->params, .prefix = "", .total = 10};
    r->opened = use_loss(&r->loss)->open(r->loss.options, &setup, &error);
    must(r->opened != NULL, &error);
    load(r, "infrared/vit.safetensors");
    load(r, "infrared/mae_decoder.safetensors");
}

static void close_rig(rig *r)
{
    use_loss(&r->loss)->close(r->opened);
    if (r->opened_adapter)
        use_adapter(&r->adapter)->close(r->opened_adapter);
    use_close(&r->loss);
    use_close(&r->adapter);
    assay_vit_free(r->vit);
    assay_params_free(r->params);
    assay_tape_free(r->tape);
    assay_weights_close(r->reference);
    assay_weights_close(r->images);
}

/* The golden adapter. Fusions other than concat take the first half of scale.weight. */
static void fill_adapter(rig *r)
{
    assay_weights *file = golden_open("infrared/pad_adapter.safetensors");
    for (int64_t i = 0; i < assay_weights_count(file); i++) {
        const assay_stored *stored = assay_weights_at(file, i);
        const assay_parameter *p = assay_params_find(r->params, stored->name);
        if (!p)
            fail_msg("the adapter has no parameter %s", stored->name);
        double *values = golden_doubles(stored);
        int64_t n = assay_tensor_count(p->value);
        assert_true(n == stored->count || (strstr(p->name, "scale") && 2 * n == stored->count));
        for (int64_t k = 0; k < n; k++)
            assay_f32(p->value)[k] = (float)values[k];
        test_free(values);
    }
    assay_weights_close(file);
}

/* ---- a pass ---- */

/* (B, 1 + keep, D) of the visible patches. */
static assay_tensor *visible_of(rig *r, assay_tensor *x, const assay_tensor *order, int64_t keep)
{
    int64_t images = x->shape[0], tokens = x->shape[1], width = x->shape[2];
    int64_t count = images * (1 + keep);
    assay_tensor *index = assay_tape_tensor(r->tape, ASSAY_I32, 1, &count);
    tape_must(r->tape, index != NULL);
    for (int64_t i = 0; i < count; i++) {
        int64_t b = i / (1 + keep), k = i % (1 + keep);
        int64_t patch = k > 0 ? 1 + assay_i32(order)[b * (tokens - 1) + k - 1] : 0;
        assay_i32(index)[i] = (int32_t)(b * tokens + patch);
    }
    x = assay_gather(r->tape, assay_reshape(r->tape, x, 2, (int64_t[]){images * tokens, width}),
                     index);
    return assay_reshape(r->tape, x, 3, (int64_t[]){images, 1 + keep, width});
}

static assay_tensor *constant(rig *r, const assay_weights *file, const char *name,
                              assay_dtype dtype)
{
    assay_tensor *leaf = golden_tensor(file, name, dtype);
    assay_tensor *t = assay_tape_constant(r->tape, dtype, leaf->rank, leaf->shape, leaf->data);
    assay_tensor_free(leaf);
    tape_must(r->tape, t != NULL);
    return t;
}

/* The loss of the golden batch under the golden order. */
static assay_tensor *loss_of(rig *r, bool training)
{
    static const char *const names[] = {"image.visible", "image.order", "image.patches"};
    assay_vit_trace trace = {.blocks = 3};
    assay_outputs out = {.count = 3};
    assay_tape_begin(r->tape, (assay_step){.seed = 1, .training = training});
    assay_tensor *image = constant(r, r->images, "image", ASSAY_F32);
    assay_tensor *order = constant(r, r->reference, "order", ASSAY_I32);
    assay_tensor *x = assay_concat(r->tape, 3, (assay_tensor *[]){image, image, image}, 1);
    x = assay_vit_embed(r->tape, r->vit, x);
    tape_must(r->tape, x != NULL);
    x = visible_of(r, x, order, (int64_t)golden_scalar(r->reference, "keep"));
    x = assay_vit_norm(r->tape, r->vit, assay_vit_traced(r->tape, r->vit, x, NULL, &trace));
    memcpy(out.names, names, sizeof names);
    out.tensors[0] = x;
    out.tensors[1] = order;
    out.tensors[2] = assay_patches(r->tape, image, 16);
    const assay_clock clock = {.phase = ASSAY_TRAINING, .total = 10};
    const assay_batch batch = {.samples = 3};
    assay_tensor *loss = use_loss(&r->loss)->compute(r->opened, r->tape, &clock, &batch, &out);
    tape_must(r->tape, loss != NULL);
    return loss;
}

/* Every gradient of the file under this prefix. */
static void check_gradients(rig *r, golden_group *group, const char *prefix)
{
    for (int64_t i = 0; i < assay_weights_count(r->reference); i++) {
        const char *name = assay_weights_at(r->reference, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        const assay_parameter *p = assay_params_find(r->params, name + strlen(prefix));
        if (!p)
            fail_msg("there is no parameter %s", name + strlen(prefix));
        golden_check_gradient(group, name, p->value);
    }
}

static void mae_agrees(void **state)
{
    (void)state;
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        rig r;
        begin(&r);
        open_rig(&r, golden_device(d));
        golden_group group = golden_begin("mae", r.reference, golden_device(d));
        assay_tensor *loss = loss_of(&r, true);
        golden_check(&group, "loss", 1, (double[]){assay_value(loss)});
        tape_must(r.tape, assay_tape_backward(r.tape, loss, 1.0f));
        check_gradients(&r, &group, "grad.");
        golden_end(&group);
        close_rig(&r);
    }
}

static void pad_agrees_under_every_fusion(void **state)
{
    (void)state;
    static const char *const fusions[] = {"concat", "sum", "side", "gside"};
    for (int k = 0; k < 4; k++) {
        rig r;
        begin(&r);
        r.adapted = true;
        r.fusion = fusions[k];
        open_rig(&r, golden_device(0));
        fill_adapter(&r);
        golden_group group = golden_begin(fusions[k], r.reference, golden_device(0));
        assay_tensor *loss = loss_of(&r, true);
        golden_check(&group, assay_text("pad.%s.loss", fusions[k]), 1,
                     (double[]){assay_value(loss)});
        tape_must(r.tape, assay_tape_backward(r.tape, loss, 1.0f));
        check_gradients(&r, &group, assay_text("pad.%s.grad.", fusions[k]));
        golden_end(&group);
        close_rig(&r);
    }
}

/* ---- published decoders ---- */

/* The decoder of the golden file, read by the loss itself. */
static void a_published_decoder_is_where_it_starts(void **state)
{
    (void)state;
    char path[4096];
    assay_error error = {0};
    golden_path("infrared/mae_decoder.safetensors", path, sizeof path);
    assay_weights *file = assay_weights_open(path, &error);
    must(file != NULL, &error);
    for (int wrong = 0; wrong < 2; wrong++) {
        assay_params *params = assay_params_new(9, &error);
        assay_vit *vit = assay_vit_new(params, NULL, &small, &error);
        must(vit != NULL, &error);
        use loss = use_open("loss_masked_image");
        use_number(&loss, "width", 32);
        use_number(&loss, "heads", 4);
        use_number(&loss, "layers", wrong ? 3 : 2);
        use_text(&loss, "decoder", path);
        const assay_loss_setup setup = {
            .size = sizeof setup, .params = params, .prefix = "loss.masked_image."};
        void *opened = use_loss(&loss)->open(loss.options, &setup, &error);
        if (wrong) {
            assert_null(opened);
            assert_non_null(strstr(error.what, "no such decoder"));
        } else {
            must(opened != NULL, &error);
            for (int64_t i = 0; i < assay_weights_count(file); i++) {
                const assay_stored *stored = assay_weights_at(file, i);
                const assay_parameter *p =
                    assay_params_find(params, assay_text("loss.masked_image.%s", stored->name));
                assert_non_null(p);
                assert_memory_equal(assay_elements(p->value), stored->data, (size_t)stored->bytes);
            }
            use_loss(&loss)->close(opened);
        }
        use_close(&loss);
        assay_vit_free(vit);
        assay_params_free(params);
    }
    assay_weights_close(file);
}

/* ---- a fresh adapter ---- */

/* Spec section 4, item 10: whatever its kind, it leaves the loss as it was, bit for bit. */
static void a_fresh_adapter_changes_nothing(void **state)
{
    (void)state;
    static const char *const scales[] = {"patch", "scalar", "fixed", "geometric", "linear"};
    rig plain;
    begin(&plain);
    open_rig(&plain, golden_device(0));
    double want = assay_value(loss_of(&plain, true));
    for (int k = 0; k < 5; k++) {
        rig r;
        begin(&r);
        r.adapted = true;
        use_text(&r.adapter, "scale", scales[k]);
        use_number(&r.adapter, "dropout", 0.1);
        open_rig(&r, golden_device(0));
        double got = assay_value(loss_of(&r, true));
        if (!(got == want))
            fail_msg("scale %s: %.9g, without it %.9g", scales[k], got, want);
        close_rig(&r);
    }
    close_rig(&plain);
}

/* ---- what learns ---- */

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Spec 3.4: the encoder and decoder_embed stay as they are to the last bit; the scales wait. */
static void what_is_frozen_does_not_move(void **state)
{
    (void)state;
    assay_error error = {0};
    rig r;
    begin(&r);
    r.adapted = true;
    use_number(&r.adapter, "freeze", 1);
    use_number(&r.adapter, "freeze_fraction", 0.5);
    use_number(&r.loss, "freeze_embed", 1);
    open_rig(&r, golden_device(0));
    assay_adamw_options options = assay_adamw_defaults();
    assay_adamw *adamw = assay_adamw_new(r.params, golden_device(0), options, &error);
    assay_params *before = assay_params_new(5, &error);
    must(adamw && before, &error);
    for (int64_t i = 0; i < assay_params_count(r.params); i++) {
        const assay_parameter *p = assay_params_at(r.params, i);
        assay_tensor *copy = assay_params_add(before, p->name, p->value->rank, p->value->shape,
                                              (assay_init){.kind = ASSAY_INIT_ZEROS}, &error);
        must(copy != NULL, &error);
        memcpy(assay_elements(copy), assay_elements(p->value), (size_t)assay_tensor_bytes(copy));
    }
    for (int step = 0; step < 8; step++) {
        const assay_clock clock = {.phase = ASSAY_TRAINING, .step = step, .total = 8};
        use_adapter(&r.adapter)->begin(r.opened_adapter, &clock);
        assay_params_clear_grads(r.params);
        tape_must(r.tape, assay_tape_backward(r.tape, loss_of(&r, true), 1.0f));
        must(assay_adamw_step(adamw, 0.01f, 0, NULL, &error), &error);
        const assay_parameter *w = assay_params_find(r.params, "blocks.1.adapter.scale.weight");
        bool moved = false;
        for (int64_t i = 0; i < assay_tensor_count(w->value); i++)
            moved = moved || assay_f32(w->value)[i] != 0.0f;
        assert_int_equal(moved, step >= 4);
    }
    for (int64_t i = 0; i < assay_params_count(r.params); i++) {
        const assay_parameter *p = assay_params_at(r.params, i);
        const assay_tensor *was = assay_params_at(before, i)->value;
        bool learns = strstr(p->name, ".adapter.") || begins(p->name, "mask_token") ||
                      (begins(p->name, "decoder_") && !begins(p->name, "decoder_embed") &&
                       !begins(p->name, "decoder_pos_embed"));
        bool moved = memcmp(assay_elements(was), assay_elements(p->value),
                            (size_t)assay_tensor_bytes(was)) != 0;
        if (moved != learns)
            fail_msg("%s %s", p->name, moved ? "moved" : "did not learn");
    }
    assay_adamw_free(adamw);
    assay_params_free(before);
    close_rig(&r);
}

/* Some steps on one batch bring the loss down: the adapter's gradient leads somewhere. */
static void the_adapter_and_decoder_learn(void **state)
{
    (void)state;
    assay_error error = {0};
    rig r;
    begin(&r);
    r.adapted = true;
    use_number(&r.adapter, "freeze", 1);
    open_rig(&r, golden_device(0));
    assay_adamw *adamw =
        assay_adamw_new(r.params, golden_device(0), assay_adamw_defaults(), &error);
    must(adamw != NULL, &error);
    double first = assay_value(loss_of(&r, true)), last = first;
    for (int step = 0; step < 40; step++) {
        assay_params_clear_grads(r.params);
        assay_tensor *loss = loss_of(&r, true);
        last = assay_value(loss);
        tape_must(r.tape, assay_tape_backward(r.tape, loss, 1.0f));
        must(assay_adamw_step(adamw, 0.005f, 0, NULL, &error), &error);
    }
    assert_true(last < 0.7 * first);
    assay_adamw_free(adamw);
    close_rig(&r);
}

/* ---- how many there are ---- */

/* Spec 3.4 and section 4, items 1 and 9: ViT-B with rank 64 and MAE's decoder. */
static void parameters_are_counted_as_published(void **state)
{
    (void)state;
    static const struct {
        const char *size;
        int64_t parameters;
    } adapters[] = {{"tiny", 307200}, {"small", 613632}, {"base", 1226496}, {"large", 3270144}};
    for (int k = 0; k < 4; k++) {
        assay_error error = {0};
        assay_vit_config config;
        must(assay_vit_config_named(adapters[k].size, 224, &config, &error), &error);
        assay_params *params = assay_params_new_counting(&error);
        assay_vit *vit = assay_vit_new(params, NULL, &config, &error);
        must(vit != NULL, &error);
        use adapter = use_open("adapter_patch_scale"), loss = use_open("loss_masked_image");
        use_number(&loss, "freeze_embed", 1);
        const assay_model_facts facts = {.width = config.width, .layers = config.layers};
        const assay_adapter_setup adapting = {.size = sizeof adapting,
                                              .facts = &facts,
                                              .params = params,
                                              .prefix = "adapter.patch_scale.",
                                              .counting = true};
        const assay_loss_setup losing = {.size = sizeof losing,
                                         .facts = &facts,
                                         .params = params,
                                         .prefix = "loss.masked_image.",
                                         .counting = true};
        void *a = use_adapter(&adapter)->open(adapter.options, &adapting, &error);
        must(a != NULL, &error);
        assert_int_equal(assay_params_size(params, NULL, true), adapters[k].parameters);
        void *l = use_loss(&loss)->open(loss.options, &losing, &error);
        must(l != NULL, &error);
        if (k == 2) {
            assert_int_equal(assay_params_size(params, "loss.masked_image.", false), 26109184);
            assert_int_equal(assay_params_size(params, "loss.masked_image.", true), 25614592);
            assert_int_equal(assay_params_size(params, "loss.masked_image.decoder_embed.", false),
                             393728);
        }
        use_adapter(&adapter)->close(a);
        use_loss(&loss)->close(l);
        use_close(&adapter);
        use_close(&loss);
        assay_vit_free(vit);
        assay_params_free(params);
    }
}

static void a_model_without_a_transformer_is_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = assay_params_new(0, &error);
    use adapter = use_open("adapter_patch_scale"), loss = use_open("loss_masked_image");
    const assay_adapter_setup adapting = {.size = sizeof adapting, .params = params, .prefix = ""};
    const assay_loss_setup losing = {.size = sizeof losing, .params = params, .prefix = ""};
    assert_null(use_adapter(&adapter)->open(adapter.options, &adapting, &error));
    assert_int_equal(error.code, ASSAY_UNSUPPORTED);
    assay_error_clear(&error);
    assert_null(use_loss(&loss)->open(loss.options, &losing, &error));
    assert_non_null(strstr(error.hint, "mask_ratio"));
    use_close(&adapter);
    use_close(&loss);
    assay_params_free(params);
}

int main(void)
{
    static const char *const mae[] = {REFERENCE, IMAGES, "infrared/vit.safetensors",
                                      "infrared/mae_decoder.safetensors", NULL};
    static const char *const pad[] = {REFERENCE, "infrared/pad_adapter.safetensors", NULL};
    static const char *const none[] = {NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(mae_agrees), mae},
        {cmocka_unit_test(pad_agrees_under_every_fusion), pad},
        {cmocka_unit_test(a_published_decoder_is_where_it_starts), mae},
        {cmocka_unit_test(a_fresh_adapter_changes_nothing), mae},
        {cmocka_unit_test(what_is_frozen_does_not_move), mae},
        {cmocka_unit_test(the_adapter_and_decoder_learn), mae},
        {cmocka_unit_test(parameters_are_counted_as_published), none},
        {cmocka_unit_test(a_model_without_a_transformer_is_refused), none},
    };
    return golden_run("masked image", sizeof tests / sizeof tests[0], tests);
}
