#include "worker/window.h"
#include <stdlib.h>
#include <string.h>

void cfg_window_reset(struct cfg_window *w, const struct cfg_box *b)
{
    struct cfg_moments *metrics = w->metrics;
    uint32_t n = w->n_metrics;
    memset(w, 0, sizeof *w);
    if (n > 0) {
        memset(metrics, 0, n * sizeof *metrics);
    }
    w->metrics = metrics;
    w->n_metrics = n;
    w->serial = b->pub.serial;
    memcpy(w->revision, b->revision, sizeof w->revision);
    memcpy(w->arm, b->arm, sizeof w->arm);
}

struct cfg_window *cfg_window_new(const struct cfg_box *b)
{
    struct cfg_window *w = calloc(1, sizeof *w);
    if (w != NULL) {
        cfg_window_reset(w, b);
    }
    return w;
}

void cfg_window_free(struct cfg_window *w)
{
    if (w != NULL) {
        free(w->metrics);
        free(w);
    }
}

bool cfg_window_empty(const struct cfg_window *w)
{
    return !w->any;
}

static void touch(struct cfg_window *w, uint64_t step)
{
    w->from_step = w->any && w->from_step < step ? w->from_step : step;
    w->to_step = w->any && w->to_step > step ? w->to_step : step;
    w->any = true;
}

void cfg_window_step(struct cfg_window *w, uint64_t step, uint64_t began_ns, uint64_t ended_ns)
{
    touch(w, step);
    w->steps++;
    w->ended_ns = ended_ns;
    if (began_ns != 0 && began_ns <= ended_ns) {
        cfg_histogram_add(&w->latency, (ended_ns - began_ns) / 1000);
    } else {
        began_ns = ended_ns;
    }
    w->began_ns = w->began_ns != 0 ? w->began_ns : began_ns;
}

/* Room for the metric of this index. */
static bool grow(struct cfg_window *w, uint32_t index)
{
    if (index < w->n_metrics) {
        return true;
    }
    uint32_t n = (index + 8) / 8 * 8;
    struct cfg_moments *more = realloc(w->metrics, n * sizeof *more);
    if (more == NULL) {
        return false;
    }
    memset(more + w->n_metrics, 0, (n - w->n_metrics) * sizeof *more);
    w->metrics = more;
    w->n_metrics = n;
    return true;
}

bool cfg_window_sample(struct cfg_window *w, uint64_t step, uint32_t index, double x)
{
    if (!grow(w, index)) {
        return false;
    }
    touch(w, step);
    cfg_moments_add(&w->metrics[index], x);
    return true;
}

bool cfg_window_alike(const struct cfg_window *a, const struct cfg_window *b)
{
    return strcmp(a->revision, b->revision) == 0 && strcmp(a->arm, b->arm) == 0;
}

bool cfg_window_merge(struct cfg_window *w, const struct cfg_window *later)
{
    bool whole = later->n_metrics == 0 || grow(w, later->n_metrics - 1);
    if (later->any) {
        touch(w, later->from_step);
        touch(w, later->to_step);
    }
    w->steps += later->steps;
    w->began_ns = w->began_ns != 0 ? w->began_ns : later->began_ns;
    w->ended_ns = later->ended_ns != 0 ? later->ended_ns : w->ended_ns;
    cfg_histogram_merge(&w->latency, &later->latency);
    for (uint32_t i = 0; i < later->n_metrics && i < w->n_metrics; i++) {
        cfg_moments_merge(&w->metrics[i], &later->metrics[i]);
    }
    return whole;
}

void cfg_window_print(struct cfg_buf *out, const struct cfg_window *w, const struct cfg_metric_names *names,
                      uint64_t seq)
{
    cfg_buf_printf(out, "{\"seq\":%llu,\"revision\":\"%s\",\"arm\":\"%s\"", (unsigned long long)seq, w->revision,
                   w->arm);
    cfg_buf_printf(out, ",\"from_step\":%llu,\"to_step\":%llu,\"steps\":%llu,\"ms\":%llu",
                   (unsigned long long)w->from_step, (unsigned long long)w->to_step, (unsigned long long)w->steps,
                   (unsigned long long)((w->ended_ns - w->began_ns) / 1000000));
    cfg_buf_puts(out, ",\"latency\":");
    cfg_histogram_print(out, &w->latency);
    cfg_buf_puts(out, ",\"metrics\":{");
    const char *comma = "";
    uint32_t known = atomic_load_explicit(&names->n, memory_order_acquire);
    for (uint32_t i = 0; i < w->n_metrics && i < known; i++) {
        if (w->metrics[i].n > 0 || w->metrics[i].bad > 0) {
            cfg_buf_printf(out, "%s\"%s\":", comma, names->items[i]);
            cfg_moments_print(out, &w->metrics[i]);
            comma = ",";
        }
    }
    cfg_buf_puts(out, "}}");
}
