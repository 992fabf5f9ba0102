/* The page of an experiment. All intervals of a metric share one axis, which holds 0. */
#include "client/cfgctl/experiment_text.h"
#include "client/cfgctl/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_WIDTH = 14, PLOT_MIN = 21, PLOT_MAX = 61 };

static const char *colored(bool color, const char *verdict)
{
    if (!color)
        return "";
    if (strcmp(verdict, "better") == 0)
        return "\033[32m";
    return strcmp(verdict, "worse") == 0 || strcmp(verdict, "void") == 0 ? "\033[31m" : "";
}

static void put_count(struct cfg_buf *out, double n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%.0f", n);
    for (int i = 0; i < len; i++) {
        cfg_buf_putc(out, digits[i]);
        if ((len - i - 1) % 3 == 0 && i < len - 1)
            cfg_buf_putc(out, ',');
    }
}

static const cJSON *metric_of(const cJSON *treatment, int i)
{
    return cJSON_GetArrayItem(cfg_json_get(treatment, "metrics"), i);
}

static void put_figures(struct cfg_buf *out, const cJSON *m)
{
    double difference = cfg_json_get_num(m, "difference", 0);
    cfg_buf_printf(out, "  %+.4g [%+.4g … %+.4g]", difference, cfg_json_get_num(m, "low", 0),
                   cfg_json_get_num(m, "high", 0));
    if (cfg_json_get(m, "relative"))
        cfg_buf_printf(out, " %+.1f %%", cfg_json_get_num(m, "relative", 0) * 100);
    cfg_buf_printf(out, " p=%.2g%s", cfg_json_get_num(m, "p", 1),
                   cfg_json_get_bool(m, "significant", false) ? " *" : "");
}

static void put_head(struct cfg_buf *out, const cJSON *report, bool color)
{
    const cJSON *m = cfg_json_get(report, "mismatch"), *t;
    const char *verdict = cfg_json_get_str(report, "verdict", "?");
    const char *on = colored(color, verdict);
    cfg_buf_printf(out, "%s%s%s: ", on, verdict, *on ? "\033[0m" : "");
    cli_put_text(out, cfg_json_get_str(report, "why", ""));
    cfg_buf_puts(out, "\nunits: ");
    cli_put_text(out, cfg_json_get_str(cfg_json_get(report, "control"), "name", "?"));
    cfg_buf_putc(out, ' ');
    put_count(out, cfg_json_get_num(cfg_json_get(report, "control"), "units", 0));
    cJSON_ArrayForEach(t, cfg_json_get(report, "treatments"))
    {
        cfg_buf_puts(out, " · ");
        cli_put_text(out, cfg_json_get_str(t, "name", "?"));
        cfg_buf_putc(out, ' ');
        put_count(out, cfg_json_get_num(t, "units", 0));
    }
    cfg_buf_printf(out, "   split as assigned: %s (p = %.2g",
                   cfg_json_get_bool(m, "void", false) ? "NO" : "nothing against it", cfg_json_get_num(m, "p", 1));
    double resolution = cfg_json_get_num(m, "resolution", 0);
    if (resolution > 0)
        cfg_buf_printf(out, "; a sketch counts, less than %.0f %% off would not show", resolution * 100);
    cfg_buf_puts(out, ")\n");
    double crossed = cfg_json_get_num(cfg_json_get(report, "groups"), "crossed", 0);
    if (crossed > 0)
        cfg_buf_printf(out,
                       "%.0f groups were seen in both arms, since a share changed or another rollout began: they count "
                       "for neither\n",
                       crossed);
}

void experiment_put_line(struct cfg_buf *out, const cJSON *report)
{
    const cJSON *t, *treatments = cfg_json_get(report, "treatments"), *control = cfg_json_get(report, "control");
    cli_put_text(out, cfg_json_get_str(report, "name", "?"));
    cfg_buf_printf(out, ": %s · %s ", cfg_json_get_str(report, "verdict", "?"), cfg_json_get_str(control, "name", "?"));
    put_count(out, cfg_json_get_num(control, "units", 0));
    cJSON_ArrayForEach(t, treatments)
    {
        const cJSON *m = metric_of(t, 0);
        cfg_buf_puts(out, " · ");
        cli_put_text(out, cfg_json_get_str(t, "name", "?"));
        cfg_buf_putc(out, ' ');
        put_count(out, cfg_json_get_num(t, "units", 0));
        if (cfg_json_get(m, "difference") == NULL)
            continue;
        cfg_buf_putc(out, ' ');
        cli_put_text(out, cfg_json_get_str(m, "name", "?"));
        put_figures(out, m);
    }
    cfg_buf_putc(out, '\n');
}

/* Who was asked and gave no answer. */
static void put_silent(struct cfg_buf *out, const cJSON *report)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, cfg_json_get(report, "silent"))
    {
        cfg_buf_puts(out, "partial: what configd ");
        cli_put_text(out, cfg_json_get_str(s, "replica", "?"));
        cfg_buf_puts(out, " was told last is missing: ");
        cli_put_text(out, cfg_json_get_str(s, "why", "?"));
        cfg_buf_putc(out, '\n');
    }
}

/* --- the plot --- */

struct axis {
    double low, high;
    int columns;
};

static void widen(struct axis *a, double low, double high)
{
    a->low = fmin(a->low, low);
    a->high = fmax(a->high, high);
}

static int column(const struct axis *a, double x)
{
    double at = (x - a->low) / (a->high - a->low) * (a->columns - 1);
    return at < 0 ? 0 : at > a->columns - 1 ? a->columns - 1 : (int)lround(at);
}

static void put_interval(struct cfg_buf *out, const struct axis *a, double low, double middle, double high)
{
    int zero = column(a, 0), from = column(a, low), at = column(a, middle), to = column(a, high);
    for (int i = 0; i < a->columns; i++) {
        const char *mark = i == zero ? "┊" : " ";
        if (i == at)
            mark = "●";
        else if (i == from)
            mark = "├";
        else if (i == to)
            mark = "┤";
        else if (i > from && i < to)
            mark = i == zero ? "┼" : "─";
        cfg_buf_puts(out, mark);
    }
}

static void put_axis(struct cfg_buf *out, const struct axis *a)
{
    char low[32], high[32];
    int zero = column(a, 0);
    int left = snprintf(low, sizeof low, "%.3g", a->low), right = snprintf(high, sizeof high, "%.3g", a->high);
    cfg_buf_printf(out, "  %*s%s", NAME_WIDTH, "", low);
    bool room = zero > left + 1 && zero < a->columns - right - 2;
    int written = left;
    if (room) {
        cfg_buf_printf(out, "%*s0", zero - left, "");
        written = zero + 1;
    }
    cfg_buf_printf(out, "%*s%s\n", a->columns - written - right > 1 ? a->columns - written - right : 1, "", high);
}

/* --- metrics --- */

static bool axis_of(struct axis *out, const cJSON *treatments, int metric, size_t width)
{
    const cJSON *t;
    size_t room = width > NAME_WIDTH + 40 ? width - NAME_WIDTH - 40 : PLOT_MIN;
    *out = (struct axis){.columns = (int)(room < PLOT_MIN ? PLOT_MIN : room > PLOT_MAX ? PLOT_MAX : room)};
    cJSON_ArrayForEach(t, treatments)
    {
        const cJSON *m = metric_of(t, metric);
        widen(out, cfg_json_get_num(m, "low", 0), cfg_json_get_num(m, "high", 0));
    }
    double margin = (out->high - out->low) * 0.05;
    out->low -= margin;
    out->high += margin;
    return out->high > out->low && isfinite(out->high - out->low);
}

static size_t columns_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Whole, on a line of its own where the column is too narrow: names often differ at their end. */
static void put_name(struct cfg_buf *out, const char *name)
{
    struct cfg_buf clean;
    cfg_buf_init(&clean, 4096);
    cli_put_text(&clean, name);
    const char *text = clean.len > 0 ? clean.data : "";
    size_t shown = columns_of(text);
    bool fits = shown <= NAME_WIDTH;
    cfg_buf_printf(out, "  %s%s%*s", text, fits ? "" : "\n  ", (int)(fits ? NAME_WIDTH - shown : NAME_WIDTH), "");
    cfg_buf_finish(&clean);
}

/* Beside the interval, or below it where there is no room. */
static void put_beside(struct cfg_buf *out, const cJSON *m, const struct axis *a, size_t width)
{
    struct cfg_buf figures;
    cfg_buf_init(&figures, 4096);
    put_figures(&figures, m);
    double bad = cfg_json_get_num(m, "bad", 0);
    if (bad > 0)
        cfg_buf_printf(&figures, " (%.0f samples were no numbers)", bad);
    const char *text = figures.len > 0 ? figures.data : "";
    bool fits = 2 + NAME_WIDTH + (size_t)a->columns + columns_of(text) <= width;
    if (!fits)
        cfg_buf_printf(out, "\n%*s", NAME_WIDTH, ""); /* the figures begin with two blanks */
    cfg_buf_puts(out, text);
    cfg_buf_finish(&figures);
}

static void put_row(struct cfg_buf *out, const cJSON *treatment, const cJSON *m, const struct axis *a, size_t width)
{
    put_name(out, cfg_json_get_str(treatment, "name", "?"));
    double n = cfg_json_get_num(m, "n", 0);
    if (!cfg_json_get(m, "difference")) {
        cfg_buf_printf(out,
                       n > 0 ? "no figures yet (%.0f samples; too few, or all are equal)\n"
                             : "no figures yet (%.0f samples)\n",
                       n);
        return;
    }
    put_interval(out, a, cfg_json_get_num(m, "low", 0), cfg_json_get_num(m, "difference", 0),
                 cfg_json_get_num(m, "high", 0));
    put_beside(out, m, a, width);
    cfg_buf_putc(out, '\n');
}

static void put_metric(struct cfg_buf *out, const cJSON *report, int i, size_t width)
{
    const cJSON *treatments = cfg_json_get(report, "treatments"), *t, *first = metric_of(treatments->child, i);
    struct axis a;
    bool drawn = axis_of(&a, treatments, i, width);
    cfg_buf_putc(out, '\n');
    cli_put_text(out, cfg_json_get_str(first, "name", "?"));
    cfg_buf_printf(out, "%s, wanted: %s", cfg_json_get_bool(first, "primary", false) ? " (decides)" : "",
                   cfg_json_get_str(first, "want", "?"));
    if (cfg_json_get(first, "control"))
        cfg_buf_printf(out, "; %.4g in the control", cfg_json_get_num(first, "control", 0));
    cfg_buf_putc(out, '\n');
    cJSON_ArrayForEach(t, treatments)
    {
        put_row(out, t, metric_of(t, i), &a, width);
    }
    if (drawn)
        put_axis(out, &a);
}

void experiment_put_report(struct cfg_buf *out, const cJSON *report, size_t width, bool color)
{
    const cJSON *first = cJSON_GetArrayItem(cfg_json_get(report, "treatments"), 0);
    put_head(out, report, color);
    put_silent(out, report);
    for (int i = 0; metric_of(first, i) != NULL; i++)
        put_metric(out, report, i, width > 0 ? width : 80);
}
