/* Rounds: what a step of one of several ranks begins with. See ranks.h. */
#include "worker/ranks.h"
#include "worker/adopt.h"
#include <stdio.h>

static void hold(struct cfg_ranks *r)
{
    struct cfg_slate *s = &r->slate;
    (void)pthread_mutex_lock(&s->lock);
    while (s->putting) { /* for a moment: it only puts */
        (void)pthread_cond_wait(&s->changed, &s->lock);
    }
    s->held = true;
    if (r->agree.phase == CFG_AGREE_DECIDING && s->ready == CFG_AGREE_READY) {
        cfg_agree_prepared(&r->agree, (struct cfg_agree_view){s->want, cfg_agree_digest(s->prepared->digest)});
    } else if (r->agree.phase == CFG_AGREE_DECIDING && s->ready == CFG_AGREE_REFUSED) {
        cfg_agree_refuse(&r->agree, s->want);
    } else if (r->agree.phase == CFG_AGREE_IDLE) {
        cfg_agree_withdraw(&r->agree);
        if (s->prepared != NULL) {
            cfg_agree_prepared(&r->agree, (struct cfg_agree_view){cfg_agree_pack(s->prepared->rev),
                                                                  cfg_agree_digest(s->prepared->digest)});
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* From here on the library may replace what is prepared, unless it is the candidate. */
static void release(struct cfg_worker *w)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    s->held = false;
    if (s->putting) {
        (void)pthread_cond_broadcast(&s->changed);
    }
    bool wake = s->waiting || (s->want != 0 && s->ready == CFG_AGREE_LACKING);
    (void)pthread_mutex_unlock(&s->lock);
    if (wake) {
        cfg_event_signal(w->wake_fd);
    }
}

static void ask(struct cfg_worker *w, int64_t rev)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    s->want = rev;
    s->ready = w->ranks->agree.ready;
    (void)pthread_mutex_unlock(&s->lock);
}

static void adopt(struct cfg_worker *w, uint64_t step)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    struct cfg_box *b = s->prepared;
    s->prepared = NULL;
    s->want = 0;
    s->waiting = true; /* the library reports it, and prepares what it put aside */
    (void)pthread_mutex_unlock(&s->lock);
    cfg_adopt_box(w, b, step, w->ranks->agree.now_s);
}

static void drop(struct cfg_worker *w, const struct cfg_agree_outcome *o)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    if (s->ready == CFG_AGREE_READY) {
        s->dropped = s->prepared;
        s->prepared = NULL;
    }
    (void)cfg_rev_format(cfg_agree_unpack(o->rev), s->refused);
    if (o->why == CFG_AGREE_WHY_DIGEST) {
        (void)cfg_fail(&s->refusal, CFG_E_AGREEMENT, "ranks %u and %u hold different views under this revision",
                       o->rank, o->other);
    } else if (o->rank != w->ranks->group->rank) { /* one's own refusal has been reported, with its reason */
        (void)cfg_fail(&s->refusal, CFG_E_AGREEMENT, "rank %u of the group cannot run on it", o->rank);
    }
    s->want = 0;
    s->waiting = true;
    (void)pthread_mutex_unlock(&s->lock);
}

static void fail(struct cfg_ranks *r, const struct cfg_agree_outcome *o)
{
    if (o->why == CFG_AGREE_WHY_STEP) {
        (void)cfg_fail(&r->why, CFG_E_AGREEMENT, "the ranks are at different steps: rank %u at %llu, rank %u at %llu",
                       o->rank, (unsigned long long)o->low, o->other, (unsigned long long)o->high);
        cfg_error_set_hint(&r->why, "all ranks of a group begin the same steps, in the same order");
    } else {
        (void)cfg_fail(&r->why, CFG_E_AGREEMENT, "the ranks speak of different candidates");
    }
    r->group->ops->leave(r->group, r->why.text);
}

/* True when another round is worth starting at once: a candidate has been named. */
static bool conclude(struct cfg_worker *w, const int64_t words[CFG_AGREE_WORDS], uint64_t step)
{
    struct cfg_ranks *r = w->ranks;
    struct cfg_agree_outcome o = cfg_agree_result(&r->agree, words);
    switch (o.verdict) {
    case CFG_AGREE_NAMED:
        ask(w, o.rev);
        return true;
    case CFG_AGREE_ADOPT:
        adopt(w, step);
        break;
    case CFG_AGREE_DROP:
        drop(w, &o);
        break;
    case CFG_AGREE_FAIL:
        fail(r, &o);
        break;
    case CFG_AGREE_STAY:
        break;
    }
    return false;
}

static int read_result(struct cfg_worker *w, uint64_t step, bool *again)
{
    struct cfg_ranks *r = w->ranks;
    int64_t words[CFG_AGREE_WORDS];
    int rc = r->group->ops->reduced(r->group, words, CFG_AGREE_WORDS, &r->why);
    r->in_flight = false;
    *again = rc == 0 && conclude(w, words, step);
    return rc != 0 ? rc : r->why.code;
}

static int start_round(struct cfg_worker *w, uint64_t step)
{
    struct cfg_ranks *r = w->ranks;
    int64_t words[CFG_AGREE_WORDS];
    hold(r);
    cfg_agree_round(&r->agree, step, cfg_wall_s(), words);
    int rc = r->group->ops->contribute(r->group, words, CFG_AGREE_WORDS, &r->why);
    r->in_flight = rc == 0;
    return rc;
}

static int rounds(struct cfg_worker *w, uint64_t step)
{
    struct cfg_ranks *r = w->ranks;
    bool again = false;
    if (r->group->deferred) {
        int rc = r->in_flight ? read_result(w, step, &again) : 0;
        release(w);
        return rc != 0 ? rc : start_round(w, step);
    }
    int rc;
    do {
        rc = start_round(w, step);
        rc = rc != 0 ? rc : read_result(w, step, &again);
        release(w);
    } while (rc == 0 && again);
    return rc;
}

bool cfg_ranks_step(struct cfg_worker *w, uint64_t step)
{
    struct cfg_ranks *r = w->ranks;
    if (r->why.code != 0) {
        return false;
    }
    if (r->granted != NULL) {
        cfg_adopt_box(w, r->granted, step, r->agree.now_s);
        r->granted = NULL;
        cfg_event_signal(w->wake_fd);
    }
    if (++r->since < r->every) {
        return true;
    }
    r->since = 0;
    if (rounds(w, step) != 0) {
        cfg_agree_end(&r->agree);
        release(w);
        cfg_ranks_tell(w);
        return false;
    }
    return true;
}

void cfg_ranks_tell(struct cfg_worker *w)
{
    struct cfg_ranks *r = w->ranks;
    (void)pthread_mutex_lock(&r->slate.lock);
    r->slate.state = (struct cfg_group_state){.incarnation = r->group->incarnation, .formed = r->why.code == 0};
    if (r->why.code != 0) {
        (void)snprintf(r->slate.state.why, sizeof r->slate.state.why, "%.255s", r->why.text);
    }
    r->slate.state_moved = true;
    (void)pthread_mutex_unlock(&r->slate.lock);
    cfg_event_signal(w->wake_fd);
}

bool cfg_ranks_news(struct cfg_worker *w)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    bool news = s->prepared != NULL;
    (void)pthread_mutex_unlock(&s->lock);
    return news;
}

void cfg_ranks_leave(struct cfg_worker *w, const char *reason)
{
    struct cfg_ranks *r = w->ranks;
    if (r->why.code == 0) {
        (void)cfg_fail(&r->why, CFG_E_SUPERSEDED, "%s", reason);
        r->group->ops->leave(r->group, reason);
        cfg_agree_end(&r->agree);
        cfg_ranks_tell(w);
    }
}
