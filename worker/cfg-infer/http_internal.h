/* The HTTP thread's inside: http.c has its life and its lists, http_call.c takes requests in, http_answer.c sends
 * pieces out, http_pages.c shows. Everything named *_on_loop runs on the thread. */
#ifndef CFG_INFER_HTTP_INTERNAL_H
#define CFG_INFER_HTTP_INTERNAL_H

#include "worker/cfg-infer/http.h"
#include "worker/cfg-infer/metrics.h"
#include "worker/cfg-infer/openai.h"
#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>

enum {
    CFG_HTTP_BODY_MAX = 128 * 1024,
    CFG_HTTP_OPEN_MAX = 8192,          /* requests under way; the queue's own limit is lower */
    CFG_HTTP_UNREAD_MAX = 1024 * 1024, /* bytes that a client may leave unread before it counts as gone */
};

/* One completion under way, from its acceptance to its last piece. The loop's. */
struct cfg_job {
    struct cfg_job *prev, *next;
    struct cfg_http *h;
    struct evhttp_request *req; /* NULL once the client has gone */
    struct event *closed;       /* watches for that */
    struct cfg_seq *seq;        /* the stepper's; only its `gone` is touched before the last piece */
    struct cfg_openai_head head;
    char *explained; /* the policy's doing, for a header; NULL: not asked for */
    bool stream, usage, started;
    size_t taken; /* bytes of the sequence that are on their way to the client */
};

struct cfg_http {
    struct cfg_http_options o;
    struct event_base *base;
    struct evhttp *evhttp;
    struct event *wake;
    int wake_fd;
    char host[64];
    unsigned port;
    struct cfg_worker *w;
    pthread_t thread;
    bool has_thread;
    /* the loop's */
    uint64_t next_seed, next_id, boot_id;
    struct cfg_job *jobs;
    struct cfg_infer_counts counts;
    unsigned flushing; /* answers whose bytes are on their way */
    bool leaving;      /* the loop ends with the last of them */
    /* between the threads */
    _Atomic(bool) any;  /* sequences lie in `in` */
    _Atomic(bool) left; /* clients have gone */
    pthread_mutex_t lock;
    struct cfg_settings *settings; /* under the lock, and the rest */
    struct cfg_seq *in, **in_tail;
    struct cfg_pieces *out, **out_tail;
    unsigned open; /* jobs */
    bool closing, stopping;
    struct cfg_http_figures figures;
};

/* Sends a whole reply and counts it. type NULL: JSON. body is borrowed. */
void cfg_http_reply(struct cfg_http *h, struct evhttp_request *req, int status, const char *type,
                    const struct cfg_buf *body);
void cfg_http_reply_error(struct cfg_http *h, struct evhttp_request *req, const struct cfg_error *err);
/* A reference to what holds now. */
struct cfg_settings *cfg_http_settings_now(struct cfg_http *h);

/* http_call.c */
void cfg_http_completion_on_loop(struct cfg_http *h, struct evhttp_request *req);
CFG_MUST_CHECK int cfg_http_identify(struct cfg_caller *out, const struct cfg_settings *s, struct evhttp_request *req,
                                     struct cfg_error *err);

/* http_answer.c */
void cfg_http_piece_on_loop(struct cfg_http *h, const struct cfg_piece *p);
/* Forgets a job and what it holds; its sequence is the caller's. */
void cfg_job_free(struct cfg_job *j);
void cfg_http_leave_if_done(struct cfg_http *h);

/* http_pages.c */
void cfg_http_page_on_loop(struct cfg_http *h, struct evhttp_request *req);

#endif
