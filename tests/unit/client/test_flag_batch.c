/* cfgctl flag eval --batch: whatever a line holds, it gets one answer. */
#include "client/cfgctl/flag_batch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ON     "{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"}"
#define NUMBER "{\"state\":\"ENABLED\",\"variants\":{\"one\":1,\"half\":0.5},\"defaultVariant\":\"half\"}"
#define TIMED                                                                                                   \
    "{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"off\",\"targeting\":" \
    "{\"if\":[{\">\":[{\"var\":\"$flagd.timestamp\"},100]},\"on\"]}}"
#define LONG_IDS                                                                                                \
    "{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"off\",\"targeting\":" \
    "{\"if\":[{\"==\":[{\"var\":\"id\"},9007199254740992]},\"on\"]}}"

static void asks(struct flag_batch *b, const char *line, const char *value, const char *variant, const char *reason,
                 const char *error)
{
    struct cfg_buf out;
    char wanted[512];
    cfg_buf_init(&out, 1 << 20);
    flag_batch_line(b, &out, cfg_slice_str(line), 1000, NULL);
    (void)snprintf(wanted, sizeof wanted, "{\"value\":%s,\"variant\":%s,\"reason\":\"%s\",\"errorCode\":%s}\n", value,
                   variant, reason, error);
    cr_expect_str_eq(out.data, wanted, "%s", line);
    cfg_buf_finish(&out);
}

Test(flag_batch, answers)
{
    struct flag_batch *b = flag_batch_new();
    asks(b, "{\"flags\":{\"a\":" ON "},\"flag\":\"a\",\"type\":\"bool\",\"default\":false}", "true", "\"on\"", "STATIC",
         "null");
    asks(b,
         " { \"fl\\u0061gs\" : {\"flags\":{\"a\":" ON "}} , \"flag\":\"a\",\"type\":\"Boolean\",\"context\":null } \r",
         "true", "\"on\"", "STATIC", "null");
    asks(b, "{\"definition\":" ON ",\"type\":\"bool\",\"default\":false}", "true", "\"on\"", "STATIC", "null");
    asks(b, "{\"definition\":{\"enabled\":false,\"off_variant\":\"off\",\"definition\":" ON "},\"flag\":\"x\"}",
         "false", "\"off\"", "DISABLED", "null");
    asks(b, "{\"flags\":{\"flags\":" ON "},\"flag\":\"flags\"}", "true", "\"on\"", "STATIC", "null");
    asks(b, "{\"flags\":{},\"flag\":\"a\",\"type\":\"object\",\"default\":{\"k\":[1]}}", "{\"k\":[1]}", "null", "ERROR",
         "\"FLAG_NOT_FOUND\"");
    asks(b, "{\"definition\":" NUMBER ",\"type\":\"float\",\"default\":7}", "0.5", "\"half\"", "STATIC", "null");
    asks(b, "{\"definition\":" NUMBER ",\"type\":\"integer\",\"default\":7}", "7", "null", "ERROR",
         "\"TYPE_MISMATCH\"");
    asks(b, "{\"definition\":" NUMBER ",\"type\":\"string\",\"default\":\"s\"}", "\"s\"", "null", "ERROR",
         "\"TYPE_MISMATCH\"");
    asks(b, "{\"definition\":" ON ",\"default\":false,\"context\":[1]}", "false", "null", "ERROR",
         "\"INVALID_CONTEXT\"");
    asks(b, "{\"definition\":{\"variants\":{\"on\":1}},\"default\":3}", "3", "null", "ERROR", "\"PARSE_ERROR\"");
    flag_batch_free(b);
}

Test(flag_batch, time_and_foreign_numbers)
{
    struct flag_batch *b = flag_batch_new();
    asks(b, "{\"definition\":" TIMED "}", "true", "\"on\"", "TARGETING_MATCH", "null"); /* at 1000 */
    asks(b, "{\"definition\":" TIMED ",\"context\":{\"$flagd\":{\"timestamp\":99}}}", "false", "\"off\"", "DEFAULT",
         "null");
    asks(b, "{\"definition\":" LONG_IDS ",\"context\":{\"id\":9007199254740992}}", "true", "\"on\"", "TARGETING_MATCH",
         "null");
    asks(b, "{\"definition\":" LONG_IDS ",\"context\":{\"id\":9007199254740992,\"id\":1}}", "false", "\"off\"",
         "DEFAULT", "null"); /* the last counts */
    flag_batch_free(b);
}

Test(flag_batch, what_is_no_question_is_answered_too)
{
    static const struct {
        const char *line, *value, *error;
    } cases[] = {
        {"", "null", "\"PARSE_ERROR\""},
        {"nonsense", "null", "\"PARSE_ERROR\""},
        {"[]", "null", "\"PARSE_ERROR\""},
        {"{\"default\":1,", "null", "\"PARSE_ERROR\""},
        {"{\"default\":1}}", "null", "\"PARSE_ERROR\""},
        {"{\"default\":1,\"x\":[1}]}", "null", "\"PARSE_ERROR\""},
        {"{\"default\":\"\\\"}", "null", "\"PARSE_ERROR\""},
        {"{\"default\":1,\"context\":{\"a\":tru},\"definition\":" ON "}", "1", "\"PARSE_ERROR\""},
        {"{\"default\":1,\"flags\":{\"a\":tru},\"flag\":\"a\"}", "1", "\"PARSE_ERROR\""},
        {"{\"default\":1,\"flags\":[],\"flag\":\"a\"}", "1", "\"PARSE_ERROR\""},
        {"{\"default\":1,\"definition\":null}", "1", "\"PARSE_ERROR\""},
        {"{}", "null", "\"GENERAL\""},
        {"{\"default\":1,\"flags\":{}}", "1", "\"GENERAL\""},
        {"{\"default\":1,\"flags\":{},\"flag\":7}", "1", "\"GENERAL\""},
        {"{\"default\":1,\"flags\":{},\"definition\":{},\"flag\":\"a\"}", "1", "\"GENERAL\""},
        {"{\"default\":1,\"definition\":" ON ",\"type\":\"colour\"}", "1", "\"GENERAL\""},
    };
    struct flag_batch *b = flag_batch_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        asks(b, cases[i].line, cases[i].value, "null", "ERROR", cases[i].error);
    flag_batch_free(b);
}

/* A set is found again by its bytes, and never taken for another. */
Test(flag_batch, sets_that_repeat_and_sets_that_differ)
{
    struct flag_batch *b = flag_batch_new();
    char line[512], value[32];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2000; i++) {
            (void)snprintf(line, sizeof line,
                           "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"v\":%d},\"defaultVariant\":\"v\"},"
                           "\"flag\":\"f%d\",\"type\":\"number\"}",
                           i, i % 7);
            (void)snprintf(value, sizeof value, "%d", i);
            asks(b, line, value, "\"v\"", "STATIC", "null");
        }
    flag_batch_free(b);
}

Test(flag_ask, types_have_other_names)
{
    static const struct {
        const char *text;
        enum cfg_flag_type type;
    } rows[] = {{"bool", CFG_FLAG_BOOL},       {"Boolean", CFG_FLAG_BOOL},  {"FLOAT", CFG_FLAG_NUMBER},
                {"integer", CFG_FLAG_INTEGER}, {"Object", CFG_FLAG_OBJECT}, {"string", CFG_FLAG_STRING}};
    enum cfg_flag_type type;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert(flag_type_parse(&type, rows[i].text), "%s", rows[i].text);
        cr_assert_eq(type, rows[i].type, "%s", rows[i].text);
    }
    cr_assert_not(flag_type_parse(&type, "colour"));
    cr_assert_not(flag_type_parse(&type, ""));
}
