/* What cfg-infer reads from configd: its parameters, what has to be compiled before a view may hold (the policy, stop
 * sequences), and the line that says what changed.
 *
 * The compiled part ("settings") is made on the library's thread, taken over by the stepper when the view holds, and
 * read by the HTTP thread, which judges requests: immutable and counted, so each lets go when it is done. */
#ifndef CFG_INFER_LIVE_H
#define CFG_INFER_LIVE_H

#include "worker/cfg-infer/options.h"
#include "worker/cfg-infer/policy.h"
#include "worker/model/shape.h"
#include <cfg/flags.h>
#include <pthread.h>
#include <stdatomic.h>

/* In the order in which changes are told. */
enum cfg_live_param {
    CFG_P_TEMPERATURE,
    CFG_P_TOP_K,
    CFG_P_TOP_P,
    CFG_P_MAX_TOKENS,
    CFG_P_STOP,
    CFG_P_BATCH_SIZE,
    CFG_P_QUEUE,
    CFG_P_POLICY,
    CFG_P_AB_FLAG,
    CFG_P_TP,
    CFG_P_WORLD_SIZE,
    CFG_P_CONTEXT,
    CFG_P_EMBED,
    CFG_P_HIDDEN,
    CFG_P_LAYERS,
    CFG_P_PRECISION,
    CFG_P_BACKEND,
    CFG_N_PARAMS
};

enum cfg_live_metric { CFG_M_READABLE, CFG_M_LATENCY, CFG_M_FIRST_TOKEN, CFG_M_TOKENS, CFG_M_ERROR, CFG_N_METRICS };

struct cfg_settings {
    _Atomic(unsigned) refs;
    struct cfg_settings *next;
    const struct cfg_view *view; /* that it was prepared for; a name, not read */
    struct cfg_policy *policy;
    char revision[48];
};
struct cfg_settings *cfg_settings_ref(struct cfg_settings *s);
void cfg_settings_unref(struct cfg_settings *s); /* NULL is fine */

struct cfg_live {
    struct cfg_worker *w;
    cfg_param params[CFG_N_PARAMS];
    cfg_flag ab; /* for requests, which have somebody asking */
    cfg_metric metrics[CFG_N_METRICS];
    const uint64_t *step; /* borrowed: which one the next is */
    /* On the stepper, when another view holds; both are borrowed for the call. */
    void (*hold)(void *arg, struct cfg_settings *now, const struct cfg_view *view);
    void *arg;
    bool quiet;
    /* private */
    pthread_mutex_t lock;
    struct cfg_settings *prepared; /* under the lock: not held yet */
    union cfg_value told[CFG_N_PARAMS];
    char *told_text[CFG_N_PARAMS];
    bool told_any;
};

const char *cfg_live_path(enum cfg_live_param p);

/* Opens the worker and declares what the program reads; shape is what its weights have. `l` is zeroed but for step,
 * hold, arg and quiet, and stays where it is until finish. */
CFG_MUST_CHECK int cfg_live_open(struct cfg_live *l, const struct cfg_infer_options *o,
                                 const struct cfg_model_shape *shape, struct cfg_error *err);
/* Closes the worker. */
void cfg_live_finish(struct cfg_live *l);

#endif
