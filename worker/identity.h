/* Who a worker is: from its options, else the environment (CONFIGD_*, torchrun, Slurm, LeaderWorkerSet), else the host
 * name. Pure: the environment and the host name come in as values. Two files: identity.c (the worker), identity_group.c
 * (its place in a group). */
#ifndef CFG_WORKER_IDENTITY_H
#define CFG_WORKER_IDENTITY_H

#include <cfg/worker.h>

enum { CFG_ID_TEXT = 128, CFG_ADDRESS_TEXT = 288 };

struct cfg_identity {
    char deployment[CFG_ID_TEXT];
    char worker[CFG_ID_TEXT];
    char incarnation[33]; /* 32 hex digits, fresh per process */
    char host[CFG_ID_TEXT];
    int pid;
    uint32_t rank, world;
    char group[CFG_ID_TEXT];        /* never empty: a worker on its own is its own group */
    char root[CFG_ADDRESS_TEXT];    /* "HOST:PORT" where the launcher says that rank 0 is to be met; "": it does not */
    char address[CFG_ADDRESS_TEXT]; /* "HOST:PORT" where this rank 0 listens for the others; "": it does not */
    char *labels;                   /* a JSON object's text; owned; NULL: none */
    char *capabilities;             /* a JSON array's text; owned; NULL: none */
};

struct cfg_environment {
    const char *(*get)(void *arg, const char *name); /* borrowed; NULL when unset */
    void *arg;
    const char *host;
    int pid;
    uint8_t random[16];
};

/* Fills everything but the address. need_deployment: a source that knows none (a file) needs no name either. Errors:
 * CFG_E_INVALID (no deployment named: says how; a rank outside its world), CFG_E_ADDRESS (malformed), CFG_E_JSON
 * (labels, capabilities). Free with cfg_identity_finish. */
CFG_MUST_CHECK int cfg_identity_resolve(struct cfg_identity *out, const struct cfg_worker_options *o,
                                        const struct cfg_environment *env, bool need_deployment, struct cfg_error *err);
void cfg_identity_finish(struct cfg_identity *id);

/* Of the above: rank, world, group and root; id's deployment and worker are set. CFG_E_INVALID, CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_identity_group(struct cfg_identity *id, const struct cfg_worker_options *o,
                                      const struct cfg_environment *env, struct cfg_error *err);

/* A variable of the environment, borrowed; NULL when unset or empty. */
const char *cfg_env_get(const struct cfg_environment *env, const char *name);
/* A small decimal number in the environment; -1 when unset or no number. */
long cfg_env_number(const struct cfg_environment *env, const char *name);

#endif
