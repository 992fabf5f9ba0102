/* Violations: what is wrong, where, what was expected and what is there. */
#include "proto/schema_internal.h"
#include "proto/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_BYTES = 100 };

/* A key that a dotted path can hold as it is. */
static bool is_plain(const char *key)
{
    return key[0] != '\0' && strpbrk(key, "./[]=\"") == NULL;
}

static void put_key(struct cfg_buf *out, const char *key)
{
    if (is_plain(key)) {
        if (out->len)
            cfg_buf_putc(out, '.');
        cfg_buf_puts(out, key);
        return;
    }
    cfg_buf_putc(out, '[');
    cfg_json_put_string(out, cfg_slice_str(key));
    cfg_buf_putc(out, ']');
}

void cfg_schema_put_path(struct cfg_buf *out, const struct schema_at *at)
{
    if (at->up == NULL)
        return;
    cfg_schema_put_path(out, at->up);
    if (at->key)
        put_key(out, at->key);
    else
        cfg_buf_printf(out, "[%zu]", at->index);
}

void cfg_schema_path_text(char out[CFG_SCHEMA_SHOWN_PATH], struct schema_run *r, const struct schema_at *at)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1 << 20);
    cfg_schema_put_path(&path, at);
    cfg_schema_need(r, &path);
    (void)snprintf(out, CFG_SCHEMA_SHOWN_PATH, "%s", path.data ? path.data : "");
    cfg_buf_finish(&path);
}

void cfg_schema_show(struct cfg_buf *out, const cJSON *v)
{
    if (cJSON_IsObject(v) || cJSON_IsArray(v)) { /* never their content: it may hold secrets */
        int n = cJSON_GetArraySize(v);
        cfg_buf_printf(out, cJSON_IsObject(v) ? "an object with %d member%s" : "an array of %d item%s", n,
                       n == 1 ? "" : "s");
        return;
    }
    size_t start = out->len;
    cfg_json_print(out, v);
    if (out->len - start <= SHOWN_BYTES || out->failed)
        return;
    size_t cut = start + SHOWN_BYTES;
    while (cut > start && ((unsigned char)out->data[cut] & 0xC0) == 0x80)
        cut--;
    out->len = cut;
    cfg_buf_puts(out, "…\"");
}

static void put_got(struct schema_run *r, struct cfg_buf *out, const struct schema_at *at, const char *path)
{
    struct cfg_schema_info info;
    bool secret = !cfg_schema_info(&info, r->s, path) || info.secret;
    if (secret && !cJSON_IsObject(at->v) && !cJSON_IsArray(at->v))
        cfg_buf_puts(out, "(a secret, not shown)");
    else
        cfg_schema_show(out, at->v);
}

static bool add_text(cJSON *o, const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return true;
    cJSON *added = cJSON_AddStringToObject(o, name, text);
    if (added)
        cfg_utf8_mend(added->valuestring);
    return added != NULL;
}

static void append(struct schema_run *r, const struct schema_report *what, const char *path, const char *message,
                   const char *got)
{
    cJSON *v = cJSON_CreateObject();
    bool good = v && cJSON_AddStringToObject(v, "path", path) && add_text(v, "keyword", what->keyword) &&
                add_text(v, "message", message) && add_text(v, "expected", what->expected) && add_text(v, "got", got) &&
                add_text(v, "hint", what->hint) && cJSON_AddItemToArray(r->list, v);
    if (!good) {
        cJSON_Delete(v);
        r->failed = CFG_E_NOMEM;
    }
}

bool cfg_schema_report(struct schema_run *r, const struct schema_at *at, const struct schema_report *what,
                       const char *format, ...)
{
    if (r->quiet || r->failed)
        return false;
    if (++r->count > CFG_SCHEMA_VIOLATIONS)
        return false;
    struct cfg_buf path, got;
    cfg_buf_init(&path, 1 << 20);
    cfg_buf_init(&got, 1 << 21);
    cfg_schema_put_path(&path, at);
    if (!what->no_got)
        put_got(r, &got, at, path.data ? path.data : "");
    if (what->key)
        put_key(&path, what->key);
    char text[600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (cfg_buf_status(&path) || cfg_buf_status(&got))
        r->failed = CFG_E_NOMEM;
    else if (r->list)
        append(r, what, path.data ? path.data : "", text, what->no_got ? what->got : got.data);
    if (r->err && r->count == 1) {
        cfg_fail(r->err, CFG_E_SCHEMA, "%s%s%s", path.len ? path.data : "", path.len ? ": " : "", text);
        cfg_error_set_path(r->err, "%s", path.len ? path.data : "");
        cfg_error_set_hint(r->err, "%s", what->hint ? what->hint : "");
    }
    cfg_buf_finish(&path);
    cfg_buf_finish(&got);
    return false;
}
