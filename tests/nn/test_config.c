/* test_config.c - published config.json files: what is read, what defaults, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/blocks.h>

#include <math.h>

#define SIZES                                                                                      \
    "\"vocab_size\": 50, \"hidden_size\": 32, \"num_hidden_layers\": 2, "                          \
    "\"num_attention_heads\": 4, \"intermediate_size\": 48, \"max_position_embeddings\": 64"
#define OPEN  "\"model_type\": \"qwen2\", \"hidden_act\": \"silu\", " SIZES
#define QWEN  OPEN ", \"num_key_value_heads\": null"
#define LLAMA "\"model_type\": \"llama\", \"hidden_act\": \"silu\", " SIZES
#define BERT  "\"model_type\": \"bert\", \"hidden_act\": \"gelu\", " SIZES

static const char *written(const char *text)
{
    const char *path = path_in_folder("config.json");
    write_text(path, text);
    return path;
}

static assay_decoder_config decoder_of(const char *text)
{
    assay_error error = {0};
    assay_decoder_config config;
    must(assay_decoder_config_read(written(text), &config, &error), &error);
    return config;
}

static assay_bert_config bert_of(const char *text)
{
    assay_error error = {0};
    assay_bert_config config;
    must(assay_bert_config_read(written(text), &config, &error), &error);
    return config;
}

static void every_field_of_a_decoder_is_read(void **state)
{
    (void)state;
    assay_decoder_config c =
        decoder_of("{" OPEN ", \"num_key_value_heads\": 2, \"head_dim\": 10, "
                   "\"rope_theta\": 1000000.0, \"rms_norm_eps\": 1e-05, "
                   "\"tie_word_embeddings\": true, \"initializer_range\": 0.01, "
                   "\"rope_scaling\": null, \"use_sliding_window\": false}");
    assert_int_equal(c.vocabulary, 50);
    assert_int_equal(c.width, 32);
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.heads, 4);
    assert_int_equal(c.kv_heads, 2);
    assert_int_equal(c.head_width, 10);
    assert_int_equal(c.mlp_width, 48);
    assert_int_equal(c.positions, 64);
    assert_true(c.rope_base == 1e6 && c.norm_eps == 1e-5f && c.init_sd == 0.01f);
    assert_true(c.tied_head && c.qkv_bias);
}

static void absent_fields_take_their_published_defaults(void **state)
{
    (void)state;
    assay_decoder_config c = decoder_of("{" LLAMA "}");
    assert_int_equal(c.kv_heads, 4);
    assert_int_equal(c.head_width, 8);
    assert_true(c.rope_base == 1e4 && c.norm_eps == 1e-6f && c.init_sd == 0.02f);
    assert_true(!c.tied_head && c.has_head && !c.qkv_bias);
    assert_false(decoder_of("{" LLAMA ", \"architectures\": [\"LlamaModel\"]}").has_head);
    c = decoder_of("{\"model_type\": \"llama\", \"vocab_size\": 5, \"hidden_size\": 8, "
                   "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
                   "\"intermediate_size\": 4}");
    assert_int_equal(c.positions, 2048);
    assay_bert_config b = bert_of("{" BERT "}");
    assert_int_equal(b.types, 2);
    assert_true(b.norm_eps == 1e-12f && b.dropout == 0.1f && b.init_sd == 0.02f);
}

/* Since version 5, transformers writes the base of rotary positions into an object. */
static void the_rotary_base_stands_in_either_place(void **state)
{
    static const struct {
        const char *fields;
        double base;
    } cases[] = {
        {", \"rope_theta\": 5000", 5000},
        {", \"rope_parameters\": {\"rope_theta\": 7000.0, \"rope_type\": \"default\"}", 7000},
        {", \"rope_parameters\": {\"rope_theta\": 7000.0}, \"rope_theta\": 5000", 7000},
        {", \"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_theta\": 5000", 5000},
        {", \"rope_scaling\": {\"type\": \"default\"}", 10000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(decoder_of(assay_text("{" LLAMA "%s}", cases[i].fields)).rope_base ==
                    cases[i].base);
}

/* What is written is what was read, and numbers are short. */
static void a_configuration_survives_being_written(void **state)
{
    static const char *const texts[] = {
        "{" OPEN ", \"num_key_value_heads\": 2, \"head_dim\": 10, \"rope_theta\": 1e6, "
        "\"rms_norm_eps\": 1e-06, \"tie_word_embeddings\": true}",
        "{" LLAMA ", \"rope_theta\": 123.5}",
        "{" LLAMA ", \"architectures\": [\"LlamaModel\"]}",
        "{" BERT ", \"hidden_dropout_prob\": 0.2, \"type_vocab_size\": 1}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assay_error error = {0};
        assay_stack stack = {.kind =
                                 strstr(texts[i], "bert") ? ASSAY_STACK_BERT : ASSAY_STACK_DECODER};
        must(assay_stack_config_parse(&stack, texts[i], "t", &error), &error);
        char *text = assay_stack_config_text(&stack, "float16", &error);
        must(text != NULL, &error);
        assay_stack again = {.kind = stack.kind};
        must(assay_stack_config_parse(&again, text, "t", &error), &error);
        char *more = assay_stack_config_text(&again, "float16", &error);
        must(more != NULL, &error);
        assert_string_equal(text, more);
        assert_non_null(strstr(text, "\"torch_dtype\": \"float16\""));
        assert_null(strstr(text, "99999"));
        if (stack.kind == ASSAY_STACK_DECODER)
            assert_int_equal(again.config.decoder.has_head, stack.config.decoder.has_head);
        assay_free(text);
        assay_free(more);
    }
    assay_stack vit = {.kind = ASSAY_STACK_VIT};
    assay_error error = {0};
    assert_null(assay_stack_config_text(&vit, "float32", &error));
    assert_failed(&error, ASSAY_UNSUPPORTED, "config.json");
}

static void every_field_of_a_bert_is_read(void **state)
{
    (void)state;
    assay_bert_config c = bert_of("{" BERT ", \"type_vocab_size\": 3, \"layer_norm_eps\": 1e-6, "
                                  "\"hidden_dropout_prob\": 0, \"initializer_range\": 0.5, "
                                  "\"position_embedding_type\": \"absolute\"}");
    assert_int_equal(c.vocabulary, 50);
    assert_int_equal(c.width, 32);
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.heads, 4);
    assert_int_equal(c.mlp_width, 48);
    assert_int_equal(c.positions, 64);
    assert_int_equal(c.types, 3);
    assert_true(c.norm_eps == 1e-6f && c.dropout == 0 && c.init_sd == 0.5f);
}

typedef struct refusal {
    const char *text;
    assay_code code;
    const char *word;
} refusal;

/* The message names the field, and the caller's configuration stays as it was. */
static void a_decoder_names_the_field_it_refuses(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"{\"model_type\": \"qwen2\", \"hidden_act\": \"silu\", \"vocab_size\": 5}", ASSAY_BAD_FILE,
         "hidden_size"},
        {"{\"hidden_act\": \"silu\", " SIZES "}", ASSAY_UNSUPPORTED, "model_type"},
        {"{\"model_type\": \"gemma\", \"hidden_act\": \"silu\", " SIZES "}", ASSAY_UNSUPPORTED,
         "gemma"},
        {"{\"model_type\": \"qwen2\", \"hidden_act\": \"gelu\", " SIZES "}", ASSAY_UNSUPPORTED,
         "hidden_act"},
        {"{" QWEN ", \"rope_scaling\": {\"type\": \"yarn\"}}", ASSAY_UNSUPPORTED, "yarn"},
        {"{" QWEN ", \"rope_parameters\": {\"rope_theta\": 1, \"rope_type\": \"llama3\"}}",
         ASSAY_UNSUPPORTED, "llama3"},
        {"{" QWEN ", \"rope_parameters\": 5}", ASSAY_UNSUPPORTED, "rope_parameters"},
        {"{" QWEN ", \"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
         ASSAY_UNSUPPORTED, "layer_types"},
        {"{" OPEN "}", ASSAY_BAD_INPUT, "kv_heads 32"}, /* as transformers takes it */
        {"{" QWEN ", \"use_sliding_window\": true}", ASSAY_UNSUPPORTED, "use_sliding_window"},
        {"{" LLAMA ", \"attention_bias\": true}", ASSAY_UNSUPPORTED, "attention_bias"},
        {"{" LLAMA ", \"mlp_bias\": true}", ASSAY_UNSUPPORTED, "mlp_bias"},
        {"{" OPEN ", \"num_key_value_heads\": 3}", ASSAY_BAD_INPUT, "kv_heads"},
        {"{" OPEN ", \"num_key_value_heads\": 0}", ASSAY_BAD_FILE, "num_key_value_heads"},
        {"{" OPEN ", \"num_key_value_heads\": \"2\"}", ASSAY_BAD_FILE, "num_key_value_heads"},
        {"{" QWEN ", \"head_dim\": 7}", ASSAY_BAD_INPUT, "head_width"},
        {"{" QWEN ", \"rope_theta\": \"big\"}", ASSAY_BAD_FILE, "rope_theta"},
        {"{" QWEN ", \"rope_theta\": 0}", ASSAY_BAD_INPUT, "rope_base"},
        {"{" QWEN ", \"tie_word_embeddings\": 1}", ASSAY_BAD_FILE, "tie_word_embeddings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_decoder_config config = {.width = -5};
        assert_false(assay_decoder_config_read(written(cases[i].text), &config, &error));
        assert_failed(&error, cases[i].code, cases[i].word);
        assert_int_equal(config.width, -5);
        assert_false(assay_decoder_config_read(path_in_folder("config.json"), &config, NULL));
    }
}

static void a_bert_names_the_field_it_refuses(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"{" QWEN "}", ASSAY_UNSUPPORTED, "qwen2"},
        {"{\"model_type\": \"bert\", \"hidden_act\": \"relu\", " SIZES "}", ASSAY_UNSUPPORTED,
         "hidden_act"},
        {"{" BERT ", \"position_embedding_type\": \"relative_key\"}", ASSAY_UNSUPPORTED,
         "relative_key"},
        {"{" BERT ", \"hidden_dropout_prob\": 1}", ASSAY_BAD_INPUT, "dropout"},
        {"{" BERT ", \"layer_norm_eps\": -1}", ASSAY_BAD_INPUT, "norm_eps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_bert_config config = {.width = -5};
        assert_false(assay_bert_config_read(written(cases[i].text), &config, &error));
        assert_failed(&error, cases[i].code, cases[i].word);
        assert_int_equal(config.width, -5);
    }
}

static void a_document_that_is_no_object_is_refused(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"", ASSAY_BAD_FILE, "config.json"},
        {"{\"a\": 1,\n \"a\": 2}", ASSAY_BAD_FILE, "config.json:2"},
        {"{\n\"vocab_size\": }", ASSAY_BAD_FILE, "config.json:2"},
        {"[1]", ASSAY_BAD_FILE, "object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_decoder_config config;
        assert_false(assay_decoder_config_read(written(cases[i].text), &config, &error));
        assert_failed(&error, cases[i].code, cases[i].word);
    }
}

static void an_absent_file_is_named(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_bert_config config;
    assert_false(assay_bert_config_read(path_in_folder("absent.json"), &config, &error));
    assert_failed(&error, ASSAY_IO, "absent.json");
}

static void vit_sizes_have_names(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_vit_config c;
    must(assay_vit_config_named("large", 512, &c, &error), &error);
    assert_true(c.width == 1024 && c.layers == 24 && c.heads == 16 && c.mlp_width == 4096);
    assert_true(c.patch == 16 && c.image == 512 && c.channels == 3);
    assert_true(c.norm_eps == 1e-6f && c.final_norm && !c.layer_scale && c.drop_path == 0);
    assert_false(assay_vit_config_named("huge", 224, &c, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "huge");
    assay_error_clear(&error);
    assert_false(assay_vit_config_named("tiny", 230, &c, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "image");
}

static int finish(void **state)
{
    (void)state;
    unlink(path_in_folder("config.json"));
    remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_decoder_is_read),
        cmocka_unit_test(absent_fields_take_their_published_defaults),
        cmocka_unit_test(every_field_of_a_bert_is_read),
        cmocka_unit_test(the_rotary_base_stands_in_either_place),
        cmocka_unit_test(a_configuration_survives_being_written),
        cmocka_unit_test(a_decoder_names_the_field_it_refuses),
        cmocka_unit_test(a_bert_names_the_field_it_refuses),
        cmocka_unit_test(a_document_that_is_no_object_is_refused),
        cmocka_unit_test(an_absent_file_is_named),
        cmocka_unit_test(vit_sizes_have_names),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, finish);
}
