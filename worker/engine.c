/* The library's side: what happens between the source and the mailbox, on one thread.
 *
 *     wait (epoll: source, wake_fd; timers) → source → keep.c → publish.c → report → free what the stepper left
 */
#include "proto/limits.h"
#include "worker/ranks.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { GIVE_UP_TRIES = 16, GIVE_UP_MS = 30000 };

void cfg_log(struct cfg_worker *w, int level, const char *format, ...)
{
    if (w->log == NULL) {
        return;
    }
    char line[1024];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    w->log(w->log_arg, level, line);
}

void cfg_set_phase(struct cfg_worker *w, enum cfg_phase phase, const struct cfg_error *why)
{
    (void)pthread_mutex_lock(&w->lock);
    w->phase = phase;
    if (why != NULL) {
        w->refusal = *why;
    }
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

static enum cfg_phase phase_of(struct cfg_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    enum cfg_phase p = w->phase;
    (void)pthread_mutex_unlock(&w->lock);
    return p;
}

const char *cfg_source_state_name(enum cfg_source_state s)
{
    static const char *const names[] = {"connecting", "connected", "stale", "foreign", "refused", "superseded", "file"};
    return s <= CFG_SOURCE_FILE ? names[s] : "unknown";
}

/* What it registers with from now on. The pinned values this process runs on are decided by its first view; from then
 * on they are part of it, so that a deployment that has been pinned anew refuses it. */
static void bind_registration(struct cfg_worker *w)
{
    struct cfg_error err = CFG_ERROR_INIT;
    /* A group decides later what its ranks boot with. */
    if (w->source->ops->rebind != NULL && w->boot != NULL && w->published != NULL) {
        const struct cfg_ceilings ceilings = cfg_ceilings_now(w);
        struct cfg_buf b;
        cfg_buf_init(&b, CFG_LIMIT_BODY);
        cfg_registration_print(&b, &w->identity, &w->contract, w->boot, w->published, w->published->store, &ceilings);
        int rc = cfg_buf_status(&b);
        rc = rc == 0 ? w->source->ops->rebind(w->source, b.data, &err) : cfg_fail(&err, rc, "out of memory");
        cfg_buf_finish(&b);
        if (rc != 0) {
            cfg_log(w, 1, "the pinned values and ceilings are not part of the registration: %s", err.text);
        }
    }
}

static void first_view_taken(struct cfg_worker *w)
{
    bind_registration(w);
    cfg_set_phase(w, CFG_PHASE_RUNNING, NULL);
}

void cfg_engine_formed(struct cfg_worker *w, struct cfg_box *b)
{
    if (w->boot == NULL) {
        w->boot = b;
        first_view_taken(w);
    }
}

/* What we run on is the newest: says who knows. A configd without etcd does not, nor does one that speaks of a view we
 * have refused. */
static void confirm(struct cfg_worker *w)
{
    w->heard = true;
    bool knows = (w->source_state == CFG_SOURCE_CONNECTED || w->source_state == CFG_SOURCE_FILE) && !w->refused;
    (void)pthread_mutex_lock(&w->lock);
    if (knows || !w->seen.ever) {
        w->seen.confirmed_ms = (int64_t)cfg_now_ms();
    }
    w->seen.ever = true;
    w->seen.confirmed = knows;
    (void)pthread_mutex_unlock(&w->lock);
}

/* From here on the view ages. True when it has just begun to. */
static bool age(struct cfg_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool was = w->seen.confirmed;
    if (was) {
        w->seen.confirmed = false;
        w->seen.confirmed_ms = (int64_t)cfg_now_ms();
    }
    (void)pthread_mutex_unlock(&w->lock);
    return was;
}

static bool is_final(struct cfg_worker *w)
{
    return w->source_state == CFG_SOURCE_SUPERSEDED || phase_of(w) == CFG_PHASE_REFUSED;
}

/* Publishes the view from the cache. False when there is none, or when a hook of this worker cannot prepare it. */
static bool use_offered(struct cfg_worker *w, const char *reason)
{
    struct cfg_error err = CFG_ERROR_INIT;
    if (w->offered == NULL) {
        return false;
    }
    if (cfg_publish_offered(w, &err) != 0) {
        cfg_reject(w, w->offered->revision, &err);
        return false;
    }
    cfg_log(w, 2, "running on the saved view %s: %s", w->published->revision, reason);
    first_view_taken(w);
    return true;
}

static bool same_pin(const struct cfg_box *saved, struct cfg_slice text)
{
    cJSON *a = NULL;
    cJSON *b = NULL;
    bool same = cfg_json_parse(&a, cfg_bytes_slice(saved->text), CFG_LIMIT_DEPTH + 8, NULL) == 0 &&
                cfg_json_parse(&b, text, CFG_LIMIT_DEPTH + 8, NULL) == 0 &&
                cfg_json_equal(cfg_json_get(a, "pinned"), cfg_json_get(b, "pinned"));
    cJSON_Delete(a);
    cJSON_Delete(b);
    return same;
}

/* --- what the source says --- */

static void on_view(void *arg, const struct cfg_view_input *in)
{
    struct cfg_worker *w = arg;
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_box *before = w->published;
    if (is_final(w)) {
        return;
    }
    int rc = cfg_publish_input(w, in, &err);
    if (rc == 0 && w->published != before) {
        confirm(w);
        if (before == NULL) {
            first_view_taken(w);
        }
        return;
    }
    if (rc != 0) {
        (void)age(w);
    }
    if (rc != 0 && phase_of(w) == CFG_PHASE_WAITING) {
        /* A bad first view: the last good one, if it belongs to the same structure, is better than not to start. */
        bool saved = w->offered != NULL && same_pin(w->offered, in->text);
        if (!saved || !use_offered(w, "the newest one was refused")) {
            cfg_set_phase(w, CFG_PHASE_REFUSED, &err);
        }
    }
}

static void on_mark(void *arg, const char *revision)
{
    struct cfg_worker *w = arg;
    (void)revision;
    if (is_final(w)) {
        return;
    }
    confirm(w); /* first: start returns with the view */
    if (w->published == NULL && !w->refused) {
        (void)use_offered(w, "it is still the newest");
    }
}

static void leave(struct cfg_worker *w)
{
    w->heard = false;
    if (age(w)) {
        cfg_keep_confirmation(w);
    }
}

static void on_state(void *arg, enum cfg_source_state state, const struct cfg_error *why)
{
    struct cfg_worker *w = arg;
    bool changed = state != w->source_state;
    w->source_state = state;
    w->why = why != NULL ? *why : (struct cfg_error)CFG_ERROR_INIT;
    if (state != CFG_SOURCE_CONNECTED && state != CFG_SOURCE_FILE) {
        leave(w);
    }
    (void)pthread_mutex_lock(&w->lock);
    w->seen.state = state;
    if (w->heard && !w->refused) {
        w->seen.confirmed = true;
    }
    (void)pthread_mutex_unlock(&w->lock);
    if (changed) {
        bool bad = state == CFG_SOURCE_REFUSED || state == CFG_SOURCE_FOREIGN || state == CFG_SOURCE_SUPERSEDED;
        cfg_log(w, bad ? 1 : 2, "%s%s%s", cfg_source_state_name(state), w->why.text[0] != '\0' ? ": " : "",
                w->why.text);
        w->report_due = true;
    }
    enum cfg_phase phase = phase_of(w);
    bool waiting = phase == CFG_PHASE_WAITING || (phase == CFG_PHASE_EXPIRED && state == CFG_SOURCE_SUPERSEDED);
    if (state == CFG_SOURCE_SUPERSEDED) {
        cfg_publish_superseded(w);
        w->can_report = false; /* nobody takes them */
    }
    if (waiting && (state == CFG_SOURCE_REFUSED || state == CFG_SOURCE_SUPERSEDED)) {
        struct cfg_error refusal = w->why;
        if (refusal.code == 0) {
            (void)cfg_fail(&refusal, CFG_E_SUPERSEDED, "a newer incarnation of this worker has registered");
        }
        cfg_set_phase(w, CFG_PHASE_REFUSED, &refusal);
    } else if (waiting && state == CFG_SOURCE_FOREIGN) {
        (void)use_offered(w, "the servers hold a foreign store");
    }
}

static void on_broken(void *arg, const char *revision, const struct cfg_error *why)
{
    cfg_reject(arg, revision, why);
}

static void on_registered(void *arg, unsigned report_interval_ms)
{
    struct cfg_worker *w = arg;
    w->can_report = true;
    w->report_due = true;
    w->report_interval_ms = report_interval_ms >= 50 ? report_interval_ms : 2000;
    cfg_exposures_forget(&w->exposures); /* perhaps another configd, which has heard of none */
}

/* Only the newest report's exposures are known to be what was offered last; of an older one the next tells again. */
static void on_reported(void *arg, const char *json)
{
    struct cfg_worker *w = arg;
    if (cfg_telemetry_taken(&w->telemetry, json, &w->runs)) {
        w->report_due = true;
    }
    if (w->last_report != NULL && strcmp(w->last_report, json) == 0) {
        cfg_exposures_arrived(&w->exposures);
        free(w->last_report);
        w->last_report = NULL;
    }
}

void cfg_engine_events(struct cfg_source_events *out, struct cfg_worker *w)
{
    *out = (struct cfg_source_events){on_view, on_mark, on_state, on_broken, on_registered, on_reported, w};
}

/* --- reports --- */

/* The newest step's metrics. The stepper has found them to be an object; what it passed over may still be no JSON. */
static void take_metrics(struct cfg_worker *w)
{
    char *m = atomic_exchange_explicit(&w->metrics, NULL, memory_order_acq_rel);
    cJSON *v = NULL;
    if (m != NULL && cfg_json_parse(&v, cfg_slice_str(m), 8, NULL) == 0) {
        free(w->last_metrics);
        w->last_metrics = m;
    } else if (m != NULL) {
        free(m);
        atomic_fetch_or_explicit(&w->gather->complaints, CFG_METRICS_BAD_JSON, memory_order_relaxed);
    }
    cJSON_Delete(v);
}

/* Once each: a program that sends rubbish does so at every step. */
static void tell_complaints(struct cfg_worker *w)
{
    static const char *const texts[] = {
        "metrics of a step are dropped: not a JSON object of at most 16384 bytes",
        "a metric is left out: names are letters, digits and _ . : / -, at most 64",
        "metrics are left out: more than 64 names",
        "samples of metrics are lost: out of memory",
    };
    unsigned all = w->gather != NULL ? atomic_load_explicit(&w->gather->complaints, memory_order_relaxed) : 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (((all & ~w->metrics_told) >> i & 1U) != 0) {
            cfg_log(w, 1, "%s", texts[i]);
        }
    }
    w->metrics_told |= all;
}

/* What has been sent and never taken, although configd is there and takes reports otherwise, it does not want. */
static const char *take_telemetry(struct cfg_worker *w, uint64_t now)
{
    struct cfg_telemetry *t = &w->telemetry;
    if (w->source_state != CFG_SOURCE_CONNECTED || t->tries <= 1) {
        t->tries = t->tries > 1 ? 1 : t->tries;
        w->telling_since_ms = now;
    } else if (t->tries > GIVE_UP_TRIES && now - w->telling_since_ms > GIVE_UP_MS) {
        cfg_log(w, 1, "what steps did is dropped: configd does not take it");
        cfg_telemetry_drop(t);
    }
    uint64_t lost = t->lost;
    cfg_telemetry_collect(t, w->gathers ? w->gather : NULL);
    if (lost == 0 && t->lost > 0) {
        cfg_log(w, 1, "what steps did is lost: more than %d revisions between two reports", CFG_WINDOWS_MAX);
    }
    return cfg_telemetry_send(t, w->gather, &w->runs, &w->outcomes);
}

static void send_report(struct cfg_worker *w, uint64_t now)
{
    struct cfg_worker_status status;
    cfg_worker_status(w, &status);
    take_metrics(w);
    tell_complaints(w);
    const struct cfg_box *applied = atomic_load_explicit(&w->applied, memory_order_acquire);
    const struct cfg_ceilings ceilings = cfg_ceilings_now(w);
    const struct cfg_group_state group =
        w->ranks != NULL ? cfg_slate_state(w) : (struct cfg_group_state){.formed = false};
    struct cfg_report r = {
        .incarnation = w->identity.incarnation,
        .applied = applied,
        .step = atomic_load_explicit(&w->step, memory_order_relaxed),
        .idle = atomic_load_explicit(&w->idle, memory_order_relaxed),
        .age_ms = status.age_ms,
        .contract = &w->contract,
        .local = &w->local,
        .rejects = &w->rejects,
        .metrics = w->last_metrics,
        .telemetry = take_telemetry(w, now),
        .drains = &w->drains,
        .exposures = &w->exposures,
        .ceilings = &ceilings,
        .group = w->ranks != NULL ? &group : NULL,
    };
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf b;
    cfg_buf_init(&b, CFG_LIMIT_BODY);
    cfg_report_print(&b, &r);
    int rc = cfg_buf_status(&b);
    free(w->last_report);
    w->last_report = rc == 0 ? strdup(b.data) : NULL;
    rc = rc == 0 ? w->source->ops->report(w->source, b.data, &err) : cfg_fail(&err, rc, "out of memory");
    cfg_buf_finish(&b);
    if (rc != 0) {
        cfg_log(w, 1, "a report could not be sent: %s", err.text);
    }
    w->report_due = false;
    w->reported_serial = applied != NULL ? applied->pub.serial : 0;
    w->next_report_ms = now + w->report_interval_ms;
}

/* Is there somebody who wants to hear from us? */
static bool listened_to(const struct cfg_worker *w)
{
    return w->can_report && w->source->ops->report != NULL;
}

/* After an adoption at once, and whenever the interval has passed. Going idle and coming back is no reason of its own:
 * a loop that idles between steps would report at every one of them. */
static void report_if_due(struct cfg_worker *w)
{
    if (!listened_to(w)) {
        return;
    }
    uint64_t now = cfg_now_ms();
    const struct cfg_box *applied = atomic_load_explicit(&w->applied, memory_order_acquire);
    if (w->report_due || now >= w->next_report_ms || (applied != NULL && applied->pub.serial != w->reported_serial)) {
        send_report(w, now);
    }
}

/* --- the loop --- */

static void expire(struct cfg_worker *w)
{
    if (phase_of(w) == CFG_PHASE_WAITING && w->published != NULL && w->ranks != NULL) {
        /* Of a forming that failed: there is something to join with, so there is nothing to wait for. */
        cfg_set_phase(w, CFG_PHASE_EXPIRED, NULL);
        return;
    }
    if (phase_of(w) != CFG_PHASE_WAITING || cfg_now_ms() < w->deadline_ms || w->published != NULL) {
        return;
    }
    char reason[512];
    (void)snprintf(reason, sizeof reason, "no view in time%s%s", w->why.text[0] != '\0' ? ": " : "", w->why.text);
    if (!use_offered(w, reason)) {
        struct cfg_error err = CFG_ERROR_INIT;
        (void)cfg_fail(&err, CFG_E_TIMEOUT, "no first view: %s%s%s", cfg_source_state_name(w->source_state),
                       w->why.text[0] != '\0' ? ": " : "", w->why.text);
        cfg_error_set_hint(&err, "%s", w->why.hint[0] != '\0' ? w->why.hint : "is configd running? see CONFIGD_SERVER");
        cfg_set_phase(w, CFG_PHASE_EXPIRED, &err);
    }
}

void cfg_engine_wake(struct cfg_worker *w)
{
    if (w->seat.loop != NULL) {
        cfg_worker_loop_call(w);
    } else {
        cfg_event_signal(w->wake_fd);
    }
}

void cfg_engine_process(struct cfg_worker *w)
{
    cfg_event_drain(w->wake_fd);
    w->source->ops->process(w->source);
    if (w->ranks != NULL) {
        cfg_slate_process(w);
    }
    expire(w);
    if (cfg_ceilings_moved(w)) {
        bind_registration(w);
        w->report_due = true;
    }
    if (atomic_exchange_explicit(&w->drains.moved, false, memory_order_acq_rel)) {
        w->report_due = true;
    }
    report_if_due(w);
    cfg_keep_process(w, false);
    cfg_free_boxes(w);
}

static int sooner(int a, int b)
{
    return a < 0 ? b : (b < 0 || a < b ? a : b);
}

static int until(uint64_t when_ms)
{
    uint64_t now = cfg_now_ms();
    return when_ms <= now ? 0 : (int)(when_ms - now > INT32_MAX ? INT32_MAX : when_ms - now);
}

int cfg_engine_timeout_ms(struct cfg_worker *w)
{
    int t = sooner(w->source->ops->timeout_ms(w->source), cfg_keep_timeout_ms(w));
    if (w->ranks != NULL) {
        t = sooner(t, cfg_slate_timeout_ms(w));
    }
    if (listened_to(w)) {
        t = sooner(t, until(w->next_report_ms));
    }
    if (phase_of(w) == CFG_PHASE_WAITING) {
        t = sooner(t, until(w->deadline_ms));
    }
    return t;
}

void *cfg_engine_thread(void *worker)
{
    struct cfg_worker *w = worker;
    struct epoll_event events[4];
    while (!atomic_load_explicit(&w->stopping, memory_order_acquire)) {
        /* Interrupted or ready: process looks at everything. */
        (void)epoll_wait(w->epoll_fd, events, 4, cfg_engine_timeout_ms(w));
        cfg_engine_process(w);
    }
    return NULL;
}
