/* How the ranks of a tcp group meet: all come to rank 0, say who they are, and are welcomed when everybody is there.
 *
 * Rank 0 listens for as long as the group object lives, so who comes early waits in the backlog. The newest process
 * that says it is a rank is that rank: a restarted one takes its former self's place, which is told so. A stranger
 * (another job, another world size, no rank at all) is sent away and never keeps the others from forming. */
#include "worker/group_tcp.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STRANGERS_MAX = 64, RETRY_MS = 50, DISPLACED_MAX = 3 };

int cfg_group_random(uint64_t *out, struct cfg_error *err)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) {
        return cfg_fail(err, CFG_E_IO, "no randomness: %s", strerrordesc_np(errno));
    }
    *out = id | 1;
    return 0;
}

/* --- addresses --- */

static int resolve(struct addrinfo **out, const struct cfg_group_tcp *g, bool passive, struct cfg_error *err)
{
    char host[256];
    const char *a = g->address, *colon = strrchr(a, ':');
    size_t n = colon != NULL ? (size_t)(colon - a) : 0;
    bool bracketed = n >= 2 && a[0] == '[' && a[n - 1] == ']';
    if (colon == NULL || colon[1] == '\0' || n - (bracketed ? 2 : 0) >= sizeof host) {
        (void)cfg_fail(err, CFG_E_INVALID, "group address \"%s\": expected HOST:PORT", a);
        cfg_error_set_hint(err, "the address of rank 0, as in CONFIGD_GROUP=tcp:node-0:7118");
        return CFG_E_INVALID;
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(bracketed ? n - 2 : n), a + (bracketed ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0};
    int rc = getaddrinfo(host[0] != '\0' ? host : NULL, colon + 1, &hints, out);
    return rc == 0 ? 0 : cfg_fail(err, CFG_E_IO, "group address \"%s\": %s", a, gai_strerror(rc));
}

/* The port that was free, in place of the 0 that asked for it. */
static void note_port(struct cfg_group_tcp *g)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    char port[16], *colon = strrchr(g->address, ':');
    if (getsockname(g->listener, (struct sockaddr *)&own, &len) == 0 &&
        getnameinfo((struct sockaddr *)&own, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) == 0) {
        (void)snprintf(colon + 1, sizeof g->address - (size_t)(colon + 1 - g->address), "%s", port);
    }
}

int cfg_group_listen(struct cfg_group_tcp *g, struct cfg_error *err)
{
    const int on = 1;
    struct addrinfo *list = NULL;
    int rc = resolve(&list, g, true, err);
    if (rc != 0) {
        return rc;
    }
    int last = EADDRNOTAVAIL;
    for (const struct addrinfo *i = list; i != NULL && g->listener < 0; i = i->ai_next) {
        int fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, i->ai_protocol);
        /* Without REUSEADDR a restarted rank 0 would have to wait for its own old connections. */
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            bind(fd, i->ai_addr, i->ai_addrlen) == 0 && listen(fd, (int)g->base.world + STRANGERS_MAX) == 0) {
            g->listener = fd;
        } else {
            last = errno;
            if (fd >= 0) {
                (void)close(fd);
            }
        }
    }
    freeaddrinfo(list);
    if (g->listener < 0) {
        (void)cfg_fail(err, CFG_E_IO, "rank 0 cannot listen on %s: %s", g->address, strerrordesc_np(last));
        cfg_error_set_hint(err, "CONFIGD_GROUP=configd takes a free port, and configd tells the others");
        return CFG_E_IO;
    }
    note_port(g);
    return 0;
}

/* --- rank 0 --- */

struct lobby {
    struct cfg_peer strangers[STRANGERS_MAX]; /* connected, but have not said hello */
    struct pollfd polls[STRANGERS_MAX + 1 + CFG_GROUP_WORLD_MAX];
    size_t evict;
    uint32_t there;    /* ranks, this one included */
    char refused[160]; /* the last one sent away */
};

static void refuse(struct cfg_group_tcp *g, struct cfg_peer *p, bool superseded, const char *text)
{
    char payload[300];
    int n = snprintf(payload, sizeof payload, "%c%s", superseded ? 1 : 2, text);
    const struct cfg_frame f = {CFG_FRAME_REFUSE, 0, 0, 0, {payload, n > 0 ? (size_t)n : 0}};
    (void)cfg_peer_send_frame(p, &g->out, &f, 0, NULL); /* who does not hear it finds the connection closed */
    cfg_peer_close(p);
}

static void send_away(struct cfg_group_tcp *g, struct lobby *l, struct cfg_peer *p, uint32_t rank, const char *why)
{
    (void)snprintf(l->refused, sizeof l->refused, "rank %u was refused: %.120s", rank, why);
    refuse(g, p, false, why);
}

/* The newest process that says it is a rank is that rank. Two that never tire of it would keep the others waiting for
 * ever: from then on neither gives way. */
static void take_place(struct cfg_group_tcp *g, struct lobby *l, struct cfg_peer *p, const struct cfg_frame *f)
{
    struct cfg_peer *slot = &g->peers[f->rank];
    unsigned displaced = slot->displaced;
    if (slot->there && slot->process != f->incarnation && ++displaced > DISPLACED_MAX) {
        send_away(g, l, p, f->rank, "two processes keep taking each other's place as this rank: start each rank once");
        return;
    }
    if (slot->there) {
        refuse(g, slot, true, "a newer process has taken this rank's place");
    } else {
        l->there++;
    }
    uint64_t process = f->incarnation; /* the frame lies in p's buffer */
    cfg_buf_consume(&p->in, p->taken);
    *slot = *p;
    slot->taken = 0;
    slot->there = true;
    slot->process = process;
    slot->displaced = displaced;
    cfg_peer_init(p);
}

/* A stranger's hello: it becomes a rank, or is told why not. */
static void admit(struct cfg_group_tcp *g, struct lobby *l, struct cfg_peer *p, const struct cfg_frame *f)
{
    char why[200];
    if (f->type != CFG_FRAME_HELLO || f->payload.len < 8) {
        cfg_peer_close(p);
        return;
    }
    uint32_t world = cfg_get_u32(f->payload.ptr);
    struct cfg_slice name = {f->payload.ptr + 8, f->payload.len - 8};
    if (!cfg_slice_eq_str(name, g->name)) {
        (void)snprintf(why, sizeof why, "it belongs to %.*s, this is the group of %.60s",
                       (int)(name.len < 60 ? name.len : 60), name.ptr, g->name);
        send_away(g, l, p, f->rank, why);
    } else if (world != g->base.world || f->rank == 0 || f->rank >= world) {
        (void)snprintf(why, sizeof why, "it says it is rank %u of a world of %u, this group is a world of %u", f->rank,
                       world, g->base.world);
        send_away(g, l, p, f->rank, why);
    } else {
        take_place(g, l, p, f);
    }
}

static void accept_all(struct cfg_group_tcp *g, struct lobby *l)
{
    for (int fd; (fd = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        size_t at = 0;
        while (at < STRANGERS_MAX && l->strangers[at].fd >= 0) {
            at++;
        }
        at = at < STRANGERS_MAX ? at : l->evict++ % STRANGERS_MAX; /* full of the silent: one of them goes */
        cfg_peer_take(&l->strangers[at], fd);
    }
}

static void hear(struct cfg_group_tcp *g, struct lobby *l)
{
    struct cfg_frame f;
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        struct cfg_peer *p = &l->strangers[i];
        int rc = p->fd >= 0 ? cfg_peer_receive(p, &f, NULL) : 0;
        if (rc < 0) {
            cfg_peer_close(p);
        } else if (rc > 0) {
            admit(g, l, p, &f);
        }
    }
    for (uint32_t i = 1; i < g->base.world; i++) {
        struct cfg_peer *p = &g->peers[i];
        if (p->there && cfg_peer_receive(p, &f, NULL) != 0) { /* gone, or speaks before it is welcome */
            cfg_peer_close(p);
            l->there--;
        }
    }
}

static void wait_for_news(struct cfg_group_tcp *g, struct lobby *l, int ms)
{
    nfds_t n = 0;
    l->polls[n++] = (struct pollfd){g->listener, POLLIN, 0};
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        if (l->strangers[i].fd >= 0) {
            l->polls[n++] = (struct pollfd){l->strangers[i].fd, POLLIN, 0};
        }
    }
    for (uint32_t i = 1; i < g->base.world; i++) {
        if (g->peers[i].fd >= 0) {
            l->polls[n++] = (struct pollfd){g->peers[i].fd, POLLIN, 0};
        }
    }
    (void)poll(l->polls, n, ms); /* interrupted or ready: looked at either way */
}

static int name_missing(const struct cfg_group_tcp *g, const struct lobby *l, struct cfg_error *err)
{
    char text[120];
    int n = 0;
    for (uint32_t i = 1; i < g->base.world && n < 80; i++) {
        if (!g->peers[i].there) {
            n += snprintf(text + n, sizeof text - (size_t)n, "%s%u", n > 0 ? ", " : "", i);
        }
    }
    (void)cfg_fail(err, CFG_E_TIMEOUT, "the group has not formed: %u of %u ranks came, missing: %s%s%s", l->there,
                   g->base.world, text, l->refused[0] != '\0' ? "; " : "", l->refused);
    cfg_error_set_hint(err, "are these ranks running, and do they reach %.150s?", g->address);
    return CFG_E_TIMEOUT;
}

static int welcome(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    uint64_t id = 0;
    int rc = cfg_group_random(&id, err);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 1; i < g->base.world; i++) {
        struct cfg_error why = CFG_ERROR_INIT;
        const struct cfg_frame f = {CFG_FRAME_WELCOME, 0, id, 0, {"", 0}};
        rc = cfg_peer_send_frame(&g->peers[i], &g->out, &f, end_ms, &why);
        if (rc != 0) {
            return cfg_fail(err, CFG_E_AGREEMENT, "the group has not formed: rank %u: %.250s", i, why.text);
        }
    }
    g->base.incarnation = id;
    return 0;
}

int cfg_group_gather(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    struct lobby *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        cfg_peer_init(&l->strangers[i]);
    }
    l->there = 1;
    int rc = 0;
    for (;;) {
        accept_all(g, l);
        hear(g, l);
        if (l->there == g->base.world) {
            rc = welcome(g, end_ms, err);
            break;
        }
        int left = cfg_group_left_ms(end_ms);
        if (left == 0) {
            rc = name_missing(g, l, err);
            break;
        }
        wait_for_news(g, l, left);
    }
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        cfg_peer_close(&l->strangers[i]);
    }
    free(l);
    return rc;
}

/* --- the others --- */

static int connect_once(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    struct addrinfo *list = NULL;
    int rc = resolve(&list, g, false, err);
    for (const struct addrinfo *i = list; rc == 0 && i != NULL && g->peers[0].fd < 0; i = i->ai_next) {
        int fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, i->ai_protocol);
        int why = 0;
        socklen_t len = sizeof why;
        bool ok = fd >= 0 && (connect(fd, i->ai_addr, i->ai_addrlen) == 0 || errno == EINPROGRESS);
        if (ok) {
            struct pollfd wait = {fd, POLLOUT, 0};
            int left = cfg_group_left_ms(end_ms);
            ok = poll(&wait, 1, left < 5000 ? left : 5000) > 0 &&
                 getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0;
        }
        if (ok) {
            cfg_peer_take(&g->peers[0], fd);
        } else if (fd >= 0) {
            (void)close(fd);
        }
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
    return rc != 0 || g->peers[0].fd >= 0 ? rc
                                          : cfg_fail(err, CFG_E_CONNECT, "rank 0 does not answer at %s", g->address);
}

static int say_hello(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1024);
    cfg_put_u32(&b, g->base.world);
    cfg_put_u32(&b, 0);
    cfg_buf_puts(&b, g->name);
    const struct cfg_frame f = {CFG_FRAME_HELLO, g->base.rank, g->process, 0, cfg_buf_slice(&b)};
    int rc = cfg_buf_status(&b);
    rc = rc != 0 ? cfg_fail(err, rc, "the group's name is too long")
                 : cfg_peer_send_frame(&g->peers[0], &g->out, &f, end_ms, err);
    cfg_buf_finish(&b);
    return rc;
}

static int refused(const struct cfg_frame *f, struct cfg_error *err)
{
    bool superseded = f->payload.len > 0 && f->payload.ptr[0] == 1;
    int n = f->payload.len > 1 ? (int)(f->payload.len < 280 ? f->payload.len - 1 : 279) : 0;
    return cfg_fail(err, superseded ? CFG_E_SUPERSEDED : CFG_E_AGREEMENT, "rank 0 refuses this rank: %.*s", n,
                    f->payload.ptr + 1);
}

/* 0: welcomed. CFG_E_CONNECT: try again. */
static int await_welcome(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    for (;;) {
        struct cfg_frame f;
        int rc = cfg_peer_receive(&g->peers[0], &f, err);
        if (rc > 0 && f.type == CFG_FRAME_REFUSE) {
            return refused(&f, err);
        }
        if (rc > 0 && (f.type != CFG_FRAME_WELCOME || f.incarnation == 0)) {
            return cfg_fail(err, CFG_E_PROTOCOL, "%s is no rank 0: it answers a hello with frame %d", g->address,
                            (int)f.type);
        }
        if (rc > 0) {
            g->base.incarnation = f.incarnation;
            return 0;
        }
        if (rc < 0) {
            return rc;
        }
        int left = cfg_group_left_ms(end_ms);
        if (left == 0) {
            return cfg_fail(err, CFG_E_TIMEOUT, "rank 0 has not welcomed this rank: others may be missing");
        }
        struct pollfd wait = {g->peers[0].fd, POLLIN, 0};
        (void)poll(&wait, 1, left); /* interrupted or ready: looked at either way */
    }
}

/* The address may have moved with a restarted rank 0. While configd cannot be asked, the last one it gave may still
 * do. */
static int locate(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    char address[CFG_GROUP_ADDRESS];
    if (g->locator == NULL) {
        return 0;
    }
    int rc = cfg_locator_ask(g->locator, address, sizeof address, (unsigned)cfg_group_left_ms(end_ms), err);
    if (rc == 0) {
        memcpy(g->address, address, sizeof g->address);
    } else if (g->address[0] == '\0') {
        return rc;
    }
    return 0;
}

static bool passes(int rc) /* a name may not resolve yet either; configd may not know the deployment yet */
{
    return rc == CFG_E_CONNECT || rc == CFG_E_IO || rc == CFG_E_TIMEOUT || rc == CFG_E_NOT_FOUND ||
           rc == CFG_E_NOT_READY || rc == CFG_E_UNAVAILABLE;
}

int cfg_group_join(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    for (;;) {
        int rc = locate(g, end_ms, &why);
        rc = rc == 0 ? connect_once(g, end_ms, &why) : rc;
        rc = rc == 0 ? say_hello(g, end_ms, &why) : rc;
        rc = rc == 0 ? await_welcome(g, end_ms, &why) : rc;
        if (rc == 0) {
            return 0;
        }
        cfg_peer_close(&g->peers[0]);
        bool later = passes(rc);
        int left = cfg_group_left_ms(end_ms);
        if (!later || left == 0) {
            (void)cfg_fail(err, later ? CFG_E_TIMEOUT : rc, "the group has not formed: %.300s", why.text);
            cfg_error_set_hint(err, "is rank 0 running, and does this host reach %.150s?",
                               g->address[0] != '\0' ? g->address : "configd");
            return later ? CFG_E_TIMEOUT : rc;
        }
        (void)poll(NULL, 0, left < RETRY_MS ? left : RETRY_MS);
    }
}
