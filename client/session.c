/* The public session: a machine on a curl transport, on a loop of its own or on one that it shares. */
#include "client/transport_curl.h"

#include <stdlib.h>
#include <string.h>

struct cfg_session {
    struct cfg_target target;
    struct cfg_session_loop *loop, *own; /* own: NULL when it shares */
    struct cfg_curl_transport *transport;
    struct cfg_machine *machine;
};

const char *cfg_session_state_name(enum cfg_session_state state)
{
    switch (state) {
    case CFG_SESSION_CONNECTING:
        return "connecting";
    case CFG_SESSION_CONNECTED:
        return "connected";
    case CFG_SESSION_STALE:
        return "stale";
    case CFG_SESSION_FOREIGN:
        return "foreign";
    case CFG_SESSION_REFUSED:
        return "refused";
    case CFG_SESSION_SUPERSEDED:
        return "superseded";
    }
    return "unknown";
}

static int build(struct cfg_session *s, const struct cfg_session_options *o,
                 const struct cfg_session_callbacks *callbacks, struct cfg_error *err)
{
    int rc = cfg_target_init(&s->target, &o->client, err);
    if (rc == 0 && o->loop == NULL)
        rc = cfg_session_loop_new_private(&s->own, err);
    if (rc != 0)
        return rc;
    s->loop = o->loop ? o->loop : s->own;
    s->transport = cfg_curl_transport_new(&s->target);
    if (s->transport == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const struct cfg_machine_options mo = {
        .servers = s->target.n,
        .deployment = o->deployment,
        .registration = o->registration,
        .revision = o->revision,
        .digest = o->digest,
        .store = o->store,
        .view = o->view,
        .backoff_min_ms = o->backoff_min_ms,
        .backoff_max_ms = o->backoff_max_ms,
        .without_meta = o->without_meta,
    };
    const struct cfg_transport vtable = cfg_curl_transport_vtable(s->transport);
    rc = cfg_machine_new(&s->machine, &mo, callbacks, &vtable, err);
    if (rc == 0 && cfg_curl_transport_join(s->transport, s->loop, s->machine) != 0)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    return rc;
}

int cfg_session_new(struct cfg_session **out, const struct cfg_session_options *o,
                    const struct cfg_session_callbacks *callbacks, struct cfg_error *err)
{
    struct cfg_session_options whole = CFG_SESSION_OPTIONS_INIT;
    if (o == NULL || callbacks == NULL || o->size == 0 || o->size > sizeof whole)
        return cfg_fail(err, CFG_E_INVALID, "cfg_session_options of another version of the library");
    memcpy(&whole, o, o->size);
    struct cfg_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    int rc = build(s, &whole, callbacks, err);
    if (rc != 0) {
        cfg_session_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void cfg_session_free(struct cfg_session *s)
{
    if (s == NULL)
        return;
    if (s->own)
        cfg_session_loop_closing(s->own);
    cfg_curl_transport_free(s->transport); /* first: it feeds the machine */
    cfg_machine_free(s->machine);
    cfg_session_loop_free(s->own);
    cfg_target_finish(&s->target);
    free(s);
}

int cfg_session_poll_fd(const struct cfg_session *s)
{
    return cfg_session_loop_poll_fd(s->loop);
}

int cfg_session_timeout_ms(const struct cfg_session *s)
{
    (void)s;
    return -1; /* deadlines make poll_fd readable themselves */
}

void cfg_session_process(struct cfg_session *s)
{
    (void)cfg_session_loop_process(s->loop); /* there is nothing that could wait */
}

void cfg_session_wake(struct cfg_session *s)
{
    cfg_session_loop_wake(s->loop);
}

int cfg_session_report(struct cfg_session *s, const char *json, struct cfg_error *err)
{
    if (json == NULL)
        return cfg_fail(err, CFG_E_INVALID, "no report");
    int rc = cfg_machine_report(s->machine, json, err);
    cfg_curl_transport_touch(s->transport);
    return rc;
}

int cfg_session_set_registration(struct cfg_session *s, const char *json, struct cfg_error *err)
{
    if (json == NULL)
        return cfg_fail(err, CFG_E_INVALID, "no registration");
    return cfg_machine_set_registration(s->machine, json, err);
}

int cfg_session_ask(struct cfg_session *s, const char *path, cfg_session_answer_fn fn, void *arg, struct cfg_error *err)
{
    if (path == NULL || fn == NULL)
        return cfg_fail(err, CFG_E_INVALID, "no question");
    return cfg_machine_ask(s->machine, path, fn, arg, err);
}
