/* Rules as flags run them: where flagd differs from json-logic.org's tables, and the corners of its own operators. */
#include "flags/logic.h"
#include "flags/murmur3.h"
#include "flags_test.h"

/* The variant that a rule gives, of the variants "true", "false", "x", "1", …; "-" for null. */
static void gives(const char *rule, const char *context, const char *answer)
{
    char text[2048], expected[64];
    (void)snprintf(text, sizeof text,
                   "{'f':{'definition':{'state':'ENABLED','variants':{'true':1,'false':2,'x':3,'1':4,'ab':5,'0.5':6},"
                   "'targeting':{'if':[true,%s]}}}}",
                   rule);
    struct cfg_flag_set *set = set_of(text, NULL);
    (void)snprintf(expected, sizeof expected, "%s%s", answer,
                   strcmp(answer, "-") == 0         ? " DEFAULT"
                   : strcmp(answer, "GENERAL") == 0 ? ""
                                                    : " TARGETING_MATCH");
    expect(set, "f", context, expected);
    cfg_flag_set_free(set);
}

Test(rules, comparing_what_cannot_be_compared_is_false)
{
    gives("{'==':[{'var':'a'},1]}", "{'a':'one'}", "false");
    gives("{'!=':[{'var':'a'},1]}", "{'a':'one'}", "true");
    gives("{'<':[{'var':'a'},1]}", "{'a':'one'}", "false");
    gives("{'>=':[{'var':'a'},1]}", "{'a':[1]}", "false");
    gives("{'==':[{'var':'a'},'1']}", "{'a':1}", "true");
    gives("{'===':[{'var':'a'},'1']}", "{'a':1}", "false");
    gives("{'==':['x',{'var':'a'}]}", "{'a':'x'}", "true");
    gives("{'!==':['x',{'var':'a'}]}", "{'a':'x'}", "false");
    gives("{'<':[1,{'var':'a'},3]}", "{'a':2}", "true");
}

Test(rules, null_equals_only_null)
{
    gives("{'==':[{'var':'a'},0]}", "{}", "false");
    gives("{'==':[{'var':'a'},false]}", "{}", "false");
    gives("{'==':[{'var':'a'},null]}", "{}", "true");
    gives("{'!=':[{'var':'a'},'']}", "{}", "true");
    gives("{'<':[{'var':'a'},18]}", "{}", "true");
}

Test(rules, computing_with_what_is_no_number_gives_null)
{
    gives("{'+':[{'var':'a'},1]}", "{'a':'one'}", "-");
    gives("{'/':[1,{'var':'a'}]}", "{'a':0}", "-");
    gives("{'%':[1,{'var':'a'}]}", "{'a':0}", "-");
    gives("{'+':[{'var':'a'},0]}", "{'a':' +1.0e0 '}", "1");
    gives("{'*':[{'var':'a'},1]}", "{'a':'.5'}", "0.5");
    gives("{'max':[{'var':'a'},-5]}", "{'a':'007'}", "GENERAL");
    gives("{'-':[{'var':'a'}]}", "{'a':-1}", "1");
}

Test(rules, texts)
{
    gives("{'cat':['a',{'var':'a'}]}", "{'a':'b'}", "ab");
    gives("{'cat':['a','b',{'var':'none'}]}", "{}", "ab");
    gives("{'cat':[{'cat':['a']},{'cat':[{'var':'a'}]}]}", "{'a':'b'}", "ab");
    gives("{'cat':[{'cat':[{'var':'a'},'']},{'substr':[{'cat':['x',{'var':'b'}]},1]}]}", "{'a':'a','b':'b'}", "ab");
    gives("{'substr':[{'var':'a'},1,1]}", "{'a':'éxé'}", "x");
    gives("{'in':[{'var':'a'},'xab']}", "{'a':'ab'}", "true");
    gives("{'in':[{'var':'a'},['a','b','c','d','e','f','g','h','i','j']]}", "{'a':'i'}", "true");
    gives("{'in':[{'var':'a'},['a','b','c','d','e','f','g','h','i','j']]}", "{'a':'k'}", "false");
    gives("{'in':[{'var':'a'},['1','2']]}", "{'a':1}", "false");
    gives("{'in':[{'var':'a'},[1,'2']]}", "{'a':1}", "true");
    gives("{'starts_with':[{'var':'a'},'ab']}", "{'a':'abc'}", "true");
    gives("{'ends_with':[{'var':'a'},'abc']}", "{'a':'bc'}", "false");
    gives("{'starts_with':[{'var':'a'},'ab']}", "{'a':7}", "-");
}

Test(rules, paths)
{
    gives("{'var':'a.b.1'}", "{'a':{'b':['y','x']}}", "x");
    gives("{'var':['a.b','x']}", "{'a':null}", "x");
    gives("{'var':['a','x']}", "{'a':null}", "-");
    gives("{'var':{'cat':['a.','b']}}", "{'a':{'b':'x'}}", "x");
    gives("{'var':'$flagd.flagKey'}", "{'$flagd':{'flagKey':'x'}}", "GENERAL");
    gives("{'==':[{'var':'$flagd.timestamp'},1750000000]}", "{}", "true");
    gives("{'some':[[1],{'==':[{'var':'$flagd.flagKey'},'f']}]}", "{}", "false");
    gives("{'map':[[1],1]}", "{}", "GENERAL");
}

Test(rules, versions)
{
    static const struct {
        const char *a, *op, *b;
        int answer; /* -1: null */
    } rows[] = {
        {"1.0.0-alpha", "<", "1.0.0-alpha.1", 1},
        {"1.0.0-alpha.1", "<", "1.0.0-alpha.beta", 1},
        {"1.0.0-beta.2", "<", "1.0.0-beta.11", 1},
        {"1.0.0-rc.1", "<", "1.0.0", 1},
        {"99999999999999999999.0.0", ">", "99999999999999999998.9.9", 1},
        {"v1.2", "=", "1.2.0", 1},
        {"1.2.3", "~", "1.2.9", 1},
        {"1.2.3", "^", "1.9", 1},
        {"1.2.3", "^", "2", 0},
        {"1.0.0+a", "=", "1.0.0+b", 1},
        {"1.0.0", "!=", "1.0.1", 1},
        {"1.0.0", "<=", "1.0.0", 1},
        {"1.0.0", ">=", "1.0.1", 0},
        {"01.0.0", "=", "1.0.0", -1},
        {"1.0.0-01", "=", "1.0.0", -1},
        {"1.0.0-", "=", "1.0.0", -1},
        {"1.0.0+", "=", "1.0.0", -1},
        {"1.0-alpha", "=", "1.0.0", -1},
        {"1..0", "=", "1.0.0", -1},
        {"1.", "=", "1.0.0", -1},
        {"", "=", "1.0.0", -1},
        {"vv1", "=", "1.0.0", -1},
        {"1.0.0", "==", "1.0.0", -1},
        {"1.0.0.", "=", "1.0.0", -1},
        {"1.0.0-a..b", "=", "1.0.0", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool answer = false;
        bool valid =
            cfg_semver_compare(&answer, cfg_slice_str(rows[i].a), cfg_slice_str(rows[i].op), cfg_slice_str(rows[i].b));
        cr_assert_eq(valid ? answer : -1, rows[i].answer, "%s %s %s", rows[i].a, rows[i].op, rows[i].b);
    }
}

/* The hash function's own published values, in one call and in pieces of every size. */
Test(rules, murmur3)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog";
    cr_assert_eq(cfg_murmur3("", 0), 0);
    cr_assert_eq(cfg_murmur3("test", 4), 0xba6bd213U);
    cr_assert_eq(cfg_murmur3("Hello, world!", 13), 0xc0363e43U);
    cr_assert_eq(cfg_murmur3(text, sizeof text - 1), 0x2e4ff723U);
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct cfg_murmur3 m;
        cfg_murmur3_init(&m);
        for (size_t at = 0; at < sizeof text - 1; at += piece)
            cfg_murmur3_add(&m, text + at, sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece);
        cr_assert_eq(cfg_murmur3_end(&m), 0x2e4ff723U, "pieces of %zu", piece);
    }
}

/* An object made by hand, in any order and with a name twice, hashes as the same object from JSON. */
Test(rules, an_object_hashes_the_same_in_any_order)
{
    _Alignas(16) char scratch[64];
    struct cfg_flag_member sorted[] = {cfg_flag_member_number("b", 1), cfg_flag_member_number("aa", 2)};
    struct cfg_flag_member mixed[] = {cfg_flag_member_number("aa", 2), cfg_flag_member_number("b", 1)};
    struct logic_scope scope = {value_null(), 0, NULL};
    struct logic_run r = {.scope = &scope, .scratch = scratch, .size = sizeof scratch, .work = 1000};
    struct cfg_flag_value x = {CFG_VALUE_OBJECT, 2, {.members = sorted}}, y = {CFG_VALUE_OBJECT, 2, {.members = mixed}};
    uint32_t a = 0, b = 1;
    cr_assert(cfg_cbor_hash(&a, &r, &x) && cfg_cbor_hash(&b, &r, &y));
    cr_assert_eq(a, b);
    r.work = 1;
    cr_assert_not(cfg_cbor_hash(&b, &r, &y));
}

Test(rules, a_context_must_be_an_object)
{
    cJSON *v = json_of("[1]");
    struct cfg_flag_context c;
    struct cfg_error err;
    cr_assert_eq(cfg_flag_context_init_json(&c, v, &err), CFG_E_VALUE);
    cr_assert_eq(cfg_flag_context_init_json(&c, NULL, &err), CFG_E_VALUE);
    cJSON_Delete(v);
}

/* Ten megabytes: read, looked into, and forgotten without harm. */
Test(rules, a_large_context)
{
    struct cfg_flag_set *set =
        set_of("{'f':{'definition':{'state':'ENABLED','variants':{'true':1,'false':2},'targeting':"
               "{'==':[{'var':'k99999'},99999]}}}}",
               NULL);
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 25);
    cfg_buf_puts(&text, "{\"blob\":\"");
    for (int i = 0; i < 8000000; i++)
        cfg_buf_putc(&text, 'x');
    cfg_buf_puts(&text, "\"");
    for (int i = 0; i < 100000; i++)
        cfg_buf_printf(&text, ",\"k%d\":%d", i, i);
    cfg_buf_puts(&text, "}");
    expect(set, "f", text.data, "true TARGETING_MATCH");
    cfg_buf_finish(&text);
    cfg_flag_set_free(set);
}
