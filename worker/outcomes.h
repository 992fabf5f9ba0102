/* Outcomes: samples of metrics by the variant that a request was served, and by how many units, since the last report.
 *
 * A side, one (flag, variant) pair, begins with its first sample and goes to configd with the next report, which leaves
 * none behind: what is added up over a whole experiment is configd's business. Samples come from any thread and meet in
 * one lock, which is held for the additions alone. */
#ifndef CFG_WORKER_OUTCOMES_H
#define CFG_WORKER_OUTCOMES_H

#include "proto/parts.h"
#include "worker/exposures.h"
#include "worker/metrics.h"

enum {
    CFG_OUTCOMES_SIDES = 256,   /* between two reports; what comes for others is lost */
    CFG_OUTCOMES_CELLS = 1024,  /* a side's metrics, all sides together */
    CFG_OUTCOMES_BYTES = 786432 /* of their text */
};

struct cfg_outcome_metric {
    struct cfg_moments moments;
    struct cfg_parts parts; /* the same samples */
};

struct cfg_outcome {
    struct cfg_exposure *of;              /* whose flag and variant these are */
    uint8_t registers[CFG_HLL_REGISTERS]; /* the units' sketch */
    struct cfg_outcome_metric *metrics;   /* by index of the worker's names; owned */
    uint32_t n_metrics;
    struct cfg_outcome *next;
};

struct cfg_outcomes {
    pthread_mutex_t lock;
    struct cfg_outcome *sides; /* the latest first; owned */
    uint32_t n_sides, n_cells;
    uint64_t lost; /* samples without a place */
};

void cfg_outcomes_init(struct cfg_outcomes *o);
void cfg_outcomes_finish(struct cfg_outcomes *o); /* no pair of these is asked for any more */

/* Any thread: a sample of the metric of this index, of a request that was served e's variant. unit 0: nobody that could
 * be told apart, and assigned to nothing: not counted. */
void cfg_outcome_add(struct cfg_exposure *e, uint64_t unit, uint32_t metric, double x);

/* What has come since this was last asked: [{"flag","variant","units","metrics":{NAME:moments},"parts":{NAME:parts}}],
 * taken out. False, and nothing appended, when there is nothing. What there is no memory or no room for is lost. The
 * library's thread. */
bool cfg_outcomes_take(struct cfg_buf *out, struct cfg_outcomes *o, const struct cfg_metric_names *names);

#endif
