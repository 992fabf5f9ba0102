/* Forming a group: who is there, whether all are built alike, and the view that all begin with. See ranks.h. */
#include "proto/limits.h"
#include "worker/ranks.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

/* One word per rank and round, like the agreement's own. */
static int exchange(struct cfg_ranks *r, int64_t words[CFG_AGREE_WORDS], struct cfg_error *err)
{
    int rc = r->group->ops->contribute(r->group, words, CFG_AGREE_WORDS, err);
    return rc != 0 ? rc : r->group->ops->reduced(r->group, words, CFG_AGREE_WORDS, err);
}

/* --- fingerprints --- */

/* Is it the value of a parameter that a process keeps as it booted with it, and that operators may change meanwhile? */
static bool is_restart_value(const struct cfg_worker *w, const struct cfg_box *boot, struct cfg_slice key)
{
    for (uint32_t i = 0; boot != NULL && i < w->contract.n; i++) {
        const struct cfg_decl *d = &w->contract.items[i];
        if (d->apply == CFG_RESTART && !(boot->from_pin != NULL && boot->from_pin[i]) &&
            cfg_slice_eq(cfg_slice_str(d->path), key)) {
            return true;
        }
    }
    return false;
}

static int tell_difference(const struct cfg_worker *w, const struct cfg_box *boot, struct cfg_slice key,
                           const char *difference, struct cfg_error *err)
{
    if (!is_restart_value(w, boot, key)) {
        (void)cfg_fail(err, CFG_E_PIN_MISMATCH, "the ranks differ: %s", difference);
        cfg_error_set_hint(err, "start all ranks with the same program, options and pin");
        return CFG_E_PIN_MISMATCH;
    }
    (void)cfg_fail(err, CFG_E_PIN_MISMATCH,
                   "the ranks booted with different values of a restart parameter: restart all of them, or set it back "
                   "and restart the newer ones: %.190s",
                   difference);
    cfg_error_set_hint(err,
                       "%.*s takes effect at a restart, and was changed while some of these ranks ran; they keep what "
                       "they booted with",
                       (int)(key.len < 100 ? key.len : 100), key.ptr);
    cfg_error_set_path(err, "%.*s", (int)(key.len < 150 ? key.len : 150), key.ptr);
    return CFG_E_PIN_MISMATCH;
}

static int name_difference(struct cfg_worker *w, const struct cfg_box *boot, const struct cfg_buf *mine,
                           struct cfg_error *err)
{
    struct cfg_ranks *r = w->ranks;
    uint32_t n = r->group->world;
    char **texts = calloc(n, sizeof *texts), difference[300] = "in what they declare";
    struct cfg_slice key = {"", 0};
    int rc = texts != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct cfg_buf b;
        cfg_buf_init(&b, CFG_LIMIT_EVENT);
        if (i == r->group->rank) {
            cfg_buf_put(&b, mine->data, mine->len);
        }
        rc = r->group->ops->broadcast(r->group, i, &b, err);
        cfg_buf_putc(&b, '\n');
        texts[i] = cfg_buf_steal(&b);
        rc = rc == 0 && texts[i] == NULL ? cfg_fail(err, CFG_E_NOMEM, "out of memory") : rc;
        cfg_buf_finish(&b);
    }
    if (rc == 0) {
        (void)cfg_fingerprint_difference(&key, difference, sizeof difference, (const char *const *)texts, n);
        rc = tell_difference(w, boot, key, difference, err);
    }
    for (uint32_t i = 0; texts != NULL && i < n; i++) {
        free(texts[i]);
    }
    free((void *)texts);
    return rc;
}

static int print_fingerprint(struct cfg_worker *w, const struct cfg_box *boot, struct cfg_buf *out, int64_t *word,
                             struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    cfg_fingerprint_print(out, &w->contract, &w->local, boot, w->ranks->every);
    int rc = cfg_buf_status(out);
    rc = rc == 0 ? cfg_digest_bytes(digest, cfg_buf_slice(out)) : rc;
    *word = rc == 0 ? cfg_agree_digest(digest) : 0;
    return rc == 0 ? 0 : cfg_fail(err, rc, "the fingerprint does not fit");
}

/* --- the view --- */

/* The greatest view below `below` that this rank could give the others; the stepper holds the slate. */
static const struct cfg_box *best_held(struct cfg_worker *w, int64_t below)
{
    const struct cfg_box *p = w->ranks->slate.prepared;
    const struct cfg_box *a = atomic_load_explicit(&w->applied, memory_order_acquire);
    const struct cfg_box *g = w->ranks->granted;
    if (p != NULL && cfg_agree_pack(p->rev) < below) {
        return p;
    }
    if (g != NULL && cfg_agree_pack(g->rev) < below) {
        return g;
    }
    return a != NULL && a->text != NULL && cfg_agree_pack(a->rev) < below ? a : NULL;
}

static void print_view(struct cfg_buf *out, const struct cfg_box *b)
{
    struct cfg_slice text = cfg_bytes_slice(b->text);
    cfg_buf_printf(out, "%s\n%s\n%s\n", b->revision, b->digest, b->store);
    cfg_buf_put(out, text.ptr, text.len);
}

static bool take_line(struct cfg_slice *rest, char *out, size_t size)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t n = end != NULL ? (size_t)(end - rest->ptr) : size;
    if (n >= size) {
        return false;
    }
    memcpy(out, rest->ptr, n);
    out[n] = '\0';
    rest->ptr += n + 1;
    rest->len -= n + 1;
    return true;
}

static bool parse_view(struct cfg_aside *out, struct cfg_slice bytes)
{
    struct cfg_aside a = {.text = NULL};
    if (!take_line(&bytes, a.revision, sizeof a.revision) || !take_line(&bytes, a.digest, sizeof a.digest) ||
        !take_line(&bytes, a.store, sizeof a.store)) {
        return false;
    }
    a.text = cfg_bytes_new(bytes);
    *out = a;
    return a.text != NULL;
}

/* The library's turn, with the slate's lock held; false when time is up. */
static bool wait_for_library(struct cfg_worker *w, const struct timespec *end)
{
    struct cfg_slate *s = &w->ranks->slate;
    if (!w->external_loop) {
        return pthread_cond_timedwait(&s->changed, &s->lock, end) == 0;
    }
    struct epoll_event events[4];
    struct timespec now;
    (void)pthread_mutex_unlock(&s->lock);
    (void)epoll_wait(w->epoll_fd, events, 4, 10); /* ready, interrupted or in time: looked at either way */
    cfg_engine_process(w);
    (void)pthread_mutex_lock(&s->lock);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec < end->tv_nsec);
}

/* The others wait for this rank's word until the group's deadline: it is given in half that time. */
static struct timespec prepare_deadline(const struct cfg_ranks *r)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += r->deadline_ms / 2000;
    t.tv_nsec += (long)(r->deadline_ms / 2 % 1000) * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000L;
    t.tv_nsec %= 1000000000L;
    return t;
}

/* The library prepares what was broadcast; true once it has. A `prepare` that takes too long counts as a refusal. */
static bool have_prepared(struct cfg_worker *w, int64_t rev, struct cfg_aside *given)
{
    struct cfg_slate *s = &w->ranks->slate;
    const struct timespec end = prepare_deadline(w->ranks);
    (void)pthread_mutex_lock(&s->lock);
    cfg_aside_clear(&s->given);
    s->given = *given;
    given->text = NULL;
    s->want = rev;
    s->ready = CFG_AGREE_LACKING;
    (void)pthread_mutex_unlock(&s->lock);
    cfg_event_signal(w->wake_fd);
    (void)pthread_mutex_lock(&s->lock);
    while (s->ready == CFG_AGREE_LACKING && wait_for_library(w, &end)) {
    }
    bool ok = s->ready == CFG_AGREE_READY;
    if (s->ready == CFG_AGREE_LACKING) {
        s->ready = CFG_AGREE_REFUSED;
        cfg_aside_clear(&s->given);
        (void)cfg_rev_format(cfg_agree_unpack(rev), s->refused);
        (void)cfg_fail(&s->refusal, CFG_E_TIMEOUT, "it has not been prepared within %u ms", w->ranks->deadline_ms / 2);
    }
    s->want = 0;
    (void)pthread_mutex_unlock(&s->lock);
    return ok;
}

/* Root: sends. Others: receive, and prepare unless they hold it. */
static int share(struct cfg_worker *w, const struct cfg_form_outcome *o, const struct cfg_box *held, bool *ok,
                 struct cfg_agree_view *view, struct cfg_error *err)
{
    struct cfg_ranks *r = w->ranks;
    struct cfg_buf b;
    struct cfg_aside given = {.text = NULL};
    cfg_buf_init(&b, CFG_LIMIT_EVENT + 4096);
    if (o->root == r->group->rank && held != NULL) {
        print_view(&b, held);
    }
    int rc = r->group->ops->broadcast(r->group, o->root, &b, err);
    *ok = rc == 0 && cfg_buf_status(&b) == 0 && parse_view(&given, cfg_buf_slice(&b));
    cfg_buf_finish(&b);
    if (*ok) {
        *view = (struct cfg_agree_view){o->rev, cfg_agree_digest(given.digest)};
        bool mine = held != NULL && cfg_agree_pack(held->rev) == o->rev && strcmp(held->digest, given.digest) == 0;
        *ok = mine || have_prepared(w, o->rev, &given);
    }
    cfg_aside_clear(&given);
    return rc;
}

/* All begin with `rev`: it is granted to the next step, and the library takes note. */
static int begin_with(struct cfg_worker *w, int64_t rev, struct cfg_error *err)
{
    struct cfg_ranks *r = w->ranks;
    struct cfg_slate *s = &r->slate;
    const struct timespec end = prepare_deadline(r);
    (void)pthread_mutex_lock(&s->lock);
    if (s->prepared != NULL && cfg_agree_pack(s->prepared->rev) == rev) {
        s->dropped = r->granted; /* of an incarnation that ran no step */
        r->granted = s->prepared;
        s->formed = s->prepared;
        s->prepared = NULL;
    }
    s->forming = false;
    (void)pthread_mutex_unlock(&s->lock);
    cfg_event_signal(w->wake_fd);
    (void)pthread_mutex_lock(&s->lock);
    while (s->formed != NULL && wait_for_library(w, &end)) {
    }
    bool noted = s->formed == NULL;
    (void)pthread_mutex_unlock(&s->lock);
    return noted
               ? 0
               : cfg_fail(err, CFG_E_TIMEOUT, "this rank still prepares another view after %u ms", r->deadline_ms / 2);
}

/* What some rank refuses is not offered again. */
static void give_up(struct cfg_worker *w, int64_t rev, uint32_t rank)
{
    struct cfg_slate *s = &w->ranks->slate;
    (void)pthread_mutex_lock(&s->lock);
    if (s->prepared != NULL && cfg_agree_pack(s->prepared->rev) == rev) {
        s->dropped = s->prepared;
        s->prepared = NULL;
        (void)cfg_rev_format(cfg_agree_unpack(rev), s->refused);
        (void)cfg_fail(&s->refusal, CFG_E_AGREEMENT, "rank %u of the group cannot run on it", rank);
    }
    (void)pthread_mutex_unlock(&s->lock);
    cfg_event_signal(w->wake_fd);
}

/* One offer to all: FORMED, REFUSED, or an error. */
static int try_offer(struct cfg_worker *w, int64_t below, const struct cfg_buf *print, int64_t word,
                     struct cfg_form_outcome *out, struct cfg_error *err)
{
    struct cfg_ranks *r = w->ranks;
    int64_t words[CFG_AGREE_WORDS];
    char revision[CFG_REV_TEXT];
    const struct cfg_box *held = best_held(w, below);
    struct cfg_agree_view view = {held != NULL ? cfg_agree_pack(held->rev) : 0,
                                  held != NULL ? cfg_agree_digest(held->digest) : 0};
    cfg_form_offer(&r->agree, view, word, words);
    int rc = exchange(r, words, err);
    if (rc != 0) {
        return rc;
    }
    struct cfg_form_outcome o = cfg_form_offered(&r->agree, words);
    (void)cfg_rev_format(cfg_agree_unpack(o.rev), revision);
    switch (o.next) {
    case CFG_FORM_DIFFERS:
        return name_difference(w, NULL, print, err);
    case CFG_FORM_NOTHING:
        return cfg_fail(err, CFG_E_TIMEOUT, "no rank of the group has a view to begin with");
    case CFG_FORM_BELOW:
        return cfg_fail(err, CFG_E_AGREEMENT, "the group would have to go back behind %s, which ranks have run on",
                        revision);
    default:
        break;
    }
    cfg_form_holder(&r->agree, o.rev, words);
    rc = exchange(r, words, err);
    bool ok = false;
    o.root = cfg_form_root(words);
    view.rev = o.rev;
    rc = rc == 0 ? share(w, &o, held, &ok, &view, err) : rc;
    cfg_form_verdict(&r->agree, view, ok, words);
    rc = rc == 0 ? exchange(r, words, err) : rc;
    *out = rc == 0 ? cfg_form_result(&r->agree, o.rev, words) : o;
    return rc;
}

/* Values that last as long as a process: of those that have run, and of those that boot now, with what they hold. */
static int compare_boot(struct cfg_worker *w, struct cfg_error *err)
{
    const struct cfg_box *boot = w->boot != NULL ? w->boot : best_held(w, INT64_MAX);
    int64_t words[CFG_AGREE_WORDS] = {0};
    struct cfg_buf print;
    cfg_buf_init(&print, CFG_LIMIT_EVENT);
    int rc = print_fingerprint(w, boot, &print, &words[0], err);
    words[1] = -words[0];
    rc = rc == 0 ? exchange(w->ranks, words, err) : rc;
    if (rc == 0 && words[0] != -words[1]) {
        rc = name_difference(w, boot, &print, err);
    }
    cfg_buf_finish(&print);
    return rc;
}

static int agree_on_view(struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_form_outcome o = {.next = CFG_FORM_REFUSED};
    struct cfg_buf print;
    int64_t word, below = INT64_MAX;
    cfg_buf_init(&print, CFG_LIMIT_EVENT);
    int rc = print_fingerprint(w, NULL, &print, &word, err);
    while (rc == 0 && o.next == CFG_FORM_REFUSED) {
        rc = try_offer(w, below, &print, word, &o, err);
        if (rc == 0 && o.next == CFG_FORM_REFUSED) {
            give_up(w, o.rev, o.rank);
            below = o.rev;
        }
    }
    cfg_buf_finish(&print);
    rc = rc == 0 ? compare_boot(w, err) : rc;
    return rc == 0 ? begin_with(w, o.rev, err) : rc;
}

static void set_forming(struct cfg_ranks *r, bool forming)
{
    (void)pthread_mutex_lock(&r->slate.lock);
    r->slate.forming = forming;
    r->slate.held = false;
    r->slate.want = 0;
    (void)pthread_mutex_unlock(&r->slate.lock);
}

int cfg_ranks_form(struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_ranks *r = w->ranks;
    cfg_agree_end(&r->agree);
    set_forming(r, true);
    int rc = r->group->ops->form(r->group, r->join_ms, err);
    rc = rc != 0 ? rc : agree_on_view(w, err);
    if (rc != 0) {
        r->group->ops->leave(r->group, err->text);
        set_forming(r, false);
        r->why = *err;
        cfg_ranks_tell(w);
        return rc;
    }
    r->why.code = 0;
    cfg_ranks_tell(w);
    r->since = r->every - 1; /* the first step begins with a round: a step that differs shows at once */
    r->in_flight = false;
    return 0;
}
