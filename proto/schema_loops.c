/* A schema that refers to itself without going down in the document would be evaluated without end: it is found here,
 * before anything is checked. Only $dynamicRef can still loop at run time, where depth is bounded. */
#include "proto/schema_internal.h"

#include <string.h>

enum { WHITE, GREY, BLACK, MAX_CHAIN = 600 };

/* Visits what `from` leads to. Depth is that of the search, a node's height that of everything below it. */
static int visit(struct schema_compiler *c, const struct schema_node *node, struct schema_node *from, unsigned depth);

static int visit_list(struct schema_compiler *c, struct schema_nodes nodes, struct schema_node *from, unsigned depth)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < nodes.n; i++)
        code = visit(c, nodes.list[i], from, depth);
    return code;
}

static int visit_dependents(struct schema_compiler *c, struct schema_node *from, unsigned depth)
{
    const struct schema_members *m = from->members;
    int code = 0;
    for (size_t i = 0; code == 0 && i < m->n_names; i++)
        code = visit(c, m->names[i].dependent, from, depth);
    return code;
}

/* Goes on to the schemas that a keyword applies to the same place of the document. */
static int visit_keyword(struct schema_compiler *c, const struct schema_keyword *k, struct schema_node *from,
                         unsigned depth)
{
    if (strcmp(k->name, "$ref") == 0 || strcmp(k->name, "not") == 0)
        return visit(c, k->u.node, from, depth);
    if (strcmp(k->name, "$dynamicRef") == 0)
        return k->u.dynamic.anchor ? 0 : visit(c, k->u.dynamic.node, from, depth);
    if (strcmp(k->name, "allOf") == 0 || strcmp(k->name, "anyOf") == 0 || strcmp(k->name, "oneOf") == 0)
        return visit_list(c, k->u.nodes, from, depth);
    if (strcmp(k->name, "if") == 0) {
        int code = visit(c, k->u.branch.test, from, depth);
        code = code ? code : visit(c, k->u.branch.then, from, depth);
        return code ? code : visit(c, k->u.branch.otherwise, from, depth);
    }
    return 0;
}

static int visit(struct schema_compiler *c, const struct schema_node *node, struct schema_node *from, unsigned depth)
{
    if (node == NULL)
        return 0;
    if (node->colour == GREY)
        return cfg_schema_fail(
            c, node, NULL, CFG_E_VALUE,
            "this schema refers back to itself without going down in the document: it would never end");
    if (node->colour == BLACK && from && node->height >= from->height)
        from->height = node->height + 1;
    if (depth + node->height > MAX_CHAIN)
        return cfg_schema_fail(c, node, NULL, CFG_E_LIMIT, "schemas that apply to one place are chained deeper than %d",
                               MAX_CHAIN);
    if (node->colour == BLACK)
        return 0;
    struct schema_node *n = cfg_schema_map_get(&c->nodes, node->json, false);
    n->colour = GREY;
    int code = 0;
    for (size_t i = 0; code == 0 && i < n->n_keywords; i++)
        code = visit_keyword(c, &n->keywords[i], n, depth + 1);
    if (code == 0 && n->members && n->members->any_dependent)
        code = visit_dependents(c, n, depth + 1);
    n->colour = BLACK;
    if (from && n->height >= from->height)
        from->height = n->height + 1;
    return code;
}

int cfg_schema_find_loops(struct schema_compiler *c)
{
    int code = 0;
    for (struct schema_node *n = c->all; code == 0 && n; n = n->next)
        code = visit(c, n, NULL, 0);
    return code;
}
