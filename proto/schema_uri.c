/* URI references resolved as RFC 3986 §5.2 says. */
#include "proto/schema_internal.h"

#include <string.h>

struct parts {
    struct cfg_slice scheme, authority, path, query, fragment;
    bool has_scheme, has_authority, has_query, has_fragment;
};

static bool is_scheme_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
           c == '.';
}

/* The regular expression of appendix B, by hand. */
static struct parts split(const char *s)
{
    struct parts p;
    memset(&p, 0, sizeof p);
    size_t n = 0;
    while (is_scheme_char(s[n]))
        n++;
    if (n > 0 && s[n] == ':') {
        p.has_scheme = true;
        p.scheme = (struct cfg_slice){s, n};
        s += n + 1;
    }
    if (s[0] == '/' && s[1] == '/') {
        p.has_authority = true;
        s += 2;
        p.authority = (struct cfg_slice){s, strcspn(s, "/?#")};
        s += p.authority.len;
    }
    p.path = (struct cfg_slice){s, strcspn(s, "?#")};
    s += p.path.len;
    if (*s == '?') {
        p.has_query = true;
        s++;
        p.query = (struct cfg_slice){s, strcspn(s, "#")};
        s += p.query.len;
    }
    if (*s == '#') {
        p.has_fragment = true;
        p.fragment = cfg_slice_str(s + 1);
    }
    return p;
}

static void drop_last_segment(struct cfg_buf *out, size_t start)
{
    while (out->len > start && out->data[out->len - 1] != '/')
        out->len--;
    if (out->len > start)
        out->len--;
}

/* §5.2.4, appended behind `start`. */
static void put_without_dots(struct cfg_buf *out, const char *in, size_t start)
{
    while (*in) {
        if (strncmp(in, "../", 3) == 0) {
            in += 3;
        } else if (strncmp(in, "./", 2) == 0) {
            in += 2;
        } else if (strncmp(in, "/./", 3) == 0) {
            in += 2;
        } else if (strcmp(in, "/.") == 0) {
            in = "/";
        } else if (strncmp(in, "/../", 4) == 0) {
            drop_last_segment(out, start);
            in += 3;
        } else if (strcmp(in, "/..") == 0) {
            drop_last_segment(out, start);
            in = "/";
        } else if (strcmp(in, ".") == 0 || strcmp(in, "..") == 0) {
            in += strlen(in);
        } else {
            size_t n = strcspn(in + 1, "/") + 1;
            cfg_buf_put(out, in, n);
            in += n;
        }
    }
}

/* §5.2.3, then without dots. */
static void put_merged(struct cfg_buf *out, const struct parts *base, struct cfg_slice path)
{
    struct cfg_buf merged;
    cfg_buf_init(&merged, 1 << 20);
    if (path.len == 0 || path.ptr[0] != '/') {
        size_t keep = base->path.len;
        while (keep > 0 && base->path.ptr[keep - 1] != '/')
            keep--;
        if (keep == 0 && base->has_authority)
            cfg_buf_putc(&merged, '/');
        cfg_buf_put(&merged, base->path.ptr, keep);
    }
    cfg_buf_put(&merged, path.ptr, path.len);
    if (cfg_buf_status(&merged))
        out->failed = cfg_buf_status(&merged);
    else if (base->has_scheme || base->has_authority || (merged.len > 0 && merged.data[0] == '/'))
        put_without_dots(out, merged.data ? merged.data : "", out->len);
    else /* a relative base stays relative: nothing to take ".." from */
        cfg_buf_put(out, merged.data, merged.len);
    cfg_buf_finish(&merged);
}

static void put_slice(struct cfg_buf *out, const char *before, struct cfg_slice s, const char *after)
{
    cfg_buf_puts(out, before);
    cfg_buf_put(out, s.ptr, s.len);
    cfg_buf_puts(out, after);
}

static void put_hierarchy(struct cfg_buf *out, const struct parts *b, const struct parts *r)
{
    bool own_authority = r->has_scheme || r->has_authority;
    const struct parts *top = own_authority ? r : b;
    if (r->has_scheme || b->has_scheme)
        put_slice(out, "", r->has_scheme ? r->scheme : b->scheme, ":");
    if (top->has_authority)
        put_slice(out, "//", top->authority, "");
    if (own_authority && (r->path.len == 0 || r->path.ptr[0] != '/')) /* urn:a:b has no hierarchy: no dots to remove */
        put_slice(out, "", r->path, "");
    else if (own_authority)
        put_merged(out, r, r->path);
    else if (r->path.len == 0)
        put_slice(out, "", b->path, "");
    else
        put_merged(out, b, r->path);
    if (r->has_query)
        put_slice(out, "?", r->query, "");
    else if (!own_authority && r->path.len == 0 && b->has_query)
        put_slice(out, "?", b->query, "");
}

char *cfg_schema_uri_resolve(struct schema_compiler *c, const char *base, const char *ref)
{
    struct parts b = split(base), r = split(ref);
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    put_hierarchy(&out, &b, &r);
    if (r.has_fragment)
        put_slice(&out, "#", r.fragment, "");
    char *copy = cfg_buf_status(&out) ? NULL : cfg_arena_dup(&c->s->arena, cfg_buf_slice(&out));
    cfg_buf_finish(&out);
    return copy;
}
