/* What only a whole set shows: prerequisites that lead nowhere or in a circle, and groups whose flags share units. */
#include "flags/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a flag: not seen, being seen, or how many flags the longest chain of prerequisites from it has. */
enum { VISIT_NEW = 0, VISIT_OPEN = UINT8_MAX };

static int refuse(struct cfg_error *err, const struct cfg_flag_program *p, const char *member, int code,
                  const char *why)
{
    (void)cfg_fail(err, code, "flag \"%.80s\": %s", p->name->bytes, why);
    cfg_error_set_path(err, "%.80s.%s", p->name->bytes, member);
    return code;
}

/* --- prerequisites --- */

static int resolve_requirement(struct flag_requirement *q, const struct cfg_flag_program *p, struct cfg_error *err)
{
    char why[256];
    q->program = cfg_flag_set_find(p->set, q->flag->bytes, q->flag->len);
    if (q->program == NULL) {
        (void)snprintf(why, sizeof why, "its prerequisite \"%.80s\" does not exist", q->flag->bytes);
        return refuse(err, p, "prerequisites", CFG_E_VALUE, why);
    }
    for (uint32_t i = 0; i < q->n_variants && !q->program->broken; i++) {
        if (cfg_flag_find_variant(q->program, q->variants[i]->bytes, q->variants[i]->len))
            continue;
        (void)snprintf(why, sizeof why, "its prerequisite \"%.80s\" has no variant \"%.80s\"", q->flag->bytes,
                       q->variants[i]->bytes);
        return refuse(err, p, "prerequisites", CFG_E_VALUE, why);
    }
    return 0;
}

static int resolve(struct cfg_flag_program *p, struct cfg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && p->extras && i < p->extras->n_requirements; i++)
        rc = resolve_requirement((struct flag_requirement *)(uintptr_t)&p->extras->requirements[i], p, err);
    return rc;
}

static struct cfg_flag_program *required(const struct cfg_flag_program *p, uint32_t i)
{
    return (struct cfg_flag_program *)(uintptr_t)p->extras->requirements[i].program; /* of the set being built */
}

/* Depth first; an open flag met again closes a circle, which the error spells out on the way back. */
static int visit(struct cfg_flag_program *p, unsigned depth, struct cfg_error *err)
{
    static const char too_long[] = "a chain of prerequisites has more than 32 flags";
    if (p->visit == VISIT_OPEN)
        return refuse(err, p, "prerequisites", CFG_E_VALUE, "its prerequisites lead back to itself");
    if (p->visit != VISIT_NEW)
        return 0;
    if (depth > PREREQUISITE_DEPTH)
        return refuse(err, p, "prerequisites", CFG_E_LIMIT, too_long);
    p->visit = VISIT_OPEN;
    uint8_t height = 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && p->extras && !p->broken && i < p->extras->n_requirements; i++) {
        rc = visit(required(p, i), depth + 1, err);
        if (rc != 0)
            (void)cfg_error_wrap(err, "%.40s requires %.40s", p->name->bytes, required(p, i)->name->bytes);
        else if (required(p, i)->visit > height)
            height = required(p, i)->visit;
    }
    p->visit = rc == 0 ? height + 1 : VISIT_NEW;
    if (rc == 0 && p->visit > PREREQUISITE_DEPTH)
        rc = refuse(err, p, "prerequisites", CFG_E_LIMIT, too_long);
    return rc;
}

static int settle(struct cfg_flag_program *p, int rc, bool keep_broken)
{
    if (rc == 0 || !keep_broken)
        return rc;
    p->broken = "PARSE_ERROR";
    return 0;
}

static int check_prerequisites(struct cfg_flag_set *set, bool keep_broken, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < set->n_flags; i++)
        rc = settle(&set->flags[i].program, resolve(&set->flags[i].program, err), keep_broken);
    for (size_t i = 0; rc == 0 && i < set->n_flags; i++)
        rc = settle(&set->flags[i].program, visit(&set->flags[i].program, 1, err), keep_broken);
    return rc;
}

/* --- groups --- */

static int by_group(const void *a, const void *b)
{
    const struct flag_share *x = &(*(struct cfg_flag_program *const *)a)->extras->group;
    const struct flag_share *y = &(*(struct cfg_flag_program *const *)b)->extras->group;
    int c = strcmp(x->name->bytes, y->name->bytes);
    return c != 0 ? c : x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

static int check_neighbours(const struct cfg_flag_program *a, const struct cfg_flag_program *b, struct cfg_error *err)
{
    const struct flag_share *x = &a->extras->group, *y = &b->extras->group;
    char why[256];
    if (x->name != y->name || (x->to <= y->from && x->by_text == y->by_text))
        return 0;
    (void)snprintf(why, sizeof why, "its share [%u, %u) of group \"%.60s\" %s with [%u, %u) of \"%.80s\"", y->from,
                   y->to, x->name->bytes, x->by_text == y->by_text ? "overlaps" : "is by another attribute than",
                   x->from, x->to, a->name->bytes);
    return refuse(err, b, "group", CFG_E_VALUE, why);
}

static int check_groups(struct cfg_flag_set *set, bool keep_broken, struct cfg_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n_flags; i++)
        n += set->flags[i].program.extras && set->flags[i].program.extras->grouped;
    if (n < 2)
        return 0;
    struct cfg_flag_program **all = cJSON_malloc(n * sizeof *all);
    if (all == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory to check %zu flags of groups", n);
    n = 0;
    for (size_t i = 0; i < set->n_flags; i++)
        if (set->flags[i].program.extras && set->flags[i].program.extras->grouped)
            all[n++] = &set->flags[i].program;
    qsort((void *)all, n, sizeof(struct cfg_flag_program *), by_group);
    int rc = 0;
    for (size_t i = 1; rc == 0 && i < n; i++)
        rc = settle(all[i], check_neighbours(all[i - 1], all[i], err), keep_broken);
    cJSON_free((void *)all);
    return rc;
}

int cfg_flag_set_check(struct cfg_flag_set *set, bool keep_broken, struct cfg_error *err)
{
    int rc = check_prerequisites(set, keep_broken, err);
    return rc == 0 ? check_groups(set, keep_broken, err) : rc;
}

void cfg_flag_set_dependents(const struct cfg_flag_set *set, const char *flag,
                             void (*fn)(void *user, const struct cfg_flag_program *dependent), void *user)
{
    for (size_t i = 0; i < set->n_flags; i++) {
        const struct flag_extras *e = set->flags[i].program.extras;
        bool depends = false;
        for (uint32_t k = 0; e && k < e->n_requirements; k++)
            depends = depends || strcmp(e->requirements[k].flag->bytes, flag) == 0;
        if (depends)
            fn(user, &set->flags[i].program);
    }
}
