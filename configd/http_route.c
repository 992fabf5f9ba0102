#include "configd/http_route.h"

#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 64 };

/* Cuts the next "/segment" off *rest; false at the end. A path that does not start with a slash gives nothing. */
static bool next_segment(struct cfg_slice *rest, struct cfg_slice *segment)
{
    if (rest->len == 0 || rest->ptr[0] != '/')
        return false;
    const char *start = rest->ptr + 1;
    size_t left = rest->len - 1;
    const char *slash = memchr(start, '/', left);
    size_t n = slash ? (size_t)(slash - start) : left;
    *segment = (struct cfg_slice){start, n};
    *rest = (struct cfg_slice){start + n, left - n};
    return true;
}

static bool is_param(struct cfg_slice segment)
{
    return segment.len > 2 && segment.ptr[0] == '{';
}

/* How well a pattern fits a path: −1 not at all, else the number of literal segments, so that "/v1/config/{ns}/diff"
 * wins over a pattern with a parameter there. Every request is held against every pattern, and most differ within a few
 * bytes: this goes byte by byte. */
static int fit(const char *p, struct cfg_slice path)
{
    const char *s = path.ptr, *end = path.ptr + path.len;
    int literals = 0;
    while (*p == '/') {
        if (s == end || *s != '/')
            return -1;
        p++, s++;
        const char *start = s;
        if (p[0] == '{' && p[1] != '\0' && p[1] != '/') {
            p += strcspn(p, "/");
            while (s < end && *s != '/')
                s++;
            if (s == start)
                return -1;
            continue;
        }
        while (s < end && *p != '/' && *p != '\0' && *p == *s)
            p++, s++;
        if ((*p != '/' && *p != '\0') || (s < end && *s != '/'))
            return -1;
        literals++;
    }
    return s == end ? literals : -1;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int decode(char **out, struct cfg_slice s, struct cfg_error *err)
{
    char *text = malloc(s.len + 1);
    if (text == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a path of %zu bytes", s.len);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            bool whole = i + 2 < s.len;
            int high = whole ? hex(s.ptr[i + 1]) : -1, low = whole ? hex(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0)) {
                free(text);
                return cfg_fail(err, CFG_E_ADDRESS, "the path holds a broken percent-escape");
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        text[n++] = c;
    }
    text[n] = '\0';
    *out = text;
    return 0;
}

static int fill_params(struct cfg_match *m, struct cfg_slice path, struct cfg_error *err)
{
    struct cfg_slice p = cfg_slice_str(m->route->pattern), want, have;
    while (next_segment(&p, &want) && next_segment(&path, &have)) {
        if (!is_param(want) || m->n_params == CFG_ROUTE_PARAMS)
            continue;
        struct cfg_match_param *param = &m->params[m->n_params];
        int rc = decode(&param->value, have, err);
        if (rc != 0)
            return rc;
        param->name = (struct cfg_slice){want.ptr + 1, want.len - 2};
        m->n_params++;
    }
    return 0;
}

static void add_allowed(char *allow, size_t size, const char *method)
{
    size_t n = strlen(allow);
    (void)snprintf(allow + n, size - n, "%s%s", n ? ", " : "", method);
    if (strcmp(method, "GET") == 0)
        add_allowed(allow, size, "HEAD");
}

/* The pattern with the caller's own segments where it has parameters: what they may have meant. */
static void instantiate(char *out, size_t size, const char *pattern, struct cfg_slice path)
{
    struct cfg_slice p = cfg_slice_str(pattern), want, have;
    size_t n = 0;
    out[0] = '\0';
    while (n < size && next_segment(&p, &want)) {
        bool present = next_segment(&path, &have) && have.len > 0;
        struct cfg_slice use = is_param(want) && present ? have : want;
        n += (size_t)snprintf(out + n, size - n, "/%.*s", (int)use.len, use.ptr);
    }
}

static int not_found(const struct cfg_route *routes, size_t n, struct cfg_slice path, struct cfg_error *err)
{
    char texts[MAX_CANDIDATES][200], asked[200];
    const char *candidates[MAX_CANDIDATES];
    size_t count = 0;
    (void)snprintf(asked, sizeof asked, "%.*s", (int)path.len, path.ptr);
    for (size_t i = 0; i < n && count < MAX_CANDIDATES; i++) {
        instantiate(texts[count], sizeof texts[count], routes[i].pattern, path);
        candidates[count] = texts[count];
        count++;
    }
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "no such path: %s", asked);
    const char *near = cfg_near_miss(asked, candidates, count);
    if (near)
        cfg_error_set_hint(err, "did you mean %s? GET /openapi.json lists every path", near);
    else
        cfg_error_set_hint(err, "GET /openapi.json lists every path");
    return CFG_E_NOT_FOUND;
}

int cfg_route_find(struct cfg_match *out, const struct cfg_route *routes, size_t n, const char *method,
                   struct cfg_slice path, struct cfg_error *err)
{
    struct cfg_match m = {0};
    int best = -1;
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < n; i++) { /* the best pattern of any method: it decides which methods there are */
        int f = fit(routes[i].pattern, path);
        if (f < 0 || f < best)
            continue;
        if (f > best)
            m.route = NULL;
        best = f;
        if (strcmp(routes[i].method, wanted) == 0)
            m.route = &routes[i];
    }
    if (best < 0)
        return not_found(routes, n, path, err);
    for (size_t i = 0; m.route == NULL && i < n; i++)
        if (fit(routes[i].pattern, path) == best)
            add_allowed(m.allow, sizeof m.allow, routes[i].method);
    if (m.route == NULL && strcmp(method, "OPTIONS") != 0) {
        memcpy(out->allow, m.allow, sizeof m.allow);
        return cfg_fail(err, CFG_E_METHOD, "%.*s does not take %s; it takes %s", (int)path.len, path.ptr, method,
                        m.allow);
    }
    int rc = m.route ? fill_params(&m, path, err) : 0;
    if (rc != 0) {
        cfg_match_finish(&m);
        return rc;
    }
    *out = m;
    return 0;
}

void cfg_match_finish(struct cfg_match *m)
{
    for (size_t i = 0; i < m->n_params; i++)
        free(m->params[i].value);
    m->n_params = 0;
}

const char *cfg_match_param(const struct cfg_match *m, const char *name)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (cfg_slice_eq_str(m->params[i].name, name))
            return m->params[i].value;
    return NULL;
}
