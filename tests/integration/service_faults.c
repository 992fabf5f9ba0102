/* The service while the way to etcd breaks: nothing acknowledged is lost, nothing is doubled, and what cannot be done
 * is said so in bounded time. */
#include "tests/integration/service_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_test_etcd *etcd;
static struct cfg_test_proxy *proxy;
static struct cfg_loop *loop;

static void start(void)
{
    etcd = cfg_test_etcd_start(NULL);
    proxy = cfg_test_proxy_start(cfg_test_etcd_port(etcd, 0));
    cr_assert_eq(cfg_loop_new(&loop, NULL), 0);
}

static void stop(void)
{
    cfg_loop_free(loop);
    cfg_test_proxy_free(proxy);
    cfg_test_etcd_free(etcd);
}
TestSuite(faults, .init = start, .fini = stop, .timeout = 240);

#define SET(ns, name, value) "[{\"namespace\":\"" ns "\",\"set\":[{\"name\":\"" name "\",\"value\":" value "}]}]"

static void open_node(struct cfg_node *n, unsigned commit_timeout_ms)
{
    const struct cfg_node_options o = {.endpoint = cfg_test_proxy_endpoint(proxy),
                                       .commit_timeout_ms = commit_timeout_ms};
    cfg_node_open(n, loop, &o);
}

static bool is_live(void *arg)
{
    const struct cfg_node *n = arg;
    return cfg_store_state(n->store, NULL) == CFG_REPLICA_LIVE;
}

/* One write whose reply is cut behind byte n. */
static void cut_write(struct cfg_node *n, int64_t bytes, bool reply, unsigned value)
{
    char entries[100];
    struct cfg_answer a;
    cr_assert(cfg_node_until(n, is_live, n, 20000));
    (void)snprintf(entries, sizeof entries, SET("chat", "n", "%u"), value);
    if (reply)
        cfg_test_proxy_close_after_reply_bytes(proxy, bytes);
    else
        cfg_test_proxy_close_after_request_bytes(proxy, bytes);
    cfg_node_begin(n, &a, entries, NULL);
    cfg_node_await(n, &a);
    cfg_test_proxy_close_after_reply_bytes(proxy, -1);
    cfg_test_proxy_close_after_request_bytes(proxy, -1);
    cr_assert_eq(a.err.code, 0, "cut at %lld: %s", (long long)bytes, a.err.text);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(a.body, "results")->child, "version", 0), value);
    cfg_answer_finish(&a);
}

/* Some nodes side by side, each behind a proxy of its own, so that every byte can have its turn. */
struct lane {
    struct cfg_node node;
    struct cfg_test_proxy *proxy;
    struct cfg_answer answer;
    unsigned value;
    int number;
};

static void begin_cut(struct lane *l, int64_t bytes)
{
    char entries[100];
    cr_assert(cfg_node_until(&l->node, is_live, &l->node, 20000));
    (void)snprintf(entries, sizeof entries, "[{\"namespace\":\"lane%d\",\"set\":[{\"name\":\"n\",\"value\":%u}]}]",
                   l->number, ++l->value);
    cfg_test_proxy_close_after_reply_bytes(l->proxy, bytes);
    cfg_node_begin(&l->node, &l->answer, entries, NULL);
}

static void end_cut(struct lane *l, int64_t bytes)
{
    cfg_node_await(&l->node, &l->answer);
    cfg_test_proxy_close_after_reply_bytes(l->proxy, -1);
    cr_assert_eq(l->answer.err.code, 0, "cut at %lld: %s", (long long)bytes, l->answer.err.text);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(l->answer.body, "results")->child, "version", 0), l->value);
    cfg_answer_finish(&l->answer);
}

Test(faults, a_reply_cut_at_every_byte_doubles_nothing)
{
    enum { LANES = 6 };
    struct lane lanes[LANES] = {0};
    uint64_t faults = 0;
    for (int i = 0; i < LANES; i++) {
        struct lane *l = &lanes[i];
        l->number = i;
        l->proxy = cfg_test_proxy_start(cfg_test_etcd_port(etcd, 0));
        const struct cfg_node_options o = {.endpoint = cfg_test_proxy_endpoint(l->proxy), .commit_timeout_ms = 20000};
        cfg_node_open(&l->node, loop, &o);
    }
    struct cfg_test_proxy_counts before = cfg_test_proxy_counts(lanes[0].proxy);
    begin_cut(&lanes[0], -1);
    end_cut(&lanes[0], -1);
    struct cfg_test_proxy_counts after = cfg_test_proxy_counts(lanes[0].proxy);
    /* All that etcd says around one write: the reply and the watch's news of it. */
    int64_t bytes = (int64_t)(after.reply_bytes - before.reply_bytes);
    cr_assert(bytes > 200 && bytes < 5000, "%lld", (long long)bytes);
    for (int64_t cut = 1; cut < bytes; cut += LANES) {
        for (int i = 0; i < LANES; i++)
            begin_cut(&lanes[i], cut + i);
        for (int i = 0; i < LANES; i++)
            end_cut(&lanes[i], cut + i);
    }
    for (int i = 0; i < LANES; i++) {
        char object[32];
        bool gapless;
        (void)snprintf(object, sizeof object, "config/lane%d", i);
        cr_assert_eq(cfg_node_history(&lanes[i].node, object, &gapless), lanes[i].value);
        cr_assert(gapless);
        faults += cfg_test_proxy_counts(lanes[i].proxy).faults;
        cfg_node_close(&lanes[i].node);
        cfg_test_proxy_free(lanes[i].proxy);
    }
    cr_assert_geq(faults, (uint64_t)bytes - 1);
    printf("faults injected: %llu, over %lld bytes\n", (unsigned long long)faults, (long long)bytes);
}

Test(faults, a_request_cut_anywhere_is_sent_again)
{
    struct cfg_node n;
    bool gapless;
    unsigned value = 0;
    open_node(&n, 20000);
    cut_write(&n, -1, true, ++value);
    for (int64_t cut = 1; cut < 1400; cut += 60)
        cut_write(&n, cut, false, ++value);
    cr_assert_eq(cfg_node_history(&n, "config/chat", &gapless), value);
    cr_assert(gapless);
    cfg_node_close(&n);
}

Test(faults, keyed_writes_survive_cut_replies_once)
{
    struct cfg_node n;
    unsigned value = 0;
    open_node(&n, 20000);
    cut_write(&n, -1, true, ++value);
    for (int64_t cut = 1; cut < 700; cut += 23) {
        char entries[100], key[32];
        struct cfg_answer a;
        cr_assert(cfg_node_until(&n, is_live, &n, 20000));
        (void)snprintf(entries, sizeof entries, SET("chat", "n", "%u"), ++value);
        (void)snprintf(key, sizeof key, "key-%u", value);
        cfg_test_proxy_close_after_reply_bytes(proxy, cut);
        cfg_node_begin(&n, &a, entries, key);
        cfg_node_await(&n, &a);
        cfg_test_proxy_close_after_reply_bytes(proxy, -1);
        cr_assert(a.err.code == 0 || a.err.code == CFG_E_UNAVAILABLE, "%s", a.err.text);
        cfg_answer_finish(&a);
        cr_assert_eq(cfg_node_try(&n, entries, key, NULL), 0); /* as a client would */
    }
    cr_assert_eq(cfg_node_history(&n, "config/chat", NULL), value);
    cfg_node_close(&n);
}

Test(faults, a_mute_etcd_ends_in_unknown_outcome)
{
    struct cfg_node n;
    struct cfg_error err;
    open_node(&n, 1500);
    (void)cfg_node_write(&n, SET("chat", "n", "1"));
    cfg_test_proxy_mute(proxy, true);
    uint64_t begin = cfg_test_now_ms();
    cr_assert_eq(cfg_node_try(&n, SET("chat", "n", "2"), NULL, &err), CFG_E_UNKNOWN_OUTCOME, "%s", err.text);
    cr_assert_lt(cfg_test_now_ms() - begin, 10000);
    cr_assert(strstr(err.hint, "Idempotency-Key"));
    cfg_test_proxy_mute(proxy, false);
    cfg_test_proxy_cut(proxy);
    cr_assert(cfg_node_until(&n, is_live, &n, 20000));
    /* Whatever became of it, the next write follows it. */
    uint64_t version = cfg_node_write(&n, SET("chat", "n", "3"));
    bool gapless;
    cr_assert_eq(cfg_node_history(&n, "config/chat", &gapless), version);
    cr_assert(gapless);
    cfg_node_close(&n);
}

static bool is_away(void *arg)
{
    return !is_live(arg);
}

Test(faults, without_etcd_writes_are_refused_and_reads_go_on)
{
    struct cfg_node n;
    struct cfg_error err;
    open_node(&n, 10000);
    (void)cfg_node_write(&n, SET("chat", "n", "1"));
    cfg_test_etcd_kill(etcd, 0);
    cr_assert(cfg_node_until(&n, is_away, &n, 20000));
    cr_assert_eq(cfg_node_try(&n, SET("chat", "n", "2"), NULL, &err), CFG_E_UNAVAILABLE, "%s", err.text);
    cr_assert(strstr(err.text, "nothing was written"), "%s", err.text);
    cr_assert(err.retryable);
    cr_assert_str_eq(cfg_node_value(&n, "config/chat", "document.n"), "1");
    cfg_test_etcd_restart(etcd, 0);
    cr_assert(cfg_node_until(&n, is_live, &n, 30000));
    cr_assert_eq(cfg_node_write(&n, SET("chat", "n", "2")), 2);
    cfg_node_close(&n);
}

Test(faults, kills_under_a_stream_of_writes_lose_nothing)
{
    enum { WRITERS = 4, KILLS = 4 };
    struct cfg_node n;
    struct cfg_answer answers[WRITERS] = {0};
    unsigned acknowledged[WRITERS] = {0}, sent[WRITERS] = {0};
    bool busy[WRITERS] = {false};
    open_node(&n, 20000);
    for (unsigned kills = 0; kills <= KILLS; kills++) {
        uint64_t end = cfg_test_now_ms() + 700;
        if (kills > 0) {
            cfg_test_etcd_kill(etcd, 0);
            cfg_test_etcd_restart(etcd, 0);
        }
        while (cfg_test_now_ms() < end || (kills == KILLS && acknowledged[0] < 40)) {
            for (int i = 0; i < WRITERS; i++) {
                char entries[100];
                if (busy[i] && answers[i].done) {
                    busy[i] = false;
                    if (answers[i].err.code == 0)
                        acknowledged[i] = sent[i];
                    else
                        cr_assert(answers[i].err.retryable, "%s", answers[i].err.text);
                    cfg_answer_finish(&answers[i]);
                }
                if (!busy[i]) {
                    (void)snprintf(entries, sizeof entries,
                                   "[{\"namespace\":\"k%d\",\"set\":[{\"name\":\"n\",\"value\":%u}]}]", i, ++sent[i]);
                    cfg_node_begin(&n, &answers[i], entries, NULL);
                    busy[i] = true;
                }
            }
            cfg_loop_run_once(loop, 20);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        cfg_node_await(&n, &answers[i]);
        if (answers[i].err.code == 0)
            acknowledged[i] = sent[i];
        cfg_answer_finish(&answers[i]);
    }
    cr_assert(cfg_node_until(&n, is_live, &n, 20000));
    for (int i = 0; i < WRITERS; i++) {
        char object[32], entries[100];
        (void)snprintf(object, sizeof object, "config/k%d", i);
        (void)snprintf(entries, sizeof entries, "[{\"namespace\":\"k%d\",\"set\":[{\"name\":\"end\",\"value\":1}]}]",
                       i);
        uint64_t version = cfg_node_write(&n, entries);
        unsigned value = (unsigned)strtoul(cfg_node_value(&n, object, "document.n"), NULL, 10);
        cr_assert_geq(value, acknowledged[i]);
        cr_assert_leq(version, sent[i] + 1, "each value at most once");
        cr_assert_gt(acknowledged[i], 0);
    }
    cfg_node_close(&n);
}

Test(faults, a_full_store_says_so)
{
    struct cfg_node n;
    struct cfg_error err;
    static const char *const args[] = {"--quota-backend-bytes", "16777216", NULL};
    const struct cfg_test_etcd_options o = {.extra_args = args};
    struct cfg_test_etcd *small = cfg_test_etcd_start(&o);
    const struct cfg_node_options node = {.endpoint = cfg_test_etcd_endpoint(small, 0), .commit_timeout_ms = 5000};
    struct cfg_buf text;
    int code = 0;
    unsigned written = 0;
    cfg_node_open(&n, loop, &node);
    cfg_buf_init(&text, 1 << 20);
    for (int i = 0; code == 0 && i < 200; i++) {
        cfg_buf_clear(&text);
        cfg_buf_puts(&text, "[{\"object\":\"config/big\",\"put\":{\"a\":\"");
        for (int k = 0; k < 300 * 1024; k++)
            cfg_buf_putc(&text, (char)('a' + i % 26));
        cfg_buf_puts(&text, "\"}}]");
        code = cfg_node_try(&n, text.data, NULL, &err);
        written += code == 0;
    }
    cr_assert_eq(code, CFG_E_STORE_FULL, "%s", err.text);
    cr_assert(strstr(err.hint, "alarm disarm"), "%s", err.hint);
    cr_assert_eq(cfg_node_version(&n, "config/big"), written);
    bool gapless;
    cr_assert_eq(cfg_node_history(&n, "config/big", &gapless), written, "refused means not written");
    cfg_buf_finish(&text);
    cfg_node_close(&n);
    cfg_test_etcd_free(small);
}

Test(faults, a_flip_while_away_arrives)
{
    struct cfg_node a, b;
    open_node(&a, 10000);
    const struct cfg_node_options direct = {.endpoint = cfg_test_etcd_endpoint(etcd, 0)};
    cfg_node_open(&b, loop, &direct);
    (void)cfg_node_write(&b, SET("chat", "n", "1"));
    cfg_test_proxy_blackhole(proxy, true);
    (void)cfg_node_write(&b, SET("chat", "n", "2"));
    uint64_t version = cfg_node_write(&b, SET("chat", "n", "1"));
    cfg_test_proxy_blackhole(proxy, false);
    cfg_test_proxy_cut(proxy);
    while (cfg_node_version(&a, "config/chat") != version)
        cfg_loop_run_once(loop, 50);
    cr_assert_str_eq(cfg_node_value(&a, "config/chat", "document.n"), "1");
    cfg_node_close(&a);
    cfg_node_close(&b);
}
