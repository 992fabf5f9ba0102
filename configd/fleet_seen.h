/* Which workers have been met, by what presence records say of who is connected where. Pure; one thread.
 *
 * A record outlives its replica by a minute, so that workers of one that hangs or died are not nobody; meanwhile they
 * connect elsewhere, and two records name them. Each names its workers by eight characters (48 bits of the digest of
 * the id, in base64: forty kilobytes for five thousand workers), so that they can be told apart and counted once. */
#ifndef CFG_CONFIGD_FLEET_SEEN_H
#define CFG_CONFIGD_FLEET_SEEN_H

#include "proto/json.h"

struct fleet_seen {
    uint64_t *items; /* owned; the first `sorted` in order, each once */
    size_t n, cap, sorted;
};

enum { FLEET_MARK_BYTES = 6, FLEET_MARK_TEXT = 8 };
/* What stands for a worker in records. */
uint64_t fleet_mark(const char *worker);
/* Appends a mark's six bytes: the text of several is the base64 of these. */
void fleet_mark_put(struct cfg_buf *out, uint64_t mark);

/* Without memory one is not noted, and counts again where it is met again. */
void fleet_seen_add(struct fleet_seen *s, uint64_t mark);
/* How many of the workers in a record, or in one of its contracts ({"workers","ids"?} or {"workers","contracts"}), are
 * met for the first time: all those without ids, and one where not even their number can be read. Notes them. */
uint64_t fleet_seen_count(struct fleet_seen *s, const cJSON *record);
uint64_t fleet_seen_lacks(struct fleet_seen *s, const cJSON *record); /* the same, and notes nothing */
void fleet_seen_finish(struct fleet_seen *s);

#endif
