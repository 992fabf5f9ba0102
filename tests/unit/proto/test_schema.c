/* What the conformance suite does not see: strictness, errors of schemas, the list of violations, secrets, what a
 * schema says of a path, invariants, and the bounds on work. */
#include "proto/schema.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Single quotes are double ones, for readable tables. */
static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(copy), 0, &err), 0, "%s: %s", text, err.text);
    free(copy);
    return v;
}

static struct cfg_schema *compile(const char *text)
{
    struct cfg_schema *s = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *schema = parse(text);
    cr_assert_eq(cfg_schema_compile(&s, schema, NULL, &err), 0, "%s: %s (%s)", text, err.text, err.path);
    cJSON_Delete(schema);
    return s;
}

/* The violations as text; "[]" when valid. Returned-owned. */
static char *violations(const struct cfg_schema *s, const char *document, int wanted)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *list = cJSON_CreateArray(), *doc = parse(document);
    int code = cfg_schema_check(s, doc, list, &err);
    cr_assert_eq(code, wanted, "%s: %s %s", document, cfg_code_name(code), err.text);
    cr_assert_eq(cfg_schema_judge(s, doc), wanted, "%s", document);
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 22);
    cfg_json_print(&out, list);
    cJSON_Delete(list);
    cJSON_Delete(doc);
    return cfg_buf_steal(&out);
}

static void expect(const char *schema, const char *document, const char *const parts[])
{
    struct cfg_schema *s = compile(schema);
    char *text = violations(s, document, parts[0] ? CFG_E_SCHEMA : 0);
    for (size_t i = 0; parts[i]; i++)
        cr_assert(strstr(text, parts[i]), "%s: no %s in %s", document, parts[i], text);
    cfg_schema_free(s);
    free(text);
}
#define EXPECT(schema, document, ...) expect(schema, document, (const char *const[]){__VA_ARGS__, NULL})

static void refused(const char *schema, int wanted, const char *path, const char *text, const char *hint)
{
    struct cfg_schema *s = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *json = parse(schema);
    int code = cfg_schema_compile(&s, json, NULL, &err);
    cr_assert_eq(code, wanted, "%s: %s %s", schema, cfg_code_name(code), err.text);
    cr_assert_eq(err.code, wanted);
    cr_assert_null(s, "it was set on failure");
    cr_assert_str_eq(err.path, path, "%s: %s", schema, err.path);
    cr_assert(strstr(err.text, text), "%s: %s", schema, err.text);
    cr_assert(strstr(err.hint, hint), "%s: %s", schema, err.hint);
    cJSON_Delete(json);
}

/* --- what is refused when a schema is compiled --- */

Test(schema, unknown_keywords_are_refused_with_the_near_one)
{
    refused("{'minimun':1}", CFG_E_VALUE, "#/minimun", "minimun", "did you mean minimum?");
    refused("{'properties':{'a/b':{'additionalItems':false}}}", CFG_E_VALUE, "#/properties/a~1b/additionalItems",
            "additionalItems", "prefixItems");
    refused("{'qwertz':1}", CFG_E_VALUE, "#/qwertz", "no keyword", "x-");
    refused("{'format':'date-tiem'}", CFG_E_VALUE, "#/format", "date-tiem", "date-time");
    cfg_schema_free(compile("{'x-anything':[1],'format':'date'}"));
}

Test(schema, values_of_keywords_are_checked)
{
    static const char *const rows[][3] = {
        {"[]", "#", "true or false"},
        {"{'type':'strin'}", "#/type", "one of"},
        {"{'type':[]}", "#/type", "one of"},
        {"{'type':['null','null']}", "#/type", "twice"},
        {"{'enum':1}", "#/enum", "array"},
        {"{'minimum':'1'}", "#/minimum", "number"},
        {"{'exclusiveMinimum':true}", "#/exclusiveMinimum", "number"},
        {"{'multipleOf':0}", "#/multipleOf", "greater"},
        {"{'minLength':-1}", "#/minLength", "whole"},
        {"{'maxItems':1.5}", "#/maxItems", "whole"},
        {"{'minContains':'1'}", "#/minContains", "whole"},
        {"{'pattern':7}", "#/pattern", "string"},
        {"{'pattern':'(a'}", "#/pattern", "closed"},
        {"{'patternProperties':{'[':true}}", "#/patternProperties", "closed"},
        {"{'uniqueItems':1}", "#/uniqueItems", "true or false"},
        {"{'required':'a'}", "#/required", "array"},
        {"{'required':['a','a']}", "#/required", "twice"},
        {"{'properties':[]}", "#/properties", "object"},
        {"{'properties':{'a':1}}", "#/properties/a", "true or false"},
        {"{'items':[true]}", "#/items", "true or false"},
        {"{'prefixItems':[]}", "#/prefixItems", "at least one"},
        {"{'anyOf':[{},3]}", "#/anyOf/1", "true or false"},
        {"{'allOf':{}}", "#/allOf", "array"},
        {"{'not':null}", "#/not", "true or false"},
        {"{'dependentRequired':{'a':1}}", "#/dependentRequired", "arrays"},
        {"{'$ref':1}", "#/$ref", "URI"},
        {"{'$id':'a#b'}", "#/$id", "fragment"},
        {"{'$anchor':'1a'}", "#/$anchor", "name"},
        {"{'$defs':1}", "#/$defs", "object"},
        {"{'title':1}", "#/title", "string"},
        {"{'deprecated':'yes'}", "#/deprecated", "true or false"},
        {"{'x-apply':'sometimes'}", "#/x-apply", "live"},
        {"{'x-secret':'yes'}", "#/x-secret", "true or false"},
        {"{'x-unit':1}", "#/x-unit", "string"},
        {"{'x-capacity':false}", "#/x-capacity", "ceiling"},
        {"{'x-invariants':{}}", "#/x-invariants", "array"},
        {"{'x-invariants':[{'expr':'a +'}]}", "#/x-invariants", "a +"},
        {"{'items':{'x-invariants':[]}}", "#/items/x-invariants", "root"},
        {"{'$defs':{'a':{'$id':'x'},'b':{'$id':'x'}}}", "#/$defs/b/$id", "two schemas"},
        {"{'$defs':{'a':{'$anchor':'x'},'b':{'$anchor':'x'}}}", "#/$defs/b/$anchor", "two anchors"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i][0], CFG_E_VALUE, rows[i][1], rows[i][2], "");
}

Test(schema, references_stay_inside)
{
    refused("{'$ref':'http://example.com/other'}", CFG_E_VALUE, "#/$ref", "leads nowhere", "nothing is fetched");
    refused("{'$ref':'#/$defs/a'}", CFG_E_VALUE, "#/$ref", "leads nowhere", "");
    refused("{'$ref':'#nobody'}", CFG_E_VALUE, "#/$ref", "leads nowhere", "");
    refused("{'$ref':'file:///etc/passwd'}", CFG_E_VALUE, "#/$ref", "leads nowhere", "");
    refused("{'$schema':'http://json-schema.org/draft-07/schema#'}", CFG_E_UNSUPPORTED, "#/$schema", "draft-07",
            "2020-12");
    struct cfg_schema *s = compile("{'$ref':'https://json-schema.org/draft/2020-12/schema'}");
    char *text = violations(s, "{'minimum':'1'}", CFG_E_SCHEMA);
    free(text);
    cfg_schema_free(s);
}

Test(schema, schemas_that_never_end_are_found)
{
    refused("{'$ref':'#'}", CFG_E_VALUE, "#", "never end", "");
    refused("{'$defs':{'a':{'allOf':[{'$ref':'#/$defs/b'}]},'b':{'not':{'$ref':'#/$defs/a'}}}}", CFG_E_VALUE,
            "#/$defs/a", "never end", "");
    refused("{'dependentSchemas':{'a':{'$ref':'#'}}}", CFG_E_VALUE, "#", "never end", "");
    refused("{'if':true,'then':{'$ref':'#'}}", CFG_E_VALUE, "#", "never end", "");
    EXPECT("{'properties':{'a':{'$ref':'#'}},'additionalProperties':false}", "{'a':{'a':{'b':1}}}", "a.a.b");
    /* $dynamicRef can only be caught when it runs. */
    struct cfg_schema *s = compile("{'$id':'urn:x','$dynamicAnchor':'n','$ref':'#/$defs/a','$defs':{'a':{'$id':'urn:y',"
                                   "'$dynamicRef':'#n','$defs':{'b':{'$dynamicAnchor':'n'}}}}}");
    free(violations(s, "{}", CFG_E_LIMIT));
    cfg_schema_free(s);
}

Test(schema, documents_can_be_handed_in)
{
    cJSON *other = parse("{'$defs':{'port':{'type':'integer','maximum':65535}}}");
    struct cfg_schema_document documents[] = {{"http://example.com/base.json", other}};
    struct cfg_schema_options options = {
        .documents = documents, .n_documents = 1, .base_uri = "http://example.com/schemas/chat.json"};
    struct cfg_schema *s = NULL;
    cJSON *schema = parse("{'properties':{'p':{'$ref':'../base.json#/$defs/port'}}}");
    cr_assert_eq(cfg_schema_compile(&s, schema, &options, NULL), 0);
    cJSON_Delete(other); /* only borrowed while compiling */
    cJSON_Delete(schema);
    free(violations(s, "{'p':1}", 0));
    free(violations(s, "{'p':65536}", CFG_E_SCHEMA));
    cfg_schema_free(s);
}

/* --- violations --- */

Test(schema, every_violation_is_listed)
{
    EXPECT("{'type':'object','properties':{'temperature':{'type':'number','minimum':0,'maximum':2,'x-unit':'K'},"
           "'model':{'enum':['small','large']},'stop':{'type':'array','items':{'type':'string'},'maxItems':1}},"
           "'required':['model','seed'],'additionalProperties':false}",
           "{'temprature':1,'temperature':7,'model':'smal','stop':[1,'a']}",
           "{\"path\":\"temprature\",\"keyword\":\"additionalProperties\"", "did you mean `temperature`?",
           "{\"path\":\"temperature\",\"keyword\":\"maximum\",\"message\":\"must be at most 2 K\",\"expected\":\"<= 2 "
           "K\",\"got\":\"7\"}",
           "did you mean \\\"small\\\"?", "\"path\":\"stop[0]\"", "\"keyword\":\"maxItems\"", "\"path\":\"seed\"",
           "\"seed\\\" is required");
    EXPECT("{'required':['temperature']}", "{'temprature':1}", "did you mean `temperature`?");
    EXPECT("{'properties':{'a.b':{'type':'null'}}}", "{'a.b':1}", "\"path\":\"[\\\"a.b\\\"]\"");
    EXPECT("{'dependentRequired':{'a':['b']}}", "{'a':1}", "because \\\"a\\\" is there");
    EXPECT("{'propertyNames':{'maxLength':1}}", "{'ab':1}", "propertyNames");
    EXPECT("{'uniqueItems':true}", "[{'a':1,'b':[2]},3,{'b':[2.0],'a':1}]", "items 0 and 2 are equal");
    EXPECT("{'contains':{'const':1},'minContains':2}", "[1]", "minContains", "contains 1");
    EXPECT("{'oneOf':[{'type':'integer'},{'minimum':1}]}", "3", "alternatives 0 and 1");
    EXPECT("{'anyOf':[{'type':'null'},{'type':'object','required':['a']}]}", "{}", "\"path\":\"a\"");
    EXPECT("{'anyOf':[{'minimum':3},{'maximum':1}]}", "2", "none of the 2");
    EXPECT("{'unevaluatedProperties':false,'anyOf':[{'properties':{'a':true}},{'properties':{'b':true}}]}",
           "{'a':1,'b':1,'c':1}", "\"path\":\"c\"");
    EXPECT("false", "1", "nothing is allowed");
    EXPECT("{'not':{'type':'null'}}", "null", "\"keyword\":\"not\"");
    EXPECT("{'format':'ipv4'}", "'x'", NULL);
}

Test(schema, the_first_violation_is_in_the_error)
{
    struct cfg_schema *s = compile("{'properties':{'a':{'type':'string'},'b':{'type':'string'}}}");
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *doc = parse("{'a':1,'b':2}");
    cr_assert_eq(cfg_schema_check(s, doc, NULL, &err), CFG_E_SCHEMA);
    cr_assert_str_eq(err.path, "a");
    cr_assert_str_eq(err.text, "2 violations of the schema: a: must be of type string, not integer");
    cJSON_Delete(doc);
    cfg_schema_free(s);
}

Test(schema, a_long_list_is_cut_and_counted)
{
    struct cfg_schema *s = compile("{'items':{'type':'string'}}");
    cJSON *doc = cJSON_CreateArray(), *list = cJSON_CreateArray();
    for (int i = 0; i < 250; i++)
        cJSON_AddItemToArray(doc, cJSON_CreateNumber(i));
    cr_assert_eq(cfg_schema_check(s, doc, list, NULL), CFG_E_SCHEMA);
    cr_assert_eq(cJSON_GetArraySize(list), CFG_SCHEMA_VIOLATIONS + 1);
    const cJSON *last = cJSON_GetArrayItem(list, CFG_SCHEMA_VIOLATIONS);
    cr_assert_str_eq(cfg_json_get_str(last, "keyword", ""), "more");
    cr_assert_eq(cfg_json_get_num(last, "count", 0), 150);
    cJSON_Delete(doc);
    cJSON_Delete(list);
    cfg_schema_free(s);
}

/* --- secrets --- */

Test(schema, a_secret_is_a_reference_and_never_shown)
{
    static const char schema[] = "{'properties':{'key':{'allOf':[{'maxLength':3,'pattern':'^x'},{'x-secret':true}]},"
                                 "'all':{'x-secret':true,'type':'array'}},'additionalProperties':{'type':'null'},"
                                 "'x-invariants':[{'expr':\"key == 'a'\"}]}";
    struct cfg_schema *s = compile("{'properties':{'key':{'x-secret':true}}}");
    free(violations(s, "{'key':'secret:file:/run/key'}", 0));
    free(violations(s, "{'key':'secret:env:KEY'}", 0));
    free(violations(s, "{'key':'secret:env:'}", CFG_E_SCHEMA));
    char *number = violations(s, "{'key':271828}", CFG_E_SCHEMA);
    cr_assert_not(strstr(number, "271828"), "%s", number);
    free(number);
    free(violations(s, "{'key':7}", CFG_E_SCHEMA));
    cfg_schema_free(s);
    cJSON *json = NULL;
    char text[sizeof schema];
    for (size_t i = 0, in = 0; i < sizeof schema; i++) { /* the inner double quotes are the expression's own */
        in ^= schema[i] == '"';
        text[i] = schema[i] == '\'' && !in ? '"' : schema[i];
    }
    cr_assert_eq(cfg_json_parse(&json, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    cr_assert_eq(cfg_schema_compile(&s, json, NULL, NULL), 0);
    char *list = violations(s, "{'key':'hunter2','all':'hunter2'}", CFG_E_SCHEMA);
    cr_assert(strstr(list, "maxLength") && strstr(list, "x-secret") && strstr(list, "x-invariants"), "%s", list);
    cr_assert_null(strstr(list, "hunter2"), "%s", list);
    free(list);
    cJSON_Delete(json);
    cfg_schema_free(s);
}

/* --- what a schema says of a path --- */

Test(schema, info_finds_what_is_said_of_a_path)
{
    struct cfg_schema *s =
        compile("{'x-apply':'restart','properties':{'sampling':{'$ref':'#/$defs/sampling','x-apply':'live'},"
                "'distributed':{'x-apply':'pinned','properties':{'tp':{'type':'integer'}}},"
                "'batch':{'allOf':[{'x-apply':'live'},{'x-apply':'drain','x-capacity':'distributed.tp'}]},"
                "'list':{'prefixItems':[{'x-unit':'s'}],'items':{'x-unit':'ms'}},'key':{'x-secret':true}},"
                "'patternProperties':{'^n_':{'x-capacity':true}},"
                "'$defs':{'sampling':{'properties':{'temperature':{'type':'number','x-unit':'K','title':'T','default':"
                "0.7}}}}}");
    struct cfg_schema_info i;
    cr_assert(cfg_schema_info(&i, s, "sampling.temperature"));
    cr_assert(i.declared && i.apply == CFG_APPLY_LIVE && strcmp(i.unit, "K") == 0 && strcmp(i.type, "number") == 0);
    cr_assert(strcmp(i.title, "T") == 0 && i.fallback->valuedouble == 0.7 && !i.secret && i.capacity == NULL);
    cr_assert(cfg_schema_info(&i, s, "distributed.tp") && i.apply == CFG_APPLY_PINNED);
    cr_assert(cfg_schema_info(&i, s, "batch") && i.apply == CFG_APPLY_DRAIN);
    cr_assert_str_eq(i.capacity, "distributed.tp");
    cr_assert(cfg_schema_info(&i, s, "list[0]") && strcmp(i.unit, "s") == 0 && i.apply == CFG_APPLY_RESTART);
    cr_assert(cfg_schema_info(&i, s, "list[7]") && strcmp(i.unit, "ms") == 0);
    cr_assert(cfg_schema_info(&i, s, "key") && i.secret);
    cr_assert(cfg_schema_info(&i, s, "key.deeper") && i.secret && !i.declared);
    cr_assert(cfg_schema_info(&i, s, "n_x") && !i.declared && strcmp(i.capacity, "") == 0);
    cr_assert(cfg_schema_info(&i, s, "nowhere.at.all") && !i.declared && i.apply == CFG_APPLY_RESTART);
    cr_assert(cfg_schema_info(&i, s, "") && i.declared && i.apply == CFG_APPLY_RESTART);
    cr_assert(!cfg_schema_info(&i, s, "a..b") && !cfg_schema_info(&i, s, "a[x]") && !cfg_schema_info(&i, s, ".a"));
    enum cfg_apply a = CFG_APPLY_NONE;
    cr_assert(cfg_apply_parse(&a, "barrier") && a == CFG_APPLY_BARRIER && !cfg_apply_parse(&a, "none"));
    cr_assert_str_eq(cfg_apply_name(CFG_APPLY_PINNED), "pinned");
    cfg_schema_free(s);
}

/* --- invariants --- */

Test(schema, invariants_hold_over_several_keys)
{
    static const char schema[] =
        "{'x-invariants':[{'expr':'train.batch == train.micro * world','message':'batches must "
        "divide'},{'expr':'a / b < 2'}]}";
    const struct cfg_schema_invariant *list = NULL;
    struct cfg_schema *s = compile(schema);
    cr_assert_eq(cfg_schema_invariants(s, &list), 2);
    cr_assert_str_eq(list[0].message, "batches must divide");
    cr_assert_null(list[1].message);
    cfg_schema_free(s);
    EXPECT(schema, "{'train':{'batch':8,'micro':2},'world':4}", NULL);
    EXPECT(schema, "{'train':{'batch':8},'world':4}", NULL); /* a missing key is required's business */
    EXPECT(schema, "{'train':{'batch':9,'micro':2},'world':4}", "x-invariants", "batches must divide",
           "train.batch = 9", "train.micro = 2", "world = 4");
    EXPECT(schema, "{'a':1,'b':0}", "a / b < 2");
    EXPECT(schema, "{'a':'x','b':1}", "a / b < 2");
}

/* --- bounds --- */

Test(schema, work_is_bounded)
{
    struct cfg_schema *s = compile("{'items':{'pattern':'^(a+)+$'}}");
    free(violations(s, "['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!']", CFG_E_LIMIT));
    free(violations(s, "['aaaa','aaaaaaaaaaaaaaaaaaaa']", 0));
    cfg_schema_free(s);
    /* 2^40 alternatives. */
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "{'$defs':{'n0':{'type':'null'}");
    for (int i = 1; i <= 40; i++)
        cfg_buf_printf(&text, ",'n%d':{'anyOf':[{'$ref':'#/$defs/n%d'},{'$ref':'#/$defs/n%d'}]}", i, i - 1, i - 1);
    cfg_buf_puts(&text, "},'$ref':'#/$defs/n40'}");
    s = compile(text.data);
    free(violations(s, "1", CFG_E_LIMIT));
    free(violations(s, "null", 0));
    cfg_schema_free(s);
    cfg_buf_finish(&text);
}

Test(schema, chains_and_patterns_are_bounded)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "{'$defs':{'n0':true");
    for (int i = 1; i <= 5000; i++)
        cfg_buf_printf(&text, ",'n%d':{'$ref':'#/$defs/n%d'}", i, i - 1);
    cfg_buf_puts(&text, "}}");
    cJSON *json = parse(text.data);
    struct cfg_schema *s = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_schema_compile(&s, json, NULL, &err), CFG_E_LIMIT, "%s", err.text);
    cJSON_Delete(json);
    cfg_buf_clear(&text);
    cfg_buf_puts(&text, "{'pattern':'");
    for (int i = 0; i < 5000; i++)
        cfg_buf_putc(&text, 'a');
    cfg_buf_puts(&text, "'}");
    refused(text.data, CFG_E_LIMIT, "#/pattern", "4096", "");
    cfg_buf_finish(&text);
}

/* Many equal items, and many that differ: neither is quadratic, or this would not end. */
Test(schema, unique_items_are_not_compared_pairwise)
{
    struct cfg_schema *s = compile("{'uniqueItems':true}");
    cJSON *doc = cJSON_CreateArray(), *last = NULL;
    for (int i = 0; i < 200000; i++) {
        cJSON *item = cJSON_CreateNumber(i);
        if (last == NULL) {
            cJSON_AddItemToArray(doc, item);
        } else {
            last->next = item;
            item->prev = last;
        }
        last = item;
    }
    doc->child->prev = last;
    cr_assert_eq(cfg_schema_judge(s, doc), 0);
    cJSON_Delete(doc);
    cfg_schema_free(s);
}

/* --- patterns and numbers, beyond the suite --- */

static bool matches(const char *pattern, const char *text)
{
    cJSON *schema = cJSON_CreateObject(), *doc = cJSON_CreateString(text);
    struct cfg_schema *s = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON_AddStringToObject(schema, "pattern", pattern);
    cr_assert_eq(cfg_schema_compile(&s, schema, NULL, &err), 0, "%s: %s", pattern, err.text);
    int code = cfg_schema_judge(s, doc);
    cr_assert(code == 0 || code == CFG_E_SCHEMA, "%s", pattern);
    cfg_schema_free(s);
    cJSON_Delete(schema);
    cJSON_Delete(doc);
    return code == 0;
}

Test(schema, patterns_mean_what_ecma_262_says)
{
    static const char *const good[][2] = {
        {"^\\d{2,}$", "12"},
        {"^[\\w-]+$", "a-b_c"},
        {"^\\u{1F600}$", "\xF0\x9F\x98\x80"},
        {"^a.c$", "a\xC2\x85"
                  "c"},
        {"^[]|a$", "a"},
        {"^[^]$", "\n"},
        {"^(?<x>a)\\k<x>$", "aa"},
        {"^(a)|\\1b$", "b"},
        {"^\\cJ$", "\n"},
        {"^[\\b]$", "\b"},
        {"^[[:alpha:]]$", ":]"},
        {"^{a}$", "{a}"},
        {"^\\0$", "\xC0\x80"},
        {"^\\s$", "\xEF\xBB\xBF"},
        {"^[^\\S]$", "\xC2\xA0"},
        {"^\\v$", "\v"},
        {"^[\\p{Lu}\\P{L}]+$", "A1"},
        {"^\\p{Script=Greek}$", "\xCE\xB1"},
        {"a|b|", ""},
        {"^\\x41\\-\\/$", "A-/"},
        {"^(?!b)a(?=c)c(?<=c)(?<!a)$", "ac"},
    };
    static const char *const bad[][2] = {
        {"^\\d$", "\xE0\xA7\xA7"}, {"^\\w$", "\xC3\xA9"},  {"^a$", "a\n"},  {"^.$", "\n"},
        {"^.$", "\xE2\x80\xA8"},   {"^[[:alpha:]]$", "x"}, {"^\\v$", "\n"}, {"[]", "a"},
        {"^\\S$", "\xEF\xBB\xBF"},
    };
    static const char *const wrong[] = {"a++",     "*a",      "(?i)a", "(?>a)",     "\\Qa\\E", "\\A", "\\Z",
                                        "(*F)",    "a{2}{3}", "[b-a]", "[\\d-z]",   "(",       ")",   "[a",
                                        "\\",      "\\2(a)",  "\\u12", "\\p{Nope}", "^*",      "\\R", "\\xZZ",
                                        "(?<1>a)", "\\uD800", "(?#c)", "\\g1",      "\\K"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert(matches(good[i][0], good[i][1]), "%s", good[i][0]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(!matches(bad[i][0], bad[i][1]), "%s", bad[i][0]);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cJSON *schema = cJSON_CreateObject();
        struct cfg_schema *s = NULL;
        cJSON_AddStringToObject(schema, "pattern", wrong[i]);
        int code = cfg_schema_compile(&s, schema, NULL, NULL);
        cr_assert(code == CFG_E_VALUE || code == CFG_E_UNSUPPORTED, "%s", wrong[i]);
        cJSON_Delete(schema);
    }
    refused("{'pattern':'(?<=a+)b'}", CFG_E_UNSUPPORTED, "#/pattern", "lookbehind", "");
}

Test(schema, multiples_are_exact_on_decimals)
{
    static const struct {
        const char *by, *v;
        bool valid;
    } rows[] = {{"0.01", "19.99", true},
                {"0.01", "0.07", true},
                {"0.1", "0.3", true},
                {"0.1", "1.1", true},
                {"0.1", "0.35", false},
                {"1e-7", "3e-7", true},
                {"1e-7", "3.5e-7", false},
                {"0.5", "1e308", true},
                {"0.123456789", "1e308", false},
                {"3", "9007199254740991", false},
                {"1e300", "1e308", true},
                {"1e-300", "1e300", true},
                {"7", "-21", true},
                {"2.5", "-7.5", true},
                {"1e10", "5", false},
                {"0.3", "0", true},
                {"3e20", "9e20", true},
                {"3e20", "1e21", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "{'multipleOf':%s}", rows[i].by);
        struct cfg_schema *s = compile(text);
        free(violations(s, rows[i].v, rows[i].valid ? 0 : CFG_E_SCHEMA));
        cfg_schema_free(s);
    }
}

/* Looking for what was meant is bounded: every one of 20,000 wrong names has 20,000 candidates, and 99 are listed. */
Test(schema, hints_are_bounded, .timeout = 20)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 24);
    cfg_buf_puts(&text, "{'additionalProperties':false,'properties':{");
    for (int i = 0; i < 20000; i++)
        cfg_buf_printf(&text, "%s'a_long_name_of_a_parameter_%d':true", i ? "," : "", i);
    cfg_buf_puts(&text, "}}");
    struct cfg_schema *s = compile(text.data);
    cfg_buf_clear(&text);
    for (int i = 0; i < 20000; i++)
        cfg_buf_printf(&text, "%s'a_long_name_of_a_parametre_%d':1", i ? "," : "{", i);
    cfg_buf_putc(&text, '}');
    char *list = violations(s, text.data, CFG_E_SCHEMA);
    cr_assert(strstr(list, "did you mean"), "the first gets its hint");
    free(list);
    cfg_schema_free(s);
    cfg_buf_finish(&text);
}

Test(schema, too_many_invariants)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "{'x-invariants':[");
    for (int i = 0; i < 257; i++)
        cfg_buf_printf(&text, "%s{'expr':'1 < 2'}", i ? "," : "");
    cfg_buf_puts(&text, "]}");
    for (char *p = text.data; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    struct cfg_schema *s = NULL;
    cJSON *schema = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&schema, cfg_buf_slice(&text), 0, &err), 0);
    cr_assert_eq(cfg_schema_compile(&s, schema, NULL, &err), CFG_E_LIMIT);
    cJSON_Delete(schema);
    cfg_buf_finish(&text);
}

/* Bounded texts are cut between characters. */
Test(schema, violations_are_utf8)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 16);
    cfg_buf_puts(&text, "{'x");
    for (int i = 0; i < 300; i++)
        cfg_buf_puts(&text, "\xC3\xA9");
    cfg_buf_puts(&text, "':1}");
    struct cfg_schema *s = compile("{'additionalProperties':false,'properties':{}}");
    char *list = violations(s, text.data, CFG_E_SCHEMA);
    cJSON *again = parse(list); /* refuses what is no UTF-8 */
    cJSON_Delete(again);
    free(list);
    cfg_schema_free(s);
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_fail(&err, CFG_E_VALUE, "%.4s!", "abc\xC3\xA9"), CFG_E_VALUE);
    cr_assert_str_eq(err.text, "abc!");
    cfg_buf_finish(&text);
}
