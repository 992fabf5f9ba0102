/* What a program that embeds the library may count on: it takes no signals, writes nothing, starts no thread unasked,
 * and leaves nothing behind. A program of its own, because all of that is the process's: it counts its threads and
 * descriptors, compares every signal's disposition, and reads back what was written to its standard output and error,
 * while workers meet what they are likely to: no server, servers that hang up, bad views, bad metrics. */
#include <cfg/worker.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int report_fd; /* the real standard error */
static FILE *captured;

_Noreturn static void die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)dprintf(report_fd, "embed: ");
    (void)vdprintf(report_fd, format, ap);
    (void)dprintf(report_fd, "\n");
    va_end(ap);
    exit(1);
}

static unsigned entries(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;
    if (d == NULL) {
        die("cannot read %s", dir);
    }
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n - 2; /* . and .. */
}

static unsigned threads(void)
{
    return entries("/proc/self/task");
}

/* Everything of the process that a library could change behind its program's back. */
struct process {
    struct sigaction actions[65];
    sigset_t mask;
    mode_t umask;
    char cwd[4096], locale[128];
    unsigned descriptors;
};

static void look(struct process *p)
{
    memset(p, 0, sizeof *p);
    for (int i = 1; i < 65; i++) {
        (void)sigaction(i, NULL, &p->actions[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, NULL, &p->mask);
    p->umask = umask(0);
    (void)umask(p->umask);
    if (getcwd(p->cwd, sizeof p->cwd) == NULL) {
        die("no working directory");
    }
    (void)snprintf(p->locale, sizeof p->locale, "%s", setlocale(LC_ALL, NULL));
    p->descriptors = entries("/proc/self/fd");
}

static void compare(const struct process *before, const char *when, bool descriptors)
{
    static struct process now;
    look(&now);
    for (int i = 1; i < 65; i++) {
        const struct sigaction *a = &before->actions[i], *b = &now.actions[i];
        if (a->sa_handler != b->sa_handler || a->sa_flags != b->sa_flags) {
            die("%s: the disposition of signal %d has changed", when, i);
        }
    }
    for (int i = 1; i < 65; i++) {
        if (sigismember(&before->mask, i) != sigismember(&now.mask, i)) {
            die("%s: signal %d is blocked, or no longer", when, i);
        }
    }
    if (before->umask != now.umask || strcmp(before->cwd, now.cwd) != 0 || strcmp(before->locale, now.locale) != 0) {
        die("%s: umask, working directory or locale has changed", when);
    }
    if (descriptors && before->descriptors != now.descriptors) {
        die("%s: %u descriptors are open, before %u", when, now.descriptors, before->descriptors);
    }
}

static void expect_threads(unsigned want, const char *when)
{
    /* A thread that has been joined may take a moment to leave /proc. */
    for (int i = 0; i < 1000 && threads() > want; i++) {
        (void)poll(NULL, 0, 1);
    }
    if (threads() != want) {
        die("%s: %u threads, wanted %u", when, threads(), want);
    }
}

/* --- a server that hangs up on everybody --- */

static int hang_up_fd;

static void *hang_up(void *arg)
{
    (void)arg;
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL); /* the program's signals are the main thread's */
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    for (;;) {
        int fd = accept(hang_up_fd, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* whoever writes next gets EPIPE */
        (void)close(fd);
    }
}

static int start_hanging_up(pthread_t *thread)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    hang_up_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(hang_up_fd, (struct sockaddr *)(void *)&a, sizeof a) != 0 || listen(hang_up_fd, 16) != 0 ||
        getsockname(hang_up_fd, (struct sockaddr *)(void *)&a, &n) != 0 ||
        pthread_create(thread, NULL, hang_up, NULL) != 0) {
        die("no server");
    }
    return ntohs(a.sin_port);
}

/* --- workers --- */

static void use(struct cfg_worker *w, uint64_t from)
{
    static const char *const metrics[] = {NULL, "{\"loss\":1}", "nonsense", "{\"bad name\":1,\"x\":NaN}"};
    for (uint64_t step = from; step < from + 50; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        if (v == NULL) {
            die("no view");
        }
        cfg_step_end(w, metrics[step % 4]);
        (void)cfg_worker_idle(w, 0);
        cfg_worker_process(w); /* does nothing where the library has a thread */
    }
}

static struct cfg_worker *open_worker(const char *server, const char *source, bool external_loop)
{
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    o.servers = server;
    o.source = source;
    o.deployment = "embed";
    o.worker = "w0";
    o.cache = "";
    o.external_loop = external_loop;
    if (cfg_worker_open(&w, &o, &err) != 0) {
        die("open: %s", err.text);
    }
    (void)cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
    return w;
}

static void against(const char *server, bool external_loop)
{
    unsigned before = threads();
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = open_worker(server, NULL, external_loop);
    expect_threads(before, "open");
    if (cfg_worker_start(w, 100, &err) != CFG_E_TIMEOUT) {
        die("start without a server: %d %s", err.code, err.text);
    }
    expect_threads(before + (external_loop ? 0 : 1), external_loop ? "start with external_loop" : "start");
    use(w, 0);
    expect_threads(before + (external_loop ? 0 : 1), "steps");
    cfg_worker_close(w);
    expect_threads(before, "close");
}

static void save(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0) {
        die("cannot write %s", path);
    }
}

/* A file that is good, then refused, broken, empty and gone. */
static void from_file(bool external_loop)
{
    static const char *const texts[] = {"{\"sampling\":{\"temperature\":9}}", "{", "", "[]"};
    char path[] = "/tmp/embed.XXXXXX", source[64];
    int fd = mkstemp(path);
    struct cfg_error err = CFG_ERROR_INIT;
    if (fd < 0 || close(fd) != 0) {
        die("no file");
    }
    save(path, "{\"sampling\":{\"temperature\":0.5}}");
    (void)snprintf(source, sizeof source, "file:%s", path);
    struct cfg_worker *w = open_worker(NULL, source, external_loop);
    if (cfg_worker_start(w, 5000, &err) != 0) {
        die("start: %s", err.text);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        save(path, texts[i]);
        use(w, i * 100);
    }
    (void)unlink(path);
    use(w, 1000);
    cfg_worker_close(w);
}

/* A signal that the program waits for reaches the program, not the library's thread. */
static void signals_are_the_programs(void)
{
    sigset_t one, none;
    struct cfg_worker *w = open_worker("http://127.0.0.1:9", NULL, false);
    struct cfg_error err = CFG_ERROR_INIT;
    struct timespec wait = {5, 0};
    (void)sigemptyset(&one);
    (void)sigaddset(&one, SIGUSR1);
    if (cfg_worker_start(w, 0, &err) != CFG_E_TIMEOUT) {
        die("start without a server: %s", err.text);
    }
    (void)pthread_sigmask(SIG_BLOCK, &one, &none);
    (void)kill(getpid(), SIGUSR1); /* would end the process if the library's thread took it */
    if (sigtimedwait(&one, NULL, &wait) != SIGUSR1) {
        die("the signal has gone elsewhere");
    }
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    cfg_worker_close(w);
}

static void capture(void)
{
    captured = tmpfile();
    report_fd = dup(STDERR_FILENO);
    if (captured == NULL || report_fd < 0 || dup2(fileno(captured), STDOUT_FILENO) < 0 ||
        dup2(fileno(captured), STDERR_FILENO) < 0) {
        exit(2);
    }
}

int main(void)
{
    static struct process before;
    char server[64];
    pthread_t server_thread;
    (void)unsetenv("CONFIGD_SOURCE");
    (void)unsetenv("CONFIGD_GROUP");
    capture();
    (void)snprintf(server, sizeof server, "http://127.0.0.1:%d", start_hanging_up(&server_thread));
    against("http://127.0.0.1:9", true); /* whatever libraries below allocate once is there now */
    look(&before);
    for (int external = 0; external < 2; external++) {
        against("http://127.0.0.1:9", external == 1);
        against(server, external == 1);
        from_file(external == 1);
        compare(&before, external == 1 ? "external_loop" : "a thread", true);
    }
    signals_are_the_programs();
    compare(&before, "at the end", true);
    (void)shutdown(hang_up_fd, SHUT_RDWR);
    (void)pthread_join(server_thread, NULL);
    (void)fflush(NULL);
    if (lseek(fileno(captured), 0, SEEK_END) != 0) {
        char text[400] = "";
        (void)lseek(fileno(captured), 0, SEEK_SET);
        (void)!read(fileno(captured), text, sizeof text - 1);
        die("something was written: %s", text);
    }
    (void)dprintf(report_fd, "embed: nothing of the process was touched\n");
    return 0;
}
