/* An experiment as it is typed, and its report as a page. */
#include "client/cfgctl/experiment_text.h"
#include "client/cfgctl/experiment_words.h"

#include <criterion/criterion.h>
#include <string.h>

static cJSON *typed(const char *const *words, const char *refused)
{
    cJSON *request = cJSON_CreateObject();
    struct cfg_error err = CFG_ERROR_INIT;
    for (; *words; words++) {
        int rc = experiment_add_word(request, *words, &err);
        if (refused == NULL) {
            cr_assert_eq(rc, 0, "%s: %s", *words, err.text);
        } else {
            cr_assert_eq(rc, CFG_E_INVALID, "%s", *words);
            cr_assert(strstr(err.text, refused) || strstr(err.hint, refused), "%s: %s (%s)", *words, err.text,
                      err.hint);
        }
    }
    return request;
}

static void put(struct cfg_buf *out, const cJSON *v)
{
    cfg_buf_init(out, 4096);
    cfg_json_print(out, v);
}

Test(experiment_words, everything_that_can_be_said)
{
    static const char *const words[] = {
        "ms:decrease", "a:b:increase", "control=off", "treatments=on,hot", "shares=off:50,on:25.5", "effect=-2",
        "alpha=0.01",  "power=0.9",    "units=2e4",   "rate=900",          "baseline=41:2",         NULL};
    cJSON *r = typed(words, NULL);
    struct cfg_buf text;
    put(&text, r);
    cr_assert_str_eq(text.data,
                     "{\"metrics\":[{\"name\":\"ms\",\"want\":\"decrease\"},{\"name\":\"a:b\",\"want\":\"increase\"}],"
                     "\"control\":\"off\",\"treatments\":[\"on\",\"hot\"],\"shares\":{\"off\":50,\"on\":25.5},"
                     "\"effect\":-2,\"alpha\":0.01,\"power\":0.9,\"planned_units\":20000,\"units_per_hour\":900,"
                     "\"baseline\":{\"mean\":41,\"sd\":2}}");
    cfg_buf_finish(&text);
    cJSON_Delete(r);
    static const char *const share[] = {"effect=5%", NULL};
    r = typed(share, NULL);
    cr_assert_eq(cfg_json_get_num(r, "relative_effect", 0), 0.05);
    cJSON_Delete(r);
}

Test(experiment_words, what_cannot_be_read)
{
    static const char *const metrics[] = {"ms", "ms:less", ":decrease", "", NULL};
    static const char *const numbers[] = {"alpha=",     "effect=2x", "baseline=41", "shares=off",
                                          "units=many", "rate=inf",  NULL};
    static const char *const names[] = {"contrl=off", NULL};
    cJSON_Delete(typed(metrics, "neither a metric nor a setting"));
    cJSON_Delete(typed(numbers, "cannot be read"));
    cJSON_Delete(typed(names, "did you mean control"));
}

#define REPORT                                                                                                         \
    "{\"mismatch\":{\"p\":%s,\"void\":%s,\"resolution\":0.2},\"verdict\":\"%s\",\"why\":\"because\",\"control\":{"     \
    "\"name\":"                                                                                                        \
    "\"off\",\"units\":12345},\"treatments\":[{\"name\":\"on\\u0007\",\"units\":12000,\"metrics\":[{\"name\":\"ms\","  \
    "\"primary\":true,\"want\":\"decrease\",\"n\":9,\"bad\":2,\"control\":40,\"treatment\":42,\"difference\":2,"       \
    "\"low\":1,"                                                                                                       \
    "\"high\":3,\"p\":0.001,\"significant\":true,\"relative\":0.05},{\"name\":\"q\",\"want\":\"increase\",\"n\":4}]}]" \
    "}"

static void page(struct cfg_buf *out, const char *p, const char *is_void, const char *verdict)
{
    struct cfg_buf text;
    cJSON *report = NULL;
    cfg_buf_init(&text, 8192);
    cfg_buf_printf(&text, REPORT, p, is_void, verdict);
    cr_assert_eq(cfg_json_parse(&report, cfg_buf_slice(&text), 0, NULL), 0, "%s", text.data);
    cfg_buf_init(out, 1 << 16);
    experiment_put_report(out, report, 100, false);
    cr_assert_eq(cfg_buf_status(out), 0);
    cJSON_Delete(report);
    cfg_buf_finish(&text);
}

Test(experiment_text, the_page_says_what_may_be_believed_first)
{
    struct cfg_buf out;
    page(&out, "1", "false", "worse");
    cr_assert(strncmp(out.data, "worse: because\n", 15) == 0, "%s", out.data);
    static const char *const parts[] = {"units: off 12,345 · on? 12,000",
                                        "nothing against it",
                                        "less than 20 % off",
                                        "ms (decides), wanted: decrease; 40 in the control",
                                        "+2 [+1 … +3] +5.0 % p=0.001 * (2 samples were no numbers)",
                                        "no figures yet (4 samples; too few, or all are equal)"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_assert(strstr(out.data, parts[i]), "%s is not in\n%s", parts[i], out.data);
    /* The interval's marks come in order, and right of the line of no difference. */
    const char *zero = strstr(out.data, "┊"), *low = strstr(out.data, "├"), *middle = strstr(out.data, "●"),
               *high = strstr(out.data, "┤");
    cr_assert(zero && low && middle && high && zero < low && low < middle && middle < high, "%s", out.data);
    cfg_buf_finish(&out);
    page(&out, "1e-9", "true", "void");
    cr_assert(strstr(out.data, "split as assigned: NO (p = 1e-09"), "%s", out.data);
    cfg_buf_finish(&out);
}

/* What counts for neither arm is said, or all would seem to be lost; and one line of it, for pipes. */
Test(experiment_text, groups_that_crossed_and_one_line)
{
    static const char text[] = "{\"name\":\"hot\",\"verdict\":\"early\",\"why\":\"too "
                               "early\",\"mismatch\":{\"p\":1,\"void\":false},\"control\":{\"name\":"
                               "\"base\",\"units\":1200},\"groups\":{\"crossed\":50,\"left_out\":0},\"treatments\":[{"
                               "\"name\":\"canary\",\"units\":39,"
                               "\"metrics\":[{\"name\":\"ms\",\"want\":\"decrease\",\"n\":39,\"difference\":2,\"low\":"
                               "1,\"high\":3,\"p\":0.01}]}]}";
    cJSON *report = NULL;
    struct cfg_buf out;
    cr_assert_eq(cfg_json_parse(&report, cfg_slice_str(text), 0, NULL), 0);
    cfg_buf_init(&out, 65536);
    experiment_put_report(&out, report, 80, false);
    cr_assert(strstr(out.data, "50 groups were seen in both arms, since a share changed or another rollout began: they "
                               "count for neither\n"),
              "%s", out.data);
    cfg_buf_finish(&out);
    cfg_buf_init(&out, 65536);
    experiment_put_line(&out, report);
    cr_assert_str_eq(out.data, "hot: early · base 1,200 · canary 39 ms  +2 [+1 … +3] p=0.01\n");
    cfg_buf_finish(&out);
    cJSON_Delete(report);
}

/* Names that differ at their end, and no line over a narrow terminal's edge. */
Test(experiment_text, long_names_and_narrow_terminals)
{
    static const char text[] =
        "{\"name\":\"hot\",\"verdict\":\"none\",\"why\":\"\",\"mismatch\":{\"p\":1,\"void\":false},\"control\":{"
        "\"name\":\"off\",\"units\":1},\"treatments\":["
        "{\"name\":\"temperature-übermut-1\",\"units\":1,\"metrics\":[{\"name\":\"ms\",\"want\":\"decrease\",\"n\":9,"
        "\"difference\":-0.0003642,\"low\":-0.002206,\"high\":0.001478,\"p\":1.5e-104,\"relative\":-0.1}]},"
        "{\"name\":\"temperature-übermut-2\",\"units\":1,\"metrics\":[{\"name\":\"ms\",\"want\":\"decrease\",\"n\":9,"
        "\"difference\":0.0003642,\"low\":-0.002206,\"high\":0.001478,\"p\":1}]}]}";
    cJSON *report = NULL;
    cr_assert_eq(cfg_json_parse(&report, cfg_slice_str(text), 0, NULL), 0);
    for (size_t width = 70; width < 130; width++) {
        struct cfg_buf out;
        cfg_buf_init(&out, 65536);
        experiment_put_report(&out, report, width, false);
        const char *plot = strstr(out.data, "wanted: decrease\n");
        cr_assert(plot && strstr(plot, "  temperature-übermut-1\n") && strstr(plot, "  temperature-übermut-2\n"), "%s",
                  out.data);
        cr_assert(strstr(plot, "  -0.0003642 [-0.002206 … +0.001478] -10.0 % p=1.5e-104"), "%s", out.data);
        for (const char *line = plot; *line; line = strchr(line, '\n') + 1) {
            size_t shown = 0;
            for (const char *at = line; *at != '\n'; at++)
                shown += ((unsigned char)*at & 0xc0) != 0x80;
            cr_assert_leq(shown, width, "%d columns of %d: %s", (int)shown, (int)width, out.data);
        }
        cfg_buf_finish(&out);
    }
    cJSON_Delete(report);
}
