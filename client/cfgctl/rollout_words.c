#include "client/cfgctl/rollout_words.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int rollout_parse_duration(uint64_t *out_ms, const char *text, struct cfg_error *err)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    double n = isdigit((unsigned char)text[0]) ? strtod(text, &end) : -1;
    for (size_t i = 0; n >= 0 && n < 1e9 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *out_ms = (uint64_t)(n * units[i].ms + 0.5);
            return 0;
        }
    (void)cfg_fail(err, CFG_E_INVALID, "'%.40s' is no duration", text);
    cfg_error_set_hint(err, "write 60s, 5m or 2h");
    return CFG_E_INVALID;
}

static int bad_steps(struct cfg_error *err, const char *text)
{
    (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is no step", text);
    cfg_error_set_hint(err, "steps look like 1%%,10%%:5m,50%%!,100%% (:5m bakes so long, ! waits for an approval)");
    return CFG_E_INVALID;
}

/* "10%": 0.1. *end: what follows. False: none. */
static bool read_share(double *out, const char *text, char **end)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    double percent = strtod(text, end);
    *out = percent / 100;
    if (**end != '%')
        return false;
    ++*end;
    return true;
}

static int add_step(cJSON *steps, char *word, struct cfg_error *err)
{
    double share;
    char *rest;
    uint64_t bake_ms = 0;
    size_t len = strlen(word);
    bool gate = len > 0 && word[len - 1] == '!';
    if (gate)
        word[len - 1] = '\0';
    if (!read_share(&share, word, &rest) || (*rest != '\0' && *rest != ':'))
        return bad_steps(err, word);
    int rc = *rest == ':' ? rollout_parse_duration(&bake_ms, rest + 1, err) : 0;
    if (rc != 0)
        return rc;
    cJSON *step = cJSON_CreateObject();
    if (cJSON_AddNumberToObject(step, "share", share) &&
        (*rest != ':' || cJSON_AddNumberToObject(step, "bake_ms", (double)bake_ms)) &&
        (!gate || cJSON_AddTrueToObject(step, "gate")) && cJSON_AddItemToArray(steps, step))
        return 0;
    cJSON_Delete(step);
    return no_memory(err);
}

/* Calls fn for every part between commas, which it may change. */
static int each_part(const char *text, int (*fn)(cJSON *to, char *part, struct cfg_error *err), cJSON *to,
                     struct cfg_error *err)
{
    char *copy = strdup(text), *next = copy;
    int rc = copy ? 0 : no_memory(err);
    while (rc == 0 && next) {
        char *part = next, *comma = strchr(next, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = '\0';
        rc = fn(to, part, err);
    }
    free(copy);
    return rc;
}

int rollout_parse_steps(cJSON **out, const char *text, struct cfg_error *err)
{
    cJSON *steps = cJSON_CreateArray();
    int rc = steps ? each_part(text, add_step, steps, err) : no_memory(err);
    if (rc == 0)
        *out = steps;
    else
        cJSON_Delete(steps);
    return rc;
}

static int bad_plan(struct cfg_error *err, const char *text)
{
    (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is no plan", text);
    cfg_error_set_hint(
        err, "plans are linear:STEPS, as in linear:4, and exponential:FIRST:FACTOR, as in exponential:1%%:10");
    return CFG_E_INVALID;
}

int rollout_parse_plan(cJSON **out, const char *text, struct cfg_error *err)
{
    static const char linear[] = "linear:", exponential[] = "exponential:";
    cJSON *plan = cJSON_CreateObject();
    double first, factor = 10;
    char *rest;
    bool ok = false;
    if (strncmp(text, linear, sizeof linear - 1) == 0) {
        double steps = strtod(text + sizeof linear - 1, &rest);
        ok = *rest == '\0' && cJSON_AddNumberToObject(plan, "linear", steps);
    } else if (strncmp(text, exponential, sizeof exponential - 1) == 0 &&
               read_share(&first, text + sizeof exponential - 1, &rest)) {
        if (*rest == ':')
            factor = strtod(rest + 1, &rest);
        cJSON *e = cJSON_AddObjectToObject(plan, "exponential");
        ok =
            *rest == '\0' && cJSON_AddNumberToObject(e, "first", first) && cJSON_AddNumberToObject(e, "factor", factor);
    }
    if (ok) {
        *out = plan;
        return 0;
    }
    cJSON_Delete(plan);
    return bad_plan(err, text);
}

static int add_label(cJSON *where, char *part, struct cfg_error *err)
{
    char *eq = strchr(part, '=');
    if (eq == NULL || eq == part || eq[1] == '\0') {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is no label", part);
        cfg_error_set_hint(err, "labels look like region=eu,gpu=H200");
        return CFG_E_INVALID;
    }
    *eq = '\0';
    cJSON *values = cfg_json_get(where, part);
    if (values == NULL)
        values = cJSON_AddArrayToObject(where, part);
    return values && cJSON_AddItemToArray(values, cJSON_CreateString(eq + 1)) ? 0 : no_memory(err);
}

int rollout_parse_where(cJSON *object, const char *text, struct cfg_error *err)
{
    return each_part(text, add_label, object, err);
}

enum { DAYS = 7 };
static const char *const day_names[DAYS] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

/* 0 … 6; DAYS: none. */
static int day_of(const char *name)
{
    int i = 0;
    while (i < DAYS && strcmp(name, day_names[i]) != 0)
        i++;
    return i;
}

/* "sat", or "mon-fri", which may go over the week's end. */
static int add_day(cJSON *days, char *part, struct cfg_error *err)
{
    char *dash = strchr(part, '-');
    if (dash)
        *dash = '\0';
    int from = day_of(part), to = dash ? day_of(dash + 1) : from;
    if (from == DAYS || to == DAYS) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.40s' is no day", from == DAYS ? part : dash + 1);
        cfg_error_set_hint(err, "days are sun, mon, tue, wed, thu, fri and sat, also mon-fri");
        return CFG_E_INVALID;
    }
    for (int day = from;; day = (day + 1) % DAYS) {
        if (!cJSON_AddItemToArray(days, cJSON_CreateString(day_names[day])))
            return no_memory(err);
        if (day == to)
            return 0;
    }
}

int rollout_parse_freeze(cJSON **out, const char *text, struct cfg_error *err)
{
    const char *space = strchr(text, ' '), *times = space ? space + 1 : isdigit((unsigned char)text[0]) ? text : NULL;
    char days[64] = "", from[6] = "", to[6] = "", rest;
    if (times && sscanf(times, "%5[0-9:]-%5[0-9:]%c", from, to, &rest) != 2) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is no freeze window", text);
        cfg_error_set_hint(err, "windows look like sat,sun or 22:00-06:00 or 'fri 18:00-24:00', in UTC");
        return CFG_E_INVALID;
    }
    if (times != text)
        (void)snprintf(days, sizeof days, "%.*s", space ? (int)(space - text) : 60, text);
    cJSON *window = cJSON_CreateObject(), *list = days[0] ? cJSON_AddArrayToObject(window, "days") : NULL;
    int rc = window ? 0 : no_memory(err);
    if (rc == 0 && days[0])
        rc = each_part(days, add_day, list, err);
    if (rc == 0 && times &&
        (!cJSON_AddStringToObject(window, "from", from) || !cJSON_AddStringToObject(window, "to", to)))
        rc = no_memory(err);
    if (rc == 0)
        *out = window;
    else
        cJSON_Delete(window);
    return rc;
}
