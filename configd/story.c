#include "configd/story.h"

#include "proto/json.h"

#include <string.h>

/* --- rollouts --- */

static void put_why(struct cfg_buf *out, const cJSON *record)
{
    const char *why = cfg_json_get_str(cfg_json_get(record, "decision"), "why", "");
    if (why[0])
        cfg_buf_printf(out, ": %s", why);
}

/* The versions that differ: "chat v1 → v2, experiment/ab.flag v7". */
static void put_versions(struct cfg_buf *out, const char **lead, const cJSON *from, const cJSON *to)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, to)
    {
        double was = cfg_json_get_num(from, item->string, 0);
        if (was == item->valuedouble)
            continue;
        cfg_buf_printf(out, "%s%s ", *lead, item->string);
        *lead = ", ";
        if (was > 0)
            cfg_buf_printf(out, "v%.0f → ", was);
        cfg_buf_printf(out, "v%.0f", item->valuedouble);
    }
}

static void tell_start(struct cfg_buf *out, const cJSON *record)
{
    const cJSON *from = cfg_json_get(record, "from"), *to = cfg_json_get(record, "to"), *step;
    const cJSON *steps = cfg_json_get(record, "steps");
    const char *lead = "started: ";
    put_versions(out, &lead, cfg_json_get(from, "release"), cfg_json_get(to, "release"));
    put_versions(out, &lead, cfg_json_get(from, "flags"), cfg_json_get(to, "flags"));
    cJSON_ArrayForEach(step, steps)
    {
        cfg_buf_printf(out, "%s%.6g%%%s", step == steps->child ? lead : " ▸ ", cfg_json_get_num(step, "share", 0) * 100,
                       cfg_json_get_bool(step, "gate", false) ? "!" : "");
    }
    put_why(out, record);
}

struct place {
    const char *input, *phase;
    unsigned at, n; /* the step from 1, of so many */
    double share, bake_s;
};

static void put_step(struct cfg_buf *out, const struct place *p)
{
    cfg_buf_printf(out, "step %u of %u: ", p->at, p->n);
}

static void tell_finish(struct cfg_buf *out)
{
    cfg_buf_puts(out, "finished: everybody runs it");
}

/* On to the next step, to a gate, or to the end; by a guard's leave or a person's word. */
static void tell_advance(struct cfg_buf *out, const struct place *p)
{
    if (strcmp(p->phase, "finished") == 0) {
        tell_finish(out);
        return;
    }
    put_step(out, p);
    if (strcmp(p->phase, "gate") == 0)
        cfg_buf_puts(out, "waits for an approval");
    else
        cfg_buf_printf(out, "%.6g %% of the groups", p->share);
}

static void tell_return(struct cfg_buf *out, const struct place *p)
{
    bool by_guard = strcmp(p->input, "failed") == 0, begun = strcmp(p->phase, "aborted") != 0;
    if (!by_guard)
        cfg_buf_puts(out, begun ? "aborted, " : "aborted before anybody ran it");
    if (begun)
        cfg_buf_printf(out, "goes back from %.6g %%", p->share);
}

/* What the driver saw. */
static void tell_seen(struct cfg_buf *out, const struct place *p, const cJSON *record)
{
    if (strcmp(p->input, "converged") == 0) {
        put_step(out, p);
        cfg_buf_printf(out, "all run it, bakes %.6g s", p->bake_s);
    } else if (strcmp(p->input, "settled") == 0) {
        cfg_buf_printf(out, "%s: everybody runs the old release again", p->phase);
    } else if (strcmp(p->input, "freeze") == 0) {
        put_step(out, p);
        cfg_buf_puts(out, "frozen: a freeze window has begun");
    } else if (strcmp(p->input, "thaw") == 0) {
        put_step(out, p);
        cfg_buf_puts(out, "goes on: the freeze window is over");
    } else if (strcmp(p->input, "failed") == 0) {
        tell_return(out, p);
        put_why(out, record);
    } else {
        tell_advance(out, p);
    }
}

/* What a person said. */
static void tell_said(struct cfg_buf *out, const struct place *p, const cJSON *record)
{
    if (strcmp(p->input, "abort") == 0) {
        tell_return(out, p);
    } else if (strcmp(p->input, "pause") == 0 || strcmp(p->input, "resume") == 0) {
        put_step(out, p);
        cfg_buf_puts(out, p->input[0] == 'p' ? "paused" : "resumed");
    } else {
        cfg_buf_puts(out, strcmp(p->input, "approve") == 0 ? "approved, " : "moved on past its guards, ");
        tell_advance(out, p);
    }
    put_why(out, record);
}

static bool is_said(const char *input)
{
    static const char *const words[] = {"pause", "resume", "approve", "advance", "abort"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(input, words[i]) == 0)
            return true;
    return false;
}

static bool tell_rollout(struct cfg_buf *out, const cJSON *record)
{
    const cJSON *state = cfg_json_get(record, "state"), *steps = cfg_json_get(record, "steps");
    int at = (int)cfg_json_get_num(state, "step", 0);
    const cJSON *step = cJSON_GetArrayItem(steps, at);
    const struct place p = {.input = cfg_json_get_str(cfg_json_get(record, "decision"), "input", ""),
                            .phase = cfg_json_get_str(state, "phase", ""),
                            .at = (unsigned)at + 1,
                            .n = (unsigned)cJSON_GetArraySize(steps),
                            .share = cfg_json_get_num(step, "share", 0) * 100,
                            .bake_s = cfg_json_get_num(step, "bake_ms", 0) / 1000};
    if (step == NULL || p.input[0] == '\0')
        return false;
    if (strcmp(p.input, "start") == 0)
        tell_start(out, record);
    else if (is_said(p.input))
        tell_said(out, &p, record);
    else
        tell_seen(out, &p, record);
    return true;
}

/* --- experiments --- */

static bool tell_experiment(struct cfg_buf *out, const cJSON *record)
{
    const cJSON *side, *sides = cfg_json_get(record, "sides"), *metric, *metrics = cfg_json_get(record, "metrics");
    const char *verdict = cfg_json_get_str(cfg_json_get(record, "result"), "verdict", "");
    if (sides == NULL || metrics == NULL)
        return false;
    if (strcmp(cfg_json_get_str(record, "state", ""), "stopped") == 0) {
        cfg_buf_printf(out, "stopped%s%s", verdict[0] ? ", verdict " : "", verdict);
        const char *why = cfg_json_get_str(record, "why", "");
        cfg_buf_printf(out, "%s%s", why[0] ? ": " : "", why);
        return true;
    }
    cfg_buf_printf(out, "started on %s: ", cfg_json_get_str(record, "flag", "the arms"));
    cJSON_ArrayForEach(side, sides)
    {
        cfg_buf_printf(out, "%s%s", side == sides->child ? "" : " against ", cfg_json_get_str(side, "name", "?"));
    }
    cJSON_ArrayForEach(metric, metrics)
    {
        cfg_buf_printf(out, ", %s should %s", cfg_json_get_str(metric, "name", "?"),
                       cfg_json_get_str(metric, "want", "?"));
    }
    const char *message = cfg_json_get_str(record, "message", "");
    cfg_buf_printf(out, "%s%s", message[0] ? ": " : "", message);
    return true;
}

bool cfg_story_tell(struct cfg_buf *out, const struct cfg_object *o)
{
    bool rollout = o->id.kind == CFG_KIND_ROLLOUT;
    cJSON *record = !o->deleted && (rollout || o->id.kind == CFG_KIND_EXPERIMENT) ? cfg_object_tree(o) : NULL;
    bool told = record && (rollout ? tell_rollout(out, record) : tell_experiment(out, record));
    cJSON_Delete(record);
    return told;
}
