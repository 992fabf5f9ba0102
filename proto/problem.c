#include "proto/problem.h"

#include "proto/utf8.h"

#include <string.h>

struct status_row {
    int status;
    const char *title; /* RFC 9457: with type about:blank, the phrase of the HTTP status */
    int code;          /* what the status alone says, where the body says nothing */
};

static const struct status_row statuses[] = {
    {400, "Bad Request", CFG_E_INVALID},
    {401, "Unauthorized", CFG_E_UNAUTHORIZED},
    {403, "Forbidden", CFG_E_FORBIDDEN},
    {404, "Not Found", CFG_E_NOT_FOUND},
    {405, "Method Not Allowed", CFG_E_METHOD},
    {408, "Request Timeout", CFG_E_REQUEST_TIMEOUT},
    {409, "Conflict", CFG_E_CONFLICT},
    {410, "Gone", CFG_E_COMPACTED},
    {412, "Precondition Failed", CFG_E_PRECONDITION},
    {413, "Content Too Large", CFG_E_LIMIT},
    {415, "Unsupported Media Type", CFG_E_MEDIA_TYPE},
    {422, "Unprocessable Content", CFG_E_VALUE},
    {428, "Precondition Required", CFG_E_PRECONDITION_REQUIRED},
    {429, "Too Many Requests", CFG_E_RATE},
    {431, "Request Header Fields Too Large", CFG_E_HEADERS},
    {500, "Internal Server Error", CFG_E_INTERNAL},
    {502, "Bad Gateway", CFG_E_UNAVAILABLE},
    {503, "Service Unavailable", CFG_E_UNAVAILABLE},
    {504, "Gateway Timeout", CFG_E_TIMEOUT},
    {507, "Insufficient Storage", CFG_E_STORE_FULL},
};

static const struct status_row *find_status(long status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].status == status)
            return &statuses[i];
    return NULL;
}

/* --- out --- */

static void put_name(struct cfg_buf *out, const char *name)
{
    cfg_buf_putc(out, ',');
    cfg_json_put_string(out, cfg_slice_str(name));
    cfg_buf_putc(out, ':');
}

/* An error's text may quote what a peer sent and may have been cut inside a character: whatever is no UTF-8 becomes
 * U+FFFD. */
static void put_text(struct cfg_buf *out, const char *name, const char *text, size_t size)
{
    if (text[0] == '\0')
        return;
    struct cfg_buf clean;
    cfg_buf_init(&clean, size * 3);
    const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
    while (p < end) {
        size_t n = cfg_utf8_length(p, end);
        if (n > 0)
            cfg_buf_put(&clean, p, n);
        else
            cfg_buf_puts(&clean, "\xEF\xBF\xBD");
        p += n > 0 ? n : 1;
    }
    put_name(out, name);
    cfg_json_put_string(out, cfg_buf_slice(&clean));
    if (cfg_buf_status(&clean) != 0 && cfg_buf_status(out) == 0)
        out->failed = cfg_buf_status(&clean);
    cfg_buf_finish(&clean);
}

static bool is_standard(const char *name)
{
    static const char *const names[] = {"type", "title", "status", "code", "detail", "path", "hint"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

void cfg_problem_print(struct cfg_buf *out, const struct cfg_error *err, const cJSON *extra)
{
    int status = cfg_code_http(err->code);
    const struct status_row *row = find_status(status);
    cfg_buf_puts(out, "{\"type\":\"about:blank\"");
    put_text(out, "title", row ? row->title : "Error", 64);
    put_name(out, "status");
    cfg_buf_printf(out, "%d", status);
    put_text(out, "code", cfg_code_name(err->code), 64);
    put_text(out, "detail", err->text, sizeof err->text);
    put_text(out, "path", err->path, sizeof err->path);
    put_text(out, "hint", err->hint, sizeof err->hint);
    const cJSON *member;
    cJSON_ArrayForEach(member, extra)
    {
        if (is_standard(member->string))
            continue;
        put_name(out, member->string);
        cfg_json_print(out, member);
    }
    cfg_buf_putc(out, '}');
}

/* --- in --- */

static int code_of_status(long status)
{
    const struct status_row *row = find_status(status);
    if (row)
        return row->code;
    if (status >= 500 && status <= 599)
        return CFG_E_UNAVAILABLE;
    return CFG_E_PROTOCOL;
}

/* One line that is safe to show: control bytes, and the C0 80 that stands for U+0000, become spaces; a character that
 * does not fit is left out whole. */
static void copy_text(char *out, size_t size, const char *from)
{
    const unsigned char *p = (const unsigned char *)from, *end = p + strlen(from);
    size_t n = 0;
    while (p < end) {
        size_t len = cfg_utf8_length(p, end);
        bool shown = len > 1 ? !(p[0] == 0xC2 && p[1] < 0xA0) : len == 1 && p[0] >= 0x20 && p[0] != 0x7F;
        if (n + (shown ? len : 1) >= size)
            break;
        if (shown)
            memcpy(out + n, p, len);
        else
            out[n] = ' ';
        n += shown ? len : 1;
        p += len > 0 ? len : 1;
    }
    out[n] = '\0';
}

/* A code that this build does not know (a newer server's) says no more than the status. */
static int code_of_document(const cJSON *doc, long status)
{
    const char *name = cfg_json_get_str(doc, "code", "");
    int code = cfg_code_from_name(name);
    return strcmp(cfg_code_name(code), name) == 0 ? code : code_of_status(status);
}

int cfg_problem_read(struct cfg_error *err, long http_status, struct cfg_slice body)
{
    cJSON *doc = NULL;
    const char *detail = NULL;
    if (cfg_json_parse(&doc, body, 0, NULL) == 0)
        detail = cfg_json_get_str(doc, "detail", cfg_json_get_str(doc, "title", NULL));
    int code;
    if (detail == NULL) {
        code = code_of_status(http_status);
        const struct status_row *row = find_status(http_status);
        (void)cfg_fail(err, code, "the server answered %ld%s%s and no reason", http_status, row ? " " : "",
                       row ? row->title : "");
    } else {
        char text[sizeof err->text];
        copy_text(text, sizeof text, detail);
        code = code_of_document(doc, http_status);
        (void)cfg_fail(err, code, "%s", text);
        if (err) {
            copy_text(err->path, sizeof err->path, cfg_json_get_str(doc, "path", ""));
            copy_text(err->hint, sizeof err->hint, cfg_json_get_str(doc, "hint", ""));
        }
    }
    cJSON_Delete(doc);
    return code;
}
