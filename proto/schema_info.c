/* What a schema says of a parameter: all schemas that speak of a path, found by walking it from the root. */
#include "proto/schema_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SET = 256 };

/* The schemas that speak of one place, in the order of their discovery. */
struct set {
    const struct schema_node *nodes[MAX_SET];
    size_t n;
    bool named; /* some schema describes the place by name */
};

static void add(struct set *s, const struct schema_node *n);

static void add_list(struct set *s, struct schema_nodes nodes)
{
    for (size_t i = 0; i < nodes.n; i++)
        add(s, nodes.list[i]);
}

/* Schemas that a keyword applies to the same place, whether or not they hold there. */
static void add_in_place(struct set *s, const struct schema_keyword *k)
{
    if (strcmp(k->name, "$ref") == 0) {
        add(s, k->u.node);
    } else if (strcmp(k->name, "$dynamicRef") == 0) {
        add(s, k->u.dynamic.node);
    } else if (strcmp(k->name, "allOf") == 0 || strcmp(k->name, "anyOf") == 0 || strcmp(k->name, "oneOf") == 0) {
        add_list(s, k->u.nodes);
    } else if (strcmp(k->name, "if") == 0) {
        add(s, k->u.branch.then);
        add(s, k->u.branch.otherwise);
    }
}

static void add(struct set *s, const struct schema_node *n)
{
    if (n == NULL || n->constant >= 0 || s->n == MAX_SET)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (s->nodes[i] == n)
            return;
    s->nodes[s->n++] = n;
    for (size_t i = 0; i < n->n_keywords; i++)
        add_in_place(s, &n->keywords[i]);
    for (size_t i = 0; n->members && i < n->members->n_names; i++)
        add(s, n->members->names[i].dependent);
}

static void add_named(struct set *s, const struct schema_node *n)
{
    s->named = true;
    add(s, n);
}

static void step_key(struct set *to, const struct schema_node *n, const char *key, struct schema_run *r)
{
    const struct schema_members *m = n->members;
    bool described = false;
    for (size_t i = 0; m && i < m->n_names; i++)
        if (m->names[i].node && strcmp(m->names[i].key, key) == 0) {
            add_named(to, m->names[i].node);
            described = true;
        }
    for (size_t i = 0; m && i < m->pattern_nodes.n; i++)
        if (cfg_schema_pattern_matches(r, m->patterns[i], key)) {
            add(to, m->pattern_nodes.list[i]);
            described = true;
        }
    if (m && !described)
        add(to, m->additional);
    for (size_t i = 0; i < n->n_keywords; i++)
        if (strcmp(n->keywords[i].name, "unevaluatedProperties") == 0)
            add(to, n->keywords[i].u.node);
}

static void step_index(struct set *to, const struct schema_node *n, size_t index)
{
    for (size_t i = 0; i < n->n_keywords; i++) {
        const struct schema_keyword *k = &n->keywords[i];
        if (strcmp(k->name, "prefixItems") == 0 && index < k->u.nodes.n)
            add_named(to, k->u.nodes.list[index]);
        else if (strcmp(k->name, "items") == 0 && index >= k->u.items.from)
            add_named(to, k->u.items.node);
        else if (strcmp(k->name, "unevaluatedItems") == 0)
            add(to, k->u.node);
    }
}

/* --- paths --- */

struct segment {
    char *key; /* NULL: an index. Owned. */
    size_t index;
};

/* ["key"], for keys that a dotted path cannot hold. */
static int read_quoted(struct segment *out, const char **p)
{
    const char *end = *p + 2;
    while (*end && *end != '"')
        end += end[0] == '\\' && end[1] ? 2 : 1;
    if (end[0] != '"' || end[1] != ']')
        return CFG_E_ADDRESS;
    cJSON *text = NULL;
    int code = cfg_json_parse(&text, (struct cfg_slice){*p + 1, (size_t)(end - *p)}, 0, NULL);
    if (code)
        return CFG_E_ADDRESS;
    out->key = cfg_slice_dup(cfg_slice_str(text->valuestring));
    cJSON_Delete(text);
    *p = end + 2;
    return out->key ? 0 : CFG_E_NOMEM;
}

/* The next segment of a path; *p moves behind it. */
static int read_segment(struct segment *out, const char **p, bool first)
{
    *out = (struct segment){NULL, 0};
    if (**p == '[' && (*p)[1] == '"')
        return read_quoted(out, p);
    if (**p == '[') {
        size_t n = strspn(*p + 1, "0123456789");
        if (n == 0 || n > 9 || (*p)[n + 1] != ']')
            return CFG_E_ADDRESS;
        out->index = (size_t)strtoul(*p + 1, NULL, 10);
        *p += n + 2;
        return 0;
    }
    if (!first && *(*p)++ != '.')
        return CFG_E_ADDRESS;
    size_t n = strcspn(*p, ".[");
    if (n == 0)
        return CFG_E_ADDRESS;
    out->key = cfg_slice_dup((struct cfg_slice){*p, n});
    *p += n;
    return out->key ? 0 : CFG_E_NOMEM;
}

/* --- what they say --- */

static enum cfg_apply strictest(const struct set *s)
{
    enum cfg_apply a = CFG_APPLY_NONE;
    for (size_t i = 0; i < s->n; i++)
        a = s->nodes[i]->apply > a ? s->nodes[i]->apply : a;
    return a;
}

/* What holds for everything below as well. */
static void inherit(struct cfg_schema_info *out, const struct set *s)
{
    enum cfg_apply a = strictest(s);
    if (a != CFG_APPLY_NONE)
        out->apply = a;
    for (size_t i = 0; i < s->n; i++)
        out->secret = out->secret || s->nodes[i]->secret;
}

static void describe(struct cfg_schema_info *out, const struct set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct schema_node *n = s->nodes[i];
        const char *title = cfg_json_get_str(n->json, "title", NULL), *type = cfg_json_get_str(n->json, "type", NULL);
        const char *description = cfg_json_get_str(n->json, "description", NULL);
        const cJSON *fallback = cfg_json_get(n->json, "default");
        out->unit = out->unit ? out->unit : n->unit;
        out->capacity = out->capacity ? out->capacity : n->capacity;
        out->title = out->title ? out->title : title;
        out->description = out->description ? out->description : description;
        out->fallback = out->fallback ? out->fallback : fallback;
        out->type = out->type ? out->type : type;
    }
}

bool cfg_schema_info(struct cfg_schema_info *out, const struct cfg_schema *s, const char *path)
{
    struct set sets[2], *now = &sets[0], *next = &sets[1];
    struct schema_run r = {.s = s, .steps = s->max_steps, .quiet = true};
    struct cfg_schema_info info = {.declared = true};
    bool first = true;
    int code = 0;
    now->n = 0;
    add(now, s->root);
    inherit(&info, now);
    while (*path) {
        struct segment segment = {NULL, 0};
        code = read_segment(&segment, &path, first);
        if (code)
            break;
        next->n = 0;
        next->named = false;
        for (size_t i = 0; i < now->n && segment.key; i++)
            step_key(next, now->nodes[i], segment.key, &r);
        for (size_t i = 0; i < now->n && segment.key == NULL; i++)
            step_index(next, now->nodes[i], segment.index);
        free(segment.key);
        struct set *swap = now;
        now = next;
        next = swap;
        info.declared = info.declared && now->named;
        inherit(&info, now);
        first = false;
    }
    cfg_schema_pattern_done(&r);
    if (code || r.failed) {
        memset(out, 0, sizeof *out);
        return false;
    }
    describe(&info, now);
    *out = info;
    return true;
}
