#include "configd/embedded.h"

#include "configd/embedded_birth.h"
#include "configd/embedded_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_PAUSE_MS = 100, LONGEST_PAUSE_MS = 5000, STEADY_MS = 10000, STOP_MS = 5000 };

struct cfg_embedded {
    struct cfg_loop *loop;
    char *dir;      /* absolute */
    char *endpoint; /* "unix:…" */
    int lock_fd, dir_fd;
    struct cfg_child_command command;
    pid_t pid; /* 0: none */
    int pid_fd;
    struct cfg_reader *death;
    struct cfg_timer *again;
    uint64_t started_ns;
    unsigned pause_ms;
};

static int io_error(struct cfg_error *err, const char *path)
{
    return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(errno));
}

/* mkdir −p, the last one for us alone. */
static int make_dir(const char *path, struct cfg_error *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a path");
    int code = 0;
    for (char *p = copy + 1; code == 0; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        bool last = *p == '\0';
        *p = '\0';
        if (mkdir(copy, last ? 0700 : 0755) != 0 && errno != EEXIST)
            code = io_error(err, copy);
        if (last)
            break;
        *p = '/';
    }
    free(copy);
    return code;
}

/* Others must not reach the socket, so a directory that others may enter is refused rather than changed. */
static int check_private(const char *dir, struct cfg_error *err)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return io_error(err, dir);
    if (!S_ISDIR(st.st_mode))
        return cfg_fail(err, CFG_E_IO, "%s is not a directory", dir);
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        int code =
            cfg_fail(err, CFG_E_IO, "%s must belong to this user alone: etcd's socket in it knows no password", dir);
        cfg_error_set_hint(err, "chmod 700 %.200s", dir);
        return code;
    }
    return 0;
}

static int take_lock(struct cfg_embedded *e, struct cfg_error *err)
{
    char path[4096 + 16], pid[32] = "";
    (void)snprintf(path, sizeof path, "%s/lock", e->dir);
    e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0)
        return io_error(err, path);
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return io_error(err, path);
        ssize_t n = read(e->lock_fd, pid, sizeof pid - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
        int code = cfg_fail(err, CFG_E_IN_USE, "%s is in use by process %s", e->dir, pid[0] ? pid : "of unknown id");
        cfg_error_set_hint(err, "stop that configd, or give this one another --embedded-etcd directory");
        return code;
    }
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(e->lock_fd, 0) != 0 || pwrite(e->lock_fd, pid, (size_t)n, 0) != n)
        return io_error(err, path);
    return 0;
}

static int choose_endpoint(struct cfg_embedded *e, struct cfg_error *err)
{
    size_t most = sizeof((struct sockaddr_un *)0)->sun_path;
    int n;
    if (strlen(e->dir) + sizeof "/" CFG_CHILD_SOCKET <= most) {
        n = asprintf(&e->endpoint, "unix:%s/" CFG_CHILD_SOCKET, e->dir);
    } else {
        e->dir_fd = open(e->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (e->dir_fd < 0)
            return io_error(err, e->dir);
        n = asprintf(&e->endpoint, "unix:/proc/self/fd/%d/" CFG_CHILD_SOCKET, e->dir_fd);
    }
    if (n < 0) {
        e->endpoint = NULL;
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a path");
    }
    return 0;
}

static uint64_t now_ns(void)
{
    return cfg_clock_system.monotonic_ns(NULL);
}

static void forget_child(struct cfg_embedded *e)
{
    cfg_reader_free(e->death);
    e->death = NULL;
    if (e->pid_fd >= 0)
        (void)close(e->pid_fd);
    e->pid_fd = -1;
    e->pid = 0;
}

static void pause_and_start(struct cfg_embedded *e)
{
    bool was_steady = now_ns() - e->started_ns > (uint64_t)STEADY_MS * 1000000u;
    e->pause_ms = was_steady || e->pause_ms == 0 ? FIRST_PAUSE_MS : e->pause_ms * 2;
    if (e->pause_ms > LONGEST_PAUSE_MS)
        e->pause_ms = LONGEST_PAUSE_MS;
    cfg_timer_start(e->again, e->pause_ms);
}

static void child_died(void *arg)
{
    struct cfg_embedded *e = arg;
    if (waitpid(e->pid, NULL, WNOHANG) == 0)
        return;
    forget_child(e);
    pause_and_start(e);
}

static int start_child(struct cfg_embedded *e, struct cfg_error *err)
{
    e->started_ns = now_ns();
    int code = cfg_birth_prepare(e->dir, err);
    if (code == 0)
        code = cfg_child_start(&e->pid, &e->command, err);
    if (code)
        return code;
    e->pid_fd = pidfd_open(e->pid, 0);
    if (e->pid_fd >= 0)
        e->death = cfg_reader_new(e->loop, e->pid_fd, child_died, e);
    if (e->death)
        return 0;
    code = e->pid_fd < 0 ? io_error(err, "pidfd_open") : cfg_fail(err, CFG_E_NOMEM, "no memory to watch etcd");
    (void)kill(e->pid, SIGKILL);
    (void)waitpid(e->pid, NULL, 0);
    forget_child(e);
    return code;
}

static void start_again(void *arg)
{
    struct cfg_embedded *e = arg;
    struct cfg_error err;
    if (start_child(e, &err) != 0)
        pause_and_start(e); /* out of processes or memory just now; the client reports etcd as away meanwhile */
}

static int open_dir(struct cfg_embedded *e, const char *dir, struct cfg_error *err)
{
    int code = make_dir(dir, err);
    if (code)
        return code;
    e->dir = realpath(dir, NULL);
    if (e->dir == NULL)
        return io_error(err, dir);
    if ((code = check_private(e->dir, err)) != 0 || (code = take_lock(e, err)) != 0)
        return code;
    return choose_endpoint(e, err);
}

int cfg_embedded_start(struct cfg_embedded **out, struct cfg_loop *loop, const struct cfg_embedded_options *o,
                       struct cfg_error *err)
{
    struct cfg_embedded *e = calloc(1, sizeof *e);
    if (e == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the embedded etcd");
    e->loop = loop;
    e->lock_fd = e->dir_fd = e->pid_fd = -1;
    e->again = cfg_timer_new(loop, start_again, e);
    int code = e->again ? open_dir(e, o->dir, err) : cfg_fail(err, CFG_E_NOMEM, "no memory for the embedded etcd");
    if (code == 0)
        code = cfg_child_prepare(&e->command, e->dir, o->etcd_binary, o->quota_bytes, err);
    if (code == 0)
        code = start_child(e, err);
    if (code) {
        cfg_embedded_stop(e);
        return code;
    }
    *out = e;
    return 0;
}

const char *cfg_embedded_endpoint(const struct cfg_embedded *e)
{
    return e->endpoint;
}

int cfg_embedded_served(struct cfg_embedded *e, struct cfg_error *err)
{
    return e ? cfg_birth_done(e->dir, err) : 0;
}

int cfg_embedded_pid(const struct cfg_embedded *e)
{
    return (int)e->pid;
}

static void end_child(struct cfg_embedded *e)
{
    struct pollfd end = {e->pid_fd, POLLIN, 0};
    (void)kill(e->pid, SIGTERM);
    uint64_t until = now_ns() + (uint64_t)STOP_MS * 1000000u;
    int ready = 0;
    for (uint64_t now = now_ns(); ready <= 0 && now < until; now = now_ns())
        ready = poll(&end, 1, (int)((until - now) / 1000000u) + 1);
    if (ready <= 0)
        (void)kill(e->pid, SIGKILL);
    while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    forget_child(e);
}

void cfg_embedded_stop(struct cfg_embedded *e)
{
    if (e == NULL)
        return;
    cfg_timer_free(e->again);
    if (e->pid > 0)
        end_child(e);
    cfg_child_finish(&e->command);
    if (e->dir_fd >= 0)
        (void)close(e->dir_fd);
    if (e->lock_fd >= 0)
        (void)close(e->lock_fd); /* and with it the lock */
    free(e->endpoint);
    free(e->dir);
    free(e);
}
