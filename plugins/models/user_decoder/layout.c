/* layout.c - the three layouts (layout.h). */
#include "layout.h"

#include <assay/memory.h>

#include <string.h>

#define SYSTEM "system\nYou are a helpful assistant."
#define SENTENCE                                                                                   \
    "user\nWhat follows is the record of one user, taken from several sources: payment bills, "    \
    "installed apps, mini program visits, search queries, page paths and a table of features.\n"

/* What a layout is written with; the first failure ends all. */
typedef struct pencil {
    layout *to;
    lexicon *words;
    assay_error *error;
    bool failed;
} pencil;

static void put(pencil *p, piece_kind kind, int32_t value)
{
    if (p->failed)
        return;
    if (p->to->count == LAYOUT_PIECES) {
        p->failed = !ASSAY_FAIL(p->error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                                .what = "the layout has too many pieces");
        return;
    }
    p->to->pieces[p->to->count++] = (piece){kind, value};
}

static void put_token(pencil *p, piece_kind kind, int32_t id)
{
    p->failed = p->failed || id < 0;
    put(p, kind, id);
}

static void put_sentence(pencil *p, const char *text)
{
    assay_ids ids = {0};
    p->failed = p->failed || !lexicon_sentence(p->words, text, &ids, p->error);
    for (int64_t i = 0; i < ids.count; i++)
        put(p, PIECE_ID, ids.items[i]);
    assay_ids_free(&ids);
}

static int32_t needed(const pencil *p, const char *name)
{
    return p->failed ? -1 : lexicon_needed(p->words, name, p->error);
}

static int32_t marker_of(const pencil *p, const char *name)
{
    return p->failed ? -1 : lexicon_marker(p->words, name, p->error);
}

/* ---- markers of sources ---- */

/* Name k of the sources and, last, of the features. */
static const char *block_name(const layout_recipe *r, int k)
{
    return k < r->source_count ? r->sources[k] : "tabular";
}

static int block_count(const layout_recipe *r)
{
    return r->source_count + r->features;
}

/* The blocks in the order in which the published code adds their tokens: the sources that it knows
 * first, in its own order, then the others (spec 2.2). */
static int published_order(const layout_recipe *r, int order[MODEL_SOURCES + 1])
{
    static const char *const known[] = {"bill", "minipro", "spm", "sousuo", "app", "tabular"};
    bool taken[MODEL_SOURCES + 1] = {false};
    int n = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        for (int k = 0; k < block_count(r); k++)
            if (!taken[k] && strcmp(block_name(r, k), known[i]) == 0) {
                taken[k] = true;
                order[n++] = k;
            }
    for (int k = 0; k < block_count(r); k++)
        if (!taken[k])
            order[n++] = k;
    return n;
}

/* Gives markers their ids in the published order; those of slots are never read. */
static void number_chat_markers(pencil *p, const layout_recipe *r)
{
    int order[MODEL_SOURCES + 1], n = published_order(r, order);
    for (int i = 0; i < n; i++)
        marker_of(p, assay_text("<|%s_pad|>", block_name(r, order[i])));
    for (int i = 0; i < n; i++) {
        marker_of(p, assay_text("<|%s_start|>", block_name(r, order[i])));
        marker_of(p, assay_text("<|%s_end|>", block_name(r, order[i])));
    }
    marker_of(p, "<|user_emb|>");
}

/* Sources in the dataset's order, then features, each between its markers ("%s" is the name; NULL:
 * none). */
static void put_blocks(pencil *p, const layout_recipe *r, const char *chat_or_tag)
{
    bool chat = chat_or_tag && strcmp(chat_or_tag, "chat") == 0;
    for (int k = 0; k < block_count(r); k++) {
        const char *name = block_name(r, k);
        if (chat_or_tag)
            put_token(p, PIECE_ID, marker_of(p, assay_text(chat ? "<|%s_start|>" : "<%s>", name)));
        if (k < r->source_count)
            put(p, PIECE_EVENTS, k);
        else
            put(p, PIECE_FEATURES, 0);
        if (chat_or_tag)
            put_token(p, PIECE_ID, marker_of(p, assay_text(chat ? "<|%s_end|>" : "</%s>", name)));
    }
}

static void put_history(pencil *p, const layout_recipe *r, const char *chat_or_tag)
{
    put(p, PIECE_BEGIN, 0);
    put(p, PIECE_SUMMARIES, 0);
    put_blocks(p, r, chat_or_tag);
    put(p, PIECE_END, 0);
    put(p, PIECE_BESIDE, 0);
}

static void put_question(pencil *p, const layout_recipe *r, const char *read)
{
    put(p, PIECE_QUESTION, 0);
    put(p, PIECE_EXTRA, 0);
    if (r->marked)
        put_token(p, PIECE_READ, marker_of(p, read));
}

/* ---- the layouts ---- */

static void make_plain(pencil *p, const layout_recipe *r)
{
    bool by_words = lexicon_vocabulary(p->words) != NULL;
    put(p, PIECE_FRONT, 0);
    put_history(p, r, NULL);
    p->to->question_mark = by_words ? WORD_QUESTION : marker_of(p, "<|question|>");
    put(p, PIECE_QUESTION, 0);
    put(p, PIECE_EXTRA, 0);
    if (r->marked)
        put_token(p, PIECE_READ, by_words ? WORD_USER : marker_of(p, "<USER>"));
}

static void make_chat(pencil *p, const layout_recipe *r)
{
    layout *to = p->to;
    int32_t begin = needed(p, "<|im_start|>"), end = needed(p, "<|im_end|>");
    number_chat_markers(p, r);
    put(p, PIECE_FRONT, 0);
    put_token(p, PIECE_ID, begin);
    put_sentence(p, SYSTEM);
    put_token(p, PIECE_ID, end);
    put_sentence(p, "\n");
    put_token(p, PIECE_ID, begin);
    put_sentence(p, SENTENCE);
    put_history(p, r, "chat");
    to->lead = "\nQuery: ";
    to->lead_always = true;
    put_question(p, r, "<|user_emb|>");
    to->answer_ends[0] = end;
    /* What closes the user's turn and opens the assistant's. */
    int first = to->count;
    put_token(p, PIECE_ID, end);
    put_sentence(p, "\n");
    put_token(p, PIECE_ID, begin);
    put_sentence(p, "assistant\n");
    if (p->failed)
        return;
    to->tail.room = to->tail.count = to->count - first;
    to->tail.items = assay_alloc(to->tail.room * (int64_t)sizeof(int32_t), p->error);
    p->failed = !to->tail.items;
    for (int64_t i = 0; !p->failed && i < to->tail.count; i++)
        to->tail.items[i] = to->pieces[first + i].value;
    to->count = first;
}

static void make_tagged(pencil *p, const layout_recipe *r)
{
    put(p, PIECE_FRONT, 0);
    put_history(p, r, "tag");
    p->to->lead = "Instruction: ";
    p->to->lead_always = true;
    put_question(p, r, "<USER>");
}

bool layout_make(layout *out, const layout_recipe *recipe, lexicon *words, assay_error *error)
{
    assay_ids lead = {0};
    pencil p = {.to = out, .words = words, .error = error};
    *out = (layout){.lead = "", .question_mark = -1};
    int32_t end = lexicon_end(words, error);
    p.failed = end < 0;
    out->answer_ends[0] = out->answer_ends[1] = end;
    out->pad = lexicon_vocabulary(words) ? WORD_PAD : end;
    if (recipe->kind == LAYOUT_CHAT)
        make_chat(&p, recipe);
    else if (recipe->kind == LAYOUT_TAGGED)
        make_tagged(&p, recipe);
    else
        make_plain(&p, recipe);
    p.failed = p.failed || !lexicon_sentence(words, out->lead, &lead, error);
    out->lead_ids = lead.count;
    assay_ids_free(&lead);
    return !p.failed;
}

void layout_close(layout *closed)
{
    assay_ids_free(&closed->tail);
}
