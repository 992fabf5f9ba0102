#include "worker/cfg-fleet/output.h"
#include <stdlib.h>
#include <string.h>

enum { SHOW_US = 1000000 };

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static void clear_line(struct cfg_fleet_printer *p)
{
    if (p->progress != NULL && p->shown_us != 0) {
        (void)fputs("\r\033[K", p->progress);
        (void)fflush(p->progress);
    }
}

static void put_line(struct cfg_fleet_printer *p, struct cfg_buf *line)
{
    clear_line(p);
    cfg_buf_putc(line, '\n');
    if (cfg_buf_status(line) == 0) {
        (void)fwrite(line->data, 1, line->len, p->out);
        (void)fflush(p->out);
    }
    cfg_buf_finish(line);
}

static void print_took(struct cfg_buf *b, const struct cfg_histogram *h, uint64_t max_us)
{
    cfg_buf_printf(b, "{\"n\":%llu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}", (unsigned long long)h->n,
                   ms(cfg_histogram_quantile(h, 0.5)), ms(cfg_histogram_quantile(h, 0.9)),
                   ms(cfg_histogram_quantile(h, 0.99)), ms(max_us));
}

static void on_ready(void *arg, const struct cfg_fleet *f, uint64_t now_us)
{
    struct cfg_fleet_printer *p = arg;
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    p->ready_us = now_us;
    if (p->output == CFG_OUTPUT_NDJSON) {
        cfg_buf_printf(&b, "{\"event\":\"ready\",\"workers\":%u,\"ms\":%.1f}", f->o->workers,
                       ms(now_us - f->started_us));
        put_line(p, &b);
    } else if (p->output == CFG_OUTPUT_TEXT && !p->quiet) {
        cfg_buf_printf(&b, "%u workers are up after %.1f s", f->o->workers, ms(now_us - f->started_us) / 1000);
        put_line(p, &b);
    }
}

static void on_applied(void *arg, const struct cfg_fleet_deployment *d, const struct cfg_change *c)
{
    struct cfg_fleet_printer *p = arg;
    struct cfg_buf b;
    uint64_t last = c->last_us - c->heard_us;
    cfg_buf_init(&b, 4096);
    if (p->output == CFG_OUTPUT_NDJSON) {
        cfg_buf_printf(&b, "{\"event\":\"applied\",\"deployment\":\"%s\",\"revision\":\"%s\",\"workers\":%zu,\"ms\":",
                       d->name, c->revision, c->on);
        print_took(&b, &c->took, last);
        cfg_buf_putc(&b, '}');
        put_line(p, &b);
    } else if (p->output == CFG_OUTPUT_TEXT && !p->quiet) {
        cfg_buf_printf(&b, "%s: %s runs on all %zu, %.1f ms after the first heard of it (p50 %.1f ms)", d->name,
                       c->revision, c->on, ms(last), ms(cfg_histogram_quantile(&c->took, 0.5)));
        put_line(p, &b);
    }
}

static void on_tick(void *arg, const struct cfg_fleet *f, uint64_t now_us)
{
    struct cfg_fleet_printer *p = arg;
    const struct cfg_fleet_counts *c = &f->counts;
    if (p->progress == NULL || p->quiet || now_us - p->shown_us < SHOW_US) {
        return;
    }
    double rate = p->shown_us != 0 ? (double)(c->steps - p->shown_steps) * 1e6 / (double)(now_us - p->shown_us) : 0;
    const struct cfg_change *newest = cfg_changes_newest(&f->deployments[0].changes);
    clear_line(p);
    (void)fprintf(p->progress, "%zu of %u up · %.0f steps/s · %s %s on %zu of %zu · %llu rejects · %llu crashes", c->up,
                  f->o->workers, rate, f->deployments[0].name, newest != NULL ? newest->revision : "no view",
                  newest != NULL ? newest->on : 0, f->deployments[0].workers, (unsigned long long)c->rejects,
                  (unsigned long long)c->crashes);
    (void)fflush(p->progress);
    p->shown_us = now_us;
    p->shown_steps = c->steps;
}

struct cfg_fleet_watcher cfg_fleet_printer_watcher(struct cfg_fleet_printer *p)
{
    return (struct cfg_fleet_watcher){on_tick, on_ready, on_applied, p};
}

static struct cfg_histogram *all_took(const struct cfg_fleet *f, uint64_t *max_us, uint64_t *changes)
{
    struct cfg_histogram *all = calloc(1, sizeof *all);
    for (size_t i = 0; all != NULL && i < f->o->n_deployments; i++) {
        const struct cfg_changes *c = &f->deployments[i].changes;
        cfg_histogram_merge(all, &c->took);
        *max_us = c->max_us > *max_us ? c->max_us : *max_us;
        *changes += c->newest > 0 ? c->newest - 1 : 0; /* the first is where they start */
    }
    return all;
}

static void print_json(struct cfg_buf *b, const struct cfg_fleet_printer *p, const struct cfg_fleet *f)
{
    const struct cfg_fleet_counts *c = &f->counts;
    uint64_t max_us = 0, changes = 0, now = cfg_fleet_now_us();
    struct cfg_histogram *took = all_took(f, &max_us, &changes);
    cfg_buf_puts(b, p->output == CFG_OUTPUT_NDJSON ? "{\"event\":\"summary\"," : "{");
    cfg_buf_printf(b, "\"workers\":%u,\"up\":%zu,\"seconds\":%.3f,\"start_ms\":", f->o->workers, c->up,
                   ms(now - f->started_us) / 1000);
    if (p->ready_us != 0) {
        cfg_buf_printf(b, "%.1f", ms(p->ready_us - f->started_us));
    } else {
        cfg_buf_puts(b, "null");
    }
    cfg_buf_printf(b,
                   ",\"steps\":%llu,\"requests\":%llu,\"lost\":%llu,\"changes\":%llu,\"adoptions\":%llu,\"rejects\":%"
                   "llu,\"crashes\":%llu,\"hangs\":"
                   "%llu,\"slows\":%llu,\"disconnects\":%llu,\"superseded\":%llu,\"applied_ms\":",
                   (unsigned long long)c->steps, (unsigned long long)c->requests, (unsigned long long)c->lost,
                   (unsigned long long)changes, (unsigned long long)c->adoptions, (unsigned long long)c->rejects,
                   (unsigned long long)c->crashes, (unsigned long long)c->hangs, (unsigned long long)c->slows,
                   (unsigned long long)c->disconnects, (unsigned long long)c->superseded);
    if (took != NULL) {
        print_took(b, took, max_us);
    }
    cfg_buf_puts(b, ",\"deployments\":[");
    for (size_t i = 0; i < f->o->n_deployments; i++) {
        const struct cfg_fleet_deployment *d = &f->deployments[i];
        const struct cfg_change *newest = cfg_changes_newest(&d->changes);
        cfg_buf_printf(b, "%s{\"deployment\":\"%s\",\"workers\":%zu,\"up\":%zu,\"revision\":\"%s\",\"on\":%zu}",
                       i > 0 ? "," : "", d->name, d->workers, d->up, newest != NULL ? newest->revision : "0-0",
                       newest != NULL ? newest->on : 0);
    }
    cfg_buf_puts(b, "]}");
    free(took);
}

static void print_text(struct cfg_buf *b, const struct cfg_fleet *f)
{
    const struct cfg_fleet_counts *c = &f->counts;
    uint64_t max_us = 0, changes = 0;
    struct cfg_histogram *took = all_took(f, &max_us, &changes);
    cfg_buf_printf(b, "%zu of %u workers up · %llu steps · %llu changes", c->up, f->o->workers,
                   (unsigned long long)c->steps, (unsigned long long)changes);
    if (took != NULL && took->n > 0) {
        cfg_buf_printf(b, ", applied in %.1f ms p50, %.1f ms p99, %.1f ms at most",
                       ms(cfg_histogram_quantile(took, 0.5)), ms(cfg_histogram_quantile(took, 0.99)), ms(max_us));
    }
    cfg_buf_printf(b, " · %llu rejects, %llu crashes, %llu hangs, %llu disconnects", (unsigned long long)c->rejects,
                   (unsigned long long)c->crashes, (unsigned long long)c->hangs, (unsigned long long)c->disconnects);
    free(took);
}

void cfg_fleet_print_summary(struct cfg_fleet_printer *p, const struct cfg_fleet *f)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 65536);
    if (p->output == CFG_OUTPUT_TEXT) {
        print_text(&b, f);
    } else {
        print_json(&b, p, f);
    }
    put_line(p, &b);
}
