#include "configd/log.h"

#include "proto/json.h"

#include <stdarg.h>
#include <string.h>

static const char *const names[] = {"debug", "info", "warn", "error"};

void cfg_log_init(struct cfg_log *log, FILE *file, const struct cfg_clock *clock, const char *level, const char *format)
{
    *log = (struct cfg_log){file, clock, CFG_LOG_INFO, strcmp(format, "json") == 0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(level, names[i]) == 0)
            log->least = (enum cfg_log_level)i;
}

void cfg_log(struct cfg_log *log, enum cfg_log_level level, const char *format, ...)
{
    char text[1024], time[CFG_TIME_TEXT];
    if (level < log->least)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a long line is cut */
    va_end(args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    (void)cfg_time_format(log->clock->wall_ns(log->clock->arg), time);
    if (!log->json) {
        (void)fprintf(log->file, "%s %-5s %s\n", time, names[level], text); /* nowhere to report a failing log */
        return;
    }
    struct cfg_buf line;
    cfg_buf_init(&line, 8 * sizeof text);
    cfg_buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"text\":", time, names[level]);
    cfg_json_put_string(&line, cfg_slice_str(text));
    (void)fprintf(log->file, "%s}\n", line.data ? line.data : "");
    cfg_buf_finish(&line);
}

void cfg_log_error(struct cfg_log *log, enum cfg_log_level level, const char *what, const struct cfg_error *err)
{
    cfg_log(log, level, "%s: %s%s%s%s", what, err->text, err->hint[0] ? " (" : "", err->hint, err->hint[0] ? ")" : "");
}
