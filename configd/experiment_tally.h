/* What has come of an experiment, added up: per side the metrics' samples and a sketch of the units, or, for arms,
 * every rank group's own samples.
 *
 * Tallies of several replicas, and of one before and after its restart, are merged: moments add up, sketches unite, a
 * group's samples meet under its name. A group that was seen in two arms has had both treatments, and counts for
 * neither. Pure. */
#ifndef CFG_CONFIGD_EXPERIMENT_TALLY_H
#define CFG_CONFIGD_EXPERIMENT_TALLY_H

#include "configd/experiment.h"
#include "flags/hll.h"
#include "proto/buf.h"

/* Of one tally, as long as their text has its place in etcd; what further groups do is left out, and said. */
enum { CFG_TALLY_GROUPS = 2000, CFG_TALLY_GROUPS_BYTES = 1200 * 1024 };
/* Groups tell in turns, and all that changed their view at one time do so at about the same time. So who has told is
 * no sample of who will, until one group has told so many windows: then every other one has had its turn. */
enum { CFG_TALLY_ROUNDS = 4 };

struct cfg_tally_side {
    uint8_t registers[CFG_HLL_REGISTERS];
    struct cfg_moments metrics[CFG_EXPERIMENT_METRICS_MAX];
    struct cfg_parts parts[CFG_EXPERIMENT_METRICS_MAX];
};

struct cfg_tally_group_metric {
    uint64_t n; /* samples */
    double mean;
    double first; /* the mean of the first window that had some: its variance among groups does not fade with time */
};

struct cfg_tally_group {
    char *name;                              /* owned */
    size_t side;                             /* the first one seen */
    bool crossed;                            /* seen in two arms */
    unsigned windows;                        /* told here; not in the text */
    struct cfg_tally_group_metric metrics[]; /* as many as the experiment has */
};

struct cfg_tally {
    const struct cfg_experiment *of; /* borrowed */
    struct cfg_tally_side *sides;    /* owned */
    struct cfg_tally_group **groups; /* sorted by name; owned */
    size_t n_groups, cap_groups;
    uint64_t left_out; /* samples of groups without a place */
    unsigned rounds;   /* the most windows that one group has told to one process */
    double p_floor;    /* the smallest mismatch p that anybody has seen */
};

/* Empty. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_tally_init(struct cfg_tally *out, const struct cfg_experiment *of, struct cfg_error *err);
void cfg_tally_finish(struct cfg_tally *t); /* takes a zeroed struct */

/* Of a flag: takes in a report's outcome {"variant","units","metrics","parts"}, which was checked. True when it was of
 * a side.
 */
bool cfg_tally_outcome(struct cfg_tally *t, const cJSON *outcome);
/* Of arms: takes in a window's metrics {NAME: moments}, which were checked, of a group that ran this arm. */
bool cfg_tally_window(struct cfg_tally *t, const char *group, const char *arm, const cJSON *metrics);
/* Adds another one of the same experiment. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_tally_merge(struct cfg_tally *t, const struct cfg_tally *other, struct cfg_error *err);

/* As text, and back. Text that is none of ours: CFG_E_VALUE, CFG_E_JSON. */
void cfg_tally_print(struct cfg_buf *out, const struct cfg_tally *t);
CFG_MUST_CHECK int cfg_tally_parse(struct cfg_tally *out, const struct cfg_experiment *of, struct cfg_slice text,
                                   struct cfg_error *err);
CFG_MUST_CHECK int cfg_tally_read(struct cfg_tally *out, const struct cfg_experiment *of, const cJSON *tree,
                                  struct cfg_error *err); /* of the text's tree, which is borrowed */
/* Samples that it holds: of two states of one process' totals the newer has more, or they are the same. */
uint64_t cfg_tally_count(const struct cfg_tally *t);

/* The report of cfg_experiment_report, with "groups":{"crossed","left_out"} for arms; *p_floor becomes the smallest
 * mismatch p with this look. Returned-owned; NULL without memory. */
cJSON *cfg_tally_report(const struct cfg_tally *t, double *p_floor);

#endif
