/* Many threads make libcurl ready and wake sessions while others process them. */
#include "client/include/cfg/client.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

enum { SESSIONS = 4, WAKERS = 2, WAKES = 2000 };

struct shared {
    struct cfg_session *session;
    int done; /* atomic */
};

static void *wake(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < WAKES; i++)
        cfg_session_wake(s->session);
    __atomic_fetch_add(&s->done, 1, __ATOMIC_RELEASE);
    cfg_session_wake(s->session);
    return NULL;
}

static int follow(struct shared *s)
{
    struct cfg_session_options o = CFG_SESSION_OPTIONS_INIT;
    const struct cfg_session_callbacks none = {0};
    struct cfg_error err;
    o.client.servers = "http://127.0.0.1:1"; /* nobody listens: connecting and backing off go on all the while */
    o.client.user = "race";
    o.deployment = "blue";
    o.backoff_max_ms = 1;
    if (cfg_session_new(&s->session, &o, &none, &err) != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    pthread_t wakers[WAKERS];
    for (int i = 0; i < WAKERS; i++)
        if (pthread_create(&wakers[i], NULL, wake, s) != 0)
            return 1;
    struct pollfd p = {.fd = cfg_session_poll_fd(s->session), .events = POLLIN};
    do {
        cfg_session_process(s->session);
    } while (__atomic_load_n(&s->done, __ATOMIC_ACQUIRE) < WAKERS && poll(&p, 1, 30000) == 1);
    for (int i = 0; i < WAKERS; i++)
        pthread_join(wakers[i], NULL);
    cfg_session_free(s->session);
    return s->done == WAKERS ? 0 : 1;
}

static void *run(void *arg)
{
    static char failed;
    return follow(arg) == 0 ? NULL : &failed;
}

int main(void)
{
    pthread_t threads[SESSIONS];
    struct shared shared[SESSIONS] = {{0}};
    int bad = 0;
    for (int i = 0; i < SESSIONS; i++)
        if (pthread_create(&threads[i], NULL, run, &shared[i]) != 0)
            return 1;
    for (int i = 0; i < SESSIONS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        bad += failed != NULL;
    }
    (void)printf("%d sessions, %d bad\n", SESSIONS, bad);
    return bad != 0;
}
