/* x-invariants: conditions over several keys, in the expression language.
 *
 * One that names a key which is not there says nothing: whether a key must be there is `required`'s business, and an
 * invariant over optional keys would else forbid to leave them out. One that cannot be evaluated for another reason (a
 * division by zero, a text where a number is meant) is violated. */
#include "proto/schema_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 256 }; /* each may look through the whole document */

static int bad_entry(struct schema_compiler *c, const struct schema_node *n, const char *why)
{
    cfg_schema_fail(c, n, "x-invariants", CFG_E_VALUE, "%s", why);
    cfg_error_set_hint(c->err, "write [{\"expr\": \"a.b <= a.c\", \"message\": \"why\"}]");
    return CFG_E_VALUE;
}

static int add_invariant(struct schema_compiler *c, const struct schema_node *n, const cJSON *entry)
{
    struct cfg_schema *s = c->s;
    const char *expr = cfg_json_get_str(entry, "expr", NULL);
    const cJSON *message = cfg_json_get(entry, "message");
    if (expr == NULL || (message && !cJSON_IsString(message)))
        return bad_entry(c, n, "an invariant is an object with \"expr\" and, if you like, \"message\"");
    for (const cJSON *m = entry->child; m; m = m->next)
        if (strcmp(m->string, "expr") != 0 && strcmp(m->string, "message") != 0)
            return bad_entry(c, n, "an invariant has no members but \"expr\" and \"message\"");
    struct cfg_error why = CFG_ERROR_INIT;
    int code = cfg_expr_compile(&s->invariant_programs[s->n_invariants], cfg_slice_str(expr), &why);
    if (code) {
        cfg_schema_fail(c, n, "x-invariants", code, "the invariant %.100s: %.180s", expr, why.text);
        cfg_error_set_hint(c->err, "%s", why.hint);
        return code;
    }
    s->invariants[s->n_invariants++] = (struct cfg_schema_invariant){expr, message ? message->valuestring : NULL};
    return 0;
}

int cfg_schema_c_invariants(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (n != c->s->root)
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "x-invariants stands at the root of a schema only");
    if (!cJSON_IsArray(k->value))
        return bad_entry(c, n, "x-invariants must be an array");
    size_t count = (size_t)cJSON_GetArraySize(k->value);
    if (count > MOST)
        return cfg_schema_fail(c, n, k->name, CFG_E_LIMIT, "more than %d invariants", MOST);
    c->s->invariants = cfg_schema_take(c, (count + 1) * sizeof *c->s->invariants);
    c->s->invariant_programs = cfg_schema_take(c, (count + 1) * sizeof(struct cfg_expr *));
    if (c->s->invariants == NULL || c->s->invariant_programs == NULL)
        return cfg_schema_nomem(c);
    int code = 0;
    for (const cJSON *entry = k->value->child; code == 0 && entry; entry = entry->next)
        code = add_invariant(c, n, entry);
    return code;
}

size_t cfg_schema_invariants(const struct cfg_schema *s, const struct cfg_schema_invariant **out)
{
    *out = s->invariants;
    return s->n_invariants;
}

/* --- evaluation --- */

struct secrecy {
    const struct cfg_schema *schema;
    bool any;
};

static bool look_for_secret(struct cfg_slice name, void *arg)
{
    struct secrecy *s = arg;
    struct cfg_schema_info info;
    char *path = cfg_slice_dup(name);
    s->any = s->any || path == NULL || !cfg_schema_info(&info, s->schema, path) || info.secret;
    free(path);
    return !s->any;
}

static bool report(struct schema_run *r, size_t i, const cJSON *document, const struct cfg_expr_names *names,
                   const struct cfg_error *err)
{
    const struct cfg_schema_invariant *shown = &r->s->invariants[i];
    struct schema_at root = {.v = document, .type = cfg_schema_type_of(document)};
    struct secrecy secrecy = {r->s, false};
    struct cfg_buf values;
    cfg_buf_init(&values, 2000);
    cfg_expr_each_name(r->s->invariant_programs[i], look_for_secret, &secrecy);
    if (!secrecy.any)
        cfg_expr_describe(&values, r->s->invariant_programs[i], names);
    cfg_schema_need(r, &values);
    struct schema_report what = {
        .keyword = "x-invariants", .expected = shown->expr, .no_got = true, .got = values.len ? values.data : NULL};
    (void)cfg_schema_report(r, &root, &what, "%.200s%s%.200s%s%.150s", shown->message ? shown->message : "",
                            shown->message ? ": " : "", shown->expr,
                            values.len ? ", and "
                            : err      ? ": "
                                       : "",
                            values.len            ? values.data
                            : err && !secrecy.any ? err->text
                                                  : "");
    cfg_buf_finish(&values);
    return false;
}

bool cfg_schema_check_invariants(struct schema_run *r, const cJSON *document)
{
    struct cfg_expr_names names = cfg_expr_names_of(document);
    bool valid = true;
    for (size_t i = 0; i < r->s->n_invariants && !r->failed && (valid || !r->quiet); i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        bool holds = true;
        int code = cfg_schema_spend(r, 100) ? cfg_expr_test(&holds, r->s->invariant_programs[i], &names, &err) : 0;
        if (code == CFG_E_NOMEM)
            r->failed = CFG_E_NOMEM;
        else if (code != CFG_E_UNKNOWN_KEY && (code || !holds))
            valid = report(r, i, document, &names, code ? &err : NULL);
    }
    return valid && !r->failed;
}
