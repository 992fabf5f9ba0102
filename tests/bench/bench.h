/* What the benchmarks share: real processes on chosen cores, a small keep-alive HTTP client, figures with spread.
 *
 * Every benchmark runs ours and its baseline in turn, round by round in the same minute, and prints the ratio of each
 * round: core speed drifts by up to 1.4 × on shared machines, ratios of neighbouring rounds hardly do. Nothing here
 * asserts a time. Single-threaded. */
#ifndef CFG_TESTS_BENCH_H
#define CFG_TESTS_BENCH_H

#include "proto/buf.h"
#include <sys/types.h>

uint64_t bench_now_ns(void);

/* --- processes: end with bench_stop_all, which atexit also calls --- */
struct bench_process {
    pid_t pid;
    char host_port[64]; /* where it serves */
    char dir[64];       /* its folder, removed at the end; on tmpfs where there is one */
};
void bench_pin(int core); /* this process; children inherit unless pinned themselves */
/* Started and answering. Borrowed: lies in this library's own table until it is stopped. */
struct bench_process *bench_etcd(int core);
/* configd of this build on that etcd. extra: NULL-terminated further arguments, or NULL. */
struct bench_process *bench_configd(const struct bench_process *etcd, int core, const char *const *extra);
/* cfg-infer of this build. options: NULL-terminated. */
struct bench_process *bench_infer(int core, const char *const *options);
void bench_stop(struct bench_process *p);
void bench_stop_all(void);
uint64_t bench_cpu_ns(pid_t pid);          /* user + system so far */
uint64_t bench_anonymous_bytes(pid_t pid); /* private anonymous memory, from smaps_rollup */

int bench_free_port(void); /* of the loopback interface; exits on failure */

/* --- HTTP --- */
int bench_connect(const char *host_port); /* blocking, TCP_NODELAY; exits on failure */
/* A whole request as bytes: POST with JSON unless method says otherwise. Appends. */
void bench_request(struct cfg_buf *out, const char *method, const char *path, const char *content_type,
                   struct cfg_slice body);
/* Complete replies at the front of b: 0 when more bytes are needed, else the length of one reply; *status gets its
 * code. */
size_t bench_reply_length(const struct cfg_buf *b, int *status);
/* Sends a request and waits for its reply, whose body (of a reply with Content-Length) is left in *reply. Exits on
 * failure. */
int bench_call(int fd, const char *method, const char *path, const char *content_type, const char *body,
               struct cfg_buf *reply);
/* The same, and exits when it is refused. */
void bench_must_call(int fd, const char *method, const char *path, const char *content_type, const char *body,
                     struct cfg_buf *reply);
/* The same; what is answered is nobody's concern. */
void bench_tell(int fd, const char *method, const char *path, const char *content_type, const char *body);

/* --- figures --- */
struct bench_spread {
    double min, median, max;
};
struct bench_spread bench_spread(double *values, size_t n); /* sorts values */
/* "writes  ours 3,210/s  raw 3,900/s  ratio 0.82 (0.79 … 0.85, 5 rounds)" and the goal beside it. */
void bench_print_ratio(const char *what, const char *unit, double *ours, double *baseline, size_t rounds,
                       const char *goal);

void bench_base64(struct cfg_buf *out, const char *text);

#endif
