/* configd idle with 100 namespaces: anonymous memory above a bare process that has initialised libcurl and libevent and
 * serves nothing. */
#include "tests/bench/bench.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAMESPACES = 100 };

/* A child with what every such daemon needs: an event base, an HTTP server, a curl multi handle. Returns its anonymous
 * bytes. */
static uint64_t bare_process(void)
{
    int ready[2], quit[2];
    if (pipe(ready) != 0 || pipe(quit) != 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        /* A fresh image, so that nothing of this benchmark's own memory counts. */
        char fds[2][16];
        (void)snprintf(fds[0], sizeof fds[0], "%d", ready[1]);
        (void)snprintf(fds[1], sizeof fds[1], "%d", quit[0]);
        close(quit[1]);
        execl("/proc/self/exe", "bench_idle", "bare", fds[0], fds[1], (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    char byte;
    if (read(ready[0], &byte, 1) != 1)
        exit(1);
    uint64_t bytes = bench_anonymous_bytes(pid);
    close(quit[1]);
    (void)waitpid(pid, NULL, 0);
    return bytes;
}

static int be_bare(int ready, int quit)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || http == NULL || evhttp_bind_socket(http, "127.0.0.1", 0) != 0)
        return 1;
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    char byte = 1;
    if (multi == NULL || easy == NULL || write(ready, &byte, 1) != 1)
        return 1;
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    return read(quit, &byte, 1) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "bare") == 0)
        return be_bare(atoi(argv[2]), atoi(argv[3]));
    struct bench_process *etcd = bench_etcd(0), *configd = bench_configd(etcd, 1, NULL);
    int fd = bench_connect(configd->host_port);
    struct cfg_buf reply;
    cfg_buf_init(&reply, 1 << 20);
    for (int i = 0; i < NAMESPACES; i++) {
        char body[500];
        (void)snprintf(
            body, sizeof body,
            "[{\"object\":\"config/ns-%d\",\"put\":{\"sampling\":{\"temperature\":0.7,\"top_k\":40},\"inference\":{"
            "\"batch_size\":%d},\"text\":\"%0250d\"}}]",
            i, i, i);
        if (bench_call(fd, "POST", "/v1/changes", NULL, body, &reply) / 100 != 2) {
            fprintf(stderr, "bench: %s\n", reply.data);
            return 1;
        }
    }
    close(fd);
    cfg_buf_finish(&reply);
    /* Measured on a daemon that has just loaded what is there, not on one that has just written it. */
    bench_stop(configd);
    configd = bench_configd(etcd, 1, NULL);
    double ours = (double)bench_anonymous_bytes(configd->pid), bare = (double)bare_process();
    printf("configd idle with %d namespaces: %.2f MiB anonymous, bare libcurl + libevent %.2f MiB, above it %.2f MiB   "
           "goal ≤ 4\n",
           NAMESPACES, ours / 1048576, bare / 1048576, (ours - bare) / 1048576);
    return 0;
}
