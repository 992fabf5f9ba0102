#include "configd/rollout_observe.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKEW_S = 5 }; /* clocks that differ by less are the same */

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
        struct cfg_moments *m = rc == 0 ? cfg_arm_report_add(r, metric->string) : NULL;
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
    if (llabs(skew_s) <= SKEW_S || llabs(skew_s) <= llabs(furthest->s))
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
        double ran = canaries ? cfg_json_get_num(canaries, r->string, 0) : r->valuedouble;
        if (now >= then || is_known(w, r->string) || (ran <= 0 && absent_ms(arg, r->string) > CFG_WHOLE_GONE_MS))
            continue;
        cfg_whole_add_unknown(w,
                              "replica %.60s, which had %.0f workers at the last decision (%.0f on the release), is "
                              "not heard of",
                              r->string, r->valuedouble, ran);
    }
}

/* Known where one replica has all workers: else they may have gone to another. */
static uint64_t lost_of(const struct cfg_whole *w, const struct cfg_arm_report *r)
{
    return w->n == 1 ? r->lost : 0;
}

/* Who ought to run the release. */
static uint64_t expected(const struct cfg_whole *w)
{
    return w->sum.canary.workers + lost_of(w, &w->sum.canary);
}

static bool is_few(uint64_t missing, uint64_t of)
{
    return missing * 10 <= of;
}

/* --- the verdict --- */

static void say(struct cfg_rollout_verdict *v, enum cfg_rollout_input input, const char *why)
{
    v->any = true;
    v->input = input;
    (void)snprintf(v->why, sizeof v->why, "%s", why);
}

CFG_PRINTF(2, 3) static void wait_for(struct cfg_rollout_verdict *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(v->why, sizeof v->why, format, args);
    va_end(args);
}

/* Those who could run the release and do not, are what it is compared with. */
static void judge_guards(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const struct cfg_whole *w)
{
    bool compared = r->state.step > 0 || r->steps[r->state.step].share >= 1;
    uint64_t canary = w->sum.canary.groups, left = w->sum.eligible > canary ? w->sum.eligible - canary : 0;
    for (size_t i = 0; i < r->n_guards; i++)
        cfg_rollout_guard_judge(&v->readings[i], r->guards[i], &w->sum.canary, &w->sum.base, r->min_samples,
                                left > 0   ? CFG_BASE_THERE
                                : compared ? CFG_BASE_LEFT
                                           : CFG_BASE_MISSING);
}

/* Something is clearly wrong. What only some replicas know is enough for that. */
static bool is_failing(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const struct cfg_whole *w)
{
    if (w->sum.canary.rejecting > 0) {
        say(v, CFG_ROLLOUT_FAILED, "");
        wait_for(v, "%llu of the canary's %llu workers reject the release", (unsigned long long)w->sum.canary.rejecting,
                 (unsigned long long)w->sum.canary.workers);
        return true;
    }
    for (size_t i = 0; i < r->n_guards; i++)
        if (v->readings[i].verdict == CFG_VERDICT_FAILS) {
            say(v, CFG_ROLLOUT_FAILED, "");
            wait_for(v, "guard %s fails: %s", cfg_rollout_guard_text(r->guards[i]), v->readings[i].why);
            return true;
        }
    return false;
}

/* Says whom it waits for when somebody is not heard of. */
static bool is_unknown(struct cfg_rollout_verdict *v, const struct cfg_whole *w)
{
    if (w->unknown > 0)
        wait_for(v, "%s", w->why);
    return w->unknown > 0;
}

/* Did the canary lose clearly more of its workers than the base? Beyond three standard errors of what the base's loss
 * lets expect, which is never taken for less than 1 in 50 or so: workers come and go. A release that kills its workers
 * reports nothing wrong. */
static bool lost_more(double then, double gone, double base, double base_gone)
{
    const double rate = (base_gone + 1) / (base + 50);
    return gone > 0 && gone > then * rate + 3 * sqrt(then * rate * (1 - rate));
}

/* Since the last decision, whoever told of them. */
static bool is_dying(const struct cfg_whole *w)
{
    const double then = (double)w->canary_then, gone = then - (double)w->sum.canary.workers;
    const double base = (double)w->base_then, base_gone = fmax(0, base - (double)w->sum.base.workers);
    return base > 0 && lost_more(then, gone, base, base_gone);
}

/* Since the step began: perhaps they died of taking the release over. */
static bool is_losing(struct cfg_rollout_verdict *v, const struct cfg_whole *w)
{
    const uint64_t lost = lost_of(w, &w->sum.canary), base_lost = lost_of(w, &w->sum.base);
    if (!lost_more((double)expected(w), (double)lost, (double)(w->sum.base.workers + base_lost), (double)base_lost))
        return false;
    wait_for(v,
             "%llu of the canary's %llu workers have gone since the step began; to go on without them: cfgctl rollout "
             "pause, then resume",
             (unsigned long long)lost, (unsigned long long)expected(w));
    return true;
}

static bool is_mixed(struct cfg_rollout_verdict *v, const struct cfg_whole *w)
{
    if (w->sum.mixed > 0)
        wait_for(v, "the ranks of group %.100s carry different labels, so they agree on no release (%llu such)",
                 w->sum.mixed_group, (unsigned long long)w->sum.mixed);
    return w->sum.mixed > 0;
}

static void judge_scheduled(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const struct cfg_whole *w,
                            const struct cfg_rollout_clock *clock)
{
    if (!cfg_rollout_is_due(r, clock->now_s))
        wait_for(v, "it starts in %lld s", (long long)(r->start_at - clock->now_s));
    else if (!cfg_rollout_is_due(r, clock->now_s + w->behind.s))
        wait_for(v, "its time has not come by the clock of replica %.80s, which is %" PRId64 " s behind",
                 w->behind.replica, -w->behind.s);
    else if (is_unknown(v, w) || is_mixed(v, w))
        return;
    else if (w->sum.eligible == 0)
        wait_for(v, "no rank group that it could begin with is connected");
    else
        say(v, CFG_ROLLOUT_DUE, r->start_at > 0 ? "its time has come" : "begins");
}

static void judge_rolling(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const struct cfg_whole *w)
{
    const struct cfg_arm_report *c = &w->sum.canary;
    if (is_unknown(v, w) || is_losing(v, w) || is_mixed(v, w))
        return;
    if (c->groups == 0)
        wait_for(v, "%.4g %% holds no rank group; the smallest share that does is %.4g %%",
                 r->steps[r->state.step].share * 100, cfg_split_share_for(w->sum.lowest) * 100);
    else if (c->converged < c->workers)
        wait_for(v, "%llu of the canary's %llu workers run the release", (unsigned long long)c->converged,
                 (unsigned long long)c->workers);
    else
        say(v, CFG_ROLLOUT_CONVERGED, "");
    if (v->any)
        wait_for(v, "all %llu workers of %llu groups run the release", (unsigned long long)c->workers,
                 (unsigned long long)c->groups);
}

/* Whether the canary is seen, and runs the release but for the few that come and go; says what is missing. */
static bool is_watched(struct cfg_rollout_verdict *v, const struct cfg_whole *w)
{
    const struct cfg_arm_report *c = &w->sum.canary;
    if (is_unknown(v, w) || is_losing(v, w))
        return false;
    if (c->groups == 0)
        wait_for(v, "nobody runs the release any more");
    else if (is_dying(w))
        wait_for(v, "%llu of the canary's %llu workers are gone (of the base's %llu: %llu)",
                 (unsigned long long)(w->canary_then - c->workers), (unsigned long long)w->canary_then,
                 (unsigned long long)w->base_then,
                 (unsigned long long)(w->base_then > w->sum.base.workers ? w->base_then - w->sum.base.workers : 0));
    else if (!is_few(expected(w) - c->converged, expected(w)))
        wait_for(v, "%llu of the canary's %llu workers run the release", (unsigned long long)c->converged,
                 (unsigned long long)expected(w));
    else
        return true;
    return false;
}

static void judge_baking(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const struct cfg_whole *w,
                         const struct cfg_rollout_clock *clock)
{
    const struct cfg_rollout_step *step = &r->steps[r->state.step];
    v->bakes = is_watched(v, w);
    if (!v->bakes)
        return;
    if (clock->baked_ms < step->bake_ms) {
        wait_for(v, "bakes for %.0f s more", (double)(step->bake_ms - clock->baked_ms) / 1000);
        return;
    }
    for (size_t i = 0; i < r->n_guards; i++)
        if (v->readings[i].verdict != CFG_VERDICT_PASSES) {
            wait_for(v, "guard %s holds: %s", cfg_rollout_guard_text(r->guards[i]), v->readings[i].why);
            return;
        }
    say(v, CFG_ROLLOUT_PASSED, r->n_guards > 0 ? "baked, and every guard passes" : "baked");
}

static void judge_return(struct cfg_rollout_verdict *v, const struct cfg_whole *w)
{
    const struct cfg_arm_report *b = &w->sum.base;
    if (w->unknown > 0)
        wait_for(v, "%s", w->why);
    else if (b->converged < b->workers || w->sum.canary.workers > 0)
        wait_for(v, "%llu of %llu workers run the old release again", (unsigned long long)b->converged,
                 (unsigned long long)(b->workers + w->sum.canary.workers));
    else
        say(v, CFG_ROLLOUT_SETTLED, "everybody runs the old release again");
}

/* Which clock is within a window? NULL: none; "": this process's. */
static const char *frozen_by(const struct cfg_rollout *r, const struct cfg_whole *w, int64_t now_s)
{
    if (cfg_rollout_is_frozen(r, now_s))
        return "";
    if (w->behind.s != 0 && cfg_rollout_is_frozen(r, now_s + w->behind.s))
        return w->behind.replica;
    if (w->ahead.s != 0 && cfg_rollout_is_frozen(r, now_s + w->ahead.s))
        return w->ahead.replica;
    return NULL;
}

static void judge_frozen(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const char *by, int64_t now_s)
{
    int64_t before = r->decided_s - now_s;
    if (by && by[0])
        wait_for(v, "a freeze window by the clock of replica %.80s", by);
    else if (by)
        wait_for(v, "a freeze window");
    else if (before > SKEW_S)
        wait_for(v,
                 "this clock shows a time %" PRId64 " s before it froze: it waits until then, or for pause and resume",
                 before);
    else
        say(v, CFG_ROLLOUT_THAW, "the freeze window is over");
}

static bool may_freeze(const struct cfg_rollout *r)
{
    return r->state.phase <= CFG_ROLLOUT_GATE;
}

void cfg_rollout_judge(struct cfg_rollout_verdict *out, const struct cfg_rollout *r, const struct cfg_whole *w,
                       const struct cfg_rollout_clock *clock)
{
    const char *frozen = frozen_by(r, w, clock->now_s);
    memset(out, 0, sizeof *out);
    judge_guards(out, r, w);
    if (cfg_rollout_is_exposed(&r->state) && is_failing(out, r, w))
        return;
    if (frozen && may_freeze(r)) {
        say(out, CFG_ROLLOUT_FREEZE, "a freeze window has begun");
        if (frozen[0])
            wait_for(out, "a freeze window has begun by the clock of replica %.80s", frozen);
        return;
    }
    switch (r->state.phase) {
    case CFG_ROLLOUT_SCHEDULED:
        judge_scheduled(out, r, w, clock);
        return;
    case CFG_ROLLOUT_ROLLING:
        judge_rolling(out, r, w);
        return;
    case CFG_ROLLOUT_BAKING:
        judge_baking(out, r, w, clock);
        return;
    case CFG_ROLLOUT_GATE:
        wait_for(out, "waits for an approval");
        return;
    case CFG_ROLLOUT_PAUSED:
        wait_for(out, "paused");
        return;
    case CFG_ROLLOUT_FROZEN:
        judge_frozen(out, r, frozen, clock->now_s);
        return;
    case CFG_ROLLOUT_ROLLING_BACK:
        judge_return(out, w);
        return;
    case CFG_ROLLOUT_ROLLED_BACK:
    case CFG_ROLLOUT_ABORTED:
    case CFG_ROLLOUT_FINISHED:
        return;
    }
}

/* --- for people --- */

static bool add_reading(cJSON *list, const char *guard, const struct cfg_guard_reading *g)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "guard", guard) &&
              cJSON_AddStringToObject(o, "verdict", cfg_guard_verdict_name(g->verdict)) &&
              cJSON_AddNumberToObject(o, "n", (double)g->n_canary) &&
              (!g->has_canary || cJSON_AddNumberToObject(o, "canary", g->canary)) &&
              (!g->has_base || (cJSON_AddNumberToObject(o, "base", g->base) &&
                                cJSON_AddNumberToObject(o, "n_base", (double)g->n_base))) &&
              (g->why[0] == '\0' || cJSON_AddStringToObject(o, "why", g->why));
    if (ok && cJSON_AddItemToArray(list, o))
        return true;
    cJSON_Delete(o);
    return false;
}

cJSON *cfg_rollout_readings_json(const struct cfg_rollout *r, const struct cfg_rollout_verdict *v)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < r->n_guards; i++)
        if (!add_reading(list, cfg_rollout_guard_text(r->guards[i]), &v->readings[i])) {
            cJSON_Delete(list);
            return NULL;
        }
    return list;
}

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
