/* What is wrong, judged from what servers say of themselves. Pure. */
#ifndef CFG_CFGCTL_DOCTOR_H
#define CFG_CFGCTL_DOCTOR_H

#include "client/cfgctl/cli.h"

enum doctor_severity { DOCTOR_OK, DOCTOR_INFO, DOCTOR_WARNING, DOCTOR_ERROR };
const char *doctor_severity_name(enum doctor_severity s);

/* Appends {"severity","where","what","why","next"}; texts are copied. Without memory the finding is lost. */
void doctor_add(cJSON *findings, enum doctor_severity severity, const char *where, const char *what, const char *why,
                const char *next);
enum doctor_severity doctor_worst(const cJSON *findings);

/* One server: health is its GET /v1/health, offset_s how much its clock is ahead of this machine's, error_s how much
 * that may be wrong, now_us this machine's time. */
void doctor_judge_server(cJSON *findings, const cJSON *health, double offset_s, double error_s, int64_t now_us);
/* Several: an array of {"health","offset_s","error_s","expected"?}, the last being a revision that it must show by now,
 * because another showed it a while before. What one alone cannot show: other versions, other stores,
 * clocks that differ, a replica that stays behind. */
void doctor_judge_together(cJSON *findings, const cJSON *servers);
/* A deployment's workers: fleet is its GET /v1/deployments/{d}/fleet. */
void doctor_judge_fleet(cJSON *findings, const cJSON *fleet);
/* Its newest rollout: one that cannot move, or waits for somebody. rollout is its GET /v1/rollouts/{d}
 * (doctor_rollout.c). */
void doctor_judge_rollout(cJSON *findings, const cJSON *rollout, int64_t now_us);

#endif
