#include "client/cfgctl/chart.h"
#include "client/cfgctl/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 8, LABEL_MIN = 7, LABEL_MAX = 15, COLUMNS_MIN = 40, COLUMNS_MAX = 100, MARK_ROWS = 2 };

enum { BASE = 1, CANARY = 2 };

#define SPAN " %.0f s" /* behind the axis */

struct picture {
    double from, to, low, high; /* what it shows: seconds, values */
    int columns;
    int label;                              /* how wide the numbers beside the rows are */
    unsigned char cells[ROWS][COLUMNS_MAX]; /* BASE, CANARY */
};

static void widen(struct picture *p, double v)
{
    if (isfinite(v)) {
        p->low = fmin(p->low, v);
        p->high = fmax(p->high, v);
    }
}

static int put_label(char out[LABEL_MAX + 1], const struct picture *p, int row)
{
    return snprintf(out, LABEL_MAX + 1, "%.4g", p->high - row * (p->high - p->low) / (ROWS - 1));
}

static void measure_label(struct picture *p)
{
    p->label = LABEL_MIN;
    for (int row = 0; row < ROWS; row++) {
        char text[LABEL_MAX + 1];
        int n = put_label(text, p, row);
        p->label = n > p->label ? n : p->label;
    }
}

/* False: there is nothing to show. */
static bool measure(struct picture *p, const struct chart *c, size_t width)
{
    size_t n = 0;
    *p = (struct picture){.from = INFINITY, .to = -INFINITY, .low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < c->n; i++) {
        const struct chart_point *at = &c->points[i];
        if (!isfinite(at->canary) && !isfinite(at->base))
            continue;
        p->from = fmin(p->from, at->seconds);
        p->to = fmax(p->to, at->seconds);
        widen(p, at->canary);
        widen(p, at->base);
        n++;
    }
    if (n < 2 || !(p->to > p->from))
        return false;
    if (!(p->high > p->low)) { /* one value: in the middle */
        double margin = fmax(fabs(p->high) / 100, 1e-9);
        p->low -= margin;
        p->high += margin;
    }
    measure_label(p);
    size_t beside = (size_t)p->label + 2 + (size_t)snprintf(NULL, 0, SPAN, p->to - p->from);
    size_t all = width > 0 ? width : 80, room = all > beside ? all - beside : all;
    size_t columns = n > COLUMNS_MIN ? n : COLUMNS_MIN;
    columns = columns < room ? columns : room;
    p->columns = columns > COLUMNS_MAX ? COLUMNS_MAX : columns < 2 ? 2 : (int)columns;
    return true;
}

static int column(const struct picture *p, double seconds)
{
    double at = (seconds - p->from) / (p->to - p->from) * (p->columns - 1);
    return at < 0 ? 0 : at > p->columns - 1 ? p->columns - 1 : (int)lround(at);
}

static void dot(struct picture *p, double seconds, double v, unsigned char what)
{
    if (isfinite(v)) {
        long row = lround((p->high - v) / (p->high - p->low) * (ROWS - 1));
        unsigned char *cell = &p->cells[row < 0 ? 0 : row >= ROWS ? ROWS - 1 : row][column(p, seconds)];
        *cell = (unsigned char)(*cell | what);
    }
}

static void put_rows(struct cfg_buf *out, const struct picture *p, bool color)
{
    static const char *const marks[] = {" ", "○", "●", "◉"};
    const char *on = color ? "\033[33m" : "", *off = color ? "\033[0m" : "";
    for (int row = 0; row < ROWS; row++) {
        int last = p->columns;
        while (last > 0 && p->cells[row][last - 1] == 0)
            last--;
        char label[LABEL_MAX + 1];
        (void)put_label(label, p, row);
        cfg_buf_printf(out, "%*s ┤", p->label, label);
        for (int i = 0; i < last; i++) {
            unsigned char cell = p->cells[row][i];
            bool lit = (cell & CANARY) != 0;
            cfg_buf_printf(out, "%s%s%s", lit ? on : "", marks[cell], lit ? off : "");
        }
        cfg_buf_putc(out, '\n');
    }
}

/* The axis with a tick for each mark, and their texts below, each where there is room for it. */
static void put_axis(struct cfg_buf *out, const struct picture *p, const struct chart *c)
{
    char rows[MARK_ROWS][COLUMNS_MAX + 32];
    bool ticks[COLUMNS_MAX] = {false};
    int end[MARK_ROWS] = {0};
    memset(rows, ' ', sizeof rows);
    for (size_t i = 0; i < c->n_marks; i++) {
        int at = column(p, c->marks[i].seconds), len = (int)strlen(c->marks[i].text), row = 0;
        ticks[at] = true;
        at = at + len > p->columns ? p->columns - len : at;
        at = at < 0 ? 0 : at;
        while (row < MARK_ROWS && end[row] > 0 && at < end[row] + 1)
            row++;
        if (row < MARK_ROWS) {
            memcpy(rows[row] + at, c->marks[i].text, (size_t)len);
            end[row] = at + len;
        }
    }
    cfg_buf_printf(out, "%*s└", p->label + 1, "");
    for (int i = 0; i < p->columns; i++)
        cfg_buf_puts(out, ticks[i] ? "┴" : "─");
    cfg_buf_printf(out, SPAN "\n", p->to - p->from);
    for (int row = 0; row < MARK_ROWS && end[row] > 0; row++)
        cfg_buf_printf(out, "%*s%.*s\n", p->label + 2, "", end[row], rows[row]);
}

void chart_put(struct cfg_buf *out, const struct chart *c, size_t width, bool color)
{
    struct picture p;
    if (!measure(&p, c, width))
        return;
    for (size_t i = 0; i < c->n; i++) {
        dot(&p, c->points[i].seconds, c->points[i].base, BASE);
        dot(&p, c->points[i].seconds, c->points[i].canary, CANARY);
    }
    cfg_buf_putc(out, '\n');
    cli_put_text(out, c->title);
    cfg_buf_printf(out, "   %s●%s canary  ○ base  ◉ both\n", color ? "\033[33m" : "", color ? "\033[0m" : "");
    put_rows(out, &p, color);
    put_axis(out, &p, c);
}
