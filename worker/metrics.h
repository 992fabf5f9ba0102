/* Metrics of steps: their names, and their numbers out of a step's JSON.
 *
 * A worker knows at most 64 names, in the order in which they were first seen; an index stands for a name for the
 * worker's life. Names are added by one thread at a time (the declaring one before start, then the stepper) and read by
 * any: `n` says how many are complete. The reader of JSON is the stepper's, inside a step: it walks the text once,
 * without allocation, and takes nothing of a text that breaks off. */
#ifndef CFG_WORKER_METRICS_H
#define CFG_WORKER_METRICS_H

#include "proto/buf.h"
#include "worker/label.h"
#include <stdatomic.h>

enum { CFG_METRICS_MAX = 64, CFG_METRICS_TEXT = 16384 };

/* What a program is told about its metrics, once each; bits. */
enum {
    CFG_METRICS_BAD_JSON = 1,
    CFG_METRICS_BAD_NAME = 2,
    CFG_METRICS_TOO_MANY = 4,
    CFG_METRICS_NO_MEMORY = 8,
};

struct cfg_metric_names {
    char items[CFG_METRICS_MAX][CFG_LABEL_MAX + 1];
    _Atomic(uint32_t) n;
};

struct cfg_metric_batch {
    struct {
        uint32_t index;
        double value; /* NaN for what JSON has no number for */
    } items[CFG_METRICS_MAX];
    uint32_t n;
};

/* The index of a name, added when it is new; `hint` is looked at first. UINT32_MAX with a complaint in *complaints
 * when it is no name or there is no room. */
uint32_t cfg_metric_index(struct cfg_metric_names *names, struct cfg_slice name, uint32_t hint, unsigned *complaints);

/* The numbers of an object's members. Other values are passed over; NaN, Infinity and -Infinity, which some printers
 * write, are read as NaN, and *exact is false then: the text is no JSON. False, and nothing taken, when it is no object
 * or is broken. */
bool cfg_metrics_scan(struct cfg_metric_batch *out, bool *exact, struct cfg_slice json, struct cfg_metric_names *names,
                      unsigned *complaints);

#endif
