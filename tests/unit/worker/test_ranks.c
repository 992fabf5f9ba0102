/* Whole workers as the ranks of a group: each on a thread of its own, with a source of its own, over tcp. What they ran
 * on is judged by their own logs. */
#include "tests/lib/testlib.h"
#include "worker/open.h"
#include "worker/ranks.h"
#include "worker/source_memory.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORLD = 3, STEPS = 20000 };

struct member {
    uint32_t rank;
    struct cfg_memory_source *source;
    struct cfg_worker *w;
    double lr_default, refused_lr;
    _Atomic(bool) hangs; /* in `prepare` */
    unsigned every, deadline_ms;
    uint64_t step, leave_at; /* 0: never */
    const char *until;
    char ran[STEPS][16]; /* by step: the revision */
    double lr[STEPS];
    struct cfg_error end; /* of what ended the loop early */
    pthread_t thread;
};

static struct member m[WORLD];
static char group[64];
static bool deferred; /* rounds are read one later, as on a device */

static int prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    struct member *r = arg;
    while (atomic_load(&r->hangs)) {
        (void)poll(NULL, 0, 5);
    }
    double lr = next->values[0].f64;
    return r->refused_lr > 0 && !(lr < r->refused_lr) && !(lr > r->refused_lr)
               ? cfg_fail(err, CFG_E_VALUE, "cannot take %g", lr)
               : 0;
}

static void open_member(struct member *r)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    char id[8];
    (void)snprintf(id, sizeof id, "w%u", r->rank);
    o.deployment = "train";
    o.worker = id;
    o.cache = "";
    o.overrides = "";
    o.rank = r->rank;
    o.world = WORLD;
    o.group = group;
    o.group_every = r->every;
    o.group_deadline_ms = r->deadline_ms != 0 ? r->deadline_ms : 5000;
    o.group_join_ms = 20000;
    if (cfg_memory_source_new(&r->source, &err) != 0 ||
        cfg_worker_open_source(&r->w, &o, cfg_memory_source_base(r->source), &err) != 0) {
        cfg_test_die("rank %u: %s", r->rank, err.text);
    }
    r->w->ranks->group->deferred = deferred;
    (void)cfg_param_f64(r->w, "optimizer.lr", CFG_BARRIER, 0, 10, r->lr_default);
    (void)cfg_param_string(r->w, "data.path", CFG_RESTART, "/none");
    const struct cfg_change_hooks hooks = {prepare, NULL, NULL, r};
    if (cfg_worker_on_change(r->w, "optimizer", &hooks, &err) != 0) {
        cfg_test_die("rank %u: %s", r->rank, err.text);
    }
    cfg_memory_push_registered(r->source, 3600000);
    cfg_memory_push_state(r->source, CFG_SOURCE_CONNECTED, NULL);
}

static void open_all(unsigned every)
{
    (void)snprintf(group, sizeof group, "tcp:127.0.0.1:%d", cfg_test_free_port());
    for (uint32_t i = 0; i < WORLD; i++) {
        m[i] = (struct member){.rank = i, .lr_default = 0.5, .every = every};
        open_member(&m[i]);
    }
}

enum where { PUSH = 1, ARCHIVE = 2 };

/* The view whose learning rate is `number`, as revision 1-`number`. */
static void give_as(struct member *r, int where, int number, const char *digest_of)
{
    char view[256], digest[CFG_DIGEST_TEXT], revision[16];
    (void)snprintf(
        view, sizeof view,
        "{\"parameters\":{\"optimizer\":{\"lr\":%d},\"data\":{\"path\":\"/%d\"}},\"pinned\":{},\"flags\":{}}", number,
        number == 2 ? 2 : 1);
    (void)snprintf(revision, sizeof revision, "1-%d", number);
    if (cfg_digest_bytes(digest, cfg_slice_str(digest_of != NULL ? digest_of : view)) != 0) {
        cfg_test_die("no digest");
    }
    if ((where & PUSH) != 0) {
        cfg_memory_push_view(r->source, revision, digest, "S", view);
    }
    if ((where & ARCHIVE) != 0) {
        cfg_memory_archive(r->source, revision, digest, "S", view);
    }
}

static void give(uint32_t rank, int where, int number)
{
    give_as(&m[rank], where, number, NULL);
}

static bool run_until(struct member *r)
{
    for (; r->step < STEPS; r->step++) {
        if (r->leave_at != 0 && r->step == r->leave_at) {
            return true;
        }
        const struct cfg_view *v = cfg_step_begin(r->w, r->step);
        if (v == NULL) {
            (void)cfg_worker_why(r->w, &r->end);
            return false;
        }
        (void)snprintf(r->ran[r->step], sizeof r->ran[0], "%s", v->revision);
        r->lr[r->step] = v->values[0].f64;
        cfg_step_end(r->w, NULL);
        if (strcmp(v->revision, r->until) == 0) {
            r->step++;
            return true;
        }
    }
    (void)cfg_fail(&r->end, CFG_E_TIMEOUT, "%s never came", r->until);
    return false;
}

static void *live(void *arg)
{
    struct member *r = arg;
    if (cfg_worker_start(r->w, 50, &r->end) == 0) {
        (void)run_until(r);
    }
    return NULL;
}

static void *live_on(void *arg)
{
    struct member *r = arg;
    if (cfg_worker_form(r->w, &r->end) == 0) {
        (void)run_until(r);
    }
    return NULL;
}

static void *live_further(void *arg)
{
    (void)run_until(arg);
    return NULL;
}

static void begin(uint32_t rank, const char *until, void *(*how)(void *))
{
    m[rank].until = until;
    m[rank].end = (struct cfg_error)CFG_ERROR_INIT;
    cr_assert_eq(pthread_create(&m[rank].thread, NULL, how, &m[rank]), 0);
}

static void join_all(void)
{
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(pthread_join(m[i].thread, NULL), 0);
    }
}

static void all_run(const char *until, void *(*how)(void *))
{
    for (uint32_t i = 0; i < WORLD; i++) {
        begin(i, until, how);
    }
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, 0, "rank %u: %s", i, m[i].end.text);
    }
}

/* From `first` on: at every step all ran the same revision, with its value, and it never fell. */
static void check_logs(uint64_t first)
{
    int last = 0;
    cr_assert(m[0].step > first && m[0].step == m[1].step && m[0].step == m[2].step);
    for (uint64_t s = first; s < m[0].step; s++) {
        cr_assert_str_eq(m[0].ran[s], m[1].ran[s], "step %llu", (unsigned long long)s);
        cr_assert_str_eq(m[0].ran[s], m[2].ran[s], "step %llu", (unsigned long long)s);
        int number = atoi(m[0].ran[s] + 2);
        cr_assert(number >= last, "step %llu", (unsigned long long)s);
        for (uint32_t i = 0; i < WORLD; i++) {
            cr_assert_float_eq(m[i].lr[s], number, 1e-9);
        }
        last = number;
    }
}

static void close_all(void)
{
    for (uint32_t i = 0; i < WORLD; i++) {
        cfg_worker_close(m[i].w);
    }
}

static bool ran(int number)
{
    char revision[16];
    (void)snprintf(revision, sizeof revision, "1-%d", number);
    for (uint64_t s = 0; s < m[0].step; s++) {
        if (strcmp(m[0].ran[s], revision) == 0) {
            return true;
        }
    }
    return false;
}

/* Rank 0 begins with a view, the others with none; then each hears of other changes, and rank 2 of none at all. */
static void different_news(unsigned every)
{
    open_all(every);
    for (uint32_t i = 0; i < WORLD; i++) {
        for (int n = 2; n <= 9; n++) {
            give(i, ARCHIVE, n);
        }
    }
    give(0, PUSH, 1);
    all_run("1-1", live);
    for (int n = 3; n <= 9; n += 2) {
        give(0, PUSH, n);
    }
    give(1, PUSH, 9);
    all_run("1-9", live_on);
    check_logs(0);
    close_all();
}

Test(ranks, change_at_the_same_step_whatever_each_has_heard)
{
    different_news(1);
}

Test(ranks, change_at_the_same_step_when_they_agree_every_seven)
{
    different_news(7);
}

Test(ranks, change_at_the_same_step_when_rounds_are_read_later)
{
    deferred = true;
    different_news(1);
    different_news(3);
}

Test(ranks, keep_what_they_booted_with_together)
{
    open_all(1);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, ARCHIVE, 2);
        give(i, PUSH, (int)i == 1 ? 2 : 1);
    }
    all_run("1-2", live);
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_str_eq(m[i].w->current->values[1].string, "/2"); /* rank 0 and 2 had heard of /1 only */
    }
    check_logs(0);
    close_all();
}

static bool all_have_refused(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < WORLD; i++) {
        struct cfg_worker_status s;
        cfg_worker_status(m[i].w, &s);
        if (s.rejects == 0) {
            return false;
        }
    }
    return true;
}

static bool all_run_on_1(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < WORLD; i++) {
        struct cfg_worker_status s;
        cfg_worker_status(m[i].w, &s);
        if (strcmp(s.revision, "1-1") != 0) {
            return false;
        }
    }
    return true;
}

/* All run on 1; then `bad` comes, which no rank may run on; then 6. */
static void survive(void (*bad)(void))
{
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH, 1);
        begin(i, "1-6", live);
    }
    cr_assert(cfg_test_poll(all_run_on_1, NULL, 20000));
    bad();
    cr_assert(cfg_test_poll(all_have_refused, NULL, 20000));
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH, 6);
    }
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, 0, "rank %u: %s", i, m[i].end.text);
    }
    cr_assert_not(ran(5));
    check_logs(0);
}

static void five_for_rank_0(void)
{
    give(0, PUSH, 5); /* the others fetch it */
}

static void five_corrupted_on_rank_2(void)
{
    for (uint32_t i = 0; i < WORLD; i++) {
        give_as(&m[i], PUSH, 5, i == 2 ? "corrupted" : NULL);
    }
}

static void say_last_reject(char out[400], uint32_t rank)
{
    struct cfg_worker_status s;
    cfg_worker_status(m[rank].w, &s);
    (void)snprintf(out, 400, "%s", s.last_reject);
}

Test(ranks, refuse_together)
{
    char text[400];
    open_all(1);
    m[1].refused_lr = 5;
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, ARCHIVE, 5);
    }
    survive(five_for_rank_0);
    say_last_reject(text, 0);
    cr_assert(strstr(text, "rank 1 of the group cannot run on it") != NULL, "%s", text);
    say_last_reject(text, 1);
    cr_assert(strstr(text, "cannot take 5") != NULL, "%s", text);
    close_all();
}

Test(ranks, refuse_what_one_of_them_can_get_no_more)
{
    char text[400];
    open_all(1);
    survive(five_for_rank_0);
    say_last_reject(text, 0);
    cr_assert(strstr(text, "cannot run on it") != NULL, "%s", text);
    close_all();
}

Test(ranks, drop_a_revision_that_is_not_one_view)
{
    char text[400];
    open_all(1);
    survive(five_corrupted_on_rank_2);
    say_last_reject(text, 1);
    cr_assert(strstr(text, "hold different views") != NULL && strstr(text, "2") != NULL, "%s", text);
    close_all();
}

Test(ranks, name_what_differs_between_them)
{
    open_all(1);
    cfg_worker_close(m[2].w);
    m[2].lr_default = 0.25;
    open_member(&m[2]);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH, 1);
        begin(i, "1-1", live);
    }
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, CFG_E_PIN_MISMATCH, "rank %u: %s", i, m[i].end.text);
        cr_assert(strstr(m[i].end.text, "optimizer.lr (default): rank 0, 1 has 0.5; rank 2 has 0.25") != NULL, "%s",
                  m[i].end.text);
    }
    close_all();
}

Test(ranks, stop_when_one_has_gone_and_go_on_when_it_is_back)
{
    open_all(1);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH, 1);
        begin(i, "1-4", live);
    }
    m[2].leave_at = 5; /* threads look at it from step to step; rank 2 may be beyond it already */
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, ARCHIVE, 4);
    }
    give(1, PUSH, 4);
    join_all();
    uint64_t step = m[0].step;
    cfg_worker_close(m[2].w);
    cr_assert_null(cfg_step_begin(m[0].w, step));
    cr_assert_null(cfg_step_begin(m[1].w, step));
    cr_assert_eq(cfg_worker_why(m[1].w, &m[1].end), CFG_E_AGREEMENT);
    cr_assert(strstr(m[1].end.text, "rank") != NULL, "%s", m[1].end.text);
    m[2] = (struct member){.rank = 2, .lr_default = 0.5, .every = 1};
    open_member(&m[2]);
    m[0].step = m[1].step = m[2].step = step;
    for (uint32_t i = 0; i < WORLD; i++) {
        m[i].leave_at = 0;
        give(i, ARCHIVE, 7);
        begin(i, "1-7", i == 2 ? live : live_on);
    }
    give(0, PUSH, 7);
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, 0, "rank %u: %s", i, m[i].end.text);
    }
    check_logs(step);
    close_all();
}

/* A value that is kept until a restart changes, and one rank is started again. */
Test(ranks, that_booted_with_different_values_are_told_which_and_what_to_do)
{
    open_all(1);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH | ARCHIVE, 1);
    }
    all_run("1-1", live);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH | ARCHIVE, 2); /* data.path is "/2" in it */
    }
    all_run("1-2", live_further);
    uint64_t step = m[0].step;
    cfg_worker_close(m[2].w);
    cr_assert_null(cfg_step_begin(m[0].w, step));
    cr_assert_null(cfg_step_begin(m[1].w, step));
    m[2] = (struct member){.rank = 2, .lr_default = 0.5, .every = 1};
    open_member(&m[2]);
    give(2, PUSH | ARCHIVE, 2);
    m[2].step = step;
    for (uint32_t i = 0; i < WORLD; i++) {
        begin(i, "1-9", i == 2 ? live : live_on);
    }
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        const struct cfg_error *e = &m[i].end;
        cr_assert_eq(e->code, CFG_E_PIN_MISMATCH, "rank %u: %s", i, e->text);
        cr_assert(strstr(e->text, "data.path: rank 0, 1 has \"/1\"; rank 2 has \"/2\"") != NULL, "%s", e->text);
        cr_assert(strstr(e->text, "restart all of them, or set it back") != NULL, "%s", e->text);
        cr_assert(strstr(e->text, "rank 2 has") - e->text < 255, "all of it fits into a report");
        cr_assert_str_eq(e->path, "data.path");
        cr_assert(strstr(e->hint, "data.path takes effect at a restart") != NULL, "%s", e->hint);
    }
    close_all();
}

Test(ranks, at_different_steps_are_told_so)
{
    open_all(1);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH, 1);
        m[i].step = i == 1 ? 7 : 0;
        begin(i, "1-4", live);
    }
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, CFG_E_AGREEMENT);
        cr_assert(strstr(m[i].end.text, "rank 0 at 0, rank 1 at 7") != NULL, "%s", m[i].end.text);
    }
    close_all();
}

/* Forming does not wait for a `prepare` without end: the rank says no in time, and all begin when it is over. */
Test(ranks, do_not_wait_for_a_prepare_without_end)
{
    char text[400];
    open_all(1);
    for (uint32_t i = 0; i < WORLD; i++) {
        cfg_worker_close(m[i].w);
        m[i].deadline_ms = 600;
        open_member(&m[i]);
    }
    atomic_store(&m[1].hangs, true);
    give(0, PUSH, 1);
    for (uint32_t i = 0; i < WORLD; i++) {
        begin(i, "1-1", live);
    }
    join_all();
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, CFG_E_TIMEOUT, "rank %u: %s", i, m[i].end.text);
        cr_assert(strstr(m[i].end.text, "no rank of the group has a view") != NULL, "%s", m[i].end.text);
    }
    atomic_store(&m[1].hangs, false);
    for (uint32_t i = 0; i < WORLD; i++) {
        give(i, PUSH, 6);
    }
    all_run("1-6", live);
    say_last_reject(text, 0);
    cr_assert(strstr(text, "rank 1 of the group cannot run on it") != NULL, "%s", text);
    check_logs(0);
    close_all();
}
