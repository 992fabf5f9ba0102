/* A worker's ceilings while it runs: all under its lock. A ceiling may move on any thread while the library prepares a
 * view, so a view is held to them and made known (`coming`) in one go; from then on no ceiling can go below it. */
#include "worker/internal.h"

int cfg_ceilings_admit(struct cfg_worker *w, const struct cfg_box *b, struct cfg_error *err)
{
    (void)pthread_mutex_lock(&w->lock);
    int rc = cfg_ceilings_check(&w->ceilings, &w->contract, &b->pub, err);
    w->coming = rc == 0 ? b : w->coming;
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

void cfg_ceilings_settle(struct cfg_worker *w, struct cfg_box *published)
{
    (void)pthread_mutex_lock(&w->lock);
    w->published = published != NULL ? published : w->published;
    w->coming = NULL;
    (void)pthread_mutex_unlock(&w->lock);
}

int cfg_ceilings_begin(struct cfg_worker *w, struct cfg_box *defaults, struct cfg_error *err)
{
    (void)pthread_mutex_lock(&w->lock);
    int rc = cfg_ceilings_check(&w->ceilings, &w->contract, &defaults->pub, err);
    if (rc == 0) {
        w->boxes = w->defaults = defaults;
        w->ceilings_moved = false; /* the registration carries them */
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

bool cfg_ceilings_moved(struct cfg_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool moved = w->ceilings_moved;
    w->ceilings_moved = false;
    (void)pthread_mutex_unlock(&w->lock);
    return moved;
}

struct cfg_ceilings cfg_ceilings_now(const struct cfg_worker *w)
{
    struct cfg_worker *u = (struct cfg_worker *)(uintptr_t)w; /* the lock is not part of what const promises */
    (void)pthread_mutex_lock(&u->lock);
    struct cfg_ceilings now = u->ceilings;
    (void)pthread_mutex_unlock(&u->lock);
    return now;
}

/* Everything that this process runs on or may come to run on. The defaults live until the first adoption. */
static int check_held(const struct cfg_worker *w, const struct cfg_ceilings *one, struct cfg_error *err)
{
    const struct cfg_box *applied = atomic_load_explicit(&w->applied, memory_order_acquire);
    const struct cfg_box *held[] = {applied != NULL ? applied : w->defaults, w->published, w->coming};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof held / sizeof held[0]; i++) {
        rc = held[i] != NULL ? cfg_ceilings_check(one, &w->contract, &held[i]->pub, err) : 0;
    }
    if (rc == 0 && w->defaults == NULL) { /* not started: the code's default, with nothing around it */
        const union cfg_value *def = &w->contract.items[one->items[0].index].def;
        struct cfg_ceilings alone = *one;
        alone.items[0].index = 0;
        const struct cfg_contract only = {.items = &w->contract.items[one->items[0].index], .n = 1};
        rc = cfg_ceilings_check(&alone, &only, &(struct cfg_view){.n = 1, .values = def}, err);
    }
    return rc;
}

int cfg_worker_ceiling(struct cfg_worker *w, const char *path, double most, struct cfg_error *err)
{
    struct cfg_ceilings one = {.n = 0};
    (void)pthread_mutex_lock(&w->lock);
    int rc = cfg_ceilings_set(&one, &w->contract, path, most, err);
    rc = rc != 0 ? rc : check_held(w, &one, err);
    rc = rc != 0 ? rc : cfg_ceilings_set(&w->ceilings, &w->contract, path, most, err);
    w->ceilings_moved = w->ceilings_moved || rc == 0;
    (void)pthread_mutex_unlock(&w->lock);
    if (rc == 0) {
        cfg_engine_wake(w); /* to report it */
    }
    return rc;
}
