/* When a set's answers change by themselves. */
#include "flags_test.h"

#define NOW "{'var':'$flagd.timestamp'}"
#define FLAG(targeting)                                                                                      \
    "{'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'off','targeting'" \
    ":" targeting "}}"
#define WHEN(condition) FLAG("{'if':[" condition ",'on']}")

static void expect_flips(const char *condition, const int64_t *at, size_t n)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "{'f':" WHEN("%s") "}", condition);
    struct cfg_flag_set *set = set_of(text, NULL);
    int64_t t = -100;
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(cfg_flag_set_next_flip(set, t), at[i], "%s: %lld", condition,
                     (long long)cfg_flag_set_next_flip(set, t));
        cr_assert_eq(cfg_flag_set_next_flip(set, at[i] - 1), at[i]);
        t = at[i];
    }
    cr_assert_eq(cfg_flag_set_next_flip(set, t), CFG_FLAG_NEVER, "%s", condition);
    cfg_flag_set_free(set);
}

#define FLIPS(condition, ...) \
    expect_flips(condition, (const int64_t[]){__VA_ARGS__}, sizeof(const int64_t[]){__VA_ARGS__} / sizeof(int64_t))

Test(flips, are_where_a_comparison_changes)
{
    FLIPS("{'>=':[" NOW ",100]}", 100);
    FLIPS("{'>':[" NOW ",100]}", 101);
    FLIPS("{'<':[" NOW ",100]}", 100);
    FLIPS("{'<=':[" NOW ",100]}", 101);
    FLIPS("{'<':[100," NOW "]}", 101);
    FLIPS("{'<=':[100," NOW "]}", 100);
    FLIPS("{'>=':[" NOW ",100.5]}", 101);
    FLIPS("{'<=':[" NOW ",100.5]}", 101);
    FLIPS("{'==':[" NOW ",100]}", 100, 101);
    FLIPS("{'!=':[100," NOW "]}", 100, 101);
    FLIPS("{'<=':[100," NOW ",200]}", 100, 201);
    FLIPS("{'and':[{'>=':[" NOW ",'100']},{'<':[" NOW ",{'+':[100,50]}]}]}", 100, 150);
}

/* The answer may change at the seconds told, and never between them. */
Test(flips, agree_with_the_answers)
{
    static const char *const conditions[] = {
        "{'<':[" NOW ",50.5]}",      "{'<=':[10," NOW ",20]}", "{'===':[" NOW ",30]}",
        "{'!==':[30.5," NOW "]}",    "{'>':[40," NOW "]}",     "{'in':[1,[1,2]]}",
        "{'==':[" NOW ",'33']}",     "{'>=':[" NOW ",1e300]}", "{'or':[{'>':[" NOW ",70]},{'<':[" NOW ",5]}]}",
        "{'!':{'>=':[" NOW ",60]}}",
    };
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        char text[1024];
        (void)snprintf(text, sizeof text, "{'f':" WHEN("%s") "}", conditions[i]);
        struct cfg_flag_set *set = set_of(text, NULL);
        bool before = false;
        for (int64_t t = -5; t < 100; t++) {
            struct cfg_flag_context c = {.timestamp = t};
            struct cfg_flag_result r = cfg_flag_set_eval(set, "f", 1, CFG_FLAG_BOOL, &c);
            bool now = cJSON_IsTrue(r.value), told = cfg_flag_set_next_flip(set, t - 1) == t;
            cr_assert(t == -5 || now == before || told, "%s at %lld", conditions[i], (long long)t);
            before = now;
        }
        cfg_flag_set_free(set);
    }
}

static void note(void *user, const struct cfg_flag_program *flag, int64_t at)
{
    char *text = user;
    (void)snprintf(text + strlen(text), 256 - strlen(text), "%s@%lld ", cfg_flag_name_of(flag), (long long)at);
}

Test(flips, belong_to_flags_that_are_on_and_follow_references)
{
    struct cfg_flag_set *set =
        set_of("{'a':" WHEN("{'>=':[" NOW ",100]}") ",'b':" WHEN("{'$ref':'season'}") ",'c':" WHEN(
                   "{'$ref':'season'}") ",'killed':{'enabled':false,'definition':{'state':'ENABLED','variants':{'on':"
                                        "true},'targeting':{'if':[{'>':[" NOW
                                        ",1]},'on']}}},'plain':" WHEN("{'>':[{'var':'x'},7]}") "}",
               "{'season':{'and':[{'>=':[" NOW ",150]},{'$ref':'end'}]},'end':{'<':[" NOW ",200]},'unused':{'>':[" NOW
               ",3]}}");
    char text[256] = "";
    cfg_flag_set_flips(set, 0, 1000, note, text);
    cr_assert_str_eq(text, "a@100 b@150 c@150 b@200 c@200 ");
    text[0] = '\0';
    cfg_flag_set_flips(set, 100, 150, note, text);
    cr_assert_str_eq(text, "b@150 c@150 ");
    cr_assert_eq(cfg_flag_set_next_flip(set, 200), CFG_FLAG_NEVER);
    cfg_flag_set_free(set);
}

Test(flips, are_bounded)
{
    struct cfg_buf text;
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(
        &text,
        "{\"f\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"targeting\":{\"if\":[{\"or\":[");
    for (int i = 0; i < 1001; i++)
        cfg_buf_printf(&text, "%s{\">=\":[{\"var\":\"$flagd.timestamp\"},%d]}", i ? "," : "", i);
    cfg_buf_puts(&text, "]},\"on\"]}}}}");
    cJSON *flags = NULL;
    cr_assert_eq(cfg_json_parse(&flags, cfg_buf_slice(&text), 0, NULL), 0);
    struct cfg_flag_source source = {.flags = flags};
    cr_assert_eq(cfg_flag_set_compile(&set, &source, &err), CFG_E_LIMIT, "%s", err.text);
    source.keep_broken = true;
    cr_assert_eq(cfg_flag_set_compile(&set, &source, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_flag_set_next_flip(set, 998), 999);
    cfg_flag_set_free(set);
    cJSON_Delete(flags);
    cfg_buf_finish(&text);
}
