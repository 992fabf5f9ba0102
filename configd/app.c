#include "configd/app.h"

#include "configd/api.h"
#include "configd/embedded.h"
#include "configd/experiment_looks.h"
#include "configd/flag_space.h"
#include "configd/fleet_peers.h"
#include "configd/flip.h"
#include "configd/health.h"
#include "configd/http_server.h"
#include "configd/log.h"
#include "configd/rollout_counts.h"
#include "configd/rollouts.h"
#include "configd/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DRAIN_MS = 3000, DRAIN_STEP_MS = 10 };

/* --- parts --- */

static int read_password(char **out, const char *path, struct cfg_error *err)
{
    char line[1024];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return cfg_fail(err, CFG_E_IO, "cannot read --etcd-password-file %s: %s", path, strerrordesc_np(errno));
    bool read = fgets(line, sizeof line, f) != NULL;
    (void)fclose(f); /* only read from */
    line[read ? strcspn(line, "\r\n") : 0] = '\0';
    if (line[0] == '\0')
        return cfg_fail(err, CFG_E_INVALID, "--etcd-password-file %s is empty", path);
    *out = cfg_slice_dup(cfg_slice_str(line));
    return *out ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int make_etcd(struct cfg_app *app, struct cfg_error *err)
{
    const struct cfg_settings *s = app->settings;
    const char *own[1];
    struct cfg_etcd_options o = {.endpoints = (const char *const *)s->etcd.items,
                                 .n_endpoints = s->etcd.n,
                                 .user = s->etcd_user,
                                 .ca_file = s->etcd_ca,
                                 .cert_file = s->etcd_cert,
                                 .key_file = s->etcd_key};
    int rc = 0;
    if (s->etcd.n == 0) {
        struct cfg_embedded_options e = {.dir = s->embedded_etcd, .etcd_binary = s->etcd_binary};
        rc = cfg_embedded_start(&app->embedded, app->loop, &e, err);
        if (rc != 0)
            return rc;
        own[0] = cfg_embedded_endpoint(app->embedded);
        o.endpoints = own;
        o.n_endpoints = 1;
    }
    if (s->etcd_password_file)
        rc = read_password(&app->password, s->etcd_password_file, err);
    o.password = app->password;
    rc = rc ? rc : cfg_etcd_new(&app->etcd, app->loop, &o, err);
    const struct cfg_health_options h = {app->loop, app->etcd, app->clock, &o, 0};
    return rc ? rc : cfg_health_new(&app->health, &h, err);
}

static int make_core(struct cfg_app *app, struct cfg_error *err)
{
    const struct cfg_settings *s = app->settings;
    int rc = cfg_store_new(&app->store, err);
    if (rc == 0)
        rc = cfg_flag_spaces_new(&app->flags, app->store, err); /* hears of changes before those who evaluate */
    if (rc == 0)
        rc = cfg_replica_new(&app->replica, app->loop, app->etcd, s->prefix, app->clock, cfg_store_sink(app->store),
                             err);
    struct cfg_service_options o = {.loop = app->loop,
                                    .etcd = app->etcd,
                                    .store = app->store,
                                    .clock = app->clock,
                                    .prefix = s->prefix,
                                    .history_versions = s->history_versions,
                                    .history_days = s->history_days};
    if (rc == 0)
        rc = cfg_service_new(&app->service, &o, err);
    if (rc == 0)
        rc = cfg_hub_new(&app->hub, app->loop, app->store, app->service, err);
    return rc;
}

static int make_http(struct cfg_app *app, struct cfg_error *err)
{
    const struct cfg_settings *s = app->settings;
    struct cfg_http_options o = {.loop = app->loop,
                                 .clock = app->clock,
                                 .app = app,
                                 .listen = s->listen,
                                 .tls_cert = s->tls_cert,
                                 .tls_key = s->tls_key,
                                 .tokens_file = s->tokens,
                                 .allowed_host = (const char *const *)s->allowed_host.items,
                                 .n_allowed_host = s->allowed_host.n,
                                 .advertise = s->advertise,
                                 .limits = {.large_request = "POST /v1/restore ", .large_body = CFG_LIMIT_RESTORE},
                                 .decorate = cfg_api_decorate,
                                 .deployment_config = cfg_api_deployment_config};
    o.routes = cfg_api_routes(&o.n_routes);
    return cfg_http_new(&app->http, &o, err);
}

/* "gpu-7-7117": stable over restarts, different for two daemons of one machine. */
static void name_replica(struct cfg_app *app)
{
    if (app->settings->replica_id) {
        (void)snprintf(app->replica_id, sizeof app->replica_id, "%s", app->settings->replica_id);
        return;
    }
    char host[48] = "";
    (void)gethostname(host, sizeof host - 1);
    for (char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            *p = '-';
    const char *port = strrchr(cfg_http_url(app->http), ':') + 1;
    (void)snprintf(app->replica_id, sizeof app->replica_id, "%s-%s", isalnum((unsigned char)host[0]) ? host : "configd",
                   port);
}

static int make_fleet(struct cfg_app *app, struct cfg_error *err)
{
    const struct cfg_settings *s = app->settings;
    struct cfg_fleet_options f = {.loop = app->loop,
                                  .etcd = app->etcd,
                                  .store = app->store,
                                  .hub = app->hub,
                                  .clock = app->clock,
                                  .prefix = s->prefix,
                                  .replica_id = app->replica_id,
                                  .advertise_url = s->advertise ? s->advertise : cfg_http_url(app->http)};
    const struct cfg_flips_options flips = {.loop = app->loop,
                                            .etcd = app->etcd,
                                            .store = app->store,
                                            .service = app->service,
                                            .clock = app->clock,
                                            .prefix = s->prefix,
                                            .replica_id = app->replica_id};
    int rc = cfg_fleet_new(&app->fleet, &f, err);
    if (rc == 0)
        cfg_service_set_crew(app->service, cfg_fleet_crew(app->fleet));
    const struct cfg_peers_options peers = {.loop = app->loop, .fleet = app->fleet, .ca_file = s->peer_ca};
    rc = rc ? rc : cfg_peers_new(&app->peers, &peers, err);
    rc = rc ? rc : cfg_flips_new(&app->flips, &flips, err);
    const struct cfg_rollouts_options rollouts = {.loop = app->loop,
                                                  .etcd = app->etcd,
                                                  .store = app->store,
                                                  .service = app->service,
                                                  .fleet = app->fleet,
                                                  .clock = app->clock,
                                                  .prefix = s->prefix,
                                                  .replica_id = app->replica_id};
    rc = rc ? rc : cfg_rollouts_new(&app->rollouts, &rollouts, err);
    const struct cfg_experiments_options experiments = {.loop = app->loop,
                                                        .etcd = app->etcd,
                                                        .store = app->store,
                                                        .fleet = app->fleet,
                                                        .clock = app->clock,
                                                        .prefix = s->prefix,
                                                        .replica_id = app->replica_id};
    rc = rc ? rc : cfg_experiments_new(&app->experiments, &experiments, err);
    app->rollout_counts = rc == 0 ? cfg_rollout_counts_new(app->store) : NULL;
    app->experiment_looks = rc == 0 ? cfg_experiment_looks_new(app->experiments, app->clock) : NULL;
    if (rc == 0 && (app->rollout_counts == NULL || app->experiment_looks == NULL))
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    struct cfg_streams_options o = {.loop = app->loop,
                                    .store = app->store,
                                    .replica = app->replica,
                                    .hub = app->hub,
                                    .fleet = app->fleet,
                                    .clock = app->clock,
                                    .heartbeat_ms = s->heartbeat_s * 1000,
                                    .age_ms = s->stream_age_s * 1000};
    return rc ? rc : cfg_streams_new(&app->streams, &o, err);
}

/* --- what the operator is told --- */

static void announce_ready(struct cfg_app *app)
{
    char rev[CFG_REV_TEXT];
    if (app->announced || !cfg_store_ready(app->store))
        return;
    app->announced = true;
    struct cfg_error err;
    if (cfg_embedded_served(app->embedded, &err) != 0) {
        cfg_log_error(app->log, CFG_LOG_ERROR, "the embedded etcd's directory", &err);
        app->failed = true;
        cfg_loop_stop(app->loop);
        return;
    }
    (void)fprintf(app->out, "ready: store %s, revision %s, %zu namespaces\n", cfg_store_identity(app->store)->store_id,
                  cfg_rev_format(cfg_store_rev(app->store), rev), cfg_api_count(app, CFG_KIND_CONFIG));
    (void)fflush(app->out);
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)rev;
    (void)changes;
    (void)n;
    if (full)
        announce_ready(arg);
}

static void on_state(void *arg, enum cfg_replica_state state)
{
    struct cfg_app *app = arg;
    const struct cfg_error *why = NULL;
    char rev[CFG_REV_TEXT];
    (void)cfg_store_state(app->store, &why);
    if (why && why->text[0])
        cfg_log_error(app->log, CFG_LOG_WARN, cfg_replica_state_name(state), why);
    else if (state == CFG_REPLICA_LIVE)
        cfg_log(app->log, CFG_LOG_INFO, "replica is live at %s", cfg_rev_format(cfg_store_rev(app->store), rev));
    else
        cfg_log(app->log, CFG_LOG_INFO, "replica is %s", cfg_replica_state_name(state));
    announce_ready(app);
}

/* --- life --- */

int cfg_app_new(struct cfg_app **out, const struct cfg_settings *settings, struct cfg_log *log, FILE *stdout_file,
                struct cfg_error *err)
{
    struct cfg_app *app = calloc(1, sizeof *app);
    if (app == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    app->settings = settings;
    app->log = log;
    app->out = stdout_file;
    app->clock = &cfg_clock_system;
    app->started_ns = app->clock->monotonic_ns(app->clock->arg);
    int rc = cfg_loop_new(&app->loop, err);
    if (rc == 0)
        rc = make_http(app, err); /* first: what is wrong with the command line shows before etcd is started */
    if (rc == 0)
        name_replica(app);
    rc = rc ? rc : make_etcd(app, err);
    rc = rc ? rc : make_core(app, err);
    rc = rc ? rc : make_fleet(app, err);
    if (rc != 0) {
        cfg_app_free(app);
        return rc;
    }
    app->listener = (struct cfg_store_listener){.changed = on_changed, .state = on_state, .arg = app};
    cfg_store_listen(app->store, &app->listener);
    *out = app;
    return 0;
}

bool cfg_app_run(struct cfg_app *app)
{
    cfg_replica_start(app->replica);
    cfg_http_start(app->http);
    (void)fprintf(app->out, "configd %s listening on %s\n", CFG_VERSION, cfg_http_url(app->http));
    (void)fflush(app->out);
    cfg_log(app->log, CFG_LOG_INFO, "replica %s, prefix %s, %s", app->replica_id, app->settings->prefix,
            app->embedded ? app->settings->embedded_etcd : app->settings->etcd.items[0]);
    cfg_loop_run(app->loop);
    return !app->failed;
}

static void on_drain(void *arg)
{
    struct cfg_app *app = arg;
    bool late = app->clock->monotonic_ns(app->clock->arg) >= app->drain_until_ns;
    if (late || cfg_http_busy(app->http) == 0)
        cfg_loop_stop(app->loop);
    else
        cfg_timer_start(app->drain, DRAIN_STEP_MS);
}

void cfg_app_stop(struct cfg_app *app)
{
    if (app->stopping) {
        cfg_loop_stop(app->loop);
        return;
    }
    app->stopping = true;
    cfg_log(app->log, CFG_LOG_INFO, "stopping: %zu streams, %zu requests", cfg_streams_count(app->streams),
            cfg_http_busy(app->http));
    cfg_http_stop(app->http);
    cfg_fleet_leave(app->fleet);
    cfg_streams_free(app->streams);
    app->streams = NULL;
    app->drain_until_ns = app->clock->monotonic_ns(app->clock->arg) + DRAIN_MS * 1000000ull;
    app->drain = cfg_timer_new(app->loop, on_drain, app);
    if (app->drain)
        on_drain(app);
    else
        cfg_loop_stop(app->loop);
}

void cfg_app_reload(struct cfg_app *app)
{
    struct cfg_error err;
    if (cfg_http_reload(app->http, &err) != 0)
        cfg_log_error(app->log, CFG_LOG_ERROR, "reload: kept the old tokens and certificates", &err);
    else
        cfg_log(app->log, CFG_LOG_INFO, "reloaded: %zu tokens", cfg_http_tokens(app->http));
}

void cfg_app_free(struct cfg_app *app)
{
    if (app == NULL)
        return;
    cfg_streams_free(app->streams);
    if (app->service)
        cfg_service_set_crew(app->service, NULL);
    cfg_peers_free(app->peers); /* calls that wait for it are dropped by the HTTP edge */
    cfg_experiments_free(app->experiments);
    cfg_experiment_looks_free(app->experiment_looks);
    cfg_rollout_counts_free(app->rollout_counts);
    cfg_rollouts_free(app->rollouts);
    cfg_fleet_free(app->fleet);
    cfg_flips_free(app->flips);
    cfg_hub_free(app->hub);
    cfg_service_free(app->service); /* answers what is under way */
    if (app->listener.arg)
        cfg_store_unlisten(app->store, &app->listener);
    cfg_replica_free(app->replica);
    cfg_health_free(app->health);
    cfg_etcd_free(app->etcd); /* answers calls that wait for it: they must be there still */
    cfg_http_free(app->http);
    cfg_flag_spaces_free(app->flags);
    cfg_store_free(app->store);
    cfg_timer_free(app->drain);
    cfg_embedded_stop(app->embedded);
    cfg_loop_free(app->loop);
    if (app->password)
        explicit_bzero(app->password, strlen(app->password));
    free(app->password);
    free(app);
}
