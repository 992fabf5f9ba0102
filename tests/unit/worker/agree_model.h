/* All interleavings of the real agreement machines of three ranks: up to three revisions, one crash, any order of what
 * ranks hear, fetch, contribute, receive and miss. The network is a model (a round completes when all have contributed;
 * each rank receives its result at its own time, or never once somebody is gone); the machines are the product's. */
#ifndef CFG_TEST_AGREE_MODEL_H
#define CFG_TEST_AGREE_MODEL_H

#include "worker/agree.h"

enum { MODEL_RANKS = 3 };

enum model_sabotage {
    MODEL_HONEST,
    MODEL_ADOPTS_EARLY,    /* rank 2 takes a candidate when it is named */
    MODEL_FORGETS_REFUSAL, /* rank 2 takes what another rank refuses */
    MODEL_FORMS_ALONE,     /* rank 2 goes on with what it ran on before the group formed */
    MODEL_NEVER_FETCHES,   /* rank 2 leaves a candidate that it lacks */
};

struct model_options {
    int revisions;
    bool lagged;          /* a round's result is read when the next is started */
    int refuser, refused; /* this rank refuses this revision; −1: none */
    int odd;              /* this rank's digest of every revision from 2 on is another; −1: none */
    bool cache_lost;      /* who restarts has lost its cache */
    enum model_sabotage sabotage;
};

struct model_report {
    char violation[256]; /* "" when every state is well */
    unsigned states, edges, adoptions;
};

void model_explore(struct model_report *out, const struct model_options *o);

#endif
