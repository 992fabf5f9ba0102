/* The override grammar: values as Hydra reads them, and what is refused because a document cannot hold it. */
#include "proto/override.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void value(const char *text, const char *json)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_value_parse(&v, cfg_slice_str(text), &err), 0, "%s: %s", text, err.text);
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    cfg_json_print(&out, v);
    cr_assert_str_eq(out.data, json, "%s gave %s", text, out.data);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
}

static void refused(const char *text, const char *where, const char *why)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_value_parse(&v, cfg_slice_str(text), &err), CFG_E_VALUE, "%s", text);
    cr_assert_null(v);
    cr_assert_str_eq(err.path, where, "%s: %s", text, err.path);
    cr_assert(strstr(err.text, why), "%s: %s", text, err.text);
}

Test(override, words_and_numbers)
{
    value("true", "true");
    value("TrUe", "true");
    value("FALSE", "false");
    value("NULL", "null");
    value("1", "1");
    value("+1", "1");
    value("-10", "-10");
    value("10_0", "100");
    value("1_000_000", "1000000");
    value("0", "0");
    value("1e-4", "0.0001");
    value("1e-05", "0.00001");
    value("-10e1", "-100");
    value("10e0", "10");
    value(".5", "0.5");
    value("5.", "5");
    value("-3.14", "-3.14");
    value("1_0.2_5e1_0", "102500000000");
    value("9007199254740991", "9007199254740991");
    value("1e20", "1e+20");
}

Test(override, bare_text)
{
    value("abc", "\"abc\"");
    value("abc-123", "\"abc-123\"");
    value(" abc-123 ", "\"abc-123\"");
    value("123abc", "\"123abc\"");
    value("1___0___", "\"1___0___\"");
    value("01", "\"01\"");
    value("1_", "\"1_\"");
    value("_1", "\"_1\"");
    value("1e", "\"1e\"");
    value("1e+", "\"1e+\"");
    value("+", "\"+\"");
    value(".", "\".\"");
    value("--1", "\"--1\"");
    value("1.2.3", "\"1.2.3\"");
    value("1 2", "\"1 2\"");
    value("true false", "\"true false\"");
    value("a b c\t-\t1 2 3", "\"a b c\\t-\\t1 2 3\"");
    value("c:\\foo\\a-b.txt", "\"c:\\\\foo\\\\a-b.txt\"");
    value("a : b", "\"a : b\"");
    value("/-\\+.$%*@?|", "\"/-\\\\+.$%*@?|\"");
    value("http://host:80/x?y", "\"http://host:80/x?y\"");
    value("", "\"\"");
    value(" \t ", "\"\"");
    value("???", "\"???\"");
}

Test(override, escapes)
{
    value("a\\,b", "\"a,b\"");
    value("\\ ab", "\" ab\"");
    value("ab\\\t ", "\"ab\\t\"");
    value("ab\\\\", "\"ab\\\\\"");
    value("\\[a\\, b\\]", "\"[a, b]\"");
    value("$\\{foo.bar\\}", "\"${foo.bar}\"");
    value("a\\=b\\(\\)\\:", "\"a=b():\"");
    value("\\,", "\",\"");
    value("\\ 1", "\" 1\""); /* an escape makes it text */
}

Test(override, interpolations)
{
    value("${a.b}", "\"${a.b}\"");
    value("xyz_${a.b.c}", "\"xyz_${a.b.c}\"");
    value("${f:USER,root}", "\"${f:USER,root}\"");
    value("${foo:[1,2,3]}", "\"${foo:[1,2,3]}\"");
    value("${oc.select:k,${d}}", "\"${oc.select:k,${d}}\"");
    value("${foo:\"}\"}", "\"${foo:\\\"}\\\"}\"");
    value("[${a},${b}]", "[\"${a}\",\"${b}\"]");
    value("${a} ${b}", "\"${a} ${b}\"");
    refused("${a", "column 1", "closing }");
    refused("x${}", "column 2", "empty");
}

Test(override, quoted)
{
    value("'null'", "\"null\"");
    value("'1,2,3'", "\"1,2,3\"");
    value("\"it's\"", "\"it's\"");
    value("'foo \\'bar'", "\"foo 'bar\"");
    value("\"foo \\\"bar\"", "\"foo \\\"bar\"");
    value("'foo \\\\\\'bar'", "\"foo \\\\'bar\"");
    value("\"foo\\bar\"", "\"foo\\\\bar\"");
    value("'foo\\\\bar'", "\"foo\\\\\\\\bar\"");
    value("'foo bar\\\\'", "\"foo bar\\\\\"");
    value("'foo \\\\\\\\\\'bar\\' \\\\\\\\\\\\'", "\"foo \\\\\\\\'bar' \\\\\\\\\\\\\"");
    value("''", "\"\"");
    value("'\xD7\xA9'", "\"\xD7\xA9\"");
    value("'  a\t' ", "\"  a\\t\"");
    refused("'a", "column 1", "no end");
    refused("'a\\'", "column 1", "no end");
    refused("'a' b", "column 5", "behind the value");
    refused("'\xFF'", "column 2", "UTF-8");
}

Test(override, containers)
{
    value("[]", "[]");
    value("[ ]", "[]");
    value("[1, [a], 'x y', {b: null}]", "[1,[\"a\"],\"x y\",{\"b\":null}]");
    value("[a b, true]", "[\"a b\",true]");
    value("['a\\\\', 'b\\\\']", "[\"a\\\\\",\"b\\\\\"]");
    value("{}", "{}");
    value("{a:10,b:{c:[1,2]}}", "{\"a\":10,\"b\":{\"c\":[1,2]}}");
    value("{a_b: 1, ab 123.5 True: 2, null false: 3, 1: 4, NULL: 5}",
          "{\"a_b\":1,\"ab 123.5 True\":2,\"null false\":3,\"1\":4,\"null\":5}");
    value("{/-\\+.$%*@?|: 1}", "{\"/-\\\\+.$%*@?|\":1}");
    value("{\\\\\\(\\)\\[\\]\\{\\}\\:\\=\\ \\\t\\,: 1}", "{\"\\\\()[]{}:= \\t,\":1}");
    value("{ white  space\t: 2}", "{\"white  space\":2}");
    value("{a: b:c}", "{\"a\":\"b:c\"}");
    refused("[", "column 2", "expected a value");
    refused("[1", "column 3", "expected , or ]");
    refused("[1,]", "column 4", "expected a value");
    refused("[]aa", "column 3", "behind the value");
    refused("['a\\', 'b']", "column 9", "expected , or ]");
    refused("{'a': 1}", "column 2", "expected a key");
    refused("{a}", "column 3", "expected :");
    refused("{a:1,a:2}", "column 6", "given before");
    refused("{a:}", "column 4", "expected a value");
    char deep[140];
    memset(deep, '[', 65);
    deep[65] = '\0';
    refused(deep, "column 65", "too deeply");
}

Test(override, casts)
{
    value("int(10.9)", "10");
    value("int('7')", "7");
    value("float(10)", "10");
    value("str(10.0)", "\"10.0\"");
    value("str(float(10))", "\"10.0\"");
    value("str([1,{a: true}])", "[\"1\",{\"a\":\"true\"}]");
    value("bool(10.0)", "true");
    value("bool('FALSE')", "false");
    value("int (1)", "1");
    value("[int('1'), 2]", "[1,2]");
    refused("int(a)", "column 1", "cannot cast 'a' to int");
    refused("int('1.5')", "column 1", "cannot cast");
    refused("bool(a)", "column 1", "cannot cast");
    refused("int(null)", "column 1", "cannot cast");
    refused("int([1,a])", "column 1", "cannot cast");
    refused("int(1,2)", "column 6", "sweep");
    refused("int(1", "column 6", "expected )");
    value("sort([2,3,1.5,true])", "[true,1.5,2,3]");
    value("sort([b, a], reverse=True)", "[\"b\",\"a\"]");
    value("sort([])", "[]");
    value("str(sort([2, 1]))", "[\"1\",\"2\"]");
    refused("sort([1,a])", "column 1", "sorted");
    refused("sort([1],2)", "column 1", "sweep");
    refused("sort([1],reverse=1)", "column 1", "reverse");
    refused("sort(2,1)", "column 1", "sweep");
    refused("sort(1)", "column 1", "sweep");
    refused("sort([1],reverse", "column 1", "sweep");
}

Test(override, refuses_what_a_document_cannot_hold)
{
    refused("1,2,3", "column 2", "sweep");
    refused("a , b", "column 3", "sweep");
    refused("choice(1,2)", "column 1", "sweep");
    refused("range(0,2)", "column 1", "sweep");
    refused("[interval(0,1)]", "column 2", "sweep");
    refused("extend_list(1)", "column 1", "extend_list");
    refused("foo(1)", "column 1", "unknown function");
    refused("inf", "column 1", "JSON");
    refused("-NaN", "column 1", "JSON");
    refused("[1,inf]", "column 4", "JSON");
    refused("1e999", "column 1", "double");
    refused("9007199254740992", "column 1", "2^53");
    refused("a=b", "column 2", "behind the value");
    refused("a(b", "column 1", "unknown function");
    refused("a'b", "column 2", "behind the value");
    refused("\xC3\xA4", "column 1", "expected a value");
    refused("a\xC3\xA4", "column 2", "ASCII");
    refused("#", "column 1", "expected a value");
}

/* --- whole overrides --- */

static void override(const char *text, enum cfg_override_mode mode, const char *ns, const char *name, int on_off,
                     const char *json)
{
    struct cfg_override o;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_override_parse(&o, cfg_slice_str(text), &err), 0, "%s: %s", text, err.text);
    cr_assert_eq(o.mode, mode);
    cr_assert_str_eq(o.address.ns, ns);
    cr_assert_str_eq(o.address.name, name);
    cr_assert_eq(o.on_off, on_off, "%s", text);
    cr_assert_eq(o.value == NULL, json == NULL);
    if (json) {
        struct cfg_buf out;
        cfg_buf_init(&out, 1 << 20);
        cfg_json_print(&out, o.value);
        cr_assert_str_eq(out.data, json);
        cfg_buf_finish(&out);
    }
    cfg_override_finish(&o);
    cfg_override_finish(&o);
}

Test(override, whole)
{
    override("chat/sampling.temperature=0.2", CFG_OVERRIDE_SET, "chat", "sampling.temperature", -1, "0.2");
    override("+chat/a= [1]", CFG_OVERRIDE_ADD, "chat", "a", -1, "[1]");
    override("++chat/a={b: 1}", CFG_OVERRIDE_FORCE, "chat", "a", -1, "{\"b\":1}");
    override("~chat/a.b[0]", CFG_OVERRIDE_DELETE, "chat", "a.b[0]", -1, NULL);
    override("~chat/a=10", CFG_OVERRIDE_DELETE, "chat", "a", -1, "10");
    override("chat/a=", CFG_OVERRIDE_SET, "chat", "a", -1, "\"\"");
    override("experiment/ab.flag=on", CFG_OVERRIDE_SET, "experiment", "ab.flag", 1, "true");
    override("experiment/ab.flag=off", CFG_OVERRIDE_SET, "experiment", "ab.flag", 0, "false");
    override("experiment/ab.flag='on'", CFG_OVERRIDE_SET, "experiment", "ab.flag", -1, "\"on\"");
    override("chat/text=on air", CFG_OVERRIDE_SET, "chat", "text", -1, "\"on air\"");
}

Test(override, refused_whole)
{
    struct cfg_override o = {.on_off = 7};
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_override_parse(&o, CFG_SLICE_LIT("chat/a=1,2"), &err), CFG_E_VALUE);
    cr_assert_str_eq(err.path, "column 9");
    cr_assert(strstr(err.hint, "quote"), "%s", err.hint);
    cr_assert_eq(cfg_override_parse(&o, CFG_SLICE_LIT("chat/a"), &err), CFG_E_ADDRESS);
    cr_assert(strstr(err.hint, "chat/a=VALUE"), "%s", err.hint);
    cr_assert_eq(cfg_override_parse(&o, CFG_SLICE_LIT("a=1"), &err), CFG_E_ADDRESS);
    cr_assert_eq(cfg_override_parse(&o, CFG_SLICE_LIT(""), &err), CFG_E_ADDRESS);
    cr_assert_eq(cfg_override_parse(&o, (struct cfg_slice){NULL, 0}, &err), CFG_E_ADDRESS);
    cr_assert_eq(cfg_override_parse(&o, CFG_SLICE_LIT("+++chat/a=1"), &err), CFG_E_ADDRESS);
    cr_assert_eq(o.on_off, 7, "untouched on failure");
}

Test(override, text_is_taken_as_it_stands)
{
    struct cfg_override o;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_override_parse_text(&o, CFG_SLICE_LIT("chat/a= 1,2 = [x] "), &err), 0);
    cr_assert_str_eq(o.value->valuestring, " 1,2 = [x] ");
    cfg_override_finish(&o);
    cr_assert_eq(cfg_override_parse_text(&o, CFG_SLICE_LIT("chat/a=on"), &err), 0);
    cr_assert_eq(o.on_off, -1);
    cfg_override_finish(&o);
    cr_assert_eq(cfg_override_parse_text(&o, CFG_SLICE_LIT("chat/a=\xFF"), &err), CFG_E_VALUE);
    cr_assert_eq(cfg_override_parse_text(&o, (struct cfg_slice){"chat/a=x\0y", 10}, &err), CFG_E_VALUE);
}

Test(override, words_belong_to_a_namespace)
{
    struct cfg_override o = {.on_off = 7};
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("+optimizer.lr=1e-4"), &err), 0, "%s", err.text);
    cr_expect_eq(o.mode, CFG_OVERRIDE_ADD);
    cr_expect_str_eq(o.address.ns, "train");
    cr_expect_str_eq(o.address.name, "optimizer.lr");
    cr_expect_float_eq(o.value->valuedouble, 1e-4, 1e-12);
    cfg_override_finish(&o);
    cr_assert_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("~model.dropout"), &err), 0, "%s", err.text);
    cr_expect_eq(o.mode, CFG_OVERRIDE_DELETE);
    cr_expect_null(o.value);
    cfg_override_finish(&o);
    cr_expect_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("db/mysql=x"), &err), CFG_E_ADDRESS);
    cr_expect_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("db@pkg=x"), &err), CFG_E_ADDRESS);
    cr_expect_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("path=/a/b@c"), &err), 0, "%s", err.text);
    cfg_override_finish(&o);
    cr_expect_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("lr=1,2"), &err), CFG_E_VALUE);
    cr_expect_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("lr"), &err), CFG_E_ADDRESS);
    cr_expect_eq(cfg_override_parse_word(&o, "train", CFG_SLICE_LIT("=1"), &err), CFG_E_ADDRESS);
}

/* What the line's key is: "KEY", "KEY@PACKAGE", "GROUP/OPTION"; "refused" when it is none. */
static void key(const char *line, const char *wanted)
{
    struct cfg_override_key k;
    struct cfg_error err = CFG_ERROR_INIT;
    char text[128] = "refused";
    if (cfg_override_key_parse(&k, cfg_slice_str(line), &err) == 0)
        (void)snprintf(text, sizeof text, "%.*s%s%.*s", (int)k.key.len, k.key.ptr, k.package.ptr ? "@" : "",
                       (int)k.package.len, k.package.ptr ? k.package.ptr : "");
    cr_expect_str_eq(text, wanted, "%s", line);
}

Test(override, keys_by_hydras_grammar)
{
    key("a.b=1", "a.b");
    key("+db/mysql=x", "db/mysql");
    key("~db@pkg.sub", "db@pkg.sub");
    key("db@=x", "db@");
    key("@pkg=x", "@pkg");
    key("$a.b$=1", "$a.b$");
    key("list.0=1", "list.0");
    key("a//b=1", "refused");
    key("a..b=1", "refused");
    key("a b=1", "refused");
    key("0=1", "refused");
    key("list.00=1", "refused");
    key("=1", "refused");
}
