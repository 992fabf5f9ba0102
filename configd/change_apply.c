/* Whole-object operations on configs, flags and evaluators: put, patches, delete, rollback. */
#include "configd/change_draft.h"
#include "configd/change_experiment.h"
#include "configd/change_rollout.h"
#include "configd/closure.h"
#include "flags/flag.h"
#include "proto/patch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* Replaces the working body; consumes it. */
static void set_after(struct cfg_draft *d, cJSON *body)
{
    cJSON_Delete(d->after);
    d->after = body;
}

/* {"document":…,"extends":[…]}; consumes document. The bases stay what they were. */
static int set_document(struct cfg_draft *d, cJSON *document, struct cfg_error *err)
{
    const cJSON *extends = cfg_json_get(d->before, "extends");
    cJSON *body = cJSON_CreateObject();
    int rc = body ? cfg_json_set(body, "document", document) : CFG_E_NOMEM;
    if (body == NULL)
        cJSON_Delete(document);
    if (rc == 0)
        rc = cfg_json_set(body, "extends", extends ? cJSON_Duplicate(extends, true) : cJSON_CreateArray());
    if (rc != 0) {
        cJSON_Delete(body);
        return no_memory(err);
    }
    set_after(d, body);
    return 0;
}

/* A flag's envelope as the API takes it. Left-out `enabled` stays what it was, so that a new definition does not undo a
 * kill switch. */
static int set_flag(struct cfg_draft *d, cJSON *body, struct cfg_error *err)
{
    int rc = cfg_check_members(body, cfg_flag_envelope_members, "a flag", err);
    if (rc == 0 && cfg_json_get(body, "enabled") == NULL)
        rc = cfg_json_set(body, "enabled", cJSON_CreateBool(cfg_json_get_bool(d->before, "enabled", true)));
    if (rc != 0) {
        cJSON_Delete(body);
        return rc == CFG_E_NOMEM ? no_memory(err) : rc;
    }
    set_after(d, body);
    return 0;
}

/* {"evaluators","metadata"} as the API takes them: both are there in what is stored. */
static int set_evaluators(struct cfg_draft *d, cJSON *body, struct cfg_error *err)
{
    static const char *const members[] = {"evaluators", "metadata", NULL};
    int rc = cfg_check_members(body, members, "a namespace's evaluators", err);
    for (const char *const *m = members; rc == 0 && *m; m++)
        if (cfg_json_get(body, *m) == NULL && cJSON_AddObjectToObject(body, *m) == NULL)
            rc = no_memory(err);
    if (rc != 0) {
        cJSON_Delete(body);
        return rc;
    }
    set_after(d, body);
    return 0;
}

/* Consumes schema. */
static int set_schema(struct cfg_draft *d, cJSON *schema, struct cfg_error *err)
{
    cJSON *body = cJSON_CreateObject();
    if (body == NULL || cfg_json_set(body, "schema", schema) != 0) {
        if (body == NULL)
            cJSON_Delete(schema);
        cJSON_Delete(body);
        return no_memory(err);
    }
    set_after(d, body);
    return 0;
}

static int set_body(struct cfg_draft *d, cJSON *body, struct cfg_error *err)
{
    switch (d->id.kind) {
    case CFG_KIND_SCHEMA:
        return set_schema(d, body, err);
    case CFG_KIND_CONFIG:
        return set_document(d, body, err);
    case CFG_KIND_EVALUATORS:
        return set_evaluators(d, body, err);
    case CFG_KIND_FLIP:
        set_after(d, body);
        return 0;
    default:
        return set_flag(d, body, err);
    }
}

static int apply_put(struct cfg_draft *d, const struct cfg_change_entry *e, struct cfg_error *err)
{
    cJSON *body = cJSON_Duplicate(e->body, true);
    return body ? set_body(d, body, err) : no_memory(err);
}

/* A patch needs something to apply to, unless the entry says that the object must be new. */
static int apply_patch(const struct cfg_bench *b, struct cfg_draft *d, const struct cfg_change_entry *e,
                       struct cfg_error *err)
{
    bool creates = e->has_if_version && e->if_version == 0;
    if (d->id.kind == CFG_KIND_SCHEMA)
        return cfg_fail(err, CFG_E_UNSUPPORTED, "a schema is replaced as a whole: put");
    if (d->before == NULL && !creates)
        return cfg_bench_missing(b, d, err);
    const cJSON *is = d->id.kind == CFG_KIND_CONFIG ? cfg_json_get(d->before, "document") : d->before;
    cJSON *empty = is ? NULL : cJSON_CreateObject(), *patched = NULL;
    int rc = is || empty ? 0 : no_memory(err);
    if (rc == 0 && e->op == CFG_CHANGE_MERGE_PATCH)
        rc = cfg_patch_merge(&patched, is ? is : empty, e->body, err);
    else if (rc == 0)
        rc = cfg_patch_apply(&patched, is ? is : empty, e->body, err);
    cJSON_Delete(empty);
    return rc == 0 ? set_body(d, patched, err) : rc;
}

static int apply_delete(struct cfg_bench *b, struct cfg_draft *d, struct cfg_error *err)
{
    if (d->before == NULL)
        return cfg_bench_missing(b, d, err);
    int rc = d->id.kind == CFG_KIND_DEPLOYMENT ? cfg_rollout_refuse_split(d, "deleted", err) : 0;
    rc = rc ? rc : cfg_experiment_refuse_delete(b, d, err);
    if (rc == 0)
        set_after(d, NULL);
    return rc;
}

static int apply_rollback(const struct cfg_bench *b, struct cfg_draft *d, const struct cfg_change_entry *e,
                          struct cfg_error *err)
{
    char label[CFG_DRAFT_LABEL];
    const struct cfg_object *source = e->n_sources > 0 ? e->sources[0] : NULL;
    if (d->head == NULL)
        return cfg_bench_missing(b, d, err);
    if (d->head->version == e->rollback_to)
        source = d->head;
    (void)cfg_draft_label(&d->id, label);
    if (source == NULL || source->version != e->rollback_to) {
        (void)cfg_fail(err, CFG_E_NOT_FOUND, "%s has no version %" PRIu64, label, e->rollback_to);
        cfg_error_set_hint(err, "its versions end at %" PRIu64 "; old ones may have been removed by retention",
                           d->head->version);
        return CFG_E_NOT_FOUND;
    }
    if (source->deleted) {
        (void)cfg_fail(err, CFG_E_VALUE, "version %" PRIu64 " of %s is a delete", e->rollback_to, label);
        cfg_error_set_hint(err, "go back to the version before it, or delete the object");
        return CFG_E_VALUE;
    }
    cJSON *body = cfg_object_body(source);
    if (body == NULL)
        return no_memory(err);
    set_after(d, body);
    (void)snprintf(d->message, sizeof d->message, "rollback to version %" PRIu64, e->rollback_to);
    return 0;
}

/* For the history, where the author says nothing: "extends base, common", or as many as fit. */
static void tell_extends(struct cfg_draft *d, const cJSON *extends)
{
    const cJSON *base;
    size_t used = (size_t)snprintf(d->message, sizeof d->message, "extends%s", extends->child ? "" : " nothing");
    cJSON_ArrayForEach(base, extends)
    {
        size_t need = strlen(base->valuestring) + strlen(", , …");
        bool fits = used + need < sizeof d->message;
        (void)snprintf(d->message + used, sizeof d->message - used, "%s%s", base == extends->child ? " " : ", ",
                       fits ? base->valuestring : "…");
        if (!fits)
            return;
        used = strlen(d->message);
    }
}

/* The entry's bases; a namespace that does not exist yet comes into being, without parameters of its own. */
static int apply_extends(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, b, &e->id, err);
    rc = rc ? rc : cfg_bench_touch(b, d, entry, err);
    rc = rc ? rc : cfg_extends_check(e->extends, e->id.ns, err);
    if (rc == 0 && d->after == NULL)
        rc = set_document(d, cJSON_CreateObject(), err);
    if (rc == 0 && !cfg_json_equal(cfg_json_get(d->after, "extends"), e->extends))
        tell_extends(d, e->extends);
    if (rc == 0 && cfg_json_set(d->after, "extends", cJSON_Duplicate(e->extends, true)) != 0)
        rc = no_memory(err);
    return rc;
}

static int apply_operation(struct cfg_bench *b, size_t entry, struct cfg_error *err);

int cfg_apply_entry(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    if (e->id.kind == CFG_KIND_ROLLOUT)
        return cfg_apply_rollout(b, entry, err);
    if (e->id.kind == CFG_KIND_EXPERIMENT)
        return cfg_apply_experiment(b, entry, err);
    int rc = e->op == CFG_CHANGE_SET      ? cfg_apply_set(b, entry, err)
             : e->op == CFG_CHANGE_EXTEND ? 0
                                          : apply_operation(b, entry, err);
    return rc == 0 && e->extends ? apply_extends(b, entry, err) : rc;
}

static int apply_operation(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, b, &e->id, err);
    if (rc == 0)
        rc = cfg_bench_touch(b, d, entry, err);
    if (rc != 0)
        return rc;
    switch (e->op) {
    case CFG_CHANGE_DELETE:
        return apply_delete(b, d, err);
    case CFG_CHANGE_ROLLBACK:
        rc = apply_rollback(b, d, e, err);
        return rc == 0 && e->id.kind == CFG_KIND_DEPLOYMENT ? cfg_apply_deployment(b, entry, err) : rc;
    default:
        break;
    }
    if (e->id.kind == CFG_KIND_DEPLOYMENT)
        return cfg_apply_deployment(b, entry, err);
    return e->op == CFG_CHANGE_PUT ? apply_put(d, e, err) : apply_patch(b, d, e, err);
}
