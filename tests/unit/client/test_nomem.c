/* Every allocation of a session's machine fails in turn: it must not crash, leak (LeakSanitizer judges that) or hand on
 * a view that is not whole or older than the last; and with memory back it must come to the newest view. */
#include "client/machine.h"
#include "proto/digest.h"
#include "proto/revision.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

static long countdown = -1; /* allocations until one fails; negative: none does */
static bool has_failed;

static bool fails_now(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    has_failed = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails_now() ? NULL : __real_strdup(s);
}

/* cJSON's own allocations go through its hooks. */
static void *hook_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

struct play {
    struct cfg_machine *m;
    bool open[CFG_SLOTS];
    uint64_t now;
    struct cfg_rev rev;
    char view[256];
};

static void do_send(void *arg, const struct cfg_send *r)
{
    struct play *p = arg;
    p->open[r->slot] = true;
}

static void do_cancel(void *arg, enum cfg_slot slot)
{
    struct play *p = arg;
    p->open[slot] = false;
}

static uint64_t do_random(void *arg)
{
    (void)arg;
    return 0;
}

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct play *p = arg;
    long saved = countdown;
    countdown = -1; /* the test's own looking must not fail */
    struct cfg_rev rev;
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_rev_parse(&rev, cfg_slice_str(ev->revision), NULL), 0);
    cr_assert_geq(cfg_rev_cmp(rev, p->rev), 0, "went back to %s", ev->revision);
    cr_assert_eq(cfg_digest_bytes(digest, (struct cfg_slice){ev->view, ev->view_len}), 0);
    cr_assert_str_eq(digest, ev->digest);
    p->rev = rev;
    snprintf(p->view, sizeof p->view, "%.*s", (int)ev->view_len, ev->view);
    countdown = saved;
}

static char view_event[4][1024], patch_event[1024];

static void print_view(char *out, size_t room, char digest[CFG_DIGEST_TEXT], const char *revision, int value)
{
    char view[256];
    snprintf(view, sizeof view, "{\"flags\":{},\"parameters\":{\"t\":%d},\"pinned\":{}}", value);
    cr_assert_eq(cfg_digest_bytes(digest, cfg_slice_str(view)), 0);
    snprintf(out, room,
             "event: view\nid: %s\ndata: {\"store\":\"S1\",\"arm\":\"base\",\"revision\":\"%s\",\"digest\":\"%s\","
             "\"versions\":{\"chat\":1},\"stale\":false,\"view\":%s}\n\n",
             revision, revision, digest, view);
}

static void make_events(void)
{
    char a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT], c[CFG_DIGEST_TEXT];
    print_view(view_event[0], sizeof view_event[0], a, "1-5", 1);
    print_view(view_event[1], sizeof view_event[1], b, "1-6", 2);
    print_view(view_event[2], sizeof view_event[2], c, "1-7", 3);
    snprintf(patch_event, sizeof patch_event,
             "event: patch\nid: 1-6\ndata: {\"revision\":\"1-6\",\"from\":\"%s\",\"digest\":\"%s\","
             "\"versions\":{\"chat\":2},\"patch\":[{\"op\":\"replace\",\"path\":\"/parameters/t\",\"value\":2}]}\n\n",
             a, b);
}

/* As far as the machine goes along: connects when it wants to, then gives it `text`. */
static void connect_and_give(struct play *p, const char *text)
{
    static const char reply[] = "{\"store\":\"S1\",\"revision\":\"1-5\"}";
    if (!p->open[CFG_SLOT_STREAM])
        cfg_machine_tick(p->m, p->now += 20000);
    if (p->open[CFG_SLOT_REGISTER]) {
        cfg_machine_bytes(p->m, CFG_SLOT_REGISTER, 200, CFG_SLICE_LIT(reply), p->now);
        p->open[CFG_SLOT_REGISTER] = false;
        cfg_machine_done(p->m, CFG_SLOT_REGISTER, 200, NULL, p->now);
    }
    if (p->open[CFG_SLOT_STREAM])
        cfg_machine_bytes(p->m, CFG_SLOT_STREAM, 200, cfg_slice_str(text), p->now);
    if (cfg_machine_report(p->m, "{\"n\":1}", NULL) == 0 && p->open[CFG_SLOT_REPORT]) {
        p->open[CFG_SLOT_REPORT] = false;
        cfg_machine_done(p->m, CFG_SLOT_REPORT, 204, NULL, p->now);
    }
}

static bool play_once(long fail_at)
{
    struct play p = {.now = 0};
    const struct cfg_session_callbacks callbacks = {.on_view = on_view, .arg = &p};
    const struct cfg_transport transport = {do_send, do_cancel, do_random, &p};
    const struct cfg_machine_options o = {
        .servers = 1, .deployment = "blue", .registration = "{\"worker\":\"w0\",\"incarnation\":\"a\"}"};
    struct cfg_error err;
    has_failed = false;
    countdown = fail_at;
    int rc = cfg_machine_new(&p.m, &o, &callbacks, &transport, &err);
    if (rc == 0) {
        connect_and_give(&p, view_event[0]);
        connect_and_give(&p, patch_event);
        countdown = -1;
        for (int i = 0; i < 3 && p.rev.revision < 7; i++)
            connect_and_give(&p, view_event[2]);
        cr_assert_eq(p.rev.revision, 7, "failure %ld: memory is back, but the newest view never came", fail_at);
        cr_assert_not_null(strstr(p.view, "\"t\":3"));
    } else {
        cr_assert_eq(rc, CFG_E_NOMEM, "failure %ld: %s", fail_at, err.text);
        cr_assert_null(p.m);
    }
    countdown = -1;
    cfg_machine_free(p.m);
    return has_failed;
}

Test(nomem, every_allocation_of_a_session)
{
    cJSON_Hooks hooks = {.malloc_fn = hook_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    make_events();
    long n = 0;
    while (play_once(n))
        n++;
    cr_assert_gt(n, 60, "only %ld allocations were met: is anything wrapped?", n);
}
