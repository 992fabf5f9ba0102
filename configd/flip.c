#include "configd/flip_internal.h"
#include "configd/lease_lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    FLIP_LEASE_S = 6,
    RETRY_MS = 500, /* after a flip could not be written */
};

struct cfg_flips {
    struct cfg_store *store;
    struct cfg_service *service;
    const struct cfg_clock *clock;
    char *holder;
    struct cfg_lease_lock *lock;
    struct cfg_store_listener listener;
    struct cfg_flip_plan plan;
    int wall;                  /* a timerfd on the wall clock */
    struct cfg_reader *reader; /* of it */
    struct cfg_timer *retry;
    bool busy;        /* a flip is being written */
    bool stopping;    /* free while a callback is to come: the last one frees */
    unsigned pending; /* callbacks to come */
};

static void step(struct cfg_flips *f);

/* First thing in every callback: false when the flips have gone. */
static bool came(struct cfg_flips *f)
{
    f->pending--;
    if (!f->stopping)
        return true;
    if (f->pending == 0)
        free(f);
    return false;
}

static int64_t now_s(const struct cfg_flips *f)
{
    return (int64_t)(f->clock->wall_ns(f->clock->arg) / 1000000000u);
}

static void pause_and_retry(struct cfg_flips *f)
{
    f->busy = false;
    cfg_timer_start(f->retry, RETRY_MS);
}

static void step_on(void *arg)
{
    step(arg);
}

/* --- a flip --- */

static void written(void *arg, const cJSON *result, bool visible, const struct cfg_error *err)
{
    struct cfg_flips *f = arg;
    (void)result, (void)visible;
    if (!came(f))
        return;
    if (err) {
        pause_and_retry(f); /* the lock was lost, or etcd is away: the plan still has it */
        return;
    }
    f->busy = false;
    step(f);
}

static char *message_of(const cJSON *body)
{
    char text[200];
    const cJSON *flags = cfg_json_get(body, "flags");
    int n = cJSON_GetArraySize(flags);
    (void)snprintf(text, sizeof text, "time rules of %.80s%s flip", flags->child ? flags->child->valuestring : "flags",
                   n > 1 ? " and others" : "");
    return cfg_slice_dup(cfg_slice_str(text));
}

static void write_flip(struct cfg_flips *f)
{
    int64_t at = 0;
    const struct cfg_flip_space *due = cfg_flip_plan_due(&f->plan, now_s(f), &at);
    const struct cfg_change_entry entry = {
        .op = CFG_CHANGE_PUT, .id = cfg_object_id_of(CFG_KIND_FLIP, due->ns, NULL), .body = cfg_flip_body(due, at)};
    struct cfg_change c = {
        .entries = malloc(sizeof *c.entries), .n = 1, .author = cfg_slice_dup(cfg_slice_str(f->holder))};
    if (c.entries)
        c.entries[0] = entry;
    else
        cJSON_Delete(entry.body);
    if (entry.body && c.entries)
        c.message = message_of(entry.body);
    if (c.entries == NULL || entry.body == NULL || c.author == NULL || c.message == NULL) {
        c.n = c.entries ? 1 : 0;
        cfg_change_finish(&c);
        pause_and_retry(f);
        return;
    }
    f->busy = true;
    f->pending++;
    cfg_service_change(f->service, &c, NULL, written, f);
}

/* --- what comes next --- */

/* Wakes at that second, or when the clock is set. */
static void sleep_until(struct cfg_flips *f, int64_t at)
{
    const struct itimerspec when = {.it_value = {.tv_sec = at == CFG_FLAG_NEVER ? 0 : at > 0 ? at : 1}};
    /* Zero disarms. What fails here (EINVAL, beyond the kernel's range) is further away than anybody waits. */
    (void)timerfd_settime(f->wall, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
}

static void step(struct cfg_flips *f)
{
    enum cfg_replica_state replica = cfg_store_state(f->store, NULL);
    const struct cfg_flip_state s = {.may_write = cfg_store_ready(f->store) && !cfg_store_restoring(f->store) &&
                                                  replica != CFG_REPLICA_FOREIGN && replica != CFG_REPLICA_STARTING,
                                     .busy = f->busy,
                                     .held = cfg_lease_lock_held(f->lock),
                                     .taken = cfg_lease_lock_taken(f->lock)};
    sleep_until(f, CFG_FLAG_NEVER);
    switch (cfg_flip_decide(&s, &f->plan, now_s(f))) {
    case CFG_FLIP_WAIT:
        if (s.held && s.may_write && !s.busy)
            sleep_until(f, cfg_flip_plan_next(&f->plan));
        break;
    case CFG_FLIP_LOCK:
        cfg_lease_lock_want(f->lock, true);
        break;
    case CFG_FLIP_WRITE:
        write_flip(f);
        break;
    case CFG_FLIP_RELEASE:
        cfg_lease_lock_want(f->lock, false);
        break;
    }
}

static void on_wall(void *arg)
{
    struct cfg_flips *f = arg;
    uint64_t times;
    (void)!read(f->wall, &times, sizeof times); /* ECANCELED: the clock was set; either way, look at it */
    step(f);
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_flips *f = arg;
    (void)rev;
    if (full)
        cfg_flips_plan_all(&f->plan, f->store, now_s(f));
    else
        cfg_flips_plan_changes(&f->plan, f->store, changes, n, now_s(f));
    step(f);
}

static void on_state(void *arg, enum cfg_replica_state state)
{
    (void)state;
    step(arg);
}

/* --- life --- */

/* Listens before the lock does: the plan is right when the lock moves. */
static int new_lock(struct cfg_flips *f, const struct cfg_flips_options *o, struct cfg_error *err)
{
    const struct cfg_lease_lock_options lock = {.loop = o->loop,
                                                .etcd = o->etcd,
                                                .store = o->store,
                                                .prefix = o->prefix,
                                                .name = CFG_FLIP_LOCK_NAME,
                                                .holder = o->replica_id,
                                                .ttl_s = FLIP_LEASE_S,
                                                .moved = step_on,
                                                .arg = f};
    f->listener = (struct cfg_store_listener){.changed = on_changed, .state = on_state, .arg = f};
    cfg_store_listen(f->store, &f->listener);
    return cfg_lease_lock_new(&f->lock, &lock, err);
}

int cfg_flips_new(struct cfg_flips **out, const struct cfg_flips_options *o, struct cfg_error *err)
{
    struct cfg_flips *f = calloc(1, sizeof *f);
    if (f == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    *f = (struct cfg_flips){.store = o->store,
                            .service = o->service,
                            .clock = o->clock,
                            .holder = cfg_slice_dup(cfg_slice_str(o->replica_id)),
                            .wall = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)};
    if (f->wall >= 0)
        f->reader = cfg_reader_new(o->loop, f->wall, on_wall, f);
    f->retry = cfg_timer_new(o->loop, step_on, f);
    int rc = 0;
    if (f->wall < 0)
        rc = cfg_fail(err, CFG_E_UNAVAILABLE, "no timer on the wall clock: error %d", errno);
    else if (!f->holder || !f->reader || !f->retry)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    rc = rc ? rc : new_lock(f, o, err);
    if (rc != 0) {
        cfg_flips_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

void cfg_flips_free(struct cfg_flips *f)
{
    if (f == NULL)
        return;
    if (f->listener.arg)
        cfg_store_unlisten(f->store, &f->listener);
    f->stopping = true;
    f->pending++; /* while the members go */
    cfg_lease_lock_free(f->lock);
    cfg_reader_free(f->reader);
    cfg_timer_free(f->retry);
    if (f->wall >= 0)
        (void)close(f->wall);
    cfg_flip_plan_finish(&f->plan);
    free(f->holder);
    (void)came(f);
}
