/* What reports say came of requests, by variant: checked, counted once, and handed on to whoever adds it up.
 *
 * As with windows, a worker sends the same numbers again until a report with them was taken; what is not above the
 * newest counted is known. One that moves to another configd with a report under way may be counted at both. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "flags/hll.h"
#include "proto/parts.h"

#include <string.h>

enum { SIDES_MAX = 256 };

static int invalid(struct cfg_error *err, int index, const char *member, const char *must)
{
    int rc = cfg_fail(err, CFG_E_INVALID, "outcomes.sides[%d].%s must be %s", index, member, must);
    cfg_error_set_path(err, "outcomes.sides[%d].%s", index, member);
    return rc;
}

static int check_parts(const cJSON *parts, uint64_t n, int i, struct cfg_error *err)
{
    struct cfg_parts p;
    int rc = cfg_parts_parse(&p, parts, err);
    if (rc == 0 && cfg_parts_count(&p) != n)
        rc = cfg_fail(err, CFG_E_VALUE, "a metric's parts must have as many samples as it");
    if (rc != 0)
        cfg_error_set_path(err, "outcomes.sides[%d].parts", i);
    return rc;
}

/* A worker from before parts were told of reports without them: the report is good, what it says of outcomes cannot be
 * judged. */
static bool lacks_parts(const cJSON *side)
{
    const cJSON *metrics = cfg_json_get(side, "metrics");
    return metrics && metrics->child && cfg_json_get(side, "parts") == NULL;
}

static int check_metrics(const cJSON *metrics, const cJSON *parts, int i, struct cfg_error *err)
{
    struct cfg_moments m;
    const cJSON *v;
    int n = 0;
    if (!cJSON_IsObject(metrics))
        return invalid(err, i, "metrics", "an object");
    cJSON_ArrayForEach(v, metrics)
    {
        int rc = ++n > FLEET_METRICS ? invalid(err, i, "metrics", "at most 64 metrics") : 0;
        rc = rc ? rc : cfg_check_word("metric", cfg_slice_str(v->string), err);
        rc = rc ? rc : cfg_moments_parse(&m, v, err);
        if (rc != 0) {
            cfg_error_set_path(err, "outcomes.sides[%d].metrics", i);
            return rc;
        }
        rc = parts ? check_parts(cfg_json_get(parts, v->string), m.n, i, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_side(const cJSON *side, int i, struct cfg_error *err)
{
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    const char *flag = cfg_json_get_str(side, "flag", ""), *variant = cfg_json_get_str(side, "variant", "");
    if (flag[0] == '\0' || strlen(flag) > CFG_LIMIT_NAME + CFG_LIMIT_FLAG_NAME + 1)
        return invalid(err, i, "flag", "NAMESPACE/NAME");
    if (variant[0] == '\0')
        return invalid(err, i, "variant", "a variant's name");
    if (!cfg_hll_unite(registers, cfg_json_get_str(side, "units", "")))
        return invalid(err, i, "units", "a sketch of 1,024 registers");
    return check_metrics(cfg_json_get(side, "metrics"), cfg_json_get(side, "parts"), i, err);
}

int fleet_outcomes_check(const cJSON *outcomes, struct cfg_error *err)
{
    uint64_t seq = 0;
    const cJSON *sides = cfg_json_get(outcomes, "sides");
    int i = 0, rc = 0;
    if (outcomes == NULL)
        return 0;
    if (cfg_json_need_u64(outcomes, "seq", &seq, NULL) != 0 || seq == 0)
        return fleet_invalid(err, "outcomes.seq", "1 or more");
    if (!cJSON_IsArray(sides))
        return fleet_invalid(err, "outcomes.sides", "an array");
    for (const cJSON *s = sides->child; rc == 0 && s; s = s->next, i++)
        rc = i < SIDES_MAX ? check_side(s, i, err)
                           : cfg_fail(err, CFG_E_LIMIT, "a report tells of at most %d variants", SIDES_MAX);
    return rc;
}

void fleet_outcomes_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *outcomes)
{
    uint64_t seq = (uint64_t)cfg_json_get_num(outcomes, "seq", 0);
    const cJSON *side;
    if (seq <= w->outcomes_seq)
        return;
    w->outcomes_seq = seq;
    cJSON_ArrayForEach(side, cfg_json_get(outcomes, "sides"))
    {
        if (lacks_parts(side))
            f->outcomes_left_out++;
        else if (f->samples.outcome)
            f->samples.outcome(f->samples.arg, w->deployment->name, side);
    }
}

uint64_t cfg_fleet_outcomes_left_out(const struct cfg_fleet *f)
{
    return f->outcomes_left_out;
}

void cfg_fleet_on_samples(struct cfg_fleet *f, const struct cfg_fleet_samples *to)
{
    f->samples = to ? *to : (struct cfg_fleet_samples){NULL, NULL, NULL};
}
