#include "configd/change_draft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

void cfg_bench_finish(struct cfg_bench *b)
{
    for (size_t i = 0; i < b->n; i++) {
        cJSON_Delete(b->items[i]->before);
        cJSON_Delete(b->items[i]->after);
        cJSON_Delete(b->items[i]->changes);
        cfg_flag_facts_free(b->items[i]->facts);
        free(b->items[i]);
    }
    free(b->items);
    free(b->guards);
    *b = (struct cfg_bench){0};
}

struct cfg_draft *cfg_bench_find(const struct cfg_bench *b, const struct cfg_object_id *id)
{
    for (size_t i = 0; i < b->n; i++)
        if (cfg_object_id_eq(&b->items[i]->id, id))
            return b->items[i];
    return NULL;
}

static int load(struct cfg_draft *d, struct cfg_error *err)
{
    if (d->head == NULL || d->head->deleted)
        return 0;
    d->before = cfg_object_body(d->head);
    d->after = d->before ? cJSON_Duplicate(d->before, true) : NULL;
    return d->after ? 0 : no_memory(err);
}

static int push(struct cfg_bench *b, struct cfg_draft *d)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 8;
        struct cfg_draft **items = realloc(b->items, cap * sizeof(struct cfg_draft *));
        if (items == NULL)
            return CFG_E_NOMEM;
        b->items = items;
        b->cap = cap;
    }
    b->items[b->n++] = d;
    return 0;
}

int cfg_bench_open(struct cfg_draft **out, struct cfg_bench *b, const struct cfg_object_id *id, struct cfg_error *err)
{
    struct cfg_draft *d = cfg_bench_find(b, id);
    if (d == NULL) {
        d = calloc(1, sizeof *d);
        if (d == NULL || push(b, d) != 0) {
            free(d);
            return no_memory(err);
        }
        d->id = *id;
        d->head = b->heads->get(b->heads->arg, id);
        int rc = load(d, err);
        if (rc != 0)
            return rc;
    }
    *out = d;
    return 0;
}

const char *cfg_draft_label(const struct cfg_object_id *id, char out[CFG_DRAFT_LABEL])
{
    const char *kind = id->kind == CFG_KIND_CONFIG ? "namespace" : cfg_kind_name(id->kind);
    (void)snprintf(out, CFG_DRAFT_LABEL, "%s %s%s%s", kind, id->ns, id->name[0] ? "/" : "", id->name);
    return out;
}

static int check_precondition(const struct cfg_draft *d, const struct cfg_change_entry *e, struct cfg_error *err)
{
    char label[CFG_DRAFT_LABEL];
    uint64_t is = d->head ? d->head->version : 0;
    bool gone = d->head == NULL || d->head->deleted;
    if (e->must_exist && gone)
        return cfg_fail(err, CFG_E_PRECONDITION, "%s does not exist", cfg_draft_label(&d->id, label));
    if (!e->has_if_version || e->if_version == is || (e->if_version == 0 && gone))
        return 0;
    (void)cfg_draft_label(&d->id, label);
    if (e->if_version == 0)
        (void)cfg_fail(err, CFG_E_PRECONDITION, "%s exists already, at version %" PRIu64, label, is);
    else if (is == 0)
        (void)cfg_fail(err, CFG_E_PRECONDITION, "%s does not exist, but version %" PRIu64 " was expected", label,
                       e->if_version);
    else
        (void)cfg_fail(err, CFG_E_PRECONDITION, "%s is at version %" PRIu64 "%s, but version %" PRIu64 " was expected",
                       label, is, gone ? " (deleted)" : "", e->if_version);
    cfg_error_set_hint(err, "read it again and repeat the change on what it is now");
    return CFG_E_PRECONDITION;
}

int cfg_bench_touch(struct cfg_bench *b, struct cfg_draft *d, size_t entry, struct cfg_error *err)
{
    char label[CFG_DRAFT_LABEL];
    if (d->touched && d->entry != entry)
        return cfg_fail(err, CFG_E_INVALID, "%s is changed by two entries", cfg_draft_label(&d->id, label));
    d->touched = true;
    d->entry = entry;
    return check_precondition(d, &b->change->entries[entry], err);
}

static bool same_guard(const struct cfg_guard *a, const struct cfg_guard *b)
{
    return a->kind == b->kind && a->version == b->version && cfg_object_id_eq(&a->id, &b->id);
}

int cfg_bench_guard(struct cfg_bench *b, const struct cfg_guard *g, struct cfg_error *err)
{
    for (size_t i = 0; i < b->n_guards; i++)
        if (same_guard(&b->guards[i], g))
            return 0;
    if (b->n_guards == b->cap_guards) {
        size_t cap = b->cap_guards ? b->cap_guards * 2 : 8;
        struct cfg_guard *guards = realloc(b->guards, cap * sizeof *guards);
        if (guards == NULL)
            return no_memory(err);
        b->guards = guards;
        b->cap_guards = cap;
    }
    b->guards[b->n_guards++] = *g;
    return 0;
}

int cfg_bench_guard_head(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    struct cfg_guard g = {.kind = CFG_GUARD_HEAD, .id = d->id, .mod_revision = d->head ? d->head->mod_revision : 0};
    return cfg_bench_guard(b, &g, err);
}

static bool take_newest(struct cfg_object *o, void *arg)
{
    uint64_t *newest = arg;
    if (o->mod_revision > *newest)
        *newest = o->mod_revision;
    return true;
}

int cfg_bench_guard_space(struct cfg_bench *b, enum cfg_kind kind, const char *ns, struct cfg_error *err)
{
    struct cfg_guard g = {.kind = CFG_GUARD_SPACE, .id = cfg_object_id_of(kind, ns, NULL)};
    b->heads->each(b->heads->arg, kind, ns[0] ? ns : NULL, take_newest, &g.mod_revision);
    return cfg_bench_guard(b, &g, err);
}

int cfg_draft_facts(const struct cfg_flag_facts **out, struct cfg_draft *d, struct cfg_error *err)
{
    if (!d->has_facts && d->after && cfg_flag_facts_read(&d->facts, d->after) != 0)
        return no_memory(err);
    d->has_facts = true;
    *out = d->facts;
    return 0;
}

/* Is it covered by one guard over everything of its kind? */
static bool is_merged(const struct cfg_bench *b, const struct cfg_guard *g, enum cfg_kind kind, bool heads)
{
    if (g->id.kind != kind || g->kind == CFG_GUARD_HISTORY || (g->kind == CFG_GUARD_SPACE) == heads)
        return false;
    const struct cfg_draft *d = heads ? cfg_bench_find(b, &g->id) : NULL;
    return d == NULL || !d->touched;
}

static int merge_guards(struct cfg_bench *b, enum cfg_kind kind, bool heads, struct cfg_error *err)
{
    size_t kept = 0, n = b->n_guards;
    for (size_t i = 0; i < n; i++)
        if (!is_merged(b, &b->guards[i], kind, heads))
            b->guards[kept++] = b->guards[i];
    b->n_guards = kept;
    return kept < n ? cfg_bench_guard_space(b, kind, "", err) : 0;
}

int cfg_bench_compact(struct cfg_bench *b, struct cfg_error *err)
{
    static const struct {
        enum cfg_kind kind;
        bool heads;
    } order[] = {{CFG_KIND_EXTENDS, false},  {CFG_KIND_FLAG, false},  {CFG_KIND_CONFIG, true},
                 {CFG_KIND_FLAG, true},      {CFG_KIND_SCHEMA, true}, {CFG_KIND_PRESENCE, false},
                 {CFG_KIND_EVALUATORS, true}};
    int rc = 0;
    for (size_t i = 0; i < sizeof order / sizeof order[0] && rc == 0 && b->n_guards > CFG_GUARDS_MAX; i++)
        rc = merge_guards(b, order[i].kind, order[i].heads, err);
    return rc;
}

bool cfg_draft_changed(const struct cfg_draft *d)
{
    if (d->before == NULL || d->after == NULL)
        return d->before != d->after;
    return !cfg_json_equal(d->before, d->after);
}

uint64_t cfg_draft_next_version(const struct cfg_draft *d)
{
    uint64_t is = d->head ? d->head->version : 0;
    return cfg_draft_changed(d) ? is + 1 : is;
}

/* --- near misses --- */

enum { NEAR_MISS_CANDIDATES = 1024 };

struct candidates {
    const char *names[NEAR_MISS_CANDIDATES];
    size_t n;
};

static bool take_candidate(struct cfg_object *o, void *arg)
{
    struct candidates *c = arg;
    if (!o->deleted)
        c->names[c->n++] = o->id.kind == CFG_KIND_FLAG ? o->id.name : o->id.ns;
    return c->n < NEAR_MISS_CANDIDATES;
}

int cfg_bench_missing(const struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    char label[CFG_DRAFT_LABEL];
    bool is_flag = d->id.kind == CFG_KIND_FLAG;
    (void)cfg_draft_label(&d->id, label);
    if (d->head) {
        (void)cfg_fail(err, CFG_E_NOT_FOUND, "%s is deleted (version %" PRIu64 ")", label, d->head->version);
        cfg_error_set_hint(err, "a rollback to an older version brings it back");
        return CFG_E_NOT_FOUND;
    }
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "%s does not exist", label);
    struct candidates *c = calloc(1, sizeof *c);
    if (c == NULL)
        return CFG_E_NOT_FOUND; /* without a near miss, then */
    b->heads->each(b->heads->arg, d->id.kind, is_flag ? d->id.ns : NULL, take_candidate, c);
    const char *near = cfg_near_miss(is_flag ? d->id.name : d->id.ns, c->names, c->n);
    if (near)
        cfg_error_set_hint(err, "did you mean %s%s%s?", is_flag ? d->id.ns : "", is_flag ? "/" : "", near);
    free(c);
    return CFG_E_NOT_FOUND;
}

/* --- lists of names --- */

enum { NAMES_SHOWN = 5 };

void cfg_name_list_add(struct cfg_name_list *l, const char *name)
{
    size_t used = strlen(l->text);
    if (l->n < NAMES_SHOWN)
        (void)snprintf(l->text + used, sizeof l->text - used, "%s%.32s", l->n > 0 ? ", " : "", name);
    l->n++;
}

const char *cfg_name_list_text(struct cfg_name_list *l)
{
    size_t used = strlen(l->text);
    if (l->n > NAMES_SHOWN)
        (void)snprintf(l->text + used, sizeof l->text - used, " and %zu more", l->n - NAMES_SHOWN);
    return l->text;
}

/* --- trees --- */

unsigned cfg_tree_depth(const cJSON *v)
{
    /* Trees come from the strict reader or are patched from such, so recursion is bounded by their depths' sum. */
    unsigned deepest = 0;
    if (!cJSON_IsObject(v) && !cJSON_IsArray(v))
        return 0;
    for (const cJSON *c = v->child; c; c = c->next) {
        unsigned depth = cfg_tree_depth(c);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + 1;
}

int cfg_check_members(const cJSON *object, const char *const *known, const char *what, struct cfg_error *err)
{
    size_t n = 0;
    while (known[n])
        n++;
    if (!cJSON_IsObject(object))
        return cfg_fail(err, CFG_E_VALUE, "%s must be an object", what);
    for (const cJSON *m = object->child; m; m = m->next) {
        bool found = false;
        for (size_t i = 0; i < n && !found; i++)
            found = strcmp(known[i], m->string) == 0;
        if (found)
            continue;
        (void)cfg_fail(err, CFG_E_VALUE, "%s has no member \"%.64s\"", what, m->string);
        cfg_error_set_path(err, "%.64s", m->string);
        const char *near = cfg_near_miss(m->string, known, n);
        if (near)
            cfg_error_set_hint(err, "did you mean %s?", near);
        return CFG_E_VALUE;
    }
    return 0;
}
