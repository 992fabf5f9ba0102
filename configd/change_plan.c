#include "configd/change_plan.h"
#include "configd/fleet_reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATHS_MAX = 200 }; /* told of one deployment */

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* A parameter in one deployment. */
struct item {
    const char *path; /* borrowed */
    enum cfg_apply class;
    uint64_t workers; /* that declare it */
};
struct crew {
    struct item *items; /* owned */
    size_t n;
    uint64_t workers, unknown;
};
struct plan {
    struct cfg_bench *bench;
    const char *deployment;
    cJSON *list; /* borrowed */
    struct cfg_error *err;
};

static enum cfg_apply class_in(const cJSON *contract, const char *path)
{
    enum cfg_apply class = CFG_APPLY_NONE, one;
    const cJSON *p;
    cJSON_ArrayForEach(p, contract)
    {
        if (cfg_path_related(p->string, path) && cfg_apply_parse(&one, cfg_json_get_str(p, "class", "")) && one > class)
            class = one;
    }
    return class;
}

/* The stricter of what schema and workers declare. */
static bool count_part(const struct cfg_crew_part *part, void *arg)
{
    struct crew *c = arg;
    if (part->unknown) {
        c->unknown += part->workers;
        return true;
    }
    c->workers += part->contract ? part->workers : 0;
    for (size_t i = 0; part->contract && i < c->n; i++) {
        enum cfg_apply class = class_in(part->contract, c->items[i].path);
        if (class == CFG_APPLY_NONE)
            continue;
        c->items[i].workers += part->workers;
        if (class > c->items[i].class)
            c->items[i].class = class;
    }
    return true;
}

static uint64_t groups_of(const struct plan *p)
{
    uint64_t n = 0;
    const struct cfg_crew *crew = p->bench->heads->crew;
    if (crew && crew->groups)
        n = crew->groups(crew->arg, p->deployment);
    return n + cfg_crew_groups_elsewhere(p->bench, p->deployment);
}

static int add(const struct plan *p, const char *action, const char *path, uint64_t workers, uint64_t unknown,
               const char *reason)
{
    cJSON *entry = cJSON_CreateObject();
    if (entry && cJSON_AddStringToObject(entry, "deployment", p->deployment) &&
        cJSON_AddStringToObject(entry, "action", action) &&
        (path == NULL || cJSON_AddStringToObject(entry, "path", path)) &&
        cJSON_AddNumberToObject(entry, "workers", (double)workers) &&
        cJSON_AddNumberToObject(entry, "groups", workers > 0 ? (double)groups_of(p) : 0) &&
        (unknown == 0 || cJSON_AddNumberToObject(entry, "unknown", (double)unknown)) &&
        (reason == NULL || cJSON_AddStringToObject(entry, "reason", reason)) && cJSON_AddItemToArray(p->list, entry))
        return 0;
    cJSON_Delete(entry);
    return no_memory(p->err);
}

static int add_item(const struct plan *p, const struct item *item, uint64_t unknown)
{
    bool opaque = item->class == CFG_APPLY_NONE;
    return add(p, opaque ? "restart" : cfg_apply_name(item->class), item->path, item->workers, unknown,
               opaque ? "nobody declares it" : NULL);
}

/* What it keeps by its pin. */
static int add_kept(const struct plan *p, const cJSON *kept, const struct crew *crew)
{
    const cJSON *k;
    int rc = 0;
    cJSON_ArrayForEach(k, kept)
    {
        char reason[200];
        struct cfg_buf value;
        cfg_buf_init(&value, 4 * CFG_LIMIT_DOCUMENT);
        cfg_json_print(&value, cfg_json_get(k, "value"));
        (void)snprintf(reason, sizeof reason, "keeps %.100s", value.data ? value.data : "");
        cfg_buf_finish(&value);
        rc = rc ? rc : add(p, "pinned", cfg_json_get_str(k, "path", ""), crew->workers, crew->unknown, reason);
    }
    return rc;
}

static int add_refused(const struct plan *p, const struct crew *crew)
{
    const cJSON *v;
    int rc = 0;
    cJSON_ArrayForEach(v, cfg_checks_list(p->bench))
    {
        if (rc == 0 && strcmp(cfg_json_get_str(v, "deployment", ""), p->deployment) == 0)
            rc = add(p, "refused", cfg_json_get_str(v, "path", ""), crew->workers, crew->unknown,
                     cfg_json_get_str(v, "message", NULL));
    }
    return rc;
}

static int read_items(struct crew *crew, struct cfg_bench *b, const struct cfg_concern *c, struct cfg_error *err)
{
    struct cfg_closure closure;
    const cJSON *path, *paths = c->composed->paths;
    int rc = cfg_spaces_closure(&closure, b, c->deployment.config, true, err);
    if (rc != 0)
        return rc;
    crew->items = calloc(PATHS_MAX, sizeof *crew->items);
    rc = crew->items ? 0 : no_memory(err);
    cJSON_ArrayForEach(path, paths)
    {
        if (rc != 0 || crew->n == PATHS_MAX)
            break;
        struct item *item = &crew->items[crew->n++];
        item->path = path->valuestring;
        rc = cfg_checks_class(&item->class, b, &closure, item->path, err);
    }
    cfg_closure_finish(&closure);
    return rc;
}

static int add_held(const struct plan *p, const struct cfg_concern *c, const char *ns, const struct crew *crew)
{
    char reason[CFG_LIMIT_NAME + 40] = "it is locked";
    uint64_t version = cfg_release_version(&c->deployment.arms[0].release, ns);
    if (version > 0)
        (void)snprintf(reason, sizeof reason, "it holds %s v%llu", ns, (unsigned long long)version);
    return add(p, "held", NULL, crew->workers, crew->unknown, reason);
}

static int plan_concern(struct plan *p, const struct cfg_concern *c, const char *ns)
{
    struct crew crew = {.items = NULL};
    int rc = 0;
    if (c->told && c->composed)
        rc = read_items(&crew, p->bench, c, p->err);
    if (rc == 0)
        cfg_crew_each(p->bench, p->deployment, count_part, &crew);
    if (rc == 0 && !c->follows)
        rc = add_held(p, c, ns, &crew);
    for (size_t i = 0; i < crew.n && rc == 0 && c->follows; i++)
        rc = add_item(p, &crew.items[i], crew.unknown);
    if (rc == 0 && c->composed && c->follows)
        rc = add_kept(p, c->composed->kept, &crew);
    rc = rc ? rc : add_refused(p, &crew);
    free(crew.items);
    return rc;
}

static int plan_space(struct plan *p, const struct cfg_views *v, const struct cfg_draft *d)
{
    const struct cfg_touched_space *space = v->spaces;
    int rc = 0;
    while (space->draft != d)
        space++;
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        const struct cfg_concern *c = &v->concerns[i];
        p->deployment = c->deployment.name;
        if (cfg_names_has(&space->above, c->deployment.config))
            rc = plan_concern(p, c, d->id.ns);
    }
    return rc;
}

/* --- flags: everyone who sees them --- */

struct seers {
    struct plan *plan;
    const char *ns;
    int rc;
};

static bool plan_seer(struct cfg_object *o, void *arg)
{
    struct seers *s = arg;
    struct cfg_deployment d;
    struct crew crew = {.items = NULL};
    if (o->deleted || cfg_deployment_read(&d, o, NULL) != 0)
        return true;
    if (cfg_deployment_sees_flags(&d, s->ns)) {
        s->plan->deployment = d.name;
        cfg_crew_each(s->plan->bench, d.name, count_part, &crew);
        s->rc = add(s->plan, "live", NULL, crew.workers, crew.unknown, NULL);
        s->rc = s->rc ? s->rc : add_refused(s->plan, &crew);
    }
    cfg_deployment_finish(&d);
    return s->rc == 0;
}

int cfg_plan_report(struct cfg_bench *b, const struct cfg_views *v, const struct cfg_draft *d, cJSON *result,
                    struct cfg_error *err)
{
    struct plan p = {.bench = b, .err = err, .list = cJSON_AddArrayToObject(result, "plan")};
    if (p.list == NULL)
        return no_memory(err);
    if (!cfg_draft_changed(d))
        return 0;
    if (d->id.kind == CFG_KIND_CONFIG || d->id.kind == CFG_KIND_SCHEMA)
        return plan_space(&p, v, d);
    if (!cfg_kind_is_of_flags(d->id.kind))
        return 0;
    struct seers s = {.plan = &p, .ns = d->id.ns};
    b->heads->each(b->heads->arg, CFG_KIND_DEPLOYMENT, NULL, plan_seer, &s);
    return s.rc;
}
