#include "client/cfgctl/rollout_request.h"
#include "client/cfgctl/rollout_words.h"
#include "client/cfgctl/when.h"

#include <ctype.h>
#include <string.h>

/* Consumes value; NULL counts as failed memory. */
static int set(cJSON *object, const char *key, cJSON *value, struct cfg_error *err)
{
    return cfg_json_set(object, key, value) == 0 ? 0 : cli_no_memory(err);
}

/* Every use of a repeatable option, whole. */
static int each_given(const struct cli *c, enum cli_option_id id,
                      int (*fn)(cJSON *to, const char *value, struct cfg_error *err), cJSON *to, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < c->n_given && rc == 0; i++)
        if (c->given[i].id == id)
            rc = fn(to, c->given[i].value, err);
    return rc;
}

static int add_guard(cJSON *guards, const char *text, struct cfg_error *err)
{
    return cJSON_AddItemToArray(guards, cJSON_CreateString(text)) ? 0 : cli_no_memory(err);
}

static int add_freeze(cJSON *list, const char *text, struct cfg_error *err)
{
    cJSON *window = NULL;
    int rc = rollout_parse_freeze(&window, text, err);
    if (rc == 0)
        (void)cJSON_AddItemToArray(list, window); /* both are there: cannot fail */
    return rc;
}

static int add_list(cJSON *plan, const struct cli *c, enum cli_option_id id, const char *key,
                    int (*fn)(cJSON *to, const char *value, struct cfg_error *err), bool object, struct cfg_error *err)
{
    if (!cli_has(c, id))
        return 0;
    cJSON *list = object ? cJSON_CreateObject() : cJSON_CreateArray();
    int rc = list ? each_given(c, id, fn, list, err) : cli_no_memory(err);
    if (rc == 0)
        return set(plan, key, list, err);
    cJSON_Delete(list);
    return rc;
}

/* Steps, and how long each bakes. steps: what --rollout said, shares or a plan; NULL: --steps or --plan. */
static int add_steps(cJSON *plan, const struct cli *c, const char *steps, struct cfg_error *err)
{
    cJSON *value = NULL;
    uint64_t bake_ms = 0;
    int rc = 0;
    steps = steps ? steps : cli_value(c, OPT_STEPS);
    if (cli_has(c, OPT_NOW))
        return cJSON_AddItemToArray(cJSON_AddArrayToObject(plan, "steps"), cJSON_CreateNumber(1)) &&
                       cJSON_AddNumberToObject(plan, "bake_ms", 0)
                   ? 0
                   : cli_no_memory(err);
    if (cli_has(c, OPT_BAKE))
        rc = rollout_parse_duration(&bake_ms, cli_value(c, OPT_BAKE), err);
    if (rc == 0 && cli_has(c, OPT_BAKE))
        rc = set(plan, "bake_ms", cJSON_CreateNumber((double)bake_ms), err);
    const char *stages = steps && isalpha((unsigned char)steps[0]) ? steps : cli_value(c, OPT_STAGES);
    if (rc == 0 && stages) {
        rc = rollout_parse_plan(&value, stages, err);
        return rc ? rc : set(plan, "plan", value, err);
    }
    rc = rc ? rc : rollout_parse_steps(&value, steps ? steps : "1%,10%,50%,100%", err);
    return rc ? rc : set(plan, "steps", value, err);
}

static int add_start(cJSON *plan, const struct cli *c, struct cfg_error *err)
{
    int64_t at_us = 0;
    if (!cli_has(c, OPT_START_AT))
        return 0;
    int rc = when_parse_ahead(&at_us, cli_value(c, OPT_START_AT), when_now_us(), err);
    if (rc != 0)
        return cfg_error_wrap(err, "--start-at");
    return set(plan, "start_at", cJSON_CreateNumber((double)((at_us + 999999) / 1000000)), err);
}

/* Two ways to say the steps, or guards of what goes past them: one of both would be forgotten in silence. */
static int check_said(const struct cli *c, struct cfg_error *err)
{
    static const enum cli_option_id careful[] = {OPT_STEPS, OPT_STAGES, OPT_BAKE,     OPT_GUARD,
                                                 OPT_GATE,  OPT_FREEZE, OPT_START_AT, OPT_MIN_SAMPLES};
    if (cli_has(c, OPT_STAGES) && cli_has(c, OPT_STEPS))
        return cfg_fail(err, CFG_E_INVALID, "--plan and --steps both say the steps: leave one out");
    if (!cli_has(c, OPT_NOW))
        return 0;
    if (cli_value(c, OPT_MESSAGE) == NULL) {
        (void)cfg_fail(err, CFG_E_INVALID, "--now goes past steps and guards: say why");
        cfg_error_set_hint(err, "-m 'the old one leaks memory'");
        return CFG_E_INVALID;
    }
    for (size_t i = 0; i < sizeof careful / sizeof careful[0]; i++)
        if (cli_has(c, careful[i])) {
            (void)cfg_fail(err, CFG_E_INVALID, "--now goes past steps and guards: --%s would not count",
                           cli_options[careful[i]].name);
            cfg_error_set_hint(err, "leave out one of both");
            return CFG_E_INVALID;
        }
    return 0;
}

int rollout_fill_plan(cJSON *plan, const struct cli *c, const char *steps, struct cfg_error *err)
{
    uint64_t samples = 0;
    int rc = check_said(c, err);
    rc = rc ? rc : add_steps(plan, c, steps, err);
    rc = rc ? rc : add_list(plan, c, OPT_GUARD, "guards", add_guard, false, err);
    rc = rc ? rc : add_list(plan, c, OPT_WHERE, "where", rollout_parse_where, true, err);
    rc = rc ? rc : add_list(plan, c, OPT_FREEZE, "freeze", add_freeze, false, err);
    rc = rc ? rc : add_start(plan, c, err);
    rc = rc ? rc : cli_number(c, OPT_MIN_SAMPLES, &samples, err);
    if (rc == 0 && cli_has(c, OPT_MIN_SAMPLES))
        rc = set(plan, "min_samples", cJSON_CreateNumber((double)samples), err);
    if (rc == 0 && cli_has(c, OPT_GATE))
        rc = set(plan, "gate", cJSON_CreateTrue(), err);
    if (rc == 0 && cli_has(c, OPT_TOGETHER))
        rc = set(plan, "by", cJSON_CreateString(cli_value(c, OPT_TOGETHER)), err);
    if (rc == 0 && cli_value(c, OPT_MESSAGE))
        rc = set(plan, "why", cJSON_CreateString(cli_value(c, OPT_MESSAGE)), err);
    return rc;
}

int rollout_refuse_words(const struct cli *c, struct cfg_error *err)
{
    static const enum cli_option_id words[] = {OPT_GUARD,    OPT_BAKE, OPT_MIN_SAMPLES, OPT_WHERE,
                                               OPT_TOGETHER, OPT_GATE, OPT_START_AT,    OPT_FREEZE};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (cli_has(c, words[i])) {
            (void)cfg_fail(err, CFG_E_INVALID,
                           "--%s is of a rollout, and there is no --rollout: everybody would have it at once",
                           cli_options[words[i]].name);
            cfg_error_set_hint(err, "add --rollout 1%%,10%%,100%%");
            return CFG_E_INVALID;
        }
    return 0;
}
