/* Everything that concerned a deployment, newest first: who wrote what, and what workers did in between. */
#include "configd/api_past_internal.h"

#include "configd/http_auth.h"
#include "configd/past_runs.h"
#include "configd/settings.h"
#include "configd/story.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LIMIT_DEFAULT = 200,
    LIMIT_MAX = 1000,
    MAX_CHANGES = 20,  /* shown of one version */
    MAX_BATCHES = 500, /* of adoptions */
    MAX_WHAT = 8192,   /* bytes */
};

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

static bool wanted(const struct past *g, const struct cfg_object *o, const cJSON *item)
{
    return cfg_timeline_time(o) <= g->until_us && is_object(o, cfg_call_query(g->call, "object")) &&
           has(cfg_json_get_str(item, "author", ""), cfg_call_query(g->call, "author")) &&
           cfg_principal_sees(cfg_call_principal(g->call), cfg_json_get_str(item, "namespace", ""));
}

/* What a rollout's or an experiment's version says, in the place of what changed in it. */
static bool tell(cJSON *item, const struct cfg_object *o)
{
    struct cfg_buf what;
    cfg_buf_init(&what, MAX_WHAT);
    bool told =
        cfg_story_tell(&what, o) && cfg_buf_status(&what) == 0 && cJSON_AddStringToObject(item, "what", what.data);
    cfg_buf_finish(&what);
    return told;
}

/* "by": the version of the rollout that wrote this version of the deployment. */
static void name_rollout(cJSON *item, const struct past *g, const struct cfg_object *o)
{
    char text[CFG_OBJECT_ID_TEXT + 24];
    const struct cfg_object *r = cfg_timeline_written(&g->versions, o->mod_revision, CFG_KIND_ROLLOUT);
    if (o->id.kind != CFG_KIND_DEPLOYMENT || r == NULL || r->id.kind != CFG_KIND_ROLLOUT)
        return;
    (void)snprintf(text, sizeof text, "rollout/%s v%llu", r->id.ns, (unsigned long long)r->version);
    (void)cJSON_AddStringToObject(item, "by", text); /* without memory it is not named */
}

static cJSON *log_item(const struct past *g, struct cfg_object *o, enum cfg_timeline_why why)
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
    bool known = o->version == 1 || before, told = tell(item, o);
    name_rollout(item, g, o);
    cJSON *changes = told    ? cJSON_CreateArray()
                     : known ? cfg_timeline_changes(&more, before, o, MAX_CHANGES)
                             : cJSON_CreateNull();
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

static void add_runs(struct past *g, cJSON *items)
{
    if (items == NULL || cfg_call_query(g->call, "author") || cfg_call_query(g->call, "object"))
        return;
    cJSON *events = cfg_past_runs(&g->runs, &g->versions, g->since_us, g->until_us, g->limit + 1);
    if (events)
        merge_by_time(items, events);
    g->incomplete |= events == NULL || g->runs.partial;
}

static void answer_log(struct past *g)
{
    struct cfg_error err;
    struct cfg_object **list = NULL;
    char text[CFG_RFC3339_TEXT];
    size_t n = 0;
    int rc = cfg_timeline_window(&list, &n, &g->versions, g->since_us, &err);
    enum cfg_timeline_why *why = rc == 0 ? calloc(n + 1, sizeof *why) : NULL;
    struct cfg_timeline_walk *walk = why ? cfg_timeline_walk_new(g->deployment.ns, past_was, g) : NULL;
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
    struct past *g = arg;
    int rc = 0;
    for (size_t i = 0; err == NULL && rc == 0 && i < reply->n; i++)
        rc = fleet_past_take(&g->runs, reply->kvs[i].value, NULL, NULL);
    g->incomplete |= err != NULL || rc != 0 || (reply && reply->more);
    if (err && err->code == CFG_E_CANCELED) {
        past_end(g, err);
        return;
    }
    answer_log(g);
    past_end(g, NULL);
}

/* Batches of adoptions lie under the time at which they were written. */
static void reply_log(struct past *g)
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
    int64_t now = past_now_us(app);
    int rc = cfg_api_number(&limit, c, "limit", LIMIT_DEFAULT, &err);
    if (rc == 0 && (limit == 0 || limit > LIMIT_MAX))
        rc = cfg_fail(&err, CFG_E_INVALID, "limit must be between 1 and %d", LIMIT_MAX);
    rc = rc ? rc : past_read_time(&since, c, "since", now - 24 * hour_us, &err);
    rc = rc ? rc : past_read_time(&until, c, "until", INT64_MAX, &err);
    struct past *g = rc == 0 ? past_begin(app, c, &err) : NULL;
    if (g == NULL) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    g->since_us = since;
    g->until_us = until;
    g->limit = (unsigned)limit;
    g->tells_rollouts = true;
    g->reply = reply_log;
    past_go(g);
}
