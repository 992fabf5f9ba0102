#include "worker/outcomes.h"

#include "proto/json.h"

#include <stdlib.h>
#include <string.h>

void cfg_outcomes_init(struct cfg_outcomes *o)
{
    memset(o, 0, sizeof *o);
    (void)pthread_mutex_init(&o->lock, NULL); /* cannot fail with default attributes */
}

static void free_sides(struct cfg_outcome *list)
{
    while (list != NULL) {
        struct cfg_outcome *next = list->next;
        free(list->metrics);
        free(list);
        list = next;
    }
}

void cfg_outcomes_finish(struct cfg_outcomes *o)
{
    free_sides(o->sides);
    (void)pthread_mutex_destroy(&o->lock);
}

/* --- adding; under the lock --- */

static struct cfg_outcome *side_of(struct cfg_outcomes *o, struct cfg_exposure *e)
{
    if (e->outcome != NULL) {
        return e->outcome;
    }
    struct cfg_outcome *side = o->n_sides < CFG_OUTCOMES_SIDES ? calloc(1, sizeof *side) : NULL;
    if (side == NULL) {
        return NULL;
    }
    side->of = e;
    side->next = o->sides;
    o->sides = side;
    o->n_sides++;
    e->outcome = side;
    return side;
}

/* The samples of a metric, made room for; a new one takes a cell. */
static struct cfg_outcome_metric *cell_of(struct cfg_outcomes *o, struct cfg_outcome *side, uint32_t metric)
{
    if (metric >= side->n_metrics) {
        uint32_t n = (metric + 4) / 4 * 4;
        struct cfg_outcome_metric *more = realloc(side->metrics, n * sizeof *more);
        if (more == NULL) {
            return NULL;
        }
        memset(more + side->n_metrics, 0, (n - side->n_metrics) * sizeof *more);
        side->metrics = more;
        side->n_metrics = n;
    }
    struct cfg_outcome_metric *m = &side->metrics[metric];
    if (m->moments.n == 0 && m->moments.bad == 0 && o->n_cells++ >= CFG_OUTCOMES_CELLS) {
        o->n_cells--;
        return NULL;
    }
    return m;
}

static void add_unit(struct cfg_outcome *side, uint64_t unit)
{
    uint8_t *r = &side->registers[cfg_hll_register(unit)], rank = cfg_hll_rank(unit);
    *r = *r > rank ? *r : rank;
}

void cfg_outcome_add(struct cfg_exposure *e, uint64_t unit, uint32_t metric, double x)
{
    struct cfg_outcomes *o = e->outcomes;
    if (o == NULL || unit == 0 || metric >= CFG_METRICS_MAX) {
        return;
    }
    (void)pthread_mutex_lock(&o->lock);
    struct cfg_outcome *side = side_of(o, e);
    struct cfg_outcome_metric *m = side != NULL ? cell_of(o, side, metric) : NULL;
    if (m == NULL) {
        o->lost++;
    } else {
        cfg_moments_add(&m->moments, x);
        cfg_parts_add(&m->parts, unit, x);
        add_unit(side, unit);
    }
    (void)pthread_mutex_unlock(&o->lock);
}

/* --- taking --- */

static struct cfg_outcome *take_sides(struct cfg_outcomes *o)
{
    (void)pthread_mutex_lock(&o->lock);
    struct cfg_outcome *list = o->sides;
    for (struct cfg_outcome *s = list; s != NULL; s = s->next) {
        s->of->outcome = NULL;
    }
    o->sides = NULL;
    o->n_sides = o->n_cells = 0;
    (void)pthread_mutex_unlock(&o->lock);
    return list;
}

/* The metrics that have samples, as members of an object. */
static void print_metrics(struct cfg_buf *out, const struct cfg_outcome *s, const struct cfg_metric_names *names,
                          void (*print)(struct cfg_buf *out, const struct cfg_outcome_metric *m))
{
    uint32_t known = atomic_load_explicit(&names->n, memory_order_acquire);
    const char *comma = "";
    for (uint32_t i = 0; i < s->n_metrics && i < known; i++) {
        const struct cfg_outcome_metric *m = &s->metrics[i];
        if (m->moments.n > 0 || m->moments.bad > 0) {
            cfg_buf_printf(out, "%s\"%s\":", comma, names->items[i]);
            print(out, m);
            comma = ",";
        }
    }
}

static void print_moments(struct cfg_buf *out, const struct cfg_outcome_metric *m)
{
    cfg_moments_print(out, &m->moments);
}

static void print_parts(struct cfg_buf *out, const struct cfg_outcome_metric *m)
{
    cfg_parts_print(out, &m->parts);
}

static void print_side(struct cfg_buf *out, const struct cfg_outcome *s, const struct cfg_metric_names *names)
{
    char units[CFG_HLL_REGISTERS + 1];
    cfg_buf_puts(out, "{\"flag\":");
    cfg_json_put_string(out, cfg_slice_str(s->of->flag));
    cfg_buf_puts(out, ",\"variant\":");
    cfg_json_put_string(out, cfg_slice_str(s->of->variant));
    cfg_hll_print(units, s->registers);
    cfg_buf_printf(out, ",\"units\":\"%s\",\"metrics\":{", units);
    print_metrics(out, s, names, print_moments);
    cfg_buf_puts(out, "},\"parts\":{");
    print_metrics(out, s, names, print_parts);
    cfg_buf_puts(out, "}}");
}

static uint64_t samples_of(const struct cfg_outcome *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n_metrics; i++) {
        n += s->metrics[i].moments.n + s->metrics[i].moments.bad;
    }
    return n;
}

bool cfg_outcomes_take(struct cfg_buf *out, struct cfg_outcomes *o, const struct cfg_metric_names *names)
{
    struct cfg_outcome *list = take_sides(o);
    uint64_t lost = 0;
    size_t taken = 0;
    for (const struct cfg_outcome *s = list; s != NULL; s = s->next) {
        struct cfg_buf text;
        cfg_buf_init(&text, CFG_OUTCOMES_BYTES - 2);
        print_side(&text, s, names);
        bool fits = cfg_buf_status(&text) == 0 && taken + text.len + 2 <= CFG_OUTCOMES_BYTES;
        if (fits) {
            cfg_buf_putc(out, taken == 0 ? '[' : ',');
            cfg_buf_put(out, text.data, text.len);
            taken += text.len + 1;
        }
        lost += fits ? 0 : samples_of(s);
        cfg_buf_finish(&text);
    }
    cfg_buf_puts(out, taken > 0 ? "]" : "");
    free_sides(list);
    if (lost > 0) {
        (void)pthread_mutex_lock(&o->lock);
        o->lost += lost;
        (void)pthread_mutex_unlock(&o->lock);
    }
    return taken > 0;
}
