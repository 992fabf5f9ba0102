/* Child processes: a thread per child collects its output, so that a child never blocks on a full pipe and a test can
 * wait for a line. */
#include "tests/lib/testlib.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct cfg_test_proc {
    pid_t pid;
    bool reaped;
    int status, pipe, stop; /* stop: an eventfd that ends the reader */
    pthread_t reader;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t grown;
    char *output; /* NUL-terminated */
    size_t len, cap;
    bool ended;
};

static void append(struct cfg_test_proc *p, const char *bytes, size_t n)
{
    if (p->len + n + 1 > p->cap) {
        p->cap = (p->len + n + 1) * 2;
        if ((p->output = realloc(p->output, p->cap)) == NULL)
            cfg_test_die("no memory");
    }
    memcpy(p->output + p->len, bytes, n);
    p->len += n;
    p->output[p->len] = '\0';
}

static void *read_output(void *arg)
{
    struct cfg_test_proc *p = arg;
    char buf[4096];
    for (;;) {
        struct pollfd fds[2] = {{p->pipe, POLLIN, 0}, {p->stop, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno == EINTR)
            continue;
        if (fds[0].revents == 0)
            return NULL; /* nobody wants more */
        ssize_t n = read(p->pipe, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        (void)pthread_mutex_lock(&p->lock);
        if (n > 0)
            append(p, buf, (size_t)n);
        else
            p->ended = true;
        (void)pthread_cond_broadcast(&p->grown);
        (void)pthread_mutex_unlock(&p->lock);
        if (n <= 0)
            return NULL;
    }
}

static _Noreturn void be_child(const char *const *argv, const struct cfg_test_proc_options *o, int out, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    if (o->own_group)
        (void)setpgid(0, 0);
    int null = open("/dev/null", O_RDONLY);
    if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || (o->dir && chdir(o->dir) != 0))
        _exit(127);
    for (size_t i = 0; o->env && o->env[i]; i++) {
        char *pair = strdup(o->env[i]);
        if (pair)
            (void)putenv(pair);
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(argv[0], (char *const *)(const void *)argv);
    (void)dprintf(2, "%s: %s\n", argv[0], strerrordesc_np(errno));
    _exit(127);
}

struct cfg_test_proc *cfg_test_proc_start(const char *const *argv, const struct cfg_test_proc_options *o)
{
    static const struct cfg_test_proc_options plain;
    struct cfg_test_proc *p = calloc(1, sizeof *p);
    int pipes[2];
    if (p == NULL || pipe2(pipes, O_CLOEXEC) != 0 || (p->stop = eventfd(0, EFD_CLOEXEC)) < 0)
        cfg_test_die("no pipe: %s", strerrordesc_np(errno));
    append(p, "", 0);
    (void)pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->grown, &attr);
    (void)pthread_condattr_destroy(&attr);
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid == 0)
        be_child(argv, o ? o : &plain, pipes[1], parent);
    (void)close(pipes[1]);
    p->pipe = pipes[0];
    if (p->pid < 0 || pthread_create(&p->reader, NULL, read_output, p) != 0)
        cfg_test_die("cannot start %s: %s", argv[0], strerrordesc_np(errno));
    return p;
}

pid_t cfg_test_proc_pid(const struct cfg_test_proc *p)
{
    return p->pid;
}

static struct timespec deadline_in(unsigned ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool cfg_test_proc_wait_output(struct cfg_test_proc *p, const char *text, size_t *from, unsigned timeout_ms)
{
    struct timespec end = deadline_in(timeout_ms);
    size_t start = from ? *from : 0;
    const char *found = NULL;
    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        found = start <= p->len ? strstr(p->output + start, text) : NULL;
        if (found || p->ended || pthread_cond_timedwait(&p->grown, &p->lock, &end) != 0)
            break;
    }
    if (found && from)
        *from = (size_t)(found - p->output) + strlen(text);
    (void)pthread_mutex_unlock(&p->lock);
    return found != NULL;
}

char *cfg_test_proc_output(struct cfg_test_proc *p)
{
    (void)pthread_mutex_lock(&p->lock);
    char *copy = strdup(p->output);
    (void)pthread_mutex_unlock(&p->lock);
    if (copy == NULL)
        cfg_test_die("no memory");
    return copy;
}

void cfg_test_proc_signal(struct cfg_test_proc *p, int signal)
{
    if (!p->reaped)
        (void)kill(p->pid, signal);
}

void cfg_test_proc_signal_group(struct cfg_test_proc *p, int signal)
{
    (void)kill(-p->pid, signal);
}

static int shell_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool reap(void *arg)
{
    struct cfg_test_proc *p = arg;
    if (!p->reaped && waitpid(p->pid, &p->status, WNOHANG) == p->pid)
        p->reaped = true;
    return p->reaped;
}

int cfg_test_proc_wait(struct cfg_test_proc *p, unsigned timeout_ms)
{
    return cfg_test_poll(reap, p, timeout_ms) ? shell_status(p->status) : -1;
}

bool cfg_test_proc_running(struct cfg_test_proc *p)
{
    return !reap(p);
}

static void release(struct cfg_test_proc *p)
{
    (void)pthread_join(p->reader, NULL);
    (void)close(p->pipe);
    (void)close(p->stop);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->grown);
    free(p->output);
    free(p);
}

void cfg_test_proc_free(struct cfg_test_proc *p)
{
    if (p == NULL)
        return;
    if (!reap(p)) {
        (void)kill(p->pid, SIGKILL);
        (void)cfg_test_proc_wait(p, 10000);
    }
    /* A grandchild may hold the pipe open, so its end is not waited for. */
    uint64_t one = 1;
    if (write(p->stop, &one, sizeof one) < 0)
        cfg_test_die("a reader cannot be ended: %s", strerrordesc_np(errno));
    release(p);
}

static void await_end_of_output(struct cfg_test_proc *p)
{
    (void)pthread_mutex_lock(&p->lock);
    while (!p->ended)
        (void)pthread_cond_wait(&p->grown, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
}

int cfg_test_run(char **output, const char *const *argv)
{
    struct cfg_test_proc *p = cfg_test_proc_start(argv, NULL);
    int status = cfg_test_proc_wait(p, 60000);
    if (status < 0)
        cfg_test_die("%s still runs after 60 s", argv[0]);
    await_end_of_output(p);
    if (output)
        *output = cfg_test_proc_output(p);
    release(p);
    return status;
}

bool cfg_test_pid_alive(pid_t pid)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    bool alive = false;
    if (fgets(line, sizeof line, f)) {
        const char *state = strrchr(line, ')');
        alive = state && state[1] == ' ' && state[2] != 'Z' && state[2] != 'X';
    }
    (void)fclose(f);
    return alive;
}
