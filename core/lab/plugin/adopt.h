/* lab/plugin/adopt.h - from a foreign descriptor to a plugin that the host may use.
 *
 * Private to this room. A descriptor comes from another compilation, perhaps years older:
 * everything is read as far as the other side says it reaches, copied to structs of the host's own
 * size, and checked before anyone relies on it. */
#ifndef LAB_PLUGIN_ADOPT_H
#define LAB_PLUGIN_ADOPT_H

#include "lab/plugin/registry.h"

#include <assay/memory.h>

/* Fills kind, name, summary, version, abi, options and functions of `out`. `bytes` is the size of
 * the symbol behind `entry`, 0 when it is unknown. Copies live in `arena`; texts stay the plugin's
 * own. The error's `what` completes "PATH: ...". */
bool adopt_plugin(plugin *out, const void *entry, int64_t bytes, assay_arena *arena,
                  assay_error *error);

/* The table alone: rows of `stride` bytes become rows of the host's size, each checked (name, type,
 * place in a struct of `struct_bytes`, range, choices, default). */
const assay_option *adopt_options(const void *table, int count, int64_t stride,
                                  int64_t struct_bytes, assay_arena *arena, assay_error *error);

/* Lower-case letters, digits and underscores, a letter first, at most 40. */
bool adopt_is_name(const char *name);

/* Size and alignment of the field that an option of this type fills. */
int64_t option_field_bytes(assay_option_type type);
int64_t option_field_alignment(assay_option_type type);

#endif
