/* Contexts from JSON text: the one way to make a context that allocates, kept apart from the path that does not. */
#include "flags/hll.h"
#include "flags/value.h"
#include "proto/limits.h"
#include <cfg/flags.h>
#include <string.h>

static int read_object(struct cfg_context *c, const cJSON *object, struct cfg_error *err)
{
    const cJSON *key = cfg_json_get(object, "targetingKey");
    if (cJSON_IsObject(object) && key != NULL && !cJSON_IsString(key)) {
        (void)cfg_fail(err, CFG_E_VALUE, "targetingKey must be a string, not %s", cfg_json_type(key));
        cfg_error_set_path(err, "targetingKey");
        return CFG_E_VALUE;
    }
    struct cfg_flag_context parsed;
    int rc = cfg_flag_context_init_json(&parsed, object, err);
    if (rc != 0) {
        return rc;
    }
    c->parsed = parsed.attributes;
    c->n_parsed = (uint32_t)parsed.n_attributes;
    c->memory = parsed.memory;
    for (uint32_t i = 0; key != NULL && i < c->n_parsed; i++) {
        const struct cfg_flag_member *m = &c->parsed[i];
        if (m->name_len == 12 && memcmp(m->name, "targetingKey", 12) == 0) {
            c->unit = cfg_hll_unit(m->value.as.string, m->value.len);
        }
    }
    return 0;
}

int cfg_context_json(struct cfg_context *c, const char *text, size_t len, struct cfg_error *err)
{
    cJSON *object = NULL;
    cfg_context_init(c, NULL);
    int rc = cfg_json_parse(&object, (struct cfg_slice){text, len}, CFG_LIMIT_DEPTH, err);
    rc = rc != 0 ? rc : read_object(c, object, err);
    cJSON_Delete(object);
    c->bad = rc != 0;
    return rc;
}

void cfg_context_finish(struct cfg_context *c)
{
    struct cfg_flag_context parsed = {.memory = c->memory};
    cfg_flag_context_finish(&parsed);
    c->memory = NULL;
    c->parsed = NULL;
    c->n_parsed = 0;
}
