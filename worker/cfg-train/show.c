/* Printing. See show.h. */
#include "worker/cfg-train/show.h"
#include <inttypes.h>
#include <math.h>
#include <sys/ioctl.h>

enum { LINE_MAX = 1 << 16, BAR_MAX = 40, COLUMNS = 80, TEXT_WIDTH = 52 };

/* A line begins where the bar stood. */
static void print(struct cfg_show *s, const struct cfg_buf *b)
{
    if (cfg_buf_status(b) != 0) {
        return;
    }
    (void)fprintf(s->out, "%s%s\n", s->bar_shown ? "\r\033[K" : "", b->data);
    (void)fflush(s->out);
    s->bar_shown = false;
}

static void put_number(struct cfg_buf *b, double v)
{
    if (isfinite(v)) {
        cfg_json_put_number(b, v);
    } else {
        cfg_buf_puts(b, "null");
    }
}

static void json_event(struct cfg_buf *b, const char *event, uint64_t step, const char *text,
                       const struct cfg_show_figure *figures, size_t n)
{
    cfg_buf_printf(b, "{\"event\":\"%s\",\"step\":%" PRIu64, event, step);
    if (text != NULL) {
        cfg_buf_puts(b, ",\"text\":");
        cfg_json_put_string(b, cfg_slice_str(text));
    }
    for (size_t i = 0; i < n; i++) {
        cfg_buf_printf(b, ",\"%s\":", figures[i].name);
        put_number(b, figures[i].value);
    }
    cfg_buf_putc(b, '}');
}

static void line_event(struct cfg_buf *b, const char *event, uint64_t step, const char *text,
                       const struct cfg_show_figure *figures, size_t n)
{
    cfg_buf_printf(b, "step %" PRIu64 ": %s", step, event);
    if (text != NULL) {
        cfg_buf_printf(b, " %s", text);
    }
    for (size_t i = 0; i < n; i++) {
        cfg_buf_printf(b, "%s %s %.6g", i > 0 ? "," : "", figures[i].name, figures[i].value);
    }
}

void cfg_show_event(struct cfg_show *s, const char *event, uint64_t step, const char *text,
                    const struct cfg_show_figure *figures, size_t n)
{
    struct cfg_buf b;
    if (s->mode == CFG_SHOW_NOTHING) {
        return;
    }
    cfg_buf_init(&b, LINE_MAX);
    (s->mode == CFG_SHOW_JSON ? json_event : line_event)(&b, event, step, text, figures, n);
    print(s, &b);
    cfg_buf_finish(&b);
}

static void json_applied(struct cfg_buf *b, uint64_t step, const char *revision, const cJSON *changed)
{
    cfg_buf_printf(b, "{\"event\":\"applied\",\"step\":%" PRIu64 ",\"revision\":\"%s\",\"changed\":", step, revision);
    if (changed != NULL) {
        cfg_json_print(b, changed);
    } else {
        cfg_buf_puts(b, "null");
    }
    cfg_buf_putc(b, '}');
}

static void line_applied(struct cfg_buf *b, uint64_t step, const char *revision, const cJSON *changed)
{
    cfg_buf_printf(b, "step %" PRIu64 ": applied %s (", step, revision);
    for (const cJSON *c = changed != NULL ? changed->child : NULL; c != NULL; c = c->next) {
        cfg_buf_printf(b, "%s ", c->string);
        cfg_json_print(b, cJSON_GetArrayItem(c, 0));
        cfg_buf_puts(b, " → ");
        cfg_json_print(b, cJSON_GetArrayItem(c, 1));
        cfg_buf_puts(b, c->next != NULL ? ", " : "");
    }
    cfg_buf_puts(b, changed == NULL ? "first view)" : changed->child == NULL ? "nothing this worker reads)" : ")");
}

void cfg_show_applied(struct cfg_show *s, uint64_t step, const char *revision, const cJSON *changed)
{
    struct cfg_buf b;
    if (s->mode == CFG_SHOW_NOTHING) {
        return;
    }
    cfg_buf_init(&b, LINE_MAX);
    (s->mode == CFG_SHOW_JSON ? json_applied : line_applied)(&b, step, revision, changed);
    print(s, &b);
    cfg_buf_finish(&b);
}

void cfg_show_bar_text(struct cfg_buf *out, uint64_t step, uint64_t total, double loss, double rate, unsigned columns)
{
    unsigned width = columns > TEXT_WIDTH + 4 ? columns - TEXT_WIDTH - 3 : 0;
    width = width > BAR_MAX ? BAR_MAX : width;
    if (total == 0) {
        cfg_buf_printf(out, "step %" PRIu64, step);
    } else {
        cfg_buf_printf(out, "step %" PRIu64 "/%" PRIu64, step, total);
    }
    if (total > 0 && width > 0) {
        double share = (double)step / (double)total;
        unsigned filled = (unsigned)((share < 1 ? share : 1) * width);
        cfg_buf_puts(out, " [");
        for (unsigned i = 0; i < width; i++) {
            cfg_buf_putc(out, i < filled ? '#' : '.');
        }
        cfg_buf_putc(out, ']');
    }
    cfg_buf_printf(out, " loss %.3f, %.0f bytes/s", loss, rate);
}

void cfg_show_bar(struct cfg_show *s, uint64_t step, uint64_t total, double loss, double rate)
{
    struct cfg_buf b;
    struct winsize size = {0};
    if (s->mode != CFG_SHOW_BAR) {
        return;
    }
    bool known = ioctl(fileno(s->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    cfg_buf_init(&b, LINE_MAX);
    cfg_show_bar_text(&b, step, total, loss, rate, known ? size.ws_col : COLUMNS);
    if (cfg_buf_status(&b) == 0) {
        (void)fprintf(s->out, "\r\033[K%s", b.data);
        (void)fflush(s->out);
        s->bar_shown = true;
    }
    cfg_buf_finish(&b);
}

void cfg_show_end(struct cfg_show *s)
{
    if (s->bar_shown) {
        (void)fputc('\n', s->out);
        (void)fflush(s->out);
        s->bar_shown = false;
    }
}
