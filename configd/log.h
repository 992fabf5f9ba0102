/* The daemon's log: lines on standard error, as text or JSON. Only main and the app write to it. */
#ifndef CFG_CONFIGD_LOG_H
#define CFG_CONFIGD_LOG_H

#include "configd/loop.h"

#include <stdio.h>

enum cfg_log_level { CFG_LOG_DEBUG, CFG_LOG_INFO, CFG_LOG_WARN, CFG_LOG_ERROR };

struct cfg_log {
    FILE *file;
    const struct cfg_clock *clock;
    enum cfg_log_level least;
    bool json;
};

/* level and format as the settings spell them. */
void cfg_log_init(struct cfg_log *log, FILE *file, const struct cfg_clock *clock, const char *level,
                  const char *format);
/* One line; control bytes become spaces. */
void cfg_log(struct cfg_log *log, enum cfg_log_level level, const char *format, ...) CFG_PRINTF(3, 4);
/* "what: text (hint)". */
void cfg_log_error(struct cfg_log *log, enum cfg_log_level level, const char *what, const struct cfg_error *err);

#endif
