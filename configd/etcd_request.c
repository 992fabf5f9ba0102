/* One request over its attempts: which endpoint, which token, when again, and what its end means. */
#include "configd/etcd_decide.h"
#include "configd/etcd_internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t now_ns(const struct cfg_etcd *e)
{
    return e->clock->monotonic_ns(e->clock->arg);
}

static uint64_t left_ms(const struct cfg_etcd_call *c)
{
    uint64_t now = now_ns(c->client);
    return now >= c->deadline_ns ? 0 : (c->deadline_ns - now) / 1000000u;
}

static void move_to(struct cfg_etcd_call *c, struct cfg_etcd_call_list *list)
{
    if (c->list)
        TAILQ_REMOVE(c->list, c, link);
    c->list = list;
    if (list)
        TAILQ_INSERT_TAIL(list, c, link);
}

/* Takes back what one attempt held. */
static void end_attempt(struct cfg_etcd_call *c)
{
    struct cfg_etcd *e = c->client;
    if (c->transfer.easy) {
        cfg_curl_loop_remove(e->curl, &c->transfer);
        cfg_etcd_give_handle(e, c->transfer.easy);
        c->transfer.easy = NULL;
        e->n_flying--;
    }
    free(c->token);
    c->token = NULL;
}

static void free_call(struct cfg_etcd_call *c)
{
    end_attempt(c);
    move_to(c, NULL);
    cfg_buf_finish(&c->body);
    cfg_buf_finish(&c->reply);
    free(c);
}

struct cfg_etcd_call *cfg_etcd_call_new(struct cfg_etcd *e, const struct cfg_etcd_call_kind *kind, void *arg)
{
    struct cfg_etcd_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->client = e;
    c->kind = kind;
    c->arg = arg;
    cfg_buf_init(&c->body, 2u * CFG_LIMIT_BODY);
    cfg_buf_init(&c->reply, CFG_LIMIT_GATEWAY_LINE);
    return c;
}

void cfg_etcd_call_cancel(struct cfg_etcd_call *c)
{
    free_call(c);
}

void cfg_etcd_call_fail(struct cfg_etcd_call *c, const struct cfg_error *err)
{
    struct cfg_error copy = *err; /* it may lie in *c */
    end_attempt(c);
    move_to(c, NULL);
    c->client->stats.failures++;
    c->kind->finish(c, (struct cfg_slice){"", 0}, &copy);
    free_call(c);
}

static void fail_later(struct cfg_etcd_call *c)
{
    move_to(c, &c->client->broken);
    cfg_timer_start(c->client->broken_timer, 0);
}

void cfg_etcd_fail_broken(void *client)
{
    struct cfg_etcd *e = client;
    struct cfg_etcd_call *c;
    while ((c = TAILQ_FIRST(&e->broken)) != NULL)
        cfg_etcd_call_fail(c, &c->last);
}

int cfg_etcd_transport_error(struct cfg_error *err, const struct cfg_etcd *e, size_t endpoint, CURLcode result,
                             const char *details)
{
    const char *reason = details[0] ? details : curl_easy_strerror(result);
    const char *name = e->endpoints[endpoint].name;
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        (void)cfg_fail(err, CFG_E_TIMEOUT, "etcd at %s did not answer in time (%s)", name, reason);
        break;
    case CURLE_WRITE_ERROR: /* our own data callback refused: the body is beyond the limit or memory is out */
        return cfg_fail(err, CFG_E_LIMIT, "etcd at %s sent a reply beyond %d bytes", name, CFG_LIMIT_GATEWAY_LINE);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        (void)cfg_fail(err, CFG_E_UNAVAILABLE, "etcd at %s: TLS refused (%s)", name, reason);
        cfg_error_set_hint(err, "check --etcd-ca, --etcd-cert and --etcd-key");
        return err->code;
    default:
        (void)cfg_fail(err, CFG_E_UNAVAILABLE, "etcd at %s: %s", name, reason);
        break;
    }
    cfg_error_set_hint(err, "check that etcd runs and that --etcd names it");
    return err->code;
}

static void rest(struct cfg_etcd_call *c, unsigned pause_ms)
{
    struct cfg_etcd *e = c->client;
    c->wake_ns = now_ns(e) + (uint64_t)pause_ms * 1000000u;
    move_to(c, &e->resting);
    cfg_timer_start(e->rest_timer, 0); /* sorts out who is first and sleeps until then */
}

void cfg_etcd_wake_resting(void *client)
{
    struct cfg_etcd *e = client;
    uint64_t now = now_ns(e), next = UINT64_MAX;
    struct cfg_etcd_call *c, *following;
    for (c = TAILQ_FIRST(&e->resting); c; c = following) {
        following = TAILQ_NEXT(c, link);
        if (c->wake_ns <= now)
            move_to(c, &e->waiting);
        else if (c->wake_ns < next)
            next = c->wake_ns;
    }
    if (next != UINT64_MAX)
        cfg_timer_start(e->rest_timer, (next - now) / 1000000u + 1);
    cfg_etcd_pump(e);
}

static void repeat(struct cfg_etcd_call *c, unsigned pause_ms)
{
    struct cfg_etcd *e = c->client;
    if (left_ms(c) <= pause_ms) {
        cfg_etcd_call_fail(c, &c->last);
        return;
    }
    e->stats.retries++;
    if (pause_ms > 0) {
        rest(c, pause_ms);
        return;
    }
    move_to(c, &e->waiting);
}

static unsigned pause_of(const struct cfg_etcd_call *c)
{
    const struct cfg_etcd *e = c->client;
    uint32_t random;
    e->clock->random(e->clock->arg, &random, sizeof random);
    return cfg_etcd_backoff_ms(c->tries, e->n_endpoints, random);
}

static void outcome_unknown(struct cfg_etcd_call *c)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_UNKNOWN_OUTCOME, "the %s may or may not have happened: %s", c->kind->name, c->last.text);
    cfg_etcd_call_fail(c, &err);
}

static void succeed(struct cfg_etcd_call *c)
{
    end_attempt(c);
    move_to(c, NULL);
    c->kind->finish(c, cfg_buf_slice(&c->reply), NULL);
    free_call(c);
}

/* Fills c->last and says how the attempt went. */
static struct cfg_attempt review(struct cfg_etcd_call *c, CURLcode result)
{
    struct cfg_etcd *e = c->client;
    struct cfg_attempt a = {.transported = result == CURLE_OK,
                            .sent = c->sends > 0,
                            .repeatable = c->kind->repeatable,
                            .authenticated = c->token != NULL && !c->reauthed};
    long status = 0;
    (void)curl_easy_getinfo(c->transfer.easy, CURLINFO_RESPONSE_CODE, &status); /* 0 when there was none */
    /* libcurl takes a reply that ends inside its headers for a complete one without a body; the gateway's never are. */
    if (a.transported && status == 200 && c->reply.len == 0) {
        a.transported = false;
        result = CURLE_GOT_NOTHING;
    }
    /* The last attempt often gets only what time is left: that it ran out says less than what stopped the others. */
    bool told = c->tries > 0 && result == CURLE_OPERATION_TIMEDOUT;
    if (!a.transported && !told)
        (void)cfg_etcd_transport_error(&c->last, e, c->endpoint, result, c->error_text);
    else if (a.transported && status != 200)
        a.code = cfg_etcd_error_read(&c->last, status, cfg_buf_slice(&c->reply));
    a.text = c->last.text;
    return a;
}

static void attempt_done(struct cfg_transfer *t, CURLcode result)
{
    struct cfg_etcd_call *c = (struct cfg_etcd_call *)(void *)((char *)t - offsetof(struct cfg_etcd_call, transfer));
    struct cfg_etcd *e = c->client;
    struct cfg_attempt a = review(c, result);
    enum cfg_verdict verdict = cfg_etcd_judge(&a);
    c->tries++;
    if (verdict == CFG_VERDICT_REAUTH) {
        c->reauthed = true;
        e->stats.auth_renewals++;
        cfg_etcd_token_drop(e, c->token);
    }
    if (verdict == CFG_VERDICT_RETRY || verdict == CFG_VERDICT_UNKNOWN)
        cfg_etcd_rotate(e, c->endpoint);
    end_attempt(c);
    switch (verdict) {
    case CFG_VERDICT_DONE:
        succeed(c);
        break;
    case CFG_VERDICT_FAIL:
        cfg_etcd_call_fail(c, &c->last);
        break;
    case CFG_VERDICT_RETRY:
        repeat(c, pause_of(c));
        break;
    case CFG_VERDICT_REAUTH:
        repeat(c, 0);
        break;
    case CFG_VERDICT_UNKNOWN:
        outcome_unknown(c);
        break;
    }
    cfg_etcd_pump(e);
}

static bool store_reply(struct cfg_transfer *t, const char *bytes, size_t n)
{
    struct cfg_etcd_call *c = (struct cfg_etcd_call *)(void *)((char *)t - offsetof(struct cfg_etcd_call, transfer));
    cfg_buf_put(&c->reply, bytes, n);
    return cfg_buf_status(&c->reply) == 0;
}

static const struct cfg_transfer_fns attempt_fns = {store_reply, NULL, attempt_done};

/* Called by libcurl when the connection stands and sending is next. A pooled connection that turns out dead makes
 * libcurl send the request a second time by itself; for what must not run twice that is refused, since the first copy
 * may have arrived. */
static int before_send(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    struct cfg_etcd_call *c = arg;
    return c->sends++ > 0 && !c->kind->repeatable ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int prepare(struct cfg_etcd_call *c, CURL *h)
{
    struct cfg_etcd *e = c->client;
    struct curl_slist *headers = e->headers;
    if (e->token && !c->kind->without_token) {
        if ((c->token = strdup(e->token)) == NULL)
            return CFG_E_NOMEM;
        c->auth_header = (struct curl_slist){c->token, e->headers};
        headers = &c->auth_header;
    }
    uint64_t ms = cfg_etcd_attempt_ms(left_ms(c), c->timeout_ms, e->n_endpoints, c->kind->repeatable);
    c->error_text[0] = '\0';
    c->sends = 0;
    cfg_buf_clear(&c->reply);
    if (curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, c->body.data) != CURLE_OK || /* which makes it a POST */
        (c->kind->reads && curl_easy_setopt(h, CURLOPT_HTTPGET, 1L) != CURLE_OK) ||
        curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(ms > 0 ? ms : 1)) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error_text) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, before_send) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_PREREQDATA, c) != CURLE_OK)
        return CFG_E_NOMEM;
    return 0;
}

static void launch(struct cfg_etcd_call *c)
{
    struct cfg_etcd *e = c->client;
    c->endpoint = e->current;
    CURL *h = cfg_etcd_take_handle(e, c->endpoint, c->kind->path);
    int code = h ? prepare(c, h) : CFG_E_NOMEM;
    if (code == 0) {
        c->transfer.fns = &attempt_fns;
        code = cfg_curl_loop_add(e->curl, &c->transfer, h, &c->last);
    } else {
        (void)cfg_fail(&c->last, code, "no memory for a request to etcd");
    }
    if (code) {
        c->transfer.easy = NULL;
        curl_easy_cleanup(h);
        fail_later(c);
        return;
    }
    e->stats.requests++;
    e->n_flying++;
    move_to(c, &e->flying);
}

void cfg_etcd_pump(struct cfg_etcd *e)
{
    struct cfg_etcd_call *c, *following;
    for (c = TAILQ_FIRST(&e->waiting); c && e->n_flying < CFG_ETCD_CONNECTIONS; c = following) {
        following = TAILQ_NEXT(c, link);
        if (c->kind->without_token || cfg_etcd_token_ready(e))
            launch(c);
    }
}

void cfg_etcd_call_start(struct cfg_etcd_call *c, unsigned timeout_ms)
{
    struct cfg_etcd *e = c->client;
    c->timeout_ms = timeout_ms ? timeout_ms : e->request_timeout_ms;
    c->deadline_ns = now_ns(e) + c->timeout_ms * 1000000u;
    int code = cfg_buf_status(&c->body);
    if (e->closing) {
        move_to(c, &e->broken); /* cancelled with the others */
    } else if (code) {
        (void)cfg_fail(&c->last, code, "a %s of more than %u bytes", c->kind->name, 2u * CFG_LIMIT_BODY);
        fail_later(c);
    } else {
        move_to(c, &e->waiting);
        cfg_etcd_pump(e);
    }
}
