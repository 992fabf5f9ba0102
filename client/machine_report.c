#include "client/machine_impl.h"
#include "client/url.h"
#include "proto/problem.h"

#include <stdlib.h>
#include <string.h>

enum { REPORT_RETRY_MS = 1000 };

static bool is_registered(const struct cfg_machine *m)
{
    return m->worker && (m->phase == PHASE_OPENING || m->phase == PHASE_FOLLOWING);
}

void cfg_machine_report_flush(struct cfg_machine *m)
{
    if (m->report == NULL || m->report_sent || !is_registered(m) || m->now_ms < m->report_at)
        return;
    cfg_buf_clear(&m->path);
    cfg_url_format(&m->path, "/v1/deployments/*/workers/*/report", m->deployment, m->worker);
    if (cfg_buf_status(&m->path) != 0)
        return; /* out of memory: the next tick tries again */
    m->report_sent = m->report;
    m->report = NULL;
    cfg_buf_clear(&m->reply[CFG_SLOT_REPORT]);
    struct cfg_send send = {.slot = CFG_SLOT_REPORT,
                            .server = m->server,
                            .method = "POST",
                            .path = m->path.data,
                            .body = cfg_slice_str(m->report_sent)};
    m->transport.send(m->transport.arg, &send);
}

void cfg_machine_report_take_back(struct cfg_machine *m)
{
    if (m->report_sent && m->report == NULL)
        m->report = m->report_sent;
    else
        free(m->report_sent);
    m->report_sent = NULL;
}

void cfg_machine_report_done(struct cfg_machine *m, long status, const struct cfg_error *err)
{
    if (err == NULL && status >= 200 && status < 300) {
        if (m->callbacks.on_reported)
            m->callbacks.on_reported(m->callbacks.arg, m->report_sent);
        free(m->report_sent);
        m->report_sent = NULL;
        cfg_machine_report_flush(m);
        return;
    }
    struct cfg_error why;
    if (err)
        why = *err;
    else
        (void)cfg_problem_read(&why, status, cfg_buf_slice(&m->reply[CFG_SLOT_REPORT])); /* never 0 */
    if (why.code == CFG_E_SUPERSEDED) {
        cfg_machine_leave(m, LEAVE_END, &why);
    } else if (why.code == CFG_E_UNKNOWN_WORKER || why.code == CFG_E_NOT_FOUND) {
        cfg_machine_report_take_back(m);
        cfg_machine_leave(m, LEAVE_REGISTER, &why);
    } else if (why.retryable) {
        cfg_machine_report_take_back(m);
        m->report_at = m->now_ms + REPORT_RETRY_MS;
    } else { /* this text will never be taken; the next one may */
        free(m->report_sent);
        m->report_sent = NULL;
        cfg_machine_report_flush(m);
    }
}

int cfg_machine_report(struct cfg_machine *m, const char *json, struct cfg_error *err)
{
    if (m->worker == NULL)
        return cfg_fail(err, CFG_E_INVALID, "an observer has nothing to report");
    if (m->phase == PHASE_ENDED)
        return cfg_fail(err, CFG_E_SUPERSEDED, "worker %s has been superseded by a newer incarnation", m->worker);
    char *copy = strdup(json);
    if (copy == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    free(m->report);
    m->report = copy;
    cfg_machine_report_flush(m);
    return 0;
}
