/* Compiling, names, and the way between JSON and the values of expressions. */
#include "proto/expr_internal.h"
#include "proto/json_number.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cfg_expr_compile(struct cfg_expr **out, struct cfg_slice text, struct cfg_error *err)
{
    if (text.len > CFG_EXPR_MAX_TEXT)
        return cfg_fail(err, CFG_E_LIMIT, "the expression has %zu bytes; at most %d are allowed", text.len,
                        CFG_EXPR_MAX_TEXT);
    struct cfg_expr *e = calloc(1, sizeof *e);
    if (e == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    cfg_arena_init(&e->arena, (size_t)8 * CFG_EXPR_MAX_ARENA); /* each name takes at most the whole text */
    e->text = (struct cfg_slice){cfg_arena_dup(&e->arena, text), text.len};
    int code = e->text.ptr ? expr_parse(e, err) : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (code) {
        cfg_expr_free(e);
        return code;
    }
    *out = e;
    return 0;
}

void cfg_expr_free(struct cfg_expr *e)
{
    if (e == NULL)
        return;
    cfg_arena_finish(&e->arena);
    free(e);
}

struct cfg_slice cfg_expr_text(const struct cfg_expr *e)
{
    return e->text;
}

/* --- names --- */

static bool seen_before(const struct cfg_expr *e, const struct expr_node *node)
{
    for (const struct expr_node *n = e->names; n != node; n = n->next)
        if (cfg_slice_eq(n->text, node->text))
            return true;
    return false;
}

void cfg_expr_each_name(const struct cfg_expr *e, cfg_expr_name_fn fn, void *arg)
{
    for (const struct expr_node *n = e->names; n; n = n->next)
        if (!seen_before(e, n) && !fn(n->text, arg))
            return;
}

void cfg_expr_describe(struct cfg_buf *out, const struct cfg_expr *e, const struct cfg_expr_names *names)
{
    size_t before = out->len;
    for (const struct expr_node *n = e->names; n; n = n->next) {
        if (seen_before(e, n) || n->op == EXPR_TEXT)
            continue;
        struct cfg_arena arena;
        cfg_arena_init(&arena, CFG_EXPR_MAX_ARENA);
        struct cfg_expr one = {.text = n->text};
        struct expr_node copy = *n;
        one.root = &copy;
        struct cfg_expr_value v;
        int code = cfg_expr_eval(&v, &one, names, &arena, NULL);
        cfg_buf_printf(out, "%s%.*s ", out->len > before ? ", " : "", (int)n->text.len, n->text.ptr);
        if (code == 0) {
            cfg_buf_puts(out, "= ");
            cfg_expr_show(out, &v);
        } else {
            cfg_buf_puts(out, code == CFG_E_UNKNOWN_KEY ? "is missing" : "has no usable value");
        }
        cfg_arena_finish(&arena);
    }
}

static const cJSON *walk(const cJSON *document, const char *path, size_t *known)
{
    const cJSON *v = document;
    char prefix[CFG_LIMIT_PATH + 1];
    size_t n = strlen(path);
    *known = 0;
    for (size_t i = 1; i <= n; i++) { /* every prefix that ends where a part ends */
        if (i < n && path[i] != '.' && path[i] != '[')
            continue;
        (void)snprintf(prefix, sizeof prefix, "%.*s", (int)i, path);
        const cJSON *next = cfg_path_get(document, prefix);
        if (next == NULL)
            return v;
        v = next;
        *known = i;
    }
    return v;
}

/* The part of the path that is missing, and what is near it. */
static int fail_unknown(const cJSON *document, const char *path, struct cfg_error *err)
{
    size_t known = 0;
    const cJSON *parent = walk(document, path, &known);
    const char *rest = path + known + (path[known] == '.');
    char name[CFG_LIMIT_PATH + 1];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(rest, ".["), rest);
    cfg_fail(err, CFG_E_UNKNOWN_KEY, "%.200s has no value", path);
    cfg_error_set_path(err, "%s", path);
    const char *keys[512];
    size_t n = 0;
    if (cJSON_IsObject(parent))
        for (const cJSON *m = parent->child; m && n < sizeof keys / sizeof keys[0]; m = m->next)
            keys[n++] = m->string;
    const char *near = cfg_near_miss(name, keys, n);
    if (near)
        cfg_error_set_hint(err, "did you mean %.*s%s%.100s?", (int)known, path, known > 0 ? "." : "", near);
    return CFG_E_UNKNOWN_KEY;
}

static int lookup_json(struct cfg_expr_value *out, void *arg, struct cfg_slice path, struct cfg_arena *arena,
                       struct cfg_error *err)
{
    const cJSON *document = arg;
    char text[CFG_LIMIT_PATH + 1];
    if (path.len >= sizeof text)
        return cfg_fail(err, CFG_E_LIMIT, "a name is longer than a path may be");
    (void)snprintf(text, sizeof text, "%.*s", (int)path.len, path.ptr);
    const cJSON *v = cfg_path_get(document, text);
    if (v == NULL)
        return fail_unknown(document, text, err);
    int code = cfg_expr_from_json(out, v, arena, err);
    return code ? cfg_error_wrap(err, "%.200s", text) : 0;
}

struct cfg_expr_names cfg_expr_names_of(const cJSON *document)
{
    union {
        const cJSON *in;
        void *out;
    } arg = {document}; /* only ever read through */
    return (struct cfg_expr_names){.lookup = lookup_json, .arg = arg.out};
}

/* --- values --- */

int cfg_expr_from_json(struct cfg_expr_value *out, const cJSON *v, struct cfg_arena *arena, struct cfg_error *err)
{
    if (cJSON_IsObject(v))
        return cfg_fail(err, CFG_E_VALUE, "an object is no value of an expression");
    if (cJSON_IsBool(v))
        *out = (struct cfg_expr_value){.type = CFG_EXPR_BOOL, .boolean = cJSON_IsTrue(v)};
    else if (cJSON_IsNumber(v))
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER,
                                       .is_float = v->valuedouble != floor(v->valuedouble) ||
                                                   fabs(v->valuedouble) > CFG_JSON_MAX_INTEGER,
                                       .number = v->valuedouble};
    else if (cJSON_IsString(v))
        *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = cfg_slice_str(v->valuestring)};
    else if (!cJSON_IsArray(v))
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NULL};
    if (!cJSON_IsArray(v))
        return 0;
    size_t n = 0;
    struct cfg_expr_value *items =
        cfg_arena_alloc(arena, ((size_t)cJSON_GetArraySize(v) + 1) * sizeof(struct cfg_expr_value));
    if (items == NULL)
        return cfg_arena_status(arena, "the expression", err);
    for (const cJSON *item = v->child; item; item = item->next) {
        int code = cfg_expr_from_json(&items[n++], item, arena, err);
        if (code)
            return code;
    }
    *out = (struct cfg_expr_value){.type = CFG_EXPR_LIST, .list = {items, n}};
    return 0;
}

static cJSON *to_json(const struct cfg_expr_value *v)
{
    switch (v->type) {
    case CFG_EXPR_BOOL:
        return cJSON_CreateBool(v->boolean);
    case CFG_EXPR_NUMBER:
        return cJSON_CreateNumber(v->number);
    case CFG_EXPR_STRING: {
        char *copy = cfg_slice_dup(v->text);
        cJSON *made = copy ? cJSON_CreateString(copy) : NULL;
        free(copy);
        return made;
    }
    case CFG_EXPR_LIST:
        break;
    default:
        return cJSON_CreateNull();
    }
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < v->list.n; i++) {
        cJSON *item = to_json(&v->list.items[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

int cfg_expr_to_json(cJSON **out, const struct cfg_expr_value *v, struct cfg_error *err)
{
    cJSON *made = to_json(v);
    if (made == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    *out = made;
    return 0;
}

void cfg_expr_show(struct cfg_buf *out, const struct cfg_expr_value *v)
{
    enum { SHOWN = 60, ITEMS = 4 };
    if (v->type == CFG_EXPR_NULL) {
        cfg_buf_puts(out, "null");
    } else if (v->type == CFG_EXPR_BOOL) {
        cfg_buf_puts(out, v->boolean ? "true" : "false");
    } else if (v->type == CFG_EXPR_NUMBER) {
        char text[CFG_NUMBER_TEXT];
        cfg_buf_put(out, text, cfg_number_format(text, v->number, true));
    } else if (v->type == CFG_EXPR_STRING) {
        struct cfg_slice shown = v->text;
        if (shown.len > SHOWN) {
            shown.len = SHOWN;
            while (shown.len > 0 && ((unsigned char)shown.ptr[shown.len] & 0xC0) == 0x80)
                shown.len--;
        }
        cfg_json_put_string(out, shown);
        if (shown.len < v->text.len)
            cfg_buf_puts(out, "…");
    } else {
        cfg_buf_putc(out, '[');
        for (size_t i = 0; i < v->list.n && i < ITEMS; i++) {
            if (i > 0)
                cfg_buf_puts(out, ", ");
            cfg_expr_show(out, &v->list.items[i]);
        }
        cfg_buf_puts(out, v->list.n > ITEMS ? ", …]" : "]");
    }
}
