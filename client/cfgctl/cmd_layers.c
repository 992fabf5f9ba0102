/* extend, explain, lock: namespaces in layers, and what a deployment was told, kept. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

/* --- extend --- */

static int check_bases(const struct cli *c, struct cfg_error *err)
{
    int rc = 0;
    for (int i = 0; i < c->n_args && rc == 0; i++)
        rc = cfg_check_name("namespace", cfg_slice_str(c->args[i]), err);
    return rc;
}

/* [{"object":"config/chat","extends":["base"]}]; NULL without memory. */
static cJSON *extend_body(const struct cli *c, uint64_t if_version)
{
    char object[CFG_LIMIT_NAME + sizeof "config/"];
    (void)snprintf(object, sizeof object, "config/%s", c->args[0]);
    cJSON *body = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    bool ok = body && entry && cJSON_AddStringToObject(entry, "object", object);
    cJSON *extends = ok ? cJSON_AddArrayToObject(entry, "extends") : NULL;
    ok = extends != NULL;
    for (int i = 1; i < c->n_args && ok; i++)
        ok = cJSON_AddItemToArray(extends, cJSON_CreateString(c->args[i]));
    if (ok && cli_has(c, OPT_IF_VERSION))
        ok = cJSON_AddNumberToObject(entry, "if_version", (double)if_version) != NULL;
    if (!ok || !cJSON_AddItemToArray(body, entry)) {
        cJSON_Delete(entry);
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

int cmd_extend(struct cli *c, struct cfg_error *err)
{
    uint64_t version = 0;
    int rc = check_bases(c, err);
    rc = rc ? rc : cli_number(c, OPT_IF_VERSION, &version, err);
    if (rc != 0)
        return rc;
    cJSON *body = extend_body(c, version);
    rc = body ? cli_write(c, "POST", "/v1/changes", body, NULL, err) : cli_no_memory(err);
    cJSON_Delete(body);
    return rc;
}

/* --- explain --- */

static void add_value(struct table *t, const cJSON *value)
{
    struct cfg_buf text;
    cfg_buf_init(&text, (size_t)1 << 24);
    cli_put_value(&text, value);
    table_add(t, text.data ? text.data : "");
    cfg_buf_finish(&text);
}

static void add_layer(struct table *t, const cJSON *layer)
{
    char text[CFG_LIMIT_NAME + 32], age[32];
    const cJSON *since = cfg_json_get(layer, "since");
    const char *kind = cfg_json_get_str(layer, "kind", "");
    const char *what = strcmp(kind, "pin") == 0 ? "pin of " : strcmp(kind, "lock") == 0 ? "lock of " : "";
    table_add(t, cfg_json_get_bool(layer, "wins", false) ? "*" : "");
    (void)snprintf(text, sizeof text, "%s%s", what, cfg_json_get_str(layer, "layer", "?"));
    table_add(t, text);
    table_add_number(t, cfg_json_get_num(since ? since : layer, "version", 0));
    table_add(t, since ? cli_age(age, cfg_json_get_str(since, "time", "-")) : "-");
    table_add(t, cfg_json_get_str(since, "author", "-"));
    add_value(t, cfg_json_get(layer, "value"));
}

static void print_explained(const struct cli *c, const cJSON *reply)
{
    struct table t;
    struct cfg_buf out;
    const cJSON *layer, *text = cfg_json_get(reply, "text"), *workers = cfg_json_get(reply, "overridden_on"), *w;
    const cJSON *input, *inputs = cfg_json_get(reply, "inputs");
    cfg_buf_init(&out, (size_t)1 << 26);
    cfg_buf_printf(&out, "%s/%s = ", cfg_json_get_str(reply, "namespace", "?"), cfg_json_get_str(reply, "path", "?"));
    cli_put_value(&out, cfg_json_get(reply, "value"));
    if (text) {
        cfg_buf_puts(&out, ", from ");
        cli_put_value(&out, text);
    }
    cfg_buf_putc(&out, '\n');
    table_init(&t, " |LAYER|VERSION|AGE|AUTHOR|VALUE");
    cJSON_ArrayForEach(layer, cfg_json_get(reply, "layers"))
    {
        add_layer(&t, layer);
    }
    cli_put_table(&out, c, &t);
    if (workers && workers->child)
        cfg_buf_puts(&out, "overridden locally on");
    cJSON_ArrayForEach(w, workers)
    {
        cfg_buf_puts(&out, w == workers->child ? " " : ", ");
        cli_put_text(&out, w->valuestring);
    }
    if (workers && workers->child)
        cfg_buf_putc(&out, '\n');
    if (cfg_json_get_bool(reply, "partial", false))
        cfg_buf_puts(&out, "workers of other configds are not among those asked\n");
    cJSON_ArrayForEach(input, inputs)
    {
        cfg_buf_printf(&out, "%s%s v%.0f%s", input == inputs->child ? "locked from " : ", ",
                       cfg_json_get_str(input, "object", "?"), cfg_json_get_num(input, "version", 0),
                       input->next ? "" : "\n");
    }
    cli_print(&out);
    table_finish(&t);
}

int cmd_explain(struct cli *c, struct cfg_error *err)
{
    struct cfg_address a;
    struct cfg_buf path;
    cJSON *reply = NULL;
    int rc = cfg_address_parse(&a, cfg_slice_str(c->args[0]), false, err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&path, 4096);
    cfg_url_format(&path, "/v1/config/*/explain", a.ns);
    cfg_url_query(&path, "path", a.name);
    if (cli_has(c, OPT_DEPLOYMENT))
        cfg_url_query(&path, "deployment", cli_value(c, OPT_DEPLOYMENT));
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cli_show_tree(c, reply))
        print_explained(c, reply);
    cJSON_Delete(reply);
    return rc;
}

/* --- lock --- */

int cmd_lock(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf path, out;
    cJSON *lock = NULL;
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/lock", c->args[0]);
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &lock, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc != 0)
        return rc;
    cfg_buf_init(&out, (size_t)1 << 26);
    cfg_json_print_pretty(&out, lock);
    cfg_buf_putc(&out, '\n');
    cli_print(&out);
    cJSON_Delete(lock);
    return 0;
}
