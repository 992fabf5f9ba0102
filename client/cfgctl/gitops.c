#include "client/cfgctl/gitops.h"

#include "client/cfgctl/flag_edit.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gitops_finish(struct gitops *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct gitops_object *o = &g->objects[i];
        free(o->file);
        cJSON_Delete(o->wanted);
        cJSON_Delete(o->head);
        cJSON_Delete(o->last);
        cJSON_Delete(o->outside);
    }
    free(g->objects);
    cJSON_Delete(g->exported);
    *g = (struct gitops){.n = 0};
}

int gitops_add(struct gitops_object **out, struct gitops *g, enum gitops_kind kind, const char *ns, const char *name,
               struct cfg_error *err)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 32;
        struct gitops_object *grown = realloc(g->objects, cap * sizeof *grown);
        if (grown == NULL)
            return cli_no_memory(err);
        g->objects = grown;
        g->cap = cap;
    }
    struct gitops_object *o = &g->objects[g->n++];
    *o = (struct gitops_object){.kind = kind};
    (void)snprintf(o->ns, sizeof o->ns, "%s", ns);
    (void)snprintf(o->name, sizeof o->name, "%s", name);
    *out = o;
    return 0;
}

struct gitops_object *gitops_find(const struct gitops *g, enum gitops_kind kind, const char *ns, const char *name)
{
    for (size_t i = 0; i < g->n; i++) {
        struct gitops_object *o = &g->objects[i];
        if (o->kind == kind && strcmp(o->ns, ns) == 0 && strcmp(o->name, name) == 0)
            return o;
    }
    return NULL;
}

static int order(const void *a, const void *b)
{
    const struct gitops_object *x = a, *y = b;
    int by_ns = strcmp(x->ns, y->ns);
    if (by_ns != 0)
        return by_ns;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->name, y->name);
}

void gitops_sort(struct gitops *g)
{
    if (g->n > 1)
        qsort(g->objects, g->n, sizeof *g->objects, order);
}

void gitops_object_text(char out[GITOPS_OBJECT_ROOM], const struct gitops_object *o)
{
    static const char *const kinds[] = {"config", "schema", "evaluators", "flag"};
    (void)snprintf(out, GITOPS_OBJECT_ROOM, "%s/%s%s%s", kinds[o->kind], o->ns, o->name[0] ? "/" : "", o->name);
}

bool gitops_is_from(const char *message, const char *source)
{
    char mark[GITOPS_SOURCE_MAX + 16];
    size_t n = strlen(message), m = (size_t)snprintf(mark, sizeof mark, "[apply %s]", source);
    return n >= m && strcmp(message + n - m, mark) == 0;
}

int gitops_check_source(const char *name, struct cfg_error *err)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/:@+-");
    if (n > 0 && n <= GITOPS_SOURCE_MAX && name[n] == '\0')
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' cannot name a source", name);
    cfg_error_set_hint(err, "--source NAME: up to %d of letters, digits and . _ / : @ + -", GITOPS_SOURCE_MAX);
    return CFG_E_INVALID;
}

/* --- normal forms --- */

/* Sets a copy of a member. */
static int copy(cJSON *out, const char *key, const cJSON *v, struct cfg_error *err)
{
    return cfg_json_set(out, key, cJSON_Duplicate(v, true)) == 0 ? 0 : cli_no_memory(err);
}

static bool is_default(const cJSON *member)
{
    if (cJSON_IsNull(member))
        return true;
    if (strcmp(member->string, "hash_version") == 0)
        return cJSON_IsNumber(member) && member->valueint == 2;
    bool container = cJSON_IsObject(member) || cJSON_IsArray(member);
    return container && member->child == NULL && strcmp(member->string, "definition") != 0;
}

/* envelope is consumed. */
static int normal_flag(cJSON **out, cJSON *envelope, struct cfg_error *err)
{
    if (envelope == NULL)
        return cli_no_memory(err);
    for (cJSON *m = envelope->child, *next; m; m = next) {
        next = m->next;
        if (is_default(m))
            cJSON_Delete(cJSON_DetachItemViaPointer(envelope, m));
    }
    if (cfg_json_get(envelope, "enabled") == NULL && cJSON_AddTrueToObject(envelope, "enabled") == NULL) {
        cJSON_Delete(envelope);
        return cli_no_memory(err);
    }
    *out = envelope;
    return 0;
}

int gitops_segments(cJSON **out, const cJSON *evaluators, const cJSON *metadata, struct cfg_error *err)
{
    cJSON *body = NULL;
    bool some = (evaluators && evaluators->child) || (metadata && metadata->child);
    if (some) {
        body = cJSON_CreateObject();
        cJSON *e = evaluators ? cJSON_Duplicate(evaluators, true) : cJSON_CreateObject();
        cJSON *m = metadata ? cJSON_Duplicate(metadata, true) : cJSON_CreateObject();
        int rc = body ? cfg_json_set(body, "evaluators", e) : CFG_E_NOMEM;
        if (body == NULL)
            cJSON_Delete(e);
        if (rc == 0)
            rc = cfg_json_set(body, "metadata", m);
        else
            cJSON_Delete(m);
        if (rc != 0) {
            cJSON_Delete(body);
            return cli_no_memory(err);
        }
    }
    *out = body;
    return 0;
}

static int normal_config(cJSON **out, const cJSON *reply, struct cfg_error *err)
{
    const cJSON *extends = cfg_json_get(reply, "extends");
    cJSON *body = cJSON_CreateObject();
    int rc = body ? copy(body, "document", cfg_json_get(reply, "document"), err) : cli_no_memory(err);
    if (rc == 0)
        rc = cfg_json_set(body, "extends", extends ? cJSON_Duplicate(extends, true) : cJSON_CreateArray()) == 0
                 ? 0
                 : cli_no_memory(err);
    if (rc == 0)
        *out = body;
    else
        cJSON_Delete(body);
    return rc;
}

int gitops_body(cJSON **out, enum gitops_kind kind, const cJSON *reply, struct cfg_error *err)
{
    static const char *const content[] = {"document", "schema", "evaluators", "definition"};
    if (cfg_json_get(reply, content[kind]) == NULL)
        return cfg_fail(err, CFG_E_PROTOCOL, "the server's reply has no \"%s\"", content[kind]);
    if (kind == GITOPS_CONFIG)
        return normal_config(out, reply, err);
    if (kind == GITOPS_FLAG)
        return normal_flag(out, flag_envelope_of(reply), err);
    if (kind == GITOPS_EVALUATORS)
        return gitops_segments(out, cfg_json_get(reply, "evaluators"), cfg_json_get(reply, "metadata"), err);
    cJSON *schema = cJSON_Duplicate(cfg_json_get(reply, "schema"), true);
    if (schema == NULL)
        return cli_no_memory(err);
    cfg_json_forget_key(schema);
    *out = schema;
    return 0;
}

/* --- flags in files --- */

static const char *const around[] = {"enabled", "off_variant", "hash_version", "prerequisites",
                                     "group",   "holdouts",    "overrides",    NULL};

static bool is_around(const char *key)
{
    const char *const *k = around;
    while (*k && strcmp(*k, key) != 0)
        k++;
    return *k != NULL;
}

static int unknown_member(const char *key, struct cfg_error *err)
{
    size_t n = sizeof around / sizeof around[0] - 1;
    const char *near = cfg_near_miss(key, around, n);
    (void)cfg_fail(err, CFG_E_VALUE, "configd.%.60s is nothing that a flag has", key);
    if (near)
        cfg_error_set_hint(err, "did you mean configd.%s?", near);
    return CFG_E_VALUE;
}

int gitops_flag_read(cJSON **out, const cJSON *flag, struct cfg_error *err)
{
    const cJSON *extra = cfg_json_get(flag, "configd"), *m;
    if (!cJSON_IsObject(flag))
        return cfg_fail(err, CFG_E_VALUE, "a flag is an object");
    if (extra && !cJSON_IsObject(extra))
        return cfg_fail(err, CFG_E_VALUE, "configd must be an object");
    cJSON *envelope = cJSON_CreateObject(), *definition = cJSON_Duplicate(flag, true);
    cJSON_DeleteItemFromObjectCaseSensitive(definition, "configd");
    if (envelope == NULL) {
        cJSON_Delete(definition);
        return cli_no_memory(err);
    }
    int rc = cfg_json_set(envelope, "definition", definition) == 0 ? 0 : cli_no_memory(err);
    cJSON_ArrayForEach(m, extra)
    {
        if (rc == 0)
            rc = is_around(m->string) ? copy(envelope, m->string, m, err) : unknown_member(m->string, err);
    }
    if (rc == 0)
        return normal_flag(out, envelope, err);
    cJSON_Delete(envelope);
    return rc;
}

int gitops_flag_write(cJSON **out, const cJSON *envelope, struct cfg_error *err)
{
    cJSON *flag = cJSON_Duplicate(cfg_json_get(envelope, "definition"), true), *extra = cJSON_CreateObject();
    const cJSON *m;
    int rc = flag && extra ? 0 : cli_no_memory(err);
    if (flag)
        cfg_json_forget_key(flag);
    cJSON_ArrayForEach(m, envelope)
    {
        bool switched_on = strcmp(m->string, "enabled") == 0 && cJSON_IsTrue(m);
        if (rc == 0 && is_around(m->string) && !switched_on)
            rc = copy(extra, m->string, m, err);
    }
    if (rc == 0 && extra->child) {
        rc = cfg_json_set(flag, "configd", extra) == 0 ? 0 : cli_no_memory(err);
        extra = NULL;
    }
    cJSON_Delete(extra);
    if (rc == 0)
        *out = flag;
    else
        cJSON_Delete(flag);
    return rc;
}
