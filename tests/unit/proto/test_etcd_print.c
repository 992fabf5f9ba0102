/* Requests to etcd as bytes. */
#include "proto/etcd_msg.h"

#include <criterion/criterion.h>

#define PRINTS(expected, call)                                                                      \
    do {                                                                                            \
        struct cfg_buf out;                                                                         \
        cfg_buf_init(&out, 10000);                                                                  \
        call;                                                                                       \
        cr_assert(cfg_slice_eq_str(cfg_buf_slice(&out), expected), "%.*s", (int)out.len, out.data); \
        cfg_buf_finish(&out);                                                                       \
    } while (0)

Test(etcd_print, prints_a_range)
{
    struct cfg_etcd_range_req one = {.key = CFG_SLICE_LIT("k/a")};
    PRINTS("{\"key\":\"ay9h\"}", cfg_etcd_range_print(&out, &one));
    struct cfg_etcd_range_req all = {
        .key = CFG_SLICE_LIT("k/"),
        .range_end = CFG_SLICE_LIT("k0"),
        .limit = 10,
        .revision = 9007199254740993,
        .min_mod_revision = 1,
        .max_mod_revision = 2,
        .min_create_revision = 3,
        .serializable = true,
        .keys_only = true,
        .count_only = true,
        .descending = true,
        .by_mod = true,
    };
    PRINTS("{\"key\":\"ay8=\",\"range_end\":\"azA=\",\"limit\":\"10\",\"revision\":\"9007199254740993\","
           "\"min_mod_revision\":\"1\",\"max_mod_revision\":\"2\",\"min_create_revision\":\"3\",\"sort_order\":"
           "\"DESCEND\","
           "\"sort_target\":\"MOD\",\"serializable\":true,\"keys_only\":true,\"count_only\":true}",
           cfg_etcd_range_print(&out, &all));
    struct cfg_etcd_range_req oldest = {.key = CFG_SLICE_LIT("k"), .by_mod = true};
    PRINTS("{\"key\":\"aw==\",\"sort_order\":\"ASCEND\",\"sort_target\":\"MOD\"}", cfg_etcd_range_print(&out, &oldest));
}

Test(etcd_print, prints_a_txn)
{
    struct cfg_etcd_txn_req empty = {0};
    PRINTS("{\"compare\":[],\"success\":[],\"failure\":[]}", cfg_etcd_txn_print(&out, &empty));
    const struct cfg_etcd_compare compare[] = {
        {.key = CFG_SLICE_LIT("k"), .target = CFG_ETCD_MOD, .result = CFG_ETCD_EQUAL, .number = 0},
        {.key = CFG_SLICE_LIT("k/"),
         .range_end = CFG_SLICE_LIT("k0"),
         .target = CFG_ETCD_CREATE,
         .result = CFG_ETCD_LESS,
         .number = 8},
        {.key = CFG_SLICE_LIT("k"), .target = CFG_ETCD_VERSION, .result = CFG_ETCD_GREATER, .number = 1},
        {.key = CFG_SLICE_LIT("k"), .target = CFG_ETCD_LEASE, .result = CFG_ETCD_NOT_EQUAL, .number = 5},
        {.key = CFG_SLICE_LIT("k"), .target = CFG_ETCD_VALUE, .result = CFG_ETCD_EQUAL, .value = CFG_SLICE_LIT("")},
    };
    const struct cfg_etcd_op success[] = {
        {.kind = CFG_ETCD_PUT, .key = CFG_SLICE_LIT("k"), .value = CFG_SLICE_LIT("v"), .lease = 7},
        {.kind = CFG_ETCD_PUT, .key = CFG_SLICE_LIT("k"), .value = CFG_SLICE_LIT("")},
        {.kind = CFG_ETCD_DELETE, .key = CFG_SLICE_LIT("k/"), .range_end = CFG_SLICE_LIT("k0")},
    };
    const struct cfg_etcd_op failure[] = {{.kind = CFG_ETCD_RANGE, .key = CFG_SLICE_LIT("k"), .limit = 3}};
    struct cfg_etcd_txn_req r = {compare, 5, success, failure, 3, 1};
    PRINTS(
        "{\"compare\":[{\"key\":\"aw==\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"0\"},"
        "{\"key\":\"ay8=\",\"range_end\":\"azA=\",\"target\":\"CREATE\",\"result\":\"LESS\",\"create_revision\":\"8\"},"
        "{\"key\":\"aw==\",\"target\":\"VERSION\",\"result\":\"GREATER\",\"version\":\"1\"},"
        "{\"key\":\"aw==\",\"target\":\"LEASE\",\"result\":\"NOT_EQUAL\",\"lease\":\"5\"},"
        "{\"key\":\"aw==\",\"target\":\"VALUE\",\"result\":\"EQUAL\",\"value\":\"\"}],"
        "\"success\":[{\"request_put\":{\"key\":\"aw==\",\"value\":\"dg==\",\"lease\":\"7\"}},"
        "{\"request_put\":{\"key\":\"aw==\",\"value\":\"\"}},"
        "{\"request_delete_range\":{\"key\":\"ay8=\",\"range_end\":\"azA=\"}}],"
        "\"failure\":[{\"request_range\":{\"key\":\"aw==\",\"limit\":\"3\"}}]}",
        cfg_etcd_txn_print(&out, &r));
}

Test(etcd_print, prints_a_watch)
{
    struct cfg_etcd_watch_req r = {.key = CFG_SLICE_LIT("k/"),
                                   .range_end = CFG_SLICE_LIT("k0"),
                                   .start_revision = 9,
                                   .prev_kv = true,
                                   .fragment = true,
                                   .progress_notify = true};
    PRINTS("{\"create_request\":{\"key\":\"ay8=\",\"range_end\":\"azA=\",\"start_revision\":\"9\",\"prev_kv\":true,"
           "\"fragment\":true,\"progress_notify\":true}}",
           cfg_etcd_watch_print(&out, &r));
    struct cfg_etcd_watch_req one = {.key = CFG_SLICE_LIT("k")};
    PRINTS("{\"create_request\":{\"key\":\"aw==\"}}", cfg_etcd_watch_print(&out, &one));
}

Test(etcd_print, prints_the_small_ones)
{
    PRINTS("{\"TTL\":\"10\"}", cfg_etcd_lease_grant_print(&out, 10));
    PRINTS("{\"ID\":\"-9223372036854775808\"}", cfg_etcd_lease_id_print(&out, INT64_MIN));
    PRINTS("{\"revision\":\"4\"}", cfg_etcd_compact_print(&out, 4));
    PRINTS("{\"name\":\"a\\\"b\",\"password\":\"p\\\\\\n\"}", cfg_etcd_auth_print(&out, "a\"b", "p\\\n"));
}

Test(etcd_print, prefix_end)
{
    PRINTS("a0", cfg_etcd_prefix_end(&out, CFG_SLICE_LIT("a/")));
    PRINTS("b", cfg_etcd_prefix_end(&out, CFG_SLICE_LIT("a\xFF\xFF")));
    PRINTS("\xFF", cfg_etcd_prefix_end(&out, CFG_SLICE_LIT("\xFE")));
    static const char *const ends[] = {"", "\xFF\xFF"};
    for (size_t i = 0; i < 2; i++) {
        struct cfg_buf out;
        cfg_buf_init(&out, 10);
        cfg_etcd_prefix_end(&out, cfg_slice_str(ends[i]));
        cr_assert(cfg_slice_eq(cfg_buf_slice(&out), (struct cfg_slice){"\0", 1}));
        cfg_buf_finish(&out);
    }
}
