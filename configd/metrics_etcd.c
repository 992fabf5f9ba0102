/* /metrics about etcd: what requests came to, and how each member was when it was last asked. */
#include "configd/api.h"
#include "configd/health.h"

#include <string.h>

static void put_requests(struct cfg_buf *out, const struct cfg_app *app)
{
    struct cfg_etcd_stats s;
    cfg_etcd_stats(app->etcd, &s);
    cfg_metrics_single(out, "configd_etcd_requests_total", "counter", "Requests to etcd.", (double)s.requests);
    cfg_metrics_single(out, "configd_etcd_failures_total", "counter", "Requests to etcd that failed.",
                       (double)s.failures);
    cfg_metrics_single(out, "configd_etcd_retries_total", "counter", "Requests to etcd sent again.", (double)s.retries);
    cfg_metrics_single(out, "configd_etcd_rotations_total", "counter", "Changes to another etcd member.",
                       (double)s.rotations);
    cfg_metrics_single(out, "configd_etcd_auth_renewals_total", "counter", "Tokens of etcd renewed.",
                       (double)s.auth_renewals);
}

/* One gauge per endpoint that was asked; of those that did not answer only whether they did. */
static void put_endpoints(struct cfg_buf *out, const struct cfg_health_facts *f, const char *name, const char *help,
                          double (*value)(const struct cfg_health_endpoint *e), bool of_all)
{
    cfg_metrics_head(out, name, "gauge", help);
    for (size_t i = 0; i < f->n_endpoints; i++) {
        const struct cfg_health_endpoint *e = &f->endpoints[i];
        if (!e->asked || !(e->ok || of_all))
            continue;
        cfg_buf_printf(out, "%s{endpoint=", name);
        cfg_metrics_label(out, e->name);
        cfg_buf_printf(out, "} %.17g\n", value(e));
    }
}

static double is_up(const struct cfg_health_endpoint *e)
{
    return e->ok;
}

static double latency_of(const struct cfg_health_endpoint *e)
{
    return e->latency_s;
}

static double size_of(const struct cfg_health_endpoint *e)
{
    return (double)e->status.db_size;
}

static double used_of(const struct cfg_health_endpoint *e)
{
    return (double)e->status.db_size_in_use;
}

static double has_leader(const struct cfg_health_endpoint *e)
{
    return e->status.leader != 0;
}

static void put_alarms(struct cfg_buf *out, const cJSON *alarms)
{
    static const char *const names[] = {"NOSPACE", "CORRUPT"};
    const cJSON *a;
    cfg_metrics_head(out, "configd_etcd_alarms", "gauge", "Members of etcd that have raised an alarm.");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsigned n = 0;
        cJSON_ArrayForEach(a, alarms)
        {
            n += strcmp(cfg_json_get_str(a, "alarm", ""), names[i]) == 0;
        }
        cfg_buf_printf(out, "configd_etcd_alarms{alarm=\"%s\"} %u\n", names[i], n);
    }
}

void cfg_metrics_etcd(struct cfg_buf *out, const struct cfg_app *app)
{
    const struct cfg_health_facts f = cfg_health_facts(app->health);
    put_requests(out, app);
    if (f.checked_ns == 0)
        return; /* nothing is known of it yet */
    put_endpoints(out, &f, "configd_etcd_up", "1 for a member of --etcd that answered when it was last asked.", is_up,
                  true);
    put_endpoints(out, &f, "configd_etcd_latency_seconds", "How long it took to answer.", latency_of, false);
    put_endpoints(out, &f, "configd_etcd_has_leader", "1 when it knows a leader.", has_leader, false);
    put_endpoints(out, &f, "configd_etcd_db_size_bytes", "Size of its database on disk.", size_of, false);
    put_endpoints(out, &f, "configd_etcd_db_in_use_bytes", "The part of it that is in use.", used_of, false);
    if (f.quota_bytes > 0)
        cfg_metrics_single(out, "configd_etcd_db_quota_bytes", "gauge",
                           "Size at which etcd refuses writes (--quota-backend-bytes).", f.quota_bytes);
    if (f.members)
        cfg_metrics_single(out, "configd_etcd_members", "gauge", "Members of the cluster.",
                           cJSON_GetArraySize(f.members));
    if (f.alarms)
        put_alarms(out, f.alarms);
    uint64_t age_ns = app->clock->monotonic_ns(app->clock->arg) - f.checked_ns;
    cfg_metrics_single(out, "configd_etcd_check_age_seconds", "gauge", "Since etcd's members were last asked.",
                       (double)age_ns / 1e9);
}
