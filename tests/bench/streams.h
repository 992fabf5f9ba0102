/* Thousands of connections for benchmarks: a client process that holds them and tells when an event has come in on
 * all, and the floor to compare with, a server that does nothing but send() the same bytes to each.
 *
 * Children die with the benchmark. Everything exits on failure. */
#ifndef CFG_TESTS_BENCH_STREAMS_H
#define CFG_TESTS_BENCH_STREAMS_H

#include "proto/buf.h"
#include <sys/types.h>

enum { BENCH_STREAMS_MAX = 19000, BENCH_FRAME_MAX = 4096 };

#define BENCH_STREAMS_MARK "event: patch" /* what a client recognises an event by */

pid_t bench_child(int core); /* a fork on that core; 0 in the child, which may not return into its parent's code */
_Noreturn void bench_child_fail(const char *what);

/* --- a client process with n connections --- */
struct bench_streams {
    pid_t client;
    int control;
};
/* Connects; `request` is sent on each, and where `first` is given its coming is awaited everywhere. Returns when all
 * stand. */
void bench_streams_open(struct bench_streams *out, int core, const char *host_port, size_t n, const char *request,
                        const char *first);
void bench_streams_arm(struct bench_streams *s);   /* before an event is caused */
void bench_streams_await(struct bench_streams *s); /* until all have it */
void bench_streams_close(struct bench_streams *s);

/* --- the floor: epoll, accept, and one send per connection --- */
struct bench_raw {
    pid_t server;
    char host_port[64];
    int trigger;
};
void bench_raw_start(struct bench_raw *out, int core);
void bench_raw_send(struct bench_raw *r, size_t bytes); /* ≤ BENCH_FRAME_MAX to everybody; beginning with the mark */
void bench_raw_stop(struct bench_raw *r);

#endif
