/* configd: reads its settings, puts the daemon together, runs it, takes it apart. See app.h for the parts. */
#include "configd/app.h"
#include "configd/log.h"
#include "configd/settings.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

extern char **environ;

static int complain(const struct cfg_error *err)
{
    (void)fprintf(stderr, "configd: %s\n", err->text);
    if (err->hint[0])
        (void)fprintf(stderr, "  %s\n", err->hint);
    bool usage = err->code == CFG_E_INVALID || err->code == CFG_E_ADDRESS || err->code == CFG_E_FORBIDDEN;
    return usage ? EXIT_USAGE : EXIT_FAILURE;
}

static int tell(void (*print)(struct cfg_buf *out))
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    print(&text);
    size_t written = fwrite(text.data, 1, text.len, stdout);
    int rc = written == text.len && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    cfg_buf_finish(&text);
    return rc;
}

/* Without --etcd and --embedded-etcd: a store of this user's own. */
static int choose_store(struct cfg_settings *s, struct cfg_error *err)
{
    if (s->etcd.n > 0 || s->embedded_etcd)
        return 0;
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct cfg_buf dir;
    cfg_buf_init(&dir, 4096);
    if (state && state[0] == '/')
        cfg_buf_printf(&dir, "%s/configd", state);
    else if (home && home[0] == '/')
        cfg_buf_printf(&dir, "%s/.local/state/configd", home);
    else
        return cfg_fail(err, CFG_E_INVALID,
                        "no --etcd, no --embedded-etcd, and neither HOME nor XDG_STATE_HOME is set");
    s->embedded_etcd = cfg_buf_steal(&dir);
    return s->embedded_etcd ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* Every stream is a descriptor: take as many as this process may have. */
static void raise_limits(struct cfg_log *log)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        cfg_log(log, CFG_LOG_WARN, "cannot raise the limit of open files: %s", strerrordesc_np(errno));
    else
        cfg_log(log, CFG_LOG_DEBUG, "up to %llu open files", (unsigned long long)files.rlim_cur);
}

static void on_stop(evutil_socket_t signal, short what, void *app)
{
    (void)signal;
    (void)what;
    cfg_app_stop(app);
}

static void on_hangup(evutil_socket_t signal, short what, void *app)
{
    (void)signal;
    (void)what;
    cfg_app_reload(app);
}

static int run(struct cfg_app *app)
{
    /* What holds again once the loop has ended: nothing may interrupt taking the daemon apart. */
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    struct event_base *base = cfg_loop_base(app->loop);
    struct event *events[] = {evsignal_new(base, SIGTERM, on_stop, app), evsignal_new(base, SIGINT, on_stop, app),
                              evsignal_new(base, SIGHUP, on_hangup, app)};
    enum { EVENTS = sizeof events / sizeof events[0] };
    bool ok = true;
    for (int i = 0; i < EVENTS; i++)
        ok = ok && events[i] && event_add(events[i], NULL) == 0;
    if (ok)
        ok = cfg_app_run(app);
    for (int i = 0; i < EVENTS; i++)
        if (events[i])
            event_free(events[i]);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct cfg_settings settings = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_log log;
    struct cfg_app *app = NULL;

    if (cfg_settings_read(&settings, argc - 1, (const char *const *)argv + 1, (const char *const *)environ, &err) != 0)
        return complain(&err);
    int rc = EXIT_SUCCESS;
    if (settings.help) {
        rc = tell(cfg_settings_help);
    } else if (settings.version) {
        rc = puts("configd " CFG_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    } else if (choose_store(&settings, &err) != 0) {
        rc = complain(&err);
    } else {
        cfg_log_init(&log, stderr, &cfg_clock_system, settings.log_level, settings.log_format);
        (void)signal(SIGPIPE, SIG_IGN); /* a peer that has gone is an error of write, not the end */
        raise_limits(&log);
        rc = cfg_app_new(&app, &settings, &log, stdout, &err) == 0 ? run(app) : complain(&err);
        cfg_app_free(app);
    }
    cfg_settings_finish(&settings);
    return rc;
}
