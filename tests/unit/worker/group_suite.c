/* The suite of all groups. See group_suite.h. */
#include "tests/unit/worker/group_suite.h"
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

enum { DEADLINE_MS = 400 };

/* --- what every implementation does --- */

struct run {
    const struct suite *kind;
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
    struct cfg_group *g = r->kind->make(r->rank, r->world, 10000);
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

void suite_all_live(const struct suite *kind, uint32_t world)
{
    pthread_t threads[WORLD];
    struct run runs[WORLD];
    kind->prepare();
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

Test(group, does_what_groups_do)
{
    uint32_t most = suite_here.most();
    for (uint32_t world = 1; world <= WORLD && world <= most; world *= 2) {
        suite_all_live(&suite_here, world);
    }
}

/* --- failures: a process per rank, each saying what it sees in a pipe --- */

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
    struct cfg_group *g = suite_here.make(rank, world, DEADLINE_MS);
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

struct child suite_start(uint32_t rank, uint32_t world, bool slow, int lives)
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

void suite_expect(struct child *c, const char *text)
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

void suite_finish(struct child *c)
{
    int status;
    (void)kill(c->pid, SIGKILL);
    cr_assert_eq(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->out);
}

static void start_all(struct child c[WORLD], int slow, int lives)
{
    suite_here.prepare();
    for (uint32_t i = 0; i < WORLD; i++) {
        c[i] = suite_start(i, WORLD, (int)i == slow, lives);
    }
}

/* `victim` dies or stands still: every survivor names it, and the group forms again once it is back. */
static void lose(uint32_t victim, int with_signal)
{
    struct child c[WORLD];
    char named[64];
    if (suite_here.most() < WORLD) {
        return; /* as many ranks as there are devices, at most */
    }
    start_all(c, -1, 2);
    for (uint32_t i = 0; i < WORLD; i++) {
        suite_expect(&c[i], "running");
    }
    (void)snprintf(named, sizeof named, "rank %u", victim);
    (void)kill(c[victim].pid, with_signal);
    for (uint32_t i = 0; i < WORLD; i++) {
        if (i != victim) {
            suite_expect(&c[i], "the group has ended");
            suite_expect(&c[i], named);
        }
    }
    suite_finish(&c[victim]);
    c[victim] = suite_start(victim, WORLD, false, 1);
    for (uint32_t i = 0; i < WORLD; i++) {
        suite_expect(&c[i], "running");
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        suite_finish(&c[i]);
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
    if (suite_here.most() < WORLD) {
        return;
    }
    start_all(c, 1, 2);
    for (uint32_t i = 0; i < WORLD; i++) {
        suite_expect(&c[i], "running");
        suite_expect(&c[i], "the group has ended");
        suite_expect(&c[i], i == 1 ? "rank" : "rank 1");
        suite_expect(&c[i], "running"); /* again */
        suite_finish(&c[i]);
    }
}
