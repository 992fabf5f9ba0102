/* The control group of sums. See allreduce_control.h. */
#include "worker/allreduce_control.h"
#include "worker/group_tcp.h"

int cfg_allreduce_control_open(struct cfg_allreduce_control *c, const struct cfg_allreduce_options *o,
                               struct cfg_error *err)
{
    const struct cfg_group_tcp_options g = {
        .address = o->address, .name = o->name, .rank = o->rank, .world = o->world, .deadline_ms = o->deadline_ms};
    return cfg_group_tcp_new(&c->group, &g, err);
}

void cfg_allreduce_control_close(struct cfg_allreduce_control *c)
{
    if (c->group != NULL) {
        c->group->ops->free(c->group);
        c->group = NULL;
    }
}

int cfg_allreduce_control_check(const struct cfg_allreduce_control *c, struct cfg_error *err)
{
    if (c->over && err != NULL) {
        *err = c->why;
    }
    return c->over ? CFG_E_AGREEMENT : 0;
}

int cfg_allreduce_control_broadcast(struct cfg_allreduce_control *c, uint32_t root, struct cfg_buf *bytes,
                                    struct cfg_error *err)
{
    int rc = cfg_allreduce_control_check(c, err);
    return rc != 0 ? rc : c->group->ops->broadcast(c->group, root, bytes, err);
}

int cfg_allreduce_control_end(struct cfg_allreduce_control *c, const struct cfg_error *seen, struct cfg_error *err)
{
    int64_t word = 0;
    struct cfg_error verdict = CFG_ERROR_INIT;
    int rc = c->group->ops->contribute(c->group, &word, 1, &verdict);
    rc = rc == 0 ? c->group->ops->reduced(c->group, &word, 1, &verdict) : rc;
    c->over = true;
    (void)cfg_fail(&c->why, CFG_E_AGREEMENT, "the ranks no longer train together: %s",
                   rc != 0 ? verdict.text : seen->text);
    return cfg_allreduce_control_check(c, err);
}

void cfg_allreduce_control_leave(struct cfg_allreduce_control *c, const char *reason)
{
    c->group->ops->leave(c->group, reason);
    c->over = true;
    (void)cfg_fail(&c->why, CFG_E_AGREEMENT, "%s", reason);
}
