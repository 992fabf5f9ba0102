#include "configd/timeline.h"

#include "configd/view.h"
#include "proto/patch.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 160 }; /* bytes of a value's JSON that a list of changes repeats */

int64_t cfg_timeline_time(const struct cfg_object *o)
{
    int64_t us = 0;
    cJSON *tree = cfg_object_tree(o);
    if (cfg_rfc3339_parse(&us, cfg_slice_str(cfg_json_get_str(tree, "time", "")), NULL) != 0)
        us = 0;
    cJSON_Delete(tree);
    return us;
}

/* --- versions --- */

/* The place of a version among the items, or where it would be. */
static size_t place_of(const struct cfg_timeline *t, const struct cfg_object_id *id, uint64_t version)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct cfg_object *o = t->items[middle].object;
        int order = cfg_object_id_cmp(&o->id, id);
        if (order < 0 || (order == 0 && o->version < version))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct cfg_object *cfg_timeline_find(const struct cfg_timeline *t, const struct cfg_object_id *id, uint64_t version)
{
    size_t at = place_of(t, id, version);
    struct cfg_object *o = at < t->n ? t->items[at].object : NULL;
    return o && o->version == version && cfg_object_id_eq(&o->id, id) ? o : NULL;
}

int cfg_timeline_add(struct cfg_timeline *t, struct cfg_object *o, struct cfg_error *err)
{
    if (cfg_timeline_find(t, &o->id, o->version))
        return 0;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct cfg_timeline_item *items = realloc(t->items, cap * sizeof *items);
        if (items == NULL)
            return cfg_fail(err, CFG_E_NOMEM, "out of memory for history");
        t->items = items;
        t->cap = cap;
    }
    size_t at = place_of(t, &o->id, o->version);
    memmove(t->items + at + 1, t->items + at, (t->n - at) * sizeof *t->items);
    t->items[at] = (struct cfg_timeline_item){cfg_object_ref(o), cfg_timeline_time(o)};
    t->n++;
    t->bytes += o->json->len;
    return 0;
}

void cfg_timeline_finish(struct cfg_timeline *t)
{
    for (size_t i = 0; i < t->n; i++)
        (void)cfg_object_unref(t->items[i].object);
    free(t->items);
    *t = (struct cfg_timeline){0};
}

static int by_revision(const void *a, const void *b)
{
    const struct cfg_object *x = *(struct cfg_object *const *)a, *y = *(struct cfg_object *const *)b;
    if (x->mod_revision != y->mod_revision)
        return x->mod_revision < y->mod_revision ? -1 : 1;
    return cfg_object_id_cmp(&x->id, &y->id);
}

int cfg_timeline_window(struct cfg_object ***out, size_t *n, const struct cfg_timeline *t, int64_t since_us,
                        struct cfg_error *err)
{
    struct cfg_object **list = malloc((t->n + 1) * sizeof(struct cfg_object *));
    if (list == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for history");
    *n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].time_us >= since_us)
            list[(*n)++] = t->items[i].object;
    if (*n > 1)
        qsort(list, *n, sizeof(struct cfg_object *), by_revision);
    *out = list;
    return 0;
}

bool cfg_timeline_missing(struct cfg_object_id *id, uint64_t *version, const struct cfg_timeline *t, int64_t since_us,
                          size_t *at)
{
    for (; *at < t->n; (*at)++) {
        const struct cfg_object *o = t->items[*at].object;
        if (t->items[*at].time_us < since_us || o->version < 2 || cfg_timeline_find(t, &o->id, o->version - 1))
            continue;
        *id = o->id;
        *version = o->version - 1;
        (*at)++;
        return true;
    }
    return false;
}

struct cfg_object *cfg_timeline_written(const struct cfg_timeline *t, uint64_t revision, enum cfg_kind from)
{
    const struct cfg_object_id first = cfg_object_id_of(from, "", NULL);
    for (size_t i = place_of(t, &first, 0); i < t->n; i++)
        if (t->items[i].object->mod_revision == revision)
            return t->items[i].object;
    return NULL;
}

struct cfg_object *cfg_timeline_first(const struct cfg_timeline *t, const struct cfg_object_id *id, int64_t since_us)
{
    for (size_t i = place_of(t, id, 0); i < t->n && cfg_object_id_eq(&t->items[i].object->id, id); i++)
        if (t->items[i].time_us >= since_us)
            return t->items[i].object;
    return NULL;
}

enum cfg_timeline_was cfg_timeline_before(struct cfg_object **out, const struct cfg_timeline *t,
                                          const struct cfg_object_id *id, struct cfg_object *head, int64_t since_us)
{
    const struct cfg_object *first = cfg_timeline_first(t, id, since_us);
    struct cfg_object *before = first ? cfg_timeline_find(t, id, first->version - 1) : head;
    if (before)
        *out = before;
    return before ? CFG_WAS_THERE : first == NULL || first->version < 2 ? CFG_WAS_NOT : CFG_WAS_GONE;
}

/* --- the walk --- */

struct space { /* a namespace's place among others, as it is now */
    char ns[CFG_LIMIT_NAME + 1];
    bool exists;
    cJSON *extends; /* owned; NULL: none */
};
struct cfg_timeline_walk {
    struct cfg_object_id id; /* of the deployment */
    cfg_timeline_start_fn start;
    void *arg;
    bool begun;                       /* the deployment's record has been looked for */
    struct cfg_deployment deployment; /* name "": there is none */
    struct space *spaces;
    size_t n_spaces, cap_spaces;
    size_t order[CFG_LIMIT_LAYERS + 1]; /* the closure, lowest first: places in spaces */
    size_t n_order;
    bool stale; /* the closure must be walked again */
};

const char *cfg_timeline_why_name(enum cfg_timeline_why why)
{
    static const char *const names[] = {"",       "deployment", "namespace", "base",
                                        "schema", "flags",      "rollout",   "experiment"};
    return names[why];
}

struct cfg_timeline_walk *cfg_timeline_walk_new(const char *deployment, cfg_timeline_start_fn start, void *arg)
{
    struct cfg_timeline_walk *w = calloc(1, sizeof *w);
    if (w) {
        w->id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, deployment, NULL);
        w->start = start;
        w->arg = arg;
        w->stale = true;
    }
    return w;
}

void cfg_timeline_walk_free(struct cfg_timeline_walk *w)
{
    if (w == NULL)
        return;
    if (w->deployment.name[0])
        cfg_deployment_finish(&w->deployment);
    for (size_t i = 0; i < w->n_spaces; i++)
        cJSON_Delete(w->spaces[i].extends);
    free(w->spaces);
    free(w);
}

static void set_deployment(struct cfg_timeline_walk *w, const struct cfg_object *o)
{
    if (w->deployment.name[0])
        cfg_deployment_finish(&w->deployment);
    w->deployment = (struct cfg_deployment){0};
    w->begun = w->stale = true;
    if (o == NULL || o->deleted || cfg_deployment_read(&w->deployment, o, NULL) != 0)
        w->deployment = (struct cfg_deployment){0}; /* a record that is none of ours says nothing */
}

static struct space *find_space(const struct cfg_timeline_walk *w, const char *ns)
{
    for (size_t i = 0; i < w->n_spaces; i++)
        if (strcmp(w->spaces[i].ns, ns) == 0)
            return &w->spaces[i];
    return NULL;
}

/* NULL without memory: the walk then knows less than it could. */
static struct space *add_space(struct cfg_timeline_walk *w, const char *ns)
{
    if (w->n_spaces == w->cap_spaces) {
        size_t cap = w->cap_spaces ? w->cap_spaces * 2 : 16;
        struct space *spaces = realloc(w->spaces, cap * sizeof *spaces);
        if (spaces == NULL)
            return NULL;
        w->spaces = spaces;
        w->cap_spaces = cap;
    }
    struct space *s = &w->spaces[w->n_spaces++];
    *s = (struct space){.exists = false};
    (void)snprintf(s->ns, sizeof s->ns, "%s", ns);
    return s;
}

static void set_space(struct space *s, const struct cfg_object *o)
{
    cJSON *tree = o && !o->deleted ? cfg_object_tree(o) : NULL;
    cJSON_Delete(s->extends);
    s->extends = cJSON_DetachItemFromObjectCaseSensitive(tree, "extends");
    s->exists = o && !o->deleted;
    cJSON_Delete(tree);
}

static struct space *space_of(struct cfg_timeline_walk *w, const char *ns)
{
    struct space *s = find_space(w, ns);
    if (s)
        return s;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    const struct cfg_object *o = w->start(w->arg, &id);
    s = add_space(w, ns);
    if (s)
        set_space(s, o);
    return s;
}

static bool in_order(const struct cfg_timeline_walk *w, const char *ns)
{
    for (size_t i = 0; i < w->n_order; i++)
        if (strcmp(w->spaces[w->order[i]].ns, ns) == 0)
            return true;
    return false;
}

/* Bases before what extends them. A circle, which no write makes, ends at the depth's bound. */
static void descend(struct cfg_timeline_walk *w, const char *ns, unsigned depth)
{
    const cJSON *base;
    struct space *s = depth <= CFG_LIMIT_EXTENDS_DEPTH ? space_of(w, ns) : NULL;
    size_t at = s ? (size_t)(s - w->spaces) : 0;
    if (s == NULL || in_order(w, ns))
        return;
    cJSON_ArrayForEach(base, s->extends)
    {
        if (cJSON_IsString(base))
            descend(w, base->valuestring, depth + 1);
    }
    if (w->n_order <= CFG_LIMIT_LAYERS && !in_order(w, w->spaces[at].ns))
        w->order[w->n_order++] = at;
}

static void find_order(struct cfg_timeline_walk *w)
{
    if (!w->begun)
        set_deployment(w, w->start(w->arg, &w->id));
    if (!w->stale)
        return;
    w->stale = false;
    w->n_order = 0;
    if (w->deployment.name[0])
        descend(w, w->deployment.config, 0);
}

static bool holds(const struct cfg_timeline_walk *w, const char *ns)
{
    for (size_t i = 0; i < w->deployment.n_arms; i++)
        if (cfg_release_version(&w->deployment.arms[i].release, ns) > 0)
            return true;
    return false;
}

/* An experiment's name may have been used for another deployment: each version says for which. */
static bool is_compared(const struct cfg_timeline_walk *w, const struct cfg_object *o)
{
    cJSON *tree = cfg_object_tree(o);
    bool ours = strcmp(cfg_json_get_str(tree, "deployment", ""), w->id.ns) == 0;
    cJSON_Delete(tree);
    return ours;
}

static enum cfg_timeline_why concerns(struct cfg_timeline_walk *w, const struct cfg_object *o)
{
    const struct cfg_object_id *id = &o->id;
    if (id->kind == CFG_KIND_ROLLOUT)
        return strcmp(id->ns, w->id.ns) == 0 ? CFG_WHY_ROLLOUT : CFG_WHY_NONE;
    if (id->kind == CFG_KIND_EXPERIMENT)
        return is_compared(w, o) ? CFG_WHY_EXPERIMENT : CFG_WHY_NONE;
    find_order(w);
    if (w->deployment.name[0] == '\0')
        return CFG_WHY_NONE;
    bool part = in_order(w, id->ns) || holds(w, id->ns);
    if (id->kind == CFG_KIND_CONFIG && part)
        return strcmp(id->ns, w->deployment.config) == 0 ? CFG_WHY_NAMESPACE : CFG_WHY_BASE;
    if (id->kind == CFG_KIND_SCHEMA && part)
        return CFG_WHY_SCHEMA;
    return cfg_kind_is_of_flags(id->kind) && cfg_deployment_sees_flags(&w->deployment, id->ns) ? CFG_WHY_FLAGS
                                                                                               : CFG_WHY_NONE;
}

enum cfg_timeline_why cfg_timeline_walk_next(struct cfg_timeline_walk *w, const struct cfg_object *o)
{
    find_order(w);
    if (cfg_object_id_eq(&o->id, &w->id)) {
        set_deployment(w, o);
        return CFG_WHY_DEPLOYMENT;
    }
    enum cfg_timeline_why before = concerns(w, o);
    if (o->id.kind != CFG_KIND_CONFIG)
        return before;
    struct space *s = find_space(w, o->id.ns);
    s = s ? s : add_space(w, o->id.ns);
    if (s)
        set_space(s, o);
    w->stale = true;
    return before != CFG_WHY_NONE ? before : concerns(w, o);
}

cJSON *cfg_timeline_walk_state(struct cfg_timeline_walk *w)
{
    find_order(w);
    const struct cfg_deployment *d = &w->deployment;
    const struct cfg_arm *arm = d->name[0] ? cfg_deployment_arm(d, "base") : NULL;
    cJSON *out = arm ? cJSON_CreateObject() : NULL;
    cJSON *flags = cJSON_AddArrayToObject(out, "flags"), *spaces = cJSON_AddArrayToObject(out, "spaces");
    bool ok = flags && spaces && cJSON_AddStringToObject(out, "config", d->config) &&
              cJSON_AddStringToObject(out, "track", d->hold ? "hold" : "head") &&
              cJSON_AddBoolToObject(out, "locked", arm->locked[0] != '\0');
    for (size_t i = 0; ok && i < d->n_flags; i++)
        ok = cJSON_AddItemToArray(flags, cJSON_CreateString(d->flags[i]));
    for (size_t i = 0; ok && i < w->n_order; i++) {
        const struct space *s = &w->spaces[w->order[i]];
        if (s->exists)
            ok = cJSON_AddItemToArray(spaces, cJSON_CreateString(s->ns));
    }
    if (ok)
        ok = cfg_json_set(out, "held", arm->release.n > 0 ? cfg_release_json(&arm->release) : cJSON_CreateNull()) == 0;
    if (ok)
        return out;
    cJSON_Delete(out);
    return NULL;
}

/* --- what a version changed --- */

/* A namespace's parameters stand at the top, where their paths begin; what it extends is named as no parameter is. */
static cJSON *content_of(const struct cfg_object *o)
{
    cJSON *body = o && !o->deleted ? cfg_object_body(o) : cJSON_CreateObject();
    if (body == NULL || o == NULL || o->id.kind != CFG_KIND_CONFIG || o->deleted) {
        cJSON_DeleteItemFromObjectCaseSensitive(body, "pin_digest");
        return body;
    }
    cJSON *document = cJSON_DetachItemFromObjectCaseSensitive(body, "document");
    cJSON *extends = cJSON_DetachItemFromObjectCaseSensitive(body, "extends");
    cJSON_Delete(body);
    if (cJSON_GetArraySize(extends) == 0 || document == NULL) {
        cJSON_Delete(extends);
        return document;
    }
    if (cfg_json_set(document, "(extends)", extends) == 0)
        return document;
    cJSON_Delete(document);
    return NULL;
}

static void drop_long(cJSON *change, const char *member)
{
    struct cfg_buf text;
    cfg_buf_init(&text, VALUE_MAX);
    cfg_json_print(&text, cfg_json_get(change, member));
    if (cfg_buf_status(&text) != 0)
        cJSON_DeleteItemFromObjectCaseSensitive(change, member);
    cfg_buf_finish(&text);
}

cJSON *cfg_timeline_changes(unsigned *more, const struct cfg_object *before, const struct cfg_object *after,
                            unsigned most)
{
    cJSON *a = content_of(before), *b = content_of(after);
    cJSON *changes = a && b ? cfg_patch_describe(a, b) : NULL, *change;
    cJSON_Delete(a);
    cJSON_Delete(b);
    unsigned n = (unsigned)cJSON_GetArraySize(changes);
    *more = n > most ? n - most : 0;
    while (n > most)
        cJSON_DeleteItemFromArray(changes, (int)--n);
    cJSON_ArrayForEach(change, changes)
    {
        drop_long(change, "from");
        drop_long(change, "to");
    }
    return changes;
}
