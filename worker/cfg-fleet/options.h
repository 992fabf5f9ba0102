/* cfg-fleet's command line: one table for parsing and for --help. */
#ifndef CFG_FLEET_OPTIONS_H
#define CFG_FLEET_OPTIONS_H

#include "worker/cfg-fleet/declared.h"
#include "worker/cfg-fleet/plan.h"
#include "worker/cfg-fleet/signal.h"

enum { CFG_FLEET_DEPLOYMENTS = 64, CFG_FLEET_METRICS = 64, CFG_FLEET_LABELS = 16 };

enum cfg_fleet_output { CFG_OUTPUT_TEXT, CFG_OUTPUT_JSON, CFG_OUTPUT_NDJSON };

struct cfg_fleet_options {
    const char *server, *prefix; /* server NULL: the environment decides */
    const char *deployments[CFG_FLEET_DEPLOYMENTS];
    size_t n_deployments;
    unsigned requests;      /* per step */
    uint64_t users;         /* who ask; 0: another one for each request */
    struct cfg_signal lose; /* 1: what came of a request is not told */
    unsigned workers, group_size, start_ms, restart_ms, hang_ms, slow_ms;
    uint64_t seed, steps, run_us; /* steps, run_us 0: until stopped */
    struct cfg_signal step_ms;
    struct {
        char *name; /* owned */
        struct cfg_signal signal;
        bool of_requests; /* a sample per request, by the variants that it was served; else per step */
    } metrics[CFG_FLEET_METRICS];
    size_t n_metrics;
    struct cfg_label labels[CFG_FLEET_LABELS];
    char *label_texts[CFG_FLEET_LABELS]; /* owned: what labels borrow from */
    size_t n_labels;
    struct cfg_declared declared;
    struct cfg_failure_plan crash, hang, slow, disconnect;
    double reject, slow_factor;
    struct cfg_expr *reject_if, *crash_if; /* owned; NULL: none */
    enum cfg_fleet_output output;
    bool quiet, help, version;
};

/* Reads argv; plain strings are borrowed from it. CFG_E_INVALID names the option, with the nearest known one as a
 * hint. */
CFG_MUST_CHECK int cfg_fleet_options_read(struct cfg_fleet_options *out, int argc, char **argv, struct cfg_error *err);
void cfg_fleet_options_finish(struct cfg_fleet_options *o); /* takes a zeroed struct */
void cfg_fleet_options_help(void);                          /* to stdout */

#endif
