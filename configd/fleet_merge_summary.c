/* The summaries of several replicas as one: states counted over all processes, groups joined whose ranks are at more
 * than one replica, arms added up. */
#include "configd/fleet_merge_internal.h"
#include "proto/histogram.h"
#include "proto/moments.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- order --- */

struct ranked {
    cJSON *entry;
    int state;
    const char *name;
};

static int by_state(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int c = (x->state > y->state) - (x->state < y->state);
    return c ? c : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Takes an array apart, in the order asked for. *n entries, owned; NULL without memory: the array stays whole. */
static struct ranked *take_apart(cJSON *array, const char *name, size_t *n, int (*order)(const void *a, const void *b))
{
    struct ranked *all = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof *all);
    *n = 0;
    while (all && array && array->child) {
        cJSON *e = cJSON_DetachItemViaPointer(array, array->child);
        all[(*n)++] =
            (struct ranked){e, (int)fleet_state_parse(cfg_json_get_str(e, "state", "")), cfg_json_get_str(e, name, "")};
    }
    if (all)
        qsort(all, *n, sizeof *all, order);
    return all;
}

size_t fleet_worst_first(cJSON *array, const char *name, size_t most)
{
    size_t n;
    struct ranked *all = take_apart(array, name, &n, by_state);
    for (size_t i = 0; i < n; i++) {
        if (i < most)
            (void)cJSON_AddItemToArray(array, all[i].entry); /* only links it */
        else
            cJSON_Delete(all[i].entry);
    }
    free(all);
    return n > most ? n - most : 0;
}

/* --- the roll --- */

struct roll {
    struct fleet_living *all; /* owned */
    size_t n, cap;
    bool failed;
};

/* "STATE AGE_MS INCARNATION WORKER", which is cut up in place. */
static void add_line(struct roll *r, char *line, const char *replica)
{
    char *rest = NULL, *state = strtok_r(line, " ", &rest), *age = strtok_r(NULL, " ", &rest);
    char *incarnation = strtok_r(NULL, " ", &rest), *worker = strtok_r(NULL, " ", &rest);
    if (worker == NULL || r->failed)
        return;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 256;
        struct fleet_living *grown = realloc(r->all, cap * sizeof *grown);
        r->failed = grown == NULL;
        if (grown == NULL)
            return;
        r->all = grown;
        r->cap = cap;
    }
    enum fleet_state s = fleet_state_parse(state);
    r->all[r->n++] = (struct fleet_living){.worker = worker,
                                           .replica = replica,
                                           .incarnation = incarnation,
                                           .report_age_ms = strtoull(age, NULL, 10),
                                           .state = s < FLEET_STATES ? s : FLEET_UNKNOWN};
}

static void read_rolls(struct roll *r, const struct fleet_parts *p)
{
    for (size_t i = 0; i <= p->n; i++) {
        cJSON *text = cfg_json_get(fleet_part(p, i), "roll");
        char *rest = NULL, *copy = cJSON_IsString(text) ? text->valuestring : NULL;
        for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
            add_line(r, line, fleet_part_replica(p, i));
    }
    fleet_living_resolve(r->all, r->n, fleet_parts_live_ms(p));
}

/* A worker that is connected is one of the deployment's; the others are told of beside them. */
static bool is_counted(enum fleet_state s)
{
    return s != FLEET_GONE;
}

static void put_states(struct fleet_parts *p, cJSON *whole, const struct roll *r, double unknown)
{
    double counts[FLEET_STATES] = {0}, workers = unknown;
    counts[FLEET_UNKNOWN] = unknown;
    for (size_t i = 0; i < r->n; i++) {
        if (r->all[i].dropped)
            continue;
        counts[r->all[i].state]++;
        workers += is_counted(r->all[i].state);
    }
    fleet_put_number(&p->reply, whole, "workers", workers);
    cJSON *states = fleet_put_object(&p->reply, whole, "states");
    for (int s = 0; s < FLEET_STATES; s++)
        if (counts[s] > 0)
            fleet_put_number(&p->reply, states, fleet_state_name((enum fleet_state)s), counts[s]);
}

/* --- stragglers --- */

static const struct fleet_living *find_living(const struct roll *r, const cJSON *straggler)
{
    const char *worker = cfg_json_get_str(straggler, "worker", ""),
               *replica = cfg_json_get_str(straggler, "replica", "");
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->all[i].worker, worker) == 0 && strcmp(r->all[i].replica, replica) == 0)
            return &r->all[i];
    return NULL;
}

/* Whoever another part knows better, or is told of as a twin below, leaves. */
static void move_stragglers(cJSON *into, cJSON *from, const struct roll *r)
{
    while (from && from->child) {
        cJSON *e = cJSON_DetachItemViaPointer(from, from->child);
        const struct fleet_living *x = find_living(r, e);
        if (into == NULL || (x && (x->dropped || x->rival)))
            cJSON_Delete(e);
        else
            (void)cJSON_AddItemToArray(into, e); /* only links it */
    }
}

static void put_stragglers(struct fleet_parts *p, cJSON *whole, const struct roll *r)
{
    char why[FLEET_WHY];
    int twins = 0;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i <= p->n; i++)
        move_stragglers(list, cfg_json_get(fleet_part(p, i), "stragglers"), r);
    for (size_t i = 0; i < r->n && twins < FLEET_STRAGGLERS; i++) {
        const struct fleet_living *x = &r->all[i];
        if (x->rival == NULL || x->dropped)
            continue;
        twins++;
        fleet_rival_why(why, x);
        cJSON *o = fleet_add_entry(&p->reply, list);
        fleet_put_text(&p->reply, o, "worker", x->worker);
        fleet_put_text(&p->reply, o, "state", fleet_state_name(x->state));
        fleet_put_text(&p->reply, o, "why", why);
        fleet_put_text(&p->reply, o, "replica", x->replica);
    }
    (void)fleet_worst_first(list, "worker", FLEET_STRAGGLERS);
    fleet_replace(&p->reply, whole, "stragglers", list);
}

/* --- groups --- */

static double num(const cJSON *o, const char *key)
{
    return cfg_json_get_num(o, key, 0);
}

static void set_num(struct fleet_reply *r, cJSON *o, const char *key, double v)
{
    fleet_replace(r, o, key, cJSON_CreateNumber(v));
}

static void take_older_revision(struct fleet_reply *r, cJSON *into, const cJSON *from)
{
    struct cfg_rev a = {0, 0}, b = {0, 0};
    const char *ours = cfg_json_get_str(into, "revision", ""), *theirs = cfg_json_get_str(from, "revision", "");
    bool known =
        cfg_rev_parse(&a, cfg_slice_str(ours), NULL) == 0 && cfg_rev_parse(&b, cfg_slice_str(theirs), NULL) == 0;
    if (!known)
        fleet_replace(r, into, "revision", cJSON_CreateNull());
    else if (cfg_rev_cmp(b, a) < 0)
        fleet_replace(r, into, "revision", cJSON_CreateString(theirs));
}

static void take_worse(struct fleet_reply *r, cJSON *into, const cJSON *from, const char *state)
{
    const char *why = cfg_json_get_str(from, "why", NULL);
    fleet_replace(r, into, "state", cJSON_CreateString(state));
    if (why)
        fleet_replace(r, into, "why", cJSON_CreateString(why));
    else
        cJSON_DeleteItemFromObjectCaseSensitive(into, "why");
}

/* Ranks of one group at two replicas. */
static void join_group(struct fleet_reply *r, cJSON *into, const cJSON *from)
{
    double n = num(into, "ranks"), m = num(from, "ranks");
    const char *state = cfg_json_get_str(from, "state", "");
    double mine = num(into, "step_rate"), theirs = num(from, "step_rate"); /* 0: not known */
    double rate = mine > 0 && theirs > 0 ? (mine * n + theirs * m) / (n + m) : mine + theirs;
    if (fleet_state_parse(state) < fleet_state_parse(cfg_json_get_str(into, "state", "")))
        take_worse(r, into, from, state);
    take_older_revision(r, into, from);
    set_num(r, into, "step", fmin(num(into, "step"), num(from, "step")));
    set_num(r, into, "step_rate", rate);
    set_num(r, into, "p50_us", fmax(num(into, "p50_us"), num(from, "p50_us")));
    set_num(r, into, "p99_us", fmax(num(into, "p99_us"), num(from, "p99_us")));
    set_num(r, into, "ranks", n + m);
}

/* A group that lacks ranks is not what its others say. */
static void judge_missing(struct fleet_parts *p, cJSON *group, bool partial)
{
    char why[FLEET_WHY];
    enum fleet_state state = fleet_state_parse(cfg_json_get_str(group, "state", ""));
    enum fleet_state missing = partial ? FLEET_UNKNOWN : FLEET_GONE;
    double ranks = num(group, "ranks"), world = num(group, "world");
    if (ranks >= world || state == FLEET_FORMING)
        return;
    (void)snprintf(why, sizeof why, "%.0f of %.0f ranks are connected", ranks, world);
    fleet_replace(&p->reply, group, "why", cJSON_CreateString(why));
    if (missing < state)
        fleet_replace(&p->reply, group, "state", cJSON_CreateString(fleet_state_name(missing)));
}

static cJSON *find_arm(const cJSON *arms, const char *name)
{
    cJSON *a;
    cJSON_ArrayForEach(a, arms)
    {
        if (strcmp(cfg_json_get_str(a, "arm", ""), name) == 0)
            return a;
    }
    return NULL;
}

/* Joins two parts of one group, each of which its replica has counted for the group's arm. */
static void count_once(struct fleet_reply *r, const cJSON *arms, cJSON *into, const cJSON *from)
{
    double parts = num(into, "step_rate") + num(from, "step_rate");
    cJSON *arm = find_arm(arms, cfg_json_get_str(from, "arm", ""));
    join_group(r, into, from);
    if (arm == NULL)
        return;
    set_num(r, arm, "groups", num(arm, "groups") - 1);
    set_num(r, arm, "step_rate", fmax(0, num(arm, "step_rate") - parts + num(into, "step_rate")));
}

static void put_groups(struct fleet_parts *p, cJSON *whole, bool as_part, const cJSON *arms)
{
    cJSON *list = cJSON_CreateArray(), *g;
    double more = 0;
    size_t n;
    for (size_t i = 0; i <= p->n; i++) {
        cJSON *from = cfg_json_get(fleet_part(p, i), "groups");
        more += num(fleet_part(p, i), "more");
        while (list && from && from->child)
            (void)cJSON_AddItemToArray(list, cJSON_DetachItemViaPointer(from, from->child)); /* only links it */
    }
    struct ranked *all = take_apart(list, "group", &n, by_name);
    p->reply.failed = p->reply.failed || all == NULL;
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && strcmp(all[k].name, all[i].name) == 0; k++)
            count_once(&p->reply, arms, all[i].entry, all[k].entry);
        (void)cJSON_AddItemToArray(list, all[i].entry);
        for (size_t j = i + 1; j < k; j++)
            cJSON_Delete(all[j].entry);
    }
    free(all);
    cJSON_ArrayForEach(g, list)
    {
        if (!as_part) /* ranks elsewhere are not missing */
            judge_missing(p, g, cfg_json_get_bool(whole, "partial", false));
    }
    more += (double)fleet_worst_first(list, "group", as_part ? FLEET_GROUPS_PART : FLEET_GROUPS_SHOWN);
    fleet_replace(&p->reply, whole, "groups", list);
    fleet_replace(&p->reply, whole, "more", cJSON_CreateNumber(more));
}

/* --- arms --- */

static void put_latency(struct fleet_reply *r, cJSON *arm, const struct cfg_histogram *h, cJSON *counts)
{
    cJSON *o = fleet_put_object(r, arm, "latency");
    fleet_put_number(r, o, "n", (double)h->n);
    fleet_put_number(r, o, "p50_us", (double)cfg_histogram_quantile(h, 0.5));
    fleet_put_number(r, o, "p90_us", (double)cfg_histogram_quantile(h, 0.9));
    fleet_put_number(r, o, "p99_us", (double)cfg_histogram_quantile(h, 0.99));
    if (counts)
        fleet_put(r, o, "counts", counts);
}

static void put_metric(struct fleet_reply *r, cJSON *metrics, const char *name, const struct cfg_moments *m)
{
    cJSON_DeleteItemFromObjectCaseSensitive(metrics, name);
    cJSON *o = fleet_put_object(r, metrics, name);
    fleet_put_number(r, o, "n", (double)m->n);
    fleet_put_number(r, o, "mean", m->mean);
    fleet_put_number(r, o, "m2", m->m2);
    fleet_put_number(r, o, "sd", sqrt(cfg_moments_variance(m)));
    fleet_put_number(r, o, "min", m->min);
    fleet_put_number(r, o, "max", m->max);
    fleet_put_number(r, o, "last", m->last);
    fleet_put_number(r, o, "bad", (double)m->bad);
}

static void join_metrics(struct fleet_reply *r, cJSON *into, const cJSON *from)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, from)
    {
        struct cfg_moments a = {0}, b;
        const cJSON *is = cfg_json_get(into, m->string);
        if (cfg_moments_parse(&b, m, NULL) != 0 || (is && cfg_moments_parse(&a, is, NULL) != 0))
            continue; /* of another version of configd: what is known stays */
        cfg_moments_merge(&a, &b);
        put_metric(r, into, m->string, &a);
    }
}

static void read_counts(struct cfg_histogram *h, const cJSON *arm)
{
    struct cfg_histogram one;
    const cJSON *counts = cfg_json_get(arm, "counts");
    if (counts == NULL)
        counts = cfg_json_get(cfg_json_get(arm, "latency"), "counts");
    if (counts && cfg_histogram_parse(&one, counts, NULL) == 0)
        cfg_histogram_merge(h, &one);
}

static void put_histogram(struct fleet_reply *r, cJSON *arm, const struct cfg_histogram *h, bool counts)
{
    struct cfg_buf text;
    cJSON *tree = NULL;
    cfg_buf_init(&text, 64 * 1024);
    cfg_histogram_print(&text, h);
    if (counts && (cfg_buf_status(&text) != 0 || cfg_json_parse(&tree, cfg_buf_slice(&text), 0, NULL) != 0))
        r->failed = true;
    cfg_buf_finish(&text);
    cJSON_DeleteItemFromObjectCaseSensitive(arm, "counts");
    cJSON_DeleteItemFromObjectCaseSensitive(arm, "latency");
    put_latency(r, arm, h, tree);
}

/* One arm over all parts; `arm` begins as an empty object with its name. */
static void sum_arm(struct fleet_parts *p, cJSON *arm, bool as_part)
{
    static const char *const sums[] = {"workers", "groups", "step_rate", "steps"};
    struct cfg_histogram h = {0};
    cJSON *metrics = fleet_put_object(&p->reply, arm, "metrics");
    double totals[4] = {0};
    for (size_t i = 0; i <= p->n; i++) {
        const cJSON *from = find_arm(cfg_json_get(fleet_part(p, i), "arms"), cfg_json_get_str(arm, "arm", ""));
        for (size_t k = 0; k < 4; k++)
            totals[k] += num(from, sums[k]);
        read_counts(&h, from);
        join_metrics(&p->reply, metrics, cfg_json_get(from, "metrics"));
    }
    for (size_t k = 0; k < 4; k++)
        fleet_put_number(&p->reply, arm, sums[k], totals[k]);
    put_histogram(&p->reply, arm, &h, as_part);
}

static cJSON *merge_arms(struct fleet_parts *p, bool as_part)
{
    cJSON *arms = cJSON_CreateArray();
    const cJSON *a;
    for (size_t i = 0; i <= p->n; i++) {
        const cJSON *from = cfg_json_get(fleet_part(p, i), "arms");
        cJSON_ArrayForEach(a, from)
        {
            const char *name = cfg_json_get_str(a, "arm", "");
            if (find_arm(arms, name))
                continue;
            cJSON *o = fleet_add_entry(&p->reply, arms);
            fleet_put_text(&p->reply, o, "arm", name);
            sum_arm(p, o, as_part);
        }
    }
    return arms;
}

/* --- the whole --- */

/* The newest view that any part shows. */
static void take_newest_revision(struct fleet_parts *p)
{
    struct cfg_rev newest = {0, 0}, rev;
    for (size_t i = 0; i <= p->n; i++) {
        const cJSON *part = fleet_part(p, i);
        const char *text = cfg_json_get_str(part, "revision", "");
        if (cfg_rev_parse(&rev, cfg_slice_str(text), NULL) != 0 || cfg_rev_cmp(rev, newest) <= 0)
            continue;
        newest = rev;
        if (i == 0)
            continue;
        fleet_replace(&p->reply, p->own, "revision", cJSON_CreateString(text));
        fleet_replace(&p->reply, p->own, "digest", cJSON_CreateString(cfg_json_get_str(part, "digest", "")));
    }
}

static void put_connected(struct fleet_parts *p, cJSON *whole, double unknown)
{
    double n = unknown;
    for (size_t i = 0; i <= p->n; i++)
        n += num(fleet_part(p, i), "connected");
    fleet_replace(&p->reply, whole, "connected", cJSON_CreateNumber(n));
}

cJSON *fleet_merge_summary(cJSON *own, struct fleet_answer *answers, size_t n, bool as_part)
{
    struct fleet_parts p = {.own = own, .answers = answers, .n = n};
    struct roll roll = {0};
    if (own == NULL)
        return NULL;
    cJSON *kept = as_part ? cJSON_Duplicate(cfg_json_get(own, "roll"), true) : NULL; /* reading cuts it up */
    take_newest_revision(&p);
    read_rolls(&roll, &p);
    double unknown = fleet_put_replicas(&p, own, "connected");
    put_connected(&p, own, unknown);
    put_states(&p, own, &roll, unknown);
    put_stragglers(&p, own, &roll);
    cJSON *arms = merge_arms(&p, as_part);
    put_groups(&p, own, as_part, arms);
    fleet_replace(&p.reply, own, "arms", arms);
    cJSON_DeleteItemFromObjectCaseSensitive(own, "roll");
    if (as_part)
        fleet_put(&p.reply, own, "roll", kept);
    p.reply.failed = p.reply.failed || roll.failed;
    free(roll.all);
    return fleet_finish(&p.reply, own);
}
