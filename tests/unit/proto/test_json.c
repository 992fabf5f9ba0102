/* The strict reader, the printers and the tree helpers. The grammar at large is covered by the conformance suite
 * json-parsing; here is what goes beyond it: positions, I-JSON, limits, numbers, canonical form. */
#include "proto/json.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

static void refused(const char *text, int code, const char *path, const char *why)
{
    cJSON *untouched = (cJSON *)&code, *v = untouched;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), code, "%s", text);
    cr_assert_eq(v, untouched);
    cr_assert_eq(err.code, code);
    cr_assert_str_eq(err.path, path, "%s: %s", text, err.path);
    cr_assert(strstr(err.text, path) && strstr(err.text, why), "%s: %s", text, err.text);
}

typedef void (*print_fn)(struct cfg_buf *out, const cJSON *v);

static char *print_with(print_fn fn, const cJSON *v)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 24);
    fn(&out, v);
    cr_assert_eq(cfg_buf_status(&out), 0);
    return cfg_buf_steal(&out);
}

static void prints(print_fn fn, const char *in, const char *expected)
{
    cJSON *v = parse(in);
    char *text = print_with(fn, v);
    cr_assert_str_eq(text, expected);
    free(text);
    cJSON_Delete(v);
}

/* --- reading --- */

Test(json, errors_name_line_and_column)
{
    refused("", CFG_E_JSON, "line 1 column 1", "empty");
    refused("  ", CFG_E_JSON, "line 1 column 3", "ends");
    refused("{\n  \"a\": 1,\n  \"b\": tru\n}", CFG_E_JSON, "line 3 column 8", "expected a value");
    refused("[1,\r\n2,]", CFG_E_JSON, "line 2 column 3", "expected a value");
    refused("{\"a\":1} x", CFG_E_JSON, "line 1 column 9", "more text");
    refused("\"\xC3\xA4\" x", CFG_E_JSON, "line 1 column 6", "more text"); /* columns are bytes */
    refused("\xEF\xBB\xBF{}", CFG_E_JSON, "line 1 column 1", "byte order mark");
    refused("{a:1}", CFG_E_JSON, "line 1 column 2", "key");
    refused("{\"a\" 1}", CFG_E_JSON, "line 1 column 6", "':'");
    refused("[\"abc", CFG_E_JSON, "line 1 column 6", "unterminated");
    refused("[1 2]", CFG_E_JSON, "line 1 column 4", "']'");
    refused("{\"a\":1 \"b\":2}", CFG_E_JSON, "line 1 column 8", "'}'");
    refused("\"\\x\"", CFG_E_JSON, "line 1 column 2", "escape");
    refused("\"a\nb\"", CFG_E_JSON, "line 1 column 3", "control");
}

Test(json, refuses_what_i_json_refuses)
{
    refused("{\"a\":1,\n\"b\":2,\n \"a\":3}", CFG_E_JSON, "line 3 column 2", "duplicate key \"a\"");
    refused("{\"a\":1,\"\\u0061\":2}", CFG_E_JSON, "line 1 column 8", "duplicate");
    refused("[{\"x\":{\"k\":1,\"k\":2}}]", CFG_E_JSON, "line 1 column 14", "duplicate");
    refused("\"\xFF\"", CFG_E_JSON, "line 1 column 2", "UTF-8");
    refused("\"\xC0\x80\"", CFG_E_JSON, "line 1 column 2", "UTF-8"); /* the tree's own spelling of U+0000 */
    refused("\"\xED\xA0\x80\"", CFG_E_JSON, "line 1 column 2", "UTF-8");
    refused("\"\xF4\x90\x80\x80\"", CFG_E_JSON, "line 1 column 2", "UTF-8");
    refused("\"\xE2\x82\"", CFG_E_JSON, "line 1 column 2", "UTF-8");
    refused("\"\\ud800\"", CFG_E_JSON, "line 1 column 2", "surrogate");
    refused("\"\\udc00\"", CFG_E_JSON, "line 1 column 2", "surrogate");
    refused("\"\\ud800\\u0041\"", CFG_E_JSON, "line 1 column 2", "surrogate");
    refused("NaN", CFG_E_JSON, "line 1 column 1", "expected a value");
    refused("-Infinity", CFG_E_JSON, "line 1 column 2", "digit");
    refused("1e400", CFG_E_JSON, "line 1 column 1", "double");
    refused("[9007199254740992]", CFG_E_JSON, "line 1 column 2", "2^53");
    refused("[-9007199254740992]", CFG_E_JSON, "line 1 column 2", "2^53");
    refused("[01]", CFG_E_JSON, "line 1 column 3", "begin with 0");
}

Test(json, the_lenient_reader_takes_what_other_programs_write)
{
    cJSON *v = NULL;
    cr_assert_eq(
        cfg_json_parse_lenient(
            &v, CFG_SLICE_LIT("{\"a\":1,\"b\":{\"k\":1,\"k\":{}},\"a\":9007199254740993,\"c\":0,\"a\":[2]}"), 0, NULL),
        0);
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    cfg_json_print(&out, v);
    cr_assert_str_eq(out.data, "{\"b\":{\"k\":{}},\"c\":0,\"a\":[2]}");
    cfg_buf_finish(&out);
    cJSON_Delete(v);
    cr_assert_eq(cfg_json_parse_lenient(&v, CFG_SLICE_LIT("[-9007199254740992]"), 0, NULL), 0);
    cr_assert_eq(v->child->valuedouble, -9007199254740992.0);
    cJSON_Delete(v);
    cr_assert_eq(cfg_json_parse_lenient(&v, CFG_SLICE_LIT("{\"a\":1,}"), 0, NULL), CFG_E_JSON);
    cr_assert_eq(cfg_json_parse_lenient(&v, CFG_SLICE_LIT("[1e400]"), 0, NULL), CFG_E_JSON);
}

Test(json, takes_the_edges)
{
    cJSON *v = parse("[9007199254740991,-9007199254740991,9007199254740992.0,1e20,5e-324,1e-400,-0]");
    cr_assert_eq(cJSON_GetArrayItem(v, 0)->valuedouble, 9007199254740991.0);
    cr_assert_eq(cJSON_GetArrayItem(v, 2)->valuedouble, 9007199254740992.0);
    cr_assert_eq(cJSON_GetArrayItem(v, 4)->valuedouble, 5e-324);
    cr_assert_eq(cJSON_GetArrayItem(v, 5)->valuedouble, 0.0);
    cJSON_Delete(v);
    cJSON *empty = NULL;
    cr_assert_eq(cfg_json_parse(&empty, (struct cfg_slice){NULL, 0}, 0, NULL), CFG_E_JSON);
}

Test(json, input_needs_no_terminator)
{
    cJSON *v = NULL;
    char *exact = malloc(3); /* a read behind it is a fault under AddressSanitizer */
    memcpy(exact, "123", 3);
    cr_assert_eq(cfg_json_parse(&v, (struct cfg_slice){exact, 3}, 0, NULL), 0);
    cr_assert_eq(v->valuedouble, 123);
    cJSON_Delete(v);
    for (size_t n = 1; n < 3; n++) {
        static const char *const cut[] = {"tr", "\"\\", "-", "1.", "1e", "\"\\ud83d\\", "\"\\u1", "{\"", "\"\xF0\x9F"};
        for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
            size_t len = strlen(cut[i]);
            char *copy = malloc(len);
            memcpy(copy, cut[i], len);
            cr_assert_eq(cfg_json_parse(&v, (struct cfg_slice){copy, len}, 0, NULL), CFG_E_JSON, "%s", cut[i]);
            free(copy);
        }
    }
    free(exact);
}

Test(json, depth_is_bounded)
{
    char deep[200];
    for (int n = 64; n <= 65; n++) {
        memset(deep, '[', (size_t)n);
        memset(deep + n, ']', (size_t)n);
        deep[2 * n] = '\0';
        cJSON *v = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        int code = cfg_json_parse(&v, cfg_slice_str(deep), 0, &err);
        cr_assert_eq(code, n == 64 ? 0 : CFG_E_LIMIT);
        if (code)
            cr_assert_str_eq(err.path, "line 1 column 65");
        cJSON_Delete(code ? NULL : v);
    }
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, CFG_SLICE_LIT("[[1],[2]]"), 2, NULL), 0, "depth counts nesting, not containers");
    cJSON_Delete(v);
}

Test(json, u0000_stays_in_strings_and_keys)
{
    cJSON *v = parse("{\"k\\u0000x\":\"a\\u0000b\",\"k\":1}");
    cr_assert_str_eq(v->child->string, "k\xC0\x80x");
    cr_assert_str_eq(v->child->valuestring, "a\xC0\x80"
                                            "b");
    char *text = print_with(cfg_json_print, v);
    cr_assert_str_eq(text, "{\"k\\u0000x\":\"a\\u0000b\",\"k\":1}");
    free(text);
    cJSON_Delete(v);
}

static char *wide_object(size_t n, bool repeat)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 24);
    cfg_buf_puts(&text, "{");
    for (size_t i = 0; i < n; i++)
        cfg_buf_printf(&text, "%s\"key%zu\":%zu", i ? "," : "", i, i);
    cfg_buf_puts(&text, repeat ? ",\n\"key77\":0}" : "}");
    return cfg_buf_steal(&text);
}

Test(json, wide_objects_find_their_duplicate)
{
    char *text = wide_object(100000, false);
    cJSON *v = parse(text);
    cr_assert_eq(cJSON_GetArraySize(v), 100000);
    cr_assert_str_eq(v->child->next->string, "key1", "the order of members is the text's");
    cJSON *again = parse(text);
    cr_assert(cfg_json_equal(v, again));
    cJSON_Delete(again);
    cJSON_Delete(v);
    free(text);
    text = wide_object(100000, true);
    refused(text, CFG_E_JSON, "line 2 column 1", "duplicate key \"key77\"");
    free(text);
}

/* --- numbers --- */

static double from_bits(uint64_t bits)
{
    double d = 0;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* RFC 8785 appendix B, without its two rows for NaN and Infinity, and powers of two whose shortest text lies above
 * them. */
static const struct {
    uint64_t bits;
    const char *text;
} ecmascript[] = {
    {0x0000000000000000, "0"},
    {0x8000000000000000, "0"},
    {0x0000000000000001, "5e-324"},
    {0x8000000000000001, "-5e-324"},
    {0x7fefffffffffffff, "1.7976931348623157e+308"},
    {0xffefffffffffffff, "-1.7976931348623157e+308"},
    {0x4340000000000000, "9007199254740992"},
    {0xc340000000000000, "-9007199254740992"},
    {0x4430000000000000, "295147905179352830000"},
    {0x44b52d02c7e14af5, "9.999999999999997e+22"},
    {0x44b52d02c7e14af6, "1e+23"},
    {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
    {0x444b1ae4d6e2ef4e, "999999999999999700000"},
    {0x444b1ae4d6e2ef4f, "999999999999999900000"},
    {0x444b1ae4d6e2ef50, "1e+21"},
    {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
    {0x3eb0c6f7a0b5ed8d, "0.000001"},
    {0x41b3de4355555553, "333333333.3333332"},
    {0x41b3de4355555554, "333333333.33333325"},
    {0x41b3de4355555555, "333333333.3333333"},
    {0x41b3de4355555556, "333333333.3333334"},
    {0x41b3de4355555557, "333333333.33333343"},
    {0xbecbf647612f3696, "-0.0000033333333333333333"},
    {0x43143ff3c1cb0959, "1424953923781206.2"},
    {0x3d30000000000000, "5.684341886080802e-14"}, /* 2^-44 */
    {0x0010000000000000, "2.2250738585072014e-308"},
    {0x000fffffffffffff, "2.225073858507201e-308"},
    {0x3fb999999999999a, "0.1"},
    {0x3fd3333333333334, "0.30000000000000004"},
};

Test(json, canonical_numbers_are_ecmascript)
{
    for (size_t i = 0; i < sizeof ecmascript / sizeof ecmascript[0]; i++) {
        cJSON *v = cJSON_CreateNumber(from_bits(ecmascript[i].bits));
        char *text = print_with(cfg_json_canonical, v);
        cr_assert_str_eq(text, ecmascript[i].text);
        free(text);
        cJSON_Delete(v);
    }
}

Test(json, printed_numbers_read_back)
{
    prints(cfg_json_print, "[1e20,1e21,9007199254740992.0,-1e16,123456789012345680000.0]",
           "[1e+20,1e+21,9.007199254740992e+15,-1e+16,1.2345678901234568e+20]");
    uint64_t state = 42;
    for (int i = 0; i < 60000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        double d = from_bits(state ^ state >> 29);
        if (!isfinite(d))
            continue;
        struct cfg_buf text;
        cfg_buf_init(&text, 64);
        cfg_json_put_number(&text, d);
        cJSON *v = parse(text.data);
        cr_assert_eq(v->valuedouble, d, "%s", text.data);
        cJSON_Delete(v);
        cfg_buf_finish(&text);
    }
}

Test(json, long_numbers_are_exact)
{
    /* Halfway between two doubles, decided by the last digit only. */
    prints(cfg_json_canonical, "9007199254740993.0", "9007199254740992");
    prints(cfg_json_canonical, "9007199254740993.00000000000000000000000000000000000001", "9007199254740994");
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "0.");
    for (int i = 0; i < 100000; i++)
        cfg_buf_puts(&text, "0");
    cfg_buf_puts(&text, "25e100001");
    prints(cfg_json_canonical, text.data, "2.5");
    cfg_buf_finish(&text);
    prints(cfg_json_canonical, "1e-99999999999999999999", "0");
}

/* --- printing --- */

Test(json, canonical_form_is_rfc_8785)
{
    /* §3.2.2 */
    prints(cfg_json_canonical,
           "{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"
           "\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\"literals\":[null,true,false]}",
           "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
           "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
    /* §3.2.3: order by UTF-16 code units */
    prints(cfg_json_canonical,
           "{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With "
           "Dagesh\",\"1\":\"One\","
           "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\",\"\\u00f6\":\"Latin Small Letter O "
           "With Diaeresis\"}",
           "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\",\"\xC3\xB6\":\"Latin Small Letter O "
           "With Diaeresis\","
           "\"\xE2\x82\xAC\":\"Euro Sign\",\"\xF0\x9F\x98\x80\":\"Emoji: Grinning Face\","
           "\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}");
    prints(cfg_json_canonical,
           "{\"a\\u0001\":1,\"a\\u0000\":2,\"a\":3,\"\\ue000\":4,\"\\ud7ff\":5,\"\\udbff\\udfff\":6}",
           "{\"a\":3,\"a\\u0000\":2,\"a\\u0001\":1,\"\xED\x9F\xBF\":5,\"\xF4\x8F\xBF\xBF\":6,\"\xEE\x80\x80\":4}");
}

Test(json, prints_for_people)
{
    prints(cfg_json_print_pretty, "{\"b\":[1,{}],\"a\":{\"c\":[]}}",
           "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": {\n    \"c\": []\n  }\n}");
    prints(cfg_json_print, " { \"b\" : [ 1 , true ] , \"a\" : null } ", "{\"b\":[1,true],\"a\":null}");
    prints(cfg_json_print, "\"\\b\\f\\n\\r\\t\\u001f\\u007f/\"", "\"\\b\\f\\n\\r\\t\\u001f\x7f/\"");
}

Test(json, a_full_buffer_is_reported)
{
    cJSON *v = parse("{\"a\":[1,2,3],\"b\":2}");
    struct cfg_buf out;
    for (size_t max = 0; max < 19; max++) {
        cfg_buf_init(&out, max);
        cfg_json_canonical(&out, v);
        cr_assert_eq(cfg_buf_status(&out), CFG_E_LIMIT, "%zu", max);
        cfg_buf_finish(&out);
    }
    cfg_buf_init(&out, 19);
    cfg_json_canonical(&out, v);
    cr_assert_eq(cfg_buf_status(&out), 0);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
}

/* --- trees --- */

static void equality(const char *a, const char *b, bool expected)
{
    cJSON *x = parse(a), *y = parse(b);
    cr_assert_eq(cfg_json_equal(x, y), expected, "%s %s", a, b);
    cr_assert_eq(cfg_json_equal(y, x), expected, "%s %s", b, a);
    cJSON_Delete(x);
    cJSON_Delete(y);
}

Test(json, equality_is_jsons)
{
    equality("{\"a\":1,\"b\":{\"c\":[1,2]}}", "{\"b\":{\"c\":[1.0,2e0]},\"a\":1}", true);
    equality("{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false);
    equality("{\"a\":1}", "{\"a\":1,\"b\":2}", false);
    equality("{\"a\":1,\"A\":2}", "{\"A\":2,\"a\":1}", true);
    equality("{\"a\":1,\"A\":2}", "{\"A\":1,\"a\":2}", false);
    equality("[1,2]", "[2,1]", false);
    equality("[1]", "[1,1]", false);
    equality("[]", "{}", false);
    equality("1", "\"1\"", false);
    equality("0", "false", false);
    equality("null", "false", false);
    equality("0", "-0", true);
    equality("true", "true", true);
    equality("\"a\"", "\"a\\u0000\"", false);
    cr_assert_not(cfg_json_equal(NULL, NULL));
}

Test(json, typed_members)
{
    cJSON *v = parse("{\"s\":\"x\",\"n\":1.5,\"b\":true,\"u\":9007199254740991,\"neg\":-1,\"S\":\"upper\"}");
    cr_assert_str_eq(cfg_json_get_str(v, "s", "?"), "x");
    cr_assert_str_eq(cfg_json_get_str(v, "n", "?"), "?");
    cr_assert_eq(cfg_json_get_num(v, "n", 0), 1.5);
    cr_assert_eq(cfg_json_get_num(v, "s", 7), 7);
    cr_assert(cfg_json_get_bool(v, "b", false));
    cr_assert(cfg_json_get_bool(v, "absent", true));
    cr_assert_null(cfg_json_get(v, "B"));
    cr_assert_null(cfg_json_get(NULL, "B"));
    cr_assert_str_eq(cfg_json_type(v), "object");
    uint64_t u = 5;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_need_u64(v, "u", &u, &err), 0);
    cr_assert_eq(u, 9007199254740991u);
    u = 5;
    static const char *const bad[] = {"neg", "n", "s", "absent"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(cfg_json_need_u64(v, bad[i], &u, &err), CFG_E_JSON);
        cr_assert(strstr(err.text, bad[i]));
        cr_assert_eq(u, 5);
    }
    cJSON_Delete(v);
}
