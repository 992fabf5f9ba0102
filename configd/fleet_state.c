#include "configd/fleet_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SILENT_MS = 10000, OVERDUE_INTERVALS = 3 };

static const char *const names[FLEET_STATES] = {"flapping", "superseded", "gone",    "foreign", "unknown",
                                                "stale",    "rejecting",  "forming", "lagging", "drifted",
                                                "draining", "pending",    "idle",    "current"};

const char *fleet_state_name(enum fleet_state s)
{
    return names[s];
}

enum fleet_state fleet_state_parse(const char *name)
{
    int s = 0;
    while (s < FLEET_STATES && strcmp(names[s], name) != 0)
        s++;
    return (enum fleet_state)s;
}

static bool same_digest(const struct fleet_facts *x, const struct fleet_target *t)
{
    return t->known && strcmp(x->digest, t->digest) == 0;
}

bool fleet_converged(const struct fleet_facts *x, const struct fleet_target *t)
{
    return x->connected && x->reported && same_digest(x, t) &&
           (cfg_rev_cmp(x->applied, t->since) >= 0 || cfg_rev_cmp(x->held, t->since) >= 0);
}

/* A report that comes with every interval may be late once or twice. */
static bool overdue(const struct fleet_facts *x)
{
    uint64_t bound = OVERDUE_INTERVALS * x->interval_ms;
    return x->report_age_ms > (bound > SILENT_MS ? bound : SILENT_MS);
}

/* A view that is newer than what this configd shows cannot be judged here. */
static bool is_ahead(const struct fleet_facts *x, const struct fleet_target *t)
{
    return cfg_rev_cmp(x->applied, t->rev) > 0 && !same_digest(x, t);
}

static bool is_rejecting(const struct fleet_facts *x)
{
    return x->refused || (!cfg_rev_is_none(x->rejected) && cfg_rev_cmp(x->rejected, x->applied) > 0);
}

/* Of one that runs what it ought to. */
static enum fleet_state converged_state(const struct fleet_facts *x)
{
    if (x->overrides > 0)
        return FLEET_DRIFTED;
    if (x->draining > 0)
        return FLEET_DRAINING;
    if (x->pending > 0)
        return FLEET_PENDING;
    return x->idle ? FLEET_IDLE : FLEET_CURRENT;
}

enum fleet_state fleet_state_of(const struct fleet_facts *x, const struct fleet_target *t)
{
    if (x->flaps > 0)
        return FLEET_FLAPPING;
    if (x->foreign)
        return FLEET_FOREIGN;
    if (x->refused)
        return FLEET_REJECTING;
    if (!x->connected)
        return FLEET_GONE;
    if (t->foreign)
        return FLEET_FOREIGN;
    if (!x->reported)
        return overdue(x) ? FLEET_STALE : FLEET_UNKNOWN;
    if (overdue(x) || x->silent_ms > SILENT_MS)
        return FLEET_STALE;
    if (is_rejecting(x))
        return FLEET_REJECTING;
    if (x->forming)
        return FLEET_FORMING;
    if (!t->known || is_ahead(x, t))
        return FLEET_UNKNOWN;
    if (fleet_converged(x, t))
        return converged_state(x);
    return cfg_rev_cmp(x->applied, t->rev) == 0 ? FLEET_DRIFTED : FLEET_LAGGING;
}

static void why_stale(char out[FLEET_WHY], const struct fleet_facts *x)
{
    if (overdue(x))
        (void)snprintf(out, FLEET_WHY, "its last report came %" PRIu64 " s ago", x->report_age_ms / 1000);
    else
        (void)snprintf(out, FLEET_WHY, "it has heard of no configd for %" PRIu64 " s", x->silent_ms / 1000);
}

static void why_behind(char out[FLEET_WHY], const struct fleet_facts *x, const struct fleet_target *t)
{
    char has[CFG_REV_TEXT], wants[CFG_REV_TEXT];
    if (cfg_rev_is_none(x->applied))
        (void)snprintf(out, FLEET_WHY, "it runs no view yet; the view is %s", cfg_rev_format(t->rev, wants));
    else
        (void)snprintf(out, FLEET_WHY, "it runs %s; the view is %s", cfg_rev_format(x->applied, has),
                       cfg_rev_format(t->rev, wants));
}

static void why_unknown(char out[FLEET_WHY], const struct fleet_facts *x, const struct fleet_target *t)
{
    char has[CFG_REV_TEXT];
    if (!x->reported)
        (void)snprintf(out, FLEET_WHY, "it has not reported yet");
    else if (!t->known)
        (void)snprintf(out, FLEET_WHY, "there is no view to compare it with");
    else
        (void)snprintf(out, FLEET_WHY, "it runs %s, which this configd has not seen yet",
                       cfg_rev_format(x->applied, has));
}

static void why_counts(char out[FLEET_WHY], unsigned n, const char *one, const char *many)
{
    (void)snprintf(out, FLEET_WHY, "%u %s", n, n == 1 ? one : many);
}

void fleet_state_why(char out[FLEET_WHY], enum fleet_state s, const struct fleet_facts *x, const struct fleet_target *t)
{
    char rev[CFG_REV_TEXT];
    out[0] = '\0';
    switch (s) {
    case FLEET_FLAPPING:
        (void)snprintf(out, FLEET_WHY,
                       "two processes use this worker id and keep replacing each other; give each its own "
                       "(CONFIGD_WORKER)");
        return;
    case FLEET_FOREIGN:
        (void)snprintf(out, FLEET_WHY, "%s",
                       t->foreign ? "this configd's etcd holds another store than before"
                                  : "its view comes from another store");
        return;
    case FLEET_STALE:
        why_stale(out, x);
        return;
    case FLEET_REJECTING:
        if (!x->refused)
            (void)snprintf(out, FLEET_WHY, "it has refused %s", cfg_rev_format(x->rejected, rev));
        return;
    case FLEET_UNKNOWN:
        why_unknown(out, x, t);
        return;
    case FLEET_LAGGING:
        why_behind(out, x, t);
        return;
    case FLEET_DRIFTED:
        if (!same_digest(x, t))
            (void)snprintf(out, FLEET_WHY, "it holds another view of %s", cfg_rev_format(x->applied, rev));
        else
            why_counts(out, x->overrides, "value is overridden at the worker", "values are overridden at the worker");
        return;
    case FLEET_DRAINING:
        why_counts(out, x->draining, "value is still exceeded", "values are still exceeded");
        return;
    case FLEET_PENDING:
        why_counts(out, x->pending, "value waits for a restart", "values wait for a restart");
        return;
    default:
        return;
    }
}

/* --- one id, several processes --- */

static int by_worker(const void *a, const void *b)
{
    const struct fleet_living *x = a, *y = b;
    int c = strcmp(x->worker, y->worker);
    return c ? c : (x->report_age_ms > y->report_age_ms) - (x->report_age_ms < y->report_age_ms);
}

static bool is_connected(const struct fleet_living *x)
{
    return x->state != FLEET_GONE;
}

/* Two entries of one worker; a was heard of later. */
static void resolve_pair(struct fleet_living *a, struct fleet_living *b, uint64_t live_ms)
{
    if (a->dropped || b->dropped)
        return;
    if (!is_connected(a) && is_connected(b)) {
        a->dropped = true; /* it reported last, but has moved since */
    } else if (strcmp(a->incarnation, b->incarnation) == 0 || !is_connected(b)) {
        b->dropped = true;
    } else if (b->report_age_ms <= live_ms) {
        a->state = b->state = FLEET_FLAPPING;
        a->rival = b->replica;
        b->rival = a->replica;
    } else {
        b->state = FLEET_SUPERSEDED;
        b->rival = a->replica;
    }
}

void fleet_living_resolve(struct fleet_living *all, size_t n, uint64_t live_ms)
{
    if (n > 1)
        qsort(all, n, sizeof *all, by_worker);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n && strcmp(all[i].worker, all[k].worker) == 0; k++)
            resolve_pair(&all[i], &all[k], live_ms);
}
