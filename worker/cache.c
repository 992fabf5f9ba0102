/* The cache's format. See cache.h. */
#include "worker/cache.h"
#include "proto/limits.h"
#include <stdlib.h>
#include <string.h>

static const char magic[] = "configd-view 1\n";

void cfg_cached_finish(struct cfg_cached *c)
{
    free(c->view);
    memset(c, 0, sizeof *c);
}

static void put_text(struct cfg_buf *out, const char *name, const char *value)
{
    cfg_buf_printf(out, "\"%s\":", name);
    cfg_json_put_string(out, cfg_slice_str(value));
    cfg_buf_putc(out, ',');
}

int cfg_cache_encode(struct cfg_buf *out, const char *deployment, const struct cfg_box *b, int64_t time_us,
                     struct cfg_error *err)
{
    size_t start = out->len;
    char sum[CFG_DIGEST_TEXT];
    struct cfg_slice view = cfg_bytes_slice(b->text);
    cfg_buf_puts(out, magic);
    cfg_buf_putc(out, '{');
    put_text(out, "deployment", deployment);
    put_text(out, "store", b->store);
    put_text(out, "revision", b->revision);
    put_text(out, "digest", b->digest);
    cfg_buf_printf(out, "\"time_us\":%lld,\"length\":%zu}\n", (long long)time_us, view.len);
    cfg_buf_put(out, view.ptr, view.len);
    cfg_buf_putc(out, '\n');
    int rc = cfg_buf_status(out);
    if (rc == 0) {
        rc = cfg_digest_bytes(sum, (struct cfg_slice){out->data + start, out->len - start});
    }
    if (rc == 0) {
        cfg_buf_puts(out, sum);
        cfg_buf_putc(out, '\n');
        rc = cfg_buf_status(out);
    }
    return rc == 0 ? 0 : cfg_fail(err, rc, "the view does not fit the cache");
}

static int bad(struct cfg_error *err, const char *what)
{
    return cfg_fail(err, CFG_E_VALUE, "%s", what);
}

/* Checks and cuts off the last line; what is left is what it sums up. */
static int check_sum(struct cfg_slice *body, struct cfg_slice file, struct cfg_error *err)
{
    const size_t line = CFG_DIGEST_TEXT; /* 71 characters and the LF in place of the NUL */
    char sum[CFG_DIGEST_TEXT];
    if (file.len < sizeof magic - 1 + line || memcmp(file.ptr, "configd-view ", 13) != 0) {
        return bad(err, "no view file, or cut short");
    }
    if (memcmp(file.ptr, magic, sizeof magic - 1) != 0) {
        return bad(err, "a format of another version");
    }
    *body = (struct cfg_slice){file.ptr, file.len - line};
    if (cfg_digest_bytes(sum, *body) != 0) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    if (memcmp(body->ptr + body->len, sum, line - 1) != 0 || file.ptr[file.len - 1] != '\n') {
        return bad(err, "the checksum does not match: damaged or cut short");
    }
    return 0;
}

static int copy_member(char *out, size_t size, const cJSON *head, const char *name, struct cfg_error *err)
{
    const char *s = cfg_json_get_str(head, name, NULL);
    if (s == NULL || strlen(s) >= size) {
        return cfg_fail(err, CFG_E_VALUE, "no usable \"%s\" in the head line", name);
    }
    memcpy(out, s, strlen(s) + 1);
    return 0;
}

static int read_head(struct cfg_cached *c, uint64_t *length, struct cfg_slice line, struct cfg_error *err)
{
    cJSON *head = NULL;
    uint64_t time_us = 0;
    int rc = cfg_json_parse(&head, line, 4, err);
    if (rc == 0) {
        rc = copy_member(c->deployment, sizeof c->deployment, head, "deployment", err);
    }
    if (rc == 0) {
        rc = copy_member(c->store, sizeof c->store, head, "store", err);
    }
    if (rc == 0) {
        rc = copy_member(c->revision, sizeof c->revision, head, "revision", err);
    }
    if (rc == 0) {
        rc = copy_member(c->digest, sizeof c->digest, head, "digest", err);
    }
    if (rc == 0) {
        rc = cfg_json_need_u64(head, "time_us", &time_us, err);
    }
    if (rc == 0) {
        rc = cfg_json_need_u64(head, "length", length, err);
    }
    cJSON_Delete(head);
    c->time_us = (int64_t)time_us;
    return rc;
}

int cfg_cache_peek(struct cfg_cache_head *out, struct cfg_slice file)
{
    struct cfg_cached c;
    struct cfg_cache_head h;
    uint64_t length = 0;
    const size_t skip = sizeof magic - 1;
    memset(&c, 0, sizeof c);
    const char *end = file.len > skip ? memchr(file.ptr + skip, '\n', file.len - skip) : NULL;
    if (end == NULL || memcmp(file.ptr, magic, skip) != 0 ||
        read_head(&c, &length, (struct cfg_slice){file.ptr + skip, (size_t)(end - file.ptr) - skip}, NULL) != 0 ||
        cfg_rev_parse(&h.rev, cfg_slice_str(c.revision), NULL) != 0) {
        return CFG_E_VALUE;
    }
    memcpy(h.deployment, c.deployment, sizeof h.deployment);
    memcpy(h.store, c.store, sizeof h.store);
    *out = h;
    return 0;
}

/* The digest in the head must be the view's own: a cache written by a broken build must not pass either. */
static int check_view(const struct cfg_cached *c, struct cfg_error *err)
{
    struct cfg_rev rev;
    cJSON *view = NULL;
    char digest[CFG_DIGEST_TEXT];
    int rc = cfg_rev_parse(&rev, cfg_slice_str(c->revision), err);
    if (rc == 0) {
        rc = cfg_json_parse(&view, (struct cfg_slice){c->view, c->view_len}, CFG_LIMIT_DEPTH + 8, err);
    }
    if (rc == 0 && cfg_digest_json(digest, view) != 0) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    if (rc == 0 && strcmp(digest, c->digest) != 0) {
        rc = bad(err, "the digest is not the view's");
    }
    cJSON_Delete(view);
    return rc;
}

int cfg_cache_decode(struct cfg_cached *out, struct cfg_slice file, const char *deployment, struct cfg_error *err)
{
    struct cfg_cached c;
    struct cfg_slice body = {NULL, 0};
    uint64_t length = 0;
    memset(&c, 0, sizeof c);
    int rc = check_sum(&body, file, err);
    if (rc != 0) {
        return rc;
    }
    const char *head = body.ptr + sizeof magic - 1;
    size_t rest = body.len - (sizeof magic - 1);
    const char *end = memchr(head, '\n', rest);
    if (end == NULL) {
        return bad(err, "no head line");
    }
    rc = read_head(&c, &length, (struct cfg_slice){head, (size_t)(end - head)}, err);
    if (rc != 0) {
        return rc;
    }
    rest -= (size_t)(end + 1 - head);
    if (rest == 0 || length != rest - 1 || end[rest] != '\n') {
        return bad(err, "the view is not as long as the head line says");
    }
    if (strcmp(c.deployment, deployment) != 0) {
        return cfg_fail(err, CFG_E_VALUE, "written for deployment %s, not for %s", c.deployment, deployment);
    }
    c.view_len = (size_t)length;
    c.view = cfg_slice_dup((struct cfg_slice){end + 1, c.view_len});
    rc = c.view != NULL ? check_view(&c, err) : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (rc != 0) {
        cfg_cached_finish(&c);
        return rc;
    }
    *out = c;
    return 0;
}
