/* Experiments: what a request becomes, totals that are written, read and merged, and what is said of them. */
#include "configd/experiment_seen.h"
#include "configd/experiment_tally.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ' stands for ". */
static cJSON *json(const char *text)
{
    char copy[4096];
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(copy), 0, &err), 0, "%s: %s", copy, err.text);
    return v;
}

#define SPLIT                                                           \
    "{'state':'ENABLED','variants':{'on':true,'off':false,'hot':true}," \
    "'targeting':{'fractional':[{'var':'u'},['on',30],['off',60],['on',10]]}}"
#define REQUEST "{'deployment':'blue','flag':'exp/ab','control':'off','metrics':[{'name':'ms','want':'decrease'}]"

static int plan(cJSON **out, const char *request, const char *definition, const char *off, bool keeps_out,
                struct cfg_error *err)
{
    cJSON *r = json(request), *d = definition ? json(definition) : NULL;
    const struct cfg_experiment_ground ground = {
        .definition = d, .off_variant = off, .keeps_out = keeps_out, .split = NULL};
    int rc = cfg_experiment_plan_record(out, r, &ground, err);
    cJSON_Delete(r);
    cJSON_Delete(d);
    return rc;
}

static void refused(const char *request, const char *definition, const char *says)
{
    cJSON *record = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_lt(plan(&record, request, definition, "off", false, &err), 0, "%s", request);
    cr_assert(strstr(err.text, says) != NULL, "%s: %s", request, err.text);
    cr_assert_null(record);
}

Test(experiment, shares_come_from_a_split)
{
    cJSON *record = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_experiment x;
    cr_assert_eq(plan(&record, REQUEST "}", SPLIT, NULL, false, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_experiment_read(&x, record, &err), 0, "%s", err.text);
    cr_assert(x.n_sides == 2 && strcmp(x.sides[0], "off") == 0 && strcmp(x.sides[1], "on") == 0);
    cr_assert(x.shares[0] == 60 && x.shares[1] == 40, "the same variant twice");
    cr_assert(x.alpha == 0.05 && x.power == 0.8 && x.planned_units == CFG_EXPERIMENT_PLANNED_KEYS && !x.running);
    cfg_experiment_finish(&x);
    cJSON_Delete(record);
}

/* As `cfgctl flag split --by` writes it. */
Test(experiment, shares_come_from_a_split_by_an_attribute)
{
    static const char by[] =
        "{'variants':{'on':true,'off':false},'targeting':{'if':[{'if':[{'!=':[{'var':'user.id'},null]},"
        "{'fractional':[{'cat':[{'var':'$flagd.flagKey'},{'var':'user.id'}]},['on',30],['off',70]]}]}]}}";
    static const char more[] = "{'variants':{'on':true,'off':false},'targeting':{'if':[{'!=':[{'var':'user.id'},null]},"
                               "{'fractional':[['on',30],['off',70]]},'on']}}";
    cJSON *record = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_experiment x;
    cr_assert_eq(plan(&record, REQUEST "}", by, NULL, false, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_experiment_read(&x, record, &err), 0, "%s", err.text);
    cr_assert(strcmp(x.sides[0], "off") == 0 && x.shares[0] == 70 && x.shares[1] == 30);
    cfg_experiment_finish(&x);
    cJSON_Delete(record);
    refused(REQUEST "}", more, "cannot be read off"); /* units without the attribute are on besides */
}

Test(experiment, what_cannot_be_compared_is_refused)
{
    static const char rules[] =
        "{'variants':{'on':true,'off':false},'targeting':{'if':[true,{'fractional':[['on',1],['off',1]]}]}}";
    cJSON *record = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    refused(REQUEST "}", rules, "cannot be read off");
    refused(REQUEST ",'treatments':['of']}", SPLIT, "no variant of");
    refused(REQUEST ",'treatments':['hot']}", SPLIT, "hot has no share");
    refused(REQUEST ",'treatments':['off']}", SPLIT, "twice");
    refused(REQUEST ",'treatments':[]}", SPLIT, "at least one side");
    refused(REQUEST ",'alpha':1}", SPLIT, "between 0 and 1");
    refused(REQUEST ",'effect':0}", SPLIT, "not 0");
    refused(REQUEST ",'planned_units':'many'}", SPLIT, "2 or more");
    refused("{'deployment':'blue','flag':'exp/ab','metrics':[{'name':'ms','want':'decrease'}]}", SPLIT, "control");
    refused("{'deployment':'blue','flag':'exp/ab','control':'off','metrics':[]}", SPLIT, "at least one");
    refused("{'deployment':'blue','flag':'exp/ab','control':'off','metrics':[{'name':'ms','want':'less'}]}", SPLIT,
            "increase or decrease");
    refused("{'deployment':'blue','arms':true,'metrics':[{'name':'ms','want':'decrease'}]}", NULL, "two arms");
    /* Whom a holdout keeps out would be served a side. */
    cr_assert_eq(plan(&record, REQUEST "}", SPLIT, "off", true, &err), CFG_E_VALUE);
    cr_assert(strstr(err.text, "outside of the flag's group or holdout") != NULL, "%s", err.text);
    cr_assert_eq(plan(&record, REQUEST "}", SPLIT, "hot", true, &err), 0, "hot is no side: %s", err.text);
    cJSON_Delete(record);
    cr_assert_eq(plan(&record, REQUEST ",'shares':{'on':1,'off':1}}", rules, NULL, false, &err), 0, "%s", err.text);
    cJSON_Delete(record);
}

/* All units would be served its off_variant: one side. Where that is none, nobody is counted until it is on. */
Test(experiment, a_flag_that_is_off_splits_nobody)
{
    cJSON *request = json(REQUEST "}"), *definition = json(SPLIT), *record = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_experiment_ground ground = {.definition = definition, .off_variant = "on", .is_off = true};
    cr_assert_eq(cfg_experiment_plan_record(&record, request, &ground, &err), CFG_E_VALUE);
    cr_assert(strstr(err.text, "the flag is off: every unit would be served on") != NULL, "%s", err.text);
    cr_assert_null(record);
    ground.off_variant = NULL;
    cr_assert_eq(cfg_experiment_plan_record(&record, request, &ground, &err), 0, "%s", err.text);
    cJSON_Delete(record);
    cJSON_Delete(definition);
    cJSON_Delete(request);
}

/* --- totals --- */

static void open_experiment(struct cfg_experiment *out, const char *record)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = json(record);
    cr_assert_eq(cfg_experiment_read(out, v, &err), 0, "%s", err.text);
    cJSON_Delete(v);
}

#define OF_FLAG                                                                                                      \
    "{'deployment':'blue','flag':'exp/ab','state':'running','run':1,'sides':[{'name':'off','share':1},{'name':'on'," \
    "'share':1}],'metrics':[{'name':'ms','want':'decrease'}],'planned_units':4000}"
#define OF_ARMS                                                                                                       \
    "{'deployment':'blue','arms':true,'state':'running','run':1,'sides':[{'name':'base','share':1},{'name':'canary'," \
    "'share':1}],'metrics':[{'name':'ms','want':'decrease'}],'planned_units':200}"

static uint64_t random_state = 99;

static double noise(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0 - 0.5;
}

/* Outcomes of n units from `first` on, one sample each. */
static void tell(struct cfg_tally *t, const char *variant, unsigned first, unsigned n, double mean)
{
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char units[CFG_HLL_REGISTERS + 1], name[32];
    struct cfg_moments m = {0};
    struct cfg_parts p = {0};
    struct cfg_buf b;
    cJSON *v = NULL;
    for (unsigned i = 0; i < n; i++) {
        int len = snprintf(name, sizeof name, "%s-%u", variant, first + i);
        uint64_t unit = cfg_hll_unit(name, (size_t)len);
        uint8_t *r = &registers[cfg_hll_register(unit)], rank = cfg_hll_rank(unit);
        *r = *r > rank ? *r : rank;
        double x = mean + noise();
        cfg_moments_add(&m, x);
        cfg_parts_add(&p, unit, x);
    }
    cfg_hll_print(units, registers);
    cfg_buf_init(&b, 8192);
    cfg_buf_printf(&b, "{\"flag\":\"exp/ab\",\"variant\":\"%s\",\"units\":\"%s\",\"metrics\":{\"ms\":", variant, units);
    cfg_moments_print(&b, &m);
    cfg_buf_puts(&b, "},\"parts\":{\"ms\":");
    cfg_parts_print(&b, &p);
    cfg_buf_puts(&b, "}}");
    cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&b), 0, NULL), 0);
    cr_assert_eq(cfg_tally_outcome(t, v), strcmp(variant, "hot") != 0);
    cJSON_Delete(v);
    cfg_buf_finish(&b);
}

/* Through its text, as etcd keeps it. */
static void reread(struct cfg_tally *t)
{
    struct cfg_tally back;
    struct cfg_buf text;
    struct cfg_error err = CFG_ERROR_INIT;
    cfg_buf_init(&text, 1 << 20);
    cfg_tally_print(&text, t);
    cr_assert_eq(cfg_tally_parse(&back, t->of, cfg_buf_slice(&text), &err), 0, "%s: %s", err.text, text.data);
    cfg_tally_finish(t);
    *t = back;
    cfg_buf_finish(&text);
}

Test(experiment, totals_of_replicas_add_up)
{
    struct cfg_experiment x;
    struct cfg_tally whole, a, b;
    double p = 1, q = 1;
    open_experiment(&x, OF_FLAG);
    cr_assert(!cfg_tally_init(&whole, &x, NULL) && !cfg_tally_init(&a, &x, NULL) && !cfg_tally_init(&b, &x, NULL));
    random_state = 99;
    tell(&whole, "off", 0, 3000, 10);
    tell(&whole, "on", 0, 3000, 9.5);
    tell(&whole, "hot", 0, 10, 1); /* no side of this experiment */
    random_state = 99;
    tell(&a, "off", 0, 2000, 10);
    tell(&b, "off", 1500, 1500, 10); /* some units came to both */
    tell(&b, "on", 0, 3000, 9.5);
    reread(&a);
    reread(&b);
    b.p_floor = 0.25;
    cr_assert_eq(cfg_tally_merge(&a, &b, NULL), 0);
    cJSON *one = cfg_tally_report(&whole, &p), *two = cfg_tally_report(&a, &q);
    cr_assert_str_eq(cfg_json_get_str(one, "verdict", ""), "better");
    cr_assert_str_eq(cfg_json_get_str(two, "verdict", ""), "better");
    double units = cfg_json_get_num(cfg_json_get(one, "control"), "units", 0);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(two, "control"), "units", 0), units, "a union, not a sum");
    cr_assert_eq(a.sides[0].metrics[0].n, 3500U);
    cr_assert(q <= 0.25 && a.p_floor == 0.25, "what another saw");
    cr_assert_eq(cfg_parts_count(&a.sides[0].parts[0]), 3500U);
    cJSON_Delete(one);
    cJSON_Delete(two);
    cfg_tally_finish(&whole);
    cfg_tally_finish(&a);
    cfg_tally_finish(&b);
    cfg_experiment_finish(&x);
}

static void run(struct cfg_tally *t, const char *group, const char *arm, double mean, unsigned n)
{
    struct cfg_moments m = {0};
    struct cfg_buf b;
    cJSON *v = NULL;
    for (unsigned i = 0; i < n; i++)
        cfg_moments_add(&m, mean);
    cfg_buf_init(&b, 4096);
    cfg_buf_puts(&b, "{\"ms\":");
    cfg_moments_print(&b, &m);
    cfg_buf_puts(&b, "}");
    cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&b), 0, NULL), 0);
    (void)cfg_tally_window(t, group, arm, v);
    cJSON_Delete(v);
    cfg_buf_finish(&b);
}

Test(experiment, a_group_is_one_unit_however_much_it_tells)
{
    struct cfg_experiment x;
    struct cfg_tally t, other;
    double p = 1;
    char name[16];
    open_experiment(&x, OF_ARMS);
    cr_assert(!cfg_tally_init(&t, &x, NULL) && !cfg_tally_init(&other, &x, NULL));
    for (unsigned i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof name, "g%u", i);
        run(i < 30 ? &t : &other, name, i % 2 ? "canary" : "base", 10 + noise() - (i % 2 ? 2 : 0), i < 5 ? 1000 : 10);
    }
    run(&t, "g40", "base", 8, 10);     /* seen at both replicas: one group */
    run(&t, "g1", "base", 8, 10);      /* in another arm now: had both */
    run(&t, "g70", "nightly", 1, 10);  /* no side */
    run(&other, "g41", "base", 8, 10); /* had both before it came here */
    t.left_out = 2;
    other.left_out = 3;
    reread(&t);
    reread(&other);
    cr_assert_eq(cfg_tally_merge(&t, &other, NULL), 0);
    cJSON *r = cfg_tally_report(&t, &p);
    cr_assert_str_eq(cfg_json_get_str(r, "verdict", ""), "better");
    cr_assert_eq(cfg_json_get_num(cfg_json_get(r, "control"), "units", 0), 30);
    const cJSON *canary = cJSON_GetArrayItem(cfg_json_get(r, "treatments"), 0);
    cr_assert_eq(cfg_json_get_num(canary, "units", 0), 30, "assigned like any other");
    cr_assert_eq(cfg_json_get_num(cJSON_GetArrayItem(cfg_json_get(canary, "metrics"), 0), "n", 0), 28);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(r, "groups"), "crossed", 0), 2);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(r, "groups"), "left_out", 0), 5);
    cJSON_Delete(r);
    cfg_tally_finish(&t);
    cfg_tally_finish(&other);
    cfg_experiment_finish(&x);
}

/* All of the canary changed their view together, and tell together: a look before their turn is no mismatch for good.
 * Where the base has had its turn several times and they have not, it is one. */
Test(experiment, arms_are_judged_when_all_had_their_turn)
{
    struct cfg_experiment x;
    struct cfg_tally t, other;
    double p = 0;
    char name[16];
    open_experiment(&x, OF_ARMS);
    cr_assert(!cfg_tally_init(&t, &x, NULL) && !cfg_tally_init(&other, &x, NULL));
    for (unsigned round = 1; round <= CFG_TALLY_ROUNDS; round++) {
        for (unsigned i = 0; i < 40; i++) {
            (void)snprintf(name, sizeof name, "g%u", i);
            run(&t, name, "base", 10 + noise(), 10);
        }
        cJSON *r = cfg_tally_report(&t, &p);
        bool is_void = strcmp(cfg_json_get_str(r, "verdict", ""), "void") == 0;
        cr_assert_eq(is_void, round == CFG_TALLY_ROUNDS, "round %u", round);
        cr_assert_eq(p < 0.001, is_void);
        cJSON_Delete(r);
    }
    reread(&t);
    cr_assert_eq(cfg_tally_merge(&other, &t, NULL), 0); /* another process has them still */
    cJSON_Delete(cfg_tally_report(&other, &p));
    cr_assert_lt(p, 0.001);
    cfg_tally_finish(&t);
    cfg_tally_finish(&other);
    cfg_experiment_finish(&x);
}

/* What a plan is measured by is a group's first window, however long it runs and whoever merges it. */
Test(experiment, a_group_keeps_how_it_began)
{
    struct cfg_experiment x;
    struct cfg_tally t, other;
    open_experiment(&x, OF_ARMS);
    cr_assert(!cfg_tally_init(&t, &x, NULL) && !cfg_tally_init(&other, &x, NULL));
    run(&t, "g1", "base", 4, 10);
    run(&t, "g1", "base", 8, 30);
    run(&other, "g1", "base", 100, 10);
    run(&other, "g2", "canary", 3, 1);
    reread(&t);
    reread(&other);
    cr_assert_eq(cfg_tally_count(&t), 40U);
    cr_assert_eq(cfg_tally_merge(&t, &other, NULL), 0);
    const struct cfg_tally_group_metric *m = t.groups[0]->metrics;
    cr_assert(m->n == 50 && fabs(m->mean - 25.6) < 1e-12 && m->first == 4, "%g %g", m->mean, m->first);
    cr_assert(t.groups[1]->metrics->first == 3 && cfg_tally_count(&t) == 51);
    cfg_tally_finish(&t);
    cfg_tally_finish(&other);
    cfg_experiment_finish(&x);
}

/* Groups' means that come together with time: the interval shrinks with what they say, its plan stays. */
Test(experiment, time_does_not_move_the_plan_of_arms)
{
    struct cfg_experiment x;
    struct cfg_tally t;
    double p = 1;
    char name[16];
    open_experiment(&x, OF_ARMS);
    cr_assert(!cfg_tally_init(&t, &x, NULL));
    for (unsigned i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof name, "g%u", i);
        double first = noise();
        run(&t, name, i % 2 ? "canary" : "base", first, 1);
        run(&t, name, i % 2 ? "canary" : "base", first / 100, 999);
    }
    cJSON *r = cfg_tally_report(&t, &p);
    const cJSON *m =
        cJSON_GetArrayItem(cfg_json_get(cJSON_GetArrayItem(cfg_json_get(r, "treatments"), 0), "metrics"), 0);
    double half = (cfg_json_get_num(m, "high", 0) - cfg_json_get_num(m, "low", 0)) / 2 / cfg_json_get_num(m, "se", 1);
    cr_assert(half > 4.2, "%g errors wide: as late as this in an experiment", half);
    cJSON_Delete(r);
    cfg_tally_finish(&t);
    cfg_experiment_finish(&x);
}

Test(experiment, totals_of_many_groups_find_their_place_in_etcd)
{
    struct cfg_experiment x;
    struct cfg_tally t;
    struct cfg_buf record, text;
    char name[64];
    cfg_buf_init(&record, 4096);
    cfg_buf_puts(&record,
                 "{'deployment':'blue','arms':true,'state':'running','run':1,'sides':[{'name':'base','share':1},"
                 "{'name':'canary','share':1}],'metrics':[");
    for (int i = 0; i < CFG_EXPERIMENT_METRICS_MAX; i++)
        cfg_buf_printf(&record, "%s{'name':'%s%d','want':'decrease'}", i ? "," : "", "m", i);
    cfg_buf_puts(&record, "]}");
    open_experiment(&x, record.data);
    cr_assert_eq(cfg_tally_init(&t, &x, NULL), 0);
    cJSON *metrics = cJSON_CreateObject();
    for (int i = 0; i < CFG_EXPERIMENT_METRICS_MAX; i++) {
        (void)snprintf(name, sizeof name, "m%d", i);
        cJSON *m = json("{'n':3,'mean':0.12345678901234567,'m2':0,'min':0.12345678901234567,'max':0.12345678901234567,"
                        "'last':0.12345678901234567,'bad':0}");
        cr_assert_eq(cfg_json_set(metrics, name, m), 0);
    }
    for (int i = 0; i < CFG_TALLY_GROUPS; i++) {
        (void)snprintf(name, sizeof name, "%s-%04d", "a-group-with-quite-a-long-name-as-some-launchers-make", i);
        cr_assert(cfg_tally_window(&t, name, "base", metrics));
    }
    cr_assert_eq(t.left_out + t.n_groups, (uint64_t)CFG_TALLY_GROUPS);
    cfg_buf_init(&text, 4 << 20);
    cfg_tally_print(&text, &t);
    cr_assert(text.len < 1400 * 1024 && t.n_groups > 900, "%zu groups in %zu bytes", t.n_groups, text.len);
    cJSON_Delete(metrics);
    cfg_buf_finish(&text);
    cfg_buf_finish(&record);
    cfg_tally_finish(&t);
    cfg_experiment_finish(&x);
}

Test(experiment, foreign_totals_are_refused)
{
    static const char *const texts[] = {"",
                                        "[]]",
                                        "{'p_floor':0,'sides':[],'groups':[]}",
                                        "{'p_floor':1,'sides':[{'units':'x','metrics':[]}],'groups':[]}",
                                        "{'p_floor':1,'left_out':-1,'sides':[],'groups':[]}",
                                        "{'p_floor':1,'left_out':1e300,'sides':[],'groups':[]}",
                                        "{'p_floor':1,'sides':[],'groups':[['g',9,0,1,1,1]]}",
                                        "{'p_floor':1,'sides':[],'groups':[['g',0,0,1,1]]}",
                                        "{'p_floor':1,'sides':[],'groups':[['g',0,0,-1,1,1]]}",
                                        "{'p_floor':1,'sides':[],'groups':[[]]}"};
    struct cfg_experiment x;
    struct cfg_tally t;
    open_experiment(&x, OF_FLAG);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char copy[128];
        (void)snprintf(copy, sizeof copy, "%s", texts[i]);
        for (char *c = copy; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        cr_assert_lt(cfg_tally_parse(&t, &x, cfg_slice_str(copy), NULL), 0, "%s", copy);
    }
    cfg_experiment_finish(&x);
}

/* Of an experiment with fewer metrics, or none. */
Test(experiment, totals_that_lack_a_metric_are_refused)
{
    static const char *const texts[] = {"'metrics':[],'parts':[]", "'metrics':[{'n':0,'mean':0,'m2':0,'bad':0}]",
                                        "'parts':[[]]", "'metrics':7,'parts':7"};
    struct cfg_experiment x;
    struct cfg_tally t;
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char units[CFG_HLL_REGISTERS + 1];
    cfg_hll_print(units, registers);
    open_experiment(&x, OF_FLAG);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char copy[CFG_HLL_REGISTERS + 256];
        (void)snprintf(copy, sizeof copy, "{'p_floor':1,'sides':[{'units':'%s',%s}],'groups':[]}", units, texts[i]);
        for (char *c = copy; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        cr_assert_eq(cfg_tally_parse(&t, &x, cfg_slice_str(copy), NULL), CFG_E_VALUE, "%s", texts[i]);
    }
    cfg_experiment_finish(&x);
}

Test(experiment, what_was_seen_before_is_known_for_plans)
{
    struct cfg_seen s = {.n = 0};
    char text[2048], units[CFG_HLL_REGISTERS + 1], name[16];
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char zeros[4 * (CFG_PARTS - 1) + 1] = "";
    for (unsigned i = 0; i < sizeof zeros - 1; i++)
        zeros[i] = i % 2 ? '0' : ',';
    cfg_hll_print(units, registers);
    for (unsigned i = 0; i < CFG_SEEN_VARIANTS + 3; i++) {
        (void)snprintf(name, sizeof name, "v%u", i);
        (void)snprintf(text, sizeof text,
                       "{'flag':'exp/ab','variant':'%s','units':'%s','metrics':{'ms':{'n':2,'mean':5,'m2':2,'min':4,"
                       "'max':6,'last':6,'bad':0}},'parts':{'ms':[2,5%s]}}",
                       name, units, zeros);
        cJSON *v = json(text);
        cfg_seen_outcome(&s, "blue", v, 7);
        cfg_seen_outcome(&s, "blue", v, 9);
        cJSON_Delete(v);
    }
    const struct cfg_seen_variant *v = cfg_seen_find(&s, "blue", "exp/ab", "v1");
    cr_assert(v != NULL && v->since_ms == 7);
    cr_assert(v->metrics[cfg_seen_metric(v, "ms")].n == 4 && cfg_seen_metric(v, "other") == v->n_metrics);
    cr_assert_eq(cfg_parts_count(&v->parts[0]), 4U);
    cr_assert_null(cfg_seen_find(&s, "green", "exp/ab", "v1"));
    cr_assert_eq(s.n, (size_t)CFG_SEEN_VARIANTS);
    cfg_seen_finish(&s);
}
