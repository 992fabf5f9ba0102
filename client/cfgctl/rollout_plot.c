#include "client/cfgctl/rollout_plot.h"
#include "client/cfgctl/chart.h"
#include "proto/rfc3339.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS_MAX = 4000, MARKS_MAX = 64, FEW = 4 }; /* fewer points are told better by the lines above */

struct plot {
    struct chart_point *points; /* POINTS_MAX */
    size_t n;
    struct chart_mark marks[MARKS_MAX];
    size_t n_marks;
};

static double at(const cJSON *list, int i)
{
    const cJSON *v = cJSON_GetArrayItem(list, i);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const cJSON *trace_of(const cJSON *trace, const char *guard)
{
    const cJSON *g;
    cJSON_ArrayForEach(g, cfg_json_get(trace, "guards"))
    {
        if (strcmp(cfg_json_get_str(g, "guard", ""), guard) == 0)
            return g;
    }
    return NULL;
}

/* The guard's points of a trace that ends at `now`. */
static void add_points(struct plot *p, const cJSON *trace, const char *guard, double now)
{
    const cJSON *ms = cfg_json_get(trace, "ms"), *g = trace_of(trace, guard);
    const cJSON *canary = cfg_json_get(g, "canary"), *base = cfg_json_get(g, "base");
    for (int i = 0; g && i < cJSON_GetArraySize(ms) && p->n < POINTS_MAX; i++)
        p->points[p->n++] = (struct chart_point){now + at(ms, i) / 1000, at(canary, i), at(base, i)};
}

static double seconds_of(const cJSON *version)
{
    int64_t us = 0;
    return cfg_rfc3339_parse(&us, cfg_slice_str(cfg_json_get_str(version, "time", "")), NULL) == 0 ? (double)us / 1e6
                                                                                                   : NAN;
}

/* "50 %" where a share is set, "all run it" when it has been taken over; else the phase that began. */
static void add_mark(struct plot *p, const cJSON *version, double seconds)
{
    const cJSON *state = cfg_json_get(version, "state");
    const char *phase = cfg_json_get_str(state, "phase", "?");
    const cJSON *step = cJSON_GetArrayItem(cfg_json_get(version, "steps"), (int)cfg_json_get_num(state, "step", 0));
    if (p->n_marks == MARKS_MAX)
        return;
    struct chart_mark *m = &p->marks[p->n_marks++];
    m->seconds = seconds;
    if (strcmp(phase, "rolling") == 0)
        (void)snprintf(m->text, sizeof m->text, "%.4g %%", cfg_json_get_num(step, "share", 0) * 100);
    else
        (void)snprintf(m->text, sizeof m->text, "%s", strcmp(phase, "baking") == 0 ? "all run it" : phase);
}

static void gather(struct plot *p, const cJSON *versions, const char *guard)
{
    double run = cfg_json_get_num(versions ? versions->child : NULL, "run", 0);
    p->n = p->n_marks = 0;
    for (int i = cJSON_GetArraySize(versions); i-- > 0;) {
        const cJSON *version = cJSON_GetArrayItem(versions, i);
        double seconds = seconds_of(version);
        if (cfg_json_get_num(version, "run", 0) < run || isnan(seconds))
            continue;
        add_points(p, cfg_json_get(cfg_json_get(version, "decision"), "trace"), guard, seconds);
        add_mark(p, version, seconds);
    }
}

/* From when on there is something to see. */
static void drop_early_marks(struct plot *p)
{
    size_t first = 0;
    while (first + 1 < p->n_marks && p->n > 0 && p->marks[first + 1].seconds <= p->points[0].seconds)
        first++;
    memmove(p->marks, p->marks + first, (p->n_marks - first) * sizeof p->marks[0]);
    p->n_marks -= first;
}

static void put(struct cfg_buf *out, const struct plot *p, const char *guard, size_t width, bool color)
{
    const struct chart c = {guard, p->points, p->n, p->marks, p->n_marks};
    if (p->n >= FEW)
        chart_put(out, &c, width, color);
}

void rollout_plot_history(struct cfg_buf *out, const cJSON *versions, size_t width, bool color)
{
    const cJSON *guard;
    struct plot p = {.points = calloc(POINTS_MAX, sizeof *p.points)};
    cJSON_ArrayForEach(guard, cfg_json_get(versions ? versions->child : NULL, "guards"))
    {
        if (p.points == NULL || !cJSON_IsString(guard))
            continue;
        gather(&p, versions, guard->valuestring);
        drop_early_marks(&p);
        put(out, &p, guard->valuestring, width, color);
    }
    free(p.points);
}

void rollout_plot_live(struct cfg_buf *out, const cJSON *rollout, size_t width, bool color)
{
    const cJSON *trace = cfg_json_get(cfg_json_get(rollout, "live"), "trace"), *g;
    struct plot p = {.points = calloc(POINTS_MAX, sizeof *p.points)};
    cJSON_ArrayForEach(g, cfg_json_get(trace, "guards"))
    {
        const char *guard = cfg_json_get_str(g, "guard", "?");
        p.n = 0;
        if (p.points) {
            add_points(&p, trace, guard, 0);
            put(out, &p, guard, width, color);
        }
    }
    free(p.points);
}
