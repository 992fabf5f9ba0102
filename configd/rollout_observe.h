/* What replicas see of a deployment whose rollout runs, as it travels through etcd (live/observed/DEPLOYMENT/REPLICA):
 *
 *     {"seq": n, "seen": {"rollout": version, "deployment": version},
 *      "arms": {"base": {"groups","workers","converged","rejecting","lost","metrics": {NAME: moments},"latency": {…}},
 * "canary": …}, "groups": n that may run the canary, "lowest": the smallest point among them,
 *      "mixed"?: {"groups": n whose ranks carry different labels, "first": one of them},
 *      "wall_s": unix seconds}
 *
 * and all of them together: a replica that has workers but no record that counts makes the whole unknown. What follows
 * from it: rollout_verdict.h. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_OBSERVE_H
#define CFG_CONFIGD_ROLLOUT_OBSERVE_H

#include "configd/rollout.h"

enum {
    CFG_WHOLE_REPLICAS = 64,
    CFG_WHOLE_NAME = 128,
    CFG_WHOLE_SKEW_S = 5, /* clocks that differ by less are the same */
};
struct cfg_observation {
    uint64_t seq;                 /* rises with every record of one replica */
    uint64_t rollout, deployment; /* versions that it was made under */
    struct cfg_arm_report base, canary;
    uint64_t eligible; /* groups with a point */
    uint64_t units;    /* of these, what moves by itself: racks, where a split is by rack; not told to others */
    double lowest;     /* of their points; 1: none */
    double highest;    /* likewise, 0: none; not told to others */
    int64_t wall_s;    /* the replica's wall clock when it was made; 0: it tells none */
    uint64_t mixed;    /* groups whose ranks here differ in the labels that the split looks at: they agree on no arm */
    char mixed_group[CFG_WHOLE_NAME]; /* one of them */
};
void cfg_observation_print(struct cfg_buf *out, const struct cfg_observation *o); /* check cfg_buf_status */
/* CFG_E_VALUE for a record that is none of ours. */
CFG_MUST_CHECK int cfg_observation_read(struct cfg_observation *out, const cJSON *record, struct cfg_error *err);

/* All replicas' together. */
struct cfg_whole {
    struct cfg_observation sum;
    struct {
        char name[CFG_WHOLE_NAME];
        uint64_t workers, canary;    /* all, and those of the canary */
    } replicas[CFG_WHOLE_REPLICAS];  /* that are known */
    unsigned n, unknown;             /* unknown: have workers, and nothing fresh is known of them */
    uint64_t base_then, canary_then; /* workers at the last decision; 0: nothing was said */
    char why[240];                   /* of the first unknown one */
    /* The clocks that are furthest from this process's: seconds, and whose. 0: none differs by more than a little. */
    struct cfg_whole_skew {
        int64_t s;
        char replica[CFG_WHOLE_NAME];
    } behind, ahead;
};
void cfg_whole_add(struct cfg_whole *w, const char *replica, const struct cfg_observation *o);
/* The replica's clock shows so many seconds more than this process's. What networks and rounding explain counts as
 * nothing. */
void cfg_whole_add_skew(struct cfg_whole *w, const char *replica, int64_t skew_s);
CFG_PRINTF(2, 3) void cfg_whole_add_unknown(struct cfg_whole *w, const char *format, ...);
/* `before` is what cfg_whole_json said at the last decision, or NULL. A replica that had workers then and is not heard
 * of now, while there are fewer workers than then, may be cut off with them, or they died of the release: it is
 * unknown. One whose workers all ran the base is given up after CFG_WHOLE_GONE_MS: they say nothing about the release,
 * and those that live have found another replica by then. absent_ms tells for how long a replica has not been heard. */
enum { CFG_WHOLE_GONE_MS = 90000 };
typedef uint64_t (*cfg_absent_fn)(void *arg, const char *replica);
void cfg_whole_compare(struct cfg_whole *w, const cJSON *before, cfg_absent_fn absent_ms, void *arg);

/* {"base": {"groups","workers","converged","rejecting"}, "canary": …, "unknown", "replicas": {NAME: workers},
 * "canaries": {NAME: workers of the canary}}: returned-owned; NULL without memory. */
cJSON *cfg_whole_json(const struct cfg_whole *w);

#endif
