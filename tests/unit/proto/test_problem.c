#include "proto/problem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *print(const struct cfg_error *err, const cJSON *extra)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 10000);
    cfg_problem_print(&out, err, extra);
    cr_assert_eq(cfg_buf_status(&out), 0);
    cJSON *back = NULL;
    cr_assert_eq(cfg_json_parse(&back, cfg_buf_slice(&out), 0, NULL), 0, "%s", out.data);
    cJSON_Delete(back);
    return cfg_buf_steal(&out);
}

Test(problem, prints)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_PRECONDITION, "chat is at version 43, not \"42\"");
    char *text = print(&err, NULL);
    cr_assert_str_eq(text, "{\"type\":\"about:blank\",\"title\":\"Precondition Failed\",\"status\":412,"
                           "\"code\":\"precondition_failed\",\"detail\":\"chat is at version 43, not \\\"42\\\"\"}");
    free(text);
    cfg_error_set_path(&err, "a.b");
    cfg_error_set_hint(&err, "cfgctl get chat");
    cJSON *extra = cJSON_CreateObject();
    cJSON_AddNumberToObject(extra, "version", 43);
    cJSON_AddStringToObject(extra, "code", "never twice");
    text = print(&err, extra);
    cr_assert_not_null(strstr(text, "\"path\":\"a.b\",\"hint\":\"cfgctl get chat\",\"version\":43}"), "%s", text);
    cr_assert_null(strstr(text, "never"));
    free(text);
    cJSON_Delete(extra);
}

Test(problem, every_code_survives_the_wire)
{
    static const int codes[] = {
#define ROW(name, number, text, http, exit_code) name,
        CFG_ERROR_CODES(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct cfg_error sent, got = CFG_ERROR_INIT;
        (void)cfg_fail(&sent, codes[i], "reason %zu", i);
        cfg_error_set_path(&sent, "a.b[%zu]", i);
        cfg_error_set_hint(&sent, "do %zu", i);
        char *text = print(&sent, NULL);
        cr_assert_null(strstr(text, "\"title\":\"Error\""), "no title for %s", cfg_code_name(codes[i]));
        cr_assert_eq(cfg_problem_read(&got, cfg_code_http(codes[i]), cfg_slice_str(text)), codes[i]);
        cr_assert(got.code == sent.code && got.retryable == sent.retryable);
        cr_assert_str_eq(got.text, sent.text);
        cr_assert_str_eq(got.path, sent.path);
        cr_assert_str_eq(got.hint, sent.hint);
        free(text);
    }
}

/* What a peer sent may stand in an error's text: broken UTF-8 must not break the document, nor a cut inside a
 * character. */
Test(problem, prints_any_bytes)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_ADDRESS, "text");
    (void)snprintf(err.text, sizeof err.text, "a\xFF\xC0\x80z\xE2\x82"); /* cfg_fail would have mended it */
    char *text = print(&err, NULL);
    cr_assert_not_null(strstr(text, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\""), "%s", text);
    free(text);
    char longer[1000];
    memset(longer, '\xFF', sizeof longer - 1);
    longer[999] = '\0';
    (void)cfg_fail(&err, CFG_E_ADDRESS, "%s", longer);
    free(print(&err, NULL));
}

static int read_as(struct cfg_error *err, long status, const char *body)
{
    *err = (struct cfg_error)CFG_ERROR_INIT;
    int code = cfg_problem_read(err, status, cfg_slice_str(body));
    cr_assert_eq(code, err->code);
    return code;
}

Test(problem, the_status_speaks_where_the_body_does_not)
{
    static const struct {
        long status;
        int code;
    } rows[] = {
        {400, CFG_E_INVALID},    {401, CFG_E_UNAUTHORIZED}, {403, CFG_E_FORBIDDEN},   {404, CFG_E_NOT_FOUND},
        {409, CFG_E_CONFLICT},   {412, CFG_E_PRECONDITION}, {413, CFG_E_LIMIT},       {429, CFG_E_RATE},
        {500, CFG_E_INTERNAL},   {502, CFG_E_UNAVAILABLE},  {503, CFG_E_UNAVAILABLE}, {504, CFG_E_TIMEOUT},
        {507, CFG_E_STORE_FULL}, {599, CFG_E_UNAVAILABLE},  {418, CFG_E_PROTOCOL},    {200, CFG_E_PROTOCOL},
        {302, CFG_E_PROTOCOL},   {0, CFG_E_PROTOCOL},       {-1, CFG_E_PROTOCOL},     {999, CFG_E_PROTOCOL},
    };
    static const char *const bodies[] = {"", "<html>no</html>", "[]", "\"x\"", "{\"detail\":7}", "{\"detail\":\"cut"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t b = 0; b < sizeof bodies / sizeof bodies[0]; b++) {
            struct cfg_error err;
            cr_assert_eq(read_as(&err, rows[i].status, bodies[b]), rows[i].code, "%ld", rows[i].status);
            cr_assert(strstr(err.text, "the server answered"));
        }
}

Test(problem, an_unknown_code_falls_back_to_the_status)
{
    struct cfg_error err;
    cr_assert_eq(read_as(&err, 409, "{\"code\":\"newer\",\"detail\":\"d\"}"), CFG_E_CONFLICT);
    cr_assert_str_eq(err.text, "d");
    cr_assert_eq(read_as(&err, 404, "{\"title\":\"Gone fishing\"}"), CFG_E_NOT_FOUND);
    cr_assert_str_eq(err.text, "Gone fishing");
    cr_assert_eq(read_as(&err, 404, "{\"code\":\"protocol\",\"detail\":\"d\"}"), CFG_E_PROTOCOL);
    cr_assert_eq(read_as(&err, 404, "{\"code\":\"ok\",\"detail\":\"d\"}"), CFG_E_NOT_FOUND);
    cr_assert_eq(cfg_problem_read(NULL, 404, CFG_SLICE_LIT("{\"title\":\"x\"}")), CFG_E_NOT_FOUND);
}

Test(problem, what_is_read_is_safe_to_show)
{
    struct cfg_error err;
    (void)read_as(
        &err, 400,
        "{\"detail\":\"a\\nb\\u001b[31m\\u0000c\\u007f\\u0085d\\u00e9\",\"path\":\"p\\tq\",\"hint\":\"h\\r\"}");
    cr_assert_str_eq(err.text, "a b [31m  c  d\xC3\xA9");
    cr_assert_str_eq(err.path, "p q");
    cr_assert_str_eq(err.hint, "h ");
    struct cfg_buf body;
    cfg_buf_init(&body, 2000);
    cfg_buf_puts(&body, "{\"detail\":\"x");
    for (int i = 0; i < 300; i++)
        cfg_buf_puts(&body, "\xE2\x82\xAC");
    cfg_buf_puts(&body, "\"}");
    (void)read_as(&err, 400, body.data);
    cfg_buf_finish(&body);
    cr_assert_eq(strlen(err.text), 1 + 127 * 3); /* the 128th would end at byte 385 of 383 */
}
