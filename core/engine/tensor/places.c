/* places.c - the names by which others reach into a model's pass: taps on its states, and adapters
 * at its places. */
#include "engine/tensor/tape.h"

#include <string.h>

/* ---- scopes and taps ---- */

bool assay_tape_scope(assay_tape *tape, const char *scope)
{
    size_t length = scope ? strlen(scope) : 0;
    if (length > ASSAY_SCOPE_LIMIT) {
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = "scope",
                                        .what = "the name is too long",
                                        .expected = assay_text("at most %d", ASSAY_SCOPE_LIMIT),
                                        .got = scope});
        return false;
    }
    memcpy(tape->scope, scope ? scope : "", length + 1);
    return true;
}

const char *assay_tape_scope_get(const assay_tape *tape)
{
    return tape->scope;
}

bool assay_tape_tap(assay_tape *tape, const char *name)
{
    assay_error error = {0};
    for (int i = 0; i < tape->tap_count; i++)
        if (strcmp(tape->taps[i].name, name) == 0)
            return true;
    if (tape->tap_count == TAPE_TAPS) {
        assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                        (assay_failure){.where = assay_text("tap '%s'", name),
                                        .what = "too many taps on one tape",
                                        .expected = assay_text("at most %d", TAPE_TAPS)});
        return false;
    }
    tape->taps[tape->tap_count].name = assay_strdup(name, &error);
    if (!tape->taps[tape->tap_count].name) {
        if (tape->error.code == ASSAY_OK)
            tape->error = error;
        return false;
    }
    tape->taps[tape->tap_count++].state = NULL;
    return true;
}

/* Whether `tapped` is SCOPE/NAME, or NAME without a scope. */
static bool is_named(const assay_tape *tape, const char *tapped, const char *name)
{
    size_t length = strlen(tape->scope);
    if (length == 0)
        return strcmp(tapped, name) == 0;
    return strncmp(tapped, tape->scope, length) == 0 && tapped[length] == '/' &&
           strcmp(tapped + length + 1, name) == 0;
}

assay_tensor *assay_state(assay_tape *tape, const char *name, assay_tensor *x)
{
    if (!x)
        return NULL;
    for (int i = 0; i < tape->tap_count; i++)
        if (is_named(tape, tape->taps[i].name, name)) {
            tape->taps[i].state = x;
            x->keeps_grad = true;
        }
    return x;
}

assay_tensor *assay_tape_tapped(const assay_tape *tape, const char *name)
{
    for (int i = 0; i < tape->tap_count; i++)
        if (strcmp(tape->taps[i].name, name) == 0)
            return tape->taps[i].state;
    return NULL;
}

/* ---- places ---- */

bool assay_tape_attach(assay_tape *tape, assay_attachment attachment)
{
    if (tape->attachment_count == TAPE_ATTACHMENTS) {
        assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                        (assay_failure){.where = "places",
                                        .what = "too many attachments on one tape",
                                        .expected = assay_text("at most %d", TAPE_ATTACHMENTS)});
        return false;
    }
    tape->attachments[tape->attachment_count++] = attachment;
    return true;
}

bool assay_tape_attached(const assay_tape *tape)
{
    return tape->attachment_count > 0;
}

bool assay_place_taken(const assay_tape *tape, const char *place)
{
    for (int i = 0; i < tape->attachment_count; i++)
        if (tape->attachments[i].attaches(tape->attachments[i].user, place))
            return true;
    return false;
}

assay_tensor *assay_place(assay_tape *tape, const char *place, assay_tensor *input,
                          assay_tensor *output)
{
    for (int i = 0; i < tape->attachment_count && output; i++) {
        const assay_attachment *at = &tape->attachments[i];
        if (!at->attaches(at->user, place))
            continue;
        assay_tensor *made = at->apply(at->user, tape, place, input, output);
        if (made && !assay_tensor_same_shape(made, output))
            return assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                                   (assay_failure){.where = assay_text("place '%s'", place),
                                                   .what = "an adapter changed the shape",
                                                   .expected = assay_tensor_text(output),
                                                   .got = assay_tensor_text(made)});
        output = made;
    }
    return output;
}
