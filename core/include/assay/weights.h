/* assay/weights.h - published weights: safetensors files, read mapped and bounds-checked, and
 * written; folders of them; stacks and low-rank adapters in the form in which others exchange them.
 *
 * The format (https://github.com/huggingface/safetensors): 8 bytes little-endian header length N, N
 * bytes of JSON {"NAME": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}},
 * then the data; offsets count from the end of the header. */
#ifndef ASSAY_WEIGHTS_H
#define ASSAY_WEIGHTS_H

#include <assay/blocks.h>
#include <assay/error.h>
#include <assay/nn.h>
#include <assay/tensor.h>

#include <stdint.h>

typedef enum assay_stored_dtype {
    ASSAY_STORED_F64,
    ASSAY_STORED_F32,
    ASSAY_STORED_F16,
    ASSAY_STORED_BF16,
    ASSAY_STORED_I64,
    ASSAY_STORED_I32,
    ASSAY_STORED_I16,
    ASSAY_STORED_I8,
    ASSAY_STORED_U8,
    ASSAY_STORED_BOOL
} assay_stored_dtype;

#define ASSAY_STORED_MAX_RANK 8

/* One tensor of an open file. Everything is borrowed from the file: valid until it is closed. */
typedef struct assay_stored {
    const char *name;
    const void *data; /* in the mapping; little endian; may be unaligned */
    int64_t bytes;
    int64_t count; /* elements */
    int64_t shape[ASSAY_STORED_MAX_RANK];
    int rank;
    assay_stored_dtype dtype;
} assay_stored;

typedef struct assay_weights assay_weights;

/* The file behind PATH: itself or, in a folder, model.safetensors, weights.safetensors,
 * model.safetensors.index.json, adapter_model.safetensors, or the only index or safetensors file;
 * into out[size]. A folder without one of them is an error; a path that is no folder is not looked
 * at. */
bool assay_weights_locate(const char *path, char *out, int64_t size, assay_error *error);

/* Maps a safetensors file, the shards that a *.safetensors.index.json names, or what
 * assay_weights_locate finds in a folder, and checks all of it before anything is handed out:
 * header length, JSON, duplicate names, dtypes, shapes, every offset (inside the file, begin <=
 * end, matching shape and dtype, no overlap, no hole), so that later reads cannot fault; that every
 * tensor of an index is in its shard, and no other. Headers above 100 MB are refused. The caller
 * owns the result and ends it with assay_weights_close. */
assay_weights *assay_weights_open(const char *path, assay_error *error);
void assay_weights_close(assay_weights *weights); /* accepts NULL */

/* What was opened: the file or the index; and the safetensors files that are mapped. Borrowed. */
const char *assay_weights_path(const assay_weights *weights);
int64_t assay_weights_files(const assay_weights *weights);
const char *assay_weights_file(const assay_weights *weights, int64_t i);

int64_t assay_weights_count(const assay_weights *weights);
/* The i-th tensor in order of data (shard by shard), 0 .. count-1; empty tensors at one place as in
 * the header. Borrowed. */
const assay_stored *assay_weights_at(const assay_weights *weights, int64_t i);
/* By name; NULL when absent. Borrowed. */
const assay_stored *assay_weights_find(const assay_weights *weights, const char *name);
/* By name; absence is an error that names the file and the nearest name. Borrowed. */
const assay_stored *assay_weights_get(const assay_weights *weights, const char *name,
                                      assay_error *error);
/* A __metadata__ value; NULL when absent. Borrowed. */
const char *assay_weights_metadata(const assay_weights *weights, const char *key);

/* Copies a stored tensor into `out`, which must have the same shape (rank included) and dtype f32,
 * bf16, i32 or u8. Floating dtypes convert to f32 and bf16 (rounding to nearest even); integers and
 * booleans (0 or 1) convert to i32 and u8 when every value fits; anything else is an error naming
 * the tensor, and leaves `out` as it was. */
bool assay_stored_read(const assay_stored *stored, assay_tensor *out, assay_error *error);
/* The same, as a new tensor of `dtype` with the stored shape (rank <= ASSAY_MAX_RANK), owned. */
assay_tensor *assay_stored_tensor(const assay_stored *stored, assay_dtype dtype,
                                  assay_error *error);
/* All values as double into out[count]; works for every dtype. */
void assay_stored_doubles(const assay_stored *stored, double *out);
/* The single value of a one-element tensor. */
bool assay_stored_scalar(const assay_stored *stored, double *out, assay_error *error);
/* "F32", "BF16" ...: the name in the file. Static storage. */
const char *assay_stored_dtype_name(assay_stored_dtype dtype);

/* ---- writing ---- */

/* A tensor to be written, borrowed: name and tensor must live until the write ends. */
typedef struct assay_weights_item {
    const char *name;
    const assay_tensor *tensor; /* f32, bf16, i32, u8 are stored as F32, BF16, I32, U8 */
} assay_weights_item;

/* Publishes PATH atomically (assay/file.h) with the items in the given order. `metadata` is
 * n_metadata pairs key, value (NULL for none). The same items give the same bytes. Duplicate names
 * or keys, the names "" and "__metadata__", and texts that are not UTF-8 are errors. */
bool assay_weights_write(const char *path, int64_t n, const assay_weights_item *items,
                         int64_t n_metadata, const char *const (*metadata)[2], assay_error *error);

typedef struct assay_weights_options {
    assay_stored_dtype dtype; /* of floating tensors: ASSAY_STORED_F32, F16 or BF16 */
    int64_t shard_bytes;      /* data of more bytes goes to several files; 0: never */
} assay_weights_options;

/* Publishes FOLDER/model.safetensors, or FOLDER/model-00001-of-00003.safetensors ... and then
 * model.safetensors.index.json. A finite value that F16 cannot hold is an error. `options` NULL:
 * F32, one file. */
bool assay_weights_write_folder(const char *folder, int64_t n, const assay_weights_item *items,
                                const assay_weights_options *options, assay_error *error);

/* ---- parameter sets ---- */

typedef struct assay_load_options {
    const char *prefix; /* put before every parameter's name to find it in the file; NULL: none */
    bool allow_missing; /* a parameter that the file lacks keeps its value instead of failing */
    bool allow_unused;  /* a tensor of the file that no parameter takes is no error */
    /* Optional: asked about a tensor of another shape than its parameter's, before anything is
     * changed with `out` NULL, and then to fill `out`, the parameter's numbers. False: it does not
     * fit. */
    bool (*fit)(const assay_params *params, const assay_parameter *parameter,
                const assay_stored *stored, float *out, assay_error *error);
    /* Optional: the tensor of a parameter that the file does not have under its own name; NULL:
     * none. */
    const assay_stored *(*find)(const assay_params *params, const assay_weights *weights,
                                const char *name);
} assay_load_options;

/* Copies stored tensors of a floating type into the parameters of the same name and shape. With
 * both options false (or `options` NULL) the file and the set must match exactly; nothing is
 * changed on failure. `loaded` (or NULL) counts. */
bool assay_params_load(assay_params *params, const assay_weights *weights,
                       const assay_load_options *options, int64_t *loaded, assay_error *error);

/* For assay_load_options.find: the tensor of a ViT's parameter in published weights, whose names
 * are timm's behind any prefix ("module.", "backbone.", "teacher.backbone." ...) and whose layer
 * scales may be called ls1.gamma and ls2.gamma (DeiT III). Of a student and a teacher in one file
 * (DINO, iBOT) the teacher is meant. Other parameters of the model may stand behind the same
 * prefix. NULL: there is none. */
const assay_stored *assay_find_published(const assay_params *params, const assay_weights *weights,
                                         const char *name);
/* Whether a ViT of the set can take what the file holds: layer scales of the file are not left out
 * in silence, which would make it another network. */
bool assay_check_published(const assay_params *params, const assay_weights *weights,
                           assay_error *error);

/* Publishes all parameters as safetensors under their names, with the set's stacks and low-rank
 * adapters in the metadata. */
bool assay_params_save(const assay_params *params, const char *path, assay_error *error);
/* The set that assay_params_save wrote, without the model that had built it: frozen parameters, and
 * the stacks and adapters that it remembers. The caller owns it. */
assay_params *assay_params_open(const char *path, assay_error *error);

/* ---- stacks as published folders (Hugging Face) ---- */

/* What a folder held beside the stack: heads for another purpose, BERT's pooler. */
typedef struct assay_stack_report {
    int64_t loaded, ignored;
    char first_ignored[ASSAY_NAME_LIMIT + 1];
} assay_stack_report;

/* Fills a stack of the set from published weights (as assay_weights_open takes them): Qwen2 and
 * Llama with or without "model.", BERT with or without "bert." and with LayerNorm's old names gamma
 * and beta. Every parameter of the stack has to be there in its shape; tensors of more layers, and
 * a config.json beside the weights that describes another model, are errors; what no stack has is
 * ignored and reported (`report` may be NULL). A head is not looked for when it is tied. Nothing is
 * changed on failure. A counting set is only compared. */
bool assay_stack_load(assay_params *params, const assay_stack *stack, const char *path,
                      assay_stack_report *report, assay_error *error);

/* Writes FOLDER/config.json and the stack's weights (assay_weights_write_folder) under their
 * published names, for transformers' AutoModel.from_pretrained. The folder is made if it is
 * missing. */
bool assay_stack_save(const assay_params *params, const assay_stack *stack, const char *folder,
                      const assay_weights_options *options, assay_error *error);

/* ---- low-rank adapters (PEFT) ---- */

/* Adds scale B A to every matrix that has a branch of this adapter, and sets its B to zero: the set
 * computes what it did. */
bool assay_lora_merge(assay_params *params, const assay_lora *lora, assay_error *error);

/* Fills the adapter's A and B from a folder that PEFT saved (adapter_config.json and
 * adapter_model.safetensors), its weights, or a set's own file. Rank, alpha and rank-stability have
 * to be the adapter's; every branch has to be there, and every tensor of an adapter to have its
 * place. Several stacks of one shape take the same tensors. A counting set is only compared. */
bool assay_lora_load(assay_params *params, const assay_lora *lora, const char *path,
                     assay_error *error);

/* Writes the adapter's branches in one stack as PEFT does, into FOLDER (made if missing); *saved
 * tells how many there were, and with 0 nothing is written. */
bool assay_lora_save(const assay_params *params, const assay_lora *lora, const assay_stack *stack,
                     const char *folder, int64_t *saved, assay_error *error);

#endif
