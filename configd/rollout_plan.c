/* Plans of rollouts, as people write them and as they are stored. */
#include "configd/change_draft.h"
#include "configd/rollout_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

CFG_PRINTF(3, 4) static int bad(struct cfg_error *err, const char *path, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)cfg_fail(err, CFG_E_VALUE, "%s: %s", path, text);
    cfg_error_set_path(err, "%s", path);
    return CFG_E_VALUE;
}

/* --- freeze windows --- */

/* NULL: left out, that is `otherwise`. */
static bool read_time(unsigned *out, const cJSON *time, const char *otherwise)
{
    const char *text = time == NULL ? otherwise : cJSON_IsString(time) ? time->valuestring : "";
    static const char digits[] = "0123456789";
    unsigned h = 0, m = 0;
    if (strlen(text) != 5 || strspn(text, digits) != 2 || strspn(text + 3, digits) != 2 ||
        sscanf(text, "%2u:%2u", &h, &m) != 2 || h > 24 || m > 59 || (h == 24 && m > 0))
        return false;
    *out = h * 3600 + m * 60;
    return true;
}

static bool read_day(unsigned *days, const cJSON *day)
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    for (unsigned i = 0; cJSON_IsString(day) && i < 7; i++)
        if (strcmp(day->valuestring, names[i]) == 0) {
            *days |= 1u << i;
            return true;
        }
    return false;
}

int cfg_freeze_read(struct cfg_freeze_window *out, const cJSON *window, struct cfg_error *err)
{
    static const char *const members[] = {"days", "from", "to", NULL};
    struct cfg_freeze_window w = {.days = 0};
    const cJSON *days = cfg_json_get(window, "days"), *day;
    if (!cJSON_IsObject(window))
        return bad(err, "freeze", "a window is {\"days\": [\"sat\"], \"from\": \"18:00\", \"to\": \"08:00\"}, in UTC");
    int rc = cfg_check_members(window, members, "a freeze window", err);
    if (rc != 0)
        return rc;
    cJSON_ArrayForEach(day, days)
    {
        if (!read_day(&w.days, day))
            return bad(err, "freeze", "days are sun, mon, tue, wed, thu, fri and sat");
    }
    if (days == NULL)
        w.days = 0x7f;
    if (w.days == 0)
        return bad(err, "freeze", "days are a list of sun, mon, tue, wed, thu, fri and sat, or left out");
    if (!read_time(&w.from_s, cfg_json_get(window, "from"), "00:00") ||
        !read_time(&w.to_s, cfg_json_get(window, "to"), "24:00"))
        return bad(err, "freeze", "times are HH:MM in UTC");
    *out = w;
    return 0;
}

/* --- steps --- */

struct defaults {
    uint64_t bake_ms;
    bool gate;
};

static int check_share(double share, double before, struct cfg_error *err)
{
    if (!(share > 0))
        return bad(err, "steps", "a share of %.6g %% holds nobody", share * 100);
    if (share > 1)
        return bad(err, "steps", "%.6g %% is more than all", share * 100);
    if (share <= before)
        return bad(err, "steps", "shares rise, but %.6g %% comes after %.6g %%", share * 100, before * 100);
    return 0;
}

static int add_step(cJSON *steps, double share, uint64_t bake_ms, bool gate, struct cfg_error *err)
{
    const cJSON *last = cJSON_GetArrayItem(steps, cJSON_GetArraySize(steps) - 1);
    int rc = check_share(share, cfg_json_get_num(last, "share", 0), err);
    if (rc != 0)
        return rc;
    if (cJSON_GetArraySize(steps) == CFG_ROLLOUT_STEPS_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "a rollout has at most %d steps", CFG_ROLLOUT_STEPS_MAX);
    cJSON *step = cJSON_CreateObject();
    if (cJSON_AddNumberToObject(step, "share", share) && cJSON_AddNumberToObject(step, "bake_ms", (double)bake_ms) &&
        cJSON_AddBoolToObject(step, "gate", gate) && cJSON_AddItemToArray(steps, step))
        return 0;
    cJSON_Delete(step);
    return no_memory(err);
}

static int read_bake(uint64_t *out, const cJSON *object, struct cfg_error *err)
{
    if (cfg_json_get(object, "bake_ms") == NULL)
        return 0;
    if (cfg_json_need_u64(object, "bake_ms", out, NULL) != 0 || *out > (uint64_t)CFG_ROLLOUT_BAKE_MS_MAX)
        return bad(err, "bake_ms", "a step bakes for 0 to %d ms", CFG_ROLLOUT_BAKE_MS_MAX);
    return 0;
}

static int read_gate(bool *out, const cJSON *object, struct cfg_error *err)
{
    const cJSON *gate = cfg_json_get(object, "gate");
    if (gate && !cJSON_IsBool(gate))
        return bad(err, "gate", "true or false");
    *out = gate ? cJSON_IsTrue(gate) : *out;
    return 0;
}

static int read_step(cJSON *steps, const cJSON *item, const struct defaults *d, struct cfg_error *err)
{
    static const char *const members[] = {"share", "bake_ms", "gate", NULL};
    uint64_t bake_ms = d->bake_ms;
    bool gate = d->gate;
    if (cJSON_IsNumber(item))
        return add_step(steps, item->valuedouble, bake_ms, d->gate, err);
    if (!cJSON_IsObject(item))
        return bad(err, "steps", "a step is a share, or {\"share\", \"bake_ms\", \"gate\"}");
    int rc = cfg_check_members(item, members, "a step", err);
    rc = rc ? rc : read_bake(&bake_ms, item, err);
    rc = rc ? rc : read_gate(&gate, item, err);
    return rc ? rc : add_step(steps, cfg_json_get_num(item, "share", 0), bake_ms, gate, err);
}

/* {"linear": n}: n equal steps. {"exponential": {"first": 0.01, "factor": 10}}: up to everybody. */
static int make_steps(cJSON *steps, const cJSON *plan, const struct defaults *d, struct cfg_error *err)
{
    static const char *const members[] = {"linear", "exponential", NULL};
    const cJSON *exponential = cfg_json_get(plan, "exponential");
    uint64_t n = 0;
    int rc = cfg_check_members(plan, members, "a plan", err);
    if (rc != 0)
        return rc;
    if (cfg_json_get(plan, "linear")) {
        if (exponential || cfg_json_need_u64(plan, "linear", &n, NULL) != 0 || n == 0 || n > CFG_ROLLOUT_STEPS_MAX)
            return bad(err, "plan.linear", "a number of steps from 1 to %d", CFG_ROLLOUT_STEPS_MAX);
        for (uint64_t i = 1; i <= n && rc == 0; i++)
            rc = add_step(steps, (double)i / (double)n, d->bake_ms, d->gate, err);
        return rc;
    }
    double share = cfg_json_get_num(exponential, "first", 0.01), factor = cfg_json_get_num(exponential, "factor", 10);
    if (!cJSON_IsObject(exponential) || !(share > 0 && share <= 1) || !(factor > 1 && factor <= 1000))
        return bad(err, "plan", "{\"linear\": STEPS} or {\"exponential\": {\"first\": SHARE, \"factor\": 2}}");
    for (; share < 1 && rc == 0; share *= factor)
        rc = add_step(steps, share, d->bake_ms, d->gate, err);
    return rc ? rc : add_step(steps, 1, d->bake_ms, d->gate, err);
}

static int plan_steps(cJSON *out, const cJSON *body, struct cfg_error *err)
{
    const cJSON *steps = cfg_json_get(body, "steps"), *plan = cfg_json_get(body, "plan"), *item;
    struct defaults d = {.bake_ms = CFG_ROLLOUT_BAKE_MS};
    cJSON *list = cJSON_AddArrayToObject(out, "steps");
    int rc = list ? read_bake(&d.bake_ms, body, err) : no_memory(err);
    rc = rc ? rc : read_gate(&d.gate, body, err);
    if (rc == 0 && (steps == NULL) == (plan == NULL))
        rc = bad(err, "steps", "the shares of a rollout's steps, such as [0.01, 0.1, 1], or a plan");
    if (rc == 0 && plan)
        return make_steps(list, plan, &d, err);
    if (rc == 0 && !cJSON_IsArray(steps))
        rc = bad(err, "steps", "a list of shares");
    cJSON_ArrayForEach(item, steps)
    {
        rc = rc ? rc : read_step(list, item, &d, err);
    }
    const cJSON *last = rc == 0 ? cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1) : NULL;
    if (rc == 0 && !(cfg_json_get_num(last, "share", 0) >= 1))
        rc = bad(err, "steps", "the last step is everybody: 100 %%");
    return rc;
}

/* --- the rest --- */

static int plan_guards(cJSON *out, const cJSON *body, struct cfg_error *err)
{
    const cJSON *guards = cfg_json_get(body, "guards"), *item;
    cJSON *list = cJSON_AddArrayToObject(out, "guards");
    if (guards && !cJSON_IsArray(guards))
        return bad(err, "guards", "a list of conditions");
    if (cJSON_GetArraySize(guards) > CFG_GUARDS_OF_ROLLOUT_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "a rollout has at most %d guards", CFG_GUARDS_OF_ROLLOUT_MAX);
    cJSON_ArrayForEach(item, guards)
    {
        struct cfg_rollout_guard *g = NULL;
        if (!cJSON_IsString(item))
            return bad(err, "guards", "a guard is a text such as \"error_rate<1%%\"");
        int rc = cfg_rollout_guard_new(&g, item->valuestring, err);
        cfg_rollout_guard_free(g);
        if (rc != 0)
            return rc;
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(item->valuestring)))
            return no_memory(err);
    }
    uint64_t samples = CFG_ROLLOUT_MIN_SAMPLES;
    if (cfg_json_get(body, "min_samples") &&
        (cfg_json_need_u64(body, "min_samples", &samples, NULL) != 0 || samples == 0))
        return bad(err, "min_samples", "a number of 1 or more");
    return cJSON_AddNumberToObject(out, "min_samples", (double)samples) ? 0 : no_memory(err);
}

static int plan_groups(cJSON *out, const cJSON *body, struct cfg_error *err)
{
    const cJSON *by = cfg_json_get(body, "by");
    cJSON *where = NULL;
    if (by && (!cJSON_IsString(by) || by->valuestring[0] == '\0' || strlen(by->valuestring) > CFG_SPLIT_LABEL))
        return bad(err, "by", "the name of a label");
    int rc = cfg_split_read_where(&where, cfg_json_get(body, "where"), err);
    if (rc == 0 && where && cfg_json_set(out, "where", where) != 0)
        rc = no_memory(err);
    if (rc == 0 && by && !cJSON_AddStringToObject(out, "by", by->valuestring))
        rc = no_memory(err);
    return rc;
}

static int plan_times(cJSON *out, const cJSON *body, struct cfg_error *err)
{
    const cJSON *start = cfg_json_get(body, "start_at"), *freeze = cfg_json_get(body, "freeze"), *item;
    struct cfg_freeze_window window;
    if (start && (!cJSON_IsNumber(start) || !(start->valuedouble >= 0 && start->valuedouble < 1e11)))
        return bad(err, "start_at", "a time in seconds since 1970");
    if (freeze && (!cJSON_IsArray(freeze) || cJSON_GetArraySize(freeze) > CFG_ROLLOUT_WINDOWS_MAX))
        return bad(err, "freeze", "a list of at most %d windows", CFG_ROLLOUT_WINDOWS_MAX);
    cJSON_ArrayForEach(item, freeze)
    {
        int rc = cfg_freeze_read(&window, item, err);
        if (rc != 0)
            return rc;
    }
    if ((start && cfg_json_set(out, "start_at", cJSON_CreateNumber(floor(start->valuedouble))) != 0) ||
        (freeze && cfg_json_set(out, "freeze", cJSON_Duplicate(freeze, true)) != 0))
        return no_memory(err);
    return 0;
}

int cfg_rollout_plan(cJSON **out, const cJSON *body, struct cfg_error *err)
{
    cJSON *plan = cJSON_CreateObject();
    int rc = plan ? plan_steps(plan, body, err) : no_memory(err);
    rc = rc ? rc : plan_guards(plan, body, err);
    rc = rc ? rc : plan_groups(plan, body, err);
    rc = rc ? rc : plan_times(plan, body, err);
    if (rc == 0)
        *out = plan;
    else
        cJSON_Delete(plan);
    return rc;
}
