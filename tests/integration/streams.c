/* Streams of real daemons over a real etcd: resuming, skipping ahead, lagging replicas, staleness, ages, ends. */
#include "stream_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cfg_test_etcd *etcd;
static struct daemon d;

#define BLUE "/v1/deployments/blue/stream"
#define A    "aaaaaaaaaaaaaaaa"
#define B    "bbbbbbbbbbbbbbbb"

static void setup(void)
{
    etcd = cfg_test_etcd_start(NULL);
    daemon_start(&d, cfg_test_etcd_endpoint(etcd, 0), NULL);
    daemon_blue(&d);
}

static void teardown(void)
{
    daemon_free(&d);
    cfg_test_etcd_free(etcd);
}

TestSuite(streams, .init = setup, .fini = teardown);

static char *with_digest(const struct stream *s)
{
    return cfg_test_format(BLUE "?digest=%s", s->digest);
}

Test(streams, view_then_patches)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    cr_assert_eq(s->status, 200);
    cr_assert_not_null(strstr(s->head, "text/event-stream"));
    const struct stream_event *e = stream_expect(s, "view");
    cr_assert_str_eq(e->id, cfg_json_get_str(e->data, "revision", ""));
    cr_assert(cJSON_IsFalse(cfg_json_get(e->data, "stale")));
    cr_assert_eq(cfg_json_get_num(cfg_json_get(s->view, "pinned"), "tp", 0), 4);
    char rev[48];
    daemon_patch(&d, "chat", "{\"a\":2}", rev);
    e = stream_expect(s, "patch");
    cr_assert_str_eq(e->id, rev);
    cr_assert_eq(s->sse.retry_ms, 1000);
    stream_close(s);
}

Test(streams, resuming_needs_no_view)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    const struct stream_event *e = stream_expect(s, "view");
    char *path = with_digest(s), *first = cfg_test_format("%s", e->id), rev[48];
    struct stream *same = stream_open(&d, path, first);
    cr_assert_str_eq(stream_next(same, 10000)->event, "mark");
    stream_close(same);
    daemon_patch(&d, "chat", "{\"a\":2}", NULL);
    daemon_patch(&d, "chat", "{\"a\":1}", rev); /* A again */
    struct stream *away = stream_open(&d, path, first);
    e = stream_expect(away, "patch");
    cr_assert_str_eq(e->id, rev);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(e->data, "patch")), 0);
    stream_close(away);
    daemon_patch(&d, "chat", "{\"a\":9}", rev);
    struct stream *behind = stream_open(&d, path, first);
    e = stream_expect(behind, "view");
    cr_assert_str_eq(e->id, rev);
    stream_close(behind);
    stream_close(s);
    free(path);
    free(first);
}

Test(streams, heartbeats_come_when_nothing_happens)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    uint64_t end = cfg_test_now_ms() + 15000;
    while (s->heartbeats < 3 && cfg_test_now_ms() < end)
        stream_read(s, 1000);
    cr_assert_geq(s->heartbeats, 3u);
    stream_close(s);
}

/* About 48 KiB of text, so that a reader that does not read is full after a few changes. */
static char *large_patch(int i)
{
    enum { N = 48 * 1024 };
    char *text = malloc(N + 64);
    cr_assert_not_null(text);
    int n = snprintf(text, 64, "{\"a\":%d,\"text\":\"%d ", i, i);
    memset(text + n, 'a' + i % 26, N);
    memcpy(text + n + N, "\"}", 3);
    return text;
}

Test(streams, a_reader_that_stops_reading_is_skipped_ahead)
{
    enum { CHANGES = 120 };
    struct daemon patient; /* one that does not take it for stuck */
    daemon_start_with(&patient, cfg_test_etcd_endpoint(etcd, 0), "30", NULL);
    struct stream *slow = stream_open(&patient, BLUE, NULL), *quick = stream_open(&patient, BLUE, NULL);
    (void)stream_expect(slow, "view");
    (void)stream_expect(quick, "view");
    char rev[48];
    for (int i = 1; i <= CHANGES; i++) {
        char *patch = large_patch(i);
        daemon_patch(&d, "chat", patch, rev);
        free(patch);
        stream_reach(quick, rev); /* a slow reader holds nobody up */
        stream_forget(quick);
    }
    stream_reach(slow, rev);
    cr_assert_str_eq(slow->digest, quick->digest);
    cr_assert_lt(slow->n, (size_t)CHANGES, "%zu events: it was told everything, so it was queued for", slow->n);
    size_t views = 0;
    for (size_t i = 1; i < slow->n; i++)
        views += strcmp(slow->events[i].event, "view") == 0;
    cr_assert_geq(views, 1u, "it skipped by taking the newest view");
    daemon_patch(&d, "chat", "{\"a\":-1}", rev);
    stream_reach(slow, rev);
    cr_assert_str_eq(slow->events[slow->n - 1].event, "patch", "and follows by patches again");
    stream_close(slow);
    stream_close(quick);
    daemon_free(&patient);
}

Test(streams, a_stuck_reader_is_closed)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    cJSON *status = NULL;
    uint64_t end = cfg_test_now_ms() + 60000;
    double streams = 1;
    for (int i = 1; streams > 0 && cfg_test_now_ms() < end; i++) {
        char *patch = large_patch(i);
        daemon_patch(&d, "chat", patch, NULL);
        free(patch);
        cr_assert_eq(daemon_call(&status, &d, "GET", "/v1/status", NULL, NULL), 200);
        streams = cfg_json_get_num(status, "streams", -1);
        cJSON_Delete(status);
    }
    cr_assert_eq(streams, 0, "four heartbeats without taking a byte");
    stream_close(s);
}

Test(streams, a_replica_that_lags_never_answers_from_the_past)
{
    struct cfg_test_proxy *wire = cfg_test_proxy_start(cfg_test_etcd_port(etcd, 0));
    struct daemon late;
    daemon_start(&late, cfg_test_proxy_endpoint(wire), NULL);
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    cfg_test_proxy_mute(wire, true); /* its watch hears nothing any more */
    char rev[48];
    daemon_patch(&d, "chat", "{\"a\":2}", rev);
    stream_reach(s, rev);
    char *path = with_digest(s);
    struct stream *thrown = stream_open(&late, path, rev);
    uint64_t end = cfg_test_now_ms() + 20000;
    while (thrown->heartbeats < 2 && cfg_test_now_ms() < end)
        stream_read(thrown, 1000);
    cr_assert_geq(thrown->heartbeats, 2u, "it is kept alive while it waits");
    cr_assert_eq(thrown->n, 0u, "told nothing older than what it holds");
    cfg_test_proxy_mute(wire, false);
    cfg_test_proxy_cut(wire);
    const struct stream_event *e = stream_next(thrown, 30000);
    cr_assert_not_null(e);
    cr_assert_str_eq(e->event, "mark");
    cr_assert_geq(rev_cmp(e->id, rev), 0);
    stream_close(thrown);
    stream_close(s);
    free(path);
    daemon_free(&late);
    cfg_test_proxy_free(wire);
}

Test(streams, a_replica_that_was_stopped_catches_up_before_it_serves)
{
    struct daemon late;
    daemon_start(&late, cfg_test_etcd_endpoint(etcd, 0), NULL);
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    char rev[48];
    for (int round = 0; round < 10; round++) {
        char *patch = cfg_test_format("{\"a\":%d}", 100 + round);
        cfg_test_proc_signal(late.proc, SIGSTOP);
        daemon_patch(&d, "chat", patch, rev);
        stream_reach(s, rev);
        char *path = with_digest(s);
        cfg_test_proc_signal(late.proc, SIGCONT);
        struct stream *thrown = stream_open(&late, path, rev);
        const struct stream_event *e = stream_next(thrown, 20000);
        cr_assert_not_null(e);
        cr_assert_geq(rev_cmp(e->id, rev), 0, "%s after %s", e->id, rev);
        cr_assert_str_eq(e->event, "mark");
        struct stream *fresh = stream_open(&late, BLUE, NULL); /* without a token: linearizable */
        e = stream_expect(fresh, "view");
        cr_assert_str_eq(fresh->digest, s->digest);
        stream_close(fresh);
        stream_close(thrown);
        free(path);
        free(patch);
    }
    stream_close(s);
    daemon_free(&late);
}

Test(streams, without_etcd_views_are_served_and_marked_stale)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    cfg_test_etcd_kill(etcd, 0);
    const struct stream_event *e = stream_expect(s, "mark");
    while (!cJSON_IsTrue(cfg_json_get(e->data, "stale")))
        e = stream_expect(s, "mark");
    struct stream *late = stream_open(&d, BLUE, NULL);
    e = stream_expect(late, "view");
    cr_assert(cJSON_IsTrue(cfg_json_get(e->data, "stale")));
    cr_assert_str_eq(late->digest, s->digest);
    cfg_test_etcd_restart(etcd, 0);
    do
        e = stream_expect(late, "mark");
    while (cJSON_IsTrue(cfg_json_get(e->data, "stale")));
    char rev[48];
    daemon_patch(&d, "chat", "{\"a\":3}", rev);
    stream_reach(s, rev);
    stream_reach(late, rev);
    stream_close(s);
    stream_close(late);
}

Test(streams, they_end_at_a_jittered_age)
{
    enum { N = 24 };
    struct daemon young;
    static const char *const age[] = {"--stream-age-s", "2", NULL};
    struct stream *s[N];
    uint64_t ended[N], first = UINT64_MAX, last = 0;
    daemon_start(&young, cfg_test_etcd_endpoint(etcd, 0), age);
    for (size_t i = 0; i < N; i++)
        s[i] = stream_open(&young, BLUE, NULL);
    for (size_t i = 0; i < N; i++)
        ended[i] = 0;
    for (size_t left = N; left > 0;) {
        for (size_t i = 0; i < N; i++) {
            stream_read(s[i], 1);
            if (!s[i]->ended || ended[i])
                continue;
            ended[i] = cfg_test_now_ms();
            first = ended[i] < first ? ended[i] : first;
            last = ended[i] > last ? ended[i] : last;
            const struct stream_event *e = &s[i]->events[s[i]->n - 1];
            cr_assert_str_eq(e->event, "bye");
            cr_assert_str_eq(cfg_json_get_str(e->data, "reason", ""), "age");
            left--;
        }
    }
    cr_assert_gt(last - first, 100u, "they did not end together");
    for (size_t i = 0; i < N; i++)
        stream_close(s[i]);
    daemon_free(&young);
}

Test(streams, workers_are_known_connected_and_superseded)
{
    daemon_register(&d, "w0", A, 200);
    struct stream *wrong = stream_open(&d, BLUE "?worker=w0&incarnation=" B, NULL);
    cr_assert_eq(wrong->status, 404);
    stream_close(wrong);
    struct stream *old = stream_open(&d, BLUE "?worker=w0&incarnation=" A, NULL);
    (void)stream_expect(old, "view");
    cJSON *list;
    cr_assert_eq(daemon_call(&list, &d, "GET", "/v1/deployments/blue/workers", NULL, NULL), 200);
    cr_assert_eq(cfg_json_get_num(list, "total", 0), 1);
    cJSON_Delete(list);
    daemon_register(&d, "w0", B, 200);
    (void)stream_expect(old, "superseded");
    cr_assert_null(stream_next(old, 5000));
    cr_assert(old->ended);
    daemon_register(&d, "w0", A, 409);
    struct stream *back = stream_open(&d, BLUE "?worker=w0&incarnation=" A, NULL);
    cr_assert_eq(back->status, 409);
    stream_close(back);
    stream_close(old);
}

Test(streams, a_held_release_moves_only_when_told)
{
    char rev[48];
    cr_assert_eq(daemon_call(NULL, &d, "POST", "/v1/deployments", NULL,
                             "{\"name\":\"green\",\"config\":\"chat\",\"pin\":[],\"flags\":[],\"track\":\"hold\"}"),
                 201);
    struct stream *s = stream_open(&d, "/v1/deployments/green/stream", NULL);
    (void)stream_expect(s, "view");
    for (int i = 2; i <= 4; i++) {
        char *patch = cfg_test_format("{\"a\":%d}", i);
        daemon_patch(&d, "chat", patch, rev);
        free(patch);
    }
    const struct stream_event *e = stream_expect(s, "mark"); /* seen, and not its own */
    while (rev_cmp(e->id, rev) < 0)
        e = stream_expect(s, "mark");
    cr_assert_eq(cfg_json_get_num(cfg_json_get(s->view, "parameters"), "a", 0), 1);
    cr_assert_eq(daemon_call(NULL, &d, "PATCH", "/v1/deployments/green", "application/merge-patch+json",
                             "{\"release\":{\"chat\":3}}"),
                 200);
    e = stream_expect(s, "patch");
    cr_assert_eq(cfg_json_get_num(cfg_json_get(e->data, "versions"), "chat", 0), 3);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(s->view, "parameters"), "a", 0), 3);
    struct daemon other; /* has to fetch version 3 from history */
    daemon_start(&other, cfg_test_etcd_endpoint(etcd, 0), NULL);
    struct stream *late = stream_open(&other, "/v1/deployments/green/stream", NULL);
    e = stream_expect(late, "view");
    cr_assert_str_eq(late->digest, s->digest);
    cr_assert_str_eq(e->id, s->events[s->n - 1].id, "both replicas label it alike");
    stream_close(late);
    stream_close(s);
    daemon_free(&other);
}

/* Readers that come, go, lag and vanish under writes: none may disturb the others, and the daemon (under a sanitizer)
 * must end clean. */
Test(streams, readers_come_and_go_under_writes)
{
    enum { N = 60, ROUNDS = 40 };
    struct stream *s[N] = {0};
    char rev[48];
    srand(5);
    for (int round = 1; round <= ROUNDS; round++) {
        for (size_t i = 0; i < N; i++) {
            if (s[i] == NULL && rand() % 3 == 0)
                s[i] = stream_open(&d, i % 4 ? BLUE : "/v1/watch?namespace=chat", NULL);
            else if (s[i] && rand() % 6 == 0) {
                stream_close(s[i]); /* perhaps with unread bytes: a reset */
                s[i] = NULL;
            } else if (s[i] && rand() % 2)
                stream_read(s[i], 0);
        }
        char *patch = rand() % 4 ? cfg_test_format("{\"a\":%d}", round) : large_patch(round);
        daemon_patch(&d, "chat", patch, rev);
        free(patch);
    }
    for (size_t i = 0; i < N; i++) {
        if (s[i] && i % 4)
            stream_reach(s[i], rev);
        stream_close(s[i]);
    }
}

Test(streams, refusals)
{
    static const struct {
        const char *path;
        int status;
    } bad[] = {
        {"/v1/deployments/bleu/stream", 404},
        {BLUE "?store=another", 409},
        {BLUE "?digest=md5:1", 400},
        {BLUE "?worker=w0", 400},
        {BLUE "?arm=canary", 404},
        {"/v1/watch?namespace=No/Such", 400},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct stream *s = stream_open(&d, bad[i].path, NULL);
        cr_assert_eq(s->status, bad[i].status, "%s: %d", bad[i].path, s->status);
        stream_close(s);
    }
}

Test(streams, an_adopted_store_counts_for_nothing_but_is_let_in)
{
    cr_assert_eq(daemon_call(NULL, &d, "PATCH", "/v1/deployments/blue", "application/merge-patch+json",
                             "{\"adopt_store\":\"another\"}"),
                 200);
    struct stream *here = stream_open(&d, BLUE, NULL);
    (void)stream_expect(here, "view");
    char *path = cfg_test_format("%s?store=another&digest=%s", BLUE, here->digest);
    struct stream *s = stream_open(&d, path, "7-99999"); /* that store's clock */
    cr_assert_eq(s->status, 200);
    (void)stream_expect(s, "view");
    stream_close(s);
    stream_close(here);
    free(path);
}

Test(streams, a_store_that_went_back_raises_the_epoch)
{
    char *dir = cfg_test_dir_new(), *file = cfg_test_format("%s/snapshot", dir), rev[48];
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    cfg_test_etcd_snapshot(etcd, file);
    char *before = cfg_test_format("%s", s->digest);
    for (int i = 2; i < 8; i++) {
        char *patch = cfg_test_format("{\"a\":%d}", i);
        daemon_patch(&d, "chat", patch, rev);
        free(patch);
    }
    stream_reach(s, rev);
    char *path = with_digest(s);
    cfg_test_etcd_restore(etcd, file);
    stream_reach(s, "2-1");
    cr_assert_str_eq(s->digest, before, "the view of the backup");
    struct stream *away =
        stream_open(&d, path, rev); /* one that was away meanwhile: its token is of the epoch before */
    const struct stream_event *e = stream_expect(away, "view");
    cr_assert_geq(rev_cmp(e->id, "2-1"), 0);
    daemon_patch(&d, "chat", "{\"a\":100}", rev);
    stream_reach(s, rev);
    stream_reach(away, rev);
    stream_close(away);
    stream_close(s);
    free(path);
    free(before);
    free(file);
    cfg_test_dir_remove(dir);
}

Test(streams, a_deleted_deployment_ends_its_streams)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    cr_assert_eq(daemon_call(NULL, &d, "DELETE", "/v1/deployments/blue", NULL, NULL), 200);
    const struct stream_event *e = stream_expect(s, "bye");
    cr_assert_str_eq(cfg_json_get_str(e->data, "reason", ""), "deleted");
    stream_close(s);
}

Test(streams, shutting_down_says_bye)
{
    struct stream *s = stream_open(&d, BLUE, NULL), *w = stream_open(&d, "/v1/watch", NULL);
    (void)stream_expect(s, "view");
    (void)stream_expect(w, "mark");
    cfg_test_proc_signal(d.proc, SIGTERM);
    d.ending = true;
    cr_assert_str_eq(cfg_json_get_str(stream_expect(s, "bye")->data, "reason", ""), "shutdown");
    cr_assert_str_eq(cfg_json_get_str(stream_expect(w, "bye")->data, "reason", ""), "shutdown");
    stream_close(s);
    stream_close(w);
}

Test(streams, watch_tells_changes_and_resumes)
{
    struct stream *all = stream_open(&d, "/v1/watch", NULL);
    struct stream *chat = stream_open(&d, "/v1/watch?namespace=chat", NULL);
    (void)stream_expect(all, "mark");
    const struct stream_event *e = stream_expect(chat, "mark");
    char *from = cfg_test_format("%s", e->id), rev[48], other[48];
    daemon_set(&d, "other", "x", "1", other);
    daemon_patch(&d, "chat", "{\"a\":2}", rev);
    e = stream_expect(all, "change");
    cr_assert_str_eq(cfg_json_get_str(e->data, "namespace", ""), "other");
    e = stream_expect(chat, "change");
    cr_assert_str_eq(e->id, rev);
    cr_assert_str_eq(cfg_json_get_str(e->data, "kind", ""), "config");
    cr_assert_eq(cfg_json_get_num(e->data, "previous", 0), 1);
    const cJSON *change = cJSON_GetArrayItem(cfg_json_get(e->data, "changes"), 0);
    cr_assert_str_eq(cfg_json_get_str(change, "path", ""), "a");
    struct stream *again = stream_open(&d, "/v1/watch", from);
    cr_assert_str_eq(stream_expect(again, "change")->id, other);
    cr_assert_str_eq(stream_expect(again, "change")->id, rev);
    struct daemon younger; /* has not seen what happened before it came */
    daemon_start(&younger, cfg_test_etcd_endpoint(etcd, 0), NULL);
    struct stream *old = stream_open(&younger, "/v1/watch", "1-1");
    (void)stream_expect(old, "reset");
    daemon_patch(&d, "chat", "{\"a\":3}", rev);
    cr_assert_str_eq(stream_expect(old, "change")->id, rev);
    daemon_free(&younger);
    stream_close(old);
    stream_close(again);
    stream_close(all);
    stream_close(chat);
    free(from);
}

Test(streams, past_views_are_served)
{
    struct stream *s = stream_open(&d, BLUE, NULL);
    (void)stream_expect(s, "view");
    for (int i = 2; i < 30; i++) {
        char *patch = cfg_test_format("{\"a\":%d}", i), rev[48];
        daemon_patch(&d, "chat", patch, rev);
        stream_reach(s, rev);
        free(patch);
    }
    size_t checked = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->events[i].event, "mark") == 0)
            continue;
        cJSON *view;
        char *path = cfg_test_format("/v1/deployments/blue/view?revision=%s", s->events[i].id);
        cr_assert_eq(daemon_call(&view, &d, "GET", path, NULL, NULL), 200, "%s", path);
        cr_assert_str_eq(cfg_json_get_str(view, "digest", ""), cfg_json_get_str(s->events[i].data, "digest", ""));
        cr_assert_str_eq(cfg_json_get_str(view, "revision", ""), s->events[i].id);
        cJSON_Delete(view);
        free(path);
        checked++;
    }
    cr_assert_geq(checked, 29u);
    stream_close(s);
}
