#include "client/cfgctl/flag_change.h"

#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_load.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 24, ATTEMPTS = 4 };

/* --- reading --- */

/* Adds the nearest flag of the namespace to a "no such flag". */
static int name_nearest(struct cli *c, const struct cfg_address *a, struct cfg_error *err)
{
    struct cfg_error ignored;
    cJSON *all = NULL, *names = cJSON_CreateObject();
    const cJSON *item;
    const char *near = NULL;
    if (names && cli_get(c, "/v1/flags", &all, &ignored) == 0) {
        bool good = true; /* without memory for all of them the hint knows fewer */
        cJSON_ArrayForEach(item, cfg_json_get(all, "items"))
        {
            if (strcmp(cfg_json_get_str(item, "namespace", ""), a->ns) == 0)
                good = good && cfg_json_set(names, cfg_json_get_str(item, "name", "?"), cJSON_CreateNull()) == 0;
        }
        near = flag_near_name(names, a->name);
    }
    if (near)
        cfg_error_set_hint(err, "did you mean %s/%s?", a->ns, near);
    else
        cfg_error_set_hint(err, "`cfgctl flag create %s/%s` makes it", a->ns, a->name);
    cJSON_Delete(names);
    cJSON_Delete(all);
    return CFG_E_NOT_FOUND;
}

static int read_address(const struct cli *c, struct cfg_address *out, struct cfg_error *err)
{
    int rc = cfg_address_parse(out, cfg_slice_str(c->args[0]), false, err);
    return rc == 0 ? cfg_check_flag_name(cfg_slice_str(out->name), err) : rc;
}

int flag_change_read(struct cli *c, struct cfg_address *address, cJSON **out, struct cfg_error *err)
{
    struct object_path path;
    int rc = read_address(c, address, err);
    if (rc == 0)
        rc = object_path_parse(&path, c->args[0], err);
    if (rc == 0)
        rc = cli_get(c, path.base, out, err);
    return rc == CFG_E_NOT_FOUND ? name_nearest(c, address, err) : rc;
}

/* --- writing --- */

static bool add(cJSON *array, cJSON *item)
{
    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool add_operation(cJSON *patch, const char *op, const char *member, const cJSON *value)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/%s", member);
    cJSON *o = cJSON_CreateObject(), *copy = value ? cJSON_Duplicate(value, true) : NULL;
    bool good = cJSON_AddStringToObject(o, "op", op) && cJSON_AddStringToObject(o, "path", path);
    if (value)
        good = good && cfg_json_set(o, "value", copy) == 0;
    return add(patch, o) && good;
}

/* Members that differ, each as a whole: what this cfgctl does not know stays as it is. */
static cJSON *make_patch(const cJSON *old, const cJSON *new)
{
    cJSON *patch = cJSON_CreateArray();
    const cJSON *m;
    bool good = patch != NULL;
    cJSON_ArrayForEach(m, old)
    {
        if (cfg_json_get(new, m->string) == NULL)
            good = good && add_operation(patch, "remove", m->string, NULL);
    }
    cJSON_ArrayForEach(m, new)
    {
        const cJSON *before = cfg_json_get(old, m->string);
        if (before == NULL || !cfg_json_equal(before, m))
            good = good && add_operation(patch, before ? "replace" : "add", m->string, m);
    }
    if (good)
        return patch;
    cJSON_Delete(patch);
    return NULL;
}

/* {"object", "if_version", key: value}, in a list. value is consumed. NULL without memory. */
static cJSON *make_changes(const struct cfg_address *a, double version, const char *key, cJSON *value)
{
    char object[CFG_LIMIT_NAME + CFG_LIMIT_PATH + 16];
    (void)snprintf(object, sizeof object, "flag/%s/%s", a->ns, a->name);
    cJSON *changes = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    bool good = changes && value && cJSON_AddStringToObject(entry, "object", object) &&
                cJSON_AddNumberToObject(entry, "if_version", version);
    good = cfg_json_set(entry, key, value) == 0 && good; /* consumed in any case */
    good = changes && add(changes, entry) && good;
    if (good)
        return changes;
    cJSON_Delete(changes);
    return NULL;
}

static void show_difference(const struct cli *c, const cJSON *old, const cJSON *new, const struct cfg_buf *notes)
{
    struct cfg_buf before, after, out;
    if (c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)
        return;
    cfg_buf_init(&before, TEXT_MAX);
    cfg_buf_init(&after, TEXT_MAX);
    cfg_buf_init(&out, 2 * TEXT_MAX);
    if (old)
        flag_describe(&before, old, false);
    flag_describe(&after, new, false);
    flag_diff(&out, before.data ? before.data : "", after.data, c->color);
    if (notes && notes->len > 0)
        cfg_buf_puts(&out, notes->data);
    cli_print(&out);
    (void)fflush(stdout); /* before it is done; main looks at the outcome */
    cfg_buf_finish(&before);
    cfg_buf_finish(&after);
}

static int write_change(struct cli *c, const struct cfg_address *a, double version, const cJSON *old, const cJSON *new,
                        struct cfg_error *err)
{
    cJSON *patch = make_patch(old, new);
    bool nothing = patch && patch->child == NULL;
    if (nothing) { /* an empty merge patch */
        cJSON_Delete(patch);
        patch = cJSON_CreateObject();
    }
    cJSON *changes = patch ? make_changes(a, version, nothing ? "patch" : "json_patch", patch) : NULL;
    int rc = changes ? cli_write(c, "POST", "/v1/changes", changes, NULL, err) : cli_no_memory(err);
    cJSON_Delete(changes);
    return rc;
}

/* --- the whole --- */

/* reply: the flag as read, with its version. */
static int edit_and_write(struct cli *c, struct flag_job *job, const cJSON *reply, flag_edit_fn fn, void *arg,
                          struct cfg_error *err)
{
    uint64_t version = (uint64_t)cfg_json_get_num(reply, "version", 0);
    cJSON *old = flag_envelope_of(reply);
    int rc = cli_number(c, OPT_IF_VERSION, &version, err);
    job->envelope = old ? cJSON_Duplicate(old, true) : NULL;
    if (rc == 0)
        rc = job->envelope ? fn(job, arg, err) : cli_no_memory(err);
    if (rc == 0 && cfg_buf_status(&job->notes) != 0)
        rc = cli_no_memory(err);
    if (rc == 0) {
        show_difference(c, old, job->envelope, &job->notes);
        rc = write_change(c, &job->address, (double)version, old, job->envelope, err);
    }
    cJSON_Delete(old);
    cJSON_Delete(job->envelope);
    return rc;
}

static int attempt(struct cli *c, bool with_flags, flag_edit_fn fn, void *arg, struct cfg_error *err)
{
    struct flag_job job = {.c = c};
    cJSON *reply = NULL;
    cfg_buf_init(&job.notes, TEXT_MAX);
    int rc = read_address(c, &job.address, err);
    if (rc == 0 && with_flags)
        rc = flag_fetch_space(c, job.address.ns, &reply, err);
    else if (rc == 0)
        rc = flag_change_read(c, &job.address, &reply, err);
    const cJSON *flag = reply;
    if (rc == 0 && with_flags) {
        job.flags = cfg_json_get(reply, "flags");
        flag = cfg_json_get(job.flags, job.address.name);
        if (flag == NULL) {
            (void)cfg_fail(err, CFG_E_NOT_FOUND, "there is no flag %s", c->args[0]);
            rc = name_nearest(c, &job.address, err);
        }
    }
    if (rc == 0)
        rc = edit_and_write(c, &job, flag, fn, arg, err);
    cJSON_Delete(reply);
    cfg_buf_finish(&job.notes);
    return rc;
}

int flag_change(struct cli *c, bool with_flags, flag_edit_fn fn, void *arg, struct cfg_error *err)
{
    int rc = attempt(c, with_flags, fn, arg, err);
    for (int i = 1; rc == CFG_E_PRECONDITION && !cli_has(c, OPT_IF_VERSION) && i < ATTEMPTS; i++) {
        (void)fputs("cfgctl: somebody else changed the flag meanwhile; again, on theirs\n", stderr);
        rc = attempt(c, with_flags, fn, arg, err);
    }
    return rc;
}

int flag_requires_put(const struct cli *c, cJSON *envelope, struct cfg_error *err)
{
    const char *given = cli_value(c, OPT_REQUIRES);
    if (given == NULL)
        return 0;
    cJSON_DeleteItemFromObjectCaseSensitive(envelope, "requires");
    if (given[0] == '\0')
        return 0;
    cJSON *names = cli_items(c, OPT_REQUIRES);
    return names && cfg_json_set(envelope, "requires", names) == 0 ? 0 : cli_no_memory(err);
}

int flag_change_create(struct cli *c, const cJSON *envelope, struct cfg_error *err)
{
    struct cfg_address a;
    int rc = read_address(c, &a, err);
    if (rc != 0)
        return rc;
    show_difference(c, NULL, envelope, NULL);
    cJSON *changes = make_changes(&a, 0, "put", cJSON_Duplicate(envelope, true));
    rc = changes ? cli_write(c, "POST", "/v1/changes", changes, NULL, err) : cli_no_memory(err);
    cJSON_Delete(changes);
    if (rc == CFG_E_PRECONDITION) {
        (void)cfg_fail(err, CFG_E_EXISTS, "there is a flag %s already", c->args[0]);
        cfg_error_set_hint(err, "`cfgctl flag get %s` shows it", c->args[0]);
        rc = CFG_E_EXISTS;
    }
    return rc;
}
