/* Writes: one request → one change → the service. All of them answer alike. */
#include "configd/api.h"

#include "configd/http_auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 128 };

/* --- what is common --- */

/* *out stays as it is where the request says nothing. */
static int read_message(char **out, const struct cfg_call *c, struct cfg_error *err)
{
    const char *message = cfg_call_query(c, "message");
    if (message == NULL)
        return 0;
    if (strlen(message) > CFG_LIMIT_MESSAGE)
        return cfg_fail(err, CFG_E_LIMIT, "the message is longer than %d bytes", CFG_LIMIT_MESSAGE);
    struct cfg_buf quoted;
    cJSON *back = NULL;
    cfg_buf_init(&quoted, 8 * CFG_LIMIT_MESSAGE);
    cfg_json_put_string(&quoted, cfg_slice_str(message));
    int rc = cfg_json_parse(&back, cfg_buf_slice(&quoted), 0, NULL); /* history holds nothing but valid UTF-8 */
    cJSON_Delete(back);
    cfg_buf_finish(&quoted);
    if (rc != 0)
        return cfg_fail(err, CFG_E_INVALID, "the message is not valid UTF-8");
    free(*out);
    *out = cfg_slice_dup(cfg_slice_str(message));
    return *out ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* A misspelt dry_run must not write. */
static int check_query(const struct cfg_call *c, struct cfg_error *err)
{
    static const char *const known[] = {"message", "dry_run", "plan", "force", "min_revision", NULL};
    const char *other = cfg_call_query_other(c, known);
    if (other == NULL)
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, "a write has no parameter \"%.60s\"", other);
    cfg_error_set_hint(err, "it may have message, dry_run, plan and force");
    return CFG_E_INVALID;
}

static int fill(struct cfg_change *ch, const struct cfg_call *c, struct cfg_error *err)
{
    const char *key = cfg_call_header(c, "Idempotency-Key");
    if (key && (key[0] == '\0' || strlen(key) > MAX_KEY))
        return cfg_fail(err, CFG_E_INVALID, "an Idempotency-Key has 1 to %d bytes", MAX_KEY);
    int rc = check_query(c, err);
    rc = rc ? rc : read_message(&ch->message, c, err);
    rc = rc ? rc : cfg_api_flag(&ch->dry_run, c, "dry_run", err);
    rc = rc ? rc : cfg_api_flag(&ch->force, c, "force", err);
    rc = rc ? rc : cfg_api_flag(&ch->plan, c, "plan", err);
    if (rc == 0 && ch->plan && !ch->dry_run)
        rc = cfg_fail(err, CFG_E_INVALID, "plan goes with dry_run: it tells what a write would do");
    if (rc != 0)
        return rc;
    ch->author = cfg_slice_dup(cfg_slice_str(cfg_call_principal(c)->subject));
    return ch->author ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static void tag_single(struct cfg_call *c, const cJSON *result)
{
    char etag[24];
    (void)snprintf(etag, sizeof etag, "\"%.0f\"", cfg_json_get_num(result, "version", 0));
    cfg_call_set_header(c, "ETag", etag);
}

static void on_changed(void *arg, const cJSON *result, bool visible, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    if (err) {
        cfg_call_fail(c, err, result ? cJSON_Duplicate(result, true) : NULL); /* without memory the list is missing */
        return;
    }
    cJSON *body = cJSON_Duplicate(result, true);
    cJSON *results = cfg_json_get(body, "results");
    bool dry = cfg_json_get_bool(body, "dry_run", false);
    int status = 200;
    if (results)
        cfg_fleet_add_reach(cfg_call_app(c)->fleet, results);
    if (results && results->child && cfg_call_route(c)->handler != cfg_api_change) { /* others stand behind it */
        tag_single(c, results->child);
        if (!dry && cfg_json_get_bool(results->child, "created", false))
            status = 201;
    }
    if (!dry)
        cfg_call_set_header(c, "Configd-Visible", visible ? "true" : "false");
    cfg_api_reply(c, status, body);
}

static bool is_ready(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    if (cfg_store_ready(app->store))
        return true;
    (void)cfg_fail(&err, CFG_E_NOT_READY, "the replica is not complete yet");
    cfg_error_set_hint(&err, "try again; GET /readyz tells when it is");
    cfg_call_fail(c, &err, NULL);
    return false;
}

/* Consumes *ch. */
static void submit(struct cfg_app *app, struct cfg_call *c, struct cfg_change *ch)
{
    struct cfg_error err;
    if (fill(ch, c, &err) != 0) {
        cfg_change_finish(ch);
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cfg_service_change(app->service, ch, cfg_call_header(c, "Idempotency-Key"), on_changed, c);
}

void cfg_api_submit_entry(struct cfg_app *app, struct cfg_call *c, struct cfg_change_entry *entry)
{
    cfg_api_submit_saying(app, c, entry, NULL);
}

void cfg_api_submit_saying(struct cfg_app *app, struct cfg_call *c, struct cfg_change_entry *entry, char *message)
{
    struct cfg_error err;
    struct cfg_change ch = {.entries = malloc(sizeof *ch.entries), .n = 1, .message = message};
    if (ch.entries == NULL) {
        free(message);
        cJSON_Delete(entry->body);
        cJSON_Delete(entry->extends);
        cJSON_Delete(entry->seen);
        (void)cfg_fail(&err, CFG_E_NOMEM, "out of memory");
        cfg_call_fail(c, &err, NULL);
        return;
    }
    ch.entries[0] = *entry;
    submit(app, c, &ch);
}

/* --- rights beyond those of the route --- */

/* A deployment's are namespaces; a rollout's are flags, as a list or by version: NAMESPACE/NAME. */
static int check_flag_namespaces(const struct cfg_principal *p, const cJSON *body, struct cfg_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cfg_json_get(body, "flags"))
    {
        const char *name = cJSON_IsString(item) ? item->valuestring : item->string;
        char ns[CFG_LIMIT_NAME + 1];
        size_t n = name ? strcspn(name, "/") : sizeof ns;
        if (n >= sizeof ns)
            continue; /* no name: the decision refuses it */
        memcpy(ns, name, n);
        ns[n] = '\0';
        int rc = cfg_principal_check_namespace(p, ns, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int cfg_api_check_entry(struct cfg_app *app, const struct cfg_call *c, const struct cfg_change_entry *e,
                        struct cfg_error *err)
{
    char config[CFG_LIMIT_NAME + 1];
    const struct cfg_principal *p = cfg_call_principal(c);
    if (!cfg_kind_is_of_deployment(e->id.kind))
        return cfg_principal_check_namespace(p, e->id.ns, err);
    const cJSON *lock = cfg_json_get(e->body, "lock"), *source = lock ? lock : e->body;
    bool creates = e->op == CFG_CHANGE_CREATE && e->id.kind == CFG_KIND_DEPLOYMENT;
    const char *ns =
        creates ? cfg_json_get_str(source, "config", NULL) : cfg_api_deployment_config(app, e->id.ns, config);
    int rc = cfg_principal_check_deployment(p, e->id.ns, ns, err);
    return rc ? rc : check_flag_namespaces(p, source, err);
}

static int check_unused(struct cfg_app *app, const struct cfg_call *c, const struct cfg_object_id *id,
                        struct cfg_error *err)
{
    bool force;
    int rc = cfg_api_flag(&force, c, "force", err);
    size_t n = cfg_fleet_connected(app->fleet, id->ns);
    if (rc != 0 || force || n == 0)
        return rc;
    (void)cfg_fail(err, CFG_E_IN_USE, "%zu worker%s of deployment %s %s connected", n, n == 1 ? "" : "s", id->ns,
                   n == 1 ? "is" : "are");
    cfg_error_set_hint(err, "stop them first, or add ?force=true (cfgctl: --force)");
    return CFG_E_IN_USE;
}

/* --- one object --- */

static int read_version_tag(uint64_t *out, const char *text, struct cfg_error *err)
{
    size_t n = strlen(text);
    char digits[24];
    bool quoted = n > 2 && n < sizeof digits && text[0] == '"' && text[n - 1] == '"';
    if (quoted) {
        memcpy(digits, text + 1, n - 2);
        digits[n - 2] = '\0';
        if (strspn(digits, "0123456789") == n - 2 && n - 2 <= 15) {
            *out = strtoull(digits, NULL, 10);
            return 0;
        }
    }
    (void)cfg_fail(err, CFG_E_INVALID, "If-Match: %.40s is no version", text);
    cfg_error_set_hint(err, "send the ETag of what you read, such as If-Match: \"43\"");
    return CFG_E_INVALID;
}

/* If-Match: "43", If-Match: * (any, but it must exist), If-None-Match: * (must not exist). */
static int read_precondition(struct cfg_change_entry *e, const struct cfg_call *c, struct cfg_error *err)
{
    const char *match = cfg_call_header(c, "If-Match"), *none = cfg_call_header(c, "If-None-Match");
    if (match && none)
        return cfg_fail(err, CFG_E_INVALID, "If-Match and If-None-Match exclude each other");
    if (none && strcmp(none, "*") != 0)
        return cfg_fail(err, CFG_E_INVALID, "a write takes If-None-Match: * only (it must not exist yet)");
    e->must_exist = match && strcmp(match, "*") == 0;
    e->has_if_version = (match || none) && !e->must_exist;
    return match && !e->must_exist ? read_version_tag(&e->if_version, match, err) : 0;
}

static int precondition_required(const struct cfg_change_entry *e, struct cfg_app *app, struct cfg_error *err)
{
    const struct cfg_object *o = cfg_store_get(app->store, &e->id);
    (void)cfg_fail(err, CFG_E_PRECONDITION_REQUIRED, "a PUT replaces everything, so it must say what it replaces");
    if (o && !o->deleted)
        cfg_error_set_hint(err, "send If-Match: \"%llu\" (the version now), or PATCH what you mean to change",
                           (unsigned long long)o->version);
    else
        cfg_error_set_hint(err, "send If-None-Match: * to create it");
    return CFG_E_PRECONDITION_REQUIRED;
}

static int read_entry(struct cfg_change_entry *e, struct cfg_app *app, const struct cfg_call *c, struct cfg_error *err)
{
    const char *method = cfg_call_method(c);
    enum cfg_kind kind = cfg_api_kind(c);
    int rc = cfg_api_id(&e->id, kind, c, err);
    rc = rc ? rc : read_precondition(e, c, err);
    if (rc != 0)
        return rc;
    if (strcmp(method, "DELETE") == 0) {
        e->op = CFG_CHANGE_DELETE;
        return kind == CFG_KIND_DEPLOYMENT ? check_unused(app, c, &e->id, err) : 0;
    }
    if (strcmp(method, "PUT") == 0 && !e->has_if_version && !e->must_exist)
        return precondition_required(e, app, err);
    e->op = strcmp(method, "PUT") == 0                     ? CFG_CHANGE_PUT
            : cfg_call_body_kind(c) == CFG_BODY_JSON_PATCH ? CFG_CHANGE_JSON_PATCH
                                                           : CFG_CHANGE_MERGE_PATCH;
    rc = cfg_call_json(c, &e->body, err);
    return rc ? rc : cfg_api_check_entry(app, c, e, err);
}

void cfg_api_write(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {0};
    if (!is_ready(app, c))
        return;
    if (read_entry(&e, app, c, &err) != 0) {
        cJSON_Delete(e.body);
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cfg_api_submit_entry(app, c, &e);
}

/* PUT of the bases alone; the document stays. */
void cfg_api_write_extends(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_EXTEND};
    if (!is_ready(app, c))
        return;
    int rc = cfg_api_id(&e.id, CFG_KIND_CONFIG, c, &err);
    rc = rc ? rc : read_precondition(&e, c, &err);
    if (rc == 0 && !e.has_if_version && !e.must_exist)
        rc = precondition_required(&e, app, &err);
    rc = rc ? rc : cfg_call_json(c, &e.extends, &err);
    rc = rc ? rc : cfg_api_check_entry(app, c, &e, &err);
    if (rc != 0) {
        cJSON_Delete(e.extends);
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cfg_api_submit_entry(app, c, &e);
}

void cfg_api_rollback(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_ROLLBACK};
    cJSON *body = NULL;
    if (!is_ready(app, c))
        return;
    int rc = cfg_api_id(&e.id, cfg_api_kind(c), c, &err);
    rc = rc ? rc : read_precondition(&e, c, &err);
    rc = rc ? rc : cfg_call_json(c, &body, &err);
    rc = rc ? rc : cfg_json_need_u64(body, "to", &e.rollback_to, &err);
    cJSON_Delete(body);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_api_submit_entry(app, c, &e);
}

void cfg_api_create_deployment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_CREATE, .id = {.kind = CFG_KIND_DEPLOYMENT}};
    if (!is_ready(app, c))
        return;
    int rc = cfg_call_json(c, &e.body, &err);
    const char *name = cfg_json_get_str(e.body, "name", "");
    rc = rc ? rc : cfg_check_name("deployment", cfg_slice_str(name), &err);
    if (rc == 0)
        (void)snprintf(e.id.ns, sizeof e.id.ns, "%s", name);
    rc = rc ? rc : cfg_api_check_entry(app, c, &e, &err);
    if (rc != 0) {
        cJSON_Delete(e.body);
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cfg_api_submit_entry(app, c, &e);
}

/* --- several objects --- */

void cfg_api_change(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change ch = {0};
    cJSON *body = NULL;
    if (!is_ready(app, c))
        return;
    int rc = cfg_call_json(c, &body, &err);
    rc = rc ? rc : cfg_change_parse(&ch, body, &err);
    cJSON_Delete(body);
    for (size_t i = 0; rc == 0 && i < ch.n; i++) {
        rc = cfg_api_check_entry(app, c, &ch.entries[i], &err);
        if (rc == 0 && cfg_api_asks_of_rollout(app, c, &ch.entries[i])) {
            const struct cfg_object_id asked = ch.entries[i].id;
            cfg_change_finish(&ch);
            cfg_api_ask_of_rollout(app, c, asked.ns);
            return;
        }
        rc = rc ? rc : cfg_api_prepare_rollout(app, c, &ch.entries[i], &err);
        if (rc == 0 && ch.entries[i].op == CFG_CHANGE_CREATE && ch.entries[i].id.kind == CFG_KIND_ROLLOUT &&
            !ch.message)
            ch.message = cfg_slice_dup(cfg_slice_str("rollout: start")); /* without memory it has none */
        if (rc == 0 && ch.entries[i].op == CFG_CHANGE_DELETE && ch.entries[i].id.kind == CFG_KIND_DEPLOYMENT)
            rc = check_unused(app, c, &ch.entries[i].id, &err);
    }
    if (rc != 0) {
        cfg_change_finish(&ch);
        cfg_call_fail(c, &err, NULL);
        return;
    }
    submit(app, c, &ch);
}
