/* What a deployment was made of at a time, beside what it is now. */
#include "configd/api_past_internal.h"

#include "proto/rfc3339.h"

#include <string.h>

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
    struct past *g;
    cJSON *list;
    unsigned unchanged;
    bool ok;
};

static bool add_flag(struct cfg_object *head, void *arg)
{
    struct flags_then *f = arg;
    if (head->id.kind != CFG_KIND_FLIP) /* that follows from the flags */
        f->ok = add_object(f->list, past_was(f->g, &head->id), head, &f->unchanged);
    return f->ok;
}

/* The namespaces as they were, by the release that was held, or else by their heads then. */
static bool add_spaces(struct past *g, const cJSON *state, cJSON *release, struct flags_then *f)
{
    const cJSON *held = cfg_json_get(state, "held"), *space;
    bool ok = true, holds = cJSON_IsObject(held);
    const cJSON *spaces = holds ? held : cfg_json_get(state, "spaces");
    cJSON_ArrayForEach(space, spaces)
    {
        const char *ns = holds ? space->string : space->valuestring;
        const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
        const struct cfg_object *then = holds ? NULL : past_was(g, &id), *now = cfg_store_get(g->app->store, &id);
        ok = ok && cJSON_AddNumberToObject(release, ns, holds ? space->valuedouble : then ? (double)then->version : 0);
        if (!holds)
            ok = ok && add_object(f->list, then, now, &f->unchanged);
    }
    return ok;
}

static cJSON *describe_past(struct past *g, cJSON *state)
{
    char text[CFG_RFC3339_TEXT];
    const struct cfg_object *then = past_was(g, &g->deployment), *now = cfg_store_get(g->app->store, &g->deployment);
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

static void reply_past(struct past *g)
{
    struct cfg_error err;
    char text[CFG_RFC3339_TEXT], what[CFG_OBJECT_ID_TEXT];
    struct cfg_timeline_walk *walk = cfg_timeline_walk_new(g->deployment.ns, past_was, g);
    const struct cfg_object *then = past_was(g, &g->deployment);
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
    past_end(g, NULL);
}

void cfg_api_past(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    int64_t at = 0;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_query(c, "at") ? past_read_time(&at, c, "at", 0, &err)
                                     : cfg_fail(&err, CFG_E_INVALID, "at: which time is meant?");
    if (rc == 0 && at > past_now_us(app))
        rc = cfg_fail(&err, CFG_E_INVALID, "at: that time has not come yet");
    struct past *g = rc == 0 ? past_begin(app, c, &err) : NULL;
    if (g == NULL) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    g->since_us = at + 1; /* what was written at that very moment was there */
    g->reply = reply_past;
    past_go(g);
}
