/* A rollout's record, typed: how a deployment gets from one release to another, step by step, and where it is.
 *
 * live/rollout/DEPLOYMENT, one per deployment; every decision is a version of it, so its history tells the whole story:
 *
 *     {"deployment","config","run": n,
 *      "from": {"release": {"chat":42,…}, "flags": {…}, "track": "head"},   what the base runs; track: before the
 * rollout "to":   {"release": {"chat":43,…}, "flags": {"experiment/ab.flag":7}}, "steps": [{"share": 0.01, "bake_ms":
 * 60000, "gate": false}, …],      shares rise; the last one is 1 "guards": ["error_rate<1%", …], "min_samples": 30,
 *      "seed", "where"?, "by"?,                                             as a split has them
 *      "start_at"?: unix seconds, "freeze"?: [{"days": ["sat","sun"], "from": "18:00", "to": "08:00"}],   UTC
 *      "state": {"phase","step","resume"?,"then"?},
 *      "reason"?: why it went back, or goes,
 *      "decision": {"input","why","actor","baked_ms"?,"guards": [{"guard","verdict","canary","base",…}],"arms"?}}
 *
 * "decision" is what this version was decided on. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_H
#define CFG_CONFIGD_ROLLOUT_H

#include "configd/rollout_guard.h"
#include "configd/rollout_machine.h"
#include "configd/view.h"

enum {
    CFG_ROLLOUT_WINDOWS_MAX = 8, /* freeze windows */
    CFG_ROLLOUT_MIN_SAMPLES = 30,
    CFG_ROLLOUT_BAKE_MS = 60000,
    CFG_ROLLOUT_BAKE_MS_MAX = 15 * 24 * 3600 * 1000, /* 15 days */
};

struct cfg_rollout_step {
    double share; /* 0 < share ≤ 1 */
    uint64_t bake_ms;
    bool gate; /* a person approves what comes after it */
};
struct cfg_freeze_window {
    unsigned days;         /* bit 0: Sunday, … */
    unsigned from_s, to_s; /* seconds of the day; to ≤ from: it ends on the next day */
};
struct cfg_rollout {
    char deployment[CFG_LIMIT_NAME + 1];
    uint64_t run; /* the version that started it */
    struct cfg_rollout_state state;
    struct cfg_rollout_step steps[CFG_ROLLOUT_STEPS_MAX];
    unsigned n_steps;
    struct cfg_rollout_guard *guards[CFG_GUARDS_OF_ROLLOUT_MAX]; /* owned */
    size_t n_guards;
    uint64_t min_samples;
    int64_t start_at;  /* seconds since 1970; 0: at once */
    int64_t decided_s; /* when this version was, by the clock of who decided it; 0: the record does not tell */
    struct cfg_freeze_window freeze[CFG_ROLLOUT_WINDOWS_MAX];
    size_t n_freeze;
};
/* From a record's body. *out is the caller's to finish. CFG_E_VALUE, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_rollout_read(struct cfg_rollout *out, const cJSON *body, struct cfg_error *err);
void cfg_rollout_finish(struct cfg_rollout *r); /* takes a zeroed struct */

/* --- plans --- */

/* A request's plan, checked, as it is stored: {"steps","guards","min_samples"} and, where given, "where", "by",
 * "start_at", "freeze". body: {"steps": [share or {"share","bake_ms"?,"gate"?}…] or "plan": {"linear": n} or
 * {"exponential": {"first","factor"}}, "bake_ms"?, "gate"?, "guards"?, "min_samples"?, …}; shares are fractions. *out
 * is returned-owned. CFG_E_VALUE with the member's path (shares that fall or exceed 100 %, a guard that is none),
 * CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_rollout_plan(cJSON **out, const cJSON *body, struct cfg_error *err);

/* --- the clock on the wall --- */

/* Has the start time come? */
bool cfg_rollout_is_due(const struct cfg_rollout *r, int64_t now_s);
bool cfg_rollout_is_frozen(const struct cfg_rollout *r, int64_t now_s);
/* When no window holds any more, windows that meet taken as one: seconds since 1970, now_s where none holds; 0: they
 * hold all week. */
int64_t cfg_rollout_frozen_until(const struct cfg_rollout *r, int64_t now_s);

/* --- what the deployment's record becomes --- */

/* Two arms, as the rollout's sides have them, and the split with the share of the step that it is at (0 while it is
 * scheduled). Changes the deployment's body in place. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_rollout_split(cJSON *deployment, const cJSON *rollout, struct cfg_error *err);
/* One arm with that side ("from" or "to"), no split. follow: it follows the heads of its namespaces; flags of the side
 * stay fixed either way. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_rollout_settle(cJSON *deployment, const cJSON *side, bool follow, struct cfg_error *err);

#endif
