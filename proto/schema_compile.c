/* From a schema to a program: index, compile every node, look for loops. */
#include "proto/schema_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROGRAM_BYTES = 256 * 1024 * 1024,
    DEFAULT_STEPS = 5 * 1000 * 1000,
};

void *cfg_schema_take(struct schema_compiler *c, size_t n)
{
    return cfg_arena_alloc(&c->s->arena, n);
}

int cfg_schema_nomem(struct schema_compiler *c)
{
    return cfg_fail(c->err, CFG_E_NOMEM, "out of memory");
}

/* --- errors with a place --- */

static void put_token(struct cfg_buf *out, const char *token)
{
    cfg_buf_putc(out, '/');
    for (; *token; token++) {
        if (*token == '~')
            cfg_buf_puts(out, "~0");
        else if (*token == '/')
            cfg_buf_puts(out, "~1");
        else
            cfg_buf_putc(out, *token);
    }
}

static void put_place(struct cfg_buf *out, const struct schema_node *n)
{
    if (n->up == NULL) {
        if (n->resource->foreign)
            cfg_buf_puts(out, n->resource->uri);
        cfg_buf_putc(out, '#');
        return;
    }
    put_place(out, n->up);
    if (n->keyword[0])
        put_token(out, n->keyword);
    if (n->key)
        put_token(out, n->key);
    else if (n->index >= 0)
        cfg_buf_printf(out, "/%ld", n->index);
}

int cfg_schema_fail(struct schema_compiler *c, const struct schema_node *n, const char *keyword, int code,
                    const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct cfg_buf place;
    cfg_buf_init(&place, 1 << 20);
    put_place(&place, n);
    if (keyword)
        put_token(&place, keyword);
    cfg_fail(c->err, code, "%s", text);
    size_t room = sizeof c->err->path - 1;
    const char *shown = place.data ? place.data : "";
    if (place.len > room) /* its end says more than its beginning */
        cfg_error_set_path(c->err, "…%s", shown + place.len - room + 3);
    else
        cfg_error_set_path(c->err, "%s", shown);
    cfg_buf_finish(&place);
    return code;
}

/* --- the entry --- */

static int compile_all(struct schema_compiler *c)
{
    while (c->todo) {
        struct schema_node *n = c->todo;
        c->todo = n->next_todo;
        int code = cfg_schema_compile_node(c, n);
        if (code)
            return code;
    }
    return cfg_schema_find_loops(c);
}

static int compile(struct schema_compiler *c, const cJSON *schema)
{
    struct schema_tree *tree = cfg_schema_take(c, sizeof *tree);
    if (tree == NULL || (tree->json = cJSON_Duplicate(schema, true)) == NULL)
        return cfg_schema_nomem(c);
    c->s->trees = tree;
    const char *base = c->o->base_uri ? c->o->base_uri : "";
    char *uri = cfg_arena_dup(&c->s->arena, cfg_slice_str(base));
    int code = uri ? cfg_schema_index(c, &c->s->root, tree->json, uri, false) : cfg_schema_nomem(c);
    return code ? code : compile_all(c);
}

int cfg_schema_compile(struct cfg_schema **out, const cJSON *schema, const struct cfg_schema_options *options,
                       struct cfg_error *err)
{
    static const struct cfg_schema_options none;
    struct cfg_error inner = CFG_ERROR_INIT;
    struct schema_compiler c = {.s = calloc(1, sizeof *c.s), .o = options ? options : &none, .err = &inner};
    if (c.s == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    cfg_arena_init(&c.s->arena, PROGRAM_BYTES);
    c.s->max_steps = c.o->max_steps ? c.o->max_steps : DEFAULT_STEPS;
    int code = compile(&c, schema);
    cfg_schema_map_finish(&c.resources);
    cfg_schema_map_finish(&c.anchors);
    cfg_schema_map_finish(&c.nodes);
    if (code == 0) {
        *out = c.s;
        return 0;
    }
    if (c.s->arena.failed == CFG_E_LIMIT && code == CFG_E_NOMEM)
        code = cfg_fail(&inner, CFG_E_LIMIT, "the compiled schema needs more than %d MiB", PROGRAM_BYTES >> 20);
    cfg_schema_free(c.s);
    if (err)
        *err = inner;
    return code;
}

void cfg_schema_free(struct cfg_schema *s)
{
    if (s == NULL)
        return;
    cfg_schema_patterns_free(s->patterns);
    for (size_t i = 0; i < s->n_invariants; i++)
        cfg_expr_free(s->invariant_programs[i]);
    for (struct schema_tree *t = s->trees; t; t = t->next)
        cJSON_Delete(t->json);
    cfg_arena_finish(&s->arena);
    free(s);
}
