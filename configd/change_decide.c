/* The decision: entries are applied to drafts, drafts are checked, and what changed becomes guards, puts and results.
 */
#include "configd/change_checks.h"
#include "configd/change_edges.h"
#include "configd/change_lock.h"
#include "configd/change_plan.h"
#include "configd/change_views.h"
#include "proto/patch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- a name is a parameter or a flag, never both --- */

struct names {
    const struct cfg_bench *bench;
    const cJSON *before, *after; /* documents */
    char taken[CFG_LIMIT_FLAG_NAME + 1];
};

static int both(struct cfg_error *err, const char *ns, const char *name, const char *is)
{
    (void)cfg_fail(err, CFG_E_CONFLICT, "%s/%s is a %s already; a name is a parameter or a flag, never both", ns, name,
                   is);
    cfg_error_set_path(err, "%s", name);
    cfg_error_set_hint(err, "choose another name, or delete the %s first", is);
    return CFG_E_CONFLICT;
}

static bool find_taken(struct cfg_object *o, void *arg)
{
    struct names *n = arg;
    const struct cfg_draft *d = cfg_bench_find(n->bench, &o->id);
    bool alive = d ? d->after != NULL : !o->deleted;
    if (!alive || cfg_path_get(n->after, o->id.name) == NULL || cfg_path_get(n->before, o->id.name) != NULL)
        return true;
    (void)snprintf(n->taken, sizeof n->taken, "%s", o->id.name);
    return false;
}

/* Only a path that comes into being can meet a flag: for one that was there already, its flag's creation was refused
 * (it guards this head). So a write that adds no path needs no guard over the flags. */
static bool adds_paths(const cJSON *changes)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, changes)
    {
        const cJSON *to = cfg_json_get(c, "to");
        if (strcmp(cfg_json_get_str(c, "op", ""), "add") == 0 || cJSON_IsObject(to) || cJSON_IsArray(to))
            return true;
    }
    return false;
}

static int check_config_names(struct cfg_bench *b, const struct cfg_draft *d, const cJSON *changes,
                              struct cfg_error *err)
{
    struct names n = {.bench = b};
    if (d->after == NULL || !adds_paths(changes))
        return 0;
    n.before = cfg_json_get(d->before, "document");
    n.after = cfg_json_get(d->after, "document");
    b->heads->each(b->heads->arg, CFG_KIND_FLAG, d->id.ns, find_taken, &n);
    int rc = cfg_bench_guard_space(b, CFG_KIND_FLAG, d->id.ns, err);
    return rc == 0 && n.taken[0] ? both(err, d->id.ns, n.taken, "flag") : rc;
}

static int check_flag_name(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    struct cfg_draft *config;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, d->id.ns, NULL);
    if (d->before || d->after == NULL)
        return 0;
    int rc = cfg_bench_open(&config, b, &id, err);
    if (rc != 0)
        return rc;
    if (cfg_path_get(cfg_json_get(config->after, "document"), d->id.name))
        return both(err, d->id.ns, d->id.name, "parameter");
    return cfg_bench_guard_head(b, config, err);
}

/* --- each draft by itself --- */

static int check_document(const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *document = cfg_json_get(d->after, "document");
    if (!cJSON_IsObject(document))
        return cfg_fail(err, CFG_E_VALUE, "a namespace's document must be an object, not of type %s",
                        cfg_json_type(document));
    if (cfg_tree_depth(document) > CFG_LIMIT_DEPTH)
        return cfg_fail(err, CFG_E_LIMIT, "the document is nested deeper than %d levels", CFG_LIMIT_DEPTH);
    return cfg_path_check_document(document, err);
}

/* What is not valid, or not ours, is never stored. */
static int check_schema(const struct cfg_draft *d, struct cfg_error *err)
{
    struct cfg_compiled *compiled = NULL;
    int rc = d->after ? cfg_compiled_new(&compiled, d->after, err) : 0;
    (void)cfg_compiled_unref(compiled);
    return rc;
}

static int check_content(struct cfg_bench *b, struct cfg_draft *d, struct cfg_error *err)
{
    switch (d->id.kind) {
    case CFG_KIND_CONFIG:
        return d->after ? check_document(d, err) : 0;
    case CFG_KIND_FLAG:
        return cfg_flags_check_flag(b, d, err);
    case CFG_KIND_EVALUATORS:
        return cfg_flags_check_evaluators(b, d, err);
    case CFG_KIND_FLIP:
        return cfg_flags_check_flip(b, d, err);
    case CFG_KIND_SCHEMA:
        return check_schema(d, err);
    default:
        return 0;
    }
}

/* For people: the document of a config, the whole body of everything else. */
static cJSON *describe(const struct cfg_draft *d)
{
    bool is_config = d->id.kind == CFG_KIND_CONFIG;
    const cJSON *before = is_config ? cfg_json_get(d->before, "document") : d->before;
    const cJSON *after = is_config ? cfg_json_get(d->after, "document") : d->after;
    cJSON *empty = cJSON_CreateObject();
    cJSON *changes = empty ? cfg_patch_describe(before ? before : empty, after ? after : empty) : NULL;
    cJSON_Delete(empty);
    return changes;
}

/* --- results and puts --- */

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

/* What workers would have refused stays to be seen in history. */
static void describe_force(char *message, size_t size, size_t forced)
{
    size_t n = strlen(message);
    if (forced > 0)
        (void)snprintf(message + n, size - n, "%s[forced past %zu violation%s of workers' contracts or ceilings]",
                       n > 0 ? " " : "", forced, forced == 1 ? "" : "s");
}

static int put(struct cfg_decision *out, const struct cfg_bench *b, const struct cfg_draft *d,
               char digest[CFG_DIGEST_TEXT], struct cfg_error *err)
{
    const struct cfg_change *c = b->change;
    char message[CFG_LIMIT_MESSAGE + 128];
    (void)snprintf(message, sizeof message, "%s", or_empty(c->message));
    describe_force(message, sizeof message, cfg_checks_forced(b));
    struct cfg_envelope e = {.version = cfg_draft_next_version(d),
                             .parent = d->head ? d->head->version : 0,
                             .author = or_empty(c->author),
                             .message = message[0] ? message : d->message,
                             .time = or_empty(c->time),
                             .request_id = or_empty(c->request_id),
                             .deleted = d->after == NULL};
    cJSON *body = d->after ? cJSON_Duplicate(d->after, true) : cJSON_CreateObject();
    struct cfg_buf text;
    if (body == NULL)
        return no_memory(err);
    cfg_buf_init(&text, CFG_LIMIT_CHANGE_BYTES);
    int rc = cfg_envelope_print(&text, digest, d->id.kind, body, &e, err);
    struct cfg_write w = {.id = d->id, .version = e.version, .json_len = text.len};
    if (rc == 0 && (w.json = cfg_buf_steal(&text)) == NULL)
        rc = no_memory(err);
    cfg_buf_finish(&text);
    if (rc != 0)
        return rc;
    out->writes[out->n_writes++] = w;
    out->bytes += 2 * (w.json_len + CFG_OBJECT_ID_TEXT);
    if (out->bytes > CFG_LIMIT_CHANGE_BYTES)
        return cfg_fail(err, CFG_E_LIMIT, "the change is larger than %d KiB", CFG_LIMIT_CHANGE_BYTES / 1024);
    return 0;
}

static int name_result(cJSON *result, const struct cfg_draft *d, struct cfg_error *err)
{
    char text[CFG_OBJECT_ID_TEXT];
    const char *ns = d->id.ns, *name = d->id.name;
    if (cfg_kind_is_of_deployment(d->id.kind)) {
        name = d->id.ns;
        ns = cfg_json_get_str(d->after ? d->after : d->before, "config", "");
    }
    if (cJSON_AddStringToObject(result, "object", cfg_object_id_text(&d->id, text).ptr) == NULL ||
        cJSON_AddStringToObject(result, "kind", cfg_kind_name(d->id.kind)) == NULL ||
        cJSON_AddStringToObject(result, "namespace", ns) == NULL ||
        (name[0] && cJSON_AddStringToObject(result, "name", name) == NULL))
        return no_memory(err);
    return 0;
}

static int describe_result(cJSON *result, const struct cfg_draft *d, const char *digest, cJSON *changes,
                           struct cfg_error *err)
{
    uint64_t previous = d->head ? d->head->version : 0;
    bool changed = cfg_draft_changed(d);
    if (cfg_json_set(result, "changes", changes) != 0 ||
        cJSON_AddNumberToObject(result, "version", (double)cfg_draft_next_version(d)) == NULL ||
        cJSON_AddNumberToObject(result, "previous", (double)previous) == NULL ||
        cJSON_AddBoolToObject(result, "unchanged", !changed) == NULL ||
        cJSON_AddBoolToObject(result, "created", changed && d->before == NULL) == NULL ||
        cJSON_AddBoolToObject(result, "deleted", changed && d->after == NULL) == NULL ||
        cJSON_AddStringToObject(result, "digest", digest) == NULL ||
        (d->hint[0] && cJSON_AddStringToObject(result, "hint", d->hint) == NULL))
        return no_memory(err);
    return 0;
}

/* {"from":[…],"to":[…]} where the bases change. */
static int describe_extends(cJSON *result, const struct cfg_draft *d, struct cfg_error *err)
{
    static const cJSON none = {.type = cJSON_Array};
    const cJSON *from = cfg_json_get(d->before, "extends"), *to = cfg_json_get(d->after, "extends");
    from = from ? from : &none;
    to = to ? to : &none;
    if (cfg_json_equal(from, to))
        return 0;
    cJSON *extends = cJSON_AddObjectToObject(result, "extends");
    if (extends == NULL || cfg_json_set(extends, "from", cJSON_Duplicate(from, true)) != 0 ||
        cfg_json_set(extends, "to", cJSON_Duplicate(to, true)) != 0)
        return no_memory(err);
    return 0;
}

/* Consumes changes. */
static int add_result(struct cfg_decision *out, const struct cfg_draft *d, const char *digest, cJSON *changes,
                      struct cfg_error *err)
{
    cJSON *result = cJSON_CreateObject();
    if (result == NULL || !cJSON_AddItemToArray(out->results, result)) {
        cJSON_Delete(result);
        cJSON_Delete(changes);
        return no_memory(err);
    }
    int rc = name_result(result, d, err);
    if (rc == 0)
        rc = describe_result(result, d, digest, changes, err);
    else
        cJSON_Delete(changes);
    if (rc == 0 && d->id.kind == CFG_KIND_CONFIG)
        rc = describe_extends(result, d, err);
    return rc;
}

static int check_rules(struct cfg_bench *b, struct cfg_draft *d, const cJSON *changes, struct cfg_error *err)
{
    int rc = cfg_bench_guard_head(b, d, err);
    if (rc != 0 || !cfg_draft_changed(d))
        return rc;
    rc = check_content(b, d, err);
    if (rc == 0 && d->id.kind == CFG_KIND_FLAG)
        return check_flag_name(b, d, err);
    if (rc != 0 || d->id.kind != CFG_KIND_CONFIG)
        return rc;
    rc = check_config_names(b, d, changes, err);
    return rc == 0 ? cfg_deployments_refuse(b, d, err) : rc;
}

static int check_draft(struct cfg_bench *b, struct cfg_draft *d, struct cfg_error *err)
{
    char label[CFG_DRAFT_LABEL];
    d->changes = describe(d);
    int rc = d->changes ? check_rules(b, d, d->changes, err) : no_memory(err);
    return rc == 0 ? 0 : cfg_error_wrap(err, "%s", cfg_draft_label(&d->id, label));
}

static int finish_draft(struct cfg_decision *out, struct cfg_bench *b, struct cfg_draft *d, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT] = "", label[CFG_DRAFT_LABEL];
    int rc = 0;
    if (d->id.kind == CFG_KIND_DEPLOYMENT) { /* schemas may have pinned more of it since */
        cJSON_Delete(d->changes);
        d->changes = describe(d);
    }
    if (d->head)
        memcpy(digest, d->head->digest, sizeof digest);
    if (d->changes == NULL)
        return no_memory(err);
    if (cfg_draft_changed(d))
        rc = put(out, b, d, digest, err);
    if (rc != 0)
        return cfg_error_wrap(err, "%s", cfg_draft_label(&d->id, label));
    cJSON *changes = d->changes;
    d->changes = NULL;
    return add_result(out, d, digest, changes, err);
}

static int check_change(const struct cfg_change *c, struct cfg_error *err)
{
    if (c->n == 0)
        return cfg_fail(err, CFG_E_INVALID, "the change is empty");
    if (c->message && strlen(c->message) > CFG_LIMIT_MESSAGE)
        return cfg_fail(err, CFG_E_LIMIT, "the message is longer than %d KiB", CFG_LIMIT_MESSAGE / 1024);
    return 0;
}

static int check_size(const struct cfg_bench *b, struct cfg_error *err)
{
    size_t touched = 0, frozen = 0;
    for (size_t i = 0; i < b->n; i++) {
        touched += b->items[i]->touched;
        frozen += b->items[i]->frozen;
    }
    if (touched > CFG_LIMIT_CHANGE_OBJECTS)
        return cfg_fail(err, CFG_E_LIMIT, "the change touches %zu objects%s; at most %d are possible", touched,
                        frozen > 0 ? ", deployments whose pins it extends included" : "", CFG_LIMIT_CHANGE_OBJECTS);
    return 0;
}

/* Rollouts last: they go to what the others make of the heads. */
static int apply_entries(struct cfg_bench *b, struct cfg_error *err)
{
    for (int rollouts = 0; rollouts < 2; rollouts++) {
        for (size_t i = 0; i < b->change->n; i++) {
            if ((b->change->entries[i].id.kind == CFG_KIND_ROLLOUT) != rollouts)
                continue;
            int rc = cfg_apply_entry(b, i, err);
            if (rc != 0)
                return b->change->n > 1 ? cfg_error_wrap(err, "entry %zu", i + 1) : rc;
        }
    }
    return check_size(b, err);
}

/* Into the results, which are in the drafts' order. */
static int report_views(struct cfg_decision *out, const struct cfg_views *v, struct cfg_bench *b, struct cfg_error *err)
{
    cJSON *result = out->results->child;
    for (size_t i = 0; i < b->n && result; i++) {
        if (!b->items[i]->touched)
            continue;
        int rc = b->items[i]->id.kind == CFG_KIND_CONFIG ? cfg_views_report(v, b, b->items[i], result, err) : 0;
        if (rc == 0 && b->change->plan)
            rc = cfg_plan_report(b, v, b->items[i], result, err);
        if (rc != 0)
            return rc;
        result = result->next;
    }
    return 0;
}

/* Every draft by itself, then all together. What schemas pin in addition may touch deployments. */
static int check(struct cfg_views *views, struct cfg_bench *b, struct cfg_error *err)
{
    static const struct cfg_view_hooks hooks = {cfg_checks_wants, cfg_pins_freeze, cfg_checks_view};
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++) /* b->n may grow by drafts that are only looked into */
        rc = b->items[i]->touched ? check_draft(b, b->items[i], err) : 0;
    rc = rc ? rc : cfg_views_gather(views, b, err);
    rc = rc ? rc : cfg_checks_spaces(b, views, err);
    rc = rc ? rc : cfg_views_compose(views, b, &hooks, err);
    rc = rc ? rc : cfg_contracts_flags(b, err);
    rc = rc ? rc : cfg_capabilities_flags(b, err);
    rc = rc ? rc : cfg_capabilities_deployments(b, err);
    rc = rc ? rc : check_size(b, err);
    return rc ? rc : cfg_checks_refuse(b, err);
}

/* Into the first result: a violation is one of the whole change. */
static int report_checks(struct cfg_decision *out, struct cfg_bench *b, struct cfg_error *err)
{
    cJSON *violations = cfg_checks_take(b), *forced = cfg_checks_take_forced(b), *first = out->results->child;
    bool ok = true;
    if (violations && first)
        ok = cfg_json_set(first, "violations", violations) == 0;
    else
        cJSON_Delete(violations);
    if (forced && first)
        ok = cfg_json_set(first, "forced", forced) == 0 && ok;
    else
        cJSON_Delete(forced);
    return ok ? 0 : no_memory(err);
}

static int finish(struct cfg_decision *out, struct cfg_bench *b, struct cfg_error *err)
{
    struct cfg_views views = {0};
    int rc = check(&views, b, err);
    out->results = cJSON_CreateArray();
    out->writes = calloc(CFG_EDGES_MAX + 2 * b->n, sizeof *out->writes);
    if (rc == 0 && (out->results == NULL || out->writes == NULL))
        rc = no_memory(err);
    for (size_t i = 0; i < b->n && rc == 0; i++)
        rc = b->items[i]->touched ? finish_draft(out, b, b->items[i], err) : 0;
    rc = rc ? rc : report_views(out, &views, b, err);
    rc = rc ? rc : report_checks(out, b, err);
    rc = rc ? rc : cfg_edges_write(out, b, err);
    rc = rc ? rc : cfg_lock_write(out, b, err);
    cfg_views_finish(&views);
    return rc ? rc : cfg_bench_compact(b, err);
}

/* What a refusal was decided on: every head that was looked at. */
static int guard_all(struct cfg_bench *b)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++)
        rc = cfg_bench_guard_head(b, b->items[i], NULL);
    return rc;
}

int cfg_decide(struct cfg_decision *out, const struct cfg_change *c, const struct cfg_heads *heads,
               struct cfg_error *err)
{
    struct cfg_bench b = {.change = c, .heads = heads};
    struct cfg_decision d = {0};
    struct cfg_error why = CFG_ERROR_INIT; /* what was tried on the way may have failed without harm */
    int rc = check_change(c, &why);
    if (rc == 0)
        rc = apply_entries(&b, &why);
    if (rc == 0)
        rc = finish(&d, &b, &why);
    if (rc != 0) {
        cfg_decision_finish(&d);
        d.violations = cfg_checks_take(&b);
        if (guard_all(&b) != 0 || cfg_bench_compact(&b, NULL) != 0)
            rc = no_memory(&why);
    }
    d.guards = b.guards;
    d.n_guards = b.n_guards;
    b.guards = NULL;
    cfg_spaces_free(b.spaces);
    cfg_checks_free(b.checks);
    cfg_bench_finish(&b);
    *out = d;
    if (rc != 0 && err)
        *err = why;
    return rc;
}

void cfg_decision_finish(struct cfg_decision *d)
{
    for (size_t i = 0; i < d->n_writes; i++)
        free(d->writes[i].json);
    free(d->writes);
    free(d->guards);
    cJSON_Delete(d->results);
    cJSON_Delete(d->violations);
    *d = (struct cfg_decision){0};
}
