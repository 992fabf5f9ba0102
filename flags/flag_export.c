/* Flags as trees: the envelope of a new one, and what plain flagd is given for one that has an envelope. */
#include "flags/flag.h"

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

cJSON *cfg_flag_export(const cJSON *envelope)
{
    const cJSON *definition = cfg_json_get(envelope, "definition");
    cJSON *out = definition ? cJSON_Duplicate(definition, true) : NULL;
    if (out == NULL || cfg_json_get_bool(envelope, "enabled", true))
        return out;
    const char *off = cfg_json_get_str(envelope, "off_variant", NULL);
    cJSON_DeleteItemFromObjectCaseSensitive(out, "targeting");
    bool ok = off ? set_string(out, "state", "ENABLED") && set_string(out, "defaultVariant", off)
                  : set_string(out, "state", "DISABLED");
    if (!ok) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}
