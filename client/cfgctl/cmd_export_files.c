/* export -f: what is served, as files for git. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/gitops_write.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the folder as it is --- */

static int read_old(struct cli *c, struct gitops *old, cJSON *errors, struct cfg_error *err)
{
    const char *dir = cli_value(c, OPT_FILE), *source = cli_value(c, OPT_SOURCE);
    cJSON *warnings = cJSON_CreateArray(); /* apply says them */
    int rc = warnings ? 0 : cli_no_memory(err);
    if (rc == 0 && gitops_is_folder(dir)) {
        rc = gitops_read(old, dir, warnings, errors, err);
    } else if (rc == 0) {
        const char *end = dir + strlen(dir), *start;
        while (end > dir && end[-1] == '/')
            end--;
        for (start = end; start > dir && start[-1] != '/';)
            start--;
        (void)snprintf(old->source, sizeof old->source, "%.*s", (int)(end - start), start);
        rc = gitops_check_source(old->source, err);
    }
    if (rc == 0 && source && (rc = gitops_check_source(source, err)) == 0)
        (void)snprintf(old->source, sizeof old->source, "%s", source);
    cJSON_Delete(warnings);
    return rc;
}

/* --- the result --- */

static void show(const struct cli *c, const struct gitops_writer *w)
{
    const cJSON *text;
    size_t files = 0, objects = 0, length = strlen(w->dir);
    while (length > 0 && w->dir[length - 1] == '/')
        length--;
    for (size_t i = 0; i < w->served->n; i++)
        objects += w->served->objects[i].head != NULL;
    cJSON *tree = cJSON_CreateObject(), *names = cJSON_AddArrayToObject(tree, "written");
    cJSON_ArrayForEach(text, w->texts)
    {
        (void)cJSON_AddItemToArray(names, cJSON_CreateString(text->string)); /* refuses NULL */
    }
    (void)cJSON_AddNumberToObject(tree, "objects", (double)objects); /* without memory the tree says less */
    if (tree && cli_show_tree(c, tree)) {
        cJSON_Delete(tree);
        return;
    }
    cJSON_Delete(tree);
    cJSON_ArrayForEach(text, w->texts)
    {
        (void)printf("wrote %.*s/%s\n", (int)length, w->dir, text->string);
        files++;
    }
    (void)printf("%zu objects, %zu files written\n", objects, files);
}

static int check_named(const struct cli *c, const struct gitops *served, struct cfg_error *err)
{
    for (int i = 0; i < c->n_args; i++) {
        bool found = false;
        for (size_t k = 0; k < served->n && !found; k++)
            found = served->objects[k].head && strcmp(served->objects[k].ns, c->args[i]) == 0;
        if (!found) {
            (void)cfg_fail(err, CFG_E_NOT_FOUND, "there is no namespace %s", c->args[i]);
            cfg_error_set_hint(err, "see `cfgctl list`");
            return CFG_E_NOT_FOUND;
        }
    }
    return 0;
}

static int read_served(struct cli *c, struct gitops *served, char store[64], struct cfg_error *err)
{
    cJSON *status = NULL;
    int rc = cli_get(c, "/v1/status", &status, err);
    if (rc == 0)
        (void)snprintf(store, 64, "%s", cfg_json_get_str(status, "store", ""));
    cJSON_Delete(status);
    if (rc == 0)
        rc = gitops_fetch_all(c, served, c->args, (size_t)c->n_args, err);
    return rc == 0 ? check_named(c, served, err) : rc;
}

static int check_line(const struct cli *c, struct cfg_error *err)
{
    const char *format = cli_value(c, OPT_FORMAT);
    int rc = 0;
    if (!cli_has(c, OPT_FILE)) {
        static const char *const forms[] = {"accelerate", "accelerate-schema", "env", "dotenv", "json", "yaml"};
        const char *near = c->n_args > 0 ? cfg_near_miss(c->args[0], forms, 6) : NULL;
        (void)cfg_fail(err, CFG_E_INVALID, "export needs the folder to write to, or one of its forms");
        if (near) {
            cfg_error_set_hint(err, "did you mean `cfgctl export %s`?", near);
            return CFG_E_INVALID;
        }
        cfg_error_set_hint(err, "cfgctl export -f DIR; see `cfgctl help export` for deployments");
        return CFG_E_INVALID;
    }
    if (format && strcmp(format, "yaml") != 0 && strcmp(format, "json") != 0)
        return cfg_fail(err, CFG_E_INVALID, "namespaces are kept as yaml or json, not as %s", format);
    for (int i = 0; i < c->n_args && rc == 0; i++)
        rc = cfg_check_name("namespace", cfg_slice_str(c->args[i]), err);
    return rc;
}

int cmd_export_files(struct cli *c, struct cfg_error *err)
{
    struct gitops old = {.n = 0}, served = {.n = 0};
    char store[64] = "";
    const char *format = cli_value(c, OPT_FORMAT);
    cJSON *errors = cJSON_CreateArray();
    struct gitops_writer w = {.dir = cli_value(c, OPT_FILE),
                              .old = &old,
                              .served = &served,
                              .errors = errors,
                              .texts = cJSON_CreateObject(),
                              .json = format && strcmp(format, "json") == 0};
    int rc = errors && w.texts ? check_line(c, err) : cli_no_memory(err);
    if (rc == 0)
        rc = read_old(c, &old, errors, err);
    if (rc == 0)
        rc = read_served(c, &served, store, err);
    if (rc == 0)
        rc = gitops_make_files(&w, store, err);
    if (rc == 0)
        rc = gitops_write_files(&w, err);
    if (rc == 0)
        show(c, &w);
    gitops_finish(&old);
    gitops_finish(&served);
    cJSON_Delete(errors);
    cJSON_Delete(w.texts);
    return rc;
}
