/* A group over tcp: rounds, broadcasts, and how an incarnation ends. See group_tcp.h for the shape. */
#include "worker/group_tcp.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct cfg_group_tcp *self(struct cfg_group *g)
{
    return (struct cfg_group_tcp *)g;
}

static uint64_t own_deadline(const struct cfg_group_tcp *g)
{
    uint64_t ms = g->base.rank == 0 ? g->deadline_ms : (uint64_t)g->deadline_ms * 2 + 100;
    return cfg_group_now_ms() + ms;
}

/* --- the end of an incarnation --- */

static void close_peers(struct cfg_group_tcp *g)
{
    for (uint32_t i = 0; i < g->n_peers; i++) {
        cfg_peer_close(&g->peers[i]);
    }
    g->base.incarnation = 0;
}

/* Tells everybody who is still there. Without waiting: who does not read has its own deadline. */
static void tell_all(struct cfg_group_tcp *g, uint32_t cause, const char *reason)
{
    const struct cfg_frame f = {CFG_FRAME_ABORT, cause, g->base.incarnation, g->round, cfg_slice_str(reason)};
    for (uint32_t i = 0; i < g->n_peers; i++) {
        if (g->peers[i].fd >= 0) {
            (void)cfg_peer_send_frame(&g->peers[i], &g->out, &f, 0, NULL);
        }
    }
}

static int end(struct cfg_group_tcp *g, uint32_t cause, const char *reason, struct cfg_error *err)
{
    char text[300];
    (void)snprintf(text, sizeof text, "%.290s", reason); /* it may lie in a buffer that is about to go */
    tell_all(g, cause, text);
    close_peers(g);
    (void)cfg_fail(err, CFG_E_AGREEMENT, "the group has ended: %s", text);
    cfg_error_set_hint(err, "no step runs until all %u ranks have formed the group again", g->base.world);
    return CFG_E_AGREEMENT;
}

static int end_by(struct cfg_group_tcp *g, uint32_t cause, const struct cfg_error *why, struct cfg_error *err)
{
    char text[300];
    (void)snprintf(text, sizeof text, "rank %u: %.270s", cause, why->text);
    return end(g, cause, text, err);
}

static int need_formed(const struct cfg_group_tcp *g, struct cfg_error *err)
{
    return g->base.incarnation != 0 ? 0 : cfg_fail(err, CFG_E_AGREEMENT, "the group has not formed");
}

/* --- receiving one frame of the round --- */

static bool fits(const struct cfg_group_tcp *g, uint32_t from, const struct cfg_frame *f, enum cfg_frame_type want)
{
    return f->type == want && f->incarnation == g->base.incarnation && f->round == g->round &&
           (g->base.rank != 0 || f->rank == from);
}

/* A frame of rank `from` that has arrived (patient: or does within a moment): 1, none yet: 0, else the incarnation has
 * ended. */
static int take(struct cfg_group_tcp *g, uint32_t from, bool patient, enum cfg_frame_type want, struct cfg_frame *f,
                struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    struct cfg_peer *p = &g->peers[g->base.rank == 0 ? from : 0];
    int rc = patient ? cfg_peer_await(p, f, &why) : cfg_peer_receive(p, f, &why);
    if (rc == 0) {
        return 0;
    }
    if (rc < 0) {
        return end_by(g, from, &why, err);
    }
    if (f->type == CFG_FRAME_ABORT && f->incarnation == g->base.incarnation) {
        char text[300];
        (void)snprintf(text, sizeof text, "%.*s", (int)(f->payload.len < 280 ? f->payload.len : 280), f->payload.ptr);
        return end(g, f->rank, text, err);
    }
    if (!fits(g, from, f, want)) {
        (void)cfg_fail(&why, CFG_E_PROTOCOL, "it is not where this rank is (frame %d of round %u, expected %d of %u)",
                       (int)f->type, f->round, (int)want, g->round);
        return end_by(g, from, &why, err);
    }
    return 1;
}

static int await_one(struct cfg_group_tcp *g, uint32_t from, enum cfg_frame_type want, struct cfg_frame *f,
                     struct cfg_error *err)
{
    uint64_t deadline = 0;
    for (;;) {
        int rc = take(g, from, true, want, f, err);
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
        deadline = deadline == 0 ? own_deadline(g) : deadline;
        if (cfg_group_left_ms(deadline) == 0) {
            char text[120];
            (void)snprintf(text, sizeof text, "rank %u did not come within %u ms", from, g->deadline_ms);
            return end(g, from, text, err);
        }
    }
}

/* --- rounds --- */

static int add_words(struct cfg_group_tcp *g, uint32_t from, const struct cfg_frame *f, struct cfg_error *err)
{
    if (f->payload.len != g->n_words * 8) {
        struct cfg_error why = CFG_ERROR_INIT;
        (void)cfg_fail(&why, CFG_E_PROTOCOL, "its round has %zu bytes, this rank's %zu", f->payload.len,
                       g->n_words * 8);
        return end_by(g, from, &why, err);
    }
    for (size_t k = 0; k < g->n_words; k++) {
        int64_t v = (int64_t)cfg_get_u64(f->payload.ptr + 8 * k);
        g->words[k] = v < g->words[k] ? v : g->words[k];
    }
    return 0;
}

/* Whatever has arrived. *missing: how many have not contributed. patient: waits a moment for one after the other until
 * one does not come: mostly all have come by the time that the first has, so this wakes up less often than to look at
 * all of them whenever one has said something. */
static int collect(struct cfg_group_tcp *g, uint32_t *missing, bool patient, struct cfg_error *err)
{
    *missing = 0;
    for (uint32_t i = 1; i < g->base.world; i++) {
        struct cfg_frame f;
        struct cfg_peer *p = &g->peers[i];
        if (p->counted) {
            continue;
        }
        int rc = take(g, i, patient && *missing == 0, CFG_FRAME_WORDS, &f, err);
        rc = rc > 0 ? add_words(g, i, &f, err) : (rc == 0 ? 1 : rc);
        if (rc < 0) {
            return rc;
        }
        p->counted = rc == 0;
        *missing += rc == 0 ? 0 : 1;
    }
    return 0;
}

static int wait_for_some(struct cfg_group_tcp *g, struct pollfd *polls, uint64_t deadline, struct cfg_error *err)
{
    nfds_t n = 0;
    uint32_t late[4], n_late = 0;
    for (uint32_t i = 1; i < g->base.world; i++) {
        if (!g->peers[i].counted) {
            polls[n++] = (struct pollfd){g->peers[i].fd, POLLIN, 0};
            if (n_late < 4) {
                late[n_late++] = i;
            }
        }
    }
    int left = cfg_group_left_ms(deadline);
    if (left > 0) {
        (void)poll(polls, n, left); /* interrupted or ready: looked at either way */
        return 0;
    }
    char text[200];
    int at = snprintf(text, sizeof text, "rank");
    for (uint32_t i = 0; i < n_late; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, "%s %u", i > 0 ? "," : "", late[i]);
    }
    (void)snprintf(text + at, sizeof text - (size_t)at, "%s did not come within %u ms", n > n_late ? ", …" : "",
                   g->deadline_ms);
    return end(g, late[0], text, err);
}

static int gather_late(struct cfg_group_tcp *g, uint32_t missing, struct cfg_error *err)
{
    uint64_t deadline = own_deadline(g);
    struct pollfd *polls = calloc(g->base.world, sizeof *polls);
    int rc = polls != NULL ? 0 : end(g, 0, "rank 0: out of memory", err);
    while (rc == 0 && missing > 0) {
        rc = wait_for_some(g, polls, deadline, err);
        rc = rc == 0 ? collect(g, &missing, false, err) : rc;
    }
    free(polls);
    return rc;
}

static int gather(struct cfg_group_tcp *g, struct cfg_error *err)
{
    uint32_t missing = 0;
    int rc = collect(g, &missing, true, err);
    return rc == 0 && missing > 0 ? gather_late(g, missing, err) : rc;
}

/* The words of a round as a frame: a few hundred bytes on the stack, sent at once. */
struct round_frame {
    char bytes[CFG_FRAME_HEAD + 8 * CFG_GROUP_WORDS_MAX];
    size_t len;
};

static void print_round(struct round_frame *out, const struct cfg_group_tcp *g)
{
    const struct cfg_frame f = {CFG_FRAME_WORDS, g->base.rank, g->base.incarnation, g->round, {NULL, g->n_words * 8}};
    cfg_frame_head(out->bytes, &f);
    for (size_t k = 0; k < g->n_words; k++) {
        cfg_set_u64(out->bytes + CFG_FRAME_HEAD + 8 * k, (uint64_t)g->words[k]);
    }
    out->len = CFG_FRAME_HEAD + g->n_words * 8;
}

static int send_round(struct cfg_group_tcp *g, uint32_t to, const struct round_frame *f, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    int rc = cfg_peer_send(&g->peers[to], (struct cfg_slice){f->bytes, f->len}, own_deadline(g), &why);
    return rc == 0 ? 0 : end_by(g, to, &why, err);
}

static int tcp_contribute(struct cfg_group *base, const int64_t *words, size_t n, struct cfg_error *err)
{
    struct cfg_group_tcp *g = self(base);
    int rc = need_formed(g, err);
    if (rc != 0) {
        return rc;
    }
    memcpy(g->words, words, n * sizeof *words);
    g->n_words = n;
    if (base->rank != 0) {
        struct round_frame f;
        print_round(&f, g);
        rc = send_round(g, 0, &f, err);
    }
    return rc;
}

static int answer_all(struct cfg_group_tcp *g, struct cfg_error *err)
{
    struct round_frame f;
    int rc = 0;
    print_round(&f, g);
    for (uint32_t i = 1; rc == 0 && i < g->base.world; i++) {
        g->peers[i].counted = false;
        rc = send_round(g, i, &f, err);
    }
    return rc;
}

static int tcp_reduced(struct cfg_group *base, int64_t *out, size_t n, struct cfg_error *err)
{
    struct cfg_group_tcp *g = self(base);
    int rc = need_formed(g, err);
    if (rc == 0 && n != g->n_words) {
        rc = cfg_fail(err, CFG_E_AGREEMENT, "a round of %zu words, contributed were %zu", n, g->n_words);
    } else if (rc == 0 && base->rank == 0) {
        rc = gather(g, err);
        rc = rc == 0 ? answer_all(g, err) : rc;
    } else if (rc == 0) {
        struct cfg_frame f;
        rc = await_one(g, 0, CFG_FRAME_WORDS, &f, err);
        rc = rc == 0 ? add_words(g, 0, &f, err) : rc;
    }
    if (rc == 0) {
        memcpy(out, g->words, n * sizeof *out);
        g->n_words = 0;
        g->round++;
    }
    return rc;
}

/* --- broadcast --- */

static int send_bytes(struct cfg_group_tcp *g, uint32_t to, struct cfg_slice bytes, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    const struct cfg_frame f = {CFG_FRAME_BYTES, g->base.rank, g->base.incarnation, g->round, bytes};
    int rc = cfg_peer_send_frame(&g->peers[to], &g->out, &f, own_deadline(g), &why);
    return rc == 0 ? 0 : end_by(g, to, &why, err);
}

static int receive_bytes(struct cfg_group_tcp *g, uint32_t from, struct cfg_buf *bytes, struct cfg_error *err)
{
    struct cfg_frame f;
    int rc = await_one(g, from, CFG_FRAME_BYTES, &f, err);
    if (rc == 0) {
        cfg_buf_clear(bytes);
        cfg_buf_put(bytes, f.payload.ptr, f.payload.len);
        rc = cfg_buf_status(bytes) == 0 ? 0 : end(g, g->base.rank, "a broadcast is larger than a view may be", err);
    }
    return rc;
}

static int tcp_broadcast(struct cfg_group *base, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    struct cfg_group_tcp *g = self(base);
    int rc = need_formed(g, err);
    if (rc == 0 && bytes->len > CFG_FRAME_MAX) {
        rc = end(g, base->rank, "a broadcast is larger than a frame may be", err);
    }
    if (rc == 0 && base->rank != 0) {
        rc = base->rank == root ? send_bytes(g, 0, cfg_buf_slice(bytes), err) : receive_bytes(g, 0, bytes, err);
    } else if (rc == 0) {
        rc = root == 0 ? 0 : receive_bytes(g, root, bytes, err);
        for (uint32_t i = 1; rc == 0 && i < base->world; i++) {
            rc = i == root ? 0 : send_bytes(g, i, cfg_buf_slice(bytes), err);
        }
    }
    g->round += rc == 0 ? 1 : 0;
    return rc;
}

/* --- between rounds --- */

/* A connection that the other side has closed, whatever it sent before, or on which word of the end waits. A frame of a
 * round stays where it is. */
static bool has_ended(const struct cfg_peer *p)
{
    char head[6];
    struct pollfd closed = {p->fd, POLLRDHUP, 0};
    ssize_t n = recv(p->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    return (n == (ssize_t)sizeof head && head[5] == CFG_FRAME_ABORT) || poll(&closed, 1, 0) > 0;
}

static int tcp_check(struct cfg_group *base, struct cfg_error *err)
{
    struct cfg_group_tcp *g = self(base);
    int rc = need_formed(g, err);
    for (uint32_t i = base->rank == 0 ? 1 : 0; rc == 0 && i < g->n_peers; i++) {
        struct cfg_frame f;
        bool ended = has_ended(&g->peers[i]);
        while (ended) { /* what else it said first is of no use any more; what has not come whole is looked at again */
            int got = take(g, i, true, CFG_FRAME_WORDS, &f, err);
            ended = got > 0;
            rc = got < 0 ? got : 0;
        }
    }
    return rc;
}

/* --- life --- */

static void tcp_leave(struct cfg_group *base, const char *reason)
{
    struct cfg_group_tcp *g = self(base);
    if (base->incarnation != 0) {
        char text[300];
        (void)snprintf(text, sizeof text, "rank %u: %.270s", base->rank, reason);
        tell_all(g, base->rank, text);
        close_peers(g);
    }
}

static int tcp_form(struct cfg_group *base, unsigned timeout_ms, struct cfg_error *err)
{
    struct cfg_group_tcp *g = self(base);
    uint64_t end_ms = cfg_group_now_ms() + timeout_ms;
    tcp_leave(base, "it forms the group again");
    close_peers(g);
    g->round = 0;
    g->n_words = 0;
    int rc = base->rank == 0 ? cfg_group_gather(g, end_ms, err) : cfg_group_join(g, end_ms, err);
    if (rc != 0) {
        close_peers(g);
    }
    return rc;
}

static void tcp_free(struct cfg_group *base)
{
    struct cfg_group_tcp *g = self(base);
    tcp_leave(base, "it has left");
    close_peers(g);
    if (g->listener >= 0) {
        (void)close(g->listener);
    }
    cfg_buf_finish(&g->out);
    free(g->peers);
    cfg_locator_free(g->locator);
    free(g->name);
    free(g);
}

const char *cfg_group_tcp_address(const struct cfg_group *g)
{
    return ((const struct cfg_group_tcp *)g)->address;
}

int cfg_group_tcp_new(struct cfg_group **out, const struct cfg_group_tcp_options *o, struct cfg_error *err)
{
    static const struct cfg_group_ops ops = {tcp_form,  tcp_contribute, tcp_reduced, tcp_broadcast,
                                             tcp_check, tcp_leave,      tcp_free};
    if (o->world < 1 || o->world > CFG_GROUP_WORLD_MAX || o->rank >= o->world ||
        (o->address != NULL && strlen(o->address) >= CFG_GROUP_ADDRESS)) {
        cfg_locator_free(o->locator);
        return cfg_fail(err, CFG_E_INVALID, "rank %u of a world of %u is no member of a group", o->rank, o->world);
    }
    struct cfg_group_tcp *g = calloc(1, sizeof *g);
    if (g == NULL) {
        cfg_locator_free(o->locator);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    g->base = (struct cfg_group){.ops = &ops, .rank = o->rank, .world = o->world};
    g->deadline_ms = o->deadline_ms;
    g->listener = -1;
    g->n_peers = o->rank == 0 ? o->world : 1;
    g->locator = o->locator;
    (void)snprintf(g->address, sizeof g->address, "%s", o->address != NULL ? o->address : "");
    g->name = strdup(o->name);
    g->peers = calloc(g->n_peers, sizeof *g->peers);
    cfg_buf_init(&g->out, CFG_FRAME_HEAD + CFG_FRAME_MAX);
    for (uint32_t i = 0; g->peers != NULL && i < g->n_peers; i++) {
        cfg_peer_init(&g->peers[i]);
    }
    int rc = g->name == NULL || g->peers == NULL ? cfg_fail(err, CFG_E_NOMEM, "out of memory") : 0;
    rc = rc == 0 ? cfg_group_random(&g->process, err) : rc;
    rc = rc == 0 && o->rank == 0 ? cfg_group_listen(g, err) : rc;
    if (rc != 0) {
        g->n_peers = g->peers != NULL ? g->n_peers : 0;
        tcp_free(&g->base);
        return rc;
    }
    *out = &g->base;
    return 0;
}
