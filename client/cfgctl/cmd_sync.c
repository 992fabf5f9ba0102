/* sync: a file that follows a deployment, for programs that read files.
 *
 * One view at a time is applied: the file is replaced whole, then the command runs; only when it has ended with 0 is
 * the view reported as applied. A failure is reported as a rejection and tried again, ever more slowly, until it
 * succeeds or a newer view takes its place. While configd is away the last good file simply stays. One loop over
 * signals, session and one timer, which brings the next try or, while the command runs, the end of its time. */
#include "client/cfgctl/agent.h"
#include "client/cfgctl/child.h"
#include "client/cfgctl/commands.h"
#include "client/cfgctl/file_replace.h"
#include "client/cfgctl/run_plan.h"
#include "client/cfgctl/view.h"
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

enum { BACKOFF_MIN_MS = 500, BACKOFF_MAX_MS = 60000, DOUBLINGS = 8, STOP_MS = 10000, TEXT_MAX = 1 << 26 };

/* A view as the file shall have it. */
struct target {
    char revision[64], digest[80];
    struct cfg_buf text; /* empty: there is none */
    mode_t mode;         /* of a new file */
    bool wanted;
};

struct sync {
    struct cli *c;
    struct agent *agent; /* NULL with --once */
    char ns[CFG_LIMIT_NAME + 1];
    enum view_format format;
    struct target next;                 /* to be applied; a newer view takes its place */
    char active[64], active_digest[80]; /* the view whose command runs */
    char applied[64], applied_digest[80];
    char rejected[64], reason[sizeof((struct cfg_error *)0)->text]; /* "": nothing */
    uint64_t count, retries, limit_s;
    bool bounded; /* by retries */
    unsigned attempts;
    struct child child;
    struct child_setup setup; /* the terminal stays ours: ^C ends us, and the command with us */
    int signal_fd, timer_fd, code;
    bool stopping, ended;
};

static void say(const char *text)
{
    (void)fprintf(stderr, "cfgctl: %s\n", text); /* nobody to tell */
}

static void arm(struct sync *s, uint64_t ms)
{
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}};
    (void)timerfd_settime(s->timer_fd, 0, &spec, NULL); /* valid by construction; 0 disarms */
}

static void report(struct sync *s)
{
    struct cfg_error err;
    const struct agent_report r = {.revision = s->applied[0] ? s->applied : NULL,
                                   .digest = s->applied_digest,
                                   .step = s->count,
                                   .reject = s->rejected[0] ? s->rejected : NULL,
                                   .reason = s->reason};
    if (s->agent && agent_report(s->agent, &r, &err) != 0)
        say(err.text);
}

/* --- applying --- */

static void apply(struct sync *s);

static void succeeded(struct sync *s)
{
    (void)snprintf(s->applied, sizeof s->applied, "%s", s->active);
    (void)snprintf(s->applied_digest, sizeof s->applied_digest, "%s", s->active_digest);
    s->rejected[0] = '\0';
    s->attempts = 0;
    s->count++;
    if (strcmp(s->next.revision, s->active) == 0)
        s->next.wanted = false;
    report(s);
    if (s->agent == NULL)
        s->ended = true;
    apply(s);
}

/* Half to all of a time that doubles with every failure. */
static uint64_t backoff(const struct sync *s)
{
    uint32_t x = 0;
    unsigned doublings = s->attempts - 1 < DOUBLINGS ? s->attempts - 1 : DOUBLINGS;
    uint64_t ms = (uint64_t)BACKOFF_MIN_MS << doublings;
    ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
    (void)getrandom(&x, sizeof x, 0); /* 0 will do */
    return ms / 2 + x % (ms / 2 + 1);
}

static void failed(struct sync *s, const char *reason)
{
    (void)snprintf(s->rejected, sizeof s->rejected, "%s", s->active);
    (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
    report(s);
    if (strcmp(s->next.revision, s->active) != 0) { /* a newer one waits */
        s->attempts = 0;
        say(reason);
        apply(s);
        return;
    }
    s->attempts++;
    if (s->bounded && s->attempts > s->retries) {
        (void)fprintf(stderr, "cfgctl: %s: %s; given up\n", s->active, reason); /* nobody to tell */
        s->next.wanted = false;
        s->ended = s->agent == NULL;
        return;
    }
    uint64_t ms = backoff(s);
    (void)fprintf(stderr, "cfgctl: %s: %s; tried again in %.1f s\n", s->active, reason,
                  (double)ms / 1000); /* as above */
    arm(s, ms);
}

static int start_command(struct sync *s, struct cfg_error *err)
{
    char shell[] = "/bin/sh", option[] = "-c", *command = strdup(cli_value(s->c, OPT_EXEC)), **envp = NULL;
    char *argv[] = {shell, option, command, NULL};
    cJSON *variables = cJSON_CreateObject();
    int rc = command && variables && cJSON_AddStringToObject(variables, "CONFIGD_FILE", cli_value(s->c, OPT_OUT)) &&
                     cJSON_AddStringToObject(variables, "CONFIGD_REVISION", s->active) &&
                     cJSON_AddStringToObject(variables, "CONFIGD_DEPLOYMENT", s->c->args[0])
                 ? run_environment(&envp, environ, variables, err)
                 : cli_no_memory(err);
    if (rc == 0)
        rc = child_start(&s->child, argv, envp, &s->setup, err);
    if (rc == 0)
        arm(s, s->limit_s * 1000);
    cJSON_Delete(variables);
    run_strings_free(envp);
    free(command);
    return rc;
}

static void apply(struct sync *s)
{
    struct cfg_error err = CFG_ERROR_INIT;
    if (!s->next.wanted || s->child.pid > 0 || s->stopping || s->ended)
        return;
    arm(s, 0);
    (void)snprintf(s->active, sizeof s->active, "%s", s->next.revision);
    (void)snprintf(s->active_digest, sizeof s->active_digest, "%s", s->next.digest);
    int rc = file_replace(cli_value(s->c, OPT_OUT), cfg_buf_slice(&s->next.text), s->next.mode, &err);
    s->code = rc == 0 ? 0 : cfg_code_exit(rc);
    if (rc == 0 && cli_has(s->c, OPT_EXEC) && (rc = start_command(s, &err)) == 0)
        return; /* its end says how it went */
    if (rc == 0)
        succeeded(s);
    else
        failed(s, err.text);
}

static void want(struct sync *s, const cJSON *view, const char *revision, const char *digest)
{
    struct cfg_error err;
    struct cfg_buf text;
    cJSON *document = NULL;
    cfg_buf_init(&text, TEXT_MAX);
    int rc = view_document(&document, view, &err);
    if (rc == 0 && s->agent)
        rc = agent_declare(s->agent, document, &err);
    if (rc == 0)
        rc = view_print(&text, s->format, s->ns, document, &err);
    bool reads = s->format == VIEW_ENV || s->format == VIEW_DOTENV;
    mode_t mode = reads && document ? view_file_mode(document) : 0644;
    cJSON_Delete(document);
    if (rc != 0) {
        cfg_buf_finish(&text);
        (void)snprintf(s->rejected, sizeof s->rejected, "%s", revision);
        (void)snprintf(s->reason, sizeof s->reason, "%s", err.text);
        say(err.text);
        report(s);
        s->code = cfg_code_exit(rc);
        s->ended = s->agent == NULL;
        return;
    }
    cfg_buf_finish(&s->next.text);
    s->next.text = text;
    s->next.mode = mode;
    s->next.wanted = true;
    (void)snprintf(s->next.revision, sizeof s->next.revision, "%s", revision);
    (void)snprintf(s->next.digest, sizeof s->next.digest, "%s", digest);
    s->attempts = 0;
    apply(s);
}

static void on_view(void *arg, const cJSON *view, const char *revision, const char *digest)
{
    want(arg, view, revision, digest);
}

static void on_registered(void *arg)
{
    report(arg);
}

/* --- events --- */

static void on_command_end(struct sync *s)
{
    char reason[64];
    arm(s, 0);
    if (s->code == 0) {
        succeeded(s);
    } else {
        (void)snprintf(reason, sizeof reason,
                       s->code > 128 ? "the command ended by signal %d" : "the command ended with %d",
                       s->code > 128 ? s->code - 128 : s->code);
        failed(s, reason);
    }
    s->ended = s->ended || s->stopping;
}

static void on_signal(struct sync *s, int signal)
{
    if (signal == SIGCHLD) {
        if (child_look(&s->child, &s->code) == CHILD_ENDED)
            on_command_end(s);
        return;
    }
    if (s->stopping)
        child_kill(&s->child);
    s->stopping = true;
    s->ended = s->child.pid == 0;
    child_signal(&s->child, SIGTERM);
    arm(s, STOP_MS);
}

static void on_signals(struct sync *s)
{
    struct signalfd_siginfo info;
    while (!s->ended && read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        on_signal(s, (int)info.ssi_signo);
}

static void on_timer(struct sync *s)
{
    uint64_t times;
    if (read(s->timer_fd, &times, sizeof times) != (ssize_t)sizeof times)
        return;
    if (s->child.pid > 0)
        child_kill(&s->child); /* its end is seen as a failure */
    else
        apply(s);
}

static int loop(struct sync *s, struct cfg_error *err)
{
    struct pollfd fds[] = {{s->signal_fd, POLLIN, 0}, {s->timer_fd, POLLIN, 0}, {-1, POLLIN, 0}};
    if (s->agent) {
        fds[2].fd = agent_fd(s->agent);
        agent_process(s->agent);
    }
    while (!s->ended) {
        if (poll(fds, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return cfg_fail(err, CFG_E_IO, "cannot wait: %s", strerrordesc_np(errno));
        }
        if (fds[0].revents)
            on_signals(s);
        if (fds[1].revents && !s->ended)
            on_timer(s);
        if (fds[2].revents && !s->ended)
            agent_process(s->agent);
    }
    return 0;
}

/* --- life --- */

static int read_options(struct sync *s, struct cfg_error *err)
{
    const char *format = cli_value(s->c, OPT_FORMAT);
    bool once = cli_has(s->c, OPT_ONCE);
    if (!cli_has(s->c, OPT_OUT)) {
        cfg_fail(err, CFG_E_INVALID, "which file shall follow %s?", s->c->args[0]);
        cfg_error_set_hint(err, "cfgctl sync %s --out view.json", s->c->args[0]);
        return CFG_E_INVALID;
    }
    if (!view_format_parse(&s->format, format ? format : "json"))
        return cfg_fail(err, CFG_E_INTERNAL, "no format %s", format);
    s->bounded = once || cli_has(s->c, OPT_RETRY);
    int rc = cli_number(s->c, OPT_RETRY, &s->retries, err);
    return rc == 0 ? cli_number(s->c, OPT_TIMEOUT, &s->limit_s, err) : rc;
}

static int open_descriptors(struct sync *s, struct cfg_error *err)
{
    static const int taken[] = {SIGTERM, SIGINT, SIGHUP};
    int rc = child_take_signals(&s->signal_fd, &s->setup, taken, sizeof taken / sizeof taken[0], err);
    if (rc == 0 && (s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) < 0)
        rc = cfg_fail(err, CFG_E_IO, "no descriptors: %s", strerrordesc_np(errno));
    return rc;
}

static int begin_once(struct sync *s, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = view_fetch(s->c, s->c->args[0], &reply, err);
    if (rc == 0)
        want(s, cfg_json_get(reply, "view"), cfg_json_get_str(reply, "revision", "?"),
             cfg_json_get_str(reply, "digest", ""));
    cJSON_Delete(reply);
    return rc;
}

/* Whoever registers tells writers what it reads, and that is whatever the view has. Without a server nothing is known
 * yet, and the session waits for one. */
static int follow(struct sync *s, struct cfg_error *err)
{
    cJSON *reply = NULL, *document = NULL;
    int rc = view_fetch(s->c, s->c->args[0], &reply, err);
    if (rc == CFG_E_NOT_FOUND) /* more likely misspelt than made later */
        return rc;
    if (rc != 0 || view_document(&document, cfg_json_get(reply, "view"), err) != 0)
        document = NULL; /* why not is said when the session's first view arrives */
    cJSON_Delete(reply);
    const struct agent_options o = {.deployment = s->c->args[0],
                                    .role = "sync",
                                    .class = "live",
                                    .document = document,
                                    .on_view = on_view,
                                    .on_registered = on_registered,
                                    .arg = s};
    rc = agent_new(&s->agent, s->c, &o, err);
    cJSON_Delete(document);
    return rc;
}

static int sync_all(struct sync *s, struct cfg_error *err)
{
    int rc = read_options(s, err);
    if (rc == 0 && (s->format == VIEW_ENV || s->format == VIEW_DOTENV)) /* they name variables after it */
        rc = view_namespace(s->c, s->c->args[0], s->ns, err);
    if (rc == 0)
        rc = open_descriptors(s, err);
    if (rc == 0)
        rc = cli_has(s->c, OPT_ONCE) ? begin_once(s, err) : follow(s, err);
    return rc == 0 ? loop(s, err) : rc;
}

int cmd_sync(struct cli *c, struct cfg_error *err)
{
    struct sync s = {.c = c, .signal_fd = -1, .timer_fd = -1};
    child_note_files(&s.setup);
    int rc = sync_all(&s, err);
    agent_free(s.agent);
    cfg_buf_finish(&s.next.text);
    if (s.signal_fd >= 0)
        close(s.signal_fd);
    if (s.timer_fd >= 0)
        close(s.timer_fd);
    if (rc == 0 && cli_has(c, OPT_ONCE))
        c->exit_code = s.code;
    return rc;
}
