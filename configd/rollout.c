/* Rollouts' records: reading them, and what they make of a deployment's record. Plans are in rollout_plan.c. */
#include "configd/rollout_internal.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <string.h>

enum { DAY_S = 24 * 3600 };

static int broken(const char *what, struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_VALUE, "the rollout's %s is none of ours", what);
}

/* --- reading --- */

static int read_state(struct cfg_rollout_state *s, const cJSON *state, struct cfg_error *err)
{
    const char *resume = cfg_json_get_str(state, "resume", NULL), *then = cfg_json_get_str(state, "then", NULL);
    uint64_t step = 0;
    int rc = cfg_rollout_phase_parse(&s->phase, cfg_json_get_str(state, "phase", ""), err);
    rc = rc ? rc : cfg_json_need_u64(state, "step", &step, err);
    if (rc == 0 && resume)
        rc = cfg_rollout_phase_parse(&s->resume, resume, err);
    if (rc == 0 && then)
        rc = cfg_rollout_phase_parse(&s->then, then, err);
    s->step = step < CFG_ROLLOUT_STEPS_MAX ? (unsigned)step : CFG_ROLLOUT_STEPS_MAX;
    return rc;
}

static int read_steps(struct cfg_rollout *r, const cJSON *steps, struct cfg_error *err)
{
    const cJSON *step;
    cJSON_ArrayForEach(step, steps)
    {
        struct cfg_rollout_step *s = &r->steps[r->n_steps];
        if (r->n_steps == CFG_ROLLOUT_STEPS_MAX || cfg_json_need_u64(step, "bake_ms", &s->bake_ms, NULL) != 0)
            return broken("list of steps", err);
        s->share = cfg_json_get_num(step, "share", 0);
        s->gate = cfg_json_get_bool(step, "gate", false);
        r->n_steps++;
    }
    return 0;
}

static int read_guards(struct cfg_rollout *r, const cJSON *guards, struct cfg_error *err)
{
    const cJSON *guard;
    cJSON_ArrayForEach(guard, guards)
    {
        if (r->n_guards == CFG_GUARDS_OF_ROLLOUT_MAX || !cJSON_IsString(guard))
            return broken("list of guards", err);
        int rc = cfg_rollout_guard_new(&r->guards[r->n_guards], guard->valuestring, err);
        if (rc != 0)
            return rc;
        r->n_guards++;
    }
    return 0;
}

static int read_members(struct cfg_rollout *r, const cJSON *body, struct cfg_error *err)
{
    const char *deployment = cfg_json_get_str(body, "deployment", "");
    const cJSON *window;
    int64_t decided_us;
    if (strlen(deployment) > CFG_LIMIT_NAME)
        return broken("deployment", err);
    memcpy(r->deployment, deployment, strlen(deployment) + 1);
    r->start_at = (int64_t)cfg_json_get_num(body, "start_at", 0);
    if (cfg_rfc3339_parse(&decided_us, cfg_slice_str(cfg_json_get_str(body, "time", "")), NULL) == 0)
        r->decided_s = decided_us / 1000000;
    int rc = cfg_json_need_u64(body, "run", &r->run, err);
    rc = rc ? rc : cfg_json_need_u64(body, "min_samples", &r->min_samples, err);
    rc = rc ? rc : read_state(&r->state, cfg_json_get(body, "state"), err);
    rc = rc ? rc : read_steps(r, cfg_json_get(body, "steps"), err);
    rc = rc ? rc : read_guards(r, cfg_json_get(body, "guards"), err);
    cJSON_ArrayForEach(window, cfg_json_get(body, "freeze"))
    {
        if (rc == 0 && r->n_freeze == CFG_ROLLOUT_WINDOWS_MAX)
            rc = broken("list of freeze windows", err);
        rc = rc ? rc : cfg_freeze_read(&r->freeze[r->n_freeze++], window, err);
    }
    return rc ? rc : cfg_rollout_state_check(&r->state, r->n_steps, err);
}

int cfg_rollout_read(struct cfg_rollout *out, const cJSON *body, struct cfg_error *err)
{
    struct cfg_rollout r = {.run = 0};
    int rc = read_members(&r, body, err);
    if (rc == 0)
        *out = r;
    else
        cfg_rollout_finish(&r);
    return rc;
}

void cfg_rollout_finish(struct cfg_rollout *r)
{
    for (size_t i = 0; i < r->n_guards; i++)
        cfg_rollout_guard_free(r->guards[i]);
    r->n_guards = 0;
}

/* --- time --- */

bool cfg_rollout_is_due(const struct cfg_rollout *r, int64_t now_s)
{
    return now_s >= r->start_at;
}

/* When the last of the windows that hold at this moment ends; 0: none does. */
static int64_t window_end(const struct cfg_rollout *r, int64_t now_s)
{
    int64_t day = now_s / DAY_S, end = 0;
    unsigned second = (unsigned)(now_s % DAY_S), today = (unsigned)((day + 4) % 7), before = (today + 6) % 7;
    for (size_t i = 0; i < r->n_freeze; i++) { /* 1970 began on a Thursday */
        const struct cfg_freeze_window *w = &r->freeze[i];
        bool over_night = w->to_s <= w->from_s;
        int64_t until = 0;
        if ((w->days >> today & 1) && second >= w->from_s && (over_night || second < w->to_s))
            until = (day + (over_night ? 1 : 0)) * DAY_S + (int64_t)w->to_s;
        else if ((w->days >> before & 1) && over_night && second < w->to_s)
            until = day * DAY_S + (int64_t)w->to_s;
        end = until > end ? until : end;
    }
    return end;
}

bool cfg_rollout_is_frozen(const struct cfg_rollout *r, int64_t now_s)
{
    return window_end(r, now_s) != 0;
}

int64_t cfg_rollout_frozen_until(const struct cfg_rollout *r, int64_t now_s)
{
    int64_t until = now_s, end;
    while ((end = window_end(r, until)) != 0) {
        if (end > now_s + 8 * DAY_S)
            return 0;
        until = end;
    }
    return until;
}

/* --- the deployment --- */

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* {"follows":"fixed","release":{…},"flags":{…}} from a rollout's side; or it follows the heads. NULL without memory. */
static cJSON *make_arm(const cJSON *side, bool follow)
{
    const cJSON *flags = cfg_json_get(side, "flags");
    cJSON *arm = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(arm, "follows", follow ? "head" : "fixed") != NULL;
    if (ok && !follow)
        ok = cfg_json_set(arm, "release", cJSON_Duplicate(cfg_json_get(side, "release"), true)) == 0;
    if (ok && flags && flags->child)
        ok = cfg_json_set(arm, "flags", cJSON_Duplicate(flags, true)) == 0;
    if (ok)
        return arm;
    cJSON_Delete(arm);
    return NULL;
}

static cJSON *make_split(const cJSON *rollout)
{
    const cJSON *state = cfg_json_get(rollout, "state");
    const cJSON *step = cJSON_GetArrayItem(cfg_json_get(rollout, "steps"), (int)cfg_json_get_num(state, "step", 0));
    bool waits = strcmp(cfg_json_get_str(state, "phase", ""), "scheduled") == 0;
    struct cfg_split s = {.arm = CFG_ARM_CANARY, .where = cfg_json_get(rollout, "where")};
    s.share = waits ? 0 : cfg_json_get_num(step, "share", 0);
    (void)snprintf(s.seed, sizeof s.seed, "%s", cfg_json_get_str(rollout, "seed", "0"));
    (void)snprintf(s.by, sizeof s.by, "%s", cfg_json_get_str(rollout, "by", ""));
    return cfg_split_json(&s);
}

/* Consumes arms. */
static int set_arms(cJSON *deployment, cJSON *arms, bool follow, struct cfg_error *err)
{
    int rc = arms ? cfg_json_set(deployment, "arms", arms) : CFG_E_NOMEM;
    if (rc != 0 || cfg_json_set(deployment, "track", cJSON_CreateString(follow ? "head" : "hold")) != 0)
        return no_memory(err);
    return 0;
}

int cfg_rollout_split(cJSON *deployment, const cJSON *rollout, struct cfg_error *err)
{
    cJSON *arms = cJSON_CreateObject();
    if (arms == NULL || cfg_json_set(arms, CFG_ARM_BASE, make_arm(cfg_json_get(rollout, "from"), false)) != 0 ||
        cfg_json_set(arms, CFG_ARM_CANARY, make_arm(cfg_json_get(rollout, "to"), false)) != 0) {
        cJSON_Delete(arms);
        return no_memory(err);
    }
    int rc = set_arms(deployment, arms, false, err);
    if (rc == 0 && cfg_json_set(deployment, "split", make_split(rollout)) != 0)
        rc = no_memory(err);
    return rc;
}

int cfg_rollout_settle(cJSON *deployment, const cJSON *side, bool follow, struct cfg_error *err)
{
    cJSON *arms = cJSON_CreateObject();
    if (arms == NULL || cfg_json_set(arms, CFG_ARM_BASE, make_arm(side, follow)) != 0) {
        cJSON_Delete(arms);
        return no_memory(err);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(deployment, "split");
    return set_arms(deployment, arms, follow, err);
}
