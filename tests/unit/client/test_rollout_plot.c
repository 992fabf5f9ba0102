/* How guards went, as pictures of text. */
#include "client/cfgctl/chart.h"
#include "client/cfgctl/rollout_plot.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static cJSON *parsed(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

/* Newest first: went back at 10:00:20, all ran it at 10:00:10, 50 % from 10:00:08 on; and a rollout before. */
static const char history[] =
    "[{\"run\":5,\"time\":\"2026-11-23T10:00:20Z\",\"guards\":[\"q>0.9*base\",\"unseen<1\"],\"state\":{\"phase\":"
    "\"rolling-back\",\"step\":0},"
    "\"steps\":[{\"share\":0.5}],\"decision\":{\"trace\":{\"ms\":[-10000,-7500,-5000,-2500,0],\"guards\":[{\"guard\":"
    "\"q>0.9*base\","
    "\"canary\":[8,6,4,2,0],\"base\":[8,8,8,8,null]}]}}},"
    "{\"run\":5,\"time\":\"2026-11-23T10:00:10Z\",\"guards\":[],\"state\":{\"phase\":\"baking\",\"step\":0},\"steps\":["
    "{\"share\":0.5}]},"
    "{\"run\":5,\"time\":\"2026-11-23T10:00:08Z\",\"guards\":[],\"state\":{\"phase\":\"rolling\",\"step\":0},\"steps\":"
    "[{\"share\":0.5}]},"
    "{\"run\":1,\"time\":\"2026-11-23T09:00:00Z\",\"guards\":[],\"state\":{\"phase\":\"finished\",\"step\":0},"
    "\"decision\":{\"trace\":"
    "{\"ms\":[-100,0],\"guards\":[{\"guard\":\"q>0.9*base\",\"canary\":[99,99],\"base\":[99,99]}]}}}]";

static void history_is(const char *versions, size_t width, bool color, const char *want)
{
    struct cfg_buf b;
    cJSON *v = parsed(versions);
    cfg_buf_init(&b, 65536);
    rollout_plot_history(&b, v, width, color);
    cr_assert_str_eq(b.len > 0 ? b.data : "", want);
    cfg_buf_finish(&b);
    cJSON_Delete(v);
}

Test(rollout_plot, the_newest_rollout_with_its_decisions)
{
    static const char want[] = "\nq>0.9*base   ● canary  ○ base  ◉ both\n"
                               "      8 ┤◉         ○         ○        ○\n"
                               "  6.857 ┤\n"
                               "  5.714 ┤          ●\n"
                               "  4.571 ┤\n"
                               "  3.429 ┤                    ●\n"
                               "  2.286 ┤                             ●\n"
                               "  1.143 ┤\n"
                               "      0 ┤                                       ●\n"
                               "        └┴──────────────────────────────────────┴ 10 s\n"
                               "         all run it                  rolling-back\n";
    history_is(history, 80, false, want);
    history_is("[]", 80, false, "");
}

static void chart_is(const struct chart_point *points, size_t n, size_t width, bool color, const char *const *has)
{
    const struct chart_mark marks[] = {{0, "first"}, {1, "second"}, {2, "third"}, {100, "last"}};
    const struct chart c = {"t", points, n, marks, 4};
    struct cfg_buf b;
    cfg_buf_init(&b, 65536);
    chart_put(&b, &c, width, color);
    for (; *has; has++)
        cr_assert(b.len > 0 && strstr(b.data, *has), "no \"%s\" in:\n%s", *has, b.data);
    cr_assert(color || b.len == 0 || strchr(b.data, '\033') == NULL);
    for (const char *line = b.data; line && width >= 20 && (line = strchr(line, '\n')) != NULL; line++) {
        size_t columns = 0;
        for (const char *p = line + 1; *p != '\n' && *p != '\0'; p++)
            columns += (*p & 0xC0) != 0x80;
        cr_assert(color || columns <= width + 8, "%zu columns of %zu:\n%s", columns, width, b.data);
    }
    cfg_buf_finish(&b);
}

/* Whatever the values and however narrow the terminal: it draws what it can. */
Test(rollout_plot, values_of_every_kind)
{
    static const char *const nothing[] = {NULL}, *const flat[] = {"┤◉", "└┴", " 100 s", NULL};
    const struct chart_point same[] = {{0, 5, 5}, {50, 5, NAN}, {100, NAN, 5}};
    const struct chart_point none[] = {{0, NAN, NAN}, {1, NAN, NAN}, {2, 1, 1}, {2, 2, 2}};
    const struct chart_point wild[] = {{0, 1e300, -1e300}, {1, INFINITY, 0}, {2, NAN, 1e-300}, {100, 0, 0}};
    static const char *const marked[] = {"first", "second", "last", NULL}, *const lit[] = {"\033[33m●\033[0m", NULL};
    chart_is(same, 3, 80, false, flat);
    chart_is(wild, 4, 80, false, marked);
    chart_is(wild, 4, 1, false, nothing);
    chart_is(wild, 4, 200, true, lit);
    for (size_t width = 1; width < 130; width++)
        chart_is(wild, 4, width, false, nothing);
    const struct chart c = {"t", none, 4, NULL, 0};
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    chart_put(&b, &c, 80, false); /* all of one moment */
    cr_assert_eq(b.len, 0U);
    cfg_buf_finish(&b);
}

/* Rates have long numbers, which push no row aside, and no line over the edge. */
Test(rollout_plot, rows_begin_in_one_column)
{
    static const struct chart_point points[] = {{0, -0.00012345, NAN}, {5, 0.012345678, 0.00917}};
    const struct chart chart = {.title = "rate<1%", .points = points, .n = 2};
    for (size_t width = 40; width < 80; width++) {
        struct cfg_buf b;
        int rows = 0;
        cfg_buf_init(&b, 65536);
        chart_put(&b, &chart, width, false);
        for (const char *line = strstr(b.data, "both\n") + 5; strchr(line, '\n'); line = strchr(line, '\n') + 1) {
            const char *mark = strstr(line, "┤") ? strstr(line, "┤") : strstr(line, "└");
            size_t shown = 0;
            for (const char *at = line; *at != '\n'; at++)
                shown += ((unsigned char)*at & 0xc0) != 0x80;
            cr_assert_leq(shown, width, "%.*s", (int)strcspn(line, "\n"), line);
            cr_assert_eq(mark - line, 11, "%.*s", (int)strcspn(line, "\n"), line); /* "-0.0001235 " */
            rows++;
        }
        cr_assert_eq(rows, 9);
        cfg_buf_finish(&b);
    }
}
