/* Files of a folder, made from what is served. */
#include "client/cfgctl/gitops_write.h"
#include "client/cfgctl/file_replace.h"
#include "proto/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_MAX = 1 << 26, PATH_ROOM = 4096 };

/* --- which file --- */

/* The file that says so already, or a new one's name. */
static void choose_name(char out[FILENAME_MAX], const struct gitops_writer *w, enum gitops_kind kind, const char *ns)
{
    static const char *const parts[] = {"", ".schema", ".flags", ".flags"};
    for (size_t i = 0; i < w->old->n; i++) {
        const struct gitops_object *o = &w->old->objects[i];
        bool flags = kind >= GITOPS_EVALUATORS && o->kind >= GITOPS_EVALUATORS;
        if ((o->kind == kind || flags) && strcmp(o->ns, ns) == 0) {
            (void)snprintf(out, FILENAME_MAX, "%s", o->file);
            return;
        }
    }
    (void)snprintf(out, FILENAME_MAX, "%s%s.%s", ns, parts[kind], w->json || kind == GITOPS_SCHEMA ? "json" : "yaml");
}

/* A file that cannot be read may hold what nobody else has. */
static int check_readable(const struct gitops_writer *w, const char *file, struct cfg_error *err)
{
    const cJSON *line;
    size_t n = strlen(file);
    cJSON_ArrayForEach(line, w->errors)
    {
        if (strncmp(line->valuestring, file, n) != 0 || line->valuestring[n] != ':')
            continue;
        (void)cfg_fail(err, CFG_E_VALUE, "%.300s", line->valuestring);
        cfg_error_set_hint(err, "mend or remove it; nothing was written");
        return CFG_E_VALUE;
    }
    return 0;
}

/* Plans a file; v is borrowed. */
static int put_file(struct gitops_writer *w, const char *file, const cJSON *v, struct cfg_error *err)
{
    struct cfg_buf text;
    const char *dot = strrchr(file, '.');
    int rc = check_readable(w, file, err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&text, TEXT_MAX);
    if (strcmp(dot, ".json") == 0) {
        cfg_json_print_pretty(&text, v);
        cfg_buf_putc(&text, '\n');
        rc = cfg_buf_status(&text);
    } else {
        rc = cfg_yaml_print(&text, v);
    }
    cJSON *item = rc == 0 ? cJSON_CreateString(text.data) : NULL;
    cfg_buf_finish(&text);
    return item && cfg_json_set(w->texts, file, item) == 0 ? 0 : cli_no_memory(err);
}

/* --- what they say --- */

static bool same_as(const cJSON *a, const cJSON *b)
{
    return a && b ? cfg_json_equal(a, b) : a == b;
}

static const cJSON *wanted_of(const struct gitops *g, enum gitops_kind kind, const char *ns, const char *name)
{
    const struct gitops_object *o = gitops_find(g, kind, ns, name);
    return o ? o->wanted : NULL;
}

static int put_namespace(struct gitops_writer *w, const struct gitops_object *o, struct cfg_error *err)
{
    char file[FILENAME_MAX];
    const cJSON *old = wanted_of(w->old, GITOPS_CONFIG, o->ns, ""), *extends = cfg_json_get(o->head, "extends");
    int rc = 0;
    choose_name(file, w, GITOPS_CONFIG, o->ns);
    if (!same_as(cfg_json_get(old, "document"), cfg_json_get(o->head, "document")))
        rc = put_file(w, file, cfg_json_get(o->head, "document"), err);
    bool plain = extends == NULL || extends->child == NULL;
    if (rc != 0 || (old == NULL ? plain : same_as(cfg_json_get(old, "extends"), extends)))
        return rc;
    cJSON *meta = cJSON_CreateObject();
    rc = meta && cfg_json_set(meta, "extends", cJSON_Duplicate(extends, true)) == 0 ? 0 : cli_no_memory(err);
    const char *const ending = gitops_has_file(w->dir, o->ns, ".meta.json")  ? ".meta.json"
                               : gitops_has_file(w->dir, o->ns, ".meta.yml") ? ".meta.yml"
                                                                             : ".meta.yaml";
    (void)snprintf(file, sizeof file, "%s%s", o->ns, ending);
    if (rc == 0)
        rc = put_file(w, file, meta, err);
    cJSON_Delete(meta);
    return rc;
}

bool gitops_has_file(const char *dir, const char *ns, const char *ending)
{
    char path[PATH_ROOM];
    struct stat st;
    return snprintf(path, sizeof path, "%s/%s%s", dir, ns, ending) < (int)sizeof path && stat(path, &st) == 0;
}

/* Do the files have exactly these flags and segments? */
static bool same_flags(const struct gitops_writer *w, const char *ns)
{
    size_t served = 0, filed = 0;
    for (size_t i = 0; i < w->served->n; i++) {
        const struct gitops_object *o = &w->served->objects[i];
        if (o->kind < GITOPS_EVALUATORS || strcmp(o->ns, ns) != 0 || o->head == NULL)
            continue;
        served++;
        if (!same_as(wanted_of(w->old, o->kind, ns, o->name), o->head))
            return false;
    }
    for (size_t i = 0; i < w->old->n; i++)
        filed += w->old->objects[i].kind >= GITOPS_EVALUATORS && strcmp(w->old->objects[i].ns, ns) == 0;
    return served == filed;
}

static int add_segments(cJSON *document, const struct gitops *g, const char *ns, struct cfg_error *err)
{
    static const char *const ours[] = {"evaluators", "metadata"}, *const theirs[] = {"$evaluators", "metadata"};
    const struct gitops_object *o = gitops_find(g, GITOPS_EVALUATORS, ns, "");
    for (int i = 0; i < 2; i++) {
        const cJSON *v = o ? cfg_json_get(o->head, ours[i]) : NULL;
        if (v && v->child && cfg_json_set(document, theirs[i], cJSON_Duplicate(v, true)) != 0)
            return cli_no_memory(err);
    }
    return 0;
}

static int put_flags(struct gitops_writer *w, const char *ns, struct cfg_error *err)
{
    char file[FILENAME_MAX];
    cJSON *document = cJSON_CreateObject();
    cJSON *flags = cJSON_AddStringToObject(document, "$schema", "https://flagd.dev/schema/v0/flags.json")
                       ? cJSON_AddObjectToObject(document, "flags")
                       : NULL;
    int rc = flags ? 0 : cli_no_memory(err);
    for (size_t i = 0; i < w->served->n && rc == 0; i++) {
        const struct gitops_object *o = &w->served->objects[i];
        cJSON *flag = NULL;
        if (o->kind != GITOPS_FLAG || strcmp(o->ns, ns) != 0 || o->head == NULL)
            continue;
        rc = gitops_flag_write(&flag, o->head, err);
        if (rc == 0 && cfg_json_set(flags, o->name, flag) != 0)
            rc = cli_no_memory(err);
    }
    if (rc == 0)
        rc = add_segments(document, w->served, ns, err);
    choose_name(file, w, GITOPS_FLAG, ns);
    if (rc == 0)
        rc = put_file(w, file, document, err);
    cJSON_Delete(document);
    return rc;
}

static int put_one(struct gitops_writer *w, const struct gitops_object *o, struct cfg_error *err)
{
    char file[FILENAME_MAX];
    if (o->kind == GITOPS_CONFIG) {
        int rc = o->head ? put_namespace(w, o, err) : 0;
        return rc == 0 && !same_flags(w, o->ns) ? put_flags(w, o->ns, err) : rc;
    }
    if (o->kind != GITOPS_SCHEMA || o->head == NULL || same_as(wanted_of(w->old, o->kind, o->ns, ""), o->head))
        return 0;
    choose_name(file, w, GITOPS_SCHEMA, o->ns);
    return put_file(w, file, o->head, err);
}

/* --- .cfgctl.yaml --- */

static int put_settings(struct gitops_writer *w, const char *store, struct cfg_error *err)
{
    bool same_store = w->old->exported && strcmp(w->old->store, store) == 0;
    cJSON *exported = same_store ? cJSON_Duplicate(w->old->exported, true) : cJSON_CreateObject();
    cJSON *settings = cJSON_CreateObject();
    bool good = exported && cJSON_AddStringToObject(settings, "source", w->old->source) &&
                cJSON_AddStringToObject(settings, "store", store);
    for (size_t i = 0; i < w->served->n && good; i++) {
        const struct gitops_object *o = &w->served->objects[i];
        char object[GITOPS_OBJECT_ROOM];
        gitops_object_text(object, o);
        if (o->head)
            good = cfg_json_set(exported, object, cJSON_CreateNumber(o->version)) == 0;
        else
            cJSON_DeleteItemFromObjectCaseSensitive(exported, object);
    }
    bool same = good && same_store && cfg_json_equal(exported, w->old->exported);
    if (!good || cfg_json_set(settings, "exported", exported) != 0) {
        if (!good)
            cJSON_Delete(exported);
        cJSON_Delete(settings);
        return cli_no_memory(err);
    }
    int rc = same ? 0 : put_file(w, ".cfgctl.yaml", settings, err);
    cJSON_Delete(settings);
    return rc;
}

int gitops_make_files(struct gitops_writer *w, const char *store, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < w->served->n && rc == 0; i++)
        rc = put_one(w, &w->served->objects[i], err);
    return rc == 0 ? put_settings(w, store, err) : rc;
}

int gitops_write_files(const struct gitops_writer *w, struct cfg_error *err)
{
    const cJSON *text;
    int rc = 0;
    if (w->texts->child && mkdir(w->dir, 0777) != 0 && errno != EEXIST)
        return cfg_fail(err, CFG_E_IO, "cannot make %s: %s", w->dir, strerrordesc_np(errno));
    cJSON_ArrayForEach(text, w->texts)
    {
        char path[PATH_ROOM];
        if (snprintf(path, sizeof path, "%s/%s", w->dir, text->string) >= (int)sizeof path)
            return cfg_fail(err, CFG_E_LIMIT, "the name %.60s… is too long", w->dir);
        rc = file_replace(path, cfg_slice_str(text->valuestring), 0644, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
