/* A folder of namespaces, read. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/gitops.h"
#include "proto/path.h"
#include "proto/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_ROOM = 4096, LINE_ROOM = 2048 };

enum part { PART_DOCUMENT, PART_META, PART_SCHEMA, PART_FLAGS, PART_SETTINGS, PART_NONE };

struct reader {
    struct gitops *g;
    const char *dir;
    const char *file; /* the one being read */
    cJSON *warnings, *errors;
};

/* --- what is wrong --- */

/* A line "FILE:LINE:COLUMN: why · hint". Only a lack of memory is an error of its own. */
static int complain(const struct reader *r, const struct cfg_error *why, struct cfg_error *err)
{
    unsigned line = 0, column = 0;
    int skip = 0;
    struct cfg_buf text;
    cfg_buf_init(&text, LINE_ROOM);
    cfg_buf_puts(&text, r->file);
    if (sscanf(why->path, "line %u column %u", &line, &column) == 2)
        cfg_buf_printf(&text, ":%u:%u", line, column);
    if (line > 0)
        (void)sscanf(why->text, "line %*u column %*u: %n", &skip); /* said already */
    cfg_buf_printf(&text, ": %s", why->text + skip);
    if (why->hint[0])
        cfg_buf_printf(&text, " · %s", why->hint);
    cJSON *item = cfg_buf_status(&text) == 0 ? cJSON_CreateString(text.data) : NULL;
    cfg_buf_finish(&text);
    if (item && cJSON_AddItemToArray(r->errors, item))
        return 0;
    cJSON_Delete(item);
    return cli_no_memory(err);
}

static int warn(const struct reader *r, const cJSON *warnings, struct cfg_error *err)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, warnings)
    {
        struct cfg_buf text;
        cfg_buf_init(&text, LINE_ROOM);
        cfg_buf_printf(&text, "%s:%.0f:%.0f: %s; %s", r->file, cfg_json_get_num(w, "line", 0),
                       cfg_json_get_num(w, "column", 0), cfg_json_get_str(w, "message", "?"),
                       cfg_json_get_str(w, "hint", "quote it"));
        cJSON *item = cfg_buf_status(&text) == 0 ? cJSON_CreateString(text.data) : NULL;
        cfg_buf_finish(&text);
        if (item == NULL || !cJSON_AddItemToArray(r->warnings, item)) {
            cJSON_Delete(item);
            return cli_no_memory(err);
        }
    }
    return 0;
}

/* --- names --- */

static const char *const part_names[] = {"", "meta", "schema", "flags"};

/* "chat.flags.yaml" is the flags of chat. PART_NONE with 0: not of this kind of file. */
static int classify(const char *file, char ns[CFG_LIMIT_NAME + 1], enum part *part, struct cfg_error *err)
{
    static const char *const endings[] = {".yaml", ".yml", ".json"};
    size_t len = strlen(file), n = 0;
    *part = strcmp(file, ".cfgctl.yaml") == 0 ? PART_SETTINGS : PART_NONE;
    for (int i = 0; i < 3 && file[0] != '.'; i++) {
        size_t m = strlen(endings[i]);
        if (len > m && strcmp(file + len - m, endings[i]) == 0)
            n = len - m;
    }
    if (n == 0)
        return 0;
    const char *dot = memchr(file, '.', n);
    size_t n_ns = dot ? (size_t)(dot - file) : n, n_part = dot ? n - n_ns - 1 : 0;
    int rc = cfg_check_name("namespace", (struct cfg_slice){file, n_ns}, err);
    if (rc != 0)
        return rc;
    (void)snprintf(ns, CFG_LIMIT_NAME + 1, "%.*s", (int)n_ns, file);
    for (int i = 0; i < 4; i++)
        if (strlen(part_names[i]) == n_part && strncmp(part_names[i], dot ? dot + 1 : "", n_part) == 0) {
            *part = (enum part)i;
            return 0;
        }
    (void)cfg_fail(err, CFG_E_VALUE, "no file of a namespace is called so");
    cfg_error_set_hint(err, "%s.yaml, %s.meta.yaml, %s.schema.json or %s.flags.yaml", ns, ns, ns, ns);
    return CFG_E_VALUE;
}

/* --- one file --- */

static int parse(const struct reader *r, cJSON **out, cJSON *warnings, struct cfg_error *err)
{
    char path[PATH_ROOM];
    struct cfg_buf text;
    if (snprintf(path, sizeof path, "%s/%s", r->dir, r->file) >= (int)sizeof path)
        return cfg_fail(err, CFG_E_LIMIT, "the name is too long");
    cfg_buf_init(&text, CFG_LIMIT_BODY);
    int rc = read_file(&text, path, err);
    const char *dot = strrchr(r->file, '.');
    if (rc == 0 && strcmp(dot, ".json") == 0)
        rc = cfg_json_parse(out, cfg_buf_slice(&text), 0, err);
    else if (rc == 0)
        rc = cfg_yaml_parse(out, cfg_buf_slice(&text), NULL, warnings, err);
    cfg_buf_finish(&text);
    return rc;
}

/* Says which file an object is from. value is consumed. */
static int take(const struct reader *r, enum gitops_kind kind, const char *ns, const char *name, cJSON *value,
                struct cfg_error *err)
{
    struct gitops_object *o = gitops_find(r->g, kind, ns, name);
    if (o) {
        cJSON_Delete(value);
        return cfg_fail(err, CFG_E_VALUE, "%s says the same thing", o->file);
    }
    char *file = strdup(r->file);
    int rc = file ? gitops_add(&o, r->g, kind, ns, name, err) : cli_no_memory(err);
    if (rc != 0) {
        free(file);
        cJSON_Delete(value);
        return rc;
    }
    o->file = file;
    o->wanted = value;
    return 0;
}

static int take_document(const struct reader *r, const char *ns, const cJSON *document, struct cfg_error *err)
{
    if (!cJSON_IsObject(document))
        return cfg_fail(err, CFG_E_VALUE, "a document is an object, and this is %s", cfg_json_type(document));
    int rc = cfg_path_check_document(document, err);
    cJSON *body = rc == 0 ? cJSON_CreateObject() : NULL;
    if (rc != 0)
        return rc;
    if (body == NULL || cfg_json_set(body, "document", cJSON_Duplicate(document, true)) != 0 ||
        cJSON_AddArrayToObject(body, "extends") == NULL) {
        cJSON_Delete(body);
        return cli_no_memory(err);
    }
    return take(r, GITOPS_CONFIG, ns, "", body, err);
}

static int take_meta(const struct reader *r, const char *ns, const cJSON *meta, struct cfg_error *err)
{
    struct gitops_object *o = gitops_find(r->g, GITOPS_CONFIG, ns, "");
    const cJSON *extends = cfg_json_get(meta, "extends"), *base, *m;
    if (o == NULL)
        return cfg_fail(err, CFG_E_VALUE, "there is no %s.yaml or %s.json beside it", ns, ns);
    cJSON_ArrayForEach(m, meta)
    {
        if (strcmp(m->string, "extends") != 0)
            return cfg_fail(err, CFG_E_VALUE, "\"%.60s\" is nothing that can be said here; extends is", m->string);
    }
    if (!cJSON_IsArray(extends))
        return cfg_fail(err, CFG_E_VALUE, "\"extends\" must be a list of namespaces");
    cJSON_ArrayForEach(base, extends)
    {
        int rc = cJSON_IsString(base) ? cfg_check_name("namespace", cfg_slice_str(base->valuestring), err)
                                      : cfg_fail(err, CFG_E_VALUE, "\"extends\" must be a list of namespaces");
        if (rc != 0)
            return rc;
    }
    return cfg_json_set(o->wanted, "extends", cJSON_Duplicate(extends, true)) == 0 ? 0 : cli_no_memory(err);
}

static int take_flag(const struct reader *r, const char *ns, const cJSON *flag, struct cfg_error *err)
{
    cJSON *envelope = NULL;
    int rc = cfg_check_flag_name(cfg_slice_str(flag->string), err);
    if (rc == 0)
        rc = gitops_flag_read(&envelope, flag, err);
    if (rc == 0)
        rc = take(r, GITOPS_FLAG, ns, flag->string, envelope, err);
    return rc == 0 ? 0 : cfg_error_wrap(err, "flag \"%.80s\"", flag->string);
}

static int take_flags(const struct reader *r, const char *ns, const cJSON *document, struct cfg_error *err)
{
    static const char *const members[] = {"flags", "$evaluators", "metadata", "$schema"};
    const cJSON *m, *flags = cfg_json_get(document, "flags");
    cJSON_ArrayForEach(m, document)
    {
        int i = 0;
        while (i < 4 && strcmp(m->string, members[i]) != 0)
            i++;
        if (i == 4)
            return cfg_fail(err, CFG_E_VALUE, "a flagd document has no \"%.60s\"", m->string);
        if (i < 3 && !cJSON_IsObject(m))
            return cfg_fail(err, CFG_E_VALUE, "\"%s\" must be an object", members[i]);
    }
    if (flags == NULL)
        return cfg_fail(err, CFG_E_VALUE, "no flagd document: it has no object \"flags\"");
    cJSON *segments = NULL;
    int rc = gitops_segments(&segments, cfg_json_get(document, "$evaluators"), cfg_json_get(document, "metadata"), err);
    if (rc == 0 && segments)
        rc = take(r, GITOPS_EVALUATORS, ns, "", segments, err);
    cJSON_ArrayForEach(m, flags)
    {
        rc = rc == 0 ? take_flag(r, ns, m, err) : rc;
    }
    return rc;
}

static int take_schema(const struct reader *r, const char *ns, const cJSON *schema, struct cfg_error *err)
{
    if (!cJSON_IsObject(schema) && !cJSON_IsBool(schema))
        return cfg_fail(err, CFG_E_VALUE, "a schema is an object, and this is %s", cfg_json_type(schema));
    cJSON *copy = cJSON_Duplicate(schema, true);
    return copy ? take(r, GITOPS_SCHEMA, ns, "", copy, err) : cli_no_memory(err);
}

static int take_settings(const struct reader *r, const cJSON *settings, struct cfg_error *err)
{
    static const char *const members[] = {"source", "store", "exported"};
    const char *source = cfg_json_get_str(settings, "source", "");
    const cJSON *m;
    cJSON_ArrayForEach(m, settings)
    {
        int i = 0;
        while (i < 3 && strcmp(m->string, members[i]) != 0)
            i++;
        if (i == 3)
            return cfg_fail(err, CFG_E_VALUE, "\"%.60s\" is no setting; source, store and exported are", m->string);
    }
    int rc = source[0] ? gitops_check_source(source, err) : 0;
    if (rc != 0)
        return rc;
    (void)snprintf(r->g->source, sizeof r->g->source, "%s", source);
    (void)snprintf(r->g->store, sizeof r->g->store, "%s", cfg_json_get_str(settings, "store", ""));
    if (cJSON_IsObject(cfg_json_get(settings, "exported")))
        r->g->exported = cJSON_Duplicate(cfg_json_get(settings, "exported"), true);
    return 0;
}

static int take_part(const struct reader *r, enum part part, const char *ns, const cJSON *v, struct cfg_error *err)
{
    switch (part) {
    case PART_DOCUMENT:
        return take_document(r, ns, v, err);
    case PART_META:
        return take_meta(r, ns, v, err);
    case PART_SCHEMA:
        return take_schema(r, ns, v, err);
    case PART_FLAGS:
        return take_flags(r, ns, v, err);
    case PART_SETTINGS:
        return take_settings(r, v, err);
    default:
        return 0;
    }
}

/* An empty YAML file is an empty object. */
static int fill_empty(cJSON **v, struct cfg_error *err)
{
    if (!cJSON_IsNull(*v))
        return 0;
    cJSON_Delete(*v);
    *v = cJSON_CreateObject();
    return *v ? 0 : cli_no_memory(err);
}

/* Meta files want the documents to be there. */
static int read_one(struct reader *r, bool metas, struct cfg_error *err)
{
    char ns[CFG_LIMIT_NAME + 1] = "";
    enum part part = PART_NONE;
    struct cfg_error why = CFG_ERROR_INIT;
    cJSON *v = NULL, *warnings = cJSON_CreateArray();
    int rc = warnings ? classify(r->file, ns, &part, &why) : cli_no_memory(&why);
    bool now = rc == 0 ? part != PART_NONE && (part == PART_META) == metas : !metas;
    if (rc == 0 && now)
        rc = parse(r, &v, warnings, &why);
    if (rc == 0 && now)
        rc = fill_empty(&v, &why);
    if (rc == 0 && now)
        rc = take_part(r, part, ns, v, &why);
    if (rc == 0 && now)
        r->g->n_files += part != PART_SETTINGS;
    if (rc == 0 && now)
        rc = warn(r, warnings, &why);
    cJSON_Delete(warnings);
    cJSON_Delete(v);
    if (rc == CFG_E_NOMEM)
        return cli_no_memory(err);
    return rc != 0 && now ? complain(r, &why, err) : 0;
}

/* --- the folder --- */

bool gitops_is_folder(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 && S_ISDIR(st.st_mode);
}

static int is_file(const struct dirent *e)
{
    return e->d_type == DT_REG || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN;
}

/* Where nothing names it, a source is called as its folder. */
static int name_source(struct gitops *g, const char *dir, struct cfg_error *err)
{
    if (g->source[0])
        return 0;
    char *full = realpath(dir, NULL);
    const char *slash = full ? strrchr(full, '/') : NULL;
    int rc = slash ? gitops_check_source(slash + 1, err) : cfg_fail(err, CFG_E_IO, "cannot find %s", dir);
    if (rc == 0)
        (void)snprintf(g->source, sizeof g->source, "%s", slash + 1);
    free(full);
    return rc;
}

int gitops_read(struct gitops *out, const char *dir, cJSON *warnings, cJSON *errors, struct cfg_error *err)
{
    struct dirent **entries = NULL;
    struct reader r = {.g = out, .dir = dir, .warnings = warnings, .errors = errors};
    *out = (struct gitops){.n = 0};
    if (!gitops_is_folder(dir)) {
        (void)cfg_fail(err, CFG_E_INVALID, "%s is no folder", dir);
        cfg_error_set_hint(err, "-f DIR holds chat.yaml, chat.flags.yaml, …; `cfgctl export -f DIR` writes them");
        return CFG_E_INVALID;
    }
    int n = scandir(dir, &entries, is_file, alphasort), rc = 0;
    if (n < 0)
        return cfg_fail(err, CFG_E_IO, "cannot read %s: %s", dir, strerrordesc_np(errno));
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n && rc == 0; i++) {
            r.file = entries[i]->d_name;
            rc = read_one(&r, pass == 1, err);
        }
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    gitops_sort(out);
    return rc == 0 ? name_source(out, dir, err) : rc;
}
