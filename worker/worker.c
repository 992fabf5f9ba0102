/* Opening, starting, closing: the life of a worker around its steps. */
#include "worker/open.h"
#include "worker/ranks.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

/* --- starting --- */

/* What steps do is gathered where somebody is told of it. */
static int start_gathering(struct cfg_worker *w, const struct cfg_box *defaults, struct cfg_error *err)
{
    bool gathers = w->source->ops->report != NULL;
    if (gathers && w->gather == NULL) {
        w->gather = cfg_gather_new();
    }
    if (gathers && (w->gather == NULL || !cfg_gather_start(w->gather, defaults))) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    w->gathers = gathers;
    return 0;
}

static int freeze(struct cfg_worker *w, struct cfg_error *err)
{
    if (w->contract.error.code != 0) {
        *err = w->contract.error;
        return err->code;
    }
    for (uint32_t i = 0; i < w->contract.n; i++) {
        if (w->contract.items[i].apply == CFG_BARRIER && w->identity.world > 1 && w->ranks == NULL) {
            (void)cfg_fail(err, CFG_E_UNSUPPORTED, "%s: a barrier parameter on one of %u ranks needs a rank group",
                           w->contract.items[i].path, w->identity.world);
            cfg_error_set_hint(err, "set CONFIGD_GROUP=tcp:HOST:PORT (rank 0's address), or declare it live");
            return CFG_E_UNSUPPORTED;
        }
    }
    if (w->ranks != NULL && w->ranks->wants_nccl) {
        (void)cfg_fail(err, CFG_E_UNSUPPORTED, "CONFIGD_GROUP=nccl: this program does not bring NCCL");
        cfg_error_set_hint(err, "CONFIGD_GROUP=tcp, or cfg_worker_use_nccl (libcfgworker_nccl) before start");
        return CFG_E_UNSUPPORTED;
    }
    int rc = cfg_local_parse(&w->local, &w->contract, w->overrides, err);
    if (rc != 0) {
        return rc;
    }
    struct cfg_box *defaults = NULL;
    rc = cfg_drains_start(&w->drains, &w->contract, err);
    rc = rc != 0 ? rc : cfg_prepare_defaults(&defaults, &w->contract, &w->local, err);
    rc = rc != 0 ? rc : cfg_ceilings_begin(w, defaults, err);
    if (rc != 0) {
        cfg_box_free(defaults);
        cfg_local_finish(&w->local);
        return rc;
    }
    w->contract.frozen = true;
    w->current = &defaults->pub;
    rc = start_gathering(w, defaults, err);
    w->attend = w->ranks != NULL;
    /* Ranks never step before they have agreed on a view. The thread comes later. */
    atomic_store_explicit(&w->mailbox, w->ranks != NULL ? NULL : &cfg_unstepped_box, memory_order_relaxed);
    return rc;
}

static int watch(struct cfg_worker *w, int fd, struct cfg_error *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
        return cfg_fail(err, CFG_E_IO, "epoll: %s", strerrordesc_np(errno));
    }
    return 0;
}

static int start_source(struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_source_events events;
    struct cfg_source_resume resume = {NULL, NULL, NULL, NULL};
    cfg_engine_events(&events, w);
    cfg_keep_load(w);
    const struct cfg_cached *l = &w->cache.loaded;
    if (w->offered != NULL) {
        resume = (struct cfg_source_resume){l->revision, l->digest, l->store, l->view};
    } else if (l->view != NULL) {
        /* Saved, but of no use to this code any more: the order and the store still stand. */
        resume = (struct cfg_source_resume){l->revision, NULL, l->store, NULL};
    }
    int rc = w->source->ops->start(w->source, &events, &resume, err);
    cfg_cached_finish(&w->cache.loaded);
    if (rc == 0) {
        rc = w->seat.loop != NULL ? cfg_worker_loop_join(w, err) : watch(w, w->source->ops->fd(w->source), err);
    }
    return rc;
}

static int start_thread(struct cfg_worker *w, struct cfg_error *err)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    /* The program's signals belong to the program's threads. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int n = pthread_create(&w->thread, NULL, cfg_engine_thread, w);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (n != 0) {
        return cfg_fail(err, CFG_E_IO, "cannot start the library's thread: %s", strerrordesc_np(n));
    }
    w->has_thread = true;
    return 0;
}

static bool still_waiting(struct cfg_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool waiting = w->phase == CFG_PHASE_WAITING;
    (void)pthread_mutex_unlock(&w->lock);
    return waiting;
}

/* The engine ends the wait itself (deadline_ms), so both ways of driving it end alike. */
static void wait_for_first_view(struct cfg_worker *w)
{
    if (w->external_loop) {
        while (still_waiting(w)) {
            struct epoll_event events[4];
            int wait = cfg_engine_timeout_ms(w);
            if (w->seat.loop != NULL) {
                cfg_worker_loop_turn(w->seat.loop, wait);
            } else {
                (void)epoll_wait(w->epoll_fd, events, 4, wait);
            }
            cfg_engine_process(w);
        }
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    while (w->phase == CFG_PHASE_WAITING) {
        (void)pthread_cond_wait(&w->changed, &w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

int cfg_worker_start(struct cfg_worker *w, unsigned timeout_ms, struct cfg_error *err)
{
    struct cfg_error own = CFG_ERROR_INIT;
    struct cfg_error *e = err != NULL ? err : &own;
    (void)pthread_mutex_lock(&w->lock);
    enum cfg_phase phase = w->phase;
    if (phase == CFG_PHASE_NEW || phase == CFG_PHASE_EXPIRED) {
        w->deadline_ms = cfg_now_ms() + timeout_ms;
        w->phase = CFG_PHASE_WAITING;
    }
    (void)pthread_mutex_unlock(&w->lock);
    if (phase == CFG_PHASE_RUNNING) {
        return w->ranks != NULL && w->ranks->why.code != 0 ? cfg_ranks_form(w, e) : 0;
    }
    if (phase == CFG_PHASE_NEW) {
        int rc = freeze(w, e);
        rc = rc != 0 ? rc : start_source(w, e);
        rc = rc != 0 || w->external_loop ? rc : start_thread(w, e);
        if (rc != 0) {
            cfg_set_phase(w, CFG_PHASE_REFUSED, e);
            return rc;
        }
    } else {
        cfg_engine_wake(w);
    }
    wait_for_first_view(w);
    (void)pthread_mutex_lock(&w->lock);
    bool ok = w->phase == CFG_PHASE_RUNNING;
    bool joins = w->ranks != NULL && (ok || w->phase == CFG_PHASE_EXPIRED);
    if (!ok && !joins) {
        *e = w->refusal;
    }
    (void)pthread_mutex_unlock(&w->lock);
    if (joins) { /* a rank without a view is given the others' */
        return cfg_ranks_form(w, e);
    }
    return ok ? 0 : e->code;
}

int cfg_worker_form(struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_error own = CFG_ERROR_INIT;
    struct cfg_error *e = err != NULL ? err : &own;
    if (w->ranks == NULL || !w->contract.frozen) {
        return cfg_fail(e, CFG_E_INVALID, "this worker %s",
                        w->ranks == NULL ? "belongs to no group: see CONFIGD_GROUP" : "has not been started");
    }
    return cfg_ranks_form(w, e);
}

int cfg_worker_why(const struct cfg_worker *w, struct cfg_error *out)
{
    *out = (struct cfg_error)CFG_ERROR_INIT;
    if (w->ranks != NULL && w->ranks->why.code != 0) {
        *out = w->ranks->why;
    } else if (atomic_load_explicit(&w->mailbox, memory_order_acquire) == &cfg_superseded_box) {
        (void)cfg_fail(out, CFG_E_SUPERSEDED, "a newer process has taken over this worker");
    }
    return out->code;
}

/* --- the caller's loop --- */

int cfg_worker_poll_fd(const struct cfg_worker *w)
{
    return w->seat.loop != NULL ? cfg_worker_loop_poll_fd(w->seat.loop) : w->epoll_fd;
}

int cfg_worker_timeout_ms(const struct cfg_worker *w)
{
    struct cfg_worker *u = (struct cfg_worker *)(uintptr_t)w; /* reading takes the lock */
    if (w->seat.loop != NULL) {
        return cfg_worker_loop_timeout_ms(w->seat.loop);
    }
    return u->contract.frozen && u->external_loop ? cfg_engine_timeout_ms(u) : -1;
}

void cfg_worker_process(struct cfg_worker *w)
{
    if (w->seat.loop != NULL) {
        cfg_worker_loop_process(w->seat.loop);
    } else if (w->external_loop && w->contract.frozen) {
        cfg_engine_process(w);
    }
}

/* --- opening and closing --- */

static char *copy_or_env(const char *given, const char *name)
{
    const char *v = given != NULL ? given : getenv(name);
    return strdup(v != NULL ? v : "");
}

static const char *get_env(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static int read_environment(struct cfg_environment *env, char host[CFG_ID_TEXT], struct cfg_error *err)
{
    if (gethostname(host, CFG_ID_TEXT) != 0) {
        return cfg_fail(err, CFG_E_IO, "no host name: %s", strerrordesc_np(errno));
    }
    host[CFG_ID_TEXT - 1] = '\0';
    *env = (struct cfg_environment){.get = get_env, .host = host, .pid = (int)getpid()};
    if (getrandom(env->random, sizeof env->random, 0) != (ssize_t)sizeof env->random) {
        return cfg_fail(err, CFG_E_IO, "no randomness: %s", strerrordesc_np(errno));
    }
    return 0;
}

static int find_cache(struct cfg_worker *w, const char *given, struct cfg_error *err)
{
    char path[PATH_MAX] = "";
    const char *v = given != NULL ? given : getenv("CONFIGD_CACHE");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n = 0;
    if (v != NULL) {
        n = snprintf(path, sizeof path, "%s", v);
    } else if (state != NULL && state[0] == '/') {
        n = snprintf(path, sizeof path, "%s/configd/%s.%s.view", state, w->identity.deployment, w->identity.worker);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(path, sizeof path, "%s/.local/state/configd/%s.%s.view", home, w->identity.deployment,
                     w->identity.worker);
    }
    if (n < 0 || (size_t)n >= sizeof path) {
        return cfg_fail(err, CFG_E_INVALID, "the cache's path is too long");
    }
    if (path[0] != '\0' && (w->cache.path = strdup(path)) == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return 0;
}

static int open_descriptors(struct cfg_worker *w, struct cfg_error *err)
{
    if (w->seat.loop != NULL) {
        return 0;
    }
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->idle_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->wake_fd < 0 || w->idle_fd < 0 || w->epoll_fd < 0) {
        return cfg_fail(err, CFG_E_IO, "cannot make event descriptors: %s", strerrordesc_np(errno));
    }
    return watch(w, w->wake_fd, err);
}

static int make_source(struct cfg_worker *w, struct cfg_error *err)
{
    if (w->source != NULL) {
        return 0;
    }
    if (w->source_spec[0] == '\0') {
        return cfg_source_configd_new(&w->source, w, err);
    }
    if (w->seat.loop != NULL) {
        return cfg_fail(err, CFG_E_UNSUPPORTED, "a shared loop is for workers that follow configd");
    }
    if (strncmp(w->source_spec, "file:", 5) == 0) {
        return cfg_source_file_new(&w->source, w->source_spec + 5, err);
    }
    (void)cfg_fail(err, CFG_E_INVALID, "unknown source \"%s\"", w->source_spec);
    cfg_error_set_hint(err, "CONFIGD_SOURCE=file:chat.json, or leave it unset to follow configd");
    return CFG_E_INVALID;
}

static unsigned number_or_env(unsigned given, const char *name)
{
    const char *v = given == 0 ? getenv(name) : NULL;
    unsigned long n = v != NULL ? strtoul(v, NULL, 10) : given;
    return n < 100000000 ? (unsigned)n : 0;
}

static int make_ranks(struct cfg_worker *w, const struct cfg_worker_options *o, struct cfg_error *err)
{
    const char *group = o->group != NULL ? o->group : getenv("CONFIGD_GROUP");
    if (group == NULL || group[0] == '\0') {
        return 0;
    }
    if (w->seat.loop != NULL) {
        return cfg_fail(err, CFG_E_UNSUPPORTED,
                        "a rank waits for the others in step_begin: it needs a loop of its own");
    }
    if (w->source_spec[0] != '\0') {
        return cfg_fail(err, CFG_E_UNSUPPORTED, "a group follows configd: a file keeps no past views to agree on");
    }
    char name[2 * CFG_ID_TEXT];
    (void)snprintf(name, sizeof name, "%s/%s", w->identity.deployment, w->identity.group);
    const struct cfg_ranks_options r = {
        .group = group,
        .name = name,
        .root = w->identity.root,
        .configd = {w->servers, w->token, w->ca_file, w->identity.deployment, w->identity.group},
        .rank = w->identity.rank,
        .world = w->identity.world,
        .every = number_or_env(o->group_every, "CONFIGD_GROUP_EVERY"),
        .deadline_ms = number_or_env(o->group_deadline_ms, "CONFIGD_GROUP_DEADLINE_MS"),
        .join_ms = number_or_env(o->group_join_ms, "CONFIGD_GROUP_JOIN_MS"),
    };
    int rc = cfg_ranks_new(&w->ranks, &r, err);
    if (rc == 0) {
        (void)snprintf(w->identity.address, sizeof w->identity.address, "%s", cfg_ranks_address(w->ranks));
    }
    return rc;
}

static int fill(struct cfg_worker *w, const struct cfg_worker_options *o, struct cfg_error *err)
{
    char host[CFG_ID_TEXT];
    struct cfg_environment env;
    w->source_spec = copy_or_env(o->source, "CONFIGD_SOURCE");
    w->servers = o->servers != NULL ? strdup(o->servers) : NULL;
    w->token = o->token != NULL ? strdup(o->token) : NULL;
    w->ca_file = o->ca_file != NULL ? strdup(o->ca_file) : NULL;
    w->overrides = copy_or_env(o->overrides, "CONFIGD_SET");
    if (w->source_spec == NULL || w->overrides == NULL || (w->servers == NULL && o->servers != NULL) ||
        (w->token == NULL && o->token != NULL) || (w->ca_file == NULL && o->ca_file != NULL)) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    w->seat.loop = o->loop;
    w->external_loop = o->external_loop || o->loop != NULL;
    w->log = o->log;
    w->log_arg = o->log_arg;
    bool remote = w->source_spec[0] == '\0';
    int rc = read_environment(&env, host, err);
    if (rc == 0) {
        rc = cfg_identity_resolve(&w->identity, o, &env, remote, err);
    }
    if (rc == 0) {
        rc = make_ranks(w, o, err);
    }
    if (rc == 0 && remote) {
        rc = find_cache(w, o->cache, err);
    }
    if (rc == 0) {
        rc = open_descriptors(w, err);
    }
    return rc != 0 ? rc : make_source(w, err);
}

static struct cfg_worker *worker_new(void)
{
    static const union cfg_value zero;
    static const struct cfg_view nothing = {0, 0, &zero, "0-0", "", NULL};
    struct cfg_worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (w == NULL) {
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->wake_fd = w->idle_fd = w->epoll_fd = -1;
    w->report_interval_ms = 2000;
    w->owner = getpid();
    w->current = &nothing; /* a program that steps before start reads zeros */
    (void)pthread_mutex_init(&w->lock, NULL);
    cfg_outcomes_init(&w->outcomes);
    w->exposures.outcomes = &w->outcomes;
    (void)pthread_cond_init(&w->changed, NULL);
    return w;
}

int cfg_worker_open_source(struct cfg_worker **out, const struct cfg_worker_options *o, struct cfg_source *source,
                           struct cfg_error *err)
{
    struct cfg_worker_options options = CFG_WORKER_OPTIONS_INIT;
    if (o != NULL && (o->size == 0 || o->size > sizeof options)) {
        return cfg_fail(err, CFG_E_INVALID, "options of an unknown size: use CFG_WORKER_OPTIONS_INIT");
    }
    if (o != NULL) {
        memcpy(&options, o, o->size);
    }
    struct cfg_worker *w = worker_new();
    if (w == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    w->source = source;
    int rc = fill(w, &options, err);
    if (rc != 0) {
        w->source = w->source == source ? NULL : w->source; /* on failure the caller's own */
        cfg_worker_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

int cfg_worker_open(struct cfg_worker **out, const struct cfg_worker_options *o, struct cfg_error *err)
{
    return cfg_worker_open_source(out, o, NULL, err);
}

static void close_descriptors(struct cfg_worker *w)
{
    const int fds[] = {w->epoll_fd, w->wake_fd, w->idle_fd};
    for (size_t i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

void cfg_worker_close(struct cfg_worker *w)
{
    /* A forked child shares descriptors and cache with its parent and has no thread to join: all it could do is harm.
     */
    if (w == NULL || w->owner != getpid()) {
        return;
    }
    if (w->has_thread) {
        atomic_store_explicit(&w->stopping, true, memory_order_release);
        cfg_event_signal(w->wake_fd);
        (void)pthread_join(w->thread, NULL);
    }
    cfg_worker_loop_leave(w);
    cfg_keep_process(w, true);
    if (w->source != NULL) {
        w->source->ops->free(w->source);
    }
    cfg_free_all_boxes(w);
    cfg_ranks_free(w->ranks);
    for (size_t i = 0; i < w->n_hooks; i++) {
        free(w->hooks[i].prefix);
    }
    cfg_local_finish(&w->local);
    cfg_contract_finish(&w->contract);
    cfg_identity_finish(&w->identity);
    free(atomic_exchange_explicit(&w->metrics, NULL, memory_order_acq_rel));
    free(w->last_metrics);
    cfg_telemetry_finish(&w->telemetry);
    cfg_gather_free(w->gather);
    cfg_drains_finish(&w->drains);
    free(w->last_report);
    cfg_outcomes_finish(&w->outcomes);
    cfg_exposures_finish(&w->exposures);
    free(w->cache.path);
    free(w->source_spec);
    free(w->servers);
    free(w->token);
    free(w->ca_file);
    free(w->overrides);
    close_descriptors(w);
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->changed);
    free(w);
}
