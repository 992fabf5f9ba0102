#include "worker/metrics.h"
#include "proto/json_number.h"
#include <math.h>
#include <string.h>

static bool is_name(const struct cfg_metric_names *names, uint32_t index, struct cfg_slice name)
{
    const char *own = names->items[index];
    return strncmp(own, name.ptr, name.len) == 0 && own[name.len] == '\0';
}

uint32_t cfg_metric_index(struct cfg_metric_names *names, struct cfg_slice name, uint32_t hint, unsigned *complaints)
{
    uint32_t n = atomic_load_explicit(&names->n, memory_order_relaxed); /* only this thread adds */
    if (name.len == 0 || name.len > CFG_LABEL_MAX) {
        *complaints |= CFG_METRICS_BAD_NAME;
        return UINT32_MAX;
    }
    if (hint < n && is_name(names, hint, name)) {
        return hint;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (is_name(names, i, name)) {
            return i;
        }
    }
    if (!cfg_label_ok(name.ptr, name.len) || n == CFG_METRICS_MAX) {
        *complaints |= n == CFG_METRICS_MAX ? CFG_METRICS_TOO_MANY : CFG_METRICS_BAD_NAME;
        return UINT32_MAX;
    }
    memcpy(names->items[n], name.ptr, name.len);
    names->items[n][name.len] = '\0';
    atomic_store_explicit(&names->n, n + 1, memory_order_release);
    return n;
}

struct scan {
    const char *p, *end;
    bool exact;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) {
        s->p++;
    }
}

static bool skip_char(struct scan *s, char c)
{
    skip_space(s);
    if (s->p < s->end && *s->p == c) {
        s->p++;
        return true;
    }
    return false;
}

static bool skip_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) {
        return false;
    }
    s->p += n;
    return true;
}

/* A string's text between its quotes, escapes as they are: no name has one. */
static bool scan_string(struct scan *s, struct cfg_slice *out)
{
    if (!skip_char(s, '"')) {
        return false;
    }
    out->ptr = s->p;
    for (; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p == '\\' && ++s->p == s->end) {
            return false;
        }
    }
    if (s->p == s->end) {
        return false;
    }
    out->len = (size_t)(s->p++ - out->ptr);
    return true;
}

/* Objects and arrays in an object of numbers are passed over by their brackets. */
static bool skip_nested(struct scan *s)
{
    unsigned depth = 0;
    struct cfg_slice text;
    while (s->p < s->end) {
        if (*s->p == '"') {
            if (!scan_string(s, &text)) {
                return false;
            }
            continue;
        }
        depth += *s->p == '{' || *s->p == '[';
        depth -= *s->p == '}' || *s->p == ']';
        s->p++;
        if (depth == 0) {
            return true;
        }
    }
    return false;
}

static bool skip_other(struct scan *s)
{
    struct cfg_slice text;
    if (*s->p == '{' || *s->p == '[') {
        return skip_nested(s);
    }
    if (*s->p == '"') {
        return scan_string(s, &text);
    }
    return skip_word(s, "true") || skip_word(s, "false") || skip_word(s, "null");
}

static bool scan_value(struct scan *s, bool *is_number, double *d)
{
    skip_space(s);
    if (s->p == s->end) {
        return false;
    }
    if (skip_word(s, "NaN") || skip_word(s, "Infinity") || skip_word(s, "-Infinity")) {
        s->exact = false;
        *is_number = true;
        *d = NAN;
        return true;
    }
    *is_number = *s->p == '-' || (*s->p >= '0' && *s->p <= '9');
    if (*is_number) {
        struct cfg_number n;
        return cfg_number_scan(&n, &s->p, s->end) == NULL && cfg_number_value(d, &n) == 0;
    }
    return skip_other(s);
}

static bool scan_member(struct scan *s, struct cfg_metric_batch *b, struct cfg_metric_names *names,
                        unsigned *complaints)
{
    struct cfg_slice name;
    bool is_number = false;
    double d = 0;
    if (!scan_string(s, &name) || !skip_char(s, ':') || !scan_value(s, &is_number, &d)) {
        return false;
    }
    if (!is_number) {
        return true;
    }
    /* A step's metrics usually come in the order of the step before. */
    uint32_t hint = b->n > 0 ? b->items[b->n - 1].index + 1 : 0;
    uint32_t index = cfg_metric_index(names, name, hint, complaints);
    if (index == UINT32_MAX) {
        return true;
    }
    if (b->n == CFG_METRICS_MAX) { /* the same names again and again */
        *complaints |= CFG_METRICS_TOO_MANY;
        return true;
    }
    b->items[b->n].index = index;
    b->items[b->n++].value = d;
    return true;
}

bool cfg_metrics_scan(struct cfg_metric_batch *out, bool *exact, struct cfg_slice json, struct cfg_metric_names *names,
                      unsigned *complaints)
{
    struct scan s = {json.ptr, json.ptr + json.len, true};
    out->n = 0;
    bool ok = skip_char(&s, '{');
    if (ok && !skip_char(&s, '}')) {
        do {
            ok = scan_member(&s, out, names, complaints);
        } while (ok && skip_char(&s, ','));
        ok = ok && skip_char(&s, '}');
    }
    skip_space(&s);
    ok = ok && s.p == s.end;
    *exact = s.exact;
    if (!ok) {
        out->n = 0;
        *complaints |= CFG_METRICS_BAD_JSON;
    }
    return ok;
}
