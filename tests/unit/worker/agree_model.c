/* The explorer: breadth first over states, remembered by a 128-bit hash; then backwards from the states in which
 * nothing is left to decide, to see that every state can reach one. */
#include "agree_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = (1 << MODEL_RANKS) - 1, MAX_STATES = 1500000, QUEUE = 1 << 18, SEEN = 1 << 22 };

enum place { DEAD, OUT, FORMED, RUN, WAIT }; /* OUT: the incarnation is over; FORMED: the verdict is on its way */

/* Compared and hashed as bytes: zeroed before it is filled. */
struct state {
    struct cfg_agree a[MODEL_RANKS];
    int64_t acc[CFG_AGREE_WORDS], done[CFG_AGREE_WORDS]; /* the round being gathered; the one being received */
    int64_t form_rev;
    uint8_t contributed, unread, unstarted; /* by rank: in acc; has not read `done`; has no round in flight */
    uint8_t place[MODEL_RANKS], heard[MODEL_RANKS], cached[MODEL_RANKS];
    uint8_t ran[MODEL_RANKS];           /* what the process before this one ran on; 0 once it has formed */
    uint8_t step_rev[2], step_ranks[2]; /* the step some rank has not run yet, and the one after it */
    uint8_t crashed;
};

struct edge {
    uint32_t from, to;
};

struct model {
    const struct model_options *o;
    struct model_report *report;
    struct state *queue;
    size_t head, tail, cap;
    struct {
        uint64_t h[2];
        uint32_t id;
    } * seen;
    size_t mask;
    uint8_t *good;
    struct edge *edges;
    size_t n_edges, cap_edges;
    uint32_t n, current;
};

static void *need(void *p)
{
    if (p == NULL) {
        abort();
    }
    return p;
}

static void violated(struct model *m, const char *what, int rank)
{
    if (m->report->violation[0] == '\0') {
        (void)snprintf(m->report->violation, sizeof m->report->violation, "rank %d %s (state %u)", rank, what,
                       m->current);
    }
}

/* --- the world's rules --- */

static bool refuses(const struct model *m, int rank, int64_t rev)
{
    return m->o->refuser == rank && m->o->refused == rev;
}

static struct cfg_agree_view view_of(const struct model *m, int rank, int64_t rev)
{
    return (struct cfg_agree_view){rev, rev == 0 ? 0 : 100 + rev + (m->o->odd == rank && rev >= 2 ? 50 : 0)};
}

static void prepare(const struct model *m, struct state *s, int i, int64_t rev)
{
    if (refuses(m, i, rev)) {
        cfg_agree_refuse(&s->a[i], rev);
        return;
    }
    cfg_agree_prepared(&s->a[i], view_of(m, i, rev));
    s->cached[i] = (uint8_t)(rev > s->cached[i] ? rev : s->cached[i]);
}

static void adopted(struct model *m, struct state *s, int i, int64_t before)
{
    if (s->a[i].applied < before || s->a[i].applied < s->ran[i]) {
        violated(m, "went back", i);
    }
}

static void run_step(struct model *m, struct state *s, int i)
{
    int64_t rev = s->a[i].applied;
    unsigned p = (unsigned)s->step_ranks[0] >> i & 1U;
    if (((unsigned)s->step_ranks[p] >> i & 1U) != 0) {
        violated(m, "ran two steps ahead", i);
    }
    if (s->step_ranks[p] != 0 && s->step_rev[p] != rev) {
        violated(m, "ran a step on another revision than the rank before it", i);
    }
    for (int r = 0; r < MODEL_RANKS; r++) {
        if (refuses(m, r, rev)) {
            violated(m, "ran on a revision that a rank refuses", i);
        }
    }
    s->step_rev[p] = (uint8_t)rev;
    s->step_ranks[p] |= (uint8_t)(1 << i);
    s->place[i] = RUN;
    if (s->step_ranks[0] == ALL) {
        s->step_rev[0] = s->step_rev[1];
        s->step_ranks[0] = s->step_ranks[1];
        s->step_rev[1] = s->step_ranks[1] = 0;
    }
}

static void contribute(struct state *s, int i)
{
    int64_t words[CFG_AGREE_WORDS];
    cfg_agree_round(&s->a[i], 0, 0, words);
    for (int k = 0; k < CFG_AGREE_WORDS; k++) {
        s->acc[k] = s->contributed == 0 || words[k] < s->acc[k] ? words[k] : s->acc[k];
    }
    s->contributed |= (uint8_t)(1 << i);
    s->unstarted &= (uint8_t) ~(1 << i);
    s->place[i] = WAIT;
    if (s->contributed == ALL) {
        memcpy(s->done, s->acc, sizeof s->done);
        memset(s->acc, 0, sizeof s->acc);
        s->contributed = 0;
        s->unread = ALL;
    }
}

/* True when the rank must contribute again before it runs. */
static bool receive(struct model *m, struct state *s, int i)
{
    int64_t named = 0, before = s->a[i].applied;
    s->unread &= (uint8_t) ~(1 << i);
    struct cfg_agree_outcome o = cfg_agree_result(&s->a[i], s->done);
    if (s->unread == 0) {
        memset(s->done, 0, sizeof s->done);
    }
    if (o.verdict == CFG_AGREE_FAIL) {
        violated(m, "failed without a cause", i);
    }
    if (o.verdict == CFG_AGREE_NAMED) {
        named = o.rev;
    }
    if (o.verdict == CFG_AGREE_ADOPT) {
        m->report->adoptions++;
    }
    if (i == 2 && m->o->sabotage == MODEL_ADOPTS_EARLY && named != 0) {
        s->a[i].applied = named;
    }
    if (i == 2 && m->o->sabotage == MODEL_FORGETS_REFUSAL && o.verdict == CFG_AGREE_DROP) {
        s->a[i].applied = o.rev;
    }
    if (s->a[i].phase != CFG_AGREE_DECIDING) {
        s->a[i].ready = CFG_AGREE_REFUSED; /* not read in this phase: one state, not three */
    }
    adopted(m, s, i, before);
    return named != 0 && !m->o->lagged;
}

static bool broken(const struct state *s)
{
    bool any = false, all = true;
    for (int i = 0; i < MODEL_RANKS; i++) {
        bool in = s->place[i] >= FORMED;
        any = any || in;
        all = all && in;
    }
    return any && !all;
}

/* --- forming --- */

static void reduce(int64_t acc[CFG_AGREE_WORDS], const int64_t words[CFG_AGREE_WORDS], bool first)
{
    for (int k = 0; k < CFG_AGREE_WORDS; k++) {
        acc[k] = first || words[k] < acc[k] ? words[k] : acc[k];
    }
}

static int64_t best_held(const struct state *s, int i, int64_t below)
{
    int64_t newest = s->a[i].newest.rev, applied = s->a[i].applied;
    return newest < below && newest >= applied ? newest : (applied < below ? applied : 0);
}

static void form(struct model *m, struct state *s)
{
    int64_t below = INT64_MAX, words[CFG_AGREE_WORDS], acc[CFG_AGREE_WORDS];
    for (;;) {
        for (int i = 0; i < MODEL_RANKS; i++) {
            cfg_form_offer(&s->a[i], view_of(m, i, best_held(s, i, below)), 7, words);
            reduce(acc, words, i == 0);
        }
        struct cfg_form_outcome o = cfg_form_offered(&s->a[0], acc);
        if (o.next != CFG_FORM_SHARE) {
            return; /* nobody has a view yet: later */
        }
        for (int i = 0; i < MODEL_RANKS; i++) {
            cfg_form_holder(&s->a[i], o.rev, words);
            reduce(acc, words, i == 0);
        }
        struct cfg_agree_view shared = view_of(m, (int)cfg_form_root(acc), o.rev);
        for (int i = 0; i < MODEL_RANKS; i++) {
            bool ok = !refuses(m, i, o.rev);
            if (ok) {
                cfg_agree_prepared(&s->a[i], shared);
                s->cached[i] = (uint8_t)(o.rev > s->cached[i] ? o.rev : s->cached[i]);
            }
            cfg_form_verdict(&s->a[i], shared, ok, words);
            reduce(acc, words, i == 0);
        }
        struct cfg_agree probe = s->a[0];
        if (cfg_form_result(&probe, o.rev, acc).next == CFG_FORM_FORMED) {
            memcpy(s->done, acc, sizeof acc);
            s->form_rev = o.rev;
            break;
        }
        below = o.rev;
    }
    s->unread = ALL;
    s->unstarted = ALL;
    s->contributed = 0;
    memset(s->acc, 0, sizeof s->acc);
    memset(s->step_ranks, 0, sizeof s->step_ranks);
    memset(s->step_rev, 0, sizeof s->step_rev);
    memset(s->place, FORMED, sizeof s->place);
}

static void take_form(struct model *m, struct state *s, int i)
{
    int64_t before = s->a[i].applied;
    (void)cfg_form_result(&s->a[i], s->form_rev, s->done);
    s->a[i].offer = (struct cfg_agree_view){0, 0};
    s->unread &= (uint8_t) ~(1 << i);
    if (i == 2 && m->o->sabotage == MODEL_FORMS_ALONE) {
        s->a[i].applied = before;
    }
    s->place[i] = RUN;
    adopted(m, s, i, before);
    s->ran[i] = 0;
    if (s->unread == 0) {
        memset(s->done, 0, sizeof s->done);
        s->form_rev = 0;
    }
}

/* --- the graph --- */

static void hash(uint64_t out[2], const struct state *s)
{
    const uint64_t *w = (const uint64_t *)s;
    uint64_t a = 0x9E3779B97F4A7C15U, b = 0xC2B2AE3D27D4EB4FU;
    _Static_assert(sizeof *s % sizeof *w == 0, "hashed by words");
    for (size_t i = 0; i < sizeof *s / sizeof *w; i++) {
        a = (a ^ w[i]) * 0xFF51AFD7ED558CCDU;
        a ^= a >> 32;
        b = (b + w[i]) * 0xC4CEB9FE1A85EC53U;
        b ^= b >> 29;
    }
    out[0] = a;
    out[1] = b;
}

static bool settled(const struct state *s)
{
    for (int i = 0; i < MODEL_RANKS; i++) {
        if (s->place[i] != RUN || s->a[i].phase != CFG_AGREE_IDLE || s->a[i].newest.rev > s->a[i].decided) {
            return false;
        }
    }
    return true;
}

static uint32_t intern(struct model *m, const struct state *s)
{
    uint64_t h[2];
    hash(h, s);
    size_t at = h[0] & m->mask;
    while (m->seen[at].id != 0) {
        if (m->seen[at].h[0] == h[0] && m->seen[at].h[1] == h[1]) {
            return m->seen[at].id - 1;
        }
        at = (at + 1) & m->mask;
    }
    if (m->n == MAX_STATES) {
        violated(m, "has too many states", 0);
        return 0;
    }
    memcpy(m->seen[at].h, h, sizeof h);
    m->seen[at].id = ++m->n;
    m->good[m->n - 1] = settled(s);
    m->queue[m->tail] = *s;
    m->tail = (m->tail + 1) % m->cap;
    if (m->tail == m->head) {
        violated(m, "has too wide a frontier", 0);
    }
    return m->n - 1;
}

static void emit(struct model *m, const struct state *s)
{
    if (m->n_edges == m->cap_edges) {
        m->cap_edges = m->cap_edges * 2 + 1024;
        m->edges = need(realloc(m->edges, m->cap_edges * sizeof *m->edges));
    }
    uint32_t to = intern(m, s);
    m->edges[m->n_edges++] = (struct edge){m->current, to};
}

static void news(struct model *m, const struct state *s, int i)
{
    for (int r = s->heard[i] + 1; s->place[i] >= RUN && r <= m->o->revisions; r++) {
        struct state t = *s;
        t.heard[i] = (uint8_t)r;
        prepare(m, &t, i, r);
        emit(m, &t);
    }
    bool lacks = s->a[i].phase == CFG_AGREE_DECIDING && s->a[i].ready == CFG_AGREE_LACKING;
    if (lacks && !(i == 2 && m->o->sabotage == MODEL_NEVER_FETCHES)) {
        struct state t = *s;
        prepare(m, &t, i, s->a[i].pending.rev);
        emit(m, &t);
    }
}

static void crash_and_restart(struct model *m, const struct state *s, int i)
{
    struct state t = *s;
    if (s->place[i] == DEAD) {
        t.cached[i] = m->o->cache_lost ? 0 : s->cached[i];
        t.ran[i] = m->o->cache_lost ? 0 : s->ran[i];
        t.heard[i] = t.cached[i];
        t.place[i] = OUT;
        cfg_agree_prepared(&t.a[i], view_of(m, i, t.cached[i]));
        emit(m, &t);
    } else if (!s->crashed && i < 2 && s->place[i] >= FORMED) { /* ranks 1 and 2 are alike */
        t.crashed = 1;
        t.place[i] = DEAD;
        t.ran[i] = (uint8_t)s->a[i].applied;
        cfg_agree_init(&t.a[i], (uint32_t)i, MODEL_RANKS);
        emit(m, &t);
    }
}

/* One step of rank i, as far as it gets. */
static void advance(struct model *m, const struct state *s, int i)
{
    struct state t = *s;
    bool readable = (s->unread >> i & 1) != 0;
    if (s->place[i] == FORMED) {
        take_form(m, &t, i);
        emit(m, &t);
    } else if (s->place[i] == RUN && m->o->lagged && (s->unstarted >> i & 1) == 0) {
        if (readable) { /* the round of the step before, then this step's */
            (void)receive(m, &t, i);
            contribute(&t, i);
            run_step(m, &t, i);
            emit(m, &t);
        }
    } else if (s->place[i] == RUN && (s->contributed >> i & 1) == 0 && !readable) {
        contribute(&t, i);
        if (m->o->lagged) {
            run_step(m, &t, i);
        }
        emit(m, &t);
    } else if (s->place[i] == WAIT && readable) {
        if (receive(m, &t, i)) {
            contribute(&t, i);
        } else {
            run_step(m, &t, i);
        }
        emit(m, &t);
    }
    if (s->place[i] >= FORMED && broken(s)) { /* the deadline, whatever was on its way */
        t = *s;
        t.place[i] = OUT;
        cfg_agree_end(&t.a[i]);
        t.a[i].ready = CFG_AGREE_REFUSED;
        t.a[i].decided = 0; /* forming sets it */
        emit(m, &t);
    }
}

static void successors(struct model *m, const struct state *s)
{
    bool all_out = true;
    for (int i = 0; i < MODEL_RANKS; i++) {
        news(m, s, i);
        crash_and_restart(m, s, i);
        advance(m, s, i);
        all_out = all_out && s->place[i] == OUT;
    }
    if (all_out) {
        struct state t = *s;
        form(m, &t);
        emit(m, &t);
    }
}

/* Backwards from the good states over all edges. */
static void check_progress(struct model *m)
{
    uint32_t *start = need(calloc(m->n + 2U, sizeof *start)), *from = need(malloc((m->n_edges + 1) * sizeof *from));
    uint32_t *stack = need(malloc((m->n + 1U) * sizeof *stack));
    size_t depth = 0, reached = 0;
    for (size_t e = 0; e < m->n_edges; e++) {
        start[m->edges[e].to + 2]++;
    }
    for (uint32_t i = 2; i < m->n + 2; i++) {
        start[i] += start[i - 1];
    }
    for (size_t e = 0; e < m->n_edges; e++) {
        from[start[m->edges[e].to + 1]++] = m->edges[e].from;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->good[i]) {
            stack[depth++] = i;
            reached++;
        }
    }
    while (depth > 0) {
        uint32_t i = stack[--depth];
        for (uint32_t e = start[i]; e < start[i + 1]; e++) {
            if (!m->good[from[e]]) {
                m->good[from[e]] = 1;
                stack[depth++] = from[e];
                reached++;
            }
        }
    }
    if (reached != m->n) {
        violated(m, "and the others cannot get out of some state: no progress", 0);
    }
    free(start);
    free(from);
    free(stack);
}

static void first_state(struct model *m)
{
    struct state s;
    memset(&s, 0, sizeof s);
    for (int i = 0; i < MODEL_RANKS; i++) {
        cfg_agree_init(&s.a[i], (uint32_t)i, MODEL_RANKS);
        s.place[i] = OUT;
    }
    /* Rank 0 begins with a view, the others with none: the broadcast. */
    s.heard[0] = 1;
    prepare(m, &s, 0, 1);
    (void)intern(m, &s);
}

void model_explore(struct model_report *out, const struct model_options *o)
{
    struct model m = {.o = o, .report = out, .cap = QUEUE, .mask = SEEN - 1};
    memset(out, 0, sizeof *out);
    m.queue = need(malloc(m.cap * sizeof *m.queue));
    m.seen = need(calloc(m.mask + 1, sizeof *m.seen));
    m.good = need(calloc(MAX_STATES, 1));
    first_state(&m);
    while (m.head != m.tail && out->violation[0] == '\0') {
        struct state s = m.queue[m.head];
        m.head = (m.head + 1) % m.cap;
        successors(&m, &s);
        m.current++;
    }
    if (out->violation[0] == '\0') {
        check_progress(&m);
    }
    out->states = m.n;
    out->edges = (unsigned)m.n_edges;
    free(m.queue);
    free(m.seen);
    free(m.good);
    free(m.edges);
}
