#include "configd/rollout_observe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- records --- */

static void print_arm(struct cfg_buf *out, const char *name, const struct cfg_arm_report *r)
{
    cfg_buf_printf(out,
                   "\"%s\":{\"groups\":%llu,\"workers\":%llu,\"converged\":%llu,\"rejecting\":%llu,\"lost\":%llu,"
                   "\"metrics\":{",
                   name, (unsigned long long)r->groups, (unsigned long long)r->workers,
                   (unsigned long long)r->converged, (unsigned long long)r->rejecting, (unsigned long long)r->lost);
    for (size_t i = 0; i < r->n_metrics; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_json_put_string(out, cfg_slice_str(r->metrics[i].name));
        cfg_buf_putc(out, ':');
        cfg_moments_print(out, &r->metrics[i].moments);
    }
    cfg_buf_puts(out, "},\"latency\":");
    cfg_histogram_print(out, &r->latency);
    cfg_buf_putc(out, '}');
}

void cfg_observation_print(struct cfg_buf *out, const struct cfg_observation *o)
{
    cfg_buf_printf(out, "{\"seq\":%llu,\"seen\":{\"rollout\":%llu,\"deployment\":%llu},\"arms\":{",
                   (unsigned long long)o->seq, (unsigned long long)o->rollout, (unsigned long long)o->deployment);
    print_arm(out, CFG_ARM_BASE, &o->base);
    cfg_buf_putc(out, ',');
    print_arm(out, CFG_ARM_CANARY, &o->canary);
    cfg_buf_printf(out, "},\"groups\":%llu,\"lowest\":%.17g,\"wall_s\":%lld", (unsigned long long)o->eligible,
                   o->lowest, (long long)o->wall_s);
    if (o->mixed > 0) {
        cfg_buf_printf(out, ",\"mixed\":{\"groups\":%llu,\"first\":", (unsigned long long)o->mixed);
        cfg_json_put_string(out, cfg_slice_str(o->mixed_group));
        cfg_buf_putc(out, '}');
    }
    cfg_buf_putc(out, '}');
}

static int read_arm(struct cfg_arm_report *r, const cJSON *arm, struct cfg_error *err)
{
    const cJSON *metric;
    int rc = cfg_json_need_u64(arm, "groups", &r->groups, err);
    rc = rc ? rc : cfg_json_need_u64(arm, "workers", &r->workers, err);
    rc = rc ? rc : cfg_json_need_u64(arm, "converged", &r->converged, err);
    rc = rc ? rc : cfg_json_need_u64(arm, "rejecting", &r->rejecting, err);
    if (rc == 0 && cfg_json_get(arm, "lost")) /* an older configd says nothing */
        rc = cfg_json_need_u64(arm, "lost", &r->lost, err);
    rc = rc ? rc : cfg_histogram_parse(&r->latency, cfg_json_get(arm, "latency"), err);
    cJSON_ArrayForEach(metric, cfg_json_get(arm, "metrics"))
    {
        struct cfg_moments *m = rc == 0 && metric->string ? cfg_arm_report_add(r, metric->string) : NULL;
        if (m)
            rc = cfg_moments_parse(m, metric, err);
    }
    return rc;
}

static int read_mixed(struct cfg_observation *out, const cJSON *mixed, struct cfg_error *err)
{
    if (mixed == NULL)
        return 0;
    (void)snprintf(out->mixed_group, sizeof out->mixed_group, "%s", cfg_json_get_str(mixed, "first", ""));
    return cfg_json_need_u64(mixed, "groups", &out->mixed, err);
}

int cfg_observation_read(struct cfg_observation *out, const cJSON *record, struct cfg_error *err)
{
    const cJSON *seen = cfg_json_get(record, "seen"), *arms = cfg_json_get(record, "arms");
    const cJSON *lowest = cfg_json_get(record, "lowest");
    memset(out, 0, sizeof *out);
    int rc = cfg_json_need_u64(record, "seq", &out->seq, err);
    rc = rc ? rc : cfg_json_need_u64(seen, "rollout", &out->rollout, err);
    rc = rc ? rc : cfg_json_need_u64(seen, "deployment", &out->deployment, err);
    rc = rc ? rc : cfg_json_need_u64(record, "groups", &out->eligible, err);
    rc = rc ? rc : read_arm(&out->base, cfg_json_get(arms, CFG_ARM_BASE), err);
    rc = rc ? rc : read_arm(&out->canary, cfg_json_get(arms, CFG_ARM_CANARY), err);
    rc = rc ? rc : read_mixed(out, cfg_json_get(record, "mixed"), err);
    if (rc == 0 && (!cJSON_IsNumber(lowest) || !(lowest->valuedouble >= 0 && lowest->valuedouble <= 1)))
        rc = cfg_fail(err, CFG_E_VALUE, "the record's lowest point is none");
    if (rc == 0)
        out->lowest = lowest->valuedouble;
    out->wall_s = (int64_t)cfg_json_get_num(record, "wall_s", 0);
    return rc;
}

/* --- all of them --- */

void cfg_whole_add(struct cfg_whole *w, const char *replica, const struct cfg_observation *o)
{
    if (w->n == 0)
        w->sum.lowest = 1;
    if (w->n == CFG_WHOLE_REPLICAS) {
        cfg_whole_add_unknown(w, "more than %d replicas have workers of it", CFG_WHOLE_REPLICAS);
        return;
    }
    (void)snprintf(w->replicas[w->n].name, sizeof w->replicas[w->n].name, "%s", replica);
    w->replicas[w->n].canary = o->canary.workers;
    w->replicas[w->n++].workers = o->base.workers + o->canary.workers;
    cfg_arm_report_merge(&w->sum.base, &o->base);
    cfg_arm_report_merge(&w->sum.canary, &o->canary);
    w->sum.eligible += o->eligible;
    w->sum.mixed += o->mixed;
    if (o->mixed > 0)
        memcpy(w->sum.mixed_group, o->mixed_group, sizeof w->sum.mixed_group);
    if (o->lowest < w->sum.lowest)
        w->sum.lowest = o->lowest;
}

void cfg_whole_add_skew(struct cfg_whole *w, const char *replica, int64_t skew_s)
{
    struct cfg_whole_skew *furthest = skew_s < 0 ? &w->behind : &w->ahead;
    if (llabs(skew_s) <= CFG_WHOLE_SKEW_S || llabs(skew_s) <= llabs(furthest->s))
        return;
    furthest->s = skew_s;
    (void)snprintf(furthest->replica, sizeof furthest->replica, "%s", replica);
}

void cfg_whole_add_unknown(struct cfg_whole *w, const char *format, ...)
{
    va_list args;
    if (w->unknown++ > 0)
        return;
    va_start(args, format);
    (void)vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
}

static bool is_known(const struct cfg_whole *w, const char *replica)
{
    for (unsigned i = 0; i < w->n; i++)
        if (strcmp(w->replicas[i].name, replica) == 0)
            return true;
    return false;
}

static uint64_t workers_then(const cJSON *before, const char *arm)
{
    uint64_t n = 0;
    return cfg_json_need_u64(cfg_json_get(before, arm), "workers", &n, NULL) == 0 ? n : 0;
}

void cfg_whole_compare(struct cfg_whole *w, const cJSON *before, cfg_absent_fn absent_ms, void *arg)
{
    const cJSON *replicas = cfg_json_get(before, "replicas"), *canaries = cfg_json_get(before, "canaries"), *r;
    double then = 0, now = (double)(w->sum.base.workers + w->sum.canary.workers);
    w->base_then = workers_then(before, CFG_ARM_BASE);
    w->canary_then = workers_then(before, CFG_ARM_CANARY);
    cJSON_ArrayForEach(r, replicas)
    {
        then += cJSON_IsNumber(r) ? r->valuedouble : 0;
    }
    cJSON_ArrayForEach(r, replicas)
    {
        double ran = canaries && r->string ? cfg_json_get_num(canaries, r->string, 0) : r->valuedouble;
        if (r->string == NULL || now >= then || is_known(w, r->string) ||
            (ran <= 0 && absent_ms(arg, r->string) > CFG_WHOLE_GONE_MS))
            continue;
        cfg_whole_add_unknown(w,
                              "replica %.60s, which had %.0f workers at the last decision (%.0f on the release), is "
                              "not heard of",
                              r->string, r->valuedouble, ran);
    }
}

/* --- for people --- */

static bool add_arm(cJSON *o, const char *name, const struct cfg_arm_report *r)
{
    cJSON *arm = cJSON_AddObjectToObject(o, name);
    return cJSON_AddNumberToObject(arm, "groups", (double)r->groups) &&
           cJSON_AddNumberToObject(arm, "workers", (double)r->workers) &&
           cJSON_AddNumberToObject(arm, "converged", (double)r->converged) &&
           cJSON_AddNumberToObject(arm, "rejecting", (double)r->rejecting);
}

cJSON *cfg_whole_json(const struct cfg_whole *w)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = add_arm(o, CFG_ARM_BASE, &w->sum.base) && add_arm(o, CFG_ARM_CANARY, &w->sum.canary) &&
              cJSON_AddNumberToObject(o, "unknown", w->unknown);
    cJSON *replicas = cJSON_AddObjectToObject(o, "replicas"), *canaries = cJSON_AddObjectToObject(o, "canaries");
    for (unsigned i = 0; ok && i < w->n; i++)
        ok = cJSON_AddNumberToObject(replicas, w->replicas[i].name, (double)w->replicas[i].workers) &&
             cJSON_AddNumberToObject(canaries, w->replicas[i].name, (double)w->replicas[i].canary);
    if (ok && replicas && canaries)
        return o;
    cJSON_Delete(o);
    return NULL;
}
