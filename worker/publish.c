/* The library's side of the mailbox: prepare, hand over, take back, free. See internal.h for who owns what. */
#include "worker/ranks.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cfg_box cfg_superseded_box, cfg_unstepped_box;

/* Forward only, within one store; which stores count is the session's decision, not ours. Another view under the same
 * revision (a configd of another version made it) is the server's last word, and what it calls converged. */
static bool is_newer(const struct cfg_worker *w, const struct cfg_view_input *in)
{
    struct cfg_rev rev;
    if (cfg_rev_parse(&rev, cfg_slice_str(in->revision), NULL) != 0) {
        return true; /* refused, with its reason, by prepare */
    }
    if (cfg_rev_is_none(w->floor) || strcmp(w->floor_store, in->store) != 0) {
        return true;
    }
    int order = cfg_rev_cmp(rev, w->floor);
    return order > 0 || (order == 0 && (w->published == NULL || strcmp(w->published->digest, in->digest) != 0));
}

void cfg_reject(struct cfg_worker *w, const char *revision, const struct cfg_error *why)
{
    cfg_rejects_add(&w->rejects, revision, why);
    (void)pthread_mutex_lock(&w->lock);
    w->seen.rejects = w->rejects.total;
    (void)snprintf(w->seen.last_reject, sizeof w->seen.last_reject, "%.43s: %.330s", revision, why->text);
    (void)pthread_mutex_unlock(&w->lock);
    w->report_due = true;
    cfg_log(w, 1, "view %s refused: %s", revision, why->text);
}

void cfg_abort_hooks(struct cfg_worker *w, struct cfg_box *b)
{
    for (size_t i = 0; i < w->n_hooks; i++) {
        if ((b->hooks >> i & 1U) != 0 && w->hooks[i].fn.abort != NULL) {
            w->hooks[i].fn.abort(w->hooks[i].fn.arg, &b->pub);
        }
    }
    b->hooks = 0;
}

/* A hook takes part when what it cares about differs from what is applied or from what was last published: the latter
 * may be adopted while we prepare, and a hook that missed the way back would keep the value in between. */
static bool concerns(const struct cfg_worker *w, size_t hook, const struct cfg_box *b)
{
    const struct cfg_box *applied = atomic_load_explicit(&w->applied, memory_order_acquire);
    const char *prefix = w->hooks[hook].prefix;
    return cfg_prefix_changed(&w->contract, prefix, &b->pub, applied != NULL ? &applied->pub : NULL) ||
           (w->published != NULL && cfg_prefix_changed(&w->contract, prefix, &b->pub, &w->published->pub));
}

static int run_hooks(struct cfg_worker *w, struct cfg_box *b, struct cfg_error *err)
{
    for (size_t i = 0; i < w->n_hooks; i++) {
        const struct cfg_hook *h = &w->hooks[i];
        if (!concerns(w, i, b)) {
            continue;
        }
        struct cfg_error why = CFG_ERROR_INIT;
        int rc = h->fn.prepare != NULL ? h->fn.prepare(h->fn.arg, &b->pub, &why) : 0;
        if (rc != 0) {
            if (why.code == 0) {
                (void)cfg_fail(&why, rc, "%s: could not be prepared", h->prefix[0] != '\0' ? h->prefix : "the view");
            }
            if (why.path[0] == '\0') {
                cfg_error_set_path(&why, "%s", h->prefix);
            }
            cfg_abort_hooks(w, b);
            *err = why;
            return rc;
        }
        b->hooks |= (uint64_t)1 << i;
    }
    return 0;
}

static void link_box(struct cfg_worker *w, struct cfg_box *b)
{
    b->next = w->boxes;
    w->boxes = b;
}

static void unlink_box(struct cfg_worker *w, struct cfg_box *b)
{
    for (struct cfg_box **at = &w->boxes; *at != NULL; at = &(*at)->next) {
        if (*at == b) {
            *at = b->next;
            return;
        }
    }
}

static void announce(struct cfg_worker *w, const struct cfg_box *b)
{
    (void)pthread_mutex_lock(&w->lock);
    memcpy(w->seen.newest, b->revision, sizeof w->seen.newest);
    memcpy(w->seen.store, b->store, sizeof w->seen.store);
    (void)pthread_mutex_unlock(&w->lock);
}

static void count_published(struct cfg_worker *w, struct cfg_box *b)
{
    w->serial++;
    link_box(w, b);
    cfg_ceilings_settle(w, b);
    /* A candidate may be older than what has been heard of. */
    if (strcmp(w->floor_store, b->store) != 0 || cfg_rev_cmp(b->rev, w->floor) > 0) {
        w->floor = b->rev;
        memcpy(w->floor_store, b->store, sizeof w->floor_store);
    }
    cfg_event_signal(w->idle_fd);
}

/* Puts b on the slate of a rank. False, and nothing done, when that has become busy. */
static bool put_on_slate(struct cfg_worker *w, struct cfg_box *b)
{
    struct cfg_box *replaced = NULL;
    b->pub.serial = w->serial + 1;
    announce(w, b);
    if (!cfg_slate_put(w, b, &replaced)) {
        return false;
    }
    count_published(w, b);
    if (replaced != NULL) {
        cfg_abort_hooks(w, replaced);
        unlink_box(w, replaced);
        cfg_box_free(replaced);
    }
    return true;
}

/* Puts b into the mailbox; a box the stepper has not taken meanwhile is dropped for it. False, and nothing done, when b
 * was prepared as the view this process boots with, but a step has run on the defaults since. */
static bool hand_over(struct cfg_worker *w, struct cfg_box *b)
{
    struct cfg_box *dropped = &cfg_unstepped_box;
    b->pub.serial = w->serial + 1;
    announce(w, b);
    if (w->boot != NULL) {
        dropped = atomic_exchange_explicit(&w->mailbox, b, memory_order_acq_rel);
    } else if (!atomic_compare_exchange_strong_explicit(&w->mailbox, &dropped, b, memory_order_acq_rel,
                                                        memory_order_acquire)) {
        return false;
    }
    w->boot = w->boot != NULL ? w->boot : b;
    count_published(w, b);
    if (dropped != NULL && dropped != &cfg_unstepped_box) {
        cfg_abort_hooks(w, dropped);
        if (dropped != w->boot) {
            unlink_box(w, dropped);
            cfg_box_free(dropped);
        }
    }
    return true;
}

static void count_exposures(struct cfg_worker *w, struct cfg_box *b)
{
    cfg_flag_view_count(b->pub.flags, &w->exposures);
    if (w->exposures.full && !w->exposures_warned) {
        w->exposures_warned = true;
        cfg_log(w, 1, "more than %d variants: those of further flags are not counted", CFG_EXPOSURES_MAX);
    }
}

/* Prepares, saves (unless it comes from there) and hands over. */
static int publish(struct cfg_worker *w, const struct cfg_view_input *in, bool save, struct cfg_error *err)
{
    for (;;) {
        if (w->ranks == NULL && w->boot == NULL &&
            atomic_load_explicit(&w->mailbox, memory_order_acquire) != &cfg_unstepped_box) {
            w->boot = w->defaults;
        }
        struct cfg_box *b = NULL;
        int rc = cfg_prepare(&b, &w->contract, &w->local, w->boot, in, err);
        rc = rc != 0 ? rc : cfg_ceilings_admit(w, b, err);
        if (rc == 0 && w->source->arm[0] != '\0') {
            memcpy(b->arm, w->source->arm, sizeof b->arm);
        }
        if (rc == 0) {
            count_exposures(w, b);
            rc = run_hooks(w, b, err);
        }
        if (rc != 0) {
            cfg_ceilings_settle(w, NULL);
            cfg_box_free(b);
            return rc;
        }
        if (save) {
            cfg_keep_view(w, b);
        }
        if (w->ranks != NULL ? put_on_slate(w, b) : hand_over(w, b)) {
            return 0;
        }
        cfg_abort_hooks(w, b);
        cfg_ceilings_settle(w, NULL);
        cfg_box_free(b);
        if (w->ranks != NULL && cfg_slate_defer(w, in)) {
            return 0;
        }
    }
}

static void log_pending(struct cfg_worker *w, const struct cfg_box *b)
{
    for (uint32_t i = 0; i < b->n_pending; i++) {
        const struct cfg_decl *d = &w->contract.items[b->pending[i]];
        cfg_log(w, d->apply == CFG_RESTART ? 2 : 1, "view %s: %s keeps its value until this process restarts (%s)",
                b->revision, d->path, cfg_class_name(d->apply));
    }
}

int cfg_publish_offered(struct cfg_worker *w, struct cfg_error *err)
{
    const struct cfg_box *b = w->offered;
    const struct cfg_view_input in = {b->revision, b->digest, b->store, cfg_bytes_slice(b->text), cfg_wall_s()};
    int rc = publish(w, &in, false, err);
    if (rc == 0) {
        cfg_box_free(w->offered);
        w->offered = NULL;
        log_pending(w, w->published);
    }
    return rc;
}

static int publish_and_note(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err)
{
    struct cfg_view_input now = *in;
    now.now_s = cfg_wall_s();
    const struct cfg_box *before = w->published;
    int rc = publish(w, &now, true, err);
    w->refused = rc != 0;
    if (rc != 0) {
        cfg_reject(w, in->revision, err);
        return rc;
    }
    if (w->published != before) {
        cfg_rejects_clear(&w->rejects);
        cfg_box_free(w->offered);
        w->offered = NULL;
        log_pending(w, w->published);
    }
    return 0;
}

int cfg_publish_again(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err)
{
    return publish_and_note(w, in, err);
}

int cfg_publish_candidate(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err)
{
    return publish(w, in, true, err);
}

/* What a group can agree on at all. */
static int check_for_group(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err)
{
    struct cfg_rev rev;
    int rc = cfg_rev_parse(&rev, cfg_slice_str(in->revision), err);
    if (rc == 0 && cfg_agree_pack(rev) <= 0) {
        rc = cfg_fail(err, CFG_E_LIMIT, "view %s: ranks cannot agree on this revision", in->revision);
    }
    if (rc == 0 && w->published != NULL && strcmp(w->published->store, in->store) != 0) {
        rc = cfg_fail(err, CFG_E_FOREIGN_STORE, "view %s is of another store than the one the group runs on",
                      in->revision);
        cfg_error_set_hint(err, "restart all ranks to follow the other store");
    }
    return rc;
}

int cfg_publish_input(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err)
{
    if (!is_newer(w, in)) {
        return 0;
    }
    if (w->ranks == NULL) {
        return publish_and_note(w, in, err);
    }
    int rc = check_for_group(w, in, err);
    if (rc != 0) {
        cfg_reject(w, in->revision, err);
        return rc;
    }
    if (cfg_slate_defer(w, in)) {
        return cfg_rev_parse(&w->floor, cfg_slice_str(in->revision), err);
    }
    return publish_and_note(w, in, err);
}

void cfg_publish_superseded(struct cfg_worker *w)
{
    struct cfg_box *dropped = atomic_exchange_explicit(&w->mailbox, &cfg_superseded_box, memory_order_acq_rel);
    cfg_event_signal(w->idle_fd);
    if (dropped != NULL && dropped != &cfg_superseded_box) {
        cfg_abort_hooks(w, dropped); /* freed with the rest */
    }
}

void cfg_free_boxes(struct cfg_worker *w)
{
    uint32_t below = atomic_load_explicit(&w->free_below, memory_order_acquire);
    struct cfg_box *dead = NULL;
    (void)pthread_mutex_lock(&w->lock);
    struct cfg_box **at = &w->boxes;
    while (*at != NULL) {
        struct cfg_box *b = *at;
        if (b->pub.serial < below && b != w->boot && b != w->published) {
            *at = b->next;
            b->next = dead;
            dead = b;
        } else {
            at = &b->next;
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    while (dead != NULL) {
        struct cfg_box *next = dead->next;
        cfg_box_free(dead);
        dead = next;
    }
}

void cfg_free_all_boxes(struct cfg_worker *w)
{
    struct cfg_box *waiting = atomic_exchange_explicit(&w->mailbox, NULL, memory_order_acq_rel);
    if (waiting != NULL && waiting != &cfg_superseded_box) {
        cfg_abort_hooks(w, waiting);
    }
    while (w->boxes != NULL) {
        struct cfg_box *next = w->boxes->next;
        cfg_box_free(w->boxes);
        w->boxes = next;
    }
    cfg_box_free(w->offered);
    w->offered = NULL;
}
