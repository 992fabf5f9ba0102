/* JSONTestSuite: a file is a case, its name says what must become of it: y_ is read, n_ is refused, i_ either way. What
 * is read must also come out of the printers as the same value. I-JSON refuses more than JSON does: a y_ file that
 * repeats a key is left out, provided that this is why it was refused. */
#include "tests/conformance/suite.h"

#include <stdlib.h>
#include <string.h>

/* NULL, or what is wrong with a printer's text. */
static const char *reads_back(const cJSON *v, void (*print)(struct cfg_buf *, const cJSON *))
{
    struct cfg_buf text;
    cJSON *again = NULL;
    cfg_buf_init(&text, 1 << 28);
    print(&text, v);
    const char *why = NULL;
    if (cfg_buf_status(&text) || cfg_json_parse(&again, cfg_buf_slice(&text), 0, NULL))
        why = "what was printed cannot be read";
    else if (!cfg_json_equal(v, again))
        why = "what was printed reads as another value";
    cJSON_Delete(again);
    cfg_buf_finish(&text);
    return why;
}

static void judge_read(struct cfg_suite_run *run, char kind, const cJSON *v)
{
    const char *why = reads_back(v, cfg_json_print);
    if (why == NULL)
        why = reads_back(v, cfg_json_print_pretty);
    if (kind == 'n')
        cfg_suite_fail(run, "", "it must be refused, and was read");
    else if (why)
        cfg_suite_fail(run, "", "%s", why);
    else
        cfg_suite_pass(run);
}

static void judge_refusal(struct cfg_suite_run *run, char kind, const struct cfg_error *err)
{
    if (err->code != CFG_E_JSON && err->code != CFG_E_LIMIT)
        cfg_suite_fail(run, "", "it ended with %s", cfg_code_name(err->code));
    else if (kind != 'y')
        cfg_suite_pass(run);
    else if (strstr(err->text, "duplicate key"))
        cfg_suite_leave_out(run, "", "I-JSON (RFC 7493) forbids what JSON leaves open: %s", err->text);
    else
        cfg_suite_fail(run, "", "it must be read, and was refused: %s", err->text);
}

void cfg_suite_json_parsing(struct cfg_suite_run *run, struct cfg_slice content)
{
    const char *slash = strrchr(run->file, '/'), *name = slash ? slash + 1 : run->file;
    if (strchr("yni", name[0]) == NULL || name[0] == '\0' || name[1] != '_') {
        cfg_suite_leave_out(run, "", "its name begins with none of y_, n_, i_");
        return;
    }
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_json_parse(&v, content, 0, &err))
        judge_refusal(run, name[0], &err);
    else
        judge_read(run, name[0], v);
    cJSON_Delete(v);
}
