/* From pieces to what the client reads. See http_internal.h. */
#include "worker/cfg-infer/http_internal.h"
#include "worker/cfg-infer/text.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 1 << 20 };

void cfg_job_free(struct cfg_job *j)
{
    *(j->prev != NULL ? &j->prev->next : &j->h->jobs) = j->next;
    if (j->next != NULL) {
        j->next->prev = j->prev;
    }
    if (j->closed != NULL) {
        event_free(j->closed);
    }
    free(j->explained);
    free(j);
}

void cfg_http_leave_if_done(struct cfg_http *h)
{
    if (h->leaving && h->flushing == 0) {
        (void)event_base_loopbreak(h->base);
    }
}

static void flushed_on_loop(struct evhttp_request *req, void *arg)
{
    struct cfg_http *h = arg;
    (void)req;
    h->flushing--;
    cfg_http_leave_if_done(h);
}

/* The request is about to end by itself: nobody has to hear of its connection any more. */
static struct evhttp_request *let_go(struct cfg_job *j)
{
    struct evhttp_request *req = j->req;
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
    event_free(j->closed);
    j->closed = NULL;
    j->req = NULL;
    j->h->flushing++;
    evhttp_request_set_on_complete_cb(req, flushed_on_loop, j->h);
    return req;
}

/* Where proxies and logs look: the same as in the body. */
static void put_headers(const struct cfg_job *j, const struct cfg_mark *m, uint64_t step)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(j->req);
    char number[24];
    (void)evhttp_add_header(headers, "X-Request-Id", j->head.id);
    if (j->explained != NULL) {
        (void)evhttp_add_header(headers, "Configd-Policy", j->explained);
    }
    if (m == NULL) {
        return;
    }
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)step);
    (void)evhttp_add_header(headers, "Configd-Revision", m->revision);
    (void)evhttp_add_header(headers, "Configd-Step", number);
    if (m->header != NULL) {
        (void)evhttp_add_header(headers, "Configd-Variants", m->header);
    }
}

/* --- endings without an answer --- */

/* About how long until there is a place: as long as requests took lately, for each that is in front. */
static unsigned retry_after_s(struct cfg_http *h)
{
    const struct cfg_infer_times *t = &h->counts.whole;
    (void)pthread_mutex_lock(&h->lock);
    double ahead = (h->figures.waiting + 1.0) / (h->figures.batch_size > 0 ? h->figures.batch_size : 1);
    (void)pthread_mutex_unlock(&h->lock);
    double s = ahead * (t->n > 0 ? t->sum_s / (double)t->n : 1);
    return s < 1 ? 1U : s > 60 ? 60U : (unsigned)s + 1;
}

static void fail_request(struct cfg_job *j, const struct cfg_error *err, unsigned retry_s)
{
    struct cfg_http *h = j->h;
    if (j->started) {
        struct cfg_buf b;
        struct evbuffer *out = evbuffer_new();
        cfg_buf_init(&b, 8192);
        cfg_openai_error_event(&b, err);
        struct evhttp_request *req = let_go(j);
        if (out != NULL && cfg_buf_status(&b) == 0 && evbuffer_add(out, b.data, b.len) == 0) {
            evhttp_send_reply_chunk(req, out);
        }
        evhttp_send_reply_end(req);
        cfg_buf_finish(&b);
        if (out != NULL) {
            evbuffer_free(out);
        }
        return;
    }
    char seconds[16];
    (void)snprintf(seconds, sizeof seconds, "%u", retry_s);
    put_headers(j, NULL, 0);
    (void)evhttp_add_header(evhttp_request_get_output_headers(j->req), "Retry-After", seconds);
    cfg_http_reply_error(h, let_go(j), err);
}

static void refuse_on_loop(struct cfg_job *j)
{
    struct cfg_error err = CFG_ERROR_INIT;
    j->h->counts.refused++;
    (void)cfg_fail(&err, CFG_E_RATE, "the queue is full (inference.queue)");
    fail_request(j, &err, retry_after_s(j->h));
}

static void cut_on_loop(struct cfg_job *j)
{
    struct cfg_error err = CFG_ERROR_INIT;
    (void)cfg_fail(&err, CFG_E_NOT_READY, "this server is going down");
    fail_request(j, &err, 1);
}

/* --- answers --- */

static void answer_whole(struct cfg_job *j, const struct cfg_piece *p)
{
    struct cfg_buf body, text;
    cfg_buf_init(&body, ANSWER_MAX);
    cfg_buf_init(&text, ANSWER_MAX);
    (void)cfg_text_put(&text, p->seq->bytes + p->seq->prompt_len, p->shown, true);
    cfg_openai_answer(&body, &j->head, p->seq, cfg_buf_slice(&text), p->finish);
    put_headers(j, p->mark, p->step);
    cfg_http_reply(j->h, let_go(j), 200, NULL, &body);
    cfg_buf_finish(&body);
    cfg_buf_finish(&text);
}

static void start_stream(struct cfg_job *j, const struct cfg_piece *p)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(j->req);
    put_headers(j, p->mark, p->step);
    (void)evhttp_add_header(headers, "Content-Type", "text/event-stream");
    (void)evhttp_add_header(headers, "Cache-Control", "no-cache");
    (void)evhttp_add_header(headers, "X-Accel-Buffering", "no");
    cfg_infer_count_reply(&j->h->counts, 200);
    evhttp_send_reply_start(j->req, 200, "OK");
    j->started = true;
}

/* Of the oldest byte that a chunk shows. A running sequence gets one byte in every step. */
static void stamp_first(struct cfg_openai_stamp *stamp, const struct cfg_piece *p, size_t taken)
{
    stamp->step = stamp->first_step = p->step;
    stamp->mark = stamp->first_mark = p->mark;
    if (taken < p->len) {
        stamp->first_step = p->step - (p->len - 1 - taken);
    }
    while (stamp->first_mark != NULL && stamp->first_mark->from_step > stamp->first_step) {
        stamp->first_mark = stamp->first_mark->next;
    }
}

/* Prints what can be shown now; nothing when all of it has to wait. */
static void print_piece(struct cfg_buf *out, struct cfg_job *j, const struct cfg_piece *p)
{
    struct cfg_openai_stamp stamp;
    struct cfg_buf text;
    bool ends = p->finish != CFG_GOES_ON;
    stamp_first(&stamp, p, j->taken);
    cfg_buf_init(&text, ANSWER_MAX);
    if (p->shown > j->taken) {
        j->taken += cfg_text_put(&text, p->seq->bytes + p->seq->prompt_len + j->taken, p->shown - j->taken, ends);
    }
    if (text.len > 0 || ends) {
        cfg_openai_chunk(out, &j->head, cfg_buf_slice(&text), p->finish, &stamp, j->usage);
    }
    if (ends) {
        if (j->usage) {
            cfg_openai_usage(out, &j->head, p->seq);
        }
        cfg_openai_done(out);
    }
    cfg_buf_finish(&text);
}

static void answer_piece(struct cfg_job *j, const struct cfg_piece *p)
{
    struct cfg_buf b;
    struct evbuffer *out = evbuffer_new();
    if (!j->started) {
        start_stream(j, p);
    }
    cfg_buf_init(&b, ANSWER_MAX);
    print_piece(&b, j, p);
    bool ok = out != NULL && cfg_buf_status(&b) == 0 && evbuffer_add(out, b.data, b.len) == 0;
    struct evhttp_connection *c = evhttp_request_get_connection(j->req);
    struct evbuffer *unread = bufferevent_get_output(evhttp_connection_get_bufferevent(c));
    if (!ok || evbuffer_get_length(unread) > CFG_HTTP_UNREAD_MAX) {
        evhttp_connection_free(c); /* calls gone_on_loop: a reader that does not read is not waited for */
    } else {
        if (b.len > 0) {
            evhttp_send_reply_chunk(j->req, out);
        }
        if (p->finish != CFG_GOES_ON) {
            evhttp_send_reply_end(let_go(j));
        }
    }
    cfg_buf_finish(&b);
    if (out != NULL) {
        evbuffer_free(out);
    }
}

static void take_times(struct cfg_job *j, const struct cfg_piece *p)
{
    double passed = (double)(cfg_infer_now_us() - p->seq->begun_us) / 1e6;
    if (j->stream && !j->started) {
        cfg_infer_time(&j->h->counts.first_byte, passed);
    }
    if (p->finish != CFG_GOES_ON) {
        cfg_infer_time(&j->h->counts.whole, passed);
    }
}

void cfg_http_piece_on_loop(struct cfg_http *h, const struct cfg_piece *p)
{
    struct cfg_job *j = p->seq->owner;
    (void)h;
    if (j->req != NULL) {
        if (p->finish == CFG_FINISH_REFUSED) {
            refuse_on_loop(j);
        } else if (p->finish == CFG_FINISH_CUT) {
            cut_on_loop(j);
        } else {
            take_times(j, p);
            if (j->stream) {
                answer_piece(j, p);
            } else {
                answer_whole(j, p);
            }
        }
    }
    if (p->finish != CFG_GOES_ON) {
        cfg_seq_free(p->seq);
        cfg_job_free(j);
    }
}
