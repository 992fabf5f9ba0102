#include "configd/rollout_census.h"
#include "proto/utf8.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct group {
    const char *name; /* borrowed */
    bool has, mixed;
    double point;
};

static int by_name(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

void cfg_census_begin(struct cfg_census *out, const struct cfg_split *split)
{
    *out = (struct cfg_census){.split = split, .lowest = 1};
}

static struct group *find(const struct cfg_census *c, const char *name)
{
    const struct group key = {.name = name};
    struct group *const *found = tfind(&key, &c->seen, by_name);
    return found ? *found : NULL;
}

static struct group *add(struct cfg_census *c, const char *name)
{
    struct group *g = calloc(1, sizeof *g);
    if (g)
        g->name = name;
    if (g && tsearch(g, &c->seen, by_name))
        return g;
    free(g);
    return NULL;
}

static bool goes_by_labels(const struct cfg_split *s)
{
    return s->where || s->by[0];
}

bool cfg_census_wants(const struct cfg_census *c, const char *group)
{
    const struct group *g = find(c, group);
    return g == NULL || (goes_by_labels(c->split) && !g->mixed);
}

/* Groups that move together count once. Without memory they count each. */
static void count_unit(struct cfg_census *c, const cJSON *labels)
{
    const char *value = cfg_json_get_str(labels, c->split->by, "");
    if (c->split->by[0] && tfind(value, &c->values, by_text))
        return;
    c->units++;
    char *copy = c->split->by[0] ? cfg_slice_dup(cfg_slice_str(value)) : NULL;
    if (copy && tsearch(copy, &c->values, by_text) == NULL)
        free(copy);
}

/* The others have to agree with the group's first. */
static void compare(struct cfg_census *c, struct group *g, const cJSON *labels)
{
    double point = 0;
    bool has = cfg_split_point(&point, c->split, g->name, labels);
    g->mixed = has != g->has || (has && (point < g->point || point > g->point));
    if (g->mixed && c->mixed++ == 0)
        c->mixed_group = g->name;
}

bool cfg_census_add(struct cfg_census *c, const char *group, const cJSON *labels)
{
    struct group *g = find(c, group);
    if (g) {
        if (!g->mixed)
            compare(c, g, labels);
        return false;
    }
    if ((g = add(c, group)) == NULL)
        return false;
    c->groups++;
    g->has = cfg_split_point(&g->point, c->split, group, labels);
    if (!g->has)
        return true;
    c->eligible++;
    count_unit(c, labels);
    c->lowest = g->point < c->lowest ? g->point : c->lowest;
    c->highest = g->point > c->highest ? g->point : c->highest;
    return true;
}

void cfg_census_finish(struct cfg_census *c)
{
    tdestroy(c->seen, free);
    tdestroy(c->values, free);
    c->seen = c->values = NULL;
}

void cfg_census_tell(struct cfg_observation *out, struct cfg_census *c)
{
    out->eligible = c->eligible;
    out->units = c->units;
    out->lowest = c->lowest;
    out->highest = c->highest;
    out->mixed = c->mixed;
    (void)snprintf(out->mixed_group, sizeof out->mixed_group, "%s", c->mixed_group ? c->mixed_group : "");
    cfg_utf8_mend(out->mixed_group);
    cfg_census_finish(c);
}
