/* Mappings: keys that must be text, each once, and `<<`. */
#include "proto/yaml_read.h"

#include <stdlib.h>
#include <string.h>

/* A member on its way into the mapping. Own members have rank 0, those of the n-th merged mapping rank n. */
struct member {
    cJSON *node; /* owned; carries its key */
    size_t order;
    unsigned rank;
    yaml_mark_t at;
};
struct members {
    struct member *list;
    size_t n, cap;
    unsigned rank; /* of the last merged mapping */
};

static int no_memory(struct cfg_yaml_loader *l)
{
    return cfg_fail(l->err, CFG_E_NOMEM, "out of memory");
}

/* Consumes node. */
static int add(struct cfg_yaml_loader *l, struct members *m, cJSON *node, unsigned rank, const yaml_mark_t *at)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 8;
        struct member *list = reallocarray(m->list, cap, sizeof *list);
        if (list == NULL) {
            cJSON_Delete(node);
            return no_memory(l);
        }
        m->list = list;
        m->cap = cap;
    }
    m->list[m->n] = (struct member){.node = node, .order = m->n, .rank = rank, .at = *at};
    m->n++;
    return 0;
}

/* --- keys --- */

static int refuse_key(struct cfg_yaml_loader *l, const yaml_event_t *event, const struct cfg_yaml_reading *r,
                      struct cfg_slice text)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 256);
    cfg_yaml_reading_put(&b, r, text);
    (void)cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark, "this key is not text"); /* its code is returned below */
    cfg_error_set_hint(l->err, "'%.60s' reads as %.60s: quote the key", text.ptr, b.data ? b.data : "?");
    cfg_buf_finish(&b);
    return CFG_E_JSON;
}

/* May the spelling stand for the value? `1` and `true` may, `no`, `014` and `~` may not. */
static bool is_own_spelling(const struct cfg_yaml_reading *r, struct cfg_slice text)
{
    if (r->kind == CFG_YAML_TEXT || r->kind == CFG_YAML_DATE || r->kind == CFG_YAML_NULL)
        return r->kind != CFG_YAML_NULL;
    struct cfg_buf b;
    cfg_buf_init(&b, 256);
    cfg_yaml_reading_put(&b, r, text);
    bool same = cfg_buf_status(&b) == 0 && cfg_slice_eq(cfg_buf_slice(&b), text);
    cfg_buf_finish(&b);
    return same;
}

/* Is this key `<<`? Otherwise *key is the tree's text of it, in a string node, returned-owned. */
static int load_key(struct cfg_yaml_loader *l, const yaml_event_t *event, cJSON **key, bool *merge)
{
    *merge = false;
    if (event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT)
        return cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark, "a key must be text, not a list or a mapping");
    if (event->type == YAML_ALIAS_EVENT) {
        int rc = cfg_yaml_load_node(l, key, event, 1);
        if (rc == 0 && !cJSON_IsString(*key)) {
            cJSON_Delete(*key);
            rc = cfg_yaml_fail_at(l, CFG_E_JSON, &event->start_mark,
                                  "this alias stands for no text: it cannot be a key");
        }
        return rc;
    }
    const struct cfg_slice text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    bool plain = cfg_yaml_tag(event->data.scalar.tag) == NULL && event->data.scalar.plain_implicit;
    struct cfg_yaml_reading r = {.kind = CFG_YAML_TEXT};
    if (plain && cfg_yaml_scalar_read(&r, (enum cfg_yaml_reader)l->dialect, text) != 0)
        return no_memory(l);
    if (r.kind == CFG_YAML_MERGE) {
        *merge = true;
        return cfg_yaml_note_span(l, event);
    }
    if (!is_own_spelling(&r, text))
        return refuse_key(l, event, &r, text);
    cJSON *node = NULL;
    int rc = cfg_yaml_load_node(l, &node, event, 1);
    if (rc != 0)
        return rc;
    if (cJSON_IsString(node)) {
        *key = node;
        return 0;
    }
    char *copy = cfg_slice_dup(text); /* has no U+0000: it is spelled like a number or a word */
    *key = copy ? cJSON_CreateString(copy) : NULL;
    free(copy);
    rc = cfg_yaml_bury(l, node);
    if (rc == 0 && *key == NULL)
        rc = no_memory(l);
    if (rc != 0)
        cJSON_Delete(*key);
    return rc;
}

/* --- merges --- */

/* Copies the members of one mapping: the mapping itself may have an anchor, and is asked for again. */
static int merge_one(struct cfg_yaml_loader *l, struct members *m, const cJSON *from, const yaml_mark_t *at)
{
    int rc = 0;
    if (!cJSON_IsObject(from))
        return cfg_yaml_fail_at(l, CFG_E_JSON, at, "<< takes a mapping or a list of mappings");
    m->rank++;
    const cJSON *child;
    cJSON_ArrayForEach(child, from)
    {
        cJSON *copy = rc == 0 ? cJSON_Duplicate(child, true) : NULL;
        if (rc == 0)
            rc = copy ? add(l, m, copy, m->rank, at) : no_memory(l);
    }
    return rc;
}

static int merge(struct cfg_yaml_loader *l, struct members *m, cJSON *from, const yaml_mark_t *at)
{
    int rc = 0;
    if (!cJSON_IsArray(from)) {
        rc = merge_one(l, m, from, at);
    } else {
        cJSON *item;
        cJSON_ArrayForEach(item, from)
        {
            if (rc == 0)
                rc = merge_one(l, m, item, at);
        }
    }
    int buried = cfg_yaml_bury(l, from);
    return rc != 0 ? rc : buried;
}

/* --- the mapping --- */

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = strcmp(x->node->string, y->node->string);
    if (order == 0 && x->rank != y->rank)
        order = x->rank < y->rank ? -1 : 1;
    return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static int by_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int given_twice(struct cfg_yaml_loader *l, const struct member *first, const struct member *again)
{
    (void)cfg_yaml_fail_at(l, CFG_E_JSON, &again->at, "a key is given twice"); /* its code is returned below */
    cfg_error_set_hint(l->err, "'%.80s' is set on line %zu already", first->node->string, first->at.line + 1);
    return CFG_E_JSON;
}

/* Leaves one member of each key: the own one, else that of the mapping merged first. */
static int settle(struct cfg_yaml_loader *l, struct members *m)
{
    if (m->n < 2)
        return 0;
    qsort(m->list, m->n, sizeof *m->list, by_key);
    size_t kept = 0;
    int rc = 0;
    for (size_t i = 1; i < m->n; i++) {
        struct member *a = &m->list[kept], *b = &m->list[i];
        if (strcmp(a->node->string, b->node->string) != 0) {
            m->list[++kept] = *b;
            continue;
        }
        if (rc == 0 && b->rank == 0)
            rc = given_twice(l, a, b);
        int buried = cfg_yaml_bury(l, b->node);
        rc = rc != 0 ? rc : buried;
    }
    m->n = kept + 1;
    qsort(m->list, m->n, sizeof *m->list, by_order);
    return rc;
}

/* key: consumed. */
static int load_value(struct cfg_yaml_loader *l, struct members *m, cJSON *key, const yaml_mark_t *at, unsigned depth)
{
    yaml_event_t event;
    cJSON *value = NULL;
    size_t length = l->path.len;
    int rc = cfg_yaml_next(l, &event);
    if (rc == 0) {
        cfg_buf_printf(&l->path, length > 0 ? ".%s" : "%s", key ? key->valuestring : "<<");
        rc = cfg_buf_status(&l->path) == CFG_E_NOMEM ? no_memory(l) : cfg_yaml_load_node(l, &value, &event, depth + 1);
        yaml_event_delete(&event);
        cfg_yaml_shorten_path(l, length);
    }
    if (rc != 0) {
        cJSON_Delete(key);
        return rc;
    }
    if (key == NULL)
        return merge(l, m, value, at);
    value->string = strdup(key->valuestring);
    rc = cfg_yaml_bury(l, key); /* its anchor, if it has one, points to it */
    if (value->string == NULL || rc != 0) {
        cJSON_Delete(value);
        return rc != 0 ? rc : no_memory(l);
    }
    return add(l, m, value, 0, at);
}

static int load_all(struct cfg_yaml_loader *l, struct members *m, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        cJSON *key = NULL;
        bool merges = false;
        int rc = cfg_yaml_next(l, &event);
        if (rc != 0)
            return rc;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        yaml_mark_t at = event.start_mark;
        if (!end)
            rc = load_key(l, &event, &key, &merges);
        yaml_event_delete(&event);
        if (rc != 0 || end)
            return rc;
        rc = load_value(l, m, key, &at, depth);
        if (rc != 0)
            return rc;
    }
}

int cfg_yaml_load_members(struct cfg_yaml_loader *l, cJSON **out, unsigned depth)
{
    struct members m = {.list = NULL};
    cJSON *map = cJSON_CreateObject();
    int rc = map ? load_all(l, &m, depth) : no_memory(l);
    if (rc == 0)
        rc = settle(l, &m);
    for (size_t i = 0; i < m.n; i++) {
        if (rc == 0)
            (void)cJSON_AddItemToArray(map, m.list[i].node); /* keeps the key it carries; cannot fail */
        else
            cJSON_Delete(m.list[i].node);
    }
    free(m.list);
    if (rc != 0) {
        cJSON_Delete(map);
        return rc;
    }
    *out = map;
    return 0;
}
