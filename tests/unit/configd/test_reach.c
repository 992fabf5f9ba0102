/* Contracts and whom a change reaches, as values. */
#include "configd/fleet_reach.h"

#include <criterion/criterion.h>
#include <string.h>

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s", err.text);
    return v;
}

static struct cfg_contract *contract(const char *text)
{
    struct cfg_contract *c = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = json(text);
    cr_assert_eq(cfg_contract_read(&c, v, &err), 0, "%s", err.text);
    cJSON_Delete(v);
    return c;
}

static const char worker[] = "{\"sampling.temperature\":{\"type\":\"f64\",\"class\":\"live\",\"default\":1},"
                             "\"inference.batch_size\":{\"type\":\"i64\",\"class\":\"drain\"},"
                             "\"optim.lr\":{\"type\":\"f64\",\"class\":\"barrier\"},"
                             "\"data.path\":{\"type\":\"string\",\"class\":\"restart\"},"
                             "\"distributed.tp\":{\"type\":\"i64\",\"class\":\"pinned\"},"
                             "\"buckets\":{\"type\":\"json\",\"class\":\"live\"}}";

static enum cfg_reach_kind reach(const char *a, const char *b, const char *pins)
{
    struct cfg_contract *c = contract(worker);
    const char *paths[] = {a, b};
    struct cfg_reach_change change = {.paths = paths, .n = b ? 2 : 1};
    cJSON *pin_keys = json(pins);
    enum cfg_reach_kind kind = cfg_reach_of(c, &change, pin_keys);
    cJSON_Delete(pin_keys);
    cfg_contract_free(c);
    return kind;
}

Test(reach, by_class)
{
    cr_assert_eq(reach("sampling.temperature", NULL, "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("inference.batch_size", NULL, "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("optim.lr", NULL, "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("data.path", NULL, "[]"), CFG_REACH_RESTART);
    cr_assert_eq(reach("distributed.tp", NULL, "[]"), CFG_REACH_NONE);
    cr_assert_eq(reach("sampling.top_p", NULL, "[]"), CFG_REACH_UNREAD);
}

Test(reach, strongest_path_counts)
{
    cr_assert_eq(reach("data.path", "sampling.temperature", "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("sampling.top_p", "data.path", "[]"), CFG_REACH_RESTART);
    cr_assert_eq(reach("distributed.tp", "sampling.top_p", "[]"), CFG_REACH_UNREAD);
}

Test(reach, pinned_keys_of_the_deployment_reach_nobody)
{
    cr_assert_eq(reach("sampling.temperature", NULL, "[\"sampling\"]"), CFG_REACH_NONE);
    cr_assert_eq(reach("sampling.top_p", NULL, "[\"sampling\"]"), CFG_REACH_NONE);
    cr_assert_eq(reach("samplingx.top_p", NULL, "[\"sampling\"]"), CFG_REACH_UNREAD);
    cr_assert_eq(reach("sampling", NULL, "[\"sampling.temperature\"]"), CFG_REACH_NONE);
}

Test(reach, paths_above_and_below)
{
    cr_assert_eq(reach("sampling", NULL, "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("", NULL, "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("buckets[3]", NULL, "[]"), CFG_REACH_LIVE);
    cr_assert_eq(reach("bucketsize", NULL, "[]"), CFG_REACH_UNREAD);
    cr_assert(cfg_path_related("a", "a.b"));
    cr_assert(cfg_path_related("a[0].x", "a"));
    cr_assert_not(cfg_path_related("a", "ab"));
}

Test(reach, nothing_changed_reaches_nobody)
{
    struct cfg_contract *c = contract(worker);
    struct cfg_reach_change none = {0}, flag = {.flag = true};
    cr_assert_eq(cfg_reach_of(c, &none, NULL), CFG_REACH_NONE);
    cr_assert_eq(cfg_reach_of(c, &flag, NULL), CFG_REACH_LIVE);
    cfg_contract_free(c);
}

static struct cfg_reach presence(const char *text)
{
    struct cfg_reach r = {0};
    const char *paths[] = {"data.path"};
    struct cfg_reach_change change = {.paths = paths, .n = 1};
    cJSON *tree = json(text);
    struct fleet_seen seen = {0};
    cfg_reach_add_presence(&r, tree, &change, NULL, &seen);
    fleet_seen_finish(&seen);
    cJSON_Delete(tree);
    return r;
}

Test(reach, other_replicas_by_presence)
{
    struct cfg_reach r = presence("{\"workers\":5,\"contracts\":[{\"workers\":3,\"contract\":{\"data.path\":{\"type\":"
                                  "\"string\",\"class\":\"restart\"}}},{\"workers\":2,\"contract\":{}}]}");
    cr_assert_eq(r.pending_restart, 3u);
    cr_assert_eq(r.unread, 2u);
    cr_assert_eq(r.unknown, 0u);
}

Test(reach, unreadable_presence_is_unknown_never_nobody)
{
    static const char *const broken[] = {
        "{}",
        "7",
        "{\"workers\":0}",
        "{\"workers\":\"many\",\"contracts\":[]}",
        "{\"workers\":3,\"contracts\":[{\"workers\":1,\"contract\":{}}]}", /* contracts that did not fit */
        "{\"workers\":3,\"contracts\":[{\"workers\":3,\"contract\":{\"a\":{\"type\":\"f64\",\"class\":\"later\"}}}]}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct cfg_reach r = presence(broken[i]);
        cr_assert_gt(r.unknown, 0u, "%s", broken[i]);
        cr_assert_eq(r.live + r.pending_restart + r.unread, 0u, "%s", broken[i]);
    }
}

Test(contract, what_differs_only_in_defaults_is_one_contract)
{
    struct cfg_contract *a = contract("{\"x\":{\"type\":\"f64\",\"class\":\"live\",\"default\":1},"
                                      "\"y\":{\"type\":\"bool\",\"class\":\"restart\"}}");
    struct cfg_contract *b = contract("{\"y\":{\"class\":\"restart\",\"type\":\"bool\"},"
                                      "\"x\":{\"type\":\"f64\",\"class\":\"live\",\"default\":2}}");
    struct cfg_contract *c = contract("{\"x\":{\"type\":\"f64\",\"class\":\"barrier\"}}");
    cr_assert_str_eq(a->digest, b->digest);
    cr_assert_str_neq(a->digest, c->digest);
    cr_assert_eq(a->n, 2u);
    cr_assert_str_eq(a->params[0].path, "x");
    cfg_contract_free(a);
    cfg_contract_free(b);
    cfg_contract_free(c);
}

Test(contract, refusals_name_the_path)
{
    static const struct {
        const char *text, *path;
    } bad[] = {
        {"{\"x\":{\"type\":\"f64\",\"class\":\"soon\"}}", "x"},
        {"{\"x\":{\"type\":\"double\",\"class\":\"live\"}}", "x"},
        {"{\"x.y\":7}", "x.y"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_contract *c = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        cJSON *v = json(bad[i].text);
        cr_assert_eq(cfg_contract_read(&c, v, &err), CFG_E_INVALID);
        cr_assert_str_eq(err.path, bad[i].path);
        cr_assert_null(c);
        cJSON_Delete(v);
    }
    cJSON *list = json("[]");
    struct cfg_contract *c = NULL;
    cr_assert_eq(cfg_contract_read(&c, list, NULL), CFG_E_INVALID);
    cJSON_Delete(list);
}
