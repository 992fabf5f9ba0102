/* Rules, and what lies around a definition. Splits are in flag_split.c, groups in flag_share.c, words in flag_words.c.
 */
#include "client/cfgctl/flag_edit.h"

#include "client/cfgctl/cli.h"
#include "proto/override.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 1024 };

/* --- helpers --- */

static int set(cJSON *object, const char *key, cJSON *value, struct cfg_error *err)
{
    return cfg_json_set(object, key, value) == 0 ? 0 : cli_no_memory(err);
}

/* The nearest key of an object; borrowed, or NULL. */
static const char *near_key(const cJSON *object, const char *name)
{
    const char *keys[CANDIDATES];
    size_t n = 0;
    const cJSON *m;
    cJSON_ArrayForEach(m, object)
    {
        if (n < CANDIDATES)
            keys[n++] = m->string;
    }
    return cfg_near_miss(name, keys, n);
}

/* As a hint: as many as it holds. */
static void name_all(const cJSON *object, struct cfg_error *err)
{
    char known[200] = "";
    const cJSON *m;
    cJSON_ArrayForEach(m, object)
    {
        size_t n = strlen(known);
        (void)snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", m->string);
    }
    cfg_error_set_hint(err, "it has %s", known);
}

static int no_variant(const char *variant, const char *flag, const cJSON *variants, struct cfg_error *err)
{
    const char *near = near_key(variants, variant);
    (void)cfg_fail(err, CFG_E_VALUE, "there is no variant \"%.80s\"%s%.80s", variant, flag[0] ? " of " : "", flag);
    if (near) {
        cfg_error_set_hint(err, "did you mean %s?", near);
        return CFG_E_VALUE;
    }
    name_all(variants, err);
    return CFG_E_VALUE;
}

static const cJSON *variants_of(const cJSON *envelope)
{
    return cfg_json_get(cfg_json_get(envelope, "definition"), "variants");
}

int flag_check_variant(const cJSON *envelope, const char *variant, struct cfg_error *err)
{
    return cfg_json_get(variants_of(envelope), variant) ? 0 : no_variant(variant, "", variants_of(envelope), err);
}

/* --- rules --- */

/* The operands of the outermost `if`; NULL when targeting has another form. */
static cJSON *chain_of(const cJSON *envelope)
{
    const cJSON *targeting = cfg_json_get(cfg_json_get(envelope, "definition"), "targeting");
    cJSON *chain = cfg_json_get(targeting, "if");
    return chain && targeting->child == chain && chain->next == NULL && cJSON_IsArray(chain) ? chain : NULL;
}

size_t flag_rules_count(const cJSON *envelope)
{
    return (size_t)cJSON_GetArraySize(chain_of(envelope)) / 2;
}

const cJSON *flag_rule_condition(const cJSON *envelope, size_t rule)
{
    if (rule == 0 || rule > flag_rules_count(envelope))
        return NULL;
    return cJSON_GetArrayItem(chain_of(envelope), (int)(2 * rule - 2));
}

const cJSON *flag_rule_outcome(const cJSON *envelope, size_t rule)
{
    const cJSON *chain = chain_of(envelope),
                *targeting = cfg_json_get(cfg_json_get(envelope, "definition"), "targeting");
    const cJSON *out = targeting;
    size_t n = flag_rules_count(envelope);
    if (chain)
        out = cJSON_GetArrayItem(chain, (int)(rule == 0 ? 2 * n : 2 * rule - 1));
    else if (rule > 0 || (cJSON_IsObject(targeting) && targeting->child == NULL))
        out = NULL;
    return out && !cJSON_IsNull(out) ? out : NULL;
}

/* Makes targeting a chain and gives its operands. NULL without memory. */
static cJSON *open_chain(cJSON *envelope)
{
    cJSON *definition = cfg_json_get(envelope, "definition"), *chain = chain_of(envelope);
    if (chain)
        return chain;
    const cJSON *present = flag_rule_outcome(envelope, 0);
    cJSON *otherwise = present ? cJSON_Duplicate(present, true) : NULL, *targeting = cJSON_CreateObject();
    if (otherwise)
        cfg_json_forget_key(otherwise);
    chain = cJSON_AddArrayToObject(targeting, "if");
    bool good =
        chain && (present == NULL || otherwise) && (otherwise == NULL || cJSON_AddItemToArray(chain, otherwise));
    if (!good) {
        cJSON_Delete(otherwise);
        cJSON_Delete(targeting);
        return NULL;
    }
    return cfg_json_set(definition, "targeting", targeting) == 0 ? chain : NULL;
}

/* The shortest targeting that says the same. */
static int close_chain(cJSON *envelope, struct cfg_error *err)
{
    cJSON *definition = cfg_json_get(envelope, "definition"), *chain = chain_of(envelope);
    int n = cJSON_GetArraySize(chain);
    if (n % 2 == 1 && cJSON_IsNull(cJSON_GetArrayItem(chain, n - 1)))
        cJSON_DeleteItemFromArray(chain, --n);
    if (n == 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(definition, "targeting");
        return 0;
    }
    if (n > 1 || !cJSON_IsObject(chain->child) || flag_split_guarded(chain->child))
        return 0; /* a bare variant stays inside its `if`: targeting is an object; a guard's own `if` is no rule */
    return set(definition, "targeting", cJSON_DetachItemFromArray(chain, 0), err);
}

/* A list of links rebuilt: cJSON 1.7.15 cannot insert into arrays. */
static bool insert_two(cJSON *array, int at, cJSON *a, cJSON *b)
{
    cJSON *tail[2 * 4096];
    int n = cJSON_GetArraySize(array) - at;
    if (n < 0 || n > (int)(sizeof tail / sizeof tail[0]))
        return false;
    for (int i = n - 1; i >= 0; i--)
        tail[i] = cJSON_DetachItemFromArray(array, at + i);
    bool good = cJSON_AddItemToArray(array, a) && cJSON_AddItemToArray(array, b);
    for (int i = 0; i < n; i++)
        good = cJSON_AddItemToArray(array, tail[i]) && good; /* detached ones always fit */
    return good;
}

int flag_rule_add(cJSON *envelope, cJSON *condition, cJSON *outcome, size_t before, struct cfg_error *err)
{
    size_t n = flag_rules_count(envelope);
    int rc = condition && outcome ? 0 : cli_no_memory(err);
    if (rc == 0 && before > n) {
        rc = cfg_fail(err, CFG_E_VALUE, "there is no rule %zu to stand before", before);
        cfg_error_set_hint(err, n > 0 ? "rules are 1 to %zu; see --list" : "there are no rules yet", n);
    }
    cJSON *chain = rc == 0 ? open_chain(envelope) : NULL;
    size_t at = before == FLAG_RULE_LAST ? n : before - 1;
    if (chain && insert_two(chain, (int)(2 * at), condition, outcome))
        return 0;
    cJSON_Delete(condition);
    cJSON_Delete(outcome);
    return rc != 0 ? rc : cli_no_memory(err);
}

int flag_rule_remove(cJSON *envelope, size_t rule, struct cfg_error *err)
{
    size_t n = flag_rules_count(envelope);
    if (rule == 0 || rule > n) {
        (void)cfg_fail(err, CFG_E_VALUE, "there is no rule %zu", rule);
        cfg_error_set_hint(err, n > 0 ? "rules are 1 to %zu; see --list" : "there are no rules", n);
        return CFG_E_VALUE;
    }
    cJSON *chain = chain_of(envelope);
    cJSON_DeleteItemFromArray(chain, (int)(2 * rule - 1));
    cJSON_DeleteItemFromArray(chain, (int)(2 * rule - 2));
    return close_chain(envelope, err);
}

int flag_rules_clear(cJSON *envelope, struct cfg_error *err)
{
    int rc = 0;
    while (rc == 0 && flag_rules_count(envelope) > 0)
        rc = flag_rule_remove(envelope, 1, err);
    return rc;
}

int flag_rules_set_else(cJSON *envelope, cJSON *outcome, struct cfg_error *err)
{
    cJSON *chain = open_chain(envelope);
    if (chain == NULL) {
        cJSON_Delete(outcome);
        return cli_no_memory(err);
    }
    int n = cJSON_GetArraySize(chain);
    if (n % 2 == 1)
        cJSON_DeleteItemFromArray(chain, n - 1);
    if (outcome && !cJSON_AddItemToArray(chain, outcome)) {
        cJSON_Delete(outcome);
        return cli_no_memory(err);
    }
    return close_chain(envelope, err);
}

/* --- prerequisites --- */

int flag_require(cJSON *envelope, const char *text, const cJSON *flags, struct cfg_error *err)
{
    const char *equals = strchr(text, '=');
    char name[CFG_LIMIT_FLAG_NAME + 1], variant[256];
    size_t len = equals ? (size_t)(equals - text) : 0;
    if (len == 0 || len >= sizeof name || equals[1] == '\0') {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.80s' does not say which variant of which flag", text);
        cfg_error_set_hint(err, "OTHER=on, or OTHER=on,blue for any of several");
        return CFG_E_INVALID;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)len, text);
    const cJSON *other = cfg_json_get(flags, name);
    if (flags && other == NULL) {
        const char *near = near_key(flags, name);
        (void)cfg_fail(err, CFG_E_VALUE, "there is no flag \"%.100s\" in this namespace", name);
        if (near)
            cfg_error_set_hint(err, "did you mean %s?", near);
        else
            name_all(flags, err);
        return CFG_E_VALUE;
    }
    cJSON *list = cJSON_CreateArray();
    int rc = list ? 0 : cli_no_memory(err);
    for (const char *p = equals + 1; rc == 0; p++) {
        size_t n = strcspn(p, ",");
        (void)snprintf(variant, sizeof variant, "%.*s", (int)n, p);
        if (other && cfg_json_get(variants_of(other), variant) == NULL)
            rc = no_variant(variant, name, variants_of(other), err);
        else if (!cJSON_AddItemToArray(list, cJSON_CreateString(variant)))
            rc = cli_no_memory(err);
        p += n;
        if (*p == '\0')
            break;
    }
    cJSON *all = cfg_json_get(envelope, "prerequisites");
    if (rc == 0 && !cJSON_IsObject(all)) {
        rc = set(envelope, "prerequisites", cJSON_CreateObject(), err);
        all = cfg_json_get(envelope, "prerequisites");
    }
    if (rc != 0) {
        cJSON_Delete(list);
        return rc;
    }
    if (cJSON_GetArraySize(list) == 1) { /* the plain form */
        cJSON *only = cJSON_DetachItemFromArray(list, 0);
        cJSON_Delete(list);
        list = only;
    }
    return set(all, name, list, err);
}

/* Removes a member of a member, and that when nothing is left in it. */
static int take_out(cJSON *envelope, const char *key, const char *name, const char *what, struct cfg_error *err)
{
    cJSON *all = cfg_json_get(envelope, key);
    if (cfg_json_get(all, name) == NULL) {
        const char *near = near_key(all, name);
        (void)cfg_fail(err, CFG_E_VALUE, "there is no %s \"%.100s\" to remove", what, name);
        if (near)
            cfg_error_set_hint(err, "did you mean %s?", near);
        return CFG_E_VALUE;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(all, name);
    if (all->child == NULL)
        cJSON_DeleteItemFromObjectCaseSensitive(envelope, key);
    return 0;
}

int flag_unrequire(cJSON *envelope, const char *flag, struct cfg_error *err)
{
    return take_out(envelope, "prerequisites", flag, "prerequisite", err);
}

/* --- overrides --- */

static int member_object(cJSON **out, cJSON *object, const char *key, struct cfg_error *err)
{
    int rc = cJSON_IsObject(cfg_json_get(object, key)) ? 0 : set(object, key, cJSON_CreateObject(), err);
    *out = cfg_json_get(object, key);
    return rc;
}

int flag_override(cJSON *envelope, const char *variant, const char *text, struct cfg_error *err)
{
    const char *equals = strchr(text, '=');
    char path[CFG_LIMIT_PATH + 1];
    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof path) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.80s' sets nothing", text);
        cfg_error_set_hint(err, "PARAMETER=VALUE, such as sampling.temperature=0.9");
        return CFG_E_INVALID;
    }
    (void)snprintf(path, sizeof path, "%.*s", (int)(equals - text), text);
    cJSON *value = NULL, *all, *own;
    int rc = flag_check_variant(envelope, variant, err);
    if (rc == 0)
        rc = cfg_path_check(cfg_slice_str(path), err);
    if (rc == 0 && (rc = cfg_value_parse(&value, cfg_slice_str(equals + 1), err)) != 0)
        (void)cfg_error_wrap(err, "%.60s", text);
    if (rc == 0 && cJSON_IsObject(value))
        rc = cfg_fail(err, CFG_E_VALUE, "%.80s: a variant overrides single parameters, not objects", path);
    if (rc == 0)
        rc = member_object(&all, envelope, "overrides", err);
    if (rc == 0)
        rc = member_object(&own, all, variant, err);
    if (rc == 0)
        return set(own, path, value, err);
    cJSON_Delete(value);
    return rc;
}

int flag_unoverride(cJSON *envelope, const char *variant, const char *path, struct cfg_error *err)
{
    cJSON *all = cfg_json_get(envelope, "overrides");
    if (variant == NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(envelope, "overrides");
        return 0;
    }
    int rc = path ? take_out(all, variant, path, "override", err)
                  : take_out(envelope, "overrides", variant, "override of", err);
    if (rc == 0 && path && all->child == NULL)
        cJSON_DeleteItemFromObjectCaseSensitive(envelope, "overrides");
    return rc;
}
