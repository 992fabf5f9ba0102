/* The stepper's: a prepared view becomes what steps run on. */
#ifndef CFG_WORKER_ADOPT_H
#define CFG_WORKER_ADOPT_H

#include "worker/internal.h"

/* Commits hooks and makes b the current view from `step` on. agreed_s: the time that all ranks of a group go
 * by, for rules about time; 0: this process's clock. Stepper thread. */
void cfg_adopt_box(struct cfg_worker *w, struct cfg_box *b, uint64_t step, int64_t agreed_s);

#endif
