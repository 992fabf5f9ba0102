#include "client/session_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    EVENTS_AT_ONCE = 64,
    SCOOPS = 16,
    TURNS = 8,
    SETS = 2,
    REQUESTS_AT_ONCE = 256, /* a report that tells of an adoption is answered when etcd has it: up to a second later */
    OWN_FD = SETS,
    STREAMS_SOME = 4,  /* that have something to say do not hold up requests */
    PATIENCE_MS = 200, /* how long requests wait for streams at most */
};

#define NEVER CFG_HEAP_NEVER

struct set {
    struct cfg_session_loop *loop;
    CURLM *multi;
    uint64_t due; /* ms; NEVER: none */
    uint32_t index;
};

struct cfg_session_loop {
    struct set sets[SETS]; /* requests, streams; a private loop has the first alone */
    size_t n_sets;
    int epoll_fd, timer_fd, wake_fd;
    uint64_t armed;
    bool processing;
    struct cfg_loop_member *touched, *touched_last;
    size_t n_touched;
    struct cfg_heap heap; /* of the members' deadlines */
    size_t n_members;
    struct cfg_loop_slot *waiting, *waiting_last;
    size_t n_requests;   /* under way */
    uint64_t busy_since; /* streams have had something to say at every turn since then; 0: not at the last */
    CURL *spare[REQUESTS_AT_ONCE];
    size_t n_spare;
};

/* --- curl's side --- */

static int watch(struct cfg_session_loop *l, int fd, uint32_t what, uint32_t whose)
{
    struct epoll_event ev = {.events = what, .data.u64 = (uint64_t)whose << 32 | (uint32_t)fd};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
        return 0;
    return errno == EEXIST && epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0 ? 0 : -1;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    (void)socket_arg;
    const struct set *set = arg;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(set->loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* may be closed already */
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
    return watch(set->loop, fd, events, set->index);
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct set *set = arg;
    set->due = timeout_ms < 0 ? NEVER : cfg_http_now_ms() + (uint64_t)timeout_ms;
    return 0;
}

/* --- members: who is looked at, and when --- */

void cfg_loop_touch(struct cfg_loop_member *m)
{
    struct cfg_session_loop *l = m->loop;
    if (m->touched)
        return;
    m->touched = true;
    m->next = NULL;
    m->prev = l->touched_last;
    *(l->touched_last ? &l->touched_last->next : &l->touched) = m;
    l->touched_last = m;
    if (l->n_touched++ == 0 && !l->processing)
        cfg_session_loop_wake(l);
}

static void untouch(struct cfg_loop_member *m)
{
    struct cfg_session_loop *l = m->loop;
    if (!m->touched)
        return;
    m->touched = false;
    l->n_touched--;
    *(m->prev ? &m->prev->next : &l->touched) = m->next;
    *(m->next ? &m->next->prev : &l->touched_last) = m->prev;
}

/* One that has moved away stays as it is: see above. */
static void heed_deadline(struct cfg_loop_member *m)
{
    uint64_t due = m->ops->deadline(m);
    if (m->due.at == 0 || due < m->due.due)
        cfg_heap_set(&m->loop->heap, &m->due, due);
}

int cfg_loop_join(struct cfg_session_loop *l, struct cfg_loop_member *m)
{
    int rc = cfg_heap_reserve(&l->heap, l->n_members + 1);
    if (rc != 0)
        return rc;
    l->n_members++;
    m->loop = l;
    cfg_loop_touch(m);
    return 0;
}

void cfg_loop_leave(struct cfg_loop_member *m)
{
    if (m->loop == NULL)
        return;
    untouch(m);
    cfg_heap_remove(&m->loop->heap, &m->due);
    m->loop->n_members--;
    m->loop = NULL;
}

/* --- requests --- */

static void queue(struct cfg_session_loop *l, struct cfg_loop_slot *s)
{
    s->waits = true;
    s->next = NULL;
    s->prev = l->waiting_last;
    *(l->waiting_last ? &l->waiting_last->next : &l->waiting) = s;
    l->waiting_last = s;
}

static void unqueue(struct cfg_session_loop *l, struct cfg_loop_slot *s)
{
    s->waits = false;
    *(s->prev ? &s->prev->next : &l->waiting) = s->next;
    *(s->next ? &s->next->prev : &l->waiting_last) = s->prev;
}

static CURLM *set_of(const struct cfg_session_loop *l, const struct cfg_loop_slot *s)
{
    return l->sets[s->is_stream ? l->n_sets - 1 : 0].multi;
}

static void give_back(struct cfg_session_loop *l, CURL *easy)
{
    curl_easy_reset(easy); /* nothing of the request's is referred to any more */
    if (l->n_spare < REQUESTS_AT_ONCE)
        l->spare[l->n_spare++] = easy;
    else
        curl_easy_cleanup(easy);
}

static void begin(struct cfg_session_loop *l, struct cfg_loop_slot *s)
{
    struct cfg_error err;
    s->easy = l->n_spare > 0 ? l->spare[--l->n_spare] : curl_easy_init();
    int rc = s->easy ? s->member->ops->prepare(s, &err) : cfg_fail(&err, CFG_E_NOMEM, "libcurl has no memory");
    if (rc == 0 && (curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s) != CURLE_OK ||
                    curl_multi_add_handle(set_of(l, s), s->easy) != CURLM_OK))
        rc = cfg_fail(&err, CFG_E_NOMEM, "libcurl has no memory for a request");
    if (rc == 0) {
        l->n_requests += s->is_stream ? 0 : 1;
        return;
    }
    if (s->easy)
        give_back(l, s->easy);
    s->easy = NULL;
    s->member->ops->ended(s, CURLE_FAILED_INIT, 0, &err);
}

void cfg_loop_start(struct cfg_loop_slot *s)
{
    struct cfg_session_loop *l = s->member->loop;
    if (!s->is_stream && (l->n_sets > 1 || l->waiting || l->n_requests >= REQUESTS_AT_ONCE))
        queue(l, s);
    else
        begin(l, s);
}

void cfg_loop_stop(struct cfg_loop_slot *s)
{
    struct cfg_session_loop *l = s->member->loop;
    if (s->waits)
        unqueue(l, s);
    if (s->easy == NULL)
        return;
    (void)curl_multi_remove_handle(set_of(l, s), s->easy); /* fails only for a handle that is not in */
    give_back(l, s->easy);
    s->easy = NULL;
    l->n_requests -= s->is_stream ? 0 : 1;
    if (l->waiting && !l->processing)
        cfg_session_loop_wake(l);
}

/* A change comes to thousands at once, and each will report it: first all hear of it. */
static bool gives_way(struct cfg_session_loop *l, bool streaming)
{
    uint64_t now = streaming ? cfg_http_now_ms() : 0;
    if (!streaming || l->busy_since == 0)
        l->busy_since = now;
    return streaming && now - l->busy_since < PATIENCE_MS;
}

static bool admit(struct cfg_session_loop *l)
{
    bool any = false;
    while (l->waiting && l->n_requests < REQUESTS_AT_ONCE) {
        struct cfg_loop_slot *s = l->waiting;
        unqueue(l, s);
        begin(l, s);
        any = true;
    }
    return any;
}

static bool harvest(CURLM *multi)
{
    bool any = false;
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(multi, &left)) != NULL;) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        char *private = NULL;
        long status = 0;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);      /* always set by begin */
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status); /* 0 stays without a reply */
        struct cfg_loop_slot *s = (struct cfg_loop_slot *)(void *)private;
        cfg_loop_stop(s);
        cfg_loop_touch(s->member);
        s->member->ops->ended(s, code, status, NULL);
        any = true;
    }
    return any;
}

/* --- a turn --- */

/* How many streams had something to say; *full: there is more. */
static size_t run_sockets(struct cfg_session_loop *l, bool *full)
{
    size_t streams = 0;
    struct epoll_event events[EVENTS_AT_ONCE];
    int running, n = epoll_wait(l->epoll_fd, events, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < n; i++) {
        int fd = (int)(uint32_t)events[i].data.u64;
        uint32_t whose = (uint32_t)(events[i].data.u64 >> 32), e = events[i].events;
        uint64_t ignored;
        if (whose == OWN_FD) {
            if (read(fd, &ignored, sizeof ignored) == (ssize_t)sizeof ignored && fd == l->timer_fd)
                l->armed = NEVER;
            continue;
        }
        streams += whose > 0 ? 1 : 0;
        int mask = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        /* failures end the transfers they concern */
        (void)curl_multi_socket_action(l->sets[whose].multi, fd, mask, &running);
    }
    *full = n == EVENTS_AT_ONCE;
    return streams;
}

static bool run_timers(struct cfg_session_loop *l)
{
    int running;
    uint64_t now = cfg_http_now_ms();
    bool any = false;
    for (size_t i = 0; i < l->n_sets; i++)
        if (l->sets[i].due <= now) {
            l->sets[i].due = NEVER;
            (void)curl_multi_socket_action(l->sets[i].multi, CURL_SOCKET_TIMEOUT, 0, &running); /* as above */
            any = true;
        }
    for (struct cfg_heap_node *due; (due = cfg_heap_pop(&l->heap, now)) != NULL;)
        cfg_loop_touch((struct cfg_loop_member *)((char *)due - offsetof(struct cfg_loop_member, due)));
    return any;
}

static bool run_touched(struct cfg_session_loop *l)
{
    bool any = l->n_touched > 0;
    for (size_t n = l->n_touched; n > 0 && l->touched; n--) {
        struct cfg_loop_member *m = l->touched;
        untouch(m);
        m->ops->run(m, cfg_http_now_ms());
        heed_deadline(m);
    }
    return any;
}

/* A deadline that moved away leaves the timer as it is: it then fires once for nothing, which is cheaper than setting
 * it with every byte. */
static void arm(struct cfg_session_loop *l)
{
    uint64_t due = cfg_heap_due(&l->heap);
    for (size_t i = 0; i < l->n_sets; i++)
        due = l->sets[i].due < due ? l->sets[i].due : due;
    if (due >= l->armed)
        return;
    uint64_t at = due > 0 ? due : 1; /* all zero would disarm */
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        l->armed = due;
}

bool cfg_session_loop_process(struct cfg_session_loop *l)
{
    if (l->processing) /* from inside a callback */
        return false;
    l->processing = true;
    size_t streams = 0;
    bool more = true, full = true;
    for (int scoop = 0; scoop < SCOOPS && full; scoop++)
        streams += run_sockets(l, &full);
    bool wait = gives_way(l, streams > STREAMS_SOME);
    for (int turn = 0; more && turn < TURNS; turn++) {
        more = false;
        for (size_t i = 0; i < l->n_sets; i++)
            more |= harvest(l->sets[i].multi);
        more |= !wait && admit(l);
        more |= run_timers(l);
        more |= run_touched(l);
    }
    l->processing = false;
    if (more || wait)
        cfg_session_loop_wake(l);
    arm(l);
    return wait;
}

/* --- life --- */

void cfg_session_loop_wake(struct cfg_session_loop *l)
{
    int saved = errno; /* may run in a signal handler */
    uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof one);
    (void)n; /* full means that it is readable already */
    errno = saved;
}

int cfg_session_loop_poll_fd(const struct cfg_session_loop *l)
{
    return l->epoll_fd;
}

static int open_descriptors(struct cfg_session_loop *l, struct cfg_error *err)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->timer_fd < 0 || l->wake_fd < 0 || watch(l, l->timer_fd, EPOLLIN, OWN_FD) != 0 ||
        watch(l, l->wake_fd, EPOLLIN, OWN_FD) != 0)
        return cfg_fail(err, CFG_E_IO, "no descriptors for a session: %s", strerrordesc_np(errno));
    return 0;
}

static bool open_set(struct cfg_session_loop *l, struct set *s)
{
    s->multi = curl_multi_init();
    return s->multi != NULL && curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s) == CURLM_OK &&
           curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s) == CURLM_OK &&
           (l->n_sets == 1 || curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)REQUESTS_AT_ONCE) == CURLM_OK);
}

static int open_loop(struct cfg_session_loop **out, size_t n_sets, struct cfg_error *err)
{
    int rc = cfg_http_global(err);
    if (rc != 0)
        return rc;
    struct cfg_session_loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    l->n_sets = n_sets;
    l->armed = NEVER;
    l->epoll_fd = l->timer_fd = l->wake_fd = -1;
    rc = open_descriptors(l, err);
    for (size_t i = 0; i < n_sets; i++) {
        l->sets[i] = (struct set){.loop = l, .due = NEVER, .index = (uint32_t)i};
        if (rc == 0 && !open_set(l, &l->sets[i]))
            rc = cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a session");
    }
    if (rc != 0) {
        cfg_session_loop_free(l);
        return rc;
    }
    *out = l;
    return 0;
}

int cfg_session_loop_new(struct cfg_session_loop **out, struct cfg_error *err)
{
    return open_loop(out, SETS, err);
}

int cfg_session_loop_new_private(struct cfg_session_loop **out, struct cfg_error *err)
{
    return open_loop(out, 1, err);
}

/* The epoll descriptor goes anyway, and curl may still name sockets that it has closed, whose numbers belong to other
 * threads by now. */
void cfg_session_loop_closing(struct cfg_session_loop *l)
{
    for (size_t i = 0; i < l->n_sets; i++)
        if (l->sets[i].multi)
            (void)curl_multi_setopt(l->sets[i].multi, CURLMOPT_SOCKETFUNCTION, NULL);
}

void cfg_session_loop_free(struct cfg_session_loop *l)
{
    if (l == NULL)
        return;
    while (l->n_spare > 0)
        curl_easy_cleanup(l->spare[--l->n_spare]);
    cfg_session_loop_closing(l);
    for (size_t i = 0; i < l->n_sets; i++)
        if (l->sets[i].multi)
            (void)curl_multi_cleanup(l->sets[i].multi); /* every handle is out */
    const int fds[] = {l->wake_fd, l->timer_fd, l->epoll_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    cfg_heap_finish(&l->heap);
    free(l);
}
