/* Without targeting an answer does not depend on who asks, so compiling decides it: the program holds that one answer,
 * and nothing of the variants that can never be served. */
#include "flags/flag.h"

#include <stdlib.h>
#include <string.h>

struct cfg_flag_program {
    enum cfg_flag_type type;
    struct cfg_flag_result answer; /* its value is owned; its variant points at `name` */
    char name[];
};

/* --- validation --- */

static int bad(struct cfg_error *err, const char *path, const char *why)
{
    (void)cfg_fail(err, CFG_E_VALUE, "%s %s", path, why);
    cfg_error_set_path(err, "%s", path);
    return CFG_E_VALUE;
}

static int unsupported(struct cfg_error *err, const char *path, const char *name, const char *hint)
{
    (void)cfg_fail(err, CFG_E_UNSUPPORTED, "%s: \"%s\" is not supported", path, name);
    cfg_error_set_path(err, "%s", path);
    cfg_error_set_hint(err, "%s", hint);
    return CFG_E_UNSUPPORTED;
}

static bool type_of(enum cfg_flag_type *out, const cJSON *value)
{
    if (cJSON_IsBool(value))
        *out = CFG_FLAG_BOOL;
    else if (cJSON_IsString(value))
        *out = CFG_FLAG_STRING;
    else if (cJSON_IsNumber(value))
        *out = CFG_FLAG_NUMBER;
    else if (cJSON_IsObject(value))
        *out = CFG_FLAG_OBJECT;
    else
        return false;
    return true;
}

static int check_variants(enum cfg_flag_type *out, const cJSON *variants, struct cfg_error *err)
{
    static const char where[] = "definition.variants";
    if (!cJSON_IsObject(variants) || variants->child == NULL)
        return bad(err, where, "must be an object with at least one variant");
    const cJSON *v;
    enum cfg_flag_type first = CFG_FLAG_BOOL, type;
    cJSON_ArrayForEach(v, variants)
    {
        if (v->string[0] == '\0')
            return bad(err, where, "has a variant without a name");
        const char *why = !type_of(&type, v)                      ? "must be a boolean, string, number or object"
                          : v != variants->child && type != first ? "is of another type than the variants before it"
                                                                  : NULL;
        if (why) {
            (void)cfg_fail(err, CFG_E_VALUE, "variant \"%s\" (%s) %s", v->string, cfg_json_type(v), why);
            cfg_error_set_path(err, "%s.%s", where, v->string);
            return CFG_E_VALUE;
        }
        if (v == variants->child)
            first = type;
    }
    *out = first;
    return 0;
}

/* The variant a member names; NULL when the member is absent or null. */
static int find_variant(const cJSON **out, const cJSON *member, const char *path, const cJSON *variants,
                        struct cfg_error *err)
{
    *out = NULL;
    if (member == NULL || cJSON_IsNull(member))
        return 0;
    if (!cJSON_IsString(member))
        return bad(err, path, "must be the name of a variant");
    *out = cfg_json_get(variants, member->valuestring);
    if (*out == NULL) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s \"%s\" is not among the variants", path, member->valuestring);
        cfg_error_set_path(err, "%s", path);
        return CFG_E_VALUE;
    }
    return 0;
}

static int check_metadata(const cJSON *metadata, struct cfg_error *err)
{
    if (metadata && !cJSON_IsObject(metadata))
        return bad(err, "definition.metadata", "must be an object");
    const cJSON *m;
    cJSON_ArrayForEach(m, metadata)
    {
        if (cJSON_IsBool(m) || cJSON_IsString(m) || cJSON_IsNumber(m))
            continue;
        (void)cfg_fail(err, CFG_E_VALUE, "metadata \"%s\" must be a boolean, string or number, not %s", m->string,
                       cfg_json_type(m));
        cfg_error_set_path(err, "definition.metadata.%s", m->string);
        return CFG_E_VALUE;
    }
    return 0;
}

/* `{}` and null are flagd's ways to say that there are no rules. */
static int check_targeting(const cJSON *targeting, struct cfg_error *err)
{
    if (targeting == NULL || cJSON_IsNull(targeting) || (cJSON_IsObject(targeting) && targeting->child == NULL))
        return 0;
    const char *rule = cJSON_IsObject(targeting) ? targeting->child->string : cfg_json_type(targeting);
    return unsupported(err, "definition.targeting", rule,
                       "this version serves flags without targeting rules; leave targeting out or write {}");
}

/* A misspelt member must not be taken for an absent one. */
static int check_members(const cJSON *definition, struct cfg_error *err)
{
    static const char *const known[] = {"state", "variants", "defaultVariant", "targeting", "metadata"};
    const cJSON *m;
    cJSON_ArrayForEach(m, definition)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(m->string, known[i]) != 0)
            i++;
        if (i == sizeof known / sizeof known[0])
            return unsupported(err, "definition", m->string,
                               "a definition has state, variants, defaultVariant, targeting and metadata");
    }
    return 0;
}

/* --- compiling --- */

struct parts {
    enum cfg_flag_type type;
    bool enabled;                /* the kill switch is not thrown */
    bool state;                  /* flagd's own state is ENABLED */
    const cJSON *off, *standard; /* borrowed variants, NULL when none is named */
};

static int read_definition(struct parts *out, const cJSON *definition, struct cfg_error *err)
{
    if (!cJSON_IsObject(definition))
        return bad(err, "definition", "must be an object");
    const char *state = cfg_json_get_str(definition, "state", "");
    out->state = strcmp(state, "ENABLED") == 0;
    if (!out->state && strcmp(state, "DISABLED") != 0)
        return bad(err, "definition.state", "must be \"ENABLED\" or \"DISABLED\"");
    const cJSON *variants = cfg_json_get(definition, "variants");
    int rc = check_variants(&out->type, variants, err);
    if (rc == 0)
        rc = find_variant(&out->standard, cfg_json_get(definition, "defaultVariant"), "definition.defaultVariant",
                          variants, err);
    if (rc == 0)
        rc = check_metadata(cfg_json_get(definition, "metadata"), err);
    if (rc == 0)
        rc = check_targeting(cfg_json_get(definition, "targeting"), err);
    if (rc == 0)
        rc = check_members(definition, err);
    return rc;
}

static int read_envelope(struct parts *out, const cJSON *envelope, struct cfg_error *err)
{
    if (!cJSON_IsObject(envelope))
        return bad(err, "flag", "must be an object with a definition");
    const cJSON *enabled = cfg_json_get(envelope, "enabled");
    if (enabled && !cJSON_IsBool(enabled))
        return bad(err, "enabled", "must be true or false");
    out->enabled = enabled == NULL || cJSON_IsTrue(enabled);
    const cJSON *definition = cfg_json_get(envelope, "definition");
    int rc = read_definition(out, definition, err);
    if (rc == 0)
        rc = find_variant(&out->off, cfg_json_get(envelope, "off_variant"), "off_variant",
                          cfg_json_get(definition, "variants"), err);
    return rc;
}

/* The kill switch is outermost: it holds whatever the definition's own state says. */
static enum cfg_flag_reason decide(const cJSON **variant, const struct parts *p)
{
    if (!p->enabled) {
        *variant = p->off;
        return CFG_REASON_DISABLED;
    }
    *variant = p->state ? p->standard : NULL;
    if (!p->state)
        return CFG_REASON_DISABLED;
    return p->standard ? CFG_REASON_STATIC : CFG_REASON_DEFAULT;
}

int cfg_flag_compile(struct cfg_flag_program **out, const cJSON *envelope, struct cfg_error *err)
{
    struct parts parts = {0};
    int rc = read_envelope(&parts, envelope, err);
    if (rc != 0)
        return rc;
    const cJSON *variant;
    enum cfg_flag_reason reason = decide(&variant, &parts);
    size_t name_size = variant ? strlen(variant->string) + 1 : 0;
    struct cfg_flag_program *p = calloc(1, sizeof *p + name_size);
    cJSON *value = variant ? cJSON_Duplicate(variant, true) : NULL;
    if (p == NULL || (variant && value == NULL)) {
        free(p);
        cJSON_Delete(value);
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a flag");
    }
    p->type = parts.type;
    p->answer.reason = reason;
    if (variant) {
        memcpy(p->name, variant->string, name_size);
        p->answer.variant = p->name;
        p->answer.value = value;
    }
    *out = p;
    return 0;
}

void cfg_flag_free(struct cfg_flag_program *p)
{
    if (p == NULL)
        return;
    cJSON_Delete((cJSON *)(uintptr_t)p->answer.value); /* const towards readers only */
    free(p);
}

/* --- evaluation --- */

enum cfg_flag_type cfg_flag_type_of(const struct cfg_flag_program *p)
{
    return p->type;
}

struct cfg_flag_result cfg_flag_eval(const struct cfg_flag_program *p, enum cfg_flag_type want)
{
    if (p->type != want)
        return (struct cfg_flag_result){.reason = CFG_REASON_ERROR, .error = "TYPE_MISMATCH"};
    return p->answer;
}

const char *cfg_flag_reason_name(enum cfg_flag_reason r)
{
    switch (r) {
    case CFG_REASON_STATIC:
        return "STATIC";
    case CFG_REASON_DEFAULT:
        return "DEFAULT";
    case CFG_REASON_TARGETING_MATCH:
        return "TARGETING_MATCH";
    case CFG_REASON_DISABLED:
        return "DISABLED";
    case CFG_REASON_ERROR:
        break;
    }
    return "ERROR";
}
