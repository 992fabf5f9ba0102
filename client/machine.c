#include "client/machine_impl.h"
#include "client/url.h"
#include "proto/limits.h"
#include "proto/problem.h"

#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 10000,
    SILENCE_MS = 45000,
    REPLY_MAX = 1024 * 1024,
    PATH_MAX_BYTES = 4096,
    BACKOFF_DOUBLINGS = 20,
    HELD_MS = 1000, /* a stream that lived so long was no mistake */
};

void cfg_machine_set_state(struct cfg_machine *m, enum cfg_session_state state, const struct cfg_error *why)
{
    int code = why ? why->code : 0;
    if (m->state == state && m->why_code == code)
        return;
    m->state = state;
    m->why_code = code;
    if (m->callbacks.on_state)
        m->callbacks.on_state(m->callbacks.arg, state, why);
}

void cfg_machine_leave(struct cfg_machine *m, enum leave leave, const struct cfg_error *why)
{
    m->leave = leave;
    m->leave_why = *why;
}

/* --- giving up a connection --- */

/* Full jitter: anything between now and a limit that doubles with every round over all servers. A stream that held for
 * a while proves the fleet healthy and starts the count again; one that opens and breaks at once does not. */
static uint64_t backoff(struct cfg_machine *m)
{
    if (m->phase == PHASE_FOLLOWING && m->now_ms - m->followed_at >= m->backoff_max_ms)
        m->attempts = 0;
    unsigned round = m->attempts / (unsigned)m->servers;
    uint64_t limit = (uint64_t)m->backoff_min_ms << (round < BACKOFF_DOUBLINGS ? round : BACKOFF_DOUBLINGS);
    if (limit > m->backoff_max_ms)
        limit = m->backoff_max_ms;
    m->attempts++;
    return m->transport.random(m->transport.arg) % (limit + 1);
}

static void drop_requests(struct cfg_machine *m)
{
    for (int slot = 0; slot < CFG_SLOTS; slot++)
        if (slot != CFG_SLOT_ASK)
            m->transport.cancel(m->transport.arg, (enum cfg_slot)slot);
    cfg_machine_report_take_back(m);
}

static void wait_for(struct cfg_machine *m, uint64_t delay_ms)
{
    drop_requests(m);
    m->phase = PHASE_WAITING;
    m->wake_at = m->now_ms + delay_ms;
}

static void next_server(struct cfg_machine *m)
{
    m->server = (m->server + 1) % m->servers;
}

static void retry_elsewhere(struct cfg_machine *m)
{
    uint64_t delay = backoff(m);
    next_server(m);
    wait_for(m, delay);
}

/* The server knows us and says no: asked again slowly, since an operator has to act first. */
static void retry_slowly(struct cfg_machine *m)
{
    uint64_t half = m->backoff_max_ms / 2;
    next_server(m);
    wait_for(m, half + m->transport.random(m->transport.arg) % (half + 1));
}

static void end(struct cfg_machine *m, const struct cfg_error *why)
{
    drop_requests(m);
    m->phase = PHASE_ENDED;
    cfg_machine_set_state(m, CFG_SESSION_SUPERSEDED, why);
}

static void lost(struct cfg_machine *m, const struct cfg_error *why)
{
    retry_elsewhere(m);
    cfg_machine_set_state(m, CFG_SESSION_CONNECTING, why);
}

/* Told to go: at once, since nothing is wrong; but a server that sends everybody away again and again is. */
static void part(struct cfg_machine *m, const struct cfg_error *why)
{
    if (m->phase != PHASE_FOLLOWING || m->now_ms - m->followed_at < HELD_MS) {
        lost(m, why);
        return;
    }
    next_server(m);
    wait_for(m, m->transport.random(m->transport.arg) % ((uint64_t)m->backoff_min_ms + 1));
}

/* Not known (any more) to a server that was restarted or, behind a balancer, is not the one that took the registration.
 * Registered anew, and backing off, since the next connection may end at the wrong one again. */
static void register_anew(struct cfg_machine *m, const struct cfg_error *why)
{
    wait_for(m, backoff(m));
    if (m->attempts > 1)
        cfg_machine_set_state(m, CFG_SESSION_CONNECTING, why);
}

/* A refusal by a server that can be reached. */
static void refused(struct cfg_machine *m, const struct cfg_error *why)
{
    if (why->code == CFG_E_SUPERSEDED) {
        end(m, why);
    } else if (why->code == CFG_E_FOREIGN_STORE) {
        retry_slowly(m);
        cfg_machine_set_state(m, CFG_SESSION_FOREIGN, why);
    } else if (why->code == CFG_E_UNKNOWN_WORKER) {
        register_anew(m, why);
    } else if (why->retryable || why->code == CFG_E_PROTOCOL) {
        lost(m, why);
    } else {
        retry_slowly(m);
        cfg_machine_set_state(m, CFG_SESSION_REFUSED, why);
    }
}

/* Acts on what the reader or a report decided, now that nobody is inside their buffers. */
static void settle(struct cfg_machine *m)
{
    enum leave leave = m->leave;
    struct cfg_error why = m->leave_why;
    m->leave = LEAVE_NOT;
    switch (leave) {
    case LEAVE_NOT:
        break;
    case LEAVE_LOST:
        lost(m, &why);
        break;
    case LEAVE_FULL: /* the same server, soon; backing off, since one that keeps on lying must not spin us */
        m->want_full = true;
        wait_for(m, backoff(m));
        break;
    case LEAVE_BYE:
        part(m, &why);
        break;
    case LEAVE_REGISTER:
        register_anew(m, &why);
        break;
    case LEAVE_END:
        end(m, &why);
        break;
    }
}

/* --- connecting --- */

static int print_registration(struct cfg_machine *m)
{
    cfg_buf_clear(&m->path);
    cfg_url_format(&m->path, "/v1/deployments/*/workers", m->deployment);
    cJSON_DeleteItemFromObjectCaseSensitive(m->registration, "store");
    if (m->held.store[0] && cJSON_AddStringToObject(m->registration, "store", m->held.store) == NULL)
        return CFG_E_NOMEM;
    cfg_buf_clear(&m->body);
    cfg_json_print(&m->body, m->registration);
    return cfg_buf_status(&m->body) != 0 ? CFG_E_NOMEM : cfg_buf_status(&m->path);
}

static void send_registration(struct cfg_machine *m)
{
    m->phase = PHASE_REGISTERING;
    cfg_buf_clear(&m->reply[CFG_SLOT_REGISTER]);
    if (print_registration(m) != 0) {
        struct cfg_error why;
        cfg_fail(&why, CFG_E_NOMEM, "out of memory");
        lost(m, &why);
        return;
    }
    struct cfg_send send = {.slot = CFG_SLOT_REGISTER,
                            .server = m->server,
                            .method = "POST",
                            .path = m->path.data,
                            .body = cfg_buf_slice(&m->body)};
    m->transport.send(m->transport.arg, &send);
}

static void open_stream(struct cfg_machine *m)
{
    m->phase = PHASE_OPENING;
    cfg_machine_open_stream(m);
}

static void registered(struct cfg_machine *m)
{
    struct cfg_error why;
    cJSON *reply = NULL;
    if (cfg_json_parse(&reply, cfg_buf_slice(&m->reply[CFG_SLOT_REGISTER]), 0, &why) != 0 || !cJSON_IsObject(reply)) {
        cJSON_Delete(reply);
        cfg_fail(&why, CFG_E_PROTOCOL, "the answer to the registration is none of configd's");
        lost(m, &why);
        return;
    }
    cfg_held_accept_store(&m->held, cfg_json_get_str(reply, "store", ""));
    cJSON_Delete(reply);
    open_stream(m);
    if (m->callbacks.on_registered)
        m->callbacks.on_registered(m->callbacks.arg, m->reply[CFG_SLOT_REGISTER].data);
    cfg_machine_report_flush(m);
}

/* When the stream counts as dead. One that opens must come to its first event: a server that waits for what it will
 * never see sends heartbeats all the same. */
static uint64_t stream_deadline(const struct cfg_machine *m)
{
    return (m->phase == PHASE_OPENING ? m->opened_at : m->heard_at) + m->silence_ms;
}

void cfg_machine_tick(struct cfg_machine *m, uint64_t now_ms)
{
    m->now_ms = now_ms;
    if (m->phase == PHASE_WAITING && now_ms >= m->wake_at) {
        if (m->worker)
            send_registration(m);
        else
            open_stream(m);
    } else if ((m->phase == PHASE_OPENING || m->phase == PHASE_FOLLOWING) && now_ms >= stream_deadline(m)) {
        struct cfg_error why;
        cfg_fail(&why, CFG_E_TIMEOUT, "configd has been silent for %u ms: the connection is dead", m->silence_ms);
        lost(m, &why);
    }
    cfg_machine_report_flush(m);
    settle(m);
}

uint64_t cfg_machine_deadline(const struct cfg_machine *m)
{
    uint64_t at = UINT64_MAX;
    if (m->phase == PHASE_WAITING)
        return m->wake_at;
    if (m->phase == PHASE_OPENING || m->phase == PHASE_FOLLOWING) {
        at = stream_deadline(m);
        if (m->report && m->report_sent == NULL && m->report_at < at)
            at = m->report_at;
    }
    return at;
}

/* --- what comes in --- */

void cfg_machine_bytes(struct cfg_machine *m, enum cfg_slot slot, long status, struct cfg_slice bytes, uint64_t now_ms)
{
    m->now_ms = now_ms;
    if (slot == CFG_SLOT_STREAM && status == 200)
        cfg_machine_stream_bytes(m, bytes);
    else
        cfg_buf_put(&m->reply[slot], bytes.ptr, bytes.len);
    settle(m);
}

static void stream_done(struct cfg_machine *m, long status, const struct cfg_error *err)
{
    struct cfg_error why;
    if (err)
        lost(m, err);
    else if (status == 200) {
        cfg_fail(&why, CFG_E_UNAVAILABLE, "configd ended the stream without a word");
        lost(m, &why);
    } else {
        (void)cfg_problem_read(&why, status, cfg_buf_slice(&m->reply[CFG_SLOT_STREAM])); /* never 0 */
        refused(m, &why);
    }
}

void cfg_machine_done(struct cfg_machine *m, enum cfg_slot slot, long status, const struct cfg_error *err,
                      uint64_t now_ms)
{
    m->now_ms = now_ms;
    struct cfg_error why;
    if (slot == CFG_SLOT_REPORT) {
        cfg_machine_report_done(m, status, err);
    } else if (slot == CFG_SLOT_ASK) {
        cfg_machine_ask_done(m, status, err);
    } else if (slot == CFG_SLOT_STREAM) {
        stream_done(m, status, err);
    } else if (err) {
        lost(m, err);
    } else if (status == 200 || status == 201) {
        registered(m);
    } else {
        (void)cfg_problem_read(&why, status, cfg_buf_slice(&m->reply[CFG_SLOT_REGISTER])); /* never 0 */
        refused(m, &why);
    }
    settle(m);
}

/* --- life --- */

static int read_registration(struct cfg_machine *m, const char *text, struct cfg_error *err)
{
    int rc = cfg_json_parse(&m->registration, cfg_slice_str(text), 0, err);
    if (rc != 0)
        return cfg_error_wrap(err, "the registration");
    const char *worker = cfg_json_get_str(m->registration, "worker", "");
    const char *incarnation = cfg_json_get_str(m->registration, "incarnation", "");
    if (worker[0] == '\0' || incarnation[0] == '\0')
        return cfg_fail(err, CFG_E_INVALID, "a registration needs \"worker\" and \"incarnation\"");
    m->worker = strdup(worker);
    m->incarnation = strdup(incarnation);
    return m->worker && m->incarnation ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int cfg_machine_set_registration(struct cfg_machine *m, const char *json, struct cfg_error *err)
{
    cJSON *next = NULL;
    int rc = cfg_json_parse(&next, cfg_slice_str(json), 0, err);
    if (rc != 0)
        return cfg_error_wrap(err, "the registration");
    if (m->worker == NULL || strcmp(cfg_json_get_str(next, "worker", ""), m->worker) != 0 ||
        strcmp(cfg_json_get_str(next, "incarnation", ""), m->incarnation) != 0) {
        cJSON_Delete(next);
        return cfg_fail(err, CFG_E_INVALID, "a registration of another worker or incarnation");
    }
    cJSON_Delete(m->registration);
    m->registration = next;
    return 0;
}

static int fill(struct cfg_machine *m, const struct cfg_machine_options *o, struct cfg_error *err)
{
    m->servers = o->servers;
    m->held.without_meta = o->without_meta;
    m->backoff_min_ms = o->backoff_min_ms ? o->backoff_min_ms : BACKOFF_MIN_MS;
    m->backoff_max_ms = o->backoff_max_ms ? o->backoff_max_ms : BACKOFF_MAX_MS;
    m->silence_ms = o->silence_ms ? o->silence_ms : SILENCE_MS;
    if (m->servers == 0 || o->deployment == NULL || o->deployment[0] == '\0')
        return cfg_fail(err, CFG_E_INVALID, "a session needs a server and a deployment");
    m->deployment = strdup(o->deployment);
    if (m->deployment == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    m->held.bound = o->registration != NULL;
    int rc = o->registration ? read_registration(m, o->registration, err) : 0;
    if (rc == 0)
        rc = cfg_held_resume(&m->held, o->revision, o->digest, o->store, o->view, err);
    return rc;
}

int cfg_machine_new(struct cfg_machine **out, const struct cfg_machine_options *o,
                    const struct cfg_session_callbacks *callbacks, const struct cfg_transport *transport,
                    struct cfg_error *err)
{
    struct cfg_machine *m = calloc(1, sizeof *m);
    if (m == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    m->callbacks = *callbacks;
    m->transport = *transport;
    m->state = CFG_SESSION_CONNECTING;
    cfg_held_init(&m->held);
    cfg_sse_reader_init(&m->reader, CFG_LIMIT_EVENT);
    for (int slot = 0; slot < CFG_SLOTS; slot++)
        cfg_buf_init(&m->reply[slot], REPLY_MAX);
    cfg_buf_init(&m->reply[CFG_SLOT_ASK], CFG_LIMIT_EVENT);
    cfg_buf_init(&m->path, PATH_MAX_BYTES);
    cfg_buf_init(&m->body, CFG_LIMIT_BODY);
    int rc = fill(m, o, err);
    if (rc != 0) {
        cfg_machine_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

void cfg_machine_free(struct cfg_machine *m)
{
    if (m == NULL)
        return;
    free(m->deployment);
    free(m->worker);
    free(m->incarnation);
    free(m->report);
    free(m->report_sent);
    cJSON_Delete(m->registration);
    cfg_held_finish(&m->held);
    cfg_sse_reader_finish(&m->reader);
    for (int slot = 0; slot < CFG_SLOTS; slot++)
        cfg_buf_finish(&m->reply[slot]);
    cfg_buf_finish(&m->path);
    cfg_buf_finish(&m->body);
    free(m);
}
