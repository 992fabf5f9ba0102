/* Flags and deployments that require capabilities, against the workers that are connected now: one that lacks what a
 * flag requires must not have it turned on, nor be shown it by its deployment. As with contracts, here the fleet is
 * asked, elsewhere presence records tell; the guard on presence makes sure that nobody comes between the decision and
 * the commit. What a replica does not tell counts against the write: it may be the one worker that lacks it. */
#include "configd/change_checks.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 160 };

struct demand {
    struct cfg_bench *bench;
    const char *deployment, *flag; /* flag: its address; NULL: the deployment itself asks for it */
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
              (d->flag == NULL || cJSON_AddStringToObject(v, "flag", d->flag)) &&
              cJSON_AddNumberToObject(v, "workers", (double)s->workers) &&
              (s->n_names == 0 || cJSON_AddStringToObject(v, "worker", s->names[0])) &&
              (s->replica == NULL || cJSON_AddStringToObject(v, "replica", s->replica)) &&
              cJSON_AddStringToObject(v, "hint",
                                      "--force does it all the same; these workers may not be able to do what "
                                      "is asked");
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

static bool judge_presence(struct cfg_object *o, void *arg)
{
    struct demand *d = arg;
    if (!cfg_crew_record_counts(d->bench, o))
        return true;
    cJSON *tree = cfg_object_tree(o);
    (void)cfg_crew_record_skills(o->id.name, tree, judge, d);
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
static bool demands_more(const cJSON *before, const cJSON *after)
{
    const cJSON *r;
    cJSON_ArrayForEach(r, after)
    {
        if (!has(before, r->valuestring))
            return true;
    }
    return false;
}

int cfg_capabilities_flags(struct cfg_bench *b, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++) {
        const struct cfg_draft *d = b->items[i];
        struct seers s = {.bench = b, .flag = d, .required = required_by(d->after), .err = err};
        if (!d->touched || d->id.kind != CFG_KIND_FLAG || !demands_more(required_by(d->before), s.required))
            continue;
        rc = cfg_bench_guard_space(b, CFG_KIND_DEPLOYMENT, "", err);
        if (rc == 0)
            b->heads->each(b->heads->arg, CFG_KIND_DEPLOYMENT, NULL, check_seer, &s);
        rc = rc ? rc : s.rc;
    }
    return rc;
}

/* --- deployments that ask for more, or see more flags --- */

struct sight {
    struct cfg_bench *bench;
    const struct cfg_draft *deployment;
    struct cfg_error *err;
};

struct seen {
    const struct sight *sight;
    const char *ns;
};

static int demand(const struct sight *s, const char *flag, const cJSON *required)
{
    struct demand demand = {
        .bench = s->bench, .deployment = s->deployment->id.ns, .flag = flag, .required = required, .err = s->err};
    return ask(&demand);
}

/* A flag of a namespace that comes into sight, as the change leaves it behind. */
static int check_seen(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                      const struct cfg_object *head)
{
    (void)body, (void)head;
    const struct seen *seen = arg;
    char address[CFG_OBJECT_ID_TEXT];
    if (cfg_flag_facts_requires(facts) == NULL)
        return 0;
    (void)snprintf(address, sizeof address, "%s/%s", seen->ns, name);
    return demand(seen->sight, address, cfg_flag_facts_requires(facts));
}

int cfg_capabilities_deployments(struct cfg_bench *b, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++) {
        const struct cfg_draft *d = b->items[i];
        struct sight s = {b, d, err};
        if (!d->touched || d->id.kind != CFG_KIND_DEPLOYMENT || d->after == NULL)
            continue;
        const cJSON *required = cfg_json_get(d->after, "requires"), *flags = cfg_json_get(d->before, "flags"), *ns;
        if (demands_more(cfg_json_get(d->before, "requires"), required))
            rc = demand(&s, NULL, required);
        cJSON_ArrayForEach(ns, cfg_json_get(d->after, "flags"))
        {
            struct seen seen = {&s, ns->valuestring};
            if (rc == 0 && !has(flags, ns->valuestring))
                rc = cfg_flags_each_after(b, ns->valuestring, check_seen, &seen, err);
        }
    }
    return rc;
}
