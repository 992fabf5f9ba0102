/* What the files of merging share. */
#ifndef CFG_CONFIGD_FLEET_MERGE_INTERNAL_H
#define CFG_CONFIGD_FLEET_MERGE_INTERNAL_H

#include "configd/fleet_body.h"
#include "configd/fleet_merge.h"
#include "configd/fleet_state.h"

/* The parts of one question: our own, and the answers that came. */
struct fleet_parts {
    cJSON *own;
    const struct fleet_answer *answers;
    size_t n;
    struct fleet_reply reply;
};
/* The i-th part, 0: our own; NULL: it did not answer. */
cJSON *fleet_part(const struct fleet_parts *p, size_t i);
const char *fleet_part_replica(const struct fleet_parts *p, size_t i);
/* Who has reported within that long is alive, as the slowest part says. */
uint64_t fleet_parts_live_ms(const struct fleet_parts *p);
/* Adds "partial", "unknown" and "replicas" to the whole; returns how many workers are unknown. count: the member that
 * says how many a part tells of. */
double fleet_put_replicas(struct fleet_parts *p, cJSON *whole, const char *count);
/* Exchanges a member. */
void fleet_replace(struct fleet_reply *r, cJSON *o, const char *key, cJSON *value);
void fleet_rival_why(char out[FLEET_WHY], const struct fleet_living *x);

#endif
