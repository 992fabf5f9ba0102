/* Before a rollout starts: what can only be known here and now, not by the decision. Whom it would begin with, and
 * whether anybody reports what its guards look at. Where workers hang on other replicas those are asked first, and the
 * request is looked at again when they have answered. */
#include "configd/api.h"

#include "configd/fleet_observe.h"
#include "configd/fleet_peers.h"
#include "configd/hub_compose.h"
#include "configd/rollout_census.h"
#include "configd/rollouts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SEED_BYTES = 8,
    METRICS = 256,
    DRAWS = 32, /* of a share that is one group's, the chance that none of them holds one is 1e-14 */
};

static int draw_seed(cJSON *body, struct cfg_error *err)
{
    unsigned char bytes[SEED_BYTES];
    char text[2 * SEED_BYTES + 1];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return cfg_fail(err, CFG_E_UNAVAILABLE, "no random numbers for a rollout's seed");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return cfg_json_set(body, "seed", cJSON_CreateString(text)) == 0 ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* Does a guard look at the base? */
static bool is_compared(const cJSON *guards)
{
    const cJSON *text;
    bool relative = false;
    cJSON_ArrayForEach(text, guards)
    {
        struct cfg_rollout_guard *g = NULL;
        if (cfg_rollout_guard_new(&g, text->valuestring, NULL) == 0)
            relative = relative || cfg_rollout_guard_is_relative(g);
        cfg_rollout_guard_free(g);
    }
    return relative;
}

/* Somebody has to be left to compare with, of those who could run it. */
static int check_base(const struct cfg_observation *o, const cJSON *plan, double share, struct cfg_error *err)
{
    if (share >= 1 || !(o->highest < share) || !is_compared(cfg_json_get(plan, "guards")))
        return 0;
    (void)cfg_fail(err, CFG_E_VALUE, "%.6g %% would hold all of the %" PRIu64 " rank groups: no base to compare with",
                   share * 100, o->eligible);
    cfg_error_set_path(err, "steps");
    cfg_error_set_hint(err, "begin with less than %.4g %%", o->highest * 100);
    return CFG_E_VALUE;
}

/* Its ranks would be told different releases, and so agree on none. */
static int check_mixed(const struct cfg_observation *o, const struct cfg_deployment *d, struct cfg_error *err)
{
    if (o->mixed == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "the ranks of group %.80s of deployment %s carry different labels",
                   o->mixed_group, d->name);
    cfg_error_set_path(err, d->split.by[0] ? "by" : "where");
    cfg_error_set_hint(err, "start all ranks of a group with the same CONFIGD_LABELS (%" PRIu64 " such group%s)",
                       o->mixed, o->mixed == 1 ? "" : "s");
    return CFG_E_CONFLICT;
}

/* A share that is less than one group is refused whatever the seed, one that this seed gives to nobody with it. */
static int check_share(const struct cfg_observation *o, const struct cfg_deployment *d, double share, bool drawn,
                       struct cfg_error *err)
{
    double least = drawn ? ceil(1e4 / (double)o->units) / 100 : cfg_split_share_for(o->lowest) * 100; /* per cent */
    if (drawn ? share * (double)o->units >= 1 - 1e-9 && o->lowest < share : o->lowest < share)
        return 0;
    (void)cfg_fail(err, CFG_E_VALUE, "%.6g %% would hold none of the %" PRIu64 " rank groups", share * 100,
                   o->eligible);
    cfg_error_set_path(err, "steps");
    if (d->split.by[0] && drawn)
        cfg_error_set_hint(
            err, "the smallest share that holds one is %.4g %%: they move by %s, which has %" PRIu64 " values", least,
            d->split.by, o->units);
    else
        cfg_error_set_hint(err, "the smallest share that holds one is %.4g %%", least);
    return CFG_E_VALUE;
}

static int refuse_nobody(const struct cfg_deployment *d, bool any, struct cfg_error *err)
{
    if (any && d->split.by[0]) {
        (void)cfg_fail(err, CFG_E_CONFLICT, "no connected rank group of deployment %s has a label %s%s", d->name,
                       d->split.by, d->split.where ? " and those of where" : "");
        cfg_error_set_hint(err, "cfgctl status %s -o wide shows their labels", d->name);
        return CFG_E_CONFLICT;
    }
    (void)cfg_fail(err, CFG_E_CONFLICT, "no rank group of deployment %s%s is connected: nobody could run the release",
                   d->name, any ? " with these labels" : "");
    cfg_error_set_hint(
        err, any ? "cfgctl status %s -o wide shows their labels" : "start its workers first (cfgctl status %s)",
        d->name);
    return CFG_E_CONFLICT;
}

static bool has_others(const struct cfg_app *app, const char *deployment)
{
    return cfg_fleet_connected(app->fleet, deployment) > cfg_fleet_connected_here(app->fleet, deployment);
}

/* What all replicas list, as an observation. False: nobody is connected. */
static bool count_listed(struct cfg_observation *o, const cJSON *listed, const struct cfg_split *split)
{
    struct cfg_census census;
    const cJSON *w;
    cfg_census_begin(&census, split);
    cJSON_ArrayForEach(w, cfg_json_get(listed, "workers"))
    {
        const char *group = cfg_json_get_str(w, "group", "");
        if (cfg_json_get_bool(w, "connected", false))
            (void)cfg_census_add(&census, group[0] ? group : cfg_json_get_str(w, "worker", ""),
                                 cfg_json_get(w, "labels"));
    }
    cfg_census_tell(o, &census);
    return census.groups > 0;
}

/* *unasked: the first replica that did not answer, borrowed; "" when all have. */
static bool count_groups(struct cfg_observation *o, const char **unasked, struct cfg_app *app,
                         const struct cfg_deployment *d)
{
    const struct cfg_fleet_lately lately = {.since_ms = 0, .until_ms = 0};
    const cJSON *r;
    *o = (struct cfg_observation){.seq = 0};
    *unasked = "";
    if (!has_others(app, d->name))
        return cfg_fleet_observe(o, app->fleet, d, &lately);
    if (app->listed == NULL || strcmp(cfg_json_get_str(app->listed, "deployment", ""), d->name) != 0) {
        *unasked = "others";
        return true;
    }
    cJSON_ArrayForEach(r, cfg_json_get(app->listed, "replicas"))
    {
        if ((*unasked)[0] == '\0' && !cfg_json_get_bool(r, "answered", false))
            *unasked = cfg_json_get_str(r, "replica", "one");
    }
    return count_listed(o, app->listed, &d->split);
}

/* It is started all the same: the driver looks at everybody before it begins. The reply says whom nobody asked. */
static int note_unasked(cJSON *body, const char *replica, struct cfg_error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(body, "unasked");
    return cJSON_AddStringToObject(body, "unasked", replica) ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* The first step must begin with somebody: by chance a seed gives a small share to nobody (1 % of 100 groups: every
 * third), so others are drawn where the caller said none. */
static int check_groups(struct cfg_app *app, struct cfg_deployment *d, const cJSON *plan, cJSON *body, bool drawn,
                        struct cfg_error *err)
{
    const double share = cfg_json_get_num(cJSON_GetArrayItem(cfg_json_get(plan, "steps"), 0), "share", 1);
    for (unsigned draw = 1;; draw++) {
        struct cfg_observation o;
        const char *unasked;
        bool any = count_groups(&o, &unasked, app, d);
        int rc = check_mixed(&o, d, err);
        if (rc == 0 && unasked[0])
            return o.lowest < share ? 0 : note_unasked(body, unasked, err);
        if (rc == 0 && (!any || o.eligible == 0))
            return refuse_nobody(d, any, err);
        rc = rc ? rc : check_share(&o, d, share, drawn, err);
        rc = rc ? rc : check_base(&o, plan, share, err);
        if (rc == 0 || o.mixed > 0 || !drawn || draw == DRAWS || share * (double)o.units < 1 - 1e-9)
            return rc;
        rc = draw_seed(body, err);
        if (rc != 0)
            return rc;
        (void)snprintf(d->split.seed, sizeof d->split.seed, "%s", cfg_json_get_str(body, "seed", ""));
    }
}

/* What is reported here, or by anybody, where all have answered. False: nobody knows all of it. */
static bool known_metrics(const char *names[METRICS], size_t *n, struct cfg_app *app, const char *deployment)
{
    const cJSON *listed = app->listed, *all = cfg_json_get(listed, "metrics"), *name;
    if (!has_others(app, deployment)) {
        *n = cfg_fleet_metrics(app->fleet, deployment, names, METRICS);
        return true;
    }
    *n = 0;
    if (all == NULL || strcmp(cfg_json_get_str(listed, "deployment", ""), deployment) != 0 ||
        cfg_json_get_bool(listed, "partial", true))
        return false;
    cJSON_ArrayForEach(name, all)
    {
        if (*n < METRICS && cJSON_IsString(name))
            names[(*n)++] = name->valuestring;
    }
    return *n < METRICS;
}

struct metrics {
    const char *names[METRICS];
    size_t n;
    char unknown[CFG_METRIC_NAME + 1];
};

static void check_metric(const char *metric, void *arg)
{
    struct metrics *m = arg;
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->names[i], metric) == 0)
            return;
    if (m->unknown[0] == '\0')
        (void)snprintf(m->unknown, sizeof m->unknown, "%s", metric);
}

static void hint_metric(const struct metrics *m, struct cfg_error *err)
{
    const char *near = cfg_near_miss(m->unknown, m->names, m->n);
    if (near)
        cfg_error_set_hint(err, "did you mean %s?", near);
    else if (m->n > 0)
        cfg_error_set_hint(err, "they report %s%s%s", m->names[0], m->n > 1 ? ", " : "", m->n > 1 ? m->names[1] : "");
    else
        cfg_error_set_hint(err, "workers report metrics with step_end or metric(); p99_ms and the like need none");
}

/* A guard on what nobody reports would hold for ever. */
static int check_metrics(struct cfg_app *app, const char *deployment, const cJSON *guards, struct cfg_error *err)
{
    struct metrics m = {.n = 0};
    const cJSON *text;
    if (!known_metrics(m.names, &m.n, app, deployment))
        return 0; /* the driver shows what it waits for */
    cJSON_ArrayForEach(text, guards)
    {
        struct cfg_rollout_guard *g = NULL;
        int rc = cfg_rollout_guard_new(&g, text->valuestring, err);
        if (rc != 0)
            return rc;
        cfg_rollout_guard_each_metric(g, check_metric, &m);
        cfg_rollout_guard_free(g);
    }
    if (m.unknown[0] == '\0')
        return 0;
    (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "no worker of deployment %s has reported a metric %s lately", deployment,
                   m.unknown);
    cfg_error_set_path(err, "guards");
    hint_metric(&m, err);
    return CFG_E_UNKNOWN_KEY;
}

/* drawn: the body's seed is ours, and may be another. */
static int check_now(struct cfg_app *app, const char *deployment, const cJSON *plan, cJSON *body, bool drawn,
                     struct cfg_error *err)
{
    struct cfg_object *o;
    struct cfg_deployment d = {0};
    int rc = cfg_hub_deployment(&o, app->store, deployment, err);
    rc = rc ? rc : cfg_deployment_read(&d, o, err);
    if (rc != 0)
        return rc;
    const cJSON *where = cfg_json_get(plan, "where");
    cfg_split_finish(&d.split);
    (void)snprintf(d.split.arm, sizeof d.split.arm, "%s", CFG_ARM_CANARY);
    (void)snprintf(d.split.seed, sizeof d.split.seed, "%s", cfg_json_get_str(body, "seed", ""));
    (void)snprintf(d.split.by, sizeof d.split.by, "%s", cfg_json_get_str(plan, "by", ""));
    d.split.where = where ? cJSON_Duplicate(where, true) : NULL;
    bool later = cfg_json_get_num(plan, "start_at", 0) > (double)cfg_api_now_s(app);
    rc = later ? 0 : check_groups(app, &d, plan, body, drawn, err);
    rc = rc ? rc : check_metrics(app, deployment, cfg_json_get(plan, "guards"), err);
    cfg_deployment_finish(&d);
    return rc;
}

static bool starts(const struct cfg_change_entry *e)
{
    return e->id.kind == CFG_KIND_ROLLOUT && e->op == CFG_CHANGE_CREATE && cJSON_IsObject(e->body);
}

/* --- the other replicas' workers --- */

bool cfg_api_asks_of_rollout(const struct cfg_app *app, const struct cfg_call *c, const struct cfg_change_entry *e)
{
    bool force = false;
    return starts(e) && app->listed == NULL && cfg_api_flag(&force, c, "force", NULL) == 0 && !force &&
           has_others(app, e->id.ns);
}

static void look_again(void *arg, struct cfg_slice json)
{
    static const cJSON nothing = {.type = cJSON_Object};
    struct cfg_call *c = arg;
    struct cfg_app *app = cfg_call_app(c);
    cJSON *listed = NULL;
    if (cfg_json_parse(&listed, json, 64 + CFG_LIMIT_DEPTH, NULL) != 0)
        listed = NULL; /* without memory nobody was asked */
    app->listed = listed ? listed : &nothing;
    cfg_call_again(c);
    app->listed = NULL;
    cJSON_Delete(listed);
}

void cfg_api_ask_of_rollout(struct cfg_app *app, struct cfg_call *c, const char *deployment)
{
    cfg_peers_ask(app->peers, &cfg_api_ask_workers, deployment, cfg_call_header(c, "Authorization"), look_again, c);
}

/* --- all of it --- */

/* What the guards said when a person decided is kept with the decision, as it is with the driver's. */
static void add_seen(struct cfg_app *app, struct cfg_change_entry *e)
{
    e->seen = cfg_rollouts_live(app->rollouts, e->id.ns); /* NULL: none is under way, and the input is refused */
}

/* What was not asked for: whoever repeats the start under its Idempotency-Key gets another seed drawn. */
static int set_apart(struct cfg_change_entry *e, bool drawn, struct cfg_error *err)
{
    cJSON *seed = drawn ? cJSON_DetachItemFromObjectCaseSensitive(e->body, "seed") : NULL;
    cJSON *unasked = cJSON_DetachItemFromObjectCaseSensitive(e->body, "unasked");
    int rc = seed == NULL && unasked == NULL ? 0 : (e->seen = cJSON_CreateObject()) ? 0 : CFG_E_NOMEM;
    if (rc == 0 && seed) {
        rc = cfg_json_set(e->seen, "seed", seed);
        seed = NULL;
    }
    if (rc == 0 && unasked) {
        rc = cfg_json_set(e->seen, "unasked", unasked);
        unasked = NULL;
    }
    cJSON_Delete(seed);
    cJSON_Delete(unasked);
    return rc ? cfg_fail(err, CFG_E_NOMEM, "out of memory") : 0;
}

int cfg_api_prepare_rollout(struct cfg_app *app, const struct cfg_call *c, struct cfg_change_entry *e,
                            struct cfg_error *err)
{
    bool force = false;
    cJSON *plan = NULL;
    if (e->id.kind == CFG_KIND_ROLLOUT && e->op == CFG_CHANGE_MERGE_PATCH && cJSON_IsObject(e->body))
        add_seen(app, e);
    if (!starts(e))
        return 0;
    int rc = cfg_api_flag(&force, c, "force", err);
    if (rc == 0 && cfg_json_get(e->body, "unasked"))
        rc = cfg_fail(err, CFG_E_INVALID, "unasked is no member of a rollout");
    if (rc == 0 && !cfg_api_keep_reason(c, e->body))
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    bool drawn = cfg_json_get(e->body, "seed") == NULL;
    if (rc == 0 && drawn)
        rc = draw_seed(e->body, err);
    rc = rc ? rc : cfg_rollout_plan(&plan, e->body, err);
    if (rc == 0 && !force)
        rc = check_now(app, e->id.ns, plan, e->body, drawn, err);
    cJSON_Delete(plan);
    return rc ? rc : set_apart(e, drawn, err);
}
