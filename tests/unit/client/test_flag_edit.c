/* Flags being edited: conditions, rules, splits, shares, and what people are told of it. */
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_expr.h"
#include "flags/flag.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AB  "{'enabled':true,'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'off'}}"
#define ABC "{'enabled':true,'definition':{'state':'ENABLED','variants':{'a':1,'b':2,'c':3},'defaultVariant':'a'}}"

/* JSON with ' for ". */
static cJSON *json(const char *text)
{
    char copy[4096];
    cJSON *v = NULL;
    struct cfg_error err;
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(copy), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

static void same(const cJSON *v, const char *wanted)
{
    cJSON *w = json(wanted);
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    cfg_json_print(&text, v);
    cr_expect(cfg_json_equal(v, w), "%s is not %s", text.data, wanted);
    cfg_buf_finish(&text);
    cJSON_Delete(w);
}

static const cJSON *targeting(const cJSON *envelope)
{
    return cfg_json_get(cfg_json_get(envelope, "definition"), "targeting");
}

/* --- conditions --- */

/* text → rule → text, and the engine takes the rule. */
static void means(const char *text, const char *rule, const char *back)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    cr_assert_eq(flag_expr_parse(&v, text, &err), 0, "%s: %s", text, err.text);
    same(v, rule);
    cfg_buf_init(&out, 4096);
    flag_expr_print(&out, v);
    cr_expect_str_eq(out.data, back ? back : text);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
}

Test(flag_expr, conditions)
{
    means("email ends_with \"@example.com\"", "{'ends_with':[{'var':'email'},'@example.com']}", NULL);
    means("user.id = ann", "{'==':[{'var':'user.id'},'ann']}", "user.id == \"ann\"");
    means("age >= 18 and age < 65.5", "{'and':[{'>=':[{'var':'age'},18]},{'<':[{'var':'age'},65.5]}]}", NULL);
    means("plan in [pro, 'big team', 3]", "{'in':[{'var':'plan'},['pro','big team',3]]}",
          "plan in [\"pro\", \"big team\", 3]");
    means("plan not in [x]", "{'!':[{'in':[{'var':'plan'},['x']]}]}", "not plan in [\"x\"]");
    means("tags contains gpu", "{'in':['gpu',{'var':'tags'}]}", "tags contains \"gpu\"");
    means("beta exists", "{'!=':[{'var':'beta'},null]}", NULL);
    means("beta not exists", "{'==':[{'var':'beta'},null]}", NULL);
    means("not beta != 3", "{'!':[{'!=':[{'var':'beta'},3]}]}", NULL);
    means("app sem_ver >= 2.1.0", "{'sem_ver':[{'var':'app'},'>=','2.1.0']}", NULL);
    means("app sem_ver ^1", "{'sem_ver':[{'var':'app'},'^','1']}", "app sem_ver ^ 1");
    means("segment staff", "{'$ref':'staff'}", NULL);
    means("everyone", "true", NULL);
    means("ok == true and none == null", "{'and':[{'==':[{'var':'ok'},true]},{'==':[{'var':'none'},null]}]}",
          "ok == true and none not exists");
    means("now >= 2026-12-01T00:00:00Z", "{'>=':[{'var':'$flagd.timestamp'},1796083200]}", NULL);
    means("now < 2026-12-01T01:30:00+01:30", "{'<':[{'var':'$flagd.timestamp'},1796083200]}",
          "now < 2026-12-01T00:00:00Z");
    means("now >= \"2026-12-01T00:00:00Z\"", "{'>=':[{'var':'$flagd.timestamp'},1796083200]}",
          "now >= 2026-12-01T00:00:00Z");
    means("a = 1 or b = 2 and c = 3 or d = 4",
          "{'or':[{'==':[{'var':'a'},1]},{'and':[{'==':[{'var':'b'},2]},{'==':[{'var':'c'},3]}]},{'==':[{'var':'d'},4]}"
          "]}",
          "a == 1 or b == 2 and c == 3 or d == 4");
    means("(a = 1 or b = 2) and not (c = 3 or d = 4)",
          "{'and':[{'or':[{'==':[{'var':'a'},1]},{'==':[{'var':'b'},2]}]},{'!':[{'or':[{'==':[{'var':'c'},3]},{'==':[{'"
          "var':'d'},4]}]}]}]}",
          "(a == 1 or b == 2) and not (c == 3 or d == 4)");
}

Test(flag_expr, what_has_no_words_is_json)
{
    static const char *const rules[] = {"{'<':[1,{'var':'x'},3]}",
                                        "{'==':[{'var':['x',1]},2]}",
                                        "{'==':[{'var':'a b'},2]}",
                                        "{'fractional':[['on',1]]}",
                                        "{'in':[{'var':'x'},[{'var':'y'}]]}",
                                        "'text'",
                                        "{}"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        cJSON *v = json(rules[i]), *again = NULL;
        struct cfg_buf out;
        cfg_buf_init(&out, 4096);
        flag_expr_print(&out, v);
        cr_assert_eq(cfg_json_parse(&again, cfg_buf_slice(&out), 0, NULL), 0, "%s", out.data);
        cr_expect(cfg_json_equal(v, again), "%s", out.data);
        cfg_buf_finish(&out);
        cJSON_Delete(v);
        cJSON_Delete(again);
    }
}

Test(flag_expr, refusals_say_where_and_what_is_near)
{
    static const struct {
        const char *text, *says, *hint;
    } cases[] = {
        {"", "column 1", ""},
        {"email endswith x", "column 7: unknown operator 'endswith'", "ends_with"},
        {"email", "an operator is missing", "email == true"},
        {"plan = pro and (beta or x = 1)", "column 22: an operator is missing", "beta == true, or beta exists"},
        {"(beta)", "column 6: an operator is missing", "beta == true"},
        {"email ==", "a value is missing", ""},
        {"email == \"x", "no closing quote", ""},
        {"a = 1 b = 2", "column 7", ""},
        {"(a = 1", "expected )", ""},
        {"a in b", "takes a list", ""},
        {"a in [b c]", "expected , or ]", ""},
        {"app sem_ver 2.0", "sem_ver takes", ""},
        {"app sem_ver >= abc", "column 16: this is no version", "2.1"},
        {"now >= tomorrow", "column 8: this is no time", "2026-12-01T00:00:00Z"},
        {"now >= 2026-13-01T00:00:00Z", "no time", "UTC"},
        {"now < '2026-12-01'", "no time", "UTC"},
        {"now < '2026-02-30T00:00:00Z'", "no time", "UTC"},
        {"now == true", "no time", "UTC"},
        {"segment", "which segment", ""},
        {"and", "operator", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *v = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(flag_expr_parse(&v, cases[i].text, &err), CFG_E_VALUE, "%s", cases[i].text);
        cr_expect(strstr(err.text, cases[i].says), "%s: %s", cases[i].text, err.text);
        cr_expect(strstr(err.hint, cases[i].hint), "%s: %s", cases[i].text, err.hint);
    }
    char deep[401];
    memset(deep, '(', 400);
    deep[400] = '\0';
    cJSON *v = NULL;
    struct cfg_error err;
    cr_assert_eq(flag_expr_parse(&v, deep, &err), CFG_E_VALUE);
    cr_assert(strstr(err.text, "too deeply"));
}

/* --- rules --- */

static void add(cJSON *e, const char *condition, const char *outcome, size_t before)
{
    struct cfg_error err;
    cr_assert_eq(flag_rule_add(e, json(condition), json(outcome), before, &err), 0, "%s", err.text);
}

Test(flag_edit, rules_keep_their_order_and_the_split)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *e = json(AB);
    cr_assert_eq(flag_rules_set_else(e, json("{'fractional':[['on',10],['off',90]]}"), &err), 0);
    same(targeting(e), "{'fractional':[['on',10],['off',90]]}");
    add(e, "{'var':'a'}", "'on'", FLAG_RULE_LAST);
    add(e, "{'var':'b'}", "'off'", FLAG_RULE_LAST);
    add(e, "{'var':'c'}", "'on'", 2);
    same(targeting(e),
         "{'if':[{'var':'a'},'on',{'var':'c'},'on',{'var':'b'},'off',{'fractional':[['on',10],['off',90]]}]}");
    cr_assert_eq(flag_rules_count(e), 3);
    same(flag_rule_outcome(e, 3), "'off'");
    same(flag_rule_outcome(e, 0), "{'fractional':[['on',10],['off',90]]}");
    cr_assert_eq(flag_rule_remove(e, 2, &err), 0);
    cr_assert_eq(flag_rule_remove(e, 3, &err), CFG_E_VALUE);
    cr_assert_eq(flag_rule_add(e, json("true"), json("'on'"), 3, &err), CFG_E_VALUE);
    same(targeting(e), "{'if':[{'var':'a'},'on',{'var':'b'},'off',{'fractional':[['on',10],['off',90]]}]}");
    cr_assert_eq(flag_rules_clear(e, &err), 0);
    same(targeting(e), "{'fractional':[['on',10],['off',90]]}");
    cr_assert_eq(flag_rules_set_else(e, NULL, &err), 0);
    cr_assert_null(targeting(e));
    cr_assert_eq(flag_rules_set_else(e, json("'on'"), &err), 0);
    same(targeting(e), "{'if':['on']}");
    cJSON_Delete(e);
}

Test(flag_edit, rules_of_other_forms_are_left_whole)
{
    cJSON *e = json("{'definition':{'variants':{'on':true},'targeting':{'and':[true,'on']}}}");
    cr_assert_eq(flag_rules_count(e), 0);
    add(e, "{'var':'a'}", "'on'", FLAG_RULE_LAST);
    same(targeting(e), "{'if':[{'var':'a'},'on',{'and':[true,'on']}]}");
    cJSON_Delete(e);
    e = json("{'definition':{'variants':{'on':true},'targeting':{}}}");
    add(e, "{'var':'a'}", "'on'", FLAG_RULE_LAST);
    same(targeting(e), "{'if':[{'var':'a'},'on']}");
    cJSON_Delete(e);
}

/* --- splits --- */

/* Shares in words, laid over what is there; gives what was said about moves. */
static const char *split(cJSON *e, const char *by, const char *shares, int wanted)
{
    static char said[4096];
    char copy[256], *rest = copy;
    struct flag_split s = {.n = 0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    int rc = 0;
    const cJSON *present = flag_rule_outcome(e, 0);
    (void)snprintf(copy, sizeof copy, "%s", shares);
    for (char *word; rc == 0 && (word = strsep(&rest, " ")) != NULL;)
        rc = flag_split_add(&s, word, &err);
    rc = rc == 0 ? flag_split_complete(&s, e, present, &err) : rc;
    cr_expect_eq(rc, wanted, "%s: %d %s", shares, rc, err.text);
    if (rc != 0)
        return "";
    cfg_buf_init(&out, sizeof said);
    cJSON *outcome = flag_split_outcome(&s, present, by, NULL);
    flag_split_describe_moves(&out, present, outcome, "off");
    (void)snprintf(said, sizeof said, "%s", out.data);
    cfg_buf_finish(&out);
    cr_assert_eq(flag_rules_set_else(e, outcome, &err), 0);
    return said;
}

#define SPLIT(on, off) \
    "{'fractional':[{'cat':[{'var':'$flagd.flagKey'},{'var':'user.id'}]},['on'," on "],['off'," off "]]}"
#define GUARDED(on, off) "{'if':[{'!=':[{'var':'user.id'},null]}," SPLIT(on, off) "]}"

static void described(const cJSON *e, const char *wanted)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    flag_split_describe_unnamed(&out, e, flag_rule_outcome(e, 0));
    cr_expect_str_eq(out.data ? out.data : "", wanted);
    cfg_buf_clear(&out);
    flag_describe_rules(&out, e, false);
    cr_expect(strstr(out.data, "serve on 10 %, off 90 % by "), "%s", out.data);
    cfg_buf_finish(&out);
}

/* The guard is part of the split, not a rule; a split that has none keeps dealing as it did. */
Test(flag_split, whom_the_context_does_not_name)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *e = json(AB);
    split(e, "user.id", "on=10", 0);
    cr_expect_eq(flag_rules_count(e), 0);
    described(e, "units without user.id get off, the default variant\n");
    cr_assert_eq(flag_default_put(e, "on", &err), 0);
    described(e, "units without user.id get on, the default variant; --default off gives them off\n");
    add(e, "{'!=':[{'var':'user.id'},null]}", SPLIT("50", "50"), FLAG_RULE_LAST); /* looks like a guard, is a rule */
    cr_expect_eq(flag_rules_count(e), 1);
    cr_assert_eq(flag_rules_set_else(e, NULL, &err), 0);
    cr_expect_eq(flag_rules_count(e), 1);
    cr_assert_eq(flag_rules_clear(e, &err), 0);
    cr_assert_eq(flag_rules_set_else(e, json(SPLIT("1", "9")), &err), 0);
    split(e, NULL, "on=10", 0);
    same(targeting(e), SPLIT("10", "90"));
    described(e, "units without user.id are all in one bucket; with --by user.id again they get the default variant\n");
    split(e, "user.id", "on=10", 0);
    same(targeting(e), "{'if':[" GUARDED("10", "90") "]}");
    split(e, "targetingKey", "on=10", 0);
    same(targeting(e), "{'fractional':[['on',10],['off',90]]}");
    described(e, "units without a targeting key get on, the default variant (over OFREP and in workers "
                 "TARGETING_KEY_MISSING and the caller's default); --default off gives them off\n");
    cJSON_Delete(e);
}

Test(flag_split, raising_moves_nobody_out)
{
    cJSON *e = json(AB);
    cr_expect_str_eq(split(e, "user.id", "on=10 off=90", 0), "moves 10 % of the units from off to on\n");
    same(targeting(e), "{'if':[" GUARDED("10", "90") "]}");
    cr_expect_str_eq(split(e, NULL, "off=75 on=25", 0),
                     "raising on from 10 % to 25 % moves nobody out\nmoves 15 % of the units from off to on\n");
    same(targeting(e), "{'if':[" GUARDED("25", "75") "]}");
    cr_expect_str_eq(split(e, NULL, "on=25%", 0), "moves nobody\n");
    cr_expect(strstr(split(e, "targetingKey", "on=30%", 0), "dealt anew"));
    same(targeting(e), "{'fractional':[['on',30],['off',70]]}");
    split(e, NULL, "on=12.5", 0);
    same(targeting(e), "{'fractional':[['on',125],['off',875]]}");
    cJSON_Delete(e);
}

Test(flag_split, the_middle_shifts_those_behind_it)
{
    cJSON *e = json(ABC);
    split(e, NULL, "a=10 b=10 c=80", 0);
    const char *said = split(e, NULL, "a=20 b=20 c=60", 0);
    cr_expect(strstr(said, "raising a from 10 % to 20 % moves nobody out"), "%s", said);
    cr_expect(strstr(said, "raising b from 10 % to 20 % moves some"), "%s", said);
    cr_expect(strstr(said, "moves 10 % of the units from b to a, 20 % of the units from c to b"), "%s", said);
    cJSON_Delete(e);
}

Test(flag_split, refusals)
{
    static const struct {
        const char *shares;
        int code;
    } cases[] = {{"on", CFG_E_INVALID},
                 {"on=x", CFG_E_INVALID},
                 {"on=-1", CFG_E_INVALID},
                 {"on=10x", CFG_E_INVALID},
                 {"on=1 on=2", CFG_E_INVALID},
                 {"onn=10 off=90", CFG_E_VALUE},
                 {"on=101", CFG_E_INVALID},
                 {"on=110%", CFG_E_INVALID},
                 {"on=60% off=60%", CFG_E_INVALID},
                 {"on=10 off=80%", CFG_E_INVALID},
                 {"on=33.3% off=66.7%", 0},
                 {"on=60 off=60", 0},
                 {"on=100%", 0},
                 {"on=0 off=0", CFG_E_VALUE},
                 {"on=1.2345 off=1", CFG_E_INVALID},
                 {"on=2147483647 off=1", CFG_E_VALUE},
                 {"on=1e400 off=1", CFG_E_INVALID},
                 {"=1", CFG_E_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *e = json(AB);
        (void)split(e, NULL, cases[i].shares, cases[i].code);
        cJSON_Delete(e);
    }
}

/* --- groups, holdouts, prerequisites, overrides --- */

#define SPACE                                                                                                        \
    "{'x':{'group':{'name':'g','from':0,'to':3000,'by':'user.id'}},'y':{'group':{'name':'g','from':5000,'to':6000,'" \
    "by':'user.id'}},'self':" AB "}"

Test(flag_share, shares_of_a_group_never_overlap)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *space = json(SPACE), *e = json(AB);
    cr_assert_eq(flag_join_group(e, "self", "g=20%", NULL, space, &err), 0, "%s", err.text);
    same(cfg_json_get(e, "group"), "{'name':'g','from':3000,'to':5000,'by':'user.id'}");
    cr_assert_eq(flag_join_group(e, "self", "g=5", NULL, space, &err), 0); /* stays where it is */
    same(cfg_json_get(e, "group"), "{'name':'g','from':3000,'to':3500,'by':'user.id'}");
    cr_assert_eq(flag_join_group(e, "self", "g=40%", NULL, space, &err), 0); /* only behind y */
    same(cfg_json_get(e, "group"), "{'name':'g','from':6000,'to':10000,'by':'user.id'}");
    cr_assert_eq(flag_join_group(e, "self", "g=41%", NULL, space, &err), CFG_E_VALUE);
    cr_assert(strstr(err.text, "60 % is free") && strstr(err.hint, "x 30 %, y 10 %"), "%s %s", err.text, err.hint);
    cr_assert_eq(flag_join_group(e, "self", "g=1%", "email", space, &err), CFG_E_VALUE);
    cr_assert_eq(flag_join_group(e, "self", "g=0%", NULL, space, &err), CFG_E_INVALID);
    cr_assert_eq(flag_join_group(e, "self", "g=100.5%", NULL, space, &err), CFG_E_INVALID);
    cr_assert_eq(flag_join_group(e, "self", "g=0.001%", NULL, space, &err), CFG_E_INVALID);
    cr_assert_eq(flag_join_group(e, "self", "new=100%", NULL, space, &err), 0);
    same(cfg_json_get(e, "group"), "{'name':'new','from':0,'to':10000}");
    cJSON_Delete(e);
    cJSON_Delete(space);
}

Test(flag_share, holdouts)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *e = json(AB);
    cr_assert_eq(flag_hold_out(e, "q4=5%", "user.id", &err), 0);
    cr_assert_eq(flag_hold_out(e, "q5=1%", NULL, &err), 0);
    cr_assert_eq(flag_hold_out(e, "q4=6%", NULL, &err), 0);
    same(cfg_json_get(e, "holdouts"), "[{'name':'q4','to':600,'by':'user.id'},{'name':'q5','to':100}]");
    cr_assert_eq(flag_unhold(e, "q9", &err), CFG_E_VALUE);
    cr_assert_eq(flag_unhold(e, "q4", &err), 0);
    cr_assert_eq(flag_unhold(e, "q5", &err), 0);
    cr_assert_null(cfg_json_get(e, "holdouts"));
    cJSON_Delete(e);
}

Test(flag_edit, prerequisites_and_overrides)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *space = json(SPACE), *e = json(AB);
    cr_assert_eq(flag_require(e, "self=on", space, &err), 0);
    cr_assert_eq(flag_require(e, "other=a,b", NULL, &err), 0);
    same(cfg_json_get(e, "prerequisites"), "{'self':'on','other':['a','b']}");
    cr_assert_eq(flag_require(e, "sefl=on", space, &err), CFG_E_VALUE);
    cr_assert(strstr(err.hint, "self"), "%s", err.hint);
    cr_assert_eq(flag_require(e, "nope=on", space, &err), CFG_E_VALUE);
    cr_assert(strstr(err.hint, "it has x, y, self"), "%s", err.hint);
    cr_assert_eq(flag_require(e, "self=onn", space, &err), CFG_E_VALUE);
    cr_assert_eq(flag_require(e, "self=", space, &err), CFG_E_INVALID);
    cr_assert_eq(flag_unrequire(e, "slef", &err), CFG_E_VALUE);
    cr_assert_eq(flag_unrequire(e, "self", &err), 0);
    cr_assert_eq(flag_unrequire(e, "other", &err), 0);
    cr_assert_null(cfg_json_get(e, "prerequisites"));
    cr_assert_eq(flag_override(e, "on", "sampling.temperature=0.9", &err), 0);
    cr_assert_eq(flag_override(e, "on", "stop=[END]", &err), 0);
    same(cfg_json_get(e, "overrides"), "{'on':{'sampling.temperature':0.9,'stop':['END']}}");
    cr_assert_eq(flag_override(e, "onn", "a=1", &err), CFG_E_VALUE);
    cr_assert_eq(flag_override(e, "on", "a={b: 1}", &err), CFG_E_VALUE);
    cr_assert_eq(flag_override(e, "on", "a..b=1", &err), CFG_E_ADDRESS);
    cr_assert_eq(flag_unoverride(e, "on", "stop", &err), 0);
    cr_assert_eq(flag_unoverride(e, "on", "stop", &err), CFG_E_VALUE);
    cr_assert_eq(flag_unoverride(e, "on", NULL, &err), 0);
    cr_assert_null(cfg_json_get(e, "overrides"));
    cJSON_Delete(e);
    cJSON_Delete(space);
}

/* --- new ones, words, differences --- */

Test(flag_edit, new_flags)
{
    static const char *const numbers[] = {"fast=0.2", "slow=0.9"}, *const texts[] = {"a=1", "b=true"},
                             *const mixed[] = {"a=1", "b=x"};
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *e = NULL;
    struct flag_new n = {.description = "d"};
    cr_assert_eq(flag_make(&e, &n, &err), 0);
    same(e, "{'enabled':false,'off_variant':'off','definition':{'state':'ENABLED','variants':{'on':true,'off':false},'"
            "defaultVariant':'on','metadata':{'description':'d'}}}");
    cJSON_Delete(e);
    n = (struct flag_new){.variants = numbers, .n_variants = 2, .standard = "slow"};
    cr_assert_eq(flag_make(&e, &n, &err), 0);
    same(
        e,
        "{'enabled':true,'definition':{'state':'ENABLED','variants':{'fast':0.2,'slow':0.9},'defaultVariant':'slow'}}");
    cJSON_Delete(e);
    n = (struct flag_new){.type = "string", .variants = texts, .n_variants = 2};
    cr_assert_eq(flag_make(&e, &n, &err), 0);
    same(cfg_json_get(cfg_json_get(e, "definition"), "variants"), "{'a':'1','b':'true'}");
    cJSON_Delete(e);
    n = (struct flag_new){.type = "number", .variants = mixed, .n_variants = 2};
    cr_assert_eq(flag_make(&e, &n, &err), CFG_E_VALUE);
    n = (struct flag_new){.standard = "onn"};
    cr_assert_eq(flag_make(&e, &n, &err), CFG_E_VALUE);
    cr_assert(strstr(err.hint, "on"), "%s", err.hint);
    n = (struct flag_new){.type = "string"};
    cr_assert_eq(flag_make(&e, &n, &err), CFG_E_INVALID);
    n = (struct flag_new){.type = "colour"};
    cr_assert_eq(flag_make(&e, &n, &err), CFG_E_INVALID);
}

Test(flag_edit, variants_are_changed_and_taken_away)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *e = json("{'enabled':true,'off_variant':'b','overrides':{'f':{'t':1}},'definition':{'state':'ENABLED',"
                    "'variants':{'a':'1','b':'2','c':'3','d':'4','e':'5','f':'6','g':'7'},'defaultVariant':'a',"
                    "'targeting':{'if':[{'var':'x'},'c',{'fractional':[['d',0],['c',1]]}]}}}"),
          *space = json("{'p':{'prerequisites':{'self':['x','e']}},'q':{'prerequisites':{'other':'g'}}}");
    static const struct {
        const char *variant, *says;
    } used[] = {{"a", "default"}, {"b", "while the flag is off"}, {"c", "rule 1"},
                {"d", "no rule"}, {"e", "flag p requires it"},    {"f", "overrides"}};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        cr_expect_eq(flag_variant_remove(e, "ns", "self", used[i].variant, space, &err), CFG_E_IN_USE);
        cr_expect(strstr(err.text, used[i].says), "%s", err.text);
    }
    cr_expect_eq(flag_variant_remove(e, "ns", "self", "nope", space, &err), CFG_E_VALUE);
    cr_expect_eq(flag_variant_remove(e, "ns", "self", "g", space, &err), 0);
    cr_expect_eq(flag_variant_put(e, "a=true", &err), 0); /* a text like the others */
    cr_expect_eq(flag_variant_put(e, "h=", &err), 0);
    cr_expect_eq(flag_variant_put(e, "h", &err), CFG_E_INVALID);
    same(cfg_json_get(cfg_json_get(e, "definition"), "variants"),
         "{'a':'true','b':'2','c':'3','d':'4','e':'5','f':'6','h':''}");
    cr_expect_eq(flag_default_put(e, "nope", &err), CFG_E_VALUE);
    cr_expect_eq(flag_default_put(e, "", &err), 0);
    cr_expect_eq(flag_off_put(e, "", &err), 0);
    cr_expect_null(cfg_json_get(cfg_json_get(e, "definition"), "defaultVariant"));
    cr_expect_null(cfg_json_get(e, "off_variant"));
    cr_expect_eq(flag_meta_put(e, "owner=search, ranking", &err), 0);
    cr_expect_eq(flag_meta_put(e, "tier=2", &err), 0);
    cr_expect_eq(flag_meta_put(e, "=2", &err), CFG_E_INVALID);
    same(cfg_json_get(cfg_json_get(e, "definition"), "metadata"), "{'owner':'search, ranking','tier':2}");
    cr_expect_eq(flag_meta_remove(e, "owner", &err), 0);
    cr_expect_eq(flag_meta_remove(e, "owner", &err), CFG_E_VALUE);
    cr_expect_eq(flag_meta_remove(e, "tier", &err), 0);
    cr_expect_null(cfg_json_get(cfg_json_get(e, "definition"), "metadata"));
    cJSON_Delete(e);
    cJSON_Delete(space);
}

Test(flag_words, differences_are_lines)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    flag_diff(&out, "a\nb\nc\n", "a\nx\nc\nd\n", false);
    cr_expect_str_eq(out.data, "- b\n+ x\n+ d\n");
    cfg_buf_clear(&out);
    flag_diff(&out, "a\n", "a\n", false);
    cr_expect_eq(out.len, 0);
    cfg_buf_finish(&out);
}

Test(flag_words, nothing_is_left_out)
{
    cJSON *e = json(
        "{'enabled':false,'off_variant':'off','hash_version':3,'prerequisites':{'p':['a']},"
        "'group':{'name':'g','from':100,'to':200},'holdouts':[{'name':'h','to':5,'by':'u'}],'overrides':{'on':{'t':1}},"
        "'definition':{'state':'DISABLED','hash_version':1,'variants':{'on':true,'off':false},'defaultVariant':'on',"
        "'metadata':{'m':1},'targeting':{'if':[{'weird':[1]},{'fractional':[['on'],['off']]},'off']}}}");
    static const char *const parts[] = {"off\n",
                                        "while off: \"off\"",
                                        "state: \"DISABLED\"",
                                        "variant on: true",
                                        "default: \"on\"",
                                        "if {\"weird\":[1]} serve on 50 %, off 50 % by targetingKey",
                                        "else serve off",
                                        "requires p: [\"a\"]",
                                        "group g: 1 %",
                                        "held out by h: 0.05 %",
                                        "with on t = 1",
                                        "hash version: 3",
                                        "hash version of the definition: 1",
                                        "metadata m: 1"};
    struct cfg_buf out;
    cfg_buf_init(&out, 8192);
    flag_describe(&out, e, false);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_expect(strstr(out.data, parts[i]), "%s in %s", parts[i], out.data);
    cfg_buf_finish(&out);
    cJSON_Delete(e);
}
