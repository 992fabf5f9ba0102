#include "worker/cfg-fleet/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers with units --- */

static int bad(struct cfg_error *err, const char *text, const char *must)
{
    return cfg_fail(err, CFG_E_INVALID, "\"%s\" is not %s", text, must);
}

/* A share, with *end behind it. */
static bool read_share(double *out, const char *text, char **end)
{
    double v = strtod(text, end);
    if (*end == text) {
        return false;
    }
    if (**end == '%') {
        v /= 100;
        (*end)++;
    }
    *out = v;
    return v >= 0 && v <= 1;
}

int cfg_share_parse(double *out, const char *text, struct cfg_error *err)
{
    char *end = NULL;
    double v = 0;
    if (!read_share(&v, text, &end) || *end != '\0') {
        return bad(err, text, "a share, like 5% or 0.05");
    }
    *out = v;
    return 0;
}

int cfg_duration_parse(uint64_t *out_us, const char *text, struct cfg_error *err)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 60e6}, {"h", 3600e6}};
    char *end = NULL;
    double v = strtod(text, &end);
    for (size_t i = 0; end != text && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0 && v >= 0 && v * units[i].us < 1e15) {
            *out_us = (uint64_t)(v * units[i].us);
            return 0;
        }
    }
    return bad(err, text, "a duration, like 250ms, 10s or 5m");
}

/* --- failures --- */

static int add_time(struct cfg_failure_plan *p, double share, const char *when, struct cfg_error *err)
{
    uint64_t at = 0;
    int rc = cfg_duration_parse(&at, when, err);
    if (rc != 0) {
        return rc;
    }
    if (p->n == CFG_PLAN_TIMES) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d times", CFG_PLAN_TIMES);
    }
    size_t i = p->n++;
    for (; i > 0 && p->times[i - 1].at_us > at; i--) {
        p->times[i] = p->times[i - 1];
    }
    p->times[i] = (struct cfg_failure_time){at, share};
    return 0;
}

static int add_entry(struct cfg_failure_plan *p, const char *entry, struct cfg_error *err)
{
    char *end = NULL;
    double share = 0, per = 0;
    if (!read_share(&share, entry, &end)) {
        return bad(err, entry, "a share and when, like 0.1%/s or 5%@10s");
    }
    if (*end == '@') {
        return add_time(p, share, end + 1, err);
    }
    per = strcmp(end, "/s") == 0 ? 1 : strcmp(end, "/m") == 0 ? 60 : strcmp(end, "/h") == 0 ? 3600 : 0;
    if (per == 0) {
        return bad(err, entry, "a share per second (/s), minute (/m) or hour (/h), or at a time (@10s)");
    }
    p->per_s += share / per;
    return 0;
}

int cfg_failure_plan_parse(struct cfg_failure_plan *out, const char *text, struct cfg_error *err)
{
    struct cfg_failure_plan p = {.per_s = 0};
    int rc = 0;
    for (const char *at = text != NULL ? text : ""; rc == 0 && *at != '\0';) {
        size_t n = strcspn(at, ",");
        char entry[64];
        (void)snprintf(entry, sizeof entry, "%.*s", (int)(n < 60 ? n : 60), at);
        rc = add_entry(&p, entry, err);
        at += n + (at[n] == ',' ? 1 : 0);
    }
    if (rc == 0) {
        *out = p;
    }
    return rc;
}

void cfg_failure_plan_due(double *mean, size_t *whole, const struct cfg_failure_plan *p, uint64_t from_us,
                          uint64_t to_us, size_t workers)
{
    *mean = p->per_s * (double)(to_us - from_us) / 1e6 * (double)workers;
    *whole = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->times[i].at_us > from_us && p->times[i].at_us <= to_us) {
            *whole += (size_t)(p->times[i].share * (double)workers + 0.5);
        }
    }
}

/* --- labels --- */

static int add_value(struct cfg_label *l, char *entry, double *given, struct cfg_error *err)
{
    char *colon = strrchr(entry, ':'), *end = NULL;
    double share = 0;
    if (l->n == CFG_LABEL_VALUES) {
        return cfg_fail(err, CFG_E_LIMIT, "label %s: more than %d values", l->key, CFG_LABEL_VALUES);
    }
    if (colon != NULL) {
        if (!read_share(&share, colon + 1, &end) || *end != '\0') {
            return bad(err, colon + 1, "a share, like 30% or 0.3");
        }
        *colon = '\0';
    }
    l->values[l->n] = entry;
    l->upto[l->n++] = colon != NULL ? share : -1; /* −1: of what is left */
    *given += share;
    return 0;
}

int cfg_label_parse(struct cfg_label *out, char *text, struct cfg_error *err)
{
    char *eq = strchr(text, '='), *save = NULL;
    struct cfg_label l = {.key = text};
    double given = 0;
    if (eq == NULL || eq == text) {
        return bad(err, text, "a label, like gpu=H200 or region=eu:0.3,us:0.7");
    }
    *eq = '\0';
    int rc = 0;
    for (char *v = strtok_r(eq + 1, ",", &save); rc == 0 && v != NULL; v = strtok_r(NULL, ",", &save)) {
        rc = add_value(&l, v, &given, err);
    }
    size_t open = 0;
    for (size_t i = 0; i < l.n; i++) {
        open += l.upto[i] < 0 ? 1 : 0;
    }
    if (rc == 0 && (l.n == 0 || given > 1 + 1e-9 || (open == 0 && given < 1 - 1e-9))) {
        rc = cfg_fail(err, CFG_E_INVALID, "label %s: the shares of its values do not add up to 1", l.key);
    }
    if (rc != 0) {
        return rc;
    }
    double sum = 0;
    for (size_t i = 0; i < l.n; i++) {
        sum += l.upto[i] < 0 ? (1 - given) / (double)open : l.upto[i];
        l.upto[i] = sum;
    }
    l.upto[l.n - 1] = 1;
    *out = l;
    return 0;
}

const char *cfg_label_value(const struct cfg_label *l, double share)
{
    size_t i = 0;
    while (i + 1 < l->n && share >= l->upto[i]) {
        i++;
    }
    return l->values[i];
}
