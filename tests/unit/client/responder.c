#include "tests/unit/client/responder.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 65536 };

struct connection {
    struct responder *owner;
    int fd;
};

void responder_write(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the client has gone; the test sees it on its side */
        text += n;
        left -= (size_t)n;
    }
}

void responder_reply(int fd, int status, const char *type, const char *body)
{
    char head[512];
    snprintf(head, sizeof head,
             "HTTP/1.1 %d X\r\nContent-Type: %s\r\nConfigd-Revision: 1-7\r\nConfigd-Store: S1\r\nETag: \"43\"\r\n"
             "Content-Length: %zu\r\n\r\n",
             status, type, strlen(body));
    responder_write(fd, head);
    responder_write(fd, body);
}

static size_t request_length(const char *buffer)
{
    const char *end = strstr(buffer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    size_t body = 0;
    for (const char *p = buffer; p < end; p = strstr(p, "\r\n") + 2)
        if (strncasecmp(p, "Content-Length:", 15) == 0)
            body = strtoul(p + 15, NULL, 10);
    return (size_t)(end - buffer) + 4 + body;
}

static void *serve(void *arg)
{
    struct connection c = *(struct connection *)arg;
    free(arg);
    char *buffer = calloc(1, REQUEST_MAX + 1);
    size_t have = 0;
    for (bool open = true; open;) {
        size_t need = request_length(buffer);
        if (need == 0 || have < need) {
            ssize_t n = recv(c.fd, buffer + have, REQUEST_MAX - have, 0);
            if (n <= 0)
                break;
            have += (size_t)n;
            buffer[have] = '\0';
            continue;
        }
        char next = buffer[need];
        buffer[need] = '\0';
        open = c.owner->fn(c.fd, buffer, c.owner->arg);
        buffer[need] = next;
        memmove(buffer, buffer + need, have - need + 1);
        have -= need;
    }
    free(buffer);
    shutdown(c.fd, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct responder *r = arg;
    for (;;) {
        int fd = accept(r->fd, NULL, NULL);
        pthread_mutex_lock(&r->lock);
        bool stop = r->stopping || fd < 0 || r->connections == RESPONDER_CONNECTIONS;
        if (!stop) {
            struct connection *c = malloc(sizeof *c);
            *c = (struct connection){r, fd};
            r->conns[r->connections] = fd;
            stop = pthread_create(&r->threads[r->connections], NULL, serve, c) != 0;
            r->connections++;
        }
        pthread_mutex_unlock(&r->lock);
        if (stop)
            return NULL;
    }
}

static int listen_on_loopback(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 64) == 0 &&
              getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

int responder_free_port(void)
{
    int port;
    close(listen_on_loopback(&port));
    return port;
}

void responder_start(struct responder *r, responder_fn fn, void *arg)
{
    *r = (struct responder){.fn = fn, .arg = arg};
    pthread_mutex_init(&r->lock, NULL);
    r->fd = listen_on_loopback(&r->port);
    snprintf(r->url, sizeof r->url, "http://127.0.0.1:%d", r->port);
    cr_assert_eq(pthread_create(&r->acceptor, NULL, accept_all, r), 0);
}

void responder_stop(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    shutdown(r->fd, SHUT_RDWR);
    for (unsigned i = 0; i < r->connections; i++)
        shutdown(r->conns[i], SHUT_RDWR);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->acceptor, NULL);
    for (unsigned i = 0; i < r->connections; i++) {
        pthread_join(r->threads[i], NULL);
        close(r->conns[i]);
    }
    close(r->fd);
    pthread_mutex_destroy(&r->lock);
}

unsigned responder_connections(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->connections;
    pthread_mutex_unlock(&r->lock);
    return n;
}
