/* Prerequisites as a graph: the flags that require some, by name. Heads from before the change have no circle, so that
 * a circle leads through a flag that is written. */
#include "configd/change_draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 32 }; /* flags in a chain of prerequisites, as the engine has it */

struct node {
    const char *name;
    const cJSON *required;
    unsigned height; /* flags in the longest chain from here; 0: not seen */
    bool open;
};

struct graph {
    struct node *nodes;
    size_t n, cap;
    const char *way[CHAIN_MAX + 1]; /* names from where the walk began */
    unsigned depth;
    struct cfg_error *err;
};

static int add_node(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                    const struct cfg_object *head)
{
    (void)body, (void)head;
    struct graph *g = arg;
    if (cfg_flag_facts_prerequisites(facts) == NULL)
        return 0;
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 32;
        struct node *nodes = realloc(g->nodes, cap * sizeof *nodes);
        if (nodes == NULL)
            return cfg_fail(g->err, CFG_E_NOMEM, "out of memory");
        g->nodes = nodes;
        g->cap = cap;
    }
    g->nodes[g->n++] = (struct node){.name = name, .required = facts->prerequisites};
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static struct node *find(const struct graph *g, const char *name)
{
    const struct node wanted = {.name = name};
    return g->n > 0 ? bsearch(&wanted, g->nodes, g->n, sizeof *g->nodes, by_name) : NULL;
}

/* "a → b → a", from the first time that `name` was met. */
static int refuse(const struct graph *g, int code, const char *why, const char *name)
{
    char text[200] = "";
    unsigned i = 0;
    while (code == CFG_E_VALUE && i < g->depth && strcmp(g->way[i], name) != 0)
        i++;
    for (; i < g->depth && strlen(text) < 150; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%.40s → ", g->way[i]);
    (void)cfg_fail(g->err, code, "%s: %s%.40s", why, text, i < g->depth ? "…" : name);
    cfg_error_set_path(g->err, "prerequisites");
    return code;
}

static int visit(struct graph *g, const char *name, unsigned *height)
{
    static const char too_long[] = "a chain of prerequisites has more than 32 flags";
    struct node *node = find(g, name);
    const cJSON *p;
    int rc = 0;
    if (node && node->open)
        return refuse(g, CFG_E_VALUE, "prerequisites lead in a circle", name);
    if (g->depth == CHAIN_MAX)
        return refuse(g, CFG_E_LIMIT, too_long, name);
    *height = node ? node->height : 1;
    if (*height > 0)
        return 0;
    node->open = true;
    g->way[g->depth++] = node->name;
    unsigned highest = 0, below;
    cJSON_ArrayForEach(p, node->required)
    {
        if ((rc = visit(g, p->string, &below)) != 0)
            return rc;
        highest = below > highest ? below : highest;
    }
    g->depth--;
    node->open = false;
    *height = node->height = highest + 1;
    return node->height > CHAIN_MAX ? refuse(g, CFG_E_LIMIT, too_long, name) : 0;
}

int cfg_flags_check_graph(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    struct graph g = {.err = err};
    unsigned height;
    if (strcmp(b->graph, d->id.ns) == 0)
        return 0;
    int rc = cfg_flags_each_after(b, d->id.ns, add_node, &g, err);
    if (g.n > 1)
        qsort(g.nodes, g.n, sizeof *g.nodes, by_name);
    if (rc == 0)
        rc = visit(&g, d->id.name, &height); /* from the flag written, so that the error begins there */
    for (size_t i = 0; rc == 0 && i < g.n; i++)
        rc = visit(&g, g.nodes[i].name, &height);
    free(g.nodes);
    if (rc == 0)
        (void)snprintf(b->graph, sizeof b->graph, "%s", d->id.ns);
    return rc;
}
