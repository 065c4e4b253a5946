/* test_published.c - published vision transformers start a model under whatever prefix they were
 * saved: MAE and timm (none), DINO and iBOT (a teacher's), DeiT III (other names, no row for the
 * class). */
#include "lab/train/positions.h"

#include <assay/blocks.h>
#include <assay/memory.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { GRID = 2, MOST = 64 };

static void must(bool ok, const assay_error *error)
{
    char text[1200];
    if (!ok)
        fail_msg("%s", assay_error_format(error, text, sizeof text));
}

static assay_params *vit_of(uint64_t seed, const char *prefix, bool scaled)
{
    assay_error error = {0};
    const assay_vit_config config = {.width = 8,
                                     .layers = 2,
                                     .heads = 2,
                                     .mlp_width = 8,
                                     .patch = 4,
                                     .image = 4 * GRID,
                                     .channels = 3,
                                     .norm_eps = 1e-6f,
                                     .final_norm = true,
                                     .layer_scale = scaled};
    assay_params *params = assay_params_new(seed, &error);
    must(params != NULL, &error);
    assay_vit *vit = assay_vit_new(params, prefix, &config, &error);
    must(vit != NULL, &error);
    assay_vit_free(vit);
    return params;
}

/* A file of the set's tensors under `base`, as DeiT III names them if asked, and of another one's
 * under `beside` (NULL: none). */
typedef struct form {
    const char *base, *beside;
    bool deit3;
} form;

static void rename_scale(char *name, size_t size)
{
    char *at = strstr(name, ".gamma_");
    if (at)
        snprintf(at, size - (size_t)(at - name), ".ls%c.gamma", at[7]);
}

static assay_weights *published(const assay_params *params, const assay_params *other, form f)
{
    static char names[2 * MOST][128];
    assay_weights_item items[2 * MOST];
    assay_error error = {0};
    char path[] = "/tmp/assay_published_XXXXXX";
    int64_t n = 0, patches[] = {1, GRID * GRID, 8};
    assay_tensor *table = assay_tensor_new(ASSAY_F32, 3, patches, &error);
    must(table != NULL, &error);
    for (int64_t i = 0; f.beside && i < assay_params_count(other); i++) {
        const assay_parameter *p = assay_params_at(other, i);
        snprintf(names[n], sizeof names[n], "%s%s", f.beside, p->name);
        items[n] = (assay_weights_item){names[n], p->value};
        n++;
    }
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const assay_parameter *p = assay_params_at(params, i);
        snprintf(names[n], sizeof names[n], "%s%s", f.base, p->name);
        items[n] = (assay_weights_item){names[n], p->value};
        if (f.deit3) {
            rename_scale(names[n], sizeof names[n]);
            if (strcmp(p->name, "pos_embed") == 0) {
                memcpy(assay_elements(table), assay_f32(p->value) + 8,
                       (size_t)assay_tensor_bytes(table));
                items[n].tensor = table;
            }
        }
        n++;
    }
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    must(assay_weights_write(path, n, items, 0, NULL, &error), &error);
    assay_weights *weights = assay_weights_open(path, &error);
    must(weights != NULL, &error);
    unlink(path);
    assay_tensor_free(table);
    return weights;
}

static const assay_load_options options = {
    .allow_unused = true, .fit = positions_fit, .find = assay_find_published};

static void every_form_fills_the_whole_model(void **state)
{
    (void)state;
    static const form forms[] = {
        {.base = ""},
        {.base = "module."},
        {.base = "backbone."},
        {.base = "encoder."},
        {.base = "teacher.backbone.", .beside = "student.module.backbone."},
        {.base = "teacher.", .beside = "zstudent."},
        {.base = "model.", .deit3 = true}};
    for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++)
        for (int prefixed = 0; prefixed < 2; prefixed++) {
            assay_error error = {0};
            assay_params *from = vit_of(1, NULL, true), *other = vit_of(2, NULL, true);
            assay_params *to = vit_of(3, prefixed ? "tower." : NULL, true);
            for (int64_t i = 0; i < assay_params_count(from); i++) /* no two tensors alike */
                assay_f32(assay_params_at(from, i)->value)[0] += (float)(1 + i);
            if (forms[k].deit3)
                memset(assay_elements(assay_params_find(from, "pos_embed")->value), 0,
                       8 * sizeof(float));
            assay_weights *weights = published(from, other, forms[k]);
            int64_t loaded = 0;
            must(assay_check_published(to, weights, &error), &error);
            must(assay_params_load(to, weights, &options, &loaded, &error), &error);
            assert_int_equal(loaded, assay_params_count(from));
            for (int64_t i = 0; i < assay_params_count(from); i++) {
                const assay_tensor *a = assay_params_at(from, i)->value;
                const assay_tensor *b = assay_params_at(to, i)->value;
                if (memcmp(assay_elements(a), assay_elements(b), (size_t)assay_tensor_bytes(a)) !=
                    0)
                    fail_msg("'%s': %s", forms[k].base, assay_params_at(to, i)->name);
            }
            assay_weights_close(weights);
            assay_params_free(from);
            assay_params_free(other);
            assay_params_free(to);
        }
}

static void scales_are_not_left_out_in_silence(void **state)
{
    (void)state;
    for (int deit3 = 0; deit3 < 2; deit3++) {
        assay_error error = {0};
        assay_params *from = vit_of(1, NULL, true), *to = vit_of(3, NULL, false);
        assay_weights *weights = published(from, NULL, (form){.base = "", .deit3 = deit3});
        assert_false(assay_check_published(to, weights, &error));
        assert_non_null(strstr(error.hint, "layer_scale"));
        assay_weights_close(weights);
        assay_params_free(from);
        assay_params_free(to);
    }
}

static void names_of_other_parameters_are_not_looked_for(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *from = vit_of(1, NULL, false), *to = vit_of(3, "tower.", false);
    must(assay_params_add(to, "norm.weight", 1, (int64_t[]){8},
                          (assay_init){.kind = ASSAY_INIT_ONES}, &error) != NULL,
         &error);
    assay_weights *weights = published(from, NULL, (form){.base = "backbone."});
    assert_null(assay_find_published(to, weights, "norm.weight"));
    assert_non_null(assay_find_published(to, weights, "tower.norm.weight"));
    assert_null(assay_find_published(to, weights, "tower.blocks.0.gamma_1"));
    assay_weights_close(weights);
    assay_params_free(from);
    assay_params_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_fills_the_whole_model),
        cmocka_unit_test(scales_are_not_left_out_in_silence),
        cmocka_unit_test(names_of_other_parameters_are_not_looked_for),
    };
    return cmocka_run_group_tests_name("published", tests, NULL, NULL);
}
