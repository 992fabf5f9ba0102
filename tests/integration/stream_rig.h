/* Real configd daemons, requests to them, and streams read as a client would read them. Blocking; failures of the
 * fixture end the program. */
#ifndef CFG_TESTS_INTEGRATION_STREAM_RIG_H
#define CFG_TESTS_INTEGRATION_STREAM_RIG_H

#include "proto/json.h"
#include "proto/sse.h"
#include "tests/lib/testlib.h"

struct daemon {
    struct cfg_test_proc *proc;
    int port;
    bool ending; /* was told to end already */
};
/* Started on `etcd` with a heartbeat of one second and `more` (NULL-terminated, may be NULL); ready when this returns.
 */
void daemon_start_with(struct daemon *d, const char *etcd, const char *heartbeat_s, const char *const *more);
void daemon_start(struct daemon *d, const char *etcd, const char *const *more);
void daemon_free(struct daemon *d);
/* Two on an etcd of their own, which is returned-owned. first, second: as `more` above. */
struct cfg_test_etcd *daemon_two(struct daemon d[2], const char *const *first, const char *const *second);
void daemon_two_free(struct daemon d[2], struct cfg_test_etcd *etcd);

/* One request; the status. *reply (may be NULL) is returned-owned, NULL for a reply without JSON. */
int daemon_call(cJSON **reply, const struct daemon *d, const char *method, const char *path, const char *type,
                const char *body);
/* PATCHes a namespace by merge patch; the revision of the write in `rev` (may be NULL). */
void daemon_patch(const struct daemon *d, const char *ns, const char *patch, char rev[48]);
/* Sets one parameter, which creates the namespace where there is none. */
void daemon_set(const struct daemon *d, const char *ns, const char *name, const char *value, char rev[48]);
/* chat {"a":1,"tp":4}, a flag experiment/ab.flag, deployment blue pinned to tp. */
void daemon_blue(const struct daemon *d);
void daemon_register(const struct daemon *d, const char *worker, const char *incarnation, int expected_status);

enum { STREAM_EVENTS = 4096 };
struct stream {
    int fd, status;
    char *head;
    struct cfg_sse_reader sse;
    char tail[8]; /* of the bytes read, to count heartbeats across reads */
    unsigned heartbeats;
    bool ended;
    size_t n, at; /* events read; the next one that stream_next hands out */
    struct stream_event {
        char event[16], id[48];
        cJSON *data;
    } events[STREAM_EVENTS];
    cJSON *view; /* what a worker would hold: views and patches applied, every digest checked */
    char digest[80];
};
/* Sends the request and reads the reply's head. last_event_id may be NULL. Returned-owned. */
struct stream *stream_open(const struct daemon *d, const char *path, const char *last_event_id);
void stream_close(struct stream *s); /* NULL is fine */
/* The next event; NULL when none came in time or the stream ended. */
const struct stream_event *stream_next(struct stream *s, unsigned timeout_ms);
/* The next event that is not a mark, which must be `event`; dies otherwise. */
const struct stream_event *stream_expect(struct stream *s, const char *event);
/* Reads on until the view held is at `revision` or later. Dies after 20 s. */
void stream_reach(struct stream *s, const char *revision);
void stream_forget(struct stream *s);                    /* the events read so far; the view stays */
void stream_read(struct stream *s, unsigned timeout_ms); /* what comes in that time, once */
int rev_cmp(const char *a, const char *b);

#endif
