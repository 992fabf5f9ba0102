/* import …: other programs' files into a namespace, as one change. */
#include "client/cfgctl/accelerate.h"
#include "client/cfgctl/commands.h"
#include "client/cfgctl/notes.h"
#include "client/url.h"
#include "proto/dotenv.h"
#include "proto/layers.h"
#include "proto/limits.h"
#include "proto/path.h"

#include <stdlib.h>
#include <string.h>

/* {"namespace", "set": []} in a list of its own, as POST /v1/changes takes it. *items is borrowed from it. */
static int begin(cJSON **changes, cJSON **items, const char *ns, struct cfg_error *err)
{
    cJSON *list = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    *items = entry && cJSON_AddStringToObject(entry, "namespace", ns) ? cJSON_AddArrayToObject(entry, "set") : NULL;
    if (*items && cJSON_AddItemToArray(list, entry)) {
        *changes = list;
        return 0;
    }
    cJSON_Delete(entry);
    cJSON_Delete(list);
    return cli_no_memory(err);
}

/* Consumes value. */
static int add_item(cJSON *items, const char *name, cJSON *value, bool change_type, struct cfg_error *err)
{
    cJSON *item = cJSON_CreateObject();
    bool ok =
        item && value && cJSON_AddStringToObject(item, "name", name) && cJSON_AddStringToObject(item, "mode", "force");
    if (ok) {
        ok = cJSON_AddItemToObject(item, "value", value);
        value = ok ? NULL : value;
    }
    ok = ok && (!change_type || cJSON_AddTrueToObject(item, "change_type")) && cJSON_AddItemToArray(items, item);
    if (ok)
        return 0;
    cJSON_Delete(value);
    cJSON_Delete(item);
    return cli_no_memory(err);
}

static int read_text(struct cfg_buf *text, const char *name, struct cfg_error *err)
{
    cfg_buf_init(text, CFG_LIMIT_BODY);
    return read_file(text, name, err);
}

static const char *shown_name(const char *file)
{
    return strcmp(file, "-") == 0 ? "standard input" : file;
}

/* --- accelerate --- */

static int import_accelerate(struct cli *c, cJSON *notes, cJSON *violations, struct cfg_error *err)
{
    enum accelerate_unknown unknown = cli_has(c, OPT_KEEP_UNKNOWN)   ? ACCELERATE_KEEP
                                      : cli_has(c, OPT_DROP_UNKNOWN) ? ACCELERATE_DROP
                                                                     : ACCELERATE_REFUSE;
    struct cfg_buf text;
    cJSON *launch = NULL, *changes = NULL, *items = NULL;
    int rc = read_text(&text, c->args[0], err);
    if (rc == 0 && (rc = accelerate_read(&launch, cfg_buf_slice(&text), unknown, notes, violations, err)) != 0)
        cfg_error_wrap(err, "%s", shown_name(c->args[0]));
    cfg_buf_finish(&text);
    if (rc == 0 && cfg_json_get_num(launch, "num_machines", 1) > 1)
        rc = notes_add(
            notes, "machine_rank is each node's own: `cfgctl export accelerate --machine-rank N` or --all-ranks", err);
    if (rc == 0)
        rc = begin(&changes, &items, c->args[1], err);
    if (rc == 0)
        rc = add_item(items, "accelerate", launch, true, err);
    else
        cJSON_Delete(launch);
    notes_print(notes);
    if (rc == 0)
        rc = cli_write(c, "POST", "/v1/changes", changes, NULL, err);
    cJSON_Delete(changes);
    return rc;
}

int cmd_import_accelerate(struct cli *c, struct cfg_error *err)
{
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[1]), err);
    if (rc == 0 && cli_has(c, OPT_KEEP_UNKNOWN) && cli_has(c, OPT_DROP_UNKNOWN))
        rc = cfg_fail(err, CFG_E_INVALID, "keep unknown keys or drop them?");
    if (rc != 0)
        return rc;
    cJSON *notes = cJSON_CreateArray(), *violations = cJSON_CreateArray();
    rc = notes && violations ? import_accelerate(c, notes, violations, err) : cli_no_memory(err);
    violations_print(violations);
    cJSON_Delete(notes);
    cJSON_Delete(violations);
    return rc;
}

/* --- dotenv --- */

/* What a variable's text means: text where it was quoted or where the parameter holds text, else JSON's scalars. */
static cJSON *read_value(const cJSON *entry, const cJSON *now)
{
    const char *text = cfg_json_get_str(entry, "value", "");
    cJSON *v = NULL;
    bool as_text = cJSON_IsString(now) || (now == NULL && cfg_json_get_bool(entry, "quoted", false));
    if (!as_text && cfg_json_parse(&v, cfg_slice_str(text), 0, NULL) == 0 && (now || !cJSON_IsString(v)))
        return v;
    cJSON_Delete(v);
    return cJSON_CreateString(text);
}

/* The same as a document holds it: nothing is expanded in a dotenv file, so nothing shall be when it is resolved. */
static cJSON *value_of(const cJSON *entry, const cJSON *now)
{
    cJSON *v = read_value(entry, now);
    if (v && cfg_layers_escape(v, NULL) != 0) {
        cJSON_Delete(v);
        v = NULL;
    }
    return v;
}

static int add_variable(cJSON *items, const char *ns, const cJSON *entry, const cJSON *document, struct cfg_error *err)
{
    struct cfg_buf path;
    bool known = false;
    cfg_buf_init(&path, CFG_LIMIT_PATH);
    int rc = cfg_env_path(&path, &known, ns, cfg_json_get_str(entry, "name", ""), document, err);
    if (rc == 0 && cfg_buf_status(&path) != 0)
        rc = cfg_fail(err, cfg_buf_status(&path), "the name %.60s… is too long", cfg_json_get_str(entry, "name", ""));
    if (rc == 0)
        rc = add_item(items, path.data, value_of(entry, known ? cfg_path_get(document, path.data) : NULL), false, err);
    cfg_buf_finish(&path);
    return rc;
}

/* The namespace's document as it is; NULL where there is none yet. */
static int document_now(struct cli *c, const char *ns, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/config/*", ns);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc == CFG_E_NOT_FOUND ? 0 : rc;
}

int cmd_import_dotenv(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf text;
    cJSON *entries = NULL, *config = NULL, *changes = NULL, *items = NULL;
    const char *ns = c->args[1];
    int rc = cfg_check_name("namespace", cfg_slice_str(ns), err);
    if (rc != 0)
        return rc;
    rc = read_text(&text, c->args[0], err);
    if (rc == 0 && (rc = cfg_dotenv_parse(&entries, cfg_buf_slice(&text), err)) != 0)
        cfg_error_wrap(err, "%s", shown_name(c->args[0]));
    cfg_buf_finish(&text);
    if (rc == 0 && entries->child == NULL)
        rc = cfg_fail(err, CFG_E_INVALID, "%s sets nothing", shown_name(c->args[0]));
    if (rc == 0)
        rc = document_now(c, ns, &config, err);
    if (rc == 0)
        rc = begin(&changes, &items, ns, err);
    const cJSON *e;
    cJSON_ArrayForEach(e, entries)
    {
        if (rc == 0)
            rc = add_variable(items, ns, e, cfg_json_get(config, "document"), err);
    }
    if (rc == 0)
        rc = cli_write(c, "POST", "/v1/changes", changes, NULL, err);
    cJSON_Delete(changes);
    cJSON_Delete(config);
    cJSON_Delete(entries);
    return rc;
}
