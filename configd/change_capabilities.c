/* Flags that require capabilities, against the workers that are connected now: one that lacks what a flag requires must
 * not have it turned on. As with contracts, here the fleet is asked, elsewhere presence records tell; the guard on
 * presence makes sure that nobody comes between the decision and the commit. What a replica does not tell counts
 * against the write: it may be the one worker that lacks it. */
#include "configd/change_checks.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 8, TEXT = 160 };

struct demand {
    struct cfg_bench *bench;
    const char *deployment, *flag; /* flag: its address */
    const cJSON *required;         /* array of names */
    struct cfg_error *err;
    int rc;
};

static bool has(const cJSON *list, const char *name)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, list)
    {
        if (cJSON_IsString(c) && strcmp(c->valuestring, name) == 0)
            return true;
    }
    return false;
}

/* Consumes v. */
static int add(struct demand *d, const struct cfg_crew_skills *s, cJSON *v)
{
    bool ok = v && cJSON_AddStringToObject(v, "deployment", d->deployment) &&
              cJSON_AddStringToObject(v, "flag", d->flag) &&
              cJSON_AddNumberToObject(v, "workers", (double)s->workers) &&
              (s->n_names == 0 || cJSON_AddStringToObject(v, "worker", s->names[0])) &&
              (s->replica == NULL || cJSON_AddStringToObject(v, "replica", s->replica)) &&
              cJSON_AddStringToObject(v, "hint",
                                      "--force turns it on all the same; these workers may not be able to "
                                      "do what it asks");
    if (ok)
        return cfg_checks_add(d->bench, CFG_E_CAPABILITY, v, d->err);
    cJSON_Delete(v);
    return cfg_fail(d->err, CFG_E_NOMEM, "out of memory");
}

static void put_names(char out[TEXT], const struct cfg_crew_skills *s)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->n_names && n < TEXT - 1; i++)
        n += (size_t)snprintf(out + n, TEXT - n, "%s%.40s", i > 0 ? ", " : "", s->names[i]);
    if (s->workers > s->n_names && n < TEXT - 1)
        (void)snprintf(out + n, TEXT - n, "%s%llu %s", n > 0 ? " and " : "",
                       (unsigned long long)(s->workers - s->n_names), n > 0 ? "more" : "workers");
}

static bool judge(const struct cfg_crew_skills *s, void *arg)
{
    struct demand *d = arg;
    char names[TEXT];
    const cJSON *r;
    put_names(names, s);
    if (s->unknown) {
        d->rc = add(d, s,
                    cfg_violation_new("requires", "capability", "what %llu workers at %s can do is not known",
                                      (unsigned long long)s->workers, s->replica ? s->replica : "this configd"));
        return d->rc == 0;
    }
    cJSON_ArrayForEach(r, d->required)
    {
        if (d->rc == 0 && !has(s->capabilities, r->valuestring))
            d->rc = add(d, s,
                        cfg_violation_new("requires", "capability", "it requires %s, which %s lack%s", r->valuestring,
                                          names, s->workers == 1 ? "s" : ""));
    }
    return d->rc == 0;
}

/* --- who can do what --- */

/* What a record does not tell is unknown, never nobody. */
static bool judge_presence(struct cfg_object *o, void *arg)
{
    struct demand *d = arg;
    const struct cfg_crew *crew = d->bench->heads->crew;
    if (crew && strcmp(o->id.name, crew->replica) == 0)
        return true;
    cJSON *tree = cfg_object_tree(o);
    const cJSON *entry, *name;
    uint64_t total = 1, told = 0;
    bool whole = cfg_json_need_u64(tree, "workers", &total, NULL) == 0;
    cJSON_ArrayForEach(entry, cfg_json_get(tree, "capabilities"))
    {
        const char *names[NAMES_MAX];
        struct cfg_crew_skills s = {.replica = o->id.name, .capabilities = cfg_json_get(entry, "has"), .names = names};
        if (!cJSON_IsArray(s.capabilities) || cfg_json_need_u64(entry, "workers", &s.workers, NULL) != 0)
            continue;
        cJSON_ArrayForEach(name, cfg_json_get(entry, "names"))
        {
            if (cJSON_IsString(name) && s.n_names < NAMES_MAX)
                names[s.n_names++] = name->valuestring;
        }
        told += s.workers;
        if (d->rc == 0)
            (void)judge(&s, d);
    }
    if (d->rc == 0 && (!whole || told < total))
        (void)judge(&(struct cfg_crew_skills){.replica = o->id.name,
                                              .unknown = true,
                                              .workers = total > told ? total - told : 1},
                    d);
    cJSON_Delete(tree);
    return d->rc == 0;
}

static int ask(struct demand *d)
{
    struct cfg_bench *b = d->bench;
    const struct cfg_crew *crew = b->heads->crew;
    int rc = b->change->force ? 0 : cfg_bench_guard_space(b, CFG_KIND_PRESENCE, d->deployment, d->err);
    if (rc == 0 && crew && crew->skills)
        crew->skills(crew->arg, d->deployment, judge, d);
    if (rc == 0 && d->rc == 0)
        b->heads->each(b->heads->arg, CFG_KIND_PRESENCE, d->deployment, judge_presence, d);
    return rc ? rc : d->rc;
}

/* --- flags that are turned on --- */

struct seers {
    struct cfg_bench *bench;
    const struct cfg_draft *flag;
    const cJSON *required;
    struct cfg_error *err;
    int rc;
};

static bool check_seer(struct cfg_object *o, void *arg)
{
    struct seers *s = arg;
    struct cfg_deployment d;
    if (o->deleted || cfg_deployment_read(&d, o, NULL) != 0)
        return true;
    if (cfg_deployment_sees_flags(&d, s->flag->id.ns)) {
        char address[CFG_OBJECT_ID_TEXT];
        (void)snprintf(address, sizeof address, "%s/%s", s->flag->id.ns, s->flag->id.name);
        struct demand demand = {
            .bench = s->bench, .deployment = d.name, .flag = address, .required = s->required, .err = s->err};
        s->rc = ask(&demand);
    }
    cfg_deployment_finish(&d);
    return s->rc == 0;
}

/* What a flag requires of workers while it is on; NULL: nothing, or it is off. */
static const cJSON *required_by(const cJSON *flag)
{
    const cJSON *list = cfg_json_get(flag, "requires");
    return flag && cfg_json_get_bool(flag, "enabled", true) && cJSON_IsArray(list) && list->child ? list : NULL;
}

/* Only what this write turns on, or demands more of: what was forced before stays as it is. */
static bool demands_more(const struct cfg_draft *d)
{
    const cJSON *before = required_by(d->before), *after = required_by(d->after), *r;
    cJSON_ArrayForEach(r, after)
    {
        if (!has(before, r->valuestring))
            return true;
    }
    return false;
}

/* --- deployments that come to see flags --- */

struct seen {
    struct cfg_bench *bench;
    const char *deployment;
    struct cfg_error *err;
    int rc;
};

static bool check_seen(struct cfg_object *o, void *arg)
{
    struct seen *s = arg;
    char address[CFG_OBJECT_ID_TEXT];
    const struct cfg_draft *draft = cfg_bench_find(s->bench, &o->id);
    const cJSON *required = draft ? required_by(draft->after) : o->deleted ? NULL : cfg_flag_facts_requires(o->facts);
    (void)snprintf(address, sizeof address, "%s/%s", o->id.ns, o->id.name);
    struct demand demand = {
        .bench = s->bench, .deployment = s->deployment, .flag = address, .required = required, .err = s->err};
    s->rc = required ? ask(&demand) : 0;
    return s->rc == 0;
}

static int check_view_of_flags(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *before = cfg_json_get(d->before, "flags"), *ns;
    struct seen s = {.bench = b, .deployment = d->id.ns, .err = err};
    cJSON_ArrayForEach(ns, cfg_json_get(d->after, "flags"))
    {
        if (s.rc != 0 || has(before, ns->valuestring))
            continue;
        s.rc = cfg_bench_guard_space(b, CFG_KIND_FLAG, ns->valuestring, err);
        if (s.rc == 0)
            b->heads->each(b->heads->arg, CFG_KIND_FLAG, ns->valuestring, check_seen, &s);
    }
    return s.rc;
}

int cfg_capabilities_flags(struct cfg_bench *b, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++)
        if (b->items[i]->touched && b->items[i]->id.kind == CFG_KIND_DEPLOYMENT && b->items[i]->before)
            rc = check_view_of_flags(b, b->items[i], err);
    for (size_t i = 0; i < b->n && rc == 0; i++) {
        const struct cfg_draft *d = b->items[i];
        struct seers s = {.bench = b, .flag = d, .required = required_by(d->after), .err = err};
        if (!d->touched || d->id.kind != CFG_KIND_FLAG || !demands_more(d))
            continue;
        rc = cfg_bench_guard_space(b, CFG_KIND_DEPLOYMENT, "", err);
        if (rc == 0)
            b->heads->each(b->heads->arg, CFG_KIND_DEPLOYMENT, NULL, check_seer, &s);
        rc = rc ? rc : s.rc;
    }
    return rc;
}
