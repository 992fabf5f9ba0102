#include "worker/cfg-fleet/fleet.h"
#include "worker/cfg-fleet/chance.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { TICK_US = 100000, SLICE_MS = 100, OPEN_AT_ONCE = 32, SOCKETS_MAX = 65536 };

struct run {
    struct cfg_fleet *f;
    const struct cfg_fleet_watcher *watcher;
    size_t opened;
    uint64_t ticked_us, ready_us;
    bool ready;
};

/* --- life --- */

static bool varies_name(struct cfg_slice name, void *arg)
{
    bool *varies = arg;
    *varies = *varies || cfg_slice_eq_str(name, "step") || cfg_slice_eq_str(name, "seconds") ||
              cfg_slice_eq_str(name, "chance");
    return true;
}

static bool varies(const struct cfg_signal *s)
{
    bool found = false;
    cfg_expr_each_name(s->expr, varies_name, &found);
    return found;
}

/* A step of no time at all: written as the number. */
static bool is_idle(const struct cfg_signal *s)
{
    struct cfg_error err;
    const struct cfg_expr_names none = {NULL, NULL, NULL};
    double v = 1;
    bool named = false;
    cfg_expr_each_name(s->expr, varies_name, &named);
    struct cfg_slice text = cfg_expr_text(s->expr);
    return text.len > 0 && strspn(text.ptr, "0. ") >= text.len && !named && cfg_signal_base(&v, s, &none, &err) == 0 &&
           v == 0;
}

/* A descriptor per worker, and some. */
static int raise_limit(size_t workers, struct cfg_error *err)
{
    struct rlimit files;
    rlim_t need = workers + 384; /* some: at most 256 requests are under way */
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= need) {
        return 0;
    }
    if (files.rlim_max < need) {
        (void)cfg_fail(err, CFG_E_LIMIT, "%zu workers need as many open files; the limit is %llu", workers,
                       (unsigned long long)files.rlim_max);
        cfg_error_set_hint(err, "run several cfg-fleet, each with a --prefix, or raise `ulimit -Hn`");
        return CFG_E_LIMIT;
    }
    files.rlim_cur = need;
    return setrlimit(RLIMIT_NOFILE, &files) == 0 ? 0 : cfg_fail(err, CFG_E_IO, "setrlimit");
}

static void seat(struct cfg_fleet *f, uint32_t i)
{
    const struct cfg_fleet_options *o = f->o;
    uint32_t deployment = (uint32_t)(i / o->group_size % o->n_deployments); /* a group is of one deployment */
    f->sims[i] =
        (struct cfg_sim){.fleet = f, .index = i, .deployment = deployment, .chance = cfg_chance_mix(o->seed, i)};
    f->deployments[deployment].workers++;
}

int cfg_fleet_init(struct cfg_fleet *f, struct cfg_fleet_options *o, struct cfg_error *err)
{
    memset(f, 0, sizeof *f);
    f->o = o;
    f->declared = &o->declared;
    f->chance = cfg_chance_mix(o->seed, UINT64_MAX - 1);
    f->started_us = cfg_fleet_now_us();
    f->idle = is_idle(&o->step_ms);
    f->step_varies = varies(&o->step_ms);
    for (size_t i = 0; i < o->n_metrics; i++) {
        f->metric_varies[i] = varies(&o->metrics[i].signal);
    }
    f->sims = calloc(o->workers, sizeof *f->sims);
    if (f->sims == NULL || cfg_heap_reserve(&f->heap, o->workers) != 0) {
        return cfg_fail(err, CFG_E_NOMEM, "no memory for %u workers", o->workers);
    }
    for (size_t i = 0; i < o->n_deployments; i++) {
        f->deployments[i].name = o->deployments[i];
    }
    for (uint32_t i = 0; i < o->workers; i++) {
        seat(f, i);
    }
    int rc = raise_limit(o->workers, err);
    return rc != 0 ? rc : cfg_worker_loop_open(&f->loop, err);
}

void cfg_fleet_finish(struct cfg_fleet *f)
{
    for (uint32_t i = 0; f->sims != NULL && i < f->o->workers; i++) {
        cfg_sim_close(&f->sims[i]);
        free(f->sims[i].bases);
    }
    free(f->sims);
    cfg_worker_loop_close(f->loop);
    cfg_heap_finish(&f->heap);
    f->sims = NULL;
}

/* --- what goes wrong --- */

static size_t how_many(struct run *r, const struct cfg_failure_plan *p, uint64_t now_us)
{
    struct cfg_fleet *f = r->f;
    double mean = 0;
    size_t whole = 0;
    cfg_failure_plan_due(&mean, &whole, p, r->ticked_us - r->ready_us, now_us - r->ready_us, f->o->workers);
    return whole + (mean > 0 ? (size_t)cfg_chance_poisson(&f->chance, mean) : 0);
}

/* One that is up, by chance; NULL: none to be found. */
static struct cfg_sim *pick(struct cfg_fleet *f)
{
    uint32_t n = f->o->workers;
    uint32_t from = (uint32_t)(cfg_chance_next(&f->chance) % n);
    for (uint32_t i = 0; i < n; i++) {
        struct cfg_sim *s = &f->sims[(from + i) % n];
        if (s->state == CFG_SIM_UP) {
            return s;
        }
    }
    return NULL;
}

static void crash(struct cfg_fleet *f, uint64_t now_us)
{
    struct cfg_sim *s = pick(f);
    if (s != NULL) {
        cfg_sim_crash(s, now_us);
    }
}

static bool is_connection(int fd)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &n) == 0 && peer.ss_family != AF_UNIX;
}

/* The network fails: sockets of this process, whichever they belong to, are cut. */
static void disconnect(struct cfg_fleet *f, size_t n)
{
    static int sockets[SOCKETS_MAX];
    size_t found = 0;
    for (int fd = 3; n > 0 && fd < SOCKETS_MAX && fd < (int)f->o->workers + 256; fd++) {
        if (is_connection(fd)) {
            sockets[found++] = fd;
        }
    }
    for (; n > 0 && found > 0; n--) {
        size_t i = cfg_chance_next(&f->chance) % found;
        (void)shutdown(sockets[i], SHUT_RDWR);
        sockets[i] = sockets[--found];
        f->counts.disconnects++;
    }
}

static void fail_some(struct run *r, uint64_t now_us)
{
    struct cfg_fleet *f = r->f;
    const struct cfg_fleet_options *o = f->o;
    for (size_t n = how_many(r, &o->crash, now_us); n > 0; n--) {
        crash(f, now_us);
    }
    struct cfg_sim *s = NULL;
    for (size_t n = how_many(r, &o->hang, now_us); n > 0 && (s = pick(f)) != NULL; n--) {
        cfg_sim_hang(s, now_us);
    }
    for (size_t n = how_many(r, &o->slow, now_us); n > 0 && (s = pick(f)) != NULL; n--) {
        cfg_sim_slow(s, now_us);
    }
    disconnect(f, how_many(r, &o->disconnect, now_us));
}

/* --- the loop --- */

/* What refuses one would refuse all: a deployment that is not there, a token. Later starts do not wait. */
static int open_first(struct run *r, const volatile sig_atomic_t *stop, const sigset_t *wait_mask,
                      struct cfg_error *err)
{
    const struct timespec now = {0, 0};
    struct cfg_fleet *f = r->f;
    uint64_t end_us = f->started_us + (uint64_t)f->o->start_ms * 1000;
    int rc = cfg_sim_open(&f->sims[0], err);
    r->opened = 1;
    if (rc != 0) {
        return rc;
    }
    do {
        rc = cfg_worker_start(f->sims[0].w, SLICE_MS, err);
        (void)ppoll(NULL, 0, &now, wait_mask); /* lets signals in */
    } while (rc == CFG_E_TIMEOUT && !*stop && cfg_fleet_now_us() < end_us);
    return *stop ? 0 : rc;
}

static int open_some(struct run *r, struct cfg_error *err)
{
    struct cfg_fleet *f = r->f;
    for (size_t n = 0; n < OPEN_AT_ONCE && r->opened < f->o->workers; n++) {
        int rc = cfg_sim_open(&f->sims[r->opened], err);
        if (rc != 0) {
            return rc;
        }
        r->opened++;
    }
    return 0;
}

static void run_fresh(struct cfg_fleet *f)
{
    while (f->fresh != NULL) {
        struct cfg_sim *s = f->fresh;
        f->fresh = s->next_fresh;
        cfg_sim_fresh(s, cfg_fleet_now_us());
    }
}

static void run_due(struct cfg_fleet *f)
{
    uint64_t now = cfg_fleet_now_us();
    for (struct cfg_heap_node *due; (due = cfg_heap_pop(&f->heap, now)) != NULL;) {
        cfg_sim_run((struct cfg_sim *)(void *)((char *)due - offsetof(struct cfg_sim, next)), now);
    }
}

static void tell_applied(struct run *r)
{
    for (size_t i = 0; i < r->f->o->n_deployments; i++) {
        struct cfg_fleet_deployment *d = &r->f->deployments[i];
        const struct cfg_change *newest = cfg_changes_newest(&d->changes);
        if (newest != NULL && newest->number != d->told && d->up > 0 && newest->on == d->up) {
            d->told = newest->number;
            if (r->ready) { /* before, some have their first view */
                r->watcher->applied(r->watcher->arg, d, newest);
            }
        }
    }
}

static bool all_stepped(const struct cfg_fleet *f)
{
    for (uint32_t i = 0; f->o->steps != 0 && i < f->o->workers; i++) {
        if (f->sims[i].state != CFG_SIM_UP || f->sims[i].step < f->o->steps) {
            return false;
        }
    }
    return f->o->steps != 0;
}

static void wait(struct run *r, const sigset_t *wait_mask)
{
    struct cfg_fleet *f = r->f;
    uint64_t now = cfg_fleet_now_us(), until = r->ticked_us + TICK_US, due = cfg_heap_due(&f->heap);
    int loop_ms = cfg_worker_loop_timeout_ms(f->loop);
    until = due < until ? due : until;
    if (loop_ms >= 0 && now + (uint64_t)loop_ms * 1000 < until) {
        until = now + (uint64_t)loop_ms * 1000;
    }
    if (r->opened < f->o->workers || f->fresh != NULL || until < now) {
        until = now;
    }
    struct timespec left = {(time_t)((until - now) / 1000000), (long)((until - now) % 1000000) * 1000};
    struct pollfd p = {cfg_worker_loop_poll_fd(f->loop), POLLIN, 0};
    (void)ppoll(&p, 1, &left, wait_mask); /* interrupted: the caller looks at what the handler set */
}

/* Why a worker that has none got no view. */
static int why_not_ready(struct run *r, struct cfg_error *err)
{
    for (uint32_t i = 0; i < r->f->o->workers; i++) {
        if (r->f->sims[i].state == CFG_SIM_STARTING) {
            int rc = cfg_worker_start(r->f->sims[i].w, 0, err);
            if (rc != 0) {
                return cfg_error_wrap(err, "%zu of %u workers have started", r->f->counts.up, r->f->o->workers);
            }
        }
    }
    return 0;
}

static int tick(struct run *r, uint64_t now_us, struct cfg_error *err)
{
    struct cfg_fleet *f = r->f;
    if (!r->ready && r->opened == f->o->workers && f->counts.up == f->o->workers) {
        r->ready = true;
        r->ready_us = r->ticked_us = now_us;
        r->watcher->ready(r->watcher->arg, f, now_us);
    }
    if (now_us - r->ticked_us < TICK_US) {
        return 0;
    }
    if (r->ready) {
        fail_some(r, now_us);
    }
    r->ticked_us = now_us;
    r->watcher->tick(r->watcher->arg, f, now_us);
    if (!r->ready && now_us - f->started_us > (uint64_t)f->o->start_ms * 1000) {
        return why_not_ready(r, err);
    }
    return 0;
}

int cfg_fleet_run(struct cfg_fleet *f, const struct cfg_fleet_watcher *watcher, const volatile sig_atomic_t *stop,
                  const sigset_t *wait_mask, struct cfg_error *err)
{
    struct run r = {.f = f, .watcher = watcher, .ticked_us = cfg_fleet_now_us()};
    int rc = open_first(&r, stop, wait_mask, err);
    for (uint64_t now = r.ticked_us; rc == 0 && !*stop && !all_stepped(f); now = cfg_fleet_now_us()) {
        if (f->o->run_us != 0 && now - f->started_us >= f->o->run_us) {
            break;
        }
        rc = open_some(&r, err);
        wait(&r, wait_mask);
        cfg_worker_loop_process(f->loop);
        run_fresh(f);
        run_due(f);
        tell_applied(&r);
        rc = rc != 0 ? rc : tick(&r, cfg_fleet_now_us(), err);
    }
    return rc;
}
