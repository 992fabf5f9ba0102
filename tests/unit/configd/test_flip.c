/* Time flips, decided on a virtual clock: each instant is told once, whoever holds the lock. */
#include "configd/flip_internal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_flag_set *set_of(const char *name, const int64_t *at, size_t n)
{
    struct cfg_buf text;
    struct cfg_flag_set *set = NULL;
    cJSON *flags = NULL;
    cfg_buf_init(&text, 65536);
    cfg_buf_printf(
        &text,
        "{\"%s\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"targeting\":{\"if\":[{\"or\":[",
        name);
    for (size_t i = 0; i < n; i++)
        cfg_buf_printf(&text, "%s{\">=\":[{\"var\":\"$flagd.timestamp\"},%lld]}", i ? "," : "", (long long)at[i]);
    cfg_buf_puts(&text, "]},\"on\"]}}}}");
    cr_assert_eq(cfg_json_parse(&flags, cfg_buf_slice(&text), 0, NULL), 0);
    const struct cfg_flag_source source = {.flags = flags};
    cr_assert_eq(cfg_flag_set_compile(&set, &source, NULL), 0);
    cJSON_Delete(flags);
    cfg_buf_finish(&text);
    return set;
}

static void put(struct cfg_flip_plan *p, const char *ns, const char *flag, int64_t heard, int64_t a, int64_t b)
{
    cr_assert_eq(cfg_flip_plan_put(p, ns, set_of(flag, (const int64_t[]){a, b}, 2), heard, NULL), 0);
}

Test(flip, the_plan_knows_what_comes_next)
{
    struct cfg_flip_plan p = {0};
    int64_t at = 0;
    cr_assert_eq(cfg_flip_plan_next(&p), CFG_FLAG_NEVER);
    put(&p, "b", "late", 0, 200, 300);
    put(&p, "a", "early", 0, 100, 250);
    cr_assert_eq(cfg_flip_plan_next(&p), 100);
    cr_assert_null(cfg_flip_plan_due(&p, 99, &at));
    cr_assert_str_eq(cfg_flip_plan_due(&p, 100, &at)->ns, "a");
    cr_assert_eq(at, 100);
    cfg_flip_plan_heard(&p, "a", 100);
    cfg_flip_plan_heard(&p, "a", 50);
    cfg_flip_plan_heard(&p, "nobody", 500);
    cr_assert_eq(cfg_flip_plan_next(&p), 200);
    cr_assert_eq(cfg_flip_plan_put(&p, "b", NULL, 0, NULL), 0);
    cr_assert_eq(cfg_flip_plan_next(&p), 250);
    put(&p, "a", "early", 60, 90, 110); /* what was heard stays heard */
    cr_assert_eq(cfg_flip_plan_next(&p), 110);
    cfg_flip_plan_finish(&p);
}

Test(flip, what_is_due_together_is_one_record)
{
    struct cfg_flip_plan p = {0};
    int64_t at = 0;
    put(&p, "a", "f", 10, 100, 200);
    const struct cfg_flip_space *s = cfg_flip_plan_due(&p, 5000, &at);
    cJSON *body = cfg_flip_body(s, at);
    cr_assert_eq(cfg_json_get_num(body, "at", 0), 200);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(body, "flags")), 1, "each flag once");
    cr_assert_str_eq(cfg_json_get(body, "flags")->child->valuestring, "f");
    cJSON_Delete(body);
    cfg_flip_plan_finish(&p);
}

Test(flip, what_a_replica_does)
{
    struct cfg_flip_plan none = {0}, p = {0};
    struct cfg_flip_state s = {.may_write = true};
    put(&p, "a", "f", 0, 100, 200);
    cr_assert_eq(cfg_flip_decide(&s, &none, 50), CFG_FLIP_RELEASE, "no lock without a reason");
    cr_assert_eq(cfg_flip_decide(&s, &p, 50), CFG_FLIP_LOCK, "before it is due");
    cr_assert_eq(cfg_flip_decide(&s, &p, 150), CFG_FLIP_LOCK, "and nothing without it");
    s.busy = true;
    cr_assert_eq(cfg_flip_decide(&s, &p, 150), CFG_FLIP_WAIT);
    s = (struct cfg_flip_state){.may_write = true, .held = true};
    cr_assert_eq(cfg_flip_decide(&s, &p, 99), CFG_FLIP_WAIT);
    cr_assert_eq(cfg_flip_decide(&s, &p, 100), CFG_FLIP_WRITE);
    cr_assert_eq(cfg_flip_decide(&s, &none, 100), CFG_FLIP_RELEASE);
    s.may_write = false;
    cr_assert_eq(cfg_flip_decide(&s, &p, 100), CFG_FLIP_WAIT);
    s = (struct cfg_flip_state){.may_write = true, .taken = true};
    cr_assert_eq(cfg_flip_decide(&s, &p, 100), CFG_FLIP_RELEASE);
    cfg_flip_plan_finish(&p);
}

/* --- from the store to the plan --- */

static struct cfg_store *store;

static void store_put(uint64_t revision, const char *key, const char *value)
{
    const struct cfg_replica_sink *sink = cfg_store_sink(store);
    const struct cfg_etcd_event ev = {
        .kv = {.key = cfg_slice_str(key), .value = cfg_slice_str(value), .mod_revision = (int64_t)revision}};
    sink->batch(sink->arg, revision, &ev, 1);
    cr_assert_eq(cfg_store_rejected(store, NULL), 0);
}

#define RECORD(time, rest) "{\"version\":1,\"digest\":\"\",\"time\":\"" time "\"," rest "}"
#define TARGETING(rule) \
    "\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":1},\"targeting\":{\"if\":[" rule ",\"on\"]}}"
#define SINCE(at) "{\">=\":[{\"var\":\"$flagd.timestamp\"}," #at "]}"

Test(flip, the_store_is_read_into_a_plan)
{
    struct cfg_flip_plan p = {0};
    cr_assert_eq(cfg_store_new(&store, NULL), 0);
    /* 1767225600 is 2026-01-01T00:00:00Z. */
    store_put(2, "live/flag/a/old", RECORD("2025-12-01T00:00:00Z", TARGETING(SINCE(1764000000))));
    store_put(3, "live/flag/a/plain", RECORD("2026-01-01T00:00:00.5Z", TARGETING("true")));
    cfg_flips_plan_all(&p, store, 1767225700);
    cr_assert_eq(p.n, 1);
    cr_assert_eq(cfg_flip_plan_next(&p), CFG_FLAG_NEVER, "it flipped before it was written");
    /* A flag that requires another and is in a group is planned all the same; so is one that refers to a rule. */
    store_put(
        4, "live/flag/a/new",
        RECORD("2026-01-01T00:00:10Z",
               "\"prerequisites\":{\"old\":\"on\"},\"group\":{\"name\":\"g\",\"to\":5}," TARGETING(SINCE(1767225620))));
    cfg_flips_plan_all(&p, store, 1767225700);
    cr_assert_eq(cfg_flip_plan_next(&p), 1767225620, "due, and not told");
    store_put(5, "live/flip/a", RECORD("2026-01-01T00:00:21Z", "\"at\":1767225620,\"flags\":[\"new\"]"));
    cfg_flips_plan_all(&p, store, 1767225700);
    cr_assert_eq(cfg_flip_plan_next(&p), CFG_FLAG_NEVER);
    store_put(6, "live/evaluators/b",
              RECORD("2026-01-01T00:00:10Z", "\"evaluators\":{\"s\":" SINCE(1767300000) "},\"metadata\":{}"));
    store_put(7, "live/flag/b/f", RECORD("2026-01-01T00:00:10Z", TARGETING("{\"$ref\":\"s\"}")));
    cfg_flips_plan_all(&p, store, 1767225700);
    cr_assert_eq(cfg_flip_plan_next(&p), 1767300000);
    cfg_flip_plan_finish(&p);
    cfg_store_free(store);
}

/* A writer whose clock is an hour fast must not hide what flips in that hour from those who were there. */
Test(flip, a_fast_clock_hides_nothing)
{
    struct cfg_flip_plan p = {0};
    cr_assert_eq(cfg_store_new(&store, NULL), 0);
    store_put(2, "live/flag/a/f", RECORD("2026-01-01T01:00:00Z", TARGETING(SINCE(1767225700))));
    struct cfg_object *o = cfg_store_find(store, CFG_KIND_FLAG, "a", "f");
    const struct cfg_store_change change = {.after = o};
    cfg_flips_plan_changes(&p, store, &change, 1, 1767225600);
    cr_assert_eq(cfg_flip_plan_next(&p), 1767225700);
    store_put(3, "live/flip/a", RECORD("2026-01-01T00:02:00Z", "\"at\":1767225700,\"flags\":[\"f\"]"));
    const struct cfg_store_change flip = {.after = cfg_store_find(store, CFG_KIND_FLIP, "a", NULL)};
    cfg_flips_plan_changes(&p, store, &flip, 1, 1767225800);
    cr_assert_eq(cfg_flip_plan_next(&p), CFG_FLAG_NEVER);
    cfg_flip_plan_finish(&p);
    cfg_store_free(store);
}

/* Two replicas, a lock that changes hands or is nobody's, records that one of them sees late: the records cover every
 * instant, in order, and none twice. */
Test(flip, each_instant_is_told_once_whoever_holds_the_lock)
{
    enum { REPLICAS = 2, INSTANTS = 300, END = 4000 };
    int64_t instants[INSTANTS], record = 0, told = 0;
    struct cfg_flip_plan p[REPLICAS] = {0};
    uint64_t state = 11;
    unsigned covered = 0, records = 0;
    int holder = 0;
    for (int i = 0; i < INSTANTS; i++)
        instants[i] = 10 + i * 13;
    for (int r = 0; r < REPLICAS; r++)
        cr_assert_eq(cfg_flip_plan_put(&p[r], "a", set_of("f", instants, INSTANTS), 0, NULL), 0);
    for (int64_t now = 0; now < END; now++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned luck = (unsigned)(state >> 40);
        if (luck % 17 == 0)
            holder = (int)(luck / 17 % (REPLICAS + 1)) - 1; /* −1: nobody */
        for (int r = 0; r < REPLICAS; r++) {
            if (luck >> r & 8) /* the replica has caught up */
                cfg_flip_plan_heard(&p[r], "a", record);
            const struct cfg_flip_state s = {
                .may_write = true, .held = r == holder, .taken = holder >= 0 && r != holder};
            int64_t at = 0;
            if (cfg_flip_decide(&s, &p[r], now) != CFG_FLIP_WRITE || !cfg_flip_plan_due(&p[r], now, &at))
                continue;
            if (at <= record)
                continue; /* the guard of the record before it refuses */
            cr_assert(at <= now && at > told, "never early, never back");
            for (int i = 0; i < INSTANTS; i++)
                covered += instants[i] > told && instants[i] <= at;
            told = record = at;
            records++;
            cfg_flip_plan_heard(&p[r], "a", record);
        }
    }
    cr_assert_eq(covered, INSTANTS);
    cr_assert(records > INSTANTS / 2 && records < INSTANTS, "%u", records);
    for (int r = 0; r < REPLICAS; r++)
        cfg_flip_plan_finish(&p[r]);
}
