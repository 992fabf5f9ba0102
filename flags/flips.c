/* When a set's answers change by themselves: at the instants that rules compare $flagd.timestamp with. They are noted
 * while rules are compiled, so that asking for the next one is a search in a sorted array. A rule that computes with
 * the time ({"%": [time, 86400]}) is not followed. */
#include "flags/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INSTANTS_MAX = 1000 }; /* of one flag */

/* --- while compiling --- */

static int add(struct logic_compiler *c, int64_t at)
{
    struct logic_instants *list = &c->instants;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->at[i] == at)
            return 0;
    if (list->n == INSTANTS_MAX)
        return c->lenient ? 0 : cfg_logic_refuse(c, CFG_E_LIMIT, "a flag's rules name more than 1000 instants", NULL);
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 4;
        int64_t *more = cfg_flag_arena_take(c->arena, cap * sizeof *more);
        if (more == NULL)
            return cfg_logic_no_memory(c);
        if (list->n > 0)
            memcpy(more, list->at, list->n * sizeof *more);
        list->at = more;
        list->cap = cap;
    }
    list->at[list->n++] = at;
    return 0;
}

int cfg_logic_add_instants(struct logic_compiler *c, const struct logic_instants *of)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < of->n; i++)
        rc = add(c, of->at[i]);
    return rc;
}

/* The first whole second at which `time op limit` is another than a second before, and the second for ==. */
static int note(struct logic_compiler *c, enum logic_op op, double limit)
{
    if (!(fabs(limit) < 9e15))
        return 0; /* never, or always */
    if (op == OP_LT || op == OP_GE)
        return add(c, (int64_t)ceil(limit));
    if (op == OP_LE || op == OP_GT)
        return add(c, (int64_t)floor(limit) + 1);
    if (limit != floor(limit))
        return 0;
    int rc = add(c, (int64_t)limit);
    return rc == 0 ? add(c, (int64_t)limit + 1) : rc;
}

static enum logic_op mirrored(enum logic_op op)
{
    switch (op) {
    case OP_LT:
        return OP_GT;
    case OP_LE:
        return OP_GE;
    case OP_GT:
        return OP_LT;
    case OP_GE:
        return OP_LE;
    default:
        return op;
    }
}

int cfg_logic_note_instants(struct logic_compiler *c, const struct logic_node *node)
{
    enum logic_op op = (enum logic_op)node->op;
    const struct logic_node *kids = node->as.kids;
    int rc = 0;
    double limit;
    if (op < OP_EQ || op > OP_GE)
        return 0;
    for (uint32_t i = 0; rc == 0 && i + 1 < node->n; i++) {
        const struct logic_node *a = &kids[i], *b = &kids[i + 1];
        if (a->op == OP_TIMESTAMP && b->op == OP_LITERAL && cfg_logic_to_number(&limit, b->as.literal))
            rc = note(c, op, limit);
        else if (b->op == OP_TIMESTAMP && a->op == OP_LITERAL && cfg_logic_to_number(&limit, a->as.literal))
            rc = note(c, mirrored(op), limit);
    }
    return rc;
}

int cfg_flag_note_flips(struct flag_compiler *c, uint32_t flag)
{
    const struct logic_instants *of = &c->logic.instants;
    if (c->n_flips + of->n > c->cap_flips) {
        size_t cap = 2 * c->cap_flips + of->n;
        struct flag_flip *more = cfg_flag_arena_take(c->logic.arena, cap * sizeof *more);
        if (more == NULL)
            return cfg_logic_no_memory(&c->logic);
        if (c->n_flips > 0)
            memcpy(more, c->flips, c->n_flips * sizeof *more);
        c->flips = more;
        c->cap_flips = cap;
    }
    for (uint32_t i = 0; i < of->n; i++)
        c->flips[c->n_flips++] = (struct flag_flip){of->at[i], flag};
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const struct flag_flip *x = a, *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : (x->flag > y->flag) - (x->flag < y->flag);
}

void cfg_flag_set_keep_flips(struct cfg_flag_set *set, struct flag_compiler *c)
{
    if (c->n_flips > 1)
        qsort(c->flips, c->n_flips, sizeof *c->flips, by_time);
    set->flips = c->flips;
    set->n_flips = c->n_flips;
}

/* --- asking --- */

static size_t first_after(const struct cfg_flag_set *set, int64_t after)
{
    size_t low = 0, high = set->n_flips;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (set->flips[mid].at <= after)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int64_t cfg_flag_set_next_flip(const struct cfg_flag_set *set, int64_t after)
{
    size_t i = first_after(set, after);
    return i < set->n_flips ? set->flips[i].at : CFG_FLAG_NEVER;
}

void cfg_flag_set_flips(const struct cfg_flag_set *set, int64_t after, int64_t until, cfg_flag_flip_fn fn, void *user)
{
    for (size_t i = first_after(set, after); i < set->n_flips && set->flips[i].at <= until; i++)
        fn(user, &set->flags[set->flips[i].flag].program, set->flips[i].at);
}
