/* A view for programs that read variables: what configd leaves to the reader's environment. */
#include "client/cfgctl/view.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_error err;

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

static void setup(void)
{
    cr_assert_eq(setenv("VIEW_USER", "ann ${x} \\${y}", 1), 0);
    cr_assert_eq(setenv("VIEW_PORT", "81", 1), 0);
    cr_assert_eq(unsetenv("VIEW_NONE"), 0);
}

TestSuite(view, .init = setup);

static void reads(const char *text, const char *want)
{
    cJSON *document = json(text), *expected = json(want), *got = NULL;
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    cr_assert_eq(view_read_environment(&got, document, &err), 0, "%s: %s", text, err.text);
    cfg_json_print(&b, got);
    cr_expect(cfg_json_equal(got, expected), "%s: %s", text, b.data);
    cfg_buf_finish(&b);
    cJSON_Delete(got);
    cJSON_Delete(expected);
    cJSON_Delete(document);
}

Test(view, the_environment_is_read)
{
    reads("{\"a\":\"${oc.env:VIEW_PORT}\",\"n\":7}", "{\"a\":\"81\",\"n\":7}");
    reads("{\"a\":\"${oc.env:VIEW_USER}\"}", "{\"a\":\"ann ${x} \\\\${y}\"}"); /* what comes is text */
    reads("{\"a\":\"${oc.env:VIEW_NONE,nobody}\"}", "{\"a\":\"nobody\"}");
    reads("{\"port\":\"${oc.decode:${oc.env:VIEW_PORT}}\"}", "{\"port\":81}");
}

Test(view, and_what_leads_there)
{
    reads("{\"a\":{\"b\":\"${..port}/x\",\"c\":[1,\"${port}\"]},\"d\":\"${a.b}\",\"port\":\"${oc.env:VIEW_PORT}\"}",
          "{\"a\":{\"b\":\"81/x\",\"c\":[1,\"81\"]},\"d\":\"81/x\",\"port\":\"81\"}");
    reads("{\"n\":2,\"t\":\"${eval: n * oc}\",\"oc\":\"${oc.decode:${oc.env:VIEW_PORT}}\"}",
          "{\"n\":2,\"t\":162,\"oc\":81}");
}

Test(view, every_other_text_stays)
{
    reads("{\"shell\":\"${HOME}/x\",\"b\":\"a\\\\${b}\",\"n\":\"${k}\",\"k\":1,\"bad\":\"${\",\"m\":\"???\"}",
          "{\"shell\":\"${HOME}/x\",\"b\":\"a\\\\${b}\",\"n\":\"${k}\",\"k\":1,\"bad\":\"${\",\"m\":\"???\"}");
    /* the same beside one that is read */
    reads("{\"shell\":\"${HOME}/x\",\"b\":\"a\\\\${b}\",\"n\":\"${k}\",\"k\":1,\"bad\":\"${\",\"m\":\"???\","
          "\"e\":\"${k} ${oc.env:VIEW_PORT}\"}",
          "{\"shell\":\"${HOME}/x\",\"b\":\"a\\\\${b}\",\"n\":\"${k}\",\"k\":1,\"bad\":\"${\",\"m\":\"???\","
          "\"e\":\"1 81\"}");
}

Test(view, a_variable_that_is_not_set_is_named)
{
    cJSON *document = json("{\"a\":{\"user\":\"${oc.env:VIEW_NONE}\"}}"), *got = NULL;
    cr_assert_eq(view_read_environment(&got, document, &err), CFG_E_VALUE);
    cr_expect_not_null(strstr(err.text, "VIEW_NONE"), "%s", err.text);
    cr_expect_str_eq(err.path, "a.user");
    cr_expect_not_null(strstr(err.hint, "default"), "%s", err.hint);
    cr_expect_null(got);
    cJSON_Delete(document);
}

Test(view, variables_are_resolved_and_json_is_not)
{
    cJSON *document = json("{\"a\":\"${oc.env:VIEW_PORT}\"}");
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    cr_assert_eq(view_print(&b, VIEW_DOTENV, "chat", document, &err), 0, "%s", err.text);
    cr_expect_str_eq(b.data, "CHAT_A=81\n");
    cfg_buf_clear(&b);
    cr_assert_eq(view_print(&b, VIEW_JSON, "chat", document, &err), 0);
    cr_expect_not_null(strstr(b.data, "${oc.env:VIEW_PORT}"), "%s", b.data);
    cfg_buf_finish(&b);
    cJSON_Delete(document);
}
