/* Nodes: made from documents, found by key, copied, named by path. */
#include "proto/json_number.h"
#include "proto/layers_internal.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { INDEX_FROM = 9 }; /* members from which on an object has a hash table */

static uint32_t hash_of(struct cfg_slice key)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.ptr[i]) * 16777619u;
    return h;
}

bool text_holds_inter(const char *text)
{
    return strstr(text, "${") != NULL;
}

struct node *node_new(struct cfg_layers *l, enum node_kind kind)
{
    struct node *v = cfg_arena_alloc(&l->arena, sizeof *v);
    if (v) {
        v->kind = (uint8_t)kind;
        v->born = l->push;
    }
    return v;
}

int layers_no_memory(struct cfg_layers *l, struct cfg_error *err)
{
    int code = cfg_arena_status(&l->arena, "merging and resolving", err);
    return code ? code : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

bool node_is_container(const struct node *v)
{
    return v->kind == NODE_ARRAY || v->kind == NODE_OBJECT;
}

bool node_is_missing(const struct node *v)
{
    return v->kind == NODE_STRING && !v->plain && strcmp(v->text, "???") == 0;
}

/* --- objects --- */

static struct node **index_put(struct node *object, struct node *child)
{
    size_t at = child->hash & (object->cap - 1);
    while (object->slots[at])
        at = (at + 1) & (object->cap - 1);
    object->slots[at] = child;
    return &object->slots[at];
}

static bool index_grow(struct cfg_layers *l, struct node *object)
{
    size_t cap = object->cap ? object->cap * 2 : (size_t)INDEX_FROM * 4 - 4;
    while (cap & (cap - 1))
        cap &= cap - 1;
    struct node **slots = cfg_arena_alloc(&l->arena, cap * sizeof(struct node *));
    if (slots == NULL)
        return false;
    object->slots = slots;
    object->cap = cap;
    for (struct node *c = object->child; c; c = c->next)
        (void)index_put(object, c);
    return true;
}

struct node *node_member(const struct node *object, struct cfg_slice key)
{
    uint32_t hash = hash_of(key);
    if (object->slots == NULL) {
        for (struct node *c = object->child; c; c = c->next)
            if (c->hash == hash && cfg_slice_eq_str(key, c->key))
                return c;
        return NULL;
    }
    for (size_t at = hash & (object->cap - 1); object->slots[at]; at = (at + 1) & (object->cap - 1))
        if (object->slots[at]->hash == hash && cfg_slice_eq_str(key, object->slots[at]->key))
            return object->slots[at];
    return NULL;
}

bool node_add(struct cfg_layers *l, struct node *parent, struct node *child, const char *key)
{
    if (!layers_note(l, parent) || (parent->last && !layers_note(l, parent->last)))
        return false;
    child->parent = parent;
    child->key = key;
    child->index = (uint32_t)parent->n;
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->child = child;
    parent->last = child;
    parent->n++;
    if (parent->kind == NODE_ARRAY)
        return true;
    child->hash = hash_of(cfg_slice_str(key));
    if (parent->n < INDEX_FROM)
        return true;
    if (parent->cap < parent->n * 2)
        return index_grow(l, parent);
    return layers_note_slot(l, index_put(parent, child));
}

/* --- making --- */

/* Is there a text with an interpolation, or "???", somewhere in v? */
static bool is_inert(const cJSON *v)
{
    if (cJSON_IsString(v))
        return !text_holds_inter(v->valuestring) && strcmp(v->valuestring, "???") != 0;
    for (const cJSON *c = v->child; c; c = c->next)
        if (!is_inert(c))
            return false;
    return true;
}

static bool add_children(struct cfg_layers *l, struct node *v, const cJSON *src)
{
    for (const cJSON *c = src->child; c; c = c->next) {
        struct node *child = node_from_json(l, c, v->layer, v->plain);
        if (child == NULL || !node_add(l, v, child, c->string))
            return false;
    }
    return true;
}

struct node *node_from_json(struct cfg_layers *l, const cJSON *src, size_t layer, bool plain)
{
    static const enum node_kind kinds[] = {NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_ARRAY, NODE_OBJECT};
    int type = cJSON_IsObject(src)   ? 5
               : cJSON_IsArray(src)  ? 4
               : cJSON_IsString(src) ? 3
               : cJSON_IsNumber(src) ? 2
                                     : cJSON_IsBool(src);
    struct node *v = node_new(l, kinds[type]);
    if (v == NULL)
        return NULL;
    v->layer = layer;
    v->plain = plain;
    if (v->kind == NODE_BOOL) {
        v->boolean = cJSON_IsTrue(src);
    } else if (v->kind == NODE_NUMBER) {
        v->number = src->valuedouble;
        v->is_float = v->number != floor(v->number) || fabs(v->number) > CFG_JSON_MAX_INTEGER;
    } else if (v->kind == NODE_STRING) {
        v->text = src->valuestring;
        v->inter = !plain && text_holds_inter(v->text);
    } else if (v->kind == NODE_ARRAY && is_inert(src)) {
        v->src = src;
    } else if (v->kind != NODE_NULL && !add_children(l, v, src)) {
        return NULL;
    }
    return v;
}

bool node_unfold(struct cfg_layers *l, struct node *array)
{
    const cJSON *src = array->src;
    if ((src || (array->slots == NULL && array->n > 0)) && !layers_note(l, array))
        return false;
    if (src) {
        array->src = NULL;
        if (!add_children(l, array, src))
            return false;
    }
    if (array->slots || array->n == 0)
        return true;
    array->slots = cfg_arena_alloc(&l->arena, array->n * sizeof(struct node *));
    if (array->slots == NULL)
        return false;
    size_t i = 0;
    for (struct node *c = array->child; c; c = c->next)
        array->slots[i++] = c;
    return true;
}

struct node *node_item(struct cfg_layers *l, struct node *array, size_t i)
{
    return node_unfold(l, array) && i < array->n ? array->slots[i] : NULL;
}

struct node *node_copy(struct cfg_layers *l, const struct node *v, bool to_configuration)
{
    struct node *copy = node_new(l, v->kind);
    if (copy == NULL)
        return NULL;
    copy->src = v->src;
    copy->text = v->text;
    copy->number = v->number;
    copy->layer = v->layer;
    copy->is_float = v->is_float;
    copy->boolean = v->boolean;
    copy->plain = v->plain && !to_configuration;
    copy->inter = !copy->plain && v->kind == NODE_STRING && text_holds_inter(v->text);
    for (const struct node *c = v->child; c; c = c->next) {
        struct node *child = node_copy(l, c, to_configuration);
        if (child == NULL || !node_add(l, copy, child, c->key))
            return NULL;
    }
    return copy;
}

bool node_replace(struct cfg_layers *l, struct node *v, const struct node *from)
{
    if (!layers_note(l, v))
        return false;
    struct node old = *v;
    *v = *from;
    v->born = old.born;
    v->key = old.key;
    v->hash = old.hash;
    v->index = old.index;
    v->parent = old.parent;
    v->next = old.next;
    for (struct node *c = v->child; c; c = c->next)
        c->parent = v;
    return true;
}

/* --- names --- */

void node_path(struct cfg_buf *out, const struct node *v)
{
    if (v->parent == NULL)
        return;
    node_path(out, v->parent);
    if (v->parent->kind == NODE_ARRAY)
        cfg_buf_printf(out, "[%u]", (unsigned)v->index);
    else
        cfg_buf_printf(out, "%s%s", out->len > 0 ? "." : "", v->key ? v->key : "");
}

int layers_unknown(struct cfg_layers *l, const struct node *parent, struct cfg_slice key, const char *whole,
                   struct cfg_error *err)
{
    (void)l;
    cfg_fail(err, CFG_E_UNKNOWN_KEY, "the key '%.120s' does not exist", whole);
    enum { MOST = 512 };
    const char *keys[MOST];
    size_t n = 0;
    char name[CFG_LIMIT_PATH + 1];
    if (parent == NULL || parent->kind != NODE_OBJECT || key.len >= sizeof name)
        return CFG_E_UNKNOWN_KEY;
    (void)snprintf(name, sizeof name, "%.*s", (int)key.len, key.ptr);
    for (const struct node *c = parent->child; c && n < MOST; c = c->next)
        keys[n++] = c->key;
    const char *near = cfg_near_miss(name, keys, n);
    if (near == NULL)
        return CFG_E_UNKNOWN_KEY;
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    node_path(&path, parent);
    cfg_error_set_hint(err, "did you mean %.120s%s%.120s?", path.len ? path.data : "", path.len ? "." : "", near);
    cfg_buf_finish(&path);
    return CFG_E_UNKNOWN_KEY;
}
