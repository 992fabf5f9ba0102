#include "client/cfgctl/progress.h"

#include <stdio.h>
#include <unistd.h>

enum { WIDTH = 30, LEAST_BAR = 10, LEAST_LINES = 40 };

void progress_line(struct cfg_buf *out, const struct progress *p)
{
    if (p->total < (p->bar ? LEAST_BAR : LEAST_LINES) || p->done > p->total)
        return;
    if (p->bar) {
        int full = (int)(p->done * WIDTH / p->total);
        cfg_buf_printf(out, "\r%s [%.*s%.*s] %zu/%zu", p->what, full, "##############################", WIDTH - full,
                       "..............................", p->done, p->total);
    } else if (p->done > 0 && p->done * 4 / p->total != (p->done - 1) * 4 / p->total) {
        cfg_buf_printf(out, "%s: %zu of %zu\n", p->what, p->done, p->total);
    }
}

static void show(const struct progress *p)
{
    struct cfg_buf line;
    cfg_buf_init(&line, 512);
    progress_line(&line, p);
    if (line.len > 0)
        (void)fputs(line.data, stderr);
    cfg_buf_finish(&line);
}

void progress_start(struct progress *p, const char *what, size_t total)
{
    *p = (struct progress){.what = what, .total = total, .bar = isatty(STDERR_FILENO)};
    show(p);
}

void progress_step(struct progress *p)
{
    p->done++;
    show(p);
}

void progress_end(struct progress *p)
{
    if (p->bar && p->total >= LEAST_BAR)
        (void)fputs("\r\033[K", stderr);
}
