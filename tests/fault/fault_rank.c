/* A rank for fault tests: writes a line per step to a journal before it does the step's work, so that a kill at any
 * instant loses none it acted on.
 *
 *     step STEP REVISION VALUE-OF-counter
 *
 * fault_rank DIR RANK: the journals of all ranks lie in DIR and stand for the job's checkpoint: a group that has formed
 * goes on behind the greatest step that any rank has begun. Identity and group come from CONFIGD_*.
 *
 * It can be made to die at a point of the protocol (FAULT=POINT:N): `prepare`, `commit`: of value N; `send`: after the
 * N-th frame of a round that it sent, so that a rank 0 dies between two answers. FAULT=corrupt:N corrupts its digest in
 * the words of a round whose candidate is being decided, N times. FAULT=divide:N: it cannot prepare a value that N does
 * not divide. SIGUSR1 makes it late to its next step. */
#include <cfg/worker.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RANKS_MAX = 16, HEAD = 32, TYPE_AT = 5, TYPE_WORDS = 4, DIGEST_MIN = 6, DIGEST_MAX, DIGEST_LOW, DIGEST_HIGH };

static volatile sig_atomic_t stopping, slow;
static const char *fault = "";
static long long fault_n;
static unsigned pace_us = 1000;

static bool is_fault(const char *point)
{
    return strcmp(fault, point) == 0;
}

static void die(void)
{
    (void)raise(SIGKILL);
}

/* --- on the wire: in place of the C library's, for the library too --- */

static int64_t get(const unsigned char *words, int at)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | words[8 * at + i];
    }
    return (int64_t)v;
}

static void set(unsigned char *words, int at, int64_t v)
{
    for (int i = 0; i < 8; i++) {
        words[8 * at + i] = (unsigned char)((uint64_t)v >> (8 * i));
    }
}

/* As if this rank held another view: its digest, and the digest's first bits with the rank beside them. */
static void corrupt(unsigned char *words)
{
    int64_t digest = get(words, DIGEST_MIN), rank = get(words, DIGEST_LOW) & 0xfffff;
    if (fault_n > 0 && digest > 0 && get(words, DIGEST_MAX) == -digest) { /* not of a round while forming */
        digest ^= INT64_C(1) << 50;
        int64_t low = (digest >> 20 << 20) | rank;
        set(words, DIGEST_MIN, digest);
        set(words, DIGEST_MAX, -digest);
        set(words, DIGEST_LOW, low);
        set(words, DIGEST_HIGH, -low);
        fault_n--;
    }
}

__attribute__((visibility("default"))) ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    static ssize_t (*real)(int, const void *, size_t, int);
    unsigned char copy[1024];
    bool round = n > HEAD + 8 * DIGEST_HIGH && n <= sizeof copy && memcmp(bytes, "CFGR", 4) == 0 &&
                 ((const unsigned char *)bytes)[TYPE_AT] == TYPE_WORDS;
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "send");
        memcpy(&real, &found, sizeof real);
    }
    if (round && is_fault("corrupt")) {
        memcpy(copy, bytes, n);
        corrupt(copy + HEAD);
        return real(fd, copy, n, flags);
    }
    ssize_t sent = real(fd, bytes, n, flags);
    if (round && is_fault("send") && --fault_n == 0) {
        die();
    }
    return sent;
}

/* --- hooks --- */

static int prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    (void)arg;
    if (is_fault("divide") && next->values[0].i64 % fault_n != 0) {
        (void)snprintf(err->text, sizeof err->text, "a batch of %lld does not divide by %lld",
                       (long long)next->values[0].i64, fault_n);
        return err->code = CFG_E_VALUE;
    }
    if (is_fault("prepare") && next->values[0].i64 == fault_n) {
        die();
    }
    return 0;
}

static void commit(void *arg, const struct cfg_view *now)
{
    (void)arg;
    if (is_fault("commit") && now->values[0].i64 == fault_n) {
        die();
    }
}

/* --- the job --- */

/* The step of a journal's last whole line; 0: none. */
static uint64_t last_step(const char *path)
{
    char text[512];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, size > 400 ? size - 400 : 0) : 0;
    uint64_t step = 0;
    text[n > 0 ? n : 0] = '\0';
    for (char *line = strstr(text, "step "); line != NULL; line = strstr(line + 1, "step ")) {
        step = strchr(line, '\n') != NULL ? strtoull(line + 5, NULL, 10) : step;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return step;
}

static uint64_t checkpoint(const char *dir)
{
    uint64_t most = 0;
    for (int rank = 0; rank < RANKS_MAX; rank++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/rank-%d.journal", dir, rank);
        uint64_t step = last_step(path);
        most = step > most ? step : most;
    }
    return most;
}

static int journal(int fd, uint64_t step, const struct cfg_view *v)
{
    char line[256];
    int n = snprintf(line, sizeof line, "step %llu %s %lld\n", (unsigned long long)step, v->revision,
                     (long long)v->values[0].i64);
    return n > 0 && write(fd, line, (size_t)n) == n ? 0 : -1;
}

static void on_signal(int number)
{
    stopping = stopping || number == SIGTERM;
    slow = slow || number == SIGUSR1;
}

static void print_log(void *arg, int level, const char *line)
{
    (void)arg;
    fprintf(stderr, "%d %s\n", level, line);
}

/* 0: stopped, else what cfg_worker_why says. */
static int run(struct cfg_worker *w, const char *dir, int fd, struct cfg_error *err)
{
    for (uint64_t step = checkpoint(dir) + 1; !stopping; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        if (v == NULL) {
            return cfg_worker_why(w, err);
        }
        if (journal(fd, step, v) != 0) {
            _exit(4);
        }
        cfg_step_end(w, NULL);
        (void)poll(NULL, 0, slow ? 1500 : 0);
        slow = 0;
        (void)usleep(pace_us);
    }
    return 0;
}

static struct cfg_worker *open_worker(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options options = CFG_WORKER_OPTIONS_INIT;
    const struct cfg_change_hooks hooks = {prepare, commit, NULL, NULL};
    struct cfg_worker *w = NULL;
    options.log = print_log;
    if (cfg_worker_open(&w, &options, &err) == 0) {
        const char *most = getenv("FAULT_MOST"); /* a declaration that the others do not share */
        (void)cfg_param_i64(w, "counter.w0", CFG_BARRIER, 0, most != NULL ? atoll(most) : INT64_MAX, 0);
        (void)cfg_param_i64(w, "tp", CFG_PINNED, 1, 64, 1);
        if (cfg_worker_on_change(w, "counter", &hooks, &err) == 0) {
            return w;
        }
    }
    fprintf(stderr, "fault_rank: %s: %s %s\n", cfg_code_name(err.code), err.text, err.hint);
    exit(1);
}

static void read_fault(void)
{
    static char text[64];
    const char *given = getenv("FAULT"), *pace = getenv("FAULT_PACE_US");
    (void)snprintf(text, sizeof text, "%s", given != NULL ? given : "");
    char *colon = strchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
        fault_n = atoll(colon + 1);
    }
    fault = text;
    pace_us = pace != NULL ? (unsigned)atoi(pace) : pace_us;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fault_rank DIR RANK\n");
        return 2;
    }
    char path[512];
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    read_fault();
    (void)snprintf(path, sizeof path, "%s/rank-%s.journal", argv[1], argv[2]);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct cfg_worker *w = open_worker();
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_worker_start(w, 3000, &err);
    while (fd >= 0 && !stopping && err.code != CFG_E_SUPERSEDED) {
        if (rc == 0) {
            rc = run(w, argv[1], fd, &err);
        }
        if (rc != 0) {
            fprintf(stderr, "fault_rank: %s: %s\n", cfg_code_name(err.code), err.text);
            if (err.code == CFG_E_PIN_MISMATCH || err.code == CFG_E_UNSUPPORTED || err.code == CFG_E_INVALID) {
                break; /* nothing that another try would change */
            }
            (void)usleep(50000);
            rc = stopping ? 0 : cfg_worker_start(w, 3000, &err);
        }
    }
    cfg_worker_close(w);
    return stopping ? 0 : 3;
}
