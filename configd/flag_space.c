#include "configd/flag_space.h"

#include "flags/set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 64 };

struct space {
    struct cfg_flag_space shown; /* first */
    struct space *next;          /* in its bucket */
    bool dirty;
    struct cfg_flag_entry *entries; /* shown.entries */
    uint32_t *slots, mask;          /* open addressing over entries, from 1; 0 is empty */
    struct cfg_flag_set *joint;     /* flags with prerequisites, and what they require */
    bool joint_lacks;               /* a prerequisite of it does not exist, or does not compile */
    struct cfg_object *rules;       /* the evaluators' head as compiled; NULL: none */
    cJSON *rules_tree;
    char ns[CFG_LIMIT_NAME + 1];
};

struct cfg_flag_spaces {
    struct cfg_store *store;
    struct cfg_store_listener listener;
    struct space *buckets[BUCKETS];
    struct space empty;
    struct cfg_flag_listener *listeners, *cursor;
    uint64_t compiled;
};

/* A space that lost a flag would answer wrongly: the process cannot go on without memory, as the store cannot. */
static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

/* --- entries --- */

static void entry_finish(struct cfg_flag_entry *e)
{
    cfg_flag_free(e->own);
    (void)cfg_object_unref(e->object);
    free((void *)(uintptr_t)e->why);
    *e = (struct cfg_flag_entry){0};
}

static const cJSON *evaluators_of(const struct space *s)
{
    return cfg_json_get(s->rules_tree, "evaluators");
}

/* Depth is bounded by the reader's. */
static bool has_reference(const cJSON *v)
{
    for (const cJSON *c = v->child; c; c = c->next)
        if ((c->string && strcmp(c->string, "$ref") == 0) || has_reference(c))
            return true;
    return false;
}

static bool has_decimals(const cJSON *definition)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, cfg_json_get(definition, "variants"))
    {
        if (cJSON_IsNumber(v) && v->valuedouble != floor(v->valuedouble))
            return true;
    }
    return false;
}

static void keep_reason(struct cfg_flag_entry *e, const struct cfg_error *err)
{
    struct cfg_buf text;
    cfg_buf_init(&text, sizeof err->text + sizeof err->path + 8);
    cfg_buf_printf(&text, "%s%s%s", err->path, err->path[0] ? ": " : "", err->text);
    e->why = need(cfg_buf_steal(&text));
}

static void compile(struct cfg_flag_spaces *all, const struct space *s, struct cfg_flag_entry *e)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *tree = need(cfg_object_tree(e->object));
    const cJSON *definition = cfg_json_get(tree, "definition"), *prerequisites = cfg_json_get(tree, "prerequisites");
    int rc = cfg_flag_compile_named(&e->own, e->object->id.name, tree, evaluators_of(s), &err);
    if (rc == CFG_E_NOMEM)
        abort();
    if (rc != 0)
        keep_reason(e, &err);
    e->requires = rc == 0 && prerequisites && prerequisites->child;
    e->refers = definition && has_reference(definition);
    e->decimals = has_decimals(definition);
    all->compiled++;
    cJSON_Delete(tree);
}

/* --- the index --- */

static void index_entries(struct space *s)
{
    uint32_t size = 2;
    while (size < s->shown.n * 2)
        size *= 2;
    free(s->slots);
    s->slots = need(calloc(size, sizeof *s->slots));
    s->mask = size - 1;
    for (size_t i = 0; i < s->shown.n; i++) {
        const char *name = s->entries[i].object->id.name;
        uint32_t at = cfg_flag_name_hash(name, strlen(name)) & s->mask;
        while (s->slots[at] != 0)
            at = (at + 1) & s->mask;
        s->slots[at] = (uint32_t)i + 1;
    }
}

static struct cfg_flag_entry *find(const struct space *s, const char *name, size_t len)
{
    if (s->slots == NULL || len > CFG_LIMIT_FLAG_NAME)
        return NULL;
    for (uint32_t at = cfg_flag_name_hash(name, len) & s->mask; s->slots[at] != 0; at = (at + 1) & s->mask) {
        struct cfg_flag_entry *e = &s->entries[s->slots[at] - 1];
        if (memcmp(e->object->id.name, name, len) == 0 && e->object->id.name[len] == '\0')
            return e;
    }
    return NULL;
}

/* --- flags that require others --- */

struct members {
    struct cfg_flag_entry **list;
    size_t n;
};

static void join(struct members *m, struct cfg_flag_entry *e)
{
    if (e->joint)
        return;
    e->joint = true;
    m->list[m->n++] = e;
}

/* Adds a member's envelope to the set's source, and what it requires to the members. */
static void add_member(struct space *s, struct members *m, struct cfg_flag_entry *e, cJSON *flags)
{
    cJSON *tree = need(cfg_object_tree(e->object));
    const cJSON *q;
    cJSON_ArrayForEach(q, cfg_json_get(tree, "prerequisites"))
    {
        struct cfg_flag_entry *required = find(s, q->string, strlen(q->string));
        if (required && required->own)
            join(m, required);
        else
            s->joint_lacks = true;
    }
    if (!cJSON_AddItemToObject(flags, e->object->id.name, tree))
        abort();
}

static void compile_joint(struct cfg_flag_spaces *all, struct space *s)
{
    struct members m = {need(calloc(s->shown.n + 1, sizeof(struct cfg_flag_entry *))), 0};
    struct cfg_flag_source source = {.evaluators = evaluators_of(s), .keep_broken = true, .strict = true};
    struct cfg_error err;
    cJSON *flags = need(cJSON_CreateObject());
    cfg_flag_set_free(s->joint);
    s->joint = NULL;
    s->joint_lacks = false;
    for (size_t i = 0; i < s->shown.n; i++) {
        s->entries[i].joint = false;
        s->entries[i].program = s->entries[i].own;
    }
    for (size_t i = 0; i < s->shown.n; i++)
        if (s->entries[i].requires)
            join(&m, &s->entries[i]);
    for (size_t i = 0; i < m.n; i++)
        add_member(s, &m, m.list[i], flags);
    source.flags = flags;
    if (m.n > 0 && cfg_flag_set_compile(&s->joint, &source, &err) == CFG_E_NOMEM)
        abort();
    for (size_t i = 0; s->joint && i < m.n; i++) {
        const char *name = m.list[i]->object->id.name;
        m.list[i]->program = cfg_flag_set_find(s->joint, name, strlen(name));
    }
    all->compiled += m.n;
    cJSON_Delete(flags);
    free(m.list);
}

/* --- catching up --- */

struct refresh {
    struct cfg_flag_spaces *all;
    struct space *s;
    struct cfg_flag_entry *fresh;
    size_t n, cap, old; /* old: the next of the former entries */
    bool rules_moved;   /* the evaluators are others than before */
    bool joint_moved;
    struct cfg_object *newest;
};

static void take_newer(struct refresh *r, struct cfg_object *o)
{
    if (r->newest == NULL || o->mod_revision > r->newest->mod_revision)
        r->newest = o;
}

static bool joint_cares(const struct refresh *r, const struct cfg_flag_entry *e)
{
    return e->requires || e->joint || r->s->joint_lacks;
}

/* The former entry of this name, passing those that have gone; NULL when there was none. Both are in one order. */
static struct cfg_flag_entry *former(struct refresh *r, const char *name)
{
    while (r->old < r->s->shown.n) {
        struct cfg_flag_entry *e = &r->s->entries[r->old];
        int c = strcmp(e->object->id.name, name);
        if (c > 0)
            return NULL;
        r->old++;
        if (c == 0)
            return e;
        r->joint_moved = r->joint_moved || joint_cares(r, e);
        entry_finish(e);
    }
    return NULL;
}

/* After a new listing every record is another object, though few have another content. */
static bool is_same(const struct cfg_object *a, const struct cfg_object *b)
{
    return a == b || (a->json->len == b->json->len && memcmp(a->json->data, b->json->data, a->json->len) == 0);
}

static bool take_flag(struct cfg_object *o, void *arg)
{
    struct refresh *r = arg;
    take_newer(r, o);
    if (o->deleted)
        return true;
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 16;
        r->fresh = need(realloc(r->fresh, r->cap * sizeof *r->fresh));
    }
    struct cfg_flag_entry *e = &r->fresh[r->n++], *before = former(r, o->id.name);
    *e = (struct cfg_flag_entry){0};
    if (before && is_same(before->object, o) && !(r->rules_moved && before->refers)) {
        *e = *before;
        *before = (struct cfg_flag_entry){0};
        (void)cfg_object_unref(e->object);
        e->object = cfg_object_ref(o);
        return true;
    }
    if (before) {
        r->joint_moved = r->joint_moved || joint_cares(r, before);
        entry_finish(before);
    }
    e->object = cfg_object_ref(o);
    compile(r->all, r->s, e);
    e->program = e->own;
    r->joint_moved = r->joint_moved || joint_cares(r, e);
    return true;
}

/* Shared rules and metadata. */
static void take_rules(struct refresh *r)
{
    struct space *s = r->s;
    struct cfg_object *head = cfg_store_find(r->all->store, CFG_KIND_EVALUATORS, s->ns, "");
    if (head)
        take_newer(r, head);
    if (head == s->rules || (head && s->rules && is_same(head, s->rules)))
        return;
    r->rules_moved = true;
    (void)cfg_object_unref(s->rules);
    cJSON_Delete(s->rules_tree);
    s->rules = cfg_object_ref(head);
    s->rules_tree = head && !head->deleted ? need(cfg_object_tree(head)) : NULL;
    s->shown.metadata = cfg_json_get(s->rules_tree, "metadata");
}

static void refresh(struct cfg_flag_spaces *all, struct space *s)
{
    struct refresh r = {.all = all, .s = s};
    take_rules(&r);
    cfg_store_each(all->store, CFG_KIND_FLAG, s->ns, take_flag, &r);
    struct cfg_object *flip = cfg_store_find(all->store, CFG_KIND_FLIP, s->ns, "");
    if (flip)
        take_newer(&r, flip);
    for (; r.old < s->shown.n; r.old++) {
        r.joint_moved = r.joint_moved || joint_cares(&r, &s->entries[r.old]);
        entry_finish(&s->entries[r.old]);
    }
    free(s->entries);
    s->entries = r.fresh;
    s->shown.entries = r.fresh;
    s->shown.n = r.n;
    index_entries(s);
    if (r.joint_moved || (r.rules_moved && s->joint))
        compile_joint(all, s);
    s->shown.revision = (struct cfg_rev){cfg_store_identity(all->store)->epoch, r.newest ? r.newest->mod_revision : 0};
    s->shown.modified_s = r.newest ? cfg_object_time(r.newest) : 0;
    s->dirty = false;
}

/* --- spaces --- */

static struct space **place(struct cfg_flag_spaces *all, const char *ns)
{
    struct space **at = &all->buckets[cfg_flag_name_hash(ns, strlen(ns)) % BUCKETS];
    while (*at && strcmp((*at)->ns, ns) != 0)
        at = &(*at)->next;
    return at;
}

static bool is_there(struct cfg_object *o, void *arg)
{
    (void)o;
    *(bool *)arg = true;
    return false;
}

static bool has_any(const struct cfg_flag_spaces *all, const char *ns)
{
    bool any = false;
    cfg_store_each_of_flags(all->store, ns, is_there, &any);
    return any;
}

static void space_free(struct space *s)
{
    for (size_t i = 0; i < s->shown.n; i++)
        entry_finish(&s->entries[i]);
    free(s->entries);
    free(s->slots);
    cfg_flag_set_free(s->joint);
    (void)cfg_object_unref(s->rules);
    cJSON_Delete(s->rules_tree);
    free(s);
}

/* Namespaces that have no flags take no memory, whatever is asked for. */
const struct cfg_flag_space *cfg_flag_spaces_get(struct cfg_flag_spaces *all, const char *ns)
{
    struct space **at = place(all, ns), *s = *at;
    if (s == NULL && !has_any(all, ns)) {
        all->empty.shown.revision = (struct cfg_rev){cfg_store_identity(all->store)->epoch, 0};
        return &all->empty.shown;
    }
    if (s == NULL) {
        s = *at = need(calloc(1, sizeof *s));
        memcpy(s->ns, ns, strnlen(ns, CFG_LIMIT_NAME)); /* there are flags: it is a checked name */
        s->dirty = true;
    }
    if (s->dirty)
        refresh(all, s);
    return &s->shown;
}

const struct cfg_flag_entry *cfg_flag_space_find(const struct cfg_flag_space *space, const char *name, size_t len)
{
    return find((const struct space *)space, name, len);
}

uint64_t cfg_flag_spaces_compiled(const struct cfg_flag_spaces *all)
{
    return all->compiled;
}

/* --- what the store tells --- */

static void tell(struct cfg_flag_spaces *all, const char *ns)
{
    for (struct cfg_flag_listener *l = all->listeners; l; l = all->cursor) {
        all->cursor = l->next;
        if (ns == NULL || strcmp(l->ns, ns) == 0)
            l->moved(l);
    }
}

static bool counts(const struct cfg_object *o)
{
    return cfg_kind_is_of_flags(o->id.kind);
}

/* Was an earlier change of this revision of the same namespace? Then it has been told. */
static bool is_told(const struct cfg_store_change *changes, size_t i, const char *ns)
{
    for (size_t k = 0; k < i; k++) {
        const struct cfg_object *o = changes[k].after ? changes[k].after : changes[k].before;
        if (counts(o) && strcmp(o->id.ns, ns) == 0)
            return true;
    }
    return false;
}

static void store_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_flag_spaces *all = arg;
    (void)rev;
    for (size_t b = 0; full && b < BUCKETS; b++)
        for (struct space *s = all->buckets[b]; s; s = s->next)
            s->dirty = true;
    for (size_t i = 0; !full && i < n; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        struct space *s = counts(o) ? *place(all, o->id.ns) : NULL;
        if (s)
            s->dirty = true;
    }
    if (full)
        tell(all, NULL);
    for (size_t i = 0; !full && all->listeners && i < n; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        if (counts(o) && !is_told(changes, i, o->id.ns))
            tell(all, o->id.ns);
    }
}

void cfg_flag_spaces_listen(struct cfg_flag_spaces *all, struct cfg_flag_listener *l, const char *ns)
{
    l->all = all;
    l->prev = NULL;
    l->next = all->listeners;
    memset(l->ns, 0, sizeof l->ns);
    memcpy(l->ns, ns, strnlen(ns, CFG_LIMIT_NAME));
    if (all->listeners)
        all->listeners->prev = l;
    all->listeners = l;
}

void cfg_flag_spaces_unlisten(struct cfg_flag_listener *l)
{
    struct cfg_flag_spaces *all = l->all;
    if (all == NULL)
        return;
    if (all->cursor == l)
        all->cursor = l->next;
    *(l->prev ? &l->prev->next : &all->listeners) = l->next;
    if (l->next)
        l->next->prev = l->prev;
    l->all = NULL;
}

/* --- life --- */

int cfg_flag_spaces_new(struct cfg_flag_spaces **out, struct cfg_store *store, struct cfg_error *err)
{
    struct cfg_flag_spaces *all = calloc(1, sizeof *all);
    if (all == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for flags");
    all->store = store;
    all->listener = (struct cfg_store_listener){.changed = store_changed, .arg = all};
    cfg_store_listen(store, &all->listener);
    *out = all;
    return 0;
}

void cfg_flag_spaces_free(struct cfg_flag_spaces *all)
{
    if (all == NULL)
        return;
    cfg_store_unlisten(all->store, &all->listener);
    for (size_t b = 0; b < BUCKETS; b++)
        while (all->buckets[b]) {
            struct space *s = all->buckets[b];
            all->buckets[b] = s->next;
            space_free(s);
        }
    free(all);
}
