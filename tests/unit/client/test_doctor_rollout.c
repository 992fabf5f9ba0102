/* What doctor finds about rollouts. */
#include "client/cfgctl/doctor.h"
#include "proto/rfc3339.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What is found of a rollout whose last decision is so old: "severity what | next", or "". */
static const char *judged(const char *phase, const char *reason, const char *waits, int age_s)
{
    static char out[1024];
    char text[1024], time[CFG_RFC3339_TEXT];
    const int64_t now_us = INT64_C(1796090400) * 1000000;
    (void)cfg_rfc3339_print(time, now_us - age_s * INT64_C(1000000));
    (void)snprintf(
        text, sizeof text,
        "{\"deployment\":\"blue\",\"time\":\"%s\",\"state\":{\"phase\":\"%s\",\"step\":0},\"reason\":\"e<1%% fails\","
        "\"decision\":{\"why\":\"lunch\"}%s%s%s%s%s}",
        time, phase, reason ? ",\"live\":{\"reason\":\"" : "", reason ? reason : "", reason ? "\",\"waits\":\"" : "",
        waits, reason ? "\"}" : "");
    cJSON *rollout = NULL, *findings = cJSON_CreateArray();
    cr_assert_eq(cfg_json_parse(&rollout, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    doctor_judge_rollout(findings, rollout, now_us);
    const cJSON *f = findings->child;
    cr_assert_leq(cJSON_GetArraySize(findings), 1);
    (void)snprintf(out, sizeof out, "%s%s%s%s%s", f ? cfg_json_get_str(f, "severity", "?") : "", f ? " " : "",
                   f ? cfg_json_get_str(f, "what", "?") : "", f ? " | " : "",
                   f ? cfg_json_get_str(f, "next", "?") : "");
    cJSON_Delete(rollout);
    cJSON_Delete(findings);
    return out;
}

Test(doctor, a_rollout_that_cannot_move)
{
    cr_assert_str_eq(
        judged("baking", "driver", "bakes for 3 s more", 11),
        "error no configd drives its rollout: bakes for 3 s more | see what keeps the replicas from etcd; by "
        "hand meanwhile: cfgctl rollout abort blue -m WHY");
    cr_assert_str_eq(judged("rolling", "driver", "", 9), "", "the lock is on its way");
    cr_assert_str_eq(
        judged("rolling", "replica", "replica r2 is silent", 11),
        "warning its rollout waits for a configd: replica r2 is silent | start it again; was it taken down "
        "for good: cfgctl rollout pause blue, then resume");
    cr_assert_str_eq(judged("rolling", "converging", "3 of 4", 59), "", "that takes a moment");
    cr_assert_str_eq(judged("rolling", "converging", "3 of 4", 60),
                     "warning its rollout waits for workers to take a release over: 3 of 4 | cfgctl status blue names "
                     "them");
    cr_assert_str_eq(
        judged("baking", "guard", "guard e<1% holds: 3 of 30 samples", 100),
        "warning its rollout has baked, and a guard holds it: guard e<1% holds: 3 of 30 samples | wait for "
        "more; or cfgctl rollout advance blue -m WHY, which goes past the guards; or abort");
    cr_assert_str_eq(judged("baking", "groups", "nobody", 11),
                     "warning its rollout has nobody to run the new release: nobody | cfgctl status blue -o wide shows "
                     "groups and labels; or cfgctl rollout abort");
    cr_assert_str_eq(judged("paused", "paused", "paused", 1),
                     "info its rollout is paused: lunch | cfgctl rollout resume blue, or abort");
    cr_assert_str_eq(judged("gate", "gate", "waits for an approval", 1),
                     "info its rollout waits for an approval: lunch | cfgctl rollout approve blue, or abort");
}

Test(doctor, a_rollout_that_moves_or_has_ended)
{
    static const char *const fine[] = {"baking", "nothing", "schedule", "frozen"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        cr_assert_str_eq(judged("baking", fine[i], "so it is", 100000), "", "%s", fine[i]);
    cr_assert_str_eq(judged("finished", NULL, "", 60), "");
    cr_assert_str_eq(judged("aborted", NULL, "", 60), "");
    cr_assert_str_eq(judged("rolled-back", NULL, "", 60),
                     "info its last rollout was rolled back: e<1% fails | cfgctl rollout history blue");
    cr_assert_str_eq(judged("rolled-back", NULL, "", 100000), "", "yesterday's news");
}
