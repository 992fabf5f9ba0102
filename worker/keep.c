/* When the cache is read and written.
 *
 * A view is on disk before the stepper can see it, so a worker that is killed and restarts without configd never runs
 * on less than it has run on. That write is plain (a rename, no fsync: it must not hold the view up); a durable one,
 * fsync of file and directory, follows within a second and guards against the loss of power. */
#include "proto/limits.h"
#include "worker/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUIET_MS = 1000, REFRESH_MS = 300000 };

static int64_t confirmed_wall_us(struct cfg_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool now = w->seen.confirmed || !w->seen.ever;
    int64_t age_ms = (int64_t)cfg_now_ms() - w->seen.confirmed_ms;
    (void)pthread_mutex_unlock(&w->lock);
    int64_t wall = cfg_wall_us();
    return now || age_ms < 0 || age_ms > wall / 1000 ? wall : wall - age_ms * 1000;
}

static void tell(struct cfg_worker *w, int rc, const struct cfg_error *why)
{
    struct cfg_cache_state *c = &w->cache;
    if (rc != 0 && !c->failing) {
        cfg_log(w, 1, "the last good view could not be saved, the older one stays: %s", why->text);
    }
    if (rc == 0 && c->failing) {
        cfg_log(w, 2, "the last good view is saved again in %s", c->path);
    }
    c->failing = rc != 0;
}

static void store(struct cfg_worker *w, const struct cfg_box *box, bool durable)
{
    struct cfg_cache_state *c = &w->cache;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf b;
    cfg_buf_init(&b, CFG_LIMIT_EVENT + 4096);
    /* A view on its way to the stepper has just come, and is confirmed by that. */
    int64_t time_us = durable ? confirmed_wall_us(w) : cfg_wall_us();
    int rc = cfg_cache_encode(&b, w->identity.deployment, box, time_us, &err);
    if (rc == 0) {
        rc = cfg_cache_store(c->path, cfg_buf_slice(&b), durable, &err);
    }
    cfg_buf_finish(&b);
    bool dirty = (rc != 0 && rc != CFG_E_SUPERSEDED) || !durable;
    if (durable || !c->dirty) {
        c->since_ms = cfg_now_ms();
    }
    c->dirty = dirty;
    tell(w, rc, &err);
}

/* Once superseded the file is the newer incarnation's. */
static bool usable(const struct cfg_worker *w)
{
    return w->cache.path != NULL && w->published != NULL && w->published->text != NULL &&
           w->source_state != CFG_SOURCE_SUPERSEDED;
}

void cfg_keep_view(struct cfg_worker *w, const struct cfg_box *next)
{
    if (w->cache.path != NULL) {
        store(w, next, false);
    }
}

void cfg_keep_confirmation(struct cfg_worker *w)
{
    if (!w->cache.dirty) {
        w->cache.dirty = true;
        w->cache.since_ms = cfg_now_ms();
    }
}

int cfg_keep_timeout_ms(const struct cfg_worker *w)
{
    if (!usable(w) || (!w->cache.dirty && w->source_state != CFG_SOURCE_CONNECTED)) {
        return -1; /* while nobody confirms the view its time stands still */
    }
    uint64_t due = w->cache.since_ms + (w->cache.dirty ? QUIET_MS : REFRESH_MS);
    uint64_t now = cfg_now_ms();
    return now >= due ? 0 : (int)(due - now);
}

void cfg_keep_process(struct cfg_worker *w, bool closing)
{
    if (usable(w) && (closing || cfg_keep_timeout_ms(w) == 0)) {
        store(w, w->published, true);
    }
}

void cfg_keep_load(struct cfg_worker *w)
{
    struct cfg_cache_state *c = &w->cache;
    struct cfg_error err = CFG_ERROR_INIT;
    if (c->path == NULL) {
        return;
    }
    int rc = cfg_cache_load(&c->loaded, c->path, w->identity.deployment, &err);
    if (rc == CFG_E_NOT_FOUND) {
        return;
    }
    if (rc != 0) {
        cfg_log(w, 1, "the saved view is ignored: %s", err.text);
        return;
    }
    struct cfg_cached *l = &c->loaded;
    struct cfg_view_input in = {l->revision, l->digest, l->store, {l->view, l->view_len}, cfg_wall_s()};
    if (cfg_rev_parse(&w->floor, cfg_slice_str(l->revision), &err) != 0) {
        return; /* decode has checked it */
    }
    memcpy(w->floor_store, l->store, sizeof w->floor_store);
    rc = cfg_prepare(&w->offered, &w->contract, &w->local, NULL, &in, &err);
    if (rc != 0) {
        cfg_log(w, 1, "the saved view %s does not fit this worker: %s", l->revision, err.text);
        return;
    }
    int64_t age_us = cfg_wall_us() - l->time_us;
    (void)pthread_mutex_lock(&w->lock);
    w->seen.ever = true;
    w->seen.confirmed_ms = (int64_t)cfg_now_ms() - (age_us > 0 ? age_us / 1000 : 0);
    (void)pthread_mutex_unlock(&w->lock);
}
