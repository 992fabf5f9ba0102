/* Rollouts that cannot move, and those that wait for somebody. */
#include "client/cfgctl/doctor.h"
#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/table.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 480, HOUR_S = 3600, DAY_S = 24 * HOUR_S };

/* What a reason comes to once the last decision is so old. `next` has the deployment's name for %s, or a %s less. */
struct rule {
    const char *reason;
    enum doctor_severity severity;
    double after_s;
    const char *what, *why, *next;
};
static const struct rule rules[] = {
    {"driver", DOCTOR_ERROR, 10, "no configd drives its rollout", "no step is taken, and no guard rolls it back",
     "see what keeps the replicas from etcd; by hand meanwhile: cfgctl rollout abort %s -m WHY"},
    {"replica", DOCTOR_WARNING, 10, "its rollout waits for a configd",
     "while it is not known what that one's workers run, no guard passes",
     "start it again; was it taken down for good: cfgctl rollout pause %s, then resume"},
    {"groups", DOCTOR_WARNING, 10, "its rollout has nobody to run the new release", "no guard can be judged",
     "cfgctl status %s -o wide shows groups and labels; or cfgctl rollout abort"},
    {"converging", DOCTOR_WARNING, 60, "its rollout waits for workers to take a release over",
     "slow steps, a rank that holds its group up, or workers that have gone", "cfgctl status %s names them"},
    {"guard", DOCTOR_WARNING, 10, "its rollout has baked, and a guard holds it",
     "too few samples, or what it sees may be chance",
     "wait for more; or cfgctl rollout advance %s -m WHY, which goes past the guards; or abort"},
    {"gate", DOCTOR_INFO, 0, "its rollout waits for an approval", "a part of the fleet runs the new release meanwhile",
     "cfgctl rollout approve %s, or abort"},
    {"paused", DOCTOR_INFO, 0, "its rollout is paused", "a part of the fleet may run the new release meanwhile",
     "cfgctl rollout resume %s, or abort"},
};

static void find(cJSON *findings, const struct rule *r, const char *deployment, const char *detail)
{
    char what[TEXT], next[TEXT];
    const char *blank = strstr(r->next, "%s");
    (void)snprintf(what, sizeof what, "%s%s%.300s", r->what, detail[0] ? ": " : "", detail);
    (void)snprintf(next, sizeof next, "%.*s%s%s", blank ? (int)(blank - r->next) : 0, r->next, blank ? deployment : "",
                   blank ? blank + 2 : r->next);
    doctor_add(findings, r->severity, deployment, what, r->why, next);
}

static void judge_end(cJSON *findings, const cJSON *rollout, const char *deployment, double age_s)
{
    static const struct rule back = {"",
                                     DOCTOR_INFO,
                                     0,
                                     "its last rollout was rolled back",
                                     "the version that failed is the newest of its namespace still",
                                     "cfgctl rollout history %s"};
    const char *phase = cfg_json_get_str(cfg_json_get(rollout, "state"), "phase", "");
    if (strcmp(phase, "rolled-back") == 0 && age_s < DAY_S)
        find(findings, &back, deployment, cfg_json_get_str(rollout, "reason", ""));
}

void doctor_judge_rollout(cJSON *findings, const cJSON *rollout, int64_t now_us)
{
    const cJSON *live = cfg_json_get(rollout, "live");
    const char *deployment = cfg_json_get_str(rollout, "deployment", "?"), *reason;
    int64_t decided_us = now_us;
    if (cfg_rfc3339_parse(&decided_us, cfg_slice_str(cfg_json_get_str(rollout, "time", "")), NULL) != 0)
        decided_us = 0; /* so long ago that it counts */
    double age_s = (double)(now_us - decided_us) / 1e6;
    if (rollout_is_final(rollout)) {
        judge_end(findings, rollout, deployment, age_s);
        return;
    }
    reason = cfg_json_get_str(live, "reason", "");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(reason, rules[i].reason) == 0 && age_s >= rules[i].after_s)
            find(findings, &rules[i], deployment,
                 rules[i].severity == DOCTOR_INFO ? cfg_json_get_str(cfg_json_get(rollout, "decision"), "why", "")
                                                  : cfg_json_get_str(live, "waits", ""));
}
