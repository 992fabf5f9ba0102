#include "configd/api.h"

#include "configd/flag_space.h"
#include "configd/http_auth.h"
#include "flags/flag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 5000, NEAR_NAMES = 256 };

/* --- headers --- */

void cfg_api_decorate(struct cfg_app *app, struct cfg_call *c)
{
    char rev[CFG_REV_TEXT];
    const char *id = cfg_store_identity(app->store)->store_id;
    if (id[0] == '\0')
        return;
    cfg_call_set_header(c, "Configd-Revision", cfg_rev_format(cfg_store_rev(app->store), rev));
    cfg_call_set_header(c, "Configd-Store", id);
}

const char *cfg_api_rev(const struct cfg_app *app, uint64_t revision, char out[CFG_REV_TEXT])
{
    return cfg_rev_format((struct cfg_rev){cfg_store_identity(app->store)->epoch, revision}, out);
}

/* --- what the replica knows --- */

static bool count_one(struct cfg_object *o, void *arg)
{
    *(size_t *)arg += !o->deleted;
    return true;
}

size_t cfg_api_count(const struct cfg_app *app, enum cfg_kind kind)
{
    size_t n = 0;
    cfg_store_each(app->store, kind, NULL, count_one, &n);
    return n;
}

const char *cfg_api_deployment_config(struct cfg_app *app, const char *deployment, char buf[CFG_LIMIT_NAME + 1])
{
    struct cfg_object *o = cfg_store_find(app->store, CFG_KIND_DEPLOYMENT, deployment, "");
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    const char *config = cfg_json_get_str(tree, "config", o && o->deleted ? "" : NULL);
    bool fits = config && strlen(config) <= CFG_LIMIT_NAME;
    if (fits)
        memcpy(buf, config, strlen(config) + 1);
    cJSON_Delete(tree);
    return fits ? buf : NULL;
}

static void on_caught_up(void *arg, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        cfg_call_again(arg);
}

static int not_ready(struct cfg_app *app, struct cfg_error *err)
{
    const struct cfg_error *why = NULL;
    enum cfg_replica_state state = cfg_store_state(app->store, &why);
    (void)cfg_fail(err, CFG_E_NOT_READY, "the replica is not complete yet (%s)%s%s", cfg_replica_state_name(state),
                   why && why->text[0] ? ": " : "", why ? why->text : "");
    cfg_error_set_hint(err, "%s", why && why->hint[0] ? why->hint : "try again; GET /readyz tells when it is");
    return CFG_E_NOT_READY;
}

bool cfg_api_at(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_rev min;
    const char *text = cfg_call_query(c, "min_revision");
    int rc = 0;
    if (text && cfg_rev_parse(&min, cfg_slice_str(text), NULL) != 0)
        rc = cfg_fail(&err, CFG_E_INVALID, "min_revision: \"%.60s\" is no revision; one looks like 1-42", text);
    else if (!cfg_store_ready(app->store))
        rc = not_ready(app, &err);
    if (rc != 0) {
        cfg_call_fail(c, &err, NULL);
        return false;
    }
    if (text == NULL || cfg_rev_cmp(cfg_store_seen(app->store), min) >= 0)
        return true;
    /* A token from beyond the store means that the store went back, and raises the epoch: a write, which neither
     * readers may cause nor links on web pages nor tokens of another store. So it must come with its store's name, in
     * a header that pages cannot send. */
    enum cfg_role role = cfg_call_principal(c)->role;
    const char *store = cfg_call_header(c, "Configd-Store");
    if ((role == CFG_ROLE_WORKER || role >= CFG_ROLE_WRITER) && store &&
        strcmp(store, cfg_store_identity(app->store)->store_id) == 0)
        cfg_replica_check_token(app->replica, min);
    cfg_store_wait(app->store, app->loop, min, WAIT_MS, on_caught_up, c);
    return false;
}

/* --- what a request names --- */

enum cfg_kind cfg_api_kind(const struct cfg_call *c)
{
    static const struct {
        const char *root;
        enum cfg_kind kind;
    } kinds[] = {{"/v1/config/", CFG_KIND_CONFIG},          {"/v1/flags/", CFG_KIND_FLAG},
                 {"/v1/evaluators/", CFG_KIND_EVALUATORS},  {"/v1/schemas/", CFG_KIND_SCHEMA},
                 {"/v1/deployments/", CFG_KIND_DEPLOYMENT}, {"/v1/rollouts/", CFG_KIND_ROLLOUT}};
    const char *pattern = cfg_call_route(c)->pattern;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(pattern, kinds[i].root, strlen(kinds[i].root)) == 0)
            return kinds[i].kind;
    return CFG_KIND_OTHER;
}

int cfg_api_id(struct cfg_object_id *out, enum cfg_kind kind, const struct cfg_call *c, struct cfg_error *err)
{
    struct cfg_object_id id = {.kind = kind};
    bool deployment = cfg_kind_is_of_deployment(kind);
    const char *ns = cfg_call_param(c, deployment ? "d" : "ns"), *name = cfg_call_param(c, "name");
    int rc = cfg_check_name(deployment ? "deployment" : "namespace", cfg_slice_str(ns), err);
    if (rc == 0 && kind == CFG_KIND_FLAG)
        rc = cfg_check_flag_name(cfg_slice_str(name), err);
    if (rc != 0)
        return rc;
    (void)snprintf(id.ns, sizeof id.ns, "%s", ns); /* both were just measured */
    if (kind == CFG_KIND_FLAG)
        (void)snprintf(id.name, sizeof id.name, "%s", name);
    *out = id;
    return 0;
}

int cfg_api_number(uint64_t *out, const struct cfg_call *c, const char *name, uint64_t fallback, struct cfg_error *err)
{
    const char *text = cfg_call_query(c, name);
    if (text == NULL) {
        *out = fallback;
        return 0;
    }
    if (text[0] == '\0' || strlen(text) > 15 || strspn(text, "0123456789") != strlen(text))
        return cfg_fail(err, CFG_E_INVALID, "%s: \"%.60s\" is no number", name, text);
    *out = strtoull(text, NULL, 10);
    return 0;
}

int cfg_api_flag(bool *out, const struct cfg_call *c, const char *name, struct cfg_error *err)
{
    const char *text = cfg_call_query(c, name);
    if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return cfg_fail(err, CFG_E_INVALID, "%s: \"%.60s\" is neither true nor false", name, text);
    *out = text && strcmp(text, "true") == 0;
    return 0;
}

struct names {
    const char *list[NEAR_NAMES];
    size_t n;
};

static bool collect(struct cfg_object *o, void *arg)
{
    struct names *names = arg;
    if (!o->deleted)
        names->list[names->n++] = o->id.kind == CFG_KIND_FLAG ? o->id.name : o->id.ns;
    return names->n < NEAR_NAMES;
}

static int deleted(const struct cfg_object *o, const char *what, struct cfg_error *err)
{
    cJSON *tree = cfg_object_tree(o);
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "%s was deleted at version %llu by %s", what, (unsigned long long)o->version,
                   cfg_json_get_str(tree, "author", "somebody"));
    if (o->id.kind == CFG_KIND_CONFIG || o->id.kind == CFG_KIND_FLAG)
        cfg_error_set_hint(err, "bring it back with cfgctl rollback %s%s%s --to %llu", o->id.ns,
                           o->id.name[0] ? "/" : "", o->id.name, (unsigned long long)o->parent);
    cJSON_Delete(tree);
    return CFG_E_NOT_FOUND;
}

int cfg_api_head(struct cfg_object **out, struct cfg_app *app, const struct cfg_object_id *id, struct cfg_error *err)
{
    struct cfg_object *o = cfg_store_get(app->store, id);
    if (o && !o->deleted) {
        *out = o;
        return 0;
    }
    char what[CFG_OBJECT_ID_TEXT];
    (void)cfg_object_id_text(id, what);
    if (o)
        return deleted(o, what, err);
    struct names names = {.n = 0};
    bool flag = id->kind == CFG_KIND_FLAG;
    cfg_store_each(app->store, id->kind, flag ? id->ns : NULL, collect, &names);
    const char *near = cfg_near_miss(flag ? id->name : id->ns, names.list, names.n);
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "there is no %s", what);
    if (near)
        cfg_error_set_hint(err, "did you mean %s%s%s?", flag ? id->ns : "", flag ? "/" : "", near);
    return CFG_E_NOT_FOUND;
}

/* --- what a reply shows --- */

void cfg_api_reply(struct cfg_call *c, int status, cJSON *body)
{
    struct cfg_error err;
    if (body) {
        cfg_call_reply(c, status, body);
        return;
    }
    (void)cfg_fail(&err, CFG_E_NOMEM, "no memory for the reply");
    cfg_call_fail(c, &err, NULL);
}

int64_t cfg_api_now_s(const struct cfg_app *app)
{
    return (int64_t)(app->clock->wall_ns(app->clock->arg) / 1000000000u);
}

static cJSON *value_of(const struct cfg_app *app, const struct cfg_flag_program *p)
{
    const struct cfg_flag_context nobody = {.timestamp = cfg_api_now_s(app)};
    struct cfg_flag_result r = cfg_flag_eval_with(p, cfg_flag_type_of(p), &nobody);
    return r.value ? cJSON_Duplicate(r.value, true) : cJSON_CreateNull();
}

/* A head answers as everywhere, with its prerequisites; an old version alone. */
static cJSON *flag_value(const struct cfg_app *app, const struct cfg_object *o, const cJSON *envelope)
{
    const struct cfg_flag_space *space = cfg_flag_spaces_get(app->flags, o->id.ns);
    const struct cfg_flag_entry *e = cfg_flag_space_find(space, o->id.name, strlen(o->id.name));
    if (e && e->object == o)
        return e->program ? value_of(app, e->program) : cJSON_CreateNull();
    struct cfg_flag_program *p = NULL;
    const struct cfg_object *shared = cfg_store_find(app->store, CFG_KIND_EVALUATORS, o->id.ns, NULL);
    cJSON *body = o->facts && o->facts->n_refs > 0 && shared && !shared->deleted ? cfg_object_body(shared) : NULL;
    int rc = cfg_flag_compile_named(&p, o->id.name, envelope, cfg_json_get(body, "evaluators"), NULL);
    cJSON_Delete(body);
    if (rc != 0)
        return cJSON_CreateNull();
    cJSON *value = value_of(app, p);
    cfg_flag_free(p);
    return value;
}

static void move_members(cJSON *to, cJSON *from, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n && names[i]; i++) {
        cJSON *member = cJSON_DetachItemFromObjectCaseSensitive(from, names[i]);
        if (member)
            (void)cJSON_AddItemToObject(to, names[i],
                                        member); /* fails without memory alone: shows as a missing member */
    }
}

static void add_envelope(struct cfg_app *app, cJSON *out, cJSON *tree, const struct cfg_object *o)
{
    static const char *const strings[] = {"author", "message", "time"};
    char rev[CFG_REV_TEXT];
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        (void)cJSON_AddStringToObject(out, strings[i], cfg_json_get_str(tree, strings[i], ""));
    (void)cJSON_AddNumberToObject(out, "parent", (double)o->parent);
    (void)cJSON_AddStringToObject(out, "revision", cfg_api_rev(app, o->mod_revision, rev));
    (void)cJSON_AddBoolToObject(out, "deleted", o->deleted);
}

/* What an arm that follows the heads runs now is part of the answer, though not of the record. */
static void add_releases(struct cfg_app *app, cJSON *out, const struct cfg_topic *topic)
{
    cJSON *arm;
    cJSON_ArrayForEach(arm, cfg_json_get(out, "arms"))
    {
        const char *config = cfg_json_get_str(out, "config", "");
        struct cfg_object *head = cfg_store_find(app->store, CFG_KIND_CONFIG, config, "");
        if (cfg_json_get(arm, "release"))
            continue;
        cJSON *release = topic ? cfg_release_json(cfg_topic_versions(topic)) : cJSON_CreateObject();
        if (topic == NULL && cfg_json_get(arm, "locked") == NULL && head && !head->deleted)
            (void)cJSON_AddNumberToObject(release, config, (double)head->version);
        (void)cJSON_AddItemToObject(arm, "release", release); /* without memory it is missing */
    }
}

/* A deployment's newest view, when it has one in memory. */
static void add_view(struct cfg_app *app, cJSON *out, const struct cfg_object *o)
{
    struct cfg_topic *topic = NULL;
    char rev[CFG_REV_TEXT];
    cJSON *view = NULL;
    if (!o->deleted && cfg_hub_topic(&topic, app->hub, o->id.ns, "base", NULL) != 0)
        topic = NULL;
    if (topic && (view = cJSON_CreateObject()) != NULL) {
        (void)cJSON_AddStringToObject(view, "revision", cfg_rev_format(cfg_topic_rev(topic), rev));
        (void)cJSON_AddStringToObject(view, "digest", cfg_topic_digest(topic));
    }
    add_releases(app, out, topic);
    (void)cJSON_AddItemToObject(out, "view", view ? view : cJSON_CreateNull());
    (void)cJSON_AddNumberToObject(out, "workers", (double)cfg_fleet_connected(app->fleet, o->id.ns));
}

static const char *content_of(enum cfg_kind kind)
{
    switch (kind) {
    case CFG_KIND_FLAG:
        return "definition";
    case CFG_KIND_EVALUATORS:
        return "evaluators";
    case CFG_KIND_SCHEMA:
        return "schema";
    default:
        return "document";
    }
}

cJSON *cfg_api_object(struct cfg_app *app, const struct cfg_object *o, bool brief)
{
    static const char *const config[] = {"extends", "document"};
    static const char *const evaluators[] = {"metadata", "evaluators"};
    static const char *const schema[] = {"schema"};
    static const char *const deployment[] = {"config", "flags", "track",          "generation", "pin_keys", "pin",
                                             "arms",   "split", "adopted_stores", "pin_digest", "requires"};
    static const char *const rollout[] = {"config", "run",      "state",  "decision", "reason",      "from",
                                          "to",     "steps",    "guards", "where",    "min_samples", "by",
                                          "seed",   "start_at", "freeze", "holds"};
    static const char *const experiment[] = {"config",  "deployment", "flag",    "arms",  "state", "started",
                                             "stopped", "sides",      "metrics", "alpha", "power", "planned_units",
                                             "run",     "effect",     "why",     "result"};
    cJSON *tree = cfg_object_tree(o), *out = cJSON_CreateObject();
    if (tree == NULL || out == NULL) {
        cJSON_Delete(tree);
        cJSON_Delete(out);
        return NULL;
    }
    bool is_deployment = o->id.kind == CFG_KIND_DEPLOYMENT,
         is_head = !o->deleted && cfg_store_get(app->store, &o->id) == o;
    if (o->deleted && !is_deployment && !brief) /* a tombstone has no content: that shows */
        (void)cJSON_AddNullToObject(out, content_of(o->id.kind));
    const char *named = o->id.kind == CFG_KIND_ROLLOUT                       ? "deployment"
                        : is_deployment || o->id.kind == CFG_KIND_EXPERIMENT ? "name"
                                                                             : "namespace";
    (void)cJSON_AddStringToObject(out, named, o->id.ns);
    if (o->id.kind == CFG_KIND_FLAG)
        (void)cJSON_AddStringToObject(out, "name", o->id.name);
    (void)cJSON_AddNumberToObject(out, "version", (double)o->version);
    (void)cJSON_AddStringToObject(out, "digest", o->digest);
    if (o->id.kind == CFG_KIND_FLAG) {
        if (o->deleted)
            (void)cJSON_AddFalseToObject(out, "enabled");
        else
            (void)cJSON_AddItemToObject(out, "value", flag_value(app, o, tree));
        move_members(out, tree, cfg_flag_envelope_members, brief ? 2 : SIZE_MAX);
        if (is_head && !brief)
            cfg_api_add_required_by(app, out, o);
    } else if (o->id.kind == CFG_KIND_EVALUATORS) {
        move_members(out, tree, evaluators, brief ? 1 : 2);
        if (is_head && !brief)
            cfg_api_add_used_by(app, out, o);
    } else if (o->id.kind == CFG_KIND_SCHEMA) {
        move_members(out, tree, schema, brief ? 0 : 1);
    } else if (o->id.kind == CFG_KIND_ROLLOUT) {
        move_members(out, tree, rollout, brief ? 5 : sizeof rollout / sizeof rollout[0]);
    } else if (o->id.kind == CFG_KIND_EXPERIMENT) {
        move_members(out, tree, experiment, sizeof experiment / sizeof experiment[0] - (brief ? 1 : 0));
    } else if (is_deployment) {
        move_members(out, tree, deployment, sizeof deployment / sizeof deployment[0]);
        add_view(app, out, o);
    } else {
        move_members(out, tree, config, brief ? 1 : 2);
    }
    add_envelope(app, out, tree, o);
    cJSON_Delete(tree);
    return out;
}

cJSON *cfg_api_version(struct cfg_app *app, const struct cfg_object *o)
{
    cJSON *tree = cfg_object_tree(o), *out = tree ? cJSON_CreateObject() : NULL;
    if (out) {
        (void)cJSON_AddNumberToObject(out, "version", (double)o->version);
        (void)cJSON_AddStringToObject(out, "digest", o->digest);
        add_envelope(app, out, tree, o);
    }
    cJSON_Delete(tree);
    return out;
}
