/* cfg-infer's HTTP side: evhttp on a thread of its own, so that neither a slow client nor a bad request holds a step
 * up.
 *
 *     POST /v1/completions        OpenAI's, whole or as a stream of events
 *     GET  /v1/models[/{model}]   the one model
 *     GET  /healthz · /readyz · /status · /metrics · /openapi.json
 *
 * openapi.yaml describes them. Requests are read and judged by policy here; what passes goes to the stepper as
 * sequences and comes back as pieces, through two lists under one lock. */
#ifndef CFG_INFER_HTTP_H
#define CFG_INFER_HTTP_H

#include "worker/cfg-infer/live.h"
#include "worker/cfg-infer/seq.h"
#include <cfg/worker.h>

struct cfg_http;

/* What the stepper tells about itself. */
struct cfg_http_figures {
    uint64_t step, tokens, finished, captures, launches, params_version;
    unsigned running, waiting, batch_size, capacity;
    bool draining;
    double temperature, tokens_per_s;
};

struct cfg_http_options {
    const char *listen;                        /* HOST:PORT; port 0: any */
    const char *model;                         /* its id */
    const char *backend, *precision, *weights; /* to tell; weights: their digest */
    int64_t created;                           /* seconds since 1970 */
};

/* Listens, but does not answer before cfg_http_run. w is borrowed for the server's life: asked for its status and woken
 * when work arrives; so are the options' strings. CFG_E_INVALID (no HOST:PORT), CFG_E_IO. *out is returned-owned. */
CFG_MUST_CHECK int cfg_http_open(struct cfg_http **out, const struct cfg_http_options *o, struct cfg_worker *w,
                                 struct cfg_error *err);
/* Starts the thread. CFG_E_IO. */
CFG_MUST_CHECK int cfg_http_run(struct cfg_http *h, struct cfg_error *err);
unsigned cfg_http_port(const struct cfg_http *h);
const char *cfg_http_host(const struct cfg_http *h);
/* From now on new requests are refused with 503; those under way go on. */
void cfg_http_close(struct cfg_http *h);
/* Lets answers leave (a second at most), joins the thread, frees; NULL is fine. */
void cfg_http_stop(struct cfg_http *h);

/* --- the stepper's side --- */
/* Settings that hold from now on; a reference is taken. */
void cfg_http_settings(struct cfg_http *h, struct cfg_settings *s);
/* The sequences since the last call (a list, the caller's); *left: clients have gone since. Costs one atomic load when
 * there is neither. */
struct cfg_seq *cfg_http_take(struct cfg_http *h, bool *left);
void cfg_http_send(struct cfg_http *h, struct cfg_pieces *p); /* consumed; NULL is fine */
void cfg_http_publish(struct cfg_http *h, const struct cfg_http_figures *f);

#endif
