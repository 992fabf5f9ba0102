/* Running a program on a document. */
#include "proto/schema_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_DEPTH = 1024,          /* schemas within schemas, refers and documents together */
    MEMORY = 64 * 1024 * 1024, /* of one check */
};

/* --- marks --- */

bool cfg_schema_marks_init(struct schema_run *r, struct schema_marks *m, const struct schema_at *at)
{
    size_t n = 0;
    for (const cJSON *child = at->v->child; child; child = child->next)
        n++;
    *m = (struct schema_marks){.words = (n + 63) / 64};
    if (m->words == 0 || !(at->type & (SCHEMA_OBJECT | SCHEMA_ARRAY)))
        return true;
    m->bits = cfg_arena_alloc(&r->arena, m->words * sizeof *m->bits);
    if (m->bits == NULL)
        r->failed = r->arena.failed;
    return m->bits && cfg_schema_spend(r, 1 + n / 8); /* it was counted, and is cleared */
}

void cfg_schema_mark(struct schema_marks *m, size_t i)
{
    if (m && m->bits)
        m->bits[i / 64] |= (uint64_t)1 << (i % 64);
}

void cfg_schema_mark_all(struct schema_marks *m)
{
    if (m)
        m->all = true;
}

bool cfg_schema_marked(const struct schema_marks *m, size_t i)
{
    return m->all || (m->bits && (m->bits[i / 64] >> (i % 64) & 1));
}

void cfg_schema_marks_merge(struct schema_marks *into, const struct schema_marks *from)
{
    if (into == NULL)
        return;
    into->all = into->all || from->all;
    for (size_t i = 0; into->bits && from->bits && i < from->words; i++)
        into->bits[i] |= from->bits[i];
}

/* --- evaluation --- */

static bool run_keywords(struct schema_run *r, const struct schema_node *n, const struct schema_at *at)
{
    bool valid = true;
    for (size_t i = n->types & at->type ? n->typed : 0; i < n->n_keywords; i++) { /* a type that fits is settled */
        const struct schema_keyword *k = &n->keywords[i];
        if ((k->types & at->type) && !k->check(r, k, at)) {
            valid = false;
            if (r->quiet || r->failed)
                break;
        }
    }
    return valid;
}

/* unevaluated* of a schema sees what this schema evaluated, nothing of what stands beside it. */
static bool run_tracked(struct schema_run *r, const struct schema_node *n, const struct schema_at *at)
{
    struct schema_marks own;
    struct schema_at inner = *at;
    if (!cfg_schema_marks_init(r, &own, at))
        return false;
    inner.marks = &own;
    bool valid = run_keywords(r, n, &inner);
    cfg_schema_marks_merge(at->marks, &own);
    return valid;
}

bool cfg_schema_eval(struct schema_run *r, const struct schema_node *n, const struct schema_at *at)
{
    if (n->constant > 0)
        return true;
    if (n->constant == 0) {
        struct schema_report what = {.keyword = "false", .no_got = true};
        return cfg_schema_report(r, at, &what, "nothing is allowed here");
    }
    if (!cfg_schema_spend(r, 1 + n->n_keywords))
        return false;
    bool fits = n->types & at->type;
    if (fits && n->n_keywords == n->typed)
        return true;
    if (!fits && r->quiet)
        return false;
    if (++r->depth > MAX_DEPTH)
        r->failed = CFG_E_LIMIT;
    const struct schema_scope *outer = r->scope;
    struct schema_scope inner = {n->resource, outer};
    if (outer == NULL || outer->resource != n->resource)
        r->scope = &inner;
    bool valid = !r->failed;
    if (valid)
        valid =
            n->tracks && (at->type & (SCHEMA_OBJECT | SCHEMA_ARRAY)) ? run_tracked(r, n, at) : run_keywords(r, n, at);
    r->scope = outer;
    r->depth--;
    return valid;
}

bool cfg_schema_eval_quiet(struct schema_run *r, const struct schema_node *n, const struct schema_at *at)
{
    bool before = r->quiet;
    r->quiet = true;
    bool valid = cfg_schema_eval(r, n, at);
    r->quiet = before;
    return valid;
}

/* --- entries --- */

/* One pass. 0, CFG_E_SCHEMA, CFG_E_LIMIT or CFG_E_NOMEM. */
static int run(struct schema_run *r, const cJSON *document)
{
    struct schema_at at = {.v = document, .type = cfg_schema_type_of(document)};
    r->steps = r->s->max_steps;
    cfg_arena_init(&r->arena, MEMORY);
    bool valid = cfg_schema_eval(r, r->s->root, &at);
    if (r->s->n_invariants && !r->failed && (valid || !r->quiet) && !cfg_schema_check_invariants(r, document))
        valid = false;
    cfg_schema_pattern_done(r);
    cfg_arena_finish(&r->arena);
    return r->failed ? r->failed : valid ? 0 : CFG_E_SCHEMA;
}

int cfg_schema_judge(const struct cfg_schema *s, const cJSON *document)
{
    struct schema_run r = {.s = s, .quiet = true};
    return run(&r, document);
}

static void take_back(cJSON *list, int length)
{
    while (list && cJSON_GetArraySize(list) > length)
        cJSON_DeleteItemFromArray(list, cJSON_GetArraySize(list) - 1);
}

/* The last entry of a list that was cut. */
static int put_rest(struct schema_run *r)
{
    if (r->list == NULL || r->count <= CFG_SCHEMA_VIOLATIONS)
        return 0;
    char text[80];
    double rest = (double)(r->count - CFG_SCHEMA_VIOLATIONS);
    (void)snprintf(text, sizeof text, "and %.0f more violations", rest);
    cJSON *last = cJSON_CreateObject();
    bool good = last && cJSON_AddStringToObject(last, "path", "") && cJSON_AddStringToObject(last, "keyword", "more") &&
                cJSON_AddStringToObject(last, "message", text) && cJSON_AddNumberToObject(last, "count", rest) &&
                cJSON_AddItemToArray(r->list, last);
    if (!good)
        cJSON_Delete(last);
    return good ? 0 : CFG_E_NOMEM;
}

static int unfinished(struct cfg_error *err, int code)
{
    if (code == CFG_E_NOMEM)
        return cfg_fail(err, code, "out of memory");
    cfg_fail(err, CFG_E_LIMIT, "checking the document against its schema takes more work than is allowed");
    cfg_error_set_hint(err,
                       "look for patterns that backtrack (nested + or *) and for alternatives within alternatives");
    return CFG_E_LIMIT;
}

int cfg_schema_check(const struct cfg_schema *s, const cJSON *document, cJSON *violations, struct cfg_error *err)
{
    int code = cfg_schema_judge(s, document);
    if (code == 0)
        return 0;
    if (code != CFG_E_SCHEMA)
        return unfinished(err, code);
    int before = violations ? cJSON_GetArraySize(violations) : 0;
    struct cfg_error first = CFG_ERROR_INIT;
    struct schema_run r = {.s = s, .list = violations, .err = &first};
    code = run(&r, document);
    if (code == CFG_E_LIMIT && r.count > 0) /* listing takes more than the verdict did: what was found will do */
        code = CFG_E_SCHEMA;
    if (code == CFG_E_SCHEMA && put_rest(&r))
        code = CFG_E_NOMEM;
    if (code != CFG_E_SCHEMA) {
        take_back(violations, before);
        return unfinished(err, code);
    }
    cfg_fail(err, CFG_E_SCHEMA, "%zu violation%s of the schema: %.250s", r.count, r.count == 1 ? "" : "s", first.text);
    cfg_error_set_path(err, "%s", first.path);
    cfg_error_set_hint(err, "%s", first.hint);
    return CFG_E_SCHEMA;
}
