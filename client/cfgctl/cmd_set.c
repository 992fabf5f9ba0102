/* set, unset: one POST /v1/changes, whatever the number of namespaces, so that it is one transaction and one round
 * trip. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/notes.h"
#include "client/cfgctl/rollout_request.h"
#include "proto/override.h"
#include "proto/yaml.h"

#include <stdlib.h>
#include <string.h>

/* --- entries: one per namespace, in the order of the line --- */

/* The entry of a namespace, made when missing. Borrowed from changes; NULL without memory. */
static cJSON *entry_of(cJSON *changes, const char *ns)
{
    cJSON *entry;
    cJSON_ArrayForEach(entry, changes)
    {
        if (strcmp(cfg_json_get_str(entry, "namespace", ""), ns) == 0)
            return entry;
    }
    entry = cJSON_CreateObject();
    if (entry && cJSON_AddStringToObject(entry, "namespace", ns) && cJSON_AddArrayToObject(entry, "set") &&
        cJSON_AddItemToArray(changes, entry))
        return entry;
    cJSON_Delete(entry);
    return NULL;
}

static const char *mode_name(enum cfg_override_mode mode)
{
    static const char *const names[] = {"set", "add", "force", "delete"};
    return names[mode];
}

static cJSON *make_item(const struct cfg_override *o, bool change_type)
{
    cJSON *item = cJSON_CreateObject();
    bool ok = item && cJSON_AddStringToObject(item, "name", o->address.name) &&
              cJSON_AddStringToObject(item, "mode", mode_name(o->mode));
    if (ok && o->value) { /* the words themselves, for a parameter that holds text */
        cJSON *value = o->on_off >= 0 ? cJSON_CreateString(o->on_off ? "on" : "off") : cJSON_Duplicate(o->value, true);
        ok = value && cJSON_AddItemToObject(item, "value", value);
    }
    if (ok && o->on_off >= 0)
        ok = cJSON_AddStringToObject(item, "on_off", o->on_off ? "on" : "off") != NULL;
    if (ok && change_type)
        ok = cJSON_AddTrueToObject(item, "change_type") != NULL;
    if (ok)
        return item;
    cJSON_Delete(item);
    return NULL;
}

static int add_override(cJSON *changes, const struct cfg_override *o, bool change_type, struct cfg_error *err)
{
    cJSON *entry = entry_of(changes, o->address.ns);
    cJSON *item = entry ? make_item(o, change_type) : NULL;
    if (item && cJSON_AddItemToArray(cfg_json_get(entry, "set"), item))
        return 0;
    cJSON_Delete(item);
    return cli_no_memory(err);
}

/* ns: where words belong whose key stands alone; NULL: each names its own. */
static int add_text(const struct cli *c, cJSON *changes, const char *ns, const char *text, bool as_string,
                    struct cfg_error *err)
{
    struct cfg_override o = {.value = NULL};
    int rc = as_string ? cfg_override_parse_text(&o, cfg_slice_str(text), err)
             : ns      ? cfg_override_parse_word(&o, ns, cfg_slice_str(text), err)
                       : cfg_override_parse(&o, cfg_slice_str(text), err);
    if (rc == CFG_E_VALUE)
        return cfg_error_wrap(err, "%.60s", text); /* its columns are counted in this word */
    if (rc != 0)
        return rc;
    rc = add_override(changes, &o, as_string || cli_has(c, OPT_CHANGE_TYPE), err);
    cfg_override_finish(&o);
    return rc;
}

static int add_precondition(const struct cli *c, cJSON *changes, struct cfg_error *err)
{
    if (!cli_has(c, OPT_IF_VERSION))
        return 0;
    uint64_t version = 0;
    int rc = cli_number(c, OPT_IF_VERSION, &version, err);
    if (rc != 0)
        return rc;
    if (cJSON_GetArraySize(changes) != 1) {
        cfg_fail(err, CFG_E_INVALID, "--if-version speaks of one namespace, this line changes several");
        cfg_error_set_hint(err, "set them one by one");
        return CFG_E_INVALID;
    }
    return cJSON_AddNumberToObject(cJSON_GetArrayItem(changes, 0), "if_version", (double)version) ? 0
                                                                                                  : cli_no_memory(err);
}

/* --- whole namespaces --- */

/* Adds {"object":"config/NS", key: value}. Consumes value. */
static int add_object(cJSON *changes, const char *ns, const char *key, cJSON *value, struct cfg_error *err)
{
    struct object_path path;
    cJSON *entry = cJSON_CreateObject();
    int rc = object_path_parse(&path, ns, err);
    if (rc == 0 && entry && value && cJSON_AddStringToObject(entry, "object", path.object) &&
        cJSON_AddItemToObject(entry, key, value)) {
        (void)cJSON_AddItemToArray(changes, entry); /* both are there: cannot fail */
        return 0;
    }
    cJSON_Delete(entry);
    cJSON_Delete(value);
    return rc != 0 ? rc : cli_no_memory(err);
}

/* JSON where the name says so or, without a known ending, the text begins like it; else YAML. */
static bool is_json(const char *file, struct cfg_slice text)
{
    const char *dot = strrchr(file, '.');
    if (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
        return false;
    size_t i = 0;
    while (i < text.len && strchr(" \t\r\n", text.ptr[i]) && text.ptr[i])
        i++;
    return (dot && strcmp(dot, ".json") == 0) || (i < text.len && (text.ptr[i] == '{' || text.ptr[i] == '['));
}

/* A document as OmegaConf reads it. What others would read otherwise is said. */
static int parse_document(cJSON **out, const char *file, struct cfg_slice text, struct cfg_error *err)
{
    if (is_json(file, text))
        return cfg_json_parse(out, text, 0, err);
    cJSON *warnings = cJSON_CreateArray();
    int rc = warnings ? cfg_yaml_parse(out, text, NULL, warnings, err) : cli_no_memory(err);
    notes_print_yaml(warnings);
    cJSON_Delete(warnings);
    return rc;
}

static int put_document(const struct cli *c, cJSON *changes, struct cfg_error *err)
{
    const char *file = cli_value(c, OPT_FILE);
    if (c->n_args != 1 || cli_has(c, OPT_STRING)) {
        cfg_fail(err, CFG_E_INVALID, "--file replaces one whole namespace");
        cfg_error_set_hint(err, "cfgctl set chat --file chat.yaml");
        return CFG_E_INVALID;
    }
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    if (rc != 0)
        return rc;
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_BODY);
    cJSON *document = NULL;
    rc = read_file(&text, file, err);
    if (rc == 0 && (rc = parse_document(&document, file, cfg_buf_slice(&text), err)) != 0)
        cfg_error_wrap(err, "%s", strcmp(file, "-") == 0 ? "standard input" : file);
    cfg_buf_finish(&text);
    return rc != 0 ? rc : add_object(changes, c->args[0], "put", document, err);
}

/* The namespace that stands before Hydra's words: `set train optimizer.lr=1e-4`. NULL when there is none. */
static const char *leading_namespace(const struct cli *c)
{
    bool leads = c->n_args > 1 && strpbrk(c->args[0], "/=+~") == NULL;
    return leads && cfg_check_name("namespace", cfg_slice_str(c->args[0]), NULL) == 0 ? c->args[0] : NULL;
}

static int read_changes(const struct cli *c, cJSON *changes, struct cfg_error *err)
{
    if (cli_has(c, OPT_FILE))
        return put_document(c, changes, err);
    const char *ns = leading_namespace(c);
    int rc = 0;
    for (int i = ns != NULL; rc == 0 && i < c->n_args; i++)
        rc = add_text(c, changes, ns, c->args[i], false, err);
    for (size_t i = 0; rc == 0 && i < c->n_given; i++)
        if (c->given[i].id == OPT_STRING)
            rc = add_text(c, changes, NULL, c->given[i].value, true, err);
    if (rc == 0 && cJSON_GetArraySize(changes) == 0) {
        rc = cfg_fail(err, CFG_E_INVALID, "nothing to set");
        cfg_error_set_hint(err, "cfgctl set chat/sampling.temperature=0.2");
    }
    return rc;
}

int set_changes(cJSON **out, const struct cli *c, struct cfg_error *err)
{
    cJSON *changes = cJSON_CreateArray();
    int rc = changes ? read_changes(c, changes, err) : cli_no_memory(err);
    if (rc == 0)
        rc = add_precondition(c, changes, err);
    if (rc == 0)
        *out = changes;
    else
        cJSON_Delete(changes);
    return rc;
}

static int send(struct cli *c, cJSON *changes, struct cfg_error *err)
{
    int rc = cli_write(c, "POST", "/v1/changes", changes, NULL, err);
    cJSON_Delete(changes);
    return rc;
}

int cmd_set(struct cli *c, struct cfg_error *err)
{
    cJSON *changes = NULL;
    bool rolls = cli_has(c, OPT_ROLLOUT);
    int rc = rolls ? 0 : rollout_refuse_words(c, err);
    rc = rc ? rc : set_changes(&changes, c, err);
    if (rc != 0 || !rolls)
        return rc == 0 ? send(c, changes, err) : rc;
    rc = rollout_set(c, changes, err);
    cJSON_Delete(changes);
    return rc;
}

static int add_removal(const struct cli *c, cJSON *changes, const char *text, struct cfg_error *err)
{
    struct cfg_override o = {.mode = CFG_OVERRIDE_DELETE, .on_off = -1};
    int rc = cfg_address_parse(&o.address, cfg_slice_str(text), true, err);
    if (rc != 0 || o.address.name[0])
        return rc != 0 ? rc : add_override(changes, &o, false, err);
    if (!cli_has(c, OPT_FORCE)) {
        cfg_fail(err, CFG_E_INVALID, "%s is a whole namespace", text);
        cfg_error_set_hint(err, "--force deletes all of it; `cfgctl rollback %s --to N` brings it back", text);
        return CFG_E_INVALID;
    }
    return add_object(changes, o.address.ns, "delete", cJSON_CreateTrue(), err);
}

int cmd_unset(struct cli *c, struct cfg_error *err)
{
    cJSON *changes = cJSON_CreateArray();
    int rc = changes ? 0 : cli_no_memory(err);
    for (int i = 0; rc == 0 && i < c->n_args; i++)
        rc = add_removal(c, changes, c->args[i], err);
    if (rc == 0)
        rc = add_precondition(c, changes, err);
    if (rc == 0)
        return send(c, changes, err);
    cJSON_Delete(changes);
    return rc;
}
