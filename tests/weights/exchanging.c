/* exchanging.c - a published folder through our stack and out again (exchanging.h). */
#include "weights/exchanging.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Everything of one exchange. */
typedef struct passage {
    assay_params *params;
    assay_decoder *decoder;
    assay_bert *bert;
    assay_tape *tape;
    assay_tensor *ids, *lengths;
} passage;

static bool open_stack(passage *p, const char *folder, assay_error *error)
{
    char path[4096];
    assay_decoder_config decoder;
    assay_bert_config bert;
    assay_error own = {0};
    snprintf(path, sizeof path, "%s/config.json", folder);
    p->params = assay_params_new(1, error);
    if (!p->params)
        return false;
    if (assay_decoder_config_read(path, &decoder, &own))
        p->decoder = assay_decoder_new(p->params, NULL, &decoder, error);
    else if (assay_bert_config_read(path, &bert, error))
        p->bert = assay_bert_new(p->params, "encoder.bill.", &bert, error);
    return (p->decoder || p->bert) &&
           assay_stack_load(p->params, assay_stack_at(p->params, 0), folder, NULL, error);
}

static assay_tensor *read_ids(const assay_weights *file, const char *name, assay_error *error)
{
    const assay_stored *stored = assay_weights_get(file, name, error);
    return stored ? assay_stored_tensor(stored, ASSAY_I32, error) : NULL;
}

/* The adapter's parameters beside the matrices that adapter_config.json's file names. */
static bool add_adapter(passage *p, const char *folder, assay_lora *lora, assay_error *error)
{
    char path[4096];
    int64_t bytes = 0;
    bool ok = true;
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    char *text = assay_read_file(path, 1 << 20, &bytes, error);
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    assay_weights *weights = assay_weights_open(folder, error);
    *lora = (assay_lora){.prefix = "adapter.lora.",
                         .rank = json_integer_value(json_object_get(root, "r")),
                         .alpha = json_number_value(json_object_get(root, "lora_alpha")),
                         .rank_stable = json_is_true(json_object_get(root, "use_rslora"))};
    const assay_stack stack = *assay_stack_at(p->params, 0);
    for (int64_t i = 0; weights && ok && i < assay_weights_count(weights); i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        /* base_model.model.MODULE.lora_A.weight */
        ok = assay_params_add(p->params,
                              assay_text("adapter.lora.%s%s", stack.prefix,
                                         stored->name + strlen("base_model.model.")),
                              stored->rank, stored->shape, (assay_init){.kind = ASSAY_INIT_ZEROS},
                              error) != NULL;
    }
    ok = ok && weights && assay_lora_note(p->params, lora, error) &&
         assay_lora_load(p->params, lora, folder, error);
    assay_weights_close(weights);
    json_decref(root);
    assay_free(text);
    return ok;
}

static bool compute(passage *p, const char *out, assay_error *error)
{
    char path[4096];
    assay_weights_item items[2];
    int count = 1;
    assay_tensor *hidden = NULL;
    assay_tape_begin(p->tape, (assay_step){.no_gradient = true});
    if (p->decoder)
        hidden = assay_decoder_forward(p->tape, p->decoder,
                                       assay_decoder_embed(p->tape, p->decoder, p->ids), p->lengths,
                                       NULL);
    else
        hidden = assay_bert_forward(p->tape, p->bert, p->ids, p->lengths);
    items[0] = (assay_weights_item){"hidden", hidden};
    if (p->decoder && assay_decoder_head(p->decoder))
        items[count++] = (assay_weights_item){
            "logits",
            assay_linear(p->tape, hidden, assay_decoder_head(p->decoder), NULL, ASSAY_IDENTITY)};
    if (!items[count - 1].tensor)
        return assay_tape_failed(p->tape, error);
    snprintf(path, sizeof path, "%s/values.safetensors", out);
    return assay_weights_write(path, count, items, 0, NULL, error);
}

bool exchange(const exchange_request *request, assay_error *error)
{
    passage p = {0};
    char path[4096];
    bool ok = false;
    int64_t saved = 0;
    assay_lora lora;
    assay_weights_options options = {.dtype = request->dtype, .shard_bytes = request->shard_bytes};
    assay_weights *ids = assay_weights_open(request->ids, error);
    if (!ids || !open_stack(&p, request->in, error))
        goto done;
    p.ids = read_ids(ids, "ids", error);
    p.lengths = read_ids(ids, "lengths", error);
    p.tape = assay_tape_new(assay_device_cpu(error), ASSAY_PRECISION_FP32, error);
    if (!p.ids || !p.lengths || !p.tape)
        goto done;
    mkdir(request->out, 0777);
    snprintf(path, sizeof path, "%s/adapter", request->out);
    if (request->adapter &&
        (!add_adapter(&p, request->adapter, &lora, error) ||
         !assay_lora_save(p.params, &lora, assay_stack_at(p.params, 0), path, &saved, error) ||
         saved == 0 || !assay_lora_merge(p.params, &lora, error)))
        goto done;
    ok = assay_stack_save(p.params, assay_stack_at(p.params, 0), request->out, &options, error) &&
         compute(&p, request->out, error);
done:
    assay_weights_close(ids);
    assay_tensor_free(p.ids);
    assay_tensor_free(p.lengths);
    assay_tape_free(p.tape);
    assay_decoder_free(p.decoder);
    assay_bert_free(p.bert);
    assay_params_free(p.params);
    return ok;
}
