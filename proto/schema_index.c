/* Nodes, resources and anchors of documents, and the references between them. */
#include "proto/schema_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200 };

/* Where a schema was found. */
struct place {
    struct schema_node *up;
    struct schema_resource *resource;
    const char *keyword, *key;
    long index;
    unsigned depth;
};

static int walk(struct schema_compiler *c, struct schema_node **out, const cJSON *json, const struct place *at);

static void enqueue(struct schema_compiler *c, struct schema_node *n)
{
    if (n->queued)
        return;
    n->queued = true;
    n->next_todo = c->todo;
    c->todo = n;
}

/* --- resources and anchors --- */

static struct schema_resource *make_resource(struct schema_compiler *c, const char *uri, const cJSON *root,
                                             const struct schema_resource *around)
{
    struct schema_resource *r = cfg_schema_take(c, sizeof *r);
    if (r == NULL)
        return NULL;
    if (around) {
        *r = *around;
        r->dynamics = NULL;
    }
    r->uri = uri;
    r->root = root;
    return r;
}

static int register_resource(struct schema_compiler *c, const struct schema_node *n, const char *uri,
                             struct schema_resource *r)
{
    const struct schema_resource *other = cfg_schema_map_get(&c->resources, uri, true);
    if (other && other != r && !c->o->lenient)
        return cfg_schema_fail(c, n, "$id", CFG_E_VALUE, "two schemas have the URI %.200s", uri[0] ? uri : "\"\"");
    if (other)
        return 0;
    return cfg_schema_map_set(&c->resources, uri, true, r) ? cfg_schema_nomem(c) : 0;
}

/* A schema with $id begins a resource; the root of a document is one in any case. */
static int enter_id(struct schema_compiler *c, struct schema_node *n)
{
    const cJSON *id = cfg_json_get(n->json, "$id");
    if (id == NULL)
        return 0;
    if (!cJSON_IsString(id))
        return cfg_schema_fail(c, n, "$id", CFG_E_VALUE, "$id must be a string");
    char *uri = cfg_schema_uri_resolve(c, n->resource->uri, id->valuestring);
    if (uri == NULL)
        return cfg_schema_nomem(c);
    char *hash = strchr(uri, '#');
    if (hash && hash[1] != '\0')
        return cfg_schema_fail(c, n, "$id", CFG_E_VALUE, "$id must have no fragment; name a place with $anchor");
    if (hash)
        *hash = '\0';
    if (n->resource->root == n->json) {
        n->resource->uri = uri;
    } else {
        n->resource = make_resource(c, uri, n->json, n->resource);
        if (n->resource == NULL)
            return cfg_schema_nomem(c);
    }
    return register_resource(c, n, uri, n->resource);
}

static bool is_anchor(const char *s)
{
    bool good = isalpha((unsigned char)s[0]) || s[0] == '_';
    for (; good && *s; s++)
        good = isalnum((unsigned char)*s) || strchr("-._", *s) != NULL;
    return good;
}

/* "URI#name" in the arena. */
static char *anchor_key(struct schema_compiler *c, const char *uri, const char *name)
{
    size_t room = strlen(uri) + strlen(name) + 2;
    char *key = cfg_schema_take(c, room);
    if (key)
        (void)snprintf(key, room, "%s#%s", uri, name);
    return key;
}

static int enter_anchor(struct schema_compiler *c, struct schema_node *n, const char *keyword)
{
    const cJSON *anchor = cfg_json_get(n->json, keyword);
    if (anchor == NULL)
        return 0;
    if (!cJSON_IsString(anchor) || !is_anchor(anchor->valuestring))
        return cfg_schema_fail(c, n, keyword, CFG_E_VALUE,
                               "%s must be a name: a letter or _, then letters, digits, - . _", keyword);
    char *key = anchor_key(c, n->resource->uri, anchor->valuestring);
    if (key == NULL)
        return cfg_schema_nomem(c);
    const struct schema_node *other = cfg_schema_map_get(&c->anchors, key, true);
    if (other && other != n && !c->o->lenient)
        return cfg_schema_fail(c, n, keyword, CFG_E_VALUE, "there are two anchors %.100s", anchor->valuestring);
    if (cfg_schema_map_set(&c->anchors, key, true, n))
        return cfg_schema_nomem(c);
    if (keyword[1] == 'a')
        return 0;
    struct schema_dynamic *dynamic = cfg_schema_take(c, sizeof *dynamic);
    if (dynamic == NULL)
        return cfg_schema_nomem(c);
    *dynamic = (struct schema_dynamic){anchor->valuestring, n, n->resource->dynamics};
    n->resource->dynamics = dynamic;
    enqueue(c, n); /* any $dynamicRef may end here */
    return 0;
}

/* --- the walk --- */

static int walk_keyword(struct schema_compiler *c, struct schema_node *n, const cJSON *member, enum schema_shape shape,
                        unsigned depth)
{
    struct schema_node *ignored;
    struct place at = {n, n->resource, member->string, NULL, -1, depth + 1};
    if (shape == SCHEMA_SHAPE_ONE)
        return walk(c, &ignored, member, &at);
    if (shape == SCHEMA_SHAPE_LIST ? !cJSON_IsArray(member) : !cJSON_IsObject(member))
        return 0; /* its compiler says so */
    long index = 0;
    for (const cJSON *m = member->child; m; m = m->next) {
        at.key = shape == SCHEMA_SHAPE_LIST ? NULL : m->string;
        at.index = shape == SCHEMA_SHAPE_LIST ? index++ : -1;
        if (shape == SCHEMA_SHAPE_MIXED && cJSON_IsArray(m))
            continue;
        int code = walk(c, &ignored, m, &at);
        if (code)
            return code;
    }
    return 0;
}

static int walk_object(struct schema_compiler *c, struct schema_node *n, const struct place *at)
{
    int code = enter_id(c, n);
    if (code == 0 && n->json == n->resource->root)
        code = cfg_schema_vocabulary(c, n->resource, n);
    if (code == 0)
        code = enter_anchor(c, n, "$anchor");
    if (code == 0)
        code = enter_anchor(c, n, "$dynamicAnchor");
    for (const cJSON *m = n->json->child; code == 0 && m; m = m->next) {
        const struct schema_rule *rule = cfg_schema_rule(m->string, NULL);
        if (rule && rule->shape != SCHEMA_SHAPE_NONE)
            code = walk_keyword(c, n, m, rule->shape, at->depth);
    }
    return code;
}

static int walk(struct schema_compiler *c, struct schema_node **out, const cJSON *json, const struct place *at)
{
    struct schema_node *n = cfg_schema_take(c, sizeof *n);
    if (n == NULL)
        return cfg_schema_nomem(c);
    *n = (struct schema_node){.json = json,
                              .resource = at->resource,
                              .constant = cJSON_IsObject(json) ? -1 : cJSON_IsTrue(json) != 0,
                              .up = at->up,
                              .keyword = at->keyword,
                              .key = at->key,
                              .index = at->index};
    *(c->newest ? &c->newest->next : &c->all) = n;
    c->newest = n;
    if (at->depth > MAX_DEPTH)
        return cfg_schema_fail(c, n, NULL, CFG_E_LIMIT, "the schema is nested deeper than %d", MAX_DEPTH);
    if (!cJSON_IsObject(json) && !cJSON_IsBool(json)) {
        cfg_schema_fail(c, n, NULL, CFG_E_VALUE, "a schema is an object, true or false, not a value of type %s",
                        cfg_json_type(json));
        if (at->keyword && strcmp(at->keyword, "items") == 0 && cJSON_IsArray(json))
            cfg_error_set_hint(c->err, "a list of schemas by position is prefixItems");
        return CFG_E_VALUE;
    }
    if (cfg_schema_map_set(&c->nodes, json, false, n))
        return cfg_schema_nomem(c);
    if (!at->resource->foreign)
        enqueue(c, n);
    *out = n;
    return n->constant >= 0 ? 0 : walk_object(c, n, at);
}

int cfg_schema_index(struct schema_compiler *c, struct schema_node **out, const cJSON *json, const char *uri,
                     bool foreign)
{
    struct schema_resource *r = make_resource(c, uri, json, NULL);
    if (r == NULL)
        return cfg_schema_nomem(c);
    r->foreign = foreign;
    struct place at = {NULL, r, NULL, NULL, -1, 0};
    int code = cfg_schema_map_set(&c->resources, uri, true, r) ? cfg_schema_nomem(c) : 0;
    return code ? code : walk(c, out, json, &at);
}

const struct schema_node *cfg_schema_below(struct schema_compiler *c, const cJSON *json)
{
    struct schema_node *n = cfg_schema_map_get(&c->nodes, json, false);
    if (n)
        enqueue(c, n);
    return n;
}

/* --- references --- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void percent_decode(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0 && (hex(s[1]) | hex(s[2])) != 0) {
            *to++ = (char)(hex(s[1]) * 16 + hex(s[2]));
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* One token of a JSON pointer, decoded in place. False when ~ stands alone. */
static bool pointer_decode(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s == '~') {
            s++;
            if (*s != '0' && *s != '1')
                return false;
            *to++ = *s == '0' ? '~' : '/';
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
    return true;
}

static const cJSON *step_into(const cJSON *v, const char *token)
{
    if (cJSON_IsObject(v))
        return cfg_json_get(v, token);
    size_t n = strlen(token);
    if (!cJSON_IsArray(v) || n == 0 || n > 9 || strspn(token, "0123456789") != n || (n > 1 && token[0] == '0'))
        return NULL;
    return cJSON_GetArrayItem(v, (int)strtol(token, NULL, 10));
}

/* Follows a pointer (it is taken apart) from a resource's root; nodes on the way tell whose base URI holds. */
static int follow_pointer(struct schema_compiler *c, struct schema_node **out, struct schema_node *n, char *pointer)
{
    const cJSON *v = n->json;
    const char *last = "";
    while (v && *pointer == '/') {
        char *token = pointer + 1, *end = token + strcspn(token, "/");
        char more = *end;
        *end = '\0';
        if (!pointer_decode(token))
            return CFG_E_VALUE;
        v = step_into(v, token);
        last = token;
        struct schema_node *known = v ? cfg_schema_map_get(&c->nodes, v, false) : NULL;
        n = known ? known : n;
        /* Decoding shortened the token, not what follows it. */
        *end = more;
        pointer = end;
    }
    if (v == NULL)
        return CFG_E_VALUE;
    if (n->json != v) { /* a schema where no keyword of ours puts one */
        struct place at = {n, n->resource, "", NULL, -1, 0};
        at.key = cfg_arena_dup(&c->s->arena, cfg_slice_str(last));
        return walk(c, out, v, &at);
    }
    *out = n;
    return 0;
}

static int find_resource(struct schema_compiler *c, struct schema_resource **out, const char *uri)
{
    *out = cfg_schema_map_get(&c->resources, uri, true);
    if (*out)
        return 0;
    bool owned = false;
    const cJSON *document = cfg_schema_document(c, uri, &owned);
    if (document == NULL)
        return CFG_E_VALUE;
    struct schema_node *root;
    if (!owned) {
        struct schema_tree *tree = cfg_schema_take(c, sizeof *tree);
        if (tree == NULL || (tree->json = cJSON_Duplicate(document, true)) == NULL)
            return cfg_schema_nomem(c);
        tree->next = c->s->trees;
        c->s->trees = tree;
        document = tree->json;
    }
    char *name = cfg_arena_dup(&c->s->arena, cfg_slice_str(uri));
    int code = name ? cfg_schema_index(c, &root, document, name, true) : cfg_schema_nomem(c);
    if (code == 0)
        *out = cfg_schema_map_get(&c->resources, uri, true);
    return code;
}

static int leads_nowhere(struct schema_compiler *c, const struct schema_node *n, const char *keyword, const char *ref)
{
    cfg_schema_fail(c, n, keyword, CFG_E_VALUE, "%s \"%.120s\" leads nowhere", keyword, ref);
    if (strchr(ref, '#') == NULL || ref[0] != '#')
        cfg_error_set_hint(c->err,
                           "references are resolved within the schema ($defs, $id, $anchor); nothing is fetched");
    return CFG_E_VALUE;
}

int cfg_schema_resolve(struct schema_compiler *c, const struct schema_node **out, const char **anchor,
                       const struct schema_node *n, const char *keyword, const char *ref)
{
    char *uri = cfg_schema_uri_resolve(c, n->resource->uri, ref);
    if (uri == NULL)
        return cfg_schema_nomem(c);
    char *fragment = strchr(uri, '#');
    if (fragment)
        *fragment++ = '\0';
    struct schema_resource *r = NULL;
    int code = find_resource(c, &r, uri);
    if (code == CFG_E_VALUE && (c->err == NULL || c->err->code == 0))
        return leads_nowhere(c, n, keyword, ref);
    if (code)
        return code;
    struct schema_node *target = cfg_schema_map_get(&c->nodes, r->root, false);
    if (fragment)
        percent_decode(fragment);
    if (fragment && fragment[0] == '/') {
        if (follow_pointer(c, &target, target, fragment))
            return c->err && c->err->code ? c->err->code : leads_nowhere(c, n, keyword, ref);
    } else if (fragment && fragment[0]) {
        char *key = anchor_key(c, r->uri, fragment);
        target = key ? cfg_schema_map_get(&c->anchors, key, true) : NULL;
        if (target == NULL)
            return leads_nowhere(c, n, keyword, ref);
        *anchor = NULL;
        for (const struct schema_dynamic *d = r->dynamics; d; d = d->next)
            if (d->node == target && strcmp(d->name, fragment) == 0)
                *anchor = d->name;
    }
    enqueue(c, target);
    *out = target;
    return 0;
}
