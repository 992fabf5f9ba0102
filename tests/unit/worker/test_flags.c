/* Flags as a worker's program asks them: against the step's view, per request, counted. */
#include "rig.h"
#include "worker/internal.h"

#include <cfg/flags.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ' stands for ". */
#define SPLIT                                                                                                \
    "'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'off','targeting':" \
    "{'if':[{'==':[{'var':'plan'},'gold']},'on',{'fractional':[['on',25],['off',75]]}]}}"
#define TYPED(value) \
    "{'definition':{'state':'ENABLED','variants':{'v':" value "},'defaultVariant':'v','metadata':{'owner':'me'}}}"
#define HOT                                                                                                   \
    "{'overrides':{'hot':{'sampling.temperature':0.9,'unknown.path':1},'cold':{'sampling.temperature':0.1}}," \
    "'definition':{'state':'ENABLED','variants':{'hot':'h','cold':'c','plain':'p'},'defaultVariant':'plain'," \
    "'targeting':{'var':'arm'}}}"

static char *quoted(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    return copy;
}

static void push(struct rig *r, const char *revision, const char *parameters, const char *flags)
{
    struct cfg_buf view;
    char *p = quoted(parameters), *f = quoted(flags), digest[32];
    cfg_buf_init(&view, 1 << 20);
    cfg_buf_printf(&view, "{\"parameters\":%s,\"pinned\":{},\"flags\":%s}", p, f);
    (void)snprintf(digest, sizeof digest, "sha256:%s", revision);
    cfg_memory_push_view(r->source, revision, digest, "S", view.data);
    cfg_buf_finish(&view);
    free(p);
    free(f);
}

static void begin(struct rig *r, const char *parameters, const char *flags)
{
    cfg_memory_push_registered(r->source, 50);
    cfg_memory_push_state(r->source, CFG_SOURCE_CONNECTED, NULL);
    push(r, "1-1", parameters, flags);
    rig_start(r);
}

static const union cfg_value none;

Test(flags, every_type_by_handle_and_by_name)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_flag b = cfg_flag_declare(r.w, "exp/b"), s = cfg_flag_declare(r.w, "exp/s"), n = cfg_flag_declare(r.w, "exp/n"),
             o = cfg_flag_declare(r.w, "exp/o"), gone = cfg_flag_declare(r.w, "exp/gone");
    cr_assert_eq(cfg_flag_declare(r.w, "exp/s").index, s.index, "twice is the same");
    begin(&r, "{}",
          "{'exp':{'b':" TYPED("true") ",'s':" TYPED("'text'") ",'n':" TYPED("1.5") ",'i':" TYPED("7") ",'big':" TYPED(
              "1e300") ",'o':" TYPED("{'z':[1],'a':null}") "}}");
    const struct cfg_view *v = rig_step(&r);
    cr_assert(cfg_flag_bool(v, b, NULL, false));
    cr_assert_str_eq(cfg_flag_string(v, s, NULL, "def"), "text");
    cr_assert_eq(cfg_flag_f64(v, n, NULL, 0), 1.5);
    cr_assert_eq(cfg_flag_i64(v, n, NULL, -3), -3, "nothing is rounded");
    cr_assert_str_eq(cfg_flag_object(v, o, NULL, "{}"), "{\"a\":null,\"z\":[1]}");
    struct cfg_flag_answer a = cfg_flag_evaluate_named(v, "exp/i", CFG_FLAG_INTEGER, NULL, none);
    cr_assert_eq(a.value.i64, 7);
    cr_assert_eq(a.reason, CFG_REASON_STATIC);
    cr_assert_str_eq(a.variant, "v");
    cr_assert_str_eq(a.revision, "1-1");
    cr_assert_null(a.error);
    a = cfg_flag_evaluate_named(v, "exp/big", CFG_FLAG_INTEGER, NULL, (union cfg_value){.i64 = 4});
    cr_assert_eq(a.value.i64, 4);
    cr_assert_str_eq(a.error, "TYPE_MISMATCH");
    a = cfg_flag_evaluate(v, s, CFG_FLAG_BOOL, NULL, (union cfg_value){.b = true});
    cr_assert(a.value.b);
    cr_assert_str_eq(a.error, "TYPE_MISMATCH");
    cr_assert_null(a.variant);
    const char *missing[] = {"exp/none", "nope/b", "exp", "", "exp/", "/b"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        cr_expect_str_eq(cfg_flag_evaluate_named(v, missing[i], CFG_FLAG_BOOL, NULL, none).error, "FLAG_NOT_FOUND");
    }
    cr_assert_str_eq(cfg_flag_evaluate(v, gone, CFG_FLAG_BOOL, NULL, none).error, "FLAG_NOT_FOUND");
    cr_assert_str_eq(cfg_flag_evaluate(v, CFG_FLAG_NONE, CFG_FLAG_BOOL, NULL, none).error, "FLAG_NOT_FOUND");
    cr_assert_str_eq(cfg_flag_evaluate(v, b, CFG_FLAG_ANY, NULL, none).error, "TYPE_MISMATCH");
    rig_close(&r);
}

Test(flags, before_any_view_the_defaults_hold)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_flag b = cfg_flag_declare(r.w, "exp/b");
    const struct cfg_view *v = cfg_step_begin(r.w, 0);
    struct cfg_overlay o;
    cr_assert(cfg_flag_bool(v, b, NULL, true));
    cfg_overlay_begin(&o, v, NULL);
    cr_assert_eq(o.n_served, 0U);
    struct cfg_error err;
    cr_assert_eq(cfg_worker_start(r.w, 1, &err), CFG_E_TIMEOUT);
    v = cfg_step_begin(r.w, 1);
    cr_assert_str_eq(cfg_flag_evaluate(v, b, CFG_FLAG_BOOL, NULL, none).error, "FLAG_NOT_FOUND");
    rig_close(&r);
}

Test(flags, a_malformed_address_fails_the_start)
{
    struct rig r;
    struct cfg_error err;
    rig_open(&r, NULL, false);
    cr_assert_eq(cfg_flag_declare(r.w, "no-slash").index, CFG_FLAG_NONE.index);
    cr_assert_neq(cfg_worker_start(r.w, 10, &err), 0);
    cr_assert(strstr(err.text, "no-slash") != NULL, "%s", err.text);
    rig_close(&r);
}

Test(flags, contexts)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_flag ab = cfg_flag_declare(r.w, "exp/ab");
    begin(&r, "{}", "{'exp':{'ab':{" SPLIT "}}}");
    const struct cfg_view *v = rig_step(&r);
    struct cfg_context c;
    unsigned on = 0;
    struct cfg_flag_answer lost = cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, NULL, (union cfg_value){.b = true});
    cr_assert_str_eq(lost.error, "TARGETING_KEY_MISSING");
    cr_assert(lost.value.b && lost.variant == NULL);
    cfg_context_init(&c, NULL);
    cfg_context_string(&c, "plan", "gold");
    cr_assert_null(cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, &c, none).error, "a rule before the split needs no key");
    cfg_context_init(&c, "u");
    cfg_context_string(&c, "plan", "gold");
    cfg_context_number(&c, "age", 42);
    cfg_context_bool(&c, "beta", true);
    struct cfg_flag_answer a = cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, &c, none);
    cr_assert(a.value.b && a.reason == CFG_REASON_TARGETING_MATCH && strcmp(a.variant, "on") == 0);
    for (int i = 0; i < 1000; i++) {
        char key[16], text[64];
        (void)snprintf(key, sizeof key, "u%d", i);
        (void)snprintf(text, sizeof text, "{\"targetingKey\":\"%s\",\"deep\":{\"x\":[1]}}", key);
        struct cfg_context json, copy;
        cfg_context_init(&c, key);
        copy = c;
        cr_assert_eq(cfg_context_json(&json, text, strlen(text), NULL), 0);
        bool one = cfg_flag_bool(v, ab, &c, false);
        cr_assert_eq(one, cfg_flag_bool(v, ab, &copy, !one));
        cr_assert_eq(one, cfg_flag_bool(v, ab, &json, !one));
        cr_assert_eq(c.unit, json.unit);
        on += one;
        cfg_context_finish(&json);
    }
    cr_assert(on > 200 && on < 300, "%u of 1000", on);
    cfg_context_init(&c, NULL);
    for (int i = 0; i <= CFG_CONTEXT_ATTRIBUTES; i++) {
        cr_assert_eq(c.bad, false);
        cfg_context_number(&c, "n", i);
    }
    a = cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, &c, (union cfg_value){.b = true});
    cr_assert_str_eq(a.error, "INVALID_CONTEXT");
    cr_assert(a.value.b);
    const struct {
        const char *text;
        int code;
    } bad[] = {{"[]", CFG_E_VALUE},
               {"", CFG_E_JSON},
               {"null", CFG_E_VALUE},
               {"{\"targetingKey\":7}", CFG_E_VALUE},
               {"{\"a\":1,\"a\":2}", CFG_E_JSON}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(cfg_context_json(&c, bad[i].text, strlen(bad[i].text), NULL), bad[i].code, "%s", bad[i].text);
        cr_expect_str_eq(cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, &c, none).error, "INVALID_CONTEXT");
        cfg_context_finish(&c);
    }
    rig_close(&r);
}

/* Prerequisites, $refs and the switch of the whole program come from one set. */
Test(flags, flags_of_a_namespace_know_each_other)
{
    struct rig r;
    rig_open(&r, NULL, false);
    begin(
        &r, "{}",
        "{'experiment':{'ab.flag':{'prerequisites':{'base':'on'},'off_variant':'off',"
        "'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'targeting':{'if':[{'$ref':'any'},'on']}}},"
        "'base':{" SPLIT "},'$evaluators':{'any':true},'$metadata':{'team':'x'}}}");
    cr_assert_not(cfg_get_bool(rig_step(&r), r.flag), "nobody in particular is not in the split of base");
    push(
        &r, "1-2", "{}",
        "{'experiment':{'ab.flag':{'prerequisites':{'base':'off'},'off_variant':'off',"
        "'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'targeting':{'if':[{'$ref':'any'},'on']}}},"
        "'base':{" SPLIT "},'$evaluators':{'any':true}}}");
    const struct cfg_view *v = rig_until(&r, "1-2");
    cr_assert(cfg_get_bool(v, r.flag));
    cr_assert_str_eq(cfg_flag_evaluate_named(v, "experiment/$evaluators", CFG_FLAG_BOOL, NULL, none).error,
                     "FLAG_NOT_FOUND");
    rig_close(&r);
}

Test(flags, one_that_does_not_compile)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_flag declared = cfg_flag_declare(r.w, "exp/declared");
    begin(&r, "{}",
          "{'exp':{'new':{'definition':{'state':'ENABLED','variants':{'v':1},'rollout':3}},'b':" TYPED("true") "}}");
    const struct cfg_view *v = rig_step(&r);
    cr_assert_str_eq(cfg_flag_evaluate_named(v, "exp/new", CFG_FLAG_NUMBER, NULL, none).error, "PARSE_ERROR");
    cr_assert(cfg_flag_evaluate_named(v, "exp/b", CFG_FLAG_BOOL, NULL, none).value.b, "the others answer");
    push(&r, "1-2", "{}", "{'exp':{'declared':{'definition':{'state':'ENABLED','variants':{'v':1},'rollout':3}}}}");
    char *report = rig_report_with(&r, "\"rejects\":[{\"revision\":\"1-2\"");
    cr_assert(strstr(report, "exp/declared") && strstr(report, "rollout"), "%s", report);
    free(report);
    push(&r, "1-3", "{}",
         "{'exp':{'declared':{'prerequisites':{'other':'v'},'definition':{'state':'ENABLED','variants':{'v':1}}},"
         "'other':{'prerequisites':{'declared':'v'},'definition':{'state':'ENABLED','variants':{'v':1}}}}}");
    report = rig_report_with(&r, "\"revision\":\"1-3\"");
    cr_assert(strstr(report, "lead back to itself"), "%s", report);
    free(report);
    cr_assert_str_eq(rig_step(&r)->revision, "1-1");
    cr_assert_str_eq(cfg_flag_evaluate(rig_step(&r), declared, CFG_FLAG_NUMBER, NULL, none).error, "FLAG_NOT_FOUND");
    rig_close(&r);
}

/* --- time --- */

Test(flags, rules_see_the_time_of_the_step)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_flag f = cfg_flag_declare(r.w, "exp/since");
    begin(&r, "{}",
          "{'exp':{'since':{'definition':{'state':'ENABLED','variants':{'v':true,'w':false},'defaultVariant':'w',"
          "'targeting':{'if':[{'>=':[{'var':'$flagd.timestamp'},1740000000]},'v']}}}}}");
    const struct cfg_view *v = rig_step(&r);
    cr_assert(cfg_flag_bool(v, f, NULL, false), "2025 is over");
    atomic_store(&v->flags->now_s, 1739999999);
    cr_assert_not(cfg_flag_bool(v, f, NULL, true), "a step's time stays");
    cr_assert(cfg_flag_bool(rig_step(&r), f, NULL, false), "the next step has its own");
    rig_close(&r);
}

/* A switch says in each step what the same flag says to a request of nobody's: before the flip and after it, though no
 * view comes. */
Test(flags, a_switch_flips_between_two_steps)
{
    struct rig r;
    char flags[512];
    rig_open(&r, NULL, false);
    cfg_param on = cfg_param_flag(r.w, "exp/soon", false);
    cfg_flag asked = cfg_flag_declare(r.w, "exp/soon");
    long long at = (long long)time(NULL) + 2;
    (void)snprintf(flags, sizeof flags,
                   "{'exp':{'soon':{'definition':{'state':'ENABLED','variants':{'v':true,'w':false},"
                   "'defaultVariant':'w','targeting':{'if':[{'>=':[{'var':'$flagd.timestamp'},%lld]},'v']}}}}}",
                   at);
    begin(&r, "{}", flags);
    const struct cfg_view *v = NULL;
    bool is = false;
    while (!is) {
        v = rig_step(&r);
        is = cfg_flag_bool(v, asked, NULL, false);
        cr_assert_eq(cfg_get_bool(v, on), is, "at %lld", (long long)v->flags->now_s);
        cr_assert_eq(is, v->flags->now_s >= at);
    }
    cr_assert_str_eq(v->revision, "1-1", "nobody has told of it");
    rig_close(&r);
}

Test(flags, a_switch_that_leaves_the_decision_goes_back_to_its_default)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_param on = cfg_param_flag(r.w, "exp/until", true);
    begin(&r, "{}",
          "{'exp':{'until':{'definition':{'state':'ENABLED','variants':{'v':true,'w':false},"
          "'targeting':{'if':[{'<':[{'var':'$flagd.timestamp'},1740000000]},'w']}}}}}");
    const struct cfg_view *v = rig_step(&r);
    cr_assert(cfg_get_bool(v, on));
    cfg_flag_view_tell_time(v->flags, 1739999999);
    cr_assert_not(cfg_get_bool(v, on));
    cr_assert(cfg_get_bool(rig_step(&r), on), "the next step has its own time");
    rig_close(&r);
}

/* --- overrides --- */

static double temperature_of(struct rig *r, const struct cfg_view *v, const char *arm)
{
    struct cfg_context c;
    struct cfg_overlay o;
    cfg_context_init(&c, "u");
    cfg_context_string(&c, "arm", arm);
    cfg_overlay_begin(&o, v, &c);
    cr_assert_eq(cfg_overlay_i64(&o, r->batch), cfg_get_i64(v, r->batch));
    return cfg_overlay_f64(&o, r->temp);
}

Test(flags, variants_override_for_one_request)
{
    struct rig r;
    struct cfg_context c;
    struct cfg_overlay o;
    rig_open(&r, NULL, false);
    begin(&r, "{'sampling':{'temperature':0.5}}", "{'exp':{'t':" HOT ",'other':{" SPLIT "}}}");
    const struct cfg_view *v = rig_step(&r);
    cr_assert_eq(temperature_of(&r, v, "hot"), 0.9);
    cr_assert_eq(temperature_of(&r, v, "cold"), 0.1);
    cr_assert_eq(temperature_of(&r, v, "plain"), 0.5);
    cr_assert_eq(cfg_get_f64(v, r.temp), 0.5, "the step's own stays");
    cfg_context_init(&c, "u");
    cfg_context_string(&c, "arm", "hot");
    cfg_overlay_begin(&o, v, &c);
    cr_assert_eq(o.n_served, 1U);
    cr_assert_str_eq(o.served[0].flag, "exp/t");
    cr_assert_str_eq(o.served[0].variant, "hot");
    cr_assert_not(cfg_overlay_renew(&o, v), "the same view");
    push(&r, "1-2", "{'sampling':{'temperature':0.6}}", "{'exp':{}}");
    v = rig_until(&r, "1-2");
    cr_assert(cfg_overlay_renew(&o, v));
    cr_assert_eq(cfg_overlay_f64(&o, r.temp), 0.6);
    cr_assert_eq(o.n_served, 0U);
    rig_close(&r);
}

Test(flags, local_overrides_win)
{
    struct rig r;
    rig_open(&r, NULL, false);
    free(r.w->overrides);
    r.w->overrides = strdup("sampling.temperature=0.2;experiment/ab.flag=on");
    cfg_flag ab = cfg_flag_declare(r.w, "experiment/ab.flag");
    begin(&r, "{}",
          "{'exp':{'t':" HOT "},'experiment':{'ab.flag':{'definition':{'state':'ENABLED','variants':"
          "{'off':false},'defaultVariant':'off'}}}}");
    const struct cfg_view *v = rig_step(&r);
    cr_assert_eq(temperature_of(&r, v, "hot"), 0.2);
    struct cfg_flag_answer a = cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, NULL, none);
    cr_assert(a.value.b && a.variant == NULL && a.error == NULL);
    rig_close(&r);
}

Test(flags, the_first_flag_by_address_has_a_parameter)
{
    struct rig r;
    rig_open(&r, NULL, false);
    begin(&r, "{}",
          "{'exp':{'b':" HOT ",'a':{'overrides':{'v':{'sampling.temperature':1.1}},"
          "'definition':{'state':'ENABLED','variants':{'v':1},'defaultVariant':'v'}}}}");
    cr_assert_eq(temperature_of(&r, rig_step(&r), "hot"), 1.1);
    rig_close(&r);
}

Test(flags, overrides_that_break_the_contract_refuse_the_view)
{
    static const struct {
        const char *parameter, *value, *says;
    } bad[] = {{"sampling.temperature", "2.5", "outside"},
               {"sampling.temperature", "'hot'", "a number"},
               {"inference.batch_size", "8", "live"},
               {"data.path", "'/x'", "live"},
               {"distributed.tp", "2", "live"}};
    struct rig r;
    rig_open(&r, NULL, false);
    begin(&r, "{}", "{'exp':{}}");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char flags[512], revision[16], path[64], rejected[64];
        (void)snprintf(revision, sizeof revision, "1-%zu", i + 2);
        (void)snprintf(
            flags, sizeof flags,
            "{'exp':{'t':{'overrides':{'v':{'%s':%s}},'definition':{'state':'ENABLED','variants':{'v':1}}}}}",
            bad[i].parameter, bad[i].value);
        (void)snprintf(path, sizeof path, "\"path\":\"exp/t.overrides.v.%s\"", bad[i].parameter);
        (void)snprintf(rejected, sizeof rejected, "{\"revision\":\"%s\",\"path\"", revision);
        push(&r, revision, "{}", flags);
        char *report = rig_report_with(&r, rejected);
        cr_expect(strstr(report, path) && strstr(report, bad[i].says), "%s: %s", path, report);
        free(report);
        cr_expect_str_eq(rig_step(&r)->revision, "1-1");
    }
    rig_close(&r);
}

/* --- exposures --- */

Test(flags, exposures_are_counted_and_told_until_they_arrive)
{
    struct rig r;
    struct cfg_context c;
    rig_open(&r, NULL, false);
    cfg_flag ab = cfg_flag_declare(r.w, "exp/ab");
    begin(&r, "{}", "{'exp':{'ab':{" SPLIT "},'t':" HOT "}}");
    const struct cfg_view *v = rig_step(&r);
    char *report = rig_report_with(&r, "\"revision\":\"1-1\"");
    cr_assert_null(strstr(report, "exposures"), "nothing has been served: %s", report);
    free(report);
    for (int i = 0; i < 100; i++) {
        cfg_context_init(&c, i % 2 == 0 ? "u-1" : "u-2");
        cfg_context_string(&c, "plan", "gold");
        cr_assert(cfg_flag_bool(v, ab, &c, false));
    }
    cfg_context_string(&c, "arm", "cold");
    struct cfg_overlay o;
    cfg_overlay_begin(&o, v, &c);
    cfg_context_finish(&c);
    report = rig_report_with(&r, "\"flag\":\"exp/ab\",\"variant\":\"on\",\"count\":100,\"since\":0,\"units\":\"");
    cr_assert_null(strstr(report, "\"off\""), "only what was served: %s", report);
    cr_assert(strstr(report, "\"flag\":\"exp/t\",\"variant\":\"cold\",\"count\":1,"), "%s", report);
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char *units = strstr(strstr(report, "exp/ab"), "\"units\":\"") + 9;
    units[CFG_HLL_REGISTERS] = '\0';
    cr_assert(cfg_hll_unite(registers, units));
    cr_assert_float_eq(cfg_hll_estimate(registers), 2, 0.1);
    free(report);
    /* Not acknowledged: told again, with the sketch. Acknowledged: silence, then the count alone. */
    unsigned n = cfg_memory_reports(r.source) + 1;
    report = cfg_memory_wait_report(r.source, &n);
    cr_assert(strstr(report, "\"count\":100,\"since\":0,\"units\""), "%s", report);
    free(report);
    do {
        cfg_memory_push_reported(r.source);
        n = cfg_memory_reports(r.source) + 2;
        report = cfg_memory_wait_report(r.source, &n);
        bool told = strstr(report, "exposures") != NULL;
        free(report);
        if (!told) {
            break;
        }
    } while (true);
    cfg_context_init(&c, "u-1");
    cfg_context_string(&c, "plan", "gold");
    (void)cfg_flag_bool(v, ab, &c, false);
    report = rig_report_with(&r, "\"count\":101");
    cr_assert(strstr(report, "\"exposures\":[{\"flag\":\"exp/ab\",\"variant\":\"on\",\"count\":101,\"since\":100}]"),
              "%s", report);
    free(report);
    cfg_memory_push_registered(r.source, 50); /* another configd: only what none has taken, with the sketch */
    report = rig_report_with(&r, "\"count\":101,\"since\":100,\"units\"");
    cr_assert_null(strstr(report, "exp/t"), "%s", report);
    free(report);
    rig_close(&r);
}

Test(flags, a_renewed_request_is_exposed_once_per_variant)
{
    struct rig r;
    struct cfg_context c;
    struct cfg_overlay o;
    rig_open(&r, NULL, false);
    begin(&r, "{}", "{'exp':{'t':" HOT "}}");
    cfg_context_init(&c, "u");
    cfg_context_string(&c, "arm", "hot");
    cfg_overlay_begin(&o, rig_step(&r), &c);
    push(&r, "1-2", "{'sampling':{'temperature':0.3}}", "{'exp':{'t':" HOT "}}");
    cr_assert(cfg_overlay_renew(&o, rig_until(&r, "1-2")));
    cr_assert_eq(cfg_overlay_f64(&o, r.temp), 0.9);

    free(rig_report_with(&r, "\"variant\":\"hot\",\"count\":1,"));
    rig_close(&r);
}

Test(flags, what_came_of_a_request_is_told_by_its_variants)
{
    struct rig r;
    struct cfg_context c;
    struct cfg_overlay o;
    rig_open(&r, NULL, false);
    cfg_flag ab = cfg_flag_declare(r.w, "exp/ab");
    cfg_metric ms = cfg_metric_declare(r.w, "ms");
    begin(&r, "{}", "{'exp':{'t':" HOT ",'ab':{" SPLIT "}}}");
    cfg_context_init(&c, "u");
    cfg_context_string(&c, "arm", "hot");
    cfg_context_string(&c, "plan", "gold");
    const struct cfg_view *v = rig_step(&r);
    struct cfg_flag_answer a = cfg_flag_evaluate(v, ab, CFG_FLAG_BOOL, &c, none);
    struct cfg_flag_answer lost = cfg_flag_evaluate_named(v, "exp/gone", CFG_FLAG_BOOL, &c, none);
    cfg_overlay_begin(&o, v, &c);
    push(&r, "1-2", "{}", "{}"); /* both flags go, and so does the view; what they served stays known */
    (void)rig_until(&r, "1-2");
    (void)rig_step(&r);
    cfg_flag_metric(&a, &c, ms, 2);
    cfg_flag_metric(&a, &c, ms, 4);
    cfg_flag_metric(&a, NULL, ms, 4); /* nobody's */
    cfg_flag_metric(&lost, &c, ms, 1);
    cfg_flag_metric(&a, &c, (cfg_metric){UINT32_MAX}, 1);
    cfg_overlay_metric(&o, ms, 9);
    char *report = rig_report_with(&r, "\"outcomes\":{");
    cr_assert(strstr(report, "{\"flag\":\"exp/ab\",\"variant\":\"on\",\"units\":\"") != NULL, "%s", report);
    cr_assert(strstr(report, "\"metrics\":{\"ms\":{\"n\":2,\"mean\":3,\"m2\":2,") != NULL, "%s", report);
    cr_assert(strstr(report, "{\"flag\":\"exp/t\",\"variant\":\"hot\",\"units\":\"") != NULL, "%s", report);
    cr_assert(strstr(report, "\"metrics\":{\"ms\":{\"n\":1,\"mean\":9,") != NULL, "%s", report);
    free(report);
    rig_close(&r);
}
