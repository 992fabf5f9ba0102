#include "configd/object.h"
#include "proto/rfc3339.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"config",  "flag",       "evaluators", "schema",   "deployment",
                                         "rollout", "experiment", "flip",       "lock",     "presence",
                                         "extends", "locked",     "progress",   "observed", "other"};

const char *cfg_kind_name(enum cfg_kind k)
{
    return kind_names[k];
}

struct cfg_object_id cfg_object_id_of(enum cfg_kind kind, const char *ns, const char *name)
{
    struct cfg_object_id id = {.kind = kind};
    size_t ns_len = strlen(ns), name_len = name ? strlen(name) : 0;
    if (ns_len >= sizeof id.ns || name_len >= sizeof id.name)
        return (struct cfg_object_id){.kind = CFG_KIND_OTHER};
    memcpy(id.ns, ns, ns_len);
    if (name_len > 0)
        memcpy(id.name, name, name_len);
    return id;
}

bool cfg_object_id_eq(const struct cfg_object_id *a, const struct cfg_object_id *b)
{
    return cfg_object_id_cmp(a, b) == 0;
}

int cfg_object_id_cmp(const struct cfg_object_id *a, const struct cfg_object_id *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int c = strcmp(a->ns, b->ns);
    return c != 0 ? c : strcmp(a->name, b->name);
}

static void put_path(struct cfg_buf *out, const char *root, const struct cfg_object_id *id)
{
    cfg_buf_puts(out, root);
    cfg_buf_puts(out, cfg_kind_name(id->kind));
    cfg_buf_putc(out, '/');
    cfg_buf_puts(out, id->ns);
    if (id->name[0] != '\0') {
        cfg_buf_putc(out, '/');
        cfg_buf_puts(out, id->name);
    }
}

void cfg_object_key(struct cfg_buf *out, const struct cfg_object_id *id)
{
    put_path(out, "live/", id);
}

void cfg_object_history_key(struct cfg_buf *out, const struct cfg_object_id *id, uint64_t version)
{
    put_path(out, "history/", id);
    cfg_buf_printf(out, "/%010" PRIu64, version);
}

void cfg_object_id_print(struct cfg_buf *out, const struct cfg_object_id *id)
{
    put_path(out, "", id);
}

struct cfg_slice cfg_object_id_text(const struct cfg_object_id *id, char out[CFG_OBJECT_ID_TEXT])
{
    const char *kind = cfg_kind_name(id->kind);
    size_t n = 0;
    for (const char *const *part = (const char *const[]){kind, id->ns, id->name, NULL}; *part; part++) {
        if (n > 0 && (*part)[0] != '\0')
            out[n++] = '/';
        size_t len = strlen(*part);
        memcpy(out + n, *part, len);
        n += len;
    }
    out[n] = '\0';
    return (struct cfg_slice){out, n};
}

/* Takes the part up to the next slash, or all that is left. */
static struct cfg_slice next_part(struct cfg_slice *rest)
{
    const char *slash = rest->len > 0 ? memchr(rest->ptr, '/', rest->len) : NULL;
    struct cfg_slice part = {rest->ptr, slash ? (size_t)(slash - rest->ptr) : rest->len};
    size_t used = part.len + (slash ? 1 : 0);
    rest->ptr += used;
    rest->len -= used;
    return part;
}

static void copy_text(char *to, struct cfg_slice from)
{
    memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
}

/* "chat", "experiment/ab.flag": what follows the kind. Every name was checked for length before it is copied. */
static int read_names(struct cfg_object_id *id, struct cfg_slice rest, struct cfg_error *err)
{
    bool is_deployment = cfg_kind_is_of_deployment(id->kind) && id->kind != CFG_KIND_LOCKED;
    struct cfg_slice ns = next_part(&rest);
    int rc = cfg_check_name(is_deployment                     ? "deployment"
                            : id->kind == CFG_KIND_LOCK       ? "lock"
                            : id->kind == CFG_KIND_EXPERIMENT ? "experiment"
                                                              : "namespace",
                            ns, err);
    if (rc != 0)
        return rc;
    if (id->kind == CFG_KIND_FLAG)
        rc = cfg_check_flag_name(rest, err);
    else if (id->kind == CFG_KIND_PRESENCE || id->kind == CFG_KIND_OBSERVED)
        rc = cfg_check_id("replica", rest, err);
    else if (id->kind == CFG_KIND_EXTENDS)
        rc = cfg_check_name("namespace", rest, err);
    else if (rest.len > 0)
        rc = cfg_fail(err, CFG_E_ADDRESS, "%s/%.*s: a name ends at the slash", cfg_kind_name(id->kind), (int)ns.len,
                      ns.ptr);
    if (rc != 0)
        return rc;
    copy_text(id->ns, ns);
    copy_text(id->name, rest);
    return 0;
}

static enum cfg_kind kind_from(struct cfg_slice name)
{
    for (int k = CFG_KIND_CONFIG; k < CFG_KIND_OTHER; k++)
        if (cfg_slice_eq_str(name, kind_names[k]))
            return (enum cfg_kind)k;
    return CFG_KIND_OTHER;
}

int cfg_object_id_from_key(struct cfg_object_id *out, struct cfg_slice key, struct cfg_error *err)
{
    struct cfg_slice rest = key;
    if (!cfg_slice_eq_str(next_part(&rest), "live"))
        return cfg_fail(err, CFG_E_ADDRESS, "key '%.*s' does not lie under live/", (int)key.len, key.ptr);
    struct cfg_object_id id = {.kind = kind_from(next_part(&rest))};
    int rc = id.kind == CFG_KIND_OTHER ? 0 : read_names(&id, rest, err);
    if (rc == 0)
        *out = id;
    return rc;
}

/* The ten or more digits behind the last slash. */
static bool read_version(uint64_t *out, struct cfg_slice digits)
{
    uint64_t v = 0;
    if (digits.len < 10 || digits.len > 15)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(digits.ptr[i] - '0');
    }
    *out = v;
    return v > 0;
}

int cfg_object_id_from_history_key(struct cfg_object_id *out, uint64_t *version, struct cfg_slice key,
                                   struct cfg_error *err)
{
    struct cfg_slice rest = key;
    bool is_history = cfg_slice_eq_str(next_part(&rest), "history");
    struct cfg_object_id id = {.kind = kind_from(next_part(&rest))};
    const char *slash = rest.len > 0 ? memrchr(rest.ptr, '/', rest.len) : NULL;
    uint64_t v = 0;
    if (!is_history || !cfg_kind_is_versioned(id.kind) || slash == NULL ||
        !read_version(&v, (struct cfg_slice){slash + 1, rest.len - (size_t)(slash - rest.ptr) - 1}))
        return cfg_fail(err, CFG_E_ADDRESS, "key '%.*s' is no record of history", (int)key.len, key.ptr);
    int rc = read_names(&id, (struct cfg_slice){rest.ptr, (size_t)(slash - rest.ptr)}, err);
    if (rc != 0)
        return rc;
    *out = id;
    *version = v;
    return 0;
}

int cfg_object_id_parse(struct cfg_object_id *out, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_slice rest = text;
    struct cfg_object_id id = {.kind = kind_from(next_part(&rest))};
    if (!cfg_kind_is_public(id.kind)) {
        (void)cfg_fail(err, CFG_E_ADDRESS, "object '%.*s' names no kind of object", (int)text.len, text.ptr);
        cfg_error_set_hint(
            err,
            "write config/NAMESPACE, flag/NAMESPACE/NAME, evaluators/NAMESPACE, schema/NAMESPACE, deployment/NAME, "
            "rollout/DEPLOYMENT or experiment/NAME");
        return CFG_E_ADDRESS;
    }
    int rc = read_names(&id, rest, err);
    if (rc == 0)
        *out = id;
    return rc;
}

/* What every envelope of the kind must hold to be used at all; what lies deeper was checked when it was written. */
static int check_body(const struct cfg_object *o, const cJSON *tree, struct cfg_error *err)
{
    const cJSON *document = cfg_json_get(tree, "document"), *definition = cfg_json_get(tree, "definition");
    if (o->deleted)
        return 0;
    if (o->id.kind == CFG_KIND_CONFIG && !cJSON_IsObject(document))
        return cfg_fail(err, CFG_E_VALUE, "the record holds no document");
    if (o->id.kind == CFG_KIND_FLAG && !cJSON_IsObject(definition))
        return cfg_fail(err, CFG_E_VALUE, "the record holds no definition");
    if (o->id.kind == CFG_KIND_DEPLOYMENT && cfg_json_get_str(tree, "config", NULL) == NULL)
        return cfg_fail(err, CFG_E_VALUE, "the record names no config");
    if (o->id.kind == CFG_KIND_ROLLOUT && !cJSON_IsObject(cfg_json_get(tree, "state")))
        return cfg_fail(err, CFG_E_VALUE, "the record has no state");
    if (o->id.kind == CFG_KIND_EXPERIMENT && cfg_json_get_str(tree, "deployment", NULL) == NULL)
        return cfg_fail(err, CFG_E_VALUE, "the record names no deployment");
    if (o->id.kind == CFG_KIND_EVALUATORS && !cJSON_IsObject(cfg_json_get(tree, "evaluators")))
        return cfg_fail(err, CFG_E_VALUE, "the record holds no evaluators");
    const cJSON *schema = cfg_json_get(tree, "schema");
    if (o->id.kind == CFG_KIND_SCHEMA && !cJSON_IsObject(schema) && !cJSON_IsBool(schema))
        return cfg_fail(err, CFG_E_VALUE, "the record holds no schema");
    if (o->id.kind == CFG_KIND_FLIP && !(cfg_json_get_num(tree, "at", -1) >= 0))
        return cfg_fail(err, CFG_E_VALUE, "the record does not say when");
    return 0;
}

static int read_fields(struct cfg_object *o, const cJSON *tree, struct cfg_error *err)
{
    if (!cJSON_IsObject(tree))
        return cfg_fail(err, CFG_E_VALUE, "the record is no JSON object");
    if (!cfg_kind_is_versioned(o->id.kind))
        return 0;
    int rc = cfg_json_need_u64(tree, "version", &o->version, err);
    if (rc != 0)
        return rc;
    if (cfg_json_get(tree, "parent") != NULL)
        rc = cfg_json_need_u64(tree, "parent", &o->parent, err);
    if (rc != 0)
        return rc;
    const char *digest = cfg_json_get_str(tree, "digest", "");
    if (o->version == 0 || strlen(digest) >= sizeof o->digest)
        return cfg_fail(err, CFG_E_VALUE, "the record's version or digest is not one of ours");
    memcpy(o->digest, digest, strlen(digest) + 1);
    o->deleted = cfg_json_get_bool(tree, "deleted", false);
    rc = check_body(o, tree, err);
    if (rc == 0 && !o->deleted && cfg_kind_is_of_flags(o->id.kind) && cfg_flag_facts_read(&o->facts, tree) != 0)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    return rc;
}

int cfg_object_new(struct cfg_object **out, const struct cfg_object_id *id, struct cfg_slice json,
                   uint64_t mod_revision, struct cfg_error *err)
{
    char text[CFG_OBJECT_ID_TEXT];
    cJSON *tree = NULL;
    struct cfg_object *o = calloc(1, sizeof *o);
    if (o == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    *o = (struct cfg_object){.refs = 1, .id = *id, .mod_revision = mod_revision, .json = cfg_bytes_new(json)};
    int rc =
        o->json ? cfg_json_parse(&tree, json, CFG_ENVELOPE_DEPTH, err) : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (rc == 0)
        rc = read_fields(o, tree, err);
    cJSON_Delete(tree);
    if (rc != 0) {
        (void)cfg_object_unref(o);
        return cfg_error_wrap(err, "%s", cfg_object_id_text(id, text).ptr);
    }
    *out = o;
    return 0;
}

struct cfg_object *cfg_object_ref(struct cfg_object *o)
{
    if (o)
        o->refs++;
    return o;
}

struct cfg_object *cfg_object_unref(struct cfg_object *o)
{
    if (o && --o->refs == 0) {
        (void)cfg_bytes_unref(o->json);
        cfg_flag_facts_free(o->facts);
        free(o);
    }
    return NULL;
}

cJSON *cfg_object_tree(const struct cfg_object *o)
{
    cJSON *tree = NULL;
    /* The text was checked when the object was made: only memory can fail here. */
    return cfg_json_parse(&tree, cfg_bytes_slice(o->json), CFG_ENVELOPE_DEPTH, NULL) == 0 ? tree : NULL;
}

static const char *const envelope_keys[] = {"version", "digest",  "author",     "message", "time",
                                            "parent",  "deleted", "request_id", NULL};

cJSON *cfg_object_body(const struct cfg_object *o)
{
    cJSON *tree = cfg_object_tree(o);
    for (const char *const *key = envelope_keys; tree && *key; key++)
        cJSON_DeleteItemFromObjectCaseSensitive(tree, *key);
    return tree;
}

int64_t cfg_object_time(const struct cfg_object *o)
{
    int64_t us = 0;
    cJSON *tree = cfg_object_tree(o);
    int rc = cfg_rfc3339_parse(&us, cfg_slice_str(cfg_json_get_str(tree, "time", "")), NULL);
    cJSON_Delete(tree);
    return rc == 0 ? us / 1000000 : 0;
}

/* A limit of its own for the part that people write. */
static int check_size(enum cfg_kind kind, const cJSON *body, struct cfg_error *err)
{
    const cJSON *part = NULL;
    size_t limit = CFG_LIMIT_DOCUMENT;
    if (kind == CFG_KIND_CONFIG) {
        part = cfg_json_get(body, "document");
    } else if (kind == CFG_KIND_FLAG) {
        part = cfg_json_get(body, "definition");
        limit = CFG_LIMIT_FLAG;
    } else {
        part = body;
    }
    struct cfg_buf text;
    cfg_buf_init(&text, limit);
    if (part)
        cfg_json_print(&text, part);
    int rc = cfg_buf_status(&text);
    cfg_buf_finish(&text);
    if (rc == CFG_E_LIMIT)
        return cfg_fail(err, rc, "the %s is larger than %zu KiB",
                        kind == CFG_KIND_CONFIG       ? "document"
                        : kind == CFG_KIND_FLAG       ? "definition"
                        : kind == CFG_KIND_EVALUATORS ? "object of evaluators"
                        : kind == CFG_KIND_SCHEMA     ? "schema"
                                                      : "record",
                        limit / 1024);
    return rc == 0 ? 0 : cfg_fail(err, rc, "out of memory");
}

static void put_member(struct cfg_buf *out, const char *key, const char *value)
{
    cfg_buf_printf(out, ",\"%s\":", key);
    cfg_json_put_string(out, cfg_slice_str(value));
}

int cfg_envelope_print(struct cfg_buf *out, char digest[CFG_DIGEST_TEXT], enum cfg_kind kind, cJSON *body,
                       const struct cfg_envelope *e, struct cfg_error *err)
{
    struct cfg_buf inner;
    cfg_buf_init(&inner, CFG_LIMIT_CHANGE_BYTES);
    int rc = check_size(kind, body, err);
    if (rc == 0 && (rc = cfg_digest_json(digest, body)) != 0)
        (void)cfg_fail(err, rc, "out of memory");
    if (rc != 0)
        goto out;
    cfg_json_print(&inner, body);
    struct cfg_slice text = cfg_buf_slice(&inner);
    cfg_buf_printf(out, "{\"version\":%" PRIu64 ",\"digest\":\"%s\"", e->version, digest);
    if (text.len > 2) { /* the members between the braces */
        cfg_buf_putc(out, ',');
        cfg_buf_put(out, text.ptr + 1, text.len - 2);
    }
    put_member(out, "author", e->author);
    put_member(out, "message", e->message);
    put_member(out, "time", e->time);
    cfg_buf_printf(out, ",\"parent\":%" PRIu64, e->parent);
    put_member(out, "request_id", e->request_id);
    cfg_buf_puts(out, e->deleted ? ",\"deleted\":true}" : "}");
    rc = cfg_buf_status(&inner) ? cfg_buf_status(&inner) : cfg_buf_status(out);
    if (rc == CFG_E_LIMIT)
        (void)cfg_fail(err, rc, "the change is larger than %d KiB", CFG_LIMIT_CHANGE_BYTES / 1024);
    else if (rc != 0)
        (void)cfg_fail(err, rc, "out of memory");
out:
    cfg_buf_finish(&inner);
    cJSON_Delete(body);
    return rc;
}
