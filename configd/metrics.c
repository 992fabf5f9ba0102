/* GET /metrics: counters in Prometheus' text format (0.0.4). Names are part of the interface. */
#include "configd/api.h"

#include "configd/http_server.h"

#include <dirent.h>
#include <sys/resource.h>

enum { MAX_METRICS = 4 * 1024 * 1024 };

void cfg_metrics_head(struct cfg_buf *out, const char *name, const char *type, const char *help)
{
    cfg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void cfg_metrics_single(struct cfg_buf *out, const char *name, const char *type, const char *help, double value)
{
    cfg_metrics_head(out, name, type, help);
    cfg_buf_printf(out, "%s %.17g\n", name, value);
}

void cfg_metrics_label(struct cfg_buf *out, const char *value)
{
    cfg_buf_putc(out, '"');
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            cfg_buf_putc(out, '\\');
        cfg_buf_puts(out, *p == '\n' ? "\\n" : "");
        if (*p != '\n')
            cfg_buf_putc(out, *p);
    }
    cfg_buf_putc(out, '"');
}

/* --- HTTP --- */

static const char *pattern_of(const struct cfg_route *routes, size_t n, size_t i, const char **method)
{
    *method = i < n ? routes[i].method : "";
    return i < n ? routes[i].pattern : "none";
}

static void put_requests(struct cfg_buf *out, const struct cfg_http *http, const struct cfg_route *routes, size_t n)
{
    cfg_metrics_head(out, "configd_http_requests_total", "counter", "Requests answered, by route and status.");
    for (size_t i = 0; i <= n; i++) {
        const char *method, *pattern = pattern_of(routes, n, i, &method);
        const struct cfg_http_route_stats *s = cfg_http_stats(http, i);
        for (size_t k = 0; k < sizeof s->codes / sizeof s->codes[0] && s->codes[k].status; k++)
            cfg_buf_printf(out, "configd_http_requests_total{method=\"%s\",route=\"%s\",code=\"%d\"} %llu\n", method,
                           pattern, s->codes[k].status, (unsigned long long)s->codes[k].n);
    }
}

static void put_histogram(struct cfg_buf *out, const struct cfg_http_route_stats *s, const char *method,
                          const char *pattern)
{
    uint64_t n = 0;
    for (size_t b = 0; b <= CFG_HTTP_BUCKETS; b++)
        n += s->buckets[b];
    if (n == 0)
        return;
    uint64_t sum = 0;
    for (size_t b = 0; b < CFG_HTTP_BUCKETS; b++) {
        sum += s->buckets[b];
        cfg_buf_printf(out, "configd_http_request_duration_seconds_bucket{method=\"%s\",route=\"%s\",le=\"%g\"} %llu\n",
                       method, pattern, cfg_http_bucket_s[b], (unsigned long long)sum);
    }
    cfg_buf_printf(out, "configd_http_request_duration_seconds_bucket{method=\"%s\",route=\"%s\",le=\"+Inf\"} %llu\n",
                   method, pattern, (unsigned long long)n);
    cfg_buf_printf(out, "configd_http_request_duration_seconds_sum{method=\"%s\",route=\"%s\"} %.9g\n", method, pattern,
                   (double)s->sum_ns / 1e9);
    cfg_buf_printf(out, "configd_http_request_duration_seconds_count{method=\"%s\",route=\"%s\"} %llu\n", method,
                   pattern, (unsigned long long)n);
}

static void put_http(struct cfg_buf *out, const struct cfg_http *http)
{
    size_t n;
    const struct cfg_route *routes = cfg_api_routes(&n);
    struct cfg_conn_stats conns;
    put_requests(out, http, routes, n);
    cfg_metrics_head(out, "configd_http_request_duration_seconds", "histogram",
                     "From a request read whole to its answer.");
    for (size_t i = 0; i <= n; i++) {
        const char *method, *pattern = pattern_of(routes, n, i, &method);
        put_histogram(out, cfg_http_stats(http, i), method, pattern);
    }
    cfg_conns_stats(cfg_http_conns(http), &conns);
    cfg_metrics_single(out, "configd_http_connections", "gauge", "Open connections, streams not counted.",
                       (double)conns.open);
    cfg_metrics_single(out, "configd_http_connections_total", "counter", "Connections accepted.",
                       (double)conns.accepted);
    cfg_metrics_single(out, "configd_http_timeouts_total", "counter", "Connections dropped as silent, slow or idle.",
                       (double)conns.timed_out);
    cfg_metrics_single(out, "configd_http_evicted_total", "counter", "Connections dropped because descriptors ran out.",
                       (double)conns.made_room);
    cfg_metrics_single(out, "configd_http_unreadable_total", "counter", "Requests that were no HTTP or too large.",
                       (double)conns.refused);
}

/* --- the rest --- */

static void put_replica(struct cfg_buf *out, struct cfg_app *app)
{
    enum cfg_replica_state now = cfg_store_state(app->store, NULL);
    struct cfg_rev rev = cfg_store_rev(app->store);
    cfg_metrics_head(out, "configd_replica_state", "gauge", "1 for the state the replica is in.");
    for (int i = CFG_REPLICA_STARTING; i <= CFG_REPLICA_FOREIGN; i++)
        cfg_buf_printf(out, "configd_replica_state{state=\"%s\"} %d\n",
                       cfg_replica_state_name((enum cfg_replica_state)i), i == (int)now);
    cfg_metrics_single(out, "configd_replica_ready", "gauge", "1 once a whole snapshot is held.",
                       cfg_store_ready(app->store));
    cfg_metrics_single(out, "configd_replica_silence_seconds", "gauge", "Since etcd was last heard from.",
                       (double)cfg_replica_silence_ms(app->replica) / 1000);
    cfg_metrics_single(out, "configd_epoch", "gauge", "Epoch of the store.", (double)rev.epoch);
    cfg_metrics_single(out, "configd_revision", "gauge", "Newest revision the replica shows.", (double)rev.revision);
    cfg_metrics_single(out, "configd_store_rejected_total", "counter",
                       "Records left out because no hand of ours wrote them.",
                       (double)cfg_store_rejected(app->store, NULL));
    cfg_metrics_head(out, "configd_objects", "gauge", "Objects that are not deleted.");
    for (int kind = CFG_KIND_CONFIG; cfg_kind_is_versioned((enum cfg_kind)kind); kind++)
        cfg_buf_printf(out, "configd_objects{kind=\"%s\"} %zu\n", cfg_kind_name((enum cfg_kind)kind),
                       cfg_api_count(app, (enum cfg_kind)kind));
}

static size_t count_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n > 3 ? n - 3 : 0; /* . and .. and the directory itself */
}

static void put_process(struct cfg_buf *out, struct cfg_app *app)
{
    struct rlimit files = {0};
    struct rusage use = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files); /* neither can fail for this process */
    (void)getrusage(RUSAGE_SELF, &use);
    int64_t expiry = cfg_http_tls_expiry(app->http);
    cfg_metrics_head(out, "configd_tls_certificate_expiry_timestamp_seconds", "gauge",
                     "When the certificate towards clients ends, in seconds since 1970; nothing with plain HTTP.");
    if (expiry > 0)
        cfg_buf_printf(out, "configd_tls_certificate_expiry_timestamp_seconds %lld\n", (long long)expiry);
    cfg_metrics_single(out, "process_open_fds", "gauge", "Open descriptors.", (double)count_fds());
    cfg_metrics_single(out, "process_max_fds", "gauge", "Most descriptors this process may open.",
                       (double)files.rlim_cur);
    cfg_metrics_single(out, "process_cpu_seconds_total", "counter", "CPU time spent.",
                       (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    uint64_t up = app->clock->monotonic_ns(app->clock->arg) - app->started_ns;
    cfg_metrics_single(out, "configd_uptime_seconds", "gauge", "Since start.", (double)up / 1e9);
    cfg_metrics_head(out, "configd_build_info", "gauge", "The version that runs.");
    cfg_buf_printf(out, "configd_build_info{version=\"%s\"} 1\n", CFG_VERSION);
}

static void put_streams(struct cfg_buf *out, struct cfg_app *app)
{
    struct cfg_hub_stats s;
    cfg_hub_stats(app->hub, &s);
    cfg_metrics_single(out, "configd_streams", "gauge", "Open event streams.",
                       app->streams ? (double)cfg_streams_count(app->streams) : 0);
    cfg_metrics_single(out, "configd_workers", "gauge", "Workers connected to this replica.",
                       (double)cfg_fleet_connected(app->fleet, NULL));
    cfg_metrics_single(out, "configd_outcomes_left_out_total", "counter",
                       "Outcomes of variants that workers of earlier versions told without parts.",
                       (double)cfg_fleet_outcomes_left_out(app->fleet));
    cfg_metrics_single(out, "configd_subscribers", "gauge", "Streams that follow a deployment.",
                       (double)cfg_hub_subscribers(app->hub));
    cfg_metrics_single(out, "configd_views_total", "counter", "Views built, once per deployment, arm and change.",
                       (double)s.views);
    cfg_metrics_single(out, "configd_frames_total", "counter", "Events given to the streams of deployments.",
                       (double)s.frames);
    cfg_metrics_single(out, "configd_frame_bytes_total", "counter", "Bytes of those events.", (double)s.bytes);
    cfg_metrics_single(out, "configd_skipped_total", "counter",
                       "Times a slow reader was given the newest view at once.", (double)s.skipped);
}

void cfg_api_metrics(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_buf out;
    cfg_buf_init(&out, MAX_METRICS);
    put_http(&out, app->http);
    cfg_metrics_etcd(&out, app);
    put_replica(&out, app);
    put_streams(&out, app);
    cfg_metrics_fleet(&out, app, cfg_call_principal(c));
    cfg_metrics_rollouts(&out, app, cfg_call_principal(c));
    put_process(&out, app);
    cfg_call_reply_bytes(c, 200, "text/plain; version=0.0.4", cfg_buf_slice(&out));
    cfg_buf_finish(&out);
}
