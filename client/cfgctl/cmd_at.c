/* at: the exact values that a step ran with, also in a past run. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/cfgctl/view.h"
#include "client/cfgctl/when.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

static int fetch_runs(struct cli *c, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 2048);
    cfg_url_format(&path, "/v1/deployments/*/at", c->args[0]);
    cfg_url_query(&path, "step", cli_value(c, OPT_STEP));
    if (cli_has(c, OPT_GROUP))
        cfg_url_query(&path, "group", cli_value(c, OPT_GROUP));
    if (cli_has(c, OPT_WORKER))
        cfg_url_query(&path, "worker", cli_value(c, OPT_WORKER));
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

static int fetch_view(struct cli *c, const char *revision, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/view", c->args[0]);
    cfg_url_query(&path, "revision", revision);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

/* Adds "views": what each revision of the runs holds, and for one that cannot be told any more, why. */
static int add_views(struct cli *c, cJSON *reply, struct cfg_error *err)
{
    cJSON *views = cJSON_AddObjectToObject(reply, "views");
    const cJSON *run;
    if (views == NULL)
        return cli_no_memory(err);
    cJSON_ArrayForEach(run, cfg_json_get(reply, "runs"))
    {
        const char *revision = cfg_json_get_str(run, "revision", "");
        cJSON *view = NULL;
        if (cfg_json_get(views, revision))
            continue;
        int rc = fetch_view(c, revision, &view, err);
        if (rc == CFG_E_COMPACTED || rc == CFG_E_NOT_FOUND) {
            view = cJSON_CreateObject();
            rc = cJSON_AddStringToObject(view, "error", err->text) ? 0 : cli_no_memory(err);
        }
        if (rc != 0) {
            cJSON_Delete(view);
            return rc;
        }
        if (cfg_json_set(views, revision, view) != 0)
            return cli_no_memory(err);
    }
    return 0;
}

static void add_run(struct table *t, const cJSON *run)
{
    char time[32];
    const cJSON *to = cfg_json_get(run, "to_step");
    table_add(t, cfg_json_get_str(run, "group", "?"));
    table_add(t, cfg_json_get_str(run, "revision", "?"));
    table_add_number(t, cfg_json_get_num(run, "from_step", 0));
    if (cJSON_IsNumber(to))
        table_add_number(t, to->valuedouble);
    else
        table_add(t, "-");
    table_add(t, when_local(time, cfg_json_get_str(run, "at", "?")));
    table_add(t, cfg_json_get_str(run, "incarnation", "-"));
}

static int put_view(struct cfg_buf *out, const cJSON *view, struct cfg_error *err)
{
    cJSON *document = NULL;
    const cJSON *flags = cfg_json_get(cfg_json_get(view, "view"), "flags"), *ns;
    const char *gone = cfg_json_get_str(view, "error", NULL);
    cfg_buf_puts(out, "\n# ");
    cli_put_text(out, view->string);
    cJSON_ArrayForEach(ns, cfg_json_get(view, "versions"))
    {
        cfg_buf_printf(out, ", %s v%.0f", ns->string, ns->valuedouble);
    }
    cfg_buf_putc(out, '\n');
    if (gone) {
        cli_put_text(out, gone);
        cfg_buf_putc(out, '\n');
        return 0;
    }
    int rc = view_document(&document, cfg_json_get(view, "view"), err);
    if (rc == 0)
        rc = view_print(out, VIEW_YAML, "", document, err);
    cJSON_ArrayForEach(ns, flags)
    {
        cfg_buf_printf(out, "# flags of %s: %d\n", ns->string, cJSON_GetArraySize(ns));
    }
    cJSON_Delete(document);
    return rc;
}

static bool any_open(const cJSON *runs)
{
    const cJSON *run;
    cJSON_ArrayForEach(run, runs)
    {
        if (!cJSON_IsNumber(cfg_json_get(run, "to_step")))
            return true;
    }
    return false;
}

static int print_words(const struct cli *c, const cJSON *reply, struct cfg_error *err)
{
    struct cfg_buf out;
    struct table t;
    const cJSON *item;
    int rc = 0;
    cfg_buf_init(&out, (size_t)1 << 26);
    table_init(&t, "GROUP|REVISION|FROM|TO|SINCE|INCARNATION");
    cJSON_ArrayForEach(item, cfg_json_get(reply, "runs"))
    {
        add_run(&t, item);
    }
    cli_put_table(&out, c, &t);
    table_finish(&t);
    if (any_open(cfg_json_get(reply, "runs")))
        cfg_buf_printf(&out,
                       "a run without TO has told no end: it may still go on, or not have come to step %s "
                       "(`cfgctl status` shows how far it is)\n",
                       cli_value(c, OPT_STEP));
    if (cfg_json_get_bool(reply, "partial", false))
        cfg_buf_puts(&out, "some records of that time are gone: other runs may have had this step, too\n");
    cJSON_ArrayForEach(item, cfg_json_get(reply, "views"))
    {
        rc = rc ? rc : put_view(&out, item, err);
    }
    if (rc == 0)
        cli_print(&out);
    cfg_buf_finish(&out);
    return rc;
}

int cmd_at(struct cli *c, struct cfg_error *err)
{
    uint64_t step = 0;
    cJSON *reply = NULL;
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    if (rc == 0 && !cli_has(c, OPT_STEP)) {
        rc = cfg_fail(err, CFG_E_INVALID, "at which step?");
        cfg_error_set_hint(err, "cfgctl at %s --step N", c->args[0]);
    }
    rc = rc ? rc : cli_number(c, OPT_STEP, &step, err);
    rc = rc ? rc : fetch_runs(c, &reply, err);
    if (rc == 0 && cJSON_GetArraySize(cfg_json_get(reply, "runs")) == 0) {
        rc = cfg_fail(err, CFG_E_NOT_FOUND, "no run of %s is known to have had step %llu", c->args[0],
                      (unsigned long long)step);
        cfg_error_set_hint(err, "what workers ran is kept for 90 days; `cfgctl status %s` shows where they are",
                           c->args[0]);
    }
    rc = rc ? rc : add_views(c, reply, err);
    if (rc == 0 && !cli_show_tree(c, reply))
        rc = print_words(c, reply, err);
    cJSON_Delete(reply);
    return rc;
}
