/* The public functions: merging, resolving, and why a value is what it is. */
#include "proto/layers.h"
#include "proto/layers_internal.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copy_layers(struct cfg_layers *l, const struct cfg_layer *layers, size_t n, struct cfg_error *err)
{
    l->layers = cfg_arena_alloc(&l->arena, (n + LAYERS_MAX_PUSHED) * sizeof *layers);
    if (l->layers == NULL)
        return layers_no_memory(l, err);
    for (size_t i = 0; i < n; i++) {
        const cJSON *document = layers[i].document;
        bool container = cJSON_IsObject(document) || cJSON_IsArray(document);
        l->layers[i] = layers[i];
        if (!container && !(n > 1 && layers_is_missing(document)))
            return cfg_fail(err, CFG_E_VALUE, "%.80s is neither an object nor a list", layers[i].name);
    }
    l->n = n;
    return 0;
}

int cfg_layers_merge(struct cfg_layers **out, const struct cfg_layer *layers, size_t n,
                     const struct cfg_layers_options *options, struct cfg_error *err)
{
    if (n == 0)
        return cfg_fail(err, CFG_E_INVALID, "there is nothing to merge");
    struct cfg_layers *l = calloc(1, sizeof *l);
    if (l == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    cfg_arena_init(&l->arena, LAYERS_MAX_ARENA);
    if (options)
        l->options = *options;
    if (l->options.max_bytes == 0)
        l->options.max_bytes = LAYERS_MAX_BYTES;
    int code = copy_layers(l, layers, n, err);
    if (code == 0)
        code = layers_merge_all(l, err);
    if (code) {
        cfg_layers_free(l);
        return code;
    }
    *out = l;
    return 0;
}

void cfg_layers_free(struct cfg_layers *l)
{
    if (l == NULL)
        return;
    cfg_arena_finish(&l->arena);
    cJSON_Delete(l->kept_paths);
    free(l);
}

void layers_begin(struct cfg_layers *l)
{
    l->steps = l->spent = l->chain = 0;
    l->kept = l->located = false;
    l->stack = NULL;
}

int cfg_layers_document(cJSON **out, struct cfg_layers *l, struct cfg_error *err)
{
    layers_begin(l);
    return layers_to_json(out, l, l->root, false, err);
}

int cfg_layers_resolve(cJSON **out, struct cfg_layers *l, struct cfg_error *err)
{
    layers_begin(l);
    cJSON_Delete(l->kept_paths);
    l->kept_paths = NULL;
    return layers_to_json(out, l, l->root, true, err);
}

int cfg_layers_get(cJSON **out, struct cfg_layers *l, const char *path, struct cfg_error *err)
{
    struct node *v = NULL;
    layers_begin(l);
    int code = layers_select(l, &v, l->root, path, 0, err);
    return code ? code : layers_to_json(out, l, v, true, err);
}

int cfg_layers_evaluate(cJSON **out, struct cfg_layers *l, const char *text, bool element, struct cfg_error *err)
{
    struct node *v = NULL;
    layers_begin(l);
    int code = layers_eval_text(l, &v, l->root, cfg_slice_str(text), element, err);
    return code ? code : layers_to_json(out, l, v, true, err);
}

/* --- walks --- */

struct walk {
    struct cfg_layers *l;
    struct cfg_buf path;
    cfg_layers_leaf_fn fn;
    void *arg;
    bool lists; /* look into lists too */
};

/* 1 when fn wants no more. */
static int walk(struct walk *w, const struct node *v)
{
    bool opened = v->kind == NODE_OBJECT || (w->lists && v->kind == NODE_ARRAY);
    if (!opened || v->child == NULL) {
        w->path.len = 0;
        node_path(&w->path, v);
        if (cfg_buf_status(&w->path))
            return cfg_buf_status(&w->path);
        return w->fn(w->path.len ? w->path.data : "", v->layer, w->arg) ? 0 : 1;
    }
    int code = 0;
    for (const struct node *c = v->child; c && code == 0; c = c->next)
        code = walk(w, c);
    return code;
}

int cfg_layers_each_leaf(struct cfg_layers *l, cfg_layers_leaf_fn fn, void *arg, struct cfg_error *err)
{
    struct walk w = {.l = l, .fn = fn, .arg = arg};
    cfg_buf_init(&w.path, 1 << 16);
    int code = walk(&w, l->root);
    cfg_buf_finish(&w.path);
    return code < 0 ? cfg_fail(err, code, "out of memory") : 0;
}

static int add_missing(cJSON *paths, const struct node *v)
{
    if (node_is_missing(v)) {
        struct cfg_buf path;
        cfg_buf_init(&path, 1 << 16);
        node_path(&path, v);
        cJSON *item = cfg_buf_status(&path) ? NULL : cJSON_CreateString(path.len ? path.data : "");
        cfg_buf_finish(&path);
        return item && cJSON_AddItemToArray(paths, item) ? 0 : CFG_E_NOMEM;
    }
    int code = 0;
    for (const struct node *c = v->child; c && code == 0; c = c->next)
        code = add_missing(paths, c);
    return code;
}

int cfg_layers_missing(cJSON *paths, struct cfg_layers *l, struct cfg_error *err)
{
    int code = add_missing(paths, l->root);
    return code ? cfg_fail(err, code, "out of memory") : 0;
}

int cfg_layers_kept(cJSON *paths, struct cfg_layers *l, struct cfg_error *err)
{
    for (const cJSON *p = l->kept_paths ? l->kept_paths->child : NULL; p; p = p->next) {
        cJSON *copy = cJSON_CreateString(p->valuestring);
        if (copy == NULL || !cJSON_AddItemToArray(paths, copy))
            return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return 0;
}

/* --- explaining --- */

/* The node at a path, without resolving anything on the way. */
static struct node *find(struct cfg_layers *l, const char *path)
{
    struct node *v = l->root;
    for (const char *p = path; *p && v;) {
        size_t n = *p == '[' ? strcspn(p, "]") : strcspn(p, ".[");
        if (*p == '[')
            v = v->kind == NODE_ARRAY ? node_item(l, v, strtoul(p + 1, NULL, 10)) : NULL;
        else
            v = v->kind == NODE_OBJECT ? node_member(v, (struct cfg_slice){p, n}) : NULL;
        p += n + (p[n] == ']');
        p += *p == '.';
    }
    return v;
}

static bool add_layer_value(cJSON *set, const struct cfg_layer *layer, size_t index, const char *path)
{
    const cJSON *v = cfg_path_get(layer->document, path);
    if (v == NULL)
        return true;
    cJSON *entry = cJSON_CreateObject(), *value = cJSON_Duplicate(v, true);
    if (value)
        cfg_json_forget_key(value);
    if (entry && cJSON_AddNumberToObject(entry, "layer", (double)index) &&
        cJSON_AddStringToObject(entry, "name", layer->name) && value && cJSON_AddItemToObject(entry, "value", value))
        return cJSON_AddItemToArray(set, entry);
    if (entry == NULL || cfg_json_get(entry, "value") == NULL)
        cJSON_Delete(value);
    cJSON_Delete(entry);
    return false;
}

/* Consumes the item, also on failure. */
static bool add_item(cJSON *object, const char *key, cJSON *item)
{
    bool added = cJSON_AddItemToObject(object, key, item);
    if (!added)
        cJSON_Delete(item);
    return added;
}

/* The value at its place, resolved, or why there is none. */
static int add_resolved(struct cfg_layers *l, cJSON *answer, struct node *v)
{
    struct cfg_error why = CFG_ERROR_INIT;
    cJSON *resolved = NULL;
    layers_begin(l);
    int code = layers_to_json(&resolved, l, v, true, &why);
    if (code == CFG_E_NOMEM)
        return code;
    if (code == 0)
        return add_item(answer, "resolved", resolved) ? 0 : CFG_E_NOMEM;
    return cJSON_AddStringToObject(answer, "error", why.text) ? 0 : CFG_E_NOMEM;
}

static bool holds_inter(const struct node *v)
{
    for (const struct node *c = v->child; c; c = c->next)
        if (holds_inter(c))
            return true;
    return v->inter;
}

int cfg_layers_explain(cJSON **out, struct cfg_layers *l, const char *path, struct cfg_error *err)
{
    struct node *v = find(l, path);
    if (v == NULL) { /* the same walk, for its error */
        struct node *none = NULL;
        layers_begin(l);
        int code = layers_select(l, &none, l->root, path, 0, err);
        return code ? code : cfg_fail(err, CFG_E_UNKNOWN_KEY, "no layer sets %.200s", path);
    }
    cJSON *answer = cJSON_CreateObject(), *value = NULL;
    layers_begin(l);
    int code = layers_to_json(&value, l, v, false, err);
    bool together = v->kind == NODE_OBJECT && v->child;
    bool ok = code == 0 && answer && cJSON_AddStringToObject(answer, "path", path) &&
              cJSON_AddNumberToObject(answer, "layer", together ? -1 : (double)v->layer);
    if (ok)
        ok = add_item(answer, "value", value);
    else
        cJSON_Delete(value);
    cJSON *set = ok ? cJSON_AddArrayToObject(answer, "set") : NULL;
    for (size_t i = 0; set && i < l->n; i++)
        if (!add_layer_value(set, &l->layers[i], i, path))
            set = NULL;
    if (set && (!holds_inter(v) || add_resolved(l, answer, v) == 0)) {
        *out = answer;
        return 0;
    }
    cJSON_Delete(answer);
    return code ? code : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- texts alone --- */

bool cfg_is_interpolation(const char *text)
{
    return text_holds_inter(text);
}

int cfg_interpolation_check(const char *text, bool element, struct cfg_error *err)
{
    struct cfg_arena arena;
    struct inter *inter = NULL;
    cfg_arena_init(&arena, LAYERS_MAX_BYTES);
    int code = inter_parse(&inter, &arena, cfg_slice_str(text), element, err);
    cfg_arena_finish(&arena);
    return code;
}
