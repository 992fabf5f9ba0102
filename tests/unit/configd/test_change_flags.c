/* A namespace's flags as one set: what a write may not break, and what its decision guards. */
#include "flags/set.h"
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct world w;

static void open_world(void)
{
    world_open(&w);
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(flags, .init = open_world, .fini = close_world);

#define DEFINITION(targeting)                                                                                  \
    "\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"" \
    ",\"targeting\":" targeting "}"
#define PUT(name, members)    "{\"object\":\"flag/exp/" name "\",\"put\":{" members "}}"
#define FLAG(name, extra)     PUT(name, DEFINITION("null") extra)
#define REQUIRES(name, of)    FLAG(name, ",\"prerequisites\":{\"" of "\":\"on\"}")
#define SHARE(name, from, to) FLAG(name, ",\"group\":{\"name\":\"g\",\"from\":" #from ",\"to\":" #to "}")
#define DELETE(name)          "{\"object\":\"flag/exp/" name "\",\"delete\":true}"
#define RULE(name, rule)      PUT(name, DEFINITION("{\"if\":[" rule ",\"on\"]}"))
#define EVALUATORS(rules)     "{\"object\":\"evaluators/exp\",\"put\":{\"evaluators\":" rules "}}"

static size_t count_guards(enum cfg_guard_kind kind, enum cfg_kind of)
{
    size_t n = 0;
    for (size_t i = 0; i < w.decision.n_guards; i++)
        n += w.decision.guards[i].kind == kind && w.decision.guards[i].id.kind == of;
    return n;
}

Test(flags, take_every_member_of_the_envelope)
{
    world_ok(&w, "[" FLAG("base", "") "]");
    world_ok(&w,
             "[" FLAG("a", ",\"enabled\":false,\"off_variant\":\"off\",\"hash_version\":3,\"prerequisites\":{\"base\":"
                           "[\"on\",\"off\"]},\"group\":{\"name\":\"g\",\"to\":5000},\"holdouts\":[{\"name\":\"q\","
                           "\"to\":5}],\"overrides\":{\"on\":{\"sampling.temperature\":0.9}}") "]");
    cr_assert_str_eq(world_head(&w, "flag/exp/a", "overrides.on"), "{\"sampling.temperature\":0.9}");
    world_ok(&w, "[{\"object\":\"flag/exp/a\",\"patch\":{\"group\":null,\"hash_version\":1}}]");
    cr_assert_str_eq(world_head(&w, "flag/exp/a", "group"), "");
    cr_assert_str_eq(world_head(&w, "flag/exp/a", "enabled"), "false", "a patch keeps the switch");
    world_fails(&w, "[" FLAG("b", ",\"rollout\":5") "]", CFG_E_VALUE, "rollout");
    world_fails(&w, "[" FLAG("b", ",\"overrides\":{\"onn\":{}}") "]", CFG_E_VALUE, "not among");
    world_fails(&w, "[" RULE("b", "{\"frobnicate\":[1]}") "]", CFG_E_UNSUPPORTED, "frobnicate");
    cr_assert_str_eq(w.err.path, "definition.targeting.if[0].frobnicate");
    world_fails(&w, "[" PUT("b", DEFINITION("{\"fractional\":[[\"on\",2147483647],[\"off\",1]]}")) "]", CFG_E_VALUE,
                "add up");
    world_fails(&w, "[" PUT("b", DEFINITION("{\"if\":[{\"var\":\"x\"},\"onn\"]}")) "]", CFG_E_VALUE,
                "did you mean \"on\"");
}

Test(flags, an_ordinary_write_guards_only_itself)
{
    world_ok(&w, "[" FLAG("a", "") "]");
    world_ok(&w, "[" EVALUATORS("{\"e\":true}") "," REQUIRES("b", "a") "," SHARE("c", 0, 10) "]");
    cr_assert_eq(world_decide(&w, "[{\"object\":\"flag/exp/a\",\"patch\":{\"enabled\":false}}]"), 0);
    cr_assert_eq(w.decision.n_guards, 1);
    cr_assert_eq(world_decide(&w, "[{\"object\":\"flag/exp/b\",\"patch\":{\"enabled\":false}}]"), 0);
    cr_assert_eq(w.decision.n_guards, 2, "and what it requires");
    cr_assert_eq(world_decide(&w, "[{\"object\":\"flag/exp/c\",\"patch\":{\"enabled\":false}}]"), 0);
    cr_assert_eq(w.decision.n_guards, 1);
    cr_assert_eq(world_decide(&w, "[" RULE("a", "{\"$ref\":\"e\"}") "]"), 0);
    cr_assert_eq(count_guards(CFG_GUARD_HEAD, CFG_KIND_EVALUATORS), 1);
    cr_assert_eq(world_decide(&w, "[{\"object\":\"flag/exp/c\",\"patch\":{\"group\":{\"to\":20}}}]"), 0);
    cr_assert_eq(count_guards(CFG_GUARD_SPACE, CFG_KIND_FLAG), 1);
    cr_assert_eq(world_decide(&w, "[" DELETE("c") "]"), 0);
    cr_assert_eq(count_guards(CFG_GUARD_SPACE, CFG_KIND_FLAG), 1);
    cr_assert_eq(world_decide(&w, "[" EVALUATORS("{\"f\":true}") "]"), 0);
    cr_assert_eq(count_guards(CFG_GUARD_SPACE, CFG_KIND_FLAG), 1);
}

Test(flags, what_is_required_must_be_there)
{
    world_ok(&w, "[" FLAG("base", "") "]");
    world_fails(&w, "[" REQUIRES("a", "bose") "]", CFG_E_VALUE, "did you mean exp/base");
    cr_assert_str_eq(w.err.path, "prerequisites.bose");
    world_fails(&w, "[" FLAG("a", ",\"prerequisites\":{\"base\":[\"on\",\"maybe\"]}") "]", CFG_E_VALUE,
                "no variant \"maybe\"");
    world_fails(&w, "[" FLAG("a", ",\"prerequisites\":{\"x/y\":\"on\"}") "]", CFG_E_ADDRESS, "no flag name");
    world_ok(&w, "[" REQUIRES("a", "late") "," FLAG("late", "") "]");
    world_fails(&w, "[" DELETE("late") "]", CFG_E_IN_USE, "required by a");
    cr_assert(strstr(w.err.hint, "prerequisites first"));
    world_fails(
        &w,
        "[{\"object\":\"flag/exp/late\",\"patch\":{\"definition\":{\"variants\":{\"on\":null},\"defaultVariant\":"
        "\"off\"}}}]",
        CFG_E_IN_USE, "variant on is required by a");
    world_ok(&w, "[{\"object\":\"flag/exp/late\",\"patch\":{\"definition\":{\"variants\":{\"off\":null}}}}]");
    world_ok(&w, "[" DELETE("late") "," DELETE("a") "]");
    world_fails(&w, "[{\"object\":\"flag/exp/a\",\"rollback_to\":1}]", CFG_E_VALUE, "deleted");
}

Test(flags, circles_are_spelt_out)
{
    world_fails(&w, "[" REQUIRES("a", "a") "]", CFG_E_VALUE, "a → a");
    world_ok(&w, "[" FLAG("a", "") "," REQUIRES("b", "a") "," REQUIRES("c", "b") "]");
    world_fails(&w, "[" REQUIRES("a", "c") "]", CFG_E_VALUE, "a → c → b → a");
    cr_assert_str_eq(w.err.path, "prerequisites");
    world_ok(&w, "[" REQUIRES("a", "c") "," FLAG("b", "") "]");
    world_fails(&w, "[" REQUIRES("x", "y") "," REQUIRES("y", "x") "]", CFG_E_VALUE, "circle");
}

Test(flags, chains_are_bounded_upwards_and_downwards)
{
    char text[512];
    world_ok(&w, "[" FLAG("f00", "") "]");
    for (int i = 1; i < 32; i++) {
        (void)snprintf(
            text, sizeof text,
            "[{\"object\":\"flag/exp/f%02d\",\"put\":{" DEFINITION("null") ",\"prerequisites\":{\"f%02d\":\"on\"}}}]",
            i, i - 1);
        world_ok(&w, text);
    }
    world_fails(&w, "[" REQUIRES("f32", "f31") "]", CFG_E_LIMIT, "more than 32");
    world_fails(&w, "[" REQUIRES("f00", "below") "," FLAG("below", "") "]", CFG_E_LIMIT, "more than 32");
}

Test(flags, shares_of_a_group_do_not_meet)
{
    world_ok(&w, "[" SHARE("a", 0, 5000) "," SHARE("b", 5000, 8000) "]");
    world_fails(&w, "[" SHARE("c", 7999, 10000) "]", CFG_E_VALUE,
                "[7999, 10000) of group g overlaps with [5000, 8000) of b");
    cr_assert_str_eq(w.err.path, "group");
    world_fails(&w, "[" FLAG("c", ",\"group\":{\"name\":\"g\",\"from\":9000,\"to\":9500,\"by\":\"user.id\"}") "]",
                CFG_E_VALUE, "by user.id");
    world_fails(&w, "[" SHARE("a", 0, 5001) "]", CFG_E_VALUE, "overlaps");
    world_ok(&w, "[" SHARE("a", 0, 6000) "," SHARE("b", 6000, 8000) "]");
    world_ok(&w, "[" DELETE("b") "," SHARE("c", 6000, 10000) "]");
    world_fails(&w, "[{\"object\":\"flag/exp/b\",\"rollback_to\":1}]", CFG_E_VALUE, "overlaps");
    world_fails(&w, "[" SHARE("x", 9000, 9001) "," SHARE("y", 9000, 9001) "]", CFG_E_VALUE, "overlaps");
    world_ok(&w, "[" SHARE("empty", 7000, 7000) "]");
}

Test(flags, evaluators_are_there_for_those_who_refer_to_them)
{
    world_fails(&w, "[" RULE("a", "{\"$ref\":\"staff\"}") "]", CFG_E_VALUE, "no evaluator \"staff\"");
    world_ok(&w, "[" EVALUATORS("{\"staff\":{\"var\":\"x\"},\"other\":{\"$ref\":\"staff\"}}") "," RULE(
                     "a", "{\"$ref\":\"staff\"}") "]");
    world_ok(&w, "[" RULE("b", "{\"!\":{\"$ref\":\"other\"}}") "]");
    world_fails(&w, "[{\"object\":\"evaluators/exp\",\"delete\":true}]", CFG_E_IN_USE, "\"staff\" is used by flag a");
    world_fails(&w, "[" EVALUATORS("{\"staff\":true}") "]", CFG_E_IN_USE, "\"other\" is used by flag b");
    cr_assert_str_eq(w.err.path, "evaluators.other");
    world_fails(&w, "[" EVALUATORS("{\"staff\":{\"$ref\":\"other\"},\"other\":{\"$ref\":\"staff\"}}") "]", CFG_E_VALUE,
                "refers to itself");
    world_fails(&w, "[" EVALUATORS("{\"staff\":{\"frob\":1},\"other\":1}") "]", CFG_E_UNSUPPORTED, "frob");
    world_fails(&w, "[" EVALUATORS("{\"staff\":1,\"other\":1,\"unused\":{\"$ref\":\"nobody\"}}") "]", CFG_E_VALUE,
                "nobody");
    world_ok(&w,
             "[" EVALUATORS("{\"staff\":1,\"split\":{\"fractional\":[[\"on\",1],[\"off\",1]]}}") "," DELETE("b") "]");
    world_ok(&w, "[" PUT("c", DEFINITION("{\"$ref\":\"split\"}")) "]");
    world_fails(&w, "[{\"object\":\"evaluators/exp\",\"patch\":{\"evaluators\":{\"split\":\"onn\"}}}]", CFG_E_VALUE,
                "flag \"c\"");
    world_ok(&w, "[" DELETE("a") "," DELETE("c") ",{\"object\":\"evaluators/exp\",\"delete\":true}]");
    cr_assert_str_eq(world_head(&w, "evaluators/exp", "evaluators"), "deleted");
    world_ok(&w, "[{\"object\":\"evaluators/exp\",\"rollback_to\":1}]");
}

Test(flags, evaluators_have_a_form)
{
    world_fails(&w, "[" EVALUATORS("[]") "]", CFG_E_VALUE, "object");
    world_fails(&w, "[{\"object\":\"evaluators/exp\",\"put\":{\"evaluator\":{}}}]", CFG_E_VALUE,
                "did you mean evaluators");
    world_fails(&w, "[{\"object\":\"evaluators/exp\",\"put\":{\"metadata\":{\"a\":{}}}}]", CFG_E_VALUE,
                "boolean, string or number");
    world_fails(&w, "[{\"object\":\"evaluators/exp\",\"patch\":{}}]", CFG_E_NOT_FOUND, "does not exist");
    world_ok(&w, "[{\"object\":\"evaluators/exp\",\"put\":{\"metadata\":{\"owner\":\"x\"}}}]");
    cr_assert_str_eq(world_head(&w, "evaluators/exp", "evaluators"), "{}");
    world_fails(&w, "[{\"object\":\"flip/exp\",\"put\":{\"at\":1,\"flags\":[]}}]", CFG_E_ADDRESS, "no kind of object");
    world_fails(&w, "[{\"object\":\"lock/flips\",\"put\":{}}]", CFG_E_ADDRESS, "no kind of object");
}

/* --- against the engine: a write is taken exactly when the whole namespace then compiles as one set --- */

enum { NAMES = 6, ROUNDS = 2500 };

static unsigned rnd(unsigned n)
{
    static uint64_t state = 7;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static void put_random_flag(struct cfg_buf *out)
{
    static const char *const rules[] = {"null", "{\"if\":[{\"$ref\":\"e0\"},\"on\"]}", "{\"$ref\":\"e1\"}",
                                        "{\"if\":[{\"$ref\":\"e1\"},\"off\"]}"};
    static const char *const variants[] = {"\"on\":1,\"off\":2", "\"on\":1,\"off\":2,\"x\":3"};
    cfg_buf_printf(out, "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{%s},\"targeting\":%s}", variants[rnd(2)],
                   rules[rnd(3) ? 0 : rnd(4)]);
    if (rnd(2))
        cfg_buf_printf(out, ",\"prerequisites\":{\"f%u\":%s,\"f%u\":\"on\"}", rnd(NAMES / 2),
                       rnd(3) ? "\"on\"" : "[\"on\",\"x\"]", NAMES / 2 + rnd(NAMES / 2));
    if (rnd(3) == 0) {
        unsigned from = rnd(8);
        cfg_buf_printf(out, ",\"group\":{\"name\":\"g%u\",\"from\":%u,\"to\":%u%s}", rnd(2), from, from + rnd(3),
                       rnd(9) ? "" : ",\"by\":\"user\"");
    }
    cfg_buf_putc(out, '}');
}

static void put_random_change(struct cfg_buf *out)
{
    static const char *const evaluators[] = {"{}", "{\"e0\":true}", "{\"e0\":true,\"e1\":\"x\"}",
                                             "{\"e0\":{\"$ref\":\"e1\"},\"e1\":\"on\"}"};
    unsigned first = rnd(NAMES), n = 1 + rnd(3);
    cfg_buf_putc(out, '[');
    for (unsigned i = 0; i < n; i++) {
        cfg_buf_printf(out, "%s{\"object\":\"flag/exp/f%u\",", i ? "," : "", (first + i) % NAMES);
        if (rnd(4) == 0) {
            cfg_buf_puts(out, "\"delete\":true}");
        } else {
            cfg_buf_puts(out, "\"put\":");
            put_random_flag(out);
            cfg_buf_putc(out, '}');
        }
    }
    if (rnd(4) == 0)
        cfg_buf_printf(out, ",{\"object\":\"evaluators/exp\",\"put\":{\"evaluators\":%s}}", evaluators[rnd(4)]);
    cfg_buf_putc(out, ']');
}

static bool add_head(struct cfg_object *o, void *flags)
{
    if (!o->deleted)
        cr_assert(cJSON_AddItemToObject(flags, o->id.name, cfg_object_body(o)));
    return true;
}

/* The namespace with the change carried out on it, whatever comes of that. */
static bool compiles_after(const char *change, struct cfg_error *err)
{
    cJSON *flags = cJSON_CreateObject(), *entries = NULL;
    const struct cfg_object *shared = world_object(&w, "evaluators/exp");
    cJSON *rules = shared && !shared->deleted ? cfg_object_body(shared) : cJSON_CreateObject();
    const cJSON *e;
    cfg_store_each(w.store, CFG_KIND_FLAG, "exp", add_head, flags);
    cr_assert_eq(cfg_json_parse(&entries, cfg_slice_str(change), 0, NULL), 0);
    cJSON_ArrayForEach(e, entries)
    {
        const char *object = cfg_json_get_str(e, "object", ""), *name = strrchr(object, '/') + 1;
        const cJSON *put = cfg_json_get(e, "put");
        if (strcmp(object, "evaluators/exp") == 0) {
            cJSON_Delete(rules);
            rules = cJSON_Duplicate(put, true);
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(flags, name);
        if (put)
            cr_assert(cJSON_AddItemToObject(flags, name, cJSON_Duplicate(put, true)));
    }
    struct cfg_flag_set *set = NULL;
    struct cfg_flag_source source = {.flags = flags, .evaluators = cfg_json_get(rules, "evaluators")};
    int rc = cfg_flag_set_compile(&set, &source, err);
    cfg_flag_set_free(set);
    cJSON_Delete(flags);
    cJSON_Delete(rules);
    cJSON_Delete(entries);
    return rc == 0;
}

Test(flags, are_taken_exactly_when_the_whole_compiles)
{
    unsigned taken = 0, refused = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct cfg_buf text;
        struct cfg_error err = CFG_ERROR_INIT;
        cfg_buf_init(&text, 8192);
        put_random_change(&text);
        bool good = compiles_after(text.data, &err);
        int rc = world_decide(&w, text.data);
        if (rc != CFG_E_NOT_FOUND) { /* a delete of what is not there */
            cr_assert_eq(rc == 0, good, "%s: decided: %s; compiled: %s", text.data, w.err.text, err.text);
            taken += rc == 0;
            refused += rc != 0;
        }
        if (rc == 0 && w.n_history + 4 < sizeof w.history / sizeof w.history[0])
            world_ok(&w, text.data);
        cfg_buf_finish(&text);
    }
    cr_assert(taken > ROUNDS / 20 && refused > ROUNDS / 20, "%u taken, %u refused", taken, refused);
}

/* Ten thousand flags: what a write looks at of the others is little. The bound is generous: sanitizers, two cores. */
Test(flags, a_large_namespace_is_written_quickly)
{
    enum { N = 10000, BATCH = 50 };
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    const struct cfg_replica_sink *sink = cfg_store_sink(w.store);
    for (int i = 0; i < N; i++) {
        char key[64], value[512];
        (void)snprintf(key, sizeof key, "live/flag/exp/f%d", i);
        (void)snprintf(
            value, sizeof value,
            "{\"version\":1,\"digest\":\"\",\"enabled\":true," DEFINITION("{\"if\":[{\"$ref\":\"e\"},\"on\"]}") "%s}",
            i % 2 ? ",\"prerequisites\":{\"f0\":\"on\"}" : "");
        struct cfg_etcd_event ev = {
            .kv = {.key = cfg_slice_str(key), .value = cfg_slice_str(value), .mod_revision = 11}};
        sink->batch(sink->arg, 11, &ev, 1);
    }
    w.revision = 11;
    world_ok(&w, "[" EVALUATORS("{\"e\":true}") "]");
    struct timespec a, b;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    world_ok(&w, "[{\"object\":\"flag/exp/f2\",\"patch\":{\"enabled\":false}}]");
    world_ok(&w, "[" REQUIRES("f2", "f4") "]");
    world_fails(&w, "[" DELETE("f0") "]", CFG_E_IN_USE, "f1, f1001, f1003, f1005, f1007 and 4995 more");
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    (void)printf("three writes to a namespace of %d flags: %.1f ms of CPU\n", N, s * 1e3);
    cfg_buf_finish(&text);
}
