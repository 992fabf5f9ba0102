/* The compiled flags of a namespace: brought up to date when read, only what changed, and never one flag's fault on
 * another. */
#include "configd/flag_space.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct fixture f;
static struct cfg_flag_spaces *spaces;

static void setup(void)
{
    fixture_init(&f);
    cr_assert_eq(cfg_flag_spaces_new(&spaces, f.store, NULL), 0);
}

static void teardown(void)
{
    cfg_flag_spaces_free(spaces);
    fixture_finish(&f);
}

TestSuite(flag_space, .init = setup, .fini = teardown);

#define ON_OFF "\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false}"

static uint64_t put(const char *name, uint64_t version, const char *body)
{
    return fixture_put(&f, CFG_KIND_FLAG, "experiment", name, version, body);
}

static const struct cfg_flag_space *now(void)
{
    return cfg_flag_spaces_get(spaces, "experiment");
}

/* The variant that a flag answers for {"team": team}; the error code; "none" of no flag. */
static const char *answer(const char *name, const char *team)
{
    struct cfg_flag_member who[] = {cfg_flag_member_str("team", team)};
    struct cfg_flag_context context = {.attributes = who, .n_attributes = 1};
    const struct cfg_flag_entry *e = cfg_flag_space_find(now(), name, strlen(name));
    if (e == NULL)
        return "none";
    if (e->program == NULL)
        return "broken";
    struct cfg_flag_result r = cfg_flag_eval_with(e->program, CFG_FLAG_ANY, &context);
    return r.error ? r.error : r.variant ? r.variant : "default";
}

Test(flag_space, nothing_is_kept_of_namespaces_without_flags)
{
    cr_assert_eq(now()->n, 0);
    cr_assert_eq(now()->revision.revision, 0);
    cr_assert_eq(now()->revision.epoch, 1);
    cr_assert_str_eq(answer("a", "x"), "none");
}

Test(flag_space, follows_the_store)
{
    uint64_t first = put("a", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    cr_assert_str_eq(answer("a", "x"), "on");
    cr_assert_eq(now()->revision.revision, first);
    cr_assert_eq(now()->modified_s, 1767225600); /* the fixture's time */
    uint64_t second = put("a", 2, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    cr_assert_str_eq(answer("a", "x"), "off");
    cr_assert_eq(now()->revision.revision, second);
    uint64_t third = put("a", 3, NULL);
    cr_assert_str_eq(answer("a", "x"), "none");
    cr_assert_eq(now()->revision.revision, third, "a tombstone counts");
}

Test(flag_space, compiles_only_what_changed)
{
    char name[16];
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "f%02d", i);
        put(name, 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    }
    cr_assert_eq(now()->n, 50);
    cr_assert_eq(cfg_flag_spaces_compiled(spaces), 50);
    put("f20", 2, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    put("f21", 2, NULL);
    put("f205", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    cr_assert_eq(cfg_flag_spaces_compiled(spaces), 50, "not before somebody reads");
    cr_assert_eq(now()->n, 50);
    cr_assert_eq(cfg_flag_spaces_compiled(spaces), 52);
    cr_assert_str_eq(answer("f20", "x"), "off");
    cr_assert_str_eq(answer("f205", "x"), "off");
    cr_assert_str_eq(answer("f21", "x"), "none");
    cr_assert_str_eq(answer("f22", "x"), "on");
    fixture_put(&f, CFG_KIND_FLAG, "other", "f20", 1, "{\"definition\":{" ON_OFF "}}");
    (void)now();
    cr_assert_eq(cfg_flag_spaces_compiled(spaces), 52);
}

Test(flag_space, one_bad_flag_is_its_own_fault)
{
    put("good", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    put("bad", 1, "{\"definition\":{" ON_OFF ",\"targeting\":{\"nope\":[1]}}}");
    put("empty", 1, "{\"definition\":{}}");
    cr_assert_str_eq(answer("good", "x"), "on");
    cr_assert_str_eq(answer("bad", "x"), "broken");
    cr_assert_str_eq(answer("empty", "x"), "broken");
    const struct cfg_flag_entry *bad = cfg_flag_space_find(now(), "bad", 3);
    cr_assert(strstr(bad->why, "nope") != NULL, "%s", bad->why);
    put("bad", 2, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    cr_assert_str_eq(answer("bad", "x"), "off");
}

Test(flag_space, prerequisites_follow_what_they_require)
{
    put("base", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    put("top", 1,
        "{\"prerequisites\":{\"base\":\"on\"},\"off_variant\":\"off\",\"definition\":{" ON_OFF
        ",\"defaultVariant\":\"on\"}}");
    cr_assert_str_eq(answer("top", "x"), "on");
    put("base", 2, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    cr_assert_str_eq(answer("top", "x"), "off");
    put("base", 3, NULL);
    cr_assert_str_eq(answer("top", "x"), "PARSE_ERROR");
    put("base", 4, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    cr_assert_str_eq(answer("top", "x"), "on");
    put("top", 2, "{\"prerequisites\":{\"ghost\":\"on\"},\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    cr_assert_str_eq(answer("top", "x"), "PARSE_ERROR");
    cr_assert_str_eq(answer("base", "x"), "on");
    put("ghost", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    cr_assert_str_eq(answer("top", "x"), "on");
    put("top", 3, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    cr_assert_str_eq(answer("top", "x"), "off");
}

Test(flag_space, shared_rules_and_metadata_count)
{
    static const char staff[] =
        "{\"evaluators\":{\"staff\":{\"==\":[{\"var\":\"team\"},\"%s\"]}},\"metadata\":{\"owner\":\"%s\"}}";
    char body[256];
    put("plain", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    put("ref", 1,
        "{\"definition\":{" ON_OFF
        ",\"defaultVariant\":\"off\",\"targeting\":{\"if\":[{\"$ref\":\"staff\"},\"on\"]}}}");
    cr_assert_str_eq(answer("ref", "infra"), "broken");
    (void)snprintf(body, sizeof body, staff, "infra", "ann");
    uint64_t revision = fixture_put(&f, CFG_KIND_EVALUATORS, "experiment", "", 1, body);
    cr_assert_str_eq(answer("ref", "infra"), "on");
    cr_assert_eq(now()->revision.revision, revision);
    cr_assert_str_eq(cfg_json_get_str(now()->metadata, "owner", ""), "ann");
    uint64_t before = cfg_flag_spaces_compiled(spaces);
    (void)snprintf(body, sizeof body, staff, "sales", "bob");
    fixture_put(&f, CFG_KIND_EVALUATORS, "experiment", "", 2, body);
    cr_assert_str_eq(answer("ref", "infra"), "off");
    cr_assert_str_eq(answer("ref", "sales"), "on");
    cr_assert_eq(cfg_flag_spaces_compiled(spaces), before + 1, "the other flag does not refer to it");
    revision = fixture_put(&f, CFG_KIND_FLIP, "experiment", "", 1, "{\"at\":1,\"flags\":[\"ref\"]}");
    cr_assert_eq(now()->revision.revision, revision, "a flip counts");
    fixture_put(&f, CFG_KIND_EVALUATORS, "experiment", "", 3, NULL);
    cr_assert_str_eq(answer("ref", "sales"), "broken");
    cr_assert_null(now()->metadata);
}

Test(flag_space, a_new_epoch_is_read_afresh)
{
    uint64_t first = put("a", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    put("a", 2, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"off\"}}");
    cr_assert_str_eq(answer("a", "x"), "off");
    put("b", 1, "{\"definition\":{" ON_OFF ",\"defaultVariant\":\"on\"}}");
    cr_assert_str_eq(answer("b", "x"), "on");
    uint64_t before = cfg_flag_spaces_compiled(spaces);
    fixture_epoch(&f, 2, f.revision);
    cr_assert_str_eq(answer("a", "x"), "off");
    cr_assert_eq(cfg_flag_spaces_compiled(spaces), before, "nothing has another content");
    fixture_epoch(&f, 3, first);
    cr_assert_str_eq(answer("a", "x"), "on");
    cr_assert_str_eq(answer("b", "x"), "none");
    cr_assert_eq(now()->revision.epoch, 3);
}

Test(flag_space, numbers_with_a_fraction_are_told)
{
    put("whole", 1, "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2},\"defaultVariant\":\"a\"}}");
    put("part", 1,
        "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2.5},\"defaultVariant\":\"a\"}}");
    cr_assert_not(cfg_flag_space_find(now(), "whole", 5)->decimals);
    cr_assert(cfg_flag_space_find(now(), "part", 4)->decimals);
}

/* --- listeners --- */

struct heard {
    struct cfg_flag_listener l; /* first */
    unsigned n;
    struct heard *evict;
};

static void moved(struct cfg_flag_listener *l)
{
    struct heard *h = (struct heard *)l;
    h->n++;
    if (h->evict)
        cfg_flag_spaces_unlisten(&h->evict->l);
}

Test(flag_space, listeners_hear_of_their_namespace_alone)
{
    struct heard a = {.l.moved = moved}, b = {.l.moved = moved}, other = {.l.moved = moved};
    cfg_flag_spaces_listen(spaces, &a.l, "experiment");
    cfg_flag_spaces_listen(spaces, &b.l, "experiment");
    cfg_flag_spaces_listen(spaces, &other.l, "other");
    put("a", 1, "{\"definition\":{" ON_OFF "}}");
    fixture_chat(&f, 1, "{\"x\":1}");
    cr_assert_eq(a.n, 1);
    cr_assert_eq(other.n, 0);
    fixture_put(&f, CFG_KIND_FLIP, "experiment", "", 1, "{\"at\":1,\"flags\":[]}");
    cr_assert_eq(a.n, 2);
    b.evict = &a; /* b was added later, so it is told first */
    put("a", 2, NULL);
    cr_assert_eq(b.n, 3);
    cr_assert_eq(a.n, 2, "it left before it was told");
    fixture_epoch(&f, 2, 1);
    cr_assert_eq(b.n, 4);
    cr_assert_eq(other.n, 1);
    cfg_flag_spaces_unlisten(&b.l);
    cfg_flag_spaces_unlisten(&b.l);
    cfg_flag_spaces_unlisten(&other.l);
}
