/* The expression language: values, precedence, errors with column and values, limits. */
#include "proto/expr.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char document_text[] =
    "{\"train\":{\"lr\":0.001,\"steps\":100,\"batch\":8,\"name\":\"run\",\"sizes\":[1,2,3],\"on\":true,\"none\":null},"
    "\"world_size\":4,\"x-y\":7,\"nested\":[{\"a\":5}],\"empty\":[],\"big\":9007199254740991}";

/* The value as JSON text, or "CODE: text". */
static char *run(const char *text)
{
    cJSON *document = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert(cfg_json_parse(&document, cfg_slice_str(document_text), 0, &err) == 0);
    struct cfg_expr_names names = cfg_expr_names_of(document);
    struct cfg_expr *e = NULL;
    struct cfg_arena arena;
    struct cfg_buf out;
    cfg_arena_init(&arena, 1 << 20);
    cfg_buf_init(&out, 1 << 16);
    struct cfg_expr_value v;
    int code = cfg_expr_compile(&e, cfg_slice_str(text), &err);
    if (code == 0)
        code = cfg_expr_eval(&v, e, &names, &arena, &err);
    cJSON *json = NULL;
    if (code == 0)
        code = cfg_expr_to_json(&json, &v, &err);
    if (code)
        cfg_buf_printf(&out, "%s: %s", cfg_code_name(code), err.text);
    else {
        cfg_json_print(&out, json);
        if (v.type == CFG_EXPR_NUMBER && v.is_float)
            cfg_buf_puts(&out, "f");
    }
    cJSON_Delete(json);
    cfg_arena_finish(&arena);
    cfg_expr_free(e);
    cJSON_Delete(document);
    return cfg_buf_steal(&out);
}

static void expect(const char *text, const char *wanted)
{
    char *got = run(text);
    cr_expect(strcmp(got, wanted) == 0, "%s gave %s, not %s", text, got, wanted);
    free(got);
}

Test(expr, arithmetic_is_pythons)
{
    static const char *const rows[][2] = {
        {"1 + 2 * 3", "7"},
        {"(1 + 2) * 3", "9"},
        {"2 ** 3 ** 2", "512"},
        {"-2 ** 2", "-4"},
        {"4503599627370497 // 1", "4503599627370497"},
        {"9007199254740991 // 3", "3002399751580330"},
        {"-9007199254740991 // 2", "-4503599627370496"},
        {"2 ** -1", "0.5f"},
        {"7 // 2", "3"},
        {"-7 // 2", "-4"},
        {"7 // -2", "-4"},
        {"-7 % 3", "2"},
        {"7 % -3", "-2"},
        {"7.5 % 2", "1.5f"},
        {"4 / 2", "2f"},
        {"1e3", "1000f"},
        {".5 + 5.", "5.5f"},
        {"1_000 + 1", "1001"},
        {"10 - 3 - 2", "5"},
        {"- -3", "3"},
        {"+3", "3"},
        {"0 * -1", "0"},
        {"5%", "0.05f"},
        {"5%3", "2"},
        {"5 % 3", "2"},
        {"1%-1", "-0.99f"},
        {"9007199254740990 + 1", "9007199254740991"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i][0], rows[i][1]);
}

Test(expr, conditions)
{
    static const char *const rows[][2] = {
        {"1 < 2 < 3", "true"},          {"1 < 3 < 2", "false"},
        {"1 == 1.0", "true"},           {"1 == true", "false"},
        {"\"1\" == 1", "false"},        {"null == null and not false", "true"},
        {"true || 1 / 0 == 1", "true"}, {"false && 1 / 0 == 1", "false"},
        {"!true or true", "true"},      {"2 in [1, 2]", "true"},
        {"2 not in [1, 2]", "false"},   {"'b' in 'abc'", "true"},
        {"'a' < 'b'", "true"},          {"[1, [2]] == [1, [2]]", "true"},
        {"1 if 2 > 1 else 1 / 0", "1"}, {"1 if false else 2 if false else 3", "3"},
        {"not 1 == 2", "true"},         {"1 != 2", "true"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i][0], rows[i][1]);
}

Test(expr, names_and_functions)
{
    static const char *const rows[][2] = {
        {"train.batch * world_size", "32"},
        {"train.lr * train.steps", "0.1f"},
        {"nested[0].a", "5"},
        {"nested[0][\"a\"]", "5"},
        {"${x-y} + 1", "8"},
        {"train.name + \"-1\"", "\"run-1\""},
        {"len(train.sizes) + len('aé')", "5"},
        {"sum(train.sizes)", "6"},
        {"min(3, 1, 2) + max(train.sizes)", "4"},
        {"abs(-2.5)", "2.5f"},
        {"floor(2.7) + ceil(2.1)", "5"},
        {"round(2.5) + round(3.5)", "6"},
        {"round(-2.5)", "-2"},
        {"round(2.675, 2)", "2.67f"},
        {"round(1234.5678, 1)", "1234.6f"},
        {"train.none == null", "true"},
        {"train.on", "true"},
        {"train.sizes", "[1,2,3]"},
        {"sum([])", "0"},
        {"min ([2, 1])", "1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i][0], rows[i][1]);
}

Test(expr, errors_name_the_place_and_the_values)
{
    static const char *const rows[][2] = {
        {"4 / (2 - 2)", "bad_value: column 3: 4 / 0: division by zero"},
        {"4 % 0", "bad_value: column 3: 4 % 0: division by zero"},
        {"4 // 0", "bad_value: column 3: 4 // 0: division by zero"},
        {"0 ** -1", "bad_value: column 3: 0 ** -1: division by zero"},
        {"1e308 * 10", "bad_value: column 7: 1e+308 * 10: overflow"},
        {"big + 1", "bad_value: column 5: 9007199254740991 + 1: the whole number is beyond ±(2^53−1)"},
        {"2 ** 64", "bad_value: column 3: 2 ** 64: the whole number is beyond ±(2^53−1)"},
        {"(-8) ** 0.5", "bad_value: column 6: -8 ** 0.5: no real number"},
        {"1 + 'a'", "bad_value: column 3: 1 + \"a\": a number and a string do not go together"},
        {"1 < 'a'", "bad_value: column 1: 1 < \"a\": only two numbers or two strings have an order"},
        {"1 and true", "bad_value: column 1: and takes true or false, not 1"},
        {"-'a'", "bad_value: column 1: a sign belongs to a number, not to a string"},
        {"train", "bad_value: column 1: train: an object is no value of an expression"},
        {"train.bach", "unknown_key: column 1: train.bach has no value"},
        {"min([])", "bad_value: column 1: min() of nothing"},
        {"len(3)", "bad_value: column 1: len() needs a string or a list and was given a number"},
        {"mni(3)", "bad_value: column 1: there is no function mni"},
        {"abs(1, 2)", "bad_value: column 1: abs() cannot take 2 arguments"},
        {"1 +", "bad_value: column 4: expected a value, found the end"},
        {"a = 1", "bad_value: column 3: expected an operator, found ="},
        {"(1", "bad_value: column 3: expected ), found the end"},
        {"1.1base", "bad_value: column 4: a number ends here"},
        {"'abc", "bad_value: column 1: the string has no end"},
        {"1 if true", "bad_value: column 10: expected else, found the end"},
        {"9007199254740992", "bad_value: column 1: the number is too large"},
        {"1e999", "bad_value: column 1: the number is too large"},
        {"a..b", "bad_value: column 2: a name must follow the dot"},
        {"5% 3", "bad_value: column 4: expected an operator, found 3"},
        {"", "bad_value: column 1: expected a value, found the end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i][0], rows[i][1]);
}

Test(expr, unknown_names_have_a_near_miss)
{
    cJSON *document = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_expr *e = NULL;
    bool holds = false;
    cr_assert(cfg_json_parse(&document, cfg_slice_str(document_text), 0, &err) == 0);
    struct cfg_expr_names names = cfg_expr_names_of(document);
    cr_assert(cfg_expr_compile(&e, cfg_slice_str("train.batchs > 0"), &err) == 0);
    cr_expect(cfg_expr_test(&holds, e, &names, &err) == CFG_E_UNKNOWN_KEY);
    cr_expect(strcmp(err.hint, "did you mean train.batch?") == 0, "%s", err.hint);
    cfg_expr_free(e);
    cJSON_Delete(document);
}

Test(expr, describes_the_values_it_stands_on)
{
    cJSON *document = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_expr *e = NULL;
    bool holds = true;
    cr_assert(cfg_json_parse(&document, cfg_slice_str(document_text), 0, &err) == 0);
    struct cfg_expr_names names = cfg_expr_names_of(document);
    cr_assert(cfg_expr_compile(&e, cfg_slice_str("train.batch * world_size == train.batch + gone"), &err) == 0);
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    cfg_expr_describe(&out, e, &names);
    cr_expect(strcmp(out.data, "train.batch = 8, world_size = 4, gone is missing") == 0, "%s", out.data);
    cfg_buf_finish(&out);
    cfg_expr_free(e);
    cr_assert(cfg_expr_compile(&e, cfg_slice_str("world_size"), &err) == 0);
    cr_expect(cfg_expr_test(&holds, e, &names, &err) == CFG_E_VALUE);
    cr_expect(holds); /* untouched on failure */
    cfg_expr_free(e);
    cJSON_Delete(document);
}

static void refuse_repeated(const char *unit, size_t times)
{
    struct cfg_buf text;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_expr *e = NULL;
    cfg_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < times; i++)
        cfg_buf_puts(&text, unit);
    cfg_buf_putc(&text, '1');
    cr_expect(cfg_expr_compile(&e, cfg_buf_slice(&text), &err) == CFG_E_LIMIT, "%s x %zu", unit, times);
    cfg_buf_finish(&text);
}

Test(expr, work_is_bounded)
{
    refuse_repeated("(", 100);
    refuse_repeated("-", 100);
    refuse_repeated("not ", 100);
    refuse_repeated("[", 100);
    refuse_repeated("1 if true else ", 100);
    refuse_repeated("1+", 600);
    refuse_repeated("1<", 40);
    refuse_repeated("1+", 3000);
}

Test(expr, braces_are_spanned)
{
    cr_expect(cfg_expr_span_braces(CFG_SLICE_LIT("${a.${b}} c")) == 9);
    cr_expect(cfg_expr_span_braces(CFG_SLICE_LIT("${a['}']}x")) == 9);
    cr_expect(cfg_expr_span_braces(CFG_SLICE_LIT("{\"${x:\"}\"}\"}")) == 12);
    cr_expect(cfg_expr_span_braces(CFG_SLICE_LIT("${a")) == 0);
    cr_expect(cfg_expr_span_braces(CFG_SLICE_LIT("a")) == 0);
}
