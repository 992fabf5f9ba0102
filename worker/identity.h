/* Who a worker is: from its options, else the environment (CONFIGD_*, torchrun, Slurm, LeaderWorkerSet), else the host
 * name. Pure: the environment and the host name come in as values. */
#ifndef CFG_WORKER_IDENTITY_H
#define CFG_WORKER_IDENTITY_H

#include <cfg/worker.h>

enum { CFG_ID_TEXT = 128 };

struct cfg_identity {
    char deployment[CFG_ID_TEXT];
    char worker[CFG_ID_TEXT];
    char incarnation[33]; /* 32 hex digits, fresh per process */
    char host[CFG_ID_TEXT];
    int pid;
    uint32_t rank, world;
    char *labels; /* a JSON object's text; owned; NULL: none */
};

struct cfg_environment {
    const char *(*get)(void *arg, const char *name); /* borrowed; NULL when unset */
    void *arg;
    const char *host;
    int pid;
    uint8_t random[16];
};

/* Fills everything. need_deployment: a source that knows none (a file) needs no name either. Errors: CFG_E_INVALID (no
 * deployment named: says how), CFG_E_ADDRESS (malformed), CFG_E_JSON (labels). Free with cfg_identity_finish. */
CFG_MUST_CHECK int cfg_identity_resolve(struct cfg_identity *out, const struct cfg_worker_options *o,
                                        const struct cfg_environment *env, bool need_deployment, struct cfg_error *err);
void cfg_identity_finish(struct cfg_identity *id);

#endif
