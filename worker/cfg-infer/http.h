/* cfg-infer's HTTP side: evhttp on a thread of its own, so that a slow client never holds a step up.
 *
 *     POST /generate {"prompt","max_tokens"?,"seed"?,"user"?,"context"?}
 *         → {"text","tokens","revision","first":{"step","revision"},"last":{…},"variants":{FLAG:VARIANT}}
 *     GET /status
 *         → what the stepper last published, with the worker's state
 *
 * Requests go to the stepper and come back as sequences through two lists under one lock. */
#ifndef CFG_INFER_HTTP_H
#define CFG_INFER_HTTP_H

#include "worker/cfg-infer/batch.h"
#include <cfg/worker.h>

struct cfg_http;

/* What the stepper tells about itself. */
struct cfg_http_figures {
    uint64_t step, tokens, finished;
    unsigned running, waiting, batch_size;
    double temperature, tokens_per_s;
};

/* Listens on host:port (port 0: any) and starts the thread. w is borrowed for the server's life: asked for its status
 * and woken when work arrives. CFG_E_INVALID (no HOST:PORT), CFG_E_IO (cannot listen). *out is returned-owned. */
CFG_MUST_CHECK int cfg_http_start(struct cfg_http **out, const char *listen, struct cfg_worker *w,
                                  struct cfg_error *err);
unsigned cfg_http_port(const struct cfg_http *h);
const char *cfg_http_host(const struct cfg_http *h);
void cfg_http_stop(struct cfg_http *h); /* lets answers leave (a second at most), joins the thread; NULL is fine */

/* The stepper's side. take: the requests since the last call (a list, the caller's), NULL when there are none, which
 * costs one atomic load. answer: finished sequences, consumed; the owners of the rest must be answered too before stop.
 */
struct cfg_seq *cfg_http_take(struct cfg_http *h);
void cfg_http_answer(struct cfg_http *h, struct cfg_seq *done);
void cfg_http_publish(struct cfg_http *h, const struct cfg_http_figures *f);

#endif
