/* Who asks, and what the flags decided for that request: its parameters and the variants that its answer is stamped
 * with.
 *
 * Made where requests come in, then the stepper's alone until the answer goes out. */
#ifndef CFG_INFER_REQUEST_H
#define CFG_INFER_REQUEST_H

#include "worker/cfg-infer/policy.h"
#include <cfg/flags.h>

struct cfg_infer_variant {
    char *flag, *variant;
};

struct cfg_infer_request {
    struct cfg_context who;
    struct cfg_overlay overlay; /* valid in a step, once decided there */
    bool decided;
    bool mixed;                                       /* a variant of the overlay changed while the request ran */
    bool both;                                        /* the overlay has experiment/ab.flag, too */
    bool greedy_start;                                /* experiment/ab.flag, decided once per request */
    struct cfg_infer_variant own;                     /* its variant; NULL: the default held */
    struct cfg_flag_answer own_answer;                /* for outcomes; its value may be gone */
    struct cfg_infer_variant laid[CFG_OVERLAY_FLAGS]; /* of the flags that took part in the parameters */
    uint32_t n_laid;
};

/* From a request's body, whose "user" (the targeting key) and "context" (an object of attributes) have been checked
 * (ask.h): both may be absent. Who the policy says is asking is told as the attributes "tenant" and "tier", whatever
 * the request claims. *out is returned-owned. CFG_E_LIMIT (nested too deep), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_infer_request_new(struct cfg_infer_request **out, const cJSON *body,
                                         const struct cfg_caller *caller, struct cfg_error *err);
void cfg_infer_request_free(struct cfg_infer_request *r); /* NULL is fine */

/* In each step, before the overlay is read: decides what is new, and says whether anything was. `flag` says whether the
 * answer begins greedily, `otherwise` when nobody has created it. */
bool cfg_infer_request_decide(struct cfg_infer_request *r, const struct cfg_view *v, cfg_flag flag, const char *address,
                              bool otherwise);

/* A sample of what came of it, for each flag whose variant it was served, once decided. A request whose variants
 * changed while it ran has had both, and tells neither. */
void cfg_infer_request_metric(const struct cfg_infer_request *r, cfg_metric metric, double sample);

/* {"experiment/ab.flag":"on",…} */
void cfg_infer_request_print(struct cfg_buf *out, const struct cfg_infer_request *r);
/* The same for a header: experiment/ab.flag=on, …; what does not fit a header is percent-encoded. */
void cfg_infer_request_header(struct cfg_buf *out, const struct cfg_infer_request *r);

#endif
