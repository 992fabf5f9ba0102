#include "flags_test.h"

#include <stdio.h>

#define FLAG(rest) "{'off_variant':'off','definition':{'state':'ENABLED','variants':{'on':true,'off':false}," rest "}"
#define ON         FLAG("'defaultVariant':'on'}")

Test(set, finds_flags_by_name)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "{");
    for (int i = 0; i < 3000; i++)
        cfg_buf_printf(
            &text,
            "%s\"flag-%d\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"v\":%d},\"defaultVariant\":\"v\"}}",
            i ? "," : "", i, i);
    cfg_buf_puts(&text, "}");
    struct cfg_flag_set *set = set_of(text.data, NULL);
    cr_assert_eq(cfg_flag_set_count(set), 3000);
    for (int i = 0; i < 3000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "flag-%d", i);
        struct cfg_flag_result r = cfg_flag_set_eval(set, name, strlen(name), CFG_FLAG_NUMBER, NULL);
        cr_assert(r.value && r.value->valuedouble == i);
        cr_assert_str_eq(cfg_flag_name_of(cfg_flag_set_at(set, (size_t)i)), name);
        cr_assert_eq(cfg_flag_set_index(set, cfg_flag_set_find(set, name, strlen(name))), (size_t)i);
        cr_assert_eq(cfg_flag_variant_count(cfg_flag_set_at(set, (size_t)i)), 1);
        cr_assert_eq(cfg_flag_variant_at(cfg_flag_set_at(set, (size_t)i), 0).name, r.variant, "the very pointer");
    }
    cr_assert_null(cfg_flag_set_find(set, "flag-3000", 9));
    cr_assert_null(cfg_flag_set_find(set, "", 0));
    cr_assert_null(cfg_flag_set_at(set, 3000));
    cfg_flag_set_free(set);
    cfg_buf_finish(&text);
    set = set_of("{}", NULL);
    expect(set, "x", "{}", "FLAG_NOT_FOUND");
    cfg_flag_set_free(set);
    cfg_flag_set_free(NULL);
}

Test(set, a_number_is_never_rounded)
{
    struct cfg_flag_set *set = set_of("{'n':{'definition':{'state':'ENABLED','variants':{'a':10,'b':0.5},"
                                      "'defaultVariant':'a','targeting':{'if':[{'var':'half'},'b']}}}}",
                                      NULL);
    struct cfg_flag_member half = cfg_flag_member_bool("half", true);
    struct cfg_flag_context c = {.attributes = &half, .n_attributes = 1};
    struct cfg_flag_result r = cfg_flag_set_eval(set, "n", 1, CFG_FLAG_INTEGER, NULL);
    cr_assert(r.error == NULL && r.value->valuedouble == 10);
    r = cfg_flag_set_eval(set, "n", 1, CFG_FLAG_INTEGER, &c);
    cr_assert(r.value == NULL && r.variant == NULL && r.reason == CFG_REASON_ERROR);
    cr_assert_str_eq(r.error, "TYPE_MISMATCH");
    r = cfg_flag_set_eval(set, "n", 1, CFG_FLAG_NUMBER, &c);
    cr_assert(r.error == NULL && r.value->valuedouble == 0.5);
    cfg_flag_set_free(set);
}

Test(set, metadata_of_the_flag_lies_over_that_of_the_set)
{
    cJSON *doc = json_of("{'metadata':{'a':1,'b':'set'},'flags':{'own':{'state':'ENABLED','variants':{'v':1},"
                         "'metadata':{'b':'flag','c':true}},'none':{'state':'ENABLED','variants':{'v':1}}}}");
    cJSON *merged = json_of("{'b':'flag','c':true,'a':1}");
    struct cfg_flag_set *set = NULL;
    cr_assert_eq(cfg_flag_set_compile_flagd(&set, doc, false, NULL), 0);
    cr_assert(cfg_json_equal(cfg_flag_set_eval(set, "own", 3, CFG_FLAG_NUMBER, NULL).metadata, merged));
    cr_assert(cfg_json_equal(cfg_flag_set_eval(set, "none", 4, CFG_FLAG_NUMBER, NULL).metadata,
                             cfg_json_get(doc, "metadata")));
    cr_assert(cfg_json_equal(cfg_flag_set_eval(set, "gone", 4, CFG_FLAG_NUMBER, NULL).metadata,
                             cfg_json_get(doc, "metadata")));
    cfg_flag_set_free(set);
    cJSON_Delete(doc);
    cJSON_Delete(merged);
}

Test(set, a_broken_flag_may_be_kept)
{
    cJSON *doc = json_of("{'flags':{'bad':{'state':'ENABLED','variants':{'v':1},'targeting':{'nope':1}},"
                         "'good':{'state':'ENABLED','variants':{'v':1},'defaultVariant':'v'}}}");
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_flag_set_compile_flagd(&set, doc, false, &err), CFG_E_UNSUPPORTED);
    cr_assert_str_eq(err.path, "bad.definition.targeting.nope");
    cr_assert_null(set);
    cr_assert_eq(cfg_flag_set_compile_flagd(&set, doc, true, &err), 0);
    expect(set, "bad", "{}", "PARSE_ERROR");
    expect(set, "good", "{}", "v STATIC");
    cfg_flag_set_free(set);
    cJSON_Delete(doc);
}

Test(set, a_document_must_be_one)
{
    static const char *const texts[] = {"{}", "[]", "{'flags':[]}", "{'flags':{},'$evaluators':[]}",
                                        "{'flags':{},'metadata':1}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cJSON *doc = json_of(texts[i]);
        struct cfg_flag_set *set = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_flag_set_compile_flagd(&set, doc, true, &err), CFG_E_VALUE, "%s", texts[i]);
        cr_assert(err.path[0]);
        cJSON_Delete(doc);
    }
}

/* --- evaluators --- */

Test(set, evaluators_are_shared_and_nest)
{
    struct cfg_flag_set *set = set_of(
        "{'a':" FLAG("'targeting':{'if':[{'$ref':'staff'},'on','off']}") "},"
                                                                         "'b':" FLAG("'targeting':{'if':[{'!':{'$ref':'"
                                                                                     "staff'}},'on','off']}") "}}",
        "{'corp':{'ends_with':[{'var':'email'},'@corp.com']},"
        "'staff':{'and':[{'$ref':'corp'},{'!=':[{'var':'role'},'guest']}]}}");
    expect(set, "a", "{'email':'x@corp.com'}", "on TARGETING_MATCH");
    expect(set, "a", "{'email':'x@corp.com','role':'guest'}", "off TARGETING_MATCH");
    expect(set, "b", "{'email':'x@home.com'}", "on TARGETING_MATCH");
    cfg_flag_set_free(set);
}

static void set_refused(const char *flags, const char *evaluators, int code, const char *path, const char *text)
{
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(set_compile(&set, flags, evaluators, &err), code, "%s: %s", flags, err.text);
    cr_assert_null(set);
    cr_assert_str_eq(err.path, path);
    cr_assert(strstr(err.text, text), "%s", err.text);
}

Test(set, evaluators_must_not_lead_back)
{
    set_refused("{'a':" FLAG("'targeting':{'if':[{'$ref':'x'},'on']}") "}}",
                "{'x':{'!':{'$ref':'y'}},'y':{'!':{'$ref':'x'}}}", CFG_E_VALUE,
                "a.definition.targeting.if[0].$ref.!.$ref.!.$ref", "refers to itself");
    set_refused("{}", "{'x':{'$ref':'x'}}", CFG_E_VALUE, "$evaluators.$ref.$ref", "refers to itself");
    set_refused("{}", "{'x':{'wat':1}}", CFG_E_UNSUPPORTED, "$evaluators.$ref.wat", "wat");
}

/* Each evaluator doubles the one before: 2^44 operators, were there no limit on work. */
Test(set, work_is_bounded)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 16);
    cfg_buf_puts(&text, "{'e0':{'==':[{'var':'x'},1]}");
    for (int i = 1; i < 45; i++)
        cfg_buf_printf(&text, ",'e%d':{'or':[{'$ref':'e%d'},{'$ref':'e%d'}]}", i, i - 1, i - 1);
    cfg_buf_puts(&text, "}");
    struct cfg_flag_set *set = set_of("{'a':" FLAG("'targeting':{'if':[{'$ref':'e44'},'on','off']}") "}}", text.data);
    expect(set, "a", "{'x':1}", "on TARGETING_MATCH");
    expect(set, "a", "{'x':2}", "GENERAL");
    cfg_flag_set_free(set);
    cfg_buf_finish(&text);
}

/* {"a": 50,000 members, "l": 50,000 numbers, "s" and "t": texts of 50,000 bytes that differ in the last, "p": "a.x"} */
static char *large_context(void)
{
    enum { N = 50000 };
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 22);
    cfg_buf_puts(&out, "{'p':'a.x','a':{");
    for (int i = 0; i < N; i++)
        cfg_buf_printf(&out, "%s'k%d':1", i ? "," : "", i);
    cfg_buf_puts(&out, "},'l':[");
    for (int i = 0; i < N; i++)
        cfg_buf_puts(&out, i ? ",1" : "1");
    for (int k = 0; k < 2; k++) {
        cfg_buf_puts(&out, k ? "','t':'" : "],'s':'");
        for (int i = 0; i < N; i++)
            cfg_buf_putc(&out, 'a');
        cfg_buf_puts(&out, k ? "b'}" : "a");
    }
    char *text = cfg_buf_steal(&out);
    cr_assert_not_null(text);
    return text;
}

/* A few hundred operators are quick work, unless the context makes each look through 50,000 things. */
Test(set, what_the_context_makes_operators_look_at_is_work)
{
    static const char *const rules[] = {"{'==':[{'var':'a.x'},1]}", "{'==':[{'var':[{'var':'p'}]},1]}",
                                        "{'===':[{'var':'s'},{'var':'t'}]}", "{'<':[{'max':{'var':'l'}},0]}",
                                        "{'starts_with':[{'var':'s'},'b']}"};
    char *context = large_context();
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct cfg_buf flags;
        cfg_buf_init(&flags, 1 << 16);
        cfg_buf_puts(&flags, "{'a':{'definition':{'state':'ENABLED','variants':{'on':true,'off':false},"
                             "'defaultVariant':'off','targeting':{'if':[{'or':[");
        for (int k = 0; k < 300; k++)
            cfg_buf_printf(&flags, "%s%s", k ? "," : "", rules[i]);
        cfg_buf_puts(&flags, "]},'on','off']}}}}");
        struct cfg_flag_set *set = set_of(flags.data, NULL);
        expect(set, "a", "{'p':'a.x','a':{'y':1},'l':[1],'s':'aa','t':'ab'}", "off TARGETING_MATCH");
        expect(set, "a", context, "GENERAL");
        cfg_flag_set_free(set);
        cfg_buf_finish(&flags);
    }
    free(context);
}

Test(set, scratch_memory_is_bounded)
{
    struct cfg_flag_set *set = set_of(
        "{'a':" FLAG("'targeting':{'if':[{'==':[{'cat':[{'var':'x'},{'var':'x'}]},'abab']},'on','off']}") "}}", NULL);
    static char large[40000];
    memset(large, 'a', sizeof large - 1);
    struct cfg_flag_member x = cfg_flag_member_str("x", "ab");
    struct cfg_flag_context c = {.attributes = &x, .n_attributes = 1};
    struct cfg_flag_result r = cfg_flag_set_eval(set, "a", 1, CFG_FLAG_BOOL, &c);
    cr_assert_str_eq(answer_of(&r), "on TARGETING_MATCH");
    x = cfg_flag_member_str("x", large);
    r = cfg_flag_set_eval(set, "a", 1, CFG_FLAG_BOOL, &c);
    cr_assert_str_eq(answer_of(&r), "GENERAL");
    static _Alignas(16) char scratch[128 * 1024];
    c.scratch = scratch;
    c.scratch_size = sizeof scratch;
    r = cfg_flag_set_eval(set, "a", 1, CFG_FLAG_BOOL, &c);
    cr_assert_str_eq(answer_of(&r), "off TARGETING_MATCH");
    cfg_flag_set_free(set);
}

/* --- prerequisites --- */

Test(set, prerequisites_must_hold)
{
    struct cfg_flag_set *set = set_of(
        "{'base':" FLAG(
            "'targeting':{'if':[{'var':'beta'},'on','off']}") "},"
                                                              "'killed':{'enabled':false,'off_variant':'on','"
                                                              "definition':{'state':'ENABLED','variants':{'on':true,'"
                                                              "off':false}}},"
                                                              "'one':{'prerequisites':{'base':'on'},'off_variant':'off'"
                                                              ",'definition':{'state':'ENABLED','variants':{'on':true,'"
                                                              "off':false},'defaultVariant':'on'}},"
                                                              "'two':{'prerequisites':{'one':['on','off'],'base':['off'"
                                                              ",'on']},'definition':{'state':'ENABLED','variants':{'on'"
                                                              ":true},'defaultVariant':'on'}},"
                                                              "'three':{'prerequisites':{'killed':'on'},'definition':{'"
                                                              "state':'ENABLED','variants':{'on':true},'defaultVariant'"
                                                              ":'on'}}}",
        NULL);
    expect(set, "one", "{'beta':true}", "on STATIC");
    expect(set, "one", "{}", "off DISABLED");
    expect(set, "two", "{'beta':true}", "on STATIC");
    expect(set, "two", "{}", "- DISABLED"); /* `one` is off there, which is not the same as serving "off" */
    expect(set, "three", "{}", "- DISABLED");
    cfg_flag_set_free(set);
}

static void collect(void *user, const struct cfg_flag_program *p)
{
    char *names = user;
    size_t at = strlen(names);
    (void)snprintf(names + at, 64 - at, "%s", cfg_flag_name_of(p));
}

#define REQUIRES(flag, variant) \
    "{'prerequisites':{'" flag "':'" variant "'},'definition':{'state':'ENABLED','variants':{'on':true}}}"

Test(set, dependents_are_listed)
{
    struct cfg_flag_set *set = set_of(
        "{'a':" ON ",'b':" REQUIRES("a", "on") ",'c':" REQUIRES("a", "off") ",'d':" REQUIRES("b", "on") "}", NULL);
    char names[64] = "";
    cfg_flag_set_dependents(set, "a", collect, names);
    cr_assert_str_eq(names, "bc");
    cfg_flag_set_free(set);
}

Test(set, prerequisites_are_checked)
{
    set_refused("{'a':" REQUIRES("gone", "on") "}", NULL, CFG_E_VALUE, "a.prerequisites", "\"gone\" does not exist");
    set_refused("{'a':" REQUIRES("b", "blue") ",'b':" ON "}", NULL, CFG_E_VALUE, "a.prerequisites",
                "no variant \"blue\"");
    set_refused("{'a':" REQUIRES("a", "on") "}", NULL, CFG_E_VALUE, "a.prerequisites", "back to itself");
    set_refused("{'a':" REQUIRES("b", "on") ",'b':" REQUIRES("c", "on") ",'c':" REQUIRES("a", "on") "}", NULL,
                CFG_E_VALUE, "a.prerequisites", "a requires b: b requires c: c requires a");
    set_refused("{'a':{'prerequisites':[],'definition':{'state':'ENABLED','variants':{'on':true}}}}", NULL, CFG_E_VALUE,
                "a.prerequisites", "must be an object");
    set_refused("{'a':{'prerequisites':{'b':[]},'definition':{'state':'ENABLED','variants':{'on':true}}}}", NULL,
                CFG_E_VALUE, "a.prerequisites", "variant");
}

Test(set, chains_of_prerequisites_are_bounded)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "{'f0':" ON);
    for (int i = 1; i < 100; i++)
        cfg_buf_printf(&text,
                       ",'f%d':{'prerequisites':{'f%d':'on'},'definition':{'state':'ENABLED','variants':{'on':true},'"
                       "defaultVariant':'on'}}",
                       i, i - 1);
    cfg_buf_puts(&text, "}");
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(set_compile(&set, text.data, NULL, &err), CFG_E_LIMIT);
    cr_assert_str_eq(err.path, "f32.prerequisites");
    cfg_buf_finish(&text);
}

/* One flag alone cannot know what others answer. */
Test(set, a_flag_alone_answers_general_for_prerequisites)
{
    cJSON *envelope = json_of(REQUIRES("other", "on"));
    struct cfg_flag_program *p = NULL;
    cr_assert_eq(cfg_flag_compile(&p, envelope, NULL), 0);
    cr_assert_str_eq(cfg_flag_eval(p, CFG_FLAG_BOOL).error, "GENERAL");
    cfg_flag_free(p);
    cJSON_Delete(envelope);
}

/* --- groups --- */

#define SHARE(rest) \
    "{'group':{'name':'g'," rest "},'definition':{'state':'ENABLED','variants':{'on':true},'defaultVariant':'on'}}"

Test(set, shares_of_a_group_must_not_overlap)
{
    struct cfg_flag_set *set = set_of("{'a':" SHARE("'to':5000") ",'b':" SHARE("'from':5000,'to':10000") "}", NULL);
    cfg_flag_set_free(set);
    set_refused("{'a':" SHARE("'to':5001") ",'b':" SHARE("'from':5000,'to':10000") "}", NULL, CFG_E_VALUE, "b.group",
                "overlaps");
    set_refused("{'a':" SHARE("'to':5000") ",'b':" SHARE("'from':5000,'to':10000,'by':'user.id'") "}", NULL,
                CFG_E_VALUE, "b.group", "another attribute");
    set_refused("{'a':" SHARE("'to':10001") "}", NULL, CFG_E_VALUE, "a.group", "10000");
    set_refused("{'a':" SHARE("'from':5,'to':4") "}", NULL, CFG_E_VALUE, "a.group", "10000");
    set_refused("{'a':" SHARE("'from':5") "}", NULL, CFG_E_VALUE, "a.group", "10000");
    set_refused("{'a':" SHARE("'to':5,'by':7") "}", NULL, CFG_E_VALUE, "a.group", "attribute");
    set_refused("{'a':{'group':'g','definition':{'state':'ENABLED','variants':{'on':true}}}}", NULL, CFG_E_VALUE,
                "a.group", "name");
    set_refused("{'a':{'holdouts':{},'definition':{'state':'ENABLED','variants':{'on':true}}}}", NULL, CFG_E_VALUE,
                "a.holdouts", "array");
    set_refused(
        "{'a':{'holdouts':[{'name':'h','from':1,'to':2}],'definition':{'state':'ENABLED','variants':{'on':true}}}}",
        NULL, CFG_E_VALUE, "a.holdouts", "begin at 0");
}

Test(set, whom_nobody_can_name_takes_part_in_nothing)
{
    struct cfg_flag_set *set =
        set_of("{'a':" SHARE("'to':10000") ",'h':{'holdouts':[{'name':'h','to':0}],'definition':{'state':'ENABLED','"
                                           "variants':{'on':true},'defaultVariant':'on'}}}",
               NULL);
    expect(set, "a", "{'targetingKey':'x'}", "on STATIC");
    expect(set, "a", "{}", "- DISABLED");
    expect(set, "a", "{'targetingKey':''}", "- DISABLED");
    expect(set, "h", "{'targetingKey':'x'}", "on STATIC");
    expect(set, "h", "{'targetingKey':{}}", "- DISABLED");
    cfg_flag_set_free(set);
}

/* --- explaining --- */

static void write_note(void *user, const struct cfg_flag_note *n)
{
    char *notes = user;
    size_t at = strlen(notes);
    (void)snprintf(notes + at, 1000 - at, "%d:%.*s:%u:%d ", n->kind, (int)n->name.len, n->name.ptr ? n->name.ptr : "",
                   n->index, n->holds);
}

Test(set, explains_itself)
{
    struct cfg_flag_set *set =
        set_of("{'base':" ON ",'x':{'prerequisites':{'base':'on'},'group':{'name':'g','to':10000},"
               "'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'targeting':"
               "{'if':[{'var':'no'},'off',{'fractional':[['on',1]]}]}}},"
               "'k':{'enabled':false,'definition':{'state':'ENABLED','variants':{'on':true}}}}",
               NULL);
    char notes[1000] = "";
    struct cfg_flag_explain explain = {write_note, notes};
    struct cfg_flag_member key = cfg_flag_member_str("targetingKey", "u");
    struct cfg_flag_context c = {.attributes = &key, .n_attributes = 1, .explain = &explain};
    struct cfg_flag_result r = cfg_flag_set_eval(set, "x", 1, CFG_FLAG_BOOL, &c);
    cr_assert_str_eq(answer_of(&r), "on TARGETING_MATCH");
    cr_assert_str_eq(notes, "2:g:0:1 1:base:0:1 4::1:0 5::0:0 6:on:0:1 ");
    notes[0] = '\0';
    (void)cfg_flag_set_eval(set, "k", 1, CFG_FLAG_BOOL, &c);
    cr_assert_str_eq(notes, "0::0:0 ");
    cfg_flag_set_free(set);
}

/* --- memory --- */

static int fail_at;

static void *failing_malloc(size_t n)
{
    return fail_at > 0 && --fail_at == 0 ? NULL : malloc(n);
}

/* n flags with the same rule of every shape that is shared, but for `differ` in one operand. */
static size_t bytes_of_rules(unsigned n, bool differ)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 22);
    cfg_buf_puts(&text, "{");
    for (unsigned i = 0; i < n; i++)
        cfg_buf_printf(&text,
                       "%s'flag-%04u':{'definition':{'state':'ENABLED','variants':{'on':true,'off':false},"
                       "'defaultVariant':'off','targeting':{'if':[{'in':[{'var':'a'},['x','y']]},'on',"
                       "{'in':[{'var':'b'},['1','2','3','4','5','6','7','8','9']]},'on',"
                       "{'<':[{'var':['age',18]},%u]},'on',{'fractional':[['on',10],['off',90]]}]}}}",
                       i ? "," : "", i, differ ? i : 7);
    cfg_buf_puts(&text, "}");
    struct cfg_flag_set *set = set_of(text.data, NULL);
    size_t bytes = cfg_flag_set_bytes(set);
    cfg_flag_set_free(set);
    cfg_buf_finish(&text);
    return bytes;
}

Test(set, only_a_value_can_be_of_another_type)
{
    struct cfg_flag_set *set = set_of("{'disabled':{'definition':{'state':'DISABLED','variants':{'on':true},"
                                      "'defaultVariant':'on'}},"
                                      "'no-default':{'definition':{'state':'ENABLED','variants':{'on':true}}},"
                                      "'killed':{'enabled':false,'off_variant':'on','definition':{'state':'ENABLED',"
                                      "'variants':{'on':true},'defaultVariant':'on'}},"
                                      "'ruled':{'definition':{'state':'ENABLED','variants':{'on':true},"
                                      "'targeting':{'if':[{'var':'staff'},'on']}}}}",
                                      NULL);
    struct cfg_flag_member staff = cfg_flag_member_bool("staff", true);
    const struct cfg_flag_context who = {.attributes = &staff, .n_attributes = 1};
    const struct {
        const char *flag;
        const struct cfg_flag_context *context;
        const char *answer;
    } rows[] = {{"disabled", NULL, "- DISABLED"},
                {"no-default", NULL, "- DEFAULT"},
                {"killed", NULL, "TYPE_MISMATCH"},
                {"ruled", NULL, "- DEFAULT"},
                {"ruled", &who, "TYPE_MISMATCH"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = rows[i].flag;
        struct cfg_flag_result r = cfg_flag_set_eval(set, name, strlen(name), CFG_FLAG_STRING, rows[i].context);
        cr_expect_str_eq(answer_of(&r), rows[i].answer, "%s", name);
    }
    cfg_flag_set_free(set);
}

Test(set, equal_rules_are_kept_once)
{
    size_t same = bytes_of_rules(3000, false), differ = bytes_of_rules(3000, true);
    cr_assert_lt(same, (size_t)3000 * 420, "%zu bytes", same);
    cr_assert_gt(differ, same + (size_t)3000 * 100, "%zu bytes, %zu when they differ", same, differ);
}

Test(set, a_refused_rule_leaves_the_next_one_whole)
{
    struct cfg_flag_set *set = NULL;
    cJSON *source =
        json_of("{'flags':{'bad':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'on',"
                "'targeting':{'if':[{'and':[{'==':[{'var':'a'},1]},{'nonsense':[1]}]},'on']}},"
                "'good':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'off',"
                "'targeting':{'if':[{'and':[{'==':[{'var':'a'},1]},{'==':[{'var':'b'},2]}]},'on']}}}}");
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_flag_set_compile_flagd(&set, source, true, &err), 0);
    expect(set, "bad", "{'a':1,'b':2}", "PARSE_ERROR");
    expect(set, "good", "{'a':1,'b':2}", "on TARGETING_MATCH");
    expect(set, "good", "{'a':1,'b':3}", "off DEFAULT");
    cfg_flag_set_free(set);
    cJSON_Delete(source);
}

Test(set, survives_a_failed_allocation_anywhere)
{
    cJSON_Hooks hooks = {failing_malloc, free};
    cJSON_InitHooks(&hooks);
    cJSON *flags =
        json_of("{'a':{'off_variant':'off','metadata':{},'group':{'name':'g','to':5,'by':'user.id'},'holdouts':[{'name'"
                ":'h','to':1}],"
                "'prerequisites':{'b':['on']},'definition':{'state':'ENABLED','variants':{'on':'x','off':'y'},'"
                "metadata':{'m':1},"
                "'targeting':{'if':[{'$ref':'e'},{'fractional':[{'cat':['s',{'var':['u.k','d']}]},['on',3],['off']]},"
                "{'in':[{'var':'q'},['a','b','c','d','e','f','g','h','i']]},{'cat':['o','n']}]}}},"
                "'b':{'group':{'name':'g','from':7,'to':8,'by':'user.id'},'definition':{'state':'ENABLED','variants':{'"
                "on':{'k':[1,'t']}}}}}");
    cJSON *evaluators = json_of("{'e':{'==':[{'var':'z'},{'+':[1,2]}]}}"), *metadata = json_of("{'s':'t'}");
    struct cfg_flag_source source = {.flags = flags, .evaluators = evaluators, .metadata = metadata};
    for (int n = 1, rc = CFG_E_NOMEM; rc != 0; n++) {
        for (int keep = 0; keep <= 1; keep++) {
            struct cfg_flag_set *set = NULL;
            source.keep_broken = keep;
            fail_at = n;
            rc = cfg_flag_set_compile(&set, &source, NULL);
            fail_at = 0;
            cr_assert(rc == 0 || (rc == CFG_E_NOMEM && set == NULL), "%d", rc);
            cr_assert(n > 1 || rc != 0);
            cr_assert_lt(n, 1000);
            cfg_flag_set_free(set);
        }
    }
    cJSON_Delete(flags);
    cJSON_Delete(evaluators);
    cJSON_Delete(metadata);
}

Test(set, strict_keeps_what_compiles_and_takes_nothing_loose)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *flags = json_of("{'good':" ON ",'new':" FLAG("'defaultVariant':'on','rollout':1}") ",'wrong':" FLAG(
        "'targeting':{'sem_ver':[1]}}") "}");
    struct cfg_flag_source source = {.flags = flags, .keep_broken = true, .strict = true};
    struct cfg_flag_set *set = NULL;
    cr_assert_eq(cfg_flag_set_compile(&set, &source, &err), 0, "%s", err.text);
    cr_assert_null(cfg_flag_set_eval(set, "good", 4, CFG_FLAG_BOOL, NULL).error);
    cr_assert_str_eq(cfg_flag_set_eval(set, "new", 3, CFG_FLAG_BOOL, NULL).error, "PARSE_ERROR");
    cr_assert_str_eq(cfg_flag_set_eval(set, "wrong", 5, CFG_FLAG_BOOL, NULL).error, "PARSE_ERROR");
    cr_assert_eq(cfg_flag_variant_count(cfg_flag_set_find(set, "wrong", 5)), 0);
    cfg_flag_set_free(set);
    cJSON_Delete(flags);
}
