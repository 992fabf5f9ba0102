/* What integration and fault tests share: directories, ports, processes, etcd servers, a byte-level proxy, raw
 * requests.
 *
 * Everything here is for tests: a failure of the fixture itself (no memory, no fork) ends the program with a message,
 * so that callers need not check. Children die with the test (PR_SET_PDEATHSIG), so no test leaves one behind. Start
 * them from the test's main thread. */
#ifndef CFG_TESTS_LIB_TESTLIB_H
#define CFG_TESTS_LIB_TESTLIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Prints and ends the program with status 2. */
_Noreturn void cfg_test_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- time, files, ports --- */
uint64_t cfg_test_now_ms(void);
/* A new 0700 directory below $TMPDIR or /tmp; returned-owned. remove takes NULL, deletes the tree and frees the name.
 */
char *cfg_test_dir_new(void);
void cfg_test_dir_remove(char *dir);
/* printf into a new string, returned-owned. */
char *cfg_test_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cfg_test_write_file(const char *path, const void *bytes, size_t n);
char *cfg_test_read_file(const char *path, size_t *n); /* NUL-terminated, returned-owned; NULL when it cannot be read */
/* A TCP port on 127.0.0.1 that was free a moment ago and is not handed out twice by this process. */
int cfg_test_free_port(void);
/* Polls `ready` (every few ms) until it says true: for conditions that no event announces. False after timeout_ms. */
bool cfg_test_poll(bool (*ready)(void *arg), void *arg, unsigned timeout_ms);

/* --- processes --- */
struct cfg_test_proc;
struct cfg_test_proc_options {
    const char *dir;        /* working directory; NULL: the test's */
    const char *const *env; /* "NAME=value", NULL-terminated, added to the test's own; may be NULL */
    bool own_group;         /* in a process group of its own, so that cfg_test_proc_signal_group reaches children */
};
/* argv[0] is looked up in PATH; stdout and stderr are captured together. All arguments are copied. */
struct cfg_test_proc *cfg_test_proc_start(const char *const *argv, const struct cfg_test_proc_options *o);
pid_t cfg_test_proc_pid(const struct cfg_test_proc *p);
/* True once the output holds `text` behind position *from (NULL: from the start); *from is moved behind it. False at
 * timeout or when the process has ended without it. */
bool cfg_test_proc_wait_output(struct cfg_test_proc *p, const char *text, size_t *from, unsigned timeout_ms);
char *cfg_test_proc_output(struct cfg_test_proc *p);            /* everything until now; returned-owned */
void cfg_test_proc_signal(struct cfg_test_proc *p, int signal); /* SIGKILL, SIGSTOP, SIGCONT, … */
void cfg_test_proc_signal_group(struct cfg_test_proc *p, int signal);
/* The exit status as a shell says it (128 + signal), or −1 when it still runs after timeout_ms. */
int cfg_test_proc_wait(struct cfg_test_proc *p, unsigned timeout_ms);
bool cfg_test_proc_running(struct cfg_test_proc *p);
void cfg_test_proc_free(struct cfg_test_proc *p); /* kills it with SIGKILL when it still runs; NULL is fine */
/* Runs to its end: exit status; *output (may be NULL) is returned-owned. Dies when it takes longer than 60 s. */
int cfg_test_run(char **output, const char *const *argv);
/* True while a process of that id exists (a zombie counts as gone). */
bool cfg_test_pid_alive(pid_t pid);

/* --- etcd servers --- */

/* The servers under test: $CFG_ETCD_BINARY, else "etcd". */
const char *cfg_test_etcd_binary(void);
struct cfg_test_etcd;
struct cfg_test_etcd_options {
    unsigned members;                 /* 0: 1 */
    const char *const *extra_args;    /* NULL-terminated; may be NULL */
    const char *const *data_dirs;     /* one per member, existing data; NULL: fresh ones */
    const char *cert_file, *key_file; /* TLS for clients; NULL: none */
    bool unserved;                    /* return before it serves clients */
};
/* Runs and serves when this returns (members > 1: has elected a leader). o may be NULL. */
struct cfg_test_etcd *cfg_test_etcd_start(const struct cfg_test_etcd_options *o);
void cfg_test_etcd_free(struct cfg_test_etcd *e);
unsigned cfg_test_etcd_members(const struct cfg_test_etcd *e);
const char *cfg_test_etcd_endpoint(const struct cfg_test_etcd *e, unsigned member); /* "http://127.0.0.1:PORT" */
const char *const *cfg_test_etcd_endpoints(const struct cfg_test_etcd *e);
int cfg_test_etcd_port(const struct cfg_test_etcd *e, unsigned member);
const char *cfg_test_etcd_data_dir(const struct cfg_test_etcd *e, unsigned member);
struct cfg_test_proc *cfg_test_etcd_proc(struct cfg_test_etcd *e, unsigned member);
/* kill −9, start again on the same data (waits until it serves), stop and continue. */
void cfg_test_etcd_kill(struct cfg_test_etcd *e, unsigned member);
void cfg_test_etcd_restart(struct cfg_test_etcd *e, unsigned member);
/* Kills it, deletes its data and starts it afresh on the same port: a wiped store. */
void cfg_test_etcd_wipe(struct cfg_test_etcd *e, unsigned member);
/* Saves a snapshot of member 0 to `path` (etcdctl); restores it as the data of member 0 of a one-member server, which
 * is killed before and runs again afterwards. */
void cfg_test_etcd_snapshot(struct cfg_test_etcd *e, const char *path);
void cfg_test_etcd_restore(struct cfg_test_etcd *e, const char *path);
unsigned cfg_test_etcd_leader(struct cfg_test_etcd *e); /* the member that leads now */

/* --- raw requests to the gateway (blocking) --- */

/* POSTs; the HTTP status, 0 when no reply came within 5 s; *reply (may be NULL) is returned-owned. The endpoint may be
 * http://…, https://… (not verified) or unix:/path. */
long cfg_test_post(char **reply, const char *endpoint, const char *path, const char *body);
/* Puts and deletes with plain text; the revision of the write, 0 when it failed. */
int64_t cfg_test_put(const char *endpoint, const char *key, const char *value);
int64_t cfg_test_delete_prefix(const char *endpoint, const char *prefix);
/* The value of one key, returned-owned; NULL when it is absent. mod_revision may be NULL. */
char *cfg_test_get(const char *endpoint, const char *key, int64_t *mod_revision);
int64_t cfg_test_revision(const char *endpoint);
void cfg_test_compact(const char *endpoint, int64_t revision);
char *cfg_test_base64(const void *bytes, size_t n); /* returned-owned */

/* --- a TCP proxy with scripted faults --- */
struct cfg_test_proxy;
/* Listens on a free port of 127.0.0.1 and forwards to 127.0.0.1:target_port, on a thread of its own. */
struct cfg_test_proxy *cfg_test_proxy_start(int target_port);
void cfg_test_proxy_free(struct cfg_test_proxy *p);
int cfg_test_proxy_port(const struct cfg_test_proxy *p);
const char *cfg_test_proxy_endpoint(const struct cfg_test_proxy *p);       /* "http://127.0.0.1:PORT", borrowed */
void cfg_test_proxy_set_target(struct cfg_test_proxy *p, int target_port); /* for new connections */
/* Bytes are read from nobody and sent to nobody, in open and new connections, until switched off. */
void cfg_test_proxy_blackhole(struct cfg_test_proxy *p, bool on);
/* The same for replies only: requests reach the server. */
void cfg_test_proxy_mute(struct cfg_test_proxy *p, bool on);
void cfg_test_proxy_delay(struct cfg_test_proxy *p, unsigned ms); /* each piece of either direction comes this late */
void cfg_test_proxy_cut(struct cfg_test_proxy *p);                /* closes every open connection, now, with a reset */
void cfg_test_proxy_refuse(struct cfg_test_proxy *p, bool on);    /* new connections are closed at once */
/* The n-th byte of replies counted from now is the last one forwarded; then the connection is closed and counting
 * stops. −1: off. */
void cfg_test_proxy_close_after_reply_bytes(struct cfg_test_proxy *p, int64_t n);
/* The same for requests: the server sees n bytes and then the end. */
void cfg_test_proxy_close_after_request_bytes(struct cfg_test_proxy *p, int64_t n);
struct cfg_test_proxy_counts {
    uint64_t connections, open, request_bytes, reply_bytes, faults;
};
struct cfg_test_proxy_counts cfg_test_proxy_counts(struct cfg_test_proxy *p);

#endif
