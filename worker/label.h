/* The names that workers give to metrics and capabilities: [a-zA-Z0-9_.:/-]{1,64}. Pure. */
#ifndef CFG_WORKER_LABEL_H
#define CFG_WORKER_LABEL_H

#include <stdbool.h>
#include <stddef.h>

enum { CFG_LABEL_MAX = 64 };

static inline bool cfg_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':' || c == '/' || c == '-';
}

static inline bool cfg_label_ok(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && cfg_label_char(s[i])) {
        i++;
    }
    return i == n && n > 0 && n <= CFG_LABEL_MAX;
}

#endif
