/* One suite for every implementation of a group: collectives with a thread per rank, and failures with a process per
 * rank, which can be killed and stopped. */
#include "tests/lib/testlib.h"
#include "worker/group.h"
#include "worker/group_frame.h"
#include "worker/group_locate.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORLD = 4, FORM_MS = 20000, DEADLINE_MS = 400 };

enum kind { SOLO, TCP };

static char address[64];

static void pick_address(void)
{
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", cfg_test_free_port());
}

static struct cfg_group *group_new(enum kind kind, uint32_t rank, uint32_t world, unsigned deadline_ms)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *g = NULL;
    struct cfg_group_tcp_options o = {
        .address = address, .name = "blue", .rank = rank, .world = world, .deadline_ms = deadline_ms};
    int rc = kind == SOLO ? cfg_group_solo_new(&g, &err) : cfg_group_tcp_new(&g, &o, &err);
    if (rc != 0) {
        cfg_test_die("rank %u: %s", rank, err.text);
    }
    return g;
}

/* --- what every implementation does --- */

struct run {
    enum kind kind;
    uint32_t rank, world;
    char failure[400];
};

static void check(struct run *r, bool ok, const char *what, const struct cfg_error *err)
{
    if (!ok && r->failure[0] == '\0') {
        (void)snprintf(r->failure, sizeof r->failure, "rank %u: %s: %.300s", r->rank, what, err->text);
    }
}

/* Each rank's own minimum lies in another word, so a lost contribution shows. */
static void rounds(struct run *r, struct cfg_group *g, int n)
{
    struct cfg_error err = CFG_ERROR_INIT;
    for (int round = 0; round < n && r->failure[0] == '\0'; round++) {
        int64_t words[WORLD + 1], out[WORLD + 1];
        for (uint32_t k = 0; k < r->world; k++) {
            words[k] = k == r->rank ? -1000 * round - (int64_t)k : INT64_MAX;
        }
        words[r->world] = INT64_MIN + (int64_t)r->rank;
        check(r, g->ops->contribute(g, words, r->world + 1, &err) == 0, "contribute", &err);
        check(r, g->ops->reduced(g, out, r->world + 1, &err) == 0, "reduced", &err);
        for (uint32_t k = 0; k < r->world && r->failure[0] == '\0'; k++) {
            check(r, out[k] == -1000 * round - (int64_t)k, "a contribution is lost", &err);
        }
        check(r, out[r->world] == INT64_MIN, "the smallest number there is", &err);
    }
}

static void broadcasts(struct run *r, struct cfg_group *g)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 21);
    for (uint32_t root = 0; root < r->world && r->failure[0] == '\0'; root++) {
        size_t n = (size_t)root * 300000; /* the first is empty, the last beyond every socket buffer */
        cfg_buf_clear(&b);
        for (size_t k = 0; r->rank == root && k < n; k++) {
            cfg_buf_putc(&b, (char)('a' + (k + root) % 26));
        }
        check(r, g->ops->broadcast(g, root, &b, &err) == 0, "broadcast", &err);
        bool same = b.len == n;
        for (size_t k = 0; same && k < n; k++) {
            same = b.data[k] == (char)('a' + (k + root) % 26);
        }
        check(r, same, "the bytes of a broadcast", &err);
    }
    cfg_buf_finish(&b);
}

static void *live(void *arg)
{
    struct run *r = arg;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *g = group_new(r->kind, r->rank, r->world, 10000);
    uint64_t first = 0;
    int64_t word = 0;
    check(r, g->ops->contribute(g, &word, 1, &err) == CFG_E_AGREEMENT, "a round before forming", &err);
    for (int life = 0; life < 3 && r->failure[0] == '\0'; life++) {
        check(r, g->ops->form(g, FORM_MS, &err) == 0, "form", &err);
        check(r, g->incarnation != 0 && g->incarnation != first, "the incarnation is new", &err);
        first = g->incarnation;
        rounds(r, g, 50);
        broadcasts(r, g);
        rounds(r, g, 2);
    }
    g->ops->free(g);
    return NULL;
}

static void all_live(enum kind kind, uint32_t world)
{
    pthread_t threads[WORLD];
    struct run runs[WORLD];
    pick_address();
    for (uint32_t i = 0; i < world; i++) {
        runs[i] = (struct run){.kind = kind, .rank = i, .world = world};
        cr_assert_eq(pthread_create(&threads[i], NULL, live, &runs[i]), 0);
    }
    for (uint32_t i = 0; i < world; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    for (uint32_t i = 0; i < world; i++) {
        cr_assert_str_empty(runs[i].failure, "%s", runs[i].failure);
    }
}

Test(group, solo_does_what_groups_do)
{
    all_live(SOLO, 1);
}

Test(group, tcp_does_what_groups_do)
{
    all_live(TCP, 1);
    all_live(TCP, 2);
    all_live(TCP, WORLD);
}

/* --- failures: a process per rank, each saying what it sees in a pipe --- */

struct child {
    pid_t pid;
    int out;
    char text[1024];
};

static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0 || write(fd, "\n", 1) < 0) {
        _exit(3);
    }
}

/* Forms, says so, runs rounds until one fails, says why; forms again when asked to. `slow`: this rank comes late to
 * round 5. */
static _Noreturn void be_rank(uint32_t rank, uint32_t world, bool slow, int lives, int fd)
{
    struct cfg_group *g = group_new(TCP, rank, world, DEADLINE_MS);
    for (int life = 0; life < lives; life++) {
        struct cfg_error err = CFG_ERROR_INIT;
        int rc = g->ops->form(g, FORM_MS, &err);
        say(fd, rc == 0 ? "formed" : err.text);
        for (int round = 0; rc == 0; round++) {
            int64_t word = rank;
            if (slow && life == 0 && round == 5) {
                (void)poll(NULL, 0, DEADLINE_MS * 3);
            }
            rc = g->ops->contribute(g, &word, 1, &err);
            rc = rc == 0 ? g->ops->reduced(g, &word, 1, &err) : rc;
            if (rc == 0 && round == 3) {
                say(fd, "running");
            }
        }
        say(fd, err.text);
    }
    g->ops->free(g);
    _exit(0);
}

static struct child start_rank(uint32_t rank, uint32_t world, bool slow, int lives)
{
    int p[2];
    struct child c = {.pid = -1};
    cr_assert_eq(pipe(p), 0);
    c.pid = fork();
    cr_assert_geq(c.pid, 0);
    if (c.pid == 0) {
        (void)close(p[0]);
        be_rank(rank, world, slow, lives, p[1]);
    }
    (void)close(p[1]);
    c.out = p[0];
    return c;
}

/* Reads until the child has said `text`; asserts that it does. */
static void expect(struct child *c, const char *text)
{
    char *found;
    while ((found = strstr(c->text, text)) == NULL) {
        size_t n = strlen(c->text);
        struct pollfd p = {c->out, POLLIN, 0};
        cr_assert(poll(&p, 1, 30000) > 0, "no \"%s\" in \"%s\"", text, c->text);
        ssize_t got = read(c->out, c->text + n, sizeof c->text - 1 - n);
        cr_assert(got > 0, "no \"%s\" in \"%s\"", text, c->text);
        c->text[n + (size_t)got] = '\0';
    }
    char *rest = found + strlen(text);
    memmove(c->text, rest, strlen(rest) + 1);
}

static void finish(struct child *c)
{
    int status;
    (void)kill(c->pid, SIGKILL);
    cr_assert_eq(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->out);
}

static void start_all(struct child c[WORLD], int slow, int lives)
{
    pick_address();
    for (uint32_t i = 0; i < WORLD; i++) {
        c[i] = start_rank(i, WORLD, (int)i == slow, lives);
    }
}

/* `victim` dies or stands still: every survivor names it, and the group forms again once it is back. */
static void lose(uint32_t victim, int with_signal)
{
    struct child c[WORLD];
    char named[64];
    start_all(c, -1, 2);
    for (uint32_t i = 0; i < WORLD; i++) {
        expect(&c[i], "running");
    }
    (void)snprintf(named, sizeof named, "rank %u", victim);
    (void)kill(c[victim].pid, with_signal);
    for (uint32_t i = 0; i < WORLD; i++) {
        if (i != victim) {
            expect(&c[i], "the group has ended");
            expect(&c[i], named);
        }
    }
    finish(&c[victim]);
    c[victim] = start_rank(victim, WORLD, false, 1);
    for (uint32_t i = 0; i < WORLD; i++) {
        expect(&c[i], "running");
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        finish(&c[i]);
    }
}

Test(group, a_killed_rank_is_named_and_may_come_back)
{
    lose(2, SIGKILL);
}

Test(group, so_is_a_killed_rank_0)
{
    lose(0, SIGKILL);
}

Test(group, a_stopped_rank_is_named_by_the_deadline)
{
    lose(3, SIGSTOP);
}

Test(group, so_is_a_stopped_rank_0)
{
    lose(0, SIGSTOP);
}

Test(group, a_slow_rank_is_named_and_told)
{
    struct child c[WORLD];
    start_all(c, 1, 2);
    for (uint32_t i = 0; i < WORLD; i++) {
        expect(&c[i], "running");
        expect(&c[i], "the group has ended");
        expect(&c[i], i == 1 ? "rank" : "rank 1");
        expect(&c[i], "running"); /* again */
        finish(&c[i]);
    }
}

Test(group, a_wrong_world_is_refused_and_does_not_keep_the_others)
{
    struct child zero, odd, one;
    pick_address();
    zero = start_rank(0, 2, false, 1);
    odd = start_rank(1, 3, false, 1);
    expect(&odd, "it says it is rank 1 of a world of 3, this group is a world of 2");
    one = start_rank(1, 2, false, 1);
    expect(&zero, "running");
    expect(&one, "running");
    finish(&odd);
    finish(&one);
    finish(&zero);
}

Test(group, a_restarted_rank_takes_its_former_selfs_place)
{
    struct child zero, former, next, two;
    pick_address();
    zero = start_rank(0, 3, false, 1);
    former = start_rank(1, 3, false, 1);
    (void)poll(NULL, 0, 50); /* whichever comes first: the other is told */
    next = start_rank(1, 3, false, 1);
    struct pollfd p[2] = {{former.out, POLLIN, 0}, {next.out, POLLIN, 0}};
    cr_assert(poll(p, 2, 30000) > 0);
    expect(p[0].revents != 0 ? &former : &next, "a newer process has taken this rank's place");
    two = start_rank(2, 3, false, 1);
    expect(&two, "running");
    expect(p[0].revents != 0 ? &next : &former, "running");
    finish(&former);
    finish(&next);
    finish(&two);
    finish(&zero);
}

/* Two that a supervisor starts again and again: one is kept out for good, so the group forms. */
Test(group, flapping_twins_are_an_error)
{
    struct child zero, twins[8];
    size_t n = 0;
    bool told = false;
    pick_address();
    zero = start_rank(0, 3, false, 1);
    while (n < 8 && !told) {
        twins[n] = start_rank(1, 3, false, 1);
        for (size_t heard = SIZE_MAX; n > 0 && heard == SIZE_MAX;) { /* one of the two is told each time */
            struct pollfd p[8];
            for (size_t i = 0; i <= n; i++) {
                p[i] = (struct pollfd){twins[i].out, POLLIN, 0};
            }
            cr_assert(poll(p, n + 1, 30000) > 0);
            for (size_t i = 0; i <= n; i++) {
                heard = twins[i].out >= 0 && (p[i].revents & POLLIN) != 0 ? i : heard;
            }
            expect(&twins[heard], "rank 0 refuses this rank: ");
            told = strstr(twins[heard].text, "start each rank once") != NULL;
            finish(&twins[heard]);
            twins[heard].out = -1;
        }
        n++;
    }
    cr_assert(told && n == 5, "%zu", n);
    struct child two = start_rank(2, 3, false, 1);
    expect(&two, "running");
    for (size_t i = 0; i < n; i++) {
        if (twins[i].out >= 0) {
            finish(&twins[i]);
        }
    }
    finish(&two);
    finish(&zero);
}

Test(group, rank_0_finds_a_free_port)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *g[2];
    (void)snprintf(address, sizeof address, "127.0.0.1:0");
    g[0] = group_new(TCP, 0, 2, 100);
    g[1] = group_new(TCP, 0, 2, 100);
    cr_assert(atoi(strchr(cfg_group_tcp_address(g[0]), ':') + 1) > 0, "%s", cfg_group_tcp_address(g[0]));
    cr_assert_str_neq(cfg_group_tcp_address(g[0]), cfg_group_tcp_address(g[1]));
    (void)snprintf(address, sizeof address, "%s", cfg_group_tcp_address(g[0]));
    struct child one = start_rank(1, 2, false, 1);
    cr_assert_eq(g[0]->ops->form(g[0], FORM_MS, &err), 0, "%s", err.text);
    expect(&one, "formed");
    finish(&one);
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
    struct cfg_group *g = group_new(TCP, 0, 3, 100), *other = group_new(TCP, 1, 3, 100);
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
    struct cfg_group *g = group_new(TCP, 0, 2, 1000); /* listens, and hears nobody yet */
    for (size_t i = 0; i < WORLD * 16; i++) {
        fds[i] = raw_connection();
        const char *text = i % 2 == 0 ? http : half;
        cr_assert(write(fds[i], text, strlen(text)) > 0);
    }
    struct child one = start_rank(1, 2, false, 1);
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(g->ops->form(g, FORM_MS, &err), 0, "%s", err.text);
    expect(&one, "formed");
    g->ops->leave(g, "it is done");
    expect(&one, "rank 0: it is done");
    finish(&one);
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
