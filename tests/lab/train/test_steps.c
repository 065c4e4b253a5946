/* test_steps.c - what a step computes: pieces, precision, frozen parts, places, memory, and what it
 * refuses. */
#include "fixture.h"

#include "engine/device/device.h"
#include "under_test.h"

#include <assay/memory.h>
#include <assay/weights.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static assay_weights *weights_of(const bench *b)
{
    char path[4352];
    assay_error error = {0};
    assert_true(train_weights_path(b->files, path, sizeof path, &error));
    assay_weights *weights = assay_weights_open(path, &error);
    assert_non_null(weights);
    return weights;
}

static double largest_difference(const assay_weights *a, const assay_weights *b, const char *name)
{
    const assay_stored *x = assay_weights_find(a, name), *y = assay_weights_find(b, name);
    double largest = 0;
    double *values = assay_alloc(2 * x->count * (int64_t)sizeof *values, NULL);
    assert_int_equal(x->count, y->count);
    assay_stored_doubles(x, values);
    assay_stored_doubles(y, values + x->count);
    for (int64_t i = 0; i < x->count; i++)
        largest = fmax(largest, fabs(values[i] - values[x->count + i]));
    assay_free(values);
    return largest;
}

/* ---- pieces ---- */

/* One step's gradients decide: over more, rounding grows through AdamW's division. The gradient
 * norm and the losses of several steps say the same of the whole. */
static void pieces_compute_the_whole_batch(void **state)
{
    (void)state;
    bench whole, parts;
    bench_make(&whole);
    bench_make(&parts);
    set_number(&whole.recipe.mask, "gain", 0); /* the remembered sum is over all pieces, rounded */
    set_number(&parts.recipe.mask, "gain", 0);
    set_number(&whole.recipe.train, "evaluate_every", 4);
    set_number(&parts.recipe.train, "evaluate_every", 4);
    set_number(&parts.recipe.train, "pieces", 4);
    must_run(&whole);
    must_run(&parts);
    for (int64_t step = 1; step <= 4; step++) {
        static const char *const names[] = {"loss", "loss/toy_contrast", "loss/toy_next",
                                            "grad_norm"};
        for (int i = 0; i < 4; i++) {
            double a = series_at(&whole, names[i], step), b = series_at(&parts, names[i], step);
            if (!(fabs(a - b) < 2e-4 * (1 + fabs(a))))
                fail_msg("%s at step %d: %.9g whole, %.9g in pieces", names[i], (int)step, a, b);
        }
    }
    assert_true(fabs(series_at(&whole, "valid/loss", 4) - series_at(&parts, "valid/loss", 4)) <
                2e-4);
    /* A device's peak is the process's, and its arenas are larger than all of this. */
    if (!assay_device_is_apart(device_under_test(NULL)))
        assert_true(series_at(&parts, "memory/step_mb", 12) <
                    series_at(&whole, "memory/step_mb", 12));
    bench_remove(&whole);
    bench_remove(&parts);
}

/* A coupling loss in pieces is the loss of the whole batch, not the mean of the pieces' losses,
 * which have fewer negatives and are smaller. */
static void accumulation_is_not_pieces(void **state)
{
    (void)state;
    bench whole, micro;
    bench_make(&whole);
    bench_make(&micro);
    set_number(&micro.recipe.train, "accumulate", 4);
    must_run(&whole);
    must_run(&micro);
    assert_true(series_at(&micro, "loss/toy_contrast", 1) <
                series_at(&whole, "loss/toy_contrast", 1) - 0.3);
    bench_remove(&whole);
    bench_remove(&micro);
}

/* ---- precision ---- */

static void bf16_learns_nearly_the_same(void **state)
{
    (void)state;
    bench exact, rounded;
    bench_make(&exact);
    bench_make(&rounded);
    set_text(&rounded.recipe.train, "precision", "bf16");
    must_run(&exact);
    must_run(&rounded);
    double a = series_at(&exact, "loss", 12), b = series_at(&rounded, "loss", 12);
    assert_true(a != b && fabs(a - b) < 0.1 * fabs(a));
    bench_remove(&exact);
    bench_remove(&rounded);
}

/* ---- adapters ---- */

static void frozen_parameters_do_not_move(void **state)
{
    (void)state;
    bench b, start;
    bench_make(&b);
    bench_make(&start);
    set_number(&start.recipe.train, "steps", 0);
    set_adapter(&start, "toy_scale");
    set_adapter(&b, "toy_scale");
    must_run(&start);
    must_run(&b);
    assay_weights *before = weights_of(&start), *after = weights_of(&b);
    assert_true(largest_difference(before, after, "model.embed_tokens.weight") == 0);
    assert_true(largest_difference(before, after, "model.layers.0.mlp.up_proj.weight") == 0);
    assert_true(largest_difference(before, after, "adapter.toy_scale.scale") > 1e-3);
    assay_weights_close(before);
    assay_weights_close(after);
    bench_remove(&b);
    bench_remove(&start);
}

static void an_adapter_acts_at_its_place_only(void **state)
{
    (void)state;
    bench there, nowhere;
    bench_make(&there);
    bench_make(&nowhere);
    set_adapter(&there, "toy_scale");
    set_adapter(&nowhere, "toy_scale");
    setting *places = settings_get(&nowhere.recipe.adapters[0], "places");
    places->texts[0][0] = 'L'; /* "Layers.0.mlp": no such place */
    set_number(&nowhere.recipe.adapters[0], "freeze", 0);
    set_number(&there.recipe.adapters[0], "freeze", 0);
    must_run(&there);
    must_run(&nowhere);
    assay_weights *a = weights_of(&there), *b = weights_of(&nowhere);
    double ones[16];
    assay_stored_doubles(assay_weights_find(b, "adapter.toy_scale.scale"), ones);
    for (int i = 0; i < 16; i++)
        assert_true(ones[i] == 1.0);
    assert_true(largest_difference(a, b, "adapter.toy_scale.scale") > 1e-3);
    assay_weights_close(a);
    assay_weights_close(b);
    bench_remove(&there);
    bench_remove(&nowhere);
}

/* ---- learning rates by layer ---- */

/* Norm of what a parameter has moved from `before`. */
static double moved(const assay_weights *before, const assay_weights *after, const char *name)
{
    const assay_stored *x = assay_weights_find(before, name), *y = assay_weights_find(after, name);
    double sum = 0, *values = assay_alloc(2 * x->count * (int64_t)sizeof *values, NULL);
    assay_stored_doubles(x, values);
    assay_stored_doubles(y, values + x->count);
    for (int64_t i = 0; i < x->count; i++)
        sum += (values[i] - values[x->count + i]) * (values[i] - values[x->count + i]);
    assay_free(values);
    return sqrt(sum);
}

/* One step of AdamW is linear in the learning rate: each parameter moves by its layer's factor. An
 * adapter's parameters are none of the model's names here and keep the whole rate. */
static void deeper_layers_learn_faster_under_layer_decay(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double factor; /* 0.5 ^ (layers + 1 - depth), two layers */
    } expected[] = {{"model.embed_tokens.weight", 0.125},
                    {"model.layers.0.mlp.up_proj.weight", 0.25},
                    {"model.layers.1.mlp.up_proj.weight", 0.5},
                    {"model.norm.weight", 1},
                    {"adapter.toy_scale.scale", 1}};
    assay_weights *weights[3];
    bench runs[3];
    for (int i = 0; i < 3; i++) {
        bench_make(&runs[i]);
        set_adapter(&runs[i], "toy_scale");
        set_number(&runs[i].recipe.adapters[0], "freeze", 0);
        set_number(&runs[i].recipe.model, "layers", 2);
        set_number(&runs[i].recipe.train, "steps", i == 0 ? 0 : 1);
        set_number(&runs[i].recipe.train, "lr", 0.05);
        set_text(&runs[i].recipe.train, "schedule", "constant");
        set_number(&runs[i].recipe.train, "layer_decay", i == 2 ? 0.5 : 1);
        must_run(&runs[i]);
        weights[i] = weights_of(&runs[i]);
    }
    for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        double all = moved(weights[0], weights[1], expected[k].name);
        double some = moved(weights[0], weights[2], expected[k].name);
        if (!(all > 0 && fabs(some / all - expected[k].factor) < 1e-3))
            fail_msg("%s moved %g, %g with decay", expected[k].name, all, some);
    }
    for (int i = 0; i < 3; i++) {
        assay_weights_close(weights[i]);
        bench_remove(&runs[i]);
    }
}

/* Infrared spec section 4, item 6, through the options of a run: mmcv's warm-up under poly. */
static void poly_rises_as_mmcv_has_it(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    set_number(&b.recipe.train, "steps", 8);
    set_number(&b.recipe.train, "lr", 1e-2);
    set_number(&b.recipe.train, "warmup", 0.5);
    set_text(&b.recipe.train, "schedule", "poly");
    must_run(&b);
    for (int t = 0; t < 8; t++) {
        double r = 1e-2 * (1 - t / 8.0);
        double want = t < 4 ? r * (1 - (1 - t / 4.0) * (1 - 1e-6)) : r;
        assert_true(fabs(series_at(&b, "lr", t + 1) - want) < 1e-9);
    }
    bench_remove(&b);
}

/* ---- initial weights ---- */

static void a_run_starts_from_given_weights(void **state)
{
    (void)state;
    bench first, second;
    char path[4352];
    bench_make(&first);
    bench_make(&second);
    must_run(&first);
    assert_true(train_weights_path(first.files, path, sizeof path, NULL));
    second.recipe.init = SETTING_NONE;
    second.recipe.init.given = true;
    second.recipe.init.text = assay_strdup(path, NULL);
    second.recipe.seed = 8;
    set_number(&second.recipe.train, "steps", 0);
    must_run(&second);
    assay_weights *a = weights_of(&first), *b = weights_of(&second);
    assert_true(largest_difference(a, b, "model.embed_tokens.weight") == 0);
    assay_weights_close(a);
    assay_weights_close(b);
    bench_remove(&first);
    bench_remove(&second);
}

/* ---- memory ---- */

static int64_t allocations_at[64];

static void count(void *user, const train_progress *progress)
{
    (void)user;
    if (progress->step < 64)
        allocations_at[progress->step] = assay_memory_stats_get().allocations;
}

static void a_steady_step_allocates_nothing(void **state)
{
    (void)state;
    static const double pieces[] = {1, 4};
    for (int i = 0; i < 2; i++) {
        bench b;
        bench_make(&b);
        set_number(&b.recipe.train, "steps", 60);
        set_number(&b.recipe.train, "accumulate", 2);
        set_number(&b.recipe.train, "pieces", pieces[i]);
        set_number(&b.recipe.train, "checkpoint_every", 0);
        store_handle *store = bench_open(&b);
        store_lease lease = bench_claim(&b, store);
        train_job job = bench_job(&b, store, &lease);
        job.progress = count;
        assay_error error = {0};
        assert_int_equal(train_run(&job, &error), TRAIN_DONE);
        assert_int_equal(allocations_at[59] - allocations_at[30], 0);
        store_free(store);
        bench_remove(&b);
    }
}

/* ---- when the host looks ----
 * The plain device behind a memory of its own, which counts what the host fetches between a step's
 * forward pass and its last parameter. */

static struct {
    assay_kernels kernels;
    bool in_step; /* a loss has been computed, and not every parameter has moved */
    int steps, fetched;
} spied;

static void *spied_take(int64_t bytes, assay_error *error)
{
    (void)error;
    return aligned_alloc(ASSAY_ALIGNMENT, (size_t)(bytes / ASSAY_ALIGNMENT + 1) * ASSAY_ALIGNMENT);
}

static void spied_copy(void *to, const void *from, int64_t bytes)
{
    memcpy(to, from, (size_t)bytes);
}

static void spied_download(void *to, const void *from, int64_t bytes)
{
    spied.fetched += spied.in_step;
    memcpy(to, from, (size_t)bytes);
}

static void spied_clear(void *to, int64_t bytes)
{
    memset(to, 0, (size_t)bytes);
}

static void spied_wait(void)
{
}

static int64_t spied_mark(void)
{
    return 1;
}

static void spied_wait_for(int64_t mark)
{
    (void)mark;
}

static void spied_upload_after(int64_t mark, void *to, const void *from, int64_t bytes)
{
    (void)mark;
    memcpy(to, from, (size_t)bytes);
}

static bool spied_failed(assay_error *error)
{
    (void)error;
    return false;
}

static int64_t spied_bytes(void)
{
    return 0;
}

static void spied_loss(int64_t rows, int64_t classes, const float *x, const int32_t *target,
                       int32_t ignore, float *loss, float *lse)
{
    spied.steps++;
    spied.in_step = true;
    assay_device_plain()->kernels->cross_entropy_rows(rows, classes, x, target, ignore, loss, lse);
}

static void spied_adamw(const device_adamw *step)
{
    spied.in_step = false;
    assay_device_plain()->kernels->adamw(step);
}

static const device_memory spied_memory = {
    .take = spied_take,
    .give = free,
    .upload = spied_copy,
    .download = spied_download,
    .copy = spied_copy,
    .clear = spied_clear,
    .wait = spied_wait,
    .mark = spied_mark,
    .wait_for = spied_wait_for,
    .upload_after = spied_upload_after,
    .take_host = spied_take,
    .give_host = free,
    .fetch = spied_copy,
    .failed = spied_failed,
    .held = spied_bytes,
    .peak = spied_bytes,
};

static void a_step_is_given_to_the_device_before_its_loss_is_read(void **state)
{
    (void)state;
    static const char *const names[] = {"toy_next"};
    bench b;
    bench_make(&b);
    set_losses(&b, 1, names);
    no_mask(&b);
    set_number(&b.recipe.train, "steps", 3);
    const int evaluators = b.recipe.evaluator_count;
    b.recipe.evaluator_count = 0; /* what they fetch is not a step's */
    spied.kernels = *assay_device_plain()->kernels;
    spied.kernels.cross_entropy_rows = spied_loss;
    spied.kernels.adamw = spied_adamw;
    const assay_device device = {
        .name = "spied", .variant = "plain", .kernels = &spied.kernels, .memory = &spied_memory};
    store_handle *store = bench_open(&b);
    store_lease lease = bench_claim(&b, store);
    train_job job = bench_job(&b, store, &lease);
    job.device = &device;
    assert_int_equal(train_run(&job, &b.error), TRAIN_DONE);
    assert_int_equal(spied.steps, 3);
    assert_int_equal(spied.fetched, 0);
    store_free(store);
    b.recipe.evaluator_count = evaluators;
    bench_remove(&b);
}

/* ---- what goes wrong ---- */

static void use_broken_loss(bench *b, const char *how)
{
    static const char *const names[] = {"toy_contrast", "toy_broken"};
    set_losses(b, 2, names);
    set_text(&b->recipe.losses[1], "how", how);
    set_number(&b->recipe.losses[1], "step", 6);
}

static void what_is_not_finite_stops_the_run_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *how, *what, *where;
    } cases[] = {
        {"nan", "loss/toy_broken is not finite", "step 7"},
        {"gradient", "its gradient holds a NaN or an infinity", "step 7, parameter "},
    };
    for (int i = 0; i < 2; i++) {
        bench b;
        bench_make(&b);
        use_broken_loss(&b, cases[i].how);
        assert_int_equal(bench_run(&b), TRAIN_FAILED);
        assert_int_equal(b.error.code, ASSAY_NOT_FINITE);
        assert_non_null(strstr(b.error.what, cases[i].what));
        assert_non_null(strstr(b.error.where, cases[i].where));
        assert_non_null(strstr(b.error.hint, "0123456789abcdef/step_00000004"));
        assert_int_equal(ask(&b, "SELECT max(step) FROM checkpoint"), 4);
        if (i == 0)
            assert_int_equal(ask(&b, "SELECT count(*) FROM series JOIN series_key USING(key_id) "
                                     "WHERE name = 'loss' AND step = 7 AND nonfinite = 'nan'"),
                             1);
        bench_remove(&b);
    }
}

static void failures_say_where(void **state)
{
    (void)state;
    bench b;
    bench_make(&b);
    use_broken_loss(&b, "error");
    assert_int_equal(bench_run(&b), TRAIN_FAILED);
    assert_string_equal(b.error.what, "it broke");
    bench_remove(&b);

    bench_make(&b);
    set_number(&b.recipe.dataset, "broken", 11);
    assert_int_equal(bench_run(&b), TRAIN_FAILED);
    assert_string_equal(b.error.where, "toy.jsonl:12");
    bench_remove(&b);

    bench_make(&b);
    set_text(&b.recipe.model, "forgets", "user.embedding");
    assert_int_equal(bench_run(&b), TRAIN_FAILED);
    assert_non_null(strstr(b.error.what, "no output 'user.embedding' was given"));
    bench_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_compute_the_whole_batch),
        cmocka_unit_test(accumulation_is_not_pieces),
        cmocka_unit_test(bf16_learns_nearly_the_same),
        cmocka_unit_test(frozen_parameters_do_not_move),
        cmocka_unit_test(an_adapter_acts_at_its_place_only),
        cmocka_unit_test(deeper_layers_learn_faster_under_layer_decay),
        cmocka_unit_test(poly_rises_as_mmcv_has_it),
        cmocka_unit_test(a_run_starts_from_given_weights),
        cmocka_unit_test(a_steady_step_allocates_nothing),
        cmocka_unit_test(a_step_is_given_to_the_device_before_its_loss_is_read),
        cmocka_unit_test(what_is_not_finite_stops_the_run_by_name),
        cmocka_unit_test(failures_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
