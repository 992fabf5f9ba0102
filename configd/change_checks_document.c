/* One document against the schemas of everything that it extends: the standard's keywords, as far as its values are
 * known, and what our own add (capacities, the reader's environment). */
#include "configd/change_checks.h"
#include "configd/release.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- one document against one schema --- */

static bool lies_below(const char *path, const char *above)
{
    size_t n = strlen(above);
    return strncmp(path, above, n) == 0 && (n == 0 || path[n] == '\0' || path[n] == '.' || path[n] == '[');
}

/* A keyword that judges a whole by parts of it, which may be unknown. */
static bool judges_parts(const char *keyword)
{
    static const char *const list[] = {"anyOf", "oneOf", "not", "const", "enum", "contains", "uniqueItems"};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (strcmp(list[i], keyword) == 0)
            return true;
    return false;
}

/* Is it about a value that is not known here? */
static bool concerns(const char *path, const char *keyword, const char *unknown)
{
    return lies_below(path, unknown) || (judges_parts(keyword) && lies_below(unknown, path));
}

static bool is_unknown(const struct cfg_checked *c, const char *path, const char *keyword)
{
    const cJSON *p;
    cJSON_ArrayForEach(p, c->kept)
    {
        if (concerns(path, keyword, p->valuestring))
            return true;
    }
    cJSON_ArrayForEach(p, c->failures)
    {
        if (concerns(path, keyword, cfg_json_get_str(p, "path", "")))
            return true;
    }
    return false;
}

static bool any_unknown(const struct cfg_checked *c)
{
    return (c->kept && c->kept->child) || (c->failures && c->failures->child);
}

/* False without memory. */
static bool drop(cJSON *document, const char *path)
{
    return cfg_path_get(document, path) == NULL || cfg_path_remove(document, path, NULL) == 0;
}

/* The document without the values that are not known. Returned-owned; NULL without memory. */
static cJSON *known_part(const struct cfg_checked *c)
{
    cJSON *part = cJSON_Duplicate(c->document, true);
    const cJSON *p;
    bool ok = part != NULL;
    cJSON_ArrayForEach(p, c->kept)
    {
        ok = ok && drop(part, p->valuestring);
    }
    cJSON_ArrayForEach(p, c->failures)
    {
        ok = ok && drop(part, cfg_json_get_str(p, "path", ""));
    }
    if (ok)
        return part;
    cJSON_Delete(part);
    return NULL;
}

/* The namespace's own violations are not told again of its deployments. */
static bool is_told(const struct cfg_bench *b, const struct cfg_checked *c, const cJSON *violation, const char *schema)
{
    static const char *const same[] = {"path", "keyword", "message"};
    const cJSON *v;
    cJSON_ArrayForEach(v, cfg_checks_list(b))
    {
        bool equal = strcmp(cfg_json_get_str(v, "schema", ""), schema) == 0 &&
                     strcmp(cfg_json_get_str(v, "namespace", ""), c->ns) == 0;
        for (size_t i = 0; equal && i < sizeof same / sizeof same[0]; i++)
            equal = strcmp(cfg_json_get_str(v, same[i], ""), cfg_json_get_str(violation, same[i], "")) == 0;
        if (equal)
            return true;
    }
    return false;
}

/* Consumes v. */
static int add_violation(struct cfg_bench *b, const struct cfg_checked *c, int code, const char *schema, cJSON *v,
                         struct cfg_error *err)
{
    if (v && is_told(b, c, v, schema)) {
        cJSON_Delete(v);
        return 0;
    }
    if (v == NULL || !cJSON_AddStringToObject(v, "namespace", c->ns) || !cJSON_AddStringToObject(v, "schema", schema) ||
        (c->deployment && !cJSON_AddStringToObject(v, "deployment", c->deployment))) {
        cJSON_Delete(v);
        return no_memory(err);
    }
    return cfg_checks_add(b, code, v, err);
}

/* Moves what counts out of the list. invariants: only those count; else everything else does. */
static int sift(struct cfg_bench *b, const struct cfg_checked *c, const char *schema, cJSON *list, bool unknown,
                bool invariants, struct cfg_error *err)
{
    int rc = 0;
    while (rc == 0 && list->child) {
        cJSON *v = cJSON_DetachItemViaPointer(list, list->child);
        const char *path = cfg_json_get_str(v, "path", ""), *keyword = cfg_json_get_str(v, "keyword", "");
        bool is_invariant = strcmp(keyword, "x-invariants") == 0;
        if (unknown && (is_invariant != invariants || (!is_invariant && is_unknown(c, path, keyword))))
            cJSON_Delete(v);
        else
            rc = add_violation(b, c, CFG_E_SCHEMA, schema, v, err);
    }
    return rc;
}

/* 0 also when it is violated: the list says so. */
static int list_violations(cJSON *list, const struct cfg_schema *schema, const cJSON *document, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    int rc = list && document ? cfg_schema_check(schema, document, list, &why) : no_memory(&why);
    if (rc == 0 || rc == CFG_E_SCHEMA)
        return 0;
    if (err)
        *err = why;
    return rc;
}

/* What is not known is judged by nobody; invariants judge what is known. */
static int judge(struct cfg_bench *b, const struct cfg_checked *c, const struct cfg_schema *schema, const char *ns,
                 struct cfg_error *err)
{
    const struct cfg_schema_invariant *invariants;
    bool unknown = any_unknown(c);
    cJSON *list = cJSON_CreateArray(), *part = NULL;
    int rc = list_violations(list, schema, c->document, err);
    rc = rc ? rc : sift(b, c, ns, list, unknown, false, err);
    if (rc == 0 && unknown && cfg_schema_invariants(schema, &invariants) > 0) {
        part = known_part(c);
        rc = list_violations(list, schema, part, err);
        rc = rc ? rc : sift(b, c, ns, list, unknown, true, err);
    }
    cJSON_Delete(part);
    cJSON_Delete(list);
    return rc == CFG_E_LIMIT ? cfg_error_wrap(err, "schema of %s", ns) : rc;
}

/* --- what a schema says beyond the standard --- */

struct leaves {
    struct cfg_bench *bench;
    const struct cfg_checked *checked;
    const struct cfg_schema *schema;
    const char *ns;
    struct cfg_error *err;
    int rc;
};

static bool check_capacity(const char *path, const cJSON *value, void *arg)
{
    struct leaves *l = arg;
    struct cfg_schema_info info;
    char expected[80], got[40];
    if (!cJSON_IsNumber(value) || !cfg_schema_info(&info, l->schema, path) || info.capacity == NULL ||
        info.capacity[0] == '\0')
        return true;
    const cJSON *bound = cfg_path_get(l->checked->document, info.capacity);
    if (!cJSON_IsNumber(bound) || value->valuedouble <= bound->valuedouble)
        return true;
    (void)snprintf(expected, sizeof expected, "at most %.17g", bound->valuedouble);
    (void)snprintf(got, sizeof got, "%.17g", value->valuedouble);
    cJSON *v = cfg_violation_new(path, "x-capacity", "%s is more than its capacity, %s, which is %.17g", got,
                                 info.capacity, bound->valuedouble);
    if (v && (!cJSON_AddStringToObject(v, "expected", expected) || !cJSON_AddStringToObject(v, "got", got) ||
              !cJSON_AddTrueToObject(v, "firm"))) {
        cJSON_Delete(v);
        v = NULL;
    }
    l->rc = add_violation(l->bench, l->checked, CFG_E_CEILING, l->ns, v, l->err);
    return l->rc == 0;
}

/* The environment belongs to the reader's process: what it decides cannot change while that runs. */
static int check_environment(struct cfg_bench *b, const struct cfg_checked *c, const struct cfg_schema *schema,
                             const char *ns, struct cfg_error *err)
{
    const cJSON *path;
    int rc = 0;
    cJSON_ArrayForEach(path, c->kept)
    {
        struct cfg_schema_info info;
        if (rc != 0 || !cfg_schema_info(&info, schema, path->valuestring) || info.apply == CFG_APPLY_NONE ||
            info.apply >= CFG_APPLY_RESTART)
            continue;
        cJSON *v = cfg_violation_new(path->valuestring, "x-apply",
                                     "depends on the reader's environment, which only restart and pinned parameters "
                                     "may; it is %s",
                                     cfg_apply_name(info.apply));
        rc = add_violation(b, c, CFG_E_SCHEMA, ns, v, err);
    }
    return rc;
}

int cfg_checks_document(struct cfg_bench *b, const struct cfg_checked *c, struct cfg_error *err)
{
    for (size_t i = 0; i < c->closure->n; i++) {
        const struct cfg_compiled *s;
        const char *ns = c->closure->items[i].ns;
        int rc = cfg_checks_schema(&s, b, ns, err);
        if (rc == 0 && s)
            rc = judge(b, c, s->schema, ns, err);
        if (rc == 0 && s)
            rc = check_environment(b, c, s->schema, ns, err);
        if (rc == 0 && s && s->has_capacity) {
            struct leaves l = {.bench = b, .checked = c, .schema = s->schema, .ns = ns, .err = err};
            bool whole = cfg_path_each_leaf(c->document, check_capacity, &l);
            rc = whole || l.rc != 0 ? l.rc : no_memory(err);
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}
