#include "configd/change_checks.h"
#include "configd/release.h"

#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED_MAX = 500 };

/* A namespace's schema as this change leaves it. */
struct held {
    char ns[CFG_LIMIT_NAME + 1];
    struct cfg_compiled *compiled; /* a reference; NULL: none */
};
struct cfg_checks {
    void *schemas; /* tree of struct held */
    cJSON *violations, *forced;
    size_t more;
    int code;               /* of the gravest; 0: none */
    struct cfg_error first; /* of that code */
};

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static void held_free(void *p)
{
    struct held *h = p;
    (void)cfg_compiled_unref(h->compiled);
    free(h);
}

void cfg_checks_free(struct cfg_checks *c)
{
    if (c == NULL)
        return;
    tdestroy(c->schemas, held_free);
    cJSON_Delete(c->violations);
    cJSON_Delete(c->forced);
    free(c);
}

static struct cfg_checks *checks_of(struct cfg_bench *b)
{
    if (b->checks == NULL)
        b->checks = calloc(1, sizeof *b->checks);
    return b->checks;
}

/* --- what is wrong --- */

cJSON *cfg_violation_new(const char *path, const char *keyword, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cJSON *v = cJSON_CreateObject();
    if (v && cJSON_AddStringToObject(v, "path", path) && cJSON_AddStringToObject(v, "keyword", keyword) &&
        cJSON_AddStringToObject(v, "message", text))
        return v;
    cJSON_Delete(v);
    return NULL;
}

/* A schema outweighs workers: force helps against those alone. */
static void remember(struct cfg_checks *c, int code, const cJSON *v)
{
    const char *path = cfg_json_get_str(v, "path", ""), *deployment = cfg_json_get_str(v, "deployment", NULL);
    if (c->code == CFG_E_SCHEMA || c->code == code || (c->code != 0 && code != CFG_E_SCHEMA))
        return;
    c->code = code;
    (void)cfg_fail(&c->first, code, "%s %s: %s%s%.250s", deployment ? "deployment" : "namespace",
                   deployment ? deployment : cfg_json_get_str(v, "namespace", ""), path, path[0] ? ": " : "",
                   cfg_json_get_str(v, "message", ""));
    cfg_error_set_path(&c->first, "%s", path);
    cfg_error_set_hint(&c->first, "%s", cfg_json_get_str(v, "hint", ""));
}

int cfg_checks_add(struct cfg_bench *b, int code, cJSON *violation, struct cfg_error *err)
{
    struct cfg_checks *c = checks_of(b);
    bool forced = b->change->force && code != CFG_E_SCHEMA && !cfg_json_get_bool(violation, "firm", false);
    cJSON **list = c && forced ? &c->forced : c ? &c->violations : NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(violation, "firm");
    if (list && *list == NULL)
        *list = cJSON_CreateArray();
    if (violation == NULL || list == NULL || *list == NULL ||
        !cJSON_AddStringToObject(violation, "code", cfg_code_name(code))) {
        cJSON_Delete(violation);
        return no_memory(err);
    }
    if (!forced)
        remember(c, code, violation);
    if (cJSON_GetArraySize(*list) >= LISTED_MAX) {
        c->more += !forced;
        cJSON_Delete(violation);
        return 0;
    }
    (void)cJSON_AddItemToArray(*list, violation); /* fails for NULL alone */
    return 0;
}

const cJSON *cfg_checks_list(const struct cfg_bench *b)
{
    return b->checks ? b->checks->violations : NULL;
}

cJSON *cfg_checks_take(struct cfg_bench *b)
{
    cJSON *list = b->checks ? b->checks->violations : NULL;
    if (list)
        b->checks->violations = NULL;
    return list;
}

size_t cfg_checks_forced(const struct cfg_bench *b)
{
    return b->checks ? (size_t)cJSON_GetArraySize(b->checks->forced) : 0;
}

cJSON *cfg_checks_take_forced(struct cfg_bench *b)
{
    cJSON *list = b->checks ? b->checks->forced : NULL;
    if (list)
        b->checks->forced = NULL;
    return list;
}

int cfg_checks_refuse(struct cfg_bench *b, struct cfg_error *err)
{
    const struct cfg_checks *c = b->checks;
    if (c == NULL || c->code == 0 || b->change->plan)
        return 0;
    size_t others = (size_t)cJSON_GetArraySize(c->violations) + c->more - 1;
    char more[48] = "";
    if (others > 0)
        (void)snprintf(more, sizeof more, " (and %zu more)", others);
    if (c->more > 0) {
        cJSON *rest = cfg_violation_new("", "more", "and %zu more violations", c->more);
        if (rest == NULL || !cJSON_AddNumberToObject(rest, "count", (double)c->more) ||
            !cJSON_AddItemToArray(c->violations, rest))
            cJSON_Delete(rest); /* the text says how many */
    }
    (void)cfg_fail(err, c->code, "%s%s", c->first.text, more);
    cfg_error_set_path(err, "%s", c->first.path);
    cfg_error_set_hint(err, "%s", c->first.hint);
    return c->code;
}

/* --- schemas --- */

static int by_name(const void *a, const void *b)
{
    const struct held *x = a, *y = b;
    return strcmp(x->ns, y->ns);
}

static int compile(struct cfg_compiled **out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_SCHEMA, ns, NULL);
    const struct cfg_draft *d = cfg_bench_find(b, &id);
    *out = NULL;
    if (d) {
        int rc = cfg_bench_guard_head(b, d, err);
        return rc == 0 && d->after ? cfg_compiled_new(out, d->after, err) : rc;
    }
    const struct cfg_object *head = b->heads->get(b->heads->arg, &id);
    const struct cfg_guard g = {.kind = CFG_GUARD_HEAD, .id = id, .mod_revision = head ? head->mod_revision : 0};
    int rc = cfg_bench_guard(b, &g, err);
    return rc == 0 && head && !head->deleted ? cfg_schema_cache_get(out, b->heads->schemas, head, err) : rc;
}

int cfg_checks_schema(const struct cfg_compiled **out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_checks *c = checks_of(b);
    struct held key;
    (void)snprintf(key.ns, sizeof key.ns, "%s", ns);
    struct held *const *found = c ? tfind(&key, &c->schemas, by_name) : NULL;
    if (found) {
        *out = (*found)->compiled;
        return 0;
    }
    struct held *h = c ? malloc(sizeof *h) : NULL;
    if (h == NULL)
        return no_memory(err);
    *h = key;
    int rc = compile(&h->compiled, b, ns, err);
    if (rc == 0 && tsearch(h, &c->schemas, by_name) == NULL)
        rc = no_memory(err);
    if (rc != 0) {
        held_free(h);
        return rc == CFG_E_NOMEM ? rc : cfg_error_wrap(err, "schema of %s", ns);
    }
    *out = h->compiled;
    return 0;
}

int cfg_checks_class(enum cfg_apply *out, struct cfg_bench *b, const struct cfg_closure *c, const char *path,
                     struct cfg_error *err)
{
    enum cfg_apply strictest = CFG_APPLY_NONE;
    for (size_t i = 0; i < c->n; i++) {
        const struct cfg_compiled *s;
        struct cfg_schema_info info;
        int rc = cfg_checks_schema(&s, b, c->items[i].ns, err);
        if (rc != 0)
            return rc;
        if (s && cfg_schema_info(&info, s->schema, path) && info.apply > strictest)
            strictest = info.apply;
    }
    *out = strictest;
    return 0;
}

/* --- everything that a change touches --- */

static int has_schema(bool *out, struct cfg_bench *b, const struct cfg_closure *c, struct cfg_error *err)
{
    *out = false;
    for (size_t i = 0; i < c->n; i++) {
        const struct cfg_compiled *s;
        int rc = cfg_checks_schema(&s, b, c->items[i].ns, err);
        if (rc != 0)
            return rc;
        *out = *out || s != NULL;
    }
    return 0;
}

/* A namespace by itself may be incomplete: a base that others complete. What is missing or does not resolve there is
 * not checked, everything else is. */
static int check_resolved(struct cfg_bench *b, const struct cfg_closure *closure, const char *ns, struct cfg_error *err)
{
    cJSON *document = NULL, *kept = cJSON_CreateArray(), *failures = cJSON_CreateArray();
    struct cfg_release_options o = {.incomplete = true, .failures = failures};
    int rc = kept && failures ? cfg_release_resolve(&document, kept, closure, &o, err) : no_memory(err);
    const struct cfg_checked c = {
        .closure = closure, .document = document, .kept = kept, .failures = failures, .ns = ns};
    rc = rc ? rc : cfg_checks_document(b, &c, err);
    cJSON_Delete(document);
    cJSON_Delete(kept);
    cJSON_Delete(failures);
    return rc;
}

static int check_space(struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_closure closure;
    struct cfg_error why = CFG_ERROR_INIT;
    bool any = false;
    int rc = cfg_spaces_closure(&closure, b, ns, true, &why);
    if (rc == CFG_E_NOT_FOUND) /* a schema without a document, or one that goes by force */
        return 0;
    if (rc != 0) {
        if (err)
            *err = why;
        return rc;
    }
    rc = has_schema(&any, b, &closure, err);
    if (rc == 0 && any)
        rc = check_resolved(b, &closure, ns, err);
    cfg_closure_finish(&closure);
    return rc;
}

int cfg_checks_spaces(struct cfg_bench *b, const struct cfg_views *v, struct cfg_error *err)
{
    struct cfg_names all = {0};
    int rc = 0;
    for (size_t i = 0; i < v->n_spaces && rc == 0; i++)
        for (size_t k = 0; k < v->spaces[i].above.n && rc == 0 && cfg_draft_changed(v->spaces[i].draft); k++)
            rc = cfg_names_add(&all, v->spaces[i].above.items[k], err);
    for (size_t i = 0; i < all.n && rc == 0; i++)
        rc = check_space(b, all.items[i], err);
    cfg_names_finish(&all);
    return rc;
}

static bool note_part(const struct cfg_crew_part *part, void *arg)
{
    (void)part;
    *(bool *)arg = true;
    return false;
}

int cfg_checks_wants(bool *out, struct cfg_bench *b, const struct cfg_concern *c, bool first, struct cfg_error *err)
{
    struct cfg_closure closure;
    bool any = false;
    *out = false;
    cfg_crew_each(b, c->deployment.name, note_part, out);
    int rc = cfg_spaces_closure(&closure, b, c->deployment.config, true, err);
    if (rc == 0) {
        rc = has_schema(&any, b, &closure, err);
        cfg_closure_finish(&closure);
    }
    *out = *out || (any && (first || c->created));
    if (rc == 0 && !*out && !b->change->force) /* nobody: that must stay so until this is stored */
        rc = cfg_bench_guard_space(b, CFG_KIND_PRESENCE, c->deployment.name, err);
    return rc;
}

int cfg_checks_view(struct cfg_bench *b, const struct cfg_concern *c, bool first, const struct cfg_view_documents *x,
                    struct cfg_error *err)
{
    struct cfg_closure closure;
    int rc = 0;
    if (first) {
        rc = cfg_spaces_closure(&closure, b, c->deployment.config, true, err);
        if (rc != 0)
            return rc;
        const struct cfg_checked checked = {.closure = &closure,
                                            .document = x->after,
                                            .kept = x->environment,
                                            .ns = c->deployment.config,
                                            .deployment = c->deployment.name};
        rc = cfg_checks_document(b, &checked, err);
        cfg_closure_finish(&closure);
    }
    if (rc == 0 && (c->composed->paths->child || c->touched)) /* else nothing changes for its workers */
        rc = cfg_contracts_view(b, c, x->after, err);
    return rc;
}
