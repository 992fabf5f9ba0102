/* A fleet's summary in words. Pure. */
#ifndef CFG_CFGCTL_STATUS_TEXT_H
#define CFG_CFGCTL_STATUS_TEXT_H

#include "client/cfgctl/cli.h"

struct status_size {
    size_t width, height; /* of the terminal; 0: no limit */
    bool color;
};
/* summary: GET /v1/deployments/{d}/fleet. Appends whole lines: what it runs, how many workers are what, arms, groups
 * (the worst first, as many as there is room for), stragglers with reasons. note: a line at the top, or NULL.
 * rollout: its newest one as GET /v1/rollouts/{d} tells it, NULL: none. */
void status_describe(struct cfg_buf *out, const cJSON *summary, const cJSON *rollout, const char *time,
                     const char *note, const struct status_size *size);
/* The same in one line, for logs: "TIME chat-blue 1-54 workers=4 current=3 lagging=1 steps/s=12.3 p50=8.1ms p99=20ms".
 */
void status_line(struct cfg_buf *out, const cJSON *summary, const char *time);
/* "850us", "8.1ms", "1.2s"; "-" for 0. Returns out. */
const char *status_duration(char out[24], double us);

#endif
