/* promote: values of one environment's namespace into another's. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/plan.h"
#include "client/cfgctl/promote.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

static int fetch(struct cli *c, const char *ns, const char *version, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/config/*", ns);
    if (version)
        cfg_url_query(&path, "version", version);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

static int read_source(struct cli *c, cJSON **out, struct cfg_error *err)
{
    uint64_t version = 0;
    int rc = cli_number(c, OPT_VERSION, &version, err);
    if (rc == 0)
        rc = fetch(c, c->args[0], cli_value(c, OPT_VERSION), out, err);
    if (rc == 0 && !cJSON_IsObject(cfg_json_get(*out, "document")))
        rc = cfg_fail(err, CFG_E_NOT_FOUND, "version %s of %s is a delete", cli_value(c, OPT_VERSION), c->args[0]);
    return rc;
}

/* A target that does not exist yet is an empty document at version 0. */
static int read_target(struct cli *c, cJSON **out, struct cfg_error *err)
{
    int rc = fetch(c, c->args[1], NULL, out, err);
    if (rc != CFG_E_NOT_FOUND)
        return rc;
    *out = cJSON_CreateObject();
    return cJSON_AddObjectToObject(*out, "document") && cJSON_AddNumberToObject(*out, "version", 0)
               ? 0
               : cli_no_memory(err);
}

/* document is consumed. NULL without memory. */
static cJSON *make_changes(const char *ns, double version, cJSON *document)
{
    char object[CFG_LIMIT_NAME + sizeof "config/"];
    cJSON *changes = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    (void)snprintf(object, sizeof object, "config/%s", ns);
    bool good = changes && cJSON_AddStringToObject(entry, "object", object) &&
                cJSON_AddNumberToObject(entry, "if_version", version);
    good = cfg_json_set(entry, "put", document) == 0 && good;
    if (good && cJSON_AddItemToArray(changes, entry))
        return changes;
    cJSON_Delete(entry);
    cJSON_Delete(changes);
    return NULL;
}

/* "why (promoted from chat-staging v12: sampling, inference)" */
static void put_message(struct cfg_buf *out, const struct cli *c, double version)
{
    const char *why = cli_value(c, OPT_MESSAGE);
    cfg_buf_printf(out, "%s%spromoted from %s v%.0f", why ? why : "", why ? " (" : "", c->args[0], version);
    for (int i = 2; i < c->n_args; i++)
        cfg_buf_printf(out, "%s%s", i == 2 ? ": " : ", ", c->args[i]);
    cfg_buf_puts(out, why ? ")" : "");
}

static int write_out(struct cli *c, const cJSON *source, const cJSON *target, cJSON *document, struct cfg_error *err)
{
    struct cfg_buf message, question;
    uint64_t version = (uint64_t)cfg_json_get_num(target, "version", 0);
    int rc = cli_number(c, OPT_IF_VERSION, &version, err);
    if (rc != 0) {
        cJSON_Delete(document);
        return rc;
    }
    cJSON *changes = make_changes(c->args[1], (double)version, document);
    cfg_buf_init(&message, CFG_LIMIT_MESSAGE);
    cfg_buf_init(&question, 256);
    put_message(&message, c, cfg_json_get_num(source, "version", 0));
    cfg_buf_printf(&question, "promote from %s to %s?", c->args[0], c->args[1]);
    if (cfg_buf_status(&message) != 0)
        rc = cfg_fail(err, CFG_E_LIMIT, "the message is longer than 4 KiB");
    else if (changes == NULL || cfg_buf_status(&question) != 0)
        rc = cli_no_memory(err);
    else
        rc = plan_carry_out(c, changes, message.data, question.data, err);
    cfg_buf_finish(&question);
    cfg_buf_finish(&message);
    cJSON_Delete(changes);
    return rc;
}

static cJSON *keys_of(const struct cli *c)
{
    cJSON *keys = cJSON_CreateArray();
    for (int i = 2; keys && i < c->n_args; i++) {
        cJSON *key = cJSON_CreateString(c->args[i]);
        if (key && cJSON_AddItemToArray(keys, key))
            continue;
        cJSON_Delete(key);
        cJSON_Delete(keys);
        return NULL;
    }
    return keys;
}

static int promote(struct cli *c, const cJSON *source, const cJSON *target, struct cfg_error *err)
{
    cJSON *keys = keys_of(c), *except = cli_items(c, OPT_EXCEPT), *document = NULL;
    const struct promote p = {.from = cfg_json_get(source, "document"),
                              .to = cfg_json_get(target, "document"),
                              .keys = keys,
                              .except = except,
                              .prune = cli_has(c, OPT_PRUNE),
                              .change_type = cli_has(c, OPT_CHANGE_TYPE)};
    int rc = keys && except ? promote_values(&document, &p, err) : cli_no_memory(err);
    if (rc == CFG_E_UNKNOWN_KEY && err->hint[0] == '\0')
        cfg_error_set_hint(err, "see `cfgctl list %s`", c->args[0]);
    cJSON_Delete(keys);
    cJSON_Delete(except);
    return rc == 0 ? write_out(c, source, target, document, err) : rc;
}

int cmd_promote(struct cli *c, struct cfg_error *err)
{
    cJSON *source = NULL, *target = NULL;
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    if (rc == 0)
        rc = cfg_check_name("namespace", cfg_slice_str(c->args[1]), err);
    if (rc == 0 && strcmp(c->args[0], c->args[1]) == 0)
        rc = cfg_fail(err, CFG_E_INVALID, "%s is source and target", c->args[0]);
    if (rc == 0)
        rc = read_source(c, &source, err);
    if (rc == 0)
        rc = read_target(c, &target, err);
    if (rc == 0)
        rc = promote(c, source, target, err);
    cJSON_Delete(source);
    cJSON_Delete(target);
    return rc;
}
