/* Request policies: what compiles, who asks, and the six stages in their order. */
#include "worker/cfg-infer/policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cfg_policy *policy;

static void compile(const char *text)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_policy_compile(&policy, text, &err), 0, "%s", err.text);
}

static void teardown(void)
{
    cfg_policy_free(policy);
}

TestSuite(policy, .fini = teardown);

/* Applies the policy and gives the body as it came out ("PARAM: message" when it was refused), and the explanation. */
static const char *apply(const char *tenant, const char *tier, const char *body, char explained[1024])
{
    static char out[1024];
    struct cfg_caller who = {"", ""};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_ask ask;
    struct cfg_buf b;
    cJSON *v = NULL, *list = cJSON_CreateArray();
    cr_assert_eq(cfg_policy_identify(&who, policy, tenant, tier, NULL, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(body), 0, NULL), 0);
    int rc = cfg_policy_apply(&ask, policy, &who, v, list, &err);
    cfg_buf_init(&b, sizeof out - 1);
    if (rc == 0) {
        cfg_json_print(&b, v);
        cfg_ask_finish(&ask);
    } else {
        cfg_buf_printf(&b, "%s: %s", err.path, err.text);
    }
    (void)snprintf(out, sizeof out, "%s", b.data);
    cfg_buf_clear(&b);
    cfg_json_print(&b, list);
    if (explained != NULL) {
        (void)snprintf(explained, 1024, "%s", b.data);
    }
    cfg_buf_finish(&b);
    cJSON_Delete(v);
    cJSON_Delete(list);
    return out;
}

Test(policy, none_changes_nothing)
{
    compile("");
    cr_assert_str_eq(apply("acme", NULL, "{\"prompt\":\"a\",\"temperature\":1}", NULL),
                     "{\"prompt\":\"a\",\"temperature\":1}");
}

Test(policy, each_stage)
{
    char why[1024];
    compile(
        "{\"all\":{\"rename\":{\"max_new_tokens\":\"max_tokens\"},\"drop\":[\"logit_bias\",\"zap\"],"
        "\"default\":{\"temperature\":0.3},\"force\":{\"seed\":7},\"clamp\":{\"max_tokens\":{\"min\":2,\"max\":9}}}}");
    cr_assert_str_eq(
        apply(NULL, NULL, "{\"prompt\":\"a\",\"max_new_tokens\":50,\"logit_bias\":{\"1\":2},\"zap\":1}", why),
        "{\"prompt\":\"a\",\"max_tokens\":9,\"temperature\":0.3,\"seed\":7}");
    cr_assert_str_eq(why, "[{\"do\":\"rename\",\"param\":\"max_new_tokens\",\"to\":\"max_tokens\"},"
                          "{\"do\":\"drop\",\"param\":\"logit_bias\",\"from\":{\"1\":2}},"
                          "{\"do\":\"drop\",\"param\":\"zap\",\"from\":1},"
                          "{\"do\":\"default\",\"param\":\"temperature\",\"to\":0.3},"
                          "{\"do\":\"force\",\"param\":\"seed\",\"to\":7},"
                          "{\"do\":\"clamp\",\"param\":\"max_tokens\",\"from\":50,\"to\":9}]");
    cr_assert_str_eq(apply(NULL, NULL, "{\"prompt\":\"a\",\"max_tokens\":1,\"temperature\":1,\"seed\":3}", NULL),
                     "{\"prompt\":\"a\",\"max_tokens\":2,\"temperature\":1,\"seed\":7}");
}

/* Each stage sees what the one before it left: what is renamed can be dropped, what is dropped gets its default, what
 * is forced can be clamped, and only what comes out is validated. */
Test(policy, the_order)
{
    compile(
        "{\"all\":{\"rename\":{\"heat\":\"temperature\"},\"drop\":[\"temperature\"],\"default\":{\"temperature\":0.5},"
        "\"force\":{\"top_k\":99},\"clamp\":{\"top_k\":{\"max\":40},\"temperature\":{\"max\":0.4}},"
        "\"validate\":{\"properties\":{\"top_k\":{\"maximum\":40},\"temperature\":{\"maximum\":0.4}}}}}");
    cr_assert_str_eq(apply(NULL, NULL, "{\"prompt\":\"a\",\"heat\":2}", NULL),
                     "{\"prompt\":\"a\",\"temperature\":0.4,\"top_k\":40}");
}

Test(policy, the_nearer_rule_wins)
{
    compile("{\"all\":{\"default\":{\"temperature\":0.1,\"top_k\":1},\"force\":{\"seed\":1},\"clamp\":{\"max_tokens\":{"
            "\"max\":10}},"
            "\"drop\":[\"echo\"]},"
            "\"tiers\":{\"gold\":{\"default\":{\"temperature\":0.2},\"clamp\":{\"max_tokens\":{\"max\":20}},\"drop\":["
            "\"suffix\"]}},"
            "\"tenants\":{\"acme\":{\"tier\":\"gold\",\"default\":{\"top_k\":3},\"force\":{\"seed\":null}}}}");
    static const char body[] = "{\"prompt\":\"a\",\"max_tokens\":30,\"echo\":true,\"suffix\":\"s\"}";
    cr_assert_str_eq(apply(NULL, "gold", body, NULL),
                     "{\"prompt\":\"a\",\"max_tokens\":20,\"temperature\":0.2,\"top_k\":1,\"seed\":1}");
    cr_assert_str_eq(apply("acme", "none", body, NULL),
                     "{\"prompt\":\"a\",\"max_tokens\":20,\"top_k\":3,\"temperature\":0.2}",
                     "its tier is the policy's to say, and null took the seed away");
    cr_assert_str_eq(apply("else", NULL, "{\"prompt\":\"a\",\"max_tokens\":30,\"echo\":true}", NULL),
                     "{\"prompt\":\"a\",\"max_tokens\":10,\"temperature\":0.1,\"top_k\":1,\"seed\":1}");
}

Test(policy, a_clamp_holds_the_live_parameters_too)
{
    struct cfg_ask ask;
    struct cfg_caller who = {"", ""};
    cJSON *body = NULL;
    compile("{\"all\":{\"clamp\":{\"max_tokens\":{\"max\":10},\"temperature\":{\"min\":0.5}}}}");
    cr_assert_eq(cfg_json_parse(&body, cfg_slice_str("{\"prompt\":\"a\"}"), 0, NULL), 0);
    cr_assert_eq(cfg_policy_apply(&ask, policy, &who, body, NULL, NULL), 0);
    cr_assert(!ask.knobs[CFG_KNOB_MAX_TOKENS].set);
    cr_assert_float_eq(ask.knobs[CFG_KNOB_MAX_TOKENS].high, 10, 0);
    cr_assert_float_eq(ask.knobs[CFG_KNOB_MAX_TOKENS].low, 1, 0);
    cr_assert_float_eq(ask.knobs[CFG_KNOB_TEMPERATURE].low, 0.5, 0);
    cfg_ask_finish(&ask);
    cJSON_Delete(body);
}

Test(policy, refusals_name_the_parameter)
{
    compile("{\"all\":{\"rename\":{\"cap\":\"max_tokens\"},"
            "\"validate\":{\"properties\":{\"temperature\":{\"maximum\":1},\"stop\":{\"maxItems\":1}},\"required\":["
            "\"user\"]}},"
            "\"tiers\":{\"free\":{\"validate\":{\"properties\":{\"stream\":{\"const\":false}}}}}}");
    const char *r = apply(NULL, NULL, "{\"prompt\":\"a\",\"user\":\"u\",\"temperature\":1.5}", NULL);
    cr_assert_eq(strncmp(r, "temperature: ", 13), 0, "%s", r);
    r = apply(NULL, NULL, "{\"prompt\":\"a\",\"user\":\"u\",\"stop\":[\"a\",\"b\"]}", NULL);
    cr_assert_eq(strncmp(r, "stop: ", 6), 0, "%s", r);
    r = apply(NULL, "free", "{\"prompt\":\"a\",\"user\":\"u\",\"stream\":true}", NULL);
    cr_assert_eq(strncmp(r, "stream: ", 8), 0, "%s", r);
    r = apply(NULL, NULL, "{\"prompt\":\"a\",\"cap\":1,\"max_tokens\":2}", NULL);
    cr_assert_eq(strncmp(r, "cap: ", 5), 0, "%s", r);
    r = apply(NULL, NULL, "{\"prompt\":\"a\",\"user\":\"u\",\"temprature\":1}", NULL);
    cr_assert_eq(strncmp(r, "temprature: ", 12), 0, "%s", r);
    r = apply(NULL, NULL, "{\"prompt\":\"a\"}", NULL);
    cr_assert_not_null(strstr(r, "user"), "%s", r);
}

Test(policy, wrong_ones_are_refused_with_their_place)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"[]", "policy"},
        {"{\"al\":{}}", "policy.al"},
        {"{\"all\":{\"clmp\":{}}}", "policy.all.clmp"},
        {"{\"all\":{\"rename\":{\"a\":\"b\"}}}", "policy.all.rename.a"},
        {"{\"all\":{\"rename\":{\"top_p\":\"top_k\"}}}", "policy.all.rename.top_p"},
        {"{\"all\":{\"drop\":{}}}", "policy.all.drop"},
        {"{\"all\":{\"drop\":[\"prompt\"]}}", "policy.all.drop"},
        {"{\"tiers\":{\"free\":{\"default\":{\"temperature\":3}}}}", "policy.tiers.free.default.temperature"},
        {"{\"tiers\":{\"free\":{\"default\":{\"temprature\":1}}}}", "policy.tiers.free.default.temprature"},
        {"{\"tenants\":{\"acme\":{\"force\":{\"n\":2}}}}", "policy.tenants.acme.force.n"},
        {"{\"tenants\":{\"acme\":{\"tier\":1}}}", "policy.tenants.acme"},
        {"{\"all\":{\"clamp\":{\"stop\":{\"max\":1}}}}", "policy.all.clamp.stop"},
        {"{\"all\":{\"clamp\":{\"top_p\":{\"most\":1}}}}", "policy.all.clamp.top_p"},
        {"{\"all\":{\"clamp\":{\"top_p\":{\"min\":1,\"max\":0.5}}}}", "policy.all.clamp.top_p"},
        {"{\"all\":{\"clamp\":{\"top_p\":{\"max\":7}}}}", "policy.all.clamp.top_p"},
        {"{\"all\":{\"clamp\":{\"top_p\":{\"max\":null}}}}", "policy.all.clamp.top_p"},
        {"{\"all\":{\"validate\":{\"type\":\"objekt\"}}}", "policy.all.validate"},
        {"{\"identify\":\"magic\"}", "policy.identify"},
        {"{\"identify\":\"keys\"}", "policy.identify"},
        {"{\"keys\":{\"sk-secret\":{}}}", "policy.keys"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        struct cfg_policy *p = NULL;
        cr_expect_eq(cfg_policy_compile(&p, cases[i].text, &err), CFG_E_VALUE, "%s", cases[i].text);
        cr_expect_str_eq(err.path, cases[i].path, "%s: %s (%s)", cases[i].text, err.path, err.text);
        cr_expect_null(p);
    }
}

/* SHA-256 of "open sesame". */
#define KEY "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb"

Test(policy, keys_say_who_asks)
{
    struct cfg_caller who;
    struct cfg_error err = CFG_ERROR_INIT;
    compile("{\"identify\":\"keys\",\"keys\":{\"" KEY "\":{\"tenant\":\"acme\",\"tier\":\"gold\"}}}");
    cr_assert_eq(cfg_policy_identify(&who, policy, "evil", "root", "Bearer open sesame", &err), 0, "%s", err.text);
    cr_assert_str_eq(who.tenant, "acme", "headers say nothing");
    cr_assert_str_eq(who.tier, "gold");
    static const char *const bad[] = {NULL, "", "Bearer ", "Bearer open", "open sesame", "Basic open sesame"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(cfg_policy_identify(&who, policy, NULL, NULL, bad[i], &err), CFG_E_UNAUTHORIZED, "%s", bad[i]);
        cr_expect(strstr(err.text, "sesame") == NULL, "a key is never repeated");
    }
}

Test(policy, headers_say_who_asks)
{
    struct cfg_caller who;
    char long_name[80];
    memset(long_name, 'x', sizeof long_name);
    long_name[64] = '\0';
    compile("{\"tenants\":{\"acme\":{\"tier\":\"gold\"}}}");
    cr_assert_eq(cfg_policy_identify(&who, policy, "acme", "free", NULL, NULL), 0);
    cr_assert_str_eq(who.tier, "gold");
    cr_assert_eq(cfg_policy_identify(&who, policy, NULL, "free", "Bearer whatever", NULL), 0);
    cr_assert_str_eq(who.tenant, "");
    cr_assert_str_eq(who.tier, "free");
    cr_assert_eq(cfg_policy_identify(&who, policy, long_name, NULL, NULL, NULL), CFG_E_INVALID);
    cr_assert_eq(cfg_policy_identify(&who, policy, "a b", NULL, NULL, NULL), CFG_E_INVALID);
    long_name[63] = '\0';
    cr_assert_eq(cfg_policy_identify(&who, policy, long_name, NULL, NULL, NULL), 0);
}
