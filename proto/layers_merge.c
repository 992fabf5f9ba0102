/* OmegaConf's merge rules: a document into the tree of those below it. */
#include "proto/layers_internal.h"

#include <string.h>

static int merge_object(struct cfg_layers *l, struct node *into, const cJSON *src, size_t layer, struct cfg_error *err);

bool layers_is_missing(const cJSON *v)
{
    return cJSON_IsString(v) && strcmp(v->valuestring, "???") == 0;
}

static bool is_container(const cJSON *v)
{
    return cJSON_IsObject(v) || cJSON_IsArray(v);
}

/* The layer that made v a container: its own, or for an object of several the lowest. */
static int refuse_kinds(const struct cfg_layers *l, const struct node *v, size_t layer, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    node_path(&path, v);
    const char *was = v->kind == NODE_OBJECT ? "an object" : "a list";
    const char *is = v->kind == NODE_OBJECT ? "a list" : "an object";
    cfg_fail(err, CFG_E_VALUE, "%.160s is %s in %.60s and %s in %.60s: they cannot be merged",
             path.len ? path.data : "the document", was, l->layers[v->layer].name, is, l->layers[layer].name);
    cfg_error_set_path(err, "%s", path.len ? path.data : "");
    cfg_error_set_hint(err, "give the key another name, or change it in one of the two");
    cfg_buf_finish(&path);
    return CFG_E_VALUE;
}

static int replace(struct cfg_layers *l, struct node *v, const cJSON *src, size_t layer, struct cfg_error *err)
{
    struct node *made = node_from_json(l, src, layer, false);
    if (made == NULL || !node_replace(l, v, made))
        return layers_no_memory(l, err);
    return 0;
}

/* An interpolation that leads to an object or a list becomes a copy of it before anything is merged over it, unless it
 * is replaced anyway. */
static int expand(struct cfg_layers *l, struct node *v, struct cfg_error *err)
{
    struct node *target = NULL;
    struct cfg_error ignored = CFG_ERROR_INIT;
    l->generation++; /* what was resolved before this layer may be void */
    int code = layers_deref(l, &target, v, &ignored);
    l->kept = l->located = false;
    if (code == CFG_E_NOMEM || code == CFG_E_LIMIT) {
        if (err)
            *err = ignored;
        return code;
    }
    if (code || !node_is_container(target) || target->plain)
        return 0;
    struct node *copy = node_copy(l, target, false);
    if (copy == NULL || !node_replace(l, v, copy))
        return layers_no_memory(l, err);
    return 0;
}

static int merge_child(struct cfg_layers *l, struct node *v, const cJSON *src, size_t layer, struct cfg_error *err)
{
    if (v->inter && (is_container(src) || layers_is_missing(src))) {
        int code = expand(l, v, err);
        if (code)
            return code;
    }
    if (layers_is_missing(src))
        return 0;
    if (!node_is_container(v) || !is_container(src))
        return replace(l, v, src, layer, err);
    if ((v->kind == NODE_OBJECT) != (cJSON_IsObject(src) != 0))
        return refuse_kinds(l, v, layer, err);
    return v->kind == NODE_OBJECT ? merge_object(l, v, src, layer, err) : replace(l, v, src, layer, err);
}

static int merge_object(struct cfg_layers *l, struct node *into, const cJSON *src, size_t layer, struct cfg_error *err)
{
    for (const cJSON *c = src->child; c; c = c->next) {
        struct node *v = node_member(into, cfg_slice_str(c->string));
        if (v) {
            int code = merge_child(l, v, c, layer, err);
            if (code)
                return code;
            continue;
        }
        v = node_from_json(l, c, layer, false);
        if (v == NULL || !node_add(l, into, v, c->string))
            return layers_no_memory(l, err);
    }
    return 0;
}

int layers_merge_one(struct cfg_layers *l, size_t layer, struct cfg_error *err)
{
    return merge_child(l, l->root, l->layers[layer].document, layer, err);
}

int layers_merge_all(struct cfg_layers *l, struct cfg_error *err)
{
    l->root = node_from_json(l, l->layers[0].document, 0, false);
    if (l->root == NULL)
        return layers_no_memory(l, err);
    for (size_t i = 1; i < l->n; i++) {
        int code = layers_merge_one(l, i, err);
        if (code)
            return code;
    }
    if (!node_is_container(l->root))
        return cfg_fail(err, CFG_E_VALUE, "every layer is \"???\": there is nothing to merge");
    l->generation++;
    return 0;
}
