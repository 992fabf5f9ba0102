/* What only a flag that somebody writes is held to: results that name a variant, overrides of the right form. */
#include "flags_test.h"

#define DEFINITION(targeting)                                                                                          \
    "'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'off','targeting':" targeting \
    "}"

static int compile(const char *members, const char *evaluators, struct cfg_error *err)
{
    char text[2048];
    struct cfg_flag_program *p = NULL;
    (void)snprintf(text, sizeof text, "{%s}", members);
    cJSON *flag = json_of(text), *shared = evaluators ? json_of(evaluators) : NULL;
    *err = (struct cfg_error)CFG_ERROR_INIT;
    int rc = cfg_flag_compile_named(&p, "f", flag, shared, err);
    cfg_flag_free(p);
    cJSON_Delete(flag);
    cJSON_Delete(shared);
    return rc;
}

static void taken(const char *members, const char *evaluators)
{
    struct cfg_error err;
    cr_assert_eq(compile(members, evaluators, &err), 0, "%s: %s", members, err.text);
}

static void refused(const char *members, const char *evaluators, const char *path, const char *says)
{
    struct cfg_error err;
    cr_assert_eq(compile(members, evaluators, &err), CFG_E_VALUE, "%s: %s", members, err.text);
    cr_assert_str_eq(err.path, path);
    cr_assert(strstr(err.text, says) || strstr(err.hint, says), "%s (%s)", err.text, err.hint);
}

Test(written, a_literal_result_names_a_variant)
{
    refused(DEFINITION("{'if':[{'var':'x'},'onn']}"), NULL, "definition.targeting.if[1]", "did you mean \"on\"");
    refused(DEFINITION("{'if':[{'var':'x'},'on','enabled']}"), NULL, "definition.targeting.if[2]", "\"enabled\"");
    refused(DEFINITION("{'if':[{'var':'x'},'on',{'var':'y'},true,'off']}"), NULL, "definition.targeting.if[3]",
            "\"true\"");
}

Test(written, results_are_found_where_operators_hand_them_on)
{
    refused(DEFINITION("{'fractional':[['on',1],['offf',1]]}"), NULL, "definition.targeting.fractional[1]", "\"off\"");
    refused(DEFINITION("{'fractional':[{'var':'k'},['on',1],[{'if':[{'var':'x'},'no']},1]]}"), NULL,
            "definition.targeting.fractional[2].if[1]", "\"no\"");
    refused(DEFINITION("{'and':[{'var':'x'},'on.']}"), NULL, "definition.targeting.and[1]", "\"on\"");
    refused(DEFINITION("{'if':[{'var':'x'},{'$ref':'split'}]}"), "{'split':{'fractional':[['onn',1],['off',1]]}}",
            "definition.targeting.if[1].$ref.fractional[0]", "\"on\"");
    taken(DEFINITION("{'if':[{'$ref':'split'},'on']}"), "{'split':'not a variant, and no result'}");
}

Test(written, what_is_computed_is_left_alone)
{
    taken(DEFINITION("{'if':[{'==':['onn',{'var':'x'}]},'on',null]}"), NULL);
    taken(DEFINITION("{'if':[{'var':'x'},{'cat':['o','nn']},{'var':'variant'}]}"), NULL);
    taken(DEFINITION("{}"), NULL);
    taken("'definition':{'state':'ENABLED','variants':{'true':1,'3':2},'targeting':{'if':[{'var':'x'},true,3.0]}}",
          NULL);
    /* A bomb of references is looked into only so far. */
    taken(DEFINITION("{'$ref':'a'}"), "{'a':{'if':[1,{'$ref':'b'},{'$ref':'b'}]},'b':{'if':[1,{'$ref':'c'},{'$ref':'c'}"
                                      "]},'c':{'if':[1,'on','off']}}");
}

Test(written, overrides_are_scalars_by_path_by_variant)
{
    static const char on[] = DEFINITION("null") ",";
    char text[512];
    static const struct {
        const char *overrides, *path, *says;
    } bad[] = {
        {"[]", "overrides", "object"},
        {"{'onn':{}}", "overrides.onn", "not among"},
        {"{'on':3}", "overrides.on", "object"},
        {"{'on':{'a..b':1}}", "overrides.on.a..b", "overrides of \"on\""},
        {"{'on':{'a':{'b':1}}}", "overrides.on.a", "not an object"},
        {"{'on':{'a':[1,{}]}}", "overrides.on.a", "not an object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, "%s'overrides':%s", on, bad[i].overrides);
        refused(text, NULL, bad[i].path, bad[i].says);
    }
    taken(DEFINITION("null") ",'overrides':null", NULL);
    taken(DEFINITION("null") ",'overrides':{'on':{'sampling.temperature':0.9,'stop':['a'],'x':null},'off':{}}", NULL);
}

Test(written, a_kept_set_takes_what_is_stored)
{
    cJSON *flags = json_of("{'f':{" DEFINITION("{'if':[{'var':'x'},'onn','on']}") "}}");
    struct cfg_flag_source source = {.flags = flags, .keep_broken = true, .strict = true};
    struct cfg_flag_set *set = NULL;
    cr_assert_eq(cfg_flag_set_compile(&set, &source, NULL), 0);
    expect(set, "f", "{}", "on TARGETING_MATCH");
    cfg_flag_set_free(set);
    cJSON_Delete(flags);
}
