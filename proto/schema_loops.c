/* A schema that refers to itself without going down in the document would be evaluated without end: it is found here,
 * before anything is checked. Only $dynamicRef can still loop at run time, where depth is bounded. */
#include "proto/schema_internal.h"

#include <string.h>

enum { WHITE, GREY, BLACK, MAX_CHAIN = 600 };

static int visit(struct schema_compiler *c, const struct schema_node *n, unsigned depth);

static int visit_list(struct schema_compiler *c, struct schema_nodes nodes, unsigned depth)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < nodes.n; i++)
        code = visit(c, nodes.list[i], depth);
    return code;
}

static int visit_dependents(struct schema_compiler *c, const struct schema_members *m, unsigned depth)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < m->n_names; i++)
        code = visit(c, m->names[i].dependent, depth);
    return code;
}

/* Goes on to the schemas that a keyword applies to the same place of the document. */
static int visit_keyword(struct schema_compiler *c, const struct schema_keyword *k, unsigned depth)
{
    if (strcmp(k->name, "$ref") == 0 || strcmp(k->name, "not") == 0)
        return visit(c, k->u.node, depth);
    if (strcmp(k->name, "$dynamicRef") == 0)
        return k->u.dynamic.anchor ? 0 : visit(c, k->u.dynamic.node, depth);
    if (strcmp(k->name, "allOf") == 0 || strcmp(k->name, "anyOf") == 0 || strcmp(k->name, "oneOf") == 0)
        return visit_list(c, k->u.nodes, depth);
    if (strcmp(k->name, "if") == 0) {
        int code = visit(c, k->u.branch.test, depth);
        code = code ? code : visit(c, k->u.branch.then, depth);
        return code ? code : visit(c, k->u.branch.otherwise, depth);
    }
    return 0;
}

static int visit(struct schema_compiler *c, const struct schema_node *node, unsigned depth)
{
    if (node == NULL || node->colour == BLACK)
        return 0;
    if (node->colour == GREY)
        return cfg_schema_fail(
            c, node, NULL, CFG_E_VALUE,
            "this schema refers back to itself without going down in the document: it would never end");
    if (depth > MAX_CHAIN)
        return cfg_schema_fail(c, node, NULL, CFG_E_LIMIT, "schemas that apply to one place are chained deeper than %d",
                               MAX_CHAIN);
    struct schema_node *n = cfg_schema_map_get(&c->nodes, node->json, false);
    n->colour = GREY;
    int code = 0;
    for (size_t i = 0; code == 0 && i < n->n_keywords; i++)
        code = visit_keyword(c, &n->keywords[i], depth + 1);
    if (code == 0 && n->members && n->members->any_dependent)
        code = visit_dependents(c, n->members, depth + 1);
    n->colour = BLACK;
    return code;
}

int cfg_schema_find_loops(struct schema_compiler *c)
{
    int code = 0;
    for (struct schema_node *n = c->all; code == 0 && n; n = n->next)
        code = visit(c, n, 0);
    return code;
}
