/* One watch: a request without end whose reply is read line by line, as the bytes come.
 *
 * libcurl's data callback only stores; lines are cut and events handed on right after libcurl has returned, in the same
 * turn of the loop. A reply may hold several revisions (catching up), and with fragments a revision may span several
 * replies: what is complete is handed on, what may continue is held. */
#include "configd/etcd_decide.h"
#include "configd/etcd_internal.h"

#include <stdlib.h>
#include <string.h>

struct cfg_etcd_watch {
    LIST_ENTRY(cfg_etcd_watch) link;
    struct cfg_etcd *client; /* NULL once it is dead */
    struct cfg_etcd_watch_fns fns;
    void *arg;
    struct cfg_buf key, body, line;
    size_t scanned;   /* bytes of `line` known to hold no newline */
    int64_t position; /* everything up to here was handed on */
    struct cfg_transfer transfer;
    size_t endpoint;
    char *token;
    struct curl_slist auth_header;
    char error_text[CURL_ERROR_SIZE];
    bool created, busy, freed; /* busy: inside a callback, so that free waits for its return */
    struct cfg_timer *silence;
    struct cfg_etcd_call *probe;
    struct cfg_etcd_watch_reply *held; /* their memory is what `pending` points into */
    size_t n_held;
    struct cfg_etcd_event *pending;
    size_t n_pending, cap_pending;
};

enum { KEEP_LINE_BYTES = 256 * 1024 };

static struct cfg_etcd_watch *of_transfer(struct cfg_transfer *t)
{
    return (struct cfg_etcd_watch *)(void *)((char *)t - offsetof(struct cfg_etcd_watch, transfer));
}

static void release_held(struct cfg_etcd_watch *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cfg_etcd_watch_finish(&w->held[i]);
    w->n_held -= n;
    memmove(w->held, w->held + n, w->n_held * sizeof *w->held);
}

/* Lets go of everything at the client. Idempotent. */
static void stop(struct cfg_etcd_watch *w)
{
    struct cfg_etcd *e = w->client;
    if (e == NULL)
        return;
    w->client = NULL;
    LIST_REMOVE(w, link);
    if (w->probe)
        cfg_etcd_call_cancel(w->probe);
    w->probe = NULL;
    cfg_timer_stop(w->silence);
    cfg_curl_loop_remove(e->curl, &w->transfer);
    cfg_etcd_give_handle(e, w->transfer.easy);
    w->transfer.easy = NULL;
}

static void destroy(struct cfg_etcd_watch *w)
{
    stop(w);
    if (w->n_held > 0)
        release_held(w, w->n_held);
    free(w->held);
    free(w->pending);
    free(w->token);
    cfg_buf_finish(&w->key);
    cfg_buf_finish(&w->body);
    cfg_buf_finish(&w->line);
    cfg_timer_free(w->silence);
    free(w);
}

void cfg_etcd_watch_free(struct cfg_etcd_watch *w)
{
    if (w == NULL)
        return;
    stop(w);
    if (w->busy)
        w->freed = true;
    else
        destroy(w);
}

static void lose(struct cfg_etcd_watch *w, const struct cfg_error *err)
{
    if (w->client == NULL)
        return;
    stop(w);
    w->fns.lost(w->arg, err);
}

/* Lost, and the endpoint is to blame. */
static void blame(struct cfg_etcd_watch *w, struct cfg_error *err)
{
    if (w->client == NULL)
        return;
    cfg_etcd_rotate(w->client, w->endpoint);
    (void)cfg_error_wrap(err, "the watch has ended");
    lose(w, err);
}

/* Hands on pending[from…to), one call per revision. */
static void hand_on(struct cfg_etcd_watch *w, size_t to)
{
    for (size_t i = 0; i < to && w->client;) {
        int64_t revision = w->pending[i].kv.mod_revision;
        size_t n = 1;
        while (i + n < to && w->pending[i + n].kv.mod_revision == revision)
            n++;
        if (revision > w->position) {
            w->position = revision;
            w->fns.events(w->arg, revision, w->pending + i, n);
        }
        i += n;
    }
}

static bool grow(struct cfg_etcd_watch *w, size_t n)
{
    struct cfg_etcd_watch_reply *held = realloc(w->held, (w->n_held + 1) * sizeof *held);
    if (held == NULL)
        return false;
    w->held = held;
    if (w->n_pending + n > w->cap_pending) {
        struct cfg_etcd_event *pending = realloc(w->pending, (w->n_pending + n) * sizeof *pending);
        if (pending == NULL)
            return false;
        w->pending = pending;
        w->cap_pending = w->n_pending + n;
    }
    return true;
}

/* Consumes *r. */
static void take_events(struct cfg_etcd_watch *w, struct cfg_etcd_watch_reply *r)
{
    if (!grow(w, r->n)) {
        cfg_etcd_watch_finish(r);
        struct cfg_error err;
        (void)cfg_fail(&err, CFG_E_NOMEM, "no memory for a watch's events");
        lose(w, &err);
        return;
    }
    w->held[w->n_held++] = *r;
    memcpy(w->pending + w->n_pending, r->events, r->n * sizeof *r->events);
    w->n_pending += r->n;
    /* With more fragments to come, the last revision here may not be complete. */
    size_t keep = 0;
    if (r->fragment)
        while (keep < w->n_pending &&
               w->pending[w->n_pending - 1 - keep].kv.mod_revision == w->pending[w->n_pending - 1].kv.mod_revision)
            keep++;
    hand_on(w, w->n_pending - keep);
    memmove(w->pending, w->pending + (w->n_pending - keep), keep * sizeof *w->pending);
    w->n_pending = keep;
    if (keep == 0)
        release_held(w, w->n_held);
    else if (keep <= r->n)
        release_held(w, w->n_held - 1);
    if (keep == 0 && w->cap_pending > 64) { /* what catching up needed is not kept */
        free(w->pending);
        w->pending = NULL;
        w->cap_pending = 0;
    }
}

static void canceled(struct cfg_etcd_watch *w, const struct cfg_etcd_watch_reply *r)
{
    if (r->compact_revision > 0) {
        stop(w);
        w->fns.compacted(w->arg, r->compact_revision);
        return;
    }
    /* 3.4 says "permission denied" for an expired token too; a fresh one settles which it is. */
    if (strstr(r->cancel_reason, "permission denied") || cfg_etcd_token_refused(0, r->cancel_reason))
        cfg_etcd_token_drop(w->client, w->token);
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_UNAVAILABLE, "etcd at %s canceled it: %s", w->client->endpoints[w->endpoint].name,
                   r->cancel_reason[0] ? r->cancel_reason : "no reason given");
    blame(w, &err);
}

static void take_line(struct cfg_etcd_watch *w, struct cfg_slice line)
{
    struct cfg_error err;
    struct cfg_etcd_watch_reply r;
    if (cfg_etcd_watch_parse(&r, line, &err) != 0) {
        if (cfg_etcd_token_refused(err.code, err.text))
            cfg_etcd_token_drop(w->client, w->token);
        blame(w, &err);
        return;
    }
    if (r.canceled) {
        canceled(w, &r);
    } else if (r.created) {
        w->created = true;
        w->fns.created(w->arg, r.header.revision);
    } else if (r.n > 0 || w->n_pending > 0) {
        take_events(w, &r);
        return;
    } else {
        if (r.header.revision > w->position)
            w->position = r.header.revision;
        w->fns.progress(w->arg, w->position);
    }
    cfg_etcd_watch_finish(&r);
}

static void take_lines(struct cfg_etcd_watch *w)
{
    size_t done = 0;
    while (w->client && w->scanned < w->line.len) {
        const char *start = w->line.data + done;
        const char *end = memchr(w->line.data + w->scanned, '\n', w->line.len - w->scanned);
        if (end == NULL) {
            w->scanned = w->line.len;
            break;
        }
        w->scanned = done = (size_t)(end - w->line.data) + 1;
        if (end > start)
            take_line(w, (struct cfg_slice){start, (size_t)(end - start)});
    }
    cfg_buf_consume(&w->line, done);
    w->scanned -= done;
    if (w->line.len == 0 && w->line.cap > KEEP_LINE_BYTES) {
        size_t max = w->line.max;
        cfg_buf_finish(&w->line);
        cfg_buf_init(&w->line, max);
    }
}

/* Every way into the owner's callbacks passes here, so that the owner may free the watch inside them. */
static void leave(struct cfg_etcd_watch *w)
{
    w->busy = false;
    if (w->freed)
        destroy(w);
}

static bool store_bytes(struct cfg_transfer *t, const char *bytes, size_t n)
{
    struct cfg_etcd_watch *w = of_transfer(t);
    cfg_buf_put(&w->line, bytes, n);
    return cfg_buf_status(&w->line) == 0;
}

static void rearm(struct cfg_etcd_watch *w)
{
    if (w->client)
        cfg_timer_start(w->silence, w->client->watch_silence_ms);
}

/* A reply that is not a stream is an error of the whole request; its body is read when it has ended. */
static long http_status(const struct cfg_etcd_watch *w)
{
    long status = 0;
    (void)curl_easy_getinfo(w->transfer.easy, CURLINFO_RESPONSE_CODE, &status); /* 0 when there was none */
    return status;
}

static void bytes_ready(struct cfg_transfer *t)
{
    struct cfg_etcd_watch *w = of_transfer(t);
    if (http_status(w) != 200)
        return;
    w->busy = true;
    rearm(w);
    take_lines(w);
    leave(w);
}

static void ended(struct cfg_transfer *t, CURLcode result)
{
    struct cfg_etcd_watch *w = of_transfer(t);
    struct cfg_error err;
    long status = http_status(w);
    w->busy = true;
    if (status != 0 && status != 200) {
        (void)cfg_etcd_error_read(&err, status, cfg_buf_slice(&w->line));
        if (cfg_etcd_token_refused(err.code, err.text))
            cfg_etcd_token_drop(w->client, w->token);
    } else if (result != CURLE_OK) {
        (void)cfg_etcd_transport_error(&err, w->client, w->endpoint, result, w->error_text);
    } else {
        (void)cfg_fail(&err, CFG_E_UNAVAILABLE, "etcd at %s closed the stream", w->client->endpoints[w->endpoint].name);
        struct cfg_etcd_watch_reply r;
        struct cfg_error last; /* a closing etcd writes its reason without a newline */
        if (w->line.len > 0 && cfg_etcd_watch_parse(&r, cfg_buf_slice(&w->line), &last) == 0)
            cfg_etcd_watch_finish(&r);
        else if (w->line.len > 0)
            err = last;
    }
    blame(w, &err);
    leave(w);
}

static const struct cfg_transfer_fns watch_fns = {store_bytes, bytes_ready, ended};

static void probed(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_etcd_watch *w = arg;
    w->probe = NULL;
    w->busy = true;
    struct cfg_error failure;
    if (err) {
        failure = *err;
        (void)cfg_error_wrap(&failure, "the watch is silent and etcd does not answer");
        lose(w, &failure);
    } else if (reply->header.revision > w->position) {
        if (w->fns.behind) {
            w->fns.behind(w->arg, reply->header.revision);
        } else {
            (void)cfg_fail(&failure, CFG_E_UNAVAILABLE, "the watch is silent while etcd has moved on");
            blame(w, &failure);
        }
    }
    leave(w);
}

static void silent(void *arg)
{
    struct cfg_etcd_watch *w = arg;
    struct cfg_error err;
    w->busy = true;
    if (!w->created) {
        (void)cfg_fail(&err, CFG_E_TIMEOUT, "etcd at %s did not accept it in time",
                       w->client->endpoints[w->endpoint].name);
        blame(w, &err);
    } else {
        struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&w->key), .count_only = true};
        if (w->probe == NULL)
            w->probe = cfg_etcd_range_call(w->client, &r, 0, probed, w);
        rearm(w);
    }
    leave(w);
}

static int prepare(struct cfg_etcd_watch *w, CURL *h)
{
    struct cfg_etcd *e = w->client;
    struct curl_slist *headers = e->headers;
    if (e->token) {
        if ((w->token = strdup(e->token)) == NULL)
            return CFG_E_NOMEM;
        w->auth_header = (struct curl_slist){w->token, e->headers};
        headers = &w->auth_header;
    }
    if (curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)w->body.len) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, w->body.data) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, 0L) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_ERRORBUFFER, w->error_text) != CURLE_OK)
        return CFG_E_NOMEM;
    return 0;
}

static int begin(struct cfg_etcd_watch *w, struct cfg_error *err)
{
    struct cfg_etcd *e = w->client;
    w->endpoint = e->current;
    CURL *h = cfg_etcd_take_handle(e, w->endpoint, "/v3/watch");
    if (h == NULL || prepare(w, h) != 0) {
        curl_easy_cleanup(h);
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a watch");
    }
    w->transfer.fns = &watch_fns;
    int code = cfg_curl_loop_add(e->curl, &w->transfer, h, err);
    if (code) {
        w->transfer.easy = NULL;
        curl_easy_cleanup(h);
        return code;
    }
    cfg_timer_start(w->silence, e->request_timeout_ms);
    return 0;
}

int cfg_etcd_watch_start(struct cfg_etcd_watch **out, struct cfg_etcd *e, struct cfg_slice key,
                         struct cfg_slice range_end, int64_t start_revision, const struct cfg_etcd_watch_fns *fns,
                         void *arg, struct cfg_error *err)
{
    struct cfg_etcd_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a watch");
    struct cfg_etcd_watch_req r = {.key = key,
                                   .range_end = range_end,
                                   .start_revision = start_revision,
                                   .fragment = true,
                                   .progress_notify = true};
    w->client = e;
    w->fns = *fns;
    w->arg = arg;
    w->position = start_revision > 0 ? start_revision - 1 : 0;
    LIST_INSERT_HEAD(&e->watches, w, link);
    cfg_buf_init(&w->key, CFG_LIMIT_BODY);
    cfg_buf_init(&w->body, CFG_LIMIT_BODY);
    cfg_buf_init(&w->line, CFG_LIMIT_GATEWAY_LINE);
    cfg_buf_put(&w->key, key.ptr, key.len);
    cfg_etcd_watch_print(&w->body, &r);
    w->silence = cfg_timer_new(e->loop, silent, w);
    int code = 0;
    if (w->silence == NULL || cfg_buf_status(&w->key) || cfg_buf_status(&w->body))
        code = cfg_fail(err, CFG_E_NOMEM, "no memory for a watch");
    else if (e->closing)
        code = cfg_fail(err, CFG_E_CANCELED, "the etcd client was closed");
    else if (cfg_etcd_token_ready(e))
        code = begin(w, err);
    if (code) {
        destroy(w);
        return code;
    }
    *out = w;
    return 0;
}

void cfg_etcd_watch_advance(struct cfg_etcd_watch *w, int64_t revision)
{
    if (revision > w->position)
        w->position = revision;
}

void cfg_etcd_watches_begin(struct cfg_etcd *e)
{
    struct cfg_etcd_watch *w, *next;
    for (w = LIST_FIRST(&e->watches); w; w = next) {
        next = LIST_NEXT(w, link);
        struct cfg_error err;
        if (w->transfer.easy == NULL && begin(w, &err) != 0)
            cfg_timer_start(w->silence, 0); /* ends as one that etcd did not accept, outside this walk */
    }
}

void cfg_etcd_watches_fail(struct cfg_etcd *e, const struct cfg_error *err, bool all)
{
    struct cfg_watch_list told = LIST_HEAD_INITIALIZER(told);
    struct cfg_etcd_watch *w, *next;
    for (w = LIST_FIRST(&e->watches); w; w = next) {
        next = LIST_NEXT(w, link);
        if (all || w->transfer.easy == NULL) {
            LIST_REMOVE(w, link);
            LIST_INSERT_HEAD(&told, w, link);
        }
    }
    while ((w = LIST_FIRST(&told)) != NULL) {
        w->busy = true;
        lose(w, err);
        leave(w);
    }
}
