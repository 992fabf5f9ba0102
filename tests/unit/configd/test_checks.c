/* A bad config cannot be written: schemas, pins that schemas freeze, contracts of connected workers. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct world w;

#define SCHEMA(ns, text) "[{\"object\":\"schema/" ns "\",\"put\":" text "}]"
#define PATCH(ns, text)  "[{\"object\":\"config/" ns "\",\"patch\":" text "}]"
#define SAMPLING                                                                                              \
    "{\"type\":\"object\",\"properties\":{\"sampling\":{\"type\":\"object\",\"properties\":{\"temperature\":" \
    "{\"type\":\"number\",\"maximum\":2,\"x-apply\":\"live\"}}},\"distributed\":{\"x-apply\":\"pinned\"},"    \
    "\"batch\":{\"type\":\"integer\",\"x-capacity\":\"distributed.max\"}},"                                   \
    "\"x-invariants\":[{\"expr\":\"batch <= 100 * seed\",\"message\":\"the batch must fit\"}]}"

/* chat and search extend base; blue runs chat at its head, red holds it. */
static void open_world(void)
{
    world_open(&w);
    world_ok(&w, "[{\"object\":\"config/base\",\"put\":{\"sampling\":{\"temperature\":0.7},\"seed\":1,\"batch\":8,"
                 "\"distributed\":{\"tp\":4,\"max\":64}}}]");
    world_ok(&w, "[{\"object\":\"config/chat\",\"put\":{\"sampling\":{\"temperature\":0.2}},\"extends\":[\"base\"]}]");
    world_ok(&w, "[{\"object\":\"config/search\",\"extends\":[\"base\"]}]");
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"put\":{\"config\":\"chat\"}}]");
    world_ok(&w, "[{\"object\":\"deployment/red\",\"put\":{\"config\":\"chat\",\"track\":\"hold\"}}]");
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(checks, .init = open_world, .fini = close_world);

static const char *violation(size_t i, const char *member)
{
    static char text[512];
    const cJSON *v = cJSON_GetArrayItem(w.decision.violations, (int)i);
    const char *value = cfg_json_get_str(v, member, "");
    (void)snprintf(text, sizeof text, "%s", value);
    return text;
}

/* The place of the violation at a path; -1: none. */
static int at(const char *path)
{
    for (int i = 0; i < cJSON_GetArraySize(w.decision.violations); i++)
        if (strcmp(violation((size_t)i, "path"), path) == 0)
            return i;
    return -1;
}

static int violations(void)
{
    return cJSON_GetArraySize(w.decision.violations);
}

/* --- the schema itself --- */

Test(checks, a_schema_is_an_object_of_its_own_with_history)
{
    world_ok(&w, SCHEMA("chat", "{\"type\":\"object\"}"));
    cr_assert_str_eq(world_result(&w, "r[0].kind"), "\"schema\"");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "true");
    world_ok(&w, SCHEMA("chat", "true"));
    cr_assert_str_eq(world_head(&w, "schema/chat", "schema"), "true");
    world_ok(&w, "[{\"object\":\"schema/chat\",\"rollback_to\":1}]");
    cr_assert_str_eq(world_head(&w, "schema/chat", "schema.type"), "\"object\"");
    world_ok(&w, "[{\"object\":\"schema/chat\",\"delete\":true}]");
    cr_assert_str_eq(world_head(&w, "schema/chat", "schema"), "deleted");
    world_fails(&w, "[{\"object\":\"schema/chat\",\"patch\":{}}]", CFG_E_UNSUPPORTED, "as a whole");
}

Test(checks, an_invalid_schema_is_refused_with_its_place)
{
    world_fails(&w, SCHEMA("chat", "{\"properties\":{\"a\":{\"minimum\":\"3\"}}}"), CFG_E_VALUE, "minimum");
    cr_assert_str_eq(w.err.path, "#/properties/a/minimum");
    world_fails(&w, SCHEMA("chat", "{\"propertys\":{}}"), CFG_E_VALUE, "propertys");
    cr_assert(strstr(w.err.hint, "properties"), "%s", w.err.hint);
    world_fails(&w, SCHEMA("chat", "{\"$ref\":\"https://example.org/other.json\"}"), CFG_E_VALUE, "example.org");
    world_fails(&w, SCHEMA("chat", "3"), CFG_E_VALUE, "schema");
}

/* --- documents --- */

Test(checks, all_violations_of_a_write_are_listed)
{
    world_ok(&w,
             SCHEMA("search", "{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"maximum\":3},\"sampling\":{"
                              "\"properties\":{\"temperature\":{},\"top_p\":{}},\"additionalProperties\":false}}}"));
    world_fails(&w, PATCH("search", "{\"a\":\"x\",\"b\":4,\"sampling\":{\"temperatur\":1}}"), CFG_E_SCHEMA,
                "namespace search");
    cr_assert_eq(violations(), 3, "%d", violations());
    cr_assert(at("a") >= 0 && at("b") >= 0 && at("sampling.temperatur") >= 0);
    size_t i = (size_t)at("a");
    cr_assert_str_eq(violation(i, "keyword"), "type");
    cr_assert_str_eq(violation(i, "namespace"), "search");
    cr_assert_str_eq(violation(i, "schema"), "search");
    cr_assert_str_eq(violation(i, "code"), "schema");
    cr_assert(strstr(violation((size_t)at("sampling.temperatur"), "hint"), "temperature"));
    cr_assert(strstr(w.err.text, "(and 2 more)"), "%s", w.err.text);
    world_ok(&w, PATCH("search", "{\"a\":1,\"b\":3}"));
}

Test(checks, a_base_is_refused_for_what_extends_it)
{
    world_ok(&w, SCHEMA("search", "{\"properties\":{\"seed\":{\"maximum\":5}}}"));
    world_fails(&w, PATCH("base", "{\"seed\":6}"), CFG_E_SCHEMA, "namespace search: seed");
    cr_assert_str_eq(violation(0, "namespace"), "search");
    cr_assert_eq(violations(), 1);
    world_ok(&w, PATCH("search", "{\"seed\":2}"));
    world_ok(&w, PATCH("base", "{\"seed\":6}"));
}

Test(checks, a_base_s_schema_holds_for_what_extends_it)
{
    world_ok(&w, SCHEMA("base", "{\"properties\":{\"seed\":{\"maximum\":5}}}"));
    world_fails(&w, PATCH("search", "{\"seed\":6}"), CFG_E_SCHEMA, "seed");
    cr_assert_str_eq(violation(0, "schema"), "base");
    world_ok(&w, "[{\"object\":\"config/free\",\"put\":{\"seed\":6}}]");
    world_fails(&w, "[{\"object\":\"config/free\",\"extends\":[\"base\"]}]", CFG_E_SCHEMA, "namespace free: seed");
}

Test(checks, values_are_checked_as_they_resolve)
{
    world_ok(&w, SCHEMA("search", "{\"properties\":{\"twice\":{\"type\":\"integer\",\"maximum\":10}}}"));
    world_ok(&w, PATCH("search", "{\"twice\":\"${eval: 2 * ${seed}}\"}"));
    world_fails(&w, PATCH("base", "{\"seed\":6}"), CFG_E_SCHEMA, "twice");
    world_fails(&w, PATCH("search", "{\"twice\":\"${sampling}\"}"), CFG_E_SCHEMA, "twice");
}

Test(checks, an_abstract_base_may_miss_values_and_nothing_else)
{
    world_ok(&w, SCHEMA("abstract", "{\"required\":[\"lr\",\"steps\"],\"properties\":{\"lr\":{\"type\":\"number\"},"
                                    "\"steps\":{\"type\":\"integer\"},\"n\":{\"type\":\"integer\"}},"
                                    "\"x-invariants\":[{\"expr\":\"lr * steps < 10\"},{\"expr\":\"n > 0\"}]}"));
    world_ok(&w, "[{\"object\":\"config/abstract\",\"put\":{\"lr\":\"?\?\?\",\"steps\":5,\"n\":1}}]");
    world_ok(&w, PATCH("abstract", "{\"steps\":\"${lr}\"}"));
    world_fails(&w, PATCH("abstract", "{\"steps\":\"five\"}"), CFG_E_SCHEMA, "steps");
    world_fails(&w, PATCH("abstract", "{\"n\":0}"), CFG_E_SCHEMA, "n > 0");
    world_fails(&w, PATCH("abstract", "{\"lr\":null}"), CFG_E_SCHEMA, "lr");
    world_ok(&w, PATCH("abstract", "{\"steps\":5}"));
    world_ok(&w, "[{\"object\":\"config/real\",\"put\":{\"lr\":1},\"extends\":[\"abstract\"]}]");
    world_fails(&w, PATCH("real", "{\"lr\":2}"), CFG_E_SCHEMA, "lr * steps < 10");
}

Test(checks, the_environment_is_not_judged_but_bound_to_what_waits_for_a_restart)
{
    world_ok(&w, SCHEMA("search", "{\"properties\":{\"port\":{\"type\":\"integer\",\"x-apply\":\"restart\"},"
                                  "\"rate\":{\"x-apply\":\"live\"}}}"));
    world_ok(&w, PATCH("search", "{\"port\":\"${oc.env:PORT}\"}"));
    world_fails(&w, PATCH("search", "{\"rate\":\"${oc.env:RATE}\"}"), CFG_E_SCHEMA, "environment");
}

Test(checks, a_secret_is_refused_without_its_text)
{
    world_ok(&w, SCHEMA("search", "{\"properties\":{\"token\":{\"type\":\"string\",\"x-secret\":true}}}"));
    world_fails(&w, PATCH("search", "{\"token\":\"hunter2\"}"), CFG_E_SCHEMA, "token");
    struct cfg_buf text;
    cfg_buf_init(&text, 65536);
    cfg_json_print(&text, w.decision.violations);
    cr_assert(strstr(text.data, "token") && !strstr(text.data, "hunter2"), "%s", text.data);
    cr_assert_null(strstr(w.err.text, "hunter2"), "%s", w.err.text);
    cfg_buf_finish(&text);
    world_ok(&w, PATCH("search", "{\"token\":\"secret:env:TOKEN\"}"));
}

Test(checks, invariants_say_their_message)
{
    world_ok(&w, SCHEMA("base", SAMPLING));
    world_fails(&w, PATCH("search", "{\"batch\":60,\"seed\":0}"), CFG_E_SCHEMA, "the batch must fit");
}

Test(checks, a_write_that_changes_nothing_is_never_refused)
{
    world_ok(&w, SCHEMA("search", "{\"properties\":{\"seed\":{\"maximum\":5}}}"));
    world_ok(&w, PATCH("search", "{}"));
    cr_assert_str_eq(world_result(&w, "r[0].unchanged"), "true");
}

/* --- schemas that come after documents --- */

Test(checks, a_schema_that_a_document_violates_is_refused)
{
    world_fails(&w, SCHEMA("base", "{\"properties\":{\"seed\":{\"minimum\":2}}}"), CFG_E_SCHEMA, "seed");
    cr_assert_eq(violations(), 3, "base, and chat and search above it: %d", violations());
    world_ok(&w, "[{\"object\":\"schema/base\",\"put\":{\"properties\":{\"seed\":{\"minimum\":2}}}},"
                 "{\"object\":\"config/base\",\"patch\":{\"seed\":2}}]");
    world_ok(&w, SCHEMA("later", "{\"required\":[\"a\"]}"));
    world_fails(&w, "[{\"object\":\"config/later\",\"put\":{}}]", CFG_E_SCHEMA, "\"a\"");
}

/* The pin, not the document, is what blue's workers run. */
Test(checks, a_schema_that_a_view_violates_is_refused_for_its_deployment)
{
    world_ok(&w, "[{\"object\":\"deployment/green\",\"put\":{\"config\":\"chat\",\"pin\":[\"seed\"]}}]");
    world_ok(&w, PATCH("base", "{\"seed\":3}"));
    world_fails(&w, SCHEMA("chat", "{\"properties\":{\"seed\":{\"minimum\":2}}}"), CFG_E_SCHEMA, "deployment green");
    cr_assert_str_eq(violation(0, "deployment"), "green");
    cr_assert_eq(violations(), 1);
    world_fails(&w, SCHEMA("base", "{\"x-invariants\":[{\"expr\":\"seed == 3\"}]}"), CFG_E_SCHEMA, "deployment green");
}

Test(checks, a_held_deployment_moves_to_valid_releases_only)
{
    world_ok(&w, PATCH("chat", "{\"seed\":9}"));
    world_ok(&w, PATCH("chat", "{\"seed\":2}"));
    world_ok(&w, SCHEMA("chat", "{\"properties\":{\"seed\":{\"maximum\":5}}}"));
    world_fails(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"chat\":2}}}]", CFG_E_SCHEMA, "seed");
    world_ok(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"chat\":3}}}]");
}

/* --- pins --- */

Test(checks, a_schema_that_pins_freezes_what_deployments_have)
{
    world_ok(&w, SCHEMA("base", SAMPLING));
    cr_assert_str_eq(world_result(&w, "r[1].object"), "\"deployment/blue\"");
    cr_assert_str_eq(world_result(&w, "r[2]"), "");
    cr_assert(strstr(world_result(&w, "r[1].hint"), "distributed.tp"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin"), "{\"distributed\":{\"tp\":4,\"max\":64}}");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin_keys"), "[\"distributed.tp\",\"distributed.max\"]");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "generation"), "1");
    world_ok(&w, PATCH("base", "{\"distributed\":{\"tp\":8}}"));
    cr_assert_str_eq(world_result(&w, "r[0].kept[0].deployment"), "\"blue\"");
    cr_assert_str_eq(world_result(&w, "r[0].kept[0].value"), "4");
    cr_assert_str_eq(world_result(&w, "r[1]"), "");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin.distributed.tp"), "4");
}

Test(checks, pins_are_frozen_as_they_were_before_the_change)
{
    world_ok(&w, "[{\"object\":\"config/base\",\"patch\":{\"distributed\":{\"tp\":8}}},"
                 "{\"object\":\"schema/base\",\"put\":" SAMPLING "}]");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin.distributed.tp"), "4");
}

Test(checks, a_pinned_key_that_comes_into_being_stays_away_from_those_that_run)
{
    world_ok(&w, SCHEMA("base", SAMPLING));
    world_ok(&w, PATCH("base", "{\"distributed\":{\"pp\":2}}"));
    cr_assert_str_eq(world_result(&w, "r[0].kept[0].path"), "\"distributed.pp\"");
    cr_assert_str_eq(world_result(&w, "r[0].kept[0].value"), "null");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin_keys[2]"), "\"distributed.pp\"");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin.distributed.pp"), "");
    world_ok(&w, "[{\"object\":\"deployment/green\",\"put\":{\"config\":\"chat\",\"pin\":[\"seed\"]}}]");
    cr_assert_str_eq(world_head(&w, "deployment/green", "pin"),
                     "{\"seed\":1,\"distributed\":{\"tp\":4,\"max\":64,\"pp\":2}}");
}

/* --- capacity --- */

Test(checks, a_value_stays_below_its_capacity_as_the_deployment_pins_it)
{
    world_ok(&w, SCHEMA("base", SAMPLING));
    world_ok(&w, PATCH("base", "{\"seed\":5,\"distributed\":{\"max\":200}}"));
    world_ok(&w, PATCH("search", "{\"batch\":128}"));
    world_fails(&w, PATCH("chat", "{\"batch\":65}"), CFG_E_CEILING, "deployment blue: batch");
    cr_assert_str_eq(violation(0, "keyword"), "x-capacity");
    w.force = true;
    world_fails(&w, PATCH("chat", "{\"batch\":65}"), CFG_E_CEILING, "batch");
}

/* --- guards --- */

static bool guards(enum cfg_kind kind, const char *ns)
{
    for (size_t i = 0; i < w.decision.n_guards; i++)
        if (w.decision.guards[i].id.kind == kind && strcmp(w.decision.guards[i].id.ns, ns) == 0)
            return true;
    return false;
}

Test(checks, schemas_that_were_looked_for_are_guarded)
{
    cr_assert_eq(world_decide(&w, PATCH("base", "{\"seed\":3}")), 0);
    cr_assert(guards(CFG_KIND_SCHEMA, "base") && guards(CFG_KIND_SCHEMA, "chat") && guards(CFG_KIND_SCHEMA, "search"));
    cr_assert_eq(world_decide(&w, SCHEMA("base", "true")), 0);
    cr_assert(guards(CFG_KIND_CONFIG, "base") && guards(CFG_KIND_CONFIG, "chat") && guards(CFG_KIND_DEPLOYMENT, ""));
    world_ok(&w, SCHEMA("search", "{\"properties\":{\"seed\":{\"maximum\":5}}}"));
    cr_assert_eq(world_decide(&w, PATCH("base", "{\"seed\":6}")), CFG_E_SCHEMA);
    cr_assert(guards(CFG_KIND_SCHEMA, "search"), "a refusal holds only while the schema does");
}

/* --- connected workers --- */

/* Two workers here, one of which publishes a ceiling; nobody elsewhere but for presence records. */
static cJSON *contract, *ceilings;
static bool unknown;

static void each_part(void *arg, const char *deployment, bool (*fn)(const struct cfg_crew_part *part, void *fn_arg),
                      void *fn_arg)
{
    static const char *const names[] = {"w1", "w2"};
    (void)arg;
    if (strcmp(deployment, "blue") != 0)
        return;
    if (!fn(&(struct cfg_crew_part){.contract = contract, .workers = 2, .names = names, .n_names = 2}, fn_arg))
        return;
    if (unknown)
        (void)fn(&(struct cfg_crew_part){.unknown = true, .workers = 3, .replica = "r2"}, fn_arg);
    (void)fn(&(struct cfg_crew_part){.ceilings = ceilings}, fn_arg);
}
static const struct cfg_crew crew = {.each = each_part, .replica = "r1"};

static void connect_workers(void)
{
    cr_assert_eq(
        cfg_json_parse(&contract,
                       CFG_SLICE_LIT("{\"sampling.temperature\":{\"type\":\"f64\",\"class\":\"live\",\"min\":0,"
                                     "\"max\":2},\"batch\":{\"type\":\"i64\",\"class\":\"drain\"},"
                                     "\"name\":{\"type\":\"string\",\"class\":\"restart\",\"required\":true},"
                                     "\"exp/f\":{\"type\":\"flag\",\"class\":\"live\"}}"),
                       0, NULL),
        0);
    cr_assert_eq(cfg_json_parse(&ceilings, CFG_SLICE_LIT("{\"batch\":{\"lowest\":32,\"worker\":\"w2\"}}"), 0, NULL), 0);
    w.heads.crew = &crew;
}

static void open_connected(void)
{
    open_world();
    world_ok(&w, PATCH("base", "{\"name\":\"a\"}"));
    connect_workers();
}

static void close_connected(void)
{
    cJSON_Delete(contract);
    cJSON_Delete(ceilings);
    close_world();
}
TestSuite(connected, .init = open_connected, .fini = close_connected);

Test(connected, a_view_that_workers_would_reject_is_refused_with_all_keys)
{
    world_fails(&w, PATCH("base", "{\"batch\":8.5,\"name\":null}"), CFG_E_CONTRACT, "deployment blue");
    cr_assert_eq(violations(), 2);
    size_t i = (size_t)at("batch");
    cr_assert_str_eq(violation(i, "keyword"), "type");
    cr_assert_str_eq(violation(i, "expected"), "an integer");
    cr_assert_str_eq(violation(i, "got"), "8.5");
    cr_assert_str_eq(violation(i, "deployment"), "blue");
    cr_assert_str_eq(violation(i, "worker"), "w1");
    cr_assert_str_eq(violation(i, "code"), "contract");
    cr_assert_eq(cfg_json_get_num(cJSON_GetArrayItem(w.decision.violations, (int)i), "workers", 0), 2);
    world_fails(&w, PATCH("chat", "{\"sampling\":{\"temperature\":2.1}}"), CFG_E_CONTRACT, "0 to 2");
    world_fails(&w, "[{\"object\":\"config/base\",\"json_patch\":[{\"op\":\"remove\",\"path\":\"/name\"}]}]",
                CFG_E_CONTRACT, "there is none");
    world_ok(&w, PATCH("chat", "{\"sampling\":{\"temperature\":2}}"));
    world_ok(&w, PATCH("search", "{\"sampling\":{\"temperature\":9}}"));
}

Test(connected, a_value_above_a_published_ceiling_is_refused)
{
    world_fails(&w, PATCH("chat", "{\"batch\":33}"), CFG_E_CEILING, "batch");
    cr_assert_str_eq(violation(0, "worker"), "w2");
    cr_assert_str_eq(violation(0, "expected"), "at most 32");
    world_ok(&w, PATCH("chat", "{\"batch\":32}"));
}

Test(connected, force_overrides_workers_and_is_recorded_but_never_a_schema)
{
    w.force = true;
    world_ok(&w, PATCH("chat", "{\"batch\":33,\"sampling\":{\"temperature\":3}}"));
    cr_assert_str_eq(world_head(&w, "config/chat", "message"),
                     "\"[forced past 2 violations of workers' contracts or ceilings]\"");
    cr_assert_str_eq(world_result(&w, "r[0].forced[0].code"), "\"contract\"");
    cr_assert_str_eq(world_result(&w, "r[0].forced[1].code"), "\"ceiling\"");
    world_fails(&w, SCHEMA("chat", "{\"properties\":{\"batch\":{\"maximum\":32}}}"), CFG_E_SCHEMA, "batch");
}

Test(connected, the_schema_weighs_more_than_workers)
{
    world_ok(&w, SCHEMA("chat", "{\"properties\":{\"seed\":{\"maximum\":5}}}"));
    world_fails(&w, PATCH("chat", "{\"batch\":33,\"seed\":6}"), CFG_E_SCHEMA, "seed");
    cr_assert_eq(violations(), 2);
}

Test(connected, presence_is_guarded_so_that_who_connects_meanwhile_is_asked)
{
    cr_assert_eq(world_decide(&w, PATCH("base", "{\"seed\":3}")), 0);
    cr_assert(guards(CFG_KIND_PRESENCE, "blue"));
}

Test(connected, what_a_flag_overrides_is_checked)
{
#define FLAG(value)                                                                                        \
    "[{\"object\":\"flag/exp/warm\",\"put\":{\"overrides\":{\"on\":{\"sampling.temperature\":" value "}}," \
    "\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"}}}]"
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"patch\":{\"flags\":[\"exp\"]}}]");
    world_fails(&w, FLAG("2.5"), CFG_E_CONTRACT, "sampling.temperature");
    cr_assert_str_eq(violation(0, "flag"), "exp/warm");
    world_ok(&w, FLAG("1.5"));
}

/* --- plans --- */

static const char *planned(const char *deployment, const char *path, const char *member)
{
    static char text[200];
    const cJSON *e, *list = cfg_json_get(w.decision.results ? w.decision.results->child : NULL, "plan");
    cJSON_ArrayForEach(e, list)
    {
        if (strcmp(cfg_json_get_str(e, "deployment", ""), deployment) != 0 ||
            strcmp(cfg_json_get_str(e, "path", ""), path) != 0)
            continue;
        const cJSON *value = cfg_json_get(e, member);
        if (cJSON_IsNumber(value))
            (void)snprintf(text, sizeof text, "%g", value->valuedouble);
        else
            (void)snprintf(text, sizeof text, "%s", cfg_json_get_str(e, member, ""));
        return text;
    }
    return "nothing";
}

Test(connected, a_plan_says_what_would_happen_to_whom)
{
    world_ok(&w, SCHEMA("base", SAMPLING));
    unknown = true;
    w.plan = true;
    cr_assert_eq(
        world_decide(&w, PATCH("base", "{\"sampling\":{\"temperature\":5},\"name\":\"b\",\"batch\":9,\"new\":1,"
                                       "\"distributed\":{\"tp\":8}}")),
        0, "%s", w.err.text);
    unknown = false;
    cr_assert_str_eq(planned("blue", "batch", "action"), "drain");
    cr_assert_str_eq(planned("blue", "batch", "workers"), "2");
    cr_assert_str_eq(planned("blue", "batch", "unknown"), "3");
    cr_assert_str_eq(planned("blue", "name", "action"), "restart");
    cr_assert_str_eq(planned("blue", "new", "reason"), "nobody declares it");
    cr_assert_str_eq(planned("blue", "distributed.tp", "action"), "pinned");
    cr_assert_str_eq(planned("blue", "distributed.tp", "reason"), "keeps 4");
    cr_assert_str_eq(planned("red", "", "action"), "held");
    const cJSON *refused = cfg_json_get(w.decision.results->child, "violations");
    cr_assert_str_eq(cfg_json_get_str(refused->child, "path", ""), "sampling.temperature", "base's own document");
    cr_assert_eq(world_decide(&w, PATCH("chat", "{\"sampling\":{\"temperature\":3}}")), 0);
    cr_assert_str_eq(planned("blue", "sampling.temperature", "action"), "live");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.temperature"), "0.2");
}
