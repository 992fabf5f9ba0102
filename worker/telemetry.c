#include "worker/telemetry.h"
#include "proto/limits.h"
#include "worker/report.h"
#include <stdlib.h>
#include <string.h>

static void free_windows(struct cfg_window **list)
{
    while (*list != NULL) {
        struct cfg_window *w = *list;
        *list = w->next;
        cfg_window_free(w);
    }
}

void cfg_telemetry_finish(struct cfg_telemetry *t)
{
    free_windows(&t->ready);
    free(t->sent);
    t->sent = NULL;
}

/* Joins w to the last one that is ready if it can be, else makes it the last. */
static void append(struct cfg_telemetry *t, struct cfg_window *w)
{
    struct cfg_window **at = &t->ready, *last = NULL;
    unsigned n = 0;
    for (; *at != NULL; at = &(*at)->next, n++) {
        last = *at;
    }
    w->next = NULL;
    if (last != NULL && cfg_window_alike(last, w)) {
        (void)cfg_window_merge(last, w); /* without memory: samples are lost, steps are not */
        cfg_window_free(w);
        return;
    }
    *at = w;
    if (n == CFG_WINDOWS_MAX) {
        struct cfg_window *first = t->ready;
        t->ready = first->next;
        t->lost += first->steps;
        cfg_window_free(first);
    }
}

void cfg_telemetry_collect(struct cfg_telemetry *t, struct cfg_gather *g)
{
    for (struct cfg_window *w = g != NULL ? cfg_gather_take(g) : NULL; w != NULL;) {
        struct cfg_window *next = w->next;
        append(t, w);
        w = next;
    }
}

static void print_windows(struct cfg_buf *out, const struct cfg_telemetry *t, const struct cfg_gather *g)
{
    uint64_t seq = t->seq;
    for (const struct cfg_window *w = t->ready; w != NULL; w = w->next) {
        cfg_buf_puts(out, w == t->ready ? ",\"windows\":[" : ",");
        cfg_window_print(out, w, &g->names, ++seq);
    }
    cfg_buf_puts(out, t->ready != NULL ? "]" : "");
}

/* Returns up to which entry it has printed. */
static uint64_t print_runs(struct cfg_buf *out, const struct cfg_telemetry *t, const struct cfg_runs *runs)
{
    uint64_t n = cfg_runs_count(runs);
    uint64_t i = n > CFG_RUNS_MAX && t->runs_taken < n - CFG_RUNS_MAX ? n - CFG_RUNS_MAX : t->runs_taken;
    bool any = false;
    for (; i < n; i++) {
        struct cfg_run run;
        char at[CFG_TIME_TEXT];
        if (cfg_runs_get(runs, i, &run)) { /* else overwritten meanwhile */
            cfg_buf_printf(out, "%s{\"from_step\":%llu,\"revision\":\"%s\",\"at\":\"%s\"}", any ? "," : ",\"runs\":[",
                           (unsigned long long)run.from_step, run.revision, cfg_time_print(at, run.adopted_at_us));
            any = true;
        }
    }
    cfg_buf_puts(out, any ? "]" : "");
    return n;
}

static void print_outcomes(struct cfg_buf *out, const struct cfg_telemetry *t, const struct cfg_gather *g,
                           struct cfg_outcomes *o)
{
    struct cfg_buf sides;
    cfg_buf_init(&sides, CFG_OUTCOMES_BYTES);
    if (cfg_outcomes_take(&sides, o, &g->names)) {
        cfg_buf_printf(out, ",\"outcomes\":{\"seq\":%llu,\"sides\":", (unsigned long long)t->outcomes_seq + 1);
        cfg_buf_put(out, sides.data, sides.len);
        cfg_buf_putc(out, '}');
    }
    cfg_buf_finish(&sides);
}

const char *cfg_telemetry_send(struct cfg_telemetry *t, const struct cfg_gather *g, const struct cfg_runs *runs,
                               struct cfg_outcomes *o)
{
    if (t->sent == NULL) {
        struct cfg_buf b;
        cfg_buf_init(&b, CFG_LIMIT_BODY / 4 * 3);
        if (g != NULL) {
            print_windows(&b, t, g);
        }
        uint64_t told = print_runs(&b, t, runs);
        if (g != NULL) {
            print_outcomes(&b, t, g, o);
        }
        t->sent = b.len > 0 ? cfg_buf_steal(&b) : NULL;
        cfg_buf_finish(&b);
        if (t->sent != NULL) {
            for (const struct cfg_window *w = t->ready; w != NULL; w = w->next) {
                t->seq++;
            }
            free_windows(&t->ready);
            t->outcomes_seq++;
            t->runs_sent = told;
            t->tries = 0;
        }
    }
    t->tries = t->sent != NULL ? t->tries + 1 : 0; /* a worker at rest waits for nothing */
    return t->sent != NULL ? t->sent : "";
}

void cfg_telemetry_drop(struct cfg_telemetry *t)
{
    free(t->sent);
    t->sent = NULL;
    t->runs_taken = t->runs_sent;
}

bool cfg_telemetry_taken(struct cfg_telemetry *t, const char *report, const struct cfg_runs *runs)
{
    if (t->sent == NULL || strstr(report, t->sent) == NULL) {
        return false;
    }
    cfg_telemetry_drop(t);
    return t->ready != NULL || cfg_runs_count(runs) > t->runs_taken;
}
