/* YAML in and out: what each dialect takes, what is refused and where, what is warned of. */
#include "proto/limits.h"
#include "proto/yaml.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_error err;

static cJSON *read_as(enum cfg_yaml_dialect dialect, const char *text, cJSON *warnings)
{
    cJSON *v = NULL;
    const struct cfg_yaml_options o = {.dialect = dialect};
    int rc = cfg_yaml_parse(&v, cfg_slice_str(text), &o, warnings, &err);
    cr_assert_eq(rc, 0, "%s: %s", text, err.text);
    return v;
}

static void check(enum cfg_yaml_dialect dialect, const char *text, const char *json)
{
    cJSON *v = read_as(dialect, text, NULL);
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    cfg_json_print(&b, v);
    cr_assert_str_eq(b.data, json, "%s", text);
    cfg_buf_finish(&b);
    cJSON_Delete(v);
}

static void refused(int code, const char *where, const char *what, const char *text)
{
    cJSON *v = NULL;
    int rc = cfg_yaml_parse(&v, cfg_slice_str(text), NULL, NULL, &err);
    cr_assert_eq(rc, code, "%s: %d %s", text, rc, err.text);
    cr_assert_null(v);
    cr_assert_eq(err.code, code);
    cr_assert(strstr(err.text, what) || strstr(err.hint, what), "%s: %s (%s)", text, err.text, err.hint);
    cr_assert_str_eq(err.path, where, "%s: %s", text, err.text);
}

Test(yaml, scalars_of_both_dialects)
{
    static const struct {
        const char *text, *omegaconf, *pyyaml;
    } rows[] = {
        {"no", "false", "false"},
        {"NO", "false", "false"},
        {"nO", "\"nO\"", "\"nO\""},
        {"y", "\"y\"", "\"y\""},
        {"On", "true", "true"},
        {"~", "null", "null"},
        {"", "null", "null"},
        {"nULL", "\"nULL\"", "\"nULL\""},
        {"12", "12", "12"},
        {"+12", "12", "12"},
        {"-0", "0", "0"},
        {"1_000", "1000", "1000"},
        {"014", "12", "12"},
        {"08", "\"08\"", "\"08\""},
        {"0_", "0", "0"},
        {"0o14", "\"0o14\"", "\"0o14\""},
        {"0x1F", "31", "31"},
        {"-0x1f", "-31", "-31"},
        {"0b101", "5", "5"},
        {"12:30:45", "45045", "45045"},
        {"1:60", "\"1:60\"", "\"1:60\""},
        {"0:30", "\"0:30\"", "\"0:30\""},
        {"-1:30", "-90", "-90"},
        {"1:30.5", "90.5", "90.5"},
        {"1.5", "1.5", "1.5"},
        {"1.", "1", "1"},
        {".5", "0.5", "0.5"},
        {"-.5", "\"-.5\"", "\"-.5\""},
        {"1e3", "1000", "\"1e3\""},
        {"1E+3", "1000", "\"1E+3\""},
        {"1.0e3", "1000", "\"1.0e3\""},
        {"1.0e+3", "1000", "1000"},
        {"1_0e3", "10000", "\"1_0e3\""},
        {"1__0e3", "\"1__0e3\"", "\"1__0e3\""},
        {"1e", "\"1e\"", "\"1e\""},
        {"2026-01-02", "\"2026-01-02\"", "\"2026-01-02\""},
        {"'no'", "\"no\"", "\"no\""},
        {"\"1\"", "\"1\"", "\"1\""},
        {"!!str 12", "\"12\"", "\"12\""},
        {"!!int '12'", "12", "12"},
        {"!!float 3", "3", "3"},
        {"!!bool 'yes'", "true", "true"},
        {"! 12", "12", "12"},
        {"\"a\\0b\"", "\"a\\u0000b\"", "\"a\\u0000b\""},
        {"a b", "\"a b\"", "\"a b\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(CFG_YAML_OMEGACONF, rows[i].text, rows[i].omegaconf);
        check(CFG_YAML_PYYAML, rows[i].text, rows[i].pyyaml);
    }
}

Test(yaml, documents)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"a: 1\nb:\n- x\n- {c: [1, 2]}\n", "{\"a\":1,\"b\":[\"x\",{\"c\":[1,2]}]}"},
        {"--- # a\n{\"a\": [true, null]}\n...\n", "{\"a\":[true,null]}"},
        {"\xEF\xBB\xBF"
         "a: 1\r\nb: 2\r\n",
         "{\"a\":1,\"b\":2}"},
        {"a: |\n  x\n  \ty\nb: >-\n  x\n  y\n", "{\"a\":\"x\\n\\ty\\n\",\"b\":\"x y\"}"},
        {"# just\t a comment\n", "null"},
        {"a: 'x\ty' # \t\n", "{\"a\":\"x\\ty\"}"},
        {"1: a\ntrue: b\n-2.5: c\n", "{\"1\":\"a\",\"true\":\"b\",\"-2.5\":\"c\"}"},
        {"a: &x {k: [1]}\nb: *x\nc: *x\n", "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":{\"k\":[1]}}"},
        {"&k a: 1\nb: *k\n*k : 2\n", NULL},
        {"&k a: 1\nb: {*k : 2}\n", "{\"a\":1,\"b\":{\"a\":2}}"},
        {"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":1,\"y\":3}}"},
        {"a: {y: 3, <<: [{x: 1}, {x: 2, z: 4}]}\n", "{\"a\":{\"y\":3,\"x\":1,\"z\":4}}"},
        {"a: {<<: &m {x: 1}}\nb: *m\n", "{\"a\":{\"x\":1},\"b\":{\"x\":1}}"},
        {"a: {<<: {x: &n [7]}, x: 1}\nb: *n\n", "{\"a\":{\"x\":1},\"b\":[7]}"},
        {"{a: b}", "{\"a\":\"b\"}"},
        {"a:\n", "{\"a\":null}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].json)
            check(CFG_YAML_OMEGACONF, rows[i].text, rows[i].json);
        else
            refused(CFG_E_JSON, "line 3 column 1", "twice", rows[i].text);
    }
}

Test(yaml, what_is_refused)
{
    refused(CFG_E_JSON, "line 2 column 1", "'a' is set on line 1", "a: 1\na: 2\n");
    refused(CFG_E_JSON, "line 1 column 8", "twice", "{1: a, \"1\": b}");
    refused(CFG_E_JSON, "line 2 column 1", "tab", "a:\n\tb: 1\n");
    refused(CFG_E_JSON, "line 1 column 3", "tab", "a:\tb\n");
    refused(CFG_E_JSON, "line 2 column 1", "tab", "{a: 1,\n\tb: 2}\n");
    refused(CFG_E_JSON, "line 1 column 5", "spaces", "a: 1\t\n");
    refused(CFG_E_JSON, "line 2 column 1", "second document", "a: 1\n---\nb: 1\n");
    refused(CFG_E_JSON, "line 1 column 5", "part of", "&a [*a]");
    refused(CFG_E_JSON, "line 1 column 2", "anchor", "[*a]");
    refused(CFG_E_JSON, "line 1 column 8", "twice", "[&a 1, &a 2]");
    refused(CFG_E_JSON, "line 1 column 1", "no such number", ".inf");
    refused(CFG_E_JSON, "line 1 column 4", "no such number", "a: .nan");
    refused(CFG_E_JSON, "line 1 column 1", "no such number", "1.0e+999");
    refused(CFG_E_JSON, "line 1 column 1", "2^53", "9007199254740993");
    refused(CFG_E_JSON, "line 1 column 1", "2^53", "-0xFFFFFFFFFFFFFFFFFFFF");
    refused(CFG_E_JSON, "line 1 column 1", "quote", "no: 1");
    refused(CFG_E_JSON, "line 1 column 1", "reads as 12", "014: 1");
    refused(CFG_E_JSON, "line 1 column 1", "quote", "~: 1");
    refused(CFG_E_JSON, "line 1 column 3", "not a list", "? [a]\n: 1\n");
    refused(CFG_E_JSON, "line 1 column 3", "not a list", "? {a: 1}\n: 1\n");
    refused(CFG_E_JSON, "line 2 column 1", "cannot be a key", "a: &x [1]\n*x : 1\n");
    refused(CFG_E_JSON, "line 1 column 4", "quote", "a: =\n");
    refused(CFG_E_JSON, "line 1 column 4", "quote", "a: <<\n");
    refused(CFG_E_JSON, "line 1 column 1", "takes a mapping", "<<: 1\n");
    refused(CFG_E_JSON, "line 1 column 4", "fail", "a: 0x_\n");
    refused(CFG_E_JSON, "line 1 column 4", "tag", "a: !!int x\n");
    refused(CFG_E_UNSUPPORTED, "line 1 column 4", "tag", "a: !!binary aGk=\n");
    refused(CFG_E_UNSUPPORTED, "line 1 column 4", "tag", "a: !!python/object:os.system {}\n");
    refused(CFG_E_UNSUPPORTED, "line 1 column 4", "tag", "a: !x [1]\n");
    refused(CFG_E_JSON, "line 2 column 4", "UTF-8", "a: 1\nb: \xC3\n");
    refused(CFG_E_JSON, "line 2 column 4", "control", "a: 1\nb: \x01\n");
    refused(CFG_E_JSON, "line 1 column 5", "mapping values", "a: b: c\n");
    refused(CFG_E_JSON, "line 2 column 1", "", "[a\n");
}

Test(yaml, an_expression_without_quotes_is_told_of_them)
{
    refused(CFG_E_JSON, "line 1 column 10", "mapping values", "n: ${eval: a * b}\n");
    cr_assert(strstr(err.hint, "quotes"), "hint: %s", err.hint);
}

Test(yaml, bombs_end_early)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    cfg_buf_puts(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        cfg_buf_printf(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            cfg_buf_printf(&b, "%s*a%d", j ? ", " : "", i - 1);
        cfg_buf_puts(&b, "]\n");
    }
    refused(CFG_E_LIMIT, "line 5 column 30", "nodes", b.data);
    cfg_buf_clear(&b);
    cfg_buf_puts(&b, "a: &a \"");
    for (int i = 0; i < 100000; i++)
        cfg_buf_putc(&b, 'x');
    cfg_buf_puts(&b, "\"\nb: [");
    for (int i = 0; i < 100; i++)
        cfg_buf_puts(&b, "*a, ");
    cfg_buf_puts(&b, "]\n");
    refused(CFG_E_LIMIT, "line 2 column 165", "text", b.data);
    cfg_buf_clear(&b);
    for (int i = 0; i < CFG_LIMIT_DEPTH + 1; i++)
        cfg_buf_putc(&b, '[');
    refused(CFG_E_LIMIT, "line 1 column 65", "deep", b.data);
    cfg_buf_finish(&b);
}

Test(yaml, aliases_count_towards_the_depth)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    cfg_buf_puts(&b, "a: &a ");
    for (int i = 0; i < 40; i++)
        cfg_buf_putc(&b, '[');
    for (int i = 0; i < 40; i++)
        cfg_buf_putc(&b, ']');
    cfg_buf_puts(&b, "\nb: ");
    for (int i = 0; i < 24; i++)
        cfg_buf_putc(&b, '[');
    cfg_buf_puts(&b, "*a");
    refused(CFG_E_LIMIT, "line 2 column 28", "deep", b.data);
    cfg_buf_finish(&b);
}

static const cJSON *warning(const char *text, cJSON *list, enum cfg_yaml_dialect dialect)
{
    cJSON_Delete(read_as(dialect, text, list));
    return cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
}

Test(yaml, warnings_name_place_readings_and_a_safe_spelling)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *w = warning("a: 1\nb:\n  c: [x, NO]\n", list, CFG_YAML_PYYAML);
    cr_assert_eq(cfg_json_get_num(w, "line", 0), 3);
    cr_assert_eq(cfg_json_get_num(w, "column", 0), 10);
    cr_assert_str_eq(cfg_json_get_str(w, "path", ""), "b.c[1]");
    cr_assert_str_eq(cfg_json_get_str(w, "text", ""), "NO");
    cr_assert_str_eq(cfg_json_get_str(w, "read", ""), "false");
    cr_assert_str_eq(cfg_json_get_str(w, "message", ""), "line 3: NO reads as false, to YAML 1.2 as \"NO\"");
    cr_assert_str_eq(cfg_json_get_str(w, "hint", ""), "write false or 'NO'");
    w = warning("lr: 1e-7", list, CFG_YAML_OMEGACONF);
    cr_assert_str_eq(cfg_json_get_str(w, "message", ""), "line 1: 1e-7 reads as 1e-7, to PyYAML as \"1e-7\"");
    cr_assert_str_eq(cfg_json_get_str(w, "hint", ""), "write 1.0e-7 or '1e-7'");
    w = warning("d: 2026-01-02", list, CFG_YAML_PYYAML);
    cr_assert_str_eq(cfg_json_get_str(w, "read", ""), "\"2026-01-02\"");
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(w, "otherwise"), 0), "read", ""), "a date");
    cr_assert_str_eq(cfg_json_get_str(w, "hint", ""), "write '2026-01-02'");
    cr_assert_eq(cJSON_GetArraySize(list), 3);
    cJSON_Delete(
        read_as(CFG_YAML_PYYAML, "[1, -2, 1.5, true, null, ~, x, 'no', \"1e3\", 1.0e+3, 0x1F, .5, a: 1]", list));
    cr_assert_eq(cJSON_GetArraySize(list), 3, "nothing here is read in two ways");
    cJSON_Delete(list);
}

Test(yaml, the_printer_is_read_alike_by_all)
{
    static const char json[] = "{\"no\":\"no\",\"y\":\"on\",\"1\":\"014\",\"a\":[1,-0.5,1e-7,1e21,1.5e300,true,null,"
                               "\"\",\"~\",\"1e3\",\"12:30\",\"a: b\",\"- x\","
                               "\"#x\",\"x #y\",\" x\",\"x "
                               "\",\"\\t\",\"a\\nb\\n\",\"\\u0000\",\"\\u0085\\u2028\",\"<<\",\"=\",\"2026-01-02\","
                               "\"null\",\"N\",\"Infinity\","
                               "\"é\",\"\\ud83d\\ude00\",\"!x\",\"&x\",\"*x\",\"?\",\"-\",\"|\",\"%x\",\"@x\",\"`x\","
                               "\"{}\",\"[]\",\"0o14\"],\"e\":{},\"l\":[],"
                               "\"=\":{\"x y\":[[],{}]},\"<<\":{\"b\":1}}";
    cJSON *v = NULL;
    struct cfg_buf text;
    cr_assert_eq(cfg_json_parse(&v, CFG_SLICE_LIT(json), 0, &err), 0, "%s", err.text);
    cfg_buf_init(&text, 1 << 20);
    cr_assert_eq(cfg_yaml_print(&text, v), 0);
    for (int i = 0; i < 2; i++) {
        cJSON *warnings = cJSON_CreateArray(),
              *back = read_as(i ? CFG_YAML_PYYAML : CFG_YAML_OMEGACONF, text.data, warnings);
        cr_assert(cfg_json_equal(v, back), "%s", text.data);
        cr_assert_eq(cJSON_GetArraySize(warnings), 0, "%s", cfg_json_get_str(warnings->child, "message", "?"));
        cJSON_Delete(warnings);
        cJSON_Delete(back);
    }
    cfg_buf_finish(&text);
    cJSON_Delete(v);
}

Test(yaml, large_mappings_take_no_quadratic_time)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 22);
    for (int i = 0; i < 30000; i++)
        cfg_buf_printf(&b, "k%d: 1\n", i);
    cJSON *v = read_as(CFG_YAML_PYYAML, b.data, NULL);
    cr_assert_eq(cJSON_GetArraySize(v), 30000);
    cJSON_Delete(v);
    cfg_buf_puts(&b, "k7: 1\n");
    refused(CFG_E_JSON, "line 30001 column 1", "line 8", b.data);
    cfg_buf_finish(&b);
}

/* 1e400 is a number to some readers, but none that a document can hold: nobody is told to write it. */
Test(yaml, hints_name_no_infinite_number)
{
    const struct cfg_yaml_options o = {.dialect = CFG_YAML_PYYAML};
    cJSON *v = NULL, *warnings = cJSON_CreateArray();
    cr_assert_eq(cfg_yaml_parse(&v, CFG_SLICE_LIT("k: 1e400\n"), &o, warnings, &err), 0, "%s", err.text);
    cr_assert_str_eq(cfg_json_get_str(warnings->child, "hint", ""), "write '1e400'");
    cJSON_Delete(v);
    cJSON_Delete(warnings);
}
