/* Rollouts: starting, moving on, reading. What can only be known here and now, not by the decision, is checked here:
 * whom a rollout would begin with, and whether anybody reports what its guards look at. */
#include "configd/api.h"

#include "configd/fleet_observe.h"
#include "configd/hub_compose.h"
#include "configd/rollouts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    LIMIT_DEFAULT = 50,
    LIMIT_MAX = 200,
    SEED_BYTES = 8,
    DRAWS = 32, /* of a share that is one group's, the chance that none of them holds one is 1e-14 */
};

/* --- before a start --- */

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

/* Somebody has to be left to compare with. */
static int check_base(const struct cfg_observation *o, const cJSON *plan, double share, struct cfg_error *err)
{
    bool all = o->eligible == o->base.groups + o->canary.groups && o->highest < share;
    if (share >= 1 || !all || !is_compared(cfg_json_get(plan, "guards")))
        return 0;
    (void)cfg_fail(err, CFG_E_VALUE, "%.6g %% would hold all of the %" PRIu64 " rank groups: no base to compare with",
                   share * 100, o->eligible);
    cfg_error_set_path(err, "steps");
    cfg_error_set_hint(err, "begin with less than %.4g %%", o->highest * 100);
    return CFG_E_VALUE;
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

/* The first step must begin with somebody: by chance a seed gives a small share to nobody (1 % of 100 groups: every
 * third), so others are drawn where the caller said none. Who is elsewhere is not asked: the driver looks at all before
 * it begins. */
static int check_groups(struct cfg_app *app, struct cfg_deployment *d, const cJSON *plan, cJSON *body, bool drawn,
                        struct cfg_error *err)
{
    const double share = cfg_json_get_num(cJSON_GetArrayItem(cfg_json_get(plan, "steps"), 0), "share", 1);
    const struct cfg_fleet_lately lately = {.since_ms = 0, .until_ms = 0};
    if (cfg_fleet_connected(app->fleet, d->name) > cfg_fleet_connected_here(app->fleet, d->name))
        return 0;
    for (unsigned draw = 1;; draw++) {
        struct cfg_observation o = {.seq = 0};
        bool any = cfg_fleet_observe(&o, app->fleet, d, &lately);
        if (!any || o.eligible == 0)
            return refuse_nobody(d, any, err);
        int rc = check_share(&o, d, share, drawn, err);
        rc = rc ? rc : check_base(&o, plan, share, err);
        if (rc == 0 || !drawn || draw == DRAWS || share * (double)o.units < 1 - 1e-9)
            return rc;
        rc = draw_seed(body, err);
        if (rc != 0)
            return rc;
        (void)snprintf(d->split.seed, sizeof d->split.seed, "%s", cfg_json_get_str(body, "seed", ""));
    }
}

struct metrics {
    struct cfg_app *app;
    const char *deployment;
    char unknown[CFG_METRIC_NAME + 1];
};

static void check_metric(const char *metric, void *arg)
{
    struct metrics *m = arg;
    if (m->unknown[0] == '\0' && !cfg_fleet_knows_metric(m->app->fleet, m->deployment, metric))
        (void)snprintf(m->unknown, sizeof m->unknown, "%s", metric);
}

static void hint_metric(struct cfg_app *app, const char *deployment, const char *metric, struct cfg_error *err)
{
    const char *names[64];
    size_t n = cfg_fleet_metrics(app->fleet, deployment, names, 64);
    const char *near = cfg_near_miss(metric, names, n);
    if (near)
        cfg_error_set_hint(err, "did you mean %s?", near);
    else if (n > 0)
        cfg_error_set_hint(err, "they report %s%s%s", names[0], n > 1 ? ", " : "", n > 1 ? names[1] : "");
    else
        cfg_error_set_hint(err, "workers report metrics with step_end or metric(); p99_ms and the like need none");
}

/* A guard on what nobody reports would hold for ever. */
static int check_metrics(struct cfg_app *app, const char *deployment, const cJSON *guards, struct cfg_error *err)
{
    struct metrics m = {.app = app, .deployment = deployment};
    const cJSON *text;
    if (cfg_fleet_connected(app->fleet, deployment) > cfg_fleet_connected_here(app->fleet, deployment))
        return 0; /* workers elsewhere may report it: the driver shows what it waits for */
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
    hint_metric(app, deployment, m.unknown, err);
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

/* Where nobody says why, the message made here is no reason. False without memory. */
static bool keep_reason(const struct cfg_call *c, cJSON *body)
{
    return cfg_json_get(body, "why") || cfg_call_query(c, "message") || cJSON_AddStringToObject(body, "why", "");
}

/* --- before a person's input --- */

/* What the guards said when a person decided is kept with the decision, as it is with the driver's. */
static void add_seen(struct cfg_app *app, struct cfg_change_entry *e)
{
    e->seen = cfg_rollouts_live(app->rollouts, e->id.ns); /* NULL: none is under way, and the input is refused */
}

/* The seed was not asked for: whoever repeats the start under its Idempotency-Key gets another one drawn. */
static int set_apart(struct cfg_change_entry *e, struct cfg_error *err)
{
    cJSON *seed = cJSON_DetachItemFromObjectCaseSensitive(e->body, "seed");
    e->seen = cJSON_CreateObject();
    if (e->seen == NULL) {
        cJSON_Delete(seed);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return cfg_json_set(e->seen, "seed", seed) == 0 ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int cfg_api_prepare_rollout(struct cfg_app *app, const struct cfg_call *c, struct cfg_change_entry *e,
                            struct cfg_error *err)
{
    bool force = false;
    cJSON *plan = NULL;
    if (e->id.kind != CFG_KIND_ROLLOUT || !cJSON_IsObject(e->body))
        return 0;
    if (e->op == CFG_CHANGE_MERGE_PATCH)
        add_seen(app, e);
    if (e->op != CFG_CHANGE_CREATE)
        return 0;
    int rc = cfg_api_flag(&force, c, "force", err);
    if (rc == 0 && !keep_reason(c, e->body))
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    bool drawn = cfg_json_get(e->body, "seed") == NULL;
    if (rc == 0 && drawn)
        rc = draw_seed(e->body, err);
    rc = rc ? rc : cfg_rollout_plan(&plan, e->body, err);
    if (rc == 0 && !force)
        rc = check_now(app, e->id.ns, plan, e->body, drawn, err);
    cJSON_Delete(plan);
    return rc ? rc : drawn ? set_apart(e, err) : 0;
}

/* --- writes --- */

/* The deployment's version is written beside the rollout's: its history shows what wrote it, and why. "rollout: abort:
 * wrong version"; NULL without memory. */
static char *message_of(const char *input, const cJSON *body)
{
    char text[CFG_LIMIT_MESSAGE + 1];
    const char *why = cfg_json_get_str(body, "why", "");
    bool fits = strlen(why) + strlen(input) + 16 < sizeof text;
    (void)snprintf(text, sizeof text, "rollout: %s%s%s", input, fits && why[0] ? ": " : "", fits ? why : "");
    return cfg_slice_dup(cfg_slice_str(text));
}

void cfg_api_start_rollout(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_CREATE, .id = {.kind = CFG_KIND_ROLLOUT}};
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_json(c, &e.body, &err);
    const char *name = cfg_json_get_str(e.body, "deployment", "");
    rc = rc ? rc : cfg_check_name("deployment", cfg_slice_str(name), &err);
    if (rc == 0)
        (void)snprintf(e.id.ns, sizeof e.id.ns, "%s", name);
    rc = rc ? rc : cfg_api_check_entry(app, c, &e, &err);
    rc = rc ? rc : cfg_api_prepare_rollout(app, c, &e, &err);
    if (rc == 0) {
        cfg_api_submit_saying(app, c, &e, message_of("start", e.body));
        return;
    }
    cJSON_Delete(e.body);
    cJSON_Delete(e.seen);
    cfg_call_fail(c, &err, NULL);
}

/* POST /v1/rollouts/{d}/pause: the input is the route's last part. */
void cfg_api_move_rollout(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_MERGE_PATCH};
    const char *input = strrchr(cfg_call_route(c)->pattern, '/') + 1;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&e.id, CFG_KIND_ROLLOUT, c, &err);
    rc = rc ? rc : cfg_call_json(c, &e.body, &err);
    if (rc == 0 && !cJSON_IsObject(e.body))
        rc = cfg_fail(&err, CFG_E_INVALID, "an object is needed: {\"why\": \"…\"}, or {}");
    for (const cJSON *m = rc == 0 ? e.body->child : NULL; m && rc == 0; m = m->next)
        if (strcmp(m->string, "why") != 0)
            rc = cfg_fail(&err, CFG_E_INVALID, "%.40s is none of its members: why", m->string);
    if (rc == 0 && !(keep_reason(c, e.body) && cJSON_AddStringToObject(e.body, "input", input)))
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    rc = rc ? rc : cfg_api_check_entry(app, c, &e, &err);
    rc = rc ? rc : cfg_api_prepare_rollout(app, c, &e, &err);
    if (rc == 0) {
        cfg_api_submit_saying(app, c, &e, message_of(input, e.body));
        return;
    }
    cJSON_Delete(e.body);
    cJSON_Delete(e.seen);
    cfg_call_fail(c, &err, NULL);
}

/* --- reads --- */

/* {NAMESPACE: version} of what was written meanwhile, and waits for the rollout's end. NULL without memory. */
static cJSON *waiting_versions(const struct cfg_app *app, const cJSON *rollout)
{
    const cJSON *from = cfg_json_get(cfg_json_get(rollout, "from"), "release"), *space;
    cJSON *out = cJSON_CreateObject();
    cJSON_ArrayForEach(space, cfg_json_get(cfg_json_get(rollout, "to"), "release"))
    {
        const struct cfg_object *head = cfg_store_find(app->store, CFG_KIND_CONFIG, space->string, "");
        double known = cfg_json_get_num(from, space->string, 0);
        if (space->valuedouble > known)
            known = space->valuedouble;
        if (head && !head->deleted && (double)head->version > known &&
            !cJSON_AddNumberToObject(out, space->string, (double)head->version)) {
            cJSON_Delete(out);
            return NULL;
        }
    }
    return out;
}

/* Of a deployment that there is; CFG_E_NOT_FOUND says which of both is missing. */
static int find_rollout(struct cfg_object **out, struct cfg_app *app, const struct cfg_object_id *id,
                        struct cfg_error *err)
{
    struct cfg_object *deployment;
    if ((*out = cfg_store_get(app->store, id)) != NULL)
        return 0;
    int rc = cfg_hub_deployment(&deployment, app->store, id->ns, err);
    if (rc != 0)
        return rc;
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s has had no rollout", id->ns);
    cfg_error_set_hint(err, "cfgctl rollout start %s --to VERSION --steps 1%%,10%%,100%%", id->ns);
    return CFG_E_NOT_FOUND;
}

void cfg_api_get_rollout(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_ROLLOUT, c, &err);
    struct cfg_object *o = NULL;
    rc = rc ? rc : find_rollout(&o, app, &id, &err);
    if (rc != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cJSON *body = cfg_api_object(app, o, false), *live = body ? cfg_rollouts_live(app->rollouts, id.ns) : NULL;
    bool whole = live == NULL || cfg_json_set(live, "waiting", waiting_versions(app, body)) == 0;
    if ((live && cfg_json_set(body, "live", live) != 0) || !whole) {
        cJSON_Delete(body);
        body = NULL;
    }
    cfg_api_reply(c, 200, body);
}

static void on_history(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    if (err) {
        cfg_call_fail(c, err, NULL);
        return;
    }
    cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items");
    for (size_t i = 0; items && i < n; i++)
        (void)cJSON_AddItemToArray(items, cfg_api_object(cfg_call_app(c), objects[i], false)); /* refuses NULL */
    if (more && n > 0)
        (void)cJSON_AddNumberToObject(body, "next", (double)objects[n - 1]->version);
    else
        (void)cJSON_AddNullToObject(body, "next");
    cfg_api_reply(c, 200, body);
}

void cfg_api_rollout_history(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    uint64_t limit, before;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_ROLLOUT, c, &err);
    rc = rc ? rc : cfg_api_number(&limit, c, "limit", LIMIT_DEFAULT, &err);
    rc = rc ? rc : cfg_api_number(&before, c, "before", 0, &err);
    if (rc == 0 && (limit == 0 || limit > LIMIT_MAX))
        rc = cfg_fail(&err, CFG_E_INVALID, "limit must be between 1 and %d", LIMIT_MAX);
    struct cfg_object *o = NULL;
    rc = rc ? rc : find_rollout(&o, app, &id, &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_service_versions(app->service, &id, before, (unsigned)limit, on_history, c);
}
