/* Compiling a policy, and telling who asks. See policy.h. */
#include "proto/digest.h"
#include "proto/path.h"
#include "worker/cfg-infer/policy_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const stage_names[CFG_STAGES] = {"rename", "drop", "default", "force", "clamp", "validate"};

enum { PATH_MAX_BYTES = 160 };

static int wrong(struct cfg_error *err, const char *path, const char *why)
{
    (void)cfg_fail(err, CFG_E_VALUE, "%s: %s", path, why);
    cfg_error_set_path(err, "%s", path);
    return CFG_E_VALUE;
}

/* Errors have room for so much of a path. */
static void join(char path[PATH_MAX_BYTES], const char *at, const char *name)
{
    (void)snprintf(path, PATH_MAX_BYTES, "%.80s.%.78s", at, name);
}

static int wrong_name(struct cfg_error *err, const char *at, const char *name, const char *near)
{
    char path[PATH_MAX_BYTES];
    join(path, at, name);
    (void)wrong(err, path, "there is no such member");
    if (near != NULL) {
        cfg_error_set_hint(err, "did you mean %s?", near);
    }
    return CFG_E_VALUE;
}

static int need_object(const cJSON *v, const char *at, struct cfg_error *err)
{
    return cJSON_IsObject(v) ? 0 : wrong(err, at, "expected an object");
}

/* --- the stages, each a check of one rule --- */

static int check_rename(const char *at, const cJSON *rule, struct cfg_error *err)
{
    if (cfg_ask_known(rule->string)) {
        return wrong(err, at, "it is a parameter already; only foreign names are renamed");
    }
    if (!cJSON_IsString(rule) || !cfg_ask_known(rule->valuestring)) {
        return wrong(err, at, "expected the name of a parameter");
    }
    return 0;
}

static int check_value(const char *at, const cJSON *rule, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    int rc = cfg_ask_check(rule->string, rule, &why);
    if (rc == CFG_E_NOMEM) {
        return cfg_fail(err, rc, "out of memory");
    }
    if (rc != 0) {
        (void)wrong(err, at, why.text);
        cfg_error_set_hint(err, "%s", why.hint);
    }
    return rc != 0 ? CFG_E_VALUE : 0;
}

static int check_clamp(const char *at, const cJSON *rule, struct cfg_error *err)
{
    const cJSON *each;
    if (cfg_ask_knob(rule->string) == CFG_KNOBS) {
        return wrong(err, at, "only temperature, top_p, top_k and max_tokens are clamped");
    }
    if (!cJSON_IsObject(rule)) {
        return wrong(err, at, "expected {\"min\":…,\"max\":…}");
    }
    cJSON_ArrayForEach(each, rule)
    {
        struct cfg_error why = CFG_ERROR_INIT;
        if (strcmp(each->string, "min") != 0 && strcmp(each->string, "max") != 0) {
            return wrong(err, at, "expected {\"min\":…,\"max\":…}");
        }
        if (cJSON_IsNull(each) || cfg_ask_check(rule->string, each, &why) != 0) {
            return wrong(err, at, cJSON_IsNull(each) ? "a bound must be a number" : why.text);
        }
    }
    if (cfg_json_get_num(rule, "min", 0) > cfg_json_get_num(rule, "max", 1e9)) {
        return wrong(err, at, "min is greater than max");
    }
    return 0;
}

static int check_rules(const char *at, enum cfg_policy_stage stage, const cJSON *rules, struct cfg_error *err)
{
    const cJSON *each;
    int rc = need_object(rules, at, err);
    cJSON_ArrayForEach(each, rules)
    {
        char path[PATH_MAX_BYTES];
        join(path, at, each->string);
        if (rc != 0 || cJSON_IsNull(each)) {
            continue; /* null takes a wider rule away */
        }
        rc = stage == CFG_RENAME  ? check_rename(path, each, err)
             : stage == CFG_CLAMP ? check_clamp(path, each, err)
                                  : check_value(path, each, err);
    }
    return rc;
}

static int check_drop(const char *at, const cJSON *names, struct cfg_error *err)
{
    const cJSON *each;
    if (!cJSON_IsArray(names)) {
        return wrong(err, at, "expected an array of names");
    }
    cJSON_ArrayForEach(each, names)
    {
        if (!cJSON_IsString(each)) {
            return wrong(err, at, "expected an array of names");
        }
        if (strcmp(each->valuestring, "prompt") == 0) {
            return wrong(err, at, "without its prompt a request is none");
        }
    }
    return 0;
}

static int compile_schema(struct cfg_policy_rules *r, const char *at, const cJSON *schema, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    int rc = cfg_schema_compile(&r->schema, schema, NULL, &why);
    if (rc != 0) {
        char text[384];
        (void)snprintf(text, sizeof text, "%.120s: %.240s", why.path, why.text);
        (void)wrong(err, at, text);
        cfg_error_set_hint(err, "%s", why.hint);
    }
    return rc == 0 ? 0 : CFG_E_VALUE;
}

/* --- the whole --- */

static int compile_stage(struct cfg_policy_rules *r, const char *at, const cJSON *member, struct cfg_error *err)
{
    char path[PATH_MAX_BYTES];
    unsigned stage = 0;
    while (stage < CFG_STAGES && strcmp(stage_names[stage], member->string) != 0) {
        stage++;
    }
    if (stage == CFG_STAGES) {
        return wrong_name(err, at, member->string, cfg_near_miss(member->string, stage_names, CFG_STAGES));
    }
    join(path, at, member->string);
    r->stages[stage] = member;
    return stage == CFG_DROP       ? check_drop(path, member, err)
           : stage == CFG_VALIDATE ? compile_schema(r, path, member, err)
                                   : check_rules(path, (enum cfg_policy_stage)stage, member, err);
}

/* name: NULL for all; tiered: a tenant's rules, which may name a tier. */
static int compile_rules(struct cfg_policy_rules *r, const char *at, const cJSON *v, bool tiered, struct cfg_error *err)
{
    const cJSON *each;
    int rc = need_object(v, at, err);
    cJSON_ArrayForEach(each, v)
    {
        if (rc == 0 && tiered && strcmp(each->string, "tier") == 0) {
            r->tier = cJSON_IsString(each) ? each->valuestring : NULL;
            rc = r->tier != NULL ? 0 : wrong(err, at, "tier: expected a string");
        } else if (rc == 0) {
            rc = compile_stage(r, at, each, err);
        }
    }
    return rc;
}

static int compile_named(struct cfg_policy_rules **out, size_t *n, const char *at, const cJSON *v, bool tiered,
                         struct cfg_error *err)
{
    const cJSON *each;
    int rc = need_object(v, at, err);
    if (rc != 0 || v->child == NULL) {
        return rc;
    }
    *out = calloc((size_t)cJSON_GetArraySize(v), sizeof **out);
    if (*out == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    cJSON_ArrayForEach(each, v)
    {
        char path[PATH_MAX_BYTES];
        join(path, at, each->string);
        struct cfg_policy_rules *r = &(*out)[(*n)++];
        r->name = each->string;
        rc = rc != 0 ? rc : compile_rules(r, path, each, tiered, err);
    }
    return rc;
}

static int check_keys(const cJSON *keys, struct cfg_error *err)
{
    const cJSON *each, *member;
    int rc = need_object(keys, "policy.keys", err);
    cJSON_ArrayForEach(each, keys)
    {
        if (rc == 0 && (strncmp(each->string, "sha256:", 7) != 0 || strlen(each->string) != CFG_DIGEST_TEXT - 1)) {
            rc = wrong(err, "policy.keys",
                       "keys are given by their digest, \"sha256:\" and 64 hex digits, never plainly");
        }
        rc = rc != 0 ? rc : need_object(each, "policy.keys", err);
        cJSON_ArrayForEach(member, each)
        {
            bool known = strcmp(member->string, "tenant") == 0 || strcmp(member->string, "tier") == 0;
            if (rc == 0 && (!known || !cJSON_IsString(member) || strlen(member->valuestring) >= CFG_CALLER_NAME)) {
                rc = wrong(err, "policy.keys", "a key has a \"tenant\" and a \"tier\", of at most 63 bytes");
            }
        }
    }
    return rc;
}

static int compile_member(struct cfg_policy *p, const cJSON *v, struct cfg_error *err)
{
    static const char *const names[] = {"identify", "keys", "all", "tiers", "tenants"};
    if (strcmp(v->string, "identify") == 0) {
        p->by_key = cJSON_IsString(v) && strcmp(v->valuestring, "keys") == 0;
        bool by_headers = cJSON_IsString(v) && strcmp(v->valuestring, "headers") == 0;
        return p->by_key || by_headers ? 0 : wrong(err, "policy.identify", "expected \"headers\" or \"keys\"");
    }
    if (strcmp(v->string, "keys") == 0) {
        p->keys = v;
        return check_keys(v, err);
    }
    if (strcmp(v->string, "all") == 0) {
        return compile_rules(&p->all, "policy.all", v, false, err);
    }
    if (strcmp(v->string, "tiers") == 0) {
        return compile_named(&p->tiers, &p->n_tiers, "policy.tiers", v, false, err);
    }
    if (strcmp(v->string, "tenants") == 0) {
        return compile_named(&p->tenants, &p->n_tenants, "policy.tenants", v, true, err);
    }
    return wrong_name(err, "policy", v->string, cfg_near_miss(v->string, names, 5));
}

int cfg_policy_compile(struct cfg_policy **out, const char *text, struct cfg_error *err)
{
    struct cfg_policy *p = calloc(1, sizeof *p);
    const cJSON *each;
    int rc = p != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (rc == 0) {
        rc = cfg_json_parse(&p->text, cfg_slice_str(text[0] != '\0' ? text : "{}"), 0, err);
        rc = rc != 0 ? cfg_error_wrap(err, "policy") : need_object(p->text, "policy", err);
        cJSON_ArrayForEach(each, p->text)
        {
            rc = rc != 0 ? rc : compile_member(p, each, err);
        }
    }
    if (rc == 0 && p->by_key && p->keys == NULL) {
        rc = wrong(err, "policy.identify", "\"keys\" needs keys");
    }
    if (rc != 0) {
        cfg_policy_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

static void free_rules(struct cfg_policy_rules *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cfg_schema_free(r[i].schema);
    }
}

void cfg_policy_free(struct cfg_policy *p)
{
    if (p == NULL) {
        return;
    }
    free_rules(&p->all, 1);
    free_rules(p->tiers, p->n_tiers);
    free_rules(p->tenants, p->n_tenants);
    free(p->tiers);
    free(p->tenants);
    cJSON_Delete(p->text);
    free(p);
}

/* --- who asks --- */

const struct cfg_policy_rules *cfg_policy_find(const struct cfg_policy_rules *of, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(of[i].name, name) == 0) {
            return &of[i];
        }
    }
    return NULL;
}

static int take_name(char out[CFG_CALLER_NAME], const char *header, const char *name, struct cfg_error *err)
{
    size_t len = header != NULL ? strlen(header) : 0;
    for (size_t i = 0; i < len; i++) {
        if (len >= CFG_CALLER_NAME || header[i] < 0x21 || header[i] == 0x7F) {
            return cfg_fail(err, CFG_E_INVALID, "%s: expected at most 63 visible ASCII characters", name);
        }
    }
    (void)snprintf(out, CFG_CALLER_NAME, "%s", header != NULL ? header : "");
    return 0;
}

/* The entry of a key, found by its digest: the key itself is in no configuration. */
static int by_key(struct cfg_caller *out, const struct cfg_policy *p, const char *authorization, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    const char *key = authorization != NULL && strncasecmp(authorization, "Bearer ", 7) == 0 ? authorization + 7 : "";
    while (*key == ' ') {
        key++;
    }
    if (*key == '\0') {
        (void)cfg_fail(err, CFG_E_UNAUTHORIZED, "an API key is needed");
        cfg_error_set_hint(err, "Authorization: Bearer KEY");
        return CFG_E_UNAUTHORIZED;
    }
    int rc = cfg_digest_bytes(digest, cfg_slice_str(key));
    if (rc != 0) {
        return cfg_fail(err, rc, "out of memory");
    }
    const cJSON *entry = cfg_json_get(p->keys, digest);
    if (entry == NULL) {
        return cfg_fail(err, CFG_E_UNAUTHORIZED, "this API key is not known here");
    }
    (void)snprintf(out->tenant, sizeof out->tenant, "%s", cfg_json_get_str(entry, "tenant", ""));
    (void)snprintf(out->tier, sizeof out->tier, "%s", cfg_json_get_str(entry, "tier", ""));
    return 0;
}

int cfg_policy_identify(struct cfg_caller *out, const struct cfg_policy *p, const char *tenant, const char *tier,
                        const char *authorization, struct cfg_error *err)
{
    struct cfg_caller who;
    memset(&who, 0, sizeof who);
    int rc;
    if (p->by_key) {
        rc = by_key(&who, p, authorization, err);
    } else {
        rc = take_name(who.tenant, tenant, "Configd-Tenant", err);
        rc = rc != 0 ? rc : take_name(who.tier, tier, "Configd-Tier", err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct cfg_policy_rules *r = cfg_policy_find(p->tenants, p->n_tenants, who.tenant);
    if (r != NULL && r->tier != NULL) {
        (void)snprintf(who.tier, sizeof who.tier, "%s", r->tier);
    }
    *out = who;
    return 0;
}
