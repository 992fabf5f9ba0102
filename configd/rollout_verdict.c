#include "configd/rollout_verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { UNTIL_TEXT = 48 };

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

/* How many of an arm's workers have gone, and of how many. */
struct loss {
    double canary, canary_gone, base, base_gone;
};

/* Since the last decision, whoever told of them. */
static struct loss since_decision(const struct cfg_whole *w)
{
    const double canary = (double)w->canary_then, base = (double)w->base_then;
    return (struct loss){.canary = canary,
                         .canary_gone = fmax(0, canary - (double)w->sum.canary.workers),
                         .base = base,
                         .base_gone = fmax(0, base - (double)w->sum.base.workers)};
}

/* Since the step began: perhaps they died of taking the release over. */
static struct loss since_step(const struct cfg_whole *w)
{
    const uint64_t lost = lost_of(w, &w->sum.base);
    return (struct loss){.canary = (double)expected(w),
                         .canary_gone = (double)lost_of(w, &w->sum.canary),
                         .base = (double)(w->sum.base.workers + lost),
                         .base_gone = (double)lost};
}

/* What the base's loss lets expect. Never less than 1 in 50 or so: workers come and go. */
static double rate_of(const struct loss *l)
{
    return (l->base_gone + 1) / (l->base + 50);
}

/* Did the canary lose clearly more of its workers than the base, beyond three standard errors? Enough to wait. */
static bool is_more(const struct loss *l)
{
    const double rate = rate_of(l);
    return l->canary_gone > 0 && l->canary_gone > l->canary * rate + 3 * sqrt(l->canary * rate * (1 - rate));
}

/* Is so great a loss less probable than 1 in 50 where the canary dies as the base does? By Chernoff's bound on the
 * binomial distribution, which holds for small numbers too. Enough to go back, if it lasts. */
static bool is_beyond_chance(const struct loss *l)
{
    const double p = rate_of(l), q = l->canary > 0 ? l->canary_gone / l->canary : 0;
    if (l->base <= 0 || q <= p)
        return false;
    const double stay = q < 1 ? (1 - q) * log((1 - q) / (1 - p)) : 0;
    return l->canary * (q * log(q / p) + stay) > log(50);
}

static bool is_losing(struct cfg_rollout_verdict *v, const struct cfg_whole *w)
{
    const struct loss l = since_step(w);
    if (!is_more(&l))
        return false;
    wait_for(v,
             "%.0f of the canary's %.0f workers have gone since the step began; to go on without them: cfgctl rollout "
             "pause, then resume",
             l.canary_gone, l.canary);
    return true;
}

static uint64_t patience_ms(const struct cfg_rollout *r)
{
    const uint64_t third = r->steps[r->state.step].bake_ms / 3;
    return third > CFG_ROLLOUT_DEATH_MS ? third : CFG_ROLLOUT_DEATH_MS;
}

/* Has the release killed its workers, as far as one can tell from their absence? Not while somebody paused it. */
static bool is_dead(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const struct cfg_whole *w,
                    const struct cfg_rollout_clock *clock)
{
    const struct loss step = since_step(w), decision = since_decision(w);
    const struct loss *l = is_beyond_chance(&step) ? &step : &decision;
    v->short_of = step.canary_gone > 0 || decision.canary_gone > 0;
    v->dying = w->unknown == 0 && r->state.phase != CFG_ROLLOUT_PAUSED && is_beyond_chance(l);
    if (!v->dying || clock->dying_ms < patience_ms(r))
        return false;
    say(v, CFG_ROLLOUT_FAILED, "");
    wait_for(v, "%.0f of the canary's %.0f workers are gone, and were for most of %.0f s; of the base's %.0f: %.0f",
             l->canary_gone, l->canary, (double)clock->dying_ms / 1000, l->base, l->base_gone);
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
    const struct loss l = since_decision(w);
    if (is_unknown(v, w) || is_losing(v, w))
        return false;
    if (c->groups == 0)
        wait_for(v, "nobody runs the release any more");
    else if (l.base > 0 && is_more(&l))
        wait_for(v, "%.0f of the canary's %.0f workers are gone (of the base's %.0f: %.0f)", l.canary_gone, l.canary,
                 l.base, l.base_gone);
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

/* " until Mon 2026-01-05 00:00 UTC" */
static const char *until_text(char out[UNTIL_TEXT], int64_t at_s)
{
    struct tm tm;
    const time_t at = (time_t)at_s;
    if (at_s == 0 || gmtime_r(&at, &tm) == NULL || strftime(out, UNTIL_TEXT, " until %a %Y-%m-%d %H:%M UTC", &tm) == 0)
        (void)snprintf(out, UNTIL_TEXT, "%s", " that never ends");
    return out;
}

static void judge_frozen(struct cfg_rollout_verdict *v, const struct cfg_rollout *r, const char *by, int64_t now_s)
{
    int64_t before = r->decided_s - now_s;
    char until[UNTIL_TEXT];
    if (by && by[0]) /* when it ends, that clock alone knows */
        wait_for(v, "a freeze window by the clock of replica %.80s", by);
    else if (by)
        wait_for(v, "a freeze window%s", until_text(until, cfg_rollout_frozen_until(r, now_s)));
    else if (before > CFG_WHOLE_SKEW_S)
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
    if (cfg_rollout_is_exposed(&r->state) && (is_failing(out, r, w) || is_dead(out, r, w, clock)))
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
