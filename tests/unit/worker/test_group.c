/* Groups over tcp, and on one's own: the suite of all groups, and what only ranks that meet over sockets can do. */
#include "tests/lib/testlib.h"
#include "tests/unit/worker/group_suite.h"
#include "worker/group_frame.h"
#include "worker/group_locate.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char address[64];

static void pick_address(void)
{
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", cfg_test_free_port());
}

static struct cfg_group *tcp_new(uint32_t rank, uint32_t world, unsigned deadline_ms)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *g = NULL;
    struct cfg_group_tcp_options o = {
        .address = address, .name = "blue", .rank = rank, .world = world, .deadline_ms = deadline_ms};
    if (cfg_group_tcp_new(&g, &o, &err) != 0) {
        cfg_test_die("rank %u: %s", rank, err.text);
    }
    return g;
}

static uint32_t many(void)
{
    return WORLD;
}

const struct suite suite_here = {pick_address, many, tcp_new};

static void nothing(void)
{
}

static struct cfg_group *solo_new(uint32_t rank, uint32_t world, unsigned deadline_ms)
{
    struct cfg_group *g = NULL;
    (void)rank;
    (void)world;
    (void)deadline_ms;
    cr_assert_eq(cfg_group_solo_new(&g, NULL), 0);
    return g;
}

Test(group, solo_does_what_groups_do)
{
    static const struct suite solo = {nothing, many, solo_new};
    suite_all_live(&solo, 1);
}

/* What happens between rounds is seen without waiting for one. */
Test(group, check_sees_a_rank_that_has_gone)
{
    struct cfg_error err = CFG_ERROR_INIT;
    pick_address();
    struct cfg_group *g = tcp_new(0, 3, 1000);
    struct child one = suite_start(1, 3, false, 1), two = suite_start(2, 3, false, 1);
    int64_t word = 1;
    cr_assert_eq(g->ops->form(g, FORM_MS, &err), 0, "%s", err.text);
    suite_expect(&one, "formed");
    suite_expect(&two, "formed");
    cr_assert_eq(g->ops->check(g, &err), 0, "%s", err.text);
    for (int i = 0; i < 8; i++) { /* and disturbs none */
        cr_assert_eq(g->ops->contribute(g, &word, 1, &err), 0);
        cr_assert_eq(g->ops->check(g, &err), 0, "%s", err.text);
        cr_assert_eq(g->ops->reduced(g, &word, 1, &err), 0, "%s", err.text);
    }
    suite_finish(&two);
    for (int i = 0; i < 2000 && g->ops->check(g, &err) == 0; i++) {
        (void)poll(NULL, 0, 1);
    }
    cr_assert_eq(g->ops->check(g, NULL), CFG_E_AGREEMENT);
    cr_assert(strstr(err.text, "rank 2") != NULL, "%s", err.text);
    suite_expect(&one, "rank 2");
    suite_finish(&one);
    g->ops->free(g);
}

Test(group, a_wrong_world_is_refused_and_does_not_keep_the_others)
{
    struct child zero, odd, one;
    pick_address();
    zero = suite_start(0, 2, false, 1);
    odd = suite_start(1, 3, false, 1);
    suite_expect(&odd, "it says it is rank 1 of a world of 3, this group is a world of 2");
    one = suite_start(1, 2, false, 1);
    suite_expect(&zero, "running");
    suite_expect(&one, "running");
    suite_finish(&odd);
    suite_finish(&one);
    suite_finish(&zero);
}

Test(group, a_restarted_rank_takes_its_former_selfs_place)
{
    struct child zero, former, next, two;
    pick_address();
    zero = suite_start(0, 3, false, 1);
    former = suite_start(1, 3, false, 1);
    (void)poll(NULL, 0, 50); /* whichever comes first: the other is told */
    next = suite_start(1, 3, false, 1);
    struct pollfd p[2] = {{former.out, POLLIN, 0}, {next.out, POLLIN, 0}};
    cr_assert(poll(p, 2, 30000) > 0);
    suite_expect(p[0].revents != 0 ? &former : &next, "a newer process has taken this rank's place");
    two = suite_start(2, 3, false, 1);
    suite_expect(&two, "running");
    suite_expect(p[0].revents != 0 ? &next : &former, "running");
    suite_finish(&former);
    suite_finish(&next);
    suite_finish(&two);
    suite_finish(&zero);
}

/* Two that a supervisor starts again and again: one is kept out for good, so the group forms. */
Test(group, flapping_twins_are_an_error)
{
    struct child zero, twins[8];
    size_t n = 0;
    bool told = false;
    pick_address();
    zero = suite_start(0, 3, false, 1);
    while (n < 8 && !told) {
        twins[n] = suite_start(1, 3, false, 1);
        for (size_t heard = SIZE_MAX; n > 0 && heard == SIZE_MAX;) { /* one of the two is told each time */
            struct pollfd p[8];
            for (size_t i = 0; i <= n; i++) {
                p[i] = (struct pollfd){twins[i].out, POLLIN, 0};
            }
            cr_assert(poll(p, n + 1, 30000) > 0);
            for (size_t i = 0; i <= n; i++) {
                heard = twins[i].out >= 0 && (p[i].revents & POLLIN) != 0 ? i : heard;
            }
            suite_expect(&twins[heard], "rank 0 refuses this rank: ");
            told = strstr(twins[heard].text, "start each rank once") != NULL;
            suite_finish(&twins[heard]);
            twins[heard].out = -1;
        }
        n++;
    }
    cr_assert(told && n == 5, "%zu", n);
    struct child two = suite_start(2, 3, false, 1);
    suite_expect(&two, "running");
    for (size_t i = 0; i < n; i++) {
        if (twins[i].out >= 0) {
            suite_finish(&twins[i]);
        }
    }
    suite_finish(&two);
    suite_finish(&zero);
}

Test(group, rank_0_finds_a_free_port)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *g[2];
    (void)snprintf(address, sizeof address, "127.0.0.1:0");
    g[0] = tcp_new(0, 2, 100);
    g[1] = tcp_new(0, 2, 100);
    cr_assert(atoi(strchr(cfg_group_tcp_address(g[0]), ':') + 1) > 0, "%s", cfg_group_tcp_address(g[0]));
    cr_assert_str_neq(cfg_group_tcp_address(g[0]), cfg_group_tcp_address(g[1]));
    (void)snprintf(address, sizeof address, "%s", cfg_group_tcp_address(g[0]));
    struct child one = suite_start(1, 2, false, 1);
    cr_assert_eq(g[0]->ops->form(g[0], FORM_MS, &err), 0, "%s", err.text);
    suite_expect(&one, "formed");
    suite_finish(&one);
    g[0]->ops->free(g[0]);
    g[1]->ops->free(g[1]);
}

Test(group, this_host_is_known_by_the_way_to_configd)
{
    static const char *const rows[][2] = {{"http://127.0.0.1:7117", "127.0.0.1"},
                                          {"http://127.0.0.1:1/x,http://10.0.0.1:1", "127.0.0.1"},
                                          {"https://localhost", NULL},
                                          {"http://[::1]:7117", "[::1]"}};
    char host[256];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        int rc = cfg_local_host(host, sizeof host, rows[i][0], &err);
        bool v6_only = rows[i][1] != NULL && rows[i][1][0] == '[' && rc == CFG_E_IO; /* a host without IPv6 */
        cr_assert(rc == 0 || v6_only, "%s: %s", rows[i][0], err.text);
        cr_assert(rows[i][1] == NULL || v6_only || strcmp(host, rows[i][1]) == 0, "%s: %s", rows[i][0], host);
    }
    cr_assert_eq(cfg_local_host(host, sizeof host, "http://", NULL), CFG_E_INVALID);
    cr_assert_eq(cfg_local_host(host, sizeof host, "http://[::1", NULL), CFG_E_INVALID);
}

Test(group, who_is_missing_is_named)
{
    struct cfg_error err = CFG_ERROR_INIT;
    pick_address();
    struct cfg_group *g = tcp_new(0, 3, 100), *other = tcp_new(1, 3, 100);
    cr_assert_eq(g->ops->form(g, 50, &err), CFG_E_TIMEOUT);
    cr_assert(strstr(err.text, "missing: 1, 2") != NULL, "%s", err.text);
    cr_assert_eq(other->ops->form(other, 50, &err), CFG_E_TIMEOUT);
    g->ops->free(g);
    cr_assert_eq(other->ops->form(other, 50, &err), CFG_E_TIMEOUT);
    cr_assert(strstr(err.text, "does not answer") != NULL, "%s", err.text);
    other->ops->free(other);
}

/* --- rubbish --- */

static int raw_connection(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

Test(group, strangers_do_not_keep_a_group_from_forming)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", half[] = "CFGR\1\1";
    int fds[WORLD * 16];
    pick_address();
    struct cfg_group *g = tcp_new(0, 2, 1000); /* listens, and hears nobody yet */
    for (size_t i = 0; i < WORLD * 16; i++) {
        fds[i] = raw_connection();
        const char *text = i % 2 == 0 ? http : half;
        cr_assert(write(fds[i], text, strlen(text)) > 0);
    }
    struct child one = suite_start(1, 2, false, 1);
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(g->ops->form(g, FORM_MS, &err), 0, "%s", err.text);
    suite_expect(&one, "formed");
    g->ops->leave(g, "it is done");
    suite_expect(&one, "rank 0: it is done");
    suite_finish(&one);
    for (size_t i = 0; i < WORLD * 16; i++) {
        (void)close(fds[i]);
    }
    g->ops->free(g);
}

Test(group, a_frame_is_believed_only_when_it_is_one)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_frame in = {CFG_FRAME_WORDS, 7, 0x1122334455667788U, 9, CFG_SLICE_LIT("payload")}, out;
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    cfg_frame_put(&b, &in);
    for (size_t n = 0; n < b.len; n++) {
        cr_assert_eq(cfg_frame_get(&out, (struct cfg_slice){b.data, n}, &err), 0, "%zu bytes", n);
    }
    cr_assert_eq(cfg_frame_get(&out, cfg_buf_slice(&b), &err), (int)b.len);
    cr_assert(out.type == in.type && out.rank == 7 && out.incarnation == in.incarnation && out.round == 9);
    cr_assert(cfg_slice_eq_str(out.payload, "payload"));
    static const struct {
        size_t at;
        char value;
    } wrong[] = {{0, 'X'}, {3, 0}, {4, 2}, {5, 0}, {5, 7}, {6, 1}, {7, 1}, {11, 1}, {28, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char kept = b.data[wrong[i].at];
        b.data[wrong[i].at] = wrong[i].value;
        cr_assert_eq(cfg_frame_get(&out, cfg_buf_slice(&b), &err), CFG_E_PROTOCOL, "byte %zu", wrong[i].at);
        b.data[wrong[i].at] = kept;
    }
    cfg_buf_finish(&b);
}

Test(group, wrong_options_are_refused)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *g;
    static const struct cfg_group_tcp_options rows[] = {
        {"127.0.0.1", NULL, "x", 0, 2, 1},
        {"127.0.0.1:", NULL, "x", 0, 2, 1},
        {"", NULL, "x", 0, 2, 1},
        {"127.0.0.1:1", NULL, "x", 2, 2, 1},
        {"127.0.0.1:1", NULL, "x", 0, 0, 1},
        {"127.0.0.1:1", NULL, "x", 0, 1 << 30, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(cfg_group_tcp_new(&g, &rows[i], &err), CFG_E_INVALID, "row %zu", i);
    }
}
