/* The resolvers oc.* and eval, and the way to those of the caller. */
#include "proto/expr.h"
#include "proto/layers_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*resolver_fn)(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err);

static int need_text(const struct call *call, size_t i, struct cfg_error *err)
{
    static const char *const kinds[] = {"null", "a boolean", "a number", "a string", "a list", "an object"};
    if (call->args[i]->kind == NODE_STRING)
        return 0;
    return cfg_fail(err, CFG_E_VALUE, "%s needs a string and was given %s", call->name, kinds[call->args[i]->kind]);
}

static int give_null(struct cfg_layers *l, struct node **out, struct cfg_error *err)
{
    *out = node_new(l, NODE_NULL);
    return *out ? 0 : layers_no_memory(l, err);
}

/* --- oc.select, oc.decode, oc.create, oc.deprecated --- */

static int oc_select(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    struct node *found = NULL;
    int code = need_text(call, 0, err);
    if (code == 0)
        code = layers_select(l, &found, call->parent, call->args[0]->text, SELECT_LENIENT, err);
    if (code)
        return code;
    if (found && !node_is_missing(found)) {
        *out = found;
        return 0;
    }
    if (call->n < 2)
        return give_null(l, out, err);
    *out = call->args[1];
    return 0;
}

static int oc_decode(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    if (call->args[0]->kind == NODE_NULL)
        return give_null(l, out, err);
    int code = need_text(call, 0, err);
    return code ? code : layers_eval_text(l, out, call->parent, cfg_slice_str(call->args[0]->text), true, err);
}

static int oc_create(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    if (call->args[0]->kind == NODE_NULL)
        return give_null(l, out, err);
    if (!node_is_container(call->args[0])) {
        cfg_fail(err, CFG_E_VALUE, "oc.create takes an object or a list");
        cfg_error_set_hint(err, "oc.decode reads a text");
        return CFG_E_VALUE;
    }
    struct node *made = node_copy(l, call->args[0], true);
    if (made == NULL)
        return layers_no_memory(l, err);
    made->parent = call->parent;
    made->key = "oc.create";
    *out = made;
    return 0;
}

static int oc_deprecated(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    int code = need_text(call, 0, err);
    if (code == 0 && call->n > 1)
        code = need_text(call, 1, err);
    return code ? code : layers_select(l, out, call->parent, call->args[0]->text, 0, err);
}

/* --- oc.dict.keys, oc.dict.values --- */

/* A member as `${key.member}`, in a list that lies one level deeper than the caller. */
static struct node *reference_to(struct cfg_layers *l, const char *key, const char *member)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_printf(&text, "${%s%s.%s}", key[0] == '.' ? "." : "", key, member);
    struct node *v = cfg_buf_status(&text) ? NULL : node_string(l, cfg_buf_slice(&text));
    cfg_buf_finish(&text);
    if (v) {
        v->plain = false;
        v->inter = true;
    }
    return v;
}

/* A list with an item for each member of the object that the key leads to. */
static int list_members(struct cfg_layers *l, struct node **out, const struct call *call, bool keys,
                        struct cfg_error *err)
{
    struct node *object = NULL, *list = NULL;
    int code = need_text(call, 0, err);
    if (code == 0)
        code = layers_select(l, &object, call->parent, call->args[0]->text, SELECT_NEEDS_VALUE, err);
    if (code == 0 && (object->kind != NODE_OBJECT || object->plain))
        code = cfg_fail(err, CFG_E_VALUE, "%s: '%.120s' is no object", call->name, call->args[0]->text);
    if (code == 0 && (list = node_new(l, NODE_ARRAY)) == NULL)
        code = layers_no_memory(l, err);
    for (struct node *c = code == 0 ? object->child : NULL; c && code == 0; c = c->next) {
        struct node *item = keys ? node_string(l, cfg_slice_str(c->key)) : reference_to(l, call->args[0]->text, c->key);
        code = layers_spend(l, 0, err);
        if (code == 0 && (item == NULL || !node_add(l, list, item, NULL)))
            code = layers_no_memory(l, err);
    }
    if (code)
        return code;
    list->parent = call->parent;
    *out = list;
    return 0;
}

static int oc_dict_keys(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    return list_members(l, out, call, true, err);
}

static int oc_dict_values(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    return list_members(l, out, call, false, err);
}

/* --- oc.env --- */

static int env_default(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    if (call->n < 2) {
        cfg_fail(err, CFG_E_UNKNOWN_KEY, "the environment variable %.120s is not set", call->args[0]->text);
        cfg_error_set_hint(err, "${oc.env:%.100s,default} has a value where it is not", call->args[0]->text);
        return CFG_E_UNKNOWN_KEY;
    }
    if (call->args[1]->kind == NODE_NULL)
        return give_null(l, out, err);
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    node_str(&text, call->args[1], l);
    *out = cfg_buf_status(&text) ? NULL : node_string(l, cfg_buf_slice(&text));
    cfg_buf_finish(&text);
    return *out ? 0 : layers_no_memory(l, err);
}

static int oc_env(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    int code = need_text(call, 0, err);
    if (code)
        return code;
    if (l->options.env_mode == CFG_LAYERS_ENV_KEEP) {
        l->kept = true;
        return cfg_fail(err, CFG_E_UNSUPPORTED, "the value depends on the environment");
    }
    if (l->options.env_mode == CFG_LAYERS_ENV_REFUSE || l->options.env == NULL) {
        cfg_fail(err, CFG_E_UNSUPPORTED, "${oc.env:%.80s} is not read here: the environment belongs to the reader",
                 call->args[0]->text);
        cfg_error_set_hint(err, "it may stand in keys of the classes restart and pinned only");
        return CFG_E_UNSUPPORTED;
    }
    const char *value = l->options.env(l->options.arg, call->args[0]->text);
    if (value == NULL)
        return env_default(l, out, call, err);
    *out = node_string(l, cfg_slice_str(value));
    return *out ? 0 : layers_no_memory(l, err);
}

/* --- eval --- */

struct scope {
    struct cfg_layers *l;
    struct node *parent;
};

static int to_value(struct cfg_expr_value *out, struct cfg_layers *l, struct node *v, struct cfg_arena *arena,
                    struct cfg_error *err);

static int to_list(struct cfg_expr_value *out, struct cfg_layers *l, struct node *v, struct cfg_arena *arena,
                   struct cfg_error *err)
{
    if (!node_unfold(l, v))
        return layers_no_memory(l, err);
    struct cfg_expr_value *items = cfg_arena_alloc(arena, (v->n + 1) * sizeof *items);
    if (items == NULL)
        return cfg_arena_status(arena, "the expression", err);
    for (size_t i = 0; i < v->n; i++) {
        struct node *item = NULL;
        int code = layers_deref(l, &item, v->slots[i], err);
        if (code == 0)
            code = to_value(&items[i], l, item, arena, err);
        if (code)
            return code;
    }
    *out = (struct cfg_expr_value){.type = CFG_EXPR_LIST, .list = {items, v->n}};
    return 0;
}

static int to_value(struct cfg_expr_value *out, struct cfg_layers *l, struct node *v, struct cfg_arena *arena,
                    struct cfg_error *err)
{
    switch ((enum node_kind)v->kind) {
    case NODE_NULL:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NULL};
        return 0;
    case NODE_BOOL:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_BOOL, .boolean = v->boolean};
        return 0;
    case NODE_NUMBER:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = v->is_float, .number = v->number};
        return 0;
    case NODE_STRING:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = cfg_slice_str(v->text)};
        return 0;
    case NODE_ARRAY: {
        int code = layers_spend(l, v->n, err);
        return code ? code : to_list(out, l, v, arena, err);
    }
    default:
        return cfg_fail(err, CFG_E_VALUE, "an object is no value of an expression");
    }
}

static int lookup(struct cfg_expr_value *out, void *arg, struct cfg_slice path, struct cfg_arena *arena,
                  struct cfg_error *err)
{
    const struct scope *scope = arg;
    struct node *v = NULL;
    const char *key = cfg_arena_dup(arena, path);
    if (key == NULL)
        return cfg_arena_status(arena, "the expression", err);
    int code = layers_select(scope->l, &v, scope->parent, key, SELECT_NEEDS_VALUE, err);
    return code ? code : to_value(out, scope->l, v, arena, err);
}

static int interpolate(struct cfg_expr_value *out, void *arg, struct cfg_slice text, struct cfg_arena *arena,
                       struct cfg_error *err)
{
    const struct scope *scope = arg;
    struct node *v = NULL;
    int code = layers_eval_text(scope->l, &v, scope->parent, text, false, err);
    return code ? code : to_value(out, scope->l, v, arena, err);
}

/* The value as a node that borrows nothing from the expression. */
static struct node *from_value(struct cfg_layers *l, const struct cfg_expr_value *value)
{
    static const enum node_kind kinds[] = {NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_ARRAY};
    if (value->type == CFG_EXPR_STRING)
        return node_string(l, value->text);
    struct node *v = node_new(l, kinds[value->type]);
    if (v == NULL)
        return NULL;
    v->plain = true;
    if (value->type == CFG_EXPR_BOOL)
        v->boolean = value->boolean;
    if (value->type == CFG_EXPR_NUMBER) {
        v->number = value->number;
        v->is_float = value->is_float;
    }
    for (size_t i = 0; value->type == CFG_EXPR_LIST && i < value->list.n; i++) {
        struct node *item = from_value(l, &value->list.items[i]);
        if (item == NULL || !node_add(l, v, item, NULL))
            return NULL;
    }
    return v;
}

int layers_eval_expr(struct cfg_layers *l, struct node **out, struct node *parent, struct cfg_slice text,
                     struct cfg_error *err)
{
    struct cfg_expr *e = NULL;
    struct scope scope = {l, parent};
    struct cfg_expr_names names = {lookup, interpolate, &scope};
    struct cfg_expr_value value;
    struct cfg_arena arena;
    cfg_arena_init(&arena, l->options.max_bytes);
    int code = cfg_expr_compile(&e, text, err);
    if (code == 0)
        code = cfg_expr_eval(&value, e, &names, &arena, err);
    if (code == 0 && (*out = from_value(l, &value)) == NULL)
        code = layers_no_memory(l, err);
    cfg_arena_finish(&arena);
    cfg_expr_free(e);
    if (code && !l->located && code != CFG_E_NOMEM)
        (void)cfg_error_wrap(err, "eval"); /* the code is known already */
    return code;
}

/* --- the caller's --- */

/* Copies what a node borrows from a JSON value that is about to go. */
static bool own(struct cfg_layers *l, struct node *v)
{
    if (v->kind == NODE_ARRAY && !node_unfold(l, v))
        return false;
    if (v->kind == NODE_STRING && (v->text = cfg_arena_dup(&l->arena, cfg_slice_str(v->text))) == NULL)
        return false;
    for (struct node *c = v->child; c; c = c->next) {
        if (c->key && (c->key = cfg_arena_dup(&l->arena, cfg_slice_str(c->key))) == NULL)
            return false;
        if (!own(l, c))
            return false;
    }
    return true;
}

static int call_custom(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    cJSON *args = cJSON_CreateArray(), *result = NULL;
    int code = args ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    for (size_t i = 0; code == 0 && i < call->n; i++) {
        cJSON *arg = NULL;
        code = layers_to_json(&arg, l, call->args[i], true, err);
        if (code == 0)
            (void)cJSON_AddItemToArray(args, arg); /* fails on NULL arguments only */
    }
    if (code == 0)
        code = l->options.resolver(&result, l->options.arg, call->name, args, err);
    if (code == 0) {
        *out = node_from_json(l, result, 0, true);
        code = *out && own(l, *out) ? 0 : layers_no_memory(l, err);
    }
    cJSON_Delete(args);
    cJSON_Delete(result);
    return code;
}

int layers_call(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err)
{
    static const struct {
        const char *name;
        size_t min, max;
        resolver_fn fn;
    } known[] = {
        {"oc.select", 1, 2, oc_select},
        {"oc.decode", 1, 1, oc_decode},
        {"oc.create", 1, 1, oc_create},
        {"oc.deprecated", 1, 2, oc_deprecated},
        {"oc.dict.keys", 1, 1, oc_dict_keys},
        {"oc.dict.values", 1, 1, oc_dict_values},
        {"oc.env", 1, 2, oc_env},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(call->name, known[i].name) != 0)
            continue;
        if (call->n < known[i].min || call->n > known[i].max)
            return cfg_fail(err, CFG_E_VALUE, "%s takes %s", call->name,
                            known[i].max == 1 ? "one argument" : "one or two arguments");
        return known[i].fn(l, out, call, err);
    }
    int code = l->options.resolver ? call_custom(l, out, call, err) : CFG_E_UNKNOWN_KEY;
    if (code != CFG_E_UNKNOWN_KEY)
        return code;
    cfg_fail(err, CFG_E_UNSUPPORTED, "there is no resolver '%.80s'", call->name);
    cfg_error_set_hint(
        err, "known are oc.select, oc.decode, oc.create, oc.deprecated, oc.dict.keys, oc.dict.values, oc.env and eval");
    return CFG_E_UNSUPPORTED;
}
