/* export …: a deployment's view for programs that read files or variables. */
#include "client/cfgctl/accelerate.h"
#include "client/cfgctl/commands.h"
#include "client/cfgctl/file_replace.h"
#include "client/cfgctl/notes.h"
#include "client/cfgctl/view.h"
#include "proto/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OUT_MAX = 1 << 26, NAME_ROOM = 4096, MACHINES_MAX = 100000 };

/* --- env, dotenv, json, yaml --- */

int cmd_export_view(struct cli *c, struct cfg_error *err)
{
    char ns[CFG_LIMIT_NAME + 1];
    enum view_format format;
    cJSON *reply = NULL, *document = NULL;
    if (!view_format_parse(&format, c->command->name + sizeof "export"))
        return cfg_fail(err, CFG_E_INTERNAL, "no format %s", c->command->name);
    int rc = view_namespace(c, c->args[0], ns, err);
    if (rc == 0)
        rc = view_fetch(c, c->args[0], &reply, err);
    if (rc == 0)
        rc = view_document(&document, cfg_json_get(reply, "view"), err);
    struct cfg_buf out;
    cfg_buf_init(&out, OUT_MAX);
    if (rc == 0)
        rc = view_print(&out, format, ns, document, err);
    if (rc == 0)
        cli_print(&out);
    else
        cfg_buf_finish(&out);
    cJSON_Delete(document);
    cJSON_Delete(reply);
    return rc;
}

/* --- accelerate --- */

int accelerate_of(const cJSON **out, const cJSON *document, const char *deployment, struct cfg_error *err)
{
    const cJSON *accelerate = cfg_json_get(document, "accelerate");
    if (cJSON_IsObject(accelerate)) {
        *out = accelerate;
        return 0;
    }
    cfg_fail(err, CFG_E_NOT_FOUND, "%s has nothing under `accelerate`", deployment);
    cfg_error_set_hint(err, "cfgctl import accelerate FILE NS brings a launch file in; then pin it: --pin accelerate");
    return CFG_E_NOT_FOUND;
}

static int show(const struct cli *c, const struct accelerate_launch *l, const cJSON *notes, struct cfg_error *err)
{
    struct cfg_buf out;
    int rc = 0;
    if (c->output == OUTPUT_JSON) {
        cJSON *both = cJSON_CreateObject();
        if (both && cJSON_AddItemReferenceToObject(both, "file", l->file) &&
            cJSON_AddItemReferenceToObject(both, "flags", l->flags))
            (void)cli_show_tree(c, both); /* JSON is wanted */
        else
            rc = cli_no_memory(err);
        cJSON_Delete(both);
    } else {
        cfg_buf_init(&out, OUT_MAX);
        rc = accelerate_print(&out, l);
        if (rc == 0)
            cli_print(&out);
        else
            cfg_buf_finish(&out);
    }
    notes_print(notes);
    return rc;
}

static int write_one(const struct cli *c, const struct accelerate_launch *l, long rank, mode_t mode,
                     struct cfg_error *err)
{
    char name[NAME_ROOM];
    struct cfg_buf out;
    if (snprintf(name, sizeof name, "%s/machine-%ld.yaml", cli_value(c, OPT_ALL_RANKS), rank) >= (int)sizeof name)
        return cfg_fail(err, CFG_E_INVALID, "the folder's name is too long");
    cfg_buf_init(&out, OUT_MAX);
    int rc = accelerate_print(&out, l);
    rc = rc == 0 ? file_replace(name, cfg_buf_slice(&out), mode, err) : cli_no_memory(err);
    cfg_buf_finish(&out);
    if (rc == 0)
        (void)printf("%s\n", name); /* main looks at the outcome */
    return rc;
}

static int write_all(const struct cli *c, const cJSON *accelerate, mode_t mode, enum accelerate_unknown unknown,
                     cJSON *notes, cJSON *violations, struct cfg_error *err)
{
    double machines = cfg_json_get_num(accelerate, "num_machines", 1);
    int rc = 0;
    if (machines > MACHINES_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "num_machines is %.0f", machines);
    if (mkdir(cli_value(c, OPT_ALL_RANKS), 0777) != 0 && errno != EEXIST)
        return cfg_fail(err, CFG_E_IO, "cannot make %s: %s", cli_value(c, OPT_ALL_RANKS), strerrordesc_np(errno));
    for (long rank = 0; rc == 0 && (double)rank < machines; rank++) {
        struct accelerate_launch l = {.file = NULL};
        cJSON *once = rank == 0 ? notes : cJSON_CreateArray(); /* each says the same */
        rc = once ? accelerate_make(&l, accelerate, rank, unknown, once, violations, err) : cli_no_memory(err);
        if (rc == 0)
            rc = write_one(c, &l, rank, mode, err);
        if (rank > 0)
            cJSON_Delete(once);
        accelerate_launch_finish(&l);
    }
    notes_print(notes);
    return rc;
}

static int export_accelerate(struct cli *c, const cJSON *view, cJSON *notes, cJSON *violations, struct cfg_error *err)
{
    enum accelerate_unknown unknown = cli_has(c, OPT_KEEP_UNKNOWN) ? ACCELERATE_KEEP : ACCELERATE_DROP;
    struct accelerate_launch l = {.file = NULL};
    const cJSON *accelerate = NULL;
    cJSON *text = NULL, *document = NULL;
    uint64_t rank = 0;
    int rc = cli_number(c, OPT_MACHINE_RANK, &rank, err);
    if (rc == 0)
        rc = view_document(&text, view, err);
    if (rc == 0)
        rc = view_read_environment(&document, text, err);
    if (rc == 0)
        rc = accelerate_of(&accelerate, document, c->args[0], err);
    if (rc == 0 && cfg_json_get(cfg_json_get(view, "pinned"), "accelerate") == NULL)
        rc = notes_add(notes, "accelerate is not pinned: a write changes what the next start runs with", err);
    if (rc == 0 && cli_has(c, OPT_ALL_RANKS)) {
        rc = write_all(c, accelerate, view_file_mode(text), unknown, notes, violations, err);
    } else if (rc == 0) {
        rc = accelerate_make(&l, accelerate, cli_has(c, OPT_MACHINE_RANK) ? (long)rank : -1, unknown, notes, violations,
                             err);
        if (rc == 0)
            rc = show(c, &l, notes, err);
    }
    accelerate_launch_finish(&l);
    cJSON_Delete(document);
    cJSON_Delete(text);
    return rc;
}

int cmd_export_accelerate(struct cli *c, struct cfg_error *err)
{
    cJSON *reply = NULL, *notes = cJSON_CreateArray(), *violations = cJSON_CreateArray();
    int rc = notes && violations ? 0 : cli_no_memory(err);
    if (rc == 0 && cli_has(c, OPT_MACHINE_RANK) && cli_has(c, OPT_ALL_RANKS))
        rc = cfg_fail(err, CFG_E_INVALID, "--machine-rank is one machine's file, --all-ranks everybody's");
    if (rc == 0)
        rc = view_fetch(c, c->args[0], &reply, err);
    if (rc == 0)
        rc = export_accelerate(c, cfg_json_get(reply, "view"), notes, violations, err);
    violations_print(violations);
    cJSON_Delete(violations);
    cJSON_Delete(notes);
    cJSON_Delete(reply);
    return rc;
}

int cmd_export_accelerate_schema(struct cli *c, struct cfg_error *err)
{
    cJSON *schema = NULL;
    struct cfg_buf out;
    int rc = accelerate_schema(&schema, err);
    if (rc != 0)
        return rc;
    if (!cli_show_tree(c, schema)) {
        cfg_buf_init(&out, OUT_MAX);
        cfg_json_print_pretty(&out, schema);
        cfg_buf_putc(&out, '\n');
        cli_print(&out);
    }
    cJSON_Delete(schema);
    return 0;
}
