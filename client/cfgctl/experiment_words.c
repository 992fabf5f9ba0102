#include "client/cfgctl/experiment_words.h"

#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int set(cJSON *o, const char *key, cJSON *value, struct cfg_error *err)
{
    return cfg_json_set(o, key, value) == 0 ? 0 : no_memory(err);
}

static cJSON *member(cJSON *o, const char *key, cJSON *(*make)(void))
{
    cJSON *m = cJSON_GetObjectItemCaseSensitive(o, key);
    if (m == NULL && (m = make()) != NULL && !cJSON_AddItemToObject(o, key, m)) {
        cJSON_Delete(m);
        m = NULL;
    }
    return m;
}

static bool read_number(double *out, const char *text, const char *until)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && strcmp(end, until) == 0 && isfinite(*out);
}

/* --- metrics --- */

static int add_metric(cJSON *request, const char *word, const char *colon, struct cfg_error *err)
{
    cJSON *list = member(request, "metrics", cJSON_CreateArray), *m = cJSON_CreateObject();
    char name[NAME_ROOM];
    (void)snprintf(name, sizeof name, "%.*s", (int)(colon - word), word);
    if (list && m && cJSON_AddItemToArray(list, m))
        return cJSON_AddStringToObject(m, "name", name) && cJSON_AddStringToObject(m, "want", colon + 1)
                   ? 0
                   : no_memory(err);
    cJSON_Delete(m);
    return no_memory(err);
}

/* --- settings --- */

static int bad(const char *word, const char *like, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_INVALID, "\"%.80s\" cannot be read", word);
    cfg_error_set_hint(err, "like %s", like);
    return CFG_E_INVALID;
}

static int add_treatments(cJSON *request, const char *value, struct cfg_error *err)
{
    cJSON *list = member(request, "treatments", cJSON_CreateArray);
    while (list && *value) {
        size_t n = strcspn(value, ",");
        char name[NAME_ROOM];
        (void)snprintf(name, sizeof name, "%.*s", (int)n, value);
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(name)))
            return no_memory(err);
        value += n + (value[n] == ',');
    }
    return list ? 0 : no_memory(err);
}

static int add_shares(cJSON *request, const char *word, const char *value, struct cfg_error *err)
{
    cJSON *shares = member(request, "shares", cJSON_CreateObject);
    while (shares && *value) {
        char part[NAME_ROOM], *colon;
        double weight;
        size_t n = strcspn(value, ",");
        (void)snprintf(part, sizeof part, "%.*s", (int)n, value);
        colon = strrchr(part, ':');
        if (colon == NULL || colon == part || !read_number(&weight, colon + 1, ""))
            return bad(word, "shares=off:50,on:50", err);
        *colon = '\0';
        if (cfg_json_set(shares, part, cJSON_CreateNumber(weight)) != 0)
            return no_memory(err);
        value += n + (value[n] == ',');
    }
    return shares ? 0 : no_memory(err);
}

static int add_baseline(cJSON *request, const char *word, const char *value, struct cfg_error *err)
{
    char *end;
    double mean = strtod(value, &end), sd;
    if (end == value || *end != ':' || !isfinite(mean) || !read_number(&sd, end + 1, ""))
        return bad(word, "baseline=41.5:12 (mean and standard deviation)", err);
    cJSON *base = member(request, "baseline", cJSON_CreateObject);
    int rc = base ? set(base, "mean", cJSON_CreateNumber(mean), err) : no_memory(err);
    return rc ? rc : set(base, "sd", cJSON_CreateNumber(sd), err);
}

static int add_effect(cJSON *request, const char *word, const char *value, struct cfg_error *err)
{
    double x;
    if (read_number(&x, value, "%"))
        return set(request, "relative_effect", cJSON_CreateNumber(x / 100), err);
    if (!read_number(&x, value, ""))
        return bad(word, "effect=2.5 or, for a plan, effect=5%", err);
    return set(request, "effect", cJSON_CreateNumber(x), err);
}

static int add_number(cJSON *request, const char *key, const char *word, const char *value, struct cfg_error *err)
{
    double x;
    return read_number(&x, value, "") ? set(request, key, cJSON_CreateNumber(x), err) : bad(word, "alpha=0.05", err);
}

/* What a setting becomes, where that has another name. */
static const char *const numbers[][2] = {
    {"alpha", "alpha"}, {"power", "power"}, {"units", "planned_units"}, {"rate", "units_per_hour"}};

static bool is_said(const cJSON *request, const char *name)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i][0]) == 0)
            return cfg_json_get(request, numbers[i][1]) != NULL;
    return cfg_json_get(request, name) || (strcmp(name, "effect") == 0 && cfg_json_get(request, "relative_effect"));
}

static int add_setting(cJSON *request, const char *word, const char *eq, struct cfg_error *err)
{
    static const char *const names[] = {"control", "treatments", "shares",   "effect", "alpha",
                                        "power",   "units",      "baseline", "rate"};
    char name[NAME_ROOM];
    const char *value = eq + 1;
    (void)snprintf(name, sizeof name, "%.*s", (int)(eq - word), word);
    if (is_said(request, name))
        return cfg_fail(err, CFG_E_INVALID, "%.60s= is said twice", name);
    if (strcmp(name, "control") == 0)
        return set(request, "control", cJSON_CreateString(value), err);
    if (strcmp(name, "treatments") == 0)
        return add_treatments(request, value, err);
    if (strcmp(name, "shares") == 0)
        return add_shares(request, word, value, err);
    if (strcmp(name, "effect") == 0)
        return add_effect(request, word, value, err);
    if (strcmp(name, "baseline") == 0)
        return add_baseline(request, word, value, err);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i][0]) == 0)
            return add_number(request, numbers[i][1], word, value, err);
    const char *near = cfg_near_miss(name, names, sizeof names / sizeof names[0]);
    (void)cfg_fail(err, CFG_E_INVALID, "an experiment has no \"%.60s\"", name);
    if (near)
        cfg_error_set_hint(err, "did you mean %s=?", near);
    else
        cfg_error_set_hint(err, "it may have control, treatments, shares, effect, alpha, power and units");
    return CFG_E_INVALID;
}

int experiment_add_word(cJSON *request, const char *word, struct cfg_error *err)
{
    const char *eq = strchr(word, '='), *colon = strrchr(word, ':');
    if (eq)
        return add_setting(request, word, eq, err);
    if (colon && colon > word && (strcmp(colon, ":increase") == 0 || strcmp(colon, ":decrease") == 0))
        return add_metric(request, word, colon, err);
    (void)cfg_fail(err, CFG_E_INVALID, "\"%.80s\" is neither a metric nor a setting", word);
    cfg_error_set_hint(err, "a metric says what is wanted: latency_ms:decrease; a setting has a value: control=off");
    return CFG_E_INVALID;
}

int experiment_check_start(const cJSON *request, struct cfg_error *err)
{
    const char *of_plan = cfg_json_get(request, "baseline")         ? "baseline"
                          : cfg_json_get(request, "units_per_hour") ? "rate"
                                                                    : NULL;
    if (of_plan) {
        (void)cfg_fail(err, CFG_E_INVALID, "%s= is for a plan: an experiment measures it", of_plan);
        cfg_error_set_hint(err, "leave it out; `cfgctl experiment plan` takes it");
        return CFG_E_INVALID;
    }
    if (cfg_json_get(request, "relative_effect") == NULL)
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, "a share of a mean that is not known yet is no effect to begin with");
    cfg_error_set_hint(err, "say the difference itself, like effect=2.5; `cfgctl experiment plan` says what it is");
    return CFG_E_INVALID;
}
