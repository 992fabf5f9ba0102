/* Reading a change: POST /v1/changes' entries. */
#include "configd/change_draft.h"
#include "configd/change_rollout_start.h"
#include "configd/closure.h"

#include <stdlib.h>
#include <string.h>

static void entry_finish(struct cfg_change_entry *e)
{
    cJSON_Delete(e->body);
    cJSON_Delete(e->extends);
    cJSON_Delete(e->seen);
    cfg_change_drop_sources(e);
}

void cfg_change_finish(struct cfg_change *c)
{
    for (size_t i = 0; i < c->n; i++)
        entry_finish(&c->entries[i]);
    free(c->entries);
    free(c->message);
    free(c->author);
    free(c->time);
    free(c->request_id);
    *c = (struct cfg_change){0};
}

/* --- versions from history --- */

/* The i-th member of `release` that `except` does not name; *i counts down past those that it has. */
static bool nth_version(struct cfg_object_id *id, uint64_t *version, const cJSON *release, const cJSON *except,
                        size_t *i)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, release)
    {
        if (m->string == NULL || cfg_check_name("namespace", cfg_slice_str(m->string), NULL) != 0 ||
            cfg_json_get(except, m->string) || cfg_json_need_u64(release, m->string, version, NULL) != 0)
            continue;
        if ((*i)-- > 0)
            continue;
        *id = cfg_object_id_of(CFG_KIND_CONFIG, m->string, NULL);
        return true;
    }
    return false;
}

bool cfg_change_needs(struct cfg_object_id *id, uint64_t *version, const struct cfg_change_entry *e, size_t i,
                      const struct cfg_heads *heads)
{
    if (e->op == CFG_CHANGE_ROLLBACK) {
        *id = e->id;
        *version = e->rollback_to;
        return i == 0;
    }
    if (e->id.kind == CFG_KIND_ROLLOUT)
        return e->op == CFG_CHANGE_CREATE && cfg_rollout_needs(id, version, e, i, heads);
    const cJSON *release = e->id.kind == CFG_KIND_DEPLOYMENT ? cfg_json_get(e->body, "release") : NULL;
    if (e->id.kind == CFG_KIND_DEPLOYMENT && e->op == CFG_CHANGE_CREATE)
        return nth_version(id, version, cfg_json_get(cfg_json_get(e->body, "lock"), "release"), NULL, &i);
    if (e->op != CFG_CHANGE_MERGE_PATCH || release == NULL)
        return false;
    if (nth_version(id, version, release, NULL, &i))
        return true;
    const struct cfg_object *head = heads->get(heads->arg, &e->id);
    cJSON *record = head && !head->deleted ? cfg_object_tree(head) : NULL;
    const cJSON *base = cfg_json_get(cfg_json_get(record, "arms"), "base");
    bool found = nth_version(id, version, cfg_json_get(base, "release"), release, &i);
    cJSON_Delete(record);
    return found;
}

int cfg_change_add_source(struct cfg_change_entry *e, struct cfg_object *object, struct cfg_error *err)
{
    struct cfg_object **sources = realloc(e->sources, (e->n_sources + 1) * sizeof(struct cfg_object *));
    if (sources == NULL) {
        (void)cfg_object_unref(object);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    e->sources = sources;
    e->sources[e->n_sources++] = object;
    return 0;
}

void cfg_change_drop_sources(struct cfg_change_entry *e)
{
    for (size_t i = 0; i < e->n_sources; i++)
        (void)cfg_object_unref(e->sources[i]);
    free(e->sources);
    e->sources = NULL;
    e->n_sources = 0;
}

struct cfg_object *cfg_change_source(const struct cfg_change_entry *e, const struct cfg_object_id *id, uint64_t version)
{
    for (size_t i = 0; i < e->n_sources; i++)
        if (e->sources[i] && e->sources[i]->version == version && cfg_object_id_eq(&e->sources[i]->id, id))
            return e->sources[i];
    return NULL;
}

/* --- entries --- */

static int copy_body(struct cfg_change_entry *e, const cJSON *body, struct cfg_error *err)
{
    e->body = cJSON_Duplicate(body, true);
    return e->body ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int read_if_version(struct cfg_change_entry *e, const cJSON *item, struct cfg_error *err)
{
    e->has_if_version = cfg_json_get(item, "if_version") != NULL;
    return e->has_if_version ? cfg_json_need_u64(item, "if_version", &e->if_version, err) : 0;
}

/* An entry's `extends`: of a namespace alone. */
static int read_extends(struct cfg_change_entry *e, const cJSON *item, struct cfg_error *err)
{
    const cJSON *extends = cfg_json_get(item, "extends");
    if (extends == NULL)
        return 0;
    if (e->id.kind != CFG_KIND_CONFIG)
        return cfg_fail(err, CFG_E_INVALID, "only a namespace extends others");
    int rc = cfg_extends_check(extends, e->id.ns, err);
    if (rc == 0 && (e->extends = cJSON_Duplicate(extends, true)) == NULL)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    return rc;
}

static int parse_set(struct cfg_change_entry *e, const cJSON *item, struct cfg_error *err)
{
    static const char *const members[] = {"namespace", "if_version", "set", "extends", NULL};
    const char *ns = cfg_json_get_str(item, "namespace", "");
    const cJSON *set = cfg_json_get(item, "set");
    int rc = cfg_check_members(item, members, "an entry that sets", err);
    if (rc == 0)
        rc = cfg_check_name("namespace", cfg_slice_str(ns), err);
    if (rc != 0)
        return rc;
    if (!cJSON_IsArray(set) || set->child == NULL)
        return cfg_fail(err, CFG_E_INVALID, "\"set\" must be an array of at least one item");
    e->op = CFG_CHANGE_SET;
    e->id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    rc = read_extends(e, item, err);
    return rc == 0 ? copy_body(e, set, err) : rc;
}

static const struct {
    const char *member;
    enum cfg_change_op op;
} operations[] = {
    {"put", CFG_CHANGE_PUT},       {"patch", CFG_CHANGE_MERGE_PATCH},    {"json_patch", CFG_CHANGE_JSON_PATCH},
    {"delete", CFG_CHANGE_DELETE}, {"rollback_to", CFG_CHANGE_ROLLBACK},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static const char *operations_name(enum cfg_change_op op)
{
    size_t i = 0;
    while (i + 1 < OPERATIONS && operations[i].op != op)
        i++;
    return operations[i].member;
}

static int parse_operation(struct cfg_change_entry *e, const cJSON *item, struct cfg_error *err)
{
    const cJSON *value = NULL;
    for (size_t i = 0; i < OPERATIONS; i++) {
        const cJSON *found = cfg_json_get(item, operations[i].member);
        if (found && value)
            return cfg_fail(err, CFG_E_INVALID, "more than one operation on one object");
        if (found) {
            value = found;
            e->op = operations[i].op;
        }
    }
    if (value == NULL && e->extends) {
        e->op = CFG_CHANGE_EXTEND;
        return 0;
    }
    if (value == NULL)
        return cfg_fail(err, CFG_E_INVALID,
                        "it says nothing to do: put, patch, json_patch, extends, delete or rollback_to");
    if (e->extends && (e->op == CFG_CHANGE_ROLLBACK || e->op == CFG_CHANGE_DELETE))
        return cfg_fail(err, CFG_E_INVALID, "extends does not go with %s", operations_name(e->op));
    if (e->op == CFG_CHANGE_ROLLBACK)
        return cfg_json_need_u64(item, "rollback_to", &e->rollback_to, err);
    if (e->op == CFG_CHANGE_DELETE)
        return cJSON_IsTrue(value) ? 0 : cfg_fail(err, CFG_E_INVALID, "\"delete\" must be true");
    if (e->op == CFG_CHANGE_PUT && cfg_kind_is_of_deployment(e->id.kind))
        e->op = CFG_CHANGE_CREATE;
    return copy_body(e, value, err);
}

static int parse_object(struct cfg_change_entry *e, const cJSON *item, struct cfg_error *err)
{
    static const char *const members[] = {"object", "if_version",  "put",     "patch", "json_patch",
                                          "delete", "rollback_to", "extends", NULL};
    int rc = cfg_check_members(item, members, "an entry", err);
    if (rc == 0)
        rc = cfg_object_id_parse(&e->id, cfg_slice_str(cfg_json_get_str(item, "object", "")), err);
    if (rc == 0 && e->id.kind == CFG_KIND_EXPERIMENT) { /* its end comes with what was measured, which no client says */
        (void)cfg_fail(err, CFG_E_UNSUPPORTED, "an experiment is not changed together with other objects");
        cfg_error_set_hint(err, "POST /v1/experiments starts one, POST /v1/experiments/%s/stop ends it", e->id.ns);
        return CFG_E_UNSUPPORTED;
    }
    rc = rc ? rc : read_extends(e, item, err);
    return rc == 0 ? parse_operation(e, item, err) : rc;
}

static int parse_entry(struct cfg_change_entry *e, const cJSON *item, struct cfg_error *err)
{
    int rc = cfg_json_get(item, "set") || cfg_json_get(item, "namespace") ? parse_set(e, item, err)
                                                                          : parse_object(e, item, err);
    return rc == 0 ? read_if_version(e, item, err) : rc;
}

int cfg_change_parse(struct cfg_change *out, const cJSON *array, struct cfg_error *err)
{
    int n = cJSON_GetArraySize(array);
    if (!cJSON_IsArray(array) || n == 0)
        return cfg_fail(err, CFG_E_INVALID, "a change is an array of at least one entry");
    if (n > CFG_LIMIT_CHANGE_OBJECTS)
        return cfg_fail(err, CFG_E_LIMIT, "%d entries; a change takes at most %d", n, CFG_LIMIT_CHANGE_OBJECTS);
    struct cfg_change c = {.entries = calloc((size_t)n, sizeof *c.entries)};
    if (c.entries == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        int rc = parse_entry(&c.entries[c.n++], item, err);
        if (rc != 0) {
            size_t at = c.n;
            cfg_change_finish(&c);
            return n == 1 ? rc : cfg_error_wrap(err, "entry %zu", at);
        }
    }
    *out = c;
    return 0;
}
