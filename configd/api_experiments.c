/* Experiments: starting, looking, stopping. What can only be known here and now, not by the decision, is
 * checked here: whether anybody reports what is to be compared. */
#include "configd/api_experiments.h"

#include "configd/experiments.h"
#include "configd/fleet_observe.h"
#include "configd/fleet_peers.h"
#include "configd/http_auth.h"

#include <stdio.h>
#include <string.h>

enum { NAMES = 64 };

/* --- what a request is about --- */

int experiments_check_rights(struct cfg_app *app, const struct cfg_call *c, const cJSON *about, struct cfg_error *err)
{
    char config[CFG_LIMIT_NAME + 1], ns[CFG_LIMIT_NAME + 1];
    const char *deployment = cfg_json_get_str(about, "deployment", ""), *flag = cfg_json_get_str(about, "flag", "");
    const struct cfg_principal *p = cfg_call_principal(c);
    int rc = cfg_check_name("deployment", cfg_slice_str(deployment), err);
    rc = rc ? rc
            : cfg_principal_check_deployment(p, deployment, cfg_api_deployment_config(app, deployment, config), err);
    const char *slash = strchr(flag, '/');
    if (rc != 0 || slash == NULL || (size_t)(slash - flag) >= sizeof ns)
        return rc; /* an address that is none is refused for that */
    (void)snprintf(ns, sizeof ns, "%.*s", (int)(slash - flag), flag);
    return cfg_principal_check_namespace(p, ns, err);
}

static int read_name(struct cfg_object_id *out, const char *name, struct cfg_error *err)
{
    int rc = cfg_check_name("experiment", cfg_slice_str(name), err);
    *out = cfg_object_id_of(CFG_KIND_EXPERIMENT, rc == 0 ? name : "", NULL);
    return rc;
}

/* The experiment of the route: its head, borrowed, and its record, returned-owned. */
static int find(struct cfg_object **out, cJSON **record, struct cfg_app *app, const struct cfg_call *c,
                struct cfg_error *err)
{
    struct cfg_object_id id;
    int rc = read_name(&id, cfg_call_param(c, "e"), err);
    struct cfg_object *o = rc == 0 ? cfg_store_get(app->store, &id) : NULL;
    if (rc == 0 && (o == NULL || o->deleted)) {
        rc = cfg_fail(err, CFG_E_NOT_FOUND, "there is no experiment %s", id.ns);
        cfg_error_set_hint(err, "cfgctl experiment list shows those there are");
    }
    cJSON *tree = rc == 0 ? cfg_object_body(o) : NULL;
    if (rc == 0 && tree == NULL)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    rc = rc ? rc : experiments_check_rights(app, c, tree, err);
    if (rc != 0) {
        cJSON_Delete(tree);
        return rc;
    }
    *out = o;
    *record = tree;
    return 0;
}

/* --- before a start --- */

static bool is_listed(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* What nobody reports would never have a verdict. Workers of other replicas may report it: then it is not refused. */
static int check_metrics(struct cfg_app *app, const cJSON *request, char *warning, size_t size, struct cfg_error *err)
{
    const char *deployment = cfg_json_get_str(request, "deployment", ""), *names[NAMES];
    bool of_flag = cfg_json_get(request, "flag") != NULL;
    size_t n = of_flag ? cfg_experiments_metrics(app->experiments, deployment, names, NAMES)
                       : cfg_fleet_metrics(app->fleet, deployment, names, NAMES);
    bool elsewhere = cfg_fleet_connected(app->fleet, deployment) > cfg_fleet_connected_here(app->fleet, deployment);
    const cJSON *m;
    cJSON_ArrayForEach(m, cfg_json_get(request, "metrics"))
    {
        const char *name = cfg_json_get_str(m, "name", "");
        if (is_listed(name, names, n))
            continue;
        if (n > 0 && !elsewhere) {
            const char *near = cfg_near_miss(name, names, n);
            (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "no worker of deployment %s has told %s of %s lately", deployment,
                           name, of_flag ? "its requests" : "its steps");
            cfg_error_set_path(err, "metrics");
            cfg_error_set_hint(err, near ? "did you mean %s? (--force starts anyway)" : "they tell %s, …",
                               near ? near : names[0]);
            return CFG_E_UNKNOWN_KEY;
        }
        (void)snprintf(warning, size, "no worker has told %.64s of %s yet", name,
                       of_flag ? "requests (cfg_overlay_metric, cfg_flag_metric)" : "its steps");
    }
    if (cfg_fleet_connected(app->fleet, deployment) == 0)
        (void)snprintf(warning, size, "no worker of deployment %.63s is connected: nothing is measured yet",
                       deployment);
    return 0;
}

void cfg_api_start_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_CREATE};
    char warning[200] = "";
    bool force = false;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_json(c, &e.body, &err);
    rc = rc ? rc : read_name(&e.id, cfg_json_get_str(e.body, "name", ""), &err);
    rc = rc ? rc : experiments_check_rights(app, c, e.body, &err);
    rc = rc ? rc : cfg_api_flag(&force, c, "force", &err);
    if (rc == 0 && !force)
        rc = check_metrics(app, e.body, warning, sizeof warning, &err);
    if (rc == 0 && cfg_json_set(e.body, "hint", cJSON_CreateString(warning)) != 0)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    if (rc == 0) {
        cfg_api_submit_entry(app, c, &e);
        return;
    }
    cJSON_Delete(e.body);
    cfg_call_fail(c, &err, NULL);
}

/* --- looking --- */

static bool sees_experiment(struct cfg_app *app, const struct cfg_call *c, const struct cfg_object *o)
{
    cJSON *record = cfg_object_body(o);
    bool sees = record && experiments_check_rights(app, c, record, NULL) == 0;
    cJSON_Delete(record);
    return sees;
}

void cfg_api_list_experiments(struct cfg_app *app, struct cfg_call *c)
{
    cfg_api_list(app, c, CFG_KIND_EXPERIMENT, sees_experiment);
}

void cfg_api_get_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object *o;
    cJSON *record = NULL;
    if (!cfg_api_at(app, c))
        return;
    if (find(&o, &record, app, c, &err) != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cJSON_Delete(record);
    cfg_api_reply(c, 200, cfg_api_object(app, o, false));
}

/* --- what other replicas know --- */

/* {"parts":[what each told],"silent":[{"replica","why"}]} */
static cJSON *gather(struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers, size_t n)
{
    cJSON *out = cJSON_CreateObject(), *parts = cJSON_AddArrayToObject(out, "parts"),
          *silent = cJSON_AddArrayToObject(out, "silent");
    bool ok = parts && silent;
    (void)f, (void)deployment;
    for (size_t i = 0; ok && i < n; i++) {
        cJSON *item = answers[i].body ? cJSON_Duplicate(answers[i].body, true) : cJSON_CreateObject();
        ok = item && cJSON_AddItemToArray(answers[i].body ? parts : silent, item);
        if (!ok)
            cJSON_Delete(item);
        else if (answers[i].body == NULL)
            ok = cJSON_AddStringToObject(item, "replica", answers[i].replica) &&
                 cJSON_AddStringToObject(item, "why", answers[i].why);
    }
    if (ok)
        return out;
    cJSON_Delete(out);
    return NULL;
}

void experiments_ask_others(struct cfg_app *app, struct cfg_call *c, const char *deployment, cfg_peers_fn fn)
{
    static const struct cfg_peers_question question = {"outcomes", gather};
    cfg_peers_ask(app->peers, &question, deployment, cfg_call_header(c, "Authorization"), fn, c);
}

cJSON *experiments_told(struct cfg_slice json)
{
    cJSON *told = NULL;
    return json.len > 0 && cfg_json_parse(&told, json, 0, NULL) == 0 ? told : NULL;
}

void cfg_api_outcomes(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    bool local = false;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, &err);
    rc = rc ? rc : cfg_api_flag(&local, c, "local", &err);
    rc = rc ? rc : cfg_api_head(&o, app, &id, &err);
    if (rc == 0 && !local)
        rc = cfg_fail(&err, CFG_E_INVALID,
                      "one replica's part alone is told (?local=true); experiments' reports "
                      "put parts together");
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_api_reply(c, 200, cfg_experiments_part(app->experiments, id.ns));
}

/* --- reports --- */

static void on_report(void *arg, cJSON *report, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        cfg_api_reply(arg, 200, report);
}

static void on_told_for_report(void *arg, struct cfg_slice json)
{
    struct cfg_call *c = arg;
    cfg_experiments_report(cfg_call_app(c)->experiments, cfg_call_param(c, "e"), experiments_told(json), on_report, c);
}

/* Of one that has ended: what it ended with. */
static void reply_result(struct cfg_call *c, const cJSON *record)
{
    struct cfg_error err;
    const cJSON *result = cfg_json_get(record, "result");
    cJSON *body = result ? cJSON_Duplicate(result, true) : NULL;
    if (result == NULL) {
        (void)cfg_fail(&err, CFG_E_NOT_FOUND, "the experiment was stopped without a result");
        cfg_call_fail(c, &err, NULL);
        return;
    }
    bool ok = body && cfg_json_set(body, "state", cJSON_CreateString("stopped")) == 0 &&
              cfg_json_set(body, "stopped", cJSON_CreateString(cfg_json_get_str(record, "stopped", ""))) == 0;
    if (!ok) {
        cJSON_Delete(body);
        body = NULL;
    }
    cfg_api_reply(c, 200, body);
}

void cfg_api_experiment_report(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object *o;
    cJSON *record = NULL;
    if (!cfg_api_at(app, c))
        return;
    if (find(&o, &record, app, c, &err) != 0)
        cfg_call_fail(c, &err, NULL);
    else if (strcmp(cfg_json_get_str(record, "state", ""), "running") == 0)
        experiments_ask_others(app, c, cfg_json_get_str(record, "deployment", ""), on_told_for_report);
    else
        reply_result(c, record);
    cJSON_Delete(record);
}

/* --- stopping --- */

static int check_stop(const cJSON *body, struct cfg_error *err)
{
    const cJSON *why = cfg_json_get(body, "why");
    if (!cJSON_IsObject(body) || (body->child && body->child->next) || (body->child && why == NULL))
        return cfg_fail(err, CFG_E_INVALID, "an object is needed: {\"why\": \"…\"}, or {}");
    return why == NULL || cJSON_IsString(why) ? 0 : cfg_fail(err, CFG_E_INVALID, "why must be a text");
}

/* result is consumed; NULL: none. */
static void submit_stop(struct cfg_app *app, struct cfg_call *c, cJSON *result)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_MERGE_PATCH};
    int rc = read_name(&e.id, cfg_call_param(c, "e"), &err);
    rc = rc ? rc : cfg_call_json(c, &e.body, &err);
    if (rc == 0 && result && cfg_json_set(e.body, "result", result) != 0)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    else if (rc != 0)
        cJSON_Delete(result);
    if (rc == 0) {
        cfg_api_submit_entry(app, c, &e);
        return;
    }
    cJSON_Delete(e.body);
    cfg_call_fail(c, &err, NULL);
}

static void on_last_report(void *arg, cJSON *report, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    bool force = false;
    if (err && cfg_api_flag(&force, c, "force", NULL) == 0 && !force)
        cfg_call_fail(c, err, NULL);
    else
        submit_stop(cfg_call_app(c), c, report);
}

static void on_told_for_stop(void *arg, struct cfg_slice json)
{
    struct cfg_call *c = arg;
    cfg_experiments_report(cfg_call_app(c)->experiments, cfg_call_param(c, "e"), experiments_told(json), on_last_report,
                           c);
}

void cfg_api_stop_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object *o;
    cJSON *record = NULL, *body = NULL;
    bool force;
    if (!cfg_api_at(app, c))
        return;
    int rc = find(&o, &record, app, c, &err);
    rc = rc ? rc : cfg_call_json(c, &body, &err);
    rc = rc ? rc : check_stop(body, &err);
    rc = rc ? rc : cfg_api_flag(&force, c, "force", &err);
    if (rc == 0 && strcmp(cfg_json_get_str(record, "state", ""), "running") != 0)
        rc = cfg_fail(&err, CFG_E_CONFLICT, "experiment %s has ended already", o->id.ns);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        experiments_ask_others(app, c, cfg_json_get_str(record, "deployment", ""), on_told_for_stop);
    cJSON_Delete(body);
    cJSON_Delete(record);
}
