#include "configd/fleet_window.h"

#include <stdlib.h>
#include <string.h>

struct fleet_slot {
    uint64_t number; /* now_ms / FLEET_SLOT_MS of what it holds */
    uint64_t steps, ms;
    struct cfg_histogram latency;
    struct cfg_moments metrics[FLEET_METRICS]; /* as the window's names */
};

/* The slot of now, emptied when it held an older time. NULL without memory. */
static struct fleet_slot *slot_now(struct fleet_window *w, uint64_t now_ms)
{
    uint64_t number = now_ms / FLEET_SLOT_MS;
    struct fleet_slot **at = &w->slots[number % FLEET_SLOTS];
    if (*at == NULL && (*at = calloc(1, sizeof **at)) == NULL)
        return NULL;
    if ((*at)->number != number) {
        memset(*at, 0, sizeof **at);
        (*at)->number = number;
    }
    return *at;
}

void fleet_window_steps(struct fleet_window *w, uint64_t now_ms, uint64_t steps, uint64_t ms,
                        const struct cfg_histogram *latency)
{
    struct fleet_slot *s = slot_now(w, now_ms);
    if (s == NULL)
        return;
    s->steps += steps;
    s->ms += ms;
    cfg_histogram_merge(&s->latency, latency);
}

static bool is_used(const struct fleet_window *w, size_t metric, uint64_t now)
{
    for (size_t k = 0; k < FLEET_SLOTS; k++) {
        const struct fleet_slot *s = w->slots[k];
        if (s && s->number + FLEET_SLOTS > now && (s->metrics[metric].n > 0 || s->metrics[metric].bad > 0))
            return true;
    }
    return false;
}

/* Makes room for a name by forgetting those without samples in any slot. */
static void forget_unused(struct fleet_window *w, uint64_t now)
{
    for (size_t i = w->n_names; i-- > 0;) {
        if (is_used(w, i, now))
            continue;
        size_t last = --w->n_names;
        free(w->names[i]);
        w->names[i] = w->names[last];
        w->names[last] = NULL;
        for (size_t k = 0; k < FLEET_SLOTS; k++)
            if (w->slots[k]) {
                w->slots[k]->metrics[i] = w->slots[k]->metrics[last];
                w->slots[k]->metrics[last] = (struct cfg_moments){0};
            }
    }
}

/* Its place among the names; FLEET_METRICS: none. */
static size_t find_name(const struct fleet_window *w, const char *name)
{
    for (size_t i = 0; i < w->n_names; i++)
        if (strcmp(w->names[i], name) == 0)
            return i;
    return FLEET_METRICS;
}

static size_t add_name(struct fleet_window *w, const char *name, uint64_t now)
{
    if (w->n_names == FLEET_METRICS)
        forget_unused(w, now);
    if (w->n_names == FLEET_METRICS || (w->names[w->n_names] = strdup(name)) == NULL)
        return FLEET_METRICS;
    return w->n_names++;
}

void fleet_window_metric(struct fleet_window *w, uint64_t now_ms, const char *name, const struct cfg_moments *m)
{
    struct fleet_slot *s = slot_now(w, now_ms);
    size_t i = find_name(w, name);
    if (i == FLEET_METRICS)
        i = add_name(w, name, now_ms / FLEET_SLOT_MS);
    if (s && i < FLEET_METRICS)
        cfg_moments_merge(&s->metrics[i], m);
}

/* The slot of that number, when it is held still and overlaps the time. */
static const struct fleet_slot *slot_at(const struct fleet_window *w, uint64_t number, uint64_t since_ms,
                                        uint64_t until_ms)
{
    const struct fleet_slot *s = w->slots[number % FLEET_SLOTS];
    bool here =
        s && s->number == number && number * FLEET_SLOT_MS < until_ms && (number + 1) * FLEET_SLOT_MS > since_ms;
    return here ? s : NULL;
}

/* Where to begin: the ring's size bounds how many slots there can be. */
static uint64_t first_number(uint64_t since_ms, uint64_t until_ms)
{
    uint64_t first = since_ms / FLEET_SLOT_MS, last = until_ms / FLEET_SLOT_MS;
    return last >= FLEET_SLOTS && first < last - FLEET_SLOTS ? last - FLEET_SLOTS : first;
}

void fleet_window_sum(struct fleet_sum *out, const struct fleet_window *w, uint64_t since_ms, uint64_t until_ms)
{
    memset(out, 0, sizeof *out);
    for (uint64_t n = first_number(since_ms, until_ms); n * FLEET_SLOT_MS < until_ms; n++) {
        const struct fleet_slot *s = slot_at(w, n, since_ms, until_ms);
        if (s == NULL)
            continue;
        out->steps += s->steps;
        out->ms += s->ms;
        cfg_histogram_merge(&out->latency, &s->latency);
    }
}

void fleet_window_moments(struct cfg_moments *out, const struct fleet_window *w, uint64_t since_ms, uint64_t until_ms,
                          const char *name)
{
    size_t i = find_name(w, name);
    memset(out, 0, sizeof *out);
    for (uint64_t n = first_number(since_ms, until_ms); i < FLEET_METRICS && n * FLEET_SLOT_MS < until_ms; n++) {
        const struct fleet_slot *s = slot_at(w, n, since_ms, until_ms);
        if (s)
            cfg_moments_merge(out, &s->metrics[i]);
    }
}

void fleet_window_finish(struct fleet_window *w)
{
    for (size_t i = 0; i < FLEET_SLOTS; i++)
        free(w->slots[i]);
    for (size_t i = 0; i < w->n_names; i++)
        free(w->names[i]);
    memset(w, 0, sizeof *w);
}
