/* A change against the workers that are connected now: here, by the fleet, and elsewhere, by presence records. */
#include "configd/change_checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- who is connected --- */

struct gather {
    struct cfg_bench *bench;
    bool (*fn)(const struct cfg_crew_part *part, void *arg);
    void *arg;
    bool stopped;
};

static bool tell_here(const struct cfg_crew_part *part, void *arg)
{
    struct gather *g = arg;
    g->stopped = g->stopped || !g->fn(part, g->arg);
    return !g->stopped;
}

bool cfg_crew_record_counts(const struct cfg_bench *b, const struct cfg_object *presence)
{
    const struct cfg_crew *crew = b->heads->crew;
    return crew == NULL || (strcmp(presence->id.name, crew->replica) != 0 &&
                            (crew->stands == NULL || crew->stands(crew->arg, presence)));
}

static bool tell_presence(struct cfg_object *o, void *arg)
{
    struct gather *g = arg;
    if (!cfg_crew_record_counts(g->bench, o))
        return true;
    cJSON *tree = cfg_object_tree(o);
    g->stopped = !cfg_crew_record_each(o->id.name, tree, g->fn, g->arg);
    cJSON_Delete(tree);
    return !g->stopped;
}

void cfg_crew_each(struct cfg_bench *b, const char *deployment, bool (*fn)(const struct cfg_crew_part *part, void *arg),
                   void *arg)
{
    struct gather g = {.bench = b, .fn = fn, .arg = arg};
    const struct cfg_crew *crew = b->heads->crew;
    if (crew)
        crew->each(crew->arg, deployment, tell_here, &g);
    if (!g.stopped)
        b->heads->each(b->heads->arg, CFG_KIND_PRESENCE, deployment, tell_presence, &g);
}

struct grouping {
    struct cfg_bench *bench;
    uint64_t n;
};

static bool add_groups(struct cfg_object *o, void *arg)
{
    struct grouping *g = arg;
    uint64_t n = 0;
    if (!cfg_crew_record_counts(g->bench, o))
        return true;
    cJSON *tree = cfg_object_tree(o);
    if (cfg_json_get(tree, "groups") && cfg_json_need_u64(tree, "groups", &n, NULL) == 0)
        g->n += n;
    cJSON_Delete(tree);
    return true;
}

uint64_t cfg_crew_groups_elsewhere(struct cfg_bench *b, const char *deployment)
{
    struct grouping g = {.bench = b};
    b->heads->each(b->heads->arg, CFG_KIND_PRESENCE, deployment, add_groups, &g);
    return g.n;
}

/* --- what they would reject --- */

struct verdict {
    struct cfg_bench *bench;
    const char *deployment;
    const cJSON *document;   /* a view; NULL: one value is meant */
    const char *path, *flag; /* of that value, and the flag that carries it */
    const cJSON *value;
    struct cfg_error *err;
    int rc;
};

/* Consumes v. */
static int add(struct verdict *j, const struct cfg_crew_part *part, int code, cJSON *v)
{
    const char *worker = part->n_names > 0 ? part->names[0] : NULL;
    bool ok = cJSON_AddStringToObject(v, "deployment", j->deployment) != NULL;
    if (ok && worker && cfg_json_get(v, "worker") == NULL)
        ok = cJSON_AddStringToObject(v, "worker", worker) != NULL;
    if (ok && part->workers > 0)
        ok = cJSON_AddNumberToObject(v, "workers", (double)part->workers) != NULL;
    if (ok && part->replica)
        ok = cJSON_AddStringToObject(v, "replica", part->replica) != NULL;
    if (ok && j->flag)
        ok = cJSON_AddStringToObject(v, "flag", j->flag) != NULL;
    if (ok && cJSON_AddStringToObject(v, "hint", "--force stores it all the same; these workers keep what they have"))
        return cfg_checks_add(j->bench, code, v, j->err);
    cJSON_Delete(v);
    return no_memory(j->err);
}

static bool judge_part(const struct cfg_crew_part *part, void *arg)
{
    struct verdict *j = arg;
    cJSON *broken = cJSON_CreateArray(), *above = cJSON_CreateArray();
    bool ok = broken && above;
    if (ok && j->document)
        ok = cfg_contract_check(part->contract, j->document, broken) == 0 &&
             cfg_ceilings_check(part->ceilings, j->document, above) == 0;
    else if (ok)
        ok = cfg_contract_check_value(part->contract, j->path, j->value, broken) == 0;
    j->rc = ok ? 0 : no_memory(j->err);
    while (j->rc == 0 && broken->child)
        j->rc = add(j, part, CFG_E_CONTRACT, cJSON_DetachItemViaPointer(broken, broken->child));
    while (j->rc == 0 && above->child)
        j->rc = add(j, part, CFG_E_CEILING, cJSON_DetachItemViaPointer(above, above->child));
    cJSON_Delete(broken);
    cJSON_Delete(above);
    return j->rc == 0;
}

static int ask(struct verdict *j)
{
    struct cfg_bench *b = j->bench;
    int rc = b->change->force ? 0 : cfg_bench_guard_space(b, CFG_KIND_PRESENCE, j->deployment, j->err);
    if (rc == 0)
        cfg_crew_each(b, j->deployment, judge_part, j);
    return rc ? rc : j->rc;
}

int cfg_contracts_view(struct cfg_bench *b, const struct cfg_concern *c, const cJSON *document, struct cfg_error *err)
{
    struct verdict j = {.bench = b, .deployment = c->deployment.name, .document = document, .err = err};
    return ask(&j);
}

/* --- values that a flag's variants carry --- */

struct seers {
    struct cfg_bench *bench;
    const struct cfg_draft *flag;
    struct cfg_error *err;
    int rc;
};

static bool check_seer(struct cfg_object *o, void *arg)
{
    struct seers *s = arg;
    struct cfg_deployment d;
    const cJSON *variant, *value, *overrides = cfg_json_get(s->flag->after, "overrides");
    if (o->deleted || cfg_deployment_read(&d, o, NULL) != 0)
        return true;
    bool sees = cfg_deployment_sees_flags(&d, s->flag->id.ns);
    overrides = sees ? overrides : NULL;
    cJSON_ArrayForEach(variant, overrides)
    {
        cJSON_ArrayForEach(value, variant)
        {
            char address[CFG_OBJECT_ID_TEXT];
            (void)snprintf(address, sizeof address, "%s/%s", s->flag->id.ns, s->flag->id.name);
            struct verdict j = {.bench = s->bench,
                                .deployment = d.name,
                                .path = value->string,
                                .value = value,
                                .flag = address,
                                .err = s->err};
            s->rc = s->rc ? s->rc : ask(&j);
        }
    }
    cfg_deployment_finish(&d);
    return s->rc == 0;
}

static int check_flag(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    struct seers s = {.bench = b, .flag = d, .err = err};
    const cJSON *overrides = cfg_json_get(d->after, "overrides");
    if (overrides == NULL || overrides->child == NULL || !cfg_draft_changed(d))
        return 0;
    int rc = cfg_bench_guard_space(b, CFG_KIND_DEPLOYMENT, "", err);
    if (rc == 0)
        b->heads->each(b->heads->arg, CFG_KIND_DEPLOYMENT, NULL, check_seer, &s);
    return rc ? rc : s.rc;
}

int cfg_contracts_flags(struct cfg_bench *b, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++)
        if (b->items[i]->touched && b->items[i]->id.kind == CFG_KIND_FLAG)
            rc = check_flag(b, b->items[i], err);
    return rc;
}
