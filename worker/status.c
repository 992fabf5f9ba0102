/* What anybody may ask, from any thread. */
#include "worker/internal.h"
#include <stdio.h>
#include <string.h>

void cfg_worker_status(const struct cfg_worker *w, struct cfg_worker_status *out)
{
    struct cfg_worker *u = (struct cfg_worker *)(uintptr_t)w; /* the lock is not part of what const promises */
    memset(out, 0, sizeof *out);
    (void)pthread_mutex_lock(&u->lock);
    /* Boxes are freed under this lock only, and never the applied one. */
    const struct cfg_box *b = atomic_load_explicit(&u->applied, memory_order_acquire);
    (void)snprintf(out->state, sizeof out->state, "%s", cfg_source_state_name(u->seen.state));
    (void)snprintf(out->revision, sizeof out->revision, "%s", b != NULL ? b->revision : "0-0");
    (void)snprintf(out->digest, sizeof out->digest, "%s", b != NULL ? b->digest : "");
    (void)snprintf(out->store, sizeof out->store, "%s", u->seen.store);
    (void)snprintf(out->newest, sizeof out->newest, "%s", u->seen.newest[0] != '\0' ? u->seen.newest : "0-0");
    int64_t age = (int64_t)cfg_now_ms() - u->seen.confirmed_ms;
    out->age_ms = u->seen.confirmed || !u->seen.ever || age < 0 ? 0 : (uint64_t)age;
    out->changes = atomic_load_explicit(&u->changes, memory_order_relaxed);
    out->rejects = u->seen.rejects;
    (void)snprintf(out->last_reject, sizeof out->last_reject, "%s", u->seen.last_reject);
    struct cfg_draining d = {0, 0, 0};
    for (uint32_t i = 0; b != NULL && cfg_drains_next(&u->drains, &u->contract, &b->pub, i, &d); i = d.index + 1) {
        if (out->draining++ == 0) {
            (void)snprintf(out->draining_path, sizeof out->draining_path, "%s", u->contract.items[d.index].path);
            out->draining_now = d.now;
            out->draining_target = d.target;
        }
    }
    (void)pthread_mutex_unlock(&u->lock);
}
