/* What the sums over tcp and over NCCL have in common: a control group (group_tcp.c), in which the ranks meet, hand
 * round small things, and learn who is to blame when a sum fails; and the end, which every later call hears of. One
 * thread. */
#ifndef CFG_WORKER_ALLREDUCE_CONTROL_H
#define CFG_WORKER_ALLREDUCE_CONTROL_H

#include "worker/allreduce.h"
#include "worker/group.h"

struct cfg_allreduce_control {
    struct cfg_group *group; /* owned */
    bool over;
    struct cfg_error why; /* when over */
};

/* Nobody is met yet: group->ops->form does that. *c is zeroed before. CFG_E_INVALID, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_allreduce_control_open(struct cfg_allreduce_control *c, const struct cfg_allreduce_options *o,
                                              struct cfg_error *err);
void cfg_allreduce_control_close(struct cfg_allreduce_control *c); /* takes a zeroed struct */

/* 0 until it is over, then CFG_E_AGREEMENT with why. */
CFG_MUST_CHECK int cfg_allreduce_control_check(const struct cfg_allreduce_control *c, struct cfg_error *err);
CFG_MUST_CHECK int cfg_allreduce_control_broadcast(struct cfg_allreduce_control *c, uint32_t root,
                                                   struct cfg_buf *bytes, struct cfg_error *err);
/* Ends it with the group's verdict where there is one, else with what this rank saw. Call it when this rank's part of
 * the sums is closed: it waits for the others, who must fail too. Returns CFG_E_AGREEMENT. */
int cfg_allreduce_control_end(struct cfg_allreduce_control *c, const struct cfg_error *seen, struct cfg_error *err);
/* Ends it and tells the others the reason, without waiting. */
void cfg_allreduce_control_leave(struct cfg_allreduce_control *c, const char *reason);

#endif
