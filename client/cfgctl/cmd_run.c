/* run: a program on a deployment's values, supervised.
 *
 * One loop over three descriptors: signals (signalfd), the session, one timer. The program is a direct child in its own
 * process group; signals go on to it, its end is ours. With --restart-on-change a change of what it was started with
 * arms the timer with a random share of --jitter, so that a fleet does not stop as one; then SIGTERM, after --grace
 * SIGKILL, and it starts anew. Values are compared when the timer fires: one that has gone back restarts nobody. */
#include "client/cfgctl/agent.h"
#include "client/cfgctl/child.h"
#include "client/cfgctl/commands.h"
#include "client/cfgctl/notes.h"
#include "client/cfgctl/run_internal.h"
#include "client/cfgctl/view.h"
#include "client/url.h"
#include "proto/limits.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { GRACE_S = 30, NOT_EXECUTABLE = 126, NO_PROGRAM = 127 };

enum phase {
    RUNNING,  /* the program runs */
    WAITING,  /* it runs, a restart is due when the timer fires */
    STOPPING, /* SIGTERM was sent for a restart; the timer brings SIGKILL */
    ENDING,   /* somebody wants us to end: no more restarts */
};

struct run {
    struct cli *c;
    struct agent *agent;
    char ns[CFG_LIMIT_NAME + 1];
    struct run_launch launch; /* of the running program */
    cJSON *now;               /* owned: the newest document */
    char revision[64], digest[80];
    struct cfg_schema *schema; /* says which values reach a running program; NULL: none does */
    struct child child;
    enum phase phase;
    struct child_setup setup;
    int signal_fd, timer_fd;
    uint64_t grace_s, jitter_s, starts;
    unsigned asked; /* how often we were told to end */
    int code;       /* of the program's end */
    bool ended, restart_on_change;
    struct cfg_error failed; /* why the program could not be started again */
};

/* --- the timer --- */

static void arm(struct run *r, uint64_t ms)
{
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 + 1}};
    (void)timerfd_settime(r->timer_fd, 0, &spec, NULL); /* valid by construction */
}

static void disarm(struct run *r)
{
    const struct itimerspec off = {{0, 0}, {0, 0}};
    (void)timerfd_settime(r->timer_fd, 0, &off, NULL); /* as above */
}

static uint64_t random_below(uint64_t limit)
{
    uint64_t x = 0;
    if (limit == 0 || getrandom(&x, sizeof x, 0) != (ssize_t)sizeof x)
        return 0;
    return x % limit;
}

/* --- what changed, and saying so --- */

static int pending(struct run *r, cJSON **out)
{
    return run_changes(out, r->launch.document, r->now, r->schema ? run_reaches_live : NULL, r->schema, NULL);
}

static void report(struct run *r)
{
    cJSON *paths = NULL;
    struct cfg_error err;
    (void)pending(r, &paths); /* without memory: none are named, and the report fails too */
    const struct agent_report report = {
        .revision = r->revision, .digest = r->digest, .step = r->starts, .pending = paths};
    if (agent_report(r->agent, &report, &err) != 0)
        (void)fprintf(stderr, "cfgctl: %s\n", err.text); /* nobody to tell */
    cJSON_Delete(paths);
}

static void consider(struct run *r)
{
    cJSON *paths = NULL;
    if (!r->restart_on_change || r->ended || (r->phase != RUNNING && r->phase != WAITING) || pending(r, &paths) != 0)
        return;
    if (paths->child == NULL && r->phase == WAITING) {
        disarm(r);
        r->phase = RUNNING;
    } else if (paths->child && r->phase == RUNNING) {
        uint64_t ms = random_below(r->jitter_s * 1000 + 1);
        (void)fprintf(stderr, "cfgctl: %s%s changed: restart in %.1f s\n", paths->child->valuestring,
                      paths->child->next ? " and more" : "", (double)ms / 1000); /* nobody to tell */
        r->phase = WAITING;
        arm(r, ms);
    }
    cJSON_Delete(paths);
}

static void on_view(void *arg, const cJSON *view, const char *revision, const char *digest)
{
    struct run *r = arg;
    struct cfg_error err;
    cJSON *document = NULL;
    int rc = view_document(&document, view, &err);
    if (rc == 0)
        rc = agent_declare(r->agent, document, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "cfgctl: %s\n", err.text); /* nobody to tell */
        cJSON_Delete(document);
        return;
    }
    cJSON_Delete(r->now);
    r->now = document;
    (void)snprintf(r->revision, sizeof r->revision, "%s", revision);
    (void)snprintf(r->digest, sizeof r->digest, "%s", digest);
    consider(r);
    report(r);
}

static void on_registered(void *arg)
{
    report(arg);
}

/* --- the program --- */

static int start(struct run *r, struct cfg_error *err)
{
    struct run_launch next = {.document = NULL};
    int rc = run_launch_make(&next, r->c, r->ns, r->now, err);
    if (rc == 0 && (rc = child_start(&r->child, next.argv, next.envp, &r->setup, err)) != 0)
        r->code = rc == CFG_E_NOT_FOUND ? NO_PROGRAM : NOT_EXECUTABLE; /* as a shell would end */
    if (rc != 0) {
        run_launch_finish(&next);
        return rc;
    }
    run_launch_finish(&r->launch);
    r->launch = next;
    r->starts++;
    r->phase = RUNNING;
    return 0;
}

static void begin_restart(struct run *r)
{
    cJSON *paths = NULL;
    struct run_launch probe = {.document = NULL};
    struct cfg_error err;
    r->phase = RUNNING;
    bool due = pending(r, &paths) == 0 && paths->child;
    cJSON_Delete(paths);
    if (!due)
        return;
    /* what cannot be started must not stop what runs */
    int rc = run_launch_make(&probe, r->c, r->ns, r->now, &err);
    run_launch_finish(&probe);
    if (rc != 0) {
        (void)fprintf(stderr, "cfgctl: no restart: %s\n", err.text); /* nobody to tell */
        return;
    }
    r->phase = STOPPING;
    child_signal(&r->child, SIGTERM);
    child_signal(&r->child, SIGCONT); /* a stopped one must hear it */
    arm(r, r->grace_s * 1000);
}

static void on_timer(struct run *r)
{
    uint64_t times;
    if (read(r->timer_fd, &times, sizeof times) != (ssize_t)sizeof times)
        return;
    if (r->phase == WAITING)
        begin_restart(r);
    else if (r->phase == STOPPING)
        child_kill(&r->child);
}

static void on_end(struct run *r)
{
    disarm(r);
    if (r->phase == STOPPING && start(r, &r->failed) == 0) {
        report(r);
        consider(r);
        return;
    }
    r->ended = true;
}

/* It was stopped, by ^Z or a signal: so are we, and go on together. */
static void on_stop(struct run *r)
{
    child_take_terminal(&r->child);
    (void)raise(SIGSTOP); /* cannot fail */
    child_give_terminal(&r->child);
}

static void on_signal(struct run *r, int signal)
{
    if (signal == SIGCHLD) {
        enum child_event e = child_look(&r->child, &r->code);
        if (e == CHILD_ENDED)
            on_end(r);
        else if (e == CHILD_STOPPED)
            on_stop(r);
        return;
    }
    if (signal == SIGTERM || signal == SIGINT || signal == SIGQUIT) {
        disarm(r);
        r->phase = ENDING;
        if (r->asked++ > 0) {
            child_kill(&r->child);
            return;
        }
    }
    child_signal(&r->child, signal);
}

/* --- the loop --- */

static void on_signals(struct run *r)
{
    struct signalfd_siginfo info;
    while (!r->ended && read(r->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        on_signal(r, (int)info.ssi_signo);
}

static int loop(struct run *r, struct cfg_error *err)
{
    struct pollfd fds[] = {{r->signal_fd, POLLIN, 0}, {agent_fd(r->agent), POLLIN, 0}, {r->timer_fd, POLLIN, 0}};
    agent_process(r->agent);
    while (!r->ended) {
        if (poll(fds, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            child_kill(&r->child);
            return cfg_fail(err, CFG_E_IO, "cannot wait: %s", strerrordesc_np(errno));
        }
        if (fds[0].revents)
            on_signals(r);
        if (fds[1].revents)
            agent_process(r->agent);
        if (fds[2].revents && !r->ended)
            on_timer(r);
    }
    return 0;
}

/* --- life --- */

static int open_descriptors(struct run *r, struct cfg_error *err)
{
    static const int taken[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};
    int rc = child_take_signals(&r->signal_fd, &r->setup, taken, sizeof taken / sizeof taken[0], err);
    if (rc == 0 && (r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) < 0)
        rc = cfg_fail(err, CFG_E_IO, "no descriptors: %s", strerrordesc_np(errno));
    return rc;
}

static int first_view(struct run *r, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = view_fetch(r->c, r->c->args[0], &reply, err);
    if (rc == 0)
        rc = view_document(&r->now, cfg_json_get(reply, "view"), err);
    (void)snprintf(r->revision, sizeof r->revision, "%s", cfg_json_get_str(reply, "revision", ""));
    (void)snprintf(r->digest, sizeof r->digest, "%s", cfg_json_get_str(reply, "digest", ""));
    cJSON_Delete(reply);
    return rc;
}

static int follow(struct run *r, struct cfg_error *err)
{
    const struct agent_options o = {.deployment = r->c->args[0],
                                    .role = "run",
                                    .class = "restart",
                                    .document = r->now,
                                    .on_view = on_view,
                                    .on_registered = on_registered,
                                    .arg = r};
    int rc = agent_new(&r->agent, r->c, &o, err);
    if (rc == 0)
        rc = start(r, err);
    return rc == 0 ? loop(r, err) : rc;
}

static int run_all(struct run *r, struct cfg_error *err)
{
    int rc = cli_number(r->c, OPT_GRACE, &r->grace_s, err);
    if (rc == 0)
        rc = cli_number(r->c, OPT_JITTER, &r->jitter_s, err);
    if (rc == 0)
        rc = view_namespace(r->c, r->c->args[0], r->ns, err);
    if (rc == 0)
        rc = first_view(r, err);
    if (rc == 0)
        rc = run_schema(&r->schema, r->c, r->ns, err);
    if (rc == 0)
        rc = open_descriptors(r, err);
    if (rc == 0)
        rc = follow(r, err);
    if (rc == 0 && r->failed.code != 0) {
        *err = r->failed;
        rc = r->failed.code;
    }
    return rc;
}

int cmd_run(struct cli *c, struct cfg_error *err)
{
    struct run r = {.c = c,
                    .signal_fd = -1,
                    .timer_fd = -1,
                    .grace_s = GRACE_S,
                    .failed = CFG_ERROR_INIT,
                    .restart_on_change = cli_has(c, OPT_RESTART_ON_CHANGE)};
    child_note_files(&r.setup);
    r.setup.foreground = true;
    int rc = run_all(&r, err);
    agent_free(r.agent);
    run_launch_finish(&r.launch);
    cJSON_Delete(r.now);
    cfg_schema_free(r.schema);
    if (r.signal_fd >= 0)
        close(r.signal_fd);
    if (r.timer_fd >= 0)
        close(r.timer_fd);
    c->exit_code = r.code;
    return rc;
}
