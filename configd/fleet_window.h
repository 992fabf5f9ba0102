/* What the workers of one arm did lately: steps, their durations and metrics, added up in slots of five seconds by when
 * the report came. Kept for a little over five minutes. One thread; no clock of its own. */
#ifndef CFG_CONFIGD_FLEET_WINDOW_H
#define CFG_CONFIGD_FLEET_WINDOW_H

#include "proto/histogram.h"
#include "proto/moments.h"

#include <stddef.h>

enum {
    FLEET_SLOT_MS = 5000,
    FLEET_SLOTS = 64,
    FLEET_SHOWN_MS = 60000, /* what people are shown */
    FLEET_METRICS = 64,
    FLEET_METRIC_NAME = 64,
};

struct fleet_slot;

/* Zero is empty. */
struct fleet_window {
    struct fleet_slot *slots[FLEET_SLOTS]; /* owned; NULL until used */
    char *names[FLEET_METRICS];            /* owned */
    size_t n_names;
};

/* Steps that took ms together. latency is borrowed. What there is no memory for is left out. */
void fleet_window_steps(struct fleet_window *w, uint64_t now_ms, uint64_t steps, uint64_t ms,
                        const struct cfg_histogram *latency);
/* Samples of one metric, borrowed. A name beyond FLEET_METRICS is left out. */
void fleet_window_metric(struct fleet_window *w, uint64_t now_ms, const char *name, const struct cfg_moments *m);

/* Sums over the slots that overlap [since, until). */
struct fleet_sum {
    uint64_t steps, ms;
    struct cfg_histogram latency;
};
void fleet_window_sum(struct fleet_sum *out, const struct fleet_window *w, uint64_t since_ms, uint64_t until_ms);
/* An empty result for a metric without samples. */
void fleet_window_moments(struct cfg_moments *out, const struct fleet_window *w, uint64_t since_ms, uint64_t until_ms,
                          const char *name);
void fleet_window_finish(struct fleet_window *w);

#endif
