/* The newest verdict of every experiment that runs, for /metrics: whoever asks starts another look where the last is
 * old, and is told what the one before found. A look reads all totals, so it takes a moment; it spoils nothing. One
 * thread. */
#ifndef CFG_CONFIGD_EXPERIMENT_LOOKS_H
#define CFG_CONFIGD_EXPERIMENT_LOOKS_H

#include "configd/experiments.h"

enum { CFG_EXPERIMENT_LOOKS_MAX = 64 }; /* others are not looked at */

struct cfg_experiment_looks;
/* All borrowed, outlive it; but no look may come back after cfg_experiments_free, so that this is freed after that.
 * Returned-owned; NULL without memory. */
struct cfg_experiment_looks *cfg_experiment_looks_new(struct cfg_experiments *experiments,
                                                      const struct cfg_clock *clock);
void cfg_experiment_looks_free(struct cfg_experiment_looks *l); /* NULL is fine */
/* "void", "early", …; NULL: not known yet. run: the version that began it. Borrowed until the next turn. */
const char *cfg_experiment_looks_verdict(struct cfg_experiment_looks *l, const char *name, uint64_t run);

#endif
