/* What a flag can answer, and what is said about it: new flags, and changes of their variants and metadata. */
#include "client/cfgctl/flag_edit.h"

#include "client/cfgctl/cli.h"
#include "client/cfgctl/flag_ask.h"
#include "proto/override.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

static int set(cJSON *object, const char *key, cJSON *value, struct cfg_error *err)
{
    return cfg_json_set(object, key, value) == 0 ? 0 : cli_no_memory(err);
}

/* --- new flags --- */

/* Reads "NAME=VALUE" and sets it. */
static int put_variant(cJSON *variants, const char *text, enum cfg_flag_type type, bool once, struct cfg_error *err)
{
    const char *equals = strchr(text, '=');
    char name[256];
    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof name) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.80s' is no variant", text);
        cfg_error_set_hint(err, "NAME=VALUE, such as on=true or fast=0.5");
        return CFG_E_INVALID;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    cJSON *value = NULL;
    if (once && cfg_json_get(variants, name))
        return cfg_fail(err, CFG_E_INVALID, "variant \"%s\" is given twice", name);
    int rc = cfg_value_parse(&value, cfg_slice_str(equals + 1), err);
    if (type == CFG_FLAG_STRING && (rc != 0 || !cJSON_IsString(value))) {
        cJSON_Delete(value);
        value = cJSON_CreateString(equals + 1);
        rc = value ? 0 : cli_no_memory(err);
    }
    if (rc != 0)
        return cfg_error_wrap(err, "variant %.60s", name);
    if (!flag_type_takes(type, value)) {
        rc = cfg_fail(err, CFG_E_VALUE, "variant \"%s\" is %s, which is not the flag's --type", name,
                      cfg_json_type(value));
        cJSON_Delete(value);
        return rc;
    }
    return set(variants, name, value, err);
}

static int make_variants(cJSON *variants, const struct flag_new *n, struct cfg_error *err)
{
    enum cfg_flag_type type = CFG_FLAG_ANY;
    if (n->type && !flag_type_parse(&type, n->type)) {
        (void)cfg_fail(err, CFG_E_INVALID, "--type cannot be '%.60s'", n->type);
        cfg_error_set_hint(err, "one of bool, string, number, object");
        return CFG_E_INVALID;
    }
    if (n->n_variants == 0 && type != CFG_FLAG_BOOL && type != CFG_FLAG_ANY) {
        (void)cfg_fail(err, CFG_E_INVALID, "a flag of type %s needs variants", n->type);
        cfg_error_set_hint(err, "--variants fast=… slow=…");
        return CFG_E_INVALID;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n->n_variants; i++)
        rc = put_variant(variants, n->variants[i], type, true, err);
    if (rc == 0 && n->n_variants == 0)
        rc = cJSON_AddTrueToObject(variants, "on") && cJSON_AddFalseToObject(variants, "off") ? 0 : cli_no_memory(err);
    return rc;
}

static int fill_new(cJSON *envelope, const struct flag_new *n, struct cfg_error *err)
{
    cJSON *definition = cJSON_AddObjectToObject(envelope, "definition");
    bool good = cJSON_AddStringToObject(definition, "state", "ENABLED") != NULL;
    cJSON *variants = good ? cJSON_AddObjectToObject(definition, "variants") : NULL;
    int rc = variants ? make_variants(variants, n, err) : cli_no_memory(err);
    if (rc != 0)
        return rc;
    bool boolean = cJSON_IsBool(variants->child);
    const char *standard = n->standard ? n->standard : variants->child->string, *off = n->off;
    if (off == NULL && boolean && cJSON_IsFalse(cfg_json_get(variants, "off")))
        off = "off";
    rc = flag_check_variant(envelope, standard, err);
    if (rc == 0 && off)
        rc = flag_check_variant(envelope, off, err);
    if (rc == 0)
        rc = set(definition, "defaultVariant", cJSON_CreateString(standard), err);
    if (rc == 0 && off)
        rc = set(envelope, "off_variant", cJSON_CreateString(off), err);
    if (rc == 0 && n->description) {
        cJSON *metadata = cJSON_AddObjectToObject(definition, "metadata");
        rc = cJSON_AddStringToObject(metadata, "description", n->description) ? 0 : cli_no_memory(err);
    }
    return rc;
}

int flag_make(cJSON **out, const struct flag_new *n, struct cfg_error *err)
{
    cJSON *envelope = cJSON_CreateObject();
    int rc = cJSON_AddBoolToObject(envelope, "enabled", n->standard != NULL) ? fill_new(envelope, n, err)
                                                                             : cli_no_memory(err);
    if (rc != 0) {
        cJSON_Delete(envelope);
        return rc;
    }
    *out = envelope;
    return 0;
}

/* --- changes --- */

static cJSON *definition_of(const cJSON *envelope)
{
    return cfg_json_get(envelope, "definition");
}

int flag_variant_put(cJSON *envelope, const char *text, struct cfg_error *err)
{
    cJSON *variants = cfg_json_get(definition_of(envelope), "variants");
    const cJSON *v;
    bool texts = variants && variants->child;
    cJSON_ArrayForEach(v, variants)
    {
        texts = texts && cJSON_IsString(v);
    }
    return put_variant(variants, text, texts ? CFG_FLAG_STRING : CFG_FLAG_ANY, false, err);
}

static int in_use(const char *variant, const char *by, const char *hint, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_IN_USE, "variant \"%.80s\" is in use: %s", variant, by);
    cfg_error_set_hint(err, "%s", hint);
    return CFG_E_IN_USE;
}

/* Whether a rule's outcome names the variant: itself, or as an arm of a split. */
static bool serves(const cJSON *outcome, const char *variant)
{
    struct flag_split s;
    if (cJSON_IsString(outcome))
        return strcmp(outcome->valuestring, variant) == 0;
    if (flag_split_read(&s, outcome))
        for (size_t i = 0; i < s.n; i++)
            if (strcmp(s.entries[i].variant, variant) == 0)
                return true;
    return false;
}

static int check_rules(const cJSON *envelope, const char *self, const char *variant, struct cfg_error *err)
{
    char by[64], hint[400];
    size_t n = flag_rules_count(envelope);
    for (size_t k = 1; k <= n + 1; k++) {
        size_t i = k <= n ? k : 0; /* the rules, then what holds for everybody else */
        if (!serves(flag_rule_outcome(envelope, i), variant))
            continue;
        (void)snprintf(by, sizeof by, i > 0 ? "rule %zu serves it" : "whoever no rule catches is served it", i);
        (void)snprintf(hint, sizeof hint,
                       i > 0 ? "`cfgctl flag target %.200s --remove %zu`, or a rule without it"
                             : "`cfgctl flag split %.200s` with the other variants, or --clear",
                       self, i);
        return in_use(variant, by, hint, err);
    }
    return 0;
}

/* Whether a prerequisite asks for the variant: "on", or ["on", "blue"]. */
static bool requires(const cJSON *prerequisite, const char *variant)
{
    const cJSON *v;
    if (cJSON_IsString(prerequisite))
        return strcmp(prerequisite->valuestring, variant) == 0;
    cJSON_ArrayForEach(v, prerequisite)
    {
        if (cJSON_IsString(v) && strcmp(v->valuestring, variant) == 0)
            return true;
    }
    return false;
}

static int check_dependents(const char *ns, const char *name, const char *variant, const cJSON *flags,
                            struct cfg_error *err)
{
    char by[200], hint[400];
    const cJSON *flag;
    cJSON_ArrayForEach(flag, flags)
    {
        if (!requires(cfg_json_get(cfg_json_get(flag, "prerequisites"), name), variant))
            continue;
        (void)snprintf(by, sizeof by, "flag %.150s requires it", flag->string);
        (void)snprintf(hint, sizeof hint, "`cfgctl flag require %.100s/%.150s --remove %.100s`", ns, flag->string,
                       name);
        return in_use(variant, by, hint, err);
    }
    return 0;
}

int flag_variant_remove(cJSON *envelope, const char *ns, const char *name, const char *variant, const cJSON *flags,
                        struct cfg_error *err)
{
    char self[400];
    const cJSON *definition = definition_of(envelope);
    (void)snprintf(self, sizeof self, "%.100s/%.250s", ns, name);
    int rc = flag_check_variant(envelope, variant, err);
    if (rc != 0)
        return rc;
    if (strcmp(cfg_json_get_str(definition, "defaultVariant", ""), variant) == 0)
        return in_use(variant, "it is the default variant", "--default names another one in the same change", err);
    if (strcmp(cfg_json_get_str(envelope, "off_variant", ""), variant) == 0)
        return in_use(variant, "it holds while the flag is off", "--off names another one in the same change", err);
    if (cfg_json_get(cfg_json_get(envelope, "overrides"), variant))
        return in_use(variant, "it has overrides", "`cfgctl flag override` with --clear takes them away", err);
    rc = check_rules(envelope, self, variant, err);
    if (rc == 0)
        rc = check_dependents(ns, name, variant, flags, err);
    if (rc == 0)
        cJSON_DeleteItemFromObjectCaseSensitive(cfg_json_get(definition, "variants"), variant);
    return rc;
}

/* Sets the name of a variant; "" takes the member away. */
static int put_name(cJSON *object, const char *key, const cJSON *envelope, const char *variant, struct cfg_error *err)
{
    if (variant[0] == '\0') {
        cJSON_DeleteItemFromObjectCaseSensitive(object, key);
        return 0;
    }
    int rc = flag_check_variant(envelope, variant, err);
    return rc == 0 ? set(object, key, cJSON_CreateString(variant), err) : rc;
}

int flag_default_put(cJSON *envelope, const char *variant, struct cfg_error *err)
{
    return put_name(definition_of(envelope), "defaultVariant", envelope, variant, err);
}

int flag_off_put(cJSON *envelope, const char *variant, struct cfg_error *err)
{
    return put_name(envelope, "off_variant", envelope, variant, err);
}

int flag_meta_put(cJSON *envelope, const char *text, struct cfg_error *err)
{
    const char *equals = strchr(text, '=');
    char name[256];
    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof name) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.80s' is no metadata", text);
        cfg_error_set_hint(err, "NAME=VALUE, such as owner=search");
        return CFG_E_INVALID;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    cJSON *value = NULL;
    int rc = cfg_value_parse(&value, cfg_slice_str(equals + 1), NULL);
    if (rc != 0 || !(cJSON_IsBool(value) || cJSON_IsNumber(value) || cJSON_IsString(value))) { /* plain text */
        cJSON_Delete(value);
        value = cJSON_CreateString(equals + 1);
    }
    return flag_meta_set(envelope, name, value, err);
}

int flag_meta_set(cJSON *envelope, const char *name, cJSON *value, struct cfg_error *err)
{
    cJSON *definition = definition_of(envelope);
    int rc = cJSON_IsObject(cfg_json_get(definition, "metadata"))
                 ? 0
                 : set(definition, "metadata", cJSON_CreateObject(), err);
    if (rc == 0)
        return set(cfg_json_get(definition, "metadata"), name, value, err);
    cJSON_Delete(value);
    return rc;
}

int flag_meta_remove(cJSON *envelope, const char *name, struct cfg_error *err)
{
    cJSON *metadata = cfg_json_get(definition_of(envelope), "metadata");
    if (cfg_json_get(metadata, name) == NULL)
        return cfg_fail(err, CFG_E_VALUE, "there is no metadata \"%.100s\" to remove", name);
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, name);
    if (metadata->child == NULL)
        cJSON_DeleteItemFromObjectCaseSensitive(definition_of(envelope), "metadata");
    return 0;
}
