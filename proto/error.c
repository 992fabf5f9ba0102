#include "cfg/error.h"
#include "proto/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct code_entry {
    int number;
    const char *name;
    int http;
    int exit_code;
};

static const struct code_entry codes[] = {
#define CFG_ERROR_ROW(name, number, text, http, exit_code) {name, text, http, exit_code},
    CFG_ERROR_CODES(CFG_ERROR_ROW)
#undef CFG_ERROR_ROW
};

static const struct code_entry *find_code(int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].number == code)
            return &codes[i];
    return NULL;
}

static bool is_retryable(int code)
{
    switch (code) {
    case CFG_E_NOMEM:
    case CFG_E_RATE:
    case CFG_E_UNAVAILABLE:
    case CFG_E_NOT_READY:
    case CFG_E_TIMEOUT:
    case CFG_E_UNKNOWN_OUTCOME:
    case CFG_E_CONNECT:
        return true;
    default:
        return false;
    }
}

int cfg_fail(struct cfg_error *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    *err = (struct cfg_error)CFG_ERROR_INIT;
    err->code = code;
    err->retryable = is_retryable(code);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* truncation of a message is fine */
    va_end(args);
    cfg_utf8_mend(err->text);
    return code;
}

void cfg_error_set_hint(struct cfg_error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->hint, sizeof err->hint, format, args);
    va_end(args);
    cfg_utf8_mend(err->hint);
}

void cfg_error_set_path(struct cfg_error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->path, sizeof err->path, format, args);
    va_end(args);
    cfg_utf8_mend(err->path);
}

int cfg_error_wrap(struct cfg_error *err, const char *format, ...)
{
    if (err == NULL)
        return CFG_E_INTERNAL;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof err->text ? (size_t)n : sizeof err->text - 1;
    for (const char *p = ": "; *p && used < sizeof err->text - 1; p++)
        err->text[used++] = *p;
    for (const char *p = old; *p && used < sizeof err->text - 1; p++)
        err->text[used++] = *p;
    err->text[used] = '\0';
    cfg_utf8_mend(err->text);
    return err->code;
}

const char *cfg_code_name(int code)
{
    const struct code_entry *e = find_code(code);
    return e ? e->name : code == CFG_OK ? "ok" : "unknown";
}

int cfg_code_from_name(const char *name)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i].name, name) == 0)
            return codes[i].number;
    return CFG_E_PROTOCOL;
}

int cfg_code_http(int code)
{
    const struct code_entry *e = find_code(code);
    return e ? e->http : code == CFG_OK ? 200 : 500;
}

int cfg_code_exit(int code)
{
    const struct code_entry *e = find_code(code);
    return e ? e->exit_code : code == CFG_OK ? 0 : 1;
}
