/* `set`: one name is a parameter or a flag, and the server knows which. */
#include "configd/change_experiment.h"
#include "configd/change_spaces.h"
#include "flags/flag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mode { MODE_SET, MODE_ADD, MODE_FORCE, MODE_DELETE };

struct item {
    const char *name;
    enum mode mode;
    const cJSON *value; /* borrowed; NULL when none was given */
    int on_off;         /* 1, 0, −1: neither word */
    bool change_type;
};

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int read_mode(struct item *out, const cJSON *json, struct cfg_error *err)
{
    static const char *const modes[] = {"set", "add", "force", "delete"};
    const char *mode = cfg_json_get_str(json, "mode", "set");
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(mode, modes[i]) == 0) {
            out->mode = (enum mode)i;
            return 0;
        }
    }
    return cfg_fail(err, CFG_E_INVALID, "mode \"%.32s\" is none of set, add, force, delete", mode);
}

static int read_item(struct item *out, const cJSON *json, struct cfg_error *err)
{
    static const char *const members[] = {"name", "mode", "value", "on_off", "change_type", NULL};
    int rc = cfg_check_members(json, members, "an item of \"set\"", err);
    if (rc == 0)
        rc = read_mode(out, json, err);
    if (rc != 0)
        return rc;
    const char *on_off = cfg_json_get_str(json, "on_off", NULL);
    out->name = cfg_json_get_str(json, "name", "");
    out->value = cfg_json_get(json, "value");
    out->on_off = on_off == NULL ? -1 : strcmp(on_off, "on") == 0 ? 1 : 0;
    out->change_type = cfg_json_get_bool(json, "change_type", false);
    if (on_off && out->on_off == 0 && strcmp(on_off, "off") != 0)
        return cfg_fail(err, CFG_E_INVALID, "on_off \"%.16s\" is neither on nor off", on_off);
    if (out->mode != MODE_DELETE && out->value == NULL && out->on_off < 0)
        return cfg_fail(err, CFG_E_INVALID, "%.64s: neither value nor on_off is given", out->name);
    return cfg_path_check(cfg_slice_str(out->name), err);
}

/* --- flags --- */

static int open_flag(struct cfg_draft **out, struct cfg_bench *b, const char *ns, const char *name,
                     struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_FLAG, ns, name);
    return cfg_bench_open(out, b, &id, err);
}

static int set_flag(struct cfg_bench *b, struct cfg_draft *flag, size_t entry, const struct item *item,
                    struct cfg_error *err)
{
    const char *ns = flag->id.ns, *name = flag->id.name;
    if (item->mode == MODE_ADD) {
        return cfg_fail(err, CFG_E_EXISTS, "flag %s/%s exists already", ns, name);
    }
    int rc = cfg_bench_touch(b, flag, entry, err);
    if (rc != 0)
        return rc;
    if (item->mode == MODE_DELETE) {
        rc = cfg_experiment_refuse_delete(b, flag, err);
        if (rc != 0)
            return rc;
        cJSON_Delete(flag->after);
        flag->after = NULL;
        return 0;
    }
    if (item->on_off < 0) {
        (void)cfg_fail(err, CFG_E_CONFLICT, "%s/%s is a flag: it takes on or off, not a value", ns, name);
        cfg_error_set_hint(
            err, "%s/%s=on switches it; `cfgctl flag split %s/%s VARIANT=100` serves a variant to all no rule catches",
            ns, name, ns, name);
        return CFG_E_CONFLICT;
    }
    rc = cfg_json_set(flag->after, "enabled", cJSON_CreateBool(item->on_off));
    return rc == 0 ? 0 : no_memory(err);
}

static int create_flag(struct cfg_bench *b, struct cfg_draft *flag, size_t entry, const struct item *item,
                       struct cfg_error *err)
{
    int rc = cfg_check_flag_name(cfg_slice_str(item->name), err);
    if (rc == 0)
        rc = cfg_bench_touch(b, flag, entry, err);
    if (rc != 0)
        return rc;
    flag->after = cfg_flag_new_boolean(item->on_off == 1);
    return flag->after ? 0 : no_memory(err);
}

/* --- parameters --- */

/* The working document; NULL while the namespace does not exist. */
static cJSON *document_of(const struct cfg_draft *config)
{
    return cfg_json_get(config->after, "document");
}

static int start_document(struct cfg_draft *config, struct cfg_error *err)
{
    if (config->after)
        return 0;
    config->after = cJSON_CreateObject();
    if (config->after && cJSON_AddObjectToObject(config->after, "document") &&
        cJSON_AddArrayToObject(config->after, "extends"))
        return 0;
    cJSON_Delete(config->after);
    config->after = NULL;
    return no_memory(err);
}

/* What is written for an existing parameter: the words on and off are booleans, but a string takes them as they are. */
static cJSON *value_for(const struct item *item, const cJSON *is)
{
    if (item->on_off < 0 || (cJSON_IsString(is) && cJSON_IsString(item->value)))
        return cJSON_Duplicate(item->value, true);
    return cJSON_CreateBool(item->on_off);
}

/* "???" and interpolations stand for values of any type. */
static bool is_open(const cJSON *v)
{
    return cJSON_IsString(v) && (strstr(v->valuestring, "${") || strcmp(v->valuestring, "???") == 0);
}

static int replace_parameter(struct cfg_draft *config, const struct item *item, const cJSON *is, struct cfg_error *err)
{
    if (item->mode == MODE_ADD)
        return cfg_fail(err, CFG_E_EXISTS, "%s/%s exists already", config->id.ns, item->name);
    if (item->mode == MODE_DELETE)
        return cfg_path_remove(document_of(config), item->name, err);
    cJSON *value = value_for(item, is);
    if (value == NULL)
        return no_memory(err);
    const char *has = cfg_json_type(is), *gets = cfg_json_type(value);
    if (!item->change_type && strcmp(has, gets) != 0 && !is_open(is) && !is_open(value)) {
        cJSON_Delete(value);
        (void)cfg_fail(err, CFG_E_TYPE_CHANGE, "%s/%s holds a value of type %s; the new one is of type %s",
                       config->id.ns, item->name, has, gets);
        cfg_error_set_path(err, "%s", item->name);
        cfg_error_set_hint(err, "--change-type changes the type, --string takes the text as it is");
        return CFG_E_TYPE_CHANGE;
    }
    return cfg_path_set(document_of(config), item->name, value, err);
}

enum { NAMES = 2048 };
struct names {
    char *items[NAMES];
    size_t n;
};

static bool take_leaf(const char *path, const cJSON *value, void *arg)
{
    (void)value;
    struct names *names = arg;
    char *copy = cfg_slice_dup(cfg_slice_str(path));
    if (copy)
        names->items[names->n++] = copy;
    return copy && names->n < NAMES;
}

static bool take_flag(struct cfg_object *o, void *arg)
{
    return o->deleted || take_leaf(o->id.name, NULL, arg);
}

/* The existing name nearest to the one given, appended to a text like "did you mean %s?"; "" when there is none. */
static void near_name(char out[CFG_LIMIT_PATH + 1], const struct cfg_bench *b, const struct cfg_draft *config,
                      const char *name)
{
    out[0] = '\0';
    struct names *names = calloc(1, sizeof *names);
    if (names == NULL)
        return; /* no hint, then */
    const cJSON *before = cfg_json_get(config->before, "document");
    if (before)
        (void)cfg_path_each_leaf(before, take_leaf, names); /* stops when the table is full */
    if (names->n < NAMES)
        b->heads->each(b->heads->arg, CFG_KIND_FLAG, config->id.ns, take_flag, names);
    const char *const *list = (const char *const *)names->items;
    const char *near = cfg_near_miss(name, list, names->n);
    if (near)
        (void)snprintf(out, CFG_LIMIT_PATH + 1, "%s", near);
    for (size_t i = 0; i < names->n; i++)
        free(names->items[i]);
    free(names);
}

static int unknown_parameter(const struct cfg_bench *b, const struct cfg_draft *config, const char *name,
                             struct cfg_error *err)
{
    char near[CFG_LIMIT_PATH + 1];
    (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "%s/%s does not exist", config->id.ns, name);
    cfg_error_set_path(err, "%s", name);
    near_name(near, b, config, name);
    if (near[0])
        cfg_error_set_hint(err, "did you mean %s/%s?", config->id.ns, near);
    return CFG_E_UNKNOWN_KEY;
}

static int new_parameter(const struct cfg_bench *b, struct cfg_draft *config, const struct item *item,
                         struct cfg_error *err)
{
    char near[CFG_LIMIT_PATH + 1];
    int rc = start_document(config, err);
    if (rc != 0)
        return rc;
    cJSON *value = cJSON_Duplicate(item->value, true);
    if (value == NULL)
        return no_memory(err);
    rc = cfg_path_set(document_of(config), item->name, value, err);
    if (rc != 0)
        return rc;
    near_name(near, b, config, item->name);
    if (near[0])
        (void)snprintf(config->hint, sizeof config->hint, "%.100s is new; did you mean %.100s?", item->name, near);
    return 0;
}

/* What the namespace gets from those it extends: the topmost that says something. *out is borrowed from the bench;
 * NULL: nothing. */
static int find_inherited(const cJSON **out, struct cfg_bench *b, const struct cfg_draft *config, const char *name,
                          struct cfg_error *err)
{
    struct cfg_closure closure;
    const cJSON *found = NULL;
    int rc = 0;
    if (cJSON_GetArraySize(cfg_json_get(config->after, "extends")) > 0) {
        rc = cfg_spaces_closure(&closure, b, config->id.ns, true, err);
        for (size_t i = rc == 0 ? closure.n - 1 : 0; i > 0 && found == NULL; i--)
            found = cfg_path_get(cfg_json_get(closure.items[i - 1].body, "document"), name);
        if (rc == 0)
            cfg_closure_finish(&closure);
    }
    *out = found;
    return rc;
}

static int unset_inherited(const struct cfg_draft *config, const char *name, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "%s does not set %s itself: it extends what does", config->id.ns, name);
    cfg_error_set_path(err, "%s", name);
    cfg_error_set_hint(err, "cfgctl explain %s/%s says where", config->id.ns, name);
    return CFG_E_UNKNOWN_KEY;
}

static int apply_item(struct cfg_bench *b, size_t entry, const struct item *item, struct cfg_error *err)
{
    const struct cfg_object_id *id = &b->change->entries[entry].id;
    struct cfg_draft *config, *flag = NULL;
    int rc = cfg_bench_open(&config, b, id, err);
    if (rc == 0 && cfg_check_flag_name(cfg_slice_str(item->name), NULL) == 0)
        rc = open_flag(&flag, b, id->ns, item->name, err);
    if (rc != 0)
        return rc;
    const cJSON *is = cfg_path_get(document_of(config), item->name);
    if (flag && flag->after)
        return set_flag(b, flag, entry, item, err);
    bool own = is != NULL;
    rc = own ? 0 : find_inherited(&is, b, config, item->name, err);
    if (rc != 0)
        return rc;
    if (is && !own && item->mode == MODE_DELETE)
        return unset_inherited(config, item->name, err);
    if (is == NULL && item->mode == MODE_DELETE)
        return unknown_parameter(b, config, item->name, err);
    if (is == NULL && item->on_off >= 0)
        return flag ? create_flag(b, flag, entry, item, err) : cfg_check_flag_name(cfg_slice_str(item->name), err);
    rc = cfg_bench_touch(b, config, entry, err);
    if (rc != 0)
        return rc;
    return is ? replace_parameter(config, item, is, err) : new_parameter(b, config, item, err);
}

int cfg_apply_set(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const cJSON *json;
    if (!cJSON_IsArray(b->change->entries[entry].body))
        return cfg_fail(err, CFG_E_INVALID, "\"set\" must be an array");
    cJSON_ArrayForEach(json, b->change->entries[entry].body)
    {
        struct item item;
        int rc = read_item(&item, json, err);
        if (rc == 0)
            rc = apply_item(b, entry, &item, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
