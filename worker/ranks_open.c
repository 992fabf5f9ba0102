/* The life of a worker's part in a group. */
#include "worker/group_wrap.h"
#include "worker/ranks.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned group_deadline_ms(const struct cfg_ranks_options *o)
{
    return o->deadline_ms != 0 ? o->deadline_ms : 60000;
}

static int make_tcp(struct cfg_ranks *r, const struct cfg_ranks_options *o, const char *address,
                    struct cfg_locator *locator, struct cfg_error *err)
{
    const struct cfg_group_tcp_options t = {.address = address,
                                            .locator = locator,
                                            .name = o->name,
                                            .rank = o->rank,
                                            .world = o->world,
                                            .deadline_ms = group_deadline_ms(o)};
    return cfg_group_tcp_new(&r->group, &t, err);
}

/* Rank 0 listens on a port that is free, by the name it was given or the address it reaches configd from. */
static int meet_by_configd(struct cfg_ranks *r, const struct cfg_ranks_options *o, const char *host,
                           struct cfg_error *err)
{
    struct cfg_locator *locator = NULL;
    char own[256], address[CFG_ADDRESS_TEXT];
    if (o->rank != 0) {
        int rc = cfg_locator_new(&locator, &o->configd, err);
        return rc == 0 ? make_tcp(r, o, NULL, locator, err) : rc;
    }
    if (host == NULL) {
        int rc = cfg_local_host(own, sizeof own, o->configd.servers, err);
        if (rc != 0) {
            cfg_error_set_hint(err, "CONFIGD_GROUP=configd:HOST says by what name the other ranks reach rank 0");
            return rc;
        }
        host = own;
    }
    (void)snprintf(address, sizeof address, "%s:0", host);
    return make_tcp(r, o, address, NULL, err);
}

static int make_group(struct cfg_ranks *r, const struct cfg_ranks_options *o, struct cfg_error *err)
{
    r->wants_nccl = strcmp(o->group, "nccl") == 0;
    bool tcp = strcmp(o->group, "tcp") == 0 || r->wants_nccl, asks = strcmp(o->group, "configd") == 0;
    bool host = strncmp(o->group, "configd:", 8) == 0 && o->group[8] != '\0';
    if (o->world == 1 && (strcmp(o->group, "solo") == 0 || tcp || asks || host)) {
        return cfg_group_solo_new(&r->group, err);
    }
    if (strncmp(o->group, "tcp:", 4) == 0) {
        return make_tcp(r, o, o->group + 4, NULL, err);
    }
    if (tcp && o->root[0] != '\0') {
        return make_tcp(r, o, o->root, NULL, err);
    }
    if (tcp || asks || host) {
        return meet_by_configd(r, o, host ? o->group + 8 : NULL, err);
    }
    (void)cfg_fail(err, CFG_E_INVALID, "group \"%s\" of a world of %u", o->group, o->world);
    cfg_error_set_hint(err, "CONFIGD_GROUP=configd, or tcp:HOST:PORT with rank 0's address; solo for a world of one");
    return CFG_E_INVALID;
}

const char *cfg_ranks_address(const struct cfg_ranks *r)
{
    return r->group->rank == 0 && r->group->world > 1 ? cfg_group_tcp_address(r->group) : "";
}

int cfg_ranks_new(struct cfg_ranks **out, const struct cfg_ranks_options *o, struct cfg_error *err)
{
    struct cfg_ranks *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    int rc = make_group(r, o, err);
    if (rc != 0) {
        free(r);
        return rc;
    }
    cfg_agree_init(&r->agree, o->rank, o->world);
    r->every = o->every != 0 ? o->every : 1;
    r->deadline_ms = group_deadline_ms(o);
    r->join_ms = o->join_ms != 0 ? o->join_ms : 300000;
    (void)cfg_fail(&r->why, CFG_E_AGREEMENT, "the group has not formed");
    (void)pthread_mutex_init(&r->slate.lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->slate.changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)snprintf(r->slate.state.why, sizeof r->slate.state.why, "%.255s", r->why.text);
    *out = r;
    return 0;
}

int cfg_worker_wrap_group(struct cfg_worker *w, cfg_group_wrap_fn wrap, void *arg, struct cfg_error *err)
{
    if (w->ranks == NULL || w->contract.frozen) {
        return cfg_fail(err, CFG_E_INVALID, "this worker %s",
                        w->ranks == NULL ? "belongs to no group: see CONFIGD_GROUP" : "has been started");
    }
    int rc = wrap(&w->ranks->group, w->ranks->deadline_ms, arg, err);
    w->ranks->wants_nccl = w->ranks->wants_nccl && rc != 0;
    return rc;
}

void cfg_ranks_free(struct cfg_ranks *r)
{
    if (r == NULL) {
        return;
    }
    r->group->ops->free(r->group);
    cfg_aside_clear(&r->aside);
    cfg_aside_clear(&r->slate.given);
    (void)pthread_mutex_destroy(&r->slate.lock);
    (void)pthread_cond_destroy(&r->slate.changed);
    free(r);
}
