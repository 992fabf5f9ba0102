/* Server-sent event streams over sockets taken over from the HTTP edge: GET /v1/deployments/{d}/stream, GET /v1/watch
 * and GET …/ofrep/v1/events.
 *
 * After evhttp has parsed the request, its state is freed: an idle stream is one small struct with one libevent event.
 * Heartbeats, ages and stuck readers are seen to by one timer for all streams. One thread. */
#ifndef CFG_CONFIGD_STREAM_HTTP_H
#define CFG_CONFIGD_STREAM_HTTP_H

#include "configd/fleet.h"

struct cfg_streams;

struct cfg_streams_options {
    struct cfg_loop *loop; /* all borrowed, outlive the streams */
    struct cfg_store *store;
    struct cfg_replica *replica;
    struct cfg_hub *hub;
    struct cfg_fleet *fleet;
    const struct cfg_clock *clock;
    unsigned heartbeat_ms; /* 0: 15000 */
    unsigned age_ms;       /* streams close after about this long; 0: 3600000 */
};
CFG_MUST_CHECK int cfg_streams_new(struct cfg_streams **out, const struct cfg_streams_options *o,
                                   struct cfg_error *err);
/* Tells every stream `bye` with reason "shutdown" as far as it takes it without waiting, and closes all. NULL is fine.
 */
void cfg_streams_free(struct cfg_streams *s);
size_t cfg_streams_count(const struct cfg_streams *s);

/* The route handlers "/v1/deployments/{d}/stream" and "/v1/watch", for the edge's table: app.h's struct cfg_app has a
 * member `struct cfg_streams *streams`, made with the options above and freed before fleet and hub. */
struct cfg_app;
struct cfg_call;
void cfg_stream_deployment(struct cfg_app *app, struct cfg_call *c);
void cfg_stream_watch(struct cfg_app *app, struct cfg_call *c);
/* "…/ofrep/v1/events" of a namespace, whose name was checked, as were the caller's rights to it (stream_ofrep.c). */
void cfg_stream_ofrep(struct cfg_app *app, struct cfg_call *c, const char *ns);

#endif
