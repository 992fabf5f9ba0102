/* Applying a policy: the six stages. See policy.h. */
#include "worker/cfg-infer/policy_internal.h"
#include <stdio.h>
#include <string.h>

enum { LEVELS = 3 }; /* tenant, tier, all: the most specific first */

struct run {
    const struct cfg_policy_rules *levels[LEVELS]; /* NULL: has none */
    cJSON *body, *explained;
    struct cfg_ask *ask; /* from the last stage on */
    struct cfg_error *err;
};

typedef int (*rule_fn)(struct run *r, const char *name, const cJSON *rule);

static const cJSON *rules_of(const struct run *r, size_t level, enum cfg_policy_stage stage)
{
    return r->levels[level] != NULL ? r->levels[level]->stages[stage] : NULL;
}

/* Every rule of a stage that holds: about one name the most specific level's, unless that is null. */
static int each_rule(struct run *r, enum cfg_policy_stage stage, rule_fn fn)
{
    for (size_t level = 0; level < LEVELS; level++) {
        const cJSON *rule;
        cJSON_ArrayForEach(rule, rules_of(r, level, stage))
        {
            bool overruled = cJSON_IsNull(rule);
            for (size_t nearer = 0; nearer < level; nearer++) {
                overruled = overruled || cfg_json_get(rules_of(r, nearer, stage), rule->string) != NULL;
            }
            int rc = overruled ? 0 : fn(r, rule->string, rule);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

static int no_memory(struct run *r)
{
    return cfg_fail(r->err, CFG_E_NOMEM, "out of memory");
}

/* One line of the explanation; from and to are copied and may be NULL. */
static int explain(struct run *r, const char *what, const char *param, const cJSON *from, const cJSON *to)
{
    if (r->explained == NULL) {
        return 0;
    }
    cJSON *o = cJSON_CreateObject();
    bool ok = o != NULL && cfg_json_set(o, "do", cJSON_CreateString(what)) == 0 &&
              cfg_json_set(o, "param", cJSON_CreateString(param)) == 0 &&
              (from == NULL || cfg_json_set(o, "from", cJSON_Duplicate(from, true)) == 0) &&
              (to == NULL || cfg_json_set(o, "to", cJSON_Duplicate(to, true)) == 0);
    if (!ok || !cJSON_AddItemToArray(r->explained, o)) {
        cJSON_Delete(o);
        return no_memory(r);
    }
    return 0;
}

static int set(struct run *r, const char *name, const cJSON *value)
{
    return cfg_json_set(r->body, name, cJSON_Duplicate(value, true)) == 0 ? 0 : no_memory(r);
}

/* null counts as absent, so it is taken away before anything looks. */
static void drop_nulls(cJSON *body)
{
    cJSON *next;
    for (cJSON *v = body->child; v != NULL; v = next) {
        next = v->next;
        if (cJSON_IsNull(v)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(body, v));
        }
    }
}

static int rename_one(struct run *r, const char *name, const cJSON *rule)
{
    const cJSON *v = cfg_json_get(r->body, name);
    const char *to = rule->valuestring;
    if (v == NULL) {
        return 0;
    }
    if (cfg_json_get(r->body, to) != NULL) {
        (void)cfg_fail(r->err, CFG_E_INVALID, "%s: it means %s, which is given too", name, to);
        cfg_error_set_path(r->err, "%s", name);
        return CFG_E_INVALID;
    }
    int rc = set(r, to, v);
    rc = rc != 0 ? rc : explain(r, "rename", name, NULL, rule);
    cJSON_DeleteItemFromObjectCaseSensitive(r->body, name);
    return rc;
}

static int drop(struct run *r)
{
    for (size_t level = 0; level < LEVELS; level++) {
        const cJSON *name;
        cJSON_ArrayForEach(name, rules_of(r, level, CFG_DROP))
        {
            const cJSON *v = cfg_json_get(r->body, name->valuestring);
            if (v != NULL) {
                int rc = explain(r, "drop", name->valuestring, v, NULL);
                cJSON_DeleteItemFromObjectCaseSensitive(r->body, name->valuestring);
                if (rc != 0) {
                    return rc;
                }
            }
        }
    }
    return 0;
}

static int default_one(struct run *r, const char *name, const cJSON *rule)
{
    if (cfg_json_get(r->body, name) != NULL) {
        return 0;
    }
    int rc = set(r, name, rule);
    return rc != 0 ? rc : explain(r, "default", name, NULL, rule);
}

static int force_one(struct run *r, const char *name, const cJSON *rule)
{
    const cJSON *v = cfg_json_get(r->body, name);
    if (v != NULL && cfg_json_equal(v, rule)) {
        return 0;
    }
    int rc = explain(r, "force", name, v, rule);
    return rc != 0 ? rc : set(r, name, rule);
}

/* Numbers only: what is mistyped is the reader's to refuse. */
static int clamp_one(struct run *r, const char *name, const cJSON *rule)
{
    cJSON *v = cfg_json_get(r->body, name);
    if (!cJSON_IsNumber(v)) {
        return 0;
    }
    double x = v->valuedouble;
    double low = cfg_json_get_num(rule, "min", x), high = cfg_json_get_num(rule, "max", x);
    double held = x < low ? low : x > high ? high : x;
    if (!(held < x) && !(held > x)) {
        return 0;
    }
    cJSON *now = cJSON_CreateNumber(held);
    int rc = now != NULL ? explain(r, "clamp", name, v, now) : no_memory(r);
    if (rc != 0) {
        cJSON_Delete(now);
        return rc;
    }
    return cfg_json_set(r->body, name, now) == 0 ? 0 : no_memory(r);
}

/* The same bounds for a value that the request leaves to the live parameters. */
static int hold_one(struct run *r, const char *name, const cJSON *rule)
{
    struct cfg_knob_ask *k = &r->ask->knobs[cfg_ask_knob(name)];
    k->low = cfg_json_get_num(rule, "min", k->low);
    k->high = cfg_json_get_num(rule, "max", k->high);
    return k->set ? 0 : explain(r, "clamp", name, NULL, rule);
}

/* The parameter at the front of a violation's path: "stop[2]" is about stop. */
static int violated(struct run *r, const cJSON *violation)
{
    const char *path = cfg_json_get_str(violation, "path", "");
    char param[160];
    (void)snprintf(param, sizeof param, "%.*s", (int)strcspn(path, ".["), path);
    (void)cfg_fail(r->err, CFG_E_INVALID, "%s%s%s: by policy", path, path[0] != '\0' ? ": " : "",
                   cfg_json_get_str(violation, "message", "the request is not valid"));
    cfg_error_set_path(r->err, "%s", param);
    cfg_error_set_hint(r->err, "%s", cfg_json_get_str(violation, "hint", ""));
    return CFG_E_INVALID;
}

static int validate(struct run *r)
{
    for (size_t level = 0; level < LEVELS; level++) {
        if (r->levels[level] == NULL || r->levels[level]->schema == NULL) {
            continue;
        }
        cJSON *violations = cJSON_CreateArray();
        int rc =
            violations != NULL ? cfg_schema_check(r->levels[level]->schema, r->body, violations, r->err) : no_memory(r);
        if (rc == CFG_E_SCHEMA) {
            rc = violated(r, violations->child);
        }
        cJSON_Delete(violations);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int cfg_policy_apply(struct cfg_ask *out, const struct cfg_policy *p, const struct cfg_caller *who, cJSON *body,
                     cJSON *explained, struct cfg_error *err)
{
    struct run r = {{NULL, NULL, &p->all}, body, explained, NULL, err};
    struct cfg_ask ask;
    if (!cJSON_IsObject(body)) {
        return cfg_fail(err, CFG_E_INVALID, "the body must be a JSON object");
    }
    r.levels[0] = cfg_policy_find(p->tenants, p->n_tenants, who->tenant);
    r.levels[1] = cfg_policy_find(p->tiers, p->n_tiers, who->tier);
    drop_nulls(body);
    int rc = each_rule(&r, CFG_RENAME, rename_one);
    rc = rc != 0 ? rc : drop(&r);
    rc = rc != 0 ? rc : each_rule(&r, CFG_DEFAULT, default_one);
    rc = rc != 0 ? rc : each_rule(&r, CFG_FORCE, force_one);
    rc = rc != 0 ? rc : each_rule(&r, CFG_CLAMP, clamp_one);
    rc = rc != 0 ? rc : validate(&r);
    rc = rc != 0 ? rc : cfg_ask_read(&ask, body, err);
    if (rc != 0) {
        return rc;
    }
    r.ask = &ask;
    rc = each_rule(&r, CFG_CLAMP, hold_one);
    if (rc != 0) {
        cfg_ask_finish(&ask);
        return rc;
    }
    *out = ask;
    return 0;
}
