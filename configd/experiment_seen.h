/* What workers have told of flags' variants since this replica started, experiment or not: what a plan for an
 * experiment needs to know before there is one. Bounded: of further variants nothing is kept. Pure. */
#ifndef CFG_CONFIGD_EXPERIMENT_SEEN_H
#define CFG_CONFIGD_EXPERIMENT_SEEN_H

#include "flags/hll.h"
#include "proto/parts.h"

enum { CFG_SEEN_VARIANTS = 256, CFG_SEEN_METRICS = 16 };

struct cfg_seen_variant {
    char *deployment, *flag, *variant; /* owned */
    uint64_t since_ms;                 /* when it was first told of */
    uint8_t registers[CFG_HLL_REGISTERS];
    char *names[CFG_SEEN_METRICS]; /* owned */
    struct cfg_moments metrics[CFG_SEEN_METRICS];
    struct cfg_parts parts[CFG_SEEN_METRICS]; /* the same samples */
    size_t n_metrics;
};

/* Zero is empty. */
struct cfg_seen {
    struct cfg_seen_variant *variants[CFG_SEEN_VARIANTS]; /* owned */
    size_t n;
};

/* Takes in a report's outcome {"flag","variant","units","metrics","parts"}, which was checked. */
void cfg_seen_outcome(struct cfg_seen *s, const char *deployment, const cJSON *outcome, uint64_t now_ms);
/* NULL: nothing was told of it. Borrowed. */
const struct cfg_seen_variant *cfg_seen_find(const struct cfg_seen *s, const char *deployment, const char *flag,
                                             const char *variant);
size_t cfg_seen_metric(const struct cfg_seen_variant *v, const char *metric); /* its index; n_metrics: none */
/* Adds an outcome per variant of the deployment to a list, each with "age_ms", since when it counts. False without
 * memory. */
bool cfg_seen_tell(cJSON *list, const struct cfg_seen *s, const char *deployment, uint64_t now_ms);
void cfg_seen_finish(struct cfg_seen *s);

#endif
