#include "client/cfgctl/accelerate.h"
#include "proto/limits.h"
#include "proto/path.h"
#include "proto/schema.h"
#include "proto/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The built-in schema as JSON text, made of accelerate.schema.yaml when this is built. */
extern const char cfg_accelerate_schema_json[];
extern const unsigned long cfg_accelerate_schema_json_len;

enum { CANDIDATES = 256, NOTE_MAX = 2048 };

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int accelerate_schema(cJSON **out, struct cfg_error *err)
{
    const struct cfg_slice text = {cfg_accelerate_schema_json, cfg_accelerate_schema_json_len};
    return cfg_json_parse(out, text, 0, err);
}

/* --- what the schema says of a key, as far as reading a file needs it --- */

static const cJSON *keys_of(const cJSON *schema)
{
    return cfg_json_get(cfg_json_get(cfg_json_get(schema, "properties"), "accelerate"), "properties");
}

/* Does a subschema of ours (type, enum, const, anyOf, $ref into $defs) take the value? */
static bool takes(const cJSON *schema, const cJSON *sub, const cJSON *value)
{
    static const char prefix[] = "#/$defs/";
    const cJSON *item, *one = cfg_json_get(sub, "const"), *type = cfg_json_get(sub, "type");
    const char *ref = cfg_json_get_str(sub, "$ref", "");
    if (strncmp(ref, prefix, sizeof prefix - 1) == 0)
        return takes(schema, cfg_json_get(cfg_json_get(schema, "$defs"), ref + sizeof prefix - 1), value);
    if (one)
        return cfg_json_equal(one, value);
    cJSON_ArrayForEach(item, cfg_json_get(sub, "enum"))
    {
        if (cfg_json_equal(item, value))
            return true;
    }
    cJSON_ArrayForEach(item, cfg_json_get(sub, "anyOf"))
    {
        if (takes(schema, item, value))
            return true;
    }
    const char *have = cfg_json_type(value);
    if (cJSON_IsString(type))
        return strcmp(type->valuestring, have) == 0 ||
               (strcmp(type->valuestring, "integer") == 0 && cJSON_IsNumber(value));
    cJSON_ArrayForEach(item, type)
    {
        if (strcmp(item->valuestring, have) == 0 ||
            (strcmp(item->valuestring, "integer") == 0 && cJSON_IsNumber(value)))
            return true;
    }
    return false;
}

/* --- notes --- */

/* Consumes the buffer's content. */
static int note(cJSON *notes, struct cfg_buf *b, struct cfg_error *err)
{
    cJSON *text = cfg_buf_status(b) == 0 ? cJSON_CreateString(b->data) : NULL;
    cfg_buf_finish(b);
    if (text && cJSON_AddItemToArray(notes, text))
        return 0;
    cJSON_Delete(text);
    return no_memory(err);
}

/* The word that the file has at a path, when readers differ on it; NULL. Borrowed from warnings. */
static const char *word_at(const cJSON *warnings, const char *path)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, warnings)
    {
        if (strcmp(cfg_json_get_str(w, "path", ""), path) == 0)
            return cfg_json_get_str(w, "text", NULL);
    }
    return NULL;
}

/* --- keys: known, unknown, mistaken for something else --- */

struct reading {
    const cJSON *schema;
    cJSON *warnings; /* of the YAML reader; what is dealt with here is taken out */
    cJSON *notes;
    enum accelerate_unknown unknown;
    struct cfg_buf names;  /* of unknown keys, for the error */
    const char *near;      /* a known key like the first of them */
    struct cfg_error *err; /* never NULL */
};

static void forget_warning(cJSON *warnings, const char *path)
{
    for (cJSON *w = warnings->child, *next; w; w = next) {
        next = w->next;
        if (strcmp(cfg_json_get_str(w, "path", ""), path) == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(warnings, w));
    }
}

/* Text where only text is right. */
static int correct(struct reading *r, cJSON *object, cJSON *value, const char *path, const cJSON *sub)
{
    struct cfg_buf text, b;
    if ((!cJSON_IsBool(value) && !cJSON_IsNumber(value)) || takes(r->schema, sub, value))
        return 0;
    const char *word = word_at(r->warnings, path);
    cfg_buf_init(&text, 256);
    if (word)
        cfg_buf_puts(&text, word);
    else
        cfg_json_print(&text, value);
    cJSON *string = cfg_buf_status(&text) == 0 ? cJSON_CreateString(text.data) : NULL;
    cfg_buf_finish(&text);
    if (string == NULL)
        return no_memory(r->err);
    if (!takes(r->schema, sub, string)) {
        cJSON_Delete(string); /* neither is right: the schema says so */
        return 0;
    }
    cfg_buf_init(&b, NOTE_MAX);
    cfg_buf_printf(&b, "%s: %s is taken as the text it can only mean; Accelerate itself reads ", path,
                   string->valuestring);
    cfg_json_print(&b, value);
    cfg_buf_puts(&b, ", so quote it there");
    forget_warning(r->warnings, path);
    int rc = cfg_json_set(object, value->string, string) == 0 ? 0 : no_memory(r->err);
    int noted = note(r->notes, &b, r->err);
    return rc != 0 ? rc : noted;
}

static const char *near_key(const cJSON *known, const char *key)
{
    const char *names[CANDIDATES];
    size_t n = 0;
    const cJSON *k;
    cJSON_ArrayForEach(k, known)
    {
        if (n < CANDIDATES)
            names[n++] = k->string;
    }
    return cfg_near_miss(key, names, n);
}

/* A key that Accelerate does not know. Consumes nothing; the member may be gone afterwards. */
static int unknown_key(struct reading *r, cJSON *object, cJSON *member, const char *path, const cJSON *known)
{
    struct cfg_buf b;
    if (r->unknown == ACCELERATE_REFUSE) {
        if (r->names.len == 0)
            r->near = near_key(known, member->string);
        cfg_buf_printf(&r->names, "%s%s", r->names.len > 0 ? ", " : "", path);
        return 0;
    }
    cfg_buf_init(&b, NOTE_MAX);
    bool top = strchr(path, '.') == NULL;
    if (r->unknown == ACCELERATE_DROP)
        cfg_buf_printf(&b, "%s is unknown to Accelerate: dropped", path);
    else
        cfg_buf_printf(&b, "%s is unknown to Accelerate: kept%s", path,
                       top ? ", and left out of exports, since Accelerate refuses it" : "; Accelerate ignores it");
    if (r->unknown == ACCELERATE_DROP) {
        forget_warning(r->warnings, path);
        cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
    }
    return note(r->notes, &b, r->err);
}

static int walk(struct reading *r, cJSON *object, const cJSON *known, const char *above)
{
    int rc = 0;
    for (cJSON *member = object->child, *next; rc == 0 && member; member = next) {
        char path[2 * CFG_LIMIT_PATH];
        next = member->next;
        const cJSON *sub = cfg_json_get(known, member->string);
        if (snprintf(path, sizeof path, "%s%s%s", above, above[0] ? "." : "", member->string) >= (int)sizeof path)
            rc = cfg_fail(r->err, CFG_E_LIMIT, "the key %.60s… is too long", member->string);
        else if (sub == NULL)
            rc = unknown_key(r, object, member, path, known);
        else if (cJSON_IsObject(member) && cfg_json_get(sub, "properties"))
            rc = walk(r, member, cfg_json_get(sub, "properties"), path);
        else
            rc = correct(r, object, member, path, sub);
    }
    return rc;
}

static int refuse_unknown(struct reading *r)
{
    if (r->names.len == 0)
        return 0;
    cfg_fail(r->err, CFG_E_VALUE, "Accelerate does not know %.300s", r->names.data);
    cfg_error_set_path(r->err, "%s", r->names.data);
    if (r->near)
        cfg_error_set_hint(
            r->err, "did you mean %s? else --drop-unknown leaves such keys out, --keep-unknown stores them", r->near);
    else
        cfg_error_set_hint(r->err, "--drop-unknown leaves such keys out, --keep-unknown stores them");
    return CFG_E_VALUE;
}

/* --- the schema --- */

/* Takes unknown keys out of a copy, quietly. */
static void strip(cJSON *object, const cJSON *known)
{
    for (cJSON *member = object->child, *next; member; member = next) {
        next = member->next;
        const cJSON *sub = cfg_json_get(known, member->string);
        if (sub == NULL)
            cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
        else if (cJSON_IsObject(member) && cfg_json_get(sub, "properties"))
            strip(member, cfg_json_get(sub, "properties"));
    }
}

static int judge(const cJSON *schema, const cJSON *document, cJSON *violations, struct cfg_error *err)
{
    struct cfg_schema *program = NULL;
    int rc = cfg_schema_compile(&program, schema, NULL, err);
    if (rc == 0)
        rc = cfg_schema_check(program, document, violations, err);
    cfg_schema_free(program);
    return rc;
}

/* What a schema of single values cannot say: processes are the same number on every machine. */
static int check_sizes(const cJSON *accelerate, struct cfg_error *err)
{
    double processes = cfg_json_get_num(accelerate, "num_processes", 0);
    double machines = cfg_json_get_num(accelerate, "num_machines", 1);
    double rank = cfg_json_get_num(accelerate, "machine_rank", 0);
    if (processes > 0 && machines > 0 && (long long)processes % (long long)machines != 0) {
        cfg_fail(err, CFG_E_SCHEMA, "num_processes %.0f is not the same number on each of %.0f machines", processes,
                 machines);
        cfg_error_set_path(err, "accelerate.num_processes");
        cfg_error_set_hint(err, "num_processes is the total over all machines");
        return CFG_E_SCHEMA;
    }
    if (rank >= machines) {
        cfg_fail(err, CFG_E_SCHEMA, "machine_rank %.0f: there are %.0f machines, counted from 0", rank, machines);
        cfg_error_set_path(err, "accelerate.machine_rank");
        return CFG_E_SCHEMA;
    }
    return 0;
}

static int check(const cJSON *schema, const cJSON *accelerate, cJSON *violations, struct cfg_error *err)
{
    cJSON *copy = cJSON_Duplicate(accelerate, true), *document = cJSON_CreateObject();
    if (copy)
        cfg_json_forget_key(copy);
    if (copy == NULL || document == NULL || cfg_json_set(document, "accelerate", copy) != 0) {
        cJSON_Delete(document);
        return no_memory(err);
    }
    strip(copy, keys_of(schema));
    int rc = judge(schema, document, violations, err);
    if (rc == 0)
        rc = check_sizes(copy, err);
    cJSON_Delete(document);
    return rc;
}

/* --- in --- */

static int pass_warnings(struct reading *r)
{
    const cJSON *w;
    int rc = 0;
    cJSON_ArrayForEach(w, r->warnings)
    {
        struct cfg_buf b;
        cfg_buf_init(&b, NOTE_MAX);
        cfg_buf_printf(&b, "%s; %s", cfg_json_get_str(w, "message", "?"), cfg_json_get_str(w, "hint", "quote it"));
        if (rc == 0)
            rc = note(r->notes, &b, r->err);
        else
            cfg_buf_finish(&b);
    }
    return rc;
}

static int read_all(struct reading *r, cJSON **out, struct cfg_slice text, cJSON *violations)
{
    const struct cfg_yaml_options o = {.dialect = CFG_YAML_PYYAML};
    int rc = cfg_yaml_parse(out, text, &o, r->warnings, r->err);
    if (rc == 0 && !cJSON_IsObject(*out))
        rc = cfg_fail(r->err, CFG_E_VALUE, "a launch file is a mapping, not a %s", cfg_json_type(*out));
    if (rc == 0)
        rc = walk(r, *out, keys_of(r->schema), "");
    if (rc == 0)
        rc = refuse_unknown(r);
    if (rc == 0)
        rc = pass_warnings(r);
    return rc == 0 ? check(r->schema, *out, violations, r->err) : rc;
}

int accelerate_read(cJSON **out, struct cfg_slice text, enum accelerate_unknown unknown, cJSON *notes,
                    cJSON *violations, struct cfg_error *err)
{
    cJSON *schema = NULL, *document = NULL;
    int rc = accelerate_schema(&schema, err);
    struct reading r = {
        .schema = schema, .warnings = cJSON_CreateArray(), .notes = notes, .unknown = unknown, .err = err};
    cfg_buf_init(&r.names, 1 << 16);
    if (rc == 0)
        rc = r.warnings ? read_all(&r, &document, text, violations) : no_memory(err);
    cfg_buf_finish(&r.names);
    cJSON_Delete(r.warnings);
    cJSON_Delete(schema);
    if (rc != 0) {
        cJSON_Delete(document);
        return rc;
    }
    *out = document;
    return 0;
}

/* --- out --- */

/* Has the switch a value that turns it on? */
static bool is_on(const cJSON *v)
{
    static const char *const words[] = {"yes", "true", "True"};
    for (size_t i = 0; cJSON_IsString(v) && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(v->valuestring, words[i]) == 0)
            return true;
    return cJSON_IsTrue(v);
}

/* Accelerate copies a file's key over an argument only where the argument has no default; these have one. */
static int add_flags(cJSON *flags, const cJSON *file, struct cfg_error *err)
{
    static const char *const switches[] = {"same_network", "enable_cpu_affinity", "downcast_bf16", "tpu_use_sudo"};
    const char *backend = cfg_json_get_str(file, "rdzv_backend", "static");
    bool ok = true;
    if (strcmp(backend, "static") != 0)
        ok = cJSON_AddItemToArray(flags, cJSON_CreateString("--rdzv_backend")) &&
             cJSON_AddItemToArray(flags, cJSON_CreateString(backend));
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        char flag[64];
        (void)snprintf(flag, sizeof flag, "--%s", switches[i]);
        if (is_on(cfg_json_get(file, switches[i])))
            ok = ok && cJSON_AddItemToArray(flags, cJSON_CreateString(flag));
    }
    return ok ? 0 : no_memory(err);
}

static int leave_out(cJSON *file, const cJSON *known, cJSON *notes, struct cfg_error *err)
{
    int rc = 0;
    for (cJSON *member = file->child, *next; rc == 0 && member; member = next) {
        struct cfg_buf b;
        next = member->next;
        if (cfg_json_get(known, member->string))
            continue;
        cfg_buf_init(&b, NOTE_MAX);
        cfg_buf_printf(&b, "%s is left out: Accelerate refuses a file with it (--keep-unknown leaves it in)",
                       member->string);
        rc = note(notes, &b, err);
        cJSON_Delete(cJSON_DetachItemViaPointer(file, member));
    }
    return rc;
}

static int set_rank(cJSON *file, long rank, struct cfg_error *err)
{
    double machines = cfg_json_get_num(file, "num_machines", 1);
    if (rank < 0)
        return 0;
    if ((double)rank >= machines) {
        cfg_fail(err, CFG_E_INVALID, "there is no machine %ld: num_machines is %.0f, counted from 0", rank, machines);
        return CFG_E_INVALID;
    }
    return cfg_json_set(file, "machine_rank", cJSON_CreateNumber((double)rank)) == 0 ? 0 : no_memory(err);
}

int accelerate_make(struct accelerate_launch *out, const cJSON *accelerate, long machine_rank,
                    enum accelerate_unknown unknown, cJSON *notes, cJSON *violations, struct cfg_error *err)
{
    struct accelerate_launch l = {.file = cJSON_Duplicate(accelerate, true), .flags = cJSON_CreateArray()};
    cJSON *schema = NULL;
    int rc = l.file && l.flags ? accelerate_schema(&schema, err) : no_memory(err);
    if (rc == 0) {
        cfg_json_forget_key(l.file);
        rc = set_rank(l.file, machine_rank, err);
    }
    if (rc == 0)
        rc = check(schema, l.file, violations, err);
    if (rc == 0 && unknown != ACCELERATE_KEEP)
        rc = leave_out(l.file, keys_of(schema), notes, err);
    if (rc == 0)
        rc = add_flags(l.flags, l.file, err);
    cJSON_Delete(schema);
    if (rc != 0) {
        accelerate_launch_finish(&l);
        return rc;
    }
    *out = l;
    return 0;
}

void accelerate_launch_finish(struct accelerate_launch *l)
{
    cJSON_Delete(l->file);
    cJSON_Delete(l->flags);
}

int accelerate_print(struct cfg_buf *out, const struct accelerate_launch *l)
{
    const cJSON *flag;
    if (l->flags->child) {
        cfg_buf_puts(out, "# Accelerate ignores some of these keys in a file; give it also:");
        cJSON_ArrayForEach(flag, l->flags)
        {
            cfg_buf_printf(out, " %s", flag->valuestring);
        }
        cfg_buf_putc(out, '\n');
    }
    return cfg_yaml_print(out, l->file);
}
