/* test_golden_losses.c - the contrastive variants and the prototype loss with their gradients,
 * against values computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/ops.h>

#define REFERENCE "users/losses.safetensors"

typedef struct inputs {
    assay_tensor *x, *y, *prototypes, *labels;
} inputs;

static assay_tensor *gradient_leaf(const assay_weights *file, const char *name)
{
    assay_error error = {0};
    assay_tensor *tensor = golden_tensor(file, name, ASSAY_F32);
    golden_must(assay_tensor_want_grad(tensor, &error), &error);
    return tensor;
}

/* Reads "VARIANT.tauT.marginM.loss"; false for any other name. A number may swallow the point that
 * follows it, as in "margin2.loss". */
static bool parse(const char *name, const char *variant, assay_contrastive_options *options)
{
    char *end = NULL;
    size_t length = strlen(variant);
    if (strncmp(name, variant, length) != 0 || strncmp(name + length, ".tau", 4) != 0)
        return false;
    options->temperature = (float)strtod(name + length + 4, &end);
    end += *end == '.';
    if (strncmp(end, "margin", 6) != 0)
        return false;
    options->margin = (float)strtod(end + 6, &end);
    end += *end == '.';
    return strcmp(end, "loss") == 0;
}

/* One stored case: the loss, and the gradients whose names differ from it in the last part. */
static void check_case(golden_group *group, assay_tape *tape, const char *name,
                       const assay_contrastive_options *options, inputs in)
{
    int stem = (int)(strlen(name) - strlen("loss"));
    in.x->has_grad = in.y->has_grad = false;
    assay_tape_begin(tape, (assay_step){0});
    assay_tensor *loss = assay_contrastive(tape, in.x, in.y, options, NULL);
    golden_tape_must(tape, loss && assay_tape_backward(tape, loss, 1.0f));
    golden_check_value(group, name, loss);
    golden_check_gradient(group, assay_text("%.*sdX", stem, name), in.x);
    golden_check_gradient(group, assay_text("%.*sdY", stem, name), in.y);
}

static void check_variants(const assay_weights *file, const assay_device *device, inputs in)
{
    static const char *const names[] = {[ASSAY_QA_CODE] = "qa_code",
                                        [ASSAY_QA_PAPER] = "qa_paper",
                                        [ASSAY_GG_PAPER] = "gg_paper",
                                        [ASSAY_GG_CODE] = "gg_code"};
    assay_tape *tape = golden_tape(device);
    for (int variant = 0; variant < 4; variant++) {
        golden_group group = golden_begin(names[variant], file, device);
        for (int64_t i = 0; i < assay_weights_count(file); i++) {
            const char *name = assay_weights_at(file, i)->name;
            assay_contrastive_options options = {.variant = (assay_contrastive_variant)variant};
            if (parse(name, names[variant], &options))
                check_case(&group, tape, name, &options, in);
        }
        golden_end(&group);
    }
    assay_tape_free(tape);
}

static void contrastive_variants_agree(void **state)
{
    (void)state;
    assay_weights *file = golden_open(REFERENCE);
    inputs in = {.x = gradient_leaf(file, "X"), .y = gradient_leaf(file, "Y")};
    for (int d = 0; d < GOLDEN_DEVICES; d++)
        check_variants(file, golden_device(d), in);
    assay_tensor_free(in.x);
    assay_tensor_free(in.y);
    assay_weights_close(file);
}

/* Cross-entropy of cosines to normalised prototypes over a temperature (spec 2.6). */
static void check_prototypes(const assay_weights *file, const assay_device *device, inputs in)
{
    assay_tape *tape = golden_tape(device);
    golden_group group = golden_begin("prototype", file, device);
    double temperature = golden_scalar(file, "prototype.tau");
    in.x->has_grad = in.prototypes->has_grad = false;
    assay_tape_begin(tape, (assay_step){0});
    assay_tensor *p = assay_normalize(tape, in.prototypes, 1e-12f);
    assay_tensor *logits =
        assay_scale(tape, assay_cosine_matrix(tape, in.x, p), (float)(1 / temperature));
    assay_tensor *loss = assay_cross_entropy(tape, logits, in.labels, ASSAY_MEAN);
    golden_tape_must(tape, loss && assay_tape_backward(tape, loss, 1.0f));
    golden_check_value(&group, "prototype.loss", loss);
    golden_check_gradient(&group, "prototype.dX", in.x);
    golden_check_gradient(&group, "prototype.dp", in.prototypes);
    golden_end(&group);
    assay_tape_free(tape);
}

static void the_prototype_loss_agrees(void **state)
{
    (void)state;
    assay_weights *file = golden_open(REFERENCE);
    inputs in = {.x = gradient_leaf(file, "X"),
                 .prototypes = gradient_leaf(file, "prototype.p"),
                 .labels = golden_tensor(file, "prototype.y", ASSAY_I32)};
    for (int d = 0; d < GOLDEN_DEVICES; d++)
        check_prototypes(file, golden_device(d), in);
    assay_tensor_free(in.x);
    assay_tensor_free(in.prototypes);
    assay_tensor_free(in.labels);
    assay_weights_close(file);
}

int main(void)
{
    static const char *const files[] = {REFERENCE, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(contrastive_variants_agree), files},
        {cmocka_unit_test(the_prototype_loss_agrees), files},
    };
    return golden_run("golden losses", sizeof tests / sizeof tests[0], tests);
}
