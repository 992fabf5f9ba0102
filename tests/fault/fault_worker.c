/* A worker for fault tests: appends a line per adopted view to a journal, so that a kill at any instant loses none it
 * acted on. view REVISION DIGEST VALUE-OF-counter Its identity comes from CONFIGD_*, as a real worker's would. */
#include <cfg/worker.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void print_log(void *arg, int level, const char *line)
{
    (void)arg;
    fprintf(stderr, "%d %s\n", level, line);
}

static int journal(int fd, const struct cfg_view *v, cfg_param counter)
{
    char line[256];
    int n =
        snprintf(line, sizeof line, "view %s %s %lld\n", v->revision, v->digest, (long long)cfg_get_i64(v, counter));
    return n > 0 && write(fd, line, (size_t)n) == n ? 0 : -1;
}

static int run(struct cfg_worker *w, int fd, cfg_param counter)
{
    uint32_t serial = 0;
    for (uint64_t step = 0; !stopping; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        if (v == NULL)
            return 3;
        if (v->serial != serial && journal(fd, v, counter) != 0)
            return 4;
        serial = v->serial;
        cfg_step_end(w, NULL);
        (void)cfg_worker_idle(w, 20); /* a new view or 20 ms, whichever comes first: both are simply the next step */
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fault_worker JOURNAL\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    struct cfg_worker_options options = CFG_WORKER_OPTIONS_INIT;
    options.log = print_log;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || cfg_worker_open(&w, &options, &err) != 0) {
        fprintf(stderr, "fault_worker: %s\n", fd < 0 ? argv[1] : err.text);
        return 1;
    }
    cfg_param counter = cfg_param_i64(w, "counter.w0", CFG_LIVE, 0, INT64_MAX, 0);
    int status = 1;
    while (!stopping && cfg_worker_start(w, 2000, &err) != 0) {
        fprintf(stderr, "fault_worker: %s: %s %s\n", cfg_code_name(err.code), err.text, err.hint);
        if (!err.retryable)
            goto out;
    }
    status = stopping ? 0 : run(w, fd, counter);
out:
    cfg_worker_close(w);
    close(fd);
    return status;
}
