#include "configd/experiment_tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory for an experiment's totals");
}

int cfg_tally_init(struct cfg_tally *out, const struct cfg_experiment *of, struct cfg_error *err)
{
    struct cfg_tally t = {.of = of, .p_floor = 1, .sides = calloc(of->n_sides, sizeof *t.sides)};
    if (t.sides == NULL)
        return no_memory(err);
    *out = t;
    return 0;
}

void cfg_tally_finish(struct cfg_tally *t)
{
    for (size_t i = 0; i < t->n_groups; i++) {
        free(t->groups[i]->name);
        free(t->groups[i]);
    }
    free((void *)t->groups);
    free(t->sides);
    *t = (struct cfg_tally){0};
}

/* --- groups --- */

static size_t find_group(bool *found, const struct cfg_tally *t, const char *name)
{
    size_t low = 0, high = t->n_groups;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, t->groups[middle]->name);
        *found = order == 0;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return *found ? high : low;
}

static bool grow(struct cfg_tally *t)
{
    if (t->n_groups < t->cap_groups)
        return true;
    size_t cap = t->cap_groups ? 2 * t->cap_groups : 32;
    struct cfg_tally_group **groups = realloc((void *)t->groups, cap * sizeof(struct cfg_tally_group *));
    if (groups == NULL)
        return false;
    t->groups = groups;
    t->cap_groups = cap;
    return true;
}

/* The group, made when there is none; NULL without memory, or (most > 0) beyond that many. Another side than before
 * crosses it. */
static struct cfg_tally_group *group_at(struct cfg_tally *t, const char *name, size_t side, size_t most)
{
    bool found;
    size_t at = find_group(&found, t, name);
    if (found) {
        t->groups[at]->crossed = t->groups[at]->crossed || t->groups[at]->side != side;
        return t->groups[at];
    }
    if ((most > 0 && t->n_groups >= most) || !grow(t))
        return NULL;
    struct cfg_tally_group *g = calloc(1, sizeof *g + t->of->n_metrics * sizeof g->metrics[0]);
    if (g == NULL || (g->name = strdup(name)) == NULL) {
        free(g);
        return NULL;
    }
    g->side = side;
    memmove((void *)(t->groups + at + 1), (void *)(t->groups + at), (t->n_groups - at) * sizeof g);
    t->groups[at] = g;
    t->n_groups++;
    return g;
}

/* --- taking in --- */

static size_t side_of(const struct cfg_tally *t, const char *name)
{
    size_t i = 0;
    while (i < t->of->n_sides && strcmp(t->of->sides[i], name) != 0)
        i++;
    return i;
}

static void add_outcome(struct cfg_tally_side *to, const struct cfg_experiment *of, const cJSON *outcome)
{
    const cJSON *metrics = cfg_json_get(outcome, "metrics"), *parts = cfg_json_get(outcome, "parts");
    struct cfg_moments m;
    struct cfg_parts p;
    for (size_t i = 0; i < of->n_metrics; i++) {
        const char *name = of->metrics[i].name;
        const cJSON *v = cfg_json_get(metrics, name);
        if (v && cfg_moments_parse(&m, v, NULL) == 0 && cfg_parts_parse(&p, cfg_json_get(parts, name), NULL) == 0) {
            cfg_moments_merge(&to->metrics[i], &m);
            cfg_parts_merge(&to->parts[i], &p);
        }
    }
}

bool cfg_tally_outcome(struct cfg_tally *t, const cJSON *outcome)
{
    size_t side = side_of(t, cfg_json_get_str(outcome, "variant", ""));
    if (side == t->of->n_sides || !cfg_hll_unite(t->sides[side].registers, cfg_json_get_str(outcome, "units", "")))
        return false;
    add_outcome(&t->sides[side], t->of, outcome);
    return true;
}

static void join_group(struct cfg_tally_group_metric *to, uint64_t n, double mean, double first)
{
    if (n == 0)
        return;
    to->first = to->n == 0 ? first : to->first;
    to->mean += (mean - to->mean) * ((double)n / ((double)to->n + (double)n));
    to->n += n;
}

static void add_window(struct cfg_tally_group *g, const struct cfg_experiment *of, const cJSON *metrics)
{
    struct cfg_moments m;
    for (size_t i = 0; i < of->n_metrics; i++) {
        const cJSON *v = cfg_json_get(metrics, of->metrics[i].name);
        if (v && cfg_moments_parse(&m, v, NULL) == 0)
            join_group(&g->metrics[i], m.n, m.mean, m.mean);
    }
}

/* Each has a name of up to 63 bytes and three numbers a metric. */
static size_t groups_max(const struct cfg_experiment *of)
{
    size_t fit = CFG_TALLY_GROUPS_BYTES / (80 + 70 * of->n_metrics);
    return fit < CFG_TALLY_GROUPS ? fit : CFG_TALLY_GROUPS;
}

bool cfg_tally_window(struct cfg_tally *t, const char *group, const char *arm, const cJSON *metrics)
{
    size_t side = side_of(t, arm);
    if (side == t->of->n_sides)
        return false;
    struct cfg_tally_group *g = group_at(t, group, side, groups_max(t->of));
    if (g) {
        add_window(g, t->of, metrics);
        g->windows++;
        t->rounds = g->windows > t->rounds ? g->windows : t->rounds;
    } else {
        t->left_out++;
    }
    return true;
}

static int merge_group(struct cfg_tally *t, const struct cfg_tally_group *from, struct cfg_error *err)
{
    struct cfg_tally_group *g = group_at(t, from->name, from->side, 0);
    if (g == NULL)
        return no_memory(err);
    g->crossed = g->crossed || from->crossed;
    for (size_t i = 0; i < t->of->n_metrics; i++)
        join_group(&g->metrics[i], from->metrics[i].n, from->metrics[i].mean, from->metrics[i].first);
    return 0;
}

int cfg_tally_merge(struct cfg_tally *t, const struct cfg_tally *other, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < t->of->n_sides; i++) {
        struct cfg_tally_side *to = &t->sides[i];
        const struct cfg_tally_side *from = &other->sides[i];
        for (size_t k = 0; k < CFG_HLL_REGISTERS; k++)
            to->registers[k] = to->registers[k] > from->registers[k] ? to->registers[k] : from->registers[k];
        for (size_t k = 0; k < t->of->n_metrics; k++) {
            cfg_moments_merge(&to->metrics[k], &from->metrics[k]);
            cfg_parts_merge(&to->parts[k], &from->parts[k]);
        }
    }
    for (size_t i = 0; rc == 0 && i < other->n_groups; i++)
        rc = merge_group(t, other->groups[i], err);
    t->left_out += other->left_out;
    t->rounds = other->rounds > t->rounds ? other->rounds : t->rounds;
    t->p_floor = fmin(t->p_floor, other->p_floor);
    return rc;
}

/* --- text --- */

static void print_side(struct cfg_buf *out, const struct cfg_tally *t, const struct cfg_tally_side *side)
{
    char units[CFG_HLL_REGISTERS + 1];
    cfg_hll_print(units, side->registers);
    cfg_buf_printf(out, "{\"units\":\"%s\",\"metrics\":[", units);
    for (size_t i = 0; i < t->of->n_metrics; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_moments_print(out, &side->metrics[i]);
    }
    cfg_buf_puts(out, "],\"parts\":[");
    for (size_t i = 0; i < t->of->n_metrics; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_parts_print(out, &side->parts[i]);
    }
    cfg_buf_puts(out, "]}");
}

/* ["name",side,crossed,n,mean,first,n,mean,first,…] */
static void print_group(struct cfg_buf *out, const struct cfg_tally *t, const struct cfg_tally_group *g)
{
    cfg_buf_putc(out, '[');
    cfg_json_put_string(out, cfg_slice_str(g->name));
    cfg_buf_printf(out, ",%zu,%d", g->side, g->crossed ? 1 : 0);
    for (size_t i = 0; i < t->of->n_metrics; i++) {
        cfg_buf_printf(out, ",%llu,", (unsigned long long)g->metrics[i].n);
        cfg_json_put_number(out, g->metrics[i].mean);
        cfg_buf_putc(out, ',');
        cfg_json_put_number(out, g->metrics[i].first);
    }
    cfg_buf_putc(out, ']');
}

void cfg_tally_print(struct cfg_buf *out, const struct cfg_tally *t)
{
    cfg_buf_puts(out, "{\"p_floor\":");
    cfg_json_put_number(out, t->p_floor);
    cfg_buf_printf(out, ",\"rounds\":%u,\"left_out\":%llu,\"sides\":[", t->rounds, (unsigned long long)t->left_out);
    for (size_t i = 0; i < t->of->n_sides && t->of->flag; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        print_side(out, t, &t->sides[i]);
    }
    cfg_buf_puts(out, "],\"groups\":[");
    for (size_t i = 0; i < t->n_groups; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        print_group(out, t, t->groups[i]);
    }
    cfg_buf_puts(out, "]}");
}

static bool parse_side(struct cfg_tally *t, size_t i, const cJSON *side)
{
    const cJSON *metrics = cfg_json_get(side, "metrics"), *parts = cfg_json_get(side, "parts");
    const cJSON *m = metrics ? metrics->child : NULL, *p = parts ? parts->child : NULL;
    bool ok = i < t->of->n_sides && cfg_hll_unite(t->sides[i].registers, cfg_json_get_str(side, "units", ""));
    for (size_t k = 0; ok && k < t->of->n_metrics; k++) {
        ok = m && p && cfg_moments_parse(&t->sides[i].metrics[k], m, NULL) == 0 &&
             cfg_parts_parse(&t->sides[i].parts[k], p, NULL) == 0;
        m = ok ? m->next : NULL;
        p = ok ? p->next : NULL;
    }
    return ok;
}

static bool is_mean(const cJSON *v)
{
    return cJSON_IsNumber(v) && fabs(v->valuedouble) <= CFG_MOMENTS_LIMIT;
}

static bool parse_group(struct cfg_tally *t, const cJSON *group)
{
    const cJSON *name = cJSON_GetArrayItem(group, 0), *side = name ? name->next : NULL,
                *crossed = side ? side->next : NULL, *at = crossed ? crossed->next : NULL;
    if (!cJSON_IsString(name) || !cJSON_IsNumber(side) || !(side->valuedouble >= 0) ||
        !(side->valuedouble < (double)t->of->n_sides) || !cJSON_IsNumber(crossed))
        return false;
    struct cfg_tally_group *g = group_at(t, name->valuestring, (size_t)side->valuedouble, 0);
    if (g == NULL)
        return false;
    g->crossed = g->crossed || crossed->valuedouble > 0;
    for (size_t i = 0; i < t->of->n_metrics; i++) {
        const cJSON *mean = at ? at->next : NULL, *first = mean ? mean->next : NULL;
        if (!cJSON_IsNumber(at) || !is_mean(mean) || !is_mean(first) || !(at->valuedouble >= 0) ||
            !(at->valuedouble < 9e15))
            return false;
        join_group(&g->metrics[i], (uint64_t)at->valuedouble, mean->valuedouble, first->valuedouble);
        at = first->next;
    }
    return true;
}

int cfg_tally_read(struct cfg_tally *out, const struct cfg_experiment *of, const cJSON *tree, struct cfg_error *err)
{
    struct cfg_tally t = {0};
    const cJSON *item;
    size_t i = 0;
    int rc = cfg_tally_init(&t, of, err);
    bool ok = rc == 0;
    cJSON_ArrayForEach(item, cfg_json_get(tree, "sides"))
    {
        ok = ok && parse_side(&t, i++, item);
    }
    cJSON_ArrayForEach(item, cfg_json_get(tree, "groups"))
    {
        ok = ok && parse_group(&t, item);
    }
    t.p_floor = cfg_json_get_num(tree, "p_floor", 0);
    double left_out = cfg_json_get_num(tree, "left_out", 0);
    ok = ok && left_out >= 0 && left_out < 9e15;
    t.left_out = ok ? (uint64_t)left_out : 0;
    t.rounds = cfg_json_get_num(tree, "rounds", 0) >= CFG_TALLY_ROUNDS ? CFG_TALLY_ROUNDS : 0; /* all that matters */
    if (rc == 0 && !(ok && t.p_floor > 0 && t.p_floor <= 1))
        rc = cfg_fail(err, CFG_E_VALUE, "totals of an experiment that are none of ours");
    if (rc != 0)
        cfg_tally_finish(&t);
    else
        *out = t;
    return rc;
}

int cfg_tally_parse(struct cfg_tally *out, const struct cfg_experiment *of, struct cfg_slice text,
                    struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = cfg_json_parse(&tree, text, 8, err);
    rc = rc ? rc : cfg_tally_read(out, of, tree, err);
    cJSON_Delete(tree);
    return rc;
}

uint64_t cfg_tally_count(const struct cfg_tally *t)
{
    uint64_t n = t->left_out;
    for (size_t i = 0; i < t->of->n_sides; i++)
        for (size_t k = 0; k < t->of->n_metrics; k++)
            n += t->sides[i].metrics[k].n + t->sides[i].metrics[k].bad;
    for (size_t i = 0; i < t->n_groups; i++)
        for (size_t k = 0; k < t->of->n_metrics; k++)
            n += t->groups[i]->metrics[k].n;
    return n;
}

/* --- the report --- */

struct sums {
    struct cfg_experiment_sample metrics[CFG_STATS_ARMS_MAX][CFG_EXPERIMENT_METRICS_MAX];
    uint64_t units[CFG_STATS_ARMS_MAX], crossed;
};

/* One sample a group: the mean of its own. A group that crossed was assigned like any other, to the side that it was
 * first seen in, but what it measured is of neither. */
static void sum_groups(struct sums *s, const struct cfg_tally *t)
{
    struct cfg_moments first[CFG_STATS_ARMS_MAX][CFG_EXPERIMENT_METRICS_MAX];
    memset(first, 0, sizeof first);
    for (size_t i = 0; i < t->n_groups; i++) {
        const struct cfg_tally_group *g = t->groups[i];
        s->crossed += g->crossed;
        s->units[g->side]++;
        for (size_t k = 0; k < t->of->n_metrics && !g->crossed; k++)
            if (g->metrics[k].n > 0) {
                cfg_moments_add(&s->metrics[g->side][k].moments, g->metrics[k].mean);
                cfg_moments_add(&first[g->side][k], g->metrics[k].first);
            }
    }
    for (size_t i = 0; i < t->of->n_sides; i++)
        for (size_t k = 0; k < t->of->n_metrics; k++)
            s->metrics[i][k].scale = cfg_moments_variance(&first[i][k]);
}

static void sum_sides(struct sums *s, const struct cfg_tally *t)
{
    for (size_t i = 0; i < t->of->n_sides; i++) {
        const struct cfg_tally_side *side = &t->sides[i];
        s->units[i] = (uint64_t)llround(cfg_hll_estimate(side->registers));
        for (size_t k = 0; k < t->of->n_metrics; k++)
            s->metrics[i][k] = (struct cfg_experiment_sample){.moments = side->metrics[k],
                                                              .parts = &side->parts[k],
                                                              .scale = cfg_moments_variance(&side->metrics[k])};
    }
}

cJSON *cfg_tally_report(const struct cfg_tally *t, double *p_floor)
{
    const struct cfg_experiment *x = t->of;
    struct cfg_experiment_side sides[CFG_STATS_ARMS_MAX];
    struct sums *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    if (x->flag)
        sum_sides(s, t);
    else
        sum_groups(s, t);
    for (size_t i = 0; i < x->n_sides; i++)
        sides[i] = (struct cfg_experiment_side){x->sides[i], x->shares[i], s->units[i], s->metrics[i]};
    const struct cfg_experiment_data d = {
        .metrics = x->metrics,
        .n_metrics = x->n_metrics,
        .sides = sides,
        .n_sides = x->n_sides,
        .units_error = x->flag ? CFG_EXPERIMENT_UNITS_ERROR : 0,
        .alpha = x->alpha,
        .planned_units = x->planned_units,
        .units_min = x->flag ? CFG_EXPERIMENT_KEYS_MIN : CFG_EXPERIMENT_GROUPS_MIN,
        .units_come = x->flag == NULL && t->rounds < CFG_TALLY_ROUNDS,
        .p_floor = t->p_floor,
    };
    cJSON *report = cfg_experiment_report(&d), *groups = NULL;
    *p_floor = cfg_experiment_mismatch(&d);
    bool ok = report && (x->flag || (groups = cJSON_AddObjectToObject(report, "groups")) != NULL);
    if (ok && groups)
        ok = cJSON_AddNumberToObject(groups, "crossed", (double)s->crossed) &&
             cJSON_AddNumberToObject(groups, "left_out", (double)t->left_out);
    free(s);
    if (ok)
        return report;
    cJSON_Delete(report);
    return NULL;
}
