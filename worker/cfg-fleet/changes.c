#include "worker/cfg-fleet/changes.h"
#include <stdio.h>
#include <string.h>

static struct cfg_change *by_number(struct cfg_changes *c, uint64_t number)
{
    struct cfg_change *at = &c->ring[number % CFG_CHANGES_KEPT];
    return number != 0 && at->number == number ? at : NULL;
}

struct cfg_change *cfg_changes_heard(struct cfg_changes *c, const char *revision, uint64_t now_us)
{
    for (uint64_t n = c->newest; n > 0 && n + CFG_CHANGES_KEPT > c->newest; n--) {
        struct cfg_change *known = by_number(c, n);
        if (known != NULL && strcmp(known->revision, revision) == 0) {
            return known;
        }
    }
    struct cfg_change *at = &c->ring[++c->newest % CFG_CHANGES_KEPT];
    memset(at, 0, sizeof *at);
    at->number = c->newest;
    at->heard_us = at->last_us = now_us;
    (void)snprintf(at->revision, sizeof at->revision, "%s", revision);
    return at;
}

void cfg_changes_left(struct cfg_changes *c, uint64_t from)
{
    struct cfg_change *at = by_number(c, from);
    if (at != NULL) {
        at->on--;
    }
}

uint64_t cfg_changes_applied(struct cfg_changes *c, uint64_t from, const char *revision, uint64_t now_us, bool counts)
{
    struct cfg_change *at = cfg_changes_heard(c, revision, now_us);
    uint64_t took = now_us > at->heard_us ? now_us - at->heard_us : 0;
    cfg_changes_left(c, from);
    at->on++;
    if (counts) {
        at->last_us = now_us;
        cfg_histogram_add(&at->took, took);
        cfg_histogram_add(&c->took, took);
        c->max_us = took > c->max_us ? took : c->max_us;
    }
    return at->number;
}

const struct cfg_change *cfg_changes_newest(const struct cfg_changes *c)
{
    const struct cfg_change *at = &c->ring[c->newest % CFG_CHANGES_KEPT];
    return c->newest != 0 ? at : NULL;
}
