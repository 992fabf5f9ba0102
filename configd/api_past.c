/* What concerned a deployment in the past, and what it was made of at a time: histories gathered from etcd, one object
 * after the other, then decided by timeline.h. */
#include "configd/api.h"

#include "configd/fleet_past.h"
#include "configd/http_auth.h"
#include "configd/past_runs.h"
#include "configd/settings.h"
#include "configd/timeline.h"
#include "configd/view.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 200, /* more than the objects of one change, so that a page always gets on */
    MAX_VERSIONS = 10000,
    MAX_BYTES = 96 * 1024 * 1024,
    MAX_NAMES = 512,
    LIMIT_DEFAULT = 200,
    LIMIT_MAX = 1000,
    MAX_CHANGES = 20,  /* shown of one version */
    MAX_BATCHES = 500, /* of adoptions */
};

struct gather {
    struct cfg_app *app;
    struct cfg_call *call;
    struct cfg_object_id deployment;
    int64_t since_us, until_us;
    void (*reply)(struct gather *g); /* answers the call and ends it */
    unsigned limit;
    struct cfg_timeline versions;
    char names[MAX_NAMES][CFG_LIMIT_NAME + 1]; /* namespaces to be read */
    size_t n_names, next_name;
    struct cfg_object_id want;
    struct cfg_object_id gone[64]; /* whose version before is no longer in history */
    size_t n_gone;
    bool incomplete;        /* the walk met one of those */
    struct fleet_past runs; /* of the log: what groups adopted, and that they ended */
};

static void end(struct gather *g, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(g->call, err, NULL);
    cfg_timeline_finish(&g->versions);
    fleet_past_finish(&g->runs);
    free(g);
}

/* --- gathering --- */

static void advance(struct gather *g);

static void add_name(struct gather *g, const char *ns)
{
    for (size_t i = 0; i < g->n_names; i++)
        if (strcmp(g->names[i], ns) == 0)
            return;
    if (g->n_names < MAX_NAMES && cfg_check_name("namespace", cfg_slice_str(ns), NULL) == 0)
        (void)snprintf(g->names[g->n_names++], sizeof g->names[0], "%s", ns);
}

static void add_names_of(struct gather *g, const struct cfg_object *o)
{
    struct cfg_deployment d = {0};
    if (o->id.kind == CFG_KIND_CONFIG && !o->deleted) {
        cJSON *tree = cfg_object_tree(o);
        const cJSON *base;
        cJSON_ArrayForEach(base, cfg_json_get(tree, "extends"))
        {
            if (cJSON_IsString(base))
                add_name(g, base->valuestring);
        }
        cJSON_Delete(tree);
    } else if (o->id.kind == CFG_KIND_DEPLOYMENT && !o->deleted && cfg_deployment_read(&d, o, NULL) == 0) {
        add_name(g, d.config);
        for (size_t i = 0; i < d.n_flags; i++)
            add_name(g, d.flags[i]);
        for (size_t a = 0; a < d.n_arms; a++)
            for (size_t i = 0; i < d.arms[a].release.n; i++)
                add_name(g, d.arms[a].release.items[i].ns);
        cfg_deployment_finish(&d);
    }
}

static int take(struct gather *g, struct cfg_object *o, struct cfg_error *err)
{
    int rc = cfg_timeline_add(&g->versions, o, err);
    if (rc == 0 && (g->versions.n > MAX_VERSIONS || g->versions.bytes > MAX_BYTES)) {
        rc = cfg_fail(err, CFG_E_LIMIT, "more was written since then than is looked through at once");
        cfg_error_set_hint(err, "ask about a shorter time, or see GET /v1/log");
    }
    if (rc == 0)
        add_names_of(g, o);
    return rc;
}

/* True: there may be older versions that matter. False also after an error, which has been answered. */
static bool take_page(struct gather *g, struct cfg_object *const *objects, size_t n, bool more,
                      const struct cfg_error *failure, bool *ended)
{
    struct cfg_error err;
    int rc = 0;
    size_t before = g->versions.n;
    *ended = true;
    if (failure) {
        end(g, failure);
        return false;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = take(g, objects[i], &err);
    if (rc != 0) {
        end(g, &err);
        return false;
    }
    *ended = false;
    return more && n > 0 && g->versions.n > before && cfg_timeline_time(objects[n - 1]) >= g->since_us;
}

static void on_space(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct gather *g = arg;
    bool ended, older = take_page(g, objects, n, more, err, &ended);
    if (ended)
        return;
    if (older) { /* the last revision may have been cut in the middle: it is read once more */
        cfg_service_log(g->app->service, g->names[g->next_name], objects[n - 1]->mod_revision + 1, PAGE, on_space, g);
        return;
    }
    const struct cfg_object *head = cfg_store_find(g->app->store, CFG_KIND_CONFIG, g->names[g->next_name], "");
    if (head)
        add_names_of(g, head);
    g->next_name++;
    advance(g);
}

static bool is_gone(const struct gather *g, const struct cfg_object_id *id)
{
    for (size_t i = 0; i < g->n_gone; i++)
        if (cfg_object_id_eq(&g->gone[i], id))
            return true;
    return false;
}

static void on_before(void *arg, struct cfg_object *object, const struct cfg_error *failure)
{
    struct gather *g = arg;
    struct cfg_error err;
    if (failure && failure->code != CFG_E_NOT_FOUND) {
        end(g, failure);
        return;
    }
    if (failure && g->n_gone == sizeof g->gone / sizeof g->gone[0]) {
        (void)cfg_fail(&err, CFG_E_COMPACTED, "too much of that time is no longer in history");
        end(g, &err);
        return;
    }
    if (failure)
        g->gone[g->n_gone++] = g->want;
    else if (take(g, object, &err) != 0) {
        end(g, &err);
        return;
    }
    advance(g);
}

/* What is still to be read: a namespace, or the version before the first of an object's; then the answer. */
static void advance(struct gather *g)
{
    uint64_t version;
    size_t at = 0;
    if (g->next_name < g->n_names) {
        cfg_service_log(g->app->service, g->names[g->next_name], 0, PAGE, on_space, g);
        return;
    }
    while (cfg_timeline_missing(&g->want, &version, &g->versions, g->since_us, &at)) {
        if (is_gone(g, &g->want))
            continue;
        cfg_service_version(g->app->service, &g->want, version, on_before, g);
        return;
    }
    g->reply(g);
}

static void on_deployment(void *arg, struct cfg_object *const *objects, size_t n, bool more,
                          const struct cfg_error *err)
{
    struct gather *g = arg;
    bool ended, older = take_page(g, objects, n, more, err, &ended);
    if (ended)
        return;
    if (older)
        cfg_service_versions(g->app->service, &g->deployment, objects[n - 1]->version, PAGE, on_deployment, g);
    else
        advance(g);
}

static int read_time(int64_t *out, const struct cfg_call *c, const char *name, int64_t fallback, struct cfg_error *err)
{
    const char *text = cfg_call_query(c, name);
    *out = fallback;
    return text && cfg_rfc3339_parse(out, cfg_slice_str(text), err) != 0 ? cfg_error_wrap(err, "%s", name) : 0;
}

static int64_t now_us(const struct cfg_app *app)
{
    return (int64_t)(app->clock->wall_ns(app->clock->arg) / 1000);
}

static struct gather *begin(struct cfg_app *app, struct cfg_call *c, struct cfg_error *err)
{
    struct cfg_object_id id;
    struct cfg_object *head = NULL;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, err);
    if (rc == 0 && cfg_store_get(app->store, &id) == NULL)
        rc = cfg_api_head(&head, app, &id, err); /* says what is spelt nearly so */
    struct gather *g = rc == 0 ? calloc(1, sizeof *g) : NULL;
    if (g) {
        g->app = app;
        g->call = c;
        g->deployment = id;
    } else if (rc == 0) {
        (void)cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return g;
}

static void go(struct gather *g)
{
    cfg_service_versions(g->app->service, &g->deployment, 0, PAGE, on_deployment, g);
}

/* For the walk: what was there at the beginning. */
static struct cfg_object *was(void *arg, const struct cfg_object_id *id)
{
    struct gather *g = arg;
    struct cfg_object *o = NULL;
    enum cfg_timeline_was w = cfg_timeline_before(&o, &g->versions, id, cfg_store_get(g->app->store, id), g->since_us);
    g->incomplete |= w == CFG_WAS_GONE;
    return w == CFG_WAS_THERE ? o : NULL;
}

/* --- the log --- */

static bool has(const char *text, const char *part)
{
    return part == NULL || strstr(text, part) != NULL;
}

/* "config/chat" or, without its kind, "chat". */
static bool is_object(const struct cfg_object *o, const char *wanted)
{
    char text[CFG_OBJECT_ID_TEXT];
    (void)cfg_object_id_text(&o->id, text);
    const char *slash = strchr(text, '/');
    return wanted == NULL || strcmp(text, wanted) == 0 || (slash && strcmp(slash + 1, wanted) == 0);
}

static bool wanted(const struct gather *g, const struct cfg_object *o, const cJSON *item)
{
    return cfg_timeline_time(o) <= g->until_us && is_object(o, cfg_call_query(g->call, "object")) &&
           has(cfg_json_get_str(item, "author", ""), cfg_call_query(g->call, "author")) &&
           cfg_principal_sees(cfg_call_principal(g->call), cfg_json_get_str(item, "namespace", ""));
}

static cJSON *log_item(const struct gather *g, struct cfg_object *o, enum cfg_timeline_why why)
{
    cJSON *item = cfg_api_log_item(g->app, o);
    if (item == NULL || !wanted(g, o, item)) {
        cJSON_Delete(item);
        return NULL;
    }
    char text[CFG_OBJECT_ID_TEXT];
    unsigned more = 0;
    (void)cfg_object_id_text(&o->id, text);
    const struct cfg_object *before = o->version > 1 ? cfg_timeline_find(&g->versions, &o->id, o->version - 1) : NULL;
    bool known = o->version == 1 || before;
    cJSON *changes = known ? cfg_timeline_changes(&more, before, o, MAX_CHANGES) : cJSON_CreateNull();
    (void)cJSON_AddStringToObject(item, "object", text);
    (void)cJSON_AddStringToObject(item, "why", cfg_timeline_why_name(why));
    (void)cJSON_AddBoolToObject(item, "forced", strstr(cfg_json_get_str(item, "message", ""), "[forced past ") != NULL);
    (void)cJSON_AddNumberToObject(item, "more_changes", more);
    if (cfg_json_set(item, "changes", changes) == 0)
        return item;
    cJSON_Delete(item);
    return NULL;
}

/* --- what workers did, among the writes --- */

/* Takes the newest of two lists, either of which is newest first, until both are empty. Consumes events. */
static void merge_by_time(cJSON *items, cJSON *events)
{
    cJSON *writes = cJSON_CreateArray(), *item;
    while (writes && (item = cJSON_DetachItemFromArray(items, 0)) != NULL)
        (void)cJSON_AddItemToArray(writes, item); /* cannot fail: both are there */
    while (writes && (writes->child || events->child)) {
        bool write =
            events->child == NULL || (writes->child && strcmp(cfg_json_get_str(writes->child, "time", ""),
                                                              cfg_json_get_str(events->child, "time", "")) >= 0);
        (void)cJSON_AddItemToArray(items, cJSON_DetachItemFromArray(write ? writes : events, 0)); /* as above */
    }
    cJSON_Delete(writes);
    cJSON_Delete(events);
}

static void add_runs(struct gather *g, cJSON *items)
{
    if (items == NULL || cfg_call_query(g->call, "author") || cfg_call_query(g->call, "object"))
        return;
    cJSON *events = cfg_past_runs(&g->runs, g->since_us, g->until_us, g->limit + 1);
    if (events)
        merge_by_time(items, events);
    g->incomplete |= events == NULL || g->runs.partial;
}

static void answer_log(struct gather *g)
{
    struct cfg_error err;
    struct cfg_object **list = NULL;
    char text[CFG_RFC3339_TEXT];
    size_t n = 0;
    int rc = cfg_timeline_window(&list, &n, &g->versions, g->since_us, &err);
    enum cfg_timeline_why *why = rc == 0 ? calloc(n + 1, sizeof *why) : NULL;
    struct cfg_timeline_walk *walk = why ? cfg_timeline_walk_new(g->deployment.ns, was, g) : NULL;
    cJSON *body = walk ? cJSON_CreateObject() : NULL, *items = cJSON_AddArrayToObject(body, "items");
    for (size_t i = 0; items && i < n; i++)
        why[i] = cfg_timeline_walk_next(walk, list[i]);
    size_t i = n;
    while (items && i > 0 && (unsigned)cJSON_GetArraySize(items) <= g->limit) {
        i--;
        cJSON *item = why[i] != CFG_WHY_NONE ? log_item(g, list[i], why[i]) : NULL;
        (void)cJSON_AddItemToArray(items, item); /* refuses NULL */
    }
    add_runs(g, items);
    bool more = (unsigned)cJSON_GetArraySize(items) > g->limit;
    while ((unsigned)cJSON_GetArraySize(items) > g->limit)
        cJSON_DeleteItemFromArray(items, (int)g->limit);
    (void)cJSON_AddStringToObject(body, "deployment", g->deployment.ns);
    (void)cJSON_AddStringToObject(body, "since", cfg_rfc3339_print(text, g->since_us));
    (void)cJSON_AddBoolToObject(body, "more", more);
    (void)cJSON_AddBoolToObject(body, "incomplete", g->incomplete);
    cfg_timeline_walk_free(walk);
    free(why);
    free(list);
    cfg_api_reply(g->call, 200, items ? body : NULL);
}

static void on_runs(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct gather *g = arg;
    int rc = 0;
    for (size_t i = 0; err == NULL && rc == 0 && i < reply->n; i++)
        rc = fleet_past_take(&g->runs, reply->kvs[i].value, NULL, NULL);
    g->incomplete |= err != NULL || rc != 0 || (reply && reply->more);
    if (err && err->code == CFG_E_CANCELED) {
        end(g, err);
        return;
    }
    answer_log(g);
    end(g, NULL);
}

/* Batches of adoptions lie under the time at which they were written. */
static void reply_log(struct gather *g)
{
    struct cfg_buf key, last;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&last, 4096);
    cfg_buf_printf(&last, "%sruns/%s/", g->app->settings->prefix, g->deployment.ns);
    cfg_buf_printf(&key, "%s%013lld", last.data ? last.data : "", (long long)(g->since_us / 1000));
    cfg_buf_putc(&last, ':'); /* behind every digit */
    const struct cfg_etcd_range_req r = {
        .key = cfg_buf_slice(&key), .range_end = cfg_buf_slice(&last), .limit = MAX_BATCHES};
    cfg_etcd_range(g->app->etcd, &r, 0, on_runs, g);
    cfg_buf_finish(&key);
    cfg_buf_finish(&last);
}

void cfg_api_deployment_log(struct cfg_app *app, struct cfg_call *c)
{
    static const int64_t hour_us = INT64_C(3600000000);
    struct cfg_error err;
    uint64_t limit = 0;
    int64_t since, until;
    if (!cfg_api_at(app, c))
        return;
    int64_t now = now_us(app);
    int rc = cfg_api_number(&limit, c, "limit", LIMIT_DEFAULT, &err);
    if (rc == 0 && (limit == 0 || limit > LIMIT_MAX))
        rc = cfg_fail(&err, CFG_E_INVALID, "limit must be between 1 and %d", LIMIT_MAX);
    rc = rc ? rc : read_time(&since, c, "since", now - 24 * hour_us, &err);
    rc = rc ? rc : read_time(&until, c, "until", INT64_MAX, &err);
    struct gather *g = rc == 0 ? begin(app, c, &err) : NULL;
    if (g == NULL) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    g->since_us = since;
    g->until_us = until;
    g->limit = (unsigned)limit;
    g->reply = reply_log;
    go(g);
}

/* --- what it was made of --- */

/* {"object","then","now"}: versions, 0 for what was not there; nothing where both are the same. */
static bool add_object(cJSON *list, const struct cfg_object *then, const struct cfg_object *now, unsigned *unchanged)
{
    bool was_there = then && !then->deleted, is_there = now && !now->deleted;
    char text[CFG_OBJECT_ID_TEXT];
    if (was_there == is_there &&
        (!was_there || then->version == now->version || strcmp(then->digest, now->digest) == 0)) {
        *unchanged += was_there;
        return true;
    }
    cJSON *o = cJSON_CreateObject();
    (void)cfg_object_id_text(now ? &now->id : &then->id, text);
    if (o && cJSON_AddStringToObject(o, "object", text) &&
        cJSON_AddNumberToObject(o, "then", was_there ? (double)then->version : 0) &&
        cJSON_AddNumberToObject(o, "now", now ? (double)now->version : 0) &&
        cJSON_AddBoolToObject(o, "deleted", !is_there) && cJSON_AddItemToArray(list, o))
        return true;
    cJSON_Delete(o);
    return false;
}

struct flags_then {
    struct gather *g;
    cJSON *list;
    unsigned unchanged;
    bool ok;
};

static bool add_flag(struct cfg_object *head, void *arg)
{
    struct flags_then *f = arg;
    if (head->id.kind != CFG_KIND_FLIP) /* that follows from the flags */
        f->ok = add_object(f->list, was(f->g, &head->id), head, &f->unchanged);
    return f->ok;
}

/* The namespaces as they were, by the release that was held, or else by their heads then. */
static bool add_spaces(struct gather *g, const cJSON *state, cJSON *release, struct flags_then *f)
{
    const cJSON *held = cfg_json_get(state, "held"), *space;
    bool ok = true, holds = cJSON_IsObject(held);
    const cJSON *spaces = holds ? held : cfg_json_get(state, "spaces");
    cJSON_ArrayForEach(space, spaces)
    {
        const char *ns = holds ? space->string : space->valuestring;
        const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
        const struct cfg_object *then = holds ? NULL : was(g, &id), *now = cfg_store_get(g->app->store, &id);
        ok = ok && cJSON_AddNumberToObject(release, ns, holds ? space->valuedouble : then ? (double)then->version : 0);
        if (!holds)
            ok = ok && add_object(f->list, then, now, &f->unchanged);
    }
    return ok;
}

static cJSON *describe_past(struct gather *g, cJSON *state)
{
    char text[CFG_RFC3339_TEXT];
    const struct cfg_object *then = was(g, &g->deployment), *now = cfg_store_get(g->app->store, &g->deployment);
    cJSON *release = cJSON_AddObjectToObject(state, "release"), *list = cJSON_AddArrayToObject(state, "objects");
    struct flags_then f = {g, list, 0, release && list};
    const cJSON *ns;
    f.ok = f.ok && add_spaces(g, state, release, &f);
    cJSON_ArrayForEach(ns, cfg_json_get(state, "flags"))
    {
        if (f.ok)
            cfg_store_each_of_flags(g->app->store, ns->valuestring, add_flag, &f);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(state, "spaces");
    f.ok = f.ok && cJSON_AddStringToObject(state, "deployment", g->deployment.ns) &&
           cJSON_AddStringToObject(state, "at", cfg_rfc3339_print(text, g->since_us - 1)) &&
           cJSON_AddNumberToObject(state, "then", (double)then->version) &&
           cJSON_AddNumberToObject(state, "now", (double)now->version) &&
           cJSON_AddNumberToObject(state, "unchanged", f.unchanged);
    if (f.ok)
        return state;
    cJSON_Delete(state);
    return NULL;
}

static void reply_past(struct gather *g)
{
    struct cfg_error err;
    char text[CFG_RFC3339_TEXT], what[CFG_OBJECT_ID_TEXT];
    struct cfg_timeline_walk *walk = cfg_timeline_walk_new(g->deployment.ns, was, g);
    const struct cfg_object *then = was(g, &g->deployment);
    cJSON *state = walk ? cfg_timeline_walk_state(walk) : NULL, *body = state ? describe_past(g, state) : NULL;
    cfg_timeline_walk_free(walk);
    (void)cfg_rfc3339_print(text, g->since_us - 1);
    if (g->incomplete) {
        (void)cfg_object_id_text(&g->gone[0], what);
        (void)cfg_fail(&err, CFG_E_COMPACTED, "what %s was at %s is no longer in history", what, text);
        cfg_error_set_hint(&err, "versions are kept by --history-versions and --history-days of configd");
        cJSON_Delete(body);
        cfg_call_fail(g->call, &err, NULL);
    } else if (then == NULL || then->deleted) {
        (void)cfg_fail(&err, CFG_E_NOT_FOUND, "there was no deployment %s at %s", g->deployment.ns, text);
        cJSON_Delete(body);
        cfg_call_fail(g->call, &err, NULL);
    } else {
        cfg_api_reply(g->call, 200, body);
    }
    end(g, NULL);
}

void cfg_api_past(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    int64_t at = 0;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_query(c, "at") ? read_time(&at, c, "at", 0, &err)
                                     : cfg_fail(&err, CFG_E_INVALID, "at: which time is meant?");
    if (rc == 0 && at > now_us(app))
        rc = cfg_fail(&err, CFG_E_INVALID, "at: that time has not come yet");
    struct gather *g = rc == 0 ? begin(app, c, &err) : NULL;
    if (g == NULL) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    g->since_us = at + 1; /* what was written at that very moment was there */
    g->reply = reply_past;
    go(g);
}
