/* The library's side of the slate: what a candidate asks for, and what waits meanwhile. See ranks.h. */
#include "proto/limits.h"
#include "worker/ranks.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FETCH_MIN_MS = 50, FETCH_MAX_MS = 2000, ROUND_MS = 50 };

bool cfg_aside_set(struct cfg_aside *a, const struct cfg_view_input *in)
{
    struct cfg_bytes *text = cfg_bytes_new(in->text);
    if (text == NULL || strlen(in->revision) >= sizeof a->revision || strlen(in->digest) >= sizeof a->digest ||
        strlen(in->store) >= sizeof a->store) {
        (void)cfg_bytes_unref(text);
        return false;
    }
    cfg_aside_clear(a);
    memcpy(a->revision, in->revision, strlen(in->revision) + 1);
    memcpy(a->digest, in->digest, strlen(in->digest) + 1);
    memcpy(a->store, in->store, strlen(in->store) + 1);
    a->text = text;
    return true;
}

struct cfg_view_input cfg_aside_input(const struct cfg_aside *a)
{
    return (struct cfg_view_input){a->revision, a->digest, a->store, cfg_bytes_slice(a->text), cfg_wall_s()};
}

void cfg_aside_clear(struct cfg_aside *a)
{
    a->text = cfg_bytes_unref(a->text);
}

static bool busy(const struct cfg_slate *s)
{
    return s->forming || s->want != 0 || s->formed != NULL;
}

bool cfg_slate_defer(struct cfg_worker *w, const struct cfg_view_input *in)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    bool later = busy(s) || (s->held && w->external_loop); /* a stepper of its own would wait for itself */
    s->waiting = s->waiting || later;
    (void)pthread_mutex_unlock(&s->lock);
    return later && cfg_aside_set(&w->ranks->aside, in);
}

/* A round usually takes far less than ROUND_MS; where a rank keeps it waiting the view waits aside. */
static void wait_for_round(struct cfg_slate *s)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += ROUND_MS * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    s->putting = true;
    while (s->held && !busy(s) && pthread_cond_timedwait(&s->changed, &s->lock, &end) == 0) {
    }
    s->putting = false;
    (void)pthread_cond_broadcast(&s->changed);
}

bool cfg_slate_put(struct cfg_worker *w, struct cfg_box *b, struct cfg_box **replaced)
{
    struct cfg_slate *s = &w->ranks->slate;
    int64_t rev = cfg_agree_pack(b->rev);
    (void)pthread_mutex_lock(&s->lock);
    bool wanted = s->want != 0 && s->want == rev && s->ready == CFG_AGREE_LACKING;
    if (!wanted && s->held) {
        wait_for_round(s);
    }
    bool ok = wanted || (!busy(s) && !s->held);
    if (ok) {
        *replaced = s->prepared;
        s->prepared = b;
        s->ready = wanted ? CFG_AGREE_READY : s->ready;
        (void)pthread_cond_broadcast(&s->changed);
    } else {
        s->waiting = true;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return ok;
}

/* --- the candidate --- */

static void refuse(struct cfg_worker *w, int64_t want)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    if (s->want == want && s->ready == CFG_AGREE_LACKING) {
        s->ready = CFG_AGREE_REFUSED;
    }
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

/* What stands prepared makes room for the candidate; it is prepared again afterwards. */
static void make_room(struct cfg_worker *w, int64_t want)
{
    struct cfg_ranks *r = w->ranks;
    (void)pthread_mutex_lock(&r->slate.lock);
    struct cfg_box *b = r->slate.prepared;
    r->slate.prepared = NULL;
    r->slate.waiting = true;
    (void)pthread_mutex_unlock(&r->slate.lock);
    if (b == NULL) {
        return;
    }
    cfg_abort_hooks(w, b); /* the box goes with those the stepper has left behind */
    const struct cfg_view_input in = {b->revision, b->digest, b->store, cfg_bytes_slice(b->text), 0};
    if (r->aside.text == NULL && cfg_agree_pack(b->rev) > want && !cfg_aside_set(&r->aside, &in)) {
        cfg_log(w, 1, "out of memory: view %s is left out until it is sent again", b->revision);
    }
}

/* Of the fetch: 0, or an error; definite ones will not go away by trying again. */
static bool is_definite(int code)
{
    return code == CFG_E_NOT_FOUND || code == CFG_E_COMPACTED || code == CFG_E_VALUE || code == CFG_E_UNSUPPORTED ||
           code == CFG_E_FORBIDDEN || code == CFG_E_FOREIGN_STORE;
}

static void take_given(struct cfg_worker *w, struct cfg_aside *out)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    *out = s->given;
    s->given.text = NULL;
    (void)pthread_mutex_unlock(&s->lock);
}

static void try_later(struct cfg_worker *w, const struct cfg_error *why)
{
    struct cfg_ranks *r = w->ranks;
    r->fetch_backoff_ms = r->fetch_backoff_ms == 0 ? FETCH_MIN_MS : r->fetch_backoff_ms * 2;
    r->fetch_backoff_ms = r->fetch_backoff_ms > FETCH_MAX_MS ? FETCH_MAX_MS : r->fetch_backoff_ms;
    r->fetch_at_ms = cfg_now_ms() + r->fetch_backoff_ms;
    cfg_log(w, 2, "the candidate is not here yet: %s", why->text);
}

static void use(struct cfg_worker *w, int64_t want, struct cfg_aside *got)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_view_input in = cfg_aside_input(got);
    w->ranks->fetch_backoff_ms = 0;
    make_room(w, want);
    if (cfg_publish_candidate(w, &in, &err) != 0) {
        cfg_reject(w, in.revision, &err);
        refuse(w, want);
    }
    cfg_aside_clear(got);
}

/* The candidate that is still to be obtained; 0: none. */
static int64_t lacking(struct cfg_slate *s)
{
    (void)pthread_mutex_lock(&s->lock);
    int64_t want = s->ready == CFG_AGREE_LACKING ? s->want : 0;
    (void)pthread_mutex_unlock(&s->lock);
    return want;
}

static void on_fetched(void *arg, struct cfg_aside *got, const struct cfg_error *why)
{
    struct cfg_worker *w = arg;
    struct cfg_ranks *r = w->ranks;
    int64_t want = r->fetching;
    char revision[CFG_REV_TEXT];
    r->fetching = 0;
    if (lacking(&r->slate) != want) { /* decided meanwhile, or given by another rank */
        if (got != NULL) {
            cfg_aside_clear(got);
        }
    } else if (got != NULL) {
        use(w, want, got);
    } else if (is_definite(why->code)) {
        r->fetch_backoff_ms = 0;
        cfg_reject(w, cfg_rev_format(cfg_agree_unpack(want), revision), why);
        refuse(w, want);
    } else {
        try_later(w, why);
    }
}

static void fetch(struct cfg_worker *w, int64_t want)
{
    char revision[CFG_REV_TEXT];
    if (w->ranks->fetching != 0) {
        return; /* of an older candidate, perhaps; its end looks here again */
    }
    w->ranks->fetching = want;
    if (w->source->ops->fetch == NULL) {
        struct cfg_error why = CFG_ERROR_INIT;
        (void)cfg_fail(&why, CFG_E_UNSUPPORTED, "this source keeps no past views");
        on_fetched(w, NULL, &why);
        return;
    }
    w->source->ops->fetch(w->source, cfg_rev_format(cfg_agree_unpack(want), revision), on_fetched, w);
}

static void obtain(struct cfg_worker *w, int64_t want)
{
    struct cfg_ranks *r = w->ranks;
    struct cfg_aside got;
    char revision[CFG_REV_TEXT];
    take_given(w, &got);
    if (got.text == NULL && r->aside.text != NULL &&
        strcmp(r->aside.revision, cfg_rev_format(cfg_agree_unpack(want), revision)) == 0) {
        got = r->aside; /* it has come by itself meanwhile */
        r->aside.text = NULL;
    }
    if (got.text != NULL) {
        use(w, want, &got);
    } else if (cfg_now_ms() >= r->fetch_at_ms) {
        fetch(w, want);
    }
}

/* --- what there is to do --- */

static void note_end(struct cfg_worker *w, struct cfg_box *dropped, struct cfg_box *formed)
{
    if (dropped != NULL) {
        cfg_abort_hooks(w, dropped);
    }
    if (formed != NULL) {
        cfg_engine_formed(w, formed);
        (void)pthread_mutex_lock(&w->ranks->slate.lock);
        w->ranks->slate.formed = NULL;
        (void)pthread_cond_broadcast(&w->ranks->slate.changed);
        (void)pthread_mutex_unlock(&w->ranks->slate.lock);
    }
}

static void publish_aside(struct cfg_worker *w)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_aside a = w->ranks->aside;
    const struct cfg_box *applied = atomic_load_explicit(&w->applied, memory_order_acquire);
    struct cfg_view_input in = cfg_aside_input(&a);
    w->ranks->aside.text = NULL;
    /* It was newer than everything known when it came; forming may have gone past it. */
    struct cfg_rev rev;
    bool newer = cfg_rev_parse(&rev, cfg_slice_str(a.revision), NULL) == 0 &&
                 (applied == NULL || cfg_rev_cmp(rev, applied->rev) > 0);
    if (newer && cfg_publish_again(w, &in, &err) != 0) {
        cfg_log(w, 2, "the group stays with the view it has");
    }
    cfg_aside_clear(&a);
}

void cfg_slate_process(struct cfg_worker *w)
{
    struct cfg_ranks *r = w->ranks;
    struct cfg_slate *s = &r->slate;
    struct cfg_error refusal = CFG_ERROR_INIT;
    char refused[CFG_REV_TEXT];
    (void)pthread_mutex_lock(&s->lock);
    struct cfg_box *dropped = s->dropped, *formed = s->formed;
    s->dropped = NULL;
    w->report_due = w->report_due || s->state_moved;
    s->state_moved = false;
    refusal = s->refusal;
    s->refusal.code = 0;
    memcpy(refused, s->refused, sizeof refused);
    (void)pthread_mutex_unlock(&s->lock);
    note_end(w, dropped, formed);
    if (refusal.code != 0) {
        cfg_reject(w, refused, &refusal);
    }
    (void)pthread_mutex_lock(&s->lock);
    int64_t want = s->ready == CFG_AGREE_LACKING ? s->want : 0;
    bool free_now = !busy(s) && !(s->held && w->external_loop);
    s->waiting = !free_now && r->aside.text != NULL;
    (void)pthread_mutex_unlock(&s->lock);
    if (want != 0) {
        obtain(w, want);
    } else if (free_now && r->aside.text != NULL) {
        publish_aside(w);
    }
}

struct cfg_group_state cfg_slate_state(struct cfg_worker *w)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    struct cfg_group_state state = s->state;
    (void)pthread_mutex_unlock(&s->lock);
    return state;
}

int cfg_slate_timeout_ms(struct cfg_worker *w)
{
    struct cfg_ranks *r = w->ranks;
    if (r->fetching != 0 || lacking(&r->slate) == 0) {
        return -1;
    }
    uint64_t now = cfg_now_ms();
    return r->fetch_at_ms <= now ? 0 : (int)(r->fetch_at_ms - now);
}
