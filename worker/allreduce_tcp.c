/* Sums over tcp: a control group (allreduce_control.h), in which the ranks meet and learn who is to blame, and a ring
 * that carries the values. See allreduce.h.
 *
 * A rank that fails closes its part of the ring, so its neighbours fail too and do the same: within moments every rank
 * knows that it is over, but only the first one's neighbours know why. Each then asks the control group, where who
 * still lives contributes and who does not is named to all. */
#include "worker/allreduce_control.h"
#include "worker/allreduce_ring.h"
#include "worker/group_tcp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tcp {
    struct cfg_allreduce base;
    struct cfg_allreduce_control control;
    struct cfg_ring ring;
};

static struct tcp *self(struct cfg_allreduce *a)
{
    return (struct tcp *)a;
}

static int tcp_sum(struct cfg_allreduce *a, float *values, size_t n, struct cfg_error *err)
{
    struct tcp *t = self(a);
    struct cfg_error seen = CFG_ERROR_INIT;
    int rc = cfg_allreduce_control_check(&t->control, err);
    if (rc != 0 || a->world == 1) {
        return rc;
    }
    if (cfg_ring_sum(&t->ring, values, n, &seen) == 0) {
        return 0;
    }
    cfg_ring_close(&t->ring);
    return cfg_allreduce_control_end(&t->control, &seen, err);
}

static int tcp_broadcast(struct cfg_allreduce *a, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    return cfg_allreduce_control_broadcast(&self(a)->control, root, bytes, err);
}

static void tcp_leave(struct cfg_allreduce *a, const char *reason)
{
    struct tcp *t = self(a);
    cfg_allreduce_control_leave(&t->control, reason);
    cfg_ring_close(&t->ring);
}

static void tcp_free(struct cfg_allreduce *a)
{
    struct tcp *t = self(a);
    cfg_ring_close(&t->ring);
    cfg_allreduce_control_close(&t->control);
    free(t);
}

/* Every rank tells where it listens; *next gets the place of the one after this. */
static int tell_places(struct tcp *t, const char *mine, char next[CFG_RING_PLACE], struct cfg_error *err)
{
    struct cfg_buf b;
    int rc = 0;
    cfg_buf_init(&b, CFG_RING_PLACE);
    for (uint32_t r = 0; rc == 0 && r < t->base.world; r++) {
        cfg_buf_clear(&b);
        if (r == t->base.rank) {
            cfg_buf_puts(&b, mine);
        }
        rc = t->control.group->ops->broadcast(t->control.group, r, &b, err);
        if (rc == 0 && r == (t->base.rank + 1) % t->base.world) {
            (void)snprintf(next, CFG_RING_PLACE, "%.*s", (int)b.len, b.data);
        }
    }
    cfg_buf_finish(&b);
    return rc;
}

static int meet(struct tcp *t, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    char mine[CFG_RING_PLACE] = "", next[CFG_RING_PLACE] = "";
    uint64_t end_ms = cfg_group_now_ms() + o->join_ms;
    int rc = cfg_ring_listen(&t->ring, mine, o->address, err);
    rc = rc == 0 ? t->control.group->ops->form(t->control.group, o->join_ms, err) : rc;
    if (rc != 0 || o->world == 1) {
        return rc;
    }
    rc = tell_places(t, mine, next, err);
    return rc == 0 ? cfg_ring_connect(&t->ring, next, t->control.group->incarnation, end_ms, err) : rc;
}

int cfg_allreduce_tcp_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    static const struct cfg_allreduce_ops ops = {"tcp", false, tcp_sum, tcp_broadcast, tcp_leave, tcp_free};
    struct tcp *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    t->base = (struct cfg_allreduce){&ops, o->rank, o->world};
    cfg_ring_init(&t->ring, o->rank, o->world, o->deadline_ms);
    int rc = cfg_allreduce_control_open(&t->control, o, err);
    rc = rc == 0 ? meet(t, o, err) : rc;
    if (rc != 0) {
        tcp_free(&t->base);
        return cfg_error_wrap(err, "all-reduce");
    }
    *out = &t->base;
    return 0;
}
