#include "client/url.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

void cfg_url_put(struct cfg_buf *out, const char *s)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            cfg_buf_putc(out, *s);
        else
            cfg_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
    }
}

void cfg_url_format(struct cfg_buf *out, const char *pattern, ...)
{
    va_list args;
    va_start(args, pattern);
    for (; *pattern; pattern++) {
        if (*pattern == '*')
            cfg_url_put(out, va_arg(args, const char *));
        else
            cfg_buf_putc(out, *pattern);
    }
    va_end(args);
}

void cfg_url_query(struct cfg_buf *out, const char *name, const char *value)
{
    bool first = out->len == 0 || memchr(out->data, '?', out->len) == NULL;
    cfg_buf_putc(out, first ? '?' : '&');
    cfg_buf_puts(out, name);
    cfg_buf_putc(out, '=');
    cfg_url_put(out, value);
}
