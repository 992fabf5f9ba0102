/* Who asks, and what the flags decided for that request: its parameters and the variants that its answer is stamped
 * with.
 *
 * Made where requests come in, then the stepper's alone until the answer goes out. */
#ifndef CFG_INFER_REQUEST_H
#define CFG_INFER_REQUEST_H

#include "proto/json.h"
#include <cfg/flags.h>

struct cfg_infer_variant {
    char *flag, *variant;
};

struct cfg_infer_request {
    struct cfg_context who;
    struct cfg_overlay overlay; /* valid in a step, once decided there */
    bool decided;
    bool greedy_start;                                /* experiment/ab.flag, decided once per request */
    struct cfg_infer_variant own;                     /* its variant; NULL: the default held */
    struct cfg_infer_variant laid[CFG_OVERLAY_FLAGS]; /* of the flags that took part in the parameters */
    uint32_t n_laid;
};

/* From a request's body: "user" is the targeting key, "context" an object of attributes. Both may be absent.
 * *out is returned-owned. CFG_E_INVALID with the path for what is no context; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_infer_request_new(struct cfg_infer_request **out, const cJSON *body, struct cfg_error *err);
void cfg_infer_request_free(struct cfg_infer_request *r); /* NULL is fine */

/* In each step, before the overlay is read: decides what is new. `flag` says whether the answer begins greedily,
 * `otherwise` when nobody has created it. */
void cfg_infer_request_decide(struct cfg_infer_request *r, const struct cfg_view *v, cfg_flag flag, const char *address,
                              bool otherwise);

/* {"experiment/ab.flag":"on",…} */
void cfg_infer_request_print(struct cfg_buf *out, const struct cfg_infer_request *r);
/* The same for a header: experiment/ab.flag=on, …; what does not fit a header is percent-encoded. */
void cfg_infer_request_header(struct cfg_buf *out, const struct cfg_infer_request *r);

#endif
