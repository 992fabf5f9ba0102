#include "client/cfgctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_EXECUTE = 126, FIRST_FILE = 3 };

/* --- before the first program --- */

void child_note_files(struct child_setup *out)
{
    *out = (struct child_setup){.foreground = false};
    for (int fd = FIRST_FILE; fd < CHILD_FILES; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            out->files[fd / 64] |= (uint64_t)1 << fd % 64;
}

int child_take_signals(int *fd, struct child_setup *setup, const int *signals, size_t n, struct cfg_error *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < n; i++)
        (void)sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, &setup->before) != 0 || signal(SIGCHLD, SIG_DFL) == SIG_ERR ||
        (*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return cfg_fail(err, CFG_E_IO, "no descriptors: %s", strerrordesc_np(errno));
    return 0;
}

/* What was opened since (libcurl's sockets among it) is ours. */
static void keep_files(const struct child_setup *setup)
{
    for (int fd = FIRST_FILE; fd < CHILD_FILES; fd++)
        if (!(setup->files[fd / 64] >> fd % 64 & 1))
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* fails where nothing is open */
}

/* --- starting --- */

/* Giving the terminal away from the background would stop us: SIGTTOU must be blocked for that. */
static void set_foreground(pid_t group)
{
    sigset_t ttou, before;
    (void)sigemptyset(&ttou);
    (void)sigaddset(&ttou, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &ttou, &before);
    (void)tcsetpgrp(STDIN_FILENO, group); /* fails when the terminal has gone away: then nobody needs it */
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static bool have_terminal(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* In the new process. Reports why it could not become the program through the pipe. */
static void become(char *const argv[], char *const envp[], const sigset_t *mask, bool terminal, pid_t parent,
                   int report)
{
    (void)setpgid(0, 0); /* the parent does it too: whoever is first */
    if (terminal)
        set_foreground(getpid());
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* cannot fail for a valid signal */
    if (getppid() != parent)
        _exit(128 + SIGTERM);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execvpe(argv[0], argv, envp); /* returns on failure only */
    int why = errno;
    ssize_t n = write(report, &why, sizeof why);
    (void)n; /* the parent then sees the exit code */
    _exit(CANNOT_EXECUTE);
}

static int why_not(int report, pid_t pid, const char *name, struct cfg_error *err)
{
    int why = 0;
    ssize_t n;
    while ((n = read(report, &why, sizeof why)) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof why)
        return 0; /* the pipe was closed by the program's start */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    int code = why == ENOENT ? CFG_E_NOT_FOUND : why == EACCES ? CFG_E_FORBIDDEN : CFG_E_IO;
    return cfg_fail(err, code, "cannot run %s: %s", name, strerrordesc_np(why));
}

int child_start(struct child *out, char *const argv[], char *const envp[], const struct child_setup *setup,
                struct cfg_error *err)
{
    int report[2];
    bool terminal = setup->foreground && have_terminal();
    pid_t parent = getpid();
    if (pipe2(report, O_CLOEXEC) != 0)
        return cfg_fail(err, CFG_E_IO, "cannot make a pipe: %s", strerrordesc_np(errno));
    keep_files(setup);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, envp, &setup->before, terminal, parent, report[1]);
    int saved = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return cfg_fail(err, CFG_E_IO, "cannot start a process: %s", strerrordesc_np(saved));
    }
    (void)setpgid(pid, pid); /* fails once it has become the program, which has done it itself */
    int rc = why_not(report[0], pid, argv[0], err);
    close(report[0]);
    if (rc == 0)
        *out = (struct child){.pid = pid, .terminal = terminal};
    else if (terminal)
        set_foreground(getpgrp());
    return rc;
}

/* Its end is looked at before it is taken: until then nobody else can get the number of its group. */
enum child_event child_look(struct child *c, int *code)
{
    siginfo_t info = {0};
    if (c->pid == 0 || waitid(P_PID, (id_t)c->pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return CHILD_NOTHING;
    if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED) {
        /* Only the stop is taken: it may have ended since, which the next call sees. */
        return waitid(P_PID, (id_t)c->pid, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid != 0 ? CHILD_STOPPED
                                                                                               : CHILD_NOTHING;
    }
    (void)kill(-c->pid, SIGKILL); /* what it left behind; usually nothing */
    int status = 0;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        return CHILD_NOTHING;
    *code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    child_take_terminal(c);
    c->pid = 0;
    return CHILD_ENDED;
}

void child_signal(const struct child *c, int signal)
{
    if (c->pid > 0)
        (void)kill(c->pid, signal); /* it may have ended: that is noticed elsewhere */
}

void child_kill(const struct child *c)
{
    if (c->pid > 0)
        (void)kill(-c->pid, SIGKILL); /* as above */
}

void child_take_terminal(struct child *c)
{
    if (c->terminal)
        set_foreground(getpgrp());
}

void child_give_terminal(struct child *c)
{
    if (c->pid <= 0)
        return;
    if (c->terminal)
        set_foreground(c->pid);
    (void)kill(-c->pid, SIGCONT); /* as above */
}
