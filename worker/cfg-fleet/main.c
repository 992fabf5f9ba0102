/* cfg-fleet: thousands of simulated workers in one process, the load generator for tests, benchmarks and demos. */
#include "worker/cfg-fleet/output.h"
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

/* SIGINT and SIGTERM come only where the loop waits, so none is missed between a look and a wait. */
static void install_signals(sigset_t *wait_mask)
{
    struct sigaction a;
    sigset_t ours;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    (void)sigaction(SIGTERM, &a, NULL);
    (void)sigaction(SIGINT, &a, NULL);
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
    (void)sigemptyset(&ours);
    (void)sigaddset(&ours, SIGTERM);
    (void)sigaddset(&ours, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ours, wait_mask);
    (void)sigdelset(wait_mask, SIGTERM);
    (void)sigdelset(wait_mask, SIGINT);
}

static int complain(const struct cfg_error *err)
{
    (void)fprintf(stderr, "cfg-fleet: %s%s%s\n", err->text, err->hint[0] != '\0' ? "; " : "", err->hint);
    return cfg_code_exit(err->code);
}

int main(int argc, char **argv)
{
    static struct cfg_fleet_options o;
    static struct cfg_fleet f;
    struct cfg_error err = CFG_ERROR_INIT;
    sigset_t wait_mask;
    if (cfg_fleet_options_read(&o, argc, argv, &err) != 0) {
        (void)complain(&err);
        return 2;
    }
    if (o.help) {
        cfg_fleet_options_help();
        return 0;
    }
    if (o.version) {
        (void)puts("cfg-fleet " CFG_VERSION);
        return 0;
    }
    install_signals(&wait_mask);
    struct cfg_fleet_printer p = {
        .out = stdout, .progress = isatty(2) ? stderr : NULL, .output = o.output, .quiet = o.quiet};
    const struct cfg_fleet_watcher watcher = cfg_fleet_printer_watcher(&p);
    int rc = cfg_fleet_init(&f, &o, &err);
    rc = rc != 0 ? rc : cfg_fleet_run(&f, &watcher, &stopping, &wait_mask, &err);
    int status = rc != 0 ? complain(&err) : 0;
    if (rc == 0) {
        cfg_fleet_print_summary(&p, &f);
    }
    cfg_fleet_finish(&f);
    cfg_fleet_options_finish(&o);
    return status;
}
