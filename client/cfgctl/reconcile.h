/* Whether a file may be written over what is served: the three-way decision of apply. Pure.
 *
 * Three states of one object are compared: what the file says, what was last written from the files (or taken into
 * them) and what is served now. Only where the second is the third does a difference come from the file alone. */
#ifndef CFG_CFGCTL_RECONCILE_H
#define CFG_CFGCTL_RECONCILE_H

#include "proto/json.h"

enum reconcile_action {
    RECONCILE_NONE,    /* neither in the files nor theirs: nobody's business */
    RECONCILE_SAME,    /* served as the file has it */
    RECONCILE_CREATE,  /* the file is new, or taken back */
    RECONCILE_UPDATE,  /* the file changed, or is taken over what is served */
    RECONCILE_DELETE,  /* the file is gone: --prune */
    RECONCILE_LEFT,    /* the file is gone, and without --prune the object stays */
    RECONCILE_DRIFT,   /* changed outside the files; the file is what it was */
    RECONCILE_CLASH,   /* changed outside the files and in the file */
    RECONCILE_REMOVED, /* deleted outside the files */
    RECONCILE_FOREIGN, /* there already, and never written from these files */
};

struct reconcile_state {
    const cJSON *file; /* NULL: no file says anything of it */
    const cJSON *last; /* NULL: they deleted it, or (not `known`) never had it */
    const cJSON *head; /* NULL: there is none */
    bool known;        /* the files had it once: `last` is what they said */
    bool owned;        /* they made what is served, or took it over */
    bool prune, take;  /* options */
};
enum reconcile_action reconcile_decide(const struct reconcile_state *s);
/* Does the action need --take? */
bool reconcile_conflicts(enum reconcile_action a);
/* Does it write? */
bool reconcile_writes(enum reconcile_action a);
/* "create", "update", "drift", …, for programs. Static storage. */
const char *reconcile_name(enum reconcile_action a);

#endif
