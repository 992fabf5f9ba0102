/* The life of a worker's part in a group. */
#include "worker/ranks.h"
#include <stdlib.h>
#include <string.h>

static int make_group(struct cfg_ranks *r, const struct cfg_ranks_options *o, struct cfg_error *err)
{
    if (strcmp(o->group, "solo") == 0 && o->world == 1) {
        return cfg_group_solo_new(&r->group, err);
    }
    if (strncmp(o->group, "tcp:", 4) == 0) {
        const struct cfg_group_tcp_options t = {o->group + 4, o->name, o->rank, o->world,
                                                o->deadline_ms != 0 ? o->deadline_ms : 60000};
        return cfg_group_tcp_new(&r->group, &t, err);
    }
    (void)cfg_fail(err, CFG_E_INVALID, "group \"%s\" of a world of %u", o->group, o->world);
    cfg_error_set_hint(err, "CONFIGD_GROUP=tcp:HOST:PORT with rank 0's address; solo for a world of one");
    return CFG_E_INVALID;
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
    r->join_ms = o->join_ms != 0 ? o->join_ms : 300000;
    (void)cfg_fail(&r->why, CFG_E_AGREEMENT, "the group has not formed");
    (void)pthread_mutex_init(&r->slate.lock, NULL);
    (void)pthread_cond_init(&r->slate.changed, NULL);
    *out = r;
    return 0;
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
