/* Rollouts: starting, moving on, reading. What is checked before a start is in api_rollouts_start.c. */
#include "configd/api.h"

#include "configd/hub_compose.h"
#include "configd/rollouts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 200 };

/* --- writes --- */

bool cfg_api_keep_reason(const struct cfg_call *c, cJSON *body)
{
    return cfg_json_get(body, "why") || cfg_call_query(c, "message") || cJSON_AddStringToObject(body, "why", "");
}

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
    if (rc == 0 && cfg_api_asks_of_rollout(app, c, &e)) {
        cJSON_Delete(e.body);
        cfg_api_ask_of_rollout(app, c, e.id.ns);
        return;
    }
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
    bool silent = cfg_call_body(c).len == 0; /* who has nothing to say need not say {} */
    if (rc == 0 && silent && (e.body = cJSON_CreateObject()) == NULL)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    if (rc == 0 && !silent)
        rc = cfg_call_json(c, &e.body, &err);
    if (rc == 0 && !cJSON_IsObject(e.body))
        rc = cfg_fail(&err, CFG_E_INVALID, "an object is needed: {\"why\": \"…\"}, or {}");
    for (const cJSON *m = rc == 0 ? e.body->child : NULL; m && rc == 0; m = m->next)
        if (strcmp(m->string, "why") != 0)
            rc = cfg_fail(&err, CFG_E_INVALID, "%.40s is none of its members: why", m->string);
    if (rc == 0 && !(cfg_api_keep_reason(c, e.body) && cJSON_AddStringToObject(e.body, "input", input)))
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
