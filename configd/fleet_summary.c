/* A deployment's workers here, summed up: this replica's part of GET …/fleet.
 *
 * "roll" has a line for every worker, "STATE AGE_MS INCARNATION WORKER", so that merging can find those that another
 * replica tells of, too; the incarnation's first digits tell processes apart. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "configd/fleet_merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROLL_MAX = 64 * 1024 * 1024, ROLL_DIGITS = 12 };

struct judged {
    const struct fleet_worker *worker;
    enum fleet_state state;
};

struct summary {
    struct cfg_fleet *f;
    struct fleet_deployment *d;
    struct fleet_targets targets;
    struct fleet_blame blame;
    uint64_t now_ms;
    struct judged *all; /* owned; connected ones, by group and rank */
    size_t n;
    struct cfg_buf roll;
    cJSON *stragglers;
    struct fleet_reply reply;
};

static const char *arm_of(const struct fleet_worker *w)
{
    return w->arm ? w->arm->name : "base";
}

static void put_roll(struct summary *s, enum fleet_state state, uint64_t age_ms, const char *incarnation,
                     const char *worker)
{
    cfg_buf_printf(&s->roll, "%s %" PRIu64 " %.*s %s\n", fleet_state_name(state), age_ms, ROLL_DIGITS, incarnation,
                   worker);
}

static void put_straggler(struct summary *s, const char *worker, enum fleet_state state, const char *why)
{
    cJSON *o = fleet_add_entry(&s->reply, s->stragglers);
    fleet_put_text(&s->reply, o, "worker", worker);
    fleet_put_text(&s->reply, o, "state", fleet_state_name(state));
    fleet_put_text(&s->reply, o, "why", why);
    fleet_put_text(&s->reply, o, "replica", s->f->replica_id);
    if (cJSON_GetArraySize(s->stragglers) >= 8 * FLEET_STRAGGLERS)
        (void)fleet_worst_first(s->stragglers, "worker", FLEET_STRAGGLERS);
}

/* Who holds something up, or might. */
static bool is_straggler(enum fleet_state s)
{
    return s != FLEET_CURRENT && s != FLEET_IDLE && s != FLEET_GONE && s != FLEET_PENDING;
}

static void judge(struct fleet_worker *w, void *arg)
{
    struct summary *s = arg;
    struct fleet_facts facts;
    char why[FLEET_WHY];
    const struct fleet_target *target = fleet_targets_at(&s->targets, arm_of(w));
    fleet_facts_of(&facts, s->f, w, s->now_ms);
    enum fleet_state state = fleet_state_of(&facts, target);
    put_roll(s, state, facts.report_age_ms, w->incarnation, w->id);
    if (is_straggler(state)) {
        fleet_worker_why(why, state, &facts, target, w);
        fleet_blame_why(why, state, &s->blame, w);
        put_straggler(s, w->id, state, why);
    }
    if (w->superseded)
        s->all[s->n++] = (struct judged){w, state};
}

static void add_refused(struct summary *s, const struct fleet_refused *r)
{
    enum fleet_state state = fleet_refused_state(r);
    if (!fleet_refused_counts(s->d, r, s->now_ms))
        return;
    put_roll(s, state, s->now_ms - r->at_ms, r->incarnation, r->worker);
    put_straggler(s, r->worker, state, r->text);
}

/* --- groups --- */

static int by_group(const void *a, const void *b)
{
    const struct judged *x = a, *y = b;
    int c = strcmp(x->worker->group, y->worker->group);
    return c ? c : (x->worker->rank > y->worker->rank) - (x->worker->rank < y->worker->rank);
}

/* The mean of those ranks whose pace is known; 0: of none. */
static double rate_of(const struct summary *s, const struct judged *ranks, size_t n)
{
    double sum = 0;
    size_t known = 0;
    for (size_t i = 0; i < n; i++) {
        double rate = fleet_pace_of(ranks[i].worker, s->now_ms).step_rate;
        sum += rate;
        known += rate > 0;
    }
    return known > 0 ? sum / (double)known : 0;
}

/* In the words of the rank that speaks for the group, which is named where it is one of several. */
static void put_group_why(struct summary *s, cJSON *o, const struct judged *worst)
{
    struct fleet_facts facts;
    char why[FLEET_WHY], named[FLEET_WHY + CFG_LIMIT_NAME * 4 + 32];
    if (!is_straggler(worst->state))
        return;
    fleet_facts_of(&facts, s->f, worst->worker, s->now_ms);
    fleet_worker_why(why, worst->state, &facts, fleet_targets_at(&s->targets, arm_of(worst->worker)), worst->worker);
    fleet_blame_why(why, worst->state, &s->blame, worst->worker);
    bool one = worst->worker->world > 1 && (worst->state == FLEET_STALE || worst->state == FLEET_REJECTING);
    (void)snprintf(named, sizeof named, "rank %u (%s): %s", worst->worker->rank, worst->worker->id, why);
    if (why[0])
        fleet_put_text(&s->reply, o, "why", one ? named : why);
}

/* The ranks of one group that are connected here, summed up: the slowest and the furthest behind speak for all. */
static void add_group(struct summary *s, cJSON *groups, const struct judged *ranks, size_t n)
{
    const struct fleet_worker *first = ranks[0].worker;
    struct judged worst = ranks[0];
    double step = -1; /* not known */
    uint32_t p50 = 0, p99 = 0;
    struct cfg_rev rev = first->applied;
    char text[CFG_REV_TEXT];
    for (size_t i = 0; i < n; i++) {
        const struct fleet_worker *w = ranks[i].worker;
        worst = ranks[i].state < worst.state ? ranks[i] : worst;
        const struct fleet_pace pace = fleet_pace_of(w, s->now_ms);
        step = w->reported && (step < 0 || w->step < step) ? w->step : step;
        rev = cfg_rev_cmp(w->applied, rev) < 0 ? w->applied : rev;
        p50 = pace.p50_us > p50 ? pace.p50_us : p50;
        p99 = pace.p99_us > p99 ? pace.p99_us : p99;
    }
    cJSON *o = fleet_add_entry(&s->reply, groups);
    fleet_put_text(&s->reply, o, "group", first->group);
    fleet_put_text(&s->reply, o, "arm", arm_of(first));
    fleet_put_number(&s->reply, o, "world", first->world);
    fleet_put_number(&s->reply, o, "ranks", (double)n);
    fleet_put_text(&s->reply, o, "state", fleet_state_name(worst.state));
    fleet_put(&s->reply, o, "revision",
              cfg_rev_is_none(rev) ? cJSON_CreateNull() : cJSON_CreateString(cfg_rev_format(rev, text)));
    fleet_put_number(&s->reply, o, "step", step < 0 ? 0 : step);
    fleet_put_number(&s->reply, o, "step_rate", rate_of(s, ranks, n));
    fleet_put_number(&s->reply, o, "p50_us", p50);
    fleet_put_number(&s->reply, o, "p99_us", p99);
    put_group_why(s, o, &worst);
}

/* Groups whose other ranks may be elsewhere come first: merging needs them all. */
static void add_groups(struct summary *s, cJSON *reply)
{
    cJSON *split = fleet_put_array(&s->reply, reply, "groups"), *whole = cJSON_CreateArray();
    size_t more = 0;
    for (size_t i = 0, n; i < s->n; i += n) {
        const struct fleet_worker *w = s->all[i].worker;
        for (n = 1; i + n < s->n && strcmp(s->all[i + n].worker->group, w->group) == 0;)
            n++;
        add_group(s, n < w->world ? split : whole, s->all + i, n);
        if (cJSON_GetArraySize(whole) >= 4 * FLEET_GROUPS_SHOWN)
            more += fleet_worst_first(whole, "group", FLEET_GROUPS_SHOWN);
    }
    more += fleet_worst_first(split, "group", FLEET_GROUPS_PART);
    more += fleet_worst_first(whole, "group", FLEET_GROUPS_SHOWN);
    while (whole && whole->child && split)
        (void)cJSON_AddItemToArray(split, cJSON_DetachItemViaPointer(whole, whole->child)); /* links it, no memory */
    cJSON_Delete(whole);
    fleet_put_number(&s->reply, reply, "more", (double)more);
}

/* --- arms --- */

struct pace {
    size_t workers, groups;
    double step_rate;
};

/* Steps of a group are counted once: its ranks' mean. */
static void pace_of(struct pace *out, const struct summary *s, const char *arm)
{
    *out = (struct pace){0};
    for (size_t i = 0, n; i < s->n; i += n) {
        const struct fleet_worker *w = s->all[i].worker;
        for (n = 1; i + n < s->n && strcmp(s->all[i + n].worker->group, w->group) == 0;)
            n++;
        if (strcmp(arm_of(w), arm) != 0)
            continue;
        out->workers += n;
        out->groups++;
        out->step_rate += rate_of(s, s->all + i, n);
    }
}

static void put_counts(struct summary *s, cJSON *o, const struct cfg_histogram *h)
{
    struct cfg_buf text;
    cJSON *counts = NULL;
    cfg_buf_init(&text, 64 * 1024);
    cfg_histogram_print(&text, h);
    if (cfg_buf_status(&text) != 0 || cfg_json_parse(&counts, cfg_buf_slice(&text), 0, NULL) != 0)
        s->reply.failed = true;
    cfg_buf_finish(&text);
    fleet_put(&s->reply, o, "counts", counts);
}

static void put_moments(struct fleet_reply *r, cJSON *metrics, const char *name, const struct cfg_moments *m)
{
    cJSON *o = fleet_put_object(r, metrics, name);
    fleet_put_number(r, o, "n", (double)m->n);
    fleet_put_number(r, o, "mean", m->mean);
    fleet_put_number(r, o, "m2", m->m2);
    fleet_put_number(r, o, "min", m->min);
    fleet_put_number(r, o, "max", m->max);
    fleet_put_number(r, o, "last", m->last);
    fleet_put_number(r, o, "bad", (double)m->bad);
}

static void add_arm(struct summary *s, cJSON *arms, const struct fleet_arm *a)
{
    uint64_t since = s->now_ms > FLEET_SHOWN_MS ? s->now_ms - FLEET_SHOWN_MS : 0;
    struct pace pace;
    struct fleet_sum sum;
    struct cfg_moments m;
    cJSON *o = fleet_add_entry(&s->reply, arms);
    pace_of(&pace, s, a->name);
    fleet_window_sum(&sum, &a->window, since, s->now_ms + 1);
    fleet_put_text(&s->reply, o, "arm", a->name);
    fleet_put_number(&s->reply, o, "workers", (double)pace.workers);
    fleet_put_number(&s->reply, o, "groups", (double)pace.groups);
    fleet_put_number(&s->reply, o, "step_rate", pace.step_rate);
    fleet_put_number(&s->reply, o, "steps", (double)sum.steps);
    put_counts(s, o, &sum.latency);
    cJSON *metrics = fleet_put_object(&s->reply, o, "metrics");
    for (size_t i = 0; i < a->window.n_names; i++) {
        fleet_window_moments(&m, &a->window, since, s->now_ms + 1, a->window.names[i]);
        if (m.n > 0 || m.bad > 0)
            put_moments(&s->reply, metrics, a->window.names[i], &m);
    }
}

/* --- the whole part --- */

static void put_target(struct summary *s, cJSON *reply)
{
    char rev[CFG_REV_TEXT];
    const struct fleet_target *t = fleet_targets_at(&s->targets, "base");
    fleet_put(&s->reply, reply, "revision",
              t->known ? cJSON_CreateString(cfg_rev_format(t->rev, rev)) : cJSON_CreateNull());
    fleet_put(&s->reply, reply, "digest", t->known ? cJSON_CreateString(t->digest) : cJSON_CreateNull());
    fleet_put_bool(&s->reply, reply, "stale", cfg_hub_stale(s->f->hub));
}

static void put_workers(struct summary *s, cJSON *reply)
{
    s->stragglers = fleet_put_array(&s->reply, reply, "stragglers");
    fleet_each_worker(s->d, judge, s);
    for (size_t i = 0; i < s->d->n_refused; i++)
        add_refused(s, &s->d->refused[i]);
    (void)fleet_worst_first(s->stragglers, "worker", FLEET_STRAGGLERS);
    if (s->n > 1)
        qsort(s->all, s->n, sizeof *s->all, by_group);
    if (cfg_buf_status(&s->roll) != 0)
        s->reply.failed = true;
}

cJSON *cfg_fleet_summary(struct cfg_fleet *f, const char *deployment)
{
    static struct fleet_deployment none;
    struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    struct summary s = {.f = f,
                        .d = d ? d : &none,
                        .now_ms = fleet_now_ms(f),
                        .targets = {.fleet = f, .deployment = deployment},
                        .all = calloc((d ? d->n : 0) + 1, sizeof *s.all)};
    cJSON *reply = cJSON_CreateObject();
    if (s.all == NULL || reply == NULL) {
        free(s.all);
        cJSON_Delete(reply);
        return NULL;
    }
    cfg_buf_init(&s.roll, ROLL_MAX);
    fleet_put_text(&s.reply, reply, "deployment", deployment);
    fleet_put_text(&s.reply, reply, "replica", f->replica_id);
    fleet_put_text(&s.reply, reply, "url", f->url);
    put_target(&s, reply);
    fleet_put_number(&s.reply, reply, "live_ms", fleet_live_ms(f));
    fleet_put_number(&s.reply, reply, "absent", (double)fleet_absent(f, deployment));
    fleet_put_number(&s.reply, reply, "connected", (double)s.d->connected);
    fleet_blame_init(&s.blame, f, d, s.now_ms);
    put_workers(&s, reply);
    fleet_put(&s.reply, reply, "roll", cJSON_CreateString(s.roll.len > 0 ? s.roll.data : ""));
    add_groups(&s, reply);
    cJSON *arms = fleet_put_array(&s.reply, reply, "arms");
    for (const struct fleet_arm *a = s.d->arms; a; a = a->next)
        add_arm(&s, arms, a);
    free(s.all);
    fleet_blame_finish(&s.blame);
    cfg_buf_finish(&s.roll);
    return fleet_finish(&s.reply, reply);
}
