/* The most that this process can take of a parameter: what it has captured, allocated, compiled for. Values over
 * declarations and views; no locks (the worker's are under its lock). */
#ifndef CFG_WORKER_CEILING_H
#define CFG_WORKER_CEILING_H

#include "worker/contract.h"

enum { CFG_CEILINGS_MAX = 256 }; /* as many as configd takes from one worker */

struct cfg_ceilings {
    struct cfg_ceiling {
        uint32_t index; /* of the parameter */
        double most;
    } items[CFG_CEILINGS_MAX];
    uint32_t n;
};

/* Sets or replaces one. CFG_E_UNKNOWN_KEY (path is not declared), CFG_E_VALUE (no number by declaration, or `most` is
 * not finite), CFG_E_LIMIT. Nothing is changed on failure. */
CFG_MUST_CHECK int cfg_ceilings_set(struct cfg_ceilings *s, const struct cfg_contract *c, const char *path, double most,
                                    struct cfg_error *err);

/* CFG_E_CEILING for the first value of the view, or of a variant's overrides in it, that lies above its ceiling; the
 * error names path, value and ceiling. */
CFG_MUST_CHECK int cfg_ceilings_check(const struct cfg_ceilings *s, const struct cfg_contract *c,
                                      const struct cfg_view *v, struct cfg_error *err);

/* ,"ceilings":{PATH:number}: a member that follows others. Nothing while there are none, or s is NULL. */
void cfg_ceilings_print(struct cfg_buf *out, const struct cfg_ceilings *s, const struct cfg_contract *c);

#endif
