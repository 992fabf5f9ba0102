#include "configd/experiment_looks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRESH_MS = 10000 };

struct seen {
    char name[CFG_LIMIT_NAME + 1], verdict[16]; /* verdict "": not known yet */
    uint64_t run, asked_ms;
    bool asking;
};

struct cfg_experiment_looks {
    struct cfg_experiments *experiments;
    const struct cfg_clock *clock;
    struct seen seen[CFG_EXPERIMENT_LOOKS_MAX];
    size_t n;
};

static uint64_t now_ms(const struct cfg_experiment_looks *l)
{
    return l->clock->monotonic_ns(l->clock->arg) / 1000000u + 1; /* never 0, which means "not yet" */
}

/* A place for it: its own, a new one, or that of the one that nobody has asked about for longest. */
static struct seen *place_of(struct cfg_experiment_looks *l, const char *name)
{
    struct seen *oldest = NULL;
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->seen[i].name, name) == 0)
            return &l->seen[i];
        if (!l->seen[i].asking && (oldest == NULL || l->seen[i].asked_ms < oldest->asked_ms))
            oldest = &l->seen[i];
    }
    struct seen *s = l->n < CFG_EXPERIMENT_LOOKS_MAX ? &l->seen[l->n++] : oldest;
    if (s) {
        *s = (struct seen){.run = 0};
        (void)snprintf(s->name, sizeof s->name, "%s", name);
    }
    return s;
}

static void looked(void *arg, cJSON *report, const struct cfg_error *err)
{
    struct seen *s = arg; /* its place is kept while it is asked */
    s->asking = false;
    (void)snprintf(s->verdict, sizeof s->verdict, "%s", err ? "" : cfg_json_get_str(report, "verdict", ""));
    cJSON_Delete(report);
}

struct cfg_experiment_looks *cfg_experiment_looks_new(struct cfg_experiments *experiments,
                                                      const struct cfg_clock *clock)
{
    struct cfg_experiment_looks *l = calloc(1, sizeof *l);
    if (l) {
        l->experiments = experiments;
        l->clock = clock;
    }
    return l;
}

void cfg_experiment_looks_free(struct cfg_experiment_looks *l)
{
    free(l);
}

const char *cfg_experiment_looks_verdict(struct cfg_experiment_looks *l, const char *name, uint64_t run)
{
    struct seen *s = place_of(l, name);
    if (s == NULL)
        return NULL;
    if (s->run != run && !s->asking) {
        s->run = run;
        s->verdict[0] = '\0';
        s->asked_ms = 0;
    }
    bool known = s->run == run && s->verdict[0] != '\0';
    if (!s->asking && (s->asked_ms == 0 || now_ms(l) - s->asked_ms >= FRESH_MS)) {
        s->asked_ms = now_ms(l);
        s->asking = true;
        cfg_experiments_report(l->experiments, name, NULL, looked, s); /* an error may come at once */
    }
    return known && s->verdict[0] ? s->verdict : NULL; /* an error may have come at once */
}
