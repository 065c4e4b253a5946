/* test_distill.c - the losses of a teacher: attention_distill reproduces the golden loss with every
 * gradient, both say what does not fit, and neither touches the teacher. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/nets.h"
#include "under_test.h"

#include <assay/ops.h>
#include <assay/optim.h>

enum { SIDE = 64, IMAGES = 3, TEACHER_LAYERS = 3 };

/* A teacher, a student, a loss between them, and the golden images. */
typedef struct bench {
    assay_weights *reference;
    assay_tensor *image;
    photos photos;
    net teacher, student;
    use used;
    assay_host host;
    void *loss;
    assay_tape *tape;
    assay_arena *arena;
    assay_error error;
} bench;

/* Models of the golden files, options open to change. */
static void begin(bench *b, const char *loss)
{
    memset(b, 0, sizeof *b);
    b->reference = golden_open("infrared/vit_reference.safetensors");
    b->image = golden_tensor(b->reference, "image", ASSAY_F32);
    photos_open(&b->photos, IMAGES, SIDE, assay_f32(b->image), NULL);
    net_begin(&b->teacher, &b->photos.data, 48, TEACHER_LAYERS, 3, SIDE);
    net_begin(&b->student, &b->photos.data, 36, 2, 2, SIDE);
    use_number(&b->student.model, "last_heads", 3);
    use_number(&b->student.model, "train_positions", 1);
    b->used = use_open(loss);
    use_number(&b->used, "teacher_layer", 2);
}

static void open_nets(bench *b, uint64_t seed)
{
    net_open(&b->teacher, seed);
    net_open(&b->student, seed + 1);
    b->host = nets_host(&b->teacher);
    b->arena = assay_arena_new(0, &b->error);
    b->tape = assay_tape_new(device_under_test(&b->error), ASSAY_PRECISION_FP32, &b->error);
    must(b->arena && b->tape, &b->error);
}

static bool open_loss(bench *b)
{
    const assay_loss_setup setup = {.size = sizeof setup,
                                    .facts = &b->student.facts,
                                    .data = &b->photos.data,
                                    .params = b->student.params,
                                    .prefix = "loss.distill.",
                                    .host = &b->host,
                                    .total = 10};
    b->loss = use_loss(&b->used)->open(b->used.options, &setup, &b->error);
    return b->loss != NULL;
}

static void end(bench *b)
{
    if (b->loss)
        use_loss(&b->used)->close(b->loss);
    use_close(&b->used);
    net_close(&b->teacher);
    net_close(&b->student);
    assay_tape_free(b->tape);
    assay_arena_free(b->arena);
    assay_tensor_free(b->image);
    assay_weights_close(b->reference);
}

/* A step's loss on all images; NULL after a failure, which is on the tape. */
static assay_tensor *compute(bench *b)
{
    const char *names[4];
    int count = 0;
    assay_batch batch;
    assay_outputs outputs = {0};
    const assay_clock clock = {.phase = ASSAY_TRAINING, .total = 10};
    must(use_loss(&b->used)->wants(b->used.options, names, &count, &b->error), &b->error);
    const assay_wanted wanted = {count, names};
    assay_params_clear_grads(b->student.params);
    assay_arena_reset(b->arena);
    assay_tape_begin(b->tape, (assay_step){.seed = 1, .training = true});
    net_run(&b->student, b->tape, b->arena, photos_samples(&b->photos, 0, IMAGES, b->arena), IMAGES,
            ASSAY_TRAINING, &wanted, &batch, &outputs);
    return use_loss(&b->used)->compute(b->loss, b->tape, &clock, &batch, &outputs);
}

/* ---- attention ---- */

static void the_loss_and_all_gradients_are_the_references(void **state)
{
    (void)state;
    bench b;
    int32_t heads[2];
    double value = 0;
    begin(&b, "loss_attention_distill");
    assay_weights *golden = golden_open("infrared/distill_reference.safetensors");
    assay_tensor *of = golden_tensor(golden, "student_heads", ASSAY_I32);
    memcpy(heads, assay_elements(of), sizeof heads);
    use_number(&b.student.model, "heads", heads[0]);
    use_number(&b.student.model, "last_heads", heads[1]);
    use_number(&b.used, "teacher_layer", golden_scalar(golden, "teacher_layer"));
    open_nets(&b, 1);
    golden_load(b.teacher.params, "infrared/vit.safetensors");
    golden_load(b.student.params, "infrared/student.safetensors");
    must(open_loss(&b), &b.error);
    assay_tensor *loss = compute(&b);
    tape_must(b.tape, loss && assay_tape_backward(b.tape, loss, 1));
    golden_group group = golden_begin("distill", golden, device_under_test(NULL));
    value = assay_value(loss);
    golden_check(&group, "loss", 1, &value);
    for (int64_t i = 0; i < assay_weights_count(golden); i++) {
        const char *name = assay_weights_at(golden, i)->name;
        if (strncmp(name, "grad.", 5) != 0)
            continue;
        const assay_parameter *p = assay_params_find(b.student.params, name + 5);
        assert_non_null(p);
        golden_check_gradient(&group, name, p->value);
    }
    golden_end(&group);
    /* What comes after the last scores is never trained (spec 2.5, i). */
    assert_false(assay_params_find(b.student.params, "blocks.1.mlp.fc1.weight")->value->has_grad);
    assay_tensor_free(of);
    assay_weights_close(golden);
    end(&b);
}

static float *copy_values(const assay_params *params, int64_t *count)
{
    *count = assay_params_size(params, NULL, false);
    float *all = test_malloc((size_t)*count * sizeof *all);
    int64_t at = 0;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const assay_tensor *t = assay_params_at(params, i)->value;
        memcpy(all + at, assay_elements(t), (size_t)assay_tensor_bytes(t));
        at += assay_tensor_count(t);
    }
    return all;
}

/* Forty steps of AdamW bring the student nearer; of the teacher not a bit moves and no gradient
 * arrives. */
static void expect_training(bench *b, double least_gain)
{
    int64_t count = 0, again = 0;
    double first = 0, last = 0;
    must(open_loss(b), &b->error);
    float *before = copy_values(b->teacher.params, &count);
    assay_adamw *adamw = assay_adamw_new(b->student.params, device_under_test(NULL),
                                         assay_adamw_defaults(), &b->error);
    must(adamw != NULL, &b->error);
    for (int step = 0; step < 40; step++) {
        assay_tensor *loss = compute(b);
        tape_must(b->tape, loss && assay_tape_backward(b->tape, loss, 1));
        last = assay_value(loss);
        first = step == 0 ? last : first;
        must(assay_adamw_step(adamw, 5e-3f, 0, NULL, &b->error), &b->error);
    }
    if (!(last < first / least_gain))
        fail_msg("the loss went from %g to %g", first, last);
    float *after = copy_values(b->teacher.params, &again);
    assert_memory_equal(before, after, (size_t)count * sizeof *before);
    for (int64_t i = 0; i < assay_params_count(b->teacher.params); i++)
        assert_false(assay_params_at(b->teacher.params, i)->value->has_grad);
    test_free(before);
    test_free(after);
    assay_adamw_free(adamw);
}

static void a_student_learns_the_attention_and_the_teacher_stays(void **state)
{
    (void)state;
    bench b;
    begin(&b, "loss_attention_distill");
    open_nets(&b, 3);
    golden_load(b.teacher.params, "infrared/vit.safetensors");
    expect_training(&b, 3);
    end(&b);
}

/* A student that is its teacher has no distance to it, at any temperature, with and without the
 * class token; the cross-entropy of a softmax with itself is its entropy. */
static void equals_are_no_distance_apart(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int with_class = 0; with_class < 2; with_class++) {
            bench b;
            begin(&b, "loss_attention_distill");
            use_number(&b.student.model, "width", 48);
            use_number(&b.student.model, "layers", 3);
            use_number(&b.student.model, "heads", 3);
            use_number(&b.used, "student_layer", 2);
            use_number(&b.used, "include_class", with_class);
            use_number(&b.used, "temperature", 1e2);
            use_text(&b.used, "kind", kind == 0 ? "kl" : "ce");
            open_nets(&b, 3);
            golden_load(b.teacher.params, "infrared/vit.safetensors");
            golden_load(b.student.params, "infrared/vit.safetensors");
            must(open_loss(&b), &b.error);
            assay_tensor *loss = compute(&b);
            tape_must(b.tape, loss != NULL);
            /* So hot, every key is as good as the other. */
            const double entropy = log(with_class ? 17 : 16);
            assert_float_equal(assay_value(loss), kind == 0 ? 0 : entropy, 2e-3);
            if (kind == 0)
                assert_true(fabs(assay_value(loss)) < 1e-6);
            end(&b);
        }
}

static void other_heads_are_refused_with_the_way_out(void **state)
{
    (void)state;
    bench b;
    begin(&b, "loss_attention_distill");
    use_number(&b.student.model, "last_heads", 0);
    open_nets(&b, 3);
    assert_false(open_loss(&b));
    assert_int_equal(b.error.code, ASSAY_BAD_SHAPE);
    assert_non_null(strstr(b.error.expected, "3 heads"));
    assert_string_equal(b.error.got, "2");
    assert_non_null(strstr(b.error.hint, "last_heads = 3"));
    end(&b);
    /* Any layer but the last has the other heads. */
    begin(&b, "loss_attention_distill");
    use_number(&b.used, "student_layer", 1);
    open_nets(&b, 3);
    assert_false(open_loss(&b));
    assert_string_equal(b.error.got, "2");
    end(&b);
}

static void a_layer_beyond_the_teacher_and_other_tokens_are_refused(void **state)
{
    static const char *const losses[] = {"loss_attention_distill", "loss_feature_distill"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        bench b;
        begin(&b, losses[i]);
        use_number(&b.used, "teacher_layer", 4);
        open_nets(&b, 3);
        assert_false(open_loss(&b));
        assert_non_null(strstr(b.error.expected, "1 to 3"));
        end(&b);
        begin(&b, losses[i]);
        use_number(&b.student.model, "patch", 8);
        open_nets(&b, 3);
        assert_false(open_loss(&b));
        assert_non_null(strstr(b.error.expected, "65 tokens"));
        assert_string_equal(b.error.got, "17");
        end(&b);
    }
}

/* ---- features ---- */

/* Against the formula in double: whitened teacher tokens, the projected student, the distance. */
static double features_by_hand(const bench *b, const float *ours, const float *theirs, int distance,
                               double beta)
{
    const float *w =
        assay_f32(assay_params_find(b->student.params, "loss.distill.projector.weight")->value);
    double total = 0;
    for (int row = 0; row < IMAGES * 17; row++) {
        double t[48], s[48], mean = 0, square = 0, ts = 0, tt = 0, ss = 0;
        for (int c = 0; c < 48; c++)
            mean += (double)theirs[row * 48 + c] / 48;
        for (int c = 0; c < 48; c++)
            square += pow((double)theirs[row * 48 + c] - mean, 2) / 48;
        for (int c = 0; c < 48; c++) {
            t[c] = ((double)theirs[row * 48 + c] - mean) / sqrt(square + 1e-6);
            s[c] = 0;
            for (int k = 0; k < 36; k++)
                s[c] += (double)w[c * 36 + k] * (double)ours[row * 36 + k];
            double d = fabs(s[c] - t[c]);
            if (distance == 0)
                total += (d < beta ? d * d / (2 * beta) : d - beta / 2) / 48;
            if (distance == 1)
                total += d * d / 48;
            ts += t[c] * s[c], tt += t[c] * t[c], ss += s[c] * s[c];
        }
        if (distance == 2)
            total += 1 - ts / sqrt(tt * ss);
    }
    return total / (IMAGES * 17);
}

static const float *layer_of(bench *b, net *of, const char *name, assay_arena *arena, float *out,
                             int64_t count)
{
    const assay_wanted wanted = {1, &name};
    assay_batch batch;
    assay_outputs outputs = {0};
    assay_tape_begin(b->tape, (assay_step){.no_gradient = true});
    net_run(of, b->tape, arena, photos_samples(&b->photos, 0, IMAGES, arena), IMAGES,
            ASSAY_EVALUATION, &wanted, &batch, &outputs);
    assert_int_equal(assay_tensor_count(outputs.tensors[0]), count);
    memcpy(out, assay_elements(outputs.tensors[0]), (size_t)count * sizeof *out);
    return out;
}

static void features_are_compared_as_the_formula_says(void **state)
{
    static const char *const distances[] = {"smooth_l1", "mse", "cosine"};
    static float ours[IMAGES * 17 * 36], theirs[IMAGES * 17 * 48];
    (void)state;
    for (int d = 0; d < 3; d++) {
        bench b;
        begin(&b, "loss_feature_distill");
        use_text(&b.used, "distance", distances[d]);
        use_number(&b.used, "beta", 0.7);
        open_nets(&b, 3);
        golden_load(b.teacher.params, "infrared/vit.safetensors");
        must(open_loss(&b), &b.error);
        layer_of(&b, &b.student, "image.layers.1", b.arena, ours, IMAGES * 17 * 36);
        layer_of(&b, &b.teacher, "image.layers.1", b.arena, theirs, IMAGES * 17 * 48);
        const double want = features_by_hand(&b, ours, theirs, d, 0.7);
        assay_tensor *loss = compute(&b);
        tape_must(b.tape, loss != NULL);
        if (!(fabs(assay_value(loss) - want) < 1e-5 * want))
            fail_msg("%s: %g, expected %g", distances[d], assay_value(loss), want);
        end(&b);
    }
}

static void a_student_learns_the_features_and_the_teacher_stays(void **state)
{
    (void)state;
    bench b;
    begin(&b, "loss_feature_distill");
    open_nets(&b, 3);
    golden_load(b.teacher.params, "infrared/vit.safetensors");
    expect_training(&b, 2);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_and_all_gradients_are_the_references),
        cmocka_unit_test(a_student_learns_the_attention_and_the_teacher_stays),
        cmocka_unit_test(equals_are_no_distance_apart),
        cmocka_unit_test(other_heads_are_refused_with_the_way_out),
        cmocka_unit_test(a_layer_beyond_the_teacher_and_other_tokens_are_refused),
        cmocka_unit_test(features_are_compared_as_the_formula_says),
        cmocka_unit_test(a_student_learns_the_features_and_the_teacher_stays),
    };
    /* The sizes here are those of the files beside the tests; the golden suite takes any. */
    unsetenv("ASSAY_GOLDEN");
    return cmocka_run_group_tests_name("distill", tests, NULL, NULL);
}
