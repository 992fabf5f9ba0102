#include "configd/embedded_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define PEER_SOCKET "peer:1"
enum { LOG_BYTES = 16 * 1024 * 1024 };

unsigned cfg_child_version(const char *text)
{
    const char *found = strstr(text, "etcd Version: ");
    unsigned major, minor;
    if (found == NULL || sscanf(found, "etcd Version: %u.%u", &major, &minor) != 2 || major > 99 || minor > 999)
        return 0;
    return major * 1000 + minor;
}

static int not_found(struct cfg_error *err, const char *binary)
{
    int code = cfg_fail(err, CFG_E_IO, "the etcd program '%s' was not found", binary);
    cfg_error_set_hint(err,
                       "install it (Debian: apt install etcd-server), or name a running one: --etcd http://HOST:2379");
    return code;
}

/* The binary's path, as execvp would find it. */
static int find_binary(char **out, const char *binary, struct cfg_error *err)
{
    if (strchr(binary, '/')) {
        if (access(binary, X_OK) != 0)
            return not_found(err, binary);
        *out = realpath(binary, NULL); /* the child changes its directory */
        return *out ? 0 : not_found(err, binary);
    }
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/local/bin:/usr/bin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        char *candidate = NULL;
        if (n > 0 && asprintf(&candidate, "%.*s/%s", (int)n, p, binary) < 0)
            return cfg_fail(err, CFG_E_NOMEM, "no memory for a path");
        if (candidate && access(candidate, X_OK) == 0) {
            *out = candidate;
            return 0;
        }
        free(candidate);
        p += n + (p[n] == ':');
    }
    return not_found(err, binary);
}

static int copy_environment(struct cfg_child_command *c, struct cfg_error *err)
{
    size_t n = 0, kept = 0;
    while (environ && environ[n])
        n++;
    c->env = calloc(n + 1, sizeof *c->env);
    if (c->env == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for an environment");
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], "ETCD_", strlen("ETCD_")) == 0)
            continue;
        if ((c->env[kept] = strdup(environ[i])) == NULL)
            return cfg_fail(err, CFG_E_NOMEM, "no memory for an environment");
        kept++;
    }
    return 0;
}

/* In the child, between fork and exec: nothing but system calls. */
static void be_quiet_child(pid_t parent, int output)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127); /* the parent died before the kernel knew whom to tell */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        _exit(127);
}

static int ask_version(unsigned *out, const struct cfg_child_command *c, struct cfg_error *err)
{
    int pipes[2];
    char text[512];
    size_t len = 0;
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return cfg_fail(err, CFG_E_IO, "pipe: %s", strerrordesc_np(errno));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        char version[] = "--version";
        char *const argv[] = {c->binary, version, NULL};
        be_quiet_child(parent, pipes[1]);
        (void)execve(c->binary, argv, c->env);
        _exit(127);
    }
    (void)close(pipes[1]);
    for (ssize_t n = 1; pid > 0 && n != 0 && len + 1 < sizeof text;) {
        n = read(pipes[0], text + len, sizeof text - 1 - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            break;
    }
    (void)close(pipes[0]);
    if (pid < 0)
        return cfg_fail(err, CFG_E_IO, "fork: %s", strerrordesc_np(errno));
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    text[len] = '\0';
    *out = cfg_child_version(text);
    if (*out >= 3004)
        return 0;
    int code = cfg_fail(err, CFG_E_IO, "'%s' does not say that it is etcd 3.4 or newer", c->binary);
    cfg_error_set_hint(err, "run: %s --version", c->binary);
    return code;
}

static bool add(struct cfg_child_command *c, size_t *n, const char *name, const char *value)
{
    if (*n + 2 >= CFG_CHILD_MAX_ARGS || (c->argv[(*n)++] = strdup(name)) == NULL)
        return false;
    return value == NULL || (c->argv[(*n)++] = strdup(value)) != NULL;
}

/* Clients and the peer that never comes are both served on sockets in the private directory. */
static bool fill_arguments(struct cfg_child_command *c, const char *data, unsigned version, uint64_t quota_bytes)
{
    size_t n = 0;
    char quota[32];
    (void)snprintf(quota, sizeof quota, "%llu", (unsigned long long)quota_bytes);
    return add(c, &n, c->binary, NULL) && add(c, &n, "--name", "configd") && add(c, &n, "--data-dir", data) &&
           add(c, &n, "--listen-client-urls", "unix://" CFG_CHILD_SOCKET) &&
           add(c, &n, "--advertise-client-urls", "unix://" CFG_CHILD_SOCKET) &&
           add(c, &n, "--listen-peer-urls", "unix://" PEER_SOCKET) &&
           add(c, &n, "--initial-advertise-peer-urls", "unix://" PEER_SOCKET) &&
           add(c, &n, "--initial-cluster", "configd=unix://" PEER_SOCKET) &&
           /* The past is kept for as long as a replica may be away; history of configs is data, not etcd's past. */
           add(c, &n, "--auto-compaction-mode", "revision") && add(c, &n, "--auto-compaction-retention", "1000") &&
           /* Alone, it need not wait long to elect itself; and entries of its log stay in memory until a snapshot. */
           add(c, &n, "--heartbeat-interval", "50") && add(c, &n, "--election-timeout", "500") &&
           add(c, &n, "--snapshot-count", "5000") &&
           add(c, &n,
               version >= 3006 ? "--watch-progress-notify-interval" : "--experimental-watch-progress-notify-interval",
               "5s") &&
           add(c, &n, "--logger", "zap") && add(c, &n, "--log-outputs", "stderr") &&
           (quota_bytes == 0 || add(c, &n, "--quota-backend-bytes", quota));
}

int cfg_child_prepare(struct cfg_child_command *c, const char *dir, const char *binary, uint64_t quota_bytes,
                      struct cfg_error *err)
{
    unsigned version;
    char *data = NULL;
    int code = find_binary(&c->binary, binary ? binary : "etcd", err);
    if (code == 0)
        code = copy_environment(c, err);
    if (code == 0)
        code = ask_version(&version, c, err);
    if (code)
        return code;
    c->dir = strdup(dir);
    if (asprintf(&c->log, "%s/etcd.log", dir) < 0)
        c->log = NULL;
    if (asprintf(&data, "%s/data", dir) < 0)
        data = NULL;
    if (c->dir == NULL || c->log == NULL || data == NULL || !fill_arguments(c, data, version, quota_bytes))
        code = cfg_fail(err, CFG_E_NOMEM, "no memory for etcd's arguments");
    free(data);
    return code;
}

void cfg_child_finish(struct cfg_child_command *c)
{
    free(c->binary);
    free(c->dir);
    free(c->log);
    for (size_t i = 0; i < CFG_CHILD_MAX_ARGS; i++)
        free(c->argv[i]);
    for (size_t i = 0; c->env && c->env[i]; i++)
        free(c->env[i]);
    free(c->env);
    *c = (struct cfg_child_command){0};
}

/* One old log is kept, so that the directory does not grow without end over restarts. */
static int open_log(const char *path)
{
    struct stat st;
    char old[4096 + 32];
    if (stat(path, &st) == 0 && st.st_size > LOG_BYTES && snprintf(old, sizeof old, "%s.1", path) < (int)sizeof old)
        (void)rename(path, old); /* failing, it grows on */
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* A killed etcd leaves its sockets, and the next one does not take their names over. DIR's lock is ours. */
static int remove_sockets(const char *dir, struct cfg_error *err)
{
    static const char *const names[] = {CFG_CHILD_SOCKET, PEER_SOCKET};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096 + 16];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            return cfg_fail(err, CFG_E_IO, "%s: %s", path, strerrordesc_np(errno));
    }
    return 0;
}

int cfg_child_start(pid_t *out, const struct cfg_child_command *c, struct cfg_error *err)
{
    int code = remove_sockets(c->dir, err);
    if (code)
        return code;
    int log = open_log(c->log);
    if (log < 0)
        return cfg_fail(err, CFG_E_IO, "%s: %s", c->log, strerrordesc_np(errno));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        be_quiet_child(parent, log);
        (void)setpgid(0, 0); /* Ctrl-C in a terminal is for configd, which then stops etcd in order */
        (void)umask(077);
        if (chdir(c->dir) == 0)
            (void)execve(c->binary, c->argv, c->env);
        _exit(127);
    }
    int reason = errno;
    (void)close(log);
    if (pid < 0)
        return cfg_fail(err, CFG_E_IO, "etcd could not be started: %s", strerrordesc_np(reason));
    *out = pid;
    return 0;
}
