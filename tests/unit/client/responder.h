/* A scripted HTTP server on loopback: hands every request to a function of the test, on a thread per connection. */
#ifndef CFG_TEST_CLIENT_RESPONDER_H
#define CFG_TEST_CLIENT_RESPONDER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { RESPONDER_CONNECTIONS = 64 };

/* Answers one request (header and body, NUL-terminated) by writing to fd. false closes the connection. */
typedef bool (*responder_fn)(int fd, const char *request, void *arg);

struct responder {
    int fd, port;
    char url[64];
    responder_fn fn;
    void *arg;
    pthread_t acceptor;
    pthread_mutex_t lock;
    unsigned connections; /* accepted so far; read through responder_connections */
    int conns[RESPONDER_CONNECTIONS];
    pthread_t threads[RESPONDER_CONNECTIONS];
    bool stopping;
};

void responder_start(struct responder *r, responder_fn fn, void *arg);
void responder_stop(struct responder *r); /* closes everything, joins */
unsigned responder_connections(struct responder *r);
void responder_write(int fd, const char *text);
/* "HTTP/1.1 STATUS\r\nContent-Type: …\r\nContent-Length: …" and the body. */
void responder_reply(int fd, int status, const char *type, const char *body);
/* A port of loopback on which nobody listens. */
int responder_free_port(void);

#endif
