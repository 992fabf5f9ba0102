/* What is served, and what the files had said before. */
#include "client/cfgctl/flag_load.h"
#include "client/cfgctl/gitops.h"
#include "client/cfgctl/progress.h"
#include "client/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES_MAX = 20, OUTSIDE_MAX = 50 }; /* pages of 100 */

static void put_path(struct cfg_buf *path, enum gitops_kind kind, const char *ns, const char *name)
{
    static const char *const patterns[] = {"/v1/config/*", "/v1/schemas/*", "/v1/evaluators/*", "/v1/flags/*/*"};
    cfg_buf_init(path, 2048);
    cfg_url_format(path, patterns[kind], ns, name);
}

/* Consumes path. */
static int get(struct cli *c, struct cfg_buf *path, cJSON **out, struct cfg_error *err)
{
    int rc = cfg_buf_status(path) == 0 ? cli_get(c, path->data, out, err) : cli_no_memory(err);
    cfg_buf_finish(path);
    return rc;
}

int gitops_fetch(struct cli *c, enum gitops_kind kind, const char *ns, const char *name, cJSON **out,
                 struct cfg_error *err)
{
    struct cfg_buf path;
    cJSON *reply = NULL;
    put_path(&path, kind, ns, name);
    int rc = get(c, &path, &reply, err);
    if (rc == CFG_E_NOT_FOUND)
        rc = 0;
    if (rc == 0)
        *out = reply;
    return rc;
}

/* Takes a reply as what is served; NULL: nothing is. */
static int take_head(struct gitops_object *o, const cJSON *reply, struct cfg_error *err)
{
    if (reply == NULL)
        return 0;
    o->version = cfg_json_get_num(reply, "version", 0);
    return gitops_body(&o->head, o->kind, reply, err);
}

static int read_head(struct cli *c, struct gitops_object *o, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = gitops_fetch(c, o->kind, o->ns, o->name, &reply, err);
    if (rc == 0)
        rc = take_head(o, reply, err);
    cJSON_Delete(reply);
    return rc;
}

/* --- flags: all of a namespace in one request --- */

/* Fills heads of flags that are known; the others are added where wanted. */
static int take_space(struct gitops *g, const char *ns, const cJSON *space, bool add, struct cfg_error *err)
{
    const cJSON *flag;
    cJSON_ArrayForEach(flag, cfg_json_get(space, "flags"))
    {
        struct gitops_object *o = gitops_find(g, GITOPS_FLAG, ns, flag->string);
        int rc = o == NULL && add ? gitops_add(&o, g, GITOPS_FLAG, ns, flag->string, err) : 0;
        if (rc == 0 && o && o->head == NULL)
            rc = take_head(o, flag, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_space(struct cli *c, struct gitops *g, const char *ns, bool add, struct cfg_error *err)
{
    cJSON *space = NULL;
    int rc = flag_fetch_space(c, ns, &space, err);
    if (rc == CFG_E_NOT_FOUND)
        rc = 0;
    else if (rc == 0)
        rc = take_space(g, ns, space, add, err);
    cJSON_Delete(space);
    return rc;
}

/* --- history --- */

struct search {
    const char *source;
    double exported;   /* the version that export read; 0: none */
    double found;      /* the newest of both kinds */
    bool deleted;      /* and whether that is a delete */
    bool marked;       /* a version from the files was seen */
    bool owned;        /* and nothing was deleted since */
    bool gone_between; /* a delete was passed on the way there */
};

static int look_at(struct search *s, struct gitops_object *o, const cJSON *version, struct cfg_error *err)
{
    double n = cfg_json_get_num(version, "version", 0);
    bool deleted = cfg_json_get_bool(version, "deleted", false);
    bool ours = gitops_is_from(cfg_json_get_str(version, "message", ""), s->source);
    if (s->found == 0 && (ours || n == s->exported)) {
        s->found = n;
        s->deleted = deleted;
    } else if (s->found == 0 && cJSON_GetArraySize(o->outside) < OUTSIDE_MAX) {
        cJSON *item = cJSON_Duplicate(version, true);
        if (item == NULL || !cJSON_AddItemToArray(o->outside, item)) {
            cJSON_Delete(item);
            return cli_no_memory(err);
        }
    }
    s->gone_between |= deleted;
    if (ours) {
        s->marked = true;
        s->owned = !s->gone_between;
    }
    return 0;
}

/* Newest first, until it is known what the files had and (of an object that no file has) whether they made it. */
static int search(struct cli *c, struct gitops_object *o, struct search *s, struct cfg_error *err)
{
    double before = 0;
    for (int page = 0; page < PAGES_MAX; page++) {
        struct cfg_buf path;
        char number[32];
        cJSON *reply = NULL;
        put_path(&path, o->kind, o->ns, o->name);
        cfg_buf_puts(&path, "/versions?limit=100");
        (void)snprintf(number, sizeof number, "%.0f", before);
        if (before > 0)
            cfg_url_query(&path, "before", number);
        int rc = get(c, &path, &reply, err);
        if (rc == CFG_E_NOT_FOUND)
            return 0; /* it never was */
        const cJSON *version;
        cJSON_ArrayForEach(version, cfg_json_get(reply, "items"))
        {
            rc = rc == 0 && !s->marked ? look_at(s, o, version, err) : rc;
        }
        before = cfg_json_get_num(reply, "next", 0);
        cJSON_Delete(reply);
        if (rc != 0 || before <= 0 || s->marked || (s->found > 0 && o->wanted))
            return rc;
    }
    return 0;
}

static int read_last(struct cli *c, struct gitops_object *o, const struct search *s, struct cfg_error *err)
{
    struct cfg_buf path;
    cJSON *reply = NULL;
    o->last_version = s->found;
    o->owned = s->owned;
    if (s->found == 0 || s->deleted)
        return 0;
    if (o->head && s->found == o->version) {
        o->last = cJSON_Duplicate(o->head, true);
        return o->last ? 0 : cli_no_memory(err);
    }
    put_path(&path, o->kind, o->ns, o->name);
    cfg_buf_printf(&path, "/versions/%.0f", s->found);
    int rc = get(c, &path, &reply, err);
    if (rc == 0)
        rc = gitops_body(&o->last, o->kind, reply, err);
    cJSON_Delete(reply);
    return rc;
}

/* Can it matter what the files had last? */
static bool needs_history(const struct gitops_object *o)
{
    return o->wanted ? !(o->head && cfg_json_equal(o->wanted, o->head)) : o->head != NULL;
}

static int read_history(struct cli *c, const struct gitops *g, struct gitops_object *o, struct cfg_error *err)
{
    char object[GITOPS_OBJECT_ROOM];
    gitops_object_text(object, o);
    struct search s = {.source = g->source, .exported = cfg_json_get_num(g->exported, object, 0)};
    o->outside = cJSON_CreateArray();
    int rc = o->outside ? search(c, o, &s, err) : cli_no_memory(err);
    return rc == 0 ? read_last(c, o, &s, err) : rc;
}

/* --- everything that is served --- */

static int add_once(struct gitops *g, enum gitops_kind kind, const char *ns, struct cfg_error *err)
{
    struct gitops_object *o;
    return gitops_find(g, kind, ns, "") ? 0 : gitops_add(&o, g, kind, ns, "", err);
}

/* The namespaces that have a document or a flag, as members of an object. Returned-owned. */
static int list_namespaces(struct cli *c, cJSON **out, struct cfg_error *err)
{
    static const char *const lists[] = {"/v1/config", "/v1/flags"};
    cJSON *names = cJSON_CreateObject();
    int rc = names ? 0 : cli_no_memory(err);
    for (int i = 0; rc == 0 && i < 2; i++) {
        cJSON *reply = NULL;
        const cJSON *item;
        rc = cli_get(c, lists[i], &reply, err);
        cJSON_ArrayForEach(item, cfg_json_get(reply, "items"))
        {
            if (rc == 0 && cfg_json_set(names, cfg_json_get_str(item, "namespace", "?"), cJSON_CreateNumber(i)) != 0)
                rc = cli_no_memory(err);
        }
        cJSON_Delete(reply);
    }
    if (rc == 0)
        *out = names;
    else
        cJSON_Delete(names);
    return rc;
}

static int add_namespace(struct gitops *g, const char *ns, struct cfg_error *err)
{
    int rc = add_once(g, GITOPS_CONFIG, ns, err);
    rc = rc ? rc : add_once(g, GITOPS_SCHEMA, ns, err);
    return rc ? rc : add_once(g, GITOPS_EVALUATORS, ns, err);
}

static int add_all(struct cli *c, struct gitops *g, struct cfg_error *err)
{
    cJSON *names = NULL;
    const cJSON *name;
    int rc = list_namespaces(c, &names, err);
    cJSON_ArrayForEach(name, names)
    {
        rc = rc == 0 ? add_namespace(g, name->string, err) : rc;
    }
    cJSON_Delete(names);
    gitops_sort(g);
    return rc;
}

static bool has_flags(const struct gitops *g, size_t at)
{
    for (size_t i = at; i < g->n && strcmp(g->objects[i].ns, g->objects[at].ns) == 0; i++)
        if (g->objects[i].kind == GITOPS_FLAG)
            return true;
    return false;
}

/* Heads of all objects of g; with add also of flags that it does not have yet. */
static int read_heads(struct cli *c, struct gitops *g, bool add, struct cfg_error *err)
{
    struct progress p;
    size_t n = g->n; /* flags are added behind */
    int rc = 0;
    progress_start(&p, "reading what is served", n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        bool first = i == 0 || strcmp(g->objects[i - 1].ns, g->objects[i].ns) != 0;
        char ns[CFG_LIMIT_NAME + 1];
        (void)snprintf(ns, sizeof ns, "%s", g->objects[i].ns);
        if (first && (add || has_flags(g, i)))
            rc = read_space(c, g, ns, add, err);
        if (rc == 0 && g->objects[i].kind != GITOPS_FLAG)
            rc = read_head(c, &g->objects[i], err);
        progress_step(&p);
    }
    progress_end(&p);
    return rc;
}

int gitops_fetch_all(struct cli *c, struct gitops *g, const char *const *names, size_t n, struct cfg_error *err)
{
    int rc = n == 0 ? add_all(c, g, err) : 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = add_namespace(g, names[i], err);
    gitops_sort(g);
    rc = rc == 0 ? read_heads(c, g, true, err) : rc;
    gitops_sort(g);
    return rc;
}

/* --- comparing --- */

/* Versions that an export read are of its store only. */
static int check_store(struct cli *c, struct gitops *g, struct cfg_error *err)
{
    cJSON *status = NULL;
    if (g->exported == NULL)
        return 0;
    int rc = cli_get(c, "/v1/status", &status, err);
    if (rc == 0 && strcmp(cfg_json_get_str(status, "store", ""), g->store) != 0) {
        cJSON_Delete(g->exported);
        g->exported = NULL;
    }
    cJSON_Delete(status);
    return rc;
}

static int read_histories(struct cli *c, struct gitops *g, struct cfg_error *err)
{
    struct progress p;
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < g->n; i++)
        n += needs_history(&g->objects[i]);
    progress_start(&p, "reading histories", n);
    for (size_t i = 0; i < g->n && rc == 0; i++) {
        if (!needs_history(&g->objects[i]))
            continue;
        rc = read_history(c, g, &g->objects[i], err);
        progress_step(&p);
    }
    progress_end(&p);
    return rc;
}

int gitops_compare(struct cli *c, struct gitops *g, bool prune, bool take, struct cfg_error *err)
{
    int rc = check_store(c, g, err);
    if (rc == 0 && prune)
        rc = add_all(c, g, err);
    if (rc == 0)
        rc = read_heads(c, g, prune, err);
    if (rc == 0)
        rc = read_histories(c, g, err);
    for (size_t i = 0; i < g->n && rc == 0; i++) {
        struct gitops_object *o = &g->objects[i];
        const struct reconcile_state s = {.file = o->wanted,
                                          .last = o->last,
                                          .head = o->head,
                                          .known = o->last_version > 0,
                                          .owned = o->owned,
                                          .prune = prune,
                                          .take = take};
        o->action = reconcile_decide(&s);
    }
    gitops_sort(g);
    return rc;
}
