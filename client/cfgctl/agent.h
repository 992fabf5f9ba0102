/* cfgctl as a worker: `run` and `sync` follow a deployment through libcfgclient's session and say what they made of it,
 * so that `cfgctl status` shows them like any worker. The caller polls the descriptor; one thread. */
#ifndef CFG_CFGCTL_AGENT_H
#define CFG_CFGCTL_AGENT_H

#include "client/cfgctl/cli.h"

struct agent;

/* A view that is newer than every one before. view: {"parameters","pinned",…}, borrowed until the call returns. */
typedef void (*agent_view_fn)(void *arg, const cJSON *view, const char *revision, const char *digest);

struct agent_options {
    const char *deployment;
    const char *role;      /* "run", "sync": the id is HOST-PID.role, or CONFIGD_WORKER.role */
    const char *class;     /* apply class of every leaf: "restart", "live" */
    const cJSON *document; /* whose leaves are the contract; NULL: none yet */
    agent_view_fn on_view;
    void (*on_registered)(void *arg); /* a configd that may know nothing of us yet: report */
    void *arg;
};

/* CFG_E_INVALID, CFG_E_IO, CFG_E_NOMEM; no server is asked yet. Strings are copied. */
CFG_MUST_CHECK int agent_new(struct agent **out, struct cli *c, const struct agent_options *o, struct cfg_error *err);
void agent_free(struct agent *a); /* NULL is fine */
int agent_fd(const struct agent *a);
void agent_process(struct agent *a);
const char *agent_id(const struct agent *a);
/* The leaves of another document become the contract of later registrations. CFG_E_NOMEM. */
CFG_MUST_CHECK int agent_declare(struct agent *a, const cJSON *document, struct cfg_error *err);

struct agent_report {
    const char *revision, *digest; /* applied; NULL: nothing yet */
    uint64_t step;                 /* how often something was applied */
    const cJSON *pending;          /* array of paths, or NULL */
    const char *reject, *reason;   /* revision that was not applied and why, or NULL */
};
/* Sent now or once connected; only the newest is kept meanwhile. CFG_E_NOMEM. */
CFG_MUST_CHECK int agent_report(struct agent *a, const struct agent_report *r, struct cfg_error *err);

#endif
