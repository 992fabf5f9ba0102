/* A text with interpolations into a node: lazily, each once, with the chain of those under way kept for cycles. */
#include "proto/layers_internal.h"

#include <stdlib.h>
#include <string.h>

static int eval(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                struct cfg_error *err);

int layers_spend(struct cfg_layers *l, size_t bytes, struct cfg_error *err)
{
    l->steps++;
    l->spent += bytes + LAYERS_VALUE_COST;
    if (l->steps > LAYERS_MAX_STEPS)
        return cfg_fail(err, CFG_E_LIMIT, "resolving takes more than %d steps", LAYERS_MAX_STEPS);
    if (l->spent > l->options.max_bytes)
        return cfg_fail(err, CFG_E_LIMIT, "the resolved document is larger than %zu KiB", l->options.max_bytes / 1024);
    return 0;
}

struct node *node_string(struct cfg_layers *l, struct cfg_slice text)
{
    struct node *v = node_new(l, NODE_STRING);
    if (v == NULL)
        return NULL;
    v->plain = true;
    v->text = cfg_arena_dup(&l->arena, text);
    return v->text ? v : NULL;
}

/* --- selecting --- */

/* Python's int(): a sign, digits with single underscores. False when it is none. */
static bool as_index(long *out, struct cfg_slice s)
{
    long value = 0;
    size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
    bool negative = i && s.ptr[0] == '-';
    if (i >= s.len)
        return false;
    for (size_t first = i; i < s.len; i++) {
        if (s.ptr[i] == '_' && i > first && s.ptr[i - 1] != '_' && i + 1 < s.len)
            continue;
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (value < 100000000)
            value = value * 10 + (s.ptr[i] - '0');
    }
    *out = negative ? -value : value;
    return true;
}

/* The next part of a key: up to a dot or bracket, or what stands in brackets. */
static struct cfg_slice next_part(const char **key)
{
    const char *p = *key;
    struct cfg_slice part;
    if (*p == '[') {
        const char *close = strchr(p, ']');
        part = (struct cfg_slice){p + 1, close ? (size_t)(close - p) - 1 : strlen(p + 1)};
        p = close ? close + 1 : p + strlen(p);
    } else {
        part = (struct cfg_slice){p, strcspn(p, ".[")};
        p += part.len;
    }
    *key = *p == '.' ? p + 1 : p;
    return part;
}

/* A member or item. *out is NULL when there is none; CFG_E_VALUE when an index is no number. */
static int child_of(struct cfg_layers *l, struct node **out, struct node *container, struct cfg_slice part,
                    struct cfg_error *err)
{
    long i = 0;
    *out = NULL;
    if (container->kind == NODE_OBJECT) {
        *out = node_member(container, part);
        return 0;
    }
    if (!as_index(&i, part))
        return cfg_fail(err, CFG_E_VALUE, "'%.*s' is no index of a list", (int)(part.len < 80 ? part.len : 80),
                        part.ptr);
    if (!node_unfold(l, container))
        return layers_no_memory(l, err);
    if (i < 0)
        i += (long)container->n;
    *out = i >= 0 && (size_t)i < container->n ? container->slots[i] : NULL;
    return 0;
}

/* Where a key begins: the root, or as many containers up as it has dots, which are stepped over. */
static int start_of(struct cfg_layers *l, struct node **out, struct node *from, const char **key, struct cfg_error *err)
{
    const char *whole = *key;
    *out = l->root;
    if (*whole != '.')
        return 0;
    for ((*key)++; from && **key == '.'; (*key)++)
        from = from->parent;
    *out = from;
    if (from == NULL)
        return cfg_fail(err, CFG_E_UNKNOWN_KEY, "'%.120s' goes up beyond the document", whole);
    return 0;
}

static int fail_missing(const struct node *v, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    node_path(&path, v);
    cfg_fail(err, CFG_E_VALUE, "'%.160s' is missing: ???", path.len ? path.data : "");
    cfg_error_set_hint(err, "a layer above must set %.160s", path.len ? path.data : "it");
    cfg_buf_finish(&path);
    return CFG_E_VALUE;
}

/* One step down from *at, dereferenced. *at is NULL when there is no such child. */
static int step(struct cfg_layers *l, struct node **at, struct cfg_slice part, unsigned flags, struct cfg_error *err)
{
    struct node *child = NULL;
    int code = child_of(l, &child, *at, part, err);
    if (code)
        return code;
    if (child && node_is_missing(child) && (flags & SELECT_NEEDS_VALUE))
        return fail_missing(child, err);
    *at = child;
    return child ? layers_deref(l, at, child, err) : 0;
}

int layers_select(struct cfg_layers *l, struct node **out, struct node *from, const char *key, unsigned flags,
                  struct cfg_error *err)
{
    const char *p = key;
    struct node *at = NULL;
    int code = start_of(l, &at, from, &p, err);
    while (code == 0 && *p) {
        struct node *container = at;
        if (!node_is_container(at) || at->plain) {
            if (!(flags & SELECT_LENIENT))
                return cfg_fail(err, CFG_E_VALUE, "'%.120s' leads through '%.*s', which holds no other values", key,
                                (int)(p - key - 1 < 120 ? p - key - 1 : 120), key);
            at = NULL;
            break;
        }
        struct cfg_slice part = next_part(&p);
        code = step(l, &at, part, flags, err);
        if (code == 0 && at == NULL && !(flags & SELECT_LENIENT))
            return layers_unknown(l, container, part, key, err);
        if (at == NULL)
            break;
    }
    if (code == 0)
        *out = at;
    return code;
}

/* --- evaluating --- */

static int put_pieces(struct cfg_layers *l, struct cfg_buf *text, struct node *parent, struct inter *const *pieces,
                      size_t n, const char *what, struct cfg_error *err)
{
    int code = 0;
    for (size_t i = 0; i < n; i++) {
        struct node *v = NULL;
        if (pieces[i]->kind == INTER_STRING) {
            cfg_buf_put(text, pieces[i]->text.ptr, pieces[i]->text.len);
            continue;
        }
        code = eval(l, &v, parent, pieces[i], err);
        if (code)
            return code;
        if (v->kind != NODE_STRING)
            return cfg_fail(err, CFG_E_VALUE, "an interpolation inside %s must give a string", what);
        cfg_buf_puts(text, v->text);
    }
    code = cfg_buf_status(text);
    return code ? cfg_fail(err, code, code == CFG_E_LIMIT ? "%s is too long" : "out of memory for %s", what) : 0;
}

static int eval_node(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                     struct cfg_error *err)
{
    struct cfg_buf key;
    cfg_buf_init(&key, 1 << 16);
    int code = put_pieces(l, &key, parent, inter->items, inter->n, "a key", err);
    if (code == 0)
        code = layers_select(l, out, parent, key.len ? key.data : "", SELECT_NEEDS_VALUE, err);
    for (const struct node *up = parent; code == 0 && up; up = up->parent)
        if (up == *out)
            code = cfg_fail(err, CFG_E_VALUE, "'%.120s' leads to an object that it is a part of", key.data);
    cfg_buf_finish(&key);
    return code;
}

static int eval_concat(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                       struct cfg_error *err)
{
    struct cfg_buf text;
    cfg_buf_init(&text, l->options.max_bytes);
    int code = 0;
    for (size_t i = 0; code == 0 && i < inter->n; i++) {
        struct node *v = NULL;
        if (inter->items[i]->kind == INTER_STRING) {
            cfg_buf_put(&text, inter->items[i]->text.ptr, inter->items[i]->text.len);
            continue;
        }
        code = eval(l, &v, parent, inter->items[i], err);
        if (code == 0)
            node_str(&text, v, l);
    }
    if (code == 0)
        code = layers_spend(l, text.len, err);
    if (code == 0 && cfg_buf_status(&text))
        code = cfg_fail(err, cfg_buf_status(&text), "a text is larger than %zu KiB", l->options.max_bytes / 1024);
    if (code == 0) {
        *out = node_string(l, cfg_buf_slice(&text));
        code = *out ? 0 : layers_no_memory(l, err);
    }
    cfg_buf_finish(&text);
    return code;
}

static int eval_container(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                          struct cfg_error *err)
{
    struct node *container = node_new(l, inter->kind == INTER_LIST ? NODE_ARRAY : NODE_OBJECT);
    if (container == NULL)
        return layers_no_memory(l, err);
    container->plain = true;
    for (size_t i = 0; i < inter->n; i++) {
        struct node *v = NULL;
        int code = eval(l, &v, parent, inter->items[i], err);
        if (code)
            return code;
        v = node_copy(l, v, false);
        const char *key = inter->kind == INTER_DICT ? cfg_arena_dup(&l->arena, inter->names[i]->text) : NULL;
        if (v == NULL || (inter->kind == INTER_DICT && key == NULL))
            return layers_no_memory(l, err);
        struct node *before = key ? node_member(container, cfg_slice_str(key)) : NULL;
        if (before ? !node_replace(l, before, v) : !node_add(l, container, v, key))
            return layers_no_memory(l, err);
    }
    *out = container;
    return 0;
}

static int eval_resolver(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                         struct cfg_error *err)
{
    struct cfg_buf name;
    struct call call = {.parent = parent, .n = inter->n};
    cfg_buf_init(&name, 4096);
    int code = put_pieces(l, &name, parent, inter->names, inter->n_names, "a resolver's name", err);
    if (code == 0) {
        call.name = cfg_arena_dup(&l->arena, cfg_buf_slice(&name));
        call.args = cfg_arena_alloc(&l->arena, (inter->n + 1) * sizeof(struct node *));
        if (call.name == NULL || call.args == NULL)
            code = layers_no_memory(l, err);
    }
    cfg_buf_finish(&name);
    for (size_t i = 0; code == 0 && i < inter->n; i++)
        code = eval(l, &call.args[i], parent, inter->items[i], err);
    return code ? code : layers_call(l, out, &call, err);
}

static int eval_scalar(struct cfg_layers *l, struct node **out, const struct inter *inter, struct cfg_error *err)
{
    struct node *v = NULL;
    if (inter->kind == INTER_STRING) {
        v = node_string(l, inter->text);
    } else {
        v = node_new(l, inter->kind == INTER_NULL ? NODE_NULL : inter->kind == INTER_BOOL ? NODE_BOOL : NODE_NUMBER);
        if (v) {
            v->plain = true;
            v->boolean = inter->boolean;
            v->number = inter->number;
            v->is_float = inter->is_float;
        }
    }
    if (v == NULL)
        return layers_no_memory(l, err);
    *out = v;
    return 0;
}

static int eval(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                struct cfg_error *err)
{
    int code = layers_spend(l, 0, err);
    if (code)
        return code;
    switch (inter->kind) {
    case INTER_CONCAT:
        return eval_concat(l, out, parent, inter, err);
    case INTER_NODE:
        return eval_node(l, out, parent, inter, err);
    case INTER_RESOLVER:
        return eval_resolver(l, out, parent, inter, err);
    case INTER_EVAL:
        return layers_eval_expr(l, out, parent, inter->text, err);
    case INTER_LIST:
    case INTER_DICT:
        return eval_container(l, out, parent, inter, err);
    default:
        return eval_scalar(l, out, inter, err);
    }
}

static int eval_linked(struct cfg_layers *l, struct node **out, struct node *parent, const struct inter *inter,
                       struct cfg_error *err)
{
    if (l->chain >= LAYERS_MAX_CHAIN)
        return cfg_fail(err, CFG_E_LIMIT, "more than %d interpolations lead to one another", LAYERS_MAX_CHAIN);
    l->chain++;
    int code = eval(l, out, parent, inter, err);
    l->chain--;
    return code;
}

int layers_eval_text(struct cfg_layers *l, struct node **out, struct node *parent, struct cfg_slice text, bool element,
                     struct cfg_error *err)
{
    struct inter *inter = NULL;
    int code = inter_parse(&inter, &l->arena, text, element, err);
    return code ? code : eval_linked(l, out, parent, inter, err);
}

void layers_parse_ahead(struct cfg_layers *l, struct node *v)
{
    struct inter *inter = NULL;
    if (v->inter && inter_parse(&inter, &l->arena, cfg_slice_str(v->text), false, NULL) == 0)
        v->parsed = inter;
    for (struct node *c = v->child; c; c = c->next)
        layers_parse_ahead(l, c);
}

/* --- dereferencing --- */

static int fail_cycle(struct cfg_layers *l, const struct node *v, struct cfg_error *err)
{
    const struct node *chain[LAYERS_MAX_CHAIN + 2];
    size_t n = 0;
    for (const struct frame *f = l->stack; f && n <= LAYERS_MAX_CHAIN; f = f->below) {
        chain[n++] = f->node;
        if (f->node == v)
            break;
    }
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 16);
    while (n > 0) {
        struct cfg_buf path;
        cfg_buf_init(&path, 4096);
        node_path(&path, chain[--n]);
        cfg_buf_printf(&text, "%s (%s) → ", path.len ? path.data : "", l->layers[chain[n]->layer].name);
        cfg_buf_finish(&path);
    }
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    node_path(&path, v);
    cfg_fail(err, CFG_E_VALUE, "interpolation cycle: %s%s", text.len ? text.data : "", path.len ? path.data : "");
    cfg_error_set_path(err, "%s", path.len ? path.data : "");
    cfg_buf_finish(&path);
    cfg_buf_finish(&text);
    l->located = true;
    return CFG_E_VALUE;
}

/* Puts the path and the layer of the value whose text failed in front of the error; those that led there add nothing.
 */
static int locate(struct cfg_layers *l, const struct node *v, int code, struct cfg_error *err)
{
    if (l->kept || l->located || code == CFG_E_NOMEM || err == NULL)
        return code;
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    node_path(&path, v);
    (void)cfg_error_wrap(err, "%.200s (%.60s)", path.len ? path.data : "", l->layers[v->layer].name);
    cfg_error_set_path(err, "%s", path.len ? path.data : "");
    cfg_buf_finish(&path);
    l->located = true;
    return code;
}

int layers_deref(struct cfg_layers *l, struct node **out, struct node *v, struct cfg_error *err)
{
    if (!v->inter) {
        *out = v;
        return 0;
    }
    enum node_state state = v->generation == l->generation ? (enum node_state)v->state : STATE_NEW;
    if (state == STATE_DONE) {
        *out = v->result;
        return 0;
    }
    if (state == STATE_KEPT) {
        l->kept = true;
        return cfg_fail(err, CFG_E_UNSUPPORTED, "the value depends on the environment");
    }
    if (state == STATE_BUSY)
        return fail_cycle(l, v, err);
    struct frame frame = {v, l->stack};
    struct node *result = NULL;
    l->stack = &frame;
    v->generation = l->generation;
    v->state = STATE_BUSY;
    int code = v->parsed ? eval_linked(l, &result, v->parent, v->parsed, err)
                         : layers_eval_text(l, &result, v->parent, cfg_slice_str(v->text), false, err);
    l->stack = frame.below;
    v->state = code == 0 ? STATE_DONE : l->kept ? STATE_KEPT : STATE_NEW;
    v->result = result;
    if (code)
        return locate(l, v, code, err);
    *out = result;
    return 0;
}
