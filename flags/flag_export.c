/* Flags as trees: the envelope of a new one, and what plain flagd is given for one that has an envelope. */
#include "flags/flag.h"

const char *const cfg_flag_envelope_members[] = {"enabled",  "off_variant", "hash_version", "prerequisites", "group",
                                                 "holdouts", "overrides",   "requires",     "definition",    NULL};

cJSON *cfg_flag_new_boolean(bool on)
{
    cJSON *envelope = cJSON_CreateObject();
    bool ok = cJSON_AddBoolToObject(envelope, "enabled", on) && cJSON_AddStringToObject(envelope, "off_variant", "off");
    cJSON *definition = ok ? cJSON_AddObjectToObject(envelope, "definition") : NULL;
    ok = cJSON_AddStringToObject(definition, "state", "ENABLED");
    cJSON *variants = ok ? cJSON_AddObjectToObject(definition, "variants") : NULL;
    ok = cJSON_AddTrueToObject(variants, "on") && cJSON_AddFalseToObject(variants, "off") &&
         cJSON_AddStringToObject(definition, "defaultVariant", "on");
    if (!ok) {
        cJSON_Delete(envelope);
        return NULL;
    }
    return envelope;
}

static bool set_string(cJSON *o, const char *key, const char *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    return cJSON_AddStringToObject(o, key, value) != NULL;
}

/* --- rules that say what an envelope says --- */

/* {key: [first, …]}: first is consumed, further operands are added to the array. NULL without memory. */
static cJSON *rule(cJSON **operands, const char *key, cJSON *first)
{
    cJSON *out = cJSON_CreateObject();
    *operands = cJSON_AddArrayToObject(out, key);
    if (first && *operands && cJSON_AddItemToArray(*operands, first))
        return out;
    cJSON_Delete(first);
    cJSON_Delete(out);
    return NULL;
}

/* Consumes item. */
static bool add(cJSON *array, cJSON *item)
{
    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *var(const char *path)
{
    cJSON *out = cJSON_CreateObject();
    if (cJSON_AddStringToObject(out, "var", path))
        return out;
    cJSON_Delete(out);
    return NULL;
}

static bool add_entry(cJSON *fractional, bool value, double weight)
{
    cJSON *entry = cJSON_CreateArray();
    bool good = add(entry, cJSON_CreateBool(value)) && add(entry, cJSON_CreateNumber(weight));
    return add(fractional, entry) && good;
}

/* Whether the unit is named and in [from, to) (a group) or in none of [0, to) (a holdout), as a condition. */
static bool add_share(cJSON *conditions, const cJSON *share, bool group)
{
    const char *by = cfg_json_get_str(share, "by", "targetingKey");
    double from = group ? cfg_json_get_num(share, "from", 0) : 0, to = cfg_json_get_num(share, "to", 0);
    cJSON *named, *cat, *fractional;
    cJSON *is_named = rule(&named, "!!", var(by));
    cJSON *seed = rule(&cat, "cat", cJSON_CreateString(cfg_json_get_str(share, "name", "")));
    if (seed && !add(cat, var(by))) {
        cJSON_Delete(seed);
        seed = NULL;
    }
    cJSON *inside = rule(&fractional, "fractional", seed);
    bool good = inside && add_entry(fractional, false, from) && add_entry(fractional, group, to - from) &&
                add_entry(fractional, !group, 10000 - to);
    bool added = add(conditions, is_named);
    return add(conditions, inside) && added && good;
}

/* {"if": [{"and": conditions}, the definition's own targeting or null, off or null]} */
static bool wrap(cJSON *definition, const cJSON *envelope)
{
    const cJSON *group = cfg_json_get(envelope, "group"), *holdouts = cfg_json_get(envelope, "holdouts"), *h;
    if (!cJSON_IsObject(group) && (!cJSON_IsArray(holdouts) || holdouts->child == NULL))
        return true;
    const char *off = cfg_json_get_str(envelope, "off_variant", NULL);
    cJSON *conditions, *operands;
    cJSON *all = rule(&conditions, "and", cJSON_CreateTrue());
    bool good = all != NULL;
    cJSON_ArrayForEach(h, holdouts)
    {
        good = good && add_share(conditions, h, false);
    }
    if (cJSON_IsObject(group))
        good = good && add_share(conditions, group, true);
    cJSON *own = cJSON_DetachItemFromObjectCaseSensitive(definition, "targeting");
    if (own == NULL || own->child == NULL) {
        cJSON_Delete(own);
        own = cJSON_CreateNull();
    }
    cJSON *whole = rule(&operands, "if", all);
    if (whole == NULL) {
        cJSON_Delete(own);
        return false;
    }
    cfg_json_forget_key(own);
    good = add(operands, own) && add(operands, off ? cJSON_CreateString(off) : cJSON_CreateNull()) && good;
    return cfg_json_set(definition, "targeting", whole) == 0 && good;
}

static bool kill(cJSON *definition, const cJSON *envelope)
{
    const char *off = cfg_json_get_str(envelope, "off_variant", NULL);
    cJSON_DeleteItemFromObjectCaseSensitive(definition, "targeting");
    return off ? set_string(definition, "state", "ENABLED") && set_string(definition, "defaultVariant", off)
               : set_string(definition, "state", "DISABLED");
}

cJSON *cfg_flag_export(const cJSON *envelope)
{
    const cJSON *definition = cfg_json_get(envelope, "definition");
    cJSON *out = definition ? cJSON_Duplicate(definition, true) : NULL;
    if (out == NULL)
        return NULL;
    cfg_json_forget_key(out);
    cJSON_DeleteItemFromObjectCaseSensitive(out, "hash_version");
    if (!(cfg_json_get_bool(envelope, "enabled", true) ? wrap(out, envelope) : kill(out, envelope))) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* --- what is lost --- */

cJSON *cfg_flag_export_loss(const cJSON *envelope)
{
    const cJSON *definition = cfg_json_get(envelope, "definition"), *required = cfg_json_get(envelope, "prerequisites");
    const cJSON *group = cfg_json_get(envelope, "group"), *holdouts = cfg_json_get(envelope, "holdouts");
    cJSON *out = cJSON_CreateArray();
    bool enabled = cfg_json_get_bool(envelope, "enabled", true), good = out != NULL;
    bool shared = cJSON_IsObject(group) || (cJSON_IsArray(holdouts) && holdouts->child);
    double version = cfg_json_get_num(envelope, "hash_version", cfg_json_get_num(definition, "hash_version", 2));
    if (good && enabled && cJSON_IsObject(required) && required->child)
        good = add(out, cJSON_CreateString("prerequisites: flagd has none, the export ignores them"));
    if (good && enabled && version != 2)
        good = add(out, cJSON_CreateString("hash_version: flagd hashes by version 2, so units change their buckets"));
    if (good && enabled && shared && cfg_json_get_str(envelope, "off_variant", NULL) == NULL)
        good = add(out, cJSON_CreateString("off_variant: without one, units outside of the group or held out get the "
                                           "defaultVariant instead of the caller's default"));
    if (!good) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}
