/* What happened in some steps under one revision: how many, how long they took, samples of metrics. Values; no clock,
 * no locks: whoever has a window is alone with it. */
#ifndef CFG_WORKER_WINDOW_H
#define CFG_WORKER_WINDOW_H

#include "proto/histogram.h"
#include "proto/moments.h"
#include "worker/metrics.h"
#include "worker/prepare.h"

struct cfg_window {
    struct cfg_window *next;
    uint64_t order;  /* in which the stepper began them */
    uint32_t serial; /* of the view */
    char revision[CFG_REV_TEXT];
    char arm[CFG_ARM_TEXT];
    uint64_t steps;              /* that have ended */
    uint64_t from_step, to_step; /* the least and the greatest of them, or of steps in which there were samples */
    bool any;                    /* from_step and to_step hold */
    uint64_t began_ns, ended_ns; /* monotonic: the first's beginning, the last's end; 0 until a step has ended */
    struct cfg_histogram latency;
    struct cfg_moments *metrics; /* by index of the worker's names; owned */
    uint32_t n_metrics;
};

/* Empty, for steps under b's view. Returned-owned (cfg_window_free); NULL without memory. */
struct cfg_window *cfg_window_new(const struct cfg_box *b);
void cfg_window_free(struct cfg_window *w); /* NULL is fine */
/* Empty again, for steps under b's view. */
void cfg_window_reset(struct cfg_window *w, const struct cfg_box *b);
bool cfg_window_empty(const struct cfg_window *w);

/* A step has ended. began_ns 0: not known, the step counts but has no duration. */
void cfg_window_step(struct cfg_window *w, uint64_t step, uint64_t began_ns, uint64_t ended_ns);
/* A sample of the metric of this index, in or after `step`. False without memory, and the sample is lost. */
bool cfg_window_sample(struct cfg_window *w, uint64_t step, uint32_t index, double x);

/* Steps of the same view, or of another one of the same revision and arm? */
bool cfg_window_alike(const struct cfg_window *a, const struct cfg_window *b);
/* Adds a later window that is alike to w. False without memory: some samples are lost. */
bool cfg_window_merge(struct cfg_window *w, const struct cfg_window *later);

/* The window's JSON, as a report carries it under this number. */
void cfg_window_print(struct cfg_buf *out, const struct cfg_window *w, const struct cfg_metric_names *names,
                      uint64_t seq);

#endif
