/* json-patch-tests: a file is an array of {comment, doc, patch, expected | error, disabled}. The array is cut into the
 * texts of its cases before any is read, because the suite also holds cases that are no I-JSON (two "op" members), and
 * those must not take the whole file with them. */
#include "proto/patch.h"
#include "tests/conformance/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void judge(struct cfg_suite_run *run, const char *name, const cJSON *test)
{
    const cJSON *doc = cfg_json_get(test, "doc"), *patch = cfg_json_get(test, "patch");
    const cJSON *expected = cfg_json_get(test, "expected"), *error = cfg_json_get(test, "error");
    cJSON *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    char *before = cfg_suite_text(doc);
    int code = cfg_patch_apply(&out, doc, patch, &err);
    char *after = cfg_suite_text(doc), *result = cfg_suite_text(out);
    if (strcmp(before, after) != 0)
        cfg_suite_fail(run, name, "it changed the document that it was given");
    else if (code && code != CFG_E_PATCH)
        cfg_suite_fail(run, name, "it ended with %s: %s", cfg_code_name(code), err.text);
    else if (error && code == 0)
        cfg_suite_fail(run, name, "it must be refused (%s), and gave %s", cfg_json_get_str(test, "error", "?"), result);
    else if (!error && code)
        cfg_suite_fail(run, name, "it was refused: %s", err.text);
    else if (!error && expected && !cfg_json_equal(out, expected))
        cfg_suite_fail(run, name, "it gave %s", result);
    else
        cfg_suite_pass(run);
    free(before);
    free(after);
    free(result);
    cJSON_Delete(out);
}

static void run_case(struct cfg_suite_run *run, unsigned index, struct cfg_slice text)
{
    char name[160];
    cJSON *test = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    (void)snprintf(name, sizeof name, "[%u]", index);
    int code = cfg_json_parse(&test, text, 0, &err);
    if (code == 0)
        (void)snprintf(name, sizeof name, "[%u] %s", index, cfg_json_get_str(test, "comment", "(no comment)"));
    if (code && strstr(err.text, "duplicate key"))
        cfg_suite_leave_out(run, name, "no I-JSON, refused before it is a patch: %s", err.text);
    else if (code)
        cfg_suite_fail(run, name, "the case cannot be read: %s", err.text);
    else if (cJSON_IsTrue(cfg_json_get(test, "disabled")))
        cfg_suite_leave_out(run, name, "disabled in the suite");
    else if (cfg_json_get(test, "doc") == NULL || cfg_json_get(test, "patch") == NULL)
        cfg_suite_leave_out(run, name, "it has no document or no patch");
    else
        judge(run, name, test);
    cJSON_Delete(test);
}

void cfg_suite_json_patch(struct cfg_suite_run *run, struct cfg_slice content)
{
    struct cfg_slice text;
    size_t i = 0;
    unsigned index = 0;
    if (!cfg_suite_is_array(content)) {
        cfg_suite_leave_out(run, "", "it is no array of cases");
        return;
    }
    while (cfg_suite_element(&text, content, &i))
        run_case(run, index++, text);
}
