/* From the store to the plan: which flags of a namespace look at the time, and up to when their flips were heard. */
#include "configd/flip_internal.h"

#include <string.h>

struct gather {
    cJSON *flags;
    bool shared_timed, failed;
};

/* Prerequisites and groups do not move a flip, and what they name is not all there. */
static bool add_timed(struct cfg_object *o, void *arg)
{
    struct gather *g = arg;
    const struct cfg_flag_facts *facts = o->facts;
    if (o->deleted || facts == NULL || !(facts->timed || (facts->n_refs > 0 && g->shared_timed)))
        return true;
    cJSON *body = cfg_object_body(o);
    cJSON_DeleteItemFromObjectCaseSensitive(body, "prerequisites");
    cJSON_DeleteItemFromObjectCaseSensitive(body, "group");
    if (body && cJSON_AddItemToObject(g->flags, o->id.name, body))
        return true;
    cJSON_Delete(body);
    g->failed = true;
    return false;
}

/* NULL when no flag looks at the time, and without memory: the next change of the namespace tries again. */
static struct cfg_flag_set *compile(const struct cfg_store *store, const char *ns)
{
    const struct cfg_object *shared = cfg_store_find(store, CFG_KIND_EVALUATORS, ns, NULL);
    struct gather g = {.flags = cJSON_CreateObject(), .shared_timed = shared && shared->facts && shared->facts->timed};
    struct cfg_flag_set *set = NULL;
    if (g.flags)
        cfg_store_each(store, CFG_KIND_FLAG, ns, add_timed, &g);
    if (g.flags && g.flags->child && !g.failed) {
        cJSON *rules = shared && !shared->deleted ? cfg_object_body(shared) : NULL;
        const struct cfg_flag_source source = {
            .flags = g.flags, .evaluators = cfg_json_get(rules, "evaluators"), .keep_broken = true, .strict = true};
        if (cfg_flag_set_compile(&set, &source, NULL) != 0)
            set = NULL;
        cJSON_Delete(rules);
    }
    cJSON_Delete(g.flags);
    if (set && cfg_flag_set_next_flip(set, INT64_MIN) == CFG_FLAG_NEVER) {
        cfg_flag_set_free(set);
        set = NULL;
    }
    return set;
}

static int64_t told(const struct cfg_store *store, const char *ns)
{
    const struct cfg_object *o = cfg_store_find(store, CFG_KIND_FLIP, ns, NULL);
    cJSON *body = o && !o->deleted ? cfg_object_body(o) : NULL;
    int64_t at = body ? (int64_t)cfg_json_get_num(body, "at", 0) : INT64_MIN;
    cJSON_Delete(body);
    return at;
}

struct newest {
    int64_t time;
};

static bool take_time(struct cfg_object *o, void *arg)
{
    struct newest *n = arg;
    int64_t time = o->id.kind == CFG_KIND_FLIP ? 0 : cfg_object_time(o);
    n->time = time > n->time ? time : n->time;
    return true;
}

void cfg_flips_plan_space(struct cfg_flip_plan *p, const struct cfg_store *store, const char *ns,
                          const struct cfg_object *changed, int64_t now)
{
    struct newest n = {0};
    struct cfg_flag_set *set = compile(store, ns);
    if (set && changed)
        (void)take_time((struct cfg_object *)(uintptr_t)changed, &n);
    else if (set)
        cfg_store_each_of_flags(store, ns, take_time, &n);
    int64_t heard = n.time < now ? n.time : now, at = told(store, ns);
    if (cfg_flip_plan_put(p, ns, set, heard > at ? heard : at, NULL) != 0)
        return; /* without memory: as in compile */
}

struct spaces {
    struct cfg_flip_plan *plan;
    const struct cfg_store *store;
    const char *last;
    int64_t now;
};

static bool plan_once(struct cfg_object *o, void *arg)
{
    struct spaces *s = arg;
    if (s->last == NULL || strcmp(s->last, o->id.ns) != 0)
        cfg_flips_plan_space(s->plan, s->store, o->id.ns, NULL, s->now);
    s->last = o->id.ns;
    return true;
}

void cfg_flips_plan_all(struct cfg_flip_plan *p, const struct cfg_store *store, int64_t now)
{
    struct spaces s = {p, store, NULL, now};
    cfg_flip_plan_finish(p);
    cfg_store_each(store, CFG_KIND_FLAG, NULL, plan_once, &s);
}

static bool is_timed(const struct cfg_object *o, bool shared_timed)
{
    return o && o->facts && (o->facts->timed || (o->facts->n_refs > 0 && shared_timed));
}

/* Does the change move what is planned? Most flags do not look at the time. */
static bool matters(const struct cfg_store *store, const struct cfg_store_change *c)
{
    const struct cfg_object *o = c->after ? c->after : c->before;
    if (o->id.kind == CFG_KIND_EVALUATORS)
        return true;
    if (o->id.kind != CFG_KIND_FLAG)
        return false;
    const struct cfg_object *shared = cfg_store_find(store, CFG_KIND_EVALUATORS, o->id.ns, NULL);
    bool shared_timed = shared && shared->facts && shared->facts->timed;
    return is_timed(c->before, shared_timed) || is_timed(c->after, shared_timed);
}

static bool same_space(const struct cfg_store_change *a, const struct cfg_store_change *b)
{
    return strcmp((a->after ? a->after : a->before)->id.ns, (b->after ? b->after : b->before)->id.ns) == 0;
}

void cfg_flips_plan_changes(struct cfg_flip_plan *p, const struct cfg_store *store,
                            const struct cfg_store_change *changes, size_t n, int64_t now)
{
    for (size_t i = 0; i < n; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        if (o->id.kind == CFG_KIND_FLIP)
            cfg_flip_plan_heard(p, o->id.ns, told(store, o->id.ns));
        if (!matters(store, &changes[i]))
            continue;
        bool again = false; /* a namespace once, with the last of its changes: those of one revision have one time */
        for (size_t k = i + 1; k < n && !again; k++)
            again = same_space(&changes[i], &changes[k]) && matters(store, &changes[k]);
        if (!again)
            cfg_flips_plan_space(p, store, o->id.ns, o, now);
    }
}
