/* What a version of a rollout's or an experiment's record says, in one line for people: a deployment's log and the feed
 * of changes tell it instead of the record's members, most of which are numbers that a decision was taken on.
 *
 *     started: chat v1 → v2, 10% ▸ 50%! ▸ 100%          step 1 of 3: 10 % of the groups
 *     step 1 of 3: all run it, bakes 60 s               goes back from 10 %: guard error_rate<1% fails: canary 0.3
 *
 * Pure. */
#ifndef CFG_CONFIGD_STORY_H
#define CFG_CONFIGD_STORY_H

#include "configd/object.h"

/* Appends it; false, with nothing appended, for another kind, a tombstone, and a record that nobody can read. Check
 * cfg_buf_status. */
bool cfg_story_tell(struct cfg_buf *out, const struct cfg_object *o);

#endif
