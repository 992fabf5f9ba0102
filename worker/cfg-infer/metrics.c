/* See metrics.h. Names are part of the interface. */
#include "worker/cfg-infer/metrics.h"
#include <string.h>

static const double bounds[CFG_INFER_TIMES] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30};

void cfg_infer_time(struct cfg_infer_times *t, double seconds)
{
    unsigned i = 0;
    while (i < CFG_INFER_TIMES && seconds > bounds[i]) {
        i++;
    }
    t->buckets[i]++;
    t->n++;
    t->sum_s += seconds;
}

void cfg_infer_count_reply(struct cfg_infer_counts *c, int status)
{
    for (unsigned i = 0; i < CFG_INFER_STATUSES; i++) {
        if (c->replies[i].status == status || c->replies[i].status == 0) {
            c->replies[i].status = status;
            c->replies[i].n++;
            return;
        }
    }
}

static void head(struct cfg_buf *out, const char *name, const char *type, const char *help)
{
    cfg_buf_printf(out, "# HELP cfg_infer_%s %s\n# TYPE cfg_infer_%s %s\n", name, help, name, type);
}

static void count(struct cfg_buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    cfg_buf_printf(out, "cfg_infer_%s %llu\n", name, (unsigned long long)value);
}

static void gauge(struct cfg_buf *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    cfg_buf_printf(out, "cfg_infer_%s %.17g\n", name, value);
}

static void times(struct cfg_buf *out, const char *name, const char *help, const struct cfg_infer_times *t)
{
    uint64_t sum = 0;
    head(out, name, "histogram", help);
    for (unsigned i = 0; i < CFG_INFER_TIMES; i++) {
        sum += t->buckets[i];
        cfg_buf_printf(out, "cfg_infer_%s_bucket{le=\"%g\"} %llu\n", name, bounds[i], (unsigned long long)sum);
    }
    cfg_buf_printf(out, "cfg_infer_%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)t->n);
    cfg_buf_printf(out, "cfg_infer_%s_sum %.9g\ncfg_infer_%s_count %llu\n", name, t->sum_s, name,
                   (unsigned long long)t->n);
}

static void put_requests(struct cfg_buf *out, const struct cfg_infer_counts *c)
{
    head(out, "requests_total", "counter", "Completions answered, by status.");
    for (unsigned i = 0; i < CFG_INFER_STATUSES && c->replies[i].status != 0; i++) {
        cfg_buf_printf(out, "cfg_infer_requests_total{code=\"%d\"} %llu\n", c->replies[i].status,
                       (unsigned long long)c->replies[i].n);
    }
    count(out, "clients_gone_total", "Completions whose clients left before the end.", c->gone);
    count(out, "queue_refused_total", "Completions refused because the queue was full.", c->refused);
    count(out, "prompt_tokens_total", "Bytes of the prompts that were accepted.", c->prompt_tokens);
    times(out, "time_to_first_token_seconds", "From a request read whole to its first byte.", &c->first_byte);
    times(out, "request_duration_seconds", "From a request read whole to its last byte.", &c->whole);
}

static void put_batch(struct cfg_buf *out, const struct cfg_http_figures *f)
{
    count(out, "steps_total", "Steps begun.", f->step);
    count(out, "generated_tokens_total", "Bytes produced.", f->tokens);
    gauge(out, "running", "Sequences in the batch.", f->running);
    gauge(out, "waiting", "Requests in the queue.", f->waiting);
    gauge(out, "batch_size", "Batch cap of the current view.", f->batch_size);
    gauge(out, "batch_capacity", "Greatest batch that was captured.", f->capacity);
    gauge(out, "draining", "1 while more runs than the cap allows.", f->draining ? 1 : 0);
    gauge(out, "tokens_per_second", "Bytes per second, lately.", f->tokens_per_s);
    count(out, "captures_total", "Batch sizes prepared (on CUDA: graphs captured).", f->captures);
    count(out, "launches_total", "Calls of the model.", f->launches);
    gauge(out, "params_version", "Version of the live parameters that the last step ran with.",
          (double)f->params_version);
}

void cfg_infer_metrics_print(struct cfg_buf *out, const struct cfg_infer_counts *c, const struct cfg_http_figures *f,
                             const struct cfg_worker_status *w, const struct cfg_http_options *o)
{
    put_requests(out, c);
    put_batch(out, f);
    count(out, "view_changes_total", "Views adopted.", w->changes);
    count(out, "view_rejects_total", "Views refused.", w->rejects);
    gauge(out, "view_age_seconds", "Since configd last confirmed that the view is the newest.",
          (double)w->age_ms / 1000);
    head(out, "info", "gauge", "What runs here.");
    cfg_buf_printf(out, "cfg_infer_info{model=\"%s\",backend=\"%s\",precision=\"%s\",revision=\"%s\",state=\"%s\"} 1\n",
                   o->model, o->backend, o->precision, w->revision, w->state);
}
