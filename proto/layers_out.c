/* Nodes into JSON, resolved or as they stand. */
#include "proto/json_number.h"
#include "proto/layers_internal.h"
#include "proto/limits.h"

#include <math.h>
#include <string.h>

struct out {
    struct cfg_layers *l;
    bool resolve;
    bool any_number; /* NaN and infinities too: arguments of a resolver, which no document holds */
    struct cfg_error *err;
};

static int put(struct out *o, cJSON **made, struct node *v, unsigned depth, bool inside);

static int no_memory(const struct out *o)
{
    return cfg_fail(o->err, CFG_E_NOMEM, "out of memory");
}

static char *path_of(const struct node *v)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    cfg_buf_puts(&path, "");
    node_path(&path, v);
    return cfg_buf_steal(&path);
}

/* --- values that fail --- */

static int add_failure(struct out *o, const struct node *v)
{
    char *path = path_of(v);
    cJSON *failure = cJSON_CreateObject();
    const struct cfg_error *err = o->err;
    bool ok = failure && cJSON_AddStringToObject(failure, "path", path ? path : "") &&
              cJSON_AddStringToObject(failure, "layer", o->l->layers[v->layer].name) &&
              cJSON_AddStringToObject(failure, "code", cfg_code_name(err->code)) &&
              cJSON_AddStringToObject(failure, "message", err->text) &&
              (!err->hint[0] || cJSON_AddStringToObject(failure, "hint", err->hint)) &&
              cJSON_AddItemToArray(o->l->options.failures, failure);
    cfg_buf_finish(&(struct cfg_buf){.data = path});
    if (!ok)
        cJSON_Delete(failure);
    return ok ? 0 : no_memory(o);
}

static int add_kept(struct out *o, const struct node *v)
{
    char *path = path_of(v);
    cJSON *item = path ? cJSON_CreateString(path) : NULL;
    cfg_buf_finish(&(struct cfg_buf){.data = path});
    if (o->l->kept_paths == NULL)
        o->l->kept_paths = cJSON_CreateArray();
    if (item && o->l->kept_paths && cJSON_AddItemToArray(o->l->kept_paths, item))
        return 0;
    cJSON_Delete(item);
    return no_memory(o);
}

/* An interpolation at its own place that has no value now: its text, with a note why. */
static int put_text_instead(struct out *o, cJSON **made, const struct node *v, int code)
{
    if (o->l->kept)
        code = add_kept(o, v);
    else if (o->l->options.failures && code != CFG_E_NOMEM && code != CFG_E_LIMIT)
        code = add_failure(o, v);
    o->l->kept = o->l->located = false;
    if (code)
        return code;
    *made = cJSON_CreateString(v->text);
    return *made ? 0 : no_memory(o);
}

/* --- containers --- */

static int put_children(struct out *o, cJSON *container, struct node *v, unsigned depth, bool inside)
{
    for (struct node *c = v->child; c; c = c->next) {
        cJSON *item = NULL;
        int code = put(o, &item, c, depth + 1, inside);
        if (code)
            return code;
        bool added = v->kind == NODE_OBJECT ? cJSON_AddItemToObject(container, c->key, item)
                                            : cJSON_AddItemToArray(container, item);
        if (!added) {
            cJSON_Delete(item);
            return no_memory(o);
        }
    }
    return 0;
}

static int refuse_cycle(struct out *o, const struct node *v)
{
    char *path = path_of(v);
    cfg_fail(o->err, CFG_E_VALUE, "interpolation cycle: '%.160s' (%.60s) contains itself", path && path[0] ? path : "",
             o->l->layers[v->layer].name);
    cfg_error_set_path(o->err, "%s", path ? path : "");
    cfg_buf_finish(&(struct cfg_buf){.data = path});
    o->l->located = true;
    return CFG_E_VALUE;
}

static int put_container(struct out *o, cJSON **made, struct node *v, unsigned depth, bool inside)
{
    if (depth > CFG_LIMIT_DEPTH)
        return cfg_fail(o->err, CFG_E_LIMIT, "the resolved document is nested more than %d levels deep",
                        CFG_LIMIT_DEPTH);
    if (v->src) {
        *made = cJSON_Duplicate(v->src, true);
        if (*made == NULL)
            return no_memory(o);
        cfg_json_forget_key(*made);
        return 0;
    }
    if (v->state == STATE_BUSY)
        return refuse_cycle(o, v);
    cJSON *container = v->kind == NODE_OBJECT ? cJSON_CreateObject() : cJSON_CreateArray();
    if (container == NULL)
        return no_memory(o);
    v->state = STATE_BUSY;
    int code = put_children(o, container, v, depth, inside);
    v->state = STATE_NEW;
    if (code)
        cJSON_Delete(container);
    else
        *made = container;
    return code;
}

/* --- values --- */

static int put_scalar(struct out *o, cJSON **made, const struct node *v)
{
    if (v->kind == NODE_NUMBER && !o->any_number && !isfinite(v->number))
        return cfg_fail(o->err, CFG_E_VALUE, "%s has no place in a document", isnan(v->number) ? "nan" : "infinity");
    if (v->kind == NODE_NUMBER && !o->any_number && !v->is_float && fabs(v->number) > CFG_JSON_MAX_INTEGER)
        return cfg_fail(o->err, CFG_E_VALUE, "a whole number is beyond ±(2^53−1)");
    switch ((enum node_kind)v->kind) {
    case NODE_NULL:
        *made = cJSON_CreateNull();
        break;
    case NODE_BOOL:
        *made = cJSON_CreateBool(v->boolean);
        break;
    case NODE_NUMBER:
        *made = cJSON_CreateNumber(v->number);
        break;
    default:
        *made = cJSON_CreateString(v->text);
    }
    return *made ? 0 : no_memory(o);
}

static int put_inter(struct out *o, cJSON **made, struct node *v, unsigned depth, bool inside)
{
    struct node *target = NULL;
    int code = layers_deref(o->l, &target, v, o->err);
    if (code == 0 && node_is_container(target))
        code = put_container(o, made, target, depth, true);
    else if (code == 0)
        code = put_scalar(o, made, target);
    if (code == 0 || inside)
        return code;
    if (code == CFG_E_UNKNOWN_KEY) /* of the document: nobody asked for that key but it */
        code = o->err ? (o->err->code = CFG_E_VALUE) : CFG_E_VALUE;
    if (!o->l->kept && !o->l->located && code != CFG_E_NOMEM) {
        char *path = path_of(v);
        (void)cfg_error_wrap(o->err, "%.200s (%.60s)", path ? path : "", o->l->layers[v->layer].name);
        cfg_error_set_path(o->err, "%s", path ? path : "");
        cfg_buf_finish(&(struct cfg_buf){.data = path});
    }
    return put_text_instead(o, made, v, code);
}

static int put(struct out *o, cJSON **made, struct node *v, unsigned depth, bool inside)
{
    int code = o->resolve ? layers_spend(o->l, v->kind == NODE_STRING ? strlen(v->text) : 0, o->err) : 0;
    if (code)
        return code;
    if (v->inter && o->resolve)
        return put_inter(o, made, v, depth, inside);
    return node_is_container(v) ? put_container(o, made, v, depth, inside) : put_scalar(o, made, v);
}

int layers_to_json(cJSON **out, struct cfg_layers *l, struct node *v, bool resolve, struct cfg_error *err)
{
    struct cfg_error own = CFG_ERROR_INIT;
    struct out o = {.l = l, .resolve = resolve, .any_number = v != l->root, .err = err ? err : &own};
    cJSON *made = NULL;
    int code = put(&o, &made, v, 0, v != l->root);
    if (code == 0)
        *out = made;
    return code;
}

int layers_place_to_json(cJSON **out, struct cfg_layers *l, struct node *v, unsigned depth, struct cfg_error *err)
{
    struct cfg_error own = CFG_ERROR_INIT;
    struct out o = {.l = l, .resolve = true, .err = err ? err : &own};
    return put(&o, out, v, depth, false);
}
