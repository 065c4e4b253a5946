/* assay/blocks.h - the three stacks that the models are built of: a Qwen2/Llama-shaped decoder, a
 * BERT encoder, and a pre-norm ViT.
 *
 * Each is a configuration, parameters under their published names, and a forward pass on a tape. A
 * stack borrows its parameters from the set it was built in. Letters: B batch, T tokens, D
 * width. */
#ifndef ASSAY_BLOCKS_H
#define ASSAY_BLOCKS_H

#include <assay/attention.h>
#include <assay/nn.h>
#include <assay/ops.h>

/* ---- decoder: Qwen2, Qwen2.5, Llama (user-modelling spec 1.3) ----
 * One layer: x += o_proj(attention(rms_norm(x))); x += down(silu(gate n) * up n), with
 * n = rms_norm(x). */
typedef struct assay_decoder_config {
    int64_t vocabulary, width, layers, heads, kv_heads, head_width, mlp_width, positions;
    double rope_base;
    float norm_eps;
    bool qkv_bias;  /* Qwen2: true; Llama: false */
    bool tied_head; /* logits by the embedding table; else by "lm_head.weight" */
    bool has_head;  /* false: no head at all when untied */
    float init_sd;  /* of linear and embedding weights; biases 0, norms 1 */
} assay_decoder_config;

/* Reads a Hugging Face config.json (model_type qwen2 or llama); what is absent is as transformers
 * takes it. A field that this stack does not implement (rope scaling, another activation, sliding
 * windows in use) is an error naming it. */
bool assay_decoder_config_read(const char *path, assay_decoder_config *out, assay_error *error);

typedef struct assay_decoder assay_decoder;

/* Adds the parameters "PREFIXmodel.embed_tokens.weight",
 * "PREFIXmodel.layers.0.self_attn.q_proj.weight" ... "PREFIXlm_head.weight" to `params` (prefix
 * NULL: none), all of them or, on failure, none. The caller owns the result; `params` must outlive
 * it. */
assay_decoder *assay_decoder_new(assay_params *params, const char *prefix,
                                 const assay_decoder_config *config, assay_error *error);
/* Accepts NULL; the parameters stay in their set. */
void assay_decoder_free(assay_decoder *decoder);
const assay_decoder_config *assay_decoder_config_get(const assay_decoder *decoder);

/* Token embeddings (B, T, D) of ids (B, T) i32. */
assay_tensor *assay_decoder_embed(assay_tape *tape, const assay_decoder *decoder,
                                  const assay_tensor *ids);
/* States after the final norm (B, T, D) from embeddings x (B, T, D). Rows at or beyond lengths (B)
 * are zero. `bias` NULL is causal. States named on the tape: "embeddings", "layers.0" ... (after
 * the block), "final_norm". Places (assay/tape.h): "layers.0.self_attn.q_proj", k_proj, v_proj,
 * o_proj, "layers.0.mlp.gate_proj", up_proj, down_proj, and the branches "layers.0.self_attn" and
 * "layers.0.mlp". */
assay_tensor *assay_decoder_forward(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                                    const assay_tensor *lengths, const assay_attention_bias *bias);
/* The same, and what it computes on its way: layers[i] is the state after block i, maps[i] the
 * attention probabilities (B, H, T, T) of block i, computed only where want_map[i]. NULL: nothing.
 * Blocks beyond the first ASSAY_DECODER_LAYERS are not traced. */
#define ASSAY_DECODER_LAYERS 64
typedef struct assay_decoder_trace {
    bool want_map[ASSAY_DECODER_LAYERS];
    assay_tensor *layers[ASSAY_DECODER_LAYERS], *maps[ASSAY_DECODER_LAYERS];
} assay_decoder_trace;
assay_tensor *assay_decoder_traced(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                                   const assay_tensor *lengths, const assay_attention_bias *bias,
                                   assay_decoder_trace *trace);
/* ---- the same in two parts: the first tokens once, then any number of continuations ---- */
/* Runs the tokens x (B, T, D), lengths (B) of them (NULL: all), and keeps their keys and values:
 * out[b] receives one prefix per row, which the caller owns. `bias` NULL is causal; one that opens
 * the future is an error, for the tokens would see what follows. Nothing is recorded. False after a
 * failure, which is on the tape; out is NULLs then. */
bool assay_decoder_prefill(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                           const assay_tensor *lengths, const assay_attention_bias *bias,
                           assay_prefix **out);
/* States after the final norm (B, S, D) of continuations x (B, S, D) of the prefixes, one per row;
 * equal to those that assay_decoder_forward gives to the whole sequences. With `read` i32 (B) only
 * those positions of the suffixes are computed in the last layer and returned: (B, 1, D). Gradients
 * flow to x and to the parameters through the suffix. Names of states and places are those of
 * assay_decoder_forward. */
assay_tensor *assay_decoder_resume(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                                   const assay_tensor *lengths, const assay_prefix *const *prefix,
                                   const assay_tensor *read);
/* The matrix (vocabulary, D) that gives logits: the embedding table or the head; NULL
 * without one. */
assay_tensor *assay_decoder_head(const assay_decoder *decoder);
/* Next-token cross-entropy: hidden (B, T, D), ids (B, T); the target of position t is id t+1 while
 * t + 1 < lengths[b] (NULL: T). */
assay_tensor *assay_next_token_loss(assay_tape *tape, const assay_decoder *decoder,
                                    assay_tensor *hidden, const assay_tensor *ids,
                                    const assay_tensor *lengths, assay_reduction reduction);

/* ---- BERT encoder (spec 1.2): post-norm, learned positions, exact GELU ---- */
typedef struct assay_bert_config {
    int64_t vocabulary, width, layers, heads, mlp_width, positions, types;
    float norm_eps, dropout, init_sd;
} assay_bert_config;

bool assay_bert_config_read(const char *path, assay_bert_config *out, assay_error *error);

typedef struct assay_bert assay_bert;

/* Parameters "PREFIXembeddings.word_embeddings.weight",
 * "PREFIXencoder.layer.0.attention.self.query.weight" ...; no pooler. Dropout (after embeddings,
 * attention output and MLP output) acts in training; attention probabilities are not dropped. */
assay_bert *assay_bert_new(assay_params *params, const char *prefix,
                           const assay_bert_config *config, assay_error *error);
void assay_bert_free(assay_bert *bert);
const assay_bert_config *assay_bert_config_get(const assay_bert *bert);
/* ids (B, T) i32, token type 0 -> last hidden states (B, T, D), rows beyond lengths (B) zero.
 * States: "PREFIXembeddings", "PREFIXlayers.0" ... Places: every linear layer by its parameters'
 * name, "PREFIXencoder.layer.0.attention.self.query", key, value, "...attention.output.dense",
 * "...intermediate.dense" (before its GELU), "...output.dense". */
assay_tensor *assay_bert_forward(assay_tape *tape, const assay_bert *bert, const assay_tensor *ids,
                                 const assay_tensor *lengths);

/* ---- ViT (infrared spec 1.1): pre-norm, fused qkv, exact GELU, class token ---- */
typedef enum assay_vit_start { /* spec 1.6 */
                               /* linear layers Xavier-uniform, the convolution as the matrix it
                                * is */
                               ASSAY_VIT_PRETRAINING,
                               /* linear layers N(0, 0.02) cut at +-2, the convolution
                                * U(+-1/sqrt(fan)) */
                               ASSAY_VIT_SEGMENTATION
} assay_vit_start;

typedef struct assay_vit_config {
    int64_t width, layers, heads, mlp_width, patch, image, channels;
    float norm_eps, drop_path;
    bool final_norm;      /* the norm after the last block exists */
    bool layer_scale;     /* gamma_1, gamma_2 per block, ones at the start */
    bool drop_path_grows; /* drop_path is the last block's rate and grows linearly from 0 at the
                             first (fine-tuning, spec 1.5); false: the same in every block */
    int64_t last_heads;   /* heads of the last block (spec 2.4); 0: as the others */
    bool relative_bias;   /* a learned bias per block, head and displacement (spec 1.4), zeros */
    assay_vit_start start;
    bool blocks_only; /* no patches, class token and positions: a decoder's blocks (image, patch and
                         channels are not looked at) */
} assay_vit_config;

/* Named sizes "tiny", "small", "base", "large" with patch 16 (spec 1.1 table); false for another
 * name. */
bool assay_vit_config_named(const char *size, int64_t image, assay_vit_config *out,
                            assay_error *error);

typedef struct assay_vit assay_vit;

/* Parameters by timm/MAE names: "PREFIXcls_token" (1,1,D), "PREFIXpos_embed" (1,T,D),
 * "PREFIXpatch_embed.proj.weight" (D,C,P,P), "PREFIXblocks.0.attn.qkv.weight" ...,
 * "PREFIXnorm.weight"; with relative_bias "PREFIXblocks.0.attn.relative_position_bias_table" (M,
 * H), M = (2 grid - 1)^2 + 3. Positions start as sines and cosines. All are trainable; pre-training
 * freezes "PREFIXpos_embed" by assay_params_train. */
assay_vit *assay_vit_new(assay_params *params, const char *prefix, const assay_vit_config *config,
                         assay_error *error);
void assay_vit_free(assay_vit *vit);
const assay_vit_config *assay_vit_config_get(const assay_vit *vit);

/* Patch tokens with positions, class token first: images (B, C, S, S) f32 -> (B, 1 + N, D). */
assay_tensor *assay_vit_embed(assay_tape *tape, const assay_vit *vit, assay_tensor *images);
/* Block `layer` (from 0) on x (B, T, D). `bias` NULL: the block's relative bias if it has one, else
 * none; a given one stands alone. `map` (or NULL) receives the attention probabilities (B, H, T,
 * T), computed only then.
 * Places (assay/tape.h): the linear layers "PREFIXblocks.0.attn.qkv", "...attn.proj", "...mlp.fc1"
 * (before its GELU), "...mlp.fc2", and the branches "PREFIXblocks.0.mlp", whose input is the stream
 * after the attention and whose output that of fc2, and "PREFIXblocks.0.mlp.scaled", the same after
 * gamma_2 and drop path: what is added to the stream. */
assay_tensor *assay_vit_block(assay_tape *tape, const assay_vit *vit, int64_t layer,
                              assay_tensor *x, const assay_attention_bias *bias,
                              assay_tensor **map);
/* embed, all blocks, final norm if there is one. `layers` (or NULL) receives the block outputs,
 * `maps` (or NULL) the attention maps, one per layer. States: "embeddings", "layers.0" ...,
 * "final_norm". */
assay_tensor *assay_vit_forward(assay_tape *tape, const assay_vit *vit, assay_tensor *images,
                                assay_tensor **layers, assay_tensor **maps);

/* The first blocks on any tokens, and what they compute on their way. */
#define ASSAY_VIT_LAYERS 64
typedef struct assay_vit_trace {
    /* Blocks that are run, from the first, 0 .. config.layers. Maps and scores can be wanted of the
     * one behind them, too: nothing else of it is computed then. */
    int64_t blocks;
    bool want_map[ASSAY_VIT_LAYERS], want_scores[ASSAY_VIT_LAYERS];
    /* Filled: the state after block i (B, T, D), its attention probabilities and its scores, the
     * logits that the softmax takes (B, H, T, T). NULL where there is none. */
    assay_tensor *layers[ASSAY_VIT_LAYERS], *maps[ASSAY_VIT_LAYERS], *scores[ASSAY_VIT_LAYERS];
} assay_vit_trace;
/* x (B, T, D) after trace->blocks blocks, before the final norm. `bias` as in assay_vit_block.
 * Blocks beyond the first ASSAY_VIT_LAYERS are not traced. */
assay_tensor *assay_vit_traced(assay_tape *tape, const assay_vit *vit, assay_tensor *x,
                               const assay_attention_bias *bias, assay_vit_trace *trace);
/* The final norm; x itself in a stack without one. */
assay_tensor *assay_vit_norm(assay_tape *tape, const assay_vit *vit, assay_tensor *x);

/* How deep the parameter of this name (without the stack's prefix) stands, for layer-wise learning
 * rates (spec 2.9.6): 0 the patches, class token and positions, i block i - 1, layers + 1 the
 * rest. */
int64_t assay_vit_depth(const assay_vit_config *config, const char *parameter);
/* The fixed 2-D sine-cosine table (1 + grid^2, D) of spec 1.2, class row zero, into out. D is a
 * multiple of 4. */
void assay_sincos_positions(int64_t grid, int64_t width, float *out);

/* ---- what a set remembers ----
 * Which stacks were built in it, and which low-rank adapters stand beside their matrices: so
 * weights are exchanged with others, and adapters freeze what they stand in, whatever model uses
 * the stacks. */
typedef enum assay_stack_kind {
    ASSAY_STACK_DECODER,
    ASSAY_STACK_BERT,
    ASSAY_STACK_VIT
} assay_stack_kind;

typedef struct assay_stack {
    assay_stack_kind kind;
    const char *prefix;   /* of its parameters; "" for none */
    int64_t first, count; /* its parameters: assay_params_at(params, first) and those after it */
    union {
        assay_decoder_config decoder;
        assay_bert_config bert;
        assay_vit_config vit;
    } config;
} assay_stack;

int64_t assay_stacks(const assay_params *params);
/* In order of building. Borrowed until another stack is noted or the set is freed. */
const assay_stack *assay_stack_at(const assay_params *params, int64_t i);
/* The stack of this kind that was built under `prefix` (NULL: none); NULL without one. */
const assay_stack *assay_stack_find(const assay_params *params, assay_stack_kind kind,
                                    const char *prefix);
/* Notes a stack whose parameters are in the set; the stacks' constructors do it. Copied. */
bool assay_stack_note(assay_params *params, const assay_stack *stack, assay_error *error);

/* The config.json of a decoder (Qwen2 with q/k/v biases, else Llama) or a BERT; `dtype` is
 * "float32", "float16" or "bfloat16". Owned by the caller (assay_free). */
char *assay_stack_config_text(const assay_stack *stack, const char *dtype, assay_error *error);
/* Fills stack->config, stack->kind being set, from a config.json's text; `where` is for
 * messages. */
bool assay_stack_config_parse(assay_stack *stack, const char *text, const char *where,
                              assay_error *error);

/* Low-rank branches y = W x + b + scale B A x beside matrices "MODULE.weight" (O, I) of the set,
 * with A in "PREFIXMODULE.lora_A.weight" (rank, I) and B in "PREFIXMODULE.lora_B.weight" (O, rank):
 * names and shapes as PEFT's. The scale is alpha / rank or, with `rank_stable`, alpha /
 * sqrt(rank). */
typedef struct assay_lora {
    const char *prefix; /* "adapter.lora." */
    int64_t rank;
    double alpha, dropout;
    bool rank_stable;
} assay_lora;

int64_t assay_loras(const assay_params *params);
const assay_lora *assay_lora_at(const assay_params *params, int64_t i); /* as assay_stack_at */
bool assay_lora_note(assay_params *params, const assay_lora *lora, assay_error *error);
double assay_lora_scale(const assay_lora *lora);

#endif
