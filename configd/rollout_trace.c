#include "configd/rollout_trace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool any_value(const struct cfg_rollout *r, const struct cfg_rollout_verdict *v)
{
    for (size_t i = 0; i < r->n_guards; i++)
        if (v->readings[i].has_canary || v->readings[i].has_base)
            return true;
    return false;
}

static void thin_out(struct cfg_rollout_trace *t)
{
    for (size_t i = 1; 2 * i < t->n; i++)
        t->points[i] = t->points[2 * i];
    t->n = (t->n + 1) / 2;
    t->every_ms *= 2;
}

void cfg_rollout_trace_add(struct cfg_rollout_trace *t, uint64_t version, const struct cfg_rollout *r,
                           const struct cfg_rollout_verdict *v, uint64_t now_ms)
{
    if (t->version != version) {
        t->version = version;
        t->n = 0;
        t->every_ms = CFG_TRACE_EVERY_MS;
    }
    if ((t->n > 0 && now_ms - t->points[t->n - 1].ms < t->every_ms) || !any_value(r, v))
        return;
    if (t->n == CFG_TRACE_POINTS)
        thin_out(t);
    t->points[t->n].ms = now_ms;
    for (size_t i = 0; i < r->n_guards; i++) {
        const struct cfg_guard_reading *g = &v->readings[i];
        t->points[t->n].canary[i] = g->has_canary ? g->canary : NAN;
        t->points[t->n].base[i] = g->has_base ? g->base : NAN;
    }
    t->n++;
}

/* --- as JSON --- */

/* Six digits are more than a plot shows. */
static cJSON *number(double v)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.6g", v);
    return isfinite(v) ? cJSON_CreateNumber(strtod(text, NULL)) : cJSON_CreateNull();
}

static bool add_guard(cJSON *list, const char *name, const struct cfg_rollout_trace *t, size_t guard)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddItemToArray(list, o) && cJSON_AddStringToObject(o, "guard", name);
    cJSON *canary = ok ? cJSON_AddArrayToObject(o, "canary") : NULL,
          *base = ok ? cJSON_AddArrayToObject(o, "base") : NULL;
    for (size_t i = 0; ok && i < t->n; i++)
        ok = cJSON_AddItemToArray(canary, number(t->points[i].canary[guard])) &&
             cJSON_AddItemToArray(base, number(t->points[i].base[guard]));
    return ok;
}

cJSON *cfg_rollout_trace_json(const struct cfg_rollout_trace *t, uint64_t version, const struct cfg_rollout *r,
                              uint64_t now_ms)
{
    if (t->version != version || t->n == 0)
        return NULL;
    cJSON *o = cJSON_CreateObject(), *ms = cJSON_AddArrayToObject(o, "ms"),
          *guards = cJSON_AddArrayToObject(o, "guards");
    bool ok = ms && guards;
    for (size_t i = 0; ok && i < t->n; i++)
        ok = cJSON_AddItemToArray(ms, cJSON_CreateNumber(-(double)(now_ms - t->points[i].ms)));
    for (size_t i = 0; ok && i < r->n_guards; i++)
        ok = add_guard(guards, cfg_rollout_guard_text(r->guards[i]), t, i);
    if (ok)
        return o;
    cJSON_Delete(o);
    return NULL;
}
