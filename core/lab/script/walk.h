/* lab/script/walk.h - the walk over an experiment's places. Private to this room. */
#ifndef LAB_SCRIPT_WALK_H
#define LAB_SCRIPT_WALK_H

#include "lab/script/script.h"

#define MOST_STAGES 64 /* in one experiment; a walk goes as deep */

/* A walk takes all alternatives of an axis (to name axes, to check what --set says) or the
 * chosen one. It begins zeroed but for what its user sets. */
typedef struct walk {
    script *script;
    bool all; /* every alternative, not the chosen ones */
    /* At each axis; false ends the walk. NULL: nothing. */
    bool (*axis)(struct walk *w, node *axis, const char *path, bool in_stage);
    /* At each place that has a path, whatever stands there. NULL: nothing. */
    void (*place)(struct walk *w, const char *path);
    void *user;
    struct {
        const node *stage;
        bool in_choice;
    } visited[2 * MOST_STAGES];
    int visited_count;
    bool in_stage, in_choice;
} walk;

/* Walks the stage and the stages that feed it. False when a callback ended it or with s->error. */
bool walk_stage(walk *w, node *stage);

#endif
